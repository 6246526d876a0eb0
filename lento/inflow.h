/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * inflow.h: contents coming in. DATA and HOLE of a file that is known here are
 * written in place, those of an unknown one to a file in stage/ which its
 * CREATE takes over. DATA_END gives size and times. The prototypes stand in
 * apply_inner.h; here is one file under way.
 */
#ifndef LENTO_INFLOW_H
#define LENTO_INFLOW_H

#include "lento/lift.h"
#include "intermezzo/record.h"

#define INFLOW_MAX	64	/* at a time: asks under way and a batch's own */

struct inflow {
	struct inflow *next;
	struct izo_fid fid;
	uint64_t ask;
	int fd;
	uint64_t size;		/* now */
	uint64_t covered;	/* up to where bytes or holes came, or it was before */
	bool staged;
	struct lift lift;
};

#endif
