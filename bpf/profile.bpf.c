/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * profile.bpf.c - a sample, from the event to the ring buffer:
 *	filter, kernel addresses, user addresses, known stack? then counted, mappings, build-ids where these do not tell, cause,
 *	record.
 * Every event that passes the filter is counted once as fired and once as submitted, counted or lost.
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
#include "bpf/vma.bpf.h"
#include "bpf/known.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define LEARN_PAUSE_NS 10000000ULL
static volatile u64 woken_ns; /* to learn a file */

static __always_inline void identity_read(struct task_struct *task, struct bstack_mm *ret)
{
	ret->start_ns = task->group_leader->start_boottime;
	ret->exec_id = task->self_exec_id;
}

static __always_inline void sample_init(struct bstack_sample *s, struct task_struct *task, u32 pid,
					u32 tid, u64 weight)
{
	s->time_ns = bpf_ktime_get_ns();
	identity_read(task, &s->mm);
	s->mm.seq = 0;
	s->key.a = s->key.b = 0;
	s->weight = weight;
	s->pid = pid;
	s->tid = tid;
	s->cpu = bpf_get_smp_processor_id();
	s->user_cnt = 0;
	s->kernel_cnt = 0;
	s->id_cnt = 0;
	s->cause = BSTACK_CAUSE_NONE;
	s->flags = 0;
	s->step_cnt = 0;
	s->end = BSTACK_END_FP;
	s->vma_cnt = 0;
	s->stack_sz = 0;
	s->owner_tid = 0;
	__builtin_memset(s->owner_comm, 0, sizeof(s->owner_comm));
	bpf_get_current_comm(s->comm, sizeof(s->comm));
}

static __always_inline bool is_in_user_mode(const struct bpf_perf_event_data *ctx)
{
	return IS_USER(ctx->regs);
}

/* Read a stack of addresses to data[off]; the number of frames, 0 when there is none. */
static __always_inline u32 ips_read(void *ctx, struct scratch *sc, u32 off, u64 flags)
{
	long len;

	KEEP(off);
	if (off > BSTACK_FRAMES * 8)
		return 0;
	len = bpf_get_stack(ctx, sc->data + off, BSTACK_FRAMES * 8, flags);
	return len > 0 ? (u32)len >> 3 : 0;
}

/*
 * The build-id stack behind the addresses. It is asked for exactly as many frames as the raw walk
 * found: the kernel zero-fills what is left of the buffer, 4 KiB for an ordinary stack, and so the two
 * walks have the same length.
 */
static __always_inline void ids_read(void *ctx, struct scratch *sc, struct mm_struct *mm,
				     u32 ids_off)
{
	struct bstack_sample *s = &sc->sample;
	struct lock_state before, after;
	u32 cnt = s->user_cnt;
	long len;

	KEEP(cnt);
	KEEP(ids_off);
	if (cnt > BSTACK_FRAMES || ids_off > 2 * BSTACK_FRAMES * 8)
		return;
	lock_state_read(mm, &before);
	len = bpf_get_stack(ctx, sc->data + ids_off, cnt * sizeof(struct bstack_id_frame),
			    BPF_F_USER_STACK | BPF_F_USER_BUILD_ID);
	lock_state_read(mm, &after);
	if (len != cnt * sizeof(struct bstack_id_frame))
		s->cause = BSTACK_CAUSE_UNKNOWN;
	else if (has_valid(ids_off, cnt))
		s->id_cnt = cnt;
	else
		cause_find(s, &before, &after);
}

/* Mappings behind all else of a sample, which ends at data[at]. Their number. */
static __always_inline u32 vmas_put(struct scratch *sc, u64 at)
{
	struct bstack_sample *s = &sc->sample;

	if (at > BSTACK_DATA_SZ - sizeof(sc->vmas) ||
	    bpf_probe_read_kernel(sc->data + at, sizeof(sc->vmas), sc->vmas)) {
		s->vma_cnt = 0;
		s->flags &= ~BSTACK_SAMPLE_VMAS;
	}
	return s->vma_cnt;
}

/*
 * The reader is woken at once where a walk lacked a table: the sooner it makes it, the fewer samples lack it. And where the
 * kernel had to be asked for build-ids, because it has not learned a file yet; but there are files that it never learns.
 */
