/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * capture_copy.h: from slots of the ring to records back to back.
 *
 * Enters: complete slots. Leaves: records as record.h has them: trimmed, ACLs
 * in the form of getxattr(2). What must always hold: a slot whose record
 * makes no sense is counted in `broken`, never handed on.
 */
#ifndef LENTO_CAPTURE_COPY_H
#define LENTO_CAPTURE_COPY_H

#include "lento/dirtymap.h"
#include "lento/ringread.h"
#include "lento/ringseq.h"

struct copy {
	struct ringseq seq;
	uint8_t *buf;
	size_t used, room;
	unsigned long long broken;	/* in this cycle */
};

/* Copies what lies between the reader's position and `end`. */
int copy_ring(struct copy *c, const struct ringread *r, uint64_t end);
void copy_done(struct copy *c);
/* Objects whose records were dropped: one whole-file mark each. */
int copy_lost(int lost_fd, struct dirtymap *d);
void copy_lost_clear(int lost_fd);

#endif
