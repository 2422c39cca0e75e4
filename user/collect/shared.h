/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * shared.h - what user space and BPF share while a session runs: unwind tables, known stacks, and the question about
 * mappings. Arrays of BPF's that are memory of ours, too (BPF_F_MMAPABLE, Linux 5.5), and the hashes that lead to them.
 */
#ifndef BSTACK_COLLECT_SHARED_H
#define BSTACK_COLLECT_SHARED_H

#include "collect/session.h"
#include "collect/skel.h"

#define SHARED_ARRAYS 8

struct shared {
	struct profile_bpf *skel;
	struct unwind_maps unwind; /* with has_rows */
	struct known_maps known;   /* with known_cnt */
	struct bstack_look *look;
	struct {
		void *data;
		size_t sz;
	} arrays[SHARED_ARRAYS]; /* behind those three */
};

/* Before the programs are loaded: how large everything is. Lives as long as skel. */
int shared_size(struct shared *s, struct profile_bpf *skel, const struct session_opts *o,
		struct error *e);
/* Behind that: the memory of the arrays, whatever came of it to be given back with shared_unmap(). */
int shared_map(struct shared *s, struct error *e);
void shared_unmap(struct shared *s);

#endif
