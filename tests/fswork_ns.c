// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * fswork_ns: operations on names.
 *
 * A rename whose two names are one inode succeeds and does nothing; such a
 * pair is left alone, so that every rename counted is a rename recorded. The
 * lock in struct shared says who must hold it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "fswork.h"

static mode_t pick_mode(struct worker *w)
{
	static const mode_t modes[] = { 0644, 0600, 0755, 0664, 0444, 0700 };

	return modes[rnd_below(w, sizeof(modes) / sizeof(modes[0]))];
}

static int op_create(struct worker *w)
{
	char path[PATH_BYTES];
	mode_t mode = pick_mode(w);
	size_t len = rnd_below(w, 3) * 777;
	int fd, err = 0;

	fd = open(pick_file(w, path), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
		  mode);
	if (fd < 0)
		return -errno;
	op_done(w, KIND_CREATE, "create %s %o", path, mode);
	rnd_fill(w, len);
	if (len && write(fd, w->buf, len) != (ssize_t)len)
		err = -errno;
	else if (len)
		op_done(w, KIND_WRITE, "write %s 0 %zu", path, len);
	close(fd);
	return err;
}

static int op_mkdir(struct worker *w)
{
	char path[PATH_BYTES];
	const char *name = rnd_below(w, 6) ? pick_dir(w, path)
					   : pick_file(w, path);

	if (mkdir(name, 0755))
		return -errno;
	op_done(w, KIND_MKDIR, "mkdir %s 755", path);
	return 0;
}

static int op_mknod(struct worker *w)
{
	static const struct {
		mode_t mode;
		unsigned int minor;	/* of a free major: opening it fails */
	} nodes[] = {
		{ S_IFIFO | 0644, 0 }, { S_IFSOCK | 0700, 0 },
		{ S_IFCHR | 0600, 3 }, { S_IFCHR | 0666, 300 },
		{ S_IFBLK | 0640, 7 },
	};
	unsigned int i = rnd_below(w, sizeof(nodes) / sizeof(nodes[0]));
	char path[PATH_BYTES];
	dev_t dev = nodes[i].minor ? makedev(240, nodes[i].minor) : 0;

	if (mknod(pick_file(w, path), nodes[i].mode, dev))
		return -errno;
	op_done(w, KIND_MKNOD, "mknod %s %o %u", path, nodes[i].mode,
		nodes[i].minor);
	return 0;
}

static int op_symlink(struct worker *w)
{
	char path[PATH_BYTES], target[PATH_BYTES];

	pick_any(w, target);
	if (symlink(target, pick_file(w, path)))
		return -errno;
	op_done(w, KIND_SYMLINK, "symlink %s %s", target, path);
	return 0;
}

static int op_link(struct worker *w)
{
	char from[PATH_BYTES], to[PATH_BYTES];
	int err = 0;

	pick_file(w, from);
	pick_file(w, to);
	pthread_rwlock_rdlock(&w->shared->names);
	if (link(from, to))
		err = -errno;
	else
		op_done(w, KIND_LINK, "link %s %s", from, to);
	pthread_rwlock_unlock(&w->shared->names);
	return err;
}

static int op_unlink(struct worker *w)
{
	char path[PATH_BYTES];

	if (unlink(pick_file(w, path)))
		return -errno;
	op_done(w, KIND_UNLINK, "unlink %s", path);
	return 0;
}

static int op_rmdir(struct worker *w)
{
	char path[PATH_BYTES];

	if (rmdir(rnd_below(w, 6) ? pick_dir(w, path) : pick_file(w, path)))
		return -errno;
	op_done(w, KIND_RMDIR, "rmdir %s", path);
	return 0;
}

static bool one_inode(const char *from, const char *to)
{
	struct stat a, b;

	return !lstat(from, &a) && !lstat(to, &b) && a.st_ino == b.st_ino &&
	       a.st_dev == b.st_dev;
}

static int rename_locked(struct worker *w, const char *from, const char *to,
			 unsigned int flags)
{
	static const char *const name[] = { "rename", "rename-noreplace",
					    "rename-exchange" };

	if (!(flags & RENAME_NOREPLACE) && one_inode(from, to))
		return -EEXIST;
	if (renameat2(AT_FDCWD, from, AT_FDCWD, to, flags))
		return -errno;
	op_done(w, KIND_RENAME, "%s %s %s", name[flags], from, to);
	return 0;
}

static int rename_pair(struct worker *w, const char *from, const char *to,
		       unsigned int flags)
{
	int err;

	if (flags & RENAME_NOREPLACE)	/* never over a name: nothing to check */
		pthread_rwlock_rdlock(&w->shared->names);
	else
		pthread_rwlock_wrlock(&w->shared->names);
	err = rename_locked(w, from, to, flags);
	pthread_rwlock_unlock(&w->shared->names);
	return err;
}

static int op_rename(struct worker *w)
{
	char from[PATH_BYTES], to[PATH_BYTES];
	unsigned int flags = rnd_below(w, 3) ? 0 : RENAME_NOREPLACE;

	return rename_pair(w, pick_file(w, from), pick_file(w, to), flags);
}

static int op_rename_dir(struct worker *w)
{
	char from[PATH_BYTES], to[PATH_BYTES];
	unsigned int flags = rnd_below(w, 3) ? 0 : RENAME_NOREPLACE;

	return rename_pair(w, pick_dir(w, from), pick_dir(w, to), flags);
}

static int op_exchange(struct worker *w)
{
	char from[PATH_BYTES], to[PATH_BYTES];

	return rename_pair(w, pick_any(w, from), pick_any(w, to),
			   RENAME_EXCHANGE);
}

static int link_fd(struct worker *w, int fd, const char *path)
{
	char proc[32];
	int err = 0;

	sprintf(proc, "/proc/self/fd/%d", fd);
	pthread_rwlock_rdlock(&w->shared->names);
	if (linkat(AT_FDCWD, proc, AT_FDCWD, path, AT_SYMLINK_FOLLOW))
		err = -errno;
	else
		op_done(w, KIND_LINK, "link-tmpfile %s", path);
	pthread_rwlock_unlock(&w->shared->names);
	return err;
}

static int op_tmpfile(struct worker *w)
{
	char dir[PATH_BYTES], path[PATH_BYTES];
	bool publish = rnd_below(w, 4);
	int fd, err = 0;

	pick_dir(w, dir);
	pick_file(w, path);
	fd = open(dir, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0644);
	if (fd < 0)
		return -errno;
	op_done(w, KIND_TMPFILE, "tmpfile %s", dir);
	rnd_fill(w, 5000);
	if (write(fd, w->buf, 5000) == 5000)
		op_done(w, KIND_WRITE, "write-tmpfile 5000");
	if (publish)
		err = link_fd(w, fd, path);
	close(fd);
	return err;
}

const struct op ns_ops[] = {
	{ "create", 24, op_create },
	{ "mkdir", 8, op_mkdir },
	{ "mknod", 4, op_mknod },
	{ "symlink", 5, op_symlink },
	{ "link", 7, op_link },
	{ "unlink", 14, op_unlink },
	{ "rmdir", 5, op_rmdir },
	{ "rename", 12, op_rename },
	{ "rename-dir", 8, op_rename_dir },
	{ "exchange", 5, op_exchange },
	{ "tmpfile", 4, op_tmpfile },
	{ NULL, 0, NULL },
};
