// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * fill_child.c: one object of a listing, made to stand at its name as the
 * source has it. What is here already is used: an object of the map wherever it
 * stands, or nobody's object of that name and type. The contents of a file are
 * asked for with size and digest of what is here, so that equal ones are not
 * sent. A file that is new is complete before it gets its name.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include "lento/fill.h"
#include "lib/cleanup.h"
#include "lib/digest.h"

#define SEND_ALL	(~0ULL)

static const struct izo_record *entry_of(const void *group)
{
	return group;
}

static int put_done(struct apply *a, const struct izo_fid *peer,
		    struct fidmap_entry *e)
{
	e->fill = a->meta.fill;
	a->fill->uncommitted++;
	a->stats.objects_done++;
	return fidmap_put(a->map, peer, e);
}

/* In the map, alive, and of the type that the source says? */
static bool known(struct apply *a, const struct izo_record *r,
		  struct fidmap_entry *ret)
{
	return !fidmap_get(a->map, &r->obj, ret) &&
	       ret->type == (r->attr.mode & S_IFMT) && obj_alive(a, ret);
}

/* Nobody's object of the same type at that name, O_PATH; or -ENOENT. */
static int nobodys(struct apply *a, int dirfd, const struct izo_record *r,
		   const char *name)
{
	_cleanup_fd_ int fd = openat(dirfd, name, O_PATH | O_NOFOLLOW |
				     O_CLOEXEC);
	struct izo_fid owner;
	struct stat st;
	int err;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	if ((st.st_mode & S_IFMT) != (r->attr.mode & S_IFMT))
		return -ENOENT;
	err = obj_owner(a, fd, &owner);
	if (err != -ENOENT)
		return err ? err : -ENOENT;
	return take_fd(&fd);
}

static bool same_node(int fd, const struct izo_record *r)
{
	char target[IZO_SYMLINK_MAX + 1];
	struct izo_attr attr;
	ssize_t n;

	if (S_ISDIR(r->attr.mode))
		return true;
	if (S_ISLNK(r->attr.mode)) {
		n = readlinkat(fd, "", target, sizeof(target));
		return n == (ssize_t)r->data_len &&
		       !memcmp(target, record_data(r), n);
	}
	return !fid_attr(fd, &attr) && attr.rdev == r->attr.rdev;
}

static int build(struct apply *a, const struct izo_record *r, bool keep_time,
		 struct fidmap_entry *ret)
{
	*ret = (struct fidmap_entry){ .type = r->attr.mode & S_IFMT };
	dircache_drop(a, &r->obj);
	return stage_build(&a->stage, r, keep_time, &ret->local);
}

/* The local object of a directory, link or node: the map's, nobody's, or a new
 * one in stage. */
static int get_node(struct apply *a, int dirfd, const struct izo_record *r,
		    const char *name, struct fidmap_entry *ret)
{
	_cleanup_fd_ int fd = -1;
	int err;

	if (known(a, r, ret))
		return 0;
	fd = nobodys(a, dirfd, r, name);
	if (fd >= 0 && same_node(fd, r))
		return obj_adopt(a, fd, &r->obj, 0, ret);
	if (fd < 0 && fd != -ENOENT)
		return fd;
	err = build(a, r, false, ret);
	return err ? err : fidmap_put(a->map, &r->obj, ret);
}

static int child_dir(struct apply *a, int dirfd, const struct izo_record *r,
		     const char *name)
{
	struct fidmap_entry e;
	int err = get_node(a, dirfd, r, name, &e);

	if (!err)
		err = names_place(a, &r->obj, &e, dirfd, name, true);
	if (err)
		return err;
	/* A fetch lists what it made; a fill what it has not listed yet. */
	return e.fill == a->meta.fill ? 0 : fill_todo(a, &r->obj);
}

static int dress(struct apply *a, const struct fidmap_entry *e,
		 const void *group, size_t bytes, const struct izo_time *atime,
		 const struct izo_time *mtime)
{
	_cleanup_fd_ int fd = fid_open(&a->mount, &e->local, O_PATH);
	int r;

	if (fd < 0)
		return fd;
	r = attrs_group(a, fd, group, bytes);
	if (!r)
		r = attrs_times(a, fd, atime, mtime);
	return r ? r : attrs_group_flags(a, fd, group, bytes);
}

