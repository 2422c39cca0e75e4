/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * stackcounts.h - how often each stack was met: a map that a tool keeps beside its map of stacks, whose key is
 * or holds ids of stacks, and whose value is a count.
 *
 * Where the ids are in the key: as told; else by BTF: integers of four bytes whose names end in one of
 * stack_id, stackid, stack; else a key of four bytes is the id.
 */
#ifndef BSTACK_COLLECT_STACKCOUNTS_H
#define BSTACK_COLLECT_STACKCOUNTS_H

#include "base/base.h"

#define STACKCOUNTS_IDS_MAX 2 /* of one key: a stack in the kernel and one of the user's */

struct stackcounts_opts {
	const char *map;            /* an id in decimal digits, or the path where it is pinned */
	const uint64_t *id_offsets; /* of the ids in the key, in bytes; id_offset_cnt 0: not told */
	size_t id_offset_cnt;
	const uint64_t *pid_offset; /* of a pid of four bytes in the key; NULL: none is wanted */
};
struct stackcount {
	int32_t ids[STACKCOUNTS_IDS_MAX]; /* as the helper gave them: negative ones are -errno */
	uint32_t pid;                     /* 0 without pid_offset */
	uint64_t count;                   /* sum over all CPUs; not 0 */
};
struct stackcounts {
	size_t id_cnt; /* ids that each has */
	struct stackcount *v;
	size_t cnt, cap;
};
int stackcounts_read(const struct stackcounts_opts *o, struct stackcounts *ret, struct error *e);
void stackcounts_release(struct stackcounts *c);

#endif
