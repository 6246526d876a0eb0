// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * listing.c: see listing.h. What vanishes between readdir and a look at it is
 * left out: its removal is in the journal.
 */
#include "lento/listing.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>
#include "lib/cleanup.h"
#include "lib/codec.h"
#include "lib/lease.h"

#define FRAME_BYTES	(192u << 10)
#define OUR_XATTR	"trusted.intermezzo."

struct page {
	const struct listing *l;
	uint64_t ask;
	unsigned char *buf;		/* FRAME_BYTES + IZO_RECORD_MAX */
	size_t bytes;
};

static int put(struct page *p, const struct izo_record *r)
{
	int e = 0;

	memcpy(p->buf + p->bytes, r, r->len);
	p->bytes += r->len;
	if (p->bytes >= FRAME_BYTES) {
		e = p->l->send(p->l->ctx, p->ask, p->buf, p->bytes, false);
		p->bytes = 0;
	}
	return e;
}

static int put_xattr(struct page *p, const char *path, const struct izo_fid *fid,
		     const char *name)
{
	_cleanup_free_ struct izo_record *r = NULL;
	_cleanup_free_ void *value = malloc(IZO_DATA_MAX);
	bool acl = !strncmp(name, "system.posix_acl_", 17);
	ssize_t n;

	if (!value)
		return -ENOMEM;
	if (!strncmp(name, OUR_XATTR, strlen(OUR_XATTR)) ||
	    (!acl && !strncmp(name, "system.", 7)))
		return 0;
	n = getxattr(path, name, value, IZO_DATA_MAX);
	if (n < 0)
		return errno == ENODATA || errno == EOPNOTSUPP ? 0 : -errno;
	r = record_new(acl ? IZO_ACL : IZO_XATTR, name, strlen(name), NULL, 0,
		       value, n);
	if (!r)
		return -ENOMEM;
	r->obj = *fid;
	return put(p, r);
}

static int put_xattrs(struct page *p, int fd, const struct izo_fid *fid)
{
	_cleanup_free_ char *names = NULL;
	char path[64];
	ssize_t n;
	int e = 0;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = listxattr(path, NULL, 0);
	if (n <= 0)
		return 0;
	names = malloc(n + 256);
	if (!names)
		return -ENOMEM;
	n = listxattr(path, names, n + 256);
	for (ssize_t at = 0; !e && at < n; at += strlen(names + at) + 1)
		e = put_xattr(p, path, fid, names + at);
	return e;
}

static int put_flags(struct page *p, int fd, const struct izo_fid *fid)
{
	_cleanup_free_ struct izo_record *r = NULL;
	struct fsxattr x;
	int flags;

	if (ioctl(fd, FS_IOC_GETFLAGS, &flags))
		return 0;	/* this filesystem has none */
	flags &= FS_IMMUTABLE_FL | FS_APPEND_FL | FS_NODUMP_FL | FS_NOATIME_FL |
		 FS_SYNC_FL | FS_DIRSYNC_FL;
	if (ioctl(fd, FS_IOC_FSGETXATTR, &x))
		x.fsx_projid = 0;
	if (!flags && !x.fsx_projid)
		return 0;
	r = record_new(IZO_FILEATTR, NULL, 0, NULL, 0, NULL, 0);
	if (!r)
		return -ENOMEM;
	r->obj = *fid;
	r->op_flags = flags;
	r->off = x.fsx_projid;
	return put(p, r);
}

/* The ENTRY of the open object fd and its XATTRs. */
static int put_object(struct page *p, int fd, const struct izo_fid *fid,
		      const struct izo_fid *dir, const char *name, mode_t type)
{
	_cleanup_free_ struct izo_record *r = NULL;
	char target[IZO_SYMLINK_MAX + 1];
	ssize_t n = 0;
	int e;

	if (S_ISLNK(type)) {
		n = readlinkat(fd, "", target, sizeof(target));
		if (n < 0 || n > IZO_SYMLINK_MAX)
			return n < 0 ? -errno : -ENAMETOOLONG;
	}
	r = record_new(IZO_ENTRY, name, strlen(name), NULL, 0, target, n);
	if (!r)
		return -ENOMEM;
	r->obj = *fid;
	if (dir)
		r->dir = *dir;
	r->flags = S_ISDIR(type) ? IZO_F_TREE : 0;
	e = fid_attr(fd, &r->attr);
	if (S_ISREG(type) && p->l->since && since_same(p->l->since, fid, &r->attr))
		r->flags |= IZO_F_AS_BASE;
	if (!e)
		e = put(p, r);
	if (!e)
		e = put_xattrs(p, fd, fid);
	if (!e && (S_ISREG(type) || S_ISDIR(type)))
		e = put_flags(p, fd, fid);
	return e;
}

