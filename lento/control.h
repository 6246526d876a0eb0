/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * control.h: the administrator's socket, <run>/lento.sock (0600). One request
 * line in ("status", "stop", ...), one JSON document out, then the connection
 * is closed. inconfig is its only user; the JSON's keys are an interface.
 */
#ifndef LENTO_CONTROL_H
#define LENTO_CONTROL_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include "lento/loop.h"

#ifndef CONTROL_SOCKET
#define CONTROL_SOCKET	"/run/intermezzo/lento.sock"
#endif
#define CONTROL_REQUEST_MAX	4096	/* the line's end included */
#define CONTROL_CLIENTS_MAX	16	/* more wait in the socket's backlog */

struct control;

/* Writes the answer to a request as JSON to out; returns 0, or -errno for an
 * unknown request: then the answer is {"error": text}. In the loop's thread. */
typedef int control_fn(void *ctx, const char *request, FILE *out);

/* Makes the directory (0755) and the socket; one left by a dead lento is
 * replaced. -EADDRINUSE: a lento is running, err names its pid. <path>.lock
 * stays locked by this process (a POSIX lock: not before a fork). */
int control_start(struct loop *l, const char *path, control_fn *fn, void *ctx,
		  struct control **ret, char *err, size_t err_size);
/* Removes the socket. Answers under way are cut. */
void control_stop(struct control *c);

#endif
