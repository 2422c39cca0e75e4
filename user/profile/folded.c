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

const char *folded_suffix(enum module_kind kind)
{
	static const char *const suffixes[MODULE_KIND_CNT] = {
		[MODULE_KERNEL] = "_[k]",
		[MODULE_JIT] = "_[j]",
	};

	return suffixes[kind];
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
	const char *suffix = folded_suffix(model_kind(m, location));

	buf_reset(tmp);
	if (o->with_addr) {
		buf_str(tmp, model_module(m, location));
		buf_printf(tmp, "+0x%llx", (unsigned long long)l->addr);
	} else {
		model_name(m, location, line_idx, tmp);
		if (o->with_module) {
			const char *module = model_module(m, location);

			buf_printf(tmp, module[0] == '[' ? " %s" : " [%s]", module);
		}
	}
	put_name(out, tmp->data ? tmp->data : "");
	if (suffix)
		buf_str(out, suffix);
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

/*
 * Lines are sequences of name ids, not text: a million stacks share their names. Each location's names are made
 * once; lines are merged by their ids and sorted by the order of the names.
 */
struct fold_line {
	size_t first; /* in ids */
	uint32_t cnt;
	uint64_t count;
};

struct fold {
	const struct model *m;
	const struct folded_opts *o;
	struct strtab names;
	uint32_t *loc_first; /* by location: in loc_ids, + 1; 0: not made yet */
	uint32_t *loc_ids;
	size_t loc_id_cnt, loc_id_cap;
	uint32_t *ids;
	size_t id_cnt, id_cap;
	struct fold_line *lines;
	size_t line_cnt, line_cap;
	struct hmap map;
	uint32_t *ranks; /* by name id */
	struct buf text, tmp;
};

static void fold_release(struct fold *f)
{
	strtab_release(&f->names);
	free(f->loc_first);
	free(f->loc_ids);
	free(f->ids);
	free(f->lines);
	free(f->ranks);
	hmap_release(&f->map);
	buf_release(&f->text);
	buf_release(&f->tmp);
}

static size_t names_of(const struct fold *f, uint32_t location)
{
	return f->o->with_addr ? 1 : model_name_cnt(f->m, location);
}

/* Ids of a location's names, innermost first. */
static int location_ids(struct fold *f, uint32_t location, const uint32_t **ret)
{
	size_t cnt = names_of(f, location);
	int err = 0;

	if (!f->loc_first[location]) {
		err = array_reserve(&f->loc_ids, &f->loc_id_cap, f->loc_id_cnt + cnt,
				    sizeof(uint32_t), LINES_MAX);
		for (size_t k = 0; k < cnt && !err; k++) {
			buf_reset(&f->text);
			put_frame(f->m, f->o, location, k, &f->tmp, &f->text);
			err = f->text.err;
			if (!err)
				err = strtab_addn(&f->names, f->text.data, f->text.len,
						  &f->loc_ids[f->loc_id_cnt + k]);
		}
		if (err)
			return err;
		f->loc_first[location] = (uint32_t)f->loc_id_cnt + 1;
		f->loc_id_cnt += cnt;
	}
	*ret = &f->loc_ids[f->loc_first[location] - 1];
	return 0;
}

static int id_push(struct fold *f, uint32_t id)
{
	int err = array_reserve(&f->ids, &f->id_cap, f->id_cnt + 1, sizeof(id), SIZE_MAX / 8);

	if (!err)
		f->ids[f->id_cnt++] = id;
	return err;
}

/* The line of a sample at the end of ids: thread, then root to leaf; at least one name. */
static int line_push(struct fold *f, const struct sample *s)
{
	const struct stack *st = &f->m->stacks[s->stack];
	size_t first = f->id_cnt;
	uint32_t id;
	int err = 0;

	/* A profile of others, or folded text, names no threads. */
	buf_reset(&f->text);
	if (!f->o->no_thread && (f->m->has_ledger || s->comm))
		put_thread(f->m, f->o, s, &f->text);
	else if (!st->frame_cnt)
		put_name(&f->text, "");
	if (f->text.len || f->text.err) {
		err = f->text.err ? f->text.err
				  : strtab_addn(&f->names, f->text.data, f->text.len, &id);
		if (!err)
			err = id_push(f, id);
	}
	for (size_t i = st->frame_cnt; i-- > 0 && !err;) {
		uint32_t location = f->m->frames[st->first_frame + i].location;
		const uint32_t *ids = NULL;

		err = location_ids(f, location, &ids);
		for (size_t k = names_of(f, location); k-- > 0 && !err;)
			err = id_push(f, ids[k]);
	}
	if (err)
		f->id_cnt = first;
	return err;
}

static int line_add(struct fold *f, const struct sample *s)
{
	uint64_t count = f->o->by_weight ? s->weight : s->count, hash;
	size_t first = f->id_cnt, sz;
	struct hmap_iter it;
	uint32_t cnt;
	int err = line_push(f, s);

	if (err)
		return err;
	cnt = (uint32_t)(f->id_cnt - first);
	sz = cnt * sizeof(*f->ids);
	hash = hash_bytes(&f->ids[first], sz, 0);
	for (uint32_t i = hmap_first(&f->map, hash, &it); i != HMAP_NONE;
	     i = hmap_next(&f->map, &it)) {
		struct fold_line *l = &f->lines[i];

		if (l->cnt == cnt && !memcmp(&f->ids[l->first], &f->ids[first], sz)) {
			l->count += count;
			f->id_cnt = first;
			return 0;
		}
	}
	err = array_reserve(&f->lines, &f->line_cap, f->line_cnt + 1, sizeof(*f->lines), LINES_MAX);
	if (!err)
		err = hmap_add(&f->map, hash, (uint32_t)f->line_cnt);
	if (!err)
		f->lines[f->line_cnt++] = (struct fold_line){ first, cnt, count };
	return err;
}

static int name_cmp(const void *a, const void *b, void *ctx)
{
	const struct strtab *names = ctx;

	return strcmp(names->strs[*(const uint32_t *)a], names->strs[*(const uint32_t *)b]);
}

static int ranks_make(struct fold *f)
{
	size_t cnt = f->names.cnt;
	uint32_t *order CLEANUP(cleanup_free) = malloc((cnt + 1) * sizeof(*order));

	f->ranks = malloc((cnt + 1) * sizeof(*f->ranks));
	if (!order || !f->ranks)
		return -ENOMEM;
	for (size_t i = 0; i < cnt; i++)
		order[i] = (uint32_t)i;
	qsort_r(order, cnt, sizeof(*order), name_cmp, &f->names);
	for (size_t i = 0; i < cnt; i++)
		f->ranks[order[i]] = (uint32_t)i;
	return 0;
}

static int line_cmp(const void *a, const void *b, void *ctx)
{
	const struct fold_line *x = a, *y = b;
	const struct fold *f = ctx;

	for (uint32_t i = 0; i < x->cnt && i < y->cnt; i++) {
		uint32_t p = f->ids[x->first + i], q = f->ids[y->first + i];

		if (p != q)
			return f->ranks[p] < f->ranks[q] ? -1 : 1;
	}
	return x->cnt < y->cnt ? -1 : x->cnt > y->cnt;
}

static int lines_write(struct fold *f, FILE *out)
{
	errno = 0;
	for (size_t i = 0; i < f->line_cnt; i++) {
		const struct fold_line *l = &f->lines[i];

		if (!l->count)
			continue;
		for (uint32_t k = 0; k < l->cnt; k++) {
			if (k)
				fputc(';', out);
			fputs(strtab_get(&f->names, f->ids[l->first + k]), out);
		}
		fprintf(out, " %llu\n", (unsigned long long)l->count);
	}
	if (fflush(out) || ferror(out))
		return errno ? -errno : -EIO;
	return 0;
}

int folded_write(const struct model *m, const struct folded_opts *o, FILE *out)
{
	struct fold f = { .m = m, .o = o };
	int err = strtab_init(&f.names);

	f.loc_first = calloc(m->location_cnt + 1, sizeof(*f.loc_first));
	if (!f.loc_first)
		err = -ENOMEM;
	for (size_t i = 0; i < m->sample_cnt && !err; i++)
		err = line_add(&f, &m->samples[i]);
	if (!err)
		err = ranks_make(&f);
	if (!err && f.line_cnt)
		qsort_r(f.lines, f.line_cnt, sizeof(*f.lines), line_cmp, &f);
	if (!err)
		err = lines_write(&f, out);
	fold_release(&f);
	return err;
}
