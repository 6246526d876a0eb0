// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * applytest.c: the applier against a real source tree. Random operations are
 * done in SRC by recmake, which gives the records of a kernel; contents, LIST
 * and WANT are answered from SRC as it is at that moment. After each step DST
 * must equal SRC: names, types, modes, owners, xattrs, ACLs, links, contents.
 *
 *   each   every record is a batch, compared after each
 *   batch  batches of random sizes cut from a source that has gone on: files
 *          that are gone by then are hollow, and must not be seen
 *   kill   as batch, the applier is killed at random moments
 *   lose   as batch, and the peer cannot be asked in the midst of one; what was
 *          queued of it comes all the same, and must not count
 *   fill   a fill of DST with leftovers in it while SRC goes on changing
 *   reuse  a second fill of equal trees must not send contents
 *   bench  small files by the second
 */
#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <xxhash.h>
#include "lento/apply.h"
#include "lento/withheld.h"
#include "lib/cleanup.h"
#include "lib/digest.h"
#include "lib/log.h"
#include "tests/flow/recmake.h"

#define EPOCH		7
#define ASKS		64

struct dirty {
	struct izo_fid fid;
	uint64_t due;
};

static struct rec_ctx src;
static const char *src_path, *dst_path, *state_path;
static struct izo_record **journal;	/* [seq - 1] */
static uint64_t tip;
static struct dirty *dirties;
static unsigned ndirty;
static unsigned seed;
static bool swap_two;		/* --break: two records in the wrong order */
static bool watch;		/* look for files that must not be seen */
static bool reopen;		/* the applier is closed and opened between batches */
static bool losing, lost;	/* nobody can be asked; lost: in this batch */
static unsigned losses;
static bool unguarded;		/* --unguarded: their names are not withheld */
static uint64_t bytes_sent, files_same, hollows, withhelds;

static struct asked {
	bool want;
	struct wire_want w;
} asked[ASKS];
static unsigned nasked;
static struct apply *a;

static unsigned rnd(unsigned n)
{
	return n ? (unsigned)rand() % n : 0;
}

static void die(const char *what, int e)
{
	printf("Bail out! seed %u: %s: %s\n", seed, what, strerror(-e));
	exit(2);
}

static void need(const char *what, int e)
{
	if (e < 0)
		die(what, e);
}

/* --- random operations ------------------------------------------------ */

static const char *rnd_path(char *buf, bool dir)
{
	unsigned depth = rnd(3);
	char *p = buf;

	for (unsigned i = 0; i < depth; i++)
		p += sprintf(p, "d%u/", rnd(3));
	sprintf(p, "%c%u", dir ? 'd' : 'n', rnd(5));
	return buf;
}

static void journal_add(struct izo_record *r)
{
	journal = realloc(journal, (tip + 1) * sizeof(*journal));
	journal[tip++] = r;
	r->seq = tip;
}

static int do_op(const struct rec_arg *arg)
{
	struct rec_arg sync = { .op = REC_FSYNC, .path = arg->path };
	struct izo_record *r;
	struct izo_fid fid, none;
	int e = rec_do(&src, arg, &r, &fid);

	if (e)
		return e;
	if (r)
		journal_add(r);
	if (!fid.ino)
		return 0;
	need("fsync record", rec_do(&src, &sync, &r, &none));
	journal_add(r);
	dirties = realloc(dirties, (ndirty + 1) * sizeof(*dirties));
	dirties[ndirty++] = (struct dirty){ fid, tip };
	return 0;
}

static const unsigned char acl[44] = {
	2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 2, 0, 4, 0, 100, 0, 0, 0,
	4, 0, 4, 0, 255, 255, 255, 255, 16, 0, 6, 0, 255, 255, 255, 255,
	32, 0, 4, 0, 255, 255, 255, 255,
};

