/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * pprof_impl.h - between the parts of the reader: pprof_inflate.c gives bytes, pprof_wire.c fields,
 * memory for sub-messages and ids, pprof_read.c a model.
 */
#ifndef BSTACK_PROFILE_PPROF_IMPL_H
#define BSTACK_PROFILE_PPROF_IMPL_H

#include "base/base.h"

/*
 * Turn what a file holds into its message, at most max bytes: file becomes the message, decompressed
 * where it was gzip. *ret_is_cut: the data ends in the middle of a gzip member, or something else
 * follows a whole one; what came before is kept. name: for the story. 0, -EINVAL: no member is
 * whole, -EFBIG, -ENOMEM.
 */
int pprof_inflate(const char *name, struct buf *file, size_t max, bool *ret_is_cut,
		  struct error *e);

/* Bytes of the message, not owned. */
struct piece {
	const uint8_t *data;
	size_t len;
};

/* Take a value, or the next field, off the front of p: for a varint *ret_value, else *ret_bytes
 * (which then has data). False: damaged, or cut; p is then of no more use. */
bool varint_get(struct piece *p, uint64_t *ret);
bool field_get(struct piece *p, uint32_t *ret_field, uint64_t *ret_value, struct piece *ret_bytes);

/* How much of p is whole fields. */
size_t fields_len(struct piece p);

/*
 * arena - memory for one unpacked sub-message: handed out in a row, taken back all at once by
 * arena_reset(), which makes room for another like it. arena_alloc and arena_free fit
 * ProtobufCAllocator with the arena as its data; at most ARENA_MAX between two resets.
 */
#define ARENA_MAX ((size_t)64 << 20)
struct arena {
	uint8_t *data;
	size_t used, cap;
	struct arena_extra *extra; /* what did not fit */
	size_t wanted;
};
void *arena_alloc(void *arena, size_t size);
void arena_free(void *arena, void *p);
void arena_reset(struct arena *a);
void arena_release(struct arena *a);

/* Ids of the file, which are any numbers, to indices of the model. */
struct id_map {
	uint64_t *ids;
	uint32_t *idxs;
	size_t cnt, id_cap, idx_cap;
	struct hmap map;
};
void id_map_release(struct id_map *map);
bool id_map_find(const struct id_map *map, uint64_t id, uint32_t *ret);
/* 0, -EINVAL: zero, or already there; -ENOMEM, -E2BIG. */
int id_map_add(struct id_map *map, uint64_t id, uint32_t idx);

#endif
