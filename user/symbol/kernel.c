/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* kernel.c - kallsyms: the kernel's functions by raw address. */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "symbol/store_impl.h"

#define KALLSYMS_MAX_SZ ((size_t)256 << 20)
#define KSYMS_MAX       ((size_t)1 << 24)

void ksyms_release(struct ksyms *k)
{
	free(k->syms);
	buf_release(&k->text);
	free(k->last_name);
	*k = (struct ksyms){};
}

/* "ffffffff81000000 T name\t[module]" (writable, without newline). Others are skipped. */
static int line_add(struct ksyms *k, char *line)
{
	char *addr_end, *name, *module;
	uint64_t addr = strtoull(line, &addr_end, 16);
	int err;

	if (addr_end == line || addr_end[0] != ' ' || !addr_end[1] || addr_end[2] != ' ' ||
	    !addr_end[3])
		return 0;
	name = addr_end + 3;
	module = strchr(name, '\t');
	if (module)
		*module++ = '\0';
	err = array_reserve(&k->syms, &k->cap, k->cnt + 1, sizeof(*k->syms), KSYMS_MAX);
	if (err)
		return err;
	k->syms[k->cnt++] =
		(struct ksym){ addr, name, module, strchr("tTwW", addr_end[1]) != NULL };
	k->has_addrs |= addr != 0;
	return 0;
}

static int ksym_cmp(const void *a, const void *b)
{
	const struct ksym *x = a, *y = b;

	if (x->addr != y->addr)
		return x->addr < y->addr ? -1 : 1;
	if (x->is_text != y->is_text)
		return x->is_text ? 1 : -1; /* the last of equals is found */
	return strcmp(y->name, x->name);
}

int ksyms_load(struct ksyms *k, const char *path)
{
	int fd CLEANUP(cleanup_close) = open(path, O_RDONLY | O_CLOEXEC);
	char *line, *rest;
	int err;

	k->is_loaded = true;
	if (fd < 0)
		return -errno;
	err = read_all(fd, &k->text, KALLSYMS_MAX_SZ);
	rest = k->text.data;
	while (!err && rest && (line = strsep(&rest, "\n")))
		err = line_add(k, line);
	if (!err && k->cnt)
		qsort(k->syms, k->cnt, sizeof(*k->syms), ksym_cmp);
	return err;
}

int ksyms_find(struct ksyms *k, uint64_t addr, struct sym_name *ret)
{
	size_t lo = 0, hi = k->cnt;
	const struct ksym *s;
	struct buf name = {};

	if (!k->has_addrs)
		return k->cnt ? -EACCES : -ENOENT;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (k->syms[mid].addr <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	/* Above the last symbol nothing says where it ends. */
	if (!lo || lo == k->cnt || !k->syms[lo - 1].is_text)
		return -ENOENT;
	s = &k->syms[lo - 1];
	*ret = (struct sym_name){ .name = s->name,
				  .system_name = s->name,
				  .offset = addr - s->addr };
	if (!s->module)
		return 0;
	buf_printf(&name, "%s %s", s->name, s->module);
	if (name.err)
		return name.err;
	free(k->last_name);
	k->last_name = name.data;
	ret->name = name.data;
	return 0;
}
