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

	assert_int_equal(ringseq_init(&c.seq, RING), 0);
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

/* Places end at 100 apiece; newest: where the next one will be. */
static unsigned long long read_all(struct ringseq *q, const uint64_t *seq, unsigned n,
				   uint64_t end, uint64_t newest)
{
	for (unsigned i = 0; i < n; i++)
		ringseq_seen(q, seq[i]);
	return ringseq_read(q, end, newest);
}
#define READ(q, end, newest, ...) ({ uint64_t s_[] = { __VA_ARGS__ }; \
	read_all(q, s_, sizeof(s_) / sizeof(*s_), end, newest); })

static void a_missing_record_is_lost(void **state)
{
	struct ringseq q;

	(void)state;
	assert_int_equal(ringseq_init(&q, RING), 0);
	assert_int_equal(READ(&q, 300, 300, 7, 8, 9), 0);
	assert_int_equal(READ(&q, 500, 500, 11, 10), 0);	/* swapped */
	assert_int_equal(READ(&q, 600, 600, 13), 1);		/* 12 */
	assert_int_equal(READ(&q, 700, 700, 14), 0);
	/* 15 may have a place that is not read yet */
	assert_int_equal(READ(&q, 800, 900, 16), 0);
	assert_int_equal(READ(&q, 900, 1000, 15), 0);
	assert_int_equal(READ(&q, 1000, 1100, 18), 0);		/* 17 */
	assert_int_equal(READ(&q, 1050, 1200, 19), 0);
	assert_int_equal(READ(&q, 1100, 1200, 20), 1);
	assert_int_equal(READ(&q, 1200, 1200, 21), 0);
	/* once more after a restart */
	assert_int_equal(READ(&q, 1300, 1300, 20, 21, 22), 0);
	assert_int_equal(READ(&q, 1400, 1400, 200), 177);	/* 23 to 199 */
	ringseq_reset(&q);
	assert_int_equal(READ(&q, 1500, 1500, 5000), 0);
	/* beyond what a ring can hold */
	assert_int_equal(READ(&q, 1600, 1600, 1000000, 1000002), 994999 + 1);
	assert_int_equal(READ(&q, 1700, 1700, 1000003), 0);
	ringseq_done(&q);
}

/* Who has the first place takes the last sequence. */
static void a_task_stands_still(void **state)
{
	enum { N = 150 };
	uint64_t seq[N + 1];
	struct ringseq q;

	(void)state;
	assert_int_equal(ringseq_init(&q, RING), 0);
	assert_int_equal(READ(&q, 100, 100, 1), 0);
	seq[0] = N + 2;
	for (unsigned i = 1; i <= N; i++)
		seq[i] = i + 1;
	assert_int_equal(read_all(&q, seq, N + 1, 20000, 20000), 0);
	/* the same, in two reads */
	for (unsigned i = 0; i <= N; i++)
		seq[i] += N + 1;
	assert_int_equal(read_all(&q, seq, 40, 24000, 40000), 0);
	assert_int_equal(read_all(&q, seq + 40, N + 1 - 40, 40000, 50000), 0);
	assert_int_equal(READ(&q, 51000, 51000, 2 * N + 3), 0);
	ringseq_done(&q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_missing_record_is_lost),
		cmocka_unit_test(a_task_stands_still),
		cmocka_unit_test(what_makes_no_sense_is_left_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
