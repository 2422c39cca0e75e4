/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * elf_impl.h - what the files of symbol/ share and nobody else sees: opened files, interval
 * tables, symbol tables, the cache of names.
 */
#ifndef BSTACK_SYMBOL_ELF_IMPL_H
#define BSTACK_SYMBOL_ELF_IMPL_H

#include <libelf.h>
#include <gelf.h>

#include "symbol/symbol.h"

/* --- ranges.c: half-open address ranges, flattened, found by binary search --- */

/* One range as it comes. Where several cover an address, the highest prio wins. */
struct range_in {
	uint64_t start;
	uint32_t len; /* start + len never wraps: range_len() */
	uint32_t val; /* the user's: an offset in some text */
	uint32_t prio;
	uint32_t aux; /* the user's, while building */
};
struct range_piece {
	uint32_t len;
	uint32_t val;
	uint32_t delta; /* start of the piece minus start of its range */
};
struct ranges {
	uint64_t *starts; /* ascending; apart from the pieces for the sake of the cache */
	struct range_piece *pieces;
	size_t cnt, starts_cap, pieces_cap;
};
#define RANGE_MAX_CNT ((size_t)1 << 24)
/* size cut to what a range can hold from start on */
uint32_t range_len(uint64_t start, uint64_t size);
int ranges_sort(struct range_in *in, size_t cnt); /* by start; stable. 0 or -ENOMEM */
int ranges_build(struct range_in *in, size_t cnt, struct ranges *ret); /* sorts in */
void ranges_release(struct ranges *r);
/* NULL: nothing there. ret_off is the distance from the start of the range. */
const struct range_piece *ranges_find(const struct ranges *r, uint64_t addr, uint64_t *ret_off);

/* --- elf_file.c: hostile files --- */

#define ELF_FILE_MAX_SZ ((uint64_t)4 << 30)

/* file_open_regular() for a path inside the root of a process, its symlinks resolved there. */
int file_open_in_root(pid_t pid, const char *path, bool no_follow, uint64_t max_sz);

/* An executable PT_LOAD with contents. */
struct elf_seg {
	uint64_t off, vaddr, filesz;
};
struct cfi;
struct elf_file {
	int fd;        /* -1: closed, or in memory */
	char *mem;     /* the image, when in memory */
	size_t mem_sz; /* 0: a file */
	bool is_debug; /* code sections without contents: a separate debug file */
	struct build_id id;
	struct elf_seg *segs;
	size_t seg_cnt;
	struct cfi *cfi; /* NULL when there is none or is_cfi_tried is not set */
	bool is_cfi_tried;
};
int elf_file_open(const char *path, struct elf_file **ret);
int elf_file_open_fd(int fd, struct elf_file **ret);                /* takes fd, also on failure */
int elf_file_open_mem(char *mem, size_t sz, struct elf_file **ret); /* takes mem on success */
void elf_file_close_fd(struct elf_file *f);
void elf_file_free(struct elf_file *f);
/* A libelf handle of its own for the time it is used; NULL when closed or broken. */
Elf *elf_file_begin(const struct elf_file *f);
void cleanup_elf(Elf **elf);
/* First section called name, or NULL. */
Elf_Scn *elf_find_section(Elf *elf, const char *name);
/* After libelf gave nothing, errno having been 0 before: -ENOMEM when that was why, else other. */
int elf_failed(int other);
/* The contents of a section of at most max bytes, or NULL. */
Elf_Data *elf_section_data(Elf_Scn *scn, uint64_t max);
/* Link-time address of a file offset, and the reverse: 0 or -ENOENT. */
int elf_file_off_to_vaddr(const struct elf_file *f, uint64_t off, uint64_t *ret);
int elf_file_vaddr_to_off(const struct elf_file *f, uint64_t vaddr, uint64_t *ret);
int read_at(int fd, void *data, size_t len, uint64_t off);

/* --- cfi.c --- */

/* The file's .eh_frame, or NULL; read at the first call, after which the fd is not needed. */
struct cfi *elf_file_cfi(struct elf_file *f);
void cfi_free(struct cfi *c);
bool cfi_is_root(struct cfi *c, uint64_t vaddr);

