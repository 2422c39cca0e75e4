// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * auditor.bpf.c - counts what happens to one process's mmap_lock, whoever does it, and reads the lock
 * itself. Raw tracepoints: programs on ordinary ones are suppressed while another BPF program runs
 * on the CPU, and miss just what is audited. Takes no stack and no lock.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include "auditor.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define WRITER 1UL /* rw_semaphore.count */

const volatile __u64 pidns_dev, pidns_ino;

volatile struct aud_counts counts;
volatile struct aud_state state;
volatile __u8 is_in_timer[AUD_CPUS_MAX];
volatile __u8 is_in_irq_work[AUD_CPUS_MAX];

struct aud_ids {
	u32 tid;
	u32 tgid;
}; /* uapi struct bpf_pidns_info */

#define COUNT(what) __sync_fetch_and_add(&counts.what, 1)

static __always_inline u32 cpu_idx(void)
{
	return bpf_get_smp_processor_id() & (AUD_CPUS_MAX - 1);
}

static __always_inline bool is_audited(u64 mm)
{
	return mm && mm == state.mm;
}

static __always_inline u64 lock_count(u64 addr)
{
	struct mm_struct *mm = (void *)addr;

	if (!bpf_core_field_exists(mm->mmap_lock.count)) /* PREEMPT_RT */
		return 0;
	return BPF_CORE_READ(mm, mmap_lock.count.counter);
}

SEC("raw_tp/mmap_lock_start_locking")
int start_locking(u64 *args)
{
	if (is_audited(args[0]))
		COUNT(started);
	return 0;
}

static __always_inline int acquire_count(u64 mm, bool is_write, bool is_success)
{
	if (!is_audited(mm))
		return 0;
	if (!is_success) {
		COUNT(failed);
		if (is_in_timer[cpu_idx()])
			COUNT(timer_failed);
		return 0;
	}
	COUNT(acquired);
	if (is_in_timer[cpu_idx()])
		COUNT(timer_acquired);
	if (is_write) {
		COUNT(write_acquired);
		if (!(lock_count(mm) & WRITER))
			COUNT(write_unmarked);
	}
	return 0;
}

SEC("raw_tp/mmap_lock_acquire_returned")
int acquire_returned(u64 *args)
{
	return acquire_count(args[0], args[1] & 0xff, args[2] & 0xff);
}

/* Up to 6.12 a memory cgroup's path or id stands between mm and write. The loader chooses. */
SEC("raw_tp/mmap_lock_acquire_returned")
int acquire_returned_memcg(u64 *args)
{
	return acquire_count(args[0], args[2] & 0xff, args[3] & 0xff);
}

SEC("raw_tp/mmap_lock_released")
int released(u64 *args)
{
	if (!is_audited(args[0]))
		return 0;
	COUNT(released);
	if (is_in_irq_work[cpu_idx()])
		COUNT(deferred);
	return 0;
}

SEC("raw_tp/local_timer_entry")
int timer_entry(void *ctx)
{
	is_in_timer[cpu_idx()] = 1;
	return 0;
}

SEC("raw_tp/local_timer_exit")
int timer_exit(void *ctx)
{
	is_in_timer[cpu_idx()] = 0;
	return 0;
}

SEC("raw_tp/irq_work_entry")
int irq_work_entry(void *ctx)
{
	is_in_irq_work[cpu_idx()] = 1;
	return 0;
}

SEC("raw_tp/irq_work_exit")
int irq_work_exit(void *ctx)
{
	is_in_irq_work[cpu_idx()] = 0;
	return 0;
}

SEC("raw_tp/sys_enter")
int at_syscall(void *ctx)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct aud_ids ids;

	if (state.captured_mm && !state.is_peek_armed)
		return 0;
	if (bpf_get_ns_current_pid_tgid(pidns_dev, pidns_ino, (void *)&ids, sizeof(ids)))
		return 0;
	if (ids.tgid == state.target_tgid)
		state.captured_mm = (u64)BPF_CORE_READ(task, mm);
	if (ids.tid == state.peeker_tid && state.is_peek_armed) {
		state.is_peek_armed = 0;
		state.lock_count = lock_count(state.mm);
		state.is_peeked = 1;
	}
	return 0;
}
