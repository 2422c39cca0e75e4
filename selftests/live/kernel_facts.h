/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* kernel_facts.h - what kernel_facts.bpf.c and test_kernel.c say to each other, through .bss. */
#ifndef BSTACK_KERNEL_FACTS_H
#define BSTACK_KERNEL_FACTS_H

#ifndef __bpf__
#include <linux/bpf.h>
#include <linux/types.h>
#endif

#define KF_FRAMES 32 /* longer than any chain of the tests */

/* Where the stacks are taken */
enum kf_place {
	KF_NOWHERE,
	KF_AT_SYSCALL, /* raw_tp sys_enter: interrupts on */
	KF_IN_TIMER,   /* perf_event: hardirq */
	KF_IRQ_SAVED,  /* raw_tp sys_enter, interrupts turned off by the program */
	KF_IN_MMAP,    /* raw_tp vm_unmapped_area: under the write lock */
	KF_IN_FENTRY,  /* fentry of a function that runs under the write lock */
};

struct kf_lock {
	__u64 count;
	__u64 owner; /* the writer's task, without flags */
};

/* What one section saw. Lengths are bytes, as the helper returned them. */
struct kf_result {
	__u64 ips[KF_FRAMES];
	struct bpf_stack_build_id first[KF_FRAMES];
	struct bpf_stack_build_id second[KF_FRAMES];
	__u64 task;                   /* current */
	struct kf_lock before, after; /* around the first build-id stack */
	__s64 ips_len, first_len, second_len;
	__s64 find_vma_ret;
	__s64 stackid; /* in the map stacks */
};

/* Asked for by the test. The program that takes the stacks clears is_armed first, sets is_done last. */
struct kf_wish {
	__u32 tid;
	__u32 place;            /* enum kf_place */
	__u64 ip_begin, ip_end; /* KF_IN_TIMER: only when the interrupted address is in between */
	__u32 is_find_vma_first;
	__u32 is_waiter_needed; /* only when the lock has a waiter and no writer */
	__u32 is_armed;
	__u32 is_done;
};

/* A thread that holds mmap_lock, spinning in a program, until it is told to let go. */
struct kf_holder {
	__u32 tid; /* 0: nobody */
	__u32 is_held;
	__u32 is_released; /* by the test */
	__u32 saw_release; /* 0 at the end: it gave up, so nothing is proven */
	__u64 task;
	__u64 addr; /* reader: an address whose VMA exists */
};

#endif
