// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * treecmp_walk: one walk through both trees in step, names sorted.
 *
 * A stack of frames, one per directory level, on the heap: no recursion. Only
 * the fds of the deepest OPEN_LEVELS levels stay open; a level above them is
 * opened again through ".." of its child when the walk comes back, and its
 * identity checked. A name in one tree only is reported and not entered; so is
 * a directory that is the root of another filesystem. The tree may change
 * under the walk: what vanished is trouble, told with its path.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "treecmp.h"

#define OPEN_LEVELS 64
#define GETDENTS_BYTES (256 * 1024)

struct names {
	char *arena;
	size_t arena_len;
	size_t arena_cap;
	size_t *off;		/* of each name in the arena, sorted */
	size_t count;
	size_t cap;
	size_t at;		/* the next one to be visited */
};

struct frame {
	struct node *node;
	struct dirpair *dir;	/* NULL: closed, too far up */
	struct stat st[SIDES];
	struct names names[SIDES];
};

static struct {
	struct frame *frame;
	size_t depth;
	size_t cap;
	dev_t dev[SIDES];	/* of the roots */
	uint64_t mount[SIDES];
} stack;

static const char *side_name(int side)
{
	return side == SIDE_A ? "A" : "B";
}

static void names_add(struct names *names, const char *name)
{
	size_t len = strlen(name) + 1;

	while (names->arena_len + len > names->arena_cap) {
		names->arena_cap = names->arena_cap ? 2 * names->arena_cap : 1024;
		names->arena = realloc(names->arena, names->arena_cap);
		if (!names->arena)
			abort();
	}
	if (names->count == names->cap) {
		names->cap = names->cap ? 2 * names->cap : 32;
		names->off = reallocarray(names->off, names->cap,
					  sizeof(*names->off));
		if (!names->off)
			abort();
	}
	memcpy(names->arena + names->arena_len, name, len);
	names->off[names->count++] = names->arena_len;
	names->arena_len += len;
}

static void names_done(struct names *names)
{
	free(names->arena);
	free(names->off);
}

static const char *names_peek(const struct names *names)
{
	if (names->at == names->count)
		return NULL;
	return names->arena + names->off[names->at];
}

static int name_cmp(const void *a, const void *b, void *arena)
{
	return strcmp((char *)arena + *(const size_t *)a,
		      (char *)arena + *(const size_t *)b);
}

static bool left_out(const struct frame *frame, const char *name)
{
	if (!strcmp(name, ".") || !strcmp(name, ".."))
		return true;
	return !options.all && !frame->node->parent &&
	       (!strcmp(name, ".intermezzo") || !strcmp(name, "lost+found"));
}

/* Fills frame->names[side] with the sorted names of the directory. */
static int names_read(struct frame *frame, int side)
{
	struct names *names = &frame->names[side];
	char *buf = malloc(GETDENTS_BYTES);
	ssize_t got;

	if (!buf)
		abort();
	while ((got = getdents64(frame->dir->fd[side], buf, GETDENTS_BYTES)) > 0) {
		for (ssize_t at = 0; at < got;) {
			struct dirent64 *entry = (struct dirent64 *)(buf + at);

			if (!left_out(frame, entry->d_name))
				names_add(names, entry->d_name);
			at += entry->d_reclen;
		}
	}
	free(buf);
	if (got < 0)
		return -errno;
	if (names->count)
		qsort_r(names->off, names->count, sizeof(*names->off), name_cmp,
			names->arena);
	return 0;
}

