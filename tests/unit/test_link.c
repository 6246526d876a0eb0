/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_link.c: two hosts in one process, over loopback. Frames of all sizes
 * through a proxy that cuts the stream at random and flips or drops what it is
 * told to; peers that are none; slow, silent and dying peers; back-off;
 * throughput. Raw peers are plain sockets: the kernel's buffers let the test
 * write first, run the loop, and read then.
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
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "lento/link.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SCALE	10
#else
#define SCALE	1
#endif

struct host {
	const char *name;
	struct link_server *server;
	struct link_dialer *dialer;
	struct link *link;		/* while up */
	int ups, downs;
	char why[256];
	uint64_t frames, bytes;
	uint64_t expect;		/* seed of the next frame; ~0: do not look */
	int refuse;
};

static struct loop *loop;
static struct host alpha, beta;
static bool (*until)(void);

static void check(void)
{
	if (until && until()) {
		until = NULL;
		loop_quit(loop);
	}
}

/* Contents of a frame follow from its number. */
static void pattern(void *p, size_t len, uint64_t seed)
{
	unsigned char *b = p;
	uint64_t x = seed * 0x9e3779b97f4a7c15ull + 1;

	for (size_t i = 0; i < len; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		b[i] = (unsigned char)x;
	}
}

static void ev_up(void *ctx, struct link *l)
{
	struct host *h = ctx;

	assert_true(link_is_up(l) && link_was_up(l));
	h->ups++;
	h->link = l;
	check();
}

static int ev_frame(void *ctx, struct link *l, const struct wire_header *h,
		    const void *payload)
{
	static unsigned char want[WIRE_PAYLOAD_MAX];
	struct host *host = ctx;

	assert_ptr_equal(l, host->link);
	assert_int_equal((uintptr_t)payload % 8, 0);
	if (host->refuse)
		return host->refuse;
	if (host->expect != ~0ull) {
		pattern(want, h->len, host->expect++);
		assert_memory_equal(want, payload, h->len);
	}
	host->frames++;
	host->bytes += h->len;
	check();
	return 0;
}

static void ev_down(void *ctx, struct link *l, const char *why)
{
	struct host *h = ctx;

	assert_false(link_is_up(l));
	h->downs++;
	snprintf(h->why, sizeof(h->why), "%s", why);
	if (h->link == l)
		h->link = NULL;
	check();
}

static bool ev_known(void *ctx, const char *name)
{
	(void)ctx;
	return strcmp(name, "alpha") == 0 || strcmp(name, "beta") == 0;
}

static const struct link_events events = { ev_up, ev_frame, ev_down, ev_known };

static struct link_options options(struct host *h, const char *peer)
{
	return (struct link_options){
		.self = h->name, .peer = peer, .events = &events, .ctx = h,
	};
}

static int setup(void **state)
{
	(void)state;
	alpha = (struct host){ .name = "alpha", .expect = ~0ull };
	beta = (struct host){ .name = "beta", .expect = ~0ull };
	until = NULL;
	return loop_new(&loop);
}

static int teardown(void **state)
{
	(void)state;
	link_dial_stop(alpha.dialer);
	link_dial_stop(beta.dialer);
	link_listen_stop(alpha.server);
	link_listen_stop(beta.server);
	loop_free(loop);
	return 0;
}

static void on_limit(void *ctx, int res)
{
	(void)res;
	*(bool *)ctx = true;
	loop_quit(loop);
}

/* Runs the loop until the condition holds; false: not within ms. */
static bool run(bool (*cond)(void), unsigned ms)
{
	struct loop_op *op;
	bool limit = false;

	until = cond;
	if (cond && cond())
		return true;
	loop_timer(loop, ms, on_limit, &limit, &op);
	assert_int_equal(loop_run(loop), 0);
	loop_cancel(loop, &op);
	until = NULL;
	return !limit;
}

static bool both_up(void) { return alpha.link && beta.link; }
static bool beta_up(void) { return beta.link; }
static bool both_down(void) { return alpha.downs && beta.downs; }
static bool beta_down(void) { return beta.downs > 0; }
static bool alpha_down(void) { return alpha.downs > 0; }

static unsigned serve(struct host *h, const struct link_options *o)
{
	const char *address = "127.0.0.1:0";
	char err[256];

	assert_int_equal(link_listen(loop, &address, 1, o, &h->server, err, sizeof(err)), 0);
	return link_listen_port(h->server, 0);
}

