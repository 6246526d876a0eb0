// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * peers.c: see peers.h. One line a peer: name, epoch, seq, chain in hex.
 */
#include "lento/peers.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "lib/cleanup.h"
#include "lib/io.h"

#define PEERS_FILE	"peers"
#define PEERS_MAX_BYTES	(64u << 10)

struct peers {
	int state_fd;
	const struct conf_fileset *conf;
	struct izo_pos *pos;		/* one for each of conf->replicator */
	bool changed;
};

static struct izo_pos *find(const struct peers *p, const char *name)
{
	for (size_t i = 0; i < p->conf->nreplicator; i++)
		if (!strcmp(p->conf->replicator[i], name))
			return &p->pos[i];
	return NULL;
}

static int parse(struct peers *p, char *text)
{
	char *save, *line;

	for (line = strtok_r(text, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save)) {
		unsigned long long epoch, seq, chain;
		char name[CONF_NAME_MAX + 1];
		struct izo_pos *pos;

		if (sscanf(line, "%63s %llx %llx %llx", name, &epoch, &seq, &chain) != 4)
			return -EBADMSG;
		pos = find(p, name);
		if (pos)	/* else: no replicator any more */
			*pos = (struct izo_pos){ epoch, seq, chain };
	}
	return 0;
}

int peers_open(int state_fd, const struct conf_fileset *f, struct peers **ret)
{
	struct peers *p = calloc(1, sizeof(*p));
	_cleanup_free_ char *text = NULL;
	size_t len;
	int e;

	if (!p)
		return -ENOMEM;
	p->state_fd = state_fd;
	p->conf = f;
	p->pos = calloc(f->nreplicator + 1, sizeof(*p->pos));
	e = p->pos ? file_read(state_fd, PEERS_FILE, PEERS_MAX_BYTES, &text, &len) :
	    -ENOMEM;
	if (!e)
		e = parse(p, text);
	if (e && e != -ENOENT) {
		peers_free(p);
		return e;
	}
	*ret = p;
	return 0;
}

void peers_free(struct peers *p)
{
	if (!p)
		return;
	free(p->pos);
	free(p);
}

void peers_set(struct peers *p, const char *name, const struct izo_pos *pos)
{
	struct izo_pos *have = find(p, name);

	if (!have || (have->epoch == pos->epoch && have->seq == pos->seq))
		return;
	*have = *pos;
	p->changed = true;
}

int peers_save(struct peers *p)
{
	_cleanup_free_ char *text = NULL;
	size_t len;
	FILE *out;
	int e;

	if (!p->changed)
		return 0;
	out = open_memstream(&text, &len);
	if (!out)
		return -ENOMEM;
	for (size_t i = 0; i < p->conf->nreplicator; i++)
		if (p->pos[i].epoch)
			fprintf(out, "%s %llx %llx %llx\n", p->conf->replicator[i],
				(unsigned long long)p->pos[i].epoch,
				(unsigned long long)p->pos[i].seq,
				(unsigned long long)p->pos[i].chain);
	if (fclose(out))
		return -ENOMEM;
	e = file_replace(p->state_fd, PEERS_FILE, text, len, 0600);
	if (!e)
		p->changed = false;
	return e;
}

uint64_t peers_least(const struct peers *p)
{
	uint64_t least = UINT64_MAX;

	for (size_t i = 0; i < p->conf->nreplicator; i++)
		if (p->pos[i].epoch && p->pos[i].seq < least)
			least = p->pos[i].seq;
	return least;
}
