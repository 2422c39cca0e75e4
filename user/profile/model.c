/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* model.c - interning: every object once, found again by a hash of what makes it itself. */
#include "profile/model.h"

#include <inttypes.h>
#include <string.h>

#define OBJECTS_MAX ((size_t)1 << 30)

#define X(k, t)     { .key = #k, .text = (t), .offset = offsetof(struct ledger, k) },
const struct ledger_row ledger_rows[] = { LEDGER_LIST(X) };
#undef X
const size_t ledger_row_cnt = ARRAY_SIZE(ledger_rows);

int model_init(struct model *m)
{
	*m = (struct model){};
	return strtab_init(&m->strings);
}

void model_release(struct model *m)
{
	strtab_release(&m->strings);
	free(m->mappings);
	free(m->functions);
	free(m->lines);
	free(m->locations);
	free(m->frames);
	free(m->stacks);
	free(m->samples);
	hmap_release(&m->mapping_map);
	hmap_release(&m->function_map);
	hmap_release(&m->location_map);
	hmap_release(&m->stack_map);
	hmap_release(&m->sample_map);
	*m = (struct model){};
}

const char *module_kind_name(enum module_kind kind)
{
	static const char *const names[MODULE_KIND_CNT] = {
		[MODULE_ELF] = "",
		[MODULE_NO_ID] = "",
		[MODULE_JIT] = "[jit]",
		[MODULE_ANON] = "[anon]",
		[MODULE_VDSO] = "[vdso]",
		[MODULE_KERNEL] = "[kernel]",
		[MODULE_OTHER] = "[unknown]",
	};

	return names[kind];
}

static bool mapping_same(const struct mapping *a, const struct mapping *b)
{
	return a->kind == b->kind && build_id_eq(&a->build_id, &b->build_id) &&
	       (a->build_id.sz || a->path == b->path) &&
	       a->is_segment_known == b->is_segment_known &&
	       (!a->is_segment_known ||
		(a->start == b->start && a->limit == b->limit && a->file_off == b->file_off));
}

int model_mapping(struct model *m, const struct mapping *map, uint32_t *ret)
{
	const uint64_t segment[] = { map->start, map->limit, map->file_off };
	uint64_t hash = build_id_hash(&map->build_id) ^
			hash_u64((uint64_t)map->kind << 32 | (map->build_id.sz ? 0 : map->path)) ^
			(map->is_segment_known ? hash_bytes(segment, sizeof(segment), 0) : 0);
	struct hmap_iter it;
	int err;

	for (uint32_t i = hmap_first(&m->mapping_map, hash, &it); i != HMAP_NONE;
	     i = hmap_next(&m->mapping_map, &it)) {
		if (mapping_same(&m->mappings[i], map)) {
			*ret = i;
			return 0;
		}
	}
	err = array_reserve(&m->mappings, &m->mapping_cap, m->mapping_cnt + 1, sizeof(*map),
			    OBJECTS_MAX);
	if (!err)
		err = hmap_add(&m->mapping_map, hash, (uint32_t)m->mapping_cnt);
	if (err)
		return err;
	m->mappings[m->mapping_cnt] = *map;
	*ret = (uint32_t)m->mapping_cnt++;
	return 0;
}

static bool function_same(const struct function *a, const struct function *b)
{
	return a->name == b->name && a->system_name == b->system_name &&
	       a->filename == b->filename && a->start_line == b->start_line;
}

int model_function_at(struct model *m, const struct function *f, uint32_t *ret)
{
	uint64_t hash = hash_u64((uint64_t)f->name << 32 | f->system_name) ^
			hash_u64(hash_u64((uint64_t)f->start_line) ^ f->filename);
	struct hmap_iter it;
	int err;

	for (uint32_t i = hmap_first(&m->function_map, hash, &it); i != HMAP_NONE;
	     i = hmap_next(&m->function_map, &it)) {
		if (function_same(&m->functions[i], f)) {
			*ret = i;
			return 0;
		}
	}
	err = array_reserve(&m->functions, &m->function_cap, m->function_cnt + 1, sizeof(*f),
			    OBJECTS_MAX);
	if (!err)
		err = hmap_add(&m->function_map, hash, (uint32_t)m->function_cnt);
	if (err)
		return err;
	m->functions[m->function_cnt] = *f;
	*ret = (uint32_t)m->function_cnt++;
	return 0;
}

