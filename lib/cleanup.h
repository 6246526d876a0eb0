/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cleanup.h: guards that release what a scope holds when it is left, and the
 * visible hand-over out of such a scope (take_fd, take_ptr).
 */
#ifndef LIB_CLEANUP_H
#define LIB_CLEANUP_H

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static inline void cleanup_fd(int *fd)
{
	if (*fd >= 0) {
		int saved = errno;

		close(*fd);
		errno = saved;
	}
}
static inline void cleanup_free(void *p)
{
	free(*(void **)p);
}
static inline void cleanup_file(FILE **f)
{
	if (*f)
		fclose(*f);
}
static inline void cleanup_dir(DIR **d)
{
	if (*d)
		closedir(*d);
}
static inline void cleanup_mutex(pthread_mutex_t **m)
{
	if (*m)
		pthread_mutex_unlock(*m);
}

#define _cleanup_fd_	__attribute__((cleanup(cleanup_fd)))
#define _cleanup_free_	__attribute__((cleanup(cleanup_free)))
#define _cleanup_file_	__attribute__((cleanup(cleanup_file)))
#define _cleanup_dir_	__attribute__((cleanup(cleanup_dir)))

static inline int take_fd(int *fd)
{
	int f = *fd;

	*fd = -1;
	return f;
}
#define take_ptr(p) ({ __typeof__(p) p_ = (p); (p) = NULL; p_; })

/* Holds a mutex until the scope is left. */
#define with_mutex_cat2(a, b) a##b
#define with_mutex_cat(a, b) with_mutex_cat2(a, b)
#define hold_mutex(m)							\
	pthread_mutex_t *with_mutex_cat(held_, __LINE__)		\
	__attribute__((cleanup(cleanup_mutex), unused)) =		\
		(pthread_mutex_lock(m), (m))

#endif
