// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * stage.c: building objects hidden, moving them aside, deleting subtrees. All
 * by descriptor and single names that are never followed. lift.c has the third
 * room, flags that are off for a moment.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include "lento/lift.h"
#include "lento/mutate.h"
#include "lento/stage.h"
#include "lib/cleanup.h"
#include "lib/codec.h"

#define LEVELS_MAX	64

struct tag {
	struct izo_fid fid;
	unsigned char uuid8[8];
};

void fd_path(int fd, char ret[32])
{
	snprintf(ret, 32, "/proc/self/fd/%d", fd);
}

void stage_name(const struct izo_fid *fid, char ret[STAGE_NAME_MAX])
{
	snprintf(ret, STAGE_NAME_MAX, "%llx.%x.%llx",
		 (unsigned long long)fid->ino, fid->gen,
		 (unsigned long long)fid->subvol);
}

static int open_room(int at, const char *name)
{
	char path[32];
	int fd;

	if (mkdirat(at, name, 0700) < 0 && errno != EEXIST)
		return -errno;
	fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	/* The fileset's own default ACL must not leak into staged objects. */
	fd_path(fd, path);
	removexattr(path, "system.posix_acl_default");
	removexattr(path, "system.posix_acl_access");
	if (fchmod(fd, 0700) < 0) {
		close(fd);
		return -errno;
	}
	return fd;
}

int stage_open(struct stage *s, int root, const struct fid_mount *mount,
	       const unsigned char uuid[16])
{
	*s = (struct stage){ .base = -1, .dir = -1, .limbo = -1, .lifted = -1,
			     .mount = mount, .limbo_used = true };
	memcpy(s->uuid8, uuid, 8);
	s->base = open_room(root, STAGE_HIDDEN);
	if (s->base < 0)
		return s->base;
	s->dir = open_room(s->base, "stage");
	if (s->dir < 0)
		return s->dir;
	s->limbo = open_room(s->base, "limbo");
	if (s->limbo < 0)
		return s->limbo;
	s->lifted = open_room(s->base, "lifted");
	return s->lifted < 0 ? s->lifted : 0;
}

void stage_close(struct stage *s)
{
	cleanup_fd(&s->lifted);
	cleanup_fd(&s->limbo);
	cleanup_fd(&s->dir);
	cleanup_fd(&s->base);
}

int stage_tag_get(const struct stage *s, int fd, struct izo_fid *ret)
{
	struct tag tag;
	char path[32];
	ssize_t n;

	fd_path(fd, path);
	n = getxattr(path, STAGE_TAG, &tag, sizeof(tag));
	if (n < 0)
		return errno == ERANGE ? -ENODATA : -errno;
	if (n != sizeof(tag) || memcmp(tag.uuid8, s->uuid8, 8))
		return -ENODATA;
	*ret = tag.fid;
	return 0;
}

int stage_tag_set(const struct stage *s, int fd, const struct izo_fid *peer)
{
	struct tag tag = { .fid = *peer };
	char path[32];

	memcpy(tag.uuid8, s->uuid8, 8);
	fd_path(fd, path);
	return setxattr(path, STAGE_TAG, &tag, sizeof(tag), 0) < 0 ? -errno : 0;
}

/* Left by a crash: of another type, or with its immutable or append-only flag
 * already on. */
static bool in_the_way(int error)
{
	return error == EISDIR || error == ELOOP || error == ENXIO || error == EPERM;
}

int stage_file(struct stage *s, const struct izo_fid *fid)
{
	char name[STAGE_NAME_MAX];
	int fd;

	stage_name(fid, name);
	fd = openat(s->dir, name, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW |
		    O_CLOEXEC, 0600);
	if (fd < 0 && in_the_way(errno)) {
		int r = stage_delete(s, s->dir, name, NULL, NULL);

		if (r < 0)
			return r;
		fd = openat(s->dir, name, O_RDWR | O_CREAT | O_EXCL |
			    O_NOFOLLOW | O_CLOEXEC, 0600);
	}
	return fd < 0 ? -errno : fd;
}

static dev_t dev_decode(uint32_t d)
{
	return makedev((d >> 8) & 0xfff, (d & 0xff) | ((d >> 12) & 0xfff00));
}

static int make_node(struct stage *s, const struct izo_record *r,
		     const char *name)
{
	char target[IZO_SYMLINK_MAX + 1];
	int err;

	switch (r->attr.mode & S_IFMT) {
	case S_IFDIR:
		err = mkdirat(s->dir, name, 0700);
		break;
	case S_IFLNK:
		if (!r->data_len || r->data_len > IZO_SYMLINK_MAX)
			return -EBADMSG;
		memcpy(target, record_data(r), r->data_len);
		target[r->data_len] = 0;
		err = symlinkat(target, s->dir, name);
		break;
	case S_IFIFO:
	case S_IFSOCK:
	case S_IFCHR:
	case S_IFBLK:
		err = mknodat(s->dir, name, (r->attr.mode & S_IFMT) | 0600,
			      dev_decode(r->attr.rdev));
		break;
	default:
		return -EBADMSG;
	}
	return err < 0 ? -errno : 0;
}

