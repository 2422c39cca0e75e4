/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* names.c - demangling, by libiberty. */
#include <libiberty/demangle.h>
#undef ARRAY_SIZE /* libiberty's; base.h has its own */
#include <string.h>

#include "symbol/symbol.h"

#define MANGLED_MAX 32768

/* With its suffixes of the compiler (".cold", ".isra.0") in brackets, with the parameters. */
char *sym_demangle(const char *name)
{
	size_t len = strlen(name);
	char *out = NULL;

	if (len < 3 || len > MANGLED_MAX)
		return NULL;
	if (name[0] == '_' && name[1] == 'R')
		out = rust_demangle(name, 0);
	else if (name[0] == '_' && (name[1] == 'Z' || (name[1] == '_' && name[2] == 'Z')))
		out = cplus_demangle(name, DMGL_PARAMS | DMGL_ANSI | DMGL_AUTO);
	if (out && strlen(out) > SYM_NAME_MAX) {
		free(out);
		return NULL;
	}
	return out;
}
