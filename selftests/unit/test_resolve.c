/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_resolve.c - the resolver on made streams about processes that do not exist, so that nothing can be asked:
 * the timeline of mappings, the kernel's word against it, causes, identities. Questions: test_query.c.
 */
#include "resolve_made.h"

#define P     NOBODY
#define A     0x7f0000000000ULL
#define PAGE  0x1000ULL
#define END   (UINT64_MAX / 2)
#define NO_ID 0

static uint32_t module_of(const struct made *m, size_t i)
{
	return m->cnt > i ? m->got[i].f[0].module : UINT32_MAX;
}

/* Delivery i is in the made file n, by the timeline, at off. */
static void check_timeline(const struct made *m, size_t i, uint8_t n, uint64_t off)
{
	const struct module *mod = resolver_module(m->r, module_of(m, i));
	struct build_id id = made_id(n);

	CHECK_FRAME(m, i, EVID_TIMELINE, REASON_NO, off);
	CHECK(mod && build_id_eq(&mod->build_id, &id));
	if (m->cnt > i)
		CHECK_EQ(m->got[i].f[0].kind, VMA_FILE);
}

static void timeline_in_any_order(void)
{
	for (int order = 0; order < 2; order++) {
		struct made m;

		made_open(&m);
		for (int step = 0; step < 6; step++) {
			switch (order ? 5 - step : step) {
			case 0:
				sample_ip(&m, P, 99, A + 0x10);
				break;
			case 1:
				event_mmap(&m, 100, P, A, A + 4 * PAGE, 0x3000, 1, VMA_FILE);
				break;
			case 2:
				sample_ip(&m, P, 100, A + 0x10); /* the event comes first */
				break;
			case 3:
				sample_ip(&m, P, 199, A + 0x1234);
				break;
			case 4:
				event_mmap(&m, 200, P, A + PAGE, A + 2 * PAGE, 0, 2, VMA_FILE);
				break;
			case 5:
				sample_ip(&m, P, 300, A + 0x1234);
				sample_ip(&m, P, 301, A + 0x2345);
				sample_ip(&m, P, 302, A + 4 * PAGE - 1);
				sample_ip(&m, P, 303, A + 4 * PAGE);
				break;
			}
		}
		CHECK(!resolver_is_idle(m.r));
		CHECK_EQ(resolver_advance(m.r, 1000), 0);
		CHECK(resolver_is_idle(m.r));
		CHECK_EQ(m.cnt, 7);
		CHECK_FRAME(&m, 0, EVID_NONE, REASON_GONE, 0); /* nobody knows what was there */
		check_timeline(&m, 1, 1, 0x3010);
		check_timeline(&m, 2, 1, 0x4234);
		check_timeline(&m, 3, 2, 0x234); /* the new file, at the same address */
		check_timeline(&m, 4, 1, 0x5345);
		check_timeline(&m, 5, 1, 0x6fff);
		CHECK_FRAME(&m, 6, EVID_NONE, REASON_GONE, 0);
		for (size_t i = 0; i < m.cnt; i++)
			CHECK_EQ(m.got[i].f[0].fallback, -1);
		made_close(&m);
	}
}

static void advance_holds_back(void)
{
	struct made m;

	made_open(&m);
	event_mmap(&m, 100, P, A, A + PAGE, 0, 1, VMA_FILE);
	sample_ip(&m, P, 100, A);
	sample_ip(&m, P, 101, A);
	CHECK_EQ(resolver_advance(m.r, 99), 0);
	CHECK_EQ(m.cnt, 0);
	CHECK_EQ(resolver_advance(m.r, 100), 0);
	CHECK_EQ(m.cnt, 1);
	CHECK_EQ(resolver_advance(m.r, 100), 0);
	CHECK_EQ(m.cnt, 1);
	CHECK_EQ(resolver_advance(m.r, 101), 0);
	CHECK_EQ(m.cnt, 2);
	CHECK_EQ(resolver_finish(m.r), 0);
	CHECK_EQ(m.cnt, 2);
	made_close(&m);
}