static int random_op(void)
{
	static const char *const names[] = { "user.a", "user.b", "trusted.c" };
	static const unsigned flags[] = { FS_NODUMP_FL, FS_NOATIME_FL,
					  FS_APPEND_FL, FS_IMMUTABLE_FL, 0, 0 };
	static const unsigned char weights[] = {
		REC_CREATE, REC_CREATE, REC_CREATE, REC_CREATE, REC_MKDIR,
		REC_MKDIR, REC_MKDIR, REC_MKNOD, REC_SYMLINK, REC_LINK,
		REC_LINK, REC_UNLINK, REC_UNLINK, REC_UNLINK, REC_RMDIR,
		REC_RMDIR, REC_RENAME, REC_RENAME, REC_RENAME, REC_RENAME,
		REC_RENAME, REC_RENAME, REC_TMPFILE, REC_LINKTMP, REC_CHMOD,
		REC_CHOWN, REC_UTIMENS, REC_TRUNCATE, REC_SETXATTR,
		REC_REMOVEXATTR, REC_SETACL, REC_CHATTR, REC_FALLOCATE,
		REC_WRITE, REC_WRITE, REC_WRITE, REC_WRITE, REC_CLOSE,
	};
	char p[64], p2[64], value[3000];
	struct rec_arg arg = { .op = weights[rnd(sizeof(weights))] };
	bool dirs = arg.op == REC_MKDIR || arg.op == REC_RMDIR ||
		    (arg.op >= REC_RENAME && arg.op != REC_WRITE && !rnd(3));

	arg.path = rnd_path(p, dirs);
	arg.path2 = rnd_path(p2, dirs);
	if (arg.op == REC_RENAME && !rnd(10))
		arg.path2 = rnd_path(p2, !dirs);
	arg.mode = 0600 + rnd(0200);
	memset(value, 'a' + rnd(26), sizeof(value));
	switch (arg.op) {
	case REC_MKDIR:
		arg.mode |= 0700;
		break;
	case REC_MKNOD:
		arg.mode = rnd(2) ? S_IFIFO | 0640 : S_IFCHR | 0600;
		arg.rdev = S_ISCHR(arg.mode) ? makedev(300, 7000) : 0;
		break;
	case REC_RENAME:
		arg.flags = (unsigned[]){ 0, 0, 0, 0, RENAME_NOREPLACE,
			RENAME_EXCHANGE, RENAME_EXCHANGE }[rnd(7)];
		break;
	case REC_CHMOD:
		arg.mode = rnd(010000);
		break;
	case REC_CHOWN:
		arg.uid = rnd(3);
		arg.gid = rnd(3);
		break;
	case REC_UTIMENS:
		arg.mtime.tv_sec = 1000000 + rnd(1000);
		break;
	case REC_TRUNCATE:
		arg.off = rnd(9000);
		break;
	case REC_FALLOCATE:
		arg.flags = rnd(2) ? 3 : 0;	/* punch, or extend */
		arg.off = rnd(3) * 4096;
		arg.count = 4096;
		break;
	case REC_SETXATTR:
	case REC_REMOVEXATTR:
		arg.name = names[rnd(3)];
		arg.value = value;
		arg.len = rnd(100);
		break;
	case REC_SETACL:
		arg.name = "system.posix_acl_access";
		if (dirs && rnd(2))
			arg.name = "system.posix_acl_default";
		arg.value = acl;
		arg.len = sizeof(acl);
		break;
	case REC_CHATTR:
		/* Not on directories: what children inherit of these two is
		 * not in their CREATE. */
		arg.flags = flags[dirs ? 2 + rnd(4) : rnd(6)];
		break;
	case REC_WRITE:
		arg.value = value;
		arg.len = 1 + rnd(sizeof(value) - 1);
		arg.off = rnd(6000);
		break;
	default:
		break;
	}
	return do_op(&arg);
}

static void ops(unsigned n)
{
	for (unsigned tries = 0; n && tries < 100000; tries++)
		if (!random_op())
			n--;
}

/* --- the source's side ------------------------------------------------ */

static struct wire_data_end end_of(int fd, const struct izo_fid *fid,
				   uint64_t ask)
{
	struct wire_data_end e = { .ask = ask, .fid = *fid,
				   .status = WIRE_DATA_OK };
	struct izo_attr attr;

	need("attributes", fid_attr(fd, &attr));
	e.size = attr.size;
	e.mtime = attr.mtime;
	e.atime = attr.atime;
	return e;
}

