// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * around.c: routes that come to the tree by another way than its path: mounts,
 * namespaces, chroots, layers above it, block devices on its files, the kernel as
 * writer; and descriptors and mappings that are older than capture (see routes.h).
 */
#include <fcntl.h>
#include <linux/loop.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/acct.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "tests/routes/routes.h"

int use(const char *dir)
{
	if (chdir(dir))
		return -errno;
	DO(make("n", 9000));
	TRY(mkdir("nd", 0750));
	TRY(rename("n", "nd/m"));
	TRY(chmod("nd/m", 0611));
	TRY(symlink("nd/m", "ns"));
	TRY(link("nd/m", "nl"));
	return 0;
}

static int own_mounts(void)
{
	TRY(unshare(CLONE_NEWNS));
	TRY(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
	return 0;
}
static int r_bind(void)
{
	const char *to = elsewhere();

	DO(own_mounts());
	TRY(mount("d", to, NULL, MS_BIND, NULL));
	return use(to);
}
static int r_namespace(void) { DO(own_mounts()); return use("d"); }
static int r_user_namespace(void)
{
	TRY(chmod("d", 0777));
	TRY(chown("d", 1000, 1000));
	TRY(setgid(1000));
	TRY(setuid(1000));
	if (unshare(CLONE_NEWUSER))
		return errno == EPERM || errno == ENOSPC || errno == EINVAL ?
			skip("user namespaces: %s", strerror(errno)) : -errno;
	return use("d");
}
static int r_chroot(void) { TRY(chroot("d")); return use("/"); }
static int r_open_tree(void)	/* a mount that has no place */
{
	int fd = syscall(SYS_open_tree, AT_FDCWD, "d", 1 /* OPEN_TREE_CLONE */);
	char path[32];

	TRY(fd);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return use(path);
}
static int r_proc_root(void)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/cwd/d", getpid());
	return use(path);
}

static int r_overlay(void)
{
	const char *to = elsewhere();
	char options[256];
	int fd, r = 0;

	DO(own_mounts());
	TRY(mkdir("upper", 0755));
	TRY(mkdir("work", 0755));
	snprintf(options, sizeof(options), "lowerdir=d,upperdir=upper,workdir=work");
	if (mount("overlay", to, "overlay", 0, options))
		return errno == ENODEV ? skip("no overlayfs") : -errno;
	fd = open(to, O_PATH);
	if (fd < 0)
		return -errno;
	r = use(to);		/* changes the directory */
	if (!r && (unlink("x") || chmod("sub/y", 0600) || rename("sub/y", "y")))
		r = -errno;	/* a whiteout and a copy */
	if (chdir("/") || close(fd) || umount2(to, MNT_DETACH))
		r = r ? r : -errno;
	return r;
}

/* --- a block device on a file of the tree ------------------------------------ */

static int loop_on(const char *path, unsigned flags, char dev[32], int *ret)
{
	int ctl = open("/dev/loop-control", O_RDWR | O_CLOEXEC), n, fd, file;
	struct loop_config c = { .block_size = 512 };

	if (ctl < 0)		/* any kernel has them: a missing module is no answer */
		return -errno;
	n = ioctl(ctl, LOOP_CTL_GET_FREE);
	close(ctl);
	TRY(n);
	snprintf(dev, 32, "/dev/loop%d", n);
	fd = open(dev, O_RDWR | O_CLOEXEC);
	file = open(path, O_RDWR | O_CLOEXEC);
	TRY(fd);
	TRY(file);
	c.fd = file;
	c.info.lo_flags = flags | LO_FLAGS_AUTOCLEAR;
	TRY(ioctl(fd, LOOP_CONFIGURE, &c));
	close(file);
	*ret = fd;
	return 0;
}
static int loop_written(unsigned flags)
{
	char dev[32];
	int fd, r = loop_on("f", flags, dev, &fd);

	if (r)
		return r;
	r = put(fd, 3 * PAGE, 2 * PAGE);
	if (!r && fsync(fd))
		r = -errno;
	close(fd);
	return r;
}
static int r_loop(void) { return loop_written(0); }
static int r_loop_direct(void)
{
	int r = loop_written(LO_FLAGS_DIRECT_IO);

	return r == -EINVAL ? missing_or(r, "direct loop") : r;
}
static int r_loop_mkfs(void)
{
	const char *const mkfs[] = { "mkfs.ext4", "-qF", "image", NULL };
	const char *to = elsewhere();
	char dev[32];
	int fd, r;

	r = make("image", 0);
	if (!r && truncate("image", 4 << 20))
		r = -errno;
	if (!r)
		r = program(mkfs);
	if (r)
		return r == 127 ? skip("no mkfs.ext4") : -EIO;
	DO(own_mounts());
	r = loop_on("image", 0, dev, &fd);
	if (r)
		return r;
	if (mount(dev, to, "ext4", 0, NULL))
		return -errno;
	r = use(to);
	if (chdir("/") || umount(to))
		r = r ? r : -errno;
	close(fd);
	return r;
}

/* --- the kernel writes -------------------------------------------------------- */

