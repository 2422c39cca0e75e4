/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * unwind.h - one step from a frame to its caller, by a row of .eh_frame or by frame pointer. For BPF and for
 * the host: whoever includes it says how to look things up and how to read the stack:
 *
 *	UNWIND_ROW(i), UNWIND_RULE(i), UNWIND_MODULE(i), UNWIND_MAPPING(i)	const pointer, NULL: none
 *	UNWIND_READ(addr, &u64)							0: read
 */
#ifndef BSTACK_UNWIND_H
#define BSTACK_UNWIND_H

#include "bpf/abi.h"

#define UNWIND_SEARCH_MAX  24 /* rows of one file: 2^24 */
#define UNWIND_MAPPING_MAX 12 /* BSTACK_MAPPINGS_MAX = 2^12 */

/* The mapping that holds ip, or NULL. */
static inline const struct bstack_mapping *unwind_mapping(const struct bstack_process *p, __u64 ip)
{
	__u32 lo = p->first, cnt = p->cnt;
	const struct bstack_mapping *m;

	for (int i = 0; i < UNWIND_MAPPING_MAX && cnt > 1; i++) {
		__u32 half = cnt / 2;

		m = UNWIND_MAPPING(lo + half);
		if (!m)
			return 0;
		if (m->start <= ip) {
			lo += half;
			cnt -= half;
		} else {
			cnt = half;
		}
	}
	m = cnt ? UNWIND_MAPPING(lo) : 0;
	return m && m->start <= ip && ip < m->end ? m : 0;
}

/* The rule at pc, or NULL. */
static inline const struct bstack_rule *unwind_rule(const struct bstack_module *mod, __u32 pc)
{
	__u32 lo = mod->first_row, cnt = mod->row_cnt;
	const struct bstack_row *row;

	for (int i = 0; i < UNWIND_SEARCH_MAX && cnt > 1; i++) {
		__u32 half = cnt / 2;

		row = UNWIND_ROW(lo + half);
		if (!row)
			return 0;
		if (row->pc <= pc) {
			lo += half;
			cnt -= half;
		} else {
			cnt = half;
		}
	}
	row = UNWIND_ROW(lo);
	if (!row || row->pc > pc || row->rule >= mod->rule_cnt)
		return 0;
	return UNWIND_RULE(mod->first_rule + row->rule);
}

static inline int unwind_by_fp(struct unwind_state *s)
{
	__u64 bp = s->regs[BSTACK_BP], next;

	if (bp < s->sp)
		return BSTACK_END_STUCK;
	if (UNWIND_READ(bp, &next) || UNWIND_READ(bp + 8, &s->ip))
		return BSTACK_END_UNREADABLE;
	s->sp = bp + 16;
	s->regs[BSTACK_BP] = next;
	s->is_caller = 1;
	return 0;
}

/* struct ucontext of the kernel's rt_sigframe, at sp when the handler has returned to __restore_rt:
 * 40 bytes, then r8 to r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip (arch/x86/include/uapi/asm/sigcontext.h) */
#define UNWIND_GREG(sp, n) ((sp) + 40 + 8 * (n))

static inline int unwind_signal(struct unwind_state *s)
{
	/* Which enum bstack_reg each of the first 15 is; sp stands behind them. */
	static const __u8 reg_of[15] = {
		BSTACK_R8,  BSTACK_R9,  BSTACK_R10, BSTACK_R11, BSTACK_R12,
		BSTACK_R13, BSTACK_R14, BSTACK_R15, BSTACK_DI,  BSTACK_SI,
		BSTACK_BP,  BSTACK_BX,  BSTACK_DX,  BSTACK_AX,  BSTACK_CX,
	};
	__u64 sp = s->sp;

	for (int i = 0; i < 15; i++)
		if (UNWIND_READ(UNWIND_GREG(sp, i), &s->regs[reg_of[i] & 15]))
			return BSTACK_END_UNREADABLE;
	if (UNWIND_READ(UNWIND_GREG(sp, 15), &s->sp) || UNWIND_READ(UNWIND_GREG(sp, 16), &s->ip))
		return BSTACK_END_UNREADABLE;
	s->is_caller = 0; /* interrupted, not called */
	return 0;
}

/* The CFA of an ordinary rule; 0: it cannot be found. */
static inline __u64 unwind_cfa(const struct unwind_state *s, const struct bstack_rule *r)
{
	__u64 from = r->cfa == BSTACK_CFA_SP || r->cfa == BSTACK_CFA_SP_AT ? s->sp
									   : s->regs[r->reg & 15];
	__u64 cfa = from + (__u64)(__s64)r->cfa_off;

	if (r->cfa == BSTACK_CFA_PLT)
		return s->sp + 8 + ((s->ip & 15) >= 11 ? 8 : 0);
	if (r->cfa == BSTACK_CFA_SP || r->cfa == BSTACK_CFA_REG)
		return cfa;
	if (UNWIND_READ(cfa, &from))
		return 0;
	return from + (__u64)(__s64)r->cfa_add;
}

static inline int unwind_by_rule(struct unwind_state *s, const struct bstack_rule *r)
{
	__u64 cfa, bp = s->regs[BSTACK_BP];

	if (r->cfa == BSTACK_CFA_ROOT)
		return BSTACK_END_ROOT;
	if (r->cfa == BSTACK_CFA_SIGNAL)
		return unwind_signal(s);
	if (r->cfa >= BSTACK_CFA_UNSUPPORTED || (r->reg >= BSTACK_REGS && s->is_caller))
		return BSTACK_END_UNSUPPORTED;
	cfa = unwind_cfa(s, r);
	if (!cfa)
		return BSTACK_END_UNREADABLE;
	if (cfa <= s->sp) /* a caller's frame lies above */
		return BSTACK_END_STUCK;
	if (UNWIND_READ(cfa + (__u64)(__s64)r->ra_off, &s->ip))
		return BSTACK_END_UNREADABLE;
	for (int i = 0; i < BSTACK_REGS; i++) {
		__u64 from = r->saved & (1 << i) ? cfa : r->saved_bp & (1 << i) ? bp : 0;

		if (from && UNWIND_READ(from + (__u64)(__s64)r->off[i], &s->regs[i]))
			return BSTACK_END_UNREADABLE;
	}
	s->sp = cfa;
	s->is_caller = 1;
	return 0;
}

/*
 * From s to its caller. 0: s is the caller now; else enum bstack_end, and s is of no more use. *ret says by what
 * the step was made.
 */
static inline int unwind_step(const struct bstack_process *p, struct unwind_state *s,
			      struct bstack_step *ret)
{
	__u64 ip = s->ip - s->is_caller;
	const struct bstack_mapping *map = unwind_mapping(p, ip);
	const struct bstack_module *mod;
	const struct bstack_rule *rule;

	ret->module = BSTACK_MODULE_PENDING;
	ret->pc = 0;
	if (!map)
		return BSTACK_END_NO_MAPPING;
	ret->module = map->module;
	ret->pc = (__u32)(ip - map->start + map->pc_off);
	if (map->module == BSTACK_MODULE_PENDING)
		return BSTACK_END_NO_TABLE;
	if (map->module == BSTACK_MODULE_FP)
		return unwind_by_fp(s);
	mod = UNWIND_MODULE(map->module);
	if (!mod || !mod->row_cnt)
		return BSTACK_END_NO_TABLE;
	rule = unwind_rule(mod, ret->pc);
	return rule ? unwind_by_rule(s, rule) : BSTACK_END_NO_ROW;
}

#endif
