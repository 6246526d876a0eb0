// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * goldens.c: writes tests/golden anew: `goldens FOLDER`. Enters: the table of
 * goldens.h, and below what must be refused. Leaves: accept/NAME.rec, and
 * refuse/NAME.rec with the reason in refuse/NAME.why. Run by hand when a kind
 * or a reason is added; files that are there already must come out unchanged.
 */
#include <err.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>
#include "lib/io.h"
#include "tests/unit/goldens.h"

static void put(int dir, const char *kind, const char *name, const char *ext,
		const void *buf, size_t len)
{
	char path[256];
	int r;

	snprintf(path, sizeof(path), "%s/%s.%s", kind, name, ext);
	unlinkat(dir, path, 0);
	int fd = openat(dir, path, O_WRONLY | O_CREAT | O_EXCL, 0644);

	if (fd < 0)
		err(1, "%s", path);
	r = write_full(fd, buf, len);
	if (r)
		errx(1, "%s: %s", path, strerror(-r));
	close(fd);
}

static const struct golden *named(const char *name)
{
	size_t i;

	for (i = 0; i < NGOLDENS; i++)
		if (!strcmp(goldens[i].name, name))
			return &goldens[i];
	errx(1, "no golden %s", name);
}

/* Changes len bytes at off of a golden record. */
static const struct refusal {
	const char *name, *from, *why;
	unsigned off, len;
	uint64_t value;
} refusals[] = {
#define FIELD(f) offsetof(struct izo_record, f), sizeof(((struct izo_record *)0)->f)
	{ "len-short", "create", "length below the fixed part", FIELD(len), 328 },
	{ "len-huge", "create", "length over the limit", FIELD(len), 0xfffffff8 },
	{ "len-odd", "create", "length not a multiple of 8", FIELD(len), 341 },
	{ "len-parts", "symlink", "parts do not add up to the length", FIELD(data_len), 200 },
	{ "kind-none", "close", "unknown kind", FIELD(kind), 0 },
	{ "kind-hole", "close", "unknown kind", FIELD(kind), 25 },
	{ "kind-high", "close", "unknown kind", FIELD(kind), 4000 },
	{ "flag", "close", "unknown flag", FIELD(flags), 0x100 },
	{ "name-long", "create", "name too long", FIELD(name_len), 256 },
	{ "name2-long", "rename", "name too long", FIELD(name2_len), 65535 },
	{ "data-long", "symlink", "data too long", FIELD(data_len), 65537 },
	{ "data-wrap", "symlink", "data too long", FIELD(data_len), 0xffffffff },
	{ "name-slash", "create", "name with a slash", 337, 1, '/' },
	{ "name-nul", "create", "name with a NUL", 337, 1, 0 },
	{ "name2-slash", "rename", "name with a slash", 340, 1, '/' },
	{ "padding", "create", "padding is not zero", 343, 1, 1 },
	{ "name-missing", "close", "name is missing", FIELD(kind), IZO_CREATE },
	{ "name2-missing", "create", "name is missing", FIELD(kind), IZO_RENAME },
	{ "name-extra", "create", "name where the kind has none", FIELD(kind), IZO_CLOSE },
	{ "data-extra", "symlink", "data where the kind has none", FIELD(kind), IZO_LINK },
	{ "target-missing", "create", "symlink without a target", FIELD(kind), IZO_SYMLINK },
	{ "target-nul", "symlink", "symlink target with a NUL", 342, 1, 0 },
	{ "acl-name", "acl", "ACL name is neither access nor default", 336, 1, 'S' },
	{ "xattr-nul", "xattr", "name with a NUL", 340, 1, 0 },
	{ "tlv-type", "create-acl", "TLV of unknown type", 340, 2, 9 },
	{ "tlv-zero", "create-acl", "TLV header not zero where it must be", 342, 2, 1 },
	{ "tlv-long", "create-acl", "TLV longer than the data", 344, 4, 0xfffffff0 },
	{ "tlv-cut", "create-acl", "TLV header cut short", 344, 4, 12 },
	{ "range-empty", "due", "range that is empty or turned round", 344, 8, 0 },
	{ "range-turned", "dirty", "range that is empty or turned round", 336, 8, ~0ull },
#undef FIELD
};

static void put_refusals(int dir)
{
	size_t i;

	for (i = 0; i < sizeof(refusals) / sizeof(*refusals); i++) {
		const struct refusal *x = &refusals[i];
		struct izo_record *r = golden_make(named(x->from));
		uint32_t len = r->len;

		memcpy((char *)r + x->off, &x->value, x->len);
		put(dir, "refuse", x->name, "rec", r, len);
		put(dir, "refuse", x->name, "why", x->why, strlen(x->why));
		free(r);
	}
}

static void put_whole(int dir, const char *name, const char *why,
		      struct izo_record *r)
{
	put(dir, "refuse", name, "rec", r, r->len);
	put(dir, "refuse", name, "why", why, strlen(why));
	free(r);
}

static void put_others(int dir)
{
	char target[IZO_SYMLINK_MAX + 1];

	memset(target, 'x', sizeof(target));
	put_whole(dir, "name-dot", "name is . or ..",
		  record_new(IZO_UNLINK, ".", 1, NULL, 0, NULL, 0));
	put_whole(dir, "name-dotdot", "name is . or ..",
		  record_new(IZO_MKDIR, "..", 2, NULL, 0, NULL, 0));
	put_whole(dir, "name2-dotdot", "name is . or ..",
		  record_new(IZO_RENAME, "a", 1, "..", 2, NULL, 0));
	put_whole(dir, "range-cut", "range cut short",
		  record_new(IZO_DUE, NULL, 0, NULL, 0, golden_ranges, 15));
	put_whole(dir, "target-long", "symlink target too long",
		  record_new(IZO_SYMLINK, "a", 1, NULL, 0, target, sizeof(target)));
}

int main(int argc, char **argv)
{
	size_t i;
	int dir;

	if (argc != 2)
		errx(64, "usage: goldens FOLDER");
	dir = open(argv[1], O_RDONLY | O_DIRECTORY);
	if (dir < 0)
		err(1, "%s", argv[1]);
	mkdir_all(dir, "accept", 0755);
	mkdir_all(dir, "refuse", 0755);
	for (i = 0; i < NGOLDENS; i++) {
		struct izo_record *r = golden_make(&goldens[i]);

		put(dir, "accept", goldens[i].name, "rec", r, r->len);
		free(r);
	}
	put_refusals(dir);
	put_others(dir);
	return 0;
}
