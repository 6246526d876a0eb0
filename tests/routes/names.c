// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * names.c: routes that make, move and remove names, each system call in each of
 * its forms (see routes.h).
 */
#include <fcntl.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>
#include "tests/routes/routes.h"

#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE 1
#define RENAME_EXCHANGE 2
#define RENAME_WHITEOUT 4
#endif

/* A directory to name others from. */
static int at(const char *path) { return open(path, O_PATH | O_DIRECTORY | O_CLOEXEC); }

static int shut(int fd)
{
	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

static int r_creat(void) { return shut(creat("n", 0640)); }
static int r_open(void) { return shut(open("n", O_CREAT | O_RDONLY, 0604)); }
static int r_open_sys(void) { return shut(syscall(SYS_open, "n", O_CREAT | O_WRONLY, 0600)); }
static int r_openat(void) { return shut(openat(at("d"), "n", O_CREAT | O_EXCL | O_RDWR, 0600)); }
static int r_openat2(void)
{
	struct open_how how = { .flags = O_CREAT | O_WRONLY, .mode = 0611,
				.resolve = RESOLVE_BENEATH };

	return shut(syscall(SYS_openat2, at("d"), "n", &how, sizeof(how)));
}
static int r_open_write(void)
{
	int fd = open("n", O_CREAT | O_WRONLY, 0600);

	TRY(fd);
	DO(put(fd, 0, 5000));
	return shut(fd);
}

static int r_mkdir(void) { TRY(syscall(SYS_mkdir, "n", 0751)); return 0; }
static int r_mkdirat(void) { TRY(mkdirat(at("d"), "n", 0751)); return 0; }
static int r_mkdir_sgid(void)
{
	TRY(chown("e", 0, 1234));
	TRY(chmod("e", 02775));
	TRY(mkdir("e/n", 0755));
	return make("e/m", 10);
}
static int r_mknod_reg(void) { TRY(mknod("n", S_IFREG | 0640, 0)); return 0; }
static int r_mknod_fifo(void) { TRY(mkfifo("n", 0640)); return 0; }
static int r_mknod_chr(void) { TRY(mknod("n", S_IFCHR | 0640, makedev(4, 70000))); return 0; }
static int r_mknod_blk(void) { TRY(mknod("n", S_IFBLK | 0640, makedev(259, 3))); return 0; }
static int r_mknod_sock(void) { TRY(mknod("n", S_IFSOCK | 0640, 0)); return 0; }
static int r_mknodat(void) { TRY(mknodat(at("d"), "n", S_IFIFO | 0600, 0)); return 0; }
static int r_whiteout(void) { TRY(mknod("n", S_IFCHR, 0)); return 0; }
static int r_bind(void)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX, .sun_path = "n" };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	TRY(fd);
	TRY(bind(fd, (void *)&a, sizeof(a)));
	return shut(fd);
}

static int r_symlink(void) { TRY(symlink("../some/where", "n")); return 0; }
static int r_symlinkat(void) { TRY(symlinkat("x", at("d"), "n")); return 0; }
static int r_symlink_long(void)
{
	char target[4000];	/* xfs ends at 1023 */
	size_t n = filesystem() == 0x58465342 ? 1023 : 3999;

	memset(target, 't', n);
	target[n] = '\0';
	TRY(symlink(target, "n"));
	return 0;
}

static int r_link(void) { TRY(link("f", "n")); return 0; }
static int r_link_across(void) { TRY(link("d/x", "e/n")); return 0; }
static int r_linkat(void) { TRY(linkat(at("d"), "x", at("e"), "n", 0)); return 0; }
static int r_linkat_follow(void)
{
	TRY(linkat(AT_FDCWD, "s", AT_FDCWD, "n", AT_SYMLINK_FOLLOW));
	return 0;
}
static int r_linkat_symlink(void) { TRY(linkat(AT_FDCWD, "s", AT_FDCWD, "n", 0)); return 0; }
static int r_linkat_empty(void)
{
	TRY(linkat(open("f", O_PATH), "", AT_FDCWD, "n", AT_EMPTY_PATH));
	return 0;
}
static int r_linkat_proc(void)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", open("f", O_RDONLY));
	TRY(linkat(AT_FDCWD, path, AT_FDCWD, "n", AT_SYMLINK_FOLLOW));
	return 0;
}

static int r_unlink(void) { TRY(syscall(SYS_unlink, "f")); return 0; }
static int r_unlinkat(void) { TRY(unlinkat(at("d"), "x", 0)); return 0; }
static int r_unlink_one_of_two(void) { TRY(unlink("g")); return 0; }
static int r_unlink_both(void) { TRY(unlink("g")); TRY(unlink("h")); return 0; }
static int r_unlink_symlink(void) { TRY(unlink("s")); return 0; }
static int r_rmdir(void) { TRY(syscall(SYS_rmdir, "e")); return 0; }
static int r_unlinkat_dir(void) { TRY(unlinkat(AT_FDCWD, "e", AT_REMOVEDIR)); return 0; }
static int r_remove_tree(void)
{
	TRY(unlink("d/sub/y"));
	TRY(rmdir("d/sub"));
	TRY(unlink("d/x"));
	TRY(rmdir("d"));
	return 0;
}
static int r_unlink_create(void) { TRY(unlink("f")); return make("f", 777); }
static int r_rmdir_create(void) { TRY(rmdir("e")); return make("e", 777); }
static int r_unlink_mkdir(void) { TRY(unlink("f")); TRY(mkdir("f", 0700)); return 0; }
static int r_unlinked_open(void)
{
	int fd = open("f", O_RDWR);

	TRY(fd);
	TRY(unlink("f"));
	DO(put(fd, 100, 5000));
	TRY(ftruncate(fd, 200000));
	TRY(fchmod(fd, 0600));
	return shut(fd);
}

