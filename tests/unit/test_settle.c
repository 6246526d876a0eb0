// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_settle.c: ranges cover what was added and stay sorted; a mark becomes due
 * by an order point or by time, once, and never gets lost.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "lento/ranges.h"
#include "lento/settle.h"

#define SPACE 512

static void ranges_cover_what_was_added(void **state)
{
	(void)state;
	for (unsigned seed = 1; seed <= 2000; seed++) {
		struct izo_range set[9];
		unsigned char added[SPACE] = { 0 }, covered[SPACE] = { 0 };
		unsigned n = 0, max = 2 + seed % 7;

		srand(seed);
		for (int i = 0; i < 40; i++) {
			uint64_t off = rand() % SPACE, end = off + rand() % 16;
			struct izo_range r = { off, end < SPACE ? end : SPACE };

			ranges_add(set, &n, max, r);
			if (r.end > r.off)
				memset(added + off, 1, r.end - off);
			assert_in_range(n, 0, max);
		}
		for (unsigned i = 0; i < n; i++) {
			assert_true(set[i].off < set[i].end);
			assert_true(!i || set[i - 1].end < set[i].off);
			memset(covered + set[i].off, 1, set[i].end - set[i].off);
		}
		for (int i = 0; i < SPACE; i++)
			assert_true(!added[i] || covered[i]);
	}
}

static void ranges_are_exact_while_there_is_room(void **state)
{
	struct izo_range set[4];
	unsigned n = 0;

	(void)state;
	ranges_add(set, &n, 4, (struct izo_range){ 10, 20 });
	ranges_add(set, &n, 4, (struct izo_range){ 40, IZO_TO_EOF });
	ranges_add(set, &n, 4, (struct izo_range){ 20, 25 });
	assert_int_equal(n, 2);
	assert_int_equal(set[0].off, 10);
	assert_int_equal(set[0].end, 25);
	assert_true(set[1].end == IZO_TO_EOF);
}

struct seen {
	unsigned due, fresh;
	struct izo_range range;
};

static int on_due(void *ctx, const struct settle_inode *i)
{
	struct seen *s = ctx;

	s->due++;
	s->range = i->range[0];
	return 0;
}

static int on_fresh(void *ctx, struct settle_inode *i)
{
	struct seen *s = ctx;

	s->fresh++;
	i->dirty_seq = 7;
	return 0;
}

static struct seen cycle(struct settle *s, uint64_t now)
{
	struct seen seen = { 0 };

	assert_int_equal(settle_cycle(s, now, on_due, on_fresh, &seen), 0);
	return seen;
}

static const struct izo_fid X = { .ino = 12, .gen = 1 };
static const struct izo_range page = { 4096, 8192 };

static void a_point_makes_due_at_once(void **state)
{
	struct settle *s = settle_new(100);
	struct seen seen;

	(void)state;
	settle_point(s, &X);		/* clean stays clean */
	assert_int_equal(cycle(s, 0).due, 0);
	settle_mark(s, &X, page, 1000, 0);
	settle_point(s, &X);
	seen = cycle(s, 1000);
	assert_int_equal(seen.due, 1);
	assert_int_equal(seen.range.off, 4096);
	assert_int_equal(cycle(s, 1001).due, 0);
	assert_int_equal(settle_pending(s), 0);
	settle_free(s);
}

static void time_makes_due(void **state)
{
	struct settle *s = settle_new(100);
	struct seen seen;

	(void)state;
	settle_mark(s, &X, page, 1000, 0);
	seen = cycle(s, 1000);
	assert_int_equal(seen.due, 0);
	assert_int_equal(seen.fresh, 1);
	assert_int_equal(settle_oldest(s), 7);
	assert_int_equal(settle_wait_ms(s, 1040), 60);
	assert_int_equal(cycle(s, 1050).fresh, 0);
	settle_mark(s, &X, (struct izo_range){ 0, 4096 }, 1060, 0);
	seen = cycle(s, 1100);
	assert_int_equal(seen.due, 1);
	assert_int_equal(seen.range.off, 0);
	assert_int_equal(seen.range.end, 8192);
	assert_int_equal(settle_wait_ms(s, 1100), -1);
	settle_free(s);
}

static void the_dead_are_forgotten_and_all_can_be_due(void **state)
{
	struct settle *s = settle_new(100);
	struct izo_fid y = { .ino = 13, .gen = 1 };

	(void)state;
	settle_mark(s, &X, page, 0, 0);
	settle_mark(s, &y, page, 0, 0);
	settle_forget(s, &X);
	settle_point_all(s);
	assert_int_equal(cycle(s, 0).due, 1);
	settle_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ranges_cover_what_was_added),
		cmocka_unit_test(ranges_are_exact_while_there_is_room),
		cmocka_unit_test(a_point_makes_due_at_once),
		cmocka_unit_test(time_makes_due),
		cmocka_unit_test(the_dead_are_forgotten_and_all_can_be_due),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
