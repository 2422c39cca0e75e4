/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_unwind_golden.c - recorded stacks (selftests/golden/stacks) through the table builder and the step: exactly libdwfl's
 * chain comes out with its registers, from the words that are there and no others; and the same with words taken away or
 * made false.
 */
#include <dirent.h>
#include <stddef.h>

#include "golden_read.h"

/* What the steps look things up in. */
static struct {
	struct bstack_row *rows;
	struct bstack_page *pages;
	struct bstack_rule *rules;
	struct bstack_module modules[MODULES_MAX];
	const struct bstack_mapping *mappings;
	size_t row_cnt, page_cnt, rule_cnt, module_cnt, mapping_cnt;
	size_t look_ups, reads, reads_elsewhere, pairs;
	bool has_no_pairs;              /* two words cannot be read at once */
	const struct bstack_rule *rule; /* looked up last */
} host;

static int host_read(uint64_t addr, __u64 *ret)
{
	struct golden_word *w = word_at(addr);

	host.reads++;
	if (w && !w->is_gone) {
		w->is_read = true;
		*ret = w->value;
		return 0;
	}
	host.reads_elsewhere++;
	return -1;
}

/* One word alone is read by the step afterwards. */
static int host_read_pair(uint64_t addr, __u64 *ret)
{
	const struct golden_word *low = word_at(addr), *high = word_at(addr + 8);

	host.reads += 2;
	if (host.has_no_pairs || !low || low->is_gone || !high || high->is_gone)
		return -1;
	host.pairs++;
	ret[0] = low->value;
	ret[1] = high->value;
	return 0;
}

#define LOOKUP(what, i)           (host.look_ups++, (size_t)(i) < host.what##_cnt ? &host.what##s[i] : NULL)
#define UNWIND_ROW(i)             LOOKUP(row, i)
#define UNWIND_PAGE(i)            LOOKUP(page, i)
#define UNWIND_RULE(i)            (host.rule = LOOKUP(rule, i))
#define UNWIND_MODULE(i)          LOOKUP(module, i)
#define UNWIND_MAPPING(i)         LOOKUP(mapping, i)
#define UNWIND_READ(addr, p)      host_read(addr, p)
#define UNWIND_READ_PAIR(addr, p) host_read_pair(addr, p)

#include "bpf/unwind.h"

#define LOOK_UPS_MAX (UNWIND_MAPPING_MAX + UNWIND_SEARCH_MAX + 7)
#define READS_MAX \
	6 /* of one step: for the CFA 2, rbp, a pair and then one word for the return address */

static uint64_t seed = 1442695040888963407ULL;
static uint64_t rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	return seed ^= seed << 17;
}

