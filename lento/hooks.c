// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * hooks.c: targets found by pointer (see hooks.h).
 *
 * A function in an operations table is always called out of line, so a probe
 * on it misses nothing; functions below the tables may be inlined. That is why
 * the pointers are read from live inodes (bpf/probe.bpf.c) and turned into
 * names by /proc/kallsyms, and why the few targets that have no pointer prove
 * themselves in selftest.c like all others.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include "lib/cleanup.h"
#include "lento/hooks.h"
#include "probe.skel.h"

#ifndef XFS_SUPER_MAGIC
#define XFS_SUPER_MAGIC 0x58465342
#endif

enum table { OF_DIR, OF_FILE, BY_NAME, FIXED };

struct hook {
	const char *prog;
	enum table table;
	int op;
	bool must;
	enum izo_fs only;		/* IZO_FS_OTHER: all */
	const char *fn;			/* BY_NAME */
};

static const struct hook hooks[] = {
	{ "izo_create",	OF_DIR, IZO_OP_CREATE, true, 0, NULL },
	{ "izo_mkdir",	OF_DIR, IZO_OP_MKDIR, true, 0, NULL },
	{ "izo_mknod",	OF_DIR, IZO_OP_MKNOD, true, 0, NULL },
	{ "izo_symlink", OF_DIR, IZO_OP_SYMLINK, true, 0, NULL },
	{ "izo_link",	OF_DIR, IZO_OP_LINK, true, 0, NULL },
	{ "izo_unlink",	OF_DIR, IZO_OP_UNLINK, true, 0, NULL },
	{ "izo_rmdir",	OF_DIR, IZO_OP_RMDIR, true, 0, NULL },
	{ "izo_rename",	OF_DIR, IZO_OP_RENAME, true, 0, NULL },
	{ "izo_tmpfile", OF_DIR, IZO_OP_TMPFILE, false, 0, NULL },
	{ "izo_setattr", OF_FILE, IZO_OP_SETATTR, true, 0, NULL },
	{ "izo_acl_inode", OF_FILE, IZO_OP_SET_ACL, false, 0, NULL },
	{ "izo_acl_dentry", OF_FILE, IZO_OP_SET_ACL, false, 0, NULL },
	{ "izo_fileattr", OF_FILE, IZO_OP_FILEATTR, false, 0, NULL },
	{ "izo_open",	OF_FILE, IZO_OP_OPEN, true, 0, NULL },
	{ "izo_release", OF_FILE, IZO_OP_RELEASE, true, 0, NULL },
	{ "izo_fsync",	OF_FILE, IZO_OP_FSYNC, true, 0, NULL },
	{ "izo_falloc",	OF_FILE, IZO_OP_FALLOC, false, 0, NULL },
	{ "izo_remap",	OF_FILE, IZO_OP_REMAP, false, 0, NULL },
	{ "izo_syncfs",	OF_FILE, IZO_OP_SYNC_FS, true, 0, NULL },
	{ "izo_ioctl_ext4", OF_FILE, IZO_OP_IOCTL, true, IZO_FS_EXT4, NULL },
	{ "izo_ioctl_btrfs", OF_FILE, IZO_OP_IOCTL, true, IZO_FS_BTRFS, NULL },
	{ "izo_move_ext4", BY_NAME, 0, true, IZO_FS_EXT4, "ext4_move_extents" },
	{ "izo_xattr_ext4", BY_NAME, 0, true, IZO_FS_EXT4, "ext4_xattr_set" },
	{ "izo_xattr_xfs", BY_NAME, 0, true, IZO_FS_XFS, "xfs_attr_set" },
	{ "izo_xattr_btrfs", BY_NAME, 0, true, IZO_FS_BTRFS, "btrfs_setxattr" },
	{ "izo_swap_xfs", BY_NAME, 0, false, IZO_FS_XFS, "xfs_swap_extents" },
	{ "izo_exch_xfs", BY_NAME, 0, false, IZO_FS_XFS, "xfs_exchange_range" },
	{ "izo_encoded", BY_NAME, 0, false, IZO_FS_BTRFS, "btrfs_do_encoded_write" },
	{ "izo_umount",	FIXED, 0, true, 0, "generic_shutdown_super" },
	{ "izo_folio",	FIXED, 0, true, 0, "writeback_dirty_folio" },
	{ "izo_dio_in",	FIXED, 0, true, 0, "iomap_dio_complete" },
	{ "izo_dio_out", FIXED, 0, true, 0, "iomap_dio_complete" },
};
#define NHOOKS (sizeof(hooks) / sizeof(hooks[0]))
_Static_assert(NHOOKS <= HOOKS_MAX, "HOOKS_MAX");

static char said[1536];

