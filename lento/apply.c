// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * apply.c: batches. Enters: BATCH, HOLLOW, contents, RECORDS, BATCH_END in this
 * order. A frame of records is gone through twice: first the objects that it
 * creates are built in stage/ and committed to the map, together with the
 * batch's last sequence (the intent), then the records are applied one by one.
 * A crash in between leaves a tree that is ahead of its position by at most the
 * intent, and a map that knows every object in it: the batch comes again and
 * the same code, finding things done, finishes (redo). BATCH_END sets the
 * directories' times and commits the position.
 */
#include <string.h>
#include "lento/apply_inner.h"
#include "lento/lift.h"
#include "lib/cleanup.h"
#include "lib/log.h"

static void forget_batch(struct apply *a)
{
	fidtab_clear(&a->fresh);
	fidtab_clear(&a->dir_times);
	a->in_batch = a->intent_set = false;
}

/* The batch before was given up (the link broke, an error): it comes again. */
static int abort_batch(struct apply *a)
{
	inflow_abort(a);
	dircache_clear(a);
	forget_batch(a);
	return hollow_load(a);
}

static bool has_grown(const struct apply *a, const struct wire_batch *b)
{
	return a->in_batch && !a->intent_set &&
	       b->first_seq == a->batch.first_seq &&
	       b->last.epoch == a->batch.last.epoch &&
	       b->last.seq > a->batch.last.seq;
}

int apply_batch(struct apply *a, const struct wire_batch *b)
{
	uint64_t ahead = a->meta.intent;
	int r = 0;

	if (a->meta.filling || a->meta.resync)
		return -EPROTO;
	if (has_grown(a, b)) {
		a->batch = *b;
		return 0;
	}
	if (a->in_batch)
		r = abort_batch(a);
	if (r < 0)
		return r;
	if (a->meta.redo_until == APPLY_REDO_OPEN) {
		a->meta.redo_until = 0;
		ahead = b->tip > b->last.seq ? b->tip : b->last.seq;
	}
	if (ahead > a->meta.redo_until)
		a->meta.redo_until = ahead;
	a->batch = *b;
	a->in_batch = true;
	a->intent_set = false;
	return 0;
}

int or_refuse(struct apply *a, int r)
{
	if (r < 0)
		a->in_batch = false;
	return r;
}

static int data(struct apply *a, const struct wire_data *d, const void *bytes)
{
	int r;

	if (!d->ask && !a->in_batch)
		return -EPROTO;
	r = d->len ? inflow_data(a, d, bytes) : 0;
	if (r && d->ask)
		fill_trouble(a, r, d->ask);
	else
		trouble_fid(a, r, &d->fid);
	return d->ask ? r : or_refuse(a, r);
}

int apply_data(struct apply *a, const struct wire_data *d, const void *bytes)
{
	return data(a, d, bytes);
}

int apply_hole(struct apply *a, const struct wire_data *d)
{
	return data(a, d, NULL);
}

static int batch_data_end(struct apply *a, const struct wire_data_end *e)
{
	struct fidmap_entry known;
	struct fidtab_item *it;
	int r = inflow_end(a, e, NULL);

	trouble_fid(a, r, &e->fid);
	if (r < 0 || e->status != WIRE_DATA_OK)
		return r;
	it = fidtab_put(&a->fresh, &e->fid);
	if (!it)
		return -ENOMEM;
	/* nsec 1: it lies in stage and waits for its record. */
	it->time.nsec = fidmap_get(a->map, &e->fid, &known) ? 1 : 0;
	return 0;
}

int apply_data_end(struct apply *a, const struct wire_data_end *e)
{
	if (e->ask)
		return fill_data_end(a, e);
	return a->in_batch ? or_refuse(a, batch_data_end(a, e)) : -EPROTO;
}

int batch_intent(struct apply *a)
{
	int r = 0;

	if (!a->intent_set) {
		if (a->batch.last.seq > a->meta.intent)
			a->meta.intent = a->batch.last.seq;
		r = meta_put(a);
		a->intent_set = !r;
	}
	a->touched = true;
	return r ? r : fidmap_commit(a->map);
}

/* What had no room in the record comes as it is now. */
static int fetch_cut(struct apply *a, const struct izo_record *r)
{
	int err = fill_fetch(a, &r->obj);

	return err == -ENOENT ? 0 : err;
}

static int apply_one(struct apply *a, const struct izo_record *r)
{
	bool cut = r->flags & IZO_F_NAME_CUT;
	int err;

	if (names_has(r)) {	/* a new object: complete before it is seen */
		err = cut ? fetch_cut(a, r) : 0;
		return err ? err : names_apply(a, r);
	}
	switch (r->kind) {
	case IZO_SETATTR:
	case IZO_XATTR:
	case IZO_ACL:
	case IZO_FILEATTR:
		return cut ? fetch_cut(a, r) : attrs_apply(a, r);
	case IZO_CLOSE:
		err = attrs_apply(a, r);
		return err ? err : names_apply(a, r);
	case IZO_FALLOC:	/* contents come as DATA */
	case IZO_REMAP:
	case IZO_FSYNC:
	case IZO_SYNCFS:
	case IZO_OPENW:
	case IZO_RESCAN:
	case IZO_DIRTY:
	case IZO_DUE:
	case IZO_BORDER:
		return 0;
	case IZO_GAP:
		a->meta.resync = 1;
		err = meta_put(a);
		err = err ? err : fidmap_commit(a->map);
		return err ? err : -EUCLEAN;
	}
	return -EBADMSG;
}

