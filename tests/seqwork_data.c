// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * seqwork_data: verbs on the bytes and the layout of regular files.
 *
 * The held file is one that stays open (and mapped) from one line to another,
 * whatever happens to its names: what is written through it after a rename or
 * an unlink, and what it still has dirty when another line changes its layout.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "seqwork.h"

#define BLOCK 4096

/* Of every sequence, line and offset other bytes. */
void seq_fill(const struct seq *seq, unsigned char *buf, long long off, size_t len)
{
	uint64_t word = 0;

	for (size_t i = 0; i < len; i++, off++) {
		if (!i || off % 8 == 0)
			word = mix64(seq->salt ^ (uint64_t)(off / 8));
		buf[i] = word >> (off % 8 * 8);
	}
}

static int result(ssize_t r)
{
	return r < 0 ? -errno : 0;
}

static int write_at(struct seq *seq, int fd, long long off, size_t len)
{
	unsigned char *buf = aligned_alloc(BLOCK, (len / BLOCK + 1) * BLOCK);
	int err;

	if (!buf)
		abort();
	seq_fill(seq, buf, off, len);
	err = result(pwrite(fd, buf, len, off));
	free(buf);
	return err;
}

/* Opens a file, writes, closes: for the verbs that do only that. */
static int write_file(struct seq *seq, const char *path, int flags, long long off,
		      size_t len)
{
	int fd = work_open(path, flags | O_WRONLY);
	int err;

	if (fd < 0)
		return fd;
	err = write_at(seq, fd, off, len);
	close(fd);
	return err;
}

static int op_write(struct seq *seq, const union arg *arg)
{
	return write_file(seq, arg[0].text, 0, arg[1].number, arg[2].number);
}

static int op_direct(struct seq *seq, const union arg *arg)
{
	return write_file(seq, arg[0].text, O_DIRECT, arg[1].number, arg[2].number);
}

static int op_append(struct seq *seq, const union arg *arg)
{
	return write_file(seq, arg[0].text, O_APPEND, 0, arg[1].number);
}

static int op_overwrite(struct seq *seq, const union arg *arg)
{
	return write_file(seq, arg[0].text, O_TRUNC, 0, arg[1].number);
}

static int op_trunc(struct seq *seq, const union arg *arg)
{
	int fd = work_open(arg[0].text, O_WRONLY);
	int err;

	if (fd < 0)
		return fd;
	err = result(ftruncate(fd, arg[1].number));
	close(fd);
	return err;
}

/* As editors save: the new text beside the old one, then renamed over it. */
static int op_save(struct seq *seq, const union arg *arg)
{
	char tmp[SEQ_PATH_BYTES + 8];
	int fd, err;

	snprintf(tmp, sizeof(tmp), "%s.tmp", arg[0].text);
	fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0)
		return -errno;
	err = write_at(seq, fd, 0, arg[1].number);
	close(fd);
	return err ? err : result(rename(tmp, arg[0].text));
}

