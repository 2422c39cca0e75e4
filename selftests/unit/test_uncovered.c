/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_uncovered.c - rows for .init, .fini and the entry point, from made files: the section is the last of the file,
 * so that the sanitizer sees a byte read behind it.
 */
#include "elf_made.h"
#include "unwind/table.h"

#define INIT (MADE_VADDR + 0x1000)

static uint64_t seed = 88172645463325252;
static uint64_t rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	return seed ^= seed << 17;
}

static int table_of(const struct made_elf *e, struct unwind_table *t)
{
	size_t sz;
	uint8_t *p = elf_made(e, &sz);
	int err = unwind_table_read_image(p, sz, t);

	free(p);
	return CHECK_EQ(err, 0) ? 0 : -1;
}

/* The rule at a link-time address, looked for from the first row on; NULL: none. */
static const struct bstack_rule *rule_at(const struct unwind_table *t, uint64_t vaddr)
{
	const struct bstack_rule *rule = NULL;

	for (size_t i = 0; i < t->row_cnt && t->base + t->rows[i].pc <= vaddr; i++)
		rule = t->rows[i].rule == BSTACK_RULE_NONE ? NULL : &t->rules[t->rows[i].rule];
	return rule;
}

/* What the CFA is from sp at vaddr, when it is found from sp and the return address is below; else -1. */
static int cfa_at(const struct unwind_table *t, uint64_t vaddr)
{
	const struct bstack_rule *r = rule_at(t, vaddr);

	return r && r->cfa == BSTACK_CFA_SP && r->ra_off == -8 && !r->saved ? r->cfa_off : -1;
}

#define PUSH          "\x48\x83\xec\x08"
#define POP           "\x48\x83\xc4\x08\xc3"
#define MOV           "\x48\x8b\x05\x11\x22\x33\x44"
#define TEST_AX       "\x48\x85\xc0"
#define PATTERN(text) text, sizeof(text) - 1

/* body: where CFA = sp + 16 begins; 0: no rows at all. */
static const struct {
	const char *bytes;
	size_t sz, body;
} patterns[] = {
	{ PATTERN(PUSH MOV TEST_AX "\x74\x02\xff\xd0" POP), 4 },
	{ PATTERN("\xf3\x0f\x1e\xfa" PUSH MOV TEST_AX "\x74\x02\xff\xd0" POP), 8 },
	{ PATTERN(PUSH POP), 4 },
	{ PATTERN("\xf3\x0f\x1e\xfa" PUSH POP), 8 },
	{ PATTERN(PUSH "\xe8\x01\x02\x03\x04\xe8\x48\x83\xc4\x08" POP), 4 },
	{ PATTERN(PUSH MOV TEST_AX "\x74\x06\xff\x15\x01\x02\x03\x04" POP), 4 },
	{ PATTERN(PUSH "\x48\x8b\x05\x48\x83\xc4\x08" TEST_AX POP),
	  4 },                                   /* an operand like the end */
	{ PATTERN(PUSH POP "\x90\x90\x90"), 4 }, /* filled up */
	{ PATTERN(PUSH MOV "\x90" TEST_AX POP), 0 },
	{ PATTERN(PUSH MOV "\x50" POP), 0 }, /* a push */
	{ PATTERN(PUSH MOV TEST_AX "\x75\x02\xff\xd0" POP), 0 },
	{ PATTERN(PUSH MOV TEST_AX), 0 },
	{ PATTERN("\x48\x83\xec\x10" POP), 0 },
	{ PATTERN("\x55" PUSH POP), 0 },
	{ PATTERN("\x48\x83\xc4\x08\xc3"), 0 },
};

static void check_pattern(const char *section, size_t i)
{
	struct made_elf e = { .function_cnt = 1,
			      .extra = section,
			      .extra_type = SHT_PROGBITS,
			      .extra_vaddr = INIT,
			      .bytes = patterns[i].bytes,
			      .sz = patterns[i].sz };
	size_t body = patterns[i].body, ret = e.sz - 1;
	unsigned int failures = test_failures;
	struct unwind_table t;

	if (table_of(&e, &t))
		return;
	while (body && patterns[i].bytes[ret] == '\x90')
		ret--;
	CHECK_EQ(cfa_at(&t, MADE_VADDR), 8); /* what was there stays */
	CHECK_EQ(cfa_at(&t, MADE_VADDR + MADE_PUSH), 16);
	CHECK_EQ(t.row_cnt, body ? MADE_ROWS + 4 : MADE_ROWS);
	for (size_t at = 0; at < e.sz + 4; at++)
		CHECK_EQ(cfa_at(&t, INIT + at), !body || at > ret        ? -1
						: at < body || at == ret ? 8
									 : 16);
	CHECK(!rule_at(&t, INIT - 1));
	if (failures != test_failures)
		printf("# pattern %zu\n", i);
	unwind_table_release(&t);
}

