// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * journal_table.c: which segments there are. Enters: the journal's folder.
 * Leaves: the headers of all retained segments, oldest first; new ones at the
 * young end, freed ones from the old end; the floor below which the end of the
 * journal may never be found.
 *
 * What must always hold: numbers are consecutive; the first sequence never goes
 * down; a file is freed oldest first, so that a crash leaves no hole.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "lento/journal_private.h"
#include "lib/cleanup.h"
#include "lib/io.h"

struct listing {
	uint64_t *number;
	size_t n;
};

static int by_number(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static int listing_add(struct listing *l, uint64_t number)
{
	uint64_t *more = realloc(l->number, (l->n + 1) * sizeof(*more));

	if (!more)
		return -ENOMEM;
	l->number = more;
	l->number[l->n++] = number;
	return 0;
}

/* The owner keeps what can be used again and clears away the rest. */
static void adopt_spare(struct journal *j, const char *name)
{
	uint64_t number = segment_name_parse("free", name);

	if (j->read_only)
		return;
	if (number && j->nfree < JOURNAL_FREE_MAX)
		j->free_number[j->nfree++] = number;
	else if (number || segment_name_parse("new", name))
		unlinkat(j->dir_fd, name, 0);
}

static int list_files(struct journal *j, struct listing *l)
{
	_cleanup_dir_ DIR *d = NULL;
	int fd = openat(j->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent *e;

	if (fd < 0)
		return -errno;
	d = fdopendir(fd);
	if (!d) {
		close(fd);
		return -ENOMEM;
	}
	j->nfree = 0;
	while (errno = 0, (e = readdir(d))) {
		uint64_t number = segment_name_parse("kml", e->d_name);

		if (!number)
			adopt_spare(j, e->d_name);
		else if (listing_add(l, number))
			return -ENOMEM;
	}
	if (errno)
		return -errno;
	if (l->n)
		qsort(l->number, l->n, sizeof(*l->number), by_number);
	return 0;
}

static int check_neighbours(const struct journal *j, const struct segment *s,
			    size_t i, char *err, size_t err_size)
{
	const char *why = NULL;

	if (!j->any_uuid && memcmp(s[i].uuid, j->uuid, sizeof(j->uuid)))
		why = "belongs to another fileset";
	else if (i && s[i].number != s[i - 1].number + 1)
		why = "the segment before it is missing";
	else if (i && s[i].first_seq < s[i - 1].first_seq)
		why = "sequence goes backwards";
	if (!why)
		return 0;
	snprintf(err, err_size, "kml.%016" PRIx64 ": byte 0: %s",
		 (uint64_t)s[i].number, why);
	return -EBADMSG;
}

static int read_headers(struct journal *j, const struct listing *l,
			struct segment *s, char *err, size_t err_size)
{
	size_t i;

	for (i = 0; i < l->n; i++) {
		int fd = segment_open(j->dir_fd, l->number[i], &s[i], err,
				      err_size), r;

		if (fd < 0)
			return fd;
		close(fd);
		r = check_neighbours(j, s, i, err, err_size);
		if (r)
			return r;
	}
	return 0;
}

static void listing_done(struct listing *l)
{
	free(l->number);
}

int journal_table_read(struct journal *j, char *err, size_t err_size)
{
	__attribute__((cleanup(listing_done))) struct listing l = { 0 };
	_cleanup_free_ struct segment *s = NULL;
	int r = list_files(j, &l);

	if (r) {
		snprintf(err, err_size, "reading the folder: %s", strerror(-r));
		return r;
	}
	if (!l.n && j->nsegment) {
		snprintf(err, err_size, "the journal was removed");
		return -ESTALE;
	}
	s = calloc(l.n + 1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	r = read_headers(j, &l, s, err, err_size);
	if (r)
		return r;
	hold_mutex(&j->lock);
	free(j->segment);
	j->segment = take_ptr(s);
	j->nsegment = l.n;
	return 0;
}

int journal_table_add(struct journal *j, uint64_t epoch)
{
	struct segment s = {
		.epoch = epoch,
		.number = j->nsegment ? journal_newest(j)->number + 1 : 1,
		.first_seq = j->end.seq + 1,
		.chain = j->end.chain,
		.bytes = j->segment_bytes,
	}, *more;
	uint64_t spare = j->nfree ? j->free_number[--j->nfree] : 0;
	int r;

	memcpy(s.uuid, j->uuid, sizeof(s.uuid));
	more = calloc(j->nsegment + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	r = segment_create(j->dir_fd, &s, spare);
	if (r) {
		free(more);
		return r;
	}
	hold_mutex(&j->lock);
	if (j->nsegment)
		memcpy(more, j->segment, j->nsegment * sizeof(*more));
	more[j->nsegment++] = s;
	free(j->segment);
	j->segment = more;
	j->end_off = SEGMENT_BLOCK;
	j->end_number = s.number;
	return 0;
}

static int free_file(struct journal *j, uint64_t number)
{
	char from[32], to[32];

	segment_name("kml", number, from);
	segment_name("free", number, to);
	if (j->nfree == JOURNAL_FREE_MAX)
		return unlinkat(j->dir_fd, from, 0) ? -errno : 0;
	if (renameat(j->dir_fd, from, j->dir_fd, to))
		return -errno;
	j->free_number[j->nfree++] = number;
	return 0;
}

/* Out of the table first: a reader that then finds strange bytes looks here
 * and knows why. */
static uint64_t table_shift(struct journal *j, uint64_t seq)
{
	uint64_t number;

	hold_mutex(&j->lock);
	if (j->nsegment < 2 || j->segment[1].first_seq > seq + 1)
		return 0;
	number = j->segment[0].number;
	j->nsegment--;
	memmove(j->segment, j->segment + 1, j->nsegment * sizeof(*j->segment));
	return number;
}

int journal_table_trim(struct journal *j, uint64_t seq)
{
	bool any = false;
	uint64_t number;

	if (seq == UINT64_MAX)
		seq--;
	while ((number = table_shift(j, seq))) {
		int r = free_file(j, number);

		if (r)
			return r;
		any = true;
	}
	return any ? dir_sync(j->dir_fd) : 0;
}

int journal_table_find(struct journal *j, uint64_t seq, struct segment *ret)
{
	size_t low = 0, high;

	hold_mutex(&j->lock);
	if (seq < j->segment[0].first_seq)
		return -ESTALE;
	for (high = j->nsegment; high - low > 1;) {
		size_t mid = low + (high - low) / 2;

		if (j->segment[mid].first_seq <= seq)
			low = mid;
		else
			high = mid;
	}
	*ret = j->segment[low];
	return 0;
}

int journal_table_get(struct journal *j, uint64_t number, struct segment *ret,
		      struct segment *ret_next)
{
	uint64_t i;

	hold_mutex(&j->lock);
	i = number - j->segment[0].number;
	if (number < j->segment[0].number || i >= j->nsegment)
		return -ESTALE;
	*ret = j->segment[i];
	if (i + 1 < j->nsegment)
		*ret_next = j->segment[i + 1];
	else
		ret_next->number = 0;
	return 0;
}

int journal_floor_read(struct journal *j, char *err, size_t err_size)
{
	_cleanup_free_ char *text = NULL;
	struct place floor;
	int r = file_read(j->dir_fd, "end", 256, &text, NULL);

	if (r == -ENOENT)
		return 0;
	if (r) {
		snprintf(err, err_size, "end: %s", strerror(-r));
		return r;
	}
	if (sscanf(text, "seq %" SCNu64 " chain %" SCNx64, &floor.seq,
		   &floor.chain) != 2) {
		snprintf(err, err_size, "end: byte 0: not what a clean stop writes");
		return -EBADMSG;
	}
	j->floor = floor;
	return 0;
}

int journal_floor_write(struct journal *j)
{
	char text[96];
	int n;

	if (j->floor.seq == j->end.seq && j->floor.chain == j->end.chain)
		return 0;
	n = snprintf(text, sizeof(text), "seq %" PRIu64 " chain %016" PRIx64 "\n",
		     j->end.seq, j->end.chain);
	return file_replace(j->dir_fd, "end", text, n, 0600);
}
