// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * journal_reader.c: takes records out of a journal. Enters: a sequence to start
 * from. Leaves: every committed record from there on, in order, proved.
 *
 * A reader of the process that appends knows the end: whatever is broken before
 * it is corruption, or was trimmed meanwhile. A reader of another process knows
 * only the files: a broken commit is the end for now, unless a later commit, a
 * later segment or the last clean stop shows that it was once whole; since the
 * appender may have finished it meanwhile, it is looked at once more after that
 * was found, and only then called corrupt.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "lento/journal_private.h"
#include "lib/cleanup.h"

struct journal_reader {
	struct journal *j;
	struct segment segment;
	struct window window;
	uint64_t off;			/* the next commit */
	struct place at;		/* behind the commit in hand */
	uint64_t want;			/* records before it are skipped */
	const unsigned char *next, *end;	/* of the commit in hand */
	char error[200];
};

static int enter(struct journal_reader *r, const struct segment *s)
{
	struct segment seen;
	int fd = segment_open(r->j->dir_fd, s->number, &seen, r->error,
			      sizeof(r->error));

	if (fd == -ENOENT)
		return -ESTALE;
	if (fd < 0)
		return fd;
	if (r->window.fd >= 0)
		close(r->window.fd);
	r->window.fd = fd;
	r->window.have = 0;
	r->segment = *s;
	r->off = SEGMENT_BLOCK;
	r->at = (struct place){ s->first_seq - 1, s->chain };
	return 0;
}

static int fault_report(struct journal_reader *r, const struct fault *f)
{
	snprintf(r->error, sizeof(r->error), "kml.%016" PRIx64 ": byte %" PRIu64
		 ": %s", (uint64_t)r->segment.number, f->off, f->why);
	return -EBADMSG;
}

static int load(struct journal_reader *r, struct fault *f)
{
	const unsigned char *commit;
	size_t len;
	int e = commit_load(&r->window, &r->segment, r->off, &r->at, &commit, &len, f);

	if (e < 0)
		snprintf(r->error, sizeof(r->error), "kml.%016" PRIx64 ": byte %"
			 PRIu64 ": %s", (uint64_t)r->segment.number, r->off,
			 strerror(-e));
	if (e)
		return e;
	r->off += commit_padded(len);
	r->next = commit + COMMIT_HEAD;
	r->end = commit + len;
	return 0;
}

static int refresh(struct journal_reader *r, struct segment *ret_next)
{
	struct journal *j = r->j;
	struct segment same;
	int e = 0;

	if (j->read_only) {
		hold_mutex(&j->files);
		e = journal_table_read(j, r->error, sizeof(r->error));
		if (!e)
			e = journal_floor_read(j, r->error, sizeof(r->error));
		/* A file went away between listing and reading. */
		if (e == -ENOENT)
			e = -EAGAIN;
	}
	return e ? e : journal_table_get(j, r->segment.number, &same, ret_next);
}

static bool follows(const struct journal_reader *r, const struct segment *next)
{
	return next->number && next->first_seq == r->at.seq + 1 &&
	       next->chain == r->at.chain;
}

/* The reader's segment was trimmed away: fine if all of it had been read. */
static int reenter(struct journal_reader *r)
{
	struct segment s;
	int e = journal_table_find(r->j, r->at.seq + 1, &s);

	if (!e && !follows(r, &s))
		e = -ESTALE;
	if (!e)
		e = enter(r, &s);
	return e ? e : 2;
}

/* 1: a commit is in hand; 2: look again; 0: none yet; -errno. */
static int judge_foreign(struct journal_reader *r, struct fault *f)
{
	struct segment next;
	int e = refresh(r, &next), later;

	if (e == -ESTALE)
		return reenter(r);
	if (e)
		return e == -EAGAIN ? 2 : e;
	if (follows(r, &next)) {
		e = enter(r, &next);
		return e ? e : 2;
	}
	later = next.number || r->j->floor.seq > r->at.seq;
	if (!later)
		later = commit_later(&r->window, &r->segment, r->off, &r->at);
	if (later <= 0)
		return later;
	e = load(r, f);
	if (e < 0)
		return e;
	if (!e)
		return 1;
	/* The file may have been trimmed and taken for another segment. */
	e = refresh(r, &next);
	if (e)
		return e == -EAGAIN ? 2 : e;
	return fault_report(r, f);
}

