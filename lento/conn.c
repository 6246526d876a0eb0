/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * conn.c: frames over one TCP connection. Enters: bytes of a peer, frames of
 * any thread. Leaves: frames in order, batched sends.
 *
 *   receive: socket -> transport -> rx (one buffer; a frame that lies whole in
 *            it is used there; the rest moves to the front when room runs out)
 *   send:    conn_send -> chunks -> one send at a time, a whole chunk each
 *
 * Whoever uses the struct holds a reference: the owner, each operation in the
 * kernel, a posted kick. The last one closes the socket and frees.
 */
#include "lento/conn.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "lib/cleanup.h"

#define RX_SMALL	(8u << 10)	/* until conn_trust: HELLO, BYE */
#define RX_LARGE	(2u << 20)
#define RX_LOW		(256u << 10)	/* less room than that: move to the front */
#define CHUNK_BYTES	(256u << 10)
#define LINGER_MS	1000

static_assert(RX_LARGE >= WIRE_PAYLOAD_MAX + sizeof(struct wire_header), "rx");

struct chunk {
	struct chunk *next;
	size_t len;
	char bytes[CHUNK_BYTES];
};

struct conn {
	atomic_int refs;
	struct loop *loop;
	int fd;
	struct transport *transport;
	const struct conn_events *events;
	void *ctx;
	bool ended, lingers, shut;	/* loop's thread; ended also under lock */
	char bye[CONN_WHY];

	char *rx;			/* [head, tail) is plaintext not yet used */
	size_t rx_size, head, tail;
	bool trusted;
	struct loop_op *recv_op, *send_op, *linger_op;
	struct span wire;		/* rest of what send_op is sending */
	int send_error;
	uint64_t in_bytes, out_bytes, last_in_ms;

	pthread_mutex_t lock;		/* guards what follows; before loop's lock */
	pthread_cond_t drained;
	struct chunk *first, *last;	/* being filled: last */
	struct chunk *sending, *spare;
	size_t queued;			/* bytes, those of `sending` too */
	bool kicked;			/* a kick is posted */
	bool torn;			/* no memory amid a frame: it must end */
};

static int recv_arm(struct conn *c);
static void send_next(struct conn *c);

struct conn *conn_get(struct conn *c)
{
	atomic_fetch_add(&c->refs, 1);
	return c;
}

void conn_put(struct conn *c)
{
	if (!c || atomic_fetch_sub(&c->refs, 1) > 1)
		return;
	while (c->first) {
		struct chunk *next = c->first->next;

		free(c->first);
		c->first = next;
	}
	free(c->sending);
	free(c->spare);
	c->transport->ops->free(c->transport);
	close(c->fd);
	free(c->rx);
	pthread_mutex_destroy(&c->lock);
	pthread_cond_destroy(&c->drained);
	free(c);
}

static void put_gone(void *ctx, int res)
{
	(void)res;
	conn_put(ctx);
}

/* The end ------------------------------------------------------------------------ */

/* The socket is through; operations let go of it one by one. */
static void conn_shut(struct conn *c)
{
	if (c->shut)
		return;
	c->shut = true;
	shutdown(c->fd, SHUT_RDWR);
	loop_cancel_then(c->loop, &c->recv_op, put_gone, c);
	loop_cancel_then(c->loop, &c->send_op, put_gone, c);
	loop_cancel_then(c->loop, &c->linger_op, put_gone, c);
}

static void on_linger(void *ctx, int res)
{
	struct conn *c = ctx;

	(void)res;
	conn_shut(c);
	conn_put(c);
}

/* Says why and closes our half. The rest of what the peer sends is read and
 * dropped for a while: a reset would destroy the text on its way. */
static void say_bye(struct conn *c)
{
	struct iovec iov = { c->bye, strlen(c->bye) };
	char frame[sizeof(struct wire_header) + CONN_WHY + WIRE_ALIGN] = "";
	struct wire_header h;
	struct span wire;

	if (wire_header_init(&h, WIRE_BYE, 0, 0, &iov, 1) < 0)
		return;
	memcpy(frame, &h, sizeof(h));
	memcpy(frame + sizeof(h), c->bye, iov.iov_len);
	if (c->transport->ops->out(c->transport,
				   (struct span){ frame, sizeof(h) + wire_padded(h.len) },
				   &wire) == 0 &&
	    send(c->fd, wire.p, wire.len, MSG_NOSIGNAL | MSG_DONTWAIT) > 0)
		c->out_bytes += wire.len;
	shutdown(c->fd, SHUT_WR);
}

