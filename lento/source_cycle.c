// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * source_cycle.c: one drain cycle becomes journal records. Enters: records and
 * marks. Leaves: what concerns the fileset, DIRTY and DUE records, a BORDER,
 * committed, the index with them.
 *
 * What must always hold: order points are looked at only after the marks of the
 * same cycle, which may be older than they.
 */
#include "lento/source_private.h"

#include <errno.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "lib/cleanup.h"
#include "lib/codec.h"
#include "lib/log.h"

#define PACE_MAX_MS	200

static void list_remove(struct fid_list *l, const struct izo_fid *fid)
{
	for (size_t i = l->n; i-- > 0;)
		if (fid_eq(&l->fid[i], fid))
			l->fid[i] = l->fid[--l->n];
}

/* The journal's disk is full: the ring takes what comes until there is room. */
bool source_wait_room(struct source *s, int error)
{
	struct timespec pause = { .tv_nsec = 200000000 };
	bool told;

	if (error != -ENOSPC || s->stop)
		return false;
	pthread_mutex_lock(&s->lock);
	told = s->stats.no_room;
	s->stats.no_room = true;
	pthread_mutex_unlock(&s->lock);
	if (!told)
		log_err("fileset %s: no space for the journal: waiting for room",
			s->conf->name);
	nanosleep(&pause, NULL);
	return !s->stop;
}

static void have_room(struct source *s)
{
	pthread_mutex_lock(&s->lock);
	if (s->stats.no_room)
		log_info("fileset %s: there is room for the journal again",
			 s->conf->name);
	s->stats.no_room = false;
	pthread_mutex_unlock(&s->lock);
}

static int append(struct source *s, struct izo_record *r)
{
	int e;

	do
		e = journal_append(s->journal, r);
	while (source_wait_room(s, e));
	if (e)
		return e;
	s->appended++;
	pthread_mutex_lock(&s->lock);
	s->stats.kept_kind[r->kind]++;
	pthread_mutex_unlock(&s->lock);
	return horizon_note(s->horizon, r);
}

/* Bytes whose place or number a fallocate changed. */
static struct izo_range falloc_range(const struct izo_record *r)
{
	struct izo_range all = { r->off, IZO_TO_EOF };

	if (r->op_flags & (FALLOC_FL_COLLAPSE_RANGE | FALLOC_FL_INSERT_RANGE))
		return all;
	if (r->op_flags == FALLOC_FL_KEEP_SIZE)		/* blocks only */
		return (struct izo_range){ 0, 0 };
	return (struct izo_range){ r->off, r->off + r->count };
}

/* What a journaled record means for the contents of its object. */
static int note_contents(struct source *s, const struct izo_record *r)
{
	struct izo_range range = { 0, 0 };
	int e = 0;

	switch (r->kind) {
	case IZO_SETATTR:
		if (!(r->op_flags & IZO_ATTR_SIZE) || !S_ISREG(r->attr.mode))
			return 0;
		/* with the block before the end, whose bytes may be new zeros */
		range = (struct izo_range){
			r->attr.size ? (r->attr.size - 1) & ~4095ULL : 0, IZO_TO_EOF };
		break;
	case IZO_FALLOC:
		range = falloc_range(r);
		break;
	case IZO_REMAP:
		range = (struct izo_range){ r->off, r->off + r->count };
		break;
	case IZO_RESCAN:
		if (r->op_flags & IZO_RESCAN_TREE)
			s->rescan = true;
		if (!S_ISREG(r->attr.mode))
			return 0;
		range = (struct izo_range){ 0, IZO_TO_EOF };
		break;
	case IZO_UNLINK:
		return r->attr.nlink ? 0 : fid_push(&s->dead, &r->obj);
	case IZO_SYNCFS:
		s->point_all = true;
		return 0;
	case IZO_IMPORT:
		list_remove(&s->dead, &r->obj);
		/* Its pages may be dirty already, and then make no marks. */
		if (r->flags & IZO_F_TREE)
			return syncfs(s->root_fd) ? -errno : 0;
		if (!S_ISREG(r->attr.mode))
			return 0;
		range = (struct izo_range){ 0, IZO_TO_EOF };
		break;
	case IZO_RENAME:
		if (!fid_none(&r->victim) && !r->victim_nlink)
			e = fid_push(&s->dead, &r->victim);
		break;
	case IZO_CLOSE:
	case IZO_FSYNC:
	case IZO_LINK:
		break;
	default:
		return 0;
	}
	if (!e && range.end > range.off)
		e = settle_mark(s->settle, &r->obj, range, now_ms(), 0);
	return e ? e : fid_push(&s->points, &r->obj);
}

