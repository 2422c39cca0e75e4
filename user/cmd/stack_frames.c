/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* stack_frames.c - see stack_frames.h. */
#include "cmd/stack_frames.h"

/* The kernel has the upper half on every 64-bit machine that bstack is made for. */
static bool is_kernel_addr(const struct stackmap_frame *f)
{
	return !f->is_valid && f->addr >> 63;
}

bool stack_frames_is_kernel(const struct stackmap *map, const struct stackmap_stack *stack)
{
	return stack->frame_cnt && is_kernel_addr(&map->frames[stack->first_frame]);
}

/* What there is to see is a number. */
static int unresolved(struct stack_frames *s, enum reason reason, uint64_t addr, struct frame *f)
{
	*f = (struct frame){ .evidence = EVID_NONE, .reason = (uint8_t)reason };
	return location_plain(s->locations, MODULE_OTHER, addr, MODEL_NONE, &f->location);
}

/* The place off in a file with this build-id, when it lies in one of its executable segments. */
static int file_frame(struct stack_frames *s, const struct build_id *id, const char *path,
		      uint64_t off, bool is_caller, enum evidence evidence, struct frame *f)
{
	struct sym_segment seg;
	struct elfseg es;
	int err = symbols_segment(s->wanted->syms, id, path, off, &seg);

	if (err == -ENOENT)
		return unresolved(s, REASON_BAD_OFFSET, off, f);
	if (err && err != -ENODATA)
		return err;
	*f = (struct frame){ .evidence = (uint8_t)evidence };
	if (err) {
		if (evidence == EVID_KERNEL)
			*f = (struct frame){ .evidence = EVID_NONE, .reason = REASON_UNCHECKED };
		return location_file(s->locations, id, path, NULL, off, is_caller && off,
				     &f->location);
	}
	es = (struct elfseg){ .off = seg.off, .sz = seg.sz, .vaddr = seg.vaddr };
	return location_file(s->locations, id, path, &es, off, is_caller, &f->location);
}

/* A frame for which the kernel gave a build-id. */
static int valid_frame(struct stack_frames *s, const struct stackmap_frame *sf, bool is_caller,
		       struct frame *f)
{
	const struct wanted_file *w = wanted_find(s->wanted, &sf->build_id);
	const struct build_id *id = w ? &w->own_id : &sf->build_id;
	enum reason reason =
		s->process ? process_now_check(s->process, &sf->build_id, sf->addr) : REASON_NO;
	int err =
		file_frame(s, id, w && w->path ? w->path : "", sf->addr, is_caller, EVID_KERNEL, f);

	if (err || reason == REASON_NO || f->reason == REASON_BAD_OFFSET)
		return err;
	return unresolved(s, reason, sf->addr, f);
}

/* A frame that came as an address, in an executable mapping of its process. */
static int mapped_frame(struct stack_frames *s, const struct now_mapping *m, uint64_t ip,
			bool is_caller, struct frame *f)
{
	uint64_t off = m->off + (ip - m->start);

	switch (m->kind) {
	case VMA_FILE:
		if (m->build_id.sz)
			return file_frame(s, &m->build_id, m->path, off, is_caller, EVID_QUERY, f);
		*f = (struct frame){ .evidence = EVID_NONE, .reason = REASON_NO_BUILD_ID };
		return location_file(s->locations, &m->build_id, m->path, NULL, off, is_caller,
				     &f->location);
	case VMA_VDSO:
		*f = (struct frame){ .evidence = EVID_VDSO };
		return location_plain(s->locations, MODULE_VDSO, off - is_caller, MODEL_NONE,
				      &f->location);
	case VMA_ANON:
		*f = (struct frame){ .evidence = EVID_NONE, .reason = REASON_ANON };
		ip -= is_caller;
		return location_jit(s->locations,
				    s->process->jit ? perf_map_find(s->process->jit, ip) : NULL, ip,
				    f);
	case VMA_SHARED_ANON:
		return unresolved(s, REASON_FORGED, ip, f);
	case VMA_SPECIAL:
		return unresolved(s, REASON_SPECIAL, ip, f);
	case VMA_HOLE:
	case VMA_DATA:
		break;
	}
	return unresolved(s, REASON_GARBAGE, ip, f);
}

static int frame_add(struct stack_frames *s, const struct stackmap_frame *sf, bool is_caller,
		     struct frame *f)
{
	const struct now_mapping *m;
	int err;

	if (sf->is_valid)
		err = valid_frame(s, sf, is_caller, f);
	else if (is_kernel_addr(sf))
		err = location_kernel(s->locations, sf->addr, is_caller, f);
	else if (!s->process)
		err = unresolved(s, s->process_reason, sf->addr, f);
	else if ((m = process_now_find(s->process, sf->addr)))
		err = mapped_frame(s, m, sf->addr, is_caller, f);
	else
		err = unresolved(s, REASON_GARBAGE, sf->addr, f);
	if (err)
		return err;
	s->frame_cnt++;
	s->evidence[f->evidence]++;
	if (f->evidence == EVID_NONE)
		s->reasons[f->reason]++;
	return 0;
}

/* Did the whole stack fall back to addresses? Not when no frame of it could have had a build-id. */
static bool has_fallen_back(const struct stack_frames *s, const struct stackmap_stack *stack,
			    const struct frame *frames)
{
	bool can_have_id = !s->process;

	if (!s->map->info.has_build_ids || stack_frames_is_kernel(s->map, stack))
		return false;
	for (uint32_t i = 0; i < stack->frame_cnt; i++) {
		if (s->map->frames[stack->first_frame + i].is_valid)
			return false;
		can_have_id |= frames[i].evidence == EVID_QUERY;
	}
	return can_have_id;
}

static void outcome_set(const struct stack_frames *s, const struct stackmap_stack *stack,
			const struct frame *frames, size_t cnt, struct sample *out)
{
	if (!stack->frame_cnt || stack_frames_is_kernel(s->map, stack)) {
		out->outcome = OUTCOME_NO_USER;
		return;
	}
	if (has_fallen_back(s, stack, frames))
		out->cause = CAUSE_UNKNOWN;
	if (cnt < stack->frame_cnt) {
		out->outcome = OUTCOME_TRUNCATED;
	} else if (location_is_root(s->locations, frames[cnt - 1].location)) {
		out->outcome = OUTCOME_ROOTED;
	} else if (cnt >= s->map->info.depth) {
		out->outcome = OUTCOME_TRUNCATED;
	} else {
		out->outcome = OUTCOME_BROKEN;
		out->stop = STOP_FP;
	}
}

int stack_frames_add(struct stack_frames *s, struct stack_entry *e)
{
	struct sample out = { .pid = e->pid, .count = e->count, .weight = e->count };
	struct frame frames[MODEL_FRAME_MAX];
	size_t cnt = 0;
	int err = 0;

	for (size_t p = 0; p < e->part_cnt; p++) {
		const struct stackmap_stack *stack = e->parts[p];
		size_t first = cnt;

		for (uint32_t i = 0; i < stack->frame_cnt && cnt < MODEL_FRAME_MAX && !err; i++)
			err = frame_add(s, &s->map->frames[stack->first_frame + i], i > 0,
					&frames[cnt++]);
		if (err)
			return err;
		outcome_set(s, stack, frames + first, cnt - first, &out);
	}
	err = model_stack(s->locations->model, frames, cnt, &out.stack);
	if (!err)
		err = model_sample(s->locations->model, &out);
	if (!err)
		e->sample = out;
	return err;
}
