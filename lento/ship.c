// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * ship.c: see ship.h: the thread, what the replica asks, and the windows.
 */
#include "lento/ship_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "lento/listing.h"
#include "lib/cleanup.h"
#include "lib/log.h"

#define ASKS_MAX	4096

static int send_frame(struct ship *s, enum wire_type type, unsigned flags,
		      const void *head, size_t head_len, const void *bytes,
		      size_t len)
{
	struct iovec iov[2] = {
		{ (void *)head, head_len }, { (void *)bytes, len },
	};

	return link_send_unless(s->link, type, flags, s->channel, iov, len ? 2 : 1,
				&s->stop);
}

/* --- asks ------------------------------------------------------------- */

static struct ask *next_ask(struct ship *s)
{
	struct ask *a = s->first;

	if (a) {
		s->first = a->next;
		if (!s->first)
			s->last = &s->first;
		s->nasks--;
	}
	return a;
}

/* Answers have a window of their own: they overtake batches, and a replica may
 * need one to go on with the batch that fills the other window. */
static int send_answer(struct ship *s, enum wire_type type, unsigned flags,
		       const void *head, size_t head_len, const void *bytes,
		       size_t len)
{
	bool stop;

	pthread_mutex_lock(&s->lock);
	while (!s->stop && s->answers_under_way > WIRE_WINDOW_BYTES)
		pthread_cond_wait(&s->cond, &s->lock);
	s->answers_under_way += sizeof(struct wire_header) + head_len + len;
	s->stats.bytes += head_len + len;
	stop = s->stop;
	pthread_mutex_unlock(&s->lock);
	if (stop)
		return -ENOTCONN;
	return send_frame(s, type, WIRE_F_ANSWER | flags, head, head_len, bytes, len);
}

static int send_entries(void *ctx, uint64_t ask, const void *records,
			size_t bytes, bool last)
{
	struct wire_answer a = { ask };

	return send_answer(ctx, WIRE_ENTRIES, last ? WIRE_F_LAST : 0, &a,
			   sizeof(a), records, bytes);
}

static int send_answer_data(void *ctx, enum wire_type type, const void *head,
			    size_t head_len, const void *bytes, size_t len)
{
	return send_answer(ctx, type, type == WIRE_DATA_END ? WIRE_F_LAST : 0,
			   head, head_len, bytes, len);
}

static int begin_stream(struct ship *s, const struct izo_pos *pos)
{
	int e = journal_check(source_journal(s->source), pos);

	if (!e)
		e = journal_reader_new(source_journal(s->source), pos->seq + 1,
				       &s->reader);
	s->epoch = pos->epoch;
	if (e)
		log_err("fileset %s, peer %s: cannot stream from position %llu: %s",
			s->fileset, link_peer(s->link),
			(unsigned long long)pos->seq, strerror(-e));
	return e;
}

static int answer(struct ship *s, const struct ask *a)
{
	struct listing l = {
		.since = &s->since,
		.mount = source_mount(s->source),
		.index = source_index(s->source),
		.send = send_entries, .ctx = s, .stop = &s->stop,
	};

	switch (a->type) {
	case WIRE_LIST:
		return listing_allowed(&l, &a->list.fid) ?
			listing_answer(&l, &a->list) :
			send_entries(s, a->list.ask, NULL, 0, true);
	case WIRE_WANT:
		return index_inside_ro(l.index, &a->want.fid) ?
			outflow_want(&s->answers, &a->want) :
			outflow_gone(&s->answers, &a->want);
	case WIRE_STREAM:
		return s->reader ? -EBADMSG : begin_stream(s, &a->stream.pos);
	default:
		return -EBADMSG;
	}
}

/* --- the window ------------------------------------------------------- */

/* Waits until the window is open, answering asks meanwhile. */
static int wait_window(struct ship *s)
{
	for (;;) {
		_cleanup_free_ struct ask *a = NULL;
		int e;

		pthread_mutex_lock(&s->lock);
		while (!s->stop && !s->first && s->under_way > WIRE_WINDOW_BYTES)
			pthread_cond_wait(&s->cond, &s->lock);
		if (s->stop || (!s->first && s->under_way <= WIRE_WINDOW_BYTES)) {
			bool stop = s->stop;

			pthread_mutex_unlock(&s->lock);
			return stop ? -ENOTCONN : 0;
		}
		a = next_ask(s);
		pthread_mutex_unlock(&s->lock);
		e = answer(s, a);
		if (e)
			return e;
	}
}

int ship_send_windowed(void *ctx, enum wire_type type, const void *head,
		       size_t head_len, const void *bytes, size_t len)
{
	struct ship *s = ctx;
	int e = wait_window(s);

	if (e)
		return e;
	pthread_mutex_lock(&s->lock);
	s->under_way += sizeof(struct wire_header) + head_len + len;
	s->stats.bytes += head_len + len;
	pthread_mutex_unlock(&s->lock);
	return send_frame(s, type, 0, head, head_len, bytes, len);
}

