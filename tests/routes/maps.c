// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * maps.c: routes by which bytes reach a file through a shared mapping: stores at
 * every time of the mapping's life, and the kernel's own stores (see routes.h).
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>
#include "tests/routes/routes.h"

/* f, mapped to be written; the descriptor is open when ret_fd is given. */
static unsigned char *mapped(int *ret_fd)
{
	int fd = open("f", O_RDWR | O_CLOEXEC);
	unsigned char *p;

	if (fd < 0)
		return NULL;
	p = mmap(NULL, FILE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (ret_fd)
		*ret_fd = fd;
	else
		close(fd);
	return p == MAP_FAILED ? NULL : p;
}

static int store(unsigned char *p, size_t off, size_t n)
{
	unsigned char *new = fresh(n);

	if (!new)
		return -ENOMEM;
	memcpy(p + off, new, n);
	free(new);
	return 0;
}

#define MAPPED(p, fd) do { p = mapped(fd); if (!p) return -errno; } while (0)

static int r_before_msync(void)
{
	unsigned char *p;
	int fd;

	MAPPED(p, &fd);
	DO(store(p, 5000, 100));
	TRY(msync(p, FILE_BYTES, MS_SYNC));
	return 0;
}
static int r_after_msync(void)
{
	unsigned char *p;
	int fd;

	MAPPED(p, &fd);
	DO(store(p, 5000, 100));
	TRY(msync(p, FILE_BYTES, MS_SYNC));
	return store(p, 5050, 100);
}
static int r_msync_async(void)
{
	unsigned char *p;
	int fd;

	MAPPED(p, &fd);
	DO(store(p, 5000, 100));
	TRY(msync(p, FILE_BYTES, MS_ASYNC));
	return store(p, 9000, 100);
}
static int r_after_close(void)
{
	unsigned char *p;

	MAPPED(p, NULL);
	return store(p, 100, 8000);
}
static int r_munmap(void)
{
	unsigned char *p;
	int fd;

	MAPPED(p, &fd);
	DO(store(p, 100, 8000));
	TRY(munmap(p, FILE_BYTES));
	return 0;
}
static int r_after_sync(void)
{
	unsigned char *p;
	int fd;

	MAPPED(p, &fd);
	for (int i = 0; i < 4; i++) {
		DO(store(p, i * PAGE + 10, 100));
		TRY(fsync(fd));
		DO(store(p, i * PAGE + 50, 100));
		TRY(syscall(SYS_sync_file_range, fd, 0L, 0L, 7));
		DO(store(p, i * PAGE + 90, 100));
	}
	return 0;
}
static unsigned char *of_child;

static int child_stores(void) { return store(of_child, 3 * PAGE, 2 * PAGE); }
static int r_other_process(void)
{
	MAPPED(of_child, NULL);
	return in_child(child_stores);
}
static int r_two_mappings(void)
{
	unsigned char *p, *q;

	MAPPED(p, NULL);
	MAPPED(q, NULL);
	DO(store(p, 10, 10));
	return store(q, 20, 10);
}
static int r_file_unlinked_name(void)
{
	unsigned char *p;

	MAPPED(p, NULL);
	TRY(link("f", "e/n"));
	TRY(unlink("f"));
	return store(p, 10, 6000);
}
static int r_hole(void)
{
	int fd = open("sp", O_RDWR);
	unsigned char *p;

	TRY(fd);
	p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	return store(p, 100 * PAGE, 10);
}
static int r_last_page(void)	/* beyond the end within the last page: not in the file */
{
	int fd = open("d/x", O_RDWR);
	unsigned char *p;

	TRY(fd);
	p = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	return store(p, 10000, 600);
}
static int r_extended(void)	/* what was stored beyond the end must not appear */
{
	int fd = open("d/x", O_RDWR);
	unsigned char *p;

	TRY(fd);
	p = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	DO(store(p, 10000, 600));
	TRY(ftruncate(fd, 12000));
	return store(p, 11900, 50);
}
static int r_mremap(void)
{
	unsigned char *p;

	MAPPED(p, NULL);
	p = mremap(p, FILE_BYTES, FILE_BYTES / 2, MREMAP_MAYMOVE);
	if (p == MAP_FAILED)
		return -errno;
	return store(p, 10, 5000);
}
static int r_remap_file_pages(void)
{
	unsigned char *p;

	MAPPED(p, NULL);
	if (syscall(SYS_remap_file_pages, p, PAGE, 0, 5, 0))
		return missing_or(-errno, "remap_file_pages");
	return store(p, 100, 100);	/* page 5 of the file */
}
static int r_mprotect(void)
{
	int fd = open("f", O_RDWR);
	unsigned char *p;

	TRY(fd);
	p = mmap(NULL, FILE_BYTES, PROT_READ, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED || p[0] == 1)
		return -errno;
	TRY(mprotect(p, FILE_BYTES, PROT_READ | PROT_WRITE));
	return store(p, 10, 100);
}
static int r_remove(void)
{
	unsigned char *p;

	MAPPED(p, NULL);
	TRY(madvise(p + PAGE, 2 * PAGE, MADV_REMOVE));
	return 0;
}
static int r_populate(void)
{
	unsigned char *p;

	MAPPED(p, NULL);
	if (madvise(p, FILE_BYTES, MADV_POPULATE_WRITE))
		return missing_or(-errno, "MADV_POPULATE_WRITE");
	return store(p, 10, 100);
}
static int r_dontneed(void)
{
	unsigned char *p;

	MAPPED(p, NULL);
	DO(store(p, 10, 100));
	TRY(madvise(p, FILE_BYTES, MADV_DONTNEED));
	return store(p, 60, 100);
}

/* --- the kernel stores ----------------------------------------------------- */

static int r_read_into(void)
{
	int from = open("/proc/self/exe", O_RDONLY);
	unsigned char *p;

	MAPPED(p, NULL);
	TRY(from);
	TRY(pread(from, p + 100, 6000, 0));
	return 0;
}
static int r_direct_read_into(void)
{
	int from = open("g", O_RDONLY | O_DIRECT);
	unsigned char *p;

	MAPPED(p, NULL);
	TRY(from);
	TRY(pread(from, p + PAGE, 4 * PAGE, 0));
	return 0;
}
static int r_recv_into(void)
{
	unsigned char *p, *new = fresh(3000);
	int pair[2];

	MAPPED(p, NULL);
	TRY(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	TRY(write(pair[0], new, 3000));
	TRY(recv(pair[1], p + 6000, 3000, MSG_WAITALL));
	return 0;
}
static int r_proc_mem(void)
{
	unsigned char *p, *new = fresh(300);
	int mem = open("/proc/self/mem", O_RDWR);

	MAPPED(p, NULL);
	TRY(mem);
	TRY(pwrite(mem, new, 300, (off_t)(uintptr_t)(p + 700)));
	return 0;
}
static int r_vm_writev(void)
{
	unsigned char *p, *new = fresh(5000);
	struct iovec from = { new, 5000 }, to;

	MAPPED(p, NULL);
	to = (struct iovec){ p + 4000, 5000 };
	TRY(process_vm_writev(getpid(), &from, 1, &to, 1, 0));
	return 0;
}
static int r_ptrace(void)
{
	unsigned char *p;
	int status, r = 0;
	pid_t pid;

	MAPPED(p, NULL);
	pid = fork();
	TRY(pid);
	if (!pid) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGSTOP);
		_exit(0);
	}
	TRY(waitpid(pid, &status, 0));
	for (long i = 0; i < 9 && !r; i++)
		if (ptrace(PTRACE_POKEDATA, pid, p + i * 8000, 0x5a5a5a5a5a5a5a5a + i))
			r = -errno;
	ptrace(PTRACE_CONT, pid, 0, 0);
	waitpid(pid, &status, 0);
	return r;
}

