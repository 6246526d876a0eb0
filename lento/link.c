/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * link.c: one connection from HELLO to its end. Enters: frames of a conn, the
 * ticks of a timer. Leaves: up, frames for the channels, down with the reason.
 *
 *              HELLO good                     peer's error, silence, close
 *   LINK_HELLO ----------> LINK_UP --------------------------------------> LINK_DOWN
 *        \__________________________________________________________________^
 *                         bad HELLO, 10 s, close
 *
 * Both sides send a PING every LINK_PING_MS whatever else they send: so each
 * hears the other even when answers wait behind megabytes of data.
 */
#include "lento/link_private.h"

#include <assert.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LINK_INCOMPAT	0ull		/* features of HELLO that we know */

static_assert(LINK_QUEUE_BYTES == CONN_QUEUE_BYTES, "one queue, one limit");

/* Users' side -------------------------------------------------------------------- */

struct link *link_get(struct link *l)
{
	atomic_fetch_add(&l->refs, 1);
	return l;
}

void link_put(struct link *l)
{
	if (!l || atomic_fetch_sub(&l->refs, 1) > 1)
		return;
	conn_put(l->conn);
	free(l);
}

bool link_is_up(const struct link *l)
{
	return atomic_load(&((struct link *)l)->state) == LINK_UP;
}

bool link_was_up(const struct link *l)
{
	return l->was_up;
}

bool link_dialled(const struct link *l)
{
	return l->dialled;
}

const char *link_peer(const struct link *l)
{
	return l->peer;
}

const char *link_address(const struct link *l)
{
	return l->address;
}

void *link_ctx_get(struct link *l)
{
	return l->user;
}

void link_ctx_set(struct link *l, void *p)
{
	l->user = p;
}

static int send_frame(struct link *l, enum wire_type type, unsigned flags,
		      unsigned channel, const struct iovec *iov, int n,
		      const atomic_bool *cancel)
{
	struct wire_header h;
	int rc = wire_header_init(&h, type, flags, channel, iov, n);

	return rc < 0 ? rc : conn_send(l->conn, &h, iov, n, cancel);
}

int link_send(struct link *l, enum wire_type type, unsigned flags,
	      unsigned channel, const struct iovec *iov, int n)
{
	return link_send_unless(l, type, flags, channel, iov, n, NULL);
}

int link_send_unless(struct link *l, enum wire_type type, unsigned flags,
		     unsigned channel, const struct iovec *iov, int n,
		     const atomic_bool *cancel)
{
	if (!link_is_up(l))
		return -ENOTCONN;
	return send_frame(l, type, flags, channel, iov, n, cancel);
}

void link_wake(struct link *l)
{
	if (l->conn)
		conn_wake(l->conn);
}

void link_stats(struct link *l, struct link_stats *ret)
{
	struct conn_stats s = { 0 };

	if (l->conn)
		conn_stats(l->conn, &s);
	*ret = (struct link_stats){
		.in_bytes = s.in_bytes,
		.out_bytes = s.out_bytes,
		.queued_bytes = s.queued_bytes,
		.rtt_us = l->rtt_us,
	};
}

/* The end ------------------------------------------------------------------------ */

void link_stop(struct link *l, const char *bye)
{
	atomic_store(&l->state, LINK_DOWN);
	loop_cancel(l->loop, &l->timer);
	if (l->conn)
		conn_end(l->conn, bye);
}

void link_down(struct link *l, const char *why, const char *bye)
{
	char text[CONN_WHY];

	if (atomic_load(&l->state) == LINK_DOWN)
		return;
	snprintf(text, sizeof(text), "%s", why);	/* it may be part of what ends */
	link_stop(l, bye);
	l->owner->down(l->owner, l, text);
}

void link_end(struct link *l, const char *why)
{
	link_down(l, why, why);
}

/* HELLO -------------------------------------------------------------------------- */

