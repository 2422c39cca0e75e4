/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_resolve_vmas.c - samples that bring the mappings of their addresses along: which of them prove a frame, which
 * contradict what the stream told, and what is asked for how often. The process is this one; what BPF would find is the test's.
 */
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "resolve_made.h"

/* What on_vmas says of the one address it is asked for. */
static struct {
	struct bstack_vma now;
	int err;
	size_t calls;
	bool moves; /* another file each time */
} looks;

static struct bstack_mm mm_now;
static int mm_err;

static int made_vmas(void *ctx, pid_t pid, const uint64_t *addrs, size_t cnt,
		     struct bstack_vma *ret)
{
	(void)ctx;
	if (pid != getpid())
		return -ESRCH;
	looks.calls++;
	looks.now.file.ino += looks.moves;
	for (size_t i = 0; i < cnt; i++) {
		CHECK(addrs[i] == looks.now.start || !looks.now.end);
		ret[i] = looks.now;
	}
	return looks.err;
}

static int made_mm(void *ctx, pid_t pid, struct bstack_mm *ret)
{
	(void)ctx;
	(void)pid;
	*ret = mm_now;
	return mm_err;
}

/* One caller, then the root. */
static uint64_t caller;
static size_t steps;

static int made_step(void *ctx, struct stack_rest *rest, const struct resolved_frame *f)
{
	(void)ctx;
	CHECK_EQ(f->ip, steps ? caller : rest->state.ip);
	rest->state.ip = caller;
	rest->state.is_caller = 1;
	return steps++ ? BSTACK_END_ROOT : 0;
}

static const struct resolver_ops vmas_ops = {
	.on_sample = made_sample,
	.on_step = made_step,
	.on_mm = made_mm,
	.on_vmas = made_vmas,
	.on_module = made_module,
};

static struct loaded libc;
static struct bstack_vma libc_vma; /* as the kernel has it */

static void open_with(struct made *m, const struct bstack_vma *now)
{
	*m = (struct made){};
	looks.now = *now;
	looks.err = 0;
	looks.calls = 0;
	looks.moves = false;
	mm_err = -EAGAIN;
	if (resolver_new(&vmas_ops, m, &m->r))
		abort();
}

static uint64_t code(void)
{
	return loaded_ip(&libc, libc.seg_off + 0x100);
}

static void sample(struct made *m, uint32_t pid, uint64_t time_ns, uint64_t ip,
		   const struct bstack_vma *v)
{
	struct raw_sample s = made_raw(pid, time_ns, &ip, 1, NULL);

	s.cause = CAUSE_NONE;
	s.vmas = v;
	s.vma_cnt = v ? 1 : 0;
	CHECK_EQ(resolver_sample(m->r, &s), 0);
}

/* The segment's pages, and what stat() says of the file: no reading of /proc/PID/maps. */
static bool setup(void)
{
	struct stat st;

	if (!CHECK(loaded_get("libc.so", &libc)) || !CHECK(!stat(libc.path, &st)))
		return false;
	libc_vma = (struct bstack_vma){
		.start = (libc.base + libc.seg_vaddr) & ~4095ULL,
		.end = (libc.base + libc.seg_vaddr + libc.seg_sz + 4095) & ~4095ULL,
		.off = libc.seg_off & ~4095ULL,
		.file.ino = st.st_ino,
		.file.ctime_ns =
			(uint64_t)st.st_ctim.tv_sec * NSEC_PER_SEC + (uint64_t)st.st_ctim.tv_nsec,
		.file.dev = major(st.st_dev) << 20 | minor(st.st_dev),
		.file.generation = 5,
		.kind = BSTACK_VMA_FILE,
	};
	return true;
}

