// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * selftest.c: see selftest.h.
 *
 * One operation at a time in a scratch directory, then a look into the ring
 * for the record of this process that it must have caused. A hook whose
 * function was inlined, renamed or reached another way stays silent here and
 * is named. Marks of pages are proved by the sequence that every reader
 * depends on: dirty, clean, dirty gives two marks.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/xattr.h>
#include <unistd.h>
#include "lib/cleanup.h"
#include "lib/fid.h"
#include "lento/selftest.h"

struct test {
	struct capture_pins *p;
	const struct hooks *h;
	struct fid_mount mount;
	int dir;			/* the scratch directory */
	int fd;				/* a file in it, "f" */
	struct izo_fid dir_fid, file_fid;
	char *err;
	size_t err_size;
};

/* ---- what an operation must leave ---- */

static int silent(struct test *t, const char *prog, const char *what)
{
	struct utsname u = { .release = "?" };

	uname(&u);
	snprintf(t->err, t->err_size, "%s on %s: hook %s on %s: %s (kernel %s)",
		 "self-test", t->h->fs_name, prog, hooks_fn(t->h, prog), what, u.release);
	return -EIO;
}

/* Copies this process's next record of a kind; takes all others away. */
static bool take(struct test *t, unsigned kind, struct izo_record *ret, char *name)
{
	struct ringread *ring = &t->p->ring;
	uint64_t pos = ringread_start(ring), end = ringread_end(ring);
	bool found = false;

	while (pos != end && !found) {
		uint32_t len;
		const struct izo_record *r = ringread_next(ring, &pos, &len);

		if (!r || r->kind != kind || r->pid != (uint32_t)getpid())
			continue;
		*ret = *r;
		memcpy(name, r->var, r->name_len);
		name[r->name_len] = '\0';
		found = true;
	}
	ringread_release(ring, pos);
	return found;
}

static void clear(struct test *t)
{
	ringread_release(&t->p->ring, ringread_end(&t->p->ring));
}

/* What the mount itself says it has not. */
static bool not_offered(int e)
{
	return e == EOPNOTSUPP || e == ENOTTY || e == ENOSYS;
}

static bool same_fid(const struct izo_fid *a, const struct izo_fid *b)
{
	return a->ino == b->ino && a->gen == b->gen && a->subvol == b->subvol;
}

/* After an operation that returned `ret`: its record, on name `name` in the
 * scratch directory (NULL: any), about the object `obj` (NULL: any). */
static int expect(struct test *t, int ret, const char *prog, unsigned kind,
		  const char *name, const struct izo_fid *obj)
{
	char got[IZO_NAME_MAX + 1], what[128];
	struct izo_record r;

	if (ret < 0 && not_offered(errno)) {
		clear(t);
		return 0;
	}
	if (ret < 0) {
		snprintf(what, sizeof(what), "the operation failed: %s", strerror(errno));
		return silent(t, prog, what);
	}
	if (!take(t, kind, &r, got))
		return silent(t, prog, "no record");
	if (name && strcmp(got, name)) {
		snprintf(what, sizeof(what), "name '%.40s', not '%s'", got, name);
		return silent(t, prog, what);
	}
	if (obj && !same_fid(obj, &r.obj))
		return silent(t, prog, "another object than was changed");
	clear(t);
	return 0;
}

/* The same for a name just made: the object is whatever has that name. */
static int expect_new(struct test *t, int ret, const char *prog, unsigned kind,
		      const char *name)
{
	struct izo_fid fid;

	if (ret >= 0 && fid_of(&t->mount, t->dir, name, &fid))
		return silent(t, prog, "the new object has no handle");
	return expect(t, ret, prog, kind, name, &fid);
}

/* ---- names ---- */

