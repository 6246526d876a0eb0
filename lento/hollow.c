// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * hollow.c: see hollow.h. Both tables are plain arrays: in practice they hold
 * a handful of entries, and they empty themselves as the records that remove
 * the hollow files come by.
 *
 * A RENAME of hollow X away from a name removes what the replica shows there
 * and opens a slot at the new name; a RENAME of a true file onto a slot
 * replaces what the slot shows; everything else that X does is dropped.
 */
#include <errno.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include "lento/hollow.h"
#include "lib/codec.h"

struct hollow {
	struct izo_fid *fid;
	struct hollow_slot *slot;
	unsigned nfids, nslots, fid_room, slot_room;
};

struct hollow *hollow_new(void)
{
	return calloc(1, sizeof(struct hollow));
}

void hollow_clear(struct hollow *h)
{
	free(h->fid);
	free(h->slot);
	*h = (struct hollow){ 0 };
}

void hollow_free(struct hollow *h)
{
	if (h)
		hollow_clear(h);
	free(h);
}

bool hollow_has(const struct hollow *h, const struct izo_fid *fid)
{
	for (unsigned i = 0; i < h->nfids; i++)
		if (fid_eq(&h->fid[i], fid))
			return true;
	return false;
}

bool hollow_shows(const struct hollow *h, const struct izo_fid *fid)
{
	for (unsigned i = 0; i < h->nslots; i++)
		if (fid_eq(&h->slot[i].occupant, fid))
			return true;
	return false;
}

bool hollow_empty(const struct hollow *h)
{
	return !h->nfids && !h->nslots;
}

/* Room for n more, so that what follows cannot fail half way. */
static int grow(void **array, unsigned used, unsigned *room, unsigned n,
		size_t size)
{
	unsigned want = used + n < 16 ? 16 : (used + n) * 2;
	void *p;

	if (used + n <= *room)
		return 0;
	p = realloc(*array, want * size);
	if (!p)
		return -ENOMEM;
	*array = p;
	*room = want;
	return 0;
}

int hollow_add(struct hollow *h, const struct izo_fid *fid)
{
	if (hollow_has(h, fid))
		return 0;
	if (grow((void **)&h->fid, h->nfids, &h->fid_room, 1, sizeof(*h->fid)))
		return -ENOMEM;
	h->fid[h->nfids++] = *fid;
	return 0;
}

static void forget(struct hollow *h, const struct izo_fid *fid)
{
	for (unsigned i = 0; i < h->nfids; i++)
		if (fid_eq(&h->fid[i], fid)) {
			h->fid[i] = h->fid[--h->nfids];
			return;
		}
}

static struct hollow_slot *slot_at(struct hollow *h, const struct izo_fid *dir,
				   const char *name, unsigned len)
{
	for (unsigned i = 0; i < h->nslots; i++) {
		struct hollow_slot *s = &h->slot[i];

		if (s->name_len == len && fid_eq(&s->dir, dir) &&
		    !memcmp(s->name, name, len))
			return s;
	}
	return NULL;
}

static void slot_drop(struct hollow *h, struct hollow_slot *s)
{
	*s = h->slot[--h->nslots];
}

int hollow_slot_add(struct hollow *h, const struct hollow_slot *s)
{
	struct hollow_slot *old = slot_at(h, &s->dir, s->name, s->name_len);

	if (old) {
		*old = *s;
		return 0;
	}
	if (grow((void **)&h->slot, h->nslots, &h->slot_room, 1,
		 sizeof(*h->slot)))
		return -ENOMEM;
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
		       const struct end *e, unsigned whiteout)
{
	struct izo_record *m;

	if (fid_none(&e->shows) && !whiteout)
		return 0;
	m = made_of(out, r, IZO_UNLINK, e, NULL);
	if (!m)
		return -ENOMEM;
	m->obj = e->shows;
	m->op_flags = whiteout;
	return 0;
}

static int emit_rename(struct hollow_out *out, const struct izo_record *r,
		       const struct end *from, const struct end *to,
		       const struct izo_fid *victim, unsigned flags)
{
	struct izo_record *m = made_of(out, r, IZO_RENAME, from, to);

	if (!m)
		return -ENOMEM;
	m->obj = from->shows;
	m->victim = *victim;
	m->victim_nlink = HOLLOW_NLINK_LOOK;
	m->op_flags = flags;
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
	if (a.slot && emit_unlink(out, r, &a, 0))
		return -ENOMEM;
	pass(out, r);
	if (a.slot)
		slot_drop(h, a.slot);
	return 0;
}

static int do_unlink(struct hollow *h, const struct izo_record *r,
		     struct hollow_out *out)
{
	struct end a = end_of(h, &r->dir, record_name(r), r->name_len, &r->obj);

	if (a.slot && fid_eq(&a.slot->holder, &r->obj)) {
		if (emit_unlink(out, r, &a, 0))
			return -ENOMEM;
		slot_drop(h, a.slot);
	} else {
		pass(out, r);
	}
	if (!r->attr.nlink)
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
	if (emit_unlink(out, r, x, 0) || emit_rename(out, r, z, x, &none, 0))
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
	unsigned whiteout = r->op_flags & RENAME_WHITEOUT;
	int err = 0;

	if (r->op_flags & RENAME_EXCHANGE)
		return do_exchange(h, r, &a, &b, out);
	if (a.hollow) {
		if (emit_unlink(out, r, &a, whiteout))
			return -ENOMEM;
		slot_set(h, &b, &r->obj, &b.shows);
		if (a.slot)
			slot_drop(h, a.slot);
	} else if (b.slot) {
		err = emit_rename(out, r, &a, &b, &b.shows, whiteout);
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
	} else if (grow((void **)&h->slot, h->nslots, &h->slot_room, 2,
			sizeof(*h->slot)) || transform(h, r, &out)) {
		hollow_out_done(&out);
		return -ENOMEM;
	}
	*ret = out;
	return 0;
}

void hollow_stands(struct hollow *h, const struct izo_fid *fid,
		   const struct izo_fid *dir, const char *name, unsigned len)
{
	struct hollow_slot *s = slot_at(h, dir, name, len);

	if (s && fid_eq(&s->holder, fid))
		s->occupant = *fid;
}

void hollow_out_done(struct hollow_out *out)
{
	for (unsigned i = 0; i < HOLLOW_ACTIONS; i++)
		free(out->made[i]);
	*out = (struct hollow_out){ 0 };
}

static bool holds_slot(const struct hollow *h, const struct izo_fid *fid)
{
	for (unsigned i = 0; i < h->nslots; i++)
		if (fid_eq(&h->slot[i].holder, fid))
			return true;
	return false;
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
