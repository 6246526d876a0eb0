/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * wire.c: which frames there are, and which sizes and flags each may have.
 * Enters: a header and a payload from a peer. Leaves: yes, or a text why not.
 * What must always hold: nothing is allocated for a frame and nobody sees its
 * payload before it was checked here.
 */
#define XXH_STATIC_LINKING_ONLY		/* the hash state on the stack */
#include "lento/wire.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <xxhash.h>

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "wire integers are LE");
static_assert(sizeof(struct wire_header) == 16, "wire_header");
static_assert(sizeof(struct wire_hello) == 88, "wire_hello");
static_assert(sizeof(struct wire_attach) == 136, "wire_attach");
static_assert(sizeof(struct wire_attached) == 64, "wire_attached");
static_assert(sizeof(struct wire_list) == 32, "wire_list");
static_assert(sizeof(struct wire_want) == 56, "wire_want");
static_assert(sizeof(struct wire_data) == 48, "wire_data");
static_assert(sizeof(struct wire_batch) == 48, "wire_batch");
static_assert(sizeof(struct wire_ack) == 56, "wire_ack");

struct rule {
	const char *name;
	uint32_t min, max;
	uint32_t unit;		/* of the bytes above min */
	uint16_t flags;
	bool link;		/* speaks for the link: channel 0 only */
};

#define EXACT(s)	sizeof(s), sizeof(s), 1
#define BOTH		(WIRE_F_LAST | WIRE_F_ANSWER)

static const struct rule rules[WIRE_TYPE_MAX] = {
	/* A later version's HELLO may be longer, another major's shorter. */
	[WIRE_HELLO] = { "HELLO", 8, 4096, 1, 0, true },
	[WIRE_PING] = { "PING", 0, 0, 1, 0, true },
	[WIRE_PONG] = { "PONG", 0, 0, 1, 0, true },
	[WIRE_BYE] = { "BYE", 0, WIRE_TEXT_MAX, 1, 0, true },
	[WIRE_ATTACH] = { "ATTACH", EXACT(struct wire_attach), 0, false },
	[WIRE_ATTACHED] = { "ATTACHED", EXACT(struct wire_attached), 0, false },
	[WIRE_REFUSED] = { "REFUSED", 0, WIRE_TEXT_MAX, 1, 0, false },
	[WIRE_LIST] = { "LIST", EXACT(struct wire_list), 0, false },
	[WIRE_ENTRIES] = { "ENTRIES", sizeof(struct wire_answer), WIRE_PAYLOAD_MAX,
			   8, BOTH, false },
	[WIRE_WANT] = { "WANT", EXACT(struct wire_want), 0, false },
	[WIRE_STREAM] = { "STREAM", EXACT(struct wire_stream), 0, false },
	[WIRE_BATCH] = { "BATCH", EXACT(struct wire_batch), 0, false },
	[WIRE_HOLLOW] = { "HOLLOW", 0, WIRE_PAYLOAD_MAX, sizeof(struct izo_fid), 0,
			  false },
	[WIRE_DATA] = { "DATA", sizeof(struct wire_data),
			sizeof(struct wire_data) + WIRE_DATA_MAX, 1, BOTH, false },
	[WIRE_HOLE] = { "HOLE", EXACT(struct wire_data), BOTH, false },
	[WIRE_DATA_END] = { "DATA_END", EXACT(struct wire_data_end), BOTH, false },
	[WIRE_RECORDS] = { "RECORDS", 0, WIRE_PAYLOAD_MAX, 8, 0, false },
	[WIRE_WITHHOLD] = { "WITHHOLD", IZO_RECORD_FIXED,
			    IZO_RECORD_FIXED + IZO_NAME_MAX + 1, 8, 0, false },
	[WIRE_BATCH_END] = { "BATCH_END", EXACT(struct izo_pos), 0, false },
	[WIRE_ACK] = { "ACK", EXACT(struct wire_ack), 0, false },
	[WIRE_CREDIT] = { "CREDIT", EXACT(izo_le64), WIRE_F_ANSWER, false },
};

const char *wire_type_name(unsigned type)
{
	return type < WIRE_TYPE_MAX && rules[type].name ? rules[type].name : "?";
}

static int bad(const char **ret_why, const char *why)
{
	*ret_why = why;
	return -EBADMSG;
}

int wire_check_header(const struct wire_header *h, const char **ret_why)
{
	const struct rule *r;

	if (h->len > WIRE_PAYLOAD_MAX)
		return bad(ret_why, "oversized frame");
	if (h->type >= WIRE_TYPE_MAX || !rules[h->type].name)
		return bad(ret_why, "frame of unknown type");
	r = &rules[h->type];
	if (h->len < r->min || h->len > r->max || (h->len - r->min) % r->unit)
		return bad(ret_why, "frame of a wrong length for its type");
	if (h->flags & ~r->flags || h->zero)
		return bad(ret_why, "frame with unknown flags");
	if (r->link && h->channel)
		return bad(ret_why, "link frame on a channel");
	return 0;
}

static uint64_t seed(const struct wire_header *h)
{
	return h->len | (uint64_t)h->type << 32 | (uint64_t)(h->flags & 0xff) << 40 |
	       (uint64_t)h->channel << 48;
}

int wire_check_payload(const struct wire_header *h, const void *payload,
		       const char **ret_why)
{
	const struct wire_data *d = payload;

	if ((uint32_t)XXH3_64bits_withSeed(payload, h->len, seed(h)) != h->sum)
		return bad(ret_why, "checksum of a frame is wrong");
	if (h->type == WIRE_DATA && d->len != h->len - sizeof(*d))
		return bad(ret_why, "DATA's length is not that of its bytes");
	if (h->type == WIRE_DATA || h->type == WIRE_HOLE)
		if (d->off > INT64_MAX || d->len > INT64_MAX - d->off)
			return bad(ret_why, "file range out of bounds");
	return 0;
}

static uint32_t sum_iov(const struct wire_header *h, const struct iovec *iov, int n)
{
	XXH3_state_t state;

	if (n == 0)
		return (uint32_t)XXH3_64bits_withSeed(NULL, 0, seed(h));
	if (n == 1)
		return (uint32_t)XXH3_64bits_withSeed(iov->iov_base, iov->iov_len,
						      seed(h));
	XXH3_INITSTATE(&state);
	XXH3_64bits_reset_withSeed(&state, seed(h));
	for (int i = 0; i < n; i++)
		XXH3_64bits_update(&state, iov[i].iov_base, iov[i].iov_len);
	return (uint32_t)XXH3_64bits_digest(&state);
}

int wire_header_init(struct wire_header *h, enum wire_type type, unsigned flags,
		     unsigned channel, const struct iovec *iov, int n)
{
	const char *why;
	size_t len = 0;

	for (int i = 0; i < n; i++)
		len += iov[i].iov_len;
	if (len > WIRE_PAYLOAD_MAX)
		return -EMSGSIZE;
	*h = (struct wire_header){
		.len = (uint32_t)len,
		.type = (uint16_t)type,
		.flags = (uint16_t)flags,
		.channel = (uint16_t)channel,
	};
	if (wire_check_header(h, &why) < 0)
		return -EMSGSIZE;
	h->sum = sum_iov(h, iov, n);
	return 0;
}
