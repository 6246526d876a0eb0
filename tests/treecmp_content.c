// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * treecmp_content: the bytes of two regular files, and where their holes are.
 *
 * What is a hole in both files is not read. Holes are compared in blocks of
 * the larger st_blksize: a block is data if any of its bytes is. SEEK_DATA is
 * asked first, but for xfs; over an unwritten extent its answer depends on what
 * the page cache holds, so before a difference is reported FIEMAP with a sync is
 * asked, for which an unwritten extent is a hole, whatever is cached.
 */
#include <errno.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "treecmp.h"

#define SHOWN_BYTES 8
#define FIEMAP_EXTENTS 64
/* Delayed still after a sync: only reserved. */
#define NOT_WRITTEN (FIEMAP_EXTENT_UNWRITTEN | FIEMAP_EXTENT_DELALLOC)

struct range {
	off_t start;
	off_t end;
};

/* Walks the data of a file in ascending order, rounded out to blocks. */
struct data_map {
	/* Next data range at or after pos: 1, or 0 at the end, or -errno. */
	int (*next)(struct data_map *map, off_t pos, struct range *ret);
	int fd;
	off_t size;
	off_t block;
	bool have;
	struct range ahead;	/* read, not yet returned */
};

static int next_by_seek(struct data_map *map, off_t pos, struct range *ret)
{
	off_t start, end;

	if (pos >= map->size)
		return 0;
	start = lseek(map->fd, pos, SEEK_DATA);
	if (start < 0)
		return errno == ENXIO ? 0 : -errno;
	if (start >= map->size)
		return 0;
	end = lseek(map->fd, start, SEEK_HOLE);
	if (end < 0)
		return -errno;
	*ret = (struct range){ start, end };
	return 1;
}

struct fiemap_ask {
	struct fiemap map;
	struct fiemap_extent extents[FIEMAP_EXTENTS];
};

static int fiemap_ask(struct data_map *map, off_t pos, struct fiemap_ask *ask)
{
	memset(ask, 0, sizeof(*ask));
	ask->map.fm_start = pos;
	ask->map.fm_length = map->size - pos;
	ask->map.fm_flags = FIEMAP_FLAG_SYNC;
	ask->map.fm_extent_count = FIEMAP_EXTENTS;
	if (ioctl(map->fd, FS_IOC_FIEMAP, ask))
		return -errno;
	return ask->map.fm_mapped_extents;
}

static int next_by_fiemap(struct data_map *map, off_t pos, struct range *ret)
{
	struct fiemap_ask ask;

	while (pos < map->size) {
		int n = fiemap_ask(map, pos, &ask);

		if (n <= 0)
			return n;
		for (int i = 0; i < n; i++) {
			struct fiemap_extent *extent = &ask.extents[i];
			off_t start = extent->fe_logical;
			off_t end = start + extent->fe_length;

			if (end <= pos)
				continue;
			if (!(extent->fe_flags & NOT_WRITTEN)) {
				ret->start = start < pos ? pos : start;
				ret->end = end;
				return ret->start < map->size;
			}
			pos = end;
		}
	}
	return 0;
}

static bool is_xfs(int fd)
{
	struct statfs fs;

	return !fstatfs(fd, &fs) && fs.f_type == XFS_SUPER_MAGIC;
}

/* xfs before Linux 6.9 may step over data when it seeks in a reflinked file. */
static int next_by_default(struct data_map *map, off_t pos, struct range *ret)
{
	return is_xfs(map->fd) ? next_by_fiemap(map, pos, ret) :
				 next_by_seek(map, pos, ret);
}

static off_t next_data(int fd, off_t pos, off_t size)
{
	struct data_map map = { .fd = fd, .size = size };
	struct range range;
	int got = next_by_default(&map, pos, &range);

	if (got <= 0)	/* on an error read on */
		return got ? pos : size;
	return range.start;
}

