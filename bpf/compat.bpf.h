/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * compat.bpf.h - what differs between kernels, each with the version that made it so. Detection is
 * by BTF, never by version number.
 */
#ifndef BSTACK_COMPAT_BPF_H
#define BSTACK_COMPAT_BPF_H

/* What the verifier is to know of a number must be checked on the register that is used: keep the
 * compiler from checking another one that it knows to be equal ("max value is outside of the allowed
 * memory range", 6.18). */
#define KEEP(var) asm volatile("" : "+r"(var))

/* Keep others off this CPU, where the kernel can (Linux 6.10). Drop `weak` when older kernels are no longer supported. */
#ifndef BSTACK_NO_KFUNCS
extern void bpf_preempt_disable(void) __attribute__((weak)) __ksym;
extern void bpf_preempt_enable(void) __attribute__((weak)) __ksym;
static __always_inline void preempt_off(void)
{
	if (bpf_preempt_disable)
		bpf_preempt_disable();
}
static __always_inline void preempt_on(void)
{
	if (bpf_preempt_enable)
		bpf_preempt_enable();
}
#else
static __always_inline void preempt_off(void)
{
}
static __always_inline void preempt_on(void)
{
}
#endif

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

/* mm_lock_seq: seqcount_t from 6.13 (and in late stable 6.12), a plain int from 6.4, absent without per-VMA locks.
 * Drop the int when 6.12 is no longer supported. */
struct seqcount___6_13 {
	unsigned int sequence;
};
typedef struct seqcount___6_13 seqcount_t___6_13;
struct mm_struct___6_13 {
	seqcount_t___6_13 mm_lock_seq;
};
struct mm_struct___6_4 {
	int mm_lock_seq;
};

/* From 6.4: equal to mm_lock_seq while a writer changes this mapping. An int at first. */
struct vm_area_struct___6_4 {
	unsigned int vm_lock_seq;
};

/* A file of a stacked file system (overlayfs) is mapped by a file of the one below, from 6.7 in this shape; /proc shows the
 * upper one. */
struct backing_file___6_7 {
	struct path user_path;
};
/* The bit moved in 6.14; no type tells. */
#define FMODE_BACKING (LINUX_KERNEL_VERSION >= KERNEL_VERSION(6, 14, 0) ? 1U << 24 : 1U << 25)
extern int LINUX_KERNEL_VERSION __kconfig;

/* Around a file's vfsmount; the number, never used again, is from 6.8. */
struct mount___6_8 {
	struct vfsmount mnt;
	u64 mnt_id_unique;
};

/* When an inode changed: i_ctime, from 6.6 __i_ctime, from 6.11 two members. Drop the old with 6.10. */
struct timespec64___6_10 {
	long long tv_sec;
	long tv_nsec;
};
struct inode___6_5 {
	struct timespec64___6_10 i_ctime;
};
struct inode___6_6 {
	struct timespec64___6_10 __i_ctime;
};
struct inode___6_11 {
	long long i_ctime_sec;
	unsigned int i_ctime_nsec;
};
#define CTIME_NSEC_MASK 0x3fffffffU /* above: flags of the kernel's, from 6.13 */

#pragma clang attribute pop

/* rw_semaphore.count: who has the lock (kernel/locking/rwsem.c) */
#define RWSEM_WRITER_LOCKED (1UL << 0)
#define RWSEM_FLAG_WAITERS  (1UL << 1)
#define RWSEM_FLAG_HANDOFF  (1UL << 2)
#define RWSEM_OWNER_FLAGS   7UL /* low bits of owner are flags, the rest the writer's task */

struct lock_state {
	u64 count;
	u64 owner;
	u64 seq; /* changes each time a writer finishes; 0 where the kernel has none */
};

/* mm is one that the verifier knows (BTF), so that its members are read without a call. */
static __always_inline void lock_state_read(struct mm_struct *mm, struct lock_state *ret)
{
	/* On PREEMPT_RT a rw_semaphore has neither count nor owner. */
	if (bpf_core_field_exists(mm->mmap_lock.count)) {
		ret->count = mm->mmap_lock.count.counter;
		ret->owner = mm->mmap_lock.owner.counter;
	} else {
		ret->count = 0;
		ret->owner = 0;
	}
	ret->seq = 0;
	if (bpf_core_field_exists(((struct mm_struct___6_13 *)mm)->mm_lock_seq.sequence))
		ret->seq = ((struct mm_struct___6_13 *)mm)->mm_lock_seq.sequence;
	else if (bpf_core_field_exists(((struct mm_struct___6_4 *)mm)->mm_lock_seq))
		ret->seq = (u32)((struct mm_struct___6_4 *)mm)->mm_lock_seq;
}

/* Can a writer be seen, and is there none? Since 6.13 seq is odd while there is one; before it says nothing of it, and
 * the lock itself must. */
static __always_inline bool is_steady(struct mm_struct *mm, const struct lock_state *s)
{
	if (bpf_core_field_exists(((struct mm_struct___6_13 *)mm)->mm_lock_seq.sequence))
		return !(s->seq & 1);
	return bpf_core_field_exists(((struct mm_struct___6_4 *)mm)->mm_lock_seq) &&
	       bpf_core_field_exists(mm->mmap_lock.count) && !(s->count & RWSEM_WRITER_LOCKED);
}

#endif
