/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* cfi.c - see cfi.h. */
#include "unwind/cfi.h"

#include <dwarf.h>
#include <string.h>

#define DW_REGS      17 /* of x86-64 that are followed: 0 to 15, and the return address */
#define DW_RSP       7
#define DW_RA        16
#define REMEMBER_MAX 16
#define STEPS_MAX    1000000 /* instructions of one function */
/* Of a CIE, which are executed for each of its functions: compilers need 2, a signal frame 20. */
#define CIE_STEPS_MAX 256
#define WORK_FUNCTION 32 /* instructions that take as long as the beginning of a function */

/* DWARF's number of each register that unwinding follows */
static const uint8_t dw_of[BSTACK_REGS_ALL] = {
	[BSTACK_AX] = 0, [BSTACK_DX] = 1,   [BSTACK_CX] = 2,   [BSTACK_SI] = 4,   [BSTACK_DI] = 5,
	[BSTACK_R8] = 8, [BSTACK_R9] = 9,   [BSTACK_R10] = 10, [BSTACK_R11] = 11, [BSTACK_BP] = 6,
	[BSTACK_BX] = 3, [BSTACK_R12] = 12, [BSTACK_R13] = 13, [BSTACK_R14] = 14, [BSTACK_R15] = 15,
};

enum where {
	WHERE_SAME,
	WHERE_UNDEFINED,
	WHERE_AT_CFA,
	WHERE_EXPR,
	WHERE_IN_REG, /* off: which */
	WHERE_OTHER
};

struct reg_rule {
	enum where where;
	int64_t off;       /* AT_CFA */
	struct bytes expr; /* EXPR */
};

struct cfi_state {
	bool is_cfa_expr;
	uint64_t cfa_reg;
	int64_t cfa_off;
	struct bytes cfa_expr;
	struct reg_rule regs[DW_REGS];
};

struct cfi_run {
	const struct cie *cie;
	struct unwind_table *t;
	struct cfi_state now, initial;
	struct cfi_state stack[REMEMBER_MAX];
	size_t stack_cnt;
	uint64_t loc, end;
	size_t steps, steps_max;
};

uint64_t bytes_uint(struct bytes *b, size_t sz)
{
	uint64_t v = 0;

	if ((size_t)(b->end - b->p) < sz) {
		b->is_bad = true;
		b->p = b->end;
		return 0;
	}
	memcpy(&v, b->p, sz); /* little endian, as x86-64 and arm64 are */
	b->p += sz;
	return v;
}

uint64_t bytes_uleb(struct bytes *b)
{
	uint64_t v = 0;

	for (unsigned int shift = 0; shift < 70; shift += 7) {
		uint8_t byte = (uint8_t)bytes_uint(b, 1);

		if (shift < 64)
			v |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80))
			return v;
	}
	b->is_bad = true;
	return 0;
}

int64_t bytes_sleb(struct bytes *b)
{
	uint64_t v = 0;

	for (unsigned int shift = 0; shift < 70; shift += 7) {
		uint8_t byte = (uint8_t)bytes_uint(b, 1);

		if (shift < 64)
			v |= (uint64_t)(byte & 0x7f) << shift;
		if (byte & 0x80)
			continue;
		if ((byte & 0x40) && shift + 7 < 64)
			v |= ~(uint64_t)0 << (shift + 7);
		return (int64_t)v;
	}
	b->is_bad = true;
	return 0;
}

struct bytes bytes_take(struct bytes *b, uint64_t len)
{
	struct bytes part = { .p = b->p, .end = b->p };

	if ((uint64_t)(b->end - b->p) < len) {
		b->is_bad = part.is_bad = true;
		b->p = b->end;
		return part;
	}
	part.end += len;
	b->p += len;
	return part;
}

bool eh_pointer(struct bytes *b, uint8_t encoding, uint64_t addr, uint64_t *ret)
{
	static const struct {
		uint8_t sz;
		bool is_signed;
	} formats[16] = {
		[DW_EH_PE_absptr] = { 8, false }, [DW_EH_PE_udata2] = { 2, false },
		[DW_EH_PE_udata4] = { 4, false }, [DW_EH_PE_udata8] = { 8, false },
		[DW_EH_PE_sdata2] = { 2, true },  [DW_EH_PE_sdata4] = { 4, true },
		[DW_EH_PE_sdata8] = { 8, true },
	};
	uint8_t format = encoding & 0x0f, sz = formats[format].sz;
	uint64_t v;

	if (encoding == DW_EH_PE_omit || (encoding & DW_EH_PE_indirect))
		return false;
	if (format == DW_EH_PE_uleb128)
		v = bytes_uleb(b);
	else if (format == DW_EH_PE_sleb128)
		v = (uint64_t)bytes_sleb(b);
	else if (!sz)
		return false;
	else
		v = bytes_uint(b, sz);
	if (formats[format].is_signed && sz < 8 && (v >> (8 * sz - 1) & 1))
		v |= ~(uint64_t)0 << 8 * sz;
	switch (encoding & 0x70) {
	case DW_EH_PE_absptr:
		break;
	case DW_EH_PE_pcrel:
		v += addr;
		break;
	default:
		return false;
	}
	*ret = v;
	return !b->is_bad;
}