static __always_inline bool is_learning_due(struct scratch *sc)
{
	if (!sc->is_unknown || sc->sample.time_ns - woken_ns < LEARN_PAUSE_NS)
		return false;
	woken_ns = sc->sample.time_ns;
	return true;
}

static __always_inline void submit(struct scratch *sc, struct bstack_counters *c)
{
	struct bstack_sample *s = &sc->sample;
	u64 len = (s->kernel_cnt + s->user_cnt + s->step_cnt) * 8 +
		  s->id_cnt * sizeof(struct bstack_id_frame);
	u64 flags = BPF_RB_NO_WAKEUP;

	if (s->stack_sz)
		len += sizeof(struct unwind_state) + s->stack_sz;
	KEEP(len);
	if (s->vma_cnt)
		len += vmas_put(sc, len) * sizeof(struct bstack_vma);
	len += sizeof(*s);
	if (len > sizeof(*sc))
		len = sizeof(*sc);
	if (s->stack_sz || is_learning_due(sc) ||
	    bpf_ringbuf_query(&samples, BPF_RB_AVAIL_DATA) >= settings.wakeup_sz)
		flags = BPF_RB_FORCE_WAKEUP;
	if (bpf_ringbuf_output(&samples, sc, len, flags))
		c->lost_ring++;
	else
		c->submitted++;
}

/* By frame pointers, through the kernel: the addresses. */
static __always_inline void user_by_fp(void *ctx, struct scratch *sc, u32 off)
{
	struct bstack_sample *s = &sc->sample;

	s->user_cnt = ips_read(ctx, sc, off, BPF_F_USER_STACK);
	if (s->user_cnt >= BSTACK_FRAMES)
		s->flags |= BSTACK_SAMPLE_TRUNCATED;
}

/* By rows of .eh_frame, from the registers in walk.state. */
static __always_inline void user_by_rows(struct scratch *sc, struct task_struct *task,
					 struct mm_struct *mm, struct bstack_counters *c, u32 off)
{
	struct bstack_sample *s = &sc->sample;
	u32 cnt = walk_rows(sc, task, mm, c, off), steps_off = off + cnt * 8;

	KEEP(cnt);
	KEEP(steps_off);
	if (!cnt || cnt > BSTACK_FRAMES || steps_off > 2 * BSTACK_FRAMES * 8)
		return;
	if (bpf_probe_read_kernel(sc->data + steps_off, cnt * sizeof(struct bstack_step),
				  sc->steps))
		return;
	s->user_cnt = cnt;
	s->step_cnt = cnt;
	s->end = sc->walk.end;
	if (s->end == BSTACK_END_TRUNCATED)
		s->flags |= BSTACK_SAMPLE_TRUNCATED;
	else if (s->end == BSTACK_END_NO_TABLE || s->end == BSTACK_END_NO_MAPPING)
		stack_send(sc, steps_off + cnt * sizeof(struct bstack_step));
	if (s->end == BSTACK_END_NO_MAPPING && !sc->walk.is_sure && !s->stack_sz)
		s->end = BSTACK_END_NO_TABLE; /* of a mapping that is not known yet, maybe */
}

static __always_inline bool regs_read(void *ctx, bool is_perf_event, struct unwind_state *ret)
{
	if (is_perf_event && is_in_user_mode(ctx)) {
		REGS_COPY(ret, ((struct bpf_perf_event_data *)ctx)->regs);
		return true;
	}
	return regs_at_entry(ret);
}

/* Did no mapping change since `before`? Then the sequence of that moment holds for all that was read. */
static __always_inline void steady_check(struct bstack_sample *s, struct mm_struct *mm,
					 const struct lock_state *before)
{
	struct lock_state after;

	s->flags &= ~BSTACK_SAMPLE_STEADY;
	if (!is_steady(mm, before))
		return;
	lock_state_read(mm, &after);
	if (after.seq != before->seq || !is_steady(mm, &after))
		return;
	s->mm.seq = before->seq;
	s->flags |= BSTACK_SAMPLE_STEADY;
}

/* The user stack. True: it is a known one, and was counted. */
static __always_inline bool user_read(void *ctx, bool is_perf_event, struct scratch *sc,
				      struct task_struct *task, struct bstack_counters *c, u32 off)
{
	struct bstack_sample *s = &sc->sample;
	struct mm_struct *mm = task->mm;
	struct lock_state before;

