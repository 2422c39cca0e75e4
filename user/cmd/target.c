/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* target.c - see target.h. */
#include "cmd/target.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define PF_KTHREAD 0x00200000UL /* include/linux/sched.h */

/* State letter and flags: fields 3 and 9 of stat. */
static int stat_read(pid_t id, char *ret_state, unsigned long *ret_flags)
{
	char path[64], text[1024], *p;
	int fd CLEANUP(cleanup_close) = -1;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/stat", id);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = read_some(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return -ESRCH;
	text[n] = '\0';
	p = strrchr(text, ')');
	if (!p || sscanf(p + 1, " %c %*d %*d %*d %*d %*d %lu", ret_state, ret_flags) != 2)
		return -ESRCH;
	return 0;
}

static pid_t tgid_read(pid_t id)
{
	char path[64], line[256];
	FILE *f CLEANUP(cleanup_fclose) = NULL;
	int tgid = 0;

	snprintf(path, sizeof(path), "/proc/%d/status", id);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "Tgid: %d", &tgid) == 1)
			break;
	return tgid;
}

int target_check(pid_t id, bool is_tid, struct error *e)
{
	const char *what = is_tid ? "thread" : "process";
	unsigned long flags;
	char state;
	int err = stat_read(id, &state, &flags);
	pid_t tgid;

	if (err == -ENOENT || err == -ESRCH) {
		error_set(e, ESRCH, "cannot record %s %d: there is none", what, id);
		error_advise(e, "ps -e shows the processes; it may have exited");
		return -ESRCH;
	}
	if (err)
		return error_errno(e, -err, "cannot record %s %d", what, id);
	if (flags & PF_KTHREAD) {
		error_set(e, EINVAL,
			  "cannot record %s %d: it is a kernel thread, without user stacks", what,
			  id);
		error_advise(e, "bstack record -a -k records kernel stacks of the whole host");
		return -EINVAL;
	}
	if (state == 'Z' || state == 'X') {
		error_set(e, ESRCH, "cannot record %s %d: it has exited (a zombie)", what, id);
		error_advise(e, "its parent has not yet waited for it; record the parent");
		return -ESRCH;
	}
	tgid = tgid_read(id);
	if (!is_tid && tgid && tgid != id) {
		error_set(e, EINVAL, "cannot record process %d: it is a thread of process %d", id,
			  tgid);
		error_advise(e, "use -t %d for the thread, -p %d for all of its threads", id, tgid);
		return -EINVAL;
	}
	return 0;
}

/* The child's side: wait for the word, exec, or tell why not. Async-signal-safe calls only. */
static void child_main(char *const argv[], int go_fd, int fail_fd)
{
	ssize_t n;
	char go;
	int err;

	if (read_some(go_fd, &go, 1) != 1)
		_exit(127); /* the recording did not come about */
	execvp(argv[0], argv);
	err = errno;
	n = write(fail_fd, &err, sizeof(err));
	_exit(n == sizeof(err) ? 127 : 126);
}

int child_start(char *const argv[], struct child *ret, struct error *e)
{
	int go[2], fail[2];
	pid_t pid;

	if (pipe2(go, O_CLOEXEC))
		return error_errno(e, errno, "cannot start %s", argv[0]);
	if (pipe2(fail, O_CLOEXEC)) {
		close(go[0]);
		close(go[1]);
		return error_errno(e, errno, "cannot start %s", argv[0]);
	}
	pid = fork();
	if (!pid) {
		close(go[1]);
		close(fail[0]);
		signal(SIGPIPE, SIG_DFL);
		signal(SIGXFSZ, SIG_DFL);
		child_main(argv, go[0], fail[1]);
	}
	close(go[0]);
	close(fail[1]);
	if (pid < 0) {
		int err = errno;

		close(go[1]);
		close(fail[0]);
		return error_errno(e, err, "cannot start %s", argv[0]);
	}
	*ret = (struct child){ .pid = pid, .go_fd = go[1], .fail_fd = fail[0] };
	return 0;
}

int child_go(struct child *c, const char *name, struct error *e)
{
	int code = -write_all(c->go_fd, "x", 1);

	if (!code) /* nothing comes when the exec closes it */
		read_some(c->fail_fd, &code, sizeof(code));
	close(c->go_fd);
	close(c->fail_fd);
	c->go_fd = c->fail_fd = -1;
	return code ? error_errno(e, code, "cannot run %s", name) : 0;
}

bool child_has_exited(struct child *c)
{
	if (!c->is_reaped && waitpid(c->pid, &c->status, WNOHANG) == c->pid)
		c->is_reaped = true;
	return c->is_reaped;
}

int child_finish(struct child *c, bool must_end)
{
	if (c->go_fd > 0)
		close(c->go_fd);
	if (c->fail_fd > 0)
		close(c->fail_fd);
	if (must_end && !child_has_exited(c))
		kill(c->pid, SIGTERM);
	while (!c->is_reaped) {
		if (waitpid(c->pid, &c->status, 0) == c->pid)
			c->is_reaped = true;
		else if (errno != EINTR)
			return 127;
	}
	return WIFSIGNALED(c->status) ? 128 + WTERMSIG(c->status) : WEXITSTATUS(c->status);
}
