// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * apply_place.c: bringing an object to a name, and out of the way. An object to
 * be placed is found in stage (just built), in limbo (moved aside before), or
 * by its handle wherever it stands: a file gets one more link, a directory is
 * moved if the caller says so. An object in the way goes to limbo, under the
 * peer's FID if it has one, so that the record that explains it finds it.
 */
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include "lento/apply_inner.h"
#include "lib/cleanup.h"

int names_aside(struct apply *a, int dirfd, const char *name,
		const struct izo_fid *peer)
{
	char as[STAGE_NAME_MAX];

	stage_name(peer, as);
	return stage_evict(&a->stage, dirfd, name, as);
}

int names_evict(struct apply *a, int dirfd, const char *name)
{
	_cleanup_fd_ int fd = openat(dirfd, name, O_PATH | O_NOFOLLOW |
				     O_CLOEXEC);
	char as[2 + STAGE_NAME_MAX] = "x-";	/* nobody's: its own number */
	struct izo_fid owner;
	int r;

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	r = obj_owner(a, fd, &owner);
	if (r < 0 && r != -ENOENT)
		return r;
	if (!r)
		return names_aside(a, dirfd, name, &owner);
	stage_name(&owner, as + 2);
	return stage_evict(&a->stage, dirfd, name, as);
}

int place_staged(struct apply *a, const struct izo_fid *peer, int from,
		 int dirfd, const char *name)
{
	char s[STAGE_NAME_MAX];

	stage_name(peer, s);
	return mutate_rename(&a->stage, from, s, dirfd, name, RENAME_NOREPLACE);
}

/* The name at which the kernel knows the open directory; false: its path is too long
 * to be told. */
static bool name_by_path(int fd, char ret[IZO_NAME_MAX + 1])
{
	char path[32], target[4096], *base;
	ssize_t n;

	fd_path(fd, path);
	n = readlink(path, target, sizeof(target) - 1);
	if (n <= 0)
		return false;
	target[n] = 0;
	base = strrchr(target, '/');
	if (!base || strlen(base + 1) > IZO_NAME_MAX)
		return false;
	strcpy(ret, base + 1);
	return true;
}

