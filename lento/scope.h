/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * scope.h: what of the captured records concerns the fileset. Enters: records
 * as the kernel made them, of a whole filesystem or of what BPF could not rule
 * out. Leaves: the records that the journal holds: a rename or link across the
 * border has become IMPORT, EXPEL, UNLINK or RMDIR.
 *
 * Only the capture thread calls this: it is the index's writer.
 */
#ifndef LENTO_SCOPE_H
#define LENTO_SCOPE_H

#include "intermezzo/record.h"
#include "lento/index.h"

struct scope {
	struct index *index;
	const struct fid_mount *mount;
	/* Takes a journal record; r is writable and valid during the call. */
	int (*emit)(void *ctx, struct izo_record *r);
	void *ctx;
};

/* Emits what r means for the fileset (nothing, itself, or other records) and
 * brings the index up to it. r may be changed. */
int scope_take(struct scope *s, struct izo_record *r);

/* Brings the index up to a record of the journal (after a restart). */
int scope_note(struct index *x, const struct fid_mount *m,
	       const struct izo_record *r);

#endif
