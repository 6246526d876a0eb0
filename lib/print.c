// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * print.c: a record as a line for people and as a line of JSON. Enters: a
 * record that record_check() passed. Leaves: one line on a stream.
 *
 * What must always hold: nothing that a file name or a command name holds can
 * break out of its quotes, move the cursor or end the line; what is printed in
 * JSON is valid UTF-8 whatever the name is (name_hex where it is not).
 */
#include <inttypes.h>
#include <string.h>
#include "lib/codec.h"

/* Length of the UTF-8 sequence at p, 0 when it is none. */
static unsigned utf8_len(const unsigned char *p, size_t left)
{
	unsigned n = p[0] < 0x80 ? 1 : p[0] >= 0xc2 && p[0] < 0xe0 ? 2 :
		     (p[0] & 0xf0) == 0xe0 ? 3 : p[0] >= 0xf0 && p[0] < 0xf5 ? 4 : 0;
	unsigned i;

	if (!n || n > left)
		return 0;
	for (i = 1; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] >= 0xa0) ||
	    (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] >= 0x90))
		return 0;
	return n;
}

static bool utf8_valid(const void *text, size_t len)
{
	const unsigned char *p = text;
	size_t i = 0;

	while (i < len) {
		unsigned n = utf8_len(p + i, len - i);

		if (!n)
			return false;
		i += n;
	}
	return true;
}

static void put_quoted(FILE *out, const void *text, size_t len)
{
	const unsigned char *p = text;
	size_t i;

	fputc('"', out);
	for (i = 0; i < len; i++) {
		if (p[i] == '"' || p[i] == '\\')
			fprintf(out, "\\%c", p[i]);
		else if (p[i] < 0x20 || p[i] >= 0x7f)
			fprintf(out, "\\x%02x", p[i]);
		else
			fputc(p[i], out);
	}
	fputc('"', out);
}

static void put_fid(FILE *out, const char *what, const struct izo_fid *f)
{
	if (fid_none(f))
		return;
	fprintf(out, "%s%" PRIu64 ".%" PRIu32, what, (uint64_t)f->ino, f->gen);
	if (f->subvol)
		fprintf(out, "@%" PRIu64, (uint64_t)f->subvol);
}

static void put_place(FILE *out, const char *what, const struct izo_fid *dir,
		      const char *name, unsigned len)
{
	if (fid_none(dir) && !len)
		return;
	fputs(what, out);
	put_fid(out, "", dir);
	fputc('/', out);
	put_quoted(out, name, len);
}

static void put_ranges(FILE *out, const struct izo_record *r)
{
	unsigned i;

	for (i = 0; i < record_nranges(r); i++) {
		struct izo_range g = record_range(r, i);

		if (g.end == IZO_TO_EOF)
			fprintf(out, " %" PRIu64 "-end", (uint64_t)g.off);
		else
			fprintf(out, " %" PRIu64 "-%" PRIu64, (uint64_t)g.off,
				(uint64_t)g.end);
	}
}

static void put_data(FILE *out, const struct izo_record *r)
{
	switch (r->kind) {
	case IZO_DIRTY:
	case IZO_DUE:
		put_ranges(out, r);
		break;
	case IZO_SYMLINK:
	case IZO_ENTRY:
		if (r->data_len) {
			fputs(" -> ", out);
			put_quoted(out, record_data(r), r->data_len);
		}
		break;
	default:
		if (r->data_len)
			fprintf(out, " data=%" PRIu32, r->data_len);
	}
}

static void put_attr(FILE *out, const struct izo_attr *a)
{
	if (!a->mode)
		return;
	fprintf(out, " mode=%06o owner=%" PRIu32 ":%" PRIu32 " nlink=%" PRIu32
		" size=%" PRIu64, a->mode, a->uid, a->gid, a->nlink,
		(uint64_t)a->size);
	if (a->rdev)
		fprintf(out, " rdev=%" PRIx32, a->rdev);
}

static size_t comm_len(const struct izo_record *r)
{
	return strnlen(r->comm, sizeof(r->comm));
}

void record_print(FILE *out, const struct izo_record *r)
{
	fprintf(out, "%" PRIu64 " %s", (uint64_t)r->seq, kind_name(r->kind));
	put_fid(out, " ", &r->obj);
	put_place(out, " ", &r->dir, record_name(r), r->name_len);
	if (r->kind == IZO_RENAME)
		put_place(out, " -> ", &r->dir2, record_name2(r), r->name2_len);
	put_fid(out, " victim=", &r->victim);
	put_data(out, r);
	if (r->op_flags)
		fprintf(out, " op=%" PRIx32, r->op_flags);
	if (r->off || r->count)
		fprintf(out, " off=%" PRIu64 " count=%" PRId64, (uint64_t)r->off,
			(int64_t)r->count);
	put_attr(out, &r->attr);
	if (r->flags)
		fprintf(out, "%s%s%s", r->flags & IZO_F_ORIGIN ? " origin" : "",
			r->flags & IZO_F_NAME_CUT ? " cut" : "",
			r->flags & IZO_F_TREE ? " tree" : "");
	if (r->origin_seq)
		fprintf(out, " from=%" PRIu32 ":%" PRIu64, r->origin_peer,
			(uint64_t)r->origin_seq);
	if (comm_len(r)) {
		fprintf(out, " by=%" PRIu32 ":%" PRIu32 ":", r->who, r->pid);
		put_quoted(out, r->comm, comm_len(r));
	}
	fprintf(out, " t=%" PRIu64 ".%06" PRIu64 "\n",
		(uint64_t)r->clock_ns / 1000000000u,
		(uint64_t)r->clock_ns / 1000u % 1000000u);
}

