// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * fileset.c: see fileset.h.
 */
#include "lento/fileset.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "lento/fileset_priv.h"
#include "lib/cleanup.h"
#include "lib/log.h"

enum fileset_role fileset_role_of(const struct conf *c,
				  const struct conf_fileset *f)
{
	if (!strcmp(f->server, c->self))
		return FILESET_SERVER;
	for (size_t i = 0; i < f->nreplicator; i++)
		if (!strcmp(f->replicator[i], c->self))
			return FILESET_REPLICATOR;
	return FILESET_NONE;
}

/* --- the source's events ---------------------------------------------- */

static void on_ready_loop(void *ctx, int res)
{
	struct fileset *f = ctx;
	int e;

	(void)res;
	e = peers_open(source_state_fd(f->source), f->conf, &f->peers);
	if (e) {
		hold_mutex(&f->lock);
		snprintf(f->error, sizeof(f->error), "peers file: %s", strerror(-e));
		log_err("fileset %s: %s", f->conf->name, f->error);
		return;
	}
	f->ready = true;
	log_info("fileset %s: capture is armed", f->conf->name);
}

static void on_ready(void *ctx)
{
	struct fileset *f = ctx;

	loop_post(f->loop, on_ready_loop, f);
}

static void on_advanced(void *ctx)
{
	struct fileset *f = ctx;
	hold_mutex(&f->lock);

	for (struct fileset_ship *s = f->ships; s; s = s->next)
		ship_grown(s->ship);
}

static void drop_ships(struct fileset *f, struct link *l, const char *why);

static void on_resync_loop(void *ctx, int res)
{
	(void)res;
	drop_ships(ctx, NULL, "the journal has a new epoch");
}

static void on_resync(void *ctx)
{
	struct fileset *f = ctx;

	loop_post(f->loop, on_resync_loop, f);
}

static void on_failed(void *ctx, const char *why)
{
	struct fileset *f = ctx;

	log_err("fileset %s: STOPPED: %s", f->conf->name, why);
	pthread_mutex_lock(&f->lock);
	snprintf(f->error, sizeof(f->error), "%s", why);
	pthread_mutex_unlock(&f->lock);
}

static const struct source_events source_events = {
	.ready = on_ready, .advanced = on_advanced, .resync = on_resync,
	.failed = on_failed,
};

/* --- start and stop --------------------------------------------------- */

int fileset_start(struct loop *loop, const struct conf *c,
		  const struct conf_fileset *conf, const struct capture_ops *capture,
		  unsigned channel, struct fileset **ret, char *err,
		  size_t err_size)
{
	struct fileset *f = calloc(1, sizeof(*f));
	int e;

	if (!f)
		return -ENOMEM;
	f->conf = conf;
	f->role = fileset_role_of(c, conf);
	f->loop = loop;
	pthread_mutex_init(&f->lock, NULL);
	e = f->role == FILESET_SERVER ?
	    source_start(conf, capture, &source_events, f, &f->source, err, err_size) :
	    receive_start(conf, channel, &f->receive, err, err_size);
	if (e) {
		free(f);
		return e;
	}
	*ret = f;
	return 0;
}

/* From where on a peer needs the journal: what it has durably, or, while it
 * fills, where its stream will start. */
static void note_peer(struct fileset *f, const char *peer, const struct ship_stats *st)
{
	if (st->durable.epoch && st->durable.epoch == st->start.epoch)
		peers_set(f->peers, peer, &st->durable);
	else if (st->needs.epoch)
		peers_set(f->peers, peer, &st->needs);
}

static void free_ship(struct fileset *f, struct fileset_ship *s)
{
	struct ship_stats st;

	ship_stats(s->ship, &st);
	if (f->peers)
		note_peer(f, s->peer, &st);
	ship_stop(s->ship);
	free(s->peer);
	free(s);
}

/* Takes the ships of a link (NULL: all) out and stops them. why: the replica is
 * told to attach again. */
static void drop_ships(struct fileset *f, struct link *l, const char *why)
{
	struct fileset_ship **p = &f->ships, *out = NULL, *s;

	pthread_mutex_lock(&f->lock);
	while (*p) {
		s = *p;
		if (l && ship_link(s->ship) != l) {
			p = &s->next;
			continue;
		}
		*p = s->next;
		s->next = out;
		out = s;
	}
	pthread_mutex_unlock(&f->lock);
	while ((s = out)) {
		struct iovec iov = { (void *)why, why ? strlen(why) : 0 };

		out = s->next;
		if (why)
			link_send(ship_link(s->ship), WIRE_REFUSED, 0,
				  ship_channel(s->ship), &iov, 1);
		free_ship(f, s);
	}
}

