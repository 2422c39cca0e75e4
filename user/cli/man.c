/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * man.c - a command's table as a man page. roff takes a line that starts with a dot or an apostrophe
 * for a request, a backslash for an escape, and turns a bare hyphen and some others into typographic
 * characters that nobody can paste: all of them are escaped.
 */
#include "cli/opt.h"

#include <ctype.h>
#include <string.h>

/* Text within a line; the line must have been begun with something else, or with "\&". */
static void roff_n(FILE *out, const char *text, size_t len)
{
	static const char *const escapes[128] = {
		['\\'] = "\\e",  ['-'] = "\\-",   ['\''] = "\\(aq", ['`'] = "\\(ga",
		['^'] = "\\(ha", ['~'] = "\\(ti", ['"'] = "\\(dq",  ['\n'] = " ",
	};

	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c < 128 && escapes[c])
			fputs(escapes[c], out);
		else
			fputc(c, out);
	}
}

static void roff(FILE *out, const char *text)
{
	roff_n(out, text, strlen(text));
}

/* A line of text of its own. */
static void line_n(FILE *out, const char *text, size_t len)
{
	if (len && (text[0] == '.' || text[0] == '\''))
		fputs("\\&", out);
	roff_n(out, text, len);
	fputc('\n', out);
}

static void line(FILE *out, const char *text)
{
	line_n(out, text, strlen(text));
}

/* Paragraphs; separator stands between two of them. */
static void paragraphs(FILE *out, const char *text, const char *separator)
{
	while (*text) {
		const char *end = strstr(text, "\n\n");
		size_t len = end ? (size_t)(end - text) : strlen(text);

		line_n(out, text, len);
		text += len + (end ? 2 : 0);
		if (*text)
			fputs(separator, out);
	}
}

/* The synopsis or an option's argument: words in capitals in italics, the rest as it is. */
static void arguments(FILE *out, const char *text)
{
	while (*text) {
		size_t caps = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ");

		if (caps > 1 || (caps == 1 && !isalpha((unsigned char)text[1]))) {
			fputs("\\fI", out);
			roff_n(out, text, caps);
			fputs("\\fR", out);
			text += caps;
			continue;
		}
		/* a word: up to where the next may begin */
		do {
			roff_n(out, text++, 1);
		} while (*text && isalnum((unsigned char)text[-1]));
	}
}

static void option(FILE *out, char short_name, const char *name, const char *arg, const char *help)
{
	fputs(".TP\n", out);
	if (short_name)
		fprintf(out, "\\fB\\-%c\\fR, ", short_name);
	fputs("\\fB\\-\\-", out);
	roff(out, name);
	fputs("\\fR", out);
	if (arg) {
		fputc(' ', out);
		arguments(out, arg);
	}
	fputc('\n', out);
	line(out, help);
}

static void options(const struct command *c, FILE *out)
{
	const char *group = NULL;

	fputs(".SH OPTIONS\n", out);
	for (const struct opt *o = c->opts; o && o->name; o++) {
		if (o->group && (!group || strcmp(group, o->group))) {
			fputs(".SS ", out);
			roff(out, o->group);
			fputc('\n', out);
		}
		group = o->group;
		option(out, o->short_name, o->name, o->arg, o->help);
	}
	if (group)
		fputs(".SS Help\n", out);
	option(out, 'h', "help", NULL, "Print a summary of the options.");
}

static void title(const struct command *c, FILE *out)
{
	fputs(".TH \"BSTACK\\-", out);
	for (const char *s = c->name; *s; s++)
		fputc(toupper((unsigned char)*s), out);
	fputs("\" \"1\" \"\" \"bstack " BSTACK_VERSION "\" \"User Commands\"\n", out);
	fputs(".SH NAME\nbstack\\-", out);
	roff(out, c->name);
	/* man pages name what they describe in lower case */
	fprintf(out, " \\- %c", tolower((unsigned char)c->summary[0]));
	roff(out, c->summary + 1);
	fputs("\n.SH SYNOPSIS\n\\fBbstack ", out);
	roff(out, c->name);
	fputs("\\fR", out);
	if (c->args && *c->args) {
		fputc(' ', out);
		arguments(out, c->args);
	}
	fputc('\n', out);
}

void man_write(const struct command *c, FILE *out)
{
	title(c, out);
	fputs(".SH DESCRIPTION\n", out);
	paragraphs(out, c->description ? c->description : c->summary, ".PP\n");
	options(c, out);
	if (c->examples && c->examples->command)
		fputs(".SH EXAMPLES\n", out);
	for (const struct example *x = c->examples; x && x->command; x++) {
		fputs(".TP\n\\fB", out);
		roff(out, x->command);
		fputs("\\fR\n", out);
		line(out, x->text);
	}
	fputs(".SH EXIT STATUS\n", out);
	paragraphs(out, c->exit_status ? c->exit_status : EXIT_STATUS_TEXT, ".br\n");
	fputs(".SH SEE ALSO\n.BR bstack (1)\n", out);
}
