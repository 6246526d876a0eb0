// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * scope.c: see scope.h. `in` below means: inside the fileset, not excluded.
 */
#include "lento/scope.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include "lib/cleanup.h"
#include "lib/codec.h"

static bool name_in(struct scope *s, const struct izo_fid *dir, const char *name,
		    unsigned len)
{
	return index_inside(s->index, dir) &&
	       !index_excluded(s->index, dir, name, len);
}

static int note_rename(struct index *x, const struct izo_record *r)
{
	bool exchange = r->op_flags & RENAME_EXCHANGE;
	int e;

	if (!fid_none(&r->victim)) {
		e = index_del(x, &r->victim, &r->dir2, record_name2(r), r->name2_len);
		if (e >= 0 && !exchange && r->victim_nlink == 0)
			e = index_drop(x, &r->victim);
		if (e >= 0 && exchange)
			e = index_add(x, &r->victim, &r->dir, record_name(r),
				      r->name_len);
		if (e < 0)
			return e;
	}
	e = index_del(x, &r->obj, &r->dir, record_name(r), r->name_len);
	if (e < 0)
		return e;
	return index_add(x, &r->obj, &r->dir2, record_name2(r), r->name2_len);
}

static int note_import(struct index *x, const struct fid_mount *m,
		       const struct izo_record *r)
{
	uint64_t n;
	int e = index_import(x, &r->obj, r->flags & IZO_F_TREE, &r->dir,
			     record_name(r), r->name_len);

	if (e || !(r->flags & IZO_F_TREE))
		return e;
	return index_walk(x, m, &r->obj, &n);
}

int scope_note(struct index *x, const struct fid_mount *m,
	       const struct izo_record *r)
{
	int e;

	switch (r->kind) {
	case IZO_CREATE:
	case IZO_MKDIR:
	case IZO_MKNOD:
	case IZO_SYMLINK:
	case IZO_LINK:
	case IZO_TMPFILE:
		return index_add(x, &r->obj, &r->dir, record_name(r), r->name_len);
	case IZO_UNLINK:
	case IZO_RMDIR:
	case IZO_EXPEL:
		e = index_del(x, &r->obj, &r->dir, record_name(r), r->name_len);
		if (e < 0)
			return e;
		if (r->kind == IZO_RMDIR ||
		    (r->kind == IZO_UNLINK && r->attr.nlink == 0))
			return index_drop(x, &r->obj);
		return r->kind == IZO_EXPEL && r->flags & IZO_F_TREE ?
		       index_expel(x, &r->obj) : 0;
	case IZO_RENAME:
		return note_rename(x, r);
	case IZO_IMPORT:
		return note_import(x, m, r);
	default:
		return 0;
	}
}

static int give(struct scope *s, struct izo_record *r)
{
	int e = s->emit(s->ctx, r);

	return e ? e : scope_note(s->index, s->mount, r);
}

static void circumstances(struct izo_record *n, const struct izo_record *r)
{
	n->ring_seq = r->ring_seq;
	n->clock_ns = r->clock_ns;
	n->txn = r->txn;
	n->pid = r->pid;
	n->who = r->who;
	memcpy(n->comm, r->comm, sizeof(n->comm));
}

/* A record of another kind about one name of r, with r's circumstances. */
static int give_as(struct scope *s, const struct izo_record *r, enum izo_kind kind,
		   const struct izo_fid *obj, const struct izo_attr *attr,
		   const struct izo_fid *dir, const struct izo_time *dir_mtime,
		   const char *name, unsigned len)
{
	_cleanup_free_ struct izo_record *n =
		record_new(kind, name, len, NULL, 0, NULL, 0);

	if (!n)
		return -ENOMEM;
	n->obj = *obj;
	n->dir = *dir;
	n->dir_mtime = *dir_mtime;
	n->attr = *attr;
	n->flags = S_ISDIR(attr->mode) ? IZO_F_TREE : 0;
	circumstances(n, r);
	return give(s, n);
}

static int take_link(struct scope *s, struct izo_record *r)
{
	if (!name_in(s, &r->dir, record_name(r), r->name_len))
		return 0;
	if (index_inside(s->index, &r->obj))
		return give(s, r);
	return give_as(s, r, IZO_IMPORT, &r->obj, &r->attr, &r->dir, &r->dir_mtime,
		       record_name(r), r->name_len);
}

/* The access ACL that the open device fd has from its directory, as a TLV: its
 * bytes, 0 for none, -errno. */
