/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * completion.c - the tables as completion scripts for bash and zsh. The scripts are data and a small
 * fixed frame: what to offer stands in the table, how to offer it in the frame.
 */
#include "cli/opt.h"

#include <string.h>

/* Inside single quotes of a shell. */
static void quoted_n(FILE *out, const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (text[i] == '\'')
			fputs("'\\''", out);
		else
			fputc(text[i], out);
	}
}

static const char bash_head[] =
	"# bash completion for bstack, made by: bstack --completion bash\n"
	"\n"
	"# _bstack_value KIND: what may stand for a value or an argument\n"
	"_bstack_value()\n"
	"{\n"
	"	local start=\n"
	"	case $1 in\n"
	"	file)\n"
	"		compopt -o filenames 2>/dev/null\n"
	"		mapfile -t COMPREPLY < <(compgen -f -- \"$cur\")\n"
	"		;;\n"
	"	dir)\n"
	"		compopt -o filenames 2>/dev/null\n"
	"		mapfile -t COMPREPLY < <(compgen -d -- \"$cur\")\n"
	"		;;\n"
	"	command)\n"
	"		mapfile -t COMPREPLY < <(compgen -c -- \"$cur\")\n"
	"		;;\n"
	"	pid)\n"
	"		[[ $cur == *,* ]] && start=${cur%,*},\n"
	"		mapfile -t COMPREPLY < <(cd /proc &&\n"
	"			compgen -P \"$start\" -W \"$(echo [0-9]*)\" -- \"${cur##*,}\")\n"
	"		;;\n"
	"	none)\n"
	"		;;\n"
	"	*)\n"
	"		mapfile -t COMPREPLY < <(compgen -W \"$1\" -- \"$cur\")\n"
	"		;;\n"
	"	esac\n"
	"}\n"
	"\n"
	"_bstack()\n"
	"{\n"
	"	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n"
	"	local commands options argument value i\n"
	"	COMPREPLY=()\n"
	"	# bash cuts --name=value into three words\n"
	"	if [[ $cur == = ]]; then\n"
	"		cur=\n"
	"	elif [[ $prev == = ]] && ((COMP_CWORD > 2)); then\n"
	"		prev=${COMP_WORDS[COMP_CWORD-2]}\n"
	"	fi\n";

static const char bash_tail[] =
	"	for ((i = 2; i < COMP_CWORD; i++)); do\n"
	"		if [[ ${COMP_WORDS[i]} == -- ]]; then\n"
	"			_bstack_value \"$argument\"\n"
	"			return\n"
	"		fi\n"
	"	done\n"
	"	if [[ -n $value ]]; then\n"
	"		_bstack_value \"$value\"\n"
	"	elif [[ $cur == -* ]]; then\n"
	"		mapfile -t COMPREPLY < <(compgen -W \"$options\" -- \"$cur\")\n"
	"	else\n"
	"		_bstack_value \"$argument\"\n"
	"	fi\n"
	"}\n"
	"complete -F _bstack bstack\n";

static void bash_command(const struct command *c, FILE *out)
{
	fprintf(out, "	%s)\n		argument='", c->name);
	quoted_n(out, c->complete ? c->complete : "none",
		 strlen(c->complete ? c->complete : "none"));
	fputs("'\n		options='", out);
	for (const struct opt *o = c->opts; o && o->name; o++) {
		if (o->short_name)
			fprintf(out, "-%c ", o->short_name);
		fprintf(out, "--%s ", o->name);
	}
	fputs("-h --help'\n		case $prev in\n", out);
	for (const struct opt *o = c->opts; o && o->name; o++) {
		const char *kind = o->complete ? o->complete : "none";

		if (o->kind == OPT_FLAG)
			continue;
		fputs("		", out);
		if (o->short_name)
			fprintf(out, "-%c | ", o->short_name);
		fprintf(out, "--%s) value='", o->name);
		quoted_n(out, kind, strlen(kind));
		fputs("' ;;\n", out);
	}
	fputs("		esac\n		;;\n", out);
}

void completion_bash(const struct command *const *all, FILE *out)
{
	fputs(bash_head, out);
	fputs("	commands='", out);
	for (size_t i = 0; all[i]; i++)
		fprintf(out, "%s ", all[i]->name);
	fputs("help'\n"
	      "	if ((COMP_CWORD == 1)); then\n"
	      "		mapfile -t COMPREPLY < <(compgen -W \"$commands --help --version\" -- "
	      "\"$cur\")\n"
	      "		return\n"
	      "	fi\n"
	      "	case ${COMP_WORDS[1]} in\n"
	      "	help)\n"
	      "		argument=$commands\n"
	      "		;;\n",
	      out);
	for (size_t i = 0; all[i]; i++)
		bash_command(all[i], out);
	fputs("	*)\n		return\n		;;\n	esac\n", out);
	fputs(bash_tail, out);
}

