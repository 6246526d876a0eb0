/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lift.h: immutable and append-only flags, and a capability, that must be out
 * of the way for one step, crash-safely (see stage.h, lifted/).
 */
#ifndef LENTO_LIFT_H
#define LENTO_LIFT_H

#include "lento/stage.h"

/* What lift_begin() switched off. */
struct lift {
	int fd;			/* -1: nothing */
	unsigned flags;
	char name[STAGE_NAME_MAX];
	unsigned char *cap;
	unsigned cap_len;
};
/* Switches immutable and append-only off on the object behind fd (any kind of
 * descriptor); keeps security.capability when cap is true. 1: something is
 * lifted or kept, 0: there was nothing, -errno. */
int lift_begin(struct stage *s, int fd, bool cap, struct lift *ret);
int lift_end(struct stage *s, struct lift *l);
/* At start: restores what a crash left lifted. */
int lift_mend(struct stage *s);

#endif
