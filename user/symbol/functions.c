/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* functions.c - one file's functions by name, for whoever wants to find one: see symbol.h. Looks into no other file. */
#include "symbol/elf_impl.h"

struct functions {
	struct elf_file *file;
	struct symbuild syms;
};

int functions_open(const char *path, struct functions **ret)
{
	static const uint32_t types[] = { SHT_SYMTAB, SHT_DYNSYM };
	struct functions *f;
	int err;

	if (elf_version(EV_CURRENT) == EV_NONE)
		return -ENOEXEC;
	f = calloc(1, sizeof(*f));
	if (!f)
		return -ENOMEM;
	err = elf_file_open(path, &f->file);
	if (!err && f->file->is_debug)
		err = -ENODATA;
	for (size_t i = 0; i < ARRAY_SIZE(types) && !err; i++)
		err = symbuild_add(&f->syms, f->file, types[i]);
	if (err) {
		functions_free(f);
		return err;
	}
	*ret = f;
	return 0;
}

void functions_free(struct functions *f)
{
	if (!f)
		return;
	symbuild_release(&f->syms);
	elf_file_free(f->file);
	free(f);
}

size_t functions_cnt(const struct functions *f)
{
	return f->syms.cnt;
}

struct function_at functions_get(const struct functions *f, size_t i)
{
	const struct range_in *s = &f->syms.syms[i];

	return (struct function_at){
		.name = f->syms.strs.data + s->val,
		.vaddr = s->start,
		.sz = s->aux & SYM_SIZELESS ? 0 : s->len,
		.is_ifunc = s->aux & SYM_IFUNC,
	};
}

int functions_off(const struct functions *f, uint64_t vaddr, uint64_t *ret_off)
{
	return elf_file_vaddr_to_off(f->file, vaddr, ret_off);
}