static int apply_record(struct apply *a, const struct izo_record *r)
{
	struct hollow_out out;
	int err = hollow_record(a->hollow, r, &out);

	if (err)
		return err;
	for (unsigned i = 0; !err && i < out.n; i++)
		err = apply_one(a, out.action[i]);
	hollow_out_done(&out);
	if (!err)
		err = names_hollow(a, r);
	if (!err)
		err = attrs_note_times(a, r);
	a->stats.records++;
	if (err && err != -EUCLEAN)
		log_err("%s: %s: record %llu (%s, inode %llu): %s",
			a->spec.fileset, a->spec.peer,
			(unsigned long long)r->seq, kind_name(r->kind),
			(unsigned long long)r->obj.ino, strerror(-err));
	return err;
}

/* fn on each record of the frame. */
static int each(struct apply *a, const void *records, size_t bytes,
		int (*fn)(struct apply *a, const struct izo_record *r))
{
	const struct izo_record *r;
	const char *p = records;
	int err = 0;

	while (bytes && !err) {
		err = record_check(p, bytes, &r, NULL);
		if (err)
			return err == -EAGAIN ? -EBADMSG : err;
		p += r->len;
		bytes -= r->len;
		if (fn)
			err = fn(a, r);
		trouble_record(a, err, &r->dir, r);
	}
	return err;
}

int apply_records(struct apply *a, const void *records, size_t bytes)
{
	int r;

	if (!a->in_batch)
		return -EPROTO;
	r = each(a, records, bytes, NULL);
	if (!r)
		r = each(a, records, bytes, names_prepare);
	if (!r)
		r = batch_intent(a);
	if (!r)
		r = each(a, records, bytes, apply_record);
	return or_refuse(a, r);
}

/* Contents for which no record came are not kept. */
static int drop_leftovers(struct apply *a)
{
	int r = 0;

	for (uint32_t i = 0; !r && i < a->fresh.size; i++) {
		struct fidtab_item *it = &a->fresh.item[i];
		struct fidmap_entry e;
		char name[STAGE_NAME_MAX];

		if (!it->fid.ino || !it->time.nsec ||
		    !fidmap_get(a->map, &it->fid, &e))
			continue;
		stage_name(&it->fid, name);
		r = stage_delete(&a->stage, a->stage.dir, name, NULL, NULL);
	}
	return r;
}

int apply_batch_end(struct apply *a, const struct izo_pos *pos)
{
	int r;

	if (!a->in_batch || pos->seq != a->batch.last.seq ||
	    pos->epoch != a->batch.last.epoch)
		return -EPROTO;
	inflow_abort(a);
	r = attrs_flush_times(a);
	if (!r)
		r = drop_leftovers(a);
	if (!r)
		r = hollow_save(a);
	if (r)
		return r;
	a->meta.pos = *pos;
	if (a->meta.intent <= pos->seq)
		a->meta.intent = 0;
	a->touched = true;
	r = redo_end(a);
	if (!r)
		r = meta_put(a);
	forget_batch(a);
	return r ? r : fidmap_commit(a->map);
}

/* The position is past everything that may have been done before. */
int redo_end(struct apply *a)
{
	int r;

	if (!a->meta.redo_until || a->meta.pos.seq < a->meta.redo_until)
		return 0;
	a->meta.redo_until = 0;
	r = names_empty_limbo(a, true);
	return r ? r : names_clean_stage(a);
}

void apply_relieve(struct apply *a)
{
	/* What a fill still finds a use for is sent once more instead. */
	if (a->meta.filling && !names_empty_limbo(a, false))
		fidmap_commit(a->map);
}

void apply_attach(struct apply *a, struct wire_attach *ret)
{
	*ret = (struct wire_attach){ .mode = WIRE_MODE_STREAM };
	memcpy(ret->uuid, a->spec.uuid, sizeof(ret->uuid));
	strncpy(ret->name, a->spec.fileset, WIRE_NAME_MAX);
	if (a->meta.filling)
		ret->pos = a->meta.fill_pos;
	else if (!a->meta.resync)
		ret->pos = a->meta.pos;
	if (a->meta.filling)
		ret->base = a->meta.base;
	else if (!a->meta.resync)
		ret->base = a->meta.pos;
	if (a->meta.filling || a->meta.resync || !ret->pos.epoch)
		ret->mode = WIRE_MODE_FILL;
}

int apply_attached(struct apply *a, const struct wire_attached *m)
{
	int r = abort_batch(a);

	a->trouble[0] = 0;
	fill_reset(a);
	if (r < 0)
		return r;
	if (m->mode == WIRE_MODE_FILL)
		return fill_start(a, m);
	if (m->mode != WIRE_MODE_STREAM || a->meta.filling || a->meta.resync)
		return -EPROTO;
	if (a->meta.redo_until == APPLY_REDO_OPEN)
		a->meta.redo_until = m->tip;
	if (a->meta.intent > a->meta.redo_until)
		a->meta.redo_until = a->meta.intent;
	r = redo_end(a);
	if (!r)
		r = meta_put(a);
	return r ? r : fidmap_commit(a->map);
}

enum fs_state apply_state(struct apply *a, uint64_t tip)
{
	if (a->meta.filling || (!a->meta.pos.epoch && !a->meta.resync))
		return FS_FILL;
	if (a->meta.resync)
		return FS_RESYNC;
	if (apply_calm(a) && (a->meta.redo_until != APPLY_REDO_OPEN ||
			      a->meta.pos.seq < tip))
		return FS_RECOVERY;
	return a->stats.hollow || a->meta.pos.seq < tip ? FS_SYNCING :
							   FS_SYNCED;
}

void apply_stats(struct apply *a, struct apply_stats *ret)
{
	*ret = a->stats;
}

void apply_positions(struct apply *a, struct izo_pos *ret_applied,
		     struct izo_pos *ret_durable)
{
	*ret_applied = a->meta.pos;
	*ret_durable = a->durable;
}
