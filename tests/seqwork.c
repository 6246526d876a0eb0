// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * seqwork: short sequences of file operations, each in a folder of its own.
 *
 *   seqwork --letters                      the alphabet, numbered
 *   seqwork --print DECK                   the scripts as text
 *   seqwork --prepare [--outside DIR] DECK DIR    a folder for each script
 *   seqwork --run [--outside DIR] [HOW] DECK DIR  runs each in its folder
 *   seqwork --candidates [--copies N] FILE what may be left of a script that fails
 *
 * DECK is --all LENGTH [--slice K/N], --sample COUNT --length LENGTH --seed S,
 * --number LENGTH:N, --deck FILE (- for stdin), or several of them. HOW is
 * --procs P, each with a part of the deck; --by-step, the first operation of
 * all scripts, then the second of all; --ask, after each step a line on stdout,
 * and a line on stdin goes on; --pause-ms after each operation or step.
 * Run it as root. Exit 0 good, 1 an unexpected error, 2 a wrong call.
 */
#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "seqwork.h"

enum {
	KEY_LETTERS = 256, KEY_PRINT, KEY_PREPARE, KEY_RUN, KEY_CANDIDATES, KEY_ALL,
	KEY_SLICE, KEY_SAMPLE, KEY_LENGTH, KEY_SEED, KEY_NUMBER, KEY_DECK,
	KEY_OUTSIDE, KEY_PROCS, KEY_BY_STEP, KEY_ASK, KEY_PAUSE, KEY_COPIES, KEY_VERBOSE,
};

static struct {
	bool letters, print, prepare, run, candidates, by_step, ask, verbose;
	unsigned int all, length, procs, pause_ms, copies;
	unsigned int slice, slices;
	size_t sample;
	uint64_t seed;
	const char *outside;
	const char *dir;
	struct deck deck;
} options = { .length = 3, .procs = 1, .slices = 1, .seed = 1, .copies = 1 };

static const struct argp_option table[] = {
	{ "letters", KEY_LETTERS, NULL, 0, "Print the alphabet", 0 },
	{ "print", KEY_PRINT, NULL, 0, "Print the scripts", 0 },
	{ "prepare", KEY_PREPARE, NULL, 0, "Make and fill a folder for each script", 0 },
	{ "run", KEY_RUN, NULL, 0, "Run each script in its folder", 0 },
	{ "candidates", KEY_CANDIDATES, NULL, 0,
	  "Print what may be left of the script, shortest first", 0 },
	{ "copies", KEY_COPIES, "N", 0, "Each candidate so often (1)", 0 },
	{ "all", KEY_ALL, "LENGTH", 0, "All sequences of that length", 1 },
	{ "slice", KEY_SLICE, "K/N", 0, "Of those, each whose number modulo N is K", 1 },
	{ "sample", KEY_SAMPLE, "COUNT", 0, "Random sequences", 1 },
	{ "length", KEY_LENGTH, "N", 0, "Their length (3)", 1 },
	{ "seed", KEY_SEED, "S", 0, "Their seed (1)", 1 },
	{ "number", KEY_NUMBER, "LENGTH:N", 0, "The sequence of that number", 1 },
	{ "deck", KEY_DECK, "FILE", 0, "Scripts from a file", 1 },
	{ "outside", KEY_OUTSIDE, "DIR", 0, "Where O/ is", 2 },
	{ "procs", KEY_PROCS, "P", 0, "Processes (1)", 2 },
	{ "by-step", KEY_BY_STEP, NULL, 0, "Operation by operation through all scripts", 2 },
	{ "ask", KEY_ASK, NULL, 0, "A line on stdin goes on to the next step", 2 },
	{ "pause-ms", KEY_PAUSE, "T", 0, "Pause after each operation or step (0)", 2 },
	{ "verbose", KEY_VERBOSE, NULL, 0, "Say how each operation ended", 2 },
	{ NULL, 0, NULL, 0, NULL, 0 },
};

