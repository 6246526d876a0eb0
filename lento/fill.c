// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * fill.c: a replica takes over a tree by asking. The todo table holds every
 * directory found and not complete; a file that has to wait for a free ask
 * waits in the pend table, on disk and not in memory. A directory is complete
 * when all that its listing named stands in it; then it gets its own attributes
 * and leaves the todo table, so that a fill that was cut off goes on there. The
 * source's tree changes meanwhile: the stream that follows from the position of
 * ATTACHED repeats every change, as redo.
 *
 * The same engine fetches one object or subtree into stage/ when a record names
 * what is not known here (fill_fetch).
 */
#include <endian.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>
#include "lento/fill.h"
#include "lib/cleanup.h"
#include "lib/log.h"

#define COMMIT_EVERY	512

static int bytes_add(struct bytes *b, const void *p, size_t len)
{
	size_t room = b->room ? b->room : 1024;
	unsigned char *n;

	if (b->len + len > FILL_GROUP_MAX)
		return -EBADMSG;
	while (room < b->len + len)
		room *= 2;
	if (room != b->room) {
		n = realloc(b->p, room);
		if (!n)
			return -ENOMEM;
		b->p = n;
		b->room = room;
	}
	memcpy(b->p + b->len, p, len);
	b->len += len;
	return 0;
}

static void bytes_done(struct bytes *b)
{
	free(b->p);
	*b = (struct bytes){ 0 };
}

/* --- directories under way -------------------------------------------- */

static struct fill_dir *dir_find(struct fill *f, const struct izo_fid *fid)
{
	struct fill_dir *d = f->dirs;

	while (d && !fid_eq(&d->fid, fid))
		d = d->next;
	return d;
}

static struct fill_dir *dir_new(struct fill *f, const struct izo_fid *fid)
{
	struct fill_dir *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->fid = *fid;
	d->next = f->dirs;
	f->dirs = d;
	return d;
}

static void dir_free(struct fill *f, struct fill_dir *d)
{
	struct fill_dir **p = &f->dirs;

	while (*p != d)
		p = &(*p)->next;
	*p = d->next;
	bytes_done(&d->own);
	bytes_done(&d->group);
	free(d->names);
	free(d);
}

static int add_name(struct fill_dir *d, const struct izo_record *r)
{
	if (d->nnames == d->names_room) {
		unsigned room = d->names_room ? d->names_room * 2 : 64;
		uint64_t *n = realloc(d->names, room * sizeof(*n));

		if (!n)
			return -ENOMEM;
		d->names = n;
		d->names_room = room;
	}
	d->names[d->nnames++] = XXH3_64bits(record_name(r), r->name_len);
	return 0;
}

static int by_hash(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static bool special(struct apply *a, const struct fill_dir *d, const char *name,
		    size_t len)
{
	return fid_eq(&d->fid, &a->meta.root) &&
	       ((len == sizeof(STAGE_HIDDEN) - 1 &&
		 !memcmp(name, STAGE_HIDDEN, len)) ||
		(len == 10 && !memcmp(name, "lost+found", len)));
}

/* What stands in the directory and is not in its listing goes to limbo. */
static int evict_extra(struct apply *a, struct fill_dir *d)
{
	_cleanup_dir_ DIR *dir = NULL;
	struct dirent *e;
	int at = obj_dir(a, &d->fid), fd, r = 0;

	if (at < 0)
		return at;
	fd = openat(at, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		r = -errno;
		cleanup_fd(&fd);
		return r;
	}
	if (d->nnames)
		qsort(d->names, d->nnames, sizeof(*d->names), by_hash);
	while (!r && (e = readdir(dir))) {
		size_t len = strlen(e->d_name);
		uint64_t h = XXH3_64bits(e->d_name, len);

		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..") ||
		    special(a, d, e->d_name, len) ||
		    (d->nnames && bsearch(&h, d->names, d->nnames,
					  sizeof(*d->names), by_hash)))
			continue;
		r = names_evict(a, fd, e->d_name);
	}
	return r;
}

/* --- asks ------------------------------------------------------------- */

static struct fill_ask *ask_find(struct fill *f, uint64_t ask)
{
	for (int i = 0; i < FILL_ASKS; i++)
		if (f->ask[i].ask == ask)
			return &f->ask[i];
	return NULL;
}

