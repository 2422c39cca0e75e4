/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * search.c - where the files of a build-id may be. Each place is a row of a table that makes a path; a
 * candidate whose build-id differs is passed over. Debuginfod will be one more row.
 */
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "symbol/store_impl.h"

/* What a place may be made of. */
struct clue {
	const struct symbols *s;
	const char *dir;  /* one of --debug-dir */
	const char *path; /* of the module; "" unknown */
	const char *base; /* its last component */
	char folder[PATH_MAX];
	char hex[BUILD_ID_HEX_SZ];
	const char *link; /* .gnu_debuglink's file name; NULL: none */
};

static void in_dir_build_id(const struct clue *c, struct buf *out)
{
	buf_printf(out, "%s/.build-id/%.2s/%s.debug", c->dir, c->hex, c->hex + 2);
}

static void in_dir_path(const struct clue *c, struct buf *out)
{
	if (c->path[0] == '/')
		buf_printf(out, "%s%s", c->dir, c->path);
}

static void in_dir_base(const struct clue *c, struct buf *out)
{
	if (c->base[0])
		buf_printf(out, "%s/%s", c->dir, c->base);
}

static void in_dir_base_debug(const struct clue *c, struct buf *out)
{
	if (c->base[0])
		buf_printf(out, "%s/%s.debug", c->dir, c->base);
}

static void by_path(const struct clue *c, struct buf *out)
{
	if (c->path[0] == '/')
		buf_str(out, c->path);
}

static void system_build_id(const struct clue *c, struct buf *out)
{
	buf_printf(out, "%s/usr/lib/debug/.build-id/%.2s/%s.debug", c->s->sysroot, c->hex,
		   c->hex + 2);
}

static void system_path(const struct clue *c, struct buf *out)
{
	if (c->path[0] == '/')
		buf_printf(out, "%s/usr/lib/debug%s", c->s->sysroot, c->path);
}

static void link_beside(const struct clue *c, struct buf *out)
{
	if (c->link && c->folder[0])
		buf_printf(out, "%s/%s", c->folder, c->link);
}

static void link_in_debug(const struct clue *c, struct buf *out)
{
	if (c->link && c->folder[0])
		buf_printf(out, "%s/.debug/%s", c->folder, c->link);
}

static void link_system(const struct clue *c, struct buf *out)
{
	if (c->link && c->folder[0])
		buf_printf(out, "%s/usr/lib/debug%s/%s", c->s->sysroot, c->folder, c->link);
}

typedef void (*place_fn)(const struct clue *c, struct buf *out);
static const place_fn dir_places[] = { in_dir_build_id, in_dir_path, in_dir_base,
				       in_dir_base_debug };
static const place_fn places[] = { by_path,     system_build_id, system_path,
				   link_beside, link_in_debug,   link_system };

static bool has_symtab(Elf *elf)
{
	Elf_Scn *scn = NULL;
	GElf_Shdr sh;

	while ((scn = elf_nextscn(elf, scn)))
		if (gelf_getshdr(scn, &sh) && sh.sh_type == SHT_SYMTAB &&
		    sh.sh_size > sh.sh_entsize)
			return true;
	return false;
}

/* Does it hold the code, or only names beside it (a debug file, whose sections have no bytes)? */
static bool has_code(Elf *elf)
{
	GElf_Shdr sh;
	Elf_Scn *scn = elf_section(elf, ".text", &sh);

	if (!scn)
		scn = elf_section(elf, ".eh_frame", &sh);
	return scn && sh.sh_type != SHT_NOBITS;
}

/* Give a candidate its part; true when nothing is missing any more. */
static bool candidate_place(struct sym_file *f, struct elf_file *c)
{
	bool is_code = has_code(c->elf), is_named = has_symtab(c->elf);

	if (is_code && !f->runtime)
		f->runtime = c;
	else if (is_named && !f->debug)
		f->debug = c;
	else
		elf_file_free(c);
	return f->debug || (f->runtime && has_symtab(f->runtime->elf));
}