/* Keeps the ends: a verifier's verdict is the last line of a long text. */
static int listen_print(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	_cleanup_free_ char *text = NULL;
	size_t have = strlen(said), len, part = sizeof(said) / 3;
	int n;

	if (level == LIBBPF_DEBUG)
		return 0;
	n = vasprintf(&text, fmt, ap);
	if (n < 0) {
		text = NULL;
		return 0;
	}
	if (getenv("IZO_BPF_LOG"))
		fputs(text, stderr);
	len = n;
	if (have + part >= sizeof(said)) {
		memmove(said, said + have - part, part + 1);
		have = part;
	}
	snprintf(said + have, sizeof(said) - have, "%s",
		 len > part ? text + len - part : text);
	return n;
}

void hooks_libbpf_listen(void)
{
	said[0] = '\0';
	libbpf_set_print(listen_print);
}

const char *hooks_libbpf_said(void)
{
	for (char *p = said; *p; p++)
		if (*p == '\n')
			*p = ' ';
	return said;
}

static int complain(char *err, size_t size, int code, const char *fmt, ...)
{
	struct utsname u = { .release = "?" };
	va_list ap;
	int n;

	uname(&u);
	va_start(ap, fmt);
	n = vsnprintf(err, size, fmt, ap);
	va_end(ap);
	if (n >= 0 && (size_t)n < size)
		snprintf(err + n, size - n, " (kernel %s)", u.release);
	return code;
}

/* Opens a directory and a regular file of the mount, with the probe on. */
static int open_both(int root_fd, struct izo_probe *p)
{
	char path[64];
	_cleanup_fd_ int dir = -1, file = -1;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", root_fd);
	p->tgid = getpid();
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir >= 0)
		file = openat(dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (dir >= 0 && file < 0 && (errno == EOPNOTSUPP || errno == EISDIR)) {
		file = openat(dir, ".izo-probe", O_CREAT | O_RDWR | O_CLOEXEC, 0600);
		if (file >= 0)
			unlinkat(dir, ".izo-probe", 0);
	}
	p->tgid = 0;
	return dir < 0 || file < 0 ? -errno : 0;
}

static int load_probe(struct bpf_object *obj, struct bpf_link **ret)
{
	struct bpf_program *prog = bpf_object__find_program_by_name(obj, "izo_probe");

	if (bpf_object__load(obj))
		return -errno;
	*ret = bpf_program__attach(prog);
	return *ret ? 0 : -errno;
}

static int probe(int root_fd, struct izo_probe *ret, char *err, size_t size)
{
	DECLARE_LIBBPF_OPTS(bpf_object_open_opts, opts, .object_name = "izo_probe");
	struct bpf_link *link = NULL;
	struct bpf_object *obj;
	struct izo_probe *p;
	size_t bytes;
	const void *elf = probe_bpf__elf_bytes(&bytes);
	int r;

	obj = bpf_object__open_mem(elf, bytes, &opts);
	if (!obj)
		return complain(err, size, -errno, "probe: %s", hooks_libbpf_said());
	r = load_probe(obj, &link);
	if (r) {
		complain(err, size, r, "probe security_file_open: %s: %s",
			 strerror(-r), hooks_libbpf_said());
		goto out;
	}
	p = mmap(NULL, sizeof(*p), PROT_READ | PROT_WRITE, MAP_SHARED,
		 bpf_object__find_map_fd_by_name(obj, ".data.izo_seen"), 0);
	if (p == MAP_FAILED) {
		r = complain(err, size, -errno, "probe: no shared memory");
		goto out;
	}
	r = open_both(root_fd, p);
	*ret = *p;
	munmap(p, sizeof(*p));
	if (r)
		complain(err, size, r, "probe: cannot open a file: %s", strerror(-r));
	else if (ret->seen != 3)
		r = complain(err, size, -EIO, "probe security_file_open saw nothing");
out:
	bpf_link__destroy(link);
	bpf_object__close(obj);
	return r;
}

struct wanted {
	uint64_t addr;			/* or 0: by name */
	const char *name;
	char *fn;			/* filled */
};

static void take_symbol(struct wanted *w, unsigned n, uint64_t addr, const char *name)
{
	for (unsigned i = 0; i < n; i++) {
		if (w[i].fn[0])
			continue;
		if (w[i].addr ? w[i].addr == addr : !strcmp(w[i].name, name))
			snprintf(w[i].fn, HOOK_FN_MAX, "%s", name);
	}
}

static int name_all(struct wanted *w, unsigned n)
{
	_cleanup_file_ FILE *f = fopen("/proc/kallsyms", "re");
	char line[512], name[HOOK_FN_MAX], type;
	unsigned long long addr;

	if (!f)
		return -errno;
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "%llx %c %63s", &addr, &type, name) == 3 &&
		    (type == 't' || type == 'T'))
			take_symbol(w, n, addr, name);
	return 0;
}

/* What mount(8) calls it. */
static void name_of(int fd, char *name, size_t size)
{
	_cleanup_file_ FILE *f = fopen("/proc/self/mountinfo", "re");
	_cleanup_free_ char *line = NULL;
	const char *type;
	struct statx x;
	size_t room = 0;

	snprintf(name, size, "an unknown filesystem");
	if (!f || statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &x))
		return;
	while (getline(&line, &room, f) > 0)
		if (strtoull(line, NULL, 10) == x.stx_mnt_id &&
		    (type = strstr(line, " - ")))
			snprintf(name, size, "%.*s", (int)strcspn(type + 3, " "), type + 3);
}

