/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * source.h: the capture side of a fileset: one thread that drains the capture
 * source, keeps what concerns the fileset, and journals it. Enters: a fileset
 * of the configuration. Leaves: a journal that grows, and word of it.
 *
 * A drain cycle: records -> scope -> journal; marks and order points -> settle
 * -> DIRTY and DUE records; a BORDER; commit; only then the kernel may forget.
 *
 * Start: adopted capture and a whole index: the index is brought up from the
 * journal, no walk. Otherwise a new epoch and one walk over names.
 */
#ifndef LENTO_SOURCE_H
#define LENTO_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "lento/capture.h"
#include "lento/index.h"
#include "lento/journal.h"
#include "lib/conf.h"
#include "lib/fid.h"

struct source;

struct source_events {
	/* All from the capture thread. */
	void (*ready)(void *ctx);
	void (*advanced)(void *ctx);		/* the journal has a new border */
	void (*resync)(void *ctx);		/* new epoch: positions are void */
	void (*failed)(void *ctx, const char *why);
};

/* Opens the root and state folders and starts the thread. */
int source_start(const struct conf_fileset *f, const struct capture_ops *ops,
		 const struct source_events *events, void *ctx,
		 struct source **ret, char *err, size_t err_size);
/* keep: capture stays armed in the kernel. */
void source_stop(struct source *s, bool keep);

/* For any thread, after ready. */
struct journal *source_journal(struct source *s);
struct index *source_index(struct source *s);
const struct fid_mount *source_mount(struct source *s);
const struct izo_fid *source_root(struct source *s);
int source_state_fd(struct source *s);
/* Journal records up to seq are no longer needed by any peer. */
void source_trim(struct source *s, uint64_t seq);

struct source_stats {
	bool ready, walked;
	bool no_room;			/* the journal's disk is full */
	char capture[16], why[256];		/* why: last error or gap */
	uint64_t gaps, pending, walk_objects, walk_ms;
	uint64_t kept_kind[IZO_KIND_MAX];	/* journal records per kind */
	struct capture_counters counters;
};
void source_stats(struct source *s, struct source_stats *ret);

#endif
