/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_resolve_rest.c - walks that the resolver finishes: a scripted on_step says each next caller, mapping events and
 * /proc say what is there. Which step of the script comes next is kept in a register of the sample's own state.
 */
#include <signal.h>
#include <sys/prctl.h>

#include "resolve_made.h"

#define P     NOBODY
#define A     0x100000000000ULL /* nothing of ours is mapped so low */
#define B     0x100000100000ULL
#define PAGE  0x1000ULL
#define END   (UINT64_MAX / 2)
#define STEPS BSTACK_BP /* register: steps made */

/* What a step finds: the caller, or how the walk ends. */
struct call {
	uint64_t ip;
	bool is_interrupted; /* not a return address */
	int end;
};

struct delivery {
	uint64_t time_ns;
	uint8_t end;
	bool is_truncated, has_steps;
	size_t cnt, step_cnt;
	struct resolved_frame f[2 * BSTACK_FRAMES];
};

struct script {
	struct made m; /* first: what made_module() takes */
	const struct call *calls;
	struct delivery *got;
	size_t cnt, cap, step_calls;
	bool is_endless;        /* the first call again and again */
	bool is_read_in_memory; /* the caller's ip is in the stack at sp */
};

static struct loaded self, libc, loader;
static uint32_t me;

static int script_step(void *ctx, struct stack_rest *rest, const struct resolved_frame *f)
{
	struct script *s = ctx;
	struct unwind_state *st = &rest->state;
	const struct call *c = &s->calls[s->is_endless ? 0 : st->regs[STEPS]];

	s->step_calls++;
	CHECK_EQ(f->ip, st->ip);
	CHECK_EQ(f->is_caller, st->is_caller);
	CHECK(f->evidence != EVID_NONE || f->reason != REASON_UNKNOWN); /* it is resolved */
	if (c->end)
		return c->end;
	st->regs[STEPS]++;
	st->ip = c->ip;
	if (s->is_read_in_memory) {
		CHECK(st->sp >= rest->base && st->sp + 8 <= rest->base + rest->sz);
		memcpy(&st->ip, rest->bytes + (st->sp - rest->base), 8);
		st->sp += 8;
	}
	st->is_caller = !c->is_interrupted;
	return 0;
}

static int script_sample(void *ctx, const struct resolved_sample *rs)
{
	struct script *s = ctx;
	struct delivery *d;

	if (array_reserve(&s->got, &s->cap, s->cnt + 1, sizeof(*d), SIZE_MAX / 2))
		abort();
	d = &s->got[s->cnt++];
	*d = (struct delivery){ .time_ns = rs->raw->time_ns,
				.end = rs->raw->end,
				.is_truncated = rs->raw->is_truncated,
				.has_steps = rs->raw->steps != NULL,
				.cnt = rs->raw->user_cnt,
				.step_cnt = rs->raw->step_cnt };
	for (size_t i = 0; i < d->cnt && i < ARRAY_SIZE(d->f); i++) {
		d->f[i] = rs->frames[i];
		CHECK_EQ(rs->raw->user_ips[i], d->f[i].ip);
	}
	return 0;
}

static const struct resolver_ops script_ops = { .on_sample = script_sample,
						.on_step = script_step,
						.on_module = made_module };

static void script_open(struct script *s, const struct call *calls)
{
	*s = (struct script){ .calls = calls };
	if (resolver_new(&script_ops, s, &s->m.r))
		abort();
}

static void script_close(struct script *s)
{
	resolver_free(s->m.r);
	free(s->got);
}

/* A sample whose walk goes on from its last frame, with sz bytes of stack. */
static void sample_rest(struct script *s, uint32_t pid, uint64_t time_ns, const uint64_t *ips,
			size_t cnt, struct stack_rest rest)
{
	struct bstack_step steps[2 * BSTACK_FRAMES] = {};
	struct raw_sample raw = made_raw(pid, time_ns, ips, cnt, NULL);

	if (cnt)
		rest.state.ip = ips[cnt - 1];
	raw.steps = steps;
	raw.step_cnt = cnt;
	raw.end = BSTACK_END_NO_TABLE;
	raw.rest = &rest;
	CHECK_EQ(resolver_sample(s->m.r, &raw), 0);
}

