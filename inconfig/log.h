/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * log.h: `inconfig log`. Enters: a fileset's name or a journal folder. Leaves:
 * the records of journal or ring on stdout, one a line.
 */
#ifndef INCONFIG_LOG_H
#define INCONFIG_LOG_H

int cmd_log(int argc, char **argv);	/* exit code */

#endif
