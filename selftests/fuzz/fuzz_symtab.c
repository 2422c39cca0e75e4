/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * fuzz_symtab.c - an ELF file as symbol/ opens it: segments, symbol tables, MiniDebugInfo, debuglink. From a file
 * and from memory, which must say the same.
 */
#include "fuzz.h"
#include "symbol/elf_impl.h"

static void index_check(const struct symtab *t)
{
	const struct ranges *r = &t->ranges;
	uint64_t off;

	for (size_t i = 0; i < r->cnt; i++) {
		const char *name = symtab_find(t, r->starts[i], &off);

		FUZZ_CHECK(r->pieces[i].len &&
			   (!i || r->starts[i - 1] + r->pieces[i - 1].len <= r->starts[i]));
		FUZZ_CHECK(name && *name && off == r->pieces[i].delta);
		FUZZ_CHECK(strlen(name) < t->strs.len);
		FUZZ_CHECK(symtab_find(t, r->starts[i] + r->pieces[i].len - 1, &off) == name);
	}
}

static void module_check(struct elf_file *f)
{
	struct module m = { .state = SYMBOLS_NO_FILE };
	char link[256];
	uint64_t vaddr;

	if (!module_index(&m, f) && m.state != SYMBOLS_STRIPPED) {
		FUZZ_CHECK(m.tab);
		index_check(m.tab);
	}
	symtab_free(m.tab);
	elf_debuglink(f, link, sizeof(link));
	FUZZ_CHECK(strlen(link) < sizeof(link) && !strchr(link, '/'));
	for (size_t i = 0; i < f->seg_cnt; i++)
		FUZZ_CHECK(!elf_file_off_to_vaddr(f, f->segs[i].off, &vaddr));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct elf_file *file, *mem;
	char *copy = fuzz_copy(data, size);
	int err;

	elf_version(EV_CURRENT);
	err = elf_file_open_fd(fuzz_fd(data, size), &file);
	if (elf_file_open_mem(copy, size, &mem)) {
		free(copy);
		mem = NULL;
	}
	FUZZ_CHECK(!err == !!mem);
	if (!err) {
		FUZZ_CHECK(file->id.sz <= BUILD_ID_MAX && build_id_same_bytes(&file->id, &mem->id));
		FUZZ_CHECK(file->seg_cnt == mem->seg_cnt && file->is_debug == mem->is_debug);
		module_check(file);
		module_check(mem);
		elf_file_free(file);
		elf_file_free(mem);
	}
	return 0;
}
