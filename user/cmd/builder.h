/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * builder.h - resolved samples into a profile: what record does with each sample. Keeps what symbolizing
 * will need of processes that may exit: their files and their perf maps.
 */
#ifndef BSTACK_BUILDER_H
#define BSTACK_BUILDER_H

#include "cmd/known.h"
#include "profile/model.h"
#include "resolve/resolver.h"
#include "symbol/symbol.h"
#include "unwind/unwinder.h"

struct builder;
int builder_new(struct model *m, struct symbols *syms, struct builder **ret);
void builder_free(struct builder *b);
/* The resolver's modules are looked up by number: tell it before the first sample. */
void builder_set_resolver(struct builder *b, const struct resolver *r);
/* Stacks come with the steps of this unwinder; NULL: all are walked by frame pointer. */
void builder_set_unwinder(struct builder *b, struct unwinder *u);
/* Whom to ask for a process's address space; NULL: nobody. */
void builder_set_session(struct builder *b, struct session *s);
/* Stacks that are known for certain are told to it; NULL: to nobody. */
void builder_set_known(struct builder *b, struct known *k);
/* Each sample is kept with its time: epoch_ns, nanoseconds since the epoch, was mono_ns of CLOCK_MONOTONIC. */
void builder_keep_times(struct builder *b, uint64_t epoch_ns, uint64_t mono_ns);
/* struct resolver_ops, with the builder as ctx */
extern const struct resolver_ops builder_ops;

#endif