static int send_contents(const struct izo_fid *fid, uint64_t ask)
{
	int fd = fid_open(&src.mount, fid, O_RDONLY | O_NONBLOCK), r = 0;
	struct wire_data d = { .ask = ask, .fid = *fid };
	struct wire_data_end e = { .ask = ask, .fid = *fid,
				   .status = WIRE_DATA_GONE };
	static char buf[WIRE_DATA_MAX];
	struct stat st;
	ssize_t n;

	if (fd >= 0 && !fstat(fd, &st) && !st.st_nlink) {
		close(fd);
		fd = -ESTALE;
	}
	if (fd < 0)
		return ask ? apply_data_end(a, &e) : fd;
	e = end_of(fd, fid, ask);
	while (!r && (n = pread(fd, buf, 1 + rnd(sizeof(buf)), d.off)) > 0) {
		d.len = n;
		r = apply_data(a, &d, buf);
		d.off += n;
		bytes_sent += n;
	}
	close(fd);
	return r ? r : apply_data_end(a, &e);
}

static bool digest_same(const struct wire_want *w)
{
	int fd = fid_open(&src.mount, &w->fid, O_RDONLY);
	unsigned char sum[16];
	struct stat st;
	bool same;

	if (fd < 0)
		return false;
	same = !fstat(fd, &st) && (uint64_t)st.st_size == w->have_size &&
	       !digest_file(fd, st.st_size, NULL, sum) &&
	       !memcmp(sum, w->have_digest, sizeof(sum));
	close(fd);
	return same;
}

static int answer_want(const struct wire_want *w)
{
	struct wire_data_end e;
	int fd;

	if (!digest_same(w))
		return send_contents(&w->fid, w->ask);
	fd = fid_open(&src.mount, &w->fid, O_RDONLY);
	e = end_of(fd, &w->fid, w->ask);
	e.status = WIRE_DATA_SAME;
	close(fd);
	files_same++;
	return apply_data_end(a, &e);
}

struct out {
	unsigned char *p;
	size_t n;
};

static void put(struct out *o, struct izo_record *r)
{
	o->p = realloc(o->p, o->n + r->len);
	memcpy(o->p + o->n, r, r->len);
	o->n += r->len;
	free(r);
}

static void put_entry(struct out *o, int fd, const struct izo_fid *fid,
		      const struct izo_fid *dir, const char *name)
{
	char target[4096], path[32], list[4096], value[4096];
	struct izo_record *r;
	struct stat st;
	ssize_t n = 0, len;
	int flags, tfd;

	fstat(fd, &st);
	if (S_ISLNK(st.st_mode))
		n = readlinkat(fd, "", target, sizeof(target));
	r = record_new(IZO_ENTRY, name, strlen(name), NULL, 0, target, n);
	r->obj = *fid;
	if (dir)
		r->dir = *dir;
	fid_attr(fd, &r->attr);
	put(o, r);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = listxattr(path, list, sizeof(list));
	for (char *p = list; n > 0 && p < list + n; p += strlen(p) + 1) {
		len = getxattr(path, p, value, sizeof(value));
		r = record_new(!strncmp(p, "system.", 7) ? IZO_ACL : IZO_XATTR,
			       p, strlen(p), NULL, 0, value, len);
		r->obj = *fid;
		put(o, r);
	}
	if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
		return;
	tfd = open(path, O_RDONLY | O_NONBLOCK);
	/* as listing.c: one that has none is not told of */
	if (!ioctl(tfd, FS_IOC_GETFLAGS, &flags) &&
	    flags & (FS_IMMUTABLE_FL | FS_APPEND_FL | FS_NODUMP_FL | FS_NOATIME_FL)) {
		r = record_new(IZO_FILEATTR, NULL, 0, NULL, 0, NULL, 0);
		r->obj = *fid;
		r->op_flags = flags;
		put(o, r);
	}
	close(tfd);
}

static int answer_list(uint64_t ask, const struct izo_fid *fid)
{
	struct out o = { 0 };
	int fd = fid_open(&src.mount, fid, O_PATH), r;
	struct stat st;

	if (fd >= 0 && !fstat(fd, &st) && st.st_nlink) {
		put_entry(&o, fd, fid, NULL, "");
		if (S_ISDIR(st.st_mode)) {
			int dfd = fid_open(&src.mount, fid, O_RDONLY);
			DIR *d = fdopendir(dfd);
			struct dirent *e;

			while ((e = readdir(d))) {
				struct izo_fid child;
				int cfd;

				if (!strcmp(e->d_name, ".") ||
				    !strcmp(e->d_name, ".."))
					continue;
				cfd = openat(dfd, e->d_name,
					     O_PATH | O_NOFOLLOW);
				fid_of(&src.mount, cfd, "", &child);
				put_entry(&o, cfd, &child, fid, e->d_name);
				close(cfd);
			}
			closedir(d);
		}
	}
	if (fd >= 0)
		close(fd);
	r = apply_entries(a, ask, o.p, o.n, true);
	free(o.p);
	return r;
}

