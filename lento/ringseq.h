/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ringseq.h: is a record missing in the ring? Each record takes a sequence after its
 * place in the ring, so neighbours may be swapped; but when everything that had a
 * place while a sequence was missed has been read, that record is lost, and no
 * counter may tell of it: seen on Linux 7.3, where two programs got the same place
 * (decisions/0008).
 */
#ifndef LENTO_RINGSEQ_H
#define LENTO_RINGSEQ_H

#include <stdbool.h>
#include <stdint.h>

#define RINGSEQ_MISSING	64

struct ringseq {
	bool begun;
	uint64_t next;			/* all below were seen, but for the missing */
	unsigned nmissing;
	struct {
		uint64_t seq, pos;	/* pos: see ringseq_read; 0: not yet known */
	} missing[RINGSEQ_MISSING];
	unsigned long long lost;	/* since the last ringseq_read */
};

/* A record of the ring has that sequence. */
void ringseq_seen(struct ringseq *q, uint64_t seq);
/* Everything up to the position end was read, newest is where the next place will
 * be. How many records are lost for good, told once. */
unsigned long long ringseq_read(struct ringseq *q, uint64_t end, uint64_t newest);
/* What is missing so far is known to be lost; it begins anew. */
void ringseq_reset(struct ringseq *q);

#endif
