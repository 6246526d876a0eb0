/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * treecmp: the oracle of the tests: are two directory trees the same?
 *
 * One thread walks (treecmp_walk.c) and makes a job of every object; a pool of
 * threads (treecmp_pool.c) loads each object (treecmp_object.c) and compares
 * it (treecmp_compare.c, treecmp_content.c) or adds it to the digest
 * (treecmp_digest.c). What differs goes to treecmp_report.c, which prints it
 * at the end in the order of the walk, whatever thread found it.
 *
 * In a comparison every structure has two sides; in a digest only SIDE_A.
 * Objects are reached through directory fds, never through paths: a tree may
 * be deeper than PATH_MAX.
 */
#ifndef TREECMP_H
#define TREECMP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <xxhash.h>

enum side { SIDE_A, SIDE_B, SIDES };

enum part {
	PART_NAMES = 1,		/* symlink targets, hard-link groups */
	PART_ATTRS = 2,		/* mode, owner, device number, inode flags,
				 * project */
	PART_XATTRS = 4,	/* extended attributes and ACLs */
	PART_TIMES = 8,
	PART_CONTENT = 16,	/* size and bytes of regular files */
	PART_HOLES = 32,	/* depends on the filesystem: off by default */
};

struct globs {
	char **glob;
	size_t count;
};

struct options {
	bool digest;
	bool prefix;
	bool atime;
	bool holes;
	bool all;
	bool dir_times;
	unsigned int parts;
	unsigned int max;	/* differences to print, 0 = all */
	unsigned int threads;
	struct globs exclude;
	struct globs exclude_xattr;
};

extern struct options options;

static inline int sides(void)
{
	return options.digest ? 1 : SIDES;
}

/* A name in the tree. Nodes point upwards; a path is made only to be printed. */
struct node {
	struct node *parent;	/* NULL: the root */
	atomic_uint refs;
	uint64_t seq;		/* place in the walk */
	XXH128_hash_t hash;	/* of the whole path */
	char name[];
};

struct node *node_new(struct node *parent, const char *name);
struct node *node_get(struct node *node);
void node_put(struct node *node);
/* The path relative to the root, "." for the root itself; to be freed. */
char *node_path(const struct node *node);

/* The fds of one directory in both trees, open as long as anybody needs them. */
struct dirpair {
	atomic_uint refs;
	int fd[SIDES];
};

struct dirpair *dirpair_new(void);
struct dirpair *dirpair_get(struct dirpair *pair);
void dirpair_put(struct dirpair *pair);

/* One object to be looked at by a worker. */
struct job {
	struct node *node;
	struct dirpair *dir;
	struct node *link;	/* digest: the first name of this inode, or NULL */
	struct stat st[SIDES];
};

struct xattr {
	const char *name;	/* points into object.names */
	char *value;
	size_t len;
};

struct object {
	int fd;			/* readable for files and directories, else O_PATH */
	unsigned int flags;	/* FS_IOC_GETFLAGS, the comparable ones */
	unsigned int project;	/* id for quotas; 0 where there is none */
	char *target;		/* of a symlink */
	char *names;
	struct xattr *xattr;	/* sorted by name */
	size_t n_xattrs;
};

/* Two I/O buffers of a worker, each IO_BYTES long and aligned to a page. */
#define IO_BYTES (1024 * 1024)
struct buffers {
	unsigned char *io[SIDES];
};

typedef void job_fn(struct job *job, struct buffers *buffers);

int pool_start(unsigned int threads, job_fn *fn);
void pool_submit(struct job *job);	/* takes the job over */
void pool_finish(void);

/* Opens with O_NOATIME where that is allowed; fd or -errno. */
int open_quiet(int dirfd, const char *name, int flags);
/* Loads one side; 0 or -errno with *ret_what naming the step that failed. */
int object_load(const struct job *job, enum side side, struct object *object,
		const char **ret_what);
void object_done(struct object *object);

bool glob_match(const struct globs *globs, const char *text, int flags);

void compare_job(struct job *job, struct buffers *buffers);
void compare_content(const struct job *job, struct object *object,
		     struct buffers *buffers);
void compare_holes(const struct job *job, const struct object *object);

void digest_job(struct job *job, struct buffers *buffers);
void digest_content(const struct job *job, const struct object *object,
		    XXH3_state_t *hash, struct buffers *buffers);
void digest_holes(const struct job *job, const struct object *object,
		  XXH3_state_t *hash);
XXH128_hash_t digest_result(void);

/* First name of the inode in this tree: the given one if it is a new inode. */
struct node *links_first(enum side side, const struct stat *st,
			 struct node *node);
void links_done(void);

void walk(const char *const root[SIDES]);

__attribute__((format(printf, 2, 3)))
void report_diff(const struct node *node, const char *fmt, ...);
__attribute__((format(printf, 2, 3)))
void report_error(const struct node *node, const char *fmt, ...);
void report_count(uint64_t objects, uint64_t bytes);
/* Prints everything and the summary line; returns the exit status. */
int report_print(void);
bool report_failed(void);

#endif
