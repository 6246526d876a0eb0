// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * hollow.c: see hollow.h. Both tables are arrays with a chained hash beside them:
 * mostly they hold a handful of entries and empty themselves as the records that
 * remove the hollow files come by, but a storm of short-lived files makes
 * thousands.
 *
 * A RENAME of hollow X away from a name removes what the replica shows there
 * and opens a slot at the new name; a RENAME of a true file onto a slot
 * replaces what the slot shows; everything else that X does is dropped.
 */
#include <errno.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>
#include "lento/fidtab.h"
#include "lento/hollow.h"
#include "lib/codec.h"

/* Places of an array by the hash of what lies there; 0 ends a chain. */
struct chains {
	uint32_t *head, *next;	/* place + 1 */
	unsigned size;		/* of head, a power of two, as of next */
};

struct hollow {
	struct izo_fid *fid;
	struct hollow_slot *slot;
	struct chains by_fid, by_name;
	unsigned nfids, nslots, fid_room, slot_room;
	unsigned nshown;	/* slots that show something */
};

static uint64_t name_hash(const struct izo_fid *dir, const char *name, unsigned len)
{
	return XXH3_64bits_withSeed(name, len, fid_hash(dir));
}

static void chain_add(struct chains *c, uint64_t hash, unsigned place)
{
	uint32_t *head = &c->head[hash & (c->size - 1)];

	c->next[place] = *head;
	*head = place + 1;
}

static void chain_del(struct chains *c, uint64_t hash, unsigned place)
{
	uint32_t *p = &c->head[hash & (c->size - 1)];

	while (*p != place + 1)
		p = &c->next[*p - 1];
	*p = c->next[place];
}

static int chains_size(struct chains *c, unsigned size)
{
	uint32_t *head = calloc(size, sizeof(*head));
	uint32_t *next = calloc(size, sizeof(*next));

	if (!head || !next) {
		free(head);
		free(next);
		return -ENOMEM;
	}
	free(c->head);
	free(c->next);
	*c = (struct chains){ head, next, size };
	return 0;
}

struct hollow *hollow_new(void)
{
	return calloc(1, sizeof(struct hollow));
}

void hollow_clear(struct hollow *h)
{
	free(h->fid);
	free(h->slot);
	free(h->by_fid.head);
	free(h->by_fid.next);
	free(h->by_name.head);
	free(h->by_name.next);
	*h = (struct hollow){ 0 };
}

void hollow_free(struct hollow *h)
{
	if (h)
		hollow_clear(h);
	free(h);
}

/* Place of fid, or nfids. */
static unsigned fid_at(const struct hollow *h, const struct izo_fid *fid)
{
	uint32_t i = h->nfids ? h->by_fid.head[fid_hash(fid) & (h->by_fid.size - 1)] : 0;

	while (i && !fid_eq(&h->fid[i - 1], fid))
		i = h->by_fid.next[i - 1];
	return i ? i - 1 : h->nfids;
}

bool hollow_has(const struct hollow *h, const struct izo_fid *fid)
{
	return fid_at(h, fid) < h->nfids;
}

bool hollow_shows(const struct hollow *h, const struct izo_fid *fid)
{
	for (unsigned i = 0; h->nshown && i < h->nslots; i++)
		if (fid_eq(&h->slot[i].occupant, fid))
			return true;
	return false;
}

bool hollow_empty(const struct hollow *h)
{
	return !h->nfids && !h->nslots;
}

/* The array made larger, or as it is. */
static int grow(void **array, unsigned *room, unsigned want, size_t size)
{
	void *p = realloc(*array, want * size);

	if (!p)
		return -ENOMEM;
	*array = p;
	*room = want;
	return 0;
}

static unsigned room_for(unsigned n)
{
	unsigned room = 16;

	while (room < n)
		room *= 2;
	return room;
}

/* Room for n more, so that what follows cannot fail half way. */
static int grow_fids(struct hollow *h, unsigned n)
{
	unsigned want = room_for(h->nfids + n);

	if (want <= h->fid_room)
		return 0;
	if (chains_size(&h->by_fid, want))
		return -ENOMEM;
	for (unsigned i = 0; i < h->nfids; i++)
		chain_add(&h->by_fid, fid_hash(&h->fid[i]), i);
	return grow((void **)&h->fid, &h->fid_room, want, sizeof(*h->fid));
}

