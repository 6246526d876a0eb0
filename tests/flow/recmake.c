// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * recmake.c: see recmake.h. What exists before the operation (the object of an
 * unlink, the victim of a rename) is looked at before it, everything else
 * after it, as fexit programs do.
 */
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include "lib/cleanup.h"
#include "tests/flow/recmake.h"

#define ACL_ACCESS	"system.posix_acl_access"
#define ACL_DEFAULT	"system.posix_acl_default"

struct place {
	int dir;
	const char *name;
	struct izo_fid fid, obj;	/* obj none: the name is free */
	int fd;				/* O_PATH of obj or -1 */
};

int rec_init(struct rec_ctx *c, const char *root)
{
	c->tmp_fd = c->base = -1;
	c->root = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return c->root < 0 ? -errno : fid_mount_init(&c->mount, c->root);
}

int rec_cd(struct rec_ctx *c, const char *path)
{
	int at = *path == '/' || c->base < 0 ? c->root : c->base, fd = -1;

	path += *path == '/';
	if (*path || at != c->root) {
		fd = openat(at, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd < 0)
			return -errno;
	}
	cleanup_fd(&c->base);
	c->base = fd;
	return 0;
}

void rec_done(struct rec_ctx *c)
{
	cleanup_fd(&c->base);
	cleanup_fd(&c->tmp_fd);
	cleanup_fd(&c->root);
}

