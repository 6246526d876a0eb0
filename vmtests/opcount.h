/* SPDX-License-Identifier: GPL-2.0 */
/* opcount.h: the kinds that opcount counts, for its BPF and its user side. */
#ifndef VMTESTS_OPCOUNT_H
#define VMTESTS_OPCOUNT_H

enum opc_kind {
	OPC_CREATE, OPC_MKDIR, OPC_MKNOD, OPC_SYMLINK, OPC_LINK, OPC_UNLINK,
	OPC_RMDIR, OPC_RENAME, OPC_TMPFILE, OPC_SETATTR, OPC_XATTR, OPC_ACL,
	OPC_FILEATTR, OPC_FALLOC, OPC_REMAP, OPC_CLOSE, OPC_FSYNC, OPC_SYNCFS,
	OPC_OPENW,
	OPC_KINDS
};

#endif
