// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * apply_state.c: opening, closing and what a power cut leaves. Two things are
 * kept in the state folder: fidmap/ (exact after a kill, worthless after a power
 * cut unless the last stop was clean) and `last_rcvd`, one small file that
 * names the last position that is on the disk together with the tree. When the
 * machine was booted since and the stop was not clean, the map is made anew
 * from the tags of all objects, the position is that of last_rcvd, and the
 * records since then are redone.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>
#include "lento/apply_inner.h"
#include "lento/lift.h"
#include "lib/cleanup.h"
#include "lib/log.h"

#define LAST_NAME	"last_rcvd"
#define LAST_MAGIC	"IZOLAST1"
#define LAST_MAX	(64u << 20)
#define META_KEY	"state"

struct last {
	char magic[8];
	uint64_t sum;		/* XXH3-64 of all that follows */
	struct izo_pos pos;
	struct izo_fid root;
	unsigned char uuid[16];
	char boot[40];
	uint32_t fids, slots;	/* struct izo_fid[], struct hollow_slot[] */
	uint8_t clean, filling, resync, zero[5];
};

static void boot_id(char ret[40])
{
	_cleanup_file_ FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");

	memset(ret, 0, 40);
	if (!f || !fgets(ret, 40, f))
		strcpy(ret, "?");
}

static uint64_t last_sum(const struct last *l, size_t bytes)
{
	size_t head = offsetof(struct last, pos);

	return XXH3_64bits((const char *)l + head, bytes - head);
}

static struct last *last_make(struct apply *a, bool clean, size_t *ret_bytes)
{
	unsigned fids = hollow_fids(a->hollow), slots = hollow_slots(a->hollow);
	size_t bytes = sizeof(struct last) + fids * sizeof(struct izo_fid) +
		       slots * sizeof(struct hollow_slot);
	struct last *l = calloc(1, bytes);
	char *p = (char *)(l + 1);

	if (!l)
		return NULL;
	*l = (struct last){ .magic = LAST_MAGIC, .pos = a->meta.pos,
			    .root = a->meta.root, .fids = fids, .slots = slots,
			    .clean = clean, .filling = a->meta.filling,
			    .resync = a->meta.resync };
	memcpy(l->uuid, a->spec.uuid, sizeof(l->uuid));
	boot_id(l->boot);
	for (unsigned i = 0; i < fids; i++, p += sizeof(struct izo_fid))
		memcpy(p, hollow_fid(a->hollow, i), sizeof(struct izo_fid));
	for (unsigned i = 0; i < slots; i++, p += sizeof(struct hollow_slot))
		memcpy(p, hollow_slot(a->hollow, i), sizeof(struct hollow_slot));
	l->sum = last_sum(l, bytes);
	*ret_bytes = bytes;
	return l;
}

static int write_whole(int fd, const char *p, size_t n)
{
	while (n) {
		ssize_t w = write(fd, p, n);

		if (w < 0 && errno != EINTR)
			return -errno;
		if (w > 0) {
			p += w;
			n -= w;
		}
	}
	return fsync(fd) < 0 ? -errno : 0;
}

