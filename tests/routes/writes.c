// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * writes.c: routes by which bytes reach a file through a descriptor: write in
 * each form, O_DIRECT, AIO, splice and its kin, copies (see routes.h).
 */
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>
#include "tests/routes/routes.h"

#ifndef O_DIRECT
#error _GNU_SOURCE
#endif

/* All of it was written, or an error. */
static int full(ssize_t got, size_t wanted)
{
	if (got < 0)
		return -errno;
	return (size_t)got == wanted ? 0 : -EIO;
}

static int opened(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC, 0644);

	return fd < 0 ? -errno : fd;
}

static int r_write(void)
{
	int fd = opened("f", O_WRONLY);

	DO(fd);
	return full(syscall(SYS_write, fd, fresh(5000), 5000), 5000);
}
static int r_pwrite(void)
{
	int fd = opened("f", O_WRONLY);

	DO(fd);
	return full(syscall(SYS_pwrite64, fd, fresh(7), 7, 9999), 7);
}
static int vector(struct iovec v[3])
{
	for (int i = 0; i < 3; i++) {
		v[i].iov_len = 1000 + i * 777;
		v[i].iov_base = fresh(v[i].iov_len);
		if (!v[i].iov_base)
			return -ENOMEM;
	}
	return 3 * 1000 + 3 * 777;
}
static int r_writev(void)
{
	int fd = opened("f", O_WRONLY), n;
	struct iovec v[3];

	DO(fd);
	DO(n = vector(v));
	return full(writev(fd, v, 3), n);
}
static int r_pwritev(void)
{
	int fd = opened("f", O_WRONLY), n;
	struct iovec v[3];

	DO(fd);
	DO(n = vector(v));
	return full(pwritev(fd, v, 3, 12345), n);
}
static int pwritev2_with(int flags, off_t off)
{
	int fd = opened("f", O_WRONLY), n;
	struct iovec v[3];
	ssize_t got;

	DO(fd);
	DO(n = vector(v));
	got = pwritev2(fd, v, 3, off, flags);
	return got < 0 ? missing_or(-errno, "pwritev2") : full(got, n);
}
static int r_pwritev2(void) { return pwritev2_with(0, 200); }
static int r_rwf_append(void) { return pwritev2_with(RWF_APPEND, 0); }
static int r_rwf_dsync(void) { return pwritev2_with(RWF_DSYNC, 3000); }
static int r_rwf_sync(void) { return pwritev2_with(RWF_SYNC, 3000); }
static int r_rwf_hipri(void) { return pwritev2_with(RWF_HIPRI, 3000); }

static int write_opened(int flags, size_t n)
{
	int fd = opened("f", O_WRONLY | flags);

	DO(fd);
	return full(write(fd, fresh(n), n), n);
}
static int r_append(void) { return write_opened(O_APPEND, 3000); }
static int r_append_empty(void) { DO(make("n", 0)); return write_opened(O_APPEND, 1); }
static int r_o_sync(void) { return write_opened(O_SYNC, 3000); }
static int r_o_dsync(void) { return write_opened(O_DSYNC, 3000); }
static int r_direct(void) { return write_opened(O_DIRECT, 8 * PAGE); }
static int r_direct_append(void) { return write_opened(O_DIRECT | O_APPEND, 8 * PAGE); }
static int r_direct_dsync(void) { return write_opened(O_DIRECT | O_DSYNC, 2 * PAGE); }
static int r_direct_hole(void)
{
	int fd = opened("sp", O_WRONLY | O_DIRECT);

	DO(fd);
	return full(pwrite(fd, fresh(4 * PAGE), 4 * PAGE, 64 * PAGE), 4 * PAGE);
}
static int r_direct_beyond(void)
{
	int fd = opened("f", O_WRONLY | O_DIRECT);

	DO(fd);
	return full(pwrite(fd, fresh(4 * PAGE), 4 * PAGE, 100 * PAGE), 4 * PAGE);
}
static int r_direct_over_cached(void)
{
	int fd = opened("f", O_RDWR), dio = opened("f", O_WRONLY | O_DIRECT);

	DO(fd);
	DO(dio);
	DO(put(fd, 0, 3 * PAGE));
	DO(full(pwrite(dio, fresh(4 * PAGE), 4 * PAGE, PAGE), 4 * PAGE));
	return put(fd, 2 * PAGE + 7, 100);
}
static int r_hole(void)
{
	int fd = opened("sp", O_WRONLY);

	DO(fd);
	return put(fd, 300000, 10);
}
static int r_beyond_end(void)
{
	int fd = opened("f", O_WRONLY);

	DO(fd);
	return put(fd, 500000, 10);
}
static int r_many(void)	/* more ranges than a dirty entry holds */
{
	int fd = opened("sp", O_WRONLY);

	DO(fd);
	for (int i = 0; i < 40; i++)
		DO(put(fd, (i * 7 % 40) * 6 * PAGE, 9));
	return 0;
}
static int r_large(void)
{
	int fd = opened("n", O_CREAT | O_WRONLY);

	DO(fd);
	return put(fd, 0, 3 << 20);
}