static int on_list(void *ctx, uint64_t ask, const struct izo_fid *fid)
{
	(void)ctx;
	if (losing && !rnd(3))
		return -ENOTCONN;
	asked[nasked++] = (struct asked){ .w = { .ask = ask, .fid = *fid } };
	return 0;
}

static int on_want(void *ctx, const struct wire_want *w)
{
	(void)ctx;
	asked[nasked++] = (struct asked){ .want = true, .w = *w };
	return 0;
}

static int pump(void *ctx)
{
	struct asked k;
	unsigned i = rnd(nasked);

	(void)ctx;
	if (!nasked)
		return -EDEADLK;
	if (losing && !rnd(3))
		return -ENOTCONN;
	k = asked[i];
	asked[i] = asked[--nasked];
	return k.want ? answer_want(&k.w) : answer_list(k.w.ask, &k.w.fid);
}

/* --- a session -------------------------------------------------------- */

static void begin(void)
{
	struct apply_spec spec = {
		.fileset = "test", .peer = "peer", .root = dst_path,
		.state = state_path, .uuid = "0123456789abcde",
		.list = on_list, .want = on_want, .pump = pump,
	};
	char err[256];

	nasked = 0;
	if (apply_open(&spec, &a, err, sizeof(err))) {
		printf("Bail out! seed %u: %s\n", seed, err);
		exit(2);
	}
}

static void attach(unsigned changes)
{
	struct wire_attached m = { .tip = tip };
	struct wire_attach at;

	apply_attach(a, &at);
	m.mode = at.mode;
	m.pos = at.pos;
	if (at.pos.epoch != EPOCH) {
		m.mode = WIRE_MODE_FILL;
		m.pos = (struct izo_pos){ .epoch = EPOCH, .seq = tip };
	}
	need("root", fid_of(&src.mount, src.root, "", &m.root));
	need("attached", apply_attached(a, &m));
	while (!apply_fill_done(a)) {
		if (changes && !rnd(2)) {
			ops(1);
			changes--;
		}
		need("fill", pump(NULL));
	}
}

/* --- files that must not be seen ---------------------------------------- */

static struct izo_fid *gone;		/* in this batch */
static unsigned ngone;

static bool is_gone(void *ctx, const struct izo_fid *fid)
{
	(void)ctx;
	for (unsigned i = 0; i < ngone; i++)
		if (fid_eq(&gone[i], fid))
			return true;
	return false;
}

static int withhold(void *ctx, const struct izo_fid *fid, const struct izo_fid *dir,
		    const char *name, unsigned len)
{
	struct izo_record *r = record_new(IZO_UNLINK, name, len, NULL, 0, NULL, 0);

	(void)ctx;
	r->obj = *fid;
	r->dir = *dir;
	need("withhold", apply_withhold(a, r, r->len));
	withhelds++;
	free(r);
	return 0;
}

/* What the source does: the records up to the tip tell how their names end. */
static void withhold_all(uint64_t from)
{
	struct withheld_events ev = { is_gone, withhold, NULL };
	struct out o = { 0 };

	if (!ngone || unguarded)
		return;
	for (uint64_t s = from; s < tip; s++) {
		o.p = realloc(o.p, o.n + journal[s]->len);
		memcpy(o.p + o.n, journal[s], journal[s]->len);
		o.n += journal[s]->len;
	}
	need("withheld names", withheld_names(o.p, o.n, &ev));
	free(o.p);
}

static bool tagged_gone(int fd)
{
	struct {
		struct izo_fid fid;
		char uuid8[8];
	} tag;

	return fgetxattr(fd, "trusted.intermezzo.fid", &tag, sizeof(tag)) ==
	       sizeof(tag) && is_gone(NULL, &tag.fid);
}

static int see_dir(int fd);

/* Is a file that must not be seen at this name? */
static int see(int at, const char *name)
{
	int fd = openat(at, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOATIME), bad = 0;
	struct stat st;

	if (fd < 0 || fstat(fd, &st))
		return 0;
	if (S_ISDIR(st.st_mode))
		bad = see_dir(fd);
	else if (S_ISREG(st.st_mode))
		bad = tagged_gone(fd);
	if (bad)
		printf("# seen at %s\n", name);
	close(fd);
	return bad;
}

