// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * treecmp: the command line.
 *
 *   treecmp [OPTIONS] A B         exit 0 identical, 1 different, 2 trouble
 *   treecmp --digest [OPTIONS] A  prints one XXH3-128 digest of the tree
 *
 * Compared: names, types, modes, owners, mtimes in nanoseconds, sizes,
 * contents, holes, xattrs, ACLs, symlink targets, device numbers, hard-link
 * groups, inode flags, project ids. Not compared: ctime, link counts, sizes of
 * directories.
 * Extended attributes trusted.intermezzo.* are lento's own and left out.
 */
#include <argp.h>
#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "treecmp.h"

struct options options = {
	.holes = true,
	.dir_times = true,
	.parts = PART_NAMES | PART_ATTRS | PART_XATTRS | PART_TIMES |
		 PART_CONTENT,
	.max = 20,
};

enum {
	KEY_DIGEST = 256, KEY_PARTS, KEY_PREFIX, KEY_ATIME, KEY_NO_HOLES,
	KEY_ALL, KEY_NO_DIR_TIMES, KEY_MAX, KEY_THREADS, KEY_EXCLUDE,
	KEY_EXCLUDE_XATTR,
};

static const struct argp_option table[] = {
	{ "digest", KEY_DIGEST, NULL, 0, "Print a digest of one tree", 0 },
	{ "digest-parts", KEY_PARTS, "LIST", 0,
	  "What enters the digest: names,attrs,xattrs,times,content (these are "
	  "the default) and holes; paths and types always do", 0 },
	{ "prefix", KEY_PREFIX, NULL, 0,
	  "Leave out size, mtime, content and holes of regular files", 0 },
	{ "no-dir-times", KEY_NO_DIR_TIMES, NULL, 0,
	  "Leave out times of directories", 0 },
	{ "atime", KEY_ATIME, NULL, 0, "Compare atimes too", 0 },
	{ "no-holes", KEY_NO_HOLES, NULL, 0, "Do not compare holes", 0 },
	{ "all", KEY_ALL, NULL, 0,
	  "Do not leave out .intermezzo and lost+found of the top level", 0 },
	{ "exclude", KEY_EXCLUDE, "GLOB", 0,
	  "Leave out matching names; with a '/', matching paths from the top", 0 },
	{ "exclude-xattr", KEY_EXCLUDE_XATTR, "GLOB", 0,
	  "Leave out matching extended attributes", 0 },
	{ "max", KEY_MAX, "N", 0, "Print N differences (20; 0 = all)", 0 },
	{ "threads", KEY_THREADS, "N", 0, "Threads (number of CPUs)", 0 },
	{ NULL, 0, NULL, 0, NULL, 0 },
};

static const char *root[SIDES];

static void globs_add(struct globs *globs, char *glob)
{
	globs->glob = reallocarray(globs->glob, globs->count + 1,
				   sizeof(*globs->glob));
	if (!globs->glob)
		abort();
	globs->glob[globs->count++] = glob;
}

bool glob_match(const struct globs *globs, const char *text, int flags)
{
	for (size_t i = 0; i < globs->count; i++)
		if (!fnmatch(globs->glob[i], text, flags))
			return true;
	return false;
}

static unsigned int parse_parts(char *list, struct argp_state *state)
{
	static char *const names[] = { "names", "attrs", "xattrs", "times",
				       "content", "holes", NULL };
	unsigned int parts = 0;

	while (*list) {
		char *value;
		int n = getsubopt(&list, names, &value);

		if (n < 0)
			argp_error(state, "unknown digest part '%s'", value);
		parts |= 1u << n;
	}
	return parts;
}

static unsigned int parse_number(const char *text, struct argp_state *state)
{
	char *end;
	unsigned long n;

	errno = 0;
	n = strtoul(text, &end, 10);
	if (errno || end == text || *end || n > 1000000000)
		argp_error(state, "'%s' is not a number", text);
	return n;
}

static error_t parse_flag(int key)
{
	switch (key) {
	case KEY_DIGEST:
		options.digest = true;
		return 0;
	case KEY_PREFIX:
		options.prefix = true;
		return 0;
	case KEY_NO_DIR_TIMES:
		options.dir_times = false;
		return 0;
	case KEY_ATIME:
		options.atime = true;
		return 0;
	case KEY_NO_HOLES:
		options.holes = false;
		return 0;
	case KEY_ALL:
		options.all = true;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	switch (key) {
	case KEY_PARTS:
		options.parts = parse_parts(arg, state);
		return 0;
	case KEY_EXCLUDE:
		globs_add(&options.exclude, arg);
		return 0;
	case KEY_EXCLUDE_XATTR:
		globs_add(&options.exclude_xattr, arg);
		return 0;
	case KEY_MAX:
		options.max = parse_number(arg, state);
		return 0;
	case KEY_THREADS:
		options.threads = parse_number(arg, state);
		return 0;
	case ARGP_KEY_ARG:
		if (state->arg_num >= SIDES)
			argp_error(state, "too many trees");
		root[state->arg_num] = arg;
		return 0;
	case ARGP_KEY_END:
		if (state->arg_num != (unsigned int)sides())
			argp_error(state, options.digest ? "--digest takes one tree"
							 : "two trees are needed");
		return 0;
	default:
		return parse_flag(key);
	}
}

static const struct argp argp = {
	.options = table,
	.parser = parse,
	.args_doc = "A B\n--digest A",
	.doc = "Compare two directory trees in full, or print a digest of one.",
};

static void raise_fd_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static unsigned int cpus(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	return n > 0 ? n : 1;
}

static void print_digest(void)
{
	XXH128_canonical_t canonical;

	XXH128_canonicalFromHash(&canonical, digest_result());
	for (size_t i = 0; i < sizeof(canonical.digest); i++)
		printf("%02x", canonical.digest[i]);
	putchar('\n');
}

int main(int argc, char **argv)
{
	int status;

	argp_err_exit_status = 2;
	argp_parse(&argp, argc, argv, 0, NULL, NULL);
	raise_fd_limit();
	status = pool_start(options.threads ? options.threads : cpus(),
			    options.digest ? digest_job : compare_job);
	if (status) {
		fprintf(stderr, "treecmp: threads: %s\n", strerror(-status));
		return 2;
	}
	walk(root);
	pool_finish();
	links_done();
	if (options.digest && !report_failed())
		print_digest();
	status = report_print();
	free(options.exclude.glob);
	free(options.exclude_xattr.glob);
	if (fflush(stdout) || ferror(stdout)) {
		perror("treecmp: output");
		return 2;
	}
	return status;
}