/* They fail, and set the time all the same. */
static int r_fault(void)
{
	int fd = opened("f", O_WRONLY);
	void *volatile nowhere = (void *)8;

	DO(fd);
	if (pwrite(fd, nowhere, 100, 5) >= 0 || errno != EFAULT)
		return -EIO;
	return 0;
}
static int r_direct_fails(void)
{
	int fd = opened("f", O_WRONLY | O_DIRECT);

	DO(fd);
	if (pwrite(fd, fresh(2 * PAGE) + 3, PAGE, 0) >= 0)
		return skip("O_DIRECT takes any buffer here");
	return errno == EINVAL ? 0 : -errno;
}

/* --- other descriptors to the same file ------------------------------------ */

static int r_proc_fd(void)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", open("f", O_PATH));
	fd = opened(path, O_WRONLY);
	DO(fd);
	return put(fd, 50, 50);
}
static int r_handle(void)
{
	struct { struct file_handle h; unsigned char bytes[MAX_HANDLE_SZ]; } h;
	int fd, mount, dir = open(".", O_RDONLY | O_DIRECTORY);

	TRY(dir);
	h.h.handle_bytes = sizeof(h.bytes);
	TRY(name_to_handle_at(AT_FDCWD, "f", &h.h, &mount, 0));
	fd = open_by_handle_at(dir, &h.h, O_WRONLY);
	TRY(fd);
	return put(fd, 70, 70);
}
static int passed = -1;

static int receive_and_write(void)
{
	char buf[CMSG_SPACE(sizeof(int))], byte;
	struct iovec v = { &byte, 1 };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1, .msg_control = buf,
			    .msg_controllen = sizeof(buf) };
	int fd;

	TRY(recvmsg(passed, &m, 0));
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(fd));
	return put(fd, 90, 90);
}
static int r_passed(void)
{
	char buf[CMSG_SPACE(sizeof(int))] = {}, byte = 0;
	struct iovec v = { &byte, 1 };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1, .msg_control = buf,
			    .msg_controllen = sizeof(buf) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	int pair[2], fd = opened("f", O_WRONLY);

	DO(fd);
	TRY(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair));
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	TRY(sendmsg(pair[0], &m, 0));
	close(fd);
	passed = pair[1];
	return in_child(receive_and_write);
}
static int r_moved_meanwhile(void)
{
	int fd = opened("f", O_WRONLY);

	DO(fd);
	DO(put(fd, 0, 100));
	TRY(rename("f", "d/sub/n"));
	DO(put(fd, 200, 100));
	TRY(link("d/sub/n", "f"));
	TRY(unlink("d/sub/n"));
	return put(fd, 400, 100);
}
static int r_through_other_name(void)
{
	int fd = opened("h", O_WRONLY);

	DO(fd);
	TRY(unlink("h"));
	return put(fd, 4000, 400);
}

/* --- splice and its kin ---------------------------------------------------- */

