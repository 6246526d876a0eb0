// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * journal.c: opens, appends to and trims a fileset's KML. Enters: records in
 * order. Leaves: durable commits, and the end up to which readers may look.
 *
 * A commit is one pwritev2(RWF_DSYNC) of whole blocks in place. Opening reads
 * the newest segment alone: the older ones end where the next one's header says
 * so. A commit that is broken there is a torn tail only if no later one exists
 * and the last clean stop did not come further; otherwise it is corruption.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/uio.h>
#include <unistd.h>
#include "lento/journal_private.h"
#include "lib/cleanup.h"
#include "lib/codec.h"
#include "lib/io.h"
#include "lib/log.h"

#define SEGMENT_DEFAULT		(64u << 20)

static int complain(char *err, size_t err_size, int r, const char *what)
{
	snprintf(err, err_size, "%s: %s", what, strerror(-r));
	return r;
}

static int take_lock(struct journal *j, char *err, size_t err_size)
{
	j->lock_fd = openat(j->dir_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (j->lock_fd < 0)
		return complain(err, err_size, -errno, "lock");
	if (flock(j->lock_fd, LOCK_EX | LOCK_NB)) {
		if (errno != EWOULDBLOCK)
			return complain(err, err_size, -errno, "lock");
		snprintf(err, err_size, "lock: another process has this journal open");
		return -EBUSY;
	}
	return 0;
}

static int fault_report(const struct segment *s, const struct fault *f,
			char *err, size_t err_size)
{
	snprintf(err, err_size, "kml.%016" PRIx64 ": byte %" PRIu64 ": %s",
		 (uint64_t)s->number, f->off, f->why);
	return -EBADMSG;
}

/* Walks the newest segment to its last whole commit. */
static int find_end(struct journal *j, struct window *w, struct fault *fault)
{
	const struct segment *s = journal_newest(j);
	const unsigned char *commit;
	size_t len;
	int r;

	j->end = (struct place){ s->first_seq - 1, s->chain };
	j->end_off = SEGMENT_BLOCK;
	j->end_number = s->number;
	while (!(r = commit_load(w, s, j->end_off, &j->end, &commit, &len, fault)))
		j->end_off += commit_padded(len);
	return r < 0 ? r : 0;
}

/* A reader that does not own the journal finds a fault when it gets there. */
static int recover(struct journal *j, char *err, size_t err_size)
{
	__attribute__((cleanup(window_done))) struct window w;
	struct segment s;
	struct fault f;
	int r = window_init(&w);

	if (r)
		return r;
	w.fd = segment_open(j->dir_fd, journal_newest(j)->number, &s, err,
			    err_size);
	if (w.fd < 0)
		return w.fd;
	r = find_end(j, &w, &f);
	if (r)
		return complain(err, err_size, r, "reading the newest segment");
	if (j->read_only)
		return 0;
	r = commit_later(&w, &s, j->end_off, &j->end);
	if (r < 0)
		return complain(err, err_size, r, "reading the newest segment");
	if (r || j->end.seq < j->floor.seq)
		return fault_report(&s, &f, err, err_size);
	if (f.off > j->end_off)
		snprintf(err, err_size, "kml.%016" PRIx64 ": byte %" PRIu64
			 ": torn tail cut: %s", (uint64_t)s.number, f.off, f.why);
	return 0;
}

/* files are held, or nobody else has the journal yet. */
static int open_tail(struct journal *j)
{
	cleanup_fd(&j->fd);
	j->spare_wanted = false;
	j->tail = *journal_newest(j);
	j->fd = segment_open_write(j->dir_fd, j->tail.number);
	if (j->fd < 0) {
		int r = j->fd;

		j->fd = -1;
		return r;
	}
	return 0;
}

static int load(struct journal *j, char *err, size_t err_size)
{
	int r = journal_table_read(j, err, err_size), again;

	/* Its owner may be trimming while somebody else lists the files. */
	for (again = 0; j->read_only && r == -ENOENT && again < 10; again++)
		r = journal_table_read(j, err, err_size);
	if (!r)
		r = journal_floor_read(j, err, err_size);
	if (r)
		return r;
	if (!j->nsegment && j->read_only) {
		snprintf(err, err_size, "no journal in this folder");
		return -ENOENT;
	}
	if (!j->nsegment && j->floor.seq) {
		snprintf(err, err_size, "all segments are missing, the last "
			 "clean stop was at %" PRIu64, j->floor.seq);
		return -EBADMSG;
	}
	if (!j->nsegment) {
		r = journal_table_add(j, random_u64());
		if (r)
			return complain(err, err_size, r, "making a segment");
	} else {
		r = recover(j, err, err_size);
		if (r)
			return r;
	}
	j->at = j->end;
	if (j->read_only)
		return 0;
	r = open_tail(j);
	return r ? complain(err, err_size, r, "opening the newest segment") : 0;
}

static int set_options(struct journal *j, const unsigned char uuid[16],
		       const struct journal_options *o)
{
	j->segment_bytes = o && o->segment_bytes ? o->segment_bytes :
			   SEGMENT_DEFAULT;
	j->read_only = o && o->read_only;
	j->any_uuid = !uuid;
	if (uuid)
		memcpy(j->uuid, uuid, sizeof(j->uuid));
	if (j->segment_bytes % SEGMENT_BLOCK || j->segment_bytes < SEGMENT_MIN ||
	    (!uuid && !j->read_only))
		return -EINVAL;
	return 0;
}

static void journal_free(struct journal *j)
{
	journal_spare_end(j);
	cleanup_fd(&j->fd);
	cleanup_fd(&j->lock_fd);
	cleanup_fd(&j->dir_fd);
	pthread_mutex_destroy(&j->files);
	pthread_mutex_destroy(&j->lock);
	free(j->segment);
	free(j->buf);
	free(j);
}

int journal_open(int dir_fd, const unsigned char uuid[16],
		 const struct journal_options *options, struct journal **ret,
		 char *err, size_t err_size)
{
	struct journal *j = calloc(1, sizeof(*j));
	int r;

	*err = 0;
	if (!j)
		return complain(err, err_size, -ENOMEM, "journal");
	j->fd = j->lock_fd = -1;
	j->used = COMMIT_HEAD;
	pthread_mutex_init(&j->files, NULL);
	pthread_mutex_init(&j->lock, NULL);
	j->dir_fd = fcntl(dir_fd, F_DUPFD_CLOEXEC, 0);
	j->buf = aligned_alloc(SEGMENT_BLOCK, COMMIT_MAX);
	if (j->dir_fd < 0)
		r = complain(err, err_size, -errno, "journal folder");
	else if (!j->buf)
		r = complain(err, err_size, -ENOMEM, "journal");
	else if (set_options(j, uuid, options))
		r = complain(err, err_size, -EINVAL, "journal options");
	else
		r = j->read_only ? 0 : take_lock(j, err, err_size);
	if (!r)
		r = load(j, err, err_size);
	if (r) {
		if (!*err)
			complain(err, err_size, r, "journal");
		journal_free(j);
		return r;
	}
	*ret = j;
	return 0;
}

void journal_close(struct journal *j)
{
	if (!j)
		return;
	if (!j->read_only)
		journal_floor_write(j);
	journal_free(j);
}

/* One write of len bytes at off, durable when it returns. Through the page cache:
 * readers are there, too, and a direct write that meets one fails the next sync
 * of the file (EIO). */
static int write_durable(struct journal *j, size_t len, uint64_t off)
{
	struct iovec iov = { j->buf, len };
	ssize_t n;
	int r;

	do
		n = pwritev2(j->fd, &iov, 1, off, RWF_DSYNC);
	while (n < 0 && errno == EINTR);
	if (n == (ssize_t)len)
		return 0;
	r = n < 0 ? -errno : 0;
	if (!r || r == -EOPNOTSUPP) {	/* an old filesystem, or cut short */
		r = pwrite_full(j->fd, j->buf, len, off);
		if (!r && fdatasync(j->fd))
			r = -errno;
	}
	if (r && r != -ENOSPC)
		log_err("journal: segment %llu, byte %llu: %s",
			(unsigned long long)j->tail.number, (unsigned long long)off,
			strerror(-r));
	return r;
}

/* On to a new segment; or into the one that an earlier call made but could not
 * open (fd -1), whatever its epoch. */
static int roll(struct journal *j, uint64_t epoch)
{
	int r;

	hold_mutex(&j->files);
	r = j->fd < 0 ? 0 : journal_table_add(j, epoch);
	return r ? r : open_tail(j);
}

static void move_end(struct journal *j, size_t len)
{
	hold_mutex(&j->lock);
	j->end = j->at;
	j->end_off += len;
	j->used = COMMIT_HEAD;
}

int journal_commit(struct journal *j)
{
	size_t len = commit_padded(j->used);
	int r;

	if (j->used == COMMIT_HEAD)
		return 0;
	if (j->fd < 0 || j->end_off + len > j->tail.bytes) {
		r = roll(j, j->tail.epoch);
		if (r)
			return r;
	}
	commit_head(j->buf, &j->tail, j->end_off, j->used, &j->end);
	memset(j->buf + j->used, 0, len - j->used);
	r = write_durable(j, len, j->end_off);
	if (r)
		return r;
	move_end(j, len);
	if (!j->spare_wanted && j->end_off > j->tail.bytes / 2)
		j->spare_wanted = journal_spare_want(j);
	return 0;
}

int journal_append(struct journal *j, struct izo_record *r)
{
	size_t most = j->segment_bytes - SEGMENT_BLOCK;
	const struct izo_record *checked;
	int e;

	if (j->read_only)
		return -EROFS;
	e = record_check(r, r->len, &checked, NULL);
	if (e || r->kind == IZO_PAD)
		return -EINVAL;
	if (most > COMMIT_MAX)
		most = COMMIT_MAX;
	if (j->used + r->len > most) {
		e = journal_commit(j);
		if (e)
			return e;
	}
	record_seal(r, j->at.seq + 1, &j->at.chain);
	j->at.seq++;
	memcpy(j->buf + j->used, r, r->len);
	j->used += r->len;
	return 0;
}

int journal_new_epoch(struct journal *j)
{
	int r = j->read_only ? -EROFS : journal_commit(j);

	if (!r && j->fd < 0)
		r = roll(j, j->tail.epoch);
	return r ? r : roll(j, random_u64());
}

void journal_end(struct journal *j, struct izo_pos *ret)
{
	hold_mutex(&j->lock);
	*ret = (struct izo_pos){ journal_newest(j)->epoch, j->end.seq,
				 j->end.chain };
}

uint64_t journal_first_seq(struct journal *j)
{
	hold_mutex(&j->lock);
	return j->segment[0].first_seq;
}

uint64_t journal_bytes(struct journal *j)
{
	uint64_t sum;
	size_t i;

	hold_mutex(&j->lock);
	sum = j->end_off;
	for (i = 0; i + 1 < j->nsegment; i++)
		sum += j->segment[i].bytes;
	return sum;
}

int journal_trim(struct journal *j, uint64_t seq)
{
	if (j->read_only)
		return -EROFS;
	hold_mutex(&j->files);
	return journal_table_trim(j, seq);
}
