/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * goldens.h: the records of tests/golden, as code. goldens.c writes them to
 * files once; test_codec.c makes them again and compares. A difference means
 * that the format has changed: that takes a new version, never a new golden
 * file for an old name.
 */
#ifndef TESTS_UNIT_GOLDENS_H
#define TESTS_UNIT_GOLDENS_H

#include <stdlib.h>
#include <string.h>
#include "lib/codec.h"

struct golden {
	const char *name;
	enum izo_kind kind;
	const char *first, *second;	/* names */
	const void *data;
	unsigned data_len;
};

static const struct izo_range golden_ranges[] = {
	{ 0, 4096 }, { 8192, 12288 }, { 1 << 20, IZO_TO_EOF },
};

#define DATA(x) x, sizeof(x) - 1
static const struct golden goldens[] = {
	{ "create", IZO_CREATE, "file", NULL, NULL, 0 },
	{ "create-acl", IZO_CREATE, "file", NULL,
	  DATA("\1\0\0\0\4\0\0\0\2\0\0\0\2\0\0\0\3\0\0\0abc") },
	{ "mkdir", IZO_MKDIR, "a folder", NULL, NULL, 0 },
	{ "mknod", IZO_MKNOD, "fifo", NULL, NULL, 0 },
	{ "symlink", IZO_SYMLINK, "link", NULL, DATA("../some/where") },
	{ "link", IZO_LINK, "second", NULL, NULL, 0 },
	{ "unlink", IZO_UNLINK, "...", NULL, NULL, 0 },
	{ "rmdir", IZO_RMDIR, "a folder", NULL, NULL, 0 },
	{ "rename", IZO_RENAME, "old", "new name", NULL, 0 },
	{ "rename-not-utf8", IZO_RENAME, "o\xff\"\n", "\xc3\xa4", NULL, 0 },
	{ "tmpfile", IZO_TMPFILE, NULL, NULL, NULL, 0 },
	{ "setattr", IZO_SETATTR, NULL, NULL, NULL, 0 },
	{ "xattr", IZO_XATTR, "user.a/b", NULL, DATA("value\0with NUL") },
	{ "acl", IZO_ACL, "system.posix_acl_default", NULL, DATA("\2\0\0\0") },
	{ "fileattr", IZO_FILEATTR, NULL, NULL, NULL, 0 },
	{ "falloc", IZO_FALLOC, NULL, NULL, NULL, 0 },
	{ "remap", IZO_REMAP, NULL, NULL, NULL, 0 },
	{ "close", IZO_CLOSE, NULL, NULL, NULL, 0 },
	{ "fsync", IZO_FSYNC, NULL, NULL, NULL, 0 },
	{ "syncfs", IZO_SYNCFS, NULL, NULL, NULL, 0 },
	{ "openw", IZO_OPENW, NULL, NULL, NULL, 0 },
	{ "rescan", IZO_RESCAN, NULL, NULL, NULL, 0 },
	{ "dirty", IZO_DIRTY, NULL, NULL, golden_ranges, sizeof(golden_ranges) },
	{ "due", IZO_DUE, NULL, NULL, golden_ranges, sizeof(golden_ranges[0]) },
	{ "border", IZO_BORDER, NULL, NULL, NULL, 0 },
	{ "import", IZO_IMPORT, "in", NULL, NULL, 0 },
	{ "expel", IZO_EXPEL, "out", NULL, NULL, 0 },
	{ "gap", IZO_GAP, NULL, NULL, NULL, 0 },
	{ "pad", IZO_PAD, NULL, NULL, NULL, 0 },
	{ "entry", IZO_ENTRY, "found", NULL, DATA("target") },
};
#undef DATA
#define NGOLDENS (sizeof(goldens) / sizeof(*goldens))

static inline unsigned text_len(const char *text)
{
	return text ? strlen(text) : 0;
}

/* Every field has a value of its own, so that a moved one shows. */
static inline void golden_fields(struct izo_record *r)
{
	struct izo_attr *a = &r->attr;

	r->ring_seq = 0x0102030405060708;
	r->clock_ns = 1234567890123;
	r->txn = 77;
	r->origin_seq = 99;
	r->origin_peer = 2;
	r->pid = 4711;
	r->who = 1000;
	r->op_flags = 0x80000001;
	r->flags = IZO_F_ORIGIN | IZO_F_TREE;
	memcpy(r->comm, "cp \"x\"", 6);
	r->obj = (struct izo_fid){ .ino = 257, .gen = 0xdeadbeef, .subvol = 5 };
	r->dir = (struct izo_fid){ .ino = 256, .gen = 1, .subvol = 5 };
	r->dir2 = (struct izo_fid){ .ino = 258, .gen = 2, .subvol = 6 };
	r->victim = (struct izo_fid){ .ino = 259, .gen = 3, .subvol = 7 };
	*a = (struct izo_attr){ .mode = 0100644, .uid = 1, .gid = 2, .nlink = 3,
		.rdev = 0x801, .iflags = 4, .size = 1ull << 40 };
	a->mtime = (struct izo_time){ .sec = -5, .nsec = 999999999 };
	a->atime = (struct izo_time){ .sec = 6, .nsec = 7 };
	a->ctime = (struct izo_time){ .sec = 8, .nsec = 9 };
	r->dir_mtime = (struct izo_time){ .sec = 10, .nsec = 11 };
	r->dir2_mtime = (struct izo_time){ .sec = 12, .nsec = 13 };
	r->off = 4096;
	r->count = IZO_TO_EOF;
	r->victim_nlink = 14;
}

static inline struct izo_record *golden_make(const struct golden *g)
{
	struct izo_record *r = record_new(g->kind, g->first, text_len(g->first),
					  g->second, text_len(g->second),
					  g->data, g->data_len);
	uint64_t chain = 0x1122334455667788;

	if (!r)
		abort();
	golden_fields(r);
	record_seal(r, 42, &chain);
	return r;
}

#endif
