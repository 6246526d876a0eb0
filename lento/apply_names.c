// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * apply_names.c: records that make, move and remove names. A name is looked at
 * before it is touched and compared by identity; what is as the record leaves
 * it is success. After a crash or a fill the tree may be ahead of the records:
 *
 *   make  X at d/n   X there: done. Y there: Y moves to limbo. X comes out of
 *                    stage or limbo, or a file gets one more link. A directory
 *                    that stands elsewhere is ahead: a later record moved it.
 *   remove X at d/n  not X: done. If the record says that X has further names
 *                    and this is its last here, X waits in limbo.
 *   move  X          both together.
 *
 * Every X thus follows its own records again from the first that matches, and
 * arrives where the last one leaves it.
 */
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include "lento/apply_inner.h"
#include "lib/cleanup.h"

static int look(struct apply *a, struct at *at, const struct izo_fid *local)
{
	int r = fid_of(&a->mount, at->dir, at->name, &at->found);

	at->here = HERE_NONE;
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return r;
	at->here = local && fid_eq(&at->found, local) ? HERE_THIS : HERE_OTHER;
	return 0;
}

int at_open(struct apply *a, const struct izo_fid *dir, const char *name,
	    unsigned len, const struct izo_fid *local, struct at *ret)
{
	*ret = (struct at){ .dir = obj_dir(a, dir) };
	record_name_str(name, len, ret->name);
	if (ret->dir == -ENOENT || ret->dir == -ESTALE)
		return 0;
	return ret->dir < 0 ? ret->dir : look(a, ret, local);
}

/* The last name of peer is gone, on the source and here. */
static int forget(struct apply *a, const struct izo_fid *peer)
{
	char name[STAGE_NAME_MAX];
	int r;

	if (hollow_shows(a->hollow, peer))
		return 0;
	if (a->stage.limbo_used) {
		stage_name(peer, name);
		unlinkat(a->stage.limbo, name, 0);
		unlinkat(a->stage.dir, name, 0);
	}
	dircache_drop(a, peer);
	r = fidmap_del(a->map, peer);
	return r == -ENOENT ? 0 : r;
}

int names_settle(struct apply *a, const struct izo_fid *peer, unsigned nlink)
{
	struct fidmap_entry e;

	if (!nlink)
		return forget(a, peer);
	if (nlink != HOLLOW_NLINK_LOOK || fidmap_get(a->map, peer, &e))
		return 0;
	return obj_alive(a, &e) ? 0 : forget(a, peer);
}

/* Removes the name at; it is that of the object with entry e. */
static int drop(struct apply *a, const struct izo_fid *peer,
		const struct fidmap_entry *e, const struct at *at,
		unsigned nlink)
{
	int r;

	if (e->type == S_IFDIR) {
		r = mutate_unlink(&a->stage, at->dir, at->name, AT_REMOVEDIR);
		if (r != -ENOTEMPTY && r != -EEXIST)
			return r;
		surprise(a, NULL, "a directory to be removed is not empty");
		return names_aside(a, at->dir, at->name, peer);
	}
	if (nlink && apply_calm(a))
		return names_aside(a, at->dir, at->name, peer);
	return mutate_unlink(&a->stage, at->dir, at->name, 0);
}

static int build(struct apply *a, const struct izo_record *r,
		 struct fidmap_entry *ret)
{
	struct fidmap_entry e = {
		.type = r->attr.mode & S_IFMT, .fill = a->meta.fill,
		.flags = r->kind == IZO_TMPFILE ? FIDMAP_STAGED : 0,
	};
	int err = stage_build(&a->stage, r, fidtab_get(&a->fresh, &r->obj),
			      &e.local);

	if (!err)
		err = fidmap_put(a->map, &r->obj, &e);
	if (!err && ret)
		*ret = e;
	return err;
}

static bool cannot_hold(int error)
{
	return error == -EINVAL || error == -EPERM || error == -EFBIG ||
	       error == -EOPNOTSUPP || error == -ENAMETOOLONG || error == -EOVERFLOW;
}

/* This filesystem cannot hold what r makes. If it is gone on the source by now, its
 * records are none of ours until the one that says so. */
static int gone_by_now(struct apply *a, const struct izo_record *r)
{
	int err = fill_fetch(a, &r->obj);

	return err == -ENOENT ? hollow_add(a->hollow, &r->obj) : err;
}