/* Asked once, and looked at behind the answer; then every mapping of this inode proves, anywhere, of anyone. */
static void one_question(void)
{
	struct bstack_vma elsewhere;
	struct made m;

	if (!setup())
		return;
	open_with(&m, &libc_vma);
	sample(&m, (uint32_t)getpid(), 50, code(), &libc_vma);
	sample(&m, (uint32_t)getpid(), 51, code() + 1, &libc_vma);
	elsewhere = libc_vma;
	elsewhere.start = 0x700000000000;
	elsewhere.end = elsewhere.start + 0x3000;
	elsewhere.off = libc_vma.off + 0x1000;
	sample(&m, NOBODY, 52, elsewhere.start + 0x10, &elsewhere);
	CHECK_EQ(resolver_advance(m.r, 60), 0);
	CHECK(resolver_is_idle(m.r)); /* nothing waited for the stream */
	CHECK_EQ(m.cnt, 3);
	CHECK_FRAME(&m, 0, EVID_PROVEN, REASON_NO, libc.seg_off + 0x100);
	CHECK_FRAME(&m, 1, EVID_PROVEN, REASON_NO, libc.seg_off + 0x101);
	CHECK_FRAME(&m, 2, EVID_PROVEN, REASON_NO, elsewhere.off + 0x10);
	CHECK(build_id_same_bytes(&resolver_module(m.r, m.got[2].f[0].module)->build_id,
				  &libc.build_id));
	CHECK_EQ(looks.calls, 1);
	CHECK_EQ(resolver_counters(m.r)->files, 1);
	/* Now that it is known nothing waits at all, but what is not all proven. */
	sample(&m, NOBODY - 1, 70, elsewhere.start + 0x20, &elsewhere);
	CHECK_EQ(m.cnt, 4);
	CHECK_FRAME(&m, 3, EVID_PROVEN, REASON_NO, elsewhere.off + 0x20);
	sample(&m, NOBODY - 1, 71, elsewhere.end, &elsewhere);
	sample(&m, NOBODY - 1, 72, elsewhere.start, NULL);
	CHECK_EQ(m.cnt, 4);
	CHECK_EQ(resolver_finish(m.r), 0);
	CHECK_EQ(m.cnt, 6);
	made_close(&m);
}

/* Whatever the look behind the answer, or the answer itself, has other than the sample's: nothing is learned. */
static void not_the_same(void)
{
	static const struct {
		size_t off;
		bool is_narrow;
	} members[] = {
		{ offsetof(struct bstack_vma, end), false },
		{ offsetof(struct bstack_vma, off), false },
		{ offsetof(struct bstack_vma, file.ino), false },
		{ offsetof(struct bstack_vma, file.ctime_ns), false },
		{ offsetof(struct bstack_vma, file.mount), false },
		{ offsetof(struct bstack_vma, file.dev), true },
		{ offsetof(struct bstack_vma, file.generation), true },
		{ offsetof(struct bstack_vma, kind), true },
	};
	struct made m;

	if (!setup())
		return;
	for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
		struct bstack_vma other = libc_vma;

		if (members[i].is_narrow)
			++*(uint32_t *)((char *)&other + members[i].off);
		else
			*(uint64_t *)((char *)&other + members[i].off) += 4096;
		open_with(&m, &other); /* it was replaced before the look */
		sample(&m, (uint32_t)getpid(), 50, code(), &libc_vma);
		CHECK_EQ(resolver_advance(m.r, 60), 0);
		CHECK_EQ(resolver_counters(m.r)->files, 0);
		CHECK_EQ(looks.calls, 1);
		made_close(&m);
	}
	/* The mapping that the sample saw, and that is there now again, is not the one /proc has told. */
	for (size_t i = 0; i < 4; i++) {
		struct bstack_vma other = libc_vma;

		other.end += i == 0 ? 4096 : 0;
		other.off += i == 1 ? 4096 : 0;
		other.file.ino += i == 2;
		other.file.dev += i == 3;
		open_with(&m, &other);
		sample(&m, (uint32_t)getpid(), 50, code(), &other);
		CHECK_EQ(resolver_advance(m.r, 60), 0);
		CHECK_EQ(resolver_counters(m.r)->files, 0);
		made_close(&m);
	}
	open_with(&m, &libc_vma); /* no look at all */
	looks.err = -ESRCH;
	sample(&m, (uint32_t)getpid(), 50, code(), &libc_vma);
	CHECK_EQ(resolver_advance(m.r, 60), 0);
	CHECK_EQ(resolver_counters(m.r)->files, 0);
	made_close(&m);
}

