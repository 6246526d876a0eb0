// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * capture_pins.c: see capture_pins.h. Names of files hold no dot: the BPF
 * filesystem refuses them, so map ".data.izo_conf" is file "map_izo_conf", and
 * the folder of fileset "a.b" is "a:b".
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include "lib/cleanup.h"
#include "lento/capture_pins.h"
#include "lento/turns.h"
#include "capture.skel.h"

static int pin(const struct capture_pins *p, int fd, const char *kind, const char *name)
{
	const char *dot = strrchr(name, '.');
	char path[320];

	snprintf(path, sizeof(path), "%s/%s_%s", p->dir, kind, dot ? dot + 1 : name);
	return bpf_obj_pin(fd, path) ? -errno : 0;
}

static int reopen(const struct capture_pins *p, const char *kind, const char *name)
{
	char path[320];
	int fd;

	snprintf(path, sizeof(path), "%s/%s_%s", p->dir, kind, name);
	fd = bpf_obj_get(path);
	return fd < 0 ? -errno : fd;
}

int pins_path(struct capture_pins *p, const char *pin_name)
{
	if (strchr(pin_name, '/') || !*pin_name)
		return -EINVAL;
	if (mkdir(PINS_ROOT, 0700) && errno != EEXIST)
		return -errno;
	snprintf(p->dir, sizeof(p->dir), PINS_ROOT "/%s", pin_name);
	for (char *c = p->dir + strlen(PINS_ROOT); *c; c++)
		if (*c == '.')		/* no name of a fileset has a colon */
			*c = ':';
	return 0;
}

int pins_remove(const char *dir)
{
	_cleanup_dir_ DIR *d = opendir(dir);
	struct dirent *e;

	if (!d)
		return errno == ENOENT ? 0 : -errno;
	/* links first: nothing may run with half of its maps unpinned */
	for (int pass = 0; pass < 2; pass++) {
		rewinddir(d);
		while ((e = readdir(d)))
			if (e->d_name[0] != '.' &&
			    (pass || !strncmp(e->d_name, "link_", 5)))
				unlinkat(dirfd(d), e->d_name, 0);
	}
	return rmdir(dir) ? -errno : 0;
}

static int set_constants(struct bpf_object *obj, const struct hooks *h, bool filter)
{
	struct bpf_map *m = bpf_object__find_map_by_name(obj, ".rodata.izo_fix");
	struct izo_fixed fixed = { .fs = h->fs, .filter = filter };

	return m ? bpf_map__set_initial_value(m, &fixed, sizeof(fixed)) : -ENOENT;
}

/* Also the arrays of the work's programs, which the kernel empties when the last
 * file or descriptor of them is gone. */
static int pin_maps(struct capture_pins *p, struct bpf_object *obj)
{
	struct bpf_map *m;

	bpf_object__for_each_map(m, obj) {
		const char *name = bpf_map__name(m);
		int r;

		if (!strncmp(name, ".rodata", 7) || !strncmp(name, "izn_", 4) ||
		    (obj == p->turns && !strncmp(name, ".data", 5)))
			continue;
		r = pin(p, bpf_map__fd(m), "map", name);
		if (r)
			return r;
	}
	return 0;
}

static int pin_dirty_maps(struct capture_pins *p)
{
	int r = 0;

	for (int slot = 0; slot < IZO_DIRTY_SLOTS; slot++)
		for (int i = 0; i < IZO_DIRTY_MAPS && !r; i++) {
			char name[32];

			snprintf(name, sizeof(name), "izo_%s%d",
				 slot ? "whole" : "pages", i);
			r = pin(p, p->dirty.set[slot].fd[i], "map", name);
		}
	return r;
}

static int attach_one(struct capture_pins *p, struct bpf_program *prog)
{
	struct bpf_link *link;
	int r;

	r = pin(p, bpf_program__fd(prog), "prog", bpf_program__name(prog));
	if (r || !strcmp(bpf_program__name(prog), "izo_origin"))
		return r;
	link = bpf_program__attach(prog);
	if (!link)
		return -errno;
	r = pin(p, bpf_link__fd(link), "link", bpf_program__name(prog));
	bpf_link__destroy(link);	/* the pin holds it */
	return r;
}

