// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * apply_trouble.c: which object it was that could not be applied, in words, for
 * the status and the log. Enters: an error and the record or FID that was at work.
 * Leaves: the first such text since it was last taken. What can be printed is
 * printed: a name may hold any byte.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "lento/apply_inner.h"
#include "lib/codec.h"

#define SHOWN_MAX	150	/* of a path; its end tells more than its beginning */

static bool worth_it(const struct apply *a, int error)
{
	return error < 0 && error != -EAGAIN && error != -ENOTCONN &&
	       error != -ECONNRESET && error != -EUCLEAN && !a->trouble[0];
}

/* The path of a directory of ours below the root, with a slash at its end; "" where
 * it is not known. */
static void dir_path(struct apply *a, const struct izo_fid *dir, char *ret, size_t size)
{
	char link[32], path[4096], root[4096];
	int fd = obj_dir(a, dir);
	ssize_t n, skip;

	*ret = 0;
	if (fd < 0)
		return;
	fd_path(a->root_fd, link);
	skip = readlink(link, root, sizeof(root));
	fd_path(fd, link);
	n = readlink(link, path, sizeof(path) - 1);
	if (n <= 0 || skip <= 0)
		return;
	path[n] = 0;
	skip = skip == 1 ? 1 : skip + 1;	/* "/": a mount of our own */
	if (n > skip)
		snprintf(ret, size, "%s/", path + skip);
}

static void put_shown(FILE *out, const char *text)
{
	size_t len = strlen(text);

	fputc('"', out);
	if (len > SHOWN_MAX) {
		fputs("...", out);
		text += len - SHOWN_MAX;
	}
	for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
		if (*p == '"' || *p == '\\')
			fprintf(out, "\\%c", *p);
		else if (*p < 0x20 || *p >= 0x7f)
			fprintf(out, "\\x%02x", *p);
		else
			fputc(*p, out);
	}
	fputc('"', out);
}

void trouble_fid(struct apply *a, int error, const struct izo_fid *fid)
{
	if (worth_it(a, error))
		snprintf(a->trouble, sizeof(a->trouble), "inode %llu of %s",
			 (unsigned long long)fid->ino, a->spec.peer);
}

void trouble_record(struct apply *a, int error, const struct izo_fid *dir,
		    const struct izo_record *r)
{
	char path[4096 + IZO_NAME_MAX + 2], name[IZO_NAME_MAX + 1];
	FILE *out;

	if (!worth_it(a, error))
		return;
	trouble_fid(a, error, &r->obj);
	if (!r->name_len || r->kind == IZO_XATTR || r->kind == IZO_ACL)
		return;
	dir_path(a, dir, path, 4096);
	record_name_str(record_name(r), r->name_len, name);
	strcat(path, name);
	out = fmemopen(a->trouble, sizeof(a->trouble), "w");
	if (!out)
		return;
	put_shown(out, path);
	fprintf(out, " (inode %llu of %s)", (unsigned long long)r->obj.ino,
		a->spec.peer);
	fclose(out);
	a->trouble[sizeof(a->trouble) - 1] = 0;
}

void apply_trouble(struct apply *a, char *ret, size_t size)
{
	snprintf(ret, size, "%s", a->trouble);
	a->trouble[0] = 0;
}
