/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * turns.h: the programs that stand on the functions and have the work done.
 *
 * Enters: the loaded object of the capture programs. Leaves: the loaded object
 * of bpf/turns.bpf.c, its programs meant for the functions that their work is
 * meant for, and the work where they find it. Why there are several on one
 * function: see there. What must always hold: what has turns is attached by
 * them only, the last turn first.
 */
#ifndef LENTO_TURNS_H
#define LENTO_TURNS_H

#include <stdbool.h>
#include "bpf/capture_abi.h"

struct bpf_object;

#define TURN_LAST	3
#define TURN_FIRST	1

/* Which turn a program has; TURN_FIRST, too, where it stands alone. */
int turns_of(const char *prog);
/* Does a program of the capture object have turns in this one? */
bool turns_has(const struct bpf_object *turns, const char *work);
/* What the calls of a program, of whatever turn, are. */
enum izo_turn turns_class(const char *prog);
/* 0 or -errno; libbpf says why. */
int turns_load(const struct bpf_object *work, struct bpf_object **ret);

#endif
