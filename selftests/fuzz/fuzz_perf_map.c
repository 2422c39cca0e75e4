/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* fuzz_perf_map.c - names of JIT code (user/symbol/perf_map.c), asked for at and before the start of each line. */
#include "fuzz.h"
#include "symbol/symbol.h"

static void ask(const struct perf_map *p, uint64_t addr)
{
	const char *name = perf_map_find(p, addr);

	FUZZ_CHECK(!name || (*name && strlen(name) <= SYM_NAME_MAX && !strchr(name, '\n')));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = fuzz_copy(data, size);
	struct perf_map *p;

	if (!perf_map_parse(text, size, &p)) {
		for (size_t i = 0; i < size; i++) {
			char number[20] = "";

			if (i && text[i - 1] != '\n')
				continue;
			memcpy(number, text + i, size - i < 19 ? size - i : 19);
			ask(p, strtoull(number, NULL, 16));
			ask(p, strtoull(number, NULL, 16) - 1);
		}
		ask(p, 0);
		ask(p, UINT64_MAX);
		perf_map_free(p);
	}
	free(text);
	return 0;
}
