/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * outflow.h: contents leaving a source. Enters: a FID and ranges. Leaves: DATA,
 * HOLE and DATA_END frames.
 *
 * The discipline: the marks of these ranges were taken before; then written out
 * (sync_file_range, folio-aligned, all three flags), then size and mtime are
 * read, then the bytes. A store before the write-out is in what is read; a later
 * one makes a new mark.
 */
#ifndef LENTO_OUTFLOW_H
#define LENTO_OUTFLOW_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include "lento/wire.h"
#include "lib/fid.h"

struct outflow {
	const struct fid_mount *mount;
	/* Sends one frame: header struct, then bytes. May block. 0 or -errno. */
	int (*send)(void *ctx, enum wire_type type, const void *head,
		    size_t head_len, const void *bytes, size_t len);
	void *ctx;
	const atomic_bool *stop;	/* -ENOTCONN once it is true; or NULL */
	unsigned char *buf;		/* WIRE_DATA_MAX + 4096, by outflow_init */
};

int outflow_init(struct outflow *o);
void outflow_done(struct outflow *o);

/* Sends the ranges of the file as they are now. -ESTALE: the object is gone,
 * and nothing was sent. Other errors: of the file (-EIO) or of send. The time is
 * the one that was sent. */
int outflow_ranges(struct outflow *o, const struct izo_fid *fid,
		   const struct izo_range *range, unsigned n,
		   struct izo_time *ret_mtime);

/* Answers a WANT: the whole file, by the same discipline, or DATA_END same or
 * gone. */
int outflow_want(struct outflow *o, const struct wire_want *w);

/* Answers a WANT of what the asker may not have: gone. */
int outflow_gone(struct outflow *o, const struct wire_want *w);

#endif
