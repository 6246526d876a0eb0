// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * routes.c: prepares the directories of the routes, runs them, tells how each
 * ended. What was done is judged elsewhere: the trees are compared.
 *
 *   routes list                   names and flags, one a line
 *   routes prepare DIR [GLOB]     a directory for each below DIR
 *   routes run DIR [GLOB]         "done NAME", "skip NAME why", "fail NAME why"
 *   routes early DIR [GLOB]       opens and maps; goes on at a line on stdin
 *
 * Routes named early-* and unhooked-* take part only when GLOB begins with that.
 * $ROUTES_ELSEWHERE: a folder on another filesystem, best of the same type.
 */
#include <dirent.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>
#include "tests/routes/routes.h"

#define LIMIT_S		60	/* of one route */
#define SKIPPED		77
#define WHY_BYTES	200

static const struct route *const tables[] = {
	name_routes, write_routes, map_routes, layout_routes, attr_routes, uring_routes,
	around_routes, nfs_routes, early_routes,
};
#define NTABLES (sizeof(tables) / sizeof(tables[0]))

/* What a child says of itself; how many early ones wait. Shared with them. */
static char *why;
atomic_uint *early_waiting;

int skip(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, WHY_BYTES, fmt, ap);
	va_end(ap);
	return SKIPPED;
}

int missing_or(int e, const char *what)
{
	if (e == -ENOSYS || e == -EOPNOTSUPP || e == -ENOTTY || e == -EINVAL)
		return skip("%s: %s", what, strerror(-e));
	return e;
}

unsigned char *fresh(size_t n)
{
	static uint64_t state;
	uint64_t *p;

	if (posix_memalign((void **)&p, PAGE, (n + PAGE) / PAGE * PAGE))
		return NULL;
	if (!state)
		state = (uint64_t)getpid() << 32 | 0x9e3779b9;
	for (size_t i = 0; i < (n + 7) / 8; i++) {
		state = state * 6364136223846793005u + 1442695040888963407u;
		p[i] = (state >> 1 | 0x2020202020202020u) & 0x7f7f7f7f7f7f7f7fu;
	}
	return (unsigned char *)p;
}

int put(int fd, off_t off, size_t n)
{
	unsigned char *buf = fresh(n);
	size_t done = 0;
	int r = 0;

	if (!buf)
		return -ENOMEM;
	while (done < n && !r) {
		ssize_t got = pwrite(fd, buf + done, n - done, off + done);

		if (got <= 0)
			r = got ? -errno : -EIO;
		else
			done += got;
	}
	free(buf);
	return r;
}

int make(const char *path, size_t n)
{
	int fd = open(path, O_CREAT | O_TRUNC | O_RDWR, 0644), r;

	if (fd < 0)
		return -errno;
	r = put(fd, 0, n);
	close(fd);
	return r;
}

int in_child(int (*fn)(void))
{
	pid_t pid = fork();
	int status;

	if (pid < 0)
		return -errno;
	if (!pid) {
		int r = fn();

		_exit(r < 0 ? -r : r);
	}
	if (waitpid(pid, &status, 0) < 0)
		return -errno;
	if (!WIFEXITED(status))
		return -EINTR;
	return WEXITSTATUS(status) == SKIPPED ? SKIPPED : -WEXITSTATUS(status);
}

int program(const char *const *argv)
{
	pid_t pid = fork();
	int status;

	if (pid < 0)
		return -errno;
	if (!pid) {
		int null = open("/dev/null", O_RDWR);

		dup2(null, 0);
		dup2(null, 1);
		dup2(null, 2);
		execvp(argv[0], (char *const *)argv);
		_exit(127);
	}
	if (waitpid(pid, &status, 0) < 0)
		return -errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -EINTR;
}

const char *elsewhere(void)
{
	static char dir[200];
	const char *below = getenv("ROUTES_ELSEWHERE");

	if (!dir[0]) {
		snprintf(dir, sizeof(dir), "%s/routes.XXXXXX", below ? below : "/dev/shm");
		if (!mkdtemp(dir))
			return NULL;
	}
	return dir;
}

unsigned long filesystem(void)
{
	struct statfs st;

	return statfs(".", &st) ? 0 : (unsigned long)st.f_type;
}

/* --- what every route finds ------------------------------------------------ */

struct acl {
	uint32_t version;
	struct { uint16_t tag, perm; uint32_t id; } e[6];
};
static const struct acl an_acl = { 2, {
	{ 1, 6, ~0u }, { 2, 4, 1000 }, { 4, 4, ~0u }, { 8, 6, 2000 }, { 0x10, 6, ~0u },
	{ 0x20, 0, ~0u } } };
static const uint32_t a_cap[5] = { 0x02000001, 1 << 10, 0, 0, 0 };

static int prepare_files(void)
{
	int fd;

	DO(make("f", FILE_BYTES));
	DO(make("g", FILE_BYTES));
	TRY(link("g", "h"));
	TRY(symlink("f", "s"));
	TRY(mkdir("d", 0755));
	TRY(mkdir("d/sub", 0700));
	DO(make("d/x", 10240));
	DO(make("d/sub/y", 5000));
	TRY(mkdir("e", 0755));
	DO(make("su", PAGE));
	TRY(chown("su", 1000, 1000));
	TRY(chmod("su", 04755));
	fd = open("sp", O_CREAT | O_RDWR, 0644);
	if (fd < 0)
		return -errno;
	DO(put(fd, 0, PAGE));
	DO(put(fd, (1 << 20) - PAGE, PAGE));
	close(fd);
	return 0;
}

