/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * differ_judge.h - two walks of one stack compared, frame by frame. Where they differ one of the stated reasons must
 * hold, each of them checked; what none of them explains is a failure.
 */
#ifndef BSTACK_DIFFER_JUDGE_H
#define BSTACK_DIFFER_JUDGE_H

#include "differ_dwfl.h"
#include "differ_replay.h"

struct judged {
	struct sampler *s;
	const struct differ_record *ours;
	const struct oracle *o;
	const struct chain *theirs;
	size_t same; /* frames that both found, from the leaf on */
};

static bool is_ours_shorter(const struct judged *j)
{
	return j->same == j->ours->cnt && j->same < j->theirs->cnt;
}

static bool is_theirs_shorter(const struct judged *j)
{
	return j->same == j->theirs->cnt && j->same < j->ours->cnt;
}

/* The address by which frame i is looked up. */
static uint64_t look_up_addr(const struct judged *j, size_t i)
{
	return j->ours->ips[i] - (i > 0 && !j->theirs->is_activation[i]);
}

/* Frame i is in code that libdw has no rule for either. */
static bool has_no_rule(const struct judged *j, size_t i)
{
	return i < j->theirs->cnt && !oracle_has_rule(j->o, look_up_addr(j, i));
}

static bool is_copy_at_end(const struct judged *j)
{
	const struct memory *m = &j->o->memory;
	const struct pair *p = m->pair;

	return is_theirs_shorter(j) && m->has_missed && m->missed + 8 > p->ours.at.sp + p->stack_sz;
}

static bool is_too_deep(const struct judged *j)
{
	return is_ours_shorter(j) && j->ours->end == BSTACK_END_TRUNCATED &&
	       j->ours->cnt == BSTACK_FRAMES;
}

/* We stopped where libdwfl has no rule either: it stopped as well, or guessed on by frame pointer. */
static bool is_end_without_rule(const struct judged *j)
{
	return j->same && j->same == j->ours->cnt &&
	       (j->ours->end == BSTACK_END_NO_ROW || j->ours->end == BSTACK_END_NEVER) &&
	       has_no_rule(j, j->same - 1);
}

/* The rules were followed, libdwfl's the same as ours, to an address that is no code (assembly with wrong CFI). */
static bool is_end_outside_code(const struct judged *j)
{
	return j->same && j->same == j->ours->cnt && j->ours->end == BSTACK_END_NO_MAPPING &&
	       !is_code(&j->o->memory, look_up_addr(j, j->same - 1));
}

static bool is_by_fp(const struct judged *j, const struct bstack_step *step)
{
	struct step_place place;

	return step->module == BSTACK_MODULE_FP ||
	       (unwinder_step_place(j->s->unwinder, step, &place) && place.is_fp_step);
}

/* Both went on by frame pointer, each in its own way. */
static bool is_guess_of_both(const struct judged *j)
{
	return j->same && is_by_fp(j, &j->ours->steps[j->same - 1]) && has_no_rule(j, j->same - 1);
}

/* A way in which libdwfl and we may come to different ends of one stack. */
static const struct reason {
	const char *text;
	bool (*holds)(const struct judged *j);
} reasons[] = {
	{ "libdwfl stopped: the copy of the stack ended (a page of it is not there, or it is too "
	  "large)",
	  is_copy_at_end },
	{ "we stopped: the stack is deeper than 127 frames", is_too_deep },
	{ "both came to code without a rule: we stopped", is_end_without_rule },
	{ "both came by the file's rules to an address that is no code", is_end_outside_code },
	{ "both went on by frame pointer, for there is no rule", is_guess_of_both },
};
#define REASONS_CNT ARRAY_SIZE(reasons)

struct report {
	uint64_t stacks, frames;       /* judged; of ours */
	uint64_t same, same_frames;    /* the same to the root; frames found by both */
	uint64_t in_kernel, vdso;      /* of the stacks; of the frames */
	uint64_t registers;            /* compared, of those frames */
	uint64_t replayed;             /* walked a third time on the host, to the end */
	uint64_t because[REASONS_CNT]; /* different, and why */
	uint64_t unexplained;
	uint64_t lost;
};