static ssize_t acl_tlv(int fd, unsigned char *buf, size_t size)
{
	struct izo_tlv tlv = { .type = IZO_TLV_ACL_ACCESS };
	char path[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = getxattr(path, "system.posix_acl_access", buf + sizeof(tlv),
		     size - sizeof(tlv));
	if (n <= 0)
		return n && errno != ENODATA && errno != EOPNOTSUPP ? -errno : 0;
	tlv.len = n;
	memcpy(buf, &tlv, sizeof(tlv));
	return sizeof(tlv) + n;
}

/* The MKNOD of a whiteout at the first name of r; fd: it, or -1 when it is gone
 * again, and with it what else there was to know. late: it may have got other
 * attributes since, of which nothing was told. */
static int give_whiteout(struct scope *s, const struct izo_record *r,
			 const struct izo_fid *obj, const struct izo_attr *attr,
			 int fd, bool late)
{
	_cleanup_free_ struct izo_record *n = NULL;
	_cleanup_free_ unsigned char *acl = calloc(1, IZO_DATA_MAX);
	ssize_t bytes = 0;

	if (!acl)
		return -ENOMEM;
	if (fd >= 0)
		bytes = late ? -1 : acl_tlv(fd, acl, IZO_DATA_MAX);
	n = record_new(IZO_MKNOD, record_name(r), r->name_len, NULL, 0, acl,
		       bytes < 0 ? 0 : bytes);
	if (!n)
		return -ENOMEM;
	if (bytes < 0)
		n->flags = IZO_F_NAME_CUT;
	n->obj = *obj;
	n->dir = r->dir;
	n->dir_mtime = r->dir_mtime;
	n->attr = *attr;
	circumstances(n, r);
	return give(s, n);
}

/* A whiteout that had left its name before whiteout() looked for it there: r
 * names it, so it was inside, and its directory's times tell of r. */
static int missed_whiteout(struct scope *s, const struct izo_record *r)
{
	_cleanup_fd_ int fd = -1;
	struct izo_attr attr = r->attr;

	if (!S_ISCHR(attr.mode) || attr.rdev || index_inside(s->index, &r->obj) ||
	    !name_in(s, &r->dir, record_name(r), r->name_len))
		return 0;
	attr.nlink = 1;
	fd = fid_open(s->mount, &r->obj, O_PATH);
	return give_whiteout(s, r, &r->obj, &attr, fd, true);
}

/* obj left that name. The name may be unknown: it went before its directory, which
 * came in, was walked through. Somebody may have seen the directory younger than
 * records of before: so the time of this change is told, too. */
static int give_expel(struct scope *s, const struct izo_record *r,
		      const struct izo_attr *attr)
{
	return give_as(s, r, IZO_EXPEL, &r->obj, attr, &r->dir, &r->dir_mtime,
		       record_name(r), r->name_len);
}

/* The last name inside is as good as the last name of all. */
static int take_unlink(struct scope *s, struct izo_record *r)
{
	int e = missed_whiteout(s, r);

	if (e)
		return e;
	if (!index_inside(s->index, &r->dir))
		return 0;
	if (!index_has_name(s->index, &r->obj, &r->dir, record_name(r), r->name_len))
		return name_in(s, &r->dir, record_name(r), r->name_len) ?
		       give_expel(s, r, &r->attr) : 0;
	if (r->kind == IZO_UNLINK && r->attr.nlink) {
		e = index_del(s->index, &r->obj, &r->dir, record_name(r), r->name_len);
		if (e < 0)
			return e;
		if (!index_inside(s->index, &r->obj))
			r->attr.nlink = 0;
	}
	return give(s, r);
}

/* What the name that a rename replaces loses when the new object comes from
 * outside: as if it had been removed first. */
static int remove_victim(struct scope *s, const struct izo_record *r)
{
	_cleanup_free_ struct izo_record *n = NULL;
	bool is_dir = S_ISDIR(r->attr.mode);

	if (fid_none(&r->victim))
		return 0;
	n = record_new(is_dir ? IZO_RMDIR : IZO_UNLINK, record_name2(r),
		       r->name2_len, NULL, 0, NULL, 0);
	if (!n)
		return -ENOMEM;
	n->obj = r->victim;
	n->dir = r->dir2;
	n->dir_mtime = r->dir2_mtime;
	n->attr.nlink = r->victim_nlink;
	n->attr.mode = is_dir ? S_IFDIR : S_IFREG;
	n->ring_seq = r->ring_seq;
	n->clock_ns = r->clock_ns;
	return take_unlink(s, n);
}

static int rename_in(struct scope *s, const struct izo_record *r)
{
	int e = r->op_flags & RENAME_EXCHANGE ? 0 : remove_victim(s, r);

	if (e)
		return e;
	return give_as(s, r, IZO_IMPORT, &r->obj, &r->attr, &r->dir2,
		       &r->dir2_mtime, record_name2(r), r->name2_len);
}

/* Attributes of an object now; of one that is gone: not known to be the last
 * of its names. */
static struct izo_attr attr_now(struct scope *s, const struct izo_fid *fid)
{
	_cleanup_fd_ int fd = fid_open(s->mount, fid, O_PATH);
	struct izo_attr attr = { .nlink = 2 };

	if (fd >= 0)
		fid_attr(fd, &attr);
	return attr;
}

/* EXCHANGE across the border: each side leaves or comes in. */
static int exchange_across(struct scope *s, const struct izo_record *r, bool in,
			   bool in2)
{
	struct izo_attr attr = attr_now(s, &r->victim);
	int e;

	if (in && !in2) {
		e = give_expel(s, r, &r->attr);
		return e ? e : give_as(s, r, IZO_IMPORT, &r->victim, &attr,
				       &r->dir, &r->dir_mtime, record_name(r),
				       r->name_len);
	}
	e = give_as(s, r, IZO_EXPEL, &r->victim, &attr, &r->dir2,
		    &r->dir2_mtime, record_name2(r), r->name2_len);
	return e ? e : rename_in(s, r);
}

/* Reading the directory waits until nobody changes it. */
static void wait_for_lock(int dir_fd)
{
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_NOATIME | O_CLOEXEC);
	_cleanup_dir_ DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (d)
		(void)readdir(d);
	else
		cleanup_fd(&fd);
}

