/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* blocks.c - a list of free blocks for each size class, linked by their numbers. */
#include "unwind/blocks.h"

#define END UINT32_MAX

struct block_links {
	uint32_t next, prev; /* in the list of its class */
	uint8_t size_class;
	bool is_free; /* a free block begins here */
};

static void list_add(struct blocks *b, struct block block)
{
	uint32_t *head = &b->heads[block.size_class];

	b->links[block.first] = (struct block_links){
		.next = *head, .prev = END, .size_class = block.size_class, .is_free = true
	};
	if (*head != END)
		b->links[*head].prev = block.first;
	*head = block.first;
}

static void list_remove(struct blocks *b, uint32_t first)
{
	struct block_links *l = &b->links[first];

	if (l->prev != END)
		b->links[l->prev].next = l->next;
	else
		b->heads[l->size_class] = l->next;
	if (l->next != END)
		b->links[l->next].prev = l->prev;
	l->is_free = false;
}

int blocks_init(struct blocks *b, uint32_t cnt)
{
	struct block at = {};

	*b = (struct blocks){ .cnt = cnt, .links = calloc(cnt ? cnt : 1, sizeof(*b->links)) };
	if (!b->links)
		return -ENOMEM;
	for (size_t i = 0; i < BLOCKS_CLASSES; i++)
		b->heads[i] = END;
	while (at.first < cnt) { /* the largest that may begin here and fits */
		for (at.size_class = BLOCKS_CLASSES - 1; at.size_class; at.size_class--)
			if (!(at.first & ((1U << at.size_class) - 1)) &&
			    1U << at.size_class <= cnt - at.first)
				break;
		list_add(b, at);
		at.first += 1U << at.size_class;
	}
	return 0;
}

void blocks_release(struct blocks *b)
{
	free(b->links);
	*b = (struct blocks){};
}

bool blocks_take(struct blocks *b, uint8_t size_class, struct block *ret)
{
	struct block found = { .size_class = size_class };

	while (found.size_class < BLOCKS_CLASSES && b->heads[found.size_class] == END)
		found.size_class++;
	if (found.size_class == BLOCKS_CLASSES)
		return false;
	found.first = b->heads[found.size_class];
	list_remove(b, found.first);
	while (found.size_class > size_class) { /* the second half stays */
		found.size_class--;
		list_add(b, (struct block){ found.first + (1U << found.size_class),
					    found.size_class });
	}
	*ret = found;
	return true;
}

void blocks_give(struct blocks *b, struct block block)
{
	while (block.size_class + 1 < BLOCKS_CLASSES) {
		uint32_t other = block.first ^ 1U << block.size_class;

		if (other >= b->cnt || !b->links[other].is_free ||
		    b->links[other].size_class != block.size_class)
			break;
		list_remove(b, other);
		block.first &= ~(1U << block.size_class);
		block.size_class++;
	}
	list_add(b, block);
}
