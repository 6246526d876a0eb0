// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * captest_life.c: what must survive a reader, a border and a full ring.
 *
 * adopt: a reader that is killed between drain and release has lost nothing,
 * and neither has the time in which nobody ran. own: lento's own files are left
 * out, and nothing else, for as long as they live. filter: of a directory fileset
 * only what is certainly outside is dropped. full: a full ring is said. losses:
 * so are the losses that no ring shows.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include "lento/capture_pins.h"
#include "lib/cleanup.h"
#include "vmtests/captest.h"

static void put(const char *path, int mode)
{
	int fd = open(path, O_CREAT | O_RDWR | mode, 0600);

	if (fd < 0 || write(fd, "data", 4) != 4)
		ok(false, "write %s", path);
	close(fd);
}

/* A reader that takes what there is and is killed before it releases it. */
static void die_with_a_cycle(struct ct *t)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		struct capture_cycle cycle;
		bool adopted;

		if (!ct_open(t, &adopted) || !adopted)
			_exit(1);
		if (capture_bpf.drain(t->c, 1000, &cycle) != 1 || !cycle.nmarks)
			_exit(2);
		kill(getpid(), SIGKILL);
	}
	waitpid(pid, &status, 0);
	ok(WIFSIGNALED(status), "a reader dies with a cycle in hand (%x)", status);
}

/* The settings of the programs that are pinned. */
static struct izo_conf *pinned_conf(const struct ct *t)
{
	struct izo_conf *conf;
	char path[128];
	int fd;

