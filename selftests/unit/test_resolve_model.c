/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_resolve_model.c - a hundred processes, a hundred thousand samples, random mapping events, handed in
 * out of order; each frame held against a model that knows one thing per page and lives in strict order of
 * time. The processes do not exist, so /proc answers none of it.
 */
#include "resolve_made.h"

#define PROCS   100
#define PAGES   24
#define SAMPLES 100000
#define FRAMES  4
#define PAGE    0x1000ULL
#define A       0x7f0000000000ULL

struct page {
	bool is_known;
	enum vma_kind kind;
	uint8_t n; /* file number, 0: one without build-id */
	uint64_t off;
};

struct proc {
	uint64_t start_ns, exec_id;       /* as its samples say from now on */
	uint64_t known_start, known_exec; /* as the last one said; 0: none yet */
	uint64_t since_ns;
	bool is_followed;
	struct page pages[PAGES];
};

/* What a frame must be. */
struct want {
	uint64_t off;
	enum evidence evidence;
	enum reason reason;
	int8_t fallback;
	uint8_t n;
};
struct expected {
	uint64_t time_ns;
	enum cause cause;
	bool is_inconsistent;
	size_t cnt, seen;
	struct want w[FRAMES];
};

/* Something to hand in. */
struct made_item {
	bool is_sample;
	struct map_event event;
	struct raw_sample sample;
	uint64_t ips[FRAMES];
	struct raw_id ids[FRAMES];
};

struct world {
	struct proc procs[PROCS];
	uint64_t now_ns, lost_until_ns, seed;
	struct expected *expected;
	size_t cnt;
	uint64_t evidence_cnt[EVID_CNT], reason_cnt[REASON_CNT], wrong;
};

static uint64_t rnd(struct world *w, uint64_t below)
{
	w->seed ^= w->seed << 13;
	w->seed ^= w->seed >> 7;
	w->seed ^= w->seed << 17;
	return (w->seed >> 11) % below;
}

static uint32_t pid_of(size_t proc)
{
	return NOBODY - (uint32_t)proc;
}

static void proc_forget(struct proc *p)
{
	p->is_followed = false;
	memset(p->pages, 0, sizeof(p->pages));
}

static struct map_event make_mmap(struct world *w, size_t who)
{
	static const enum vma_kind kinds[] = { VMA_FILE, VMA_FILE, VMA_FILE,    VMA_FILE,
					       VMA_ANON, VMA_VDSO, VMA_SPECIAL, VMA_SHARED_ANON };
	uint64_t first = rnd(w, PAGES), cnt = 1 + rnd(w, rnd(w, 8) ? 4 : PAGES);
	struct page pg = { .is_known = true, .kind = kinds[rnd(w, 8)] };

	if (cnt > PAGES - first)
		cnt = PAGES - first;
	if (pg.kind == VMA_FILE) {
		pg.n = (uint8_t)rnd(w, 20);
		pg.off = PAGE * rnd(w, 50);
	}
	for (uint64_t i = 0; i < cnt && w->now_ns > w->lost_until_ns; i++) {
		w->procs[who].pages[first + i] = pg;
		w->procs[who].pages[first + i].off += i * PAGE;
		if (pg.kind != VMA_FILE) /* then the place in the mapping is all there is */
			w->procs[who].pages[first + i].off = i * PAGE;
	}
	return (struct map_event){
		.kind = MAP_EVENT_MMAP,
		.start = A + first * PAGE,
		.end = A + (first + cnt) * PAGE,
		.off = pg.off,
		.vma_kind = pg.kind,
		.build_id = pg.n ? made_id(pg.n) : (struct build_id){},
		.path = "/nowhere/file",
	};
}

static struct map_event make_fork(struct world *w, size_t who)
{
	struct proc *child = &w->procs[who], *parent;
	size_t from = (who + 1 + rnd(w, PROCS - 1)) % PROCS;

