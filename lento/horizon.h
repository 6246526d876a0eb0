/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * horizon.h: from which record on a journal names every file whose contents may be
 * newer than a border. Enters: journaled records in order. Leaves: that sequence,
 * for the BORDER. With it a comparison after a gap leaves the contents of all other
 * files alone, if their ctime is old enough, too (ship_since.c).
 *
 * A ctime is set before the bytes are, and a writer may stand still in between: so
 * what is open for writing counts, however long ago it was opened, and everything
 * of the last HORIZON_S seconds.
 *
 * Memory follows the number of files that are open for writing. One thread.
 */
#ifndef LENTO_HORIZON_H
#define LENTO_HORIZON_H

#include <stddef.h>
#include <stdint.h>
#include "intermezzo/record.h"

#define HORIZON_S		120
#define HORIZON_STALE		65536	/* records: a file open for longer is named anew */
#define HORIZON_EACH		8	/* that many for each open file, if more */

/* HORIZON_S; tests of what comes after it do not wait for so long. */
extern unsigned horizon_seconds;

struct horizon;

struct horizon *horizon_new(void);
void horizon_free(struct horizon *h);
/* Nothing before seq counts: capture begins there. */
void horizon_reset(struct horizon *h, uint64_t seq);

/* A record of the journal; one that is only replayed is told the same way. 0 or
 * -ENOMEM. */
int horizon_note(struct horizon *h, const struct izo_record *r);
/* When some file was named too long before the journal's end: calls fn for each that
 * is open since then or about; it has to journal an OPENW and to note that. One that
 * was made then and never written is forgotten: there may be nobody who has it open,
 * and a write to it makes a DIRTY. Errors end it. */
int horizon_stale(struct horizon *h, uint64_t end,
		  int (*fn)(void *ctx, const struct izo_fid *fid), void *ctx);

/* The sequence for a border of now: what lies before it need not be looked at.
 * pending: the oldest record whose contents have not come yet; 0: none. */
uint64_t horizon_from(struct horizon *h, uint64_t now_ms, uint64_t pending);
/* The border seq was committed at now_ms of CLOCK_MONOTONIC. */
void horizon_border(struct horizon *h, uint64_t now_ms, uint64_t seq);

#endif
