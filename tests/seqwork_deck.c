// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * seqwork_deck: the alphabet of operations, and decks of scripts made from it:
 * all of a length, a random sample, read from text, or cut from one that fails.
 *
 * A letter is a line that does something in the prepared folder, alone or after
 * another letter. New letters go to the end: numbers of sequences stay what
 * they are as long as the alphabet does.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "seqwork.h"

static const char *const alphabet[] = {
	/* names come */
	"create A/n", "create A/x", "create B/n", "create A/d/g",
	"mkdir A/n", "mkdir A/x", "mkdir A/d/g",
	"symlink x A/n", "symlink y A/x", "mknod A/n chr", "mknod A/x fifo",
	"mknod B/n sock",
	"link A/x A/n", "link A/x B/n", "link B/h A/n", "link A/l B/n",
	"link A/x A/d/g",
	/* and go */
	"unlink A/x", "unlink A/y", "unlink A/n", "unlink B/x", "unlink B/h",
	"unlink A/l", "unlink A/d/f", "rmdir A/d", "rmdir A/n", "rmdir B/e",
	/* and move */
	"rename A/x A/n", "rename A/x B/n", "rename A/x A/y", "rename A/x B/x",
	"rename A/x B/h", "rename A/x A/l", "rename A/x A/d/g", "rename A/y A/x",
	"rename B/x A/x", "rename B/h A/x", "rename B/h A/y", "rename A/n A/x",
	"rename B/n A/x", "rename B/n A/n", "rename A/l B/n", "rename A/l A/x",
	"rename A/d/f A/x", "rename A/d/f B/n", "rename A/d A/n", "rename A/d B/n",
	"rename A/d B/e", "rename B/e A/d", "rename B/e A/n", "rename B/n A/d",
	"rename A C", "rename C A", "noreplace A/x A/n",
	"exchange A/x A/y", "exchange A/x B/x", "exchange A/x B/h", "exchange A/x A/l",
	"exchange A/x A/d", "exchange A/d B/e", "exchange A/n A/x", "exchange A B",
	"whiteout A/x A/n", "whiteout A/x B/x", "whiteout A/d B/n",
	/* bytes and layout */
	"write A/x 0 4096", "write A/x 5000 100", "write A/x 20000 3000",
	"write A/y 0 6000", "write B/h 0 8192", "write A/n 0 3000", "write B/n 100 3000",
	"write B/x 4000 500", "append A/x 3000", "append A/y 10", "direct A/x 4096 4096",
	"overwrite A/x 2000", "overwrite B/h 50", "trunc A/x 0", "trunc A/x 5000",
	"trunc A/x 30000", "trunc B/h 100", "trunc A/n 4096", "save A/x 7000",
	"save A/y 100", "map A/x 0 10000", "map A/x 8192 100", "map B/h 100 5000",
	"falloc punch A/x 0 4096", "falloc punch A/x 2000 5000",
	"falloc zero A/x 1000 6000", "falloc zero-keep A/x 8000 8000",
	"falloc collapse A/x 4096 4096", "falloc insert A/x 4096 4096",
	"falloc alloc A/x 0 40000", "falloc keep A/x 0 65536",
	"clone B/x A/x", "clone A/x A/n", "clone-range A/y A/x 0 4096 4096",
	"copy A/y A/x 0 0 3000", "copy A/x A/y 0 8192 4096", "fsync A/x", "fsync A/n",
	"sync",
	/* a file that stays open */
	"hold A/x", "hold-write A/x 100 5000", "hold-write A/y 0 100",
	"hold-write B/h 8000 5000", "held-write 3000 3000", "held-trunc 500",
	"held-map 0 4096", "held-fsync", "held-close", "tmpfile A", "held-link A/n",
	"held-link B/n",
	/* attributes */
	"chmod A/x 600", "chmod A/x 4755", "chmod A/d 700", "chmod B/n 640",
	"chown A/x 1 1", "chown A/d 2 2", "chown A/l 3 3",
	"utimes A/x 1000000", "utimes A/d 2000000", "utimes A/l 3000000",
	"utimes A 4000000", "setxattr A/x user.b 10", "setxattr A/x user.a 3000",
	"setxattr A/d user.c 20", "setxattr A/l trusted.t 10", "setxattr A/n user.n 5",
	"rmxattr A/x user.a", "acl A/x access", "acl A/d access", "acl A/d default",
	"acl A default", "rmacl A/x access", "rmacl A/d default", "cap A/x",
	"chattr A/x i", "chattr A/x a", "chattr A/x d", "chattr A/x none",
	"chattr A/d i", "chattr A/d none",
	/* across the border of what is replicated */
	"rename A/x O/n", "rename A/d O/n", "rename A O/n", "rename O/x A/n",
	"rename O/x A/x", "rename O/d A/n", "rename O/d B/e", "rename O/n A/x",
	"rename O/n A/n", "exchange A/x O/x", "exchange A/d O/d", "exchange A/x O/d",
	"link A/x O/n", "link O/x A/n", "write O/n 0 5000", "write O/x 0 5000",
	"unlink O/n", "unlink O/x", "create O/d/g", "mkdir O/d/h", "rename A/d/f O/d/g",
	"rename O/d/f A/d/g", "hold-write O/x 0 3000", "chmod O/x 600", "whiteout A/x O/n", "whiteout O/x A/n",
};

const char *const seq_setup[] = {
	"mkdir A", "mkdir B", "mkdir A/d", "mkdir B/e",
	"create A/x", "write A/x 0 10000", "setxattr A/x user.a 40",
	"create A/y", "write A/y 0 6000", "create A/d/f", "write A/d/f 0 2000",
	"symlink x A/l", "create B/x", "write B/x 0 9000", "link A/x B/h",
	"create O/x", "write O/x 0 7000", "mkdir O/d", "create O/d/f",
	"write O/d/f 0 3000", NULL,
};

