// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * nasty.c: everything odd that a tree can hold, and odd changes to it, for the
 * tests of fidelity.
 *
 *   nasty make DIR SEED [GROUP...]   makes the groups (all) below DIR
 *   nasty lines SEED [GROUP...]      prints lines for the scripted capture
 *                                    source that change what `make` made
 *   nasty unseen DIR SEED [GROUP...] changes that nobody captures, after the lines
 *
 * A group is a folder of DIR of that name: names deep deeper links sparse times
 * owners attrs nodes flags empties. Random names follow from SEED alone, so that
 * all commands know the same. A tree that the filesystem does not take is an
 * error, except where it is its limit that is looked for: the largest file, the
 * largest attribute, the range of its times.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#define RANDOM_NAMES	120
#define DEEP_LEVELS	300
#define DEEP_NAME	200
#define DEEPER_LEVELS	6000		/* one byte each */
#define LINK_DIRS	5
#define LINKS		10000
#define EMPTIES		3000
#define COUNT(a)	(sizeof(a) / sizeof((a)[0]))

static uint64_t rnd_state;

static uint64_t rnd(void)
{
	rnd_state ^= rnd_state << 13;
	rnd_state ^= rnd_state >> 7;
	return rnd_state ^= rnd_state << 17;
}

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static int must(int r, const char *what)
{
	if (r < 0)
		die(what);
	return r;
}

static int dir_at(int at, const char *name)
{
	if (mkdirat(at, name, 0755) && errno != EEXIST)
		die(name);
	return must(openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC), name);
}

