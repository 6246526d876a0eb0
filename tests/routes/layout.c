// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * layout.c: routes that change where a file has bytes and how many: truncate,
 * fallocate, reflinks, and the filesystems' own ioctls (see routes.h).
 */
#include <fcntl.h>
#include <linux/btrfs.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>
#include <zlib.h>
#include "tests/routes/routes.h"

#define XFS_MAGIC	0x58465342

static int opened(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC, 0644);

	return fd < 0 ? -errno : fd;
}

static int r_truncate_down(void) { TRY(truncate("f", 5000)); return 0; }
static int r_truncate_zero(void) { TRY(truncate("f", 0)); return 0; }
static int r_truncate_up(void) { TRY(truncate("f", 700001)); return 0; }
static int r_truncate_down_up(void)
{
	TRY(truncate("f", 5000));
	TRY(truncate("f", FILE_BYTES));
	return 0;
}
static int r_ftruncate(void)
{
	int fd = opened("f", O_WRONLY);

	DO(fd);
	DO(put(fd, 3 * PAGE, 3 * PAGE));
	TRY(ftruncate(fd, 4 * PAGE + 5));
	return put(fd, 5 * PAGE, 10);
}
static int r_o_trunc(void) { DO(opened("f", O_WRONLY | O_TRUNC)); return 0; }
static int r_o_trunc_write(void) { return make("f", 3333); }
static int r_o_trunc_creat(void) { DO(opened("f", O_RDONLY | O_CREAT | O_TRUNC)); return 0; }

static int fall(const char *path, int mode, off_t off, off_t len)
{
	int fd = opened(path, O_RDWR);

	DO(fd);
	if (fallocate(fd, mode, off, len))
		return missing_or(-errno, "fallocate");
	return 0;
}
static int r_alloc(void) { return fall("f", 0, FILE_BYTES, 50000); }
static int r_alloc_hole(void) { return fall("sp", 0, 100 * PAGE, 4 * PAGE); }
static int r_alloc_keep(void)
{
	DO(fall("f", FALLOC_FL_KEEP_SIZE, FILE_BYTES, 50000));
	return make("e/mark", 1);	/* what lies beyond the end shows nowhere */
}
static int r_posix_fallocate(void)
{
	int fd = opened("f", O_RDWR), e;

	DO(fd);
	e = posix_fallocate(fd, FILE_BYTES, 9000);
	return -e;
}
static int r_punch(void)
{
	return fall("f", FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 2 * PAGE, 4 * PAGE);
}
static int r_punch_odd(void)
{
	return fall("f", FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 5001, 20003);
}
static int r_punch_dirty(void)
{
	int fd = opened("f", O_RDWR);

	DO(fd);
	DO(put(fd, PAGE, 6 * PAGE));
	DO(r_punch());
	return put(fd, 3 * PAGE, 100);
}
static int r_zero(void) { return fall("f", FALLOC_FL_ZERO_RANGE, 5001, 20003); }
static int r_zero_beyond(void) { return fall("f", FALLOC_FL_ZERO_RANGE, 60000, 90000); }
static int r_zero_keep(void)
{
	return fall("f", FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, 60000, 90000);
}
static int r_collapse(void) { return fall("f", FALLOC_FL_COLLAPSE_RANGE, 2 * PAGE, 3 * PAGE); }
static int r_collapse_dirty(void)
{
	int fd = opened("f", O_RDWR);

	DO(fd);
	DO(put(fd, 100, 7 * PAGE));
	DO(r_collapse());
	return put(fd, PAGE, 2 * PAGE);
}
static int r_insert(void) { return fall("f", FALLOC_FL_INSERT_RANGE, 2 * PAGE, 3 * PAGE); }
static int r_insert_dirty(void)
{
	int fd = opened("f", O_RDWR);

	DO(fd);
	DO(put(fd, 100, 7 * PAGE));
	DO(r_insert());
	return put(fd, PAGE, 2 * PAGE);
}
static int reflink(const char *from, const char *to);
static int r_unshare(void)
{
	DO(reflink("f", "n"));
	return fall("n", 0x40 /* UNSHARE_RANGE */, 0, 4 * PAGE);
}