static void sample_one(struct script *s, uint32_t pid, uint64_t time_ns, uint64_t ip)
{
	sample_rest(s, pid, time_ns, &ip, 1, (struct stack_rest){});
}

static bool check_cnt(const struct script *s, size_t delivery, size_t frame_cnt)
{
	return CHECK(s->cnt > delivery) && CHECK_EQ(s->got[delivery].cnt, frame_cnt);
}

static void check_frame(const struct script *s, size_t i, enum evidence evidence,
			const struct build_id *id, uint64_t ip, uint64_t off, bool is_caller)
{
	const struct resolved_frame *f = &s->got[0].f[i];
	const struct module *mod = resolver_module(s->m.r, f->module);

	if (!CHECK_EQ(f->evidence, evidence))
		printf("# frame %zu: reason %d\n", i, f->reason);
	CHECK_EQ(f->ip, ip);
	CHECK_EQ(f->off, off);
	CHECK_EQ(f->is_caller, is_caller);
	CHECK_EQ(f->fallback, -1);
	CHECK(mod && build_id_eq(&mod->build_id, id));
}

/* Frame i says nothing of a file. */
static void check_none(const struct script *s, size_t i, enum reason reason)
{
	const struct resolved_frame *f = &s->got[0].f[i];

	CHECK_EQ(f->evidence, EVID_NONE);
	CHECK_EQ(f->reason, reason);
	CHECK_EQ(f->module, UINT32_MAX);
}

static void two_files(struct script *s, uint64_t time_ns, uint32_t pid)
{
	event_mmap(&s->m, time_ns, pid, A, A + PAGE, 0x3000, 1, VMA_FILE);
	event_mmap(&s->m, time_ns, pid, B, B + PAGE, 0, 2, VMA_FILE);
}

static void frames_are_added_in_order(void)
{
	static const struct call calls[] = {
		{ B + 5, false, 0 },
		{ B + 6, true, 0 }, /* behind a signal frame */
		{ A + 7, false, 0 },
		{ .end = BSTACK_END_ROOT },
	};
	const struct build_id one = made_id(1), two = made_id(2);
	uint64_t ips[] = { A + 1, A + 2 };
	struct script s;

	script_open(&s, calls);
	two_files(&s, 10, P);
	sample_rest(&s, P, 100, ips, 2, (struct stack_rest){ .state.is_caller = 1 });
	CHECK_EQ(resolver_advance(s.m.r, 200), 0);
	CHECK_EQ(s.cnt, 1);
	CHECK_EQ(s.step_calls, 4);
	if (check_cnt(&s, 0, 5)) {
		check_frame(&s, 0, EVID_TIMELINE, &one, A + 1, 0x3001, false);
		check_frame(&s, 1, EVID_TIMELINE, &one, A + 2, 0x3002, true);
		check_frame(&s, 2, EVID_TIMELINE, &two, B + 5, 5, true);
		check_frame(&s, 3, EVID_TIMELINE, &two, B + 6, 6, false);
		check_frame(&s, 4, EVID_TIMELINE, &one, A + 7, 0x3007, true);
		CHECK_EQ(s.got[0].end, BSTACK_END_ROOT);
		CHECK_EQ(s.got[0].step_cnt, 2); /* BPF's */
		CHECK(s.got[0].has_steps && !s.got[0].is_truncated);
	}
	CHECK(resolver_is_idle(s.m.r));
	script_close(&s);
}

/* Which of the frames that BPF found is no return address: the first, but for a rest that says so of its last. */
static void first_of_the_rest(void)
{
	static const struct call root[] = { { .end = BSTACK_END_ROOT } };
	uint64_t ips[] = { A + 1, A + 2, A + 3 };

	for (unsigned int i = 0; i < 4; i++) {
		size_t cnt = i / 2 ? 3 : 1;
		struct script s;

		script_open(&s, root);
		two_files(&s, 10, P);
		sample_rest(&s, P, 100, ips, cnt, (struct stack_rest){ .state.is_caller = i % 2 });
		CHECK_EQ(resolver_advance(s.m.r, 200), 0);
		if (check_cnt(&s, 0, cnt))
			for (size_t k = 0; k < cnt; k++)
				CHECK_EQ(s.got[0].f[k].is_caller, k + 1 == cnt ? i % 2 : k > 0);
		script_close(&s);
	}
}