static void known_patterns(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(patterns); i++) {
		check_pattern(".init", i);
		check_pattern(".fini", i);
	}
}

/* Cut anywhere, nothing is known of it. */
static void cut_patterns(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(patterns); i++) {
		for (size_t sz = 1; sz < patterns[i].sz && !strchr(patterns[i].bytes, 0x90); sz++) {
			struct made_elf e = { .function_cnt = 1,
					      .extra = ".init",
					      .extra_type = SHT_PROGBITS,
					      .extra_vaddr = INIT,
					      .bytes = patterns[i].bytes,
					      .sz = sz };
			struct unwind_table t;

			if (table_of(&e, &t))
				return;
			CHECK_EQ(t.row_cnt, MADE_ROWS);
			unwind_table_release(&t);
		}
	}
}

/* Where it must not be looked at, or rows are there already. */
static void other_sections(void)
{
	static char big[257 + sizeof(PUSH POP)];
	static const struct {
		const char *name;
		uint32_t type;
		uint64_t vaddr;
		bool is_big;
	} rows[] = {
		{ ".text", SHT_PROGBITS, INIT, false },
		{ ".init_array", SHT_PROGBITS, INIT, false },
		{ ".init", SHT_NOBITS, INIT, false },
		{ ".init", SHT_PROGBITS, INIT, true },
		{ ".init", SHT_PROGBITS, MADE_VADDR, false },     /* covered */
		{ ".init", SHT_PROGBITS, MADE_VADDR - 9, false }, /* below all code */
		{ ".init", SHT_PROGBITS, MADE_VADDR + MADE_FUNCTION - 8,
		  false }, /* into the next */
		{ ".init", SHT_PROGBITS, UINT64_MAX - 3, false },
	};

	memcpy(big, PUSH POP, sizeof(PUSH POP) - 1);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct made_elf e = { .function_cnt = 2,
				      .extra = rows[i].name,
				      .extra_type = rows[i].type,
				      .extra_vaddr = rows[i].vaddr,
				      .bytes = rows[i].is_big ? big : PUSH POP,
				      .sz = rows[i].is_big ? sizeof(big) : sizeof(PUSH POP) - 1 };
		struct unwind_table t;

		if (table_of(&e, &t))
			return;
		if (!CHECK_EQ(t.row_cnt, 2 * MADE_ROWS))
			printf("# section %zu\n", i);
		CHECK_EQ(cfa_at(&t, MADE_VADDR), 8);
		CHECK_EQ(cfa_at(&t, MADE_VADDR + MADE_FUNCTION), 8);
		unwind_table_release(&t);
	}
}

/* Right before the next function there is room for it. */
static void fits_before_the_next(void)
{
	struct made_elf e = { .function_cnt = 2,
			      .extra = ".init",
			      .extra_type = SHT_PROGBITS,
			      .extra_vaddr = MADE_VADDR + MADE_FUNCTION - 9,
			      .bytes = PUSH POP,
			      .sz = 9 };
	struct unwind_table t;

	if (table_of(&e, &t))
		return;
	CHECK_EQ(cfa_at(&t, e.extra_vaddr), 8);
	CHECK_EQ(cfa_at(&t, e.extra_vaddr + 4), 16);
	CHECK_EQ(cfa_at(&t, e.extra_vaddr + 8), 8);
	CHECK_EQ(cfa_at(&t, MADE_VADDR + MADE_FUNCTION), 8);
	CHECK_EQ(cfa_at(&t, MADE_VADDR + MADE_FUNCTION + MADE_PUSH), 16);
	unwind_table_release(&t);
}