static void dial(struct host *h, const struct link_options *o, const char *host,
		 unsigned port)
{
	char text[64], err[256];
	const char *address = text;

	snprintf(text, sizeof(text), "%s:%u", host, port);
	assert_int_equal(link_dial(loop, &address, 1, o, &h->dialer, err, sizeof(err)), 0);
}

static unsigned serve_beta(void)
{
	struct link_options o = options(&beta, NULL);

	return serve(&beta, &o);
}

static void dial_beta(const char *host, unsigned port)
{
	struct link_options o = options(&alpha, "beta");

	dial(&alpha, &o, host, port);
}

static void connect_both(void)
{
	dial_beta("127.0.0.1", serve_beta());
	assert_true(run(both_up, 20000));
}

/* Raw peers ---------------------------------------------------------------------- */

static int raw_listen(unsigned *ret_port)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(fd, (void *)&a, sizeof(a)), 0);
	assert_int_equal(listen(fd, 16), 0);
	getsockname(fd, (void *)&a, &len);
	*ret_port = ntohs(a.sin_port);
	return fd;
}

static int raw_connect(unsigned port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	struct timeval limit = { .tv_sec = 5 };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	assert_int_equal(connect(fd, (void *)&a, sizeof(a)), 0);
	return fd;
}

static void raw_write(int fd, const void *p, size_t len)
{
	assert_int_equal(send(fd, p, len, MSG_NOSIGNAL), len);
}

static void raw_frame(int fd, enum wire_type type, const void *p, size_t len)
{
	static const char zero[WIRE_ALIGN];
	struct iovec iov = { (void *)(uintptr_t)p, len };
	struct wire_header h;

	assert_int_equal(wire_header_init(&h, type, 0, 0, &iov, 1), 0);
	raw_write(fd, &h, sizeof(h));
	raw_write(fd, p, len);
	raw_write(fd, zero, wire_padded(len) - len);
}

static struct wire_hello hello_of(const char *name)
{
	struct wire_hello m = {
		.magic = WIRE_MAGIC, .major = WIRE_VERSION_MAJOR,
		.minor = WIRE_VERSION_MINOR,
	};

	snprintf(m.name, sizeof(m.name), "%s", name);
	return m;
}

static int raw_hello(unsigned port, const struct wire_hello *m)
{
	int fd = raw_connect(port);

	raw_frame(fd, WIRE_HELLO, m, sizeof(*m));
	return fd;
}

/* One frame that the link sent; its type. */
static unsigned raw_read(int fd, char *text, size_t size)
{
	struct wire_header h;
	char payload[4096] = "";

	assert_int_equal(recv(fd, &h, sizeof(h), MSG_WAITALL), sizeof(h));
	assert_true(h.len < sizeof(payload));
	if (h.len)
		assert_int_equal(recv(fd, payload, wire_padded(h.len), MSG_WAITALL),
				 wire_padded(h.len));
	snprintf(text, size, "%s", payload);
	return h.type;
}

/* HELLO is refused with this text on both sides. */
static void expect_refused(int fd, const char *text)
{
	char bye[4096];

	assert_true(run(beta_down, 20000));
	assert_non_null(strstr(beta.why, text));
	assert_int_equal(beta.ups, 0);
	assert_int_equal(raw_read(fd, bye, sizeof(bye)), WIRE_BYE);
	assert_non_null(strstr(bye, text));
	assert_int_equal(recv(fd, bye, 1, 0), 0);
	close(fd);
}

/* The proxy ---------------------------------------------------------------------- */

struct proxy {
	int lfd;
	unsigned port, target;
	uint64_t flip_at;		/* byte of client -> server; ~0: none */
	pthread_t thread;
	unsigned seed;
};

/* Moves a random piece; false: the end. */
static bool proxy_piece(struct proxy *p, int from, int to, uint64_t *done, bool up)
{
	static const unsigned most[] = { 1, 7, 40, 4096, 65536 };
	char b[65536];
	unsigned size = 1 + (unsigned)rand_r(&p->seed) % most[(unsigned)rand_r(&p->seed) % 5];
	ssize_t n = recv(from, b, size, 0);

	if (n <= 0)
		return false;
	if (up && p->flip_at >= *done && p->flip_at < *done + (uint64_t)n)
		b[p->flip_at - *done] ^= 4;
	*done += (uint64_t)n;
	for (ssize_t sent = 0; sent < n; ) {
		ssize_t k = send(to, b + sent, (size_t)(n - sent), MSG_NOSIGNAL);

		if (k <= 0)
			return false;
		sent += k;
	}
	return true;
}

