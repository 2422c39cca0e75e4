/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * opt.c - the option parser of opt.h: a table and argv in, the command's struct of options out.
 *
 * Not getopt: long names are never abbreviated, values are checked here, and a refusal says which
 * option was meant. What was typed is shown in messages cleaned and shortened.
 */
#include "cli/opt.h"

#include <inttypes.h>
#include <string.h>

void opt_u64s_release(struct opt_u64s *l)
{
	free(l->v);
	*l = (struct opt_u64s){};
}

/* An argument fit for a message: no control characters, at most SHOWN_MAX bytes. */
#define SHOWN_MAX 60
struct shown {
	char s[SHOWN_MAX + 4];
};

static const char *show(struct shown *out, const char *arg)
{
	size_t i;

	for (i = 0; i < SHOWN_MAX && arg[i]; i++) {
		unsigned char c = (unsigned char)arg[i];

		out->s[i] = c < 0x20 || c >= 0x7f ? '?' : (char)c;
	}
	strcpy(out->s + i, arg[i] ? "..." : "");
	return out->s;
}

/* One run of the parser. */
struct parse {
	const struct command *c;
	int argc;
	char **argv;
	int next_idx; /* of the argument to look at next */
	char *into;
	struct error *e;
	bool is_help;
	char label[SHOWN_MAX + 8]; /* the option as it was typed: "-F", "--freq" */
};

static uint64_t to_u64(double v)
{
	return v >= 18446744073709551615.0 ? UINT64_MAX : (uint64_t)v;
}

static int bad_u64(struct parse *p, const char *text, uint64_t min, uint64_t max)
{
	struct shown s;
	bool is_negative = text[0] == '-' && text[1] && !text[1 + strspn(text + 1, "0123456789")];
	uint64_t v;

	if (!is_negative && parse_u64(text, min, max, &v) == -EINVAL)
		return error_set(p->e, EINVAL, "%s: \"%s\" is not a whole number", p->label,
				 show(&s, text));
	return error_set(p->e, EINVAL, "%s: %s is not between %" PRIu64 " and %" PRIu64, p->label,
			 show(&s, text), min, max);
}

static int set_u64(struct parse *p, const struct opt *o, const char *text, uint64_t *ret)
{
	uint64_t min = to_u64(o->min), max = to_u64(o->max);

	return parse_u64(text, min, max, ret) ? bad_u64(p, text, min, max) : 0;
}

static int set_double(struct parse *p, const struct opt *o, const char *text, double *ret)
{
	int err = parse_double(text, o->min, o->max, ret);
	struct shown s;

	if (err == -EINVAL &&
	    !(text[0] == '-' && strspn(text + 1, "0123456789.") + 1 == strlen(text)))
		return error_set(p->e, EINVAL, "%s: \"%s\" is not a number", p->label,
				 show(&s, text));
	if (err)
		return error_set(p->e, EINVAL, "%s: %s is not between %g and %g", p->label,
				 show(&s, text), o->min, o->max);
	return 0;
}

static int list_item(struct parse *p, const struct opt *o, const char *text, struct opt_u64s *list)
{
	uint64_t v, *grown;
	int err = set_u64(p, o, text, &v);

	if (err)
		return err;
	if (list->cnt >= OPT_LIST_MAX)
		return error_set(p->e, EINVAL, "%s: more than %d values", p->label, OPT_LIST_MAX);
	grown = realloc(list->v, (list->cnt + 1) * sizeof(*grown));
	if (!grown)
		return error_errno(p->e, ENOMEM, "%s", p->label);
	list->v = grown;
	list->v[list->cnt++] = v;
	return 0;
}

static int set_list(struct parse *p, const struct opt *o, const char *text, struct opt_u64s *list)
{
	struct shown s;

	for (const char *at = text;; at++) {
		size_t len = strcspn(at, ",");
		char item[32];
		int err;

		if (!len)
			return error_set(p->e, EINVAL, "%s: \"%s\" has an empty item", p->label,
					 show(&s, text));
		if (len >= sizeof(item))
			return error_set(p->e, EINVAL,
					 "%s: \"%s\" has an item too long for a number", p->label,
					 show(&s, text));
		snprintf(item, sizeof(item), "%.*s", (int)len, at);
		err = list_item(p, o, item, list);
		if (err)
			return err;
		at += len;
		if (!*at)
			break;
	}
	list->is_given = true;
	return 0;
}

static int set_strs(struct parse *p, const char *text, struct opt_strs *strs)
{
	size_t max = ARRAY_SIZE(strs->v) - 1;

	if (strs->cnt >= max)
		return error_set(p->e, EINVAL, "%s: given more than %zu times", p->label, max);
	strs->v[strs->cnt++] = text;
	strs->v[strs->cnt] = NULL;
	return 0;
}

static int opt_set(struct parse *p, const struct opt *o, const char *text)
{
	void *field = p->into + o->offset;

	switch (o->kind) {
	case OPT_FLAG:
		*(bool *)field = true;
		return 0;
	case OPT_STR:
		*(const char **)field = text;
		return 0;
	case OPT_U64:
		return set_u64(p, o, text, field);
	case OPT_DOUBLE:
		return set_double(p, o, text, field);
	case OPT_STRS:
		return set_strs(p, text, field);
	case OPT_U64_LIST:
		return set_list(p, o, text, field);
	}
	return error_set(p->e, EINVAL, "%s: bad kind of option", p->label);
}

