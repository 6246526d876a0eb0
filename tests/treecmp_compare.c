// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * treecmp_compare: two objects of the same name and type, field by field.
 *
 * Runs in the workers. Each aspect that differs is one report, in words, with
 * both values. With --prefix, what P2 of the design lets run ahead (size,
 * mtime, content and holes of a regular file) is not looked at.
 */
#include <errno.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "treecmp.h"

static void compare_mode(const struct job *job)
{
	unsigned int a = job->st[SIDE_A].st_mode & 07777;
	unsigned int b = job->st[SIDE_B].st_mode & 07777;

	if (a != b)
		report_diff(job->node, "mode %04o in A, %04o in B", a, b);
}

static void compare_owner(const struct job *job)
{
	const struct stat *a = &job->st[SIDE_A], *b = &job->st[SIDE_B];

	if (a->st_uid != b->st_uid || a->st_gid != b->st_gid)
		report_diff(job->node, "owner %u:%u in A, %u:%u in B",
			    a->st_uid, a->st_gid, b->st_uid, b->st_gid);
}

static void compare_device(const struct job *job)
{
	dev_t a = job->st[SIDE_A].st_rdev, b = job->st[SIDE_B].st_rdev;

	if (!S_ISCHR(job->st[SIDE_A].st_mode) &&
	    !S_ISBLK(job->st[SIDE_A].st_mode))
		return;
	if (a != b)
		report_diff(job->node, "device %u:%u in A, %u:%u in B",
			    major(a), minor(a), major(b), minor(b));
}

static void compare_time(const struct job *job, const char *what,
			 const struct timespec *a, const struct timespec *b)
{
	if (a->tv_sec != b->tv_sec || a->tv_nsec != b->tv_nsec)
		report_diff(job->node, "%s %lld.%09ld in A, %lld.%09ld in B",
			    what, (long long)a->tv_sec, a->tv_nsec,
			    (long long)b->tv_sec, b->tv_nsec);
}

static void compare_times(const struct job *job)
{
	const struct stat *a = &job->st[SIDE_A], *b = &job->st[SIDE_B];

	if (S_ISDIR(a->st_mode) && !options.dir_times)
		return;
	if (!(S_ISREG(a->st_mode) && options.prefix))
		compare_time(job, "mtime", &a->st_mtim, &b->st_mtim);
	if (options.atime)
		compare_time(job, "atime", &a->st_atim, &b->st_atim);
}

static void compare_size(const struct job *job)
{
	if (job->st[SIDE_A].st_size != job->st[SIDE_B].st_size)
		report_diff(job->node, "size %lld in A, %lld in B",
			    (long long)job->st[SIDE_A].st_size,
			    (long long)job->st[SIDE_B].st_size);
}

static void flags_text(unsigned int flags, char *buf, size_t size)
{
	static const struct {
		unsigned int flag;
		const char *name;
	} names[] = {
		{ FS_IMMUTABLE_FL, "immutable" }, { FS_APPEND_FL, "append" },
		{ FS_NODUMP_FL, "nodump" }, { FS_NOATIME_FL, "noatime" },
		{ FS_SYNC_FL, "sync" }, { FS_DIRSYNC_FL, "dirsync" },
	};
	size_t len = 0;

	snprintf(buf, size, "none");
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (flags & names[i].flag)
			len += snprintf(buf + len, size - len, "%s%s",
					len ? "+" : "", names[i].name);
}

static void compare_flags(const struct job *job, const struct object *object)
{
	char text[SIDES][64];

	if (object[SIDE_A].project != object[SIDE_B].project)
		report_diff(job->node, "project id %u in A, %u in B",
			    object[SIDE_A].project, object[SIDE_B].project);
	if (object[SIDE_A].flags == object[SIDE_B].flags)
		return;
	for (int s = 0; s < SIDES; s++)
		flags_text(object[s].flags, text[s], sizeof(text[s]));
	report_diff(job->node, "inode flags %s in A, %s in B", text[SIDE_A],
		    text[SIDE_B]);
}

static void compare_target(const struct job *job, const struct object *object)
{
	if (strcmp(object[SIDE_A].target, object[SIDE_B].target))
		report_diff(job->node, "symlink to '%s' in A, to '%s' in B",
			    object[SIDE_A].target, object[SIDE_B].target);
}

static void compare_value(const struct job *job, const struct xattr *a,
			  const struct xattr *b)
{
	size_t len = a->len < b->len ? a->len : b->len;
	size_t at = 0;

	while (at < len && a->value[at] == b->value[at])
		at++;
	if (at < len || a->len != b->len)
		report_diff(job->node,
			    "xattr %s: %zu bytes in A, %zu in B, first difference at byte %zu",
			    a->name, a->len, b->len, at);
}

static void compare_xattrs(const struct job *job, const struct object *object)
{
	const struct object *a = &object[SIDE_A], *b = &object[SIDE_B];
	size_t i = 0, j = 0;

	while (i < a->n_xattrs || j < b->n_xattrs) {
		int order = i == a->n_xattrs ? 1 : j == b->n_xattrs ? -1 :
			    strcmp(a->xattr[i].name, b->xattr[j].name);

		if (order < 0)
			report_diff(job->node, "xattr %s only in A",
				    a->xattr[i].name);
		else if (order > 0)
			report_diff(job->node, "xattr %s only in B",
				    b->xattr[j].name);
		else
			compare_value(job, &a->xattr[i], &b->xattr[j]);
		i += order <= 0;
		j += order >= 0;
	}
}

static void compare_data(const struct job *job, struct object *object,
			 struct buffers *buffers)
{
	compare_size(job);
	if (options.holes &&
	    job->st[SIDE_A].st_size == job->st[SIDE_B].st_size)
		compare_holes(job, object);	/* before reads fill the cache */
	compare_content(job, object, buffers);
}

static void compare_objects(const struct job *job, struct object *object,
			    struct buffers *buffers)
{
	mode_t mode = job->st[SIDE_A].st_mode;

	compare_mode(job);
	compare_owner(job);
	compare_device(job);
	compare_flags(job, object);
	compare_xattrs(job, object);
	compare_times(job);
	if (S_ISLNK(mode))
		compare_target(job, object);
	if (S_ISREG(mode) && !options.prefix)
		compare_data(job, object, buffers);
}

void compare_job(struct job *job, struct buffers *buffers)
{
	struct object object[SIDES] = { { .fd = -1 }, { .fd = -1 } };
	int err = 0;

	for (int s = 0; s < SIDES && !err; s++) {
		const char *what;

		err = object_load(job, s, &object[s], &what);
		if (err)
			report_error(job->node, "%s in %c: %s", what, "AB"[s],
				     err == -ESTALE || err == -ENOENT
					     ? "changed while walking"
					     : strerror(-err));
	}
	if (!err)
		compare_objects(job, object, buffers);
	for (int s = 0; s < SIDES; s++)
		object_done(&object[s]);
}
