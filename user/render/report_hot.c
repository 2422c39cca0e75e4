/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * report_hot.c - the second half of the report: hottest functions and the call tree. A chain of
 * only children is not indented, so that deep stacks stay on the page.
 */
#include "render/report.h"

#include <math.h>
#include <string.h>

#define MODULE_SZ 20
#define LEVEL_MAX 24 /* deeper branches are drawn at this level */

static void func_line(struct report *r, const struct func_table *t, const struct func_row *f)
{
	char num[NUM_SZ], pct[NUM_SZ];
	struct buf *b = &r->sink.b;
	size_t used;

	buf_printf(b, "%13s  %8s  ", num_group(f->self, num), num_pct(f->self, r->s->samples, pct));
	buf_printf(b, "%8s  ", num_pct(f->total, r->s->samples, pct));
	used = text_add(b, strtab_get(&t->names, f->module), MODULE_SZ);
	buf_printf(b, "%*s", (int)(MODULE_SZ + 2 - used), "");
	text_add(b, strtab_get(&t->names, f->name), REPORT_COLUMNS - 35 - MODULE_SZ - 2);
	buf_char(b, '\n');
	sink_tick(&r->sink);
}

static int hottest(struct report *r)
{
	struct func_table t;
	int err;

	if (!r->o->top_cnt || !r->s->samples)
		return 0;
	err = func_table_init(r->m, &t);
	if (err)
		return err;
	report_heading(r, "HOTTEST FUNCTIONS");
	buf_printf(&r->sink.b, "%13s  %8s  %8s  %-*s  %s\n", "self", "self", "total", MODULE_SZ,
		   "module", "function");
	for (size_t i = 0; i < t.cnt && i < r->o->top_cnt; i++)
		if (t.rows[i].total)
			func_line(r, &t, &t.rows[i]);
	func_table_release(&t);
	return 0;
}

/* The visible part of a tree, children of one parent together, heaviest first. */
struct visible {
	const struct tree *t;
	uint32_t *order;
	size_t cnt;
	uint32_t *first; /* by node: index of its first child in order, or TREE_NONE */
};

static int heavier_cmp(const void *va, const void *vb, void *arg)
{
	const struct tree *t = arg;
	const struct tree_node *a = &t->nodes[*(const uint32_t *)va];
	const struct tree_node *b = &t->nodes[*(const uint32_t *)vb];
	int order;

	if (a->parent != b->parent)
		return a->parent < b->parent ? -1 : 1;
	if (a->total != b->total)
		return a->total > b->total ? -1 : 1;
	order = strcmp(strtab_get(&t->names, a->name), strtab_get(&t->names, b->name));
	return order ? order : (int)a->kind - (int)b->kind;
}

static void visible_release(struct visible *v)
{
	free(v->order);
	free(v->first);
}

static int visible_init(const struct tree *t, double min_pct, struct visible *ret)
{
	struct visible v = {
		.t = t,
		.order = calloc(t->cnt, sizeof(*v.order)),
		.first = malloc(t->cnt * sizeof(*v.first)),
	};
	double min = min_pct / 100 * (double)t->nodes[0].total;

	if (!v.order || !v.first) {
		visible_release(&v);
		return -ENOMEM;
	}
	for (size_t i = 1; i < t->cnt; i++)
		if (t->nodes[i].total && (double)t->nodes[i].total >= min)
			v.order[v.cnt++] = (uint32_t)i;
	qsort_r(v.order, v.cnt, sizeof(*v.order), heavier_cmp, (void *)t);
	memset(v.first, 0xff, t->cnt * sizeof(*v.first));
	for (size_t i = v.cnt; i-- > 0;)
		v.first[t->nodes[v.order[i]].parent] = (uint32_t)i;
	*ret = v;
	return 0;
}

/* The node after order[i] among its siblings, or TREE_NONE. */
static uint32_t next_visible(const struct visible *v, uint32_t i)
{
	if (i + 1 >= v->cnt ||
	    v->t->nodes[v->order[i + 1]].parent != v->t->nodes[v->order[i]].parent)
		return TREE_NONE;
	return i + 1;
}

/* A branch being drawn: what comes next in it. */
struct level {
	uint32_t next; /* index in order of the next branch, or TREE_NONE */
};

static void node_line(struct report *r, const struct tree *t, uint32_t node, const struct level *lv,
		      size_t level, bool is_branch)
{
	const struct tree_node *n = &t->nodes[node];
	const char *suffix = n->kind == MODULE_KERNEL        ? " [kernel]"
			     : n->kind == KIND_GROUP && node ? " [thread]"
							     : "";
	size_t drawn = level < LEVEL_MAX ? level : LEVEL_MAX;
	struct buf *b = &r->sink.b;
	char pct[NUM_SZ];

	buf_printf(b, "  %8s  ", num_pct(n->total, t->nodes[0].total, pct));
	buf_printf(b, "%8s  ", n->self ? num_pct(n->self, t->nodes[0].total, pct) : "");
	for (size_t i = 0; i < drawn; i++) {
		bool is_more = lv[i].next != TREE_NONE;

		if (is_branch && i + 1 == drawn)
			buf_str(b, is_more ? "├ " : "└ ");
		else
			buf_str(b, is_more ? "│ " : "  ");
	}
	text_add(b, strtab_get(&t->names, n->name),
		 REPORT_COLUMNS - 22 - 2 * drawn - strlen(suffix));
	buf_printf(b, "%s\n", suffix);
	sink_tick(&r->sink);
}

/* Depth first. levels holds, for each branching above, the sibling to go on with. */
static int draw_tree(struct report *r, const struct visible *v)
{
	struct level *levels = NULL;
	size_t cap = 0, level = 0;
	uint32_t node = 0;
	bool is_branch = false;
	int err;

	for (;;) {
		uint32_t first;

		node_line(r, v->t, node, levels, level, is_branch);
		first = v->first[node];
		is_branch = first != TREE_NONE && next_visible(v, first) != TREE_NONE;
		if (is_branch) {
			err = array_reserve(&levels, &cap, level + 1, sizeof(*levels), TREE_MAX);
			if (err)
				break;
			levels[level++].next = next_visible(v, first);
		}
		if (first == TREE_NONE) {
			while (level && levels[level - 1].next == TREE_NONE)
				level--;
			err = 0;
			if (!level)
				break;
			first = levels[level - 1].next;
			levels[level - 1].next = next_visible(v, first);
			is_branch = true;
		}
		node = v->order[first];
	}
	free(levels);
	return err;
}

static int call_tree(struct report *r)
{
	static const struct tree_opts o = { .with_thread = true };
	struct visible v;
	struct tree t;
	int err;

	if (r->o->no_tree || !r->s->samples)
		return 0;
	err = tree_init(r->m, &o, &t);
	if (err)
		return err;
	err = visible_init(&t, r->o->min_pct, &v);
	if (!err) {
		report_heading(r, "CALL TREE, branches of at least %g %% of the samples",
			       r->o->min_pct);
		buf_printf(&r->sink.b, "  %8s  %8s  %s\n", "total", "self", "function");
		err = draw_tree(r, &v);
		visible_release(&v);
	}
	tree_release(&t);
	return err;
}

int report_hot(struct report *r)
{
	int err = hottest(r);

	return err ? err : call_tree(r);
}