static uint64_t slot_hash(const struct hollow_slot *s)
{
	return name_hash(&s->dir, s->name, s->name_len);
}

static int grow_slots(struct hollow *h, unsigned n)
{
	unsigned want = room_for(h->nslots + n);

	if (want <= h->slot_room)
		return 0;
	if (chains_size(&h->by_name, want))
		return -ENOMEM;
	for (unsigned i = 0; i < h->nslots; i++)
		chain_add(&h->by_name, slot_hash(&h->slot[i]), i);
	return grow((void **)&h->slot, &h->slot_room, want, sizeof(*h->slot));
}

int hollow_add(struct hollow *h, const struct izo_fid *fid)
{
	if (hollow_has(h, fid))
		return 0;
	if (grow_fids(h, 1))
		return -ENOMEM;
	chain_add(&h->by_fid, fid_hash(fid), h->nfids);
	h->fid[h->nfids++] = *fid;
	return 0;
}

static void forget(struct hollow *h, const struct izo_fid *fid)
{
	unsigned i = fid_at(h, fid), last = h->nfids - 1;

	if (i == h->nfids)
		return;
	chain_del(&h->by_fid, fid_hash(fid), i);
	if (i != last) {
		chain_del(&h->by_fid, fid_hash(&h->fid[last]), last);
		h->fid[i] = h->fid[last];
		chain_add(&h->by_fid, fid_hash(&h->fid[i]), i);
	}
	h->nfids--;
}

static struct hollow_slot *slot_at(struct hollow *h, const struct izo_fid *dir,
				   const char *name, unsigned len)
{
	uint32_t i = h->nslots ?
		h->by_name.head[name_hash(dir, name, len) & (h->by_name.size - 1)] : 0;

	for (; i; i = h->by_name.next[i - 1]) {
		struct hollow_slot *s = &h->slot[i - 1];

		if (s->name_len == len && fid_eq(&s->dir, dir) &&
		    !memcmp(s->name, name, len))
			return s;
	}
	return NULL;
}

static void slot_drop(struct hollow *h, struct hollow_slot *s)
{
	unsigned i = s - h->slot, last = h->nslots - 1;

	h->nshown -= !fid_none(&s->occupant);
	chain_del(&h->by_name, slot_hash(s), i);
	if (i != last) {
		chain_del(&h->by_name, slot_hash(&h->slot[last]), last);
		*s = h->slot[last];
		chain_add(&h->by_name, slot_hash(s), i);
	}
	h->nslots--;
}

int hollow_slot_add(struct hollow *h, const struct hollow_slot *s)
{
	struct hollow_slot *old = slot_at(h, &s->dir, s->name, s->name_len);

	if (!old && grow_slots(h, 1))
		return -ENOMEM;
	h->nshown += !fid_none(&s->occupant);
	if (old) {
		h->nshown -= !fid_none(&old->occupant);
		*old = *s;
		return 0;
	}
	chain_add(&h->by_name, slot_hash(s), h->nslots);
	h->slot[h->nslots++] = *s;
	return 0;
}

/* One end of a record: a name, the object it has on the source before the
 * record, the slot there, and what the replica shows. */
struct end {
	const struct izo_fid *dir;
	const char *name;
	unsigned len;
	struct izo_fid shows;
	struct hollow_slot *slot;
	bool hollow;		/* the source's object is */
};

static struct end end_of(struct hollow *h, const struct izo_fid *dir,
			 const char *name, unsigned len,
			 const struct izo_fid *obj)
{
	struct end e = { .dir = dir, .name = name, .len = len,
			 .shows = *obj, .slot = slot_at(h, dir, name, len),
			 .hollow = hollow_has(h, obj) };

	if (e.slot)
		e.shows = e.slot->occupant;
	return e;
}

/* Cannot fail: hollow_record() made room. */
static void slot_set(struct hollow *h, const struct end *e,
		     const struct izo_fid *holder, const struct izo_fid *shows)
{
	struct hollow_slot s = { .dir = *e->dir, .holder = *holder,
				 .occupant = *shows, .name_len = e->len };

	memcpy(s.name, e->name, e->len);
	hollow_slot_add(h, &s);
}

