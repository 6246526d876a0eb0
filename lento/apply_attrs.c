// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * apply_attrs.c: attributes, extended attributes, ACLs, flags and times. Owner
 * first, because a change of owner drops set-id bits and capabilities; then the
 * mode as it was after the operation; times of directories at the batch's end,
 * because everything done inside moves them. A file whose contents came in this
 * batch has a newer size and time than any record of the batch: those of the
 * records are left out. Sizes always come with contents.
 */
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include "lento/apply_inner.h"
#include "lib/cleanup.h"
#include "lib/log.h"

#define FLAGS_KEPT	(FS_IMMUTABLE_FL | FS_APPEND_FL | FS_NODUMP_FL | \
			 FS_NOATIME_FL | FS_SYNC_FL | FS_DIRSYNC_FL)
#define ACL_PREFIX	"system.posix_acl_"
#define LIST_MAX	65536		/* XATTR_LIST_MAX */

static struct timespec spec_of(const struct izo_time *t)
{
	if (!t)
		return (struct timespec){ .tv_nsec = UTIME_OMIT };
	return (struct timespec){ .tv_sec = t->sec, .tv_nsec = t->nsec };
}

int attrs_times(struct apply *a, int fd, const struct izo_time *atime,
		const struct izo_time *mtime)
{
	return mutate(&a->stage, &(struct mutate){ .call = MUTATE_TIMES,
		.fd = fd, .fd2 = -1,
		.time = { spec_of(atime), spec_of(mtime) } });
}

int attrs_owner_mode(struct apply *a, int fd, const struct izo_attr *attr)
{
	struct stat st;
	int r = 0;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_uid != attr->uid || st.st_gid != attr->gid) {
		r = mutate(&a->stage, &(struct mutate){ .call = MUTATE_CHOWN,
			.fd = fd, .fd2 = -1, .uid = attr->uid,
			.gid = attr->gid });
		if (!r && fstat(fd, &st) < 0)
			r = -errno;
	}
	if (!r && !S_ISLNK(st.st_mode) &&
	    (st.st_mode & 07777) != (attr->mode & 07777u))
		r = mutate(&a->stage, &(struct mutate){ .call = MUTATE_CHMOD,
			.fd = fd, .fd2 = -1, .mode = attr->mode & 07777 });
	return r;
}

static bool is_time(const struct izo_record *r, unsigned which)
{
	return r->op_flags & which;
}

/* The record's times, where they count; a directory's mtime waits. */
static int set_times(struct apply *a, int fd, const struct izo_record *r)
{
	bool mtime = is_time(r, IZO_ATTR_MTIME);
	bool atime = is_time(r, IZO_ATTR_ATIME);

	if (fidtab_get(&a->fresh, &r->obj) && S_ISREG(r->attr.mode))
		mtime = false;
	if (mtime && S_ISDIR(r->attr.mode)) {
		struct fidtab_item *it = fidtab_put(&a->dir_times, &r->obj);

		if (!it)
			return -ENOMEM;
		it->time = r->attr.mtime;
		mtime = false;
	}
	if (!mtime && !atime)
		return 0;
	return attrs_times(a, fd, atime ? &r->attr.atime : NULL,
			   mtime ? &r->attr.mtime : NULL);
}

static int do_setattr(struct apply *a, int fd, const struct izo_record *r)
{
	int err = attrs_owner_mode(a, fd, &r->attr);

	return err ? err : set_times(a, fd, r);
}

static int do_close(struct apply *a, int fd, const struct izo_record *r)
{
	if (!S_ISREG(r->attr.mode) || fidtab_get(&a->fresh, &r->obj))
		return 0;
	return attrs_times(a, fd, NULL, &r->attr.mtime);
}

/* Not a reason to stop: this filesystem or kernel has no such attribute, or (no
 * space although the disk is not full) less room for attributes. */
static bool refused(struct apply *a, int r, const char *name)
{
	struct statvfs v;

	if (r == -ENOSPC && !fstatvfs(a->root_fd, &v) &&
	    v.f_bfree > v.f_blocks / 100)
		r = -E2BIG;
	if (r != -EOPNOTSUPP && r != -E2BIG && r != -EINVAL && r != -EPERM &&
	    r != -EACCES)
		return false;
	log_warn("%s: %s: attribute %s cannot be kept here: %s",
		 a->spec.fileset, a->spec.peer, name, strerror(-r));
	a->stats.surprises++;
	return true;
}

