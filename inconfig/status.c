/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * status.c: `inconfig status [--json] [--verbose] [--watch[=SECONDS]]
 * [--socket PATH] [FILESET]`. Enters: arguments. Leaves: what lento says, as
 * tables or as its JSON document, all filesets or the one named. Exit code 1
 * when no lento answers or the fileset is not there.
 */
#include "inconfig/status.h"

#include <argp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "inconfig/ask.h"
#include "lento/control.h"

#define WATCH_SECONDS	2
#define WATCH_MAX	3600

struct options {
	bool json, verbose;
	unsigned watch;			/* seconds; 0: once */
	const char *socket;
	const char *fileset;
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct options *o = state->input;
	char *end = "";

	switch (key) {
	case 'j':
		o->json = true;
		return 0;
	case 'v':
		o->verbose = true;
		return 0;
	case 's':
		o->socket = arg;
		return 0;
	case 'w':
		o->watch = arg ? (unsigned)strtoul(arg, &end, 10) : WATCH_SECONDS;
		if (*end || !o->watch || o->watch > WATCH_MAX)
			argp_error(state, "--watch: %s is not 1 to %d seconds", arg,
				   WATCH_MAX);
		return 0;
	case ARGP_KEY_ARG:
		if (o->fileset)
			argp_error(state, "one fileset at most");
		o->fileset = arg;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_option option_table[] = {
	{ "json", 'j', NULL, 0, "Print lento's JSON document", 0 },
	{ "verbose", 'v', NULL, 0, "Positions and counters too", 0 },
	{ "watch", 'w', "SECONDS", OPTION_ARG_OPTIONAL, "Again every SECONDS (2)", 0 },
	{ "socket", 's', "PATH", 0, "Lento's socket (" CONTROL_SOCKET ")", 0 },
	{ 0 }
};

static const char *string_of(struct json_object *o, const char *key)
{
	struct json_object *v;

	return json_object_object_get_ex(o, key, &v) ? json_object_get_string(v) : "";
}

/* Leaves only that fileset in the document; false: it is not there. */
static bool keep_only(struct json_object *doc, const char *name)
{
	struct json_object *list, *kept;

	if (!json_object_object_get_ex(doc, "filesets", &list) ||
	    !json_object_is_type(list, json_type_array))
		return false;
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *f = json_object_array_get_idx(list, i);

		if (strcmp(string_of(f, "name"), name) != 0)
			continue;
		kept = json_object_new_array();
		json_object_array_add(kept, json_object_get(f));
		json_object_object_add(doc, "filesets", kept);
		return true;
	}
	return false;
}

static int print_json(struct json_object *doc, bool one_line)
{
	int flags = JSON_C_TO_STRING_NOSLASHESCAPE | (one_line ? JSON_C_TO_STRING_PLAIN :
		    JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED);

	return puts(json_object_to_json_string_ext(doc, flags)) < 0 ? -1 : 0;
}

static int print_once(const struct options *o)
{
	struct json_object *doc;
	char err[512];
	int rc;

	if (ask_lento(o->socket, "status", &doc, err, sizeof(err)) < 0) {
		fprintf(stderr, "inconfig: %s\n", err);
		return 1;
	}
	if (o->fileset && !keep_only(doc, o->fileset)) {
		fprintf(stderr, "inconfig: lento on %s has no fileset %s\n",
			string_of(doc, "host"), o->fileset);
		json_object_put(doc);
		return 1;
	}
	/* Watching in JSON: a document a line, for a program that reads on. */
	rc = o->json ? print_json(doc, o->watch) : status_print(doc, o->verbose);
	json_object_put(doc);
	if (rc < 0 || fflush(stdout) != 0) {
		fprintf(stderr, "inconfig: writing the status failed\n");
		return 1;
	}
	return 0;
}

int cmd_status(int argc, char **argv)
{
	static const struct argp argp = {
		.options = option_table, .parser = parse_option, .args_doc = "[FILESET]",
		.doc = "Show position, lag and health of the filesets of this host.",
	};
	struct options o = { .socket = CONTROL_SOCKET };
	bool screen = isatty(STDOUT_FILENO);

	argp_parse(&argp, argc, argv, 0, NULL, &o);
	if (!o.watch)
		return print_once(&o);
	/* A lento that restarts is waited for: only a signal ends this. */
	for (;;) {
		if (screen && !o.json)
			fputs("\033[H\033[2J", stdout);
		if (print_once(&o) != 0 && ferror(stdout))
			return 1;
		sleep(o.watch);
	}
}