int model_function(struct model *m, const char *name, const char *system_name, uint32_t *ret)
{
	struct function f = {};
	int err = strtab_add(&m->strings, name, &f.name);

	if (!err)
		err = strtab_add(&m->strings, system_name, &f.system_name);
	return err ? err : model_function_at(m, &f, ret);
}

static int lines_add(struct model *m, const struct line *lines, size_t cnt, uint32_t *ret_first)
{
	int err = array_reserve(&m->lines, &m->line_cap, m->line_cnt + cnt, sizeof(*lines),
				OBJECTS_MAX);

	if (err)
		return err;
	memcpy(&m->lines[m->line_cnt], lines, cnt * sizeof(*lines));
	*ret_first = (uint32_t)m->line_cnt;
	m->line_cnt += cnt;
	return 0;
}

int model_set_lines(struct model *m, uint32_t location, const struct line *lines, size_t cnt)
{
	struct location *l = &m->locations[location];
	uint32_t first = 0;
	int err = 0;

	if (cnt && cnt <= l->line_cnt) {
		memcpy(&m->lines[l->first_line], lines, cnt * sizeof(*lines));
		l->line_cnt = (uint32_t)cnt;
		return 0;
	}
	if (cnt)
		err = lines_add(m, lines, cnt, &first);
	if (err)
		return err;
	l->first_line = first;
	l->line_cnt = (uint32_t)cnt;
	return 0;
}

int model_location_apart(struct model *m, uint32_t mapping, uint64_t addr, uint32_t *ret)
{
	int err = array_reserve(&m->locations, &m->location_cap, m->location_cnt + 1,
				sizeof(*m->locations), OBJECTS_MAX);

	if (err)
		return err;
	m->locations[m->location_cnt] = (struct location){ .mapping = mapping, .addr = addr };
	*ret = (uint32_t)m->location_cnt++;
	return 0;
}

int model_location(struct model *m, uint32_t mapping, uint64_t addr, uint32_t function,
		   uint32_t *ret)
{
	uint64_t hash = hash_u64(addr) ^ hash_u64((uint64_t)mapping << 32 | function);
	struct location l = { .mapping = mapping, .addr = addr };
	struct line line = { .function = function };
	struct hmap_iter it;
	int err;

	for (uint32_t i = hmap_first(&m->location_map, hash, &it); i != HMAP_NONE;
	     i = hmap_next(&m->location_map, &it)) {
		const struct location *o = &m->locations[i];

		/* The name it was made with: a location is entered under it, and under no other. */
		if (o->mapping == mapping && o->addr == addr &&
		    (function == MODEL_NONE ||
		     (o->line_cnt && m->lines[o->first_line].function == function))) {
			*ret = i;
			return 0;
		}
	}
	err = array_reserve(&m->locations, &m->location_cap, m->location_cnt + 1, sizeof(l),
			    OBJECTS_MAX);
	if (!err && function != MODEL_NONE) {
		err = lines_add(m, &line, 1, &l.first_line);
		l.line_cnt = 1;
	}
	if (!err)
		err = hmap_add(&m->location_map, hash, (uint32_t)m->location_cnt);
	if (err)
		return err;
	m->locations[m->location_cnt] = l;
	*ret = (uint32_t)m->location_cnt++;
	return 0;
}

/* A frame without its padding, so that frames compare by bytes. */
static uint64_t frame_key(const struct frame *f)
{
	return (uint64_t)f->location << 32 | (uint64_t)f->evidence << 8 | f->reason;
}

static bool stack_same(const struct model *m, uint32_t stack, const struct frame *frames,
		       size_t cnt)
{
	const struct stack *s = &m->stacks[stack];

	if (s->frame_cnt != cnt)
		return false;
	for (size_t i = 0; i < cnt; i++)
		if (frame_key(&m->frames[s->first_frame + i]) != frame_key(&frames[i]))
			return false;
	return true;
}

