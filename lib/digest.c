// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * digest.c: see digest.h. Enters: an open file. Leaves: 16 bytes. What must always
 * hold: where a filesystem puts its holes makes no difference, so pieces have
 * fixed places and a piece of zeros is left out, whether it was read or skipped.
 */
#include <endian.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>
#include "lib/cleanup.h"
#include "lib/digest.h"
#include "lib/extent.h"
#include "lib/io.h"

#define PIECE_BYTES	(256u << 10)

static bool is_zero(const unsigned char *p, size_t len)
{
	return !p[0] && !memcmp(p, p + 1, len - 1);
}

/* Where the next piece with data begins; size: there is none. */
static uint64_t next_piece(int fd, uint64_t off, uint64_t size)
{
	uint64_t data, end;
	int r = extent_data(fd, off, size, &data, &end);

	if (r <= 0)	/* an error: read them all */
		return r ? off : size;
	return data - data % PIECE_BYTES;
}

static int add_piece(XXH3_state_t *state, int fd, uint64_t off, size_t len,
		     unsigned char *buf)
{
	ssize_t n = pread_full(fd, buf, len, off);
	uint64_t at = htole64(off);

	if (n != (ssize_t)len)
		return n < 0 ? n : -ENODATA;
	if (is_zero(buf, len))
		return 0;
	XXH3_128bits_update(state, &at, sizeof(at));
	XXH3_128bits_update(state, buf, len);
	return 0;
}

int digest_file(int fd, uint64_t size, const atomic_bool *stop,
		unsigned char ret[16])
{
	_cleanup_free_ unsigned char *buf = malloc(PIECE_BYTES);
	XXH3_state_t *state = XXH3_createState();
	XXH128_canonical_t sum;
	uint64_t off = 0;
	int r = buf && state ? 0 : -ENOMEM;

	if (!r)
		XXH3_128bits_reset(state);
	while (!r && off < size && (off = next_piece(fd, off, size)) < size) {
		size_t len = size - off < PIECE_BYTES ? size - off : PIECE_BYTES;

		r = stop && *stop ? -ECANCELED : add_piece(state, fd, off, len, buf);
		off += len;
	}
	if (!r) {
		XXH128_canonicalFromHash(&sum, XXH3_128bits_digest(state));
		memcpy(ret, sum.digest, sizeof(sum.digest));
	}
	XXH3_freeState(state);
	return r;
}
