// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * latency.c: from the system call on the source to "visible on the replica".
 * `latency SRC DST N`: N times a file is written, closed and waited for in DST
 * (inotify, then its size), one at a time with a random pause of 0..40 ms
 * between; prints p50, p90, p99 and the maximum in ms. One that does not come
 * within 30 s ends it with status 1.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define BODY_BYTES	3000
#define LIMIT_NS	(30ULL * 1000000000ULL)

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

static int put(const char *dir, int i)
{
	char path[4096], body[BODY_BYTES];
	int fd;

	memset(body, 'a' + i % 26, sizeof(body));
	snprintf(path, sizeof(path), "%s/lat-%06d", dir, i);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0644);
	if (fd < 0 || write(fd, body, sizeof(body)) != sizeof(body))
		return -1;
	return close(fd);
}

static int is_there(const char *dir, int i)
{
	char path[4096];
	struct stat st;

	snprintf(path, sizeof(path), "%s/lat-%06d", dir, i);
	return stat(path, &st) == 0 && st.st_size == BODY_BYTES;
}

static int wait_for(int ino, const char *dir, int i, uint64_t t0)
{
	struct pollfd p = { .fd = ino, .events = POLLIN };
	char events[65536];

	while (!is_there(dir, i)) {
		if (now_ns() - t0 > LIMIT_NS)
			return -1;
		if (poll(&p, 1, 1000) > 0 && read(ino, events, sizeof(events)) < 0 &&
		    errno != EAGAIN)
			return -1;
	}
	return 0;
}

static int order(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

int main(int argc, char **argv)
{
	int n = argc == 4 ? atoi(argv[3]) : 0, ino;
	uint64_t *ns = calloc(n > 0 ? n : 1, sizeof(*ns));

	if (n < 1 || !ns) {
		fprintf(stderr, "usage: latency SRC DST N\n");
		return 2;
	}
	ino = inotify_init1(IN_NONBLOCK);
	if (ino < 0 || inotify_add_watch(ino, argv[2], IN_CREATE | IN_MOVED_TO |
					 IN_MODIFY | IN_CLOSE_WRITE | IN_ATTRIB) < 0) {
		perror(argv[2]);
		return 1;
	}
	srand(1);
	for (int i = 0; i < n; i++) {
		uint64_t t0 = now_ns();

		if (put(argv[1], i)) {
			perror(argv[1]);
			return 1;
		}
		if (wait_for(ino, argv[2], i, t0)) {
			fprintf(stderr, "latency: lat-%06d did not come in 30 s\n", i);
			return 1;
		}
		ns[i] = now_ns() - t0;
		usleep(rand() % 40000);
	}
	qsort(ns, n, sizeof(*ns), order);
	printf("n %d  p50 %.1f ms  p90 %.1f ms  p99 %.1f ms  max %.1f ms\n", n,
	       ns[n / 2] / 1e6, ns[n * 9 / 10] / 1e6, ns[n * 99 / 100] / 1e6,
	       ns[n - 1] / 1e6);
	return 0;
}
