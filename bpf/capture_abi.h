/* SPDX-License-Identifier: GPL-2.0 */
/*
 * capture_abi.h: what the capture programs and their loader share.
 *
 * Enters: settings that lento stores in izo_conf while the programs run.
 * Leaves: counters in izo_count, marks of dirty pages in the inner maps of
 * izo_dirty. Both structs are mapped into lento. What must always hold: a
 * change of any layout here, of the records or of the meaning of a map raises
 * IZO_CAPTURE_LAYOUT, so that no lento adopts programs that it misreads.
 */
#ifndef BPF_CAPTURE_ABI_H
#define BPF_CAPTURE_ABI_H

#include "intermezzo/record.h"

#define IZO_CAPTURE_LAYOUT	4
#define IZO_CAPTURE_MAGIC	0x3154504143305a49ULL	/* "IZ0CAPT1" */

#define IZO_ROOTS_MAX		8
#define IZO_OWN_MAX		64
#define IZO_WALK_MAX		32	/* directory levels that are climbed */
#define IZO_DIRTY_MAPS		3	/* live, handed out, empty */
#define IZO_DIRTY_ENTRIES	65536
#define IZO_WHOLE_ENTRIES	8192
#define IZO_CHUNK_PAGES		256	/* pages one dirty entry speaks of */
#define IZO_CHUNK_WHOLE		(~0u)	/* dirty_key.chunk: all of the file */

enum izo_fs { IZO_FS_OTHER = 0, IZO_FS_EXT4 = 1, IZO_FS_XFS = 2, IZO_FS_BTRFS = 3 };

/* What a program's calls are: changes, or order points and opens. */
enum izo_turn { IZO_TURN_CHANGE = 0, IZO_TURN_POINT = 1, IZO_TURNS = 2 };

struct izo_fixed {
	__u32 fs;		/* enum izo_fs */
	__u32 filter;		/* directory filesets: climb to the roots */
	__u32 never;		/* 0 (work.bpf.h) */
	__u32 zero;
};

/* Slots of the outer map izo_dirty. */
enum izo_dirty_slot { IZO_DIRTY_PAGES = 0, IZO_DIRTY_WHOLE = 1, IZO_DIRTY_SLOTS = 2 };

struct izo_dirty_key {
	__u64 ino, subvol;
	__u32 gen, chunk;
};

/* One bit a page of the chunk; programs only ever set bits. */
struct izo_dirty_val {
	__u64 bits[IZO_CHUNK_PAGES / 64];
};

/* Written by lento, read by the programs. `marked` goes both ways: a program
 * raises it after its mark, lento lowers it before it swaps the map. */
struct izo_conf {
	__u32 dev;		/* kernel's s_dev; 0: nothing passes */
	__u32 nroots;		/* 0: the whole filesystem */
	__u32 nown;
	__u32 applier;		/* some thread may carry an origin */
	__u32 marked[IZO_DIRTY_SLOTS];
	__u64 ring_quarter;	/* bytes used that wake the reader */
	struct izo_fid roots[IZO_ROOTS_MAX];
	/* Of no interest to the programs: what a later lento must find. */
	__u64 magic;		/* last of all: arming was completed */
	__u32 layout, nprogs, armed_dev, armed_nroots;
	__u64 seen_missed, seen_dropped, seen_lost_marks;	/* reported */
	__u64 seen_points;
	__u64 early[IZO_TURNS];	/* calls caught while no first programs stood */
};

/* Written by the programs. */
struct izo_count {
	__u64 seq;		/* records wanted, stored or not */
	__u64 records;		/* stored */
	__u64 bytes;		/* their lengths, not the ring's slots */
	__u64 dropped;		/* records that the ring had no room for */
	__u64 unlisted;		/* of these: not even in izo_lost */
	__u64 cut;		/* records with IZO_F_NAME_CUT */
	__u64 dirty;		/* pages marked */
	__u64 overflow;		/* pages that became a whole-file mark */
	__u64 lost_marks;	/* marks that fitted nowhere */
	__u64 origin_marks;	/* marks made under an origin */
	__u64 throttled;
	__u64 caught[IZO_TURNS], stolen[IZO_TURNS];	/* bpf/turns.bpf.c */
	__u64 kind[64];
};

struct izo_origin {
	__u64 seq;
	__u32 peer, zero;
};

/* Operations whose functions probe.bpf.c finds. */
enum izo_op {
	IZO_OP_CREATE, IZO_OP_MKDIR, IZO_OP_MKNOD, IZO_OP_SYMLINK, IZO_OP_LINK,
	IZO_OP_UNLINK, IZO_OP_RMDIR, IZO_OP_RENAME, IZO_OP_TMPFILE,
	IZO_OP_SETATTR, IZO_OP_SET_ACL, IZO_OP_FILEATTR,
	IZO_OP_OPEN, IZO_OP_RELEASE, IZO_OP_FSYNC, IZO_OP_FALLOC,
	IZO_OP_REMAP, IZO_OP_IOCTL, IZO_OP_SYNC_FS,
	IZO_OP_MAX
};

/* What the probe saw: function addresses of a directory and a file. */
struct izo_probe {
	__u32 tgid;		/* only this process's opens count */
	__u32 dev;
	__u32 acl_by_dentry;	/* set_acl's second argument, 6.2 on */
	__u32 seen;
	__u64 dir[IZO_OP_MAX], file[IZO_OP_MAX];
};

#endif
