// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * outtest.c: what leaves a source for a file with allocated but unwritten
 * blocks, for outflow.t: `outtest FOLDER`. Enters: an empty folder on ext4, xfs
 * or btrfs; root. Leaves: TAP. A block goes as a hole exactly where no written
 * extent lies, whatever stands beside it and however many pieces there are. What
 * leaves is written out first: a page that stays dirty makes no mark when it
 * changes again.
 */
#include <err.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "lento/outflow.h"

#define BLOCK	4096
#define BLOCKS	192		/* below a buffer; more pieces than one FIEMAP tells */

static unsigned number, bad;

static void ok(bool good, const char *what, unsigned got, unsigned wanted)
{
	printf("%sok %u - %s\n", good ? "" : "not ", ++number, what);
	if (!good)
		printf("# got %u, wanted %u\n", got, wanted);
	bad += !good;
}

/* What came, block by block: 'd' data, 'h' hole, '-' nothing. */
struct came {
	char block[BLOCKS];
	bool nonsense;
};

static int take(void *ctx, enum wire_type type, const void *head, size_t head_len,
		const void *bytes, size_t len)
{
	const struct wire_data *d = head;
	struct came *c = ctx;

	(void)head_len;
	if (type == WIRE_DATA_END)
		return 0;
	if (d->off % BLOCK || d->len % BLOCK || d->off + d->len > BLOCKS * BLOCK ||
	    (type == WIRE_DATA) != !!bytes || (bytes && len != d->len)) {
		c->nonsense = true;
		return 0;
	}
	memset(c->block + d->off / BLOCK, type == WIRE_DATA ? 'd' : 'h',
	       d->len / BLOCK);
	return 0;
}

static bool is_written(unsigned b, unsigned step)
{
	return b % step == 1;
}

/* A preallocated file with zeros written into each step-th block, all of it
 * read, so that the page cache holds the unwritten ones too. */
static int make(int dir, const char *name, unsigned step)
{
	static char zeros[BLOCK];
	int fd = openat(dir, name, O_CREAT | O_RDWR | O_CLOEXEC, 0600);

	if (fd < 0 || fallocate(fd, 0, 0, BLOCKS * BLOCK))
		err(1, "%s", name);
	for (unsigned b = 0; b < BLOCKS; b++)
		if (is_written(b, step) &&
		    pwrite(fd, zeros, BLOCK, (off_t)b * BLOCK) != BLOCK)
			err(1, "%s", name);
	if (fsync(fd))
		err(1, "%s", name);
	for (unsigned b = 0; b < BLOCKS; b++)
		if (pread(fd, zeros, BLOCK, (off_t)b * BLOCK) != BLOCK)
			err(1, "%s", name);
	return fd;
}

static void compare(struct outflow *o, int dir, const char *name, unsigned step)
{
	struct izo_range all = { 0, IZO_TO_EOF };
	struct came c = { .nonsense = false };
	unsigned data = 0, wanted = 0, wrong = 0;
	int fd = make(dir, name, step);
	struct izo_time mtime;
	struct izo_fid fid;

	memset(c.block, '-', sizeof(c.block));
	o->ctx = &c;
	ok(!fid_of(o->mount, dir, name, &fid) && !outflow_ranges(o, &fid, &all, 1, &mtime) &&
	   !c.nonsense, name, c.nonsense, 0);
	for (unsigned b = 0; b < BLOCKS; b++) {
		data += c.block[b] == 'd';
		wanted += is_written(b, step);
		wrong += c.block[b] != (is_written(b, step) ? 'd' : 'h');
	}
	ok(data == wanted, "as many blocks of data as were written", data, wanted);
	ok(!wrong, "each block as it is", wrong, 0);
	close(fd);
}

/* Pages that wait for blocks are dirty pages; this does not write them. */
static bool has_delayed(int fd)
{
	struct {
		struct fiemap map;
		struct fiemap_extent extent[8];
	} ask = { .map = { .fm_length = FIEMAP_MAX_OFFSET, .fm_extent_count = 8 } };

	if (ioctl(fd, FS_IOC_FIEMAP, &ask))
		err(1, "FIEMAP");
	for (unsigned i = 0; i < ask.map.fm_mapped_extents; i++)
		if (ask.extent[i].fe_flags & FIEMAP_EXTENT_DELALLOC)
			return true;
	return false;
}

static void write_out(struct outflow *o, int dir, const char *name, bool want)
{
	int fd = openat(dir, name, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	struct izo_time mtime;
	struct izo_range range = { 0, 4 * BLOCK };
	struct wire_want w = { .have_size = ~0ULL };
	static char bytes[4 * BLOCK];
	struct came c = { .nonsense = false };
	bool before;
	int e;

	memset(bytes, 'x', sizeof(bytes));
	if (fd < 0 || pwrite(fd, bytes, sizeof(bytes), 0) != sizeof(bytes) ||
	    fid_of(o->mount, dir, name, &w.fid))
		err(1, "%s", name);
	before = has_delayed(fd);
	o->ctx = &c;
	e = want ? outflow_want(o, &w) : outflow_ranges(o, &w.fid, &range, 1, &mtime);
	ok(!e && before && !has_delayed(fd), name, before, true);
	close(fd);
}

int main(int argc, char **argv)
{
	struct outflow o = { .send = take };
	struct fid_mount mount;
	int dir = argc == 2 ? open(argv[1], O_RDONLY | O_DIRECTORY) : -1;

	if (dir < 0 || fid_mount_init(&mount, dir) || outflow_init(&o))
		err(1, "usage: outtest FOLDER");
	o.mount = &mount;
	compare(&o, dir, "a written block among unwritten ones", 100);
	compare(&o, dir, "a hundred pieces", 2);
	write_out(&o, dir, "dirty ranges are written out before they are read", false);
	write_out(&o, dir, "so is a file that a fill asks for", true);
	outflow_done(&o);
	close(dir);
	printf("1..%u\n", number);
	return bad ? 1 : 0;
}
