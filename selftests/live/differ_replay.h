/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* differ_replay.h - the walk of a sample once more, on the host, over the same arrays: which rules and words it used. */
#ifndef BSTACK_DIFFER_REPLAY_H
#define BSTACK_DIFFER_REPLAY_H

#include "differ_memory.h"

#define WORDS_MAX 4096

/* A word that a step read. */
struct word {
	uint64_t addr, value;
	uint32_t step;
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
	struct word words[WORDS_MAX]; /* read */
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

static int replay_read(uint64_t addr, uint64_t *ret)
{
	if (!memory_read(replay.memory, addr, ret))
		return -1;
	if (CHECK(replay.word_cnt < WORDS_MAX))
		replay.words[replay.word_cnt++] = (struct word){ addr, *ret, replay.cnt - 1 };
	return 0;
}

#define REPLAY_AT(what, i) ((size_t)(i) < replay.maps->what##_cnt ? &replay.maps->what##s[i] : NULL)
#define UNWIND_ROW(i)      REPLAY_AT(row, i)
#define UNWIND_RULE(i)     replay_rule(i)
#define UNWIND_MODULE(i)   REPLAY_AT(module, i)
#define UNWIND_MAPPING(i)  REPLAY_AT(mapping, i)
#define UNWIND_READ(addr, ret)                          \
	({                                              \
		uint64_t word_ = 0;                     \
		int err_ = replay_read((addr), &word_); \
		*(ret) = word_;                         \
		err_;                                   \
	})

#include "bpf/unwind.h"

/* Walk as walk_rows() of bpf/unwind.bpf.h does. */
static void replay_walk(const struct unwind_maps *maps, const struct bstack_process *process,
			struct memory *memory, const struct pair *p)
{
	struct unwind_state s = p->ours.at;

	memset(&replay, 0, sizeof(replay));
	replay.maps = maps;
	replay.memory = memory;
	memory->pair = p;
	memory->has_missed = false;
	while (replay.cnt < BSTACK_FRAMES && !replay.end) {
		replay.states[replay.cnt] = s;
		replay.ips[replay.cnt++] = s.ip;
		replay.rule_cfa[replay.cnt - 1] = BSTACK_CFA_UNSUPPORTED;
		replay.end = (uint32_t)unwind_step(process, &s, &replay.steps[replay.cnt - 1]);
	}
	if (!replay.end)
		replay.end = BSTACK_END_TRUNCATED;
}

#endif
