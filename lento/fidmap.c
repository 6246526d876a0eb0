// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * fidmap.c: the identity map in LMDB. Written through the mapping
 * (MDB_WRITEMAP), so that its pages are page cache and not our memory, and
 * without syncing at commit: a kill loses nothing that was committed. No LMDB
 * locks either: one process, one thread at a time, proved by flock. Errors of
 * LMDB become errno values; its own become -EUCLEAN (damage), -ENOSPC (map
 * full) or -EIO.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include "lento/fidmap.h"
#include "lib/cleanup.h"

#define MAP_BYTES	(16ULL << 30)	/* address space, not disk */

struct fidmap {
	MDB_env *env;
	MDB_txn *txn;		/* NULL: none begun */
	MDB_dbi map, tab[FIDMAP_TABLES];
	int lock_fd;
};

struct value {
	uint64_t ino, subvol;
	uint32_t gen;
	uint16_t type, flags;
	uint32_t fill, zero;
};

static const char *const tab_name[FIDMAP_TABLES] = {
	"meta", "hollow", "virt", "todo", "pend",
};

static int mdb_errno(int e)
{
	if (e >= 0)
		return -e;
	switch (e) {
	case MDB_NOTFOUND:
		return -ENOENT;
	case MDB_MAP_FULL:
		return -ENOSPC;
	case MDB_CORRUPTED:
	case MDB_PAGE_NOTFOUND:
	case MDB_INVALID:
	case MDB_VERSION_MISMATCH:
	case MDB_PANIC:
		return -EUCLEAN;
	}
	return -EIO;
}

void fidmap_key(const struct izo_fid *fid, unsigned char ret[FIDMAP_KEY_BYTES])
{
	uint64_t subvol = htobe64(fid->subvol), ino = htobe64(fid->ino);
	uint32_t gen = htobe32(fid->gen);

	memcpy(ret, &subvol, 8);
	memcpy(ret + 8, &ino, 8);
	memcpy(ret + 16, &gen, 4);
}

void fidmap_unkey(const unsigned char *key, struct izo_fid *ret)
{
	uint64_t subvol, ino;
	uint32_t gen;

	memcpy(&subvol, key, 8);
	memcpy(&ino, key + 8, 8);
	memcpy(&gen, key + 16, 4);
	*ret = (struct izo_fid){ .ino = be64toh(ino), .subvol = be64toh(subvol),
				 .gen = be32toh(gen) };
}

static int begin(struct fidmap *m)
{
	return m->txn ? 0 : mdb_errno(mdb_txn_begin(m->env, NULL, 0, &m->txn));
}

static int open_tables(struct fidmap *m)
{
	int r = begin(m);

	if (r < 0)
		return r;
	r = mdb_dbi_open(m->txn, "map", MDB_CREATE, &m->map);
	for (int i = 0; !r && i < FIDMAP_TABLES; i++)
		r = mdb_dbi_open(m->txn, tab_name[i], MDB_CREATE, &m->tab[i]);
	return r ? mdb_errno(r) : fidmap_commit(m);
}

static int open_env(struct fidmap *m, const char *dir)
{
	int r = mdb_env_create(&m->env);

	if (!r)
		r = mdb_env_set_mapsize(m->env, MAP_BYTES);
	if (!r)
		r = mdb_env_set_maxdbs(m->env, 1 + FIDMAP_TABLES);
	/* No MDB_WRITEMAP: a full disk would be a SIGBUS. */
	if (!r)
		r = mdb_env_open(m->env, dir, MDB_NOSYNC | MDB_NOLOCK |
				 MDB_NORDAHEAD, 0600);
	return r ? mdb_errno(r) : open_tables(m);
}

int fidmap_open(const char *dir, struct fidmap **ret)
{
	struct fidmap *m;
	int r;

	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		return -errno;
	m = calloc(1, sizeof(*m));
	if (!m)
		return -ENOMEM;
	m->lock_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (m->lock_fd < 0)
		r = -errno;
	else if (flock(m->lock_fd, LOCK_EX | LOCK_NB) < 0)
		r = errno == EWOULDBLOCK ? -EBUSY : -errno;
	else
		r = open_env(m, dir);
	if (r < 0) {
		fidmap_close(m);
		return r;
	}
	*ret = m;
	return 0;
}

void fidmap_close(struct fidmap *m)
{
	if (!m)
		return;
	if (m->txn)
		fidmap_commit(m);
	if (m->env)
		mdb_env_close(m->env);
	if (m->lock_fd >= 0)
		close(m->lock_fd);
	free(m);
}

int fidmap_get(struct fidmap *m, const struct izo_fid *peer,
	       struct fidmap_entry *ret)
{
	unsigned char kb[FIDMAP_KEY_BYTES];
	MDB_val k = { sizeof(kb), kb }, v;
	struct value val;
	int r = begin(m);

	if (r < 0)
		return r;
	fidmap_key(peer, kb);
	r = mdb_get(m->txn, m->map, &k, &v);
	if (r)
		return mdb_errno(r);
	if (v.mv_size != sizeof(val))
		return -EUCLEAN;
	memcpy(&val, v.mv_data, sizeof(val));
	*ret = (struct fidmap_entry){
		.local = { .ino = val.ino, .subvol = val.subvol, .gen = val.gen },
		.type = val.type, .flags = val.flags, .fill = val.fill,
	};
	return 0;
}

