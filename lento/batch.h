/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * batch.h: a run of journal records between two borders, and what it says of
 * contents. Enters: a journal reader that stands behind a border. Leaves: the
 * records as one block; the inodes whose contents are due; the inodes that are
 * dead by the end of the batch and must never be seen half done (hollow).
 *
 * A batch can look ahead, at the cycles that follow it, and take them in.
 *
 *   records |--- the batch ---|--- whole cycles ahead ---|-- part of one --|
 *           0               bytes                      whole             held
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

/* A batch that takes in what lies ahead, and what is looked at without. */
#define BATCH_GROWN_RECORDS	(4 * BATCH_RECORDS)
#define BATCH_GROWN_BYTES	(4 * BATCH_BYTES)
#define BATCH_AHEAD_BYTES	(16 * BATCH_BYTES)

enum batch_flags {
	BATCH_CREATED	= 1,	/* a regular file made in this batch */
	BATCH_POINT	= 2,	/* had an order point */
	BATCH_DUE	= 4,	/* ranges are due */
	BATCH_DEAD	= 8,	/* its last name is gone */
	BATCH_DIES	= 16,	/* the same, in a cycle ahead */
	BATCH_SENT	= 32,	/* ranges were sent since they were last due */
	BATCH_GONE	= 64,	/* they cannot be had any more */
};

struct batch_inode {
	struct izo_fid fid;
	unsigned flags;
	unsigned nrange;
	struct izo_range *range;	/* SETTLE_RANGES, NULL while none */
	struct izo_time mtime;		/* of what was sent */
};

struct batch {
	unsigned char *records;
	size_t bytes, whole, held, size;
	size_t left;			/* end of the last record by which a subtree
					 * left the fileset; 0: none */
	uint64_t first_seq, nrecords;
	struct izo_pos last;		/* epoch is the caller's to fill */
	uint64_t last_clock_ns;
	struct batch_inode *inode;	/* in order of first mention */
	size_t ninode, inode_size;
	uint32_t *hash;			/* index + 1 into inode */
	size_t hash_size;
};

void batch_done(struct batch *b);
/* The next batch: whole cycles. 1: it is filled and ends at a border; 0: the
 * journal has nothing more (a cycle of which a part is there is kept for the
 * next call); -errno. */
int batch_read(struct batch *b, struct journal_reader *r);
/* Reads on behind the batch. 1: there are more whole cycles ahead than before;
 * 0: not yet; -ENOBUFS: enough was looked at; -errno. */
int batch_look_ahead(struct batch *b, struct journal_reader *r);
/* Takes in what lies ahead. 0; -ENOBUFS: the batch is long enough; -ENOMEM. */
int batch_grow(struct batch *b);
/* A file that is gone and not inside the fileset any more left it with a subtree: in
 * this batch, or ahead of it, as far as one did. */
void batch_explain(struct batch *b, bool (*inside)(void *ctx, const struct izo_fid *fid),
		   void *ctx);
/* NULL: not mentioned. */
const struct batch_inode *batch_find(const struct batch *b,
				     const struct izo_fid *fid);

/* Withheld on the replica: its contents were owed and cannot be had, or it is
 * dead by the end. */
static inline bool batch_hollow(const struct batch_inode *i)
{
	return i->flags & BATCH_GONE ||
	       (i->flags & BATCH_DEAD &&
		i->flags & (BATCH_CREATED | BATCH_POINT | BATCH_DUE));
}

/* Gone, but by what the batch says alive at its end. */
static inline bool batch_early(const struct batch_inode *i)
{
	return i->flags & BATCH_GONE && !(i->flags & BATCH_DEAD);
}

/* Of these, one that may stand on the replica under names that no record read so
 * far tells. */
static inline bool batch_unexplained(const struct batch_inode *i)
{
	return batch_early(i) && !(i->flags & (BATCH_DIES | BATCH_CREATED));
}

#endif
