// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * capture_script.c: the scripted capture source of the flow tests, behind the
 * same interface as BPF's. Enters: lines on a Unix socket (the PATH of
 * `capture = script:PATH`). Each performs one operation in the fileset and
 * yields the record that the kernel would make. Leaves: drain cycles.
 *
 *   create P MODE | mkdir P MODE | mknod P MODE RDEV | symlink P TEXT
 *   link OLD NEW | unlink P | rmdir P | rename OLD NEW [FLAGS]
 *   tmpfile DIR MODE | linktmp P | chmod P MODE | chown P UID GID
 *   utimens P SEC NSEC | truncate P SIZE | setxattr P NAME VALUE
 *   removexattr P NAME | setacl P NAME VALUE | chattr P FLAGS
 *   fallocate P FLAGS OFF COUNT | write P OFF COUNT CHAR | close P | fsync P
 *   syncfs | remap P OFF COUNT | rescan P | openw P   the record alone: who says it
 *              has done it
 *   cd DIR     paths that do not begin with a slash are from here; cd /: the root
 *   auto 0|1   every operation a cycle of its own (1), or not
 *   cycle      ends the cycle
 *   gap        the next cycle says that something was lost
 *   points     the next cycle says that an order point may have been missed
 *   early      the next cycle hands out its marks alone, its records come in
 *              the one after (a mark may overtake the CREATE of its file)
 *   cut        the next record that has data has no room for it
 *   swapseq    the next two records have swapped ring sequences (neighbours in
 *              the ring may)
 *
 * A word may hold any byte as %XX. setxattr takes a fourth word: so many times the
 * value. Answers: "ok", or "error TEXT". What was answered with ok survives lento, as a
 * pinned ring does: it lies in PATH.ring until it was released. Where that file is
 * gone there was a hole: nothing is adopted. While there is a file PATH.keep at the
 * start, nothing is released, as if lento died before it could; and what it finds then
 * belongs to the first cycle.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "lento/capture.h"
#include "lento/horizon.h"
#include "lib/cleanup.h"
#include "lib/codec.h"
#include "lib/io.h"
#include "tests/flow/recmake.h"

#define LINE_MAX_BYTES	8192
#define CONTENT_MAX	65536
#define BUFFER_BYTES	(16u << 20)
#define MARKS_MAX	4096
#define WORDS_MAX	6

struct capture {
	struct rec_ctx rec;
	int listen_fd, conn_fd, wake_fd, ring_fd;
	char path[100];
	char line[LINE_MAX_BYTES];
	size_t line_len;
	bool auto_cycle, cycle_ready, out, gap, points, early, only_marks, cut, kept;
	int swapseq;
	unsigned char *buf;
	size_t bytes;
	struct capture_mark marks[MARKS_MAX];
	size_t nmarks;
	uint64_t ring_seq;
	pthread_mutex_t lock;		/* of counters */
	struct capture_counters counters;
};

extern const struct capture_ops capture_script;

static const struct { const char *word; enum rec_op op; } ops[] = {
	{ "create", REC_CREATE }, { "mkdir", REC_MKDIR }, { "mknod", REC_MKNOD },
	{ "symlink", REC_SYMLINK }, { "link", REC_LINK }, { "unlink", REC_UNLINK },
	{ "rmdir", REC_RMDIR }, { "rename", REC_RENAME },
	{ "tmpfile", REC_TMPFILE }, { "linktmp", REC_LINKTMP },
	{ "chmod", REC_CHMOD }, { "chown", REC_CHOWN },
	{ "utimens", REC_UTIMENS }, { "truncate", REC_TRUNCATE },
	{ "setxattr", REC_SETXATTR }, { "removexattr", REC_REMOVEXATTR },
	{ "setacl", REC_SETACL },
	{ "chattr", REC_CHATTR }, { "fallocate", REC_FALLOCATE },
	{ "write", REC_WRITE }, { "close", REC_CLOSE }, { "fsync", REC_FSYNC },
};

