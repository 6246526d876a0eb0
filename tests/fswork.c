// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * fswork: random work on a directory through real system calls.
 *
 *   fswork [--seed S] [--ops N] [--procs P] [--mix namespace|data|all]
 *          [--files K] [--log FILE] [--count FILE] DIR
 *   fswork --publish [--seed S] [--ops N] [--procs P] [--log FILE] DIR
 *   fswork --watch DIR [--until FILE]
 *
 * What is attempted depends only on the seed, the process and the number of
 * the operation; what succeeds depends on the tree. --count writes how many
 * records of each kind the kernel should have made. Run it as root: without
 * CAP_FSETID writes clear set-uid bits, which makes records nobody counted.
 * Exit 0 good, 1 an unexpected error or a violation, 2 a wrong call.
 */
#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fswork.h"

enum {
	KEY_SEED = 256, KEY_OPS, KEY_PROCS, KEY_MIX, KEY_FILES, KEY_LOG,
	KEY_COUNT, KEY_FIRST, KEY_PUBLISH, KEY_WATCH, KEY_UNTIL, KEY_BATCHES, KEY_PAUSE,
	KEY_XATTR_MAX,
};

enum mix { MIX_NAMESPACE = 1, MIX_DATA = 2, MIX_ALL = 3 };

static struct {
	uint64_t seed;
	unsigned int ops;
	uint64_t first;
	unsigned int procs;
	unsigned int files;
	unsigned int pause_us;
	unsigned int xattr_max;
	enum mix mix;
	bool publish;
	bool watch;
	const char *log;
	const char *count;
	const char *until;
	bool batches;
	const char *dir;
} options = { .seed = 1, .first = 1, .ops = 1000, .procs = 1, .files = 8,
	      .xattr_max = 3000, .mix = MIX_ALL };

static const struct argp_option table[] = {
	{ "seed", KEY_SEED, "S", 0, "Seed of the random choices (1)", 0 },
	{ "ops", KEY_OPS, "N", 0, "Operations of each process (1000)", 0 },
	{ "first", KEY_FIRST, "N", 0,
	  "Number of the first operation, or version to publish (1)", 0 },
	{ "procs", KEY_PROCS, "P", 0, "Processes (1)", 0 },
	{ "mix", KEY_MIX, "MIX", 0, "namespace, data or all (all)", 0 },
	{ "files", KEY_FILES, "K", 0, "File names per directory (8)", 0 },
	{ "pause-us", KEY_PAUSE, "T", 0, "Pause after each operation (0)", 0 },
	{ "xattr-max", KEY_XATTR_MAX, "BYTES", 0,
	  "Largest xattr (3000); 500 fits six into an inode of any filesystem", 0 },
	{ "log", KEY_LOG, "FILE", 0, "Append a line per successful call", 0 },
	{ "count", KEY_COUNT, "FILE", 0, "Write the expected records as JSON", 0 },
	{ "publish", KEY_PUBLISH, NULL, 0, "Write and publish versions", 0 },
	{ "watch", KEY_WATCH, NULL, 0, "Check what --publish published", 0 },
	{ "batches", KEY_BATCHES, NULL, 0,
	  "DIR is a replica: what is published may be missing for a moment", 0 },
	{ "until", KEY_UNTIL, "FILE", 0, "Watch until FILE exists", 0 },
	{ NULL, 0, NULL, 0, NULL, 0 },
};

static const char *const kind_name[KINDS] = {
	"create", "mkdir", "mknod", "symlink", "link", "unlink", "rmdir",
	"rename", "tmpfile", "setattr", "xattr", "acl", "fileattr", "falloc",
	"remap", "inherit", "killpriv", "chmodacl", "copyrange", "write",
	"sync",
};

uint64_t rnd(struct worker *w)
{
	w->random += 0x9e3779b97f4a7c15;
	return mix64(w->random);
}

unsigned int rnd_below(struct worker *w, unsigned int n)
{
	return rnd(w) % n;
}

void rnd_fill(struct worker *w, size_t len)
{
	uint64_t word = rnd(w);

	for (size_t i = 0; i < len; i += sizeof(word)) {
		word = word * 6364136223846793005 + 1442695040888963407;
		memcpy(w->buf + i, &word,
		       len - i < sizeof(word) ? len - i : sizeof(word));
	}
}

static int pick_parents(struct worker *w, char *path, unsigned int depth)
{
	int len = 0;

	path[0] = '\0';
	for (unsigned int i = 0; i < depth; i++)
		len += sprintf(path + len, "d%u/", rnd_below(w, 3));
	return len;
}

const char *pick_file(struct worker *w, char path[PATH_BYTES])
{
	static const unsigned char depth[] = { 0, 0, 1, 1, 1, 1, 2, 2, 3, 4 };
	int len = pick_parents(w, path, depth[rnd_below(w, sizeof(depth))]);

	sprintf(path + len, "f%u", rnd_below(w, w->files));
	return path;
}

