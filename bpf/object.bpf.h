/* SPDX-License-Identifier: GPL-2.0 */
/*
 * object.bpf.h: what a record says of an inode: identity, attributes,
 * transaction; and whether it belongs to a fileset at all.
 *
 * Enters: kernel pointers that a program got as arguments. Leaves: fields of
 * a record, or a verdict. What must always hold: ours() is asked first, and
 * outside() is true only for what is certainly outside every root.
 */
#ifndef BPF_OBJECT_H
#define BPF_OBJECT_H

#include "bpf/maps.bpf.h"
#include <bpf/bpf_core_read.h>

static __always_inline bool ours(struct inode *i)
{
	u32 dev = izo_conf.dev;

	return dev && i->i_sb->s_dev == dev;
}

/* A member of the structure that embeds a VFS inode. */
#define AROUND(i, type, embed, member, dst) \
	bpf_probe_read_kernel((dst), sizeof(*(dst)), (void *)(i) - \
		bpf_core_field_offset(struct type, embed) + \
		bpf_core_field_offset(struct type, member))

/* What one filesystem alone has is read in functions of its own: where its module
 * is not loaded the members cannot be found, and a compiler that moved their
 * offsets before the question which filesystem this is would spoil the program
 * for all (clang 19 does). */
static __noinline u64 btrfs_subvol(u64 inode)
{
	struct btrfs_root *root = NULL;
	u64 id = 0;

	AROUND(inode, btrfs_inode, vfs_inode, root, &root);
	bpf_core_read(&id, sizeof(id), &root->root_key.objectid);
	return id;
}

static __noinline u64 btrfs_txn(u64 inode)
{
	u64 txn = 0;

	AROUND(inode, btrfs_inode, vfs_inode, last_trans, &txn);
	return txn;
}

static __noinline u64 ext4_txn(u64 inode)
{
	u32 tid = 0;

	AROUND(inode, ext4_inode_info, vfs_inode, i_sync_tid, &tid);
	return tid;
}

static __noinline u64 xfs_txn(u64 inode)
{
	struct xfs_inode_log_item *item = NULL;
	u64 txn = 0;

	AROUND(inode, xfs_inode, i_vnode, i_itemp, &item);
	if (item)
		bpf_core_read(&txn, sizeof(txn), &item->ili_commit_seq);
	return txn;
}

static __noinline u64 ext4_flags(u64 inode)
{
	unsigned long flags = 0;

	AROUND(inode, ext4_inode_info, vfs_inode, i_flags, &flags);
	return flags;
}

static __noinline u64 xfs_flags(u64 inode)
{
	u16 flags = 0;

	AROUND(inode, xfs_inode, i_vnode, i_diflags, &flags);
	return flags;
}

static __noinline u64 ext4_project(u64 inode)
{
	u32 id = 0;

	AROUND(inode, ext4_inode_info, vfs_inode, i_projid, &id);
	return id;
}

static __noinline u64 xfs_project(u64 inode)
{
	u32 id = 0;

	AROUND(inode, xfs_inode, i_vnode, i_projid, &id);
	return id;
}

static __always_inline u64 subvol_of(struct inode *i)
{
	return izo_fs == IZO_FS_BTRFS ? btrfs_subvol((u64)i) : 0;
}

static __always_inline u64 txn_of(struct inode *i)
{
	if (izo_fs == IZO_FS_EXT4)
		return ext4_txn((u64)i);
	if (izo_fs == IZO_FS_XFS)
		return xfs_txn((u64)i);
	if (izo_fs == IZO_FS_BTRFS)
		return btrfs_txn((u64)i);
	return 0;
}

#define FS_SYNC_FL	0x00000008
#define FS_NODUMP_FL	0x00000040
#define FS_NOATIME_FL	0x00000080
#define FS_DIRSYNC_FL	0x00010000
#define XFS_DIFLAG_SYNC		0x20	/* fs/xfs/libxfs/xfs_format.h */
#define XFS_DIFLAG_NOATIME	0x40
#define XFS_DIFLAG_NODUMP	0x80

static __always_inline u64 inherited_project(struct inode *i)
{
	if (izo_fs == IZO_FS_EXT4)
		return ext4_project((u64)i);
	return izo_fs == IZO_FS_XFS ? xfs_project((u64)i) : 0;
}

/* What a new inode has inherited from its directory, as FS_*_FL. ext4 keeps
 * just these; btrfs hands down none that is replicated. */
static __always_inline u32 inherited_flags(struct inode *i)
{
	if (izo_fs == IZO_FS_EXT4)
		return ext4_flags((u64)i) & (FS_SYNC_FL | FS_NODUMP_FL |
					     FS_NOATIME_FL | FS_DIRSYNC_FL);
	if (izo_fs == IZO_FS_XFS) {
		u64 flags = xfs_flags((u64)i);

		return (flags & XFS_DIFLAG_SYNC ? FS_SYNC_FL : 0) |
		       (flags & XFS_DIFLAG_NOATIME ? FS_NOATIME_FL : 0) |
		       (flags & XFS_DIFLAG_NODUMP ? FS_NODUMP_FL : 0);
	}
	return 0;
}

static __always_inline void fid_of(struct izo_fid *fid, struct inode *i)
{
	fid->ino = i->i_ino;
	fid->gen = i->i_generation;
	fid->subvol = subvol_of(i);
}

/* From 6.13 on bit 31 of a ctime says that somebody has asked for it. */
#define NSEC_MASK	0x7fffffff