/* --- minidebug.c --- */

/* The ELF file inside .gnu_debugdata: 0, -ENOENT, or -errno. */
int minidebug_open(const struct elf_file *f, struct elf_file **ret);

/* --- symtab.c --- */

struct symtab {
	struct ranges ranges;
	struct buf strs;
};
/* In range_in.aux */
#define SYM_SIZELESS 1U /* len reaches to the end of the section */
#define SYM_IFUNC    2U /* the address is that of what chooses the function */
struct symbuild {
	struct range_in *syms;
	size_t cnt, cap;
	struct buf strs;
};
/* Add the functions of the table of this type (SHT_SYMTAB, SHT_DYNSYM) in f, if there is one. */
int symbuild_add(struct symbuild *b, const struct elf_file *f, uint32_t type);
/* b is empty afterwards. */
int symbuild_finish(struct symbuild *b, struct symtab **ret);
void symbuild_release(struct symbuild *b);
void symtab_free(struct symtab *t);
const char *symtab_find(const struct symtab *t, uint64_t vaddr, uint64_t *ret_off); /* or NULL */
/* Which of two names of one address: negative when a is the better one, 0 when equal. Looks at
 * SYM_PREF_MAX bytes: fewer leading underscores, shorter, bytes. */
#define SYM_PREF_MAX 256
int sym_name_cmp(const char *a, const char *b);

/* --- names.c --- */

struct name_entry {
	const char *system; /* as in the table, possibly with a version */
	char *plain;        /* system without its version; NULL: the same */
	char *pretty;       /* what to show; NULL: plain */
};
struct names {
	struct name_entry *entries;
	size_t cnt, cap;
	struct hmap map;
	bool no_demangle;
};
#define NAMES_MAX ((size_t)1 << 24)
void names_release(struct names *n);
/* Fill ret->name and ret->system_name. system, which must outlive n, and module: the kernel
 * module's name or "". */
int names_get(struct names *n, const char *system, const char *module, struct sym_name *ret);

/* --- kernel.c --- */

struct kallsyms {
	bool is_read;
	int err;         /* of reading; sticky */
	struct buf strs; /* "name\0module\0" each */
	struct ranges ranges;
};
void kallsyms_release(struct kallsyms *k);

/* --- store.c --- */

#define MODULE_TRIED_MAX 8
struct module {
	struct build_id id;
	struct elf_file *runtime; /* the file that is mapped: segments, CFI; may be NULL */
	struct elf_file *debug;   /* kept for its segments when there is no runtime file */
	struct symtab *tab;
	enum symbols_state state;
	bool is_loaded;
	uint64_t tried[MODULE_TRIED_MAX]; /* hashes of paths searched in vain */
	unsigned int tried_cnt;
};
struct symbols {
	char **debug_dirs; /* NULL-terminated */
	char *sysroot;
	char *kallsyms_path;
	struct module **modules;
	size_t module_cnt, module_cap;
	struct hmap map;
	size_t fd_cnt, fd_max; /* files kept open, and how many may be */
	struct names names;
	struct kallsyms kallsyms;
	bool is_out_of_memory; /* sticky: some file could not be read for lack of it */
	struct module *vdso;
	int vdso_err; /* sticky; 0: not tried, or there */
};
int module_get(struct symbols *s, const struct build_id *id, struct module **ret);
/* Search all places once; path may be "". */
void module_load(struct symbols *s, struct module *m, const char *path);
/* Symbols of a file that is at hand: fills m->tab and m->state. */
int module_index(struct module *m, const struct elf_file *runtime);

/* --- places.c --- */

/*
 * Candidates for a module, one after the other, as the table of places says. False: no more. id,
 * path and link may be changed on the way, when more is known.
 */
struct places {
	const struct symbols *s;
	struct build_id id;
	const char *path, *link; /* "" when not known */
	size_t row, dir;
};
bool places_next(struct places *p, struct buf *ret_path);
/* The name in .gnu_debuglink, without any slash; "" in ret when there is none. */
void elf_debuglink(const struct elf_file *f, char *ret, size_t sz);

#endif
