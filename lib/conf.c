// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * conf.c: the three configuration files as one checked whole. Enters: a folder.
 * Leaves: a struct conf in which every reference resolves, or the first error
 * with its file and line.
 *
 * The files are read in the order sysid, serverdb, fsetdb, so that a name can
 * be looked up where it stands. What needs a whole section (or all of them) is
 * checked when the section ends, at the line where the culprit stood.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "lib/cleanup.h"
#include "lib/conf_private.h"
#include "lib/tree.h"

#define SETTLE_DEFAULT		100
#define RING_DEFAULT		(16u << 20)
#define SEGMENT_DEFAULT		(64u << 20)

enum fileset_key {
	KEY_UUID, KEY_SERVER, KEY_REPLICATORS, KEY_PATH, KEY_PATH_HERE, KEY_STATE,
	KEY_STATE_HERE, KEY_SETTLE, KEY_RING, KEY_SEGMENT, KEY_CAPTURE, KEY_COUNT,
};

/* The files being read. path_line belongs to the filesets of conf. */
struct reading {
	struct conf *conf;
	unsigned self_section, section_line;
	unsigned line[KEY_COUNT];	/* of the current fileset; 0: not given */
	char **at;			/* "path@host", "state@host" seen */
	size_t nat;
	char *path, *path_here, *state, *state_here;
	unsigned path_line[CONF_FILESETS_MAX];
};

const struct conf_host *conf_host_find(const struct conf *c, const char *name)
{
	size_t i;

	for (i = 0; i < c->nhost; i++)
		if (!strcmp(c->host[i].name, name))
			return &c->host[i];
	return NULL;
}

const struct conf_fileset *conf_fileset_find(const struct conf *c, const char *name)
{
	size_t i;

	for (i = 0; i < c->nfileset; i++)
		if (!strcmp(c->fileset[i].name, name))
			return &c->fileset[i];
	return NULL;
}

static bool is_host(const struct conf *c, const char *name)
{
	return !strcmp(c->self, name) || conf_host_find(c, name);
}

static int set_text(struct conf_ini *ini, char **field, const char *value)
{
	free(*field);
	*field = strdup(value);
	return *field ? 0 : conf_no_memory(ini);
}

/* sysid */

static int sysid_section(struct conf_ini *ini, const char *kind, const char *name)
{
	struct reading *rd = ini->user;

	if (strcmp(kind, "host") || *name)
		return conf_fail(ini, ini->line, "the section here is [host]");
	if (rd->self_section)
		return conf_fail(ini, ini->line, "second [host], the first is in line %u",
				 rd->self_section);
	rd->self_section = ini->line;
	return 0;
}

static int sysid_key(struct conf_ini *ini, const char *key, const char *value)
{
	struct conf *c = ((struct reading *)ini->user)->conf;
	const char *why;

	if (!strcmp(key, "name")) {
		if (c->self)
			return conf_fail(ini, ini->line, "second name");
		why = conf_name_wrong(value);
		if (why)
			return conf_fail(ini, ini->line, "%s: %s", value, why);
		return set_text(ini, &c->self, value);
	}
	if (strcmp(key, "listen"))
		return conf_fail(ini, ini->line, "unknown key %s", key);
	why = conf_address_wrong(value);
	if (why)
		return conf_fail(ini, ini->line, "listen %s: %s", value, why);
	if (conf_list_has(c->listen, c->nlisten, value))
		return conf_fail(ini, ini->line, "listen %s is there twice", value);
	return conf_list_add(&c->listen, &c->nlisten, value) ?
	       conf_no_memory(ini) : 0;
}

/* serverdb */