#define TIME_OF(i, dst, which) do { \
	struct inode___parts *_p = (void *)(i); \
	struct inode___ts67 *_u = (void *)(i); \
	struct inode___ts *_t = (void *)(i); \
	if (bpf_core_field_exists(_p->i_##which##_sec)) { \
		(dst)->sec = _p->i_##which##_sec; \
		(dst)->nsec = _p->i_##which##_nsec & NSEC_MASK; \
	} else if (bpf_core_field_exists(_u->__i_##which)) { \
		(dst)->sec = _u->__i_##which.tv_sec; \
		(dst)->nsec = _u->__i_##which.tv_nsec; \
	} else { \
		(dst)->sec = _t->i_##which.tv_sec; \
		(dst)->nsec = _t->i_##which.tv_nsec; \
	} } while (0)

static __always_inline void attr_of(struct izo_attr *a, struct inode *i)
{
	u16 mode = i->i_mode;

	a->mode = mode;
	a->uid = i->i_uid.val;
	a->gid = i->i_gid.val;
	a->nlink = i->i_nlink;
	a->iflags = i->i_flags;
	a->size = i->i_size;
	if ((mode & S_IFMT) == S_IFCHR || (mode & S_IFMT) == S_IFBLK) {
		u32 dev = i->i_rdev, minor = dev & 0xfffff;

		a->rdev = (minor & 0xff) | (dev >> 20) << 8 | (minor & ~0xffu) << 12;
	}
	TIME_OF(i, &a->mtime, mtime);
	TIME_OF(i, &a->atime, atime);
	TIME_OF(i, &a->ctime, ctime);
}

static __always_inline bool is_dir(struct inode *i)
{
	return (i->i_mode & S_IFMT) == S_IFDIR;
}

/* lento's own file or directory? By generation too: numbers come back. */
static __always_inline bool own(struct inode *i)
{
	struct izo_fid fid = {};

	if (!izo_conf.nown)
		return false;
	fid_of(&fid, i);
	return bpf_map_lookup_elem(&izo_own, &fid);
}

enum where { WHERE_IN, WHERE_OUT, WHERE_UNKNOWN };

static __always_inline bool is_root(u64 inode)
{
	struct inode *i = (void *)inode;
	u64 ino = BPF_CORE_READ(i, i_ino);

#pragma clang loop unroll(disable)
	for (u32 k = 0; k < IZO_ROOTS_MAX; k++) {
		if (k >= izo_conf.nroots)
			break;
		if (izo_conf.roots[k].ino == ino &&
		    izo_conf.roots[k].subvol == subvol_of(i))
			return true;
	}
	return false;
}

/* A pointer as a number: a function that the verifier looks at once, and not
 * again at each call, takes only numbers. */
static __always_inline u64 number(const void *p)
{
	u64 v = 0;

	bpf_probe_read_kernel(&v, sizeof(v), &p);
	return v;
}

/* Climbs from a directory's dentry. A rename of an ancestor may go on at the
 * same time: either answer is then right for one moment of the call. */
__noinline int climb(u64 dentry)
{
#pragma clang loop unroll(disable)
	for (int level = 0; level < IZO_WALK_MAX; level++) {
		struct dentry *d = (void *)dentry, *up;

		if (is_root((u64)BPF_CORE_READ(d, d_inode)))
			return WHERE_IN;
		up = BPF_CORE_READ(d, d_parent);
		if (up == d)
			return BPF_CORE_READ(d, d_flags) >>
				DCACHE_DISCONNECTED_BIT & 1 ?
				WHERE_UNKNOWN : WHERE_OUT;
		dentry = (u64)up;
	}
	return WHERE_UNKNOWN;
}

/* Is a name in `dir` (a dentry) certainly outside every root? `names` is how
 * many names the object has besides: one of them may be inside. */
static __always_inline bool outside(struct dentry *dir, u32 names)
{
	if (!izo_filter)
		return false;
	return !names && climb(number(dir)) == WHERE_OUT;
}

/* A name that was removed while it was open says nothing of where the object's
 * other name is. */
static __always_inline bool removed(u64 dentry)
{
	struct dentry *d = (void *)dentry;

	return !BPF_CORE_READ(d, d_hash.pprev);
}

/* The same for an object met by dentry. */
static __always_inline bool outside_dentry(struct dentry *d)
{
	struct inode *i = d->d_inode;

	if (!izo_filter)
		return false;
	if (!is_dir(i) && i->i_nlink != 1)
		return false;
	return !removed(number(d)) && climb(number(d)) == WHERE_OUT;
}

/* From an inode's list of aliases to the dentry. */
static __always_inline u64 dentry_of(struct hlist_node *alias)
{
	struct dentry___nameless *d = NULL;

	if (bpf_core_field_exists(d->d_alias))
		return (u64)alias - bpf_core_field_offset(d->d_alias);
	return (u64)alias - bpf_core_field_offset(struct dentry, d_u.d_alias);
}

/* The same for an inode: by its first alias; none is no certainty. */
__noinline int inode_outside(u64 inode)
{
	struct inode *i = (void *)inode;
	struct hlist_node *alias = BPF_CORE_READ(i, i_dentry.first);
	u64 dentry;

	if ((BPF_CORE_READ(i, i_mode) & S_IFMT) != S_IFDIR &&
	    BPF_CORE_READ(i, i_nlink) != 1)
		return 0;
	if (!alias)
		return 0;
	dentry = dentry_of(alias);
	return !removed(dentry) && climb(dentry) == WHERE_OUT;
}

static __always_inline bool outside_inode(struct inode *i)
{
	return izo_filter && inode_outside(number(i));
}

#endif
