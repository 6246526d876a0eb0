// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_journal.c: the journal against cuts, flips, kills, reuse and readers in
 * other threads and processes. Enters: folders under TMPDIR, on whatever
 * filesystem that is. Every case makes its own folder and removes it; the cut
 * and flip cases work on copies of one segment file, byte by byte.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include "lento/journal.h"
#include "lento/journal_segment.h"
#include "lib/codec.h"
#include "lib/io.h"

#define SEGMENT	(128u << 10)

static const unsigned char uuid[16] = "0123456789abcdef";
static char err[256];

struct place_dir {
	char path[64];
	int fd;
};

static int setup(void **state)
{
	struct place_dir *d = calloc(1, sizeof(*d));

	snprintf(d->path, sizeof(d->path), "%s/journal.XXXXXX",
		 getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	if (!mkdtemp(d->path))
		return -1;
	d->fd = open(d->path, O_RDONLY | O_DIRECTORY);
	*state = d;
	return d->fd < 0;
}

static int teardown(void **state)
{
	struct place_dir *d = *state;
	char cmd[128];
	int r;

	snprintf(cmd, sizeof(cmd), "rm -rf -- '%s'", d->path);
	r = system(cmd);
	close(d->fd);
	free(d);
	return r;
}

static int try_open(int dir, bool read_only, struct journal **ret)
{
	struct journal_options o = { SEGMENT, read_only };

	return journal_open(dir, uuid, &o, ret, err, sizeof(err));
}

static struct journal *must_open(int dir)
{
	struct journal *j = NULL;
	int r = try_open(dir, false, &j);

	if (r)
		print_message("journal_open: %d %s\n", r, err);
	assert_int_equal(r, 0);
	return j;
}

static int append(struct journal *j, unsigned salt, unsigned value_len)
{
	static unsigned char value[IZO_DATA_MAX];
	struct izo_record *r;
	int e;

	memset(value, salt, sizeof(value));
	r = record_new(IZO_XATTR, "user.x", 6, NULL, 0, value, value_len);
	r->obj.ino = salt + 1;
	r->clock_ns = salt;
	e = journal_append(j, r);
	free(r);
	return e;
}

static void add(struct journal *j, unsigned n, unsigned value_len)
{
	struct izo_pos end;
	unsigned i;

	journal_end(j, &end);
	for (i = 0; i < n; i++)
		assert_int_equal(append(j, end.seq + i, value_len), 0);
	assert_int_equal(journal_commit(j), 0);
}

static uint64_t end_seq(struct journal *j)
{
	struct izo_pos end;

	journal_end(j, &end);
	return end.seq;
}

/* Reads from seq to the end; how many there were. */
static uint64_t read_from(struct journal *j, uint64_t seq)
{
	const struct izo_record *r;
	struct journal_reader *reader;
	uint64_t n = 0;
	int e;

	assert_int_equal(journal_reader_new(j, seq, &reader), 0);
	while ((e = journal_reader_next(reader, &r)) > 0) {
		assert_int_equal(r->seq, seq + n);
		assert_int_equal(r->obj.ino, seq + n);
		n++;
	}
	if (e)
		print_message("reader: %s\n", journal_reader_error(reader));
	assert_int_equal(e, 0);
	journal_reader_free(reader);
	return n;
}

static void test_reopen(void **state)
{
	int dir = ((struct place_dir *)*state)->fd;
	struct journal *j = must_open(dir);
	struct izo_pos a, b;

	assert_int_equal(end_seq(j), 0);
	assert_int_equal(read_from(j, 1), 0);
	add(j, 3, 100);
	add(j, 1, 5000);
	journal_end(j, &a);
	assert_int_equal(append(j, 77, 10), 0);	/* never committed */
	journal_close(j);
	j = must_open(dir);
	assert_string_equal(err, "");
	journal_end(j, &b);
	assert_memory_equal(&a, &b, sizeof(a));
	assert_int_equal(a.seq, 4);
	assert_int_equal(read_from(j, 1), 4);
	assert_int_equal(read_from(j, 4), 1);
	assert_int_equal(read_from(j, 5), 0);
	add(j, 2, 10);
	assert_int_equal(read_from(j, 1), 6);
	journal_close(j);
}

static void test_many_segments(void **state)
{
	int dir = ((struct place_dir *)*state)->fd;
	struct journal *j = must_open(dir);
	struct journal_reader *reader;
	uint64_t first;
	unsigned i;

	for (i = 0; i < 300; i++)
		add(j, 1 + i % 7, i * 31 % 9000);
	assert_true(journal_bytes(j) > 8 * SEGMENT);
	assert_int_equal(read_from(j, 1), end_seq(j));
	journal_close(j);
	j = must_open(dir);
	for (i = 1; i <= end_seq(j); i += 13)
		assert_int_equal(read_from(j, i), end_seq(j) - i + 1);
	assert_int_equal(journal_trim(j, 700), 0);
	first = journal_first_seq(j);
	assert_true(first > 1 && first <= 701);
	assert_int_equal(read_from(j, first), end_seq(j) - first + 1);
	assert_int_equal(journal_reader_new(j, first - 1, &reader), -ESTALE);
	assert_int_equal(journal_reader_new(j, end_seq(j) + 2, &reader), -EINVAL);
	assert_int_equal(journal_trim(j, UINT64_MAX), 0);
	assert_true(journal_first_seq(j) <= end_seq(j) + 1);
	journal_close(j);
}

static void test_limits(void **state)
{
	int dir = ((struct place_dir *)*state)->fd;
	struct journal_options small = { 4096, false }, odd = { SEGMENT + 1, false };
	struct journal *j, *k;
	struct izo_record *r;

	assert_int_equal(journal_open(dir, uuid, &small, &j, err, sizeof(err)), -EINVAL);
	assert_int_equal(journal_open(dir, uuid, &odd, &j, err, sizeof(err)), -EINVAL);
	assert_int_equal(try_open(dir, true, &j), -ENOENT);
	j = must_open(dir);
	assert_int_equal(try_open(dir, false, &k), -EBUSY);
	r = record_new(IZO_CREATE, "a/b", 3, NULL, 0, NULL, 0);
	assert_int_equal(journal_append(j, r), -EINVAL);
	free(r);
	/* The longest record, and more than a commit holds between commits. */
	add(j, 12, IZO_DATA_MAX);
	assert_int_equal(read_from(j, 1), 12);
	journal_close(j);
	assert_int_equal(journal_open(dir, (const unsigned char *)"fedcba9876543210",
				      NULL, &j, err, sizeof(err)), -EBADMSG);
	assert_non_null(strstr(err, "another fileset"));
}

static void test_check(void **state)
{
	int dir = ((struct place_dir *)*state)->fd;
	struct journal *j = must_open(dir);
	struct izo_pos at[120], p;
	unsigned i;

	journal_end(j, &at[0]);
	for (i = 1; i < 120; i++) {
		add(j, 1, 6000);
		journal_end(j, &at[i]);
	}
	for (i = 0; i < 120; i++) {
		assert_int_equal(journal_check(j, &at[i]), 0);
		p = at[i];
		p.chain ^= 1;
		assert_int_equal(journal_check(j, &p), -ESTALE);
		p = at[i];
		p.epoch ^= 1;
		assert_int_equal(journal_check(j, &p), -ESTALE);
	}
	p = at[119];
	p.seq++;
	assert_int_equal(journal_check(j, &p), -ESTALE);
	journal_trim(j, 60);
	assert_true(journal_first_seq(j) > 10);
	for (i = 0; i < 120; i++)
		assert_int_equal(journal_check(j, &at[i]),
				 i + 1 >= journal_first_seq(j) ? 0 : -ESTALE);
	assert_int_equal(journal_new_epoch(j), 0);
	journal_end(j, &p);
	assert_int_equal(p.seq, 119);
	assert_int_not_equal(p.epoch, at[119].epoch);
	assert_int_equal(p.chain, at[119].chain);
	assert_int_equal(journal_check(j, &p), 0);
	assert_int_equal(journal_check(j, &at[119]), -ESTALE);
	assert_int_equal(journal_new_epoch(j), 0);
	add(j, 1, 1);
	journal_end(j, &at[1]);
	journal_close(j);
	j = must_open(dir);
	assert_int_equal(journal_check(j, &at[1]), 0);
	assert_int_equal(read_from(j, 115), 6);
	journal_close(j);
}

/* The one segment file of a fresh journal, in memory. */
static int segment_fd(int dir)
{
	int fd = openat(dir, "kml.0000000000000001", O_RDWR);

	assert_true(fd >= 0);
	return fd;
}

static off_t commit_start(struct journal *j)
{
	return journal_bytes(j);
}

/* A power cut leaves a prefix of the last commit, in each unit of 8 bytes, and
 * what was in the file before behind it (zeroes here). */
static void test_cut_everywhere(void **state)
{
	int dir = ((struct place_dir *)*state)->fd, fd, i;
	static unsigned char whole[16384], zero[16384];
	struct journal *j = must_open(dir);
	off_t start, stop;

	add(j, 3, 50);
	start = commit_start(j);
	journal_close(j);
	j = must_open(dir);
	add(j, 9, 50);
	stop = commit_start(j);
	fd = segment_fd(dir);
	assert_true(stop - start <= (off_t)sizeof(whole));
	assert_int_equal(pread(fd, whole, stop - start, start), stop - start);
	journal_close(j);
	unlinkat(dir, "end", 0);
	for (i = 0; i < 336 + 9 * (336 + 56); i++) {
		pwrite_full(fd, whole, i, start);
		pwrite_full(fd, zero, stop - start - i, start + i);
		j = must_open(dir);
		assert_int_equal(end_seq(j), 3);
		assert_true(i < 344 ? i > 100 || !*err : *err);
		if (i % 500 == 0)
			assert_int_equal(read_from(j, 1), 3);
		journal_close(j);
	}
	pwrite_full(fd, whole, i, start);
	j = must_open(dir);
	assert_int_equal(end_seq(j), 12);
	journal_close(j);
	close(fd);
}

/* Goes on after a torn tail: what was torn never comes back. */
static void test_write_after_cut(void **state)
{
	int dir = ((struct place_dir *)*state)->fd, fd;
	struct journal *j = must_open(dir);
	static const char zero[8];
	off_t start;

	add(j, 2, 50);
	start = commit_start(j);
	add(j, 60, 50);
	journal_close(j);
	unlinkat(dir, "end", 0);
	fd = segment_fd(dir);
	pwrite_full(fd, zero, 8, start + 16000);
	close(fd);
	j = must_open(dir);
	assert_non_null(strstr(err, "torn tail"));
	assert_int_equal(end_seq(j), 2);
	add(j, 1, 50);
	assert_int_equal(read_from(j, 1), 3);
	journal_close(j);
	j = must_open(dir);
	assert_string_equal(err, "");
	assert_int_equal(end_seq(j), 3);
	add(j, 5, 50);
	assert_int_equal(read_from(j, 1), 8);
	journal_close(j);
}

static void flip(int fd, off_t off)
{
	unsigned char c;

	assert_int_equal(pread(fd, &c, 1, off), 1);
	c ^= 0x10;
	assert_int_equal(pwrite(fd, &c, 1, off), 1);
}

/* Bytes of the segment that a commit covers, one bit at a time. */
static void test_flip_everywhere(void **state)
{
	int dir = ((struct place_dir *)*state)->fd, fd;
	struct journal *j = must_open(dir);
	off_t i;

	add(j, 3, 50);
	add(j, 1, 50);
	journal_close(j);
	fd = segment_fd(dir);
	for (i = 4096; i < 4096 + 336 + 3 * 392; i += 3) {
		/* Known by the later commit alone, and by the clean stop. */
		if (i < 4999)
			renameat(dir, "end", dir, "kept");
		else
			renameat(dir, "kept", dir, "end");
		flip(fd, i);
		assert_int_equal(try_open(dir, false, &j), -EBADMSG);
		assert_non_null(strstr(err, "kml.0000000000000001: byte "));
		flip(fd, i);
	}
	/* The last commit: known whole by the clean stop alone. */
	flip(fd, 8192 + 400);
	assert_int_equal(try_open(dir, false, &j), -EBADMSG);
	assert_non_null(strstr(err, "byte 8528"));
	flip(fd, 8192 + 400);
	for (i = 0; i < 96; i++) {
		flip(fd, i);
		assert_int_not_equal(try_open(dir, false, &j), 0);
		assert_non_null(strstr(err, "byte 0"));
		flip(fd, i);
	}
	j = must_open(dir);
	assert_int_equal(read_from(j, 1), 4);
	journal_close(j);
	close(fd);
}

/* In an older segment the reader says it; so does one that only reads. */
static void test_flip_old(void **state)
{
	int dir = ((struct place_dir *)*state)->fd, fd, ro;
	const struct izo_record *rec;
	struct journal_reader *r;
	struct journal *j = must_open(dir);
	uint64_t n;
	int e;

	for (n = 0; n < 60; n++)
		add(j, 1, 6000);
	journal_close(j);
	fd = segment_fd(dir);
	flip(fd, 4096 + 5 * 8192 + 1000);
	close(fd);
	for (ro = 0; ro < 2; ro++) {
		assert_int_equal(try_open(dir, ro, &j), 0);
		assert_int_equal(journal_reader_new(j, 1, &r), 0);
		for (n = 0; (e = journal_reader_next(r, &rec)) > 0; n++)
			;
		assert_int_equal(e, -EBADMSG);
		assert_int_equal(n, 5);
		assert_string_equal(journal_reader_error(r),
			"kml.0000000000000001: byte 45392: checksum does not match");
		journal_reader_free(r);
		journal_close(j);
	}
}

static void test_missing_segment(void **state)
{
	int dir = ((struct place_dir *)*state)->fd;
	struct journal *j = must_open(dir);
	unsigned i;

	for (i = 0; i < 60; i++)
		add(j, 1, 6000);
	journal_close(j);
	renameat(dir, "kml.0000000000000002", dir, "x");
	assert_int_equal(try_open(dir, false, &j), -EBADMSG);
	assert_non_null(strstr(err, "missing"));
	renameat(dir, "x", dir, "kml.0000000000000002");
	j = must_open(dir);
	journal_close(j);
}

/* Reused files are full of sealed commits of their former life. */
static void test_reuse(void **state)
{
	int dir = ((struct place_dir *)*state)->fd;
	struct journal *j = must_open(dir);
	unsigned round, i;
	struct stat st;

	for (round = 0; round < 12; round++) {
		for (i = 0; i < 40; i++)
			add(j, 1, 6000);
		assert_int_equal(journal_trim(j, end_seq(j)), 0);
		/* One more of the same size: a stale commit lies right behind. */
		add(j, 1, 6000);
		journal_close(j);
		unlinkat(dir, "end", 0);
		j = must_open(dir);
		assert_string_equal(err, "");
		assert_int_equal(end_seq(j), (round + 1) * 41);
		assert_int_equal(read_from(j, journal_first_seq(j)),
				 end_seq(j) - journal_first_seq(j) + 1);
	}
	/* It was reuse: no more files than the live one and the spares. */
	assert_true(journal_bytes(j) <= 2 * SEGMENT);
	assert_int_equal(fstatat(dir, "kml.0000000000000001", &st, 0), -1);
	journal_close(j);
}

static const char spare[] = "free.8000000000000001";

/* Half a segment on, the file of the next one is there, made by somebody else. */
static void test_spare(void **state)
{
	int dir = ((struct place_dir *)*state)->fd;
	struct journal *j = must_open(dir);
	struct stat st, next;
	unsigned i;

	add(j, 1, 6000);
	assert_int_equal(fstatat(dir, spare, &st, 0), -1);
	while (journal_bytes(j) <= SEGMENT / 2)
		add(j, 1, 6000);
	for (i = 0; i < 1000 && fstatat(dir, spare, &st, 0); i++)
		usleep(10000);
	assert_true(i < 1000);
	assert_int_equal(st.st_size, SEGMENT);
	while (fstatat(dir, "kml.0000000000000002", &next, 0))
		add(j, 1, 6000);
	assert_int_equal(next.st_ino, st.st_ino);
	assert_int_equal(read_from(j, 1), end_seq(j));
	journal_close(j);
}

/* Closed while it is being made: nothing of it stays. */
static void test_spare_cut(void **state)
{
	int dir = ((struct place_dir *)*state)->fd;
	struct journal *j = must_open(dir);
	struct stat st;

	while (journal_bytes(j) <= SEGMENT / 2)
		add(j, 1, 6000);
	journal_close(j);
	assert_int_equal(fstatat(dir, "new.8000000000000001", &st, 0), -1);
	j = must_open(dir);
	assert_string_equal(err, "");
	assert_int_equal(read_from(j, 1), end_seq(j));
	journal_close(j);
}

struct race {
	struct journal *j;
	_Atomic uint64_t stop_at, trimmed;
	_Atomic int bad;
};

static void *race_reader(void *arg)
{
	struct race *x = arg;
	const struct izo_record *rec;
	struct journal_reader *r;
	uint64_t at = 0;
	struct izo_pos end;
	int e;

	if (journal_reader_new(x->j, 1, &r)) {
		x->bad = 1;
		return NULL;
	}
	while (at != x->stop_at) {
		e = journal_reader_next(r, &rec);
		if (!e) {
			sched_yield();
			continue;
		}
		journal_end(x->j, &end);
		if (e < 0 || rec->seq != ++at || rec->obj.ino != at ||
		    rec->seq > end.seq) {
			x->bad = e < 0 ? -e : 2;
			break;
		}
		x->trimmed = at;
	}
	journal_reader_free(r);
	return NULL;
}

static void test_reader_thread(void **state)
{
	int dir = ((struct place_dir *)*state)->fd;
	struct race x = { .j = must_open(dir), .stop_at = 3000 };
	pthread_t reader;
	unsigned i;

	assert_int_equal(pthread_create(&reader, NULL, race_reader, &x), 0);
	for (i = 0; i < 1000; i++) {
		add(x.j, 3, i % 50 * 20);
		if (i % 50 == 0)
			assert_int_equal(journal_trim(x.j, x.trimmed), 0);
	}
	pthread_join(reader, NULL);
	assert_int_equal(x.bad, 0);
	assert_true(journal_first_seq(x.j) > 1);
	journal_close(x.j);
}

static void test_reader_trimmed(void **state)
{
	int dir = ((struct place_dir *)*state)->fd;
	struct journal *j = must_open(dir);
	const struct izo_record *rec;
	struct journal_reader *r;
	unsigned i;
	int e;

	for (i = 0; i < 100; i++)
		add(j, 1, 6000);
	assert_int_equal(journal_reader_new(j, 1, &r), 0);
	assert_int_equal(journal_reader_next(r, &rec), 1);
	assert_int_equal(journal_trim(j, 100), 0);
	for (i = 0; i < 100; i++)
		add(j, 1, 6000);
	for (i = 1; (e = journal_reader_next(r, &rec)) > 0; i++)
		assert_int_equal(rec->seq, i + 1);
	assert_int_equal(e, -ESTALE);
	journal_reader_free(r);
	journal_close(j);
}

/* Another process reads while this one appends, rolls and trims. */
static int foreign_reader(int dir, uint64_t last)
{
	const struct izo_record *rec;
	struct journal_reader *r;
	struct journal *j;
	uint64_t at = 0;
	int e;

	if (try_open(dir, true, &j) || journal_reader_new(j, 1, &r))
		return 2;
	while (at < last) {
		e = journal_reader_next(r, &rec);
		if (e < 0) {
			print_message("foreign: %d %s\n", e, journal_reader_error(r));
			return 3;
		}
		if (e && rec->seq != ++at)
			return 4;
	}
	journal_reader_free(r);
	journal_close(j);
	return 0;
}

static void test_reader_process(void **state)
{
	int dir = ((struct place_dir *)*state)->fd, status;
	struct journal *j = must_open(dir);
	pid_t child = fork();
	unsigned i;

	if (!child)
		_exit(foreign_reader(dir, 1500));
	for (i = 0; i < 500; i++)
		add(j, 3, i % 50 * 20);
	waitpid(child, &status, 0);
	assert_int_equal(status, 0);
	journal_close(j);
}

/* Killed at any moment: all that was acknowledged is there. */
static void kill_child(int dir, _Atomic uint64_t *acked)
{
	struct journal *j;
	unsigned i;

	if (try_open(dir, false, &j))
		_exit(9);
	for (i = 0;; i++) {
		uint64_t at = end_seq(j);
		unsigned k;

		for (k = 0; k < 1 + i % 5; k++)
			append(j, at + k, i % 100 * 60);
		if (journal_commit(j))
			_exit(8);
		*acked = end_seq(j);
		if (i % 40 == 39)
			journal_trim(j, at > 300 ? at - 300 : 0);
	}
}

static void test_kill(void **state)
{
	int dir = ((struct place_dir *)*state)->fd, status;
	_Atomic uint64_t *acked = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
				       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	unsigned round;

	for (round = 0; round < 25; round++) {
		uint64_t enough = *acked + 20 + random_u64() % 60, first;
		struct journal *j;
		pid_t child = fork();

		if (!child)
			kill_child(dir, acked);
		while (*acked < enough && !waitpid(child, &status, WNOHANG))
			usleep(random_u64() % 300);	/* the moment of the kill */
		assert_true(*acked >= enough);
		kill(child, SIGKILL);
		assert_int_equal(waitpid(child, &status, 0), child);
		j = must_open(dir);
		assert_true(end_seq(j) >= *acked);
		first = journal_first_seq(j);
		assert_int_equal(read_from(j, first), end_seq(j) - first + 1);
		*acked = end_seq(j);
		if (round % 2)
			journal_close(j);
		else
			journal_close(j), unlinkat(dir, "end", 0);
	}
	munmap(acked, 4096);
}

/* Copies a golden journal and opens it as lento would. */
static int open_golden(int dir, const char *name, struct journal **ret)
{
	const char *root = getenv("GOLDEN") ? getenv("GOLDEN") : "tests/golden";
	static const char *const files[] = { "kml.0000000000000001", "end" };
	char path[512], *text;
	size_t len, i;

	for (i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/%s/%s", root, name, files[i]);
		assert_int_equal(file_read(AT_FDCWD, path, 1 << 20, &text, &len), 0);
		assert_int_equal(file_replace(dir, files[i], text, len, 0600), 0);
		free(text);
	}
	return try_open(dir, false, ret);
}

/* What an older lento wrote is read for ever, or refused with a reason. */
static void test_golden(void **state)
{
	int dir = ((struct place_dir *)*state)->fd;
	const char *root = getenv("GOLDEN") ? getenv("GOLDEN") : "tests/golden";
	static const char *const bad[] = { "journal-newer", "journal-flip" };
	struct izo_pos end;
	struct journal *j;
	char path[512], *why;
	const struct izo_record *rec;
	struct journal_reader *r;
	unsigned i;

	assert_int_equal(open_golden(dir, "accept/journal", &j), 0);
	journal_end(j, &end);
	assert_int_equal(end.seq, 29);
	assert_int_equal(journal_reader_new(j, 1, &r), 0);
	for (i = 1; i <= 29; i++) {
		assert_int_equal(journal_reader_next(r, &rec), 1);
		assert_int_equal(rec->seq, i);
		assert_int_equal(rec->pid, 4711);
	}
	assert_int_equal(journal_reader_next(r, &rec), 0);
	journal_reader_free(r);
	journal_close(j);
	for (i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "refuse/%s", bad[i]);
		assert_true(open_golden(dir, path, &j) < 0);
		snprintf(path, sizeof(path), "%s/refuse/%s/why", root, bad[i]);
		assert_int_equal(file_read(AT_FDCWD, path, 512, &why, NULL), 0);
		assert_string_equal(err, why);
		free(why);
	}
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(test_reopen),
		CASE(test_many_segments),
		CASE(test_limits),
		CASE(test_check),
		CASE(test_cut_everywhere),
		CASE(test_write_after_cut),
		CASE(test_flip_everywhere),
		CASE(test_flip_old),
		CASE(test_missing_segment),
		CASE(test_reuse),
		CASE(test_spare),
		CASE(test_spare_cut),
		CASE(test_reader_thread),
		CASE(test_reader_trimmed),
		CASE(test_reader_process),
		CASE(test_kill),
		CASE(test_golden),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