/* The same numbers in another mount: a file system that got the device of one that is gone. */
static void another_mount(void)
{
	struct bstack_vma other;
	struct made m;

	if (!setup())
		return;
	open_with(&m, &libc_vma);
	other = libc_vma;
	other.file.mount++;
	sample(&m, (uint32_t)getpid(), 50, code(), &libc_vma);
	sample(&m, NOBODY, 51, code(), &other);
	CHECK_EQ(resolver_advance(m.r, 60), 0);
	CHECK_EQ(resolver_finish(m.r), 0);
	CHECK_EQ(m.cnt, 2);
	CHECK_FRAME(&m, 0, EVID_PROVEN, REASON_NO, libc.seg_off + 0x100);
	CHECK_EQ(m.got[1].f[0].evidence, EVID_NONE);
	made_close(&m);
}

/*
 * What could not be asked when the sample came is asked behind it, even of a process whose mappings are all known since:
 * a file that was rewritten in place in between, which moves no sequence, is not the one that was there when they were read.
 */
static void learned_at_replay(void)
{
	uint64_t ip = code();

	if (!setup())
		return;
	mm_now = (struct bstack_mm){ .start_ns = self_start_ns(), .exec_id = 1, .seq = 6 };
	for (int is_rewritten = 0; is_rewritten < 2; is_rewritten++) {
		struct bstack_vma now = libc_vma;
		struct raw_sample s = made_raw((uint32_t)getpid(), 50, &ip, 1, NULL);
		struct made m;

		now.file.ctime_ns += (uint64_t)is_rewritten;
		open_with(&m, &now);
		mm_err = 0;
		s.mm.seq = 6;
		s.is_steady = true;
		s.vmas = &libc_vma;
		s.vma_cnt = 1;
		m.r->files_again_ns = UINT64_MAX; /* too many questions as it is */
		CHECK_EQ(resolver_sample(m.r, &s), 0);
		sample(&m, NOBODY, 51, code(), &libc_vma);
		m.r->files_again_ns = 0;
		CHECK_EQ(resolver_advance(m.r, 60), 0);
		CHECK_EQ(m.cnt, 2);
		CHECK_EQ(looks.calls, 1);
		if (is_rewritten) {
			CHECK_EQ(m.got[1].f[0].evidence, EVID_NONE);
		} else {
			CHECK_FRAME(&m, 1, EVID_PROVEN, REASON_NO, libc.seg_off + 0x100);
			CHECK_EQ(resolver_counters(m.r)->queries, 1);
		}
		made_close(&m);
	}
}

/* What is written within a tick of the clock may be written again without its time of change telling. */
static void just_changed(void)
{
	struct bstack_vma young;
	struct made m;

	if (!setup())
		return;
	young = libc_vma;
	young.file.ctime_ns = clock_real_ns() + NSEC_PER_SEC / 500;
	open_with(&m, &young);
	sample(&m, (uint32_t)getpid(), 50, code(), &young);
	CHECK_EQ(looks.calls, 0);
	CHECK_EQ(resolver_counters(m.r)->queries, 0);
	CHECK_EQ(resolver_counters(m.r)->files, 0);
	/* The clock was set back: nothing is written at that moment again. */
	young.file.ctime_ns += NSEC_PER_SEC;
	looks.now = young;
	sample(&m, (uint32_t)getpid(), 51, code(), &young);
	CHECK_EQ(looks.calls, 1);
	CHECK_EQ(resolver_counters(m.r)->files, 1);
	made_close(&m);
}

