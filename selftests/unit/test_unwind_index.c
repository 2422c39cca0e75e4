/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_unwind_index.c - a row found through the index of pages, as bpf/unwind.h does it, against a search from the
 * first row on. The arrays are as large as reserved, so that the sanitizer sees what is outside.
 */
#include "test.h"
#include "unwind/table.h"

#define FIRST_ROW  (3 * BSTACK_ROWS_A_PAGE)
#define FIRST_RULE 5
#define RULES      7

static struct {
	struct bstack_row *rows;
	struct bstack_page *pages;
	struct bstack_rule *rules;
	size_t row_cnt, page_cnt, rule_cnt;
} host;

#define AT(array, i)              ((size_t)(i) < host.array##_cnt ? &host.array##s[i] : NULL)
#define UNWIND_ROW(i)             AT(row, i)
#define UNWIND_PAGE(i)            AT(page, i)
#define UNWIND_RULE(i)            AT(rule, i)
#define UNWIND_MODULE(i)          ((void)(i), (struct bstack_module *)NULL)
#define UNWIND_MAPPING(i)         ((void)(i), (struct bstack_mapping *)NULL)
#define UNWIND_READ(addr, p)      ((void)(addr), (void)(p), -1)
#define UNWIND_READ_PAIR(addr, p) UNWIND_READ(addr, p)

#include "bpf/unwind.h"

static uint64_t seed = 362436069362436069;
static uint64_t rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	return seed ^= seed << 17;
}

/* Rows at pcs (sorted, each once), the last one without a rule. */
static void table_make(struct unwind_table *t, const uint32_t *pcs, size_t cnt)
{
	*t = (struct unwind_table){ .row_cnt = cnt, .rule_cnt = RULES };
	t->rows = calloc(cnt, sizeof(*t->rows));
	t->rules = calloc(RULES, sizeof(*t->rules));
	for (size_t i = 0; i < cnt; i++)
		t->rows[i] = (struct bstack_row){ .pc = pcs[i],
						  .rule = rnd() % 9 ? (uint16_t)(rnd() % RULES)
								    : BSTACK_RULE_NONE };
	t->rows[cnt - 1].rule = BSTACK_RULE_NONE;
}

/* Which rule holds at pc: its number, or BSTACK_RULE_NONE. */
static uint32_t linear(const struct unwind_table *t, uint32_t pc)
{
	uint32_t rule = BSTACK_RULE_NONE;

	for (size_t i = 0; i < t->row_cnt && t->rows[i].pc <= pc; i++)
		rule = t->rows[i].rule;
	return rule;
}

static void check_pc(const struct unwind_table *t, const struct bstack_module *mod, uint32_t pc)
{
	const struct bstack_rule *r = unwind_rule(mod, pc);
	uint32_t got = r ? (uint32_t)(r - host.rules) - FIRST_RULE : BSTACK_RULE_NONE;

	if (got != linear(t, pc))
		test_fail(__FILE__, __LINE__, "pc %#x of %zu rows: rule %u, expected %u", pc,
			  t->row_cnt, got, linear(t, pc));
}

/* A page tells no more rows than hold in it. */
static void check_page(const struct unwind_table *t, uint32_t page)
{
	uint64_t start = (uint64_t)page << t->page_shift, end = start + (1ULL << t->page_shift);
	const struct bstack_page *p = &t->pages[page];

	CHECK(p->first <= p->last && p->last < t->row_cnt);
	CHECK(!p->first || t->rows[p->first].pc <= start);
	CHECK(p->first == p->last || t->rows[p->first + 1].pc > start);
	CHECK(p->first == p->last || t->rows[p->last].pc < end);
}

