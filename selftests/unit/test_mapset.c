/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* test_mapset.c - spans laid over each other, held against one entry per address. */
#include "resolve/mapset.h"
#include "test.h"

#define ADDRS 64

/* The model: for each address, which put covered it last and the offset it has there. */
struct cell {
	uint32_t module; /* 0: nothing */
	uint64_t off, since_ns;
	enum vma_kind kind;
	enum evidence evidence;
};

static uint64_t seed;

static uint64_t rnd(uint64_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed % below;
}

static bool is_sane(const struct mapset *m)
{
	for (size_t i = 0; i < m->cnt; i++) {
		if (m->spans[i].start >= m->spans[i].end)
			return false;
		if (i && m->spans[i - 1].end > m->spans[i].start)
			return false;
	}
	return true;
}

static bool is_same(const struct mapset *m, const struct cell *cells, uint64_t base)
{
	for (uint64_t a = 0; a < ADDRS; a++) {
		const struct span *s = mapset_find(m, base + a);
		const struct cell *c = &cells[a];

		if (!s != !c->module)
			return false;
		if (s && (s->module != c->module || s->off + (base + a - s->start) != c->off ||
			  s->since_ns != c->since_ns || s->kind != c->kind ||
			  s->evidence != c->evidence))
			return false;
	}
	return true;
}

static void put_both(struct mapset *m, struct cell *cells, uint64_t base, uint32_t module)
{
	uint64_t start = rnd(ADDRS), len = rnd(rnd(4) ? 9 : ADDRS + 1);
	struct span s = { .start = base + start,
			  .off = rnd(1000),
			  .module = module,
			  .since_ns = rnd(1000),
			  .kind = rnd(2) ? VMA_FILE : VMA_ANON,
			  .evidence = rnd(2) ? EVID_TIMELINE : EVID_QUERY };

	if (len > ADDRS - start)
		len = ADDRS - start;
	s.end = s.start + len;
	CHECK_EQ(mapset_put(m, &s), 0);
	for (uint64_t a = start; a < start + len; a++)
		cells[a] = (struct cell){ module, s.off + (a - start), s.since_ns, s.kind,
					  s.evidence };
}

static void mapset_against_model(uint64_t base)
{
	seed = 0x9e3779b97f4a7c15ULL;
	for (int round = 0; round < 4000; round++) {
		struct mapset m = {}, copy = {};
		struct cell cells[ADDRS] = {}, before[ADDRS];

		for (uint32_t i = 1; i < 24; i++) {
			put_both(&m, cells, base, i);
			if (i == 12) {
				CHECK_EQ(mapset_copy(&copy, &m), 0);
				memcpy(before, cells, sizeof(before));
			}
			if (CHECK(is_sane(&m)) && CHECK(is_same(&m, cells, base)))
				continue;
			printf("# round %d, put %u\n", round, i);
			mapset_release(&m);
			mapset_release(&copy);
			return;
		}
		CHECK(is_same(&copy, before, base)); /* a copy is its own */
		mapset_clear(&m);
		CHECK(!mapset_find(&m, base));
		mapset_release(&m);
		mapset_release(&copy);
	}
}

static void mapset_against_model_low(void)
{
	mapset_against_model(0);
}

static void mapset_against_model_high(void)
{
	mapset_against_model(UINT64_MAX - ADDRS);
}

static struct span span_of(uint64_t start, uint64_t end, uint64_t off, uint32_t module)
{
	return (struct span){
		.start = start, .end = end, .off = off, .kind = VMA_FILE, .module = module
	};
}

static void mapset_split_keeps_offsets(void)
{
	struct span a = span_of(0x1000, 0x9000, 0x100000, 1), b = span_of(0x3000, 0x5000, 0, 2);
	struct mapset m = {};
	const struct span *s;

	CHECK_EQ(mapset_put(&m, &a), 0);
	CHECK_EQ(mapset_put(&m, &b), 0);
	CHECK_EQ(m.cnt, 3);
	s = mapset_find(&m, 0x2fff);
	CHECK(s && s->module == 1 && s->start == 0x1000 && s->end == 0x3000 && s->off == 0x100000);
	s = mapset_find(&m, 0x3000);
	CHECK(s && s->module == 2 && s->start == 0x3000 && s->end == 0x5000 && s->off == 0);
	s = mapset_find(&m, 0x4fff);
	CHECK(s && s->module == 2);
	s = mapset_find(&m, 0x5000);
	CHECK(s && s->module == 1 && s->start == 0x5000 && s->end == 0x9000 && s->off == 0x104000);
	CHECK(!mapset_find(&m, 0xfff));
	CHECK(!mapset_find(&m, 0x9000));
	mapset_release(&m);
}

static void mapset_edges(void)
{
	struct span all = span_of(0, UINT64_MAX, 7, 3), none = span_of(5, 5, 0, 1),
		    back = span_of(9, 5, 0, 1);
	struct mapset m = {}, to = {};

	CHECK(!mapset_find(&m, 0));
	CHECK_EQ(mapset_put(&m, &none), 0);
	CHECK_EQ(mapset_put(&m, &back), 0);
	CHECK_EQ(m.cnt, 0);
	for (uint64_t i = 0; i < 100; i++) {
		struct span s = span_of(i * 10, i * 10 + 5, 0, 1);

		CHECK_EQ(mapset_put(&m, &s), 0);
	}
	CHECK_EQ(m.cnt, 100);
	CHECK_EQ(mapset_copy(&to, &m), 0);
	CHECK_EQ(mapset_put(&m, &all), 0);
	CHECK_EQ(m.cnt, 1);
	CHECK(mapset_find(&m, 0) && mapset_find(&m, UINT64_MAX - 1));
	CHECK(!mapset_find(&m, UINT64_MAX));
	CHECK_EQ(to.cnt, 100);
	mapset_clear(&m);
	CHECK_EQ(mapset_copy(&to, &m), 0); /* of an empty one: empty */
	CHECK_EQ(to.cnt, 0);
	mapset_release(&m);
	mapset_release(&to);
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		TEST(mapset_against_model_low),
		TEST(mapset_against_model_high),
		TEST(mapset_split_keeps_offsets),
		TEST(mapset_edges),
		{},
	};

	return test_main(tests, argc, argv);
}
