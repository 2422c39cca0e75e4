/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_query.c - what the resolver asks of /proc, about this very program and about children of its: how long an
 * answer is waited for, which events void it, who shares it. Samples are of long ago; the time of an answer is
 * the clock's, and is read from the resolver.
 */
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "resolve_made.h"

#define PAGE 0x1000ULL
#define END  (UINT64_MAX / 2)

static struct loaded self;
static uint32_t me;
static bool is_text;

/* Code of this program, somewhere in its segment. */
static uint64_t code(uint64_t at)
{
	return loaded_ip(&self, self.seg_off + at);
}

static void query_open(struct made *m)
{
	made_open(m);
	if (is_text)
		resolver_force_text(m->r);
}

/* The newest answer that is still waited for. */
static const struct answer *answer_of(const struct made *m, uint32_t pid)
{
	struct process *p = process_find(m->r, pid);

	return CHECK(p && p->answer_cnt) ? p->answers[p->answer_cnt - 1] : NULL;
}

/* A sample of long ago at code(0), asked about; its answer. */
static const struct answer *asked(struct made *m)
{
	query_open(m);
	sample_ip(m, me, 100, code(0));
	CHECK_EQ(resolver_advance(m->r, 200), 0);
	CHECK_EQ(m->cnt, 0);
	return answer_of(m, me);
}

static void answer_is_waited_for(void)
{
	struct made m;
	uint64_t before_ns = clock_mono_ns();
	const struct answer *a = asked(&m);
	uint64_t ready_ns;

	if (!a)
		return;
	CHECK(a->asked_ns >= before_ns && a->answered_ns >= a->asked_ns);
	CHECK(a->answered_ns <= clock_mono_ns());
	CHECK_EQ(a->ready_ns, a->answered_ns + RESOLVER_SLACK_NS);
	ready_ns = a->ready_ns;
	CHECK(!resolver_is_idle(m.r));
	CHECK_EQ(resolver_advance(m.r, ready_ns), 0); /* an event of that moment may still come */
	CHECK_EQ(m.cnt, 0);
	CHECK_EQ(resolver_advance(m.r, ready_ns + 1), 0);
	CHECK_EQ(m.cnt, 1);
	CHECK_FRAME(&m, 0, EVID_QUERY, REASON_NO, self.seg_off);
	CHECK_EQ(m.got[0].cause, CAUSE_SLOT_BUSY);
	CHECK_EQ(m.got[0].f[0].fallback, -1);
	CHECK(build_id_eq(&resolver_module(m.r, m.got[0].f[0].module)->build_id, &self.build_id));
	CHECK(resolver_is_idle(m.r));
	CHECK_EQ(resolver_counters(m.r)->queries, 1);
	CHECK_EQ(resolver_counters(m.r)->waits, 1);
	CHECK_EQ(m.module_calls, 1);
	CHECK_EQ(m.module_pid, me);
	made_close(&m);
}

