/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* input.c - see input.h. */
#include "cmd/input.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "profile/folded.h"
#include "profile/pprof.h"

#define SNIFF_SZ 4096

static int too_big(struct error *e, const char *name)
{
	error_set(e, EFBIG, "cannot read %s: it is more than the 2 GiB that bstack reads", name);
	error_advise(e, "record for a shorter time, or at a lower frequency");
	return -EFBIG;
}

/* Refuse what is no regular file, before it is opened: opening a FIFO hangs, a device may act. */
static int check_type(const char *path, const struct stat *st, struct error *e)
{
	const char *what = NULL;

	if (S_ISDIR(st->st_mode))
		what = "a directory";
	else if (S_ISFIFO(st->st_mode))
		what = "a FIFO";
	else if (S_ISSOCK(st->st_mode))
		what = "a socket";
	else if (!S_ISREG(st->st_mode))
		what = "a device";
	if (!what)
		return (uint64_t)st->st_size > INPUT_MAX_SZ ? too_big(e, path) : 0;
	error_set(e, EINVAL, "cannot read %s: it is %s, not a file", path, what);
	if (!S_ISDIR(st->st_mode))
		error_advise(e, "to read it all the same: bstack COMMAND - < %s", path);
	else
		error_advise(e, "name the profile in it");
	return -EINVAL;
}

static int open_file(const char *path, bool is_default, struct error *e)
{
	struct stat st;
	int fd = -1, err;

	if (!stat(path, &st)) {
		err = check_type(path, &st, e);
		if (err)
			return err;
		/* not blocking: it may have become a FIFO since */
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	}
	if (fd < 0) {
		err = error_errno(e, errno, "cannot read %s", path);
		if (is_default && err == -ENOENT)
			error_advise(e, "record one with bstack record, or name a profile");
		return err;
	}
	err = fstat(fd, &st) ? error_errno(e, errno, "cannot read %s", path)
			     : check_type(path, &st, e);
	if (err) {
		close(fd);
		return err;
	}
	return fd;
}

/* All of a pipe in memory that can be sought in. */
static int spool(int from, const char *name, struct error *e)
{
	int fd CLEANUP(cleanup_close) = memfd_create("bstack-input", MFD_CLOEXEC);
	char *chunk CLEANUP(cleanup_free) = malloc(1 << 16);
	uint64_t total = 0;
	int err = fd < 0 ? -errno : !chunk ? -ENOMEM : 0, ret;

	while (!err) {
		ssize_t n = read(from, chunk, 1 << 16);

		if (n < 0 && errno == EINTR)
			continue;
		if (!n)
			break;
		if (n < 0) {
			err = -errno;
			break;
		}
		total += (uint64_t)n;
		if (total > INPUT_MAX_SZ)
			return too_big(e, name);
		err = write_all(fd, chunk, (size_t)n);
	}
	if (!err && lseek(fd, 0, SEEK_SET) < 0)
		err = -errno;
	if (err)
		return error_errno(e, -err, "cannot read %s", name);
	ret = fd;
	fd = -1;
	return ret;
}

static int open_stdin(const char *name, struct error *e)
{
	struct stat st;
	int fd;

	if (isatty(STDIN_FILENO)) {
		error_set(e, EINVAL, "cannot read a profile from a terminal");
		error_advise(e, "name a file, or pipe one in");
		return -EINVAL;
	}
	if (fstat(STDIN_FILENO, &st) || !S_ISREG(st.st_mode))
		return spool(STDIN_FILENO, name, e);
	if ((uint64_t)st.st_size > INPUT_MAX_SZ)
		return too_big(e, name);
	fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
	return fd < 0 ? error_errno(e, errno, "cannot read %s", name) : fd;
}

/* The first line that is not empty ends in " NUMBER", as folded text does. */
static bool has_count(const char *s, size_t len)
{
	size_t i = 0, end, digits;

	while (i < len && (s[i] == '\n' || s[i] == '\r'))
		i++;
	for (end = i; end < len && s[end] != '\n'; end++)
		;
	if (end > i && s[end - 1] == '\r')
		end--;
	for (digits = end; digits > i && s[digits - 1] && strchr("0123456789.", s[digits - 1]);)
		digits--;
	return digits < end && digits > i + 1 && s[digits - 1] == ' ';
}

static bool is_text(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)s[i] < 0x20 && !strchr("\t\n\r\033", s[i] ? s[i] : 1))
			return false;
	return true;
}

static bool is_gzip(const unsigned char *s, size_t len)
{
	return len >= 2 && s[0] == 0x1f && s[1] == 0x8b;
}

/* gzip, or the tag of a field of profile.proto with a wire type that it uses. */
static bool may_be_pprof(const unsigned char *s, size_t len)
{
	if (is_gzip(s, len))
		return true;
	return (s[0] >> 3) >= 1 && (s[0] >> 3) <= 15 && ((s[0] & 7) == 0 || (s[0] & 7) == 2) &&
	       s[0] < 0x80;
}

static int not_a_profile(const char *name, const unsigned char *s, size_t len, struct error *e)
{
	char hex[8 * 3 + 1] = "";

	for (size_t i = 0; i < len && i < 8; i++)
		snprintf(hex + 3 * i, 4, " %02x", s[i]);
	error_set(e, EINVAL,
		  "cannot read %s: neither a pprof profile nor folded text (it begins with%s)",
		  name, hex);
	error_advise(e, "record one with bstack record");
	return -EINVAL;
}

static int read_folded(int fd, const char *name, struct model *m, struct error *e)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	FILE *f CLEANUP(cleanup_fclose) = copy < 0 ? NULL : fdopen(copy, "r");

	if (!f) {
		int err = errno;

		if (copy >= 0)
			close(copy);
		return error_errno(e, err, "cannot read %s", name);
	}
	return folded_read(f, name, m, e);
}

/* Look at the beginning, go back, and hand the file to who reads such. */
static int read_any(int fd, struct model *m, struct input *in, struct error *e)
{
	char head[SNIFF_SZ];
	const unsigned char *bytes = (const unsigned char *)head;
	ssize_t n;

	do {
		n = read(fd, head, sizeof(head));
	} while (n < 0 && errno == EINTR);
	if (n < 0 || (n > 0 && lseek(fd, -n, SEEK_CUR) < 0))
		return error_errno(e, errno, "cannot read %s", in->name);
	if (!n) {
		error_set(e, EINVAL, "cannot read %s: it is empty", in->name);
		error_advise(e, "record one with bstack record");
		return -EINVAL;
	}
	if (!is_gzip(bytes, (size_t)n) &&
	    (is_text(head, (size_t)n) ||
	     (!memchr(head, 0, (size_t)n) && has_count(head, (size_t)n)))) {
		in->is_folded = true;
		return read_folded(fd, in->name, m, e);
	}
	if (!may_be_pprof(bytes, (size_t)n))
		return not_a_profile(in->name, bytes, (size_t)n, e);
	return pprof_read(fd, in->name, m, e);
}

int input_read(const char *path, struct model *m, struct input *ret, struct error *e)
{
	struct input in = { .name = path ? path : INPUT_DEFAULT };
	int fd CLEANUP(cleanup_close) = -1;
	int err;

	in.is_stdin = !strcmp(in.name, "-");
	if (in.is_stdin) {
		in.name = "standard input";
		fd = open_stdin(in.name, e);
	} else {
		fd = open_file(in.name, !path, e);
	}
	if (fd < 0)
		return fd;
	err = read_any(fd, m, &in, e);
	if (!err)
		*ret = in;
	return err;
}
