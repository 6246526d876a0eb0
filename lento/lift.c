// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * lift.c: immutable and append-only flags switched off for one step, and a
 * capability that writing would take away. Before anything is switched off, a
 * file in lifted/ says in its xattrs what was there; names and xattrs are in
 * the filesystem's own log and therefore never younger than the change they
 * protect. Whatever is still found there at the next start is restored.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include "lento/lift.h"
#include "lib/cleanup.h"

#define LIFT_FLAGS	(FS_IMMUTABLE_FL | FS_APPEND_FL)
#define LIFT_XATTR	"trusted.intermezzo.flags"
#define LIFT_CAP	"trusted.intermezzo.cap"
#define CAPABILITY	"security.capability"
#define CAP_MAX		64	/* VFS_CAP_REVISION_3 needs 24 */

/* FS_IOC_*FLAGS need a true descriptor of a file or directory. */
static int true_fd(int fd)
{
	struct stat st;
	char path[32];

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
		return -ENOTTY;
	fd_path(fd, path);
	fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int note(struct stage *s, struct lift *l)
{
	_cleanup_fd_ int fd = -1;
	struct izo_fid local;
	int r = fid_of(s->mount, l->fd, "", &local);

	if (r < 0)
		return r;
	stage_name(&local, l->name);
	fd = openat(s->lifted, l->name, O_WRONLY | O_CREAT | O_NOFOLLOW |
		    O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	if (fsetxattr(fd, LIFT_XATTR, &l->flags, sizeof(l->flags), 0) < 0)
		return -errno;
	if (l->cap && fsetxattr(fd, LIFT_CAP, l->cap, l->cap_len, 0) < 0)
		return -errno;
	return 0;
}

static int take_cap(struct lift *l)
{
	unsigned char value[CAP_MAX];
	ssize_t n = fgetxattr(l->fd, CAPABILITY, value, sizeof(value));

	if (n < 0)
		return errno == ENODATA || errno == EOPNOTSUPP ? 0 : -errno;
	l->cap = malloc(n ? n : 1);
	if (!l->cap)
		return -ENOMEM;
	memcpy(l->cap, value, n);
	l->cap_len = n;
	return 0;
}

static void drop(struct lift *l)
{
	cleanup_fd(&l->fd);
	free(take_ptr(l->cap));
	l->fd = -1;
}

int lift_begin(struct stage *s, int fd, bool cap, struct lift *ret)
{
	struct lift l = { .fd = true_fd(fd) };
	int flags = 0, r = 0;

	*ret = (struct lift){ .fd = -1 };
	if (l.fd < 0)
		return l.fd == -ENOTTY ? 0 : l.fd;
	if (ioctl(l.fd, FS_IOC_GETFLAGS, &flags) < 0)
		flags = 0;
	l.flags = flags & LIFT_FLAGS;
	if (cap)
		r = take_cap(&l);
	if (r < 0 || (!l.flags && !l.cap)) {
		drop(&l);
		return r;
	}
	r = note(s, &l);
	flags &= ~LIFT_FLAGS;
	if (!r && l.flags && ioctl(l.fd, FS_IOC_SETFLAGS, &flags) < 0)
		r = -errno;
	if (r < 0) {
		drop(&l);
		return r;
	}
	*ret = l;
	return 1;
}

static int restore(int fd, unsigned flags, const void *cap, unsigned cap_len)
{
	int now = 0;

	if (cap && fsetxattr(fd, CAPABILITY, cap, cap_len, 0) < 0)
		return -errno;
	if (!flags)
		return 0;
	if (ioctl(fd, FS_IOC_GETFLAGS, &now) < 0)
		return -errno;
	now |= flags;
	return ioctl(fd, FS_IOC_SETFLAGS, &now) < 0 ? -errno : 0;
}

int lift_end(struct stage *s, struct lift *l)
{
	int r;

	if (l->fd < 0)
		return 0;
	r = restore(l->fd, l->flags, l->cap, l->cap_len);
	if (!r)
		unlinkat(s->lifted, l->name, 0);
	drop(l);
	return r;
}

static int mend_one(struct stage *s, const char *name)
{
	_cleanup_fd_ int fd = openat(s->lifted, name, O_RDONLY | O_NOFOLLOW |
				     O_CLOEXEC);
	_cleanup_fd_ int obj = -1;
	unsigned char cap[CAP_MAX];
	unsigned long long ino, subvol;
	struct izo_fid local = { 0 };
	unsigned flags = 0, gen;
	ssize_t n;
	int r = 0;

	if (fd < 0 || sscanf(name, "%llx.%x.%llx", &ino, &gen, &subvol) != 3)
		return 0;
	local.ino = ino;
	local.gen = gen;
	local.subvol = subvol;
	n = fgetxattr(fd, LIFT_CAP, cap, sizeof(cap));
	obj = fid_open(s->mount, &local, O_RDONLY | O_NONBLOCK);
	if (obj >= 0 &&
	    (fgetxattr(fd, LIFT_XATTR, &flags, sizeof(flags)) > 0 || n > 0))
		r = restore(obj, flags & LIFT_FLAGS, n > 0 ? cap : NULL, n);
	if (!r)
		unlinkat(s->lifted, name, 0);
	return r;
}

int lift_mend(struct stage *s)
{
	_cleanup_dir_ DIR *d = NULL;
	struct dirent *e;
	int fd = openat(s->lifted, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = 0;

	if (fd < 0)
		return -errno;
	d = fdopendir(fd);
	if (!d) {
		close(fd);
		return -ENOMEM;
	}
	while (!r && (e = readdir(d)))
		if (e->d_name[0] != '.')
			r = mend_one(s, e->d_name);
	return r;
}