/* --- the ring file ---------------------------------------------------- */

static int keep(struct capture *c, const void *record, size_t len)
{
	if (c->bytes + len > BUFFER_BYTES)
		return -ENOBUFS;
	memcpy(c->buf + c->bytes, record, len);
	c->bytes += len;
	return 0;
}

static int add_record(struct capture *c, struct izo_record *r)
{
	int e;

	r->ring_seq = ++c->ring_seq;
	if (c->swapseq)		/* 2: one higher, 1: one lower */
		r->ring_seq += c->swapseq-- == 2 ? 1 : -1;
	e = write_full(c->ring_fd, r, r->len);
	if (!e)
		e = keep(c, r, r->len);
	if (e)
		return e;
	pthread_mutex_lock(&c->lock);
	c->counters.records++;
	c->counters.bytes += r->len;
	c->counters.kind[r->kind]++;
	pthread_mutex_unlock(&c->lock);
	return 0;
}

/* A mark lies in the ring file as a DIRTY record. */
static int add_mark(struct capture *c, const struct izo_fid *fid,
		    struct izo_range range, bool write_it)
{
	_cleanup_free_ struct izo_record *r = NULL;

	if (c->nmarks == MARKS_MAX)
		return -ENOBUFS;
	c->marks[c->nmarks++] = (struct capture_mark){ *fid, range };
	pthread_mutex_lock(&c->lock);
	c->counters.dirty++;
	pthread_mutex_unlock(&c->lock);
	if (!write_it)
		return 0;
	r = record_new(IZO_DIRTY, NULL, 0, NULL, 0, &range, sizeof(range));
	if (!r)
		return -ENOMEM;
	r->obj = *fid;
	r->ring_seq = c->ring_seq;
	return write_full(c->ring_fd, r, r->len);
}

static int load_ring(struct capture *c)
{
	_cleanup_free_ unsigned char *all = malloc(BUFFER_BYTES);
	size_t at = 0;
	ssize_t n;
	int e = 0;

	if (!all)
		return -ENOMEM;
	n = pread_full(c->ring_fd, all, BUFFER_BYTES, 0);
	if (n < 0)
		return n;
	if (n >= 8) {		/* the last sequence of all times comes first */
		memcpy(&c->ring_seq, all, 8);
		at = 8;
	}
	while (!e && at < (size_t)n) {
		const struct izo_record *r;

		e = record_check(all + at, n - at, &r, NULL);
		if (e)
			return e;
		at += r->len;
		if (r->ring_seq > c->ring_seq)
			c->ring_seq = r->ring_seq;
		e = r->kind == IZO_DIRTY ?
		    add_mark(c, &r->obj, record_range(r, 0), false) :
		    keep(c, r, r->len);
	}
	c->cycle_ready = c->bytes || c->nmarks;
	return e;
}

static void empty_ring(struct capture *c)
{
	c->bytes = c->nmarks = 0;
	if (ftruncate(c->ring_fd, 0) == 0)
		pwrite_full(c->ring_fd, &c->ring_seq, 8, 0);
	lseek(c->ring_fd, 0, SEEK_END);
}

/* --- lines ------------------------------------------------------------ */

static unsigned long number(const char *s)
{
	return s ? strtoul(s, NULL, 0) : 0;
}

/* %XX in place; the length, for a word may hold a NUL. */
static size_t unescape(char *word)
{
	char *to = word;

	for (char *p = word; *p; p++) {
		char hex[3] = { p[0] == '%' ? p[1] : 0, 0 };

		if (hex[0])
			hex[1] = p[2];
		if (hex[0] && hex[1]) {
			*to++ = strtoul(hex, NULL, 16);
			p += 2;
		} else {
			*to++ = *p;
		}
	}
	*to = 0;
	return to - word;
}