int source_emit(void *ctx, struct izo_record *r)
{
	struct source *s = ctx;
	int e = append(s, r);

	return e ? e : note_contents(s, r);
}

static struct izo_record *ranges_record(enum izo_kind kind,
					const struct settle_inode *i)
{
	struct izo_record *r = record_new(kind, NULL, 0, NULL, 0, i->range,
					  i->nrange * sizeof(i->range[0]));
	struct timespec t;

	if (!r)
		return NULL;
	clock_gettime(CLOCK_MONOTONIC, &t);
	r->obj = i->fid;
	r->clock_ns = t.tv_sec * 1000000000ULL + t.tv_nsec;
	return r;
}

static struct izo_fid *outside_slot(struct source *s, const struct izo_fid *fid)
{
	return &s->outside[(fid->ino * 31 + fid->gen) % OUTSIDE_INODES];
}

static int emit_due(void *ctx, const struct settle_inode *i)
{
	struct source *s = ctx;
	_cleanup_free_ struct izo_record *r = NULL;

	if (!index_inside(s->index, &i->fid)) {
		if (i->records_pos > s->records_pos)
			return 1;	/* its CREATE may be still to come */
		*outside_slot(s, &i->fid) = i->fid;
		return 0;
	}
	r = ranges_record(IZO_DUE, i);
	return r ? append(ctx, r) : -ENOMEM;
}

static int emit_dirty(void *ctx, struct settle_inode *i)
{
	_cleanup_free_ struct izo_record *r = ranges_record(IZO_DIRTY, i);
	int e = r ? append(ctx, r) : -ENOMEM;

	if (!e && !i->dirty_seq)
		i->dirty_seq = r->seq;
	return e;
}

static int compare_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static bool is_again(const struct source *s, uint64_t ring_seq)
{
	return s->nagain && bsearch(&ring_seq, s->again, s->nagain,
				    sizeof(ring_seq), compare_u64);
}

static int take_records(struct source *s, const struct capture_cycle *c)
{
	const unsigned char *p = c->records, *end = p + c->records_bytes;

	s->redone = false;
	if (s->nagain)
		qsort(s->again, s->nagain, sizeof(*s->again), compare_u64);
	while (p < end) {
		const struct izo_record *r;
		const char *why;
		int e = record_check(p, end - p, &r, &why);

		if (e) {
			log_err("fileset %s: a record from the kernel is malformed: %s",
				s->conf->name, why ? why : "cut");
			return e;
		}
		p += r->len;
		if (is_again(s, r->ring_seq)) {
			/* Journaled by the lento before us; its DUE may not be. */
			s->redone = true;
			e = note_contents(s, r);
			if (e)
				return e;
			continue;
		}
		memcpy(s->copy, r, r->len);
		e = scope_take(&s->scope, s->copy);
		if (e)
			return e;
	}
	if (c->records_bytes)
		s->nagain = 0;
	return 0;
}

/* A mark may be of an object whose CREATE is only in the next cycle: the map
 * is swapped after the end of the ring was noted. So what is not known to be
 * outside waits in settle, and is looked at again when it is due. */
static bool may_be_inside(struct source *s, const struct izo_fid *fid)
{
	struct izo_fid *outside = outside_slot(s, fid);

	if (index_inside(s->index, fid))
		return true;
	if (fid_eq(outside, fid))
		return false;
	if (!source_own_file(s, fid))
		return true;
	*outside = *fid;
	return false;
}

static int take_marks(struct source *s, const struct capture_cycle *c)
{
	uint64_t now = now_ms();

	for (size_t i = 0; i < c->nmarks; i++) {
		const struct capture_mark *m = &c->marks[i];
		int e = 0;

		if (may_be_inside(s, &m->obj))
			e = settle_mark(s->settle, &m->obj, m->range, now,
					s->marks_pos);
		if (e)
			return e;
	}
	/* Only now: the marks of this cycle may be older than its points. */
	for (size_t i = 0; i < s->points.n; i++)
		settle_point(s->settle, &s->points.fid[i]);
	for (size_t i = 0; i < s->dead.n; i++)
		settle_forget(s->settle, &s->dead.fid[i]);
	if (s->point_all || c->points_missed)
		settle_point_all(s->settle);
	s->points.n = s->dead.n = 0;
	s->point_all = false;
	return 0;
}

/* Who asks for the state sees that contents wait before the journal's end shows that
 * they do, and until it shows that they are due. */
