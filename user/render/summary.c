/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* summary.c - the ledger of belief, counted from the samples of a profile; writes nothing. */
#include <string.h>

#include "render/locnames.h"
#include "render/render.h"

/* Which row a mapping counts for, and the last sample counted there, so that one counts once. */
struct counting {
	const struct model *m;
	struct summary *s;
	uint32_t *row_of; /* by mapping */
	size_t *seen;     /* by row: number of the sample, from 1 */
	struct hmap owner_map;
	size_t module_cap, owner_cap;
};

/* Segments of one file are one module: the same build-id, or the same path where there is none. */
static bool is_same_module(const struct mapping *a, const struct mapping *b)
{
	if (a->kind != b->kind || !build_id_eq(&a->build_id, &b->build_id))
		return false;
	return a->build_id.sz || a->path == b->path;
}

static uint64_t module_hash(const struct mapping *map)
{
	uint64_t hash = build_id_hash(&map->build_id) ^ hash_u64((uint64_t)map->kind + 1);

	return map->build_id.sz ? hash : hash ^ hash_u64(0x100 + (uint64_t)map->path);
}

static int add_mapping(struct counting *c, struct hmap *map, uint32_t idx)
{
	const struct mapping *mapping = &c->m->mappings[idx];
	uint64_t hash = module_hash(mapping);
	struct hmap_iter it;
	uint32_t row = hmap_first(map, hash, &it);
	int err;

	while (row != HMAP_NONE &&
	       !is_same_module(mapping, &c->m->mappings[c->s->modules[row].mapping]))
		row = hmap_next(map, &it);
	if (row == HMAP_NONE) {
		err = array_reserve(&c->s->modules, &c->module_cap, c->s->module_cnt + 1,
				    sizeof(*c->s->modules), UINT32_MAX - 1);
		if (!err)
			err = hmap_add(map, hash, (uint32_t)c->s->module_cnt);
		if (err)
			return err;
		row = (uint32_t)c->s->module_cnt++;
		c->s->modules[row] = (struct module_row){ .mapping = idx };
	}
	c->s->modules[row].has_symbols |= mapping->has_symbols;
	c->row_of[idx] = row;
	return 0;
}

static int add_mappings(struct counting *c)
{
	struct hmap map = {};
	int err = 0;

	for (size_t i = 0; !err && i < c->m->mapping_cnt; i++)
		err = add_mapping(c, &map, (uint32_t)i);
	hmap_release(&map);
	return err;
}

static int add_owner(struct counting *c, const struct sample *sample)
{
	uint64_t hash = hash_u64(sample->lock_owner);
	struct hmap_iter it;
	uint32_t i = hmap_first(&c->owner_map, hash, &it);
	int err;

	while (i != HMAP_NONE && c->s->owners[i].owner != sample->lock_owner)
		i = hmap_next(&c->owner_map, &it);
	if (i == HMAP_NONE) {
		err = array_reserve(&c->s->owners, &c->owner_cap, c->s->owner_cnt + 1,
				    sizeof(*c->s->owners), UINT32_MAX - 1);
		if (!err)
			err = hmap_add(&c->owner_map, hash, (uint32_t)c->s->owner_cnt);
		if (err)
			return err;
		i = (uint32_t)c->s->owner_cnt++;
		c->s->owners[i] = (struct owner_row){ .owner = sample->lock_owner };
	}
	c->s->owners[i].samples += sample->count;
	return 0;
}

static struct module_row *row_of(const struct counting *c, uint32_t location)
{
	uint32_t mapping = c->m->locations[location].mapping;

	return mapping == MODEL_NONE ? NULL : &c->s->modules[c->row_of[mapping]];
}

static bool is_user_frame(const struct model *m, const struct frame *f)
{
	return f->evidence != EVID_KERNEL_TEXT && model_kind(m, f->location) != MODULE_KERNEL;
}

/* One frame; is_leaf for the first of its stack. */
static void count_frame(struct counting *c, const struct frame *f, uint64_t count, size_t nr,
			bool is_leaf)
{
	bool is_named = c->m->locations[f->location].line_cnt > 0;
	struct module_row *row = row_of(c, f->location);
	struct summary *s = c->s;

	s->frame_total += count;
	s->named_frames += is_named ? count : 0;
	s->frames[f->evidence < EVID_CNT ? f->evidence : EVID_NONE] += count;
	if (f->evidence == EVID_NONE)
		s->reasons[f->reason < REASON_CNT ? f->reason : REASON_UNKNOWN] += count;
	if (!row)
		return;
	row->frames += count;
	row->unnamed += is_named ? 0 : count;
	row->leaf_samples += is_leaf ? count : 0;
	if (c->seen[c->row_of[c->m->locations[f->location].mapping]] == nr)
		return;
	c->seen[c->row_of[c->m->locations[f->location].mapping]] = nr;
	row->samples += count;
}