	parent = &w->procs[from];
	memcpy(child->pages, parent->pages, sizeof(child->pages));
	child->is_followed = parent->is_followed;
	child->since_ns = w->now_ns;
	child->known_start = child->known_exec = 0;
	child->start_ns = w->now_ns;
	return (struct map_event){ .kind = MAP_EVENT_FORK, .ppid = pid_of(from) };
}

static struct map_event make_event(struct world *w)
{
	size_t who = rnd(w, PROCS);
	struct proc *p = &w->procs[who];
	struct map_event e = {};
	uint64_t what = rnd(w, 1000);

	if (what < 850) {
		e = make_mmap(w, who);
	} else if (what < 920) {
		e = make_fork(w, who);
	} else if (what < 970) {
		e.kind = MAP_EVENT_EXEC;
		proc_forget(p);
		p->is_followed = w->now_ns > w->lost_until_ns;
		p->since_ns = w->now_ns;
		p->known_start = p->known_exec = 0;
		p->exec_id++;
	} else if (what < 998) {
		e.kind = MAP_EVENT_EXIT;
	} else {
		e.kind = MAP_EVENT_LOST;
		e.since_ns = w->now_ns;
		e.time_ns = w->now_ns + rnd(w, 200);
		if (e.time_ns > w->lost_until_ns)
			w->lost_until_ns = e.time_ns;
		for (size_t i = 0; i < PROCS; i++)
			proc_forget(&w->procs[i]);
	}
	if (e.kind != MAP_EVENT_LOST)
		e.time_ns = w->now_ns;
	e.pid = pid_of(who);
	return e;
}

/* A page that nothing is known of. */
static struct want want_unknown(const struct world *w, const struct proc *p,
				const struct raw_id *id)
{
	bool is_garbage = p->is_followed && p->since_ns <= w->now_ns;
	struct want want = { .evidence = EVID_NONE,
			     .reason = is_garbage ? REASON_GARBAGE : REASON_GONE,
			     .fallback = -1 };

	if (id)
		want.fallback = !is_garbage    ? FFB_UNKNOWN
				: id->is_valid ? FFB_BAD_OFFSET
					       : FFB_NO_VMA;
	return want;
}

static struct want want_file(const struct page *pg, uint64_t in_page, const struct raw_id *id)
{
	struct want want = { .n = pg->n, .off = pg->off + in_page, .fallback = -1 };

	want.evidence = pg->n ? EVID_TIMELINE : EVID_NONE;
	want.reason = pg->n ? REASON_NO : REASON_NO_BUILD_ID;
	if (!id)
		return want;
	if (!id->is_valid) {
		want.fallback = pg->n ? FFB_NOT_RESIDENT : FFB_UNKNOWN;
	} else if (!pg->n || id->off != want.off || id->build_id.bytes[0] != pg->n) {
		want = (struct want){ .evidence = EVID_NONE,
				      .reason = REASON_CONFLICT,
				      .fallback = FFB_UNKNOWN };
	}
	return want;
}

static struct want want_frame(const struct world *w, const struct proc *p, uint64_t ip,
			      const struct raw_id *id)
{
	static const enum reason reasons[] = { [VMA_ANON] = REASON_ANON,
					       [VMA_SHARED_ANON] = REASON_FORGED,
					       [VMA_SPECIAL] = REASON_SPECIAL };
	static const int8_t fallbacks[] = { [VMA_ANON] = FFB_ANON,
					    [VMA_SHARED_ANON] = FFB_ANON,
					    [VMA_VDSO] = FFB_NO_FILE,
					    [VMA_SPECIAL] = FFB_NO_FILE };
	const struct page *pg = &p->pages[(ip - A) / PAGE];
	struct want want = { .fallback = -1 };

	if (!pg->is_known)
		return want_unknown(w, p, id);
	if (pg->kind == VMA_FILE)
		return want_file(pg, ip % PAGE, id);
	if (id)
		want.fallback = id->is_valid ? FFB_BAD_OFFSET : fallbacks[pg->kind];
	want.evidence = pg->kind == VMA_VDSO ? EVID_VDSO : EVID_NONE;
	want.reason = pg->kind == VMA_VDSO ? REASON_NO : reasons[pg->kind];
	want.off = pg->off + ip % PAGE;
	return want;
}

