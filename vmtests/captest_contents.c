// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * captest_contents.c: every way to change a file's bytes marks them, every
 * change of its layout and every order point leaves its record.
 */
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>
#include "lib/cleanup.h"
#include "vmtests/captest.h"

#define PAGE	4096

static char buf[1 << 20] __attribute__((aligned(PAGE)));
static struct izo_fid file;

static void clean(int fd)
{
	fdatasync(fd);
}

/* Exactly what the ranges say is marked, and nothing of it twice. */
static void marks_are(struct ct *t, const char *what, uint64_t off, uint64_t end)
{
	char got[256] = "";
	size_t n = 0;

	for (size_t i = 0; i < t->nmarks && n < sizeof(got); i++)
		if (t->marks[i].obj.ino == file.ino)
			n += snprintf(got + n, sizeof(got) - n, " %llu..%llu",
				      (unsigned long long)t->marks[i].range.off,
				      (unsigned long long)t->marks[i].range.end);
	ok(ct_marked(t, &file, off, end) && !t->gap, "%s: marked%s", what, got);
}

static void wrote(struct ct *t, const char *what, uint64_t off, uint64_t len)
{
	ct_collect(t);
	marks_are(t, what, off & ~(uint64_t)(PAGE - 1),
		  (off + len + PAGE - 1) & ~(uint64_t)(PAGE - 1));
}

static void buffered(struct ct *t, int fd)
{
	struct iovec iov[2] = { { buf, 10 }, { buf, 20 } };
	int a, pipes[2];
	loff_t at = 20000;

	pwrite(fd, buf, 65536, 0);
	wrote(t, "write", 0, 65536);
	clean(fd);
	ct_collect(t);
	pwrite(fd, buf, 1, 20000);
	wrote(t, "one byte", 20000, 1);
	ok(t->nmarks == 1 || t->mount.fs != FID_FS_EXT4, "and only its page (%zu marks)", t->nmarks);
	clean(fd);
	ct_collect(t);
	pwritev2(fd, iov, 2, 0, RWF_APPEND);
	wrote(t, "RWF_APPEND", 65536, 30);
	clean(fd);
	a = open("c/f", O_WRONLY | O_APPEND);
	ct_collect(t);
	write(a, buf, 5000);
	wrote(t, "O_APPEND", 65566, 5000);
	close(a);
	clean(fd);
	pipe(pipes);
	write(pipes[1], buf, 3000);
	ct_collect(t);
	splice(pipes[0], NULL, fd, &at, 3000, 0);
	wrote(t, "splice", 20000, 3000);
	close(pipes[0]);
	close(pipes[1]);
	pwrite(fd, buf, 100, 3ull << 20);
	wrote(t, "beyond a hole", 3ull << 20, 100);
	clean(fd);
	ct_collect(t);
	pwrite(fd, buf, sizeof(buf), 100 * PAGE);
	wrote(t, "a megabyte across chunks", 100 * PAGE, sizeof(buf));
	clean(fd);
	ct_collect(t);
}

static void copied(struct ct *t, int fd)
{
	_cleanup_fd_ int from = open("c/src", O_CREAT | O_RDWR, 0600);
	loff_t a = 0, b = 16384;
	off_t z = 0;
	ssize_t n;

	write(from, buf, 65536);
	fsync(from);
	lseek(fd, 0, SEEK_SET);
	ct_collect(t);
	sendfile(fd, from, &z, 8192);
	wrote(t, "sendfile", 0, 8192);
	clean(fd);
	ct_collect(t);
	n = copy_file_range(from, &a, fd, &b, 8192, 0);
	ct_collect(t);
	if (ct_marked(t, &file, 16384, 16384 + 8192))
		ok(true, "copy_file_range: marked");
	else
		ok(strstr(ct_text(t), "remap"), "copy_file_range %zd: %s", n, t->text);
	clean(fd);
	ct_collect(t);
}

static void mapped(struct ct *t, int fd)
{
	char *m = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (!ok(m != MAP_FAILED, "mmap"))
		return;
	for (int round = 0; round < 3; round++) {
		m[5 * PAGE] = round;
		wrote(t, "store through a mapping", 5 * PAGE, 1);
		sync_file_range(fd, 0, 0, 7);
		ct_collect(t);
	}
	m[6 * PAGE] = 1;
	ct_collect(t);
	m[6 * PAGE + 1] = 1;
	ct_collect(t);
	ok(!t->nmarks, "a second store to a dirty page marks nothing");
	msync(m, 65536, MS_SYNC);
	ct_collect(t);
	ok(strstr(ct_text(t), "fsync f") == t->text, "msync: %s", t->text);
	munmap(m, 65536);
}

static long uring_write(int fd, size_t len, off_t off)
{
	struct io_uring ring;
	struct io_uring_cqe *cqe;
	long r;

	if (io_uring_queue_init(8, &ring, 0) < 0)
		return -1;
	io_uring_prep_write(io_uring_get_sqe(&ring), fd, buf, len, off);
	io_uring_submit(&ring);
	io_uring_wait_cqe(&ring, &cqe);
	r = cqe->res;
	io_uring_cqe_seen(&ring, cqe);
	io_uring_queue_exit(&ring);
	return r;
}

