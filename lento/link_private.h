/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * link_private.h: what link.c (one connection), link_dial.c (makes them) and
 * link_listen.c (takes them) share. The maker of a link is its owner: it admits
 * the name of HELLO, passes the events on and holds the first reference, which
 * it gives back when `down` is through.
 */
#ifndef LENTO_LINK_PRIVATE_H
#define LENTO_LINK_PRIVATE_H

#include <stdatomic.h>
#include "lento/address.h"
#include "lento/conn.h"
#include "lento/link.h"

#define LINK_HELLO_MS	10000	/* for connect and for HELLO */

enum link_state { LINK_HELLO, LINK_UP, LINK_DOWN };

struct link_owner {
	/* false: why was filled. */
	bool (*admit)(struct link_owner *o, struct link *l, const char *name,
		      char why[CONN_WHY]);
	void (*up)(struct link_owner *o, struct link *l);
	void (*down)(struct link_owner *o, struct link *l, const char *why);
};

struct link {
	atomic_int refs;
	struct link *next;		/* the listener's list */
	struct loop *loop;
	struct link_owner *owner;
	const struct link_events *events;
	void *ctx, *user;
	char self[WIRE_NAME_MAX + 1];
	char peer[ADDRESS_TEXT];
	char address[ADDRESS_TEXT];
	bool dialled, was_up;
	unsigned ping_ms, dead_ms;

	_Atomic(enum link_state) state;
	struct conn *conn;		/* set once, before UP; NULL: never connected */
	struct loop_op *timer;		/* end of HELLO's wait, then the ticks */
	uint64_t tick_ms;		/* when the next one is due */
	unsigned pings, probe_left;	/* PONGs outstanding; until the probe's */
	uint64_t probe_ns, rtt_us;
};

/* A link without a connection, for its `down`. NULL: no memory. */
struct link *link_new(struct loop *loop, const struct link_options *o,
		      struct link_owner *owner, bool dialled);
/* Takes fd, also on error, and begins HELLO. */
int link_open(struct link *l, int fd, const struct address *peer);
/* As link_end, bye apart (NULL: none). */
void link_down(struct link *l, const char *why, const char *bye);
/* Ends it with no event at all. */
void link_stop(struct link *l, const char *bye);
uint64_t link_silent_ms(struct link *l);

/* TCP_NODELAY, TCP_USER_TIMEOUT. */
void link_socket_setup(int fd, unsigned dead_ms);

#endif
