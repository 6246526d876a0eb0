/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * stage.h: the hidden rooms of a replica's tree, <root>/.intermezzo/:
 *   stage/   objects being built, named by the peer's FID, moved out by rename
 *   limbo/   objects that had to leave their name and wait for the record that
 *            explains them
 *   lifted/  one empty file for each object whose immutable or append-only flag
 *            or capability is off for a moment; its xattrs say what to restore.
 *            Made before, removed after: a crash between is mended at open.
 * All are 0700 without default ACL. Every object built carries its tag:
 * trusted.intermezzo.fid = peer FID and 8 bytes of the fileset's UUID.
 */
#ifndef LENTO_STAGE_H
#define LENTO_STAGE_H

#include <stdbool.h>
#include <stdint.h>
#include "intermezzo/record.h"
#include "lib/fid.h"

#define STAGE_HIDDEN	".intermezzo"
#define STAGE_TAG	"trusted.intermezzo.fid"
#define STAGE_XATTRS	"trusted.intermezzo."	/* never a peer's to set */
#define STAGE_NAME_MAX	64

struct stage {
	int base, dir, limbo, lifted;
	const struct fid_mount *mount;
	unsigned char uuid8[8];
	bool limbo_used;	/* limbo may hold something */
};

int stage_open(struct stage *s, int root, const struct fid_mount *mount,
	       const unsigned char uuid[16]);
void stage_close(struct stage *s);

void stage_name(const struct izo_fid *fid, char ret[STAGE_NAME_MAX]);

/* Builds what a CREATE, MKDIR, MKNOD, SYMLINK, TMPFILE or ENTRY record
 * describes in stage/, complete but for further xattrs: owner, mode, inherited
 * ACLs, tag, mtime (keep_time: contents came before, their mtime stays). A
 * regular file that is there already (contents) is taken. Its local FID. */
int stage_build(struct stage *s, const struct izo_record *r, bool keep_time,
		struct izo_fid *ret_local);
/* A regular file of that name in stage/, made if need be, emptied; O_RDWR. */
int stage_file(struct stage *s, const struct izo_fid *fid);

/* The tag; by descriptor (O_PATH too). -ENODATA: none, or another fileset's. */
int stage_tag_get(const struct stage *s, int fd, struct izo_fid *ret);
int stage_tag_set(const struct stage *s, int fd, const struct izo_fid *peer);
/* The project id of an open file or directory, where its filesystem has any. */
int stage_project(int fd, uint32_t id);

/* Moves dirfd/name to limbo/as, in place of what lies there; a further link to
 * a file that is in limbo already, or has other names, is just removed. */
int stage_evict(struct stage *s, int dirfd, const char *name, const char *as);

/* Deletes dirfd/name and all below; gone() hears of each object (O_PATH)
 * just before its name goes. -EBUSY: something is mounted there. */
int stage_delete(struct stage *s, int dirfd, const char *name,
		 void (*gone)(void *ctx, int fd), void *ctx);

/* Descriptor path, for calls without an fd form: "/proc/self/fd/N". */
void fd_path(int fd, char ret[32]);

#endif