static void report_add(struct report *r, const struct report *by)
{
	r->stacks += by->stacks;
	r->frames += by->frames;
	r->same += by->same;
	r->same_frames += by->same_frames;
	r->in_kernel += by->in_kernel;
	r->vdso += by->vdso;
	r->registers += by->registers;
	r->replayed += by->replayed;
	for (size_t i = 0; i < REASONS_CNT; i++)
		r->because[i] += by->because[i];
	r->unexplained += by->unexplained;
	r->lost += by->lost;
}

static void report_print(const char *name, const struct report *r)
{
	printf("# %s: %" PRIu64 " stacks (%" PRIu64 " in the kernel), %" PRIu64 " frames (%" PRIu64
	       " of the vdso); the same to the root %" PRIu64 " stacks (%.2f %%), %" PRIu64
	       " frames found by both (%.2f %%), %" PRIu64
	       " registers in them; walked again on the host %" PRIu64 "; lost %" PRIu64 "\n",
	       name, r->stacks, r->in_kernel, r->frames, r->vdso, r->same,
	       r->stacks ? 100.0 * (double)r->same / (double)r->stacks : 0.0, r->same_frames,
	       r->frames ? 100.0 * (double)r->same_frames / (double)r->frames : 0.0, r->registers,
	       r->replayed, r->lost);
	for (size_t i = 0; i < REASONS_CNT; i++)
		if (r->because[i])
			printf("#   %" PRIu64 " different: %s\n", r->because[i], reasons[i].text);
	if (r->unexplained)
		printf("#   %" PRIu64 " different, and nothing explains it\n", r->unexplained);
	fflush(stdout);
}

static void chains_print(const struct judged *j)
{
	size_t cnt = j->ours->cnt > j->theirs->cnt ? j->ours->cnt : j->theirs->cnt;
	size_t first = j->same > 3 ? j->same - 3 : 0;

	printf("# end %u, theirs %s, in the kernel %u, missed %d %#llx, sp %#llx, %zu bytes\n",
	       j->ours->end,
	       j->theirs->is_rooted ? "root"
	       : j->theirs->error   ? j->theirs->error
				    : "-",
	       j->ours->is_in_kernel, j->o->memory.has_missed, (long long)j->o->memory.missed,
	       (long long)j->ours->at.sp, j->o->memory.pair->stack_sz);
	for (size_t i = first; i < cnt && i < j->same + 4; i++) {
		uint64_t ours = i < j->ours->cnt ? j->ours->ips[i] : 0;
		uint64_t theirs = i < j->theirs->cnt ? j->theirs->pcs[i] : 0;
		Dwfl_Module *mod = dwfl_addrmodule(j->o->dwfl, ours ? ours : theirs);
		Dwarf_Addr start = 0;
		const char *name =
			mod ? dwfl_module_info(mod, NULL, &start, NULL, NULL, NULL, NULL, NULL)
			    : "?";

		printf("#   %zu: ours %#llx theirs %#llx  %s+%#llx  step %u+%#x\n", i,
		       (long long)ours, (long long)theirs, name,
		       (long long)((ours ? ours : theirs) - start),
		       i < j->ours->cnt ? j->ours->steps[i].module : 0,
		       i < j->ours->cnt ? j->ours->steps[i].pc : 0);
	}
}

/* Frame i that both found: our step was looked up in the same file, at the same link-time address. */
static bool step_agrees(const struct judged *j, size_t i, bool *ret_is_vdso)
{
	const struct bstack_step *step = &j->ours->steps[i];
	uint64_t addr = look_up_addr(j, i);
	Dwfl_Module *mod = dwfl_addrmodule(j->o->dwfl, addr);
	struct step_place place;
	const unsigned char *bits;
	struct build_id theirs = {};
	GElf_Addr at;
	Dwarf_Addr bias;
	int sz;

	if (is_by_fp(j, step) && !has_no_rule(j, i))
		return false;
	if (!unwinder_step_place(j->s->unwinder, step, &place))
		return has_no_rule(j, i);
	*ret_is_vdso = place.is_vdso;
	if (!mod || !dwfl_module_getelf(mod, &bias))
		return false;
	/* What a signal interrupts returns to the trampoline: to libdwfl that one is no caller, but its rule is
	 * looked up like a caller's. */
	if (i && j->theirs->is_activation[i] && oracle_is_signal(j->o, addr - 1) &&
	    place.vaddr == addr - 1 - bias)
		addr--;
	if (place.vaddr != addr - bias)
		return false;
	sz = dwfl_module_build_id(mod, &bits, &at);
	if (place.is_vdso || sz <= 0 || sz > BUILD_ID_MAX)
		return place.is_vdso;
	theirs.sz = (uint8_t)sz;
	memcpy(theirs.bytes, bits, (size_t)sz);
	return build_id_same_bytes(place.id, &theirs);
}

