// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * treecmp_pool: the threads that look at objects.
 *
 * A bounded queue: the walk waits when the workers are behind, so that memory
 * and open directory fds stay bounded however large the tree is. A job owns a
 * reference on its name and on its directory; they are dropped here.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "treecmp.h"

#define QUEUE_JOBS 128	/* each may hold a pair of fds: below 1024 in all */

static struct {
	pthread_mutex_t lock;	/* everything below */
	pthread_cond_t filled;
	pthread_cond_t emptied;
	struct job *queue[QUEUE_JOBS];
	unsigned int head;
	unsigned int count;
	bool finished;
	pthread_t *thread;
	unsigned int n_threads;
	job_fn *fn;
} pool = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.filled = PTHREAD_COND_INITIALIZER,
	.emptied = PTHREAD_COND_INITIALIZER,
};

static struct job *pool_take(void)
{
	struct job *job = NULL;

	pthread_mutex_lock(&pool.lock);
	while (!pool.count && !pool.finished)
		pthread_cond_wait(&pool.filled, &pool.lock);
	if (pool.count) {
		job = pool.queue[pool.head];
		pool.head = (pool.head + 1) % QUEUE_JOBS;
		pool.count--;
		pthread_cond_signal(&pool.emptied);
	}
	pthread_mutex_unlock(&pool.lock);
	return job;
}

static void job_free(struct job *job)
{
	node_put(job->node);
	if (job->link)
		node_put(job->link);
	dirpair_put(job->dir);
	free(job);
}

static void *pool_main(void *unused)
{
	struct buffers buffers;
	struct job *job;

	(void)unused;
	for (int s = 0; s < SIDES; s++) {
		buffers.io[s] = aligned_alloc(4096, IO_BYTES);
		if (!buffers.io[s])
			abort();
	}
	while ((job = pool_take())) {
		pool.fn(job, &buffers);
		job_free(job);
	}
	for (int s = 0; s < SIDES; s++)
		free(buffers.io[s]);
	return NULL;
}

int pool_start(unsigned int threads, job_fn *fn)
{
	pool.fn = fn;
	pool.thread = calloc(threads, sizeof(*pool.thread));
	if (!pool.thread)
		return -ENOMEM;
	while (pool.n_threads < threads) {
		int err = pthread_create(&pool.thread[pool.n_threads], NULL,
					 pool_main, NULL);

		if (err)
			return pool.n_threads ? 0 : -err;
		pool.n_threads++;
	}
	return 0;
}

void pool_submit(struct job *job)
{
	pthread_mutex_lock(&pool.lock);
	while (pool.count == QUEUE_JOBS)
		pthread_cond_wait(&pool.emptied, &pool.lock);
	pool.queue[(pool.head + pool.count) % QUEUE_JOBS] = job;
	pool.count++;
	pthread_cond_signal(&pool.filled);
	pthread_mutex_unlock(&pool.lock);
}

void pool_finish(void)
{
	pthread_mutex_lock(&pool.lock);
	pool.finished = true;
	pthread_cond_broadcast(&pool.filled);
	pthread_mutex_unlock(&pool.lock);
	for (unsigned int i = 0; i < pool.n_threads; i++)
		pthread_join(pool.thread[i], NULL);
	free(pool.thread);
}
