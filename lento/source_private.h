/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * source_private.h: what source.c (the thread and its ends), source_start.c (from
 * the state on disk to an armed capture) and source_cycle.c (one drain cycle)
 * share, and nobody else.
 */
#ifndef LENTO_SOURCE_PRIVATE_H
#define LENTO_SOURCE_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>
#include "lento/horizon.h"
#include "lento/scope.h"
#include "lento/settle.h"
#include "lento/source.h"
#include "lib/tree.h"

#define OUTSIDE_INODES	1024

struct source {
	const struct conf_fileset *conf;
	const struct capture_ops *ops;
	const struct source_events *events;
	void *ctx;
	int root_fd, state_fd;		/* as others see them */
	struct tree tree;		/* the root without what is mounted in it */
	struct fid_mount mount;		/* of tree */
	struct izo_fid root;

	struct journal *journal;
	struct index *index;
	struct index_mark mark;
	struct capture *capture;
	struct settle *settle;
	struct horizon *horizon;
	struct izo_time began;		/* of the cycle, realtime */
	struct izo_time known;		/* the same of the last one without a gap */
	struct scope scope;
	struct fid_list points, dead;	/* of the cycle */
	bool rescan;			/* an IZO_RESCAN_TREE came */
	bool point_all;
	uint64_t records_pos, marks_pos;	/* of the cycle */
	uint64_t appended;		/* records of this cycle so far */
	uint64_t cycle_first;		/* its first journal sequence */
	uint64_t commit_us;		/* that a commit takes, about */
	/* Ring sequences of the journal's last cycle: after a restart the ring
	 * hands that cycle out once more. Sequences are taken after the place
	 * in the ring and may be swapped between neighbours: only an exact
	 * match tells. Empty but for the first cycle. */
	bool redone;			/* the cycle had some of them */
	uint64_t *again;
	size_t nagain, again_size;
	/* Marked objects that were found to be none of ours, by hash. */
	struct izo_fid outside[OUTSIDE_INODES];
	struct izo_record *copy;	/* writable, IZO_RECORD_MAX */

	pthread_t thread;
	bool running;
	atomic_bool stop, armed;
	atomic_bool keep;
	atomic_ullong keep_from;	/* journal up to here may be trimmed */
	uint64_t trim_seq, trim_bound;	/* of the last source_trim(); the loop's */
	pthread_mutex_t lock;
	struct source_stats stats;
};

static inline uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000ULL + t.tv_nsec / 1000000;
}

static inline struct izo_time now_real(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (struct izo_time){ .sec = t.tv_sec, .nsec = t.tv_nsec };
}

/* source_cycle.c: journals one cycle; also with nothing captured, when time
 * makes contents due. */
int source_cycle(struct source *s, const struct capture_cycle *c);
/* Ends what was appended with a BORDER, durably: mark.epoch, mark.seq and
 * cycle_first are behind it. gap: something before it was lost. */
int source_border(struct source *s, bool gap);
int source_emit(void *ctx, struct izo_record *r);	/* scope's emit */
/* After an error of the journal: true when it was full and is to be tried again. */
bool source_wait_room(struct source *s, int error);

/* source_start.c */
bool source_own_file(struct source *s, const struct izo_fid *fid);	/* in our state folder */
int source_bring_up(struct source *s, char *err, size_t size);
int source_build_index(struct source *s);
int source_void_index(struct source *s);	/* the next start builds it anew */

#endif
