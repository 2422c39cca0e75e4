/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * unwind.h - one step from a frame to its caller, by a row of .eh_frame or by frame pointer. For BPF and for
 * the host: whoever includes it says how to look things up and how to read the stack:
 *
 *	UNWIND_ROW(i), UNWIND_PAGE(i), UNWIND_RULE(i), UNWIND_MODULE(i), UNWIND_MAPPING(i)
 *								const pointer, NULL: none
 *	UNWIND_READ(addr, &u64), UNWIND_READ_PAIR(addr, u64[2])	0: read
 */
#ifndef BSTACK_UNWIND_H
#define BSTACK_UNWIND_H

#include "bpf/abi.h"

#define UNWIND_SEARCH_MAX  24 /* rows of one file: 2^24 */
#define UNWIND_MAPPING_MAX 12 /* BSTACK_MAPPINGS_MAX = 2^12 */

static inline int unwind_holds(const struct bstack_mapping *m, __u64 ip)
{
	return m && m->start <= ip && ip < m->end;
}

/* The mapping that holds ip, or NULL. Mostly it is the one that held the frame before, or that before it. */
static inline const struct bstack_mapping *unwind_mapping(const struct bstack_process *p,
							  struct unwind_state *s, __u64 ip)
{
	__u32 lo = p->first, cnt = p->cnt, before = s->mapping_before;
	const struct bstack_mapping *m;

	if (s->mapping - lo < cnt) {
		m = UNWIND_MAPPING(s->mapping);
		if (unwind_holds(m, ip))
			return m;
	}
	if (before - lo < cnt) {
		m = UNWIND_MAPPING(before);
		if (unwind_holds(m, ip)) {
			s->mapping_before = s->mapping;
			s->mapping = before;
			return m;
		}
	}
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
	s->mapping_before = s->mapping;
	s->mapping = lo;
	return unwind_holds(m, ip) ? m : 0;
}

