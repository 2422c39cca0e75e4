/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* vdso.c - the vdso's ELF image, as the kernel mapped it into us: the same bytes as in every process. */
#include <sys/auxv.h>

#include "symbol/elf_impl.h"

#define VDSO_MAX_SZ ((size_t)1 << 20)

/* How far the image reaches: its headers tell, and the kernel made them. */
static size_t image_size(const Elf64_Ehdr *eh)
{
	const Elf64_Phdr *ph = (const void *)((const char *)eh + eh->e_phoff);
	size_t sz = eh->e_shoff + (size_t)eh->e_shnum * eh->e_shentsize;

	for (size_t i = 0; i < eh->e_phnum; i++)
		if (ph[i].p_type == PT_LOAD && ph[i].p_offset + ph[i].p_filesz > sz)
			sz = ph[i].p_offset + ph[i].p_filesz;
	return sz;
}

int vdso_file(struct elf_file **ret)
{
	const Elf64_Ehdr *eh = (const void *)getauxval(AT_SYSINFO_EHDR);
	size_t sz;

	if (!eh || eh->e_ident[EI_CLASS] != ELFCLASS64)
		return -ENOENT;
	sz = image_size(eh);
	if (sz > VDSO_MAX_SZ)
		return -EFBIG;
	return elf_file_memory((void *)eh, sz, false, ret);
}
