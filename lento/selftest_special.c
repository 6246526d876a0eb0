// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * selftest_special.c: what only one filesystem can do to a file's contents,
 * and the end of a superblock (selftest.h).
 *
 * The structs are those of the kernel: fs/ext4/ext4.h, fs/xfs/libxfs/xfs_fs.h.
 * No header that programs are built with has them.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/btrfs.h>
#include <linux/btrfs_tree.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>
#include "lib/cleanup.h"
#include "lento/selftest_private.h"

/* ---- two files ---- */

#define PAIR_BYTES	65536	/* a block of every size that there is */

struct pair {
	int fd[2];
	struct izo_fid fid[2];
};

static const char *const pair_name[] = { "v", "w" };

static void pair_done(struct selftest *t, struct pair *two)
{
	for (int i = 0; i < 2; i++) {
		if (two->fd[i] >= 0)
			close(two->fd[i]);
		unlinkat(t->dir, pair_name[i], 0);
	}
	selftest_clear(t);
}

static int pair_init(struct selftest *t, struct pair *two, const char *prog)
{
	int r = 0;

	for (int i = 0; i < 2; i++) {
		two->fd[i] = openat(t->dir, pair_name[i],
				    O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
		if (two->fd[i] < 0 || ftruncate(two->fd[i], PAIR_BYTES) ||
		    fid_of(&t->mount, t->dir, pair_name[i], &two->fid[i]))
			r = -1;
	}
	selftest_clear(t);
	return r ? selftest_silent(t, prog, "no files for the test") : 0;
}

/* Both files were changed: two records, in this order. */
static int expect_both(struct selftest *t, int ret, const char *prog[2],
		       const struct izo_fid fid[2])
{
	int r = selftest_next(t, ret, prog[0], IZO_RESCAN, NULL, &fid[0]);

	if (!r)
		r = selftest_next(t, ret, prog[1], IZO_RESCAN, NULL, &fid[1]);
	selftest_clear(t);
	return r;
}

/* ---- ext4 ---- */

struct move_extent {
	uint32_t reserved, donor_fd;
	uint64_t orig_start, donor_start, len, moved_len;	/* blocks */
};
#define MOVE_EXT	_IOWR('f', 15, struct move_extent)

/* Without extents, or with all data in the journal, blocks do not move; a new
 * generation is then what is left of the ioctls. With checksums of metadata
 * that is refused too, and with a line in the kernel's log: so it comes last. */
static int set_version(struct selftest *t, struct pair *two)
{
	int version = 0, r = ioctl(two->fd[0], FS_IOC_GETVERSION, &version);

	version++;
	if (!r)
		r = ioctl(two->fd[0], FS_IOC_SETVERSION, &version);
	if (!r && fid_of(&t->mount, t->dir, pair_name[0], &two->fid[0]))
		return selftest_silent(t, "izo_ioctl_ext4", "no handle after SETVERSION");
	return selftest_expect(t, r, "izo_ioctl_ext4", IZO_RESCAN, NULL, &two->fid[0]);
}

int selftest_ext4(struct selftest *t)
{
	const char *progs[2] = { "izo_move_ext4", "izo_ioctl_ext4" };
	struct move_extent move = { .len = 1 };
	struct pair two;
	int r = pair_init(t, &two, progs[0]);

	if (!r) {
		struct izo_fid order[2] = { two.fid[1], two.fid[0] };
		int done = 0;

		for (int i = 0; i < 2 && !done; i++)
			done = fallocate(two.fd[i], 0, 0, PAIR_BYTES);
		selftest_clear(t);
		move.donor_fd = two.fd[1];
		if (!done)
			done = ioctl(two.fd[0], MOVE_EXT, &move);
		r = expect_both(t, done, progs, order);
		if (!r && done)
			r = set_version(t, &two);
	}
	pair_done(t, &two);
	return r;
}

/* ---- xfs ---- */

struct xfs_time {
	int64_t sec;
	int32_t nsec;
};
struct xfs_swap {
	int64_t version, target_fd, other_fd, off, len;
	char pad[16];
	uint64_t stat_head[5];
	struct xfs_time atime, mtime, ctime;	/* must be the target's */
	uint64_t stat_tail[6];
};
#define XFS_SWAPEXT	_IOWR('X', 109, struct xfs_swap)
_Static_assert(sizeof(struct xfs_swap) == 192, "struct xfs_swapext");

struct xfs_exchange {
	int32_t file1_fd;
	uint32_t pad;
	uint64_t file1_off, file2_off, len, flags;
};
#define XFS_EXCHANGE	_IOW('X', 129, struct xfs_exchange)
#define XFS_TO_EOF	1

static struct xfs_time xfs_time(const struct timespec *from)
{
	return (struct xfs_time){ .sec = from->tv_sec, .nsec = from->tv_nsec };
}

static int swap_extents(const struct pair *two)
{
	struct xfs_swap swap = { .target_fd = two->fd[0], .other_fd = two->fd[1],
				 .len = PAIR_BYTES };
	struct stat st;

	if (fstat(two->fd[0], &st))
		return -1;
	swap.mtime = xfs_time(&st.st_mtim);
	swap.ctime = xfs_time(&st.st_ctim);
	return ioctl(two->fd[0], XFS_SWAPEXT, &swap);
}

static int exchange_range(const struct pair *two)
{
	struct xfs_exchange range = { .file1_fd = two->fd[0], .flags = XFS_TO_EOF };

	return ioctl(two->fd[1], XFS_EXCHANGE, &range);
}

int selftest_xfs(struct selftest *t)
{
	const char *swap[2] = { "izo_swap_xfs", "izo_swap_xfs" };
	const char *exch[2] = { "izo_exch_xfs", "izo_exch_xfs" };
	struct pair two;
	int r = pair_init(t, &two, swap[0]);

	if (!r)
		r = expect_both(t, swap_extents(&two), swap, two.fid);
	if (!r)
		r = expect_both(t, exchange_range(&two), exch, two.fid);
	pair_done(t, &two);
	return r;
}

/* ---- btrfs ---- */

/* 128 KiB of zeros: a zstd frame of one block, which is one byte repeated. */
static const uint8_t zeros[] = { 0x28, 0xb5, 0x2f, 0xfd, 0xa0, 0, 0, 2, 0, 3, 0, 0x10, 0 };

/* A file without checksums takes no encoded data. Clearing this flag of an
 * empty one gives back what a directory has taken away. */
static int give_checksums(int fd)
{
	int flags;

	if (ioctl(fd, FS_IOC_GETFLAGS, &flags))
		return -1;
	flags &= ~FS_NOCOW_FL;
	return ioctl(fd, FS_IOC_SETFLAGS, &flags);
}

#define INODE_NODATASUM	1	/* BTRFS_INODE_NODATASUM, not in all headers */

/* What the mount takes away (nodatasum, nodatacow) may stay away: only the
 * inode's item tells of it. */
static bool has_checksums(int fd, uint64_t ino)
{
	struct btrfs_ioctl_search_args a = { .key = {
		.min_objectid = ino, .max_objectid = ino, .nr_items = 1,
		.min_type = BTRFS_INODE_ITEM_KEY, .max_type = BTRFS_INODE_ITEM_KEY,
		.max_offset = UINT64_MAX, .max_transid = UINT64_MAX,
	} };
	struct btrfs_inode_item item;

	if (ioctl(fd, BTRFS_IOC_TREE_SEARCH, &a) || !a.key.nr_items)
		return true;
	memcpy(&item, a.buf + sizeof(struct btrfs_ioctl_search_header), sizeof(item));
	return !(le64toh(item.flags) & INODE_NODATASUM);
}

static int write_encoded(int fd, uint64_t ino)
{
	const struct iovec data = { .iov_base = (void *)zeros, .iov_len = sizeof(zeros) };
	struct btrfs_ioctl_encoded_io_args args = {
		.iov = &data, .iovcnt = 1, .len = 128 << 10, .unencoded_len = 128 << 10,
		.compression = BTRFS_ENCODED_IO_COMPRESSION_ZSTD,
	};
	int r = ioctl(fd, BTRFS_IOC_ENCODED_WRITE, &args);

	if (r < 0 && errno == EINVAL)
		errno = has_checksums(fd, ino) ? EINVAL : EOPNOTSUPP;
	return r;
}

/* A subvolume in the scratch directory, for a moment. */
static int subvolume(struct selftest *t)
{
	struct btrfs_ioctl_vol_args a = { .name = "subvolume" };
	int r = ioctl(t->dir, BTRFS_IOC_SUBVOL_CREATE, &a);

	r = selftest_expect(t, r, "izo_ioctl_btrfs", IZO_RESCAN, NULL, &t->dir_fid);
	ioctl(t->dir, BTRFS_IOC_SNAP_DESTROY, &a);
	selftest_clear(t);
	return r;
}

int selftest_btrfs(struct selftest *t)
{
	_cleanup_fd_ int fd = openat(t->dir, "v", O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
	struct izo_fid fid;
	int r;

	if (fd < 0 || give_checksums(fd) || fid_of(&t->mount, t->dir, "v", &fid))
		return selftest_silent(t, "izo_encoded", "no file for the test");
	selftest_clear(t);
	r = selftest_expect(t, write_encoded(fd, fid.ino), "izo_encoded", IZO_RESCAN,
			    NULL, &fid);
	unlinkat(t->dir, "v", 0);
	return r ? r : subvolume(t);
}

/* ---- the end of a superblock ---- */

#define END_WAIT_MS	2000

/* A superblock that nobody else can reach. */
static int private_mount(void)
{
	_cleanup_fd_ int fs = fsopen("tmpfs", FSOPEN_CLOEXEC);

	if (fs < 0 || fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0))
		return -1;
	return fsmount(fs, FSMOUNT_CLOEXEC, 0);
}

/* The program must stop what is captured when that ends. The last close of the
 * mount ends its superblock before it returns, unless another process has
 * reached it by way of /proc: therefore the wait. */
int selftest_umount(struct selftest *t)
{
	const struct timespec ms = { .tv_nsec = 1000000 };
	uint32_t *dev = &t->p->conf->dev;
	int fd = private_mount(), left = END_WAIT_MS;
	struct stat st;

	selftest_asked(t, "izo_umount");
	if (fd < 0 || fstat(fd, &st)) {
		if (fd >= 0)
			close(fd);
		return selftest_silent(t, "izo_umount", "no private mount for the test");
	}
	/* a dev_t as the kernel has it: 20 bits of minor number */
	__atomic_store_n(dev, major(st.st_dev) << 20 | minor(st.st_dev), __ATOMIC_SEQ_CST);
	close(fd);
	while (__atomic_load_n(dev, __ATOMIC_SEQ_CST) && left--)
		nanosleep(&ms, NULL);
	if (__atomic_load_n(dev, __ATOMIC_SEQ_CST))
		return selftest_silent(t, "izo_umount", "the end of a superblock went by");
	return 0;
}
