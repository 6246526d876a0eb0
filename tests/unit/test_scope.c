// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_scope.c: what of the captured records concerns a fileset, at its border
 * above all. The tree: root 1 with directory 10 "in"; directory 20 is outside.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>
#include "lento/scope.h"
#include "lib/codec.h"

#define FID(n) ((struct izo_fid){ .ino = (n), .gen = 7 })

struct world {
	char path[64];
	int dir;
	struct index *index;
	struct fid_mount mount;
	struct scope scope;
	unsigned mode;			/* of objects of records */
	struct izo_record *out[8];
	unsigned n;
};

static char *patterns[] = { (char *)"*.tmp", (char *)"/in/cache" };

static int collect(void *ctx, struct izo_record *r)
{
	struct world *w = ctx;

	assert_true(w->n < 8);
	w->out[w->n] = malloc(r->len);
	memcpy(w->out[w->n++], r, r->len);
	return 0;
}

static void forget(struct world *w)
{
	while (w->n)
		free(w->out[--w->n]);
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	strcpy(w->path, "/tmp/izo-scope.XXXXXX");
	assert_non_null(mkdtemp(w->path));
	w->mode = S_IFREG | 0644;
	w->dir = open(w->path, O_RDONLY | O_DIRECTORY);
	assert_int_equal(index_open(w->dir, &FID(1), patterns, 2, &w->index), 0);
	w->mount = (struct fid_mount){ w->dir, FID_FS_OTHER, -1 };
	w->scope = (struct scope){ w->index, &w->mount, collect, w };
	assert_int_equal(index_add(w->index, &FID(10), &FID(1), "in", 2), 0);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;
	char command[128];

	forget(w);
	index_close(w->index);
	close(w->dir);
	snprintf(command, sizeof(command), "rm -rf %s", w->path);
	assert_int_equal(system(command), 0);
	free(w);
	return 0;
}

/* Gives one record; returns how many came out, the first in w->out[0]. */
static unsigned take(struct world *w, enum izo_kind kind, uint64_t obj,
		     uint64_t dir, const char *name, uint64_t dir2,
		     const char *name2, uint64_t victim, unsigned flags,
		     unsigned nlink)
{
	struct izo_record *r = record_new(kind, name, strlen(name), name2,
					  strlen(name2), NULL, 0);

	assert_non_null(r);
	forget(w);
	r->obj = FID(obj);
	r->dir = FID(dir);
	if (dir2)
		r->dir2 = FID(dir2);
	if (victim)
		r->victim = FID(victim);
	r->op_flags = flags;
	r->attr.mode = w->mode;
	r->attr.nlink = nlink;
	assert_int_equal(scope_take(&w->scope, r), 0);
	free(r);
	return w->n;
}

static unsigned entry(struct world *w, enum izo_kind kind, uint64_t obj,
		      uint64_t dir, const char *name, unsigned nlink)
{
	return take(w, kind, obj, dir, name, 0, "", 0, 0, nlink);
}

static unsigned move(struct world *w, uint64_t obj, uint64_t dir, const char *name,
		     uint64_t dir2, const char *name2, uint64_t victim, unsigned flags)
{
	return take(w, IZO_RENAME, obj, dir, name, dir2, name2, victim, flags, 1);
}

static void inside_passes_outside_does_not(void **state)
{
	struct world *w = *state;

	assert_int_equal(entry(w, IZO_CREATE, 30, 10, "f", 1), 1);
	assert_int_equal(entry(w, IZO_CREATE, 31, 20, "f", 1), 0);
	assert_int_equal(entry(w, IZO_SETATTR, 30, 0, "", 1), 1);
	assert_int_equal(entry(w, IZO_SETATTR, 31, 0, "", 1), 0);
	assert_int_equal(entry(w, IZO_UNLINK, 31, 20, "f", 0), 0);
	assert_int_equal(entry(w, IZO_UNLINK, 30, 10, "f", 0), 1);
	assert_int_equal(entry(w, IZO_SETATTR, 30, 0, "", 0), 0);
}

/* What an ioctl did to names and FIDs concerns a fileset that does not know it. */
static void a_tree_to_be_read_again(void **state)
{
	struct world *w = *state;

	assert_int_equal(take(w, IZO_RESCAN, 31, 0, "", 0, "", 0, 0, 1), 0);
	assert_int_equal(take(w, IZO_RESCAN, 31, 0, "", 0, "", 0, IZO_RESCAN_TREE, 1), 1);
	assert_int_equal(w->out[0]->op_flags, IZO_RESCAN_TREE);
}

