// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_batch.c: batches cut from a journal: whole cycles only; what lies ahead
 * is looked at, taken in, or comes in the next batch, each record once and in
 * order; files that are gone are explained by the records ahead; the names that
 * must be withheld are those that records take without having given them.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>
#include <linux/fs.h>
#include "lento/batch.h"
#include "lento/withheld.h"
#include "lib/codec.h"

static const unsigned char uuid[16] = "0123456789abcdef";

struct place_dir {
	char path[64];
	int fd;
	struct journal *journal;
	struct journal_reader *reader;
	struct batch batch;
};

static int setup(void **state)
{
	struct journal_options options = { .segment_bytes = 1 << 20 };
	struct place_dir *d = calloc(1, sizeof(*d));
	char err[256] = "";

	snprintf(d->path, sizeof(d->path), "%s/batch.XXXXXX",
		 getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	if (!mkdtemp(d->path))
		return -1;
	d->fd = open(d->path, O_RDONLY | O_DIRECTORY);
	*state = d;
	if (journal_open(d->fd, uuid, &options, &d->journal, err, sizeof(err)))
		return -1;
	return journal_reader_new(d->journal, 1, &d->reader);
}

static int teardown(void **state)
{
	struct place_dir *d = *state;
	char cmd[128];
	int r;

	batch_done(&d->batch);
	journal_reader_free(d->reader);
	journal_close(d->journal);
	snprintf(cmd, sizeof(cmd), "rm -rf -- '%s'", d->path);
	r = system(cmd);
	close(d->fd);
	free(d);
	return r;
}

static struct izo_record *make(enum izo_kind kind, unsigned ino, const char *name,
			       const char *name2)
{
	struct izo_range all = { 0, IZO_TO_EOF };
	bool due = kind == IZO_DUE;
	struct izo_record *r = record_new(kind, name, strlen(name), name2,
					  strlen(name2), due ? &all : NULL,
					  due ? sizeof(all) : 0);

	assert_non_null(r);
	r->obj.ino = ino;
	if (name[0])
		r->dir.ino = 2;
	if (name2[0])
		r->dir2.ino = 2;
	r->attr.mode = S_IFREG | 0644;
	r->attr.nlink = kind == IZO_UNLINK ? 0 : 1;
	return r;
}

static void put(struct place_dir *d, enum izo_kind kind, unsigned ino, const char *name,
		const char *name2)
{
	struct izo_record *r = make(kind, ino, name, name2);

	assert_int_equal(journal_append(d->journal, r), 0);
	free(r);
}

static void put_setattr(struct place_dir *d, unsigned ino, unsigned valid)
{
	struct izo_record *r = make(IZO_SETATTR, ino, "", "");

	r->op_flags = valid;
	assert_int_equal(journal_append(d->journal, r), 0);
	free(r);
}

static void put_timed(struct place_dir *d, enum izo_kind kind, unsigned ino, unsigned sec)
{
	struct izo_record *r = make(kind, ino, "", "");

	r->attr.mtime.sec = sec;
	assert_int_equal(journal_append(d->journal, r), 0);
	free(r);
}

static void border(struct place_dir *d)
{
	put(d, IZO_BORDER, 0, "", "");
	assert_int_equal(journal_commit(d->journal), 0);
}

static struct batch_inode *inode(struct place_dir *d, unsigned ino)
{
	struct izo_fid f = { .ino = ino };

	return (struct batch_inode *)batch_find(&d->batch, &f);
}

static void whole_cycles_only(void **state)
{
	struct place_dir *d = *state;

	assert_int_equal(batch_read(&d->batch, d->reader), 0);
	put(d, IZO_CREATE, 10, "a", "");
	assert_int_equal(journal_commit(d->journal), 0);
	assert_int_equal(batch_read(&d->batch, d->reader), 0);
	border(d);
	put(d, IZO_CREATE, 11, "b", "");
	assert_int_equal(journal_commit(d->journal), 0);
	assert_int_equal(batch_read(&d->batch, d->reader), 1);
	assert_int_equal(d->batch.first_seq, 1);
	assert_int_equal(d->batch.last.seq, 2);
	assert_null(inode(d, 11));
	assert_int_equal(batch_read(&d->batch, d->reader), 0);
	border(d);
	assert_int_equal(batch_read(&d->batch, d->reader), 1);
	assert_int_equal(d->batch.first_seq, 3);
	assert_int_equal(d->batch.last.seq, 4);
	assert_non_null(inode(d, 11));
}

/* File 10 stood before; it is due and then gone; its unlink is in a later cycle. */
static void gone_is_explained(void **state)
{
	struct place_dir *d = *state;

	put(d, IZO_DUE, 10, "", "");
	border(d);
	assert_int_equal(batch_read(&d->batch, d->reader), 1);
	assert_false(batch_hollow(inode(d, 10)));
	inode(d, 10)->flags |= BATCH_GONE;
	assert_true(batch_hollow(inode(d, 10)));
	assert_true(batch_unexplained(inode(d, 10)));
	assert_int_equal(batch_look_ahead(&d->batch, d->reader), 0);
	put(d, IZO_UNLINK, 10, "a", "");
	assert_int_equal(journal_commit(d->journal), 0);
	/* explained already, but not a cycle that could be taken in */
	assert_int_equal(batch_look_ahead(&d->batch, d->reader), 0);
	assert_false(batch_unexplained(inode(d, 10)));
	assert_true(batch_early(inode(d, 10)));
	border(d);
	assert_int_equal(batch_look_ahead(&d->batch, d->reader), 1);
	assert_int_equal(batch_grow(&d->batch), 0);
	assert_int_equal(d->batch.last.seq, 4);
	assert_false(batch_early(inode(d, 10)));
	assert_true(batch_hollow(inode(d, 10)));
}

/* A directory has no contents that could be gone. */
static void directories_are_never_hollow(void **state)
{
	struct place_dir *d = *state;
	struct izo_record *r = make(IZO_FSYNC, 20, "", "");

	r->attr.mode = S_IFDIR | 0755;
	assert_int_equal(journal_append(d->journal, r), 0);
	free(r);
	r = make(IZO_RENAME, 21, "a", "b");
	r->attr.mode = S_IFDIR | 0755;
	r->victim.ino = 20;
	assert_int_equal(journal_append(d->journal, r), 0);
	free(r);
	border(d);
	assert_int_equal(batch_read(&d->batch, d->reader), 1);
	assert_true(!inode(d, 20) || !batch_hollow(inode(d, 20)));
}

/* A file that was sent and is due again in what was taken in is sent again. */
static void due_again(void **state)
{
	struct place_dir *d = *state;

	put(d, IZO_DUE, 10, "", "");
	border(d);
	assert_int_equal(batch_read(&d->batch, d->reader), 1);
	inode(d, 10)->flags |= BATCH_SENT;
	put(d, IZO_CREATE, 11, "b", "");
	border(d);
	assert_int_equal(batch_look_ahead(&d->batch, d->reader), 1);
	assert_int_equal(batch_grow(&d->batch), 0);
	assert_true(inode(d, 10)->flags & BATCH_SENT);
	put(d, IZO_DUE, 10, "", "");
	border(d);
	assert_int_equal(batch_look_ahead(&d->batch, d->reader), 1);
	assert_int_equal(batch_grow(&d->batch), 0);
	assert_false(inode(d, 10)->flags & BATCH_SENT);
	/* and so is one that got another time: what was sent has the old one */
	inode(d, 10)->flags |= BATCH_SENT;
	put_setattr(d, 10, IZO_ATTR_MODE);
	border(d);
	assert_int_equal(batch_look_ahead(&d->batch, d->reader), 1);
	assert_int_equal(batch_grow(&d->batch), 0);
	assert_true(inode(d, 10)->flags & BATCH_SENT);
	put_setattr(d, 10, IZO_ATTR_MTIME);
	border(d);
	assert_int_equal(batch_look_ahead(&d->batch, d->reader), 1);
	assert_int_equal(batch_grow(&d->batch), 0);
	assert_false(inode(d, 10)->flags & BATCH_SENT);
	/* what changes no bytes may set the time, too */
	inode(d, 10)->flags |= BATCH_SENT;
	put(d, IZO_CLOSE, 10, "", "");
	border(d);
	assert_int_equal(batch_look_ahead(&d->batch, d->reader), 1);
	assert_int_equal(batch_grow(&d->batch), 0);
	assert_true(inode(d, 10)->flags & BATCH_SENT);
	put_timed(d, IZO_CLOSE, 10, 5);
	border(d);
	assert_int_equal(batch_look_ahead(&d->batch, d->reader), 1);
	assert_int_equal(batch_grow(&d->batch), 0);
	assert_false(inode(d, 10)->flags & BATCH_SENT);
}

/* Random cycles, looks ahead and growth: every record comes once, in order. */
static void each_record_once(void **state)
{
	struct place_dir *d = *state;
	uint64_t next = 1, made = 0;

	srand(1);
	for (int round = 0; round < 400; round++) {
		for (int n = rand() % 6; n > 0; n--, made++)
			put(d, IZO_CREATE, 10 + made, "n", "");
		border(d);
		made++;
		if (rand() % 2)
			continue;
		while (batch_read(&d->batch, d->reader) == 1) {
			size_t at = 0;

			if (rand() % 2)
				batch_look_ahead(&d->batch, d->reader);
			if (rand() % 2)
				assert_int_equal(batch_grow(&d->batch), 0);
			assert_int_equal(d->batch.first_seq, next);
			while (at < d->batch.bytes) {
				const struct izo_record *r =
					(const void *)(d->batch.records + at);

				assert_int_equal(r->seq, next);
				next++;
				at += r->len;
			}
			assert_int_equal(d->batch.last.seq, next - 1);
		}
	}
	while (batch_read(&d->batch, d->reader) == 1)
		next += d->batch.nrecords;
	assert_int_equal(next, made + 1);
}

/* --- names to be withheld ------------------------------------------------- */

static char found[256];

static bool is_ten(void *ctx, const struct izo_fid *fid)
{
	(void)ctx;
	return fid->ino == 10;
}

static int note(void *ctx, const struct izo_fid *fid, const struct izo_fid *dir,
		const char *name, unsigned len)
{
	(void)ctx;
	assert_int_equal(fid->ino, 10);
	assert_int_equal(dir->ino, 2);
	snprintf(found + strlen(found), sizeof(found) - strlen(found), "%.*s ",
		 (int)len, name);
	return 0;
}

struct line {
	enum izo_kind kind;
	unsigned ino, victim;
	const char *name, *name2;
	unsigned flags;
};

static void expect_names(const struct line *line, unsigned n, const char *names)
{
	struct withheld_events ev = { is_ten, note, NULL };
	unsigned char *all = NULL;
	size_t bytes = 0;

	for (unsigned i = 0; i < n; i++) {
		struct izo_record *r = make(line[i].kind, line[i].ino, line[i].name,
					    line[i].name2);

		r->victim.ino = line[i].victim;
		r->op_flags = line[i].flags;
		all = realloc(all, bytes + r->len);
		memcpy(all + bytes, r, r->len);
		bytes += r->len;
		free(r);
	}
	found[0] = 0;
	assert_int_equal(withheld_names(all, bytes, &ev), 0);
	assert_string_equal(found, names);
	free(all);
}
#define EXPECT(names, ...) do { \
	const struct line _l[] = { __VA_ARGS__ }; \
	expect_names(_l, sizeof(_l) / sizeof(_l[0]), names); } while (0)

