// SPDX-License-Identifier: GPL-2.0
/*
 * opcount.bpf.c: how many operations succeeded on one superblock, per kind.
 *
 * A second witness beside bpf/capture.bpf.c, for 40-workload. It shares the
 * names of kernel types with it and nothing else: its targets are listed by
 * name in opcount.c, everything is read by address, and it has no ring, no
 * filter and no records. What must always hold: a kind is counted by what the
 * function was called for, and only when the call succeeded.
 */
#include "bpf/flavors.bpf.h"
#include "vmtests/opcount.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

char LICENSE[] SEC("license") = "GPL";

const volatile __u32 opcount_dev = 0;
__u64 opcount[OPC_KINDS];

static __always_inline void *arg(u64 *ctx, u32 n)
{
	u64 v = 0;

	bpf_get_func_arg(ctx, n, &v);
	return (void *)v;
}

static __always_inline s32 ret(u64 *ctx)
{
	u64 v = 0;

	bpf_get_func_ret(ctx, &v);
	return v;
}

static __always_inline int count(u32 kind, struct inode *i)
{
	if (BPF_CORE_READ(i, i_sb, s_dev) == opcount_dev)
		__sync_fetch_and_add(&opcount[kind], 1);
	return 0;
}

static __always_inline struct inode *of_dentry(u64 *ctx, u32 n)
{
	return BPF_CORE_READ((struct dentry *)arg(ctx, n), d_inode);
}

static __always_inline struct inode *of_file(u64 *ctx, u32 n)
{
	return BPF_CORE_READ((struct file *)arg(ctx, n), f_inode);
}

/* A program that counts calls with result 0 by one of their arguments. */
#define COUNT(name, kind, inode) \
	SEC("fexit") int name(u64 *ctx) { return ret(ctx) ? 0 : count(kind, inode); }

COUNT(opc_create, OPC_CREATE, arg(ctx, 1))
COUNT(opc_mknod, OPC_MKNOD, arg(ctx, 1))
COUNT(opc_symlink, OPC_SYMLINK, arg(ctx, 1))
COUNT(opc_link, OPC_LINK, arg(ctx, 1))
COUNT(opc_rmdir, OPC_RMDIR, arg(ctx, 0))
COUNT(opc_rename, OPC_RENAME, arg(ctx, 1))
COUNT(opc_tmpfile, OPC_TMPFILE, arg(ctx, 1))
COUNT(opc_setattr, OPC_SETATTR, of_dentry(ctx, 1))
COUNT(opc_fileattr, OPC_FILEATTR, of_dentry(ctx, 1))
COUNT(opc_falloc, OPC_FALLOC, of_file(ctx, 0))
COUNT(opc_fsync, OPC_FSYNC, of_file(ctx, 0))

/* A dentry or an error from 6.15 on: NULL is success as 0 was before. */
SEC("fexit")
int opc_mkdir(u64 *ctx)
{
	s32 r = ret(ctx);

	return r < 0 && r >= -4095 ? 0 : count(OPC_MKDIR, arg(ctx, 1));
}

/* xfs removes directories with it too. */
SEC("fexit")
int opc_unlink(u64 *ctx)
{
	u16 mode = BPF_CORE_READ(of_dentry(ctx, 1), i_mode);

	if (ret(ctx))
		return 0;
	return count((mode & S_IFMT) == S_IFDIR ? OPC_RMDIR : OPC_UNLINK,
		     arg(ctx, 0));
}

/* set_acl takes the inode up to 6.1, the dentry since. */
SEC("fexit")
int opc_acl(u64 *ctx)
{
	struct inode_operations___acl62 *ops = NULL;

	if (ret(ctx))
		return 0;
	if (bpf_core_field_exists(ops->get_inode_acl))
		return count(OPC_ACL, of_dentry(ctx, 1));
	return count(OPC_ACL, arg(ctx, 1));
}

/* For ext4 and xfs the VFS's pair (idmap, dentry, name, ...): ACLs, which 6.1
 * sends through it, have a kind of their own. "system.posix_acl_" is told from
 * all else there by "sys": the rest of that name space cannot be set. */
static __always_inline int xattr(u64 *ctx, struct inode *i)
{
	char head[4] = {};

	bpf_probe_read_kernel(head, 3, arg(ctx, 2));
	if (ret(ctx) || (head[0] == 's' && head[1] == 'y' && head[2] == 's'))
		return 0;
	return count(OPC_XATTR, i);
}

SEC("fexit")
int opc_xattr_set(u64 *ctx)
{
	return xattr(ctx, of_dentry(ctx, 1));
}

SEC("fexit")
int opc_xattr_del(u64 *ctx)
{
	return xattr(ctx, of_dentry(ctx, 1));
}

/* (idmap, dentry): security.capability goes when the file is written. */
COUNT(opc_killpriv, OPC_XATTR, of_dentry(ctx, 1))

/* btrfs keeps file flags as xattrs as well, past the VFS. */
SEC("fexit")
int opc_xattr_btrfs(u64 *ctx)
{
	return xattr(ctx, arg(ctx, 1));
}

SEC("fexit")
int opc_remap(u64 *ctx)
{
	return ret(ctx) > 0 ? count(OPC_REMAP, of_file(ctx, 2)) : 0;
}

/* An existing file with a name, opened for writing. */
SEC("fexit")
int opc_open(u64 *ctx)
{
	struct inode *i = arg(ctx, 0);
	u32 mode = BPF_CORE_READ((struct file *)arg(ctx, 1), f_mode);

	if (ret(ctx) || !(mode & FMODE_WRITE) || mode & FMODE_CREATED ||
	    !BPF_CORE_READ(i, i_nlink))
		return 0;
	return count(OPC_OPENW, i);
}

/* The last writer's close; it gives up its write access after this. */
SEC("fentry")
int opc_close(u64 *ctx)
{
	struct inode *i = arg(ctx, 0);
	u32 mode = BPF_CORE_READ((struct file *)arg(ctx, 1), f_mode);

	if (!(mode & FMODE_WRITE) || BPF_CORE_READ(i, i_writecount.counter) != 1)
		return 0;
	return count(OPC_CLOSE, i);
}

SEC("fexit")
int opc_syncfs(u64 *ctx)
{
	struct super_block *sb = arg(ctx, 0);

	if (ret(ctx) || !(int)(u64)arg(ctx, 1))
		return 0;
	return count(OPC_SYNCFS, BPF_CORE_READ(sb, s_root, d_inode));
}
