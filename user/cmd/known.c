/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* known.c - see known.h. BPF adds to a slot at any time; only its state is written here, and only its counts there. */
#include "cmd/known.h"

#include <string.h>

#define EVICT_SHARE 4 /* one in so many makes room */

struct entry {
	struct bstack_key key;
	uint64_t count, weight; /* of its slot, as drained */
	uint64_t hit;           /* the drain that found it counted up */
	uint32_t sample;
	bool is_used;
};

struct known {
	const struct known_maps *maps;
	struct model *model;
	struct entry *v; /* by slot */
	size_t cnt;      /* slots ever given out */
	uint32_t *free_slots;
	size_t free_cnt;
	struct hmap map; /* key -> slot; holds the evicted, too, until it is made again */
	uint64_t drains, evicted;
	uint64_t evicted_at; /* the drain after which slots were given away last */
};

int known_new(const struct known_maps *maps, struct model *m, struct known **ret)
{
	struct known *k = calloc(1, sizeof(*k));

	if (!k)
		return -ENOMEM;
	k->maps = maps;
	k->model = m;
	k->v = calloc(maps->slot_cnt, sizeof(*k->v));
	k->free_slots = calloc(maps->slot_cnt, sizeof(*k->free_slots));
	if (!k->v || !k->free_slots) {
		known_free(k);
		return -ENOMEM;
	}
	for (size_t i = 0; i < maps->slot_cnt; i++)
		maps->slots[i].seq = BSTACK_KNOWN_NONE;
	*ret = k;
	return 0;
}

void known_free(struct known *k)
{
	if (!k)
		return;
	hmap_release(&k->map);
	free(k->free_slots);
	free(k->v);
	free(k);
}

/* seq is written last: who sees it sees the rest. */
static void seq_set(struct known *k, uint32_t slot, uint64_t seq)
{
	__atomic_store_n(&k->maps->slots[slot].seq, seq, __ATOMIC_RELEASE);
}

static void slot_drain(struct known *k, uint32_t slot)
{
	const struct bstack_known *s = &k->maps->slots[slot];
	struct entry *e = &k->v[slot];
	uint64_t count = __atomic_load_n(&s->count, __ATOMIC_ACQUIRE);
	uint64_t weight = __atomic_load_n(&s->weight, __ATOMIC_ACQUIRE);
	struct sample *sample = &k->model->samples[e->sample];

	if (count == e->count && weight == e->weight)
		return;
	sample->count += count - e->count;
	sample->weight += weight - e->weight;
	k->model->ledger.recorded += count - e->count;
	k->model->ledger.counted += count - e->count;
	e->count = count;
	e->weight = weight;
	e->hit = k->drains;
}

void known_drain(struct known *k)
{
	k->drains++;
	for (uint32_t i = 0; i < k->cnt; i++)
		if (k->v[i].is_used)
			slot_drain(k, i);
}

static int hit_cmp(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* The drain before which a quarter of the slots was hit last. */
static int evict_limit(const struct known *k, uint64_t *ret)
{
	uint64_t *hits = calloc(k->cnt, sizeof(*hits));

	if (!hits)
		return -ENOMEM;
	for (size_t i = 0; i < k->cnt; i++)
		hits[i] = k->v[i].hit;
	qsort(hits, k->cnt, sizeof(*hits), hit_cmp);
	*ret = hits[k->cnt / EVICT_SHARE];
	free(hits);
	return 0;
}

/* The map without those that are gone. */
static int map_remake(struct known *k)
{
	int err = 0;

	hmap_release(&k->map);
	for (uint32_t i = 0; i < k->cnt && !err; i++)
		if (k->v[i].is_used)
			err = hmap_add(&k->map, k->v[i].key.a, i);
	return err;
}

/* Slots are closed, then everyone who saw them open has done, then they are read for the last time. */
static int evict(struct known *k)
{
	size_t want = k->maps->slot_cnt / EVICT_SHARE + 1, closed = 0;
	uint64_t limit;
	int err = evict_limit(k, &limit);

	if (err)
		return err;
	for (uint32_t i = 0; i < k->cnt && closed < want; i++) {
		if (!k->v[i].is_used || k->v[i].hit > limit)
			continue;
		seq_set(k, i, BSTACK_KNOWN_NONE);
		k->maps->drop(k->maps->ctx, &k->v[i].key);
		k->free_slots[k->free_cnt + closed++] = i;
	}
	k->evicted_at = k->drains;
	grace_period();
	for (size_t i = 0; i < closed; i++) {
		uint32_t slot = k->free_slots[k->free_cnt + i];

		slot_drain(k, slot);
		k->v[slot].is_used = false;
	}
	k->free_cnt += closed;
	k->evicted += closed;
	return map_remake(k);
}

static uint32_t slot_find(const struct known *k, const struct bstack_key *key)
{
	struct hmap_iter it;

	for (uint32_t i = hmap_first(&k->map, key->a, &it); i != HMAP_NONE;
	     i = hmap_next(&k->map, &it))
		if (k->v[i].is_used && k->v[i].key.a == key->a && k->v[i].key.b == key->b)
			return i;
	return HMAP_NONE;
}

/* A slot for a new key, closed. HMAP_NONE in *ret: there is none. */
static int slot_new(struct known *k, const struct bstack_key *key, uint32_t *ret)
{
	uint32_t slot;
	int err = 0;

	*ret = HMAP_NONE;
	/* Once between two drains: whoever reads samples waits for the grace period. */
	if (!k->free_cnt && k->cnt == k->maps->slot_cnt) {
		if (k->evicted_at == k->drains)
			return 0;
		err = evict(k);
	}
	if (err)
		return err;
	if (k->free_cnt)
		slot = k->free_slots[--k->free_cnt];
	else
		slot = (uint32_t)k->cnt++;
	err = hmap_add(&k->map, key->a, slot);
	if (!err && k->maps->put(k->maps->ctx, key, slot))
		err = -ENOSPC;
	k->v[slot] = (struct entry){
		.key = *key,
		.count = k->maps->slots[slot].count,
		.weight = k->maps->slots[slot].weight,
		.hit = k->drains,
		.is_used = !err,
	};
	if (!err)
		*ret = slot;
	else
		k->free_slots[k->free_cnt++] = slot;
	return err == -ENOMEM ? err : 0;
}

int known_add(struct known *k, const struct bstack_key *key, const struct bstack_mm *mm,
	      uint32_t sample)
{
	uint32_t slot = slot_find(k, key);
	int err = 0;

	if (slot == HMAP_NONE)
		err = slot_new(k, key, &slot);
	else if (k->v[slot].sample != sample)
		slot_drain(k, slot); /* what was counted so far belongs to the other */
	if (slot == HMAP_NONE)
		return err;
	k->v[slot].sample = sample;
	seq_set(k, slot, mm->seq);
	return 0;
}

uint64_t known_evicted(const struct known *k)
{
	return k->evicted;
}