/* Frames that wait are dropped; what the kernel is sending stays. */
static void queue_end(struct conn *c)
{
	hold_mutex(&c->lock);
	c->ended = true;
	while (c->first) {
		struct chunk *next = c->first->next;

		c->queued -= c->first->len;
		free(c->first);
		c->first = next;
	}
	c->last = NULL;
	pthread_cond_broadcast(&c->drained);
}

void conn_end(struct conn *c, const char *bye)
{
	if (c->ended)
		return;
	queue_end(c);
	if (!bye) {
		conn_shut(c);
		return;
	}
	snprintf(c->bye, sizeof(c->bye), "%s", bye);
	c->lingers = true;
	if (!c->send_op)
		say_bye(c);
	if (loop_timer(c->loop, LINGER_MS, on_linger, conn_get(c), &c->linger_op) < 0) {
		conn_put(c);
		conn_shut(c);
	}
}

static void conn_break(struct conn *c, const char *why, bool tell)
{
	if (c->ended)
		return;
	conn_end(c, tell ? why : NULL);
	c->events->broken(c->ctx, why);
}

static void conn_break_errno(struct conn *c, const char *what, int err)
{
	char why[CONN_WHY];

	snprintf(why, sizeof(why), "%s: %s", what, strerror(-err));
	conn_break(c, why, false);
}

/* Receive ------------------------------------------------------------------------ */

/* The first bytes of something else, for the message. */
static void not_a_peer(struct conn *c)
{
	char why[CONN_WHY], text[17];
	size_t n = c->tail - c->head;

	if (n > sizeof(text) - 1)
		n = sizeof(text) - 1;
	for (size_t i = 0; i < n; i++) {
		char b = c->rx[c->head + i];

		text[i] = b >= ' ' && b <= '~' ? b : '.';
	}
	text[n] = '\0';
	snprintf(why, sizeof(why), "not an InterMezzo peer (it began with \"%s\")", text);
	conn_break(c, why, true);
}

/* The next frame of the buffer; false when it is not whole yet, or the end. */
static bool frame_next(struct conn *c)
{
	size_t avail = c->tail - c->head, total;
	const struct wire_header *h = (const void *)(c->rx + c->head);
	char text[CONN_WHY];
	const char *why;

	if (c->ended || avail < sizeof(*h))
		return false;
	if (!c->trusted && h->type != WIRE_HELLO && h->type != WIRE_BYE) {
		not_a_peer(c);
		return false;
	}
	if (wire_check_header(h, &why) < 0) {
		if (!c->trusted) {
			not_a_peer(c);
			return false;
		}
		snprintf(text, sizeof(text), "%s (type %u, %u bytes)", why, h->type, h->len);
		conn_break(c, text, true);
		return false;
	}
	total = sizeof(*h) + wire_padded(h->len);
	if (avail < total)
		return false;
	if (wire_check_payload(h, h + 1, &why) < 0) {
		snprintf(text, sizeof(text), "%s (%s, %u bytes)", why,
			 wire_type_name(h->type), h->len);
		conn_break(c, text, true);
		return false;
	}
	c->head += total;
	c->events->frame(c->ctx, h, h + 1);
	return true;
}

/* Bytes that the frame at head needs, as far as is known. */
static size_t frame_need(const struct conn *c)
{
	const struct wire_header *h = (const void *)(c->rx + c->head);

	if (c->tail - c->head < sizeof(*h))
		return sizeof(*h);
	return sizeof(*h) + wire_padded(h->len);
}

/* Makes room for the rest of a frame. */
static int rx_room(struct conn *c)
{
	if (c->head == c->tail)
		c->head = c->tail = 0;
	if (c->trusted && c->rx_size < RX_LARGE) {
		char *rx = realloc(c->rx, RX_LARGE);

		if (!rx)
			return -ENOMEM;
		c->rx = rx;
		c->rx_size = RX_LARGE;
	}
	if (c->head && (c->head + frame_need(c) > c->rx_size ||
			c->rx_size - c->tail < RX_LOW)) {
		memmove(c->rx, c->rx + c->head, c->tail - c->head);
		c->tail -= c->head;
		c->head = 0;
	}
	return 0;
}

