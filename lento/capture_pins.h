/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * capture_pins.h: the programs, maps and links of one captured superblock, as
 * files of the BPF filesystem, and a lento's handles on them.
 *
 * Enters: a loaded and attached object. Leaves: files prog_*, map_* and link_*
 * in one folder; and, from these files alone, everything a lento works with,
 * so that arming anew and adopting go the same way. What must always hold:
 * izo_conf.magic is written last; a folder without it is removed, not used.
 */
#ifndef LENTO_CAPTURE_PINS_H
#define LENTO_CAPTURE_PINS_H

#include "bpf/capture_abi.h"
#include "lento/dirtymap.h"
#include "lento/hooks.h"
#include "lento/ringread.h"

#define PINS_ROOT	"/sys/fs/bpf/intermezzo"
#define PINS_MAX	(3 * HOOKS_MAX)

struct bpf_object;

struct pinned_prog {
	char name[16];
	int fd;
};

struct capture_pins {
	char dir[256];
	struct bpf_object *work, *turns;	/* between make and attach */
	struct pinned_prog prog[PINS_MAX];
	unsigned nprogs;
	int origin_fd, lost_fd, own_fd, ring_fd;
	struct izo_conf *conf;
	struct izo_count *count;
	struct ringread ring;
	struct dirtymap dirty;
};

/* Folder for a name; makes its parents. */
int pins_path(struct capture_pins *p, const char *pin_name);
/* Loads and pins; attaches the program that stands last on each function, or
 * alone, with nothing passing. */
int pins_make(struct capture_pins *p, const struct hooks *h, bool filter,
	      uint32_t ring_bytes, char *err, size_t err_size);
/* After pins_make and pins_open: attaches and pins those before them. */
int pins_attach(struct capture_pins *p, const struct hooks *h, char *err, size_t err_size);
/* Opens what is pinned. -ENOENT: nothing, or not all of it, is there. */
int pins_open(struct capture_pins *p);
void pins_close(struct capture_pins *p);
/* Is there a folder whose arming was never completed? */
bool pins_incomplete(const struct capture_pins *p);
/* Removes the files, and with them programs and maps. */
int pins_remove(const char *dir);
/* Calls that no program recorded: those that the first ones missed, less those
 * that the ones behind them made up for (bpf/turns.bpf.c). May be too large for
 * as long as a task stands between them; never too small. */
void pins_missed(const struct capture_pins *p, uint64_t ret[IZO_TURNS]);
/* The program that was skipped most; for messages. */
const char *pins_worst(const struct capture_pins *p);

#endif