static void every_end_is_kept(void)
{
	for (int end = BSTACK_END_ROOT; end <= BSTACK_END_FP_LOST; end++) {
		struct call calls[] = { { A + 1, false, 0 }, { .end = end } };
		struct script s;

		script_open(&s, calls);
		two_files(&s, 10, P);
		sample_one(&s, P, 100, B);
		CHECK_EQ(resolver_advance(s.m.r, 200), 0);
		if (check_cnt(&s, 0, 2)) {
			CHECK_EQ(s.got[0].end, end);
			CHECK(!s.got[0].is_truncated);
		}
		script_close(&s);
	}
}

/* A stack of user_cnt frames with a rest that never ends, or ends at its last frame. */
static void long_stack(size_t user_cnt, bool is_endless)
{
	struct call calls[BSTACK_FRAMES + 1] = {};
	uint64_t ips[2 * BSTACK_FRAMES];
	struct script s;
	size_t add_cnt = BSTACK_FRAMES - user_cnt;

	for (size_t i = 0; i < user_cnt; i++)
		ips[i] = A + i;
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
		calls[i].ip = A + 0x100 + i;
	if (!is_endless)
		calls[add_cnt].end = BSTACK_END_ROOT;
	script_open(&s, calls);
	s.is_endless = is_endless;
	two_files(&s, 10, P);
	sample_rest(&s, P, 100, ips, user_cnt, (struct stack_rest){ .state.is_caller = 1 });
	CHECK_EQ(resolver_advance(s.m.r, 200), 0);
	if (check_cnt(&s, 0, BSTACK_FRAMES)) {
		CHECK_EQ(s.got[0].is_truncated, is_endless);
		CHECK_EQ(s.got[0].end, is_endless ? BSTACK_END_TRUNCATED : BSTACK_END_ROOT);
		CHECK_EQ(s.got[0].step_cnt, user_cnt);
		for (size_t i = 0; i < BSTACK_FRAMES; i++)
			CHECK_EQ(s.got[0].f[i].evidence, EVID_TIMELINE);
	}
	CHECK_EQ(s.step_calls, add_cnt + 1);
	script_close(&s);
}

static void truncated(void)
{
	static const size_t cnts[] = { 1, 2, BSTACK_FRAMES - 1, BSTACK_FRAMES };

	for (size_t i = 0; i < ARRAY_SIZE(cnts); i++) {
		long_stack(cnts[i], true);
		long_stack(cnts[i], false);
	}
}

/* Nothing to go on from, or no room to. */
static void no_step_is_made(void)
{
	static const struct call calls[] = { { A, false, 0 }, { .end = BSTACK_END_ROOT } };
	uint64_t ips[2 * BSTACK_FRAMES];

	for (size_t i = 0; i < ARRAY_SIZE(ips); i++)
		ips[i] = A + i;
	for (int is_long = 0; is_long < 2; is_long++) {
		size_t cnt = is_long ? ARRAY_SIZE(ips) : 0;
		struct script s;

		script_open(&s, calls);
		two_files(&s, 10, P);
		sample_rest(&s, P, 100, ips, cnt, (struct stack_rest){});
		CHECK_EQ(resolver_advance(s.m.r, 200), 0);
		CHECK_EQ(s.step_calls, 0);
		if (check_cnt(&s, 0, cnt))
			CHECK_EQ(s.got[0].end, BSTACK_END_NO_TABLE);
		script_close(&s);
	}
}

/* The kernel's build-ids are of its own frames only. */
static void ids_are_of_the_first_frames(void)
{
	static const struct call calls[] = { { B + 5, false, 0 }, { .end = BSTACK_END_ROOT } };
	const struct build_id one = made_id(1), two = made_id(2);
	uint8_t ones[256];
	uint64_t ip = A + 1;
	struct raw_id id = { .is_valid = true, .build_id = one, .off = 0x3001 };
	struct stack_rest rest = { .state.ip = ip, .bytes = ones, .sz = sizeof(ones) };
	struct raw_sample raw = made_raw(P, 100, &ip, 1, &id);
	struct script s;

	memset(ones, 1, sizeof(ones));
	raw.rest = &rest;
	script_open(&s, calls);
	two_files(&s, 10, P);
	CHECK_EQ(resolver_sample(s.m.r, &raw), 0);
	CHECK_EQ(resolver_advance(s.m.r, 200), 0);
	if (check_cnt(&s, 0, 2)) {
		check_frame(&s, 0, EVID_TIMELINE, &one, A + 1, 0x3001, false);
		check_frame(&s, 1, EVID_TIMELINE, &two, B + 5, 5, true);
	}
	script_close(&s);
}

