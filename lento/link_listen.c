/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * link_listen.c: takes connections and keeps one link a peer. Enters: sockets
 * of anybody who can reach us. Leaves: links whose name `known` admits.
 *
 * What must always hold: strangers cost little (a small buffer, PENDING_MAX at
 * most before their HELLO); trouble in accept (no descriptors left) waits, it
 * does not spin; a living link is not pushed out by a second of its name.
 */
#include "lento/link_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "lib/cleanup.h"

#define PENDING_MAX	64
#define FOUND_MAX	8
#define SOCKETS_MAX	64
#define PAUSE_MS	200
#define BIND_TRIES	100		/* of BIND_PAUSE_US: 5 s */
#define BIND_PAUSE_US	50000

struct listener {
	struct link_server *s;
	int fd;
	struct loop_op *op;		/* accept, or the pause after an error */
};

struct link_server {
	struct link_owner owner;
	struct loop *loop;
	struct link_options o;
	char *self;
	struct link *links;
	size_t nsockets;
	struct listener *socket[SOCKETS_MAX];
};

static void accept_arm(struct listener *s);

/* Owner of the links ------------------------------------------------------------- */

static void links_remove(struct link_server *s, struct link *l)
{
	struct link **p = &s->links;

	while (*p && *p != l)
		p = &(*p)->next;
	if (*p)
		*p = l->next;
}

static void listen_down(struct link_owner *o, struct link *l, const char *why)
{
	struct link_server *s = (struct link_server *)o;

	links_remove(s, l);
	s->o.events->down(s->o.ctx, l, why);
	link_put(l);
}

static void listen_up(struct link_owner *o, struct link *l)
{
	(void)o;
	(void)l;
}

static bool listen_admit(struct link_owner *o, struct link *l, const char *name,
			 char why[CONN_WHY])
{
	struct link_server *s = (struct link_server *)o;
	struct link *old = s->links;

	if (strcmp(name, s->self) == 0 || !s->o.events->known(s->o.ctx, name)) {
		snprintf(why, CONN_WHY, "%s does not know a peer %s", s->self, name);
		return false;
	}
	while (old && !(link_is_up(old) && strcmp(old->peer, name) == 0))
		old = old->next;
	if (!old)
		return true;
	if (link_silent_ms(old) <= old->ping_ms * 5 / 2) {
		snprintf(why, CONN_WHY, "%s is connected to %s already, from %s", name,
			 s->self, old->address);
		return false;
	}
	snprintf(why, CONN_WHY, "replaced by a new connection from %s", l->address);
	link_end(old, why);
	return true;
}

/* Accept ------------------------------------------------------------------------- */

static unsigned pending(const struct link_server *s)
{
	unsigned n = 0;

	for (struct link *l = s->links; l; l = l->next)
		n += !link_is_up(l);
	return n;
}

static void accepted(struct link_server *s, int accepted_fd)
{
	_cleanup_fd_ int fd = accepted_fd;
	struct address peer;
	struct link *l;

	if (address_peer(fd, &peer) < 0 || pending(s) >= PENDING_MAX)
		return;
	if (!s->o.plain_any && !address_loopback(&peer))
		return;
	l = link_new(s->loop, &s->o, &s->owner, false);
	if (!l)
		return;
	if (link_open(l, take_fd(&fd), &peer) < 0) {
		link_put(l);
		return;
	}
	l->next = s->links;
	s->links = l;
}

static void on_pause(void *ctx, int res)
{
	if (res == 0)
		accept_arm(ctx);
}

static void on_accept(void *ctx, int res)
{
	struct listener *k = ctx;

	if (res == -ECANCELED)
		return;
	if (res >= 0)
		accepted(k->s, res);
	if (res >= 0 || res == -ECONNABORTED)
		accept_arm(k);
	else
		(void)loop_timer(k->s->loop, PAUSE_MS, on_pause, k, &k->op);
}

