/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * conf.h: /etc/intermezzo/{sysid,fsetdb,serverdb}, our INI syntax read through
 * libinih, validated whole. Enters: a folder with the three files. Leaves: one
 * struct conf, or the first error as "FILE:LINE: text".
 *
 *   sysid      [host]            name = alpha
 *                                listen = 127.0.0.1:3440        (repeatable)
 *   serverdb   [host beta]       address = 10.0.0.2:3440
 *   fsetdb     [fileset data]    uuid = 8-4-4-4-12 hex
 *                                server = alpha
 *                                replicators = beta gamma
 *                                path = /srv/data       (every host, or)
 *                                path@beta = /mnt/data  (that host)
 *                                state = /var/lib/...   (default PATH/.intermezzo)
 *                                state@beta = ...
 *                                exclude = *.tmp        (repeatable)
 *                                settle = 100           (ms, 0..60000)
 *                                ring = 16M             (64K..1G, power of two)
 *                                segment = 64M          (1M..1G)
 *                                capture = bpf          (or script:PATH, tests)
 */
#ifndef LIB_CONF_H
#define LIB_CONF_H

#include <stddef.h>
#include <stdint.h>

#define CONF_HOSTS_MAX		256
#define CONF_FILESETS_MAX	256
#define CONF_NAME_MAX		63	/* [A-Za-z0-9._-], not starting with '.' or '-' */

struct conf_host {
	char *name;
	char **address;			/* host:port, [v6]:port */
	size_t naddress;
};

struct conf_fileset {
	char *name;
	unsigned char uuid[16];
	char *server;
	char **replicator;
	size_t nreplicator;
	char *path;			/* on this host; NULL: not for this host */
	char *state;			/* state folder on this host */
	char **exclude;
	size_t nexclude;
	uint32_t settle_ms;
	uint32_t ring_bytes, segment_bytes;
	char *capture;			/* "bpf" or "script:PATH" */
};

struct conf {
	char *self;			/* sysid name */
	char **listen;
	size_t nlisten;
	struct conf_host *host;
	size_t nhost;
	struct conf_fileset *fileset;
	size_t nfileset;
};

/* 0 or -errno with one line in err. An unknown key or section, a duplicate, a
 * server or replicator that serverdb does not know (but self), a path that is
 * not absolute, two filesets with one uuid: errors with file and line. So are two
 * filesets of which one holds the other on this host, as the paths are written or
 * (those that are there) by what they lead to. */
int conf_load(const char *folder, struct conf **ret, char *err, size_t err_size);
void conf_free(struct conf *c);

const struct conf_fileset *conf_fileset_find(const struct conf *c, const char *name);
const struct conf_host *conf_host_find(const struct conf *c, const char *name);

#endif
