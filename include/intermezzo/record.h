/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * record.h: one mutation of a fileset, in one layout for ring, journal, wire.
 *
 * The BPF programs reserve and fill a record in the ring. lento gives it a
 * journal sequence, a checksum and the running chain and writes it, unchanged
 * otherwise, to the journal and to the wire. All integers little-endian.
 *
 *   +--------------------------------+ 0
 *   | struct izo_record (fixed part) |
 *   +--------------------------------+ IZO_RECORD_FIXED
 *   | name   (name_len bytes)        |  no NUL; entry in `dir`, or xattr name
 *   | name2  (name2_len bytes)       |  RENAME: the new name, in `dir2`
 *   | data   (data_len bytes)        |  symlink text, xattr value, ACL, TLVs
 *   | zero padding to a multiple of 8|
 *   +--------------------------------+ len
 *
 * Unused fields are zero. `sum` is XXH3-64 over the len bytes with sum and
 * chain taken as zero; `chain` is XXH3-64 over {previous chain, sum}; both
 * stay zero in the ring.
 */
#ifndef INTERMEZZO_RECORD_H
#define INTERMEZZO_RECORD_H

#ifdef __BPF__
typedef __u64 izo_le64;
typedef __u32 izo_le32;
typedef __u16 izo_le16;
typedef __s64 izo_les64;
#else
#include <linux/types.h>
/* Little-endian hosts only, asserted in lib/codec.c. */
typedef __u64 izo_le64;
typedef __u32 izo_le32;
typedef __u16 izo_le16;
typedef __s64 izo_les64;
#endif

#define IZO_RECORD_VERSION	1

/* What happened. Numbers are part of the format. */
enum izo_kind {
	IZO_NONE	= 0,
	/* The kinds that make an inode: op_flags = FS_*_FL that it inherited, off =
	 * the project id that it did. */
	IZO_CREATE	= 1,	/* regular file: dir, name, obj */
	IZO_MKDIR	= 2,
	IZO_MKNOD	= 3,	/* fifo, socket, device: attr.rdev */
	IZO_SYMLINK	= 4,	/* data = target text */
	IZO_LINK	= 5,	/* obj gets the further name dir/name */
	IZO_UNLINK	= 6,	/* attr.nlink 0: that was the last name */
	IZO_RMDIR	= 7,
	IZO_RENAME	= 8,	/* obj: dir/name -> dir2/name2, op_flags RENAME_*
				 * (ring: WHITEOUT too, for which lento makes a MKNOD),
				 * victim/victim_nlink when a name was replaced;
				 * EXCHANGE: victim is the other object; if that
				 * is a directory, off and count are its mtime's
				 * sec and nsec (xfs changes it) */
	IZO_TMPFILE	= 9,	/* O_TMPFILE in dir, no name yet */
	IZO_SETATTR	= 10,	/* op_flags = ia_valid (IZO_ATTR_*) */
	IZO_XATTR	= 11,	/* name = full xattr name, data = value;
				 * op_flags IZO_XATTR_REMOVE */
	IZO_ACL		= 12,	/* name = system.posix_acl_{access,default},
				 * data = value as of getxattr(2); REMOVE too */
	IZO_FILEATTR	= 13,	/* op_flags = FS_*_FL, off = project id */
	IZO_FALLOC	= 14,	/* op_flags = FALLOC_FL_*, off, count */
	IZO_REMAP	= 15,	/* reflink or dedupe into obj at off, count */
	IZO_CLOSE	= 16,	/* last writer closes */
	IZO_FSYNC	= 17,	/* fsync, fdatasync, msync, O_SYNC write */
	IZO_SYNCFS	= 18,	/* whole filesystem */
	IZO_OPENW	= 19,	/* an existing file opened for writing; by lento, with
				 * nothing but obj: it still is (horizon.h) */
	IZO_RESCAN	= 20,	/* obj changed in a way not described: compare;
				 * op_flags IZO_RESCAN_TREE */
	/* Below: made by lento, journal and wire only. */
	IZO_DIRTY	= 32,	/* ranges taken from the kernel, not yet due;
				 * data = struct izo_range[] */
	IZO_DUE		= 33,	/* contents of obj must be as new as this
				 * point; data = struct izo_range[] */
	IZO_BORDER	= 34,	/* batch border: the prefix before it is whole. What
				 * changed contents after the realtime attr.ctime is
				 * behind it, or is named by a record from sequence
				 * off on; off 0: not known */
	IZO_IMPORT	= 35,	/* a subtree or link came in: obj at dir/name */
	IZO_EXPEL	= 36,	/* obj (a subtree) left the fileset: dir/name */
	IZO_GAP		= 37,	/* capture may have lost records: compare */
	IZO_PAD		= 38,	/* fills a journal block; no seq, never shipped */
	IZO_ENTRY	= 39,	/* wire, fill: obj as it is now, found at dir/name
				 * (no name: the directory that was asked for);
				 * data = symlink text; XATTR, ACL and FILEATTR
				 * records of the same obj follow it */
	IZO_KIND_MAX
};

