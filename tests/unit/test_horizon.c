// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_horizon.c: what a border names covers every file that is open for writing
 * and everything of the last two minutes, and no more for ever; what a comparison
 * reads from a journal by it, and when it rather knows nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>
#include "lento/horizon.h"
#include "lento/ship_since.h"
#include "lib/codec.h"

#define NOW	10000000ull	/* ms */

static int note(struct horizon *h, enum izo_kind kind, uint64_t ino, uint64_t seq)
{
	struct izo_record r = { .kind = kind, .seq = seq, .obj.ino = ino,
				.op_flags = kind == IZO_CLOSE ? IZO_CLOSE_LAST : 0 };

	return horizon_note(h, &r);
}

static void two_minutes_count(void **state)
{
	struct horizon *h = horizon_new();
	uint64_t ms = NOW, seq = 100;

	(void)state;
	horizon_reset(h, 50);
	assert_int_equal(horizon_from(h, ms, 0), 50);
	for (; ms <= NOW + 600000; ms += 1000, seq += 10) {
		uint64_t from = horizon_from(h, ms, 0), then = seq;

		/* the border of two minutes ago had that sequence */
		if (ms - NOW >= HORIZON_S * 1000)
			then = 100 + (ms - NOW - HORIZON_S * 1000) / 1000 * 10;
		assert_true(ms - NOW < HORIZON_S * 1000 ? from == 50 : from <= then + 1);
		/* and what is kept for it is not much more */
		assert_true(ms - NOW < HORIZON_S * 1000 || from + 60 >= then || from == 50);
		horizon_border(h, ms, seq);
	}
	assert_true(horizon_from(h, ms, 0) > 50);
	assert_int_equal(horizon_from(h, ms, 7), 7);
	/* an hour of silence */
	assert_in_range(horizon_from(h, ms + 3600000, 0), seq - 60, seq);
	horizon_free(h);
}

static void open_files_count(void **state)
{
	struct horizon *h = horizon_new();
	uint64_t ms = NOW + 3600000;

	(void)state;
	horizon_reset(h, 1);
	horizon_border(h, NOW, 1000);
	note(h, IZO_OPENW, 1, 500);
	note(h, IZO_CREATE, 2, 600);
	note(h, IZO_DIRTY, 3, 700);
	note(h, IZO_OPENW, 4, 400);
	note(h, IZO_CLOSE, 4, 401);
	assert_int_equal(horizon_from(h, ms, 0), 400);	/* seen by and by */
	for (int i = 0; i < 64; i++)
		horizon_from(h, ms, 0);
	assert_int_equal(horizon_from(h, ms, 0), 500);
	note(h, IZO_CLOSE, 1, 1001);
	note(h, IZO_UNLINK, 2, 1002);	/* attr.nlink 0 */
	for (int i = 0; i < 64; i++)
		horizon_from(h, ms, 0);
	assert_int_equal(horizon_from(h, ms, 0), 700);
	note(h, IZO_CLOSE, 3, 1003);
	assert_int_equal(horizon_from(h, ms, 0), 1001);
	horizon_free(h);
}

static struct horizon *renaming;
static uint64_t next_seq;
static unsigned named;

static int name(void *ctx, const struct izo_fid *fid)
{
	(void)ctx;
	named++;
	return note(renaming, IZO_OPENW, fid->ino, next_seq++);
}

