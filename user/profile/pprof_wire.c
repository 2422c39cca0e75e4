/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * pprof_wire.c - what reading a message of protobuf needs beside protobuf-c: walking top-level fields without
 * unpacking them all, memory for one sub-message at a time, and the ids by which these name each other.
 */
#include "profile/pprof_impl.h"

#include <stdalign.h>

#define FIELD_NUMBER_MAX ((1U << 29) - 1)

/* Wire types of protobuf. */
enum wire {
	WIRE_VARINT = 0,
	WIRE_64 = 1,
	WIRE_BYTES = 2,
	WIRE_32 = 5,
};

bool varint_get(struct piece *p, uint64_t *ret)
{
	uint64_t v = 0;

	for (unsigned int shift = 0; shift < 64 && p->len; shift += 7) {
		uint8_t byte = *p->data++;

		p->len--;
		v |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80)) {
			*ret = v;
			return true;
		}
	}
	return false;
}

bool field_get(struct piece *p, uint32_t *ret_field, uint64_t *ret_value, struct piece *ret_bytes)
{
	uint64_t tag, len = 0;

	if (!varint_get(p, &tag) || !(tag >> 3) || tag >> 3 > FIELD_NUMBER_MAX)
		return false;
	*ret_field = (uint32_t)(tag >> 3);
	*ret_value = 0;
	*ret_bytes = (struct piece){};
	switch (tag & 7) {
	case WIRE_VARINT:
		return varint_get(p, ret_value);
	case WIRE_64:
		len = 8;
		break;
	case WIRE_32:
		len = 4;
		break;
	case WIRE_BYTES:
		if (!varint_get(p, &len))
			return false;
		break;
	default:
		return false;
	}
	if (len > p->len)
		return false;
	*ret_bytes = (struct piece){ p->data, (size_t)len };
	p->data += len;
	p->len -= (size_t)len;
	return true;
}

size_t fields_len(struct piece p)
{
	size_t len = p.len, whole = 0;
	struct piece bytes;
	uint32_t field;
	uint64_t value;

	while (p.len && field_get(&p, &field, &value, &bytes))
		whole = len - p.len;
	return whole;
}

struct arena_extra {
	struct arena_extra *next;
	alignas(max_align_t) uint8_t data[];
};

void *arena_alloc(void *arena, size_t size)
{
	struct arena *a = arena;
	struct arena_extra *extra;

	if (size > ARENA_MAX)
		return NULL;
	size = (size + 15) & ~(size_t)15;
	if (size > ARENA_MAX - a->wanted)
		return NULL;
	a->wanted += size;
	if (size <= a->cap - a->used) {
		a->used += size;
		return a->data + a->used - size;
	}
	extra = malloc(sizeof(*extra) + size);
	if (!extra)
		return NULL;
	extra->next = a->extra;
	a->extra = extra;
	return extra->data;
}

void arena_free(void *arena, void *p)
{
	(void)arena;
	(void)p;
}

static void arena_clear(struct arena *a)
{
	while (a->extra) {
		struct arena_extra *next = a->extra->next;

		free(a->extra);
		a->extra = next;
	}
	a->used = 0;
}

void arena_reset(struct arena *a)
{
	size_t want = a->wanted;

	arena_clear(a);
	a->wanted = 0;
	if (want > a->cap) {
		uint8_t *grown = malloc(2 * want);

		if (!grown) /* then in single pieces again */
			return;
		free(a->data);
		a->data = grown;
		a->cap = 2 * want;
	}
}

void arena_release(struct arena *a)
{
	arena_clear(a);
	free(a->data);
	*a = (struct arena){};
}

void id_map_release(struct id_map *map)
{
	free(map->ids);
	free(map->idxs);
	hmap_release(&map->map);
}

bool id_map_find(const struct id_map *map, uint64_t id, uint32_t *ret)
{
	struct hmap_iter it;

	for (uint32_t i = hmap_first(&map->map, hash_u64(id), &it); i != HMAP_NONE;
	     i = hmap_next(&map->map, &it)) {
		if (map->ids[i] == id) {
			*ret = map->idxs[i];
			return true;
		}
	}
	return false;
}

int id_map_add(struct id_map *map, uint64_t id, uint32_t idx)
{
	uint32_t old;
	int err;

	if (!id || id_map_find(map, id, &old))
		return -EINVAL;
	err = array_reserve(&map->ids, &map->id_cap, map->cnt + 1, sizeof(id), UINT32_MAX - 1);
	if (!err)
		err = array_reserve(&map->idxs, &map->idx_cap, map->cnt + 1, sizeof(idx),
				    UINT32_MAX - 1);
	if (!err)
		err = hmap_add(&map->map, hash_u64(id), (uint32_t)map->cnt);
	if (err)
		return err;
	map->ids[map->cnt] = id;
	map->idxs[map->cnt++] = idx;
	return 0;
}
