/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_known.c - slots of known stacks: whatever is counted in them, and whenever, stands in the profile once. What BPF
 * does is done here: look the key up, compare the state, add.
 */
#include "test.h"

#include "cmd/known.c"
#include "cmd/known_vmas.c"

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

#define VMAS 6
static struct bstack_known slots[SLOTS];
static struct bstack_known_vma vmas[VMAS];
static const struct known_maps maps = {
	.slots = slots,
	.slot_cnt = SLOTS,
	.vmas = vmas,
	.vma_cnt = VMAS,
	.put = told_put,
	.drop = told_drop,
};

/* The mappings that there are: by their inodes. */
static uint64_t mapped[VMAS];
#define ABSENT 77

static struct bstack_vma vma_of(uint64_t ino)
{
	return (struct bstack_vma){ .start = 0x1000 * ino,
				    .end = 0x1000 * ino + 0x1000,
				    .file.ino = ino,
				    .kind = BSTACK_VMA_FILE };
}

static bool is_mapped(const struct bstack_vma *v)
{
	for (size_t i = 0; i < VMAS; i++) {
		struct bstack_vma is = vma_of(mapped[i]);

		if (mapped[i] && bstack_vma_same(&is, v))
			return true;
	}
	return false;
}

/* A sample of stack n in this state. True: it was counted. */
static bool hit(uint64_t n, uint64_t seq)
{
	struct bstack_known *k = told[n].is_used ? &slots[told[n].slot] : NULL;

	if (!k || k->seq == BSTACK_KNOWN_NONE)
		return false;
	for (uint32_t i = 0; k->seq != seq && i < k->vma_cnt; i++)
		if (!is_mapped(&vmas[k->vmas[i]].vma))
			return false;
	if (k->seq != seq && !k->vma_cnt)
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
	memset(vmas, 0, sizeof(vmas));
	memset(mapped, 0, sizeof(mapped));
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
	struct known_stack st = {
		.key = { n, ~n }, .mm.seq = seq, .is_steady = true, .sample = sample
	};

	CHECK_EQ(known_add(k, &st), 0);
}

/* With up to two mappings; seq ABSENT: in no sequence. */
static void add_mapped(uint64_t n, uint64_t seq, uint64_t ino1, uint64_t ino2, uint32_t sample)
{
	const struct bstack_vma v[] = { vma_of(ino1), vma_of(ino2) };
	struct known_stack st = {
		.key = { n, ~n },
		.mm.seq = seq,
		.is_steady = seq != ABSENT,
		.vmas = v,
		.vma_cnt = ino2 ? 2 : 1,
		.sample = sample,
	};

	CHECK_EQ(known_add(k, &st), 0);
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

/* Another sequence, the same mappings: counted; one of them gone: not. */
static void by_mappings(void)
{
	start();
	mapped[0] = 1;
	mapped[1] = 2;
	add_mapped(1, ABSENT, 1, 2, 5);
	CHECK(hit(1, 4));
	CHECK(hit(1, 6));
	mapped[1] = 3;
	CHECK(!hit(1, 8));
	mapped[1] = 2;
	CHECK(hit(1, 10));
	add_mapped(2, 10, 1, 0, 6); /* shares a mapping, and has a sequence, too */
	mapped[0] = 0;
	CHECK(hit(2, 10));
	CHECK(!hit(2, 12));
	CHECK_EQ(slots[told[1].slot].vmas[0], slots[told[2].slot].vmas[0]);
	known_drain(k);
	CHECK_EQ(m.samples[5].count, 3);
	CHECK_EQ(m.samples[6].count, 1);
	/* In no state at all nothing is counted. */
	add_mapped(3, 10, 1, 0, 7);
	CHECK_EQ(known_add(k, &(struct known_stack){ .key = { 4, ~4ULL } }), 0);
	CHECK(!told[4].is_used);
	finish();
}

/* A slot never becomes another sample's, nor other mappings', while someone may still count in it. */
static void late_counts(void)
{
	struct bstack_known *old;

	start();
	mapped[0] = 1;
	add_mapped(1, ABSENT, 1, 0, 5);
	old = &slots[told[1].slot];
	mapped[0] = 2;
	add_mapped(1, ABSENT, 2, 0, 9); /* the same addresses, of another library */
	CHECK(old != &slots[told[1].slot]);
	CHECK_EQ(old->seq, BSTACK_KNOWN_NONE);
	CHECK_EQ(vmas[old->vmas[0]].vma.file.ino, 1);
	old->count++; /* by who found it open */
	CHECK(hit(1, 2));
	add_mapped(1, ABSENT, 1, 0, 9); /* one sample, other mappings: as well */
	CHECK(old != &slots[told[1].slot]);
	known_drain(k);
	CHECK_EQ(m.samples[5].count, 1);
	CHECK_EQ(m.samples[9].count, 1);
	CHECK_EQ(k->closed_cnt, 0);
	finish();
}

/* Mappings that change from stack to stack: each entry is given away only with its last slot. */
static void mappings_are_shared(void)
{
	uint64_t hits = 0;

	start();
	for (uint64_t i = 0; i < 100; i++) {
		mapped[0] = 1 + i % 3;
		mapped[1] = 10 + i;
		add_mapped(i % 5, ABSENT, mapped[0], mapped[1], (uint32_t)(i % 5));
		hits += hit(i % 5, 2);
		for (size_t s = 0; s < SLOTS; s++)
			for (uint32_t n = 0; n < slots[s].vma_cnt; n++)
				CHECK(k->vmas->v[slots[s].vmas[n]].ref_cnt > 0);
		if (i % 2)
			known_drain(k);
	}
	CHECK(hits >= 50); /* two stacks are closed between two drains, and so must some wait */
	/* No room for a mapping: the stack is known by its sequence alone, or not at all. */
	known_drain(k);
	for (uint64_t i = 0; i < 4; i++)
		add_mapped(30 + i, 2, 100 + i, 200 + i, 0);
	mapped[0] = 0;
	CHECK(told[33].is_used && hit(33, 2));
	CHECK(!hit(33, 4));
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

/* A key whose slot was closed, and that got no other, leads nowhere: its old slot becomes another key's. */
static void closed_without_another(void)
{
	start();
	known_drain(k);
	for (uint32_t i = 0; i < SLOTS + 3;
	     i++) /* three make room: not again before the next drain */
		add(i, 1, i);
	add(SLOTS, 1, 30);
	known_drain(k);
	for (uint32_t i = 20; i < 23; i++)
		add(i, 1, i);
	CHECK(!hit(SLOTS, 1));
	known_drain(k);
	for (uint32_t i = 20; i < 23; i++)
		CHECK_EQ(m.samples[i].count, 0);
	finish();
}

/* Likewise when there is no room for its mappings. */
static void closed_without_mappings(void)
{
	start();
	add_mapped(0, ABSENT, 1, 2, 0);
	add_mapped(1, ABSENT, 3, 4, 1);
	add_mapped(2, ABSENT, 5, 6, 2);
	add_mapped(0, ABSENT, 1, 7, 10);
	known_drain(k);
	add(3, 1, 3);
	add(4, 1, 4);
	CHECK(!hit(0, 1));
	known_drain(k);
	CHECK_EQ(m.samples[3].count + m.samples[4].count, 0);
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
		TEST(counted_once),
		TEST(moves_to_another_state),
		TEST(by_mappings),
		TEST(late_counts),
		TEST(makes_room),
		TEST(closed_without_another),
		TEST(closed_without_mappings),
		TEST(mappings_are_shared),
		TEST(map_full),
		TEST(against_counters),
		{},
	};

	return test_main(tests, argc, argv);
}
