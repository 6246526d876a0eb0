/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * withheld.h: the names at which hollow files stand when a batch begins. Enters:
 * the records of the batch and those that follow it, up to the removal of the
 * last name of each. Leaves: every name that a record takes from such a file
 * without an earlier one having given it. The replica frees these names before
 * the batch, so that nothing in it can publish what they show.
 */
#ifndef LENTO_WITHHELD_H
#define LENTO_WITHHELD_H

#include <stdbool.h>
#include <stddef.h>
#include "intermezzo/record.h"

struct withheld_events {
	bool (*hollow)(void *ctx, const struct izo_fid *fid);
	int (*found)(void *ctx, const struct izo_fid *fid, const struct izo_fid *dir,
		     const char *name, unsigned len);
	void *ctx;
};

/* 0, -ENOMEM, or what found() returned if not 0. Records were checked. */
int withheld_names(const void *records, size_t bytes,
		   const struct withheld_events *ev);

#endif
