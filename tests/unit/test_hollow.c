// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_hollow.c: the transformer against a model. A source of a few names is
 * changed at random; some files are hollow from the start, some from later on.
 * The records go through hollow_record(), what comes out is done to a physical
 * tree. After every step a name without slot is the same on both sides; a
 * hollow file that was never there is never seen; when the last hollow file is
 * gone the trees are equal and nothing is remembered.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "lento/hollow.h"
#include "lib/codec.h"

#define NAMES	8		/* two directories of four */
#define STEPS	60
#define ROUNDS	20000

static unsigned src[NAMES], phys[NAMES];	/* 0: free */
static bool was_there[STEPS + 2];	/* stood physically before hollow */
static unsigned next_file;
static struct hollow *h;

static struct izo_fid fid(unsigned n)
{
	return (struct izo_fid){ .ino = n };
}

static struct izo_fid dir(unsigned at)
{
	return fid(100 + at / 4);
}

static unsigned slot_of(const struct izo_fid *d, const char *name)
{
	return (d->ino - 100) * 4 + name[0] - 'a';
}

static unsigned links(unsigned file)
{
	unsigned n = 0;

	for (unsigned i = 0; i < NAMES; i++)
		n += src[i] == file;
	return n;
}

static bool is_hollow(unsigned file)
{
	struct izo_fid f = fid(file);

	return file && hollow_has(h, &f);
}

/* What the applier does with a record, guarded as it is there. */
static void act(const struct izo_record *r)
{
	unsigned at = slot_of(&r->dir, record_name(r)), to, x = r->obj.ino;

	switch (r->kind) {
	case IZO_CREATE:
	case IZO_LINK:
		assert_int_equal(phys[at], 0);
		phys[at] = x;
		break;
	case IZO_UNLINK:
		if (x)
			assert_int_equal(phys[at], x);
		phys[at] = 0;
		break;
	case IZO_RENAME:
		to = slot_of(&r->dir2, record_name2(r));
		assert_int_equal(phys[at], x);
		assert_int_equal(phys[to], r->victim.ino);
		phys[at] = r->op_flags & RENAME_EXCHANGE ? phys[to] : 0;
		phys[to] = x;
		break;
	}
}

static void run(struct izo_record *r)
{
	struct hollow_out out;

	assert_int_equal(hollow_record(h, r, &out), 0);
	for (unsigned i = 0; i < out.n; i++)
		act(out.action[i]);
	hollow_out_done(&out);
	free(r);
}

static struct izo_record *rec(enum izo_kind kind, unsigned x, unsigned at,
			      int to)
{
	char n = 'a' + at % 4, n2 = 'a' + (to < 0 ? 0 : to) % 4;
	struct izo_record *r = record_new(kind, &n, 1, &n2, to >= 0, NULL, 0);

	assert_non_null(r);
	r->obj = fid(x);
	r->dir = dir(at);
	if (to >= 0)
		r->dir2 = dir(to);
	return r;
}

static void do_create(unsigned at)
{
	unsigned x = ++next_file;

	if (rand() % 3 == 0) {
		struct izo_fid f = fid(x);

		hollow_add(h, &f);
	}
	src[at] = x;
	run(rec(IZO_CREATE, x, at, -1));
}

static void do_link(unsigned at, unsigned to)
{
	src[to] = src[at];
	run(rec(IZO_LINK, src[at], to, -1));
}

static void do_unlink(unsigned at)
{
	struct izo_record *r = rec(IZO_UNLINK, src[at], at, -1);

	r->attr.nlink = links(src[at]) - 1;
	src[at] = 0;
	run(r);
}

static void do_rename(unsigned at, unsigned to)
{
	struct izo_record *r = rec(IZO_RENAME, src[at], at, to);
	bool exchange = src[to] && rand() % 3 == 0;

	r->victim = fid(src[to]);
	r->victim_nlink = src[to] ? links(src[to]) - !exchange : 0;
	r->op_flags = exchange ? RENAME_EXCHANGE : 0;
	if (exchange) {
		src[at] = r->victim.ino;
	} else {
		src[at] = 0;
	}
	src[to] = r->obj.ino;
	run(r);
}

static struct hollow_slot *slot_at(unsigned i)
{
	for (unsigned k = 0; k < hollow_slots(h); k++) {
		const struct hollow_slot *s = hollow_slot(h, k);

		if (slot_of(&s->dir, s->name) == i)
			return (struct hollow_slot *)s;
	}
	return NULL;
}

static void check(void)
{
	for (unsigned i = 0; i < NAMES; i++) {
		struct hollow_slot *s = slot_at(i);

		if (s) {
			assert_int_equal(s->holder.ino, src[i]);
			assert_int_equal(s->occupant.ino, phys[i]);
		} else {
			assert_int_equal(phys[i], src[i]);
		}
		if (is_hollow(phys[i]))
			assert_true(was_there[phys[i]]);
	}
}

