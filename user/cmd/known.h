/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * known.h - stacks that BPF counts by itself: whose frames are known for certain in one state of their address space
 * (struct bstack_mm). A sample of the profile has a slot; what BPF counted there is added to it.
 *
 * A key that comes again in another state moves its slot to that state: what was counted before stays counted. When no slot
 * is free the quarter that was not hit for longest makes room, after a grace period, so that nothing counted is lost; at
 * most once between two drains.
 */
#ifndef BSTACK_KNOWN_H
#define BSTACK_KNOWN_H

#include "collect/session.h"
#include "profile/model.h"

struct known;
/* maps outlive it. */
int known_new(const struct known_maps *maps, struct model *m, struct known **ret);
void known_free(struct known *k); /* accepts NULL */
/* From now on a stack with this key in this state is one more of the model's sample. 0, also when there is no room. */
int known_add(struct known *k, const struct bstack_key *key, const struct bstack_mm *mm,
	      uint32_t sample);
/* Add to the model what was counted since the last time. */
void known_drain(struct known *k);
uint64_t known_evicted(const struct known *k);

#endif
