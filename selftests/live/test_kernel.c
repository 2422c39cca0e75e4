// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * test_kernel - does this kernel treat build-id stacks as bstack believes? The situations in which
 * a whole stack is VALID or falls back: the unlock slot, the lock. test_kernel_kinds has the frames.
 */
#include <pthread.h>
#include <sys/mman.h>

#include "kernel_kit.h"

#define ROUNDS       15
#define ATTEMPTS_MAX 60 /* for ROUNDS rounds in which the overlap is proven */
#define CHAIN_CNT    3  /* with the leaf */

#define RW_WRITER    1UL
#define RW_WAITER    2UL

/* The stack of these tests: leaf, a function of libc, a function of ours. */
static struct forge_frame chain[CHAIN_CNT - 1];
static struct expect want[CHAIN_CNT];

static void chain_init(void)
{
	chain[0] = (struct forge_frame){ &chain[1], (uint64_t)&getpid + 1 };
	chain[1] = (struct forge_frame){ NULL, (uint64_t)&chain_init + 1 };
	want[0] = expect_own("leaf", (uint64_t)forge_after_syscall);
	want[1] = expect_own("libc", chain[0].ret);
	want[2] = expect_own("this program", chain[1].ret);
	CHECK(memcmp(want[1].id, want[2].id, FORGE_ID_SZ));
}

#define START()               \
	do {                  \
		KIT_NEEDS();  \
		chain_init(); \
	} while (0)

#define START_IRQS_OFF()                                                              \
	do {                                                                          \
		if (kit_is_rt())                                                      \
			SKIP("PREEMPT_RT never gives build-ids with interrupts off"); \
		START();                                                              \
	} while (0)

/* --- the slot: one deferred unlock for each section without interrupts --- */

/* One sample in hardirq, while we spin; the leaf is where the timer hit. */
static bool timer_section(struct kit *k)
{
	uint64_t deadline_ns = kit_now_ns() + KIT_WAIT_NS;
	struct kernel_facts_bpf__bss *bss = k->skel->bss;

	bss->wish.ip_begin = (uint64_t)forge_spin_begin;
	bss->wish.ip_end = (uint64_t)forge_spin_end;
	kit_arm(k, KF_IN_TIMER);
	while (!forge_spin(&bss->wish.is_done, 10000000, chain)) {
		if (kit_now_ns() > deadline_ns)
			return CHECK(!"no timer sample within the time");
	}
	CHECK(bss->result.ips[0] >= bss->wish.ip_begin && bss->result.ips[0] < bss->wish.ip_end);
	want[0] = expect_own("leaf", bss->result.ips[0]);
	return ips_check(&bss->result, want, CHAIN_CNT);
}

static bool first_check(const struct kf_result *r, unsigned int can_be)
{
	return stack_check("first stack", r->first, r->first_len, want, CHAIN_CNT, can_be);
}

static bool second_check(const struct kf_result *r, unsigned int can_be)
{
	return stack_check("second stack", r->second, r->second_len, want, CHAIN_CNT, can_be);
}

static void deferred_unlock(void)
{
	struct kit k;

	START_IRQS_OFF();
	if (!kit_run(&k, "in_timer", NULL))
		return;
	for (int i = 0; i < ROUNDS && timer_section(&k); i++)
		first_check(&k.skel->bss->result, CAN_BE_VALID);
	kit_close(&k);
}

/* The second stack of a section, by either helper, finds the slot taken. */
static void slot_busy(void)
{
	struct kit k;

	START_IRQS_OFF();
	if (!kit_run(&k, "in_timer", NULL))
		return;
	for (int i = 0; i < ROUNDS && timer_section(&k); i++) {
		first_check(&k.skel->bss->result, CAN_BE_VALID);
		second_check(&k.skel->bss->result, CAN_BE_IP);
		stackmap_check(&k, k.skel->bss->result.second, CHAIN_CNT);
	}
	kit_close(&k);
}