struct counts {
	unsigned long long succeeded, failed, unexpected;
};

static struct counts *counts;	/* one for each process, shared */

/* --- running ---------------------------------------------------------- */

/* Not the name's hash alone: lines of one script must differ, too. */
static uint64_t salt_of(const char *name, size_t line)
{
	uint64_t salt = 0;

	for (; *name; name++)
		salt = mix64(salt ^ (unsigned char)*name);
	return mix64(salt + line);
}

static void run_line(struct seq *seq, const char *line, struct counts *count)
{
	char why[128];
	int err = seq_line(seq, line, why, sizeof(why));

	if (options.verbose)
		fprintf(stderr, "%s: %s: %s\n", seq->name, line, strerror(-err));
	if (!err) {
		count->succeeded++;
	} else if (work_expected(err)) {
		count->failed++;
	} else {
		count->unexpected++;
		fprintf(stderr, "seqwork: %s: '%s': %s\n", seq->name, line,
			err == -EBADMSG ? why : strerror(-err));
	}
}

static void enter(const char *name)
{
	if (chdir(options.dir) || chdir(name)) {
		fprintf(stderr, "seqwork: %s/%s: %s\n", options.dir, name, strerror(errno));
		exit(2);
	}
}

static void seq_start(struct seq *seq, const char *name)
{
	*seq = (struct seq){ .name = name, .outside = options.outside, .held = -1 };
}

static void step(struct seq *seq, const struct script *script, struct counts *count)
{
	seq->salt = salt_of(seq->name, seq->next);
	run_line(seq, script->line[seq->next++], count);
}

static void pause_ms(void)
{
	struct timespec t = { options.pause_ms / 1000,
			      options.pause_ms % 1000 * 1000000L };

	if (options.pause_ms)
		nanosleep(&t, NULL);
}

static void run_scripts(const struct deck *deck, unsigned int proc)
{
	for (size_t i = proc; i < deck->count; i += options.procs) {
		struct seq seq;

		seq_start(&seq, deck->script[i].name);
		enter(seq.name);
		while (seq.next < deck->script[i].count) {
			step(&seq, &deck->script[i], &counts[proc]);
			pause_ms();
		}
		seq_held_close(&seq);
	}
}

static void ask(unsigned int number)
{
	char line[16];

	if (!options.ask)
		return;
	printf("step %u\n", number);
	fflush(stdout);
	if (!fgets(line, sizeof(line), stdin))
		exit(2);
}

/* One operation of each; false when no script has another one. */
static bool run_step(const struct deck *deck, struct seq *seq, unsigned int proc)
{
	bool any = false;

	for (size_t i = proc; i < deck->count; i += options.procs) {
		if (seq[i].next == deck->script[i].count)
			continue;
		enter(seq[i].name);
		step(&seq[i], &deck->script[i], &counts[proc]);
		any = true;
	}
	return any;
}

static void run_by_step(const struct deck *deck, unsigned int proc)
{
	struct seq *seq = calloc(deck->count, sizeof(*seq));

	if (!seq)
		abort();
	for (size_t i = 0; i < deck->count; i++)
		seq_start(&seq[i], deck->script[i].name);
	for (unsigned int n = 1; run_step(deck, seq, proc); n++) {
		pause_ms();
		ask(n);
	}
	for (size_t i = 0; i < deck->count; i++)
		seq_held_close(&seq[i]);
	free(seq);
}

static void make_folder(const char *parent, const char *name)
{
	char path[SEQ_PATH_BYTES];

	snprintf(path, sizeof(path), "%s/%s", parent, name);
	if (mkdir(path, 0755)) {
		perror(path);
		exit(2);
	}
}