static int piped(int pipe_fds[2], size_t n)
{
	TRY(pipe(pipe_fds));
	return full(write(pipe_fds[1], fresh(n), n), n);
}
static int r_splice(void)
{
	int p[2], fd = opened("f", O_WRONLY);
	loff_t off = 300;

	DO(fd);
	DO(piped(p, 5000));
	return full(splice(p[0], NULL, fd, &off, 5000, 0), 5000);
}
static int r_splice_move(void)
{
	int p[2], fd = opened("f", O_WRONLY), from;
	loff_t off = 0;

	DO(fd);
	if (!elsewhere() || chdir(elsewhere()))
		return -errno;
	DO(make("donor", 4 * PAGE));
	from = opened("donor", O_RDONLY);
	unlink("donor");
	DO(from);
	TRY(pipe(p));
	DO(full(splice(from, NULL, p[1], NULL, 4 * PAGE, SPLICE_F_MOVE), 4 * PAGE));
	return full(splice(p[0], NULL, fd, &off, 4 * PAGE, SPLICE_F_MOVE), 4 * PAGE);
}
static int r_vmsplice(void)
{
	int p[2], fd = opened("f", O_WRONLY);
	struct iovec v = { fresh(2 * PAGE), 2 * PAGE };

	DO(fd);
	TRY(pipe(p));
	DO(full(vmsplice(p[1], &v, 1, SPLICE_F_GIFT), 2 * PAGE));
	return full(splice(p[0], NULL, fd, NULL, 2 * PAGE, SPLICE_F_MOVE), 2 * PAGE);
}
static int r_tee(void)
{
	int p[2], q[2], fd = opened("f", O_WRONLY);

	DO(fd);
	DO(piped(p, 3000));
	TRY(pipe(q));
	DO(full(tee(p[0], q[1], 3000, 0), 3000));
	return full(splice(q[0], NULL, fd, NULL, 3000, 0), 3000);
}
static int r_sendfile(void)
{
	int to = opened("f", O_WRONLY), from = opened("d/x", O_RDONLY);

	DO(to);
	DO(from);
	return full(sendfile(to, from, NULL, 9000), 9000);
}
static int r_sendfile_outside(void)
{
	int to = opened("f", O_WRONLY), from = opened("/proc/self/exe", O_RDONLY);

	DO(to);
	DO(from);
	return full(sendfile(to, from, NULL, 9000), 9000);
}
static int r_copy_range(void)
{
	int to = opened("f", O_WRONLY), from = opened("d/x", O_RDONLY);

	DO(to);
	DO(from);
	return full(copy_file_range(from, NULL, to, NULL, 8192, 0), 8192);
}
static int r_copy_range_odd(void)
{
	int to = opened("f", O_WRONLY), from = opened("g", O_RDONLY);
	loff_t in = 5, out = 9001;

	DO(to);
	DO(from);
	return full(copy_file_range(from, &in, to, &out, 8000, 0), 8000);
}
static int r_copy_range_itself(void)
{
	int fd = opened("f", O_RDWR);
	loff_t in = 0, out = 8 * PAGE;

	DO(fd);
	return full(copy_file_range(fd, &in, fd, &out, 4 * PAGE, 0), 4 * PAGE);
}
static int r_copy_range_across(void)
{
	int to = opened("f", O_WRONLY), from;
	ssize_t n;

	DO(to);
	if (!elsewhere() || chdir(elsewhere()))
		return -errno;
	DO(make("donor", 4 * PAGE));
	from = opened("donor", O_RDONLY);
	unlink("donor");
	DO(from);
	n = copy_file_range(from, NULL, to, NULL, 4 * PAGE, 0);
	if (n < 0 && errno == EXDEV)
		return skip("copy_file_range: %s", strerror(errno));
	return full(n, 4 * PAGE);
}

/* --- AIO ------------------------------------------------------------------- */

static int aio(int fd, struct iocb *cb, size_t n)
{
	struct iocb *list[1] = { cb };
	struct io_event done;
	aio_context_t ctx = 0;

	cb->aio_fildes = fd;
	if (syscall(SYS_io_setup, 4, &ctx))
		return missing_or(-errno, "io_setup");
	TRY(syscall(SYS_io_submit, ctx, 1, list));
	TRY(syscall(SYS_io_getevents, ctx, 1, 1, &done, NULL));
	syscall(SYS_io_destroy, ctx);
	if (done.res < 0)
		return done.res;
	return (size_t)done.res == n ? 0 : -EIO;
}
static int aio_write(int flags, size_t n, off_t off, int rw)
{
	int fd = opened("f", O_RDWR | flags);
	struct iocb cb = { .aio_lio_opcode = IOCB_CMD_PWRITE, .aio_nbytes = n, .aio_offset = off,
			   .aio_buf = (uintptr_t)fresh(n), .aio_rw_flags = rw };

	DO(fd);
	return aio(fd, &cb, n);
}
static int r_aio(void) { return aio_write(0, 5000, 100, 0); }
static int r_aio_direct(void) { return aio_write(O_DIRECT, 4 * PAGE, PAGE, 0); }
static int r_aio_direct_beyond(void) { return aio_write(O_DIRECT, 4 * PAGE, 64 * PAGE, 0); }
static int r_aio_direct_dsync(void) { return aio_write(O_DIRECT | O_DSYNC, 4 * PAGE, PAGE, 0); }
static int r_aio_append(void) { return aio_write(0, 5000, 0, RWF_APPEND); }
static int r_aio_pwritev(void)
{
	int fd = opened("f", O_RDWR | O_DIRECT);
	struct iovec v[2] = { { fresh(PAGE), PAGE }, { fresh(PAGE), PAGE } };
	struct iocb cb = { .aio_lio_opcode = IOCB_CMD_PWRITEV, .aio_nbytes = 2,
			   .aio_offset = 3 * PAGE, .aio_buf = (uintptr_t)v };

	DO(fd);
	return aio(fd, &cb, 2 * PAGE);
}
static int r_aio_fsync(void)
{
	int fd = opened("f", O_RDWR);
	struct iocb cb = { .aio_lio_opcode = IOCB_CMD_FSYNC };

	DO(fd);
	DO(put(fd, 10, 1000));
	return aio(fd, &cb, 0);
}