static int hello_send(struct link *l)
{
	struct wire_hello m = {
		.magic = WIRE_MAGIC,
		.major = WIRE_VERSION_MAJOR,
		.minor = WIRE_VERSION_MINOR,
		.incompat = LINK_INCOMPAT,
	};
	struct iovec iov = { &m, sizeof(m) };

	memcpy(m.name, l->self, sizeof(m.name));
	return send_frame(l, WIRE_HELLO, 0, 0, &iov, 1, NULL);
}

static bool name_good(const char name[WIRE_NAME_MAX + 1])
{
	static const char set[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				  "0123456789._-";
	size_t n = strnlen(name, WIRE_NAME_MAX + 1);

	return n && n <= WIRE_NAME_MAX && strspn(name, set) == n;
}

/* The texts are read on both hosts. */
static bool hello_check(struct link *l, const struct wire_header *h,
			const struct wire_hello *m, char why[CONN_WHY])
{
	bool whole = h->len >= sizeof(*m);
	const char *name = whole && name_good(m->name) ? m->name : "peer";

	if (m->magic != WIRE_MAGIC)
		snprintf(why, CONN_WHY, "not an InterMezzo peer (HELLO with magic %08x)",
			 m->magic);
	else if (m->major != WIRE_VERSION_MAJOR)
		snprintf(why, CONN_WHY, "%s speaks protocol %u.%u, %s speaks %u.%u", name,
			 m->major, m->minor, l->self, WIRE_VERSION_MAJOR,
			 WIRE_VERSION_MINOR);
	else if (!whole || !name_good(m->name))
		snprintf(why, CONN_WHY, "HELLO without a proper name");
	else if (m->incompat & ~LINK_INCOMPAT)
		snprintf(why, CONN_WHY, "%s needs features %#llx that %s does not know",
			 name, (unsigned long long)(m->incompat & ~LINK_INCOMPAT), l->self);
	else
		return l->owner->admit(l->owner, l, name, why);
	return false;
}

static void tick_arm(struct link *l);

static void on_hello(struct link *l, const struct wire_header *h,
		     const struct wire_hello *m)
{
	char why[CONN_WHY];

	if (!hello_check(l, h, m, why))
		link_down(l, why, why);
	if (atomic_load(&l->state) == LINK_DOWN)
		return;		/* refused, or all was stopped meanwhile */
	snprintf(l->peer, sizeof(l->peer), "%s", m->name);
	if (!l->dialled && hello_send(l) < 0) {
		link_down(l, "out of memory", NULL);
		return;
	}
	conn_trust(l->conn);
	loop_cancel(l->loop, &l->timer);
	l->was_up = true;
	atomic_store(&l->state, LINK_UP);
	tick_arm(l);
	l->owner->up(l->owner, l);
	if (link_is_up(l))
		l->events->up(l->ctx, l);
}

/* Frames ------------------------------------------------------------------------- */

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void on_pong(struct link *l)
{
	if (l->pings)
		l->pings--;
	if (l->probe_left && --l->probe_left == 0)
		l->rtt_us = (now_ns() - l->probe_ns) / 1000;
}

static void on_bye(struct link *l, const struct wire_header *h, const char *text)
{
	char why[CONN_WHY];
	int n = h->len < 200 ? (int)h->len : 200;

	n = snprintf(why, sizeof(why), "the peer says: %.*s", n, text);
	for (char *p = why; *p; p++)
		if (*p < ' ' || *p > '~')
			*p = '?';
	link_down(l, why, NULL);
}

static void user_frame(struct link *l, const struct wire_header *h, const void *payload)
{
	char why[CONN_WHY];
	int rc = l->events->frame(l->ctx, l, h, payload);

	if (rc >= 0)
		return;
	snprintf(why, sizeof(why), "%s refused: %s", wire_type_name(h->type),
		 strerror(-rc));
	link_down(l, why, why);
}

static void on_frame(void *ctx, const struct wire_header *h, const void *payload)
{
	struct link *l = link_get(ctx);
	bool up = link_is_up(l);

	if (h->type == WIRE_BYE)
		on_bye(l, h, payload);
	else if (h->type == WIRE_HELLO && !up)
		on_hello(l, h, payload);
	else if (!up || h->type == WIRE_HELLO)
		link_end(l, "HELLO at the wrong time");
	else if (h->type == WIRE_PONG)
		on_pong(l);
	else if (h->type != WIRE_PING)
		user_frame(l, h, payload);
	else if (send_frame(l, WIRE_PONG, 0, 0, NULL, 0, NULL) == -ENOBUFS)
		link_end(l, "asks but does not read");
	link_put(l);
}

static void on_broken(void *ctx, const char *why)
{
	struct link *l = link_get(ctx);

	link_down(l, why, NULL);
	link_put(l);
}

/* Ticks -------------------------------------------------------------------------- */

uint64_t link_silent_ms(struct link *l)
{
	struct conn_stats s;

	conn_stats(l->conn, &s);
	return loop_now_ms() - s.last_in_ms;
}

static void ping(struct link *l)
{
	if (send_frame(l, WIRE_PING, 0, 0, NULL, 0, NULL) < 0)
		return;		/* full or at its end: both are seen elsewhere */
	l->pings++;
	if (!l->probe_left) {
		l->probe_left = l->pings;
		l->probe_ns = now_ns();
	}
}

static void on_tick(void *ctx, int res)
{
	struct link *l = ctx;
	/* After a stall of our own, what the peer sent is still unread. */
	bool late = loop_now_ms() > l->tick_ms + l->ping_ms;
	char why[CONN_WHY];

	if (res < 0)
		return;
	if (!late && link_silent_ms(l) > l->dead_ms) {
		snprintf(why, sizeof(why), "nothing heard for %u ms", l->dead_ms);
		link_end(l, why);
		return;
	}
	ping(l);
	tick_arm(l);
}

static void tick_arm(struct link *l)
{
	l->tick_ms = loop_now_ms() + l->ping_ms;
	/* It fails when the loop ends: then the link ends by its conn. */
	(void)loop_timer(l->loop, l->ping_ms, on_tick, l, &l->timer);
}

static void on_hello_timeout(void *ctx, int res)
{
	if (res == 0)
		link_end(ctx, "no HELLO in time");
}

/* Begin -------------------------------------------------------------------------- */

void link_socket_setup(int fd, unsigned dead_ms)
{
	int on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &dead_ms, sizeof(dead_ms));
}

