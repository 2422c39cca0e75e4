/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * maker.h - a thread that makes tables of files, so that whoever reads samples never waits for a large one. It
 * sees nothing but file descriptors and the tables it makes: what is done with them is the caller's, in one
 * thread.
 */
#ifndef BSTACK_UNWIND_MAKER_H
#define BSTACK_UNWIND_MAKER_H

#include "unwind/table.h"

/* What became of a job. */
struct made_table {
	uint32_t module;
	int err;                   /* of unwind_table_read() */
	struct unwind_table table; /* with err 0: the caller's to release */
	uint64_t cpu_ns;           /* that it took */
};

struct maker;
int maker_new(struct maker **ret);
void maker_free(struct maker *m); /* accepts NULL; waits for the table in hand */
/* Make the table of the file in fd, which the maker closes, also when it fails. 0 or -ENOMEM. */
int maker_add(struct maker *m, uint32_t module, int fd);
/* The next result, in the order of the jobs. is_waiting: wait for it when there are jobs left. False: there is none. */
bool maker_take(struct maker *m, bool is_waiting, struct made_table *ret);
/* Tables come sooner on a busy host: a nice value of HURRY_NICE, where that is allowed. */
#define HURRY_NICE (-10)
void maker_hurry(struct maker *m);
bool maker_is_idle(struct maker *m); /* all jobs are done; results may be left */
int maker_fd(const struct maker *m); /* readable while there may be results */

#endif
