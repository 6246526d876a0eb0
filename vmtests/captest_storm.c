// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * captest_storm.c: the rules that only show when much happens at once.
 *
 * storm: writers change a file while its marks are taken, its pages cleaned
 * and read, over and over. When they have stopped, the copy made by this
 * discipline is the file: a page written after it was last read was marked.
 * order: four processes change twelve names of one directory; the records,
 * replayed in ring order, never contradict themselves and end in what is there.
 * points: a page that was changed before an fsync is marked in the cycle of the
 * fsync's record, or before.
 */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "lib/cleanup.h"
#include "vmtests/captest.h"

#define PAGE	4096
#define PAGES	1024
#define WRITERS	3
#define ROUNDS_MIN	30
#define NAMES	12

static void write_forever(int fd, unsigned seed)
{
	char *map = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	char data[100];

	srandom(seed);
	for (unsigned n = 1;; n++, sched_yield()) {
		off_t at = random() % (PAGES - 1) * PAGE + random() % 3000;

		if (n % 3 && seed != 2) {
			memset(data, n, sizeof(data));
			if (pwrite(fd, data, sizeof(data), at) < 0)
				_exit(1);
		} else {
			map[at] = n;
			map[at + 1] = n >> 8;
		}
	}
}

/* The reader's discipline on one mark. */
static void harvest(int fd, char *shadow, const struct capture_mark *m)
{
	uint64_t end = m->range.end < PAGES * PAGE ? m->range.end : PAGES * PAGE;

	if (m->range.off >= end)
		return;
	sync_file_range(fd, m->range.off, end - m->range.off,
			SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
			SYNC_FILE_RANGE_WAIT_AFTER);
	if (pread(fd, shadow + m->range.off, end - m->range.off, m->range.off) < 0)
		exit(2);
}

static unsigned long harvest_all(struct ct *t, int fd, ino_t ino, char *shadow, int wait_ms)
{
	struct capture_cycle cycle;
	unsigned long n = 0;

	if (capture_bpf.drain(t->c, wait_ms, &cycle) != 1)
		return 0;
	t->gap = t->gap || cycle.gap;
	for (size_t i = 0; i < cycle.nmarks; i++)
		if (cycle.marks[i].obj.ino == ino) {
			harvest(fd, shadow, &cycle.marks[i]);
			n++;
		}
	capture_bpf.release(t->c);
	return n;
}

static void stop(pid_t *pids, int n)
{
	for (int i = 0; i < n; i++)
		kill(pids[i], SIGKILL);
	for (int i = 0; i < n; i++)
		waitpid(pids[i], NULL, 0);
}

void test_storm(struct ct *t, int seconds)
{
	_cleanup_fd_ int fd = open("storm", O_CREAT | O_RDWR, 0600);
	_cleanup_free_ char *shadow = calloc(PAGES, PAGE), *now = calloc(PAGES, PAGE);
	unsigned long harvested = 0, rounds = 0, wrong = 0;
	pid_t pids[WRITERS];
	struct stat st;
	time_t end;

	ftruncate(fd, PAGES * PAGE);
	pwrite(fd, shadow, PAGES * PAGE, 0);
	fsync(fd);
	fstat(fd, &st);
	while (harvest_all(t, fd, st.st_ino, shadow, 0))
		;
	for (unsigned i = 0; i < WRITERS; i++) {
		pids[i] = fork();
		if (!pids[i])
			write_forever(fd, i);
	}
	/* under emulation a cycle may take long: it is cycles that prove */
	for (end = time(NULL) + seconds; time(NULL) < end ||
	     (rounds < ROUNDS_MIN && time(NULL) < end + 120); rounds++)
		harvested += harvest_all(t, fd, st.st_ino, shadow, 100);
	stop(pids, WRITERS);
	while (harvest_all(t, fd, st.st_ino, shadow, 0))
		;
	pread(fd, now, PAGES * PAGE, 0);
	for (unsigned i = 0; i < PAGES; i++)
		wrong += memcmp(now + i * PAGE, shadow + i * PAGE, PAGE) != 0;
	ok(!wrong && rounds >= ROUNDS_MIN && harvested >= rounds / 2 && !t->gap,
	   "storm: %lu ranges taken in %lu cycles, %lu of %d pages stale",
	   harvested, rounds, wrong, PAGES);
	unlink("storm");
}

static void rename_forever(unsigned seed)
{
	char a[32], b[32];

	srandom(seed * 77 + 1);
	for (;;) {
		snprintf(a, sizeof(a), "o/n%ld", random() % NAMES);
		snprintf(b, sizeof(b), "o/n%ld", random() % NAMES);
		switch (random() % 6) {
		case 0: case 1:
			mknod(a, S_IFREG | 0600, 0);
			break;
		case 2:
			unlink(a);
			break;
		case 3:
			rename(a, b);
			break;
		case 4:
			renameat2(AT_FDCWD, a, AT_FDCWD, b, 2);
			break;
		case 5:
			if (link(a, b))
				unlink(b);
			break;
		}
	}
}

struct replay {
	struct izo_fid have[NAMES];
	unsigned long records, switches, violations;
	unsigned last_pid;
};