/* Which events, of which moment and place, let the answer stand? */
static void events_around_the_answer(void)
{
	enum moment {
		BEFORE_SAMPLE,
		AFTER_SAMPLE,
		BEFORE_ASKED,
		ASKED,
		ANSWERED,
		READY,
		AFTER_READY
	};
	static const struct {
		enum moment moment;
		bool is_answer_good;
	} rows[] = {
		{ AFTER_SAMPLE, false }, { BEFORE_ASKED, false }, { ASKED, false },
		{ ANSWERED, false },     { READY, false },        { AFTER_READY, true },
	};

	for (size_t i = 0; i < 4 * ARRAY_SIZE(rows); i++) {
		struct made m;
		const struct answer *a = asked(&m);
		uint64_t start, end, t;

		if (!a)
			return;
		t = (uint64_t[]){ 0,
				  201,
				  a->asked_ns - 1,
				  a->asked_ns,
				  a->answered_ns,
				  a->ready_ns,
				  a->ready_ns + 1 }[rows[i / 4].moment];
		start = a->span.start;
		end = a->span.end;
		switch (i % 4) {
		case 0: /* its last page only, not the one asked for */
			event_mmap(&m, t, me, end - PAGE, end + PAGE, 0, 1, VMA_ANON);
			break;
		case 1:
			event(&m, MAP_EVENT_EXEC, t, me, 0);
			break;
		case 2: /* neighbours touch nothing */
			event_mmap(&m, t, me, start - PAGE, start, 0, 1, VMA_FILE);
			event_mmap(&m, t, me, end, end + PAGE, 0, 1, VMA_FILE);
			break;
		case 3: /* nor do other processes */
			event_mmap(&m, t, NOBODY, start, end, 0, 1, VMA_FILE);
			break;
		}
		CHECK_EQ(resolver_advance(m.r, END), 0);
		CHECK_EQ(m.cnt, 1);
		if (rows[i / 4].is_answer_good || i % 4 > 1) {
			CHECK_FRAME(&m, 0, EVID_QUERY, REASON_NO, self.seg_off);
		} else if (!CHECK(m.cnt == 1 && m.got[0].f[0].reason == REASON_CONFLICT)) {
			printf("# moment %d, event %zu\n", rows[i / 4].moment, i % 4);
		} else {
			CHECK_EQ(m.got[0].f[0].evidence, EVID_NONE);
			CHECK_EQ(m.got[0].f[0].module, UINT32_MAX);
			CHECK_EQ(m.got[0].cause, CAUSE_SLOT_BUSY);
		}
		made_close(&m);
	}
}

/* A sample between the event and the question still has its answer; one before has not. */
static void answer_for_the_later_sample(void)
{
	struct made m;
	const struct answer *a;

	query_open(&m);
	sample_ip(&m, me, 100, code(0));
	event_mmap(&m, 150, me, code(0) & ~(PAGE - 1), (code(0) & ~(PAGE - 1)) + PAGE, 0, 0,
		   VMA_FILE); /* without a build-id: it must be asked for */
	sample_ip(&m, me, 200, code(1));
	CHECK_EQ(resolver_advance(m.r, 300), 0);
	CHECK_EQ(resolver_counters(m.r)->queries, 1); /* shared, and only for the second good */
	a = answer_of(&m, me);
	if (a)
		CHECK_EQ(a->from_ns, 150);
	CHECK_EQ(resolver_advance(m.r, END), 0);
	CHECK_EQ(m.cnt, 2);
	CHECK_FRAME(&m, 0, EVID_NONE, REASON_CONFLICT, 0);
	CHECK_FRAME(&m, 1, EVID_QUERY, REASON_NO, self.seg_off + 1);
	/* The same when it has become knowledge. */
	sample_ip(&m, me, END + 1, code(2));
	CHECK_EQ(resolver_advance(m.r, END + 1), 0);
	CHECK_EQ(m.cnt, 3);
	CHECK_FRAME(&m, 2, EVID_QUERY, REASON_NO, self.seg_off + 2);
	CHECK_EQ(resolver_counters(m.r)->queries, 1);
	sample_ip(&m, me, 149, code(3));
	sample_ip(&m, me, 150, code(4));
	CHECK_EQ(resolver_finish(m.r), 0);
	CHECK_EQ(m.cnt, 5);
	CHECK(m.cnt == 5 && m.got[3].f[0].evidence == EVID_NONE);
	CHECK_FRAME(&m, 4, EVID_QUERY, REASON_NO, self.seg_off + 4);
	made_close(&m);
}

