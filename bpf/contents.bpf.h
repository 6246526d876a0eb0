/* SPDX-License-Identifier: GPL-2.0 */
/*
 * contents.bpf.h: programs for what happens to a file's layout, for order
 * points (fsync, syncfs, last close) and for opens for writing.
 *
 * Part of capture.bpf.c. Bytes themselves are dirty.bpf.h's. What must always
 * hold: a record that changes the layout is in the ring when the call
 * returns; the reader marks its range after it, so no mark is made here.
 */
#ifndef BPF_CONTENTS_H
#define BPF_CONTENTS_H

static __always_inline bool file_passes(struct file *f, struct inode *i)
{
	return ours(i) && !own(i) && !outside_dentry(f->f_path.dentry);
}

/* An existing file: one that this open made has its own record, and one
 * without any name cannot be missed by name. */
WORK("fexit", open)
{
	struct inode *i = (void *)ctx[0];
	struct file *f = (void *)ctx[1];
	struct izo_record *r;
	u32 mode = f->f_mode;

	if (!(mode & FMODE_WRITE) || (mode & FMODE_CREATED) || FAILED(ctx))
		return 0;
	if (!file_passes(f, i) || !i->i_nlink)
		return 0;
	r = plain(IZO_OPENW, i);
	if (r)
		end(r, 0);
	return 0;
}

/* At the entry: write access is given back after release. */
WORK("fentry", release)
{
	struct inode *i = (void *)ctx[0];
	struct file *f = (void *)ctx[1];
	struct izo_record *r;

	if (!(f->f_mode & FMODE_WRITE) || i->i_writecount.counter != 1)
		return 0;
	if (!file_passes(f, i))
		return 0;
	r = plain(IZO_CLOSE, i);
	if (!r)
		return 0;
	r->op_flags = IZO_CLOSE_LAST;
	end(r, 0);
	return 0;
}

WORK("fexit", fsync)
{
	struct file *f = (void *)ctx[0];
	struct inode *i = f->f_inode;
	struct izo_record *r;

	if (FAILED(ctx) || !file_passes(f, i))
		return 0;
	r = plain(IZO_FSYNC, i);
	if (r)
		end(r, 0);
	return 0;
}

/* sync_fs(sb, wait): of sync(2) and syncfs(2) the pass that waits. */
WORK("fexit", syncfs)
{
	struct super_block *sb = (void *)ctx[0];
	struct izo_record *r;
	struct inode *root;

	if (!izo_conf.dev || sb->s_dev != izo_conf.dev || !(int)ctx[1] || FAILED(ctx))
		return 0;
	root = sb->s_root->d_inode;
	r = SLOT(0);
	if (!begin(r, IZO_SYNCFS, root))
		return 0;
	who(r);
	end(r, 0);
	return 0;
}

WORK("fexit", falloc)
{
	struct file *f = (void *)ctx[0];
	struct inode *i = f->f_inode;
	struct izo_record *r;
	s64 ret = result(ctx);

	if ((int)ret) {
		if (half_done((int)ret))
			rescan(i);
		return 0;
	}
	if (!file_passes(f, i))
		return 0;
	r = plain(IZO_FALLOC, i);
	if (!r)
		return 0;
	r->op_flags = ctx[1];
	r->off = ctx[2];
	r->count = ctx[3];
	end(r, 0);
	return 0;
}

/* remap_file_range(in, pos_in, out, pos_out, len, flags): bytes or error. */
WORK("fexit", remap)
{
	struct file *out = (void *)ctx[2];
	struct inode *i = out->f_inode;
	struct izo_record *r;
	s64 n = result(ctx);

	if (n <= 0) {
		if (half_done(n))
			rescan(i);
		return 0;
	}
	if (!file_passes(out, i))
		return 0;
	r = plain(IZO_REMAP, i);
	if (!r)
		return 0;
	r->op_flags = ctx[5];
	r->off = ctx[3];
	r->count = n;
	end(r, 0);
	return 0;
}

/* The end of the superblock: its number may come back with another one, or
 * with this one changed meanwhile elsewhere. Nothing passes any more, and no
 * lento adopts what is pinned. */
SEC("fentry/generic_shutdown_super")
int izo_umount(u64 *ctx)
{
	struct super_block *sb = (void *)ctx[0];

	if (izo_conf.dev && sb->s_dev == izo_conf.dev) {
		izo_conf.dev = 0;
		izo_conf.magic = 0;
	}
	return 0;
}

/* ext4's ioctls that change what a file holds: MOVE_EXT, SWAP_BOOT, and
 * SETVERSION. The last two change the generation and with it the FID. */
WORK("fexit", ioctl_ext4)
{
	struct file *f = (void *)ctx[0];
	u32 cmd = ctx[1];

	if (cmd != 0xc028660f && cmd != 0x6611 && cmd != 0x40086604 &&
	    cmd != 0x40087602)
		return 0;
	if (result(ctx) < 0)
		return 0;
	rescan_how(f->f_inode, cmd == 0xc028660f ? 0 : IZO_RESCAN_TREE);
	return 0;
}

/* ext4_move_extents(file, donor, ...): the donor gets what the file's blocks
 * held, and has a record of its own. A call that failed may have moved some. */
WORK("fexit", move_ext4)
{
	struct file *donor = (void *)ctx[1];

	rescan(donor->f_inode);
	return 0;
}

/* xfs_swap_extents(ip, tip, sxp): xfs_fsr. */
WORK("fexit", swap_xfs)
{
	struct xfs_inode *a = (void *)ctx[0], *b = (void *)ctx[1];

	if (FAILED(ctx))
		return 0;
	rescan(&a->i_vnode);
	rescan(&b->i_vnode);
	return 0;
}

/* xfs_exchange_range(fxr), 6.10 on. */
WORK("fexit", exch_xfs)
{
	struct xfs_exchrange *fxr = (void *)ctx[0];

	if (FAILED(ctx))
		return 0;
	rescan(fxr->file1->f_inode);
	rescan(fxr->file2->f_inode);
	return 0;
}

/* btrfs makes and removes subvolumes and snapshots behind the directory's
 * operations. The file is the directory in which that is done, but for a removal
 * by number, which may be anywhere. */
#define BTRFS_IOC(nr)	(0x9400 | (nr))

WORK("fexit", ioctl_btrfs)
{
	struct file *f = (void *)ctx[0];
	u32 cmd = ctx[1];

	switch (cmd & 0xffff) {
	case BTRFS_IOC(1):		/* SNAP_CREATE */
	case BTRFS_IOC(14):		/* SUBVOL_CREATE */
	case BTRFS_IOC(15):		/* SNAP_DESTROY */
	case BTRFS_IOC(23):		/* SNAP_CREATE_V2 */
	case BTRFS_IOC(24):		/* SUBVOL_CREATE_V2 */
	case BTRFS_IOC(63):		/* SNAP_DESTROY_V2 */
		break;
	default:
		return 0;
	}
	if ((int)result(ctx) < 0)
		return 0;
	if (ours(f->f_inode))
		rescan_how((cmd & 0xffff) == BTRFS_IOC(63) ?
			   f->f_inode->i_sb->s_root->d_inode : f->f_inode,
			   IZO_RESCAN_TREE);
	return 0;
}

/* btrfs_do_encoded_write(iocb, from, encoded) */
WORK("fexit", encoded)
{
	struct kiocb *iocb = (void *)ctx[0];

	if (result(ctx) <= 0)
		return 0;
	rescan(iocb->ki_filp->f_inode);
	return 0;
}

#endif
