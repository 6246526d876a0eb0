// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * fswork_attr: modes, owners, times, xattrs, ACLs, inode flags.
 *
 * What makes more records than calls is counted or avoided:
 * - chmod of an object with an access ACL also sets the ACL;
 * - chown of a set-uid or set-gid file with an ACL does so too: not done;
 * - a capability is dropped by write, truncate and chown, with a setattr and a
 *   removed xattr: only on `cap-N`, which only process N touches;
 * - what is created under a default ACL inherits one, seen by some
 *   filesystems' hooks and not by others: only in `acl-N`, counted apart.
 * Objects are held by an fd from the question to the change: names may move.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "fswork.h"

/* An object that cannot be swapped for another while it is looked at. */
struct held {
	int fd;			/* O_PATH */
	char proc[32];		/* leads to it */
	struct stat st;
};

static int hold(const char *path, struct held *held)
{
	int err;

	held->fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (held->fd < 0)
		return -errno;
	sprintf(held->proc, "/proc/self/fd/%d", held->fd);
	if (!fstat(held->fd, &held->st))
		return 0;
	err = -errno;
	close(held->fd);
	return err;
}

static bool has_acl(const struct held *held)
{
	return getxattr(held->proc, ACL_ACCESS, NULL, 0) > 0;
}

static int chmod_held(struct worker *w, const struct held *held,
		      const char *path, mode_t mode)
{
	bool acl = has_acl(held);

	if (S_ISLNK(held->st.st_mode))
		return -EOPNOTSUPP;
	if (chmod(held->proc, mode))
		return -errno;
	op_done(w, KIND_SETATTR, "chmod %s %o", path, mode);
	if (acl) {
		w->shared->count[KIND_ACL]++;
		w->shared->count[KIND_CHMODACL]++;
	}
	return 0;
}

static int op_chmod(struct worker *w)
{
	static const mode_t modes[] = { 0644, 0600, 0755, 0711, 0777, 04755,
					02755, 01777, 0444, 0 };
	mode_t mode = modes[rnd_below(w, sizeof(modes) / sizeof(modes[0]))];
	char path[PATH_BYTES];
	struct held held;
	int err = hold(pick_any(w, path), &held);

	if (err)
		return err;
	pthread_mutex_lock(&w->shared->acl);
	err = chmod_held(w, &held, path, mode);
	pthread_mutex_unlock(&w->shared->acl);
	close(held.fd);
	return err;
}

static int chown_held(struct worker *w, struct held *held, const char *path,
		      uid_t uid, gid_t gid)
{
	if (fstat(held->fd, &held->st))
		return -errno;
	if ((held->st.st_mode & (S_ISUID | S_ISGID)) && has_acl(held))
		return -EBUSY;
	if (fchownat(held->fd, "", uid, gid, AT_EMPTY_PATH))
		return -errno;
	op_done(w, KIND_SETATTR, "chown %s %d:%d", path, (int)uid, (int)gid);
	return 0;
}

static int op_chown(struct worker *w)
{
	uid_t uid = rnd_below(w, 3) ? rnd_below(w, 5) * 1000 : (uid_t)-1;
	gid_t gid = rnd_below(w, 5) * 1000;
	char path[PATH_BYTES];
	struct held held;
	int err = hold(pick_any(w, path), &held);

	if (err)
		return err;
	pthread_mutex_lock(&w->shared->acl);
	err = chown_held(w, &held, path, uid, gid);
	pthread_mutex_unlock(&w->shared->acl);
	close(held.fd);
	return err;
}

static void pick_times(struct worker *w, struct timespec times[2])
{
	unsigned int variant = rnd_below(w, 5);

	for (int i = 0; i < 2; i++) {
		times[i].tv_sec = rnd_below(w, 2000000000);
		times[i].tv_nsec = rnd_below(w, 1000000000);
	}
	if (variant == 0)
		times[0].tv_nsec = times[1].tv_nsec = UTIME_NOW;
	else if (variant == 1)
		times[0].tv_nsec = UTIME_OMIT;
	else if (variant == 2)
		times[1].tv_nsec = UTIME_OMIT;
	else if (variant == 3)
		times[1].tv_sec = -1000 - (time_t)rnd_below(w, 100000000);
}

