/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * receive.h: the replica's side of a fileset: one thread that takes the frames
 * of one link in order and applies them. Enters: link up, frames, link down.
 * Leaves: a changed tree, ATTACH, asks, ACKs.
 *
 *   DOWN --link up--> ATTACHING --ATTACHED--> FILLING | STREAMING
 *     ^                   ^---- pause, after an error here ----'
 *     '---- link down, from any ----
 *
 * Whatever goes wrong, the remedy is to attach again from the position: the
 * same records come once more and find what is already so.
 */
#ifndef LENTO_RECEIVE_H
#define LENTO_RECEIVE_H

#include <stdbool.h>
#include <stdint.h>
#include "lento/apply.h"
#include "lento/link.h"
#include "lib/conf.h"

struct receive;

struct receive_stats {
	enum fs_state state;
	struct izo_pos applied, durable;
	uint64_t tip, bytes;
	uint64_t behind_ns;		/* age of the last batch's newest record */
	struct apply_stats apply;
	char error[256];
};

int receive_start(const struct conf_fileset *f, unsigned channel,
		  struct receive **ret, char *err, size_t err_size);
void receive_stop(struct receive *r);

/* Loop thread. */
void receive_up(struct receive *r, struct link *l);
void receive_down(struct receive *r);
int receive_frame(struct receive *r, const struct wire_header *h,
		  const void *payload);
void receive_stats(struct receive *r, struct receive_stats *ret);

#endif
