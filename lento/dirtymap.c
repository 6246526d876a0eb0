// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * dirtymap.c: see dirtymap.h.
 *
 * The grace period is the kernel's: BPF_MAP_UPDATE_ELEM on an array of maps
 * ends in maybe_wait_bpf_programs (kernel/bpf/syscall.c, 5.0 on), which is
 * synchronize_rcu(). Programs on the tracepoint run inside a section with
 * interrupts off (i_pages' lock), which that waits for as well.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include "lento/dirtymap.h"

#define PAGE_SHIFT	12

static const char *const set_names[IZO_DIRTY_SLOTS] = { "izo_pages", "izo_whole" };
static const uint32_t set_rooms[IZO_DIRTY_SLOTS] = { IZO_DIRTY_ENTRIES, IZO_WHOLE_ENTRIES };

static int set_alloc(struct dirtyset *s, uint32_t room)
{
	s->room = room;
	s->taken = -1;
	s->keys = calloc(room, sizeof(*s->keys));
	s->vals = calloc(room, sizeof(*s->vals));
	return s->keys && s->vals ? 0 : -ENOMEM;
}

static int set_live(struct dirtymap *d, uint32_t slot, int index)
{
	struct dirtyset *s = &d->set[slot];

	if (bpf_map_update_elem(d->outer_fd, &slot, &s->fd[index], BPF_ANY))
		return -errno;
	s->live = index;
	return 0;
}

int dirtymap_create(struct dirtymap *d, int outer_fd)
{
	d->outer_fd = outer_fd;
	for (int slot = 0; slot < IZO_DIRTY_SLOTS; slot++) {
		struct dirtyset *s = &d->set[slot];
		int r;

		for (int i = 0; i < IZO_DIRTY_MAPS; i++) {
			s->fd[i] = bpf_map_create(BPF_MAP_TYPE_HASH, set_names[slot],
						  sizeof(struct izo_dirty_key),
						  sizeof(struct izo_dirty_val),
						  set_rooms[slot], NULL);
			if (s->fd[i] < 0)
				return -errno;
		}
		r = set_live(d, slot, 0);
		if (r)
			return r;
	}
	return 0;
}

/* All entries of a map that no program writes into. */
static int read_all(int fd, struct dirtyset *s, uint32_t *ret_n)
{
	uint32_t n = s->room;
	uint64_t batch = 0;

	if (bpf_map_lookup_batch(fd, NULL, &batch, s->keys, s->vals, &n, NULL) &&
	    errno != ENOENT)
		return -errno;
	*ret_n = n;
	return 0;
}

static int empty(int fd, const struct izo_dirty_key *keys, uint32_t n)
{
	uint32_t done = n;

	if (!n || !bpf_map_delete_batch(fd, keys, &done, NULL))
		return 0;
	for (uint32_t i = 0; i < n; i++)
		if (bpf_map_delete_elem(fd, &keys[i]) && errno != ENOENT)
			return -errno;
	return 0;
}

static int find_live(struct dirtymap *d, uint32_t slot)
{
	struct dirtyset *s = &d->set[slot];
	uint32_t id;

	if (bpf_map_lookup_elem(d->outer_fd, &slot, &id))
		return -errno;
	for (int i = 0; i < IZO_DIRTY_MAPS; i++) {
		struct bpf_map_info info = {};
		uint32_t len = sizeof(info);

		if (bpf_obj_get_info_by_fd(s->fd[i], &info, &len))
			return -errno;
		if (info.id == id) {
			s->live = i;
			return 0;
		}
	}
	return -ESTALE;
}

/* Moves the entries that were read from `from` into `to`: neither is live. */
static int merge(struct dirtyset *s, int from, int to, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		struct izo_dirty_val v = {};

		bpf_map_lookup_elem(s->fd[to], &s->keys[i], &v);
		for (unsigned k = 0; k < sizeof(v.bits) / sizeof(v.bits[0]); k++)
			v.bits[k] |= s->vals[i].bits[k];
		if (bpf_map_update_elem(s->fd[to], &s->keys[i], &v, BPF_ANY))
			return -errno;
	}
	return empty(s->fd[from], s->keys, n);
}

