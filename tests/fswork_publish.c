// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * fswork_publish: the writing end of the ordered-data test.
 *
 * Writer W counts versions upwards. A version is written into a file of its
 * own (write, mapping, O_DIRECT, or over an older content of another length
 * with fsync), closed, and then published, and never changed afterwards:
 *   pub-W      by rename over the one before
 *   pub-W-K    by link; or O_TMPFILE and link
 *   dir-W-K    a directory of three files, by rename of the directory
 *   cur-W      a symlink to dat-W-K, flipped by rename
 *   mark-W-K   after fsync of inp-W, whose first block is rewritten in place:
 *              who sees the mark must see version K or newer in inp-W
 * K is the least version that may be seen behind the name. Only the newest few
 * names stay.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fswork.h"

#define KEPT 3
#define INPLACE_BYTES (16 * BLOCK)

/* Names of one kind that are still there, oldest first. */
struct kept {
	uint64_t version[KEPT];
	unsigned int count;
};

static struct kept kept_pub, kept_dir, kept_dat, kept_mark;

static void must(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "fswork: publish: %s: %m\n", what);
	exit(1);
}

static void write_all(int fd, const unsigned char *buf, size_t len)
{
	while (len) {
		ssize_t done = write(fd, buf, len);

		must(done > 0, "write");
		buf += done;
		len -= done;
	}
}

static void by_write(struct worker *w, int fd, size_t len)
{
	size_t piece = 1 + rnd_below(w, 70000);

	for (size_t at = 0; at < len; at += piece)
		write_all(fd, w->buf + at, len - at < piece ? len - at : piece);
}

static void by_mmap(struct worker *w, int fd, size_t len)
{
	unsigned char *map;

	must(!ftruncate(fd, len), "ftruncate");
	map = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	must(map != MAP_FAILED, "mmap");
	memcpy(map, w->buf, len);
	if (!rnd_below(w, 8))
		must(!msync(map, len, MS_SYNC), "msync");
	munmap(map, len);
}

static void by_direct(int fd, const unsigned char *buf, size_t len)
{
	size_t whole = len + BLOCK - 1;
	int flags = fcntl(fd, F_GETFL);

	whole -= whole % BLOCK;
	if (fcntl(fd, F_SETFL, flags | O_DIRECT))
		flags = -1;	/* tmpfs of old kernels: buffered then */
	write_all(fd, buf, whole);
	must(!ftruncate(fd, len), "ftruncate");
}

/* An older content of another length first, then the right one over it. */
static void by_rewrite(struct worker *w, int fd, size_t len)
{
	unsigned char *old = malloc(VERSION_MAX);
	struct version version = { .version = w->op - 1, .writer = w->proc };

	must(old, "malloc");
	version.length = VERSION_HEADER + rnd_below(w, VERSION_MAX - VERSION_HEADER);
	version_fill(old, &version);
	write_all(fd, old, version.length);
	free(old);
	if (rnd_below(w, 2))
		must(!fsync(fd), "fsync");
	must(!lseek(fd, 0, SEEK_SET), "lseek");
	write_all(fd, w->buf, len);
	must(!ftruncate(fd, len), "ftruncate");
	must(!fsync(fd), "fsync");
}

/* Writes the current version into fd, in one of the ways. */
static void write_version(struct worker *w, int fd)
{
	struct version version = { .version = w->op, .writer = w->proc };

	version.length = VERSION_HEADER + rnd_below(w, VERSION_MAX - VERSION_HEADER);
	version_fill(w->buf, &version);
	switch (rnd_below(w, 4)) {
	case 0:
		by_write(w, fd, version.length);
		break;
	case 1:
		by_mmap(w, fd, version.length);
		break;
	case 2:
		by_direct(fd, w->buf, version.length);
		break;
	default:
		by_rewrite(w, fd, version.length);
	}
}

static void make_version(struct worker *w, const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

	must(fd >= 0, path);
	write_version(w, fd);
	must(!close(fd), "close");
}

/* Remembers a version; returns the one to be dropped, or 0. */
static uint64_t keep(struct kept *kept, uint64_t version)
{
	uint64_t drop = 0;

	if (kept->count == KEPT) {
		drop = kept->version[0];
		memmove(kept->version, kept->version + 1,
			sizeof(kept->version) - sizeof(kept->version[0]));
		kept->count--;
	}
	kept->version[kept->count++] = version;
	return drop;
}

static const char *name_of(char path[PATH_BYTES], const char *kind,
			   struct worker *w, uint64_t version)
{
	snprintf(path, PATH_BYTES, "%s-%u-%llu", kind, w->proc,
		 (unsigned long long)version);
	return path;
}

static void drop_file(struct worker *w, const char *kind, uint64_t version)
{
	char path[PATH_BYTES];

	if (version)
		must(!unlink(name_of(path, kind, w, version)), "unlink");
}

