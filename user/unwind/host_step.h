/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * host_step.h - bpf/unwind.h on the host: steps through a stack whose registers and memory came with a sample, by the
 * tables in the arrays that BPF reads, too.
 */
#ifndef BSTACK_UNWIND_HOST_STEP_H
#define BSTACK_UNWIND_HOST_STEP_H

#include "resolve/resolver.h"
#include "unwind/unwinder.h"

/* Is a step in code at pc of a module made by frame pointer, for want of unwind information? */
bool host_is_fp_step(const struct unwind_maps *maps, uint32_t module, uint32_t pc);
/* From the frame in s->state to its caller, in code at pc of a module (BSTACK_MODULE_FP: by frame pointer). 0, else
 * enum bstack_end. */
int host_step(const struct unwind_maps *maps, struct stack_rest *s, uint32_t module, uint32_t pc);

#endif
