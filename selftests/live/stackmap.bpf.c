// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * stackmap.bpf.c - what a tool of somebody else's does: stacks into maps, counts beside them. The stacks are
 * those of system calls with a number of ours as argument, or of a timer's interrupt.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#ifndef __VMLINUX_H__
#define __VMLINUX_H__ /* the kernel's names of registers, not uapi's */
#endif
#include <bpf/bpf_tracing.h>
#include "stackmap.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

volatile __u32 timer_pid; /* as the test sees it */
__u64 timer_cnt;

#define STACKS(name, flags, frame_sz)                      \
	struct {                                           \
		__uint(type, BPF_MAP_TYPE_STACK_TRACE);    \
		__uint(max_entries, 4096);                 \
		__uint(map_flags, flags);                  \
		__uint(key_size, sizeof(u32));             \
		__uint(value_size, SM_FRAMES *(frame_sz)); \
	} name SEC(".maps")
STACKS(sm_ids, BPF_F_STACK_BUILD_ID, sizeof(struct bpf_stack_build_id));
STACKS(sm_fallen, BPF_F_STACK_BUILD_ID, sizeof(struct bpf_stack_build_id));
STACKS(sm_plain, 0, sizeof(u64));

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, struct sm_key);
	__type(value, u64);
} sm_counts SEC(".maps"), sm_plain_counts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 8192);
	__type(key, u32);
	__type(value, u32);
} sm_percpu SEC(".maps");

static __always_inline void count(void *map, struct sm_key *key)
{
	u64 one = 1, *n = bpf_map_lookup_elem(map, key);

	if (n)
		__sync_fetch_and_add(n, 1);
	else
		bpf_map_update_elem(map, key, &one, BPF_NOEXIST);
}

SEC("raw_tp/sys_enter")
int at_syscall(u64 *ctx)
{
	struct pt_regs *regs = (void *)ctx[0];
	struct sm_key key = {};
	u32 one = 1, id, *n;

	if (PT_REGS_PARM1_CORE_SYSCALL(regs) != SM_MAGIC)
		return 0;
	key.pid = (u32)PT_REGS_PARM2_CORE_SYSCALL(regs);
	key.kern_stack_id = -14; /* EFAULT: what the helper says when there is none */
	key.user_stack_id = bpf_get_stackid(ctx, &sm_ids, BPF_F_USER_STACK);
	count(&sm_counts, &key);
	id = (u32)key.user_stack_id;
	n = bpf_map_lookup_elem(&sm_percpu, &id);
	if (n)
		++*n;
	else
		bpf_map_update_elem(&sm_percpu, &id, &one, BPF_ANY);
	key.user_stack_id = bpf_get_stackid(ctx, &sm_plain, BPF_F_USER_STACK);
	key.kern_stack_id = bpf_get_stackid(ctx, &sm_plain, 0);
	count(&sm_plain_counts, &key);
	return 0;
}

/* Interrupts are off: the first stack takes the slot, so the second falls back as a whole. */
SEC("perf_event")
int in_timer(struct bpf_perf_event_data *ctx)
{
	struct sm_key key = { .pid = timer_pid, .kern_stack_id = -14 };

	__sync_fetch_and_add(&timer_cnt, 1);
	key.user_stack_id = bpf_get_stackid(ctx, &sm_ids, BPF_F_USER_STACK);
	count(&sm_counts, &key);
	bpf_get_stackid(ctx, &sm_fallen, BPF_F_USER_STACK);
	return 0;
}