static int child_node(struct apply *a, int dirfd, const void *group,
		      size_t bytes, const char *name)
{
	const struct izo_record *r = entry_of(group);
	struct fidmap_entry e;
	int err = get_node(a, dirfd, r, name, &e);

	if (!err)
		err = dress(a, &e, group, bytes, &r->attr.atime,
			    &r->attr.mtime);
	if (!err)
		err = names_place(a, &r->obj, &e, dirfd, name, true);
	return err ? err : put_done(a, &r->obj, &e);
}

static int digest(int path_fd, uint64_t size, unsigned char ret[16])
{
	_cleanup_fd_ int fd = -1;
	char path[32];

	fd_path(path_fd, path);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : digest_file(fd, size, NULL, ret);
}

/* A name in d, or none for the file that a fetch wants. */
static int place_file(struct apply *a, struct fill_dir *d,
		      const struct izo_record *r, struct fidmap_entry *e)
{
	char name[IZO_NAME_MAX + 1];
	int dirfd;

	if (!r->name_len)
		return 0;
	record_name_str(record_name(r), r->name_len, name);
	dirfd = obj_dir(a, &d->fid);
	if (dirfd < 0)
		return dirfd;
	return names_place(a, &r->obj, e, dirfd, name, true);
}

static int new_file(struct apply *a, struct fill_dir *d, const void *group,
		    size_t bytes, const struct wire_data_end *end)
{
	const struct izo_record *r = entry_of(group);
	struct fidmap_entry e;
	int err = build(a, r, end, &e);

	if (!r->name_len)
		e.flags = FIDMAP_STAGED;
	if (!err)
		err = dress(a, &e, group, bytes, &r->attr.atime,
			    end ? &end->mtime : &r->attr.mtime);
	if (!err)
		err = put_done(a, &r->obj, &e);
	return err ? err : place_file(a, d, r, &e);
}

/* What the source knows to be as it was at our position, and we too. A mtime that
 * is not the same was set here by somebody, or there by a change that the disk of
 * the source did not keep. */
static bool as_base(const struct izo_record *r, const struct fidmap_entry *e,
		    const struct stat *st)
{
	return r->flags & IZO_F_AS_BASE && !e->flags &&
	       (uint64_t)st->st_size == r->attr.size &&
	       st->st_mtim.tv_sec == r->attr.mtime.sec &&
	       st->st_mtim.tv_nsec == (long)r->attr.mtime.nsec;
}

static int keep_contents(struct apply *a, struct fill_dir *d, const void *group,
			 size_t bytes, struct fidmap_entry *e)
{
	const struct izo_record *r = entry_of(group);
	int err = dress(a, e, group, bytes, &r->attr.atime, &r->attr.mtime);

	if (!err)
		err = place_file(a, d, r, e);
	a->stats.contents_kept += !err;
	return err ? err : put_done(a, &r->obj, e);
}

static int child_file(struct apply *a, struct fill_dir *d, int dirfd,
		      const void *group, size_t bytes, const char *name)
{
	const struct izo_record *r = entry_of(group);
	_cleanup_fd_ int fd = -ENOENT;
	unsigned char sum[16];
	struct fidmap_entry e;
	bool mine, have = false;
	struct stat st;
	int err;

	if (fill_wanted(a, &r->obj))
		return -EAGAIN;
	mine = known(a, r, &e);
	if (mine && e.fill == a->meta.fill)
		return place_file(a, d, r, &e);
	if (mine)
		fd = fid_open(&a->mount, &e.local, O_PATH);
	else if (r->name_len)
		fd = nobodys(a, dirfd, r, name);
	if (fd < 0 && fd != -ENOENT)
		return fd;
	if (fd < 0 && !r->attr.size)
		return new_file(a, d, group, bytes, NULL);
	if (mine && fd >= 0 && !fstat(fd, &st) && as_base(r, &e, &st))
		return keep_contents(a, d, group, bytes, &e);
	if (a->fill->nasks == FILL_ASKS)
		return -EAGAIN;
	if (fd >= 0 && !fstat(fd, &st) &&
	    (uint64_t)st.st_size == r->attr.size) {
		err = digest(fd, st.st_size, sum);
		if (err)
			return err;
		have = true;
	}
	return fill_want(a, d, group, bytes, have && !mine,
			 have ? r->attr.size : SEND_ALL, have ? sum : NULL);
}