static int take_growth(struct ship *s, const struct timespec *until,
		       struct ask **ret_ask)
{
	int e = 0;

	pthread_mutex_lock(&s->lock);
	while (!e && !s->stop && !s->first && !s->grown)
		e = pthread_cond_timedwait(&s->cond, &s->lock, until);
	*ret_ask = next_ask(s);
	e = s->stop ? -ENOTCONN : *ret_ask ? 0 : s->grown;
	if (e > 0)
		s->grown = false;
	pthread_mutex_unlock(&s->lock);
	return e;
}

int ship_wait_growth(struct ship *s, uint64_t until_ms)
{
	struct timespec until = { .tv_sec = until_ms / 1000,
				  .tv_nsec = until_ms % 1000 * 1000000 };
	int e;

	for (;;) {
		_cleanup_free_ struct ask *a = NULL;

		e = take_growth(s, &until, &a);
		if (e || !a)
			return e;
		e = answer(s, a);
		if (e)
			return e;
	}
}

/* --- the thread ------------------------------------------------------- */

static void look_back(struct ship *s)
{
	char why[80];

	if (since_read(&s->since, source_journal(s->source), &s->attach.base, why,
		       sizeof(why)))
		log_info("fileset %s, peer %s: contents are compared where they may "
			 "have changed since its position %llu: what the journal "
			 "names (%u files) and what has a later ctime", s->fileset,
			 link_peer(s->link), (unsigned long long)s->attach.base.seq,
			 s->since.touched.used);
	else
		log_info("fileset %s, peer %s: all contents are compared: %s",
			 s->fileset, link_peer(s->link), why);
}

static int send_attached(struct ship *s)
{
	struct journal *j = source_journal(s->source);
	struct wire_attached m = {
		.mode = s->attach.mode, .pos = s->attach.pos,
		.root = *source_root(s->source),
	};
	struct izo_pos tip;
	int e = journal_check(j, &s->attach.pos);

	journal_end(j, &tip);
	m.tip = tip.seq;
	if (e || !s->attach.pos.epoch) {
		m.mode = WIRE_MODE_FILL;
		m.pos = tip;
	}
	if (m.mode == WIRE_MODE_FILL)
		look_back(s);
	pthread_mutex_lock(&s->lock);
	s->stats.start = m.pos;
	s->stats.needs = s->since.known ? s->attach.base : m.pos;
	s->stats.state = m.mode == WIRE_MODE_FILL ? FS_FILL : FS_SYNCING;
	pthread_mutex_unlock(&s->lock);
	log_info("fileset %s, peer %s: %s from position %llu of %llu", s->fileset,
		 link_peer(s->link), m.mode == WIRE_MODE_FILL ? "fill" : "stream",
		 (unsigned long long)m.pos.seq, (unsigned long long)tip.seq);
	e = send_frame(s, WIRE_ATTACHED, 0, &m, sizeof(m), NULL, 0);
	if (!e && m.mode == WIRE_MODE_STREAM)
		e = begin_stream(s, &m.pos);
	return e;
}

/* Waits for an ask, or for the journal to grow while streaming. */
static bool wait_work(struct ship *s, struct ask **ret_ask)
{
	bool stop;

	pthread_mutex_lock(&s->lock);
	while (!s->stop && !s->first && !(s->grown && s->reader))
		pthread_cond_wait(&s->cond, &s->lock);
	*ret_ask = next_ask(s);
	if (!*ret_ask)
		s->grown = false;
	stop = s->stop;
	pthread_mutex_unlock(&s->lock);
	return !stop;
}

static int stream_some(struct ship *s)
{
	int n = batch_read(&s->batch, s->reader), e;

	if (n <= 0)
		return n;
	e = ship_send_batch(s);
	/* Look again after it. Not before: a batch that waits for one more cycle
	 * takes the sign of it, and may leave what came with it for the next. */
	pthread_mutex_lock(&s->lock);
	s->grown = true;
	pthread_mutex_unlock(&s->lock);
	return e;
}

static void *ship_thread(void *arg)
{
	struct ship *s = arg;
	struct ask *a;
	int e = send_attached(s);

	while (!e && wait_work(s, &a)) {
		e = a ? answer(s, a) : stream_some(s);
		free(a);
	}
	if (e && e != -ENOTCONN) {
		struct iovec iov = { s->stats.error, 0 };

		pthread_mutex_lock(&s->lock);
		snprintf(s->stats.error, sizeof(s->stats.error),
			 "fileset %s: %s", s->fileset, strerror(-e));
		iov.iov_len = strlen(s->stats.error);
		pthread_mutex_unlock(&s->lock);
		log_err("%s (peer %s)", s->stats.error, link_peer(s->link));
		link_send(s->link, WIRE_REFUSED, 0, s->channel, &iov, 1);
	}
	return NULL;
}

