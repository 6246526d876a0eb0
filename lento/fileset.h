/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fileset.h: one fileset on this host, as its server (source, and a ship for
 * each attached replica) or as a replicator (receive). Enters: links coming and
 * going, frames. All in the loop's thread, but for the source's events.
 */
#ifndef LENTO_FILESET_H
#define LENTO_FILESET_H

#include <json-c/json.h>
#include <stdbool.h>
#include "lento/capture.h"
#include "lento/link.h"
#include "lento/loop.h"
#include "lib/conf.h"

struct fileset;

enum fileset_role { FILESET_NONE, FILESET_SERVER, FILESET_REPLICATOR };

enum fileset_role fileset_role_of(const struct conf *c,
				  const struct conf_fileset *f);

/* channel: our number for it in ATTACH. */
int fileset_start(struct loop *loop, const struct conf *c,
		  const struct conf_fileset *f, const struct capture_ops *capture,
		  unsigned channel, struct fileset **ret, char *err,
		  size_t err_size);
/* keep: capture goes on in the kernel. Links must be down before. */
void fileset_stop(struct fileset *f, bool keep);

const struct conf_fileset *fileset_conf(const struct fileset *f);
enum fileset_role fileset_role(const struct fileset *f);

void fileset_link_up(struct fileset *f, struct link *l);
void fileset_link_down(struct fileset *f, struct link *l);
/* ATTACH of a replica: 0, or -errno and the reason for REFUSED in err. */
int fileset_attach(struct fileset *f, struct link *l, unsigned channel,
		   const struct wire_attach *a, char *err, size_t err_size);
/* A frame for a ship of ours; -ENOENT: no such. */
int fileset_ship_frame(struct fileset *f, struct link *l,
		       const struct wire_header *h, const void *payload);
int fileset_receive_frame(struct fileset *f, const struct wire_header *h,
			  const void *payload);

/* Every two seconds: positions saved, journal trimmed. */
void fileset_tick(struct fileset *f);
struct json_object *fileset_status(struct fileset *f);

const char *fs_state_name(enum fs_state s);

#endif