static int see_dir(int fd)
{
	struct dirent **list;
	int n = scandirat(fd, ".", &list, NULL, alphasort), bad = 0;

	for (int i = 0; i < n; i++) {
		if (strcmp(list[i]->d_name, ".") && strcmp(list[i]->d_name, "..") &&
		    strcmp(list[i]->d_name, ".intermezzo"))
			bad |= see(fd, list[i]->d_name);
		free(list[i]);
	}
	free(list);
	return bad;
}

static void none_seen(uint64_t seq)
{
	int fd;

	if (!ngone || !watch)
		return;
	fd = open(dst_path, O_RDONLY | O_DIRECTORY);
	if (see_dir(fd)) {
		printf("# seed %u: a file without its contents is seen at record %llu\n",
		       seed, (unsigned long long)seq);
		exit(1);
	}
	close(fd);
}

static void contents_of(uint64_t from, uint64_t to)
{
	ngone = 0;
	for (unsigned i = 0; i < ndirty; i++) {
		struct izo_fid *fid = &dirties[i].fid;
		bool again = false;
		int r;

		if (dirties[i].due <= from || dirties[i].due > to)
			continue;
		for (unsigned j = i + 1; j < ndirty && dirties[j].due <= to; j++)
			again |= fid_eq(fid, &dirties[j].fid);
		if (again)
			continue;
		r = send_contents(fid, 0);
		if (r == -ESTALE || r == -ENOENT) {
			hollows++;
			gone = realloc(gone, (ngone + 1) * sizeof(*gone));
			gone[ngone++] = *fid;
			r = apply_hollow(a, fid, 1);
		}
		need("contents", r);
	}
}

/* As the kernel's part does with what has no room: it is fetched. */
static void make_cut(struct izo_record *r)
{
	if (r->kind == IZO_SETATTR && losing && !rnd(3))
		r->flags |= IZO_F_NAME_CUT;
}

static void send_records(const struct out *o)
{
	int r = apply_records(a, o->p, o->n);

	if (losing && r == -ENOTCONN)
		lost = true;
	else if (!lost)
		need("records", r);
	else if (!r)
		die("records after an error were taken", r);
}

/* The batch that was broken off is as if it had not come. */
static void after_loss(const struct wire_batch *b, uint64_t from)
{
	struct izo_pos pos, durable;

	if (!apply_batch_end(a, &b->last))
		die("the end of a broken batch was taken", 0);
	apply_positions(a, &pos, &durable);
	if (pos.seq != from)
		die("the position moved", 0);
	losses++;
	lost = losing = false;
	nasked = 0;
	attach(0);
	losing = true;
}

static void send_batch(uint64_t from, uint64_t to)
{
	struct wire_batch b = {
		.last = { .epoch = EPOCH, .seq = to }, .first_seq = from + 1,
		.tip = tip,
	};
	struct out o = { 0 };

	need("batch", apply_batch(a, &b));
	contents_of(from, to);
	withhold_all(from);
	none_seen(from);
	for (uint64_t s = from; s < to; s++) {
		struct izo_record *r = journal[s];

		if (swap_two && to - from > 1 && s < from + 2)
			r = journal[from + 1 - (s - from)];
		o.p = realloc(o.p, o.n + r->len);
		memcpy(o.p + o.n, r, r->len);
		make_cut((struct izo_record *)(o.p + o.n));
		o.n += r->len;
		if (rnd(4) && s + 1 < to)
			continue;
		send_records(&o);
		none_seen(s + 1);
		o.n = 0;
	}
	free(o.p);
	if (lost)
		after_loss(&b, from);
	else
		need("batch end", apply_batch_end(a, &b.last));
}

static void stream(unsigned most)
{
	struct izo_pos pos, durable;

	for (apply_positions(a, &pos, &durable); pos.seq < tip;) {
		uint64_t to = pos.seq + 1 + rnd(most);

		if (to > tip)
			to = tip;
		send_batch(pos.seq, to);
		apply_positions(a, &pos, &durable);
		if (reopen && !rnd(10)) {	/* what is withheld outlives it */
			apply_close(a);
			begin();
			attach(0);
		}
		if (!rnd(50))
			need("sync", apply_sync(a));
	}
}

/* --- comparison ------------------------------------------------------- */