	snprintf(path, sizeof(path), PINS_ROOT "/%s/map_izo_conf", t->spec.pin_name);
	fd = bpf_obj_get(path);
	conf = mmap(NULL, sizeof(*conf), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	return conf == MAP_FAILED ? NULL : conf;
}

/* What a reader leaves that is killed when it has lowered the flags and not yet
 * taken the maps. */
static void lower_flags(const struct ct *t)
{
	struct izo_conf *conf = pinned_conf(t);

	if (!ok(conf && conf->marked[0], "a mark was announced"))
		return;
	memset(conf->marked, 0, sizeof(conf->marked));
	munmap(conf, sizeof(*conf));
}

/* A start that was killed whole, helper and all, between freeze and thaw. */
static void cut_while_frozen(struct ct *t)
{
	char path[128];

	snprintf(path, sizeof(path), PINS_ROOT "/%s", t->spec.pin_name);
	mkdir(PINS_ROOT, 0700);
	if (!ok(!mkdir(path, 0700), "half a folder of pins") ||
	    !ok(!ioctl(t->root_fd, FIFREEZE, 0), "the filesystem is frozen"))
		return;
	capture_bpf.recover(t->spec.pin_name, t->root_fd);
	ok(ioctl(t->root_fd, FITHAW, 0) && errno == EINVAL, "and thawed again");
}

void test_adopt(struct ct *t)
{
	struct izo_fid f, g, h;
	bool adopted;

	cut_while_frozen(t);
	if (!ok(ct_open(t, &adopted) && !adopted, "armed anew"))
		return;
	put("a", 0);
	fid_of(&t->mount, t->root_fd, "a", &f);
	ct_label(t, "a", "a");
	ct_close(t, true);
	die_with_a_cycle(t);
	put("b", 0);
	fid_of(&t->mount, t->root_fd, "b", &g);
	ct_label(t, "b", "b");
	die_with_a_cycle(t);
	if (!ok(ct_open(t, &adopted) && adopted, "adopted"))
		return;
	ct_collect(t);
	ok(strstr(ct_text(t), "create a a") == t->text && strstr(t->text, "create b b") &&
	   !t->gap, "all records are there: %s", t->text);
	ok(ct_marked(t, &f, 0, 4096) && ct_marked(t, &g, 0, 4096), "all marks are there");
	ct_collect(t);
	ok(!t->recs_bytes && !t->nmarks, "and none of them again");
	ct_close(t, true);
	put("c", 0);
	fid_of(&t->mount, t->root_fd, "c", &h);
	lower_flags(t);
	if (!ok(ct_open(t, &adopted) && adopted, "adopted again"))
		return;
	ct_collect(t);
	ok(ct_marked(t, &h, 0, 4096), "a mark that nobody announces");
	ct_close(t, false);
	ok(ct_open(t, &adopted) && !adopted, "after close nothing is adopted");
}

/* Makes files until one has this inode number; only its records are left. */
static bool reuse(struct ct *t, uint64_t ino)
{
	struct stat st;

	for (int i = 0; i < 500; i++) {
		unlink("new");
		ct_collect(t);
		put("new", 0);
		if (!stat("new", &st) && st.st_ino == ino)
			return true;
		if (i % 50 == 49)
			sync();
	}
	return false;
}

void test_own(struct ct *t)
{
	struct izo_fid *own = &t->spec.own[0], f;
	bool adopted;

	put("own", 0);
	fid_of(&t->mount, t->root_fd, "own", own);
	t->spec.nown = 1;
	if (!ok(ct_open(t, &adopted), "armed for own"))
		return;
	put("own", 0);
	chmod("own", 0640);
	ct_collect(t);
	ok(!t->recs_bytes && !t->nmarks, "nothing of an own file: %s", ct_text(t));
	unlink("own");
	if (!reuse(t, own->ino)) {
		skip("a file with an own one's number", "numbers are not used again");
		return;
	}
	fid_of(&t->mount, t->root_fd, "new", &f);
	ct_label(t, "new", "new");
	ct_collect(t);
	ok(ct_marked(t, &f, 0, 4096) && strstr(ct_text(t), "close new"),
	   "a file with an own one's number is seen: %s", t->text);
}

static void crossing(struct ct *t)
{
	_cleanup_fd_ int fd = open("out/x", O_RDONLY);

	ct_collect(t);
	ok(!rename("out/x", "in/x"), "rename into");
	ct_collect(t);
	ok(strstr(ct_text(t), "rename x>x x in out>in"), "rename into: %s", t->text);
	ok(!rename("in/x", "out/x"), "rename out");
	ct_collect(t);
	ok(strstr(ct_text(t), "rename x>x x in in>out"), "rename out: %s", t->text);
	ok(!link("out/x", "in/l"), "link into");
	ct_collect(t);
	ok(strstr(ct_text(t), "link l x in in"), "link into: %s", t->text);
	chmod("out/x", 0644);
	ct_collect(t);
	ok(strstr(ct_text(t), "setattr x"), "chmod by the outer name: %s", t->text);
	/* clean first: a page that was dirtied outside gives no second mark */
	fsync(fd);
	put("out/x", 0);
	ct_collect(t);
	ok(t->nmarks, "write by the outer name is marked");
	ok(!unlink("in/l"), "unlink the inner name");
	ct_collect(t);
	ok(strstr(ct_text(t), "unlink l x in in"), "unlink the inner name: %s", t->text);
}

void test_filter(struct ct *t)
{
	char deep[256] = "in";
	bool adopted;

	mkdir("in", 0700);
	mkdir("out", 0700);
	ct_label(t, "in", "in");
	ct_label(t, "out", "out");
	fid_of(&t->mount, t->root_fd, "in", &t->spec.roots[0]);
	t->spec.nroots = 1;
	if (!ok(ct_open(t, &adopted), "armed for filter"))
		return;
	put("out/x", 0);
	ct_label(t, "x", "out/x");
	mkdir("out/d", 0700);
	chmod("out/d", 0711);
	rename("out/d", "out/e");
	symlink("a", "out/s");
	truncate("out/x", 2);
	fallocate(open("out/x", O_RDWR), 0, 0, 8192);
	setxattr("out/x", "user.x", "v", 1, 0);
	unlink("out/s");
	rmdir("out/e");
	ct_collect(t);
	ok(!t->recs_bytes && !t->nmarks, "nothing from outside: %s, %zu marks", ct_text(t),
	   t->nmarks);
	for (size_t i = 0; i < t->nmarks; i++)
		diag("mark of %s: inode %llu, %llu..%llu", ct_name(t, &t->marks[i].obj),
		     (unsigned long long)t->marks[i].obj.ino,
		     (unsigned long long)t->marks[i].range.off,
		     (unsigned long long)t->marks[i].range.end);
	for (int i = 0; i < 20; i++) {
		strcat(deep, "/d");
		mkdir(deep, 0700);
	}
	strcat(deep, "/f");
	put(deep, 0);
	ct_collect(t);
	ok(strstr(ct_text(t), "create f") && t->nmarks == 1, "20 levels inside");
	chmod("in", 0755);
	ct_collect(t);
	ok(strstr(ct_text(t), "setattr in"), "the root itself: %s", t->text);
	crossing(t);
}

/* One cycle, if there is one within wait_ms. */
static void one_cycle(struct ct *t, int wait_ms)
{
	struct capture_cycle cycle;

	t->gap = false;
	if (capture_bpf.drain(t->c, wait_ms, &cycle) != 1)
		return;
	t->gap = cycle.gap;
	snprintf(t->gap_why, sizeof(t->gap_why), "%s", cycle.gap ? cycle.gap_why : "");
	capture_bpf.release(t->c);
}

static long waited_ms(struct ct *t, int wait_ms)
{
	struct timespec a, b;

	clock_gettime(CLOCK_MONOTONIC, &a);
	one_cycle(t, wait_ms);
	clock_gettime(CLOCK_MONOTONIC, &b);
	return (b.tv_sec - a.tv_sec) * 1000 + (b.tv_nsec - a.tv_nsec) / 1000000;
}

/* The ring is small: a quarter of it takes few files. */
static void pace(struct ct *t)
{
	char name[32];
	long ms;

	capture_bpf.pace(t->c, 400);
	mknod("first", S_IFREG | 0600, 0);
	one_cycle(t, 5000);
	mknod("second", S_IFREG | 0600, 0);
	ms = waited_ms(t, 5000);
	ok(ms >= 300 && ms < 4000, "cycles are as far apart as asked: %ld ms", ms);
	capture_bpf.pace(t->c, 60000);
	for (int i = 0; i < 300; i++) {
		snprintf(name, sizeof(name), "p%d", i);
		mknod(name, S_IFREG | 0600, 0);
	}
	ms = waited_ms(t, 50000);
	ok(ms < 40000 && !t->gap, "not when the ring fills: %ld ms", ms);
	capture_bpf.pace(t->c, 0);
}

void test_full(struct ct *t)
{
	struct capture_counters k;
	char name[32];
	bool adopted;

	t->spec.ring_bytes = 256 << 10;
	if (!ok(ct_open(t, &adopted), "armed with a small ring"))
		return;
	for (int i = 0; i < 2000; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		mknod(name, S_IFREG | 0600, 0);
	}
	ct_collect(t);
	capture_bpf.counters(t->c, &k);
	ok(t->gap && strstr(t->gap_why, "dropped"), "a full ring is a gap: %s", t->gap_why);
	ok(k.dropped > 0 && k.dropped + k.records >= 2000, "%llu dropped, %llu stored",
	   (unsigned long long)k.dropped, (unsigned long long)k.records);
	ok(t->nmarks, "the objects of dropped records are marked");
	mknod("after", S_IFREG | 0600, 0);
	ct_label(t, "after", "after");
	ct_collect(t);
	ok(!strcmp(ct_text(t), "create after after in ?") && !t->gap,
	   "afterwards all is well: %s", t->text);
	pace(t);
}

/* Marks that fitted nowhere leave no trace but a count. They cannot be had by
 * order: what was told of so far is set one back instead. */
void test_losses(struct ct *t)
{
	struct izo_conf *conf;
	bool adopted;

	if (!ok(ct_open(t, &adopted), "armed for losses"))
		return;
	conf = pinned_conf(t);
	if (!ok(conf, "the programs' settings"))
		return;
	ct_collect(t);
	test_missed(t);
	conf->seen_lost_marks--;
	one_cycle(t, 1000);
	ok(t->gap && strstr(t->gap_why, "1 marks lost"), "a lost mark is one: %s",
	   t->gap_why);
	munmap(conf, sizeof(*conf));
}
