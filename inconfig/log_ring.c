// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * log_ring.c: the ring of a fileset's capture, beside its reader. Enters: the
 * pinned map. Leaves: each record as the kernel made it (no journal sequence
 * yet), once; nothing is taken out, so lento may run, stand still or be gone.
 *
 * What must always hold: a record is printed from a copy, and the copy counts
 * only if the ring cannot have come round meanwhile.
 */
#include "inconfig/log_ring.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include "lento/capture_pins.h"
#include "lento/ringread.h"
#include "lib/cleanup.h"
#include "lib/codec.h"

#define LOOK_MS	5

static int complain(const char *fileset, const char *why)
{
	fprintf(stderr, "inconfig log: ring of %s: %s\n", fileset, why);
	return 1;
}

static int open_ring(const char *fileset, struct ringread *ret, char *why, size_t size)
{
	struct capture_pins p = { .nprogs = 0 };
	_cleanup_fd_ int fd = -1;
	char path[300];
	int e = pins_path(&p, fileset);

	if (e) {
		snprintf(why, size, "%s (is a bpf filesystem mounted?)", strerror(-e));
		return e;
	}
	snprintf(path, sizeof(path), "%s/map_izo_ring", p.dir);
	fd = bpf_obj_get(path);
	e = fd < 0 ? -errno : ringread_init(ret, fd);
	if (e)
		snprintf(why, size, "%s: %s%s", path, strerror(-e),
			 e == -ENOENT ? " (nothing is captured)" : "");
	return e;
}

/* Has what lies at pos been overwritten? */
static bool overtaken(const struct ringread *r, uint64_t pos)
{
	return ringread_newest(r) - pos > r->size;
}

static void print_one(const void *record, uint32_t len, bool json)
{
	const struct izo_record *r;

	if (record_check(record, len, &r, NULL))
		printf("? a record of no sense\n");
	else if (json)
		record_print_json(stdout, r);
	else
		record_print(stdout, r);
}

/* From *pos to the last complete record. */
static int print_all(const struct ringread *r, uint64_t *pos, void *copy, bool json,
		     uint64_t *lost)
{
	uint64_t end = ringread_end(r);

	while (*pos < end) {
		uint64_t at = *pos, next = at;
		uint32_t len = 0;
		const void *record = ringread_next(r, &next, &len);

		if (record && len <= IZO_RECORD_MAX + 4096)
			memcpy(copy, record, len);
		if (overtaken(r, at)) {
			*pos = ringread_start(r);
			*lost += *pos - at;
			continue;
		}
		if (record)
			print_one(copy, len, json);
		*pos = next;
	}
	return fflush(stdout) || ferror(stdout) ? -EIO : 0;
}

int log_ring(const char *fileset, bool follow, bool json)
{
	_cleanup_free_ void *copy = aligned_alloc(8, IZO_RECORD_MAX + 4096);
	struct ringread r = { 0 };
	uint64_t pos, lost = 0;
	char why[400];
	int e;

	if (!copy)
		return complain(fileset, strerror(ENOMEM));
	if (open_ring(fileset, &r, why, sizeof(why)))
		return complain(fileset, why);
	pos = ringread_start(&r);
	do {
		e = print_all(&r, &pos, copy, json, &lost);
		/* lento may have let go of records that were not looked at yet */
		if (follow && !e)
			poll(NULL, 0, LOOK_MS);
		if (pos < ringread_start(&r) && overtaken(&r, pos)) {
			lost += ringread_start(&r) - pos;
			pos = ringread_start(&r);
		}
	} while (follow && !e);
	ringread_done(&r);
	if (lost)
		fprintf(stderr, "inconfig log: ring of %s: %" PRIu64
			" bytes went by unseen\n", fileset, lost);
	return e ? complain(fileset, "standard output cannot be written") : 0;
}
