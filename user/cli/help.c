/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* help.c - a command's table as text for the terminal. */
#include "cli/opt.h"

#include <ctype.h>
#include <string.h>

#define HELP_WIDTH_DEFAULT 80
#define HELP_COLUMN        28 /* where the text of an option starts */

/* Words of text in lines of width, from column on; the cursor stands at column already. */
static void wrap(FILE *out, const char *text, size_t len, unsigned int column, unsigned int width)
{
	size_t at = column;

	for (size_t i = 0; i < len;) {
		size_t word = strcspn(text + i, " ");

		if (word > len - i)
			word = len - i;
		if (at > column && at + 1 + word > width) {
			fprintf(out, "\n%*s", (int)column, "");
			at = column;
		} else if (at > column) {
			fputc(' ', out);
			at++;
		}
		fwrite(text + i, 1, word, out);
		at += word;
		i += word;
		i += strspn(text + i, " ");
	}
	fputc('\n', out);
}

/* Paragraphs separated by empty lines. */
static void paragraphs(FILE *out, const char *text, unsigned int indent, unsigned int width,
		       const char *between)
{
	while (*text) {
		const char *end = strstr(text, "\n\n");
		size_t len = end ? (size_t)(end - text) : strlen(text);

		fprintf(out, "%*s", (int)indent, "");
		wrap(out, text, len, indent, width);
		text += len + (end ? 2 : 0);
		if (*text)
			fputs(between, out);
	}
}

static void option_line(FILE *out, char short_name, const char *name, const char *arg,
			const char *help, unsigned int width)
{
	char left[128];
	int len;

	len = snprintf(left, sizeof(left), "  %c%c%c --%s%s%s", short_name ? '-' : ' ',
		       short_name ? short_name : ' ', short_name ? ',' : ' ', name, arg ? " " : "",
		       arg ? arg : "");
	fputs(left, out);
	if (len + 2 > HELP_COLUMN)
		fprintf(out, "\n%*s", HELP_COLUMN, "");
	else
		fprintf(out, "%*s", HELP_COLUMN - len, "");
	wrap(out, help, strlen(help), HELP_COLUMN, width);
}

static void options(const struct command *c, FILE *out, unsigned int width)
{
	const char *group = NULL;

	for (const struct opt *o = c->opts; o && o->name; o++) {
		const char *g = o->group ? o->group : "Options";

		if (!group || strcmp(group, g))
			fprintf(out, "\n%s:\n", g);
		group = g;
		option_line(out, o->short_name, o->name, o->arg, o->help, width);
	}
	if (!group || strcmp(group, "Options"))
		fputs("\nHelp:\n", out);
	option_line(out, 'h', "help", NULL, "Print this text.", width);
}

void help_write(const struct command *c, FILE *out, unsigned int width)
{
	if (!width)
		width = HELP_WIDTH_DEFAULT;
	fprintf(out, "Usage: bstack %s%s%s\n\n%c%s.\n", c->name, c->args && *c->args ? " " : "",
		c->args ? c->args : "", toupper((unsigned char)c->summary[0]), c->summary + 1);
	if (c->description) {
		fputc('\n', out);
		paragraphs(out, c->description, 0, width, "\n");
	}
	options(c, out, width);
	if (c->examples && c->examples->command)
		fputs("\nExamples:\n", out);
	for (const struct example *x = c->examples; x && x->command; x++) {
		fprintf(out, "  %s\n      ", x->command);
		wrap(out, x->text, strlen(x->text), 6, width);
	}
	fputs("\nExit status:\n", out);
	paragraphs(out, c->exit_status ? c->exit_status : EXIT_STATUS_TEXT, 2, width, "");
}

void help_overview(const struct command *const *all, FILE *out)
{
	fputs("Usage: bstack COMMAND [OPTIONS]\n\n"
	      "A sampling profiler whose stacks are made of build-ids and offsets, and which says "
	      "of\n"
	      "every frame how it is known.\n\nCommands:\n",
	      out);
	for (; *all; all++)
		fprintf(out, "  %-10s %c%s\n", (*all)->name,
			toupper((unsigned char)(*all)->summary[0]), (*all)->summary + 1);
	fputs("\n  bstack COMMAND --help    options and examples of a command\n"
	      "  bstack --version         the version of bstack\n\n"
	      "Start with:\n"
	      "  sudo bstack record -a -d 10\n"
	      "  bstack report\n"
	      "  bstack flame\n",
	      out);
}