/* --- who writes ------------------------------------------------------------ */

static int as_nobody(void)
{
	int fd;

	TRY(setgid(65534));
	TRY(setuid(65534));
	DO(make("n", 3000));
	fd = opened("n", O_RDWR | O_APPEND);
	DO(fd);
	DO(put(fd, 0, 1));
	TRY(rename("n", "m"));
	return 0;
}
static int r_other_user(void) { return in_child(as_nobody); }

static int dies(void)
{
	int fd = opened("f", O_WRONLY);

	DO(fd);
	DO(put(fd, 0, 20000));
	_exit(0);
}
static int r_died(void) { return in_child(dies); }

const struct route write_routes[] = {
	{ "write", r_write, 0 },
	{ "write-pwrite", r_pwrite, 0 },
	{ "write-writev", r_writev, 0 },
	{ "write-pwritev", r_pwritev, 0 },
	{ "write-pwritev2", r_pwritev2, 0 },
	{ "write-rwf-append", r_rwf_append, 0 },
	{ "write-rwf-dsync", r_rwf_dsync, 0 },
	{ "write-rwf-sync", r_rwf_sync, 0 },
	{ "write-rwf-hipri", r_rwf_hipri, 0 },
	{ "write-o-append", r_append, 0 },
	{ "write-o-append-new", r_append_empty, 0 },
	{ "write-o-sync", r_o_sync, 0 },
	{ "write-o-dsync", r_o_dsync, 0 },
	{ "write-hole", r_hole, 0 },
	{ "write-beyond-end", r_beyond_end, 0 },
	{ "write-many-ranges", r_many, 0 },
	{ "write-3-mib", r_large, 0 },
	{ "write-direct", r_direct, 0 },
	{ "write-direct-append", r_direct_append, 0 },
	{ "write-direct-dsync", r_direct_dsync, 0 },
	{ "write-direct-hole", r_direct_hole, 0 },
	{ "write-direct-beyond-end", r_direct_beyond, 0 },
	{ "write-direct-over-cached", r_direct_over_cached, 0 },
	{ "write-fails-efault", r_fault, 0 },
	{ "write-direct-fails", r_direct_fails, 0 },
	{ "write-proc-fd", r_proc_fd, 0 },
	{ "write-open-by-handle", r_handle, 0 },
	{ "write-passed-descriptor", r_passed, 0 },
	{ "write-renamed-meanwhile", r_moved_meanwhile, 0 },
	{ "write-name-removed-meanwhile", r_through_other_name, 0 },
	{ "write-splice", r_splice, 0 },
	{ "write-splice-move", r_splice_move, 0 },
	{ "write-vmsplice", r_vmsplice, 0 },
	{ "write-tee", r_tee, 0 },
	{ "write-sendfile", r_sendfile, 0 },
	{ "write-sendfile-across", r_sendfile_outside, 0 },
	{ "write-copy-file-range", r_copy_range, 0 },
	{ "write-copy-file-range-unaligned", r_copy_range_odd, 0 },
	{ "write-copy-file-range-same-file", r_copy_range_itself, 0 },
	{ "write-copy-file-range-across", r_copy_range_across, 0 },
	{ "write-aio", r_aio, 0 },
	{ "write-aio-direct", r_aio_direct, 0 },
	{ "write-aio-direct-beyond-end", r_aio_direct_beyond, 0 },
	{ "write-aio-direct-dsync", r_aio_direct_dsync, 0 },
	{ "write-aio-append", r_aio_append, 0 },
	{ "write-aio-pwritev-direct", r_aio_pwritev, 0 },
	{ "write-aio-fsync", r_aio_fsync, 0 },
	{ "write-other-user", r_other_user, 0 },
	{ "write-process-ends", r_died, 0 },
	{ NULL, NULL, 0 }
};