static int count_sample(struct counting *c, const struct sample *sample, size_t nr)
{
	const struct stack *stack = &c->m->stacks[sample->stack];
	const struct frame *frames = model_frames(c->m, stack);
	size_t user_cnt = 0, lost_cnt = 0;
	struct summary *s = c->s;
	struct module_row *last;

	s->samples += sample->count;
	s->weight += sample->weight;
	s->outcomes[sample->outcome < OUTCOME_CNT ? sample->outcome : OUTCOME_NO_USER] +=
		sample->count;
	for (uint32_t i = 0; i < stack->frame_cnt; i++) {
		bool is_user = is_user_frame(c->m, &frames[i]);

		count_frame(c, &frames[i], sample->count, nr, !i);
		user_cnt += is_user;
		lost_cnt += is_user && frames[i].evidence == EVID_NONE;
	}
	last = stack->frame_cnt ? row_of(c, frames[stack->frame_cnt - 1].location) : NULL;
	if (sample->outcome == OUTCOME_BROKEN && last)
		last->broken += sample->count;
	if (sample->outcome == OUTCOME_BROKEN)
		s->stops[sample->stop < STOP_CNT ? sample->stop : STOP_NO] += sample->count;
	s->fp_stacks += sample->fp_steps ? sample->count : 0;
	s->causes[sample->cause < CAUSE_CNT ? sample->cause : CAUSE_UNKNOWN] += sample->count;
	if (sample->cause != CAUSE_NONE) {
		s->fell_back += sample->count;
		s->healed += user_cnt && !lost_cnt ? sample->count : 0;
	}
	return sample->lock_owner ? add_owner(c, sample) : 0;
}

static void count_ledger(const struct model *m, struct summary *s)
{
	const struct ledger *l = &m->ledger;

	for (size_t i = 0; i < ledger_row_cnt; i++)
		if (!strncmp(ledger_rows[i].key, "lost_", 5))
			s->lost += *(const uint64_t *)((const char *)l + ledger_rows[i].offset);
	s->frame_fallback[FFB_NO_VMA] = l->ffb_no_vma;
	s->frame_fallback[FFB_ANON] = l->ffb_anon;
	s->frame_fallback[FFB_NO_FILE] = l->ffb_no_file;
	s->frame_fallback[FFB_NO_NOTE] = l->ffb_no_note;
	s->frame_fallback[FFB_NOT_RESIDENT] = l->ffb_not_resident;
	s->frame_fallback[FFB_BAD_OFFSET] = l->ffb_bad_offset;
	s->frame_fallback[FFB_UNKNOWN] = l->ffb_unknown;
}

static int by_samples(uint64_t a, uint64_t b, uint32_t id_a, uint32_t id_b)
{
	if (a != b)
		return a > b ? -1 : 1;
	return id_a < id_b ? -1 : id_a > id_b;
}

static int module_cmp(const void *va, const void *vb)
{
	const struct module_row *a = va, *b = vb;

	return by_samples(a->samples, b->samples, a->mapping, b->mapping);
}

static int owner_cmp(const void *va, const void *vb)
{
	const struct owner_row *a = va, *b = vb;

	return by_samples(a->samples, b->samples, a->owner, b->owner);
}

static int count_all(struct counting *c)
{
	struct summary *s = c->s;
	int err = add_mappings(c);

	for (size_t i = 0; !err && i < c->m->sample_cnt; i++)
		err = count_sample(c, &c->m->samples[i], i + 1);
	if (err)
		return err;
	s->user_samples = s->samples - s->outcomes[OUTCOME_NO_USER];
	count_ledger(c->m, s);
	if (s->module_cnt)
		qsort(s->modules, s->module_cnt, sizeof(*s->modules), module_cmp);
	if (s->owner_cnt)
		qsort(s->owners, s->owner_cnt, sizeof(*s->owners), owner_cmp);
	return 0;
}

int summary_init(const struct model *m, struct summary *ret)
{
	struct summary s = {};
	struct counting c = {
		.m = m,
		.s = &s,
		.row_of = calloc(m->mapping_cnt + 1, sizeof(*c.row_of)),
		.seen = calloc(m->mapping_cnt + 1, sizeof(*c.seen)),
	};
	int err = c.row_of && c.seen ? count_all(&c) : -ENOMEM;

	free(c.row_of);
	free(c.seen);
	hmap_release(&c.owner_map);
	if (err) {
		summary_release(&s);
		return err;
	}
	*ret = s;
	return 0;
}

void summary_release(struct summary *s)
{
	free(s->modules);
	free(s->owners);
	*s = (struct summary){};
}

double summary_resolved_pct(const struct summary *s)
{
	uint64_t user = s->frame_total - s->frames[EVID_KERNEL_TEXT];

	return user ? 100.0 * (double)(user - s->frames[EVID_NONE]) / (double)user : 0;
}

double summary_rooted_pct(const struct summary *s)
{
	if (!s->user_samples)
		return 0;
	return 100.0 * (double)s->outcomes[OUTCOME_ROOTED] / (double)s->user_samples;
}