const char *pick_dir(struct worker *w, char path[PATH_BYTES])
{
	int len = pick_parents(w, path, rnd_below(w, 4));

	sprintf(path + len, "d%u", rnd_below(w, 3));
	return path;
}

const char *pick_any(struct worker *w, char path[PATH_BYTES])
{
	return rnd_below(w, 4) ? pick_file(w, path) : pick_dir(w, path);
}

/* One write(2) per line: lines of several processes do not mix. */
static void log_line(struct worker *w, const char *fmt, va_list args)
{
	char line[512];
	int len;

	if (w->log_fd < 0)
		return;
	len = snprintf(line, sizeof(line), "%u %llu ", w->proc,
		       (unsigned long long)w->op);
	len += vsnprintf(line + len, sizeof(line) - len - 1, fmt, args);
	line[len++] = '\n';
	if (write(w->log_fd, line, len) != len) {
		perror("fswork: log");
		exit(1);
	}
}

void op_log(struct worker *w, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	log_line(w, fmt, args);
	va_end(args);
}

void op_done(struct worker *w, enum kind kind, const char *fmt, ...)
{
	va_list args;

	w->shared->count[kind]++;
	va_start(args, fmt);
	log_line(w, fmt, args);
	va_end(args);
}

static unsigned int total_weight(const struct op *ops)
{
	unsigned int total = 0;

	for (; ops->name; ops++)
		total += ops->weight;
	return total;
}

static const struct op *choose(struct worker *w)
{
	const struct op *tables[] = {
		options.mix & MIX_NAMESPACE ? ns_ops : NULL,
		options.mix & MIX_NAMESPACE ? attr_ops : NULL,
		options.mix & MIX_DATA ? data_ops : NULL,
	};
	unsigned int total = 0, at;

	for (int i = 0; i < 3; i++)
		total += tables[i] ? total_weight(tables[i]) : 0;
	at = rnd_below(w, total);
	for (int i = 0;; i++)
		for (const struct op *op = tables[i]; op && op->name; op++) {
			if (at < op->weight)
				return op;
			at -= op->weight;
		}
}

int work_random(struct worker *w)
{
	int status = 0;

	for (w->op = w->first; w->op < w->first + w->ops; w->op++) {
		const struct op *op;
		int err;

		w->random = mix64(w->seed ^ mix64(w->op ^ mix64(w->proc)));
		op = choose(w);
		err = op->fn(w);
		if (!err) {
			w->shared->succeeded++;
		} else if (work_expected(err)) {
			w->shared->failed++;
		} else {
			w->shared->unexpected++;
			fprintf(stderr, "fswork: process %u, operation %llu, %s: %s\n",
				w->proc, (unsigned long long)w->op, op->name,
				strerror(-err));
			status = 1;
		}
		if (w->pause_us)
			usleep(w->pause_us);
	}
	return status;
}