static void prepare(const struct deck *deck, unsigned int proc)
{
	for (size_t i = proc; i < deck->count; i += options.procs) {
		struct seq seq;

		seq_start(&seq, deck->script[i].name);
		make_folder(options.dir, seq.name);
		if (options.outside)
			make_folder(options.outside, seq.name);
		enter(seq.name);
		for (size_t n = 0; seq_setup[n]; n++) {
			seq.salt = salt_of(seq.name, 1000000 + n);
			run_line(&seq, seq_setup[n], &counts[proc]);
		}
	}
}

static void work(const struct deck *deck, unsigned int proc)
{
	if (options.prepare)
		prepare(deck, proc);
	if (options.run && options.by_step)
		run_by_step(deck, proc);
	else if (options.run)
		run_scripts(deck, proc);
}

static int run_procs(const struct deck *deck)
{
	int status = 0, one;

	for (unsigned int i = 0; i < options.procs; i++) {
		pid_t pid = fork();

		if (pid < 0) {
			perror("seqwork: fork");
			return 1;
		}
		if (!pid) {
			work(deck, i);
			exit(0);
		}
	}
	for (unsigned int i = 0; i < options.procs; i++)
		if (wait(&one) > 0 && one)
			status = WIFEXITED(one) ? WEXITSTATUS(one) : 1;
	return status;
}

/* Held files of all scripts are open at once in --by-step. */
static void allow_files(size_t count)
{
	struct rlimit limit = { count + 64, count + 64 };

	if (setrlimit(RLIMIT_NOFILE, &limit))
		perror("seqwork: setrlimit");
}

