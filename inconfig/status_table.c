/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * status_table.c: the status document for people. Enters: JSON of lento (its
 * keys: lento/fileset_status.c). Leaves: a table with a row for each fileset
 * and peer, then errors, then (verbose) a table of positions and counters. A
 * key that is missing is shown as "-": an older lento can be asked as well.
 */
#include "inconfig/status.h"

#include <errno.h>
#include <libsmartcols/libsmartcols.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct json_object *get(struct json_object *o, const char *key)
{
	struct json_object *v;

	return json_object_object_get_ex(o, key, &v) ? v : NULL;
}

static const char *text(struct json_object *o, const char *key)
{
	struct json_object *v = get(o, key);

	return v ? json_object_get_string(v) : "-";
}

static uint64_t number(struct json_object *o, const char *key)
{
	struct json_object *v = get(o, key);

	return v ? json_object_get_uint64(v) : 0;
}

static size_t length(struct json_object *list)
{
	return json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
}

/* Cells -------------------------------------------------------------------------- */

__attribute__((format(printf, 3, 4)))
static void cell(struct libscols_line *line, size_t column, const char *fmt, ...)
{
	va_list ap;
	char *s;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&s, fmt, ap);
	va_end(ap);
	if (n >= 0 && scols_line_refer_data(line, column, s) != 0)
		free(s);
}

static void cell_number(struct libscols_line *line, size_t column,
			struct json_object *o, const char *key)
{
	if (get(o, key))
		cell(line, column, "%llu", (unsigned long long)number(o, key));
	else
		cell(line, column, "-");
}

/* 1023, 1.5K, 200M: four figures at most. */
static void cell_bytes(struct libscols_line *line, size_t column,
		       struct json_object *o, const char *key)
{
	static const char unit[] = "\0KMGTPE";
	double v = (double)number(o, key);
	int u = 0;

	while (v >= 1024 && unit[u + 1]) {
		v /= 1024;
		u++;
	}
	if (!get(o, key))
		cell(line, column, "-");
	else
		cell(line, column, u && v < 10 ? "%.1f%.1s" : "%.0f%.1s", v, unit + u);
}

static struct libscols_table *table_new(const char *const *names, const char *right)
{
	struct libscols_table *t = scols_new_table();

	for (size_t i = 0; t && names[i]; i++) {
		int flags = right[i] == 'r' ? SCOLS_FL_RIGHT : 0;

		if (!scols_table_new_column(t, names[i], 0, flags)) {
			scols_unref_table(t);
			return NULL;
		}
	}
	return t;
}

static int table_end(struct libscols_table *t)
{
	int rc = scols_table_is_empty(t) ? 0 : scols_print_table(t);

	scols_unref_table(t);
	return rc;
}

/* Filesets and peers ------------------------------------------------------------- */

enum { C_FILESET, C_ROLE, C_STATE, C_PEER, C_LINK, C_SEQ, C_LAG, C_BYTES, C_SECONDS };

static const char *const peer_names[] = {
	"FILESET", "ROLE", "STATE", "PEER", "LINK", "SEQ", "LAG", "BYTES", "SECONDS", NULL,
};
static const char peer_right[] = "lllllrrrr";

/* A fileset that stands still or is in doubt says so whatever a peer is doing. */
static void cell_state(struct libscols_line *line, struct json_object *f,
		       struct json_object *p)
{
	const char *own = text(f, "state");
	const char *state = get(p, "state") ? text(p, "state") : own;

	if (strcmp(own, "STOPPED") == 0 || strcmp(own, "SUSPECT") == 0)
		state = own;
	if (number(p, "fill_todo") && strcmp(state, "FILL") == 0)
		cell(line, C_STATE, "FILL %llu, %llu to do",
		     (unsigned long long)number(p, "fill_done"),
		     (unsigned long long)number(p, "fill_todo"));
	else
		cell(line, C_STATE, "%s", state);
}

/* p NULL: a fileset without peers. */
static int peer_row(struct libscols_table *t, struct json_object *f,
		    struct json_object *p)
{
	struct libscols_line *line = scols_table_new_line(t, NULL);