static int op_utimens(struct worker *w)
{
	struct timespec times[2];
	char path[PATH_BYTES];

	pick_times(w, times);
	if (utimensat(AT_FDCWD, pick_any(w, path), times, AT_SYMLINK_NOFOLLOW))
		return -errno;
	op_done(w, KIND_SETATTR, "utimens %s %lld.%09ld %lld.%09ld", path,
		(long long)times[0].tv_sec, times[0].tv_nsec,
		(long long)times[1].tv_sec, times[1].tv_nsec);
	return 0;
}

static const char *pick_xattr(struct worker *w)
{
	static const char *const names[] = {
		"user.a", "user.b", "user.long-name-of-an-attribute",
		"trusted.a", "trusted.b", "security.fswork",
	};

	return names[rnd_below(w, sizeof(names) / sizeof(names[0]))];
}

static int op_setxattr(struct worker *w)
{
	const char *name = pick_xattr(w);
	size_t most = rnd_below(w, 2) && w->xattr_max > 40 ? 40 : w->xattr_max;
	size_t size = 1 + rnd_below(w, most);
	char path[PATH_BYTES];

	pick_any(w, path);
	rnd_fill(w, size);
	if (lsetxattr(path, name, w->buf, size, 0))
		return -errno;
	op_done(w, KIND_XATTR, "setxattr %s %s %zu", path, name, size);
	return 0;
}

static int op_removexattr(struct worker *w)
{
	const char *name = pick_xattr(w);
	char path[PATH_BYTES];

	if (lremovexattr(pick_any(w, path), name))
		return -errno;
	op_done(w, KIND_XATTR, "removexattr %s %s", path, name);
	return 0;
}

static int acl_set(struct worker *w, const char *target, const char *name,
		   const char *path)
{
	struct acl_blob acl;

	work_acl(&acl, rnd(w));
	if (setxattr(target, name, &acl, sizeof(acl), 0))
		return -errno;
	op_done(w, KIND_ACL, "setacl %s %s", path, name);
	return 0;
}

static int acl_remove(struct worker *w, const char *target, const char *name,
		      const char *path)
{
	if (removexattr(target, name))
		return -errno;
	op_done(w, KIND_ACL, "removeacl %s %s", path, name);
	return 0;
}

static int op_acl(struct worker *w)
{
	bool set = rnd_below(w, 3);
	char path[PATH_BYTES];
	struct held held;
	int err = hold(pick_any(w, path), &held);

	if (err)
		return err;
	pthread_mutex_lock(&w->shared->acl);
	if (!S_ISREG(held.st.st_mode) && !S_ISDIR(held.st.st_mode))
		err = -EOPNOTSUPP;
	else if (set)
		err = acl_set(w, held.proc, ACL_ACCESS, path);
	else if (has_acl(&held))
		err = acl_remove(w, held.proc, ACL_ACCESS, path);
	else
		err = -ENODATA;
	pthread_mutex_unlock(&w->shared->acl);
	close(held.fd);
	return err;
}

static int create_empty(struct worker *w, const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);

	if (fd < 0)
		return -errno;
	close(fd);
	op_done(w, KIND_CREATE, "create %s 666", path);
	return 0;
}

static void inherit(struct worker *w, const char *dir)
{
	char path[PATH_BYTES + 16];

	sprintf(path, "%s/f%u", dir, rnd_below(w, w->files));
	if (!unlink(path))
		op_done(w, KIND_UNLINK, "unlink %s", path);
	if (!create_empty(w, path))
		w->shared->count[KIND_INHERIT]++;
	sprintf(path, "%s/d%u", dir, rnd_below(w, 3));
	if (!rmdir(path))
		op_done(w, KIND_RMDIR, "rmdir %s", path);
	if (!mkdir(path, 0777)) {
		op_done(w, KIND_MKDIR, "mkdir %s 777", path);
		w->shared->count[KIND_INHERIT]++;
	}
}