const struct route map_routes[] = {
	{ "map-store-msync", r_before_msync, 0 },
	{ "map-store-after-msync", r_after_msync, 0 },
	{ "map-store-msync-async", r_msync_async, 0 },
	{ "map-store-after-close", r_after_close, 0 },
	{ "map-store-munmap", r_munmap, 0 },
	{ "map-store-between-syncs", r_after_sync, 0 },
	{ "map-store-other-process", r_other_process, 0 },
	{ "map-store-two-mappings", r_two_mappings, 0 },
	{ "map-store-name-moved", r_file_unlinked_name, 0 },
	{ "map-store-hole", r_hole, 0 },
	{ "map-store-last-page", r_last_page, 0 },
	{ "map-store-then-extended", r_extended, 0 },
	{ "map-mremap", r_mremap, 0 },
	{ "map-remap-file-pages", r_remap_file_pages, 0 },
	{ "map-mprotect", r_mprotect, 0 },
	{ "map-madv-remove", r_remove, 0 },
	{ "map-madv-populate-write", r_populate, 0 },
	{ "map-madv-dontneed", r_dontneed, 0 },
	{ "map-read-into", r_read_into, 0 },
	{ "map-direct-read-into", r_direct_read_into, 0 },
	{ "map-recv-into", r_recv_into, 0 },
	{ "map-proc-mem", r_proc_mem, 0 },
	{ "map-process-vm-writev", r_vm_writev, 0 },
	{ "map-ptrace-poke", r_ptrace, 0 },
	{ NULL, NULL, 0 }
};
