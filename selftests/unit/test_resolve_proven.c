/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_resolve_proven.c - mappings read between two looks at an address space's sequence: which samples they prove, and
 * which not. The process is this one, whose mappings the dynamic linker knows; its sequence is the test's.
 */
#include <sys/mman.h>

#include "resolve_made.h"

/* What on_mm says, call by call; the last goes on for ever. */
static struct {
	struct bstack_mm mm[8];
	int err[8];
	size_t cnt, calls;
} looks;

static int made_mm(void *ctx, pid_t pid, struct bstack_mm *ret)
{
	size_t i = looks.calls < looks.cnt ? looks.calls : looks.cnt - 1;

	(void)ctx;
	CHECK_EQ(pid, getpid());
	looks.calls++;
	*ret = looks.mm[i];
	return looks.err[i];
}

static const struct resolver_ops proven_ops = {
	.on_sample = made_sample,
	.on_mm = made_mm,
	.on_module = made_module,
};

static struct bstack_mm mm_at(uint64_t seq)
{
	return (struct bstack_mm){ .start_ns = self_start_ns(), .exec_id = 1, .seq = seq };
}

static void open_with(struct made *m, size_t cnt, const uint64_t *seqs)
{
	*m = (struct made){};
	looks.cnt = cnt;
	looks.calls = 0;
	for (size_t i = 0; i < cnt; i++) {
		looks.mm[i] = mm_at(seqs[i]);
		looks.err[i] = 0;
	}
	if (resolver_new(&proven_ops, m, &m->r))
		abort();
}
#define OPEN_WITH(m, ...) \
	open_with(m, sizeof((uint64_t[]){ __VA_ARGS__ }) / 8, (uint64_t[]){ __VA_ARGS__ })

static void sample_steady(struct made *m, uint64_t time_ns, uint64_t ip, uint64_t seq)
{
	struct raw_sample s = made_raw((uint32_t)getpid(), time_ns, &ip, 1, NULL);

	s.cause = CAUSE_NONE;
	s.mm.seq = seq;
	s.is_steady = true;
	CHECK_EQ(resolver_sample(m->r, &s), 0);
}

static struct loaded libc;
static uint64_t code(void)
{
	return loaded_ip(&libc, libc.seg_off + 0x100);
}

/* Proven at once, without waiting for the stream to pass the answer; for samples of any time. */
static void same_sequence(void)
{
	struct made m;

	CHECK(loaded_get("libc.so", &libc));
	OPEN_WITH(&m, 6);
	sample_steady(&m, 50, code(), 6);
	sample_steady(&m, 1, code() + 1, 6);
	/* A mapping event in between changes nothing: the sequence says that the mappings are those of the looks. */
	event_mmap(&m, 40, (uint32_t)getpid(), code() & ~4095ULL, (code() & ~4095ULL) + 4096, 0, 1,
		   VMA_FILE);
	CHECK_EQ(resolver_advance(m.r, 60), 0);
	CHECK(resolver_is_idle(m.r));
	CHECK_EQ(m.cnt, 2);
	CHECK_FRAME(&m, 0, EVID_PROVEN, REASON_NO, libc.seg_off + 0x101);
	CHECK_FRAME(&m, 1, EVID_PROVEN, REASON_NO, libc.seg_off + 0x100);
	CHECK_EQ(looks.calls, 2); /* once for all of the sequence */
	CHECK_EQ(resolver_counters(m.r)->checks, 1);
	made_close(&m);
}

