/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * capture.h: the interface between a source of records and lento.
 *
 * A capture source watches one mounted filesystem and hands over what happened
 * in drain cycles. Enters: a mount, the roots of the filesets on it. Leaves:
 * records in the order in which they happened, and byte ranges whose contents
 * changed. What must always hold:
 *   - every mark of a change that came before a record of the cycle is in this
 *     cycle or in an earlier one (the source reads the end of the ring first,
 *     then swaps the dirty map and waits for the programs that still use it);
 *   - nothing leaves the source before capture_release(): a lento that dies
 *     between drain and release gets the same records and ranges once more.
 *     (Ranges of a swapped map that was not yet released stay in that map.)
 *
 * All calls come from one thread, the fileset's capture thread, but for
 * capture_counters and capture_wake.
 */
#ifndef LENTO_CAPTURE_H
#define LENTO_CAPTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "intermezzo/record.h"

#define CAPTURE_ROOTS_MAX	8
#define CAPTURE_OWN_MAX		64

/* A range of obj's contents changed (folio-aligned where the kernel says so). */
struct capture_mark {
	struct izo_fid obj;
	struct izo_range range;
};

/* One drain cycle. Memory belongs to the source, valid until release. */
struct capture_cycle {
	const void *records;		/* struct izo_record, back to back */
	size_t records_bytes;
	const struct capture_mark *marks;
	size_t nmarks;
	/* Places in the stream of records, of one scale of the source's own: up
	 * to where this cycle's records go, and up to where those of changes
	 * before its marks go. A mark may come before the record of its object. */
	uint64_t records_pos, marks_pos;
	bool points_missed;		/* order points: of any object */
	bool gap;			/* something may have been lost: why */
	const char *gap_why;
};

/* Counters since the programs were loaded; they survive lento. */
struct capture_counters {
	uint64_t records, bytes, dropped, dirty, throttled;
	uint64_t missed;		/* changes that left no record */
	uint64_t missed_points;		/* opens and order points that left none */
	uint64_t caught;		/* calls that another than the first program
					 * recorded */
	uint64_t kind[64];		/* records per enum izo_kind */
	uint64_t ring_used_bytes, ring_size_bytes;
	bool unsure;			/* calls were skipped, and may be made up for
					 * or be missed */
};

struct capture_spec {
	const char *root;		/* any directory of the filesystem */
	int root_fd;			/* O_PATH|O_DIRECTORY of it */
	struct izo_fid roots[CAPTURE_ROOTS_MAX];	/* directory filesets */
	unsigned nroots;		/* 0: the whole filesystem */
	struct izo_fid own[CAPTURE_OWN_MAX];	/* lento's own directories, files */
	unsigned nown;
	const char *pin_name;		/* folder under the pin root */
	uint32_t ring_bytes;		/* power of two, multiple of the page */
	uint32_t timer_min_ms, timer_max_ms;
	const char *script;		/* scripted source of the tests */
};

struct capture;

struct capture_ops {
	const char *name;
	/* Before anything is written to the filesystem: undoes what a start that
	 * was cut left behind. May be NULL. */
	void (*recover)(const char *pin_name, int root_fd);
	/* Arms or adopts. *ret_adopted: capture went on without a hole since
	 * an earlier lento; otherwise the caller fills or compares.
	 * On error a line that names hook and kernel is in err. */
	int (*open)(const struct capture_spec *spec, struct capture **ret,
		    bool *ret_adopted, char *err, size_t err_size);
	/* Waits at most wait_ms for something to hand over. 1: *ret is filled,
	 * 0: nothing came, -errno: the source is broken. */
	int (*drain)(struct capture *c, int wait_ms, struct capture_cycle *ret);
	/* The cycle is in the journal: the kernel may forget it. */
	void (*release)(struct capture *c);
	/* Cycles begin at least ms apart, unless the ring fills. May be NULL. */
	void (*pace)(struct capture *c, unsigned ms);
	/* Marks the calling thread's filesystem operations as lento's own work
	 * for a peer's record; peer 0 ends it. May be NULL. */
	int (*origin)(struct capture *c, uint32_t peer, uint64_t seq);
	void (*wake)(struct capture *c);	/* makes drain return; any thread */
	void (*counters)(struct capture *c, struct capture_counters *ret);
	/* keep: the kernel goes on capturing for the next lento. */
	void (*close)(struct capture *c, bool keep);
};

extern const struct capture_ops capture_bpf;

#endif
