/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * digest.h: the digest by which two hosts know that a file's contents are the
 * same. It costs what the file holds, not how long it is: holes are not read.
 */
#ifndef LIB_DIGEST_H
#define LIB_DIGEST_H

#include <stdatomic.h>
#include <stdint.h>

/* Of the first size bytes of fd: XXH3-128 (canonical) over its pieces of 256 KiB
 * that are not all zero, each as its little-endian offset and its bytes, the last
 * one cut at size. A hole and zeros are the same. 0 or -errno; -ENODATA: the file
 * ends earlier; -ECANCELED: *stop (may be NULL) became true. */
int digest_file(int fd, uint64_t size, const atomic_bool *stop,
		unsigned char ret[16]);

#endif
