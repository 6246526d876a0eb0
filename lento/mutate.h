/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mutate.h: one system call that changes the tree. Refused with EPERM, it is
 * tried again with the immutable and append-only flags of everything it touches
 * lifted (lift.h), so that nobody else needs to think of them.
 */
#ifndef LENTO_MUTATE_H
#define LENTO_MUTATE_H

#include <stddef.h>
#include <sys/types.h>
#include <time.h>
#include "lento/stage.h"

enum mutate_call {
	MUTATE_RENAME,		/* fd/name -> fd2/name2, flags */
	MUTATE_LINK,		/* the object fd -> fd2/name2 */
	MUTATE_UNLINK,		/* fd/name, flags AT_REMOVEDIR */
	MUTATE_MKNOD,		/* fd/name, mode, device 0 */
	MUTATE_CHOWN,		/* from here on: the object fd, O_PATH will do */
	MUTATE_CHMOD,
	MUTATE_XATTR,		/* name, value, len */
	MUTATE_XATTR_REMOVE,
	MUTATE_TIMES,
};

struct mutate {
	enum mutate_call call;
	int fd, fd2;
	const char *name, *name2;
	unsigned flags;
	mode_t mode;
	uid_t uid;
	gid_t gid;
	const void *value;
	size_t len;
	struct timespec time[2];	/* access, modification */
};

/* 0 or -errno of the call. */
int mutate(struct stage *s, const struct mutate *m);

static inline int mutate_rename(struct stage *s, int fd, const char *name,
				int fd2, const char *name2, unsigned flags)
{
	return mutate(s, &(struct mutate){ .call = MUTATE_RENAME, .fd = fd,
		.name = name, .fd2 = fd2, .name2 = name2, .flags = flags });
}
static inline int mutate_unlink(struct stage *s, int fd, const char *name,
				unsigned flags)
{
	return mutate(s, &(struct mutate){ .call = MUTATE_UNLINK, .fd = fd,
		.fd2 = -1, .name = name, .flags = flags });
}

#endif
