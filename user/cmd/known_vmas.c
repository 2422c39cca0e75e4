/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* known_vmas.c - see known_vmas.h. */
#include "cmd/known_vmas.h"

struct entry {
	struct known_owner owner;
	uint32_t ref_cnt;
};

struct known_vmas {
	struct bstack_known_vma *shared;
	struct entry *v; /* by index in shared */
	uint32_t *free_list;
	size_t cnt, cap, free_cnt; /* cnt: ever given out */
	struct hmap map;           /* holds the removed, too, until it is made again */
};

int known_vmas_new(struct bstack_known_vma *shared, size_t cnt, struct known_vmas **ret)
{
	struct known_vmas *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->shared = shared;
	t->cap = cnt;
	t->v = calloc(cnt, sizeof(*t->v));
	t->free_list = calloc(cnt, sizeof(*t->free_list));
	if (!t->v || !t->free_list) {
		known_vmas_free(t);
		return -ENOMEM;
	}
	*ret = t;
	return 0;
}

void known_vmas_free(struct known_vmas *t)
{
	if (!t)
		return;
	hmap_release(&t->map);
	free(t->free_list);
	free(t->v);
	free(t);
}

static bool owner_same(const struct known_owner *a, const struct known_owner *b)
{
	return a->pid == b->pid && a->start_ns == b->start_ns && a->exec_id == b->exec_id;
}

static uint64_t hash_of(const struct known_owner *o, const struct bstack_vma *v)
{
	return hash_bytes(v, sizeof(*v), o->pid ^ o->start_ns ^ o->exec_id << 48);
}

/* The map without those that are gone, when they are more than half of it. */
static int vmas_tidy(struct known_vmas *t)
{
	int err = 0;

	if (t->map.cnt < 2 * t->cap)
		return 0;
	hmap_release(&t->map);
	for (uint32_t i = 0; i < t->cnt && !err; i++)
		if (t->v[i].ref_cnt)
			err = hmap_add(&t->map, hash_of(&t->v[i].owner, &t->shared[i].vma), i);
	return err;
}

int known_vmas_get(struct known_vmas *t, const struct known_owner *o, const struct bstack_vma *v,
		   uint32_t *ret)
{
	uint64_t hash = hash_of(o, v);
	struct hmap_iter it;
	uint32_t i;
	int err;

	for (i = hmap_first(&t->map, hash, &it); i != HMAP_NONE; i = hmap_next(&t->map, &it))
		if (t->v[i].ref_cnt && owner_same(&t->v[i].owner, o) &&
		    bstack_vma_same(&t->shared[i].vma, v))
			break;
	if (i == HMAP_NONE) {
		if (!t->free_cnt && t->cnt == t->cap)
			return -ENOSPC;
		err = vmas_tidy(t);
		i = t->free_cnt ? t->free_list[t->free_cnt - 1] : (uint32_t)t->cnt;
		if (!err)
			err = hmap_add(&t->map, hash, i);
		if (err)
			return err;
		if (t->free_cnt)
			t->free_cnt--;
		else
			t->cnt++;
		t->v[i] = (struct entry){ .owner = *o };
		t->shared[i] = (struct bstack_known_vma){ .vma = *v, .seq = BSTACK_KNOWN_NONE };
	}
	t->v[i].ref_cnt++;
	*ret = i;
	return 0;
}

void known_vmas_put(struct known_vmas *t, uint32_t i)
{
	if (!--t->v[i].ref_cnt)
		t->free_list[t->free_cnt++] = i;
}