/* Who maps a file teaches it, by the event of the mapping: no sample of a process that lives on is needed. Once is enough. */
static void learned_when_mapped(void)
{
	struct map_event e;
	struct made m;

	if (!setup())
		return;
	open_with(&m, &libc_vma);
	e = (struct map_event){ .kind = MAP_EVENT_MMAP,
				.time_ns = 50,
				.pid = (uint32_t)getpid(),
				.start = libc_vma.start,
				.end = libc_vma.end,
				.off = libc_vma.off,
				.vma_kind = VMA_FILE,
				.build_id = libc.build_id,
				.path = libc.path };
	for (int i = 0; i < 3; i++)
		CHECK_EQ(resolver_learn(m.r, &e), 0);
	CHECK_EQ(looks.calls, 2); /* before and behind the question */
	CHECK_EQ(resolver_counters(m.r)->files, 1);
	sample(&m, NOBODY, 51, code(), &libc_vma);
	CHECK_EQ(m.cnt, 1);
	CHECK_FRAME(&m, 0, EVID_PROVEN, REASON_NO, libc.seg_off + 0x100);
	made_close(&m);
	/* Where the second look finds another file, nothing is learned, and it is tried a few times only. */
	open_with(&m, &libc_vma);
	looks.moves = true;
	for (int i = 0; i < 100; i++) {
		m.r->files_again_ns = 0;
		CHECK_EQ(resolver_learn(m.r, &e), 0);
	}
	CHECK(looks.calls >= 2 && looks.calls <= 32);
	CHECK_EQ(resolver_counters(m.r)->files, 0);
	made_close(&m);
}

/* What cannot be learned is not asked for with each sample. */
static void questions_are_few(void)
{
	struct bstack_vma other;
	struct made m;

	if (!setup())
		return;
	other = libc_vma;
	other.file.generation++;
	open_with(&m, &other);
	for (uint64_t i = 0; i < 1000; i++)
		sample(&m, (uint32_t)getpid(), 50 + i, code(), &libc_vma);
	CHECK_EQ(resolver_advance(m.r, 2000), 0);
	CHECK(looks.calls >= 1 && looks.calls < 20);
	CHECK_EQ(resolver_finish(m.r), 0);
	CHECK_EQ(m.cnt, 1000);
	made_close(&m);
}

/* A file that is changed over and over is another each time: memory for them is bounded, and learning goes on. */
static void files_without_end(void)
{
	struct bstack_vma v;
	struct made m;

	if (!setup())
		return;
	open_with(&m, &libc_vma);
	v = libc_vma;
	for (uint64_t i = 0; i < (1 << 18) + 100; i++) {
		v.file.ctime_ns = i;
		sample(&m, NOBODY, 50 + i, code(), &v);
		if (i % 4096 == 0)
			CHECK_EQ(resolver_advance(m.r, 50 + i), 0);
	}
	CHECK_EQ(resolver_advance(m.r, 1 << 20), 0);
	CHECK(m.r->file_cnt < 10000 && m.r->file_cap <= 1 << 18);
	sample(&m, (uint32_t)getpid(), 1 << 21, code(), &libc_vma);
	CHECK_EQ(resolver_finish(m.r), 0);
	CHECK_EQ(resolver_counters(m.r)->files, 1);
	CHECK_EQ(m.got[m.cnt - 1].f[0].evidence, EVID_PROVEN);
	made_close(&m);
}

