// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * uring.c: routes through io_uring: the submitter, a worker of the kernel or the
 * poll thread is who acts (see routes.h).
 */
#include <fcntl.h>
#include <liburing.h>
#include <linux/openat2.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>
#include "tests/routes/routes.h"

#define OP_FTRUNCATE	55	/* 6.9 on */

static struct io_uring ring;

static int begun(unsigned flags, struct io_uring_sqe **ret)
{
	int r = io_uring_queue_init(8, &ring, flags);

	if (r)
		return missing_or(r, "io_uring_setup");
	*ret = io_uring_get_sqe(&ring);
	return *ret ? 0 : -EAGAIN;
}

/* Submits, waits; the result of the last one. */
static int end(unsigned n)
{
	struct io_uring_cqe *cqe;
	int res = 0, r = io_uring_submit(&ring);

	if (r < 0)
		return r;
	while (n--) {
		r = io_uring_wait_cqe(&ring, &cqe);
		if (r)
			return r;
		res = res < 0 ? res : cqe->res;
		io_uring_cqe_seen(&ring, cqe);
	}
	io_uring_queue_exit(&ring);
	return res;
}
static int done(const char *what)
{
	int r = end(1);

	return r == -EINVAL ? missing_or(r, what) : r < 0 ? r : 0;
}
static int wrote(size_t n)
{
	int r = end(1);

	return r < 0 ? r : (size_t)r == n ? 0 : -EIO;
}

#define BEGIN(flags) struct io_uring_sqe *sqe; int begin_r = begun(flags, &sqe); \
	if (begin_r) return begin_r

static int opened(int flags)
{
	int fd = open("f", O_RDWR | flags);

	return fd < 0 ? -errno : fd;
}

