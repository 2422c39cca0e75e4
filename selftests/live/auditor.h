/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* auditor.h - what auditor.bpf.c, test_lock.c and lock_watch.c say to each other, through .bss. */
#ifndef BSTACK_AUDITOR_H
#define BSTACK_AUDITOR_H

#ifndef __bpf__
#include <linux/types.h>
#endif

#define AUD_CPUS_MAX 4096 /* a power of two */

/* Events of one mm's mmap_lock. Each start ends as failed or, in the end, as released; an acquisition
 * without a start is a writer that became a reader (munmap). */
struct aud_counts {
	__u64 started;
	__u64 acquired;
	__u64 failed;
	__u64 released;
	__u64 write_acquired;
	__u64 write_unmarked; /* of these: the lock did not say that it is held for writing */
	__u64 timer_acquired; /* in the local timer's interrupt */
	__u64 timer_failed;
	__u64 deferred;        /* releases in irq_work */
	__u64 loader_acquired; /* by bstack's own threads, outside of interrupts */
	__u64 loader_released;
};

#define AUD_HOLD_BITS \
	32 /* slots of the histogram: slot i is holds of 2^i ns and more; a power of two */

/*
 * Locks taken in the local timer's interrupt, of any process: what samples does so, whoever made it. A CPU has one deferred
 * unlock, so it holds one lock at most: acquired = released + unreleased + what the CPUs hold now. Exact: no event is missed.
 */
struct aud_sampling {
	__u64 acquired;
	__u64 failed;
	__u64 released;
	__u64 in_irq_work; /* of the releases */
	__u64 unreleased;  /* the CPU took the next one first */
	__u64 unmatched;   /* releases in irq_work of what this CPU has not taken */
	__u64 elsewhere; /* deferred, but not taken in the timer: interrupts were off for another reason */
	__u64 target_acquired; /* of the audited mm */
	__u64 target_failed;
	__u64 held_max_ns;
	__u64 held[AUD_HOLD_BITS];
};

struct aud_hold {
	__u64 mm; /* 0: none */
	__u64 since_ns;
};

/*
 * What two copies of a program have seen in this interrupt. One that the interrupt came upon is not run again before it
 * ends, by the kernel's guard against recursion; the other then sees every event.
 */
struct aud_seen {
	__u32 cnt[2];
	__u32 max;
};

struct aud_state {
	__u64 mm;          /* audited; 0: none */
	__u64 captured_mm; /* of target_tgid, once it has made a system call */
	__u32 target_tgid;
	__u32 peeker_tid; /* whose next system call reads the lock of mm */
	__u32 is_peek_armed;
	__u32 is_peeked;
	__u64 lock_count; /* rw_semaphore.count; 0 where there is none: free */
};

#endif