/* The stream says one file, the sample another: moved there by mremap(), of which no event tells. */
static void stream_is_contradicted(void)
{
	struct bstack_vma at = { .start = 0x500000,
				 .end = 0x502000,
				 .off = 0x3000,
				 .file.ino = 9,
				 .kind = BSTACK_VMA_FILE };
	struct bstack_vma other_off = at, anonymous = at;
	struct made m;

	if (!setup())
		return;
	other_off.off = 0x4000;
	anonymous.kind = BSTACK_VMA_OTHER;
	open_with(&m, &at);
	event_mmap(&m, 10, NOBODY, 0x500000, 0x502000, 0x3000, 1, VMA_FILE);
	event_mmap(&m, 11, NOBODY, 0x600000, 0x602000, 0, 0, VMA_ANON);
	sample(&m, NOBODY, 20, 0x500010, NULL);
	sample(&m, NOBODY, 21, 0x500010, &at); /* nobody can be asked: the stream's word stands */
	sample(&m, NOBODY, 22, 0x500010, &other_off);
	sample(&m, NOBODY, 23, 0x500010, &anonymous);
	CHECK_EQ(resolver_advance(m.r, 60), 0);
	CHECK_EQ(resolver_finish(m.r), 0);
	CHECK_EQ(m.cnt, 4);
	CHECK_FRAME(&m, 0, EVID_TIMELINE, REASON_NO, 0x3010);
	CHECK_FRAME(&m, 1, EVID_TIMELINE, REASON_NO, 0x3010);
	CHECK_EQ(m.got[2].f[0].evidence, EVID_NONE);
	CHECK_EQ(m.got[3].f[0].evidence, EVID_NONE);
	made_close(&m);
}

/* The stream says a file of another build-id than the one that is there, and can be asked about. */
static void answer_contradicts_stream(void)
{
	struct bstack_vma other;
	struct made m;

	if (!setup())
		return;
	/* Learning fails, so that the decision is left to the stream and the answer. */
	open_with(&m, &libc_vma);
	looks.err = -ESRCH;
	event_mmap(&m, 10, (uint32_t)getpid(), libc_vma.start, libc_vma.end, libc_vma.off, 1,
		   VMA_FILE);
	other = libc_vma;
	other.file.ino++;
	sample(&m, (uint32_t)getpid(), 20, code(),
	       &other); /* neither the stream's nor the answer's */
	sample(&m, (uint32_t)getpid(), 21, code(), &libc_vma);
	CHECK_EQ(resolver_advance(m.r, 60), 0);
	CHECK(!resolver_is_idle(m.r)); /* /proc was asked, and the stream must pass its answer */
	CHECK_EQ(resolver_finish(m.r), 0);
	CHECK_EQ(m.cnt, 2);
	CHECK_FRAME(&m, 0, EVID_NONE, REASON_CONFLICT, 0);
	/* The answer is of the sample's own inode: it is that file, which was moved there. */
	CHECK_FRAME(&m, 1, EVID_QUERY, REASON_NO, libc.seg_off + 0x100);
	CHECK(m.got[1].f[0].module != UINT32_MAX &&
	      build_id_same_bytes(&resolver_module(m.r, m.got[1].f[0].module)->build_id,
				  &libc.build_id));
	made_close(&m);

	/* It was mapped anew since: the answer is of later, and says nothing. */
	open_with(&m, &libc_vma);
	looks.err = -ESRCH;
	event_mmap(&m, 10, (uint32_t)getpid(), libc_vma.start, libc_vma.end, libc_vma.off, 1,
		   VMA_FILE);
	sample(&m, (uint32_t)getpid(), 20, code(), &other);
	CHECK_EQ(resolver_advance(m.r, 25), 0);
	event_mmap(&m, 30, (uint32_t)getpid(), libc_vma.start, libc_vma.end, libc_vma.off, 2,
		   VMA_FILE);
	CHECK_EQ(resolver_advance(m.r, 60), 0);
	CHECK_EQ(resolver_finish(m.r), 0);
	CHECK_EQ(m.cnt, 1);
	CHECK_FRAME(&m, 0, EVID_TIMELINE, REASON_NO, libc.seg_off + 0x100);
	CHECK(m.got[0].f[0].module != UINT32_MAX &&
	      resolver_module(m.r, m.got[0].f[0].module)->build_id.bytes[0] == 1);
	made_close(&m);
}

