/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * transport.c: the plain transport. Wire bytes are the plaintext: the socket
 * reads straight into the frame buffer and writes straight from the queue. The
 * link allows it between loopback addresses only.
 */
#include "lento/transport.h"

static struct span plain_in_space(struct transport *t, struct span room)
{
	(void)t;
	return room;
}

static ssize_t plain_in(struct transport *t, size_t n, struct span room,
			const char **ret_why)
{
	(void)t;
	(void)room;
	(void)ret_why;
	return (ssize_t)n;
}

static bool plain_through(struct transport *t)
{
	(void)t;
	return true;
}

static int plain_out(struct transport *t, struct span plain, struct span *ret_wire)
{
	(void)t;
	*ret_wire = plain;
	return 0;
}

static const char *plain_identity(struct transport *t)
{
	(void)t;
	return NULL;
}

static void plain_free(struct transport *t)
{
	(void)t;
}

struct transport *transport_plain_new(void)
{
	static const struct transport_ops ops = {
		.in_space = plain_in_space,
		.in = plain_in,
		.through = plain_through,
		.out = plain_out,
		.identity = plain_identity,
		.free = plain_free,
	};
	static struct transport plain = { .ops = &ops };	/* has no state */

	return &plain;
}
