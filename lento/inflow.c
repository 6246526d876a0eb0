// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * inflow.c: see inflow.h. A file is open from its first DATA to its DATA_END;
 * for so long its immutable flag is lifted, and its capability, which the first
 * write takes away, is remembered, both crash-safely (lift.h). What is still
 * open when the link breaks is closed and restored by inflow_abort(); its
 * contents come again.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>
#include <sys/stat.h>
#include "lento/apply_inner.h"
#include "lento/inflow.h"
#include "lib/cleanup.h"

#define BLOCK_BYTES	4096ULL

static struct inflow **find(struct apply *a, uint64_t ask,
			    const struct izo_fid *fid)
{
	struct inflow **p = &a->inflow;

	while (*p && ((*p)->ask != ask || !fid_eq(&(*p)->fid, fid)))
		p = &(*p)->next;
	return p;
}

/* -EISDIR...: the peer means something that is no regular file here. */
static int open_known(struct apply *a, struct inflow *f)
{
	struct fidmap_entry e;
	_cleanup_fd_ int fd = obj_open(a, &f->fid, O_PATH, &e);
	struct stat st;
	char path[32];
	int r;

	if (fd < 0)
		return fd;
	if (e.type != S_IFREG || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return -EBADMSG;
	if (!st.st_nlink)
		return -ESTALE;
	r = lift_begin(&a->stage, fd, true, &f->lift);
	if (r < 0)
		return r;
	fd_path(fd, path);
	f->fd = open(path, O_RDWR | O_CLOEXEC);
	return f->fd < 0 ? -errno : 0;
}

static void free_one(struct apply *a, struct inflow *f)
{
	lift_end(&a->stage, &f->lift);
	cleanup_fd(&f->fd);
	free(f);
}

static int start(struct apply *a, uint64_t ask, const struct izo_fid *fid,
		 struct inflow **ret)
{
	struct inflow *f = calloc(1, sizeof(*f));
	struct stat st;
	int r;

	if (!f)
		return -ENOMEM;
	*f = (struct inflow){ .fid = *fid, .ask = ask, .fd = -1,
			      .lift = { .fd = -1 } };
	r = open_known(a, f);
	if (r == -ENOENT || r == -ESTALE) {
		f->staged = true;
		f->fd = r = stage_file(&a->stage, fid);
	}
	if (r >= 0)
		r = fstat(f->fd, &st) < 0 ? -errno : 0;
	if (r < 0) {
		free_one(a, f);
		return r;
	}
	f->size = f->covered = st.st_size;
	f->next = a->inflow;
	a->inflow = f;
	*ret = f;
	return 0;
}

static int get(struct apply *a, uint64_t ask, const struct izo_fid *fid,
	       struct inflow **ret)
{
	*ret = *find(a, ask, fid);
	return *ret ? 0 : start(a, ask, fid, ret);
}

static int write_all(int fd, const char *p, uint64_t len, uint64_t off)
{
	while (len) {
		ssize_t n = pwrite(fd, p, len, off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		p += n;
		len -= n;
		off += n;
	}
	return 0;
}

static int zero_all(int fd, uint64_t off, uint64_t len)
{
	static const char zeros[65536];
	int r = 0;

	while (len && !r) {
		uint64_t n = len < sizeof(zeros) ? len : sizeof(zeros);

		r = write_all(fd, zeros, n, off);
		off += n;
		len -= n;
	}
	return r;
}

static int hole(struct inflow *f, uint64_t off, uint64_t len)
{
	/* Past the end too: only a whole block becomes a hole, and blocks may be
	 * preallocated there. */
	if (!fallocate(f->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, off,
		       len))
		return 0;
	if (off >= f->size)	/* DATA_END sets the size */
		return 0;
	if (len > f->size - off)
		len = f->size - off;
	return errno == EOPNOTSUPP ? zero_all(f->fd, off, len) : -errno;
}

static uint64_t block_of(uint64_t off)
{
	return off & ~(BLOCK_BYTES - 1);
}

/* Does the file end in the middle of a block that is a hole? btrfs allocates
 * that block when the file grows past it. */
static bool ends_in_hole(const struct inflow *f)
{
	uint64_t at = block_of(f->size);

	return at != f->size && lseek(f->fd, at, SEEK_DATA) != (off_t)at;
}

/* What was not sent is a hole again: from the old end's block, if that was one,
 * else from the block after it. */
static void free_gap(struct inflow *f, bool in_hole, uint64_t old, uint64_t end)
{
	uint64_t from = block_of(in_hole ? old : old + BLOCK_BYTES - 1);

	if (end > INT64_MAX)
		end = INT64_MAX;
	if (from < end)
		(void)!fallocate(f->fd, FALLOC_FL_PUNCH_HOLE |
				 FALLOC_FL_KEEP_SIZE, from, end - from);
}

static int data(struct inflow *f, const char *p, uint64_t len, uint64_t off)
{
	uint64_t old = f->size;
	bool in_hole = block_of(off) > old && ends_in_hole(f);
	int r = write_all(f->fd, p, len, off);

	if (r < 0)
		return r;
	if (off + len > f->size)
		f->size = off + len;
	if (in_hole)
		free_gap(f, true, old, block_of(off));
	return 0;
}

/* bytes NULL: a hole. */
int inflow_data(struct apply *a, const struct wire_data *d, const void *bytes)
{
	struct inflow *f;
	int r;

	if (d->off > INT64_MAX || d->len > INT64_MAX - d->off)
		return -EBADMSG;
	r = get(a, d->ask, &d->fid, &f);
	if (r < 0)
		return r;
	if (d->off + d->len > f->covered)
		f->covered = d->off + d->len;
	if (!bytes)
		return hole(f, d->off, d->len);
	a->stats.bytes += d->len;
	return data(f, bytes, d->len, d->off);
}

static int finish(struct apply *a, struct inflow *f,
		  const struct wire_data_end *e)
{
	/* What grew while it was read comes with its own ranges: till then the file
	 * ends where its bytes do, and not in zeros. */
	uint64_t size = e->size < f->covered ? e->size : f->covered;
	bool in_hole = size > f->size && ends_in_hole(f);

	if (f->size != size && ftruncate(f->fd, size) < 0)
		return -errno;
	/* Blocks that were preallocated behind the end (xfs does) are now inside. */
	if (size > f->size)
		free_gap(f, in_hole, f->size, size + BLOCK_BYTES);
	f->size = size;
	return attrs_times(a, f->fd, &e->atime, &e->mtime);
}

int inflow_end(struct apply *a, const struct wire_data_end *e, int *ret_fd)
{
	struct inflow **p = find(a, e->ask, &e->fid), *f = *p;
	int r = 0;

	if (e->size > INT64_MAX)
		return -EBADMSG;
	if (!f && e->status == WIRE_DATA_OK) {	/* empty, or only the size */
		r = start(a, e->ask, &e->fid, &f);
		p = &a->inflow;
	}
	if (!f)
		return r;
	if (e->status == WIRE_DATA_OK)
		r = finish(a, f, e);
	*p = f->next;
	if (!r) {
		r = lift_end(&a->stage, &f->lift);
		/* The capability's return moved ctime only; times stay. */
	}
	if (!r && ret_fd)
		*ret_fd = take_fd(&f->fd);
	free_one(a, f);
	return r;
}

void inflow_abort(struct apply *a)
{
	while (a->inflow) {
		struct inflow *f = a->inflow;

		a->inflow = f->next;
		free_one(a, f);
	}
}
