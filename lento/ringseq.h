/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ringseq.h: is a record missing in the ring? Each record takes a sequence after its
 * place in the ring, so sequences come in another order, by as many as have a place at
 * the same time. But when everything that had a place while a sequence was missed has
 * been read, that record is lost, and no counter may tell of it: seen on Linux 7.3
 * (decisions/0008).
 */
#ifndef LENTO_RINGSEQ_H
#define LENTO_RINGSEQ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ringseq {
	uint64_t *seen;		/* one bit a sequence, from `next` on, in a circle */
	size_t bits;
	bool begun;
	uint64_t next;		/* the lowest that was not seen */
	uint64_t top;		/* behind the highest that was */
	uint64_t wait_top, wait_pos;	/* what is missing below wait_top is lost when
				 * all places below wait_pos were read; 0: nothing */
	unsigned long long lost;	/* since the last ringseq_read */
};

/* For a ring of so many bytes. 0 or -ENOMEM. */
int ringseq_init(struct ringseq *q, size_t ring_bytes);
void ringseq_done(struct ringseq *q);
/* A record of the ring has that sequence. */
void ringseq_seen(struct ringseq *q, uint64_t seq);
/* Everything up to the position end was read, newest is where the next place will
 * be. How many records are lost for good, told once. */
unsigned long long ringseq_read(struct ringseq *q, uint64_t end, uint64_t newest);
/* What is missing so far is known to be lost; it begins anew. */
void ringseq_reset(struct ringseq *q);

#endif
