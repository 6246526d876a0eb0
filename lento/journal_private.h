/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * journal_private.h: what the files of the journal share.
 *
 * Lock order: files, then lock. `files` is held over making, freeing and
 * listing files; `lock` only over the table and the end, so that a reader never
 * waits for a disk on its account. The fields below "appender" belong to the
 * one thread that appends.
 */
#ifndef LENTO_JOURNAL_PRIVATE_H
#define LENTO_JOURNAL_PRIVATE_H

#include <pthread.h>
#include "lento/journal.h"
#include "lento/journal_segment.h"

#define JOURNAL_FREE_MAX	2	/* files kept for reuse */

struct journal {
	int dir_fd, lock_fd;
	bool read_only;
	uint32_t segment_bytes;
	unsigned char uuid[16];
	bool any_uuid;

	pthread_mutex_t files;
	uint64_t free_number[JOURNAL_FREE_MAX];	/* under files */
	unsigned nfree;
	struct {				/* under files, but for stop */
		pthread_t thread;
		bool begun, done;
		uint64_t number;
		atomic_bool stop;
	} spare;

	pthread_mutex_t lock;
	struct segment *segment;	/* oldest first, at least one */
	size_t nsegment;
	struct place end;		/* behind the last commit */
	uint64_t end_off, end_number;	/* byte and segment of that place */
	struct place floor;		/* from the file `end` */

	/* appender */
	int fd;				/* of tail; -1: to be opened */
	struct segment tail;		/* the newest segment */
	bool spare_wanted;		/* asked for since that one began */
	unsigned char *buf;		/* COMMIT_MAX: the commit being made */
	size_t used;			/* bytes of it; COMMIT_HEAD: empty */
	struct place at;		/* behind the last appended record */
};

static inline struct segment *journal_newest(struct journal *j)
{
	return &j->segment[j->nsegment - 1];
}

/* journal_table.c */

/* Reads the folder into the table; files are held. 0 or -errno and err. */
int journal_table_read(struct journal *j, char *err, size_t err_size);
/* A new newest segment behind the end, with that epoch; files are held. */
int journal_table_add(struct journal *j, uint64_t epoch);
/* Frees the oldest segments whose last record is <= seq; files are held. */
int journal_table_trim(struct journal *j, uint64_t seq);
/* The segment in which seq is or will be. -ESTALE: trimmed away. Takes lock. */
int journal_table_find(struct journal *j, uint64_t seq, struct segment *ret);
/* That number, and the next one's header if there is one (else *ret_next has
 * number 0). -ESTALE. Takes lock. */
int journal_table_get(struct journal *j, uint64_t number, struct segment *ret,
		      struct segment *ret_next);

/* journal_spare.c: zeroes for the next segment, written by another thread: the
 * appender would wait for them, and the kernel's ring with it. */

/* Begins to make them, unless a free file is there. False: ask again later. */
bool journal_spare_want(struct journal *j);
void journal_spare_end(struct journal *j);

/* The file `end`: a later open that finds less has lost committed records. */
int journal_floor_read(struct journal *j, char *err, size_t err_size);
int journal_floor_write(struct journal *j);

#endif
