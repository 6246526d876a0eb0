/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lease.h: files on which another program holds a lease (fcntl(2), F_SETLEASE):
 * Samba's oplocks, delegations of the NFS server.
 */
#ifndef IZO_LEASE_H
#define IZO_LEASE_H

#include <stdatomic.h>
#include <stdbool.h>

/* After an open with O_NONBLOCK that gave r: should it be tried again? Where r is
 * -EAGAIN, a lease is being taken back, for which the kernel gives its holder
 * /proc/sys/fs/lease-break-time seconds (45); sleeps a moment then. false for any
 * other r, once *stop (may be NULL) is true, and after a minute of one file; *tries
 * is 0 before the first open of it. Blocks: not for the loop. */
bool lease_wait(int r, unsigned *tries, const atomic_bool *stop);

#endif
