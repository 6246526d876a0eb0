/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ask.h: one question to the lento of this host. Enters: its socket and a
 * request line (lento/control.h). Leaves: its JSON document, whole and parsed,
 * or one line why not.
 */
#ifndef INCONFIG_ASK_H
#define INCONFIG_ASK_H

#include <json-c/json.h>
#include <stddef.h>

/* 0: the caller puts *ret. -errno with one line in err, which names the socket
 * when nobody answers there; also when lento answers with an error. */
int ask_lento(const char *socket, const char *request, struct json_object **ret,
	      char *err, size_t err_size);

#endif
