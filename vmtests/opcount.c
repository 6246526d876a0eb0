// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * opcount MOUNTPOINT: counts the operations that succeed on a filesystem.
 *
 * Prints "ready", counts until SIGTERM, then prints
 * {"ops": {KIND: N, ...}, "missed": {KIND: N, ...}}. The kinds are those of
 * inconfig's status. The targets are named here, not found as lento finds them.
 * "missed" are calls that its own programs did not see, for a preemptible
 * kernel skips them too: so many more operations, at most, were done.
 */
#include <err.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include "vmtests/opcount.h"
#include "vmtests/opcount.skel.h"

static const char *const kind_names[OPC_KINDS] = {
	"create", "mkdir", "mknod", "symlink", "link", "unlink", "rmdir",
	"rename", "tmpfile", "setattr", "xattr", "acl", "fileattr", "falloc",
	"remap", "close", "fsync", "syncfs", "openw",
};

enum { EXT4, XFS, BTRFS, FILESYSTEMS };
static const char *const fs_names[FILESYSTEMS] = { "ext4", "xfs", "btrfs" };

/* Without a function the program has nothing to do there: xfs has no rmdir of
 * its own, ext4 no reflinks. Of xfs the fsync of files: the one of directories
 * says nothing about contents, and lento leaves it out there. */
static const struct {
	const char *prog, *fn[FILESYSTEMS];
	enum opc_kind kind;
} targets[] = {
	{ "opc_create", { "ext4_create", "xfs_vn_create", "btrfs_create" }, OPC_CREATE },
	{ "opc_mkdir", { "ext4_mkdir", "xfs_vn_mkdir", "btrfs_mkdir" }, OPC_MKDIR },
	{ "opc_mknod", { "ext4_mknod", "xfs_vn_mknod", "btrfs_mknod" }, OPC_MKNOD },
	{ "opc_symlink", { "ext4_symlink", "xfs_vn_symlink", "btrfs_symlink" }, OPC_SYMLINK },
	{ "opc_link", { "ext4_link", "xfs_vn_link", "btrfs_link" }, OPC_LINK },
	{ "opc_unlink", { "ext4_unlink", "xfs_vn_unlink", "btrfs_unlink" }, OPC_UNLINK },
	{ "opc_rmdir", { "ext4_rmdir", NULL, "btrfs_rmdir" }, OPC_RMDIR },
	{ "opc_rename", { "ext4_rename2", "xfs_vn_rename", "btrfs_rename2" }, OPC_RENAME },
	{ "opc_tmpfile", { "ext4_tmpfile", "xfs_vn_tmpfile", "btrfs_tmpfile" }, OPC_TMPFILE },
	{ "opc_setattr", { "ext4_setattr", "xfs_vn_setattr", "btrfs_setattr" }, OPC_SETATTR },
	{ "opc_acl", { "ext4_set_acl", "xfs_set_acl", "btrfs_set_acl" }, OPC_ACL },
	{ "opc_fileattr", { "ext4_fileattr_set", "xfs_fileattr_set",
			    "btrfs_fileattr_set" }, OPC_FILEATTR },
	{ "opc_xattr_set", { "__vfs_setxattr_noperm", "__vfs_setxattr_noperm" }, OPC_XATTR },
	{ "opc_xattr_del", { "__vfs_removexattr_locked",
			     "__vfs_removexattr_locked" }, OPC_XATTR },
	{ "opc_killpriv", { "cap_inode_killpriv", "cap_inode_killpriv" }, OPC_XATTR },
	{ "opc_xattr_btrfs", { NULL, NULL, "btrfs_setxattr" }, OPC_XATTR },
	{ "opc_falloc", { "ext4_fallocate", "xfs_file_fallocate",
			  "btrfs_fallocate" }, OPC_FALLOC },
	{ "opc_remap", { NULL, "xfs_file_remap_range", "btrfs_remap_file_range" }, OPC_REMAP },
	{ "opc_fsync", { "ext4_sync_file", "xfs_file_fsync", "btrfs_sync_file" }, OPC_FSYNC },
	{ "opc_open", { "ext4_file_open", "xfs_file_open", "btrfs_file_open" }, OPC_OPENW },
	{ "opc_close", { "ext4_release_file", "xfs_file_release",
			 "btrfs_release_file" }, OPC_CLOSE },
	{ "opc_syncfs", { "ext4_sync_fs", "xfs_fs_sync_fs", "btrfs_sync_fs" }, OPC_SYNCFS },
};
#define NTARGETS (sizeof(targets) / sizeof(targets[0]))

