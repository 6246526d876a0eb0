// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_codec.c: records both ways. Enters: tests/golden (or $GOLDEN) and the
 * table of goldens.h. The golden files must come out byte by byte when made
 * anew; what is in refuse/ must fail for the reason beside it; a record with
 * any bit flipped or byte cut must never crash and never pass as sealed.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <cmocka.h>
#include "lib/cleanup.h"
#include "lib/io.h"
#include "tests/unit/goldens.h"

static int golden_dir(const char *kind)
{
	const char *root = getenv("GOLDEN") ? getenv("GOLDEN") : "tests/golden";
	char path[512];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", root, kind);
	fd = open(path, O_RDONLY | O_DIRECTORY);
	assert_true(fd >= 0);
	return fd;
}

static char *slurp(int dir, const char *name, const char *ext, size_t *len)
{
	char path[300], *ret;

	snprintf(path, sizeof(path), "%s.%s", name, ext);
	assert_int_equal(file_read(dir, path, 1 << 20, &ret, len), 0);
	return ret;
}

static void test_accept(void **state)
{
	int dir = golden_dir("accept");
	size_t i, len;

	(void)state;
	for (i = 0; i < NGOLDENS; i++) {
		_cleanup_free_ char *file = slurp(dir, goldens[i].name, "rec", &len);
		struct izo_record *made = golden_make(&goldens[i]);
		const struct izo_record *r = NULL;
		const char *why = "";
		int e = record_check(file, len, &r, &why);

		if (e)
			print_message("%s: %s\n", goldens[i].name, why);
		assert_int_equal(e, 0);
		assert_true(record_sealed(r, 0x1122334455667788));
		assert_false(record_sealed(r, 0));
		assert_int_equal(made->len, len);
		assert_memory_equal(made, file, len);
		free(made);
	}
	close(dir);
}

static void test_refuse(void **state)
{
	int dir = golden_dir("refuse"), n = 0;
	DIR *d = fdopendir(dup(dir));
	struct dirent *e;

	(void)state;
	while ((e = readdir(d))) {
		char *dot = strrchr(e->d_name, '.');
		const struct izo_record *r;
		const char *why = "accepted";
		size_t len;

		if (!dot || strcmp(dot, ".rec"))
			continue;
		*dot = 0;
		_cleanup_free_ char *file = slurp(dir, e->d_name, "rec", &len);
		_cleanup_free_ char *want = slurp(dir, e->d_name, "why", NULL);

		if (record_check(file, len, &r, &why) != -EBADMSG || strcmp(why, want))
			fail_msg("%s: %s, not %s", e->d_name, why, want);
		n++;
	}
	assert_true(n >= 30);
	closedir(d);
	close(dir);
}

static void test_flips(void **state)
{
	size_t i, bit;

	(void)state;
	for (i = 0; i < NGOLDENS; i++) {
		struct izo_record *r = golden_make(&goldens[i]);
		const struct izo_record *got;
		size_t len = r->len;

		for (bit = 0; bit < len * 8; bit++) {
			((unsigned char *)r)[bit / 8] ^= 1 << bit % 8;
			if (!record_check(r, len, &got, NULL))
				assert_false(record_sealed(got, 0x1122334455667788));
			((unsigned char *)r)[bit / 8] ^= 1 << bit % 8;
		}
		free(r);
	}
}

/* Under ASan: nothing behind avail is touched. */
static void test_short(void **state)
{
	struct izo_record *r = golden_make(&goldens[1]);
	const struct izo_record *got;
	size_t n;

	(void)state;
	for (n = 0; n < r->len; n++) {
		_cleanup_free_ void *copy = malloc(n ? n : 1);

		memcpy(copy, r, n);
		assert_int_equal(record_check(copy, n, &got, NULL), -EAGAIN);
	}
	free(r);
}

static void test_misaligned(void **state)
{
	struct izo_record *r = golden_make(&goldens[0]);
	_cleanup_free_ char *buf = malloc(r->len + 8);
	const struct izo_record *got;
	const char *why;

	(void)state;
	memcpy(buf + 4, r, r->len);
	assert_int_equal(record_check(buf + 4, r->len, &got, &why), -EBADMSG);
	assert_string_equal(why, "record not at a multiple of 8");
	free(r);
}

