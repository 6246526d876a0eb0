/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * settle.h: which contents are due, and when. Enters: marks (ranges whose
 * contents changed), order points and layout changes of a drain cycle. Leaves:
 * the inodes that are due at the end of this cycle, with their ranges.
 *
 *   clean --mark--> pending --order point, or settle_ms after the first mark
 *                             and settle_ms after it was last due--> due = clean
 *
 * A due inode is read after the cycle, so its contents are as new as every
 * record of the cycle. One thread.
 */
#ifndef LENTO_SETTLE_H
#define LENTO_SETTLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "intermezzo/record.h"

#define SETTLE_RANGES	32	/* kept exactly; beyond it the nearest are joined */

struct settle;

struct settle_inode {
	struct izo_fid fid;
	struct izo_range range[SETTLE_RANGES];	/* sorted, disjoint */
	unsigned nrange;
	bool fresh;		/* marked since settle_cycle: DIRTY is not yet
				 * in the journal */
	bool due_now;
	uint64_t first_ms;	/* oldest mark since it was last due */
	uint64_t records_pos;	/* records of changes before its marks end here */
	uint64_t dirty_seq;	/* journal sequence of the oldest DIRTY, 0: none */
	struct settle_inode *next;
};

struct settle *settle_new(uint32_t settle_ms);
void settle_free(struct settle *s);

/* records_pos: see capture_cycle.marks_pos; 0 where the object is known. */
int settle_mark(struct settle *s, const struct izo_fid *fid, struct izo_range range,
		uint64_t now_ms, uint64_t records_pos);
/* fid's contents must be as new as now; whole: all inodes'. A clean inode stays
 * clean. */
void settle_point(struct settle *s, const struct izo_fid *fid);
void settle_point_all(struct settle *s);
/* The object is gone. */
void settle_forget(struct settle *s, const struct izo_fid *fid);

/* Calls due_fn for each inode that is due (taken out, freed after the call; 1: it
 * has to wait on, as if it were not due), and fresh_fn for each other one that
 * was marked since the last call. fresh_fn may set dirty_seq. Errors end it. */
int settle_cycle(struct settle *s, uint64_t now_ms,
		 int (*due_fn)(void *ctx, const struct settle_inode *i),
		 int (*fresh_fn)(void *ctx, struct settle_inode *i), void *ctx);

/* ms until the next inode falls due; -1: none pending. */
int settle_wait_ms(const struct settle *s, uint64_t now_ms);
size_t settle_pending(const struct settle *s);
/* Oldest dirty_seq among the pending; 0: none. */
uint64_t settle_oldest(const struct settle *s);

#endif