static struct fill_ask *ask_new(struct fill *f, struct fill_dir *d,
				const struct izo_fid *fid, bool want)
{
	struct fill_ask *k = ask_find(f, 0);

	if (!k)
		return NULL;
	*k = (struct fill_ask){ .ask = ++f->last_ask, .want = want,
				.fid = *fid, .dir = d };
	f->nasks++;
	return k;
}

static void ask_free(struct fill *f, struct fill_ask *k)
{
	bytes_done(&k->group);
	k->ask = 0;
	f->nasks--;
}

bool fill_wanted(struct apply *a, const struct izo_fid *fid)
{
	for (int i = 0; i < FILL_ASKS; i++)
		if (a->fill->ask[i].ask && a->fill->ask[i].want &&
		    fid_eq(&a->fill->ask[i].fid, fid))
			return true;
	return false;
}

int fill_want(struct apply *a, struct fill_dir *d, const void *group,
	      size_t bytes, bool adopt, uint64_t size,
	      const unsigned char digest[16])
{
	const struct izo_record *r = group;
	struct wire_want w = { .fid = r->obj, .have_size = size };
	struct fill_ask *k = ask_new(a->fill, d, &r->obj, true);
	int err;

	if (!k)
		return -EAGAIN;
	err = bytes_add(&k->group, group, bytes);
	if (err) {
		ask_free(a->fill, k);
		return err;
	}
	k->adopt = adopt;
	d->pending++;
	w.ask = k->ask;
	if (digest)
		memcpy(w.have_digest, digest, 16);
	return a->spec.want(a->spec.ctx, &w);
}

static int ask_list(struct apply *a, const struct izo_fid *fid, bool fetched)
{
	struct fill_dir *d = dir_new(a->fill, fid);
	struct fill_ask *k = d ? ask_new(a->fill, d, fid, false) : NULL;

	if (!k)
		return -ENOMEM;
	d->fetched = fetched;
	return a->spec.list(a->spec.ctx, k->ask, fid);
}

int fill_todo(struct apply *a, const struct izo_fid *dir)
{
	unsigned char key[FIDMAP_KEY_BYTES];

	fidmap_key(dir, key);
	return fidmap_tab_put(a->map, FIDMAP_TODO, key, sizeof(key), "", 0);
}

static int todo_done(struct apply *a, const struct izo_fid *dir)
{
	unsigned char key[FIDMAP_KEY_BYTES];
	int r;

	fidmap_key(dir, key);
	r = fidmap_tab_del(a->map, FIDMAP_TODO, key, sizeof(key));
	return r == -ENOENT ? 0 : r;
}

/* The next directory in the todo table that is not under way, from the cursor
 * on and round. -ENOENT: none. */
static int todo_next(struct apply *a, struct izo_fid *ret)
{
	struct fill *f = a->fill;
	const void *k, *v;
	size_t kn, vn;
	bool first = true;

	for (unsigned i = 0; i < 2 * FILL_ASKS + 1; i++) {
		int r = fidmap_tab_next(a->map, FIDMAP_TODO, f->cursor,
					sizeof(f->cursor), &k, &kn, &v, &vn);

		if (r == -ENOENT && first) {
			memset(f->cursor, 0, sizeof(f->cursor));
			first = false;
			continue;
		}
		if (r)
			return r;
		memcpy(f->cursor, k, sizeof(f->cursor));
		fidmap_unkey(k, ret);
		if (!dir_find(f, ret))
			return 0;
	}
	return -ENOENT;
}

/* --- completion ------------------------------------------------------- */

static int dress_dir(struct apply *a, struct fill_dir *d)
{
	const struct izo_record *r = (const void *)d->own.p;
	struct fidmap_entry e;
	_cleanup_fd_ int fd = obj_open(a, &d->fid, O_PATH, &e);
	int err;

	if (fd < 0)
		return fd;
	err = attrs_group(a, fd, d->own.p, d->own.len);
	if (!err)
		err = attrs_times(a, fd, &r->attr.atime, &r->attr.mtime);
	if (!err)
		err = attrs_group_flags(a, fd, d->own.p, d->own.len);
	if (err)
		return err;
	e.fill = a->meta.fill;
	a->stats.objects_done++;
	return fidmap_put(a->map, &d->fid, &e);
}