static void make_ids(struct world *w, const struct proc *p, struct made_item *it, size_t cnt)
{
	for (size_t i = 0; i < cnt; i++) {
		const struct page *pg = &p->pages[(it->ips[i] - A) / PAGE];

		it->ids[i] = (struct raw_id){ .off = it->ips[i] };
		if (rnd(w, 4) == 0) {
			it->ids[i].off += rnd(w, 200) == 0; /* the walks disagree */
			continue;
		}
		it->ids[i].is_valid = true;
		it->ids[i].build_id =
			made_id(rnd(w, 20) && pg->n ? pg->n : (uint8_t)(1 + rnd(w, 19)));
		it->ids[i].off = pg->off + it->ips[i] % PAGE + (rnd(w, 20) ? 0 : 8);
	}
}

static bool could_have_id(const struct want *want, const struct page *pg)
{
	return want->n || want->reason == REASON_GONE || want->reason == REASON_CONFLICT ||
	       (pg->is_known && pg->kind == VMA_SHARED_ANON);
}

static void make_sample(struct world *w, struct made_item *it)
{
	size_t who = rnd(w, PROCS), cnt = rnd(w, FRAMES + 1);
	struct proc *p = &w->procs[who];
	struct expected *e = &w->expected[w->cnt++];
	bool has_ids = rnd(w, 2);

	if (rnd(w, 300) == 0)
		*(rnd(w, 2) ? &p->start_ns : &p->exec_id) += 1000000; /* without an event */
	/* A stack without user frames says nothing of the process. */
	if (cnt && p->known_start &&
	    (p->known_start != p->start_ns || p->known_exec != p->exec_id)) {
		proc_forget(p);
		p->since_ns = w->now_ns;
	}
	if (cnt) {
		p->known_start = p->start_ns;
		p->known_exec = p->exec_id;
	}
	*e = (struct expected){ .time_ns = w->now_ns, .cnt = cnt, .cause = CAUSE_NONE };
	for (size_t i = 0; i < cnt; i++)
		it->ips[i] = A + rnd(w, PAGES * PAGE);
	make_ids(w, p, it, cnt);
	for (size_t i = 0; i < cnt && has_ids; i++)
		e->is_inconsistent |= !it->ids[i].is_valid && it->ids[i].off != it->ips[i];
	for (size_t i = 0; i < cnt; i++) {
		const struct raw_id *id = has_ids && !e->is_inconsistent ? &it->ids[i] : NULL;

		e->w[i] = want_frame(w, p, it->ips[i], id);
		if (!has_ids && could_have_id(&e->w[i], &p->pages[(it->ips[i] - A) / PAGE]))
			e->cause = CAUSE_SLOT_BUSY;
	}
	it->is_sample = true;
	it->sample = made_raw(pid_of(who), w->now_ns, it->ips, cnt, has_ids ? it->ids : NULL);
	it->sample.mm = (struct bstack_mm){ p->start_ns, p->exec_id, 0 };
}

static void check_one(struct world *w, const struct made *m, const struct got *g)
{
	struct expected *e = NULL;
	size_t lo = 0, hi = w->cnt;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (w->expected[mid].time_ns < g->time_ns)
			lo = mid + 1;
		else
			hi = mid;
	}
	e = &w->expected[lo];
	if (lo == w->cnt || e->time_ns != g->time_ns || e->cnt != g->cnt || e->seen++ ||
	    e->cause != g->cause || e->is_inconsistent != g->is_inconsistent) {
		w->wrong++;
		return;
	}
	for (size_t i = 0; i < g->cnt; i++) {
		const struct resolved_frame *f = &g->f[i];
		const struct module *mod = resolver_module(m->r, f->module);
		const struct want *want = &e->w[i];
		bool is_ok = f->evidence == want->evidence && f->reason == want->reason &&
			     f->fallback == want->fallback;

		if (want->evidence != EVID_NONE || want->reason == REASON_NO_BUILD_ID)
			is_ok &= f->off == want->off;
		if (want->n)
			is_ok &= mod && mod->build_id.bytes[0] == want->n;
		w->evidence_cnt[want->evidence]++;
		w->reason_cnt[want->reason]++;
		if (!is_ok && w->wrong++ < 5)
			printf("# at %llu, frame %zu: evidence %d reason %d fallback %d off %llx, "
			       "expected %d %d %d %llx\n",
			       (unsigned long long)g->time_ns, i, f->evidence, f->reason,
			       f->fallback, (unsigned long long)f->off, want->evidence,
			       want->reason, want->fallback, (unsigned long long)want->off);
	}
}

