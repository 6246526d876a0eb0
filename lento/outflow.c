// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * outflow.c: see outflow.h.
 */
#include "lento/outflow.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "lib/cleanup.h"
#include "lib/digest.h"
#include "lib/extent.h"
#include "lib/lease.h"

#define ALIGN_BYTES	4096ULL

int outflow_init(struct outflow *o)
{
	o->buf = malloc(WIRE_DATA_MAX);
	return o->buf ? 0 : -ENOMEM;
}

void outflow_done(struct outflow *o)
{
	free(o->buf);
	o->buf = NULL;
}

static bool stopped(const struct outflow *o)
{
	return o->stop && *o->stop;
}

static int open_file(struct outflow *o, const struct izo_fid *fid)
{
	unsigned tries = 0;
	struct stat st;
	int fd;

	do
		fd = fid_open(o->mount, fid, O_RDONLY | O_NOATIME | O_NONBLOCK);
	while (lease_wait(fd, &tries, o->stop));
	if (fd == -ENOENT)
		return -ESTALE;
	if (fd == -EAGAIN && stopped(o))
		return -ENOTCONN;
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
		close(fd);
		return -ESTALE;
	}
	return fd;
}

/* At most the largest offset there is. */
static uint64_t align_up(uint64_t off)
{
	uint64_t up = (off + ALIGN_BYTES - 1) & ~(ALIGN_BYTES - 1);

	return up > INT64_MAX ? INT64_MAX : up;
}

#define BUF_BLOCKS	(WIRE_DATA_MAX / ALIGN_BYTES)
#define FIEMAP_EXTENTS	32
_Static_assert(BUF_BLOCKS <= 64, "a bit for each block of the buffer");

struct fiemap_ask {
	struct fiemap map;
	struct fiemap_extent extent[FIEMAP_EXTENTS];
};

static int write_out(int fd, const struct izo_range *range, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		uint64_t off = range[i].off & ~(ALIGN_BYTES - 1), len = 0;

		if (range[i].end <= INT64_MAX)
			len = align_up(range[i].end) - off;
		if (sync_file_range(fd, off, len, SYNC_FILE_RANGE_WAIT_BEFORE |
				    SYNC_FILE_RANGE_WRITE |
				    SYNC_FILE_RANGE_WAIT_AFTER))
			return -errno;
	}
	return 0;
}

/* btrfs enters an extent some time after its pages were written; until then
 * SEEK_DATA may call it a hole. FIEMAP with a sync waits for that. */
static int await_extents(const struct outflow *o, int fd)
{
	struct fiemap map = { .fm_length = 1, .fm_flags = FIEMAP_FLAG_SYNC };

	if (o->mount->fs != FID_FS_BTRFS)
		return 0;
	return ioctl(fd, FS_IOC_FIEMAP, &map) ? -errno : 0;
}

static int send_hole(struct outflow *o, uint64_t ask, const struct izo_fid *fid,
		     uint64_t off, uint64_t end)
{
	struct wire_data d = { ask, *fid, off, 0 };

	d.len = (end > INT64_MAX ? INT64_MAX : end) - off;
	return o->send(o->ctx, WIRE_HOLE, &d, sizeof(d), NULL, 0);
}

/* Delayed still after a sync: only reserved, as xfs does behind the end of a file
 * that then grows. */
#define NOT_WRITTEN	(FIEMAP_EXTENT_UNWRITTEN | FIEMAP_EXTENT_DELALLOC)

/* A bit for each of the n blocks from off on that has a written extent.
 * SEEK_DATA calls allocated but unwritten blocks data as long as somebody's
 * reading keeps them cached; FIEMAP with a sync does not. Unsure: written. */
static uint64_t written_blocks(int fd, uint64_t off, unsigned n)
{
	uint64_t end = off + n * ALIGN_BYTES, at = off, bits = 0;

	while (at < end) {
		struct fiemap_ask ask = {
			.map = { .fm_start = at, .fm_length = end - at,
				 .fm_flags = FIEMAP_FLAG_SYNC,
				 .fm_extent_count = FIEMAP_EXTENTS },
		};
		const struct fiemap_extent *x = ask.extent;

		if (ioctl(fd, FS_IOC_FIEMAP, &ask))
			return ~0ULL;
		for (unsigned i = 0; i < ask.map.fm_mapped_extents; i++, x++) {
			uint64_t from = x->fe_logical > off ? x->fe_logical : off;

			at = x->fe_logical + x->fe_length;
			if (x->fe_flags & NOT_WRITTEN)
				continue;
			for (uint64_t b = (from - off) / ALIGN_BYTES;
			     off + b * ALIGN_BYTES < (at < end ? at : end); b++)
				bits |= 1ULL << b;
		}
		if (ask.map.fm_mapped_extents < FIEMAP_EXTENTS)
			break;
	}
	return bits;
}

static bool is_zero(const unsigned char *p, size_t len)
{
	return !p[0] && !memcmp(p, p + 1, len - 1);
}

/* A bit for each block of the n bytes in o->buf that goes as a hole: all zero,
 * and never written. Block by block: a writer may be at work beside us, and only
 * the blocks that it touches are marked once more. */
static uint64_t hole_blocks(struct outflow *o, int fd, uint64_t off, size_t n)
{
	uint64_t zero = 0;
	unsigned blocks = 0;

	for (size_t at = 0; at < n; at += ALIGN_BYTES, blocks++) {
		size_t len = n - at < ALIGN_BYTES ? n - at : ALIGN_BYTES;

		if (is_zero(o->buf + at, len))
			zero |= 1ULL << blocks;
	}
	return zero ? zero & ~written_blocks(fd, off, blocks) : 0;
}