static int name_by_search(struct apply *a, int up, const struct izo_fid *local,
			  char ret[IZO_NAME_MAX + 1])
{
	int fd = openat(up, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_dir_ DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct izo_fid found;
	struct dirent *e;

	if (!d) {
		cleanup_fd(&fd);
		return -ESTALE;
	}
	while ((e = readdir(d)))
		if (e->d_ino == local->ino && strcmp(e->d_name, ".") &&
		    !fid_of(&a->mount, fd, e->d_name, &found) &&
		    fid_eq(&found, local)) {
			strcpy(ret, e->d_name);
			return 0;
		}
	return -ESTALE;
}

/* A directory that stands somewhere in the tree comes here. */
static int move_dir(struct apply *a, const struct fidmap_entry *e, int dirfd,
		    const char *name)
{
	_cleanup_fd_ int fd = fid_open(&a->mount, &e->local,
				       O_RDONLY | O_DIRECTORY);
	_cleanup_fd_ int up = -1;
	char old[IZO_NAME_MAX + 1];
	struct izo_fid found;
	int r;

	if (fd < 0)
		return fd;
	up = openat(fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (up < 0)
		return -ESTALE;
	if (!name_by_path(fd, old) || fid_of(&a->mount, up, old, &found) ||
	    !fid_eq(&found, &e->local)) {
		r = name_by_search(a, up, &e->local, old);
		if (r < 0)
			return r;
	}
	return mutate_rename(&a->stage, up, old, dirfd, name, RENAME_NOREPLACE);
}

int place_link(struct apply *a, const struct fidmap_entry *e, int dirfd,
	       const char *name)
{
	_cleanup_fd_ int fd = fid_open(&a->mount, &e->local, O_PATH);
	struct stat st;

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!st.st_nlink)
		return -ESTALE;
	return mutate(&a->stage, &(struct mutate){ .call = MUTATE_LINK,
		.fd = fd, .fd2 = dirfd, .name2 = name });
}

bool obj_alive(struct apply *a, const struct fidmap_entry *e)
{
	_cleanup_fd_ int fd = fid_open(&a->mount, &e->local, O_PATH);
	struct stat st;

	return fd >= 0 && !fstat(fd, &st) && st.st_nlink;
}

static int place_once(struct apply *a, const struct izo_fid *peer,
		      struct fidmap_entry *e, int dirfd, const char *name,
		      bool move_dirs)
{
	int r = place_staged(a, peer, a->stage.dir, dirfd, name);

	if (r == -ENOENT && a->stage.limbo_used)
		r = place_staged(a, peer, a->stage.limbo, dirfd, name);
	if (r != -ENOENT)
		return r;
	if (e->type != S_IFDIR)
		return place_link(a, e, dirfd, name);
	if (!obj_alive(a, e))
		return -ESTALE;
	return move_dirs ? move_dir(a, e, dirfd, name) : 0;
}

static int placed(struct apply *a, const struct izo_fid *peer,
		  struct fidmap_entry *e)
{
	if (!(e->flags & FIDMAP_STAGED))
		return 0;
	e->flags &= ~FIDMAP_STAGED;
	return fidmap_put(a->map, peer, e);
}

/* Takes dirfd's own place free: it lies inside the directory that is to come
 * into it. Where it belongs is for the records to say. */
static int evict_self(struct apply *a, int dirfd)
{
	struct fidmap_entry e = { .type = S_IFDIR };
	struct izo_fid owner;
	char name[STAGE_NAME_MAX];
	int r = fid_of(&a->mount, dirfd, "", &e.local);

	if (r < 0)
		return r;
	r = obj_owner(a, dirfd, &owner);
	if (r < 0 && r != -ENOENT)
		return r;
	stage_name(&owner, name);
	stage_delete(&a->stage, a->stage.limbo, name, obj_gone, a);
	a->stage.limbo_used = true;
	return move_dir(a, &e, a->stage.limbo, name);
}

int names_place(struct apply *a, const struct izo_fid *peer,
		struct fidmap_entry *e, int dirfd, const char *name,
		bool move_dirs)
{
	struct izo_fid found;
	int r = -EEXIST;

	for (int i = 0; i < 4 && (r == -EEXIST || r == -EINVAL); i++) {
		if (r == -EINVAL) {
			r = evict_self(a, dirfd);
			if (r < 0)
				return r;
		}
		r = fid_of(&a->mount, dirfd, name, &found);
		if (r && r != -ENOENT)
			return r;
		if (!r && fid_eq(&found, &e->local))
			break;
		if (!r) {
			surprise(a, NULL, "a name is held by another object");
			r = names_evict(a, dirfd, name);
		}
		if (!r || r == -ENOENT)
			r = place_once(a, peer, e, dirfd, name, move_dirs);
	}
	return r < 0 ? r : placed(a, peer, e);
}

/* May what lies in limbo go? Not while records that explain it may come. */
static bool limbo_spent(struct apply *a, const char *name)
{
	_cleanup_fd_ int fd = openat(a->stage.limbo, name, O_PATH | O_NOFOLLOW |
				     O_CLOEXEC);
	struct fidmap_entry e;
	struct izo_fid owner;

	return fd < 0 || obj_owner(a, fd, &owner) ||
	       fidmap_get(a->map, &owner, &e) || e.fill != a->meta.fill;
}

typedef bool keep_fn(struct apply *a, const char *name);

static int empty_room(struct apply *a, int room, keep_fn *spent, bool *ret_left)
{
	_cleanup_dir_ DIR *d = NULL;
	struct dirent *e;
	int fd = openat(room, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r;

	if (fd < 0)
		return -errno;
	d = fdopendir(fd);
	if (!d) {
		close(fd);
		return -ENOMEM;
	}
	*ret_left = false;
	while ((e = readdir(d))) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		if (spent && !spent(a, e->d_name)) {
			*ret_left = true;
			continue;
		}
		r = stage_delete(&a->stage, room, e->d_name, obj_gone, a);
		if (r < 0)
			return r;
	}
	return 0;
}

int names_empty_limbo(struct apply *a, bool all)
{
	return empty_room(a, a->stage.limbo, all ? NULL : limbo_spent,
			  &a->stage.limbo_used);
}

/* In stage only what the map holds as nameless has a right to be. */
static bool stage_spent(struct apply *a, const char *name)
{
	_cleanup_fd_ int fd = openat(a->stage.dir, name, O_PATH | O_NOFOLLOW |
				     O_CLOEXEC);
	struct fidmap_entry e;
	struct izo_fid owner;

	return fd < 0 || obj_owner(a, fd, &owner) ||
	       fidmap_get(a->map, &owner, &e) || !(e.flags & FIDMAP_STAGED) ||
	       e.flags & FIDMAP_PARTIAL;
}

int names_clean_stage(struct apply *a)
{
	bool left;

	return empty_room(a, a->stage.dir, stage_spent, &left);
}
