// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * log.c: `inconfig log [-f] [--from SEQ] [--json] [--ring] FILESET|DIR`. Enters:
 * a fileset of the configuration, or a journal folder (an argument with a slash
 * in it). Leaves: its records, one a line. It reads the files only, or the live
 * ring (log_ring.h): lento may run, stand still or be gone.
 *
 * Where the journal is damaged, what stands before the damage is printed, then
 * one line that names file and byte, and the exit code is 1.
 */
#include "inconfig/log.h"
#include "inconfig/log_ring.h"

#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>
#include "lento/journal.h"
#include "lib/cleanup.h"
#include "lib/codec.h"
#include "lib/conf.h"

#define FOLLOW_TIMEOUT_MS	1000	/* filesystems that notify of nothing */

struct options {
	bool follow, json, ring;
	uint64_t from;			/* 0: the oldest */
	const char *etc, *what;
};

static int complain(const char *what, const char *why)
{
	fprintf(stderr, "inconfig log: %s: %s\n", what, why);
	return 1;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct options *o = state->input;
	char *end;

	switch (key) {
	case 'f':
		o->follow = true;
		return 0;
	case 'j':
		o->json = true;
		return 0;
	case 'r':
		o->ring = true;
		return 0;
	case 'e':
		o->etc = arg;
		return 0;
	case 's':
		errno = 0;
		o->from = strtoull(arg, &end, 10);
		if (*end || errno || !o->from || *arg < '0' || *arg > '9')
			argp_error(state, "--from: %s is not a sequence", arg);
		return 0;
	case ARGP_KEY_ARG:
		if (o->what)
			argp_error(state, "one fileset or folder at a time");
		o->what = arg;
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_error(state, "a fileset or a folder is missing");
		return EINVAL;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_option option_table[] = {
	{ "follow", 'f', NULL, 0, "Go on with new records as they come", 0 },
	{ "from", 's', "SEQ", 0, "Begin with this record, not the oldest", 0 },
	{ "json", 'j', NULL, 0, "One JSON object a line", 0 },
	{ "ring", 'r', NULL, 0,
	  "What the kernel has captured and lento not yet journaled", 0 },
	{ "etc", 'e', "DIR", 0,
	  "Configuration folder ($IZO_ETC or /etc/intermezzo)", 0 },
	{ 0 }
};

/* Where the fileset keeps its journal; a text to free or NULL, said. */
static char *journal_folder(const struct options *o)
{
	const struct conf_fileset *f;
	char err[512], *ret = NULL;
	struct conf *c;

	if (strchr(o->what, '/'))
		return strdup(o->what);
	if (conf_load(o->etc, &c, err, sizeof(err))) {
		fprintf(stderr, "inconfig log: %s\n", err);
		return NULL;
	}
	f = conf_fileset_find(c, o->what);
	if (!f)
		complain(o->what, "no such fileset (a folder has a slash in it)");
	else if (!f->path)
		complain(o->what, "this fileset is not for this host");
	else if (asprintf(&ret, "%s/%s/journal", f->state, f->name) < 0)
		ret = NULL;
	conf_free(c);
	return ret;
}

static void drain_events(int fd)
{
	char buf[4096];

	while (read(fd, buf, sizeof(buf)) > 0)
		;
}

/* Watches before it reads, so that no commit falls in between. */
static int watch(const char *folder)
{
	int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);

	if (fd >= 0)
		(void)!inotify_add_watch(fd, folder, IN_MODIFY | IN_MOVED_TO);
	return fd;
}

static int print_all(struct journal_reader *reader, bool json)
{
	const struct izo_record *r;
	int e;

	while ((e = journal_reader_next(reader, &r)) > 0) {
		if (json)
			record_print_json(stdout, r);
		else
			record_print(stdout, r);
	}
	fflush(stdout);
	return e;
}

static int print(struct journal_reader *reader, const struct options *o,
		 const char *folder)
{
	_cleanup_fd_ int fd = o->follow ? watch(folder) : -1;
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int e;

	while (!(e = print_all(reader, o->json)) && o->follow && !ferror(stdout)) {
		poll(&p, 1, FOLLOW_TIMEOUT_MS);
		drain_events(fd);
	}
	if (e == -ESTALE)
		return complain(folder, "trimmed away while it was read");
	if (e)
		return complain(folder, *journal_reader_error(reader) ?
				journal_reader_error(reader) : strerror(-e));
	return ferror(stdout) ? complain("standard output", "cannot be written") : 0;
}

static int print_from(struct journal *j, const struct options *o,
		      const char *folder)
{
	uint64_t first = journal_first_seq(j);
	struct journal_reader *reader;
	char text[80];
	int e = journal_reader_new(j, o->from ? o->from : first, &reader);

	if (e == -ESTALE) {
		snprintf(text, sizeof(text), "the oldest record here is %" PRIu64,
			 first);
		return complain(folder, text);
	}
	if (e)
		return complain(folder, strerror(-e));
	e = print(reader, o, folder);
	journal_reader_free(reader);
	return e;
}

int cmd_log(int argc, char **argv)
{
	static const struct argp argp = {
		option_table, parse, "FILESET|DIR",
		"Prints the journal of a fileset, or the one in a folder, "
		"record by record.", NULL, NULL, NULL,
	};
	struct journal_options read_only = { .read_only = true };
	struct options o = { .etc = getenv("IZO_ETC") };
	_cleanup_free_ char *folder = NULL;
	_cleanup_fd_ int fd = -1;
	struct journal *j;
	char err[256];
	int e;

	if (!o.etc)
		o.etc = "/etc/intermezzo";
	argp_parse(&argp, argc, argv, 0, NULL, &o);
	if (o.ring)
		return log_ring(o.what, o.follow, o.json);
	folder = journal_folder(&o);
	if (!folder)
		return 1;
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return complain(folder, strerror(errno));
	if (journal_open(fd, NULL, &read_only, &j, err, sizeof(err)))
		return complain(folder, err);
	e = print_from(j, &o, folder);
	journal_close(j);
	return e;
}
