/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * names.h - from the addresses of a profile to names, through the symbol tables of this machine: what
 * `record` does at its end and `symbolize` later or elsewhere.
 */
#ifndef BSTACK_NAMES_H
#define BSTACK_NAMES_H

#include "profile/model.h"
#include "symbol/symbol.h"

/* A module in which addresses stayed without a name. */
struct names_missing {
	uint32_t mapping;
	enum symbols_state state;
	size_t location_cnt;
};
struct names_stats {
	size_t location_cnt; /* that could have a name from a file: in files with a build-id, vdso */
	size_t named_cnt;    /* that have one now */
	size_t new_cnt;      /* looked up and found this time */
	struct names_missing *missing; /* most locations first */
	size_t missing_cnt;
};
void names_stats_release(struct names_stats *s);

/*
 * Name every location of a file with a build-id, or of the vdso, that has no name yet; with is_forced
 * also those that have one (which keep it when nothing is found). Also says per mapping whether symbols
 * were looked for and found. 0, -ENOMEM or -E2BIG; an address that nobody knows is no failure.
 */
int names_fill(struct model *m, struct symbols *syms, bool is_forced, struct names_stats *ret,
	       struct error *e);

/* The same for kernel addresses without a name: only while recording, since they mean nothing on
 * another host or after the next boot. ret_denied (may be NULL): kallsyms hides its addresses. */
int names_fill_kernel(struct model *m, struct symbols *syms, bool *ret_denied, struct error *e);

#endif