static int reg_index(uint64_t dw)
{
	for (int i = 0; i < BSTACK_REGS_ALL; i++)
		if (dw_of[i] == dw)
			return i;
	return -1;
}

/* "DW_OP_breg N, off" alone. */
static bool is_breg(struct bytes e, uint64_t *ret_reg, int64_t *ret_off)
{
	uint8_t op = (uint8_t)bytes_uint(&e, 1);

	if (op < DW_OP_breg0 || op > DW_OP_breg15)
		return false;
	*ret_reg = op - DW_OP_breg0;
	*ret_off = bytes_sleb(&e);
	return !e.is_bad && e.p == e.end;
}

/* The stub of a PLT: sp + 8 + ((ip & 15) >= 11) * 8, as binutils writes it. */
static bool is_plt(struct bytes e)
{
	static const uint8_t plt[] = {
		DW_OP_breg7, 8,        DW_OP_breg16, 0,         DW_OP_lit15, DW_OP_and,
		DW_OP_lit11, DW_OP_ge, DW_OP_lit3,   DW_OP_shl, DW_OP_plus,
	};

	return (size_t)(e.end - e.p) == sizeof(plt) && !memcmp(e.p, plt, sizeof(plt));
}

/* "breg N, off; deref" and maybe "plus_uconst add": where the CFA, or a place near it, was stored. */
static bool is_breg_deref(struct bytes e, uint64_t *ret_reg, int64_t *ret_off, int64_t *ret_add)
{
	uint8_t op = (uint8_t)bytes_uint(&e, 1);

	if (op < DW_OP_breg0 || op > DW_OP_breg15)
		return false;
	*ret_reg = op - DW_OP_breg0;
	*ret_off = bytes_sleb(&e);
	*ret_add = 0;
	if (bytes_uint(&e, 1) != DW_OP_deref)
		return false;
	if (e.p < e.end) {
		if (bytes_uint(&e, 1) != DW_OP_plus_uconst)
			return false;
		*ret_add = (int64_t)bytes_uleb(&e);
	}
	return !e.is_bad && e.p == e.end;
}

static void rule_cfa(const struct cfi_state *s, struct bstack_rule *r)
{
	int64_t off = s->cfa_off, add = 0;
	uint64_t reg = s->cfa_reg;
	int idx;

	if (s->is_cfa_expr && is_plt(s->cfa_expr)) {
		r->cfa = BSTACK_CFA_PLT;
		return;
	}
	if (s->is_cfa_expr && !is_breg_deref(s->cfa_expr, &reg, &off, &add))
		return;
	if (off < INT32_MIN || off > INT32_MAX || add < 0 || add > INT16_MAX)
		return;
	r->cfa_off = (int32_t)off;
	r->cfa_add = (int16_t)add;
	idx = reg_index(reg);
	if (reg == DW_RSP) {
		r->cfa = s->is_cfa_expr ? BSTACK_CFA_SP_AT : BSTACK_CFA_SP;
	} else if (idx >= 0) {
		r->cfa = s->is_cfa_expr ? BSTACK_CFA_REG_AT : BSTACK_CFA_REG;
		r->reg = (uint8_t)idx;
	}
}

/* Where a followed register is; false: in a way that is not supported. */
static bool rule_reg(const struct reg_rule *rr, int idx, struct bstack_rule *r)
{
	uint64_t reg;
	int64_t off;

	switch (rr->where) {
	case WHERE_SAME:
	case WHERE_UNDEFINED: /* nobody relies on its value then */
		return true;
	case WHERE_AT_CFA:
		if (rr->off < INT16_MIN || rr->off > INT16_MAX)
			return false;
		r->saved |= (uint8_t)(1 << idx);
		r->off[idx] = (int16_t)rr->off;
		return true;
	case WHERE_EXPR:
		/* A function that realigned the stack stores them where bp points to, and beside it. */
		if (!is_breg(rr->expr, &reg, &off) || reg != dw_of[BSTACK_BP] || off < INT16_MIN ||
		    off > INT16_MAX)
			return false;
		r->saved_bp |= (uint8_t)(1 << idx);
		r->off[idx] = (int16_t)off;
		return true;
	case WHERE_IN_REG:
	case WHERE_OTHER:
		break;
	}
	return false;
}

