// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * mutate.c: see mutate.h. The call is made as it is first; only a refusal
 * costs the look at flags.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include "lento/lift.h"
#include "lento/mutate.h"
#include "lib/cleanup.h"

static int run(const struct mutate *m)
{
	char path[32];

	fd_path(m->fd, path);
	switch (m->call) {
	case MUTATE_RENAME:
		return renameat2(m->fd, m->name, m->fd2, m->name2, m->flags);
	case MUTATE_LINK:
		return linkat(m->fd, "", m->fd2, m->name2, AT_EMPTY_PATH);
	case MUTATE_UNLINK:
		return unlinkat(m->fd, m->name, m->flags);
	case MUTATE_MKNOD:
		return mknodat(m->fd, m->name, m->mode, 0);
	case MUTATE_CHOWN:
		return fchownat(m->fd, "", m->uid, m->gid, AT_EMPTY_PATH);
	case MUTATE_CHMOD:
		return chmod(path, m->mode);
	case MUTATE_XATTR:
		return setxattr(path, m->name, m->value, m->len, 0);
	case MUTATE_XATTR_REMOVE:
		return removexattr(path, m->name);
	case MUTATE_TIMES:
		return utimensat(m->fd, "", m->time, AT_EMPTY_PATH);
	}
	errno = EINVAL;
	return -1;
}

/* What the call touches: its descriptors and what stands at its names. */
static int touched(const struct mutate *m, int ret[4])
{
	bool names = m->call <= MUTATE_MKNOD;
	int n = 0;

	ret[n++] = fcntl(m->fd, F_DUPFD_CLOEXEC, 0);
	if (names && m->fd2 >= 0)
		ret[n++] = fcntl(m->fd2, F_DUPFD_CLOEXEC, 0);
	if (names && m->name)
		ret[n++] = openat(m->fd, m->name, O_PATH | O_NOFOLLOW |
				  O_CLOEXEC);
	if (names && m->name2)
		ret[n++] = openat(m->fd2, m->name2, O_PATH | O_NOFOLLOW |
				  O_CLOEXEC);
	return n;
}

static int run_lifted(struct stage *s, const struct mutate *m)
{
	struct lift lift[4];
	int fd[4], n = touched(m, fd), lifted = 0, r = 0, err;

	for (int i = 0; i < n; i++) {
		lift[i].fd = -1;
		if (fd[i] < 0)
			continue;
		err = lift_begin(s, fd[i], false, &lift[i]);
		if (err < 0)
			r = err;
		lifted += err > 0;
	}
	if (!r)
		r = !lifted ? -EPERM : run(m) < 0 ? -errno : 0;
	for (int i = n; i-- > 0;) {
		err = lift_end(s, &lift[i]);
		if (err < 0 && !r)
			r = err;
		cleanup_fd(&fd[i]);
	}
	return r;
}

int mutate(struct stage *s, const struct mutate *m)
{
	if (!run(m))
		return 0;
	return errno == EPERM ? run_lifted(s, m) : -errno;
}
