/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * locations.h - addresses into the locations of a profile, each with its mapping: what record does with
 * every frame of a sample, and stackmap with every frame of a map.
 */
#ifndef BSTACK_LOCATIONS_H
#define BSTACK_LOCATIONS_H

#include "profile/model.h"
#include "resolve/elfseg.h"
#include "symbol/symbol.h"

struct locations {
	struct model *model;
	struct symbols *syms;
	bool has_vdso;
	struct build_id vdso_id;
	uint8_t *roots; /* by location: what is known of it, see location_is_root() */
	size_t root_cnt, root_cap;
};
/* Both must outlive it. */
void locations_init(struct locations *l, struct model *m, struct symbols *syms);
void locations_release(struct locations *l);

/* All of these: 0, -ENOMEM or -E2BIG. is_caller: the address is a return address. */

/* A mapping without a file: its kind is all there is to it. */
int location_plain(struct locations *l, enum module_kind kind, uint64_t addr, uint32_t function,
		   uint32_t *ret);
/* The place off in a file; id sz 0: it has none. seg, NULL when not known, holds off. */
int location_file(struct locations *l, const struct build_id *id, const char *path,
		  const struct elfseg *seg, uint64_t off, bool is_caller, uint32_t *ret);
/* A frame in anonymous executable memory; with a name (NULL: none) it is JIT code. */
int location_jit(struct locations *l, const char *name, uint64_t addr, struct frame *f);
/* A frame in the kernel. */
int location_kernel(struct locations *l, uint64_t ip, bool is_caller, struct frame *f);

/* Does the unwind information say that nobody called this frame? Asked once a location. */
bool location_is_root(struct locations *l, uint32_t location);

#endif