static void test_limits(void **state)
{
	static char big[IZO_DATA_MAX + 1];
	const struct izo_record *got;
	struct izo_record *r;

	(void)state;
	assert_null(record_new(IZO_XATTR, big, 256, NULL, 0, NULL, 0));
	assert_null(record_new(IZO_XATTR, "a", 1, big, 256, NULL, 0));
	assert_null(record_new(IZO_XATTR, "a", 1, NULL, 0, big, IZO_DATA_MAX + 1));
	memset(big, 'n', 255);
	r = record_new(IZO_XATTR, big, 255, NULL, 0, big, IZO_DATA_MAX);
	assert_int_equal(record_check(r, r->len, &got, NULL), 0);
	assert_true(r->len <= IZO_RECORD_MAX);
	free(r);
	r = record_new(IZO_CREATE, NULL, 0, NULL, 0, NULL, 0);
	assert_int_equal(record_check(r, r->len, &got, NULL), -EBADMSG);
	r->flags = IZO_F_NAME_CUT;
	assert_int_equal(record_check(r, r->len, &got, NULL), 0);
	free(r);
}

static void test_tlv(void **state)
{
	struct izo_record *r = golden_make(&goldens[1]);
	const unsigned char *value;
	struct izo_tlv t;
	size_t it = 0;

	(void)state;
	assert_true(record_tlv(r, &it, &t, &value));
	assert_int_equal(t.type, IZO_TLV_ACL_ACCESS);
	assert_int_equal(t.len, 4);
	assert_int_equal(value[0], 2);
	assert_true(record_tlv(r, &it, &t, &value));
	assert_int_equal(t.type, IZO_TLV_ACL_DEFAULT);
	assert_memory_equal(value, "abc", 3);
	assert_false(record_tlv(r, &it, &t, &value));
	free(r);
}

static char *printed(const struct golden *g, bool json)
{
	struct izo_record *r = golden_make(g);
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	(json ? record_print_json : record_print)(out, r);
	fclose(out);
	free(r);
	assert_int_equal(strcspn(text, "\n"), size - 1);
	return text;
}

static void test_print(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < NGOLDENS; i++) {
		_cleanup_free_ char *line = printed(&goldens[i], false);
		_cleanup_free_ char *json = printed(&goldens[i], true);
		char kind[64];

		snprintf(kind, sizeof(kind), "42 %s ", kind_name(goldens[i].kind));
		assert_memory_equal(line, kind, strlen(kind));
		assert_memory_equal(json, "{\"seq\":42,", 10);
		assert_non_null(strstr(line, "by=1000:4711:\"cp \\\"x\\\"\""));
	}
	_cleanup_free_ char *odd = printed(&goldens[9], false);
	_cleanup_free_ char *odd_json = printed(&goldens[9], true);

	assert_non_null(strstr(odd, "256.1@5/\"o\\xff\\\"\\x0a\" -> 258.2@6/\"\\xc3\\xa4\""));
	assert_non_null(strstr(odd_json, "\"name_hex\":\"6fff220a\""));
	assert_non_null(strstr(odd_json, "\"name2\":\"\xc3\xa4\""));
	assert_string_equal(kind_name(0), "?");
	assert_string_equal(kind_name(25), "?");
	assert_string_equal(kind_name(~0u), "?");
}

static void test_sizes(void **state)
{
	uint64_t v = 1;

	(void)state;
	assert_int_equal(size_parse("0", &v), 0);
	assert_int_equal(v, 0);
	assert_int_equal(size_parse("16M", &v), 0);
	assert_int_equal(v, 16 << 20);
	assert_int_equal(size_parse("18446744073709551615", &v), 0);
	assert_int_equal(size_parse("18446744073709551616", &v), -ERANGE);
	assert_int_equal(size_parse("17179869184G", &v), -ERANGE);
	assert_int_equal(size_parse("", &v), -EINVAL);
	assert_int_equal(size_parse("-1", &v), -EINVAL);
	assert_int_equal(size_parse("1 M", &v), -EINVAL);
	assert_int_equal(size_parse("1MB", &v), -EINVAL);
	assert_int_equal(size_parse("K", &v), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_accept),
		cmocka_unit_test(test_refuse),
		cmocka_unit_test(test_flips),
		cmocka_unit_test(test_short),
		cmocka_unit_test(test_misaligned),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_tlv),
		cmocka_unit_test(test_print),
		cmocka_unit_test(test_sizes),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