static bool same(const struct izo_fid *a, const struct izo_fid *b)
{
	return a->ino == b->ino && a->gen == b->gen;
}

static void replay_rename(struct replay *p, const struct izo_record *r)
{
	struct izo_fid *from = &p->have[atoi((const char *)r->var + 1)], swap;
	char name[32];
	struct izo_fid *to;

	snprintf(name, sizeof(name), "%.*s", r->name2_len, r->var + r->name_len);
	to = &p->have[atoi(name + 1)];
	p->violations += !same(from, &r->obj) || !same(to, &r->victim);
	swap = r->op_flags & 2 ? *to : (struct izo_fid){};
	*to = *from;
	if (from != to)
		*from = swap;
}

static void replay(struct replay *p, const struct izo_record *r)
{
	static const struct izo_fid none;
	char name[32];
	struct izo_fid *at;

	snprintf(name, sizeof(name), "%.*s", r->name_len, r->var);
	if (name[0] != 'n')
		return;
	at = &p->have[atoi(name + 1)];
	p->records++;
	p->switches += r->pid != p->last_pid;
	p->last_pid = r->pid;
	switch (r->kind) {
	case IZO_CREATE: case IZO_LINK:
		p->violations += !same(at, &none);
		*at = r->obj;
		break;
	case IZO_UNLINK:
		p->violations += !same(at, &r->obj);
		*at = none;
		break;
	case IZO_RENAME:
		replay_rename(p, r);
		break;
	}
}

static unsigned wrong_at_end(struct ct *t, struct replay *p)
{
	unsigned wrong = 0;

	for (int i = 0; i < NAMES; i++) {
		struct izo_fid fid = {};
		char name[32];

		snprintf(name, sizeof(name), "o/n%d", i);
		if (fid_of(&t->mount, t->root_fd, name, &fid))
			fid = (struct izo_fid){};
		wrong += !same(&fid, &p->have[i]);
	}
	return wrong;
}

void test_order(struct ct *t, int seconds)
{
	struct replay p = {};
	pid_t pids[4];
	time_t end;
	bool gap = false;

	mkdir("o", 0700);
	for (unsigned i = 0; i < 4; i++) {
		pids[i] = fork();
		if (!pids[i])
			rename_forever(i);
	}
	for (end = time(NULL) + seconds; time(NULL) < end + 1;) {
		if (time(NULL) >= end && pids[0]) {
			stop(pids, 4);
			pids[0] = 0;
		}
		ct_collect(t);
		ct_more(t, 20);
		gap = gap || t->gap;
		for (const struct izo_record *r = ct_next(t, NULL); r; r = ct_next(t, r))
			replay(&p, r);
	}
	ok(!p.violations && p.records > 500 && !gap,
	   "order: %lu records, %lu changes of process, %lu violations", p.records,
	   p.switches, p.violations);
	ok(!wrong_at_end(t, &p), "order: the names at the end");
}

#define POINT_PAGES	65536

/* Page after page is changed and then synced. */
static void sync_forever(int fd)
{
	for (off_t n = 0; n < POINT_PAGES; n++)
		if (pwrite(fd, "point", 5, n * PAGE) < 0 || fdatasync(fd))
			_exit(1);
	_exit(0);
}

static void note_marks(const struct capture_cycle *cycle, ino_t ino, uint8_t *marked)
{
	for (size_t i = 0; i < cycle->nmarks; i++) {
		const struct capture_mark *m = &cycle->marks[i];

		for (uint64_t at = m->range.off; m->obj.ino == ino && at < m->range.end &&
		     at / PAGE < POINT_PAGES; at += PAGE)
			marked[at / PAGE] = 1;
	}
}

void test_points(struct ct *t, int seconds)
{
	_cleanup_fd_ int fd = open("points", O_CREAT | O_RDWR, 0600);
	_cleanup_free_ uint8_t *marked = calloc(POINT_PAGES, 1);
	unsigned long points = 0, early = 0, cycles = 0;
	struct capture_cycle cycle;
	time_t end = time(NULL) + seconds;
	bool gap = false;
	struct stat st;
	pid_t pid;

	fstat(fd, &st);
	ct_collect(t);
	pid = fork();
	if (!pid)
		sync_forever(fd);
	for (; time(NULL) < end; cycles++) {
		const uint8_t *p;

		if (capture_bpf.drain(t->c, 100, &cycle) != 1)
			continue;
		gap = gap || cycle.gap;
		note_marks(&cycle, st.st_ino, marked);
		p = cycle.records;
		while (p < (const uint8_t *)cycle.records + cycle.records_bytes) {
			const struct izo_record *r = (const void *)p;

			if (r->kind == IZO_FSYNC && r->pid == (uint32_t)pid)
				early += !marked[points++];
			p += r->len;
		}
		capture_bpf.release(t->c);
	}
	stop(&pid, 1);
	ok(!early && points > 20 && cycles > 5 && !gap,
	   "points: %lu in %lu cycles, %lu without the mark before them", points, cycles,
	   early);
	unlink("points");
}