static int place_open(struct rec_ctx *c, const char *path, struct place *p)
{
	int from = *path == '/' || c->base < 0 ? c->root : c->base, r;
	char dir[4096] = ".";
	const char *slash;

	path += *path == '/';
	slash = strrchr(path, '/');
	if (slash)
		snprintf(dir, sizeof(dir), "%.*s", (int)(slash - path), path);
	*p = (struct place){ .dir = -1, .fd = -1,
			     .name = slash ? slash + 1 : path };
	p->dir = openat(from, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (p->dir < 0)
		return -errno;
	r = fid_of(&c->mount, p->dir, "", &p->fid);
	if (r || !*p->name)
		return r;
	p->fd = openat(p->dir, p->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	return p->fd < 0 ? 0 : fid_of(&c->mount, p->fd, "", &p->obj);
}

static void place_done(struct place *p)
{
	cleanup_fd(&p->fd);
	cleanup_fd(&p->dir);
}

/* The object at p as it is after the operation. */
static int place_look(struct rec_ctx *c, struct place *p)
{
	cleanup_fd(&p->fd);
	p->fd = openat(p->dir, p->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	return p->fd < 0 ? -errno : fid_of(&c->mount, p->fd, "", &p->obj);
}

static size_t put_tlv(unsigned char *buf, size_t at, int type, const char *path,
		      const char *name)
{
	struct izo_tlv t = { .type = type };
	ssize_t n = getxattr(path, name, buf + at + sizeof(t), 4096);

	if (n <= 0)
		return at;
	t.len = n;
	memcpy(buf + at, &t, sizeof(t));
	return at + sizeof(t) + n;
}

/* The kernel's record names the flags that a new file or directory inherited. */
static unsigned inherited_flags(int fd)
{
	_cleanup_fd_ int real = -1;
	char path[32];
	int flags = 0;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	real = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (real < 0 || ioctl(real, FS_IOC_GETFLAGS, &flags))
		return 0;
	return flags & (FS_SYNC_FL | FS_NODUMP_FL | FS_NOATIME_FL | FS_DIRSYNC_FL);
}

static size_t inherited(int fd, unsigned char *buf)
{
	char path[32];
	size_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = put_tlv(buf, 0, IZO_TLV_ACL_ACCESS, path, ACL_ACCESS);
	return put_tlv(buf, n, IZO_TLV_ACL_DEFAULT, path, ACL_DEFAULT);
}

static struct izo_time mtime_of(int dir)
{
	struct izo_attr a = { 0 };

	fid_attr(dir, &a);
	return a.mtime;
}

static int fill_record(struct izo_record *r, const struct place *p, int fd,
		       const struct izo_fid *obj)
{
	r->obj = *obj;
	r->dir = p->fid;
	r->dir_mtime = mtime_of(p->dir);
	return fid_attr(fd, &r->attr);
}

static int make_node(struct rec_ctx *c, const struct rec_arg *a, struct place *p)
{
	int fd;

	switch (a->op) {
	case REC_CREATE:
		fd = openat(p->dir, p->name, O_WRONLY | O_CREAT | O_EXCL |
			    O_CLOEXEC, a->mode);
		if (fd >= 0)
			close(fd);
		return fd < 0 ? -errno : 0;
	case REC_MKDIR:
		return mkdirat(p->dir, p->name, a->mode) ? -errno : 0;
	case REC_MKNOD:
		return mknodat(p->dir, p->name, a->mode, a->rdev) ? -errno : 0;
	case REC_SYMLINK:
		return symlinkat(a->path2, p->dir, p->name) ? -errno : 0;
	default:
		cleanup_fd(&c->tmp_fd);
		c->tmp_fd = openat(p->dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC,
				   a->mode);
		return c->tmp_fd < 0 ? -errno : 0;
	}
}

static int do_make(struct rec_ctx *c, const struct rec_arg *a, struct place *p,
		   struct izo_record **ret)
{
	static const enum izo_kind kinds[] = {
		[REC_CREATE] = IZO_CREATE, [REC_MKDIR] = IZO_MKDIR,
		[REC_MKNOD] = IZO_MKNOD, [REC_SYMLINK] = IZO_SYMLINK,
		[REC_TMPFILE] = IZO_TMPFILE,
	};
	unsigned char data[9000];
	bool tmp = a->op == REC_TMPFILE;
	const void *d = data;
	size_t n;
	int fd, e = make_node(c, a, p);

	if (!e && !tmp)
		e = place_look(c, p);
	if (!e && tmp)
		e = fid_of(&c->mount, c->tmp_fd, "", &p->obj);
	if (e)
		return e;
	fd = tmp ? c->tmp_fd : p->fd;
	n = a->op == REC_SYMLINK ? 0 : inherited(fd, data);
	if (a->op == REC_SYMLINK) {
		d = a->path2;
		n = strlen(a->path2);
	}
	*ret = record_new(kinds[a->op], p->name, tmp ? 0 : strlen(p->name),
			  NULL, 0, d, n);
	if (!*ret)
		return -ENOMEM;
	if (a->op == REC_CREATE || a->op == REC_MKDIR || tmp)
		(*ret)->op_flags = inherited_flags(fd);
	return fill_record(*ret, p, fd, &p->obj);
}

static int do_remove(struct rec_ctx *c, const struct rec_arg *a,
		     struct place *p, struct izo_record **ret)
{
	bool dir = a->op == REC_RMDIR;

	(void)c;
	if (unlinkat(p->dir, p->name, dir ? AT_REMOVEDIR : 0))
		return -errno;
	*ret = record_new(dir ? IZO_RMDIR : IZO_UNLINK, p->name,
			  strlen(p->name), NULL, 0, NULL, 0);
	return *ret ? fill_record(*ret, p, p->fd, &p->obj) : -ENOMEM;
}

static int do_link(struct rec_ctx *c, const struct rec_arg *a, struct place *p,
		   struct izo_record **ret)
{
	struct place to;
	bool tmp = a->op == REC_LINKTMP;
	int fd = tmp ? c->tmp_fd : p->fd, e;

	e = place_open(c, tmp ? a->path : a->path2, &to);
	if (!e && linkat(fd, "", to.dir, to.name, AT_EMPTY_PATH))
		e = -errno;
	if (!e)
		e = place_look(c, &to);
	if (!e) {
		*ret = record_new(IZO_LINK, to.name, strlen(to.name), NULL, 0,
				  NULL, 0);
		e = *ret ? fill_record(*ret, &to, to.fd, &to.obj) : -ENOMEM;
	}
	if (!e && tmp)
		cleanup_fd(&c->tmp_fd), c->tmp_fd = -1;
	place_done(&to);
	return e;
}

static int do_rename(struct rec_ctx *c, const struct rec_arg *a,
		     struct place *p, struct izo_record **ret)
{
	struct izo_attr victim = { 0 };
	struct izo_record *r;
	struct place to;
	int e = place_open(c, a->path2, &to);

	if (!e && to.fd >= 0 && fid_eq(&to.obj, &p->obj))
		e = -EEXIST;	/* the kernel does nothing, no record */
	if (!e && renameat2(p->dir, p->name, to.dir, to.name, a->flags))
		e = -errno;
	if (!e) {
		*ret = r = record_new(IZO_RENAME, p->name, strlen(p->name),
				      to.name, strlen(to.name), NULL, 0);
		e = r ? fill_record(r, p, p->fd, &p->obj) : -ENOMEM;
	}
	if (!e) {
		r->dir2 = to.fid;
		r->dir2_mtime = mtime_of(to.dir);
		r->op_flags = a->flags;
		r->victim = to.obj;
		if (to.fd >= 0)
			fid_attr(to.fd, &victim);
		r->victim_nlink = S_ISDIR(victim.mode) &&
				  !(a->flags & RENAME_EXCHANGE) ? 0 :
				  victim.nlink;
		if (a->flags & RENAME_EXCHANGE && S_ISDIR(victim.mode)) {
			r->off = victim.mtime.sec;
			r->count = victim.mtime.nsec;
		}
	}
	place_done(&to);
	return e;
}

static int chattr(const char *path, const struct rec_arg *a)
{
	_cleanup_fd_ int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	int flags;

	if (fd < 0 || ioctl(fd, FS_IOC_GETFLAGS, &flags))
		return -1;
	flags = (flags & ~(FS_NODUMP_FL | FS_NOATIME_FL | FS_APPEND_FL |
			   FS_IMMUTABLE_FL)) | a->flags;
	return ioctl(fd, FS_IOC_SETFLAGS, &flags);
}

static int fallocated(const char *path, const struct rec_arg *a)
{
	_cleanup_fd_ int fd = open(path, O_RDWR | O_CLOEXEC);

	return fd < 0 ? -1 : fallocate(fd, a->flags, a->off, a->count);
}

static int change(const char *path, const struct rec_arg *a, int fd)
{
	struct timespec t[2] = { a->mtime, a->mtime };

	switch (a->op) {
	case REC_CHMOD:
		return chmod(path, a->mode);
	case REC_CHOWN:
		return fchownat(fd, "", a->uid, a->gid, AT_EMPTY_PATH);
	case REC_UTIMENS:
		return utimensat(fd, "", t, AT_EMPTY_PATH);
	case REC_TRUNCATE:
		return truncate(path, a->off);
	case REC_SETXATTR:
	case REC_SETACL:
		return setxattr(path, a->name, a->value, a->len, 0);
	case REC_REMOVEXATTR:
		return removexattr(path, a->name);
	case REC_CHATTR:
		return chattr(path, a);
	case REC_FALLOCATE:
		return fallocated(path, a);
	default:
		return 0;
	}
}

static const struct {
	enum izo_kind kind;
	unsigned flags;
} changes[] = {
	[REC_CHMOD] = { IZO_SETATTR, IZO_ATTR_MODE },
	[REC_CHOWN] = { IZO_SETATTR, IZO_ATTR_UID | IZO_ATTR_GID },
	[REC_UTIMENS] = { IZO_SETATTR, IZO_ATTR_ATIME | IZO_ATTR_MTIME },
	[REC_TRUNCATE] = { IZO_SETATTR, IZO_ATTR_SIZE | IZO_ATTR_MTIME },
	[REC_SETXATTR] = { IZO_XATTR, 0 },
	[REC_REMOVEXATTR] = { IZO_XATTR, IZO_XATTR_REMOVE },
	[REC_SETACL] = { IZO_ACL, 0 },
	[REC_CHATTR] = { IZO_FILEATTR, 0 },
	[REC_FALLOCATE] = { IZO_FALLOC, 0 },
	[REC_CLOSE] = { IZO_CLOSE, IZO_CLOSE_LAST },
	[REC_FSYNC] = { IZO_FSYNC, 0 },
};

static uint32_t project_of(const char *path)
{
	_cleanup_fd_ int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	struct fsxattr x;

	return fd < 0 || ioctl(fd, FS_IOC_FSGETXATTR, &x) ? 0 : x.fsx_projid;
}

static int do_change(const struct rec_arg *a, struct place *p,
		     struct izo_record **ret, struct izo_fid *dirty)
{
	bool attr = changes[a->op].kind == IZO_XATTR ||
		    changes[a->op].kind == IZO_ACL;
	bool value = attr && a->op != REC_REMOVEXATTR;
	struct izo_record *r;
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", p->fd);
	if (change(path, a, p->fd))
		return -errno;
	*ret = r = record_new(changes[a->op].kind, attr ? a->name : NULL,
			      attr ? strlen(a->name) : 0, NULL, 0,
			      value ? a->value : NULL, value ? a->len : 0);
	if (!r)
		return -ENOMEM;
	r->op_flags = a->op == REC_CHATTR || a->op == REC_FALLOCATE ? a->flags :
		      changes[a->op].flags;
	if (a->op == REC_FALLOCATE) {
		r->off = a->off;
		r->count = a->count;
	}
	if (a->op == REC_CHATTR)
		r->off = project_of(path);
	if (a->op == REC_TRUNCATE || a->op == REC_FALLOCATE)
		*dirty = p->obj;
	r->obj = p->obj;
	return fid_attr(p->fd, &r->attr);
}

static int do_write(const struct rec_arg *a, struct place *p,
		    struct izo_fid *dirty)
{
	_cleanup_fd_ int fd = openat(p->dir, p->name, O_WRONLY | O_NOFOLLOW |
				     O_NONBLOCK | O_CLOEXEC);

	if (fd < 0 || pwrite(fd, a->value, a->len, a->off) < 0)
		return -errno;
	*dirty = p->obj;
	return 0;
}

int rec_do(struct rec_ctx *c, const struct rec_arg *a, struct izo_record **ret,
	   struct izo_fid *ret_dirty)
{
	struct izo_record *r = NULL;
	struct place p;
	int e = place_open(c, a->path, &p);

	if (!e && p.fd < 0 && a->op > REC_SYMLINK && a->op != REC_TMPFILE &&
	    a->op != REC_LINKTMP)
		e = -ENOENT;
	*ret_dirty = (struct izo_fid){ 0 };
	if (!e)
		switch (a->op) {
		case REC_CREATE:
		case REC_MKDIR:
		case REC_MKNOD:
		case REC_SYMLINK:
		case REC_TMPFILE:
			e = do_make(c, a, &p, &r);
			break;
		case REC_UNLINK:
		case REC_RMDIR:
			e = do_remove(c, a, &p, &r);
			break;
		case REC_LINK:
		case REC_LINKTMP:
			e = do_link(c, a, &p, &r);
			break;
		case REC_RENAME:
			e = do_rename(c, a, &p, &r);
			break;
		case REC_WRITE:
			e = do_write(a, &p, ret_dirty);
			break;
		default:
			e = do_change(a, &p, &r, ret_dirty);
		}
	place_done(&p);
	if (e)
		free(take_ptr(r));
	*ret = r;
	return e;
}
