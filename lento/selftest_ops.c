// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * selftest_ops.c: names, attributes, layout and order points: each operation
 * once, each record looked at (selftest.h).
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>
#include "lib/cleanup.h"
#include "lento/selftest_private.h"

/* ---- names ---- */

int selftest_names(struct selftest *t)
{
	int r, fd;

	fd = openat(t->dir, "n", O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
	r = selftest_expect_new(t, fd, "izo_create", IZO_CREATE, "n");
	if (fd >= 0)
		close(fd);
	if (!r)
		r = selftest_expect_new(t, mkdirat(t->dir, "d", 0700), "izo_mkdir",
					IZO_MKDIR, "d");
	if (!r)
		r = selftest_expect_new(t, mknodat(t->dir, "p", S_IFIFO | 0600, 0),
					"izo_mknod", IZO_MKNOD, "p");
	if (!r)
		r = selftest_expect_new(t, symlinkat("to/where", t->dir, "s"),
					"izo_symlink", IZO_SYMLINK, "s");
	if (!r)
		r = selftest_expect_new(t, linkat(t->dir, "n", t->dir, "l", 0),
					"izo_link", IZO_LINK, "l");
	return r;
}

int selftest_rename(struct selftest *t)
{
	struct izo_fid fid = {};
	int r = renameat(t->dir, "l", t->dir, "m");

	if (!r && fid_of(&t->mount, t->dir, "m", &fid))
		return selftest_silent(t, "izo_rename", "the object has no handle");
	return selftest_expect(t, r, "izo_rename", IZO_RENAME, "l", &fid);
}

int selftest_removal(struct selftest *t)
{
	const char *rmdir_hook = hooks_fn(t->h, "izo_rmdir")[0] ? "izo_rmdir" : "izo_unlink";
	int r;

	r = selftest_expect(t, unlinkat(t->dir, "m", 0), "izo_unlink", IZO_UNLINK,
			    "m", NULL);
	if (!r)
		r = selftest_expect(t, unlinkat(t->dir, "d", AT_REMOVEDIR), rmdir_hook,
				    IZO_RMDIR, "d", NULL);
	unlinkat(t->dir, "n", 0);
	unlinkat(t->dir, "p", 0);
	unlinkat(t->dir, "s", 0);
	return r;
}

int selftest_tmpfile(struct selftest *t)
{
	_cleanup_fd_ int fd = openat(t->dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd < 0 && errno == EISDIR)
		errno = EOPNOTSUPP;
	return selftest_expect(t, fd, "izo_tmpfile", IZO_TMPFILE, "", NULL);
}

/* ---- attributes ---- */

static int set_flag(int fd)
{
	int flags = 0;

	if (ioctl(fd, FS_IOC_GETFLAGS, &flags))
		return -1;
	flags |= FS_NOATIME_FL;
	return ioctl(fd, FS_IOC_SETFLAGS, &flags);
}

static int put(struct selftest *t, const char *name, const void *value, size_t len)
{
	const char *hook = t->h->fs == IZO_FS_EXT4 ? "izo_xattr_ext4" :
		t->h->fs == IZO_FS_XFS ? "izo_xattr_xfs" : "izo_xattr_btrfs";
	int r = value ? fsetxattr(t->fd, name, value, len, 0) : fremovexattr(t->fd, name);

	return selftest_expect(t, r, hook, IZO_XATTR, name, &t->file_fid);
}

static int put_acl(struct selftest *t)
{
	/* version, then {tag | perm << 16, id} */
	static const uint32_t value[] = { 2, 0x00060001, ~0u, 0x00040002, 1000,
		0x00040004, ~0u, 0x00060010, ~0u, 0x00000020, ~0u };
	const char *hook = hooks_fn(t->h, "izo_acl_inode")[0] ?
		"izo_acl_inode" : "izo_acl_dentry";
	const char *name = "system.posix_acl_access";

	return selftest_expect(t, fsetxattr(t->fd, name, value, sizeof(value), 0), hook,
			       IZO_ACL, name, &t->file_fid);
}

int selftest_attrs(struct selftest *t)
{
	int r;

	r = selftest_expect(t, fchmod(t->fd, 0640), "izo_setattr", IZO_SETATTR, NULL,
			    &t->file_fid);
	if (!r)
		r = put(t, "user.izo", "v", 1);
	if (!r)
		r = put(t, "trusted.izo", "v", 1);
	if (!r)
		r = put(t, "security.izo", "v", 1);
	if (!r)
		r = put(t, "user.izo", NULL, 0);
	if (!r)
		r = put_acl(t);
	if (!r)
		r = selftest_expect(t, set_flag(t->fd), "izo_fileattr", IZO_FILEATTR,
				    NULL, &t->file_fid);
	return r;
}

/* ---- layout and order points ---- */

int selftest_points(struct selftest *t)
{
	int fd, r;

	r = selftest_expect(t, fsync(t->fd), "izo_fsync", IZO_FSYNC, NULL, &t->file_fid);
	if (!r)
		r = selftest_expect(t, syncfs(t->fd), "izo_syncfs", IZO_SYNCFS, NULL,
				    NULL);
	if (!r)
		r = selftest_expect(t, fallocate(t->fd, 0, 0, 65536), "izo_falloc",
				    IZO_FALLOC, NULL, &t->file_fid);
	if (r)
		return r;
	close(t->fd);
	r = selftest_expect(t, 0, "izo_release", IZO_CLOSE, NULL, &t->file_fid);
	fd = t->fd = openat(t->dir, "f", O_RDWR | O_CLOEXEC);
	if (!r)
		r = selftest_expect(t, fd, "izo_open", IZO_OPENW, NULL, &t->file_fid);
	return r;
}

static int clone_into(struct selftest *t, int to)
{
	struct file_clone_range range = { .src_fd = t->fd, .src_length = 4096 };

	return ioctl(to, FICLONERANGE, &range);
}

int selftest_remap(struct selftest *t)
{
	_cleanup_fd_ int to = openat(t->dir, "r", O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	struct izo_fid fid;
	int r;

	if (to < 0 || fid_of(&t->mount, t->dir, "r", &fid))
		return selftest_silent(t, "izo_remap", "no file for the test");
	/* As was done to the other: with nodatasum btrfs gives an empty file its
	 * checksums back (6.1), and clones only between two that have them. */
	set_flag(to);
	selftest_clear(t);
	r = selftest_expect(t, clone_into(t, to), "izo_remap", IZO_REMAP, NULL, &fid);
	unlinkat(t->dir, "r", 0);
	return r;
}
