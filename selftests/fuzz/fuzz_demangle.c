/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* fuzz_demangle.c - mangled names (user/symbol/names.c): C++ and both kinds of Rust's. */
#include "fuzz.h"
#include "symbol/symbol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *name = malloc(size + 1), *text;

	FUZZ_CHECK(name);
	memcpy(name, data, size);
	name[size] = '\0';
	text = sym_demangle(name);
	FUZZ_CHECK(!text || (*text && strlen(text) <= SYM_NAME_MAX));
	free(text);
	free(name);
	return 0;
}