int model_stack(struct model *m, const struct frame *frames, size_t cnt, uint32_t *ret)
{
	uint64_t hash = cnt;
	struct hmap_iter it;
	int err;

	if (cnt > MODEL_FRAME_MAX)
		return -E2BIG;
	for (size_t i = 0; i < cnt; i++)
		hash = (hash ^ hash_u64(frame_key(&frames[i]))) * 0x9e3779b97f4a7c15ULL;
	hash = hash_u64(hash);
	for (uint32_t i = hmap_first(&m->stack_map, hash, &it); i != HMAP_NONE;
	     i = hmap_next(&m->stack_map, &it)) {
		if (stack_same(m, i, frames, cnt)) {
			*ret = i;
			return 0;
		}
	}
	err = array_reserve(&m->stacks, &m->stack_cap, m->stack_cnt + 1, sizeof(*m->stacks),
			    OBJECTS_MAX);
	if (!err)
		err = array_reserve(&m->frames, &m->frame_cap, m->frame_cnt + cnt, sizeof(*frames),
				    UINT32_MAX);
	if (!err)
		err = hmap_add(&m->stack_map, hash, (uint32_t)m->stack_cnt);
	if (err)
		return err;
	if (cnt)
		memcpy(&m->frames[m->frame_cnt], frames, cnt * sizeof(*frames));
	m->stacks[m->stack_cnt] = (struct stack){ (uint32_t)m->frame_cnt, (uint32_t)cnt };
	m->frame_cnt += cnt;
	*ret = (uint32_t)m->stack_cnt++;
	return 0;
}

static bool sample_same(const struct sample *a, const struct sample *b)
{
	return a->stack == b->stack && a->pid == b->pid && a->tid == b->tid && a->comm == b->comm &&
	       a->lock_owner == b->lock_owner && a->cause == b->cause && a->outcome == b->outcome &&
	       a->stop == b->stop && a->fp_steps == b->fp_steps && a->time_ns == b->time_ns;
}

int model_sample_at(struct model *m, const struct sample *s, uint32_t *ret)
{
	uint64_t hash = hash_u64((uint64_t)s->stack << 32 | s->tid) ^
			hash_u64((uint64_t)s->pid << 32 | s->comm) ^
			hash_u64((uint64_t)s->lock_owner << 32 | (uint64_t)s->fp_steps << 24 |
				 (uint64_t)s->stop << 16 | (uint64_t)s->cause << 8 | s->outcome) ^
			(s->time_ns ? hash_u64(s->time_ns) : 0);
	struct hmap_iter it;
	int err;

	for (uint32_t i = hmap_first(&m->sample_map, hash, &it); i != HMAP_NONE;
	     i = hmap_next(&m->sample_map, &it)) {
		if (sample_same(&m->samples[i], s)) {
			m->samples[i].count += s->count;
			m->samples[i].weight += s->weight;
			*ret = i;
			return 0;
		}
	}
	err = array_reserve(&m->samples, &m->sample_cap, m->sample_cnt + 1, sizeof(*s),
			    OBJECTS_MAX);
	if (!err)
		err = hmap_add(&m->sample_map, hash, (uint32_t)m->sample_cnt);
	if (err)
		return err;
	*ret = (uint32_t)m->sample_cnt;
	m->samples[m->sample_cnt++] = *s;
	return 0;
}

int model_sample(struct model *m, const struct sample *s)
{
	uint32_t unused;

	return model_sample_at(m, s, &unused);
}

const char *model_module(const struct model *m, uint32_t location)
{
	const struct location *l = &m->locations[location];
	const char *path, *slash;

	if (l->mapping == MODEL_NONE)
		return module_kind_name(MODULE_OTHER);
	path = strtab_get(&m->strings, m->mappings[l->mapping].path);
	if (!path[0])
		return module_kind_name(MODULE_OTHER);
	slash = path[0] == '[' ? NULL : strrchr(path, '/');
	return slash && slash[1] ? slash + 1 : path;
}

enum module_kind model_kind(const struct model *m, uint32_t location)
{
	uint32_t mapping = m->locations[location].mapping;

	if (mapping == MODEL_NONE || m->mappings[mapping].kind >= MODULE_KIND_CNT)
		return MODULE_OTHER;
	return m->mappings[mapping].kind;
}

size_t model_name_cnt(const struct model *m, uint32_t location)
{
	return m->locations[location].line_cnt ? m->locations[location].line_cnt : 1;
}

/* Addresses that mean nothing beyond the process they were seen in fall together under one name. */
static bool is_place_known(const struct model *m, uint32_t location)
{
	enum module_kind kind = model_kind(m, location);

	return kind == MODULE_ELF || kind == MODULE_NO_ID || kind == MODULE_VDSO ||
	       kind == MODULE_KERNEL;
}

void model_name(const struct model *m, uint32_t location, size_t line_idx, struct buf *out)
{
	const struct location *l = &m->locations[location];

	if (line_idx < l->line_cnt)
		buf_str(out,
			strtab_get(&m->strings,
				   m->functions[m->lines[l->first_line + line_idx].function].name));
	else if (is_place_known(m, location))
		buf_printf(out, "%s+0x%" PRIx64, model_module(m, location), l->addr);
	else
		buf_str(out, model_module(m, location));
}
