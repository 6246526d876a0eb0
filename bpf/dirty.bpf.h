/* SPDX-License-Identifier: GPL-2.0 */
/*
 * dirty.bpf.h: which pages' contents changed.
 *
 * Part of capture.bpf.c. writeback_dirty_folio fires when a folio of the page
 * cache goes from clean to dirty, whoever dirties it; direct writes are seen
 * as they complete. One bit a page, set in the live map by an atomic OR. What
 * must always hold: a mark is made while the kernel still holds what makes
 * lento's write-out wait for the store (the tracepoint: i_pages' lock), so a
 * reader that swaps the map and waits for a grace period can clean the page
 * and read it; `marked` is raised after the mark; a mark that fits nowhere is
 * counted.
 */
#ifndef BPF_DIRTY_H
#define BPF_DIRTY_H

/* Pages that are marked one by one; beyond, all of the file is marked. */
#define DIRTY_CHUNKS_MAX	64

static __always_inline bool mark_in(const u32 slot, struct izo_dirty_key *key,
				    const struct izo_dirty_val *want)
{
	struct izo_dirty_val *v;
	u32 at = slot;
	void *map = bpf_map_lookup_elem(&izo_dirty, &at);

	if (!map)
		return false;
	v = bpf_map_lookup_elem(map, key);
	if (!v) {
		if (!bpf_map_update_elem(map, key, want, BPF_NOEXIST))
			goto marked;
		/* full, or another CPU was first */
		v = bpf_map_lookup_elem(map, key);
		if (!v)
			return false;
	}
#pragma unroll
	for (int k = 0; k < IZO_CHUNK_PAGES / 64; k++)
		if (want->bits[k] & ~v->bits[k])
			__sync_fetch_and_or(&v->bits[k], want->bits[k]);
marked:
	if (!izo_conf.marked[slot])
		izo_conf.marked[slot] = 1;
	return true;
}

static __noinline int mark_whole(struct izo_dirty_key *key)
{
	struct izo_dirty_val all = { .bits = { 1 } };
	struct izo_dirty_key k = *key;

	k.chunk = IZO_CHUNK_WHOLE;
	count_add(&izo_count.overflow, 1);
	if (!mark_in(IZO_DIRTY_WHOLE, &k, &all)) {
		count_add(&izo_count.lost_marks, 1);
		return 1;
	}
	return 0;
}

/* Bits lo..hi of one word. */
static __always_inline u64 word_bits(u32 word, u32 lo, u32 hi)
{
	u32 from = word * 64, to = from + 63;

	if (hi < from || lo > to)
		return 0;
	if (lo > from)
		from = lo;
	if (hi < to)
		to = hi;
	return (~0ULL >> (63 - (to - from))) << (from & 63);
}

/* Marks pages first..last of the file in key. */
static __noinline int mark_pages(struct izo_dirty_key *key, u64 first, u64 last)
{
#pragma clang loop unroll(disable)
	for (u32 n = 0; n < DIRTY_CHUNKS_MAX; n++) {
		struct izo_dirty_val v;
		u64 base = first & ~(u64)(IZO_CHUNK_PAGES - 1);
		u32 lo = first - base, hi;

		hi = last - base < IZO_CHUNK_PAGES - 1 ? last - base :
			IZO_CHUNK_PAGES - 1;
		v.bits[0] = word_bits(0, lo, hi);
		v.bits[1] = word_bits(1, lo, hi);
		v.bits[2] = word_bits(2, lo, hi);
		v.bits[3] = word_bits(3, lo, hi);
		key->chunk = base / IZO_CHUNK_PAGES;
		if (!mark_in(IZO_DIRTY_PAGES, key, &v))
			return mark_whole(key);
		first = base + IZO_CHUNK_PAGES;
		if (first > last)
			return 0;
	}
	return mark_whole(key);
}

static __always_inline void dirty_key(struct izo_dirty_key *key, struct inode *i)
{
	key->ino = i->i_ino;
	key->subvol = subvol_of(i);
	key->gen = i->i_generation;
	key->chunk = 0;
}

/* Inodes that have pages but no name: the btree of btrfs (whose mode is what
 * the slab happened to hold, seen on 6.1), its relocation and free-space
 * inodes in trees of its own; quota files of ext4. */
static __always_inline bool internal(const struct izo_dirty_key *key)
{
	if (izo_fs == IZO_FS_BTRFS)
		return key->ino < 256 ||
			(key->subvol != 5 && key->subvol - 256 >= -512ULL);
	return izo_fs == IZO_FS_EXT4 && key->ino < 11;
}

static __always_inline void count_marks(u64 pages)
{
	count_add(&izo_count.dirty, pages);
	if (izo_conf.applier) {
		struct izo_origin *o;

		o = bpf_task_storage_get(&izo_task, bpf_get_current_task_btf(),
					 NULL, 0);
		if (o && o->peer)
			count_add(&izo_count.origin_marks, pages);
	}
}

