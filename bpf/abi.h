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
	__u32 has_rows;       /* unwind by rows where there are tables */
	__u32 wakeup_sz;      /* wake the reader when so many bytes wait */
	__u64 key_seed[2];    /* of struct bstack_key: not to be foreseen */
	__u32 has_known;      /* look stacks up among the known ones */
	__u32 stack_room; /* stack memory is sent along while it and all that waits are fewer bytes */
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

/* Counters, one set a CPU, only ever added to: fired = submitted + counted + lost_ring.
 * All of 64 bits. */
struct bstack_counters {
	__u64 fired;       /* events that passed the filter */
	__u64 submitted;   /* records in the ring buffer */
	__u64 lost_ring;   /* the ring buffer was full */
	__u64 target_lost; /* children not followed: the target map was full */
	__u64 counted;     /* of a known stack: counted there, no record */
	__u64 vma_asked;   /* mappings asked of the kernel (bpf_find_vma): mmap_lock was tried */
	__u64 vma_failed;  /* in vain: it was held, or this CPU's unlock slot was taken */
	__u64 counted_vma; /* of counted: the sequence had moved on, its mappings were the same */
	__u64 nested; /* uprobe hits, not in fired: another was being taken on this CPU (preempted) */
};

/* One frame of the build-id walk, as the kernel gives it (struct bpf_stack_build_id). */
struct bstack_id_frame {
	__s32 status; /* 1 VALID: build_id and offset; 2 IP */
	__u8 build_id[20];
	__u64 offset_or_ip;
};

/*
 * Unwinding by rows. user/unwind/ makes a table of each file's .eh_frame; BPF finds a frame's row through
 * an index of its code's pages, and binary search in what lies between. All arrays are mapped into the loader,
 * which writes what no index points to yet, and then sets the index.
 */

/* From pc on (link-time address less the file's base) this rule holds, until the next row's pc. */
struct bstack_row {
	__u32 pc;
	__u16 rule; /* index in the file's rules, or BSTACK_RULE_NONE */
	__u16 unused;
};
#define BSTACK_RULE_NONE 0xffff

/*
 * Registers that unwinding follows, beside ip and sp. The first BSTACK_REGS survive calls: a rule may say where
 * they are saved. The others are known where code was interrupted, and lost in its callers.
 */
enum bstack_reg {
	BSTACK_BP,
	BSTACK_BX,
	BSTACK_R12,
	BSTACK_R13,
	BSTACK_R14,
	BSTACK_R15,
	BSTACK_REGS,
	BSTACK_AX = BSTACK_REGS,
	BSTACK_CX,
	BSTACK_DX,
	BSTACK_SI,
	BSTACK_DI,
	BSTACK_R8,
	BSTACK_R9,
	BSTACK_R10,
	BSTACK_R11,
	BSTACK_REGS_ALL,
};

/* How the canonical frame address (CFA), the caller's sp, is found. */
enum bstack_cfa {
	BSTACK_CFA_SP,     /* sp + cfa_off */
	BSTACK_CFA_REG,    /* reg + cfa_off */
	BSTACK_CFA_SP_AT,  /* what is stored at sp + cfa_off, + cfa_add */
	BSTACK_CFA_REG_AT, /* what is stored at reg + cfa_off, + cfa_add */
	BSTACK_CFA_PLT,    /* a PLT stub: sp + 8, and 8 more behind its push */
	BSTACK_CFA_SIGNAL, /* a signal frame: everything is in the ucontext at sp */
	BSTACK_CFA_ROOT,   /* the return address is undefined: nobody called this */
	BSTACK_CFA_UNSUPPORTED,
};
#define BSTACK_RA_IN_REG \
	(-32768) /* it is in the register cfa_add (vfork, with CFA_SP and CFA_REG) */
struct bstack_rule {
	__u8 cfa;      /* enum bstack_cfa */
	__u8 reg;      /* enum bstack_reg, for CFA_REG and CFA_REG_AT */
	__u8 saved;    /* bit of each enum bstack_reg that is stored at CFA + off[reg] */
	__u8 saved_bp; /* likewise, stored at bp + off[reg] (functions that realign the stack) */
	__s32 cfa_off;
	__s16 off[BSTACK_REGS];
	__s16 ra_off; /* the return address is stored at CFA + ra_off, or BSTACK_RA_IN_REG */
	__s16 cfa_add;
};

/*
 * A file's table: rows[first_row..+row_cnt), rules[first_rule..]. row_cnt 0: there is none, and instead says
 * what to do: 0: it is being made, or BSTACK_MODULE_FP, BSTACK_MODULE_NONE. With rows it says what to do where none
 * covers the code: 0: nothing, or BSTACK_MODULE_FP. The code is cut
 * in pages of 2^page_shift bytes: pages[first_row / BSTACK_ROWS_A_PAGE + n] tells the rows, counted from
 * first_row, from the one that holds at the first byte of page n (row 0 when none does) to that at its last.
 */
