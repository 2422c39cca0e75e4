/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* tree.c - the call tree of a profile, merged by name, without recursion: stacks may be deep. */
#include <string.h>

#include "profile/folded.h"
#include "render/locnames.h"
#include "render/render.h"

struct building {
	const struct model *m;
	const struct tree_opts *o;
	struct tree *t;
	struct loc_names names;
};

/* The child of parent with this name and kind, made when there is none; *at moves there. */
static int step(struct tree *t, uint32_t *at, uint32_t name, uint8_t kind)
{
	uint64_t hash = hash_u64(((uint64_t)*at << 32 | name) + ((uint64_t)kind << 56));
	struct hmap_iter it;
	uint32_t id = hmap_first(&t->map, hash, &it);
	int err;

	for (; id != HMAP_NONE; id = hmap_next(&t->map, &it)) {
		const struct tree_node *n = &t->nodes[id];

		if (n->parent == *at && n->name == name && n->kind == kind) {
			*at = id;
			return 0;
		}
	}
	err = array_reserve(&t->nodes, &t->cap, t->cnt + 1, sizeof(*t->nodes), TREE_MAX);
	if (!err)
		err = hmap_add(&t->map, hash, (uint32_t)t->cnt);
	if (err)
		return err;
	t->nodes[t->cnt] = (struct tree_node){
		.name = name,
		.kind = kind,
		.parent = *at,
		.first_child = TREE_NONE,
		.next_sibling = TREE_NONE,
	};
	*at = (uint32_t)t->cnt++;
	return 0;
}

/* All functions of a location, from the outermost in, or from the innermost out. */
static int step_location(struct building *b, uint32_t *at, uint32_t location)
{
	uint32_t first = b->names.first[location], cnt = b->names.first[location + 1] - first;
	int err = 0;

	for (uint32_t i = 0; !err && i < cnt; i++) {
		uint32_t k = b->o->is_inverted ? i : cnt - 1 - i;

		err = step(b->t, at, b->names.ids[first + k], b->names.kinds[location]);
	}
	return err;
}

static int step_thread(struct building *b, uint32_t *at, uint32_t comm)
{
	struct buf clean = {};
	uint32_t name;
	int err;

	if (!b->o->with_thread || !comm)
		return 0;
	name_clean(&clean, strtab_get(&b->m->strings, comm));
	err = clean.err;
	if (!err)
		err = strtab_add(&b->t->names, clean.data ? clean.data : "", &name);
	if (!err)
		err = step(b->t, at, name, KIND_GROUP);
	buf_release(&clean);
	return err;
}

static int add_sample(struct building *b, const struct sample *s)
{
	const struct stack *stack = &b->m->stacks[s->stack];
	const struct frame *frames = model_frames(b->m, stack);
	uint32_t at = 0;
	int err = step_thread(b, &at, s->comm);

	for (uint32_t i = 0; !err && i < stack->frame_cnt; i++) {
		uint32_t k = b->o->is_inverted ? i : stack->frame_cnt - 1 - i;

		err = step_location(b, &at, frames[k].location);
	}
	if (!err)
		b->t->nodes[at].self += b->o->by_weight ? s->weight : s->count;
	return err;
}

static int node_cmp(const void *va, const void *vb, void *arg)
{
	const struct tree *t = arg;
	const struct tree_node *a = &t->nodes[*(const uint32_t *)va];
	const struct tree_node *b = &t->nodes[*(const uint32_t *)vb];
	int order;

	if (a->parent != b->parent)
		return a->parent < b->parent ? -1 : 1;
	order = strcmp(strtab_get(&t->names, a->name), strtab_get(&t->names, b->name));
	return order ? order : (int)a->kind - (int)b->kind;
}

/* Totals, and the lists of siblings in the order of their names. */
static int finish(struct tree *t)
{
	uint32_t *order = calloc(t->cnt, sizeof(*order));

	if (!order)
		return -ENOMEM;
	for (size_t i = t->cnt; i-- > 0;) {
		order[i] = (uint32_t)i;
		t->nodes[i].total += t->nodes[i].self;
		if (i)
			t->nodes[t->nodes[i].parent].total += t->nodes[i].total;
	}
	/* the root keeps its place: nobody's child sorts last */
	qsort_r(order + 1, t->cnt - 1, sizeof(*order), node_cmp, t);
	for (size_t i = t->cnt; i-- > 1;) {
		struct tree_node *n = &t->nodes[order[i]], *parent = &t->nodes[n->parent];

		n->next_sibling = parent->first_child;
		parent->first_child = order[i];
	}
	free(order);
	return 0;
}

static int add_root(struct tree *t)
{
	uint32_t at = TREE_NONE, name;
	int err = strtab_add(&t->names, "all", &name);

	return err ? err : step(t, &at, name, KIND_GROUP);
}

int tree_init(const struct model *m, const struct tree_opts *o, struct tree *ret)
{
	struct tree t = {};
	struct building b = { .m = m, .o = o, .t = &t };
	int err = strtab_init(&t.names);

	if (err)
		return err;
	err = add_root(&t);
	if (!err)
		err = loc_names_init(m, &t.names, &b.names);
	for (size_t i = 0; !err && i < m->sample_cnt; i++)
		err = add_sample(&b, &m->samples[i]);
	if (!err)
		err = finish(&t);
	loc_names_release(&b.names);
	if (err) {
		tree_release(&t);
		return err;
	}
	*ret = t;
	return 0;
}

void tree_release(struct tree *t)
{
	strtab_release(&t->names);
	hmap_release(&t->map);
	free(t->nodes);
	*t = (struct tree){};
}
