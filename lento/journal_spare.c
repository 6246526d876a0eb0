// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * journal_spare.c: a file for the next segment, made ahead. Enters: that the
 * newest segment is half full. Leaves: one more free file.
 *
 * What must always hold: at most one is being made, so that its number is its
 * own; what fails is no error: the appender then makes its segment itself.
 */
#include <unistd.h>
#include "lento/journal_private.h"
#include "lib/cleanup.h"

static void *make_spare(void *arg)
{
	struct journal *j = arg;
	int r = segment_spare(j->dir_fd, j->spare.number, j->segment_bytes,
			      &j->spare.stop);

	hold_mutex(&j->files);
	if (!r && j->nfree < JOURNAL_FREE_MAX) {
		j->free_number[j->nfree++] = j->spare.number;
	} else if (!r) {
		char name[32];

		segment_name("free", j->spare.number, name);
		unlinkat(j->dir_fd, name, 0);
	}
	j->spare.done = true;
	return NULL;
}

static bool want(struct journal *j)
{
	if (j->nfree)
		return true;
	if (j->spare.begun && !j->spare.done)
		return true;
	if (j->spare.begun)
		pthread_join(j->spare.thread, NULL);
	j->spare.done = false;
	j->spare.number = SEGMENT_SPARE | j->tail.number;
	j->spare.begun = !pthread_create(&j->spare.thread, NULL, make_spare, j);
	return true;
}

bool journal_spare_want(struct journal *j)
{
	bool r;

	if (pthread_mutex_trylock(&j->files))
		return false;	/* held over a wait for the disk */
	r = want(j);
	pthread_mutex_unlock(&j->files);
	return r;
}

void journal_spare_end(struct journal *j)
{
	j->spare.stop = true;
	if (j->spare.begun)
		pthread_join(j->spare.thread, NULL);
}
