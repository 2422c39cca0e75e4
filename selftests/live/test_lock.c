// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * test_lock - is the target's mmap_lock always given back? A process that maps, protects and unmaps
 * all the time is recorded; bstack is ended at random moments by SIGINT or SIGKILL. Each time the
 * target is then parked: every lock operation has to be paired, the lock itself free, and the
 * target able to map again. BSTACK names the program; SEED repeats a run.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "auditor_kit.h"
#include "test.h"

#define WAIT_NS      60000000000ULL /* for anything that takes no time, but for a busy host */
#define EXIT_NS      60000000000ULL /* bstack symbolizes before it exits */
#define MS           1000000ULL
#define STORM_CNT    2
#define THREAD_CNT   (STORM_CNT + 1) /* and one that only computes */
#define ROUND_CNT    12
#define DELAY_MAX_MS 300
#define SAMPLES_MIN  20 /* deferred unlocks that show that bstack is at work */
#define MAP_SZ       (16 * 4096UL)
#define CONTROL_OPS  300

/* --- the target --- */

struct target {
	uint32_t is_parking; /* futex */
	uint32_t parked_cnt;
	uint64_t progress[THREAD_CNT];
};

static struct target *target; /* shared with the process */
static pid_t target_pid;

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void pause_ns(uint64_t ns)
{
	struct timespec ts = { (time_t)(ns / 1000000000), (long)(ns % 1000000000) };

	nanosleep(&ts, NULL); /* polls a condition */
}

static void park_here(void)
{
	while (__atomic_load_n(&target->is_parking, __ATOMIC_ACQUIRE)) {
		__atomic_add_fetch(&target->parked_cnt, 1, __ATOMIC_ACQ_REL);
		syscall(SYS_futex, &target->is_parking, FUTEX_WAIT, 1, NULL, NULL, 0);
		__atomic_sub_fetch(&target->parked_cnt, 1, __ATOMIC_ACQ_REL);
	}
}

__attribute__((noipa)) static uint64_t burn(uint64_t cnt, uint64_t depth)
{
	volatile uint64_t sum = 0;

	if (depth)
		return burn(cnt, depth - 1) + 1;
	for (uint64_t i = 0; i < cnt; i++)
		sum += i;
	return sum;
}

