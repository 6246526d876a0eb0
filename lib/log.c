// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * log.c: see log.h. A line is written by one write(2), so that lines of
 * several threads and processes never mix.
 */
#include "lib/log.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static const char *log_program = "?";
static enum log_level log_most = LOG_L_INFO;
static bool log_journald;

void log_init(const char *program, enum log_level most)
{
	log_program = program;
	log_most = most;
	log_journald = getenv("JOURNAL_STREAM") != NULL;
}

static int log_prefix(char *buf, size_t size, enum log_level level)
{
	struct timespec now;
	struct tm tm;
	char stamp[32];

	if (log_journald)
		return snprintf(buf, size, "<%d>", level);
	clock_gettime(CLOCK_REALTIME, &now);
	localtime_r(&now.tv_sec, &tm);
	strftime(stamp, sizeof(stamp), "%H:%M:%S", &tm);
	return snprintf(buf, size, "%s.%03ld %s%s: ", stamp,
			now.tv_nsec / 1000000, log_program,
			level == LOG_L_ERR ? " error" :
			level == LOG_L_WARN ? " warning" : "");
}

void log_line(enum log_level level, const char *fmt, ...)
{
	char buf[2048];
	va_list ap;
	int n, m;

	if (level > log_most)
		return;
	n = log_prefix(buf, sizeof(buf), level);
	va_start(ap, fmt);
	m = vsnprintf(buf + n, sizeof(buf) - n - 1, fmt, ap);
	va_end(ap);
	if (m < 0)
		return;
	n += m;
	if (n > (int)sizeof(buf) - 2)
		n = sizeof(buf) - 2;
	buf[n++] = '\n';
	if (write(STDERR_FILENO, buf, n) < 0)
		return;
}
