// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * index.c: see index.h. Table "names": FID -> {parent FID, the parent's turn, name},
 * sorted duplicates, one for each name. Table "turns": how often a directory was
 * expelled, if ever; a name of an earlier turn counts no more. Table "meta": the
 * mark.
 *
 * Commits are not synced: a killed lento loses nothing (page cache), and after
 * a reboot capture cannot be adopted and the index is built anew by a walk.
 */
#include "lento/index.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <lmdb.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "lib/cleanup.h"
#include "lib/codec.h"
#include "lib/log.h"

#define INDEX_MAP_BYTES	(64ULL << 30)
#define FLUSH_OBJECTS	16384

struct index {
	MDB_env *env;
	MDB_dbi names, turns, meta;
	MDB_txn *txn;			/* the writer's, NULL between changes */
	struct izo_fid root;
	char *const *exclude;		/* borrowed */
	size_t nexclude;
};

/* Key and value as they lie in the table. */
struct index_key {
	uint64_t ino, subvol;
	uint32_t gen;
} __attribute__((packed));

struct index_value {
	struct index_key dir;
	uint32_t turn;
	char name[IZO_NAME_MAX];
} __attribute__((packed));
#define VALUE_HEAD	offsetof(struct index_value, name)

static int mdb_errno(int e)
{
	if (e == 0 || e == MDB_NOTFOUND)
		return e ? -ENOENT : 0;
	log_err("index: %s", mdb_strerror(e));
	return e == MDB_MAP_FULL ? -ENOSPC : e > 0 ? -e : -EIO;
}

static struct index_key key_of(const struct izo_fid *f)
{
	return (struct index_key){ f->ino, f->subvol, f->gen };
}

static struct izo_fid fid_of_key(const struct index_key *k)
{
	return (struct izo_fid){ .ino = k->ino, .subvol = k->subvol, .gen = k->gen };
}

static int writer(struct index *x)
{
	return x->txn ? 0 : mdb_errno(mdb_txn_begin(x->env, NULL, 0, &x->txn));
}

static int open_tables(struct index *x)
{
	int e = writer(x);

	if (e)
		return e;
	e = mdb_dbi_open(x->txn, "names", MDB_CREATE | MDB_DUPSORT, &x->names);
	if (!e)
		e = mdb_dbi_open(x->txn, "turns", MDB_CREATE, &x->turns);
	if (!e)
		e = mdb_dbi_open(x->txn, "meta", MDB_CREATE, &x->meta);
	if (!e) {
		e = mdb_txn_commit(x->txn);
		x->txn = NULL;
	}
	return mdb_errno(e);
}

int index_open(int dir_fd, const struct izo_fid *root, char *const *exclude,
	       size_t nexclude, struct index **ret)
{
	struct index *x = calloc(1, sizeof(*x));
	char path[64];
	int e;

	if (!x)
		return -ENOMEM;
	x->root = *root;
	x->exclude = exclude;
	x->nexclude = nexclude;
	if (mkdirat(dir_fd, "index", 0700) && errno != EEXIST) {
		e = -errno;
		free(x);
		return e;
	}
	snprintf(path, sizeof(path), "/proc/self/fd/%d/index", dir_fd);
	e = mdb_env_create(&x->env);
	if (!e)
		e = mdb_env_set_maxdbs(x->env, 4);
	if (!e)
		e = mdb_env_set_mapsize(x->env, INDEX_MAP_BYTES);
	if (!e)
		e = mdb_env_open(x->env, path, MDB_NOSYNC | MDB_NOTLS, 0600);
	e = e ? mdb_errno(e) : open_tables(x);
	if (e) {
		index_close(x);
		return e;
	}
	*ret = x;
	return 0;
}

int index_remove(int dir_fd)
{
	static const char *const file[] = { "index/data.mdb", "index/lock.mdb" };

	for (int i = 0; i < 2; i++)
		if (unlinkat(dir_fd, file[i], 0) && errno != ENOENT)
			return -errno;
	return 0;
}

