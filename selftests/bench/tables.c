/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * tables - makes the unwind tables of files: a line each, ROWS RULES BYTES NANOSECONDS, where BYTES is what they take
 * in the arrays that BPF reads. tables FILE...
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "unwind/table.h"

static int table_print(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), err;
	uint64_t start_ns = clock_mono_ns();
	struct unwind_table t;

	err = fd < 0 ? -errno : unwind_table_read(fd, &t);
	if (err) {
		fprintf(stderr, "tables: %s: %s\n", path, strerror(-err));
	} else {
		printf("%zu %zu %zu %" PRIu64 "\n", t.row_cnt, t.rule_cnt,
		       t.row_cnt * sizeof(*t.rows) + t.rule_cnt * sizeof(*t.rules),
		       clock_mono_ns() - start_ns);
		unwind_table_release(&t);
	}
	if (fd >= 0)
		close(fd);
	return err;
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (table_print(argv[i]))
			return 1;
	return argc > 1 ? 0 : 2;
}
