// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * ringseq.c: see ringseq.h.
 */
#include "lento/ringseq.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "intermezzo/record.h"

int ringseq_init(struct ringseq *q, size_t ring_bytes)
{
	/* twice as many as have room */
	size_t most = 2 * ring_bytes / IZO_RECORD_FIXED, bits = 4096;

	while (bits < most)
		bits *= 2;
	*q = (struct ringseq){ .bits = bits };
	q->seen = calloc(bits / 64, sizeof(*q->seen));
	return q->seen ? 0 : -ENOMEM;
}

void ringseq_done(struct ringseq *q)
{
	free(q->seen);
	*q = (struct ringseq){ 0 };
}

static uint64_t *word(struct ringseq *q, uint64_t seq)
{
	return &q->seen[seq % q->bits / 64];
}

static bool take(struct ringseq *q, uint64_t seq)
{
	uint64_t bit = 1ull << seq % 64, *w = word(q, seq);
	bool had = *w & bit;

	*w &= ~bit;
	return had;
}

/* Up to `to` nothing is waited for. Returns how many were not seen. */
static unsigned long long move_to(struct ringseq *q, uint64_t to)
{
	unsigned long long missing = 0;

	for (; q->next < to; q->next++)
		missing += !take(q, q->next);
	return missing;
}

void ringseq_seen(struct ringseq *q, uint64_t seq)
{
	if (!q->begun) {
		q->begun = true;
		q->next = q->top = seq;
	}
	if (seq < q->next)	/* handed out once more, or from before we began */
		return;
	if (seq - q->next >= q->bits) {
		/* more than can be on their way at once */
		uint64_t to = seq - q->bits + 1;

		q->lost += move_to(q, to < q->top ? to : q->top);
		if (to > q->next) {
			q->lost += to - q->next;
			q->next = to;
		}
	}
	*word(q, seq) |= 1ull << seq % 64;
	if (seq >= q->top)
		q->top = seq + 1;
}

static void pass_seen(struct ringseq *q)
{
	while (q->next < q->top && *word(q, q->next) & 1ull << q->next % 64)
		take(q, q->next++);
}

unsigned long long ringseq_read(struct ringseq *q, uint64_t end, uint64_t newest)
{
	unsigned long long lost = q->lost;

	q->lost = 0;
	for (;;) {
		pass_seen(q);
		if (q->next >= q->wait_top)
			q->wait_top = 0;
		if (q->next == q->top)
			return lost;
		if (!q->wait_top) {
			q->wait_top = q->top;
			q->wait_pos = newest;
		}
		if (q->wait_pos > end)
			return lost;
		lost += move_to(q, q->wait_top);
	}
}

void ringseq_reset(struct ringseq *q)
{
	memset(q->seen, 0, q->bits / 8);
	*q = (struct ringseq){ .seen = q->seen, .bits = q->bits };
}