int names_prepare(struct apply *a, const struct izo_record *r)
{
	struct fidmap_entry e;
	int err;

	switch (r->kind) {
	case IZO_CREATE:
	case IZO_MKDIR:
	case IZO_MKNOD:
	case IZO_SYMLINK:
	case IZO_TMPFILE:
		break;
	default:
		return 0;
	}
	if (hollow_has(a->hollow, &r->obj))
		return 0;
	err = fidmap_get(a->map, &r->obj, &e);
	if (err == -ENOENT || (!err && !obj_alive(a, &e))) {
		dircache_drop(a, &r->obj);
		err = build(a, r, NULL);
		return cannot_hold(err) ? gone_by_now(a, r) : err;
	}
	return err;
}

/* The object of a record that gives it a name: from the map, or fetched. */
static int need(struct apply *a, const struct izo_record *r,
		struct fidmap_entry *ret)
{
	int err = fidmap_get(a->map, &r->obj, ret);

	if (!err && !(ret->flags & FIDMAP_PARTIAL) && obj_alive(a, ret))
		return 0;
	if (err && err != -ENOENT)
		return err;
	/* A TMPFILE of before the fill has its first name now: no surprise. */
	if (r->kind != IZO_IMPORT && !(r->kind == IZO_LINK &&
				       r->attr.nlink == 1))
		surprise(a, r, "the object is not known here: fetching it");
	err = fill_fetch(a, &r->obj);
	return err ? err : fidmap_get(a->map, &r->obj, ret);
}

/* Ahead, the directory went by a later record. Otherwise somebody has changed
 * this tree: it must be compared. */
static int lost_dir(struct apply *a, const struct izo_record *r)
{
	int err;

	if (apply_calm(a))
		return 0;
	surprise(a, r, "the directory is not known here: the tree is compared");
	a->meta.resync = 1;
	err = meta_put(a);
	if (!err)
		err = fidmap_commit(a->map);
	return err ? err : -EUCLEAN;
}

static int do_create(struct apply *a, const struct izo_record *r)
{
	struct fidmap_entry e;
	char name[IZO_NAME_MAX + 1];
	int dir = obj_dir(a, &r->dir), err;

	if (dir == -ENOENT || dir == -ESTALE)
		return lost_dir(a, r);
	if (dir < 0)
		return dir;
	record_name_str(record_name(r), r->name_len, name);
	err = place_staged(a, &r->obj, a->stage.dir, dir, name);
	if (err != -ENOENT && err != -EEXIST)
		return err;
	err = fidmap_get(a->map, &r->obj, &e);
	if (!err)
		err = names_place(a, &r->obj, &e, dir, name, false);
	if (err == -ESTALE || err == -ENOENT) {
		err = build(a, r, &e);
		if (!err)
			err = names_place(a, &r->obj, &e, dir, name, false);
	}
	return err;
}

/* LINK and IMPORT. */
static int do_link(struct apply *a, const struct izo_record *r)
{
	struct fidmap_entry e;
	struct at at;
	int err = need(a, r, &e);

	if (err == -ENOENT)
		return 0;
	if (!err)
		err = at_open(a, &r->dir, record_name(r), r->name_len, &e.local,
			      &at);
	if (err)
		return err;
	if (at.dir < 0)
		return lost_dir(a, r);
	if (at.here == HERE_NONE && e.type != S_IFDIR &&
	    !(e.flags & FIDMAP_STAGED) && !a->stage.limbo_used)
		return place_link(a, &e, at.dir, at.name);
	return names_place(a, &r->obj, &e, at.dir, at.name,
			   r->kind == IZO_IMPORT && !apply_calm(a));
}

static int do_remove(struct apply *a, const struct izo_record *r)
{
	struct fidmap_entry e;
	int known = fidmap_get(a->map, &r->obj, &e), err;
	struct at at;

	if (known && known != -ENOENT)
		return known;
	err = at_open(a, &r->dir, record_name(r), r->name_len,
		      known ? NULL : &e.local, &at);
	if (err)
		return err;
	if (at.dir >= 0 && at.here == HERE_THIS) {
		err = drop(a, &r->obj, &e, &at, r->attr.nlink);
		at.here = HERE_NONE;
	} else {
		surprise(a, r, "the name is not that object's");
	}
	if (!err && !known)
		err = names_settle(a, &r->obj, r->kind == IZO_RMDIR ? 0 :
			     r->attr.nlink);
	return err;
}

