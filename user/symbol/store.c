/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* store.c - files by build-id, opened and indexed once, and the look-ups of symbol.h. */
#include <elfutils/libdw.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "symbol/store_impl.h"

#define FILES_MAX ((size_t)1 << 20)

static int dirs_copy(struct symbols *s, const char *const *dirs)
{
	size_t cnt = 0;

	while (dirs && dirs[cnt])
		cnt++;
	s->debug_dirs = calloc(cnt + 1, sizeof(*s->debug_dirs));
	if (!s->debug_dirs)
		return -ENOMEM;
	for (; s->debug_dir_cnt < cnt; s->debug_dir_cnt++) {
		s->debug_dirs[s->debug_dir_cnt] = strdup(dirs[s->debug_dir_cnt]);
		if (!s->debug_dirs[s->debug_dir_cnt])
			return -ENOMEM;
	}
	return 0;
}

int symbols_new(const struct symbols_opts *o, struct symbols **ret)
{
	struct symbols *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return -ENOMEM;
	s->vdso.kept_fd = -1;
	s->no_demangle = o->no_demangle;
	err = dirs_copy(s, o->debug_dirs);
	s->sysroot = strdup(o->sysroot ? o->sysroot : "");
	s->kallsyms_path = strdup(o->kallsyms_path ? o->kallsyms_path : "/proc/kallsyms");
	if (err || !s->sysroot || !s->kallsyms_path) {
		symbols_free(s);
		return -ENOMEM;
	}
	*ret = s;
	return 0;
}

void symbols_free(struct symbols *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->file_cnt; i++) {
		sym_file_release(s->files[i]);
		free(s->files[i]);
	}
	free(s->files);
	hmap_release(&s->map);
	sym_file_release(&s->vdso);
	ksyms_release(&s->kernel);
	for (size_t i = 0; i < s->debug_dir_cnt; i++)
		free(s->debug_dirs[i]);
	free(s->debug_dirs);
	free(s->sysroot);
	free(s->kallsyms_path);
	free(s);
}

/* The file of a build-id, made when it is new; NULL: no memory, or no build-id. */
static struct sym_file *file_get(struct symbols *s, const struct build_id *id)
{
	uint64_t hash = hash_bytes(id->bytes, BUILD_ID_MAX, 3);
	struct sym_file *f;
	struct hmap_iter it;

	if (!id->sz)
		return NULL;
	for (uint32_t i = hmap_first(&s->map, hash, &it); i != HMAP_NONE;
	     i = hmap_next(&s->map, &it))
		if (build_id_same_bytes(&s->files[i]->id, id))
			return s->files[i];
	if (array_reserve(&s->files, &s->file_cap, s->file_cnt + 1, sizeof(f), FILES_MAX))
		return NULL;
	f = calloc(1, sizeof(*f));
	if (!f || hmap_add(&s->map, hash, (uint32_t)s->file_cnt)) {
		free(f);
		return NULL;
	}
	f->id = *id;
	f->kept_fd = -1;
	s->files[s->file_cnt++] = f;
	return f;
}

int symbols_hint(struct symbols *s, const struct build_id *id, const char *path, pid_t pid,
		 uint64_t start, uint64_t end)
{
	struct sym_file *f = file_get(s, id);
	struct elf_file *probe;
	char link[4096];
	int fd = -ENOENT, err;

	if (!f)
		return id->sz ? -ENOMEM : -EINVAL;
	if (f->is_searched || f->kept_fd >= 0)
		return 0;
	if (pid > 0) {
		snprintf(link, sizeof(link), "/proc/%d/map_files/%" PRIx64 "-%" PRIx64, pid, start,
			 end);
		fd = elf_open_path(link);
	}
	if (fd < 0 && pid > 0 && path[0] == '/') {
		snprintf(link, sizeof(link), "/proc/%d/root%s", pid, path);
		fd = elf_open_path(link);
	}
	if (fd < 0 && path[0] == '/')
		fd = elf_open_path(path);
	if (fd < 0)
		return fd;
	f->kept_fd = dup(fd);
	err = elf_file_take(fd, id,
			    &probe); /* checks, and lets go: its symbols are read when asked for */
	if (!err)
		elf_file_free(probe);
	if (f->kept_fd >= 0 && err) {
		close(f->kept_fd);
		f->kept_fd = -1;
	}
	return err;
}

