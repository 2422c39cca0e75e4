/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* folded_read.c - folded text into a model: names only, no addresses, no threads. */
#include "profile/folded.h"

#include <string.h>

static enum module_kind kind_split(char *name)
{
	size_t len = strlen(name);

	for (enum module_kind k = 0; k < MODULE_KIND_CNT; k++) {
		const char *suffix = folded_suffix(k);
		size_t sz = suffix ? strlen(suffix) : 0;

		if (sz && len > sz && !strcmp(name + len - sz, suffix)) {
			name[len - sz] = '\0';
			return k;
		}
	}
	return MODULE_OTHER;
}

static int frame_add(struct model *m, char *name, struct frame *ret)
{
	struct mapping map = { .kind = kind_split(name) };
	uint32_t mapping, function;
	int err = strtab_add(&m->strings, module_kind_name(map.kind), &map.path);

	if (!err)
		err = model_mapping(m, &map, &mapping);
	if (!err)
		err = model_function(m, name, name, &function);
	*ret = (struct frame){ .evidence = EVID_NONE, .reason = REASON_UNKNOWN };
	return err ? err : model_location(m, mapping, 0, function, &ret->location);
}

/* "a;b;c" (writable) into a stack, leaf first. Empty names stand for unknown ones. */
static int stack_add(struct model *m, char *text, uint32_t *ret, const char **ret_why)
{
	struct frame frames[MODEL_FRAME_MAX];
	size_t cnt = 0;
	char *name, *rest = text;

	while ((name = strsep(&rest, ";"))) {
		char unknown[] = "?";
		int err;

		if (cnt == MODEL_FRAME_MAX) {
			*ret_why = "more frames than a stack can have";
			return -EINVAL;
		}
		err = frame_add(m, name[0] ? name : unknown, &frames[cnt++]);
		if (err)
			return err;
	}
	for (size_t i = 0; i < cnt / 2; i++) {
		struct frame f = frames[i];

		frames[i] = frames[cnt - 1 - i];
		frames[cnt - 1 - i] = f;
	}
	return model_stack(m, frames, cnt, ret);
}

/* The count after the last blank; a fraction is rounded down. */
static bool count_parse(const char *s, uint64_t *ret)
{
	size_t whole = strspn(s, "0123456789");
	char digits[24];

	if (!whole || whole >= sizeof(digits))
		return false;
	if (s[whole] && (s[whole] != '.' || s[whole + 1 + strspn(s + whole + 1, "0123456789")]))
		return false;
	memcpy(digits, s, whole);
	digits[whole] = '\0';
	return !parse_u64(digits, 0, UINT64_MAX, ret);
}

/* sum: of all counts so far, kept within int64_t so that no sum made of them later overflows. */
static int line_add(struct model *m, char *line, uint64_t *sum, const char **ret_why)
{
	struct sample s = { .outcome = OUTCOME_BROKEN };
	char *blank = strrchr(line, ' ');
	int err;

	if (!blank || blank == line || !count_parse(blank + 1, &s.count)) {
		*ret_why = "no count at its end";
		return -EINVAL;
	}
	if (s.count > INT64_MAX - *sum) {
		*ret_why = "more samples than can be counted";
		return -EINVAL;
	}
	*sum += s.count;
	*blank = '\0';
	s.weight = s.count;
	err = stack_add(m, line, &s.stack, ret_why);
	return err ? err : model_sample(m, &s);
}

/*
 * One line without its newline: 0, -ENOENT at the end, -E2BIG, -EILSEQ with a NUL in it, behind which
 * nothing would be seen, -ENOMEM, -EIO. By single characters: fgets() does not say how much it read.
 */
static int line_read(FILE *in, struct buf *line)
{
	bool has_nul = false;
	int c;

	buf_reset(line);
	while ((c = getc_unlocked(in)) != EOF && c != '\n') {
		if (line->len == FOLDED_LINE_MAX)
			return -E2BIG;
		has_nul |= !c;
		buf_char(line, (char)c);
	}
	if (line->err)
		return line->err;
	if (ferror(in))
		return errno ? -errno : -EIO;
	if (has_nul)
		return -EILSEQ;
	if (c == EOF && !line->len)
		return -ENOENT;
	while (line->len && strchr("\r ", line->data[line->len - 1]))
		line->data[--line->len] = '\0';
	return 0;
}

static int line_fail(struct error *e, const char *name, size_t number, const char *why)
{
	error_set(e, EINVAL, "cannot read %s: line %zu: %s", name, number, why);
	error_advise(e, "a line is FRAME;FRAME;...;FRAME COUNT");
	return -EINVAL;
}

int folded_read(FILE *in, const char *name, struct model *m, struct error *e)
{
	struct buf line CLEANUP(buf_release) = {};
	uint64_t sum = 0;
	int err = strtab_add(&m->strings, "samples", &m->event);

	if (!err)
		err = strtab_add(&m->strings, "count", &m->event_unit);
	for (size_t number = 1; !err; number++) {
		const char *why = NULL;

		errno = 0;
		err = line_read(in, &line);
		if (err == -ENOENT)
			return 0;
		if (err == -E2BIG)
			why = "longer than a line can be";
		else if (err == -EILSEQ)
			why = "a NUL byte: this is no text";
		else if (!err && line.len && line.data[0] != '#')
			err = line_add(m, line.data, &sum, &why);
		if (why)
			return line_fail(e, name, number, why);
	}
	return error_errno(e, -err, "cannot read %s", name);
}
