/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* stackmap.h - what stackmap.bpf.c and test_stackmap.c share. */
#ifndef BSTACK_STACKMAP_TEST_H
#define BSTACK_STACKMAP_TEST_H

#define SM_FRAMES 32
#define SM_MAGIC  0x5be1a9c07d3f4e62ULL /* first argument of a system call that is meant */

struct sm_key {
	__u32 pid; /* as the test told it */
	__s32 user_stack_id;
	__s32 kern_stack_id;
};

#endif