static const struct izo_fid none;

int hollow_withhold(struct hollow *h, const struct izo_fid *fid,
		    const struct izo_fid *dir, const char *name, unsigned len)
{
	struct hollow_slot *old = slot_at(h, dir, name, len);
	struct hollow_slot s = { .dir = *dir, .holder = *fid, .name_len = len };

	if (old && fid_eq(&old->holder, fid))
		return 1;
	memcpy(s.name, name, len);
	return hollow_slot_add(h, &s);
}

static void pass(struct hollow_out *out, const struct izo_record *r)
{
	out->action[out->n++] = r;
}

/* A record of our own with the times, clock and sequence of r. */
static struct izo_record *made_of(struct hollow_out *out,
				  const struct izo_record *r, enum izo_kind kind,
				  const struct end *from, const struct end *to)
{
	struct izo_record *m = record_new(kind, from->name, from->len,
					  to ? to->name : NULL,
					  to ? to->len : 0, NULL, 0);

	if (!m)
		return NULL;
	m->seq = r->seq;
	m->clock_ns = r->clock_ns;
	m->dir = *from->dir;
	m->dir_mtime = fid_eq(from->dir, &r->dir) ? r->dir_mtime :
		       r->dir2_mtime;
	m->attr.nlink = HOLLOW_NLINK_LOOK;
	if (to) {
		m->dir2 = *to->dir;
		m->dir2_mtime = fid_eq(to->dir, &r->dir2) ? r->dir2_mtime :
				r->dir_mtime;
	}
	out->made[out->n] = m;
	pass(out, m);
	return m;
}

static int emit_unlink(struct hollow_out *out, const struct izo_record *r,
		       const struct end *e)
{
	struct izo_record *m;

	if (fid_none(&e->shows))
		return 0;
	m = made_of(out, r, IZO_UNLINK, e, NULL);
	if (!m)
		return -ENOMEM;
	m->obj = e->shows;
	return 0;
}

static int emit_rename(struct hollow_out *out, const struct izo_record *r,
		       const struct end *from, const struct end *to,
		       const struct izo_fid *victim)
{
	struct izo_record *m = made_of(out, r, IZO_RENAME, from, to);

	if (!m)
		return -ENOMEM;
	m->obj = from->shows;
	m->victim = *victim;
	m->victim_nlink = HOLLOW_NLINK_LOOK;
	return 0;
}

static int do_name(struct hollow *h, const struct izo_record *r,
		   struct hollow_out *out)
{
	struct end a = end_of(h, &r->dir, record_name(r), r->name_len, &none);

	if (hollow_has(h, &r->obj)) {
		slot_set(h, &a, &r->obj, &a.shows);
		return 0;
	}
	/* A slot at a name that was free: only when the past is told again. */
	if (a.slot && emit_unlink(out, r, &a))
		return -ENOMEM;
	pass(out, r);
	if (a.slot)
		slot_drop(h, a.slot);
	return 0;
}

static bool holds_slot(const struct hollow *h, const struct izo_fid *fid)
{
	for (unsigned i = 0; i < h->nslots; i++)
		if (fid_eq(&h->slot[i].holder, fid))
			return true;
	return false;
}

static int do_unlink(struct hollow *h, const struct izo_record *r,
		     struct hollow_out *out)
{
	struct end a = end_of(h, &r->dir, record_name(r), r->name_len, &r->obj);

	if (a.slot && fid_eq(&a.slot->holder, &r->obj)) {
		if (emit_unlink(out, r, &a))
			return -ENOMEM;
		slot_drop(h, a.slot);
	} else {
		pass(out, r);
	}
	/* What left with its last name here lives on outside, and may come back. */
	if (!r->attr.nlink || (r->kind == IZO_EXPEL && !holds_slot(h, &r->obj)))
		forget(h, &r->obj);
	return 0;
}

static int do_exchange(struct hollow *h, const struct izo_record *r,
		       const struct end *a, const struct end *b,
		       struct hollow_out *out)
{
	const struct end *x = a->hollow ? a : b, *z = a->hollow ? b : a;

