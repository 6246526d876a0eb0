/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fidmap.h: what a replica must remember, in one LMDB environment: which local
 * object stands for which of the peer's, the position, the hollow slots, what
 * a fill still has to do. Changes gather in one transaction that is begun by
 * itself and ends with fidmap_commit(): it survives kill -9 at once (page
 * cache) and a power cut after fidmap_sync(). A map that a power cut met
 * between the two is not to be trusted; apply_state.c rebuilds it from the tags
 * that the objects carry. One thread at a time; one process (flock).
 */
#ifndef LENTO_FIDMAP_H
#define LENTO_FIDMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "intermezzo/record.h"

struct fidmap;

/* Entry flags. */
#define FIDMAP_STAGED	0x1u	/* nameless: lies in stage/ (TMPFILE, fetched) */
#define FIDMAP_PARTIAL	0x2u	/* a fetch of this subtree is not finished */

struct fidmap_entry {
	struct izo_fid local;
	uint16_t type;		/* S_IFMT bits */
	uint16_t flags;		/* FIDMAP_* */
	uint32_t fill;		/* number of the fill that saw it whole */
};

/* The side tables: keys and values are bytes of their users. */
enum fidmap_table {
	FIDMAP_META, FIDMAP_HOLLOW, FIDMAP_VIRT, FIDMAP_TODO, FIDMAP_PEND,
	FIDMAP_TABLES
};

/* Opens or makes the environment in the folder dir. -EBUSY: another process
 * has it; -EUCLEAN: damaged. */
int fidmap_open(const char *dir, struct fidmap **ret);
void fidmap_close(struct fidmap *m);	/* commits */

/* 0, -ENOENT, -errno. */
int fidmap_get(struct fidmap *m, const struct izo_fid *peer,
	       struct fidmap_entry *ret);
int fidmap_put(struct fidmap *m, const struct izo_fid *peer,
	       const struct fidmap_entry *e);
int fidmap_del(struct fidmap *m, const struct izo_fid *peer);
uint64_t fidmap_count(struct fidmap *m);
/* Removes every entry for which drop() says true. */
int fidmap_sweep(struct fidmap *m,
		 bool (*drop)(void *ctx, const struct izo_fid *peer,
			      const struct fidmap_entry *e),
		 void *ctx);
int fidmap_clear(struct fidmap *m);	/* the map and every table */

int fidmap_tab_put(struct fidmap *m, enum fidmap_table t, const void *key,
		   size_t key_len, const void *value, size_t value_len);
int fidmap_tab_del(struct fidmap *m, enum fidmap_table t, const void *key,
		   size_t key_len);
/* Copies at most size bytes; the value's length, or -ENOENT, -errno. */
int64_t fidmap_tab_get(struct fidmap *m, enum fidmap_table t, const void *key,
		       size_t key_len, void *ret, size_t size);
/* The first entry whose key is greater than after (NULL: the first of all).
 * Pointers are good until the next call that changes anything. 0 or -ENOENT. */
int fidmap_tab_next(struct fidmap *m, enum fidmap_table t, const void *after,
		    size_t after_len, const void **ret_key, size_t *ret_key_len,
		    const void **ret_value, size_t *ret_len);
int fidmap_tab_clear(struct fidmap *m, enum fidmap_table t);
uint64_t fidmap_tab_count(struct fidmap *m, enum fidmap_table t);

int fidmap_commit(struct fidmap *m);
int fidmap_sync(struct fidmap *m);	/* commit, then to the disk */

/* FIDs as keys: big-endian, so that neighbours lie together. */
#define FIDMAP_KEY_BYTES	20
void fidmap_key(const struct izo_fid *fid, unsigned char ret[FIDMAP_KEY_BYTES]);
void fidmap_unkey(const unsigned char *key, struct izo_fid *ret);

#endif
