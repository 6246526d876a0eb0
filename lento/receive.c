// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * receive.c: see receive.h. `lock` guards the queues, the link and the
 * statistics. The apply handle belongs to the thread.
 */
#include "lento/receive.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "lib/cleanup.h"
#include "lib/io.h"
#include "lib/log.h"

#define SYNC_MS		1000
#define RETRY_MIN_MS	200
#define RETRY_MAX_MS	8000
#define PROGRESS_MS	200
#define CREDIT_BYTES	(WIRE_WINDOW_BYTES / 8)

enum phase { DOWN, ATTACHING, FILLING, STREAMING };

struct item {
	struct item *next;
	struct wire_header head;
	unsigned char payload[];
};

struct queue {
	struct item *first, **last;
};

struct receive {
	const struct conf_fileset *conf;
	unsigned channel;
	struct apply *apply;
	enum phase phase;		/* thread */
	uint64_t credit, answer_credit;	/* thread: consumed, not yet told */
	uint64_t next_sync_ms;		/* thread; 0: nothing to sync */
	uint64_t retry_ms;		/* thread; 0: none */
	unsigned backoff_ms;		/* thread: for the next retry */
	bool apply_failed;		/* thread: what stats.error tells of */
	uint64_t told_ms;		/* thread: a fill's progress was shown */
	uint64_t ask_epoch;		/* thread: state last acknowledged */

	pthread_t thread;
	bool running;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	struct queue ordered, answers;
	struct link *link;		/* NULL: down */
	bool stop, link_changed;
	bool refused;			/* a REFUSED waits in `ordered` */
	struct receive_stats stats;
};

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000ULL + t.tv_nsec / 1000000;
}

static struct item *pop(struct queue *q)
{
	struct item *i = q->first;

	if (i) {
		q->first = i->next;
		if (!q->first)
			q->last = &q->first;
	}
	return i;
}

static void drop_all(struct queue *q)
{
	struct item *i;

	while ((i = pop(q)))
		free(i);
}

static int send_frame(struct receive *r, enum wire_type type, unsigned flags,
		      const void *payload, size_t len)
{
	struct iovec iov = { (void *)payload, len };
	struct link *l;
	int e;

	pthread_mutex_lock(&r->lock);
	l = r->link && !r->link_changed ? link_get(r->link) : NULL;
	pthread_mutex_unlock(&r->lock);
	if (!l)
		return -ENOTCONN;
	e = link_send(l, type, flags, r->channel, &iov, 1);
	link_put(l);
	return e;
}

static int give_credit(struct receive *r, const struct wire_header *h)
{
	bool answer = h->flags & WIRE_F_ANSWER;
	uint64_t *c = answer ? &r->answer_credit : &r->credit;
	izo_le64 bytes;

	if (h->type == WIRE_ATTACHED || h->type == WIRE_REFUSED)
		return 0;
	*c += sizeof(*h) + h->len;
	if (*c < CREDIT_BYTES && h->type != WIRE_BATCH_END)
		return 0;
	bytes = *c;
	*c = 0;
	return send_frame(r, WIRE_CREDIT, answer ? WIRE_F_ANSWER : 0, &bytes,
			  sizeof(bytes));
}

/* --- what apply asks for ---------------------------------------------- */

static int ask_list(void *ctx, uint64_t ask, const struct izo_fid *fid)
{
	struct wire_list m = { ask, *fid };

	return send_frame(ctx, WIRE_LIST, 0, &m, sizeof(m));
}

static int ask_want(void *ctx, const struct wire_want *want)
{
	return send_frame(ctx, WIRE_WANT, 0, want, sizeof(*want));
}

static int take_data(struct receive *r, const struct item *i)
{
	struct wire_data d;

	memcpy(&d, i->payload, sizeof(d));
	if (i->head.type == WIRE_HOLE)
		return apply_hole(r->apply, &d);
	if (d.len != i->head.len - sizeof(d))
		return -EBADMSG;
	return apply_data(r->apply, &d, i->payload + sizeof(d));
}