/* Where the return address is; false: in a way that is not supported. */
static bool rule_ra(const struct reg_rule *ra, struct bstack_rule *r)
{
	int idx;

	if (ra->where == WHERE_IN_REG && (r->cfa == BSTACK_CFA_SP || r->cfa == BSTACK_CFA_REG)) {
		idx = reg_index((uint64_t)ra->off);
		r->ra_off = BSTACK_RA_IN_REG;
		r->cfa_add = (int16_t)idx;
		return idx >= 0;
	}
	r->ra_off = (int16_t)ra->off;
	return ra->where == WHERE_AT_CFA && ra->off > INT16_MIN && ra->off <= INT16_MAX;
}

/* The state as a rule; what cannot be said in one is BSTACK_CFA_UNSUPPORTED. */
static struct bstack_rule rule_make(const struct cie *cie, const struct cfi_state *s)
{
	struct bstack_rule r = { .cfa = BSTACK_CFA_UNSUPPORTED };
	const struct reg_rule *ra = &s->regs[DW_RA];
	bool is_ok;

	if (cie->is_signal)
		return (struct bstack_rule){ .cfa = BSTACK_CFA_SIGNAL };
	if (ra->where == WHERE_UNDEFINED)
		return (struct bstack_rule){ .cfa = BSTACK_CFA_ROOT };
	rule_cfa(s, &r);
	is_ok = rule_ra(ra, &r);
	for (int i = 0; i < BSTACK_REGS; i++)
		is_ok = rule_reg(&s->regs[dw_of[i]], i, &r) && is_ok;
	if (!is_ok || r.cfa == BSTACK_CFA_UNSUPPORTED)
		return (struct bstack_rule){ .cfa = BSTACK_CFA_UNSUPPORTED };
	return r;
}

static int row_emit(struct cfi_run *run, uint64_t loc)
{
	struct bstack_rule r = rule_make(run->cie, &run->now);

	run->t->unsupported_cnt += r.cfa == BSTACK_CFA_UNSUPPORTED;
	return unwind_table_add(run->t, loc, &r);
}

/* What was said so far holds from loc up to the new one. */
static int advance(struct cfi_run *run, uint64_t delta)
{
	int err = 0;

	if (delta > run->end - run->loc)
		return -EINVAL;
	if (delta)
		err = row_emit(run, run->loc);
	run->loc += delta;
	return err;
}

static void set_reg(struct cfi_run *run, uint64_t reg, struct reg_rule rr)
{
	if (reg < DW_REGS)
		run->now.regs[reg] = rr;
}

static int64_t unfactored(const struct cfi_run *run, int64_t factored)
{
	int64_t off;

	if (__builtin_mul_overflow(factored, run->cie->data_align, &off))
		return INT64_MAX; /* not in any range that is supported */
	return off;
}

static void set_offset(struct cfi_run *run, uint64_t reg, int64_t factored)
{
	set_reg(run, reg,
		(struct reg_rule){ .where = WHERE_AT_CFA, .off = unfactored(run, factored) });
}

static void restore(struct cfi_run *run, uint64_t reg)
{
	if (reg < DW_REGS)
		run->now.regs[reg] = run->initial.regs[reg];
}

static int remember(struct cfi_run *run)
{
	if (run->stack_cnt == REMEMBER_MAX)
		return -EINVAL;
	run->stack[run->stack_cnt++] = run->now;
	return 0;
}

static int recall(struct cfi_run *run)
{
	if (!run->stack_cnt)
		return -EINVAL;
	run->now = run->stack[--run->stack_cnt];
	return 0;
}

static struct bytes block(struct bytes *p)
{
	uint64_t len = bytes_uleb(p);

	return bytes_take(p, len);
}

/* Instructions about the CFA; false: it is none of them. */
static bool execute_cfa(struct cfi_run *run, uint8_t op, struct bytes *p)
{
	struct cfi_state *s = &run->now;

	switch (op) {
	case DW_CFA_def_cfa:
	case DW_CFA_def_cfa_sf:
		s->cfa_reg = bytes_uleb(p);
		s->cfa_off = op == DW_CFA_def_cfa ? (int64_t)bytes_uleb(p)
						  : unfactored(run, bytes_sleb(p));
		s->is_cfa_expr = false;
		return true;
	case DW_CFA_def_cfa_register:
		s->cfa_reg = bytes_uleb(p);
		return true;
	case DW_CFA_def_cfa_offset:
		s->cfa_off = (int64_t)bytes_uleb(p);
		return true;
	case DW_CFA_def_cfa_offset_sf:
		s->cfa_off = unfactored(run, bytes_sleb(p));
		return true;
	case DW_CFA_def_cfa_expression:
		s->cfa_expr = block(p);
		s->is_cfa_expr = true;
		return true;
	}
	return false;
}