static int run(const struct deck *deck)
{
	struct counts sum = { 0 };
	int status = 0;

	counts = mmap(NULL, options.procs * sizeof(*counts), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (counts == MAP_FAILED)
		abort();
	umask(0);
	if (options.by_step)
		allow_files(deck->count);
	if (options.procs > 1)
		status = run_procs(deck);
	else
		work(deck, 0);
	for (unsigned int i = 0; i < options.procs; i++) {
		sum.succeeded += counts[i].succeeded;
		sum.failed += counts[i].failed;
		sum.unexpected += counts[i].unexpected;
	}
	printf("seqwork: %zu sequences, %llu operations succeeded, %llu failed as expected, %llu unexpected\n",
	       deck->count, sum.succeeded, sum.failed, sum.unexpected);
	return status ? status : sum.unexpected != 0;
}

/* --- the call --------------------------------------------------------- */

static uint64_t number(const char *text, uint64_t max, struct argp_state *state)
{
	char *end;
	uint64_t n;

	errno = 0;
	n = strtoull(text, &end, 0);
	if (errno || end == text || *end || n > max)
		argp_error(state, "'%s' is not a number up to %llu", text,
			   (unsigned long long)max);
	return n;
}

/* Two numbers with a sign between them. */
static void two_numbers(const char *text, char sign, uint64_t *a, uint64_t *b,
			struct argp_state *state)
{
	char *copy = strdup(text), *at = copy ? strchr(copy, sign) : NULL;

	if (!at)
		argp_error(state, "'%s' is not two numbers with a %c", text, sign);
	*at = '\0';
	*a = number(copy, UINT64_MAX, state);
	*b = number(at + 1, UINT64_MAX, state);
	free(copy);
}

static void read_deck(const char *file)
{
	FILE *in = strcmp(file, "-") ? fopen(file, "re") : stdin;

	if (!in) {
		fprintf(stderr, "seqwork: %s: %s\n", file, strerror(errno));
		exit(2);
	}
	deck_read(&options.deck, in, file);
	if (in != stdin)
		fclose(in);
}

static error_t parse_flag(int key)
{
	static const struct {
		int key;
		bool *flag;
	} flags[] = {
		{ KEY_LETTERS, &options.letters }, { KEY_PRINT, &options.print },
		{ KEY_PREPARE, &options.prepare }, { KEY_RUN, &options.run },
		{ KEY_CANDIDATES, &options.candidates }, { KEY_ASK, &options.ask },
		{ KEY_BY_STEP, &options.by_step }, { KEY_VERBOSE, &options.verbose },
	};

	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		if (key == flags[i].key) {
			*flags[i].flag = true;
			return 0;
		}
	return ARGP_ERR_UNKNOWN;
}

static error_t parse_deck(int key, char *arg, struct argp_state *state)
{
	uint64_t a, b;

	switch (key) {
	case KEY_ALL:
		options.all = number(arg, 8, state);
		return 0;
	case KEY_SLICE:
		two_numbers(arg, '/', &a, &b, state);
		if (a >= b)
			argp_error(state, "there is no slice %s", arg);
		options.slice = a;
		options.slices = b;
		return 0;
	case KEY_SAMPLE:
		options.sample = number(arg, 10000000, state);
		return 0;
	case KEY_LENGTH:
		options.length = number(arg, 100000, state);
		return 0;
	case KEY_SEED:
		options.seed = number(arg, UINT64_MAX, state);
		return 0;
	case KEY_NUMBER:
		two_numbers(arg, ':', &a, &b, state);
		if (!a || a > 8)
			argp_error(state, "a length of 1 to 8 is needed");
		deck_add_number(&options.deck, a, b);
		return 0;
	case KEY_DECK:
		read_deck(arg);
		return 0;
	default:
		return parse_flag(key);
	}
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	switch (key) {
	case KEY_OUTSIDE:
		options.outside = arg;
		return 0;
	case KEY_PROCS:
		options.procs = number(arg, 1000, state);
		return options.procs ? 0 : EINVAL;
	case KEY_PAUSE:
		options.pause_ms = number(arg, 1000000, state);
		return 0;
	case KEY_COPIES:
		options.copies = number(arg, 1000, state);
		return 0;
	case ARGP_KEY_ARG:
		if (options.dir)
			argp_error(state, "one directory only");
		options.dir = arg;
		return 0;
	case ARGP_KEY_END:
		if ((options.prepare || options.run) != !!options.dir)
			argp_error(state, "a directory for --prepare and --run, and only for these");
		if (options.ask && (!options.by_step || options.procs > 1))
			argp_error(state, "--ask goes with --by-step and one process");
		return 0;
	default:
		return parse_deck(key, arg, state);
	}
}

static const struct argp argp = {
	.options = table,
	.parser = parse,
	.args_doc = "[DIR]",
	.doc = "Short sequences of file operations, all of a length or a sample.",
};

static void make_deck(struct deck *deck)
{
	uint64_t end = options.all ? 1 : 0;

	for (unsigned int i = 0; i < options.all; i++)
		end *= deck_alphabet();
	for (uint64_t n = options.slice; n < end; n += options.slices)
		deck_add_number(deck, options.all, n);
	deck_sample(deck, options.length, options.sample, options.seed);
}

/* Folders are entered by turns: relative names would not last. */
static const char *absolute(const char *dir)
{
	char *path = realpath(dir, NULL);

	if (!path) {
		perror(dir);
		exit(2);
	}
	return path;
}

int main(int argc, char **argv)
{
	struct deck candidates = { .count = 0 };

	argp_err_exit_status = 2;
	argp_parse(&argp, argc, argv, 0, NULL, NULL);
	for (size_t i = 0; options.letters && i < deck_alphabet(); i++)
		printf("%zu %s\n", i, deck_letter(i));
	make_deck(&options.deck);
	if (options.print)
		deck_print(&options.deck, stdout);
	for (size_t i = 0; options.candidates && i < options.deck.count; i++)
		deck_candidates(&candidates, &options.deck.script[i], options.copies);
	deck_print(&candidates, stdout);
	if (!options.prepare && !options.run)
		return 0;
	options.dir = absolute(options.dir);
	if (options.outside)
		options.outside = absolute(options.outside);
	return run(&options.deck);
}