static int dir_check(struct apply *a, struct fill_dir *d)
{
	const struct izo_record *r = (const void *)d->own.p;
	int err = 0;

	if (!d->listed || d->pending)
		return 0;
	if (r && S_ISDIR(r->attr.mode) && !d->refresh)
		err = dress_dir(a, d);
	if (err == -ENOENT || err == -ESTALE)
		err = 0;
	if (!err)
		err = todo_done(a, &d->fid);
	a->fill->uncommitted++;
	dir_free(a->fill, d);
	return err;
}

struct pend_head {
	struct izo_fid dir;
};

static int pend_put(struct apply *a, struct fill_dir *d, const void *group,
		    size_t bytes)
{
	uint64_t key = htobe64(++a->fill->last_pend);
	struct pend_head head = { .dir = d->fid };
	struct bytes b = { 0 };
	int r = bytes_add(&b, &head, sizeof(head));

	if (!r)
		r = bytes_add(&b, group, bytes);
	if (!r)
		r = fidmap_tab_put(a->map, FIDMAP_PEND, &key, sizeof(key), b.p,
				   b.len);
	bytes_done(&b);
	if (!r)
		d->pending++;
	a->fill->uncommitted++;
	return r;
}

/* One file that waited. -ENOENT: none that can go now. */
static int pend_step(struct apply *a)
{
	const void *k, *v;
	size_t kn, vn;
	uint64_t key = 0;
	int r;

	while (!(r = fidmap_tab_next(a->map, FIDMAP_PEND, &key, sizeof(key), &k,
				     &kn, &v, &vn))) {
		_cleanup_free_ unsigned char *group = malloc(vn);
		struct pend_head head;
		struct fill_dir *d;

		if (!group)
			return -ENOMEM;
		memcpy(&key, k, sizeof(key));
		memcpy(&head, v, sizeof(head));
		memcpy(group, (const char *)v + sizeof(head),
		       vn - sizeof(head));
		d = dir_find(a->fill, &head.dir);
		r = d ? fill_child(a, d, group, vn - sizeof(head)) : 0;
		if (r == -EAGAIN)
			continue;
		if (!r)
			r = fidmap_tab_del(a->map, FIDMAP_PEND, &key,
					   sizeof(key));
		if (r || !d)
			return r;
		d->pending--;
		return dir_check(a, d);
	}
	return r;
}

static bool drop_unseen(void *ctx, const struct izo_fid *peer,
			const struct fidmap_entry *e)
{
	struct apply *a = ctx;

	(void)peer;
	return e->fill != a->meta.fill;
}

static int fill_finish(struct apply *a)
{
	int r = names_empty_limbo(a, false);

	if (!r)
		r = fidmap_sweep(a->map, drop_unseen, a);
	if (!r)
		r = names_clean_stage(a);
	if (r)
		return r;
	hollow_clear(a->hollow);
	r = hollow_save(a);
	a->meta.pos = a->meta.fill_pos;
	a->meta.filling = 0;
	a->meta.intent = 0;
	a->meta.redo_until = APPLY_REDO_OPEN;
	if (!r)
		r = meta_put(a);
	a->touched = true;
	return r ? r : fidmap_commit(a->map);
}

static bool idle(struct apply *a)
{
	return !a->fill->nasks && !a->fill->dirs &&
	       !fidmap_tab_count(a->map, FIDMAP_TODO) &&
	       !fidmap_tab_count(a->map, FIDMAP_PEND);
}

/* What is not committed lies in memory. */
static int commit_some(struct apply *a)
{
	if (a->fill->uncommitted < COMMIT_EVERY)
		return 0;
	a->fill->uncommitted = 0;
	a->touched = true;
	return fidmap_commit(a->map);
}