/* ... and the next section finds it free. */
static void slot_freed(void)
{
	struct kit k;

	START_IRQS_OFF();
	if (!kit_run(&k, "in_timer", NULL))
		return;
	for (int i = 0; i < ROUNDS; i++) {
		if (!timer_section(&k) || !second_check(&k.skel->bss->result, CAN_BE_IP))
			break;
		if (!timer_section(&k) || !first_check(&k.skel->bss->result, CAN_BE_VALID))
			break;
	}
	kit_close(&k);
}

static void slot_taken_by_find_vma(void)
{
	struct kernel_facts_bpf__bss *bss;
	struct kit k;

	START_IRQS_OFF();
	if (!kit_run(&k, "in_timer", NULL))
		return;
	bss = k.skel->bss;
	for (int i = 0; i < ROUNDS; i++) {
		bss->wish.is_find_vma_first = 1;
		if (!timer_section(&k))
			break;
		CHECK_EQ(bss->result.find_vma_ret, -ENOENT);
		first_check(&bss->result, CAN_BE_IP);
		second_check(&bss->result, CAN_BE_IP);
		bss->wish.is_find_vma_first = 0;
		if (!timer_section(&k))
			break;
		first_check(&bss->result, CAN_BE_VALID);
	}
	kit_close(&k);
}

/* Interrupts on: no slot, every stack is VALID, whatever came before. */
static void interrupts_on(void)
{
	struct kernel_facts_bpf__bss *bss;
	struct kit k;

	START();
	if (!kit_run(&k, "at_syscall", NULL))
		return;
	bss = k.skel->bss;
	bss->wish.is_find_vma_first = 1;
	for (int i = 0; i < ROUNDS && kit_syscall(&k, KF_AT_SYSCALL, chain); i++) {
		ips_check(&bss->result, want, CHAIN_CNT);
		CHECK_EQ(bss->result.find_vma_ret, -ENOENT);
		first_check(&bss->result, CAN_BE_VALID);
		second_check(&bss->result, CAN_BE_VALID);
		stackmap_check(&k, bss->result.first, CHAIN_CNT);
	}
	kit_close(&k);
}

static bool is_kernel_func(const char *name)
{
	struct btf *btf = btf__load_vmlinux_btf();
	bool is = btf && btf__find_by_name_kind(btf, name, BTF_KIND_FUNC) > 0;

	btf__free(btf);
	return is;
}

/* The same in process context, in a section that the program itself makes. */
static void irq_saved_section(void)
{
	const char *const names[KIT_PROGS_MAX] = { "irq_saved" };
	struct kit k;
	int err;

	START_IRQS_OFF();
	if (!is_kernel_func("bpf_local_irq_save"))
		SKIP("this kernel has no bpf_local_irq_save (6.14)");
	err = kit_open(&k, names);
	if (!err)
		err = kit_start(&k, names);
	if (!CHECK_EQ(err, 0))
		printf("# %s\n", kit_log_tail());
	for (int i = 0; i < ROUNDS && !err && kit_syscall(&k, KF_IRQ_SAVED, chain); i++) {
		ips_check(&k.skel->bss->result, want, CHAIN_CNT);
		first_check(&k.skel->bss->result, CAN_BE_VALID);
		second_check(&k.skel->bss->result, CAN_BE_IP);
		stackmap_check(&k, k.skel->bss->result.second, CHAIN_CNT);
	}
	kit_close(&k);
}

static void rt_interrupts_off(void)
{
	struct kit k;

	KIT_NEEDS();
	if (!kit_is_rt())
		SKIP("this kernel is not PREEMPT_RT");
	chain_init();
	if (!kit_run(&k, "in_timer", NULL))
		return;
	for (int i = 0; i < ROUNDS && timer_section(&k); i++) {
		first_check(&k.skel->bss->result, CAN_BE_IP);
		second_check(&k.skel->bss->result, CAN_BE_IP);
	}
	kit_close(&k);
}

/* --- the lock --- */

