/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_unwinder_step.c - walks over a copy of a stack: our own, against the one that libgcc finds; copies that end too
 * early, and registers of nonsense.
 */
#include <alloca.h>
#include <execinfo.h>
#include <fcntl.h>
#include <ucontext.h>

#include "unwinder_made.h"

#define OBJECTS_MAX 32
#define FRAMES_MAX  64

static struct loaded objects[OBJECTS_MAX];
static size_t object_cnt;

/* Our stack at some moment: registers, what was in memory, and what libgcc says. */
static struct {
	struct unwind_state state;
	uint64_t base;
	uint8_t *bytes;
	size_t sz;
	void *theirs[FRAMES_MAX];
	int their_cnt;
} taken;

static int object_take(struct dl_phdr_info *info, size_t sz, void *ctx)
{
	(void)sz;
	(void)ctx;
	if (object_cnt < OBJECTS_MAX)
		loaded_one(info, sizeof(*info), &objects[object_cnt++]);
	return 0;
}

static const struct loaded *object_of(uint64_t ip)
{
	for (size_t i = 0; i < object_cnt; i++)
		if (ip - objects[i].base - objects[i].seg_vaddr < objects[i].seg_sz)
			return &objects[i];
	return NULL;
}

static uint64_t stack_end(void)
{
	FILE *f = fopen("/proc/self/maps", "r");
	unsigned long long end = 0;
	char line[512];

	while (f && fgets(line, sizeof(line), f))
		if (strstr(line, "[stack]"))
			sscanf(line, "%*x-%llx", &end);
	if (f)
		fclose(f);
	return end;
}

/* Through the kernel: the sanitizer minds who reads what lies between our variables. */
static void memory_take(uint64_t sp)
{
	int fd = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);

	taken.base = sp & ~4095ULL;
	taken.sz = (size_t)(stack_end() - taken.base);
	taken.bytes = malloc(taken.sz);
	if (!taken.bytes ||
	    pread(fd, taken.bytes, taken.sz, (off_t)taken.base) != (ssize_t)taken.sz)
		abort();
	close(fd);
}

__attribute__((noinline)) static void stack_take(void)
{
	static const struct {
		int greg;
		enum bstack_reg reg;
	} regs[] = { { REG_RBP, BSTACK_BP },  { REG_RBX, BSTACK_BX },  { REG_R12, BSTACK_R12 },
		     { REG_R13, BSTACK_R13 }, { REG_R14, BSTACK_R14 }, { REG_R15, BSTACK_R15 } };
	static ucontext_t uc;

	getcontext(&uc);
	taken.their_cnt = backtrace(taken.theirs, FRAMES_MAX);
	taken.state = (struct unwind_state){ .ip = (uint64_t)uc.uc_mcontext.gregs[REG_RIP],
					     .sp = (uint64_t)uc.uc_mcontext.gregs[REG_RSP] };
	for (size_t i = 0; i < ARRAY_SIZE(regs); i++)
		taken.state.regs[regs[i].reg] = (uint64_t)uc.uc_mcontext.gregs[regs[i].greg];
	memory_take(taken.state.sp);
}

/* Through the C library, with a frame of unknown size in between. */
static int take_below(const void *a, const void *b)
{
	volatile char *room = alloca((size_t)(200 + *(const int *)a));

	(void)b;
	room[0] = 1;
	if (!taken.bytes)
		stack_take();
	return room[0] - 1;
}

static struct stack_rest taken_rest(uint8_t *bytes, size_t sz)
{
	return (struct stack_rest){
		.state = taken.state, .base = taken.base, .bytes = bytes, .sz = sz
	};
}

/* One step, in the file that is loaded at the frame's address. */
static int step(struct uw *w, struct stack_rest *rest)
{
	uint64_t ip = rest->state.ip - rest->state.is_caller;
	const struct loaded *l = object_of(ip);

	return l ? unwinder_step(w->u, rest, &l->build_id, ip - l->base) : BSTACK_END_NO_MAPPING;
}

