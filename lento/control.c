/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * control.c: the administrator's socket. Enters: a line. Leaves: the document
 * that control_fn wrote. The lock file says who is alive: the kernel drops the
 * lock with the process, so a socket without a lock is a left-over.
 *
 * What must always hold: a client that does not send or does not read costs
 * one of CONTROL_CLIENTS_MAX places for CLIENT_MS at most, and never the loop.
 */
#include "lento/control.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "lib/cleanup.h"

#define CLIENT_MS	10000	/* to ask, and then for each piece of the answer */
#define PAUSE_MS	200	/* after trouble in accept */

struct client {
	struct client *next;
	struct control *c;
	int fd;
	struct loop_op *op, *timer;
	size_t len;
	char request[CONTROL_REQUEST_MAX];
	char *answer;
	size_t answer_len, sent;
};

struct control {
	struct loop *loop;
	char *path;
	int fd, lock_fd;
	struct loop_op *op;		/* accept, or the pause */
	control_fn *fn;
	void *ctx;
	struct client *clients;
	unsigned nclients;
};

static void accept_arm(struct control *c);

/* One client --------------------------------------------------------------------- */

static void client_free(struct client *k)
{
	close(k->fd);
	free(k->answer);
	free(k);
}

static void client_gone(void *ctx, int res)
{
	(void)res;
	client_free(ctx);
}

/* The operation under way, if any, lets go of the buffers later. */
static void client_end(struct client *k)
{
	struct loop *loop = k->c->loop;

	loop_cancel(loop, &k->timer);
	if (k->op)
		loop_cancel_then(loop, &k->op, client_gone, k);
	else
		client_free(k);
}

static void client_done(struct client *k)
{
	struct control *c = k->c;
	struct client **p = &c->clients;

	while (*p != k)
		p = &(*p)->next;
	*p = k->next;
	c->nclients--;
	client_end(k);
	if (!c->op)
		accept_arm(c);
}

static void on_client_timeout(void *ctx, int res)
{
	if (res == 0)
		client_done(ctx);
}

static int client_timer(struct client *k)
{
	loop_cancel(k->c->loop, &k->timer);
	return loop_timer(k->c->loop, CLIENT_MS, on_client_timeout, k, &k->timer);
}

static void on_sent(void *ctx, int res);

/* What the socket takes at once goes at once, so that a small answer arrives
 * even when the request was to stop. */
static void send_rest(struct client *k)
{
	ssize_t n = send(k->fd, k->answer + k->sent, k->answer_len - k->sent,
			 MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n > 0)
		k->sent += (size_t)n;
	if (k->sent == k->answer_len || client_timer(k) < 0 ||
	    loop_send(k->c->loop, k->fd, k->answer + k->sent, k->answer_len - k->sent,
		      on_sent, k, &k->op) < 0)
		client_done(k);
}

static void on_sent(void *ctx, int res)
{
	struct client *k = ctx;

	if (res <= 0) {
		client_done(k);
		return;
	}
	k->sent += (size_t)res;
	send_rest(k);
}

/* What fn wrote, or why it did not. */
static int answer_make(struct client *k)
{
	FILE *out = open_memstream(&k->answer, &k->answer_len);
	int rc;

	if (!out)
		return -errno;
	rc = k->c->fn(k->c->ctx, k->request, out);
	if (rc < 0) {
		rewind(out);	/* a half-written answer is none */
		fprintf(out, "{\"error\":\"%s\"}\n", rc == -EOPNOTSUPP || rc == -EINVAL ?
			"unknown request" : strerror(-rc));
	}
	return fclose(out) == 0 ? 0 : -ENOMEM;
}

static void on_request(void *ctx, int res)
{
	struct client *k = ctx;
	char *end;

	if (res <= 0) {
		client_done(k);
		return;
	}
	end = memchr(k->request + k->len, '\n', (size_t)res);
	k->len += (size_t)res;
	if (end) {
		*end = '\0';
		if (answer_make(k) < 0)
			client_done(k);
		else
			send_rest(k);
	} else if (k->len == sizeof(k->request) ||
		   loop_recv(k->c->loop, k->fd, k->request + k->len,
			     sizeof(k->request) - k->len, on_request, k, &k->op) < 0) {
		client_done(k);
	}
}

static void client_new(struct control *c, int fd)
{
	struct client *k = calloc(1, sizeof(*k));

	if (!k) {
		close(fd);
		return;
	}
	k->c = c;
	k->fd = fd;
	k->next = c->clients;
	c->clients = k;
	c->nclients++;
	if (client_timer(k) < 0 ||
	    loop_recv(c->loop, fd, k->request, sizeof(k->request), on_request, k, &k->op) < 0)
		client_done(k);
}

