// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * fid.c: FIDs from objects and objects from FIDs, through file handles. Enters:
 * a descriptor or a name on a mount, or a FID. Leaves: the FID, a descriptor,
 * or attributes in the record's form.
 *
 * The handle layouts are the kernel's (fs/exportfs, fs/xfs/xfs_export.h,
 * fs/btrfs/export.h) and part of its ABI towards NFS clients:
 *   ext4   1     {u32 ino, u32 gen}
 *   xfs    1     {u32 ino, u32 gen}   or   0x81  {u64 ino, u32 gen}, packed
 *   btrfs  0x4d  {u64 objectid, u64 root, u32 gen}, packed
 * What must always hold: fid_open(fid_of(x)) is x, or -ESTALE.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <time.h>
#include "lib/fid.h"

#define XFS_MAGIC	0x58465342	/* XFS_SB_MAGIC: not in linux/magic.h */

enum {
	HANDLE_INO32_GEN = 1,
	HANDLE_BTRFS	 = 0x4d,	/* FILEID_BTRFS_WITHOUT_PARENT */
	HANDLE_XFS_INO64 = 0x81,	/* INO32_GEN | XFS_FILEID_TYPE_64FLAG */
};

struct ino32_handle {
	__u32 ino, gen;
};
struct ino64_handle {
	__u64 ino;
	__u32 gen;
} __attribute__((packed));
struct btrfs_handle {
	__u64 objectid, root;
	__u32 gen;
} __attribute__((packed));

/* The kernel's struct file_handle with room for any of the above. */
struct handle {
	unsigned int bytes;
	int type;
	unsigned char data[MAX_HANDLE_SZ];
};
_Static_assert(offsetof(struct handle, data) == sizeof(struct file_handle),
	       "same head as struct file_handle");

int fid_mount_init(struct fid_mount *m, int fd)
{
	struct handle h = { .bytes = MAX_HANDLE_SZ };
	struct statfs st;

	if (fstatfs(fd, &st))
		return -errno;
	m->fd = fd;
	m->id = -1;
	name_to_handle_at(fd, "", (struct file_handle *)&h, &m->id, AT_EMPTY_PATH);
	switch ((unsigned long)st.f_type) {
	case EXT4_SUPER_MAGIC:
		m->fs = FID_FS_EXT4;
		break;
	case XFS_MAGIC:
		m->fs = FID_FS_XFS;
		break;
	case BTRFS_SUPER_MAGIC:
		m->fs = FID_FS_BTRFS;
		break;
	default:
		m->fs = FID_FS_OTHER;
	}
	return 0;
}

/* In a snapshot it stands where a subvolume was, and cannot be opened by FID. */
#define EMPTY_SUBVOL_DIR	2

static int fid_from_btrfs(const struct handle *h, struct izo_fid *ret)
{
	struct btrfs_handle b;

	if (h->type != HANDLE_BTRFS || h->bytes < sizeof(b))
		return -EOPNOTSUPP;
	memcpy(&b, h->data, sizeof(b));
	if (b.objectid == EMPTY_SUBVOL_DIR)
		return -EXDEV;
	*ret = (struct izo_fid){ .ino = b.objectid, .subvol = b.root,
				 .gen = b.gen };
	return 0;
}

static int fid_from_ino(const struct handle *h, struct izo_fid *ret)
{
	struct ino32_handle s;
	struct ino64_handle l;

	if (h->type == HANDLE_INO32_GEN && h->bytes >= sizeof(s)) {
		memcpy(&s, h->data, sizeof(s));
		*ret = (struct izo_fid){ .ino = s.ino, .gen = s.gen };
		return 0;
	}
	if (h->type == HANDLE_XFS_INO64 && h->bytes >= sizeof(l)) {
		memcpy(&l, h->data, sizeof(l));
		*ret = (struct izo_fid){ .ino = l.ino, .gen = l.gen };
		return 0;
	}
	return -EOPNOTSUPP;
}

