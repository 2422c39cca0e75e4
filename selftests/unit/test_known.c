/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_known.c - slots of known stacks: whatever is counted in them, and whenever, stands in the profile once. What BPF
 * does is done here: look the key up, compare the state, add.
 */
#include "test.h"

#include "cmd/known.c"

#define SLOTS 8
#define KEYS  40

/* The map from key to slot, as BPF sees it. */
static struct {
	struct bstack_key key;
	uint32_t slot;
	bool is_used;
} told[KEYS];
static int put_err;

static int told_put(void *ctx, const struct bstack_key *key, uint32_t slot)
{
	(void)ctx;
	CHECK(slot < SLOTS);
	if (put_err)
		return put_err;
	told[key->a].key = *key;
	told[key->a].slot = slot;
	told[key->a].is_used = true;
	return 0;
}

static void told_drop(void *ctx, const struct bstack_key *key)
{
	(void)ctx;
	CHECK(told[key->a].is_used);
	told[key->a].is_used = false;
}

static struct bstack_known slots[SLOTS];
static const struct known_maps maps = {
	.slots = slots, .slot_cnt = SLOTS, .put = told_put, .drop = told_drop
};

/* A sample of stack n in this state. True: it was counted. */
static bool hit(uint64_t n, uint64_t seq)
{
	struct bstack_known *k = told[n].is_used ? &slots[told[n].slot] : NULL;

	if (!k || k->seq != seq)
		return false;
	k->count++;
	k->weight += 7;
	return true;
}

static struct model m;
static struct known *k;

static void start(void)
{
	memset(slots, 0, sizeof(slots));
	memset(told, 0, sizeof(told));
	put_err = 0;
	CHECK_EQ(model_init(&m), 0);
	for (uint32_t i = 0; i < KEYS; i++) {
		struct sample s = { .tid = i };
		uint32_t at;

		CHECK_EQ(model_sample_at(&m, &s, &at), 0);
		CHECK_EQ(at, i);
	}
	CHECK_EQ(known_new(&maps, &m, &k), 0);
}

static void finish(void)
{
	known_free(k);
	model_release(&m);
}

static void add(uint64_t n, uint64_t seq, uint32_t sample)
{
	struct bstack_key key = { n, ~n };
	struct bstack_mm mm = { .seq = seq };

	CHECK_EQ(known_add(k, &key, &mm, sample), 0);
}

static void counted_once(void)
{
	start();
	CHECK(!hit(1, 0)); /* an unused slot is in no state, not even in the first */
	add(1, 0, 5);
	for (int i = 0; i < 10; i++)
		CHECK(hit(1, 0));
	CHECK(!hit(1, 2));
	known_drain(k);
	CHECK_EQ(m.samples[5].count, 10);
	CHECK_EQ(m.samples[5].weight, 70);
	CHECK_EQ(m.ledger.recorded, 10);
	known_drain(k);
	CHECK_EQ(m.samples[5].count, 10);
	CHECK(hit(1, 0));
	known_drain(k);
	CHECK_EQ(m.samples[5].count, 11);
	CHECK_EQ(m.ledger.counted, 11);
	finish();
}

/* Another state, another sample of the profile: what was counted before stays where it was. */
static void moves_to_another_state(void)
{
	start();
	add(1, 4, 5);
	hit(1, 4);
	hit(1, 4);
	add(1, 6, 5);
	CHECK(!hit(1, 4));
	CHECK(hit(1, 6));
	add(1, 6, 9);
	hit(1, 6);
	known_drain(k);
	CHECK_EQ(m.samples[5].count, 3);
	CHECK_EQ(m.samples[9].count, 1);
	finish();
}

/* More stacks than slots: those not hit for longest make room, and their counts are kept. */
static void makes_room(void)
{
	uint64_t hits[KEYS] = {};

	start();
	for (uint64_t n = 0; n < SLOTS; n++)
		add(n, 2, (uint32_t)n);
	for (uint64_t n = 3; n < SLOTS; n++)
		hits[n] += hit(n, 2);
	known_drain(k);
	for (uint64_t n = 0; n < SLOTS; n++) /* not drained yet when they make room */
		hits[n] += hit(n, 2);
	add(SLOTS, 2, SLOTS);
	CHECK_EQ(known_evicted(k), SLOTS / EVICT_SHARE + 1);
	for (uint64_t n = 0; n < 3; n++)
		CHECK(!hit(n, 2));
	for (uint64_t n = 3; n <= SLOTS; n++) {
		CHECK(hit(n, 2));
		hits[n]++;
	}
	known_drain(k);
	for (uint64_t n = 0; n < KEYS; n++)
		CHECK_EQ(m.samples[n].count, hits[n]);
	add(0, 2, 0); /* it comes back, and begins anew */
	hits[0] += hit(0, 2);
	known_drain(k);
	CHECK_EQ(m.samples[0].count, hits[0]);
	finish();
}

/* The map in BPF refuses: the stack is not known, and nothing is counted for it. */
static void map_full(void)
{
	start();
	put_err = -E2BIG;
	add(1, 2, 1);
	CHECK(!hit(1, 2));
	put_err = 0;
	add(1, 2, 1);
	CHECK(hit(1, 2));
	known_drain(k);
	CHECK_EQ(m.samples[1].count, 1);
	finish();
}

/* All of it at random, against plain counters. */
static void against_counters(void)
{
	uint64_t want[KEYS] = {}, seed = 88172645463325252ULL, total = 0;
	uint32_t sample_of[KEYS] = {};

	start();
	for (int i = 0; i < 20000; i++) {
		uint64_t n;

		seed ^= seed << 13;
		seed ^= seed >> 7;
		seed ^= seed << 17;
		n = (seed >> 8) % (i % 3 ? 6 : 20);
		switch ((seed >> 32) % 12) {
		case 0:
			known_drain(k);
			break;
		case 1:
			sample_of[n] = (uint32_t)((seed >> 40) % KEYS);
			/* fallthrough */
		case 2:
			add(n, (seed >> 50) % 2, sample_of[n]);
			break;
		default:
			if (hit(n, (seed >> 50) % 2)) {
				want[k->v[told[n].slot].sample]++;
				total++;
			}
		}
	}
	known_drain(k);
	for (uint64_t n = 0; n < KEYS; n++)
		CHECK_EQ(m.samples[n].count, want[n]);
	CHECK_EQ(m.ledger.recorded, total);
	CHECK(total > 3000 && known_evicted(k) > 50);
	finish();
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		TEST(counted_once), TEST(moves_to_another_state), TEST(makes_room),
		TEST(map_full),     TEST(against_counters),       {},
	};

	return test_main(tests, argc, argv);
}
