// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * horizon.c: see horizon.h. The files that are open for writing are a tree of
 * tsearch(3); borders are remembered every few seconds.
 */
#include "lento/horizon.h"

#include <errno.h>
#include <search.h>
#include <stdbool.h>
#include <stdlib.h>
#include "lib/codec.h"

#define BORDERS		32
#define APART_MS	(horizon_seconds * 1000ULL / (BORDERS - 2))

unsigned horizon_seconds = HORIZON_S;

struct writer {
	struct izo_fid fid;
	uint64_t seq;		/* of the last record that names it as open */
	bool made;		/* that is its CREATE or TMPFILE */
};

struct horizon {
	void *writers;
	size_t nwriters;
	uint64_t oldest;	/* of the writers; may be too low; 0: none */
	unsigned since_look;	/* borders since it was made exact */
	uint64_t floor;
	struct border {
		uint64_t ms, seq;
	} border[BORDERS];	/* a ring, newest at `newest` */
	unsigned newest;
};

struct horizon *horizon_new(void)
{
	return calloc(1, sizeof(struct horizon));
}

static int compare(const void *a, const void *b)
{
	const struct izo_fid *x = &((const struct writer *)a)->fid;
	const struct izo_fid *y = &((const struct writer *)b)->fid;

	if (x->ino != y->ino)
		return x->ino < y->ino ? -1 : 1;
	if (x->subvol != y->subvol)
		return x->subvol < y->subvol ? -1 : 1;
	return (x->gen > y->gen) - (x->gen < y->gen);
}

static void forget_all(struct horizon *h)
{
	tdestroy(h->writers, free);
	h->writers = NULL;
	h->nwriters = 0;
	h->oldest = 0;
}

void horizon_free(struct horizon *h)
{
	if (!h)
		return;
	forget_all(h);
	free(h);
}

void horizon_reset(struct horizon *h, uint64_t seq)
{
	forget_all(h);
	for (int i = 0; i < BORDERS; i++)
		h->border[i] = (struct border){ 0 };
	h->floor = seq;
}

static int opened(struct horizon *h, const struct izo_record *r)
{
	struct writer key = { .fid = r->obj }, *w, **have;

	have = tfind(&key, &h->writers, compare);
	if (have) {
		(*have)->made = false;
		if (r->kind == IZO_OPENW)	/* of an open, or of horizon_stale */
			(*have)->seq = r->seq;
		return 0;
	}
	w = malloc(sizeof(*w));
	if (!w)
		return -ENOMEM;
	*w = (struct writer){ r->obj, r->seq,
			      r->kind == IZO_CREATE || r->kind == IZO_TMPFILE };
	if (!tsearch(w, &h->writers, compare)) {
		free(w);
		return -ENOMEM;
	}
	h->nwriters++;
	if (!h->oldest || r->seq < h->oldest)
		h->oldest = r->seq;
	return 0;
}

static void closed(struct horizon *h, const struct izo_fid *fid)
{
	struct writer key = { .fid = *fid }, **have, *w;

	have = tfind(&key, &h->writers, compare);
	if (!have)
		return;
	w = *have;
	tdelete(&key, &h->writers, compare);
	free(w);
	if (!--h->nwriters)
		h->oldest = 0;
}

int horizon_note(struct horizon *h, const struct izo_record *r)
{
	switch (r->kind) {
	case IZO_CREATE:
	case IZO_TMPFILE:
	case IZO_OPENW:
	case IZO_DIRTY:		/* opened before capture began, if not known */
		return opened(h, r);
	case IZO_CLOSE:
		if (r->op_flags & IZO_CLOSE_LAST)
			closed(h, &r->obj);
		return 0;
	case IZO_UNLINK:
		if (!r->attr.nlink)
			closed(h, &r->obj);
		return 0;
	case IZO_BORDER:
		if (r->off > h->floor)
			h->floor = r->off;
		return 0;
	}
	return 0;
}

struct look {
	struct writer **writer;	/* of horizon_stale; or NULL */
	size_t n;
	uint64_t before, oldest;
};

static void look(const void *node, VISIT which, void *ctx)
{
	struct writer *w = *(struct writer *const *)node;
	struct look *l = ctx;

	if (which != postorder && which != leaf)
		return;
	if (l->writer && w->seq < l->before)
		l->writer[l->n++] = w;
	if (!l->oldest || w->seq < l->oldest)
		l->oldest = w->seq;
}

static void find_oldest(struct horizon *h)
{
	struct look l = { 0 };

	twalk_r(h->writers, look, &l);
	h->oldest = l.oldest;
	h->since_look = 0;
}

static int name_anew(struct horizon *h, struct look *l,
		     int (*fn)(void *ctx, const struct izo_fid *fid), void *ctx)
{
	int e = 0;

	/* fn notes an OPENW, which changes a writer and not the tree. */
	for (size_t i = 0; !e && i < l->n; i++) {
		if (l->writer[i]->made)
			closed(h, &l->writer[i]->fid);
		else
			e = fn(ctx, &l->writer[i]->fid);
	}
	return e;
}

int horizon_stale(struct horizon *h, uint64_t end,
		  int (*fn)(void *ctx, const struct izo_fid *fid), void *ctx)
{
	uint64_t most = h->nwriters * HORIZON_EACH;
	struct look l;
	int e;

	if (most < HORIZON_STALE)
		most = HORIZON_STALE;
	if (!h->oldest || end < most || h->oldest >= end - most)
		return 0;
	l = (struct look){ .before = end - most / 2 };
	l.writer = malloc(h->nwriters * sizeof(*l.writer));
	if (!l.writer)
		return -ENOMEM;
	twalk_r(h->writers, look, &l);
	e = name_anew(h, &l, fn, ctx);
	free(l.writer);
	find_oldest(h);
	return e;
}

static uint64_t long_ago(const struct horizon *h, uint64_t now_ms)
{
	for (unsigned i = 0; i < BORDERS; i++) {
		const struct border *b = &h->border[(h->newest + BORDERS - i) % BORDERS];

		if (b->seq && now_ms - b->ms >= horizon_seconds * 1000ULL)
			return b->seq + 1;
	}
	return h->floor;
}

uint64_t horizon_from(struct horizon *h, uint64_t now_ms, uint64_t pending)
{
	uint64_t from = long_ago(h, now_ms);

	if (h->nwriters && ++h->since_look >= BORDERS)
		find_oldest(h);
	if (h->oldest && h->oldest < from)
		from = h->oldest;
	return pending && pending < from ? pending : from;
}

void horizon_border(struct horizon *h, uint64_t now_ms, uint64_t seq)
{
	struct border *b = &h->border[h->newest];

	if (b->seq && now_ms - b->ms < APART_MS)
		return;
	h->newest = (h->newest + 1) % BORDERS;
	h->border[h->newest] = (struct border){ now_ms, seq };
}
