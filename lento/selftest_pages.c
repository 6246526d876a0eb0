// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * selftest_pages.c: every way to a dirty page leaves a mark (selftest.h).
 *
 * Proved by the sequence that every reader depends on: dirty, clean, dirty
 * gives two marks.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "lib/cleanup.h"
#include "lento/selftest_private.h"

/* Is the page at `off` of that file marked? Takes all marks away. */
static int marked_of(struct selftest *t, const struct izo_fid *fid, uint64_t off,
		     bool *ret)
{
	struct dirtymap *d = &t->p->dirty;
	int r = dirtymap_take(d);

	*ret = false;
	for (size_t i = 0; i < d->nmarks && !r; i++) {
		const struct capture_mark *m = &d->marks[i];

		if (selftest_same_fid(&m->obj, fid) && m->range.off <= off &&
		    off < m->range.end)
			*ret = true;
	}
	return r ? r : dirtymap_release(d);
}

static int marked(struct selftest *t, uint64_t off, bool *ret)
{
	return marked_of(t, &t->file_fid, off, ret);
}

static int must_mark(struct selftest *t, const char *prog, uint64_t off, const char *what)
{
	bool yes;

	selftest_asked(t, prog);
	if (marked(t, off, &yes))
		return selftest_silent(t, prog, "the marks cannot be read");
	return yes ? 0 : selftest_silent(t, prog, what);
}

static int clean(int fd)
{
	return sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WAIT_BEFORE |
			       SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER);
}

static int write_page(struct selftest *t, uint64_t off)
{
	char page[4096];

	memset(page, 'i', sizeof(page));
	return pwrite(t->fd, page, sizeof(page), off) == sizeof(page) ? 0 : -1;
}

/* Data journalling and DAX fail here: their pages are not cleaned by a
 * write-out, or are never dirty. */
int selftest_pages(struct selftest *t)
{
	static const char *again =
		"no mark after dirty, clean, dirty (data=journal or DAX?)";
	char *map;
	int r;

	if (write_page(t, 8192))
		return selftest_silent(t, "izo_folio", "cannot write");
	r = must_mark(t, "izo_folio", 8192, "no mark for a write (data=journal or DAX?)");
	if (!r && (clean(t->fd) || write_page(t, 8192)))
		return selftest_silent(t, "izo_folio", "cannot write out");
	if (!r)
		r = must_mark(t, "izo_folio", 8192, again);
	if (r)
		return r;
	map = mmap(NULL, 16384, PROT_READ | PROT_WRITE, MAP_SHARED, t->fd, 0);
	if (map == MAP_FAILED)
		return selftest_silent(t, "izo_folio", "cannot map");
	for (int round = 0; round < 2 && !r; round++) {
		bool drop;

		clean(t->fd);
		marked(t, 0, &drop);
		*(volatile char *)(map + 8192) = round;
		r = must_mark(t, "izo_folio", 8192, "no mark for a store to a mapping");
	}
	munmap(map, 16384);
	return r;
}

/* A few bytes: ext4 with inline_data keeps them in the inode, and no page is ever
 * dirty. */
int selftest_small(struct selftest *t)
{
	_cleanup_fd_ int fd = openat(t->dir, "t", O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	struct izo_fid fid;
	bool yes = false;

	if (fd < 0 || fid_of(&t->mount, t->dir, "t", &fid) ||
	    write(fd, "a few bytes only", 16) != 16)
		return selftest_silent(t, "izo_folio", "cannot write");
	if (marked_of(t, &fid, 0, &yes))
		return selftest_silent(t, "izo_folio", "the marks cannot be read");
	unlinkat(t->dir, "t", 0);
	return yes ? 0 : selftest_silent(t, "izo_folio",
					 "no mark for a small file (inline_data?)");
}

/* Direct I/O that a filesystem turns into buffered I/O marks folios. */
int selftest_direct(struct selftest *t)
{
	_cleanup_fd_ int fd = openat(t->dir, "f", O_RDWR | O_DIRECT | O_CLOEXEC);
	_cleanup_free_ void *buf = NULL;
	bool drop;
	int n;

	selftest_asked(t, "izo_dio_in");	/* without it the other has nothing to mark */
	selftest_asked(t, "izo_dio_out");
	if (fd < 0)
		return errno == EINVAL ? 0 : selftest_silent(t, "izo_dio_in", "cannot open");
	if (posix_memalign(&buf, 4096, 4096))
		return -ENOMEM;
	memset(buf, 'd', 4096);
	clean(t->fd);
	if (marked(t, 0, &drop))
		return selftest_silent(t, "izo_dio_in", "the marks cannot be read");
	n = pwrite(fd, buf, 4096, 12288);
	if (n != 4096)
		return errno == EINVAL ? 0 : selftest_silent(t, "izo_dio_in", "cannot write");
	return must_mark(t, "izo_dio_out", 12288, "no mark for a direct write");
}