int state_save(struct apply *a, bool clean)
{
	size_t bytes;
	_cleanup_free_ struct last *l = last_make(a, clean, &bytes);
	_cleanup_fd_ int fd = -1;
	int r;

	if (!l)
		return -ENOMEM;
	fd = openat(a->state_fd, LAST_NAME ".new", O_WRONLY | O_CREAT | O_TRUNC |
		    O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	r = write_whole(fd, (const char *)l, bytes);
	if (!r && renameat(a->state_fd, LAST_NAME ".new", a->state_fd,
			   LAST_NAME) < 0)
		r = -errno;
	return r ? r : fsync(a->state_fd) < 0 ? -errno : 0;
}

/* NULL: none, or not whole. */
static struct last *last_read(struct apply *a)
{
	_cleanup_fd_ int fd = openat(a->state_fd, LAST_NAME, O_RDONLY |
				     O_CLOEXEC);
	_cleanup_free_ struct last *l = NULL;
	struct stat st;
	size_t n;

	if (fd < 0 || fstat(fd, &st) < 0 || st.st_size > LAST_MAX ||
	    st.st_size < (off_t)sizeof(*l))
		return NULL;
	n = st.st_size;
	l = malloc(n);
	if (!l || read(fd, l, n) != (ssize_t)n ||
	    memcmp(l->magic, LAST_MAGIC, 8) || l->sum != last_sum(l, n) ||
	    n != sizeof(*l) + (uint64_t)l->fids * sizeof(struct izo_fid) +
		 (uint64_t)l->slots * sizeof(struct hollow_slot))
		return NULL;
	return take_ptr(l);
}

int meta_put(struct apply *a)
{
	return fidmap_tab_put(a->map, FIDMAP_META, META_KEY, strlen(META_KEY),
			      &a->meta, sizeof(a->meta));
}

static void count_hollow(struct apply *a)
{
	a->stats.hollow = hollow_slots(a->hollow);
	for (unsigned i = 0; i < hollow_fids(a->hollow); i++)
		a->stats.hollow += obj_known(a, hollow_fid(a->hollow, i));
}

int hollow_load(struct apply *a)
{
	const void *k, *v, *after = NULL;
	unsigned char key[FIDMAP_KEY_BYTES];
	size_t kn, vn;
	uint32_t n;
	int r;

	hollow_clear(a->hollow);
	while (!(r = fidmap_tab_next(a->map, FIDMAP_HOLLOW, after, sizeof(key),
				     &k, &kn, &v, &vn))) {
		struct izo_fid fid;

		if (kn != sizeof(key))
			return -EUCLEAN;
		memcpy(key, k, sizeof(key));
		after = key;
		fidmap_unkey(key, &fid);
		if (hollow_add(a->hollow, &fid))
			return -ENOMEM;
	}
	after = NULL;
	while (r == -ENOENT &&
	       !(r = fidmap_tab_next(a->map, FIDMAP_VIRT, after, sizeof(n), &k,
				     &kn, &v, &vn))) {
		struct hollow_slot s;

		if (kn != sizeof(n) || vn != sizeof(s))
			return -EUCLEAN;
		memcpy(&n, k, sizeof(n));
		memcpy(&s, v, sizeof(s));
		after = &n;
		if (hollow_slot_add(a->hollow, &s))
			return -ENOMEM;
		r = -ENOENT;
	}
	count_hollow(a);
	return r == -ENOENT ? 0 : r;
}

int hollow_save(struct apply *a)
{
	unsigned char key[FIDMAP_KEY_BYTES];
	int r = 0;

	if (hollow_empty(a->hollow) && !a->stats.hollow &&
	    !fidmap_tab_count(a->map, FIDMAP_HOLLOW) &&
	    !fidmap_tab_count(a->map, FIDMAP_VIRT))
		return 0;
	r = fidmap_tab_clear(a->map, FIDMAP_HOLLOW);
	if (!r)
		r = fidmap_tab_clear(a->map, FIDMAP_VIRT);
	for (uint32_t i = 0; !r && i < hollow_fids(a->hollow); i++) {
		fidmap_key(hollow_fid(a->hollow, i), key);
		r = fidmap_tab_put(a->map, FIDMAP_HOLLOW, key, sizeof(key),
				   "", 0);
	}
	for (uint32_t i = 0; !r && i < hollow_slots(a->hollow); i++)
		r = fidmap_tab_put(a->map, FIDMAP_VIRT, &i, sizeof(i),
				   hollow_slot(a->hollow, i),
				   sizeof(struct hollow_slot));
	count_hollow(a);
	return r;
}

/* --- after a power cut ------------------------------------------------ */

static int map_one(struct apply *a, int fd, mode_t *ret_mode)
{
	struct fidmap_entry e = { .fill = a->meta.fill };
	struct izo_fid peer;
	struct stat st;
	int r;

	if (fstat(fd, &st) < 0)
		return -errno;
	*ret_mode = st.st_mode;
	r = stage_tag_get(&a->stage, fd, &peer);
	if (r < 0)
		return r == -ENODATA || r == -EOPNOTSUPP ? 0 : r;
	e.type = st.st_mode & S_IFMT;
	r = fid_of(&a->mount, fd, "", &e.local);
	return r < 0 ? r : fidmap_put(a->map, &peer, &e);
}

static int map_entry(struct apply *a, int dir, const char *name, struct fid_list *todo)
{
	_cleanup_fd_ int fd = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct izo_fid local;
	mode_t mode = 0;
	int r;

	if (fd < 0)
		return -errno;
	r = fid_of(&a->mount, fd, "", &local);
	if (r == -EXDEV)	/* something else is mounted there */
		return 0;
	if (!r)
		r = map_one(a, fd, &mode);
	return r || !S_ISDIR(mode) ? r : fid_push(todo, &local);
}

static int map_dir(struct apply *a, const struct izo_fid *dir, struct fid_list *todo)
{
	bool top = fid_eq(dir, &a->root_local);
	_cleanup_dir_ DIR *d = NULL;
	struct dirent *ent;
	int r = 0, fd = fid_open(&a->mount, dir, O_RDONLY | O_DIRECTORY);

	if (fd < 0)
		return fd;
	d = fdopendir(fd);
	if (!d) {
		close(fd);
		return -ENOMEM;
	}
	while (!r && (ent = readdir(d))) {
		if (!strcmp(ent->d_name, ".") || !strcmp(ent->d_name, "..") ||
		    (top && !strcmp(ent->d_name, STAGE_HIDDEN)))
			continue;
		r = map_entry(a, fd, ent->d_name, todo);
	}
	return r;
}

/* All that stands below the directory at. */
static int map_tree(struct apply *a, int at)
{
	struct fid_list todo = { 0 };
	struct izo_fid dir;
	int r = fid_of(&a->mount, at, "", &dir);

	if (!r)
		r = fid_push(&todo, &dir);
	while (!r && todo.n) {
		dir = todo.fid[--todo.n];
		r = map_dir(a, &dir, &todo);
	}
	free(todo.fid);
	return r;
}

/* The root that was filled carries the FID of the source's. Another directory, say
 * that below a filesystem which is not mounted, does not. */
static int check_root(struct apply *a, const struct izo_fid *root, bool filled)
{
	struct izo_fid tag;

	if (!filled || fid_none(root))
		return 0;
	if (stage_tag_get(&a->stage, a->root_fd, &tag) || !fid_eq(&tag, root))
		return -ESTALE;
	return 0;
}

static int rebuild(struct apply *a, const struct last *l)
{
	const char *p = (const char *)(l + 1);
	mode_t mode;
	int r;

	log_info("%s: %s: not stopped cleanly: making the identity map anew",
		 a->spec.fileset, a->spec.peer);
	a->meta.pos = l->pos;
	a->meta.root = l->root;
	a->meta.filling = l->filling;	/* and from its beginning */
	a->meta.resync = l->resync;
	a->meta.redo_until = APPLY_REDO_OPEN;
	a->meta.fill = 1;	/* 0 is what no fill has seen */
	/* Limbo first: of two that claim one identity the one in the tree counts. */
	r = map_tree(a, a->stage.limbo);
	if (!r)
		r = map_tree(a, a->root_fd);
	if (!r)
		r = map_one(a, a->root_fd, &mode);
	for (unsigned i = 0; !r && i < l->fids; i++, p += sizeof(struct izo_fid))
		r = hollow_add(a->hollow, (const void *)p);
	for (unsigned i = 0; !r && i < l->slots;
	     i++, p += sizeof(struct hollow_slot))
		r = hollow_slot_add(a->hollow, (const void *)p);
	if (!r)
		r = hollow_save(a);
	return r;
}

static int drop_map(struct apply *a)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/fidmap/data.mdb", a->spec.state);
	return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
}

