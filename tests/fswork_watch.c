// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * fswork_watch: the reading end of the ordered-data test.
 *
 * Passes over the directory again and again while names come and go. A name
 * that is gone when it is opened is no violation; a name that is there with a
 * content that is older than the name says, incomplete, mixed, or older than
 * what the same name showed before, is one, and ends the watch with exit 1.
 * With --batches, DIR is a replica between two batch borders: what a directory
 * or a symlink publishes may be missing for a moment (its contents were gone on
 * the source before they could be read); that is counted, and no violation until
 * the last pass. Ends with exit 0 one full pass after the file of --until appeared, or at
 * SIGTERM or SIGINT, and prints how many times it looked at what.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "fswork.h"

#define WRITERS_MAX 1000
/* A reader may meet an in-place store half way: so long it may look again. */
#define TORN_SECONDS 10

static struct {
	int dirfd;
	uint64_t pub[WRITERS_MAX];	/* newest version seen behind pub-W */
	uint64_t cur[WRITERS_MAX];
	uint64_t seen_rename, seen_link, seen_dir, seen_symlink, seen_mark;
	uint64_t passes, absent;
	bool violated, batches;
	unsigned char buf[VERSION_MAX + 1];
} watch;

static volatile sig_atomic_t ended;

static void on_end(int sig)
{
	(void)sig;
	ended = 1;
}

__attribute__((format(printf, 2, 3)))
static void violation(const char *name, const char *fmt, ...)
{
	va_list args;

	if (watch.violated)
		return;
	watch.violated = true;
	printf("violation: %s: ", name);
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	putchar('\n');
}

/* What a name publishes is not there. */
#define missing(...) \
	(watch.batches ? (void)watch.absent++ : violation(__VA_ARGS__))

/* The whole file, up to the buffer's size; bytes or -errno. */
static ssize_t read_file(const char *name)
{
	int fd = openat(watch.dirfd, name, O_RDONLY | O_CLOEXEC);
	size_t done = 0;
	ssize_t got;

	if (fd < 0)
		return -errno;
	while ((got = read(fd, watch.buf + done,
			   sizeof(watch.buf) - done)) > 0)
		done += got;
	if (got < 0)
		got = -errno;
	close(fd);
	return got < 0 ? got : (ssize_t)done;
}

/*
 * Checks a complete file. 1 with its version, 0 if it is gone (or violating).
 */
static int check_file(const char *name, unsigned int writer, uint64_t least,
		      uint64_t *ret_version)
{
	ssize_t len = read_file(name);
	struct version version;
	char why[128];

	if (len == -ENOENT)
		return 0;
	if (len < 0)
		violation(name, "cannot read: %s", strerror(-len));
	else if (version_check(watch.buf, len, &version, why, sizeof(why)))
		violation(name, "%s", why);
	else if (version.writer != writer)
		violation(name, "content of writer %u", version.writer);
	else if (version.version < least)
		violation(name, "version %" PRIu64 ", must be at least %" PRIu64,
			  version.version, least);
	if (watch.violated)
		return 0;
	*ret_version = version.version;
	return 1;
}

static void check_rename(const char *name, unsigned int writer)
{
	uint64_t version;

	if (check_file(name, writer, watch.pub[writer], &version)) {
		watch.pub[writer] = version;
		watch.seen_rename++;
	}
}

static void check_link(const char *name, unsigned int writer, uint64_t least)
{
	uint64_t version;

	watch.seen_link += check_file(name, writer, least, &version);
}

static bool same_directory(const char *name, const struct stat *before)
{
	struct stat now;

	return !fstatat(watch.dirfd, name, &now, AT_SYMLINK_NOFOLLOW) &&
	       now.st_ino == before->st_ino;
}

static void check_directory(const char *name, unsigned int writer,
			    uint64_t least)
{
	char path[NAME_MAX + 8];
	struct stat st;
	uint64_t version;

	if (fstatat(watch.dirfd, name, &st, AT_SYMLINK_NOFOLLOW))
		return;
	for (int i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "%s/v%d", name, i);
		if (check_file(path, writer, least, &version))
			continue;
		if (!watch.violated && same_directory(name, &st))
			missing(path, "missing in a published directory");
		return;
	}
	watch.seen_dir++;
}

