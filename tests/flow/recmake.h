/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * recmake.h: does one operation in a source tree by system calls and returns
 * the record that the kernel's capture would make of it. For tests of the
 * applier and as a scripted capture source. Paths are relative to the root, or to
 * where rec_cd() went if they do not begin with a slash;
 * attributes in the record are those after the operation.
 */
#ifndef TESTS_RECMAKE_H
#define TESTS_RECMAKE_H

#include <stdint.h>
#include "lib/codec.h"
#include "lib/fid.h"

enum rec_op {
	REC_CREATE, REC_MKDIR, REC_MKNOD, REC_SYMLINK, REC_LINK, REC_UNLINK,
	REC_RMDIR, REC_RENAME, REC_TMPFILE, REC_LINKTMP, REC_CHMOD, REC_CHOWN,
	REC_UTIMENS, REC_TRUNCATE, REC_SETXATTR, REC_REMOVEXATTR, REC_SETACL,
	REC_CHATTR, REC_FALLOCATE, REC_CLOSE, REC_FSYNC, REC_WRITE,
};

struct rec_ctx {
	int root, base;		/* base: of rec_cd(), -1: the root */
	struct fid_mount mount;
	int tmp_fd;		/* the last TMPFILE, or -1; LINKTMP takes it */
};

struct rec_arg {
	enum rec_op op;
	const char *path;	/* LINK: the existing name */
	const char *path2;	/* RENAME, LINK: the new; SYMLINK: its text */
	uint32_t mode, uid, gid, flags, rdev;
	const char *name;	/* xattr or ACL name */
	const void *value;
	size_t len;
	uint64_t off, count;	/* WRITE: value at off; FALLOCATE, TRUNCATE off */
	struct timespec mtime;
};

int rec_init(struct rec_ctx *c, const char *root);
void rec_done(struct rec_ctx *c);
/* Later paths without a slash in front are from there: paths of the test stay
 * short where the tree is deep. 0 or -errno. */
int rec_cd(struct rec_ctx *c, const char *path);
/* 0 and the record (freed by the caller), or -errno and nothing happened. A
 * WRITE has no record: *ret is NULL, *ret_dirty the inode that is dirty; that
 * is also set by TRUNCATE and FALLOCATE. */
int rec_do(struct rec_ctx *c, const struct rec_arg *arg, struct izo_record **ret,
	   struct izo_fid *ret_dirty);

#endif