/* The value of an attribute, times over. */
static int fill_value(struct rec_arg *a, const char *value, size_t len,
		      unsigned long times, char *content)
{
	if (!times)
		times = 1;
	if (len * times > CONTENT_MAX)
		return -EINVAL;
	for (unsigned long i = 0; i < times; i++)
		memcpy(content + i * len, value, len);
	a->value = content;
	a->len = len * times;
	return 0;
}

static int fill_arg(struct rec_arg *a, char **w, const size_t *len, char *content)
{
	a->path = w[1];
	switch (a->op) {
	case REC_CREATE: case REC_MKDIR: case REC_MKNOD: case REC_TMPFILE:
	case REC_CHMOD:
		a->mode = number(w[2]);
		a->rdev = number(w[3]);
		break;
	case REC_SYMLINK: case REC_LINK: case REC_RENAME:
		a->path2 = w[2];
		a->flags = number(w[3]);
		break;
	case REC_CHOWN:
		a->uid = number(w[2]);
		a->gid = number(w[3]);
		break;
	case REC_UTIMENS:
		a->mtime = (struct timespec){ number(w[2]), number(w[3]) };
		break;
	case REC_TRUNCATE:
		a->off = number(w[2]);
		break;
	case REC_SETXATTR: case REC_REMOVEXATTR: case REC_SETACL:
		a->name = w[2];
		if (!a->name)
			return -EINVAL;
		if (w[3])
			return fill_value(a, w[3], len[3], number(w[4]), content);
		break;
	case REC_CHATTR:
		a->flags = number(w[2]);
		break;
	case REC_FALLOCATE:
		a->flags = number(w[2]);
		a->off = number(w[3]);
		a->count = number(w[4]);
		break;
	case REC_WRITE:
		a->off = number(w[2]);
		a->len = number(w[3]);
		if (a->len > CONTENT_MAX || !w[4])
			return -EINVAL;
		memset(content, w[4][0], a->len);
		a->value = content;
		a->count = a->len;
		break;
	default:
		break;
	}
	return a->path ? 0 : -EINVAL;
}

/* As the programs do it: the record says that it is not whole. */
static int cut_short(struct izo_record **r)
{
	struct izo_record *n = record_new((*r)->kind, record_name(*r), (*r)->name_len,
					  NULL, 0, NULL, 0);
	uint32_t len;

	if (!n)
		return -ENOMEM;
	len = n->len;
	memcpy(n, *r, IZO_RECORD_FIXED);
	n->len = len;
	n->data_len = 0;
	n->flags |= IZO_F_NAME_CUT;
	free(*r);
	*r = n;
	return 0;
}

static int operate(struct capture *c, enum rec_op op, char **w, const size_t *len)
{
	struct rec_arg arg = { .op = op };
	_cleanup_free_ struct izo_record *r = NULL;
	char content[CONTENT_MAX];
	struct izo_fid dirty = { 0 };
	int e = fill_arg(&arg, w, len, content);

	if (!e)
		e = rec_do(&c->rec, &arg, &r, &dirty);
	if (e)
		return e;
	if (c->cut && r && r->data_len) {
		c->cut = false;
		e = cut_short(&r);
		if (e)
			return e;
	}
	if (op == REC_WRITE)
		e = add_mark(c, &dirty, (struct izo_range){
			arg.off & ~4095ULL, (arg.off + arg.len + 4095) & ~4095ULL }, true);
	if (!e && r)
		e = add_record(c, r);
	if (c->auto_cycle)
		c->cycle_ready = true;
	return e;
}

/* The record of something that whoever says it has done. */
static int told(struct capture *c, enum izo_kind kind, char **w)
{
	struct rec_arg arg = { .op = REC_FSYNC, .path = w[1] };
	_cleanup_free_ struct izo_record *r = NULL;
	struct izo_fid none;
	int e = 0;

	if (kind == IZO_SYNCFS)
		r = record_new(kind, NULL, 0, NULL, 0, NULL, 0);
	else
		e = w[1] ? rec_do(&c->rec, &arg, &r, &none) : -EINVAL;
	if (e || !r)
		return e ? e : -ENOMEM;
	r->kind = kind;
	if (kind == IZO_REMAP) {
		r->off = number(w[2]);
		r->count = number(w[3]);
	}
	if (c->auto_cycle)
		c->cycle_ready = true;
	return add_record(c, r);
}