/* The value of an option: attached, or the next argument. */
static int opt_take(struct parse *p, const struct opt *o, const char *attached)
{
	if (attached)
		return opt_set(p, o, attached);
	if (p->next_idx >= p->argc)
		return error_set(p->e, EINVAL, "%s needs a value: %s", p->label, o->arg);
	return opt_set(p, o, p->argv[p->next_idx++]);
}

static int unknown_long(struct parse *p, const char *name)
{
	struct suggestion s = { .typed = name };

	for (const struct opt *o = p->c->opts; o && o->name; o++)
		suggestion_offer(&s, o->name);
	suggestion_offer(&s, "help");
	if (s.best)
		return error_set(p->e, EINVAL, "unknown option %s (did you mean --%s?)", p->label,
				 s.best);
	return error_set(p->e, EINVAL, "unknown option %s", p->label);
}

static int parse_long(struct parse *p, const char *arg)
{
	const char *value = strchr(arg, '=');
	size_t len = value ? (size_t)(value - arg) : strlen(arg);
	char *name CLEANUP(cleanup_free) = strndup(arg, len);
	struct shown s;

	if (!name)
		return error_errno(p->e, ENOMEM, "options");
	snprintf(p->label, sizeof(p->label), "--%s", show(&s, name));
	for (const struct opt *o = p->c->opts; o && o->name; o++) {
		if (strcmp(o->name, name))
			continue;
		if (o->kind != OPT_FLAG)
			return opt_take(p, o, value ? value + 1 : NULL);
		if (value)
			return error_set(p->e, EINVAL, "%s takes no value", p->label);
		return opt_set(p, o, NULL);
	}
	if (!strcmp(name, "help")) {
		p->is_help = !value;
		return value ? error_set(p->e, EINVAL, "%s takes no value", p->label) : 0;
	}
	return unknown_long(p, name);
}

static const struct opt *short_find(const struct command *c, char name)
{
	for (const struct opt *o = c->opts; o && o->name; o++)
		if (o->short_name && o->short_name == name)
			return o;
	return NULL;
}

/* "-kF99": flags, and at the end perhaps one option with its value. */
static int parse_short(struct parse *p, const char *arg)
{
	for (; *arg; arg++) {
		const struct opt *o = short_find(p->c, *arg);
		char one[2] = { *arg, '\0' };
		struct shown s;
		int err;

		snprintf(p->label, sizeof(p->label), "-%s", show(&s, one));
		if (!o && *arg == 'h') {
			p->is_help = true;
			return 0;
		}
		if (!o)
			return error_set(p->e, EINVAL, "unknown option %s", p->label);
		if (o->kind != OPT_FLAG)
			return opt_take(p, o, arg[1] ? arg + 1 : NULL);
		err = opt_set(p, o, NULL);
		if (err)
			return err;
	}
	return 0;
}

/* Walk argv; positional arguments are moved behind the options, in their order. */
static int parse_args(struct parse *p, char **positional, int *ret_first)
{
	bool stops_early = p->c->max_args == SIZE_MAX, is_over = false;
	int positional_cnt = 0, out = p->argc > 0;

	while (p->next_idx < p->argc) {
		char *arg = p->argv[p->next_idx];
		int from = p->next_idx, err = 0;

		if (is_over || arg[0] != '-' || !arg[1]) {
			is_over |= stops_early;
			positional[positional_cnt++] = arg;
			p->next_idx++;
			continue;
		}
		p->next_idx++;
		if (!strcmp(arg, "--"))
			is_over = true;
		else if (arg[1] == '-')
			err = parse_long(p, arg + 2);
		else
			err = parse_short(p, arg + 1);
		if (err || p->is_help)
			return err;
		while (from < p->next_idx)
			p->argv[out++] = p->argv[from++];
	}
	memcpy(p->argv + out, positional, (size_t)positional_cnt * sizeof(*positional));
	*ret_first = out;
	return 0;
}

static int check_count(const struct parse *p, int first)
{
	size_t cnt = (size_t)(p->argc - first);
	struct shown s;

	if (cnt < p->c->min_args) {
		error_set(p->e, EINVAL, "an argument is missing");
		error_advise(p->e, "usage: bstack %s %s", p->c->name, p->c->args);
		return -EINVAL;
	}
	if (cnt > p->c->max_args)
		return error_set(p->e, EINVAL, "one argument too many: \"%s\"",
				 show(&s, p->argv[(size_t)first + p->c->max_args]));
	return 0;
}

int opt_parse(const struct command *c, int argc, char **argv, void *into, int *ret_first,
	      struct error *e)
{
	struct parse p = {
		.c = c, .argc = argc, .argv = argv, .next_idx = 1, .into = into, .e = e
	};
	char **positional CLEANUP(cleanup_free) = calloc((size_t)argc + 1, sizeof(*positional));
	int first = argc, err;

	if (!positional)
		return error_errno(e, ENOMEM, "options");
	err = parse_args(&p, positional, &first);
	if (!err && p.is_help)
		return 1;
	if (!err)
		err = check_count(&p, first);
	if (err == -EINVAL && e && !e->advice[0])
		error_advise(e, "see bstack %s --help", c->name);
	if (!err)
		*ret_first = first;
	return err;
}
