/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * loop.c: the io_uring loop. Enters: operations from the loop's thread, posts
 * from any thread. Leaves: callbacks, all in the loop's thread.
 *
 * What must always hold:
 *   - an operation lives until its completion came, cancelled or not, since the
 *     kernel may write into its buffer until then;
 *   - a cancel request stands in the submission queue before any operation that
 *     could get the address of the cancelled one, so it hits no stranger;
 *   - the loop sleeps in the kernel when there is nothing to do.
 */
#include "lento/loop.h"

#include <assert.h>
#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>
#include "lib/cleanup.h"

#define LOOP_ENTRIES	256

struct loop_op {
	struct loop_op *next, **prev;	/* all operations under way */
	struct loop_op **handle;	/* the owner's pointer; NULL: none */
	loop_fn *fn;			/* NULL: cancelled without a `gone` */
	void *ctx;
	bool timer;
	bool cancelled;
	struct __kernel_timespec ts;
};

struct post {
	struct post *next;
	loop_fn *fn;
	void *ctx;
};

struct loop {
	struct io_uring ring;
	struct loop_op *ops;
	int wake_fd;
	uint64_t wake_count;		/* the kernel reads the eventfd into it */
	struct loop_op *wake_op;
	bool dying;
	atomic_bool quit;
	_Atomic(pthread_t) thread;

	pthread_mutex_t lock;		/* innermost: guards the posts */
	struct post *posts, **posts_end;
};

uint64_t loop_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

bool loop_here(const struct loop *l)
{
	return pthread_equal(atomic_load(&((struct loop *)l)->thread), pthread_self());
}

/* Operations ---------------------------------------------------------------- */

/* Room in the submission queue: hands it to the kernel when it is full. */
static struct io_uring_sqe *loop_sqe(struct loop *l)
{
	struct io_uring_sqe *sqe;

	while (!(sqe = io_uring_get_sqe(&l->ring))) {
		int rc = io_uring_submit(&l->ring);

		/* EBUSY, EAGAIN: the kernel wants completions taken first, which
		 * it holds for us in its overflow list (no NODROP loss). */
		if (rc < 0 && rc != -EINTR && rc != -EBUSY && rc != -EAGAIN)
			return NULL;
		if (rc == -EBUSY || rc == -EAGAIN)
			io_uring_get_events(&l->ring);
	}
	return sqe;
}

static struct io_uring_sqe *op_start(struct loop *l, loop_fn *fn, void *ctx,
				     struct loop_op **handle, struct loop_op **ret)
{
	_cleanup_free_ struct loop_op *op = NULL;
	struct io_uring_sqe *sqe;

	if (l->dying)
		return errno = ESHUTDOWN, NULL;
	op = calloc(1, sizeof(*op));
	if (!op)
		return errno = ENOMEM, NULL;
	sqe = loop_sqe(l);
	if (!sqe)
		return errno = EIO, NULL;
	op->fn = fn;
	op->ctx = ctx;
	op->handle = handle;
	op->next = l->ops;
	op->prev = &l->ops;
	if (op->next)
		op->next->prev = &op->next;
	l->ops = op;
	if (handle)
		*handle = op;
	*ret = take_ptr(op);
	return sqe;
}

/* prep is given sqe with everything but user_data. */
#define OP(l, fn, ctx, handle, prep) do {				\
	struct loop_op *op_;						\
	struct io_uring_sqe *sqe = op_start(l, fn, ctx, handle, &op_);	\
									\
	if (!sqe)							\
		return -errno;						\
	prep;								\
	io_uring_sqe_set_data(sqe, op_);				\
	return 0;							\
} while (0)

int loop_accept(struct loop *l, int fd, loop_fn *fn, void *ctx, struct loop_op **op)
{
	OP(l, fn, ctx, op,
	   io_uring_prep_accept(sqe, fd, NULL, NULL, SOCK_CLOEXEC));
}

int loop_connect(struct loop *l, int fd, const struct sockaddr *addr,
		 socklen_t len, loop_fn *fn, void *ctx, struct loop_op **op)
{
	OP(l, fn, ctx, op, io_uring_prep_connect(sqe, fd, addr, len));
}

int loop_recv(struct loop *l, int fd, void *buf, size_t len, loop_fn *fn,
	      void *ctx, struct loop_op **op)
{
	OP(l, fn, ctx, op, io_uring_prep_recv(sqe, fd, buf, len, 0));
}

int loop_send(struct loop *l, int fd, const void *buf, size_t len, loop_fn *fn,
	      void *ctx, struct loop_op **op)
{
	OP(l, fn, ctx, op, io_uring_prep_send(sqe, fd, buf, len, MSG_NOSIGNAL));
}

int loop_poll(struct loop *l, int fd, unsigned events, loop_fn *fn, void *ctx,
	      struct loop_op **op)
{
	OP(l, fn, ctx, op, io_uring_prep_poll_add(sqe, fd, events));
}

int loop_timer(struct loop *l, uint64_t ms, loop_fn *fn, void *ctx,
	       struct loop_op **op)
{
	OP(l, fn, ctx, op, {
		op_->timer = true;
		op_->ts.tv_sec = (long long)(ms / 1000);
		op_->ts.tv_nsec = (long long)(ms % 1000 * 1000000);
		io_uring_prep_timeout(sqe, &op_->ts, 0, 0);
	});
}

static void op_cancel(struct loop *l, struct loop_op *op)
{
	struct io_uring_sqe *sqe = loop_sqe(l);

	op->cancelled = true;
	if (!sqe)
		return;		/* the ring is broken: loop_run says so */
	io_uring_prep_cancel(sqe, op, 0);
	io_uring_sqe_set_data(sqe, NULL);
}

