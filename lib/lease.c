// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * lease.c: see lease.h. The open that failed has told the holder; only another
 * open tells whether it has given the lease up.
 */
#include "lib/lease.h"

#include <errno.h>
#include <unistd.h>

#define WAIT_US		20000
#define TRIES_MAX	3000

bool lease_wait(int r, unsigned *tries, const atomic_bool *stop)
{
	if (r != -EAGAIN || (stop && *stop) || (*tries)++ == TRIES_MAX)
		return false;
	usleep(WAIT_US);
	return true;
}
