/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * status.h: `inconfig status`. Enters: lento's status document. Leaves: tables
 * or the document itself.
 */
#ifndef INCONFIG_STATUS_H
#define INCONFIG_STATUS_H

#include <json-c/json.h>
#include <stdbool.h>

int cmd_status(int argc, char **argv);	/* exit code */

/* One row a fileset and peer; verbose: the counters of each fileset too. On
 * stdout. 0 or -errno. */
int status_print(struct json_object *doc, bool verbose);

#endif
