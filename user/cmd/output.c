/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* output.c - see output.h. */
#include "cmd/output.h"
#include "profile/pprof.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TMP_TRIES 100

static int cannot_write(struct error *e, int err, const char *name)
{
	return error_errno(e, err, "cannot write %s", name);
}

/* A new file beside o->target, with the mode of the old one if there is one. */
static int open_tmp(struct output *o, const struct stat *old, struct error *e)
{
	const char *slash = strrchr(o->target, '/');
	int dir_len = slash ? (int)(slash + 1 - o->target) : 0, err;

	for (int i = 0; i < TMP_TRIES; i++) {
		int fd;

		free(o->tmp);
		o->tmp = NULL;
		if (asprintf(&o->tmp, "%.*s.bstack-%d-%d.tmp", dir_len, o->target, (int)getpid(),
			     i) < 0) {
			o->tmp = NULL;
			return cannot_write(e, ENOMEM, o->name);
		}
		fd = open(o->tmp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
		/* the owner can be kept by root only; who may not simply owns the new one */
		if (fd >= 0 && old && (fchown(fd, old->st_uid, old->st_gid) || true))
			fchmod(fd, old->st_mode & 0777);
		if (fd >= 0)
			return fd;
		if (errno != EEXIST)
			break;
	}
	err = errno;
	free(o->tmp);
	o->tmp = NULL;
	return cannot_write(e, err, o->name);
}

/* fd of what shall be written, or -errno. */
static int open_path(struct output *o, const char *path, struct error *e)
{
	int flags = O_WRONLY | O_CLOEXEC | O_NOCTTY, fd;
	struct stat st;

	if (stat(path, &st)) {
		if (errno != ENOENT || !path[0])
			return cannot_write(e, errno, path);
		/* a dangling link: its target is made, through the link */
		o->target = lstat(path, &st) ? strdup(path) : NULL;
		if (o->target)
			return open_tmp(o, NULL, e);
		flags |= O_CREAT;
	} else if (S_ISREG(st.st_mode)) {
		if (access(path, W_OK))
			return cannot_write(e, errno, path);
		o->target = realpath(path, NULL);
		return o->target ? open_tmp(o, &st, e) : cannot_write(e, errno, path);
	}
	fd = open(path, flags, 0666);
	return fd >= 0 ? fd : cannot_write(e, errno, path);
}

int output_open(const char *path, struct output *ret, struct error *e)
{
	struct output o = { .name = path };
	int fd;

	/* a broken pipe and a file that may not grow are errors of a write: told, and cleaned up behind */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	if (!strcmp(path, "-") || !strcmp(path, "/dev/stdout")) {
		*ret = (struct output){ .file = stdout, .name = "standard output" };
		return 0;
	}
	fd = open_path(&o, path, e);
	if (fd < 0) {
		output_release(&o);
		return fd;
	}
	o.file = fdopen(fd, "w");
	if (!o.file) {
		int err = cannot_write(e, errno, path);

		close(fd);
		output_release(&o);
		return err;
	}
	*ret = o;
	return 0;
}

/* Everything on its way to the disk, or -errno. */
static int settle(struct output *o)
{
	bool has_failed = ferror(o->file);
	int err = 0;

	errno = 0;
	if (fflush(o->file))
		err = errno ? -errno : -EIO;
	else if (has_failed)
		err = -EIO;
	if (!err && o->tmp && fsync(fileno(o->file)) && errno != EINVAL && errno != ENOSYS)
		err = -errno;
	if (fclose(o->file) && !err)
		err = errno ? -errno : -EIO;
	o->file = NULL;
	if (!err && o->tmp && rename(o->tmp, o->target))
		err = -errno;
	if (!err) {
		free(o->tmp);
		o->tmp = NULL;
	}
	return err;
}

int output_finish(struct output *o, int err, struct error *e)
{
	const char *name = o->name;

	if (!err)
		err = settle(o);
	output_release(o);
	if (!err)
		return 0;
	if (err == -EPIPE)
		error_set(e, EPIPE, "%s", "");
	else
		cannot_write(e, -err, name);
	return err;
}

int output_profile(const struct model *m, const char *path, struct error *e)
{
	struct output out;
	int err = output_open(path, &out, e);

	if (err)
		return err;
	err = pprof_write(m, fileno(out.file), e);
	if (err && err != -EPIPE && e->text[0]) {
		output_release(&out);
		return err;
	}
	return output_finish(&out, err, e);
}

void output_release(struct output *o)
{
	if (o->file)
		fclose(o->file);
	if (o->tmp)
		unlink(o->tmp);
	free(o->tmp);
	free(o->target);
	*o = (struct output){};
}
