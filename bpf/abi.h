/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * abi.h - what the BPF programs and the loader agree on: limits, settings, counters and the sample
 * record. The only header of bpf/ that user/ may include. Layouts are the same for both compilers:
 * fixed-width members, naturally aligned, no implicit padding.
 */
#ifndef BSTACK_ABI_H
#define BSTACK_ABI_H

#ifndef __bpf__
#include <linux/types.h>
#endif

#define BSTACK_COMM_SZ 16
#define BSTACK_FRAMES \
	127 /* the kernel's PERF_MAX_STACK_DEPTH: user, and kernel, frames of a stack */
#define BSTACK_CPUS_MAX 4096

/* Who is sampled: settings.target */
enum bstack_target {
	BSTACK_TARGET_ALL,
	BSTACK_TARGET_PIDS,   /* map targets, by tgid */
	BSTACK_TARGET_TIDS,   /* map targets, by tid */
	BSTACK_TARGET_CGROUP, /* map cgroup, slot 0, and below it */
};

/* Value of map targets */
enum bstack_target_state {
	BSTACK_TARGET_ON = 1,
	BSTACK_TARGET_AT_EXEC = 2, /* our own child, sampled from its exec on */
};

/* Settings, constant from load on. */
struct bstack_settings {
	__u32 target;         /* enum bstack_target */
	__u32 self_tgid;      /* never sampled; 0: sample everyone */
	__u32 pidns_inum;     /* inode number of our pid namespace; 0: the initial one */
	__u32 is_inherited;   /* children of targets become targets */
	__u32 has_kernel;     /* collect kernel stacks too */
	__u32 has_cpu_filter; /* only CPUs in map cpus */
	__u32 is_rt;          /* PREEMPT_RT */
	__u32 wakeup_sz;      /* wake the reader when so many bytes wait */
};

/* Why a whole stack fell back; the numbers of user/base/evidence.h CAUSE_*. */
enum bstack_cause {
	BSTACK_CAUSE_NONE,
	BSTACK_CAUSE_SLOT_BUSY,
	BSTACK_CAUSE_WRITER,
	BSTACK_CAUSE_WAITER,
	BSTACK_CAUSE_RT,
	BSTACK_CAUSE_NO_MM,
	BSTACK_CAUSE_UNKNOWN,
};

/* Counters, one set a CPU, only ever added to: fired = submitted + lost_ring. */
struct bstack_counters {
	__u64 fired;       /* events that passed the filter */
	__u64 submitted;   /* records in the ring buffer */
	__u64 lost_ring;   /* the ring buffer was full */
	__u64 target_lost; /* children not followed: the target map was full */
};

/* One frame of the build-id walk, as the kernel gives it (struct bpf_stack_build_id). */
struct bstack_id_frame {
	__s32 status; /* 1 VALID: build_id and offset; 2 IP */
	__u8 build_id[20];
	__u64 offset_or_ip;
};

#define BSTACK_SAMPLE_TRUNCATED 1U /* the walk reached BSTACK_FRAMES */

/*
 * A sample in the ring buffer: this header, then
 *	__u64 kernel_ips[kernel_cnt], user_ips[user_cnt]	leaf first
 *	struct bstack_id_frame ids[id_cnt]			same order as user_ips
 * id_cnt is user_cnt, or 0 when the whole stack fell back. An all-IP stack that nothing explains is
 * sent with CAUSE_SLOT_BUSY and no ids: only the loader can see whether its frames could have had any.
 */
struct bstack_sample {
	__u64 time_ns;  /* CLOCK_MONOTONIC */
	__u64 start_ns; /* boot time at which the process's leader started, */
	__u64 exec_id;  /* and how often it has exec'd: with pid, the process identity */
	__u64 weight;   /* the event's period */
	__u32 pid, tid, cpu;
	__u16 user_cnt, kernel_cnt;
	__u16 id_cnt;
	__u8 cause;      /* enum bstack_cause */
	__u8 flags;      /* BSTACK_SAMPLE_* */
	__u32 owner_tid; /* who held mmap_lock for writing, with BSTACK_CAUSE_WRITER; else 0 */
	char comm[BSTACK_COMM_SZ];
	char owner_comm[BSTACK_COMM_SZ];
};

#define BSTACK_SAMPLE_DATA_MAX \
	(2 * BSTACK_FRAMES * sizeof(__u64) + BSTACK_FRAMES * sizeof(struct bstack_id_frame))

#endif