static void *proxy_main(void *arg)
{
	struct proxy *p = arg;
	uint64_t up = 0, down = 0;
	int client = accept(p->lfd, NULL, NULL), server = raw_connect(p->target);
	struct pollfd f[2] = { { client, POLLIN, 0 }, { server, POLLIN, 0 } };
	bool on = true;

	while (on && poll(f, 2, 10000) > 0) {
		if (f[0].revents)
			on = proxy_piece(p, client, server, &up, true);
		if (on && f[1].revents)
			on = proxy_piece(p, server, client, &down, false);
	}
	/* Half by half: what one end still says is not lost in a reset. */
	shutdown(server, SHUT_WR);
	while (proxy_piece(p, server, client, &down, false))
		;
	shutdown(client, SHUT_WR);
	while (recv(client, &up, sizeof(up), 0) > 0)
		;
	close(client);
	close(server);
	return NULL;
}

static void proxy_start(struct proxy *p, unsigned target, uint64_t flip_at)
{
	*p = (struct proxy){ .target = target, .flip_at = flip_at, .seed = 20 };
	p->lfd = raw_listen(&p->port);
	pthread_create(&p->thread, NULL, proxy_main, p);
}

static void proxy_end(struct proxy *p)
{
	pthread_join(p->thread, NULL);
	close(p->lfd);
}

/* Senders ------------------------------------------------------------------------ */

struct sender {
	struct link *link;
	uint64_t frames, size;		/* size 0: all sizes of the pattern test */
	atomic_ullong sent;
	int rc;
	pthread_t thread;
};

static size_t size_of(uint64_t i)
{
	static const uint32_t special[] = {
		0, 8, 16, 4096, 65536 - 16, 65536, 262144, 1u << 20, (1u << 20) - 8,
	};

	if (i < sizeof(special) / sizeof(*special))
		return special[i];
	return (i * 2654435761u >> 7) % (i % 16 ? 3000 : 1u << 20) & ~7ull;
}

static void *sender_main(void *arg)
{
	static _Thread_local unsigned char payload[WIRE_PAYLOAD_MAX];
	struct sender *s = arg;

	for (uint64_t i = 0; i < s->frames && s->rc == 0; i++) {
		size_t len = s->size ? s->size : size_of(i);
		size_t half = len / 2;
		struct iovec iov[2] = { { payload, half }, { payload + half, len - half } };

		if (!s->size)
			pattern(payload, len, i);
		s->rc = link_send(s->link, WIRE_RECORDS, 0, 3, iov, 2);
		if (s->rc == 0)
			atomic_fetch_add(&s->sent, 1);
	}
	link_put(s->link);
	return NULL;
}

static void sender_start(struct sender *s, struct link *l, uint64_t frames, uint64_t size)
{
	*s = (struct sender){ .link = link_get(l), .frames = frames, .size = size };
	pthread_create(&s->thread, NULL, sender_main, s);
}

/* Tests: HELLO ------------------------------------------------------------------- */

static void hello(void **state)
{
	struct link_stats s;

	(void)state;
	connect_both();
	assert_string_equal(link_peer(alpha.link), "beta");
	assert_string_equal(link_peer(beta.link), "alpha");
	assert_true(link_dialled(alpha.link));
	assert_false(link_dialled(beta.link));
	link_stats(alpha.link, &s);
	assert_true(s.out_bytes >= sizeof(struct wire_hello));
}

static void hello_by_name(void **state)
{
	(void)state;
	dial_beta("localhost", serve_beta());
	assert_true(run(both_up, 20000));
}

static void other_major(void **state)
{
	struct wire_hello m = hello_of("alpha");

	(void)state;
	m.major = 9;
	expect_refused(raw_hello(serve_beta(), &m), "alpha speaks protocol 9.0, beta speaks 1.0");
}

static void unknown_feature(void **state)
{
	struct wire_hello m = hello_of("alpha");

	(void)state;
	m.incompat = 0x40;
	expect_refused(raw_hello(serve_beta(), &m), "alpha needs features 0x40");
}

