// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_fid.c: FIDs and attributes on whatever filesystem TMPDIR is, without
 * privileges: a FID is stable over names and renames and differs between
 * objects; attributes are what stat(2) says, in the record's form. Opening by
 * handle needs CAP_DAC_READ_SEARCH and is tested in tests/flow/fid.t.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include <cmocka.h>
#include "lib/codec.h"
#include "lib/fid.h"

static char path[64];
static int dir;
static struct fid_mount mount;

static int setup(void **state)
{
	(void)state;
	snprintf(path, sizeof(path), "%s/fid.XXXXXX",
		 getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	if (!mkdtemp(path))
		return -1;
	dir = open(path, O_RDONLY | O_DIRECTORY);
	close(openat(dir, "file", O_CREAT | O_WRONLY, 0640));
	return mkdirat(dir, "folder", 0755) || symlinkat("file", dir, "link") ||
	       fid_mount_init(&mount, dir);
}

static int teardown(void **state)
{
	(void)state;
	unlinkat(dir, "file", 0);
	unlinkat(dir, "moved", 0);
	unlinkat(dir, "link", 0);
	unlinkat(dir, "folder", AT_REMOVEDIR);
	close(dir);
	return rmdir(path);
}

/* Elsewhere than on the three filesystems a FID is refused, not guessed. */
static struct izo_fid fid(const char *name)
{
	struct izo_fid f = { .ino = 1 };
	struct stat st;
	int r = fid_of(&mount, dir, name, &f);

	if (mount.fs == FID_FS_OTHER) {
		assert_true(r == -EOPNOTSUPP);
		return f;
	}
	assert_int_equal(r, 0);
	assert_int_equal(fstatat(dir, name, &st, AT_EMPTY_PATH |
				 AT_SYMLINK_NOFOLLOW), 0);
	assert_int_equal(f.ino, st.st_ino);
	assert_int_equal(f.subvol != 0, mount.fs == FID_FS_BTRFS);
	assert_int_equal(f.zero, 0);
	return f;
}

static void test_stable(void **state)
{
	struct izo_fid file = fid("file"), again, link = fid("link");
	int fd = openat(dir, "file", O_PATH);

	(void)state;
	assert_int_equal(renameat(dir, "file", dir, "moved"), 0);
	again = fid("moved");
	assert_true(fid_eq(&file, &again));
	assert_int_equal(fid_of(&mount, fd, "", &again),
			 mount.fs == FID_FS_OTHER ? -EOPNOTSUPP : 0);
	if (mount.fs != FID_FS_OTHER) {
		assert_true(fid_eq(&file, &again));
		assert_false(fid_eq(&file, &link));
	}
	again = fid("");
	assert_int_equal(renameat(dir, "moved", dir, "file"), 0);
	assert_int_equal(fid_of(&mount, dir, "none", &again), -ENOENT);
	close(fd);
}

static void test_attr(void **state)
{
	struct timespec t[2] = { { 1, 999999999 }, { -3, 5 } };
	int fd = openat(dir, "file", O_RDWR);
	struct izo_attr a;
	struct stat st;

	(void)state;
	assert_int_equal(write(fd, "hello", 5), 5);
	assert_int_equal(futimens(fd, t), 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(fid_attr(fd, &a), 0);
	assert_int_equal(a.mode, st.st_mode);
	assert_int_equal(a.uid, st.st_uid);
	assert_int_equal(a.gid, st.st_gid);
	assert_int_equal(a.nlink, 1);
	assert_int_equal(a.size, 5);
	assert_int_equal(a.rdev, 0);
	assert_int_equal(a.atime.sec, 1);
	assert_int_equal(a.atime.nsec, 999999999);
	assert_int_equal(a.mtime.sec, st.st_mtim.tv_sec);
	assert_int_equal(a.mtime.nsec, st.st_mtim.tv_nsec);
	assert_int_equal(a.ctime.sec, st.st_ctim.tv_sec);
	assert_int_equal(a.ctime.nsec, st.st_ctim.tv_nsec);
	close(fd);
	assert_int_equal(fid_attr(-1, &a), -EBADF);
}

/* new_encode_dev(), against a device that every Linux has. */
static void test_rdev(void **state)
{
	int fd = open("/dev/null", O_PATH);
	struct izo_attr a;

	(void)state;
	assert_int_equal(fid_attr(fd, &a), 0);
	assert_int_equal(a.rdev, 0x103);
	assert_true(S_ISCHR(a.mode));
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stable),
		cmocka_unit_test(test_attr),
		cmocka_unit_test(test_rdev),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, setup, teardown);
}
