// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * ship_since.c: see ship_since.h. One pass over the journal, from the record that
 * the border names to the end.
 */
#include "lento/ship_since.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>
#include "lento/horizon.h"
#include "lib/codec.h"

#define SLACK_S	1	/* that a clock may seem to run backwards */

static bool later(const struct izo_time *a, const struct izo_time *b, int seconds)
{
	int64_t sec = b->sec + seconds;

	return a->sec > sec || (a->sec == sec && a->nsec > b->nsec);
}

/* The BORDER at base, of whatever epoch: the chain says that all before it is the
 * same. 0, -ESTALE, -errno. */
static int read_border(struct journal *j, const struct izo_pos *base,
		       struct izo_record *ret)
{
	const struct izo_record *r;
	struct journal_reader *reader;
	int e = journal_reader_new(j, base->seq, &reader);

	if (e)
		return e == -EINVAL ? -ESTALE : e;
	e = journal_reader_next(reader, &r);
	if (e > 0) {
		*ret = *r;
		e = r->seq == base->seq && r->chain == base->chain &&
		    r->kind == IZO_BORDER ? 0 : -ESTALE;
	} else if (!e) {
		e = -ESTALE;
	}
	journal_reader_free(reader);
	return e;
}

/* Does the record say that contents may have changed, or can change? */
static bool touches(const struct izo_record *r)
{
	switch (r->kind) {
	case IZO_CREATE:
	case IZO_TMPFILE:
	case IZO_OPENW:
	case IZO_CLOSE:
	case IZO_FSYNC:
	case IZO_FALLOC:
	case IZO_REMAP:
	case IZO_RESCAN:
	case IZO_DIRTY:
	case IZO_DUE:
	case IZO_IMPORT:
		return true;
	case IZO_SETATTR:
		return r->op_flags & IZO_ATTR_SIZE;
	}
	return false;
}

static const char *take(struct since *s, const struct izo_record *r,
			struct izo_time *clock)
{
	if (r->kind == IZO_RESCAN && r->op_flags & IZO_RESCAN_TREE)
		return "an ioctl exchanged files since";
	if (r->kind == IZO_BORDER) {
		if (later(clock, &r->attr.ctime, SLACK_S))
			return "the clock was set back since";
		*clock = r->attr.ctime;
	}
	if (touches(r) && !fidtab_put(&s->touched, &r->obj))
		return "no memory";
	return NULL;
}

static int scan(struct since *s, struct journal *j, uint64_t from,
		const char **ret_why)
{
	struct timespec t;
	const struct izo_record *r;
	struct journal_reader *reader;
	struct izo_time clock = { 0 }, now;
	int e = journal_reader_new(j, from, &reader);

	*ret_why = NULL;
	if (e)
		return e;
	while (!*ret_why && (e = journal_reader_next(reader, &r)) > 0)
		*ret_why = take(s, r, &clock);
	journal_reader_free(reader);
	clock_gettime(CLOCK_REALTIME, &t);
	now = (struct izo_time){ .sec = t.tv_sec, .nsec = t.tv_nsec };
	if (later(&clock, &now, SLACK_S))
		*ret_why = "the clock was set back since";
	return e < 0 ? e : 0;
}

bool since_read(struct since *s, struct journal *j, const struct izo_pos *base,
		char *why, size_t why_size)
{
	struct izo_record border;
	const char *no = NULL;
	int e = base->epoch ? read_border(j, base, &border) : 0;

	if (!base->epoch)
		no = "it has no position";
	else if (e == -ESTALE)
		no = "its last position is not in the journal";
	else if (!e && !border.off)
		no = "its last position has no date";
	else if (!e)
		e = scan(s, j, border.off, &no);
	if (e && !no)
		no = e == -ESTALE ? "the journal before its last position is gone" :
				    "the journal before its end cannot be read";
	s->known = !no;
	if (s->known) {
		s->before = border.attr.ctime;
		s->before.sec -= horizon_seconds;
	} else {
		fidtab_done(&s->touched);
	}
	snprintf(why, why_size, "%s", no ? no : "");
	return s->known;
}

void since_done(struct since *s)
{
	fidtab_done(&s->touched);
	s->known = false;
}

bool since_same(struct since *s, const struct izo_fid *fid,
		const struct izo_attr *attr)
{
	return s->known && later(&s->before, &attr->ctime, 0) &&
	       !fidtab_get(&s->touched, fid);
}
