/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_loop.c: the io_uring loop. Timers come in order and not early, posts
 * from many threads come in order, a cancelled operation gives no callback and
 * lets go of its buffer, a full submission queue loses nothing, an idle loop
 * uses no processor time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "lento/loop.h"

static struct loop *loop;

static int setup(void **state)
{
	(void)state;
	return loop_new(&loop);
}

static int teardown(void **state)
{
	(void)state;
	loop_free(loop);
	return 0;
}

static void quit(void *ctx, int res)
{
	(void)ctx;
	(void)res;
	loop_quit(loop);
}

static void never(void *ctx, int res)
{
	(void)ctx;
	fail_msg("a cancelled callback ran with %d", res);
}

static void run_ms(unsigned ms)
{
	assert_int_equal(loop_timer(loop, ms, quit, NULL, NULL), 0);
	assert_int_equal(loop_run(loop), 0);
}

/* Timers ------------------------------------------------------------------------- */

static int order[8], norder;

static void note(void *ctx, int res)
{
	assert_int_equal(res, 0);
	assert_true(loop_here(loop));
	order[norder++] = (int)(intptr_t)ctx;
}

static void timers_in_order(void **state)
{
	struct loop_op *a, *b, *c;
	uint64_t begin = loop_now_ms();

	(void)state;
	norder = 0;
	loop_timer(loop, 60, note, (void *)3, &a);
	loop_timer(loop, 10, note, (void *)1, &b);
	loop_timer(loop, 30, note, (void *)2, &c);
	assert_non_null(a);
	run_ms(90);
	assert_int_equal(norder, 3);
	for (int i = 0; i < 3; i++)
		assert_int_equal(order[i], i + 1);
	assert_null(a);
	assert_null(b);
	assert_true(loop_now_ms() - begin >= 89);
}

static void cancelled_timer(void **state)
{
	struct loop_op *a;

	(void)state;
	loop_timer(loop, 10, never, NULL, &a);
	loop_cancel(loop, &a);
	assert_null(a);
	loop_cancel(loop, &a);
	run_ms(30);
}

/* Cancels the other when both are due in the same round. */
static struct loop_op *pair[2];
static int pair_ran;

static void cancel_other(void *ctx, int res)
{
	(void)res;
	pair_ran++;
	loop_cancel(loop, ctx == &pair[0] ? &pair[1] : &pair[0]);
}

static void cancel_in_the_same_round(void **state)
{
	(void)state;
	pair_ran = 0;
	loop_timer(loop, 5, cancel_other, &pair[0], &pair[0]);
	loop_timer(loop, 5, cancel_other, &pair[1], &pair[1]);
	usleep(20000);
	run_ms(30);
	assert_int_equal(pair_ran, 1);
}

#define MANY	5000
static int many;

static void count(void *ctx, int res)
{
	(void)ctx;
	assert_int_equal(res, 0);
	many++;
}

static void more_than_the_ring(void **state)
{
	static struct loop_op *op[MANY];

	(void)state;
	many = 0;
	for (int i = 0; i < MANY; i++)
		assert_int_equal(loop_timer(loop, 1, count, NULL, &op[i]), 0);
	for (int i = 0; i < MANY; i += 2)
		loop_cancel(loop, &op[i]);
	run_ms(300);
	assert_int_equal(many, MANY / 2);
}

/* Posts -------------------------------------------------------------------------- */

#define POSTERS	4
#define POSTS	20000

static int last_post[POSTERS], posts_seen;

static void post_seen(void *ctx, int res)
{
	int who = (int)((intptr_t)ctx / POSTS), n = (int)((intptr_t)ctx % POSTS);

	(void)res;
	assert_int_equal(last_post[who]++, n);
	if (++posts_seen == POSTERS * POSTS)
		loop_quit(loop);
}

static void *poster(void *arg)
{
	for (intptr_t i = 0; i < POSTS; i++)
		loop_post(loop, post_seen, (void *)((intptr_t)arg * POSTS + i));
	return NULL;
}

static void posts_in_order(void **state)
{
	pthread_t t[POSTERS];

	(void)state;
	memset(last_post, 0, sizeof(last_post));
	posts_seen = 0;
	for (intptr_t i = 0; i < POSTERS; i++)
		pthread_create(&t[i], NULL, poster, (void *)i);
	assert_int_equal(loop_run(loop), 0);
	for (int i = 0; i < POSTERS; i++)
		pthread_join(t[i], NULL);
	assert_int_equal(posts_seen, POSTERS * POSTS);
}

static void post_again(void *ctx, int res)
{
	(void)res;
	if (++*(int *)ctx < 100)
		loop_post(loop, post_again, ctx);
	else if (loop)
		loop_quit(loop);
}