static void stack_is_copied(void)
{
	static const struct call calls[] = { {}, {}, {}, { .end = BSTACK_END_ROOT } };
	uint64_t stack[] = { A + 3, A + 2, B + 1 }, ip = B;
	struct stack_rest rest = {
		.state.sp = 0x7000, .base = 0x7000, .bytes = (uint8_t *)stack, .sz = sizeof(stack)
	};
	struct script s;

	script_open(&s, calls);
	s.is_read_in_memory = true;
	two_files(&s, 10, P);
	sample_rest(&s, P, 100, &ip, 1, rest);
	memset(stack, 0xff, sizeof(stack));
	ip = 1;
	CHECK_EQ(resolver_advance(s.m.r, 200), 0);
	if (check_cnt(&s, 0, 4)) {
		CHECK_EQ(s.got[0].f[0].ip, B);
		CHECK_EQ(s.got[0].f[1].ip, A + 3);
		CHECK_EQ(s.got[0].f[2].ip, A + 2);
		CHECK_EQ(s.got[0].f[3].ip, B + 1);
	}
	script_close(&s);
}

/* The file at an added frame's address is that of the sample's moment. */
static void mapping_of_the_moment(void)
{
	static const struct call calls[] = { { B + 5, false, 0 }, { .end = BSTACK_END_ROOT } };
	const struct build_id two = made_id(2), three = made_id(3);

	for (int is_later = 0; is_later < 2; is_later++) {
		struct script s;

		script_open(&s, calls);
		two_files(&s, 10, P);
		sample_one(&s, P, is_later ? 151 : 149, A);
		event_mmap(&s.m, 150, P, B, B + PAGE, 0, 3, VMA_FILE);
		CHECK_EQ(resolver_advance(s.m.r, 200), 0);
		if (check_cnt(&s, 0, 2))
			check_frame(&s, 1, EVID_TIMELINE, is_later ? &three : &two, B + 5, 5, true);
		script_close(&s);
	}
}

/* Code of a loaded file, somewhere in its segment. */
static uint64_t code(const struct loaded *l, uint64_t at)
{
	return loaded_ip(l, l->seg_off + at);
}

/* Let the stream pass the newest answer, and no more. */
static void pass_answer(struct script *s, uint32_t pid)
{
	struct process *p = process_find(s->m.r, pid);
	uint64_t ready_ns;

	if (!CHECK(p && p->answer_cnt))
		return;
	ready_ns = p->answers[p->answer_cnt - 1]->ready_ns;
	CHECK_EQ(resolver_advance(s->m.r, ready_ns), 0);
	CHECK_EQ(s->cnt, 0);
	CHECK_EQ(resolver_advance(s->m.r, ready_ns + 1), 0);
}

static void waits_in_the_middle(void)
{
	const struct call calls[] = { { A + 1, false, 0 },
				      { code(&self, 3), false, 0 },
				      { B + 2, true, 0 },
				      { .end = BSTACK_END_STUCK } };
	const struct build_id one = made_id(1), two = made_id(2);
	struct script s;

	script_open(&s, calls);
	two_files(&s, 10, me);
	sample_one(&s, me, 100, A);
	CHECK_EQ(resolver_advance(s.m.r, 200), 0);
	CHECK_EQ(s.cnt, 0);
	CHECK_EQ(s.step_calls, 2); /* the third needs the second resolved */
	CHECK_EQ(resolver_counters(s.m.r)->queries, 1);
	CHECK_EQ(resolver_counters(s.m.r)->waits, 1);
	pass_answer(&s, me);
	if (check_cnt(&s, 0, 4)) {
		check_frame(&s, 0, EVID_TIMELINE, &one, A, 0x3000, false);
		check_frame(&s, 1, EVID_TIMELINE, &one, A + 1, 0x3001, true);
		check_frame(&s, 2, EVID_QUERY, &self.build_id, code(&self, 3), self.seg_off + 3,
			    true);
		check_frame(&s, 3, EVID_TIMELINE, &two, B + 2, 2, false);
		CHECK_EQ(s.got[0].end, BSTACK_END_STUCK);
	}
	CHECK(resolver_is_idle(s.m.r));
	CHECK_EQ(resolver_advance(s.m.r, END), 0);
	CHECK_EQ(resolver_finish(s.m.r), 0);
	CHECK_EQ(s.cnt, 1);
	script_close(&s);
}

