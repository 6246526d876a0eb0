// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * captest.c: tests of the kernel's side of capture, on a mounted filesystem.
 *
 *   captest MODE FOLDER [SECONDS]
 *
 * FOLDER is the root of a filesystem that nobody else uses. Prints TAP without
 * numbers; status 1 when a test failed. See vmtests/10-capture.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "vmtests/captest.h"

static int failed;
static const char *prefix = "";

bool ok(bool yes, const char *fmt, ...)
{
	va_list ap;

	printf("%s - %s: ", yes ? "ok" : "not ok", prefix);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	puts("");
	failed += !yes;
	return yes;
}

void skip(const char *what, const char *why)
{
	printf("ok - %s: %s # SKIP %s\n", prefix, what, why);
}

void diag(const char *fmt, ...)
{
	va_list ap;

	fputs("# ", stdout);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	puts("");
}

int failures(void)
{
	return failed;
}

bool ct_open(struct ct *t, bool *ret_adopted)
{
	char err[2048] = "";
	int r = capture_bpf.open(&t->spec, &t->c, ret_adopted, err, sizeof(err));

	if (r)
		diag("open: %d: %s", r, err);
	return !r;
}

void ct_close(struct ct *t, bool keep)
{
	capture_bpf.close(t->c, keep);
	t->c = NULL;
}

static void forget(struct ct *t)
{
	t->recs_bytes = t->nmarks = 0;
	t->gap = t->points = false;
}

static void append(struct ct *t, const struct capture_cycle *cycle)
{
	t->recs = realloc(t->recs, t->recs_bytes + cycle->records_bytes + 1);
	memcpy(t->recs + t->recs_bytes, cycle->records, cycle->records_bytes);
	t->recs_bytes += cycle->records_bytes;
	t->marks = realloc(t->marks, (t->nmarks + cycle->nmarks + 1) * sizeof(*t->marks));
	memcpy(t->marks + t->nmarks, cycle->marks, cycle->nmarks * sizeof(*t->marks));
	t->nmarks += cycle->nmarks;
	t->points = t->points || cycle->points_missed;
	if (cycle->gap) {
		t->gap = true;
		snprintf(t->gap_why, sizeof(t->gap_why), "%s", cycle->gap_why);
	}
}

void ct_more(struct ct *t, int wait_ms)
{
	struct capture_cycle cycle;

	while (capture_bpf.drain(t->c, wait_ms, &cycle) == 1) {
		append(t, &cycle);
		capture_bpf.release(t->c);
		wait_ms = 0;
	}
}

void ct_collect(struct ct *t)
{
	forget(t);
	ct_more(t, 0);
}

void ct_label(struct ct *t, const char *name, const char *path)
{
	struct label *l = NULL;

	for (unsigned i = 0; i < t->nlabels; i++)
		if (!strcmp(t->label[i].name, name))
			l = &t->label[i];
	if (!l && t->nlabels < LABELS_MAX)
		l = &t->label[t->nlabels++];
	if (!l || fid_of(&t->mount, t->root_fd, path, &l->fid)) {
		diag("no handle of %s", path);
		exit(1);
	}
	snprintf(l->name, sizeof(l->name), "%s", name);
}

const char *ct_name(const struct ct *t, const struct izo_fid *fid)
{
	if (!fid->ino)
		return "-";
	for (unsigned i = 0; i < t->nlabels; i++) {
		const struct izo_fid *f = &t->label[i].fid;

		if (f->ino == fid->ino && f->gen == fid->gen && f->subvol == fid->subvol)
			return t->label[i].name;
	}
	return "?";
}

const struct izo_record *ct_next(const struct ct *t, const struct izo_record *r)
{
	const uint8_t *p = r ? (const uint8_t *)r + r->len : t->recs;

	return p < t->recs + t->recs_bytes ? (const struct izo_record *)p : NULL;
}

static const char *const kinds[] = { "?", "create", "mkdir", "mknod", "symlink",
	"link", "unlink", "rmdir", "rename", "tmpfile", "setattr", "xattr", "acl",
	"fileattr", "falloc", "remap", "close", "fsync", "syncfs", "openw", "rescan" };

