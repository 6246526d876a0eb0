// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * settle.c: see settle.h. A hash of inodes with pending ranges; memory follows
 * the number of files being written, not the number of files.
 */
#include "lento/settle.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>
#include "lento/ranges.h"
#include "lib/codec.h"

#define SETTLE_BUCKETS	4096

struct settle {
	uint32_t settle_ms;
	size_t n;
	struct settle_inode *bucket[SETTLE_BUCKETS];
};

static struct settle_inode **slot(struct settle *s, const struct izo_fid *fid)
{
	struct izo_fid f = { .ino = fid->ino, .subvol = fid->subvol, .gen = fid->gen };
	struct settle_inode **p =
		&s->bucket[XXH3_64bits(&f, sizeof(f)) % SETTLE_BUCKETS];

	while (*p && !fid_eq(&(*p)->fid, fid))
		p = &(*p)->next;
	return p;
}

struct settle *settle_new(uint32_t settle_ms)
{
	struct settle *s = calloc(1, sizeof(*s));

	if (s)
		s->settle_ms = settle_ms;
	return s;
}

void settle_free(struct settle *s)
{
	if (!s)
		return;
	for (int b = 0; b < SETTLE_BUCKETS; b++)
		while (s->bucket[b]) {
			struct settle_inode *i = s->bucket[b];

			s->bucket[b] = i->next;
			free(i);
		}
	free(s);
}

int settle_mark(struct settle *s, const struct izo_fid *fid, struct izo_range range,
		uint64_t now_ms, uint64_t records_pos)
{
	struct settle_inode **p = slot(s, fid), *i = *p;

	if (!i) {
		i = calloc(1, sizeof(*i));
		if (!i)
			return -ENOMEM;
		i->fid = *fid;
		i->first_ms = now_ms;
		*p = i;
		s->n++;
	}
	i->fresh = true;
	if (records_pos > i->records_pos)
		i->records_pos = records_pos;
	ranges_add(i->range, &i->nrange, SETTLE_RANGES, range);
	return 0;
}

void settle_point(struct settle *s, const struct izo_fid *fid)
{
	struct settle_inode *i = *slot(s, fid);

	if (i)
		i->due_now = true;
}

void settle_point_all(struct settle *s)
{
	for (int b = 0; b < SETTLE_BUCKETS; b++)
		for (struct settle_inode *i = s->bucket[b]; i; i = i->next)
			i->due_now = true;
}

static void take(struct settle *s, struct settle_inode **p)
{
	struct settle_inode *i = *p;

	*p = i->next;
	s->n--;
	free(i);
}

void settle_forget(struct settle *s, const struct izo_fid *fid)
{
	struct settle_inode **p = slot(s, fid);

	if (*p)
		take(s, p);
}

static bool is_due(const struct settle *s, const struct settle_inode *i,
		   uint64_t now_ms)
{
	return i->due_now || now_ms - i->first_ms >= s->settle_ms;
}

int settle_cycle(struct settle *s, uint64_t now_ms,
		 int (*due_fn)(void *ctx, const struct settle_inode *i),
		 int (*fresh_fn)(void *ctx, struct settle_inode *i), void *ctx)
{
	for (int b = 0; s->n && b < SETTLE_BUCKETS; b++) {
		struct settle_inode **p = &s->bucket[b];

		while (*p) {
			struct settle_inode *i = *p;
			int e = is_due(s, i, now_ms) ? due_fn(ctx, i) : 1;

			if (!e) {
				take(s, p);
				continue;
			}
			if (is_due(s, i, now_ms))
				i->first_ms = now_ms;
			if (e > 0)
				e = i->fresh ? fresh_fn(ctx, i) : 0;
			if (e)
				return e;
			i->fresh = false;
			p = &i->next;
		}
	}
	return 0;
}

int settle_wait_ms(const struct settle *s, uint64_t now_ms)
{
	uint64_t first = UINT64_MAX;

	if (!s->n)
		return -1;
	for (int b = 0; b < SETTLE_BUCKETS; b++)
		for (const struct settle_inode *i = s->bucket[b]; i; i = i->next)
			if (i->first_ms < first)
				first = i->first_ms;
	if (now_ms - first >= s->settle_ms)
		return 0;
	return (int)(s->settle_ms - (now_ms - first));
}

size_t settle_pending(const struct settle *s)
{
	return s->n;
}

uint64_t settle_oldest(const struct settle *s)
{
	uint64_t oldest = 0;

	for (int b = 0; s->n && b < SETTLE_BUCKETS; b++)
		for (const struct settle_inode *i = s->bucket[b]; i; i = i->next)
			if (i->dirty_seq && (!oldest || i->dirty_seq < oldest))
				oldest = i->dirty_seq;
	return oldest;
}