void fileset_stop(struct fileset *f, bool keep)
{
	if (!f)
		return;
	drop_ships(f, NULL, NULL);
	if (f->peers)
		peers_save(f->peers);
	source_stop(f->source, keep);
	receive_stop(f->receive);
	loop_forget_posts(f->loop, f);
	peers_free(f->peers);
	pthread_mutex_destroy(&f->lock);
	free(f);
}

const struct conf_fileset *fileset_conf(const struct fileset *f)
{
	return f->conf;
}

enum fileset_role fileset_role(const struct fileset *f)
{
	return f->role;
}

/* --- links ------------------------------------------------------------ */

void fileset_link_up(struct fileset *f, struct link *l)
{
	if (f->receive && !strcmp(link_peer(l), f->conf->server))
		receive_up(f->receive, l);
}

void fileset_link_down(struct fileset *f, struct link *l)
{
	drop_ships(f, l, NULL);
	if (f->receive && !strcmp(link_peer(l), f->conf->server))
		receive_down(f->receive);
}

static bool is_replicator(const struct fileset *f, const char *peer)
{
	for (size_t i = 0; i < f->conf->nreplicator; i++)
		if (!strcmp(f->conf->replicator[i], peer))
			return true;
	return false;
}

static void drop_peer(struct fileset *f, const char *peer)
{
	struct fileset_ship **p = &f->ships, *out = NULL;

	pthread_mutex_lock(&f->lock);
	for (; *p; p = &(*p)->next)
		if (!strcmp((*p)->peer, peer)) {
			out = *p;
			*p = out->next;
			break;
		}
	pthread_mutex_unlock(&f->lock);
	if (out)
		free_ship(f, out);
}

int fileset_attach(struct fileset *f, struct link *l, unsigned channel,
		   const struct wire_attach *a, char *err, size_t err_size)
{
	struct fileset_ship *s;
	int e;

	if (f->role != FILESET_SERVER || !is_replicator(f, link_peer(l))) {
		snprintf(err, err_size, "%s does not serve fileset %s to %s",
			 f->conf->server, f->conf->name, link_peer(l));
		return -EPERM;
	}
	if (!f->ready) {
		hold_mutex(&f->lock);
		snprintf(err, err_size, "fileset %s: %s", f->conf->name,
			 f->error[0] ? f->error : "the server is starting");
		return -EAGAIN;
	}
	drop_peer(f, link_peer(l));
	s = calloc(1, sizeof(*s));
	if (!s || !(s->peer = strdup(link_peer(l)))) {
		free(s);
		return -ENOMEM;
	}
	e = ship_start(f->source, l, channel, f->conf->name, a, &s->ship);
	if (e) {
		free(s->peer);
		free(s);
		return e;
	}
	pthread_mutex_lock(&f->lock);
	s->next = f->ships;
	f->ships = s;
	pthread_mutex_unlock(&f->lock);
	return 0;
}

int fileset_ship_frame(struct fileset *f, struct link *l,
		       const struct wire_header *h, const void *payload)
{
	for (struct fileset_ship *s = f->ships; s; s = s->next)
		if (ship_link(s->ship) == l && ship_channel(s->ship) == h->channel)
			return ship_frame(s->ship, h, payload);
	return -ENOENT;
}

int fileset_receive_frame(struct fileset *f, const struct wire_header *h,
			  const void *payload)
{
	return f->receive ? receive_frame(f->receive, h, payload) : -EBADMSG;
}

/* --- now and then ----------------------------------------------------- */

void fileset_tick(struct fileset *f)
{
	struct izo_pos end;
	uint64_t least;
	int e;

	if (!f->ready)
		return;
	for (struct fileset_ship *s = f->ships; s; s = s->next) {
		struct ship_stats st;

		ship_stats(s->ship, &st);
		note_peer(f, s->peer, &st);
	}
	e = peers_save(f->peers);
	if (e) {
		log_err("fileset %s: cannot save the peers file: %s",
			f->conf->name, strerror(-e));
		return;
	}
	journal_end(source_journal(f->source), &end);
	least = peers_least(f->peers);
	source_trim(f->source, least < end.seq ? least : end.seq);
}