static void answer_is_shared_and_kept(void)
{
	struct made m;
	const struct answer *a = asked(&m);
	uint64_t ready_ns;

	if (!a)
		return;
	ready_ns = a->ready_ns;
	sample_ip(&m, me, 300, code(0x10));
	sample_ip(&m, me, 301, code(0x20));
	CHECK_EQ(resolver_advance(m.r, 400), 0);
	CHECK_EQ(m.cnt, 0);
	CHECK_EQ(resolver_counters(m.r)->queries, 1);
	CHECK_EQ(resolver_counters(m.r)->waits, 3);
	sample_ip(&m, me, ready_ns, code(0x30));     /* still waits for it */
	sample_ip(&m, me, ready_ns + 1, code(0x40)); /* now it is known */
	CHECK_EQ(resolver_advance(m.r, ready_ns + 1), 0);
	CHECK_EQ(m.cnt, 5);
	CHECK_EQ(resolver_counters(m.r)->queries, 1);
	CHECK_EQ(resolver_counters(m.r)->waits, 4);
	for (size_t i = 0; i < m.cnt; i++)
		CHECK_FRAME(&m, i, EVID_QUERY, REASON_NO,
			    self.seg_off + (m.got[i].time_ns == 100        ? 0
					    : m.got[i].time_ns == 300      ? 0x10
					    : m.got[i].time_ns == 301      ? 0x20
					    : m.got[i].time_ns == ready_ns ? 0x30
									   : 0x40));
	/* A void answer is not shared: the next sample asks again. */
	event_mmap(&m, ready_ns + 10, me, code(0), code(0) + PAGE, 0, 0, VMA_FILE);
	sample_ip(&m, me, ready_ns + 11, code(0));
	CHECK_EQ(resolver_advance(m.r, ready_ns + 20), 0);
	CHECK_EQ(resolver_counters(m.r)->queries, 2);
	CHECK_EQ(resolver_finish(m.r), 0);
	CHECK_EQ(m.cnt, 6);
	made_close(&m);
}

static void void_answer_is_asked_again(void)
{
	for (int i = 0; i < 2; i++) {
		struct made m;
		const struct answer *a = asked(&m);
		uint64_t t;

		if (!a)
			return;
		t = i ? a->answered_ns : a->asked_ns; /* the first moment at which it is void */
		event_mmap(&m, t, me, a->span.start, a->span.end, 0, 0, VMA_FILE);
		sample_ip(&m, me, t, code(7));
		CHECK_EQ(resolver_advance(m.r, t), 0);
		CHECK_EQ(resolver_counters(m.r)->queries, 2);
		CHECK_EQ(resolver_advance(m.r, END), 0);
		CHECK_EQ(m.cnt, 2);
		CHECK_FRAME(&m, 0, EVID_NONE, REASON_CONFLICT, 0);
		CHECK_FRAME(&m, 1, EVID_QUERY, REASON_NO, self.seg_off + 7);
		made_close(&m);
	}
}

/* Nor does it stay behind as knowledge. */
static void void_answer_is_forgotten(void)
{
	struct made m;
	const struct answer *a = asked(&m);
	uint64_t ready_ns;

	if (!a)
		return;
	ready_ns = a->ready_ns;
	event(&m, MAP_EVENT_EXEC, a->answered_ns, me, 0);
	sample_ip(&m, me, ready_ns + 1, code(7));
	CHECK_EQ(resolver_advance(m.r, ready_ns + 1), 0);
	CHECK_EQ(m.cnt, 1);
	CHECK_EQ(resolver_counters(m.r)->queries, 2);
	made_close(&m);
}

/*
 * Events are handed in up to a moment, samples when they come: one of before an event that was replayed already must
 * not be given what holds only since then.
 */
static void late_samples(void)
{
	for (int i = 0; i < 4; i++) {
		struct made m;

		query_open(&m);
		if (i == 0)
			event_mmap(&m, 500, me, code(0) & ~(PAGE - 1),
				   (code(0) & ~(PAGE - 1)) + PAGE, 0, 1, VMA_FILE);
		else if (i == 1)
			event(&m, MAP_EVENT_EXEC, 500, me, 0);
		else if (i == 2)
			event_lost(&m, 50, 500);
		CHECK_EQ(resolver_advance(m.r, 600), 0);
		sample_ip(&m, me, 100, code(0));
		CHECK_EQ(resolver_advance(m.r, 600), 0);
		CHECK_EQ(resolver_advance(m.r, END), 0);
		CHECK_EQ(m.cnt, 1);
		if (i < 3) {
			if (!CHECK(m.cnt && m.got[0].f[0].reason == REASON_CONFLICT))
				printf("# case %d\n", i);
		} else {
			CHECK_FRAME(&m, 0, EVID_QUERY, REASON_NO, self.seg_off);
		}
		made_close(&m);
	}
}