static void publish_rename(struct worker *w)
{
	char tmp[PATH_BYTES], path[PATH_BYTES];

	make_version(w, name_of(tmp, "tmp", w, w->op));
	snprintf(path, sizeof(path), "pub-%u", w->proc);
	must(!rename(tmp, path), "rename");
	op_log(w, "publish %s", path);
}

static void publish_link(struct worker *w)
{
	char tmp[PATH_BYTES], path[PATH_BYTES];

	make_version(w, name_of(tmp, "tmp", w, w->op));
	must(!link(tmp, name_of(path, "pub", w, w->op)), "link");
	must(!unlink(tmp), "unlink");
	op_log(w, "publish %s", path);
	drop_file(w, "pub", keep(&kept_pub, w->op));
}

static void publish_tmpfile(struct worker *w)
{
	int fd = open(".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0644);
	char path[PATH_BYTES], proc[32];

	if (fd < 0) {
		publish_link(w);
		return;
	}
	write_version(w, fd);
	must(!fsync(fd), "fsync");	/* it is not closed before the link */
	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
	must(!linkat(AT_FDCWD, proc, AT_FDCWD, name_of(path, "pub", w, w->op),
		     AT_SYMLINK_FOLLOW), "linkat");
	close(fd);
	op_log(w, "publish %s", path);
	drop_file(w, "pub", keep(&kept_pub, w->op));
}

static void drop_directory(struct worker *w, uint64_t version)
{
	char from[PATH_BYTES], gone[PATH_BYTES], path[PATH_BYTES + 8];

	if (!version)
		return;
	name_of(gone, "gone", w, version);
	must(!rename(name_of(from, "dir", w, version), gone), "rename");
	for (int i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "%s/v%d", gone, i);
		must(!unlink(path), "unlink");
	}
	must(!rmdir(gone), "rmdir");
}

static void publish_directory(struct worker *w)
{
	char tmp[PATH_BYTES], dir[PATH_BYTES], path[PATH_BYTES + 8];

	must(!mkdir(name_of(tmp, "tmp", w, w->op), 0755), "mkdir");
	for (int i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "%s/v%d", tmp, i);
		make_version(w, path);
	}
	must(!rename(tmp, name_of(dir, "dir", w, w->op)), "rename");
	op_log(w, "publish %s", dir);
	drop_directory(w, keep(&kept_dir, w->op));
}

static void publish_symlink(struct worker *w)
{
	char data[PATH_BYTES], tmp[PATH_BYTES], path[PATH_BYTES];

	make_version(w, name_of(data, "dat", w, w->op));
	must(!symlink(data, name_of(tmp, "tmp", w, w->op)), "symlink");
	snprintf(path, sizeof(path), "cur-%u", w->proc);
	must(!rename(tmp, path), "rename");
	op_log(w, "publish %s %s", path, data);
	drop_file(w, "dat", keep(&kept_dat, w->op));
}

static void store_mapped(int fd, const unsigned char *block)
{
	unsigned char *map = mmap(NULL, BLOCK, PROT_READ | PROT_WRITE,
				  MAP_SHARED, fd, 0);

	must(map != MAP_FAILED, "mmap");
	memcpy(map, block, BLOCK);
	munmap(map, BLOCK);
}

static void publish_inplace(struct worker *w)
{
	struct version version = { w->op, w->proc, BLOCK };
	unsigned int how = rnd_below(w, 3);
	char path[PATH_BYTES];
	struct stat st;
	int fd;

	snprintf(path, sizeof(path), "inp-%u", w->proc);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	must(fd >= 0 && !fstat(fd, &st), path);
	version_fill(w->buf, &version);
	if (how == 2)
		fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_DIRECT);
	if (how == 1 && st.st_size >= BLOCK)
		store_mapped(fd, w->buf);
	else
		must(pwrite(fd, w->buf, BLOCK, 0) == BLOCK, "pwrite");
	must(pwrite(fd, w->buf, BLOCK, (off_t)(1 + rnd_below(w, INPLACE_BYTES / BLOCK - 1)) * BLOCK) == BLOCK,
	     "pwrite");
	must(!(rnd_below(w, 2) ? fsync(fd) : fdatasync(fd)), "fsync");
	close(fd);
	fd = open(name_of(path, "mark", w, w->op),
		  O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	must(fd >= 0, path);
	close(fd);
	op_log(w, "publish %s", path);
	drop_file(w, "mark", keep(&kept_mark, w->op));
}

int work_publish(struct worker *w)
{
	static void (*const publish[])(struct worker *) = {
		publish_rename, publish_link, publish_tmpfile,
		publish_directory, publish_symlink, publish_inplace,
	};

	for (w->op = w->first; w->op < w->first + w->ops; w->op++) {
		w->random = mix64(w->seed ^ mix64(w->op ^ mix64(w->proc)));
		publish[rnd_below(w, sizeof(publish) / sizeof(publish[0]))](w);
		if (w->pause_us)
			usleep(w->pause_us);
	}
	return 0;
}
