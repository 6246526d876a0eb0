/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * link_dial.c: keeps one link to a peer. Enters: its addresses. Leaves: links,
 * one after the other.
 *
 *   round: every address, every socket address of it -> connect -> link
 *          all failed, or the link was UP and went down
 *            -> wait (back-off with jitter) -> next round
 *
 * What must always hold: at most one attempt or one link or one timer at a
 * time; a reason is reported once, not every five seconds.
 */
#include "lento/link_private.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BACKOFF_MIN_MS	100
#define BACKOFF_MAX_MS	5000
#define STEADY_MS	10000	/* UP for so long: the back-off starts anew */
#define FOUND_MAX	8

/* A connect under way: the kernel uses fd and address until its end. */
struct attempt {
	struct link_dialer *d;
	int fd;
	struct address to;
};

struct link_dialer {
	struct link_owner owner;
	struct loop *loop;
	struct link_options o;
	char *self, *peer;
	char **address;
	size_t naddress, next_address;
	struct address found[FOUND_MAX];
	int nfound, next_found;

	struct resolve *resolve;
	struct attempt *attempt;
	struct loop_op *op;		/* of resolve or attempt */
	struct loop_op *timer;		/* of attempt, or the back-off */
	struct link *link;
	uint64_t up_ms;
	unsigned backoff_ms;
	char why[CONN_WHY];		/* of the last failure in this round */
	char reported[CONN_WHY];
};

static void dial_next(struct link_dialer *d);

static void dial_round(struct link_dialer *d)
{
	d->next_address = 0;
	d->nfound = d->next_found = 0;
	d->why[0] = '\0';
	dial_next(d);
}

static void on_backoff(void *ctx, int res)
{
	if (res == 0)
		dial_round(ctx);
}

static void dial_wait(struct link_dialer *d)
{
	/* 75 .. 125 %: hosts that lost the same server do not return as one. */
	unsigned ms = d->backoff_ms * 3 / 4 + arc4random_uniform(d->backoff_ms / 2 + 1);

	d->backoff_ms *= 2;
	if (d->backoff_ms > BACKOFF_MAX_MS)
		d->backoff_ms = BACKOFF_MAX_MS;
	/* Fails only when the loop ends. */
	(void)loop_timer(d->loop, ms, on_backoff, d, &d->timer);
}

static void report(struct link_dialer *d, struct link *l, const char *why)
{
	if (!link_was_up(l) && strcmp(d->reported, why) == 0)
		return;
	snprintf(d->reported, sizeof(d->reported), "%s", why);
	d->o.events->down(d->o.ctx, l, why);
}

/* Nobody answered: the event needs a link to name the peer. */
static void round_failed(struct link_dialer *d)
{
	struct link *l = link_new(d->loop, &d->o, &d->owner, true);

	dial_wait(d);
	if (!l)
		return;
	link_stop(l, NULL);
	report(d, l, d->why);
	link_put(l);
}

/* Owner of the link -------------------------------------------------------------- */

static bool dial_admit(struct link_owner *o, struct link *l, const char *name,
		       char why[CONN_WHY])
{
	struct link_dialer *d = (struct link_dialer *)o;

	if (strcmp(name, d->peer) == 0)
		return true;
	snprintf(why, CONN_WHY, "%s answers at %s, where %s expects %s", name,
		 link_address(l), d->self, d->peer);
	return false;
}

static void dial_up(struct link_owner *o, struct link *l)
{
	struct link_dialer *d = (struct link_dialer *)o;

	(void)l;
	d->up_ms = loop_now_ms();
	d->reported[0] = '\0';
}

static void dial_down(struct link_owner *o, struct link *l, const char *why)
{
	struct link_dialer *d = (struct link_dialer *)o;

	d->link = NULL;
	if (!link_was_up(l)) {
		snprintf(d->why, sizeof(d->why), "%s", why);
		link_put(l);
		dial_next(d);
		return;
	}
	if (loop_now_ms() - d->up_ms >= STEADY_MS)
		d->backoff_ms = BACKOFF_MIN_MS;
	dial_wait(d);
	report(d, l, why);
	link_put(l);
}

