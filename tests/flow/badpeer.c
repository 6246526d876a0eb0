// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * badpeer.c: a peer that does not keep to the protocol. `badpeer PORT HOW`
 * connects to 127.0.0.1, says it and waits until the other side hangs up. Exit
 * status 0: it did, within 20 s.
 *
 *   http     GET / HTTP/1.1          major N  HELLO of another major version
 *   random   4096 random bytes       name N   HELLO of a peer called N
 *   sum      HELLO with a wrong sum  long N   a good HELLO of N, then a frame
 *                                             of 4 GiB
 *   channel N  the same, then a frame of a fileset that is not there
 *
 * `badpeer PORT snoop N UUID INO GEN WANTED` is a replicator N of the fileset UUID (32
 * hex digits) that asks for the object INO, GEN, also for its contents. Status 0
 * when it gets records and bytes (WANTED 1), or none (0).
 *
 * `badpeer PORT frames N UUID` is one that streams from the newest position on and
 * prints the name of each frame that it gets, up to the first BATCH_END.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>
#include "lento/wire.h"

static int dial(const char *port)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
		.sin_port = htons(atoi(port)),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct timeval patience = { .tv_sec = 20 };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (connect(fd, (struct sockaddr *)&a, sizeof(a))) {
		perror("connect");
		exit(2);
	}
	return fd;
}

static void say(int fd, const void *p, size_t n)
{
	if (send(fd, p, n, MSG_NOSIGNAL) != (ssize_t)n)
		perror("send");
}

static void frame(int fd, enum wire_type type, unsigned channel, const void *p,
		  size_t n, unsigned spoil)
{
	struct iovec iov = { (void *)p, n };
	static const char zero[WIRE_ALIGN];
	struct wire_header h;

	if (wire_header_init(&h, type, 0, channel, &iov, 1))
		exit(2);
	h.sum ^= spoil;
	say(fd, &h, sizeof(h));
	say(fd, p, n);
	say(fd, zero, wire_padded(n) - n);
}

static void hello(int fd, unsigned major, const char *name, unsigned spoil)
{
	struct wire_hello m = { .magic = WIRE_MAGIC, .major = major };

	snprintf(m.name, sizeof(m.name), "%s", name);
	frame(fd, WIRE_HELLO, 0, &m, sizeof(m), spoil);
}

static void take(int fd, void *p, size_t n)
{
	if (n && recv(fd, p, n, MSG_WAITALL) != (ssize_t)n) {
		fprintf(stderr, "badpeer: no answer\n");
		exit(2);
	}
}

/* The next frame of a type; others are passed over. Bytes of its payload. */
static size_t await(int fd, enum wire_type type, char *payload)
{
	struct wire_header h;

	do {
		take(fd, &h, sizeof(h));
		take(fd, payload, wire_padded(h.len));
	} while (h.type != type);
	return h.len;
}

static char payload[WIRE_PAYLOAD_MAX + WIRE_ALIGN];

/* ATTACHED, as replicator `name` of the fileset with that uuid. */
static void attach(int fd, const char *name, const char *uuid)
{
	struct wire_attach a = { .mode = WIRE_MODE_FILL };

	for (int i = 0; i < 16; i++)
		sscanf(uuid + 2 * i, "%2hhx", &a.uuid[i]);
	snprintf(a.name, sizeof(a.name), "data");
	hello(fd, WIRE_VERSION_MAJOR, name, 0);
	frame(fd, WIRE_ATTACH, 1, &a, sizeof(a), 0);
	await(fd, WIRE_ATTACHED, payload);
}

static int snoop(int fd, char **arg)
{
	struct izo_fid fid = { .ino = strtoull(arg[2], NULL, 10),
			       .gen = strtoul(arg[3], NULL, 10) };
	struct wire_list list = { .ask = 7, .fid = fid };
	struct wire_want want = { .ask = 8, .fid = fid, .have_size = ~0ULL };
	struct wire_data_end end;
	bool got;

	attach(fd, arg[0], arg[1]);
	frame(fd, WIRE_LIST, 1, &list, sizeof(list), 0);
	got = await(fd, WIRE_ENTRIES, payload) > sizeof(struct wire_answer);
	frame(fd, WIRE_WANT, 1, &want, sizeof(want), 0);
	await(fd, WIRE_DATA_END, payload);
	memcpy(&end, payload, sizeof(end));
	if (got != (end.status == WIRE_DATA_OK))
		return 3;
	return got == (arg[4][0] == '1') ? 0 : 1;
}

static int frames(int fd, char **arg)
{
	static const char *const names[] = {
		[WIRE_BATCH] = "BATCH", [WIRE_HOLLOW] = "HOLLOW", [WIRE_DATA] = "DATA",
		[WIRE_HOLE] = "HOLE", [WIRE_DATA_END] = "DATA_END",
		[WIRE_WITHHOLD] = "WITHHOLD", [WIRE_RECORDS] = "RECORDS",
		[WIRE_BATCH_END] = "BATCH_END",
	};
	struct wire_attached at;
	struct wire_stream from;
	struct wire_header h;

	attach(fd, arg[0], arg[1]);
	memcpy(&at, payload, sizeof(at));
	from.pos = at.pos;
	frame(fd, WIRE_STREAM, 1, &from, sizeof(from), 0);
	puts("STREAM");
	fflush(stdout);
	do {
		take(fd, &h, sizeof(h));
		take(fd, payload, wire_padded(h.len));
		if (h.type < sizeof(names) / sizeof(names[0]) && names[h.type])
			puts(names[h.type]);
	} while (h.type != WIRE_BATCH_END);
	return 0;
}

int main(int argc, char **argv)
{
	const char *how = argc > 2 ? argv[2] : "", *arg = argc > 3 ? argv[3] : "";
	char bytes[4096];
	int fd;
	ssize_t n;

	if (argc < 3)
		return 2;
	fd = dial(argv[1]);
	if (!strcmp(how, "snoop"))
		return argc == 8 ? snoop(fd, argv + 3) : 2;
	if (!strcmp(how, "frames"))
		return argc == 5 ? frames(fd, argv + 3) : 2;
	if (!strcmp(how, "http"))
		say(fd, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", 35);
	else if (!strcmp(how, "random") && getrandom(bytes, sizeof(bytes), 0) > 0)
		say(fd, bytes, sizeof(bytes));
	else if (!strcmp(how, "sum"))
		hello(fd, WIRE_VERSION_MAJOR, "beta", 1);
	else if (!strcmp(how, "major"))
		hello(fd, atoi(arg), "beta", 0);
	else
		hello(fd, WIRE_VERSION_MAJOR, arg, 0);
	if (!strcmp(how, "channel"))
		frame(fd, WIRE_BATCH_END, 77, &(struct izo_pos){ .seq = 1 },
		      sizeof(struct izo_pos), 0);
	if (!strcmp(how, "long"))
		say(fd, &(struct wire_header){ .len = ~0u, .type = WIRE_DATA },
		    sizeof(struct wire_header));
	while ((n = read(fd, bytes, sizeof(bytes))) > 0)
		;
	return n < 0 && recv(fd, bytes, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN;
}