static int r_rename(void) { TRY(syscall(SYS_rename, "f", "n")); return 0; }
static int r_renameat(void) { TRY(syscall(SYS_renameat, at("d"), "x", at("e"), "n")); return 0; }
static int r_renameat2(void) { TRY(renameat2(at("d"), "x", at("e"), "n", 0)); return 0; }
static int r_rename_noreplace(void)
{
	TRY(renameat2(AT_FDCWD, "f", AT_FDCWD, "e/n", RENAME_NOREPLACE));
	return 0;
}
static int r_rename_over(void) { TRY(rename("f", "d/x")); return 0; }
static int r_rename_over_linked(void) { TRY(rename("f", "g")); return 0; }
static int r_rename_over_symlink(void) { TRY(rename("f", "s")); return 0; }
static int r_rename_dir_over_empty(void) { TRY(rename("d", "e")); return 0; }
static int r_rename_dir(void) { TRY(rename("d", "n")); return 0; }
static int r_rename_dir_across(void) { TRY(rename("d", "e/n")); return 0; }
static int r_rename_symlink(void) { TRY(rename("s", "e/n")); return 0; }
static int r_rename_one_of_two(void) { TRY(rename("h", "e/n")); return 0; }
static int r_rename_same_inode(void) { TRY(rename("g", "h")); return 0; }
static int r_exchange(const char *a, const char *b)
{
	TRY(renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE));
	return 0;
}
static int r_exchange_files(void) { return r_exchange("f", "d/x"); }
static int r_exchange_file_dir(void) { return r_exchange("f", "e"); }
static int r_exchange_dirs(void) { return r_exchange("d/sub", "e"); }
static int r_exchange_links(void) { return r_exchange("g", "su"); }
static int r_rename_whiteout(void)
{
	TRY(renameat2(AT_FDCWD, "f", AT_FDCWD, "e/n", RENAME_WHITEOUT));
	return 0;
}
static int r_rename_whiteout_over(void)
{
	TRY(renameat2(AT_FDCWD, "f", AT_FDCWD, "d/x", RENAME_WHITEOUT));
	return 0;
}
static int r_rename_three(void)
{
	TRY(rename("f", "t"));
	TRY(rename("g", "f"));
	TRY(rename("t", "g"));
	return 0;
}
static int r_rename_deeper(void)
{
	TRY(mkdir("e/in", 0700));
	TRY(rename("d", "e/in/d"));
	TRY(rename("e/in/d/sub", "sub"));
	TRY(rename("e", "sub/e"));
	return 0;
}
static int r_save_by_rename(void)
{
	DO(make("f.new", 9000));
	TRY(rename("f.new", "f"));
	return 0;
}

/* Children come, go and change while their directory moves to and fro. */
static atomic_bool moved;

static void *children(void *dir)
{
	int fd = (int)(intptr_t)dir;
	char name[32];

	for (unsigned i = 0; !atomic_load(&moved) || i < 40; i++) {
		int f;

		snprintf(name, sizeof(name), "c%u", i % 20);
		f = openat(fd, name, O_CREAT | O_RDWR, 0644);
		if (f >= 0 && !put(f, i, 500))
			close(f);
		if (i % 3 == 0)
			unlinkat(fd, name, 0);
	}
	return NULL;
}
static int r_rename_busy(void)
{
	int fd = open("d", O_RDONLY | O_DIRECTORY);
	pthread_t t;
	int r = 0;

	TRY(fd);
	if (pthread_create(&t, NULL, children, (void *)(intptr_t)fd))
		return -EAGAIN;
	for (int i = 0; i < 15 && !r; i++)
		if (rename("d", "e/d") || rename("e/d", "d2") || rename("d2", "d"))
			r = -errno;
	atomic_store(&moved, true);
	pthread_join(t, NULL);
	return r;
}

static int r_tmpfile(void)
{
	int fd = open("e", O_TMPFILE | O_RDWR, 0600);

	TRY(fd);
	DO(put(fd, 0, 5000));
	return shut(fd);
}
static int r_tmpfile_link(void)
{
	int fd = open("e", O_TMPFILE | O_RDWR, 0640);

	TRY(fd);
	DO(put(fd, 0, 5000));
	TRY(linkat(fd, "", AT_FDCWD, "n", AT_EMPTY_PATH));
	return shut(fd);
}
static int r_tmpfile_proc(void)
{
	int fd = open("e", O_TMPFILE | O_RDWR, 0640);
	char path[64];

	TRY(fd);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	TRY(linkat(AT_FDCWD, path, AT_FDCWD, "d/n", AT_SYMLINK_FOLLOW));
	DO(put(fd, 0, 5000));
	return shut(fd);
}
static int r_inherited_acl(void)
{
	TRY(mkdir("dacl/dir", 0777));
	TRY(mkfifo("dacl/p", 0666));
	TRY(symlink("x", "dacl/s"));
	return make("dacl/file", 10);
}