/* Another sequence, another program, a sample that no sequence holds for: not proven. */
static void another_sequence(void)
{
	struct made m;
	struct raw_sample s;
	uint64_t ip = code();

	OPEN_WITH(&m, 6);
	sample_steady(&m, 50, ip, 6);
	s = made_raw((uint32_t)getpid(), 51, &ip, 1, NULL);
	s.mm.seq = 6;
	CHECK_EQ(resolver_sample(m.r, &s), 0); /* a writer was active */
	s.is_steady = true;
	s.mm.seq = 8;
	s.time_ns = 52;
	CHECK_EQ(resolver_sample(m.r, &s), 0);
	s.mm.seq = 6;
	s.mm.exec_id = 2;
	s.time_ns = 53;
	CHECK_EQ(resolver_sample(m.r, &s), 0);
	CHECK_EQ(resolver_advance(m.r, 60), 0);
	CHECK_EQ(resolver_finish(m.r), 0);
	CHECK_EQ(m.cnt, 4);
	CHECK_FRAME(&m, 0, EVID_PROVEN, REASON_NO, libc.seg_off + 0x100);
	for (size_t i = 1; i < m.cnt; i++)
		CHECK(m.got[i].f[0].evidence != EVID_PROVEN);
	made_close(&m);
}

/* The sequence moved while the mappings were read: what was read proves nothing. */
static void moved_meanwhile(void)
{
	struct made m;

	OPEN_WITH(&m, 6, 8);
	sample_steady(&m, 50, code(), 6);
	CHECK_EQ(resolver_advance(m.r, 60), 0);
	CHECK_EQ(resolver_finish(m.r), 0);
	CHECK_EQ(looks.calls, 2);
	CHECK_EQ(m.cnt, 1);
	CHECK(m.got[0].f[0].evidence != EVID_PROVEN);
	made_close(&m);

	/* Or before: then nothing is read at all. */
	OPEN_WITH(&m, 8);
	sample_steady(&m, 50, code(), 6);
	CHECK_EQ(resolver_advance(m.r, 60), 0);
	CHECK_EQ(resolver_finish(m.r), 0);
	CHECK_EQ(looks.calls, 1);
	made_close(&m);

	/* A writer is active at the second look. */
	OPEN_WITH(&m, 6, 6);
	looks.err[1] = -EAGAIN;
	sample_steady(&m, 50, code(), 6);
	CHECK_EQ(resolver_advance(m.r, 60), 0);
	CHECK_EQ(resolver_finish(m.r), 0);
	CHECK_EQ(looks.calls, 2);
	CHECK(m.cnt == 1 && m.got[0].f[0].evidence != EVID_PROVEN);
	made_close(&m);
}

/* A process whose sequence always moves is not looked at for each of its samples. */
static void looks_are_few(void)
{
	struct made m;

	OPEN_WITH(&m, 8);
	for (uint64_t i = 0; i < 1000; i++)
		sample_steady(&m, 50 + i, code(), 6);
	CHECK_EQ(resolver_advance(m.r, 2000), 0);
	CHECK(looks.calls < 20);
	CHECK_EQ(resolver_finish(m.r), 0);
	CHECK_EQ(m.cnt, 1000);
	made_close(&m);
}

/* All that can run was read: an address outside is garbage, and that is proven, too. */
static void outside_everything(void)
{
	void *data = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	void *jit = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct made m;

	OPEN_WITH(&m, 6);
	sample_steady(&m, 50, (uint64_t)data, 6);
	sample_steady(&m, 51, (uint64_t)jit, 6);
	sample_steady(&m, 52, 0x10, 6);
	CHECK_EQ(resolver_advance(m.r, 60), 0);
	CHECK(resolver_is_idle(m.r));
	CHECK_EQ(m.cnt, 3);
	CHECK_FRAME(&m, 0, EVID_NONE, REASON_GARBAGE, 0);
	CHECK_FRAME(&m, 1, EVID_NONE, REASON_ANON, 0);
	CHECK_EQ(m.got[1].f[0].kind, VMA_ANON);
	CHECK_FRAME(&m, 2, EVID_NONE, REASON_GARBAGE, 0);
	CHECK_EQ(looks.calls, 2);
	made_close(&m);
	munmap(data, 4096);
	munmap(jit, 4096);
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		TEST(same_sequence), TEST(another_sequence),   TEST(moved_meanwhile),
		TEST(looks_are_few), TEST(outside_everything), {},
	};

	return test_main(tests, argc, argv);
}
