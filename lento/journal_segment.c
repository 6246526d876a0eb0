// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * journal_segment.c: segment files and the commits in them. Enters: a folder,
 * numbers, offsets. Leaves: headers and commits that are proved whole, or the
 * byte where the proof fails and why.
 *
 * What must always hold: a segment appears under its name with its header
 * durable; a commit is taken only if head, every record, their order and the
 * running chain agree with the place where it was looked for.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>
#include "lento/journal_segment.h"
#include "lib/cleanup.h"
#include "lib/codec.h"
#include "lib/io.h"

static const char magic[8] = { 'I', 'Z', 'O', 'K', 'M', 'L', '\r', '\n' };

void segment_name(const char *prefix, uint64_t number, char ret[32])
{
	snprintf(ret, 32, "%s.%016" PRIx64, prefix, number);
}

uint64_t segment_name_parse(const char *prefix, const char *name)
{
	size_t len = strlen(prefix);
	char again[32], *end;
	uint64_t number;

	if (strncmp(name, prefix, len) || name[len] != '.')
		return 0;
	number = strtoull(name + len + 1, &end, 16);
	segment_name(prefix, number, again);
	return strcmp(name, again) ? 0 : number;
}

static uint64_t header_sum(const struct segment *s)
{
	return XXH3_64bits(s, offsetof(struct segment, sum));
}

static const char *header_check(const struct segment *s, ssize_t n,
				uint64_t number, int *ret_errno)
{
	*ret_errno = -EBADMSG;
	if (n < (ssize_t)sizeof(*s))
		return "file shorter than its header";
	if (memcmp(s->magic, magic, sizeof(magic)))
		return "not a journal segment";
	if (s->sum != header_sum(s))
		return "header checksum does not match";
	if (s->version != SEGMENT_VERSION || s->incompat) {
		*ret_errno = -EPROTONOSUPPORT;
		return "written by a newer version";
	}
	if (s->number != number)
		return "header of another segment";
	if (s->bytes % SEGMENT_BLOCK || s->bytes < SEGMENT_MIN)
		return "impossible size in the header";
	return NULL;
}

int segment_open(int dir_fd, uint64_t number, struct segment *ret, char *err,
		 size_t err_size)
{
	_cleanup_fd_ int fd = -1;
	const char *why;
	char name[32];
	int code;

	segment_name("kml", number, name);
	fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0) {
		code = -errno;
		snprintf(err, err_size, "%s: %s", name, strerror(-code));
		return code;
	}
	why = header_check(ret, pread_full(fd, ret, sizeof(*ret), 0), number,
			   &code);
	if (why) {
		snprintf(err, err_size, "%s: byte 0: %s", name, why);
		return code;
	}
	return take_fd(&fd);
}

/* Zeroes are written, not only allocated: a later write in place then needs no
 * extent conversion and so no commit of the filesystem's own journal. */
static int write_zeroes(int fd, uint64_t bytes, const atomic_bool *stop)
{
	size_t chunk = 1u << 20;
	_cleanup_free_ char *zero = calloc(1, chunk);
	uint64_t off;
	int r = 0;

	if (!zero)
		return -ENOMEM;
	for (off = 0; !r && off < bytes; off += chunk) {
		if (stop && *stop)
			return -ECANCELED;
		if (chunk > bytes - off)
			chunk = bytes - off;
		r = pwrite_full(fd, zero, chunk, off);
	}
	return r;
}

