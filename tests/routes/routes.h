/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * routes.h: every way there is to change a tree, one at a time.
 *
 * A route runs as a process of its own, with a directory of its own as working
 * directory, in which everything named below is prepared:
 *
 *   f     64 KiB of letters       d/      a directory with the file d/x (10 KiB)
 *   g     64 KiB, other letters   d/sub/  with the file d/sub/y
 *   h     another name of g       e/      an empty directory
 *   s     a symlink to f          ac      a file with an access ACL
 *   sp    1 MiB, a hole but for   dacl/   a directory with a default ACL
 *         its first and last page xa      a file with user, trusted, security xattrs
 *   su    mode 04755, owner 1000  cap     a file with a capability
 *
 * It returns 0, -errno, or what skip() returns. It must change what treecmp
 * sees, or say that it does not (ROUTE_SAME): the matrix checks that.
 */
#ifndef ROUTES_H
#define ROUTES_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define PAGE		4096
#define FILE_BYTES	(16 * PAGE)

/* The call made no difference that treecmp sees; the replica must agree. */
#define ROUTE_SAME	1u
/* The kernel has no hook for it: the inode is marked and compared. */
#define ROUTE_COMPARED	2u
/* Begins before capture is armed: see `routes early`. */
#define ROUTE_EARLY	4u

struct route {
	const char *name;
	int (*run)(void);
	unsigned flags;
};

/* Each ends with a route without a name. */
extern const struct route name_routes[], write_routes[], map_routes[], layout_routes[],
	attr_routes[], uring_routes[], around_routes[], nfs_routes[], early_routes[];

/* This kernel or filesystem has no such call. */
int skip(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* -errno of a call that may be missing here: skipped then. */
int missing_or(int e, const char *what);

/* Returns -errno of the call from the function it stands in. */
#define TRY(call) do { if ((long)(call) < 0) return -errno; } while (0)
/* The same for functions that return -errno themselves. */
#define DO(call) do { int do_r = (call); if (do_r < 0) return do_r; } while (0)

/* New bytes, the same in no two places; NULL on no memory. Page aligned. */
unsigned char *fresh(size_t n);
/* Writes n fresh bytes at off in full. */
int put(int fd, off_t off, size_t n);
/* A new file of n fresh bytes. */
int make(const char *path, size_t n);
/* Runs fn in a child and waits: its return value. */
int in_child(int (*fn)(void));
/* Runs a program, quiet; its exit status, -errno where it cannot run. */
int program(const char *const *argv);
/* What is done to a directory, whatever way leads there; changes into it. */
int use(const char *dir);
/* A folder outside of the tree and of its filesystem. */
const char *elsewhere(void);
/* EXT4_SUPER_MAGIC and so on of the working directory. */
unsigned long filesystem(void);

#endif