static int expel(struct apply *a, const struct izo_record *r)
{
	struct fidmap_entry e;
	char name[STAGE_NAME_MAX];
	struct at at;
	int err = fidmap_get(a->map, &r->obj, &e);

	if (err == -ENOENT)
		return 0;
	if (!err)
		err = at_open(a, &r->dir, record_name(r), r->name_len, &e.local,
			      &at);
	if (err || at.dir < 0 || at.here != HERE_THIS)
		return err;
	if (e.type != S_IFDIR) {
		err = drop(a, &r->obj, &e, &at, 0);
		return err ? err : names_settle(a, &r->obj, HOLLOW_NLINK_LOOK);
	}
	stage_name(&r->obj, name);
	err = names_aside(a, at.dir, at.name, &r->obj);
	return err ? err : stage_delete(&a->stage, a->stage.limbo, name, obj_gone, a);
}

/* A subtree or a link left the fileset. The subtree may be unknown here, when it had
 * left again before it could be fetched; what was hollow in it goes all the same. */
static int do_expel(struct apply *a, const struct izo_record *r)
{
	int err = expel(a, r);

	if (!err && r->flags & IZO_F_TREE)
		hollow_prune(a->hollow, obj_known, a);
	return err;
}

struct move {
	const struct izo_record *r;
	struct fidmap_entry obj, victim;
	bool has_victim;
	struct at from, to;
};

static bool to_is_victim(const struct move *m)
{
	return m->to.here == HERE_OTHER && m->has_victim &&
	       fid_eq(&m->to.found, &m->victim.local);
}

static int clear_target(struct apply *a, const struct move *m)
{
	if (m->to.here != HERE_OTHER)
		return 0;
	if (to_is_victim(m))
		return drop(a, &m->r->victim, &m->victim, &m->to,
			    m->r->victim_nlink);
	surprise(a, m->r, "the new name is held by another object");
	return names_evict(a, m->to.dir, m->to.name);
}

static int move_slow(struct apply *a, struct move *m)
{
	bool here = m->from.dir >= 0 && m->from.here == HERE_THIS;
	bool same = here && m->to.dir >= 0 && m->to.here == HERE_THIS;
	int err;

	if (!here)
		surprise(a, m->r, "the old name is not that object's");
	if (m->to.dir < 0) {		/* ahead: a later record removed it */
		surprise(a, m->r, "the directory is not known here");
		return here ? names_aside(a, m->from.dir, m->from.name,
					  &m->r->obj) : 0;
	}
	if (same)			/* two links: rename(2) would do nothing */
		return mutate_unlink(&a->stage, m->from.dir, m->from.name, 0);
	err = clear_target(a, m);
	if (err || m->to.here == HERE_THIS)
		return err;
	if (here) {
		err = mutate_rename(&a->stage, m->from.dir, m->from.name,
				    m->to.dir, m->to.name, 0);
		return err == -EINVAL && apply_calm(a) ? 0 : err;
	}
	return names_place(a, &m->r->obj, &m->obj, m->to.dir, m->to.name,
			   false);
}

static int do_move(struct apply *a, struct move *m)
{
	const struct izo_record *r = m->r;
	int err;

	if (m->from.dir >= 0 && m->to.dir >= 0 && m->from.here == HERE_THIS &&
	    (m->to.here == HERE_NONE ||
	     (to_is_victim(m) && !(r->victim_nlink && apply_calm(a)) &&
	      m->victim.type == m->obj.type))) {
		err = mutate_rename(&a->stage, m->from.dir, m->from.name,
				    m->to.dir, m->to.name, 0);
		if (err != -ENOTEMPTY && err != -EEXIST && err != -EINVAL)
			return err;
	}
	return move_slow(a, m);
}

static int open_move(struct apply *a, struct move *m, bool known)
{
	const struct izo_record *r = m->r;
	int err = fid_none(&r->victim) ? -ENOENT :
		  fidmap_get(a->map, &r->victim, &m->victim);

	if (err && err != -ENOENT)
		return err;
	m->has_victim = !err;
	err = at_open(a, &r->dir, record_name(r), r->name_len,
		      known ? &m->obj.local : NULL, &m->from);
	if (!err)
		err = at_open(a, &r->dir2, record_name2(r), r->name2_len,
			      known ? &m->obj.local : NULL, &m->to);
	return err;
}

/* X cannot be had any more: what it replaced goes all the same. */
static int move_gone(struct apply *a, struct move *m)
{
	if (m->to.dir >= 0 && to_is_victim(m))
		return drop(a, &m->r->victim, &m->victim, &m->to,
			    m->r->victim_nlink);
	return 0;
}

