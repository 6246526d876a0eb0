/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hollow.h: records that name files whose contents can no longer be had. Such
 * a file X (removed on the source before its contents were read) must not be
 * seen on the replica; what its records do to others must be. A name that X
 * holds on the source is a *slot*: {dir, name} -> {holder X, occupant V}, where
 * V is what the replica still shows there, or nothing. One record enters, at
 * most two leave. No file is touched here.
 *
 *   always: a name without slot is the same on both sides (unless X stood there
 *   before it became hollow, and was not withheld); a name with slot shows V.
 */
#ifndef LENTO_HOLLOW_H
#define LENTO_HOLLOW_H

#include <stdbool.h>
#include <stddef.h>
#include "intermezzo/record.h"

struct hollow;

/* nlink of records made here: nobody knows, look at the object. */
#define HOLLOW_NLINK_LOOK	(~0u)

#define HOLLOW_ACTIONS	2

struct hollow_out {
	unsigned n;
	/* The record that came in, or one made for this purpose. */
	const struct izo_record *action[HOLLOW_ACTIONS];
	struct izo_record *made[HOLLOW_ACTIONS];	/* hollow_out_done frees */
};

struct hollow_slot {
	struct izo_fid dir, holder, occupant;	/* occupant none: nothing */
	unsigned name_len;
	char name[IZO_NAME_MAX + 1];
};

struct hollow *hollow_new(void);
void hollow_free(struct hollow *h);

int hollow_add(struct hollow *h, const struct izo_fid *fid);
bool hollow_has(const struct hollow *h, const struct izo_fid *fid);
/* Is fid what a slot still shows? Then it must stay known. */
bool hollow_shows(const struct hollow *h, const struct izo_fid *fid);
bool hollow_empty(const struct hollow *h);	/* nothing hollow: skip this room */

/* The name at which hollow fid stands is about to be freed: a slot that shows
 * nothing. 1: fid has a slot there already; -ENOMEM. */
int hollow_withhold(struct hollow *h, const struct izo_fid *fid,
		    const struct izo_fid *dir, const char *name, unsigned len);

/* 0 or -ENOMEM, then nothing has changed. */
int hollow_record(struct hollow *h, const struct izo_record *r,
		  struct hollow_out *ret);
void hollow_out_done(struct hollow_out *out);
/* The replica's tree was ahead: hollow fid stood at this name and is gone from it,
 * so its slot there shows nothing. */
void hollow_freed(struct hollow *h, const struct izo_fid *fid,
		  const struct izo_fid *dir, const char *name, unsigned len);

/* A subtree left: slots in directories that known() denies are forgotten, and
 * holders left without any slot. */
void hollow_prune(struct hollow *h,
		  bool (*known)(void *ctx, const struct izo_fid *dir), void *ctx);

unsigned hollow_slots(const struct hollow *h);
unsigned hollow_fids(const struct hollow *h);
const struct hollow_slot *hollow_slot(const struct hollow *h, unsigned i);
const struct izo_fid *hollow_fid(const struct hollow *h, unsigned i);
int hollow_slot_add(struct hollow *h, const struct hollow_slot *s);
void hollow_clear(struct hollow *h);

#endif
