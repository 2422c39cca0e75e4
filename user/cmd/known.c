/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* known.c - see known.h. BPF adds to a slot at any time; only its state is written here, and only its counts there. */
#include "cmd/known.h"
#include "cmd/known_vmas.h"

#include <string.h>

#define EVICT_SHARE 4 /* one in so many makes room */
#define CLOSE_SHARE 4 /* no more than one in so many waits for its last drain */

enum state {
	FREE,
	OPEN,
	CLOSED /* BPF may still add to it */
};
struct slot {
	struct bstack_key key;
	uint64_t count, weight; /* of its slot, as drained */
	uint64_t hit;           /* the drain that found it counted up */
	uint32_t sample;
	enum state state;
};

struct known {
	const struct known_maps *maps;
	struct model *model;
	struct slot *v; /* as in maps */
	size_t cnt;     /* slots ever given out */
	uint32_t *free_slots, *closed;
	size_t free_cnt, closed_cnt;
	struct hmap map; /* key -> slot; holds those closed, too, until it is made again */
	struct known_vmas *vmas;
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
	k->closed = calloc(maps->slot_cnt, sizeof(*k->closed));
	if (!k->v || !k->free_slots || !k->closed ||
	    known_vmas_new(maps->vmas, maps->vma_cnt, &k->vmas)) {
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
	known_vmas_free(k->vmas);
	free(k->closed);
	free(k->free_slots);
	free(k->v);
	free(k);
}

/* seq is written last: who sees it sees the rest. */
static void seq_set(struct known *k, uint32_t slot, uint64_t seq)
{
	__atomic_store_n(&k->maps->slots[slot].seq, seq, __ATOMIC_RELEASE);
}

static void slot_drain(struct known *k, uint32_t i)
{
	const struct bstack_known *s = &k->maps->slots[i];
	struct slot *own = &k->v[i];
	uint64_t count = __atomic_load_n(&s->count, __ATOMIC_ACQUIRE);
	uint64_t weight = __atomic_load_n(&s->weight, __ATOMIC_ACQUIRE);
	struct sample *sample = &k->model->samples[own->sample];

	if (count == own->count && weight == own->weight)
		return;
	sample->count += count - own->count;
	sample->weight += weight - own->weight;
	k->model->ledger.recorded += count - own->count;
	k->model->ledger.counted += count - own->count;
	own->count = count;
	own->weight = weight;
	own->hit = k->drains;
}

/* Nothing is counted there from now on, but by who is just doing it. */
static void slot_close(struct known *k, uint32_t i)
{
	seq_set(k, i, BSTACK_KNOWN_NONE);
	k->v[i].state = CLOSED;
	k->closed[k->closed_cnt++] = i;
}

static void vmas_put(struct known *k, uint32_t i)
{
	struct bstack_known *s = &k->maps->slots[i];

	for (uint32_t n = 0; n < s->vma_cnt; n++)
		known_vmas_put(k->vmas, s->vmas[n]);
	s->vma_cnt = 0;
}

/* Everyone who saw the closed ones open has done: they are read for the last time. */
static void closed_free(struct known *k)
{
	if (!k->closed_cnt)
		return;
	grace_period();
	for (size_t n = 0; n < k->closed_cnt; n++) {
		uint32_t i = k->closed[n];

		slot_drain(k, i);
		vmas_put(k, i);
		k->v[i].state = FREE;
		k->free_slots[k->free_cnt++] = i;
	}
	k->closed_cnt = 0;
}

void known_drain(struct known *k)
{
	k->drains++;
	closed_free(k);
	for (uint32_t i = 0; i < k->cnt; i++)
		if (k->v[i].state == OPEN)
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

/* The map without those that are gone, when they are more than half of it. */
static int map_tidy(struct known *k)
{
	int err = 0;

	if (k->map.cnt < 2 * k->maps->slot_cnt)
		return 0;
	hmap_release(&k->map);
	for (uint32_t i = 0; i < k->cnt && !err; i++)
		if (k->v[i].state == OPEN)
			err = hmap_add(&k->map, k->v[i].key.a, i);
	return err;
}

static int evict(struct known *k)
{
	size_t want = k->maps->slot_cnt / EVICT_SHARE + 1, cnt = 0;
	uint64_t limit;
	int err = evict_limit(k, &limit);

	if (err)
		return err;
	for (uint32_t i = 0; i < k->cnt && cnt < want; i++) {
		if (k->v[i].state != OPEN || k->v[i].hit > limit)
			continue;
		slot_close(k, i);
		k->maps->drop(k->maps->ctx, &k->v[i].key);
		cnt++;
	}
	k->evicted_at = k->drains;
	k->evicted += cnt;
	closed_free(k);
	return 0;
}

static uint32_t slot_find(const struct known *k, const struct bstack_key *key)
{
	struct hmap_iter it;

	for (uint32_t i = hmap_first(&k->map, key->a, &it); i != HMAP_NONE;
	     i = hmap_next(&k->map, &it))
		if (k->v[i].state == OPEN && k->v[i].key.a == key->a && k->v[i].key.b == key->b)
			return i;
	return HMAP_NONE;
}

/* The slot's mappings, each with a reference. Without room for one there are none, and the sequence alone counts. */
static int vmas_get(struct known *k, uint32_t i, const struct known_stack *st)
{
	struct known_owner o = { .start_ns = st->mm.start_ns,
				 .exec_id = st->mm.exec_id,
				 .pid = st->pid };
	struct bstack_known *s = &k->maps->slots[i];

	for (s->vma_cnt = 0; s->vma_cnt < st->vma_cnt; s->vma_cnt++) {
		int err = known_vmas_get(k->vmas, &o, &st->vmas[s->vma_cnt], &s->vmas[s->vma_cnt]);

		if (err) {
			vmas_put(k, i);
			return err == -ENOSPC ? 0 : err;
		}
	}
	return 0;
}

/* A free slot. HMAP_NONE in *ret: there is none. */
static int slot_take(struct known *k, uint32_t *ret)
{
	int err = 0;

	*ret = HMAP_NONE;
	/* Once between two drains: whoever reads samples waits for the grace period. */
	if (!k->free_cnt && k->cnt == k->maps->slot_cnt && k->evicted_at != k->drains)
		err = evict(k);
	if (!err)
		err = map_tidy(k);
	if (err)
		return err;
	if (k->free_cnt)
		*ret = k->free_slots[--k->free_cnt];
	else if (k->cnt < k->maps->slot_cnt)
		*ret = (uint32_t)k->cnt++;
	return 0;
}

static int slot_open(struct known *k, uint32_t i, const struct known_stack *st)
{
	struct bstack_known *s = &k->maps->slots[i];
	int err = vmas_get(k, i, st);

	k->v[i] = (struct slot){
		.key = st->key,
		.count = s->count,
		.weight = s->weight,
		.hit = k->drains,
		.sample = st->sample,
	};
	if (!err && !st->is_steady && !s->vma_cnt)
		err = -ENOSPC;
	if (!err)
		err = hmap_add(&k->map, st->key.a, i);
	if (err) {
		vmas_put(k, i);
		k->free_slots[k->free_cnt++] = i;
		return err == -ENOMEM ? err : 0;
	}
	k->v[i].state = OPEN;
	seq_set(k, i, st->is_steady ? st->mm.seq : BSTACK_KNOWN_VMAS);
	if (k->maps->put(k->maps->ctx, &st->key, i))
		slot_close(k, i);
	return 0;
}

static bool is_same(const struct known *k, uint32_t i, const struct known_stack *st)
{
	const struct bstack_known *s = &k->maps->slots[i];

	if (k->v[i].sample != st->sample || s->vma_cnt != st->vma_cnt)
		return false;
	for (uint32_t n = 0; n < s->vma_cnt; n++)
		if (!bstack_vma_same(&k->maps->vmas[s->vmas[n]].vma, &st->vmas[n]))
			return false;
	return true;
}

int known_add(struct known *k, const struct known_stack *st)
{
	uint32_t i = slot_find(k, &st->key);
	int err;

	if (!st->is_steady && !st->vma_cnt)
		return 0;
	if (i != HMAP_NONE && is_same(k, i, st)) {
		if (st->is_steady)
			seq_set(k, i, st->mm.seq);
		return 0;
	}
	if (i != HMAP_NONE) {
		if (k->closed_cnt > k->maps->slot_cnt / CLOSE_SHARE)
			return 0;
		slot_close(k, i);
		/* There may be no other slot for it, and this one is soon another key's. */
		k->maps->drop(k->maps->ctx, &st->key);
	}
	err = slot_take(k, &i);
	return err || i == HMAP_NONE ? err : slot_open(k, i, st);
}

uint64_t known_evicted(const struct known *k)
{
	return k->evicted;
}
