/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fswork: what the rooms of the workload generator share.
 *
 * fswork.c chooses and counts; fswork_ns.c changes names, fswork_attr.c
 * attributes, fswork_data.c bytes and layout of files. fswork_publish.c and
 * fswork_watch.c are the two ends of the ordered-data test and share the
 * format of fswork_version.c. A worker runs with DIR as working directory.
 * An operation returns 0 or -errno; it reports every system call that made a
 * record with op_done(), also when a later call of the same operation fails.
 */
#ifndef FSWORK_H
#define FSWORK_H

#include <liburing.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "worklib.h"

/* Kinds of records, then what makes no record of its own or an unsure one. */
enum kind {
	KIND_CREATE, KIND_MKDIR, KIND_MKNOD, KIND_SYMLINK, KIND_LINK,
	KIND_UNLINK, KIND_RMDIR, KIND_RENAME, KIND_TMPFILE, KIND_SETATTR,
	KIND_XATTR, KIND_ACL, KIND_FILEATTR, KIND_FALLOC, KIND_REMAP,
	RECORD_KINDS,
	KIND_INHERIT = RECORD_KINDS,	/* creates under a default ACL */
	KIND_KILLPRIV,		/* capability dropped: in setattr and xattr too */
	KIND_CHMODACL,		/* chmod of a file with ACL: in setattr and acl too */
	KIND_COPYRANGE,		/* copy_file_range: remap or write */
	KIND_WRITE, KIND_SYNC,
	KINDS,
};

#define PATH_BYTES 64
#define BUF_BYTES (256 * 1024)
#define BLOCK 4096

struct shared {
	/*
	 * Held exclusively from the check "old and new are one inode" (a
	 * rename that does nothing and makes no record) to the rename; shared
	 * by everything that can give an inode a second or another name.
	 */
	pthread_rwlock_t names;
	pthread_mutex_t acl;	/* from "has it an ACL?" to the chmod or chown */
	atomic_ullong count[KINDS];
	atomic_ullong succeeded;
	atomic_ullong failed;
	atomic_ullong unexpected;
};

struct worker {
	unsigned int proc;
	unsigned int files;	/* names per directory */
	unsigned int pause_us;
	unsigned int xattr_max;	/* bytes */
	uint64_t seed;
	uint64_t first;		/* number of the first operation */
	uint64_t ops;
	uint64_t op;		/* number of the current one */
	uint64_t random;	/* restarts with each operation */
	int log_fd;		/* or -1 */
	struct shared *shared;
	struct io_uring ring;
	bool has_ring;
	unsigned char *buf;	/* BUF_BYTES, page aligned */
};

typedef int op_fn(struct worker *w);

struct op {
	const char *name;
	unsigned int weight;
	op_fn *fn;
};

extern const struct op ns_ops[], attr_ops[], data_ops[];	/* end: no name */

uint64_t rnd(struct worker *w);
unsigned int rnd_below(struct worker *w, unsigned int n);
void rnd_fill(struct worker *w, size_t len);	/* w->buf */

const char *pick_file(struct worker *w, char path[PATH_BYTES]);
const char *pick_dir(struct worker *w, char path[PATH_BYTES]);
const char *pick_any(struct worker *w, char path[PATH_BYTES]);

__attribute__((format(printf, 3, 4)))
void op_done(struct worker *w, enum kind kind, const char *fmt, ...);
__attribute__((format(printf, 2, 3)))
void op_log(struct worker *w, const char *fmt, ...);

int work_random(struct worker *w);	/* 0, or 1 after an unexpected error */
int work_publish(struct worker *w);
int work_watch(const char *dir, const char *until, bool batches);

/* A file that tells its version and whether it is complete. */
#define VERSION_HEADER 128
#define VERSION_MAX (200 * 1024)

struct version {
	uint64_t version;
	unsigned int writer;
	uint64_t length;
};

/* Fills buf[0..len), len >= VERSION_HEADER. */
void version_fill(unsigned char *buf, const struct version *version);
/* Reads the header only: 0, or -1 if it is torn. */
int version_header(const unsigned char *buf, size_t len, struct version *ret);
/* Checks length and body too; 0, or -1 with the reason in why. */
int version_check(const unsigned char *buf, size_t len, struct version *ret,
		  char *why, size_t why_size);

#endif
