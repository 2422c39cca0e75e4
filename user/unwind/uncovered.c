/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* uncovered.c - see uncovered.h. */
#include "unwind/uncovered.h"

#include <string.h>

#define ENTRY_MAX_SZ 128 /* of start code without CFI */
#define INIT_MAX_SZ  256 /* of .init or .fini */

/* Rows from first on that are in force at vaddr: *ret_next is where the next row begins. False: vaddr is covered. */
static bool is_uncovered(const struct unwind_table *t, uint64_t vaddr, uint64_t *ret_next)
{
	size_t lo = 0, hi = t->row_cnt;

	if (vaddr < t->base)
		return false;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (t->rows[mid].pc <= vaddr - t->base)
			lo = mid + 1;
		else
			hi = mid;
	}
	*ret_next = lo < t->row_cnt ? t->base + t->rows[lo].pc : UINT64_MAX;
	return !lo || t->rows[lo - 1].rule == BSTACK_RULE_NONE;
}

/* The dynamic loader's entry code is written by hand, without CFI: nobody called it, the ELF header says so. Up
 * to the next row, at most ENTRY_MAX_SZ bytes. */
static int entry_add(struct unwind_table *t, uint64_t entry)
{
	const struct bstack_rule root = { .cfa = BSTACK_CFA_ROOT };
	uint64_t end = entry + ENTRY_MAX_SZ, next;
	int err;

	if (!entry || end < entry || !is_uncovered(t, entry, &next))
		return 0;
	err = unwind_table_add(t, entry, &root);
	return err ? err : unwind_table_add(t, next < end ? next : end, NULL);
}

/* The instructions between the prologue and the epilogue of .init and .fini: none of them leaves the stack pointer
 * elsewhere. wild: operand bytes. */
static const struct {
	uint8_t sz, wild;
	uint8_t bytes[3];
} known[] = {
	{ 7, 4, { 0x48, 0x8b, 0x05 } }, /* mov DISP(%rip),%rax */
	{ 3, 0, { 0x48, 0x85, 0xc0 } }, /* test %rax,%rax */
	{ 2, 1, { 0x74 } },             /* je */
	{ 2, 0, { 0xff, 0xd0 } },       /* call *%rax */
	{ 5, 4, { 0xe8 } },             /* call */
	{ 6, 4, { 0xff, 0x15 } },       /* call *DISP(%rip) */
};

static size_t known_sz(const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (len >= known[i].sz &&
		    !memcmp(p, known[i].bytes, (size_t)(known[i].sz - known[i].wild)))
			return known[i].sz;
	return 0;
}

/* [endbr64] sub $8,%rsp; known instructions; add $8,%rsp; ret */
static int init_add(struct unwind_table *t, const uint8_t *p, size_t len, uint64_t vaddr)
{
	static const uint8_t endbr64[] = { 0xf3, 0x0f, 0x1e, 0xfa },
			     sub[] = { 0x48, 0x83, 0xec, 8 },
			     add_ret[] = { 0x48, 0x83, 0xc4, 8, 0xc3 };
	const struct bstack_rule at_call = { .cfa = BSTACK_CFA_SP, .cfa_off = 8, .ra_off = -8 };
	const struct bstack_rule pushed = { .cfa = BSTACK_CFA_SP, .cfa_off = 16, .ra_off = -8 };
	size_t at = len >= 4 && !memcmp(p, endbr64, 4) ? 4 : 0, body, sz;
	uint64_t next;
	int err;

	if (len - at < sizeof(sub) + sizeof(add_ret) || memcmp(p + at, sub, sizeof(sub)) != 0)
		return 0;
	body = at += sizeof(sub);
	while (memcmp(p + at, add_ret, sizeof(add_ret)) != 0) {
		sz = known_sz(p + at, len - at);
		at += sz;
		if (!sz || len - at < sizeof(add_ret))
			return 0;
	}
	at += sizeof(add_ret) - 1;
	if (!is_uncovered(t, vaddr, &next) || next < vaddr + at + 1)
		return 0;
	err = unwind_table_add(t, vaddr, &at_call);
	if (!err)
		err = unwind_table_add(t, vaddr + body, &pushed);
	if (!err)
		err = unwind_table_add(t, vaddr + at, &at_call);
	return err ? err : unwind_table_add(t, vaddr + at + 1, NULL);
}

static int sections_add(Elf *elf, struct unwind_table *t)
{
	Elf_Scn *scn = NULL;
	size_t strings;
	int err = 0;

	if (elf_getshdrstrndx(elf, &strings))
		return 0;
	while (!err && (scn = elf_nextscn(elf, scn))) {
		GElf_Shdr sh;
		const char *name =
			gelf_getshdr(scn, &sh) ? elf_strptr(elf, strings, sh.sh_name) : NULL;
		Elf_Data *data;

		if (!name || (strcmp(name, ".init") != 0 && strcmp(name, ".fini") != 0) ||
		    sh.sh_type != SHT_PROGBITS || sh.sh_size > INIT_MAX_SZ)
			continue;
		data = elf_rawdata(scn, NULL);
		if (data && data->d_buf && data->d_size)
			err = init_add(t, data->d_buf, data->d_size, sh.sh_addr);
	}
	return err;
}

int uncovered_add(Elf *elf, struct unwind_table *t)
{
	GElf_Ehdr eh;
	int err = gelf_getehdr(elf, &eh) ? entry_add(t, eh.e_entry) : 0;

	unwind_table_finish(t);
	if (!err)
		err = sections_add(elf, t);
	unwind_table_finish(t);
	return err;
}
