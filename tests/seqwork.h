/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * seqwork: what the rooms of the sequence generator share.
 *
 * A script is a list of operations, one per line, each a verb and its
 * arguments. A deck is a list of named scripts; in text, a line `== NAME` begins
 * each. A script runs in a folder of its own with these things in it:
 *
 *   A/x   file with an xattr    B/x   file              O/x     file
 *   A/y   file                  B/h   hard link of A/x  O/d/f   file in a folder
 *   A/d/f file in a folder      B/e   empty folder
 *   A/l   symlink to x          and free: A/n, B/n, O/n, C
 *
 * O/ is outside of what is replicated, where the caller has such a place. What
 * is written anywhere is different for each sequence, line and offset.
 *
 * seqwork.c is the command line and runs decks, seqwork_deck.c makes, reads,
 * prints and shortens them, seqwork_ops.c is the table of verbs and those on
 * names and attributes, seqwork_data.c those on bytes.
 */
#ifndef SEQWORK_H
#define SEQWORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "worklib.h"

#define SEQ_NAME_MAX 63
#define SEQ_ARGS 6
#define SEQ_PATH_BYTES 512

struct script {
	char name[SEQ_NAME_MAX + 1];
	char **line;
	size_t count;
};

struct deck {
	struct script *script;
	size_t count;
};

/* One script that runs. Its working directory is its folder. */
struct seq {
	const char *name;
	const char *outside;	/* folder of O/, or NULL */
	uint64_t salt;		/* of what is written next */
	int held;		/* file kept open, or -1 */
	unsigned char *map;	/* mapping of it, or NULL */
	size_t map_len;
	size_t next;		/* line to run */
};

union arg {
	const char *text;
	long long number;
};

struct verb {
	const char *name;
	const char *args;	/* p path, n number, o octal, w word */
	int (*fn)(struct seq *seq, const union arg *arg);
};

extern const struct verb seq_data_verbs[];	/* end: no name */
extern const char *const seq_setup[];		/* end: NULL */

/* Runs one line: 0, -errno of the operation, or -EBADMSG with words in why for
 * a line that is none; seq NULL only checks it. */
int seq_line(struct seq *seq, const char *line, char *why, size_t why_size);
void seq_fill(const struct seq *seq, unsigned char *buf, long long off, size_t len);
void seq_held_close(struct seq *seq);
int seq_held_set(struct seq *seq, int fd);	/* fd or -errno; 0 or -errno */

size_t deck_alphabet(void);
const char *deck_letter(size_t n);
struct script *deck_add(struct deck *deck, const char *name);
void script_add(struct script *script, const char *line);
/* Sequence `number` of `length` letters: its digits in base deck_alphabet(). */
void deck_add_number(struct deck *deck, unsigned int length, uint64_t number);
void deck_sample(struct deck *deck, unsigned int length, size_t count, uint64_t seed);
/* From a stream; exits with a message that names file and line. */
void deck_read(struct deck *deck, FILE *in, const char *file);
void deck_print(const struct deck *deck, FILE *out);
/*
 * What may be left of a script that fails, the shortest first: nothing, then one
 * line, two, four and so on, then all but so many. Names are cN-M, M < copies.
 */
void deck_candidates(struct deck *ret, const struct script *script, unsigned int copies);
void deck_free(struct deck *deck);

#endif