/* All IP, and the lock says that owner has it for writing, before and after. */
static void writer_check(struct kit *k, uint64_t owner)
{
	const struct kf_result *r = &k->skel->bss->result;

	ips_check(r, want, CHAIN_CNT);
	first_check(r, CAN_BE_IP);
	second_check(r, CAN_BE_IP);
	stackmap_check(k, r->first, CHAIN_CNT);
	if (kit_is_rt())
		return; /* its rw_semaphore has no count and owner */
	CHECK_EQ(r->before.count & RW_WRITER, RW_WRITER);
	CHECK_EQ(r->after.count & RW_WRITER, RW_WRITER);
	CHECK(owner != 0);
	CHECK_EQ(r->before.owner, owner);
	CHECK_EQ(r->after.owner, owner);
}

/* The control: the same stack without the lock held is VALID, and the lock is free. */
static void unlocked_check(struct kit *k)
{
	const struct kf_result *r = &k->skel->bss->result;

	if (!kit_syscall(k, KF_AT_SYSCALL, chain))
		return;
	first_check(r, CAN_BE_VALID);
	CHECK_EQ(r->before.count & RW_WRITER, 0);
	stackmap_check(k, r->first, CHAIN_CNT);
}

static void write_held_by_current(void)
{
	const uint64_t args[6] = {
		0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, (uint64_t)-1, 0
	};
	struct kit k;

	START();
	if (!kit_run(&k, "in_mmap", "at_syscall"))
		return;
	for (int i = 0; i < ROUNDS; i++) {
		long addr;

		kit_arm(&k, KF_IN_MMAP);
		addr = forge_syscall(SYS_mmap, args, chain);
		if (!CHECK(addr > 0) || !CHECK(kit_is_done(&k)))
			break;
		munmap((void *)addr, 4096);
		writer_check(&k, k.skel->bss->result.task);
		unlocked_check(&k);
	}
	kit_close(&k);
}

/* A thread that does something each time it is told to. */
struct helper {
	pthread_t thread;
	void (*act)(void);
	uint32_t tid, go, finished, is_ended;
	int cpu;
};

static bool cpu_pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return !sched_setaffinity(0, sizeof(set), &set);
}

static void *helper_run(void *arg)
{
	struct helper *h = arg;

	cpu_pin(h->cpu);
	__atomic_store_n(&h->tid, (uint32_t)gettid(), __ATOMIC_RELEASE);
	while (!__atomic_load_n(&h->is_ended, __ATOMIC_ACQUIRE)) {
		uint32_t go = __atomic_load_n(&h->go, __ATOMIC_ACQUIRE);

		if (go == h->finished) {
			sched_yield();
			continue;
		}
		h->act();
		__atomic_store_n(&h->finished, go, __ATOMIC_RELEASE);
	}
	return NULL;
}

static bool helper_start(struct helper *h, int cpu, void (*act)(void))
{
	uint64_t deadline_ns = kit_now_ns() + KIT_WAIT_NS;

	*h = (struct helper){ .cpu = cpu, .act = act };
	if (!CHECK_EQ(pthread_create(&h->thread, NULL, helper_run, h), 0))
		return false;
	while (!__atomic_load_n(&h->tid, __ATOMIC_ACQUIRE)) {
		if (!CHECK(kit_now_ns() < deadline_ns))
			exit(1); /* it may still use our stack */
	}
	return true;
}

/* All that a helper does ends by itself: the programs' loops are bounded. */
static void helper_stop(struct helper *h)
{
	__atomic_store_n(&h->is_ended, 1, __ATOMIC_RELEASE);
	pthread_join(h->thread, NULL);
}

static void helper_go(struct helper *h)
{
	__atomic_store_n(&h->go, h->go + 1, __ATOMIC_RELEASE);
}

static void act_mmap(void)
{
	void *p = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p != MAP_FAILED)
		munmap(p, 4096);
}

static void act_syscall(void)
{
	syscall(SYS_getppid);
}

static void holder_arm(struct kit *k, const struct helper *h, uint64_t addr)
{
	struct kf_holder *o = &k->skel->bss->holder;

	o->is_held = o->saw_release = 0;
	o->task = 0;
	o->addr = addr;
	o->tid = h->tid;
	__atomic_store_n(&o->is_released, 0, __ATOMIC_RELEASE);
}