/* A mapping of each kind, by address and by the kernel's per-frame fallback. */
static void kinds_of_mappings(void)
{
	static const struct {
		enum vma_kind kind;
		uint8_t n;
		enum evidence evidence;
		enum reason reason;
		int8_t fallback;
		enum cause cause;
	} rows[] = {
		{ VMA_FILE, 1, EVID_TIMELINE, REASON_NO, FFB_NOT_RESIDENT, CAUSE_SLOT_BUSY },
		{ VMA_FILE, NO_ID, EVID_NONE, REASON_NO_BUILD_ID, FFB_UNKNOWN, CAUSE_NONE },
		{ VMA_ANON, 0, EVID_NONE, REASON_ANON, FFB_ANON, CAUSE_NONE },
		{ VMA_SHARED_ANON, 0, EVID_NONE, REASON_FORGED, FFB_ANON, CAUSE_SLOT_BUSY },
		{ VMA_VDSO, 0, EVID_VDSO, REASON_NO, FFB_NO_FILE, CAUSE_NONE },
		{ VMA_SPECIAL, 0, EVID_NONE, REASON_SPECIAL, FFB_NO_FILE, CAUSE_NONE },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint64_t ip = A + 0x123;
		struct raw_id id = { .off = ip };
		struct raw_sample s = made_raw(P, 20, &ip, 1, &id);
		struct made m;

		made_open(&m);
		event_mmap(&m, 5, P, A, A + PAGE, 0, rows[i].n, rows[i].kind);
		sample_ip(&m, P, 10, ip);
		CHECK_EQ(resolver_sample(m.r, &s), 0);
		CHECK_EQ(resolver_advance(m.r, 100), 0);
		CHECK_EQ(m.cnt, 2);
		for (size_t k = 0; k < m.cnt; k++) {
			CHECK_FRAME(&m, k, rows[i].evidence, rows[i].reason, 0x123);
			CHECK_EQ(m.got[k].f[0].kind, rows[i].kind);
			CHECK_EQ(m.got[k].f[0].ip, ip);
			CHECK_EQ(m.got[k].f[0].fallback, k ? rows[i].fallback : -1);
		}
		CHECK_EQ(m.got[0].cause, rows[i].cause);
		CHECK_EQ(m.got[1].cause, CAUSE_NONE);
		if (rows[i].reason == REASON_NO_BUILD_ID)
			CHECK_STR(resolver_module(m.r, module_of(&m, 0))->path, "/nowhere/made.so");
		made_close(&m);
	}
}

static void garbage_addresses(void)
{
	static const uint64_t ips[] = {
		0, 0x10, 0xfff, 1ULL << 56, UINT64_MAX, 0xffffffff81000000, 0xffffffffff600000
	};
	struct build_id id = made_id(1);
	struct made m;
	size_t n = ARRAY_SIZE(ips);

	made_open(&m);
	event_mmap(&m, 5, P, 0, UINT64_MAX, 0, 1, VMA_FILE); /* even so */
	for (size_t i = 0; i < n; i++) {
		struct raw_id raw = { .off = ips[i] };
		struct raw_sample s = made_raw(P, 30 + i, &ips[i], 1, &raw);

		sample_ip(&m, P, 10 + i, ips[i]);
		sample_valid(&m, P, 20 + i, ips[i], &id, ips[i]);
		CHECK_EQ(resolver_sample(m.r, &s), 0);
	}
	CHECK_EQ(resolver_advance(m.r, 100), 0);
	CHECK_EQ(m.cnt, 3 * n);
	for (size_t i = 0; i < m.cnt; i++) {
		CHECK_FRAME(&m, i, EVID_NONE, REASON_GARBAGE, 0);
		CHECK_EQ(m.got[i].f[0].fallback, i < n       ? -1
						 : i < 2 * n ? FFB_BAD_OFFSET
							     : FFB_NO_VMA);
		CHECK_EQ(m.got[i].cause, CAUSE_NONE);
	}
	CHECK_EQ(resolver_counters(m.r)->queries, 0);
	made_close(&m);
}