static void json_text(FILE *out, const char *key, const void *text, size_t len)
{
	const unsigned char *p = text;
	size_t i;

	if (!utf8_valid(p, len)) {
		fprintf(out, ",\"%s_hex\":\"", key);
		for (i = 0; i < len; i++)
			fprintf(out, "%02x", p[i]);
		fputc('"', out);
		return;
	}
	fprintf(out, ",\"%s\":\"", key);
	for (i = 0; i < len; i++) {
		if (p[i] == '"' || p[i] == '\\')
			fprintf(out, "\\%c", p[i]);
		else if (p[i] < 0x20 || p[i] == 0x7f)
			fprintf(out, "\\u%04x", p[i]);
		else
			fputc(p[i], out);
	}
	fputc('"', out);
}

static void json_fid(FILE *out, const char *key, const struct izo_fid *f)
{
	if (!fid_none(f))
		fprintf(out, ",\"%s\":{\"ino\":%" PRIu64 ",\"gen\":%" PRIu32
			",\"subvol\":%" PRIu64 "}", key, (uint64_t)f->ino,
			f->gen, (uint64_t)f->subvol);
}

static void json_attr(FILE *out, const struct izo_attr *a)
{
	if (!a->mode)
		return;
	fprintf(out, ",\"attr\":{\"mode\":%u,\"uid\":%" PRIu32 ",\"gid\":%" PRIu32
		",\"nlink\":%" PRIu32 ",\"rdev\":%" PRIu32 ",\"size\":%" PRIu64
		",\"mtime\":%" PRId64 ",\"mtime_ns\":%" PRIu32 "}", a->mode,
		a->uid, a->gid, a->nlink, a->rdev, (uint64_t)a->size,
		(int64_t)a->mtime.sec, a->mtime.nsec);
}

static void json_ranges(FILE *out, const struct izo_record *r)
{
	unsigned i;

	fputs(",\"ranges\":[", out);
	for (i = 0; i < record_nranges(r); i++) {
		struct izo_range g = record_range(r, i);

		fprintf(out, "%s[%" PRIu64 ",%" PRIu64 "]", i ? "," : "",
			(uint64_t)g.off, (uint64_t)g.end);
	}
	fputc(']', out);
}

void record_print_json(FILE *out, const struct izo_record *r)
{
	fprintf(out, "{\"seq\":%" PRIu64 ",\"kind\":\"%s\"", (uint64_t)r->seq,
		kind_name(r->kind));
	json_fid(out, "obj", &r->obj);
	json_fid(out, "dir", &r->dir);
	if (r->name_len)
		json_text(out, "name", record_name(r), r->name_len);
	json_fid(out, "dir2", &r->dir2);
	if (r->name2_len)
		json_text(out, "name2", record_name2(r), r->name2_len);
	json_fid(out, "victim", &r->victim);
	if (r->kind == IZO_DIRTY || r->kind == IZO_DUE)
		json_ranges(out, r);
	else if (r->kind == IZO_SYMLINK || r->kind == IZO_ENTRY)
		json_text(out, "target", record_data(r), r->data_len);
	else if (r->data_len)
		fprintf(out, ",\"data_len\":%" PRIu32, r->data_len);
	fprintf(out, ",\"op_flags\":%" PRIu32 ",\"flags\":%u,\"off\":%" PRIu64
		",\"count\":%" PRIu64, r->op_flags, r->flags, (uint64_t)r->off,
		(uint64_t)r->count);
	json_attr(out, &r->attr);
	json_text(out, "comm", r->comm, comm_len(r));
	fprintf(out, ",\"pid\":%" PRIu32 ",\"who\":%" PRIu32 ",\"clock_ns\":%" PRIu64
		",\"ring_seq\":%" PRIu64 ",\"txn\":%" PRIu64 ",\"origin_peer\":%" PRIu32
		",\"origin_seq\":%" PRIu64 ",\"chain\":\"%016" PRIx64 "\"}\n",
		r->pid, r->who, (uint64_t)r->clock_ns, (uint64_t)r->ring_seq,
		(uint64_t)r->txn, r->origin_peer, (uint64_t)r->origin_seq,
		(uint64_t)r->chain);
}
