/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* known_vmas.h - mappings that slots of known stacks stand for, one entry for all slots of a process that share it. */
#ifndef BSTACK_KNOWN_VMAS_H
#define BSTACK_KNOWN_VMAS_H

#include "base/base.h"
#include "bpf/abi.h"

/* Whose mapping: an address space, by its process identity. */
struct known_owner {
	uint64_t start_ns, exec_id;
	uint32_t pid;
};

struct known_vmas;
/* shared: cnt entries in memory shared with BPF, which outlives it. 0, -ENOMEM. */
int known_vmas_new(struct bstack_known_vma *shared, size_t cnt, struct known_vmas **ret);
void known_vmas_free(struct known_vmas *t); /* accepts NULL */
/* One reference more to this mapping's entry. 0, -ENOMEM, -ENOSPC. */
int known_vmas_get(struct known_vmas *t, const struct known_owner *o, const struct bstack_vma *v,
		   uint32_t *ret);
/* One less. With the last one the entry is another mapping's: no BPF program may still be looking at it. */
void known_vmas_put(struct known_vmas *t, uint32_t i);

#endif
