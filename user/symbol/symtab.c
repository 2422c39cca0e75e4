/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * symtab.c - the functions of a file, as one index by link-time address.
 *
 * What counts: STT_FUNC, STT_GNU_IFUNC and named STT_NOTYPE symbols in executable sections. The
 * index owns a copy of the names, so no file need stay open.
 */
#include <string.h>

#include "symbol/elf_impl.h"

#define SYMTAB_MAX_SZ    ((uint64_t)RANGE_MAX_CNT * sizeof(Elf64_Sym))
#define STRTAB_MAX_SZ    ((uint64_t)512 << 20)
#define SYM_RAW_NAME_MAX 65535
#define SECTIONS_MAX     (1U << 20)

/* Address range of an executable section; empty for others. */
struct code_scn {
	uint64_t start, size;
};

void symbuild_release(struct symbuild *b)
{
	free(b->syms);
	buf_release(&b->strs);
	*b = (struct symbuild){};
}

void symtab_free(struct symtab *t)
{
	if (!t)
		return;
	ranges_release(&t->ranges);
	buf_release(&t->strs);
	free(t);
}

int sym_name_cmp(const char *a, const char *b)
{
	size_t a_us = 0, b_us = 0, a_len, b_len;

	while (a_us < SYM_PREF_MAX && a[a_us] == '_')
		a_us++;
	while (b_us < SYM_PREF_MAX && b[b_us] == '_')
		b_us++;
	if (a_us != b_us)
		return a_us < b_us ? -1 : 1;
	a_len = strnlen(a, SYM_PREF_MAX);
	b_len = strnlen(b, SYM_PREF_MAX);
	if (a_len != b_len)
		return a_len < b_len ? -1 : 1;
	return memcmp(a, b, a_len);
}

/* Labels that tools write and nobody calls: .L1, .annobin_x; $x and $d on Arm. */
static bool is_tool_label(const char *name)
{
	return name[0] == '.' || (name[0] == '$' && name[1] && (!name[2] || name[2] == '.'));
}

/* range_in.prio while the table is built: global, weak, local; functions before untyped. */
static uint32_t sym_rank(unsigned char info)
{
	uint32_t bind = GELF_ST_BIND(info);
	uint32_t rank = bind == STB_LOCAL ? 0 : bind == STB_WEAK ? 1 : 2;

	return 2 * rank + (GELF_ST_TYPE(info) != STT_NOTYPE);
}

static int add_symbol(struct symbuild *b, const GElf_Sym *sym, const struct code_scn *scns,
		      size_t scn_cnt, size_t base, size_t str_sz)
{
	unsigned int type = GELF_ST_TYPE(sym->st_info);
	const struct code_scn *scn;
	const char *name;
	uint64_t room;
	int err;

	if (type != STT_FUNC && type != STT_GNU_IFUNC && type != STT_NOTYPE)
		return 0;
	if (sym->st_shndx == SHN_UNDEF || sym->st_shndx >= scn_cnt || sym->st_name >= str_sz)
		return 0;
	scn = &scns[sym->st_shndx];
	if (sym->st_value < scn->start || sym->st_value - scn->start >= scn->size)
		return 0;
	name = b->strs.data + base + sym->st_name;
	if (!*name || (type == STT_NOTYPE && is_tool_label(name)))
		return 0;
	err = array_reserve(&b->syms, &b->cap, b->cnt + 1, sizeof(*b->syms), RANGE_MAX_CNT);
	if (err)
		return err;
	room = scn->size - (sym->st_value - scn->start);
	b->syms[b->cnt++] = (struct range_in){
		.start = sym->st_value,
		.len = range_len(sym->st_value,
				 sym->st_size && sym->st_size < room ? sym->st_size : room),
		.val = (uint32_t)(base + sym->st_name),
		.prio = sym_rank(sym->st_info),
		.aux = (sym->st_size ? 0 : SYM_SIZELESS) | (type == STT_GNU_IFUNC ? SYM_IFUNC : 0),
	};
	return 0;
}

static int read_code_sections(Elf *elf, struct code_scn **ret, size_t *ret_cnt)
{
	struct code_scn *scns;
	Elf_Scn *scn = NULL;
	size_t cnt;

	if (elf_getshdrnum(elf, &cnt) || !cnt || cnt > SECTIONS_MAX)
		return -ENOENT;
	scns = calloc(cnt, sizeof(*scns));
	if (!scns)
		return -ENOMEM;
	while ((scn = elf_nextscn(elf, scn))) {
		size_t idx = elf_ndxscn(scn);
		GElf_Shdr sh;

		if (idx < cnt && gelf_getshdr(scn, &sh) && (sh.sh_flags & SHF_ALLOC) &&
		    (sh.sh_flags & SHF_EXECINSTR))
			scns[idx] = (struct code_scn){ .start = sh.sh_addr, .size = sh.sh_size };
	}
	*ret = scns;
	*ret_cnt = cnt < SHN_LORESERVE ? cnt : SHN_LORESERVE;
	return 0;
}

