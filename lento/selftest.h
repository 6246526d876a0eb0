/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * selftest.h: each capture program proves itself on the real mount.
 *
 * Enters: programs that are attached and pinned, with nothing passing yet.
 * Leaves: nothing on the mount; the proof, or a line that names the hook that
 * stayed silent. What must always hold: what the mount does not offer is
 * skipped only when the mount itself says so.
 */
#ifndef LENTO_SELFTEST_H
#define LENTO_SELFTEST_H

#include "lento/capture_pins.h"

/* root_fd: a directory of the mount (O_PATH will do); the scratch directory
 * is made and removed below its .intermezzo. Leaves izo_conf.dev zero. */
int selftest(struct capture_pins *p, const struct hooks *h, int root_fd,
	     char *err, size_t err_size);

#endif
