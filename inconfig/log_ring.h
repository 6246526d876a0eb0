/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * log_ring.h: `inconfig log --ring`. Enters: a fileset's name. Leaves: the
 * records that its live ring holds, on stdout.
 */
#ifndef INCONFIG_LOG_RING_H
#define INCONFIG_LOG_RING_H

#include <stdbool.h>

int log_ring(const char *fileset, bool follow, bool json);	/* exit code */

#endif