static void holder_release(struct kit *k)
{
	__atomic_store_n(&k->skel->bss->holder.is_released, 1, __ATOMIC_RELEASE);
}

/* Waits until the holder holds. False: it gave up before we looked, or the test has failed. */
static bool holder_wait(struct kit *k, const struct helper *h)
{
	uint64_t deadline_ns = kit_now_ns() + KIT_WAIT_NS;

	while (!__atomic_load_n(&k->skel->bss->holder.is_held, __ATOMIC_ACQUIRE)) {
		if (__atomic_load_n(&h->finished, __ATOMIC_ACQUIRE) == h->go)
			return false;
		if (kit_now_ns() > deadline_ns)
			return CHECK(!"the other thread does not get the lock");
	}
	return true;
}

/* One overlap. False: not proven, as the holder gave up before we were done. */
static bool held_by_another_once(struct kit *k, struct helper *h)
{
	struct kernel_facts_bpf__bss *bss = k->skel->bss;
	bool is_held, is_done = false;

	holder_arm(k, h, 0);
	helper_go(h);
	is_held = holder_wait(k, h);
	if (is_held)
		is_done = kit_syscall(k, KF_AT_SYSCALL, chain);
	holder_release(k);
	if (!CHECK(kit_wait(&h->finished, h->go)) || !is_held || !is_done ||
	    !bss->holder.saw_release)
		return false;
	writer_check(k, bss->holder.task);
	CHECK(bss->holder.task != bss->result.task);
	return true;
}

/* The first two CPUs that we may use. */
static bool cpus_choose(cpu_set_t *ret_old, int cpus[2])
{
	int cnt = 0;

	if (sched_getaffinity(0, sizeof(*ret_old), ret_old))
		return false;
	for (int i = 0; i < CPU_SETSIZE && cnt < 2; i++) {
		if (CPU_ISSET(i, ret_old))
			cpus[cnt++] = i;
	}
	return cnt == 2;
}

static void write_held_by_another(void)
{
	int cpus[2], rounds = 0;
	struct helper h;
	cpu_set_t old;
	struct kit k;

	START();
	if (!cpus_choose(&old, cpus))
		SKIP("needs two CPUs");
	if (!kit_run(&k, "in_mmap", "at_syscall"))
		return;
	cpu_pin(cpus[0]);
	if (helper_start(&h, cpus[1], act_mmap)) {
		for (int i = 0; i < ATTEMPTS_MAX && rounds < ROUNDS && !test_failures; i++) {
			rounds += held_by_another_once(&k, &h);
			if (kit_wait(&h.finished, h.go))
				unlocked_check(&k);
		}
		CHECK_EQ(rounds, ROUNDS);
		helper_stop(&h);
	}
	sched_setaffinity(0, sizeof(old), &old);
	kit_close(&k);
}

static bool has_member(const char *type, const char *member)
{
	struct btf *btf = btf__load_vmlinux_btf();
	int id = btf ? btf__find_by_name_kind(btf, type, BTF_KIND_STRUCT) : -1;
	bool is_found = false;

	if (id > 0) {
		const struct btf_type *t = btf__type_by_id(btf, (uint32_t)id);

		for (int i = 0; i < btf_vlen(t); i++) {
			const char *name = btf__name_by_offset(btf, btf_members(t)[i].name_off);

			is_found |= name && !strcmp(name, member);
		}
	}
	btf__free(btf);
	return is_found;
}