static int serverdb_section(struct conf_ini *ini, const char *kind, const char *name)
{
	struct conf *c = ((struct reading *)ini->user)->conf;
	const char *why = conf_name_wrong(name);
	struct conf_host *more;

	if (strcmp(kind, "host"))
		return conf_fail(ini, ini->line, "the sections here are [host NAME]");
	if (why)
		return conf_fail(ini, ini->line, "host %s: %s", name, why);
	if (conf_host_find(c, name))
		return conf_fail(ini, ini->line, "host %s is there twice", name);
	if (c->nhost == CONF_HOSTS_MAX)
		return conf_fail(ini, ini->line, "more than %d hosts", CONF_HOSTS_MAX);
	more = realloc(c->host, (c->nhost + 1) * sizeof(*more));
	if (!more)
		return conf_no_memory(ini);
	c->host = more;
	more[c->nhost] = (struct conf_host){ .name = strdup(name) };
	return more[c->nhost++].name ? 0 : conf_no_memory(ini);
}

static int serverdb_key(struct conf_ini *ini, const char *key, const char *value)
{
	struct conf *c = ((struct reading *)ini->user)->conf;
	struct conf_host *h = &c->host[c->nhost - 1];
	const char *why;

	if (strcmp(key, "address"))
		return conf_fail(ini, ini->line, "unknown key %s", key);
	why = conf_address_wrong(value);
	if (why)
		return conf_fail(ini, ini->line, "address %s: %s", value, why);
	if (conf_list_has(h->address, h->naddress, value))
		return conf_fail(ini, ini->line, "address %s is there twice", value);
	return conf_list_add(&h->address, &h->naddress, value) ?
	       conf_no_memory(ini) : 0;
}

/* fsetdb */

static struct conf_fileset *current(struct reading *rd)
{
	return &rd->conf->fileset[rd->conf->nfileset - 1];
}

static void forget_section(struct reading *rd)
{
	memset(rd->line, 0, sizeof(rd->line));
	conf_list_free(rd->at, rd->nat);
	rd->at = NULL;
	rd->nat = 0;
	free(rd->path);
	free(rd->path_here);
	free(rd->state);
	free(rd->state_here);
	rd->path = rd->path_here = rd->state = rd->state_here = NULL;
}

/* This host's path and state, if the fileset is for this host at all. */
static int settle_paths(struct conf_ini *ini, struct reading *rd)
{
	struct conf_fileset *f = current(rd);
	const char *self = rd->conf->self;

	if (strcmp(f->server, self) &&
	    !conf_list_has(f->replicator, f->nreplicator, self))
		return 0;
	if (!rd->path && !rd->path_here)
		return conf_fail(ini, rd->section_line,
				 "fileset %s has no path for this host, %s",
				 f->name, self);
	rd->path_line[rd->conf->nfileset - 1] =
		rd->line[rd->path_here ? KEY_PATH_HERE : KEY_PATH];
	f->path = rd->path_here ? take_ptr(rd->path_here) : take_ptr(rd->path);
	f->state = rd->state_here ? take_ptr(rd->state_here) : take_ptr(rd->state);
	if (!f->state && asprintf(&f->state, "%s/.intermezzo",
				  strcmp(f->path, "/") ? f->path : "") < 0) {
		f->state = NULL;
		return conf_no_memory(ini);
	}
	return 0;
}

static int end_fileset(struct conf_ini *ini, struct reading *rd)
{
	const struct conf_host *h;
	struct conf_fileset *f;

	if (!rd->conf->nfileset)
		return 0;
	f = current(rd);
	if (!rd->line[KEY_UUID])
		return conf_fail(ini, rd->section_line, "fileset %s has no uuid", f->name);
	if (!f->server)
		return conf_fail(ini, rd->section_line, "fileset %s has no server", f->name);
	if (conf_list_has(f->replicator, f->nreplicator, f->server))
		return conf_fail(ini, rd->line[KEY_REPLICATORS],
				 "%s is the server and a replicator", f->server);
	h = conf_host_find(rd->conf, f->server);
	if (strcmp(f->server, rd->conf->self) && !h->naddress)
		return conf_fail(ini, rd->line[KEY_SERVER],
				 "server %s has no address in serverdb", f->server);
	return settle_paths(ini, rd);
}

