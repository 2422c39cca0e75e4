/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* table_check.h - what unwind/table.h promises of a table that is ready, whatever it was made of. */
#ifndef BSTACK_FUZZ_TABLE_CHECK_H
#define BSTACK_FUZZ_TABLE_CHECK_H

#include "fuzz.h"
#include "unwind/table.h"

static void table_check(const struct unwind_table *t)
{
	FUZZ_CHECK(t->rule_cnt <= UNWIND_RULES_MAX);
	for (size_t i = 0; i < t->row_cnt; i++) {
		FUZZ_CHECK(!i || t->rows[i - 1].pc < t->rows[i].pc);
		FUZZ_CHECK(!i || t->rows[i - 1].rule != t->rows[i].rule);
		FUZZ_CHECK(t->rows[i].rule == BSTACK_RULE_NONE || t->rows[i].rule < t->rule_cnt);
	}
	FUZZ_CHECK(!t->row_cnt || t->rows[t->row_cnt - 1].rule == BSTACK_RULE_NONE);
	for (size_t i = 0; i < t->rule_cnt; i++) {
		const struct bstack_rule *r = &t->rules[i];

		FUZZ_CHECK(r->cfa <= BSTACK_CFA_UNSUPPORTED && r->reg < BSTACK_REGS_ALL);
		FUZZ_CHECK(!(r->saved & r->saved_bp) && !((r->saved | r->saved_bp) >> BSTACK_REGS));
	}
}

#endif
