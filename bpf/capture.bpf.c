// SPDX-License-Identifier: GPL-2.0
/*
 * capture.bpf.c: what changed on one superblock, and succeeded.
 *
 * fexit programs on the filesystem's own operations; one program for a kind
 * of operation serves every filesystem, lento finds the function behind the
 * operation's pointer and sets the target. They run after the operation, the
 * namespace ones still under the directory's lock, so ring order is the order
 * of the directory. Enters: the operation's arguments and result. Leaves:
 * records (emit.bpf.h) and marks of dirty pages (dirty.bpf.h). Attributes and
 * xattrs are in attrs.bpf.h, contents and order points in contents.bpf.h.
 * All but those of dirty pages and of the end of the superblock are entered by
 * the programs of turns.bpf.c, which stand on the function in their place.
 * What must always hold: a failed operation leaves nothing; an operation that
 * succeeded leaves its record, or a count of a lost one.
 */
#include "bpf/emit.bpf.h"
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "GPL";

/* The slot of the result moves with the number of arguments. */
static __always_inline s64 result(u64 *ctx)
{
	u64 ret = 0;

	bpf_get_func_ret(ctx, &ret);
	return ret;
}
#define FAILED(ctx) ((int)result(ctx) != 0)

#include "bpf/work.bpf.h"
#include "bpf/acl.bpf.h"

/* A name in a directory. `others`: names the object has besides this one. */
static __always_inline int entry(u32 kind, struct inode *dir, struct dentry *d,
				 struct inode *i, u32 others)
{
	struct izo_record *r;
	u64 n;

	if (outside(d->d_parent, others) || own(dir))
		return 0;
	n = kind == IZO_TMPFILE ? 0 : name_len(d);
	if (n < 64) {
		n = BOUND(n, 63);
		r = SLOT(VAR_NAME);
	} else {
		n = BOUND(n, 255);
		r = SLOT(VAR_LONG);
	}
	if (!begin(r, kind, i))
		return 0;
	who(r);
	object(r, i);
	parent(r, dir);
	pad(r, n);
	if (kind == IZO_CREATE || kind == IZO_MKDIR || kind == IZO_TMPFILE)
		inherited(r, i);
	bpf_probe_read_kernel(r->var, n, d->d_name.name);
	r->name_len = n;
	end(r, n);
	return 0;
}

/* A new inode: what it inherited goes along. */
static __always_inline int created(u32 kind, struct inode *dir, struct dentry *d,
				   struct inode *i)
{
	if (inherits(dir, i))
		return entry_acl(kind, dir, d, i);
	return entry(kind, dir, d, i, 0);
}

WORK("fexit", create)
{
	struct inode *dir = (void *)ctx[1];
	struct dentry *d = (void *)ctx[2];

	if (FAILED(ctx) || !ours(dir))
		return 0;
	return created(IZO_CREATE, dir, d, d->d_inode);
}

/* From 6.15 on the result is a dentry: NULL, an error, or, for filesystems
 * that find the inode aliased, another one than was asked for. Those with a
 * local directory return NULL, so the argument's inode is the right one. */
WORK("fexit", mkdir)
{
	struct inode *dir = (void *)ctx[1];
	struct dentry *d = (void *)ctx[2];
	s32 ret = result(ctx);

	if ((ret < 0 && ret >= -4095) || !ours(dir))
		return 0;
	return created(IZO_MKDIR, dir, d, d->d_inode);
}

WORK("fexit", mknod)
{
	struct inode *dir = (void *)ctx[1];
	struct dentry *d = (void *)ctx[2];
	struct inode *i;

	if (FAILED(ctx) || !ours(dir))
		return 0;
	i = d->d_inode;
	return created((i->i_mode & S_IFMT) == S_IFREG ? IZO_CREATE : IZO_MKNOD,
		       dir, d, i);
}

WORK("fexit", link)
{
	struct inode *dir = (void *)ctx[1];
	struct dentry *d = (void *)ctx[2];
	struct inode *i;

	if (FAILED(ctx) || !ours(dir))
		return 0;
	i = d->d_inode;
	return entry(IZO_LINK, dir, d, i, i->i_nlink > 1);
}

/* xfs has one function for unlink and rmdir. */
WORK("fexit", unlink)
{
	struct inode *dir = (void *)ctx[0];
	struct dentry *d = (void *)ctx[1];
	struct inode *i;

	if (FAILED(ctx) || !ours(dir))
		return 0;
	i = d->d_inode;
	if (is_dir(i))
		return entry(IZO_RMDIR, dir, d, i, 0);
	return entry(IZO_UNLINK, dir, d, i, i->i_nlink);
}

WORK("fexit", rmdir)
{
	struct inode *dir = (void *)ctx[0];
	struct dentry *d = (void *)ctx[1];

	if (FAILED(ctx) || !ours(dir))
		return 0;
	return entry(IZO_RMDIR, dir, d, d->d_inode, 0);
}

