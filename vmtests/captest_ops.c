// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * captest_ops.c: one call at a time leaves exactly the records it should.
 *
 * Each call's records are compared as text; beside that, the attributes in the
 * last record about an object are compared with what the object has, and the
 * parent's mtime with the parent's.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>
#include "lib/cleanup.h"
#include "vmtests/captest.h"

#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE 1
#define RENAME_EXCHANGE 2
#define RENAME_WHITEOUT 4
#endif

static bool same_time(const struct izo_time *a, const struct izo_time *b)
{
	return a->sec == b->sec && a->nsec == b->nsec;
}

/* btrfs sets the ctime after btrfs_setxattr. A directory's size says nothing
 * and is not set at once everywhere. */
static bool ctime_later(const struct ct *t, const struct izo_record *r)
{
	return t->mount.fs == FID_FS_BTRFS && r->kind == IZO_XATTR;
}

static bool attr_is(struct ct *t, const struct izo_record *r)
{
	_cleanup_fd_ int fd = fid_open(&t->mount, &r->obj, O_PATH);
	struct izo_attr a;

	if (fd < 0 || fid_attr(fd, &a))
		return true;		/* gone: nothing to compare with */
	if (a.mode == r->attr.mode && a.uid == r->attr.uid && a.gid == r->attr.gid &&
	    a.nlink == r->attr.nlink && a.rdev == r->attr.rdev &&
	    (a.size == r->attr.size || S_ISDIR(a.mode)) &&
	    same_time(&a.mtime, &r->attr.mtime) &&
	    (same_time(&a.ctime, &r->attr.ctime) || ctime_later(t, r)))
		return true;
	diag("record: mode %o uid %u gid %u nlink %u rdev %x size %llu mtime %lld.%u ctime %lld.%u",
	     r->attr.mode, r->attr.uid, r->attr.gid, r->attr.nlink, r->attr.rdev,
	     (unsigned long long)r->attr.size, (long long)r->attr.mtime.sec,
	     r->attr.mtime.nsec, (long long)r->attr.ctime.sec, r->attr.ctime.nsec);
	diag("object: mode %o uid %u gid %u nlink %u rdev %x size %llu mtime %lld.%u ctime %lld.%u",
	     a.mode, a.uid, a.gid, a.nlink, a.rdev, (unsigned long long)a.size,
	     (long long)a.mtime.sec, a.mtime.nsec, (long long)a.ctime.sec, a.ctime.nsec);
	return false;
}

static bool parent_is(struct ct *t, const struct izo_fid *dir, const struct izo_time *mtime)
{
	_cleanup_fd_ int fd = -1;
	struct izo_attr a;

	if (!dir->ino)
		return true;
	fd = fid_open(&t->mount, dir, O_PATH);
	return fd < 0 || fid_attr(fd, &a) || same_time(&a.mtime, mtime);
}

static bool fields(struct ct *t, const struct izo_record *r)
{
	if (r->kind == IZO_SYNCFS)
		return true;
	if (r->pid != (uint32_t)getpid() || strcmp(r->comm, "captest") || !r->clock_ns)
		return false;
	if (ct_next(t, r))
		return true;		/* not the last word on the object */
	return attr_is(t, r) && parent_is(t, &r->dir, &r->dir_mtime) &&
		parent_is(t, &r->dir2, &r->dir2_mtime);
}

/* The last call's records are `want`. */
static void is(struct ct *t, const char *call, const char *want)
{
	bool right = true;

	ct_collect(t);
	if (strcmp(ct_text(t), want)) {
		ok(false, "%s", call);
		diag("got:    %s", t->text);
		diag("wanted: %s", want);
		return;
	}
	for (const struct izo_record *r = ct_next(t, NULL); r; r = ct_next(t, r))
		right = fields(t, r) && right;
	ok(right && !t->gap, "%s", call);
}