static int map_fetch(struct data_map *map, off_t pos)
{
	int got = map->next(map, pos, &map->ahead);

	map->have = got > 0;
	if (got <= 0)
		return got;
	if (map->ahead.end > map->size)
		map->ahead.end = map->size;
	map->ahead.start -= map->ahead.start % map->block;
	if (map->ahead.end > INT64_MAX - map->block)	/* the largest size of all */
		return 1;
	map->ahead.end += map->block - 1;
	map->ahead.end -= map->ahead.end % map->block;
	return 1;
}

/* The next maximal run of data blocks: 1, or 0 at the end, or -errno. */
static int map_next(struct data_map *map, struct range *ret)
{
	int got;

	if (!map->have)
		return 0;
	*ret = map->ahead;
	while ((got = map_fetch(map, ret->end)) > 0 &&
	       map->ahead.start <= ret->end)
		ret->end = map->ahead.end;
	return got < 0 ? got : 1;
}

static int map_init(struct data_map *map, int fd, const struct stat *st,
		    off_t block,
		    int (*next)(struct data_map *, off_t, struct range *))
{
	*map = (struct data_map){ .next = next, .fd = fd, .size = st->st_size,
				  .block = block };
	return map_fetch(map, 0);
}

static off_t blksize(const struct stat *st)
{
	return st->st_blksize > 0 ? st->st_blksize : 4096;
}

/*
 * 0 the same holes, 1 different: the first block that is data on one side only
 * is *ret_at, and *ret_side that side; or -errno.
 */
static int holes_differ(const struct job *job, const struct object *object,
			int (*next)(struct data_map *, off_t, struct range *),
			off_t *ret_at, int *ret_side)
{
	off_t block_a = blksize(&job->st[SIDE_A]);
	off_t block_b = blksize(&job->st[SIDE_B]);
	struct data_map map[SIDES];

	for (int s = 0; s < SIDES; s++) {
		int err = map_init(&map[s], object[s].fd, &job->st[s],
				   block_a > block_b ? block_a : block_b, next);

		if (err < 0)
			return err;
	}
	for (;;) {
		struct range a = { 0, 0 }, b = { 0, 0 };
		int got_a = map_next(&map[SIDE_A], &a);
		int got_b = map_next(&map[SIDE_B], &b);

		if (got_a < 0 || got_b < 0)
			return got_a < 0 ? got_a : got_b;
		if (!got_a && !got_b)
			return 0;
		if (got_a && got_b && a.start == b.start && a.end == b.end)
			continue;
		if (got_a && got_b && a.start == b.start) {
			*ret_at = a.end < b.end ? a.end : b.end;
			*ret_side = a.end < b.end ? SIDE_B : SIDE_A;
		} else {
			*ret_side = !got_b || (got_a && a.start < b.start)
					    ? SIDE_A : SIDE_B;
			*ret_at = *ret_side == SIDE_A ? a.start : b.start;
		}
		return 1;
	}
}

void compare_holes(const struct job *job, const struct object *object)
{
	off_t at = 0;
	int side = 0;
	int differ = holes_differ(job, object, next_by_default, &at, &side);

	if (differ > 0) {
		off_t exact_at;
		int exact_side;
		int exact = holes_differ(job, object, next_by_fiemap, &exact_at,
					 &exact_side);

		if (exact == 0)
			return;
		if (exact > 0) {
			at = exact_at;
			side = exact_side;
		}
		report_diff(job->node, "holes: at byte %lld data in %c, a hole in %c",
			    (long long)at, "AB"[side], "BA"[side]);
	} else if (differ < 0) {
		report_error(job->node, "holes: %s", strerror(-differ));
	}
}

static void hex(const unsigned char *bytes, size_t len, char *buf)
{
	*buf = '\0';
	for (size_t i = 0; i < len && i < SHOWN_BYTES; i++)
		buf += sprintf(buf, "%s%02x", i ? " " : "", bytes[i]);
}