	if (!a->hollow && !b->hollow) {
		pass(out, r);
		return 0;
	}
	if (a->hollow && b->hollow) {
		slot_set(h, a, &r->victim, &a->shows);
		slot_set(h, b, &r->obj, &b->shows);
		return 0;
	}
	if (emit_unlink(out, r, x) || emit_rename(out, r, z, x, &none))
		return -ENOMEM;
	slot_set(h, z, a->hollow ? &r->obj : &r->victim, &none);
	if (x->slot)	/* room was made: slot_set did not move the array */
		slot_drop(h, x->slot);
	return 0;
}

static int do_rename(struct hollow *h, const struct izo_record *r,
		     struct hollow_out *out)
{
	struct end a = end_of(h, &r->dir, record_name(r), r->name_len, &r->obj);
	struct end b = end_of(h, &r->dir2, record_name2(r), r->name2_len,
			      &r->victim);
	int err = 0;

	if (r->op_flags & RENAME_EXCHANGE)
		return do_exchange(h, r, &a, &b, out);
	if (a.hollow) {
		if (emit_unlink(out, r, &a))
			return -ENOMEM;
		slot_set(h, &b, &r->obj, &b.shows);
		if (a.slot)
			slot_drop(h, a.slot);
	} else if (b.slot) {
		err = emit_rename(out, r, &a, &b, &b.shows);
		if (!err)
			slot_drop(h, b.slot);
	} else {
		pass(out, r);
	}
	if (!err && !fid_none(&r->victim) && !r->victim_nlink)
		forget(h, &r->victim);
	return err;
}

static bool is_last_close(const struct izo_record *r)
{
	return r->kind == IZO_CLOSE && !r->attr.nlink &&
	       r->op_flags & IZO_CLOSE_LAST;
}

static int transform(struct hollow *h, const struct izo_record *r,
		     struct hollow_out *out)
{
	switch (r->kind) {
	case IZO_CREATE:
	case IZO_MKDIR:
	case IZO_MKNOD:
	case IZO_SYMLINK:
	case IZO_LINK:
	case IZO_IMPORT:
		return do_name(h, r, out);
	case IZO_UNLINK:
	case IZO_EXPEL:
		return do_unlink(h, r, out);
	case IZO_RENAME:
		return do_rename(h, r, out);
	}
	if (fid_none(&r->obj) || !hollow_has(h, &r->obj))
		pass(out, r);
	else if (is_last_close(r))	/* a nameless one ends here */
		forget(h, &r->obj);
	return 0;
}

int hollow_record(struct hollow *h, const struct izo_record *r,
		  struct hollow_out *ret)
{
	struct hollow_out out = { 0 };

	if (hollow_empty(h)) {
		pass(&out, r);
	} else if (grow_slots(h, 2) || transform(h, r, &out)) {
		hollow_out_done(&out);
		return -ENOMEM;
	}
	*ret = out;
	return 0;
}

void hollow_freed(struct hollow *h, const struct izo_fid *fid,
		  const struct izo_fid *dir, const char *name, unsigned len)
{
	struct hollow_slot *s = slot_at(h, dir, name, len);

	if (!s || !fid_eq(&s->holder, fid))
		return;
	h->nshown -= !fid_none(&s->occupant);
	s->occupant = none;
}

void hollow_out_done(struct hollow_out *out)
{
	for (unsigned i = 0; i < HOLLOW_ACTIONS; i++)
		free(out->made[i]);
	*out = (struct hollow_out){ 0 };
}

void hollow_prune(struct hollow *h,
		  bool (*known)(void *ctx, const struct izo_fid *dir), void *ctx)
{
	for (unsigned i = h->nslots; i-- > 0;) {
		struct izo_fid holder = h->slot[i].holder;

		if (known(ctx, &h->slot[i].dir))
			continue;
		slot_drop(h, &h->slot[i]);
		if (!holds_slot(h, &holder))
			forget(h, &holder);
	}
}

unsigned hollow_slots(const struct hollow *h)
{
	return h->nslots;
}

unsigned hollow_fids(const struct hollow *h)
{
	return h->nfids;
}

const struct hollow_slot *hollow_slot(const struct hollow *h, unsigned i)
{
	return &h->slot[i];
}

const struct izo_fid *hollow_fid(const struct hollow *h, unsigned i)
{
	return &h->fid[i];
}
