// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * insns.c: a plugin of QEMU that counts the instructions of each of a guest's
 * processors. `-plugin insns.so,counts=PATH`: PATH is an array of 64-bit counts, one
 * in each 64 bytes, as old as the block that runs. A guest that can read PATH has
 * a clock that neither its other processors nor the host disturb.
 *
 * The declarations are QEMU's documented plugin interface ("QEMU TCG Plugins"),
 * of which Debian has no header.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define EXPORT	__attribute__((visibility("default")))
#define MAX_CPU	64

struct qemu_plugin_tb;
void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id,
	void (*cb)(uint64_t id, struct qemu_plugin_tb *tb));
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *tb,
	void (*cb)(unsigned cpu, void *data), int flags, void *data);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);

EXPORT int qemu_plugin_version = 1;
EXPORT int qemu_plugin_install(uint64_t id, const void *info, int argc, char **argv);

static struct { _Alignas(64) uint64_t insns; } *counts;

static void executed(unsigned cpu, void *insns)
{
	if (cpu < MAX_CPU)
		counts[cpu].insns += (uintptr_t)insns;
}

static void translated(uint64_t id, struct qemu_plugin_tb *tb)
{
	(void)id;
	qemu_plugin_register_vcpu_tb_exec_cb(tb, executed, 0,
		(void *)(uintptr_t)qemu_plugin_tb_n_insns(tb));
}

/* QEMU looks at the version before it calls anything: 9.0 refuses 1. */
__attribute__((constructor)) static void version(void)
{
	if (dlsym(RTLD_DEFAULT, "qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu"))
		qemu_plugin_version = 3;
}

EXPORT int qemu_plugin_install(uint64_t id, const void *info, int argc, char **argv)
{
	int fd = -1;

	(void)info;
	if (argc == 1 && !strncmp(argv[0], "counts=", 7))
		fd = open(argv[0] + 7, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0 || ftruncate(fd, MAX_CPU * sizeof(*counts))) {
		fprintf(stderr, "insns.so: counts=PATH: %s\n", strerror(errno));
		return -1;
	}
	counts = mmap(NULL, MAX_CPU * sizeof(*counts), PROT_READ | PROT_WRITE,
		      MAP_SHARED, fd, 0);
	if (counts == MAP_FAILED) {
		fprintf(stderr, "insns.so: %s\n", strerror(errno));
		return -1;
	}
	close(fd);
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
	return 0;
}
