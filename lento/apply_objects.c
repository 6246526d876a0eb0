// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * apply_objects.c: from the peer's FIDs to local objects. Every object is
 * opened by the handle that the map holds for it, never by a path, so a rename
 * under way anywhere cannot lead elsewhere. Directories are kept open, the
 * least recently used of a set makes room.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include "lento/apply_inner.h"
#include "lento/lift.h"
#include "lib/cleanup.h"
#include "lib/log.h"

int obj_open(struct apply *a, const struct izo_fid *peer, int flags,
	     struct fidmap_entry *ret)
{
	struct fidmap_entry e;
	int r = fidmap_get(a->map, peer, &e);

	if (r < 0)
		return r;
	if (ret)
		*ret = e;
	return fid_open(&a->mount, &e.local, flags);
}

static struct dircache_dir *dircache_set(struct apply *a,
					 const struct izo_fid *peer)
{
	return &a->dirs.dir[fid_hash(peer) % DIRCACHE_SETS * DIRCACHE_WAYS];
}

/* Removed while we have it open, by somebody else. */
static bool is_dead(int fd)
{
	struct stat st;

	return !fstat(fd, &st) && !st.st_nlink;
}

int obj_dir(struct apply *a, const struct izo_fid *peer)
{
	struct dircache_dir *set = dircache_set(a, peer);
	struct dircache_dir *old = set;
	int fd;

	if (fid_none(peer))
		return -ENOENT;
	for (int i = 0; i < DIRCACHE_WAYS; i++) {
		if (fid_eq(&set[i].fid, peer)) {
			set[i].used = ++a->dirs.clock;
			return is_dead(set[i].fd) ? -ESTALE : set[i].fd;
		}
		if (set[i].used < old->used)
			old = &set[i];
	}
	fd = obj_open(a, peer, O_RDONLY | O_DIRECTORY, NULL);
	if (fd < 0)
		return fd;
	if (old->fid.ino)
		close(old->fd);
	*old = (struct dircache_dir){ .fid = *peer, .fd = fd,
				      .used = ++a->dirs.clock };
	return fd;
}

void dircache_drop(struct apply *a, const struct izo_fid *peer)
{
	struct dircache_dir *set = dircache_set(a, peer);

	for (int i = 0; i < DIRCACHE_WAYS; i++)
		if (set[i].fid.ino && fid_eq(&set[i].fid, peer)) {
			close(set[i].fd);
			set[i] = (struct dircache_dir){ .fd = -1 };
		}
}

void dircache_clear(struct apply *a)
{
	for (int i = 0; i < DIRCACHE_SETS * DIRCACHE_WAYS; i++) {
		struct dircache_dir *d = &a->dirs.dir[i];

		if (d->fid.ino)
			close(d->fd);
		*d = (struct dircache_dir){ .fd = -1 };
	}
}

int obj_owner(struct apply *a, int fd, struct izo_fid *ret)
{
	struct izo_fid local, peer;
	struct fidmap_entry e;
	int r = fid_of(&a->mount, fd, "", &local);

	if (r < 0)
		return r;
	*ret = local;
	r = stage_tag_get(&a->stage, fd, &peer);
	if (r < 0)
		return r == -ENODATA || r == -EOPNOTSUPP ? -ENOENT : r;
	r = fidmap_get(a->map, &peer, &e);
	if (r < 0)
		return r;
	if (!fid_eq(&e.local, &local))
		return -ENOENT;
	*ret = peer;
	return 0;
}

void obj_gone(void *ctx, int fd)
{
	struct apply *a = ctx;
	struct izo_fid peer;
	struct stat st;

	if (fstat(fd, &st) < 0 || (!S_ISDIR(st.st_mode) && st.st_nlink > 1) ||
	    obj_owner(a, fd, &peer) < 0)
		return;
	dircache_drop(a, &peer);
	fidmap_del(a->map, &peer);
}

bool obj_known(void *ctx, const struct izo_fid *peer)
{
	struct apply *a = ctx;
	struct fidmap_entry e;

	return !fidmap_get(a->map, peer, &e);
}

int obj_adopt(struct apply *a, int fd, const struct izo_fid *peer,
	      uint32_t fill, struct fidmap_entry *ret)
{
	struct fidmap_entry e = { .fill = fill };
	struct lift l = { .fd = -1 };
	struct izo_fid tag;
	struct stat st;
	int r = fid_of(&a->mount, fd, "", &e.local);

	if (r < 0 || fstat(fd, &st) < 0)
		return r < 0 ? r : -errno;
	e.type = st.st_mode & S_IFMT;
	if (stage_tag_get(&a->stage, fd, &tag) || !fid_eq(&tag, peer))
		r = stage_tag_set(&a->stage, fd, peer);
	if (r == -EPERM && lift_begin(&a->stage, fd, false, &l) > 0) {
		r = stage_tag_set(&a->stage, fd, peer);
		lift_end(&a->stage, &l);
	}
	if (!r)
		r = fidmap_put(a->map, peer, &e);
	if (!r && ret)
		*ret = e;
	return r;
}

void surprise(struct apply *a, const struct izo_record *r, const char *what)
{
	if (apply_calm(a))
		return;
	a->stats.surprises++;
	log_warn("%s: %s: record %llu (%s, inode %llu): %s", a->spec.fileset,
		 a->spec.peer, (unsigned long long)(r ? r->seq : 0),
		 r ? kind_name(r->kind) : "batch",
		 (unsigned long long)(r ? r->obj.ino : 0), what);
}
