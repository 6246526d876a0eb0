// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * tree.c: see tree.h. A clone without the mounts below it is all there is to it;
 * it belongs to no mount namespace and is gone with the last descriptor. It leaves
 * the peer group of the mount that it was made of, so that nothing mounted there
 * later is propagated into it.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>
#include "lib/cleanup.h"
#include "lib/codec.h"
#include "lib/fid.h"
#include "lib/tree.h"

#ifndef OPEN_TREE_CLONE		/* glibc 2.36 has them all */
#error "open_tree(2) is needed"
#endif

static int clone_mount(const char *path)
{
	struct mount_attr private = { .propagation = MS_PRIVATE };
	_cleanup_fd_ int fd = open_tree(AT_FDCWD, path,
					OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

	if (fd < 0 || mount_setattr(fd, "", AT_EMPTY_PATH, &private,
				    sizeof(private)))
		return -1;
	return take_fd(&fd);
}

int tree_open(const char *path, struct tree *ret)
{
	*ret = TREE_CLOSED;
	ret->mount = clone_mount(path);
	ret->fd = ret->mount < 0 ?
		  open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) :
		  openat(ret->mount, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return ret->fd < 0 ? -errno : 0;
}

void tree_close(struct tree *t)
{
	cleanup_fd(&t->fd);
	cleanup_fd(&t->mount);
	*t = TREE_CLOSED;
}

/* Opens by its handle, as it lies below the mount of outer, the directory fd. */
static int open_below(const struct tree *outer, int fd)
{
	struct fid_mount from, to;
	struct izo_fid fid;
	int r = fid_mount_init(&from, fd);

	if (!r)
		r = fid_mount_init(&to, outer->fd);
	if (!r)
		r = fid_of(&from, fd, "", &fid);
	return r ? r : fid_open(&to, &fid, O_PATH | O_DIRECTORY);
}

static bool same(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

bool tree_holds(const char *outer, const char *inner)
{
	_cleanup_fd_ int in = open(inner, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_fd_ int at = -1;
	struct stat top, here, last = { 0 };
	struct tree out;
	bool holds = false;

	if (in < 0)
		return false;
	if (!tree_open(outer, &out) && !fstat(out.fd, &top) && !fstat(in, &here) &&
	    top.st_dev == here.st_dev) {
		at = open_below(&out, in);
		if (at < 0)	/* no handles here: as its path has it */
			at = fcntl(in, F_DUPFD_CLOEXEC, 0);
		while (at >= 0 && !fstat(at, &here) && !holds &&
		       here.st_dev == top.st_dev && !same(&here, &last)) {
			int up = openat(at, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);

			holds = same(&here, &top);
			last = here;
			cleanup_fd(&at);
			at = up;
		}
	}
	tree_close(&out);
	return holds;
}