struct link *link_new(struct loop *loop, const struct link_options *o,
		      struct link_owner *owner, bool dialled)
{
	struct link *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	atomic_store(&l->refs, 1);
	atomic_store(&l->state, LINK_HELLO);
	l->loop = loop;
	l->owner = owner;
	l->events = o->events;
	l->ctx = o->ctx;
	l->dialled = dialled;
	l->ping_ms = o->ping_ms ? o->ping_ms : LINK_PING_MS;
	l->dead_ms = o->dead_ms ? o->dead_ms : LINK_DEAD_MS;
	snprintf(l->self, sizeof(l->self), "%s", o->self);
	if (dialled)
		snprintf(l->peer, sizeof(l->peer), "%s", o->peer);
	return l;
}

int link_open(struct link *l, int fd, const struct address *peer)
{
	static const struct conn_events events = { on_frame, on_broken };
	struct transport *t = transport_plain_new();
	int rc;

	address_text(peer, l->address);
	if (!l->dialled)
		snprintf(l->peer, sizeof(l->peer), "%s", l->address);
	link_socket_setup(fd, l->dead_ms);
	rc = conn_new(l->loop, fd, t, &events, l, &l->conn);
	if (rc < 0)
		return rc;
	rc = loop_timer(l->loop, LINK_HELLO_MS, on_hello_timeout, l, &l->timer);
	if (rc == 0 && l->dialled)
		rc = hello_send(l);
	if (rc < 0)
		link_stop(l, NULL);
	return rc;
}