/* One question a file, and none for a file that was asked about: its answer is known then. */
static void waits_again_and_again(void)
{
	const struct call calls[] = { { code(&libc, 1), false, 0 },   { code(&self, 2), false, 0 },
				      { code(&libc, 3), false, 0 },   { code(&self, 4), true, 0 },
				      { code(&loader, 5), false, 0 }, { code(&libc, 6), false, 0 },
				      { .end = BSTACK_END_ROOT } };
	struct script s;

	script_open(&s, calls);
	sample_one(&s, me, 100, code(&self, 0));
	CHECK_EQ(resolver_advance(s.m.r, 200), 0);
	for (size_t i = 0; i < 3; i++) { /* the program, the C library, the loader */
		CHECK_EQ(s.cnt, 0);
		CHECK_EQ(resolver_counters(s.m.r)->queries, i + 1);
		pass_answer(&s, me);
	}
	if (check_cnt(&s, 0, 7)) {
		const struct loaded *at[] = { &self, &libc, &self, &libc, &self, &loader, &libc };

		for (size_t i = 0; i < 7; i++)
			check_frame(&s, i, EVID_QUERY, &at[i]->build_id, code(at[i], i),
				    at[i]->seg_off + i, i && i != 4);
		CHECK_EQ(s.got[0].end, BSTACK_END_ROOT);
	}
	CHECK_EQ(resolver_counters(s.m.r)->waits, 1); /* of samples */
	CHECK_EQ(resolver_finish(s.m.r), 0);
	CHECK_EQ(s.cnt, 1);
	script_close(&s);
}

/* Samples wait side by side, each for what it needs. */
static void many_wait(void)
{
	const struct call calls[] = {
		{ code(&libc, 1), false, 0 },   { A + 1, false, 0 },
		{ code(&loader, 5), false, 0 }, { code(&self, 2), false, 0 },
		{ .end = BSTACK_END_ROOT },
	};
	struct script s;

	script_open(&s, calls);
	two_files(&s, 10, me);
	for (uint64_t i = 0; i < 40; i++) {
		uint64_t ip = i % 3 ? A : code(&self, i);

		sample_rest(&s, me, 100 + i, &ip, 1,
			    (struct stack_rest){ .state.regs[STEPS] = i % 5 });
	}
	CHECK_EQ(resolver_advance(s.m.r, 300), 0);
	for (int i = 0; i < 5; i++)
		CHECK_EQ(resolver_advance(s.m.r, END), 0);
	CHECK(resolver_is_idle(s.m.r));
	CHECK_EQ(s.cnt, 40);
	for (size_t i = 0; i < s.cnt; i++) {
		CHECK_EQ(s.got[i].cnt, 5 - (s.got[i].time_ns - 100) % 5);
		CHECK_EQ(s.got[i].end, BSTACK_END_ROOT);
		for (size_t k = 0; k < s.got[i].cnt; k++)
			CHECK(s.got[i].f[k].evidence != EVID_NONE);
	}
	script_close(&s);
}

/* What becomes of a process while its sample waits for the leaf's answer. */
enum change {
	CHANGE_NONE,
	CHANGE_MMAP,
	CHANGE_EXEC,
	CHANGE_FORK,  /* the number, used again */
	CHANGE_RENEW, /* seen by another sample's identity only */
	CHANGE_LOST,
	CHANGE_CNT
};

