/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * stack_frames.h - the stacks of a map of others into a profile: each frame with its evidence, each stack with
 * its outcome.
 *
 * A build-id from the kernel is believed when its offset lies in an executable segment of that file, and,
 * when the process is known, when the process has that file mapped there. An address is only resolved
 * by the mappings of a process that was named.
 */
#ifndef BSTACK_STACK_FRAMES_H
#define BSTACK_STACK_FRAMES_H

#include "cmd/locations.h"
#include "cmd/process_now.h"
#include "cmd/wanted.h"
#include "collect/stackcounts.h"
#include "collect/stackmap.h"

/* A line of the product: one or two stacks of the map, joined, and how often they were met. */
struct stack_entry {
	const struct stackmap_stack *parts[STACKCOUNTS_IDS_MAX]; /* kernel first */
	size_t part_cnt;
	uint32_t pid;
	uint64_t count;
	struct sample sample; /* filled in by stack_frames_add */
};

struct stack_frames {
	const struct stackmap *map;
	struct locations *locations;
	struct wanted *wanted;
	const struct process_now *process; /* NULL: see process_reason */
	enum reason process_reason;        /* why an address cannot be resolved without it */
	uint64_t frame_cnt;                /* of the entries added */
	uint64_t evidence[EVID_CNT];       /* frames of them */
	uint64_t reasons[REASON_CNT];
};
/* Add the entry's stack and sample to the model: 0, -ENOMEM or -E2BIG. */
int stack_frames_add(struct stack_frames *s, struct stack_entry *e);
/* In the kernel's half of the addresses? */
bool stack_frames_is_kernel(const struct stackmap *map, const struct stackmap_stack *stack);

#endif