static void direct(struct ct *t, int fd)
{
	_cleanup_fd_ int d = open("c/f", O_RDWR | O_DIRECT);
	struct stat st;

	if (!ok(d >= 0, "open O_DIRECT"))
		return;
	clean(fd);
	ct_collect(t);
	ok(pwrite(d, buf, PAGE, 16384) == PAGE, "O_DIRECT write");
	wrote(t, "O_DIRECT over data", 16384, PAGE);
	clean(fd);
	fstat(fd, &st);
	st.st_size = (st.st_size + PAGE - 1) & ~(off_t)(PAGE - 1);
	ct_collect(t);
	pwrite(d, buf, 8192, st.st_size);
	wrote(t, "O_DIRECT beyond the end", st.st_size, 8192);
	clean(fd);
	ct_collect(t);
	ok(uring_write(d, 8192, 32768) == 8192, "io_uring O_DIRECT write");
	wrote(t, "io_uring O_DIRECT", 32768, 8192);
	clean(fd);
	ct_collect(t);
	ok(uring_write(d, 8192, st.st_size + 65536) == 8192, "io_uring O_DIRECT write");
	wrote(t, "io_uring O_DIRECT beyond the end", st.st_size + 65536, 8192);
	clean(fd);
	ct_collect(t);
	ok(uring_write(fd, 5000, 40000) == 5000, "io_uring write");
	wrote(t, "io_uring", 40000, 5000);
}

/* The text of what a call left, without the order of marks. */
static void left(struct ct *t, const char *what, const char *want)
{
	ct_collect(t);
	ok(!strcmp(ct_text(t), want), "%s: %s", what, t->text);
	if (strcmp(t->text, want))
		diag("wanted: %s", want);
}

static void falloc(struct ct *t, int fd, int mode, off_t off, off_t len, const char *what)
{
	char want[128];

	if (fallocate(fd, mode, off, len)) {
		if (errno == EOPNOTSUPP)
			skip(what, "EOPNOTSUPP");
		else
			ok(false, "%s: %s", what, strerror(errno));
		return;
	}
	if (mode)
		snprintf(want, sizeof(want), "falloc f fl=%x %lld+%lld", mode,
			 (long long)off, (long long)len);
	else
		snprintf(want, sizeof(want), "falloc f %lld+%lld", (long long)off,
			 (long long)len);
	ct_collect(t);
	/* zeroing a part of a block may log a write or a new size beside it */
	ok(strstr(ct_text(t), want), "%s: %s", what, t->text);
}

static void layout(struct ct *t, int fd)
{
	int a;

	fsync(fd);
	ct_collect(t);
	falloc(t, fd, 0, 0, 100000, "fallocate");
	falloc(t, fd, FALLOC_FL_KEEP_SIZE, 0, 1 << 20, "fallocate, size kept");
	falloc(t, fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4096, 8192, "punch hole");
	falloc(t, fd, FALLOC_FL_ZERO_RANGE, 4096, 8192, "zero range");
	falloc(t, fd, FALLOC_FL_COLLAPSE_RANGE, 4096, 4096, "collapse range");
	falloc(t, fd, FALLOC_FL_INSERT_RANGE, 4096, 4096, "insert range");
	ok(fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, 1, 7) < 0, "a bad fallocate fails");
	left(t, "and leaves nothing", "");
	ftruncate(fd, 50001);
	ct_collect(t);
	ok(!strncmp(ct_text(t), "setattr f fl=", 13), "ftruncate: %s", t->text);
	a = open("c/f", O_WRONLY | O_TRUNC);
	ct_collect(t);
	ok(strstr(ct_text(t), "openw f") && strstr(t->text, "setattr f fl=") &&
	   ct_next(t, NULL)->attr.size <= 50001, "open O_TRUNC: %s", t->text);
	close(a);
	left(t, "close, another writer left", "");
	pwrite(fd, buf, 65536, 0);
}

static void cloned(struct ct *t, int fd)
{
	_cleanup_fd_ int to = open("c/to", O_CREAT | O_RDWR, 0600);
	struct file_clone_range range = { .src_fd = fd, .src_length = 8192,
					  .dest_offset = 4096 };

	ct_label(t, "to", "c/to");
	fsync(fd);
	ct_collect(t);
	if (ioctl(to, FICLONERANGE, &range)) {
		ok(t->mount.fs == FID_FS_EXT4, "no reflinks: %s", strerror(errno));
		left(t, "and nothing is left", "");
		return;
	}
	left(t, "FICLONERANGE", "remap to 4096+8192");
}

static void points(struct ct *t, int fd)
{
	int s;

	ct_collect(t);
	fsync(fd);
	left(t, "fsync", "fsync f");
	pwrite(fd, buf, 100, 0);
	fdatasync(fd);
	left(t, "fdatasync", "fsync f");
	s = open("c/f", O_WRONLY | O_SYNC);
	ct_collect(t);
	pwrite(s, buf, 100, 0);
	ct_collect(t);
	ok(!strcmp(ct_text(t), "fsync f") && t->nmarks, "O_SYNC write: %s", t->text);
	close(s);
	ct_collect(t);
	syncfs(fd);
	left(t, "syncfs", "syncfs");
	sync();
	left(t, "sync", "syncfs");
	close(fd);
	left(t, "last close", "close f fl=1");
}

void test_contents(struct ct *t)
{
	int fd;

	memset(buf, 'x', sizeof(buf));
	ok(!mkdir("c", 0700), "mkdir");
	fd = open("c/f", O_CREAT | O_RDWR, 0644);
	if (!ok(fd >= 0, "create"))
		return;
	ct_label(t, "f", "c/f");
	fid_of(&t->mount, t->root_fd, "c/f", &file);
	ct_collect(t);
	buffered(t, fd);
	copied(t, fd);
	mapped(t, fd);
	direct(t, fd);
	layout(t, fd);
	cloned(t, fd);
	points(t, fd);
}
