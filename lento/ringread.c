// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * ringread.c: see ringread.h. The layout is the kernel's (kernel/bpf/ringbuf.c,
 * unchanged since 5.8): a page with the consumer position, one with the
 * producer position, the data mapped twice so that a slot that wraps around is
 * contiguous. Each slot starts with 8 bytes: length with BUSY and DISCARD bits,
 * and an offset of no interest here.
 */
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <linux/bpf.h>
#include <bpf/bpf.h>
#include "lento/ringread.h"

#define SLOT_BUSY	(1u << 31)
#define SLOT_DISCARD	(1u << 30)
#define SLOT_HEAD	8u

int ringread_init(struct ringread *r, int map_fd)
{
	struct bpf_map_info info = {};
	uint32_t len = sizeof(info);
	size_t page = sysconf(_SC_PAGESIZE);
	void *rw, *ro;

	if (bpf_obj_get_info_by_fd(map_fd, &info, &len))
		return -errno;
	rw = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, map_fd, 0);
	if (rw == MAP_FAILED)
		return -errno;
	ro = mmap(NULL, page + 2 * (size_t)info.max_entries, PROT_READ, MAP_SHARED,
		  map_fd, page);
	if (ro == MAP_FAILED) {
		int e = -errno;

		munmap(rw, page);
		return e;
	}
	r->size = info.max_entries;
	r->map_rw = r->consumer = rw;
	r->map_ro = ro;
	r->producer = ro;
	r->data = (const uint8_t *)ro + page;
	return 0;
}

void ringread_done(struct ringread *r)
{
	size_t page = sysconf(_SC_PAGESIZE);

	if (!r->map_rw)
		return;
	munmap(r->map_rw, page);
	munmap(r->map_ro, page + 2 * r->size);
	memset(r, 0, sizeof(*r));
}

uint64_t ringread_start(const struct ringread *r)
{
	return __atomic_load_n(r->consumer, __ATOMIC_RELAXED);
}

uint64_t ringread_newest(const struct ringread *r)
{
	return __atomic_load_n(r->producer, __ATOMIC_ACQUIRE);
}

uint64_t ringread_used(const struct ringread *r)
{
	return ringread_newest(r) - ringread_start(r);
}

static uint32_t head_at(const struct ringread *r, uint64_t pos)
{
	const uint32_t *head = (const uint32_t *)(r->data + (pos & (r->size - 1)));

	return __atomic_load_n(head, __ATOMIC_ACQUIRE);
}

static uint64_t step(uint32_t head)
{
	uint32_t len = head & ~(SLOT_BUSY | SLOT_DISCARD);

	return (len + SLOT_HEAD + 7) & ~7ull;
}

uint64_t ringread_end(const struct ringread *r)
{
	uint64_t pos = ringread_start(r), newest = ringread_newest(r);

	while (pos < newest) {
		uint32_t head = head_at(r, pos);

		if (head & SLOT_BUSY)
			break;
		pos += step(head);
	}
	return pos;
}

const void *ringread_next(const struct ringread *r, uint64_t *pos, uint32_t *ret_len)
{
	uint64_t at = *pos;
	uint32_t head = head_at(r, at);

	*pos += step(head);
	if (head & SLOT_DISCARD)
		return NULL;
	*ret_len = head & ~(SLOT_BUSY | SLOT_DISCARD);
	return r->data + (at & (r->size - 1)) + SLOT_HEAD;
}

void ringread_release(struct ringread *r, uint64_t pos)
{
	__atomic_store_n(r->consumer, pos, __ATOMIC_RELEASE);
}
