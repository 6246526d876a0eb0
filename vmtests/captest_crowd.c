// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * captest_crowd.c: calls that the kernel skips programs for.
 *
 * missed: what is missing for a moment is nothing, what stays missing is told.
 * crowd: processes that take the processors from one another. Each runs the same steps over and over in a directory of its own, so the kinds
 * of its records are known one by one: a lost one shows, and so does one that
 * comes late. On a preemptible kernel many lose the processor in the middle of a
 * capture program, and the calls of the others there are skipped by it. What is
 * lost must be known to be lost, and be rare.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include "lento/capture_pins.h"
#include "vmtests/captest.h"

#define TOLD_MS	3000	/* by then what is missed has been told */

/* The programs' counters, to count in them what did not happen. */
static struct izo_count *counters_of(const struct ct *t)
{
	char path[128];
	void *p;
	int fd;

	snprintf(path, sizeof(path), PINS_ROOT "/%s/map_izo_count", t->spec.pin_name);
	fd = bpf_obj_get(path);
	p = mmap(NULL, sizeof(struct izo_count), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	return p == MAP_FAILED ? NULL : p;
}

static void change(struct ct *t)
{
	mkdir("m", 0700);
	rmdir("m");
	ct_collect(t);
}

void test_missed(struct ct *t)
{
	struct izo_count *n = counters_of(t);

	if (!ok(n, "the programs' counters"))
		return;
	n->stolen[IZO_TURN_CHANGE]++;
	change(t);
	ok(!t->gap, "a change that is missing may come yet");
	n->caught[IZO_TURN_CHANGE]++;
	ct_more(t, TOLD_MS);
	change(t);
	ok(!t->gap, "and came");
	n->stolen[IZO_TURN_CHANGE]++;
	change(t);
	ok(!t->gap, "another is missing");
	ct_more(t, TOLD_MS);
	ok(t->gap && strstr(t->gap_why, "1 calls missed"), "and is missed: %s", t->gap_why);
	change(t);
	ct_more(t, TOLD_MS);
	ok(!t->gap && !t->points, "which is told once");
	n->stolen[IZO_TURN_POINT]++;
	change(t);
	ok(t->points && !t->gap, "a missed order point is told, and is no gap");
	n->caught[IZO_TURN_CHANGE]++;
	n->caught[IZO_TURN_POINT]++;
	munmap(n, sizeof(*n));
}

#define CROWD	8

/* What one round records, in this order. */
static const unsigned char steps[] = {
	IZO_CREATE, IZO_SETATTR, IZO_XATTR, IZO_LINK, IZO_RENAME, IZO_UNLINK,
	IZO_CLOSE, IZO_MKDIR, IZO_RMDIR, IZO_SYMLINK, IZO_UNLINK, IZO_OPENW,
	IZO_CLOSE, IZO_TMPFILE, IZO_CLOSE, IZO_UNLINK,
};
#define STEPS	sizeof(steps)

struct member {
	pid_t pid;
	unsigned at;			/* next step to be seen */
	unsigned long rounds, lost, points, again;
	struct izo_fid last;
};

struct shared {
	atomic_bool stop;
	atomic_ulong rounds[CROWD];
};

static void must(int r, const char *what)
{
	if (r >= 0)
		return;
	diag("crowd: %s: %s", what, strerror(errno));
	_exit(1);
}

static void one_round(void *page)
{
	int fd = open("a", O_CREAT | O_EXCL | O_RDWR, 0600);

	must(fd, "create");
	must(fchmod(fd, 0640), "chmod");
	must(fsetxattr(fd, "user.x", "1", 1, 0), "setxattr");
	must(link("a", "b"), "link");
	must(rename("b", "c"), "rename");
	must(unlink("a"), "unlink");
	close(fd);
	must(mkdir("d", 0700), "mkdir");
	must(rmdir("d"), "rmdir");
	must(symlink("there", "s"), "symlink");
	must(unlink("s"), "unlink");
	fd = open("c", O_WRONLY | O_DIRECT);
	must(fd, "open");
	must(pwrite(fd, page, 4096, 0), "write");
	close(fd);
	fd = open(".", O_TMPFILE | O_RDWR, 0600);
	must(fd, "tmpfile");
	close(fd);
	must(unlink("c"), "unlink");
}

/* A sleeper that wakes takes the processor at once, wherever its owner is. */
static void member_run(struct shared *s, unsigned n)
{
	void *page = aligned_alloc(4096, 4096);
	char dir[16];

	snprintf(dir, sizeof(dir), "p%u", n);
	must(mkdir(dir, 0700), dir);
	must(chdir(dir), dir);
	memset(page, 'p', 4096);
	srandom(n);
	while (!s->stop) {
		struct timespec t = { .tv_nsec = random() % 300000 };

		one_round(page);
		s->rounds[n]++;
		nanosleep(&t, NULL);
	}
	_exit(0);
}

static bool same(const struct izo_fid *a, const struct izo_fid *b)
{
	return a->ino == b->ino && a->gen == b->gen && a->subvol == b->subvol;
}

static bool is_point(unsigned kind)
{
	return kind == IZO_CLOSE || kind == IZO_OPENW;
}

/* Steps that are passed over were lost. */
static void see(struct member *m, const struct izo_record *r)
{
	if (r->kind == IZO_MKDIR && r->var[0] == 'p')
		return;
	if (r->kind == steps[(m->at + STEPS - 1) % STEPS] && same(&r->obj, &m->last)) {
		m->again++;		/* two programs did it: no harm */
		return;
	}
	for (unsigned n = 0; n < STEPS; n++) {
		unsigned step = steps[m->at];

		m->at = (m->at + 1) % STEPS;
		m->rounds += !m->at;
		if (r->kind == step)
			break;
		if (is_point(step))
			m->points++;
		else
			m->lost++;
	}
	m->last = r->obj;
}

/* One cycle, so that a crowd that never rests comes to its end. */
static bool take(struct ct *t, struct member *m, int wait_ms)
{
	struct capture_cycle cycle;
	const uint8_t *p, *end;

	if (capture_bpf.drain(t->c, wait_ms, &cycle) != 1)
		return false;
	p = cycle.records;
	end = p + cycle.records_bytes;
	for (const struct izo_record *r; p < end; p += r->len) {
		r = (const struct izo_record *)p;
		for (unsigned i = 0; i < CROWD; i++)
			if (r->pid == (uint32_t)m[i].pid)
				see(&m[i], r);
	}
	if (cycle.gap) {
		t->gap = true;
		diag("crowd: gap: %s", cycle.gap_why);
	}
	capture_bpf.release(t->c);
	return true;
}

static void start(struct shared *s, struct member *m)
{
	for (unsigned i = 0; i < CROWD; i++) {
		m[i].pid = fork();
		if (!m[i].pid)
			member_run(s, i);
	}
}

static unsigned finish(struct member *m)
{
	unsigned bad = 0;
	int status;

	for (unsigned i = 0; i < CROWD; i++)
		bad += waitpid(m[i].pid, &status, 0) < 0 || status;
	return bad;
}

static bool preempted(void)
{
	FILE *f = fopen("/sys/kernel/debug/sched/preempt", "re");
	char line[80] = "";

	if (f) {
		fgets(line, sizeof(line), f);
		fclose(f);
	}
	return strstr(line, "(full)");
}

void test_crowd(struct ct *t, int seconds)
{
	struct shared *s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE,
				MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	unsigned long done = 0, rounds = 0, lost = 0, points = 0, again = 0;
	struct member m[CROWD] = {};
	struct capture_counters k;
	time_t end = time(NULL) + seconds;
	unsigned bad;

	start(s, m);
	while (time(NULL) < end)
		take(t, m, 20);
	s->stop = true;
	bad = finish(m);
	while (take(t, m, TOLD_MS))	/* a miss is told when it has stayed one */
		;
	for (unsigned i = 0; i < CROWD; i++) {
		done += s->rounds[i];
		rounds += m[i].rounds;
		lost += m[i].lost + m[i].at;
		points += m[i].points;
		again += m[i].again;
	}
	capture_bpf.counters(t->c, &k);
	diag("crowd: %lu calls skipped at first, %lu points lost, %lu records twice",
	     (unsigned long)k.caught, points, again);
	ok(!bad && done > CROWD && done == rounds,
	   "crowd: %lu rounds of %zu records done, %lu seen", done, STEPS, rounds);
	ok(lost <= k.missed && points <= k.missed_points && t->gap == !!k.missed,
	   "crowd: %lu changes lost, %lu known to be, %s", lost,
	   (unsigned long)k.missed, t->gap ? "and told" : "nothing told");
	ok(k.missed <= 1 + k.caught / 200, "crowd: that is rare");
	if (preempted())
		ok(k.caught > 0, "crowd: the programs were preempted");
	munmap(s, sizeof(*s));
}