static void accept_arm(struct listener *k)
{
	if (loop_accept(k->s->loop, k->fd, on_accept, k, &k->op) < 0)
		(void)loop_timer(k->s->loop, PAUSE_MS, on_pause, k, &k->op);
}

/* The kernel let go of the listening socket. */
static void listener_gone(void *ctx, int res)
{
	struct listener *k = ctx;

	if (res > 0)
		close(res);	/* accepted at the last moment */
	close(k->fd);
	free(k);
}

/* Begin and end ------------------------------------------------------------------ */

/* A lento that was killed holds its port until the kernel has taken its ring
 * apart, which happens after its end. */
static int bind_patiently(int fd, const struct address *a)
{
	for (int i = 0; bind(fd, &a->sa, a->len) < 0; i++) {
		if (errno != EADDRINUSE || i == BIND_TRIES)
			return -errno;
		usleep(BIND_PAUSE_US);
	}
	return 0;
}

static int listen_socket(const struct address *a)
{
	_cleanup_fd_ int fd = socket(a->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int on = 1, e;

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (a->sa.sa_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	e = bind_patiently(fd, a);
	if (!e && listen(fd, 128) < 0)
		e = -errno;
	return e ? e : take_fd(&fd);
}

static int listen_on(struct link_server *s, const struct address *a)
{
	struct listener *k;

	if (!s->o.plain_any && !address_loopback(a))
		return -EPERM;
	if (s->nsockets == SOCKETS_MAX)
		return -E2BIG;
	k = calloc(1, sizeof(*k));
	if (!k)
		return -ENOMEM;
	k->s = s;
	k->fd = listen_socket(a);
	if (k->fd < 0) {
		int rc = k->fd;

		free(k);
		return rc;
	}
	s->socket[s->nsockets++] = k;
	accept_arm(k);
	return 0;
}

static int listen_text(struct link_server *s, const char *text, char *err,
		       size_t err_size)
{
	struct address found[FOUND_MAX];
	const char *why = "";
	int n = address_lookup(text, found, FOUND_MAX, &why);

	if (n < 0) {
		snprintf(err, err_size, "listen %s: %s", text, why);
		return n;
	}
	for (int i = 0; i < n; i++) {
		int rc = listen_on(s, &found[i]);

		if (rc < 0) {
			snprintf(err, err_size, "listen %s: %s", text, rc == -EPERM ?
				 "plaintext is refused beyond loopback" : strerror(-rc));
			return rc;
		}
	}
	return 0;
}

int link_listen(struct loop *loop, const char *const *addresses, size_t n,
		const struct link_options *o, struct link_server **ret, char *err,
		size_t err_size)
{
	struct link_server *s = calloc(1, sizeof(*s));

	if (s)
		s->self = strdup(o->self);
	if (!s || !s->self) {
		free(s);
		snprintf(err, err_size, "out of memory");
		return -ENOMEM;
	}
	s->owner = (struct link_owner){ listen_admit, listen_up, listen_down };
	s->loop = loop;
	s->o = *o;
	s->o.self = s->self;
	for (size_t i = 0; i < n; i++) {
		int rc = listen_text(s, addresses[i], err, err_size);

		if (rc < 0) {
			link_listen_stop(s);
			return rc;
		}
	}
	*ret = s;
	return 0;
}

unsigned link_listen_port(const struct link_server *s, size_t i)
{
	struct address a = { .len = sizeof(a.in6) };

	if (i >= s->nsockets || getsockname(s->socket[i]->fd, &a.sa, &a.len) < 0)
		return 0;
	return ntohs(a.sa.sa_family == AF_INET6 ? a.in6.sin6_port : a.in4.sin_port);
}

void link_listen_stop(struct link_server *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->nsockets; i++) {
		struct listener *k = s->socket[i];

		if (k->op)
			loop_cancel_then(s->loop, &k->op, listener_gone, k);
		else
			listener_gone(k, 0);
	}
	while (s->links) {
		struct link *l = s->links;

		s->links = l->next;
		link_stop(l, "stopping");
		link_put(l);
	}
	free(s->self);
	free(s);
}
