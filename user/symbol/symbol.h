/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * symbol.h - from a build-id and an address to a name.
 *
 * The only user of elfutils. Each file is opened once, checked by its build-id, and turned into
 * one sorted index, shared by all processes. Files are hostile until checked: S_ISREG, size,
 * build-id, every offset. Never asks the network.
 *
 * Seam for later: sym_name gives one function; DWARF lines and inlined functions will fill
 * ret->lines from the same file objects, and debuginfod is one more row in the table of places.
 */
#ifndef BSTACK_SYMBOL_H
#define BSTACK_SYMBOL_H

#include "base/base.h"

struct symbols;

struct symbols_opts {
	const char *const *debug_dirs; /* NULL-terminated, searched first; NULL: none */
	const char *sysroot;           /* prefix of /usr/lib/debug, for tests; NULL: "" */
	const char *kallsyms_path;     /* NULL: /proc/kallsyms */
	bool no_demangle;
};
int symbols_new(const struct symbols_opts *o, struct symbols **ret);
void symbols_free(struct symbols *s);

/*
 * Tell where a file with this build-id may be found while it is still there: path as the process
 * names it, and, when pid > 0, start/end of the mapping, so that /proc/PID/map_files/S-E and
 * /proc/PID/root/PATH can be opened, even if deleted or in another mount namespace. The file is
 * opened now and kept (its symbols are read at the first look-up); a file whose
 * build-id differs is refused. 0, or -errno: a hint that did not work is not an error of the caller's.
 * -ESTALE: another build-id. Only so many files stay open (a quarter of RLIMIT_NOFILE, at most
 * 1,024): beyond that the symbols are read at once and the file is closed.
 */
int symbols_hint(struct symbols *s, const struct build_id *id, const char *path, pid_t pid,
		 uint64_t start, uint64_t end);

enum symbols_state {
	SYMBOLS_FOUND,    /* a symbol table with at least one function */
	SYMBOLS_EXPORTED, /* only .dynsym: exported functions */
	SYMBOLS_STRIPPED, /* the file was found and has none */
	SYMBOLS_NO_FILE,  /* no file with this build-id anywhere */
};
/* State for a module after searching every place: kept files, --debug-dir/.build-id and names,
 * /usr/lib/debug/.build-id, debuglink, the path itself. path may be "". */
enum symbols_state symbols_state(struct symbols *s, const struct build_id *id, const char *path);
/* -ENOMEM when any file so far could not be read for lack of memory: its module may say that it has
 * no symbols; else 0. */
int symbols_error(const struct symbols *s);

struct sym_name {
	const char *name;        /* demangled; owned by s, valid until symbols_free */
	const char *system_name; /* as in the table */
	uint64_t offset;         /* of the address in the function */
};
/* The function whose [value, value+size) holds vaddr (link-time address); sizeless symbols reach to
 * the next symbol only within the same section and only when no sized one covers it.
 * 0; -ENOENT: outside every symbol. */
int symbols_find(struct symbols *s, const struct build_id *id, const char *path, uint64_t vaddr,
		 struct sym_name *ret);
/* The same for an offset in the file: converted through the file's executable PT_LOADs. */
int symbols_find_off(struct symbols *s, const struct build_id *id, const char *path, uint64_t off,
		     struct sym_name *ret);
struct sym_segment {
	uint64_t off, sz; /* bytes in the file */
	uint64_t vaddr;   /* link-time address of the first */
};
/*
 * The executable PT_LOAD that holds offset off of the file with this build-id. -ENOENT: none does, so
 * no code is there; -ENODATA: the file was not found (separate debug files do not tell).
 */
int symbols_segment(struct symbols *s, const struct build_id *id, const char *path, uint64_t off,
		    struct sym_segment *ret);
/*
 * True when the CFI row (.eh_frame) at vaddr says that the return address is undefined: the
 * outermost frame (_start, clone): the stack that ends here is complete. When the file has no CFI: false.
 */
bool symbols_is_root(struct symbols *s, const struct build_id *id, const char *path,
		     uint64_t vaddr);

/* Kernel text by raw address, from kallsyms; -ENOENT; -EACCES when addresses are hidden.
 * Module functions are "name [module]" with system_name "name". */
int symbols_find_kernel(struct symbols *s, uint64_t addr, struct sym_name *ret);

/* The running kernel's vdso, from our own auxv: its build-id, executable segment and symbols. */
int symbols_vdso(struct symbols *s, struct build_id *ret_id);
int symbols_find_vdso(struct symbols *s, uint64_t off, struct sym_name *ret);

/*
 * functions - the functions that one file's own symbol tables name, as they stand there: mangled, and the same one
 * several times when both tables have it. functions_open: 0; -ENOEXEC: no ELF file that can be read here; -ENODATA: debug
 * information only, no code; -errno of opening it.
 */
struct functions;
struct function_at {
	const char *name; /* until functions_free */
	uint64_t vaddr;   /* link-time address */
	uint64_t sz;      /* 0: not told */
	bool is_ifunc; /* at vaddr is the code that chooses the function when the program starts */
};
int functions_open(const char *path, struct functions **ret);
void functions_free(struct functions *f); /* accepts NULL */
size_t functions_cnt(const struct functions *f);
struct function_at functions_get(const struct functions *f, size_t i);
/* Where in the file the code at vaddr is: 0, or -ENOENT: in no executable segment. */
int functions_off(const struct functions *f, uint64_t vaddr, uint64_t *ret_off);

/* Demangle C++ and Rust (v0 and legacy); malloc'd, NULL when name is not mangled or the result
 * is longer than SYM_NAME_MAX, and with errno ENOMEM when there was no memory. Bounded in time and depth by libiberty's own limits. */
#define SYM_NAME_MAX 4096
char *sym_demangle(const char *name);

/*
 * perf_map - names of JIT code, from /tmp/perf-PID.map as the process sees it: opened through
 * /proc/PID/root, PID being the one inside its pid namespace (NSpid), no symlinks, regular, owned by
 * the process's uid or root, at most PERF_MAP_MAX_SZ. Later lines win over earlier ones that they overlap.
 * A last line without its newline is still being written: it is left out. Errors of perf_map_open
 * besides -ENOENT: -ESRCH no such process, -ELOOP a symlink, -EISDIR, -EINVAL no regular file,
 * -EPERM the wrong owner, -EFBIG, -E2BIG.
 */
struct perf_map;
#define PERF_MAP_MAX_SZ ((size_t)256 << 20)
int perf_map_open(pid_t pid, struct perf_map **ret, struct error *e); /* -ENOENT: there is none */
int perf_map_parse(const char *text, size_t len, struct perf_map **ret); /* bad lines are skipped */
void perf_map_free(struct perf_map *p);
const char *perf_map_find(const struct perf_map *p, uint64_t addr); /* NULL: absent */

#endif
