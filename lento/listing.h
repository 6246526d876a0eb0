/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * listing.h: answers to LIST: an object, and a directory's children, as they
 * are now: ENTRY records, each followed by XATTR, ACL and FILEATTR records.
 */
#ifndef LENTO_LISTING_H
#define LENTO_LISTING_H

#include <stdatomic.h>
#include <stdbool.h>
#include "lento/index.h"
#include "lento/ship_since.h"
#include "lento/wire.h"
#include "lib/fid.h"

struct listing {
	struct since *since;		/* files are flagged AS_BASE by it; or NULL */
	const struct fid_mount *mount;
	struct index *index;
	int (*send)(void *ctx, uint64_t ask, const void *records, size_t bytes,
		    bool last);
	void *ctx;
	const atomic_bool *stop;	/* waits for nothing once it is true; or NULL */
};

/* May a peer see that object? It is in the fileset by the index; or it is a
 * directory below the root by now, and the index does not know it yet. */
bool listing_allowed(const struct listing *l, const struct izo_fid *fid);
/* 0 (also when the object is gone: an empty answer) or -errno of send or of
 * the directory. */
int listing_answer(const struct listing *l, const struct wire_list *w);

#endif
