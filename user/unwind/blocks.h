/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * blocks.h - pieces of an array, each of 2^size_class elements and at a multiple of that (a buddy allocator): a large
 * one is cut when a small one is wanted, and the halves become one again when both are free. Only numbers: the array
 * is the caller's.
 */
#ifndef BSTACK_UNWIND_BLOCKS_H
#define BSTACK_UNWIND_BLOCKS_H

#include "base/base.h"

#define BLOCKS_CLASSES 31

/* A piece of the array. */
struct block {
	uint32_t first;
	uint8_t size_class;
};

struct block_links;
struct blocks {
	struct block_links *links; /* of the free block that begins there */
	uint32_t cnt;              /* elements of the array */
	uint32_t heads[BLOCKS_CLASSES];
};

/* All of cnt elements, less than 2^30, are free. 0 or -ENOMEM. */
int blocks_init(struct blocks *b, uint32_t cnt);
void blocks_release(struct blocks *b); /* accepts a zeroed one */
/* False: there is none. */
bool blocks_take(struct blocks *b, uint8_t size_class, struct block *ret);
void blocks_give(struct blocks *b, struct block block);

#endif
