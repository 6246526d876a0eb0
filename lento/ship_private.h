/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ship_private.h: what ship.c (the thread, asks, the window) and ship_batch.c
 * (batches) share, and nobody else. `lock` guards the queue of asks, the flags,
 * the window and the statistics; it is never held while sending.
 */
#ifndef LENTO_SHIP_PRIVATE_H
#define LENTO_SHIP_PRIVATE_H

#include <pthread.h>
#include "lento/batch.h"
#include "lento/outflow.h"
#include "lento/ship.h"
#include "lento/ship_since.h"

struct ask {
	struct ask *next;
	enum wire_type type;
	union {
		struct wire_list list;
		struct wire_want want;
		struct wire_stream stream;
	};
};

struct ship {
	struct source *source;
	struct link *link;
	unsigned channel;
	char *fileset;
	struct wire_attach attach;
	/* One for batches, one for answers, which come in between: a buffer that
	 * waits for the window must stay as it is. */
	struct outflow outflow, answers;
	struct batch batch;
	struct since since;		/* of a fill: what need not be compared */
	struct journal_reader *reader;
	uint64_t epoch;			/* of what reader may give */

	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	struct ask *first, **last;
	unsigned nasks;
	atomic_bool stop;
	bool grown;
	uint64_t under_way;		/* bytes of the window in use */
	uint64_t answers_under_way;	/* the same of the answers' own window */
	struct ship_stats stats;
};

/* ctx: the ship. One frame of a batch, when the window is open; answers asks meanwhile. */
int ship_send_windowed(void *ctx, enum wire_type type, const void *head,
		       size_t head_len, const void *bytes, size_t len);
/* Waits until the journal may have grown, answering asks meanwhile. 1; 0: not
 * by until_ms of CLOCK_MONOTONIC; -errno. */
int ship_wait_growth(struct ship *s, uint64_t until_ms);

/* ship_batch.c: sends s->batch, which was just read, grown if need be. */
int ship_send_batch(struct ship *s);

#endif
