/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * daemon.h: all filesets and links of this host. Enters: the configuration.
 * Leaves: a running lento, until loop_quit.
 */
#ifndef LENTO_DAEMON_H
#define LENTO_DAEMON_H

#include <stdbool.h>
#include <stddef.h>
#include "lento/capture.h"
#include "lento/loop.h"
#include "lib/conf.h"

struct daemon_options {
	const struct conf *conf;
	const char *run;		/* folder of the control socket */
	bool plain_any;			/* plaintext beyond loopback */
	/* The source that a fileset's `capture` names, or NULL. */
	const struct capture_ops *(*capture)(const char *name);
};

struct daemon;

/* A fileset that cannot start is logged and shown as STOPPED; the others go on.
 * An address or the socket that cannot be had is an error. */
int daemon_start(struct loop *loop, const struct daemon_options *o,
		 struct daemon **ret, char *err, size_t err_size);
/* keep: capture goes on in the kernel. */
void daemon_stop(struct daemon *d, bool keep);

#endif
