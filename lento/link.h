/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * link.h: one connection between this host and a peer. Below: bytes in, bytes
 * out over TCP (conn.h, transport.h: TLS slips in there). Above: checked
 * frames, given to the channel that they name. Enters: an accepted or dialled
 * socket. Leaves: frames in order, or one event "down" with the reason.
 *
 *   dialled   connect, HELLO sent -> HELLO came -> UP -> DOWN
 *   accepted  waits for HELLO (10 s), answers it -> UP -> DOWN
 *
 * A struct link is one connection and dies with it: a thread that still holds
 * one can not send into the next connection by mistake. The dialler makes the
 * next one after a back-off (0.1 .. 5 s, doubling, jitter; from 0.1 s again
 * after 10 s UP).
 *
 * All in the loop's thread but link_send, link_is_up, link_get and link_put.
 */
#ifndef LENTO_LINK_H
#define LENTO_LINK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>
#include "lento/loop.h"
#include "lento/wire.h"

#define LINK_QUEUE_BYTES	(4u << 20)
#define LINK_PING_MS		2000
#define LINK_DEAD_MS		10000

struct link;

struct link_events {
	/* HELLO is through; the peer's name is known (for an accepted link it
	 * has been checked against serverdb by `known`). */
	void (*up)(void *ctx, struct link *l);
	/* One frame, never HELLO, PING, PONG or BYE; payload (aligned to 8) is
	 * valid during the call. Return -errno to end the link (a peer that
	 * speaks nonsense), or call link_end() with a better text. */
	int (*frame)(void *ctx, struct link *l, const struct wire_header *h,
		     const void *payload);
	/* why: one line. The last word about l, but for link_put. Comes
	 * without an `up` too: link_was_up() tells; then it is said once as
	 * long as a dialler fails for the same reason. */
	void (*down)(void *ctx, struct link *l, const char *why);
	/* May a host of this name be our peer? */
	bool (*known)(void *ctx, const char *name);
};

struct link_options {
	const char *self;		/* our name, for HELLO */
	const char *peer;		/* dialled: the name that must answer */
	const struct link_events *events;
	void *ctx;
	bool plain_any;			/* plaintext beyond loopback: tests only */
	unsigned ping_ms, dead_ms;	/* 0: LINK_PING_MS, LINK_DEAD_MS */
};

/* Listens on each "host:port" / "[v6]:port". Plaintext: an address that is not
 * loopback is refused with -EPERM unless plain_any. err: one line.
 *
 * One link a peer: while a living one is there (heard of within two pings and
 * a half) a second from the same name is refused with BYE; a silent one is
 * replaced. So two hosts of one name do not take turns. */
struct link_server;
int link_listen(struct loop *loop, const char *const *addresses, size_t n,
		const struct link_options *o, struct link_server **ret,
		char *err, size_t err_size);
unsigned link_listen_port(const struct link_server *s, size_t i);
void link_listen_stop(struct link_server *s);	/* its links too; no `down` */

/* Keeps one link to the peer, trying the addresses in turn. -EINVAL: not an
 * address; -EPERM as above (names are checked when they are looked up). Which
 * of two hosts dials is the owner's rule: exactly one of a pair. */
struct link_dialer;
int link_dial(struct loop *loop, const char *const *addresses, size_t n,
	      const struct link_options *o, struct link_dialer **ret, char *err,
	      size_t err_size);
void link_dial_stop(struct link_dialer *d);	/* its link too; no `down` */
void link_redial_now(struct link_dialer *d);	/* a route came back */

/* Ends the link: why is told to the peer and to `down`. */
void link_end(struct link *l, const char *why);

/* Frames iov as the payload of one frame. Any thread. Blocks while the queue is
 * full; in the loop's thread never, there -ENOBUFS at twice the limit. 0;
 * -ENOTCONN, for ever; -EMSGSIZE: no frame of that type is so long; -ENOMEM. */
int link_send(struct link *l, enum wire_type type, unsigned flags,
	      unsigned channel, const struct iovec *iov, int n);

/* The same, but -ENOTCONN as soon as *cancel is true and link_wake() was called:
 * for a thread that the loop's thread is about to join. */
int link_send_unless(struct link *l, enum wire_type type, unsigned flags,
		     unsigned channel, const struct iovec *iov, int n,
		     const atomic_bool *cancel);
void link_wake(struct link *l);

/* Counted: a thread that uses link_send holds one, so that the struct lives. */
struct link *link_get(struct link *l);
void link_put(struct link *l);

bool link_is_up(const struct link *l);
bool link_was_up(const struct link *l);		/* now or before its end */
bool link_dialled(const struct link *l);
/* The peer's name; of an accepted link before its HELLO: the address. */
const char *link_peer(const struct link *l);
const char *link_address(const struct link *l);	/* "" when it never connected */
void *link_ctx_get(struct link *l);		/* free for the user of the link */
void link_ctx_set(struct link *l, void *p);

/* rtt: of the last PING, the wait in both queues included. */
struct link_stats { uint64_t in_bytes, out_bytes, queued_bytes, rtt_us; };
void link_stats(struct link *l, struct link_stats *ret);

#endif