/* What /proc has told of a file does not speak for one of another device, moved there by mremap(). */
static void answer_of_another_device(void)
{
	uint64_t later_ns = clock_mono_ns() + NSEC_PER_SEC;
	struct bstack_vma other;
	struct made m;

	if (!setup())
		return;
	open_with(&m, &libc_vma);
	looks.err = -ESRCH;
	sample(&m, (uint32_t)getpid(), 20, code(), &libc_vma);
	CHECK_EQ(resolver_advance(m.r, later_ns), 0);
	CHECK(resolver_is_idle(m.r));
	other = libc_vma;
	other.file.dev++;
	sample(&m, (uint32_t)getpid(), later_ns + 1, code(), &other);
	CHECK_EQ(resolver_advance(m.r, later_ns + 2), 0);
	CHECK_EQ(resolver_finish(m.r), 0);
	CHECK_EQ(m.cnt, 2);
	CHECK_FRAME(&m, 0, EVID_QUERY, REASON_NO, libc.seg_off + 0x100);
	CHECK_EQ(m.got[1].f[0].evidence, EVID_NONE);
	made_close(&m);
}

static void sample_rest(struct made *m, uint32_t pid, uint64_t time_ns, uint64_t ip,
			const struct bstack_vma *v)
{
	struct raw_sample s = made_raw(pid, time_ns, &ip, 1, NULL);
	struct stack_rest rest = { .state.ip = ip };
	struct bstack_step step = {};

	s.cause = CAUSE_NONE;
	s.vmas = v;
	s.vma_cnt = 1;
	s.steps = &step;
	s.step_cnt = 1;
	s.rest = &rest;
	s.end = BSTACK_END_NO_TABLE;
	steps = 0;
	CHECK_EQ(resolver_sample(m->r, &s), 0);
}

/*
 * A walk that goes on is made at once, by what the stream says at that moment. Should the answer contradict, then what was
 * found by the wrong file goes.
 */
static void rest_of_a_walk(void)
{
	struct bstack_vma at = { .start = 0x500000,
				 .end = 0x502000,
				 .off = 0x3000,
				 .file.ino = 9,
				 .kind = BSTACK_VMA_FILE };
	struct bstack_vma other;
	struct made m;

	if (!setup())
		return;
	open_with(&m, &at);
	caller = 0x500800;
	event_mmap(&m, 10, NOBODY, 0x500000, 0x502000, 0x3000, 1, VMA_FILE);
	sample_rest(&m, NOBODY, 20, 0x500010, &at);
	CHECK_EQ(resolver_advance(m.r, 60), 0);
	CHECK_EQ(m.cnt, 1);
	CHECK_EQ(m.got[0].cnt, 2);
	CHECK_FRAME(&m, 0, EVID_TIMELINE, REASON_NO, 0x3010);
	CHECK_EQ(m.got[0].f[1].off, 0x3800);
	made_close(&m);

	for (int i = 0; i < 3; i++) { /* another file; none that can be; would, but is of later */
		other = libc_vma;
		other.file.ino += i > 0;
		caller = code() + 0x40;
		open_with(&m, &libc_vma);
		looks.err = -ESRCH;
		event_mmap(&m, 10, (uint32_t)getpid(), libc_vma.start, libc_vma.end, libc_vma.off,
			   1, VMA_FILE);
		sample_rest(&m, (uint32_t)getpid(), 20, code(), &other);
		CHECK_EQ(resolver_advance(m.r, 25), 0);
		CHECK(!resolver_is_idle(m.r));
		CHECK_EQ(steps, 2);
		if (i == 2)
			event(&m, MAP_EVENT_EXEC, 26, (uint32_t)getpid(), 0);
		CHECK_EQ(resolver_advance(m.r, clock_mono_ns() + NSEC_PER_SEC), 0);
		CHECK(resolver_is_idle(m.r));
		CHECK_EQ(m.cnt, 1);
		CHECK_EQ(m.got[0].cnt, i == 2 ? 2 : 1);
		if (i == 0)
			CHECK_FRAME(&m, 0, EVID_QUERY, REASON_NO, libc.seg_off + 0x100);
		else if (i == 1)
			CHECK_FRAME(&m, 0, EVID_NONE, REASON_CONFLICT, 0);
		else
			CHECK_FRAME(&m, 0, EVID_TIMELINE, REASON_NO, libc.seg_off + 0x100);
		made_close(&m);
	}
}