struct bstack_page {
	__u32 first, last;
};
struct bstack_module {
	__u32 first_row, row_cnt;
	__u32 first_rule, rule_cnt;
	__u32 page_cnt, page_shift;
	__u32 instead;
	__u32 unused;
};
#define BSTACK_ROWS_A_PAGE 8 /* so many at least, on average: first_row is a multiple of it */

/* An executable mapping of a process: pc = ip - start + pc_off. */
struct bstack_mapping {
	__u64 start, end;
	__u64 pc_off;
	__u32 module; /* index, or BSTACK_MODULE_* */
	__u32 unused;
};
#define BSTACK_MODULE_PENDING 0xffffffffU /* not known yet */
#define BSTACK_MODULE_FP \
	0xfffffffeU /* anonymous memory and files without .eh_frame: by frame pointer */
#define BSTACK_MODULE_NONE  0xfffffffdU /* no table can be had: the walk ends here */
#define BSTACK_MAPPINGS_MAX 4096        /* of one process; more: it is walked by frame pointer */

/* A file with one executable segment, by the kernel's numbers for it: pc = offset in the file + pc_off. */
struct bstack_inode {
	__u64 ino;
	__u32 dev; /* major << 20 | minor */
	__u32 unused;
};
struct bstack_inode_module {
	__u64 pc_off;
	__u32 module;
	__u32 unused;
};

/* The mappings of a process, by tgid: mappings[first..+cnt), sorted by start. */
struct bstack_process {
	__u64 start_ns, exec_id; /* identity; 0: any */
	__u32 first, cnt;
};

/*
 * A frame: registers as its function sees them. Few of those that callees saved are ever asked for, so
 * it is remembered where they are: with its bit in stored, regs[i] is the address that holds the value.
 */
struct unwind_state {
	__u64 ip, sp;
	__u64 regs[BSTACK_REGS_ALL + 1]; /* one more: an index is made safe by a mask */
	__u32 stored;                    /* bit of each enum bstack_reg */
	__u32 is_caller;               /* ip is a return address: the call is the byte before it */
	__u32 mapping, mapping_before; /* found last: the first to look at */
};

/* How the walk of a stack ended. */
enum bstack_end {
	BSTACK_END_FP,          /* the kernel walked it by frame pointers, to wherever that led */
	BSTACK_END_ROOT,        /* at the thread's entry point */
	BSTACK_END_TRUNCATED,   /* at BSTACK_FRAMES */
	BSTACK_END_NO_TABLE,    /* in a mapping whose table is not there (yet) */
	BSTACK_END_NO_MAPPING,  /* at an address outside the process's executable mappings */
	BSTACK_END_NO_ROW,      /* in code that its table does not cover */
	BSTACK_END_UNSUPPORTED, /* at a rule that is not supported */
	BSTACK_END_UNREADABLE,  /* at a stack page that cannot be read */
	BSTACK_END_STUCK,       /* the caller's stack pointer is not above this one's */
	BSTACK_END_NEVER,       /* in a mapping whose table cannot be had */
	BSTACK_END_FP_LOST, /* in code without unwind information, whose frame pointer leads no further */
};

/* By what a frame's caller was found: checked by the loader against the mappings as of that moment. */
struct bstack_step {
	__u32 module; /* as in struct bstack_mapping */
	__u32 pc;
};

#define BSTACK_SAMPLE_TRUNCATED 1U /* the walk reached BSTACK_FRAMES */
#define BSTACK_SAMPLE_STEADY    2U /* mm.seq holds: no mapping changed while the stack was taken */
#define BSTACK_SAMPLE_KEY       4U /* it was looked up among the known stacks */
#define BSTACK_SAMPLE_VMAS      8U /* vmas tells of all of user_ips: where it has none, there is none */

/*
 * An address space at one moment. seq is its mm_lock_seq, which changes with each writer of mmap_lock: two
 * moments with the same mm have the same mappings.
 */
struct bstack_mm {
	__u64 start_ns; /* boot time at which the process's leader started, */
	__u64 exec_id;  /* and how often it has exec'd: with pid, the process identity */
	__u64 seq;
};

/* What the iterator over tasks tells of one. */
struct bstack_mm_now {
	struct bstack_mm mm;
	__u32 is_steady; /* no writer was active: mm.seq holds */
	__u32 unused;
};

/*
 * What a walk that lacked a table takes along, so that the loader can make the rest of it: the registers of the
 * last frame, and the stack's memory from its page on, as far as that could be read.
 */
#define BSTACK_STACK_PAGE  4096
#define BSTACK_STACK_PAGES 16

/*
 * An executable mapping, as the kernel has it: two that are equal map the same bytes of the same file to the same place.
 * A file is the same while its inode is, and unchanged while that is (ctime). Numbers of devices are given again, to file
 * systems that may say anything of their inodes: so an inode counts in its mount only, whose number is never given again.
 */
