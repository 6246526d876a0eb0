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

static void batch_clear(struct batch *b)
{
	for (size_t i = 0; i < b->ninode; i++)
		free(b->inode[i].range);
	if (b->hash)
		memset(b->hash, 0, b->hash_size * sizeof(*b->hash));
	b->ninode = 0;
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
	for (unsigned n = 0; n < record_nranges(r); n++)
		ranges_add(i->range, &i->nrange, SETTLE_RANGES, record_range(r, n));
	return 0;
}

static int note(struct batch *b, const struct izo_record *r)
{
	switch (r->kind) {
	case IZO_CREATE:
	case IZO_TMPFILE:
		return S_ISREG(r->attr.mode) ? flag(b, &r->obj, BATCH_CREATED) : 0;
	case IZO_DUE:
		return add_due(b, r);
	case IZO_CLOSE:
	case IZO_FSYNC:
	case IZO_FALLOC:
	case IZO_REMAP:
		return flag(b, &r->obj, BATCH_POINT);
	case IZO_SETATTR:
		return r->op_flags & IZO_ATTR_SIZE ? flag(b, &r->obj, BATCH_POINT) : 0;
	case IZO_UNLINK:
		return r->attr.nlink ? 0 : flag(b, &r->obj, BATCH_DEAD);
	case IZO_RENAME:
		if (fid_none(&r->victim) || r->victim_nlink)
			return 0;
		return flag(b, &r->victim, BATCH_DEAD);
	default:
		return 0;
	}
}

static int add(struct batch *b, const struct izo_record *r)
{
	if (b->bytes + r->len > b->size) {
		size_t size = (b->bytes + r->len) * 2 + (1 << 16);
		unsigned char *p = realloc(b->records, size);

		if (!p)
			return -ENOMEM;
		b->records = p;
		b->size = size;
	}
	memcpy(b->records + b->bytes, r, r->len);
	b->bytes += r->len;
	b->nrecords++;
	if (!b->first_seq)
		b->first_seq = r->seq;
	return note(b, r);
}

int batch_read(struct batch *b, struct journal_reader *reader)
{
	const struct izo_record *r;
	int n, e;

	if (!b->partial)
		batch_clear(b);
	b->partial = false;
	while ((n = journal_reader_next(reader, &r)) > 0) {
		e = add(b, r);
		if (e)
			return e;
		b->partial = r->kind != IZO_BORDER;
		if (b->partial)
			continue;
		b->last.seq = r->seq;
		b->last.chain = r->chain;
		b->last_clock_ns = r->clock_ns;
		if (b->nrecords >= BATCH_RECORDS || b->bytes >= BATCH_BYTES)
			return 1;
	}
	if (n < 0)
		return n;
	return b->nrecords && !b->partial;
}
