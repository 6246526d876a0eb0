/* SPDX-License-Identifier: GPL-2.0 */
/*
 * acl.bpf.h: POSIX ACLs as bytes of a record.
 *
 * The kernel's posix_acl_entry has the layout of an entry of the xattr value
 * that getxattr(2) gives, but for ids of entries that have none: lento sets
 * these to -1 when it takes the record out of the ring. What must always
 * hold: an ACL that does not fit sets IZO_F_NAME_CUT.
 */
#ifndef BPF_ACL_H
#define BPF_ACL_H

#include "bpf/emit.bpf.h"

#define ACL_ENTRY	8	/* sizeof(struct posix_acl_entry) */
#define ACL_TLV_MAX	127	/* entries; two ACLs and a name fit VAR_PAGE */
#define ACL_VERSION	2	/* POSIX_ACL_XATTR_VERSION */

/* Cached ACLs: NULL is none, odd values are marks of the cache. */
static __always_inline bool acl_cached(u64 acl)
{
	return acl && !(acl & 1);
}

/* Only a parent with a default ACL hands any down; whoever made the inode has
 * just read it, so an uncached one means that there is none. */
static __always_inline bool inherits(struct inode *dir, struct inode *i)
{
	u64 acl = 0;

	if (!dir->i_default_acl)
		return false;
	bpf_core_read(&acl, sizeof(acl), &dir->i_default_acl);
	return acl_cached(acl);
}

/* Appends one ACL behind the var bytes so far; returns their new number. */
static __always_inline u64 acl_tlv(struct izo_record *r, u64 var, u64 acl, u16 type)
{
	struct posix_acl *a = (void *)acl;
	u32 got = 0;
	u64 count;
	u8 *p;

	if (!acl_cached(acl)) {
		/* unknown: only a directory has a default ACL */
		if ((acl & 1) && (type == IZO_TLV_ACL_ACCESS ||
				  (r->attr.mode & S_IFMT) == S_IFDIR))
			r->flags |= IZO_F_NAME_CUT;
		return var;
	}
	bpf_core_read(&got, sizeof(got), &a->a_count);
	if (!got || got > ACL_TLV_MAX) {
		r->flags |= IZO_F_NAME_CUT;
		return var;
	}
	count = BOUND(got, ACL_TLV_MAX);
	p = r->var + BOUND(var, 4095);
	*(u16 *)p = type;	/* struct izo_tlv, unaligned */
	*(u16 *)(p + 2) = 0;
	*(u32 *)(p + 4) = 4 + count * ACL_ENTRY;
	*(u32 *)(p + 8) = ACL_VERSION;
	bpf_probe_read_kernel(p + 12, count * ACL_ENTRY, &a->a_entries);
	return var + 12 + count * ACL_ENTRY;
}

static __always_inline int entry_acl(u32 kind, struct inode *dir,
				     struct dentry *d, struct inode *i)
{
	struct izo_record *r;
	u64 access = 0, dflt = 0;
	u64 n, var;

	if (outside(d->d_parent, 0) || own(dir))
		return 0;
	n = BOUND(kind == IZO_TMPFILE ? 0 : name_len(d), 255);
	r = SLOT(VAR_PAGE);
	if (!begin(r, kind, i))
		return 0;
	who(r);
	object(r, i);
	parent(r, dir);
	if (kind == IZO_CREATE || kind == IZO_MKDIR || kind == IZO_TMPFILE)
		inherited(r, i);
	bpf_probe_read_kernel(r->var, n, d->d_name.name);
	bpf_core_read(&access, sizeof(access), &i->i_acl);
	bpf_core_read(&dflt, sizeof(dflt), &i->i_default_acl);
	var = acl_tlv(r, n, access, IZO_TLV_ACL_ACCESS);
	var = acl_tlv(r, var, dflt, IZO_TLV_ACL_DEFAULT);
	var = BOUND(var, 4095);
	r->name_len = n;
	r->data_len = var - n;
	/* the padding: after the data, whose length was not known before */
	*(u32 *)(r->var + var) = 0;
	*(u32 *)(r->var + var + 4) = 0;
	end(r, var);
	return 0;
}

/* The record of set_acl. */
static __always_inline int acl_set(struct inode *i, struct posix_acl *acl, int type)
{
	struct izo_record *r;
	u32 count = 0, n, var;

	if (outside_inode(i) || own(i))
		return 0;
	if (acl)
		count = acl->a_count;
	if (count <= 60)
		r = SLOT(VAR_DATA);
	else
		r = SLOT(VAR_BIG);
	if (!begin(r, IZO_ACL, i))
		return 0;
	who(r);
	object(r, i);
	if (type == 0x8000) {	/* ACL_TYPE_ACCESS */
		n = 23;
		__builtin_memcpy(r->var, "system.posix_acl_access", 23);
	} else {
		n = 24;
		__builtin_memcpy(r->var, "system.posix_acl_default", 24);
	}
	r->name_len = n;
	var = n;
	if (!acl) {
		r->op_flags = IZO_XATTR_REMOVE;
	} else if (count > (IZO_DATA_MAX - 4) / ACL_ENTRY) {
		r->flags |= IZO_F_NAME_CUT;
	} else {
		*(u32 *)(r->var + n) = ACL_VERSION;
		bpf_probe_read_kernel(r->var + n + 4, count * ACL_ENTRY,
				      &acl->a_entries);
		var = n + 4 + count * ACL_ENTRY;
		r->data_len = var - n;
	}
	*(u32 *)(r->var + var) = 0;
	*(u32 *)(r->var + var + 4) = 0;
	end(r, var);
	return 0;
}

#endif