static int make_new(int dir_fd, const char *name, uint64_t bytes,
		    const atomic_bool *stop)
{
	int fd, flags, r;

	unlinkat(dir_fd, name, 0);
	fd = openat(dir_fd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	/* btrfs would write elsewhere each time; the others do not know it. */
	if (!ioctl(fd, FS_IOC_GETFLAGS, &flags)) {
		flags |= FS_NOCOW_FL;
		(void)!ioctl(fd, FS_IOC_SETFLAGS, &flags);
	}
	r = posix_fallocate(fd, 0, bytes) == ENOSPC ? -ENOSPC : 0;
	if (!r)
		r = write_zeroes(fd, bytes, stop);
	if (r) {
		close(fd);
		unlinkat(dir_fd, name, 0);
		return r;
	}
	return fd;
}

/* -ENOENT: that file is of another size and was removed. */
static int take_free(int dir_fd, const char *name, uint64_t bytes)
{
	_cleanup_fd_ int fd = openat(dir_fd, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;

	if (fd < 0 || fstat(fd, &st))
		return -errno;
	if ((uint64_t)st.st_size != bytes) {
		unlinkat(dir_fd, name, 0);
		return -ENOENT;
	}
	return take_fd(&fd);
}

int segment_create(int dir_fd, struct segment *s, uint64_t free_number)
{
	unsigned char block[SEGMENT_BLOCK] = { 0 };
	_cleanup_fd_ int fd = -1;
	char from[32], name[32];
	int r;

	memcpy(s->magic, magic, sizeof(magic));
	s->version = SEGMENT_VERSION;
	s->sum = header_sum(s);
	memcpy(block, s, sizeof(*s));
	if (free_number) {
		segment_name("free", free_number, from);
		fd = take_free(dir_fd, from, s->bytes);
	}
	if (fd < 0) {
		segment_name("new", s->number, from);
		fd = make_new(dir_fd, from, s->bytes, NULL);
	}
	if (fd < 0)
		return fd;
	r = pwrite_full(fd, block, sizeof(block), 0);
	if (!r && fsync(fd))
		r = -errno;
	segment_name("kml", s->number, name);
	if (!r && renameat(dir_fd, from, dir_fd, name))
		r = -errno;
	if (r) {
		unlinkat(dir_fd, from, 0);
		return r;
	}
	return dir_sync(dir_fd);
}

int segment_spare(int dir_fd, uint64_t number, uint64_t bytes,
		  const atomic_bool *stop)
{
	_cleanup_fd_ int fd = -1;
	char from[32], to[32];
	int r;

	segment_name("new", number, from);
	segment_name("free", number, to);
	fd = make_new(dir_fd, from, bytes, stop);
	if (fd < 0)
		return fd;
	r = fsync(fd) || renameat(dir_fd, from, dir_fd, to) ? -errno : 0;
	if (r)
		unlinkat(dir_fd, from, 0);
	return r;
}

int segment_open_write(int dir_fd, uint64_t number)
{
	char name[32];
	int fd;

	segment_name("kml", number, name);
	fd = openat(dir_fd, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	return fd < 0 ? -errno : fd;
}

void commit_head(void *buf, const struct segment *s, uint64_t off, size_t len,
		 const struct place *before)
{
	struct izo_record *h = buf;

	memset(h, 0, COMMIT_HEAD);
	h->len = COMMIT_HEAD;
	h->kind = IZO_PAD;
	h->off = off;
	h->count = len;
	h->origin_seq = s->number;
	h->ring_seq = s->epoch;
	h->txn = before->seq + 1;
	h->sum = record_sum(h);
	h->chain = before->chain;	/* of no chain itself: never shipped */
}

static bool head_of(const struct izo_record *h, const struct segment *s,
		    uint64_t off)
{
	return h->len == COMMIT_HEAD && h->kind == IZO_PAD && h->off == off &&
	       h->origin_seq == s->number && h->ring_seq == s->epoch &&
	       h->count > COMMIT_HEAD && h->count <= COMMIT_MAX &&
	       h->count <= s->bytes - off && h->sum == record_sum(h);
}

static int fault_at(struct fault *f, uint64_t off, const char *why)
{
	*f = (struct fault){ off, why };
	return 1;
}

/* All records between the head and the end of the commit of len bytes. */
static int check_records(const unsigned char *buf, size_t len, uint64_t off,
			 struct place *at, struct fault *f)
{
	const struct izo_record *r;
	struct place p = *at;
	const char *why;
	size_t i;

	for (i = COMMIT_HEAD; i < len; i += r->len) {
		int e = record_check(buf + i, len - i, &r, &why);

		if (e)
			return fault_at(f, off + i, e == -EBADMSG ? why :
					"record longer than its commit");
		if (r->kind == IZO_PAD || r->seq != p.seq + 1)
			return fault_at(f, off + i, "record out of order");
		if (!record_sealed(r, p.chain))
			return fault_at(f, off + i, "checksum does not match");
		p = (struct place){ r->seq, r->chain };
	}
	*at = p;
	return 0;
}

/* len: what is there of the commit; *ret_need: bytes it takes. */
static int check_commit(const unsigned char *buf, size_t have,
			const struct segment *s, uint64_t off, struct place *at,
			size_t *ret_need, struct fault *f)
{
	const struct izo_record *h = (const void *)buf;

	*ret_need = COMMIT_HEAD;
	if (have < COMMIT_HEAD)
		return fault_at(f, off, "file ends");
	if (!head_of(h, s, off))
		return fault_at(f, off, "no sealed head of a commit");
	if (h->chain != at->chain || h->txn != at->seq + 1)
		return fault_at(f, off, "commit does not follow the one before");
	*ret_need = h->count;
	if (have < h->count)
		return fault_at(f, off, "file ends");
	return check_records(buf, h->count, off, at, f);
}

static int window_fill(struct window *w, uint64_t off)
{
	ssize_t n = pread_full(w->fd, w->buf, COMMIT_MAX, off);

	w->off = off;
	w->have = n < 0 ? 0 : n;
	return n < 0 ? n : 0;
}

int commit_load(struct window *w, const struct segment *s, uint64_t off,
		struct place *at, const unsigned char **ret, size_t *ret_len,
		struct fault *fault)
{
	size_t skip = off - w->off;
	int r = 1;

	if (off + COMMIT_HEAD > s->bytes)
		return fault_at(fault, off, "end of the segment");
	if (off >= w->off && skip < w->have) {
		*ret = w->buf + skip;
		r = check_commit(*ret, w->have - skip, s, off, at, ret_len, fault);
	}
	if (r) {
		/* Too little of it, or read before it was written. */
		r = window_fill(w, off);
		if (r)
			return r;
		*ret = w->buf;
		r = check_commit(*ret, w->have, s, off, at, ret_len, fault);
	}
	return r;
}

int commit_later(struct window *w, const struct segment *s, uint64_t off,
		 const struct place *at)
{
	size_t i;

	for (off += SEGMENT_BLOCK; off < s->bytes; off += w->have) {
		int r = window_fill(w, off);

		if (r)
			return r;
		w->have -= w->have % SEGMENT_BLOCK;
		if (!w->have)
			break;
		for (i = 0; i < w->have; i += SEGMENT_BLOCK) {
			const struct izo_record *h = (const void *)(w->buf + i);

			if (head_of(h, s, off + i) && h->txn > at->seq + 1) {
				w->have = 0;
				return 1;
			}
		}
	}
	w->have = 0;
	return 0;
}

int window_init(struct window *w)
{
	*w = (struct window){ .fd = -1 };
	w->buf = aligned_alloc(SEGMENT_BLOCK, COMMIT_MAX);
	return w->buf ? 0 : -ENOMEM;
}

void window_done(struct window *w)
{
	if (w->fd >= 0)
		close(w->fd);
	w->fd = -1;
	free(w->buf);
	w->buf = NULL;
}
