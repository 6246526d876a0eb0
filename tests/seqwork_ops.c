// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * seqwork_ops: reads a line, finds its verb, runs it; and the verbs on names
 * and attributes.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "seqwork.h"

static int result(int r)
{
	return r < 0 ? -errno : 0;
}

/* --- names ------------------------------------------------------------ */

static int op_create(struct seq *seq, const union arg *arg)
{
	int fd = open(arg[0].text, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

static int op_mkdir(struct seq *seq, const union arg *arg)
{
	return result(mkdir(arg[0].text, 0755));
}

static int op_symlink(struct seq *seq, const union arg *arg)
{
	return result(symlink(arg[0].text, arg[1].text));
}

/* The major is a free one: opening the node fails. */
static int op_mknod(struct seq *seq, const union arg *arg)
{
	static const struct {
		const char *name;
		mode_t mode;
		unsigned int minor;
	} kinds[] = {
		{ "fifo", S_IFIFO | 0644, 0 },
		{ "sock", S_IFSOCK | 0700, 0 },
		{ "chr", S_IFCHR | 0600, 3 },
		{ "blk", S_IFBLK | 0640, 300 },
	};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (!strcmp(arg[1].text, kinds[i].name))
			return result(mknod(arg[0].text, kinds[i].mode,
					    makedev(kinds[i].minor ? 240 : 0,
						    kinds[i].minor)));
	return -EBADMSG;
}

static int op_link(struct seq *seq, const union arg *arg)
{
	return result(link(arg[0].text, arg[1].text));
}

static int op_unlink(struct seq *seq, const union arg *arg)
{
	return result(unlink(arg[0].text));
}

static int op_rmdir(struct seq *seq, const union arg *arg)
{
	return result(rmdir(arg[0].text));
}

static int rename_as(const union arg *arg, unsigned int flags)
{
	return result(renameat2(AT_FDCWD, arg[0].text, AT_FDCWD, arg[1].text, flags));
}

static int op_rename(struct seq *seq, const union arg *arg)
{
	return rename_as(arg, 0);
}

static int op_noreplace(struct seq *seq, const union arg *arg)
{
	return rename_as(arg, RENAME_NOREPLACE);
}

static int op_exchange(struct seq *seq, const union arg *arg)
{
	return rename_as(arg, RENAME_EXCHANGE);
}

static int op_whiteout(struct seq *seq, const union arg *arg)
{
	return rename_as(arg, RENAME_WHITEOUT);
}

/* Stays open as the held file, with something in it. */
static int op_tmpfile(struct seq *seq, const union arg *arg)
{
	unsigned char buf[5000];
	int fd = open(arg[0].text, O_TMPFILE | O_RDWR | O_CLOEXEC, 0644);

	if (fd < 0)
		return -errno;
	seq_fill(seq, buf, 0, sizeof(buf));
	if (write(fd, buf, sizeof(buf)) < 0) {
		close(fd);
		return -errno;
	}
	return seq_held_set(seq, fd);
}

static int op_held_link(struct seq *seq, const union arg *arg)
{
	char proc[32];

	if (seq->held < 0)
		return -ENOENT;
	sprintf(proc, "/proc/self/fd/%d", seq->held);
	return result(linkat(AT_FDCWD, proc, AT_FDCWD, arg[0].text, AT_SYMLINK_FOLLOW));
}

/* --- attributes ------------------------------------------------------- */

static int op_chmod(struct seq *seq, const union arg *arg)
{
	return result(fchmodat(AT_FDCWD, arg[0].text, arg[1].number, 0));
}

static int op_chown(struct seq *seq, const union arg *arg)
{
	return result(lchown(arg[0].text, arg[1].number, arg[2].number));
}

static int op_utimes(struct seq *seq, const union arg *arg)
{
	struct timespec times[2] = {
		{ .tv_sec = arg[1].number, .tv_nsec = 111111111 },
		{ .tv_sec = arg[1].number, .tv_nsec = 222222222 },
	};

	return result(utimensat(AT_FDCWD, arg[0].text, times, AT_SYMLINK_NOFOLLOW));
}

static int op_setxattr(struct seq *seq, const union arg *arg)
{
	size_t size = arg[2].number;
	unsigned char *value = malloc(size + 1);
	int err;

	if (!value)
		abort();
	seq_fill(seq, value, 0, size);
	err = result(lsetxattr(arg[0].text, arg[1].text, value, size, 0));
	free(value);
	return err;
}

static int op_rmxattr(struct seq *seq, const union arg *arg)
{
	return result(lremovexattr(arg[0].text, arg[1].text));
}

static const char *acl_name(const char *which)
{
	return strcmp(which, "default") ? ACL_ACCESS : ACL_DEFAULT;
}

static int op_acl(struct seq *seq, const union arg *arg)
{
	struct acl_blob acl;

	work_acl(&acl, mix64(seq->salt));
	return result(setxattr(arg[0].text, acl_name(arg[1].text), &acl, sizeof(acl), 0));
}

static int op_rmacl(struct seq *seq, const union arg *arg)
{
	return result(removexattr(arg[0].text, acl_name(arg[1].text)));
}

static int op_cap(struct seq *seq, const union arg *arg)
{
	struct vfs_cap_data cap = { .magic_etc = VFS_CAP_REVISION_2 };

	cap.data[0].permitted = 1u << (seq->salt % 20);
	return result(lsetxattr(arg[0].text, "security.capability", &cap,
				XATTR_CAPS_SZ_2, 0));
}

static int flag_of(const char *letters)
{
	static const struct {
		char letter;
		int flag;
	} flags[] = {
		{ 'i', FS_IMMUTABLE_FL }, { 'a', FS_APPEND_FL }, { 'd', FS_NODUMP_FL },
		{ 'A', FS_NOATIME_FL }, { 'S', FS_SYNC_FL },
	};

	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		if (letters[0] == flags[i].letter)
			return flags[i].flag;
	return 0;
}

/* chattr PATH LETTER sets it, chattr PATH none clears all that can be set. */
static int op_chattr(struct seq *seq, const union arg *arg)
{
	int all = FS_IMMUTABLE_FL | FS_APPEND_FL | FS_NODUMP_FL | FS_NOATIME_FL | FS_SYNC_FL;
	int fd = open(arg[0].text, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
	int flags, err;

	if (fd < 0)
		return -errno;
	err = result(ioctl(fd, FS_IOC_GETFLAGS, &flags));
	if (!err) {
		flags = strcmp(arg[1].text, "none") ? flags | flag_of(arg[1].text)
						    : flags & ~all;
		err = result(ioctl(fd, FS_IOC_SETFLAGS, &flags));
	}
	close(fd);
	return err;
}

static const struct verb verbs[] = {
	{ "create", "p", op_create },
	{ "mkdir", "p", op_mkdir },
	{ "symlink", "wp", op_symlink },	/* target name */
	{ "mknod", "pw", op_mknod },
	{ "link", "pp", op_link },
	{ "unlink", "p", op_unlink },
	{ "rmdir", "p", op_rmdir },
	{ "rename", "pp", op_rename },
	{ "noreplace", "pp", op_noreplace },
	{ "exchange", "pp", op_exchange },
	{ "whiteout", "pp", op_whiteout },
	{ "tmpfile", "p", op_tmpfile },
	{ "held-link", "p", op_held_link },
	{ "chmod", "po", op_chmod },
	{ "chown", "pnn", op_chown },
	{ "utimes", "pn", op_utimes },
	{ "setxattr", "pwn", op_setxattr },
	{ "rmxattr", "pw", op_rmxattr },
	{ "acl", "pw", op_acl },		/* access or default */
	{ "rmacl", "pw", op_rmacl },
	{ "cap", "p", op_cap },
	{ "chattr", "pw", op_chattr },
	{ NULL, NULL, NULL },
};

/* --- a line ----------------------------------------------------------- */

static const struct verb *find_verb(const char *name)
{
	const struct verb *tables[] = { verbs, seq_data_verbs };

	for (int i = 0; i < 2; i++)
		for (const struct verb *v = tables[i]; v->name; v++)
			if (!strcmp(v->name, name))
				return v;
	return NULL;
}

/* O/x is OUTSIDE/NAME/x; where there is no outside, a name that never is. */
static const char *real_path(const struct seq *seq, const char *path,
			     char buf[SEQ_PATH_BYTES])
{
	if (!seq || strncmp(path, "O/", 2) || !seq->outside)
		return path;
	snprintf(buf, SEQ_PATH_BYTES, "%s/%s/%s", seq->outside, seq->name, path + 2);
	return buf;
}

static int parse_number(const char *word, int base, long long *ret)
{
	char *end;

	errno = 0;
	*ret = strtoll(word, &end, base);
	return errno || end == word || *end ? -EBADMSG : 0;
}

/* The words after the verb, as its args say. */
static int parse_args(const struct seq *seq, const struct verb *verb, char *rest,
		      union arg arg[SEQ_ARGS], char paths[][SEQ_PATH_BYTES])
{
	size_t n = 0;
	char *word;

	while ((word = strsep(&rest, " "))) {
		char kind = verb->args[n];

		if (!kind || !*word)
			return -EBADMSG;
		if (kind == 'p')
			arg[n].text = real_path(seq, word, paths[n]);
		else if (kind == 'w')
			arg[n].text = word;
		else if (parse_number(word, kind == 'o' ? 8 : 10, &arg[n].number))
			return -EBADMSG;
		n++;
	}
	return verb->args[n] ? -EBADMSG : 0;
}

int seq_line(struct seq *seq, const char *line, char *why, size_t why_size)
{
	char copy[SEQ_PATH_BYTES], paths[SEQ_ARGS][SEQ_PATH_BYTES];
	union arg arg[SEQ_ARGS];
	const struct verb *verb;
	char *rest = copy;
	int err;

	if (snprintf(copy, sizeof(copy), "%s", line) >= (int)sizeof(copy)) {
		snprintf(why, why_size, "a line that long");
		return -EBADMSG;
	}
	verb = find_verb(strsep(&rest, " "));
	if (!verb) {
		snprintf(why, why_size, "no such verb");
		return -EBADMSG;
	}
	if (parse_args(seq, verb, rest, arg, paths)) {
		snprintf(why, why_size, "%s takes other arguments: %s", verb->name,
			 verb->args);
		return -EBADMSG;
	}
	if (!seq)
		return 0;
	err = verb->fn(seq, arg);
	if (err == -EBADMSG)
		snprintf(why, why_size, "%s does not know one of its words", verb->name);
	return err;
}
