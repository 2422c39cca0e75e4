/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* cost.bpf.c - the kernel's walks alone, for the bench: raw addresses, and the build-id helper. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define FRAMES 127

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u8[FRAMES * sizeof(struct bpf_stack_build_id)]);
} scratch SEC(".maps");

const volatile __u32 wanted_tgid;

static __always_inline int walk(void *ctx, u32 size, u64 flags)
{
	u32 zero = 0;
	void *buf = bpf_map_lookup_elem(&scratch, &zero);

	if (buf && bpf_get_current_pid_tgid() >> 32 == wanted_tgid)
		bpf_get_stack(ctx, buf, size, flags);
	return 0;
}

SEC("perf_event")
int raw_walk(void *ctx)
{
	return walk(ctx, FRAMES * 8, BPF_F_USER_STACK);
}

SEC("perf_event")
int build_id_helper(void *ctx)
{
	return walk(ctx, FRAMES * sizeof(struct bpf_stack_build_id),
		    BPF_F_USER_STACK | BPF_F_USER_BUILD_ID);
}
