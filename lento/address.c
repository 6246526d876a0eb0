/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * address.c: texts to socket addresses and back. Enters: addresses of the
 * configuration. Leaves: sockaddrs. A name is looked up in a thread that shares
 * one counted struct with the asker and touches nothing else, so that it may
 * outlive the link that asked.
 */
#include "lento/address.h"

#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define RESOLVE_MAX	8

struct resolve {
	atomic_int refs;
	int fd;
	int n;				/* written before the fd becomes readable */
	const char *why;
	struct address found[RESOLVE_MAX];
	char text[];
};

/* Cuts "host:port" or "[v6]:port". */
static int split(const char *text, char host[256], char port[8])
{
	const char *colon = strrchr(text, ':'), *start = text, *end = colon;

	if (!colon || !colon[1] || strlen(colon + 1) >= 8)
		return -EINVAL;
	if (*text == '[') {
		start++;
		end--;
		if (end < start || *end != ']')
			return -EINVAL;
	} else if (memchr(text, ':', (size_t)(colon - text))) {
		return -EINVAL;		/* v6 without brackets: which is the port? */
	}
	if (end <= start || end - start >= 256)
		return -EINVAL;
	memcpy(host, start, (size_t)(end - start));
	host[end - start] = '\0';
	strcpy(port, colon + 1);
	return 0;
}

static int lookup(const char *text, int flags, struct address *ret, int max,
		  int *ret_gai)
{
	struct addrinfo hints = {
		.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV | flags,
	};
	struct addrinfo *list;
	char host[256], port[8];
	int n = 0;

	*ret_gai = 0;
	if (split(text, host, port) < 0)
		return -EINVAL;
	*ret_gai = getaddrinfo(host, port, &hints, &list);
	if (*ret_gai)
		return -ENOENT;
	for (struct addrinfo *i = list; i && n < max; i = i->ai_next) {
		if (i->ai_addrlen > sizeof(struct sockaddr_in6))
			continue;
		memset(&ret[n], 0, sizeof(ret[n]));
		memcpy(&ret[n].sa, i->ai_addr, i->ai_addrlen);
		ret[n++].len = i->ai_addrlen;
	}
	freeaddrinfo(list);
	return n ? n : -ENOENT;
}

int address_number(const char *text, struct address *ret)
{
	char host[256], port[8], *end;
	int gai, rc;

	if (split(text, host, port) < 0 || strtoul(port, &end, 10) > 65535 || *end)
		return -EINVAL;
	rc = lookup(text, AI_NUMERICHOST, ret, 1, &gai);
	return rc == 1 ? 0 : rc;
}

int address_lookup(const char *text, struct address *ret, int max,
		   const char **ret_why)
{
	int gai, rc;

	rc = address_number(text, ret);
	if (rc == 0)
		return 1;
	if (rc == -ENOENT) {
		rc = lookup(text, AI_ADDRCONFIG, ret, max, &gai);
		*ret_why = gai ? gai_strerror(gai) : "no address";
	} else {
		*ret_why = "not host:port or [v6]:port";
	}
	return rc;
}

bool address_loopback(const struct address *a)
{
	const unsigned char *b = a->in6.sin6_addr.s6_addr;

	if (a->sa.sa_family == AF_INET)
		return ntohl(a->in4.sin_addr.s_addr) >> 24 == 127;
	if (a->sa.sa_family != AF_INET6)
		return false;
	if (IN6_IS_ADDR_V4MAPPED(&a->in6.sin6_addr))
		return b[12] == 127;
	return IN6_IS_ADDR_LOOPBACK(&a->in6.sin6_addr);
}

void address_text(const struct address *a, char ret[ADDRESS_TEXT])
{
	bool v6 = a->sa.sa_family == AF_INET6;
	char host[48], port[8];

	if (getnameinfo(&a->sa, a->len, host, sizeof(host), port, sizeof(port),
			NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		snprintf(ret, ADDRESS_TEXT, "?");
	else
		snprintf(ret, ADDRESS_TEXT, v6 ? "[%s]:%s" : "%s:%s", host, port);
}

int address_peer(int fd, struct address *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->len = sizeof(ret->in6);
	return getpeername(fd, &ret->sa, &ret->len) < 0 ? -errno : 0;
}

/* In a thread -------------------------------------------------------------------- */

void resolve_free(struct resolve *r)
{
	if (!r || atomic_fetch_sub(&r->refs, 1) > 1)
		return;
	close(r->fd);
	free(r);
}

static void *resolve_thread(void *arg)
{
	struct resolve *r = arg;
	uint64_t one = 1;

	r->n = address_lookup(r->text, r->found, RESOLVE_MAX, &r->why);
	if (write(r->fd, &one, sizeof(one)) < 0)
		r->n = -errno;		/* cannot be: a fresh eventfd takes 1 */
	resolve_free(r);
	return NULL;
}

int resolve_start(const char *text, struct resolve **ret)
{
	struct resolve *r = calloc(1, sizeof(*r) + strlen(text) + 1);
	pthread_attr_t attr;
	pthread_t thread;
	int rc;

	if (!r)
		return -ENOMEM;
	strcpy(r->text, text);
	atomic_store(&r->refs, 2);
	r->fd = eventfd(0, EFD_CLOEXEC);
	if (r->fd < 0) {
		rc = -errno;
		free(r);
		return rc;
	}
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	rc = -pthread_create(&thread, &attr, resolve_thread, r);
	pthread_attr_destroy(&attr);
	if (rc < 0) {
		close(r->fd);
		free(r);
		return rc;
	}
	*ret = r;
	return 0;
}

int resolve_fd(const struct resolve *r)
{
	return r->fd;
}

int resolve_end(struct resolve *r, struct address *ret, int max, const char **ret_why)
{
	uint64_t done;

	/* Takes the thread's results by the eventfd's order. */
	if (read(r->fd, &done, sizeof(done)) < 0)
		return -errno;
	*ret_why = r->why;
	if (r->n <= 0)
		return r->n;
	if (max > r->n)
		max = r->n;
	memcpy(ret, r->found, (size_t)max * sizeof(*ret));
	return max;
}