static int attach_from(struct capture_pins *p, const struct bpf_object *obj, int turn,
		       const struct hooks *h, char *err, size_t size)
{
	struct bpf_program *prog;

	bpf_object__for_each_program(prog, obj) {
		const char *name = bpf_program__name(prog);
		int r;

		if (!bpf_program__autoload(prog) ||
		    (turn ? turns_of(name) != turn : turns_has(p->turns, name)))
			continue;
		r = attach_one(p, prog);
		if (r) {
			snprintf(err, size, "%s cannot be attached to %s: %s: %s",
				 name, hooks_fn(h, name), strerror(-r),
				 hooks_libbpf_said());
			return r;
		}
	}
	return 0;
}

static int load(struct capture_pins *p, const struct hooks *h, bool filter,
		uint32_t ring_bytes, char *err, size_t size)
{
	struct bpf_object *obj = p->work;
	int r = hooks_apply(h, obj, err, size);

	if (r)
		return r;
	r = set_constants(obj, h, filter);
	if (!r)
		r = bpf_map__set_max_entries(bpf_object__find_map_by_name(obj, "izo_ring"),
					     ring_bytes);
	if (!r)
		r = bpf_object__load(obj);
	if (!r)
		r = turns_load(obj, &p->turns);
	if (r)
		snprintf(err, size, "capture programs for %s do not load: %s: %s",
			 h->fs_name, strerror(-r), hooks_libbpf_said());
	return r;
}

static int make(struct capture_pins *p, const struct hooks *h, char *err, size_t size)
{
	int r;

	r = dirtymap_create(&p->dirty,
			    bpf_object__find_map_fd_by_name(p->work, "izo_dirty"));
	if (!r)
		r = mkdir(p->dir, 0700) ? -errno : 0;
	if (!r)
		r = pin_maps(p, p->work);
	if (!r)
		r = pin_maps(p, p->turns);
	if (!r)
		r = pin_dirty_maps(p);
	if (r) {
		snprintf(err, size, "%s: %s", p->dir, strerror(-r));
		return r;
	}
	r = attach_from(p, p->work, 0, h, err, size);
	return r ? r : attach_from(p, p->turns, TURN_LAST, h, err, size);
}

static void close_objects(struct capture_pins *p)
{
	bpf_object__close(p->turns);
	bpf_object__close(p->work);
	p->turns = p->work = NULL;
}

int pins_make(struct capture_pins *p, const struct hooks *h, bool filter,
	      uint32_t ring_bytes, char *err, size_t size)
{
	DECLARE_LIBBPF_OPTS(bpf_object_open_opts, opts, .object_name = "izo");
	size_t bytes;
	const void *elf = capture_bpf__elf_bytes(&bytes);
	int r;

	p->work = bpf_object__open_mem(elf, bytes, &opts);
	if (!p->work) {
		r = -errno;
		snprintf(err, size, "capture object: %s", hooks_libbpf_said());
		return r;
	}
	r = load(p, h, filter, ring_bytes, err, size);
	if (!r)
		r = make(p, h, err, size);
	dirtymap_done(&p->dirty);
	if (r) {
		close_objects(p);
		pins_remove(p->dir);
	}
	return r;
}

static void close_progs(struct capture_pins *p)
{
	for (unsigned i = 0; i < p->nprogs; i++)
		close(p->prog[i].fd);
	if (p->origin_fd > 0)
		close(p->origin_fd);
	p->nprogs = 0;
	p->origin_fd = 0;
}

static int open_progs(struct capture_pins *p)
{
	_cleanup_dir_ DIR *d = opendir(p->dir);
	struct dirent *e;

	if (!d)
		return -errno;
	close_progs(p);
	while ((e = readdir(d))) {
		struct pinned_prog *g = &p->prog[p->nprogs];

		if (strncmp(e->d_name, "link_", 5))
			continue;
		if (p->nprogs == PINS_MAX)
			return -ENOENT;
		snprintf(g->name, sizeof(g->name), "%.15s", e->d_name + 5);
		g->fd = reopen(p, "prog", g->name);
		if (g->fd < 0)
			return g->fd;
		p->nprogs++;
	}
	p->origin_fd = reopen(p, "prog", "izo_origin");
	return p->origin_fd < 0 ? p->origin_fd : 0;
}

static void *map_shared(const struct capture_pins *p, const char *name, size_t size)
{
	_cleanup_fd_ int fd = reopen(p, "map", name);
	void *m;

	if (fd < 0)
		return NULL;
	m = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	return m == MAP_FAILED ? NULL : m;
}

bool pins_incomplete(const struct capture_pins *p)
{
	struct izo_conf *conf;
	bool yes;

	if (access(p->dir, F_OK))
		return false;
	conf = map_shared(p, "izo_conf", sizeof(*conf));
	yes = !conf || conf->magic != IZO_CAPTURE_MAGIC;
	if (conf)
		munmap(conf, sizeof(*conf));
	return yes;
}

