/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * names.c - names for people: demangled, without symbol versions, each made once.
 *
 * A hostile name may expand without end when it is demangled: the demanglers write into a sink
 * that leaves them, by longjmp, when it is full. They hold no memory at that point, but for a
 * small buffer of the Rust one, which such a name then costs.
 */
#include <setjmp.h>
#include <string.h>

#include "symbol/elf_impl.h"

/* after ours: it has its own ARRAY_SIZE, the same one */
#include <libiberty/demangle.h>

/* Longer names are not tried: the C++ demangler needs stack in proportion to the length. */
#define MANGLED_MAX_SZ  8192
#define MANGLED_CXX_MAX 4096

struct sink {
	char text[SYM_NAME_MAX + 1];
	size_t len;
	jmp_buf is_full;
};

static void sink_add(const char *s, size_t len, void *opaque)
{
	struct sink *k = opaque;

	if (len > SYM_NAME_MAX - k->len)
		longjmp(k->is_full, 1);
	if (len) /* s may be NULL then */
		memcpy(k->text + k->len, s, len);
	k->len += len;
}

static bool demangle_into(struct sink *k, const char *name, size_t len)
{
	int opts = DMGL_PARAMS | DMGL_ANSI;

	k->len = 0;
	if (setjmp(k->is_full))
		return false;
	if (rust_demangle_callback(name, opts, sink_add, k))
		return true;
	if (name[1] != 'Z' || len > MANGLED_CXX_MAX)
		return false;
	/* libiberty's own limit would refuse every name of more than 1,024 bytes */
	k->len = 0;
	return cplus_demangle_v3_callback(name, opts | DMGL_NO_RECURSE_LIMIT, sink_add, k);
}

char *sym_demangle(const char *name)
{
	struct sink *k;
	char *text = NULL;
	size_t len;

	if (name[0] != '_' || (name[1] != 'Z' && name[1] != 'R'))
		return NULL;
	len = strnlen(name, MANGLED_MAX_SZ + 1);
	k = len <= MANGLED_MAX_SZ ? malloc(sizeof(*k)) : NULL;
	if (!k)
		return NULL;
	if (demangle_into(k, name, len) && k->len) {
		k->text[k->len] = '\0';
		text = strdup(k->text);
	}
	free(k);
	return text;
}

void names_release(struct names *n)
{
	for (size_t i = 0; i < n->cnt; i++) {
		free(n->entries[i].plain);
		free(n->entries[i].pretty);
	}
	free(n->entries);
	hmap_release(&n->map);
	n->entries = NULL;
	n->cnt = n->cap = 0;
}

static void name_free(struct name_entry *e)
{
	free(e->plain);
	free(e->pretty);
}

/* The version that linkers write behind a name: "memcpy@@GLIBC_2.14", "foo@VERS". */
static size_t version_at(const char *name)
{
	const char *at = name[0] ? strchr(name + 1, '@') : NULL;

	return at ? (size_t)(at - name) : 0;
}

static int name_make(const struct names *n, const char *system, const char *module,
		     struct name_entry *ret)
{
	struct name_entry e = { .system = system };
	size_t cut = version_at(system);
	const char *shown;
	char *text;

	if (cut) {
		e.plain = strndup(system, cut);
		if (!e.plain)
			return -ENOMEM;
	}
	shown = e.plain ? e.plain : system;
	errno = 0;
	if (!n->no_demangle)
		e.pretty = sym_demangle(shown);
	if (!e.pretty && errno == ENOMEM) {
		name_free(&e);
		return -ENOMEM;
	}
	if (*module) {
		if (asprintf(&text, "%s [%s]", e.pretty ? e.pretty : shown, module) < 0) {
			name_free(&e);
			return -ENOMEM;
		}
		free(e.pretty);
		e.pretty = text;
	}
	*ret = e;
	return 0;
}

static void name_fill(const struct name_entry *e, struct sym_name *ret)
{
	ret->system_name = e->system;
	ret->name = e->pretty ? e->pretty : e->plain ? e->plain : e->system;
}

int names_get(struct names *n, const char *system, const char *module, struct sym_name *ret)
{
	struct hmap_iter it;
	struct name_entry e;
	uint64_t hash;
	int err;

	if (!*module && !(system[0] == '_' && (system[1] == 'Z' || system[1] == 'R')) &&
	    !version_at(system)) {
		ret->name = ret->system_name = system;
		return 0;
	}
	/* system and module are never moved: where they stand is who they are */
	hash = hash_u64((uintptr_t)system);
	for (uint32_t i = hmap_first(&n->map, hash, &it); i != HMAP_NONE;
	     i = hmap_next(&n->map, &it)) {
		if (n->entries[i].system == system) {
			name_fill(&n->entries[i], ret);
			return 0;
		}
	}
	err = array_reserve(&n->entries, &n->cap, n->cnt + 1, sizeof(*n->entries), NAMES_MAX);
	if (!err)
		err = name_make(n, system, module, &e);
	if (err)
		return err;
	err = hmap_add(&n->map, hash, (uint32_t)n->cnt);
	if (err) {
		name_free(&e);
		return err;
	}
	n->entries[n->cnt++] = e;
	name_fill(&e, ret);
	return 0;
}
