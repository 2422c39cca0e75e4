/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * fuzz_table.c - a whole ELF file to an unwind table (user/unwind/table.c), from a file and from memory, which must
 * say the same.
 */
#include "table_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct unwind_table file, image;
	int fd = fuzz_fd(data, size);
	void *copy = fuzz_copy(data, size);
	int err = unwind_table_read(fd, &file);

	FUZZ_CHECK(unwind_table_read_image(copy, size, &image) == err);
	if (!err) {
		FUZZ_CHECK(file.row_cnt);
		table_check(&file);
		FUZZ_CHECK(file.base == image.base && file.row_cnt == image.row_cnt &&
			   file.rule_cnt == image.rule_cnt);
		FUZZ_CHECK(!memcmp(file.rows, image.rows, file.row_cnt * sizeof(*file.rows)));
		unwind_table_release(&file);
		unwind_table_release(&image);
	}
	free(copy);
	close(fd);
	return 0;
}
