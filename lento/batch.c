// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * batch.c: see batch.h.
 */
#include "lento/batch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>
#include "lento/ranges.h"
#include "lib/codec.h"

/* Forgets the batch; what lies ahead of it moves to the front. */
static void batch_clear(struct batch *b)
{
	for (size_t i = 0; i < b->ninode; i++)
		free(b->inode[i].range);
	if (b->hash)
		memset(b->hash, 0, b->hash_size * sizeof(*b->hash));
	b->ninode = 0;
	b->whole -= b->bytes;
	b->held -= b->bytes;
	b->left = b->left > b->bytes ? b->left - b->bytes : 0;
	if (b->held)
		memmove(b->records, b->records + b->bytes, b->held);
	b->bytes = 0;
	b->nrecords = 0;
	b->first_seq = 0;
}

void batch_done(struct batch *b)
{
	batch_clear(b);
	free(b->records);
	free(b->inode);
	free(b->hash);
	memset(b, 0, sizeof(*b));
}

static size_t bucket(const struct batch *b, const struct izo_fid *fid)
{
	struct izo_fid f = { .ino = fid->ino, .subvol = fid->subvol, .gen = fid->gen };
	size_t i = XXH3_64bits(&f, sizeof(f)) & (b->hash_size - 1);

	while (b->hash[i] && !fid_eq(&b->inode[b->hash[i] - 1].fid, fid))
		i = (i + 1) & (b->hash_size - 1);
	return i;
}

static int grow(struct batch *b)
{
	size_t size = b->inode_size ? b->inode_size * 2 : 1024;
	struct batch_inode *p = realloc(b->inode, size * sizeof(*p));
	uint32_t *h;

	if (!p)
		return -ENOMEM;
	b->inode = p;
	b->inode_size = size;
	h = calloc(size * 2, sizeof(*h));
	if (!h)
		return -ENOMEM;
	free(b->hash);
	b->hash = h;
	b->hash_size = size * 2;
	for (size_t i = 0; i < b->ninode; i++)
		b->hash[bucket(b, &b->inode[i].fid)] = i + 1;
	return 0;
}

static struct batch_inode *inode_of(struct batch *b, const struct izo_fid *fid)
{
	size_t at;

	if (b->ninode == b->inode_size && grow(b))
		return NULL;
	at = bucket(b, fid);
	if (!b->hash[at]) {
		b->inode[b->ninode] = (struct batch_inode){ .fid = *fid };
		b->hash[at] = ++b->ninode;
	}
	return &b->inode[b->hash[at] - 1];
}

const struct batch_inode *batch_find(const struct batch *b,
				     const struct izo_fid *fid)
{
	uint32_t i = b->ninode ? b->hash[bucket(b, fid)] : 0;

	return i ? &b->inode[i - 1] : NULL;
}

static int flag(struct batch *b, const struct izo_fid *fid, unsigned flags)
{
	struct batch_inode *i = inode_of(b, fid);

	if (!i)
		return -ENOMEM;
	i->flags |= flags;
	return 0;
}

static int add_due(struct batch *b, const struct izo_record *r)
{
	struct batch_inode *i = inode_of(b, &r->obj);

	if (i && !i->range)
		i->range = calloc(SETTLE_RANGES, sizeof(*i->range));
	if (!i || !i->range)
		return -ENOMEM;
	i->flags |= BATCH_DUE | BATCH_POINT;
	i->flags &= ~BATCH_SENT;
	for (unsigned n = 0; n < record_nranges(r); n++)
		ranges_add(i->range, &i->nrange, SETTLE_RANGES, record_range(r, n));
	return 0;
}

/* Whose last name goes with r, or a nameless file's last writer; or NULL. */
static const struct izo_fid *died(const struct izo_record *r)
{
	switch (r->kind) {
	case IZO_UNLINK:
		return r->attr.nlink ? NULL : &r->obj;
	case IZO_CLOSE:
		return r->attr.nlink || !(r->op_flags & IZO_CLOSE_LAST) ? NULL :
		       &r->obj;
	case IZO_EXPEL:
		return r->attr.nlink > 1 || r->flags & IZO_F_TREE ? NULL : &r->obj;
	case IZO_RENAME:	/* a directory replaces directories only */
		return fid_none(&r->victim) || r->victim_nlink ||
		       S_ISDIR(r->attr.mode) ? NULL : &r->victim;
	default:
		return NULL;
	}
}

static void unflag(struct batch *b, const struct izo_fid *fid, unsigned flags)
{
	struct batch_inode *i = (struct batch_inode *)batch_find(b, fid);

	if (i)
		i->flags &= ~flags;
}

/* What was sent before tells of an older time than r and counts more: again. No
 * range need be due then: blocks beyond the end were allocated, or an operation
 * that failed, or a store that came too late for its page, had set the time. */
static void note_time(struct batch *b, const struct izo_record *r)
{
	struct batch_inode *i = (struct batch_inode *)batch_find(b, &r->obj);
	const struct izo_time *t = &r->attr.mtime;

	if (i && (t->sec > i->mtime.sec ||
		  (t->sec == i->mtime.sec && t->nsec > i->mtime.nsec)))
		i->flags &= ~BATCH_SENT;
}

