/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * selftest_private.h: what the files of the self-test share: the scratch
 * directory, how a record is waited for, and the tests themselves.
 */
#ifndef LENTO_SELFTEST_PRIVATE_H
#define LENTO_SELFTEST_PRIVATE_H

#include "lib/fid.h"
#include "lento/selftest.h"

struct selftest {
	struct capture_pins *p;
	const struct hooks *h;
	struct fid_mount mount;
	int dir;			/* the scratch directory */
	int fd;				/* a file in it, "f" */
	struct izo_fid dir_fid, file_fid;
	uint8_t asked[HOOKS_MAX];	/* per target: proved, or not offered */
	char *err;
	size_t err_size;
};

/* Says which hook was silent, on what, and on which kernel. -EIO. */
int selftest_silent(struct selftest *t, const char *prog, const char *what);
/* After an operation that returned `ret`: its record, on name `name` in the
 * scratch directory (NULL: any), about the object `obj` (NULL: any). What the
 * mount says it has not is no failure. */
int selftest_expect(struct selftest *t, int ret, const char *prog, unsigned kind,
		    const char *name, const struct izo_fid *obj);
/* The same, but leaves what comes after the record. */
int selftest_next(struct selftest *t, int ret, const char *prog, unsigned kind,
		  const char *name, const struct izo_fid *obj);
/* The same for a name just made: the object is whatever has that name. */
int selftest_expect_new(struct selftest *t, int ret, const char *prog,
			unsigned kind, const char *name);
/* A hook that gives no record has been tried. */
void selftest_asked(struct selftest *t, const char *prog);
/* Takes all records away. */
void selftest_clear(struct selftest *t);
bool selftest_same_fid(const struct izo_fid *a, const struct izo_fid *b);

/* The tests, in the order in which they are run. */
int selftest_names(struct selftest *t);
int selftest_rename(struct selftest *t);
int selftest_tmpfile(struct selftest *t);
int selftest_attrs(struct selftest *t);
int selftest_points(struct selftest *t);
int selftest_remap(struct selftest *t);
int selftest_pages(struct selftest *t);
int selftest_small(struct selftest *t);
int selftest_direct(struct selftest *t);
int selftest_removal(struct selftest *t);
int selftest_ext4(struct selftest *t);
int selftest_xfs(struct selftest *t);
int selftest_btrfs(struct selftest *t);
int selftest_umount(struct selftest *t);

#endif