static int open_map(struct apply *a)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/fidmap", a->spec.state);
	return fidmap_open(path, &a->map);
}

static bool trusted(const struct last *l)
{
	char boot[40];

	boot_id(boot);
	return l->clean || !memcmp(boot, l->boot, sizeof(boot));
}

static int load_meta(struct apply *a)
{
	int64_t n = fidmap_tab_get(a->map, FIDMAP_META, META_KEY,
				   strlen(META_KEY), &a->meta, sizeof(a->meta));

	if (n == -ENOENT)
		return 0;
	if (n < 0)
		return n;
	if (n == sizeof(a->meta) &&
	    !memcmp(a->meta.uuid, a->spec.uuid, sizeof(a->meta.uuid)))
		return 0;
	a->meta = (struct apply_meta){ 0 };
	return fidmap_clear(a->map);
}

/* Map, position and hollow files, from whichever of the two can be trusted. */
static int load(struct apply *a, bool *ret_save)
{
	_cleanup_free_ struct last *l = last_read(a);
	bool good = l && trusted(l), again = false;
	int r;

	if (l && memcmp(l->uuid, a->spec.uuid, sizeof(l->uuid)))
		free(take_ptr(l));
	r = good ? 0 : drop_map(a);
	if (!r)
		r = open_map(a);
	if (r == -EUCLEAN && !drop_map(a)) {
		again = true;
		r = open_map(a);
	}
	if (r)
		return r;
	again |= !good || (!fidmap_count(a->map) && l && l->pos.epoch);
	if (l && again) {
		r = rebuild(a, l);
	} else {
		r = load_meta(a);
		if (!r)
			r = check_root(a, &a->meta.root, a->meta.pos.epoch ||
							 a->meta.filling);
	}
	if (r == -ESTALE)
		return r;
	if (l)
		a->durable = l->pos;
	/* After a kill the file stays: it names what is durable. */
	*ret_save = !l || again || l->clean;
	memcpy(a->meta.uuid, a->spec.uuid, sizeof(a->meta.uuid));
	if (!r)
		r = hollow_load(a);
	if (!r && a->meta.intent > a->meta.redo_until)
		a->meta.redo_until = a->meta.intent;
	if (!r)
		r = meta_put(a);
	return r;
}