/* What an earlier reader took and never released, in one map, so that one of
 * the three is empty again. */
static int adopt_set(struct dirtymap *d, uint32_t slot)
{
	struct dirtyset *s = &d->set[slot];
	int r = find_live(d, slot);

	/* That reader may have died after it had lowered the flag and before it
	 * took the map, or while it waited for the grace period. */
	__atomic_store_n(&d->conf->marked[slot], 1, __ATOMIC_SEQ_CST);
	if (!r)
		r = set_live(d, slot, s->live);
	for (int i = 0; i < IZO_DIRTY_MAPS && !r; i++) {
		uint32_t n;

		if (i == s->live)
			continue;
		r = read_all(s->fd[i], s, &n);
		if (r || !n)
			continue;
		if (s->taken < 0)
			s->taken = i;
		else
			r = merge(s, i, s->taken, n);
	}
	s->stale = s->taken >= 0;
	return r;
}

static int alloc_all(struct dirtymap *d)
{
	for (int slot = 0; slot < IZO_DIRTY_SLOTS; slot++) {
		int r = set_alloc(&d->set[slot], set_rooms[slot]);

		if (r)
			return r;
	}
	return 0;
}

int dirtymap_adopt(struct dirtymap *d, int outer_fd)
{
	int r;

	d->outer_fd = outer_fd;
	r = alloc_all(d);
	for (uint32_t slot = 0; slot < IZO_DIRTY_SLOTS && !r; slot++)
		r = adopt_set(d, slot);
	return r;
}

void dirtymap_done(struct dirtymap *d)
{
	for (int slot = 0; slot < IZO_DIRTY_SLOTS; slot++) {
		struct dirtyset *s = &d->set[slot];

		for (int i = 0; i < IZO_DIRTY_MAPS; i++)
			if (s->fd[i] > 0)
				close(s->fd[i]);
		free(s->keys);
		free(s->vals);
	}
	free(d->marks);
	memset(d, 0, sizeof(*d));
}

bool dirtymap_pending(const struct dirtymap *d)
{
	for (int slot = 0; slot < IZO_DIRTY_SLOTS; slot++)
		if (d->set[slot].stale ||
		    __atomic_load_n(&d->conf->marked[slot], __ATOMIC_ACQUIRE))
			return true;
	return false;
}

static int other_than(int a, int b)
{
	for (int i = 0; i < IZO_DIRTY_MAPS; i++)
		if (i != a && i != b)
			return i;
	return -1;
}

/* Takes a set's live map. What an earlier reader left joins it: the older map
 * is not live either, so both may be read and written. */
static int take_set(struct dirtymap *d, uint32_t slot)
{
	struct dirtyset *s = &d->set[slot];
	int old = s->taken, r;

	s->nkeys = 0;
	if (__atomic_exchange_n(&d->conf->marked[slot], 0, __ATOMIC_SEQ_CST)) {
		int was = s->live;

		r = set_live(d, slot, other_than(was, old));
		if (r) {
			d->conf->marked[slot] = 1;
			return r;
		}
		s->taken = was;
	}
	if (s->taken < 0)
		return 0;
	if (old >= 0 && old != s->taken) {
		r = read_all(s->fd[old], s, &s->nkeys);
		if (!r)
			r = merge(s, old, s->taken, s->nkeys);
		if (r)
			return r;
	}
	s->stale = false;
	return read_all(s->fd[s->taken], s, &s->nkeys);
}

static int put_mark(struct dirtymap *d, const struct izo_dirty_key *k, uint64_t from,
		    uint64_t to)
{
	struct capture_mark *m;

	if (d->nmarks) {
		m = &d->marks[d->nmarks - 1];
		if (m->obj.ino == k->ino && m->obj.subvol == k->subvol &&
		    m->obj.gen == k->gen && m->range.end >= from) {
			if (to > m->range.end)
				m->range.end = to;
			return 0;
		}
	}
	if (d->nmarks == d->marks_room) {
		size_t room = d->marks_room ? d->marks_room * 2 : 256;

		m = realloc(d->marks, room * sizeof(*m));
		if (!m)
			return -ENOMEM;
		d->marks = m;
		d->marks_room = room;
	}
	m = &d->marks[d->nmarks++];
	memset(m, 0, sizeof(*m));
	m->obj.ino = k->ino;
	m->obj.subvol = k->subvol;
	m->obj.gen = k->gen;
	m->range.off = from;
	m->range.end = to;
	return 0;
}

