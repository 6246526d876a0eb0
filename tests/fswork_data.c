// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * fswork_data: operations on the bytes and the layout of regular files.
 *
 * Every way that bytes reach a file: write, append, O_DIRECT, a shared
 * mapping, sendfile, splice, copy_file_range, io_uring; and every way that
 * changes its layout: truncate, O_TRUNC, fallocate in all modes, reflink.
 * copy_file_range is counted apart: whether it makes a remap record or a write
 * is the kernel's choice.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fswork.h"

#define TRIES 6			/* to find a name that is a regular file */
#define PIPE_BYTES 32768

/* Opens one of the regular files; fd or -errno. */
static int open_some(struct worker *w, char path[PATH_BYTES], int flags)
{
	int fd = -ENOENT;

	for (int i = 0; i < TRIES && fd < 0; i++)
		fd = work_open(pick_file(w, path), flags);
	return fd;
}

static off_t size_of(int fd)
{
	struct stat st;

	return fstat(fd, &st) ? 0 : st.st_size;
}

static off_t pick_offset(struct worker *w)
{
	return rnd_below(w, 2) ? rnd_below(w, 20000) : rnd_below(w, 200000);
}

static size_t pick_length(struct worker *w)
{
	return 1 + rnd_below(w, rnd_below(w, 3) ? 3000 : 65536);
}

/* The outcome of a call that returns a length, told in the log. */
static int wrote(struct worker *w, const char *how, const char *path,
		 long long pos, ssize_t len)
{
	if (len < 0)
		return -errno;
	op_done(w, KIND_WRITE, "%s %s %lld %zd", how, path, pos, len);
	return 0;
}

static int op_pwrite(struct worker *w)
{
	char path[PATH_BYTES];
	int fd = open_some(w, path, O_WRONLY);
	off_t pos = pick_offset(w);
	size_t len = pick_length(w);
	int err;

	if (fd < 0)
		return fd;
	rnd_fill(w, len);
	err = wrote(w, "pwrite", path, pos, pwrite(fd, w->buf, len, pos));
	close(fd);
	return err;
}

static int op_append(struct worker *w)
{
	char path[PATH_BYTES];
	int fd = open_some(w, path, O_WRONLY | O_APPEND);
	size_t len = pick_length(w) / 8 + 1;
	int err;

	if (fd < 0)
		return fd;
	rnd_fill(w, len);
	err = wrote(w, "append", path, -1, write(fd, w->buf, len));
	close(fd);
	return err;
}

static int op_direct(struct worker *w)
{
	char path[PATH_BYTES];
	int fd = open_some(w, path, O_WRONLY | O_DIRECT);
	off_t pos = (off_t)rnd_below(w, 40) * BLOCK;
	size_t len = (1 + rnd_below(w, 8)) * BLOCK;
	int err;

	if (fd < 0)
		return fd;
	rnd_fill(w, len);
	err = wrote(w, "direct", path, pos, pwrite(fd, w->buf, len, pos));
	close(fd);
	return err;
}

static int truncate_to(struct worker *w, int fd, const char *path, off_t size)
{
	if (ftruncate(fd, size))
		return -errno;
	op_done(w, KIND_SETATTR, "truncate %s %lld", path, (long long)size);
	return 0;
}

static int op_truncate(struct worker *w)
{
	char path[PATH_BYTES];
	int fd = open_some(w, path, O_WRONLY);
	off_t size = rnd_below(w, 3) ? pick_offset(w) : 0;
	int err;

	if (fd < 0)
		return fd;
	err = truncate_to(w, fd, path, size);
	close(fd);
	return err;
}

static int op_rewrite(struct worker *w)
{
	char path[PATH_BYTES];
	int fd = open_some(w, path, O_WRONLY | O_TRUNC);
	size_t len = pick_length(w);
	int err;

	if (fd < 0)
		return fd;
	op_done(w, KIND_SETATTR, "open-trunc %s", path);
	rnd_fill(w, len);
	err = wrote(w, "pwrite", path, 0, write(fd, w->buf, len));
	close(fd);
	return err;
}

