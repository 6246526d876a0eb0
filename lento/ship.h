/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ship.h: one fileset's journal to one replica, over one link: a thread that
 * answers what the replica asks and streams batches. Enters: ATTACH and the
 * replica's frames; word that the journal grew. Leaves: frames.
 *
 *   new -> (journal_check of the replica's position)
 *          known   -> STREAM
 *          unknown -> FILL: LIST, WANT ... until the replica says STREAM
 *
 * It lives as long as the link is up; a lost link ends it, and the replica's
 * next ATTACH makes another.
 */
#ifndef LENTO_SHIP_H
#define LENTO_SHIP_H

#include <stdbool.h>
#include <stdint.h>
#include "lento/link.h"
#include "lento/source.h"
#include "lento/wire.h"

struct ship;

struct ship_stats {
	enum fs_state state;		/* the replica's, as it said last */
	struct izo_pos applied, durable, start;
	struct izo_pos needs;		/* of the journal, until durable is of its epoch */
	uint64_t sent_seq, last_batch_clock_ns;
	uint64_t bytes, batches, hollow;
	char error[256];
};

/* Takes a reference to link. */
int ship_start(struct source *s, struct link *link, unsigned channel,
	       const char *fileset, const struct wire_attach *attach,
	       struct ship **ret);
void ship_stop(struct ship *s);

/* A frame of this channel; loop thread. -EBADMSG: nonsense. */
int ship_frame(struct ship *s, const struct wire_header *h, const void *payload);
void ship_grown(struct ship *s);		/* any thread */
void ship_stats(struct ship *s, struct ship_stats *ret);
struct link *ship_link(const struct ship *s);
unsigned ship_channel(const struct ship *s);

#endif