static void step(void)
{
	unsigned at = rand() % NAMES, to = rand() % NAMES;

	if (!src[at]) {
		do_create(at);
	} else if (rand() % 10 == 0) {	/* hollow from now on */
		struct izo_fid f = fid(src[at]);

		was_there[src[at]] |= !is_hollow(src[at]);
		hollow_add(h, &f);
	} else if (rand() % 5 == 0) {
		do_unlink(at);
	} else if (!src[to] && rand() % 4 == 0) {
		do_link(at, to);
	} else if (src[at] != src[to] && at != to) {
		do_rename(at, to);
	}
	check();
}

static void test_model(void **state)
{
	(void)state;
	for (unsigned round_no = 0; round_no < ROUNDS; round_no++) {
		srand(round_no);
		h = hollow_new();
		memset(src, 0, sizeof(src));
		memset(phys, 0, sizeof(phys));
		memset(was_there, 0, sizeof(was_there));
		next_file = 0;
		for (unsigned i = 0; i < STEPS; i++)
			step();
		for (unsigned i = 0; i < NAMES; i++)
			if (is_hollow(src[i]))
				do_unlink(i);
		assert_memory_equal(src, phys, sizeof(src));
		assert_int_equal(hollow_slots(h), 0);
		assert_int_equal(hollow_fids(h), 0);
		hollow_free(h);
	}
}

/* Attributes of a hollow file go nowhere; a nameless one ends at its close. */
static void test_dropped(void **state)
{
	struct izo_record *r = record_new(IZO_SETATTR, NULL, 0, NULL, 0, NULL, 0);
	struct izo_fid f = fid(1), other = fid(2);
	struct hollow_out out;

	(void)state;
	h = hollow_new();
	hollow_add(h, &f);
	r->obj = f;
	assert_int_equal(hollow_record(h, r, &out), 0);
	assert_int_equal(out.n, 0);
	r->obj = other;
	assert_int_equal(hollow_record(h, r, &out), 0);
	assert_int_equal(out.n, 1);
	assert_ptr_equal(out.action[0], r);
	r->obj = f;
	r->kind = IZO_CLOSE;
	r->op_flags = IZO_CLOSE_LAST;
	assert_int_equal(hollow_record(h, r, &out), 0);
	assert_true(hollow_empty(h));
	free(r);
	hollow_free(h);
}

/* What leaves the fileset with its last name there lives on, and is none of the
 * hollow ones when it comes back; with another name it stays one. */
static void test_expelled(void **state)
{
	struct izo_fid f = fid(1);
	struct izo_record *r;

	(void)state;
	h = hollow_new();
	hollow_add(h, &f);
	memset(phys, 0, sizeof(phys));
	run(rec(IZO_CREATE, 1, 0, -1));
	run(rec(IZO_LINK, 1, 1, -1));
	r = rec(IZO_EXPEL, 1, 0, -1);
	r->attr.nlink = 2;
	run(r);
	assert_true(hollow_has(h, &f));
	r = rec(IZO_EXPEL, 1, 1, -1);
	r->attr.nlink = 1;
	run(r);
	assert_true(hollow_empty(h));
	run(rec(IZO_IMPORT, 1, 2, -1));
	assert_int_equal(hollow_slots(h), 0);
	hollow_free(h);
}

/* A storm: made and removed in another order, nothing is left and nothing lost. */
static void test_many(void **state)
{
	enum { MANY = 5000 };
	struct hollow_out out;

	(void)state;
	h = hollow_new();
	for (unsigned i = 0; i < MANY; i++) {
		struct izo_fid f = fid(1000 + i);

		assert_int_equal(hollow_add(h, &f), 0);
	}
	for (unsigned i = 0; i < 2 * MANY; i++) {
		unsigned k = i % MANY * 7 % MANY;	/* 7 and MANY: coprime */
		struct izo_fid f = fid(1000 + k);
		struct izo_record *r;
		char name[16];

		snprintf(name, sizeof(name), "n%u", k);
		r = record_new(i < MANY ? IZO_CREATE : IZO_UNLINK, name,
			       strlen(name), NULL, 0, NULL, 0);
		r->obj = f;
		r->dir = fid(100);
		assert_true(hollow_has(h, &f));
		assert_int_equal(hollow_record(h, r, &out), 0);
		assert_int_equal(out.n, 0);
		assert_int_equal(hollow_slots(h), i < MANY ? i + 1 : 2 * MANY - 1 - i);
		assert_int_equal(hollow_has(h, &f), i < MANY);
		hollow_out_done(&out);
		free(r);
	}
	assert_true(hollow_empty(h));
	hollow_free(h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_model),
		cmocka_unit_test(test_dropped),
		cmocka_unit_test(test_expelled),
		cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