static enum izo_fs fs_of(int fd)
{
	struct statfs st;

	if (fstatfs(fd, &st))
		return IZO_FS_OTHER;
	switch ((unsigned long)st.f_type) {
	case EXT4_SUPER_MAGIC:
		return IZO_FS_EXT4;
	case XFS_SUPER_MAGIC:
		return IZO_FS_XFS;
	case BTRFS_SUPER_MAGIC:
		return IZO_FS_BTRFS;
	default:
		return IZO_FS_OTHER;
	}
}

/* Which hook is out of the question here, whatever the pointers say? */
static bool left_out(const struct hook *k, const struct izo_probe *p, enum izo_fs fs)
{
	if (k->only && k->only != fs)
		return true;
	if (!strcmp(k->prog, "izo_acl_inode") && p->acl_by_dentry)
		return true;
	if (!strcmp(k->prog, "izo_acl_dentry") && !p->acl_by_dentry)
		return true;
	/* one function for both (xfs): izo_unlink tells them apart */
	return !strcmp(k->prog, "izo_rmdir") &&
		p->dir[IZO_OP_RMDIR] == p->dir[IZO_OP_UNLINK];
}

/* A program has one target; the operations of directories and files that
 * both have must therefore be one function. */
static int same_for_both(const struct izo_probe *p, char *err, size_t size)
{
	static const int ops[] = { IZO_OP_SETATTR, IZO_OP_SET_ACL, IZO_OP_FILEATTR };

	for (unsigned i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
		if (p->dir[ops[i]] != p->file[ops[i]])
			return complain(err, size, -EOPNOTSUPP,
					"operation %d differs between directory and file",
					ops[i]);
	return 0;
}

static int check(const struct hooks *h, const uint8_t *needed, char *err, size_t size)
{
	for (unsigned i = 0; i < h->n; i++)
		if (needed[i] && !h->target[i].fn[0])
			return complain(err, size, -EOPNOTSUPP,
					"%s: no function for %s", h->fs_name,
					h->target[i].prog);
	return 0;
}

int hooks_find(int root_fd, struct hooks *ret, char *err, size_t size)
{
	struct hooks h = { .n = NHOOKS };
	struct wanted w[HOOKS_MAX] = {};
	uint8_t needed[HOOKS_MAX] = {};
	struct izo_probe p = {};
	unsigned n = 0;
	int r;

	h.fs = fs_of(root_fd);
	name_of(root_fd, h.fs_name, sizeof(h.fs_name));
	if (h.fs == IZO_FS_OTHER)
		return complain(err, size, -EOPNOTSUPP,
				"capture knows ext4, xfs and btrfs, not %s", h.fs_name);
	r = probe(root_fd, &p, err, size);
	if (!r)
		r = same_for_both(&p, err, size);
	if (r)
		return r;
	for (unsigned i = 0; i < NHOOKS; i++) {
		const struct hook *k = &hooks[i];

		h.target[i].prog = k->prog;
		if (left_out(k, &p, h.fs))
			continue;
		needed[i] = k->must;
		if (k->table == FIXED) {
			snprintf(h.target[i].fn, HOOK_FN_MAX, "%s", k->fn);
			continue;
		}
		w[n].fn = h.target[i].fn;
		w[n].name = k->fn;
		if (k->table != BY_NAME)
			w[n].addr = k->table == OF_DIR ? p.dir[k->op] : p.file[k->op];
		if (w[n].addr || w[n].name)
			n++;
	}
	r = name_all(w, n);
	if (r)
		return complain(err, size, r, "/proc/kallsyms: %s", strerror(-r));
	h.dev = p.dev;
	r = check(&h, needed, err, size);
	if (!r)
		*ret = h;
	return r;
}

const char *hooks_fn(const struct hooks *h, const char *prog)
{
	for (unsigned i = 0; i < h->n; i++)
		if (!strcmp(h->target[i].prog + 4, prog + 4))
			return h->target[i].fn;
	return "?";
}

int hooks_apply(const struct hooks *h, struct bpf_object *obj, char *err, size_t size)
{
	for (unsigned i = 0; i < h->n; i++) {
		struct bpf_program *p;
		int r = 0;

		p = bpf_object__find_program_by_name(obj, h->target[i].prog);
		if (!p)
			return complain(err, size, -ENOENT, "no program %s",
					h->target[i].prog);
		if (!h->target[i].fn[0])
			r = bpf_program__set_autoload(p, false);
		else if (hooks[i].table != FIXED)
			r = bpf_program__set_attach_target(p, 0, h->target[i].fn);
		if (r)
			return complain(err, size, r, "%s on %s: %s: %s",
					h->target[i].prog, h->target[i].fn,
					strerror(-r), hooks_libbpf_said());
	}
	return 0;
}
