/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* store_impl.h - inside symbol/: what struct symbols holds. */
#ifndef BSTACK_SYMBOL_STORE_IMPL_H
#define BSTACK_SYMBOL_STORE_IMPL_H

#include <elfutils/libdw.h>

#include "symbol/elf_impl.h"

struct ksym {
	uint64_t addr;
	const char *name, *module; /* module "[xfs]" or NULL */
	bool is_text;
};
struct ksyms {
	struct buf text; /* names point into it */
	struct ksym *syms;
	size_t cnt, cap;
	char *last_name; /* "name [module]" of the last answer */
	bool has_addrs, is_loaded;
};
int ksyms_load(struct ksyms *k, const char *path);
int ksyms_find(struct ksyms *k, uint64_t addr, struct sym_name *ret);
void ksyms_release(struct ksyms *k);

/* One build-id: the files that were found for it, and the index made of them. */
struct sym_file {
	struct build_id id;
	int kept_fd;              /* of a hint, until it is looked at; -1 */
	struct elf_file *runtime; /* the file that runs: has the code and .eh_frame; or NULL */
	struct elf_file *debug;   /* the file with .symtab, when it is another one; or NULL */
	struct elf_file *mini;    /* from .gnu_debugdata; or NULL */
	struct symtab symtab;
	enum symbols_state state;
	bool is_searched;
	Dwarf_CFI *cfi;
	bool is_cfi_tried;
};

struct symbols {
	char **debug_dirs;
	size_t debug_dir_cnt;
	char *sysroot, *kallsyms_path;
	bool no_demangle;
	struct sym_file **files;
	size_t file_cnt, file_cap;
	struct hmap map;
	struct ksyms kernel;
	struct sym_file vdso;
	bool is_vdso_tried;
};

/* search.c: find the files of f and index them; once. path may be "". */
void sym_file_search(const struct symbols *s, struct sym_file *f, const char *path);
void sym_file_release(struct sym_file *f);
/* Index what runtime, debug and mini hold; sets state. */
void sym_file_index(struct sym_file *f);

#endif
