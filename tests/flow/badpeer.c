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
 */
#include <arpa/inet.h>
#include <errno.h>
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

int main(int argc, char **argv)
{
	const char *how = argc > 2 ? argv[2] : "", *arg = argc > 3 ? argv[3] : "";
	char bytes[4096];
	int fd;
	ssize_t n;

	if (argc < 3)
		return 2;
	fd = dial(argv[1]);
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