static struct seen {
	ino_t ino;
	char *path;
} *seen;
static unsigned nseen;

static const char *first_name(const struct stat *st, const char *path)
{
	for (unsigned i = 0; i < nseen; i++)
		if (seen[i].ino == st->st_ino)
			return seen[i].path;
	seen = realloc(seen, (nseen + 1) * sizeof(*seen));
	seen[nseen++] = (struct seen){ st->st_ino, strdup(path) };
	return path;
}

static int by_text(const void *x, const void *y)
{
	return strcmp(*(char *const *)x, *(char *const *)y);
}

static void show_xattrs(FILE *f, const char *path)
{
	char list[4096], value[4096], *name[64];
	ssize_t n = listxattr(path, list, sizeof(list)), len;
	unsigned k = 0;

	for (char *p = list; n > 0 && p < list + n; p += strlen(p) + 1)
		if (strncmp(p, "trusted.intermezzo.", 19))
			name[k++] = p;
	qsort(name, k, sizeof(*name), by_text);
	for (unsigned i = 0; i < k; i++) {
		len = getxattr(path, name[i], value, sizeof(value));
		fprintf(f, " %s=%llx", name[i],
			(unsigned long long)XXH3_64bits(value, len));
	}
}

static void show(FILE *f, int at, const char *name, const char *path);

static void show_dir(FILE *f, int fd, const char *path)
{
	struct dirent **list;
	char sub[4096];
	int n = scandirat(fd, ".", &list, NULL, alphasort);

	for (int i = 0; i < n; i++) {
		const char *name = list[i]->d_name;

		if (strcmp(name, ".") && strcmp(name, "..") &&
		    strcmp(name, ".intermezzo") && strcmp(name, "lost+found")) {
			snprintf(sub, sizeof(sub), "%s/%s", path, name);
			show(f, fd, name, sub);
		}
		free(list[i]);
	}
	free(list);
}

static void show(FILE *f, int at, const char *name, const char *path)
{
	static char buf[1 << 20];
	int fd = openat(at, name, O_PATH | O_NOFOLLOW), rfd, flags = 0;
	char self[32], target[4096] = "";
	struct stat st;
	ssize_t n;

	fstat(fd, &st);
	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	fprintf(f, "%s %o %u:%u dev %lx", path, st.st_mode, st.st_uid,
		st.st_gid, (long)st.st_rdev);
	if (S_ISLNK(st.st_mode) && (n = readlinkat(fd, "", target, 4095)) > 0)
		fprintf(f, " -> %.*s", (int)n, target);
	if (!S_ISDIR(st.st_mode))
		fprintf(f, " links %lu first %s", (long)st.st_nlink,
			first_name(&st, path));
	show_xattrs(f, self);
	if (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)) {
		rfd = open(self, O_RDONLY | O_NOATIME);
		if (!ioctl(rfd, FS_IOC_GETFLAGS, &flags))
			fprintf(f, " flags %x", flags & (FS_NODUMP_FL |
				FS_NOATIME_FL | FS_APPEND_FL | FS_IMMUTABLE_FL));
		if (S_ISREG(st.st_mode)) {
			n = pread(rfd, buf, sizeof(buf), 0);
			fprintf(f, " size %ld sum %llx", (long)st.st_size,
				(unsigned long long)XXH3_64bits(buf, n));
		}
		fprintf(f, "\n");
		if (S_ISDIR(st.st_mode))
			show_dir(f, rfd, path);
		close(rfd);
	} else {
		fprintf(f, "\n");
	}
	close(fd);
}

static char *tree_text(const char *root)
{
	char *text = NULL;
	size_t n;
	FILE *f = open_memstream(&text, &n);

	show(f, AT_FDCWD, root, ".");
	fclose(f);
	for (unsigned i = 0; i < nseen; i++)
		free(seen[i].path);
	nseen = 0;
	return text;
}

static void keep(const char *name, const char *text)
{
	char path[4096];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", state_path, name);
	f = fopen(path, "w");
	fputs(text, f);
	fclose(f);
}