const struct route name_routes[] = {
	{ "name-creat", r_creat, 0 },
	{ "name-open-creat", r_open, 0 },
	{ "name-open-creat-syscall", r_open_sys, 0 },
	{ "name-openat-excl", r_openat, 0 },
	{ "name-openat2", r_openat2, 0 },
	{ "name-open-creat-write", r_open_write, 0 },
	{ "name-mkdir", r_mkdir, 0 },
	{ "name-mkdirat", r_mkdirat, 0 },
	{ "name-mkdir-below-setgid", r_mkdir_sgid, 0 },
	{ "name-mknod-regular", r_mknod_reg, 0 },
	{ "name-mknod-fifo", r_mknod_fifo, 0 },
	{ "name-mknod-char", r_mknod_chr, 0 },
	{ "name-mknod-block", r_mknod_blk, 0 },
	{ "name-mknod-socket", r_mknod_sock, 0 },
	{ "name-mknod-whiteout", r_whiteout, 0 },
	{ "name-mknodat", r_mknodat, 0 },
	{ "name-bind-unix-socket", r_bind, 0 },
	{ "name-symlink", r_symlink, 0 },
	{ "name-symlinkat", r_symlinkat, 0 },
	{ "name-symlink-long", r_symlink_long, 0 },
	{ "name-link", r_link, 0 },
	{ "name-link-across-directories", r_link_across, 0 },
	{ "name-linkat", r_linkat, 0 },
	{ "name-linkat-follow", r_linkat_follow, 0 },
	{ "name-linkat-of-symlink", r_linkat_symlink, 0 },
	{ "name-linkat-empty-path", r_linkat_empty, 0 },
	{ "name-linkat-proc-fd", r_linkat_proc, 0 },
	{ "name-unlink", r_unlink, 0 },
	{ "name-unlinkat", r_unlinkat, 0 },
	{ "name-unlink-one-of-two", r_unlink_one_of_two, 0 },
	{ "name-unlink-both", r_unlink_both, 0 },
	{ "name-unlink-symlink", r_unlink_symlink, 0 },
	{ "name-rmdir", r_rmdir, 0 },
	{ "name-unlinkat-removedir", r_unlinkat_dir, 0 },
	{ "name-remove-tree", r_remove_tree, 0 },
	{ "name-unlink-create-same", r_unlink_create, 0 },
	{ "name-rmdir-create-same", r_rmdir_create, 0 },
	{ "name-unlink-mkdir-same", r_unlink_mkdir, 0 },
	{ "name-unlinked-but-open", r_unlinked_open, 0 },
	{ "name-rename", r_rename, 0 },
	{ "name-renameat", r_renameat, 0 },
	{ "name-renameat2", r_renameat2, 0 },
	{ "name-rename-noreplace", r_rename_noreplace, 0 },
	{ "name-rename-over-file", r_rename_over, 0 },
	{ "name-rename-over-linked-file", r_rename_over_linked, 0 },
	{ "name-rename-over-symlink", r_rename_over_symlink, 0 },
	{ "name-rename-over-empty-directory", r_rename_dir_over_empty, 0 },
	{ "name-rename-directory", r_rename_dir, 0 },
	{ "name-rename-directory-across", r_rename_dir_across, 0 },
	{ "name-rename-symlink", r_rename_symlink, 0 },
	{ "name-rename-one-of-two", r_rename_one_of_two, 0 },
	{ "name-rename-to-same-inode", r_rename_same_inode, ROUTE_SAME },
	{ "name-exchange-files", r_exchange_files, 0 },
	{ "name-exchange-file-directory", r_exchange_file_dir, 0 },
	{ "name-exchange-directories", r_exchange_dirs, 0 },
	{ "name-exchange-linked", r_exchange_links, 0 },
	{ "name-rename-whiteout", r_rename_whiteout, 0 },
	{ "name-rename-whiteout-over", r_rename_whiteout_over, 0 },
	{ "name-rename-by-three", r_rename_three, 0 },
	{ "name-rename-deeper", r_rename_deeper, 0 },
	{ "name-save-by-rename", r_save_by_rename, 0 },
	{ "name-rename-directory-busy", r_rename_busy, 0 },
	{ "name-tmpfile-unlinked", r_tmpfile, ROUTE_SAME },
	{ "name-tmpfile-linkat", r_tmpfile_link, 0 },
	{ "name-tmpfile-linkat-proc", r_tmpfile_proc, 0 },
	{ "name-inherit-default-acl", r_inherited_acl, 0 },
	{ NULL, NULL, 0 }
};
