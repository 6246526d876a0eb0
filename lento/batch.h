/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * batch.h: a run of journal records between two borders, and what it says of
 * contents. Enters: a journal reader that stands behind a border. Leaves: the
 * records as one block; the inodes whose contents are due; the inodes that are
 * dead by the end of the batch and must never be seen half done (hollow).
 */
#ifndef LENTO_BATCH_H
#define LENTO_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "intermezzo/record.h"
#include "lento/journal.h"
#include "lento/settle.h"

#define BATCH_RECORDS	8192		/* no further cycle is taken in after */
#define BATCH_BYTES	(4u << 20)

enum batch_flags {
	BATCH_CREATED	= 1,	/* a regular file made in this batch */
	BATCH_POINT	= 2,	/* had an order point */
	BATCH_DUE	= 4,	/* ranges are due */
	BATCH_DEAD	= 8,	/* its last name is gone */
};

struct batch_inode {
	struct izo_fid fid;
	unsigned flags;
	unsigned nrange;
	struct izo_range *range;	/* SETTLE_RANGES, NULL while none */
};

struct batch {
	unsigned char *records;
	size_t bytes, size;
	uint64_t first_seq, nrecords;
	struct izo_pos last;		/* epoch is the caller's to fill */
	uint64_t last_clock_ns;
	bool partial;			/* ends inside a cycle: more is to come */
	struct batch_inode *inode;	/* in order of first mention */
	size_t ninode, inode_size;
	uint32_t *hash;			/* index + 1 into inode */
	size_t hash_size;
};

void batch_done(struct batch *b);
/* Takes whole cycles from the reader. 1: the batch is filled and ends at a
 * border; 0: the journal has nothing more (a cycle of which a part is there is
 * kept for the next call); -errno. */
int batch_read(struct batch *b, struct journal_reader *r);
/* Withheld on the replica: dead, and its contents were owed. */
static inline bool batch_hollow(const struct batch_inode *i)
{
	return i->flags & BATCH_DEAD &&
	       i->flags & (BATCH_CREATED | BATCH_POINT | BATCH_DUE);
}

#endif