/* Instructions about one register; false: it is none of them. */
static bool execute_reg(struct cfi_run *run, uint8_t op, struct bytes *p)
{
	uint64_t reg;

	switch (op) {
	case DW_CFA_offset_extended:
		reg = bytes_uleb(p);
		set_offset(run, reg, (int64_t)bytes_uleb(p));
		return true;
	case DW_CFA_offset_extended_sf:
		reg = bytes_uleb(p);
		set_offset(run, reg, bytes_sleb(p));
		return true;
	case DW_CFA_restore_extended:
		restore(run, bytes_uleb(p));
		return true;
	case DW_CFA_undefined:
		set_reg(run, bytes_uleb(p), (struct reg_rule){ .where = WHERE_UNDEFINED });
		return true;
	case DW_CFA_same_value:
		set_reg(run, bytes_uleb(p), (struct reg_rule){ .where = WHERE_SAME });
		return true;
	case DW_CFA_register:
		reg = bytes_uleb(p);
		set_reg(run, reg,
			(struct reg_rule){ .where = WHERE_IN_REG, .off = (int64_t)bytes_uleb(p) });
		return true;
	case DW_CFA_expression:
		reg = bytes_uleb(p);
		set_reg(run, reg, (struct reg_rule){ .where = WHERE_EXPR, .expr = block(p) });
		return true;
	case DW_CFA_val_offset:
	case DW_CFA_val_offset_sf:
		reg = bytes_uleb(p);
		bytes_uleb(p);
		set_reg(run, reg, (struct reg_rule){ .where = WHERE_OTHER });
		return true;
	case DW_CFA_val_expression:
		reg = bytes_uleb(p);
		block(p);
		set_reg(run, reg, (struct reg_rule){ .where = WHERE_OTHER });
		return true;
	}
	return false;
}

static int execute_other(struct cfi_run *run, uint8_t op, struct bytes *p)
{
	uint64_t align = run->cie->code_align;

	switch (op) {
	case DW_CFA_nop:
		return 0;
	case DW_CFA_advance_loc1:
		return advance(run, bytes_uint(p, 1) * align);
	case DW_CFA_advance_loc2:
		return advance(run, bytes_uint(p, 2) * align);
	case DW_CFA_advance_loc4:
		return advance(run, bytes_uint(p, 4) * align);
	case DW_CFA_remember_state:
		return remember(run);
	case DW_CFA_restore_state:
		return recall(run);
	case DW_CFA_GNU_args_size:
		bytes_uleb(p);
		return 0;
	}
	if (execute_cfa(run, op, p) || execute_reg(run, op, p))
		return 0;
	return -EINVAL;
}

static int execute(struct cfi_run *run, struct bytes p)
{
	int err = 0;

	while (p.p < p.end && !err && !p.is_bad) {
		uint8_t op = (uint8_t)bytes_uint(&p, 1), low = op & 0x3f;

		if (run->steps++ == run->steps_max)
			return -EINVAL;
		switch (op & 0xc0) {
		case DW_CFA_advance_loc:
			err = advance(run, low * run->cie->code_align);
			break;
		case DW_CFA_offset:
			set_offset(run, low, (int64_t)bytes_uleb(&p));
			break;
		case DW_CFA_restore:
			restore(run, low);
			break;
		default:
			err = execute_other(run, low, &p);
		}
	}
	return err ? err : p.is_bad ? -EINVAL : 0;
}

int cfi_execute(const struct cie *cie, struct bytes program, uint64_t start, uint64_t end,
		struct unwind_table *t)
{
	/* A CIE's program is for all its functions: it cannot advance in one. */
	struct cfi_run run = {
		.cie = cie, .t = t, .loc = start, .end = start, .steps_max = CIE_STEPS_MAX
	};
	int err;

	if (cie->ra_reg != DW_RA)
		return -EINVAL;
	if (t->work > UNWIND_WORK_MAX)
		return -E2BIG;
	run.now.cfa_reg = UINT64_MAX; /* none said yet */
	err = execute(&run, cie->program);
	t->work += WORK_FUNCTION + run.steps;
	if (err)
		return err;
	run.initial = run.now;
	run.end = end;
	run.steps = 0;
	run.steps_max = STEPS_MAX;
	err = execute(&run, program);
	t->work += run.steps;
	if (!err &&
	    run.loc < end) /* at its end the function is over, whatever is said of it there */
		err = row_emit(&run, run.loc);
	if (err == -ENOMEM || err == -E2BIG)
		return err;
	/* Behind it nothing is known; a program that lies has said nothing about what is left either. */
	if (err == -EINVAL && run.loc > start && run.loc < end)
		unwind_table_add(t, run.loc, NULL);
	return unwind_table_add(t, end, NULL);
}