static bool read_target(const char *name, char target[PATH_BYTES])
{
	ssize_t len = readlinkat(watch.dirfd, name, target, PATH_BYTES - 1);

	if (len < 0)
		return false;
	target[len] = '\0';
	return true;
}

static void check_symlink(const char *name, unsigned int writer)
{
	char target[PATH_BYTES], again[PATH_BYTES];
	uint64_t least, version;
	unsigned int by;

	if (!read_target(name, target))
		return;
	if (sscanf(target, "dat-%u-%" SCNu64, &by, &least) != 2 || by != writer) {
		violation(name, "points to '%s'", target);
	} else if (least < watch.cur[writer]) {
		violation(name, "points to '%s', before it was at %" PRIu64,
			  target, watch.cur[writer]);
	} else if (check_file(target, writer, least, &version)) {
		watch.cur[writer] = least;
		watch.seen_symlink++;
	} else if (!watch.violated && read_target(name, again) &&
		   !strcmp(target, again)) {
		missing(name, "points to '%s', which is missing", target);
	}
}

static bool read_inplace(const char *name, struct version *ret)
{
	int fd = openat(watch.dirfd, name, O_RDONLY | O_CLOEXEC);
	bool good = false;

	if (fd < 0)
		return false;
	if (pread(fd, watch.buf, BLOCK, 0) == BLOCK)
		good = !version_header(watch.buf, BLOCK, ret);
	close(fd);
	return good;
}

static void check_mark(const char *name, unsigned int writer, uint64_t least)
{
	time_t end = time(NULL) + TORN_SECONDS;
	struct version version;
	char path[PATH_BYTES];
	bool good;

	snprintf(path, sizeof(path), "inp-%u", writer);
	do
		good = read_inplace(path, &version);
	while (!good && time(NULL) < end && !usleep(1000));
	if (!good)
		violation(path, "no valid header, but %s is there", name);
	else if (version.version < least)
		violation(path, "version %" PRIu64 ", but %s is there",
			  version.version, name);
	else
		watch.seen_mark++;
}

static void check_name(const char *name)
{
	char kind[8], rest;
	unsigned int writer;
	uint64_t version;
	int n = sscanf(name, "%7[a-z]-%u-%" SCNu64 "%c", kind, &writer,
		       &version, &rest);

	if (n < 2 || n > 3 || writer >= WRITERS_MAX)
		return;
	if (n == 2 && !strcmp(kind, "pub"))
		check_rename(name, writer);
	else if (n == 2 && !strcmp(kind, "cur"))
		check_symlink(name, writer);
	else if (n == 3 && !strcmp(kind, "pub"))
		check_link(name, writer, version);
	else if (n == 3 && !strcmp(kind, "dir"))
		check_directory(name, writer, version);
	else if (n == 3 && !strcmp(kind, "mark"))
		check_mark(name, writer, version);
}

static void one_pass(DIR *dir)
{
	struct dirent *entry;

	rewinddir(dir);
	while (!watch.violated && (entry = readdir(dir)))
		check_name(entry->d_name);
	watch.passes++;
}

int work_watch(const char *path, const char *until, bool batches)
{
	DIR *dir = opendir(path);
	bool last = false;

	if (!dir) {
		perror(path);
		return 2;
	}
	watch.dirfd = dirfd(dir);
	signal(SIGTERM, on_end);
	signal(SIGINT, on_end);
	watch.batches = batches;
	while (!watch.violated) {
		bool end = ended || (until && !access(until, F_OK));

		watch.batches = batches && !(end && last);
		one_pass(dir);
		if (end && last)
			break;
		last = end;
	}
	closedir(dir);
	printf("observations: %" PRIu64 " (rename %" PRIu64 ", link %" PRIu64
	       ", directory %" PRIu64 ", symlink %" PRIu64 ", mark %" PRIu64
	       "), absent %" PRIu64 ", %" PRIu64 " passes\n",
	       watch.seen_rename + watch.seen_link + watch.seen_dir +
	       watch.seen_symlink + watch.seen_mark,
	       watch.seen_rename, watch.seen_link, watch.seen_dir,
	       watch.seen_symlink, watch.seen_mark, watch.absent,
	       watch.passes);
	return watch.violated;
}