static int command(struct capture *c, char *line)
{
	char *w[WORDS_MAX] = { 0 }, *save;
	size_t len[WORDS_MAX] = { 0 };
	unsigned n = 0;

	for (char *p = strtok_r(line, " ", &save); p && n < WORDS_MAX;
	     p = strtok_r(NULL, " ", &save)) {
		len[n] = unescape(p);
		w[n++] = p;
	}
	if (!n)
		return -EINVAL;
	if (!strcmp(w[0], "cd"))
		return w[1] ? rec_cd(&c->rec, w[1]) : -EINVAL;
	if (!strcmp(w[0], "auto")) {
		c->auto_cycle = number(w[1]);
		return 0;
	}
	if (!strcmp(w[0], "early")) {
		c->early = true;
		return 0;
	}
	if (!strcmp(w[0], "cut")) {
		c->cut = true;
		return 0;
	}
	if (!strcmp(w[0], "swapseq")) {
		c->swapseq = 2;
		return 0;
	}
	if (!strcmp(w[0], "cycle") || !strcmp(w[0], "gap") || !strcmp(w[0], "points")) {
		c->gap |= w[0][0] == 'g';
		c->points |= w[0][0] == 'p';
		c->cycle_ready = true;
		return 0;
	}
	if (!strcmp(w[0], "syncfs"))
		return told(c, IZO_SYNCFS, w);
	if (!strcmp(w[0], "remap"))
		return told(c, IZO_REMAP, w);
	if (!strcmp(w[0], "rescan"))
		return told(c, IZO_RESCAN, w);
	if (!strcmp(w[0], "openw"))
		return told(c, IZO_OPENW, w);
	for (size_t i = 0; i < sizeof(ops) / sizeof(*ops); i++)
		if (!strcmp(w[0], ops[i].word))
			return operate(c, ops[i].op, w, len);
	return -EINVAL;
}

static void hang_up(struct capture *c)
{
	close(c->conn_fd);
	c->conn_fd = -1;
	c->line_len = 0;
}

/* Performs the first whole line there is; false: there is none. */
static bool one_line(struct capture *c)
{
	char *end = memchr(c->line, '\n', c->line_len), answer[256];
	int e;

	if (!end)
		return false;
	*end = 0;
	e = command(c, c->line);
	c->line_len -= end + 1 - c->line;
	memmove(c->line, end + 1, c->line_len);
	snprintf(answer, sizeof(answer), e ? "error %s\n" : "ok\n", strerror(-e));
	if (write_full(c->conn_fd, answer, strlen(answer)))
		hang_up(c);
	return true;
}

static void read_lines(struct capture *c)
{
	ssize_t n = read(c->conn_fd, c->line + c->line_len,
			 sizeof(c->line) - c->line_len);

	if (n <= 0)
		hang_up(c);
	else
		c->line_len += n;
}

/* --- the interface ---------------------------------------------------- */

static void script_close(struct capture *c, bool keep_it)
{
	if (!keep_it)
		empty_ring(c);
	rec_done(&c->rec);
	close(c->listen_fd);
	if (c->conn_fd >= 0)
		close(c->conn_fd);
	close(c->wake_fd);
	close(c->ring_fd);
	free(c->buf);
	free(c);
}

static int listen_at(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	unlink(path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) || listen(fd, 4))
		return -errno;
	return fd;
}

