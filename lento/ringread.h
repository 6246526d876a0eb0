/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ringread.h: the reader's side of a BPF ring buffer.
 *
 * libbpf's reader frees a record as soon as its callback returns; capture
 * must not forget one before it is in the journal. Here reading and releasing
 * are two calls. What must always hold: one reader at a time; the consumer
 * position moves only in ringread_release.
 */
#ifndef LENTO_RINGREAD_H
#define LENTO_RINGREAD_H

#include <stddef.h>
#include <stdint.h>

struct ringread {
	size_t size;		/* bytes of the data area, a power of two */
	uint64_t *consumer;	/* mapped read-write */
	const uint64_t *producer;	/* mapped read-only, data follow a page later */
	const uint8_t *data;	/* mapped twice in a row */
	void *map_rw, *map_ro;
};

int ringread_init(struct ringread *r, int map_fd);
void ringread_done(struct ringread *r);
/* The position behind the last record that is complete, with no unfinished
 * one before it. */
uint64_t ringread_end(const struct ringread *r);
uint64_t ringread_start(const struct ringread *r);
/* The slot at *pos (advanced): its bytes and length, NULL where discarded.
 * Call while *pos != end. */
const void *ringread_next(const struct ringread *r, uint64_t *pos, uint32_t *ret_len);
void ringread_release(struct ringread *r, uint64_t pos);
/* Bytes between the reader and the newest reservation. */
uint64_t ringread_used(const struct ringread *r);
uint64_t ringread_newest(const struct ringread *r);

#endif
