// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * fidtest.c: FIDs and handles of a real mount, for fid.t: `fidtest FOLDER`.
 * Enters: an empty folder on ext4, xfs or btrfs; root. Leaves: TAP on stdout.
 * Objects of every kind are made, found again by FID alone, removed, and must
 * then be stale, also when their inode number has been given out anew.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "lib/codec.h"
#include "lib/fid.h"

static struct fid_mount m;
static unsigned number, bad;

static void ok(bool good, const char *what, const char *name)
{
	printf("%sok %u - %s: %s\n", good ? "" : "not ", ++number, name, what);
	bad += !good;
}

/* Opened by FID, is it the object that has this name? */
static void find_again(int dir, const char *name)
{
	struct stat by_name, by_fid;
	struct izo_fid f, again;
	int fd;

	if (fid_of(&m, dir, name, &f)) {
		ok(false, "has a FID", name);
		return;
	}
	fd = fid_open(&m, &f, O_PATH);
	ok(fd >= 0 && !fstat(fd, &by_fid) &&
	   !fstatat(dir, name, &by_name, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) &&
	   by_name.st_ino == by_fid.st_ino && by_name.st_dev == by_fid.st_dev &&
	   by_name.st_mode == by_fid.st_mode, "the FID opens it", name);
	ok(!fid_of(&m, fd, "", &again) && fid_eq(&f, &again),
	   "the FID of what it opens is the same", name);
	close(fd);
	f.gen ^= 0x5a5a;
	ok(fid_open(&m, &f, O_PATH) == -ESTALE, "another generation is stale", name);
}

/* The kernel's i_generation, which the capture programs read, is the FID's. */
static void same_generation(int dir, const char *name)
{
	int fd = openat(dir, name, O_RDONLY);
	unsigned long gen = 0;		/* the ioctl writes an int, or a long */
	struct izo_fid f;

	ok(!fid_of(&m, dir, name, &f) && !ioctl(fd, FS_IOC_GETVERSION, &gen) &&
	   f.gen == (__u32)gen, "gen is i_generation", name);
	close(fd);
}

static void goes_stale(int dir)
{
	struct izo_fid f, other;
	bool stale = true;
	unsigned i;

	if (mkdirat(dir, "gone", 0755) || fid_of(&m, dir, "gone", &f) ||
	    unlinkat(dir, "gone", AT_REMOVEDIR))
		err(1, "gone");
	ok(fid_open(&m, &f, O_PATH) == -ESTALE, "is stale once removed", "gone");
	for (i = 0; i < 50; i++) {
		char name[16];

		snprintf(name, sizeof(name), "n%u", i);
		if (mkdirat(dir, name, 0755) || fid_of(&m, dir, name, &other))
			err(1, "%s", name);
		stale &= !fid_eq(&f, &other) && fid_open(&m, &f, O_PATH) == -ESTALE;
	}
	ok(stale, "stays stale when its number is given out again", "gone");
}

static void make_and_remove(int dir)
{
	for (;;) {
		if (mknodat(dir, "busy", S_IFREG | 0600, 0) ||
		    unlinkat(dir, "busy", 0))
			_exit(1);
	}
}

/* Looked for while its number is given out again and again. */
static void while_its_number_is_made(int dir)
{
	struct timespec end, now;
	struct izo_fid f;
	int other = 0;
	pid_t pid;

	if (mknodat(dir, "busy", S_IFREG | 0600, 0) || fid_of(&m, dir, "busy", &f) ||
	    unlinkat(dir, "busy", 0))
		err(1, "busy");
	pid = fork();
	if (pid < 0)
		err(1, "fork");
	if (!pid)
		make_and_remove(dir);
	clock_gettime(CLOCK_MONOTONIC, &end);
	do {
		int fd = fid_open(&m, &f, O_RDONLY);

		if (fd >= 0)
			close(fd);
		else if (fd != -ESTALE)
			other = fd;
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while (!other && now.tv_sec - end.tv_sec < 2);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	unlinkat(dir, "busy", 0);
	ok(!other, other ? strerror(-other) : "is stale while its number is made", "busy");
}

static void devices(int dir)
{
	struct izo_attr a;
	int fd;

	if (mknodat(dir, "dev", S_IFCHR | 0600, makedev(259, 0x12345)))
		err(1, "mknod");
	fd = openat(dir, "dev", O_PATH);
	ok(!fid_attr(fd, &a) && a.rdev == (0x45 | 259u << 8 | 0x12300u << 12),
	   "rdev as new_encode_dev()", "dev");
	close(fd);
}

static void odd_fids(void)
{
	struct izo_fid none = { 0 }, far = { .ino = 1ull << 40, .gen = 1 };

	far.subvol = m.fs == FID_FS_BTRFS ? 5 : 0;
	ok(fid_open(&m, &none, O_PATH) == -ESTALE, "no inode 0", "none");
	ok(fid_open(&m, &far, O_PATH) == -ESTALE, "no inode 2^40", "far");
}

int main(int argc, char **argv)
{
	static const char *const names[] = {
		"", "file", "folder", "link", "fifo", "folder/sub/deep", "snap",
		"snap/file",
	};
	unsigned i;
	int dir;

	if (argc != 2 || (dir = open(argv[1], O_RDONLY | O_DIRECTORY)) < 0)
		errx(64, "usage: fidtest FOLDER");
	close(openat(dir, "file", O_CREAT | O_WRONLY, 0644));
	if (mkdirat(dir, "folder", 0755) || symlinkat("file", dir, "link") ||
	    mkfifoat(dir, "fifo", 0644) || mkdirat(dir, "folder/sub", 0700) ||
	    symlinkat("x", dir, "folder/sub/deep"))
		err(1, "%s", argv[1]);
	ok(!fid_mount_init(&m, dir) && m.fs != FID_FS_OTHER && m.fs, "known", "mount");
	for (i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (!*names[i] || !faccessat(dir, names[i], F_OK, AT_SYMLINK_NOFOLLOW))
			find_again(dir, names[i]);
	same_generation(dir, "file");
	same_generation(dir, "folder");
	goes_stale(dir);
	while_its_number_is_made(dir);
	devices(dir);
	odd_fids();
	printf("1..%u\n", number);
	return bad ? 1 : 0;
}