/* An exec that only the next sample shows: what /proc said is about the new program. */
static void exec_unseen_voids_answers(void)
{
	uint64_t ip = code(0);
	struct raw_sample s = made_raw(me, 150, &ip, 1, NULL);
	struct made m;

	if (!asked(&m))
		return;
	s.mm.exec_id++;
	CHECK_EQ(resolver_sample(m.r, &s), 0);
	CHECK_EQ(resolver_advance(m.r, 200), 0);
	CHECK_EQ(resolver_counters(m.r)->queries, 2);
	sample_ip(&m, me, 120, code(0)); /* and one of the old program, late */
	CHECK_EQ(resolver_advance(m.r, 200), 0);
	CHECK_EQ(resolver_advance(m.r, END), 0);
	CHECK_EQ(m.cnt, 3);
	for (size_t i = 0; i < m.cnt; i++) {
		if (m.got[i].time_ns != 150)
			CHECK_FRAME(&m, i, EVID_NONE, REASON_CONFLICT, 0);
	}
	made_close(&m);
}

/* What may not be asked is the program of before: another may. */
static void denied_until_exec(void)
{
	struct process *p;
	struct made m;

	made_open(&m);
	if (!CHECK_EQ(process_get(m.r, me, &p), 0))
		return;
	p->is_denied = true;
	sample_ip(&m, me, 50, code(0));
	CHECK_EQ(resolver_advance(m.r, 60), 0);
	CHECK_EQ(resolver_counters(m.r)->queries, 0);
	event(&m, MAP_EVENT_EXEC, 100, me, 0);
	sample_ip(&m, me, 150, code(0));
	CHECK_EQ(resolver_advance(m.r, 200), 0);
	CHECK_EQ(resolver_counters(m.r)->queries, 1);
	made_close(&m);
}

/* An answer of before the gap, not yet used, says nothing behind the gap. */
static void lost_events_and_answers(void)
{
	for (int i = 0; i < 2; i++) {
		struct made m;
		const struct answer *a = asked(&m);
		uint64_t since_ns, until_ns;

		if (!a)
			return;
		since_ns = a->ready_ns + (i ? 0 : 1);
		until_ns = a->ready_ns + 100;
		event_lost(&m, since_ns, until_ns);
		sample_ip(&m, me, until_ns + 1, code(1));
		CHECK_EQ(resolver_advance(m.r, until_ns + 1), 0);
		CHECK_EQ(resolver_counters(m.r)->queries, 2);
		CHECK_EQ(resolver_advance(m.r, END), 0);
		CHECK_EQ(m.cnt, 2);
		if (i)
			CHECK_FRAME(&m, 0, EVID_NONE, REASON_CONFLICT, 0);
		else
			CHECK_FRAME(&m, 0, EVID_QUERY, REASON_NO, self.seg_off);
		CHECK_FRAME(&m, 1, EVID_QUERY, REASON_NO, self.seg_off + 1);
		made_close(&m);
	}
}

