/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_unwind_golden.c - recorded stacks (selftests/golden) through the table builder and the step: exactly libdwfl's
 * chain comes out, by exactly the words that are there; and the same with words taken away or made false.
 */
#include <dirent.h>
#include <limits.h>

#include "test.h"
#include "unwind/table.h"

#define GOLDEN_DIR  "selftests/golden"
#define FILES_MAX   64
#define MODULES_MAX 16
#define CIES_MAX    64
#define WORDS_MAX   1024
#define CFI_MAX_SZ  2048
#define LINE_MAX_SZ (3 * CFI_MAX_SZ)

struct cie_bytes {
	unsigned int module;
	unsigned long long id;
	uint8_t bytes[CFI_MAX_SZ];
	size_t len;
};

struct golden_frame {
	uint64_t pc;
	uint64_t sp, regs[BSTACK_REGS];
	struct bstack_step step;
};

struct golden_word {
	uint64_t addr, value;
	size_t step; /* that reads it */
	bool is_gone, is_read;
};

static struct golden {
	char path[PATH_MAX];
	struct unwind_state at;
	unsigned int ids[MODULES_MAX]; /* as the file numbers them */
	uint64_t bases[MODULES_MAX];
	struct unwind_table tables[MODULES_MAX];
	size_t module_cnt;
	struct bstack_mapping mappings[MODULES_MAX];
	size_t mapping_cnt;
	struct cie_bytes cies[CIES_MAX];
	size_t cie_cnt;
	struct golden_frame frames[BSTACK_FRAMES + 1];
	size_t frame_cnt;
	struct golden_word words[WORDS_MAX];
	size_t word_cnt;
	int end; /* enum bstack_end */
	bool has_vdso;
} golden;

/* What the steps look things up in. */
static struct {
	struct bstack_row *rows;
	struct bstack_rule *rules;
	struct bstack_module modules[MODULES_MAX];
	const struct bstack_mapping *mappings;
	size_t row_cnt, rule_cnt, module_cnt, mapping_cnt;
	size_t look_ups, reads, reads_elsewhere;
	const struct bstack_rule *rule; /* looked up last */
} host;

static int host_read(uint64_t addr, __u64 *ret)
{
	host.reads++;
	for (size_t i = 0; i < golden.word_cnt; i++) {
		if (golden.words[i].addr != addr || golden.words[i].is_gone)
			continue;
		golden.words[i].is_read = true;
		*ret = golden.words[i].value;
		return 0;
	}
	host.reads_elsewhere++;
	return -1;
}

#define LOOKUP(what, i)      (host.look_ups++, (size_t)(i) < host.what##_cnt ? &host.what##s[i] : NULL)
#define UNWIND_ROW(i)        LOOKUP(row, i)
#define UNWIND_RULE(i)       (host.rule = LOOKUP(rule, i))
#define UNWIND_MODULE(i)     LOOKUP(module, i)
#define UNWIND_MAPPING(i)    LOOKUP(mapping, i)
#define UNWIND_READ(addr, p) host_read(addr, p)

#include "bpf/unwind.h"

#define LOOK_UPS_MAX (UNWIND_MAPPING_MAX + UNWIND_SEARCH_MAX + 4)
#define READS_MAX    (BSTACK_REGS + 17) /* of one step */

static uint64_t seed = 1442695040888963407ULL;
static uint64_t rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	return seed ^= seed << 17;
}

/* --- reading a golden; each line is "WORD REST" --- */

static int register_index(const char *name)
{
	static const char *const names[BSTACK_REGS_ALL] = {
		[BSTACK_BP] = "bp",   [BSTACK_BX] = "bx",   [BSTACK_R12] = "r12",
		[BSTACK_R13] = "r13", [BSTACK_R14] = "r14", [BSTACK_R15] = "r15",
		[BSTACK_AX] = "ax",   [BSTACK_CX] = "cx",   [BSTACK_DX] = "dx",
		[BSTACK_SI] = "si",   [BSTACK_DI] = "di",   [BSTACK_R8] = "r8",
		[BSTACK_R9] = "r9",   [BSTACK_R10] = "r10", [BSTACK_R11] = "r11",
	};

	for (int i = 0; i < BSTACK_REGS_ALL; i++)
		if (!strcmp(name, names[i]))
			return i;
	return -1;
}

/* Where the walk begins. */
static bool take_register(const char *name, const char *s)
{
	int i = register_index(name);
	unsigned long long v;

	if (sscanf(s, "%llx", &v) != 1)
		return false;
	if (!strcmp(name, "ip"))
		golden.at.ip = v;
	else if (!strcmp(name, "sp"))
		golden.at.sp = v;
	else if (i >= 0)
		golden.at.regs[i] = v;
	else
		return false;
	return true;
}