static int op_default_acl(struct worker *w)
{
	bool set = rnd_below(w, 4);
	char dir[PATH_BYTES];
	int err;

	sprintf(dir, "acl-%u", w->proc);
	if (!mkdir(dir, 0755))
		op_done(w, KIND_MKDIR, "mkdir %s 755", dir);
	if (!set) {
		if (getxattr(dir, ACL_DEFAULT, NULL, 0) <= 0)
			return -ENODATA;
		return acl_remove(w, dir, ACL_DEFAULT, dir);
	}
	err = acl_set(w, dir, ACL_DEFAULT, dir);
	if (!err)
		inherit(w, dir);
	return err;
}

static void cap_killed(struct worker *w)
{
	w->shared->count[KIND_XATTR]++;
	w->shared->count[KIND_KILLPRIV]++;
}

static int cap_change(struct worker *w, const char *path)
{
	int fd;

	switch (rnd_below(w, 5)) {
	case 0:
		if (removexattr(path, "security.capability"))
			return -errno;
		op_done(w, KIND_XATTR, "removexattr %s capability", path);
		return 0;
	case 1:
		if (chown(path, 1000, 1000))
			return -errno;
		op_done(w, KIND_SETATTR, "chown %s drops capability", path);
		cap_killed(w);
		return 0;
	case 2:
		if (truncate(path, 10))
			return -errno;
		op_done(w, KIND_SETATTR, "truncate %s drops capability", path);
		cap_killed(w);
		return 0;
	case 3:
		fd = open(path, O_WRONLY | O_CLOEXEC);
		if (fd < 0)
			return -errno;
		if (write(fd, "x", 1) == 1) {
			op_done(w, KIND_SETATTR, "write %s drops capability",
				path);
			cap_killed(w);
		}
		close(fd);
		return 0;
	default:
		return 0;
	}
}

static int op_capability(struct worker *w)
{
	struct vfs_cap_data cap = { .magic_etc = VFS_CAP_REVISION_2 };
	char path[PATH_BYTES];
	int err;

	sprintf(path, "cap-%u", w->proc);
	cap.data[0].permitted = 1u << rnd_below(w, 20);
	if (!unlink(path))
		op_done(w, KIND_UNLINK, "unlink %s", path);
	err = create_empty(w, path);
	if (err)
		return err;
	if (setxattr(path, "security.capability", &cap, XATTR_CAPS_SZ_2, 0))
		return -errno;
	op_done(w, KIND_XATTR, "setxattr %s capability", path);
	return cap_change(w, path);
}

static int op_chattr(struct worker *w)
{
	static const int bits[] = { 0, FS_NODUMP_FL, FS_NOATIME_FL,
				    FS_NODUMP_FL | FS_NOATIME_FL };
	int want = bits[rnd_below(w, 4)];
	char path[PATH_BYTES];
	struct held held;
	int err = hold(pick_any(w, path), &held);
	int fd, flags;

	if (err)
		return err;
	fd = -1;
	if (S_ISREG(held.st.st_mode) || S_ISDIR(held.st.st_mode))
		fd = open(held.proc, O_RDONLY | O_CLOEXEC);
	close(held.fd);
	if (fd < 0)
		return -EOPNOTSUPP;
	if (ioctl(fd, FS_IOC_GETFLAGS, &flags)) {
		err = -errno;
	} else {
		flags = (flags & ~(FS_NODUMP_FL | FS_NOATIME_FL)) | want;
		if (ioctl(fd, FS_IOC_SETFLAGS, &flags))
			err = -errno;
		else
			op_done(w, KIND_FILEATTR, "chattr %s %#x", path, want);
	}
	close(fd);
	return err;
}

const struct op attr_ops[] = {
	{ "chmod", 7, op_chmod },
	{ "chown", 5, op_chown },
	{ "utimens", 5, op_utimens },
	{ "setxattr", 6, op_setxattr },
	{ "removexattr", 3, op_removexattr },
	{ "acl", 5, op_acl },
	{ "default-acl", 2, op_default_acl },
	{ "capability", 1, op_capability },
	{ "chattr", 3, op_chattr },
	{ NULL, 0, NULL },
};
