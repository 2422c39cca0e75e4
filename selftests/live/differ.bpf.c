// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * differ.bpf.c - walks the user stack of a sample by rows and lets the kernel write the same sample with its
 * registers and a copy of its stack: one record in the ring buffer for each in the perf ring, in the same order.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include "bpf/abi.h"
#include "bpf/compat.bpf.h"
#include "bpf/maps.bpf.h"
#include "bpf/target.bpf.h"
#include "bpf/resolve.bpf.h"
#include "bpf/unwind.bpf.h"
#include "differ.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

volatile __u32 wanted, taken; /* samples; one CPU takes them */

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct differ_record);
} records SEC(".maps");

/* By the tables alone: without an mm the kernel is not asked for mappings, whom the host could not ask again. */
static __always_inline bool walk(struct differ_record *r, struct scratch *sc,
				 struct task_struct *task)
{
	struct bstack_counters unused = {};

	sc->sample.pid = r->pid;
	r->cnt = walk_rows(sc, task, NULL, &unused, 0);
	r->end = sc->walk.end;
	return !bpf_probe_read_kernel(r->ips, sizeof(r->ips), sc->data) &&
	       !bpf_probe_read_kernel(r->steps, sizeof(r->steps), sc->steps);
}

SEC("perf_event")
int on_sample(struct bpf_perf_event_data *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct differ_record *r = LOOKUP(records, 0);
	struct scratch *sc = scratch_here();

	if (!r || !sc || taken >= wanted)
		return 0;
	task_ids(task, &r->pid, &r->tid);
	if (!is_listed(r->pid))
		return 0;
	r->is_in_kernel = !IS_USER(ctx->regs);
	if (!r->is_in_kernel)
		REGS_COPY(&sc->walk.state, ctx->regs);
	else if (!regs_at_entry(&sc->walk.state))
		return 0;
	r->at = sc->walk.state;
	r->has_red_zone = !bpf_probe_read_user(r->red_zone, sizeof(r->red_zone),
					       (const void *)(r->at.sp - DIFFER_RED_ZONE));
	/* Without our record there is none of the kernel's either. */
	if (!walk(r, sc, task) || bpf_ringbuf_output(&samples, r, sizeof(*r), BPF_RB_NO_WAKEUP))
		return 0;
	taken++;
	return 1;
}