/* --- open, close, sync ------------------------------------------------ */

/* Before anything is made in it. */
static int check_last_root(struct apply *a)
{
	_cleanup_free_ struct last *l = last_read(a);

	if (!l || memcmp(l->uuid, a->spec.uuid, sizeof(l->uuid)))
		return 0;
	memcpy(a->stage.uuid8, l->uuid, sizeof(a->stage.uuid8));
	return check_root(a, &l->root, l->pos.epoch || l->filling);
}

static int open_dirs(struct apply *a)
{
	int r;

	if (mkdir(a->spec.state, 0700) < 0 && errno != EEXIST)
		return -errno;
	a->state_fd = open(a->spec.state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	a->public_fd = open(a->spec.root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (a->state_fd < 0 || a->public_fd < 0)
		return -errno;
	r = tree_open(a->spec.root, &a->tree);
	a->root_fd = a->tree.fd;
	if (!r)
		r = fid_mount_init(&a->mount, a->root_fd);
	if (!r)
		r = fid_of(&a->mount, a->root_fd, "", &a->root_local);
	if (!r)
		r = check_last_root(a);
	if (!r)
		r = stage_open(&a->stage, a->root_fd, &a->mount, a->spec.uuid);
	return r ? r : lift_mend(&a->stage);
}

static int open_all(struct apply *a, const struct apply_spec *spec)
{
	bool save = false;
	int r;

	a->spec.fileset = strdup(spec->fileset);
	a->spec.peer = strdup(spec->peer);
	a->spec.root = strdup(spec->root);
	a->spec.state = strdup(spec->state);
	a->hollow = hollow_new();
	if (!a->spec.fileset || !a->spec.peer || !a->spec.root ||
	    !a->spec.state || !a->hollow)
		return -ENOMEM;
	r = open_dirs(a);
	if (!r)
		r = load(a, &save);
	if (!r)
		r = fill_open(a);
	if (!r)
		r = fidmap_commit(a->map);
	return r || !save ? r : state_save(a, false);
}

static void done(struct apply *a)
{
	inflow_abort(a);
	fill_close(a);
	fidmap_close(a->map);
	dircache_clear(a);
	stage_close(&a->stage);
	tree_close(&a->tree);
	cleanup_fd(&a->public_fd);
	cleanup_fd(&a->state_fd);
	hollow_free(a->hollow);
	fidtab_done(&a->fresh);
	fidtab_done(&a->dir_times);
	free((char *)a->spec.fileset);
	free((char *)a->spec.peer);
	free((char *)a->spec.root);
	free((char *)a->spec.state);
	free(a);
}

int apply_open(const struct apply_spec *spec, struct apply **ret, char *err,
	       size_t err_size)
{
	struct apply *a = calloc(1, sizeof(*a));
	int r;

	if (!a)
		return -ENOMEM;
	a->spec = *spec;
	a->root_fd = a->state_fd = a->public_fd = -1;
	a->tree = TREE_CLOSED;
	a->stage = (struct stage){ .base = -1, .dir = -1, .limbo = -1,
				   .lifted = -1 };
	r = open_all(a, spec);
	if (r < 0) {
		snprintf(err, err_size, "replica %s, state %s: %s", spec->root,
			 spec->state, r == -ESTALE ? "the directory is not the one "
			 "that the state belongs to (is its filesystem mounted?)" :
			 strerror(-r));
		done(a);
		return r;
	}
	*ret = a;
	return 0;
}

void apply_close(struct apply *a)
{
	if (!a)
		return;
	inflow_abort(a);
	/* What was aborted in a batch may have changed the map since. */
	if (!a->touched && !fidmap_sync(a->map))
		state_save(a, true);
	done(a);
}

/* The kernel tells of a failed write-back once and forgets what it could not
 * write: everything since the durable position comes again. */
static int back_to_durable(struct apply *a, int error)
{
	int r;

	a->meta.pos = a->durable;
	a->meta.intent = 0;
	a->meta.redo_until = APPLY_REDO_OPEN;
	r = meta_put(a);
	if (!r)
		r = fidmap_commit(a->map);
	return r ? r : error;
}

int apply_sync(struct apply *a)
{
	int r = fidmap_commit(a->map);

	if (r)
		return r;
	if (syncfs(a->root_fd) < 0)
		return back_to_durable(a, -errno);
	r = fidmap_sync(a->map);
	if (!r)
		r = state_save(a, false);
	if (r)
		return r;
	a->durable = a->meta.pos;
	if (!a->in_batch)
		a->touched = false;
	return 0;
}
