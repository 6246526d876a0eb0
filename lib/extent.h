/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * extent.h: where a file holds data. For all filesystems but one that is
 * SEEK_DATA. xfs before Linux 6.9 may call data a hole when the file has blocks
 * in its copy-on-write fork (after a reflink): there FIEMAP is asked.
 */
#ifndef LIB_EXTENT_H
#define LIB_EXTENT_H

#include <stdint.h>

/* The first range of [pos, end) that may hold data; all before it reads as zeros
 * as long as nobody writes there. end is at most INT64_MAX, what is written behind
 * the end of the file is not seen.
 * 1, *ret_off and *ret_end are set; 0: none; or -errno. */
int extent_data(int fd, uint64_t pos, uint64_t end, uint64_t *ret_off,
		uint64_t *ret_end);

#endif