	sc->is_unknown = 0;
	sc->is_untold = 1;
	if (!mm) {
		if (!settings.has_rows)
			user_by_fp(ctx, sc, off);
		s->cause = s->user_cnt ? BSTACK_CAUSE_NO_MM : BSTACK_CAUSE_NONE;
		return false;
	}
	lock_state_read(mm, &before);
	sc->since = before.seq;
	if (!settings.has_rows)
		user_by_fp(ctx, sc, off);
	else if (regs_read(ctx, is_perf_event, &sc->walk.state))
		user_by_rows(sc, task, mm, c, off);
	steady_check(s, mm, &before);
	/* In the middle of exec an address space is not the one that its identity says. */
	if (BPF_CORE_READ_BITFIELD(task, in_execve)) {
		s->flags &= ~BSTACK_SAMPLE_STEADY;
	} else if (settings.has_known && s->user_cnt) {
		if (!s->stack_sz && known_count(sc, mm, c))
			return true;
		vmas_read(sc, mm, off);
		/* Those of the same sequence, then, as all else. */
		if (s->flags & BSTACK_SAMPLE_STEADY)
			steady_check(s, mm, &before);
	}
	if (!settings.has_rows && s->user_cnt && sc->is_untold) {
		ids_read(ctx, sc, mm, off + s->user_cnt * 8);
		if (s->flags & BSTACK_SAMPLE_STEADY)
			steady_check(s, mm, &before);
	}
	return false;
}

static __always_inline int sample_take(void *ctx, bool is_perf_event, u64 weight)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct bstack_counters *c;
	struct scratch *sc;
	u32 zero = 0, pid, tid, off;

	task_ids(task, &pid, &tid);
	if (!is_wanted(pid, tid, bpf_get_smp_processor_id()))
		return 0;
	c = bpf_map_lookup_elem(&counters, &zero);
	sc = scratch_here();
	if (!c || !sc)
		return 0; /* cannot be: there is one for each CPU */
	c->fired++;
	sample_init(&sc->sample, task, pid, tid, weight);
	/* An event in user mode has none, and the call costs as much as ten frames. */
	if (settings.has_kernel && !(is_perf_event && is_in_user_mode(ctx)))
		sc->sample.kernel_cnt = ips_read(ctx, sc, 0, 0);
	off = sc->sample.kernel_cnt * 8;
	if (user_read(ctx, is_perf_event, sc, task, c, off))
		return 0;
	/* In the middle of exec the old stack may be gone, and its registers with it: then there is none. */
	if (settings.has_rows && sc->sample.end != BSTACK_END_ROOT &&
	    BPF_CORE_READ_BITFIELD(task, in_execve)) {
		sc->sample.user_cnt = 0;
		sc->sample.id_cnt = 0;
		sc->sample.step_cnt = 0;
		sc->sample.vma_cnt = 0;
		sc->sample.stack_sz = 0;
		sc->sample.flags = 0;
		sc->sample.cause = BSTACK_CAUSE_NONE;
	}
	submit(sc, c);
	return 0;
}

SEC("perf_event")
int on_perf_event(struct bpf_perf_event_data *ctx)
{
	return sample_take(ctx, true, ctx->sample_period);
}

SEC("tp")
int on_tracepoint(void *ctx)
{
	return sample_take(ctx, false, 1);
}

/*
 * The registers at the kernel's entry are those at the probe: the trap was the entry, and ip is set back to the probe's
 * address before programs run. Unlike the others this program may be preempted, and by its like (no bpf_prog_active, no
 * preempt_disable() in bpf_prog_run_array_uprobe(), 6.18), so it keeps that from happening. Where it cannot, whoever
 * comes second on a CPU leaves what is under construction alone, and is counted.
 */
SEC("uprobe")
int on_uprobe(struct pt_regs *ctx)
{
	struct scratch *sc = scratch_here();
	u32 zero = 0, pid, tid;

	if (!sc)
		return 0; /* cannot be: there is one for each CPU */
	preempt_off();
	if (!__sync_lock_test_and_set(&sc->is_busy, 1)) {
		sample_take(ctx, false, 1);
		__sync_lock_test_and_set(&sc->is_busy, 0);
		preempt_on();
		return 0;
	}
	preempt_on();
	task_ids(bpf_get_current_task_btf(), &pid, &tid);
	if (is_wanted(pid, tid, bpf_get_smp_processor_id())) {
		struct bstack_counters *c = bpf_map_lookup_elem(&counters, &zero);

		if (c)
			__sync_fetch_and_add(&c->nested, 1);
	}
	return 0;
}

