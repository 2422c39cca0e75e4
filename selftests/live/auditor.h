/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* auditor.h - what auditor.bpf.c and test_lock.c say to each other, through .bss. */
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
	__u64 deferred; /* releases in irq_work */
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