/* Calls that fail, and have done something first on some filesystem. */
static int fails(int mode, off_t off, off_t len)
{
	struct stat was, is;
	int fd = opened("f", O_RDWR), e;

	DO(fd);
	TRY(fstat(fd, &was));
	if (!fallocate(fd, mode, off, len))
		return -EEXIST;
	e = errno;
	TRY(fstat(fd, &is));
	if (was.st_mtim.tv_sec == is.st_mtim.tv_sec &&
	    was.st_mtim.tv_nsec == is.st_mtim.tv_nsec && was.st_blocks == is.st_blocks)
		return skip("it changes nothing here: %s", strerror(e));
	return 0;
}
#define HUGE	(1L << 62)
static int r_alloc_fails(void) { return fails(0, 2 * PAGE, HUGE); }
static int r_zero_fails(void) { return fails(FALLOC_FL_ZERO_RANGE, 2 * PAGE, HUGE); }
static int r_collapse_fails(void) { return fails(FALLOC_FL_COLLAPSE_RANGE, HUGE, PAGE); }
static int r_insert_fails(void) { return fails(FALLOC_FL_INSERT_RANGE, 5, 10); }

/* The space ioctls that fs/ioctl.c turns into fallocate. */
struct space { int16_t type, whence; int64_t start, len; int32_t sysid; uint32_t pid; int32_t pad[4]; };
#define IOC_RESVSP	_IOW('X', 42, struct space)
#define IOC_UNRESVSP	_IOW('X', 43, struct space)
#define IOC_ZERO	_IOW('X', 57, struct space)

static int space(unsigned long cmd)
{
	struct space s = { .start = 2 * PAGE, .len = 5 * PAGE };
	int fd = opened("f", O_RDWR);

	DO(fd);
	return ioctl(fd, cmd, &s) ? missing_or(-errno, "ioctl") : 0;
}
static int r_unresvsp(void) { return space(IOC_UNRESVSP); }
static int r_zero_ioctl(void) { return space(IOC_ZERO); }
static int r_resvsp(void)
{
	DO(fall("f", FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 2 * PAGE, 4 * PAGE));
	return space(IOC_RESVSP);
}

/* --- reflinks --------------------------------------------------------------- */

static int reflink(const char *from, const char *to)
{
	int a = opened(from, O_RDONLY), b = opened(to, O_CREAT | O_RDWR);

	DO(a);
	DO(b);
	return ioctl(b, FICLONE, a) ? missing_or(-errno, "FICLONE") : 0;
}
static int r_clone(void) { return reflink("f", "n"); }
static int r_clone_over(void) { return reflink("g", "f"); }
static int r_clone_then_write(void)
{
	int r = reflink("f", "n"), fd;

	if (r)
		return r;
	fd = opened("f", O_RDWR);
	DO(fd);
	DO(put(fd, 100, 100));
	fd = opened("n", O_RDWR);
	DO(fd);
	return put(fd, 9000, 100);
}
static int clone_range(uint64_t from, uint64_t to, uint64_t len)
{
	int a = opened("g", O_RDONLY), b = opened("f", O_RDWR);
	struct file_clone_range r = { a, from, len, to };

	DO(a);
	DO(b);
	return ioctl(b, FICLONERANGE, &r) ? missing_or(-errno, "FICLONERANGE") : 0;
}
static int r_clone_range(void) { return clone_range(PAGE, 4 * PAGE, 6 * PAGE); }
static int r_clone_range_beyond(void) { return clone_range(0, 40 * PAGE, 0); }
static int r_dedupe(void)
{
	_Alignas(8) char buf[sizeof(struct file_dedupe_range) +
			     sizeof(struct file_dedupe_range_info)] = {};
	struct file_dedupe_range *d = (void *)buf;
	int a, b;

	DO(reflink("f", "n"));
	a = opened("f", O_RDWR);
	b = opened("n", O_RDWR);
	DO(a);
	DO(b);
	TRY(fsync(b));
	d->src_length = FILE_BYTES;
	d->dest_count = 1;
	d->info[0].dest_fd = b;
	if (ioctl(a, FIDEDUPERANGE, d))
		return missing_or(-errno, "FIDEDUPERANGE");
	return d->info[0].status < 0 ? d->info[0].status : 0;
}

/* --- ext4 -------------------------------------------------------------------- */

struct move { uint32_t reserved, donor; uint64_t orig, start, len, moved; };

static int on_ext4(unsigned long cmd, const char *name, void *arg)
{
	int fd;

	if (filesystem() != EXT4_SUPER_MAGIC)
		return skip("only ext4 has it");
	fd = opened(name, O_RDWR);
	DO(fd);
	TRY(fsync(fd));
	return ioctl(fd, cmd, arg) ? missing_or(-errno, "ioctl") : 0;
}
/* Moves blocks, not bytes: the file keeps its contents, the donor does not. */
static int r_move_ext(void)
{
	struct move m = { .len = 8 };
	int donor = opened("g", O_RDWR);

	DO(donor);
	TRY(fsync(donor));
	/* what is cached of it stays as it was, and then shows something else later */
	TRY(posix_fadvise(donor, 0, 0, POSIX_FADV_DONTNEED));
	m.donor = donor;
	return on_ext4(_IOWR('f', 15, struct move), "f", &m);
}
static int r_swap_boot(void)
{
	/* the loader's inode takes the contents and gives an empty file */
	return on_ext4(_IO('f', 17), "f", NULL);
}
static int r_set_version(void)
{
	long version = 0x1234567;

	return on_ext4(_IOW('v', 2, long), "f", &version);
}