/* What stands at the first name of r, O_PATH, with its FID; or -1. */
static int look_at_name(struct scope *s, int dir, const struct izo_record *r,
			struct izo_fid *ret)
{
	_cleanup_fd_ int fd = -1;
	char name[IZO_NAME_MAX + 1];

	record_name_str(record_name(r), r->name_len, name);
	fd = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fid_of(s->mount, fd, "", ret))
		return -1;
	return take_fd(&fd);
}

/* RENAME_WHITEOUT leaves a character device 0/0 at the old name, for which the
 * kernel makes no record of its own. */
static int whiteout(struct scope *s, const struct izo_record *r)
{
	_cleanup_fd_ int dir = fid_open(s->mount, &r->dir, O_PATH | O_DIRECTORY);
	_cleanup_fd_ int fd = -1;
	struct izo_attr attr;
	struct izo_fid fid;

	if (dir < 0)
		return 0;
	fd = look_at_name(s, dir, r, &fid);
	if (fd >= 0 && fid_eq(&fid, &r->obj)) {
		/* The filesystem has done it, the names in memory (d_move) have not
		 * moved yet. */
		cleanup_fd(&fd);
		wait_for_lock(dir);
		fd = look_at_name(s, dir, r, &fid);
	}
	if (fd < 0 || fid_attr(fd, &attr) || !S_ISCHR(attr.mode) || attr.rdev)
		return 0;	/* gone again: missed_whiteout() sees it go */
	return give_whiteout(s, r, &fid, &attr, fd, false);
}

/* EXCHANGE inside, of which one object is not known yet: both leave and come. */
static int exchange_unknown(struct scope *s, const struct izo_record *r)
{
	struct izo_attr attr = attr_now(s, &r->victim);
	int e = give_expel(s, r, &r->attr);

	if (!e)
		e = give_as(s, r, IZO_EXPEL, &r->victim, &attr, &r->dir2,
			    &r->dir2_mtime, record_name2(r), r->name2_len);
	if (!e)
		e = rename_in(s, r);
	return e ? e : give_as(s, r, IZO_IMPORT, &r->victim, &attr, &r->dir,
			       &r->dir_mtime, record_name(r), r->name_len);
}

static int move_inside(struct scope *s, struct izo_record *r, bool in, bool in2)
{
	bool exchange = r->op_flags & RENAME_EXCHANGE;
	int e = 0;

	if (exchange && in != in2)
		return exchange_across(s, r, in, in2);
	if (!in2)
		return give_expel(s, r, &r->attr);
	if (exchange && !(index_inside(s->index, &r->obj) &&
			  index_inside(s->index, &r->victim)))
		return exchange_unknown(s, r);
	if (!in || !index_inside(s->index, &r->obj)) {
		if (in)
			e = give_expel(s, r, &r->attr);
		return e ? e : rename_in(s, r);
	}
	r->op_flags &= ~RENAME_WHITEOUT;
	return give(s, r);
}

static int take_rename(struct scope *s, struct izo_record *r)
{
	bool in = name_in(s, &r->dir, record_name(r), r->name_len);
	bool in2 = name_in(s, &r->dir2, record_name2(r), r->name2_len);
	bool made_whiteout = r->op_flags & RENAME_WHITEOUT;
	int e = missed_whiteout(s, r);

	if (!e && (in || in2))
		e = move_inside(s, r, in, in2);
	return !e && in && made_whiteout ? whiteout(s, r) : e;
}

int scope_take(struct scope *s, struct izo_record *r)
{
	switch (r->kind) {
	case IZO_CREATE:
	case IZO_MKDIR:
	case IZO_MKNOD:
	case IZO_SYMLINK:
		return name_in(s, &r->dir, record_name(r), r->name_len) ?
		       give(s, r) : 0;
	case IZO_TMPFILE:
		return index_inside(s->index, &r->dir) ? give(s, r) : 0;
	case IZO_LINK:
		return take_link(s, r);
	case IZO_UNLINK:
	case IZO_RMDIR:
		return take_unlink(s, r);
	case IZO_RENAME:
		return take_rename(s, r);
	case IZO_SYNCFS:
		return give(s, r);
	case IZO_RESCAN:
		/* Under its new FID nothing is known of it. */
		if (r->op_flags & IZO_RESCAN_TREE)
			return s->emit(s->ctx, r);
		return index_inside(s->index, &r->obj) ? give(s, r) : 0;
	default:
		return index_inside(s->index, &r->obj) ? give(s, r) : 0;
	}
}