static void vdso(void)
{
	struct bstack_vma v = { .start = 0x7fff0000, .end = 0x7fff2000, .kind = BSTACK_VMA_VDSO };
	struct made m;

	if (!setup())
		return;
	open_with(&m, &v);
	sample(&m, NOBODY, 50, 0x7fff0123, &v);
	CHECK_EQ(resolver_advance(m.r, 60), 0);
	CHECK_EQ(m.cnt, 1);
	CHECK_FRAME(&m, 0, EVID_VDSO, REASON_NO, 0x123);
	CHECK_EQ(looks.calls, 0);
	made_close(&m);
}

/* The kernel's own build-id, and its mapping: proven when they agree. */
static void with_build_id(void)
{
	struct raw_id id = { .is_valid = true };
	uint64_t ip = code();
	struct made m;

	if (!setup())
		return;
	for (int i = 0; i < 2; i++) {
		struct raw_sample s = made_raw((uint32_t)getpid(), 50, &ip, 1, &id);

		id.build_id = libc.build_id;
		id.build_id.bytes[0] ^= (uint8_t)i;
		id.off = libc.seg_off + 0x100;
		s.vmas = &libc_vma;
		s.vma_cnt = 1;
		open_with(&m, &libc_vma);
		CHECK_EQ(resolver_sample(m.r, &s), 0);
		CHECK_EQ(resolver_advance(m.r, 60), 0);
		CHECK_EQ(resolver_finish(m.r), 0);
		CHECK_EQ(m.cnt, 1);
		CHECK_EQ(m.got[0].f[0].is_proven, i == 0);
		CHECK_EQ(m.got[0].f[0].evidence, i == 0 ? EVID_KERNEL : EVID_NONE);
		made_close(&m);
	}
}

/* What the frame of a sample comes to, behind an event (or NULL), the file being learned before or not. */
static struct resolved_frame alone(const struct raw_sample *s, const struct map_event *e,
				   bool is_learned)
{
	struct resolved_frame f;
	struct made m;

	open_with(&m, &libc_vma);
	if (is_learned)
		sample(&m, (uint32_t)getpid(), 40, code(), &libc_vma);
	if (e)
		CHECK_EQ(resolver_event(m.r, e), 0);
	CHECK_EQ(resolver_sample(m.r, s), 0);
	CHECK_EQ(resolver_advance(m.r, 60), 0);
	CHECK_EQ(resolver_finish(m.r), 0);
	CHECK_EQ(m.cnt, is_learned + 1);
	f = m.got[is_learned].f[0];
	made_close(&m);
	return f;
}

static bool setup_flux(struct bstack_vma *ret, uint64_t *ret_ip)
{
	if (!setup())
		return false;
	*ret = libc_vma;
	ret->is_in_flux = true;
	*ret_ip = code();
	return true;
}

