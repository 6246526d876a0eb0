// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * attrs.c: routes that change modes, owners, times, xattrs, ACLs and flags, and
 * those that change them on the way (see routes.h).
 */
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <utime.h>
#include "tests/routes/routes.h"

/* --- mode and owner --------------------------------------------------------- */

static int r_chmod(void) { TRY(syscall(SYS_chmod, "f", 0612)); return 0; }
static int r_chmod_dir(void) { TRY(chmod("d", 01777)); return 0; }
static int r_chmod_special(void) { TRY(chmod("f", 06111)); return 0; }
static int r_chmod_acl(void) { TRY(chmod("ac", 0600)); return 0; }
static int r_fchmod(void) { TRY(fchmod(open("f", O_RDONLY), 0)); return 0; }
static int r_fchmodat(void)
{
	TRY(fchmodat(open("d", O_PATH), "x", 0712, 0));
	return 0;
}
static int r_fchmodat2(void)
{
	if (syscall(452, AT_FDCWD, "f", 0712, AT_SYMLINK_NOFOLLOW))
		return missing_or(-errno, "fchmodat2");
	return 0;
}
static int r_chown(void) { TRY(syscall(SYS_chown, "f", 70000, 4000000000u)); return 0; }
static int r_chown_group(void) { TRY(chown("f", -1, 12)); return 0; }
static int r_lchown(void) { TRY(lchown("s", 12, 13)); return 0; }
static int r_fchown(void) { TRY(fchown(open("f", O_RDONLY), 12, 13)); return 0; }
static int r_fchownat(void) { TRY(fchownat(open("d", O_PATH), "x", 14, 15, 0)); return 0; }
static int r_fchownat_empty(void)
{
	TRY(fchownat(open("f", O_PATH), "", 14, 15, AT_EMPTY_PATH));
	return 0;
}
static int r_chown_dir(void) { TRY(chown("d", 12, 13)); return 0; }
static int r_chown_suid(void) { TRY(chown("su", 5, 5)); return 0; }
static int r_chown_cap(void) { TRY(chown("cap", 5, 5)); return 0; }

static int user_writes(void)
{
	int fd;

	TRY(setgid(1000));
	TRY(setuid(1000));
	fd = open("su", O_WRONLY);
	TRY(fd);
	return put(fd, 0, 10);
}
static int r_write_suid(void) { return in_child(user_writes); }
static int user_truncates(void)
{
	TRY(setgid(1000));
	TRY(setuid(1000));
	TRY(truncate("su", 100));
	return 0;
}
static int r_truncate_suid(void) { return in_child(user_truncates); }
static int r_write_cap(void)
{
	int fd = open("cap", O_WRONLY);

	TRY(fd);
	return put(fd, 0, 10);
}
static int r_truncate_cap(void) { TRY(truncate("cap", 10)); return 0; }

/* --- times ------------------------------------------------------------------- */

#define TIMES(a, an, m, mn) ((struct timespec[2]){ { (a), (an) }, { (m), (mn) } })

static int r_utimensat(void)
{
	TRY(utimensat(AT_FDCWD, "f", TIMES(1, 2, 1000000000, 123456789), 0));
	return 0;
}
static int r_utimensat_now(void)
{
	TRY(utimensat(AT_FDCWD, "f", TIMES(0, UTIME_NOW, 0, UTIME_NOW), 0));
	return 0;
}
static int r_utimensat_null(void) { TRY(utimensat(AT_FDCWD, "f", NULL, 0)); return 0; }
static int r_utimensat_omit(void)
{
	TRY(utimensat(AT_FDCWD, "f", TIMES(0, UTIME_OMIT, 5, 6), 0));
	return 0;
}
static int r_utimensat_past(void)
{
	TRY(utimensat(AT_FDCWD, "f", TIMES(0, 0, -1000000000, 999999999), 0));
	return 0;
}
static int r_utimensat_future(void)
{
	TRY(utimensat(AT_FDCWD, "f", TIMES(0, 0, 4200000000, 1), 0));
	return 0;
}
static int r_utimensat_symlink(void)
{
	TRY(utimensat(AT_FDCWD, "s", TIMES(7, 7, 8, 8), AT_SYMLINK_NOFOLLOW));
	return 0;
}
static int r_utimensat_dir(void)
{
	DO(make("d/n", 10));
	TRY(utimensat(AT_FDCWD, "d", TIMES(7, 7, 8, 8), 0));
	return 0;
}
static int r_futimens(void)
{
	TRY(futimens(open("f", O_RDONLY), TIMES(7, 7, 8, 8)));
	return 0;
}
static int r_utime(void)
{
	struct utimbuf t = { 11, 12 };

	TRY(syscall(SYS_utime, "f", &t));
	return 0;
}
static int r_utimes(void)
{
	struct timeval t[2] = { { 11, 5 }, { 12, 6 } };

	TRY(syscall(SYS_utimes, "f", t));
	return 0;
}
static int r_futimesat(void)
{
	struct timeval t[2] = { { 11, 5 }, { 12, 6 } };

	TRY(syscall(SYS_futimesat, open("d", O_PATH), "x", t));
	return 0;
}
static int r_write_then_time(void)
{
	int fd = open("f", O_WRONLY);

	TRY(fd);
	DO(put(fd, 10, 10));
	TRY(futimens(fd, TIMES(7, 7, 8, 8)));
	return 0;
}