/* n wire bytes came: plaintext and its frames. */
static void received(struct conn *c, size_t n)
{
	const struct transport_ops *ops = c->transport->ops;
	const char *why = "transport";
	struct span room;
	ssize_t got;

	do {
		room = (struct span){ c->rx + c->tail, c->rx_size - c->tail };
		got = ops->in(c->transport, n, room, &why);
		if (got < 0) {
			conn_break(c, why, false);
			return;
		}
		c->tail += (size_t)got;
		n = 0;
		while (frame_next(c))
			;
		if (!c->ended && rx_room(c) < 0)
			conn_break(c, "out of memory", false);
	} while (!c->ended && got > 0 && !ops->through(c->transport));
}

static void on_recv(void *ctx, int res)
{
	struct conn *c = ctx;

	if (c->ended) {
		if (res <= 0)
			conn_shut(c);
	} else if (res <= 0 && c->send_error) {
		conn_break_errno(c, "send", c->send_error);
	} else if (res == 0) {
		conn_break(c, "closed by the peer", false);
	} else if (res < 0) {
		conn_break_errno(c, "receive", res);
	} else {
		c->in_bytes += (size_t)res;
		c->last_in_ms = loop_now_ms();
		received(c, (size_t)res);
	}
	if (!c->shut) {
		res = recv_arm(c);
		if (res < 0) {
			conn_break_errno(c, "receive", res);
			conn_shut(c);
		}
	}
	conn_put(c);
}

static int recv_arm(struct conn *c)
{
	struct span room = { c->rx + c->tail, c->rx_size - c->tail };
	int rc;

	if (c->ended)
		room = (struct span){ c->rx, c->rx_size };
	else
		room = c->transport->ops->in_space(c->transport, room);
	rc = loop_recv(c->loop, c->fd, room.p, room.len, on_recv, conn_get(c), &c->recv_op);
	if (rc < 0)
		conn_put(c);
	return rc;
}

/* Send --------------------------------------------------------------------------- */

/* The chunk was sent: its memory stays for the next one. */
static void chunk_done(struct conn *c)
{
	hold_mutex(&c->lock);
	c->queued -= c->sending->len;
	if (c->spare)
		free(c->sending);
	else
		c->spare = c->sending;
	c->sending = NULL;
	if (c->queued < CONN_QUEUE_BYTES)
		pthread_cond_broadcast(&c->drained);
}

/* A peer that closed may have said why: what it sent is read to its end first,
 * and then the receive side reports. */
static void on_sent(void *ctx, int res)
{
	struct conn *c = ctx;

	if (res == -EPIPE || res == -ECONNRESET) {
		c->send_error = res;
	} else if (res <= 0) {
		conn_break_errno(c, "send", res ? res : -EPIPE);
		conn_shut(c);
	} else {
		c->out_bytes += (size_t)res;
		c->wire.p = (char *)c->wire.p + res;
		c->wire.len -= (size_t)res;
		if (!c->wire.len)
			chunk_done(c);
		if (!c->shut)
			send_next(c);
	}
	conn_put(c);
}

/* Takes the next chunk to send; fillers go on in a new one. */
static struct chunk *chunk_take(struct conn *c)
{
	struct chunk *k;

	hold_mutex(&c->lock);
	c->kicked = false;
	k = c->first;
	if (!k)
		return NULL;
	c->first = k->next;
	if (!c->first)
		c->last = NULL;
	c->sending = k;
	return k;
}

static void send_next(struct conn *c)
{
	int rc = 0;

	if (!c->wire.len) {
		struct chunk *k;

		if (c->ended) {
			say_bye(c);
			return;
		}
		k = chunk_take(c);
		if (!k)
			return;
		rc = c->transport->ops->out(c->transport,
					    (struct span){ k->bytes, k->len }, &c->wire);
	}
	if (rc == 0) {
		rc = loop_send(c->loop, c->fd, c->wire.p, c->wire.len, on_sent,
			       conn_get(c), &c->send_op);
		if (rc < 0)
			conn_put(c);
	}
	if (rc < 0) {
		conn_break_errno(c, "send", rc);
		conn_shut(c);
	}
}

