/* SPDX-License-Identifier: GPL-2.0 */
/*
 * attrs.bpf.h: programs for attributes, ACLs, file flags and xattrs.
 *
 * Part of capture.bpf.c. Xattrs are taken from the filesystem's own function,
 * which also sees security.capability dropped by a write; each gives the name
 * in its own form, the record has the full one. ACLs are left out there: they
 * come by set_acl. A name space that no user can set is left out.
 */
#ifndef BPF_ATTRS_H
#define BPF_ATTRS_H

WORK("fexit", setattr)
{
	struct dentry *d = (void *)ctx[1];
	struct iattr *a = (void *)ctx[2];
	s64 ret = result(ctx);
	struct izo_record *r;
	struct inode *i;

	i = d->d_inode;
	if ((int)ret) {
		if (a->ia_valid & IZO_ATTR_SIZE && half_done((int)ret))
			rescan(i);
		return 0;
	}
	if (!ours(i) || outside_dentry(d) || own(i))
		return 0;
	r = plain(IZO_SETATTR, i);
	if (!r)
		return 0;
	r->op_flags = a->ia_valid;
	end(r, 0);
	return 0;
}

/* set_acl took the inode up to 6.1, the dentry since: one program each. */
WORK("fexit", acl_inode)
{
	struct inode *i = (void *)ctx[1];

	if (FAILED(ctx) || !ours(i))
		return 0;
	return acl_set(i, (void *)ctx[2], ctx[3]);
}

WORK("fexit", acl_dentry)
{
	struct dentry *d = (void *)ctx[1];
	struct inode *i;

	if (FAILED(ctx))
		return 0;
	i = d->d_inode;
	if (!ours(i))
		return 0;
	return acl_set(i, (void *)ctx[2], ctx[3]);
}

WORK("fexit", fileattr)
{
	struct dentry *d = (void *)ctx[1];
	struct izo_record *r;
	struct inode *i;
	u32 flags = 0, projid = 0;

	if (FAILED(ctx))
		return 0;
	i = d->d_inode;
	if (!ours(i) || outside_dentry(d) || own(i))
		return 0;
	if (bpf_core_type_exists(struct file_kattr)) {
		struct file_kattr *fa = (void *)ctx[2];

		bpf_core_read(&flags, sizeof(flags), &fa->flags);
		bpf_core_read(&projid, sizeof(projid), &fa->fsx_projid);
	} else {
		struct fileattr *fa = (void *)ctx[2];

		bpf_core_read(&flags, sizeof(flags), &fa->flags);
		bpf_core_read(&projid, sizeof(projid), &fa->fsx_projid);
	}
	r = plain(IZO_FILEATTR, i);
	if (!r)
		return 0;
	r->op_flags = flags;
	r->off = projid;
	end(r, 0);
	return 0;
}

#define XFS_ATTR_ROOT	0x02
#define XFS_ATTR_SECURE	0x04
#define XFS_ATTR_PARENT	0x08

/* Eight characters as one little-endian word. */
#define EIGHT(a, b, c, d, e, f, g, h) \
	((u64)(a) | (u64)(b) << 8 | (u64)(c) << 16 | (u64)(d) << 24 | \
	 (u64)(e) << 32 | (u64)(f) << 40 | (u64)(g) << 48 | (u64)(h) << 56)

enum prefix { PFX_NONE, PFX_USER, PFX_TRUSTED, PFX_SECURITY };

static __always_inline u32 prefix_put(u8 *p, u32 prefix)
{
	switch (prefix) {
	case PFX_USER:
		__builtin_memcpy(p, "user.", 5);
		return 5;
	case PFX_TRUSTED:
		__builtin_memcpy(p, "trusted.", 8);
		return 8;
	case PFX_SECURITY:
		__builtin_memcpy(p, "security.", 9);
		return 9;
	}
	return 0;
}

/* name_bytes: the length of the name, or 0 where it ends in a NUL. The value
 * is a kernel address; none means removed. */