/* A call that must succeed. */
#define DO(call) do { errno = 0; if ((call) < 0) \
	ok(false, "%s: %s", #call, strerror(errno)); } while (0)
/* A call that must fail and leave nothing. */
#define FAILS(t, call, with) do { errno = 0; int _r = (call); \
	ok(_r < 0 && errno == (with), "%s fails", #call); is(t, #call " leaves nothing", ""); } while (0)

static void names(struct ct *t)
{
	int fd;

	ct_label(t, "ROOT", ".");
	DO(mkdir("d", 0750));
	ct_label(t, "d", "d");
	is(t, "mkdir", "mkdir d d in ROOT");
	DO(mkdir("e", 0700));
	ct_label(t, "e", "e");
	ct_collect(t);
	FAILS(t, mkdir("d", 0755), EEXIST);
	DO(fd = open("d/f", O_CREAT | O_RDWR, 0640));
	ct_label(t, "f", "d/f");
	is(t, "open O_CREAT", "create f f in d");
	close(fd);
	is(t, "close of the last writer", "close f fl=1");
	DO(fd = open("d/f", O_CREAT | O_RDWR, 0640));
	is(t, "open O_CREAT of an existing file", "openw f");
	close(fd);
	DO(fd = open("d/f", O_RDONLY));
	close(fd);
	is(t, "close, open to read and close", "close f fl=1");
	DO(mknod("d/reg", S_IFREG | 0600, 0));
	ct_label(t, "reg", "d/reg");
	is(t, "mknod of a regular file", "create reg reg in d");
	DO(mknod("d/p", S_IFIFO | 0604, 0));
	ct_label(t, "p", "d/p");
	is(t, "mknod of a fifo", "mknod p p in d");
	DO(mknod("d/c", S_IFCHR | 0600, makedev(259, 70000)));
	ct_label(t, "c", "d/c");
	is(t, "mknod of a device", "mknod c c in d");
	DO(symlink("some/target", "d/s"));
	ct_label(t, "s", "d/s");
	is(t, "symlink", "symlink s s in d data=11");
	DO(link("d/f", "e/l"));
	is(t, "link", "link l f in e");
	FAILS(t, link("d/f", "e/l"), EEXIST);
	DO(unlink("e/l"));
	is(t, "unlink, a name left", "unlink l f in e");
	DO(mkdir("d/gone", 0700));
	ct_label(t, "gone", "d/gone");
	ct_collect(t);
	DO(rmdir("d/gone"));
	is(t, "rmdir", "rmdir gone gone in d");
	FAILS(t, rmdir("d"), ENOTEMPTY);
}

static void long_names(struct ct *t)
{
	char name[256], name2[256], path[300], path2[300], target[4001], want[1024];

	for (unsigned len = 62; len <= 255; len += len < 66 ? 1 : 63) {
		memset(name, 'n', len);
		name[len] = '\0';
		snprintf(path, sizeof(path), "d/%s", name);
		DO(mknod(path, S_IFREG | 0600, 0));
		ct_label(t, "n", path);
		snprintf(want, sizeof(want), "create %s n in d", name);
		is(t, "create of a long name", want);
		memset(name2, 'm', len);
		name2[len] = '\0';
		snprintf(path2, sizeof(path2), "e/%s", name2);
		DO(rename(path, path2));
		snprintf(want, sizeof(want), "rename %s>%s n in d>e", name, name2);
		is(t, "rename of a long name", want);
		DO(unlink(path2));
		snprintf(want, sizeof(want), "unlink %s n in e", name2);
		is(t, "unlink of a long name", want);
	}
	for (unsigned len = 500; len <= 1023; len += 511 - 500 + (len > 510) * 500) {
		const struct izo_record *r;

		memset(target, 't', len);
		target[len] = '\0';
		DO(symlink(target, "d/long"));
		ct_label(t, "long", "d/long");
		snprintf(want, sizeof(want), "symlink long long in d data=%u", len);
		is(t, "symlink with a long target", want);
		r = ct_next(t, NULL);
		ok(r && r->data_len == len && !memcmp(r->var + 4, target, len),
		   "its text, %u bytes", len);
		unlink("d/long");
		ct_collect(t);
	}
}

static void renames(struct ct *t)
{
	DO(mknod("d/g", S_IFREG | 0600, 0));
	ct_label(t, "g", "d/g");
	ct_collect(t);
	DO(rename("d/g", "e/g2"));
	is(t, "rename", "rename g>g2 g in d>e");
	DO(mknod("e/v", S_IFREG | 0600, 0));
	ct_label(t, "v", "e/v");
	ct_collect(t);
	DO(rename("e/g2", "e/v"));
	is(t, "rename over a file", "rename g2>v g in e over v/0");
	DO(renameat2(AT_FDCWD, "d/f", AT_FDCWD, "e/v", RENAME_EXCHANGE));
	is(t, "rename with exchange", "rename f>v f in d>e over g/1 fl=2");
	FAILS(t, renameat2(AT_FDCWD, "d/f", AT_FDCWD, "e/v", RENAME_NOREPLACE), EEXIST);
	DO(renameat2(AT_FDCWD, "e/v", AT_FDCWD, "e/w", RENAME_NOREPLACE));
	is(t, "rename without replacing", "rename v>w f in e fl=1");
	DO(renameat2(AT_FDCWD, "e/w", AT_FDCWD, "e/v", RENAME_WHITEOUT));
	is(t, "rename with a whiteout", "rename w>v f in e fl=4");
	unlink("e/w");
	ct_collect(t);
	DO(mkdir("sub", 0700));
	ct_label(t, "sub", "sub");
	ct_collect(t);
	DO(rename("sub", "e/sub"));
	is(t, "rename of a directory", "rename sub>sub sub in ROOT>e");
	DO(renameat2(AT_FDCWD, "d/f", AT_FDCWD, "e/v", RENAME_EXCHANGE));
	rmdir("e/sub");
	ct_collect(t);
}

static void nameless(struct ct *t)
{
	char path[64];
	int fd;

	DO(fd = open("e", O_TMPFILE | O_RDWR, 0600));
	if (fd < 0)
		return;
	ct_collect(t);
	ok(strstr(ct_text(t), "tmpfile ? in e") == t->text && !strstr(t->text, ";"),
	   "O_TMPFILE: %s", t->text);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	DO(linkat(AT_FDCWD, path, AT_FDCWD, "e/t", AT_SYMLINK_FOLLOW));
	ct_label(t, "t", "e/t");
	is(t, "linkat of a nameless file", "link t t in e");
	close(fd);
	unlink("e/t");
	ct_collect(t);
}

static void attrs(struct ct *t)
{
	struct timespec times[2] = { { .tv_sec = 1000000000, .tv_nsec = 123 },
				     { .tv_sec = 1100000000, .tv_nsec = 456 } };

	DO(chmod("d/f", 0600));
	ct_collect(t);
	ok(!strncmp(ct_text(t), "setattr f fl=", 13) && !strchr(t->text, ';') &&
	   (ct_next(t, NULL)->op_flags & IZO_ATTR_MODE) && fields(t, ct_next(t, NULL)),
	   "chmod: %s", t->text);
	DO(chown("d/f", 1000, 1001));
	ct_collect(t);
	ok(!strncmp(ct_text(t), "setattr f fl=", 13) && !strchr(t->text, ';') &&
	   (ct_next(t, NULL)->op_flags & (IZO_ATTR_UID | IZO_ATTR_GID)) ==
	   (IZO_ATTR_UID | IZO_ATTR_GID) && fields(t, ct_next(t, NULL)),
	   "chown: %s", t->text);
	DO(utimensat(AT_FDCWD, "d/f", times, 0));
	ct_collect(t);
	ok(!strncmp(ct_text(t), "setattr f fl=", 13) && !strchr(t->text, ';') &&
	   ct_next(t, NULL)->attr.mtime.sec == 1100000000 &&
	   ct_next(t, NULL)->attr.atime.sec == 1000000000 && fields(t, ct_next(t, NULL)),
	   "utimensat: %s", t->text);
	DO(fchownat(AT_FDCWD, "d/s", 5, 6, AT_SYMLINK_NOFOLLOW));
	ct_collect(t);
	ok(!strncmp(ct_text(t), "setattr s fl=", 13), "lchown of a symlink: %s", t->text);
	DO(chmod("d/p", 0644));
	ct_collect(t);
	ok(!strncmp(ct_text(t), "setattr p fl=", 13), "chmod of a fifo: %s", t->text);
	DO(truncate("d/f", 5000));
	ct_collect(t);
	ok(!strncmp(ct_text(t), "setattr f fl=", 13) && !strchr(t->text, ';') &&
	   (ct_next(t, NULL)->op_flags & IZO_ATTR_SIZE) &&
	   ct_next(t, NULL)->attr.size == 5000, "truncate: %s", t->text);
}

static void one_xattr(struct ct *t, const char *name, size_t size)
{
	_cleanup_free_ char *value = malloc(size + 1), *got = malloc(size + 1);
	const struct izo_record *r;
	char want[400];

	for (size_t i = 0; i < size; i++)
		value[i] = i * 7 + size;
	errno = 0;
	if (lsetxattr("d/f", name, value, size, 0)) {
		if (errno == ENOSPC || errno == E2BIG || errno == ERANGE)
			is(t, "an xattr that does not fit leaves nothing", "");
		else
			ok(false, "setxattr %s %zu: %s", name, size, strerror(errno));
		return;
	}
	if (size)
		snprintf(want, sizeof(want), "xattr %s f data=%zu", name, size);
	else
		snprintf(want, sizeof(want), "xattr %s f", name);
	is(t, "setxattr", want);
	r = ct_next(t, NULL);
	ok(r && r->data_len == size && !memcmp(r->var + r->name_len, value, size),
	   "its value, %zu bytes of %s", size, name);
	DO(lremovexattr("d/f", name));
	snprintf(want, sizeof(want), "xattr %s f fl=80000000", name);
	is(t, "removexattr", want);
	(void)got;
}

static void xattrs(struct ct *t)
{
	char name[256] = "user.";

	one_xattr(t, "user.a", 1);
	one_xattr(t, "user.a", 0);
	one_xattr(t, "trusted.t", 511);
	one_xattr(t, "security.s", 512);
	one_xattr(t, "user.big", 3000);
	one_xattr(t, "user.big", 4095);
	one_xattr(t, "user.big", 4096);
	one_xattr(t, "user.big", 16000);
	one_xattr(t, "user.big", 60000);
	one_xattr(t, "user.big", 65536);
	memset(name + 5, 'x', 250);
	name[255] = '\0';
	one_xattr(t, name, 20);
	/* the value of a replaced one */
	DO(lsetxattr("d/f", "user.r", "one", 3, 0));
	ct_collect(t);
	DO(lsetxattr("d/f", "user.r", "three", 5, XATTR_REPLACE));
	is(t, "setxattr in place of another", "xattr user.r f data=5");
	FAILS(t, lsetxattr("d/f", "user.r", "x", 1, XATTR_CREATE), EEXIST);
	lremovexattr("d/f", "user.r");
	ct_collect(t);
}

struct acl {
	uint32_t version;
	struct { uint16_t tag, perm; uint32_t id; } e[7];
};

static bool has_value(const struct izo_record *r, const char *path, const char *name,
		      const uint8_t *data, size_t len)
{
	uint8_t value[4096];
	ssize_t n = lgetxattr(path, name, value, sizeof(value));

	(void)r;
	if (n == (ssize_t)len && !memcmp(value, data, len))
		return true;
	diag("%s has %zd bytes, the record %zu", path, n, len);
	for (size_t i = 0; i < len && i < (size_t)n; i++)
		if (value[i] != data[i]) {
			diag("byte %zu: %02x, the record has %02x", i, value[i], data[i]);
			break;
		}
	return false;
}

/* The TLV of a type in a record's data. */
static const uint8_t *tlv(const struct izo_record *r, unsigned type, size_t *ret_len)
{
	const uint8_t *p = r->var + r->name_len, *end = p + r->data_len;

	while (p + sizeof(struct izo_tlv) <= end) {
		struct izo_tlv h;

		memcpy(&h, p, sizeof(h));
		p += sizeof(h);
		if (h.type == type) {
			*ret_len = h.len;
			return p;
		}
		p += h.len;
	}
	*ret_len = 0;
	return NULL;
}

static void inherited(struct ct *t)
{
	const struct izo_record *r;
	size_t len;
	const uint8_t *p;

	DO(mkdir("d/sub", 0777));
	ct_label(t, "sub", "d/sub");
	ct_collect(t);
	r = ct_next(t, NULL);
	ok(r && r->kind == IZO_MKDIR && !(r->flags & IZO_F_NAME_CUT) && fields(t, r),
	   "mkdir below a default ACL: %s", ct_text(t));
	if (!r)
		return;
	p = tlv(r, IZO_TLV_ACL_DEFAULT, &len);
	ok(p && has_value(r, "d/sub", "system.posix_acl_default", p, len),
	   "the inherited default ACL");
	p = tlv(r, IZO_TLV_ACL_ACCESS, &len);
	ok(p && has_value(r, "d/sub", "system.posix_acl_access", p, len),
	   "the inherited access ACL");
	DO(mknod("d/af", S_IFREG | 0666, 0));
	ct_label(t, "af", "d/af");
	ct_collect(t);
	r = ct_next(t, NULL);
	p = r ? tlv(r, IZO_TLV_ACL_ACCESS, &len) : NULL;
	ok(p && has_value(r, "d/af", "system.posix_acl_access", p, len) &&
	   !tlv(r, IZO_TLV_ACL_DEFAULT, &len) && r->name_len == 2,
	   "a file's inherited access ACL: %s", ct_text(t));
	unlink("d/af");
	rmdir("d/sub");
	ct_collect(t);
}

static void acls(struct ct *t)
{
	struct acl a = { 2, { { 1, 6, ~0u }, { 2, 4, 1000 }, { 4, 4, ~0u },
			      { 8, 6, 2000 }, { 0x10, 6, ~0u }, { 0x20, 0, ~0u } } };
	size_t size = 4 + 6 * 8;
	const struct izo_record *r;

	DO(lsetxattr("d/f", "system.posix_acl_access", &a, size, 0));
	is(t, "set an access ACL", "acl system.posix_acl_access f data=52");
	r = ct_next(t, NULL);
	ok(r && has_value(r, "d/f", "system.posix_acl_access", r->var + r->name_len,
			  r->data_len), "its value");
	DO(chmod("d/f", 0660));
	ct_collect(t);
	ok(strstr(ct_text(t), "acl system.posix_acl_access f") && strstr(t->text, "setattr f"),
	   "chmod of a file with an ACL: %s", t->text);
	DO(lremovexattr("d/f", "system.posix_acl_access"));
	is(t, "remove an access ACL", "acl system.posix_acl_access f fl=80000000");
	DO(lsetxattr("d", "system.posix_acl_default", &a, size, 0));
	is(t, "set a default ACL", "acl system.posix_acl_default d data=52");
	inherited(t);
	DO(lremovexattr("d", "system.posix_acl_default"));
	is(t, "remove a default ACL", "acl system.posix_acl_default d fl=80000000");
}

static void flags(struct ct *t)
{
	_cleanup_fd_ int fd = open("d/f", O_RDONLY);
	const struct izo_record *r;
	struct fsxattr x;
	int f = 0;

	DO(ioctl(fd, FS_IOC_GETFLAGS, &f));
	f |= FS_NOATIME_FL | FS_APPEND_FL;
	DO(ioctl(fd, FS_IOC_SETFLAGS, &f));
	ct_collect(t);
	/* btrfs removes its compression property on the way */
	for (r = ct_next(t, NULL); r && r->kind != IZO_FILEATTR;)
		r = ct_next(t, r);
	ok(r && !strcmp(ct_name(t, &r->obj), "f") &&
	   (r->op_flags & (FS_NOATIME_FL | FS_APPEND_FL)) == (FS_NOATIME_FL | FS_APPEND_FL),
	   "FS_IOC_SETFLAGS: %s", ct_text(t));
	f &= ~(FS_NOATIME_FL | FS_APPEND_FL);
	DO(ioctl(fd, FS_IOC_SETFLAGS, &f));
	ct_collect(t);
	if (t->mount.fs == FID_FS_BTRFS) {
		skip("project id", "btrfs has none");
		return;
	}
	if (ioctl(fd, FS_IOC_FSGETXATTR, &x))
		return;
	x.fsx_projid = 77;
	if (ioctl(fd, FS_IOC_FSSETXATTR, &x)) {
		skip("project id", strerror(errno));
		return;
	}
	ct_collect(t);
	ok(!strncmp(ct_text(t), "fileattr f", 10) && ct_next(t, NULL)->off == 77,
	   "project id: %s", t->text);
}

static void elsewhere(struct ct *t)
{
	_cleanup_fd_ int fd = open("/dev/shm/captest", O_CREAT | O_RDWR, 0600);

	DO(write(fd, "x", 1));
	unlink("/dev/shm/captest");
	is(t, "another superblock leaves nothing", "");
	ok(!t->nmarks, "and marks nothing");
}

static void origin(struct ct *t)
{
	const struct izo_record *r;

	ok(!capture_bpf.origin(t->c, 7, 12345), "origin");
	DO(mknod("d/o", S_IFREG | 0600, 0));
	ct_label(t, "o", "d/o");
	ok(!capture_bpf.origin(t->c, 0, 0), "origin ends");
	DO(unlink("d/o"));
	ct_collect(t);
	r = ct_next(t, NULL);
	ok(r && (r->flags & IZO_F_ORIGIN) && r->origin_peer == 7 && r->origin_seq == 12345,
	   "a record under an origin has it");
	r = r ? ct_next(t, r) : NULL;
	ok(r && !(r->flags & IZO_F_ORIGIN) && !r->origin_peer, "one after it has none");
}

static void counted(struct ct *t)
{
	struct capture_counters was, k;
	unsigned n = 0;

	capture_bpf.counters(t->c, &was);
	DO(mknod("d/k", S_IFREG | 0600, 0));
	DO(rename("d/k", "d/a_name_of_another_length"));
	DO(unlink("d/a_name_of_another_length"));
	ct_collect(t);
	capture_bpf.counters(t->c, &k);
	for (const struct izo_record *r = ct_next(t, NULL); r; r = ct_next(t, r))
		n++;
	ok(n == 3 && k.records - was.records == n, "%u records are counted", n);
	ok(k.bytes - was.bytes == t->recs_bytes, "and their %zu bytes", t->recs_bytes);
}

void test_ops(struct ct *t)
{
	names(t);
	renames(t);
	long_names(t);
	nameless(t);
	attrs(t);
	xattrs(t);
	acls(t);
	flags(t);
	elsewhere(t);
	origin(t);
	counted(t);
}
