/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * peers.h: how far each replica of a fileset durably is, as the source knows it:
 * the journal is kept from the least of these on. On disk as <state>/peers, so
 * that a restart does not trim what an absent replica still needs.
 */
#ifndef LENTO_PEERS_H
#define LENTO_PEERS_H

#include <stdint.h>
#include "intermezzo/record.h"
#include "lib/conf.h"

struct peers;

/* Reads the file of the state folder; a missing one is empty, a malformed one
 * an error. */
int peers_open(int state_fd, const struct conf_fileset *f, struct peers **ret);
void peers_free(struct peers *p);

/* name is at pos from now on; pos of another epoch replaces it whole. */
void peers_set(struct peers *p, const char *name, const struct izo_pos *pos);
/* Writes the file if something changed. */
int peers_save(struct peers *p);
/* The least sequence that a configured replicator has, in whatever epoch: after a
 * gap it is the base of a comparison. Those never seen do not count. UINT64_MAX:
 * none counts. */
uint64_t peers_least(const struct peers *p);

#endif