static bool vanished(int e)
{
	return e == ENOENT || e == ESTALE || e == ELOOP || e == ENXIO;
}

static int put_child(struct page *p, int dir_fd, const struct izo_fid *dir,
		     const char *name)
{
	_cleanup_fd_ int fd = -1;
	struct izo_fid fid;
	unsigned tries = 0;
	struct stat st;
	bool plain;
	int e;

	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW))
		return vanished(errno) ? 0 : -errno;
	plain = S_ISREG(st.st_mode) || S_ISDIR(st.st_mode);
	do
		fd = openat(dir_fd, name, O_NOFOLLOW | O_CLOEXEC |
			    (plain ? O_RDONLY | O_NONBLOCK | O_NOATIME : O_PATH));
	while (lease_wait(fd < 0 ? -errno : 0, &tries, p->l->stop));
	if (fd < 0)
		return vanished(errno) ? 0 : -errno;
	e = fid_of(p->l->mount, fd, "", &fid);
	if (e == -EXDEV)	/* something is mounted there (where we have no tree
				 * of our own) */
		return 0;
	if (!e && fstat(fd, &st))
		e = -errno;
	if (!e)
		e = put_object(p, fd, &fid, dir, name, st.st_mode);
	return vanished(-e) ? 0 : e;
}

static int put_children(struct page *p, int dir_fd, const struct izo_fid *dir)
{
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_NOATIME), e = 0;
	_cleanup_dir_ DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *ent;

	if (!d) {
		e = -errno;
		if (fd >= 0)
			close(fd);
		return vanished(-e) ? 0 : e;
	}
	while (!e && (errno = 0, ent = readdir(d))) {
		if (!strcmp(ent->d_name, ".") || !strcmp(ent->d_name, "..") ||
		    index_excluded_ro(p->l->index, dir, ent->d_name,
				      strlen(ent->d_name)))
			continue;
		e = put_child(p, fd, dir, ent->d_name);
	}
	return e ? e : -errno;
}

/* Is the directory fd below the root, by its parents? By paths it could not be
 * said: they have a longest length. */
static bool below_root(const struct listing *l, int fd)
{
	_cleanup_fd_ int at = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	struct izo_fid root, ours, fid, last = { 0 };

	if (at < 0 || fid_of(l->mount, l->mount->fd, "", &root) ||
	    fid_of(l->mount, at, "", &fid))
		return false;
	if (fid_of(l->mount, l->mount->fd, ".intermezzo", &ours))
		ours = (struct izo_fid){ 0 };
	while (!fid_eq(&fid, &root)) {
		int up = openat(at, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);

		cleanup_fd(&at);
		at = up;
		last = fid;
		/* the same again: the top of the mount */
		if (at < 0 || fid_of(l->mount, at, "", &fid) || fid_eq(&fid, &last))
			return false;
	}
	return !fid_none(&last) && !fid_eq(&last, &ours);
}

bool listing_allowed(const struct listing *l, const struct izo_fid *fid)
{
	_cleanup_fd_ int fd = -1;

	if (index_inside_ro(l->index, fid))
		return true;
	fd = fid_open(l->mount, fid, O_PATH | O_DIRECTORY);
	return fd >= 0 && below_root(l, fd);
}

int listing_answer(const struct listing *l, const struct wire_list *w)
{
	struct page p = { .l = l, .ask = w->ask };
	_cleanup_free_ unsigned char *buf = malloc(FRAME_BYTES + IZO_RECORD_MAX + 8);
	_cleanup_fd_ int fd = fid_open(l->mount, &w->fid, O_PATH);
	struct stat st = { 0 };
	int e = 0;

	if (!buf)
		return -ENOMEM;
	p.buf = buf;
	if (fd >= 0 && fstat(fd, &st) == 0 &&
	    (S_ISDIR(st.st_mode) || S_ISREG(st.st_mode))) {
		unsigned tries = 0;
		int real;

		do
			real = fid_open(l->mount, &w->fid,
					O_RDONLY | O_NONBLOCK | O_NOATIME);
		while (lease_wait(real, &tries, l->stop));
		if (real >= 0) {
			close(fd);
			fd = real;
		}
	}
	if (fd >= 0 && st.st_nlink)
		e = put_object(&p, fd, &w->fid, NULL, "", st.st_mode);
	else if (fd < 0 && !vanished(-fd))
		return fd;
	if (!e && fd >= 0 && st.st_nlink && S_ISDIR(st.st_mode))
		e = put_children(&p, fd, &w->fid);
	if (vanished(-e))
		e = 0;
	return e ? e : l->send(l->ctx, w->ask, p.buf, p.bytes, true);
}
