// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * treecmp_digest: one number for a whole tree.
 *
 * Every object gets a XXH3-128 over its path and the selected parts; the tree
 * is the sum of them, so that the order in which workers finish does not
 * matter. Every variable field is preceded by a tag and its length: no two
 * objects can give the same input. Later names of an inode are a reference to
 * its first name. A digest of equal trees is equal on all filesystems, unless
 * the part `holes` is asked for.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "treecmp.h"

static struct {
	pthread_mutex_t lock;
	uint64_t low;
	uint64_t high;
	uint64_t count;
} sum = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void feed(XXH3_state_t *hash, char tag, const void *data, size_t len)
{
	uint64_t len64 = len;

	XXH3_128bits_update(hash, &tag, 1);
	XXH3_128bits_update(hash, &len64, sizeof(len64));
	XXH3_128bits_update(hash, data, len);
}

static void feed_number(XXH3_state_t *hash, char tag, uint64_t number)
{
	feed(hash, tag, &number, sizeof(number));
}

static void feed_time(XXH3_state_t *hash, char tag, const struct timespec *time)
{
	feed_number(hash, tag, time->tv_sec);
	feed_number(hash, tag, time->tv_nsec);
}

static void feed_attrs(XXH3_state_t *hash, const struct stat *st,
		       const struct object *object)
{
	feed_number(hash, 'm', st->st_mode);
	feed_number(hash, 'u', st->st_uid);
	feed_number(hash, 'g', st->st_gid);
	feed_number(hash, 'f', object->flags);
	feed_number(hash, 'p', object->project);
	if (S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode))
		feed_number(hash, 'r', st->st_rdev);
}

static void feed_xattrs(XXH3_state_t *hash, const struct object *object)
{
	for (size_t i = 0; i < object->n_xattrs; i++) {
		const struct xattr *xattr = &object->xattr[i];

		feed(hash, 'x', xattr->name, strlen(xattr->name));
		feed(hash, 'v', xattr->value, xattr->len);
	}
}

static void feed_times(XXH3_state_t *hash, const struct stat *st)
{
	if (S_ISDIR(st->st_mode) && !options.dir_times)
		return;
	if (!(S_ISREG(st->st_mode) && options.prefix))
		feed_time(hash, 't', &st->st_mtim);
	if (options.atime)
		feed_time(hash, 'a', &st->st_atim);
}

static void feed_data(XXH3_state_t *hash, const struct job *job,
		      const struct object *object, struct buffers *buffers)
{
	if (!S_ISREG(job->st[SIDE_A].st_mode) || options.prefix)
		return;
	if ((options.parts & PART_HOLES) && options.holes) {
		feed(hash, 'h', NULL, 0);
		digest_holes(job, object, hash);
	}
	if (options.parts & PART_CONTENT) {
		feed_number(hash, 's', job->st[SIDE_A].st_size);
		digest_content(job, object, hash, buffers);
	}
}

static void feed_object(XXH3_state_t *hash, const struct job *job,
			const struct object *object, struct buffers *buffers)
{
	const struct stat *st = &job->st[SIDE_A];

	if (object->target && (options.parts & PART_NAMES))
		feed(hash, 'l', object->target, strlen(object->target));
	if (options.parts & PART_ATTRS)
		feed_attrs(hash, st, object);
	if (options.parts & PART_XATTRS)
		feed_xattrs(hash, object);
	if (options.parts & PART_TIMES)
		feed_times(hash, st);
	feed_data(hash, job, object, buffers);
}

static void sum_add(XXH128_hash_t hash)
{
	pthread_mutex_lock(&sum.lock);
	sum.low += hash.low64;
	sum.high += hash.high64 + (sum.low < hash.low64);
	sum.count++;
	pthread_mutex_unlock(&sum.lock);
}

static bool digest_object(XXH3_state_t *hash, const struct job *job,
			  struct buffers *buffers)
{
	struct object object = { .fd = -1 };
	const char *what;
	int err = object_load(job, SIDE_A, &object, &what);

	if (err)
		report_error(job->node, "%s: %s", what,
			     err == -ESTALE || err == -ENOENT
				     ? "changed while walking"
				     : strerror(-err));
	else
		feed_object(hash, job, &object, buffers);
	object_done(&object);
	return !err;
}

void digest_job(struct job *job, struct buffers *buffers)
{
	XXH3_state_t *hash = XXH3_createState();
	bool good = true;

	if (!hash)
		abort();
	XXH3_128bits_reset(hash);
	feed(hash, 'p', &job->node->hash, sizeof(job->node->hash));
	feed_number(hash, 'y', job->st[SIDE_A].st_mode & S_IFMT);
	if (job->link && (options.parts & PART_NAMES))
		feed(hash, 'i', &job->link->hash, sizeof(job->link->hash));
	else
		good = digest_object(hash, job, buffers);
	if (good)
		sum_add(XXH3_128bits_digest(hash));
	XXH3_freeState(hash);
}

XXH128_hash_t digest_result(void)
{
	uint64_t all[] = { sum.low, sum.high, sum.count };

	return XXH3_128bits(all, sizeof(all));
}
