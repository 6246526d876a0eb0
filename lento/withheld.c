// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * withheld.c: see withheld.h. Of the names that records give to hollow files
 * only a 128-bit hash is kept.
 */
#include "lento/withheld.h"

#include <errno.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>
#include "lib/codec.h"

struct given {
	XXH128_hash_t *name;	/* open addressing; all zero: free */
	size_t n, size;
};

static XXH128_hash_t hash(const struct izo_fid *fid, const struct izo_fid *dir,
			  const char *name, unsigned len)
{
	struct {
		struct izo_fid fid, dir;
		char name[IZO_NAME_MAX + 1];
	} k = { .fid = *fid, .dir = *dir };

	k.fid.zero = k.dir.zero = 0;
	memcpy(k.name, name, len);
	return XXH3_128bits(&k, offsetof(typeof(k), name) + len);
}

static bool is_free(const XXH128_hash_t *h)
{
	return !h->low64 && !h->high64;
}

static XXH128_hash_t *find(const struct given *g, XXH128_hash_t h)
{
	size_t i = h.low64 & (g->size - 1);

	while (!is_free(&g->name[i]) && !XXH128_isEqual(g->name[i], h))
		i = (i + 1) & (g->size - 1);
	return &g->name[i];
}

static int grow(struct given *g)
{
	struct given n = { .n = g->n, .size = g->size ? g->size * 2 : 256 };

	n.name = calloc(n.size, sizeof(*n.name));
	if (!n.name)
		return -ENOMEM;
	for (size_t i = 0; i < g->size; i++)
		if (!is_free(&g->name[i]))
			*find(&n, g->name[i]) = g->name[i];
	free(g->name);
	*g = n;
	return 0;
}

/* A name taken away and given again is one that was given: nothing is deleted
 * from the table. */
static int give(struct given *g, const struct withheld_events *ev,
		const struct izo_fid *fid, const struct izo_fid *dir,
		const char *name, unsigned len)
{
	XXH128_hash_t h, *at;

	if (!ev->hollow(ev->ctx, fid))
		return 0;
	if (g->n * 2 >= g->size && grow(g))
		return -ENOMEM;
	h = hash(fid, dir, name, len);
	at = find(g, h);
	g->n += is_free(at);
	*at = h;
	return 0;
}

/* Found once: the first record that takes it settles the matter. */
static int take(struct given *g, const struct withheld_events *ev,
		const struct izo_fid *fid, const struct izo_fid *dir,
		const char *name, unsigned len)
{
	int e;

	if (fid_none(fid) || !ev->hollow(ev->ctx, fid))
		return 0;
	if (g->size && !is_free(find(g, hash(fid, dir, name, len))))
		return 0;
	e = ev->found(ev->ctx, fid, dir, name, len);
	return e ? e : give(g, ev, fid, dir, name, len);
}

static int look_rename(struct given *g, const struct withheld_events *ev,
		       const struct izo_record *r)
{
	const char *from = record_name(r), *to = record_name2(r);
	int e = take(g, ev, &r->victim, &r->dir2, to, r->name2_len);

	if (!e)
		e = take(g, ev, &r->obj, &r->dir, from, r->name_len);
	if (!e)
		e = give(g, ev, &r->obj, &r->dir2, to, r->name2_len);
	if (!e && r->op_flags & RENAME_EXCHANGE)
		e = give(g, ev, &r->victim, &r->dir, from, r->name_len);
	return e;
}

static int look(struct given *g, const struct withheld_events *ev,
		const struct izo_record *r)
{
	switch (r->kind) {
	case IZO_CREATE:
	case IZO_LINK:
	case IZO_IMPORT:
		return give(g, ev, &r->obj, &r->dir, record_name(r), r->name_len);
	case IZO_UNLINK:
	case IZO_EXPEL:
		return take(g, ev, &r->obj, &r->dir, record_name(r), r->name_len);
	case IZO_RENAME:
		return look_rename(g, ev, r);
	default:
		return 0;
	}
}

int withheld_names(const void *records, size_t bytes,
		   const struct withheld_events *ev)
{
	struct given g = { 0 };
	size_t at = 0;
	int e = 0;

	while (!e && at < bytes) {
		const struct izo_record *r =
			(const void *)((const char *)records + at);

		e = look(&g, ev, r);
		at += r->len;
	}
	free(g.name);
	return e;
}
