/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * loop.h: the one io_uring loop of lento. Sockets, timers, signals and wake-ups
 * from other threads become callbacks in the main thread. Work that may block
 * (capture, reading files, applying) is done in threads of its own, which talk
 * to the loop only by loop_post().
 *
 * A callback gets cqe->res: bytes, or a negative errno (a timer: 0). One
 * operation gives one callback; after loop_cancel() it gives none.
 */
#ifndef LENTO_LOOP_H
#define LENTO_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct loop;
struct loop_op;

typedef void loop_fn(void *ctx, int res);

int loop_new(struct loop **ret);
/* Runs what was posted; operations still under way end in their callbacks with
 * -ECANCELED (new ones are refused with -ESHUTDOWN), so that owners let go. No
 * other thread may post any more. */
void loop_free(struct loop *l);
int loop_run(struct loop *l);		/* until loop_quit; 0 or -errno */
void loop_quit(struct loop *l);		/* any thread */

/* One operation each. *op is set, and cleared before the callback runs; op may
 * be NULL where nobody will cancel (then the callback frees everything). The
 * callback never runs inside the call. Memory and fd that the operation uses
 * must live until the callback, or until `gone` of loop_cancel_then(). */
int loop_accept(struct loop *l, int fd, loop_fn *fn, void *ctx, struct loop_op **op);
int loop_connect(struct loop *l, int fd, const struct sockaddr *addr,
		 socklen_t len, loop_fn *fn, void *ctx, struct loop_op **op);
int loop_recv(struct loop *l, int fd, void *buf, size_t len, loop_fn *fn,
	      void *ctx, struct loop_op **op);
/* May send less than len. Never raises SIGPIPE. */
int loop_send(struct loop *l, int fd, const void *buf, size_t len, loop_fn *fn,
	      void *ctx, struct loop_op **op);
/* events as poll(2); once. The result is revents. */
int loop_poll(struct loop *l, int fd, unsigned events, loop_fn *fn, void *ctx,
	      struct loop_op **op);
int loop_timer(struct loop *l, uint64_t ms, loop_fn *fn, void *ctx,
	       struct loop_op **op);

/* The callback will not run; *op is NULL afterwards; a NULL *op is fine. Enough
 * for timers; polls, when the fd outlives the loop's next round. */
void loop_cancel(struct loop *l, struct loop_op **op);
/* As well, and gone(ctx, res) runs when the kernel let go of buffer and fd; res
 * is what the operation did all the same (an accepted fd must be closed). Never
 * runs inside the call. A NULL *op: nothing happens, gone does not run. */
void loop_cancel_then(struct loop *l, struct loop_op **op, loop_fn *gone, void *ctx);

/* Runs fn(ctx, 0) in the loop's thread, soon, in order; from any thread. */
int loop_post(struct loop *l, loop_fn *fn, void *ctx);
/* What was posted with ctx does not run: it is about to be freed. */
void loop_forget_posts(struct loop *l, const void *ctx);

/* Is this the thread of the loop (of loop_new, then of loop_run)? */
bool loop_here(const struct loop *l);
uint64_t loop_now_ms(void);		/* CLOCK_MONOTONIC */

#endif
