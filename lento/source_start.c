// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * source_start.c: from the state on disk to an armed capture and a whole index.
 * Adopted capture and an index of the journal's epoch: the journal's tail is
 * replayed into it. Otherwise: a new epoch and one pass over the names.
 */
#include "lento/source_private.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>
#include "lib/cleanup.h"
#include "lib/codec.h"
#include "lib/log.h"

#define INDEX_FORMAT	"3"	/* of its tables: another one is built anew */

/* The rules by which the index was built. */
static uint64_t rules_of(const struct source *s)
{
	XXH3_state_t *x = XXH3_createState();
	uint64_t h = 0;

	if (!x)
		return 0;
	XXH3_64bits_reset(x);
	XXH3_64bits_update(x, INDEX_FORMAT, sizeof(INDEX_FORMAT));
	for (size_t i = 0; i < s->conf->nexclude; i++)
		XXH3_64bits_update(x, s->conf->exclude[i],
				   strlen(s->conf->exclude[i]) + 1);
	h = XXH3_64bits_digest(x);
	XXH3_freeState(x);
	return h;
}

/* Its first border tells since when capture is whole again. */
static int begin_epoch(struct source *s)
{
	struct izo_pos end;
	int e = 0;

	journal_end(s->journal, &end);
	if (end.seq) {
		do
			e = journal_new_epoch(s->journal);
		while (source_wait_room(s, e));
	}
	s->began = now_real();
	return e ? e : source_border(s, false);
}

/* One pass over the names of the tree; positions of before are void. */
int source_build_index(struct source *s)
{
	uint64_t t0 = now_ms(), n;
	int e;

	settle_free(s->settle);
	s->settle = settle_new(s->conf->settle_ms);
	if (!s->settle)
		return -ENOMEM;
	s->mark = (struct index_mark){ .rules = rules_of(s) };
	e = begin_epoch(s);
	if (!e)
		e = index_build(s->index, &s->mount, &n);
	if (e)
		return e;
	s->nagain = 0;
	e = index_commit(s->index, &s->mark);
	pthread_mutex_lock(&s->lock);
	s->stats.walked = true;
	s->stats.walk_objects = n;
	s->stats.walk_ms = now_ms() - t0;
	pthread_mutex_unlock(&s->lock);
	log_info("fileset %s: indexed %llu objects in %llu ms", s->conf->name,
		 (unsigned long long)n, (unsigned long long)(now_ms() - t0));
	return e;
}

int source_void_index(struct source *s)
{
	s->mark.epoch = 0;
	return index_commit(s->index, &s->mark);
}

static int note_again(struct source *s, uint64_t ring_seq)
{
	if (s->nagain == s->again_size) {
		size_t size = s->again_size ? s->again_size * 2 : 256;
		uint64_t *p = realloc(s->again, size * sizeof(*p));

		if (!p)
			return -ENOMEM;
		s->again = p;
		s->again_size = size;
	}
	s->again[s->nagain++] = ring_seq;
	return 0;
}

static int replay_record(struct source *s, const struct izo_record *r)
{
	int e = 0;

	if (r->seq > s->mark.seq) {
		e = scope_note(s->index, &s->mount, r);
		s->mark.seq = r->seq;
	}
	/* A cycle of which only a part was journaled gets its border later. */
	s->appended = r->kind != IZO_BORDER;
	if (r->kind == IZO_BORDER) {
		s->cycle_first = r->seq + 1;
		s->known = r->attr.ctime;
		s->mark.horizon_from = r->off;
	}
	if (!e)
		e = horizon_note(s->horizon, r);
	if (!e && r->ring_seq && r->seq >= s->mark.cycle_from)
		e = note_again(s, r->ring_seq);
	if (r->kind == IZO_DUE || (r->kind == IZO_UNLINK && !r->attr.nlink))
		settle_forget(s->settle, &r->obj);
	for (unsigned i = 0; !e && r->kind == IZO_DIRTY && i < record_nranges(r); i++)
		e = settle_mark(s->settle, &r->obj, record_range(r, i), now_ms(),
				0);
	return e;
}

/* A ring record may become two in the journal. When its cycle was cut, the last
 * one is taken once more: what was done of it is then found done. */
static void forget_last_again(struct source *s)
{
	uint64_t last = s->nagain ? s->again[s->nagain - 1] : 0;

	while (s->nagain && s->again[s->nagain - 1] == last)
		s->nagain--;
}

/* Brings index and pending contents up to the journal's end. */
static int replay_journal(struct source *s)
{
	uint64_t from = s->mark.seq + 1, first = journal_first_seq(s->journal);
	struct journal_reader *reader;
	const struct izo_record *r;
	int e;

	s->cycle_first = from;
	if (s->mark.cycle_from && s->mark.cycle_from < from)
		from = s->mark.cycle_from;
	if (s->mark.pending_from && s->mark.pending_from < from)
		from = s->mark.pending_from;
	if (s->mark.horizon_from && s->mark.horizon_from < from)
		from = s->mark.horizon_from;
	if (from < first)
		from = first;
	e = journal_reader_new(s->journal, from, &reader);
	if (e)
		return e;
	while ((e = journal_reader_next(reader, &r)) > 0) {
		e = replay_record(s, r);
		if (e)
			break;
	}
	journal_reader_free(reader);
	if (s->appended)
		forget_last_again(s);
	return e ? e : index_commit(s->index, &s->mark);
}

