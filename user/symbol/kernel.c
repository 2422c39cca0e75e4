/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * kernel.c - names of kernel text, from /proc/kallsyms.
 *
 * The table has no sizes: a function reaches to the next symbol of any type, but not further than
 * KERNEL_FUNC_MAX_SZ, for behind the last function of a module there may be anything.
 */
#include <ctype.h>
#include <string.h>
#include <unistd.h>

#include "symbol/elf_impl.h"

#define KALLSYMS_MAX_SZ    ((size_t)256 << 20)
#define KERNEL_FUNC_MAX_SZ ((uint64_t)1 << 20)
#define KSYM_DATA          1U /* in range_in.aux: bounds the function before it, has no name */

/* One line: address, type, name, and "[module]". Pointers into text. */
struct ksym {
	uint64_t addr;
	char type;
	const char *name, *module;
	size_t name_len, module_len;
};

void kallsyms_release(struct kallsyms *k)
{
	buf_release(&k->strs);
	ranges_release(&k->ranges);
	*k = (struct kallsyms){};
}

static size_t word_len(const char *p, const char *end)
{
	size_t len = 0;

	while (p + len < end && p[len] != ' ' && p[len] != '\t')
		len++;
	return len;
}

static const char *skip_blanks(const char *p, const char *end)
{
	while (p < end && (*p == ' ' || *p == '\t'))
		p++;
	return p;
}

static bool parse_line(const char *p, const char *end, struct ksym *ret)
{
	struct ksym k = { .module = "" };
	size_t digits = 0;

	for (; p < end && isxdigit((unsigned char)*p) && digits < 16; p++, digits++)
		k.addr = k.addr << 4 | (uint64_t)(*p <= '9' ? *p - '0' : (*p | 0x20) - 'a' + 10);
	if (!digits || p >= end || *p != ' ' || end - p < 4 || p[2] != ' ')
		return false;
	k.type = p[1];
	k.name = p + 3;
	k.name_len = word_len(k.name, end);
	p = skip_blanks(k.name + k.name_len, end);
	if (end - p > 2 && *p == '[') {
		const char *close = memchr(p, ']', (size_t)(end - p));

		if (close) {
			k.module = p + 1;
			k.module_len = (size_t)(close - p - 1);
		}
	}
	*ret = k;
	return k.name_len && k.name_len <= SYM_NAME_MAX;
}

/* Sum of what a reading found: the ranges, and whether any address was shown. */
struct ksym_list {
	struct range_in *syms;
	size_t cnt, cap;
	bool has_addr;
};

static int list_add(struct kallsyms *k, struct ksym_list *l, const struct ksym *sym)
{
	bool is_text = strchr("tTwW", sym->type);
	int err;

	l->has_addr |= sym->addr != 0;
	if (sym->type == 'A' || sym->type == 'a' || k->strs.len > UINT32_MAX - 2 * SYM_NAME_MAX)
		return 0;
	err = array_reserve(&l->syms, &l->cap, l->cnt + 1, sizeof(*l->syms), RANGE_MAX_CNT);
	if (err)
		return err;
	l->syms[l->cnt++] = (struct range_in){
		.start = sym->addr,
		.val = (uint32_t)k->strs.len,
		.prio = sym->type == 'T'   ? 2
			: sym->type == 't' ? 0
					   : 1,
		.aux = is_text ? 0 : KSYM_DATA,
	};
	if (is_text) {
		buf_add(&k->strs, sym->name, sym->name_len);
		buf_char(&k->strs, '\0');
		buf_add(&k->strs, sym->module, sym->module_len);
		buf_char(&k->strs, '\0');
	}
	return k->strs.err;
}

static int read_lines(struct kallsyms *k, struct ksym_list *l, const struct buf *text)
{
	const char *p = text->data, *end = p + text->len;
	struct ksym sym;
	int err = 0;

	for (const char *nl; !err && p && p < end; p = nl + 1) {
		nl = memchr(p, '\n', (size_t)(end - p));
		if (!nl)
			nl = end;
		if (!memchr(p, '\0', (size_t)(nl - p)) && parse_line(p, nl, &sym))
			err = list_add(k, l, &sym);
	}
	return err;
}

static bool is_better(const struct kallsyms *k, const struct range_in *a, const struct range_in *b)
{
	if (a->prio != b->prio)
		return a->prio > b->prio;
	return sym_name_cmp(k->strs.data + a->val, k->strs.data + b->val) < 0;
}

/* One symbol an address; lengths up to the next one. */
static int list_build(struct kallsyms *k, struct ksym_list *l)
{
	size_t w = 0;
	int err;

	err = ranges_sort(l->syms, l->cnt);
	for (size_t i = 0, j; !err && i < l->cnt; i = j) {
		struct range_in best = l->syms[i];
		uint64_t reach = KERNEL_FUNC_MAX_SZ;

		for (j = i + 1; j < l->cnt && l->syms[j].start == l->syms[i].start; j++)
			if (!(l->syms[j].aux & KSYM_DATA) &&
			    ((best.aux & KSYM_DATA) || is_better(k, &l->syms[j], &best)))
				best = l->syms[j];
		if (j < l->cnt && l->syms[j].start - best.start < reach)
			reach = l->syms[j].start - best.start;
		if (best.aux & KSYM_DATA)
			continue;
		best.len = range_len(best.start, reach);
		best.prio = (uint32_t)w;
		l->syms[w++] = best;
	}
	return err ? err : ranges_build(l->syms, w, &k->ranges);
}

static int kallsyms_read(struct kallsyms *k, const char *path)
{
	int fd CLEANUP(cleanup_close) = file_open_regular(path, KALLSYMS_MAX_SZ);
	struct ksym_list l = {};
	struct buf text = {};
	int err;

	if (fd < 0)
		return fd;
	err = read_all(fd, &text, KALLSYMS_MAX_SZ);
	if (!err)
		err = read_lines(k, &l, &text);
	buf_release(&text);
	if (!err && !l.cnt)
		err = -ENOENT;
	if (!err && !l.has_addr)
		err = -EACCES;
	if (!err)
		err = list_build(k, &l);
	free(l.syms);
	return err;
}

int symbols_find_kernel(struct symbols *s, uint64_t addr, struct sym_name *ret)
{
	struct kallsyms *k = &s->kallsyms;
	const struct range_piece *p;
	const char *name;
	uint64_t off;
	int err;

	if (!k->is_read) {
		k->err = kallsyms_read(k, s->kallsyms_path);
		k->is_read = true;
	}
	if (k->err)
		return k->err;
	p = ranges_find(&k->ranges, addr, &off);
	if (!p)
		return -ENOENT;
	name = k->strs.data + p->val;
	err = names_get(&s->names, name, name + strlen(name) + 1, ret);
	if (!err)
		ret->offset = off;
	return err;
}
