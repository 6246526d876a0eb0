// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * treecmp_node: names, directory fds and hard-link groups of a walk.
 *
 * A node carries the hash of its whole path, made from its parent's hash: a
 * tree a hundred thousand levels deep costs no more per object than a flat
 * one. A hard-link group is known by the first of its names in the walk. Both
 * trees are walked in the same sorted order and share nodes, so two groups are
 * equal exactly when their first nodes are.
 */
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "treecmp.h"

struct link {
	dev_t dev;
	ino_t ino;
	struct node *first;
};

static void *links[SIDES];

static XXH128_hash_t path_hash(const struct node *parent, const char *name)
{
	XXH3_state_t *state = XXH3_createState();
	XXH128_hash_t hash;

	if (!state)
		abort();
	XXH3_128bits_reset(state);
	if (parent)
		XXH3_128bits_update(state, &parent->hash, sizeof(parent->hash));
	XXH3_128bits_update(state, name, strlen(name));
	hash = XXH3_128bits_digest(state);
	XXH3_freeState(state);
	return hash;
}

struct node *node_new(struct node *parent, const char *name)
{
	static uint64_t seq;	/* only the walk makes nodes */
	struct node *node = malloc(sizeof(*node) + strlen(name) + 1);

	if (!node)
		abort();
	node->parent = parent ? node_get(parent) : NULL;
	atomic_init(&node->refs, 1);
	node->seq = seq++;
	node->hash = path_hash(parent, name);
	strcpy(node->name, name);
	return node;
}

struct node *node_get(struct node *node)
{
	atomic_fetch_add(&node->refs, 1);
	return node;
}

void node_put(struct node *node)
{
	while (node && atomic_fetch_sub(&node->refs, 1) == 1) {
		struct node *parent = node->parent;

		free(node);
		node = parent;
	}
}

char *node_path(const struct node *node)
{
	size_t len = 0;
	char *path, *p;

	if (!node->parent)
		return strdup(".");
	for (const struct node *n = node; n->parent; n = n->parent)
		len += strlen(n->name) + 1;
	path = malloc(len);
	if (!path)
		abort();
	p = path + len;
	for (const struct node *n = node; n->parent; n = n->parent) {
		size_t part = strlen(n->name);

		*--p = n == node ? '\0' : '/';
		p -= part;
		memcpy(p, n->name, part);
	}
	return path;
}

struct dirpair *dirpair_new(void)
{
	struct dirpair *pair = malloc(sizeof(*pair));

	if (!pair)
		abort();
	atomic_init(&pair->refs, 1);
	pair->fd[SIDE_A] = pair->fd[SIDE_B] = -1;
	return pair;
}

struct dirpair *dirpair_get(struct dirpair *pair)
{
	atomic_fetch_add(&pair->refs, 1);
	return pair;
}

void dirpair_put(struct dirpair *pair)
{
	if (!pair || atomic_fetch_sub(&pair->refs, 1) != 1)
		return;
	for (int s = 0; s < SIDES; s++)
		if (pair->fd[s] >= 0)
			close(pair->fd[s]);
	free(pair);
}

static int link_cmp(const void *pa, const void *pb)
{
	const struct link *a = pa, *b = pb;

	if (a->ino != b->ino)
		return a->ino < b->ino ? -1 : 1;
	return a->dev == b->dev ? 0 : a->dev < b->dev ? -1 : 1;
}

struct node *links_first(enum side side, const struct stat *st,
			 struct node *node)
{
	struct link *key, **found;

	if (st->st_nlink < 2 || S_ISDIR(st->st_mode))
		return node;
	key = malloc(sizeof(*key));
	if (!key)
		abort();
	*key = (struct link){ st->st_dev, st->st_ino, node };
	found = tsearch(key, &links[side], link_cmp);
	if (!found)
		abort();
	if (*found == key)
		node_get(node);
	else
		free(key);
	return (*found)->first;
}

static void link_free(void *p)
{
	struct link *link = p;

	node_put(link->first);
	free(link);
}

void links_done(void)
{
	for (int s = 0; s < SIDES; s++)
		tdestroy(links[s], link_free);
}