static int file_at(int at, const char *name, const char *text)
{
	int fd = must(openat(at, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644),
		      name);

	if (write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		die(name);
	return fd;
}

static void put_file(int at, const char *name, const char *text)
{
	close(file_at(at, name, text));
}

static void move(int from, const char *old, int to, const char *new)
{
	must(renameat(from, old, to, new), new);
}

/* A word of a line: everything but letters, digits, dot and slash escaped. */
static const char *esc(const char *s)
{
	static char ring[8][8192];
	static unsigned turn;
	char *buf = ring[turn++ % 8], *to = buf;

	for (; *s; s++) {
		unsigned char c = *s;

		if (c < 0x80 && (strchr("./_", c) || (c >= '0' && c <= '9') ||
				 ((c | 32) >= 'a' && (c | 32) <= 'z')))
			*to++ = c;
		else
			to += sprintf(to, "%%%02X", c);
	}
	*to = 0;
	return buf;
}

/* --- names --------------------------------------------------------------- */

/* In turn: each byte alone, ill-bred ones, random ones. NULL: no more. */
static const char *odd_name(unsigned i)
{
	static const char *const fixed[] = {
		"-rf", "--help", "- ", "...", "..x", ".intermezzo", "lost+found",
		"two\nlines", "tab\there", "\\\\", "\\n", "**", "??", "%41", "%%", "~~",
		"#x#", "''", "\"\"", "$(id)", "`id`", "\xff\xfe", "\xc0\x80",
		"\xed\xa0\x80", "\xf4\x90\x80\x80", "caf\xe9", "e\xcc\x81", "\xc3\xa9",
		"CON", "con", "a\x7f", " lead", "trail ", "\r\n", "\033[31m", "x.tmp~",
	};
	static char name[256];
	unsigned len;

	if (i < 254) {		/* 1..255 without the slash; a dot is a directory */
		name[0] = i + 1 >= '/' ? i + 2 : i + 1;
		name[1] = name[0] == '.' ? '\001' : 0;
		name[2] = 0;
		return name;
	}
	i -= 254;
	if (i < COUNT(fixed))
		return fixed[i];
	i -= COUNT(fixed);
	if (i >= RANDOM_NAMES)
		return NULL;
	len = i < 20 ? 255 : 1 + rnd() % 255;
	for (unsigned k = 0; k < len; k++)
		do
			name[k] = i == 0 ? 0xff : i == 1 ? 10 : (int)(rnd() & 255);
		while (!name[k] || name[k] == '/');
	name[len] = 0;
	if (len < 16)		/* no two alike */
		sprintf(name + len, "%u", i);
	return name;
}

static void make_names(int at)
{
	const char *name;
	unsigned i;

	put_file(at, "first", "first");
	for (i = 0; (name = odd_name(i)); i++)
		switch (i % 5) {
		case 0: case 1:
			put_file(at, name, name);
			break;
		case 2:
			close(dir_at(at, name));
			break;
		case 3:
			must(symlinkat(name, at, name), name);
			break;
		default:
			must(linkat(at, "first", at, name, 0), name);
		}
	close(dir_at(at, "to"));
}

/* Each name moves into a directory, is made anew, gets an attribute, goes. */
static void lines_names(void)
{
	const char *name;

	for (unsigned i = 0; (name = odd_name(i)); i++) {
		const char *e = esc(name);

		printf("rename names/%s names/to/%s\n", e, e);
		if (i % 5 == 2)
			printf("mkdir names/%s 0700\n", e);
		else if (i % 5 == 3)
			printf("symlink names/%s %s%s\n", e, e, e);
		else
			printf("create names/%s 0600\nwrite names/%s 0 9 n\n"
			       "setxattr names/%s user.%.700s%u v\nclose names/%s\n",
			       e, e, e, strlen(name) < 200 ? e : "x", i, e);
		if (i % 7 == 0)
			printf("%s names/to/%s\n", i % 5 == 2 ? "rmdir" : "unlink", e);
		else if (i % 7 == 1)
			printf("rename names/to/%s names/%s 2\n", e, e);
	}
}

static void unseen_names(int at)
{
	const char *name;

	move(at, "first", at, "\nfirst");
	for (unsigned i = 0; (name = odd_name(i)); i++)
		if (i % 5 == 0 && i % 7 > 1)
			must(renameat2(at, "to", at, name, RENAME_EXCHANGE) ?
			     -1 : renameat2(at, "to", at, name, RENAME_EXCHANGE), name);
		else if (i % 5 == 1 && i % 7 == 2)
			must(unlinkat(at, name, 0), name);
}

/* --- depth --------------------------------------------------------------- */

static const char *level_name(unsigned i)
{
	static char name[DEEP_NAME + 1];

	sprintf(name, "%0*u", DEEP_NAME, i);
	return name;
}

static void make_deep(int at)
{
	int fd = dup(at);

	for (unsigned i = 0; i < DEEP_LEVELS; i++) {
		int next = dir_at(fd, level_name(i));

		close(fd);
		fd = next;
		if (i % 50 == 49) {
			put_file(fd, "file", "deep down");
			must(symlinkat("../../file", fd, "link"), "link");
			close(dir_at(fd, "empty"));
		}
	}
	close(fd);
}

static void down(unsigned from, unsigned to)
{
	while (from < to)
		printf("cd %s\n", level_name(from++));
}

/* Changes at the bottom, a move of a deep directory to the top and of one from the
 * top to the bottom, a move of the whole, and the end of a part of it. */
static void lines_deep(void)
{
	unsigned half = DEEP_LEVELS / 2;

	printf("cd deep\n");
	down(0, DEEP_LEVELS);
	printf("write file 0 6000 w\nclose file\ncreate new 0640\nwrite new 9 9 n\n"
	       "close new\nmkdir more 0750\nrename file more/file\nsetxattr more "
	       "user.deep yes\nutimens more 7 7\nmkdir /brought 0755\n"
	       "create /brought/x 0644\nrename /brought brought\nlink new ../up\n");
	printf("cd /\nrename deep deep2\nmkdir deep 0755\ncd deep2\n");
	down(0, half);
	printf("rename %s /deep/half\n", level_name(half));
	printf("create %s 0600\nmkdir last 0700\n", level_name(half));
	for (unsigned i = half; i-- > half - 40;) {
		if (i == half - 1)
			printf("unlink %s\nrmdir last\n", level_name(half));
		if (i % 50 == 49)
			printf("unlink file\nunlink link\nrmdir empty\n");
		printf("cd ..\nrmdir %s\n", level_name(i));
	}
	printf("cd /\n");
}

static int walk_down(int at, unsigned from, unsigned to)
{
	int fd = dup(at);

	for (; from < to; from++) {
		int next = must(openat(fd, level_name(from), O_RDONLY | O_DIRECTORY),
				"level");

		close(fd);
		fd = next;
	}
	return fd;
}

/* A directory moves where its path can not be told any more. */
static void unseen_deep(int at)
{
	int half = must(openat(at, "half", O_RDONLY | O_DIRECTORY), "half");
	int up = walk_down(half, DEEP_LEVELS / 2 + 1, DEEP_LEVELS - 3);
	int bottom = walk_down(up, DEEP_LEVELS - 3, DEEP_LEVELS);

	move(bottom, "brought", up, "found");
	move(up, level_name(DEEP_LEVELS - 3), up, "renamed");
	close(bottom);
	close(up);
	close(half);
}

static void make_deeper(int at)
{
	int fd = dup(at);

	for (unsigned i = 0; i < DEEPER_LEVELS; i++) {
		int next = dir_at(fd, "d");

		close(fd);
		fd = next;
	}
	put_file(fd, "bottom", "bottom");
	close(fd);
}

static void lines_deeper(void)
{
	printf("cd deeper\n");
	for (unsigned i = 0; i < DEEPER_LEVELS; i++)
		printf("cd d\n");
	printf("write bottom 0 100 b\nclose bottom\ncreate new 0644\nmkdir sub 0700\n"
	       "rename new sub/new\ncd /\nrename deeper deeper2\nmkdir deeper 0755\n");
}

/* --- hard links ---------------------------------------------------------- */

static const char *link_name(unsigned i)
{
	static char name[2][64];
	static unsigned turn;
	char *n = name[turn++ % 2];

	sprintf(n, "links/%u/%06u", i % LINK_DIRS, i);
	return n;
}

static void make_links(int at)
{
	int dirs[LINK_DIRS];
	char name[64];

	for (unsigned i = 0; i < LINK_DIRS; i++) {
		sprintf(name, "%u", i);
		dirs[i] = dir_at(at, name);
	}
	put_file(dirs[0], "000000", "one file, many names");
	for (unsigned i = 1; i < LINKS; i++) {
		sprintf(name, "%06u", i);
		must(linkat(dirs[0], "000000", dirs[i % LINK_DIRS], name, 0), name);
	}
	for (unsigned i = 0; i < LINK_DIRS; i++)
		close(dirs[i]);
}

static void lines_links(void)
{
	for (unsigned i = 1; i < 400; i += 3) {
		printf("unlink %s\n", link_name(i));
		printf("rename %s %s\n", link_name(i + 1), link_name(LINKS + i));
		printf("link %s %s\n", link_name(9990), link_name(2 * LINKS + i));
	}
	printf("write %s 3 9000 l\nclose %s\nchmod %s 04711\nunlink links/0/000000\n",
	       link_name(9991), link_name(9992), link_name(9993));
	/* one of the names replaced by a file of its own */
	printf("create links/own 0644\nwrite links/own 0 5 o\nclose links/own\n"
	       "rename links/own %s\n", link_name(9994));
}

static void unseen_links(int at)
{
	for (unsigned i = 5000; i < 5010; i++)
		must(unlinkat(at, link_name(i) + strlen("links/"), 0), "unlink");
	move(at, link_name(5010) + strlen("links/"), at, "elsewhere");
}

/* --- holes --------------------------------------------------------------- */

/* The largest size that the filesystem takes. */
static off_t largest(int fd)
{
	off_t low = 1LL << 40, high = INT64_MAX;

	if (!ftruncate(fd, high))
		return high;
	while (high - low > 1) {
		off_t mid = low + (high - low) / 2;

		if (ftruncate(fd, mid))
			high = mid;
		else
			low = mid;
	}
	must(ftruncate(fd, low), "largest");
	return low;
}

static void put_at(int fd, off_t off, const char *text)
{
	if (pwrite(fd, text, strlen(text), off) != (ssize_t)strlen(text))
		die("pwrite");
}

static void make_sparse(int at)
{
	off_t t = 1LL << 40, max;
	int fd = file_at(at, "tib", "start");

	put_at(fd, t / 2 + 5, "middle");
	put_at(fd, t - 3, "end");
	close(fd);
	fd = file_at(at, "holes", "");
	must(ftruncate(fd, t / 2 + 1), "holes");
	close(fd);
	fd = file_at(at, "trailing", "data and then nothing");
	must(ftruncate(fd, 1 << 30), "trailing");
	close(fd);
	fd = file_at(at, "prealloc", "data");
	must(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 8 << 20), "keep size");
	close(fd);
	fd = file_at(at, "prealloc-empty", "");
	must(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 1 << 20), "keep size");
	close(fd);
	fd = file_at(at, "unwritten", "");
	must(fallocate(fd, 0, 0, 1 << 20), "fallocate");
	put_at(fd, 300000, "island");
	close(fd);
	put_file(at, "zero", "");
	put_file(at, "one", "1");
	fd = file_at(at, "largest", "l");
	max = largest(fd);
	fprintf(stderr, "# largest file: %lld bytes\n", (long long)max);
	close(fd);
	fd = file_at(at, "largest-end", "");
	must(ftruncate(fd, max), "largest");
	/* xfs and btrfs: the last block can not be written, not even by the kernel */
	put_at(fd, (max - 1) / 65536 * 65536 - 1, "e");
	close(fd);
}

