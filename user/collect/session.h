/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * session.h - one recording: BPF programs loaded and attached, the ring of samples and the kernel's side
 * band of mapping events read. Of libbpf only this folder knows.
 *
 * One system-wide event a CPU, whatever the target: who is sampled is decided in BPF, so new threads
 * and children need nothing from user space. CPUs that come online join at the next poll.
 */
#ifndef BSTACK_COLLECT_SESSION_H
#define BSTACK_COLLECT_SESSION_H

#include "base/base.h"
#include "bpf/abi.h"
#include "collect/event.h"
#include "collect/sideband.h"
#include "unwind/unwinder.h"

struct session_opts {
	enum bstack_target target;
	const uint64_t *ids; /* pids or tids */
	size_t id_cnt;
	const char *cgroup;   /* path of a cgroup v2 directory, with BSTACK_TARGET_CGROUP */
	const uint64_t *cpus; /* only these; cpu_cnt 0: all */
	size_t cpu_cnt;
	bool is_inherited;   /* children of targets too */
	bool is_self_wanted; /* sample bstack, too */
	bool has_kernel;     /* kernel stacks, too */
	struct event event;
	size_t ring_sz;    /* bytes, a power of two; 0: SESSION_RING_DEFAULT */
	bool has_rows;     /* unwind by rows of .eh_frame */
	bool has_priority; /* the reader may raise its priority: the business of whoever runs it */
	size_t rows_sz;    /* memory for rows in bytes; 0: SESSION_ROWS_DEFAULT */
	size_t known_cnt;  /* known stacks; 0: none is counted in BPF */
	bool has_times;    /* each sample keeps its time: the business of whoever runs it */
};
#define SESSION_RING_DEFAULT ((size_t)8 << 20)
#define SESSION_ROWS_DEFAULT ((size_t)64 << 20)

struct session_ops {
	/* size bytes at s, checked: its counts fit. -errno stops the poll and is returned by it. */
	int (*on_sample)(void *ctx, const struct bstack_sample *s, size_t sz);
	int (*on_side)(void *ctx, const struct side_event *e);
};

/* Known stacks in BPF: slots are shared memory. put: 0 or -errno. */
struct known_maps {
	struct bstack_known *slots;
	size_t slot_cnt;
	struct bstack_known_vma *vmas;
	size_t vma_cnt;
	int (*put)(void *ctx, const struct bstack_key *key, uint32_t slot);
	void (*drop)(void *ctx, const struct bstack_key *key);
	void *ctx;
};

struct session;
/* Load and attach, everything still switched off. An error's story says which step failed on what. */
int session_open(const struct session_opts *o, const struct session_ops *ops, void *ctx,
		 struct session **ret, struct error *e);
void session_close(struct session *s);
/* The arrays of unwinding, with has_rows; theirs until session_close. */
const struct unwind_maps *session_unwind_maps(struct session *s);
/* The slots of known stacks, with known_cnt; theirs until session_close. */
const struct known_maps *session_known_maps(struct session *s);
/* session_poll() shall also return when fd is readable; what then stands in it is the caller's business. */
int session_wake_on(struct session *s, int fd);
/* Our own child, stopped before its exec: sampled from its exec on. */
int session_add_at_exec(struct session *s, pid_t pid, struct error *e);
int session_start(struct session *s, struct error *e);
/* A process's address space now. 0; -EAGAIN: a writer of its mmap_lock is active, or the kernel tells no sequence
 * (before Linux 6.4); -ESRCH; -errno. */
int session_mm(struct session *s, pid_t pid, struct bstack_mm *ret);
/* A process's executable mappings at these addresses now, BSTACK_VMAS_MAX at most; end 0: there is none, or it is being
 * changed, or the kernel does not tell (before Linux 6.8). 0, -errno. */
int session_vmas(struct session *s, pid_t pid, const uint64_t *addrs, size_t cnt,
		 struct bstack_vma *ret);
/* The build-id of this file is known: the kernel is not asked for it. */
void session_file_known(struct session *s, const struct bstack_file *f);
/* May this process be sampled? Of the processes of a list that is followed over fork, BPF's word; else always true. */
bool session_may_sample(struct session *s, uint32_t pid);
/* No more samples; the side band goes on. */
void session_stop(struct session *s);
/*
 * Wait at most timeout_ms for samples, hand them in, as many as one poll takes, then all side events.
 * *ret_until_ns: every sample and side event up to this moment has been handed in. -EINTR is not an error.
 */
int session_poll(struct session *s, int timeout_ms, uint64_t *ret_until_ns, struct error *e);
/* Did the last poll leave samples for the next one? */
bool session_has_more(const struct session *s);
/* Are any targets left? False when all processes (threads) of the target set have exited. */
bool session_has_targets(struct session *s);

struct session_counters {
	struct bstack_counters bpf; /* sums over all CPUs */
	uint64_t nested;    /* no sample was taken: the hit nested in another one on its CPU */
	uint64_t side_lost; /* side events dropped by the kernel */
};
int session_counters(struct session *s, struct session_counters *ret);
/* What BPF costs, where kernel.bpf_stats_enabled: runs and nanoseconds of the sampling program. */
int session_cost(struct session *s, uint64_t *ret_runs, uint64_t *ret_ns);

#endif
