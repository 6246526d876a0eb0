/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * index.h: which objects belong to a fileset on its source, and under which
 * names. Enters: records in order. Leaves: "is this FID inside", "is this name
 * excluded". On disk (LMDB), so that a start needs no walk and memory does not
 * grow with the tree.
 *
 * An object is inside when one of its names leads, parent by parent, to the
 * root. A directory that left keeps stale entries below it, which lead nowhere; and
 * they stay stale when it comes back, for what they name may have left it outside.
 *
 * One writer thread (the fileset's capture thread), readers in any thread see
 * what the last index_commit() left.
 */
#ifndef LENTO_INDEX_H
#define LENTO_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "intermezzo/record.h"
#include "lib/fid.h"

struct index;

/* What is known to be in the index, committed with it. */
struct index_mark {
	uint64_t epoch;		/* of the journal; 0: the index was never built */
	uint64_t seq;		/* all journal records <= seq are in */
	uint64_t cycle_from;	/* first record of the last whole cycle */
	uint64_t pending_from;	/* oldest DIRTY without its DUE; 0: none */
	uint64_t rules;		/* by which it was built: hash of the exclusions */
	uint64_t horizon_from;	/* off of the last BORDER */
};

int index_open(int dir_fd, const struct izo_fid *root, char *const *exclude,
	       size_t nexclude, struct index **ret);
void index_close(struct index *x);
/* Removes the index of that folder. */
int index_remove(int dir_fd);

void index_mark_get(struct index *x, struct index_mark *ret);
int index_commit(struct index *x, const struct index_mark *mark);
/* Gives up what was not committed: the writer thread's last call. */
void index_abort(struct index *x);

/* Writer's calls. Name length 0 in add: inside, but without a name yet. */
int index_add(struct index *x, const struct izo_fid *fid,
	      const struct izo_fid *dir, const char *name, unsigned len);
/* 1 when that name was there, 0 when not. */
int index_del(struct index *x, const struct izo_fid *fid,
	      const struct izo_fid *dir, const char *name, unsigned len);
int index_drop(struct index *x, const struct izo_fid *fid);
bool index_has_name(struct index *x, const struct izo_fid *fid,
		    const struct izo_fid *dir, const char *name, unsigned len);
bool index_inside(struct index *x, const struct izo_fid *fid);
/* The directory fid, whose names are removed by index_del(), is outside from here
 * on: what is named below it is forgotten at once, at no cost. */
int index_expel(struct index *x, const struct izo_fid *fid);
/* index_add() of an object that may have been inside before and come back. */
int index_import(struct index *x, const struct izo_fid *fid, bool is_dir,
		 const struct izo_fid *dir, const char *name, unsigned len);

/* Is dir/name left out by a pattern or by being ours? */
bool index_excluded(struct index *x, const struct izo_fid *dir, const char *name,
		    unsigned len);

/* For any thread, as of the last commit. */
bool index_excluded_ro(struct index *x, const struct izo_fid *dir,
		       const char *name, unsigned len);
bool index_inside_ro(struct index *x, const struct izo_fid *fid);
/* "a/b/c" below the root, for messages; "?" when unknown. */
void index_path(struct index *x, const struct izo_fid *fid, char *ret, size_t size);

/* Adds everything below the directory fid (that itself is added by the
 * caller). ret_n counts objects. Names that vanish meanwhile are skipped. */
int index_walk(struct index *x, const struct fid_mount *m,
	       const struct izo_fid *fid, uint64_t *ret_n);
/* Everything anew, from the root. Commits on the way, without a mark: one that
 * was cut is an index that was never built. */
int index_build(struct index *x, const struct fid_mount *m, uint64_t *ret_n);

#endif
