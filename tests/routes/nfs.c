// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * nfs.c: what another host does to a tree that the kernel's NFS server exports
 * (see routes.h). Needs a mount of the export: ROUTES_NFS is where it is,
 * ROUTES_EXPORT the exported directory, both without a slash at their ends.
 */
#include <fcntl.h>
#include <limits.h>
#include <linux/falloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>
#include "tests/routes/routes.h"

/* This working directory, by way of the mount. */
static int enter(void)
{
	const char *mount = getenv("ROUTES_NFS"), *export = getenv("ROUTES_EXPORT");
	char here[PATH_MAX], path[2 * PATH_MAX];
	size_t n = export ? strlen(export) : 0;

	if (!mount || !*mount || !n)
		return skip("no NFS server");
	if (!getcwd(here, sizeof(here)))
		return -errno;
	if (strncmp(here, export, n))
		return -EXDEV;
	snprintf(path, sizeof(path), "%s%s", mount, here + n);
	TRY(chdir(path));
	return 0;
}
/* Leaves the function: a skip as well. */
#define ENTER() do { int e_r = enter(); if (e_r) return e_r; } while (0)

static int r_use(void) { ENTER(); return use("d"); }
static int r_names(void)
{
	ENTER();
	TRY(rename("f", "g"));		/* over a file */
	TRY(rename("d/sub", "e/sub"));
	TRY(unlink("s"));
	TRY(rmdir("dacl"));
	TRY(mkfifo("nf", 0640));
	TRY(close(open("nx", O_CREAT | O_EXCL | O_WRONLY, 0604)));
	return 0;
}
static int r_write(void)
{
	int fd;

	ENTER();
	fd = open("f", O_RDWR);
	TRY(fd);
	DO(put(fd, 5000, 9000));
	TRY(close(fd));
	return 0;
}
static int r_write_kept_open(void)	/* no close: written by the server's sync */
{
	int fd;

	ENTER();
	fd = open("f", O_RDWR);
	TRY(fd);
	DO(put(fd, 3 * PAGE, 3 * PAGE));
	TRY(fsync(fd));
	return 0;
}
static int r_direct(void)
{
	int fd;

	ENTER();
	fd = open("f", O_RDWR | O_DIRECT);
	TRY(fd);
	DO(put(fd, 2 * PAGE, 4 * PAGE));
	TRY(close(fd));
	return 0;
}
static int r_append(void)
{
	int fd;

	ENTER();
	fd = open("f", O_WRONLY | O_APPEND);
	TRY(fd);
	DO(put(fd, 0, 700));
	TRY(close(fd));
	return 0;
}
static int r_map(void)
{
	unsigned char *p;
	int fd;

	ENTER();
	fd = open("f", O_RDWR);
	TRY(fd);
	p = mmap(NULL, FILE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	memcpy(p + 100, fresh(6 * PAGE), 6 * PAGE);
	TRY(munmap(p, FILE_BYTES));
	TRY(close(fd));
	return 0;
}
static int r_truncate(void)
{
	ENTER();
	TRY(truncate("f", 100));
	TRY(truncate("g", 3 << 20));
	return 0;
}
static int falloc(int mode)
{
	int fd;

	ENTER();
	fd = open("f", O_RDWR);
	TRY(fd);
	if (fallocate(fd, mode, 3 * PAGE, 40 * PAGE))
		return missing_or(-errno, "fallocate over NFS");
	TRY(close(fd));
	return 0;
}
static int r_allocate(void) { return falloc(0); }
static int r_punch(void) { return falloc(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE); }
static int r_copy(void)		/* by the server, not through this host */
{
	int in, out;
	off_t from = PAGE, to = 0;

	ENTER();
	in = open("f", O_RDONLY);
	out = open("n", O_CREAT | O_RDWR, 0600);
	TRY(in);
	TRY(out);
	TRY(copy_file_range(in, &from, out, &to, 8 * PAGE, 0));
	TRY(close(out));
	return 0;
}
static int r_attributes(void)
{
	const struct timespec times[2] = { { 1, 2 }, { 3, 4000 } };

	ENTER();
	TRY(chmod("f", 0741));
	TRY(chown("g", 1234, 4321));
	TRY(chown("d", 1234, -1));
	TRY(utimensat(AT_FDCWD, "f", times, 0));
	return 0;
}
static int r_xattr(void)
{
	ENTER();
	if (setxattr("f", "user.n", "value", 5, 0))
		return missing_or(-errno, "xattrs over NFS");
	TRY(removexattr("xa", "user.one"));
	return 0;
}

const struct route nfs_routes[] = {
	{ "nfs-use", r_use, 0 },
	{ "nfs-names", r_names, 0 },
	{ "nfs-write", r_write, 0 },
	{ "nfs-write-kept-open", r_write_kept_open, 0 },
	{ "nfs-write-direct", r_direct, 0 },
	{ "nfs-append", r_append, 0 },
	{ "nfs-map", r_map, 0 },
	{ "nfs-truncate", r_truncate, 0 },
	{ "nfs-allocate", r_allocate, 0 },
	{ "nfs-punch-hole", r_punch, 0 },
	{ "nfs-copy-by-server", r_copy, 0 },
	{ "nfs-attributes", r_attributes, 0 },
	{ "nfs-xattr", r_xattr, 0 },
	{ NULL, NULL, 0 }
};
