/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ship_since.h: which files have the contents that a replica had at its last border,
 * though capture had a gap since. Enters: the journal, that border. Leaves: a time
 * and a set of files. A file that is not in the set and whose ctime is older than
 * the time was not written since: nobody had it open, or the journal would name it,
 * and who opened it in the gap changed its ctime.
 *
 * What must always hold: where any of that cannot be known the answer is no, and all
 * contents are compared. decisions/0007 has the limits.
 */
#ifndef LENTO_SHIP_SINCE_H
#define LENTO_SHIP_SINCE_H

#include <stdbool.h>
#include <stddef.h>
#include "lento/fidtab.h"
#include "lento/journal.h"

struct since {
	bool known;
	struct izo_time before;		/* HORIZON_S before the border */
	struct fidtab touched;
};

/* To be zeroed before. False: nothing is known, and why says so. */
bool since_read(struct since *s, struct journal *j, const struct izo_pos *base,
		char *why, size_t why_size);
void since_done(struct since *s);

/* Are the contents of that file, with these attributes now, those of the border? */
bool since_same(struct since *s, const struct izo_fid *fid,
		const struct izo_attr *attr);

#endif