static int map_and_store(struct worker *w, int fd, const char *path)
{
	off_t size = size_of(fd);
	bool sync = rnd_below(w, 2);
	size_t len = pick_length(w);
	off_t pos;
	unsigned char *map;
	int err;

	if (!size)
		return -ENXIO;
	pos = rnd(w) % size;
	if ((off_t)len > size - pos)
		len = size - pos;
	map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return -errno;
	rnd_fill(w, len);
	err = work_store(map + pos, w->buf, len);
	if (!err)
		op_done(w, KIND_WRITE, "mmap %s %lld %zu", path, (long long)pos,
			len);
	if (!err && sync && !msync(map, size, MS_SYNC))
		op_done(w, KIND_SYNC, "msync %s", path);
	munmap(map, size);
	return err;
}

static int op_mmap(struct worker *w)
{
	char path[PATH_BYTES];
	int fd = open_some(w, path, O_RDWR);
	int err;

	if (fd < 0)
		return fd;
	err = map_and_store(w, fd, path);
	close(fd);
	return err;
}

static int op_fallocate(struct worker *w)
{
	static const struct {
		int mode;
		const char *name;
		bool aligned;
	} modes[] = {
		{ 0, "allocate", false },
		{ FALLOC_FL_KEEP_SIZE, "allocate-keep", false },
		{ FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, "punch", false },
		{ FALLOC_FL_ZERO_RANGE, "zero", false },
		{ FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, "zero-keep", false },
		{ FALLOC_FL_COLLAPSE_RANGE, "collapse", true },
		{ FALLOC_FL_INSERT_RANGE, "insert", true },
	};
	unsigned int i = rnd_below(w, sizeof(modes) / sizeof(modes[0]));
	bool aligned = modes[i].aligned || rnd_below(w, 2);
	char path[PATH_BYTES];
	int fd = open_some(w, path, O_RDWR);
	off_t pos = pick_offset(w);
	off_t len = pick_length(w);
	int err = 0;

	if (fd < 0)
		return fd;
	if (aligned) {
		pos = pos / 4 - pos / 4 % BLOCK;
		len += BLOCK - len % BLOCK;
	}
	if (fallocate(fd, modes[i].mode, pos, len))
		err = -errno;
	else
		op_done(w, KIND_FALLOC, "fallocate-%s %s %lld %lld",
			modes[i].name, path, (long long)pos, (long long)len);
	close(fd);
	return err;
}

/* From one file to another, opened; for op_two_files(). */
typedef int copy_fn(struct worker *w, int in, int out, const char *path);

static int copy_range(struct worker *w, int in, int out, const char *path)
{
	off_t from = rnd_below(w, 4) * BLOCK, to = rnd_below(w, 8) * BLOCK;
	ssize_t len = copy_file_range(in, &from, out, &to, pick_length(w), 0);

	if (len < 0)
		return -errno;
	op_done(w, KIND_COPYRANGE, "copy_file_range %s %zd", path, len);
	return 0;
}

static int send_file(struct worker *w, int in, int out, const char *path)
{
	off_t from = rnd_below(w, 5000), to = pick_offset(w);

	if (lseek(out, to, SEEK_SET) < 0)
		return -errno;
	return wrote(w, "sendfile", path, to,
		     sendfile(out, in, &from, pick_length(w)));
}

static int clone_range(struct worker *w, int in, int out, const char *path)
{
	struct file_clone_range range = {
		.src_fd = in,
		.src_offset = rnd_below(w, 3) * BLOCK,
		.src_length = (1 + rnd_below(w, 4)) * BLOCK,
		.dest_offset = rnd_below(w, 10) * BLOCK,
	};

	if (ioctl(out, FICLONERANGE, &range))
		return -errno;
	op_done(w, KIND_REMAP, "clone %s %llu %llu", path,
		(unsigned long long)range.dest_offset,
		(unsigned long long)range.src_length);
	return 0;
}

