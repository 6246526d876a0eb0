/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tree.h: a directory as its filesystem has it, without what is mounted in it.
 */
#ifndef LIB_TREE_H
#define LIB_TREE_H

#include <stdbool.h>

/* Two descriptors of one detached mount; both live as long as the tree is used. */
struct tree {
	int fd;			/* the directory, open for reading */
	int mount;		/* holds the mount; -1: none of our own */
};

#define TREE_CLOSED	((struct tree){ .fd = -1, .mount = -1 })

/* Opens path through a mount of our own (open_tree(2)): nothing that is or will be
 * mounted below path covers anything in it, what it covers for others is seen and
 * can be written. Where the kernel or our rights do not allow that, path is opened
 * as it is. 0 or -errno; *ret is closed by tree_close() in either case. */
int tree_open(const char *path, struct tree *ret);
void tree_close(struct tree *t);

/* Is the directory inner the directory outer, or does it lie below it on the same
 * filesystem, whatever names, symlinks and mounts lead to the two? False also where
 * one of them is not there or cannot be looked at. */
bool tree_holds(const char *outer, const char *inner);

#endif