static void other_magic(void **state)
{
	struct wire_hello m = hello_of("alpha");

	(void)state;
	m.magic = 1;
	expect_refused(raw_hello(serve_beta(), &m), "not an InterMezzo peer");
}

static void http_client(void **state)
{
	static const char get[] = "GET / HTTP/1.1\r\nHost: beta\r\n\r\n";
	int fd = raw_connect(serve_beta());

	(void)state;
	raw_write(fd, get, sizeof(get) - 1);
	expect_refused(fd, "not an InterMezzo peer (it began with \"GET / HTTP/1.1..\")");
}

static void stranger(void **state)
{
	struct wire_hello m = hello_of("mallory");

	(void)state;
	expect_refused(raw_hello(serve_beta(), &m), "beta does not know a peer mallory");
}

static void bad_names(void **state)
{
	struct wire_hello m = hello_of("a/b");

	(void)state;
	expect_refused(raw_hello(serve_beta(), &m), "HELLO without a proper name");
}

static void wrong_name_answers(void **state)
{
	struct link_options o = options(&alpha, "gamma");

	(void)state;
	dial(&alpha, &o, "127.0.0.1", serve_beta());
	assert_true(run(both_down, 20000));
	assert_non_null(strstr(alpha.why, "beta answers at 127.0.0.1"));
	assert_non_null(strstr(alpha.why, "alpha expects gamma"));
	assert_non_null(strstr(beta.why, "the peer says: beta answers"));
	assert_int_equal(alpha.ups, 0);
}

static bool refused_known(void *ctx, const char *name)
{
	(void)ctx;
	(void)name;
	return false;
}

/* The dialler reads why it was refused, and says so once, not each time. */
static void refused_once(void **state)
{
	struct link_events strict = events;
	struct link_options o = options(&beta, NULL);

	(void)state;
	strict.known = refused_known;
	o.events = &strict;
	dial_beta("127.0.0.1", serve(&beta, &o));
	run(NULL, 1000);
	assert_true(beta.downs >= 2 && beta.downs <= 5);
	assert_int_equal(alpha.downs, 1);
	assert_string_equal(alpha.why, "the peer says: beta does not know a peer alpha");
	link_listen_stop(beta.server);		/* o.events ends here */
	beta.server = NULL;
}

/* Tests: frames ------------------------------------------------------------------ */

#define SIZES	300

static bool all_sizes(void) { return alpha.frames == SIZES && beta.frames == SIZES; }

static void frames_of_all_sizes(void **state)
{
	struct sender a, b;
	struct proxy p;

	(void)state;
	proxy_start(&p, serve_beta(), ~0ull);
	dial_beta("127.0.0.1", p.port);
	assert_true(run(both_up, 20000));
	alpha.expect = beta.expect = 0;
	sender_start(&a, alpha.link, SIZES, 0);
	sender_start(&b, beta.link, SIZES, 0);
	assert_true(run(all_sizes, 30000));
	pthread_join(a.thread, NULL);
	pthread_join(b.thread, NULL);
	assert_int_equal(a.rc | b.rc, 0);
	link_dial_stop(alpha.dialer);
	alpha.dialer = NULL;
	assert_true(run(beta_down, 20000));
	assert_string_equal(beta.why, "the peer says: stopping");
	proxy_end(&p);
}

static void flipped_bit(void **state)
{
	struct sender a;
	struct proxy p;

	(void)state;
	/* In the payload of the 20th frame of 4 KiB. */
	proxy_start(&p, serve_beta(), 16 + sizeof(struct wire_hello) + 19 * (16 + 4096) + 999);
	dial_beta("127.0.0.1", p.port);
	assert_true(run(both_up, 20000));
	sender_start(&a, alpha.link, 100, 4096);
	assert_true(run(both_down, 20000));
	assert_int_equal(beta.frames, 19);
	assert_string_equal(beta.why, "checksum of a frame is wrong (RECORDS, 4096 bytes)");
	assert_non_null(strstr(alpha.why, beta.why));
	pthread_join(a.thread, NULL);
	link_dial_stop(alpha.dialer);
	alpha.dialer = NULL;
	proxy_end(&p);
}