static int take_data_end(struct receive *r, const struct item *i)
{
	struct wire_data_end d;

	memcpy(&d, i->payload, sizeof(d));
	return apply_data_end(r->apply, &d);
}

static int take_answer(struct receive *r, const struct item *i)
{
	struct wire_answer a;

	switch (i->head.type) {
	case WIRE_ENTRIES:
		memcpy(&a, i->payload, sizeof(a));
		return apply_entries(r->apply, a.ask, i->payload + sizeof(a),
				     i->head.len - sizeof(a),
				     i->head.flags & WIRE_F_LAST);
	case WIRE_DATA:
	case WIRE_HOLE:
		return take_data(r, i);
	case WIRE_DATA_END:
		return take_data_end(r, i);
	default:
		return -EBADMSG;
	}
}

static int pump(void *ctx)
{
	struct receive *r = ctx;
	_cleanup_free_ struct item *i = NULL;
	bool refused;
	int e;

	pthread_mutex_lock(&r->lock);
	while (!r->stop && !r->link_changed && !r->refused && !r->answers.first)
		pthread_cond_wait(&r->cond, &r->lock);
	if (!r->stop && !r->link_changed && !r->refused)
		i = pop(&r->answers);
	refused = !r->stop && !r->link_changed && r->refused;
	pthread_mutex_unlock(&r->lock);
	if (!i)
		return refused ? -ECONNRESET : -ENOTCONN;
	e = take_answer(r, i);
	return e ? e : give_credit(r, &i->head);
}

/* --- what goes back --------------------------------------------------- */

static void refresh_stats(struct receive *r)
{
	struct apply_stats a;
	struct izo_pos applied, durable;
	enum fs_state state;

	apply_stats(r->apply, &a);
	apply_positions(r->apply, &applied, &durable);
	state = r->phase == DOWN || r->phase == ATTACHING ? FS_DISCONNECTED :
		apply_state(r->apply, r->stats.tip);
	pthread_mutex_lock(&r->lock);
	r->stats.apply = a;
	r->stats.applied = applied;
	r->stats.durable = durable;
	r->stats.state = state;
	pthread_mutex_unlock(&r->lock);
}

static int send_ack(struct receive *r)
{
	struct wire_ack a = { .zero = 0 };

	refresh_stats(r);
	a.applied = r->stats.applied;
	a.durable = r->stats.durable;
	a.state = r->stats.state;
	return send_frame(r, WIRE_ACK, 0, &a, sizeof(a));
}

static int send_attach(struct receive *r)
{
	struct wire_attach m;

	apply_attach(r->apply, &m);
	r->phase = ATTACHING;
	r->credit = r->answer_credit = 0;
	r->retry_ms = 0;
	return send_frame(r, WIRE_ATTACH, 0, &m, sizeof(m));
}

static void attach_later(struct receive *r)
{
	r->phase = ATTACHING;
	r->retry_ms = now_ms() + r->backoff_ms;
	r->backoff_ms = r->backoff_ms > RETRY_MAX_MS / 2 ? RETRY_MAX_MS :
			r->backoff_ms * 2;
}

/* Something was applied. */
static void progress(struct receive *r)
{
	r->backoff_ms = RETRY_MIN_MS;
	r->apply_failed = false;
	pthread_mutex_lock(&r->lock);
	r->stats.error[0] = 0;
	pthread_mutex_unlock(&r->lock);
}

/* --- frames in order -------------------------------------------------- */

static int fill_step(struct receive *r)
{
	uint64_t now = now_ms();
	struct wire_stream m;
	struct izo_pos durable;
	int e;

	if (!apply_fill_done(r->apply)) {
		if (now - r->told_ms < PROGRESS_MS)
			return 0;
		r->told_ms = now;
		return send_ack(r);
	}
	e = apply_sync(r->apply);
	if (e)
		return e;
	apply_positions(r->apply, &m.pos, &durable);
	r->phase = STREAMING;
	progress(r);
	log_info("fileset %s: fill is done, streaming from %llu", r->conf->name,
		 (unsigned long long)m.pos.seq);
	e = send_ack(r);
	return e ? e : send_frame(r, WIRE_STREAM, 0, &m, sizeof(m));
}

