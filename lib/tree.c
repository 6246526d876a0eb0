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
#include <unistd.h>
#include "lib/cleanup.h"
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