static bool same_inode(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

static void frame_done(struct frame *frame)
{
	for (int s = 0; s < SIDES; s++)
		names_done(&frame->names[s]);
	dirpair_put(frame->dir);
	node_put(frame->node);
}

/* Opens and reads a directory of all sides, whose stats are known. */
static int frame_load(struct frame *frame)
{
	for (int s = 0; s < sides(); s++) {
		struct stat st;
		int err;

		if (fstat(frame->dir->fd[s], &st))
			return -errno;
		if (!same_inode(&st, &frame->st[s]))
			return -ESTALE;
		err = names_read(frame, s);
		if (err)
			return err;
	}
	return 0;
}

static void stack_push(struct frame *frame)
{
	if (stack.depth == stack.cap) {
		stack.cap = stack.cap ? 2 * stack.cap : 64;
		stack.frame = reallocarray(stack.frame, stack.cap,
					   sizeof(*stack.frame));
		if (!stack.frame)
			abort();
	}
	stack.frame[stack.depth++] = *frame;
	if (stack.depth > OPEN_LEVELS) {
		struct frame *far = &stack.frame[stack.depth - 1 - OPEN_LEVELS];

		dirpair_put(far->dir);
		far->dir = NULL;
	}
}

static int reopen_from_child(struct frame *frame, const struct dirpair *child)
{
	frame->dir = dirpair_new();
	for (int s = 0; s < sides(); s++) {
		struct stat st;
		int fd = open_quiet(child->fd[s], "..", O_DIRECTORY);

		if (fd < 0)
			return fd;
		frame->dir->fd[s] = fd;
		if (fstat(fd, &st))
			return -errno;
		if (!same_inode(&st, &frame->st[s]))
			return -ESTALE;
	}
	return 0;
}

static void stack_pop(void)
{
	struct frame *child = &stack.frame[--stack.depth];
	struct frame *frame = child - 1;
	int err = 0;

	if (stack.depth && !frame->dir)
		err = reopen_from_child(frame, child->dir);
	if (err)
		report_error(frame->node, "cannot return to it, walk ended: %s",
			     err == -ESTALE ? "moved while walking"
					    : strerror(-err));
	frame_done(child);
	while (err && stack.depth)
		frame_done(&stack.frame[--stack.depth]);
}

static void job_submit(struct node *node, struct dirpair *dir,
		       const struct stat *st, struct node *link)
{
	struct job *job = calloc(1, sizeof(*job));

	if (!job)
		abort();
	job->node = node_get(node);
	job->dir = dirpair_get(dir);
	job->link = link ? node_get(link) : NULL;
	memcpy(job->st, st, sizeof(job->st));
	pool_submit(job);
}

static bool excluded(const struct node *node)
{
	char *path;
	bool match;

	if (!options.exclude.count)
		return false;
	path = node_path(node);
	match = glob_match(&options.exclude, path, FNM_PATHNAME) ||
		glob_match(&options.exclude, node->name, 0);
	free(path);
	return match;
}

static const char *type_name(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		return "regular file";
	case S_IFDIR:
		return "directory";
	case S_IFLNK:
		return "symlink";
	case S_IFIFO:
		return "fifo";
	case S_IFSOCK:
		return "socket";
	case S_IFCHR:
		return "character device";
	case S_IFBLK:
		return "block device";
	default:
		return "unknown type";
	}
}

/* Stats one name on one side; what vanished since readdir is trouble. */
static bool stat_entry(const struct frame *frame, struct node *node, int side,
		       struct stat *ret)
{
	if (!fstatat(frame->dir->fd[side], node->name, ret,
		     AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT))
		return true;
	report_error(node, errno == ENOENT ? "vanished from %s while walking"
					   : "stat in %s: %m", side_name(side));
	return false;
}

static uint64_t mount_of(int dirfd, const char *name)
{
	struct statx x;

	if (statx(dirfd, name, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT,
		  STATX_MNT_ID, &x) || !(x.stx_mask & STATX_MNT_ID))
		return 0;
	return x.stx_mnt_id;
}

/*
 * True if something is mounted on the directory in any of the trees: then neither
 * what is in it nor its attributes belong to the tree. A btrfs subvolume has a
 * device number of its own, too, but is a directory like any other.
 */
static bool boundary(const struct frame *up, const struct node *node,
		     const struct stat *st)
{
	bool crosses[SIDES] = { false, false };

	for (int s = 0; s < sides(); s++)
		crosses[s] = st[s].st_dev != stack.dev[s] &&
			mount_of(up->dir->fd[s], node->name) != stack.mount[s];
	if (!options.digest && crosses[SIDE_A] != crosses[SIDE_B])
		report_diff(node, "mount in %s, plain directory in %s",
			    side_name(crosses[SIDE_B]), side_name(crosses[SIDE_A]));
	return crosses[SIDE_A] || crosses[SIDE_B];
}

static void enter_directory(struct frame *up, struct node *node,
			    const struct stat *st)
{
	struct frame frame = { .node = node_get(node), .dir = dirpair_new() };
	int err = 0;

	memcpy(frame.st, st, sizeof(frame.st));
	for (int s = 0; s < sides() && !err; s++) {
		int fd = open_quiet(up->dir->fd[s], node->name, O_DIRECTORY);

		if (fd < 0)
			err = fd;
		else
			frame.dir->fd[s] = fd;
	}
	if (!err)
		err = frame_load(&frame);
	if (!err) {
		stack_push(&frame);
		return;
	}
	report_error(node, "reading the directory: %s",
		     err == -ESTALE ? "replaced while walking" : strerror(-err));
	frame_done(&frame);
}