static void posts_from_posts(void **state)
{
	int n = 0;

	(void)state;
	loop_post(loop, post_again, &n);
	assert_int_equal(loop_run(loop), 0);
	assert_int_equal(n, 100);
}

static void free_runs_posts(void **state)
{
	int n = 99;

	(void)state;
	loop_post(loop, post_again, &n);
	loop_free(loop);
	loop = NULL;
	assert_int_equal(n, 100);
}

/* Sockets ------------------------------------------------------------------------ */

struct buffer {
	char *bytes;
	int res, calls;
	int fd;
};

static void buffer_gone(void *ctx, int res)
{
	struct buffer *b = ctx;

	b->calls++;
	b->res = res;
	free(b->bytes);		/* ASan sees the kernel's late writes, if any */
	b->bytes = NULL;
}

static void buffer_filled(void *ctx, int res)
{
	struct buffer *b = ctx;

	b->calls++;
	b->res = res;
	loop_quit(loop);
}

static void cancelled_receive_lets_go(void **state)
{
	struct buffer b = { .bytes = malloc(4096) };
	struct loop_op *op;
	int fd[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
	loop_recv(loop, fd[0], b.bytes, 4096, never, NULL, &op);
	run_ms(5);		/* it is in the kernel now */
	loop_cancel_then(loop, &op, buffer_gone, &b);
	assert_int_equal(b.calls, 0);
	assert_int_equal(write(fd[1], "late", 4), 4);
	run_ms(5);
	assert_int_equal(b.calls, 1);
	assert_null(b.bytes);
	close(fd[0]);
	close(fd[1]);
}

static void send_and_receive(void **state)
{
	struct buffer b = { .bytes = malloc(4096) }, s = { 0 };
	int fd[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
	loop_recv(loop, fd[0], b.bytes, 4096, buffer_filled, &b, NULL);
	loop_send(loop, fd[1], "hello", 5, buffer_gone, &s, NULL);
	assert_int_equal(loop_run(loop), 0);
	assert_int_equal(b.res, 5);
	assert_memory_equal(b.bytes, "hello", 5);
	close(fd[0]);
	/* A peer that is gone: an error, no SIGPIPE. */
	s.res = 0;
	loop_send(loop, fd[1], "hello", 5, buffer_filled, &s, NULL);
	assert_int_equal(loop_run(loop), 0);
	assert_int_equal(s.res, -EPIPE);
	close(fd[1]);
	free(b.bytes);
}

static void accept_connect_poll(void **state)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	struct buffer server = { 0 }, client = { 0 };
	socklen_t len = sizeof(a);
	int lfd = socket(AF_INET, SOCK_STREAM, 0), fd = socket(AF_INET, SOCK_STREAM, 0);

	(void)state;
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(lfd, (void *)&a, sizeof(a)), 0);
	assert_int_equal(listen(lfd, 1), 0);
	getsockname(lfd, (void *)&a, &len);
	loop_accept(loop, lfd, buffer_filled, &server, NULL);
	loop_connect(loop, fd, (void *)&a, sizeof(a), buffer_gone, &client, NULL);
	assert_int_equal(loop_run(loop), 0);
	run_ms(5);
	assert_true(server.res >= 0);
	assert_int_equal(client.res, 0);
	loop_poll(loop, fd, POLLIN, buffer_filled, &client, NULL);
	assert_int_equal(write(server.res, "x", 1), 1);
	assert_int_equal(loop_run(loop), 0);
	assert_true(client.res & POLLIN);
	close(server.res);
	close(fd);
	close(lfd);
}

static void free_ends_operations(void **state)
{
	struct buffer b = { .bytes = malloc(16) };
	struct loop *own;
	int fd[2];

	(void)state;
	assert_int_equal(loop_new(&own), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
	loop_recv(own, fd[0], b.bytes, 16, buffer_gone, &b, NULL);
	loop_free(own);
	assert_int_equal(b.res, -ECANCELED);
	assert_int_equal(b.calls, 1);
	close(fd[0]);
	close(fd[1]);
}

static void idle_sleeps(void **state)
{
	struct timespec a, b;
	struct loop_op *op;
	long used;

	(void)state;
	loop_timer(loop, 60000, never, NULL, &op);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &a);
	run_ms(500);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &b);
	loop_cancel(loop, &op);
	used = (b.tv_sec - a.tv_sec) * 1000 + (b.tv_nsec - a.tv_nsec) / 1000000;
	assert_true(used < 50);
}

int main(void)
{
#define T(f)	cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(timers_in_order), T(cancelled_timer), T(cancel_in_the_same_round),
		T(more_than_the_ring), T(posts_in_order), T(posts_from_posts),
		T(free_runs_posts), T(cancelled_receive_lets_go), T(send_and_receive),
		T(accept_connect_poll), T(free_ends_operations), T(idle_sleeps),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("loop", tests, NULL, NULL);
}
