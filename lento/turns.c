// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * turns.c: see turns.h. The kernel's number of a function is asked of its work's
 * program, which has it: libbpf would search for the name once more, for each
 * turn, through all types of the kernel.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include "lento/turns.h"
#include "turns.skel.h"

#define PREFIX_LEN	4	/* izo_, iz1_, iz2_, iz3_ */

/* For the callback: the object whose turns are being loaded, and the types of
 * the module that the last function was in. */
static _Thread_local const struct bpf_object *work_obj;
static _Thread_local uint32_t btf_id;
static _Thread_local int btf_fd = -1;

int turns_of(const char *prog)
{
	int turn = prog[2] - '0';

	return turn >= TURN_FIRST && turn <= TURN_LAST ? turn : TURN_FIRST;
}

enum izo_turn turns_class(const char *prog)
{
	static const char *const points[] = { "open", "release", "fsync", "syncfs" };

	for (unsigned i = 0; i < sizeof(points) / sizeof(points[0]); i++)
		if (!strcmp(prog + PREFIX_LEN, points[i]))
			return IZO_TURN_POINT;
	return IZO_TURN_CHANGE;
}

bool turns_has(const struct bpf_object *turns, const char *work)
{
	char name[32];

	snprintf(name, sizeof(name), "iz%d_%s", TURN_LAST, work + PREFIX_LEN);
	return bpf_object__find_program_by_name(turns, name);
}

static struct bpf_program *work_of(const char *turn)
{
	char name[32];

	snprintf(name, sizeof(name), "izo_%s", turn + PREFIX_LEN);
	return bpf_object__find_program_by_name(work_obj, name);
}

static void forget_types(void)
{
	if (btf_fd >= 0)
		close(btf_fd);
	btf_fd = -1;
	btf_id = 0;
}

/* libbpf's, just before a program is loaded. */
static int aim(struct bpf_program *prog, struct bpf_prog_load_opts *opts, long cookie)
{
	struct bpf_prog_info info = {};
	uint32_t len = sizeof(info);

	if (bpf_obj_get_info_by_fd(bpf_program__fd(work_of(bpf_program__name(prog))),
				   &info, &len))
		return -errno;
	if (info.attach_btf_obj_id != btf_id || btf_fd < 0) {
		forget_types();
		btf_fd = bpf_btf_get_fd_by_id(info.attach_btf_obj_id);
		if (btf_fd < 0)
			return -errno;
		btf_id = info.attach_btf_obj_id;
	}
	opts->attach_btf_obj_fd = btf_fd;
	opts->attach_btf_id = info.attach_btf_id;
	return 0;
}

static int attach(const struct bpf_program *prog, long cookie, struct bpf_link **ret)
{
	*ret = bpf_program__attach_trace(prog);
	return *ret ? 0 : -errno;
}

static void register_section(void)
{
	DECLARE_LIBBPF_OPTS(libbpf_prog_handler_opts, opts, .prog_prepare_load_fn = aim,
			    .prog_attach_fn = attach);

	libbpf_register_prog_handler("turn", BPF_PROG_TYPE_TRACING, BPF_TRACE_FEXIT, &opts);
}

/* A turn is loaded where its work is, and runs where that would. */
static void choose(struct bpf_object *turns)
{
	struct bpf_program *prog;

	bpf_object__for_each_program(prog, turns) {
		struct bpf_program *work = work_of(bpf_program__name(prog));

		if (work && bpf_program__autoload(work))
			bpf_program__set_expected_attach_type(prog,
				bpf_program__expected_attach_type(work));
		else
			bpf_program__set_autoload(prog, false);
	}
}

static int share_counters(struct bpf_object *turns)
{
	struct bpf_map *m = bpf_object__find_map_by_name(turns, ".data.izo_count");
	int fd = bpf_object__find_map_fd_by_name(work_obj, ".data.izo_count");

	return m && fd >= 0 ? bpf_map__reuse_fd(m, fd) : -ENOENT;
}

/* Those that cannot be preempted, are no changes, or stand on no function. */
static bool alone(const char *prog)
{
	return !strcmp(prog, "izo_folio") || !strcmp(prog, "izo_umount") ||
		!strcmp(prog, "izo_origin");
}

/* Puts each work where its turns find it. */
static int join(const struct bpf_object *turns)
{
	struct bpf_program *work;

	bpf_object__for_each_program(work, work_obj) {
		const char *name = bpf_program__name(work);
		int fd = bpf_program__fd(work);
		uint32_t zero = 0;
		char map[32];

		if (!bpf_program__autoload(work) || alone(name))
			continue;
		snprintf(map, sizeof(map), "izt_%s", name + PREFIX_LEN);
		if (bpf_map_update_elem(bpf_object__find_map_fd_by_name(turns, map),
					&zero, &fd, BPF_ANY))
			return -errno;
	}
	return 0;
}

int turns_load(const struct bpf_object *work, struct bpf_object **ret)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	DECLARE_LIBBPF_OPTS(bpf_object_open_opts, opts, .object_name = "izo_turns");
	struct bpf_object *obj;
	size_t bytes;
	const void *elf = turns_bpf__elf_bytes(&bytes);
	int r;

	pthread_once(&once, register_section);
	obj = bpf_object__open_mem(elf, bytes, &opts);
	if (!obj)
		return -errno;
	work_obj = work;
	choose(obj);
	r = share_counters(obj);
	if (!r)
		r = bpf_object__load(obj);
	if (!r)
		r = join(obj);
	forget_types();
	work_obj = NULL;
	if (r)
		bpf_object__close(obj);
	else
		*ret = obj;
	return r;
}
