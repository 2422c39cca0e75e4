/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* differ_replay.h - the walk of a sample once more, on the host, over the same arrays: which rules it used. */
#ifndef BSTACK_DIFFER_REPLAY_H
#define BSTACK_DIFFER_REPLAY_H

#include "differ_memory.h"

#define WORDS_MAX 4096

/* A word that a step read, or in which it found a register of the caller. */
struct word {
	uint64_t addr, value;
	uint32_t step; /* the first */
};

struct replay {
	const struct unwind_maps *maps;
	struct memory *memory;
	uint64_t ips[BSTACK_FRAMES];
	struct bstack_step steps[BSTACK_FRAMES];
	struct unwind_state states[BSTACK_FRAMES]; /* in which each step began */
	uint8_t rule_cfa[BSTACK_FRAMES]; /* enum bstack_cfa of each step's rule, if it had one */
	bool has_bp_saved;               /* a rule found registers by bp */
	uint32_t cnt, end;
	bool is_recording; /* words */
	struct word words[WORDS_MAX];
	size_t word_cnt;
};

static struct replay replay;

static const struct bstack_rule *replay_rule(uint32_t i)
{
	const struct bstack_rule *r = i < replay.maps->rule_cnt ? &replay.maps->rules[i] : NULL;

	if (r)
		replay.rule_cfa[replay.cnt - 1] = r->cfa;
	replay.has_bp_saved |= r && r->saved_bp;
	return r;
}

static void word_record(uint64_t addr, uint64_t value)
{
	for (size_t i = 0; i < replay.word_cnt; i++)
		if (replay.words[i].addr == addr)
			return;
	if (CHECK(replay.word_cnt < WORDS_MAX))
		replay.words[replay.word_cnt++] = (struct word){ addr, value, replay.cnt - 1 };
}

static int replay_read(uint64_t addr, __u64 *ret)
{
	uint64_t value;

	if (!memory_read(replay.memory, addr, &value))
		return -1;
	if (replay.is_recording)
		word_record(addr, value);
	*ret = value;
	return 0;
}

/* While words are recorded there are no pairs: each register stays in its word, and that is recorded. */
static int replay_read_pair(uint64_t addr, __u64 *ret)
{
	struct memory *m = replay.memory;
	bool has_missed = m->has_missed;
	uint64_t missed = m->missed;

	if (replay.is_recording)
		return -1;
	if (!replay_read(addr, ret) && !replay_read(addr + 8, ret + 1))
		return 0;
	/* Nothing is missed yet: the step reads one word instead. */
	m->has_missed = has_missed;
	m->missed = missed;
	return -1;
}

#define REPLAY_AT(what, i)          ((size_t)(i) < replay.maps->what##_cnt ? &replay.maps->what##s[i] : NULL)
#define UNWIND_ROW(i)               REPLAY_AT(row, i)
#define UNWIND_PAGE(i)              REPLAY_AT(page, i)
#define UNWIND_RULE(i)              replay_rule(i)
#define UNWIND_MODULE(i)            REPLAY_AT(module, i)
#define UNWIND_MAPPING(i)           REPLAY_AT(mapping, i)
#define UNWIND_READ(addr, ret)      replay_read(addr, ret)
#define UNWIND_READ_PAIR(addr, ret) replay_read_pair(addr, ret)

#include "bpf/unwind.h"

/* Walk as walk_rows() of bpf/unwind.bpf.h does; is_recording: and record the words of each step. */
static void replay_walk(const struct unwind_maps *maps, const struct bstack_process *process,
			struct memory *memory, const struct pair *p, bool is_recording)
{
	struct unwind_state s = p->ours.at;

	memset(&replay, 0, sizeof(replay));
	replay.maps = maps;
	replay.memory = memory;
	replay.is_recording = is_recording;
	memory->pair = p;
	memory->has_missed = false;
	while (replay.cnt < BSTACK_FRAMES && !replay.end) {
		replay.states[replay.cnt] = s;
		replay.ips[replay.cnt++] = s.ip;
		replay.rule_cfa[replay.cnt - 1] = BSTACK_CFA_UNSUPPORTED;
		replay.end = (uint32_t)unwind_step(process, &s, &replay.steps[replay.cnt - 1]);
		for (uint32_t i = 0; i < BSTACK_REGS_ALL && is_recording && !replay.end; i++) {
			__u64 unused;

			unwind_reg(&s, i, &unused);
		}
	}
	if (!replay.end)
		replay.end = BSTACK_END_TRUNCATED;
}

/* A register of frame i. False: it lies where memory was not kept. */
static bool replay_reg(size_t i, uint32_t reg, uint64_t *ret)
{
	const struct unwind_state *s = &replay.states[i];
	bool has_missed = replay.memory->has_missed, is_there;
	uint64_t missed = replay.memory->missed;
	__u64 value = s->sp;

	is_there = reg == BSTACK_REGS || !unwind_reg(s, reg, &value);
	*ret = value;
	replay.memory->has_missed = has_missed; /* the walk has not asked for it */
	replay.memory->missed = missed;
	return is_there;
}

#endif
