/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * apply.h: a replica's tree, changed by what a source says. Enters: batches
 * (contents first, then records) and the answers of a fill. Leaves: changed
 * files, a position, asks for what is unknown. One thread per fileset.
 *
 * What must always hold:
 *   - a name appears with its object complete: objects are built in
 *     <root>/.intermezzo/stage and moved in;
 *   - every step is guarded by identity: (dir, name) is looked at and compared
 *     with the FID expected there; "already so" is success; a name held by
 *     another object is freed by moving that object to limbo, never lost, until
 *     the records that explain it have been applied (after a crash or a fill the
 *     tree is ahead of the position: see redo);
 *   - map and position are committed together, after the tree.
 */
#ifndef LENTO_APPLY_H
#define LENTO_APPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "intermezzo/record.h"
#include "lento/wire.h"

struct apply;

struct apply_spec {
	const char *fileset;		/* for messages */
	const char *peer;
	const char *root;		/* the replica's directory; must exist */
	const char *state;		/* folder for fidmap, stage lies under root */
	unsigned char uuid[16];
	/* How fill and unknown FIDs ask the source. 0 or -errno. */
	int (*list)(void *ctx, uint64_t ask, const struct izo_fid *fid);
	int (*want)(void *ctx, const struct wire_want *want);
	/* Waits for the next frame with WIRE_F_ANSWER and hands it to
	 * apply_entries, apply_data...; used inside apply_records when a record
	 * names a subtree that must be fetched first. -errno: the link broke,
	 * the batch is given up (and comes again). */
	int (*pump)(void *ctx);
	void *ctx;
};

struct apply_stats {
	uint64_t records, bytes, surprises;	/* surprises: a name or object was
						 * not as expected outside of redo */
	uint64_t objects_done, objects_todo;	/* fill progress */
	uint64_t contents_kept;			/* of this fill: as the source says, not
						 * looked into */
	uint64_t hollow;			/* outstanding */
};

int apply_open(const struct apply_spec *spec, struct apply **ret, char *err,
	       size_t err_size);
void apply_close(struct apply *a);	/* commits, does not sync */

/* What to say in ATTACH: position and mode (FILL while a fill is unfinished). */
void apply_attach(struct apply *a, struct wire_attach *ret);
/* FILL, RESYNC, RECOVERY, SYNCING or SYNCED by what is known here (tip = newest
 * sequence that the source named). */
enum fs_state apply_state(struct apply *a, uint64_t tip);
void apply_stats(struct apply *a, struct apply_stats *ret);
/* After an error: the object that it was about, "" if it was about none. Told once. */
void apply_trouble(struct apply *a, char *ret, size_t size);

/* ATTACHED came: begins a fill (from scratch when its pos differs from that of
 * the unfinished one), or goes on with the stream. Sends the first asks. */
int apply_attached(struct apply *a, const struct wire_attached *m);

/* Answers of a fill or fetch; payload bytes as on the wire, checked here. They
 * send further asks. */
int apply_entries(struct apply *a, uint64_t ask, const void *records,
		  size_t bytes, bool last);
int apply_data(struct apply *a, const struct wire_data *d, const void *bytes);
int apply_hole(struct apply *a, const struct wire_data *d);
int apply_data_end(struct apply *a, const struct wire_data_end *e);
/* Fill finished (nothing asked, nothing to do): leftovers are removed, position
 * is that of ATTACHED, the tree is ahead of it until m.tip: redo. */
bool apply_fill_done(struct apply *a);

/* A batch. DATA, HOLE, DATA_END with ask 0 come between begin and records. It
 * begins again, with a later last position, when it has grown. */
int apply_batch(struct apply *a, const struct wire_batch *b);
/* Files that nothing in the batch may show, then each name at which one stands
 * as the batch begins: it is freed. */
int apply_hollow(struct apply *a, const struct izo_fid *fids, unsigned n);
int apply_withhold(struct apply *a, const void *record, size_t bytes);
int apply_records(struct apply *a, const void *records, size_t bytes);
/* Sets parents' times, commits map and position. */
int apply_batch_end(struct apply *a, const struct izo_pos *pos);

/* The disk is full: gives up what was only kept to be used again. */
void apply_relieve(struct apply *a);
/* Makes everything applied so far durable. */
int apply_sync(struct apply *a);
void apply_positions(struct apply *a, struct izo_pos *ret_applied,
		     struct izo_pos *ret_durable);

#endif