void index_close(struct index *x)
{
	if (!x)
		return;
	if (x->txn)
		mdb_txn_abort(x->txn);
	if (x->env)
		mdb_env_close(x->env);
	free(x);
}

void index_mark_get(struct index *x, struct index_mark *ret)
{
	MDB_val k = { 4, (void *)"mark" }, v;

	memset(ret, 0, sizeof(*ret));
	if (writer(x) == 0 && mdb_get(x->txn, x->meta, &k, &v) == 0 &&
	    v.mv_size == sizeof(*ret))
		memcpy(ret, v.mv_data, sizeof(*ret));
}

int index_commit(struct index *x, const struct index_mark *mark)
{
	MDB_val k = { 4, (void *)"mark" }, v = { sizeof(*mark), (void *)mark };
	int e = writer(x);

	if (e)
		return e;
	e = mdb_put(x->txn, x->meta, &k, &v, 0);
	if (e) {
		mdb_txn_abort(x->txn);
	} else {
		e = mdb_txn_commit(x->txn);
	}
	x->txn = NULL;
	return mdb_errno(e);
}

void index_abort(struct index *x)
{
	if (x->txn)
		mdb_txn_abort(x->txn);
	x->txn = NULL;
}

static int index_clear(struct index *x)
{
	int e = writer(x);

	if (!e)
		e = mdb_errno(mdb_drop(x->txn, x->names, 0));
	if (!e)
		e = mdb_errno(mdb_drop(x->txn, x->turns, 0));
	if (!e)
		e = mdb_errno(mdb_drop(x->txn, x->meta, 0));
	return e;
}

/* 0 for nearly all directories; where that goes for all, nothing is looked up. */
static uint32_t turn_of(struct index *x, MDB_txn *txn, const struct index_key *dir)
{
	MDB_val k = { sizeof(*dir), (void *)dir }, v;
	MDB_stat st;
	uint32_t turn;

	if (mdb_stat(txn, x->turns, &st) || !st.ms_entries ||
	    mdb_get(txn, x->turns, &k, &v) || v.mv_size != sizeof(turn))
		return 0;
	memcpy(&turn, v.mv_data, sizeof(turn));
	return turn;
}

static void value_of(struct index *x, struct index_value *v, MDB_val *ret,
		     const struct izo_fid *dir, const char *name, unsigned len)
{
	assert(len <= IZO_NAME_MAX);
	v->dir = key_of(dir);
	v->turn = turn_of(x, x->txn, &v->dir);
	memcpy(v->name, name, len);
	ret->mv_data = v;
	ret->mv_size = VALUE_HEAD + len;
}

/* Does that entry count? Then the parent it names. */
static bool value_counts(struct index *x, MDB_txn *txn, const MDB_val *v,
			 struct izo_fid *ret)
{
	struct index_value head;

	if (v->mv_size < VALUE_HEAD)
		return false;
	memcpy(&head, v->mv_data, VALUE_HEAD);
	*ret = fid_of_key(&head.dir);
	return head.turn == turn_of(x, txn, &head.dir);
}

int index_add(struct index *x, const struct izo_fid *fid,
	      const struct izo_fid *dir, const char *name, unsigned len)
{
	struct index_key key = key_of(fid);
	struct index_value value;
	MDB_val k = { sizeof(key), &key }, v;
	int e = writer(x);

	if (e)
		return e;
	if (len)		/* a name ends the nameless state */
		index_del(x, fid, dir, "", 0);
	value_of(x, &value, &v, dir, name, len);
	e = mdb_put(x->txn, x->names, &k, &v, MDB_NODUPDATA);
	return e == MDB_KEYEXIST ? 0 : mdb_errno(e);
}

int index_del(struct index *x, const struct izo_fid *fid,
	      const struct izo_fid *dir, const char *name, unsigned len)
{
	struct index_key key = key_of(fid);
	struct index_value value;
	MDB_val k = { sizeof(key), &key }, v;
	int e = writer(x);

	if (e)
		return e;
	value_of(x, &value, &v, dir, name, len);
	e = mdb_del(x->txn, x->names, &k, &v);
	return e == 0 ? 1 : e == MDB_NOTFOUND ? 0 : mdb_errno(e);
}

