/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* table.c - hashing: hmap, strtab and pid_table of base.h. */
#include "base/base.h"

#include <string.h>

uint64_t hash_bytes(const void *data, size_t len, uint64_t seed)
{
	const uint8_t *p = data;
	uint64_t h = seed ^ (len * 0x9e3779b97f4a7c15ULL), w;

	for (; len >= 8; len -= 8, p += 8) {
		memcpy(&w, p, 8);
		h = (h ^ hash_u64(w)) * 0x9e3779b97f4a7c15ULL;
	}
	if (len) {
		w = 0;
		memcpy(&w, p, len);
		h = (h ^ hash_u64(w)) * 0x9e3779b97f4a7c15ULL;
	}
	return hash_u64(h);
}

void hmap_release(struct hmap *h)
{
	free(h->hashes);
	free(h->vals);
	*h = (struct hmap){};
}

uint32_t hmap_next(const struct hmap *h, struct hmap_iter *it)
{
	for (;;) {
		size_t slot = it->slot++ & (h->cap - 1);

		if (h->vals[slot] == HMAP_NONE)
			return HMAP_NONE;
		if (h->hashes[slot] == it->hash)
			return h->vals[slot];
	}
}

uint32_t hmap_first(const struct hmap *h, uint64_t hash, struct hmap_iter *it)
{
	if (!h->cap)
		return HMAP_NONE;
	*it = (struct hmap_iter){ .slot = hash & (h->cap - 1), .hash = hash };
	return hmap_next(h, it);
}

static void hmap_put(struct hmap *h, uint64_t hash, uint32_t val)
{
	size_t slot = hash & (h->cap - 1);

	while (h->vals[slot] != HMAP_NONE)
		slot = (slot + 1) & (h->cap - 1);
	h->hashes[slot] = hash;
	h->vals[slot] = val;
}

/* Twice the room; the load stays below three quarters, so a probe always ends. */
static int hmap_grow(struct hmap *h)
{
	struct hmap g = { .cap = h->cap ? 2 * h->cap : 64, .cnt = h->cnt };

	g.hashes = calloc(g.cap, sizeof(*g.hashes));
	g.vals = malloc(g.cap * sizeof(*g.vals));
	if (!g.hashes || !g.vals) {
		hmap_release(&g);
		return -ENOMEM;
	}
	memset(g.vals, 0xff, g.cap * sizeof(*g.vals));
	for (size_t i = 0; i < h->cap; i++)
		if (h->vals[i] != HMAP_NONE)
			hmap_put(&g, h->hashes[i], h->vals[i]);
	hmap_release(h);
	*h = g;
	return 0;
}

int hmap_add(struct hmap *h, uint64_t hash, uint32_t val)
{
	int err = 0;

	if (4 * (h->cnt + 1) > 3 * h->cap)
		err = hmap_grow(h);
	if (err)
		return err;
	hmap_put(h, hash, val);
	h->cnt++;
	return 0;
}

int strtab_init(struct strtab *t)
{
	uint32_t id;
	int err;

	*t = (struct strtab){};
	err = strtab_add(t, "", &id);
	if (err)
		strtab_release(t);
	return err;
}

void strtab_release(struct strtab *t)
{
	for (size_t i = 0; i < t->cnt; i++)
		free(t->strs[i]);
	free(t->strs);
	hmap_release(&t->map);
	*t = (struct strtab){};
}

int strtab_addn(struct strtab *t, const char *s, size_t len, uint32_t *ret_id)
{
	uint64_t hash = hash_bytes(s, len, 0);
	struct hmap_iter it;
	char *copy;
	int err;

	for (uint32_t id = hmap_first(&t->map, hash, &it); id != HMAP_NONE;
	     id = hmap_next(&t->map, &it)) {
		if (!strncmp(t->strs[id], s, len) && !t->strs[id][len]) {
			*ret_id = id;
			return 0;
		}
	}
	err = array_reserve(&t->strs, &t->cap, t->cnt + 1, sizeof(*t->strs), STRTAB_MAX);
	if (err)
		return err;
	copy = strndup(s, len);
	if (!copy)
		return -ENOMEM;
	err = hmap_add(&t->map, hash, (uint32_t)t->cnt);
	if (err) {
		free(copy);
		return err;
	}
	t->strs[t->cnt] = copy;
	*ret_id = (uint32_t)t->cnt++;
	return 0;
}

int strtab_add(struct strtab *t, const char *s, uint32_t *ret_id)
{
	return strtab_addn(t, s, strlen(s), ret_id);
}

#define PID_MAP_SLACK 1024 /* removed entries that the map may always hold */

void pid_table_release(struct pid_table *t)
{
	free(t->slots);
	free(t->free_slots);
	hmap_release(&t->map);
	*t = (struct pid_table){};
}

uint32_t pid_table_find(const struct pid_table *t, uint32_t pid)
{
	struct hmap_iter it;

	for (uint32_t i = hmap_first(&t->map, hash_u64(pid), &it); i != HMAP_NONE;
	     i = hmap_next(&t->map, &it))
		if (t->slots[i].is_used && t->slots[i].pid == pid)
			return i;
	return HMAP_NONE;
}

/* The map has no removal: make it again from the living when it holds mostly the dead. */
static int pid_map_add(struct pid_table *t, uint32_t slot)
{
	struct hmap fresh = {};

	if (t->map.cnt < 2 * (t->cnt - t->free_cnt) + PID_MAP_SLACK)
		return hmap_add(&t->map, hash_u64(t->slots[slot].pid), slot);
	for (uint32_t i = 0; i < t->cnt; i++) {
		if (t->slots[i].is_used && hmap_add(&fresh, hash_u64(t->slots[i].pid), i)) {
			hmap_release(&fresh);
			return -ENOMEM;
		}
	}
	hmap_release(&t->map);
	t->map = fresh;
	return 0;
}

int pid_table_add(struct pid_table *t, uint32_t pid, size_t max, uint32_t *ret_slot)
{
	uint32_t slot;
	int err = 0;

	if (!t->free_cnt)
		err = array_reserve(&t->slots, &t->cap, t->cnt + 1, sizeof(*t->slots), max);
	/* Room in free_slots for every slot: giving one back cannot fail. */
	if (!err)
		err = array_reserve(&t->free_slots, &t->free_cap, t->cnt + 1, sizeof(slot),
				    max + 1);
	if (err)
		return err;
	slot = t->free_cnt ? t->free_slots[--t->free_cnt] : (uint32_t)t->cnt++;
	t->slots[slot] = (struct pid_slot){ .pid = pid, .is_used = true };
	err = pid_map_add(t, slot);
	if (err)
		pid_table_remove(t, slot);
	else
		*ret_slot = slot;
	return err;
}

void pid_table_remove(struct pid_table *t, uint32_t slot)
{
	t->slots[slot].is_used = false;
	t->free_slots[t->free_cnt++] = slot;
}
