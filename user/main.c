/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* main.c - the table of commands, and the words that are no command. */
#include "cmd/cmd.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static const struct command *const commands[] = {
	&cmd_record,    &cmd_report,   &cmd_fold,   &cmd_flame,
	&cmd_symbolize, &cmd_stackmap, &cmd_doctor, NULL,
};

static const struct command *command_find(const char *name)
{
	for (const struct command *const *c = commands; *c; c++)
		if (!strcmp((*c)->name, name))
			return *c;
	return NULL;
}

static int unknown_command(const char *name)
{
	struct suggestion s = { .typed = name };
	struct error e = {};

	for (const struct command *const *c = commands; *c; c++)
		suggestion_offer(&s, (*c)->name);
	error_set(&e, EINVAL, "unknown %s \"%.60s\"%s%s%s", name[0] == '-' ? "option" : "command",
		  name, s.best ? " (did you mean " : "", s.best ? s.best : "", s.best ? "?)" : "");
	error_advise(&e, "see bstack --help");
	return cmd_usage(NULL, &e);
}

static int wrong_use(const char *usage)
{
	struct error e = {};

	error_set(&e, EINVAL, "usage: bstack %s", usage);
	return cmd_usage(NULL, &e);
}

static int write_overview(const char *arg)
{
	const struct command *c = arg ? command_find(arg) : NULL;
	char help[] = "--help", *argv[] = { (char *)arg, help, NULL };

	if (arg && !c)
		return unknown_command(arg);
	if (c)
		return c->run(c, 2, argv);
	help_overview(commands, stdout);
	return cmd_flush(NULL);
}

static int write_version(const char *arg)
{
	(void)arg;
	puts("bstack " BSTACK_VERSION);
	return cmd_flush(NULL);
}

static int write_commands(const char *arg)
{
	(void)arg;
	for (const struct command *const *c = commands; *c; c++)
		puts((*c)->name);
	return cmd_flush(NULL);
}

static int write_man(const char *arg)
{
	const struct command *c = arg ? command_find(arg) : NULL;

	if (!arg)
		return wrong_use("--man COMMAND");
	if (!c)
		return unknown_command(arg);
	man_write(c, stdout);
	return cmd_flush(NULL);
}

static int write_completion(const char *arg)
{
	if (arg && !strcmp(arg, "bash"))
		completion_bash(commands, stdout);
	else if (arg && !strcmp(arg, "zsh"))
		completion_zsh(commands, stdout);
	else
		return wrong_use("--completion bash|zsh");
	return cmd_flush(NULL);
}

static const struct word {
	const char *name;
	int (*run)(const char *arg);
	int max_args;
} words[] = {
	{ "help", write_overview, 1 }, { "--help", write_overview, 1 },
	{ "-h", write_overview, 1 },   { "--version", write_version, 0 },
	{ "-V", write_version, 0 },    { "--list-commands", write_commands, 0 },
	{ "--man", write_man, 1 },     { "--completion", write_completion, 1 },
};

/* A standard stream that is closed must not become a file of ours: occupy it so that using it fails. */
static void keep_std_fds(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0)
			open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}

int main(int argc, char **argv)
{
	const struct command *c;

	keep_std_fds();
	if (argc < 2) {
		help_overview(commands, stderr);
		return EXIT_USAGE;
	}
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (strcmp(words[i].name, argv[1]))
			continue;
		if (argc - 2 > words[i].max_args)
			return wrong_use("COMMAND [OPTIONS]; one argument too many");
		return words[i].run(argc > 2 ? argv[2] : NULL);
	}
	c = command_find(argv[1]);
	return c ? c->run(c, argc - 1, argv + 1) : unknown_command(argv[1]);
}