/* Some time of the world, handed in shuffled, then advanced over. */
static void batch(struct world *w, struct made *m, struct made_item *items, size_t max)
{
	size_t cnt = 0;

	while (cnt < max && w->cnt < SAMPLES) {
		struct made_item *it = &items[cnt++];

		*it = (struct made_item){};
		w->now_ns += 1 + rnd(w, 3);
		if (rnd(w, 4))
			make_sample(w, it);
		else
			it->event = make_event(w);
	}
	for (size_t i = 0; i < cnt; i++) { /* each time one of those still left */
		size_t k = i + rnd(w, cnt - i);
		struct made_item chosen = items[k];

		items[k] = items[i];
		items[i] = chosen;
		chosen.sample.user_ips = chosen.ips;
		if (chosen.sample.ids)
			chosen.sample.ids = chosen.ids;
		CHECK_EQ(chosen.is_sample ? resolver_sample(m->r, &chosen.sample)
					  : resolver_event(m->r, &chosen.event),
			 0);
	}
	CHECK_EQ(resolver_advance(m->r, w->now_ns), 0);
}

static void against_model(uint64_t seed, size_t batch_max)
{
	struct world *w = calloc(1, sizeof(*w));
	struct made_item *items = calloc(batch_max, sizeof(*items));
	size_t unseen = 0;
	struct made m;

	made_open(&m);
	w->seed = seed;
	w->now_ns = 1000;
	w->expected = calloc(SAMPLES, sizeof(*w->expected));
	for (size_t i = 0; i < PROCS; i++)
		w->procs[i].start_ns = w->procs[i].exec_id = 1 + i;
	while (w->cnt < SAMPLES)
		batch(w, &m, items, 1 + rnd(w, batch_max));
	CHECK_EQ(resolver_finish(m.r), 0);
	CHECK_EQ(m.cnt + resolver_counters(m.r)->lost_memory, SAMPLES);
	CHECK_EQ(resolver_counters(m.r)->lost_memory, 0);
	for (size_t i = 0; i < m.cnt; i++)
		check_one(w, &m, &m.got[i]);
	for (size_t i = 0; i < w->cnt; i++)
		unseen += w->expected[i].seen != 1;
	CHECK_EQ(w->wrong, 0);
	CHECK_EQ(unseen, 0);
	/* The world had enough of everything to be a test. */
	CHECK(w->evidence_cnt[EVID_TIMELINE] > 10000 && w->evidence_cnt[EVID_VDSO] > 1000);
	CHECK(w->reason_cnt[REASON_GONE] > 1000 && w->reason_cnt[REASON_GARBAGE] > 1000);
	CHECK(w->reason_cnt[REASON_CONFLICT] > 1000 && w->reason_cnt[REASON_FORGED] > 1000);
	CHECK(w->reason_cnt[REASON_NO_BUILD_ID] > 500 && w->reason_cnt[REASON_ANON] > 1000);
	made_close(&m);
	free(w->expected);
	free(items);
	free(w);
}

static void hundred_thousand_samples(void)
{
	against_model(0x1234567887654321, 1000);
}

static void hundred_thousand_in_large_batches(void)
{
	against_model(0xfedcba9876543210, 20000);
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		TEST(hundred_thousand_samples),
		TEST(hundred_thousand_in_large_batches),
		{},
	};

	return test_main(tests, argc, argv);
}