static int do_rename(struct apply *a, const struct izo_record *r)
{
	struct move m = { .r = r };
	int known = fidmap_get(a->map, &r->obj, &m.obj), err;

	if (known && known != -ENOENT)
		return known;
	err = open_move(a, &m, !known);
	if (err)
		return err;
	if (known || (m.from.here != HERE_THIS && m.to.here != HERE_THIS)) {
		known = need(a, r, &m.obj);
		if (known && known != -ENOENT)
			return known;
		err = open_move(a, &m, !known);
	}
	if (!err)
		err = known ? move_gone(a, &m) : do_move(a, &m);
	if (!err && m.has_victim && !(r->op_flags & RENAME_EXCHANGE))
		err = names_settle(a, &r->victim, r->victim_nlink);
	return err;
}

/* Brings one side of an exchange that is not as expected to its new name. */
static int exchange_side(struct apply *a, const struct izo_fid *peer,
			 struct fidmap_entry *e, struct at *to)
{
	return to->dir < 0 ? 0 :
	       names_place(a, peer, e, to->dir, to->name, false);
}

/* Both leave their old names first; one that is gone is left out. */
static int exchange_slow(struct apply *a, struct move *m, bool has_obj)
{
	int err = 0;

	if (has_obj && m->from.dir >= 0 && m->from.here == HERE_THIS)
		err = names_aside(a, m->from.dir, m->from.name, &m->r->obj);
	if (!err && m->to.dir >= 0 && to_is_victim(m))
		err = names_aside(a, m->to.dir, m->to.name, &m->r->victim);
	if (!err && has_obj)
		err = exchange_side(a, &m->r->obj, &m->obj, &m->to);
	if (!err && m->has_victim)
		err = exchange_side(a, &m->r->victim, &m->victim, &m->from);
	return err;
}

static int do_exchange(struct apply *a, const struct izo_record *r)
{
	struct move m = { .r = r };
	struct izo_record other = *r;
	int known, err;

	other.obj = r->victim;
	known = need(a, r, &m.obj);
	err = known && known != -ENOENT ? known : need(a, &other, &m.victim);
	if (err && err != -ENOENT)
		return err;
	m.has_victim = !err;
	err = at_open(a, &r->dir, record_name(r), r->name_len,
		      known ? NULL : &m.obj.local, &m.from);
	if (!err)
		err = at_open(a, &r->dir2, record_name2(r), r->name2_len,
			      known ? NULL : &m.obj.local, &m.to);
	if (err)
		return err;
	if (!known && m.from.dir >= 0 && m.to.dir >= 0 &&
	    m.from.here == HERE_THIS && to_is_victim(&m))
		return mutate_rename(&a->stage, m.from.dir, m.from.name,
				     m.to.dir, m.to.name, RENAME_EXCHANGE);
	if (m.has_victim && m.to.here == HERE_THIS &&
	    m.from.here == HERE_OTHER &&
	    fid_eq(&m.from.found, &m.victim.local))
		return 0;
	surprise(a, r, "the names to be exchanged are not as expected");
	return exchange_slow(a, &m, !known);
}

/* A nameless file is closed for good. */
static int do_close(struct apply *a, const struct izo_record *r)
{
	char name[STAGE_NAME_MAX];
	struct fidmap_entry e;
	int err;

	if (r->attr.nlink || !(r->op_flags & IZO_CLOSE_LAST))
		return 0;
	err = fidmap_get(a->map, &r->obj, &e);
	if (err || !(e.flags & FIDMAP_STAGED))
		return err == -ENOENT ? 0 : err;
	stage_name(&r->obj, name);
	unlinkat(a->stage.dir, name, 0);
	return forget(a, &r->obj);
}

int names_apply(struct apply *a, const struct izo_record *r)
{
	switch (r->kind) {
	case IZO_CREATE:
	case IZO_MKDIR:
	case IZO_MKNOD:
	case IZO_SYMLINK:
		return do_create(a, r);
	case IZO_LINK:
	case IZO_IMPORT:
		return do_link(a, r);
	case IZO_UNLINK:
	case IZO_RMDIR:
		return do_remove(a, r);
	case IZO_EXPEL:
		return do_expel(a, r);
	case IZO_RENAME:
		return r->op_flags & RENAME_EXCHANGE ? do_exchange(a, r) :
		       do_rename(a, r);
	case IZO_CLOSE:
		return do_close(a, r);
	}
	return 0;			/* TMPFILE: it is in stage */
}
