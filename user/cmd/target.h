/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* target.h - whom a command looks at: checking that a process can be, and starting one of our own. */
#ifndef BSTACK_TARGET_H
#define BSTACK_TARGET_H

#include "base/base.h"

/* Is this a process (thread with is_tid) with user stacks? The story tells what it is instead. */
int target_check(pid_t id, bool is_tid, struct error *e);

/* Our own child, that waits before its exec. */
struct child {
	pid_t pid; /* 0: none */
	int go_fd, fail_fd;
	bool is_reaped;
	int status; /* of wait() */
};
int child_start(char *const argv[], struct child *ret, struct error *e);
/* Let it exec; the story when that failed, with its errno. */
int child_go(struct child *c, const char *name, struct error *e);
/* Has it exited? Does not wait. */
bool child_has_exited(struct child *c);
/* Wait for it, after a SIGTERM when it must end; the exit code as shells give it. */
int child_finish(struct child *c, bool must_end);

#endif