/* One that is not as in the frame before. */
static bool take_change(const char *s)
{
	struct golden_frame *f = golden.frame_cnt ? &golden.frames[golden.frame_cnt - 1] : NULL;
	unsigned long long v;
	char name[8];
	int i;

	if (!f || sscanf(s, "%7s %llx", name, &v) != 2)
		return false;
	i = register_index(name);
	if (!strcmp(name, "sp"))
		f->sp = v;
	else if (i >= 0 && i < BSTACK_REGS)
		f->regs[i] = v;
	else
		return false;
	return true;
}

/* A file's number of a module to ours; MODULES_MAX: there is none. */
static size_t module_find(unsigned int id)
{
	size_t i = 0;

	while (i < golden.module_cnt && golden.ids[i] != id)
		i++;
	return i < golden.module_cnt ? i : MODULES_MAX;
}

static bool take_module(const char *s)
{
	unsigned long long base;
	unsigned int id;
	char name[64];

	if (sscanf(s, "%u %llx %63s", &id, &base, name) != 3 || golden.module_cnt == MODULES_MAX)
		return false;
	golden.ids[golden.module_cnt] = id;
	golden.bases[golden.module_cnt++] = base;
	golden.has_vdso |= !strcmp(name, "vdso");
	return true;
}

static bool take_mapping(const char *s)
{
	unsigned long long start, end, pc_off;
	unsigned int id;

	if (sscanf(s, "%llx %llx %llx %u", &start, &end, &pc_off, &id) != 4 ||
	    golden.mapping_cnt == MODULES_MAX || module_find(id) == MODULES_MAX)
		return false;
	golden.mappings[golden.mapping_cnt++] = (struct bstack_mapping){
		.start = start,
		.end = end,
		.pc_off = pc_off,
		.module = (uint32_t)module_find(id),
	};
	return true;
}

/* Hexadecimal bytes to the end of the line; 0: something else, or too many. */
static size_t take_bytes(const char *s, uint8_t *ret)
{
	size_t len = 0;
	unsigned int byte;

	for (; *s && *s != '\n'; s += 2, len++) {
		if (len == CFI_MAX_SZ || sscanf(s, "%2x", &byte) != 1)
			return 0;
		ret[len] = (uint8_t)byte;
	}
	return len;
}

static bool take_cie(const char *s)
{
	struct cie_bytes *c = &golden.cies[golden.cie_cnt];
	int at = 0;

	if (golden.cie_cnt == CIES_MAX || sscanf(s, "%u %llx %n", &c->module, &c->id, &at) != 2 ||
	    !at)
		return false;
	c->len = take_bytes(s + at, c->bytes);
	golden.cie_cnt++;
	return c->len > 8;
}

/* An FDE behind its CIE, as in a section of these two; the FDE lies where it lay. */
static bool take_fde(const char *s)
{
	static uint8_t bytes[2 * CFI_MAX_SZ];
	unsigned long long cie_id, vaddr;
	unsigned int id;
	uint32_t back;
	size_t m, len, i = 0;
	int at = 0;

	if (sscanf(s, "%u %llx %llx %n", &id, &cie_id, &vaddr, &at) != 3 || !at)
		return false;
	while (i < golden.cie_cnt && (golden.cies[i].module != id || golden.cies[i].id != cie_id))
		i++;
	m = module_find(id);
	if (i == golden.cie_cnt || m == MODULES_MAX)
		return false;
	memcpy(bytes, golden.cies[i].bytes, golden.cies[i].len);
	len = take_bytes(s + at, bytes + golden.cies[i].len);
	if (len < 8)
		return false;
	back = (uint32_t)golden.cies[i].len + 4; /* from this field back to the CIE */
	memcpy(bytes + golden.cies[i].len + 4, &back, sizeof(back));
	return !unwind_frames_parse(bytes, golden.cies[i].len + len, vaddr - golden.cies[i].len,
				    false, golden.bases[m], &golden.tables[m]);
}

/* Its registers are those of the frame before until a line says otherwise. */
static bool take_frame(const char *s)
{
	struct golden_frame *f = &golden.frames[golden.frame_cnt];
	unsigned long long pc;
	unsigned int id, off;

	if (golden.frame_cnt > BSTACK_FRAMES || sscanf(s, "%llx %u+%x", &pc, &id, &off) != 3)
		return false;
	f->sp = golden.frame_cnt ? f[-1].sp : golden.at.sp;
	for (int i = 0; i < BSTACK_REGS; i++)
		f->regs[i] = golden.frame_cnt ? f[-1].regs[i] : golden.at.regs[i];
	f->pc = pc;
	f->step = (struct bstack_step){ (uint32_t)module_find(id), off };
	golden.frame_cnt++;
	return true;
}

