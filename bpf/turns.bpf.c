// SPDX-License-Identifier: GPL-2.0
/*
 * turns.bpf.c: several programs on a function, of which one has the work done.
 *
 * The kernel does not enter a program that already runs on the same CPU, and a
 * preemptible kernel may take the CPU from a task in the middle of one: until
 * that task goes on, the calls of all others there are skipped. A program cannot
 * help it: what preemption it puts off comes when it allows it again, and then
 * the kernel still counts it as running (docs/decisions/0006). So others stand
 * behind it. The first leaves its task's mark in a slot and does the work; the
 * next find the mark and are done, or find none and do the work in its place, in
 * order and under the same lock. The last one takes the mark away. The work is a
 * program of capture.bpf.c, which they enter by a tail call: that has no guard.
 *
 * The newest program on a function runs first, so the last are attached first.
 * What must always hold is what lento reads:
 *
 *   calls that nobody recorded <= skipped + stolen - caught
 *
 * skipped: calls that first programs missed, as the kernel counts them; caught:
 * calls for which a later one found no mark; stolen: marks that were overwritten
 * by another call's, whose slot is the same, so that they could not be found. A
 * task between its programs makes the right side larger for that time only; a
 * last program that is skipped leaves a mark behind, and that never makes it
 * smaller. Opens and order points are counted apart: when one is missed, nothing
 * that is replicated differs.
 */
#include "bpf/flavors.bpf.h"
#include "bpf/capture_abi.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "GPL";

struct izo_count izo_count SEC(".data.izo_count");	/* capture.bpf.c's */

#define TURN_BITS	13

/* Marks of calls that are between the programs of a function. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1 << TURN_BITS);
	__type(key, u32);
	__type(value, u64);
} izo_turn SEC(".maps");

static __always_inline void count_one(u64 *c)
{
	__sync_fetch_and_add(c, 1);
}

/* What a call leaves in its slot: its task, and a salt where an interrupt may put
 * another call into it. Pointers: bit 0 is free for the class. */
static __always_inline u64 turn_mark(u64 salt, u32 class)
{
	return (bpf_get_current_task() + salt) | class;
}

static __always_inline u64 *turn_slot(u64 mark)
{
	u32 at = (mark >> 1) * 0x9e3779b97f4a7c15ULL >> (64 - TURN_BITS);

	return bpf_map_lookup_elem(&izo_turn, &at);
}

static __always_inline void turn_set(u64 *slot, u64 mark)
{
	u64 had = __sync_lock_test_and_set(slot, mark);

	if (had && (had ^ mark) & ~1ULL)
		count_one(&izo_count.stolen[had & 1]);
}

static __always_inline void turn_first(u64 salt, u32 class)
{
	u64 mark = turn_mark(salt, class), *slot = turn_slot(mark);

	if (slot)
		turn_set(slot, mark);
}

/* Has an earlier program done it? Else it is this one's turn. */
static __always_inline bool turn_next(u64 salt, u32 class)
{
	u64 mark = turn_mark(salt, class), *slot = turn_slot(mark);

	if (!slot || *(volatile u64 *)slot == mark)
		return true;
	count_one(&izo_count.caught[class]);
	turn_set(slot, mark);
	return false;
}

static __always_inline bool turn_last(u64 salt, u32 class)
{
	u64 mark = turn_mark(salt, class), *slot = turn_slot(mark);

	if (!slot || __sync_val_compare_and_swap(slot, mark, 0) == mark)
		return true;
	count_one(&izo_count.caught[class]);
	return false;
}

/* A tail call comes back only where lento has not put the work's program. */
#define WORK(name) ({ bpf_tail_call(ctx, &izt_##name, 0); \
	count_one(&izo_count.dropped); 0; })

/* iz1_, iz2_ and iz3_NAME for the work of izo_NAME, on its function. */
#define FIRST_AND_LAST(name, salt, class) \
	struct { \
		__uint(type, BPF_MAP_TYPE_PROG_ARRAY); \
		__uint(max_entries, 1); \
		__type(key, u32); \
		__type(value, u32); \
	} izt_##name SEC(".maps"); \
	SEC("turn") int iz1_##name(u64 *ctx) \
	{ \
		turn_first(salt, class); \
		return WORK(name); \
	} \
	SEC("turn") int iz3_##name(u64 *ctx) \
	{ \
		return turn_last(salt, class) ? 0 : WORK(name); \
	}
#define CHANGE_SALT(name, salt) \
	FIRST_AND_LAST(name, salt, IZO_TURN_CHANGE) \
	SEC("turn") int iz2_##name(u64 *ctx) \
	{ \
		return turn_next(salt, IZO_TURN_CHANGE) ? 0 : WORK(name); \
	}
#define CHANGE(name)	CHANGE_SALT(name, 0)
#define POINT(name)	FIRST_AND_LAST(name, 0, IZO_TURN_POINT)

CHANGE(create)
CHANGE(mkdir)
CHANGE(mknod)
CHANGE(symlink)
CHANGE(link)
CHANGE(unlink)
CHANGE(rmdir)
CHANGE(rename)
CHANGE(tmpfile)
CHANGE(setattr)
CHANGE(acl_inode)
CHANGE(acl_dentry)
CHANGE(fileattr)
CHANGE(xattr_ext4)
CHANGE(xattr_xfs)
CHANGE(xattr_btrfs)
CHANGE(falloc)
CHANGE(remap)
CHANGE(ioctl_ext4)
CHANGE(ioctl_btrfs)
CHANGE(move_ext4)
CHANGE(swap_xfs)
CHANGE(exch_xfs)
CHANGE(encoded)
POINT(open)
POINT(release)
POINT(fsync)
POINT(syncfs)

/* The reads of a file may be completed in an interrupt. */
static __always_inline u64 dio(u64 *ctx)
{
	u64 v = 0;

	bpf_get_func_arg(ctx, 0, &v);
	return v;
}
CHANGE_SALT(dio_in, dio(ctx))
CHANGE_SALT(dio_out, dio(ctx))