static int fsetdb_section(struct conf_ini *ini, const char *kind, const char *name)
{
	struct reading *rd = ini->user;
	struct conf *c = rd->conf;
	const char *why = conf_name_wrong(name);
	struct conf_fileset *more;

	if (end_fileset(ini, rd))
		return ini->error;
	forget_section(rd);
	rd->section_line = ini->line;
	if (strcmp(kind, "fileset"))
		return conf_fail(ini, ini->line, "the sections here are [fileset NAME]");
	if (why)
		return conf_fail(ini, ini->line, "fileset %s: %s", name, why);
	if (conf_fileset_find(c, name))
		return conf_fail(ini, ini->line, "fileset %s is there twice", name);
	if (c->nfileset == CONF_FILESETS_MAX)
		return conf_fail(ini, ini->line, "more than %d filesets",
				 CONF_FILESETS_MAX);
	more = realloc(c->fileset, (c->nfileset + 1) * sizeof(*more));
	if (!more)
		return conf_no_memory(ini);
	c->fileset = more;
	more[c->nfileset++] = (struct conf_fileset){
		.name = strdup(name), .capture = strdup("bpf"),
		.settle_ms = SETTLE_DEFAULT, .ring_bytes = RING_DEFAULT,
		.segment_bytes = SEGMENT_DEFAULT,
	};
	return current(rd)->name && current(rd)->capture ? 0 : conf_no_memory(ini);
}

static int key_once(struct conf_ini *ini, enum fileset_key key, const char *name)
{
	struct reading *rd = ini->user;

	if (rd->line[key])
		return conf_fail(ini, ini->line, "second %s, the first is in line %u",
				 name, rd->line[key]);
	rd->line[key] = ini->line;
	return 0;
}

static int key_uuid(struct conf_ini *ini, const char *value)
{
	struct reading *rd = ini->user;
	struct conf *c = rd->conf;
	size_t i;

	if (conf_uuid(value, current(rd)->uuid))
		return conf_fail(ini, ini->line, "%s is not an 8-4-4-4-12 uuid", value);
	for (i = 0; i + 1 < c->nfileset; i++)
		if (!memcmp(c->fileset[i].uuid, current(rd)->uuid, 16))
			return conf_fail(ini, ini->line, "fileset %s has the same uuid",
					 c->fileset[i].name);
	return 0;
}

static int key_server(struct conf_ini *ini, const char *value)
{
	struct reading *rd = ini->user;

	if (!is_host(rd->conf, value))
		return conf_fail(ini, ini->line, "server %s is not in serverdb", value);
	return set_text(ini, &current(rd)->server, value);
}

static int key_replicators(struct conf_ini *ini, const char *value)
{
	struct conf_fileset *f = current(ini->user);
	struct conf *c = ((struct reading *)ini->user)->conf;
	_cleanup_free_ char *text = strdup(value);
	char *save = NULL, *name;

	if (!text)
		return conf_no_memory(ini);
	for (name = strtok_r(text, " \t", &save); name;
	     name = strtok_r(NULL, " \t", &save)) {
		if (!is_host(c, name))
			return conf_fail(ini, ini->line,
					 "replicator %s is not in serverdb", name);
		if (conf_list_has(f->replicator, f->nreplicator, name))
			return conf_fail(ini, ini->line,
					 "replicator %s is there twice", name);
		if (conf_list_add(&f->replicator, &f->nreplicator, name))
			return conf_no_memory(ini);
	}
	return 0;
}

static int key_folder(struct conf_ini *ini, char **field, const char *value)
{
	const char *why = conf_path_wrong(value);
	size_t len = strlen(value);

	if (why)
		return conf_fail(ini, ini->line, "%s: %s", value, why);
	if (set_text(ini, field, value))
		return ini->error;
	if (len > 1 && value[len - 1] == '/')
		(*field)[len - 1] = 0;
	return 0;
}

/* path@HOST and state@HOST; of other hosts they are only checked. */
static int key_at(struct conf_ini *ini, const char *key, const char *value)
{
	bool is_path = !strncmp(key, "path@", 5);
	const char *host = strchr(key, '@') + 1;
	struct reading *rd = ini->user;
	_cleanup_free_ char *other = NULL;

	if (!is_host(rd->conf, host))
		return conf_fail(ini, ini->line, "host %s is not in serverdb", host);
	if (conf_list_has(rd->at, rd->nat, key))
		return conf_fail(ini, ini->line, "second %s", key);
	if (conf_list_add(&rd->at, &rd->nat, key))
		return conf_no_memory(ini);
	if (strcmp(host, rd->conf->self))
		return key_folder(ini, &other, value);
	rd->line[is_path ? KEY_PATH_HERE : KEY_STATE_HERE] = ini->line;
	return key_folder(ini, is_path ? &rd->path_here : &rd->state_here, value);
}