static bool take_word(const char *s)
{
	unsigned long long addr, value;

	if (golden.word_cnt == WORDS_MAX || !golden.frame_cnt ||
	    sscanf(s, "%llx %llx", &addr, &value) != 2)
		return false;
	golden.words[golden.word_cnt++] = (struct golden_word){
		.addr = addr,
		.value = value,
		.step = golden.frame_cnt - 1,
	};
	return true;
}

static bool take_end(const char *s)
{
	static const struct {
		const char *name;
		int end;
	} ends[] = {
		{ "root\n", BSTACK_END_ROOT },
		{ "truncated\n", BSTACK_END_TRUNCATED },
	};

	for (size_t i = 0; i < ARRAY_SIZE(ends); i++)
		if (!strcmp(s, ends[i].name))
			golden.end = ends[i].end;
	return golden.end;
}

static bool take_line(char *line)
{
	static const struct {
		const char *word;
		bool (*take)(const char *s);
	} kinds[] = {
		{ "module", take_module }, { "mapping", take_mapping }, { "cie", take_cie },
		{ "fde", take_fde },       { "frame", take_frame },     { "word", take_word },
		{ "reg", take_change },    { "end", take_end },
	};
	char *space = strchr(line, ' ');

	if (line[0] == '#')
		return true;
	if (!space)
		return false;
	*space = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (!strcmp(line, kinds[i].word))
			return kinds[i].take(space + 1);
	return take_register(line, space + 1);
}

static int mapping_cmp(const void *a, const void *b)
{
	const struct bstack_mapping *x = a, *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

/* All tables behind one another, as they lie in the arrays that BPF reads. */
static bool host_fill(void)
{
	for (size_t i = 0; i < golden.module_cnt; i++) {
		struct unwind_table *t = &golden.tables[i];

		unwind_table_finish(t);
		host.rows =
			realloc(host.rows, (host.row_cnt + t->row_cnt + 1) * sizeof(*host.rows));
		host.rules = realloc(host.rules,
				     (host.rule_cnt + t->rule_cnt + 1) * sizeof(*host.rules));
		if (!CHECK(host.rows && host.rules && t->row_cnt))
			return false;
		memcpy(host.rows + host.row_cnt, t->rows, t->row_cnt * sizeof(*t->rows));
		memcpy(host.rules + host.rule_cnt, t->rules, t->rule_cnt * sizeof(*t->rules));
		host.modules[i] =
			(struct bstack_module){ (uint32_t)host.row_cnt, (uint32_t)t->row_cnt,
						(uint32_t)host.rule_cnt, (uint32_t)t->rule_cnt };
		host.row_cnt += t->row_cnt;
		host.rule_cnt += t->rule_cnt;
	}
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
	free(host.rules);
	memset(&golden, 0, sizeof(golden));
	memset(&host, 0, sizeof(host));
}

static bool golden_load(const char *name)
{
	static char line[LINE_MAX_SZ];
	unsigned int nr = 0;
	FILE *f;

	snprintf(golden.path, sizeof(golden.path), "%s/%s", GOLDEN_DIR, name);
	f = fopen(golden.path, "re");
	if (!CHECK(f))
		return false;
	while (fgets(line, sizeof(line), f)) {
		nr++;
		if (take_line(line))
			continue;
		test_fail(__FILE__, __LINE__, "%s:%u: not understood", golden.path, nr);
		fclose(f);
		return false;
	}
	fclose(f);
	return CHECK(golden.end && golden.frame_cnt) && host_fill();
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
		if (golden_load(names[i]))
			run();
		golden_release();
	}
	return cnt;
}

static bool is_at(const struct unwind_state *s, const struct golden_frame *f)
{
	bool is = s->ip == f->pc && s->sp == f->sp;

	for (int i = 0; i < BSTACK_REGS; i++)
		is = is && s->regs[i] == f->regs[i];
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
		if (i >= golden.frame_cnt || !is_at(&s, &golden.frames[i]))
			break;
		end = unwind_step(&p, &s, &step);
		if (memcmp(&step, &golden.frames[i].step, sizeof(step)))
			break;
	}
	*ret_cnt = i;
	return end ? end : i == BSTACK_FRAMES ? BSTACK_END_TRUNCATED : 0;
}

static unsigned int kinds_seen; /* of enum bstack_cfa, among the rules that were followed */
static bool has_by_bp, has_vdso, has_kernel;

