/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ask.c: the client of lento's control socket. Enters: a request line. Leaves:
 * a JSON object. What must always hold: a lento that hangs does not hang us
 * (10 s), an answer without an end is cut (64 MiB).
 */
#include "inconfig/ask.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>
#include "lib/cleanup.h"

#define ASK_SECONDS	10
#define ANSWER_MAX	(64u << 20)

static int connect_to(const char *path)
{
	struct timeval limit = { .tv_sec = ASK_SECONDS };
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	_cleanup_fd_ int fd = -1;

	if (strlen(path) >= sizeof(a.sun_path))
		return -ENAMETOOLONG;
	strcpy(a.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		return -errno;
	return take_fd(&fd);
}

static int send_line(int fd, const char *request)
{
	_cleanup_free_ char *line = NULL;
	int len = asprintf(&line, "%s\n", request);

	if (len < 0)
		return line = NULL, -ENOMEM;
	return send(fd, line, (size_t)len, MSG_NOSIGNAL) == len ? 0 : -EPIPE;
}

/* All until the end; *ret_text is NUL-terminated. */
static int read_answer(int fd, char **ret_text)
{
	_cleanup_free_ char *text = NULL;
	size_t len = 0, size = 0;

	for (;;) {
		ssize_t n;

		if (len + 1 >= size) {
			char *more = size < ANSWER_MAX ?
				realloc(text, size = size ? size * 2 : 65536) : NULL;

			if (!more)
				return -EMSGSIZE;
			text = more;
		}
		n = recv(fd, text + len, size - len - 1, 0);
		if (n < 0)
			return errno == EAGAIN ? -ETIMEDOUT : -errno;
		if (n == 0)
			break;
		len += (size_t)n;
	}
	text[len] = '\0';
	*ret_text = take_ptr(text);
	return 0;
}

static int parse(const char *text, struct json_object **ret, char *err, size_t err_size)
{
	enum json_tokener_error e;
	struct json_object *doc = json_tokener_parse_verbose(text, &e), *error;

	if (!json_object_is_type(doc, json_type_object)) {
		snprintf(err, err_size, "lento's answer is no JSON object: %s",
			 doc ? "something else" : json_tokener_error_desc(e));
		json_object_put(doc);
		return -EBADMSG;
	}
	if (json_object_object_get_ex(doc, "error", &error) && error) {
		snprintf(err, err_size, "lento says: %s", json_object_get_string(error));
		json_object_put(doc);
		return -EREMOTEIO;
	}
	*ret = doc;
	return 0;
}

int ask_lento(const char *socket_path, const char *request, struct json_object **ret,
	      char *err, size_t err_size)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_fd_ int fd = connect_to(socket_path);
	int rc = fd;

	if (fd == -ENOENT || fd == -ECONNREFUSED) {
		snprintf(err, err_size, "no lento is running at %s", socket_path);
		return rc;
	}
	if (rc >= 0)
		rc = send_line(fd, request);
	if (rc >= 0)
		rc = read_answer(fd, &text);
	if (rc < 0) {
		snprintf(err, err_size, "%s: %s", socket_path, strerror(-rc));
		return rc;
	}
	return parse(text, ret, err, err_size);
}
