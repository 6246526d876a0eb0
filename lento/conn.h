/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * conn.h: one TCP connection that carries frames. Enters: a connected socket,
 * frames to send. Leaves: checked frames, or one "broken" with the reason. It
 * knows nothing of HELLO, names and redialling: that is link.h.
 *
 * What must always hold: memory is bounded before the peer is known (small
 * receive buffer, see conn_trust) and after (one large buffer, one queue); a
 * blocked sender is woken when the queue drains or the connection ends.
 */
#ifndef LENTO_CONN_H
#define LENTO_CONN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>
#include "lento/loop.h"
#include "lento/transport.h"
#include "lento/wire.h"

#define CONN_QUEUE_BYTES	(4u << 20)
#define CONN_WHY		256

struct conn;

struct conn_events {
	/* payload valid during the call. conn_end() may be called inside. */
	void (*frame)(void *ctx, const struct wire_header *h, const void *payload);
	/* The connection is at its end; once, and not after conn_end(). */
	void (*broken)(void *ctx, const char *why);
};

/* Takes fd and transport, also on error. The caller has one reference. */
int conn_new(struct loop *loop, int fd, struct transport *t,
	     const struct conn_events *events, void *ctx, struct conn **ret);
struct conn *conn_get(struct conn *c);
void conn_put(struct conn *c);

/* HELLO is through: frames of any size are taken from now on. */
void conn_trust(struct conn *c);
/* No more events. bye (NULL: none) is told to the peer, best effort, then the
 * socket is closed. */
void conn_end(struct conn *c, const char *bye);

/* As link_send_unless(), any thread: blocks while the queue is over its limit, but in
 * the loop's thread never: there it takes up to twice the limit, then -ENOBUFS.
 * 0, -ENOTCONN, -EMSGSIZE, -ENOMEM. */
int conn_send(struct conn *c, const struct wire_header *h,
	      const struct iovec *iov, int n, const atomic_bool *cancel);
/* Those that wait in conn_send() look at their cancel once more. */
void conn_wake(struct conn *c);

/* In the loop's thread. */
struct conn_stats { uint64_t in_bytes, out_bytes, queued_bytes, last_in_ms; };
void conn_stats(struct conn *c, struct conn_stats *ret);

#endif
