// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * capture.c: what capture costs the writer, in instructions.
 *
 *   capture FOLDER [OPERATIONS] [ROUNDS]
 *
 * To be run by bench/capture in a guest whose clock counts instructions.
 * Watchers take turns within a round: none, capture (all programs, drained
 * outside of what is measured), fanotify with names, inotify. Prints the median
 * over the rounds of instructions an operation and of the change against none;
 * status 1 when capture costs more than it may.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "lento/capture.h"

#define ROUNDS_MAX	15

enum mode { NONE, CAPTURE, FANOTIFY, INOTIFY, MODES };
enum op { CREATE, RENAME, UNLINK, WRITE4K, WRITE64, FRESH, OPS };

static const char *const mode_names[MODES] = { "none", "capture", "fanotify", "inotify" };
static const char *const op_names[OPS] = { "create+close", "rename", "unlink",
					   "write 4K", "write 64", "fresh 4K" };
/* What capture may add, in percent; 0: no limit. */
static const double limits[OPS] = { 3, 3, 3, 4, 0, 0 };

static double cost[MODES][OPS][ROUNDS_MAX];
static const char *root;
static struct capture *source;
static int notify = -1;
static char buf[65536];

static long now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000L + t.tv_nsec;
}

static void die(const char *what)
{
	fprintf(stderr, "bench/capture: %s: %s\n", what, strerror(errno));
	exit(2);
}

static void arm(void)
{
	struct capture_spec spec = { .root = root, .pin_name = "bench",
				     .ring_bytes = 16 << 20 };
	char err[1024] = "";
	bool adopted;

	spec.root_fd = open(root, O_PATH | O_DIRECTORY);
	if (capture_bpf.open(&spec, &source, &adopted, err, sizeof(err)))
		die(err);
	close(spec.root_fd);
}

static void watch(enum mode mode, const char *dir)
{
	const uint64_t events = FAN_CREATE | FAN_DELETE | FAN_MOVED_FROM | FAN_MOVED_TO |
		FAN_MODIFY | FAN_ATTRIB | FAN_CLOSE_WRITE | FAN_ONDIR;

	if (mode == CAPTURE)
		arm();
	if (mode == FANOTIFY) {
		notify = fanotify_init(FAN_CLASS_NOTIF | FAN_NONBLOCK |
				       FAN_REPORT_DFID_NAME | FAN_UNLIMITED_QUEUE, O_RDONLY);
		if (notify < 0 || fanotify_mark(notify, FAN_MARK_ADD | FAN_MARK_FILESYSTEM,
						events, AT_FDCWD, dir))
			die("fanotify");
	}
	if (mode == INOTIFY) {
		notify = inotify_init1(IN_NONBLOCK);
		if (notify < 0 || inotify_add_watch(notify, dir, IN_CREATE | IN_DELETE |
				IN_MOVE | IN_MODIFY | IN_ATTRIB | IN_CLOSE_WRITE) < 0)
			die("inotify");
	}
}

static void drain(void)
{
	struct capture_cycle cycle;

	while (source && capture_bpf.drain(source, 0, &cycle) == 1) {
		if (cycle.gap)
			fprintf(stderr, "# gap: %s\n", cycle.gap_why);
		capture_bpf.release(source);
	}
	while (notify >= 0 && read(notify, buf, sizeof(buf)) > 0)
		;
}

static void unwatch(void)
{
	if (source)
		capture_bpf.close(source, false);
	if (notify >= 0)
		close(notify);
	source = NULL;
	notify = -1;
}

static void one(enum op op, int i, int fd)
{
	char a[32], b[32];

	switch (op) {
	case CREATE:
		snprintf(a, sizeof(a), "file-%06d", i);
		close(open(a, O_CREAT | O_WRONLY, 0644));
		break;
	case RENAME:
		snprintf(a, sizeof(a), "file-%06d", i);
		snprintf(b, sizeof(b), "moved-%06d", i);
		if (rename(a, b))
			die(a);
		break;
	case UNLINK:
		snprintf(b, sizeof(b), "moved-%06d", i);
		if (unlink(b))
			die(b);
		break;
	case WRITE4K: case WRITE64:
		if (pwrite(fd, buf, op == WRITE4K ? 4096 : 64, (i & 15) * 4096) < 0)
			die("write");
		break;
	case FRESH:
		if (pwrite(fd, buf, 4096, (16 + i) * 4096L) < 0)
			die("write");
		break;
	case OPS:
		break;
	}
}

static void measure(enum mode mode, int round, int n)
{
	char dir[64];
	int fd;

	/* not at the top: ext4 would put each into another group */
	snprintf(dir, sizeof(dir), "a/r%02d-%d", round, mode);
	if (chdir(root) || (mkdir("a", 0755) && errno != EEXIST) ||
	    mkdir(dir, 0755) || chdir(dir))
		die(dir);
	watch(mode, ".");
	fd = open("w", O_CREAT | O_RDWR, 0644);
	for (int i = 0; i < 16; i++)
		one(WRITE4K, i, fd);
	sync();
	drain();
	for (int op = 0; op < OPS; op++) {
		long t = now();

		for (int i = 0; i < n; i++)
			one(op, i, fd);
		t = now() - t;
		if (round > 0)
			cost[mode][op][round - 1] = (double)t / n;
		drain();
	}
	close(fd);
	unlink("w");
	unwatch();
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double median(const double *v, int n)
{
	double s[ROUNDS_MAX];

	memcpy(s, v, n * sizeof(*v));
	qsort(s, n, sizeof(*s), by_value);
	return n % 2 ? s[n / 2] : (s[n / 2 - 1] + s[n / 2]) / 2;
}

static double change(enum mode mode, enum op op, int rounds)
{
	double c[ROUNDS_MAX];

	for (int r = 0; r < rounds; r++)
		c[r] = 100 * (cost[mode][op][r] / cost[NONE][op][r] - 1);
	return median(c, rounds);
}

static int report(int rounds)
{
	int over = 0;

	printf("%-10s", "");
	for (int op = 0; op < OPS; op++)
		printf("  %18s", op_names[op]);
	puts("");
	for (int m = 0; m < MODES; m++) {
		printf("%-10s", mode_names[m]);
		for (int op = 0; op < OPS; op++)
			printf("  %9.0f %+7.2f%%", median(cost[m][op], rounds),
			       change(m, op, rounds));
		puts("");
	}
	for (int op = 0; op < OPS; op++) {
		if (!limits[op])
			continue;
		if (change(CAPTURE, op, rounds) > limits[op])
			over++;
		printf("%s: %s %+.2f %% (at most %+.1f %%)\n",
		       change(CAPTURE, op, rounds) > limits[op] ? "OVER" : "within",
		       op_names[op], change(CAPTURE, op, rounds), limits[op]);
	}
	return over > 0;
}

int main(int argc, char **argv)
{
	int n = argc > 2 ? atoi(argv[2]) : 500, rounds = argc > 3 ? atoi(argv[3]) : 7;

	if (argc < 2 || rounds < 1 || rounds > ROUNDS_MAX) {
		fprintf(stderr, "usage: capture FOLDER [OPERATIONS] [ROUNDS]\n");
		return 2;
	}
	root = argv[1];
	/* round 0 warms up */
	for (int r = 0; r <= rounds; r++)
		for (int m = 0; m < MODES; m++)
			measure((m + r) % MODES, r, n);
	return report(rounds);
}