static __always_inline bool look_at(u32 i, struct mm_struct *mm, u64 since)
{
	struct bstack_look *l = LOOKUP(look, 0);
	u64 seq;

	if (!l || i >= l->cnt)
		return false;
	if (vma_at(mm, l->addrs[i], since, l->node, &l->found[i], &seq) != VMA_HERE)
		l->found[i].end = 0;
	return true;
}

/*
 * One task's address space now: the loader reads its mappings between two looks at this, or asks for some that it knows
 * to be there.
 */
SEC("iter/task")
int on_mm_now(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct bstack_mm_now now = {};
	struct lock_state lock;
	struct mm_struct *mm;

	if (!task)
		return 0;
	identity_read(task, &now.mm);
	mm = task->mm;
	if (mm) {
		lock_state_read(mm, &lock);
		now.mm.seq = lock.seq;
		/* In the middle of exec the number of execs is still the old program's. */
		now.is_steady = is_steady(mm, &lock) && !BPF_CORE_READ_BITFIELD(task, in_execve);
		for (u32 i = 0; has_vmas() && i < BSTACK_VMAS_MAX; i++)
			if (!look_at(i, mm, lock.seq))
				break;
	}
	bpf_seq_write(ctx->meta->seq, &now, sizeof(now));
	return 0;
}

/* Not the sampling path: these may insert and delete. */
/* A child has its parent's mappings: until user space tells its own, the parent's block serves. Should that be
 * given to another process meanwhile, the check of each step finds out. */
static __always_inline void mappings_inherit(u32 parent, u32 child)
{
	const struct bstack_process *p = bpf_map_lookup_elem(&processes, &parent);
	struct bstack_process copy;

	if (!p || parent == child)
		return;
	copy = *p;
	bpf_map_update_elem(&processes, &child, &copy, BPF_ANY);
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(on_fork, struct task_struct *parent, struct task_struct *child)
{
	u32 parent_pid, parent_tid, pid, tid, from, to, zero = 0, *state, on;

	task_ids(parent, &parent_pid, &parent_tid);
	task_ids(child, &pid, &tid);
	if (settings.has_rows)
		mappings_inherit(parent_pid, pid);
	from = settings.target == BSTACK_TARGET_TIDS ? parent_tid : parent_pid;
	to = settings.target == BSTACK_TARGET_TIDS ? tid : pid;
	state = bpf_map_lookup_elem(&targets, &from);
	if (!state || !settings.is_inherited)
		return 0;
	on = *state;
	if (to != from && bpf_map_update_elem(&targets, &to, &on, BPF_ANY)) {
		struct bstack_counters *c = bpf_map_lookup_elem(&counters, &zero);

		if (c)
			c->target_lost++;
	}
	return 0;
}

/*
 * Another program: its mappings are told by the events of them, of which some may have come already; then the next one,
 * or the next sample, brings them back.
 */
SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_exec, struct task_struct *task, int old_pid, struct linux_binprm *bprm)
{
	u32 pid, tid, *state;

	task_ids(task, &pid, &tid);
	if (settings.has_rows)
		bpf_map_delete_elem(&processes, &pid);
	state = bpf_map_lookup_elem(&targets, &pid);
	if (state && *state == BSTACK_TARGET_AT_EXEC)
		*state = BSTACK_TARGET_ON;
	return 0;
}

/*
 * A number that is free again must not make a stranger a target, nor lend it mappings: a process leaves with its last
 * thread (signal->live is counted down before this tracepoint), a thread with itself.
 */
SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_exit, struct task_struct *task)
{
	bool is_last = BPF_CORE_READ(task, signal, live.counter) <= 0;
	u32 pid, tid;

	task_ids(task, &pid, &tid);
	if (settings.has_rows && is_last)
		bpf_map_delete_elem(&processes, &pid);
	if (settings.target == BSTACK_TARGET_TIDS)
		bpf_map_delete_elem(&targets, &tid);
	else if (is_last)
		bpf_map_delete_elem(&targets, &pid);
	return 0;
}