static int mapping_cmp(const void *a, const void *b)
{
	const struct bstack_mapping *x = a, *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

/* All tables behind one another, as they lie in the arrays that BPF reads. */
static bool host_fill(void)
{
	size_t row_cnt = 0, rule_cnt = 0;

	for (size_t i = 0; i < golden.module_cnt; i++) {
		struct unwind_table *t = &golden.tables[i];

		unwind_table_finish(t);
		if (!CHECK(t->row_cnt) || !CHECK_EQ(unwind_table_index(t), 0))
			return false;
		row_cnt += unwind_table_room(t);
		rule_cnt += t->rule_cnt;
	}
	host.rows = calloc(row_cnt + 1, sizeof(*host.rows));
	host.pages = calloc(row_cnt / BSTACK_ROWS_A_PAGE + 1, sizeof(*host.pages));
	host.rules = calloc(rule_cnt + 1, sizeof(*host.rules));
	if (!CHECK(host.rows && host.pages && host.rules))
		return false;
	for (size_t i = 0; i < golden.module_cnt; i++) {
		const struct unwind_table *t = &golden.tables[i];

		host.modules[i] =
			unwind_table_place(t, host.rows, host.pages, host.rules,
					   (uint32_t)host.row_cnt, (uint32_t)host.rule_cnt);
		host.row_cnt += unwind_table_room(t);
		host.rule_cnt += t->rule_cnt;
	}
	host.page_cnt = host.row_cnt / BSTACK_ROWS_A_PAGE;
	qsort(golden.mappings, golden.mapping_cnt, sizeof(*golden.mappings), mapping_cmp);
	host.mappings = golden.mappings;
	host.mapping_cnt = golden.mapping_cnt;
	host.module_cnt = golden.module_cnt;
	return true;
}

static void golden_release(void)
{
	for (size_t i = 0; i < golden.module_cnt; i++)
		unwind_table_release(&golden.tables[i]);
	free(host.rows);
	free(host.pages);
	free(host.rules);
	memset(&golden, 0, sizeof(golden));
	memset(&host, 0, sizeof(host));
}

/* run() for each file. */
static size_t for_each_golden(void (*run)(void))
{
	char names[FILES_MAX][256];
	size_t cnt = 0;
	DIR *d = opendir(GOLDEN_DIR);

	if (!CHECK(d))
		return 0;
	for (struct dirent *e = readdir(d); e && CHECK(cnt < FILES_MAX); e = readdir(d))
		if (strstr(e->d_name, ".txt"))
			snprintf(names[cnt++], sizeof(names[0]), "%s", e->d_name);
	closedir(d);
	for (size_t i = 0; i < cnt; i++) {
		if (golden_read(names[i]) && host_fill())
			run();
		golden_release();
	}
	return cnt;
}

/* The row in force at pc, from the module's first on; the first when none is. */
static uint32_t row_at(const struct bstack_module *m, uint64_t pc)
{
	uint32_t i = m->row_cnt - 1;

	while (i && host.rows[m->first_row + i].pc > pc)
		i--;
	return i;
}

static void rule_is_found(const struct bstack_module *m, uint32_t pc)
{
	const struct bstack_row *row = &host.rows[m->first_row + row_at(m, pc)];
	bool has_rule = row->pc <= pc && row->rule != BSTACK_RULE_NONE;

	if (unwind_rule(m, pc) != (has_rule ? &host.rules[m->first_rule + row->rule] : NULL))
		test_fail(__FILE__, __LINE__, "%s: another rule is found at %#x", golden.path, pc);
}

/* Each page's rows are those of its first and its last byte, and by them the rule of each pc is found. */
static void index_is_exact(void)
{
	for (size_t i = 0; i < host.module_cnt; i++) {
		const struct bstack_module *m = &host.modules[i];
		const struct bstack_page *pages = &host.pages[m->first_row / BSTACK_ROWS_A_PAGE];
		const struct bstack_row *rows = &host.rows[m->first_row];

		for (uint64_t page = 0; page < m->page_cnt; page++) {
			uint64_t start = page << m->page_shift, end = (page + 1) << m->page_shift;

			if (pages[page].first != row_at(m, start) ||
			    pages[page].last != row_at(m, end - 1))
				test_fail(__FILE__, __LINE__,
					  "%s: page %zu of %u has rows %u to %u", golden.path,
					  (size_t)page, m->page_cnt, pages[page].first,
					  pages[page].last);
		}
		for (uint32_t row = 0; row < m->row_cnt; row++) {
			rule_is_found(m, rows[row].pc);
			rule_is_found(m, rows[row].pc - (rows[row].pc > 0));
		}
	}
}

static void page_index(void)
{
	for_each_golden(index_is_exact);
}

/*
 * What each step needs, told by its rule and libdwfl's registers alone: the word of the return address, and the words
 * of what the canonical frame address (CFA) is made from. A register that the callee saved is needed where
 * a CFA is made from it, however many frames later, or nowhere.
 */
static struct {
	const struct bstack_rule *rules[BSTACK_FRAMES]; /* of each step */
	size_t cnt;                                     /* steps */
	/* The word in which frame i has each register; 0: it is still in the register itself */
	uint64_t homes[BSTACK_FRAMES + 1][BSTACK_REGS_ALL];
} model;

static uint64_t expected_reg(size_t i, uint32_t reg)
{
	const struct golden_word *w = word_at(model.homes[i][reg]);

	if (reg < BSTACK_REGS)
		return golden.frames[i].regs[reg];
	return w ? w->value : golden.at.regs[reg];
}

static void need(size_t step, uint64_t addr)
{
	struct golden_word *w = addr ? word_at(addr) : NULL;

	if (addr && !w)
		test_fail(__FILE__, __LINE__, "%s: step %zu needs %#llx, which is not there",
			  golden.path, step, (long long)addr);
	if (w && step < w->needed)
		w->needed = step;
}

/* struct sigcontext of the x86-64 ABI, in a struct ucontext at sp: in this order, then sp and ip */
static const uint8_t greg_order[BSTACK_REGS_ALL] = {
	BSTACK_R8,  BSTACK_R9,  BSTACK_R10, BSTACK_R11, BSTACK_R12,
	BSTACK_R13, BSTACK_R14, BSTACK_R15, BSTACK_DI,  BSTACK_SI,
	BSTACK_BP,  BSTACK_BX,  BSTACK_DX,  BSTACK_AX,  BSTACK_CX,
};

static void model_signal(size_t i)
{
	uint64_t gregs = golden.frames[i].sp + 40;

	for (size_t g = 0; g < BSTACK_REGS_ALL; g++)
		model.homes[i + 1][greg_order[g]] = gregs + 8 * g;
	need(i, gregs + 8 * BSTACK_REGS_ALL);
	need(i, gregs + 8 * (BSTACK_REGS_ALL + 1));
}

static void model_step(size_t i)
{
	const struct bstack_rule *r = model.rules[i];
	const uint64_t *homes = model.homes[i];
	uint64_t cfa = golden.frames[i + 1].sp;
	bool is_by_reg = r->cfa == BSTACK_CFA_REG || r->cfa == BSTACK_CFA_REG_AT;
	uint64_t from = is_by_reg ? expected_reg(i, r->reg) : golden.frames[i].sp;

	if (is_by_reg)
		need(i, homes[r->reg]);
	if (r->cfa == BSTACK_CFA_SP_AT || r->cfa == BSTACK_CFA_REG_AT)
		need(i, from + (uint64_t)(int64_t)r->cfa_off);
	if (r->saved_bp)
		need(i, homes[BSTACK_BP]);
	if (r->ra_off == BSTACK_RA_IN_REG)
		need(i, homes[r->cfa_add]);
	else
		need(i, cfa + (uint64_t)(int64_t)r->ra_off);
	for (uint32_t reg = 0; reg < BSTACK_REGS; reg++) {
		uint64_t off = (uint64_t)(int64_t)r->off[reg];

		if (r->saved >> reg & 1)
			model.homes[i + 1][reg] = cfa + off;
		else if (r->saved_bp >> reg & 1)
			model.homes[i + 1][reg] = expected_reg(i, BSTACK_BP) + off;
	}
}

/* From the rules that the steps look up. */
static void model_make(void)
{
	struct bstack_process p = { .cnt = (uint32_t)golden.mapping_cnt };
	struct unwind_state s = golden.at;
	struct bstack_step step;

	memset(&model, 0, sizeof(model));
	for (size_t i = 0; i < golden.word_cnt; i++)
		golden.words[i].needed = NOWHERE;
	for (size_t i = 0; i < BSTACK_FRAMES && i < golden.frame_cnt; i++) {
		host.rule = NULL;
		unwind_step(&p, &s, &step);
		if (!host.rule || host.rule->cfa >= BSTACK_CFA_ROOT || i + 1 == golden.frame_cnt)
			break;
		model.rules[model.cnt++] = host.rule;
		memcpy(model.homes[i + 1], model.homes[i], sizeof(model.homes[0]));
		if (host.rule->cfa == BSTACK_CFA_SIGNAL)
			model_signal(i);
		else
			model_step(i);
	}
}

/* Each register is libdwfl's, or lies in the word that is taken away, and then it cannot be read. */
static bool is_at(const struct unwind_state *s, size_t i)
{
	bool is = s->ip == golden.frames[i].pc && s->sp == golden.frames[i].sp;

	for (uint32_t reg = 0; reg < BSTACK_REGS_ALL; reg++) {
		const struct golden_word *w = word_at(model.homes[i][reg]);
		__u64 value;

		if (unwind_reg(s, reg, &value))
			is = is && w && w->is_gone;
		else
			is = is && !(w && w->is_gone) && value == expected_reg(i, reg);
	}
	return is;
}

/* Step from the start; the end, and how many frames were found as the golden has them. */
static int walk(size_t *ret_cnt)
{
	struct bstack_process p = { .cnt = (uint32_t)golden.mapping_cnt };
	struct unwind_state s = golden.at;
	struct bstack_step step;
	int end = 0;
	size_t i;

	for (i = 0; i < BSTACK_FRAMES && !end; i++) {
		if (i >= golden.frame_cnt || !is_at(&s, i))
			break;
		end = unwind_step(&p, &s, &step);
		if (memcmp(&step, &golden.frames[i].step, sizeof(step)))
			break;
	}
	*ret_cnt = i;
	return end ? end : i == BSTACK_FRAMES ? BSTACK_END_TRUNCATED : 0;
}

static size_t steps_expected(void)
{
	return golden.frame_cnt < BSTACK_FRAMES ? golden.frame_cnt : BSTACK_FRAMES;
}

static void walk_is_whole(const char *how)
{
	size_t cnt;
	int end = walk(&cnt);

	if (end != golden.end || cnt != steps_expected())
		test_fail(__FILE__, __LINE__, "%s%s: %zu of %zu frames, end %d, expected %d",
			  golden.path, how, cnt, golden.frame_cnt, end, golden.end);
}

/* Of the step from the last frame of a stack that is deeper: nobody told where that leads. */
static bool is_beyond(const struct golden_word *w)
{
	return golden.end == BSTACK_END_TRUNCATED && w->step + 1 == golden.frame_cnt;
}

static unsigned int kinds_seen; /* of enum bstack_cfa, among the rules that were followed */
static bool has_by_bp, has_vdso, has_kernel;
static size_t pairs_read; /* both words of them */

static void chain_is_libdwfls(void)
{
	model_make();
	walk_is_whole("");
	pairs_read += host.pairs;
	host.has_no_pairs = true;
	walk_is_whole(", word by word");
	if (host.reads_elsewhere)
		test_fail(__FILE__, __LINE__, "%s: %zu words read that are not there", golden.path,
			  host.reads_elsewhere);
	for (size_t i = 0; i < golden.word_cnt; i++)
		if (!word_at(golden.words[i].addr)->is_read && !is_beyond(&golden.words[i]))
			test_fail(__FILE__, __LINE__, "%s: %#llx was not read", golden.path,
				  (long long)golden.words[i].addr);
	for (size_t i = 0; i < model.cnt; i++) {
		kinds_seen |= 1U << model.rules[i]->cfa;
		has_by_bp |= model.rules[i]->saved_bp;
	}
	if (golden.end == BSTACK_END_ROOT && host.rule)
		kinds_seen |= 1U << host.rule->cfa; /* the last one */
	has_vdso |= golden.has_vdso;
	has_kernel |= strstr(golden.path, "-kernel") != NULL;
}

/* The chains, and that there is one of every kind. */
static void chains(void)
{
	size_t cnt = for_each_golden(chain_is_libdwfls);

	printf("# %zu stacks, %zu pairs of words read at once\n", cnt, pairs_read);
	CHECK(cnt >= 20);
	CHECK(pairs_read > 0);
	CHECK(kinds_seen & 1U << BSTACK_CFA_SP);
	CHECK(kinds_seen & 1U << BSTACK_CFA_REG);
	CHECK(kinds_seen & 1U << BSTACK_CFA_SP_AT);
	CHECK(kinds_seen & 1U << BSTACK_CFA_REG_AT);
	CHECK(kinds_seen & 1U << BSTACK_CFA_PLT);
	CHECK(kinds_seen & 1U << BSTACK_CFA_SIGNAL);
	CHECK(kinds_seen & 1U << BSTACK_CFA_ROOT);
	CHECK(has_by_bp);
	CHECK(has_vdso);
	CHECK(has_kernel);
}

static size_t needed_soon, needed_later, needed_nowhere; /* words that were taken away */

/*
 * Without one of its words a stack ends in the step that needs it, and all frames before are right but for the register
 * that lies there. When no step needs it, nothing else changes at all.
 */
static void ends_where_word_is_needed(void)
{
	model_make();
	for (size_t i = 0; i < golden.word_cnt; i++) {
		struct golden_word *w = &golden.words[i];
		bool is_needed = w->needed != NOWHERE;
		size_t cnt, expected = is_needed ? w->needed + 1 : steps_expected();
		int end, expected_end = is_needed ? BSTACK_END_UNREADABLE : golden.end;

		if (word_at(w->addr) != w || is_beyond(w))
			continue;
		needed_soon += is_needed && w->needed == w->step;
		needed_later += is_needed && w->needed > w->step;
		needed_nowhere += !is_needed;
		w->is_gone = true;
		end = walk(&cnt);
		w->is_gone = false;
		if (end != expected_end || cnt != expected)
			test_fail(__FILE__, __LINE__,
				  "%s: without %#llx: %zu frames, end %d, expected %zu, end %d",
				  golden.path, (long long)w->addr, cnt, end, expected,
				  expected_end);
	}
}

static void words_missing(void)
{
	for_each_golden(ends_where_word_is_needed);
	printf("# words needed by their step %zu, by a later one %zu, by none %zu\n", needed_soon,
	       needed_later, needed_nowhere);
	CHECK(needed_soon > 0);
	CHECK(needed_later > 0);
	CHECK(needed_nowhere > 0);
}

/* One thing that BPF reads made false: random bytes in place of some that were right. */
static void falsify(void)
{
	struct {
		void *at;
		size_t sz;
	} what[] = {
		{ &golden.at, offsetof(struct unwind_state, is_caller) },
		{ &golden.at.mapping, sizeof(golden.at.mapping) },
		{ &golden.words[rnd() % golden.word_cnt].value, 8 },
		{ &host.rows[rnd() % host.row_cnt], sizeof(*host.rows) },
		{ &host.pages[rnd() % host.page_cnt], sizeof(*host.pages) },
		{ &host.rules[rnd() % host.rule_cnt], sizeof(*host.rules) },
		{ &host.modules[rnd() % host.module_cnt], sizeof(*host.modules) },
		{ &golden.mappings[rnd() % golden.mapping_cnt], sizeof(*golden.mappings) },
	};
	size_t i = rnd() % ARRAY_SIZE(what), at = rnd() % what[i].sz;

	/* A byte, or what looks right but is another's: an address of the stack, a place in a table. */
	((uint8_t *)what[i].at)[at] = (uint8_t)rnd();
	if (rnd() % 4 == 0)
		golden.words[rnd() % golden.word_cnt].value =
			golden.words[rnd() % golden.word_cnt].addr;
}

/*
 * Whatever it is: each step is bounded, and the stack pointer only grows, except out of a signal frame. It
 * stays where it is when the return address is in a register.
 */
static void walk_false(void)
{
	struct bstack_process p = { .cnt = (uint32_t)golden.mapping_cnt };
	struct unwind_state s = golden.at;

	for (size_t i = 0; i < BSTACK_FRAMES; i++) {
		uint64_t sp = s.sp;
		struct bstack_step step;
		bool is_signal, is_in_reg;
		int end;

		host.look_ups = host.reads = 0;
		host.rule = NULL;
		end = unwind_step(&p, &s, &step);
		is_signal = host.rule && host.rule->cfa == BSTACK_CFA_SIGNAL;
		is_in_reg = host.rule && host.rule->ra_off == BSTACK_RA_IN_REG;
		if (host.look_ups > LOOK_UPS_MAX || host.reads > READS_MAX)
			test_fail(__FILE__, __LINE__, "%s: %zu look-ups, %zu reads in one step",
				  golden.path, host.look_ups, host.reads);
		if (end) {
			CHECK(end >= BSTACK_END_ROOT && end <= BSTACK_END_NEVER);
			return;
		}
		if (!is_signal && (s.sp < sp || (s.sp == sp && !is_in_reg)))
			test_fail(__FILE__, __LINE__, "%s: the stack pointer fell", golden.path);
	}
}

static void holds_when_false(void)
{
	static struct golden kept;
	struct bstack_row *rows = malloc(host.row_cnt * sizeof(*rows));
	struct bstack_page *pages = malloc(host.page_cnt * sizeof(*pages));
	struct bstack_rule *rules = malloc(host.rule_cnt * sizeof(*rules));
	struct bstack_module modules[MODULES_MAX];

	if (!CHECK(rows && pages && rules && golden.word_cnt))
		goto out;
	kept = golden;
	memcpy(rows, host.rows, host.row_cnt * sizeof(*rows));
	memcpy(pages, host.pages, host.page_cnt * sizeof(*pages));
	memcpy(rules, host.rules, host.rule_cnt * sizeof(*rules));
	memcpy(modules, host.modules, sizeof(modules));
	for (int round = 0; round < 2000 && test_failures < 20; round++) {
		for (uint64_t n = rnd() % 4 + 1; n; n--)
			falsify();
		walk_false();
		golden.at = kept.at;
		memcpy(golden.words, kept.words, sizeof(kept.words));
		memcpy(golden.mappings, kept.mappings, sizeof(kept.mappings));
		memcpy(host.rows, rows, host.row_cnt * sizeof(*rows));
		memcpy(host.pages, pages, host.page_cnt * sizeof(*pages));
		memcpy(host.rules, rules, host.rule_cnt * sizeof(*rules));
		memcpy(host.modules, modules, sizeof(modules));
	}
out:
	free(rows);
	free(pages);
	free(rules);
}

static void words_and_tables_false(void)
{
	for_each_golden(holds_when_false);
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		TEST(page_index),
		TEST(chains),
		TEST(words_missing),
		TEST(words_and_tables_false),
		{},
	};

	return test_main(tests, argc, argv);
}
