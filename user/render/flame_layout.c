/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* flame_layout.c - where the frames of a flame graph lie, and which of too many stay out. */
#include "render/flame.h"

#include <string.h>

#define STATIC_MAX 12000 /* drawn without script */
#define TITLE_MAX  2000  /* with a tooltip without script */

/* The widest max of the tree's nodes: those of more than total, and of those as wide tie_cnt. */
struct cut {
	uint64_t total;
	size_t tie_cnt;
};

static int total_cmp(const void *va, const void *vb)
{
	uint64_t a = *(const uint64_t *)va, b = *(const uint64_t *)vb;

	return a > b ? -1 : a < b;
}

static struct cut cut_at(const uint64_t *sorted, size_t cnt, size_t max)
{
	struct cut c = {};

	if (cnt <= max)
		return c;
	c.total = sorted[max];
	for (size_t i = max; i > 0 && sorted[i - 1] == c.total; i--)
		c.tie_cnt++;
	return c;
}

static bool is_kept(struct cut *c, uint64_t total)
{
	if (total > c->total)
		return true;
	if (total < c->total || !c->tie_cnt)
		return false;
	c->tie_cnt--;
	return true;
}

/* The totals of nodes that are not empty, largest first. */
static uint64_t *sorted_totals(const struct tree *t, size_t *ret_cnt)
{
	uint64_t *totals = calloc(t->cnt, sizeof(*totals));
	size_t cnt = 0;

	if (!totals)
		return NULL;
	for (size_t i = 0; i < t->cnt; i++)
		if (t->nodes[i].total)
			totals[cnt++] = t->nodes[i].total;
	qsort(totals, cnt, sizeof(*totals), total_cmp);
	*ret_cnt = cnt;
	return totals;
}

static int add_frame(struct flame_layout *l, uint32_t node, uint32_t depth, uint64_t start)
{
	int err =
		array_reserve(&l->frames, &l->cap, l->cnt + 1, sizeof(*l->frames), FLAME_NODE_MAX);

	if (err)
		return err;
	l->frames[l->cnt++] = (struct flame_frame){ node, depth, start };
	l->depth_max = depth > l->depth_max ? depth : l->depth_max;
	return 0;
}

/* Depth first through the tree, never into a node that is left out: its children are no wider. */
static int place(const struct tree *t, struct cut cut, struct flame_layout *l)
{
	uint64_t start = 0;
	uint32_t at = 0, depth = 0;
	int err;

	for (;;) {
		const struct tree_node *n = &t->nodes[at];
		bool is_in = n->total && is_kept(&cut, n->total);

		if (is_in) {
			err = add_frame(l, at, depth, start);
			if (err)
				return err;
		}
		if (is_in && n->first_child != TREE_NONE) {
			at = n->first_child;
			depth++;
			continue;
		}
		start += n->total;
		while (at && t->nodes[at].next_sibling == TREE_NONE) {
			at = t->nodes[at].parent;
			/* what the parent spent itself lies right of its children */
			start += t->nodes[at].self;
			depth--;
		}
		if (!at)
			return 0;
		at = t->nodes[at].next_sibling;
	}
}

int flame_layout_init(const struct tree *t, double min_px, struct flame_layout *ret)
{
	uint64_t total = t->nodes[0].total, *totals;
	struct flame_layout l = {};
	double min = min_px > 0 ? min_px / (FLAME_WIDTH - 2 * FLAME_PAD) * (double)total : 0;
	size_t cnt = 0;
	int err;

	totals = sorted_totals(t, &cnt);
	if (!totals)
		return -ENOMEM;
	l.static_cut = cut_at(totals, cnt, STATIC_MAX).total + 1;
	l.title_cut = cut_at(totals, cnt, TITLE_MAX).total + 1;
	if (min > (double)l.static_cut)
		l.static_cut = min < (double)total ? (uint64_t)min + ((uint64_t)min < min) : total;
	err = place(t, cut_at(totals, cnt, FLAME_NODE_MAX), &l);
	free(totals);
	if (err) {
		flame_layout_release(&l);
		return err;
	}
	l.dropped = cnt - l.cnt;
	*ret = l;
	return 0;
}

void flame_layout_release(struct flame_layout *l)
{
	free(l->frames);
	*l = (struct flame_layout){};
}

unsigned flame_shade(const char *name)
{
	return (unsigned)(hash_bytes(name, strlen(name), 7) % FLAME_SHADES);
}