static void change_make(struct script *s, enum change change)
{
	uint64_t ip = A;
	struct raw_sample other = made_raw(me, 150, &ip, 1, NULL);

	other.mm.exec_id++;
	switch (change) {
	case CHANGE_MMAP:
		event_mmap(&s->m, 150, me, B, B + PAGE, 0, 3, VMA_FILE);
		break;
	case CHANGE_EXEC:
		event(&s->m, MAP_EVENT_EXEC, 150, me, 0);
		break;
	case CHANGE_FORK:
		event(&s->m, MAP_EVENT_FORK, 150, me, NOBODY - 7);
		break;
	case CHANGE_RENEW:
		CHECK_EQ(resolver_sample(s->m.r, &other), 0);
		break;
	case CHANGE_LOST:
		event_lost(&s->m, 150, 160);
		break;
	case CHANGE_NONE:
	case CHANGE_CNT:
		break;
	}
	/* What runs there now, if anything does. */
	if (change > CHANGE_MMAP)
		event_mmap(&s->m, 170, me, B, B + PAGE, 0, 4, VMA_FILE);
}

/* Delivered by then: the sample at time 100 comes first, whatever is behind it. */
static void move_to_front(struct script *s)
{
	for (size_t i = 1; i < s->cnt; i++) {
		if (s->got[i].time_ns == 100) {
			struct delivery d = s->got[i];

			s->got[i] = s->got[0];
			s->got[0] = d;
		}
	}
}

static void changes_while_it_waits(void)
{
	const struct call calls[] = { { B + 5, false, 0 }, { .end = BSTACK_END_ROOT } };
	const struct build_id two = made_id(2);

	for (unsigned int i = 0; i < 2 * CHANGE_CNT; i++) {
		enum change change = i / 2;
		struct script s;

		script_open(&s, calls);
		two_files(&s, 10, me);
		sample_one(&s, me, 100, code(&self, 0));
		CHECK_EQ(resolver_advance(s.m.r, 120), 0);
		change_make(&s, change);
		CHECK_EQ(resolver_advance(s.m.r, 180), 0);
		for (int k = 0; k < 3 && i % 2; k++)
			CHECK_EQ(resolver_advance(s.m.r, END), 0);
		CHECK_EQ(resolver_finish(s.m.r), 0);
		CHECK_EQ(s.cnt, change == CHANGE_RENEW ? 2 : 1);
		move_to_front(&s);
		if (check_cnt(&s, 0, 2)) {
			unsigned int failures = test_failures;

			if (change == CHANGE_NONE)
				check_frame(&s, 1, EVID_TIMELINE, &two, B + 5, 5, true);
			else
				check_none(&s, 1, REASON_CONFLICT);
			if (change > CHANGE_MMAP)
				check_none(&s, 0, REASON_CONFLICT);
			if (failures != test_failures)
				printf("# change %d, %s\n", change,
				       i % 2 ? "advanced" : "finished");
		}
		script_close(&s);
	}
}

/* A child that waits to be killed; its code is where ours is. */
static pid_t sleeper(void)
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	return pid;
}

static void gone_while_it_waits(void)
{
	const struct call calls[] = { { A + 1, false, 0 },
				      { code(&libc, 3), false, 0 },
				      { code(&self, 4), false, 0 },
				      { .end = BSTACK_END_NEVER } };
	pid_t child = sleeper();
	uint32_t pid = (uint32_t)child;
	const struct build_id one = made_id(1);
	struct script s;

	script_open(&s, calls);
	two_files(&s, 10, pid);
	sample_one(&s, pid, 100, code(&self, 0));
	s.m.r->items[s.m.r->item_cnt - 1].sample->raw.mm.start_ns =
		start_ticks(child) * (NSEC_PER_SEC / (uint64_t)sysconf(_SC_CLK_TCK));
	CHECK_EQ(resolver_advance(s.m.r, 200), 0);
	CHECK_EQ(s.cnt, 0);
	CHECK_EQ(kill(child, SIGKILL), 0);
	CHECK_EQ(waitpid(child, NULL, 0), child);
	pass_answer(&s, pid);
	CHECK_EQ(s.cnt, 1);
	if (check_cnt(&s, 0, 4)) {
		check_frame(&s, 0, EVID_QUERY, &self.build_id, code(&self, 0), self.seg_off, false);
		check_frame(&s, 1, EVID_TIMELINE, &one, A + 1, 0x3001, true);
		check_none(&s, 2, REASON_GONE); /* nobody was asked about it in time */
		check_frame(&s, 3, EVID_QUERY, &self.build_id, code(&self, 4), self.seg_off + 4,
			    true);
		CHECK_EQ(s.got[0].end, BSTACK_END_NEVER);
	}
	script_close(&s);
}