/* The n bytes of o->buf, read at off (block-aligned), as runs of data and holes. */
static int send_buffer(struct outflow *o, uint64_t ask, const struct izo_fid *fid,
		       int fd, uint64_t off, size_t n)
{
	uint64_t holes = hole_blocks(o, fd, off, n);
	size_t at = 0;
	int e = 0;

	while (!e && at < n) {
		bool hole = holes >> at / ALIGN_BYTES & 1;
		size_t to = at;

		while (to < n && (holes >> to / ALIGN_BYTES & 1) == hole)
			to += ALIGN_BYTES;
		if (hole) {
			e = send_hole(o, ask, fid, off + at, off + to);
		} else {
			struct wire_data d = { ask, *fid, off + at,
					       (to < n ? to : n) - at };

			e = o->send(o->ctx, WIRE_DATA, &d, sizeof(d),
				    o->buf + at, d.len);
		}
		at = to;
	}
	return e;
}

static int send_bytes(struct outflow *o, uint64_t ask, const struct izo_fid *fid,
		      int fd, uint64_t off, uint64_t end)
{
	while (off < end) {
		size_t want = end - off < WIRE_DATA_MAX ? end - off : WIRE_DATA_MAX;
		ssize_t n = pread(fd, o->buf, want, off);
		int e;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)	/* cut meanwhile: a record of that will come */
			return send_hole(o, ask, fid, off, end);
		e = send_buffer(o, ask, fid, fd, off, n);
		if (e)
			return e;
		off += n;
	}
	return 0;
}

/* [off, end) of the file, data as bytes, the rest as holes. A hole that reaches
 * the end of the file goes on to the end of its block: only whole blocks become
 * holes on the replica. */
static int send_range(struct outflow *o, uint64_t ask, const struct izo_fid *fid,
		      int fd, struct izo_range range, uint64_t size)
{
	uint64_t off = range.off & ~(ALIGN_BYTES - 1);
	uint64_t end = range.end < size ? align_up(range.end) : size;

	if (end > size)
		end = size;
	while (off < end) {
		uint64_t data, hole;
		int e = extent_data(fd, off, end, &data, &hole);

		if (e < 0)
			return e;
		if (!e)
			return send_hole(o, ask, fid, off,
					 end == size ? align_up(end) : end);
		if (data > off) {
			e = send_hole(o, ask, fid, off, data);
			if (e)
				return e;
		}
		e = send_bytes(o, ask, fid, fd, data, hole);
		if (e)
			return e;
		off = hole;
	}
	return 0;
}

static int send_end(struct outflow *o, uint64_t ask, const struct izo_fid *fid,
		    const struct stat *st, enum wire_data_status status)
{
	struct wire_data_end d = { .ask = ask, .fid = *fid, .status = status };

	if (st) {
		d.size = st->st_size;
		d.mtime.sec = st->st_mtim.tv_sec;
		d.mtime.nsec = st->st_mtim.tv_nsec;
		d.atime.sec = st->st_atim.tv_sec;
		d.atime.nsec = st->st_atim.tv_nsec;
	}
	return o->send(o->ctx, WIRE_DATA_END, &d, sizeof(d), NULL, 0);
}

int outflow_ranges(struct outflow *o, const struct izo_fid *fid,
		   const struct izo_range *range, unsigned n,
		   struct izo_time *ret_mtime)
{
	_cleanup_fd_ int fd = open_file(o, fid);
	struct stat st;
	int e;

	if (fd < 0)
		return fd;
	e = write_out(fd, range, n);
	if (!e)
		e = await_extents(o, fd);
	if (e)
		return e;
	if (fstat(fd, &st))
		return -errno;
	for (unsigned i = 0; !e && i < n; i++)
		e = send_range(o, 0, fid, fd, range[i], st.st_size);
	if (!e)
		e = send_end(o, 0, fid, &st, WIRE_DATA_OK);
	if (e)
		return e;
	ret_mtime->sec = st.st_mtim.tv_sec;
	ret_mtime->nsec = st.st_mtim.tv_nsec;
	return 0;
}

/* Do the first size bytes have that digest? */
static bool same_digest(struct outflow *o, int fd, uint64_t size,
			const unsigned char want[16])
{
	unsigned char have[16];

	return !digest_file(fd, size, o->stop, have) &&
	       !memcmp(have, want, sizeof(have));
}

int outflow_gone(struct outflow *o, const struct wire_want *w)
{
	return send_end(o, w->ask, &w->fid, NULL, WIRE_DATA_GONE);
}

int outflow_want(struct outflow *o, const struct wire_want *w)
{
	_cleanup_fd_ int fd = open_file(o, &w->fid);
	struct stat st;
	int e;

	if (fd == -ESTALE)
		return outflow_gone(o, w);
	if (fd < 0)
		return fd;
	/* Pages that are dirty now were marked before, and perhaps told of: only a
	 * clean page makes a new mark when it changes after this answer. */
	e = write_out(fd, &(struct izo_range){ 0, IZO_TO_EOF }, 1);
	if (!e)
		e = await_extents(o, fd);
	if (e)
		return e;
	if (fstat(fd, &st))
		return -errno;
	if (w->have_size == (uint64_t)st.st_size &&
	    same_digest(o, fd, st.st_size, w->have_digest))
		return send_end(o, w->ask, &w->fid, &st, WIRE_DATA_SAME);
	if (stopped(o))
		return -ENOTCONN;
	e = send_range(o, w->ask, &w->fid, fd, (struct izo_range){ 0, IZO_TO_EOF },
		       st.st_size);
	return e ? e : send_end(o, w->ask, &w->fid, &st, WIRE_DATA_OK);
}
