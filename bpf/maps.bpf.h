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
struct scratch {
	struct bstack_sample sample;
	u8 data[BSTACK_SAMPLE_DATA_MAX];
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

#endif