WORK("fexit", symlink)
{
	struct inode *dir = (void *)ctx[1];
	struct dentry *d = (void *)ctx[2];
	const char *target = (void *)ctx[3];
	struct izo_record *r;
	struct inode *i;
	u64 n, m;

	if (FAILED(ctx) || !ours(dir))
		return 0;
	if (outside(d->d_parent, 0) || own(dir))
		return 0;
	i = d->d_inode;
	n = BOUND(name_len(d), 255);
	m = i->i_size;
	if (m < 512) {
		m = BOUND(m, 511);
		r = SLOT(VAR_DATA);
	} else {
		m = BOUND(m, 4095);
		r = SLOT(VAR_PAGE);
	}
	if (!begin(r, IZO_SYMLINK, i))
		return 0;
	who(r);
	object(r, i);
	parent(r, dir);
	pad(r, n + m);
	bpf_probe_read_kernel(r->var, n, d->d_name.name);
	bpf_probe_read_kernel(r->var + n, m, target);
	r->name_len = n;
	r->data_len = m;
	end(r, n + m);
	return 0;
}

/* Both names are still the old ones: d_move comes after. */
static __always_inline bool rename_outside(struct dentry *o, struct dentry *n,
					   struct inode *i, struct inode *victim)
{
	if (!izo_filter)
		return false;
	if (!is_dir(i) && i->i_nlink > 1)
		return false;
	if (victim && !is_dir(victim) && victim->i_nlink > 0)
		return false;
	return climb(number(o->d_parent)) == WHERE_OUT &&
	       climb(number(n->d_parent)) == WHERE_OUT;
}

static __always_inline int renamed(struct inode *dir, struct dentry *o,
				   struct inode *dir2, struct dentry *n, u32 flags)
{
	struct inode *i = o->d_inode, *victim = n->d_inode;
	struct izo_record *r;
	u64 len, len2;

	if (rename_outside(o, n, i, victim) || (own(dir) && own(dir2)))
		return 0;
	len = name_len(o);
	len2 = name_len(n);
	if (len < 64 && len2 < 64) {
		len = BOUND(len, 63);
		len2 = BOUND(len2, 63);
		r = SLOT(VAR_TWO);
	} else {
		len = BOUND(len, 255);
		len2 = BOUND(len2, 255);
		r = SLOT(VAR_TWO_LONG);
	}
	if (!begin(r, IZO_RENAME, i))
		return 0;
	who(r);
	object(r, i);
	parent(r, dir);
	fid_of(&r->dir2, dir2);
	TIME_OF(dir2, &r->dir2_mtime, mtime);
	if (victim) {
		fid_of(&r->victim, victim);
		r->victim_nlink = victim->i_nlink;
		if (flags & RENAME_EXCHANGE && is_dir(victim)) {
			struct izo_time t = {};

			TIME_OF(victim, &t, mtime);
			r->off = t.sec;
			r->count = t.nsec;
		}
	}
	r->op_flags = flags;
	pad(r, len + len2);
	bpf_probe_read_kernel(r->var, len, o->d_name.name);
	bpf_probe_read_kernel(r->var + len, len2, n->d_name.name);
	r->name_len = len;
	r->name2_len = len2;
	end(r, len + len2);
	return 0;
}

/* ext4 puts the whiteout at the old name before it finds that the new one cannot be
 * had, and takes it away again: the directory has another mtime then. */
static __always_inline int touched(struct inode *dir)
{
	struct izo_record *r;

	if (!ours(dir) || own(dir) || outside_inode(dir))
		return 0;
	r = plain(IZO_SETATTR, dir);
	if (!r)
		return 0;
	r->op_flags = IZO_ATTR_MTIME | IZO_ATTR_CTIME;
	end(r, 0);
	return 0;
}

WORK("fexit", rename)
{
	struct inode *dir = (void *)ctx[1];

	if (FAILED(ctx))
		return ctx[5] & RENAME_WHITEOUT ? touched(dir) : 0;
	if (!ours(dir))
		return 0;
	return renamed(dir, (void *)ctx[2], (void *)ctx[3], (void *)ctx[4], ctx[5]);
}

WORK("fexit", tmpfile)
{
	struct inode *dir = (void *)ctx[1];
	struct file *f = (void *)ctx[2];
	struct dentry *d = f->f_path.dentry;

	if (FAILED(ctx) || !ours(dir))
		return 0;
	return created(IZO_TMPFILE, dir, d, d->d_inode);
}

#include "bpf/attrs.bpf.h"
#include "bpf/dirty.bpf.h"
#include "bpf/contents.bpf.h"

/* Run by a thread of lento on itself, through BPF_PROG_RUN: no process id is
 * involved that could be reused. */
SEC("syscall")
int izo_origin(struct izo_origin *want)
{
	struct izo_origin *o;

	o = bpf_task_storage_get(&izo_task, bpf_get_current_task_btf(), NULL,
				 BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!o)
		return 1;
	o->seq = want->seq;
	o->peer = want->peer;
	return 0;
}