static void lines_sparse(void)
{
	printf("write sparse/tib 900000000000 5000 t\nclose sparse/tib\n"
	       "truncate sparse/tib 1099511627777\n"
	       "truncate sparse/holes 70000000001\nwrite sparse/holes 70000000000 1 h\n"
	       "close sparse/holes\nfallocate sparse/trailing 3 0 4096\n"
	       "truncate sparse/trailing 3\ntruncate sparse/trailing 90000000000\n"
	       "fallocate sparse/prealloc 1 0 16000000\nwrite sparse/prealloc 9000 10 p\n"
	       "close sparse/prealloc\ntruncate sparse/zero 1099511627776\n"
	       "write sparse/largest-end 0 10 e\nclose sparse/largest-end\n"
	       "create sparse/new 0644\ntruncate sparse/new 1099511627776\n"
	       "write sparse/new 1099511627000 100 n\nclose sparse/new\n"
	       "truncate sparse/new 1099511627774\nrename sparse/new sparse/one\n");
}

static void unseen_sparse(int at)
{
	int fd = must(openat(at, "tib", O_RDWR), "tib");

	put_at(fd, 1LL << 39, "unseen");
	close(fd);
	fd = must(openat(at, "holes", O_RDWR), "holes");
	must(ftruncate(fd, 1LL << 40), "holes");
	close(fd);
}