static __always_inline int xattr_set(struct inode *i, u32 prefix, u64 name,
				     u32 name_bytes, u64 value, u64 size)
{
	struct izo_record *r;
	u64 n, m = size;
	long got;

	if (own(i))
		return 0;
	if (!value)
		m = 0;
	if (m < 512) {
		m = BOUND(m, 511);
		r = SLOT(VAR_DATA);
	} else if (m < 4096) {
		m = BOUND(m, 4095);
		r = SLOT(VAR_PAGE);
	} else {
		r = SLOT(VAR_BIG);
	}
	if (!begin(r, IZO_XATTR, i))
		return 0;
	who(r);
	object(r, i);
	n = prefix_put(r->var, prefix);
	if (name_bytes) {
		u64 rest = BOUND(name_bytes, 255);

		bpf_probe_read_kernel(r->var + n, rest, (void *)name);
		n += rest;
	} else {
		got = bpf_probe_read_kernel_str(r->var + n, 256 - n, (void *)name);
		if (got > 0 && got <= 256)
			n += got - 1;
	}
	if (n > IZO_XATTR_NAME_MAX) {	/* the VFS allows no such name */
		r->flags |= IZO_F_NAME_CUT;
		n = 0;
	}
	n = BOUND(n, IZO_XATTR_NAME_MAX);
	r->name_len = n;
	if (!value)
		r->op_flags = IZO_XATTR_REMOVE;
	if (m > IZO_DATA_MAX) {
		r->flags |= IZO_F_NAME_CUT;
		m = 0;
	}
	bpf_probe_read_kernel(r->var + n, m, (void *)value);
	r->data_len = m;
	*(u64 *)(r->var + n + m) = 0;
	end(r, n + m);
	return 0;
}

/* ext4_xattr_set(inode, name_index, name, value, value_len, flags). Other
 * indexes: ACLs, encryption contexts, inline data. */
WORK("fexit", xattr_ext4)
{
	struct inode *i = (void *)ctx[0];
	u64 value = 0;
	u32 prefix;

	if (FAILED(ctx) || !ours(i) || outside_inode(i))
		return 0;
	switch ((int)ctx[1]) {
	case 1: prefix = PFX_USER; break;
	case 4: prefix = PFX_TRUSTED; break;
	case 6: prefix = PFX_SECURITY; break;
	default: return 0;
	}
	/* a plain load of a const void * is refused on 6.1 */
	bpf_get_func_arg(ctx, 3, &value);
	return xattr_set(i, prefix, ctx[2], 0, value, ctx[4]);
}

/* btrfs_setxattr(trans, inode, name, value, size, flags): the full name. */
WORK("fexit", xattr_btrfs)
{
	struct inode *i = (void *)ctx[1];
	u64 value = 0;
	u64 head[3] = {};

	if (FAILED(ctx) || !ours(i) || outside_inode(i))
		return 0;
	bpf_probe_read_kernel_str(head, 17, (void *)ctx[2]);
	if (head[0] == EIGHT('s', 'y', 's', 't', 'e', 'm', '.', 'p') &&
	    head[1] == EIGHT('o', 's', 'i', 'x', '_', 'a', 'c', 'l'))
		return 0;
	bpf_get_func_arg(ctx, 3, &value);
	return xattr_set(i, PFX_NONE, ctx[2], 0, value, ctx[4]);
}

#define XFS_ATTR_ROOT	0x02
#define XFS_ATTR_SECURE	0x04
#define XFS_ATTR_PARENT	0x08

/* xfs_attr_set(args, ...). The widths of members differ between versions. */
WORK("fexit", xattr_xfs)
{
	struct xfs_da_args *a = (void *)ctx[0];
	struct inode *i = &a->dp->i_vnode;
	u32 filter, name_bytes, prefix = PFX_USER;
	u64 name, value;
	u64 head = 0;

	if (FAILED(ctx) || !ours(i) || outside_inode(i))
		return 0;
	filter = BPF_CORE_READ_BITFIELD_PROBED(a, attr_filter);
	name_bytes = BPF_CORE_READ_BITFIELD_PROBED(a, namelen);
	name = (u64)BPF_CORE_READ(a, name);
	value = (u64)BPF_CORE_READ(a, value);
	bpf_probe_read_kernel(&head, sizeof(head), (void *)name);
	if (filter & XFS_ATTR_PARENT)
		return 0;
	if (filter & XFS_ATTR_ROOT) {
		if (head == EIGHT('S', 'G', 'I', '_', 'A', 'C', 'L', '_'))
			return 0;
		prefix = PFX_TRUSTED;
	} else if (filter & XFS_ATTR_SECURE) {
		prefix = PFX_SECURITY;
	}
	return xattr_set(i, prefix, name, name_bytes & 0xff, value,
			 (u32)BPF_CORE_READ(a, valuelen));
}

#endif