/* A mapping that a writer was at proves nothing and teaches nothing; an answer that it contradicts is not taken. */
static void in_flux(void)
{
	struct bstack_vma flux;
	uint64_t ip = 0;
	struct raw_sample s = made_raw((uint32_t)getpid(), 50, &ip, 1, NULL);
	struct resolved_frame f;

	if (!setup_flux(&flux, &ip))
		return;
	s.vmas = &flux;
	s.vma_cnt = 1;
	for (int i = 0; i < 4; i++) {
		flux.off = libc_vma.off + (i & 1 ? 0x1000 : 0);
		f = alone(&s, NULL, i & 2);
		CHECK_EQ(looks.calls, i & 2 ? 1 : 0);
		CHECK_EQ(f.evidence, i & 1 ? EVID_NONE : EVID_QUERY);
		CHECK_EQ(f.reason, i & 1 ? REASON_CONFLICT : REASON_NO);
	}
}

/* Of a file that is known it is that file, or nothing: what the stream says of another with the same offset is not taken. */
static void in_flux_of_a_known_file(void)
{
	struct bstack_vma flux;
	uint64_t ip = 0;
	struct raw_sample s = made_raw(NOBODY, 50, &ip, 1, NULL);
	struct resolved_frame f;

	if (!setup_flux(&flux, &ip))
		return;
	s.vmas = &flux;
	s.vma_cnt = 1;
	for (int i = 0; i < 2; i++) {
		struct map_event e = { .kind = MAP_EVENT_MMAP,
				       .time_ns = 10,
				       .pid = NOBODY,
				       .start = flux.start,
				       .end = flux.end,
				       .off = flux.off,
				       .build_id = i ? libc.build_id : made_id(1),
				       .vma_kind = VMA_FILE,
				       .path = libc.path };

		f = alone(&s, &e, true);
		CHECK_EQ(f.evidence, i ? EVID_TIMELINE : EVID_NONE);
	}
}

/* Code that was moved there, of which no event tells, is not garbage: the sample has its mapping. */
static void in_flux_where_nothing_was_mapped(void)
{
	struct bstack_vma flux;
	uint64_t ip = 0;
	struct raw_sample s = made_raw(NOBODY, 50, &ip, 1, NULL);
	struct map_event exec = { .kind = MAP_EVENT_EXEC, .time_ns = 10, .pid = NOBODY };
	struct resolved_frame f;

	if (!setup_flux(&flux, &ip))
		return;
	for (int i = 0; i < 2; i++) {
		s.vmas = i ? &flux : NULL;
		s.vma_cnt = (size_t)i;
		f = alone(&s, &exec, false);
		CHECK_EQ(f.reason, i ? REASON_GONE : REASON_GARBAGE);
	}
}

/* A file that is said to be where the sample has no mapping came later, unless the kernel read its build-id then. */
static void nothing_was_there(void)
{
	struct raw_id id = { .is_valid = true };
	uint64_t ip = 0;
	struct raw_sample s = made_raw((uint32_t)getpid(), 50, &ip, 1, NULL);
	struct resolved_frame f;

	if (!setup())
		return;
	ip = code();
	f = alone(&s, NULL, false);
	CHECK_EQ(f.evidence, EVID_QUERY);
	s.has_all_vmas = true;
	f = alone(&s, NULL, false);
	CHECK_EQ(f.evidence, EVID_NONE);
	CHECK_EQ(f.reason, REASON_CONFLICT);
	id.build_id = libc.build_id;
	id.off = libc.seg_off + 0x100;
	s.ids = &id;
	f = alone(&s, NULL, false);
	CHECK_EQ(f.evidence, EVID_KERNEL);
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		TEST(one_question),
		TEST(not_the_same),
		TEST(another_mount),
		TEST(learned_at_replay),
		TEST(just_changed),
		TEST(learned_when_mapped),
		TEST(questions_are_few),
		TEST(files_without_end),
		TEST(stream_is_contradicted),
		TEST(answer_contradicts_stream),
		TEST(answer_of_another_device),
		TEST(rest_of_a_walk),
		TEST(vdso),
		TEST(with_build_id),
		TEST(in_flux),
		TEST(in_flux_of_a_known_file),
		TEST(in_flux_where_nothing_was_mapped),
		TEST(nothing_was_there),
		{},
	};

	return test_main(tests, argc, argv);
}
