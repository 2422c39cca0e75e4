/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * known.h - stacks that BPF counts by itself: whose frames are known for certain in one state of their address space: at a
 * sequence (struct bstack_mm), and with these mappings, whatever the sequence. A sample of the profile has a slot; what BPF
 * counted there is added to it.
 *
 * A slot stands for one sample and one set of mappings for as long as BPF may look at it. A key that comes again with
 * others gets a new slot; the old one is closed, and read for the last time after a grace period, at the next drain. When no
 * slot is free the quarter that was not hit for longest makes room, at most once between two drains.
 */
#ifndef BSTACK_KNOWN_H
#define BSTACK_KNOWN_H

#include "collect/session.h"
#include "profile/model.h"

/* A stack whose frames are certain. */
struct known_stack {
	struct bstack_key key;
	struct bstack_mm mm;
	uint32_t pid;
	bool is_steady;                /* mm.seq holds */
	const struct bstack_vma *vmas; /* all that its addresses are in, BSTACK_VMAS_MAX at most */
	size_t vma_cnt;                /* 0: not known */
	uint32_t sample;               /* of the model */
};

struct known;
/* maps outlive it. */
int known_new(const struct known_maps *maps, struct model *m, struct known **ret);
void known_free(struct known *k); /* accepts NULL */
/* From now on a stack with this key in this state is one more of the model's sample. 0, also when there is no room. */
int known_add(struct known *k, const struct known_stack *s);
/* Add to the model what was counted since the last time. */
void known_drain(struct known *k);
uint64_t known_evicted(const struct known *k);

#endif