	if (!line)
		return -ENOMEM;
	cell(line, C_FILESET, "%s", text(f, "name"));
	cell(line, C_ROLE, "%s", text(f, "role"));
	cell_state(line, f, p);
	cell(line, C_PEER, "%s", text(p, "name"));
	cell(line, C_LINK, "%s", text(p, "link"));
	cell_number(line, C_SEQ, p ? p : get(f, "position"), p ? "position_seq" : "seq");
	cell_number(line, C_LAG, p, "lag_records");
	cell_bytes(line, C_BYTES, p, "lag_bytes");
	if (get(p, "lag_ms"))
		cell(line, C_SECONDS, "%.1f", (double)number(p, "lag_ms") / 1000);
	else
		cell(line, C_SECONDS, "-");
	return 0;
}

static int print_peers(struct json_object *filesets)
{
	struct libscols_table *t = table_new(peer_names, peer_right);
	int rc = t ? 0 : -ENOMEM;

	for (size_t i = 0; i < length(filesets) && rc == 0; i++) {
		struct json_object *f = json_object_array_get_idx(filesets, i);
		struct json_object *peers = get(f, "peers");

		if (!length(peers))
			rc = peer_row(t, f, NULL);
		for (size_t k = 0; k < length(peers) && rc == 0; k++)
			rc = peer_row(t, f, json_object_array_get_idx(peers, k));
	}
	return t ? table_end(t) : rc;
}

static void print_errors(struct json_object *filesets)
{
	for (size_t i = 0; i < length(filesets); i++) {
		struct json_object *f = json_object_array_get_idx(filesets, i);
		struct json_object *peers = get(f, "peers");

		if (get(f, "error"))
			printf("%s: %s\n", text(f, "name"), text(f, "error"));
		for (size_t k = 0; k < length(peers); k++) {
			struct json_object *p = json_object_array_get_idx(peers, k);

			if (get(p, "error"))
				printf("%s (peer %s): %s\n", text(f, "name"),
				       text(p, "name"), text(p, "error"));
		}
	}
}

/* Counters ----------------------------------------------------------------------- */

static const char *const counter_names[] = {
	"FILESET", "CAPTURE", "EPOCH", "SEQ", "JOURNAL", "RECORDS", "BYTES", "DROPPED",
	"DIRTY", "THROTTLED", "MISSED", NULL,
};
static const char counter_right[] = "lllrrrrrrrr";

static int print_counters(struct json_object *filesets)
{
	static const char *const keys[] = { "dropped", "dirty", "throttled", "missed" };
	struct libscols_table *t = table_new(counter_names, counter_right);

	if (!t)
		return -ENOMEM;
	for (size_t i = 0; i < length(filesets); i++) {
		struct json_object *f = json_object_array_get_idx(filesets, i);
		struct json_object *c = get(f, "counters"), *pos = get(f, "position");
		struct libscols_line *line = scols_table_new_line(t, NULL);

		if (!line) {
			scols_unref_table(t);
			return -ENOMEM;
		}
		cell(line, 0, "%s", text(f, "name"));
		cell(line, 1, "%s", text(f, "capture"));
		cell(line, 2, "%s", text(pos, "epoch"));
		cell_number(line, 3, pos, "seq");
		cell_bytes(line, 4, f, "journal_bytes");
		cell_number(line, 5, c, "records");
		cell_bytes(line, 6, c, "bytes");
		for (size_t k = 0; k < 4; k++)
			cell_number(line, 7 + k, c, keys[k]);
	}
	return table_end(t);
}

static void print_kinds(struct json_object *filesets)
{
	for (size_t i = 0; i < length(filesets); i++) {
		struct json_object *f = json_object_array_get_idx(filesets, i);
		struct json_object *kinds = get(get(f, "counters"), "kinds");

		if (!kinds || !json_object_object_length(kinds))
			continue;
		printf("%s:", text(f, "name"));
		json_object_object_foreach(kinds, kind, n)
			printf(" %s %s", kind, json_object_get_string(n));
		putchar('\n');
	}
}

int status_print(struct json_object *doc, bool verbose)
{
	struct json_object *filesets = get(doc, "filesets");
	int rc;

	if (verbose)
		printf("%s: lento %s, pid %llu\n", text(doc, "host"), text(doc, "version"),
		       (unsigned long long)number(doc, "pid"));
	if (!length(filesets))
		printf("no filesets on this host\n");
	rc = print_peers(filesets);
	if (rc == 0)
		print_errors(filesets);
	if (rc == 0 && verbose) {
		putchar('\n');
		rc = print_counters(filesets);
		print_kinds(filesets);
	}
	return rc;
}
