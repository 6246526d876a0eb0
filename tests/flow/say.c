// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * say.c: gives lines to a scripted capture source (capture_script.c) and waits
 * for the answer to each. `say SOCKET < lines`, or `say SOCKET "line" ...`.
 * Exit status 0: all ok; 1: the first error, printed with its line.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int keep_on;

static int dial(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a))) {
		perror(path);
		exit(1);
	}
	return fd;
}

static int tell(FILE *io, int fd, const char *line)
{
	char answer[512];

	if (dprintf(fd, "%s\n", line) < 0 || !fgets(answer, sizeof(answer), io)) {
		fprintf(stderr, "say: no answer to: %s\n", line);
		return 1;
	}
	if (!strcmp(answer, "ok\n"))
		return 0;
	if (keep_on)
		return 0;
	fprintf(stderr, "say: %s: %s", line, answer);
	return 1;
}

int main(int argc, char **argv)
{
	char line[8192];
	int fd, bad = 0;
	FILE *io;

	if (argc > 1 && !strcmp(argv[1], "-k")) {
		keep_on = 1;
		argv++;
		argc--;
	}
	if (argc < 2)
		return 2;
	fd = dial(argv[1]);
	io = fdopen(fd, "r");
	for (int i = 2; i < argc && !bad; i++)
		bad = tell(io, fd, argv[i]);
	while (argc == 2 && !bad && fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = 0;
		if (line[0])
			bad = tell(io, fd, line);
	}
	return bad;
}
