/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * stack_entries.h - what there is to print of a map of stacks: each stack, or with counts each key of theirs, with the
 * stacks that it names; and what has no stack or no count.
 */
#ifndef BSTACK_STACK_ENTRIES_H
#define BSTACK_STACK_ENTRIES_H

#include "cmd/stack_frames.h"

#define STACK_ERRNO_MAX 4095 /* the kernel's MAX_ERRNO */

struct stack_entries {
	struct stack_entry *v;
	size_t cnt;
	uint64_t *
		losses; /* counts of an id that is -errno, by errno; [0]: the map has not that id */
	uint64_t lost;  /* counts without any stack */
	size_t uncounted_cnt; /* stacks without a count */
};
/* counts NULL: each stack once. pid: of all, 0: as the counts say. 0 or -ENOMEM. */
int stack_entries_init(const struct stackmap *map, const struct stackcounts *counts, uint32_t pid,
		       struct stack_entries *ret);
void stack_entries_release(struct stack_entries *s);
void stack_entries_sort_by_pid(struct stack_entries *s);
/* As text: most counts first, a block each, leaf first. Sorts them. All must have been added to m. */
void stack_entries_write(struct stack_entries *s, const struct model *m, FILE *out);

#endif