static int bring_up_index(struct source *s, bool adopted)
{
	bool other_rules;
	struct izo_pos end;

	journal_end(s->journal, &end);
	index_mark_get(s->index, &s->mark);
	other_rules = s->mark.epoch && s->mark.rules != rules_of(s);
	if (adopted && s->mark.epoch == end.epoch && s->mark.seq <= end.seq &&
	    s->mark.epoch && !other_rules)
		return replay_journal(s);
	if (other_rules)
		log_info("fileset %s: what is excluded has changed: the tree is compared",
			 s->conf->name);
	else if (s->mark.epoch || end.seq)	/* no mark: the index went unread */
		log_warn("fileset %s: capture was not continuous since position %llu: the tree is compared",
			 s->conf->name, (unsigned long long)
			 (s->mark.epoch ? s->mark.seq : end.seq));
	horizon_reset(s->horizon, end.seq + 1);
	return source_build_index(s);
}

/* m: the mount by which the state folder was opened. */
static void add_own(const struct fid_mount *m, int dir_fd, struct capture_spec *spec,
		    int depth)
{
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_dir_ DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *ent;

	if (!d) {
		cleanup_fd(&fd);
		return;
	}
	if (spec->nown < CAPTURE_OWN_MAX &&
	    !fid_of(m, fd, "", &spec->own[spec->nown]))
		spec->nown++;
	while ((ent = readdir(d)) && spec->nown < CAPTURE_OWN_MAX) {
		_cleanup_fd_ int sub = -1;

		if (!strcmp(ent->d_name, ".") || !strcmp(ent->d_name, ".."))
			continue;
		sub = openat(fd, ent->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW |
			     O_CLOEXEC);
		if (sub >= 0 && depth)
			add_own(m, sub, spec, depth - 1);
		else if (sub < 0 && !fid_of(m, fd, ent->d_name,
					    &spec->own[spec->nown]))
			spec->nown++;
	}
}

/* Our own folders and files, as far as they lie on the fileset's filesystem: BPF
 * leaves them out. What is made later is left out by its name. */
static void own_objects(struct source *s, struct capture_spec *spec)
{
	struct fid_mount m;

	if (!fid_mount_init(&m, s->root_fd))
		add_own(&m, s->state_fd, spec, 2);
}

bool source_own_file(struct source *s, const struct izo_fid *fid)
{
	struct capture_spec spec = { .nown = 0 };

	own_objects(s, &spec);
	for (unsigned i = 0; i < spec.nown; i++)
		if (fid_eq(&spec.own[i], fid))
			return true;
	return false;
}

/* Is the root the top of its filesystem (or btrfs subvolume alone on it)? */
static bool whole_filesystem(struct source *s)
{
	struct stat st, up;

	return fstat(s->root_fd, &st) == 0 &&
	       fstatat(s->root_fd, "..", &up, 0) == 0 && st.st_dev != up.st_dev &&
	       !(s->mount.fs == FID_FS_BTRFS && s->root.subvol != 5);
}

static int open_capture(struct source *s, bool *ret_adopted, char *err, size_t size)
{
	struct capture_spec spec = {
		.root = s->conf->path,
		.root_fd = s->root_fd,
		.pin_name = s->conf->name,
		.ring_bytes = s->conf->ring_bytes,
		.timer_min_ms = 1,
		.timer_max_ms = 10,
	};

	if (!strncmp(s->conf->capture, "script:", 7))
		spec.script = s->conf->capture + 7;
	if (!whole_filesystem(s)) {
		spec.roots[0] = s->root;
		spec.nroots = 1;
	}
	own_objects(s, &spec);
	return s->ops->open(&spec, &s->capture, ret_adopted, err, size);
}

/* Its commits are not synced: where capture had a hole it may be of before a power
 * cut, and is not looked into. */
static int open_index(struct source *s, bool *adopted)
{
	int e = -EUCLEAN;

	if (*adopted)
		e = index_open(s->state_fd, &s->root, s->conf->exclude,
			       s->conf->nexclude, &s->index);
	if (!e)
		return 0;
	*adopted = false;
	e = index_remove(s->state_fd);
	return e ? e : index_open(s->state_fd, &s->root, s->conf->exclude,
				  s->conf->nexclude, &s->index);
}

int source_bring_up(struct source *s, char *err, size_t size)
{
	struct journal_options options = { .segment_bytes = s->conf->segment_bytes };
	_cleanup_fd_ int dir = -1;
	bool adopted = false;
	int e;

	if (mkdirat(s->state_fd, "journal", 0700) && errno != EEXIST)
		return -errno;
	dir = openat(s->state_fd, "journal", O_RDONLY | O_DIRECTORY);
	if (dir < 0)
		return -errno;
	e = journal_open(dir, s->conf->uuid, &options, &s->journal, err, size);
	if (!e && mkdirat(s->state_fd, "index", 0700) && errno != EEXIST)
		e = -errno;
	if (!e)
		e = open_capture(s, &adopted, err, size);
	if (!e)
		e = open_index(s, &adopted);
	if (e)
		return e;
	if (err[0]) {		/* the journal's torn tail was cut */
		log_warn("fileset %s: %s", s->conf->name, err);
		err[0] = 0;
	}
	s->armed = true;
	s->scope = (struct scope){ s->index, &s->mount, source_emit, s };
	return bring_up_index(s, adopted);
}
