/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * apply_inner.h: what the rooms of the applier share: struct apply and the
 * functions by which apply.c (batches), apply_names.c, apply_attrs.c,
 * apply_state.c (open, close, durability), inflow.c and fill.c use each other.
 * Nobody else includes it.
 */
#ifndef LENTO_APPLY_INNER_H
#define LENTO_APPLY_INNER_H

#include <stdbool.h>
#include <stdint.h>
#include "lento/apply.h"
#include "lento/fidmap.h"
#include "lento/fidtab.h"
#include "lento/hollow.h"
#include "lento/mutate.h"
#include "lento/stage.h"
#include "lib/fid.h"
#include "lib/tree.h"

#define APPLY_REDO_OPEN	(~0ULL)	/* redo_until: till the next tip is known */

/* Kept in the map, committed with it. */
struct apply_meta {
	struct izo_pos pos;	/* last border applied */
	uint64_t intent;	/* last record of the batch in progress, or 0 */
	uint64_t redo_until;	/* the tree may be ahead up to this record */
	struct izo_pos fill_pos;
	struct izo_pos base;	/* while filling: the position before; epoch 0: none */
	struct izo_fid root;	/* the peer's */
	uint32_t fill;		/* number of the fill in progress, or last */
	uint8_t filling, resync;
	uint8_t zero[2];
	unsigned char uuid[16];
};

#define DIRCACHE_SETS	32
#define DIRCACHE_WAYS	4
struct dircache {
	struct dircache_dir {
		struct izo_fid fid;
		int fd;
		uint64_t used;
	} dir[DIRCACHE_SETS * DIRCACHE_WAYS];
	uint64_t clock;
};

struct inflow;
struct fill;

struct apply {
	struct apply_spec spec;		/* strings are ours */
	struct fid_mount mount;
	struct stage stage;
	struct izo_fid root_local;
	struct fidmap *map;
	struct apply_meta meta;
	struct izo_pos durable;
	bool touched;			/* something committed since the sync */
	struct dircache dirs;
	struct hollow *hollow;
	struct fidtab fresh;		/* contents came in this batch */
	struct fidtab dir_times;	/* to be set at the batch's end */
	struct inflow *inflow;		/* list */
	struct fill *fill;
	struct wire_batch batch;
	bool in_batch, intent_set;
	struct apply_stats stats;
	char trouble[200];		/* what an error was about; "": nothing yet */
	int state_fd;			/* spec.state */
	int public_fd;			/* spec.root as others see it: keeps it mounted */
	struct tree tree;		/* the same without what is mounted in it */
	int root_fd;			/* of tree */
};

/* The tree may be ahead of what is being applied: nothing is a surprise. */
static inline bool apply_calm(const struct apply *a)
{
	return a->meta.redo_until > a->meta.pos.seq || a->meta.filling;
}

/* apply_objects.c: from FIDs to descriptors. -ENOENT: not in the map, -ESTALE:
 * in the map, but there is no such object any more. */
int obj_open(struct apply *a, const struct izo_fid *peer, int flags,
	     struct fidmap_entry *ret);
/* Borrowed, good until some four further calls. */
int obj_dir(struct apply *a, const struct izo_fid *peer);
void dircache_drop(struct apply *a, const struct izo_fid *peer);
void dircache_clear(struct apply *a);
/* Removes the map entry of an object that is about to lose its last name, by
 * its tag. For stage_delete(). */
void obj_gone(void *ctx, int fd);
bool obj_known(void *ctx, const struct izo_fid *peer);
/* Makes an untagged local object stand for peer. */
int obj_adopt(struct apply *a, int fd, const struct izo_fid *peer,
	      uint32_t fill, struct fidmap_entry *ret);
/* The peer's FID of a local object, if its tag and the map agree; otherwise
 * -ENOENT and *ret is its local FID. */
int obj_owner(struct apply *a, int fd, struct izo_fid *ret);
/* r. After an error the rest of the batch, which may be on its way, is refused, its
 * end above all: the position never passes what was not applied. */
int or_refuse(struct apply *a, int r);
void surprise(struct apply *a, const struct izo_record *r, const char *what);

/* apply_trouble.c: remembers what an error (0: nothing) was about, if it is the
 * first. dir: the peer's directory in which r's name stands. */
void trouble_record(struct apply *a, int error, const struct izo_fid *dir,
		    const struct izo_record *r);
void trouble_fid(struct apply *a, int error, const struct izo_fid *fid);

