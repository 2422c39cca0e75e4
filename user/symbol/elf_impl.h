/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* elf_impl.h - inside symbol/: checked ELF files, and the index of a file's functions. */
#ifndef BSTACK_SYMBOL_ELF_IMPL_H
#define BSTACK_SYMBOL_ELF_IMPL_H

#include <gelf.h>
#include <libelf.h>

#include "symbol/symbol.h"

#define ELF_FILE_MAX_SZ ((uint64_t)4 << 30)

/* An ELF file of which the build-id has been checked. */
struct elf_file {
	int fd; /* -1: in memory */
	Elf *elf;
	void *image; /* elf_memory's, when it is ours to free */
};
/* Take fd (closed in every case of failure, too): -EINVAL no regular file or no ELF, -EFBIG, -ESTALE another
 * build-id (want NULL: any). */
int elf_file_take(int fd, const struct build_id *want, struct elf_file **ret);
/* The same for bytes in memory; is_owned: freed with it. */
int elf_file_memory(void *image, size_t sz, bool is_owned, struct elf_file **ret);
void elf_file_free(struct elf_file *f); /* accepts NULL */
/* Open path read-only without being held up by a FIFO or device. fd or -errno. */
int elf_open_path(const char *path);
bool elf_build_id(Elf *elf, struct build_id *ret);
/* Section by name: its header in *ret_shdr. NULL: absent. */
Elf_Scn *elf_section(Elf *elf, const char *name, GElf_Shdr *ret_shdr);
/* File offset -> link-time address through the executable PT_LOADs. */
bool elf_off_to_vaddr(Elf *elf, uint64_t off, uint64_t *ret);
/* The file that .gnu_debugdata holds, decompressed; NULL when there is none or it is damaged. */
struct elf_file *elf_mini_debuginfo(Elf *elf);

/* The vdso of this process. */
int vdso_file(struct elf_file **ret);

struct sym {
	uint64_t start, end; /* end == start: sizeless, until the index is finished */
	const char *name;    /* in its ELF file, which outlives the index */
	char *demangled; /* made when asked for first; NULL when not, or when it is not mangled */
	uint32_t section;
	uint8_t rank; /* among aliases: lower is better */
	bool is_sized, is_demangle_tried;
};
struct symtab {
	struct sym *syms;  /* by start */
	uint64_t *max_end; /* of syms[0..i] */
	size_t cnt, cap;
};
#define SYMTAB_MAX ((size_t)1 << 26)
/* Add the functions of sections of this type (SHT_SYMTAB, SHT_DYNSYM). 0 or -ENOMEM; damaged: none. */
int symtab_add(struct symtab *t, Elf *elf, uint32_t section_type);
int symtab_finish(struct symtab *t);
void symtab_release(struct symtab *t);
struct sym *symtab_find(const struct symtab *t, uint64_t vaddr); /* NULL: outside every function */

#endif
