/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* fuzz_kallsyms.c - names of kernel text (user/symbol/kernel.c). */
#include "fuzz.h"
#include "symbol/symbol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int fd = fuzz_fd(data, size);
	struct symbols_opts o = {};
	struct symbols *s;
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	o.kallsyms_path = path;
	FUZZ_CHECK(!symbols_new(&o, &s));
	for (size_t i = 0; i < size; i++) {
		struct sym_name name;
		char number[20] = "";

		if (i && data[i - 1] != '\n')
			continue;
		memcpy(number, data + i, size - i < 16 ? size - i : 16);
		if (!symbols_find_kernel(s, strtoull(number, NULL, 16) + (i & 1), &name))
			FUZZ_CHECK(*name.name && *name.system_name && name.offset < 1 << 20);
	}
	symbols_free(s);
	close(fd);
	return 0;
}