/* An open descriptor of the new object: O_RDWR for files, else O_PATH. A file
 * that is there (its contents came first) is taken as it is. */
static int make(struct stage *s, const struct izo_record *r, const char *name,
		int trunc)
{
	int err, fd;

	if (S_ISREG(r->attr.mode)) {
		fd = openat(s->dir, name, O_RDWR | O_CREAT | O_NOFOLLOW |
			    O_CLOEXEC | trunc, 0600);
		return fd < 0 ? -errno : fd;
	}
	err = make_node(s, r, name);
	if (err == -EEXIST) {		/* left by a crash */
		err = stage_delete(s, s->dir, name, NULL, NULL);
		if (!err)
			err = make_node(s, r, name);
	}
	if (err < 0)
		return err;
	fd = openat(s->dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int set_acls(int fd, const struct izo_record *r)
{
	const unsigned char *value;
	struct izo_tlv tlv;
	char path[32];
	size_t it = 0;

	fd_path(fd, path);
	while (record_tlv(r, &it, &tlv, &value)) {
		const char *name = tlv.type == IZO_TLV_ACL_ACCESS ?
				   "system.posix_acl_access" :
				   tlv.type == IZO_TLV_ACL_DEFAULT ?
				   "system.posix_acl_default" : NULL;

		if (name && setxattr(path, name, value, tlv.len, 0) < 0 &&
		    errno != EOPNOTSUPP)
			return -errno;
	}
	return 0;
}

#define INHERITED_FLAGS	(FS_SYNC_FL | FS_NODUMP_FL | FS_NOATIME_FL | FS_DIRSYNC_FL)

int stage_project(int fd, uint32_t id)
{
	struct fsxattr x;

	if (ioctl(fd, FS_IOC_FSGETXATTR, &x) < 0 || x.fsx_projid == id)
		return 0;
	x.fsx_projid = id;
	if (ioctl(fd, FS_IOC_FSSETXATTR, &x) < 0 && errno != EOPNOTSUPP &&
	    errno != EINVAL && errno != ENOTTY)
		return -errno;
	return 0;
}

/* Flags that the inode inherited on the source; another filesystem may not
 * have them. */
static int set_inherited(int path_fd, const struct izo_record *r)
{
	_cleanup_fd_ int fd = -1;
	char path[32];
	int flags, err;

	if (r->kind != IZO_CREATE && r->kind != IZO_MKDIR && r->kind != IZO_TMPFILE)
		return 0;
	if (!(r->op_flags & INHERITED_FLAGS) && !r->off)
		return 0;
	fd_path(path_fd, path);
	fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	err = stage_project(fd, r->off);
	if (err || !(r->op_flags & INHERITED_FLAGS) || ioctl(fd, FS_IOC_GETFLAGS, &flags))
		return err;
	flags |= r->op_flags & INHERITED_FLAGS;
	if (ioctl(fd, FS_IOC_SETFLAGS, &flags) && errno != EOPNOTSUPP &&
	    errno != ENOTTY && errno != EINVAL)
		return -errno;
	return 0;
}

static bool has_tlvs(const struct izo_record *r)
{
	return r->data_len && (r->kind == IZO_CREATE || r->kind == IZO_MKDIR ||
			       r->kind == IZO_MKNOD || r->kind == IZO_TMPFILE);
}

static int set_times(int fd, const struct izo_time *mtime)
{
	struct timespec t[2] = {
		{ .tv_nsec = UTIME_OMIT },
		{ .tv_sec = mtime->sec, .tv_nsec = mtime->nsec },
	};

	return utimensat(fd, "", t, AT_EMPTY_PATH) < 0 ? -errno : 0;
}

static int dress(struct stage *s, int fd, const struct izo_record *r,
		 bool keep_time)
{
	char path[32];
	int err;

	fd_path(fd, path);
	if ((r->attr.uid || r->attr.gid) &&
	    fchownat(fd, "", r->attr.uid, r->attr.gid, AT_EMPTY_PATH) < 0)
		return -errno;
	if (!S_ISLNK(r->attr.mode) && chmod(path, r->attr.mode & 07777) < 0)
		return -errno;
	if (has_tlvs(r)) {
		err = set_acls(fd, r);
		if (err < 0)
			return err;
	}
	err = stage_tag_set(s, fd, &r->obj);
	if (!err)
		err = set_inherited(fd, r);
	if (!err && !keep_time)
		err = set_times(fd, &r->attr.mtime);
	return err;
}

int stage_build(struct stage *s, const struct izo_record *r, bool keep_time,
		struct izo_fid *ret_local)
{
	_cleanup_fd_ int fd = -1;
	char name[STAGE_NAME_MAX];
	int err;

	stage_name(&r->obj, name);
	fd = make(s, r, name, keep_time ? 0 : O_TRUNC);
	if (fd < 0 && in_the_way(-fd)) {
		err = stage_delete(s, s->dir, name, NULL, NULL);
		if (err < 0)
			return err;
		fd = make(s, r, name, keep_time ? 0 : O_TRUNC);
	}
	if (fd < 0)
		return fd;
	err = dress(s, fd, r, keep_time);
	return err < 0 ? err : fid_of(s->mount, fd, "", ret_local);
}

int stage_evict(struct stage *s, int dirfd, const char *name, const char *as)
{
	struct stat st, there;
	int r;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISDIR(st.st_mode) && st.st_nlink > 1)
		return mutate_unlink(s, dirfd, name, 0);
	s->limbo_used = true;
	r = mutate_rename(s, dirfd, name, s->limbo, as, RENAME_NOREPLACE);
	if (r != -EEXIST)
		return r;
	if (!fstatat(s->limbo, as, &there, AT_SYMLINK_NOFOLLOW) &&
	    there.st_ino == st.st_ino)
		return mutate_unlink(s, dirfd, name, 0);
	r = stage_delete(s, s->limbo, as, NULL, NULL);
	return r ? r : mutate_rename(s, dirfd, name, s->limbo, as,
				     RENAME_NOREPLACE);
}

static int unlift(struct stage *s, int dirfd, const char *name, int flags)
{
	_cleanup_fd_ int fd = openat(dirfd, name, O_PATH | O_NOFOLLOW |
				     O_CLOEXEC);
	struct lift dir, obj;

	if (fd < 0)
		return -errno;
	if (lift_begin(s, dirfd, false, &dir) < 0 ||
	    lift_begin(s, fd, false, &obj) < 0)
		return -EPERM;
	flags = unlinkat(dirfd, name, flags) < 0 ? -errno : 0;
	lift_end(s, &obj);
	lift_end(s, &dir);
	return flags;
}

/* Something else is mounted there. */
static bool foreign(struct stage *s, int fd)
{
	struct izo_fid fid;

	return fid_of(s->mount, fd, "", &fid) == -EXDEV;
}

/* One call of stage_delete(): as deep as LEVELS_MAX it goes down itself, with two
 * descriptors a level; what lies deeper moves to limbo and is deleted from there. */
struct deletion {
	struct stage *stage;
	void (*gone)(void *ctx, int fd);
	void *ctx;
	unsigned levels, put_off;
};

static int delete_at(struct deletion *d, int dirfd, const char *name);

static void put_off_name(unsigned n, char ret[32])
{
	snprintf(ret, 32, "deep-%u", n);
}

static int put_off(struct deletion *d, int dirfd, const char *name)
{
	char as[32];
	int r;

	do {	/* a name that a crash left there is deleted with the others */
		put_off_name(d->put_off++, as);
		r = mutate_rename(d->stage, dirfd, name, d->stage->limbo, as,
				  RENAME_NOREPLACE);
	} while (r == -EEXIST);
	return r;
}

static int delete_in(struct deletion *d, int fd)
{
	_cleanup_dir_ DIR *dir = NULL;
	struct dirent *e;
	int dup_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0), err = 0;

	if (dup_fd < 0)
		return -errno;
	dir = fdopendir(dup_fd);
	if (!dir) {
		close(dup_fd);
		return -ENOMEM;
	}
	rewinddir(dir);
	d->levels++;
	while (!err && (e = readdir(dir)))
		if (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
			err = delete_at(d, fd, e->d_name);
	d->levels--;
	return err;
}

static int delete_at(struct deletion *d, int dirfd, const char *name)
{
	_cleanup_fd_ int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY |
				     O_NOFOLLOW | O_CLOEXEC);
	int flags = fd >= 0 ? AT_REMOVEDIR : 0, err;

	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd >= 0 && foreign(d->stage, fd))
		return -EBUSY;
	if (fd >= 0 && d->levels == LEVELS_MAX)
		return put_off(d, dirfd, name);
	if (fd >= 0) {
		struct lift l;

		err = lift_begin(d->stage, fd, false, &l);
		if (err >= 0)
			err = delete_in(d, fd);
		if (err < 0)
			return err;
		l.flags = 0;	/* it goes away: nothing to restore */
		lift_end(d->stage, &l);
	} else {
		fd = openat(dirfd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0)
			return errno == ENOENT ? 0 : -errno;
	}
	if (d->gone)
		d->gone(d->ctx, fd);
	if (!unlinkat(dirfd, name, flags))
		return 0;
	if (errno == ENOENT)
		return 0;
	return errno == EPERM ? unlift(d->stage, dirfd, name, flags) : -errno;
}

int stage_delete(struct stage *s, int dirfd, const char *name,
		 void (*gone)(void *ctx, int fd), void *ctx)
{
	struct deletion d = { .stage = s, .gone = gone, .ctx = ctx };
	int err = delete_at(&d, dirfd, name);
	char as[32];

	for (unsigned i = 0; !err && i < d.put_off; i++) {
		put_off_name(i, as);
		err = delete_at(&d, s->limbo, as);
	}
	return err;
}