static void check_table(struct unwind_table *t)
{
	uint32_t room = unwind_table_room(t);
	struct bstack_module mod;

	CHECK(room >= t->row_cnt && room % BSTACK_ROWS_A_PAGE == 0);
	if (!CHECK_EQ(unwind_table_index(t), 0))
		return;
	CHECK(t->page_cnt > 0 && t->page_cnt <= room / BSTACK_ROWS_A_PAGE);
	CHECK(t->page_shift < 32); /* all that the lookup keeps of it */
	host.row_cnt = FIRST_ROW + room;
	host.page_cnt = host.row_cnt / BSTACK_ROWS_A_PAGE;
	host.rule_cnt = FIRST_RULE + RULES;
	host.rows = calloc(host.row_cnt, sizeof(*host.rows));
	host.pages = calloc(host.page_cnt, sizeof(*host.pages));
	host.rules = calloc(host.rule_cnt, sizeof(*host.rules));
	mod = unwind_table_place(t, host.rows, host.pages, host.rules, FIRST_ROW, FIRST_RULE);
	for (uint32_t i = 0; i < t->page_cnt; i++)
		check_page(t, i);
	for (size_t i = 0; i < t->row_cnt; i++)
		for (int by = -1; by <= 1; by++)
			check_pc(t, &mod, t->rows[i].pc + (uint32_t)by);
	for (uint64_t page = 0; page <= t->page_cnt; page++)
		for (int by = -1; by <= 1; by++)
			check_pc(t, &mod, (uint32_t)(page << t->page_shift) + (uint32_t)by);
	for (int i = 0; i < 300; i++)
		check_pc(t, &mod, (uint32_t)rnd() >> rnd() % 32);
	free(host.rows);
	free(host.pages);
	free(host.rules);
}

/* pcs from first on, with steps below max_step between them; *ret_cnt may turn out smaller than wanted. */
static uint32_t *pcs_make(uint64_t first, uint64_t max_step, size_t *cnt)
{
	uint32_t *pcs = calloc(*cnt, sizeof(*pcs));
	uint64_t pc = first;
	size_t n = 0;

	for (; n < *cnt && pc <= UINT32_MAX; n++) {
		pcs[n] = (uint32_t)pc;
		pc += 1 + rnd() % max_step;
	}
	*cnt = n;
	return pcs;
}

static const size_t cnts[] = { 1, 2, 7, 8, 9, 15, 16, 17, 63, 64, 65, 300 };

static void random_tables(void)
{
	static const uint64_t steps[] = { 1, 3, 64, 5000, 1 << 20, 1 << 27, 1ULL << 31 };

	for (size_t c = 0; c < ARRAY_SIZE(cnts); c++) {
		for (size_t s = 0; s < ARRAY_SIZE(steps); s++) {
			for (int round = 0; round < 4; round++) {
				uint64_t first = round ? rnd() >> (32 + rnd() % 32) : 0;
				size_t cnt = cnts[c];
				uint32_t *pcs = pcs_make(first, steps[s], &cnt);
				struct unwind_table t;

				table_make(&t, pcs, cnt);
				check_table(&t);
				unwind_table_release(&t);
				free(pcs);
			}
		}
	}
}

/* Few rows, the last of them as far away as can be. */
static void huge_gaps(void)
{
	static const uint32_t lasts[] = { 63, 64, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff };

	for (size_t c = 0; c < ARRAY_SIZE(cnts); c++) {
		for (size_t l = 0; l < ARRAY_SIZE(lasts); l++) {
			size_t cnt = lasts[l] < 100 && cnts[c] > 32 ? 32 : cnts[c];
			uint32_t *pcs = pcs_make(0, 2, &cnt);
			struct unwind_table t;

			pcs[cnt - 1] = lasts[l];
			table_make(&t, pcs, cnt);
			check_table(&t);
			unwind_table_release(&t);
			free(pcs);
		}
	}
}

/* All rows in one page, and nothing in the others. */
static void crowded_page(void)
{
	for (uint32_t base = 0; base < 0xf0000000; base += 0x0ffff000) {
		uint32_t pcs[200];
		struct unwind_table t;

		for (uint32_t i = 0; i < ARRAY_SIZE(pcs); i++)
			pcs[i] = base + 7 * i;
		pcs[ARRAY_SIZE(pcs) - 1] = 0xfffffff0;
		table_make(&t, pcs, ARRAY_SIZE(pcs));
		check_table(&t);
		unwind_table_release(&t);
	}
}

static void no_rows(void)
{
	struct unwind_table t = {};

	CHECK_EQ(unwind_table_index(&t), 0);
	CHECK_EQ(unwind_table_room(&t), 0);
	CHECK_EQ(t.page_cnt, 0);
	unwind_table_release(&t);
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		TEST(random_tables), TEST(huge_gaps), TEST(crowded_page), TEST(no_rows), {},
	};

	return test_main(tests, argc, argv);
}
