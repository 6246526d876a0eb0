/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * codec.h: the only place that takes records apart and puts them together.
 * Bytes from a ring, a journal or a peer enter; checked records leave. After
 * record_check() every accessor is safe on that record.
 */
#ifndef LIB_CODEC_H
#define LIB_CODEC_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include "intermezzo/record.h"

/* The record at buf, of which avail bytes are there. Checks len, kind, the
 * variable parts' bounds, names ('/', NUL, ".", "..", length), TLVs and ranges.
 * 0; -EAGAIN when it is longer than avail; -EBADMSG with *ret_why (if not NULL)
 * set to a static text. buf lies at a multiple of 8. A record with
 * IZO_F_NAME_CUT may have empty or shortened parts. */
int record_check(const void *buf, size_t avail, const struct izo_record **ret,
		 const char **ret_why);

uint64_t record_sum(const struct izo_record *r);
uint64_t record_chain(uint64_t prev_chain, uint64_t sum);
/* Sets seq, sum and chain; *chain is the chain before and after. */
void record_seal(struct izo_record *r, uint64_t seq, uint64_t *chain);
/* Does sum match and chain follow prev_chain? */
bool record_sealed(const struct izo_record *r, uint64_t prev_chain);

static inline const char *record_name(const struct izo_record *r)
{
	return (const char *)r->var;
}
static inline const char *record_name2(const struct izo_record *r)
{
	return (const char *)r->var + r->name_len;
}
static inline const unsigned char *record_data(const struct izo_record *r)
{
	return r->var + r->name_len + r->name2_len;
}
/* DIRTY and DUE: the ranges, copied out since data may lie unaligned. */
static inline unsigned record_nranges(const struct izo_record *r)
{
	return r->data_len / sizeof(struct izo_range);
}
struct izo_range record_range(const struct izo_record *r, unsigned i);

/* Name without NUL as a C string in a buffer of IZO_NAME_MAX + 1. */
void record_name_str(const char *name, unsigned len, char *ret);

/* A zeroed record of that kind with its variable parts filled and len set;
 * the caller frees it. NULL: no memory, or a part over its limit. */
struct izo_record *record_new(enum izo_kind kind, const void *name,
			      unsigned name_len, const void *name2,
			      unsigned name2_len, const void *data,
			      unsigned data_len);

/* Next TLV of r's data: *it starts at 0. False at the end. */
bool record_tlv(const struct izo_record *r, size_t *it, struct izo_tlv *ret,
		const unsigned char **ret_value);

static inline bool fid_eq(const struct izo_fid *a, const struct izo_fid *b)
{
	return a->ino == b->ino && a->gen == b->gen && a->subvol == b->subvol;
}
static inline bool fid_none(const struct izo_fid *a)
{
	return !a->ino;
}

const char *kind_name(unsigned kind);		/* "rename"; "?" if unknown */
/* One line for people: `inconfig log`. */
void record_print(FILE *out, const struct izo_record *r);
/* The same as one line of JSON; a name that is not UTF-8 is "name_hex". */
void record_print_json(FILE *out, const struct izo_record *r);

#endif