static int key_capture(struct conf_ini *ini, const char *value)
{
	if (strcmp(value, "bpf") && strncmp(value, "script:/", 8))
		return conf_fail(ini, ini->line,
				 "capture is bpf or script:/PATH, not %s", value);
	return set_text(ini, &current(ini->user)->capture, value);
}

static int key_amount(struct conf_ini *ini, enum fileset_key key, const char *value)
{
	struct conf_fileset *f = current(ini->user);
	uint64_t v;

	if (key == KEY_SETTLE) {
		if (conf_number(value, 0, 60000, &v))
			return conf_fail(ini, ini->line, "settle is 0..60000 ms");
		f->settle_ms = v;
	} else if (key == KEY_RING) {
		if (conf_size(value, 64u << 10, 1u << 30, &v) || v & (v - 1))
			return conf_fail(ini, ini->line,
					 "ring is 64K..1G and a power of two");
		f->ring_bytes = v;
	} else {
		if (conf_size(value, 1u << 20, 1u << 30, &v) || v % 4096)
			return conf_fail(ini, ini->line,
					 "segment is 1M..1G and a multiple of 4K");
		f->segment_bytes = v;
	}
	return 0;
}

static int key_exclude(struct conf_ini *ini, const char *value)
{
	struct conf_fileset *f = current(ini->user);

	if (conf_list_has(f->exclude, f->nexclude, value))
		return conf_fail(ini, ini->line, "exclude %s is there twice", value);
	return conf_list_add(&f->exclude, &f->nexclude, value) ?
	       conf_no_memory(ini) : 0;
}

static int key_single(struct conf_ini *ini, enum fileset_key key, const char *value)
{
	struct reading *rd = ini->user;

	switch (key) {
	case KEY_UUID:
		return key_uuid(ini, value);
	case KEY_SERVER:
		return key_server(ini, value);
	case KEY_REPLICATORS:
		return key_replicators(ini, value);
	case KEY_PATH:
		return key_folder(ini, &rd->path, value);
	case KEY_STATE:
		return key_folder(ini, &rd->state, value);
	case KEY_CAPTURE:
		return key_capture(ini, value);
	default:
		return key_amount(ini, key, value);
	}
}

static int fsetdb_key(struct conf_ini *ini, const char *key, const char *value)
{
	static const char *const names[KEY_COUNT] = {
		[KEY_UUID] = "uuid", [KEY_SERVER] = "server",
		[KEY_REPLICATORS] = "replicators", [KEY_PATH] = "path",
		[KEY_STATE] = "state", [KEY_SETTLE] = "settle",
		[KEY_RING] = "ring", [KEY_SEGMENT] = "segment",
		[KEY_CAPTURE] = "capture",
	};
	unsigned i;

	if (!strcmp(key, "exclude"))
		return key_exclude(ini, value);
	if (!strncmp(key, "path@", 5) || !strncmp(key, "state@", 6))
		return key_at(ini, key, value);
	for (i = 0; i < KEY_COUNT; i++)
		if (names[i] && !strcmp(key, names[i]))
			return key_once(ini, i, key) ? : key_single(ini, i, value);
	return conf_fail(ini, ini->line, "unknown key %s", key);
}

/* Is b the folder a or below it? */
static bool path_within(const char *a, const char *b)
{
	size_t len = strcmp(a, "/") ? strlen(a) : 0;

	return !strncmp(a, b, len) && (!b[len] || b[len] == '/');
}

/* Is a the folder b or below it: by the paths as they are written, or by what they
 * lead to? */
static bool within(const char *a, const char *b)
{
	return path_within(b, a) || tree_holds(b, a);
}

