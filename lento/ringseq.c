// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * ringseq.c: see ringseq.h.
 */
#include "lento/ringseq.h"

#include <string.h>

static void take_out(struct ringseq *q, unsigned i)
{
	q->missing[i] = q->missing[--q->nmissing];
}

/* Sequences from q->next up to seq are passed over. */
static void pass_over(struct ringseq *q, uint64_t seq)
{
	while (q->next < seq && q->nmissing < RINGSEQ_MISSING) {
		q->missing[q->nmissing].seq = q->next++;
		q->missing[q->nmissing++].pos = 0;
	}
	/* More than can be on their way at once. */
	q->lost += seq - q->next;
	q->next = seq;
}

void ringseq_seen(struct ringseq *q, uint64_t seq)
{
	if (!q->begun) {
		q->begun = true;
		q->next = seq;
	}
	if (seq >= q->next) {
		pass_over(q, seq);
		q->next = seq + 1;
		return;
	}
	for (unsigned i = 0; i < q->nmissing; i++)
		if (q->missing[i].seq == seq) {
			take_out(q, i);
			return;
		}
	/* handed out once more, or from before we began */
}

unsigned long long ringseq_read(struct ringseq *q, uint64_t end, uint64_t newest)
{
	unsigned long long lost = q->lost;

	for (unsigned i = 0; i < q->nmissing;) {
		if (!q->missing[i].pos)
			q->missing[i].pos = newest;
		if (q->missing[i].pos <= end) {
			lost++;
			take_out(q, i);
		} else {
			i++;
		}
	}
	q->lost = 0;
	return lost;
}

void ringseq_reset(struct ringseq *q)
{
	memset(q, 0, sizeof(*q));
}
