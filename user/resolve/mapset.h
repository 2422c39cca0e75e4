/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * mapset.h - what is known of one process's executable memory at one moment: non-overlapping spans,
 * sorted. A span laid over others replaces what it covers, and only that.
 */
#ifndef BSTACK_RESOLVE_MAPSET_H
#define BSTACK_RESOLVE_MAPSET_H

#include "base/base.h"
#include "base/evidence.h"
#include "resolve/procmap.h"

struct span {
	uint64_t start, end;
	uint64_t off; /* in the file, of start */
	uint64_t ino; /* of the file; 0: not told, as by MMAP2 */
	uint32_t dev;
	enum vma_kind kind;
	uint32_t module;        /* with VMA_FILE: index in the resolver's modules */
	uint64_t since_ns;      /* known to be so from here on */
	enum evidence evidence; /* EVID_TIMELINE or EVID_QUERY: what a frame found here may claim */
};

struct mapset {
	struct span *spans;
	size_t cnt, cap;
};
#define MAPSET_MAX (1 << 20)

void mapset_release(struct mapset *m);
void mapset_clear(struct mapset *m);
int mapset_copy(struct mapset *to, const struct mapset *from);
int mapset_put(struct mapset *m, const struct span *s); /* 0, -ENOMEM, -E2BIG: unchanged then */
const struct span *mapset_find(const struct mapset *m, uint64_t addr); /* NULL: nothing known */

#endif