/* --- times --------------------------------------------------------------- */

static const struct timespec odd_times[] = {
	{ 0, 0 }, { 0, 1 }, { 0, 999999999 }, { -1, 0 }, { -1, 999999999 },
	{ -2147483648LL, 0 }, { -2147483648LL, 1 }, { -2147483649LL, 5 },
	{ 2147483647, 999999999 }, { 2147483648LL, 123456789 }, { 4294967295LL, 3 },
	{ 4294967296LL, 4 }, { 15032385535LL, 999999999 }, { 15032385536LL, 1 },
	{ 16299260424LL, 7 }, { 253402300799LL, 999999999 }, { 1LL << 40, 1 },
	{ -(1LL << 40), 1 }, { 1000000000, 1 },
};

static void make_times(int at)
{
	char name[32];

	for (unsigned i = 0; i < COUNT(odd_times); i++) {
		const struct timespec t[2] = {
			odd_times[COUNT(odd_times) - 1 - i], odd_times[i] };

		sprintf(name, "file%u", i);
		put_file(at, name, name);
		must(utimensat(at, name, t, 0), name);
		sprintf(name, "empty%u", i);
		put_file(at, name, "");
		must(utimensat(at, name, t, 0), name);
		sprintf(name, "link%u", i);
		must(symlinkat("x", at, name), name);
		must(utimensat(at, name, t, AT_SYMLINK_NOFOLLOW), name);
		sprintf(name, "fifo%u", i);
		must(mknodat(at, name, S_IFIFO | 0644, 0), name);
		must(utimensat(at, name, t, 0), name);
		sprintf(name, "dir%u", i);
		close(dir_at(at, name));
		sprintf(name, "dir%u/child", i);
		put_file(at, name, "c");
		sprintf(name, "dir%u", i);
		must(utimensat(at, name, t, 0), name);
		sprintf(name, "moved%u", i);
		close(dir_at(at, name));
		must(utimensat(at, name, t, 0), name);
	}
	close(dir_at(at, "to"));
	must(utimensat(at, ".", (struct timespec[2]){ { 1, 2 }, { 3, 4 } }, 0), "times");
}