static void visit_directory(struct frame *frame, struct node *node,
			    const struct stat *st)
{
	if (boundary(frame, node, st))
		return;
	job_submit(node, frame->dir, st, NULL);
	enter_directory(frame, node, st);
}

static void compare_links(const struct node *node,
			  struct node *const first[SIDES])
{
	char *path[SIDES];

	for (int s = 0; s < SIDES; s++)
		path[s] = first[s] == node ? strdup("no earlier name")
					   : node_path(first[s]);
	report_diff(node, "hard links: same inode as %s in A, as %s in B",
		    path[SIDE_A], path[SIDE_B]);
	for (int s = 0; s < SIDES; s++)
		free(path[s]);
}

static void visit_other(struct frame *frame, struct node *node,
			const struct stat *st)
{
	struct node *first[SIDES] = { node, node };

	for (int s = 0; s < sides(); s++)
		first[s] = links_first(s, &st[s], node);
	if (options.digest) {
		job_submit(node, frame->dir, st,
			   first[SIDE_A] == node ? NULL : first[SIDE_A]);
		return;
	}
	if (first[SIDE_A] != first[SIDE_B])
		compare_links(node, first);
	else if (first[SIDE_A] != node)
		return;		/* this pair of inodes is being compared already */
	job_submit(node, frame->dir, st, NULL);
}

static void visit_single(struct frame *frame, struct node *node, int side)
{
	struct stat st;

	if (stat_entry(frame, node, side, &st))
		report_diff(node, "only in %s (%s)", side_name(side),
			    type_name(st.st_mode));
}

static void visit_both(struct frame *frame, struct node *node)
{
	struct stat st[SIDES] = { 0 };

	for (int s = 0; s < sides(); s++)
		if (!stat_entry(frame, node, s, &st[s]))
			return;
	report_count(1, 0);
	if (!options.digest &&
	    (st[SIDE_A].st_mode & S_IFMT) != (st[SIDE_B].st_mode & S_IFMT))
		report_diff(node, "type: %s in A, %s in B",
			    type_name(st[SIDE_A].st_mode),
			    type_name(st[SIDE_B].st_mode));
	else if (S_ISDIR(st[SIDE_A].st_mode))
		visit_directory(frame, node, st);
	else
		visit_other(frame, node, st);
}

/* Visits the smallest name not yet visited; false at the end of the frame. */
static bool visit_next(struct frame *frame)
{
	const char *a = names_peek(&frame->names[SIDE_A]);
	const char *b = names_peek(&frame->names[SIDE_B]);
	int order = !a ? 1 : !b ? -1 : strcmp(a, b);
	struct node *node;

	if (!a && !b)
		return false;
	node = node_new(frame->node, order <= 0 ? a : b);
	frame->names[SIDE_A].at += order <= 0;
	frame->names[SIDE_B].at += order >= 0;
	if (!excluded(node)) {
		if (order == 0 || options.digest)
			visit_both(frame, node);
		else
			visit_single(frame, node, order < 0 ? SIDE_A : SIDE_B);
	}
	node_put(node);
	return true;
}

static void visit_root(const char *const root[SIDES], struct node *node)
{
	struct frame frame = { .node = node_get(node), .dir = dirpair_new() };
	int err = 0;

	for (int s = 0; s < sides() && !err; s++) {
		int fd = open_quiet(AT_FDCWD, root[s], O_DIRECTORY);

		if (fd < 0) {
			err = fd;
			break;
		}
		frame.dir->fd[s] = fd;
		if (fstat(fd, &frame.st[s]))
			err = -errno;
		stack.dev[s] = frame.st[s].st_dev;
		stack.mount[s] = mount_of(fd, "");
	}
	if (!err) {
		report_count(1, 0);
		job_submit(node, frame.dir, frame.st, NULL);
		err = frame_load(&frame);
	}
	if (err) {
		report_error(node, "cannot read a root (%s): %s",
			     root[frame.dir->fd[SIDE_A] >= 0 && sides() == SIDES],
			     strerror(-err));
		frame_done(&frame);
		return;
	}
	stack_push(&frame);
}

void walk(const char *const root[SIDES])
{
	struct node *node = node_new(NULL, ".");

	visit_root(root, node);
	while (stack.depth)
		if (!visit_next(&stack.frame[stack.depth - 1]))
			stack_pop();
	free(stack.frame);
	node_put(node);
}