static const char *nested(const struct conf_fileset *f, const struct conf_fileset *g)
{
	bool in = within(f->path, g->path), out = within(g->path, f->path);

	return in && out ? "is the same directory as" : in ? "lies within" :
	       out ? "holds" : NULL;
}

/* The state that f keeps would be replicated by g, whose journal grows by it. */
static bool state_in(const struct conf_fileset *f, const struct conf_fileset *g)
{
	return !path_within(f->path, f->state) && within(f->state, g->path);
}

static int check_pair(struct conf_ini *ini, unsigned line,
		      const struct conf_fileset *f, const struct conf_fileset *g)
{
	const char *how;

	if (!f->path || !g->path)	/* not of this host */
		return 0;
	how = nested(f, g);
	if (how)
		return conf_fail(ini, line, "nested filesets: %s of fileset %s %s %s of "
				 "fileset %s", f->path, f->name, how, g->path, g->name);
	if (state_in(f, g) || state_in(g, f))
		return conf_fail(ini, line, "the state folder of fileset %s lies within "
				 "%s of fileset %s",
				 state_in(f, g) ? f->name : g->name,
				 state_in(f, g) ? g->path : f->path,
				 state_in(f, g) ? g->name : f->name);
	return 0;
}

static int check_nesting(struct conf_ini *ini, struct reading *rd)
{
	const struct conf *c = rd->conf;

	for (size_t i = 0; i < c->nfileset; i++)
		for (size_t k = 0; k < i; k++)
			if (check_pair(ini, rd->path_line[i], &c->fileset[i],
				       &c->fileset[k]))
				return ini->error;
	return 0;
}

static int read_file(struct conf_ini *ini, const char *folder, const char *name)
{
	_cleanup_free_ char *file = NULL;
	int r;

	if (asprintf(&file, "%s/%s", folder, name) < 0) {
		file = NULL;
		return -ENOMEM;
	}
	ini->file = file;
	ini->line = 0;
	ini->in_section = false;
	r = conf_ini_read(ini);
	if (!r && !strcmp(name, "sysid") && !((struct reading *)ini->user)->conf->self)
		r = conf_fail(ini, ini->line, "no name for this host");
	if (!r && !strcmp(name, "fsetdb")) {
		r = end_fileset(ini, ini->user);
		if (!r)
			r = check_nesting(ini, ini->user);
	}
	return r;
}

int conf_load(const char *folder, struct conf **ret, char *err, size_t err_size)
{
	_cleanup_free_ struct reading *rd = calloc(1, sizeof(*rd));
	struct conf_ini ini = { .err = err, .err_size = err_size, .user = rd };
	int r = -ENOMEM;

	*err = 0;
	if (!rd || !(rd->conf = calloc(1, sizeof(*rd->conf)))) {
		snprintf(err, err_size, "%s: no memory", folder);
		return -ENOMEM;
	}
	ini.section = sysid_section;
	ini.key = sysid_key;
	r = read_file(&ini, folder, "sysid");
	ini.section = serverdb_section;
	ini.key = serverdb_key;
	if (!r)
		r = read_file(&ini, folder, "serverdb");
	ini.section = fsetdb_section;
	ini.key = fsetdb_key;
	if (!r)
		r = read_file(&ini, folder, "fsetdb");
	forget_section(rd);
	if (r) {
		conf_free(rd->conf);
		return r;
	}
	*ret = rd->conf;
	return 0;
}

static void fileset_free(struct conf_fileset *f)
{
	free(f->name);
	free(f->server);
	free(f->path);
	free(f->state);
	free(f->capture);
	conf_list_free(f->replicator, f->nreplicator);
	conf_list_free(f->exclude, f->nexclude);
}

void conf_free(struct conf *c)
{
	size_t i;

	if (!c)
		return;
	for (i = 0; i < c->nhost; i++) {
		free(c->host[i].name);
		conf_list_free(c->host[i].address, c->host[i].naddress);
	}
	for (i = 0; i < c->nfileset; i++)
		fileset_free(&c->fileset[i]);
	conf_list_free(c->listen, c->nlisten);
	free(c->host);
	free(c->fileset);
	free(c->self);
	free(c);
}