static void lines_times(void)
{
	static const char *const kinds[] = { "file", "link", "fifo", "dir" };

	for (unsigned i = 0; i < COUNT(odd_times); i++) {
		const struct timespec *t = &odd_times[(i + 3) % COUNT(odd_times)];

		for (unsigned k = 0; k < COUNT(kinds); k++)
			printf("utimens times/%s%u %lld %ld\n", kinds[k], i,
			       (long long)t->tv_sec, t->tv_nsec);
		/* another parent: the directory's own time is as it was */
		printf("rename times/moved%u times/to/moved%u\n", i, i);
		if (i % 2)	/* a change in it, and a time again */
			printf("create times/dir%u/late 0644\n", i);
		if (i % 4 == 1)
			printf("utimens times/dir%u %lld %ld\n", i,
			       (long long)t->tv_sec, t->tv_nsec);
	}
}

static void unseen_times(int at)
{
	char name[32];

	for (unsigned i = 0; i < COUNT(odd_times); i++) {
		const struct timespec t[2] = { odd_times[i], odd_times[i] };

		sprintf(name, "dir%u", i);
		must(utimensat(at, name, t, 0), name);
		sprintf(name, "link%u", i);
		must(utimensat(at, name, t, AT_SYMLINK_NOFOLLOW), name);
	}
}

/* --- owners and modes ---------------------------------------------------- */

static const struct { unsigned uid, gid; } odd_owners[] = {
	{ 0, 1 }, { 1, 0 }, { 65534, 65535 }, { 65535, 65536 }, { 65536, 131071 },
	{ 1u << 31, 4294967294u }, { 4294967294u, 4294967294u },
	{ 0x12345678, 0x7fffffff },
};
static const unsigned odd_modes[] = {
	0, 0777, 04755, 02755, 01777, 07777, 06000, 04000, 02000, 01000, 0400, 0200,
};

static void make_owners(int at)
{
	char name[32];

	for (unsigned i = 0; i < COUNT(odd_owners); i++)
		for (unsigned k = 0; k < 3; k++) {
			sprintf(name, "%c%u", "fdl"[k], i);
			if (k == 0)
				put_file(at, name, "x");
			else if (k == 1)
				close(dir_at(at, name));
			else
				must(symlinkat("f0", at, name), name);
			must(fchownat(at, name, odd_owners[i].uid, odd_owners[i].gid,
				      AT_SYMLINK_NOFOLLOW), name);
		}
	for (unsigned i = 0; i < COUNT(odd_modes); i++) {
		sprintf(name, "mf%u", i);
		put_file(at, name, "mode");
		must(fchownat(at, name, 5 + i, 70000 + i, 0), name);
		must(fchmodat(at, name, odd_modes[i], 0), name);
		sprintf(name, "md%u", i);
		close(dir_at(at, name));
		sprintf(name, "md%u/in", i);
		put_file(at, name, "in");
		sprintf(name, "md%u", i);
		must(fchmodat(at, name, odd_modes[i], 0), name);
	}
}

