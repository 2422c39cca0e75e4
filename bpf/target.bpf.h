/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* target.bpf.h - whose samples are wanted, and how that follows fork, exec and exit. */
#ifndef BSTACK_TARGET_BPF_H
#define BSTACK_TARGET_BPF_H

#define PIDTYPE_TGID 1

#define PIDNS_DEPTH  8 /* of 32 that the kernel allows: namespaces nested deeper are not looked at */

/* Number of p in our pid namespace; 0 when it is not visible there. */
static __always_inline u32 pid_here(struct pid *p)
{
	u32 level = BPF_CORE_READ(p, level);

	for (u32 i = 1; i < PIDNS_DEPTH && i <= level; i++) {
		struct upid *up = (void *)p + bpf_core_field_offset(p->numbers) +
				  i * bpf_core_type_size(struct upid);

		if (BPF_CORE_READ(up, ns, ns.inum) == settings.pidns_inum)
			return BPF_CORE_READ(up, nr);
	}
	return 0;
}

/* task is one that the verifier knows (BTF), so that its members are read without a call. */
static __always_inline void task_ids(struct task_struct *task, u32 *pid, u32 *tid)
{
	if (!settings.pidns_inum) {
		*pid = task->tgid;
		*tid = task->pid;
		return;
	}
	*pid = pid_here(BPF_CORE_READ(task, signal, pids[PIDTYPE_TGID]));
	*tid = pid_here(BPF_CORE_READ(task, thread_pid));
}

static __always_inline bool is_listed(u32 id)
{
	u32 *state = bpf_map_lookup_elem(&targets, &id);

	return state && *state == BSTACK_TARGET_ON;
}

/* The idle task (0), ourselves, other CPUs and everyone who is not a target stay out. */
static __always_inline bool is_wanted(u32 pid, u32 tid, u32 cpu)
{
	if (!pid || pid == settings.self_tgid)
		return false;
	if (settings.has_cpu_filter) {
		u32 *on = bpf_map_lookup_elem(&cpus, &cpu);

		if (!on || !*on)
			return false;
	}
	switch (settings.target) {
	case BSTACK_TARGET_ALL:
		return true;
	case BSTACK_TARGET_PIDS:
		return is_listed(pid);
	case BSTACK_TARGET_TIDS:
		return is_listed(tid);
	case BSTACK_TARGET_CGROUP:
		return bpf_current_task_under_cgroup(&cgroup, 0) == 1;
	}
	return false;
}

#endif
