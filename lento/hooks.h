/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hooks.h: which function each capture program is attached to.
 *
 * Enters: a mounted filesystem. Leaves: names of functions, found by the
 * pointers in the operation tables of a directory and a file that are opened
 * on it; xattr functions by name. What must always hold: every program that
 * the filesystem needs has a target, or hooks_find fails and names it.
 */
#ifndef LENTO_HOOKS_H
#define LENTO_HOOKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "bpf/capture_abi.h"

#define HOOKS_MAX	40
#define HOOK_FN_MAX	64

struct bpf_object;

struct hook_target {
	const char *prog;		/* BPF program */
	char fn[HOOK_FN_MAX];		/* kernel function; "" = not loaded */
};

struct hooks {
	enum izo_fs fs;
	char fs_name[32];		/* as in mountinfo */
	uint32_t dev;			/* the kernel's s_dev */
	unsigned n;
	struct hook_target target[HOOKS_MAX];
};

/* root_fd: a directory of the mount, O_PATH will do; a nameless file is made
 * in it for a moment. On failure the reason is in err. */
int hooks_find(int root_fd, struct hooks *ret, char *err, size_t err_size);
/* Before bpf_object__load: targets, and what is not loaded. */
int hooks_apply(const struct hooks *h, struct bpf_object *obj, char *err,
		size_t err_size);
/* The function that a program, or one of its turns (turns.h), is attached to, for
 * messages; never NULL. */
const char *hooks_fn(const struct hooks *h, const char *prog);
/* What libbpf said since the last call; for messages. */
const char *hooks_libbpf_said(void);
void hooks_libbpf_listen(void);

#endif