static __always_inline u64 folio_pages(struct folio *f)
{
	struct folio___618 *f618 = (void *)f;
	struct folio___nr *nr = (void *)f;
	struct folio___nr615 *nr615 = (void *)f;
	struct folio___order *order = (void *)f;
	u64 flags;

	if (bpf_core_field_exists(f618->flags.f))
		flags = f618->flags.f;
	else
		flags = f->flags;
	if (!(flags >> bpf_core_enum_value(enum pageflags, PG_head) & 1))
		return 1;
	if (bpf_core_field_exists(nr->_folio_nr_pages))
		return nr->_folio_nr_pages;
	if (bpf_core_field_exists(nr615->_nr_pages))
		return nr615->_nr_pages;
	return 1ULL << (order->_flags_1 & 0xff);
}

SEC("tp_btf/writeback_dirty_folio")
int izo_folio(u64 *ctx)
{
	struct folio *f = (void *)ctx[0];
	struct address_space *mapping = (void *)ctx[1];
	struct izo_dirty_key key;
	struct inode *i;
	u64 first, pages;

	if (!f || !mapping)	/* 7.x: arguments may be NULL */
		return 0;
	i = mapping->host;
	if (!i || !ours(i) || (i->i_mode & S_IFMT) != S_IFREG)
		return 0;
	if (own(i) || outside_inode(i))
		return 0;
	dirty_key(&key, i);
	if (internal(&key))
		return 0;
	first = f->index;
	pages = folio_pages(f);
	count_marks(pages);
	if (pages == 1) {
		struct izo_dirty_val v = {};

		key.chunk = first / IZO_CHUNK_PAGES;
		v.bits[first / 64 % 4] = 1ULL << (first & 63);
		if (!mark_in(IZO_DIRTY_PAGES, &key, &v))
			mark_whole(&key);
		return 0;
	}
	mark_pages(&key, first, first + pages - 1);
	return 0;
}

#define IOMAP_DIO_WRITE_BIT	30	/* fs/iomap/direct-io.c, 5.x to 7.3 */
#define IOMAP_DIO_NEED_SYNC_BIT	29
#define IOCB_DSYNC		0x2	/* RWF_DSYNC */

/* A direct write: saved at the entry, because the dio is freed inside, and
 * marked at the exit, because the new size is set inside. One that is to be
 * synced is marked at the entry too, for its fsync is called inside and must not
 * come before the mark; and one that the device has written through is not
 * synced by any call: here is its order point. */
static __always_inline void synced_write(struct kiocb *iocb, struct iomap_dio *dio,
					 const struct dio_range *range)
{
	struct izo_dirty_key key = range->key;
	struct izo_record *r;

	mark_pages(&key, range->first, range->last);
	if (dio->flags >> IOMAP_DIO_NEED_SYNC_BIT & 1)
		return;
	r = plain(IZO_FSYNC, iocb->ki_filp->f_inode);
	if (r)
		end(r, 0);
}

WORK("fentry/iomap_dio_complete", dio_in)
{
	struct iomap_dio *dio = (void *)ctx[0];
	struct kiocb *iocb = dio->iocb;
	struct dio_key dk = { (u64)dio, bpf_get_current_pid_tgid() };
	struct dio_range range = {};
	struct inode *i = iocb->ki_filp->f_inode;

	if (!(dio->flags >> IOMAP_DIO_WRITE_BIT & 1) || dio->size <= 0)
		return 0;
	if (!ours(i) || own(i) || outside_inode(i))
		return 0;
	dirty_key(&range.key, i);
	range.first = iocb->ki_pos >> 12;
	range.last = (iocb->ki_pos + dio->size - 1) >> 12;
	if (iocb->ki_flags & IOCB_DSYNC)
		synced_write(iocb, dio, &range);
	/* What may still be there: of this very call; of one whose exit was missed,
	 * which is counted; or one that could not be deleted, whose mark was made. */
	if (bpf_map_update_elem(&izo_dio, &dk, &range, BPF_ANY))
		count_add(&izo_count.lost_marks, 1);
	return 0;
}

WORK("fexit/iomap_dio_complete", dio_out)
{
	struct dio_key dk = { ctx[0], bpf_get_current_pid_tgid() };
	struct dio_range *range, copy;

	if (!izo_conf.dev)
		return 0;
	range = bpf_map_lookup_elem(&izo_dio, &dk);
	if (!range)
		return 0;
	copy = *range;
	bpf_map_delete_elem(&izo_dio, &dk);
	count_marks(copy.last - copy.first + 1);
	mark_pages(&copy.key, copy.first, copy.last);
	return 0;
}

#endif