static int note(struct batch *b, const struct izo_record *r)
{
	const struct izo_fid *dead = died(r);
	int e = dead ? flag(b, dead, BATCH_DEAD) : 0;

	if (e)
		return e;
	switch (r->kind) {
	case IZO_CREATE:
	case IZO_TMPFILE:
		return S_ISREG(r->attr.mode) ? flag(b, &r->obj, BATCH_CREATED) : 0;
	case IZO_LINK:
	case IZO_IMPORT:
		/* What left the fileset, or lost its last name in it, is back. */
		unflag(b, &r->obj, BATCH_DEAD);
		return 0;
	case IZO_DUE:
		return add_due(b, r);
	case IZO_CLOSE:
	case IZO_FSYNC:
	case IZO_FALLOC:
	case IZO_REMAP:
		note_time(b, r);
		return S_ISREG(r->attr.mode) ? flag(b, &r->obj, BATCH_POINT) : 0;
	case IZO_SETATTR:
		/* What was sent tells of an older time, and counts more than r. */
		if (r->op_flags & IZO_ATTR_MTIME)
			unflag(b, &r->obj, BATCH_SENT);
		return r->op_flags & IZO_ATTR_SIZE ? flag(b, &r->obj, BATCH_POINT) : 0;
	default:
		return 0;
	}
}

/* Holds r behind all that is held; of inodes of the batch it is noted when they
 * die. */
static int hold(struct batch *b, const struct izo_record *r)
{
	const struct izo_fid *dead = died(r);
	struct batch_inode *i;

	if (b->held + r->len > b->size) {
		size_t size = (b->held + r->len) * 2 + (1 << 16);
		unsigned char *p = realloc(b->records, size);

		if (!p)
			return -ENOMEM;
		b->records = p;
		b->size = size;
	}
	memcpy(b->records + b->held, r, r->len);
	b->held += r->len;
	if (r->kind == IZO_BORDER)
		b->whole = b->held;
	if (r->kind == IZO_EXPEL && r->flags & IZO_F_TREE)
		b->left = b->held;
	i = dead ? (struct batch_inode *)batch_find(b, dead) : NULL;
	if (i)
		i->flags |= BATCH_DIES;
	if (r->kind == IZO_LINK || r->kind == IZO_IMPORT)
		unflag(b, &r->obj, BATCH_DIES);
	return 0;
}

/* Takes in whole cycles until the batch has so many records or bytes. */
static int absorb(struct batch *b, uint64_t records, size_t bytes)
{
	while (b->bytes < b->whole && b->nrecords < records && b->bytes < bytes) {
		const struct izo_record *r;

		do {
			int e;

			r = (const void *)(b->records + b->bytes);
			e = note(b, r);
			if (e)
				return e;
			if (!b->first_seq)
				b->first_seq = r->seq;
			b->nrecords++;
			b->bytes += r->len;
		} while (r->kind != IZO_BORDER);
		b->last.seq = r->seq;
		b->last.chain = r->chain;
		b->last_clock_ns = r->clock_ns;
	}
	return 0;
}

int batch_read(struct batch *b, struct journal_reader *reader)
{
	const struct izo_record *r;
	int n = 1, e;

	batch_clear(b);
	e = absorb(b, BATCH_RECORDS, BATCH_BYTES);
	while (!e && b->nrecords < BATCH_RECORDS && b->bytes < BATCH_BYTES &&
	       (n = journal_reader_next(reader, &r)) > 0) {
		e = hold(b, r);
		if (!e && r->kind == IZO_BORDER)
			e = absorb(b, BATCH_RECORDS, BATCH_BYTES);
	}
	if (e || n < 0)
		return e ? e : n;
	return b->nrecords > 0;
}

int batch_look_ahead(struct batch *b, struct journal_reader *reader)
{
	size_t before = b->whole;
	const struct izo_record *r;
	int n = 0;

	if (b->held - b->bytes >= BATCH_AHEAD_BYTES)
		return -ENOBUFS;
	for (uint64_t i = 0; i < BATCH_RECORDS; i++) {
		n = journal_reader_next(reader, &r);
		if (n > 0)
			n = hold(b, r) ? -ENOMEM : 1;
		if (n <= 0)
			break;
	}
	return n < 0 ? n : b->whole > before;
}

int batch_grow(struct batch *b)
{
	if (b->nrecords >= BATCH_GROWN_RECORDS || b->bytes >= BATCH_GROWN_BYTES)
		return -ENOBUFS;
	return absorb(b, BATCH_GROWN_RECORDS, BATCH_GROWN_BYTES);
}

void batch_explain(struct batch *b, bool (*inside)(void *ctx, const struct izo_fid *fid),
		   void *ctx)
{
	for (size_t i = 0; b->left && i < b->ninode; i++) {
		struct batch_inode *in = &b->inode[i];

		if (batch_early(in) && !inside(ctx, &in->fid))
			in->flags |= b->left <= b->bytes ? BATCH_DEAD : BATCH_DIES;
	}
}