static bool queue_torn(struct conn *c)
{
	hold_mutex(&c->lock);
	return c->torn;
}

static void on_kick(void *ctx, int res)
{
	struct conn *c = ctx;

	(void)res;
	if (queue_torn(c))
		conn_break(c, "out of memory", false);
	else if (!c->ended && !c->send_op && !c->send_error)
		send_next(c);
	conn_put(c);
}

/* Appends bytes to the queue; lock held. */
static int queue_bytes(struct conn *c, const void *p, size_t len)
{
	while (len) {
		struct chunk *k = c->last;
		size_t n;

		if (!k || k->len == CHUNK_BYTES) {
			k = c->spare ? take_ptr(c->spare) : malloc(sizeof(*k));
			if (!k)
				return -ENOMEM;
			k->next = NULL;
			k->len = 0;
			if (c->last)
				c->last->next = k;
			else
				c->first = k;
			c->last = k;
		}
		n = CHUNK_BYTES - k->len < len ? CHUNK_BYTES - k->len : len;
		memcpy(k->bytes + k->len, p, n);
		k->len += n;
		c->queued += n;
		p = (const char *)p + n;
		len -= n;
	}
	return 0;
}

static int queue_frame(struct conn *c, const struct wire_header *h,
		       const struct iovec *iov, int n)
{
	static const char zero[WIRE_ALIGN];
	int rc = queue_bytes(c, h, sizeof(*h));

	for (int i = 0; i < n && rc == 0; i++)
		rc = queue_bytes(c, iov[i].iov_base, iov[i].iov_len);
	if (rc == 0)
		rc = queue_bytes(c, zero, wire_padded(h->len) - h->len);
	return rc;
}

void conn_wake(struct conn *c)
{
	hold_mutex(&c->lock);
	pthread_cond_broadcast(&c->drained);
}

int conn_send(struct conn *c, const struct wire_header *h, const struct iovec *iov,
	      int n, const atomic_bool *cancel)
{
	bool here = loop_here(c->loop), kick;
	int rc;

	{
		hold_mutex(&c->lock);
		while (!here && !c->ended && c->queued >= CONN_QUEUE_BYTES &&
		       !(cancel && *cancel))
			pthread_cond_wait(&c->drained, &c->lock);
		if (c->ended || (cancel && *cancel))
			return -ENOTCONN;
		if (here && c->queued >= 2 * CONN_QUEUE_BYTES)
			return -ENOBUFS;
		rc = queue_frame(c, h, iov, n);
		c->torn |= rc < 0;
		kick = c->torn || (!c->sending && !c->kicked);
		if (kick)
			c->kicked = true;
	}
	if (kick && loop_post(c->loop, on_kick, conn_get(c)) < 0) {
		hold_mutex(&c->lock);
		c->kicked = false;	/* the next one tries again */
		atomic_fetch_sub(&c->refs, 1);	/* never the last: the caller's */
		rc = -ENOMEM;
	}
	return rc;
}

/* Begin -------------------------------------------------------------------------- */

int conn_new(struct loop *loop, int fd, struct transport *t,
	     const struct conn_events *events, void *ctx, struct conn **ret)
{
	struct conn *c = calloc(1, sizeof(*c));
	int rc;

	if (c)
		c->rx = malloc(RX_SMALL);
	if (!c || !c->rx) {
		free(c);
		t->ops->free(t);
		close(fd);
		return -ENOMEM;
	}
	atomic_store(&c->refs, 1);
	c->loop = loop;
	c->fd = fd;
	c->transport = t;
	c->events = events;
	c->ctx = ctx;
	c->rx_size = RX_SMALL;
	c->last_in_ms = loop_now_ms();
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->drained, NULL);
	rc = recv_arm(c);
	if (rc < 0) {
		conn_put(c);
		return rc;
	}
	*ret = c;
	return 0;
}

void conn_trust(struct conn *c)
{
	c->trusted = true;
}

void conn_stats(struct conn *c, struct conn_stats *ret)
{
	hold_mutex(&c->lock);
	*ret = (struct conn_stats){
		.in_bytes = c->in_bytes,
		.out_bytes = c->out_bytes,
		.queued_bytes = c->queued,
		.last_in_ms = c->last_in_ms,
	};
}
