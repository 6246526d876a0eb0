/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fileset_priv.h: what fileset.c and fileset_status.c share, and nobody else.
 */
#ifndef LENTO_FILESET_PRIV_H
#define LENTO_FILESET_PRIV_H

#include <pthread.h>
#include "lento/fileset.h"
#include "lento/peers.h"
#include "lento/receive.h"
#include "lento/ship.h"
#include "lento/source.h"

struct fileset_ship {
	struct fileset_ship *next;
	struct ship *ship;
	char *peer;
};

struct fileset {
	const struct conf_fileset *conf;
	enum fileset_role role;
	struct loop *loop;
	struct source *source;
	struct peers *peers;
	struct receive *receive;
	bool ready;			/* the source is; loop thread */
	/* The capture thread walks the list, the loop thread changes it. */
	pthread_mutex_t lock;
	struct fileset_ship *ships;
	char error[256];
};

#endif