/* Sends asks as long as there is something to ask and room. */
static int go_on(struct apply *a)
{
	struct fill *f = a->fill;
	struct izo_fid dir;
	int r = 0;

	while (!r && f->nasks < FILL_ASKS) {
		r = pend_step(a);
		if (r != -ENOENT)
			continue;
		if (fidmap_tab_count(a->map, FIDMAP_PEND))
			break;		/* they wait for answers under way */
		r = todo_next(a, &dir);
		if (!r)
			r = ask_list(a, &dir, false);
	}
	if (r && r != -ENOENT)
		return r;
	a->stats.objects_todo = fidmap_tab_count(a->map, FIDMAP_TODO) +
				fidmap_tab_count(a->map, FIDMAP_PEND);
	if (a->meta.filling && idle(a))
		return fill_finish(a);
	return commit_some(a);
}

/* --- answers ---------------------------------------------------------- */

static int take_group(struct apply *a, struct fill_dir *d)
{
	const struct izo_record *r = (const void *)d->group.p;
	int err;

	if (!d->group.len)
		return 0;
	if (!r->name_len) {
		bytes_done(&d->own);
		d->own = d->group;
		d->group = (struct bytes){ 0 };
		return d->fetched ? fill_fetch_root(a, d) : 0;
	}
	err = 0;
	if (!special(a, d, record_name(r), r->name_len) && !d->refresh) {
		err = add_name(d, r);
		if (!err)
			err = fill_child(a, d, d->group.p, d->group.len);
		if (err == -EAGAIN)
			err = pend_put(a, d, d->group.p, d->group.len);
	}
	d->group.len = 0;
	return err;
}

/* Gone there since it was found: it stays known until its removal comes. */
static int mark_seen(struct apply *a, const struct izo_fid *peer)
{
	struct fidmap_entry e;
	int r = fidmap_get(a->map, peer, &e);

	e.fill = a->meta.fill;
	if (!r)
		r = fidmap_put(a->map, peer, &e);
	return r == -ENOENT ? 0 : r;
}

static int take_listing_end(struct apply *a, struct fill_dir *d)
{
	const struct izo_record *r = (const void *)d->own.p;
	int err = 0;

	d->listed = true;
	if (!d->own.len && d->fetched)
		a->fill->fetch_result = -ENOENT;
	else if (d->own.len && S_ISDIR(r->attr.mode) && !d->refresh)
		err = evict_extra(a, d);
	else if (!d->own.len)
		err = mark_seen(a, &d->fid);
	return err ? err : dir_check(a, d);
}

static int take_record(struct apply *a, struct fill_dir *d,
		       const struct izo_record *r)
{
	const struct izo_record *entry;
	int err = 0;

	if (r->kind == IZO_ENTRY) {
		if (fid_none(&r->obj) ||
		    (!r->name_len && !fid_eq(&r->obj, &d->fid)))
			return -EBADMSG;
		err = take_group(a, d);
	} else {
		entry = (const void *)d->group.p;
		if ((r->kind != IZO_XATTR && r->kind != IZO_ACL &&
		     r->kind != IZO_FILEATTR) || !d->group.len ||
		    !fid_eq(&r->obj, &entry->obj))
			return -EBADMSG;
	}
	return err ? err : bytes_add(&d->group, r, r->len);
}

int apply_entries(struct apply *a, uint64_t ask, const void *records,
		  size_t bytes, bool last)
{
	struct fill_ask *k = ask ? ask_find(a->fill, ask) : NULL;
	const struct izo_record *r;
	const char *p = records;
	struct fill_dir *d;
	int err = 0;

	if (!k || k->want)
		return -EBADMSG;
	d = k->dir;
	while (!err && bytes) {
		err = record_check(p, bytes, &r, NULL);
		if (err)
			return err == -EAGAIN ? -EBADMSG : err;
		err = take_record(a, d, r);
		p += r->len;
		bytes -= r->len;
	}
	if (err || !last)
		return err ? err : commit_some(a);
	ask_free(a->fill, k);
	err = take_group(a, d);
	if (!err)
		err = take_listing_end(a, d);
	return err ? err : go_on(a);
}

void fill_trouble(struct apply *a, int error, uint64_t ask)
{
	struct fill_ask *k = ask_find(a->fill, ask);

	if (k && k->want)
		trouble_record(a, error, &k->dir->fid, (const void *)k->group.p);
}