static int test_names(struct test *t)
{
	int r, fd;

	fd = openat(t->dir, "n", O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
	r = expect_new(t, fd, "izo_create", IZO_CREATE, "n");
	if (fd >= 0)
		close(fd);
	if (!r)
		r = expect_new(t, mkdirat(t->dir, "d", 0700), "izo_mkdir", IZO_MKDIR, "d");
	if (!r)
		r = expect_new(t, mknodat(t->dir, "p", S_IFIFO | 0600, 0), "izo_mknod",
			       IZO_MKNOD, "p");
	if (!r)
		r = expect_new(t, symlinkat("to/where", t->dir, "s"), "izo_symlink",
			       IZO_SYMLINK, "s");
	if (!r)
		r = expect_new(t, linkat(t->dir, "n", t->dir, "l", 0), "izo_link",
			       IZO_LINK, "l");
	return r;
}

static int test_rename(struct test *t)
{
	struct izo_fid fid = {};
	int r = renameat(t->dir, "l", t->dir, "m");

	if (!r && fid_of(&t->mount, t->dir, "m", &fid))
		return silent(t, "izo_rename", "the object has no handle");
	return expect(t, r, "izo_rename", IZO_RENAME, "l", &fid);
}

static int test_removal(struct test *t)
{
	const char *rmdir_hook = hooks_fn(t->h, "izo_rmdir")[0] ? "izo_rmdir" : "izo_unlink";
	int r;

	r = expect(t, unlinkat(t->dir, "m", 0), "izo_unlink", IZO_UNLINK, "m", NULL);
	if (!r)
		r = expect(t, unlinkat(t->dir, "d", AT_REMOVEDIR), rmdir_hook,
			   IZO_RMDIR, "d", NULL);
	unlinkat(t->dir, "n", 0);
	unlinkat(t->dir, "p", 0);
	unlinkat(t->dir, "s", 0);
	return r;
}

static int test_tmpfile(struct test *t)
{
	_cleanup_fd_ int fd = openat(t->dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd < 0 && errno == EISDIR)
		errno = EOPNOTSUPP;
	return expect(t, fd, "izo_tmpfile", IZO_TMPFILE, "", NULL);
}

/* ---- attributes ---- */

static int set_flag(int fd)
{
	int flags = 0;

	if (ioctl(fd, FS_IOC_GETFLAGS, &flags))
		return -1;
	flags |= FS_NOATIME_FL;
	return ioctl(fd, FS_IOC_SETFLAGS, &flags);
}

static int test_attrs(struct test *t)
{
	/* version, then {tag | perm << 16, id} */
	static const uint32_t value[] = { 2, 0x00060001, ~0u, 0x00040002, 1000,
		0x00040004, ~0u, 0x00060010, ~0u, 0x00000020, ~0u };
	const char *acl_hook = hooks_fn(t->h, "izo_acl_inode")[0] ?
		"izo_acl_inode" : "izo_acl_dentry";
	const char *xattr_hook = t->h->fs == IZO_FS_EXT4 ? "izo_xattr_ext4" :
		t->h->fs == IZO_FS_XFS ? "izo_xattr_xfs" : "izo_xattr_btrfs";
	int r;

	r = expect(t, fchmod(t->fd, 0640), "izo_setattr", IZO_SETATTR, NULL, &t->file_fid);
	if (!r)
		r = expect(t, fsetxattr(t->fd, "user.izo", "v", 1, 0), xattr_hook,
			   IZO_XATTR, "user.izo", &t->file_fid);
	if (!r)
		r = expect(t, fsetxattr(t->fd, "trusted.izo", "v", 1, 0), xattr_hook,
			   IZO_XATTR, "trusted.izo", &t->file_fid);
	if (!r)
		r = expect(t, fsetxattr(t->fd, "security.izo", "v", 1, 0), xattr_hook,
			   IZO_XATTR, "security.izo", &t->file_fid);
	if (!r)
		r = expect(t, fremovexattr(t->fd, "user.izo"), xattr_hook, IZO_XATTR,
			   "user.izo", &t->file_fid);
	if (!r)
		r = expect(t, fsetxattr(t->fd, "system.posix_acl_access", value,
					sizeof(value), 0), acl_hook, IZO_ACL,
			   "system.posix_acl_access", &t->file_fid);
	if (!r)
		r = expect(t, set_flag(t->fd), "izo_fileattr", IZO_FILEATTR, NULL,
			   &t->file_fid);
	return r;
}

/* ---- layout and order points ---- */

static int test_points(struct test *t)
{
	int fd, r;

	r = expect(t, fsync(t->fd), "izo_fsync", IZO_FSYNC, NULL, &t->file_fid);
	if (!r)
		r = expect(t, syncfs(t->fd), "izo_syncfs", IZO_SYNCFS, NULL, NULL);
	if (!r)
		r = expect(t, fallocate(t->fd, 0, 0, 65536), "izo_falloc", IZO_FALLOC,
			   NULL, &t->file_fid);
	if (r)
		return r;
	close(t->fd);
	r = expect(t, 0, "izo_release", IZO_CLOSE, NULL, &t->file_fid);
	fd = t->fd = openat(t->dir, "f", O_RDWR | O_CLOEXEC);
	if (!r)
		r = expect(t, fd, "izo_open", IZO_OPENW, NULL, &t->file_fid);
	return r;
}

static int clone_into(struct test *t, int to)
{
	struct file_clone_range range = { .src_fd = t->fd, .src_length = 4096 };

	return ioctl(to, FICLONERANGE, &range);
}

static int test_remap(struct test *t)
{
	_cleanup_fd_ int to = openat(t->dir, "r", O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	struct izo_fid fid;
	int r;

	if (to < 0 || fid_of(&t->mount, t->dir, "r", &fid))
		return silent(t, "izo_remap", "no file for the test");
	clear(t);
	r = expect(t, clone_into(t, to), "izo_remap", IZO_REMAP, NULL, &fid);
	unlinkat(t->dir, "r", 0);
	return r;
}

/* ---- pages ---- */

/* Is the page at `off` of the scratch file marked? Takes all marks away. */
static int marked(struct test *t, uint64_t off, bool *ret)
{
	struct dirtymap *d = &t->p->dirty;
	int r = dirtymap_take(d);

	*ret = false;
	for (size_t i = 0; i < d->nmarks && !r; i++) {
		const struct capture_mark *m = &d->marks[i];

		if (same_fid(&m->obj, &t->file_fid) && m->range.off <= off &&
		    off < m->range.end)
			*ret = true;
	}
	return r ? r : dirtymap_release(d);
}

static int must_mark(struct test *t, const char *prog, uint64_t off, const char *what)
{
	bool yes;

	if (marked(t, off, &yes))
		return silent(t, prog, "the marks cannot be read");
	return yes ? 0 : silent(t, prog, what);
}

static int clean(int fd)
{
	return sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WAIT_BEFORE |
			       SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER);
}

static int write_page(struct test *t, uint64_t off)
{
	char page[4096];

	memset(page, 'i', sizeof(page));
	return pwrite(t->fd, page, sizeof(page), off) == sizeof(page) ? 0 : -1;
}

/* Data journalling and DAX fail here: their pages are not cleaned by a
 * write-out, or are never dirty. */
static int test_pages(struct test *t)
{
	static const char *again =
		"no mark after dirty, clean, dirty (data=journal or DAX?)";
	char *map;
	int r;

	if (write_page(t, 8192))
		return silent(t, "izo_folio", "cannot write");
	r = must_mark(t, "izo_folio", 8192, "no mark for a write");
	if (!r && (clean(t->fd) || write_page(t, 8192)))
		return silent(t, "izo_folio", "cannot write out");
	if (!r)
		r = must_mark(t, "izo_folio", 8192, again);
	if (r)
		return r;
	map = mmap(NULL, 16384, PROT_READ | PROT_WRITE, MAP_SHARED, t->fd, 0);
	if (map == MAP_FAILED)
		return silent(t, "izo_folio", "cannot map");
	for (int round = 0; round < 2 && !r; round++) {
		bool drop;

		clean(t->fd);
		marked(t, 0, &drop);
		*(volatile char *)(map + 8192) = round;
		r = must_mark(t, "izo_folio", 8192, "no mark for a store to a mapping");
	}
	munmap(map, 16384);
	return r;
}

/* Direct I/O that a filesystem turns into buffered I/O marks folios. */
static int test_direct(struct test *t)
{
	_cleanup_fd_ int fd = openat(t->dir, "f", O_RDWR | O_DIRECT | O_CLOEXEC);
	_cleanup_free_ void *buf = NULL;
	bool drop;
	int n;

	if (fd < 0)
		return errno == EINVAL ? 0 : silent(t, "izo_dio_in", "cannot open");
	if (posix_memalign(&buf, 4096, 4096))
		return -ENOMEM;
	memset(buf, 'd', 4096);
	clean(t->fd);
	if (marked(t, 0, &drop))
		return silent(t, "izo_dio_in", "the marks cannot be read");
	n = pwrite(fd, buf, 4096, 12288);
	if (n != 4096)
		return errno == EINVAL ? 0 : silent(t, "izo_dio_in", "cannot write");
	return must_mark(t, "izo_dio_out", 12288, "no mark for a direct write");
}

/* ---- all ---- */

static int scratch(struct test *t, int root_fd, char *name, size_t size)
{
	char root[40];
	_cleanup_fd_ int top = -1;

	snprintf(root, sizeof(root), "/proc/self/fd/%d", root_fd);
	top = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (top < 0)
		return -errno;
	if (mkdirat(top, ".intermezzo", 0700) && errno != EEXIST)
		return -errno;
	snprintf(name, size, ".intermezzo/selftest-%d", (int)getpid());
	if (mkdirat(top, name, 0700) && errno != EEXIST)
		return -errno;
	t->dir = openat(top, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (t->dir < 0)
		return -errno;
	t->fd = openat(t->dir, "f", O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	if (t->fd < 0 || fid_mount_init(&t->mount, t->dir) ||
	    fid_of(&t->mount, t->dir, "", &t->dir_fid) ||
	    fid_of(&t->mount, t->dir, "f", &t->file_fid))
		return errno ? -errno : -EIO;
	return 0;
}

static void sweep(struct test *t, int root_fd, const char *name)
{
	static const char *const left[] = { "f", "n", "l", "m", "p", "s", "r" };

	if (t->fd >= 0)
		close(t->fd);
	if (t->dir < 0)
		return;
	for (unsigned i = 0; i < sizeof(left) / sizeof(left[0]); i++)
		unlinkat(t->dir, left[i], 0);
	unlinkat(t->dir, "d", AT_REMOVEDIR);
	close(t->dir);
	unlinkat(root_fd, name, AT_REMOVEDIR);
}

int selftest(struct capture_pins *p, const struct hooks *h, int root_fd,
	     char *err, size_t err_size)
{
	static int (*const tests[])(struct test *) = {
		test_names, test_rename, test_tmpfile, test_attrs, test_points,
		test_remap, test_pages, test_direct, test_removal,
	};
	struct test t = { .p = p, .h = h, .dir = -1, .fd = -1, .err = err,
			  .err_size = err_size };
	char name[64] = "";
	int r = scratch(&t, root_fd, name, sizeof(name));

	if (r)
		snprintf(err, err_size, "self-test: %s: %s", name, strerror(-r));
	p->conf->roots[0] = t.dir_fid;
	p->conf->nroots = 1;
	p->conf->ring_quarter = p->ring.size / 4;
	if (!r)
		__atomic_store_n(&p->conf->dev, h->dev, __ATOMIC_SEQ_CST);
	for (unsigned i = 0; i < sizeof(tests) / sizeof(tests[0]) && !r; i++) {
		clear(&t);
		r = tests[i](&t);
	}
	__atomic_store_n(&p->conf->dev, 0, __ATOMIC_SEQ_CST);
	sweep(&t, root_fd, name);
	return r;
}
