// SPDX-License-Identifier: GPL-2.0
/*
 * probe.bpf.c: which functions does this mounted filesystem use?
 *
 * Loaded for a moment before capture. lento opens a directory and a regular
 * file on the mount; the program reads the pointers of their operations. The
 * members are found by name in the kernel's types, as everywhere. What must
 * always hold: only the loader's own opens are looked at, and with overlayfs
 * on top the last open, the one of the real inode, is the one that counts.
 */
#include "bpf/flavors.bpf.h"
#include "bpf/capture_abi.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

char LICENSE[] SEC("license") = "GPL";

struct izo_probe izo_seen SEC(".data.izo_seen");

#define TAKE(dst, ops, member) do { \
	u64 _v = 0; \
	if (bpf_core_field_exists((ops)->member)) \
		bpf_core_read(&_v, sizeof(_v), &(ops)->member); \
	(dst) = _v; } while (0)

static __always_inline void take_dir(u64 *to, const struct inode_operations *o)
{
	TAKE(to[IZO_OP_CREATE], o, create);
	TAKE(to[IZO_OP_MKDIR], o, mkdir);
	TAKE(to[IZO_OP_MKNOD], o, mknod);
	TAKE(to[IZO_OP_SYMLINK], o, symlink);
	TAKE(to[IZO_OP_LINK], o, link);
	TAKE(to[IZO_OP_UNLINK], o, unlink);
	TAKE(to[IZO_OP_RMDIR], o, rmdir);
	TAKE(to[IZO_OP_RENAME], o, rename);
	TAKE(to[IZO_OP_TMPFILE], o, tmpfile);
}

static __always_inline void take_inode(u64 *to, const struct inode_operations *o)
{
	TAKE(to[IZO_OP_SETATTR], o, setattr);
	TAKE(to[IZO_OP_SET_ACL], o, set_acl);
	TAKE(to[IZO_OP_FILEATTR], o, fileattr_set);
}

static __always_inline void take_file(u64 *to, const struct file_operations *o)
{
	TAKE(to[IZO_OP_OPEN], o, open);
	TAKE(to[IZO_OP_RELEASE], o, release);
	TAKE(to[IZO_OP_FSYNC], o, fsync);
	TAKE(to[IZO_OP_FALLOC], o, fallocate);
	TAKE(to[IZO_OP_REMAP], o, remap_file_range);
	TAKE(to[IZO_OP_IOCTL], o, unlocked_ioctl);
}

SEC("fentry/security_file_open")
int izo_probe(u64 *ctx)
{
	struct file *f = (void *)ctx[0];
	struct inode_operations___acl62 *acl = NULL;
	struct inode *i = f->f_inode;
	const struct super_operations *s;
	u64 *to;

	if ((u32)(bpf_get_current_pid_tgid() >> 32) != izo_seen.tgid)
		return 0;
	if ((i->i_mode & S_IFMT) == S_IFDIR) {
		to = izo_seen.dir;
		take_dir(to, i->i_op);
	} else if ((i->i_mode & S_IFMT) == S_IFREG) {
		to = izo_seen.file;
		take_file(to, i->i_fop);
	} else {
		return 0;
	}
	take_inode(to, i->i_op);
	s = i->i_sb->s_op;
	TAKE(to[IZO_OP_SYNC_FS], s, sync_fs);
	izo_seen.dev = i->i_sb->s_dev;
	izo_seen.acl_by_dentry = bpf_core_field_exists(acl->get_inode_acl);
	izo_seen.seen |= to == izo_seen.dir ? 1 : 2;
	return 0;
}