static int put_chunk(struct dirtymap *d, const struct izo_dirty_key *k,
		     const struct izo_dirty_val *v)
{
	uint64_t base = (uint64_t)k->chunk * IZO_CHUNK_PAGES;
	int r = 0;

	if (k->chunk == IZO_CHUNK_WHOLE)
		return put_mark(d, k, 0, IZO_TO_EOF);
	for (unsigned page = 0; page < IZO_CHUNK_PAGES && !r; page++) {
		uint64_t word = v->bits[page / 64] >> (page % 64);

		if (!word) {
			page |= 63;
			continue;
		}
		page += __builtin_ctzll(word);
		r = put_mark(d, k, (base + page) << PAGE_SHIFT,
			     (base + page + 1) << PAGE_SHIFT);
	}
	return r;
}

struct entry {
	const struct izo_dirty_key *key;
	const struct izo_dirty_val *val;
};

static int cmp(uint64_t a, uint64_t b)
{
	return a < b ? -1 : a > b;
}

/* A whole-file mark comes first, so that it swallows the file's others. */
static int by_object(const void *x, const void *y)
{
	const struct izo_dirty_key *a = ((const struct entry *)x)->key;
	const struct izo_dirty_key *b = ((const struct entry *)y)->key;
	int c = cmp(a->subvol, b->subvol);

	if (!c)
		c = cmp(a->ino, b->ino);
	if (!c)
		c = cmp(a->gen, b->gen);
	return c ? c : cmp(a->chunk + 1, b->chunk + 1);
}

static int list_marks(struct dirtymap *d)
{
	size_t n = 0, total = d->set[0].nkeys + d->set[1].nkeys;
	struct entry *e;
	int r = 0;

	d->nmarks = 0;
	if (!total)
		return 0;
	e = malloc(total * sizeof(*e));
	if (!e)
		return -ENOMEM;
	for (int slot = 0; slot < IZO_DIRTY_SLOTS; slot++)
		for (uint32_t i = 0; i < d->set[slot].nkeys; i++)
			e[n++] = (struct entry){ &d->set[slot].keys[i],
						 &d->set[slot].vals[i] };
	qsort(e, n, sizeof(*e), by_object);
	for (size_t i = 0; i < n && !r; i++)
		r = put_chunk(d, e[i].key, e[i].val);
	free(e);
	return r;
}

int dirtymap_take(struct dirtymap *d)
{
	for (uint32_t slot = 0; slot < IZO_DIRTY_SLOTS; slot++) {
		int r = take_set(d, slot);

		if (r)
			return r;
	}
	return list_marks(d);
}

int dirtymap_release(struct dirtymap *d)
{
	for (int slot = 0; slot < IZO_DIRTY_SLOTS; slot++) {
		struct dirtyset *s = &d->set[slot];
		int r;

		if (s->taken < 0)
			continue;
		r = empty(s->fd[s->taken], s->keys, s->nkeys);
		if (r)
			return r;
		s->taken = -1;
		s->nkeys = 0;
	}
	d->nmarks = 0;
	return 0;
}


void dirtymap_keep(struct dirtymap *d)
{
	for (int slot = 0; slot < IZO_DIRTY_SLOTS; slot++)
		d->set[slot].stale = d->set[slot].taken >= 0;
}

int dirtymap_add(struct dirtymap *d, const struct izo_fid *fid)
{
	struct izo_dirty_key k = { .ino = fid->ino, .subvol = fid->subvol,
				   .gen = fid->gen, .chunk = IZO_CHUNK_WHOLE };

	return put_mark(d, &k, 0, IZO_TO_EOF);
}
