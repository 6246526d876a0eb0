/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * dirtymap.h: takes the marks of dirty pages out of the kernel.
 *
 * Three maps of pages and three of whole-file marks exist; one of each is
 * live: programs write into it. Taking is a swap: an empty map goes live, and
 * the update of the outer map returns after a grace period, so that nobody
 * writes into the old one any more and every page marked in it carries its
 * dirty tag. What must always hold: nothing is deleted from a live map; a map
 * that was taken is emptied only by dirtymap_release, so that a reader that
 * dies in between leaves its marks for the next one.
 */
#ifndef LENTO_DIRTYMAP_H
#define LENTO_DIRTYMAP_H

#include <stdbool.h>
#include <stddef.h>
#include "bpf/capture_abi.h"
#include "lento/capture.h"

struct dirtyset {		/* the maps behind one slot of the outer map */
	int fd[IZO_DIRTY_MAPS];
	int live;		/* index */
	int taken;		/* index, or -1: nothing is handed out */
	bool stale;		/* taken came from an earlier reader */
	uint32_t nkeys;		/* of taken */
	struct izo_dirty_key *keys;
	struct izo_dirty_val *vals;
	uint32_t room;
};

struct dirtymap {
	int outer_fd;
	struct izo_conf *conf;
	struct dirtyset set[IZO_DIRTY_SLOTS];
	struct capture_mark *marks;
	size_t nmarks, marks_room;
};

/* Makes and installs the maps of a new capture; fds go to `d`. */
int dirtymap_create(struct dirtymap *d, int outer_fd);
/* Opened maps, in d->set[].fd, of an earlier capture: finds out which is
 * live and what an earlier reader left. */
int dirtymap_adopt(struct dirtymap *d, int outer_fd);
void dirtymap_done(struct dirtymap *d);
/* Is there anything to take? Cheap: reads two words. */
bool dirtymap_pending(const struct dirtymap *d);
/* Swaps what is marked and fills d->marks: sorted, ranges merged. May wait
 * for a grace period. 0 or -errno. */
int dirtymap_take(struct dirtymap *d);
/* Empties what was taken. */
int dirtymap_release(struct dirtymap *d);
/* In place of a release that failed: the next take has it all once more. */
void dirtymap_keep(struct dirtymap *d);
/* One more whole-file mark, unsorted. */
int dirtymap_add(struct dirtymap *d, const struct izo_fid *fid);

#endif
