// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * kernel_facts.bpf.c - takes the same user stack in every situation in which the kernel treats
 * build-ids differently. Chosen by thread and place, one section for each time it is armed.
 * Never a build-id stack inside a bpf_find_vma callback: CVE-2026-90247.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#ifndef __VMLINUX_H__
#define __VMLINUX_H__ /* the kernel's names of registers, not uapi's */
#endif
#include <bpf/bpf_tracing.h>
#include "kernel_facts.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define WRITER      1UL /* rw_semaphore.count */
#define WAITERS     2UL
#define OWNER_FLAGS 7UL
#define SPIN_MAX    (1U << 23) /* bpf_loop's own limit */
#define SPIN_NS     500000000ULL

const volatile __u64 pidns_dev, pidns_ino; /* the pid namespace in which tids are told */

volatile struct kf_wish wish;
volatile struct kf_holder holder;
struct kf_result result;

struct {
	__uint(type, BPF_MAP_TYPE_STACK_TRACE);
	__uint(max_entries, 1024);
	__uint(map_flags, BPF_F_STACK_BUILD_ID);
	__uint(key_size, sizeof(u32));
	__uint(value_size, KF_FRAMES * sizeof(struct bpf_stack_build_id));
} stacks SEC(".maps");

/* uapi struct bpf_pidns_info */
struct kf_ids {
	u32 tid;
	u32 tgid;
};

static __always_inline u32 current_tid(void)
{
	struct kf_ids ids;

	if (bpf_get_ns_current_pid_tgid(pidns_dev, pidns_ino, (void *)&ids, sizeof(ids)))
		return 0;
	return ids.tid;
}

static __always_inline void lock_read(struct kf_lock *ret)
{
	struct task_struct *task = (void *)bpf_get_current_task();

	ret->count = 0;
	ret->owner = 0;
	/* absent on PREEMPT_RT */
	if (!bpf_core_field_exists(task->mm->mmap_lock.count))
		return;
	ret->count = BPF_CORE_READ(task, mm, mmap_lock.count.counter);
	ret->owner = BPF_CORE_READ(task, mm, mmap_lock.owner.counter) & ~OWNER_FLAGS;
}

static __always_inline bool claim(u32 place)
{
	struct kf_lock lock;

	if (!wish.is_armed || wish.place != place || current_tid() != wish.tid)
		return false;
	if (wish.is_waiter_needed) {
		lock_read(&lock);
		if ((lock.count & (WRITER | WAITERS)) != WAITERS)
			return false;
	}
	wish.is_armed = 0;
	return true;
}

static long ignore_vma(struct task_struct *task, void *vma, void *data)
{
	return 0;
}

static __always_inline void take(void *ctx)
{
	u64 unused = 0; /* the callback's context has to be on the stack */

	result.task = bpf_get_current_task();
	result.ips_len = bpf_get_stack(ctx, result.ips, sizeof(result.ips), BPF_F_USER_STACK);
	if (wish.is_find_vma_first)
		result.find_vma_ret =
			bpf_find_vma(bpf_get_current_task_btf(), 1, ignore_vma, &unused, 0);
	lock_read(&result.before);
	result.first_len = bpf_get_stack(ctx, result.first, sizeof(result.first),
					 BPF_F_USER_STACK | BPF_F_USER_BUILD_ID);
	lock_read(&result.after);
	result.second_len = bpf_get_stack(ctx, result.second, sizeof(result.second),
					  BPF_F_USER_STACK | BPF_F_USER_BUILD_ID);
	result.stackid = bpf_get_stackid(ctx, &stacks, BPF_F_USER_STACK);
}

SEC("raw_tp/sys_enter")
int at_syscall(void *ctx)
{
	if (!claim(KF_AT_SYSCALL))
		return 0;
	take(ctx);
	wish.is_done = 1;
	return 0;
}

SEC("perf_event")
int in_timer(struct bpf_perf_event_data *ctx)
{
	u64 ip = PT_REGS_IP(&ctx->regs);

	if (ip < wish.ip_begin || ip >= wish.ip_end || !claim(KF_IN_TIMER))
		return 0;
	take(ctx);
	wish.is_done = 1;
	return 0;
}

/* Kernel functions from 6.14 on: this program is loaded by the test that needs it, alone. */
extern void bpf_local_irq_save(unsigned long *flags) __ksym __weak;
extern void bpf_local_irq_restore(unsigned long *flags) __ksym __weak;

SEC("raw_tp/sys_enter")
int irq_saved(void *ctx)
{
	unsigned long flags;

	if (!claim(KF_IRQ_SAVED))
		return 0;
	bpf_local_irq_save(&flags);
	take(ctx);
	bpf_local_irq_restore(&flags);
	wish.is_done = 1;
	return 0;
}

static long spin_step(u32 i, u64 *deadline_ns)
{
	return holder.is_released || bpf_ktime_get_ns() > *deadline_ns;
}

/* Bounded three times: by the release, by time, by bpf_loop. */
static __always_inline void hold(void)
{
	u64 deadline_ns = bpf_ktime_get_ns() + SPIN_NS;

	holder.task = bpf_get_current_task();
	holder.is_held = 1;
	bpf_loop(SPIN_MAX, spin_step, &deadline_ns, 0);
	holder.saw_release = holder.is_released;
	holder.is_held = 0;
}

SEC("raw_tp/vm_unmapped_area")
int in_mmap(void *ctx)
{
	if (holder.tid && !holder.is_released && current_tid() == holder.tid) {
		hold();
		return 0;
	}
	if (!claim(KF_IN_MMAP))
		return 0;
	take(ctx);
	wish.is_done = 1;
	return 0;
}

static long hold_vma(struct task_struct *task, void *vma, void *data)
{
	hold();
	return 0;
}

/* A reader that holds the lock, so that a writer has to queue. */
SEC("raw_tp/sys_enter")
int hold_for_read(void *ctx)
{
	if (holder.tid && holder.addr && !holder.is_released && current_tid() == holder.tid) {
		u64 addr = holder.addr, unused = 0;

		holder.addr = 0;
		bpf_find_vma(bpf_get_current_task_btf(), addr, hold_vma, &unused, 0);
	}
	return 0;
}

/* The test chooses the function. */
SEC("fentry")
int in_fentry(void *ctx)
{
	if (!claim(KF_IN_FENTRY))
		return 0;
	take(ctx);
	wish.is_done = 1;
	return 0;
}