/* --- xfs ---------------------------------------------------------------------- */

/* The start of struct xfs_bstat is what the call compares. */
struct bstime { long sec; int32_t nsec; };
struct bstat {
	uint64_t ino;
	uint16_t mode, nlink;
	uint32_t uid, gid, rdev;
	int32_t blksize;
	int64_t size;
	struct bstime atime, mtime, ctime;
	int64_t blocks;
	uint32_t xflags;
	int32_t extsize, extents;
	uint32_t gen;
	uint16_t projid_lo, forkoff, projid_hi;
	uint8_t sick_checked[6];
	uint32_t cowextsize, dmevmask;
	uint16_t dmstate, aextents;
};
struct swapext {
	int64_t version, fdtarget, fdtmp, offset, length;
	char pad[16];
	struct bstat stat;
};
static int r_swapext(void)
{
	int a, b;
	struct swapext s = { .length = FILE_BYTES };
	struct stat st;

	if (filesystem() != XFS_MAGIC)
		return skip("only xfs has it");
	a = opened("f", O_RDWR);
	b = opened("g", O_RDWR);
	DO(a);
	DO(b);
	TRY(fsync(a));
	TRY(fsync(b));
	TRY(fstat(a, &st));
	s.fdtarget = a;
	s.fdtmp = b;
	s.stat.ino = st.st_ino;
	s.stat.size = st.st_size;
	s.stat.mtime = (struct bstime){ st.st_mtim.tv_sec, st.st_mtim.tv_nsec };
	s.stat.ctime = (struct bstime){ st.st_ctim.tv_sec, st.st_ctim.tv_nsec };
	return ioctl(a, _IOWR('X', 109, struct swapext), &s) ?
		missing_or(-errno, "XFS_IOC_SWAPEXT") : 0;
}
struct exchange { int32_t fd1; uint32_t pad; uint64_t off1, off2, length, flags; };
static int r_exchange_range(void)
{
	int a, b;
	struct exchange x = { .length = FILE_BYTES };

	if (filesystem() != XFS_MAGIC)
		return skip("only xfs has it");
	a = opened("f", O_RDWR);
	b = opened("g", O_RDWR);
	DO(a);
	DO(b);
	x.fd1 = a;
	return ioctl(b, _IOW('X', 129, struct exchange), &x) ?
		missing_or(-errno, "XFS_IOC_EXCHANGE_RANGE") : 0;
}

/* --- btrfs -------------------------------------------------------------------- */

static int r_encoded(void)
{
	unsigned char *raw = calloc(1, 4 * PAGE), *packed = malloc(PAGE);
	struct iovec v = { packed, PAGE };
	struct btrfs_ioctl_encoded_io_args a = { .iov = &v, .iovcnt = 1, .offset = 2 * PAGE,
						 .len = 4 * PAGE, .unencoded_len = 4 * PAGE,
						 .compression = BTRFS_ENCODED_IO_COMPRESSION_ZLIB };
	uLongf n = PAGE;
	int fd;

	if (filesystem() != BTRFS_SUPER_MAGIC)
		return skip("only btrfs has it");
	fd = opened("f", O_RDWR);
	DO(fd);
	if (!raw || !packed || compress(packed, &n, raw, 4 * PAGE) != Z_OK)
		return -ENOMEM;
	v.iov_len = n;
	if (ioctl(fd, BTRFS_IOC_ENCODED_WRITE, &a) < 0)
		return missing_or(-errno, "BTRFS_IOC_ENCODED_WRITE");
	return 0;
}
static int subvolume(const char *name)
{
	struct btrfs_ioctl_vol_args a = {};
	int dir = opened(".", O_RDONLY);

	DO(dir);
	snprintf(a.name, sizeof(a.name), "%s", name);
	TRY(ioctl(dir, BTRFS_IOC_SUBVOL_CREATE, &a));
	return 0;
}
static int r_subvolume(void)
{
	if (filesystem() != BTRFS_SUPER_MAGIC)
		return skip("only btrfs has it");
	return subvolume("n");
}
static int r_subvolume_used(void)
{
	int r = r_subvolume();

	if (r)
		return r;
	DO(make("n/file", 5000));
	TRY(mkdir("n/dir", 0700));
	TRY(rename("n/file", "n/dir/file"));
	return 0;
}
static int r_snapshot(void)
{
	struct btrfs_ioctl_vol_args_v2 a = {};
	int dir, r = r_subvolume();

	if (r)
		return r;
	DO(make("n/file", 5000));
	dir = opened(".", O_RDONLY);
	DO(dir);
	a.fd = opened("n", O_RDONLY);
	snprintf(a.name, sizeof(a.name), "snap");
	TRY(ioctl(dir, BTRFS_IOC_SNAP_CREATE_V2, &a));
	return 0;
}
static int r_subvolume_delete(void)
{
	struct btrfs_ioctl_vol_args a = { .name = "n" };
	int dir, r = r_subvolume();

	if (r)
		return r;
	DO(make("n/file", 5000));
	DO(make("mark", 1));
	dir = opened(".", O_RDONLY);
	DO(dir);
	TRY(ioctl(dir, BTRFS_IOC_SNAP_DESTROY, &a));
	return 0;
}

