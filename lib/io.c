// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * io.c: whole transfers, atomic files, folders, random bytes and sizes. Enters:
 * descriptors and names of the caller. Leaves: all of what was asked for, or
 * -errno and nothing half done that a later call would take for whole.
 *
 * What must always hold: file_replace() never shows a mixture of old and new,
 * whenever the power is cut.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>
#include "lib/cleanup.h"
#include "lib/io.h"

ssize_t read_full(int fd, void *buf, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = read(fd, (char *)buf + done, len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			break;
		done += n;
	}
	return done;
}

ssize_t pread_full(int fd, void *buf, size_t len, uint64_t off)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = pread(fd, (char *)buf + done, len - done, off + done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			break;
		done += n;
	}
	return done;
}

int write_full(int fd, const void *buf, size_t len)
{
	const char *p = buf;

	while (len) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		len -= n;
	}
	return 0;
}

int pwrite_full(int fd, const void *buf, size_t len, uint64_t off)
{
	const char *p = buf;

	while (len) {
		ssize_t n = pwrite(fd, p, len, off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		off += n;
		len -= n;
	}
	return 0;
}

int mkdir_all(int dir_fd, const char *path, mode_t mode)
{
	_cleanup_free_ char *part = strdup(path);
	char *p = part;

	if (!part)
		return -ENOMEM;
	for (;;) {
		char saved;

		p += strspn(p, "/");
		p += strcspn(p, "/");
		saved = *p;
		*p = 0;
		if (*part && mkdirat(dir_fd, part, mode) && errno != EEXIST)
			return -errno;
		if (!saved)
			return 0;
		*p = saved;
	}
}

int mkdir_open(int dir_fd, const char *path, mode_t mode)
{
	int r = mkdir_all(dir_fd, path, mode), fd;

	if (r)
		return r;
	fd = openat(dir_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int dir_sync(int dir_fd)
{
	return fsync(dir_fd) ? -errno : 0;
}

static int file_write_new(int dir_fd, const char *name, const void *buf,
			  size_t len, mode_t mode)
{
	_cleanup_fd_ int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL |
				     O_NOFOLLOW | O_CLOEXEC, mode);
	int r;

	if (fd < 0)
		return -errno;
	r = write_full(fd, buf, len);
	if (!r && fsync(fd))
		r = -errno;
	return r;
}

int file_replace(int dir_fd, const char *name, const void *buf, size_t len,
		 mode_t mode)
{
	char tmp[NAME_MAX + 1];
	int r;

	if (snprintf(tmp, sizeof(tmp), ".%s.%016llx", name,
		     (unsigned long long)random_u64()) >= (int)sizeof(tmp))
		return -ENAMETOOLONG;
	r = file_write_new(dir_fd, tmp, buf, len, mode);
	if (!r && renameat(dir_fd, tmp, dir_fd, name))
		r = -errno;
	if (r) {
		unlinkat(dir_fd, tmp, 0);
		return r;
	}
	return dir_sync(dir_fd);
}

int file_read(int dir_fd, const char *name, size_t max, char **ret,
	      size_t *ret_len)
{
	_cleanup_fd_ int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC);
	_cleanup_free_ char *buf = NULL;
	struct stat st;
	ssize_t n;

	if (fd < 0 || fstat(fd, &st))
		return -errno;
	if ((uint64_t)st.st_size > max)
		return -EFBIG;
	buf = malloc(st.st_size + 1);
	if (!buf)
		return -ENOMEM;
	n = read_full(fd, buf, st.st_size);
	if (n < 0)
		return n;
	buf[n] = 0;
	*ret = take_ptr(buf);
	if (ret_len)
		*ret_len = n;
	return 0;
}

void random_bytes(void *buf, size_t len)
{
	char *p = buf;

	while (len) {
		ssize_t n = getrandom(p, len, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			abort();	/* since Linux 3.17 only by a bug */
		p += n;
		len -= n;
	}
}

uint64_t random_u64(void)
{
	uint64_t v;

	do
		random_bytes(&v, sizeof(v));
	while (!v);
	return v;
}

int size_parse(const char *text, uint64_t *ret)
{
	unsigned shift = 0;
	uint64_t v = 0;
	const char *p;

	for (p = text; *p >= '0' && *p <= '9'; p++)
		if (__builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(*p - '0'), &v))
			return -ERANGE;
	if (p == text)
		return -EINVAL;
	if (*p == 'K')
		shift = 10;
	else if (*p == 'M')
		shift = 20;
	else if (*p == 'G')
		shift = 30;
	if (shift)
		p++;
	if (*p)
		return -EINVAL;
	if (v > UINT64_MAX >> shift)
		return -ERANGE;
	*ret = v << shift;
	return 0;
}