static int set_xattr(struct apply *a, int fd, const char *name,
		     const void *value, size_t len, bool remove)
{
	int r;

	if (!strncmp(name, STAGE_XATTRS, sizeof(STAGE_XATTRS) - 1))
		return 0;
	r = mutate(&a->stage, &(struct mutate){
		.call = remove ? MUTATE_XATTR_REMOVE : MUTATE_XATTR, .fd = fd,
		.fd2 = -1, .name = name, .value = value, .len = len });
	if (remove && (r == -ENODATA || r == -EOPNOTSUPP))
		return 0;
	return r && refused(a, r, name) ? 0 : r;
}

static int do_xattr(struct apply *a, int fd, const struct izo_record *r)
{
	char name[IZO_XATTR_NAME_MAX + 1];
	int err;

	record_name_str(record_name(r), r->name_len, name);
	err = set_xattr(a, fd, name, record_data(r), r->data_len,
			r->op_flags & IZO_XATTR_REMOVE);
	/* An access ACL sets the mode, too; removing it may clear bits. */
	if (!err && r->attr.mode && !strncmp(name, ACL_PREFIX,
					     sizeof(ACL_PREFIX) - 1))
		err = attrs_owner_mode(a, fd, &r->attr);
	return err;
}

/* The flags come off first and go on last: project ids want them off. */
static int set_flags(int fd, unsigned flags, uint32_t project)
{
	int now, want, r;

	if (ioctl(fd, FS_IOC_GETFLAGS, &now) < 0)
		return 0;
	want = (now & ~FLAGS_KEPT) | (flags & FLAGS_KEPT);
	if (now != want && now & (FS_IMMUTABLE_FL | FS_APPEND_FL)) {
		now &= ~(FS_IMMUTABLE_FL | FS_APPEND_FL);
		if (ioctl(fd, FS_IOC_SETFLAGS, &now) < 0)
			return -errno;
	}
	r = stage_project(fd, project);
	if (r || now == want)
		return r;
	if (ioctl(fd, FS_IOC_SETFLAGS, &want) < 0 && errno != EOPNOTSUPP &&
	    errno != ENOTTY && errno != EINVAL)
		return -errno;
	return 0;
}

