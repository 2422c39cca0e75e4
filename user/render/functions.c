/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* functions.c - what functions cost, by themselves and with what they call. */
#include <string.h>

#include "profile/folded.h"
#include "render/locnames.h"
#include "render/render.h"

struct func_counting {
	const struct model *m;
	struct func_table *t;
	struct loc_names names;
	uint32_t *row_of; /* by index in names.ids */
};

static int find_row(struct func_table *t, uint32_t name, uint32_t module, uint8_t kind,
		    uint32_t *ret)
{
	uint64_t hash = hash_u64(((uint64_t)name << 32 | module) + ((uint64_t)kind << 56));
	struct hmap_iter it;
	uint32_t id = hmap_first(&t->map, hash, &it);
	int err;

	for (; id != HMAP_NONE; id = hmap_next(&t->map, &it)) {
		const struct func_row *r = &t->rows[id];

		if (r->name == name && r->module == module && r->kind == kind) {
			*ret = id;
			return 0;
		}
	}
	err = array_reserve(&t->rows, &t->cap, t->cnt + 1, sizeof(*t->rows), UINT32_MAX - 1);
	if (!err)
		err = hmap_add(&t->map, hash, (uint32_t)t->cnt);
	if (err)
		return err;
	t->rows[t->cnt] = (struct func_row){ .name = name, .module = module, .kind = kind };
	*ret = (uint32_t)t->cnt++;
	return 0;
}

/* The rows of all locations' functions. */
static int add_rows(struct func_counting *c)
{
	struct buf clean = {};
	int err = 0;

	for (size_t i = 0; !err && i < c->m->location_cnt; i++) {
		uint32_t module;

		buf_reset(&clean);
		name_clean(&clean, model_module(c->m, (uint32_t)i));
		err = clean.err ? clean.err
				: strtab_add(&c->t->names, clean.data ? clean.data : "", &module);
		for (uint32_t k = c->names.first[i]; !err && k < c->names.first[i + 1]; k++)
			err = find_row(c->t, c->names.ids[k], module, c->names.kinds[i],
				       &c->row_of[k]);
	}
	buf_release(&clean);
	return err;
}

static int count_samples(struct func_counting *c)
{
	size_t *seen = calloc(c->t->cnt + 1, sizeof(*seen));

	if (!seen)
		return -ENOMEM;
	for (size_t i = 0; i < c->m->sample_cnt; i++) {
		const struct sample *s = &c->m->samples[i];
		const struct stack *stack = &c->m->stacks[s->stack];
		const struct frame *frames = model_frames(c->m, stack);

		for (uint32_t k = 0; k < stack->frame_cnt; k++) {
			uint32_t at = c->names.first[frames[k].location];
			uint32_t end = c->names.first[frames[k].location + 1];

			if (!k && at < end)
				c->t->rows[c->row_of[at]].self += s->count;
			for (; at < end; at++) {
				uint32_t row = c->row_of[at];

				if (seen[row] == i + 1)
					continue;
				seen[row] = i + 1;
				c->t->rows[row].total += s->count;
			}
		}
	}
	free(seen);
	return 0;
}

static int row_cmp(const void *va, const void *vb, void *arg)
{
	const struct func_row *a = va, *b = vb;
	const struct strtab *names = arg;
	int order;

	if (a->self != b->self)
		return a->self > b->self ? -1 : 1;
	if (a->total != b->total)
		return a->total > b->total ? -1 : 1;
	order = strcmp(strtab_get(names, a->name), strtab_get(names, b->name));
	if (!order)
		order = strcmp(strtab_get(names, a->module), strtab_get(names, b->module));
	return order ? order : (int)a->kind - (int)b->kind;
}

static int count_functions(struct func_counting *c)
{
	int err = loc_names_init(c->m, &c->t->names, &c->names);

	if (err)
		return err;
	c->row_of = calloc((size_t)c->names.first[c->m->location_cnt] + 1, sizeof(*c->row_of));
	err = c->row_of ? add_rows(c) : -ENOMEM;
	if (!err)
		err = count_samples(c);
	if (!err && c->t->cnt)
		qsort_r(c->t->rows, c->t->cnt, sizeof(*c->t->rows), row_cmp, &c->t->names);
	/* rows have moved: the map no longer says where they are */
	hmap_release(&c->t->map);
	loc_names_release(&c->names);
	free(c->row_of);
	return err;
}

int func_table_init(const struct model *m, struct func_table *ret)
{
	struct func_table t = {};
	struct func_counting c = { .m = m, .t = &t };
	int err = strtab_init(&t.names);

	if (err)
		return err;
	err = count_functions(&c);
	if (err) {
		func_table_release(&t);
		return err;
	}
	*ret = t;
	return 0;
}

void func_table_release(struct func_table *t)
{
	strtab_release(&t->names);
	hmap_release(&t->map);
	free(t->rows);
	*t = (struct func_table){};
}