/* One reader that holds, one writer that queues: our trylock fails although we only want to read. */
static bool waiter_once(struct kit *k, struct helper *reader, struct helper *writer)
{
	const struct kf_result *r = &k->skel->bss->result;
	struct kernel_facts_bpf__bss *bss = k->skel->bss;
	const uint64_t none[6] = { 0 };
	bool is_held;

	holder_arm(k, reader, (uint64_t)&chain_init);
	helper_go(reader);
	is_held = holder_wait(k, reader);
	bss->wish.is_waiter_needed = 1;
	kit_arm(k, KF_AT_SYSCALL);
	helper_go(writer);
	while (is_held && !kit_is_done(k) &&
	       __atomic_load_n(&bss->holder.is_held, __ATOMIC_ACQUIRE)) {
		/* both with the forged stack: either may be the first that meets the waiter */
		forge_syscall(SYS_getppid, none, chain);
		forge_syscall(SYS_sched_yield, none, chain);
	}
	holder_release(k);
	bss->wish.is_waiter_needed = 0;
	bss->wish.is_armed = 0;
	if (!CHECK(kit_wait(&reader->finished, reader->go)) ||
	    !CHECK(kit_wait(&writer->finished, writer->go)) || !kit_is_done(k) ||
	    !bss->holder.saw_release)
		return false;
	ips_check(r, want, CHAIN_CNT);
	first_check(r, CAN_BE_IP);
	CHECK_EQ(r->before.count & (RW_WRITER | RW_WAITER), RW_WAITER);
	return true;
}

static void only_a_waiter(void)
{
	struct helper reader, writer;
	int cpus[2], rounds = 0;
	cpu_set_t old;
	struct kit k;

	START();
	if (!has_member("mmap_unlock_irq_work", "active"))
		SKIP("this kernel lacks the fix of CVE-2026-90247");
	if (kit_is_rt())
		SKIP("PREEMPT_RT's rw_semaphore has no waiter flag");
	if (!cpus_choose(&old, cpus))
		SKIP("needs two CPUs");
	if (!kit_run(&k, "hold_for_read", "at_syscall"))
		return;
	cpu_pin(cpus[0]);
	if (helper_start(&reader, cpus[1], act_syscall)) {
		if (helper_start(&writer, cpus[0], act_mmap)) {
			for (int i = 0; i < ATTEMPTS_MAX && rounds < ROUNDS && !test_failures; i++)
				rounds += waiter_once(&k, &reader, &writer);
			CHECK_EQ(rounds, ROUNDS);
			helper_stop(&writer);
		}
		helper_stop(&reader);
	}
	sched_setaffinity(0, sizeof(old), &old);
	kit_close(&k);
}

/* --- other write sections, where the kernel lets itself be traced --- */

static int fentry_start(struct kit *k, const char *func)
{
	const char *const names[KIT_PROGS_MAX] = { "in_fentry" };
	int err = kit_open(k, names);

	if (!err)
		err = bpf_program__set_attach_target(k->skel->progs.in_fentry, 0, func);
	if (!err)
		err = kit_start(k, names);
	if (err)
		kit_close(k);
	return err;
}

static void fentry_in_write_section(void)
{
	static const struct {
		const char *func;
		long nr;
		uint64_t arg2;
	} sections[] = {
		{ "mprotect_fixup", SYS_mprotect, PROT_READ },
		{ "do_vmi_align_munmap", SYS_munmap, 0 },
	};
	size_t cnt = sizeof(sections) / sizeof(sections[0]), seen = 0;
	const char *refused = "";
	struct kit k;
	int err = 0;

	START();
	for (size_t i = 0; i < cnt; i++) {
		uint64_t args[6] = { 0, 4096, sections[i].arg2 };
		void *p;

		err = fentry_start(&k, sections[i].func);
		if (err) {
			refused = sections[i].func;
			continue;
		}
		p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		args[0] = (uint64_t)p;
		kit_arm(&k, KF_IN_FENTRY);
		CHECK_EQ(forge_syscall(sections[i].nr, args, chain), 0);
		if (CHECK(kit_is_done(&k)))
			writer_check(&k, k.skel->bss->result.task);
		kit_close(&k);
		seen++;
	}
	if (!seen)
		SKIP("fentry on %s is refused: %s", refused, strerror(-err));
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		TEST(deferred_unlock),
		TEST(slot_busy),
		TEST(slot_freed),
		TEST(slot_taken_by_find_vma),
		TEST(interrupts_on),
		TEST(irq_saved_section),
		TEST(rt_interrupts_off),
		TEST(write_held_by_current),
		TEST(write_held_by_another),
		TEST(only_a_waiter),
		TEST(fentry_in_write_section),
		{},
	};

	return test_main(tests, argc, argv);
}