/* A text in an _arguments spec: brackets, colons and backslashes mean something there. Only the
 * first sentence, which is what fits in a menu. */
static void zsh_text(FILE *out, const char *text)
{
	for (; *text && !(text[0] == '.' && (text[1] == ' ' || !text[1])); text++) {
		if (strchr("[]:\\", *text))
			fputc('\\', out);
		quoted_n(out, text, 1);
	}
}

/* ":ARG:_files": what follows an option or stands for an argument. */
static void zsh_value(FILE *out, const char *arg, const char *kind)
{
	static const struct {
		const char *kind, *action;
	} actions[] = {
		{ "file", "_files" },
		{ "dir", "_files -/" },
		{ "command", "_command_names -e" },
		{ "pid", "_sequence _pids" },
		{ "none", " " },
	};

	fputc(':', out);
	zsh_text(out, arg);
	fputc(':', out);
	for (size_t i = 0; i < ARRAY_SIZE(actions); i++) {
		if (!kind || !strcmp(actions[i].kind, kind)) {
			fputs(kind ? actions[i].action : " ", out);
			return;
		}
	}
	fputc('(', out);
	zsh_text(out, kind);
	fputc(')', out);
}

static void zsh_option(FILE *out, const struct opt *o)
{
	bool has_arg = o->kind != OPT_FLAG;
	bool is_list = o->kind == OPT_STRS || o->kind == OPT_U64_LIST;

	fputs("		", out);
	if (is_list && o->short_name)
		fprintf(out, "'*'{-%c+,--%s=}'[", o->short_name, o->name);
	else if (is_list)
		fprintf(out, "'*--%s=[", o->name);
	else if (o->short_name)
		fprintf(out, "'(-%c --%s)'{-%c%s,--%s%s}'[", o->short_name, o->name, o->short_name,
			has_arg ? "+" : "", o->name, has_arg ? "=" : "");
	else
		fprintf(out, "'--%s%s[", o->name, has_arg ? "=" : "");
	zsh_text(out, o->help);
	fputc(']', out);
	if (has_arg)
		zsh_value(out, o->arg, o->complete);
	fputs("' \\\n", out);
}

static void zsh_command(const struct command *c, FILE *out)
{
	bool is_words = c->max_args == SIZE_MAX;

	fprintf(out, "	%s)\n		_arguments -s -S : \\\n", c->name);
	for (const struct opt *o = c->opts; o && o->name; o++)
		zsh_option(out, o);
	fputs("		'(-h --help)'{-h,--help}'[Print help]'", out);
	if (is_words) {
		fputs(" \\\n		'(-)1", out);
		zsh_value(out, "command", c->complete);
		fputs("' \\\n		'*::argument:_normal'", out);
	} else if (c->max_args) {
		fputs(" \\\n		'*", out);
		zsh_value(out, "argument", c->complete);
		fputc('\'', out);
	}
	fputs("\n		;;\n", out);
}

void completion_zsh(const struct command *const *all, FILE *out)
{
	fputs("#compdef bstack\n"
	      "# zsh completion for bstack, made by: bstack --completion zsh\n"
	      "\n"
	      "_bstack_commands()\n"
	      "{\n"
	      "	local -a commands\n"
	      "	commands=(\n",
	      out);
	for (size_t i = 0; all[i]; i++) {
		fprintf(out, "		'%s:", all[i]->name);
		quoted_n(out, all[i]->summary, strlen(all[i]->summary));
		fputs("'\n", out);
	}
	fputs("		'help:help on a command'\n"
	      "	)\n"
	      "	_describe -t commands 'bstack command' commands\n"
	      "}\n"
	      "\n"
	      "_bstack()\n"
	      "{\n"
	      "	if (( CURRENT == 2 )); then\n"
	      "		_bstack_commands\n"
	      "		_arguments : '--help[Print the commands]' '--version[Print the version]'\n"
	      "		return\n"
	      "	fi\n"
	      "	shift words\n"
	      "	(( CURRENT-- ))\n"
	      "	case ${words[1]} in\n"
	      "	help)\n"
	      "		_bstack_commands\n"
	      "		;;\n",
	      out);
	for (size_t i = 0; all[i]; i++)
		zsh_command(all[i], out);
	fputs("	esac\n}\n\n_bstack \"$@\"\n", out);
}