/* P maps this program's own file, which can be read: its segments are known. */
static bool mapped_file(struct made *m, struct loaded *l, bool is_id_right)
{
	struct map_event e = { .kind = MAP_EVENT_MMAP, .time_ns = 5, .pid = P, .start = A };
	char path[4096];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);

	if (!CHECK(n > 0) || !CHECK(loaded_get("", l)))
		return false;
	path[n] = '\0';
	made_open(m);
	e.off = l->seg_off & ~(PAGE - 1);
	e.end = A + ((l->seg_off + l->seg_sz + PAGE - 1) & ~(PAGE - 1)) - e.off;
	e.vma_kind = VMA_FILE;
	e.build_id = is_id_right ? l->build_id : made_id(9);
	e.path = path;
	CHECK_EQ(resolver_event(m->r, &e), 0);
	CHECK_EQ(resolver_advance(m->r, 5), 0);
	return true;
}

static uint64_t ip_at(const struct loaded *l, uint64_t off)
{
	return A + off - (l->seg_off & ~(PAGE - 1));
}

static void kernel_checked_against_the_file(void)
{
	struct loaded l;
	struct build_id other = made_id(3);
	struct made m;
	uint64_t in, last, out;

	if (!mapped_file(&m, &l, true))
		return;
	CHECK_EQ(m.module_calls, 1);
	CHECK_EQ(m.module_pid, 0); /* by its path: the process is nobody */
	in = l.seg_off + 0x40;
	last = l.seg_off + l.seg_sz - 1;
	out = last + 1;
	if (!(out % PAGE)) {
		made_close(&m);
		SKIP("this program's code fills its last page: nothing is mapped behind it");
	}
	sample_valid(&m, P, 10, ip_at(&l, in), &l.build_id, in);
	sample_valid(&m, P, 11, ip_at(&l, last), &l.build_id, last);
	sample_valid(&m, P, 12, ip_at(&l, out), &l.build_id, out);
	sample_ip(&m, P, 13, ip_at(&l, in));
	sample_ip(&m, P, 14, ip_at(&l, out));
	sample_valid(&m, P, 15, ip_at(&l, in), &l.build_id, in + PAGE); /* disagree: offset */
	sample_valid(&m, P, 16, ip_at(&l, in), &other, in);             /* disagree: file */
	sample_valid(&m, P, 17, A - 1, &l.build_id, l.seg_off - 1);     /* below it: wrapped */
	sample_valid(&m, P, 18, A - PAGE, &l.build_id, (uint64_t)-PAGE);
	CHECK_EQ(resolver_advance(m.r, 100), 0);
	CHECK_EQ(m.cnt, 9);
	CHECK_FRAME(&m, 0, EVID_KERNEL, REASON_NO, in);
	CHECK_FRAME(&m, 1, EVID_KERNEL, REASON_NO, last);
	CHECK_FRAME(&m, 2, EVID_NONE, REASON_BAD_OFFSET, 0);
	CHECK_FRAME(&m, 3, EVID_TIMELINE, REASON_NO, in);
	CHECK_FRAME(&m, 4, EVID_NONE, REASON_BAD_OFFSET, 0);
	CHECK_FRAME(&m, 5, EVID_NONE, REASON_CONFLICT, 0);
	CHECK_FRAME(&m, 6, EVID_NONE, REASON_CONFLICT, 0);
	CHECK_FRAME(&m, 7, EVID_NONE, REASON_BAD_OFFSET, 0);
	CHECK_FRAME(&m, 8, EVID_NONE, REASON_BAD_OFFSET, 0);
	if (m.cnt == 9) {
		static const int8_t fallback[] = { -1,
						   -1,
						   FFB_BAD_OFFSET,
						   -1,
						   -1,
						   FFB_UNKNOWN,
						   FFB_UNKNOWN,
						   FFB_BAD_OFFSET,
						   FFB_BAD_OFFSET };

		for (size_t i = 0; i < 9; i++)
			CHECK_EQ(m.got[i].f[0].fallback, fallback[i]);
		CHECK_EQ(m.got[4].cause, CAUSE_SLOT_BUSY); /* the file has a build-id */
	}
	made_close(&m);
}