static int op_two_files(struct worker *w, copy_fn *copy)
{
	char from[PATH_BYTES], to[PATH_BYTES];
	int in = open_some(w, from, O_RDONLY);
	int out = open_some(w, to, O_RDWR);
	int err = in < 0 ? in : out < 0 ? out : copy(w, in, out, to);

	if (in >= 0)
		close(in);
	if (out >= 0)
		close(out);
	return err;
}

static int op_copy_range(struct worker *w)
{
	return op_two_files(w, copy_range);
}

static int op_sendfile(struct worker *w)
{
	return op_two_files(w, send_file);
}

static int op_clone(struct worker *w)
{
	return op_two_files(w, clone_range);
}

static int op_splice(struct worker *w)
{
	char path[PATH_BYTES];
	int fd = open_some(w, path, O_WRONLY);
	loff_t pos = pick_offset(w), at = pos;
	size_t len = 1 + rnd_below(w, PIPE_BYTES);
	int ends[2], err = 0;

	if (fd < 0)
		return fd;
	rnd_fill(w, len);
	if (pipe2(ends, O_CLOEXEC)) {
		err = -errno;
	} else {
		if (write(ends[1], w->buf, len) == (ssize_t)len)
			err = wrote(w, "splice", path, pos,
				    splice(ends[0], NULL, fd, &at, len, 0));
		close(ends[0]);
		close(ends[1]);
	}
	close(fd);
	return err;
}

static int uring_write(struct worker *w, int fd, size_t len, off_t pos)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&w->ring);
	struct io_uring_cqe *cqe;
	int res;

	io_uring_prep_write(sqe, fd, w->buf, len, pos);
	res = io_uring_submit_and_wait(&w->ring, 1);
	if (res < 0)
		return res;
	res = io_uring_wait_cqe(&w->ring, &cqe);
	if (res)
		return res;
	res = cqe->res;
	io_uring_cqe_seen(&w->ring, cqe);
	return res;
}

static int op_uring(struct worker *w)
{
	bool direct = rnd_below(w, 2);
	char path[PATH_BYTES];
	size_t len = direct ? (1 + rnd_below(w, 8)) * BLOCK : pick_length(w);
	off_t pos = direct ? (off_t)rnd_below(w, 40) * BLOCK : pick_offset(w);
	int fd, res;

	if (!w->has_ring)
		return -ENOSYS;
	fd = open_some(w, path, O_WRONLY | (direct ? O_DIRECT : 0));
	if (fd < 0)
		return fd;
	rnd_fill(w, len);
	res = uring_write(w, fd, len, pos);
	close(fd);
	if (res < 0)
		return res;
	return wrote(w, direct ? "uring-direct" : "uring", path, pos, res);
}

static int op_fsync(struct worker *w)
{
	bool data = rnd_below(w, 2);
	char path[PATH_BYTES];
	int fd = open_some(w, path, O_WRONLY);
	int err = 0;

	if (fd < 0)
		return fd;
	if (data ? fdatasync(fd) : fsync(fd))
		err = errno == EIO ? -EBUSY : -errno;
	else
		op_done(w, KIND_SYNC, "%s %s", data ? "fdatasync" : "fsync",
			path);
	close(fd);
	return err;
}

/* So that --mix data finds files to work on. */
static int op_make(struct worker *w)
{
	char path[PATH_BYTES];
	int fd = open(pick_file(w, path),
		      O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

	if (fd < 0)
		return -errno;
	close(fd);
	op_done(w, KIND_CREATE, "create %s 644", path);
	return 0;
}

const struct op data_ops[] = {
	{ "make", 10, op_make },
	{ "pwrite", 18, op_pwrite },
	{ "append", 8, op_append },
	{ "direct", 5, op_direct },
	{ "truncate", 6, op_truncate },
	{ "rewrite", 6, op_rewrite },
	{ "mmap", 8, op_mmap },
	{ "fallocate", 10, op_fallocate },
	{ "copy-range", 4, op_copy_range },
	{ "sendfile", 4, op_sendfile },
	{ "clone", 5, op_clone },
	{ "splice", 4, op_splice },
	{ "uring", 6, op_uring },
	{ "fsync", 2, op_fsync },
	{ NULL, 0, NULL },
};
