/* SPDX-License-Identifier: GPL-2.0 */
/*
 * emit.bpf.h: reserve, zero, fill, submit.
 *
 * A slot of the ring has one of a few constant sizes, the record in it says
 * its true length. Enters: a kind and inodes. Leaves: a record in the ring,
 * or, when the ring is full, an entry of izo_lost and a count. What must
 * always hold: the sequence is taken for every record wanted, so that a
 * missing one shows; nothing is dropped without a count; the reader is woken
 * only when a quarter of the ring is used.
 */
#ifndef BPF_EMIT_H
#define BPF_EMIT_H

#include <linux/errno.h>
#include "bpf/object.bpf.h"

/* Room behind the fixed part; one word more for the padding. */
#define VAR_NAME	72	/* a name below 64 bytes */
#define VAR_LONG	280	/* any name; an xattr's prefix not yet checked */
#define VAR_TWO		136	/* two names below 64 bytes */
#define VAR_TWO_LONG	520
#define VAR_DATA	(VAR_LONG + 512)
#define VAR_PAGE	(VAR_LONG + 4096 + 1024)
#define VAR_BIG		(VAR_LONG + IZO_DATA_MAX)
#define SLOT(var)	bpf_ringbuf_reserve(&izo_ring, IZO_RECORD_FIXED + (var), 0)

/* A length that the verifier can follow whatever the compiler makes of the
 * checks around it; mask + 1 is a power of two. */
#define BOUND(x, mask) ({ u64 _b = (x); \
	asm volatile("%0 &= %1" : "+r"(_b) : "i"(mask)); _b; })

static __always_inline void count_add(u64 *c, u64 n)
{
	__sync_fetch_and_add(c, n);
}

static __noinline void lost(struct izo_fid *fid, u64 kind)
{
	u64 bit = 1ULL << (kind & 63), *had;

	count_add(&izo_count.dropped, 1);
	had = bpf_map_lookup_elem(&izo_lost, fid);
	if (had)
		__sync_fetch_and_or(had, bit);
	else if (bpf_map_update_elem(&izo_lost, fid, &bit, BPF_ANY))
		count_add(&izo_count.unlisted, 1);
}

/* After each reserve. With no slot the object goes to the lost ones. */
static __always_inline bool begin(struct izo_record *r, u32 kind, struct inode *i)
{
	u64 seq = __sync_fetch_and_add(&izo_count.seq, 1);

	if (!r) {
		struct izo_fid fid = {};

		fid_of(&fid, i);
		lost(&fid, kind);
		return false;
	}
	__builtin_memset(r, 0, sizeof(*r));
	r->ring_seq = seq;
	r->kind = kind;
	return true;
}

static __always_inline void origin_of(struct izo_record *r, struct task_struct *t)
{
	struct izo_origin *o;

	if (!izo_conf.applier)
		return;
	o = bpf_task_storage_get(&izo_task, t, NULL, 0);
	if (!o || !o->peer)
		return;
	r->flags |= IZO_F_ORIGIN;
	r->origin_peer = o->peer;
	r->origin_seq = o->seq;
}

static __always_inline void who(struct izo_record *r)
{
	struct task_struct *t = bpf_get_current_task_btf();
	const u64 *comm = (const u64 *)&t->comm;

	r->pid = t->tgid;
	r->who = t->cred->fsuid.val;
	((u64 *)r->comm)[0] = comm[0];
	((u64 *)r->comm)[1] = comm[1];
	r->clock_ns = bpf_ktime_get_ns();
	origin_of(r, t);
}

static __always_inline void object(struct izo_record *r, struct inode *i)
{
	fid_of(&r->obj, i);
	attr_of(&r->attr, i);
	r->txn = txn_of(i);
	if (is_dir(i))
		r->flags |= IZO_F_TREE;
}

static __always_inline void parent(struct izo_record *r, struct inode *dir)
{
	fid_of(&r->dir, dir);
	TIME_OF(dir, &r->dir_mtime, mtime);
}

/* Zeroes what a length rounded up to 8 covers beyond itself. */
static __always_inline void pad(struct izo_record *r, u64 var)
{
	*(u64 *)(r->var + (var & ~7ull)) = 0;
}

static __always_inline void end(struct izo_record *r, u32 var)
{
	u64 flags = BPF_RB_NO_WAKEUP;

	r->len = (IZO_RECORD_FIXED + var + 7) & ~7u;
	count_add(&izo_count.records, 1);
	count_add(&izo_count.bytes, r->len);
	count_add(&izo_count.kind[r->kind & 63], 1);
	if (!(r->ring_seq & 15) &&
	    bpf_ringbuf_query(&izo_ring, BPF_RB_AVAIL_DATA) > izo_conf.ring_quarter)
		flags = BPF_RB_FORCE_WAKEUP;
	bpf_ringbuf_submit(r, flags);
}

/* A record that says only what happened to an object. */
static __always_inline struct izo_record *plain(u32 kind, struct inode *i)
{
	struct izo_record *r = SLOT(0);

	if (!begin(r, kind, i))
		return NULL;
	who(r);
	object(r, i);
	return r;
}

static __always_inline void inherited(struct izo_record *r, struct inode *i)
{
	r->op_flags = inherited_flags(i);
	r->off = inherited_project(i);
}

static __always_inline u32 name_len(struct dentry *d)
{
	u32 n = d->d_name.len;

	return n > IZO_NAME_MAX ? IZO_NAME_MAX : n;
}

/* What the inode holds is to be read again; flags: IZO_RESCAN_*. */
static __always_inline void rescan_how(struct inode *i, u32 flags)
{
	struct izo_record *r;

	if (!ours(i) || own(i) || outside_inode(i))
		return;
	r = plain(IZO_RESCAN, i);
	if (!r)
		return;
	r->op_flags = flags;
	end(r, 0);
}

static __always_inline void rescan(struct inode *i)
{
	rescan_how(i, 0);
}

/* Refusals change nothing. What failed for any other reason, above all for want of
 * space, may have changed a part: xfs drops a range before it finds that it cannot
 * be allocated. An mtime that such a call left alone comes with the close. */
static __always_inline bool half_done(s64 error)
{
	switch ((int)error) {
	case -EPERM:
	case -EBADF:
	case -EACCES:
	case -EXDEV:
	case -ENODEV:
	case -EISDIR:
	case -EINVAL:
	case -ETXTBSY:
	case -EFBIG:
	case -EOPNOTSUPP:
		return false;
	}
	return error < 0;
}

#endif