static struct sym_file *file_ready(struct symbols *s, const struct build_id *id, const char *path)
{
	struct sym_file *f = file_get(s, id);

	if (f)
		sym_file_search(s, f, path);
	return f;
}

enum symbols_state symbols_state(struct symbols *s, const struct build_id *id, const char *path)
{
	struct sym_file *f = file_ready(s, id, path);

	return f ? f->state : SYMBOLS_NO_FILE;
}

static int find_in(const struct symbols *s, struct sym_file *f, uint64_t vaddr,
		   struct sym_name *ret)
{
	struct sym *sym = symtab_find(&f->symtab, vaddr);

	if (!sym)
		return -ENOENT;
	if (!sym->is_demangle_tried && !s->no_demangle) {
		sym->is_demangle_tried = true;
		sym->demangled = sym_demangle(sym->name);
	}
	*ret = (struct sym_name){
		.name = sym->demangled ? sym->demangled : sym->name,
		.system_name = sym->name,
		.offset = vaddr - sym->start,
	};
	return 0;
}

int symbols_find(struct symbols *s, const struct build_id *id, const char *path, uint64_t vaddr,
		 struct sym_name *ret)
{
	struct sym_file *f = file_ready(s, id, path);

	return f ? find_in(s, f, vaddr, ret) : -ENOENT;
}

int symbols_find_off(struct symbols *s, const struct build_id *id, const char *path, uint64_t off,
		     struct sym_name *ret)
{
	struct sym_file *f = file_ready(s, id, path);
	uint64_t vaddr;

	/* A debug file's program headers are those of the file it was made from. */
	if (!f || !((f->runtime && elf_off_to_vaddr(f->runtime->elf, off, &vaddr)) ||
		    (f->debug && elf_off_to_vaddr(f->debug->elf, off, &vaddr))))
		return -ENOENT;
	return find_in(s, f, vaddr, ret);
}

bool symbols_is_root(struct symbols *s, const struct build_id *id, const char *path, uint64_t vaddr)
{
	struct sym_file *f = file_ready(s, id, path);
	Dwarf_Op ops_mem[3], *ops;
	Dwarf_Frame *frame = NULL;
	Dwarf_Addr start, end;
	bool is_signal, is_root = false;
	size_t op_cnt;
	int ra;

	if (!f || !f->runtime)
		return false;
	if (!f->is_cfi_tried) {
		f->is_cfi_tried = true;
		f->cfi = dwarf_getcfi_elf(f->runtime->elf);
	}
	if (!f->cfi || dwarf_cfi_addrframe(f->cfi, vaddr, &frame))
		return false;
	ra = dwarf_frame_info(frame, &start, &end, &is_signal);
	if (ra >= 0 && !dwarf_frame_register(frame, ra, ops_mem, &ops, &op_cnt))
		is_root = !op_cnt &&
			  ops == ops_mem; /* libdw.h: undefined, as against the same value */
	free(frame);
	return is_root;
}

int symbols_find_kernel(struct symbols *s, uint64_t addr, struct sym_name *ret)
{
	int err = 0;

	if (!s->kernel.is_loaded)
		err = ksyms_load(&s->kernel, s->kallsyms_path);
	return err ? err : ksyms_find(&s->kernel, addr, ret);
}

static int vdso_load(struct symbols *s)
{
	if (!s->is_vdso_tried) {
		s->is_vdso_tried = true;
		s->vdso.is_searched = true;
		if (!vdso_file(&s->vdso.runtime) && elf_build_id(s->vdso.runtime->elf, &s->vdso.id))
			sym_file_index(&s->vdso);
	}
	return s->vdso.id.sz ? 0 : -ENOENT;
}

int symbols_vdso(struct symbols *s, struct build_id *ret_id)
{
	int err = vdso_load(s);

	if (!err)
		*ret_id = s->vdso.id;
	return err;
}

int symbols_find_vdso(struct symbols *s, uint64_t off, struct sym_name *ret)
{
	uint64_t vaddr;

	if (vdso_load(s) || !elf_off_to_vaddr(s->vdso.runtime->elf, off, &vaddr))
		return -ENOENT;
	return find_in(s, &s->vdso, vaddr, ret);
}
