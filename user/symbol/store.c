/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * store.c - one module for each build-id: its file, kept from the moment it was seen, and its
 * index, made at the first question. What is asked is answered here.
 */
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "symbol/elf_impl.h"

#define MODULE_MAX_CNT   ((size_t)1 << 20)
#define DEBUG_DIRS_MAX   256
#define KEPT_FD_MAX      1024
#define DEBUGLINK_MAX_SZ 256

static int copy_dirs(const char *const *dirs, char ***ret)
{
	size_t cnt = 0;
	char **copy;

	while (dirs && dirs[cnt])
		cnt++;
	if (cnt > DEBUG_DIRS_MAX)
		return -E2BIG;
	copy = calloc(cnt + 1, sizeof(*copy));
	if (!copy)
		return -ENOMEM;
	*ret = copy;
	for (size_t i = 0; i < cnt; i++) {
		copy[i] = strdup(dirs[i]);
		if (!copy[i])
			return -ENOMEM;
	}
	return 0;
}

/* A quarter of the descriptors that this process may have: events need them too. */
static size_t kept_fd_max(void)
{
	struct rlimit lim;

	if (getrlimit(RLIMIT_NOFILE, &lim) || lim.rlim_cur / 4 > KEPT_FD_MAX)
		return KEPT_FD_MAX;
	return (size_t)lim.rlim_cur / 4;
}

int symbols_new(const struct symbols_opts *o, struct symbols **ret)
{
	static const struct symbols_opts defaults;
	struct symbols *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return -ENOMEM;
	if (!o)
		o = &defaults;
	elf_version(EV_CURRENT);
	s->names.no_demangle = o->no_demangle;
	s->fd_max = kept_fd_max();
	err = copy_dirs(o->debug_dirs, &s->debug_dirs);
	s->sysroot = strdup(o->sysroot ? o->sysroot : "");
	s->kallsyms_path = strdup(o->kallsyms_path ? o->kallsyms_path : "/proc/kallsyms");
	if (!err && (!s->sysroot || !s->kallsyms_path))
		err = -ENOMEM;
	if (err) {
		symbols_free(s);
		return err;
	}
	*ret = s;
	return 0;
}

static void module_free(struct module *m)
{
	elf_file_free(m->runtime);
	elf_file_free(m->debug);
	symtab_free(m->tab);
	free(m);
}

void symbols_free(struct symbols *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->module_cnt; i++)
		module_free(s->modules[i]);
	free(s->modules);
	hmap_release(&s->map);
	names_release(&s->names);
	kallsyms_release(&s->kallsyms);
	for (size_t i = 0; s->debug_dirs && s->debug_dirs[i]; i++)
		free(s->debug_dirs[i]);
	free(s->debug_dirs);
	free(s->sysroot);
	free(s->kallsyms_path);
	free(s);
}

int module_get(struct symbols *s, const struct build_id *id, struct module **ret)
{
	/* without the length: zeros at the end may have been lost on the way */
	uint64_t hash = hash_bytes(id->bytes, BUILD_ID_MAX, 2);
	struct hmap_iter it;
	struct module *m;
	int err;

	if (!id->sz || id->sz > BUILD_ID_MAX)
		return -ENOENT;
	for (uint32_t i = hmap_first(&s->map, hash, &it); i != HMAP_NONE;
	     i = hmap_next(&s->map, &it)) {
		if (build_id_same_bytes(&s->modules[i]->id, id)) {
			*ret = s->modules[i];
			return 0;
		}
	}
	err = array_reserve(&s->modules, &s->module_cap, s->module_cnt + 1, sizeof(*s->modules),
			    MODULE_MAX_CNT);
	if (err)
		return err;
	m = calloc(1, sizeof(*m));
	if (!m)
		return -ENOMEM;
	m->id = *id;
	m->state = SYMBOLS_NO_FILE;
	err = hmap_add(&s->map, hash, (uint32_t)s->module_cnt);
	if (err) {
		free(m);
		return err;
	}
	s->modules[s->module_cnt++] = m;
	*ret = m;
	return 0;
}

/* .symtab of f, if it has functions: then the module has its index, and is SYMBOLS_FOUND. */
static int index_full(struct module *m, const struct elf_file *f)
{
	struct symbuild b = {};
	int err = symbuild_add(&b, f, SHT_SYMTAB);

	if (!err && b.cnt) {
		err = symbuild_finish(&b, &m->tab);
		if (!err)
			m->state = SYMBOLS_FOUND;
	}
	symbuild_release(&b);
	return err;
}