int index_drop(struct index *x, const struct izo_fid *fid)
{
	struct index_key key = key_of(fid);
	MDB_val k = { sizeof(key), &key };
	int e = writer(x);

	if (e)
		return e;
	e = mdb_del(x->txn, x->names, &k, NULL);
	return e == MDB_NOTFOUND ? 0 : mdb_errno(e);
}

int index_expel(struct index *x, const struct izo_fid *fid)
{
	struct index_key key = key_of(fid);
	MDB_val k = { sizeof(key), &key }, v;
	uint32_t turn;
	int e = writer(x);

	if (e)
		return e;
	turn = turn_of(x, x->txn, &key) + 1;
	v = (MDB_val){ sizeof(turn), &turn };
	return mdb_errno(mdb_put(x->txn, x->turns, &k, &v, 0));
}

static bool has_entry(struct index *x, const struct izo_fid *fid)
{
	struct index_key key = key_of(fid);
	MDB_val k = { sizeof(key), &key }, v;

	return !mdb_get(x->txn, x->names, &k, &v);
}

int index_import(struct index *x, const struct izo_fid *fid, bool is_dir,
		 const struct izo_fid *dir, const char *name, unsigned len)
{
	int e = writer(x);

	/* Its entries are of a time before it left: below it, too. */
	if (!e && has_entry(x, fid) && !index_inside(x, fid)) {
		e = index_drop(x, fid);
		if (!e && is_dir)
			e = index_expel(x, fid);
	}
	return e ? e : index_add(x, fid, dir, name, len);
}

bool index_has_name(struct index *x, const struct izo_fid *fid,
		    const struct izo_fid *dir, const char *name, unsigned len)
{
	struct index_key key = key_of(fid);
	struct index_value value;
	MDB_val k = { sizeof(key), &key }, v;
	MDB_cursor *c;
	bool there;

	if (writer(x) || mdb_cursor_open(x->txn, x->names, &c))
		return false;
	value_of(x, &value, &v, dir, name, len);
	there = mdb_cursor_get(c, &k, &v, MDB_GET_BOTH) == 0;
	mdb_cursor_close(c);
	return there;
}

/* The first entry of fid in txn that counts, where the very first does not. */
static bool next_that_counts(struct index *x, MDB_txn *txn, MDB_val *k, MDB_val *v,
			     struct izo_fid *ret)
{
	MDB_cursor *c;
	bool found = false;
	int e;

	if (mdb_cursor_open(txn, x->names, &c))
		return false;
	for (e = mdb_cursor_get(c, k, v, MDB_SET_KEY); !e && !found;
	     e = found ? 0 : mdb_cursor_get(c, k, v, MDB_NEXT_DUP))
		found = value_counts(x, txn, v, ret);
	mdb_cursor_close(c);
	return found;
}

/* First parent of fid in txn; false: none. */
static bool parent_of(struct index *x, MDB_txn *txn, const struct izo_fid *fid,
		      struct izo_fid *ret, const char **ret_name, unsigned *ret_len)
{
	struct index_key key = key_of(fid);
	MDB_val k = { sizeof(key), &key }, v;

	if (mdb_get(txn, x->names, &k, &v) ||
	    (!value_counts(x, txn, &v, ret) &&
	     !next_that_counts(x, txn, &k, &v, ret)))
		return false;
	if (ret_name) {
		*ret_name = (const char *)v.mv_data + VALUE_HEAD;
		*ret_len = v.mv_size - VALUE_HEAD;
	}
	return true;
}

/* A tree may be of any depth. Only a torn index leads in a circle, which is seen
 * when a later step meets the one that was kept (Brent). */
