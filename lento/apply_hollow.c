// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * apply_hollow.c: files that must not be seen, on the tree. Enters: their FIDs
 * and the names at which they stand as a batch begins. Leaves: these names free,
 * and a table (hollow.h) by which the records of the batch are changed. What
 * must always hold: a name is freed only while that very file stands there; the
 * intent is on record before, so that a crash in between is redone.
 */
#include <string.h>
#include <sys/stat.h>
#include "lento/apply_inner.h"
#include "lib/cleanup.h"

int apply_hollow(struct apply *a, const struct izo_fid *fids, unsigned n)
{
	int r = 0;

	for (unsigned i = 0; !r && i < n; i++) {
		char name[STAGE_NAME_MAX];

		r = hollow_add(a->hollow, &fids[i]);
		/* Without a name yet (O_TMPFILE): it may never get one. */
		stage_name(&fids[i], name);
		if (!r && !unlinkat(a->stage.dir, name, 0))
			r = fidmap_del(a->map, &fids[i]);
		if (r == -ENOENT)
			r = 0;
	}
	return or_refuse(a, r);
}

/* The directory's time will be set at the batch's end: to what a record says,
 * or to what it is now. */
static int keep_time(struct apply *a, const struct izo_fid *peer, int dir)
{
	struct fidtab_item *it;
	struct stat st;

	if (fidtab_get(&a->dir_times, peer))
		return 0;
	if (fstat(dir, &st) < 0)
		return -errno;
	it = fidtab_put(&a->dir_times, peer);
	if (!it)
		return -ENOMEM;
	it->time.sec = st.st_mtim.tv_sec;
	it->time.nsec = st.st_mtim.tv_nsec;
	return 0;
}

/* Frees the name at, where hollow peer stands. */
static int free_name(struct apply *a, const struct izo_fid *peer,
		     const struct izo_fid *dir, const struct at *at)
{
	int err = keep_time(a, dir, at->dir);

	if (!err)
		err = mutate_unlink(&a->stage, at->dir, at->name, 0);
	return err ? err : names_settle(a, peer, HOLLOW_NLINK_LOOK);
}

static int withhold(struct apply *a, const struct izo_record *r)
{
	struct fidmap_entry e;
	int known = fidmap_get(a->map, &r->obj, &e), err;
	struct at at;

	if (known && known != -ENOENT)
		return known;
	if (!known && e.type != S_IFREG)
		return -EBADMSG;
	err = hollow_withhold(a->hollow, &r->obj, &r->dir, record_name(r),
			      r->name_len);
	if (err)		/* > 0: of an earlier batch, and free already */
		return err < 0 ? err : 0;
	err = at_open(a, &r->dir, record_name(r), r->name_len,
		      known ? NULL : &e.local, &at);
	if (err || at.dir < 0 || at.here != HERE_THIS)
		return err;
	return free_name(a, &r->obj, &r->dir, &at);
}

int apply_withhold(struct apply *a, const void *record, size_t bytes)
{
	const struct izo_record *r;
	int err;

	if (!a->in_batch)
		return -EPROTO;
	err = record_check(record, bytes, &r, NULL);
	if (err || r->len != bytes || r->kind != IZO_UNLINK ||
	    !hollow_has(a->hollow, &r->obj))
		return -EBADMSG;
	err = batch_intent(a);
	return or_refuse(a, err ? err : withhold(a, r));
}

static int hollow_at(struct apply *a, const struct izo_fid *peer,
		     const struct izo_fid *dir, const char *name, unsigned len)
{
	struct fidmap_entry e;
	struct at at;
	int r;

	if (!hollow_has(a->hollow, peer))
		return 0;
	r = fidmap_get(a->map, peer, &e);
	if (r)
		return r == -ENOENT ? 0 : r;
	r = at_open(a, dir, name, len, &e.local, &at);
	if (r || at.dir < 0 || at.here != HERE_THIS)
		return r;
	hollow_freed(a->hollow, peer, dir, name, len);
	return free_name(a, peer, dir, &at);
}

int names_hollow(struct apply *a, const struct izo_record *r)
{
	int err;

	if (hollow_empty(a->hollow) || !names_has(r))
		return 0;
	if (r->kind != IZO_RENAME)
		return hollow_at(a, &r->obj, &r->dir, record_name(r),
				 r->name_len);
	err = hollow_at(a, &r->obj, &r->dir2, record_name2(r), r->name2_len);
	if (!err && r->op_flags & RENAME_EXCHANGE)
		err = hollow_at(a, &r->victim, &r->dir, record_name(r),
				r->name_len);
	return err;
}
