// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * codec.c: takes records apart and puts them together, and nothing else does.
 * Enters: bytes of a ring, a journal or a peer, or the parts of a record that
 * lento makes. Leaves: a checked record, or -EBADMSG and a text that says why.
 *
 * What must always hold: after record_check() every length in the record stays
 * inside its len bytes, every name is one path component, every TLV and range
 * lies whole in data. One table says which kind carries which parts; a part
 * that a kind does not carry is empty, so that nobody meets surprises later.
 */
#define XXH_STATIC_LINKING_ONLY		/* XXH3_state_t on the stack */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>
#include "lib/codec.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
	       "the record layout is used in place: little-endian hosts only");
_Static_assert(IZO_RECORD_MAX % 8 == 0, "the longest record is padded");

enum name_rule { NAME_NO, NAME_ENTRY, NAME_MAYBE, NAME_XATTR, NAME_ACL };
enum data_rule {
	DATA_NO, DATA_TARGET, DATA_MAYBE_TARGET, DATA_BYTES, DATA_TLV,
	DATA_RANGES,
};

static const struct rule {
	const char *kind;
	enum name_rule name, name2;
	enum data_rule data;
} rules[IZO_KIND_MAX] = {
	[IZO_CREATE]	= { "create",	NAME_ENTRY, NAME_NO, DATA_TLV },
	[IZO_MKDIR]	= { "mkdir",	NAME_ENTRY, NAME_NO, DATA_TLV },
	[IZO_MKNOD]	= { "mknod",	NAME_ENTRY, NAME_NO, DATA_TLV },
	[IZO_SYMLINK]	= { "symlink",	NAME_ENTRY, NAME_NO, DATA_TARGET },
	[IZO_LINK]	= { "link",	NAME_ENTRY, NAME_NO, DATA_NO },
	[IZO_UNLINK]	= { "unlink",	NAME_ENTRY, NAME_NO, DATA_NO },
	[IZO_RMDIR]	= { "rmdir",	NAME_ENTRY, NAME_NO, DATA_NO },
	[IZO_RENAME]	= { "rename",	NAME_ENTRY, NAME_ENTRY, DATA_NO },
	[IZO_TMPFILE]	= { "tmpfile",	NAME_NO, NAME_NO, DATA_TLV },
	[IZO_SETATTR]	= { "setattr",	NAME_NO, NAME_NO, DATA_NO },
	[IZO_XATTR]	= { "xattr",	NAME_XATTR, NAME_NO, DATA_BYTES },
	[IZO_ACL]	= { "acl",	NAME_ACL, NAME_NO, DATA_BYTES },
	[IZO_FILEATTR]	= { "fileattr",	NAME_NO, NAME_NO, DATA_NO },
	[IZO_FALLOC]	= { "falloc",	NAME_NO, NAME_NO, DATA_NO },
	[IZO_REMAP]	= { "remap",	NAME_NO, NAME_NO, DATA_NO },
	[IZO_CLOSE]	= { "close",	NAME_NO, NAME_NO, DATA_NO },
	[IZO_FSYNC]	= { "fsync",	NAME_NO, NAME_NO, DATA_NO },
	[IZO_SYNCFS]	= { "syncfs",	NAME_NO, NAME_NO, DATA_NO },
	[IZO_OPENW]	= { "openw",	NAME_NO, NAME_NO, DATA_NO },
	[IZO_RESCAN]	= { "rescan",	NAME_MAYBE, NAME_NO, DATA_NO },
	[IZO_DIRTY]	= { "dirty",	NAME_NO, NAME_NO, DATA_RANGES },
	[IZO_DUE]	= { "due",	NAME_NO, NAME_NO, DATA_RANGES },
	[IZO_BORDER]	= { "border",	NAME_NO, NAME_NO, DATA_NO },
	[IZO_IMPORT]	= { "import",	NAME_ENTRY, NAME_NO, DATA_NO },
	[IZO_EXPEL]	= { "expel",	NAME_ENTRY, NAME_NO, DATA_NO },
	[IZO_GAP]	= { "gap",	NAME_NO, NAME_NO, DATA_NO },
	[IZO_PAD]	= { "pad",	NAME_NO, NAME_NO, DATA_NO },
	[IZO_ENTRY]	= { "entry",	NAME_MAYBE, NAME_NO, DATA_MAYBE_TARGET },
};

