/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fidtab.h: a small hash table FID -> time and number that lives as long as a
 * batch: whose contents came, which directory gets which time. Bounded by the
 * batch; fidtab_clear() gives large memory back.
 */
#ifndef LENTO_FIDTAB_H
#define LENTO_FIDTAB_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "lib/codec.h"

struct fidtab_item {
	struct izo_fid fid;	/* ino 0: free */
	struct izo_time time;
};

struct fidtab {
	struct fidtab_item *item;
	uint32_t size, used;	/* size is a power of two or 0 */
};

static inline uint64_t fid_hash(const struct izo_fid *f)
{
	uint64_t h = f->ino * 0x9e3779b97f4a7c15ULL ^ f->gen ^
		     f->subvol * 0xc2b2ae3d27d4eb4fULL;

	return h ^ h >> 29;
}

static inline struct fidtab_item *fidtab_slot(struct fidtab_item *item,
					      uint32_t size,
					      const struct izo_fid *fid)
{
	uint32_t i = fid_hash(fid) & (size - 1);

	while (item[i].fid.ino && !fid_eq(&item[i].fid, fid))
		i = (i + 1) & (size - 1);
	return &item[i];
}

/* NULL: not there. */
static inline struct fidtab_item *fidtab_get(struct fidtab *t,
					     const struct izo_fid *fid)
{
	struct fidtab_item *it;

	if (!t->used)
		return NULL;
	it = fidtab_slot(t->item, t->size, fid);
	return it->fid.ino ? it : NULL;
}

/* The item of fid, made if need be; NULL: no memory. */
static inline struct fidtab_item *fidtab_put(struct fidtab *t,
					     const struct izo_fid *fid)
{
	struct fidtab_item *it;

	if (t->used * 2 >= t->size) {
		uint32_t size = t->size ? t->size * 2 : 64;
		struct fidtab_item *n = calloc(size, sizeof(*n));

		if (!n)
			return NULL;
		for (uint32_t i = 0; i < t->size; i++)
			if (t->item[i].fid.ino)
				*fidtab_slot(n, size, &t->item[i].fid) =
					t->item[i];
		free(t->item);
		t->item = n;
		t->size = size;
	}
	it = fidtab_slot(t->item, t->size, fid);
	if (!it->fid.ino) {
		it->fid = *fid;
		t->used++;
	}
	return it;
}

static inline void fidtab_clear(struct fidtab *t)
{
	if (t->size > 4096) {
		free(t->item);
		*t = (struct fidtab){ 0 };
	} else if (t->used) {
		memset(t->item, 0, t->size * sizeof(*t->item));
		t->used = 0;
	}
}

static inline void fidtab_done(struct fidtab *t)
{
	free(t->item);
	*t = (struct fidtab){ 0 };
}

#endif