void loop_cancel_then(struct loop *l, struct loop_op **handle, loop_fn *gone, void *ctx)
{
	struct loop_op *op = *handle;

	if (!op)
		return;
	*handle = NULL;
	op->handle = NULL;
	op->fn = gone;
	op->ctx = ctx;
	op_cancel(l, op);
}

void loop_cancel(struct loop *l, struct loop_op **handle)
{
	loop_cancel_then(l, handle, NULL, NULL);
}

static void op_done(struct loop_op *op, int res)
{
	loop_fn *fn = op->fn;
	void *ctx = op->ctx;

	if (op->timer && res == -ETIME)
		res = 0;
	if (op->handle)
		*op->handle = NULL;
	*op->prev = op->next;
	if (op->next)
		op->next->prev = op->prev;
	free(op);
	if (fn)
		fn(ctx, res);
}

/* Posts ----------------------------------------------------------------------- */

static void loop_wake(struct loop *l)
{
	uint64_t one = 1;

	/* It fails only when the counter is full: then it is readable as well. */
	if (write(l->wake_fd, &one, sizeof(one)) < 0)
		return;
}

int loop_post(struct loop *l, loop_fn *fn, void *ctx)
{
	struct post *p = malloc(sizeof(*p));
	bool first;

	if (!p)
		return -ENOMEM;
	*p = (struct post){ .fn = fn, .ctx = ctx };
	{
		hold_mutex(&l->lock);
		first = !l->posts;
		*l->posts_end = p;
		l->posts_end = &p->next;
	}
	if (first)
		loop_wake(l);
	return 0;
}

void loop_forget_posts(struct loop *l, const void *ctx)
{
	struct post **at = &l->posts;

	hold_mutex(&l->lock);
	while (*at) {
		struct post *p = *at;

		if (p->ctx != ctx) {
			at = &p->next;
			continue;
		}
		*at = p->next;
		free(p);
	}
	l->posts_end = at;
}

static void posts_run(struct loop *l)
{
	struct post *p;

	{
		hold_mutex(&l->lock);
		p = l->posts;
		l->posts = NULL;
		l->posts_end = &l->posts;
	}
	while (p) {
		struct post *next = p->next;
		loop_fn *fn = p->fn;
		void *ctx = p->ctx;

		free(p);
		fn(ctx, 0);
		p = next;
	}
}

static void on_wake(void *ctx, int res);

static int wake_arm(struct loop *l)
{
	OP(l, on_wake, l, &l->wake_op,
	   io_uring_prep_read(sqe, l->wake_fd, &l->wake_count, sizeof(l->wake_count), 0));
}

static void on_wake(void *ctx, int res)
{
	struct loop *l = ctx;

	(void)res;
	if (!l->dying && wake_arm(l) < 0)
		atomic_store(&l->quit, true);
	posts_run(l);
}

/* The loop --------------------------------------------------------------------- */

int loop_new(struct loop **ret)
{
	struct io_uring_params p = {
		.flags = IORING_SETUP_COOP_TASKRUN | IORING_SETUP_SUBMIT_ALL,
	};
	struct loop *l = calloc(1, sizeof(*l));
	int rc;

	if (!l)
		return -ENOMEM;
	rc = io_uring_queue_init_params(LOOP_ENTRIES, &l->ring, &p);
	if (rc < 0)
		goto free_loop;
	l->wake_fd = eventfd(0, EFD_CLOEXEC);
	if (l->wake_fd < 0) {
		rc = -errno;
		goto exit_ring;
	}
	pthread_mutex_init(&l->lock, NULL);
	l->posts_end = &l->posts;
	atomic_store(&l->thread, pthread_self());
	rc = wake_arm(l);
	if (rc < 0)
		goto close_wake;
	*ret = l;
	return 0;

close_wake:
	close(l->wake_fd);
exit_ring:
	io_uring_queue_exit(&l->ring);
free_loop:
	free(l);
	return rc;
}

/* Hands over what is queued, waits for one completion, runs all that came. */
static int loop_round(struct loop *l)
{
	struct io_uring_cqe *cqe;
	int rc = io_uring_submit_and_wait(&l->ring, 1);

	if (rc < 0 && rc != -EINTR && rc != -EBUSY && rc != -EAGAIN)
		return rc;
	while (io_uring_peek_cqe(&l->ring, &cqe) == 0) {
		struct loop_op *op = io_uring_cqe_get_data(cqe);
		int res = cqe->res;

		io_uring_cqe_seen(&l->ring, cqe);
		if (op)
			op_done(op, res);
		if (atomic_load(&l->quit))
			break;
	}
	return 0;
}

int loop_run(struct loop *l)
{
	int rc = 0;

	atomic_store(&l->thread, pthread_self());
	while (!atomic_load(&l->quit) && rc == 0)
		rc = loop_round(l);
	atomic_store(&l->quit, false);
	return rc;
}

void loop_quit(struct loop *l)
{
	atomic_store(&l->quit, true);
	loop_wake(l);
}

void loop_free(struct loop *l)
{
	struct loop_op *op;

	if (!l)
		return;
	atomic_store(&l->quit, false);
	atomic_store(&l->thread, pthread_self());
	posts_run(l);
	l->dying = true;
	for (op = l->ops; op; op = op->next)
		if (!op->cancelled)
			op_cancel(l, op);
	while (l->ops && loop_round(l) == 0)
		;
	posts_run(l);
	assert(!l->posts);
	close(l->wake_fd);
	io_uring_queue_exit(&l->ring);
	pthread_mutex_destroy(&l->lock);
	free(l);
}