#define FLAGS_KNOWN	(IZO_F_ORIGIN | IZO_F_NAME_CUT | IZO_F_TREE | IZO_F_AS_BASE)

const char *kind_name(unsigned kind)
{
	return kind < IZO_KIND_MAX && rules[kind].kind ? rules[kind].kind : "?";
}

static size_t padded(size_t len)
{
	return (len + 7) & ~(size_t)7;
}

static const char *check_entry(const char *name, unsigned len)
{
	if (memchr(name, '/', len))
		return "name with a slash";
	if (memchr(name, 0, len))
		return "name with a NUL";
	if ((len == 1 && name[0] == '.') ||
	    (len == 2 && name[0] == '.' && name[1] == '.'))
		return "name is . or ..";
	return NULL;
}

static const char *check_acl_name(const char *name, unsigned len)
{
	static const char access[] = "system.posix_acl_access";
	static const char deflt[] = "system.posix_acl_default";

	if (len == sizeof(access) - 1 && !memcmp(name, access, len))
		return NULL;
	if (len == sizeof(deflt) - 1 && !memcmp(name, deflt, len))
		return NULL;
	return "ACL name is neither access nor default";
}

/* A cut record keeps what fitted, possibly nothing: it only names its obj. */
static const char *check_name(enum name_rule rule, const char *name,
			      unsigned len, bool cut)
{
	if (rule == NAME_NO)
		return len ? "name where the kind has none" : NULL;
	if (!len)
		return rule == NAME_MAYBE || cut ? NULL : "name is missing";
	if (rule == NAME_XATTR || rule == NAME_ACL) {
		if (memchr(name, 0, len))
			return "name with a NUL";
		return rule == NAME_ACL && !cut ? check_acl_name(name, len) : NULL;
	}
	return check_entry(name, len);
}

static const char *check_tlvs(const struct izo_record *r)
{
	const unsigned char *p = record_data(r);
	size_t left = r->data_len;
	struct izo_tlv t;

	while (left) {
		if (left < sizeof(t))
			return "TLV header cut short";
		memcpy(&t, p, sizeof(t));
		if (t.zero)
			return "TLV header not zero where it must be";
		if (t.type != IZO_TLV_ACL_ACCESS && t.type != IZO_TLV_ACL_DEFAULT)
			return "TLV of unknown type";
		if (t.len > left - sizeof(t))
			return "TLV longer than the data";
		p += sizeof(t) + t.len;
		left -= sizeof(t) + t.len;
	}
	return NULL;
}

static const char *check_ranges(const struct izo_record *r)
{
	unsigned i;

	if (r->data_len % sizeof(struct izo_range))
		return "range cut short";
	for (i = 0; i < record_nranges(r); i++) {
		struct izo_range range = record_range(r, i);

		if (range.off >= range.end)
			return "range that is empty or turned round";
	}
	return NULL;
}

static const char *check_target(const struct izo_record *r, bool must)
{
	if (!r->data_len)
		return must ? "symlink without a target" : NULL;
	if (r->data_len > IZO_SYMLINK_MAX)
		return "symlink target too long";
	if (memchr(record_data(r), 0, r->data_len))
		return "symlink target with a NUL";
	return NULL;
}

static const char *check_data(const struct izo_record *r, enum data_rule rule,
			      bool cut)
{
	switch (rule) {
	case DATA_NO:
		return r->data_len ? "data where the kind has none" : NULL;
	case DATA_TARGET:
		return check_target(r, !cut);
	case DATA_MAYBE_TARGET:
		return check_target(r, false);
	case DATA_TLV:
		return check_tlvs(r);
	case DATA_RANGES:
		return check_ranges(r);
	case DATA_BYTES:
		return NULL;
	}
	return "kind without a rule";
}

static const char *check_bounds(const struct izo_record *r)
{
	size_t used = IZO_RECORD_FIXED + r->name_len + r->name2_len + r->data_len;
	const unsigned char *p = (const unsigned char *)r;

	if (r->name_len > IZO_NAME_MAX || r->name2_len > IZO_NAME_MAX)
		return "name too long";
	if (r->data_len > IZO_DATA_MAX)
		return "data too long";
	if (padded(used) != r->len)
		return "parts do not add up to the length";
	for (; used < r->len; used++)
		if (p[used])
			return "padding is not zero";
	return NULL;
}