int fill_data_end(struct apply *a, const struct wire_data_end *e)
{
	struct fill_ask *k = ask_find(a->fill, e->ask);
	struct fill_dir *d;
	int err;

	if (!k || !k->want || !fid_eq(&k->fid, &e->fid))
		return -EBADMSG;
	d = k->dir;
	err = fill_file_end(a, k, e);
	fill_trouble(a, err, e->ask);
	if (err == -EAGAIN)
		err = pend_put(a, d, k->group.p, k->group.len);
	ask_free(a->fill, k);
	d->pending--;
	if (!err)
		err = dir_check(a, d);
	return err ? err : go_on(a);
}

/* --- begin and end ---------------------------------------------------- */

int fill_open(struct apply *a)
{
	int r;

	a->fill = calloc(1, sizeof(*a->fill));
	if (!a->fill)
		return -ENOMEM;
	r = fidmap_tab_clear(a->map, FIDMAP_PEND);
	if (!r && !a->meta.filling)
		r = fidmap_tab_clear(a->map, FIDMAP_TODO);
	return r;
}

void fill_reset(struct apply *a)
{
	struct fill *f = a->fill;

	for (int i = 0; i < FILL_ASKS; i++)
		if (f->ask[i].ask)
			ask_free(f, &f->ask[i]);
	while (f->dirs)
		dir_free(f, f->dirs);
	fidmap_tab_clear(a->map, FIDMAP_PEND);
	if (!a->meta.filling)
		fidmap_tab_clear(a->map, FIDMAP_TODO);
	f->fetching = false;
}

void fill_close(struct apply *a)
{
	if (!a->fill)
		return;
	fill_reset(a);
	free(a->fill);
}

static int start_over(struct apply *a, const struct wire_attached *m)
{
	int r = fidmap_tab_clear(a->map, FIDMAP_TODO);

	if (a->meta.resync)
		a->meta.base = (struct izo_pos){ 0 };
	else if (!a->meta.filling)
		a->meta.base = a->meta.pos;
	a->meta.fill++;
	a->meta.filling = 1;
	a->meta.resync = 0;
	a->meta.fill_pos = m->pos;
	a->meta.root = m->root;
	a->stats.objects_done = a->stats.contents_kept = 0;
	if (!r)
		r = obj_adopt(a, a->root_fd, &m->root, 0, NULL);
	if (!r)
		r = fill_todo(a, &m->root);
	if (!r)
		r = meta_put(a);
	return r ? r : fidmap_commit(a->map);
}

static bool same_pos(const struct izo_pos *a, const struct izo_pos *b)
{
	return a->epoch == b->epoch && a->seq == b->seq;
}

int fill_start(struct apply *a, const struct wire_attached *m)
{
	int r = 0;

	a->touched = true;
	if (!a->meta.filling || !same_pos(&a->meta.fill_pos, &m->pos) ||
	    !fid_eq(&a->meta.root, &m->root) ||
	    !fidmap_tab_count(a->map, FIDMAP_TODO))
		r = start_over(a, m);
	return r ? r : go_on(a);
}

bool apply_fill_done(struct apply *a)
{
	return !a->meta.filling;
}

int fill_fetch(struct apply *a, const struct izo_fid *peer)
{
	struct fill *f = a->fill;
	struct fidmap_entry e;
	int known = fidmap_get(a->map, peer, &e), r;

	if (a->meta.filling || f->fetching || !a->spec.pump)
		return -EPROTO;
	fill_reset(a);
	f->fetching = true;
	f->fetch_result = 0;
	/* What comes is as of now, ahead of the records. */
	a->meta.redo_until = APPLY_REDO_OPEN;
	r = meta_put(a);
	if (!r)
		r = fidmap_commit(a->map);
	if (!r)
		r = ask_list(a, peer, true);
	if (!r && f->dirs)
		f->dirs->refresh = !known && !(e.flags & FIDMAP_PARTIAL) &&
				   obj_alive(a, &e);
	while (!r && !idle(a))
		r = a->spec.pump(a->spec.ctx);
	if (r)
		fill_reset(a);
	f->fetching = false;
	if (r || f->fetch_result)
		return r ? r : f->fetch_result;
	r = fidmap_get(a->map, peer, &e);
	if (!r && e.flags & FIDMAP_PARTIAL) {
		e.flags &= ~FIDMAP_PARTIAL;
		r = fidmap_put(a->map, peer, &e);
	}
	return r;
}
