// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * capture_bpf.c: the capture source that watches the kernel (capture.h).
 *
 * Enters: a mounted filesystem. Leaves: cycles of records and marks. Arming
 * goes: find the targets, load, attach with nothing passing, self-test, let
 * the superblock pass, cross the barrier, forget what came before its end.
 * What must always hold: a cycle first fixes the end of the complete records,
 * then takes the marks, so that no mark of an earlier change is left behind;
 * the ring's consumer position and the taken maps change only in release.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include "lib/cleanup.h"
#include "lento/barrier.h"
#include "lento/capture.h"
#include "lento/capture_copy.h"
#include "lento/capture_pins.h"
#include "lento/selftest.h"

#define RING_DEFAULT	(16u << 20)
#define RING_LEAST	(256u << 10)
/* A call that was skipped and is not yet made up for: its task may have lost the
 * processor between its programs. So for as long, and at so many looks, the count
 * must not have been right even once: on a loaded machine each look may find
 * another task there. */
#define MISSED_MS	1000
#define MISSED_LOOKS	30
#define ORDER_SLACK	5

struct capture {
	struct capture_pins pins;
	struct hooks hooks;
	uint32_t timer_min, timer_max, timer;	/* ms */
	uint32_t apart;			/* ms between two cycles, at least */
	uint64_t last_ns;		/* of the last cycle */
	int epoll_fd, wake_fd;
	struct copy copy;
	uint64_t end;			/* ring position behind the cycle */
	bool out;			/* a cycle is handed out */
	bool was_busy;
	uint64_t missed, dropped, lost_marks;	/* told in this cycle */
	uint64_t points;		/* missed ones */
	uint64_t missing, missing_ns;	/* least of late, and since when; 0: none */
	unsigned looks;			/* since then */
	struct capture_cycle cycle;
	char why[256];
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static void set_own(struct capture_pins *p, const struct capture_spec *spec)
{
	struct izo_fid old;
	uint32_t one = 1;

	while (!bpf_map_get_next_key(p->own_fd, NULL, &old))
		if (bpf_map_delete_elem(p->own_fd, &old))
			break;
	for (unsigned i = 0; i < spec->nown; i++)
		bpf_map_update_elem(p->own_fd, &spec->own[i], &one, BPF_ANY);
	p->conf->nown = spec->nown;
}

static bool same_roots(const struct izo_conf *conf, const struct capture_spec *spec)
{
	return conf->armed_nroots == spec->nroots &&
		!memcmp(conf->roots, spec->roots, spec->nroots * sizeof(spec->roots[0]));
}

static int adopt(struct capture *c, const struct capture_spec *spec)
{
	struct capture_pins *p = &c->pins;
	const struct izo_conf *conf;

	if (pins_open(p))
		goto no;
	conf = p->conf;
	if (conf->magic != IZO_CAPTURE_MAGIC || conf->layout != IZO_CAPTURE_LAYOUT ||
	    conf->nprogs != p->nprogs || conf->dev != c->hooks.dev ||
	    conf->armed_dev != c->hooks.dev || !same_roots(conf, spec))
		goto no;
	set_own(p, spec);
	return 0;
no:
	pins_close(p);
	return -ENOENT;
}

/* Forgets everything that was captured so far. */
static int forget(struct capture *c)
{
	struct capture_pins *p = &c->pins;
	uint64_t end = ringread_newest(&p->ring), missed[IZO_TURNS];
	int r;

	r = dirtymap_take(&p->dirty);
	if (!r)
		r = dirtymap_release(&p->dirty);
	ringread_release(&p->ring, end);
	copy_lost_clear(p->lost_fd);
	pins_missed(p, missed);
	p->conf->seen_missed = missed[IZO_TURN_CHANGE];
	p->conf->seen_points = missed[IZO_TURN_POINT];
	p->conf->seen_dropped = p->count->dropped;
	p->conf->seen_lost_marks = p->count->lost_marks;
	return r;
}

static void configure(struct capture *c, const struct capture_spec *spec)
{
	struct izo_conf *conf = c->pins.conf;

	memset(conf->roots, 0, sizeof(conf->roots));
	memcpy(conf->roots, spec->roots, spec->nroots * sizeof(spec->roots[0]));
	conf->nroots = conf->armed_nroots = spec->nroots;
	conf->ring_quarter = c->pins.ring.size / 4;
	conf->layout = IZO_CAPTURE_LAYOUT;
	conf->nprogs = c->pins.nprogs;
	conf->armed_dev = c->hooks.dev;
	set_own(&c->pins, spec);
	__atomic_store_n(&conf->dev, c->hooks.dev, __ATOMIC_SEQ_CST);
}

static uint64_t early(const struct capture_pins *p)
{
	uint64_t missed[IZO_TURNS];

	pins_missed(p, missed);
	return p->conf->early[IZO_TURN_CHANGE];
}

/* The last programs prove themselves alone, then all together: what the first
 * ones record, no other may catch, or they do not come first. */
static int prove(struct capture *c, int root_fd, char *err, size_t size)
{
	struct capture_pins *p = &c->pins;
	uint64_t before;
	int r = selftest(p, &c->hooks, root_fd, err, size);

	if (!r)
		r = pins_attach(p, &c->hooks, err, size);
	if (r)
		return r;
	before = early(p);
	r = selftest(p, &c->hooks, root_fd, err, size);
	if (!r && early(p) - before > ORDER_SLACK) {
		snprintf(err, size, "self-test on %s: the programs of a function run in another order than the newest first",
			 c->hooks.fs_name);
		r = -EIO;
	}
	return r;
}

static int arm(struct capture *c, const struct capture_spec *spec, char *err, size_t size)
{
	uint32_t ring = spec->ring_bytes ? spec->ring_bytes : RING_DEFAULT;
	int r;

	r = pins_remove(c->pins.dir);
	if (r) {
		snprintf(err, size, "%s: %s", c->pins.dir, strerror(-r));
		return r;
	}
	if (ring < RING_LEAST)
		ring = RING_LEAST;
	r = pins_make(&c->pins, &c->hooks, spec->nroots > 0, ring, err, size);
	if (r)
		return r;
	r = pins_open(&c->pins);
	if (r)
		snprintf(err, size, "%s: %s", c->pins.dir, strerror(-r));
	if (!r)
		r = prove(c, spec->root_fd, err, size);
	if (!r) {
		configure(c, spec);
		/* where freezing is impossible a syncfs was done: the caller
		 * compares in any case after arming */
		barrier_cross(spec->root_fd);
		r = forget(c);
		if (r)
			snprintf(err, size, "the dirty maps cannot be emptied: %s",
				 strerror(-r));
	}
	if (!r)
		c->pins.conf->magic = IZO_CAPTURE_MAGIC;
	else
		pins_remove(c->pins.dir);
	return r;
}

static int waiting(struct capture *c)
{
	struct epoll_event ring = { .events = EPOLLIN | EPOLLET, .data.u32 = 0 };
	struct epoll_event wake = { .events = EPOLLIN, .data.u32 = 1 };

	c->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	c->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (c->epoll_fd < 0 || c->wake_fd < 0 ||
	    epoll_ctl(c->epoll_fd, EPOLL_CTL_ADD, c->pins.ring_fd, &ring) ||
	    epoll_ctl(c->epoll_fd, EPOLL_CTL_ADD, c->wake_fd, &wake))
		return -errno;
	return 0;
}

static void bpf_source_close(struct capture *c, bool keep)
{
	if (!keep)
		pins_remove(c->pins.dir);
	pins_close(&c->pins);
	if (c->epoll_fd >= 0)
		close(c->epoll_fd);
	if (c->wake_fd >= 0)
		close(c->wake_fd);
	copy_done(&c->copy);
	free(c);
}

static void bpf_source_recover(const char *pin_name, int root_fd)
{
	struct capture_pins p = { .nprogs = 0 };

	if (!pins_path(&p, pin_name) && pins_incomplete(&p))
		barrier_undo(root_fd);
}

static int bpf_source_open(const struct capture_spec *spec, struct capture **ret,
			   bool *ret_adopted, char *err, size_t size)
{
	struct capture *c = calloc(1, sizeof(*c));
	bool adopted;
	int r;

	if (!c)
		return -ENOMEM;
	c->epoll_fd = c->wake_fd = -1;
	c->timer_min = c->timer = spec->timer_min_ms ? spec->timer_min_ms : 5;
	c->apart = c->timer_min;
	c->timer_max = spec->timer_max_ms > c->timer ? spec->timer_max_ms : 100;
	hooks_libbpf_listen();
	r = pins_path(&c->pins, spec->pin_name);
	if (r)
		snprintf(err, size, PINS_ROOT "/%s: %s (is a bpf filesystem mounted?)",
			 spec->pin_name, strerror(-r));
	else
		r = hooks_find(spec->root_fd, &c->hooks, err, size);
	if (r) {
		c->pins.dir[0] = '\0';
		bpf_source_close(c, true);
		return r;
	}
	adopted = !adopt(c, spec);
	if (!adopted)
		r = arm(c, spec, err, size);
	if (!r)
		r = waiting(c);
	if (!r)
		r = ringseq_init(&c->copy.seq, c->pins.ring.size);
	if (r) {
		bpf_source_close(c, adopted);
		return r;
	}
	*ret = c;
	*ret_adopted = adopted;
	return 0;
}

static void gap(struct capture *c, const char *fmt, unsigned long long n, const char *what)
{
	c->cycle.gap = true;
	if (!c->cycle.gap_why) {
		snprintf(c->why, sizeof(c->why), fmt, n, what);
		c->cycle.gap_why = c->why;
	}
}

/* What stays missing for a while is missed. */
static uint64_t missed_for_good(struct capture *c)
{
	uint64_t seen = c->pins.conf->seen_missed, missed[IZO_TURNS], n;

	pins_missed(&c->pins, missed);
	n = missed[IZO_TURN_CHANGE];
	c->points = missed[IZO_TURN_POINT];
	if (n <= seen) {
		c->missing_ns = 0;
		return n;
	}
	if (!c->missing_ns) {
		c->missing_ns = now_ns();
		c->missing = n;
		c->looks = 0;
	}
	if (n < c->missing)
		c->missing = n;
	if (++c->looks < MISSED_LOOKS ||
	    now_ns() - c->missing_ns < MISSED_MS * 1000000ull)
		return seen;
	return c->missing;
}

/* The losses that no ring shows. */
static void find_gaps(struct capture *c)
{
	const struct izo_conf *conf = c->pins.conf;
	unsigned long long gone;

	c->missed = missed_for_good(c);
	c->cycle.points_missed = c->points > conf->seen_points;
	c->dropped = __atomic_load_n(&c->pins.count->dropped, __ATOMIC_ACQUIRE);
	c->lost_marks = __atomic_load_n(&c->pins.count->lost_marks, __ATOMIC_ACQUIRE);
	if (c->missed > conf->seen_missed)
		gap(c, "%llu calls missed, most by program %s",
		    c->missed - conf->seen_missed, pins_worst(&c->pins));
	if (c->dropped != conf->seen_dropped)
		gap(c, "%llu records dropped, %s", c->dropped - conf->seen_dropped,
		    "the ring was full");
	if (c->lost_marks != conf->seen_lost_marks)
		gap(c, "%llu marks lost, %s", c->lost_marks - conf->seen_lost_marks,
		    "the dirty maps were full");
	if (c->copy.broken)
		gap(c, "%llu records %s", c->copy.broken, "of no sense in the ring");
	gone = ringseq_read(&c->copy.seq, c->end, ringread_newest(&c->pins.ring));
	if (gone)
		gap(c, "%llu records are gone, %s", gone, "though the ring had room");
	if (c->cycle.gap)
		ringseq_reset(&c->copy.seq);
}

static bool losses(const struct capture *c)
{
	return __atomic_load_n(&c->pins.count->dropped, __ATOMIC_ACQUIRE) !=
		c->pins.conf->seen_dropped ||
		__atomic_load_n(&c->pins.count->lost_marks, __ATOMIC_ACQUIRE) !=
		c->pins.conf->seen_lost_marks;
}

static bool anything(const struct capture *c)
{
	return ringread_end(&c->pins.ring) != ringread_start(&c->pins.ring) ||
		dirtymap_pending(&c->pins.dirty) || losses(c);
}

/* 1: a cycle. The order of the first two steps is the contract's. */
static int collect(struct capture *c, struct capture_cycle *ret)
{
	struct capture_pins *p = &c->pins;
	int r;

	c->end = ringread_end(&p->ring);
	r = dirtymap_take(&p->dirty);
	if (!r)
		r = copy_ring(&c->copy, &p->ring, c->end);
	if (r)
		return r;
	memset(&c->cycle, 0, sizeof(c->cycle));
	find_gaps(c);
	if (c->dropped != p->conf->seen_dropped) {
		r = copy_lost(p->lost_fd, &p->dirty);
		if (r)
			return r;
	}
	c->cycle.records = c->copy.buf;
	c->cycle.records_bytes = c->copy.used;
	c->cycle.marks = p->dirty.marks;
	c->cycle.nmarks = p->dirty.nmarks;
	c->cycle.records_pos = c->end;
	c->cycle.marks_pos = ringread_newest(&p->ring);
	c->out = true;
	c->timer = c->timer_min;
	c->last_ns = now_ns();
	*ret = c->cycle;
	return 1;
}

/* Sleeps up to ms. 1: woken by capture_wake. */
static int nap(struct capture *c, int ms)
{
	struct epoll_event ev[2];
	int n = epoll_wait(c->epoll_fd, ev, 2, ms), woken = 0;

	for (int i = 0; i < n; i++)
		if (ev[i].data.u32 == 1) {
			uint64_t drop;

			if (read(c->wake_fd, &drop, sizeof(drop)) > 0)
				woken = 1;
		}
	return woken;
}

static int too_early_ms(const struct capture *c)
{
	uint64_t gone_ms = (now_ns() - c->last_ns) / 1000000;

	if (gone_ms >= c->apart || ringread_used(&c->pins.ring) > c->pins.ring.size / 4)
		return 0;
	return c->apart - gone_ms;
}

/* Misses make no record: look once more when it has become quiet. */
static bool missed_when_quiet(struct capture *c)
{
	if (!c->was_busy && !c->missing_ns)
		return false;
	c->was_busy = false;
	return missed_for_good(c) > c->pins.conf->seen_missed ||
		c->points > c->pins.conf->seen_points;
}

static int bpf_source_drain(struct capture *c, int wait_ms, struct capture_cycle *ret)
{
	uint64_t until = now_ns() + (wait_ms < 0 ? 0 : wait_ms) * 1000000ull;

	if (c->out) {
		*ret = c->cycle;
		return 1;
	}
	for (;;) {
		bool some = anything(c);
		int nap_ms = some ? too_early_ms(c) : (int)c->timer;
		int64_t left = (int64_t)(until - now_ns()) / 1000000;

		if (some && !nap_ms) {
			c->was_busy = true;
			return collect(c, ret);
		}
		if (!some && missed_when_quiet(c))
			return collect(c, ret);
		if (wait_ms >= 0 && left <= 0)
			return some ? collect(c, ret) : 0;
		if (wait_ms >= 0 && left < nap_ms)
			nap_ms = left;
		if (nap(c, nap_ms))
			return 0;
		if (!some && c->timer < c->timer_max)
			c->timer = c->timer * 2 < c->timer_max ? c->timer * 2 : c->timer_max;
	}
}

static void bpf_source_pace(struct capture *c, unsigned ms)
{
	c->apart = ms > c->timer_min ? ms : c->timer_min;
}

static void bpf_source_release(struct capture *c)
{
	if (!c->out)
		return;
	c->out = false;
	ringread_release(&c->pins.ring, c->end);
	/* A failure leaves the marks to be handed out once more. */
	if (dirtymap_release(&c->pins.dirty))
		dirtymap_keep(&c->pins.dirty);
	if (c->dropped != c->pins.conf->seen_dropped)
		copy_lost_clear(c->pins.lost_fd);
	if (c->missed > c->pins.conf->seen_missed)
		c->missing_ns = 0;
	c->pins.conf->seen_missed = c->missed;
	c->pins.conf->seen_points = c->points;
	c->pins.conf->seen_dropped = c->dropped;
	c->pins.conf->seen_lost_marks = c->lost_marks;
}

static int bpf_source_origin(struct capture *c, uint32_t peer, uint64_t seq)
{
	struct izo_origin o = { .seq = seq, .peer = peer };
	DECLARE_LIBBPF_OPTS(bpf_test_run_opts, opts, .ctx_in = &o,
			    .ctx_size_in = sizeof(o));

	if (bpf_prog_test_run_opts(c->pins.origin_fd, &opts))
		return -errno;
	if (opts.retval)
		return -ENOMEM;
	if (peer)
		__atomic_store_n(&c->pins.conf->applier, 1, __ATOMIC_SEQ_CST);
	return 0;
}

static void bpf_source_wake(struct capture *c)
{
	uint64_t one = 1;

	if (write(c->wake_fd, &one, sizeof(one)) < 0)
		return;		/* full: it is awake */
}

static void bpf_source_counters(struct capture *c, struct capture_counters *ret)
{
	const struct izo_count *k = c->pins.count;
	struct capture_counters n = {
		.records = k->records, .bytes = k->bytes, .dropped = k->dropped,
		.dirty = k->dirty, .throttled = k->throttled,
		.ring_used_bytes = ringread_used(&c->pins.ring),
		.ring_size_bytes = c->pins.ring.size,
	};
	uint64_t missed[IZO_TURNS];

	memcpy(n.kind, k->kind, sizeof(n.kind));
	pins_missed(&c->pins, missed);
	n.missed = missed[IZO_TURN_CHANGE];
	n.unsure = n.missed > c->pins.conf->seen_missed;
	n.missed_points = missed[IZO_TURN_POINT];
	for (int t = 0; t < IZO_TURNS; t++)
		n.caught += k->caught[t] - c->pins.conf->early[t];
	*ret = n;
}

const struct capture_ops capture_bpf = {
	.name = "bpf",
	.recover = bpf_source_recover,
	.open = bpf_source_open,
	.drain = bpf_source_drain,
	.release = bpf_source_release,
	.pace = bpf_source_pace,
	.origin = bpf_source_origin,
	.wake = bpf_source_wake,
	.counters = bpf_source_counters,
	.close = bpf_source_close,
};