/* After a good HELLO the peer sends this header. */
static void expect_broken(const struct wire_header *h, const char *text)
{
	struct wire_hello m = hello_of("alpha");
	int fd = raw_hello(serve_beta(), &m);
	char bye[4096];

	assert_true(run(beta_up, 20000));
	run(NULL, 5);			/* its HELLO leaves */
	assert_int_equal(raw_read(fd, bye, sizeof(bye)), WIRE_HELLO);
	raw_write(fd, h, sizeof(*h));
	assert_true(run(beta_down, 20000));
	assert_non_null(strstr(beta.why, text));
	assert_int_equal(raw_read(fd, bye, sizeof(bye)), WIRE_BYE);
	assert_non_null(strstr(bye, text));
	close(fd);
}

static void oversized(void **state)
{
	struct wire_header h = { .len = WIRE_PAYLOAD_MAX + 8, .type = WIRE_RECORDS };

	(void)state;
	expect_broken(&h, "oversized frame (type 17");
}

static void unknown_type(void **state)
{
	struct wire_header h = { .len = 8, .type = 77 };

	(void)state;
	expect_broken(&h, "frame of unknown type (type 77");
}

static void wrong_length(void **state)
{
	struct wire_header h = { .len = 8, .type = WIRE_ACK };

	(void)state;
	expect_broken(&h, "wrong length for its type");
}

static void unknown_flags(void **state)
{
	struct wire_header h = { .type = WIRE_PING, .flags = 8 };

	(void)state;
	expect_broken(&h, "unknown flags");
}

static void refused_frame(void **state)
{
	struct sender a;

	(void)state;
	connect_both();
	beta.refuse = -EPROTO;
	sender_start(&a, alpha.link, 1, 64);
	assert_true(run(both_down, 20000));
	assert_string_equal(beta.why, "RECORDS refused: Protocol error");
	assert_non_null(strstr(alpha.why, "RECORDS refused"));
	pthread_join(a.thread, NULL);
}

static void sizes_checked_when_sent(void **state)
{
	static char big[WIRE_PAYLOAD_MAX + 8];
	struct iovec iov = { big, sizeof(big) };

	(void)state;
	connect_both();
	assert_int_equal(link_send(alpha.link, WIRE_RECORDS, 0, 1, &iov, 1), -EMSGSIZE);
	iov.iov_len = 7;
	assert_int_equal(link_send(alpha.link, WIRE_ACK, 0, 1, &iov, 1), -EMSGSIZE);
}

/* In the loop's thread link_send never blocks, and does not grow without end. */
static void loop_thread_never_blocks(void **state)
{
	static char big[WIRE_PAYLOAD_MAX];
	struct iovec iov = { big, sizeof(big) };
	int n = 0;

	(void)state;
	connect_both();
	while (n < 100 && link_send(alpha.link, WIRE_RECORDS, 0, 1, &iov, 1) == 0)
		n++;
	assert_in_range(n, 7, 9);
}

/* Tests: peers in trouble -------------------------------------------------------- */

static struct sender *watched;
static uint64_t watched_last;
static int watched_same;

/* Runs every 50 ms: the sender stands still when nothing went for 200 ms. */
static void watch(void *ctx, int res)
{
	uint64_t now = atomic_load(&watched->sent);

	(void)ctx;
	(void)res;
	watched_same = now && now == watched_last ? watched_same + 1 : 0;
	watched_last = now;
	if (watched_same >= 4)
		loop_quit(loop);
	else
		loop_timer(loop, 50, watch, NULL, NULL);
}

static void run_until_blocked(struct sender *s)
{
	watched = s;
	watched_last = 0;
	watched_same = 0;
	loop_timer(loop, 50, watch, NULL, NULL);
	assert_int_equal(loop_run(loop), 0);
}

static void *drain(void *arg)
{
	char b[65536];

	while (recv(*(int *)arg, b, sizeof(b), 0) > 0)
		;
	return NULL;
}

static struct sender *finishing;
static bool finished(void) { return atomic_load(&finishing->sent) == finishing->frames; }

static void poll_finished(void *ctx, int res)
{
	(void)ctx;
	(void)res;
	check();
	if (until)
		loop_timer(loop, 5, poll_finished, NULL, NULL);
}