static const char *check_parts(const struct izo_record *r)
{
	bool cut = r->flags & IZO_F_NAME_CUT;
	const struct rule *rule;
	const char *why;

	if (r->kind >= IZO_KIND_MAX || !rules[r->kind].kind)
		return "unknown kind";
	if (r->flags & ~FLAGS_KNOWN)
		return "unknown flag";
	why = check_bounds(r);
	if (why)
		return why;
	rule = &rules[r->kind];
	why = check_name(rule->name, record_name(r), r->name_len, cut);
	if (!why)
		why = check_name(rule->name2, record_name2(r), r->name2_len, cut);
	return why ? why : check_data(r, rule->data, cut);
}

/* The length decides everything else, so it is looked at first and alone. */
static const char *check_len(const void *buf, uint32_t len)
{
	if ((uintptr_t)buf % 8)
		return "record not at a multiple of 8";
	if (len < IZO_RECORD_FIXED)
		return "length below the fixed part";
	if (len > IZO_RECORD_MAX)
		return "length over the limit";
	if (len % 8)
		return "length not a multiple of 8";
	return NULL;
}

int record_check(const void *buf, size_t avail, const struct izo_record **ret,
		 const char **ret_why)
{
	const char *why;
	uint32_t len;

	if (avail < sizeof(len))
		return -EAGAIN;
	memcpy(&len, buf, sizeof(len));
	why = check_len(buf, len);
	if (!why && len > avail)
		return -EAGAIN;
	if (!why)
		why = check_parts(buf);
	if (why) {
		if (ret_why)
			*ret_why = why;
		return -EBADMSG;
	}
	*ret = buf;
	return 0;
}

uint64_t record_sum(const struct izo_record *r)
{
	struct izo_record fixed;
	XXH3_state_t state;

	memcpy(&fixed, r, sizeof(fixed));
	fixed.sum = 0;
	fixed.chain = 0;
	XXH3_64bits_reset(&state);
	XXH3_64bits_update(&state, &fixed, sizeof(fixed));
	XXH3_64bits_update(&state, r->var, r->len - IZO_RECORD_FIXED);
	return XXH3_64bits_digest(&state);
}

uint64_t record_chain(uint64_t prev_chain, uint64_t sum)
{
	uint64_t both[2] = { prev_chain, sum };

	return XXH3_64bits(both, sizeof(both));
}

void record_seal(struct izo_record *r, uint64_t seq, uint64_t *chain)
{
	r->seq = seq;
	r->sum = 0;
	r->chain = 0;
	r->sum = XXH3_64bits(r, r->len);
	r->chain = *chain = record_chain(*chain, r->sum);
}

bool record_sealed(const struct izo_record *r, uint64_t prev_chain)
{
	return r->chain == record_chain(prev_chain, r->sum) &&
	       r->sum == record_sum(r);
}

struct izo_range record_range(const struct izo_record *r, unsigned i)
{
	struct izo_range range;

	memcpy(&range, record_data(r) + i * sizeof(range), sizeof(range));
	return range;
}

void record_name_str(const char *name, unsigned len, char *ret)
{
	if (len > IZO_NAME_MAX)
		len = IZO_NAME_MAX;
	memcpy(ret, name, len);
	ret[len] = 0;
}

struct izo_record *record_new(enum izo_kind kind, const void *name,
			      unsigned name_len, const void *name2,
			      unsigned name2_len, const void *data,
			      unsigned data_len)
{
	struct izo_record *r;
	size_t len;

	if (name_len > IZO_NAME_MAX || name2_len > IZO_NAME_MAX ||
	    data_len > IZO_DATA_MAX)
		return NULL;
	len = padded(IZO_RECORD_FIXED + name_len + name2_len + data_len);
	r = calloc(1, len);
	if (!r)
		return NULL;
	r->len = len;
	r->kind = kind;
	r->name_len = name_len;
	r->name2_len = name2_len;
	r->data_len = data_len;
	if (name_len)
		memcpy(r->var, name, name_len);
	if (name2_len)
		memcpy(r->var + name_len, name2, name2_len);
	if (data_len)
		memcpy(r->var + name_len + name2_len, data, data_len);
	return r;
}

bool record_tlv(const struct izo_record *r, size_t *it, struct izo_tlv *ret,
		const unsigned char **ret_value)
{
	const unsigned char *p = record_data(r) + *it;

	if (r->data_len - *it < sizeof(*ret))
		return false;
	memcpy(ret, p, sizeof(*ret));
	*ret_value = p + sizeof(*ret);
	*it += sizeof(*ret) + ret->len;
	return true;
}
