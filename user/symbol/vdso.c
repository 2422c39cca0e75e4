/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * vdso.c - the kernel's vdso, as it is mapped into us: every process of the same kind has the
 * same one. A copy of it becomes an ordinary module.
 */
#include <link.h>
#include <string.h>
#include <sys/auxv.h>

#include "symbol/elf_impl.h"

#define VDSO_MAX_SZ ((size_t)1 << 20)

/* Size of the image at eh: the end of its segments and of its section headers. */
static size_t vdso_size(const ElfW(Ehdr) * eh)
{
	const ElfW(Phdr) *ph = (const void *)((const char *)eh + eh->e_phoff);
	size_t end = eh->e_shoff + (size_t)eh->e_shnum * eh->e_shentsize;

	for (size_t i = 0; i < eh->e_phnum; i++)
		if (ph[i].p_type == PT_LOAD && ph[i].p_offset + ph[i].p_filesz > end)
			end = ph[i].p_offset + ph[i].p_filesz;
	return end;
}

static int vdso_open(struct elf_file **ret)
{
	const ElfW(Ehdr) *eh = (const void *)getauxval(AT_SYSINFO_EHDR);
	struct elf_file *f;
	char *copy;
	size_t sz;
	int err;

	if (!eh || memcmp(eh->e_ident, ELFMAG, SELFMAG))
		return -ENOENT;
	sz = vdso_size(eh);
	if (sz < sizeof(*eh) || sz > VDSO_MAX_SZ)
		return -ENOEXEC;
	copy = malloc(sz);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, eh, sz);
	err = elf_file_open_mem(copy, sz, &f);
	if (err) {
		free(copy);
		return err;
	}
	*ret = f;
	return 0;
}

static int vdso_load(struct symbols *s)
{
	struct elf_file *f;
	struct module *m;
	int err;

	err = vdso_open(&f);
	if (err)
		return err;
	err = module_get(s, &f->id, &m);
	if (!err && !m->tab)
		err = module_index(m, f);
	if (err || m->runtime) {
		elf_file_free(f);
	} else {
		m->runtime = f;
		m->is_loaded = true;
	}
	if (!err)
		s->vdso = m;
	return err;
}

int symbols_vdso(struct symbols *s, struct build_id *ret_id)
{
	if (!s->vdso && !s->vdso_err)
		s->vdso_err = vdso_load(s);
	if (s->vdso_err)
		return s->vdso_err;
	*ret_id = s->vdso->id;
	return 0;
}