static void storm_once(void)
{
	char *p = mmap(NULL, MAP_SZ, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return;
	for (size_t i = 0; i < MAP_SZ; i += 4096)
		p[i] = 1;
	mprotect(p, MAP_SZ / 2, PROT_READ);
	munmap(p, MAP_SZ);
	burn(5000, 8);
}

static void *target_thread(void *arg)
{
	size_t idx = (size_t)arg;

	for (;;) {
		park_here();
		if (idx < STORM_CNT)
			storm_once();
		else
			burn(50000, 20);
		if (__atomic_add_fetch(&target->progress[idx], 1, __ATOMIC_RELAXED) % 16 == 0)
			pause_ns(100000);
	}
	return NULL;
}

static void target_run(void)
{
	pthread_t thread;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (size_t i = 0; i < THREAD_CNT; i++) {
		if (pthread_create(&thread, NULL, target_thread, (void *)i))
			_exit(1);
	}
	for (;;)
		pause();
}

static bool target_start(void)
{
	target = mmap(NULL, sizeof(*target), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	if (!CHECK(target != MAP_FAILED))
		return false;
	target_pid = fork();
	if (!target_pid) {
		target_run();
		_exit(1);
	}
	return CHECK(target_pid > 0);
}

static void target_release(void)
{
	__atomic_store_n(&target->is_parking, 0, __ATOMIC_RELEASE);
	syscall(SYS_futex, &target->is_parking, FUTEX_WAKE, THREAD_CNT, NULL, NULL, 0);
}

static bool target_park(void)
{
	uint64_t deadline_ns = now_ns() + WAIT_NS;

	__atomic_store_n(&target->is_parking, 1, __ATOMIC_RELEASE);
	while (__atomic_load_n(&target->parked_cnt, __ATOMIC_ACQUIRE) != THREAD_CNT) {
		if (now_ns() > deadline_ns)
			return CHECK(!"the target does not park: it hangs in an mmap operation");
		pause_ns(MS);
	}
	return true;
}

/* Each thread gets cnt operations further: whoever waits for a leaked lock does not. */
static bool target_advances(uint64_t cnt)
{
	uint64_t deadline_ns = now_ns() + WAIT_NS, from[THREAD_CNT];

	for (size_t i = 0; i < THREAD_CNT; i++)
		from[i] = __atomic_load_n(&target->progress[i], __ATOMIC_RELAXED);
	for (size_t i = 0; i < THREAD_CNT; i++) {
		while (__atomic_load_n(&target->progress[i], __ATOMIC_RELAXED) < from[i] + cnt) {
			if (now_ns() > deadline_ns)
				return CHECK(!"the target hangs");
			pause_ns(MS);
		}
	}
	return true;
}

/* Waits for a child; false, and the child killed, after limit_ns. */
static bool child_wait(pid_t pid, uint64_t limit_ns, int *ret_status)
{
	uint64_t deadline_ns = now_ns() + limit_ns;

	for (;;) {
		pid_t got = waitpid(pid, ret_status, WNOHANG);

		if (got == pid)
			return true;
		if (got < 0 || now_ns() > deadline_ns)
			break;
		pause_ns(MS);
	}
	kill(pid, SIGKILL);
	return false;
}

/* A leaked read lock makes a process that cannot be killed. */
static void target_stop(void)
{
	int status;

	kill(target_pid, SIGKILL);
	CHECK(child_wait(target_pid, WAIT_NS, &status));
	munmap(target, sizeof(*target));
}

/* --- the auditor --- */

static bool auditor_attach(void)
{
	aud->links.start_locking = bpf_program__attach(aud->progs.start_locking);
	aud->links.at_syscall = bpf_program__attach(aud->progs.at_syscall);
	auditor_attach_irq();
	return CHECK(aud->links.start_locking) && CHECK(aud->links.at_syscall) &&
	       CHECK(auditor_attach_lock());
}

/* Begins to count while the target is parked, so that no operation is cut in two. */
static bool auditor_start(void)
{
	uint64_t deadline_ns = now_ns() + WAIT_NS;

	if (!CHECK(auditor_load()) || !auditor_attach())
		return false;
	aud->bss->state.target_tgid = (uint32_t)target_pid;
	aud->bss->state.peeker_tid = (uint32_t)gettid();
	while (!__atomic_load_n(&aud->bss->state.captured_mm, __ATOMIC_ACQUIRE)) {
		if (!CHECK(now_ns() < deadline_ns))
			return false;
		pause_ns(MS);
	}
	if (!target_park())
		return false;
	__atomic_store_n(&aud->bss->state.mm, aud->bss->state.captured_mm, __ATOMIC_RELEASE);
	return true;
}

static struct aud_counts counts_read(void)
{
	struct aud_counts c;

	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	memcpy(&c, &aud->bss->counts, sizeof(c));
	return c;
}

/* Events that the auditor could not see, as they came while the same program ran on that CPU. */
struct misses {
	uint64_t starts, ends;
};

static uint64_t prog_misses(const struct bpf_program *prog)
{
	struct bpf_prog_info info = { 0 };
	uint32_t sz = sizeof(info);

	CHECK_EQ(bpf_obj_get_info_by_fd(bpf_program__fd(prog), &info, &sz), 0);
	return info.recursion_misses;
}

static struct misses misses_read(void)
{
	return (struct misses){
		.starts = prog_misses(aud->progs.start_locking),
		.ends = prog_misses(prog_acquired) + prog_misses(aud->progs.released),
	};
}

/* The lock's own word; 0 is free. */
static uint64_t lock_peek(void)
{
	struct aud_state *s = &aud->bss->state;

	__atomic_store_n(&s->is_peeked, 0, __ATOMIC_RELEASE);
	__atomic_store_n(&s->is_peek_armed, 1, __ATOMIC_RELEASE);
	syscall(SYS_getppid);
	CHECK(__atomic_load_n(&s->is_peeked, __ATOMIC_ACQUIRE));
	return s->lock_count;
}

/* Every start has failed or been released, but for events that were missed. */
static bool is_paired(const struct aud_counts *c, struct misses m)
{
	uint64_t ends = c->failed + c->released;

	return c->started > ends ? c->started - ends <= m.ends : ends - c->started <= m.starts;
}

/* With the target parked. Others (khugepaged, readers of /proc) may hold the lock for a moment: that
 * ends; a leak does not. */
static bool nothing_held(void)
{
	uint64_t deadline_ns = now_ns() + WAIT_NS, word;
	struct aud_counts c;
	struct misses m;

	do {
		c = counts_read();
		m = misses_read();
		word = lock_peek();
		if (is_paired(&c, m) && !word)
			break;
		pause_ns(MS);
	} while (now_ns() < deadline_ns && !test_failures);
	printf("# started %llu acquired %llu failed %llu released %llu; in the timer %llu + %llu, "
	       "deferred %llu; missed %" PRIu64 " starts, %" PRIu64 " ends\n",
	       c.started, c.acquired, c.failed, c.released, c.timer_acquired, c.timer_failed,
	       c.deferred, m.starts, m.ends);
	if (!m.starts && !m.ends)
		CHECK_EQ(c.started, c.failed + c.released);
	CHECK(is_paired(&c, m));
	if (!is_rt()) /* its rw_semaphore has no writer bit that could be looked at */
		CHECK_EQ(c.write_unmarked, 0);
	return CHECK_EQ(word, 0);
}

static void all_stop(void)
{
	auditor_bpf__destroy(aud);
	aud = NULL;
	target_stop();
}

static bool all_start(void)
{
	if (!target_start())
		return false;
	if (auditor_start())
		return true;
	all_stop();
	return false;
}

#define NEEDS()                                                           \
	do {                                                              \
		if (geteuid())                                            \
			SKIP("needs root");                               \
		if (tracepoint_args("mmap_lock_start_locking") < 2)       \
			SKIP("this kernel has no mmap_lock tracepoints"); \
	} while (0)

/* --- tests --- */

/* What a leak looks like to the check. */
static void leak_is_seen(void)
{
	struct aud_counts c = { .started = 10, .acquired = 11, .failed = 3, .released = 7 };
	struct misses none = { 0, 0 }, start = { 1, 0 }, end = { 0, 1 };

	CHECK(is_paired(&c, none));
	c.released = 6; /* held */
	CHECK(!is_paired(&c, none));
	CHECK(!is_paired(&c, start));
	CHECK(is_paired(&c, end));
	c.released = 8; /* released twice */
	CHECK(!is_paired(&c, none));
	CHECK(!is_paired(&c, end));
	CHECK(is_paired(&c, start));
}

/* The auditor alone: it sees the target's operations, each write lock as held, and every pair. */
static void auditor_alone(void)
{
	struct aud_counts c;

	NEEDS();
	if (!all_start())
		return;
	target_release();
	if (target_advances(CONTROL_OPS) && target_park() && nothing_held()) {
		c = counts_read();
		/* mmap, mprotect and munmap, each write-locked, of each storm thread */
		CHECK(c.write_acquired + misses_read().ends >= 3 * STORM_CNT * CONTROL_OPS);
		CHECK(c.started >= c.write_acquired);
	}
	all_stop();
}

static pid_t bstack_start(const char *program, const char *out, const char *log)
{
	char pid_text[16];
	pid_t pid;

	snprintf(pid_text, sizeof(pid_text), "%d", target_pid);
	pid = fork();
	if (!pid) {
		int fd = open(log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

		dup2(fd, STDOUT_FILENO);
		dup2(fd, STDERR_FILENO);
		/* no stack is known: each asks the kernel, which takes the lock */
		execl(program, program, "record", "--unwind=fp", "--known-stacks=0", "-F", "997",
		      "-p", pid_text, "-o", out, NULL);
		dprintf(STDERR_FILENO, "cannot run %s: %s\n", program, strerror(errno));
		_exit(127);
	}
	return pid;
}

/* Until bstack samples the target: deferred unlocks, or where those are not seen the first flush. */
static bool bstack_is_sampling(pid_t pid, const char *out, uint64_t deferred_before)
{
	uint64_t deadline_ns = now_ns() + EXIT_NS;
	siginfo_t info = { 0 };
	struct stat st;

	while (now_ns() < deadline_ns) {
		if (has_irq_events && counts_read().deferred >= deferred_before + SAMPLES_MIN)
			return true;
		if (!has_irq_events && !stat(out, &st) && st.st_size > 0)
			return true;
		if (!waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) && info.si_pid)
			return CHECK(!"bstack ended before it was told to");
		pause_ns(MS);
	}
	return CHECK(!"bstack does not sample");
}

static void log_print(const char *log)
{
	FILE *f = fopen(log, "re");
	char line[512];

	while (f && fgets(line, sizeof(line), f))
		printf("# bstack: %s%s", line, strchr(line, '\n') ? "" : "\n");
	if (f)
		fclose(f);
}

/* One recording. Every third ends while it may still be starting. */
static bool round_run(int idx, const char *program, const char *out, const char *log)
{
	bool is_early = idx % 3 == 2, is_kill = is_early || random() % 2;
	uint64_t delay_ms = (uint64_t)random() % DELAY_MAX_MS, deferred = counts_read().deferred;
	int status = 0;
	pid_t pid;

	printf("# round %d: %s %" PRIu64 " ms after %s\n", idx, is_kill ? "SIGKILL" : "SIGINT",
	       delay_ms, is_early ? "start" : "the first samples");
	target_release();
	unlink(out);
	pid = bstack_start(program, out, log);
	if (!CHECK(pid > 0))
		return false;
	if (is_early || bstack_is_sampling(pid, out, deferred))
		pause_ns(delay_ms * MS);
	kill(pid, is_kill ? SIGKILL : SIGINT);
	if (!child_wait(pid, EXIT_NS, &status)) {
		waitpid(pid, &status, 0);
		CHECK(!"bstack did not end");
	}
	if (is_kill)
		CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	else
		CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	if (!target_park() || !nothing_held() || test_failures)
		return false;
	target_release();
	return target_advances(CONTROL_OPS / 10);
}

static void record_gives_lock_back(void)
{
	const char *program = getenv("BSTACK"), *seed_text = getenv("SEED");
	unsigned int seed = seed_text ? (unsigned int)strtoul(seed_text, NULL, 0)
				      : (unsigned int)(time(NULL) ^ getpid());
	char dir[] = "/tmp/bstack-lock.XXXXXX", out[64], log[64];
	bool ok = true;

	NEEDS();
	if (!program || access(program, X_OK)) {
		test_fail(__FILE__, __LINE__, "BSTACK is %s, which is not a program",
			  program ? program : "not set");
		return;
	}
	if (!CHECK(mkdtemp(dir)))
		return;
	snprintf(out, sizeof(out), "%s/profile", dir);
	snprintf(log, sizeof(log), "%s/log", dir);
	printf("# SEED=%u\n", seed);
	srandom(seed);
	if (all_start()) {
		for (int i = 0; i < ROUND_CNT && ok; i++)
			ok = round_run(i, program, out, log);
		if (!ok)
			log_print(log);
		CHECK_EQ(kill(target_pid, 0), 0);
		if (has_irq_events)
			CHECK(counts_read().deferred > 0);
		all_stop();
	}
	unlink(out);
	unlink(log);
	rmdir(dir);
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		TEST(leak_is_seen),
		TEST(auditor_alone),
		TEST(record_gives_lock_back),
		{},
	};

	return test_main(tests, argc, argv);
}
