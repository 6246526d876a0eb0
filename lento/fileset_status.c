// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * fileset_status.c: what `inconfig status` shows of a fileset, as JSON. The
 * keys are an interface. Green needs proof: a server calls its fileset SYNCED
 * only when every replica says SYNCED at the journal's end.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include "lento/fileset_priv.h"
#include "lib/codec.h"

const char *fs_state_name(enum fs_state s)
{
	static const char *const names[] = {
		"STOPPED", "DISCONNECTED", "FILL", "RESYNC", "RECOVERY",
		"SYNCING", "SYNCED", "CONFLICT", "SUSPECT",
	};

	return s <= FS_SUSPECT ? names[s] : "?";
}

static void add_str(struct json_object *o, const char *key, const char *value)
{
	json_object_object_add(o, key, value ? json_object_new_string(value) : NULL);
}

static void add_u64(struct json_object *o, const char *key, uint64_t value)
{
	json_object_object_add(o, key, json_object_new_uint64(value));
}

static void add_pos(struct json_object *o, const struct izo_pos *p)
{
	struct json_object *pos = json_object_new_object();
	char hex[17];

	snprintf(hex, sizeof(hex), "%016llx", (unsigned long long)p->epoch);
	add_str(pos, "epoch", hex);
	add_u64(pos, "seq", p->seq);
	snprintf(hex, sizeof(hex), "%016llx", (unsigned long long)p->chain);
	add_str(pos, "chain", hex);
	json_object_object_add(o, "position", pos);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

static struct json_object *kinds(const uint64_t *n)
{
	struct json_object *o = json_object_new_object();

	for (unsigned k = 1; k < IZO_KIND_MAX; k++)
		if (n[k])
			add_u64(o, kind_name(k), n[k]);
	return o;
}

static struct json_object *counters(const struct source_stats *s)
{
	const struct capture_counters *c = &s->counters;
	struct json_object *o = json_object_new_object();

	add_u64(o, "records", c->records);
	add_u64(o, "bytes", c->bytes);
	add_u64(o, "dropped", c->dropped);
	add_u64(o, "dirty", c->dirty);
	add_u64(o, "throttled", c->throttled);
	add_u64(o, "caught", c->caught);
	add_u64(o, "missed", c->missed);
	add_u64(o, "missed_points", c->missed_points);
	add_u64(o, "gaps", s->gaps);
	add_u64(o, "pending", s->pending);
	json_object_object_add(o, "kinds", kinds(c->kind));
	json_object_object_add(o, "journaled", kinds(s->kept_kind));
	return o;
}

static struct fileset_ship *ship_of(const struct fileset *f, const char *peer)
{
	for (struct fileset_ship *s = f->ships; s; s = s->next)
		if (!strcmp(s->peer, peer))
			return s;
	return NULL;
}

static struct json_object *peer_status(const struct fileset *f, const char *name,
				       const struct izo_pos *tip, bool pending,
				       enum fs_state *ret_state)
{
	struct json_object *o = json_object_new_object();
	const struct fileset_ship *s = ship_of(f, name);
	struct ship_stats st = { .state = FS_DISCONNECTED };
	uint64_t lag, age = 0;

	if (s)
		ship_stats(s->ship, &st);
	lag = tip->seq > st.applied.seq ? tip->seq - st.applied.seq : 0;
	if (st.state == FS_SYNCED && (lag || pending || st.applied.epoch != tip->epoch))
		st.state = FS_SYNCING;
	if (lag && st.last_batch_clock_ns)
		age = (now_ns() - st.last_batch_clock_ns) / 1000000;
	add_str(o, "name", name);
	add_str(o, "state", fs_state_name(st.state));
	add_str(o, "link", s ? "up" : "down");
	add_u64(o, "position_seq", st.applied.seq);
	add_u64(o, "durable_seq", st.durable.seq);
	add_u64(o, "lag_records", lag);
	add_u64(o, "lag_bytes", s && tip->seq > st.sent_seq ?
		(tip->seq - st.sent_seq) * IZO_RECORD_FIXED : 0);
	add_u64(o, "lag_ms", age);
	add_u64(o, "sent_bytes", st.bytes);
	add_u64(o, "hollow", st.hollow);
	if (st.error[0])
		add_str(o, "error", st.error);
	*ret_state = st.state;
	return o;
}

/* The worst of what is known decides; FS_SYNCED only if all are. */
static enum fs_state worse(enum fs_state a, enum fs_state b)
{
	static const int rank[] = {
		[FS_STOPPED] = 9, [FS_SUSPECT] = 8, [FS_CONFLICT] = 7,
		[FS_DISCONNECTED] = 6, [FS_FILL] = 5, [FS_RESYNC] = 4,
		[FS_RECOVERY] = 3, [FS_SYNCING] = 2, [FS_SYNCED] = 1,
	};

	return rank[a] > rank[b] ? a : b;
}

static enum fs_state server_status(struct fileset *f, struct json_object *o,
				   char *error, size_t size)
{
	struct json_object *peers = json_object_new_array();
	enum fs_state state = FS_SYNCED;
	struct izo_pos tip = { 0 };
	struct source_stats st;

	source_stats(f->source, &st);
	if (f->ready) {
		journal_end(source_journal(f->source), &tip);
		add_u64(o, "journal_bytes", journal_bytes(source_journal(f->source)));
	}
	add_pos(o, &tip);
	add_str(o, "capture", st.capture);
	json_object_object_add(o, "counters", counters(&st));
	for (size_t i = 0; i < f->conf->nreplicator; i++) {
		enum fs_state s;

		json_object_array_add(peers,
			peer_status(f, f->conf->replicator[i], &tip,
				    st.pending || st.counters.ring_used_bytes ||
				    st.counters.unsure, &s));
		state = worse(state, s);
	}
	json_object_object_add(o, "peers", peers);
	if (st.no_room)
		snprintf(error, size, "no space for the journal: changes wait in the kernel");
	return f->ready && !st.no_room ? state : FS_SUSPECT;
}

static enum fs_state replica_status(struct fileset *f, struct json_object *o,
				    char *error, size_t size)
{
	struct json_object *peers = json_object_new_array();
	struct json_object *p = json_object_new_object();
	struct receive_stats st;

	receive_stats(f->receive, &st);
	add_pos(o, &st.applied);
	add_str(p, "name", f->conf->server);
	add_str(p, "state", fs_state_name(st.state));
	add_str(p, "link", st.state == FS_DISCONNECTED ? "down" : "up");
	add_u64(p, "position_seq", st.applied.seq);
	add_u64(p, "durable_seq", st.durable.seq);
	add_u64(p, "lag_records", st.tip > st.applied.seq ? st.tip - st.applied.seq : 0);
	add_u64(p, "lag_bytes", 0);
	add_u64(p, "lag_ms", st.tip > st.applied.seq ? st.behind_ns / 1000000 : 0);
	add_u64(p, "received_bytes", st.bytes);
	add_u64(p, "fill_done", st.apply.objects_done);
	add_u64(p, "fill_todo", st.apply.objects_todo);
	add_u64(p, "fill_kept", st.apply.contents_kept);
	add_u64(p, "surprises", st.apply.surprises);
	add_u64(p, "hollow", st.apply.hollow);
	json_object_array_add(peers, p);
	json_object_object_add(o, "peers", peers);
	if (st.error[0])
		snprintf(error, size, "%s", st.error);
	return st.state;
}

struct json_object *fileset_status(struct fileset *f)
{
	struct json_object *o = json_object_new_object();
	char error[256] = "";
	enum fs_state state;

	add_str(o, "name", f->conf->name);
	add_str(o, "role", f->role == FILESET_SERVER ? "server" : "replicator");
	add_str(o, "path", f->conf->path);
	state = f->role == FILESET_SERVER ? server_status(f, o, error, sizeof(error)) :
		replica_status(f, o, error, sizeof(error));
	pthread_mutex_lock(&f->lock);
	if (f->error[0]) {
		snprintf(error, sizeof(error), "%s", f->error);
		state = FS_STOPPED;
	}
	pthread_mutex_unlock(&f->lock);
	add_str(o, "state", fs_state_name(state));
	add_str(o, "error", error[0] ? error : NULL);
	return o;
}