/* The rule at pc, or NULL. */
static inline const struct bstack_rule *unwind_rule(const struct bstack_module *mod, __u32 pc)
{
	__u32 page = pc >> (mod->page_shift & 31), lo, cnt;
	const struct bstack_row *row;
	const struct bstack_page *p;

	if (page >= mod->page_cnt)
		return 0;
	p = UNWIND_PAGE(mod->first_row / BSTACK_ROWS_A_PAGE + page);
	if (!p || p->first > p->last || p->last >= mod->row_cnt)
		return 0;
	lo = mod->first_row + p->first;
	cnt = p->last - p->first + 1;
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

/* What a register holds. 0: read. */
static inline int unwind_reg(const struct unwind_state *s, __u32 reg, __u64 *ret)
{
	reg &= 15;
	*ret = s->regs[reg];
	return s->stored & (1U << reg) ? UNWIND_READ(*ret, ret) : 0;
}

static inline int unwind_by_fp(struct unwind_state *s)
{
	__u64 bp;

	if (unwind_reg(s, BSTACK_BP, &bp))
		return BSTACK_END_UNREADABLE;
	if (bp < s->sp)
		return BSTACK_END_FP_LOST;
	if (UNWIND_READ(bp + 8, &s->ip))
		return BSTACK_END_UNREADABLE;
	if (!s->ip)
		return BSTACK_END_FP_LOST;
	s->sp = bp + 16;
	s->regs[BSTACK_BP] = bp;
	s->stored |= 1U << BSTACK_BP;
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
		s->regs[reg_of[i] & 15] = UNWIND_GREG(sp, i);
	s->stored = (1U << BSTACK_REGS_ALL) - 1;
	if (UNWIND_READ(UNWIND_GREG(sp, 15), &s->sp) || UNWIND_READ(UNWIND_GREG(sp, 16), &s->ip))
		return BSTACK_END_UNREADABLE;
	s->is_caller = 0; /* interrupted, not called */
	return 0;
}

/* The CFA of an ordinary rule; 0: it cannot be found. */
static inline __u64 unwind_cfa(const struct unwind_state *s, const struct bstack_rule *r)
{
	__u64 from = s->sp, cfa;

	if (r->cfa == BSTACK_CFA_PLT)
		return s->sp + 8 + ((s->ip & 15) >= 11 ? 8 : 0);
	if ((r->cfa == BSTACK_CFA_REG || r->cfa == BSTACK_CFA_REG_AT) &&
	    unwind_reg(s, r->reg, &from))
		return 0;
	cfa = from + (__u64)(__s64)r->cfa_off;
	if (r->cfa == BSTACK_CFA_SP || r->cfa == BSTACK_CFA_REG)
		return cfa;
	if (UNWIND_READ(cfa, &from))
		return 0;
	return from + (__u64)(__s64)r->cfa_add;
}

/*
 * The return address, by an ordinary rule; enum bstack_end when it cannot be found. A register is mostly saved
 * right below it: both are read at once. *ret_below is that register's value then, else it is 0 like ret_has_below.
 */
static inline int unwind_ra(struct unwind_state *s, const struct bstack_rule *r, __u64 cfa,
			    __u64 *ret_below, int *ret_has_below)
{
	__u64 pair[2];

	if (r->ra_off == BSTACK_RA_IN_REG) {
		/* Nothing was pushed: only where the registers are known, else a stack might never end. */
		if (s->is_caller)
			return BSTACK_END_UNSUPPORTED;
		if (cfa < s->sp)
			return BSTACK_END_STUCK;
		return unwind_reg(s, (__u32)r->cfa_add, &s->ip) ? BSTACK_END_UNREADABLE : 0;
	}
	if (cfa <= s->sp) /* a caller's frame lies above */
		return BSTACK_END_STUCK;
	if (r->ra_off == -8 && !UNWIND_READ_PAIR(cfa - 16, pair)) {
		*ret_below = pair[0];
		*ret_has_below = 1;
		s->ip = pair[1];
		return 0;
	}
	return UNWIND_READ(cfa + (__u64)(__s64)r->ra_off, &s->ip) ? BSTACK_END_UNREADABLE : 0;
}

static inline int unwind_by_rule(struct unwind_state *s, const struct bstack_rule *r)
{
	__u64 cfa, bp = 0, below = 0;
	int end, has_below = 0;

	if (r->cfa == BSTACK_CFA_ROOT)
		return BSTACK_END_ROOT;
	if (r->cfa == BSTACK_CFA_SIGNAL)
		return unwind_signal(s);
	if (r->cfa >= BSTACK_CFA_UNSUPPORTED || (r->reg >= BSTACK_REGS && s->is_caller))
		return BSTACK_END_UNSUPPORTED;
	cfa = unwind_cfa(s, r);
	if (!cfa || (r->saved_bp && unwind_reg(s, BSTACK_BP, &bp)))
		return BSTACK_END_UNREADABLE;
	end = unwind_ra(s, r, cfa, &below, &has_below);
	if (end)
		return end;
	if (!s->ip)
		return BSTACK_END_NO_MAPPING;
	s->stored |= r->saved | r->saved_bp;
	for (int i = 0; i < BSTACK_REGS; i++) {
		__u32 bit = 1U << i;

		if (r->saved & bit && has_below && r->off[i] == -16) {
			s->regs[i] = below;
			s->stored &= ~bit;
		} else if (r->saved & bit) {
			s->regs[i] = cfa + (__u64)(__s64)r->off[i];
		} else if (r->saved_bp & bit) {
			s->regs[i] = bp + (__u64)(__s64)r->off[i];
		}
	}
	s->sp = cfa;
	s->is_caller = 1;
	return 0;
}

/* From s, in code at pc of a module (an index, or BSTACK_MODULE_*), to its caller. 0, else enum bstack_end. */
static inline int unwind_in_module(struct unwind_state *s, __u32 module, __u32 pc)
{
	const struct bstack_module *mod = UNWIND_MODULE(module);
	const struct bstack_rule *rule;

	if (mod && mod->row_cnt) {
		rule = unwind_rule(mod, pc);
		if (rule)
			return unwind_by_rule(s, rule);
		return mod->instead == BSTACK_MODULE_FP ? unwind_by_fp(s) : BSTACK_END_NO_ROW;
	}
	switch (mod ? mod->instead : module) {
	case BSTACK_MODULE_FP:
		return unwind_by_fp(s);
	case BSTACK_MODULE_NONE:
		return BSTACK_END_NEVER;
	}
	return BSTACK_END_NO_TABLE;
}

static inline int unwind_in_mapping(struct unwind_state *s, const struct bstack_mapping *map,
				    struct bstack_step *ret)
{
	ret->module = map->module;
	ret->pc = (__u32)(s->ip - s->is_caller - map->start + map->pc_off);
	return unwind_in_module(s, ret->module, ret->pc);
}

/*
 * From s to its caller. 0: s is the caller now; else enum bstack_end, and s is of no more use, but with
 * BSTACK_END_NO_MAPPING and BSTACK_END_NO_TABLE, which leave it as it is. *ret says by what the step was made.
 */
static inline int unwind_step(const struct bstack_process *p, struct unwind_state *s,
			      struct bstack_step *ret)
{
	__u64 ip = s->ip - s->is_caller;
	const struct bstack_mapping *map = unwind_mapping(p, s, ip);

	ret->module = BSTACK_MODULE_PENDING;
	ret->pc = 0;
	if (!map)
		return BSTACK_END_NO_MAPPING;
	return unwind_in_mapping(s, map, ret);
}

#endif