/* One attempt -------------------------------------------------------------------- */

static void attempt_free(struct attempt *a)
{
	if (a->fd >= 0)
		close(a->fd);
	free(a);
}

static void attempt_gone(void *ctx, int res)
{
	(void)res;
	attempt_free(ctx);
}

static void attempt_failed(struct link_dialer *d, const struct address *to, int err)
{
	char text[ADDRESS_TEXT];

	address_text(to, text);
	snprintf(d->why, sizeof(d->why), "%s: %s", text, strerror(-err));
}

/* true: a link is there. */
static bool attempt_link(struct link_dialer *d, struct attempt *a)
{
	struct link *l = link_new(d->loop, &d->o, &d->owner, true);
	int fd = a->fd, rc = -ENOMEM;

	if (l) {
		a->fd = -1;
		rc = link_open(l, fd, &a->to);
	}
	if (rc < 0) {
		attempt_failed(d, &a->to, rc);
		link_put(l);
		return false;
	}
	d->link = l;
	return true;
}

static void on_connect(void *ctx, int res)
{
	struct attempt *a = ctx;
	struct link_dialer *d = a->d;
	bool linked = false;

	d->attempt = NULL;
	loop_cancel(d->loop, &d->timer);
	if (res < 0)
		attempt_failed(d, &a->to, res);
	else
		linked = attempt_link(d, a);
	attempt_free(a);
	if (!linked)
		dial_next(d);
}

static void on_connect_timeout(void *ctx, int res)
{
	struct link_dialer *d = ctx;

	if (res < 0)
		return;
	attempt_failed(d, &d->attempt->to, -ETIMEDOUT);
	loop_cancel_then(d->loop, &d->op, attempt_gone, d->attempt);
	d->attempt = NULL;
	dial_next(d);
}