static void lines_owners(void)
{
	for (unsigned i = 0; i < COUNT(odd_owners); i++)
		for (unsigned k = 0; k < 3; k++)
			printf("chown owners/%c%u %u %u\n", "fdl"[k], i,
			       odd_owners[(i + 3) % COUNT(odd_owners)].uid,
			       odd_owners[(i + 5) % COUNT(odd_owners)].gid);
	for (unsigned i = 0; i < COUNT(odd_modes); i++) {
		unsigned m = odd_modes[(i + 5) % COUNT(odd_modes)];

		printf("chmod owners/mf%u %#o\nchmod owners/md%u %#o\n", i, m, i, m);
		/* an owner after set-id bits takes them; a write does, too */
		printf("chown owners/mf%u %u 1\nwrite owners/mf%u 0 3 w\n"
		       "close owners/mf%u\n", i, i, i, i);
		printf("create owners/md%u/new 0644\nmkdir owners/md%u/sub %#o\n", i, i, m);
	}
}

/* --- extended attributes ------------------------------------------------- */

static const unsigned char capability[20] = {	/* v2, effective, cap_net_raw */
	1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
};

static void set(int fd, const char *name, const void *value, size_t len)
{
	must(fsetxattr(fd, name, value, len, 0), name);
}

/* The largest value of one attribute that the filesystem takes. */
static size_t largest_value(int fd)
{
	static char value[XATTR_SIZE_MAX];
	size_t low = 0, high = sizeof(value) + 1;

	for (size_t i = 0; i < sizeof(value); i++)
		value[i] = rnd();
	while (high - low > 1) {
		size_t mid = low + (high - low) / 2;

		if (mid <= sizeof(value) && !fsetxattr(fd, "user.big", value, mid, 0))
			low = mid;
		else
			high = mid;
	}
	set(fd, "user.big", value, low);
	return low;
}

static void long_name(char name[256], unsigned i)
{
	memcpy(name, "user.", 5);
	for (unsigned k = 5; k < 255; k++)
		do
			name[k] = i ? (int)(rnd() & 255) : "\n\xff="[k % 3];
		while (!name[k]);
	name[255] = 0;
}

static void proc_path(int at, const char *name, char ret[64])
{
	int fd = must(openat(at, name, O_PATH | O_NOFOLLOW), name);

	sprintf(ret, "/proc/self/fd/%d", fd);	/* open till the end */
}

static void make_attrs(int at)
{
	char name[256], value[64];
	int fd = file_at(at, "many", "x");

	for (unsigned i = 0; i < 60; i++) {
		sprintf(name, "user.%u", i);
		set(fd, name, name, i % 20);
	}
	close(fd);
	fd = file_at(at, "big", "x");
	fprintf(stderr, "# largest attribute: %zu bytes\n", largest_value(fd));
	close(fd);
	for (unsigned i = 0; i < 4; i++) {
		sprintf(value, "long%u", i);
		fd = i % 2 ? dir_at(at, value) : file_at(at, value, "x");
		long_name(name, i);
		set(fd, name, "value\0with\nbytes", 16);
		set(fd, "user.empty", "", 0);
		set(fd, "trusted.t", "\0\xff", 2);
		set(fd, "security.izotest", "s", 1);
		close(fd);
	}
	fd = file_at(at, "cap", "x");
	must(fchown(fd, 70000, 70001), "cap");
	set(fd, "security.capability", capability, sizeof(capability));
	must(fchmod(fd, 06755), "cap");
	close(fd);
	must(symlinkat("nowhere", at, "symlink"), "symlink");
	must(mknodat(at, "fifo", S_IFIFO | 0600, 0), "fifo");
	for (unsigned i = 0; i < 2; i++) {
		proc_path(at, i ? "fifo" : "symlink", name);
		must(setxattr(name, "trusted.odd", "o", 1, 0), "trusted.odd");
	}
}

