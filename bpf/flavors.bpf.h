/* SPDX-License-Identifier: GPL-2.0 */
/*
 * flavors.bpf.h: the kernel types that the programs touch, and how they differ.
 *
 * In place of vmlinux.h: every member is found by name when the object is
 * loaded (CO-RE), so one object serves all kernels and is built on a host
 * without the target's BTF. A suffix after ___ is no part of a type's name:
 * such types hold the members that only some kernels have, each with the
 * version that made the difference.
 */
#ifndef BPF_FLAVORS_H
#define BPF_FLAVORS_H

#include <linux/types.h>
#include <linux/bpf.h>
#include <stdbool.h>

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
typedef __s32 s32;
typedef __s64 s64;

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

typedef struct { u32 val; } kuid_t;
typedef struct { u32 val; } kgid_t;
typedef struct { int counter; } atomic_t;

struct hlist_node { struct hlist_node *next; };
struct hlist_head { struct hlist_node *first; };
struct hlist_bl_node { struct hlist_bl_node *next, **pprev; };
struct timespec64 { s64 tv_sec; long tv_nsec; };
struct qstr { u32 len; const unsigned char *name; };

struct super_operations { void *sync_fs; };
struct super_block {
	u32 s_dev;
	struct dentry *s_root;
	const struct super_operations *s_op;
};

struct posix_acl_entry { short e_tag; unsigned short e_perm; kuid_t e_uid; };
struct posix_acl { unsigned int a_count; struct posix_acl_entry a_entries[0]; };

struct inode {
	u16 i_mode;
	kuid_t i_uid;
	kgid_t i_gid;
	u32 i_flags;
	struct posix_acl *i_acl, *i_default_acl;
	const struct inode_operations *i_op;
	struct super_block *i_sb;
	unsigned long i_ino;
	unsigned int i_nlink;
	u32 i_rdev;
	s64 i_size;
	struct hlist_head i_dentry;
	atomic_t i_writecount;
	const struct file_operations *i_fop;
	u32 i_generation;
};

/* Times: plain timespec64 up to 6.5; __i_ctime from 6.6, the other two with
 * underscores from 6.7; seconds and nanoseconds apart from 6.11. */
struct inode___ts { struct timespec64 i_atime, i_mtime, i_ctime; };
struct inode___ts67 { struct timespec64 __i_atime, __i_mtime, __i_ctime; };
struct inode___parts {
	s64 i_atime_sec, i_mtime_sec, i_ctime_sec;
	u32 i_atime_nsec, i_mtime_nsec, i_ctime_nsec;
};

struct dentry {
	unsigned int d_flags;
	struct hlist_bl_node d_hash;	/* pprev NULL: unhashed */
	struct dentry *d_parent;
	struct qstr d_name;
	struct inode *d_inode;
	union { struct hlist_node d_alias; } d_u;
};
/* Older kernels call this union d_u; in 7.3 it has no name. */
struct dentry___nameless { struct hlist_node d_alias; };
struct path { struct dentry *dentry; };
struct file {
	struct path f_path;
	struct inode *f_inode;
	unsigned int f_flags, f_mode;
};
struct kiocb { struct file *ki_filp; s64 ki_pos; int ki_flags; };
struct iattr { unsigned int ia_valid; };
struct cred { kuid_t fsuid; };
struct task_struct { int tgid; const struct cred *cred; char comm[16]; };

/* The argument of fileattr_set: struct file_kattr from 6.17. */
struct fileattr { u32 flags, fsx_projid; };
struct file_kattr { u32 flags, fsx_projid; };

struct inode_operations {
	void *create, *mkdir, *mknod, *symlink, *link, *unlink, *rmdir, *rename;
	void *tmpfile, *setattr, *set_acl, *fileattr_set;
};
/* 6.2 renamed get_acl and, in the same series, gave set_acl a dentry. */
struct inode_operations___acl62 { void *get_inode_acl; };
struct file_operations {
	void *open, *release, *fsync, *fallocate, *remap_file_range;
	void *unlocked_ioctl;
};

struct address_space { struct inode *host; };
struct folio { unsigned long flags; unsigned long index; };
/* flags is a struct from 6.18. */
struct memdesc_flags___618 { unsigned long f; };
struct folio___618 { struct memdesc_flags___618 flags; };
/* The size of a large folio: _folio_nr_pages up to 6.14, then _nr_pages. */
struct folio___nr { unsigned int _folio_nr_pages; };
struct folio___nr615 { unsigned int _nr_pages; };
struct folio___order { unsigned long _flags_1; };
enum pageflags { PG_head = 0 };

struct iomap_dio { struct kiocb *iocb; s64 size; unsigned int flags; };

/* Filesystems' own. */
typedef struct { u32 val; } kprojid_t;
struct ext4_inode_info {
	u32 i_sync_tid;
	unsigned long i_flags;
	kprojid_t i_projid;
	struct inode vfs_inode;
};
struct xfs_inode_log_item { s64 ili_commit_seq; };
struct xfs_inode {
	struct xfs_inode_log_item *i_itemp;
	u16 i_diflags;
	u32 i_projid;
	struct inode i_vnode;
};
struct xfs_da_args {
	struct xfs_inode *dp;
	const u8 *name;
	int namelen, valuelen;		/* namelen: a short from 6.10 */
	void *value;
	unsigned int attr_filter;	/* a byte from 6.9 */
};
struct xfs_exchrange { struct file *file1, *file2; };
struct btrfs_key { u64 objectid; };
struct btrfs_root { struct btrfs_key root_key; };
struct btrfs_inode { struct btrfs_root *root; u64 last_trans; struct inode vfs_inode; };

#pragma clang attribute pop

#define S_IFMT		0170000
#define S_IFREG		0100000
#define S_IFDIR		0040000
#define S_IFBLK		0060000
#define S_IFCHR		0020000
#define FMODE_WRITE	0x2
#define RENAME_EXCHANGE	2
#define RENAME_WHITEOUT	4
#define FMODE_CREATED	0x100000
#define DCACHE_DISCONNECTED_BIT	5	/* 0x20 since 3.12, and in 6.15's enum */

#endif