int fid_of(const struct fid_mount *m, int dirfd, const char *name,
	   struct izo_fid *ret)
{
	struct handle h = { .bytes = MAX_HANDLE_SZ };
	int mount_id;

	if (name_to_handle_at(dirfd, name, (struct file_handle *)&h, &mount_id,
			      *name ? 0 : AT_EMPTY_PATH))
		return -errno;
	if (mount_id != m->id)
		return -EXDEV;
	switch (m->fs) {
	case FID_FS_EXT4:
	case FID_FS_XFS:
		return fid_from_ino(&h, ret);
	case FID_FS_BTRFS:
		return fid_from_btrfs(&h, ret);
	default:
		return -EOPNOTSUPP;
	}
}

/* xfs takes both types for any inode; 0x81 is the one that always fits. */
static int fid_to_handle(const struct fid_mount *m, const struct izo_fid *fid,
			 struct handle *h)
{
	struct ino32_handle s = { .ino = fid->ino, .gen = fid->gen };
	struct ino64_handle l = { .ino = fid->ino, .gen = fid->gen };
	struct btrfs_handle b = { .objectid = fid->ino, .root = fid->subvol,
				  .gen = fid->gen };

	switch (m->fs) {
	case FID_FS_EXT4:
		if (fid->ino > UINT32_MAX)
			return -ESTALE;
		h->type = HANDLE_INO32_GEN;
		h->bytes = sizeof(s);
		memcpy(h->data, &s, sizeof(s));
		return 0;
	case FID_FS_XFS:
		h->type = HANDLE_XFS_INO64;
		/* The kernel counts in 4-byte words: 3 of them. */
		h->bytes = sizeof(l);
		memcpy(h->data, &l, sizeof(l));
		return 0;
	case FID_FS_BTRFS:
		h->type = HANDLE_BTRFS;
		h->bytes = sizeof(b);
		memcpy(h->data, &b, sizeof(b));
		return 0;
	default:
		return -EOPNOTSUPP;
	}
}

/* While an inode is being made, the kernel says ENOMEM to who asks for its number by
 * a handle (iget_locked of I_CREATING): the number of a removed file is used again.
 * It is over in a moment. */
#define CREATING_MS	1000

int fid_open(const struct fid_mount *m, const struct izo_fid *fid, int flags)
{
	struct handle h;
	int r = fid_to_handle(m, fid, &h), fd;

	if (r)
		return r;
	for (unsigned tries = 0; ; tries++) {
		fd = open_by_handle_at(m->fd, (struct file_handle *)&h,
				       flags | O_CLOEXEC);
		if (fd >= 0 || errno != ENOMEM || tries == CREATING_MS)
			return fd < 0 ? -errno : fd;
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	}
}

/* new_encode_dev() of the kernel: minors in bits 0-7 and 20-31. */
static __u32 dev_encode(unsigned major, unsigned minor)
{
	return (minor & 0xff) | major << 8 | (minor & ~0xffu) << 12;
}

static struct izo_time time_of(const struct statx_timestamp *t)
{
	return (struct izo_time){ .sec = t->tv_sec, .nsec = t->tv_nsec };
}

int fid_attr(int fd, struct izo_attr *ret)
{
	struct statx x;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &x))
		return -errno;
	*ret = (struct izo_attr){
		.mode = x.stx_mode,
		.uid = x.stx_uid,
		.gid = x.stx_gid,
		.nlink = x.stx_nlink,
		.rdev = dev_encode(x.stx_rdev_major, x.stx_rdev_minor),
		.size = x.stx_size,
		.mtime = time_of(&x.stx_mtime),
		.atime = time_of(&x.stx_atime),
		.ctime = time_of(&x.stx_ctime),
	};
	return 0;
}

int fid_push(struct fid_list *l, const struct izo_fid *fid)
{
	if (l->n == l->size) {
		size_t size = l->size ? l->size * 2 : 256;
		struct izo_fid *p = realloc(l->fid, size * sizeof(*p));

		if (!p)
			return -ENOMEM;
		l->fid = p;
		l->size = size;
	}
	l->fid[l->n++] = *fid;
	return 0;
}