/* What a file without .symtab says of itself: exported functions, and MiniDebugInfo. */
static int index_stripped(struct module *m, const struct elf_file *f)
{
	struct elf_file *mini = NULL;
	struct symbuild b = {};
	size_t exported;
	bool is_full;
	int err;

	err = symbuild_add(&b, f, SHT_DYNSYM);
	exported = b.cnt;
	if (!err) {
		err = minidebug_open(f, &mini);
		if (!err)
			err = symbuild_add(&b, mini, SHT_SYMTAB);
		else if (err != -ENOMEM) /* there is none, or it is broken */
			err = 0;
	}
	is_full = b.cnt > exported;
	elf_file_free(mini);
	if (!err && b.cnt)
		err = symbuild_finish(&b, &m->tab);
	symbuild_release(&b);
	if (!err)
		m->state = is_full ? SYMBOLS_FOUND : exported ? SYMBOLS_EXPORTED : SYMBOLS_STRIPPED;
	return err;
}

int module_index(struct module *m, const struct elf_file *runtime)
{
	int err = index_full(m, runtime);

	return err == -ENOMEM || m->state == SYMBOLS_FOUND ? err : index_stripped(m, runtime);
}

static void module_keep(struct symbols *s, struct module *m, struct elf_file *f)
{
	m->runtime = f;
	if (f->fd >= 0)
		s->fd_cnt++;
}

static void module_close_fd(struct symbols *s, struct module *m)
{
	if (!m->runtime || m->runtime->fd < 0)
		return;
	elf_file_close_fd(m->runtime);
	s->fd_cnt--;
}

/* What a file would have said is not known when there was no memory to read it. */
static void note_memory(struct symbols *s, int err)
{
	s->is_out_of_memory |= err == -ENOMEM;
}

int symbols_error(const struct symbols *s)
{
	return s->is_out_of_memory ? -ENOMEM : 0;
}

/* Take f when it is of this module; else let go of it. Its symbols are read either way. */
static void try_file(struct symbols *s, struct module *m, struct elf_file *f)
{
	if (!build_id_same_bytes(&f->id, &m->id)) {
		elf_file_free(f);
		return;
	}
	if (m->state != SYMBOLS_FOUND)
		note_memory(s, index_full(m, f));
	if (!f->is_debug && f->seg_cnt && !m->runtime) {
		module_keep(s, m, f);
	} else if (!m->debug && f->seg_cnt) {
		elf_file_close_fd(f);
		m->debug = f;
	} else {
		if (m->state == SYMBOLS_NO_FILE)
			m->state = SYMBOLS_STRIPPED;
		elf_file_free(f);
	}
}

/* A path that was searched before in vain is not searched again; remembers path. */
static bool is_new_path(struct module *m, const char *path)
{
	uint64_t hash = hash_bytes(path, strlen(path), 3);

	for (unsigned int i = 0; i < m->tried_cnt; i++)
		if (m->tried[i] == hash)
			return false;
	if (m->tried_cnt == MODULE_TRIED_MAX)
		return false;
	m->tried[m->tried_cnt++] = hash;
	return true;
}

static void search_places(struct symbols *s, struct module *m, const char *path)
{
	char link[DEBUGLINK_MAX_SZ] = "";
	struct places p = { .s = s, .id = m->id, .path = path, .link = link };
	const struct elf_file *link_of = NULL;
	struct buf candidate = {};

	for (;;) {
		struct elf_file *f;
		int err;

		if (m->runtime && link_of != m->runtime) {
			link_of = m->runtime;
			elf_debuglink(link_of, link, sizeof(link));
			p.id = link_of->id;
		}
		if (m->state == SYMBOLS_FOUND || !places_next(&p, &candidate))
			break;
		err = elf_file_open(candidate.data, &f);
		if (!err)
			try_file(s, m, f);
		note_memory(s, err);
	}
	note_memory(s, candidate.err);
	buf_release(&candidate);
}

/* The mapped file gives segments and call frames; it is wanted even when names were found elsewhere. */
static void find_runtime(struct symbols *s, struct module *m, const char *path)
{
	struct elf_file *f;
	int err;

	if (m->runtime || path[0] != '/')
		return;
	err = elf_file_open(path, &f);
	if (!err)
		try_file(s, m, f);
	note_memory(s, err);
}

/* Too many files are open: read what may be needed later, and close this one. */
static void limit_fds(struct symbols *s, struct module *m)
{
	if (s->fd_cnt <= s->fd_max || !m->runtime)
		return;
	elf_file_cfi(m->runtime);
	module_close_fd(s, m);
}

void module_load(struct symbols *s, struct module *m, const char *path)
{
	bool is_new;

	if (m->is_loaded && m->state != SYMBOLS_NO_FILE)
		return;
	is_new = is_new_path(m, path);
	if (m->is_loaded && !is_new)
		return;
	m->is_loaded = true;
	if (m->runtime)
		note_memory(s, index_full(m, m->runtime));
	search_places(s, m, path);
	find_runtime(s, m, path);
	if (m->state != SYMBOLS_FOUND && m->runtime)
		note_memory(s, index_stripped(m, m->runtime));
	else if (m->state == SYMBOLS_NO_FILE && m->debug)
		m->state = SYMBOLS_STRIPPED;
	limit_fds(s, m);
}

