// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * treecmp_object: everything there is to know about one object but its bytes.
 *
 * In: a directory fd, a name and the stat of the walk. Out: an open fd, inode
 * flags, symlink target, sorted xattrs. Fifos, sockets, devices and symlinks
 * are never opened, only referred to with O_PATH; their xattrs are read
 * through /proc/self/fd, which leads to the object itself. If the name leads
 * to another inode than at the stat, the tree is changing: -ESTALE.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "treecmp.h"

#define COMPARED_FLAGS (FS_IMMUTABLE_FL | FS_APPEND_FL | FS_NODUMP_FL | \
			FS_NOATIME_FL | FS_SYNC_FL | FS_DIRSYNC_FL)
#define LEASE_WAIT_US	20000
#define LEASE_TRIES	3000	/* a minute; the kernel's limit is 45 s */
#define OWN_XATTR "trusted.intermezzo."

int open_quiet(int dirfd, const char *name, int flags)
{
	int fd;

	flags |= O_RDONLY | O_CLOEXEC | O_NONBLOCK;
	for (unsigned tries = 0; ; tries++) {
		fd = openat(dirfd, name, flags | O_NOATIME);
		if (fd < 0 && errno == EPERM)
			fd = openat(dirfd, name, flags);
		/* a lease, for which its holder has a time limit */
		if (fd >= 0 || errno != EAGAIN || tries == LEASE_TRIES)
			break;
		usleep(LEASE_WAIT_US);
	}
	return fd < 0 ? -errno : fd;
}

static bool is_readable(mode_t mode)
{
	return S_ISREG(mode) || S_ISDIR(mode);
}

static int object_open(const struct job *job, enum side side)
{
	const struct stat *expected = &job->st[side];
	const char *name = job->node->name;
	int dirfd = job->dir->fd[side];
	struct stat st;
	int fd;

	if (is_readable(expected->st_mode)) {
		fd = open_quiet(dirfd, name, O_NOFOLLOW);
	} else {
		fd = openat(dirfd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0)
			fd = -errno;
	}
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) || st.st_ino != expected->st_ino ||
	    st.st_dev != expected->st_dev) {
		close(fd);
		return -ESTALE;
	}
	return fd;
}

static int flags_load(struct object *object)
{
	struct fsxattr x;
	int flags = 0;

	if (!ioctl(object->fd, FS_IOC_FSGETXATTR, &x))
		object->project = x.fsx_projid;
	if (ioctl(object->fd, FS_IOC_GETFLAGS, &flags)) {
		if (errno == ENOTTY || errno == EOPNOTSUPP || errno == ENOSYS)
			return 0;
		return -errno;
	}
	object->flags = flags & COMPARED_FLAGS;
	return 0;
}

static int target_load(struct object *object)
{
	size_t cap = 256;

	for (;;) {
		char *target = malloc(cap);
		ssize_t len;

		if (!target)
			abort();
		len = readlinkat(object->fd, "", target, cap);
		if (len >= 0 && (size_t)len < cap) {
			target[len] = '\0';
			object->target = target;
			return 0;
		}
		free(target);
		if (len < 0)
			return -errno;
		cap *= 2;
	}
}

/* xfs shows its ACLs a second time under its own names. */
static bool xattr_left_out(const char *name)
{
	return !strncmp(name, OWN_XATTR, strlen(OWN_XATTR)) ||
	       !strcmp(name, "trusted.SGI_ACL_FILE") ||
	       !strcmp(name, "trusted.SGI_ACL_DEFAULT") ||
	       glob_match(&options.exclude_xattr, name, 0);
}

static ssize_t list_names(const char *proc, char **ret_names)
{
	for (;;) {
		ssize_t size = listxattr(proc, NULL, 0);
		char *names;

		if (size <= 0)
			return size < 0 && errno != EOPNOTSUPP ? -errno : 0;
		names = malloc(size);
		if (!names)
			abort();
		size = listxattr(proc, names, size);
		if (size >= 0) {
			*ret_names = names;
			return size;
		}
		free(names);
		if (errno != ERANGE)
			return -errno;
	}
}

static int value_load(const char *proc, struct xattr *xattr)
{
	for (;;) {
		ssize_t size = getxattr(proc, xattr->name, NULL, 0);

		if (size < 0)
			return -errno;
		free(xattr->value);
		xattr->value = malloc(size + 1);
		if (!xattr->value)
			abort();
		size = getxattr(proc, xattr->name, xattr->value, size + 1);
		if (size >= 0) {
			xattr->len = size;
			return 0;
		}
		if (errno != ERANGE)
			return -errno;
	}
}

static int xattr_cmp(const void *a, const void *b)
{
	return strcmp(((const struct xattr *)a)->name,
		      ((const struct xattr *)b)->name);
}

static int xattrs_load(struct object *object)
{
	char proc[32];
	ssize_t size;

	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", object->fd);
	size = list_names(proc, &object->names);
	if (size <= 0)
		return size;
	for (char *p = object->names; p < object->names + size;
	     p += strlen(p) + 1) {
		struct xattr *grown, *xattr;
		int err;

		if (xattr_left_out(p))
			continue;
		grown = reallocarray(object->xattr, object->n_xattrs + 1,
				     sizeof(*grown));
		if (!grown)
			abort();
		object->xattr = grown;
		xattr = &grown[object->n_xattrs++];
		*xattr = (struct xattr){ .name = p };
		err = value_load(proc, xattr);
		if (err)
			return err;
	}
	if (object->n_xattrs)
		qsort(object->xattr, object->n_xattrs, sizeof(*object->xattr),
		      xattr_cmp);
	return 0;
}

int object_load(const struct job *job, enum side side, struct object *object,
		const char **ret_what)
{
	mode_t mode = job->st[side].st_mode;
	int err = 0;

	object->fd = object_open(job, side);
	*ret_what = "open";
	if (object->fd < 0)
		return object->fd;
	*ret_what = "inode flags";
	if (is_readable(mode))
		err = flags_load(object);
	if (err)
		return err;
	*ret_what = "symlink";
	if (S_ISLNK(mode))
		err = target_load(object);
	if (err)
		return err;
	*ret_what = "xattrs";
	return xattrs_load(object);
}

void object_done(struct object *object)
{
	if (object->fd >= 0)
		close(object->fd);
	for (size_t i = 0; i < object->n_xattrs; i++)
		free(object->xattr[i].value);
	free(object->xattr);
	free(object->names);
	free(object->target);
}