/* An ACL of users 65536 and 2^32-2 under a mask of r. */
static const char *acl_text =
	"%02%00%00%00" "%01%00%06%00%FF%FF%FF%FF" "%02%00%06%00%00%00%01%00"
	"%02%00%07%00%FE%FF%FF%FF" "%04%00%05%00%FF%FF%FF%FF"
	"%10%00%04%00%FF%FF%FF%FF" "%20%00%00%00%FF%FF%FF%FF";

static void lines_attrs(void)
{
	for (unsigned i = 0; i < 60; i += 2)
		printf("removexattr attrs/many user.%u\nsetxattr attrs/many user.n%u %s\n",
		       i, i, i % 4 ? "value" : "");
	printf("removexattr attrs/big user.big\nsetxattr attrs/big user.other z 3500\n"
	       "setxattr attrs/long1 user.sub%%00x w\n"
	       "setxattr attrs/long0 user.%%0A%%FF%%3D %%00%%01%%02\n"
	       "setxattr attrs/symlink trusted.odd changed\n"
	       "setxattr attrs/fifo trusted.more %%00\n"
	       "setacl attrs/many system.posix_acl_access %s\n"
	       "setacl attrs/long1 system.posix_acl_default %s\n"
	       "setacl attrs/long1 system.posix_acl_access %s\n"
	       "mkdir attrs/long1/inherits 0777\ncreate attrs/long1/file 0666\n"
	       "chmod attrs/many 0640\n", acl_text, acl_text, acl_text);
	printf("create attrs/cap2 0755\nsetxattr attrs/cap2 security.capability ");
	for (unsigned i = 0; i < sizeof(capability); i++)
		printf("%%%02X", capability[i]);
	printf("\nchown attrs/cap 70002 70003\nrename attrs/cap2 attrs/cap3\n");
}

/* --- nodes, flags, empty directories ------------------------------------- */

/* xfs has 9 bits for a major and 18 for a minor number, others 12 and 20. */
static void node(int at, const char *name, mode_t mode, unsigned maj, unsigned min)
{
	int r = mknodat(at, name, mode, makedev(maj, min));

	if (r && errno == EINVAL)
		r = mknodat(at, name, mode, makedev(maj & 0x1ff, min & 0x3ffff));
	must(r, name);
}

static void make_nodes(int at)
{
	static const struct { unsigned major, minor; } dev[] = {
		{ 0, 0 }, { 1, 3 }, { 255, 255 }, { 256, 256 }, { 4095, 1048575 },
		{ 0, 1048575 }, { 4095, 0 }, { 1, 256 },
	};
	char name[32];

	for (unsigned i = 0; i < COUNT(dev); i++) {
		sprintf(name, "c%u", i);
		node(at, name, S_IFCHR | 0600, dev[i].major, dev[i].minor);
		sprintf(name, "b%u", i);
		node(at, name, S_IFBLK | 0640, dev[i].major, dev[i].minor);
	}
	must(mknodat(at, "socket", S_IFSOCK | 0777, 0), "socket");
	must(mknodat(at, "fifo", S_IFIFO, 0), "fifo");
}

static void lines_nodes(void)
{
	printf("mknod nodes/new 020600 %lu\nmknod nodes/newb 060600 %lu\n"
	       "mknod nodes/news 0140700\nchmod nodes/c4 0111\nchown nodes/b4 70000 1\n"
	       "rename nodes/c0 nodes/c1\nunlink nodes/socket\nlink nodes/c4 nodes/c9\n",
	       (unsigned long)makedev(511, 262143), (unsigned long)makedev(511, 65536));
}

static void flag(int at, const char *name, int flags)
{
	int fd = must(openat(at, name, O_RDONLY | O_NONBLOCK), name), old = 0;

	must(ioctl(fd, FS_IOC_GETFLAGS, &old), name);
	flags |= old;
	must(ioctl(fd, FS_IOC_SETFLAGS, &flags), name);
	close(fd);
}

