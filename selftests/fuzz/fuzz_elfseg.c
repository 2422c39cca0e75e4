/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* fuzz_elfseg.c - build-id and executable segments of a file (user/resolve/elfseg.c). */
#include "fuzz.h"
#include "resolve/elfseg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int fd = fuzz_fd(data, size);
	struct elfsegs s;

	if (!elfsegs_read(fd, &s)) {
		FUZZ_CHECK(s.cnt <= ELFSEG_MAX && s.build_id.sz <= BUILD_ID_MAX);
		for (size_t i = s.build_id.sz; i < BUILD_ID_MAX; i++)
			FUZZ_CHECK(!s.build_id.bytes[i]);
		for (size_t i = 0; i < s.cnt; i++) {
			const struct elfseg *g = &s.seg[i];

			FUZZ_CHECK(g->sz && g->off + g->sz > g->off && g->vaddr + g->sz > g->vaddr);
			FUZZ_CHECK(elfsegs_find(&s, g->off) &&
				   elfsegs_find(&s, g->off + g->sz - 1));
		}
	}
	close(fd);
	return 0;
}
