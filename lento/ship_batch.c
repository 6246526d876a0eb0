// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * ship_batch.c: one batch goes out: its border, the contents that are due, what
 * must be withheld, the records. Enters: a batch just read. Leaves: frames.
 *
 * A file that is gone before its contents were read has died on the source: the
 * record of that is in the journal or comes with the next cycle. The batch grows
 * until it holds that record, so that at its border nothing is missing. One that
 * would become too long ends with the file withheld across its border; but how
 * the file's names end is looked up all the same, for the replica must free them
 * before a record of this batch publishes what they show.
 */
#include "lento/ship_private.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include "lento/withheld.h"
#include "lib/cleanup.h"
#include "lib/codec.h"
#include "lib/log.h"

/* A cycle of the source takes some 10 ms; more only on a starved machine. */
#define EXPLAIN_MS	2000
/* So often a batch waits for one more, lest a storm of short-lived files without
 * end make all others wait. */
#define GROW_WAITS	8
#define HOLLOW_FIDS	1024	/* in one frame */

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

/* --- contents ----------------------------------------------------------- */

static int send_contents(struct ship *s)
{
	int e = 0;

	for (size_t i = 0; !e && i < s->batch.ninode; i++) {
		struct batch_inode *in = &s->batch.inode[i];

		if (!(in->flags & BATCH_DUE) || in->flags & BATCH_SENT ||
		    batch_hollow(in))
			continue;
		e = outflow_ranges(&s->outflow, &in->fid, in->range, in->nrange,
				   &in->mtime);
		if (e == -ESTALE) {
			in->flags |= BATCH_GONE;
			e = 0;
		} else if (!e) {
			in->flags |= BATCH_SENT;
		}
	}
	return e;
}

static unsigned count(const struct batch *b, bool (*is)(const struct batch_inode *i))
{
	unsigned n = 0;

	for (size_t i = 0; i < b->ninode; i++)
		n += is(&b->inode[i]);
	return n;
}

static bool is_inside(void *ctx, const struct izo_fid *fid)
{
	return index_inside_ro(ctx, fid);
}

static void explain(struct ship *s)
{
	batch_explain(&s->batch, is_inside, source_index(s->source));
}

/* More cycles, ahead of the batch or by waiting. 1; 0: none in time. */
static int look_ahead(struct ship *s, uint64_t until_ms)
{
	int e = batch_look_ahead(&s->batch, s->reader);

	while (!e) {
		e = ship_wait_growth(s, until_ms);
		if (e <= 0)
			return e;
		e = batch_look_ahead(&s->batch, s->reader);
	}
	return e == -ENOBUFS ? 0 : e;
}

static int send_border(struct ship *s)
{
	struct wire_batch b = { .first_seq = s->batch.first_seq };
	struct izo_pos tip;

	/* A new epoch begins before its first record: what was read by now may be
	 * of it, and a replica that took it would never be compared. */
	journal_end(source_journal(s->source), &tip);
	if (tip.epoch != s->epoch)
		return -ENOTCONN;	/* on_resync drops this ship */
	s->batch.last.epoch = s->epoch;
	b.last = s->batch.last;
	b.tip = tip.seq;
	b.tip_clock_ns = now_ns() - s->batch.last_clock_ns;
	return ship_send_windowed(s, WIRE_BATCH, &b, sizeof(b), NULL, 0);
}

/* Contents, and the batch as long as they need it. */
static int send_grown(struct ship *s)
{
	uint64_t until_ms = now_ns() / 1000000 + EXPLAIN_MS;
	struct batch *b = &s->batch;
	unsigned waits = 0;
	int e;

	for (;;) {
		e = send_border(s);
		if (!e)
			e = send_contents(s);
		explain(s);
		if (e || !count(b, batch_early))
			return e;
		if (b->whole == b->bytes && ++waits <= GROW_WAITS) {
			e = look_ahead(s, until_ms);
			if (e <= 0)
				return e;
		}
		e = b->whole == b->bytes ? -ENOBUFS : batch_grow(b);
		if (e)
			break;
	}
	while (e == -ENOBUFS && count(b, batch_unexplained)) {
		e = look_ahead(s, until_ms);
		if (e > 0)
			e = -ENOBUFS;
		explain(s);
	}
	return e == -ENOBUFS ? 0 : e;
}

/* --- what must not be seen ---------------------------------------------- */

static int send_hollow(struct ship *s)
{
	struct izo_fid fid[HOLLOW_FIDS];
	unsigned n = 0, all = 0;
	int e = 0;

	for (size_t i = 0; !e && i < s->batch.ninode; i++) {
		if (!batch_hollow(&s->batch.inode[i]))
			continue;
		fid[n++] = s->batch.inode[i].fid;
		all++;
		if (n == HOLLOW_FIDS) {
			e = ship_send_windowed(s, WIRE_HOLLOW, fid, sizeof(fid), NULL, 0);
			n = 0;
		}
	}
	if (!e && n)
		e = ship_send_windowed(s, WIRE_HOLLOW, fid, n * sizeof(*fid), NULL, 0);
	pthread_mutex_lock(&s->lock);
	s->stats.hollow += all;
	pthread_mutex_unlock(&s->lock);
	return e;
}

static bool is_hollow(void *ctx, const struct izo_fid *fid)
{
	const struct ship *s = ctx;
	const struct batch_inode *i = batch_find(&s->batch, fid);

	return i && batch_hollow(i);
}

static int send_name(void *ctx, const struct izo_fid *fid, const struct izo_fid *dir,
		     const char *name, unsigned len)
{
	_cleanup_free_ struct izo_record *r =
		record_new(IZO_UNLINK, name, len, NULL, 0, NULL, 0);

	if (!r)
		return -ENOMEM;
	r->obj = *fid;
	r->dir = *dir;
	return ship_send_windowed(ctx, WIRE_WITHHOLD, r, r->len, NULL, 0);
}

static int send_withheld(struct ship *s)
{
	struct withheld_events ev = { is_hollow, send_name, s };
	unsigned bare = count(&s->batch, batch_unexplained);

	if (bare)
		log_warn("fileset %s, peer %s: %u files are gone whose removal is not in the journal",
			 s->fileset, link_peer(s->link), bare);
	return withheld_names(s->batch.records, s->batch.whole, &ev);
}

/* --- records ------------------------------------------------------------ */

static int send_records(struct ship *s)
{
	const struct batch *b = &s->batch;
	size_t at = 0;
	int e = 0;

	while (!e && at < b->bytes) {
		size_t end = at;

		while (end < b->bytes) {
			const struct izo_record *r = (const void *)(b->records + end);

			if (end > at && end + r->len - at > WIRE_DATA_MAX)
				break;
			end += r->len;
		}
		e = ship_send_windowed(s, WIRE_RECORDS, b->records + at, end - at,
				       NULL, 0);
		at = end;
	}
	return e;
}

int ship_send_batch(struct ship *s)
{
	int e = send_grown(s);

	if (!e && count(&s->batch, batch_hollow)) {
		e = send_hollow(s);
		if (!e)
			e = send_withheld(s);
	}
	if (!e)
		e = send_records(s);
	if (!e)
		e = ship_send_windowed(s, WIRE_BATCH_END, &s->batch.last,
				       sizeof(s->batch.last), NULL, 0);
	if (e)
		return e;
	pthread_mutex_lock(&s->lock);
	s->stats.sent_seq = s->batch.last.seq;
	s->stats.last_batch_clock_ns = s->batch.last_clock_ns;
	s->stats.batches++;
	pthread_mutex_unlock(&s->lock);
	return 0;
}
