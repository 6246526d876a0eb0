/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * journal_segment.h: the files of a journal, for journal*.c only.
 *
 *   kml.NNNNNNNNNNNNNNNN   segment number N (hex), consecutive, oldest first
 *   free.NNNNNNNNNNNNNNNN  what was segment N, to be used again unzeroed; or, with
 *                          SEGMENT_SPARE in N, zeroes made ahead
 *   new.NNNNNNNNNNNNNNNN   being made; removed at the next open
 *   lock  end              one appender; where the last clean stop ended
 *
 *   segment: | header 4096 | commit | commit | ... | zero or stale bytes |
 *   commit:  | IZO_PAD head | record | record | ... | zero to 4096 |
 *
 * The head says how long its commit is and which place it belongs to (segment
 * number, offset, epoch, first seq, chain before it), so that neither a stale
 * commit of a reused file nor half a commit is ever taken for a commit, and a
 * commit behind a broken one is found by looking at block starts only.
 */
#ifndef LENTO_JOURNAL_SEGMENT_H
#define LENTO_JOURNAL_SEGMENT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "intermezzo/record.h"

#define SEGMENT_BLOCK		4096u
#define SEGMENT_VERSION		1
#define COMMIT_MAX		(256u << 10)	/* also a reader's memory */
#define COMMIT_HEAD		((unsigned)IZO_RECORD_FIXED)
/* The longest record in a commit of its own has to fit. */
#define SEGMENT_MIN		(SEGMENT_BLOCK + 17 * SEGMENT_BLOCK)
_Static_assert(COMMIT_HEAD + IZO_RECORD_MAX <= 17 * SEGMENT_BLOCK, "minimum");

#define SEGMENT_SPARE		(1ULL << 63)

struct segment {
	char magic[8];
	izo_le32 version, zero;
	izo_le64 compat, incompat;	/* an unknown incompat bit: refused */
	unsigned char uuid[16];
	izo_le64 epoch;
	izo_le64 number;
	izo_le64 first_seq;		/* of its first record, if it gets any */
	izo_le64 chain;			/* before that record */
	izo_le64 bytes;			/* of the file */
	izo_le64 sum;			/* XXH3-64 of all before it */
};

/* A place between two records: the last seq before it and the chain there. */
struct place {
	uint64_t seq, chain;
};

struct fault {
	uint64_t off;
	const char *why;
};

/* Part of a segment file in memory; refilled as the reading goes on. */
struct window {
	int fd;
	unsigned char *buf;		/* COMMIT_MAX bytes */
	uint64_t off;
	size_t have;
};

void segment_name(const char *prefix, uint64_t number, char ret[32]);
/* Number of a name with that prefix; 0: not one. */
uint64_t segment_name_parse(const char *prefix, const char *name);

/* Opens kml.number for reading and checks its header. fd or -errno, then err
 * has a line. */
int segment_open(int dir_fd, uint64_t number, struct segment *ret, char *err,
		 size_t err_size);
/* Makes the file of s (from free.free_number unless 0), durable, under its
 * final name. magic, version and sum are filled in. 0 or -errno. */
int segment_create(int dir_fd, struct segment *s, uint64_t free_number);
/* Makes free.number of zeroes, durable. 0 or -errno; -ECANCELED: *stop came. */
int segment_spare(int dir_fd, uint64_t number, uint64_t bytes,
		  const atomic_bool *stop);
/* Opens it for writing: fd or -errno. */
int segment_open_write(int dir_fd, uint64_t number);

/* Fills the head at the front of a commit of len bytes, head included. */
void commit_head(void *buf, const struct segment *s, uint64_t off, size_t len,
		 const struct place *before);
/* The commit at off, whole and sealed after *at: 0, *at behind it, *ret the
 * commit and *ret_len its bytes. 1: none there, *fault says why. -errno. */
int commit_load(struct window *w, const struct segment *s, uint64_t off,
		struct place *at, const unsigned char **ret, size_t *ret_len,
		struct fault *fault);
/* Is there a head of a commit of s after *at behind off? 1, 0 or -errno. */
int commit_later(struct window *w, const struct segment *s, uint64_t off,
		 const struct place *at);

static inline uint64_t commit_padded(uint64_t len)
{
	return (len + SEGMENT_BLOCK - 1) & ~(uint64_t)(SEGMENT_BLOCK - 1);
}

int window_init(struct window *w);
void window_done(struct window *w);

#endif
