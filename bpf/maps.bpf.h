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

/* A sample under construction; one a CPU is enough: the kernel does not nest these programs. */
struct walk {
	struct bstack_process process;
	struct unwind_state state;
	u32 ips_off; /* in data */
	u32 cnt;
	u32 end; /* enum bstack_end; 0: goes on */
};
#define BSTACK_STEPS_MAX_SZ (BSTACK_FRAMES * sizeof(struct bstack_step))
struct scratch {
	struct bstack_sample sample;
	u8 data[BSTACK_SAMPLE_DATA_MAX];
	u8 steps[BSTACK_STEPS_MAX_SZ]; /* copied behind the addresses when their number is known */
	struct walk walk;
};
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct scratch);
} scratches SEC(".maps");

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

#endif