static int map_of(int fd, unsigned char **ret_map, size_t *ret_len)
{
	struct stat st;
	void *map;

	if (fstat(fd, &st))
		return -errno;
	if (!st.st_size)
		return -ENXIO;
	map = mmap(NULL, st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return -errno;
	*ret_map = map;
	*ret_len = st.st_size;
	return 0;
}

static int map_store(struct seq *seq, unsigned char *map, size_t map_len,
		     long long off, size_t len)
{
	unsigned char *buf;
	int err;

	if (off >= (long long)map_len)
		return -ENXIO;
	if (len > map_len - off)
		len = map_len - off;
	buf = malloc(len);
	if (!buf)
		abort();
	seq_fill(seq, buf, off, len);
	err = work_store(map + off, buf, len);
	free(buf);
	return err;
}

static int op_map(struct seq *seq, const union arg *arg)
{
	int fd = work_open(arg[0].text, O_RDWR);
	unsigned char *map;
	size_t len;
	int err;

	if (fd < 0)
		return fd;
	err = map_of(fd, &map, &len);
	close(fd);
	if (err)
		return err;
	err = map_store(seq, map, len, arg[1].number, arg[2].number);
	munmap(map, len);
	return err;
}

static const struct {
	const char *name;
	int mode;
} modes[] = {
	{ "alloc", 0 },
	{ "keep", FALLOC_FL_KEEP_SIZE },
	{ "punch", FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE },
	{ "zero", FALLOC_FL_ZERO_RANGE },
	{ "zero-keep", FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE },
	{ "collapse", FALLOC_FL_COLLAPSE_RANGE },
	{ "insert", FALLOC_FL_INSERT_RANGE },
};

static int op_falloc(struct seq *seq, const union arg *arg)
{
	int fd = work_open(arg[1].text, O_RDWR);
	int err = -EBADMSG;

	if (fd < 0)
		return fd;
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
		if (!strcmp(arg[0].text, modes[i].name))
			err = result(fallocate(fd, modes[i].mode, arg[2].number,
					       arg[3].number));
	close(fd);
	return err;
}

/* From one file into another, both open. */
typedef int copy_fn(int in, int out, const union arg *arg);

static int clone_all(int in, int out, const union arg *arg)
{
	return result(ioctl(out, FICLONE, in));
}

static int clone_range(int in, int out, const union arg *arg)
{
	struct file_clone_range range = {
		.src_fd = in, .src_offset = arg[2].number,
		.dest_offset = arg[3].number, .src_length = arg[4].number,
	};

	return result(ioctl(out, FICLONERANGE, &range));
}

static int copy_range(int in, int out, const union arg *arg)
{
	off_t from = arg[2].number, to = arg[3].number;

	return result(copy_file_range(in, &from, out, &to, arg[4].number, 0));
}

static int two_files(const union arg *arg, copy_fn *copy)
{
	int in = work_open(arg[0].text, O_RDONLY);
	int out = work_open(arg[1].text, O_RDWR);
	int err = in < 0 ? in : out < 0 ? out : copy(in, out, arg);

	if (in >= 0)
		close(in);
	if (out >= 0)
		close(out);
	return err;
}

static int op_clone(struct seq *seq, const union arg *arg)
{
	return two_files(arg, clone_all);
}

static int op_clone_range(struct seq *seq, const union arg *arg)
{
	return two_files(arg, clone_range);
}

static int op_copy(struct seq *seq, const union arg *arg)
{
	return two_files(arg, copy_range);
}

static int op_fsync(struct seq *seq, const union arg *arg)
{
	int fd = work_open(arg[0].text, O_RDWR);
	int err;

	if (fd < 0)
		return fd;
	err = result(fsync(fd));
	close(fd);
	return err;
}

static int op_sync(struct seq *seq, const union arg *arg)
{
	int fd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int err = fd < 0 ? -errno : result(syncfs(fd));

	if (fd >= 0)
		close(fd);
	return err;
}

/* --- the held file ---------------------------------------------------- */

void seq_held_close(struct seq *seq)
{
	if (seq->map)
		munmap(seq->map, seq->map_len);
	if (seq->held >= 0)
		close(seq->held);
	seq->map = NULL;
	seq->held = -1;
}

int seq_held_set(struct seq *seq, int fd)
{
	if (fd < 0)
		return fd;
	seq_held_close(seq);
	seq->held = fd;
	return 0;
}

static int op_hold(struct seq *seq, const union arg *arg)
{
	return seq_held_set(seq, work_open(arg[0].text, O_RDWR));
}

static int op_hold_write(struct seq *seq, const union arg *arg)
{
	int err = op_hold(seq, arg);

	return err ? err : write_at(seq, seq->held, arg[1].number, arg[2].number);
}

static int op_held_write(struct seq *seq, const union arg *arg)
{
	if (seq->held < 0)
		return -ENOENT;
	return write_at(seq, seq->held, arg[0].number, arg[1].number);
}

static int op_held_trunc(struct seq *seq, const union arg *arg)
{
	if (seq->held < 0)
		return -ENOENT;
	return result(ftruncate(seq->held, arg[0].number));
}

static int op_held_map(struct seq *seq, const union arg *arg)
{
	int err = 0;

	if (seq->held < 0)
		return -ENOENT;
	if (!seq->map)
		err = map_of(seq->held, &seq->map, &seq->map_len);
	if (err)
		return err;
	return map_store(seq, seq->map, seq->map_len, arg[0].number, arg[1].number);
}

static int op_held_fsync(struct seq *seq, const union arg *arg)
{
	return seq->held < 0 ? -ENOENT : result(fsync(seq->held));
}

static int op_held_close(struct seq *seq, const union arg *arg)
{
	if (seq->held < 0)
		return -ENOENT;
	seq_held_close(seq);
	return 0;
}

const struct verb seq_data_verbs[] = {
	{ "write", "pnn", op_write },		/* offset length */
	{ "direct", "pnn", op_direct },
	{ "append", "pn", op_append },
	{ "overwrite", "pn", op_overwrite },	/* O_TRUNC and a length */
	{ "trunc", "pn", op_trunc },
	{ "save", "pn", op_save },
	{ "map", "pnn", op_map },
	{ "falloc", "wpnn", op_falloc },
	{ "clone", "pp", op_clone },
	{ "clone-range", "ppnnn", op_clone_range },	/* from to length */
	{ "copy", "ppnnn", op_copy },
	{ "fsync", "p", op_fsync },
	{ "sync", "", op_sync },
	{ "hold", "p", op_hold },
	{ "hold-write", "pnn", op_hold_write },
	{ "held-write", "nn", op_held_write },
	{ "held-trunc", "n", op_held_trunc },
	{ "held-map", "nn", op_held_map },
	{ "held-fsync", "", op_held_fsync },
	{ "held-close", "", op_held_close },
	{ NULL, NULL, NULL },
};
