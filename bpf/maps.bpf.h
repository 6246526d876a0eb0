/* SPDX-License-Identifier: GPL-2.0 */
/*
 * maps.bpf.h: every map of capture, with its size and its owner.
 *
 * The programs own what is in the ring and in the live dirty maps; lento owns
 * izo_own, izo_conf and every map that it has taken out of izo_dirty. What
 * must always hold: nothing is deleted from a map that a program writes to,
 * but for izo_dio, whose entries belong to one call.
 */
#ifndef BPF_MAPS_H
#define BPF_MAPS_H

#include "bpf/flavors.bpf.h"
#include "bpf/capture_abi.h"
#include <bpf/bpf_helpers.h>

/* Constants of a load: the verifier drops what they rule out. */
const volatile struct izo_fixed izo_fixed SEC(".rodata.izo_fix") = {};
#define izo_fs		(izo_fixed.fs)
#define izo_filter	(izo_fixed.filter)

struct izo_conf izo_conf SEC(".data.izo_conf");
struct izo_count izo_count SEC(".data.izo_count");

/* Records. lento sets the size. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} izo_ring SEC(".maps");

struct izo_dirty_map {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, IZO_DIRTY_ENTRIES);
	__uint(key_size, sizeof(struct izo_dirty_key));
	__uint(value_size, sizeof(struct izo_dirty_val));
};

/* The live dirty maps; lento replaces a slot to take one away. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, IZO_DIRTY_SLOTS);
	__type(key, u32);
	__array(values, struct izo_dirty_map);
} izo_dirty SEC(".maps");

/* Objects whose records the ring had no room for. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, struct izo_fid);
	__type(value, u64);
} izo_lost SEC(".maps");

/* lento's own directories and files. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, IZO_OWN_MAX);
	__type(key, struct izo_fid);
	__type(value, u32);
} izo_own SEC(".maps");

/* On whose behalf a thread of lento works. */
struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct izo_origin);
} izo_task SEC(".maps");

/* Direct writes between the entry and the exit of iomap_dio_complete. */
struct dio_key {
	u64 dio, task;
};
struct dio_range {
	struct izo_dirty_key key;
	u64 first, last;
};
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, struct dio_key);
	__type(value, struct dio_range);
} izo_dio SEC(".maps");

#endif