/* As judge_foreign(). */
static int step_foreign(struct journal_reader *r)
{
	struct fault f;
	int e = load(r, &f);

	if (e <= 0)
		return e ? e : 1;
	return judge_foreign(r, &f);
}

static int step_own(struct journal_reader *r)
{
	struct journal *j = r->j;
	struct segment same, next;
	struct fault f;
	bool at_end;
	int e;

	/* In this order: a successor made in between is seen below. */
	pthread_mutex_lock(&j->lock);
	at_end = j->end_number == r->segment.number && r->off >= j->end_off;
	pthread_mutex_unlock(&j->lock);
	if (at_end)
		return 0;
	e = journal_table_get(j, r->segment.number, &same, &next);
	if (e)
		return reenter(r);
	if (follows(r, &next)) {
		e = enter(r, &next);
		return e ? e : 2;
	}
	e = load(r, &f);
	if (e <= 0)
		return e ? e : 1;
	e = journal_table_get(j, r->segment.number, &same, &next);
	return e ? e : fault_report(r, &f);
}

static int next_record(struct journal_reader *r, const struct izo_record **ret)
{
	while (r->next < r->end) {
		const struct izo_record *rec = (const void *)r->next;

		r->next += rec->len;
		if (rec->seq >= r->want) {
			*ret = rec;
			return 1;
		}
	}
	return 0;
}

int journal_reader_next(struct journal_reader *r, const struct izo_record **ret)
{
	int e;

	while (!next_record(r, ret)) {
		e = r->j->read_only ? step_foreign(r) : step_own(r);
		if (e <= 0)
			return e;
	}
	return 1;
}

const char *journal_reader_error(const struct journal_reader *r)
{
	return r->error;
}

/* At the end there is no need to walk through the newest segment. */
static bool start_at_end(struct journal_reader *r)
{
	struct journal *j = r->j;

	hold_mutex(&j->lock);
	if (r->want != j->end.seq + 1 || r->segment.number != j->end_number)
		return false;
	r->off = j->end_off;
	r->at = j->end;
	return true;
}

int journal_reader_new(struct journal *j, uint64_t seq,
		       struct journal_reader **ret)
{
	struct journal_reader *r;
	struct izo_pos end;
	struct segment s;
	int e;

	journal_end(j, &end);
	if (!seq || (seq > end.seq + 1 && !j->read_only))
		return -EINVAL;
	e = journal_table_find(j, seq, &s);
	if (e)
		return e;
	r = calloc(1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	r->j = j;
	r->want = seq;
	e = window_init(&r->window);
	if (!e)
		e = enter(r, &s);
	if (e) {
		journal_reader_free(r);
		return e;
	}
	start_at_end(r);
	*ret = r;
	return 0;
}

void journal_reader_free(struct journal_reader *r)
{
	if (!r)
		return;
	window_done(&r->window);
	free(r);
}

static int check_record(struct journal *j, const struct izo_pos *pos)
{
	const struct izo_record *rec;
	struct journal_reader *r;
	int e = journal_reader_new(j, pos->seq, &r);

	if (e)
		return e;
	e = journal_reader_next(r, &rec);
	if (e > 0)
		e = rec->seq == pos->seq && rec->chain == pos->chain ? 0 : -ESTALE;
	else if (!e)
		e = -ESTALE;
	journal_reader_free(r);
	return e;
}

int journal_check(struct journal *j, const struct izo_pos *pos)
{
	struct izo_pos end;
	struct segment s;

	journal_end(j, &end);
	if (pos->epoch != end.epoch || pos->seq > end.seq)
		return -ESTALE;
	if (pos->seq == end.seq)
		return pos->chain == end.chain ? 0 : -ESTALE;
	if (journal_table_find(j, pos->seq + 1, &s))
		return -ESTALE;
	if (s.first_seq == pos->seq + 1)
		return s.chain == pos->chain ? 0 : -ESTALE;
	return check_record(j, pos);
}
