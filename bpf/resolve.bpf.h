/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * resolve.bpf.h - the build-id stack of a sample, and why it fell back when it did.
 *
 * One lock-taking call a sample, never inside a bpf_find_vma callback (CVE-2026-90247). The kernel
 * tells no reason when the whole stack comes back as addresses, so the lock is read before and
 * after: what was seen is what made the one trylock in between fail.
 */
#ifndef BSTACK_RESOLVE_BPF_H
#define BSTACK_RESOLVE_BPF_H

static __always_inline bool is_writer(const struct lock_state *s)
{
	return s->count & RWSEM_WRITER_LOCKED;
}

static __always_inline bool is_waiter(const struct lock_state *s)
{
	return s->count & (RWSEM_FLAG_WAITERS | RWSEM_FLAG_HANDOFF);
}

/* Who held the lock. The task may be gone: both reads are of kernel memory and may fail harmlessly,
 * and a name is only told together with its tid. */
static __always_inline void writer_read(struct bstack_sample *s, u64 owner)
{
	struct task_struct *task = (void *)(owner & ~RWSEM_OWNER_FLAGS);

	if (!task)
		return;
	s->owner_tid = settings.pidns_inum ? pid_here(BPF_CORE_READ(task, thread_pid))
					   : BPF_CORE_READ(task, pid);
	bpf_probe_read_kernel_str(s->owner_comm, sizeof(s->owner_comm), &task->comm);
}

static __always_inline void cause_find(struct bstack_sample *s, const struct lock_state *before,
				       const struct lock_state *after)
{
	if (settings.is_rt) {
		s->cause = BSTACK_CAUSE_RT;
	} else if (is_writer(before) || is_writer(after)) {
		s->cause = BSTACK_CAUSE_WRITER;
		writer_read(s, is_writer(before) ? before->owner : after->owner);
	} else if (before->seq != after->seq) {
		s->cause = BSTACK_CAUSE_WRITER; /* came and went in between: nobody left to name */
	} else if (is_waiter(before) || is_waiter(after)) {
		s->cause = BSTACK_CAUSE_WAITER;
	} else {
		s->cause =
			BSTACK_CAUSE_SLOT_BUSY; /* or frames without any file: the loader looks */
	}
}

/* Is any of the frames VALID? Looked at in a bpf_loop (5.17): an unrolled loop over data at a variable
 * offset costs the verifier a million instructions. */
struct valid_search {
	u32 ids_off;
	u32 is_found;
};

static long valid_step(u32 i, struct valid_search *v)
{
	u32 off = v->ids_off + i * sizeof(struct bstack_id_frame);
	struct scratch *sc = scratch_here();

	if (!sc || off > BSTACK_SAMPLE_DATA_MAX - sizeof(struct bstack_id_frame))
		return 1;
	if (((struct bstack_id_frame *)(sc->data + off))->status != BPF_STACK_BUILD_ID_VALID)
		return 0;
	v->is_found = 1;
	return 1;
}

static __always_inline bool has_valid(u32 ids_off, u32 cnt)
{
	struct valid_search v = { .ids_off = ids_off };

	bpf_loop(cnt, valid_step, &v, 0);
	return v.is_found;
}

#endif
