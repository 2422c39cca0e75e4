/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* differ.h - what differ.bpf.c tells test_differ.c of each sample, through the ring buffer. */
#ifndef BSTACK_DIFFER_H
#define BSTACK_DIFFER_H

#include "bpf/abi.h"

#define DIFFER_RED_ZONE 128 /* bytes below sp that a leaf function may use (System V ABI, 3.2.2) */

struct differ_record {
	__u32 pid, tid;
	__u32 cnt, end;     /* of the walk; cnt 0: there was no table for the first frame */
	__u32 is_in_kernel; /* the registers are those of the kernel's entry */
	__u32 has_red_zone;
	struct unwind_state at; /* where the walk began */
	__u8 red_zone[DIFFER_RED_ZONE];
	__u64 ips[BSTACK_FRAMES];
	struct bstack_step steps[BSTACK_FRAMES];
};

#endif