static int take_attached(struct receive *r, const struct item *i)
{
	struct wire_attached m;
	int e;

	memcpy(&m, i->payload, sizeof(m));
	pthread_mutex_lock(&r->lock);
	r->stats.tip = m.tip;
	if (!r->apply_failed)		/* that stays until something is applied */
		r->stats.error[0] = 0;
	pthread_mutex_unlock(&r->lock);
	e = apply_attached(r->apply, &m);
	if (e)
		return e;
	r->phase = m.mode == WIRE_MODE_FILL ? FILLING : STREAMING;
	log_info("fileset %s: %s position %llu of %llu", r->conf->name,
		 r->phase == FILLING ? "fill, stream will start at" : "stream from",
		 (unsigned long long)m.pos.seq, (unsigned long long)m.tip);
	e = send_ack(r);
	return e || r->phase != FILLING ? e : fill_step(r);
}

static int take_batch(struct receive *r, const struct item *i)
{
	struct wire_batch b;

	memcpy(&b, i->payload, sizeof(b));
	pthread_mutex_lock(&r->lock);
	r->stats.tip = b.tip;
	r->stats.behind_ns = b.tip_clock_ns;
	pthread_mutex_unlock(&r->lock);
	return apply_batch(r->apply, &b);
}

static int take_batch_end(struct receive *r, const struct item *i)
{
	struct izo_pos pos;
	int e;

	memcpy(&pos, i->payload, sizeof(pos));
	e = apply_batch_end(r->apply, &pos);
	if (e)
		return e;
	progress(r);
	if (!r->next_sync_ms)
		r->next_sync_ms = now_ms() + SYNC_MS;
	return send_ack(r);
}

static int take_refused(struct receive *r, const struct item *i)
{
	char text[sizeof(r->stats.error)];
	bool news;

	snprintf(text, sizeof(text), "refused by %s: %.*s", r->conf->server,
		 (int)i->head.len, (const char *)i->payload);
	pthread_mutex_lock(&r->lock);
	r->refused = false;
	news = strcmp(text, r->stats.error);
	memcpy(r->stats.error, text, sizeof(text));
	pthread_mutex_unlock(&r->lock);
	if (news)
		log_warn("fileset %s: %s; trying again", r->conf->name, text);
	attach_later(r);
	return 0;
}

static int take_streamed(struct receive *r, const struct item *i)
{
	switch (i->head.type) {
	case WIRE_BATCH:
		return take_batch(r, i);
	case WIRE_HOLLOW:
		return apply_hollow(r->apply, (const void *)i->payload,
				    i->head.len / sizeof(struct izo_fid));
	case WIRE_DATA:
	case WIRE_HOLE:
		return take_data(r, i);
	case WIRE_DATA_END:
		return take_data_end(r, i);
	case WIRE_WITHHOLD:
		return apply_withhold(r->apply, i->payload, i->head.len);
	case WIRE_RECORDS:
		return apply_records(r->apply, i->payload, i->head.len);
	case WIRE_BATCH_END:
		return take_batch_end(r, i);
	default:
		return -EBADMSG;
	}
}

static int take_frame(struct receive *r, const struct item *i)
{
	int e;

	if (i->head.type == WIRE_REFUSED)
		return take_refused(r, i);
	if (r->phase == ATTACHING)	/* of before: comes again */
		return i->head.type == WIRE_ATTACHED && !r->retry_ms ?
		       take_attached(r, i) : 0;
	if (i->head.flags & WIRE_F_ANSWER) {
		e = take_answer(r, i);
		if (!e && r->phase == FILLING)
			e = fill_step(r);
	} else {
		e = r->phase == STREAMING ? take_streamed(r, i) : -EBADMSG;
	}
	return e ? e : give_credit(r, &i->head);
}

