/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * opt.h - commands and their options as tables. One table feeds the parser, --help, the man page
 * and the shell completion, so they cannot disagree.
 */
#ifndef BSTACK_CLI_OPT_H
#define BSTACK_CLI_OPT_H

#include "base/base.h"

enum opt_kind {
	OPT_FLAG,     /* bool */
	OPT_STR,      /* const char *: points into argv */
	OPT_U64,      /* uint64_t within [min, max] */
	OPT_DOUBLE,   /* double within [min, max] */
	OPT_STRS,     /* struct opt_strs: may be given again */
	OPT_U64_LIST, /* struct opt_u64s: "1,2,3", given again it adds */
};
#define OPT_LIST_MAX 1024
struct opt_strs {
	const char *v[64 + 1]; /* NULL-terminated */
	size_t cnt;
};
struct opt_u64s {
	uint64_t *v; /* malloc'd: opt_u64s_release */
	size_t cnt;
	bool is_given;
};
void opt_u64s_release(struct opt_u64s *l);

struct opt {
	char short_name;  /* 0: none */
	const char *name; /* long name without dashes; NULL ends the table */
	const char *arg;  /* "PID[,PID]"; NULL for flags */
	enum opt_kind kind;
	size_t offset;     /* in the command's own struct of options */
	double min, max;   /* numbers */
	const char *group; /* heading in help and man: "Target", "Event", "Output" */
	const char *help;  /* one or more sentences, no line breaks; defaults told here */
	/* "file", "dir", "pid", "command", "none", or words "a b c"; NULL: none */
	const char *complete;
};

struct example {
	const char *command, *text;
};

struct command {
	const char *name;               /* "record" */
	const char *args;               /* "[TARGET] [-o FILE] [-- COMMAND ARGS]" */
	const char *summary;            /* one line, no full stop */
	const char *description;        /* paragraphs separated by \n\n */
	const struct opt *opts;         /* without --help, which every command has */
	const struct example *examples; /* command NULL ends; may be NULL */
	const char *exit_status;        /* NULL: the common table: 0, 1, 2, 3 */
	const char *complete;           /* positional arguments, as in struct opt */
	int (*run)(const struct command *self, int argc,
		   char **argv);   /* argv[0] is the name; exit code */
	size_t min_args, max_args; /* positional; max SIZE_MAX: any, and options end at the first */
};

/* Returns 0 with *ret_first the index of the first positional argument (argv is permuted, and
 * argc - *ret_first is between min_args and max_args), 1 when --help was asked, -EINVAL with a
 * story: "unknown option --foo (did you mean --fold?)", "-F: 0 is not between 1 and 100000". A
 * command with max_args SIZE_MAX stops at the first positional argument or "--". `into` starts
 * with defaults set by the caller. Options may be given as --name=V, --name V, -nV, -n V; an
 * unambiguous prefix is not accepted: scripts must not break by a new option. */
int opt_parse(const struct command *c, int argc, char **argv, void *into, int *ret_first,
	      struct error *e);

/* "Did you mean": offer names one by one to a struct with typed set; best is then the nearest of
 * those near enough to be a slip (or that typed begins), NULL when none is. */
struct suggestion {
	const char *typed;
	const char *best;
	size_t best_distance;
};
void suggestion_offer(struct suggestion *s, const char *name);

/* What every command's exit codes mean, unless it has exit_status of its own. */
#define EXIT_STATUS_TEXT                                                             \
	"0: complete.\n\n1: failed; standard error says why.\n\n2: wrong usage.\n\n" \
	"3: done, but below a threshold that was asked for."

/* Commands of the program: NULL-terminated array. */
void help_write(const struct command *c, FILE *out, unsigned width);
void help_overview(const struct command *const *all, FILE *out); /* bstack --help */
void man_write(const struct command *c, FILE *out);              /* bstack-NAME.1, roff */
void completion_bash(const struct command *const *all, FILE *out);
void completion_zsh(const struct command *const *all, FILE *out);

#endif