static struct shared *shared_new(void)
{
	struct shared *shared = mmap(NULL, sizeof(*shared),
				     PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pthread_rwlockattr_t rw;
	pthread_mutexattr_t mutex;

	if (shared == MAP_FAILED)
		abort();
	pthread_rwlockattr_init(&rw);
	pthread_rwlockattr_setpshared(&rw, PTHREAD_PROCESS_SHARED);
	pthread_rwlock_init(&shared->names, &rw);
	pthread_mutexattr_init(&mutex);
	pthread_mutexattr_setpshared(&mutex, PTHREAD_PROCESS_SHARED);
	pthread_mutex_init(&shared->acl, &mutex);
	return shared;
}

/* Two levels of directories, so that paths exist from the first operation. */
static void make_skeleton(struct worker *w)
{
	char path[PATH_BYTES];

	for (int i = 0; i < 12; i++) {
		if (i < 3)
			sprintf(path, "d%d", i);
		else
			sprintf(path, "d%d/d%d", (i - 3) / 3, (i - 3) % 3);
		if (!mkdir(path, 0755))
			op_done(w, KIND_MKDIR, "mkdir %s 755", path);
	}
}

static int run_worker(struct worker *w)
{
	int status;

	w->buf = aligned_alloc(BLOCK, BUF_BYTES);
	if (!w->buf)
		abort();
	w->has_ring = !io_uring_queue_init(8, &w->ring, 0);
	status = options.publish ? work_publish(w) : work_random(w);
	if (w->has_ring)
		io_uring_queue_exit(&w->ring);
	free(w->buf);
	return status;
}

static int run_workers(struct worker *w)
{
	pid_t pid[options.procs];
	int status = 0;

	for (w->proc = 0; w->proc < options.procs; w->proc++) {
		pid[w->proc] = fork();
		if (pid[w->proc] < 0) {
			perror("fswork: fork");
			exit(1);
		}
		if (!pid[w->proc])
			exit(run_worker(w));
	}
	for (unsigned int i = 0; i < options.procs; i++) {
		int one = 0;

		if (wait(&one) < 0 || !one)
			continue;
		status = 1;
		/* A dead one may hold a lock the others wait for. */
		for (unsigned int j = 0; WIFSIGNALED(one) && j < options.procs; j++)
			kill(pid[j], SIGKILL);
	}
	return status;
}

static int write_counts(const struct shared *shared, FILE *out)
{
	fprintf(out, "{\"records\": {");
	for (int i = 0; i < KINDS; i++) {
		if (i == RECORD_KINDS)
			fprintf(out, "},\n \"other\": {");
		fprintf(out, "%s\"%s\": %llu",
			i == 0 || i == RECORD_KINDS ? "" : ", ", kind_name[i],
			(unsigned long long)shared->count[i]);
	}
	fprintf(out, "}}\n");
	return fclose(out);
}

static int run(void)
{
	struct worker w = {
		.files = options.files, .pause_us = options.pause_us,
		.xattr_max = options.xattr_max,
		.seed = options.seed, .first = options.first,
		.ops = options.ops, .log_fd = -1,
		.shared = shared_new(),
	};
	FILE *count = NULL;
	int status;

	if (options.log) {
		w.log_fd = open(options.log,
				O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
		if (w.log_fd < 0) {
			perror(options.log);
			return 2;
		}
	}
	if (options.count) {
		count = fopen(options.count, "we");
		if (!count) {
			perror(options.count);
			return 2;
		}
	}
	if (chdir(options.dir)) {
		perror(options.dir);
		return 2;
	}
	umask(0);
	if (!options.publish)
		make_skeleton(&w);
	status = run_workers(&w);
	if (count && write_counts(w.shared, count))
		status = 1;
	if (!options.publish)
		printf("fswork: %llu succeeded, %llu failed as expected, %llu unexpected\n",
		       (unsigned long long)w.shared->succeeded,
		       (unsigned long long)w.shared->failed,
		       (unsigned long long)w.shared->unexpected);
	return status;
}

static uint64_t parse_number(const char *text, uint64_t max,
			     struct argp_state *state)
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

static enum mix parse_mix(const char *text, struct argp_state *state)
{
	if (!strcmp(text, "namespace"))
		return MIX_NAMESPACE;
	if (!strcmp(text, "data"))
		return MIX_DATA;
	if (strcmp(text, "all"))
		argp_error(state, "unknown mix '%s'", text);
	return MIX_ALL;
}

static error_t parse_other(int key, char *arg)
{
	switch (key) {
	case KEY_LOG:
		options.log = arg;
		return 0;
	case KEY_COUNT:
		options.count = arg;
		return 0;
	case KEY_PUBLISH:
		options.publish = true;
		return 0;
	case KEY_WATCH:
		options.watch = true;
		return 0;
	case KEY_BATCHES:
		options.batches = true;
		return 0;
	case KEY_UNTIL:
		options.until = arg;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	switch (key) {
	case KEY_SEED:
		options.seed = parse_number(arg, UINT64_MAX, state);
		return 0;
	case KEY_OPS:
		options.ops = parse_number(arg, UINT32_MAX, state);
		return 0;
	case KEY_FIRST:
		options.first = parse_number(arg, UINT64_MAX / 2, state);
		return 0;
	case KEY_PROCS:
		options.procs = parse_number(arg, 1000, state);
		return 0;
	case KEY_FILES:
		options.files = parse_number(arg, 1000000, state);
		return 0;
	case KEY_PAUSE:
		options.pause_us = parse_number(arg, 1000000, state);
		return 0;
	case KEY_XATTR_MAX:
		options.xattr_max = parse_number(arg, 60000, state);
		return 0;
	case KEY_MIX:
		options.mix = parse_mix(arg, state);
		return 0;
	case ARGP_KEY_ARG:
		if (options.dir)
			argp_error(state, "one directory only");
		options.dir = arg;
		return 0;
	case ARGP_KEY_END:
		if (!options.dir || !options.procs || !options.files ||
		    !options.xattr_max)
			argp_error(state, "a directory, and numbers above 0, are needed");
		return 0;
	default:
		return parse_other(key, arg);
	}
}

static const struct argp argp = {
	.options = table,
	.parser = parse,
	.args_doc = "DIR",
	.doc = "Random, seeded work on a directory; and the ordered-data test.",
};

int main(int argc, char **argv)
{
	argp_err_exit_status = 2;
	argp_parse(&argp, argc, argv, 0, NULL, NULL);
	if (options.watch)
		return work_watch(options.dir, options.until, options.batches);
	return run();
}
