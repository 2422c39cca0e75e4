/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * golden_read.h - reads a recorded stack (selftests/golden/stacks/README.md) into golden, its CFI through the table builder. Each
 * line is "WORD REST".
 */
#ifndef BSTACK_GOLDEN_READ_H
#define BSTACK_GOLDEN_READ_H

#include <limits.h>

#include "test.h"
#include "unwind/table.h"

#define GOLDEN_DIR  "selftests/golden/stacks"
#define FILES_MAX   64
#define MODULES_MAX 16
#define CIES_MAX    64
#define WORDS_MAX   1024
#define NOWHERE     SIZE_MAX
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
	size_t step;   /* that reads it, or finds a register of the caller there */
	size_t needed; /* the first step that cannot be made without it, or NOWHERE */
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

static struct golden_word *word_at(uint64_t addr)
{
	for (size_t i = 0; i < golden.word_cnt; i++)
		if (golden.words[i].addr == addr)
			return &golden.words[i];
	return NULL;
}

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

static bool golden_read(const char *name)
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
	return CHECK(golden.end && golden.frame_cnt);
}

#endif
