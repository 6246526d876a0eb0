/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fill.h: what the two files of the fill share: fill.c (asks, answers, what is
 * still to be done) and fill_child.c (one object of a listing). A *group* is
 * an ENTRY record and the XATTR, ACL and FILEATTR records of the same object,
 * back to back and checked.
 */
#ifndef LENTO_FILL_H
#define LENTO_FILL_H

#include "lento/apply_inner.h"

#define FILL_ASKS	32		/* LIST and WANT under way */
#define FILL_GROUP_MAX	(16u << 20)

struct bytes {
	unsigned char *p;
	size_t len, room;
};

/* A directory whose listing was asked for. In a fetch: its root, which may be
 * any object. */
struct fill_dir {
	struct fill_dir *next;
	struct izo_fid fid;
	bool fetched;		/* the object that fill_fetch() wants */
	bool refresh;		/* it is known: its attributes are wanted */
	bool listed;		/* the whole listing came */
	unsigned pending;	/* files of it not complete yet */
	struct bytes own;	/* its own group */
	struct bytes group;	/* the one coming in */
	uint64_t *names;	/* hashes of the names listed */
	unsigned nnames, names_room;
};

struct fill_ask {
	uint64_t ask;		/* 0: free */
	bool want;		/* else LIST */
	bool adopt;		/* the digest is that of nobody's local file */
	struct izo_fid fid;
	struct fill_dir *dir;
	struct bytes group;	/* of the file wanted */
};

struct fill {
	struct fill_ask ask[FILL_ASKS];
	unsigned nasks;
	uint64_t last_ask, last_pend;
	struct fill_dir *dirs;
	unsigned char cursor[FIDMAP_KEY_BYTES];	/* in the todo table */
	bool fetching;
	int fetch_result;
	unsigned uncommitted;
};

/* One child of a listing, or (name_len 0) the file a fetch wants. -EAGAIN: a
 * file that has to wait for a free ask or for its own contents under way. */
int fill_child(struct apply *a, struct fill_dir *d, const void *group,
	       size_t bytes);
/* DATA_END of ask k came: the file is made complete and put in its place.
 * -EAGAIN: it must be asked for again. */
int fill_file_end(struct apply *a, struct fill_ask *k,
		  const struct wire_data_end *e);
/* The root of a fetch: built in stage, or just refreshed. */
int fill_fetch_root(struct apply *a, struct fill_dir *d);

/* Asks for contents; digest may be NULL. -EAGAIN: no ask is free. */
int fill_want(struct apply *a, struct fill_dir *d, const void *group,
	      size_t bytes, bool adopt, uint64_t size,
	      const unsigned char digest[16]);
bool fill_wanted(struct apply *a, const struct izo_fid *fid);
int fill_todo(struct apply *a, const struct izo_fid *dir);

#endif
