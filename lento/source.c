// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * source.c: see source.h: the thread, its start and end, and what others may
 * ask. `lock` guards the statistics and `armed`, nothing else.
 */
#include "lento/source_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include "lib/io.h"
#include "lib/log.h"

#define DRAIN_WAIT_MS	1000
#define NICE		-15

static void set_why(struct source *s, const char *why, bool gap)
{
	pthread_mutex_lock(&s->lock);
	snprintf(s->stats.why, sizeof(s->stats.why), "%s", why ? why : "?");
	s->stats.gaps += gap;
	pthread_mutex_unlock(&s->lock);
}

static int after_gap(struct source *s, const char *why)
{
	int e;

	log_warn("fileset %s: SUSPECT: %s; the tree is compared", s->conf->name, why);
	set_why(s, why, true);
	e = source_build_index(s);
	if (!e)
		s->events->resync(s->ctx);
	return e;
}

static int drain_once(struct source *s)
{
	struct capture_cycle cycle = { 0 };
	int wait = settle_wait_ms(s->settle, now_ms()), n, e;

	if (wait < 0 || wait > DRAIN_WAIT_MS)
		wait = DRAIN_WAIT_MS;
	s->began = now_real();
	n = s->ops->drain(s->capture, wait, &cycle);
	if (n < 0)
		return n;
	e = source_cycle(s, &cycle);
	if (s->rescan && !cycle.gap) {
		cycle.gap = true;
		cycle.gap_why = "an ioctl made or removed a subvolume or changed a "
				"file's generation";
	}
	s->rescan = false;
	if (!e && cycle.gap)	/* a lento that dies from here on compares too */
		e = source_void_index(s);
	if (e)
		return e;
	if (n)
		s->ops->release(s->capture);
	return cycle.gap ? after_gap(s, cycle.gap_why) : 0;
}

/* Who empties the ring goes before those who fill it: among equals it would get
 * one share of the processors, and they as many as they are. */
static void go_first(void)
{
	if (setpriority(PRIO_PROCESS, gettid(), NICE))
		log_warn("cannot raise the priority of capture: %s", strerror(errno));
}

static void *source_thread(void *arg)
{
	struct source *s = arg;
	char err[512] = "";
	int e = source_bring_up(s, err, sizeof(err));

	if (!e) {
		pthread_mutex_lock(&s->lock);
		s->stats.ready = true;
		pthread_mutex_unlock(&s->lock);
		s->events->ready(s->ctx);
		go_first();
	}
	while (!e && !s->stop)
		e = drain_once(s);
	if (e) {
		if (!err[0])
			snprintf(err, sizeof(err), "%s", strerror(-e));
		set_why(s, err, false);
		s->events->failed(s->ctx, err);
	}
	pthread_mutex_lock(&s->lock);
	s->armed = false;
	pthread_mutex_unlock(&s->lock);
	if (s->capture)
		s->ops->close(s->capture, s->keep || e);
	if (s->index)
		index_abort(s->index);
	return NULL;
}

static int open_folders(struct source *s, char *err, size_t size)
{
	char path[4096];
	int e;

	s->root_fd = open(s->conf->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->root_fd < 0) {
		e = -errno;
		snprintf(err, size, "fileset %s: %s: %s", s->conf->name,
			 s->conf->path, strerror(-e));
		return e;
	}
	if (s->ops->recover)
		s->ops->recover(s->conf->name, s->root_fd);
	e = tree_open(s->conf->path, &s->tree);
	if (!e)
		e = fid_mount_init(&s->mount, s->tree.fd);
	if (!e)
		e = fid_of(&s->mount, s->tree.fd, "", &s->root);
	if (e) {
		snprintf(err, size, "fileset %s: %s: no file handles here: %s",
			 s->conf->name, s->conf->path, strerror(-e));
		return e;
	}
	snprintf(path, sizeof(path), "%s/%s", s->conf->state, s->conf->name);
	s->state_fd = mkdir_open(AT_FDCWD, path, 0700);
	if (s->state_fd < 0) {
		snprintf(err, size, "fileset %s: state folder %s: %s",
			 s->conf->name, path, strerror(-s->state_fd));
		return s->state_fd;
	}
	return 0;
}

static void source_free(struct source *s)
{
	journal_close(s->journal);
	index_close(s->index);
	settle_free(s->settle);
	horizon_free(s->horizon);
	tree_close(&s->tree);
	if (s->root_fd >= 0)
		close(s->root_fd);
	if (s->state_fd >= 0)
		close(s->state_fd);
	free(s->points.fid);
	free(s->dead.fid);
	free(s->again);
	free(s->copy);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

int source_start(const struct conf_fileset *f, const struct capture_ops *ops,
		 const struct source_events *events, void *ctx,
		 struct source **ret, char *err, size_t err_size)
{
	struct source *s = calloc(1, sizeof(*s));
	int e;

	if (!s)
		return -ENOMEM;
	s->conf = f;
	s->ops = ops;
	s->events = events;
	s->ctx = ctx;
	s->root_fd = s->state_fd = -1;
	s->tree = TREE_CLOSED;
	pthread_mutex_init(&s->lock, NULL);
	snprintf(s->stats.capture, sizeof(s->stats.capture), "%s", ops->name);
	s->copy = malloc(IZO_RECORD_MAX + 8);
	s->settle = settle_new(f->settle_ms);
	s->horizon = horizon_new();
	e = s->copy && s->settle && s->horizon ? open_folders(s, err, err_size) : -ENOMEM;
	if (!e)
		e = -pthread_create(&s->thread, NULL, source_thread, s);
	if (e) {
		source_free(s);
		return e;
	}
	s->running = true;
	*ret = s;
	return 0;
}

void source_stop(struct source *s, bool keep)
{
	if (!s)
		return;
	s->keep = keep;
	s->stop = true;
	pthread_mutex_lock(&s->lock);
	if (s->armed)
		s->ops->wake(s->capture);
	pthread_mutex_unlock(&s->lock);
	pthread_join(s->thread, NULL);
	source_free(s);
}

struct journal *source_journal(struct source *s)
{
	return s->journal;
}

struct index *source_index(struct source *s)
{
	return s->index;
}

const struct fid_mount *source_mount(struct source *s)
{
	return &s->mount;
}

const struct izo_fid *source_root(struct source *s)
{
	return &s->root;
}

int source_state_fd(struct source *s)
{
	return s->state_fd;
}

/* What the border of a replica that is away needs before it stays. */
void source_trim(struct source *s, uint64_t seq)
{
	uint64_t bound = s->keep_from;

	if (!seq)
		return;
	if (seq == s->trim_seq && s->trim_bound < bound)
		bound = s->trim_bound;
	s->trim_seq = seq;
	s->trim_bound = bound;
	journal_trim(s->journal, seq - 1 < bound ? seq - 1 : bound);
}

void source_stats(struct source *s, struct source_stats *ret)
{
	pthread_mutex_lock(&s->lock);
	*ret = s->stats;
	if (s->armed)
		s->ops->counters(s->capture, &ret->counters);
	pthread_mutex_unlock(&s->lock);
}
