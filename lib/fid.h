/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fid.h: from an object to its FID and back, by file handles. A FID is
 * {inode, generation, subvolume}; the kernel's file handle of ext4, xfs and
 * btrfs is a pure function of it, so nothing needs to be remembered.
 */
#ifndef LIB_FID_H
#define LIB_FID_H

#include "intermezzo/record.h"

enum fid_fs { FID_FS_NONE, FID_FS_EXT4, FID_FS_XFS, FID_FS_BTRFS, FID_FS_OTHER };

struct fid_mount {
	int fd;			/* an open directory on the mount; borrowed */
	enum fid_fs fs;
	int id;			/* of the mount */
};

/* What kind of filesystem fd lies on. FID_FS_OTHER (tmpfs...): handles are not
 * understood. -errno. */
int fid_mount_init(struct fid_mount *m, int fd);

/* FID of dirfd/name, symlinks not followed; name "" = dirfd itself (also an
 * O_PATH one). 0 or -errno; -EXDEV: something else is mounted there. */
int fid_of(const struct fid_mount *m, int dirfd, const char *name,
	   struct izo_fid *ret);

/* Opens the object by handle: flags as open(2), O_PATH too. fd or -errno;
 * -ESTALE: no such object any more. Needs CAP_DAC_READ_SEARCH. */
int fid_open(const struct fid_mount *m, const struct izo_fid *fid, int flags);

/* Fills attr from the open object (O_PATH will do). 0 or -errno. */
int fid_attr(int fd, struct izo_attr *ret);

/* Objects to be looked into later: a tree may be deeper than there are
 * descriptors. To be zeroed; free(fid) at the end. */
struct fid_list {
	struct izo_fid *fid;
	size_t n, size;
};
int fid_push(struct fid_list *l, const struct izo_fid *fid);	/* 0 or -ENOMEM */

#endif