static void names_that_stood_before(void **state)
{
	(void)state;
	EXPECT("", { IZO_CREATE, 10, 0, "a", "", 0 }, { IZO_UNLINK, 10, 0, "a", "", 0 });
	EXPECT("a ", { IZO_UNLINK, 10, 0, "a", "", 0 });
	EXPECT("a b ", { IZO_UNLINK, 10, 0, "a", "", 0 }, { IZO_LINK, 10, 0, "c", "", 0 },
	       { IZO_UNLINK, 10, 0, "b", "", 0 }, { IZO_UNLINK, 10, 0, "c", "", 0 });
	EXPECT("a ", { IZO_RENAME, 10, 0, "a", "b", 0 }, { IZO_RENAME, 10, 0, "b", "a", 0 },
	       { IZO_UNLINK, 10, 0, "a", "", 0 });
	EXPECT("b ", { IZO_RENAME, 11, 10, "a", "b", 0 });
	EXPECT("b ", { IZO_RENAME, 11, 10, "a", "b", RENAME_EXCHANGE },
	       { IZO_UNLINK, 10, 0, "a", "", 0 });
	EXPECT("a ", { IZO_RENAME, 10, 11, "a", "b", RENAME_EXCHANGE },
	       { IZO_UNLINK, 10, 0, "b", "", 0 });
	EXPECT("", { IZO_UNLINK, 11, 0, "a", "", 0 }, { IZO_CREATE, 12, 0, "a", "", 0 });
	/* told once, although it comes and goes */
	EXPECT("a ", { IZO_UNLINK, 10, 0, "a", "", 0 }, { IZO_LINK, 10, 0, "a", "", 0 },
	       { IZO_UNLINK, 10, 0, "a", "", 0 });
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(whole_cycles_only, setup, teardown),
		cmocka_unit_test_setup_teardown(gone_is_explained, setup, teardown),
		cmocka_unit_test_setup_teardown(directories_are_never_hollow, setup, teardown),
		cmocka_unit_test_setup_teardown(due_again, setup, teardown),
		cmocka_unit_test_setup_teardown(each_record_once, setup, teardown),
		cmocka_unit_test(names_that_stood_before),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