/* At the end nobody is asked any more, but what has been answered counts for every frame. */
static void finish_uses_all_answers(void)
{
	const struct call calls[] = {
		{ code(&libc, 1), false, 0 },   { code(&self, 2), false, 0 },
		{ code(&loader, 3), false, 0 }, { code(&libc, 4), false, 0 },
		{ code(&self, 5), false, 0 },   { code(&loader, 6), false, 0 },
		{ .end = BSTACK_END_ROOT }
	};
	struct script s;
	uint64_t queries;

	script_open(&s, calls);
	CHECK_EQ(resolver_snapshot(s.m.r, (pid_t)me), 0);
	queries = resolver_counters(s.m.r)->queries;
	for (uint64_t i = 0; i < 7; i++)
		sample_one(&s, me, 100 + i, code(&self, 0));
	CHECK_EQ(resolver_finish(s.m.r), 0);
	CHECK_EQ(resolver_counters(s.m.r)->queries, queries);
	CHECK_EQ(s.cnt, 7);
	CHECK(resolver_is_idle(s.m.r));
	for (size_t i = 0; i < s.cnt; i++) {
		CHECK_EQ(s.got[i].cnt, 7);
		CHECK_EQ(s.got[i].end, BSTACK_END_ROOT);
		for (size_t k = 0; k < s.got[i].cnt; k++)
			CHECK_EQ(s.got[i].f[k].evidence, EVID_QUERY);
	}
	script_close(&s);
}

/* A run of several samples and their waits, cut after n of its moments. The number of samples handed in. */
static size_t cut_run(struct script *s, unsigned int n)
{
	size_t cnt = 0;

	for (unsigned int at = 0; at < n; at++) {
		switch (at % 4) {
		case 0:
			sample_one(s, me, 100 + at, code(&self, at));
			sample_one(s, me, 101 + at, A);
			cnt += 2;
			break;
		case 1:
			CHECK_EQ(resolver_advance(s->m.r, 150), 0);
			break;
		case 2:
			event_mmap(&s->m, 160 + at, me, B, B + PAGE, 0, (uint8_t)at, VMA_FILE);
			break;
		case 3:
			CHECK_EQ(resolver_advance(s->m.r, END), 0);
			break;
		}
	}
	return cnt;
}

static void cut_at_any_moment(void)
{
	const struct call calls[] = { { B + 5, false, 0 },
				      { code(&libc, 1), false, 0 },
				      { code(&self, 2), false, 0 },
				      { code(&loader, 3), false, 0 },
				      { .end = BSTACK_END_ROOT } };

	for (unsigned int i = 0; i < 24; i++) {
		struct script s;
		size_t cnt;

		script_open(&s, calls);
		two_files(&s, 10, me);
		cnt = cut_run(&s, i / 2);
		if (i % 2) { /* else freed as it is: the sanitizer sees what is left */
			CHECK_EQ(resolver_finish(s.m.r), 0);
			CHECK(resolver_is_idle(s.m.r));
			CHECK_EQ(s.cnt, cnt);
			CHECK_EQ(resolver_counters(s.m.r)->lost_memory, 0);
		}
		for (size_t k = 0; k < s.cnt; k++)
			CHECK_EQ(s.got[k].cnt, 5);
		script_close(&s);
	}
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		TEST(frames_are_added_in_order),
		TEST(first_of_the_rest),
		TEST(every_end_is_kept),
		TEST(truncated),
		TEST(no_step_is_made),
		TEST(ids_are_of_the_first_frames),
		TEST(stack_is_copied),
		TEST(mapping_of_the_moment),
		TEST(waits_in_the_middle),
		TEST(waits_again_and_again),
		TEST(many_wait),
		TEST(changes_while_it_waits),
		TEST(gone_while_it_waits),
		TEST(finish_uses_all_answers),
		TEST(cut_at_any_moment),
		{},
	};

	me = (uint32_t)getpid();
	if (!loaded_get("", &self) || !loaded_get("libc.so", &libc) ||
	    !loaded_get("ld-linux", &loader))
		return 2;
	return test_main(tests, argc, argv);
}