static bool candidate_try(struct sym_file *f, const struct clue *c, place_fn place)
{
	struct buf path CLEANUP(buf_release) = {};
	struct elf_file *file;
	int fd;

	place(c, &path);
	if (!path.len || path.err || path.len >= PATH_MAX)
		return false;
	fd = elf_open_path(path.data);
	if (fd < 0 || elf_file_take(fd, &f->id, &file))
		return false;
	return candidate_place(f, file);
}

/* The name in .gnu_debuglink: a plain file name, or it is none. */
static const char *debuglink(const struct sym_file *f)
{
	GElf_Shdr sh;
	Elf_Scn *scn = f->runtime ? elf_section(f->runtime->elf, ".gnu_debuglink", &sh) : NULL;
	Elf_Data *data = scn ? elf_rawdata(scn, NULL) : NULL;
	const char *name = data ? data->d_buf : NULL;

	if (!name || !memchr(name, '\0', data->d_size) || !name[0] || strchr(name, '/'))
		return NULL;
	return name;
}

static void clue_init(struct clue *c, const struct symbols *s, const struct sym_file *f,
		      const char *path)
{
	const char *slash = strrchr(path, '/');

	*c = (struct clue){ .s = s, .path = path, .base = slash ? slash + 1 : path };
	build_id_hex(&f->id, c->hex);
	if (slash && slash > path && (size_t)(slash - path) < sizeof(c->folder))
		memcpy(c->folder, path, (size_t)(slash - path));
}

static bool dirs_try(const struct symbols *s, struct sym_file *f, struct clue *c)
{
	for (size_t d = 0; d < s->debug_dir_cnt; d++) {
		c->dir = s->debug_dirs[d];
		for (size_t i = 0; i < ARRAY_SIZE(dir_places); i++)
			if (candidate_try(f, c, dir_places[i]))
				return true;
	}
	return false;
}

void sym_file_search(const struct symbols *s, struct sym_file *f, const char *path)
{
	struct elf_file *kept;
	struct clue c;
	bool is_done = false;

	if (f->is_searched)
		return;
	f->is_searched = true;
	clue_init(&c, s, f, path);
	if (f->kept_fd >= 0 && !elf_file_take(f->kept_fd, &f->id, &kept))
		is_done = candidate_place(f, kept);
	f->kept_fd = -1;
	is_done = dirs_try(s, f, &c) || is_done;
	for (size_t i = 0; i < ARRAY_SIZE(places) && !is_done; i++) {
		c.link = debuglink(f);
		is_done = candidate_try(f, &c, places[i]);
	}
	sym_file_index(f);
}

void sym_file_index(struct sym_file *f)
{
	bool is_full = true;
	int err = 0;

	f->state = f->runtime || f->debug ? SYMBOLS_STRIPPED : SYMBOLS_NO_FILE;
	if (f->debug)
		err = symtab_add(&f->symtab, f->debug->elf, SHT_SYMTAB);
	if (!f->symtab.cnt && f->runtime && !err)
		err = symtab_add(&f->symtab, f->runtime->elf, SHT_SYMTAB);
	if (!f->symtab.cnt && f->runtime && !err) {
		f->mini = elf_mini_debuginfo(f->runtime->elf);
		if (f->mini)
			err = symtab_add(&f->symtab, f->mini->elf, SHT_SYMTAB);
		is_full = f->symtab.cnt > 0;
		if (!err)
			err = symtab_add(&f->symtab, f->runtime->elf, SHT_DYNSYM);
	}
	if (!err)
		err = symtab_finish(&f->symtab);
	if (err)
		symtab_release(&f->symtab);
	if (f->symtab.cnt)
		f->state = is_full ? SYMBOLS_FOUND : SYMBOLS_EXPORTED;
}

void sym_file_release(struct sym_file *f)
{
	symtab_release(&f->symtab);
	if (f->cfi)
		dwarf_cfi_end(f->cfi);
	elf_file_free(f->mini);
	elf_file_free(f->debug);
	elf_file_free(f->runtime);
	if (f->kept_fd >= 0)
		close(f->kept_fd);
}