static void note_pending(struct source *s, bool committed)
{
	size_t n = settle_pending(s->settle);

	pthread_mutex_lock(&s->lock);
	if (committed || n > s->stats.pending)
		s->stats.pending = n;
	pthread_mutex_unlock(&s->lock);
}

/* A restart replays the last cycle, and from the oldest DIRTY; a comparison wants
 * what the last border names. */
static void note_kept(struct source *s)
{
	uint64_t from = s->mark.cycle_from;

	if (s->mark.pending_from && s->mark.pending_from < from)
		from = s->mark.pending_from;
	if (s->mark.horizon_from && s->mark.horizon_from < from)
		from = s->mark.horizon_from;
	s->keep_from = from - 1;
}

static int emit_open(void *ctx, const struct izo_fid *fid)
{
	_cleanup_free_ struct izo_record *r = record_new(IZO_OPENW, NULL, 0, NULL, 0,
							 NULL, 0);

	if (!r)
		return -ENOMEM;
	r->obj = *fid;
	return append(ctx, r);
}

/* What a gap may have hidden is younger than the border before it. */
static void date_border(struct source *s, bool gap, struct izo_record *r)
{
	uint64_t pending = settle_oldest(s->settle);

	if (!gap) {
		s->known = s->began;
		s->mark.horizon_from = horizon_from(s->horizon, now_ms(), pending);
	}
	r->attr.ctime = s->known;
	r->off = s->mark.horizon_from;
}

/* Each commit waits for the disk, and others that write to it wait for that: they
 * have it for three fourths of the time. */
static void pace(struct source *s, const struct timespec *begun)
{
	struct timespec now;
	uint64_t ms;

	clock_gettime(CLOCK_MONOTONIC, &now);
	s->commit_us = (s->commit_us * 3 + (now.tv_sec - begun->tv_sec) * 1000000ULL +
			(now.tv_nsec - begun->tv_nsec) / 1000) / 4;
	ms = s->commit_us * 4 / 1000;
	if (s->ops->pace)
		s->ops->pace(s->capture, ms < PACE_MAX_MS ? ms : PACE_MAX_MS);
}

int source_border(struct source *s, bool gap)
{
	_cleanup_free_ struct izo_record *r = NULL;
	struct izo_pos end;
	struct timespec t;
	int e;

	r = record_new(IZO_BORDER, NULL, 0, NULL, 0, NULL, 0);
	if (!r)
		return -ENOMEM;
	date_border(s, gap, r);
	clock_gettime(CLOCK_MONOTONIC, &t);
	r->clock_ns = t.tv_sec * 1000000000ULL + t.tv_nsec;
	e = append(s, r);
	if (e)
		return e;
	do
		e = journal_commit(s->journal);
	while (source_wait_room(s, e));
	if (e)
		return e;
	journal_end(s->journal, &end);
	horizon_border(s->horizon, now_ms(), end.seq);
	s->mark.epoch = end.epoch;
	s->mark.seq = end.seq;
	s->cycle_first = end.seq + 1;
	s->appended = 0;
	return 0;
}

static int end_cycle(struct source *s, bool gap)
{
	uint64_t first = s->cycle_first;
	struct izo_pos end;
	struct timespec t;
	int e;

	/* Also when what was pending proved to be outside and left no record. */
	note_pending(s, !s->appended);
	if (!s->appended)
		return 0;
	journal_end(s->journal, &end);
	e = horizon_stale(s->horizon, end.seq, emit_open, s);
	if (e)
		return e;
	clock_gettime(CLOCK_MONOTONIC, &t);
	e = source_border(s, gap);
	if (e)
		return e;
	note_pending(s, true);
	pace(s, &t);
	have_room(s);
	if (!s->redone)		/* else the ring still has all since then */
		s->mark.cycle_from = first;
	s->mark.pending_from = settle_oldest(s->settle);
	e = index_commit(s->index, &s->mark);
	if (e)
		return e;
	note_kept(s);
	s->events->advanced(s->ctx);
	return 0;
}

int source_cycle(struct source *s, const struct capture_cycle *c)
{
	int e;

	if (c->marks_pos)		/* else only time has passed */
		s->marks_pos = c->marks_pos;
	if (c->records_pos)
		s->records_pos = c->records_pos;
	e = take_records(s, c);

	if (!e)
		e = take_marks(s, c);
	if (!e)
		e = settle_cycle(s->settle, now_ms(), emit_due, emit_dirty, s);
	return e ? e : end_cycle(s, c->gap);
}