static bool leads_to_root(struct index *x, MDB_txn *txn, struct izo_fid fid)
{
	struct izo_fid kept = fid;
	uint64_t step = 0, keep_at = 64;

	while (!fid_eq(&fid, &x->root)) {
		if (!parent_of(x, txn, &fid, &fid, NULL, NULL) || fid_eq(&fid, &kept))
			return false;
		if (++step == keep_at) {
			kept = fid;
			keep_at *= 2;
		}
	}
	return true;
}

static bool inside(struct index *x, MDB_txn *txn, const struct izo_fid *fid)
{
	struct index_key key = key_of(fid);
	MDB_val k = { sizeof(key), &key }, v;
	struct izo_fid dir;
	MDB_cursor *c;
	bool in = false;
	int e;

	if (fid_eq(fid, &x->root))
		return true;
	if (mdb_cursor_open(txn, x->names, &c))
		return false;
	for (e = mdb_cursor_get(c, &k, &v, MDB_SET_KEY); !e && !in;
	     e = mdb_cursor_get(c, &k, &v, MDB_NEXT_DUP))
		in = value_counts(x, txn, &v, &dir) && leads_to_root(x, txn, dir);
	mdb_cursor_close(c);
	return in;
}

bool index_inside(struct index *x, const struct izo_fid *fid)
{
	return writer(x) == 0 && inside(x, x->txn, fid);
}

static MDB_txn *reader(struct index *x)
{
	MDB_txn *txn;

	return mdb_txn_begin(x->env, NULL, MDB_RDONLY, &txn) ? NULL : txn;
}

bool index_inside_ro(struct index *x, const struct izo_fid *fid)
{
	MDB_txn *txn = reader(x);
	bool in = txn && inside(x, txn, fid);

	if (txn)
		mdb_txn_abort(txn);
	return in;
}

static void path_in(struct index *x, MDB_txn *txn, struct izo_fid fid, char *ret,
		    size_t size)
{
	char buf[4096];
	size_t at = sizeof(buf) - 1;
	const char *name;
	unsigned len;

	buf[at] = 0;
	while (!fid_eq(&fid, &x->root)) {
		if (!parent_of(x, txn, &fid, &fid, &name, &len) || at < len + 1) {
			snprintf(ret, size, "?%s", buf + at);
			return;
		}
		if (buf[at])
			buf[--at] = '/';
		at -= len;
		memcpy(buf + at, name, len);
	}
	snprintf(ret, size, "%s", buf + at);
}

void index_path(struct index *x, const struct izo_fid *fid, char *ret, size_t size)
{
	MDB_txn *txn = reader(x);

	snprintf(ret, size, "?");
	if (!txn)
		return;
	path_in(x, txn, *fid, ret, size);
	mdb_txn_abort(txn);
}

/* A pattern with '/' is matched against the path below the root, another one
 * against the last name. A '/' at its end says nothing: `cache/` is `cache`. */
static bool pattern_excludes(struct index *x, MDB_txn *txn,
			     const struct izo_fid *dir, const char *name,
			     unsigned len)
{
	char path[4096 + IZO_NAME_MAX + 2], last[IZO_NAME_MAX + 1], p[4096];
	bool have_path = false;

	record_name_str(name, len, last);
	for (size_t i = 0; i < x->nexclude; i++) {
		size_t n = snprintf(p, sizeof(p), "%s", x->exclude[i]);

		while (n > 1 && n < sizeof(p) && p[n - 1] == '/')
			p[--n] = 0;
		if (!strchr(p, '/')) {
			if (fnmatch(p, last, 0) == 0)
				return true;
			continue;
		}
		if (!have_path) {
			path_in(x, txn, *dir, path, 4096);
			n = strlen(path);
			snprintf(path + n, sizeof(path) - n, "%s%s",
				 n ? "/" : "", last);
			have_path = true;
		}
		if (fnmatch(p[0] == '/' ? p + 1 : p, path, FNM_PATHNAME) == 0)
			return true;
	}
	return false;
}

static bool is_ours(struct index *x, const struct izo_fid *dir,
		    const char *name, unsigned len)
{
	return fid_eq(dir, &x->root) &&
	       ((len == 11 && !memcmp(name, ".intermezzo", 11)) ||
		(len == 10 && !memcmp(name, "lost+found", 10)));
}

