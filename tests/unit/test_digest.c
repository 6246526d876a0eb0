// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_digest.c: what enters the digest of a file's contents and what does not,
 * and that holes cost nothing.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include <errno.h>
#include "lib/digest.h"

static int new_file(void)
{
	char path[] = "/tmp/izo-digest.XXXXXX";
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	unlink(path);
	return fd;
}

static void put(int fd, const char *text, off_t off)
{
	assert_int_equal(pwrite(fd, text, strlen(text), off), strlen(text));
}

/* The file as it is; closes it. */
static void sum(int fd, uint64_t size, unsigned char ret[16])
{
	assert_int_equal(digest_file(fd, size, NULL, ret), 0);
	close(fd);
}

static void holes_are_zeros(void **state)
{
	unsigned char a[16], b[16], zeros[600000] = { 0 };
	int x = new_file(), y = new_file();

	put(x, "begin", 0);
	put(x, "end", 900000);
	assert_int_equal(pwrite(y, zeros, sizeof(zeros), 0), sizeof(zeros));
	put(y, "begin", 0);
	put(y, "end", 900000);
	sum(x, 900003, a);
	sum(y, 900003, b);
	assert_memory_equal(a, b, 16);
}

static void the_place_counts(void **state)
{
	unsigned char a[16], b[16];
	int x = new_file(), y = new_file();

	put(x, "data", 0);
	put(y, "data", 1 << 20);
	ftruncate(x, 2 << 20);
	ftruncate(y, 2 << 20);
	sum(x, 2 << 20, a);
	sum(y, 2 << 20, b);
	assert_memory_not_equal(a, b, 16);
}

static void the_last_byte_counts(void **state)
{
	unsigned char a[16], b[16];
	int x = new_file(), y = new_file();

	put(x, "abc", 262144 * 3 - 1);
	put(y, "abd", 262144 * 3 - 1);
	sum(x, 262144 * 3 + 2, a);
	sum(y, 262144 * 3 + 2, b);
	assert_memory_not_equal(a, b, 16);
}

static void a_shorter_file(void **state)
{
	unsigned char a[16];
	int fd = new_file();

	put(fd, "abc", 0);
	assert_int_equal(digest_file(fd, 4, NULL, a), -ENODATA);
	assert_int_equal(digest_file(fd, 0, NULL, a), 0);
	close(fd);
}

static void stops(void **state)
{
	atomic_bool stop = true;
	unsigned char a[16];
	int fd = new_file();

	put(fd, "abc", 0);
	assert_int_equal(digest_file(fd, 3, &stop, a), -ECANCELED);
	close(fd);
}

/* Ten TiB would take half an hour to read. */
static void holes_are_free(void **state)
{
	int fd = new_file();
	unsigned char a[16];

	put(fd, "here", 5LL << 40);
	if (ftruncate(fd, 10LL << 40)) {	/* a filesystem of small files */
		close(fd);
		return;
	}
	alarm(60);
	sum(fd, 10ULL << 40, a);
	alarm(0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(holes_are_zeros),
		cmocka_unit_test(the_place_counts),
		cmocka_unit_test(the_last_byte_counts),
		cmocka_unit_test(a_shorter_file),
		cmocka_unit_test(stops),
		cmocka_unit_test(holes_are_free),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