/* A file under the right path, but not the one that was mapped. */
static void another_file_is_not_opened(void)
{
	struct build_id id = made_id(9);
	struct loaded l;
	struct made m;
	uint64_t in;

	if (!mapped_file(&m, &l, false))
		return;
	CHECK_EQ(m.module_calls, 0);
	in = l.seg_off + 0x40;
	sample_valid(&m, P, 10, ip_at(&l, in), &id, in); /* agrees with the mapping, no more */
	sample_valid(&m, P, 11, ip_at(&l, in), &l.build_id, in);
	sample_ip(&m, P, 12, ip_at(&l, in));
	CHECK_EQ(resolver_advance(m.r, 100), 0);
	CHECK_EQ(m.module_calls, 0);
	CHECK_FRAME(&m, 0, EVID_TIMELINE, REASON_NO, in);
	CHECK_FRAME(&m, 1, EVID_NONE, REASON_CONFLICT, 0);
	CHECK_FRAME(&m, 2, EVID_TIMELINE, REASON_NO, in);
	CHECK(!resolver_module(m.r, module_of(&m, 0))->is_segs_known);
	made_close(&m);
}

/* VALID where no file is: the build-id is somebody else's, or made up. */
static void valid_without_a_file(void)
{
	static const struct {
		enum vma_kind kind;
		enum evidence evidence;
		enum reason reason;
	} rows[] = {
		{ VMA_SHARED_ANON, EVID_NONE, REASON_FORGED },
		{ VMA_ANON, EVID_NONE, REASON_ANON },
		{ VMA_VDSO, EVID_VDSO, REASON_NO },
		{ VMA_SPECIAL, EVID_NONE, REASON_SPECIAL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct loaded l;
		struct made m;

		if (!mapped_file(&m, &l, true))
			return;
		event_mmap(&m, 6, P, A, A + PAGE, 0, 0, rows[i].kind); /* over its first page */
		sample_valid(&m, P, 10, A + 0x40, &l.build_id, l.seg_off + 0x40);
		CHECK_EQ(resolver_advance(m.r, 100), 0);
		CHECK_FRAME(&m, 0, rows[i].evidence, rows[i].reason, 0x40);
		if (m.cnt) {
			CHECK_EQ(m.got[0].f[0].kind, rows[i].kind);
			CHECK_EQ(m.got[0].f[0].fallback, FFB_BAD_OFFSET);
		}
		made_close(&m);
	}
}

/* A place in the vdso is its place in the whole image, also when something was mapped over its beginning. */
static void vdso_cut(void)
{
	struct made m;

	made_open(&m);
	event_mmap(&m, 5, P, A, A + 3 * PAGE, 0, 0, VMA_VDSO);
	event_mmap(&m, 6, P, A, A + PAGE, 0, 0, VMA_ANON);
	sample_ip(&m, P, 10, A + 2 * PAGE + 5);
	CHECK_EQ(resolver_advance(m.r, 100), 0);
	CHECK_FRAME(&m, 0, EVID_VDSO, REASON_NO, 2 * PAGE + 5);
	made_close(&m);
}

/* The kernel's walk gives 20 bytes whatever the length; the mapping's record knows it. */
static void short_build_ids(void)
{
	struct build_id shorter = { .sz = 8, .bytes = { 1, 2, 3, 4, 5, 6, 7, 8 } },
			padded = shorter, other = shorter;
	struct map_event e = { .kind = MAP_EVENT_MMAP,
			       .time_ns = 20,
			       .pid = P,
			       .start = A,
			       .end = A + PAGE,
			       .vma_kind = VMA_FILE,
			       .path = "/nowhere/short.so",
			       .build_id = shorter };
	struct made m;

	padded.sz = other.sz = BUILD_ID_MAX;
	other.bytes[19] = 1;
	made_open(&m);
	sample_valid(&m, P, 10, A, &padded, 0); /* met first without its length */
	sample_valid(&m, P, 30, A + 1, &padded, 1);
	sample_valid(&m, P, 31, A + 1, &other, 1);
	CHECK_EQ(resolver_event(m.r, &e), 0);
	CHECK_EQ(resolver_advance(m.r, 100), 0);
	CHECK_FRAME(&m, 0, EVID_NONE, REASON_GONE, 0);
	CHECK_FRAME(&m, 1, EVID_TIMELINE, REASON_NO, 1);
	CHECK_FRAME(&m, 2, EVID_NONE, REASON_CONFLICT, 0);
	CHECK(build_id_eq(&resolver_module(m.r, module_of(&m, 1))->build_id, &shorter));
	CHECK_STR(resolver_module(m.r, module_of(&m, 1))->path, "/nowhere/short.so");
	made_close(&m);
}

static void fork_exec_exit(void)
{
	struct made m;

	made_open(&m);
	event_mmap(&m, 10, P, A, A + PAGE, 0, 1, VMA_FILE);
	event(&m, MAP_EVENT_FORK, 20, P - 1, P);
	event_mmap(&m, 30, P - 1, A, A + PAGE, 0, 2, VMA_FILE); /* the child's own */
	event_mmap(&m, 40, P, A + PAGE, A + 2 * PAGE, 0, 3, VMA_FILE);
	event(&m, MAP_EVENT_EXIT, 50, P, 0);
	event(&m, MAP_EVENT_EXEC, 60, P - 1, 0);
	event_mmap(&m, 70, P - 1, A, A + PAGE, 0, 4, VMA_FILE);
	event(&m, MAP_EVENT_FORK, 80, P - 2, P - 5); /* of a parent never heard of */
	sample_ip(&m, P - 1, 25, A);
	sample_ip(&m, P, 35, A);
	sample_ip(&m, P - 1, 36, A);
	sample_ip(&m, P - 1, 45, A + PAGE);
	sample_ip(&m, P, 55, A); /* another thread still runs */
	sample_ip(&m, P - 1, 65, A);
	sample_ip(&m, P - 1, 75, A);
	sample_ip(&m, P, 76, A + PAGE);
	sample_ip(&m, P - 2, 85, A);
	CHECK_EQ(resolver_advance(m.r, 100), 0);
	CHECK_EQ(m.cnt, 9);
	check_timeline(&m, 0, 1, 0);
	check_timeline(&m, 1, 1, 0);
	check_timeline(&m, 2, 2, 0);
	CHECK_FRAME(&m, 3, EVID_NONE, REASON_GONE, 0);
	check_timeline(&m, 4, 1, 0);
	/* Since its exec everything was seen, and nothing executable was mapped there. */
	CHECK_FRAME(&m, 5, EVID_NONE, REASON_GARBAGE, 0);
	check_timeline(&m, 6, 4, 0);
	check_timeline(&m, 7, 3, 0);
	CHECK_FRAME(&m, 8, EVID_NONE, REASON_GONE, 0);
	made_close(&m);
}

static void number_used_again(void)
{
	struct made m;
	struct raw_sample s;
	uint64_t ip = A;

	made_open(&m);
	event_mmap(&m, 10, P, A, A + PAGE, 0, 1, VMA_FILE);
	sample_ip(&m, P, 11, A);
	event(&m, MAP_EVENT_EXIT, 12, P, 0);
	event(&m, MAP_EVENT_FORK, 20, P, P - 9); /* of an unknown parent: nothing of the old */
	s = made_raw(P, 21, &ip, 1, NULL);
	s.mm.start_ns = 2;
	CHECK_EQ(resolver_sample(m.r, &s), 0);
	event_mmap(&m, 30, P - 1, A, A + PAGE, 0, 2, VMA_FILE);
	event(&m, MAP_EVENT_FORK, 40, P, P - 1);
	s.time_ns = 41;
	s.mm.start_ns = 3;
	CHECK_EQ(resolver_sample(m.r, &s), 0);
	CHECK_EQ(resolver_advance(m.r, 100), 0);
	check_timeline(&m, 0, 1, 0);
	CHECK_FRAME(&m, 1, EVID_NONE, REASON_GONE, 0);
	check_timeline(&m, 2, 2, 0);
	made_close(&m);
}

/* The sample says that this is another process, or another program, and no event did. */
static void identity_changes_unseen(void)
{
	for (int i = 0; i < 3; i++) {
		uint64_t ip = A;
		struct raw_sample s = made_raw(P, 30, &ip, 1, NULL);
		struct made m;

		made_open(&m);
		event_mmap(&m, 10, P, A, A + PAGE, 0, 1, VMA_FILE);
		sample_ip(&m, P, 20, A);
		s.mm.start_ns += i == 1;
		s.mm.exec_id += i == 2;
		CHECK_EQ(resolver_sample(m.r, &s), 0);
		s.time_ns = 50;
		event_mmap(&m, 40, P, A, A + PAGE, 0, 2, VMA_FILE);
		CHECK_EQ(resolver_sample(m.r, &s), 0);
		CHECK_EQ(resolver_advance(m.r, 100), 0);
		check_timeline(&m, 0, 1, 0);
		if (i)
			CHECK_FRAME(&m, 1, EVID_NONE, REASON_GONE, 0);
		else
			check_timeline(&m, 1, 1, 0);
		check_timeline(&m, 2, 2, 0);
		made_close(&m);
	}
}

static void lost_events(void)
{
	struct made m;

	made_open(&m);
	event(&m, MAP_EVENT_EXEC, 5, P, 0);
	event_mmap(&m, 10, P, A, A + PAGE, 0, 1, VMA_FILE);
	event_mmap(&m, 150, P, A, A + PAGE, 0, 2, VMA_FILE);
	event_lost(&m, 100, 200);
	event_mmap(&m, 210, P, A, A + PAGE, 0, 3, VMA_FILE);
	sample_ip(&m, P, 99, A);
	sample_ip(&m, P, 120, A); /* what is missing may have come before it */
	sample_ip(&m, P, 160, A);
	sample_ip(&m, P, 201, A);
	sample_ip(&m, P, 211, A);
	sample_ip(&m, P, 212, A + PAGE);
	CHECK_EQ(resolver_advance(m.r, 1000), 0);
	CHECK_EQ(m.cnt, 6);
	check_timeline(&m, 0, 1, 0);
	CHECK_FRAME(&m, 1, EVID_NONE, REASON_GONE, 0);
	CHECK_FRAME(&m, 2, EVID_NONE, REASON_GONE, 0);
	CHECK_FRAME(&m, 3, EVID_NONE, REASON_GONE, 0);
	check_timeline(&m, 4, 3, 0);
	CHECK_FRAME(&m, 5, EVID_NONE, REASON_GONE, 0); /* not "garbage": not all was seen */
	made_close(&m);
}

static void causes(void)
{
	static const enum cause all[] = { CAUSE_NONE, CAUSE_WRITER, CAUSE_WAITER,
					  CAUSE_RT,   CAUSE_NO_MM,  CAUSE_UNKNOWN };
	uint64_t ips[] = { A, A + PAGE, A + 2 * PAGE, A + 3 * PAGE };
	struct raw_sample s;
	struct made m;
	size_t n = ARRAY_SIZE(all);

	made_open(&m);
	event(&m, MAP_EVENT_EXEC, 1, P, 0);
	event_mmap(&m, 5, P, A, A + PAGE, 0, 0, VMA_ANON);
	event_mmap(&m, 6, P, A + PAGE, A + 2 * PAGE, 0, 0, VMA_VDSO);
	event_mmap(&m, 7, P, A + 2 * PAGE, A + 3 * PAGE, 0, 0, VMA_FILE);
	event_mmap(&m, 8, P, A + 4 * PAGE, A + 5 * PAGE, 0, 1, VMA_FILE);
	for (size_t i = 0; i < n; i++) { /* whatever BPF saw at the lock stays */
		s = made_raw(P, 10 + i, ips, 2, NULL);
		s.cause = all[i];
		CHECK_EQ(resolver_sample(m.r, &s), 0);
	}
	for (size_t cnt = 0; cnt <= 4; cnt++) { /* anon, vdso, no build-id, nothing at all */
		s = made_raw(P, 20 + cnt, ips, cnt, NULL);
		CHECK_EQ(resolver_sample(m.r, &s), 0);
	}
	ips[3] = A + 4 * PAGE; /* one frame that could have had one */
	s = made_raw(P, 30, ips, 4, NULL);
	CHECK_EQ(resolver_sample(m.r, &s), 0);
	s = made_raw(P - 1, 31, ips, 1, NULL); /* gone: it could have */
	CHECK_EQ(resolver_sample(m.r, &s), 0);
	CHECK_EQ(resolver_advance(m.r, 100), 0);
	CHECK_EQ(m.cnt, n + 7);
	for (size_t i = 0; i < m.cnt; i++)
		CHECK_EQ(m.got[i].cause, i < n ? all[i] : i < n + 5 ? CAUSE_NONE : CAUSE_SLOT_BUSY);
	made_close(&m);
}

/* The build-id walk saw another stack than the raw walk: its build-ids are of other addresses. */
static void walks_that_disagree(void)
{
	uint64_t ips[] = { A, A + 0x100, A + 0x200 };
	struct build_id file = made_id(1);
	struct raw_id ids[] = { { .is_valid = true, .build_id = file, .off = 0 },
				{ .off = A + 0x100 },
				{ .is_valid = true, .build_id = file, .off = 0x200 } };
	struct raw_sample s = made_raw(P, 10, ips, 3, ids);
	struct made m;

	made_open(&m);
	event_mmap(&m, 5, P, A, A + PAGE, 0, 1, VMA_FILE);
	CHECK_EQ(resolver_sample(m.r, &s), 0);
	ids[1].off++;
	ids[0].off = 0x800; /* would be a conflict, were it believed */
	s.time_ns = 11;
	CHECK_EQ(resolver_sample(m.r, &s), 0);
	CHECK_EQ(resolver_advance(m.r, 100), 0);
	CHECK_EQ(m.cnt, 2);
	CHECK(!m.got[0].is_inconsistent);
	CHECK(m.got[1].is_inconsistent);
	for (size_t i = 0; i < m.cnt; i++) {
		for (size_t k = 0; k < 3; k++) {
			CHECK_EQ(m.got[i].f[k].evidence, EVID_TIMELINE);
			CHECK_EQ(m.got[i].f[k].off, 0x100 * k);
			CHECK_EQ(m.got[i].f[k].fallback, !i && k == 1 ? FFB_NOT_RESIDENT : -1);
		}
	}
	made_close(&m);
}

static void sink_errors(void)
{
	struct made m;

	made_open(&m);
	event_mmap(&m, 5, P, A, A + PAGE, 0, 1, VMA_FILE);
	for (uint64_t t = 10; t < 15; t++)
		sample_ip(&m, P, t, A + t);
	m.sink_err = -ENOSPC;
	m.sink_err_at = 2;
	CHECK_EQ(resolver_advance(m.r, 12), -ENOSPC);
	CHECK_EQ(resolver_advance(m.r, 100), -ENOSPC);
	CHECK_EQ(m.sink_calls, 4); /* the first error stops each call */
	m.sink_err = 0;
	CHECK_EQ(resolver_finish(m.r), 0); /* and what had not been tried is still there */
	CHECK_EQ(m.cnt, 3);
	CHECK(m.cnt == 3 && m.got[0].time_ns == 10 && m.got[1].time_ns == 11 &&
	      m.got[2].time_ns == 14);
	CHECK(resolver_is_idle(m.r));
	made_close(&m);
}

static void released_at_any_moment(void)
{
	uint64_t ips[] = { A, A + PAGE, (uint64_t)&released_at_any_moment };
	struct raw_id ids[3] = { { .off = ips[0] }, { .off = ips[1] }, { .off = ips[2] } };

	for (int stage = 0; stage < 4; stage++) {
		struct raw_sample s = made_raw((uint32_t)getpid(), 10, ips, 3, ids);
		struct made m;

		made_open(&m);
		s.kernel_ips = ips;
		s.kernel_cnt = 2;
		if (stage > 0) {
			event_mmap(&m, 5, P, A, A + PAGE, 0, 1, VMA_FILE);
			CHECK_EQ(resolver_sample(m.r, &s), 0);
		}
		if (stage > 1)
			CHECK_EQ(resolver_advance(m.r, 20), 0);
		if (stage > 2)
			CHECK_EQ(resolver_snapshot(m.r, getpid()), 0);
		CHECK_EQ(m.cnt, 0);
		made_close(&m); /* what is left behind, the leak checker finds */
	}
	resolver_free(NULL);
}

static void finish_delivers_all_once(void)
{
	struct made m;

	made_open(&m);
	for (uint64_t i = 0; i < 1000; i++) {
		/* this process, which is asked, and nobody */
		sample_ip(&m, i % 3 ? P : (uint32_t)getpid(), 1 + (i * 7919) % 1000,
			  (uint64_t)&finish_delivers_all_once);
		if (i == 500)
			CHECK_EQ(resolver_advance(m.r, 500), 0);
	}
	CHECK_EQ(resolver_finish(m.r), 0);
	CHECK_EQ(m.cnt, 1000);
	for (uint64_t t = 1; t <= 1000; t++) {
		size_t seen = 0;

		for (size_t i = 0; i < m.cnt; i++)
			seen += m.got[i].time_ns == t;
		CHECK_EQ(seen, 1);
	}
	CHECK(resolver_is_idle(m.r));
	CHECK_EQ(resolver_counters(m.r)->lost_memory, 0);
	CHECK_EQ(resolver_finish(m.r), 0); /* twice harms nobody */
	CHECK_EQ(m.cnt, 1000);
	made_close(&m);
}

/* Short processes by the thousand must not stay: those that still run, do. */
static void the_dead_are_forgotten(void)
{
	struct made m;
	uint32_t self = (uint32_t)getpid();

	made_open(&m);
	event_mmap(&m, 1, P - 1, A, A + PAGE, 0, 1, VMA_FILE);
	event_mmap(&m, 1, self, A, A + PAGE, 0, 2, VMA_FILE);
	event(&m, MAP_EVENT_EXIT, 2, self, 0); /* its leader only: /proc still has it */
	for (uint32_t i = 0; i < 20000; i++) {
		uint64_t t = 10 + i * (10 * MS);

		event(&m, MAP_EVENT_FORK, t, P - 10 - i, P - 1);
		event(&m, MAP_EVENT_EXIT, t + 1, P - 10 - i, 0);
		if (i % 100 == 0)
			CHECK_EQ(resolver_advance(m.r, t + 1), 0);
	}
	sample_ip(&m, P - 1, 1000 * NSEC_PER_SEC, A);
	sample_ip(&m, self, 1000 * NSEC_PER_SEC + 1, A);
	CHECK_EQ(resolver_advance(m.r, 2000 * NSEC_PER_SEC), 0);
	CHECK(m.r->pids.cnt < 4000);
	CHECK(m.r->pids.map.cap < 32768);
	check_timeline(&m, 0, 1, 0);
	check_timeline(&m, 1, 2, 0);
	made_close(&m);
}

/* Samples of many CPUs come a little out of order; each advance leaves some, with which the next ones mix. */
static void order_over_advances(void)
{
	uint64_t seed = 1, until_ns = 0;
	struct made m;

	made_open(&m);
	for (uint64_t i = 0; i < 3000; i++) {
		seed = seed * 6364136223846793005ULL + 1;
		sample_ip(&m, NOBODY, 1000 + 10 * i + (seed >> 33) % 500, 0x1000);
		if (i % 100)
			continue;
		until_ns = 600 + 10 * i;
		CHECK_EQ(resolver_advance(m.r, until_ns), 0);
		CHECK(!m.cnt || m.got[m.cnt - 1].time_ns <= until_ns);
	}
	CHECK(m.cnt > 2800 && m.cnt < 3000);
	CHECK_EQ(resolver_finish(m.r), 0);
	CHECK_EQ(m.cnt, 3000);
	for (size_t i = 1; i < m.cnt; i++)
		CHECK(m.got[i - 1].time_ns <= m.got[i].time_ns);
	made_close(&m);
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		TEST(timeline_in_any_order),
		TEST(advance_holds_back),
		TEST(order_over_advances),
		TEST(kinds_of_mappings),
		TEST(garbage_addresses),
		TEST(kernel_checked_against_the_file),
		TEST(another_file_is_not_opened),
		TEST(valid_without_a_file),
		TEST(vdso_cut),
		TEST(short_build_ids),
		TEST(fork_exec_exit),
		TEST(number_used_again),
		TEST(identity_changes_unseen),
		TEST(lost_events),
		TEST(causes),
		TEST(walks_that_disagree),
		TEST(sink_errors),
		TEST(released_at_any_moment),
		TEST(finish_delivers_all_once),
		TEST(the_dead_are_forgotten),
		{},
	};

	return test_main(tests, argc, argv);
}