/* --- xattrs ------------------------------------------------------------------ */

static int r_setxattr(void) { TRY(setxattr("f", "user.n", "value", 5, 0)); return 0; }
static int r_setxattr_replace(void)
{
	TRY(setxattr("xa", "user.one", "other", 5, XATTR_REPLACE));
	return 0;
}
static int r_setxattr_empty(void) { TRY(setxattr("f", "user.n", "", 0, XATTR_CREATE)); return 0; }
static int r_setxattr_large(void)
{
	TRY(setxattr("f", "user.n", fresh(3500), 3500, 0));
	return 0;
}
static int r_lsetxattr(void) { TRY(lsetxattr("s", "trusted.n", "value", 5, 0)); return 0; }
static int r_fsetxattr(void)
{
	TRY(fsetxattr(open("f", O_RDONLY), "trusted.n", "value", 5, 0));
	return 0;
}
static int r_setxattr_dir(void) { TRY(setxattr("d", "user.n", "value", 5, 0)); return 0; }
static int r_setxattr_security(void)
{
	TRY(setxattr("f", "security.n", "value", 5, 0));
	return 0;
}
static int r_setxattrat(void)
{
	struct { uint64_t value; uint32_t size, flags; } a = { (uintptr_t)"value", 5, 0 };

	if (syscall(463, AT_FDCWD, "f", 0, "user.n", &a, sizeof(a)))
		return missing_or(-errno, "setxattrat");
	return 0;
}
static int r_removexattr(void) { TRY(removexattr("xa", "user.one")); return 0; }
static int r_lremovexattr(void) { TRY(lremovexattr("xa", "trusted.two")); return 0; }
static int r_fremovexattr(void)
{
	TRY(fremovexattr(open("xa", O_RDONLY), "security.three"));
	return 0;
}
static int r_removexattrat(void)
{
	if (syscall(466, AT_FDCWD, "xa", 0, "user.one"))
		return missing_or(-errno, "removexattrat");
	return 0;
}
static int r_capability(void)
{
	static const uint32_t cap[5] = { 0x02000000, 0x2400, 0, 0, 0 };

	TRY(setxattr("f", "security.capability", cap, sizeof(cap), 0));
	return 0;
}
static int r_capability_gone(void) { TRY(removexattr("cap", "security.capability")); return 0; }
static int r_compression(void)
{
	if (filesystem() != BTRFS_SUPER_MAGIC)
		return skip("only btrfs has it");
	TRY(setxattr("d", "btrfs.compression", "zlib", 4, 0));
	return 0;
}

struct acl {
	uint32_t version;
	struct { uint16_t tag, perm; uint32_t id; } e[6];
};
static const struct acl other_acl = { 2, {
	{ 1, 7, ~0u }, { 2, 5, 1001 }, { 4, 4, ~0u }, { 8, 6, 2001 }, { 0x10, 7, ~0u },
	{ 0x20, 1, ~0u } } };
static const struct acl plain_acl = { 2, { { 1, 7, ~0u }, { 4, 4, ~0u }, { 0x20, 1, ~0u } } };

