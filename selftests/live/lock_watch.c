// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * lock_watch - tells what samples do to mmap_lock, to locks.py. Reads commands, a line each, and answers each with one line of JSON:
 *   check       waits until the locks that CPUs hold now are given back, then tells the counts since the start
 *   target PID  counts of that process from 0, once it has run
 * When this kernel has not what it needs, the one answer is {"reason": ...}. Ends with its standard input.
 */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "auditor_kit.h"

#define WAIT_NS 10000000000ULL /* for an unlock that takes microseconds */
#define MS      1000000ULL

static uint64_t unmatched_before;

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void pause_ms(void)
{
	struct timespec ts = { 0, MS };

	nanosleep(&ts, NULL); /* polls a condition */
}

/* Whoever comes to a CPU finds its interrupts done: what was taken there before is given back. */
static void visit_cpus(void)
{
	cpu_set_t all, one;

	if (sched_getaffinity(0, sizeof(all), &all))
		return;
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &all))
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		sched_setaffinity(0, sizeof(one), &one);
	}
	sched_setaffinity(0, sizeof(all), &all);
}

/* Releases first: of what is held now the release is seen alone, which makes it unmatched. */
static bool attach_sampling(void)
{
	aud->links.sampling_release_0 = bpf_program__attach(aud->progs.sampling_release_0);
	aud->links.sampling_release_1 = bpf_program__attach(aud->progs.sampling_release_1);
	aud->links.sampling_acquire_0 = bpf_program__attach(aud->progs.sampling_acquire_0);
	aud->links.sampling_acquire_1 = bpf_program__attach(aud->progs.sampling_acquire_1);
	return aud->links.sampling_acquire_0 && aud->links.sampling_acquire_1 &&
	       aud->links.sampling_release_0 && aud->links.sampling_release_1;
}

static const char *reason_for_none(void)
{
	if (geteuid())
		return "needs root";
	if (tracepoint_args("mmap_lock_start_locking") < 2)
		return "this kernel has no mmap_lock tracepoints";
	if (!auditor_load()) {
		fprintf(stderr, "lock_watch: cannot load its programs: %s\n", strerror(errno));
		exit(1);
	}
	auditor_attach_irq();
	if (!has_irq_events)
		return is_rt() ? "PREEMPT_RT takes no lock with interrupts off"
			       : "this kernel has no events of its timer's interrupts and of "
				 "irq_work";
	if (!auditor_attach_lock() || !attach_sampling())
		return "cannot attach to the mmap_lock tracepoints";
	visit_cpus();
	unmatched_before = aud->bss->sampling.unmatched;
	return NULL;
}

/* Locks that are held and were at since_ns: none, but for a moment. */
static unsigned int held_cnt(uint64_t since_ns)
{
	unsigned int cnt = 0;

	for (size_t i = 0; i < AUD_CPUS_MAX; i++) {
		if (aud->bss->held_by_timer[i].mm && aud->bss->held_by_timer[i].since_ns < since_ns)
			cnt++;
	}
	return cnt;
}

static void check(void)
{
	uint64_t start_ns = now_ns();
	const struct aud_sampling *s = (const void *)&aud->bss->sampling;
	const struct aud_counts *c = (const void *)&aud->bss->counts;

	while (held_cnt(start_ns) && now_ns() < start_ns + WAIT_NS)
		pause_ms();
	printf("{\"acquired\":%llu,\"failed\":%llu,\"released\":%llu,\"in_irq_work\":%llu,"
	       "\"unreleased\":%llu,"
	       "\"unmatched\":%llu,\"elsewhere\":%llu,\"held_max_ns\":%llu,\"held_now\":%u,",
	       s->acquired, s->failed, s->released, s->in_irq_work, s->unreleased,
	       s->unmatched - unmatched_before, s->elsewhere, s->held_max_ns, held_cnt(start_ns));
	printf("\"target\":{\"acquired\":%llu,\"failed\":%llu,\"loader_acquired\":%llu,\"loader_"
	       "released\":%llu},"
	       "\"held\":[",
	       s->target_acquired, s->target_failed, c->loader_acquired, c->loader_released);
	for (size_t i = 0; i < AUD_HOLD_BITS; i++)
		printf("%s%llu", i ? "," : "", s->held[i]);
	puts("]}");
}

static void target(pid_t pid)
{
	uint64_t deadline_ns = now_ns() + WAIT_NS;
	struct aud_state *state = &aud->bss->state;

	__atomic_store_n(&state->mm, 0, __ATOMIC_RELEASE);
	state->target_tgid = 0;
	visit_cpus();
	memset((void *)&aud->bss->counts, 0, sizeof(aud->bss->counts));
	aud->bss->sampling.target_acquired = aud->bss->sampling.target_failed = 0;
	state->captured_mm = 0;
	__atomic_store_n(&state->target_tgid, (uint32_t)pid, __ATOMIC_RELEASE);
	while (!__atomic_load_n(&state->captured_mm, __ATOMIC_ACQUIRE) && now_ns() < deadline_ns)
		pause_ms();
	__atomic_store_n(&state->mm, state->captured_mm, __ATOMIC_RELEASE);
	printf("{\"is_found\":%s}\n", state->mm ? "true" : "false");
}

int main(void)
{
	const char *reason = reason_for_none();
	char line[64];

	if (reason) {
		printf("{\"reason\":\"%s\"}\n", reason);
		return 0;
	}
	puts("{}");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		if (!strncmp(line, "target ", 7))
			target((pid_t)strtol(line + 7, NULL, 10));
		else
			check();
		fflush(stdout);
	}
	auditor_bpf__destroy(aud);
	return 0;
}