static int prepare_xattrs(void)
{
	size_t size = sizeof(an_acl);

	DO(make("ac", 100));
	TRY(setxattr("ac", "system.posix_acl_access", &an_acl, size, 0));
	TRY(mkdir("dacl", 0755));
	TRY(setxattr("dacl", "system.posix_acl_default", &an_acl, size, 0));
	DO(make("xa", 100));
	TRY(setxattr("xa", "user.one", "1", 1, 0));
	TRY(setxattr("xa", "trusted.two", "22", 2, 0));
	TRY(setxattr("xa", "security.three", "333", 3, 0));
	DO(make("cap", 100));
	TRY(setxattr("cap", "security.capability", a_cap, sizeof(a_cap), 0));
	return 0;
}

static int prepare(const struct route *r)
{
	int e;

	if (mkdir(r->name, 0777) || chdir(r->name))
		return -errno;
	chmod(".", 0777);
	e = prepare_files();
	if (!e)
		e = prepare_xattrs();
	if (chdir(".."))
		return -errno;
	return e;
}

/* --- running --------------------------------------------------------------- */

static pid_t start(const struct route *r)
{
	pid_t pid;

	why[0] = '\0';
	fflush(stdout);
	pid = fork();
	if (!pid) {
		int e;

		alarm(LIMIT_S);
		umask(0);
		if (chdir(r->name))
			_exit(errno);
		e = r->run();
		_exit(e < 0 ? -e : e);
	}
	return pid;
}

static bool finish(const struct route *r, pid_t pid)
{
	int status;

	if (pid < 0 || waitpid(pid, &status, 0) != pid) {
		printf("fail %s no process\n", r->name);
		return false;
	}
	if (WIFSIGNALED(status))
		printf("fail %s signal %d\n", r->name, WTERMSIG(status));
	else if (WEXITSTATUS(status) == SKIPPED)
		printf("skip %s %s\n", r->name, why);
	else if (WEXITSTATUS(status))
		printf("fail %s %s\n", r->name, strerror(WEXITSTATUS(status)));
	else
		printf("done %s\n", r->name);
	fflush(stdout);
	return WIFEXITED(status) && (!WEXITSTATUS(status) || WEXITSTATUS(status) == SKIPPED);
}

enum mode { LIST, PREPARE, RUN, EARLY };

static bool one(enum mode m, const struct route *r)
{
	int e;

	switch (m) {
	case LIST:
		printf("%s%s%s%s\n", r->name, r->flags & ROUTE_SAME ? " same" : "",
		       r->flags & ROUTE_COMPARED ? " compared" : "",
		       r->flags & ROUTE_EARLY ? " early" : "");
		return true;
	case PREPARE:
		e = prepare(r);
		if (e)
			fprintf(stderr, "routes: prepare %s: %s\n", r->name, strerror(-e));
		return !e;
	case RUN:
		return r->flags & ROUTE_EARLY ? true : finish(r, start(r));
	case EARLY:
		break;
	}
	return true;
}

/* All of them at once: each opens what it needs, says so and waits for its turn.
 * A pipe that closes is the word to go on. */
int early_go[2];

static bool early(const char *glob)
{
	const struct route *r;
	pid_t pid[64];
	bool right = true;
	unsigned n = 0, wanted = 0;
	char line[8];

	if (pipe(early_go))
		return false;
	for (r = early_routes; r->name && n < 64; r++) {
		pid[n] = fnmatch(glob, r->name, 0) ? 0 : start(r);
		wanted += pid[n++] > 0;
	}
	close(early_go[0]);
	for (unsigned i = 0; i < LIMIT_S * 100 && atomic_load(early_waiting) < wanted; i++)
		usleep(10000);
	printf("ready\n");
	fflush(stdout);
	if (!fgets(line, sizeof(line), stdin))
		right = false;
	close(early_go[1]);
	n = 0;
	for (r = early_routes; r->name; r++, n++)
		if (pid[n])
			right = finish(r, pid[n]) && right;
	return right;
}

/* Those with a judge of their own come only when their group is named. */
static bool wanted(const struct route *r, const char *glob)
{
	return !fnmatch(glob, r->name, 0) &&
		(!(r->flags & (ROUTE_EARLY | ROUTE_COMPARED)) || glob[0] == r->name[0]);
}

int main(int argc, char **argv)
{
	static const char *const modes[] = { "list", "prepare", "run", "early" };
	const char *glob = argc > 3 ? argv[3] : "*";
	bool right = true;
	unsigned m = 0;

	while (m < 4 && (argc < 2 || strcmp(argv[1], modes[m])))
		m++;
	if (m == 4 || (m != LIST && argc < 3)) {
		fprintf(stderr, "usage: routes list | prepare DIR [GLOB] | run DIR [GLOB] | early DIR [GLOB]\n");
		return 2;
	}
	why = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (why == MAP_FAILED)
		return 2;
	early_waiting = (atomic_uint *)(why + PAGE / 2);
	if (m != LIST && chdir(argv[2])) {
		fprintf(stderr, "routes: %s: %s\n", argv[2], strerror(errno));
		return 2;
	}
	if (m == EARLY)
		return !early(glob);
	if (m == LIST)
		glob = NULL;
	for (unsigned t = 0; t < NTABLES; t++)
		for (const struct route *r = tables[t]; r->name; r++)
			if (!glob || wanted(r, glob))
				right = one(m, r) && right;
	return !right;
}
