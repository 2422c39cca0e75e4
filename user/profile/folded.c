/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* folded.c - folded stacks out and in, and the cleaning of names. */
#include "profile/folded.h"

#include <string.h>

#define LINES_MAX ((size_t)1 << 28)

/* Length of the UTF-8 sequence at p (len bytes left); 0: there is none. Overlong forms, surrogates and
 * C1 controls are none. */
static size_t utf8_len(const unsigned char *p, size_t len)
{
	static const struct {
		unsigned char mask, lead;
		uint32_t min;
	} forms[] = { { 0xe0, 0xc0, 0xa0 }, { 0xf0, 0xe0, 0x800 }, { 0xf8, 0xf0, 0x10000 } };
	uint32_t c;

	if (p[0] < 0x80)
		return 1;
	for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
		if ((p[0] & forms[i].mask) != forms[i].lead)
			continue;
		if (len < i + 2)
			return 0;
		c = p[0] & (unsigned char)~forms[i].mask;
		for (size_t k = 1; k < i + 2; k++) {
			if ((p[k] & 0xc0) != 0x80)
				return 0;
			c = c << 6 | (p[k] & 0x3f);
		}
		return c < forms[i].min || c > 0x10ffff || (c >= 0xd800 && c < 0xe000) ? 0 : i + 2;
	}
	return 0;
}

/* What of name goes to out: in whole characters, at most max bytes. */
static size_t clean_len(const char *name, size_t len, size_t max)
{
	size_t at = 0;

	while (at < len && at < max) {
		size_t n = utf8_len((const unsigned char *)name + at, len - at);

		if (at + (n ? n : 1) > max)
			break;
		at += n ? n : 1;
	}
	return at;
}

void name_clean(struct buf *out, const char *name)
{
	static const char cut[] = "...";
	size_t len = strlen(name), keep = len;

	if (len > FOLDED_NAME_MAX)
		keep = clean_len(name, len, FOLDED_NAME_MAX - (sizeof(cut) - 1));
	for (size_t at = 0; at < keep;) {
		unsigned char c = (unsigned char)name[at];
		size_t n = utf8_len((const unsigned char *)name + at, len - at);

		if (c == ';')
			buf_char(out, ':');
		else if (!n || c < 0x20 || c == 0x7f)
			buf_char(out, '?');
		else
			buf_add(out, name + at, n);
		at += n ? n : 1;
	}
	if (keep < len)
		buf_str(out, cut);
}

/* A name that is empty would make two separators in a row. */
static void put_name(struct buf *out, const char *name)
{
	name_clean(out, name[0] ? name : "?");
}

static void put_frame(const struct model *m, const struct folded_opts *o, uint32_t location,
		      size_t line_idx, struct buf *tmp, struct buf *out)
{
	const struct location *l = &m->locations[location];

	buf_reset(tmp);
	if (o->with_addr) {
		buf_str(tmp, model_module(m, location));
		buf_printf(tmp, "+0x%llx", (unsigned long long)l->addr);
	} else {
		model_name(m, location, line_idx, tmp);
		if (o->with_module) {
			buf_str(tmp, " [");
			buf_str(tmp, model_module(m, location));
			buf_char(tmp, ']');
		}
	}
	put_name(out, tmp->data ? tmp->data : "");
	if (model_is_kernel(m, location))
		buf_str(out, "_[k]");
	if (tmp->err)
		out->err = tmp->err;
}

static void put_thread(const struct model *m, const struct folded_opts *o, const struct sample *s,
		       struct buf *out)
{
	put_name(out, strtab_get(&m->strings, s->comm));
	if (o->with_tid)
		buf_printf(out, "-%u/%u", s->pid, s->tid);
	else if (o->with_pid)
		buf_printf(out, "-%u", s->pid);
}

/* One line without its count: thread, then root to leaf. */
static void put_stack(const struct model *m, const struct folded_opts *o, const struct sample *s,
		      struct buf *tmp, struct buf *out)
{
	const struct stack *st = &m->stacks[s->stack];

	/* A profile of others, or folded text, names no threads. */
	if (!o->no_thread && (m->has_ledger || s->comm))
		put_thread(m, o, s, out);
	for (size_t i = st->frame_cnt; i-- > 0;) {
		uint32_t location = m->frames[st->first_frame + i].location;

		for (size_t k = o->with_addr ? 1 : model_name_cnt(m, location); k-- > 0;) {
			if (out->len)
				buf_char(out, ';');
			put_frame(m, o, location, k, tmp, out);
		}
	}
	if (!out->len)
		put_name(out, "");
}

struct folded_line {
	const char *text;
	uint64_t count;
};

static int line_cmp(const void *a, const void *b)
{
	return strcmp(((const struct folded_line *)a)->text, ((const struct folded_line *)b)->text);
}

/* Lines by text, in a string table; counts beside it, by id. */
static int lines_collect(const struct model *m, const struct folded_opts *o, struct strtab *texts,
			 uint64_t **counts, size_t *count_cap)
{
	struct buf line CLEANUP(buf_release) = {}, tmp CLEANUP(buf_release) = {};
	uint32_t id;
	int err = 0;

	for (size_t i = 0; i < m->sample_cnt && !err; i++) {
		const struct sample *s = &m->samples[i];
		size_t seen = texts->cnt;

		buf_reset(&line);
		put_stack(m, o, s, &tmp, &line);
		err = line.err ? line.err : strtab_addn(texts, line.data, line.len, &id);
		if (!err)
			err = array_reserve(counts, count_cap, texts->cnt, sizeof(**counts),
					    LINES_MAX);
		if (err)
			break;
		if (id >= seen)
			(*counts)[id] = 0;
		(*counts)[id] += o->by_weight ? s->weight : s->count;
	}
	return err;
}

static int lines_write(const struct strtab *texts, const uint64_t *counts, FILE *out)
{
	struct folded_line *lines CLEANUP(cleanup_free) = NULL;
	size_t cnt = texts->cnt - 1; /* without "" */

	lines = malloc((cnt + 1) * sizeof(*lines));
	if (!lines)
		return -ENOMEM;
	for (size_t i = 0; i < cnt; i++)
		lines[i] = (struct folded_line){ texts->strs[i + 1], counts[i + 1] };
	qsort(lines, cnt, sizeof(*lines), line_cmp);
	errno = 0;
	for (size_t i = 0; i < cnt; i++)
		if (lines[i].count)
			fprintf(out, "%s %llu\n", lines[i].text,
				(unsigned long long)lines[i].count);
	if (fflush(out) || ferror(out))
		return errno ? -errno : -EIO;
	return 0;
}

int folded_write(const struct model *m, const struct folded_opts *o, FILE *out)
{
	uint64_t *counts CLEANUP(cleanup_free) = NULL;
	struct strtab texts;
	size_t cap = 0;
	int err = strtab_init(&texts);

	if (!err)
		err = lines_collect(m, o, &texts, &counts, &cap);
	if (!err)
		err = lines_write(&texts, counts, out);
	strtab_release(&texts);
	return err;
}
