// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * worklib: see worklib.h. Another process may truncate a file that is mapped
 * here: SIGBUS ends the stores, not the process.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "worklib.h"

enum { ACL_USER_OBJ = 1, ACL_USER = 2, ACL_GROUP_OBJ = 4, ACL_MASK = 16,
       ACL_OTHER = 32 };

uint64_t mix64(uint64_t x)
{
	x += 0x9e3779b97f4a7c15;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
	x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
	return x ^ (x >> 31);
}

bool work_expected(int err)
{
	static const int errors[] = {
		ENOENT, EEXIST, ENOTEMPTY, EINVAL, EXDEV, EISDIR, ENOTDIR,
		EOPNOTSUPP, ELOOP, EBUSY, ENODATA, ENOSPC, EDQUOT, EPERM,
		ENOSYS, ENOTTY, ENXIO, E2BIG, ERANGE, EMLINK, ETXTBSY,
		EACCES,		/* a default ACL for what is no directory */
	};

	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
		if (errors[i] == -err)
			return true;
	return false;
}

int work_open(const char *path, int flags)
{
	int fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	char proc[32];
	struct stat st;
	int file;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
		close(fd);
		return -EINVAL;
	}
	sprintf(proc, "/proc/self/fd/%d", fd);
	file = open(proc, flags | O_CLOEXEC);
	if (file < 0)
		file = -errno;
	close(fd);
	return file;
}

static sigjmp_buf bus_jump;

static void on_bus(int sig)
{
	(void)sig;
	siglongjmp(bus_jump, 1);
}

int work_store(unsigned char *map, const unsigned char *from, size_t len)
{
	struct sigaction action = { .sa_handler = on_bus }, old;
	int err = 0;

	sigaction(SIGBUS, &action, &old);
	if (sigsetjmp(bus_jump, 1))
		err = -ENXIO;
	else
		memcpy(map, from, len);
	sigaction(SIGBUS, &old, NULL);
	return err;
}

void work_acl(struct acl_blob *acl, unsigned int perms)
{
	static const uint16_t tags[] = { ACL_USER_OBJ, ACL_USER, ACL_USER,
					 ACL_GROUP_OBJ, ACL_MASK, ACL_OTHER };

	acl->version = 2;
	for (int i = 0; i < 6; i++) {
		acl->entry[i].tag = tags[i];
		acl->entry[i].perm = perms >> (3 * i) & 7;
		acl->entry[i].id = tags[i] == ACL_USER ? 100u * i : UINT32_MAX;
	}
}
