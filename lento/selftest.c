// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * selftest.c: see selftest.h.
 *
 * One operation at a time in a scratch directory, then a look into the ring
 * for the record of this process that it must have caused. A hook whose
 * function was inlined, renamed or reached another way stays silent here and
 * is named, and so is one that no test asks for. The operations are in
 * selftest_ops.c, dirty pages in selftest_pages.c, what is peculiar to one
 * filesystem in selftest_special.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>
#include "lib/cleanup.h"
#include "lento/selftest_private.h"

int selftest_silent(struct selftest *t, const char *prog, const char *what)
{
	struct utsname u = { .release = "?" };
	const char *fn = hooks_fn(t->h, prog);

	uname(&u);
	snprintf(t->err, t->err_size, "%s on %s: hook %s on %s: %s (kernel %s)",
		 "self-test", t->h->fs_name, prog, *fn ? fn : "no function", what,
		 u.release);
	return -EIO;
}

void selftest_asked(struct selftest *t, const char *prog)
{
	for (unsigned i = 0; i < t->h->n; i++)
		if (!strcmp(t->h->target[i].prog, prog))
			t->asked[i] = 1;
}

/* Copies this process's next record of a kind; takes all others away. */
static bool take(struct selftest *t, unsigned kind, struct izo_record *ret, char *name)
{
	struct ringread *ring = &t->p->ring;
	uint64_t pos = ringread_start(ring), end = ringread_end(ring);
	bool found = false;

	while (pos != end && !found) {
		uint32_t len;
		const struct izo_record *r = ringread_next(ring, &pos, &len);

		if (!r || r->kind != kind || r->pid != (uint32_t)getpid())
			continue;
		*ret = *r;
		memcpy(name, r->var, r->name_len);
		name[r->name_len] = '\0';
		found = true;
	}
	ringread_release(ring, pos);
	return found;
}

void selftest_clear(struct selftest *t)
{
	ringread_release(&t->p->ring, ringread_end(&t->p->ring));
}

/* What the mount itself says it has not. */
static bool not_offered(int e)
{
	return e == EOPNOTSUPP || e == ENOTTY || e == ENOSYS;
}

bool selftest_same_fid(const struct izo_fid *a, const struct izo_fid *b)
{
	return a->ino == b->ino && a->gen == b->gen && a->subvol == b->subvol;
}

int selftest_next(struct selftest *t, int ret, const char *prog, unsigned kind,
		  const char *name, const struct izo_fid *obj)
{
	char got[IZO_NAME_MAX + 1], what[128];
	struct izo_record r;

	selftest_asked(t, prog);
	if (ret < 0 && not_offered(errno))
		return 0;
	if (ret < 0) {
		snprintf(what, sizeof(what), "the operation failed: %s", strerror(errno));
		return selftest_silent(t, prog, what);
	}
	if (!take(t, kind, &r, got))
		return selftest_silent(t, prog, "no record");
	if (name && strcmp(got, name)) {
		snprintf(what, sizeof(what), "name '%.40s', not '%s'", got, name);
		return selftest_silent(t, prog, what);
	}
	if (obj && !selftest_same_fid(obj, &r.obj))
		return selftest_silent(t, prog, "another object than was changed");
	return 0;
}

int selftest_expect(struct selftest *t, int ret, const char *prog, unsigned kind,
		    const char *name, const struct izo_fid *obj)
{
	int r = selftest_next(t, ret, prog, kind, name, obj);

	if (!r)
		selftest_clear(t);
	return r;
}

int selftest_expect_new(struct selftest *t, int ret, const char *prog,
			unsigned kind, const char *name)
{
	struct izo_fid fid;

	if (ret >= 0 && fid_of(&t->mount, t->dir, name, &fid))
		return selftest_silent(t, prog, "the new object has no handle");
	return selftest_expect(t, ret, prog, kind, name, &fid);
}

static int scratch(struct selftest *t, int root_fd, char *name, size_t size)
{
	char root[40];
	_cleanup_fd_ int top = -1;

	snprintf(root, sizeof(root), "/proc/self/fd/%d", root_fd);
	top = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (top < 0)
		return -errno;
	if (mkdirat(top, ".intermezzo", 0700) && errno != EEXIST)
		return -errno;
	snprintf(name, size, ".intermezzo/selftest-%d", (int)getpid());
	if (mkdirat(top, name, 0700) && errno != EEXIST)
		return -errno;
	t->dir = openat(top, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (t->dir < 0)
		return -errno;
	t->fd = openat(t->dir, "f", O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	if (t->fd < 0 || fid_mount_init(&t->mount, t->dir) ||
	    fid_of(&t->mount, t->dir, "", &t->dir_fid) ||
	    fid_of(&t->mount, t->dir, "f", &t->file_fid))
		return errno ? -errno : -EIO;
	return 0;
}

static void sweep(struct selftest *t, int root_fd, const char *name)
{
	static const char *const left[] = { "f", "n", "l", "m", "p", "s", "r", "t", "v", "w" };

	if (t->fd >= 0)
		close(t->fd);
	if (t->dir < 0)
		return;
	for (unsigned i = 0; i < sizeof(left) / sizeof(left[0]); i++)
		unlinkat(t->dir, left[i], 0);
	unlinkat(t->dir, "d", AT_REMOVEDIR);
	close(t->dir);
	unlinkat(root_fd, name, AT_REMOVEDIR);
}

/* A hook that was attached without a test is a gap like any other. */
static int all_asked(struct selftest *t)
{
	for (unsigned i = 0; i < t->h->n; i++)
		if (t->h->target[i].fn[0] && !t->asked[i])
			return selftest_silent(t, t->h->target[i].prog, "has no test");
	return 0;
}

static int run(struct selftest *t)
{
	static int (*const all[])(struct selftest *) = {
		selftest_names, selftest_rename, selftest_tmpfile, selftest_attrs,
		selftest_points, selftest_remap, selftest_pages, selftest_small,
		selftest_direct, selftest_removal,
	};
	static int (*const special[])(struct selftest *) = {
		[IZO_FS_EXT4] = selftest_ext4, [IZO_FS_XFS] = selftest_xfs,
		[IZO_FS_BTRFS] = selftest_btrfs,
	};
	int r = 0;

	for (unsigned i = 0; i < sizeof(all) / sizeof(all[0]) && !r; i++) {
		selftest_clear(t);
		r = all[i](t);
	}
	if (!r)
		r = special[t->h->fs](t);
	if (!r)
		r = selftest_umount(t);		/* last: nothing passes after it */
	return r ? r : all_asked(t);
}

int selftest(struct capture_pins *p, const struct hooks *h, int root_fd,
	     char *err, size_t err_size)
{
	struct selftest t = { .p = p, .h = h, .dir = -1, .fd = -1, .err = err,
			      .err_size = err_size };
	char name[64] = "";
	int r = scratch(&t, root_fd, name, sizeof(name));

	if (r)
		snprintf(err, err_size, "self-test: %s: %s", name, strerror(-r));
	p->conf->roots[0] = t.dir_fid;
	p->conf->nroots = 1;
	p->conf->ring_quarter = p->ring.size / 4;
	if (!r) {
		__atomic_store_n(&p->conf->dev, h->dev, __ATOMIC_SEQ_CST);
		r = run(&t);
	}
	__atomic_store_n(&p->conf->dev, 0, __ATOMIC_SEQ_CST);
	sweep(&t, root_fd, name);
	return r;
}
