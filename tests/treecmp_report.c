// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * treecmp_report: what was found, and how it is told.
 *
 * Workers report in any order; lines are kept with the place of their object
 * in the walk and printed at the end in that order, so that two runs print
 * the same. Only the first `--max` are kept. Trouble (a tree that changes
 * while it is walked, an unreadable object) goes to stderr and makes the exit
 * status 2. Bytes that are not printable ASCII, be they of names, attributes or
 * symlinks, are shown as \ooo; of a very long path both ends, unless all is
 * wanted (--max 0).
 */
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "treecmp.h"

#define PATH_END	400

struct line {
	uint64_t seq;
	uint64_t order;		/* several lines about one object keep theirs */
	char *text;
	bool error;
};

static struct {
	pthread_mutex_t lock;	/* everything below, but for the counters */
	struct line *line;
	size_t count;
	size_t cap;
	uint64_t order;
	uint64_t diffs;
	uint64_t errors;
	atomic_uint_fast64_t objects;
	atomic_uint_fast64_t bytes;
} report = { .lock = PTHREAD_MUTEX_INITIALIZER };

static int line_cmp(const void *pa, const void *pb)
{
	const struct line *a = pa, *b = pb;

	if (a->error != b->error)
		return a->error ? -1 : 1;
	if (a->seq != b->seq)
		return a->seq < b->seq ? -1 : 1;
	return a->order < b->order ? -1 : 1;
}

static void keep_first(size_t keep)
{
	if (report.count)
		qsort(report.line, report.count, sizeof(*report.line), line_cmp);
	while (report.count > keep)
		free(report.line[--report.count].text);
}

static void add_line(uint64_t seq, char *text, bool error)
{
	if (report.count == report.cap) {
		if (options.max && report.cap >= 4 * (size_t)options.max + 1000)
			keep_first(2 * (size_t)options.max);
		else
			report.cap = report.cap ? 2 * report.cap : 64;
		report.line = reallocarray(report.line, report.cap,
					   sizeof(*report.line));
		if (!report.line)
			abort();
	}
	report.line[report.count++] = (struct line){
		.seq = seq, .order = report.order++, .text = text,
		.error = error,
	};
}

static void print_escaped(FILE *out, const char *text, size_t len)
{
	for (const unsigned char *p = (const unsigned char *)text; len--; p++) {
		if (*p == '\\')
			fputs("\\\\", out);
		else if (*p < 0x20 || *p >= 0x7f)
			fprintf(out, "\\%03o", *p);
		else
			putc(*p, out);
	}
}

static void print_path(FILE *out, const struct node *node)
{
	char *path = node_path(node);
	size_t len = strlen(path);

	if (options.max && len > 3 * PATH_END) {
		print_escaped(out, path, PATH_END);
		fprintf(out, "...(%zu bytes)...", len - 2 * PATH_END);
		print_escaped(out, path + len - PATH_END, PATH_END);
	} else {
		print_escaped(out, path, len);
	}
	free(path);
}

__attribute__((format(printf, 2, 0)))
static void print_message(FILE *out, const char *fmt, va_list args)
{
	char *text;
	int len = vasprintf(&text, fmt, args);

	if (len < 0)
		abort();
	print_escaped(out, text, len);
	free(text);
}

__attribute__((format(printf, 3, 0)))
static void report_add(const struct node *node, bool error, const char *fmt,
		       va_list args)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	if (!out)
		abort();
	print_path(out, node);
	fputs(": ", out);
	print_message(out, fmt, args);
	if (fclose(out))
		abort();
	pthread_mutex_lock(&report.lock);
	if (error)
		report.errors++;
	else
		report.diffs++;
	add_line(node->seq, text, error);
	pthread_mutex_unlock(&report.lock);
}

void report_diff(const struct node *node, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	report_add(node, false, fmt, args);
	va_end(args);
}

void report_error(const struct node *node, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	report_add(node, true, fmt, args);
	va_end(args);
}

void report_count(uint64_t objects, uint64_t bytes)
{
	atomic_fetch_add(&report.objects, objects);
	atomic_fetch_add(&report.bytes, bytes);
}

bool report_failed(void)
{
	return report.errors;
}

static void print_lines(void)
{
	size_t printed = 0;

	keep_first(report.count);
	for (size_t i = 0; i < report.count; i++) {
		struct line *line = &report.line[i];

		if (!options.max || printed < options.max) {
			fprintf(line->error ? stderr : stdout, "%s\n",
				line->text);
			printed++;
		}
		free(line->text);
	}
	free(report.line);
	if (report.diffs + report.errors > printed)
		printf("... and %llu more\n",
		       (unsigned long long)(report.diffs + report.errors -
					    printed));
}

int report_print(void)
{
	unsigned long long objects = report.objects, bytes = report.bytes;

	print_lines();
	if (options.digest)
		return report.errors ? 2 : 0;
	if (report.errors)
		printf("trouble: %llu errors, %llu differences, %llu objects, %llu bytes\n",
		       (unsigned long long)report.errors,
		       (unsigned long long)report.diffs, objects, bytes);
	else if (report.diffs)
		printf("different: %llu differences, %llu objects, %llu bytes\n",
		       (unsigned long long)report.diffs, objects, bytes);
	else
		printf("identical: %llu objects, %llu bytes\n", objects, bytes);
	return report.errors ? 2 : report.diffs ? 1 : 0;
}