/* All steps: callers in ips, their number; how it ended in *ret_end. */
static size_t walk(struct uw *w, struct stack_rest rest, uint64_t ips[FRAMES_MAX], int *ret_end)
{
	size_t cnt = 0;

	while (cnt < FRAMES_MAX) {
		*ret_end = step(w, &rest);
		if (*ret_end)
			break;
		CHECK_EQ(rest.state.is_caller, 1);
		ips[cnt++] = rest.state.ip;
	}
	return cnt;
}

static void program_open(struct uw *w)
{
	uw_open(w, large);
	CHECK_EQ(unwinder_snapshot(w->u, (uint32_t)getpid()), 0);
}

/* No wait, no commit: each step waits for the table that it needs. */
static void own_stack(void)
{
	uint64_t ips[FRAMES_MAX];
	int end = 0, at = 0;
	struct uw w;
	size_t cnt;

	program_open(&w);
	cnt = walk(&w, taken_rest(taken.bytes, taken.sz), ips, &end);
	CHECK_EQ(end, BSTACK_END_ROOT);
	CHECK(cnt > 5 && object_of(ips[0]));
	/* Theirs begins with what is called by ours. */
	while (at < taken.their_cnt && (uint64_t)taken.theirs[at] != ips[0])
		at++;
	CHECK_EQ(taken.their_cnt - at, cnt);
	for (size_t i = 0; i < cnt && at < taken.their_cnt; i++)
		CHECK_EQ(ips[i], taken.theirs[at++]);
	CHECK_EQ(at, taken.their_cnt);
	uw_close(&w);
}

/* Less and less of the memory: the same frames, as far as it reaches. */
static void memory_ends(void)
{
	uint64_t all[FRAMES_MAX], ips[FRAMES_MAX];
	size_t all_cnt, rooted = 0, unreadable = 0;
	struct uw w;
	int end;

	program_open(&w);
	all_cnt = walk(&w, taken_rest(taken.bytes, taken.sz), all, &end);
	for (size_t sz = taken.sz; sz != SIZE_MAX; sz -= sz > 64 ? 8 : 1) {
		uint8_t *bytes = malloc(sz);
		size_t cnt;

		memcpy(bytes, taken.bytes, sz);
		cnt = walk(&w, taken_rest(bytes, sz), ips, &end);
		free(bytes);
		if (end == BSTACK_END_ROOT && !unreadable) {
			CHECK_EQ(cnt, all_cnt);
			rooted++;
		} else {
			CHECK_EQ(end, BSTACK_END_UNREADABLE);
			CHECK(cnt < all_cnt);
			unreadable++;
		}
		CHECK(!memcmp(ips, all, cnt * sizeof(*ips)));
		if (!sz)
			CHECK_EQ(cnt, 0);
	}
	CHECK(rooted > 0 && unreadable > 100);
	uw_close(&w);
}

/* What lies below the copy is as far away as what is above. */
static void memory_begins_later(void)
{
	struct stack_rest rest = taken_rest(taken.bytes, taken.sz);
	uint64_t ips[FRAMES_MAX];
	struct uw w;
	int end;

	program_open(&w);
	rest.base += taken.sz;
	CHECK_EQ(walk(&w, rest, ips, &end), 0);
	CHECK_EQ(end, BSTACK_END_UNREADABLE);
	rest.base = UINT64_MAX - taken.sz + 1;
	CHECK_EQ(walk(&w, rest, ips, &end), 0);
	CHECK_EQ(end, BSTACK_END_UNREADABLE);
	rest.base = 0;
	rest.state.sp = 0x100;
	CHECK(walk(&w, rest, ips, &end) < FRAMES_MAX);
	uw_close(&w);
}

static uint64_t seed = 123456789987654321;
static uint64_t rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	return seed ^= seed << 17;
}

/* An address near the copied memory's bounds, in it, or anywhere. */
static uint64_t rnd_address(const struct stack_rest *rest)
{
	switch (rnd() % 4) {
	case 0:
		return rest->base + rnd() % 32 - 16;
	case 1:
		return rest->base + rest->sz + rnd() % 32 - 16;
	case 2:
		return rest->base + rnd() % (rest->sz + 1);
	default:
		return rnd() % 2 ? rnd() : UINT64_MAX - rnd() % 32;
	}
}

