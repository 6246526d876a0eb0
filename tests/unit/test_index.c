// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_index.c: what the index holds after any sequence of names that come and
 * go is what a plain table holds: objects with one name and with hundreds, long
 * names and short, commits in between and a reader in another thread.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "lento/index.h"
#include "lib/codec.h"

#define OBJECTS	400
#define DIRS	20
#define NAMES	60
#define STEPS	200000

struct fixture {
	char dir[64];
	int fd;
	struct index *x;
};

static struct izo_fid fid(unsigned n)
{
	return (struct izo_fid){ .ino = 256 + n, .gen = n % 7, .subvol = 5 };
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct izo_fid root = fid(0);

	strcpy(f->dir, "/tmp/test_index.XXXXXX");
	if (!mkdtemp(f->dir))
		return -1;
	f->fd = open(f->dir, O_RDONLY | O_DIRECTORY);
	*state = f;
	return index_open(f->fd, &root, NULL, 0, &f->x);
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	int r;

	index_close(f->x);
	r = index_remove(f->fd) | unlinkat(f->fd, "index", AT_REMOVEDIR);
	close(f->fd);
	r |= rmdir(f->dir);
	free(f);
	return r;
}

static unsigned name_of(unsigned n, char ret[256])
{
	unsigned len = n % 3 ? 2 + n % 12 : 255 - n;

	memset(ret, 'a', len);
	ret[0] = 'A' + n / 26;
	ret[1] = 'a' + n % 26;
	return len;
}

static unsigned char have[OBJECTS][DIRS][NAMES];
static unsigned count[OBJECTS];

static void forget(unsigned o)
{
	memset(have[o], 0, sizeof(have[o]));
	count[o] = 0;
}

static void check_object(struct fixture *f, unsigned o)
{
	struct izo_fid obj = fid(100 + o);

	for (unsigned d = 0; d < DIRS; d++) {
		for (unsigned n = 0; n < NAMES; n++) {
			struct izo_fid dir = fid(d);
			char name[256];
			unsigned len = name_of(n, name);

			assert_int_equal(index_has_name(f->x, &obj, &dir, name, len),
					 have[o][d][n]);
		}
	}
}

static void one_step(struct fixture *f, unsigned *rnd)
{
	/* Half of all is about a few objects, so that these have many names. */
	unsigned o = rand_r(rnd) % 2 ? rand_r(rnd) % 4 : rand_r(rnd) % OBJECTS;
	unsigned d = rand_r(rnd) % DIRS, n = rand_r(rnd) % NAMES;
	struct izo_fid obj = fid(100 + o), dir = fid(d);
	char name[256];
	unsigned len = name_of(n, name), way = rand_r(rnd) % 1000;

	if (way < 2) {
		forget(o);
		assert_int_equal(index_drop(f->x, &obj), 0);
	} else if (way < 520) {
		assert_int_equal(index_add(f->x, &obj, &dir, name, len), 0);
		count[o] += !have[o][d][n];
		have[o][d][n] = 1;
	} else if (way < 990) {
		assert_int_equal(index_del(f->x, &obj, &dir, name, len), have[o][d][n]);
		count[o] -= have[o][d][n];
		have[o][d][n] = 0;
	} else if (way < 999) {
		assert_int_equal(index_inside(f->x, &obj), count[o] > 0);
	} else {
		check_object(f, o);
	}
}

struct reader {
	struct index *x;
	atomic_bool stop;
	pthread_t thread;
};

static void *read_on(void *arg)
{
	struct reader *r = arg;
	unsigned n = 0;

	while (!r->stop) {
		struct izo_fid obj = fid(100 + n++ % OBJECTS);

		(void)index_inside_ro(r->x, &obj);
	}
	return NULL;
}

static void test_random(void **state)
{
	struct fixture *f = *state;
	struct reader reader = { .x = f->x };
	const char *given = getenv("IZO_SEED");
	unsigned seed = given ? strtoul(given, NULL, 0) : (unsigned)getpid();
	unsigned rnd = seed;
	struct index_mark mark = { .epoch = 1 };

	print_message("# seed %u\n", seed);
	/* All directories hang on the root. */
	for (unsigned d = 1; d < DIRS; d++) {
		struct izo_fid root = fid(0), dir = fid(d);

		assert_int_equal(index_add(f->x, &dir, &root, "d", 1), 0);
	}
	assert_int_equal(index_commit(f->x, &mark), 0);
	assert_int_equal(pthread_create(&reader.thread, NULL, read_on, &reader), 0);
	for (unsigned i = 0; i < STEPS; i++) {
		one_step(f, &rnd);
		if (rand_r(&rnd) % 50)
			continue;
		mark.seq++;
		assert_int_equal(index_commit(f->x, &mark), 0);
	}
	for (unsigned o = 0; o < OBJECTS; o++)
		check_object(f, o);
	reader.stop = true;
	pthread_join(reader.thread, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_random, setup, teardown),
	};

	return cmocka_run_group_tests_name("index", tests, NULL, NULL);
}