static void patterns_and_our_own_folder_stay_out(void **state)
{
	struct world *w = *state;

	assert_int_equal(entry(w, IZO_CREATE, 30, 10, "a.tmp", 1), 0);
	assert_int_equal(entry(w, IZO_MKDIR, 31, 10, "cache", 1), 0);
	assert_int_equal(entry(w, IZO_CREATE, 32, 31, "f", 1), 0);
	assert_int_equal(entry(w, IZO_MKDIR, 33, 1, "cache", 1), 1);
	assert_int_equal(entry(w, IZO_MKDIR, 34, 1, ".intermezzo", 1), 0);
	assert_int_equal(entry(w, IZO_MKDIR, 35, 10, ".intermezzo", 1), 1);
	/* A rename onto a name that is left out removes it, and the reverse. */
	assert_int_equal(entry(w, IZO_CREATE, 36, 10, "x", 1), 1);
	assert_int_equal(move(w, 36, 10, "x", 10, "x.tmp", 0, 0), 1);
	assert_int_equal(w->out[0]->kind, IZO_EXPEL);
	assert_int_equal(move(w, 36, 10, "x.tmp", 10, "y", 0, 0), 1);
	assert_int_equal(w->out[0]->kind, IZO_IMPORT);
}

static void renames_across_the_border(void **state)
{
	struct world *w = *state;

	assert_int_equal(entry(w, IZO_CREATE, 30, 10, "f", 1), 1);
	assert_int_equal(move(w, 30, 10, "f", 20, "f", 0, 0), 1);
	assert_int_equal(w->out[0]->kind, IZO_EXPEL);
	assert_true(fid_eq(&w->out[0]->dir, &FID(10)));
	assert_int_equal(entry(w, IZO_SETATTR, 30, 0, "", 1), 0);

	assert_int_equal(move(w, 30, 20, "f", 10, "g", 0, 0), 1);
	assert_int_equal(w->out[0]->kind, IZO_IMPORT);
	assert_memory_equal(record_name(w->out[0]), "g", 1);
	assert_int_equal(entry(w, IZO_SETATTR, 30, 0, "", 1), 1);

	/* From outside over a name inside: that one is removed first. */
	assert_int_equal(move(w, 40, 20, "h", 10, "g", 30, 0), 2);
	assert_int_equal(w->out[0]->kind, IZO_UNLINK);
	assert_true(fid_eq(&w->out[0]->obj, &FID(30)));
	assert_int_equal(w->out[1]->kind, IZO_IMPORT);
	assert_false(index_inside(w->index, &FID(30)));
	assert_true(index_inside(w->index, &FID(40)));
}

static void exchange_across_the_border(void **state)
{
	struct world *w = *state;

	entry(w, IZO_CREATE, 30, 10, "f", 1);
	assert_int_equal(move(w, 30, 10, "f", 20, "o", 31, RENAME_EXCHANGE), 2);
	assert_int_equal(w->out[0]->kind, IZO_EXPEL);
	assert_true(fid_eq(&w->out[0]->obj, &FID(30)));
	assert_int_equal(w->out[1]->kind, IZO_IMPORT);
	assert_true(fid_eq(&w->out[1]->obj, &FID(31)));
	assert_int_equal(move(w, 30, 20, "o", 10, "f", 31, RENAME_EXCHANGE), 2);
	assert_int_equal(w->out[0]->kind, IZO_EXPEL);
	assert_true(fid_eq(&w->out[0]->obj, &FID(31)));
	assert_int_equal(w->out[1]->kind, IZO_IMPORT);
	assert_true(index_inside(w->index, &FID(30)));
	assert_false(index_inside(w->index, &FID(31)));
}

static void links_across_the_border(void **state)
{
	struct world *w = *state;

	assert_int_equal(entry(w, IZO_LINK, 30, 10, "f", 2), 1);
	assert_int_equal(w->out[0]->kind, IZO_IMPORT);
	assert_int_equal(entry(w, IZO_LINK, 30, 10, "g", 3), 1);
	assert_int_equal(w->out[0]->kind, IZO_LINK);
	assert_int_equal(entry(w, IZO_UNLINK, 30, 10, "f", 2), 1);
	assert_int_equal(w->out[0]->attr.nlink, 2);
	/* The last name inside counts as the last of all. */
	assert_int_equal(entry(w, IZO_UNLINK, 30, 10, "g", 1), 1);
	assert_int_equal(w->out[0]->attr.nlink, 0);
}