static void report_bytes(const struct job *job, off_t pos,
			 const struct buffers *buffers, size_t len)
{
	char text[SIDES][SHOWN_BYTES * 3 + 1];
	size_t at = 0;

	while (buffers->io[SIDE_A][at] == buffers->io[SIDE_B][at])
		at++;
	for (int s = 0; s < SIDES; s++)
		hex(buffers->io[s] + at, len - at, text[s]);
	report_diff(job->node, "content: first difference at byte %lld: %s in A, %s in B",
		    (long long)(pos + at), text[SIDE_A], text[SIDE_B]);
}

/* Reads len bytes unless the file ends earlier; bytes read or -errno. */
static ssize_t read_full(int fd, unsigned char *buf, size_t len, off_t pos)
{
	size_t done = 0;

	while (done < len) {
		ssize_t got = pread(fd, buf + done, len - done, pos + done);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			break;
		done += got;
	}
	return done;
}

/* Compares one piece: true to go on. */
static bool compare_piece(const struct job *job, struct object *object,
			  struct buffers *buffers, off_t pos, size_t len)
{
	for (int s = 0; s < SIDES; s++) {
		ssize_t got = read_full(object[s].fd, buffers->io[s], len, pos);

		if (got != (ssize_t)len) {
			report_error(job->node, "content in %c: %s", "AB"[s],
				     got < 0 ? strerror(-got)
					     : "shrank while walking");
			return false;
		}
	}
	report_count(0, len);
	if (!memcmp(buffers->io[SIDE_A], buffers->io[SIDE_B], len))
		return true;
	report_bytes(job, pos, buffers, len);
	return false;
}

void compare_content(const struct job *job, struct object *object,
		     struct buffers *buffers)
{
	off_t size_a = job->st[SIDE_A].st_size, size_b = job->st[SIDE_B].st_size;
	off_t end = size_a < size_b ? size_a : size_b;
	off_t pos = 0;

	while (pos < end) {
		off_t data_a = next_data(object[SIDE_A].fd, pos, end);
		off_t data_b = next_data(object[SIDE_B].fd, pos, end);
		off_t len;

		pos = data_a < data_b ? data_a : data_b;
		if (pos >= end)
			break;
		len = end - pos < IO_BYTES ? end - pos : IO_BYTES;
		if (!compare_piece(job, object, buffers, pos, len))
			return;
		pos += len;
	}
}

static bool is_zero(const unsigned char *buf, size_t len)
{
	return !buf[0] && !memcmp(buf, buf + 1, len - 1);
}

void digest_content(const struct job *job, const struct object *object,
		    XXH3_state_t *hash, struct buffers *buffers)
{
	off_t size = job->st[SIDE_A].st_size;
	off_t pos = 0;

	/* Pieces of zeros do not enter: a hole and zeros give one digest. */
	while ((pos = next_data(object->fd, pos, size)) < size) {
		ssize_t len;

		pos -= pos % IO_BYTES;
		len = size - pos < IO_BYTES ? size - pos : IO_BYTES;
		if (read_full(object->fd, buffers->io[0], len, pos) != len) {
			report_error(job->node, "content: cannot read all");
			return;
		}
		report_count(0, len);
		if (!is_zero(buffers->io[0], len)) {
			XXH3_128bits_update(hash, &pos, sizeof(pos));
			XXH3_128bits_update(hash, buffers->io[0], len);
		}
		pos += len;
	}
}

void digest_holes(const struct job *job, const struct object *object,
		  XXH3_state_t *hash)
{
	struct data_map map;
	struct range range;

	if (map_init(&map, object->fd, &job->st[SIDE_A],
		     blksize(&job->st[SIDE_A]), next_by_default) < 0)
		return;
	while (map_next(&map, &range) > 0)
		XXH3_128bits_update(hash, &range, sizeof(range));
}
