/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * transport.h: what lies between a socket's bytes and the frames: nothing, or
 * TLS. It does no I/O: wire bytes in give plaintext out, plaintext in gives
 * wire bytes out, all in the loop's thread. Plaintext passes through without
 * a copy.
 *
 *   socket -> in_space / in -> plaintext -> frames
 *   frames -> plaintext -> out -> socket
 */
#ifndef LENTO_TRANSPORT_H
#define LENTO_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct transport;

struct span {
	void *p;
	size_t len;
};

struct transport_ops {
	/* Where the next receive from the socket may write, given the free
	 * room for plaintext. Never empty when room is not. */
	struct span (*in_space)(struct transport *t, struct span room);
	/* n more wire bytes were written there. Puts plaintext at the start of
	 * room (the same as for in_space); bytes of it, 0: none as yet. Called
	 * again with n = 0 and new room while it returns more than 0 and is
	 * not through(). -errno and *ret_why: the peer speaks nonsense. */
	ssize_t (*in)(struct transport *t, size_t n, struct span room,
		      const char **ret_why);
	/* All that came in is handed out. */
	bool (*through)(struct transport *t);
	/* The wire bytes for this plaintext, valid until the next call. With
	 * len 0: what the transport itself wants to say (a handshake). */
	int (*out)(struct transport *t, struct span plain, struct span *ret_wire);
	/* Who the other end proved to be; NULL: plaintext proves nothing. */
	const char *(*identity)(struct transport *t);
	void (*free)(struct transport *t);
};

struct transport {
	const struct transport_ops *ops;
};

struct transport *transport_plain_new(void);	/* NULL: no memory */

#endif