/* Append a string table; names of unbelievable length are cut, so that no walk along one is long. */
static int add_strings(struct symbuild *b, const Elf_Data *d, size_t *ret_base)
{
	size_t base = b->strs.len;
	char *p, *end;

	if (base + d->d_size + 1 > UINT32_MAX)
		return -E2BIG;
	buf_add(&b->strs, d->d_buf, d->d_size);
	buf_char(&b->strs, '\0');
	if (b->strs.err)
		return b->strs.err;
	end = b->strs.data + b->strs.len;
	for (p = b->strs.data + base; p < end;) {
		size_t left = (size_t)(end - p);
		size_t max = left < SYM_RAW_NAME_MAX + 1 ? left : SYM_RAW_NAME_MAX + 1;
		char *nul = memrchr(p, '\0', max);

		if (!nul) {
			nul = p + max - 1;
			*nul = '\0';
		}
		p = nul + 1;
	}
	*ret_base = base;
	return 0;
}

static Elf_Scn *find_table(Elf *elf, uint32_t type, GElf_Shdr *ret)
{
	Elf_Scn *scn = NULL;

	while ((scn = elf_nextscn(elf, scn)))
		if (gelf_getshdr(scn, ret) && ret->sh_type == type)
			return scn;
	return NULL;
}

int symbuild_add(struct symbuild *b, const struct elf_file *f, uint32_t type)
{
	Elf *elf CLEANUP(cleanup_elf) = NULL;
	struct code_scn *scns CLEANUP(cleanup_free) = NULL;
	Elf_Scn *scn, *str_scn;
	Elf_Data *d, *str = NULL;
	size_t scn_cnt, base;
	GElf_Shdr sh;
	GElf_Sym sym;
	int err;

	errno = 0;
	elf = elf_file_begin(f);
	scn = elf ? find_table(elf, type, &sh) : NULL;
	d = scn ? elf_section_data(scn, SYMTAB_MAX_SZ) : NULL;
	str_scn = d ? elf_getscn(elf, sh.sh_link) : NULL;
	if (str_scn)
		str = elf_section_data(str_scn, STRTAB_MAX_SZ);
	if (!str)
		return elf_failed(0);
	err = read_code_sections(elf, &scns, &scn_cnt);
	if (err)
		return err == -ENOENT ? 0 : err;
	err = add_strings(b, str, &base);
	for (int i = 1; !err && i < (int)RANGE_MAX_CNT && gelf_getsym(d, i, &sym); i++)
		err = add_symbol(b, &sym, scns, scn_cnt, base, str->d_size);
	return err;
}

static const struct range_in *better(const struct symbuild *b, const struct range_in *x,
				     const struct range_in *y)
{
	if (!x || x->prio != y->prio)
		return !x || x->prio < y->prio ? y : x;
	return sym_name_cmp(b->strs.data + y->val, b->strs.data + x->val) < 0 ? y : x;
}

/*
 * Of the symbols [i, j) that start at one address leave the best one, and before it the largest
 * one when that reaches further. covered is the end of what sized symbols cover so far, w where
 * to write; the new w is returned.
 */
static size_t choose(struct symbuild *b, size_t i, size_t j, uint64_t *covered, size_t w)
{
	const struct range_in *best = NULL, *big = NULL;
	struct range_in one, two;

	for (size_t k = i; k < j; k++) {
		const struct range_in *s = &b->syms[k];

		if (s->aux & SYM_SIZELESS)
			continue;
		best = better(b, best, s);
		if (!big || s->len > big->len)
			big = s;
		else if (s->len == big->len)
			big = better(b, big, s);
	}
	if (best) {
		one = *big;
		two = *best;
		if (one.start + one.len > *covered)
			*covered = one.start + one.len;
		if (one.len > two.len)
			b->syms[w++] = one;
		b->syms[w++] = two;
		return w;
	}
	if (b->syms[i].start < *covered)
		return w;
	for (size_t k = i; k < j; k++)
		best = better(b, best, &b->syms[k]);
	one = *best;
	if (j < b->cnt && b->syms[j].start - one.start < one.len)
		one.len = (uint32_t)(b->syms[j].start - one.start);
	b->syms[w++] = one;
	return w;
}

int symbuild_finish(struct symbuild *b, struct symtab **ret)
{
	struct symtab *t = calloc(1, sizeof(*t));
	uint64_t covered = 0;
	size_t w = 0;
	int err;

	err = t ? ranges_sort(b->syms, b->cnt) : -ENOMEM;
	for (size_t i = 0, j; !err && i < b->cnt; i = j) {
		for (j = i + 1; j < b->cnt && b->syms[j].start == b->syms[i].start;)
			j++;
		w = choose(b, i, j, &covered, w);
	}
	/* of nested symbols the one that starts last wins */
	for (size_t i = 0; i < w; i++)
		b->syms[i].prio = (uint32_t)i;
	if (!err)
		err = ranges_build(b->syms, w, &t->ranges);
	if (err) {
		free(t);
		return err;
	}
	t->strs = b->strs;
	b->strs = (struct buf){};
	symbuild_release(b);
	*ret = t;
	return 0;
}

const char *symtab_find(const struct symtab *t, uint64_t vaddr, uint64_t *ret_off)
{
	const struct range_piece *p = ranges_find(&t->ranges, vaddr, ret_off);

	return p ? t->strs.data + p->val : NULL;
}