static int attempt_start(struct link_dialer *d, const struct address *to)
{
	struct attempt *a;
	int rc;

	if (!d->o.plain_any && !address_loopback(to))
		return -EPERM;
	a = malloc(sizeof(*a));
	if (!a)
		return -ENOMEM;
	*a = (struct attempt){ .d = d, .to = *to };
	a->fd = socket(to->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	rc = a->fd < 0 ? -errno
		       : loop_timer(d->loop, LINK_HELLO_MS, on_connect_timeout, d, &d->timer);
	if (rc == 0) {
		link_socket_setup(a->fd, LINK_DEAD_MS);
		rc = loop_connect(d->loop, a->fd, &a->to.sa, a->to.len, on_connect, a,
				  &d->op);
	}
	if (rc < 0) {
		loop_cancel(d->loop, &d->timer);
		attempt_free(a);
		return rc;
	}
	d->attempt = a;
	return 0;
}

/* Addresses ---------------------------------------------------------------------- */

static void on_resolved(void *ctx, int res)
{
	struct link_dialer *d = ctx;
	const char *why = "look-up failed";

	(void)res;
	d->nfound = resolve_end(d->resolve, d->found, FOUND_MAX, &why);
	resolve_free(d->resolve);
	d->resolve = NULL;
	if (d->nfound < 0)
		snprintf(d->why, sizeof(d->why), "%s: %s",
			 d->address[d->next_address - 1], why);
	dial_next(d);
}

static void resolve_gone(void *ctx, int res)
{
	(void)res;
	resolve_free(ctx);
}

/* The next address text: found[] is filled, or (-EINPROGRESS) will be. */
static int address_next(struct link_dialer *d)
{
	const char *text = d->address[d->next_address++];
	int rc;

	d->next_found = 0;
	d->nfound = address_number(text, d->found) == 0;
	if (d->nfound)
		return 0;
	rc = resolve_start(text, &d->resolve);
	if (rc == 0)
		rc = loop_poll(d->loop, resolve_fd(d->resolve), POLLIN, on_resolved, d,
			       &d->op);
	if (rc == 0)
		return -EINPROGRESS;
	resolve_free(d->resolve);
	d->resolve = NULL;
	snprintf(d->why, sizeof(d->why), "%s: %s", text, strerror(-rc));
	return 0;
}

/* Tries what is left of this round, until something is under way. */
static void dial_next(struct link_dialer *d)
{
	for (;;) {
		const struct address *to;
		int rc;

		if (d->next_found >= d->nfound) {
			if (d->next_address == d->naddress) {
				round_failed(d);
				return;
			}
			if (address_next(d) == -EINPROGRESS)
				return;
			continue;
		}
		to = &d->found[d->next_found++];
		rc = attempt_start(d, to);
		if (rc == 0)
			return;
		attempt_failed(d, to, rc);
		if (rc == -EPERM)
			snprintf(d->why, sizeof(d->why), "%s is not a loopback address: "
				 "plaintext is refused", d->address[d->next_address - 1]);
	}
}

/* Begin and end ------------------------------------------------------------------ */

static void dialer_free(struct link_dialer *d)
{
	for (size_t i = 0; i < d->naddress; i++)
		free(d->address[i]);
	free(d->address);
	free(d->self);
	free(d->peer);
	free(d);
}

static int address_allowed(const char *text, bool any, char *err, size_t err_size)
{
	struct address a;
	int rc = address_number(text, &a);

	if (rc == -EINVAL) {
		snprintf(err, err_size, "%s: not host:port or [v6]:port", text);
		return rc;
	}
	if (rc == 0 && !any && !address_loopback(&a)) {
		snprintf(err, err_size, "%s: plaintext is refused beyond loopback", text);
		return -EPERM;
	}
	return 0;
}

static struct link_dialer *dialer_new(const char *const *addresses, size_t n,
				      const struct link_options *o)
{
	struct link_dialer *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->o = *o;
	d->o.self = d->self = strdup(o->self);
	d->o.peer = d->peer = strdup(o->peer);
	d->address = calloc(n + 1, sizeof(*d->address));
	if (!d->self || !d->peer || !d->address)
		goto free_dialer;
	for (size_t i = 0; i < n; i++) {
		d->address[i] = strdup(addresses[i]);
		if (!d->address[i])
			goto free_dialer;
		d->naddress++;
	}
	return d;

free_dialer:
	dialer_free(d);
	return NULL;
}

int link_dial(struct loop *loop, const char *const *addresses, size_t n,
	      const struct link_options *o, struct link_dialer **ret, char *err,
	      size_t err_size)
{
	struct link_dialer *d;

	if (!n) {
		snprintf(err, err_size, "%s has no address", o->peer);
		return -EINVAL;
	}
	for (size_t i = 0; i < n; i++) {
		int rc = address_allowed(addresses[i], o->plain_any, err, err_size);

		if (rc < 0)
			return rc;
	}
	d = dialer_new(addresses, n, o);
	if (!d) {
		snprintf(err, err_size, "out of memory");
		return -ENOMEM;
	}
	d->owner = (struct link_owner){ dial_admit, dial_up, dial_down };
	d->loop = loop;
	d->backoff_ms = BACKOFF_MIN_MS;
	*ret = d;
	/* Begins in the loop: no event comes before the caller has *ret. */
	if (loop_timer(loop, 0, on_backoff, d, &d->timer) < 0) {
		snprintf(err, err_size, "out of memory");
		dialer_free(d);
		return -ENOMEM;
	}
	return 0;
}

void link_dial_stop(struct link_dialer *d)
{
	if (!d)
		return;
	loop_cancel(d->loop, &d->timer);
	if (d->attempt)
		loop_cancel_then(d->loop, &d->op, attempt_gone, d->attempt);
	if (d->resolve)
		loop_cancel_then(d->loop, &d->op, resolve_gone, d->resolve);
	if (d->link) {
		link_stop(d->link, "stopping");
		link_put(d->link);
	}
	dialer_free(d);
}

void link_redial_now(struct link_dialer *d)
{
	if (d->link || d->attempt || d->resolve)
		return;
	loop_cancel(d->loop, &d->timer);
	d->backoff_ms = BACKOFF_MIN_MS;
	dial_round(d);
}
