// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_fidmap.c: entries and tables come back, after a commit and a reopening
 * too, and half a million of them stay out of our own memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "lento/fidmap.h"
#include "lib/codec.h"

static char dir[64];

static int setup(void **state)
{
	struct fidmap *m;

	strcpy(dir, "/tmp/test_fidmap.XXXXXX");
	if (!mkdtemp(dir) || fidmap_open(dir, &m))
		return -1;
	*state = m;
	return 0;
}

static int teardown(void **state)
{
	char path[128];

	fidmap_close(*state);
	snprintf(path, sizeof(path), "%s/data.mdb", dir);
	unlink(path);
	return rmdir(dir);
}

static struct izo_fid fid(uint64_t ino)
{
	return (struct izo_fid){ .ino = ino, .gen = ino * 7, .subvol = 5 };
}

static void test_entries(void **state)
{
	struct fidmap_entry e = { .local = fid(9), .type = 0100000, .flags = 1,
				  .fill = 3 }, got;
	struct fidmap *m = *state;
	struct izo_fid f = fid(1), other = fid(2);

	assert_int_equal(fidmap_get(m, &f, &got), -ENOENT);
	assert_int_equal(fidmap_put(m, &f, &e), 0);
	assert_int_equal(fidmap_get(m, &f, &got), 0);
	assert_true(fid_eq(&got.local, &e.local));
	assert_int_equal(got.type, e.type);
	assert_int_equal(got.flags, e.flags);
	assert_int_equal(got.fill, e.fill);
	assert_int_equal(fidmap_get(m, &other, &got), -ENOENT);
	assert_int_equal(fidmap_commit(m), 0);
	assert_int_equal(fidmap_count(m), 1);
	assert_int_equal(fidmap_del(m, &f), 0);
	assert_int_equal(fidmap_del(m, &f), -ENOENT);
	assert_int_equal(fidmap_count(m), 0);
}

static void test_reopen(void **state)
{
	struct fidmap_entry e = { .local = fid(9) }, got;
	struct fidmap *m = *state, *second;
	struct izo_fid f = fid(1);

	assert_int_equal(fidmap_put(m, &f, &e), 0);
	assert_int_equal(fidmap_tab_put(m, FIDMAP_META, "k", 1, "value", 5), 0);
	assert_int_equal(fidmap_open(dir, &second), -EBUSY);
	assert_int_equal(fidmap_sync(m), 0);
	fidmap_close(m);
	assert_int_equal(fidmap_open(dir, &m), 0);
	*state = m;
	assert_int_equal(fidmap_get(m, &f, &got), 0);
	assert_true(fid_eq(&got.local, &e.local));
	assert_int_equal(fidmap_tab_count(m, FIDMAP_META), 1);
}

static void test_tables(void **state)
{
	struct fidmap *m = *state;
	const void *k, *v, *after = NULL;
	char key[2] = "a", buf[8];
	size_t kn, vn;
	int n = 0;

	for (char c = 'e'; c >= 'a'; c--)
		assert_int_equal(fidmap_tab_put(m, FIDMAP_TODO, &c, 1, &c, 1), 0);
	for (; !fidmap_tab_next(m, FIDMAP_TODO, after, 1, &k, &kn, &v, &vn);
	     n++) {
		assert_int_equal(*(const char *)k, 'a' + n);
		key[0] = *(const char *)k;
		after = key;
	}
	assert_int_equal(n, 5);
	assert_int_equal(fidmap_tab_get(m, FIDMAP_TODO, "c", 1, buf, 8), 1);
	assert_int_equal(fidmap_tab_del(m, FIDMAP_TODO, "c", 1), 0);
	assert_int_equal(fidmap_tab_get(m, FIDMAP_TODO, "c", 1, buf, 8),
			 -ENOENT);
	assert_int_equal(fidmap_tab_clear(m, FIDMAP_TODO), 0);
	assert_int_equal(fidmap_tab_count(m, FIDMAP_TODO), 0);
	assert_int_equal(fidmap_clear(m), 0);
}

static bool is_odd(void *ctx, const struct izo_fid *peer,
		   const struct fidmap_entry *e)
{
	(void)ctx;
	assert_int_equal(e->local.ino, peer->ino + 1);
	return peer->ino & 1;
}

static long anon_kib(void)
{
	FILE *f = fopen("/proc/self/status", "r");
	char line[128];
	long kib = 0;

	while (fgets(line, sizeof(line), f))
		sscanf(line, "RssAnon: %ld", &kib);
	fclose(f);
	return kib;
}

static void test_many(void **state)
{
	struct fidmap *m = *state;
	long before = anon_kib();

	for (uint64_t i = 1; i <= 500000; i++) {
		struct izo_fid f = fid(i);
		struct fidmap_entry e = { .local = fid(i + 1) };

		assert_int_equal(fidmap_put(m, &f, &e), 0);
		if (!(i % 1000))
			assert_int_equal(fidmap_commit(m), 0);
	}
	assert_int_equal(fidmap_count(m), 500000);
#ifndef __SANITIZE_ADDRESS__
	assert_true(anon_kib() - before < 4096);
#else
	(void)before;
#endif
	assert_int_equal(fidmap_sweep(m, is_odd, NULL), 0);
	assert_int_equal(fidmap_count(m), 250000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_entries, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reopen, setup, teardown),
		cmocka_unit_test_setup_teardown(test_tables, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