static int write_with(int open_flags, unsigned ring_flags, unsigned sqe_flags, size_t n, off_t off)
{
	int fd = opened(open_flags);

	DO(fd);
	BEGIN(ring_flags);
	io_uring_prep_write(sqe, fd, fresh(n), n, off);
	io_uring_sqe_set_flags(sqe, sqe_flags);
	return wrote(n);
}
static int r_write(void) { return write_with(0, 0, 0, 5000, 77); }
static int r_write_async(void) { return write_with(0, 0, IOSQE_ASYNC, 5000, 77); }
static int r_write_sqpoll(void) { return write_with(0, IORING_SETUP_SQPOLL, 0, 5000, 77); }
static int r_write_append(void) { return write_with(O_APPEND, 0, 0, 5000, -1); }
static int r_write_dsync(void) { return write_with(O_DSYNC, 0, 0, 5000, 77); }
static int r_direct(void) { return write_with(O_DIRECT, 0, 0, 4 * PAGE, PAGE); }
static int r_direct_async(void) { return write_with(O_DIRECT, 0, IOSQE_ASYNC, 4 * PAGE, PAGE); }
static int r_direct_beyond(void) { return write_with(O_DIRECT, 0, 0, 4 * PAGE, 50 * PAGE); }
static int r_writev(void)
{
	struct iovec v[2] = { { fresh(300), 300 }, { fresh(4000), 4000 } };
	int fd = opened(0);

	DO(fd);
	BEGIN(0);
	io_uring_prep_writev(sqe, fd, v, 2, 99);
	return wrote(4300);
}
static int r_write_fixed(void)
{
	struct iovec v = { fresh(2 * PAGE), 2 * PAGE };
	int fd = opened(0), r;

	DO(fd);
	BEGIN(0);
	r = io_uring_register_buffers(&ring, &v, 1);
	if (!r)
		r = io_uring_register_files(&ring, &fd, 1);
	if (r)
		return r;
	io_uring_prep_write_fixed(sqe, 0, v.iov_base, 2 * PAGE, 500, 0);
	io_uring_sqe_set_flags(sqe, IOSQE_FIXED_FILE);
	return wrote(2 * PAGE);
}
static int r_splice(void)
{
	int fd = opened(0), p[2];

	DO(fd);
	TRY(pipe(p));
	TRY(write(p[1], fresh(3000), 3000));
	BEGIN(0);
	io_uring_prep_splice(sqe, p[0], -1, fd, 200, 3000, 0);
	return wrote(3000);
}
static int r_openat(void)
{
	BEGIN(0);
	io_uring_prep_openat(sqe, AT_FDCWD, "n", O_CREAT | O_WRONLY, 0640);
	return done("openat");
}
static int r_openat_trunc(void)
{
	BEGIN(0);
	io_uring_prep_openat(sqe, AT_FDCWD, "f", O_TRUNC | O_WRONLY, 0);
	return done("openat");
}
static int r_openat2(void)
{
	struct open_how how = { .flags = O_CREAT | O_RDWR | O_EXCL, .mode = 0600 };

	BEGIN(0);
	io_uring_prep_openat2(sqe, AT_FDCWD, "n", &how);
	return done("openat2");
}
static int r_unlinkat(void)
{
	BEGIN(0);
	io_uring_prep_unlinkat(sqe, AT_FDCWD, "f", 0);
	return done("unlinkat");
}
static int r_rmdir(void)
{
	BEGIN(0);
	io_uring_prep_unlinkat(sqe, AT_FDCWD, "e", AT_REMOVEDIR);
	return done("unlinkat");
}
static int r_renameat(void)
{
	BEGIN(0);
	io_uring_prep_renameat(sqe, AT_FDCWD, "f", AT_FDCWD, "e/n", 0);
	return done("renameat");
}
static int r_exchange(void)
{
	BEGIN(0);
	io_uring_prep_renameat(sqe, AT_FDCWD, "f", AT_FDCWD, "d/x", 2);
	return done("renameat");
}
static int r_mkdirat(void)
{
	BEGIN(0);
	io_uring_prep_mkdirat(sqe, AT_FDCWD, "n", 0711);
	return done("mkdirat");
}
static int r_symlinkat(void)
{
	BEGIN(0);
	io_uring_prep_symlinkat(sqe, "to", AT_FDCWD, "n");
	return done("symlinkat");
}
static int r_linkat(void)
{
	BEGIN(0);
	io_uring_prep_linkat(sqe, AT_FDCWD, "f", AT_FDCWD, "e/n", 0);
	return done("linkat");
}
static int r_fallocate(void)
{
	int fd = opened(0);

	DO(fd);
	BEGIN(0);
	io_uring_prep_fallocate(sqe, fd, 3 /* punch, keep size */, PAGE, 3 * PAGE);
	return done("fallocate");
}
static int r_ftruncate(void)
{
	int fd = opened(0);

	DO(fd);
	BEGIN(0);
	io_uring_prep_rw(OP_FTRUNCATE, sqe, fd, NULL, 0, 777);
	return done("io_uring's ftruncate");
}
static int r_setxattr(void)
{
	BEGIN(0);
	io_uring_prep_setxattr(sqe, "user.n", "value", "f", 0, 5);
	return done("setxattr");
}
static int r_fsetxattr(void)
{
	int fd = opened(0);

	DO(fd);
	BEGIN(0);
	io_uring_prep_fsetxattr(sqe, fd, "user.n", "value", 0, 5);
	return done("fsetxattr");
}
/* One after the other, all handed over at once. */
static int r_linked(void)
{
	unsigned char *buf = fresh(2000);
	int fd = opened(0);

	DO(fd);
	BEGIN(0);
	io_uring_prep_write(sqe, fd, buf, 2000, 100);
	io_uring_sqe_set_flags(sqe, IOSQE_IO_LINK);
	sqe = io_uring_get_sqe(&ring);
	io_uring_prep_fsync(sqe, fd, 0);
	io_uring_sqe_set_flags(sqe, IOSQE_IO_LINK);
	sqe = io_uring_get_sqe(&ring);
	io_uring_prep_renameat(sqe, AT_FDCWD, "f", AT_FDCWD, "n", 0);
	io_uring_sqe_set_flags(sqe, IOSQE_IO_LINK);
	sqe = io_uring_get_sqe(&ring);
	io_uring_prep_close(sqe, fd);
	return end(4);
}

const struct route uring_routes[] = {
	{ "uring-write", r_write, 0 },
	{ "uring-write-worker", r_write_async, 0 },
	{ "uring-write-sqpoll", r_write_sqpoll, 0 },
	{ "uring-write-append", r_write_append, 0 },
	{ "uring-write-dsync", r_write_dsync, 0 },
	{ "uring-write-direct", r_direct, 0 },
	{ "uring-write-direct-worker", r_direct_async, 0 },
	{ "uring-write-direct-beyond-end", r_direct_beyond, 0 },
	{ "uring-writev", r_writev, 0 },
	{ "uring-write-fixed", r_write_fixed, 0 },
	{ "uring-splice", r_splice, 0 },
	{ "uring-openat", r_openat, 0 },
	{ "uring-openat-trunc", r_openat_trunc, 0 },
	{ "uring-openat2", r_openat2, 0 },
	{ "uring-unlinkat", r_unlinkat, 0 },
	{ "uring-rmdir", r_rmdir, 0 },
	{ "uring-renameat", r_renameat, 0 },
	{ "uring-exchange", r_exchange, 0 },
	{ "uring-mkdirat", r_mkdirat, 0 },
	{ "uring-symlinkat", r_symlinkat, 0 },
	{ "uring-linkat", r_linkat, 0 },
	{ "uring-fallocate", r_fallocate, 0 },
	{ "uring-ftruncate", r_ftruncate, 0 },
	{ "uring-setxattr", r_setxattr, 0 },
	{ "uring-fsetxattr", r_fsetxattr, 0 },
	{ "uring-write-fsync-rename", r_linked, 0 },
	{ NULL, NULL, 0 }
};