static int acl(const char *path, const char *which, const struct acl *a, size_t n)
{
	TRY(setxattr(path, which, a, 4 + n * 8, 0));
	return 0;
}
#define ACCESS	"system.posix_acl_access"
#define DEFAULT	"system.posix_acl_default"
static int r_acl_set(void) { return acl("f", ACCESS, &other_acl, 6); }
static int r_acl_change(void) { return acl("ac", ACCESS, &other_acl, 6); }
static int r_acl_mode_only(void) { return acl("f", ACCESS, &plain_acl, 3); }
static int r_acl_remove(void) { TRY(removexattr("ac", ACCESS)); return 0; }
static int r_acl_default(void) { return acl("d", DEFAULT, &other_acl, 6); }
static int r_acl_default_remove(void) { TRY(removexattr("dacl", DEFAULT)); return 0; }
static int r_acl_inherit(void)
{
	DO(acl("d", DEFAULT, &other_acl, 6));
	TRY(mkdir("d/n", 0777));
	DO(make("d/n/m", 10));
	TRY(removexattr("d", DEFAULT));
	return make("d/o", 10);
}

/* --- flags ------------------------------------------------------------------- */

static int flag(const char *path, int on)
{
	int fd = open(path, O_RDONLY), flags;

	TRY(fd);
	TRY(ioctl(fd, FS_IOC_GETFLAGS, &flags));
	flags |= on;
	return ioctl(fd, FS_IOC_SETFLAGS, &flags) ? missing_or(-errno, "FS_IOC_SETFLAGS") : 0;
}
static int unflag(const char *path)
{
	int fd = open(path, O_RDONLY), flags;

	TRY(fd);
	TRY(ioctl(fd, FS_IOC_GETFLAGS, &flags));
	flags &= ~(FS_IMMUTABLE_FL | FS_APPEND_FL);
	TRY(ioctl(fd, FS_IOC_SETFLAGS, &flags));
	return 0;
}
static int r_nodump(void) { return flag("f", FS_NODUMP_FL); }
static int r_noatime(void) { return flag("d", FS_NOATIME_FL); }
static int r_immutable(void) { return flag("f", FS_IMMUTABLE_FL); }
static int r_immutable_dir(void) { return flag("d", FS_IMMUTABLE_FL); }
static int r_append(void) { return flag("f", FS_APPEND_FL); }
static int r_append_write(void)
{
	int r = flag("f", FS_APPEND_FL), fd;

	if (r)
		return r;
	fd = open("f", O_WRONLY | O_APPEND);
	TRY(fd);
	DO(put(fd, FILE_BYTES, 1000));
	return 0;
}
static int r_immutable_to_and_fro(void)
{
	DO(flag("f", FS_IMMUTABLE_FL));
	DO(unflag("f"));
	TRY(chmod("f", 0600));
	DO(flag("f", FS_IMMUTABLE_FL));
	TRY(rename("d", "n"));
	return 0;
}
static int r_immutable_open(void)	/* an open file is written on; ext4 forbids it */
{
	int fd = open("f", O_WRONLY), r;

	TRY(fd);
	DO(flag("f", FS_IMMUTABLE_FL));
	r = put(fd, 10, 10);
	return r == -EPERM ? 0 : r;
}
static int project(const char *path, uint32_t id, uint32_t xflags)
{
	struct fsxattr x;
	int fd = open(path, O_RDONLY);

	if (filesystem() == BTRFS_SUPER_MAGIC)
		return skip("btrfs has no projects");
	TRY(fd);
	TRY(ioctl(fd, FS_IOC_FSGETXATTR, &x));
	x.fsx_projid = id;
	x.fsx_xflags |= xflags;
	return ioctl(fd, FS_IOC_FSSETXATTR, &x) ? missing_or(-errno, "FS_IOC_FSSETXATTR") : 0;
}
static int r_project(void) { return project("f", 77, 0); }
static int r_project_inherit(void)
{
	int r = project("e", 78, FS_XFLAG_PROJINHERIT);

	if (r)
		return r;
	TRY(mkdir("e/n", 0755));
	return make("e/n/m", 10);
}
static int r_file_setattr(void)
{
	struct { uint64_t xflags; uint32_t extsize, nextents, projid, cowextsize; } a = {};

	if (syscall(468, AT_FDCWD, "f", &a, sizeof(a), 0))
		return missing_or(-errno, "file_getattr");
	a.xflags |= FS_XFLAG_NODUMP;
	if (syscall(469, AT_FDCWD, "f", &a, sizeof(a), 0))
		return missing_or(-errno, "file_setattr");
	return 0;
}