/* --- the thread ------------------------------------------------------- */

/* The tree or the peer would not have it: say so, attach again later. */
static void give_up(struct receive *r, int error)
{
	char text[sizeof(r->stats.error)], what[200];
	bool news;

	if (error == -ENOTCONN) {
		/* The link is down; word of it may be on its way, and what came by
		 * it before is still queued. */
		attach_later(r);
		return;
	}
	apply_trouble(r->apply, what, sizeof(what));
	r->apply_failed = true;
	if (error == -ENOSPC)
		apply_relieve(r->apply);
	snprintf(text, sizeof(text), "cannot apply%s%s: %s", what[0] ? " " : "", what,
		 strerror(-error));
	pthread_mutex_lock(&r->lock);
	news = strcmp(text, r->stats.error);
	memcpy(r->stats.error, text, sizeof(text));
	pthread_mutex_unlock(&r->lock);
	if (news)
		log_err("fileset %s: %s; trying again from the last position",
			r->conf->name, text);
	attach_later(r);
}

static void sync_if_due(struct receive *r)
{
	int e;

	if (!r->next_sync_ms || now_ms() < r->next_sync_ms)
		return;
	r->next_sync_ms = 0;
	e = apply_sync(r->apply);
	if (!e)
		progress(r);
	if (!e && r->phase == STREAMING)
		e = send_ack(r);
	if (e)
		give_up(r, e);
}

/* ms until something must be done without a frame; -1: nothing. */
static int64_t wait_ms(const struct receive *r)
{
	uint64_t now = now_ms(), at = 0;

	if (r->next_sync_ms)
		at = r->next_sync_ms;
	if (r->retry_ms && (!at || r->retry_ms < at))
		at = r->retry_ms;
	return !at ? -1 : at > now ? (int64_t)(at - now) : 0;
}

/* Waits for a frame, a change of the link, or the time for something. */
static struct item *wait_item(struct receive *r, bool *ret_changed)
{
	int64_t ms = wait_ms(r);
	struct timespec until;
	struct item *i = NULL;
	int e = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	if (ms > 0) {
		until.tv_sec += ms / 1000;
		until.tv_nsec += ms % 1000 * 1000000;
		if (until.tv_nsec >= 1000000000) {
			until.tv_sec++;
			until.tv_nsec -= 1000000000;
		}
	}
	pthread_mutex_lock(&r->lock);
	while (!e && !r->stop && !r->link_changed && !r->answers.first &&
	       !r->ordered.first)
		e = ms < 0 ? pthread_cond_wait(&r->cond, &r->lock) :
		    pthread_cond_timedwait(&r->cond, &r->lock, &until);
	*ret_changed = r->link_changed;
	r->link_changed = false;
	if (!*ret_changed) {
		i = pop(&r->answers);
		if (!i)
			i = pop(&r->ordered);
	}
	pthread_mutex_unlock(&r->lock);
	return i;
}

static void link_changed(struct receive *r)
{
	bool up;
	int e;

	pthread_mutex_lock(&r->lock);
	up = r->link != NULL;
	pthread_mutex_unlock(&r->lock);
	r->phase = DOWN;
	r->retry_ms = 0;
	r->backoff_ms = RETRY_MIN_MS;
	e = up ? send_attach(r) : 0;
	if (e)
		give_up(r, e);
	refresh_stats(r);
}

static void *receive_thread(void *arg)
{
	struct receive *r = arg;

	while (!r->stop) {
		bool changed;
		_cleanup_free_ struct item *i = wait_item(r, &changed);
		int e = 0;

		if (changed)
			link_changed(r);
		else if (r->retry_ms && now_ms() >= r->retry_ms)
			e = send_attach(r);
		if (!e && i && r->phase != DOWN)
			e = take_frame(r, i);
		if (e)
			give_up(r, e);
		sync_if_due(r);
	}
	return NULL;
}

/* The root must be there (a disk that is not mounted is an error, not an empty
 * replica); the state folder is made. */