const struct route layout_routes[] = {
	{ "layout-truncate-down", r_truncate_down, 0 },
	{ "layout-truncate-zero", r_truncate_zero, 0 },
	{ "layout-truncate-up", r_truncate_up, 0 },
	{ "layout-truncate-down-up", r_truncate_down_up, 0 },
	{ "layout-ftruncate-and-writes", r_ftruncate, 0 },
	{ "layout-o-trunc", r_o_trunc, 0 },
	{ "layout-o-trunc-write", r_o_trunc_write, 0 },
	{ "layout-o-trunc-o-creat", r_o_trunc_creat, 0 },
	{ "layout-fallocate", r_alloc, 0 },
	{ "layout-fallocate-hole", r_alloc_hole, 0 },
	{ "layout-fallocate-keep-size", r_alloc_keep, 0 },
	{ "layout-posix-fallocate", r_posix_fallocate, 0 },
	{ "layout-punch-hole", r_punch, 0 },
	{ "layout-punch-hole-unaligned", r_punch_odd, 0 },
	{ "layout-punch-hole-dirty", r_punch_dirty, 0 },
	{ "layout-zero-range", r_zero, 0 },
	{ "layout-zero-range-beyond-end", r_zero_beyond, 0 },
	{ "layout-zero-range-keep-size", r_zero_keep, 0 },
	{ "layout-collapse-range", r_collapse, 0 },
	{ "layout-collapse-range-dirty", r_collapse_dirty, 0 },
	{ "layout-insert-range", r_insert, 0 },
	{ "layout-insert-range-dirty", r_insert_dirty, 0 },
	{ "layout-unshare-range", r_unshare, 0 },
	{ "layout-fallocate-fails", r_alloc_fails, 0 },
	{ "layout-zero-range-fails", r_zero_fails, 0 },
	{ "layout-collapse-range-fails", r_collapse_fails, 0 },
	{ "layout-insert-range-fails", r_insert_fails, 0 },
	{ "layout-ioctl-unresvsp", r_unresvsp, 0 },
	{ "layout-ioctl-resvsp", r_resvsp, 0 },
	{ "layout-ioctl-zero-range", r_zero_ioctl, 0 },
	{ "layout-ficlone", r_clone, 0 },
	{ "layout-ficlone-over", r_clone_over, 0 },
	{ "layout-ficlone-then-write", r_clone_then_write, 0 },
	{ "layout-ficlonerange", r_clone_range, 0 },
	{ "layout-ficlonerange-beyond-end", r_clone_range_beyond, 0 },
	{ "layout-fideduperange", r_dedupe, 0 },
	{ "layout-ext4-move-extents", r_move_ext, 0 },
	{ "layout-xfs-swapext", r_swapext, 0 },
	{ "layout-xfs-exchange-range", r_exchange_range, 0 },
	{ "layout-btrfs-encoded-write", r_encoded, 0 },
	{ "unhooked-ext4-swap-boot", r_swap_boot, ROUTE_COMPARED },
	{ "unhooked-ext4-setversion", r_set_version, ROUTE_COMPARED },
	{ "unhooked-btrfs-subvolume-create", r_subvolume, ROUTE_COMPARED },
	{ "unhooked-btrfs-subvolume-used", r_subvolume_used, ROUTE_COMPARED },
	{ "unhooked-btrfs-snapshot", r_snapshot, ROUTE_COMPARED },
	{ "unhooked-btrfs-subvolume-delete", r_subvolume_delete, ROUTE_COMPARED },
	{ NULL, NULL, 0 }
};