int fidmap_put(struct fidmap *m, const struct izo_fid *peer,
	       const struct fidmap_entry *e)
{
	unsigned char kb[FIDMAP_KEY_BYTES];
	struct value val = {
		.ino = e->local.ino, .subvol = e->local.subvol,
		.gen = e->local.gen, .type = e->type, .flags = e->flags,
		.fill = e->fill,
	};
	MDB_val k = { sizeof(kb), kb }, v = { sizeof(val), &val };
	int r = begin(m);

	if (r < 0)
		return r;
	fidmap_key(peer, kb);
	return mdb_errno(mdb_put(m->txn, m->map, &k, &v, 0));
}

int fidmap_del(struct fidmap *m, const struct izo_fid *peer)
{
	unsigned char kb[FIDMAP_KEY_BYTES];
	MDB_val k = { sizeof(kb), kb };
	int r = begin(m);

	if (r < 0)
		return r;
	fidmap_key(peer, kb);
	return mdb_errno(mdb_del(m->txn, m->map, &k, NULL));
}

static uint64_t count(struct fidmap *m, MDB_dbi dbi)
{
	MDB_stat st;

	if (begin(m) < 0 || mdb_stat(m->txn, dbi, &st))
		return 0;
	return st.ms_entries;
}

uint64_t fidmap_count(struct fidmap *m)
{
	return count(m, m->map);
}

int fidmap_sweep(struct fidmap *m,
		 bool (*drop)(void *ctx, const struct izo_fid *peer,
			      const struct fidmap_entry *e),
		 void *ctx)
{
	MDB_cursor *c;
	MDB_val k, v;
	int r = begin(m);

	if (r < 0)
		return r;
	r = mdb_cursor_open(m->txn, m->map, &c);
	if (r)
		return mdb_errno(r);
	while (!(r = mdb_cursor_get(c, &k, &v, MDB_NEXT))) {
		struct fidmap_entry e;
		struct izo_fid peer;
		struct value val;

		if (k.mv_size != FIDMAP_KEY_BYTES || v.mv_size != sizeof(val)) {
			r = MDB_CORRUPTED;
			break;
		}
		fidmap_unkey(k.mv_data, &peer);
		memcpy(&val, v.mv_data, sizeof(val));
		e = (struct fidmap_entry){
			.local = { .ino = val.ino, .subvol = val.subvol,
				   .gen = val.gen },
			.type = val.type, .flags = val.flags, .fill = val.fill,
		};
		if (drop(ctx, &peer, &e)) {
			r = mdb_cursor_del(c, 0);
			if (r)
				break;
		}
	}
	mdb_cursor_close(c);
	return r == MDB_NOTFOUND ? 0 : mdb_errno(r);
}

int fidmap_clear(struct fidmap *m)
{
	int r = begin(m);

	if (r < 0)
		return r;
	r = mdb_drop(m->txn, m->map, 0);
	for (int i = 0; !r && i < FIDMAP_TABLES; i++)
		r = mdb_drop(m->txn, m->tab[i], 0);
	return mdb_errno(r);
}

int fidmap_tab_put(struct fidmap *m, enum fidmap_table t, const void *key,
		   size_t key_len, const void *value, size_t value_len)
{
	MDB_val k = { key_len, (void *)key }, v = { value_len, (void *)value };
	int r = begin(m);

	return r < 0 ? r : mdb_errno(mdb_put(m->txn, m->tab[t], &k, &v, 0));
}

int fidmap_tab_del(struct fidmap *m, enum fidmap_table t, const void *key,
		   size_t key_len)
{
	MDB_val k = { key_len, (void *)key };
	int r = begin(m);

	return r < 0 ? r : mdb_errno(mdb_del(m->txn, m->tab[t], &k, NULL));
}

int64_t fidmap_tab_get(struct fidmap *m, enum fidmap_table t, const void *key,
		       size_t key_len, void *ret, size_t size)
{
	MDB_val k = { key_len, (void *)key }, v;
	int r = begin(m);

	if (r < 0)
		return r;
	r = mdb_get(m->txn, m->tab[t], &k, &v);
	if (r)
		return mdb_errno(r);
	memcpy(ret, v.mv_data, v.mv_size < size ? v.mv_size : size);
	return v.mv_size;
}

int fidmap_tab_next(struct fidmap *m, enum fidmap_table t, const void *after,
		    size_t after_len, const void **ret_key, size_t *ret_key_len,
		    const void **ret_value, size_t *ret_len)
{
	MDB_val k = { after_len, (void *)after }, v;
	MDB_cursor *c;
	int r = begin(m);

	if (r < 0)
		return r;
	r = mdb_cursor_open(m->txn, m->tab[t], &c);
	if (r)
		return mdb_errno(r);
	r = mdb_cursor_get(c, &k, &v, after ? MDB_SET_RANGE : MDB_FIRST);
	if (!r && after && k.mv_size == after_len &&
	    !memcmp(k.mv_data, after, after_len))
		r = mdb_cursor_get(c, &k, &v, MDB_NEXT);
	mdb_cursor_close(c);
	if (r)
		return mdb_errno(r);
	*ret_key = k.mv_data;
	*ret_key_len = k.mv_size;
	*ret_value = v.mv_data;
	*ret_len = v.mv_size;
	return 0;
}

int fidmap_tab_clear(struct fidmap *m, enum fidmap_table t)
{
	int r = begin(m);

	return r < 0 ? r : mdb_errno(mdb_drop(m->txn, m->tab[t], 0));
}

uint64_t fidmap_tab_count(struct fidmap *m, enum fidmap_table t)
{
	return count(m, m->tab[t]);
}

int fidmap_commit(struct fidmap *m)
{
	MDB_txn *txn = take_ptr(m->txn);

	return txn ? mdb_errno(mdb_txn_commit(txn)) : 0;
}

int fidmap_sync(struct fidmap *m)
{
	int r = fidmap_commit(m);

	return r < 0 ? r : mdb_errno(mdb_env_sync(m->env, 1));
}
