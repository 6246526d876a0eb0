// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * main.c: inconfig, the tool of the administrator. Enters: a sub-command and
 * its arguments. Leaves: its output on stdout, one line per error on stderr,
 * exit code 0, or 1 when something is wrong, or 64 for a wrong command line.
 * Each sub-command is one row of the table and one file of this folder.
 */
#include <argp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "inconfig/log.h"
#include "inconfig/status.h"

#ifndef VERSION
#define VERSION "?"
#endif

const char *argp_program_version = "inconfig " VERSION;

static const struct command {
	const char *name, *what;
	int (*run)(int argc, char **argv);
} commands[] = {
	{ "status", "Position, lag and health of the filesets", cmd_status },
	{ "log",    "Print a fileset's journal", cmd_log },
};
#define NCOMMANDS (sizeof(commands) / sizeof(*commands))

static char *list_commands(int key, const char *text, void *input)
{
	char *ret = NULL;
	size_t size, i;
	FILE *out;

	(void)input;
	if (key != ARGP_KEY_HELP_POST_DOC)
		return (char *)text;
	out = open_memstream(&ret, &size);
	if (!out)
		return NULL;
	fputs("Commands:\n", out);
	for (i = 0; i < NCOMMANDS; i++)
		fprintf(out, "  %-8s %s\n", commands[i].name, commands[i].what);
	fputs("\n`inconfig COMMAND --help` tells more.", out);
	fclose(out);
	return ret;
}

static const struct command *find(const char *name)
{
	size_t i;

	for (i = 0; i < NCOMMANDS; i++)
		if (!strcmp(commands[i].name, name))
			return &commands[i];
	return NULL;
}

/* The rest of the line belongs to the command, under a name that says so. */
static int run(struct argp_state *state, char *name)
{
	const struct command *c = find(name);
	char **argv = state->argv + state->next - 1, title[64];
	int argc = state->argc - state->next + 1;

	if (!c)
		argp_error(state, "%s is not a command", name);
	snprintf(title, sizeof(title), "inconfig %s", name);
	argv[0] = title;
	exit(c->run(argc, argv));
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	switch (key) {
	case ARGP_KEY_ARG:
		return run(state, arg);
	case ARGP_KEY_NO_ARGS:
		argp_error(state, "a command is missing");
		return EINVAL;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

int main(int argc, char **argv)
{
	static const struct argp argp = {
		.parser = parse,
		.args_doc = "COMMAND [ARGUMENT...]",
		.doc = "Shows and changes what InterMezzo does on this host.\v ",
		.help_filter = list_commands,
	};

	return argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, NULL) ? 1 : 0;
}
