// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_conf.c: configurations that load and configurations that must not.
 * Enters: tests/golden/{accept,refuse}/NAME.conf (or below $GOLDEN): first
 * "expect FILE:LINE: text" (nothing behind expect: it loads), then the parts
 * "%% sysid", "%% serverdb", "%% fsetdb"; a part that is not there is a good
 * one. Each case is laid out in a temporary folder and loaded.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>
#include "lib/cleanup.h"
#include "lib/conf.h"
#include "lib/io.h"

static const char *const parts[3][2] = {
	{ "sysid", "[host]\nname = alpha\nlisten = 127.0.0.1:3440\n" },
	{ "serverdb", "[host beta]\naddress = 10.0.0.2:3440\n[host gamma]\n" },
	{ "fsetdb", "" },
};
static char folder[64];

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

static void put(const char *name, const char *text, size_t len)
{
	int dir = open(folder, O_RDONLY | O_DIRECTORY), fd;

	unlinkat(dir, name, 0);
	fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL, 0644);
	assert_true(fd >= 0);
	assert_int_equal(write_full(fd, text, len), 0);
	close(fd);
	close(dir);
}

static void put_part(const char *text, unsigned i)
{
	char mark[32];
	const char *at, *end;

	snprintf(mark, sizeof(mark), "%%%% %s\n", parts[i][0]);
	at = strstr(text, mark);
	if (!at) {
		put(parts[i][0], parts[i][1], strlen(parts[i][1]));
		return;
	}
	at += strlen(mark);
	end = strstr(at, "%% ");
	put(parts[i][0], at, end ? (size_t)(end - at) : strlen(at));
}

/* Lays the case out and loads it; *ret_want is what it expects. */
static int load_case(int dir, const char *name, char *want, struct conf **ret,
		     char err[512])
{
	_cleanup_free_ char *text = NULL;
	unsigned i;

	assert_int_equal(file_read(dir, name, 1 << 16, &text, NULL), 0);
	assert_memory_equal(text, "expect", 6);
	i = strcspn(text, "\n");
	snprintf(want, 512, "%.*s", i > 7 ? (int)i - 7 : 0, text + 7);
	for (i = 0; i < 3; i++)
		put_part(text, i);
	return conf_load(folder, ret, err, 512);
}

static void test_refuse(void **state)
{
	int dir = golden_dir("refuse"), n = 0;
	DIR *d = fdopendir(dup(dir));
	char want[512], err[512];
	struct dirent *e;

	(void)state;
	while ((e = readdir(d))) {
		struct conf *c = NULL;
		char *dot = strrchr(e->d_name, '.'), *got;
		int r;

		if (!dot || strcmp(dot, ".conf"))
			continue;
		r = load_case(dir, e->d_name, want, &c, err);
		got = r ? err + strlen(folder) + 1 : err;
		if (r != -EINVAL || strcmp(got, want))
			fail_msg("%s: %d '%s', not '%s'", e->d_name, r, got, want);
		assert_null(c);
		n++;
	}
	assert_true(n >= 25);
	closedir(d);
	close(dir);
}

static void test_full(void **state)
{
	int dir = golden_dir("accept");
	const struct conf_fileset *f;
	char want[512], err[512];
	struct conf *c;

	(void)state;
	assert_int_equal(load_case(dir, "full.conf", want, &c, err), 0);
	assert_string_equal(c->self, "alpha");
	assert_int_equal(c->nlisten, 2);
	assert_string_equal(c->listen[1], "[::1]:3440");
	assert_int_equal(conf_host_find(c, "beta")->naddress, 2);
	assert_int_equal(conf_host_find(c, "gamma")->naddress, 0);
	assert_null(conf_host_find(c, "delta"));
	f = conf_fileset_find(c, "data");
	assert_memory_equal(f->uuid, "\x01\x23\x45\x67\x89\xab\xcd\xef"
			    "\x01\x23\x45\x67\x89\xab\xcd\xef", 16);
	assert_string_equal(f->path, "/srv/data");
	assert_string_equal(f->state, "/var/lib/intermezzo");
	assert_int_equal(f->nreplicator, 2);
	assert_string_equal(f->replicator[1], "gamma");
	assert_int_equal(f->nexclude, 2);
	assert_string_equal(f->exclude[1], "cache/");
	assert_int_equal(f->settle_ms, 0);
	assert_int_equal(f->ring_bytes, 64 << 10);
	assert_int_equal(f->segment_bytes, 1 << 30);
	assert_string_equal(f->capture, "script:/tmp/x");
	assert_null(conf_fileset_find(c, "other")->path);
	f = conf_fileset_find(c, "mine");
	assert_string_equal(f->state, "/srv/data2/.intermezzo");
	assert_int_equal(f->settle_ms, 100);
	assert_int_equal(f->ring_bytes, 16 << 20);
	assert_int_equal(f->segment_bytes, 64 << 20);
	assert_string_equal(f->capture, "bpf");
	assert_null(conf_fileset_find(c, "none"));
	conf_free(c);
	assert_int_equal(load_case(dir, "least.conf", want, &c, err), 0);
	assert_int_equal(c->nfileset, 0);
	conf_free(c);
	conf_free(NULL);
	close(dir);
}

static void test_missing(void **state)
{
	char err[512];
	struct conf *c;

	(void)state;
	assert_int_equal(conf_load("/nonexistent", &c, err, sizeof(err)), -ENOENT);
	assert_string_equal(err, "/nonexistent/sysid: No such file or directory");
}

static void test_nul(void **state)
{
	char err[512];
	struct conf *c;

	(void)state;
	put("sysid", "[host]\nname = al\0pha\n", 21);
	assert_int_equal(conf_load(folder, &c, err, sizeof(err)), -EINVAL);
	assert_string_equal(err + strlen(folder), "/sysid:2: line too long, or with a NUL");
}

static int setup(void **state)
{
	(void)state;
	snprintf(folder, sizeof(folder), "%s/conf.XXXXXX",
		 getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	return mkdtemp(folder) ? 0 : -1;
}

static int teardown(void **state)
{
	char path[128];
	unsigned i;

	(void)state;
	for (i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "%s/%s", folder, parts[i][0]);
		unlink(path);
	}
	return rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refuse),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_missing),
		cmocka_unit_test(test_nul),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, setup, teardown);
}