/* KIND [NAME[>NAME2]] OBJ [in DIR[>DIR2]] [over VICTIM/NLINK] [fl=] [OFF+COUNT] */
static int print_one(const struct ct *t, const struct izo_record *r, char *to, size_t size)
{
	size_t n = snprintf(to, size, "%s%s", kinds[r->kind <= IZO_RESCAN ? r->kind : 0],
			    r->flags & IZO_F_NAME_CUT ? "!cut" : "");

#define MORE(...) do { if (n < size) n += snprintf(to + n, size - n, __VA_ARGS__); } while (0)
	if (r->name_len)
		MORE(" %.*s", r->name_len, r->var);
	if (r->name2_len)
		MORE(">%.*s", r->name2_len, r->var + r->name_len);
	if (r->kind != IZO_SYNCFS)
		MORE(" %s", ct_name(t, &r->obj));
	if (r->dir.ino)
		MORE(" in %s", ct_name(t, &r->dir));
	if (r->dir2.ino && r->dir2.ino != r->dir.ino)
		MORE(">%s", ct_name(t, &r->dir2));
	if (r->victim.ino)
		MORE(" over %s/%u", ct_name(t, &r->victim), r->victim_nlink);
	if (r->op_flags)
		MORE(" fl=%x", r->op_flags);
	if (r->off || r->count)
		MORE(" %llu+%llu", (unsigned long long)r->off, (unsigned long long)r->count);
	if (r->data_len)
		MORE(" data=%u", r->data_len);
	return n;
}

const char *ct_text(struct ct *t)
{
	size_t n = 0;

	t->text[0] = '\0';
	for (const struct izo_record *r = ct_next(t, NULL); r; r = ct_next(t, r)) {
		if (n)
			n += snprintf(t->text + n, sizeof(t->text) - n, "; ");
		n += print_one(t, r, t->text + n, sizeof(t->text) - n);
		if (n + 600 > sizeof(t->text))
			break;
	}
	return t->text;
}

bool ct_marked(const struct ct *t, const struct izo_fid *fid, uint64_t off, uint64_t end)
{
	for (size_t i = 0; i < t->nmarks; i++) {
		const struct capture_mark *m = &t->marks[i];

		if (m->obj.ino == fid->ino && m->obj.gen == fid->gen &&
		    m->obj.subvol == fid->subvol && m->range.off <= off &&
		    m->range.end >= end)
			return true;
	}
	return false;
}

static int setup(struct ct *t, const char *root)
{
	t->root = root;
	t->root_fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (t->root_fd < 0 || fid_mount_init(&t->mount, t->root_fd))
		return -1;
	t->spec = (struct capture_spec){
		.root = root, .root_fd = t->root_fd, .pin_name = "captest",
		.ring_bytes = 8 << 20, .timer_min_ms = 1, .timer_max_ms = 50,
	};
	return chdir(root);
}

static void check_counters(struct ct *t, const char *mode)
{
	struct capture_counters k;
	uint64_t sum = 0;

	capture_bpf.counters(t->c, &k);
	for (unsigned i = 0; i < sizeof(k.kind) / sizeof(k.kind[0]); i++)
		sum += k.kind[i];
	if (strcmp(mode, "crowd"))
		ok(k.missed == 0, "%s: no change missed (%llu)", mode,
		   (unsigned long long)k.missed);
	ok(k.records == sum, "%s: %llu records are the sum of their kinds", mode,
	   (unsigned long long)k.records);
}

int main(int argc, char **argv)
{
	static struct ct t;
	bool adopted;
	const char *mode = argc > 2 ? argv[1] : "";
	int seconds = argc > 3 ? atoi(argv[3]) : 5;

	setvbuf(stdout, NULL, _IOLBF, 0);
	umask(022);
	if (argc < 3 || setup(&t, argv[2])) {
		fprintf(stderr, "usage: captest MODE FOLDER [SECONDS]\n");
		return 2;
	}
	t.fs = t.mount.fs == FID_FS_EXT4 ? "ext4" : t.mount.fs == FID_FS_XFS ? "xfs" : "btrfs";
	prefix = t.fs;
	if (!strcmp(mode, "adopt"))
		test_adopt(&t);
	else if (!strcmp(mode, "filter"))
		test_filter(&t);
	else if (!strcmp(mode, "full"))
		test_full(&t);
	else if (!strcmp(mode, "losses"))
		test_losses(&t);
	else if (!strcmp(mode, "own"))
		test_own(&t);
	else if (!ok(ct_open(&t, &adopted), "armed for %s", mode))
		return 1;
	else if (!strcmp(mode, "ops"))
		test_ops(&t);
	else if (!strcmp(mode, "contents"))
		test_contents(&t);
	else if (!strcmp(mode, "storm"))
		test_storm(&t, seconds);
	else if (!strcmp(mode, "order"))
		test_order(&t, seconds);
	else if (!strcmp(mode, "points"))
		test_points(&t, seconds);
	else if (!strcmp(mode, "crowd"))
		test_crowd(&t, seconds);
	if (t.c) {
		check_counters(&t, mode);
		ct_close(&t, false);
	}
	return failures() != 0;
}
