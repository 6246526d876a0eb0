// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * capture_copy.c: see capture_copy.h.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <bpf/bpf.h>
#include "lento/capture_copy.h"
#include "lib/codec.h"
#include "lib/log.h"

#define SHOWN	64	/* bytes of a record that makes no sense */

#define ACL_USER	0x02
#define ACL_GROUP	0x08
#define ACL_NO_ID	0xffffffffu

struct acl_entry {
	uint16_t tag, perm;
	uint32_t id;
};

/* The kernel leaves the id of entries that have none as it was. */
static void acl_final(uint8_t *value, size_t len)
{
	for (size_t at = 4; at + sizeof(struct acl_entry) <= len;
	     at += sizeof(struct acl_entry)) {
		struct acl_entry e;

		memcpy(&e, value + at, sizeof(e));
		if (e.tag != ACL_USER && e.tag != ACL_GROUP)
			e.id = ACL_NO_ID;
		memcpy(value + at, &e, sizeof(e));
	}
}

static void tlvs_final(uint8_t *data, size_t len)
{
	size_t at = 0;

	while (at + sizeof(struct izo_tlv) <= len) {
		struct izo_tlv t;

		memcpy(&t, data + at, sizeof(t));
		at += sizeof(t);
		if (t.len > len - at)
			return;
		acl_final(data + at, t.len);
		at += t.len;
	}
}

static void finish(struct izo_record *r)
{
	uint8_t *data = r->var + r->name_len + r->name2_len;

	switch (r->kind) {
	case IZO_ACL:
		acl_final(data, r->data_len);
		break;
	case IZO_CREATE: case IZO_MKDIR: case IZO_MKNOD: case IZO_TMPFILE:
		tlvs_final(data, r->data_len);
		break;
	}
}

static bool sane(const struct izo_record *r, uint32_t slot)
{
	uint64_t var;

	if (slot < IZO_RECORD_FIXED || r->len < IZO_RECORD_FIXED || r->len > slot ||
	    r->len % 8 || !r->kind || r->kind >= IZO_DIRTY)
		return false;
	var = (uint64_t)r->name_len + r->name2_len + r->data_len;
	return var <= r->len - IZO_RECORD_FIXED;
}

/* What there is to find the program's mistake by. */
static void tell(const struct izo_record *r, uint32_t slot, const char *why)
{
	char hex[2 * SHOWN + 1] = "";

	for (uint32_t i = 0; i < SHOWN && IZO_RECORD_FIXED + i < slot; i++)
		sprintf(hex + 2 * i, "%02x", r->var[i]);
	log_err("a record from the kernel makes no sense: %s: slot of %u bytes, %s (%u), "
		"length %u, parts %u, %u, %u, flags %x, by %.16s: %s", why, slot,
		kind_name(r->kind), r->kind, r->len, r->name_len, r->name2_len,
		r->data_len, r->flags, r->comm, hex);
}

static int room_for(struct copy *c, size_t more)
{
	size_t room = c->room ? c->room : 65536;
	uint8_t *p;

	while (room < c->used + more)
		room *= 2;
	if (room == c->room)
		return 0;
	p = realloc(c->buf, room);
	if (!p)
		return -ENOMEM;
	c->buf = p;
	c->room = room;
	return 0;
}

/* The copy of the slot's record at c->buf + c->used. 0; 1: it makes no sense. */
static int take(struct copy *c, const struct izo_record *rec, uint32_t slot)
{
	struct izo_record *to;
	const struct izo_record *checked;
	const char *why = "its lengths do not fit";
	int e;

	if (!sane(rec, slot)) {
		if (slot >= IZO_RECORD_FIXED)
			tell(rec, slot, why);
		return 1;
	}
	e = room_for(c, rec->len);
	if (e)
		return e;
	to = (struct izo_record *)(c->buf + c->used);
	memcpy(to, rec, rec->len);
	finish(to);
	if (record_check(to, to->len, &checked, &why)) {
		tell(to, slot, why);
		return 1;
	}
	c->used += to->len;
	ringseq_seen(&c->seq, to->ring_seq);
	return 0;
}

int copy_ring(struct copy *c, const struct ringread *r, uint64_t end)
{
	uint64_t pos = ringread_start(r);

	c->used = 0;
	c->broken = 0;
	while (pos < end) {
		uint32_t slot = 0;
		const struct izo_record *rec = ringread_next(r, &pos, &slot);
		int e;

		if (!rec)
			continue;
		e = take(c, rec, slot);
		if (e < 0)
			return e;
		c->broken += e;
	}
	return 0;
}

void copy_done(struct copy *c)
{
	free(c->buf);
	ringseq_done(&c->seq);
	memset(c, 0, sizeof(*c));
}

int copy_lost(int lost_fd, struct dirtymap *d)
{
	struct izo_fid key, *prev = NULL;

	while (!bpf_map_get_next_key(lost_fd, prev, &key)) {
		int r = dirtymap_add(d, &key);

		if (r)
			return r;
		prev = &key;
	}
	return 0;
}

/* An entry that a program widens in this moment may go with its new bits:
 * they add to the count of dropped records, which tells of a gap by itself. */
void copy_lost_clear(int lost_fd)
{
	struct izo_fid key;

	while (!bpf_map_get_next_key(lost_fd, NULL, &key))
		if (bpf_map_delete_elem(lost_fd, &key))
			break;
}