static void slow_reader(void **state)
{
	struct wire_hello m = hello_of("alpha");
	int fd = raw_hello(serve_beta(), &m);
	struct link_stats st;
	struct sender s;
	pthread_t t;

	(void)state;
	assert_true(run(beta_up, 20000));
	sender_start(&s, beta.link, 512, 131072);		/* 64 MiB */
	run_until_blocked(&s);
	assert_true(s.sent < s.frames);
	link_stats(beta.link, &st);
	assert_in_range(st.queued_bytes, LINK_QUEUE_BYTES, LINK_QUEUE_BYTES + 131072 + 64);
	pthread_create(&t, NULL, drain, &fd);
	finishing = &s;
	loop_timer(loop, 5, poll_finished, NULL, NULL);
	assert_true(run(finished, 30000));
	pthread_join(s.thread, NULL);
	assert_int_equal(s.rc, 0);
	link_listen_stop(beta.server);
	beta.server = NULL;
	shutdown(fd, SHUT_RDWR);
	pthread_join(t, NULL);
	close(fd);
}

static void blocked_sender_wakes_on_down(void **state)
{
	struct wire_hello m = hello_of("alpha");
	int fd = raw_hello(serve_beta(), &m);
	struct sender s;

	(void)state;
	assert_true(run(beta_up, 20000));
	sender_start(&s, beta.link, 512, 131072);
	run_until_blocked(&s);
	close(fd);
	assert_true(run(beta_down, 20000));
	pthread_join(s.thread, NULL);
	assert_int_equal(s.rc, -ENOTCONN);
}

static void silent_peer(void **state)
{
	struct link_options o = options(&beta, NULL);
	struct wire_hello m = hello_of("alpha");
	uint64_t begin = loop_now_ms();
	int fd;

	(void)state;
	o.ping_ms = 50;
	o.dead_ms = 200;
	fd = raw_hello(serve(&beta, &o), &m);
	assert_true(run(beta_down, 20000));
	assert_string_equal(beta.why, "nothing heard for 200 ms");
	assert_true(loop_now_ms() - begin >= 200);
	close(fd);
}

static void pings_keep_it_up(void **state)
{
	struct link_options o = options(&beta, NULL), d = options(&alpha, "beta");
	struct link_stats st;

	(void)state;
	o.ping_ms = d.ping_ms = 50;
	o.dead_ms = d.dead_ms = 1000;
	dial(&alpha, &d, "127.0.0.1", serve(&beta, &o));
	run(NULL, 1500);		/* longer than silence may last */
	assert_int_equal(alpha.downs + beta.downs, 0);
	assert_true(both_up());
	link_stats(alpha.link, &st);
	assert_in_range(st.rtt_us, 1, 1000000);
}

static bool beta_twice(void) { return beta.ups == 2; }

static void second_of_a_name(void **state)
{
	struct link_options o = options(&beta, NULL);
	struct wire_hello m = hello_of("alpha");
	unsigned port;
	int a, b;
	char bye[4096];

	(void)state;
	o.ping_ms = 100;
	o.dead_ms = 5000;
	port = serve(&beta, &o);
	a = raw_hello(port, &m);
	assert_true(run(beta_up, 20000));
	assert_int_equal(beta.ups, 1);
	b = raw_hello(port, &m);
	assert_true(run(beta_down, 20000));
	assert_non_null(strstr(beta.why, "alpha is connected to beta already, from 127."));
	assert_non_null(beta.link);
	assert_int_equal(raw_read(b, bye, sizeof(bye)), WIRE_BYE);
	close(b);
	run(NULL, 300);			/* the first falls silent: it is replaced */
	b = raw_hello(port, &m);
	assert_true(run(beta_twice, 20000));
	assert_non_null(strstr(beta.why, "replaced by a new connection"));
	close(a);
	close(b);
}

/* Tests: dialling ---------------------------------------------------------------- */

static void plaintext_beyond_loopback(void **state)
{
	static const char *const listen_no[] = { "0.0.0.0:0", "[::]:0" };
	static const char *const dial_no[] = { "192.0.2.1:3440", "[2001:db8::1]:3440" };
	struct link_options o = options(&alpha, "beta");
	char err[256];

	(void)state;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(link_listen(loop, &listen_no[i], 1, &o, &alpha.server, err,
					     sizeof(err)), -EPERM);
		assert_non_null(strstr(err, "plaintext is refused beyond loopback"));
		assert_int_equal(link_dial(loop, &dial_no[i], 1, &o, &alpha.dialer, err,
					   sizeof(err)), -EPERM);
		assert_non_null(strstr(err, dial_no[i]));
	}
}

