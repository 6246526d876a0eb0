/* SPDX-License-Identifier: GPL-2.0 */
/*
 * work.bpf.h: a program that others enter by a tail call (turns.bpf.c).
 *
 * From 6.13 on the kernel gives a program with more than a few variables a stack of
 * its own on each CPU, which all tasks there share: a program that runs there is not
 * entered again. But who is entered by a tail call is not asked, and a preemptible
 * kernel lets another task enter it in its midst: on the same stack, with the
 * other's variables. Seen on 7.3 (decisions/0008): names of zeros, records written
 * into each other's places, records that vanished.
 *
 * A program with a tail call of its own gets no such stack, whether or not it is ever
 * done. What must always hold: each program of turns.bpf.c is a WORK here.
 */
#ifndef BPF_WORK_H
#define BPF_WORK_H

#include "bpf/maps.bpf.h"

/* The array is of that program alone: the kernel wants programs of the same arguments
 * in one array. */
#define WORK(section, name) \
	struct { \
		__uint(type, BPF_MAP_TYPE_PROG_ARRAY); \
		__uint(max_entries, 1); \
		__type(key, u32); \
		__type(value, u32); \
	} izn_##name SEC(".maps"); \
	static __always_inline int work_##name(u64 *ctx); \
	SEC(section) int izo_##name(u64 *ctx) \
	{ \
		if (izo_fixed.never) \
			bpf_tail_call(ctx, &izn_##name, 0); \
		return work_##name(ctx); \
	} \
	static __always_inline int work_##name(u64 *ctx)

#endif
