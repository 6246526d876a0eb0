/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * captest.h: what the tests of capture have in common: an armed source, the
 * records and marks it gave since they were last looked at, a text form of
 * records in which objects have the names that the test gave them, and TAP.
 */
#ifndef VMTESTS_CAPTEST_H
#define VMTESTS_CAPTEST_H

#include <stdbool.h>
#include "lento/capture.h"
#include "lib/fid.h"

#define LABELS_MAX	64

struct label {
	char name[16];
	struct izo_fid fid;
};

struct ct {
	const char *fs, *root;
	int root_fd;			/* the test's directory */
	struct fid_mount mount;
	struct capture_spec spec;
	struct capture *c;
	uint8_t *recs;			/* collected, back to back */
	size_t recs_bytes;
	struct capture_mark *marks;
	size_t nmarks;
	bool gap, points;
	char gap_why[256];
	struct label label[LABELS_MAX];
	unsigned nlabels;
	char text[8192];
};

/* TAP, unnumbered; the caller prints the plan. */
bool ok(bool yes, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void skip(const char *what, const char *why);
void diag(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
int failures(void);

bool ct_open(struct ct *t, bool *ret_adopted);
void ct_close(struct ct *t, bool keep);
/* Forgets, then collects everything there is now. */
void ct_collect(struct ct *t);
/* More of it: without forgetting; waits up to wait_ms for the first. */
void ct_more(struct ct *t, int wait_ms);
/* Gives the object at path (below the test's directory) a name. */
void ct_label(struct ct *t, const char *name, const char *path);
const char *ct_name(const struct ct *t, const struct izo_fid *fid);
/* All collected records as text, "; " between them. */
const char *ct_text(struct ct *t);
bool ct_marked(const struct ct *t, const struct izo_fid *fid, uint64_t off, uint64_t end);
const struct izo_record *ct_next(const struct ct *t, const struct izo_record *r);

/* The tests; each is one mode of the program. */
void test_ops(struct ct *t);
void test_contents(struct ct *t);
void test_storm(struct ct *t, int seconds);
void test_order(struct ct *t, int seconds);
void test_points(struct ct *t, int seconds);
void test_missed(struct ct *t);
void test_crowd(struct ct *t, int seconds);
void test_adopt(struct ct *t);
void test_filter(struct ct *t);
void test_full(struct ct *t);
void test_losses(struct ct *t);
void test_own(struct ct *t);

#endif