static void a_directory_that_left_takes_its_tree_along(void **state)
{
	struct world *w = *state;

	entry(w, IZO_MKDIR, 30, 10, "d", 2);
	entry(w, IZO_CREATE, 31, 30, "f", 1);
	assert_true(index_inside(w->index, &FID(31)));
	assert_int_equal(move(w, 30, 10, "d", 20, "d", 0, 0), 1);
	assert_false(index_inside(w->index, &FID(31)));
	assert_int_equal(entry(w, IZO_SETATTR, 31, 0, "", 1), 0);
}

/* It comes back, but what was in it may have left it meanwhile. */
static void what_a_directory_held_is_not_known_when_it_comes_back(void **state)
{
	struct world *w = *state;

	entry(w, IZO_MKDIR, 30, 10, "d", 2);
	entry(w, IZO_MKDIR, 31, 30, "sub", 2);
	entry(w, IZO_CREATE, 32, 31, "f", 1);
	entry(w, IZO_CREATE, 33, 30, "g", 1);
	entry(w, IZO_LINK, 33, 10, "kept", 2);
	assert_int_equal(move(w, 30, 10, "d", 20, "d", 0, 0), 1);
	assert_int_equal(index_expel(w->index, &FID(30)), 0);	/* of a directory */
	assert_true(index_inside(w->index, &FID(33)));
	assert_int_equal(index_import(w->index, &FID(30), true, &FID(1), "d", 1), 0);
	assert_true(index_inside(w->index, &FID(30)));
	assert_false(index_inside(w->index, &FID(31)));
	assert_false(index_inside(w->index, &FID(32)));
	assert_false(index_has_name(w->index, &FID(33), &FID(30), "g", 1));
	/* sub is found in it, f no more */
	assert_int_equal(index_import(w->index, &FID(31), true, &FID(30), "sub", 3), 0);
	assert_true(index_inside(w->index, &FID(31)));
	assert_false(index_inside(w->index, &FID(32)));
	assert_int_equal(entry(w, IZO_SETATTR, 32, 0, "", 1), 0);
	assert_int_equal(entry(w, IZO_CREATE, 34, 31, "f", 1), 1);
	assert_int_equal(entry(w, IZO_UNLINK, 33, 10, "kept", 1), 1);
	assert_int_equal(w->out[0]->attr.nlink, 0);
}

/* It has no record of its own, and had left its name when it was looked for. */
static void a_whiteout_is_made_before_it_goes(void **state)
{
	struct world *w = *state;

	entry(w, IZO_CREATE, 30, 10, "f", 1);
	assert_int_equal(move(w, 30, 10, "f", 10, "g", 0, RENAME_WHITEOUT), 1);
	w->mode = S_IFCHR;
	assert_int_equal(move(w, 31, 10, "f", 10, "h", 0, 0), 2);
	assert_int_equal(w->out[0]->kind, IZO_MKNOD);
	assert_memory_equal(record_name(w->out[0]), "f", 1);
	assert_int_equal(w->out[1]->kind, IZO_RENAME);
	assert_int_equal(entry(w, IZO_UNLINK, 32, 10, "f", 0), 2);
	assert_int_equal(w->out[0]->kind, IZO_MKNOD);
	assert_true(fid_eq(&w->out[0]->obj, &FID(32)));
	assert_int_equal(w->out[0]->attr.nlink, 1);
	assert_int_equal(w->out[1]->kind, IZO_UNLINK);
	/* Neither a known one nor one outside. */
	assert_int_equal(entry(w, IZO_UNLINK, 31, 10, "h", 0), 1);
	assert_int_equal(entry(w, IZO_UNLINK, 33, 20, "f", 0), 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(inside_passes_outside_does_not),
		T(a_tree_to_be_read_again),
		T(patterns_and_our_own_folder_stay_out),
		T(renames_across_the_border),
		T(exchange_across_the_border),
		T(links_across_the_border),
		T(a_directory_that_left_takes_its_tree_along),
		T(what_a_directory_held_is_not_known_when_it_comes_back),
		T(a_whiteout_is_made_before_it_goes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