/* The host's walk over what was kept is BPF's, as far as memory was kept. */
static bool replay_agrees(const struct judged *j, bool *ret_is_whole)
{
	uint32_t cnt = replay.cnt < j->ours->cnt ? replay.cnt : j->ours->cnt;

	if (memcmp(replay.ips, j->ours->ips, cnt * sizeof(*replay.ips)) ||
	    memcmp(replay.steps, j->ours->steps, cnt * sizeof(*replay.steps)))
		return false;
	*ret_is_whole = replay.cnt == j->ours->cnt && replay.end == j->ours->end;
	return *ret_is_whole || replay.memory->has_missed;
}

/* The registers of frame i, as far as libdwfl knows them, are those of the host's walk; else which one is not. */
static int wrong_register(const struct judged *j, size_t i, uint64_t *ret_value)
{
	for (int r = 0; r < CHAIN_REGS && i < replay.cnt; r++)
		if (j->theirs->known[i] >> r & 1 &&
		    (!replay_reg(i, (uint32_t)r, ret_value) || j->theirs->regs[i][r] != *ret_value))
			return r;
	return -1;
}

/* Each frame that both found: looked up in the same place, with the same registers. */
static void frames_check(struct judged *j, struct report *r)
{
	for (size_t i = 0; i < j->same; i++) {
		bool is_vdso = false, agrees = step_agrees(j, i, &is_vdso);
		uint64_t value = 0;
		int reg = wrong_register(j, i, &value);

		r->vdso += is_vdso;
		r->registers += (uint64_t)__builtin_popcount(j->theirs->known[i]);
		if (agrees && reg < 0)
			continue;
		if (!agrees)
			test_fail(__FILE__, __LINE__, "frame %zu was looked up elsewhere", i);
		else
			test_fail(__FILE__, __LINE__,
				  "frame %zu: DWARF's register %u is %#llx, libdwfl's %#llx", i,
				  chain_dw[reg], (long long)value,
				  (long long)j->theirs->regs[i][reg]);
		j->same = i;
		chains_print(j);
	}
}

/* Both sides of a sample into the report. True: they agree, to the root or to the
 * last frame that a walk of ours may have. */
static bool judge(struct sampler *s, struct oracle *o, const struct bstack_process *process,
		  const struct pair *p, struct report *r)
{
	struct judged j = { .s = s, .ours = &p->ours, .o = o, .theirs = &o->chain };
	bool is_whole = false;
	size_t why = 0;

	replay_walk(&s->maps, process, &o->memory, p, false);
	if (p->ours.cnt && !replay_agrees(&j, &is_whole))
		test_fail(__FILE__, __LINE__,
			  "on the host the walk is another: %u frames end %u, %u frames end %u",
			  replay.cnt, replay.end, p->ours.cnt, p->ours.end);
	oracle_walk(o, p);
	while (j.same < p->ours.cnt && j.same < o->chain.cnt &&
	       p->ours.ips[j.same] == o->chain.pcs[j.same])
		j.same++;
	r->stacks++;
	r->frames += p->ours.cnt;
	r->same_frames += j.same;
	r->in_kernel += p->ours.is_in_kernel;
	r->replayed += is_whole;
	frames_check(&j, r);
	if (j.same == p->ours.cnt && j.same == o->chain.cnt && p->ours.end == BSTACK_END_ROOT &&
	    o->chain.is_rooted) {
		r->same++;
		return is_whole;
	}
	while (why < REASONS_CNT && !reasons[why].holds(&j))
		why++;
	if (why < REASONS_CNT) {
		r->because[why]++;
		return is_whole && is_too_deep(&j);
	}
	r->unexplained++;
	test_fail(__FILE__, __LINE__, "the stacks differ after %zu frames, and nothing explains it",
		  j.same);
	chains_print(&j);
	return false;
}

#endif