static int make_state(const struct conf_fileset *f, const char *state, char *err,
		      size_t err_size)
{
	_cleanup_fd_ int root = open(f->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int e;

	if (root < 0) {
		e = -errno;
		snprintf(err, err_size, "replica %s: %s", f->path, strerror(-e));
		return e;
	}
	e = mkdir_all(AT_FDCWD, state, 0700);
	if (e)
		snprintf(err, err_size, "state folder %s: %s", state, strerror(-e));
	return e;
}

int receive_start(const struct conf_fileset *f, unsigned channel,
		  struct receive **ret, char *err, size_t err_size)
{
	struct receive *r = calloc(1, sizeof(*r));
	struct apply_spec spec = {
		.fileset = f->name, .peer = f->server, .root = f->path,
		.list = ask_list, .want = ask_want, .pump = pump, .ctx = r,
	};
	pthread_condattr_t attr;
	char state[4096];
	int e;

	if (!r)
		return -ENOMEM;
	r->conf = f;
	r->channel = channel;
	r->ordered.last = &r->ordered.first;
	r->answers.last = &r->answers.first;
	r->stats.state = FS_DISCONNECTED;
	snprintf(state, sizeof(state), "%s/%s", f->state, f->name);
	spec.state = state;
	memcpy(spec.uuid, f->uuid, sizeof(spec.uuid));
	e = make_state(f, state, err, err_size);
	if (!e)
		e = apply_open(&spec, &r->apply, err, err_size);
	if (e) {
		free(r);
		return e;
	}
	pthread_mutex_init(&r->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&r->cond, &attr);
	pthread_condattr_destroy(&attr);
	refresh_stats(r);
	e = -pthread_create(&r->thread, NULL, receive_thread, r);
	if (e) {
		apply_close(r->apply);
		free(r);
		return e;
	}
	*ret = r;
	return 0;
}

void receive_stop(struct receive *r)
{
	if (!r)
		return;
	pthread_mutex_lock(&r->lock);
	r->stop = true;
	pthread_cond_broadcast(&r->cond);
	pthread_mutex_unlock(&r->lock);
	pthread_join(r->thread, NULL);
	apply_sync(r->apply);
	apply_close(r->apply);
	drop_all(&r->ordered);
	drop_all(&r->answers);
	if (r->link)
		link_put(r->link);
	pthread_cond_destroy(&r->cond);
	pthread_mutex_destroy(&r->lock);
	free(r);
}

static void set_link(struct receive *r, struct link *l)
{
	pthread_mutex_lock(&r->lock);
	if (r->link)
		link_put(r->link);
	r->link = l ? link_get(l) : NULL;
	r->link_changed = true;
	r->refused = false;
	drop_all(&r->ordered);
	drop_all(&r->answers);
	pthread_cond_broadcast(&r->cond);
	pthread_mutex_unlock(&r->lock);
}

void receive_up(struct receive *r, struct link *l)
{
	set_link(r, l);
}

void receive_down(struct receive *r)
{
	set_link(r, NULL);
}

int receive_frame(struct receive *r, const struct wire_header *h,
		  const void *payload)
{
	struct queue *q = h->flags & WIRE_F_ANSWER ? &r->answers : &r->ordered;
	struct item *i = malloc(sizeof(*i) + h->len);

	if (!i)
		return -ENOMEM;
	i->next = NULL;
	i->head = *h;
	memcpy(i->payload, payload, h->len);
	pthread_mutex_lock(&r->lock);
	*q->last = i;
	q->last = &i->next;
	r->refused |= h->type == WIRE_REFUSED;
	r->stats.bytes += h->len;
	pthread_cond_signal(&r->cond);
	pthread_mutex_unlock(&r->lock);
	return 0;
}

void receive_stats(struct receive *r, struct receive_stats *ret)
{
	pthread_mutex_lock(&r->lock);
	*ret = r->stats;
	pthread_mutex_unlock(&r->lock);
}