const struct route attr_routes[] = {
	{ "attr-chmod", r_chmod, 0 },
	{ "attr-chmod-directory", r_chmod_dir, 0 },
	{ "attr-chmod-setuid", r_chmod_special, 0 },
	{ "attr-chmod-with-acl", r_chmod_acl, 0 },
	{ "attr-fchmod", r_fchmod, 0 },
	{ "attr-fchmodat", r_fchmodat, 0 },
	{ "attr-fchmodat2", r_fchmodat2, 0 },
	{ "attr-chown", r_chown, 0 },
	{ "attr-chown-group", r_chown_group, 0 },
	{ "attr-lchown", r_lchown, 0 },
	{ "attr-fchown", r_fchown, 0 },
	{ "attr-fchownat", r_fchownat, 0 },
	{ "attr-fchownat-empty-path", r_fchownat_empty, 0 },
	{ "attr-chown-directory", r_chown_dir, 0 },
	{ "attr-chown-loses-setuid", r_chown_suid, 0 },
	{ "attr-chown-loses-capability", r_chown_cap, 0 },
	{ "attr-write-loses-setuid", r_write_suid, 0 },
	{ "attr-truncate-loses-setuid", r_truncate_suid, 0 },
	{ "attr-write-loses-capability", r_write_cap, 0 },
	{ "attr-truncate-loses-capability", r_truncate_cap, 0 },
	{ "attr-utimensat", r_utimensat, 0 },
	{ "attr-utimensat-now", r_utimensat_now, 0 },
	{ "attr-utimensat-null", r_utimensat_null, 0 },
	{ "attr-utimensat-omit", r_utimensat_omit, 0 },
	{ "attr-utimensat-past", r_utimensat_past, 0 },
	{ "attr-utimensat-future", r_utimensat_future, 0 },
	{ "attr-utimensat-symlink", r_utimensat_symlink, 0 },
	{ "attr-utimensat-directory", r_utimensat_dir, 0 },
	{ "attr-futimens", r_futimens, 0 },
	{ "attr-utime", r_utime, 0 },
	{ "attr-utimes", r_utimes, 0 },
	{ "attr-futimesat", r_futimesat, 0 },
	{ "attr-write-then-time", r_write_then_time, 0 },
	{ "attr-setxattr-user", r_setxattr, 0 },
	{ "attr-setxattr-replace", r_setxattr_replace, 0 },
	{ "attr-setxattr-empty", r_setxattr_empty, 0 },
	{ "attr-setxattr-large", r_setxattr_large, 0 },
	{ "attr-setxattr-directory", r_setxattr_dir, 0 },
	{ "attr-setxattr-security", r_setxattr_security, 0 },
	{ "attr-lsetxattr-trusted", r_lsetxattr, 0 },
	{ "attr-fsetxattr-trusted", r_fsetxattr, 0 },
	{ "attr-setxattrat", r_setxattrat, 0 },
	{ "attr-removexattr", r_removexattr, 0 },
	{ "attr-lremovexattr", r_lremovexattr, 0 },
	{ "attr-fremovexattr", r_fremovexattr, 0 },
	{ "attr-removexattrat", r_removexattrat, 0 },
	{ "attr-file-capability", r_capability, 0 },
	{ "attr-file-capability-removed", r_capability_gone, 0 },
	{ "attr-btrfs-property", r_compression, 0 },
	{ "attr-acl-set", r_acl_set, 0 },
	{ "attr-acl-change", r_acl_change, 0 },
	{ "attr-acl-mode-only", r_acl_mode_only, 0 },
	{ "attr-acl-remove", r_acl_remove, 0 },
	{ "attr-acl-default-set", r_acl_default, 0 },
	{ "attr-acl-default-remove", r_acl_default_remove, 0 },
	{ "attr-acl-default-inherited", r_acl_inherit, 0 },
	{ "attr-flag-nodump", r_nodump, 0 },
	{ "attr-flag-noatime-directory", r_noatime, 0 },
	{ "attr-flag-immutable", r_immutable, 0 },
	{ "attr-flag-immutable-directory", r_immutable_dir, 0 },
	{ "attr-flag-immutable-to-and-fro", r_immutable_to_and_fro, 0 },
	{ "attr-flag-immutable-open-file", r_immutable_open, 0 },
	{ "attr-flag-append", r_append, 0 },
	{ "attr-flag-append-then-write", r_append_write, 0 },
	{ "attr-project-id", r_project, 0 },
	{ "attr-project-id-inherited", r_project_inherit, 0 },
	{ "attr-file-setattr", r_file_setattr, 0 },
	{ NULL, NULL, 0 }
};
