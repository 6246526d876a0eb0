/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * worklib: what the two generators of work, fswork and seqwork, share: a hash,
 * the errors that an operation may end with, and calls that need some care.
 * Functions return 0 or -errno, if nothing else is said.
 */
#ifndef WORKLIB_H
#define WORKLIB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ACL_ACCESS "system.posix_acl_access"
#define ACL_DEFAULT "system.posix_acl_default"

/* An ACL of two users, as the kernel's xattr has it. */
struct acl_blob {
	uint32_t version;
	struct {
		uint16_t tag;
		uint16_t perm;
		uint32_t id;
	} entry[6];
};

uint64_t mix64(uint64_t x);

/* An error that a file system may well answer; others are a test's bug. */
bool work_expected(int err);

/* Only a regular file, whatever is put at that name meanwhile; fd or -errno. */
int work_open(const char *path, int flags);

/* Into a mapping; -ENXIO if the file was truncated meanwhile. */
int work_store(unsigned char *map, const unsigned char *from, size_t len);

/* perms: three bits for each entry, the first one lowest. */
void work_acl(struct acl_blob *acl, unsigned int perms);

#endif