/* record.flags */
#define IZO_F_ORIGIN	0x0001	/* made by lento's applier: origin_* are set */
#define IZO_F_NAME_CUT	0x0002	/* name or data did not fit: compare obj */
#define IZO_F_TREE	0x0004	/* obj is a directory */
#define IZO_F_AS_BASE	0x0008	/* ENTRY of a file: its contents are those of the
				 * position `base` in ATTACH */

/* op_flags of SETATTR: the kernel's ia_valid, the same on all kernels. */
#define IZO_ATTR_MODE	0x0001
#define IZO_ATTR_UID	0x0002
#define IZO_ATTR_GID	0x0004
#define IZO_ATTR_SIZE	0x0008
#define IZO_ATTR_ATIME	0x0010
#define IZO_ATTR_MTIME	0x0020
#define IZO_ATTR_CTIME	0x0040

#define IZO_XATTR_REMOVE	0x80000000u
/* op_flags of CLOSE: no writer has the file open any more. */
#define IZO_CLOSE_LAST		0x1u
/* op_flags of RESCAN: FIDs or names changed and no record tells which. */
#define IZO_RESCAN_TREE		0x1u

/* Which object, on the host that speaks. gen is i_generation; subvol is the
 * btrfs root's objectid, 0 elsewhere. */
struct izo_fid {
	izo_le64 ino;
	izo_le64 subvol;
	izo_le32 gen;
	izo_le32 zero;
};

struct izo_time {
	izo_les64 sec;
	izo_le32 nsec;
	izo_le32 zero;
};

/* Attributes of obj after the operation. */
struct izo_attr {
	izo_le16 mode;
	izo_le16 zero;
	izo_le32 uid;
	izo_le32 gid;
	izo_le32 nlink;
	izo_le32 rdev;		/* new_encode_dev() form, as in stat's 32 bits */
	izo_le32 iflags;	/* VFS i_flags, informational */
	izo_le64 size;
	struct izo_time mtime, atime, ctime;
};

struct izo_record {
	izo_le32 len;		/* all bytes, a multiple of 8 */
	izo_le16 kind;		/* enum izo_kind */
	izo_le16 flags;		/* IZO_F_* */
	izo_le64 seq;		/* journal sequence, from 1; ring: 0 */
	izo_le64 ring_seq;	/* per ring, made at reserve; gap = loss */
	izo_le64 sum;
	izo_le64 chain;
	izo_le64 clock_ns;	/* CLOCK_MONOTONIC */
	izo_le64 txn;		/* ext4 tid, xfs CIL seq, btrfs transid; or 0 */
	izo_le64 origin_seq;
	izo_le32 origin_peer;
	izo_le32 pid;		/* thread group */
	izo_le32 who;		/* fsuid of the caller */
	izo_le32 op_flags;	/* see enum izo_kind */
	char comm[16];
	struct izo_fid obj, dir, dir2, victim;
	struct izo_attr attr;
	struct izo_time dir_mtime, dir2_mtime;
	izo_le64 off, count;	/* file bytes; count ~0 = to the end */
	izo_le32 victim_nlink;
	izo_le16 name_len, name2_len;
	izo_le32 data_len;
	izo_le32 zero;
	unsigned char var[];
};

/* CREATE, MKDIR, MKNOD, TMPFILE: data holds what the new inode inherited. */
struct izo_tlv {
	izo_le16 type;		/* enum izo_tlv_type */
	izo_le16 zero;
	izo_le32 len;		/* bytes of value that follow; TLVs are packed */
};
enum izo_tlv_type {
	IZO_TLV_ACL_ACCESS	= 1,	/* as of getxattr(2) */
	IZO_TLV_ACL_DEFAULT	= 2,
};

/* A place in a fileset's journal. The epoch is random and new at each unclean
 * start; chain is the running hash up to and including record seq. */
struct izo_pos {
	izo_le64 epoch, seq, chain;
};

/* A byte range; end ~0 = to the end of the file. */
struct izo_range {
	izo_le64 off, end;
};
#define IZO_TO_EOF		(~0ULL)

#define IZO_RECORD_FIXED	sizeof(struct izo_record)
#define IZO_NAME_MAX		255
#define IZO_XATTR_NAME_MAX	255
#define IZO_SYMLINK_MAX		4095
#define IZO_DATA_MAX		65536
#define IZO_RECORD_MAX		(IZO_RECORD_FIXED + 2 * 256 + IZO_DATA_MAX)
#define IZO_RANGES_MAX		(IZO_DATA_MAX / sizeof(struct izo_range))

_Static_assert(sizeof(struct izo_fid) == 24, "izo_fid");
_Static_assert(sizeof(struct izo_time) == 16, "izo_time");
_Static_assert(sizeof(struct izo_attr) == 80, "izo_attr");
_Static_assert(sizeof(struct izo_record) == 336, "izo_record");
_Static_assert(sizeof(struct izo_tlv) == 8, "izo_tlv");

#endif
