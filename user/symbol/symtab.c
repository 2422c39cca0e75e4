/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * symtab.c - the functions of a file, sorted by address, found by binary search. An address outside every
 * function finds nothing: a neighbour's name would be a wrong one.
 */
#include <string.h>

#include "symbol/elf_impl.h"

#define ENCLOSING_MAX 4096 /* symbols looked at going back from an address */

void symtab_release(struct symtab *t)
{
	for (size_t i = 0; i < t->cnt; i++)
		free(t->syms[i].demangled);
	free(t->syms);
	free(t->max_end);
	*t = (struct symtab){};
}

/* Aliases of one address: global before weak before local, then as few leading underscores as can be. */
static uint8_t rank_of(unsigned char info, const char *name)
{
	unsigned int bind = GELF_ST_BIND(info), under = 0;

	while (name[under] == '_' && under < 15)
		under++;
	return (uint8_t)((bind == STB_GLOBAL ? 0 : bind == STB_WEAK ? 1 : 2) << 4 | under);
}

static bool is_text(Elf *elf, uint32_t section)
{
	Elf_Scn *scn = elf_getscn(elf, section);
	GElf_Shdr sh;

	return scn && gelf_getshdr(scn, &sh) && (sh.sh_flags & SHF_EXECINSTR);
}

/* "$x", "$d.1": mapping symbols of arm64 mark kinds of bytes, they are no functions. */
static bool is_function(Elf *elf, const GElf_Sym *sym, const char *name)
{
	unsigned int type = GELF_ST_TYPE(sym->st_info);

	if (!name || !name[0] || name[0] == '$' || sym->st_shndx == SHN_UNDEF ||
	    sym->st_shndx >= SHN_LORESERVE)
		return false;
	if (type != STT_FUNC && type != STT_GNU_IFUNC && type != STT_NOTYPE)
		return false;
	return is_text(elf, sym->st_shndx);
}

static int section_add(struct symtab *t, Elf *elf, Elf_Scn *scn, const GElf_Shdr *sh)
{
	Elf_Data *data = elf_getdata(scn, NULL);
	size_t cnt = data && sh->sh_entsize ? data->d_size / sh->sh_entsize : 0;
	GElf_Sym sym;

	for (size_t i = 1; i < cnt && i < INT32_MAX; i++) {
		const char *name;
		int err;

		if (!gelf_getsym(data, (int)i, &sym))
			continue;
		name = elf_strptr(elf, sh->sh_link, sym.st_name);
		if (!is_function(elf, &sym, name) || sym.st_value > UINT64_MAX - sym.st_size)
			continue;
		err = array_reserve(&t->syms, &t->cap, t->cnt + 1, sizeof(*t->syms), SYMTAB_MAX);
		if (err)
			return err;
		t->syms[t->cnt++] = (struct sym){
			.start = sym.st_value,
			.end = sym.st_value + sym.st_size,
			.name = name,
			.section = sym.st_shndx,
			.rank = rank_of(sym.st_info, name),
			.is_sized = sym.st_size > 0,
		};
	}
	return 0;
}

int symtab_add(struct symtab *t, Elf *elf, uint32_t section_type)
{
	Elf_Scn *scn = NULL;
	GElf_Shdr sh;
	int err = 0;

	while (!err && (scn = elf_nextscn(elf, scn)))
		if (gelf_getshdr(scn, &sh) && sh.sh_type == section_type)
			err = section_add(t, elf, scn, &sh);
	return err;
}

/* By address; at one address the best name first: sized, then rank, then short, then by bytes. */
static int sym_cmp(const void *a, const void *b)
{
	const struct sym *x = a, *y = b;
	size_t x_len, y_len;

	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	if (x->is_sized != y->is_sized)
		return x->is_sized ? -1 : 1;
	if (x->rank != y->rank)
		return x->rank < y->rank ? -1 : 1;
	x_len = strlen(x->name);
	y_len = strlen(y->name);
	if (x_len != y_len)
		return x_len < y_len ? -1 : 1;
	return strcmp(x->name, y->name);
}

/* A function without a size reaches to the next symbol of its section; the last one's end is unknown,
 * so it has its first byte only. */
static void sizeless_extend(struct symtab *t)
{
	for (size_t i = 0; i < t->cnt; i++) {
		struct sym *s = &t->syms[i];
		size_t next = i + 1;

		if (s->is_sized)
			continue;
		while (next < t->cnt && t->syms[next].start == s->start)
			next++;
		s->end = next < t->cnt && t->syms[next].section == s->section ? t->syms[next].start
									      : s->start + 1;
	}
}

int symtab_finish(struct symtab *t)
{
	uint64_t max_end = 0;

	if (!t->cnt)
		return 0;
	qsort(t->syms, t->cnt, sizeof(*t->syms), sym_cmp);
	sizeless_extend(t);
	t->max_end = malloc(t->cnt * sizeof(*t->max_end));
	if (!t->max_end)
		return -ENOMEM;
	for (size_t i = 0; i < t->cnt; i++) {
		if (t->syms[i].end > max_end)
			max_end = t->syms[i].end;
		t->max_end[i] = max_end;
	}
	return 0;
}

/* The best alias of those at syms[i]'s address that reach as far as vaddr. */
static struct sym *first_alias(const struct symtab *t, size_t i, uint64_t vaddr)
{
	size_t first = i;

	while (first && t->syms[first - 1].start == t->syms[i].start)
		first--;
	for (; first < i; first++)
		if (t->syms[first].end > vaddr)
			return &t->syms[first];
	return &t->syms[i];
}

struct sym *symtab_find(const struct symtab *t, uint64_t vaddr)
{
	size_t lo = 0, hi = t->cnt, steps = 0;
	struct sym *sizeless = NULL;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (t->syms[mid].start <= vaddr)
			lo = mid + 1;
		else
			hi = mid;
	}
	/* The innermost that covers it; one with a size before one whose end is only assumed. */
	for (size_t i = lo; i-- > 0 && t->max_end[i] > vaddr && steps++ < ENCLOSING_MAX;) {
		struct sym *s = &t->syms[i];

		if (s->end <= vaddr)
			continue;
		s = first_alias(t, i, vaddr);
		if (s->is_sized)
			return s;
		if (!sizeless)
			sizeless = s;
	}
	return sizeless;
}
