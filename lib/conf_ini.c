// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * conf_ini.c: one INI file through libinih. Enters: a path. Leaves: sections
 * and keys, in order, by two functions of the caller, or "FILE:LINE: text".
 *
 * libinih reports neither the line of a key nor a section without keys, and it
 * cuts long lines and long section names silently. So it reads through a
 * function of ours, which counts the lines, sees the section headers first and
 * refuses what would be cut. A header therefore starts its line.
 */
#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <stdarg.h>
#include <string.h>
#include "lib/cleanup.h"
#include "lib/conf_private.h"

int conf_fail(struct conf_ini *ini, unsigned line, const char *fmt, ...)
{
	va_list ap;
	int n;

	if (ini->error)
		return ini->error;
	ini->error = -EINVAL;
	n = snprintf(ini->err, ini->err_size, "%s:%u: ", ini->file, line);
	if (n < 0 || (size_t)n >= ini->err_size)
		return ini->error;
	va_start(ap, fmt);
	vsnprintf(ini->err + n, ini->err_size - n, fmt, ap);
	va_end(ap);
	return ini->error;
}

int conf_no_memory(struct conf_ini *ini)
{
	conf_fail(ini, ini->line, "no memory");
	return ini->error = -ENOMEM;
}

static int begin_section(struct conf_ini *ini, const char *line)
{
	char text[256], *name, *end;

	snprintf(text, sizeof(text), "%s", line + 1);
	end = strchr(text, ']');
	if (!end)
		return conf_fail(ini, ini->line, "section header without ]");
	*end = 0;
	end += 1 + strspn(end + 1, " \t\r\n");
	if (*end && *end != ';' && *end != '#')
		return conf_fail(ini, ini->line, "text behind a section header");
	ini->in_section = true;
	name = strpbrk(text, " \t");
	if (!name)
		return ini->section(ini, text, "");
	*name++ = 0;
	return ini->section(ini, text, name + strspn(name, " \t"));
}

static char *next_line(char *buf, int size, void *stream)
{
	struct conf_ini *ini = stream;
	size_t len, blank;

	if (ini->error || !fgets(buf, size, ini->stream))
		return NULL;
	ini->line++;
	len = strlen(buf);
	if (!len || (buf[len - 1] != '\n' && !feof(ini->stream))) {
		conf_fail(ini, ini->line, "line too long, or with a NUL");
		return NULL;
	}
	blank = strspn(buf, " \t");
	if (buf[blank] == '[' && blank)
		conf_fail(ini, ini->line, "section header does not start its line");
	else if (*buf == '[')
		begin_section(ini, buf);
	return ini->error ? NULL : buf;
}

static int take_key(void *user, const char *section, const char *key,
		    const char *value)
{
	struct conf_ini *ini = user;

	(void)section;
	if (ini->error)
		return 0;
	if (!ini->in_section)
		conf_fail(ini, ini->line, "key %s outside of a section", key);
	else if (!*value)
		conf_fail(ini, ini->line, "%s has no value", key);
	else
		ini->key(ini, key, value);
	return !ini->error;
}

int conf_ini_read(struct conf_ini *ini)
{
	_cleanup_file_ FILE *stream = fopen(ini->file, "re");
	int r;

	if (!stream) {
		r = -errno;
		snprintf(ini->err, ini->err_size, "%s: %s", ini->file, strerror(-r));
		return r;
	}
	ini->stream = stream;
	r = ini_parse_stream(next_line, ini, take_key, ini);
	if (r > 0)
		conf_fail(ini, r, "neither a section, a key = value nor a comment");
	else if (r < 0)
		conf_no_memory(ini);
	else if (!ini->error && ferror(stream))
		conf_fail(ini, ini->line, "cannot be read");
	return ini->error;
}
