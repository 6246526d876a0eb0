// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * extent.c: see extent.h. Enters: an open file. Leaves: ranges. What must always
 * hold: data is never called a hole; a hole may be called data.
 *
 * The kernel's fault: xfs's SEEK_DATA, at a hole that an extent of the
 * copy-on-write fork covers, takes the distance to the next data as far too long
 * and steps over it. FIEMAP looks at the data fork alone. What it calls
 * unwritten may have been written to in the page cache; that is asked of
 * SEEK_DATA, which is right inside an extent.
 */
#include "lib/extent.h"

#include <errno.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/vfs.h>
#include <unistd.h>

#define ASK_EXTENTS	16

struct ask {
	struct fiemap map;
	struct fiemap_extent extent[ASK_EXTENTS];
};

static int by_seek(int fd, uint64_t pos, uint64_t end, uint64_t *ret_off,
		   uint64_t *ret_end)
{
	off_t data = lseek(fd, pos, SEEK_DATA), hole;

	if (data < 0)
		return errno == ENXIO ? 0 : -errno;
	if ((uint64_t)data >= end)
		return 0;
	hole = lseek(fd, data, SEEK_HOLE);
	*ret_off = data;
	*ret_end = hole < 0 || (uint64_t)hole > end ? end : (uint64_t)hole;
	return 1;
}

/* What of the extent [off, end) may hold data. */
static bool in_extent(int fd, const struct fiemap_extent *x, uint64_t *off, uint64_t end)
{
	off_t data;

	if (!(x->fe_flags & FIEMAP_EXTENT_UNWRITTEN))
		return true;
	data = lseek(fd, *off, SEEK_DATA);
	if (data < 0 ? errno == ENXIO : (uint64_t)data >= end)
		return false;
	if (data >= 0)
		*off = data;
	return true;
}

static int by_fiemap(int fd, uint64_t pos, uint64_t end, uint64_t *ret_off,
		     uint64_t *ret_end)
{
	uint64_t size = lseek(fd, 0, SEEK_END);
	bool have = false;

	if (end > size)
		end = size;
	while (pos < end) {
		struct ask ask = {
			.map = { .fm_start = pos, .fm_length = end - pos,
				 .fm_extent_count = ASK_EXTENTS },
		};
		const struct fiemap_extent *x = ask.extent;

		if (ioctl(fd, FS_IOC_FIEMAP, &ask))
			return -errno;
		for (unsigned i = 0; i < ask.map.fm_mapped_extents; i++, x++) {
			uint64_t from = x->fe_logical > pos ? x->fe_logical : pos;
			uint64_t to = x->fe_logical + x->fe_length;

			to = to < end ? to : end;
			if (have && from > *ret_end)
				return 1;
			if (from < to && in_extent(fd, x, &from, to)) {
				if (have && from > *ret_end)
					return 1;
				*ret_off = have ? *ret_off : from;
				*ret_end = to;
				have = true;
			} else if (have) {
				return 1;
			}
			pos = to;
		}
		if (ask.map.fm_mapped_extents < ASK_EXTENTS)
			break;
	}
	return have;
}

int extent_data(int fd, uint64_t pos, uint64_t end, uint64_t *ret_off,
		uint64_t *ret_end)
{
	struct statfs fs;

	if (fstatfs(fd, &fs))
		return -errno;
	return fs.f_type == XFS_SUPER_MAGIC ?
	       by_fiemap(fd, pos, end, ret_off, ret_end) :
	       by_seek(fd, pos, end, ret_off, ret_end);
}
