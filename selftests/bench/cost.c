/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * cost - nanoseconds a run of one of cost.bpf.c's programs, in hard interrupts of a process, or at its calls of getpid().
 * cost PROGRAM PID SECONDS HZ; prints the mean. HZ 0: at calls. Without arguments: says "ready", and the kernel counts the
 * time of BPF programs (Linux 5.8) until standard input ends.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cost.skel.h"

static struct bpf_link *attach(struct bpf_program *prog, pid_t pid, uint64_t hz)
{
	struct perf_event_attr attr = {
		.size = sizeof(attr),
		.type = PERF_TYPE_SOFTWARE,
		.config = PERF_COUNT_SW_CPU_CLOCK,
		.freq = 1,
		.sample_freq = hz,
	};
	int fd;

	if (!hz)
		return bpf_program__attach_tracepoint(prog, "syscalls", "sys_enter_getpid");
	fd = (int)syscall(SYS_perf_event_open, &attr, pid, -1, -1, PERF_FLAG_FD_CLOEXEC);
	return fd >= 0 ? bpf_program__attach_perf_event(prog, fd) : NULL;
}

int main(int argc, char **argv)
{
	struct bpf_prog_info info = {};
	uint32_t len = sizeof(info);
	struct bpf_program *prog;
	struct bpf_link *link;
	struct cost_bpf *skel;
	uint64_t hz;
	int stats_fd = bpf_enable_stats(BPF_STATS_RUN_TIME);

	if (stats_fd < 0) {
		perror("cost: cannot have the time of BPF programs counted");
		return 1;
	}
	if (argc == 1) {
		puts("ready");
		fflush(stdout);
		return getchar() == EOF ? 0 : 1;
	}
	if (argc < 5)
		return 2;
	hz = (uint64_t)atoi(argv[4]);
	skel = cost_bpf__open();
	if (!skel)
		return 1;
	skel->rodata->wanted_tgid = (uint32_t)atoi(argv[2]);
	prog = bpf_object__find_program_by_name(skel->obj, argv[1]);
	if (prog && !hz)
		bpf_program__set_type(prog, BPF_PROG_TYPE_TRACEPOINT);
	if (cost_bpf__load(skel))
		return 1;
	link = prog ? attach(prog, atoi(argv[2]), hz) : NULL;
	if (!link) {
		perror("cost: cannot attach");
		return 1;
	}
	usleep((useconds_t)(atof(argv[3]) * 1e6));
	if (bpf_obj_get_info_by_fd(bpf_program__fd(prog), &info, &len) || !info.run_cnt) {
		fprintf(stderr, "cost: no runs were counted\n");
		return 1;
	}
	printf("%.0f\n", (double)info.run_time_ns / (double)info.run_cnt);
	bpf_link__destroy(link);
	cost_bpf__destroy(skel);
	return 0;
}
