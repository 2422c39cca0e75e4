/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * stackmap.h - the contents of a map of stacks (BPF_MAP_TYPE_STACK_TRACE) of anybody's: read, never
 * changed. With BPF_F_STACK_BUILD_ID its frames are {build-id, file offset} or, where the kernel could not
 * tell, addresses; without it all are addresses. Nothing is believed or refused here.
 */
#ifndef BSTACK_COLLECT_STACKMAP_H
#define BSTACK_COLLECT_STACKMAP_H

#include "base/base.h"

struct stackmap_info {
	uint32_t id;
	char name[17];
	bool has_build_ids;
	uint32_t depth; /* frames that one stack can have */
	uint32_t max_entries;
	size_t used_cnt; /* with stackmap_list */
	char programs
		[128]; /* with stackmap_list: names of those that use it, "..." when there are more */
};
/* All that are loaded, by id; the caller frees *ret, which is NULL when there is none. */
int stackmap_list(struct stackmap_info **ret, size_t *ret_cnt, struct error *e);

struct stackmap_frame {
	bool is_valid;            /* the kernel says: this build-id */
	struct build_id build_id; /* padded to BUILD_ID_MAX bytes, whatever its length */
	uint64_t addr;            /* offset in the file when is_valid, else the address */
};
struct stackmap_stack {
	uint32_t id;
	uint32_t frame_cnt;
	size_t first_frame; /* in stackmap.frames; leaf first */
};
struct stackmap {
	struct stackmap_info info;
	struct stackmap_stack *stacks; /* by id */
	struct stackmap_frame *frames;
	size_t stack_cnt, frame_cnt;
	size_t vanished_cnt; /* stacks that were removed while they were being read */
};
#define STACKMAP_FRAME_MAX ((size_t)1 << 26)
/* what: an id in decimal digits, or the path where it is pinned. */
int stackmap_read(const char *what, struct stackmap *ret, struct error *e);
void stackmap_release(struct stackmap *s);
const struct stackmap_stack *stackmap_find(const struct stackmap *s, uint32_t id); /* or NULL */

#endif
