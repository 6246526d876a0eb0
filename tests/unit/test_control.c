/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_control.c: the administrator's socket: small and large answers, errors,
 * requests in pieces and without an end, more clients than places, a second
 * lento, the socket of a dead one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include "lento/control.h"

static struct loop *loop;
static struct control *control;
static char dir[64], path[96];
static int asked;

static int answer(void *ctx, const char *request, FILE *out)
{
	(void)ctx;
	asked++;
	if (strcmp(request, "status") == 0) {
		fprintf(out, "{\"host\":\"alpha\"}\n");
		return 0;
	}
	if (strcmp(request, "big") == 0) {
		for (int i = 0; i < 1 << 20; i++)
			fputs("0123456789abcdef", out);
		return 0;
	}
	fprintf(out, "half an ans");
	return -EOPNOTSUPP;
}

static int setup(void **state)
{
	char err[256];

	(void)state;
	asked = 0;
	strcpy(dir, "/tmp/test_control.XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/run/lento.sock", dir);
	if (loop_new(&loop) < 0)
		return -1;
	return control_start(loop, path, answer, NULL, &control, err, sizeof(err));
}

static int teardown(void **state)
{
	char name[128];

	(void)state;
	control_stop(control);
	loop_free(loop);
	assert_int_equal(access(path, F_OK), -1);
	snprintf(name, sizeof(name), "%s.lock", path);
	unlink(name);
	snprintf(name, sizeof(name), "%s/run", dir);
	rmdir(name);
	return rmdir(dir);
}

static int client(void)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	strcpy(a.sun_path, path);
	assert_int_equal(connect(fd, (void *)&a, sizeof(a)), 0);
	return fd;
}

/* A client in a thread of its own: sends, reads to the end. */
struct talk {
	const char *request;
	size_t got;
	char first[128];
	pthread_t thread;
	int *left;
};

static void talk_ended(void *ctx, int res)
{
	struct talk *t = ctx;

	(void)res;
	if (--*t->left == 0)
		loop_quit(loop);
}

static void *talk_main(void *arg)
{
	struct talk *t = arg;
	char b[65536];
	ssize_t n;
	int fd = client();

	for (const char *p = t->request; *p; p++)	/* byte by byte */
		if (send(fd, p, 1, MSG_NOSIGNAL) < 0)
			break;
	while ((n = recv(fd, b, sizeof(b), 0)) > 0) {
		if (!t->got)
			snprintf(t->first, sizeof(t->first), "%.*s", (int)n, b);
		t->got += (size_t)n;
	}
	close(fd);
	loop_post(loop, talk_ended, t);
	return NULL;
}

static void talk(struct talk *t, int n)
{
	int left = n;

	for (int i = 0; i < n; i++) {
		t[i].left = &left;
		pthread_create(&t[i].thread, NULL, talk_main, &t[i]);
	}
	assert_int_equal(loop_run(loop), 0);
	for (int i = 0; i < n; i++)
		pthread_join(t[i].thread, NULL);
}

static void small_answer(void **state)
{
	struct talk t = { .request = "status\n" };

	(void)state;
	talk(&t, 1);
	assert_string_equal(t.first, "{\"host\":\"alpha\"}\n");
}

static void large_answer(void **state)
{
	struct talk t = { .request = "big\n" };

	(void)state;
	talk(&t, 1);
	assert_int_equal(t.got, 16 << 20);
}

static void unknown_request(void **state)
{
	struct talk t = { .request = "frobnicate\n" };

	(void)state;
	talk(&t, 1);
	assert_memory_equal(t.first, "{\"error\":\"unknown request\"}\n", 28);
}

static void endless_request(void **state)
{
	static char line[CONTROL_REQUEST_MAX + 100];
	struct talk t = { .request = line };

	(void)state;
	memset(line, 'a', sizeof(line) - 1);
	talk(&t, 1);
	assert_int_equal(t.got, 0);
	assert_int_equal(asked, 0);
}

static void more_than_places(void **state)
{
	struct talk t[3 * CONTROL_CLIENTS_MAX];

	(void)state;
	memset(t, 0, sizeof(t));
	for (int i = 0; i < 3 * CONTROL_CLIENTS_MAX; i++)
		t[i].request = "status\n";
	talk(t, 3 * CONTROL_CLIENTS_MAX);
	for (int i = 0; i < 3 * CONTROL_CLIENTS_MAX; i++)
		assert_int_equal(t[i].got, 17);
}

/* Clients that never read do not hold up another. */
static void slow_clients(void **state)
{
	struct talk t = { .request = "status\n" };
	int fd[CONTROL_CLIENTS_MAX - 1];

	(void)state;
	for (int i = 0; i < CONTROL_CLIENTS_MAX - 1; i++) {
		fd[i] = client();
		assert_int_equal(write(fd[i], "big\n", 4), 4);
	}
	talk(&t, 1);
	assert_int_equal(t.got, 17);
	for (int i = 0; i < CONTROL_CLIENTS_MAX - 1; i++)
		close(fd[i]);
}

static void modes(void **state)
{
	struct stat st;
	char name[128];

	(void)state;
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	snprintf(name, sizeof(name), "%s/run", dir);
	assert_int_equal(stat(name, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0755);
}

/* In a child: a POSIX lock does not stop its own process. */
static int second_lento(const char *expect)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		struct control *c;
		struct loop *l;
		char err[256] = "";
		int rc;

		if (loop_new(&l) < 0)
			_exit(9);
		rc = control_start(l, path, answer, NULL, &c, err, sizeof(err));
		_exit(rc == -EADDRINUSE && strstr(err, expect) ? 0 : rc == 0 ? 1 : 2);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WEXITSTATUS(status);
}

static void already_running(void **state)
{
	char expect[64];

	(void)state;
	snprintf(expect, sizeof(expect), "already running (pid %d,", (int)getpid());
	assert_int_equal(second_lento(expect), 0);
	small_answer(state);
}

/* The child ends without control_stop: its socket is no hindrance. */
static void left_over_socket(void **state)
{
	char err[256];

	(void)state;
	control_stop(control);
	control = NULL;
	loop_free(loop);
	assert_int_equal(second_lento(""), 1);
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(loop_new(&loop), 0);
	assert_int_equal(control_start(loop, path, answer, NULL, &control, err, sizeof(err)), 0);
	small_answer(state);
}

int main(void)
{
#define T(f)	cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(small_answer), T(large_answer), T(unknown_request), T(endless_request),
		T(more_than_places), T(slow_clients), T(modes), T(already_running),
		T(left_over_socket),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("control", tests, NULL, NULL);
}
