/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * cmd.h - the commands, and how they speak. Product goes to stdout, talk to stderr; only this folder
 * prints. A message is one line: "bstack NAME: what was tried, on what, why not; what to do".
 */
#ifndef BSTACK_CMD_H
#define BSTACK_CMD_H

#include "base/base.h"
#include "cli/opt.h"

/* Exit codes of every command. `record -- COMMAND` passes on the command's own instead. */
enum {
	EXIT_DONE = 0,   /* complete */
	EXIT_FAILED = 1, /* not done, or not all of it */
	EXIT_USAGE = 2,  /* the command line was wrong; nothing was tried */
	EXIT_BELOW = 3,  /* done, but below a threshold that was asked for */
};

extern const struct command cmd_record;
extern const struct command cmd_report;
extern const struct command cmd_fold;
extern const struct command cmd_flame;
extern const struct command cmd_symbolize;
extern const struct command cmd_stackmap;
extern const struct command cmd_doctor;

/* Print the story of a failure; one without text is not printed (the reader of a pipe went away,
 * who does not want to know). self NULL: the program itself speaks. Returns EXIT_FAILED. */
int cmd_fail(const struct command *self, const struct error *e);
/* The same for a wrong command line: EXIT_USAGE. */
int cmd_usage(const struct command *self, const struct error *e);
/* One line of talk on stderr. Control characters and bytes that are not UTF-8 become '?'. */
void cmd_say(const struct command *self, const char *fmt, ...) PRINTF(2, 3);
/*
 * opt_parse() for a command: prints help or the refusal. True: go on, with *ret_first the first
 * positional argument; false: return *ret_code.
 */
bool cmd_parse(const struct command *self, int argc, char **argv, void *into, int *ret_first,
	       int *ret_code);
/* The command line, as a profile keeps it. */
void cmd_line(int argc, char **argv, struct buf *ret);
/* Say that memory ran out: EXIT_FAILED. */
int cmd_no_memory(const struct command *self);
/* Say so when the recording of m did not end in order. */
struct model;
void cmd_warn_cut(const struct command *self, const struct model *m, const char *name);
/* Flush stdout and see whether all of it arrived: EXIT_DONE, or the failure printed. */
int cmd_flush(const struct command *self);

#endif
