/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * address.h: "host:port" and "[v6]:port" become socket addresses. Numbers at
 * once; names by getaddrinfo in a thread of their own, since the loop must
 * never wait for a name server.
 */
#ifndef LENTO_ADDRESS_H
#define LENTO_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>

#define ADDRESS_TEXT	64	/* "[v6%scope]:port" */

struct address {
	union {
		struct sockaddr sa;
		struct sockaddr_in in4;
		struct sockaddr_in6 in6;
	};
	socklen_t len;
};

/* Without a name server. 0; -EINVAL: not an address; -ENOENT: a host name. */
int address_number(const char *text, struct address *ret);
bool address_loopback(const struct address *a);
void address_text(const struct address *a, char ret[ADDRESS_TEXT]);
/* Where the other end of a socket is; 0 or -errno. */
int address_peer(int fd, struct address *ret);

/* Waits for the name server: at start-up only. Number of addresses, or -errno;
 * *ret_why is a static text then. */
int address_lookup(const char *text, struct address *ret, int max,
		   const char **ret_why);

/* The same in a thread: resolve_fd() becomes readable, then resolve_end() gives
 * what address_lookup() gave. resolve_free() at any time, the fd dies with it. */
struct resolve;
int resolve_start(const char *text, struct resolve **ret);
int resolve_fd(const struct resolve *r);
int resolve_end(struct resolve *r, struct address *ret, int max,
		const char **ret_why);
void resolve_free(struct resolve *r);

#endif
