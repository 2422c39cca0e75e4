/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* fuzz_maps.c - lines of /proc/PID/maps (user/resolve/procmap.c). */
#include "fuzz.h"
#include "resolve/procmap.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = fuzz_copy(data, size);
	struct vma v;

	for (size_t at = 0, len; at < size; at += len + 1) {
		const char *nl = memchr(text + at, '\n', size - at);
		char *line;

		len = nl ? (size_t)(nl - text) - at : size - at;
		line = fuzz_copy(text + at, len);
		memset(&v, 0x77, sizeof(v));
		if (!maps_line_parse(line, len, &v)) {
			FUZZ_CHECK(v.start < v.end && v.kind > VMA_HOLE && v.kind <= VMA_SPECIAL);
			FUZZ_CHECK(strnlen(v.path, sizeof(v.path)) < sizeof(v.path));
			FUZZ_CHECK(!v.build_id.sz && strlen(v.path) <= len);
			FUZZ_CHECK(v.kind != VMA_FILE || !v.path[0] || v.path[0] == '/');
		}
		free(line);
	}
	free(text);
	return 0;
}
