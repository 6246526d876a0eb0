// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * conf_value.c: the values of the configuration, each checked by itself.
 * Enters: text of one key. Leaves: the value, or what is wrong with it. What
 * passes here can be part of a path, a message or a command line as it is.
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include "lib/conf_private.h"
#include "lib/io.h"

#define NAME_CHARS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"

const char *conf_name_wrong(const char *name)
{
	if (!*name)
		return "name is missing";
	if (strlen(name) > CONF_NAME_MAX)
		return "name is longer than 63 characters";
	if (*name == '.' || *name == '-')
		return "name starts with a dot or a dash";
	/* Folders of ours, which stand beside those of filesets. */
	if (!strcmp(name, "stage") || !strcmp(name, "limbo") || !strcmp(name, "lifted"))
		return "name is reserved";
	if (name[strspn(name, NAME_CHARS)])
		return "name has a character other than A-Z a-z 0-9 . _ -";
	return NULL;
}

static const char *port_wrong(const char *port)
{
	uint64_t n;

	return conf_number(port, 1, 65535, &n) ? "port is not 1..65535" : NULL;
}

static const char *v6_wrong(const char *address)
{
	const char *end = strchr(address, ']');
	char host[INET6_ADDRSTRLEN];
	struct in6_addr in6;
	size_t len;

	if (!end || end[1] != ':')
		return "address is not [v6]:port";
	len = end - address - 1;
	if (len >= sizeof(host))
		return "not an IPv6 address";
	memcpy(host, address + 1, len);
	host[len] = 0;
	if (inet_pton(AF_INET6, host, &in6) != 1)
		return "not an IPv6 address";
	return port_wrong(end + 2);
}

const char *conf_address_wrong(const char *address)
{
	const char *colon = strchr(address, ':');

	if (*address == '[')
		return v6_wrong(address);
	if (!colon || colon == address)
		return "address is not host:port";
	if (strchr(colon + 1, ':'))
		return "an IPv6 address is written [v6]:port";
	if (colon - address > 253 ||
	    strspn(address, NAME_CHARS) != (size_t)(colon - address))
		return "not a host name";
	return port_wrong(colon + 1);
}

const char *conf_path_wrong(const char *path)
{
	const char *p = path;

	if (*path != '/')
		return "path is not absolute";
	if (strlen(path) >= PATH_MAX)
		return "path is too long";
	while (*p) {
		size_t len = strcspn(++p, "/");

		if ((!len && p[len]) || (len == 1 && p[0] == '.') ||
		    (len == 2 && p[0] == '.' && p[1] == '.'))
			return "path has an empty part, . or ..";
		if (len > NAME_MAX)
			return "path has a part that is too long";
		p += len;
	}
	return NULL;
}

int conf_uuid(const char *text, unsigned char ret[16])
{
	static const unsigned char dash[] = { 8, 13, 18, 23 };
	unsigned i, n = 0, next_dash = 0;
	unsigned char uuid[16] = { 0 };

	if (strlen(text) != 36)
		return -EINVAL;
	for (i = 0; i < 36; i++) {
		int c = tolower((unsigned char)text[i]);

		if (next_dash < 4 && i == dash[next_dash]) {
			if (c != '-')
				return -EINVAL;
			next_dash++;
			continue;
		}
		if (!isxdigit(c))
			return -EINVAL;
		c = isdigit(c) ? c - '0' : c - 'a' + 10;
		uuid[n / 2] |= n % 2 ? c : c << 4;
		n++;
	}
	memcpy(ret, uuid, 16);
	return 0;
}

int conf_size(const char *text, uint64_t min, uint64_t max, uint64_t *ret)
{
	uint64_t v;

	if (size_parse(text, &v) || v < min || v > max)
		return -EINVAL;
	*ret = v;
	return 0;
}

int conf_number(const char *text, uint64_t min, uint64_t max, uint64_t *ret)
{
	if (text[strspn(text, "0123456789")])
		return -EINVAL;
	return conf_size(text, min, max, ret);
}

int conf_list_add(char ***list, size_t *n, const char *text)
{
	char **more = realloc(*list, (*n + 1) * sizeof(*more));

	if (!more)
		return -ENOMEM;
	*list = more;
	more[*n] = strdup(text);
	if (!more[*n])
		return -ENOMEM;
	++*n;
	return 0;
}

void conf_list_free(char **list, size_t n)
{
	while (n)
		free(list[--n]);
	free(list);
}

bool conf_list_has(char **list, size_t n, const char *text)
{
	while (n)
		if (!strcmp(list[--n], text))
			return true;
	return false;
}