static bool equal(const char *when)
{
	char *x = tree_text(src_path), *y = tree_text(dst_path), cmd[9000];
	bool same = !strcmp(x, y);

	if (!same) {
		keep("tree.src", x);
		keep("tree.dst", y);
		printf("# seed %u, %s, record %llu:\n", seed, when,
		       (unsigned long long)tip);
		fflush(stdout);
		snprintf(cmd, sizeof(cmd), "diff %s/tree.src %s/tree.dst | "
			 "sed 's/^/# /'; true", state_path, state_path);
		if (system(cmd))
			printf("# no diff\n");
		for (uint64_t s = tip > 30 ? tip - 30 : 0; s < tip; s++) {
			printf("# %llu ", (unsigned long long)s + 1);
			record_print(stdout, journal[s]);
		}
	}
	free(x);
	free(y);
	return same;
}

/* --- the tests -------------------------------------------------------- */

static bool quiet_and_synced(void)
{
	struct apply_stats s;

	apply_stats(a, &s);
	if (s.surprises)
		printf("# %llu surprises\n", (unsigned long long)s.surprises);
	if (apply_state(a, tip) != FS_SYNCED)
		printf("# state %d\n", apply_state(a, tip));
	return !s.surprises && apply_state(a, tip) == FS_SYNCED;
}

/* What was moved aside while records were redone has found its place or gone. */
static bool limbo_empty(void)
{
	char path[4200];
	struct dirent **list;
	int n;

	snprintf(path, sizeof(path), "%s/.intermezzo/limbo", dst_path);
	n = scandir(path, &list, NULL, alphasort);
	for (int i = 0; i < n; i++) {
		if (list[i]->d_name[0] != '.')
			printf("# left in limbo: %s\n", list[i]->d_name);
		free(list[i]);
	}
	if (n >= 0)
		free(list);
	return n == 2;
}

static bool test_each(unsigned n)
{
	bool good = true;

	begin();
	attach(0);
	for (unsigned i = 0; good && i < n; i++) {
		ops(1);
		stream(1);
		good = equal("after each record") && quiet_and_synced();
	}
	apply_close(a);
	return good;
}

static bool test_batch(unsigned n)
{
	bool good = true;

	begin();
	attach(0);
	for (unsigned i = 0; good && i < n; i++) {
		ops(1 + rnd(60));
		stream(1 + rnd(30));
		good = equal("after batches") && quiet_and_synced();
	}
	apply_close(a);
	return good;
}

static bool test_lose(unsigned n)
{
	bool good;

	begin();
	attach(0);
	apply_close(a);
	losing = true;
	good = test_batch(n);
	printf("# lost its peer %u times\n", losses);
	return good && losses;
}

/* One life of the applier; killed after at most us microseconds. */
static bool life(unsigned us)
{
	struct itimerval t = { .it_value = { .tv_usec = us } };
	struct apply_stats s;
	pid_t pid = fork();
	int status;

	if (!pid) {
		srand(seed + us);
		signal(SIGALRM, SIG_DFL);
		setitimer(ITIMER_REAL, &t, NULL);
		begin();
		attach(0);
		stream(1 + rnd(30));
		apply_stats(a, &s);
		apply_close(a);
		_exit(s.surprises ? 3 : 0);
	}
	waitpid(pid, &status, 0);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 3) {
		printf("# seed %u: what a kill has cut is not known to be redone\n", seed);
		exit(1);
	}
	if (WIFEXITED(status) && WEXITSTATUS(status))
		exit(2);
	if (WIFSIGNALED(status) && WTERMSIG(status) != SIGALRM) {
		printf("Bail out! seed %u: died of signal %d\n", seed,
		       WTERMSIG(status));
		exit(2);
	}
	return WIFEXITED(status);
}

static bool test_kill(unsigned n)
{
	unsigned kills = 0;
	bool good = true;

	for (unsigned i = 0; good && i < n; i++) {
		unsigned us = 200;

		if (rnd(2))
			ops(1 + rnd(60));
		while (!life(us + rnd(4000))) {
			us += us / 8;
			kills++;
			if (!rnd(3))
				ops(1 + rnd(5));
		}
		good = equal("after kills") && limbo_empty();
	}
	printf("# %u kills\n", kills);
	return good;
}

static void wipe(bool tree)
{
	char cmd[4096];

	snprintf(cmd, sizeof(cmd), "rm -rf '%s'", state_path);
	need("rm", system(cmd) ? -EIO : 0);
	if (!tree)
		return;
	snprintf(cmd, sizeof(cmd), "chattr -R -i -a '%s' 2>/dev/null; "
		 "find '%s' -mindepth 1 -maxdepth 1 ! -name lost+found "
		 "-exec rm -rf {} +", dst_path, dst_path);
	need("rm", system(cmd) ? -EIO : 0);
}