static void chain_is_libdwfls(void)
{
	struct bstack_process p = { .cnt = (uint32_t)golden.mapping_cnt };
	struct unwind_state s = golden.at;
	size_t cnt;
	int end = walk(&cnt);

	if (end != golden.end ||
	    cnt != (golden.frame_cnt < BSTACK_FRAMES ? golden.frame_cnt : BSTACK_FRAMES))
		test_fail(__FILE__, __LINE__, "%s: %zu of %zu frames, end %d, expected %d",
			  golden.path, cnt, golden.frame_cnt, end, golden.end);
	if (host.reads_elsewhere)
		test_fail(__FILE__, __LINE__, "%s: %zu words read that are not there", golden.path,
			  host.reads_elsewhere);
	for (size_t i = 0; i < golden.word_cnt; i++)
		for (size_t k = 0; k < golden.word_cnt; k++)
			golden.words[i].is_read |= golden.words[k].is_read &&
						   golden.words[k].addr == golden.words[i].addr;
	for (size_t i = 0; i < golden.word_cnt; i++)
		if (!golden.words[i].is_read)
			test_fail(__FILE__, __LINE__, "%s: %#llx was not read", golden.path,
				  (long long)golden.words[i].addr);
	for (size_t i = 0; i < cnt; i++) {
		struct bstack_step step;

		unwind_step(&p, &s, &step);
		kinds_seen |= host.rule ? 1U << host.rule->cfa : 0;
		has_by_bp |= host.rule && host.rule->saved_bp;
	}
	has_vdso |= golden.has_vdso;
	has_kernel |= strstr(golden.path, "-kernel") != NULL;
}

/* The chains, and that there is one of every kind. */
static void chains(void)
{
	size_t cnt = for_each_golden(chain_is_libdwfls);

	printf("# %zu stacks\n", cnt);
	CHECK(cnt >= 20);
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

/* Without one of its words a stack ends where that is read first, and all frames before are right. */
static void ends_at_missing_word(void)
{
	for (size_t w = 0; w < golden.word_cnt; w++) {
		size_t cnt, first = golden.words[w].step;
		int end;

		for (size_t i = golden.word_cnt; i-- > 0;) {
			golden.words[i].is_gone = golden.words[i].addr == golden.words[w].addr;
			if (golden.words[i].is_gone)
				first = golden.words[i].step;
		}
		end = walk(&cnt);
		if (end != BSTACK_END_UNREADABLE || cnt != first + 1)
			test_fail(__FILE__, __LINE__,
				  "%s: without %#llx: %zu frames, end %d, expected %zu",
				  golden.path, (long long)golden.words[w].addr, cnt, end,
				  first + 1);
		for (size_t i = 0; i < golden.word_cnt; i++)
			golden.words[i].is_gone = false;
	}
}

static void words_missing(void)
{
	for_each_golden(ends_at_missing_word);
}

/* One thing that BPF reads made false: random bytes in place of some that were right. */
static void falsify(void)
{
	struct {
		void *at;
		size_t sz;
	} what[] = {
		{ &golden.at,
		  sizeof(golden.at) - sizeof(golden.at.is_caller) - sizeof(golden.at.unused) },
		{ &golden.words[rnd() % golden.word_cnt].value, 8 },
		{ &host.rows[rnd() % host.row_cnt], sizeof(*host.rows) },
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

/* Whatever it is: each step is bounded, and the stack pointer only grows, except out of a signal frame. */
static void walk_false(void)
{
	struct bstack_process p = { .cnt = (uint32_t)golden.mapping_cnt };
	struct unwind_state s = golden.at;

	for (size_t i = 0; i < BSTACK_FRAMES; i++) {
		uint64_t sp = s.sp;
		struct bstack_step step;
		bool is_signal;
		int end;

		host.look_ups = host.reads = 0;
		host.rule = NULL;
		end = unwind_step(&p, &s, &step);
		is_signal = host.rule && host.rule->cfa == BSTACK_CFA_SIGNAL;
		if (host.look_ups > LOOK_UPS_MAX || host.reads > READS_MAX)
			test_fail(__FILE__, __LINE__, "%s: %zu look-ups, %zu reads in one step",
				  golden.path, host.look_ups, host.reads);
		if (end) {
			CHECK(end >= BSTACK_END_ROOT && end <= BSTACK_END_STUCK);
			return;
		}
		if (s.sp <= sp && !is_signal)
			test_fail(__FILE__, __LINE__, "%s: the stack pointer fell", golden.path);
	}
}

static void holds_when_false(void)
{
	static struct golden kept;
	struct bstack_row *rows = malloc(host.row_cnt * sizeof(*rows));
	struct bstack_rule *rules = malloc(host.rule_cnt * sizeof(*rules));
	struct bstack_module modules[MODULES_MAX];

	if (!CHECK(rows && rules && golden.word_cnt))
		goto out;
	kept = golden;
	memcpy(rows, host.rows, host.row_cnt * sizeof(*rows));
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
		memcpy(host.rules, rules, host.rule_cnt * sizeof(*rules));
		memcpy(host.modules, modules, sizeof(modules));
	}
out:
	free(rows);
	free(rules);
}

static void words_and_tables_false(void)
{
	for_each_golden(holds_when_false);
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		TEST(chains),
		TEST(words_missing),
		TEST(words_and_tables_false),
		{},
	};

	return test_main(tests, argc, argv);
}