static int open_maps(struct capture_pins *p)
{
	p->lost_fd = reopen(p, "map", "izo_lost");
	p->own_fd = reopen(p, "map", "izo_own");
	p->ring_fd = reopen(p, "map", "izo_ring");
	p->dirty.outer_fd = reopen(p, "map", "izo_dirty");
	p->conf = map_shared(p, "izo_conf", sizeof(*p->conf));
	p->count = map_shared(p, "izo_count", sizeof(*p->count));
	if (p->lost_fd < 0 || p->own_fd < 0 || p->ring_fd < 0 ||
	    p->dirty.outer_fd < 0 || !p->conf || !p->count)
		return -ENOENT;
	for (int slot = 0; slot < IZO_DIRTY_SLOTS; slot++)
		for (int i = 0; i < IZO_DIRTY_MAPS; i++) {
			char name[32];
			int fd;

			snprintf(name, sizeof(name), "izo_%s%d",
				 slot ? "whole" : "pages", i);
			fd = reopen(p, "map", name);
			if (fd < 0)
				return fd;
			p->dirty.set[slot].fd[i] = fd;
		}
	p->dirty.conf = p->conf;
	return ringread_init(&p->ring, p->ring_fd);
}

int pins_open(struct capture_pins *p)
{
	int r = open_progs(p);

	if (!r)
		r = open_maps(p);
	if (!r)
		r = dirtymap_adopt(&p->dirty, p->dirty.outer_fd);
	return r;
}

void pins_close(struct capture_pins *p)
{
	int *fds[] = { &p->lost_fd, &p->own_fd, &p->ring_fd, &p->dirty.outer_fd };

	for (unsigned i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
		if (*fds[i] > 0)
			close(*fds[i]);
	close_progs(p);
	close_objects(p);
	if (p->conf)
		munmap(p->conf, sizeof(*p->conf));
	if (p->count)
		munmap(p->count, sizeof(*p->count));
	p->conf = NULL;
	p->count = NULL;
	p->lost_fd = p->own_fd = p->ring_fd = 0;
	ringread_done(&p->ring);
	dirtymap_done(&p->dirty);
}

int pins_attach(struct capture_pins *p, const struct hooks *h, char *err, size_t size)
{
	int r = 0;

	for (int turn = TURN_LAST - 1; turn >= TURN_FIRST && !r; turn--)
		r = attach_from(p, p->turns, turn, h, err, size);
	close_objects(p);
	if (r)
		return r;
	r = open_progs(p);
	if (r)
		snprintf(err, size, "%s: %s", p->dir, strerror(-r));
	return r;
}

static uint64_t skipped(const struct pinned_prog *g)
{
	struct bpf_prog_info info = {};
	uint32_t len = sizeof(info);

	return bpf_obj_get_info_by_fd(g->fd, &info, &len) ? 0 : info.recursion_misses;
}

/* `caught` first: each call in it has been counted as skipped before. */
void pins_missed(const struct capture_pins *p, uint64_t ret[IZO_TURNS])
{
	uint64_t caught[IZO_TURNS], sum[IZO_TURNS];

	for (int k = 0; k < IZO_TURNS; k++)
		caught[k] = __atomic_load_n(&p->count->caught[k], __ATOMIC_SEQ_CST);
	for (int k = 0; k < IZO_TURNS; k++)
		sum[k] = __atomic_load_n(&p->count->stolen[k], __ATOMIC_SEQ_CST);
	for (unsigned i = 0; i < p->nprogs; i++)
		if (turns_of(p->prog[i].name) == TURN_FIRST)
			sum[turns_class(p->prog[i].name)] += skipped(&p->prog[i]);
	for (int k = 0; k < IZO_TURNS; k++) {
		if (caught[k] > sum[k] + p->conf->early[k])
			p->conf->early[k] = caught[k] - sum[k];
		ret[k] = sum[k] + p->conf->early[k] - caught[k];
	}
}

const char *pins_worst(const struct capture_pins *p)
{
	const char *worst = "?";
	uint64_t most = 0;

	for (unsigned i = 0; i < p->nprogs; i++) {
		uint64_t n = skipped(&p->prog[i]);

		if (n <= most || turns_class(p->prog[i].name) != IZO_TURN_CHANGE)
			continue;
		most = n;
		worst = p->prog[i].name;
	}
	return worst;
}