/* What stays open is named anew, so that the journal can be trimmed. */
static void long_open_files_are_named_anew(void **state)
{
	struct horizon *h = renaming = horizon_new();
	uint64_t ms = NOW + 3600000;

	(void)state;
	horizon_reset(h, 1);
	note(h, IZO_OPENW, 1, 10);
	note(h, IZO_CREATE, 2, 20);	/* nobody may have it open */
	note(h, IZO_OPENW, 3, HORIZON_STALE);
	named = 0;
	assert_int_equal(horizon_stale(h, HORIZON_STALE, name, NULL), 0);
	assert_int_equal(named, 0);
	next_seq = HORIZON_STALE + 21;
	horizon_border(h, NOW, HORIZON_STALE + 20);
	assert_int_equal(horizon_stale(h, HORIZON_STALE + 20, name, NULL), 0);
	assert_int_equal(named, 1);
	assert_int_equal(horizon_from(h, ms, 0), HORIZON_STALE);
	horizon_free(h);

	/* Many open files do not make records without end. */
	h = renaming = horizon_new();
	horizon_reset(h, 1);
	for (unsigned i = 0; i < 100000; i++)
		note(h, IZO_OPENW, i + 1, i + 1);
	named = 0;
	for (next_seq = 100001; next_seq < 2000000; next_seq += 100)
		assert_int_equal(horizon_stale(h, next_seq, name, NULL), 0);
	assert_in_range(named, 100000, 2000000 / 2);
	horizon_free(h);
}

/* --- what a comparison makes of it ---------------------------------------- */

static const unsigned char uuid[16] = "0123456789abcdef";
static char path[64];

static struct journal *fresh(void)
{
	struct journal_options o = { .segment_bytes = 128 << 10 };
	struct journal *j;
	char err[256];
	int dir;