/* The kernel's VALID, held against what /proc says. */
static void valid_against_the_answer(void)
{
	struct build_id other = made_id(5);
	static char page[2 * 4096] __attribute__((aligned(4096)));
	void *shared = mmap(NULL, PAGE, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	void *jit = mmap(NULL, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t out = self.seg_off + self.seg_sz;
	static const struct {
		enum evidence evidence;
		enum reason reason;
		int8_t fallback;
	} rows[] = {
		{ EVID_KERNEL, REASON_NO, -1 },
		{ EVID_NONE, REASON_CONFLICT, FFB_UNKNOWN },
		{ EVID_NONE, REASON_CONFLICT, FFB_UNKNOWN },
		{ EVID_NONE, REASON_BAD_OFFSET, FFB_BAD_OFFSET },
		{ EVID_NONE, REASON_FORGED, FFB_BAD_OFFSET },
		{ EVID_NONE, REASON_ANON, FFB_BAD_OFFSET },
		{ EVID_NONE, REASON_GARBAGE, FFB_BAD_OFFSET },
	};
	struct made m;

	query_open(&m);
	page[0] = 1;
	sample_valid(&m, me, 10, code(0), &self.build_id, self.seg_off);
	sample_valid(&m, me, 11, code(0), &other, self.seg_off);
	sample_valid(&m, me, 12, code(0), &self.build_id, self.seg_off + 1);
	sample_valid(&m, me, 13, out % PAGE ? code(self.seg_sz) : code(0) - 1, &self.build_id,
		     out % PAGE ? out : self.seg_off - 1);
	sample_valid(&m, me, 14, (uint64_t)shared, &self.build_id, self.seg_off);
	sample_valid(&m, me, 15, (uint64_t)jit, &self.build_id, self.seg_off);
	sample_valid(&m, me, 16, (uint64_t)page + 4096, &self.build_id, self.seg_off);
	CHECK_EQ(resolver_advance(m.r, 100), 0);
	CHECK_EQ(resolver_advance(m.r, END), 0);
	CHECK_EQ(m.cnt, ARRAY_SIZE(rows));
	for (size_t i = 0; i < m.cnt; i++) {
		size_t k = m.got[i].time_ns - 10;

		if (k == 3 && !(out % PAGE))
			continue;
		CHECK_FRAME(&m, i, rows[k].evidence, rows[k].reason, self.seg_off);
		if (!CHECK_EQ(m.got[i].f[0].fallback, rows[k].fallback))
			printf("# sample %zu\n", k);
	}
	made_close(&m);
	munmap(shared, PAGE);
	munmap(jit, PAGE);
}

/* A child that waits to be killed. */
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

static void sleeper_end(pid_t pid)
{
	kill(pid, SIGKILL);
	CHECK_EQ(waitpid(pid, NULL, 0), pid);
}

static void snapshot_outlives_the_process(void)
{
	pid_t pid = sleeper();
	struct made m;
	struct process *p;
	uint64_t queries, ready_ns = 0;

	query_open(&m);
	CHECK_EQ(resolver_snapshot(m.r, pid), 0);
	queries = resolver_counters(m.r)->queries;
	CHECK(queries >= 5); /* program, libc, ld.so, sanitizers, vdso */
	sleeper_end(pid);
	p = process_find(m.r, (uint32_t)pid);
	for (size_t i = 0; p && i < p->answer_cnt; i++)
		ready_ns = p->answers[i]->ready_ns;
	sample_ip(&m, (uint32_t)pid, 100, code(0x10)); /* a fork: code is where it is here */
	sample_ip(&m, (uint32_t)pid, ready_ns + 1, code(0x20));
	sample_valid(&m, (uint32_t)pid, ready_ns + 2, code(0x30), &self.build_id,
		     self.seg_off + 0x30);
	sample_ip(&m, (uint32_t)pid, ready_ns + 3, 0x10000); /* not in the snapshot */
	CHECK_EQ(resolver_advance(m.r, END), 0);
	CHECK_EQ(m.cnt, 4);
	CHECK(resolver_counters(m.r)->queries <= queries + 1);
	for (size_t i = 0; i < m.cnt; i++) {
		switch (m.got[i].time_ns == 100 ? 0 : m.got[i].time_ns - ready_ns) {
		case 0:
			CHECK_FRAME(&m, i, EVID_QUERY, REASON_NO, self.seg_off + 0x10);
			break;
		case 1:
			CHECK_FRAME(&m, i, EVID_QUERY, REASON_NO, self.seg_off + 0x20);
			break;
		case 2:
			CHECK_FRAME(&m, i, EVID_KERNEL, REASON_NO, self.seg_off + 0x30);
			break;
		case 3:
			CHECK_FRAME(&m, i, EVID_NONE, REASON_GONE, 0);
			break;
		}
	}
	CHECK_EQ(resolver_snapshot(m.r, pid), 0); /* gone is no error */
	CHECK_EQ(resolver_snapshot(m.r, (pid_t)NOBODY), 0);
	made_close(&m);
}

static void gone_before_it_was_asked(void)
{
	uint64_t ip = code(0);
	struct raw_id id = { .off = ip };
	struct raw_sample s = made_raw(me, 13, &ip, 1, NULL);
	pid_t pid = sleeper();
	struct made m;

	query_open(&m);
	sleeper_end(pid);
	sample_ip(&m, (uint32_t)pid, 10, ip);
	sample_valid(&m, (uint32_t)pid, 11, ip, &self.build_id, self.seg_off);
	CHECK_EQ(resolver_advance(m.r, 12), 0);
	CHECK_EQ(resolver_counters(m.r)->queries, 1); /* once is enough */
	s.mm.start_ns -= NSEC_PER_SEC; /* a number used again: not the one that was sampled */
	CHECK_EQ(resolver_sample(m.r, &s), 0);
	s.pid = (uint32_t)pid;
	s.time_ns = 14;
	s.mm.start_ns = 1;
	s.ids = &id;
	CHECK_EQ(resolver_sample(m.r, &s), 0);
	CHECK_EQ(resolver_advance(m.r, 15), 0);
	CHECK_EQ(m.cnt, 4);
	for (size_t i = 0; i < m.cnt; i++) {
		CHECK_FRAME(&m, i, EVID_NONE, REASON_GONE, 0);
		CHECK_EQ(m.got[i].f[0].fallback, i % 2 ? FFB_UNKNOWN : -1);
	}
	made_close(&m);
}

/* A file whose segments are known from elsewhere: then the kernel's word is enough. */
static void gone_but_the_file_is_known(void)
{
	struct made m;

	query_open(&m);
	sample_valid(&m, me, 10, code(0), &self.build_id, self.seg_off);
	CHECK_EQ(resolver_advance(m.r, 11), 0);
	sample_valid(&m, NOBODY, 20, 0x500000, &self.build_id, self.seg_off + 3);
	sample_valid(&m, NOBODY, 21, 0x500000, &self.build_id, self.seg_off - 1);
	CHECK_EQ(resolver_advance(m.r, END), 0);
	CHECK_EQ(m.cnt, 3);
	CHECK_FRAME(&m, 0, EVID_KERNEL, REASON_NO, self.seg_off + 3);
	CHECK_FRAME(&m, 1, EVID_NONE, REASON_BAD_OFFSET, 0);
	CHECK_FRAME(&m, 2, EVID_KERNEL, REASON_NO, self.seg_off);
	CHECK_EQ(m.module_calls, 1);
	made_close(&m);
}

static void finish_asks_nobody(void)
{
	struct made m;

	query_open(&m);
	sample_ip(&m, me, 10, code(0));
	CHECK_EQ(resolver_finish(m.r), 0);
	CHECK_EQ(m.cnt, 1);
	CHECK_EQ(resolver_counters(m.r)->queries, 0);
	CHECK_FRAME(&m, 0, EVID_NONE, REASON_GONE, 0);
	made_close(&m);
	if (asked(&m)) { /* what was asked before counts */
		CHECK_EQ(resolver_finish(m.r), 0);
		CHECK_FRAME(&m, 0, EVID_QUERY, REASON_NO, self.seg_off);
	}
	made_close(&m);
}

/* Out of file descriptors in the middle of a stack: an error, and no frame that says more than is known. */
static void no_descriptors(void)
{
	uint64_t ips[] = { code(0), code(1), code(2), 0x10000 };
	struct raw_sample s = made_raw(me, 10, ips, 4, NULL);
	struct rlimit lim, none;
	struct made m;
	int err;

	query_open(&m);
	CHECK_EQ(resolver_sample(m.r, &s), 0);
	CHECK_EQ(getrlimit(RLIMIT_NOFILE, &lim), 0);
	none = (struct rlimit){ .rlim_cur = 0, .rlim_max = lim.rlim_max };
	CHECK_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
	err = resolver_advance(m.r, 20);
	CHECK_EQ(setrlimit(RLIMIT_NOFILE, &lim), 0);
	CHECK_EQ(err, -EMFILE);
	CHECK_EQ(resolver_finish(m.r), 0);
	CHECK_EQ(m.cnt + resolver_counters(m.r)->lost_memory, 1);
	for (size_t i = 0; m.cnt && i < 4; i++) {
		CHECK_EQ(m.got[0].f[i].evidence, EVID_NONE);
		CHECK_EQ(m.got[0].f[i].module, UINT32_MAX);
		CHECK_EQ(m.got[0].f[i].ip, ips[i]);
		CHECK_EQ(m.got[0].f[i].fallback, -1);
	}
	made_close(&m);
}

/* In a child without rights, about init. Its exit status tells. */
static int denied_child(void)
{
	uint64_t ips[] = { 0x400000, 0x500000 };
	struct raw_sample s = made_raw(1, 10, ips, 2, NULL);
	struct made m;
	int code_ = 0;

	s.mm.start_ns = 0;
	query_open(&m);
	if (resolver_sample(m.r, &s) || resolver_advance(m.r, END))
		code_ = 2;
	else if (m.cnt != 1 || resolver_counters(m.r)->queries != 1)
		code_ = 3;
	for (size_t i = 0; !code_ && i < 2; i++)
		if (m.got[0].f[i].evidence != EVID_NONE || m.got[0].f[i].reason != REASON_DENIED)
			code_ = 4 + m.got[0].f[i].reason;
	made_close(&m);
	return code_;
}

static void denied(void)
{
	pid_t pid;
	int status;

	fflush(stdout);
	pid = fork();
	if (!pid) {
		if (!geteuid() && (setgid(65534) || setuid(65534)))
			_exit(1);
		_exit(denied_child());
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK(WIFEXITED(status));
	CHECK_EQ(WEXITSTATUS(status), 0);
}

/* Each once more with /proc read as text. */
#define BY_TEXT(fn)                    \
	static void fn##_by_text(void) \
	{                              \
		is_text = true;        \
		fn();                  \
		is_text = false;       \
	}
BY_TEXT(answer_is_waited_for)
BY_TEXT(events_around_the_answer)
BY_TEXT(answer_for_the_later_sample)
BY_TEXT(answer_is_shared_and_kept)
BY_TEXT(void_answer_is_asked_again)
BY_TEXT(void_answer_is_forgotten)
BY_TEXT(late_samples)
BY_TEXT(exec_unseen_voids_answers)
BY_TEXT(lost_events_and_answers)
BY_TEXT(valid_against_the_answer)
BY_TEXT(snapshot_outlives_the_process)
BY_TEXT(gone_before_it_was_asked)
BY_TEXT(gone_but_the_file_is_known)
BY_TEXT(finish_asks_nobody)
BY_TEXT(no_descriptors)
BY_TEXT(denied)

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		TEST(answer_is_waited_for),
		TEST(events_around_the_answer),
		TEST(answer_for_the_later_sample),
		TEST(answer_is_shared_and_kept),
		TEST(void_answer_is_asked_again),
		TEST(void_answer_is_forgotten),
		TEST(late_samples),
		TEST(exec_unseen_voids_answers),
		TEST(denied_until_exec),
		TEST(lost_events_and_answers),
		TEST(valid_against_the_answer),
		TEST(snapshot_outlives_the_process),
		TEST(gone_before_it_was_asked),
		TEST(gone_but_the_file_is_known),
		TEST(finish_asks_nobody),
		TEST(no_descriptors),
		TEST(denied),
		TEST(answer_is_waited_for_by_text),
		TEST(events_around_the_answer_by_text),
		TEST(answer_for_the_later_sample_by_text),
		TEST(answer_is_shared_and_kept_by_text),
		TEST(void_answer_is_asked_again_by_text),
		TEST(void_answer_is_forgotten_by_text),
		TEST(late_samples_by_text),
		TEST(exec_unseen_voids_answers_by_text),
		TEST(lost_events_and_answers_by_text),
		TEST(valid_against_the_answer_by_text),
		TEST(snapshot_outlives_the_process_by_text),
		TEST(gone_before_it_was_asked_by_text),
		TEST(gone_but_the_file_is_known_by_text),
		TEST(finish_asks_nobody_by_text),
		TEST(no_descriptors_by_text),
		TEST(denied_by_text),
		{},
	};

	me = (uint32_t)getpid();
	if (!loaded_get("", &self))
		return 2;
	return test_main(tests, argc, argv);
}
