/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * places.c - where a file with symbols may lie, as a table. Only names are made here; who opens
 * them checks the build-id.
 */
#include <string.h>

#include "symbol/elf_impl.h"

#define DELETED " (deleted)"

enum place_root {
	ROOT_DEBUG_DIRS, /* each --debug-dir */
	ROOT_FILES,      /* paths as they are */
	ROOT_SYSROOT,
};

/* %b: build-id as xx/rest; %p: path; %d, %n: its folder and name; %l: name in .gnu_debuglink */
static const struct place {
	enum place_root root;
	const char *fmt;
} place_rows[] = {
	{ ROOT_DEBUG_DIRS, "/.build-id/%b.debug" },
	{ ROOT_DEBUG_DIRS, "/.build-id/%b" },
	{ ROOT_DEBUG_DIRS, "/%n" },
	{ ROOT_DEBUG_DIRS, "/%n.debug" },
	{ ROOT_DEBUG_DIRS, "%p" },
	{ ROOT_DEBUG_DIRS, "%p.debug" },
	{ ROOT_DEBUG_DIRS, "/%l" },
	{ ROOT_FILES, "%p" },
	{ ROOT_SYSROOT, "/usr/lib/debug/.build-id/%b.debug" },
	{ ROOT_FILES, "%d/%l" },
	{ ROOT_FILES, "%d/.debug/%l" },
	{ ROOT_SYSROOT, "/usr/lib/debug%d/%l" },
};

/* The path without what the kernel writes behind that of a deleted file; 0: no path of a file. */
static size_t path_len(const char *path)
{
	size_t len = strlen(path);
	const size_t del = sizeof(DELETED) - 1;

	if (path[0] != '/')
		return 0;
	return len > del && !strcmp(path + len - del, DELETED) ? len - del : len;
}

/* Append what letter stands for; false when it is not known for this module. */
static bool add_part(const struct places *p, char letter, struct buf *out)
{
	size_t len = path_len(p->path);
	const char *slash = len ? memrchr(p->path, '/', len) : NULL;
	char hex[BUILD_ID_HEX_SZ];

	switch (letter) {
	case 'b':
		if (p->id.sz < 2)
			return false;
		build_id_hex(&p->id, hex);
		buf_printf(out, "%.2s/%s", hex, hex + 2);
		return true;
	case 'p':
		buf_add(out, p->path, len);
		return len > 0;
	case 'd':
		if (slash)
			buf_add(out, p->path, (size_t)(slash - p->path));
		return slash;
	case 'n':
		if (!slash || slash + 1 == p->path + len)
			return false;
		buf_add(out, slash + 1, (size_t)(p->path + len - slash - 1));
		return true;
	case 'l':
		buf_str(out, p->link);
		return p->link[0];
	}
	return false;
}

static bool expand(const struct places *p, const char *root, const char *fmt, struct buf *out)
{
	buf_reset(out);
	buf_str(out, root);
	for (; *fmt; fmt++) {
		if (*fmt != '%')
			buf_char(out, *fmt);
		else if (!add_part(p, *++fmt, out))
			return false;
	}
	return !out->err;
}

bool places_next(struct places *p, struct buf *ret_path)
{
	while (p->row < ARRAY_SIZE(place_rows)) {
		const struct place *row = &place_rows[p->row];
		const char *root = row->root == ROOT_SYSROOT ? p->s->sysroot : "";

		if (row->root == ROOT_DEBUG_DIRS) {
			root = p->s->debug_dirs[p->dir];
			if (root)
				p->dir++;
		}
		if (row->root != ROOT_DEBUG_DIRS || !root) {
			p->row++;
			p->dir = 0;
		}
		if (root && expand(p, root, row->fmt, ret_path))
			return true;
	}
	return false;
}

void elf_debuglink(const struct elf_file *f, char *ret, size_t sz)
{
	Elf *elf CLEANUP(cleanup_elf) = elf_file_begin(f);
	Elf_Scn *scn = elf ? elf_find_section(elf, ".gnu_debuglink") : NULL;
	Elf_Data *d = scn ? elf_section_data(scn, 65536) : NULL;
	size_t len = d ? strnlen(d->d_buf, d->d_size) : 0;

	ret[0] = '\0';
	if (!len || len == d->d_size || len >= sz || memchr(d->d_buf, '/', len))
		return;
	memcpy(ret, d->d_buf, len + 1);
}
