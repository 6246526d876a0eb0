/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * conf_private.h: what conf.c, conf_ini.c and conf_value.c share: one file's
 * reading, with the line that is being looked at, and the checks of values.
 */
#ifndef LIB_CONF_PRIVATE_H
#define LIB_CONF_PRIVATE_H

#include <stdbool.h>
#include <stdio.h>
#include "lib/conf.h"

/* One file being read. The first error stays; 0 on success, -errno. */
struct conf_ini {
	const char *file;		/* its path, for messages */
	FILE *stream;
	unsigned line;
	int error;
	char *err;
	size_t err_size;
	/* A section begins (name and text after the first blank, maybe "");
	 * a key of the section. They call conf_fail() and return its value. */
	int (*section)(struct conf_ini *ini, const char *kind, const char *name);
	int (*key)(struct conf_ini *ini, const char *key, const char *value);
	void *user;
	bool in_section;
};

int conf_ini_read(struct conf_ini *ini);
/* "FILE:LINE: text" unless there is an error already. Returns -EINVAL. */
int conf_fail(struct conf_ini *ini, unsigned line, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
int conf_no_memory(struct conf_ini *ini);

/* NULL: fine; else what is wrong with the value. */
const char *conf_name_wrong(const char *name);
const char *conf_address_wrong(const char *address);
const char *conf_path_wrong(const char *path);
/* 0 or -EINVAL. */
int conf_uuid(const char *text, unsigned char ret[16]);
int conf_number(const char *text, uint64_t min, uint64_t max, uint64_t *ret);
int conf_size(const char *text, uint64_t min, uint64_t max, uint64_t *ret);

/* Appends a copy to an array of strings. 0 or -ENOMEM. */
int conf_list_add(char ***list, size_t *n, const char *text);
void conf_list_free(char **list, size_t n);
bool conf_list_has(char **list, size_t n, const char *text);

#endif