static void state_of_nonsense(void)
{
	struct uw w;

	program_open(&w);
	for (int round = 0; round < 20000; round++) {
		size_t sz = rnd() % 3 ? rnd() % 200 : rnd() % 10;
		uint8_t *bytes = malloc(sz);
		struct stack_rest rest = { .base = rnd() % 8 ? rnd() : UINT64_MAX - rnd() % 300,
					   .bytes = bytes,
					   .sz = sz };

		for (size_t i = 0; i + 8 <= sz; i += 8) {
			uint64_t v = rnd_address(&rest);

			memcpy(bytes + i, &v, 8);
		}
		rest.state.sp = rnd_address(&rest);
		rest.state.stored = (uint32_t)rnd();
		rest.state.is_caller = rnd() % 2;
		for (size_t i = 0; i < BSTACK_REGS_ALL; i++)
			rest.state.regs[i] = rnd_address(&rest);
		for (int i = 0; i < BSTACK_FRAMES; i++) {
			const struct loaded *l = &objects[rnd() % object_cnt];
			uint64_t vaddr = rnd() % 8 ? l->seg_vaddr + rnd() % l->seg_sz : rnd();
			int end = rnd() % 4 ? unwinder_step(w.u, &rest, &l->build_id, vaddr)
					    : unwinder_step_fp(w.u, &rest);

			CHECK(end >= 0 && end <= BSTACK_END_FP_LOST);
			if (end)
				break;
		}
		free(bytes);
	}
	uw_close(&w);
}

static void by_frame_pointer(void)
{
	uint64_t stack[6] = { 0, 0x10020, 0x401234, 0, 0x10000, 0x405678 };
	struct stack_rest rest = { .base = 0x10000,
				   .bytes = (uint8_t *)stack,
				   .sz = sizeof(stack) };
	struct uw w;

	uw_open(&w, large);
	rest.state.sp = 0x10000;
	rest.state.regs[BSTACK_BP] = 0x10008;
	CHECK_EQ(unwinder_step_fp(w.u, &rest), 0);
	CHECK_EQ(rest.state.ip, 0x401234);
	CHECK_EQ(rest.state.sp, 0x10018);
	CHECK_EQ(rest.state.is_caller, 1);
	CHECK_EQ(unwinder_step_fp(w.u, &rest), 0); /* its bp is in the memory */
	CHECK_EQ(rest.state.ip, 0x405678);
	CHECK_EQ(rest.state.sp, 0x10030);
	CHECK_EQ(unwinder_step_fp(w.u, &rest), BSTACK_END_FP_LOST); /* down again */
	rest.state = (struct unwind_state){ .sp = 0x10000, .regs[BSTACK_BP] = 0x10028 };
	CHECK_EQ(unwinder_step_fp(w.u, &rest), BSTACK_END_UNREADABLE);
	uw_close(&w);
}

/* Its code is not a file's: asked for without a build-id. */
static void in_the_vdso(void)
{
	uint64_t stack[64];
	size_t made = 0;
	struct loaded l;
	struct uw w;

	if (!loaded_get("linux-vdso", &l))
		SKIP("this process has no vdso");
	for (size_t i = 0; i < ARRAY_SIZE(stack); i++)
		stack[i] = 0x10000 + 8 * i;
	uw_open(&w, large);
	for (uint64_t at = 0; at < l.seg_sz; at++) {
		struct stack_rest rest = { .base = 0x10000,
					   .bytes = (uint8_t *)stack,
					   .sz = sizeof(stack),
					   .state.sp = 0x10000,
					   .state.regs[BSTACK_BP] = 0x10000 };
		int end = unwinder_step(w.u, &rest, NULL, l.seg_vaddr + at);

		CHECK(end != BSTACK_END_NO_TABLE && end != BSTACK_END_NEVER);
		made += !end;
	}
	CHECK(made > 100);
	uw_close(&w);
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		TEST(own_stack),
		TEST(memory_ends),
		TEST(memory_begins_later),
		TEST(state_of_nonsense),
		TEST(by_frame_pointer),
		TEST(in_the_vdso),
		{},
	};
	int v[2] = { 1, 2 }, err;

	dl_iterate_phdr(object_take, NULL);
	qsort(v, 2, sizeof(*v), take_below);
	err = test_main(tests, argc, argv);
	free(taken.bytes);
	return err;
}
