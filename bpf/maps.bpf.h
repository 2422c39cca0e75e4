/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* maps.bpf.h - every map of the sampling programs. The sampling path never inserts. */
#ifndef BSTACK_MAPS_BPF_H
#define BSTACK_MAPS_BPF_H

const volatile struct bstack_settings settings;

/* tgid or tid -> enum bstack_target_state. Filled by user space; fork, exec and exit keep it. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, u32);
	__type(value, u32);
} targets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_CGROUP_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u32);
} cgroup SEC(".maps");

/* CPU -> wanted (1) or not */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, BSTACK_CPUS_MAX);
	__type(key, u32);
	__type(value, u32);
} cpus SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct bstack_counters);
} counters SEC(".maps");

/*
 * Two words, from a seed that nobody outside can know. Each step can be undone, so stacks that differ in one word, or in two
 * that are mixed at once, never have the same key.
 */
static __always_inline void key_mix(struct bstack_key *k, u64 v, u64 w)
{
	u64 a = (k->a ^ v) * 0x9e3779b97f4a7c15ULL;
	u64 b = (k->b ^ w) * 0xc2b2ae3d27d4eb4fULL;

	a ^= a >> 32;
	b ^= b >> 29;
	k->a = a + b;
	k->b = b ^ k->a;
}

/* A sample under construction; one a CPU is enough: the kernel does not nest these programs. An array by CPU
 * number: a per-CPU map holds no more than 32 KiB. */
struct walk {
	struct bstack_process process;
	struct unwind_state state;
	u32 ips_off;  /* in data */
	u32 rest_off; /* likewise: where the stack's memory goes */
	u32 cnt;
	u32 end;    /* enum bstack_end; 0: goes on */
	u32 mixed;  /* frames that are in key, with the modules that led to them */
	u32 module; /* of the last step */
	struct bstack_key key;
	u32 is_sure; /* the kernel was asked: at its last address nothing can run */
	struct bstack_mapping
		asked; /* what it said of one that is not in the table; end 0: nothing */
};
#define BSTACK_STEPS_MAX_SZ (BSTACK_FRAMES * sizeof(struct bstack_step))
#define BSTACK_STACK_MAX_SZ (BSTACK_STACK_PAGES * BSTACK_STACK_PAGE)
#define BSTACK_DATA_SZ      (BSTACK_SAMPLE_DATA_MAX + sizeof(struct unwind_state) + BSTACK_STACK_MAX_SZ)
struct scratch {
	struct bstack_sample sample;
	u8 data[BSTACK_DATA_SZ];
	u8 steps[BSTACK_STEPS_MAX_SZ]; /* copied behind the addresses when their number is known */
	struct bstack_vma vmas[BSTACK_VMAS_MAX]; /* likewise, behind everything */
	struct bstack_vma vma;
	u64 node[32]; /* of a maple tree */
	u64 since;    /* the sequence before the stack was read */
	struct walk walk;
	u32 is_unknown; /* some address is in a file that is not known: the reader is woken to learn it */
	u32 is_untold; /* the mappings that were found do not tell all that a build-id stack may */
	u32 is_missed; /* of some address no mapping was found */
	u32 is_moved;  /* some mapping of a known stack is not where it was */
	u32 is_busy;   /* with uprobes, whose programs may be preempted: see on_uprobe() */
};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1); /* set before load: one for each CPU's number */
	__type(key, u32);
	__type(value, struct scratch);
} scratches SEC(".maps");

static __always_inline struct scratch *scratch_here(void)
{
	u32 cpu = bpf_get_smp_processor_id();

	return bpf_map_lookup_elem(&scratches, &cpu);
}

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 8 << 20); /* set again before load */
} samples SEC(".maps");

/* Tables for unwinding by rows, written by user space through mmap; sizes are set before load. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct bstack_row);
} rows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct bstack_page);
} pages SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct bstack_rule);
} rules SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct bstack_module);
} modules SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct bstack_mapping);
} mappings SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, u32);
	__type(value, struct bstack_process);
} processes SEC(".maps");

/* Known stacks: key -> slot. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1); /* set before load */
	__type(key, struct bstack_key);
	__type(value, u32);
} known SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct bstack_known);
} known_slots SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct bstack_known_vma);
} known_vmas SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct bstack_look);
} look SEC(".maps");

/* Files whose build-id user space knows. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, struct bstack_file);
	__type(value, u32);
} files SEC(".maps");

/* For mappings that are not in a process's table yet. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, struct bstack_inode);
	__type(value, struct bstack_inode_module);
} inodes SEC(".maps");

#endif