	snprintf(path, sizeof(path), "%s/horizon.XXXXXX",
		 getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	assert_non_null(mkdtemp(path));
	dir = open(path, O_RDONLY | O_DIRECTORY);
	assert_int_equal(journal_open(dir, uuid, &o, &j, err, sizeof(err)), 0);
	close(dir);
	return j;
}

static void gone(struct journal *j)
{
	char cmd[128];

	journal_close(j);
	snprintf(cmd, sizeof(cmd), "rm -rf -- '%s'", path);
	assert_int_equal(system(cmd), 0);
}

static void put(struct journal *j, enum izo_kind kind, uint64_t ino, uint32_t flags)
{
	struct izo_range range = { 0, 4096 };
	bool ranges = kind == IZO_DIRTY || kind == IZO_DUE;
	struct izo_record *r = record_new(kind, "f", kind == IZO_CREATE, NULL, 0,
					  &range, ranges ? sizeof(range) : 0);

	r->obj.ino = ino;
	r->op_flags = flags;
	assert_int_equal(journal_append(j, r), 0);
	free(r);
}

/* A border, its position in *ret. */
static void border(struct journal *j, int64_t sec, uint64_t from, struct izo_pos *ret)
{
	struct izo_record *r = record_new(IZO_BORDER, NULL, 0, NULL, 0, NULL, 0);

	r->attr.ctime.sec = sec;
	r->off = from;
	assert_int_equal(journal_append(j, r), 0);
	assert_int_equal(journal_commit(j), 0);
	journal_end(j, ret);
	free(r);
}

static bool same(struct since *s, uint64_t ino, int64_t ctime)
{
	struct izo_fid fid = { .ino = ino };
	struct izo_attr attr = { .ctime.sec = ctime };

	return since_same(s, &fid, &attr);
}

static void expect(struct journal *j, const struct izo_pos *base, const char *why)
{
	struct since s = { 0 };
	char said[80] = "";

	assert_int_equal(since_read(&s, j, base, said, sizeof(said)), !*why);
	assert_string_equal(said, why);
	assert_false(!s.known && same(&s, 99, 0));
	since_done(&s);
}

static void what_has_changed_since(void **state)
{
	int64_t now = time(NULL);
	struct izo_pos first, base, other, end;
	struct journal *j = fresh();
	struct since s = { 0 };
	char why[80];

	(void)state;
	put(j, IZO_OPENW, 1, 0);			/* before what counts */
	border(j, now - 1000, 1, &first);
	put(j, IZO_OPENW, 2, 0);			/* open since long */
	put(j, IZO_FSYNC, 3, 0);
	border(j, now - 500, first.seq + 1, &base);
	put(j, IZO_SETATTR, 4, IZO_ATTR_MODE);		/* no contents */
	put(j, IZO_SETATTR, 5, IZO_ATTR_SIZE);
	put(j, IZO_CREATE, 6, 0);
	put(j, IZO_DUE, 7, 0);
	put(j, IZO_REMAP, 8, 0);
	put(j, IZO_FALLOC, 9, 0);
	put(j, IZO_CLOSE, 10, IZO_CLOSE_LAST);
	put(j, IZO_RESCAN, 11, 0);
	put(j, IZO_DIRTY, 12, 0);
	border(j, now - 400, base.seq, &end);
	assert_int_equal(journal_new_epoch(j), 0);

	assert_true(since_read(&s, j, &base, why, sizeof(why)));
	assert_string_equal(why, "");
	for (uint64_t ino = 1; ino <= 13; ino++)
		assert_int_equal(same(&s, ino, now - 500 - HORIZON_S - 1),
				 ino == 1 || ino == 4 || ino == 13);
	assert_false(same(&s, 1, now - 500 - HORIZON_S));
	assert_false(same(&s, 1, now));
	since_done(&s);
	assert_false(same(&s, 1, 0));

	other = base;
	other.chain++;
	expect(j, &other, "its last position is not in the journal");
	other = (struct izo_pos){ base.epoch, end.seq + 5, 1 };
	expect(j, &other, "its last position is not in the journal");
	other = (struct izo_pos){ 0 };
	expect(j, &other, "it has no position");
	other = (struct izo_pos){ base.epoch, 0, 0 };
	expect(j, &other, "its last position is not in the journal");
	gone(j);
}

static void rather_nothing(void **state)
{
	int64_t now = time(NULL);
	struct izo_pos base, last, p;
	struct journal *j = fresh();

	(void)state;
	border(j, now - 900, 0, &base);			/* an older version's */
	expect(j, &base, "its last position has no date");
	border(j, now - 800, 2, &base);
	border(j, now - 801, 2, &p);			/* within the slack */
	expect(j, &base, "");
	border(j, now - 700, 3, &last);
	put(j, IZO_RESCAN, 5, IZO_RESCAN_TREE);
	border(j, now - 600, 3, &p);
	expect(j, &base, "an ioctl exchanged files since");
	expect(j, &last, "an ioctl exchanged files since");
	border(j, now - 500, p.seq + 1, &last);
	expect(j, &last, "");
	border(j, now - 502, p.seq + 1, &p);
	expect(j, &last, "the clock was set back since");
	gone(j);

	j = fresh();
	border(j, now + 3600, 1, &base);
	expect(j, &base, "the clock was set back since");
	gone(j);
}

/* A flipped bit of long ago is found, and stops nothing. */
static void unreadable(void **state)
{
	int64_t now = time(NULL);
	struct journal *j = fresh();
	struct izo_pos base, end;
	char name[128];
	int fd;

	(void)state;
	put(j, IZO_FSYNC, 5, 0);
	border(j, now - 500, 1, &base);
	put(j, IZO_FSYNC, 6, 0);
	border(j, now - 400, base.seq + 1, &end);
	expect(j, &base, "");
	snprintf(name, sizeof(name), "%s/kml.0000000000000001", path);
	fd = open(name, O_WRONLY);
	assert_int_equal(pwrite(fd, "xxxx", 4, 4096 + IZO_RECORD_FIXED + 100), 4);
	close(fd);
	expect(j, &base, "the journal before its end cannot be read");
	expect(j, &end, "the journal before its end cannot be read");
	gone(j);
}

static void trimmed(void **state)
{
	int64_t now = time(NULL);
	struct journal *j = fresh();
	struct izo_pos base;

	(void)state;
	for (int i = 0; i < 1500; i++) {
		put(j, IZO_FSYNC, 5, 0);
		border(j, now - 500, 1, &base);
	}
	expect(j, &base, "");
	assert_int_equal(journal_trim(j, 1000), 0);
	assert_true(journal_first_seq(j) > 1);
	expect(j, &base, "the journal before its last position is gone");
	gone(j);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_minutes_count),
		cmocka_unit_test(open_files_count),
		cmocka_unit_test(long_open_files_are_named_anew),
		cmocka_unit_test(what_has_changed_since),
		cmocka_unit_test(rather_nothing),
		cmocka_unit_test(unreadable),
		cmocka_unit_test(trimmed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