/* apply_names.c */
/* Is r about a name? */
static inline bool names_has(const struct izo_record *r)
{
	return (r->kind >= IZO_CREATE && r->kind <= IZO_TMPFILE) ||
	       r->kind == IZO_IMPORT || r->kind == IZO_EXPEL;
}
/* Builds the objects that records of this frame will create. */
int names_prepare(struct apply *a, const struct izo_record *r);
int names_apply(struct apply *a, const struct izo_record *r);
enum here { HERE_NONE, HERE_THIS, HERE_OTHER };

/* One name of a record and what stands there. */
struct at {
	int dir;		/* borrowed; < 0: the directory is not known */
	char name[IZO_NAME_MAX + 1];
	enum here here;
	struct izo_fid found;	/* local, unless HERE_NONE */
};

/* An unknown directory is not an error here: ret->dir < 0. */
int at_open(struct apply *a, const struct izo_fid *dir, const char *name,
	    unsigned len, const struct izo_fid *local, struct at *ret);
/* After a name of peer went: nlink is what the record says is left. */
int names_settle(struct apply *a, const struct izo_fid *peer, unsigned nlink);

/* apply.c: from here on the tree may be ahead, up to the batch's end. */
int batch_intent(struct apply *a);

/* apply_hollow.c */
/* Frees the names that r gives to hollow files and at which they stand already:
 * an earlier try of the batch, or a fill, had brought them there. */
int names_hollow(struct apply *a, const struct izo_record *r);

/* apply_place.c */
/* Makes dirfd/name be peer's object e; another object there goes to limbo. A
 * directory that stands elsewhere is moved only if move_dirs. -ESTALE: the
 * object is dead. */
int names_place(struct apply *a, const struct izo_fid *peer,
		struct fidmap_entry *e, int dirfd, const char *name,
		bool move_dirs);
/* stage/<peer> or limbo/<peer> -> dirfd/name. -ENOENT, -EEXIST, -errno. */
int place_staged(struct apply *a, const struct izo_fid *peer, int from,
		 int dirfd, const char *name);
/* One more link to a file. -ESTALE: it is dead. */
int place_link(struct apply *a, const struct fidmap_entry *e, int dirfd,
	       const char *name);
bool obj_alive(struct apply *a, const struct fidmap_entry *e);
/* To limbo: an object known to be peer's; whatever stands there. */
int names_aside(struct apply *a, int dirfd, const char *name,
		const struct izo_fid *peer);
int names_evict(struct apply *a, int dirfd, const char *name);
/* Not all: what the last fill saw and a record may still place is kept. */
int names_empty_limbo(struct apply *a, bool all);
int names_clean_stage(struct apply *a);

/* apply_attrs.c */
int attrs_apply(struct apply *a, const struct izo_record *r);
/* Notes the directory times that r gives. */
int attrs_note_times(struct apply *a, const struct izo_record *r);
int attrs_flush_times(struct apply *a);
int attrs_times(struct apply *a, int fd, const struct izo_time *atime,
		const struct izo_time *mtime);
/* Owner and mode as in attr. */
int attrs_owner_mode(struct apply *a, int fd, const struct izo_attr *attr);
/* Owner, mode, xattrs, ACLs made equal to an ENTRY and the records that follow
 * it (bytes in all); inode flags are left to attrs_group_flags(). */
int attrs_group(struct apply *a, int fd, const void *group, size_t bytes);
int attrs_group_flags(struct apply *a, int fd, const void *group, size_t bytes);

/* inflow.c */
int inflow_data(struct apply *a, const struct wire_data *d, const void *bytes);
/* Ends the file of e; *ret_fd (unless NULL) its descriptor, to be closed. */
int inflow_end(struct apply *a, const struct wire_data_end *e, int *ret_fd);
void inflow_abort(struct apply *a);

/* fill.c */
int fill_open(struct apply *a);
void fill_close(struct apply *a);
int fill_start(struct apply *a, const struct wire_attached *m);
/* Forgets every ask under way: the link is new. */
void fill_reset(struct apply *a);
/* Brings a whole object or subtree into stage/, mapped. -ENOENT: gone there. */
int fill_fetch(struct apply *a, const struct izo_fid *peer);
int fill_data_end(struct apply *a, const struct wire_data_end *e);
/* trouble_record() for what that ask wants. */
void fill_trouble(struct apply *a, int error, uint64_t ask);
bool fill_idle(struct apply *a);

/* apply_state.c */
int state_save(struct apply *a, bool clean);	/* last_rcvd */
int meta_put(struct apply *a);
int hollow_load(struct apply *a);
int hollow_save(struct apply *a);
int redo_end(struct apply *a);

#endif
