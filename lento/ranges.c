// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * ranges.c: see ranges.h.
 */
#include "lento/ranges.h"

#include <string.h>

static void remove_at(struct izo_range *set, unsigned *n, unsigned at)
{
	memmove(set + at, set + at + 1, (*n - at - 1) * sizeof(*set));
	--*n;
}

static void join_nearest(struct izo_range *set, unsigned *n)
{
	unsigned best = 0;

	for (unsigned i = 1; i + 1 < *n; i++)
		if (set[i + 1].off - set[i].end < set[best + 1].off - set[best].end)
			best = i;
	set[best].end = set[best + 1].end;
	remove_at(set, n, best + 1);
}

void ranges_add(struct izo_range *set, unsigned *n, unsigned max,
		struct izo_range range)
{
	struct izo_range spare[max + 1];
	unsigned at = 0;

	if (range.end <= range.off)
		return;
	while (at < *n && set[at].end < range.off)
		at++;
	/* set[at] is the first that touches or follows range. */
	while (at < *n && set[at].off <= range.end) {
		if (set[at].off < range.off)
			range.off = set[at].off;
		if (set[at].end > range.end)
			range.end = set[at].end;
		remove_at(set, n, at);
	}
	memcpy(spare, set, *n * sizeof(*set));
	memmove(spare + at + 1, spare + at, (*n - at) * sizeof(*set));
	spare[at] = range;
	++*n;
	if (*n > max)
		join_nearest(spare, n);
	memcpy(set, spare, *n * sizeof(*set));
}