static bool test_fill(unsigned n)
{
	bool good = true;

	for (unsigned i = 0; good && i < n; i++) {
		wipe(!rnd(4));
		ops(rnd(60));
		begin();
		attach(rnd(60));
		stream(1 + rnd(30));
		good = equal("after a fill");
		ops(10);
		stream(1);
		good &= equal("after a fill and more") && limbo_empty();
		apply_close(a);
	}
	return good;
}

static bool test_fillkill(unsigned n)
{
	bool good = true;

	for (unsigned i = 0; good && i < n; i++) {
		wipe(!rnd(4));
		good = test_kill(1);
	}
	return good;
}

static bool test_reuse(void)
{
	wipe(true);
	ops(300);
	begin();
	attach(0);
	apply_close(a);
	printf("# first fill: %llu bytes\n", (unsigned long long)bytes_sent);
	wipe(false);
	bytes_sent = 0;
	begin();
	attach(0);
	stream(10);
	apply_close(a);
	printf("# second fill: %llu bytes, %llu files the same\n",
	       (unsigned long long)bytes_sent, (unsigned long long)files_same);
	return equal("after reuse") && !bytes_sent && files_same;
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static double cpu(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return u.ru_utime.tv_sec + u.ru_stime.tv_sec +
	       (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static bool test_bench(unsigned n)
{
	struct apply_stats s;
	char path[64];
	double t, used;

	begin();
	attach(0);
	for (unsigned i = 0; i < n; i++) {
		struct rec_arg c = { .op = REC_CREATE, .path = path,
				     .mode = 0644 };
		struct rec_arg w = { .op = REC_WRITE, .path = path,
				     .value = "hello world", .len = 11 };

		snprintf(path, sizeof(path), "d%u", i / 1000);
		if (!(i % 1000))
			need("mkdir", do_op(&(struct rec_arg){
				.op = REC_MKDIR, .path = path, .mode = 0755 }));
		snprintf(path, sizeof(path), "d%u/f%u", i / 1000, i);
		need("create", do_op(&c));
		need("write", do_op(&w));
	}
	used = cpu();
	t = now();
	for (uint64_t from = 0; from < tip; from += 1000)
		send_batch(from, from + 1000 < tip ? from + 1000 : tip);
	t = now() - t;
	used = cpu() - used;
	apply_stats(a, &s);
	printf("# %u files, %llu records in %.3f s: %.1f us a file (%.1f of "
	       "CPU, the source's reads included), %.0f records/s\n", n,
	       (unsigned long long)s.records, t, t / n * 1e6, used / n * 1e6,
	       s.records / t);
	apply_close(a);
	return true;
}

int main(int argc, char **argv)
{
	const char *mode = argc > 4 ? argv[4] : "";
	unsigned n = argc > 5 ? atoi(argv[5]) : 1;
	bool good = false;

	if (argc < 7) {
		fprintf(stderr, "usage: applytest SRC DST STATE MODE N SEED\n");
		return 2;
	}
	log_init("applytest", LOG_L_WARN);
	src_path = argv[1];
	dst_path = argv[2];
	state_path = argv[3];
	seed = atoi(argv[6]);
	swap_two = argc > 7 && !strcmp(argv[7], "--break");
	unguarded = argc > 7 && !strcmp(argv[7], "--unguarded");
	watch = reopen = !strcmp(mode, "batch");
	srand(seed);
	umask(0);
	need(src_path, rec_init(&src, src_path));
	if (!strcmp(mode, "each"))
		good = test_each(n);
	else if (!strcmp(mode, "batch"))
		good = test_batch(n);
	else if (!strcmp(mode, "lose"))
		good = test_lose(n);
	else if (!strcmp(mode, "kill"))
		good = test_kill(n);
	else if (!strcmp(mode, "fill"))
		good = test_fill(n);
	else if (!strcmp(mode, "fillkill"))
		good = test_fillkill(n);
	else if (!strcmp(mode, "reuse"))
		good = test_reuse();
	else if (!strcmp(mode, "bench"))
		good = test_bench(n);
	printf("# %llu records, %llu hollow, %llu names withheld\n",
	       (unsigned long long)tip, (unsigned long long)hollows,
	       (unsigned long long)withhelds);
	rec_done(&src);
	return good ? 0 : 1;
}
