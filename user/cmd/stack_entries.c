/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* stack_entries.c - see stack_entries.h. */
#include "cmd/stack_entries.h"

#include <inttypes.h>

#include "profile/folded.h"

/* What one map has, held against what the other counts. */
struct matching {
	const struct stackmap *map;
	const struct stackcounts *counts;
	uint32_t pid;
	bool *is_counted; /* by index in map->stacks */
	struct stack_entries *out;
};

/* The kernel's stack was entered last: its frames are on the leaf's side. */
static void kernel_first(const struct stackmap *map, struct stack_entry *e)
{
	const struct stackmap_stack *user = e->parts[0];

	if (e->part_cnt < 2 || !stack_frames_is_kernel(map, e->parts[1]) ||
	    stack_frames_is_kernel(map, user))
		return;
	e->parts[0] = e->parts[1];
	e->parts[1] = user;
}

static void count_match(struct matching *x, const struct stackcount *c)
{
	struct stack_entry *e = &x->out->v[x->out->cnt];

	*e = (struct stack_entry){ .pid = x->pid ? x->pid : c->pid, .count = c->count };
	for (size_t i = 0; i < x->counts->id_cnt; i++) {
		int32_t id = c->ids[i];
		bool is_errno = id < 0 && id >= -STACK_ERRNO_MAX;
		const struct stackmap_stack *s =
			is_errno ? NULL : stackmap_find(x->map, (uint32_t)id);

		if (s) {
			e->parts[e->part_cnt++] = s;
			x->is_counted[s - x->map->stacks] = true;
		} else {
			x->out->losses[is_errno ? -id : 0] += c->count;
		}
	}
	kernel_first(x->map, e);
	if (e->part_cnt)
		x->out->cnt++;
	else
		x->out->lost += c->count;
}

static int all_match(struct matching *x)
{
	bool *is_counted CLEANUP(cleanup_free) = calloc(x->map->stack_cnt + 1, sizeof(bool));

	if (!is_counted)
		return -ENOMEM;
	x->is_counted = is_counted;
	for (size_t i = 0; i < x->counts->cnt; i++)
		count_match(x, &x->counts->v[i]);
	for (size_t i = 0; i < x->map->stack_cnt; i++)
		x->out->uncounted_cnt += !is_counted[i];
	return 0;
}

int stack_entries_init(const struct stackmap *map, const struct stackcounts *counts, uint32_t pid,
		       struct stack_entries *ret)
{
	struct stack_entries s = {
		.v = calloc((counts ? counts->cnt : map->stack_cnt) + 1, sizeof(*s.v)),
		.losses = calloc(STACK_ERRNO_MAX + 1, sizeof(*s.losses)),
	};
	struct matching x = { .map = map, .counts = counts, .pid = pid, .out = &s };
	int err = s.v && s.losses ? 0 : -ENOMEM;

	if (!err && counts)
		err = all_match(&x);
	for (size_t i = 0; i < map->stack_cnt && !err && !counts; i++)
		s.v[s.cnt++] = (struct stack_entry){
			.parts = { &map->stacks[i] }, .part_cnt = 1, .pid = pid, .count = 1
		};
	if (err) {
		stack_entries_release(&s);
		return err;
	}
	*ret = s;
	return 0;
}

void stack_entries_release(struct stack_entries *s)
{
	free(s->v);
	free(s->losses);
	*s = (struct stack_entries){};
}

static int by_pid(const void *va, const void *vb)
{
	const struct stack_entry *a = va, *b = vb;

	return a->pid != b->pid ? (a->pid < b->pid ? -1 : 1) : 0;
}

static int by_count(const void *va, const void *vb)
{
	const struct stack_entry *a = va, *b = vb;

	if (a->count != b->count)
		return a->count > b->count ? -1 : 1;
	if (a->part_cnt != b->part_cnt)
		return a->part_cnt < b->part_cnt ? -1 : 1;
	for (size_t i = 0; i < a->part_cnt; i++)
		if (a->parts[i]->id != b->parts[i]->id)
			return a->parts[i]->id < b->parts[i]->id ? -1 : 1;
	return by_pid(va, vb);
}

void stack_entries_sort_by_pid(struct stack_entries *s)
{
	if (s->cnt)
		qsort(s->v, s->cnt, sizeof(*s->v), by_pid);
}

static void frame_write(const struct model *m, const struct frame *f, FILE *out)
{
	const struct location *l = &m->locations[f->location];
	struct buf raw CLEANUP(buf_release) = {}, name CLEANUP(buf_release) = {};
	char how[64];

	snprintf(how, sizeof(how), "%s%s%s", evidence_terms[f->evidence].key,
		 f->evidence == EVID_NONE ? "/" : "",
		 f->evidence == EVID_NONE ? reason_terms[f->reason].key : "");
	for (size_t i = 0; i < model_name_cnt(m, f->location); i++) {
		buf_reset(&raw);
		buf_reset(&name);
		model_name(m, f->location, i, &raw);
		name_clean(&name, raw.data ? raw.data : "");
		fprintf(out, "  %-16s  %s", how, name.data ? name.data : "");
		if (l->line_cnt) {
			buf_reset(&name);
			name_clean(&name, model_module(m, f->location));
			fprintf(out, " [%s]", name.data ? name.data : "");
		} else if (m->mappings[l->mapping].kind == MODULE_OTHER ||
			   m->mappings[l->mapping].kind == MODULE_ANON) {
			fprintf(out, " 0x%" PRIx64, l->addr);
		}
		fputc('\n', out);
	}
}

static void entry_write(const struct model *m, const struct stack_entry *e, FILE *out)
{
	const struct sample *s = &e->sample;
	const struct stack *stack = &m->stacks[s->stack];

	fprintf(out, "stack %u", e->parts[0]->id);
	if (e->part_cnt > 1)
		fprintf(out, "+%u", e->parts[1]->id);
	if (e->pid)
		fprintf(out, ", pid %u", e->pid);
	fprintf(out, ": count %" PRIu64, e->count);
	if (s->outcome != OUTCOME_NO_USER)
		fprintf(out, ", %s%s%s", outcome_terms[s->outcome].key, s->stop ? ": " : "",
			stop_terms[s->stop].key);
	fputc('\n', out);
	for (uint32_t i = 0; i < stack->frame_cnt; i++)
		frame_write(m, &m->frames[stack->first_frame + i], out);
	fputc('\n', out);
}

void stack_entries_write(struct stack_entries *s, const struct model *m, FILE *out)
{
	if (s->cnt)
		qsort(s->v, s->cnt, sizeof(*s->v), by_count);
	for (size_t i = 0; i < s->cnt; i++)
		entry_write(m, &s->v[i], out);
}