static void make_flags(int at)
{
	static const struct { const char *name; int flags; } odd[] = {
		{ "immutable", FS_IMMUTABLE_FL }, { "append", FS_APPEND_FL },
		{ "both", FS_IMMUTABLE_FL | FS_APPEND_FL | FS_NODUMP_FL },
		{ "noatime", FS_NOATIME_FL }, { "sync", FS_SYNC_FL },
		{ "dir-immutable", FS_IMMUTABLE_FL }, { "dir-append", FS_APPEND_FL },
		{ "dir-nodump", FS_NODUMP_FL },
	};
	char name[64];

	for (unsigned i = 0; i < COUNT(odd); i++) {
		if (!strncmp(odd[i].name, "dir", 3)) {
			close(dir_at(at, odd[i].name));
			sprintf(name, "%s/in", odd[i].name);
			put_file(at, name, "in");
		} else {
			put_file(at, odd[i].name, "flagged");
		}
		flag(at, odd[i].name, odd[i].flags);
	}
}

static void lines_flags(void)
{
	printf("chattr flags/immutable 0\nwrite flags/immutable 0 5000 i\n"
	       "close flags/immutable\nchattr flags/immutable %d\n"
	       "chattr flags/dir-immutable 0\nunlink flags/dir-immutable/in\n"
	       "create flags/dir-immutable/new 0644\nchattr flags/dir-immutable %d\n"
	       "create flags/dir-append/new 0644\ncreate flags/late 0600\n"
	       "chattr flags/late %d\nchattr flags/both 0\nunlink flags/both\n",
	       FS_IMMUTABLE_FL, FS_IMMUTABLE_FL, FS_APPEND_FL | FS_NODUMP_FL);
}

static void make_empties(int at)
{
	char name[32];

	for (unsigned i = 0; i < EMPTIES; i++) {
		sprintf(name, "%u", i);
		close(dir_at(at, name));
	}
}

static void lines_empties(void)
{
	for (unsigned i = 0; i < 500; i++)
		printf("rmdir empties/%u\nmkdir empties/n%u 0700\n", i, i);
	for (unsigned i = 500; i < 600; i++)
		printf("rename empties/%u empties/%u/in\n", i, i + 100);
}

/* --- */

static const struct group {
	const char *name;
	void (*make)(int at);
	void (*lines)(void);
	void (*unseen)(int at);		/* or NULL */
} groups[] = {
	{ "names", make_names, lines_names, unseen_names },
	{ "deep", make_deep, lines_deep, unseen_deep },
	{ "deeper", make_deeper, lines_deeper, NULL },
	{ "links", make_links, lines_links, unseen_links },
	{ "sparse", make_sparse, lines_sparse, unseen_sparse },
	{ "times", make_times, lines_times, unseen_times },
	{ "owners", make_owners, lines_owners, NULL }, { "attrs", make_attrs, lines_attrs, NULL },
	{ "nodes", make_nodes, lines_nodes, NULL }, { "flags", make_flags, lines_flags, NULL },
	{ "empties", make_empties, lines_empties, NULL },
};

static bool wanted(const char *name, char **list)
{
	if (!*list)
		return true;
	for (; *list; list++)
		if (!strcmp(*list, name))
			return true;
	return false;
}

static void one(const struct group *g, const char *dir, bool make, uint64_t seed)
{
	int top, at;

	rnd_state = seed;
	if (!dir) {
		g->lines();
		return;
	}
	if (!make && !g->unseen)
		return;
	top = must(open(dir, O_RDONLY | O_DIRECTORY), dir);
	at = dir_at(top, g->name);
	(make ? g->make : g->unseen)(at);
	close(at);
	close(top);
}

int main(int argc, char **argv)
{
	bool make = argc > 1 && !strcmp(argv[1], "make");
	bool unseen = argc > 1 && !strcmp(argv[1], "unseen");
	int at = make || unseen ? 3 : 2;

	if (argc <= at || (at == 2 && strcmp(argv[1], "lines")))
		return 2;
	umask(0);
	for (unsigned i = 0; i < COUNT(groups); i++)
		if (wanted(groups[i].name, argv + at + 1))
			one(&groups[i], at == 3 ? argv[2] : NULL, make,
			    strtoull(argv[at], NULL, 10) * 2 + 0x9e3779b97f4a7c15ULL);
	return 0;
}
