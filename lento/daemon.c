// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * daemon.c: see daemon.h. Frames find their fileset here: ATTACH by UUID, what
 * a replica says by {link, channel}, what a source says by our own channel
 * number (the fileset's index + 1).
 */
#include "lento/daemon.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "lento/control.h"
#include "lento/fileset.h"
#include "lento/link.h"
#include "lib/log.h"

#ifndef VERSION
#define VERSION "?"
#endif

#define TICK_MS	2000

struct daemon {
	struct daemon_options o;
	struct loop *loop;
	struct fileset **fileset;	/* one for each of conf's; NULL: not here
					 * or could not start */
	char (*error)[256];		/* why it could not */
	struct link_server *server;
	struct link_dialer **dialer;
	size_t ndialer;
	struct control *control;
	struct loop_op *tick;
	char refused[320];		/* the last refusal that was logged */
};

/* --- links ------------------------------------------------------------ */

static bool on_known(void *ctx, const char *name)
{
	struct daemon *d = ctx;

	return conf_host_find(d->o.conf, name) != NULL;
}

static void on_up(void *ctx, struct link *l)
{
	struct daemon *d = ctx;

	log_info("link to %s is up", link_peer(l));
	if (!link_dialled(l))
		return;
	for (size_t i = 0; i < d->o.conf->nfileset; i++)
		if (d->fileset[i])
			fileset_link_up(d->fileset[i], l);
}

static void on_down(void *ctx, struct link *l, const char *why)
{
	struct daemon *d = ctx;

	if (!link_was_up(l)) {
		log_warn("no link with %s: %s", link_peer(l), why);
		return;
	}
	log_info("link to %s is down: %s", link_peer(l), why);
	for (size_t i = 0; i < d->o.conf->nfileset; i++)
		if (d->fileset[i])
			fileset_link_down(d->fileset[i], l);
}

/* The peer asks again and again: the log has it once. */
static void log_refusal(struct daemon *d, const char *peer, const char *why)
{
	char text[sizeof(d->refused)];

	snprintf(text, sizeof(text), "peer %s is refused: %s", peer, why);
	if (strcmp(text, d->refused))
		log_err("%s", text);
	snprintf(d->refused, sizeof(d->refused), "%s", text);
}

static int take_attach(struct daemon *d, struct link *l,
		       const struct wire_header *h, const void *payload)
{
	char err[256] = "";
	struct iovec iov = { err, 0 };
	struct wire_attach a;
	int e = -ENOENT;

	memcpy(&a, payload, sizeof(a));
	a.name[WIRE_NAME_MAX] = 0;
	snprintf(err, sizeof(err), "no fileset \"%s\" with that uuid here", a.name);
	for (size_t i = 0; i < d->o.conf->nfileset; i++) {
		if (memcmp(d->o.conf->fileset[i].uuid, a.uuid, sizeof(a.uuid)))
			continue;
		if (!d->fileset[i])
			snprintf(err, sizeof(err), "fileset %s: %s", a.name,
				 d->error[i][0] ? d->error[i] : "not on this host");
		else
			e = fileset_attach(d->fileset[i], l, h->channel, &a, err,
					   sizeof(err));
	}
	if (!e)
		return 0;
	if (e != -EAGAIN)
		log_refusal(d, link_peer(l), err);
	iov.iov_len = strlen(err);
	link_send(l, WIRE_REFUSED, 0, h->channel, &iov, 1);
	return 0;
}

static int from_replica(struct daemon *d, struct link *l,
			const struct wire_header *h, const void *payload)
{
	for (size_t i = 0; i < d->o.conf->nfileset; i++) {
		int e = d->fileset[i] ?
			fileset_ship_frame(d->fileset[i], l, h, payload) : -ENOENT;

		if (e != -ENOENT)
			return e;
	}
	return 0;	/* of an attachment that has just ended */
}

static int from_source(struct daemon *d, struct link *l,
		       const struct wire_header *h, const void *payload)
{
	struct fileset *f;

	if (!h->channel || h->channel > d->o.conf->nfileset)
		return -EBADMSG;
	f = d->fileset[h->channel - 1];
	if (!f || strcmp(fileset_conf(f)->server, link_peer(l)))
		return -EBADMSG;
	return fileset_receive_frame(f, h, payload);
}

static int on_frame(void *ctx, struct link *l, const struct wire_header *h,
		    const void *payload)
{
	switch (h->type) {
	case WIRE_ATTACH:
		return take_attach(ctx, l, h, payload);
	case WIRE_LIST:
	case WIRE_WANT:
	case WIRE_STREAM:
	case WIRE_ACK:
	case WIRE_CREDIT:
		return from_replica(ctx, l, h, payload);
	default:
		return from_source(ctx, l, h, payload);
	}
}

static const struct link_events link_events = {
	.up = on_up, .down = on_down, .frame = on_frame, .known = on_known,
};

/* --- control ---------------------------------------------------------- */

static struct json_object *stopped_status(const struct daemon *d, size_t i)
{
	struct json_object *o = json_object_new_object();
	const struct conf_fileset *f = &d->o.conf->fileset[i];

	json_object_object_add(o, "name", json_object_new_string(f->name));
	json_object_object_add(o, "role", json_object_new_string(
		fileset_role_of(d->o.conf, f) == FILESET_SERVER ? "server" :
		"replicator"));
	json_object_object_add(o, "state", json_object_new_string("STOPPED"));
	json_object_object_add(o, "path", json_object_new_string(f->path));
	json_object_object_add(o, "error", json_object_new_string(d->error[i]));
	json_object_object_add(o, "peers", json_object_new_array());
	return o;
}

static void write_status(struct daemon *d, FILE *out)
{
	struct json_object *o = json_object_new_object();
	struct json_object *list = json_object_new_array();

	json_object_object_add(o, "host", json_object_new_string(d->o.conf->self));
	json_object_object_add(o, "version", json_object_new_string(VERSION));
	json_object_object_add(o, "pid", json_object_new_int(getpid()));
	for (size_t i = 0; i < d->o.conf->nfileset; i++)
		if (d->fileset[i])
			json_object_array_add(list, fileset_status(d->fileset[i]));
		else if (d->error[i][0])
			json_object_array_add(list, stopped_status(d, i));
	json_object_object_add(o, "filesets", list);
	fprintf(out, "%s\n", json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN));
	json_object_put(o);
}

