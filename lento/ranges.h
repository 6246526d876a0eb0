/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ranges.h: a small sorted set of byte ranges, [off, end). When it is full the
 * two nearest neighbours are joined: it covers at least what was added.
 */
#ifndef LENTO_RANGES_H
#define LENTO_RANGES_H

#include "intermezzo/record.h"

/* Adds range to the n ranges at set, which holds at most max (>= 2). */
void ranges_add(struct izo_range *set, unsigned *n, unsigned max,
		struct izo_range range);

#endif
