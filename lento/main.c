// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * main.c: the daemon's command line, signals and readiness. Enters: options.
 * Leaves: exit status 0 after a clean stop, 1 with one line otherwise.
 */
#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>
#include "lento/capture.h"
#include "lento/daemon.h"
#include "lento/hooks.h"
#include "lento/loop.h"
#include "lib/cleanup.h"
#include "lib/conf.h"
#include "lib/log.h"

#ifndef VERSION
#define VERSION "?"
#endif

const char *argp_program_version = "lento " VERSION;

struct options {
	const char *etc, *run;
	const char *probe, *plain_netns;
	bool disarm, debug;
};

enum { OPT_PLAIN = 256, OPT_DISARM, OPT_PROBE };

static const struct argp_option option_table[] = {
	{ "etc", 'e', "DIR", 0, "Configuration folder (/etc/intermezzo)", 0 },
	{ "run", 'r', "DIR", 0, "Folder of the control socket (/run/intermezzo)", 0 },
	{ "insecure-plaintext", OPT_PLAIN, "NETNS", 0,
	  "Let plaintext links leave the loopback interface, in the test network "
	  "namespace NETNS (of ip-netns) and nowhere else", 0 },
	{ "disarm", OPT_DISARM, NULL, 0,
	  "At the end, take capture out of the kernel instead of leaving it armed "
	  "for the next start", 0 },
	{ "probe", OPT_PROBE, "DIR", OPTION_ARG_OPTIONAL,
	  "Only tell whether BPF can capture on DIR's filesystem (/)", 0 },
	{ "debug", 'd', NULL, 0, "Log more", 0 },
	{ 0 }
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct options *o = state->input;

	switch (key) {
	case 'e': o->etc = arg; return 0;
	case 'r': o->run = arg; return 0;
	case OPT_PLAIN: o->plain_netns = arg; return 0;
	case OPT_DISARM: o->disarm = true; return 0;
	case OPT_PROBE: o->probe = arg ? arg : "/"; return 0;
	case 'd': o->debug = true; return 0;
	case ARGP_KEY_ARG: argp_usage(state); return 0;
	default: return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {
	option_table, parse, NULL,
	"The InterMezzo daemon: captures, journals, ships, receives and applies "
	"what changes in the filesets of /etc/intermezzo.", NULL, NULL, NULL,
};

#ifdef LENTO_SCRIPTED
extern const struct capture_ops capture_script;
#endif

static const struct capture_ops *capture_named(const char *name)
{
	if (!strcmp(name, "bpf"))
		return &capture_bpf;
#ifdef LENTO_SCRIPTED
	if (!strncmp(name, "script:", 7))
		return &capture_script;
#endif
	return NULL;
}

static void on_signal(void *ctx, int res)
{
	(void)res;
	loop_quit(ctx);
}

/* SIGTERM and SIGINT end the loop; threads never see them. */
static int watch_signals(struct loop *loop, int *ret_fd)
{
	static struct loop_op *op;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	if (pthread_sigmask(SIG_BLOCK, &set, NULL))
		return -errno;
	signal(SIGPIPE, SIG_IGN);
	*ret_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (*ret_fd < 0)
		return -errno;
	return loop_poll(loop, *ret_fd, POLLIN, on_signal, loop, &op);
}

static int probe(const char *dir)
{
	_cleanup_fd_ int fd = open(dir, O_RDONLY | O_DIRECTORY);
	char err[512] = "";
	struct hooks hooks;
	int e = fd < 0 ? -errno : hooks_find(fd, &hooks, err, sizeof(err));

	if (e)
		fprintf(stderr, "%s: %s\n", dir, err[0] ? err : strerror(-e));
	return e ? 1 : 0;
}

/* A slip of the option on a real network must not open it. */
static int check_netns(const char *name, char *err, size_t err_size)
{
	struct stat own, named;
	char path[300];

	snprintf(path, sizeof(path), "/run/netns/%s", name);
	if (strchr(name, '/') || stat(path, &named)) {
		snprintf(err, err_size, "--insecure-plaintext: no network namespace %s",
			 name);
		return -ENOENT;
	}
	if (stat("/proc/self/ns/net", &own))
		return -errno;
	if (own.st_ino == named.st_ino && own.st_dev == named.st_dev)
		return 0;
	snprintf(err, err_size, "--insecure-plaintext: this is not the network namespace %s",
		 name);
	return -EPERM;
}

static int run(const struct options *o, const struct conf *conf)
{
	struct daemon_options d = {
		.conf = conf, .run = o->run, .plain_any = o->plain_netns,
		.capture = capture_named,
	};
	struct daemon *daemon = NULL;
	struct loop *loop = NULL;
	char err[512] = "";
	int signals = -1, e = o->plain_netns ?
		check_netns(o->plain_netns, err, sizeof(err)) : 0;

	if (!e)
		e = loop_new(&loop);
	if (!e)
		e = watch_signals(loop, &signals);
	if (!e)
		e = daemon_start(loop, &d, &daemon, err, sizeof(err));
	if (e) {
		log_err("%s", err[0] ? err : strerror(-e));
		return 1;
	}
	sd_notify(0, "READY=1");
	e = loop_run(loop);
	sd_notify(0, "STOPPING=1");
	daemon_stop(daemon, !o->disarm);
	loop_free(loop);
	close(signals);
	if (e)
		log_err("event loop: %s", strerror(-e));
	return e ? 1 : 0;
}

int main(int argc, char **argv)
{
	struct options o = { .etc = "/etc/intermezzo", .run = "/run/intermezzo" };
	struct conf *conf;
	char err[512];
	int status;

	argp_parse(&argp, argc, argv, 0, NULL, &o);
	log_init("lento", o.debug ? LOG_L_DEBUG : LOG_L_INFO);
	if (o.probe)
		return probe(o.probe);
	if (conf_load(o.etc, &conf, err, sizeof(err))) {
		log_err("%s", err);
		return 1;
	}
	status = run(&o, conf);
	conf_free(conf);
	return status;
}
