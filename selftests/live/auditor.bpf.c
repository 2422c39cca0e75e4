// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * auditor.bpf.c - counts what happens to one process's mmap_lock, whoever does it, and reads the lock
 * itself; and pairs what is taken in the timer's interrupt, of any process, with its deferred unlock. Raw tracepoints: programs on ordinary ones are suppressed while another BPF program runs
 * on the CPU, and miss just what is audited. Takes no stack and no lock.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include "auditor.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define WRITER 1UL /* rw_semaphore.count */

const volatile __u64 pidns_dev, pidns_ino;
const volatile bool has_memcg; /* between mm and write: up to 6.12 */

volatile struct aud_counts counts;
volatile struct aud_state state;
volatile struct aud_sampling sampling;
volatile struct aud_hold held_by_timer[AUD_CPUS_MAX];
volatile __u64
	held_by_task[AUD_CPUS_MAX]; /* the mm that was taken there last, outside of the timer */
volatile struct aud_seen seen_acquired[AUD_CPUS_MAX];
volatile struct aud_seen seen_released[AUD_CPUS_MAX];
volatile __u8 is_in_timer[AUD_CPUS_MAX];
volatile __u8 is_in_irq_work[AUD_CPUS_MAX];

struct aud_ids {
	u32 tid;
	u32 tgid;
}; /* uapi struct bpf_pidns_info */

#define COUNT(what)    __sync_fetch_and_add(&counts.what, 1)
#define SAMPLING(what) __sync_fetch_and_add(&sampling.what, 1)

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

/* bstack's own threads bear the name of their process's first one here, whatever they are called. */
static __always_inline bool is_loader(void)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	char comm[16] = {};

	BPF_CORE_READ_INTO(&comm, task, group_leader, comm);
	return comm[0] == 'b' && comm[1] == 's' && comm[2] == 't' && comm[3] == 'a' &&
	       comm[4] == 'c' && comm[5] == 'k' && !comm[6];
}

static __always_inline void hold_begin(u64 mm, bool is_success)
{
	volatile struct aud_hold *hold = &held_by_timer[cpu_idx()];

	if (!is_success) {
		SAMPLING(failed);
		if (is_audited(mm))
			SAMPLING(target_failed);
		return;
	}
	SAMPLING(acquired);
	if (is_audited(mm))
		SAMPLING(target_acquired);
	if (hold->mm)
		SAMPLING(unreleased);
	hold->since_ns = bpf_ktime_get_ns();
	hold->mm = mm;
}

/* By halves: a loop over the bits is too much for the verifier. */
static __always_inline u32 log2_of(u64 ns)
{
	u32 n = ns >> 32 ? ~0U : (u32)ns, bit = 0;

	for (u32 half = 16; half; half >>= 1) {
		u32 shift = (n >> half != 0) * half;

		bit += shift;
		n >>= shift;
	}
	return bit & (AUD_HOLD_BITS - 1);
}

static __always_inline void hold_end(u64 mm)
{
	u32 cpu = cpu_idx();
	u64 ns;

	if (held_by_timer[cpu].mm != mm) {
		if (held_by_task[cpu] == mm)
			SAMPLING(elsewhere);
		else
			SAMPLING(unmatched);
		held_by_task[cpu] = 0;
		return;
	}
	ns = bpf_ktime_get_ns() - held_by_timer[cpu].since_ns;
	held_by_timer[cpu].mm = 0;
	SAMPLING(released);
	if (is_in_irq_work[cpu])
		SAMPLING(in_irq_work);
	SAMPLING(held[log2_of(ns)]);
	if (ns > sampling.held_max_ns)
		sampling.held_max_ns = ns;
}

static __always_inline bool is_first_look(volatile struct aud_seen *seen, u32 copy)
{
	u32 cnt = ++seen->cnt[copy];

	if (cnt <= seen->max)
		return false;
	seen->max = cnt;
	return true;
}

/* Twice, each with a place of its own in struct aud_seen. */
static __always_inline int sampling_acquire(u64 *args, u32 copy)
{
	u64 is_success = args[2];
	u32 cpu = cpu_idx();

	if (has_memcg) {
		is_success = args[3];
		asm volatile("" : "+r"(is_success)); /* "dereference of modified ctx ptr" */
	}
	is_success &= 0xff;
	if (!is_in_timer[cpu] && is_success)
		held_by_task[cpu] = args[0];
	if (is_in_timer[cpu] && is_first_look(&seen_acquired[cpu], copy))
		hold_begin(args[0], is_success);
	return 0;
}

static __always_inline int sampling_release(u64 *args, u32 copy)
{
	u32 cpu = cpu_idx();

	if (!is_in_timer[cpu] && !is_in_irq_work[cpu]) {
		if (held_by_task[cpu] == args[0])
			held_by_task[cpu] = 0;
	} else if (is_first_look(&seen_released[cpu], copy)) {
		hold_end(args[0]);
	}
	return 0;
}

SEC("raw_tp/mmap_lock_acquire_returned")
int sampling_acquire_0(u64 *args)
{
	return sampling_acquire(args, 0);
}

SEC("raw_tp/mmap_lock_acquire_returned")
int sampling_acquire_1(u64 *args)
{
	return sampling_acquire(args, 1);
}

SEC("raw_tp/mmap_lock_released")
int sampling_release_0(u64 *args)
{
	return sampling_release(args, 0);
}

SEC("raw_tp/mmap_lock_released")
int sampling_release_1(u64 *args)
{
	return sampling_release(args, 1);
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
	else if (is_loader())
		COUNT(loader_acquired);
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
	else if (!is_in_timer[cpu_idx()] && is_loader())
		COUNT(loader_released);
	return 0;
}

static __always_inline bool ids_read(struct aud_ids *ids)
{
	return !bpf_get_ns_current_pid_tgid(pidns_dev, pidns_ino, (void *)ids, sizeof(*ids));
}

static __always_inline u64 current_mm(void)
{
	struct task_struct *task = (void *)bpf_get_current_task();

	return (u64)BPF_CORE_READ(task, mm);
}

static __always_inline void interrupt_begin(volatile __u8 *flags)
{
	u32 cpu = cpu_idx();

	__builtin_memset((void *)&seen_acquired[cpu], 0, sizeof(seen_acquired[cpu]));
	__builtin_memset((void *)&seen_released[cpu], 0, sizeof(seen_released[cpu]));
	flags[cpu] = 1;
}

SEC("raw_tp/local_timer_entry")
int timer_entry(void *ctx)
{
	struct aud_ids ids;

	interrupt_begin(is_in_timer);
	/* a target that makes no system calls */
	if (state.target_tgid && !state.captured_mm && ids_read(&ids) &&
	    ids.tgid == state.target_tgid)
		state.captured_mm = current_mm();
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
	interrupt_begin(is_in_irq_work);
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
	struct aud_ids ids;

	if (state.captured_mm && !state.is_peek_armed)
		return 0;
	if (!ids_read(&ids))
		return 0;
	if (ids.tgid == state.target_tgid)
		state.captured_mm = current_mm();
	if (ids.tid == state.peeker_tid && state.is_peek_armed) {
		state.is_peek_armed = 0;
		state.lock_count = lock_count(state.mm);
		state.is_peeked = 1;
	}
	return 0;
}
