// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_copy.c: from slots of a ring to records: whole ones are handed on as they
 * are, what makes no sense is counted and left out, wherever it is broken.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "lento/capture_copy.h"
#include "lib/codec.h"
#include "lib/log.h"

#define RING	65536
#define DISCARD	(1u << 30)

struct ring {
	unsigned long consumer, producer;
	_Alignas(8) uint8_t data[RING];
	struct ringread read;
};

static struct ring *new_ring(void)
{
	struct ring *r = calloc(1, sizeof(*r));

	r->read = (struct ringread){ .size = RING, .data = r->data,
				     .consumer = (void *)&r->consumer,
				     .producer = (void *)&r->producer };
	return r;
}

static struct izo_record *slot(struct ring *r, const struct izo_record *rec,
			       uint32_t size, uint32_t flags)
{
	uint32_t head = size | flags;
	void *at = r->data + r->producer;

	memcpy(at, &head, sizeof(head));
	memcpy((char *)at + 8, rec, rec->len < size ? rec->len : size);
	r->producer += (size + 8 + 7) & ~7u;
	return (void *)((char *)at + 8);
}

static struct izo_record *name_record(void)
{
	struct izo_record *r = record_new(IZO_CREATE, "a name", 6, NULL, 0, NULL, 0);

	r->obj.ino = 5;
	r->attr.mode = 0100644;
	return r;
}

static void broken(void (*spoil)(struct izo_record *r), unsigned expected)
{
	struct izo_record *good = name_record();
	struct ring *r = new_ring();
	struct copy c = { 0 };

	slot(r, good, good->len + 64, 0);
	spoil(slot(r, good, good->len + 64, 0));
	slot(r, good, good->len, DISCARD);
	slot(r, good, good->len, 0);
	assert_int_equal(copy_ring(&c, &r->read, ringread_end(&r->read)), 0);
	assert_int_equal(c.broken, expected);
	assert_int_equal(c.used, good->len * (3 - expected));
	assert_memory_equal(c.buf, good, good->len);
	assert_memory_equal(c.buf + c.used - good->len, good, good->len);
	copy_done(&c);
	free(good);
	free(r);
}

static void nothing(struct izo_record *r) { (void)r; }
static void nul_in_name(struct izo_record *r) { r->var[2] = 0; }
static void slash_in_name(struct izo_record *r) { r->var[0] = '/'; }
static void no_name(struct izo_record *r) { r->name_len = 0; r->len -= 8; }
static void name_too_long(struct izo_record *r) { r->name_len = 60000; }
static void no_such_kind(struct izo_record *r) { r->kind = 5000; }
static void not_of_the_kernel(struct izo_record *r) { r->kind = IZO_BORDER; }
static void too_short(struct izo_record *r) { r->len = 8; }
static void too_long(struct izo_record *r) { r->len = 1 << 20; }
static void odd(struct izo_record *r) { r->len += 3; }
static void a_flag(struct izo_record *r) { r->flags = 0x4000; }

static void what_makes_no_sense_is_left_out(void **state)
{
	(void)state;
	broken(nothing, 0);
	broken(nul_in_name, 1);
	broken(slash_in_name, 1);
	broken(no_name, 1);
	broken(name_too_long, 1);
	broken(no_such_kind, 1);
	broken(not_of_the_kernel, 1);
	broken(too_short, 1);
	broken(too_long, 1);
	broken(odd, 1);
	broken(a_flag, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_makes_no_sense_is_left_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