/* Accept ------------------------------------------------------------------------- */

static void on_pause(void *ctx, int res)
{
	if (res == 0)
		accept_arm(ctx);
}

static void on_accept(void *ctx, int res)
{
	struct control *c = ctx;

	if (res == -ECANCELED)
		return;
	if (res >= 0)
		client_new(c, res);
	if (res < 0)
		(void)loop_timer(c->loop, PAUSE_MS, on_pause, c, &c->op);
	else if (!c->op && c->nclients < CONTROL_CLIENTS_MAX)
		accept_arm(c);
}

static void accept_arm(struct control *c)
{
	if (loop_accept(c->loop, c->fd, on_accept, c, &c->op) < 0)
		(void)loop_timer(c->loop, PAUSE_MS, on_pause, c, &c->op);
}

/* Begin and end ------------------------------------------------------------------ */

static int make_directory(const char *path)
{
	_cleanup_free_ char *dir = strdup(path);
	char *slash = dir ? strrchr(dir, '/') : NULL;

	if (!dir)
		return -ENOMEM;
	if (!slash || slash == dir)
		return 0;
	*slash = '\0';
	return mkdir(dir, 0755) < 0 && errno != EEXIST ? -errno : 0;
}

/* fd of the lock, or -EADDRINUSE with the pid of its holder. */
static int take_lock(const char *path, pid_t *ret_pid)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	_cleanup_free_ char *name = NULL;
	_cleanup_fd_ int fd = -1;

	if (asprintf(&name, "%s.lock", path) < 0)
		return -ENOMEM;
	fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	if (fcntl(fd, F_SETLK, &lock) == 0)
		return take_fd(&fd);
	if (errno != EAGAIN && errno != EACCES)
		return -errno;
	if (fcntl(fd, F_GETLK, &lock) < 0 || lock.l_type == F_UNLCK)
		lock.l_pid = 0;
	*ret_pid = lock.l_pid;
	return -EADDRINUSE;
}

static int open_socket(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	_cleanup_fd_ int fd = -1;

	if (strlen(path) >= sizeof(a.sun_path))
		return -ENAMETOOLONG;
	strcpy(a.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (unlink(path) < 0 && errno != ENOENT)
		return -errno;
	/* Nobody connects before listen, so the mode comes in time. */
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || chmod(path, 0600) < 0 ||
	    listen(fd, 64) < 0)
		return -errno;
	return take_fd(&fd);
}

/* Directory, lock and socket of c->path. */
static int control_open(struct control *c, char *err, size_t err_size)
{
	pid_t pid = 0;
	int rc = make_directory(c->path);

	if (rc == 0)
		rc = c->lock_fd = take_lock(c->path, &pid);
	if (rc == -EADDRINUSE) {
		snprintf(err, err_size, "lento is already running (pid %d, %s)", (int)pid,
			 c->path);
		return rc;
	}
	if (rc >= 0)
		rc = c->fd = open_socket(c->path);
	if (rc < 0)
		snprintf(err, err_size, "%s: %s", c->path, strerror(-rc));
	return rc < 0 ? rc : 0;
}

static void control_free(struct control *c)
{
	if (c->fd >= 0)
		close(c->fd);
	if (c->lock_fd >= 0)
		close(c->lock_fd);
	free(c->path);
	free(c);
}

int control_start(struct loop *l, const char *path, control_fn *fn, void *ctx,
		  struct control **ret, char *err, size_t err_size)
{
	struct control *c = calloc(1, sizeof(*c));
	int rc;

	if (c)
		c->path = strdup(path);
	if (!c || !c->path) {
		free(c);
		snprintf(err, err_size, "out of memory");
		return -ENOMEM;
	}
	c->loop = l;
	c->fd = c->lock_fd = -1;
	c->fn = fn;
	c->ctx = ctx;
	rc = control_open(c, err, err_size);
	if (rc < 0) {
		control_free(c);
		return rc;
	}
	accept_arm(c);
	*ret = c;
	return 0;
}

static void control_gone(void *ctx, int res)
{
	if (res > 0)
		close(res);	/* accepted at the last moment */
	control_free(ctx);
}

void control_stop(struct control *c)
{
	if (!c)
		return;
	while (c->clients) {
		struct client *k = c->clients;

		c->clients = k->next;
		client_end(k);
	}
	unlink(c->path);
	if (c->op)
		loop_cancel_then(c->loop, &c->op, control_gone, c);
	else
		control_free(c);
}