static int crash(void)
{
	struct rlimit l = { RLIM_INFINITY, RLIM_INFINITY };

	setrlimit(RLIMIT_CORE, &l);
	signal(SIGABRT, SIG_DFL);
	abort();
}
static int r_core(void)
{
	int fd = open("/proc/sys/kernel/core_pattern", O_RDWR), status, r = 0;
	char was[256] = {};
	ssize_t n;
	pid_t pid;

	if (fd < 0)
		return skip("no core_pattern");
	n = read(fd, was, sizeof(was) - 1);
	TRY(n);
	TRY(pwrite(fd, "core", 4, 0));
	pid = fork();
	if (!pid)
		_exit(crash());
	if (waitpid(pid, &status, 0) != pid || !WIFSIGNALED(status) || !WCOREDUMP(status))
		r = -EIO;
	if (pwrite(fd, was, n, 0) < 0)
		r = -errno;
	return r;
}
static int nothing(void) { return 0; }
static int r_acct(void)
{
	DO(make("log", 0));
	if (acct("log"))
		return errno == ENOSYS ? skip("no accounting") : -errno;
	DO(in_child(nothing));
	TRY(acct(NULL));
	return 0;
}
static int r_cache_dropped(void)	/* the page comes back from the disk, clean */
{
	int fd = open("n", O_CREAT | O_RDWR, 0600);

	TRY(fd);
	DO(put(fd, 0, FILE_BYTES));
	TRY(fsync(fd));
	TRY(syscall(SYS_sync_file_range, fd, 0L, 0L, 7));
	TRY(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED));
	return put(fd, PAGE, PAGE);
}

const struct route around_routes[] = {
	{ "around-bind-mount", r_bind, 0 },
	{ "around-mount-namespace", r_namespace, 0 },
	{ "around-user-namespace", r_user_namespace, 0 },
	{ "around-chroot", r_chroot, 0 },
	{ "around-detached-mount", r_open_tree, 0 },
	{ "around-proc-cwd", r_proc_root, 0 },
	{ "around-overlay-upper", r_overlay, 0 },
	{ "around-loop-device", r_loop, 0 },
	{ "around-loop-device-direct", r_loop_direct, 0 },
	{ "around-loop-device-filesystem", r_loop_mkfs, 0 },
	{ "around-core-dump", r_core, 0 },
	{ "around-accounting", r_acct, 0 },
	{ "around-cache-dropped", r_cache_dropped, 0 },
	{ NULL, NULL, 0 }
};

/* --- older than capture ------------------------------------------------------- */

extern int early_go[2];
extern atomic_uint *early_waiting;

static int early_wait(void)
{
	char byte;

	alarm(0);		/* it may take as long as it takes */
	close(early_go[1]);
	atomic_fetch_add(early_waiting, 1);
	TRY(read(early_go[0], &byte, 1));
	return 0;
}
static int early_file(const char *path, int flags)
{
	int fd = open(path, flags, 0644);

	DO(early_wait());
	return fd < 0 ? -ENOENT : fd;
}
static int r_early_write(void)
{
	int fd = early_file("f", O_RDWR);

	DO(fd);
	return put(fd, 5000, 5000);
}
static int r_early_direct(void)
{
	int fd = early_file("f", O_RDWR | O_DIRECT);

	DO(fd);
	return put(fd, 0, 4 * PAGE);
}
static int r_early_layout(void)
{
	int fd = early_file("f", O_RDWR);

	DO(fd);
	TRY(fallocate(fd, 3, PAGE, 3 * PAGE));
	TRY(ftruncate(fd, 10 * PAGE + 1));
	TRY(fchmod(fd, 0));
	return 0;
}
static int r_early_unlinked(void)
{
	int fd = open("f", O_RDWR);

	TRY(fd);
	TRY(unlink("f"));
	DO(early_wait());
	DO(put(fd, 0, 100));
	return make("f", 200);
}
static int r_early_tmpfile(void)
{
	int fd = open("e", O_TMPFILE | O_RDWR, 0640);

	TRY(fd);
	DO(put(fd, 0, 9000));
	DO(early_wait());
	DO(put(fd, 100, 10));
	TRY(linkat(fd, "", AT_FDCWD, "n", AT_EMPTY_PATH));
	return 0;
}
static int r_early_dir(void)
{
	int fd = early_file("d", O_RDONLY | O_DIRECTORY);

	DO(fd);
	TRY(fchdir(fd));
	return use(".");
}
static int early_map(bool stored)
{
	int fd = open("f", O_RDWR);
	unsigned char *p, *new = fresh(FILE_BYTES);

	TRY(fd);
	p = mmap(NULL, FILE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	close(fd);
	if (stored)		/* the page is dirty and mapped when capture comes */
		memcpy(p, new, 8 * PAGE);
	DO(early_wait());
	memcpy(p + 100, new + 8 * PAGE, 6 * PAGE);
	return 0;
}
static int r_early_map(void) { return early_map(false); }
static int r_early_map_stored(void) { return early_map(true); }

const struct route early_routes[] = {
	{ "early-write", r_early_write, ROUTE_EARLY },
	{ "early-write-direct", r_early_direct, ROUTE_EARLY },
	{ "early-layout", r_early_layout, ROUTE_EARLY },
	{ "early-unlinked", r_early_unlinked, ROUTE_EARLY },
	{ "early-tmpfile", r_early_tmpfile, ROUTE_EARLY },
	{ "early-directory", r_early_dir, ROUTE_EARLY },
	{ "early-map", r_early_map, ROUTE_EARLY },
	{ "early-map-stored", r_early_map_stored, ROUTE_EARLY },
	{ NULL, NULL, 0 }
};
