/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* fuzz_frames.c - bytes of .eh_frame or .debug_frame to rows (user/unwind/table.c, cfi.c). */
#include "table_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint64_t bases[4] = { 0, 0x1000, 0xffffffff80000000, UINT64_MAX - 0xfff };
	struct unwind_table t = {};
	uint8_t *copy;

	if (!size)
		return 0;
	copy = fuzz_copy(data + 1, size - 1);
	if (!unwind_frames_parse(copy, size - 1, bases[data[0] >> 3 & 3], data[0] & 1,
				 bases[data[0] >> 1 & 3], &t)) {
		unwind_table_finish(&t);
		table_check(&t);
	}
	unwind_table_release(&t);
	free(copy);
	return 0;
}
