/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * io.h: the small helpers around read, write and folders that every program
 * needs: whole transfers, files replaced atomically and durably, folders made
 * along a path, random bytes, sizes as people write them. All return 0 (or a
 * count where said) or -errno, and never log.
 */
#ifndef LIB_IO_H
#define LIB_IO_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Go on after EINTR and short transfers. The readers return how much there was
 * before the end of the file, at most len; the writers 0. */
ssize_t read_full(int fd, void *buf, size_t len);
ssize_t pread_full(int fd, void *buf, size_t len, uint64_t off);
int write_full(int fd, const void *buf, size_t len);
int pwrite_full(int fd, const void *buf, size_t len, uint64_t off);

/* Makes path and its parents below dir_fd (AT_FDCWD will do), each with mode;
 * what is there already is left as it is. */
int mkdir_all(int dir_fd, const char *path, mode_t mode);
/* The same, then opened O_DIRECTORY. fd or -errno. */
int mkdir_open(int dir_fd, const char *path, mode_t mode);

/* Replaces dir_fd/name whole: temporary file, fsync, rename, fsync of the
 * folder. After a crash the old or the new contents are there. */
int file_replace(int dir_fd, const char *name, const void *buf, size_t len,
		 mode_t mode);
/* Reads dir_fd/name, at most max bytes (-EFBIG beyond); *ret is followed by a
 * NUL that ret_len does not count; the caller frees it. */
int file_read(int dir_fd, const char *name, size_t max, char **ret,
	      size_t *ret_len);

/* fsync of a folder, for renames and new names in it. */
int dir_sync(int dir_fd);

void random_bytes(void *buf, size_t len);
uint64_t random_u64(void);		/* never 0 */

/* "4096", "16M": decimal, then nothing or K, M, G (powers of 1024). -EINVAL
 * for anything else, -ERANGE over 64 bits. */
int size_parse(const char *text, uint64_t *ret);

#endif