/* The superblock's device: stat(2) of btrfs tells another one. */
static int find_mount(const char *path, unsigned *ret_dev)
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	char line[8192], at[PATH_MAX], type[64], want[PATH_MAX];
	unsigned major, minor;
	int fs = -1;

	if (!f || !realpath(path, want))
		err(1, "%s", path);
	while (fgets(line, sizeof(line), f)) {
		const char *rest = strstr(line, " - ");

		if (!rest || sscanf(line, "%*d %*d %u:%u %*s %4095s", &major,
				    &minor, at) != 3 || strcmp(at, want) ||
		    sscanf(rest, " - %63s", type) != 1)
			continue;
		for (int i = 0; i < FILESYSTEMS; i++)
			if (!strcmp(type, fs_names[i]))
				fs = i;
		*ret_dev = major << 20 | minor;
	}
	fclose(f);
	return fs;
}

static void set_targets(struct bpf_object *obj, int fs)
{
	for (unsigned i = 0; i < NTARGETS; i++) {
		struct bpf_program *p;
		const char *fn = targets[i].fn[fs];
		int r;

		p = bpf_object__find_program_by_name(obj, targets[i].prog);
		if (!p)
			errx(1, "no program %s", targets[i].prog);
		if (fn)
			r = bpf_program__set_attach_target(p, 0, fn);
		else
			r = bpf_program__set_autoload(p, false);
		if (r)
			errx(1, "%s on %s: %s", targets[i].prog, fn, strerror(-r));
	}
}

static void attach(struct bpf_object *obj)
{
	struct bpf_program *p;

	bpf_object__for_each_program(p, obj)
		if (bpf_program__autoload(p) && !bpf_program__attach(p))
			err(1, "attach %s", bpf_program__name(p));
}

/* xfs has one program for unlink and rmdir: what it missed may be either. */
static void count_missed(struct bpf_object *obj, unsigned long long *ret)
{
	for (unsigned i = 0; i < NTARGETS; i++) {
		struct bpf_program *p;
		struct bpf_prog_info info = {};
		__u32 len = sizeof(info);

		p = bpf_object__find_program_by_name(obj, targets[i].prog);
		if (!bpf_program__autoload(p))
			continue;
		if (bpf_obj_get_info_by_fd(bpf_program__fd(p), &info, &len))
			err(1, "info of %s", targets[i].prog);
		ret[targets[i].kind] += info.recursion_misses;
		if (targets[i].kind == OPC_UNLINK)
			ret[OPC_RMDIR] += info.recursion_misses;
	}
}

static void print_kinds(const char *name, const unsigned long long *n)
{
	printf("\"%s\": {", name);
	for (int k = 0; k < OPC_KINDS; k++)
		printf("%s\"%s\": %llu", k ? ", " : "", kind_names[k], n[k]);
	printf("}");
}

int main(int argc, char **argv)
{
	unsigned long long ops[OPC_KINDS], missed[OPC_KINDS] = {};
	struct opcount_bpf *skel;
	unsigned dev = 0;
	sigset_t set;
	int fs, sig;

	if (argc != 2)
		errx(2, "usage: opcount MOUNTPOINT");
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	fs = find_mount(argv[1], &dev);
	if (fs < 0)
		errx(1, "%s is no mount of ext4, xfs or btrfs", argv[1]);
	skel = opcount_bpf__open();
	if (!skel)
		err(1, "open");
	skel->rodata->opcount_dev = dev;
	set_targets(skel->obj, fs);
	if (opcount_bpf__load(skel))
		err(1, "load");
	attach(skel->obj);
	puts("ready");
	fflush(stdout);
	sigwait(&set, &sig);
	for (int k = 0; k < OPC_KINDS; k++)
		ops[k] = skel->bss->opcount[k];
	count_missed(skel->obj, missed);
	printf("{");
	print_kinds("ops", ops);
	printf(", ");
	print_kinds("missed", missed);
	printf("}\n");
	return 0;
}