bool index_excluded(struct index *x, const struct izo_fid *dir, const char *name,
		    unsigned len)
{
	return is_ours(x, dir, name, len) ||
	       (x->nexclude && writer(x) == 0 &&
		pattern_excludes(x, x->txn, dir, name, len));
}

bool index_excluded_ro(struct index *x, const struct izo_fid *dir,
		       const char *name, unsigned len)
{
	MDB_txn *txn;
	bool out;

	if (is_ours(x, dir, name, len))
		return true;
	txn = x->nexclude ? reader(x) : NULL;
	if (!txn)
		return false;
	out = pattern_excludes(x, txn, dir, name, len);
	mdb_txn_abort(txn);
	return out;
}

static int walk_entry(struct index *x, const struct fid_mount *m, int fd,
		      const struct izo_fid *dir, const struct dirent *d,
		      struct fid_list *todo, uint64_t *n)
{
	unsigned len = strlen(d->d_name);
	struct izo_fid fid;
	struct stat st;
	bool is_dir;
	int e;

	if (!strcmp(d->d_name, ".") || !strcmp(d->d_name, "..") ||
	    index_excluded(x, dir, d->d_name, len))
		return 0;
	e = fid_of(m, fd, d->d_name, &fid);
	if (e == -ENOENT || e == -ESTALE)
		return 0;
	if (e == -EXDEV || e == -EOPNOTSUPP)	/* what is mounted here */
		return 0;
	if (e)
		return e;
	is_dir = d->d_type == DT_UNKNOWN ?
		 fstatat(fd, d->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		 S_ISDIR(st.st_mode) : d->d_type == DT_DIR;
	e = index_import(x, &fid, is_dir, dir, d->d_name, len);
	if (e)
		return e;
	++*n;
	return is_dir ? fid_push(todo, &fid) : 0;
}

static int walk_dir(struct index *x, const struct fid_mount *m,
		    const struct izo_fid *dir, struct fid_list *todo, uint64_t *n)
{
	int fd = fid_open(m, dir, O_RDONLY | O_DIRECTORY | O_NOATIME), e = 0;
	_cleanup_dir_ DIR *d = NULL;
	struct dirent *ent;

	if (fd < 0)
		return fd == -ESTALE || fd == -ENOENT ? 0 : fd;
	d = fdopendir(fd);
	if (!d) {
		close(fd);
		return -ENOMEM;
	}
	while (!e && (errno = 0, ent = readdir(d)))
		e = walk_entry(x, m, fd, dir, ent, todo, n);
	return e ? e : -errno;
}

/* What was added goes to the disk, so that memory does not follow the tree. */
static int flush(struct index *x)
{
	int e = x->txn ? mdb_txn_commit(x->txn) : 0;

	x->txn = NULL;
	return mdb_errno(e);
}

static int walk(struct index *x, const struct fid_mount *m, const struct izo_fid *fid,
		uint64_t *ret_n, uint64_t flush_each)
{
	struct fid_list todo = { 0 };
	uint64_t flushed = 0;
	int e = fid_push(&todo, fid);

	*ret_n = 0;
	while (!e && todo.n) {
		struct izo_fid dir = todo.fid[--todo.n];

		e = walk_dir(x, m, &dir, &todo, ret_n);
		if (!e && *ret_n - flushed >= flush_each) {
			flushed = *ret_n;
			e = flush(x);
		}
	}
	free(todo.fid);
	return e;
}

int index_walk(struct index *x, const struct fid_mount *m,
	       const struct izo_fid *fid, uint64_t *ret_n)
{
	return walk(x, m, fid, ret_n, UINT64_MAX);
}

int index_build(struct index *x, const struct fid_mount *m, uint64_t *ret_n)
{
	int e = index_clear(x);

	return e ? e : walk(x, m, &x->root, ret_n, FLUSH_OBJECTS);
}