enum bstack_vma_kind {
	BSTACK_VMA_OTHER, /* of no file: what runs there may change */
	BSTACK_VMA_FILE,
	BSTACK_VMA_VDSO,
};
struct bstack_file {
	__u64 ino;
	__u64 ctime_ns;
	__u64 mount;
	__u32 dev; /* major << 20 | minor */
	__u32 generation;
};
struct bstack_vma {
	__u64 start, end;
	__u64 off; /* in the file, of start */
	struct bstack_file file;
	__u32 kind;       /* enum bstack_vma_kind */
	__u32 is_in_flux; /* a writer was at it: it proves nothing, but what it contradicts is not so */
};
#define BSTACK_VMAS_MAX 8 /* of one stack */

static inline int bstack_file_same(const struct bstack_file *a, const struct bstack_file *b)
{
	return a->ino == b->ino && a->ctime_ns == b->ctime_ns && a->mount == b->mount &&
	       a->dev == b->dev && a->generation == b->generation;
}

static inline int bstack_vma_same(const struct bstack_vma *a, const struct bstack_vma *b)
{
	return a->start == b->start && a->end == b->end && a->off == b->off && a->kind == b->kind &&
	       bstack_file_same(&a->file, &b->file);
}

/* What the iterator over tasks is asked: the mappings at these addresses. found[i].end 0: no executable one, or one in flux. */
struct bstack_look {
	__u32 cnt, unused;
	__u64 addrs[BSTACK_VMAS_MAX];
	struct bstack_vma found[BSTACK_VMAS_MAX];
	__u64 node[32];
};

/*
 * Known stacks. The key is a hash of everything that makes a sample what it is in the profile: process identity, thread and
 * its name, addresses, how the walk ended. Its slot says in which state of the address space the frames of this stack were
 * known: in the same state they are the same, and the sample is counted there. The state is a sequence, or, where that has
 * moved on, the mappings that the stack's addresses are in. User space inserts and evicts; BPF looks up and adds.
 */
struct bstack_key {
	__u64 a, b;
};
struct bstack_known {
	__u64 seq; /* struct bstack_mm; BSTACK_KNOWN_NONE: in no state, BSTACK_KNOWN_VMAS: by mappings */
	__u64 count, weight;
	__u32 vma_cnt; /* 0: the sequence alone says */
	__u32 vmas[BSTACK_VMAS_MAX];
	__u32 unused;
};
#define BSTACK_KNOWN_NONE (~0ULL) /* a sequence has 32 bits */
#define BSTACK_KNOWN_VMAS (~1ULL)

/* A mapping of a process, shared by the slots of its stacks. */
struct bstack_known_vma {
	struct bstack_vma vma;
	__u64 seq; /* of the process, in which BPF found it last; BSTACK_KNOWN_NONE: in none */
};

/*
 * A sample in the ring buffer: this header, then
 *	__u64 kernel_ips[kernel_cnt], user_ips[user_cnt]	leaf first
 *	struct bstack_id_frame ids[id_cnt]			same order as user_ips
 *	or struct bstack_step steps[step_cnt]			likewise
 *	with stack_sz, struct unwind_state, __u8 stack[stack_sz]	from state.sp's page on
 *	struct bstack_vma vmas[vma_cnt]		executable mappings that user_ips are in, as far as they were found
 * id_cnt is user_cnt, or 0 when the whole stack fell back. An all-IP stack that nothing explains is
 * sent with CAUSE_SLOT_BUSY and no ids: only the loader can see whether its frames could have had any.
 */
struct bstack_sample {
	__u64 time_ns; /* CLOCK_MONOTONIC */
	struct bstack_mm mm;
	struct bstack_key key; /* with BSTACK_SAMPLE_KEY */
	__u64 weight;          /* the event's period */
	__u32 pid, tid, cpu;
	__u16 user_cnt, kernel_cnt;
	__u16 id_cnt;
	__u8 cause;     /* enum bstack_cause */
	__u8 flags;     /* BSTACK_SAMPLE_* */
	__u16 step_cnt; /* user_cnt when unwound by rows, else 0 */
	__u8 end;       /* enum bstack_end */
	__u8 vma_cnt;
	__u32 stack_sz;  /* a multiple of BSTACK_STACK_PAGE */
	__u32 owner_tid; /* who held mmap_lock for writing, with BSTACK_CAUSE_WRITER; else 0 */
	char comm[BSTACK_COMM_SZ];
	char owner_comm[BSTACK_COMM_SZ];
};

#define BSTACK_SAMPLE_DATA_MAX                                                                \
	(2 * BSTACK_FRAMES * sizeof(__u64) + BSTACK_FRAMES * sizeof(struct bstack_id_frame) + \
	 BSTACK_VMAS_MAX * sizeof(struct bstack_vma))

#endif