static int do_flags(int path_fd, unsigned flags, uint32_t project)
{
	_cleanup_fd_ int fd = -1;
	struct stat st;
	char path[32];

	if (fstat(path_fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
		return 0;
	fd_path(path_fd, path);
	fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	return fd < 0 ? -errno : set_flags(fd, flags, project);
}

int attrs_apply(struct apply *a, const struct izo_record *r)
{
	_cleanup_fd_ int fd = obj_open(a, &r->obj, O_PATH, NULL);

	if (fd == -ENOENT || fd == -ESTALE) {
		if (r->kind != IZO_CLOSE)	/* open and unlinked: usual */
			surprise(a, r, "the object is not known here");
		return 0;
	}
	if (fd < 0)
		return fd;
	switch (r->kind) {
	case IZO_SETATTR:
		return do_setattr(a, fd, r);
	case IZO_CLOSE:
		return do_close(a, fd, r);
	case IZO_XATTR:
	case IZO_ACL:
		return do_xattr(a, fd, r);
	case IZO_FILEATTR:
		return do_flags(fd, r->op_flags, r->off);
	}
	return 0;
}

static int note_time(struct apply *a, const struct izo_fid *dir,
		     const struct izo_time *t)
{
	struct fidtab_item *it;

	if (fid_none(dir) || (!t->sec && !t->nsec))
		return 0;
	it = fidtab_put(&a->dir_times, dir);
	if (!it)
		return -ENOMEM;
	it->time = *t;
	return 0;
}

/* A directory that gets another parent: some filesystems change its mtime. */
static int note_moved(struct apply *a, const struct izo_record *r)
{
	struct izo_time victim = { .sec = r->off, .nsec = r->count };
	int err = 0;

	if (S_ISDIR(r->attr.mode))
		err = note_time(a, &r->obj, &r->attr.mtime);
	if (!err && r->op_flags & RENAME_EXCHANGE && r->count < 1000000000)
		err = note_time(a, &r->victim, &victim);
	return err;
}

int attrs_note_times(struct apply *a, const struct izo_record *r)
{
	int err = 0;

	switch (r->kind) {
	case IZO_IMPORT:	/* not what was told of it before it left */
		if (!S_ISDIR(r->attr.mode))
			break;
		/* fallthrough */
	case IZO_MKDIR:
		err = note_time(a, &r->obj, &r->attr.mtime);
		break;
	case IZO_RENAME:
		err = note_moved(a, r);
		if (!err)
			err = note_time(a, &r->dir2, &r->dir2_mtime);
		break;
	case IZO_CREATE:
	case IZO_MKNOD:
	case IZO_SYMLINK:
	case IZO_LINK:
	case IZO_UNLINK:
	case IZO_RMDIR:
	case IZO_EXPEL:
		break;
	default:
		return 0;
	}
	return err ? err : note_time(a, &r->dir, &r->dir_mtime);
}

int attrs_flush_times(struct apply *a)
{
	int r = 0;

	for (uint32_t i = 0; !r && i < a->dir_times.size; i++) {
		struct fidtab_item *it = &a->dir_times.item[i];
		int fd;

		if (!it->fid.ino)
			continue;
		fd = obj_dir(a, &it->fid);
		if (fd == -ENOENT || fd == -ESTALE || fd == -ENOTDIR)
			continue;
		r = fd < 0 ? fd : attrs_times(a, fd, NULL, &it->time);
	}
	fidtab_clear(&a->dir_times);
	return r;
}

/* The next record of a group; NULL at the end. Groups were checked. */
static const struct izo_record *group_next(const void *group, size_t bytes,
					   size_t *it)
{
	const struct izo_record *r;

	if (*it >= bytes)
		return NULL;
	r = (const void *)((const char *)group + *it);
	*it += r->len;
	return r;
}

static bool group_has(const void *group, size_t bytes, const char *name)
{
	const struct izo_record *r;
	size_t it = 0;

	while ((r = group_next(group, bytes, &it)))
		if ((r->kind == IZO_XATTR || r->kind == IZO_ACL) &&
		    r->name_len == strlen(name) &&
		    !memcmp(record_name(r), name, r->name_len))
			return true;
	return false;
}

/* A security module's label is the host's own and cannot be taken away. */
static bool is_label(const char *name)
{
	return !strcmp(name, "security.selinux") ||
	       !strncmp(name, "security.SMACK64", 16);
}

static int remove_extra(struct apply *a, int fd, const void *group,
			size_t bytes)
{
	_cleanup_free_ char *list = NULL;
	char path[32];
	ssize_t n;
	int r = 0;

	fd_path(fd, path);
	n = listxattr(path, NULL, 0);
	if (n <= 0)
		return 0;
	list = malloc(LIST_MAX);
	if (!list)
		return -ENOMEM;
	n = listxattr(path, list, LIST_MAX);
	for (char *p = list; !r && n > 0 && p < list + n; p += strlen(p) + 1)
		if (!group_has(group, bytes, p) && !is_label(p))
			r = set_xattr(a, fd, p, NULL, 0, true);
	return r;
}

int attrs_group(struct apply *a, int fd, const void *group, size_t bytes)
{
	const struct izo_record *r, *entry = group;
	size_t it = 0;
	int err = attrs_owner_mode(a, fd, &entry->attr);

	if (!err)
		err = remove_extra(a, fd, group, bytes);
	while (!err && (r = group_next(group, bytes, &it)))
		if (r->kind == IZO_XATTR || r->kind == IZO_ACL)
			err = do_xattr(a, fd, r);
	/* Once more: an access ACL or its removal touches the mode. */
	return err ? err : attrs_owner_mode(a, fd, &entry->attr);
}

int attrs_group_flags(struct apply *a, int fd, const void *group, size_t bytes)
{
	const struct izo_record *r;
	size_t it = 0;

	(void)a;
	while ((r = group_next(group, bytes, &it)))
		if (r->kind == IZO_FILEATTR)
			return do_flags(fd, r->op_flags, r->off);
	return do_flags(fd, 0, 0);	/* what has none is not told of */
}