static void bad_addresses(void **state)
{
	static const char *const bad[] = {
		"", ":", "127.0.0.1", "127.0.0.1:", "::1:3440", "[::1:3440", "127.0.0.1:99999",
		"host:port",
	};
	struct link_options o = options(&alpha, "beta");
	char err[256];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(link_dial(loop, &bad[i], 1, &o, &alpha.dialer, err,
					   sizeof(err)), -EINVAL);
}

static void nobody_then_somebody(void **state)
{
	char text[64], err[256];
	const char *address = text;
	struct link_options o = options(&beta, NULL);
	unsigned port;
	int fd = raw_listen(&port);

	(void)state;
	close(fd);
	dial_beta("127.0.0.1", port);
	run(NULL, 400);
	assert_int_equal(alpha.downs, 1);
	assert_non_null(strstr(alpha.why, "Connection refused"));
	snprintf(text, sizeof(text), "127.0.0.1:%u", port);
	assert_int_equal(link_listen(loop, &address, 1, &o, &beta.server, err, sizeof(err)), 0);
	link_redial_now(alpha.dialer);
	assert_true(run(both_up, 100));
}

static bool alpha_back(void) { return alpha.ups == 2 && beta.link; }

static void dies_and_returns(void **state)
{
	struct link *old;

	(void)state;
	connect_both();
	old = link_get(alpha.link);
	link_end(beta.link, "killed by the test");
	assert_true(run(alpha_back, 20000));
	assert_string_equal(alpha.why, "the peer says: killed by the test");
	/* The old link stays dead while the new one works. */
	assert_int_equal(link_send(old, WIRE_RECORDS, 0, 1, NULL, 0), -ENOTCONN);
	assert_int_equal(link_send(alpha.link, WIRE_RECORDS, 0, 1, NULL, 0), 0);
	link_put(old);
}

/* Each time it is let in and thrown out: the waits grow all the same. */
static void back_off_grows(void **state)
{
	unsigned port;
	int lfd = raw_listen(&port), fd;
	uint64_t at[5];

	(void)state;
	dial_beta("127.0.0.1", port);
	for (int i = 0; i < 5; i++) {
		struct pollfd f = { lfd, POLLIN, 0 };

		while (poll(&f, 1, 0) == 0)
			run(NULL, 2);
		at[i] = loop_now_ms();
		fd = accept(lfd, NULL, NULL);
		close(fd);
	}
	for (int i = 1; i < 5; i++)
		assert_in_range(at[i] - at[i - 1], (100u << (i - 1)) * 3 / 4,
				(100u << (i - 1)) * 5 / 4 + 150);
	assert_true(alpha_down());
	close(lfd);
}

/* Tests: throughput -------------------------------------------------------------- */

static uint64_t goal;
static bool goal_reached(void) { return beta.frames == goal; }

static void throughput(uint64_t frames, uint64_t size)
{
	struct sender a;
	uint64_t begin, ms;

	connect_both();
	goal = frames;
	begin = loop_now_ms();
	sender_start(&a, alpha.link, frames, size);
	assert_true(run(goal_reached, 60000));
	ms = loop_now_ms() - begin + 1;
	pthread_join(a.thread, NULL);
	printf("# %llu frames of %llu bytes: %llu ms, %.0f frames/s, %.0f MB/s\n",
	       (unsigned long long)frames, (unsigned long long)size, (unsigned long long)ms,
	       (double)frames * 1000 / (double)ms,
	       (double)(frames * size) / 1000 / (double)ms);
}

static void small_frames(void **state)
{
	(void)state;
	throughput(1000000 / SCALE, 48);
}

static void large_frames(void **state)
{
	(void)state;
	throughput(8192 / SCALE, 262144);
}

int main(void)
{
#define T(f)	cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(hello), T(hello_by_name), T(other_major), T(unknown_feature),
		T(other_magic), T(http_client), T(stranger), T(bad_names),
		T(wrong_name_answers), T(refused_once), T(frames_of_all_sizes),
		T(flipped_bit), T(oversized), T(unknown_type), T(wrong_length),
		T(unknown_flags), T(refused_frame), T(sizes_checked_when_sent),
		T(loop_thread_never_blocks), T(slow_reader),
		T(blocked_sender_wakes_on_down), T(silent_peer), T(pings_keep_it_up),
		T(second_of_a_name), T(plaintext_beyond_loopback), T(bad_addresses),
		T(nobody_then_somebody), T(dies_and_returns), T(back_off_grows),
		T(small_frames), T(large_frames),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("link", tests, NULL, NULL);
}