static void entry_point(void)
{
	static const struct {
		uint64_t entry, end; /* where the root's row ends; 0: there is none */
	} rows[] = {
		{ 0, 0 },
		{ MADE_VADDR, 0 }, /* covered */
		{ MADE_VADDR + MADE_COVERED - 1, 0 },
		{ MADE_VADDR + MADE_COVERED, MADE_VADDR + MADE_FUNCTION }, /* up to the next */
		{ MADE_VADDR + MADE_FUNCTION - 1, MADE_VADDR + MADE_FUNCTION },
		{ INIT, INIT + 128 },
		{ MADE_VADDR - 1, 0 },
		{ UINT64_MAX, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct made_elf e = { .function_cnt = 5, .entry = rows[i].entry };
		uint64_t end = rows[i].end;
		const struct bstack_rule *r;
		struct unwind_table t;

		if (table_of(&e, &t))
			return;
		for (uint64_t at = rows[i].entry; at < end; at++) {
			r = rule_at(&t, at);
			CHECK(r && r->cfa == BSTACK_CFA_ROOT);
		}
		r = end ? rule_at(&t, end) : rule_at(&t, rows[i].entry);
		CHECK(!r || r->cfa != BSTACK_CFA_ROOT);
		for (uint64_t at = MADE_VADDR; at < MADE_VADDR + 5 * MADE_FUNCTION;
		     at += MADE_FUNCTION) {
			CHECK_EQ(cfa_at(&t, at), 8);
			CHECK_EQ(cfa_at(&t, at + MADE_COVERED - 1), 16);
		}
		unwind_table_release(&t);
	}
}

/* Bytes put together from what is known, and spoiled: read within their bounds, rows in order. */
static void spoiled_bytes(void)
{
	for (int round = 0; round < 20000; round++) {
		size_t i = rnd() % ARRAY_SIZE(patterns), sz = 1 + rnd() % patterns[i].sz;
		uint8_t bytes[64];
		struct made_elf e = { .function_cnt = 2,
				      .entry = rnd() % 4 ? MADE_VADDR + rnd() % 0x100 : rnd(),
				      .extra = rnd() % 2 ? ".init" : ".fini",
				      .extra_type = SHT_PROGBITS,
				      .extra_vaddr = rnd() % 8 ? MADE_VADDR + rnd() % 0x100 : rnd(),
				      .bytes = bytes,
				      .sz = sz };
		struct unwind_table t;

		memcpy(bytes, patterns[i].bytes, sz);
		if (round % 2)
			bytes[rnd() % sz] ^= (uint8_t)(1 << rnd() % 8);
		if (table_of(&e, &t))
			return;
		for (size_t k = 1; k < t.row_cnt; k++)
			CHECK(t.rows[k].pc > t.rows[k - 1].pc);
		CHECK_EQ(cfa_at(&t, MADE_VADDR + MADE_PUSH), 16); /* never over what has rows */
		CHECK_EQ(cfa_at(&t, MADE_VADDR + MADE_COVERED - 1), 16);
		CHECK_EQ(cfa_at(&t, MADE_VADDR + MADE_FUNCTION), 8);
		unwind_table_release(&t);
	}
}

/* Code without rows is stepped by frame pointer where the file has hardly any rows, or is Go's. */
static void files_without_unwind_tables(void)
{
	static const struct {
		size_t bare_sz;
		const char *section;
		uint32_t instead;
		size_t code_sz; /* of the section, when it is code */
	} cases[] = {
		{ 0, NULL, 0, 0 },
		{ 140, NULL, 0, 0 }, /* 320 bytes of 636 are covered */
		{ 160, NULL, BSTACK_MODULE_FP, 0 },
		{ 100000, NULL, BSTACK_MODULE_FP, 0 },
		{ 0, ".gopclntab", BSTACK_MODULE_FP, 0 },
		{ 0, ".note.go.buildid", BSTACK_MODULE_FP, 0 },
		{ 0, ".gopher", 0, 0 },
		{ 100000, ".text", 0, 480 }, /* the rest of the segment is constants */
		{ 0, ".text", BSTACK_MODULE_FP, 700 },
	};
	static const uint8_t bytes[1024];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct made_elf e = { .id = 1,
				      .function_cnt = 10,
				      .bare_sz = cases[i].bare_sz,
				      .extra = cases[i].section,
				      .extra_type = SHT_PROGBITS,
				      .extra_flags = cases[i].code_sz ? SHF_EXECINSTR : 0,
				      .bytes = bytes,
				      .sz = cases[i].code_sz   ? cases[i].code_sz
					    : cases[i].section ? 2
							       : 0 };
		struct bstack_row rows[64];
		struct bstack_page pages[8];
		struct bstack_rule rules[8];
		struct unwind_table t;
		size_t sz;
		uint8_t *file = elf_made(&e, &sz);

		if (CHECK_EQ(unwind_table_read_image(file, sz, &t), 0)) {
			struct bstack_module m = unwind_table_place(&t, rows, pages, rules, 0, 0);

			CHECK(m.row_cnt > 0);
			CHECK_EQ(m.instead, cases[i].instead);
			unwind_table_release(&t);
		}
		free(file);
	}
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		TEST(known_patterns),
		TEST(cut_patterns),
		TEST(other_sections),
		TEST(fits_before_the_next),
		TEST(entry_point),
		TEST(spoiled_bytes),
		TEST(files_without_unwind_tables),
		{},
	};

	return test_main(tests, argc, argv);
}