size_t deck_alphabet(void)
{
	return sizeof(alphabet) / sizeof(alphabet[0]);
}

const char *deck_letter(size_t n)
{
	return alphabet[n];
}

struct script *deck_add(struct deck *deck, const char *name)
{
	struct script *script;

	deck->script = reallocarray(deck->script, deck->count + 1, sizeof(*script));
	if (!deck->script)
		abort();
	script = &deck->script[deck->count++];
	*script = (struct script){ .count = 0 };
	snprintf(script->name, sizeof(script->name), "%s", name);
	return script;
}

void script_add(struct script *script, const char *line)
{
	script->line = reallocarray(script->line, script->count + 1, sizeof(char *));
	if (!script->line || !(script->line[script->count] = strdup(line)))
		abort();
	script->count++;
}

void deck_free(struct deck *deck)
{
	for (size_t i = 0; i < deck->count; i++) {
		for (size_t j = 0; j < deck->script[i].count; j++)
			free(deck->script[i].line[j]);
		free(deck->script[i].line);
	}
	free(deck->script);
	*deck = (struct deck){ .count = 0 };
}

/* --- made ------------------------------------------------------------- */

void deck_add_number(struct deck *deck, unsigned int length, uint64_t number)
{
	char name[SEQ_NAME_MAX + 1];
	size_t digit[length];
	struct script *script;

	snprintf(name, sizeof(name), "s%u-%llu", length, (unsigned long long)number);
	script = deck_add(deck, name);
	for (unsigned int i = length; i-- > 0; number /= deck_alphabet())
		digit[i] = number % deck_alphabet();
	for (unsigned int i = 0; i < length; i++)
		script_add(script, alphabet[digit[i]]);
}

void deck_sample(struct deck *deck, unsigned int length, size_t count, uint64_t seed)
{
	char name[SEQ_NAME_MAX + 1];
	uint64_t random = mix64(seed);

	for (size_t i = 0; i < count; i++) {
		struct script *script;

		snprintf(name, sizeof(name), "r%u-%llu-%zu", length,
			 (unsigned long long)seed, i);
		script = deck_add(deck, name);
		for (unsigned int j = 0; j < length; j++) {
			random = mix64(random);
			script_add(script, alphabet[random % deck_alphabet()]);
		}
	}
}

/* --- text ------------------------------------------------------------- */

static void bad_line(const char *file, size_t n, const char *line, const char *why)
{
	fprintf(stderr, "seqwork: %s:%zu: '%s': %s\n", file, n, line, why);
	exit(2);
}

static bool good_name(const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)name[i]) && !strchr("-_.", name[i]))
			return false;
	return len && len <= SEQ_NAME_MAX && name[0] != '.';
}

/* The file's name without folder and ending, for what comes before any `==`. */
static void base_name(const char *file, char name[SEQ_NAME_MAX + 1])
{
	const char *slash = strrchr(file, '/');

	snprintf(name, SEQ_NAME_MAX + 1, "%s", slash ? slash + 1 : file);
	name[strcspn(name, ".")] = '\0';
}

void deck_read(struct deck *deck, FILE *in, const char *file)
{
	struct script *script = NULL;
	char why[128], name[SEQ_NAME_MAX + 1];
	char *line = NULL;
	size_t size = 0;

	for (size_t n = 1; getline(&line, &size, in) > 0; n++) {
		line[strcspn(line, "\n")] = '\0';
		if (!*line || *line == '#')
			continue;
		if (!strncmp(line, "== ", 3)) {
			if (!good_name(line + 3))
				bad_line(file, n, line, "no name for a script");
			script = deck_add(deck, line + 3);
			continue;
		}
		if (seq_line(NULL, line, why, sizeof(why)))
			bad_line(file, n, line, why);
		if (!script) {
			base_name(file, name);
			script = deck_add(deck, good_name(name) ? name : "script");
		}
		script_add(script, line);
	}
	free(line);
}

void deck_print(const struct deck *deck, FILE *out)
{
	for (size_t i = 0; i < deck->count; i++) {
		fprintf(out, "== %s\n", deck->script[i].name);
		for (size_t j = 0; j < deck->script[i].count; j++)
			fprintf(out, "%s\n", deck->script[i].line[j]);
	}
}

/* --- shorter ---------------------------------------------------------- */

/* The lines of [from, to), or all but these. */
static void add_part(struct deck *ret, const struct script *script, size_t from,
		     size_t to, bool inside, unsigned int copies, unsigned int *n)
{
	char name[SEQ_NAME_MAX + 1];

	for (unsigned int copy = 0; copy < copies; copy++) {
		struct script *part;

		snprintf(name, sizeof(name), "c%u-%u", *n, copy);
		part = deck_add(ret, name);
		for (size_t i = 0; i < script->count; i++)
			if ((i >= from && i < to) == inside)
				script_add(part, script->line[i]);
	}
	(*n)++;
}

void deck_candidates(struct deck *ret, const struct script *script, unsigned int copies)
{
	size_t count = script->count, chunk;
	unsigned int n = 0;

	add_part(ret, script, 0, 0, true, copies, &n);	/* the preparation alone */
	for (chunk = 1; chunk * 2 <= count; chunk *= 2)
		for (size_t at = 0; at < count; at += chunk)
			add_part(ret, script, at, at + chunk, true, copies, &n);
	for (; chunk; chunk /= 2)	/* half of it is there already */
		for (size_t at = 0; chunk * 2 < count && at < count; at += chunk)
			add_part(ret, script, at, at + chunk, false, copies, &n);
}