static int on_control(void *ctx, const char *request, FILE *out)
{
	struct daemon *d = ctx;

	if (!strcmp(request, "status")) {
		write_status(d, out);
		return 0;
	}
	if (!strcmp(request, "stop")) {
		fprintf(out, "{\"stopping\":true}\n");
		loop_quit(d->loop);
		return 0;
	}
	return -EINVAL;
}

static void on_tick(void *ctx, int res)
{
	struct daemon *d = ctx;

	(void)res;
	for (size_t i = 0; i < d->o.conf->nfileset; i++)
		if (d->fileset[i])
			fileset_tick(d->fileset[i]);
	loop_timer(d->loop, TICK_MS, on_tick, d, &d->tick);
}

/* --- start and stop --------------------------------------------------- */

static void start_fileset(struct daemon *d, size_t i)
{
	const struct conf_fileset *f = &d->o.conf->fileset[i];
	const struct capture_ops *ops = d->o.capture(f->capture);
	int e;

	if (fileset_role_of(d->o.conf, f) == FILESET_NONE)
		return;
	if (!f->path || !ops) {
		snprintf(d->error[i], sizeof(d->error[i]), f->path ?
			 "unknown capture source" : "no path for this host");
		log_err("fileset %s: STOPPED: %s", f->name, d->error[i]);
		return;
	}
	e = fileset_start(d->loop, d->o.conf, f, ops, i + 1, &d->fileset[i],
			  d->error[i], sizeof(d->error[i]));
	if (e && !d->error[i][0])
		snprintf(d->error[i], sizeof(d->error[i]), "%s", strerror(-e));
	if (e)
		log_err("fileset %s: STOPPED: %s", f->name, d->error[i]);
}

static struct link_options options_for(struct daemon *d, const char *peer)
{
	return (struct link_options){
		.self = d->o.conf->self, .peer = peer, .events = &link_events,
		.ctx = d, .plain_any = d->o.plain_any,
	};
}

/* Each server of a fileset of ours is dialled once. */
static int dial_servers(struct daemon *d, char *err, size_t err_size)
{
	const struct conf *c = d->o.conf;

	for (size_t h = 0; h < c->nhost; h++) {
		struct link_options o = options_for(d, c->host[h].name);
		bool wanted = false;
		int e;

		for (size_t i = 0; i < c->nfileset; i++)
			wanted |= d->fileset[i] &&
				  fileset_role(d->fileset[i]) == FILESET_REPLICATOR &&
				  !strcmp(c->fileset[i].server, c->host[h].name);
		if (!wanted)
			continue;
		e = link_dial(d->loop, (const char *const *)c->host[h].address,
			      c->host[h].naddress, &o, &d->dialer[d->ndialer],
			      err, err_size);
		if (e)
			return e;
		d->ndialer++;
	}
	return 0;
}

static int listen_all(struct daemon *d, char *err, size_t err_size)
{
	const struct conf *c = d->o.conf;
	struct link_options o = options_for(d, NULL);

	if (!c->nlisten)
		return 0;
	return link_listen(d->loop, (const char *const *)c->listen, c->nlisten, &o,
			   &d->server, err, err_size);
}

static int alloc_all(struct daemon *d)
{
	const struct conf *c = d->o.conf;

	d->fileset = calloc(c->nfileset + 1, sizeof(*d->fileset));
	d->error = calloc(c->nfileset + 1, sizeof(*d->error));
	d->dialer = calloc(c->nhost + 1, sizeof(*d->dialer));
	return d->fileset && d->error && d->dialer ? 0 : -ENOMEM;
}

int daemon_start(struct loop *loop, const struct daemon_options *o,
		 struct daemon **ret, char *err, size_t err_size)
{
	struct daemon *d = calloc(1, sizeof(*d));
	char path[512];
	int e;

	if (!d)
		return -ENOMEM;
	d->o = *o;
	d->loop = loop;
	snprintf(path, sizeof(path), "%s/lento.sock", o->run);
	e = alloc_all(d);
	if (!e)
		e = control_start(loop, path, on_control, d, &d->control, err, err_size);
	if (!e)
		e = listen_all(d, err, err_size);
	for (size_t i = 0; !e && i < o->conf->nfileset; i++)
		start_fileset(d, i);
	if (!e)
		e = dial_servers(d, err, err_size);
	if (!e)
		e = loop_timer(loop, TICK_MS, on_tick, d, &d->tick);
	if (e) {
		daemon_stop(d, true);
		return e;
	}
	*ret = d;
	return 0;
}

void daemon_stop(struct daemon *d, bool keep)
{
	if (!d)
		return;
	if (d->tick)
		loop_cancel(d->loop, &d->tick);
	for (size_t i = 0; i < d->ndialer; i++)
		link_dial_stop(d->dialer[i]);
	if (d->server)
		link_listen_stop(d->server);
	for (size_t i = 0; d->fileset && i < d->o.conf->nfileset; i++)
		fileset_stop(d->fileset[i], keep);
	if (d->control)
		control_stop(d->control);
	free(d->fileset);
	free(d->error);
	free(d->dialer);
	free(d);
}
