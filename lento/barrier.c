// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * barrier.c: FIFREEZE and FITHAW by a helper process (see barrier.h).
 *
 * The helper is a child in a session of its own that ignores what would stop
 * it; between its two ioctls it does nothing that could wait. It does not
 * share memory with lento, so a lento that is killed cannot stop it.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include "lib/cleanup.h"
#include "lento/barrier.h"

#define FREEZE_MAX_MS	60000

static void thaw(int fd)
{
	for (int i = 0; i < 5; i++)
		if (!ioctl(fd, FITHAW, 0) || errno == EINVAL)
			return;
}

static void freeze_and_thaw(int fd, int answer)
{
	sigset_t all;
	int e = 0;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	setsid();
	if (ioctl(fd, FIFREEZE, 0))
		e = errno;
	else
		thaw(fd);
	if (write(answer, &e, sizeof(e)) != sizeof(e))
		_exit(1);
	_exit(0);
}

static int wait_answer(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int e = EIO;

	if (poll(&p, 1, FREEZE_MAX_MS) != 1)
		return -ETIMEDOUT;
	if (read(fd, &e, sizeof(e)) != sizeof(e))
		return -EIO;
	return -e;
}

static int open_dir(int dir_fd)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", dir_fd);
	return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

void barrier_undo(int dir_fd)
{
	_cleanup_fd_ int fd = open_dir(dir_fd);

	if (fd >= 0)
		thaw(fd);
}

int barrier_cross(int dir_fd)
{
	_cleanup_fd_ int fd = open_dir(dir_fd), from = -1, to = -1;
	int pipes[2], r;
	pid_t pid;

	if (fd < 0 || pipe2(pipes, O_CLOEXEC))
		return -errno;
	from = pipes[0];
	to = pipes[1];
	pid = fork();
	if (pid < 0)
		return -errno;
	if (!pid)
		freeze_and_thaw(fd, to);
	close(take_fd(&to));
	r = wait_answer(from);
	if (r == -EIO)			/* killed: perhaps between the two */
		thaw(fd);
	if (r != -ETIMEDOUT)
		waitpid(pid, NULL, 0);
	if (r)
		syncfs(fd);
	return r;
}