static int child(struct apply *a, struct fill_dir *d, const void *group,
		 size_t bytes)
{
	const struct izo_record *r = entry_of(group);
	char name[IZO_NAME_MAX + 1];
	int dirfd = -1;

	record_name_str(record_name(r), r->name_len, name);
	if (r->name_len) {
		dirfd = obj_dir(a, &d->fid);
		if (dirfd < 0)
			return dirfd;
	}
	switch (r->attr.mode & S_IFMT) {
	case S_IFDIR:
		return child_dir(a, dirfd, r, name);
	case S_IFREG:
		return child_file(a, d, dirfd, group, bytes, name);
	}
	return child_node(a, dirfd, group, bytes, name);
}

int fill_child(struct apply *a, struct fill_dir *d, const void *group,
	       size_t bytes)
{
	int err = child(a, d, group, bytes);

	trouble_record(a, err, &d->fid, entry_of(group));
	return err;
}

/* The source found that what lies here is the same. */
static int adopt_same(struct apply *a, struct fill_ask *k,
		      struct fidmap_entry *ret)
{
	const struct izo_record *r = entry_of(k->group.p);
	_cleanup_fd_ int fd = -1;
	char name[IZO_NAME_MAX + 1];
	int dirfd;

	if (!k->adopt)
		return fidmap_get(a->map, &r->obj, ret);
	record_name_str(record_name(r), r->name_len, name);
	dirfd = obj_dir(a, &k->dir->fid);
	if (dirfd < 0)
		return dirfd;
	fd = nobodys(a, dirfd, r, name);
	if (fd == -ENOENT)	/* it had to leave its name meanwhile */
		return -EAGAIN;
	return fd < 0 ? fd : obj_adopt(a, fd, &r->obj, 0, ret);
}

static int file_gone(struct apply *a, struct fill_ask *k)
{
	const struct izo_record *r = entry_of(k->group.p);
	char name[STAGE_NAME_MAX], local[IZO_NAME_MAX + 1];
	int dirfd;

	stage_name(&r->obj, name);
	stage_delete(&a->stage, a->stage.dir, name, NULL, NULL);
	if (!r->name_len) {
		a->fill->fetch_result = -ENOENT;
		return 0;
	}
	record_name_str(record_name(r), r->name_len, local);
	dirfd = obj_dir(a, &k->dir->fid);
	return dirfd < 0 ? dirfd : names_evict(a, dirfd, local);
}

int fill_file_end(struct apply *a, struct fill_ask *k,
		  const struct wire_data_end *e)
{
	const struct izo_record *r = entry_of(k->group.p);
	struct fidmap_entry entry;
	int err = inflow_end(a, e, NULL);

	if (err)
		return err;
	if (e->status == WIRE_DATA_GONE)
		return file_gone(a, k);
	if (e->status == WIRE_DATA_SAME)
		err = adopt_same(a, k, &entry);
	else if (!known(a, r, &entry))
		return new_file(a, k->dir, k->group.p, k->group.len, e);
	if (!err)
		err = dress(a, &entry, k->group.p, k->group.len,
			    &r->attr.atime, &e->mtime);
	if (!err)
		err = place_file(a, k->dir, r, &entry);
	return err ? err : put_done(a, &r->obj, &entry);
}

int fill_fetch_root(struct apply *a, struct fill_dir *d)
{
	const struct izo_record *r = entry_of(d->own.p);
	struct fidmap_entry e;
	int err;

	if (d->refresh) {
		err = known(a, r, &e) ? 0 : -ENOENT;
		return err ? err : dress(a, &e, d->own.p, d->own.len, NULL,
					 NULL);
	}
	if (S_ISREG(r->attr.mode))
		return fill_child(a, d, d->own.p, d->own.len);
	if (known(a, r, &e))		/* its fetch was broken off */
		return 0;
	err = build(a, r, false, &e);
	e.flags = FIDMAP_STAGED | (S_ISDIR(r->attr.mode) ? FIDMAP_PARTIAL : 0);
	e.fill = a->meta.fill;
	if (!err && !S_ISDIR(r->attr.mode))
		err = dress(a, &e, d->own.p, d->own.len, &r->attr.atime,
			    &r->attr.mtime);
	return err ? err : fidmap_put(a->map, &r->obj, &e);
}