/* The file of a mapping, or -errno; -ESTALE: it has another build-id. */
static int open_hinted(const struct build_id *id, int fd, struct elf_file **ret)
{
	struct elf_file *f;
	int err;

	if (fd < 0)
		return fd;
	err = elf_file_open_fd(fd, &f);
	if (err)
		return err;
	if (!build_id_same_bytes(&f->id, id)) {
		elf_file_free(f);
		return -ESTALE;
	}
	*ret = f;
	return 0;
}

static int open_mapped(const struct build_id *id, const char *path, pid_t pid, uint64_t start,
		       uint64_t end, struct elf_file **ret)
{
	bool is_path = path[0] == '/';
	int err = -ENOENT;
	char link[96];

	if (pid > 0 && end > start) {
		snprintf(link, sizeof(link), "/proc/%d/map_files/%llx-%llx", (int)pid,
			 (unsigned long long)start, (unsigned long long)end);
		err = open_hinted(id, file_open_regular(link, ELF_FILE_MAX_SZ), ret);
	}
	if (err && pid > 0 && is_path)
		err = open_hinted(id, file_open_in_root(pid, path, false, ELF_FILE_MAX_SZ), ret);
	if (err && is_path)
		err = open_hinted(id, file_open_regular(path, ELF_FILE_MAX_SZ), ret);
	return err;
}

int symbols_hint(struct symbols *s, const struct build_id *id, const char *path, pid_t pid,
		 uint64_t start, uint64_t end)
{
	struct elf_file *f;
	struct module *m;
	int err;

	err = module_get(s, id, &m);
	if (err)
		return err;
	if (m->runtime)
		return 0;
	err = open_mapped(id, path, pid, start, end, &f);
	if (err)
		return err;
	module_keep(s, m, f);
	if (m->state == SYMBOLS_NO_FILE)
		m->is_loaded = false;
	if (s->fd_cnt > s->fd_max) {
		module_load(s, m, path);
		limit_fds(s, m);
	}
	return 0;
}

static int module_find(struct symbols *s, const struct build_id *id, const char *path,
		       struct module **ret)
{
	int err = module_get(s, id, ret);

	if (!err)
		module_load(s, *ret, path ? path : "");
	note_memory(s, err);
	return err;
}

enum symbols_state symbols_state(struct symbols *s, const struct build_id *id, const char *path)
{
	struct module *m;

	return module_find(s, id, path, &m) ? SYMBOLS_NO_FILE : m->state;
}

static int module_name(struct symbols *s, const struct module *m, uint64_t vaddr,
		       struct sym_name *ret)
{
	const char *name;
	uint64_t off;
	int err;

	name = m->tab ? symtab_find(m->tab, vaddr, &off) : NULL;
	if (!name)
		return -ENOENT;
	err = names_get(&s->names, name, "", ret);
	if (!err)
		ret->offset = off;
	return err;
}

int symbols_find(struct symbols *s, const struct build_id *id, const char *path, uint64_t vaddr,
		 struct sym_name *ret)
{
	struct module *m;
	int err = module_find(s, id, path, &m);

	return err ? err : module_name(s, m, vaddr, ret);
}

static int module_find_off(struct symbols *s, const struct module *m, uint64_t off,
			   struct sym_name *ret)
{
	const struct elf_file *f = m->runtime ? m->runtime : m->debug;
	uint64_t vaddr;
	int err;

	err = f ? elf_file_off_to_vaddr(f, off, &vaddr) : -ENOENT;
	return err ? err : module_name(s, m, vaddr, ret);
}

int symbols_find_off(struct symbols *s, const struct build_id *id, const char *path, uint64_t off,
		     struct sym_name *ret)
{
	struct module *m;
	int err = module_find(s, id, path, &m);

	return err ? err : module_find_off(s, m, off, ret);
}

int symbols_segment(struct symbols *s, const struct build_id *id, const char *path, uint64_t off,
		    struct sym_segment *ret)
{
	struct module *m;
	int err = module_find(s, id, path, &m);

	if (err)
		return err == -ENOENT ? -ENODATA : err;
	if (!m->runtime)
		return -ENODATA;
	for (size_t i = 0; i < m->runtime->seg_cnt; i++) {
		const struct elf_seg *seg = &m->runtime->segs[i];

		if (off < seg->off || off - seg->off >= seg->filesz)
			continue;
		*ret = (struct sym_segment){ seg->off, seg->filesz, seg->vaddr };
		return 0;
	}
	return -ENOENT;
}

int symbols_find_vdso(struct symbols *s, uint64_t off, struct sym_name *ret)
{
	struct build_id id;
	int err = symbols_vdso(s, &id);

	return err ? err : module_find_off(s, s->vdso, off, ret);
}

bool symbols_is_root(struct symbols *s, const struct build_id *id, const char *path, uint64_t vaddr)
{
	struct cfi *cfi;
	struct module *m;

	if (module_find(s, id, path, &m))
		return false;
	if (!m->runtime)
		return false;
	cfi = elf_file_cfi(m->runtime);
	module_close_fd(s, m);
	return cfi && cfi_is_root(cfi, vaddr);
}