static int script_open(const struct capture_spec *spec, struct capture **ret,
		       bool *ret_adopted, char *err, size_t size)
{
	struct capture *c = calloc(1, sizeof(*c));
	bool adopted;
	char ring[128];
	int e;

	snprintf(c->path, sizeof(c->path), "%s", spec->script);
	snprintf(ring, sizeof(ring), "%s.ring", c->path);
	pthread_mutex_init(&c->lock, NULL);
	if (getenv("IZO_HORIZON_S"))
		horizon_seconds = number(getenv("IZO_HORIZON_S"));
	c->conn_fd = -1;
	c->auto_cycle = true;
	c->buf = malloc(BUFFER_BYTES);
	c->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	adopted = !access(ring, F_OK);
	c->ring_fd = open(ring, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	e = c->buf && c->ring_fd >= 0 ? rec_init(&c->rec, spec->root) : -EIO;
	if (!e)
		e = load_ring(c);
	if (!e && !c->ring_seq)
		empty_ring(c);
	snprintf(ring, sizeof(ring), "%s.keep", c->path);
	c->kept = !access(ring, F_OK);
	c->cycle_ready &= !c->kept;
	c->listen_fd = e ? e : listen_at(c->path);
	if (c->listen_fd < 0) {
		snprintf(err, size, "script %s: %s", c->path, strerror(-c->listen_fd));
		return c->listen_fd;
	}
	*ret = c;
	*ret_adopted = adopted;
	return 0;
}

static int hand_out(struct capture *c, struct capture_cycle *ret)
{
	if (!c->out)
		c->only_marks = c->early && c->nmarks;
	*ret = (struct capture_cycle){
		.records = c->buf, .records_bytes = c->only_marks ? 0 : c->bytes,
		.marks = c->marks, .nmarks = c->nmarks,
		.points_missed = c->points,
		.gap = c->gap, .gap_why = "the script says so",
		.records_pos = c->only_marks ? 0 : c->ring_seq + 1,
		.marks_pos = c->ring_seq + 1,
	};
	c->out = true;
	return 1;
}

static int script_drain(struct capture *c, int wait_ms, struct capture_cycle *ret)
{
	struct pollfd p[3] = {
		{ .fd = c->wake_fd, .events = POLLIN },
		{ .fd = c->listen_fd, .events = POLLIN },
		{ .fd = c->conn_fd, .events = POLLIN },
	};
	uint64_t drop;

	while (!c->out && !c->cycle_ready && c->conn_fd >= 0 && one_line(c))
		;
	if (c->out || c->cycle_ready)
		return hand_out(c, ret);
	if (poll(p, c->conn_fd >= 0 ? 3 : 2, wait_ms) <= 0)
		return 0;
	if (p[0].revents && read(c->wake_fd, &drop, sizeof(drop)) < 0)
		return 0;
	if (c->conn_fd < 0 && p[1].revents)
		c->conn_fd = accept4(c->listen_fd, NULL, NULL, SOCK_CLOEXEC);
	else if (c->conn_fd >= 0 && p[2].revents)
		read_lines(c);
	return 0;
}

static void script_release(struct capture *c)
{
	c->out = c->gap = c->points = false;
	if (c->only_marks) {	/* the ring file keeps the marks too: harmless */
		c->only_marks = c->early = false;
		c->nmarks = 0;
		return;
	}
	if (c->kept)
		c->bytes = c->nmarks = 0;
	else
		empty_ring(c);
	c->cycle_ready = false;
}

static void script_wake(struct capture *c)
{
	uint64_t one = 1;

	if (write(c->wake_fd, &one, sizeof(one)) < 0)
		return;
}

static void script_counters(struct capture *c, struct capture_counters *ret)
{
	pthread_mutex_lock(&c->lock);
	*ret = c->counters;
	pthread_mutex_unlock(&c->lock);
}

const struct capture_ops capture_script = {
	.name = "script", .open = script_open, .drain = script_drain,
	.release = script_release, .wake = script_wake,
	.counters = script_counters, .close = script_close,
};