int ship_start(struct source *source, struct link *link, unsigned channel,
	       const char *fileset, const struct wire_attach *attach,
	       struct ship **ret)
{
	struct ship *s = calloc(1, sizeof(*s));
	pthread_condattr_t attr;
	int e;

	if (!s)
		return -ENOMEM;
	s->source = source;
	s->link = link_get(link);
	s->channel = channel;
	s->fileset = strdup(fileset);
	s->attach = *attach;
	s->last = &s->first;
	s->grown = true;
	s->outflow = (struct outflow){ .mount = source_mount(source), .ctx = s,
				       .send = ship_send_windowed };
	s->answers = (struct outflow){ .mount = source_mount(source), .ctx = s,
				       .send = send_answer_data };
	s->outflow.stop = s->answers.stop = &s->stop;
	pthread_mutex_init(&s->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&s->cond, &attr);
	pthread_condattr_destroy(&attr);
	e = s->fileset ? outflow_init(&s->outflow) : -ENOMEM;
	if (!e)
		e = outflow_init(&s->answers);
	if (!e)
		e = -pthread_create(&s->thread, NULL, ship_thread, s);
	if (e) {
		link_put(link);
		outflow_done(&s->outflow);
		outflow_done(&s->answers);
		free(s->fileset);
		free(s);
		return e;
	}
	*ret = s;
	return 0;
}

void ship_stop(struct ship *s)
{
	struct ask *a;

	if (!s)
		return;
	pthread_mutex_lock(&s->lock);
	s->stop = true;
	pthread_cond_broadcast(&s->cond);
	pthread_mutex_unlock(&s->lock);
	/* The loop empties the connection's queue, and it is the loop that waits. */
	link_wake(s->link);
	pthread_join(s->thread, NULL);
	while ((a = next_ask(s)))
		free(a);
	journal_reader_free(s->reader);
	batch_done(&s->batch);
	outflow_done(&s->outflow);
	outflow_done(&s->answers);
	since_done(&s->since);
	link_put(s->link);
	pthread_cond_destroy(&s->cond);
	pthread_mutex_destroy(&s->lock);
	free(s->fileset);
	free(s);
}

static int queue_ask(struct ship *s, const struct wire_header *h,
		     const void *payload, size_t size)
{
	struct ask *a;

	if (h->len != size)
		return -EBADMSG;
	a = calloc(1, sizeof(*a));
	if (!a)
		return -ENOMEM;
	a->type = h->type;
	memcpy(&a->list, payload, size);
	pthread_mutex_lock(&s->lock);
	if (s->nasks >= ASKS_MAX) {
		pthread_mutex_unlock(&s->lock);
		free(a);
		return -EBADMSG;
	}
	*s->last = a;
	s->last = &a->next;
	s->nasks++;
	pthread_cond_signal(&s->cond);
	pthread_mutex_unlock(&s->lock);
	return 0;
}

static int take_ack(struct ship *s, const struct wire_ack *a)
{
	pthread_mutex_lock(&s->lock);
	s->stats.applied = a->applied;
	s->stats.durable = a->durable;
	s->stats.state = a->state;
	pthread_mutex_unlock(&s->lock);
	return a->state > FS_SUSPECT ? -EBADMSG : 0;
}

static int take_credit(struct ship *s, uint64_t bytes, bool answers)
{
	uint64_t *window = answers ? &s->answers_under_way : &s->under_way;
	bool ok;

	pthread_mutex_lock(&s->lock);
	ok = bytes <= *window;
	if (ok)
		*window -= bytes;
	pthread_cond_signal(&s->cond);
	pthread_mutex_unlock(&s->lock);
	return ok ? 0 : -EBADMSG;
}

int ship_frame(struct ship *s, const struct wire_header *h, const void *payload)
{
	struct wire_ack ack;
	izo_le64 bytes;

	switch (h->type) {
	case WIRE_LIST:
		return queue_ask(s, h, payload, sizeof(struct wire_list));
	case WIRE_WANT:
		return queue_ask(s, h, payload, sizeof(struct wire_want));
	case WIRE_STREAM:
		return queue_ask(s, h, payload, sizeof(struct wire_stream));
	case WIRE_ACK:
		memcpy(&ack, payload, sizeof(ack));
		return take_ack(s, &ack);
	case WIRE_CREDIT:
		memcpy(&bytes, payload, sizeof(bytes));
		return take_credit(s, bytes, h->flags & WIRE_F_ANSWER);
	default:
		return -EBADMSG;
	}
}

void ship_grown(struct ship *s)
{
	pthread_mutex_lock(&s->lock);
	s->grown = true;
	pthread_cond_signal(&s->cond);
	pthread_mutex_unlock(&s->lock);
}

void ship_stats(struct ship *s, struct ship_stats *ret)
{
	pthread_mutex_lock(&s->lock);
	*ret = s->stats;
	pthread_mutex_unlock(&s->lock);
}

struct link *ship_link(const struct ship *s)
{
	return s->link;
}

unsigned ship_channel(const struct ship *s)
{
	return s->channel;
}
