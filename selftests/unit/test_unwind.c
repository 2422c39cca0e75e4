/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_unwind.c - tables of ordinary files against libdw's answers, address by address; hostile .eh_frame
 * and .debug_frame; the stepping that BPF does, on the host.
 */
#include <dwarf.h>
#include <elfutils/libdw.h>
#include <fcntl.h>
#include <gelf.h>
#include <sys/mman.h>
#include <unistd.h>

#include "test.h"
#include "unwind/table.h"

static const int dw_of[BSTACK_REGS_ALL] = { 6, 3, 12, 13, 14, 15, 0, 2, 1, 4, 5, 8, 9, 10, 11 };

static uint64_t seed = 88172645463325252ULL;
static uint64_t rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	return seed ^= seed << 17;
}

static const struct bstack_rule *lookup(const struct unwind_table *t, uint64_t vaddr)
{
	size_t lo = 0, hi = t->row_cnt;

	if (vaddr < t->base)
		return NULL;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (t->rows[mid].pc <= vaddr - t->base)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo && t->rows[lo - 1].rule != BSTACK_RULE_NONE ? &t->rules[t->rows[lo - 1].rule]
							      : NULL;
}

/* libdw's words for where the CFA and the registers are, compared with a rule's. */
static const char *differs(Dwarf_Frame *f, const struct bstack_rule *r)
{
	Dwarf_Op mem[3], *ops;
	bool is_signal;
	size_t cnt;
	int ra = dwarf_frame_info(f, NULL, NULL, &is_signal);

	if (is_signal)
		return r->cfa == BSTACK_CFA_SIGNAL ? NULL : "a signal frame";
	if (dwarf_frame_register(f, ra, mem, &ops, &cnt))
		return "libdw fails";
	if (!cnt && ops == mem)
		return r->cfa == BSTACK_CFA_ROOT ? NULL : "an undefined return address";
	if (r->cfa == BSTACK_CFA_ROOT || r->cfa == BSTACK_CFA_SIGNAL)
		return "no root, no signal frame";
	if (r->cfa == BSTACK_CFA_UNSUPPORTED)
		return NULL; /* counted apart */
	if (r->ra_off == BSTACK_RA_IN_REG) {
		if (cnt != 1 || ops[0].atom != DW_OP_regx ||
		    ops[0].number != (uint64_t)dw_of[r->cfa_add])
			return "the return address in a register";
	} else if (cnt != 2 || ops[0].atom != DW_OP_call_frame_cfa ||
		   ops[1].atom != DW_OP_plus_uconst || (int64_t)ops[1].number != r->ra_off)
		return "the return address";
	if (dwarf_frame_cfa(f, &ops, &cnt))
		return "libdw has no CFA";
	if (r->cfa == BSTACK_CFA_SP || r->cfa == BSTACK_CFA_REG) {
		uint64_t reg = r->cfa == BSTACK_CFA_SP ? 7 : (uint64_t)dw_of[r->reg];

		if (cnt != 1 || ops[0].atom != DW_OP_bregx || ops[0].number != reg ||
		    (int64_t)ops[0].number2 != r->cfa_off)
			return "the CFA";
	} else if (r->cfa == BSTACK_CFA_REG_AT || r->cfa == BSTACK_CFA_SP_AT) {
		int reg = r->cfa == BSTACK_CFA_SP_AT ? 7 : dw_of[r->reg];

		if (cnt < 2 || ops[0].atom != DW_OP_breg0 + reg || ops[1].atom != DW_OP_deref ||
		    (int64_t)ops[0].number != r->cfa_off ||
		    r->cfa_add != (cnt > 2 ? (int64_t)ops[2].number : 0))
			return "the stored CFA";
	} else if (cnt < 9 || ops[0].atom != DW_OP_breg7) {
		return "a PLT stub";
	}
	for (int i = 0; i < BSTACK_REGS; i++) {
		bool is_saved = r->saved >> i & 1;

		if (dwarf_frame_register(f, dw_of[i], mem, &ops, &cnt))
			return "libdw fails for a register";
		if (r->saved_bp >> i & 1) {
			if (cnt != 1 || ops[0].atom != DW_OP_breg6 ||
			    (int64_t)ops[0].number != r->off[i])
				return "a register of a realigned stack";
		} else if (is_saved != (cnt == 2)) {
			return "whether a register is saved";
		} else if (is_saved && (ops[0].atom != DW_OP_call_frame_cfa ||
					(int64_t)ops[1].number != r->off[i])) {
			return "where a register is saved";
		}
	}
	return NULL;
}

struct tally {
	size_t rows, compared, unsupported, none, init;
};

/* .init and .fini, which unwind/uncovered.c knows without CFI. */
static bool is_init(Elf *elf, uint64_t vaddr)
{
	Elf_Scn *scn = NULL;
	size_t strings;
	GElf_Shdr sh;

	elf_getshdrstrndx(elf, &strings);
	while ((scn = elf_nextscn(elf, scn))) {
		const char *name =
			gelf_getshdr(scn, &sh) ? elf_strptr(elf, strings, sh.sh_name) : "";

		if ((!strcmp(name, ".init") || !strcmp(name, ".fini")) && vaddr >= sh.sh_addr &&
		    vaddr < sh.sh_addr + sh.sh_size)
			return true;
	}
	return false;
}

/* What the instructions at vaddr say: before `sub $8,%rsp` and behind `add $8,%rsp` the CFA is 8 above sp, else 16. */
static void compare_init(Elf *elf, uint64_t vaddr, const struct bstack_rule *r, struct tally *tally)
{
	GElf_Phdr ph = {};
	const uint8_t *p;
	size_t len;

	for (int i = 0; gelf_getphdr(elf, i, &ph); i++)
		if (ph.p_type == PT_LOAD && vaddr - ph.p_vaddr < ph.p_filesz)
			break;
	p = (const uint8_t *)elf_rawfile(elf, &len) + ph.p_offset + (vaddr - ph.p_vaddr);
	tally->init++;
	if (p[0] == 0xc3 || !memcmp(p, "\x48\x83\xec\x08", 4))
		CHECK_EQ(r->cfa_off, 8);
	if (!memcmp(p, "\x48\x83\xc4\x08", 4) || !memcmp(p, "\x48\x8b\x05", 3))
		CHECK_EQ(r->cfa_off, 16);
	CHECK_EQ(r->cfa, BSTACK_CFA_SP);
	CHECK_EQ(r->ra_off, -8);
}

static void compare_at(Elf *elf, Dwarf_CFI *cfi, const struct unwind_table *t, uint64_t vaddr,
		       const char *path, struct tally *tally)
{
	const struct bstack_rule *r = lookup(t, vaddr);
	Dwarf_Frame *f = NULL;
	const char *why;

	if (dwarf_cfi_addrframe(cfi, vaddr, &f)) {
		if (r && is_init(elf, vaddr))
			compare_init(elf, vaddr, r, tally);
		else if (r)
			test_fail(__FILE__, __LINE__, "%s: %#llx has a rule, libdw none", path,
				  (long long)vaddr);
		tally->none++;
		return;
	}
	tally->compared++;
	if (r && r->cfa == BSTACK_CFA_UNSUPPORTED)
		tally->unsupported++;
	why = r ? differs(f, r) : "libdw has a row, we have none";
	if (why)
		test_fail(__FILE__, __LINE__, "%s: %#llx: %s (cfa %d)", path, (long long)vaddr, why,
			  r ? r->cfa : -1);
	free(f);
}

static void compare_file(const char *path, size_t cnt, struct tally *tally)
{
	int fd = open(path, O_RDONLY);
	struct unwind_table t;
	Dwarf_CFI *cfi;
	Elf *elf;

	if (fd < 0)
		return;
	elf_version(EV_CURRENT);
	elf = elf_begin(fd, ELF_C_READ_MMAP, NULL);
	cfi = elf ? dwarf_getcfi_elf(elf) : NULL;
	if (cfi && CHECK_EQ(unwind_table_read(fd, &t), 0)) {
		uint64_t span = t.rows[t.row_cnt - 1].pc + 64;

		tally->rows += t.row_cnt;
		for (size_t i = 0; i < cnt && test_failures < 20; i++) {
			/* Half of them anywhere, half at the edges of rows. */
			uint64_t pc =
				i % 2 ? rnd() % span : t.rows[rnd() % t.row_cnt].pc - rnd() % 2;

			compare_at(elf, cfi, &t, t.base + pc, path, tally);
		}
		unwind_table_release(&t);
		dwarf_cfi_end(cfi);
	}
	elf_end(elf);
	close(fd);
}

static void agrees_with_libdw(void)
{
	static const char *const paths[] = {
		"/lib/x86_64-linux-gnu/libc.so.6",
		"/lib64/ld-linux-x86-64.so.2",
		"/usr/bin/perl",
		"/usr/bin/bash",
		"/lib/x86_64-linux-gnu/liblzma.so.5",
		"/lib/x86_64-linux-gnu/libcrypto.so.3",
		"/lib/x86_64-linux-gnu/libm.so.6",
		"/usr/bin/python3.11",
		"/lib/x86_64-linux-gnu/libstdc++.so.6",
		"/usr/lib/gcc/x86_64-linux-gnu/12/cc1",
		"/proc/self/exe",
	};
	struct tally tally = {};

#if !defined(__x86_64__)
	SKIP("rows are made for x86-64");
#endif
	for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++)
		compare_file(paths[i], 3000, &tally);
	printf("# %zu rows, %zu addresses compared, %zu of them unsupported, %zu without a row\n",
	       tally.rows, tally.compared, tally.unsupported, tally.none);
	CHECK(tally.init > 0);
	CHECK(tally.compared > 10000);
	CHECK(tally.unsupported * 1000 <
	      tally.compared); /* counted on Debian 12: 0.1 % of addresses at most */
}

/* .eh_frame under construction: one CIE and its FDEs, addresses as they are. */
struct section {
	struct buf b;
	size_t cie_at;
};

static void add_uint(struct section *s, uint64_t v, size_t sz)
{
	buf_add(&s->b, &v, sz);
}

static void add_cie(struct section *s, const void *program, size_t len)
{
	static const uint8_t head[] = { 1, 0, 1, 0x78, 16, DW_CFA_def_cfa, 7, 8 };

	s->cie_at = s->b.len;
	add_uint(s, 4 + sizeof(head) + 2 + len, 4);
	add_uint(s, 0, 4);
	buf_add(&s->b, head, sizeof(head));
	add_uint(s, DW_CFA_offset | 16, 1);
	add_uint(s, 1, 1);
	buf_add(&s->b, program, len);
}

static void add_fde(struct section *s, uint64_t start, uint64_t size, const void *program,
		    size_t len)
{
	add_uint(s, 4 + 16 + len, 4);
	add_uint(s, s->b.len - s->cie_at, 4);
	add_uint(s, start, 8);
	add_uint(s, size, 8);
	buf_add(&s->b, program, len);
}

static void parse(struct section *s, uint64_t base, struct unwind_table *t)
{
	*t = (struct unwind_table){};
	CHECK_EQ(s->b.err, 0);
	CHECK_EQ(unwind_frames_parse((uint8_t *)s->b.data, s->b.len, 0, false, base, t), 0);
	unwind_table_finish(t);
	buf_release(&s->b);
}

#define CHECK_ROW(t, i, pc_, has_rule)                                              \
	({                                                                          \
		if (CHECK((i) < (t).row_cnt)) {                                     \
			CHECK_EQ((t).rows[i].pc, pc_);                              \
			CHECK_EQ((t).rows[i].rule != BSTACK_RULE_NONE, (has_rule)); \
		}                                                                   \
	})

/* What a program says of the function's end, or beyond, is of no code: the row there is none. */
static void ends_where_the_function_ends(void)
{
	static const uint8_t to_end[] = { DW_CFA_advance_loc | 16, DW_CFA_def_cfa_offset, 16 };
	static const uint8_t twice[] = { DW_CFA_advance_loc | 4, DW_CFA_def_cfa_offset, 16,
					 DW_CFA_advance_loc | 0, DW_CFA_def_cfa_offset, 24 };
	static const uint8_t beyond[] = { DW_CFA_advance_loc | 4, DW_CFA_def_cfa_offset, 16,
					  DW_CFA_advance_loc | 13 };
	struct section s = {};
	struct unwind_table t;

	add_cie(&s, "", 0);
	add_fde(&s, 0x1000, 16, to_end, sizeof(to_end));
	add_fde(&s, 0x2000, 16, twice, sizeof(twice));
	add_fde(&s, 0x3000, 16, beyond, sizeof(beyond));
	parse(&s, 0, &t);
	CHECK_EQ(t.row_cnt, 7);
	CHECK_ROW(t, 0, 0x1000, true);
	CHECK_ROW(t, 1, 0x1010, false);
	CHECK_ROW(t, 2, 0x2000, true);
	CHECK_ROW(t, 3, 0x2004, true);
	CHECK_EQ(lookup(&t, 0x2004)->cfa_off, 24);
	CHECK_ROW(t, 4, 0x2010, false);
	CHECK_ROW(t, 5, 0x3000, true);
	CHECK_ROW(t, 6, 0x3004, false); /* a program that lies says nothing of the rest */
	unwind_table_release(&t);
}

/* A function that the linker dropped from the program, its address 0, says nothing of code above it. */
static void dropped_function(void)
{
	static const uint8_t program[] = { DW_CFA_advance_loc2, 0x10, 0x20, DW_CFA_def_cfa_offset,
					   16 };
	struct section s = {};
	struct unwind_table t;

	add_cie(&s, "", 0);
	add_fde(&s, 0, 0x3000, program, sizeof(program));
	add_fde(&s, 0x1000, 16, "", 0);
	parse(&s, 0x1000, &t);
	CHECK_EQ(t.row_cnt, 2);
	CHECK_ROW(t, 0, 0, true);
	CHECK_ROW(t, 1, 16, false);
	unwind_table_release(&t);
}

/* A CIE's program is executed for each function: it neither advances nor is it long. */
static void hostile_cie(void)
{
	static const uint8_t advances[] = { DW_CFA_advance_loc | 4 };
	uint8_t *nops = calloc(1, 5000);
	struct section s = {};
	struct unwind_table t;

	add_cie(&s, advances, sizeof(advances));
	add_fde(&s, 0x1000, 16, "", 0);
	add_fde(&s, 0x2000, 2, "", 0);
	parse(&s, 0, &t);
	CHECK_EQ(t.row_cnt, 0);
	unwind_table_release(&t);
	add_cie(&s, nops, 5000);
	for (size_t i = 0; i < 1000; i++)
		add_fde(&s, 0x1000 + 32 * i, 16, "", 0);
	parse(&s, 0, &t);
	CHECK_EQ(t.row_cnt, 0);
	unwind_table_release(&t);
	add_cie(&s, nops, 200);
	add_fde(&s, 0x1000, 5000, nops, 5000);
	parse(&s, 0, &t);
	CHECK_EQ(t.row_cnt, 2);
	unwind_table_release(&t);
	free(nops);
}

/* Functions whose programs together would be executed for minutes: there is no table. */
static void too_much_work(void)
{
	static const uint8_t program[250] = {};
	struct section s = {};
	struct unwind_table t = {};

	add_cie(&s, program, sizeof(program));
	add_fde(&s, 0x1000, 16, "", 0);
	t.work = UNWIND_WORK_MAX - sizeof(program);
	CHECK_EQ(unwind_frames_parse((uint8_t *)s.b.data, s.b.len, 0, false, 0, &t), 0);
	CHECK(t.work > UNWIND_WORK_MAX);
	CHECK_EQ(unwind_frames_parse((uint8_t *)s.b.data, s.b.len, 0, false, 0, &t), -E2BIG);
	unwind_table_release(&t);
	buf_release(&s.b);
}

/* An offset that, multiplied, is no number of 64 bits: the row says that it is not supported. */
static void huge_offset(void)
{
	static const uint8_t programs[][12] = {
		{ DW_CFA_def_cfa_offset_sf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x3f },
		{ DW_CFA_def_cfa_sf, 7, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x3f },
		{ DW_CFA_offset | 16, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x3f },
	};
	struct unwind_table t;

	for (size_t i = 0; i < ARRAY_SIZE(programs); i++) {
		struct section s = {};

		add_cie(&s, "", 0);
		add_fde(&s, 0x1000, 16, programs[i], sizeof(programs[i]));
		parse(&s, 0, &t);
		CHECK_EQ(t.row_cnt, 2);
		CHECK_EQ(lookup(&t, 0x1000)->cfa, BSTACK_CFA_UNSUPPORTED);
		unwind_table_release(&t);
	}
}

/*
 * 2^21 section headers, or program headers, all in a hole of the file: libelf would fill memory with what they are
 * read into.
 */
static void more_headers_than_a_file_has(void)
{
	Elf64_Ehdr eh = { .e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT },
			  .e_type = ET_DYN,
			  .e_machine = EM_X86_64,
			  .e_version = EV_CURRENT,
			  .e_phoff = sizeof(eh),
			  .e_phentsize = sizeof(Elf64_Phdr),
			  .e_phnum = 1,
			  .e_shoff = sizeof(eh) + sizeof(Elf64_Phdr),
			  .e_shentsize = sizeof(Elf64_Shdr) };
	Elf64_Phdr ph = { .p_type = PT_LOAD, .p_flags = PF_X, .p_filesz = 4096 };
	Elf64_Shdr sh = { .sh_size = 1 << 21, .sh_info = 1 << 21 };
	int fd = memfd_create("holes", MFD_CLOEXEC);
	struct unwind_table t;

	CHECK_EQ(pwrite(fd, &ph, sizeof(ph), sizeof(eh)), sizeof(ph));
	CHECK_EQ(pwrite(fd, &sh, sizeof(sh), (off_t)eh.e_shoff), sizeof(sh));
	CHECK_EQ(ftruncate(fd, (off_t)(eh.e_shoff + (sizeof(sh) << 21))), 0);
	CHECK_EQ(pwrite(fd, &eh, sizeof(eh), 0), sizeof(eh));
	CHECK_EQ(unwind_table_read(fd, &t), -ENOEXEC);
	eh.e_shnum = 1;
	CHECK_EQ(pwrite(fd, &eh, sizeof(eh), 0), sizeof(eh));
	CHECK_EQ(unwind_table_read(fd, &t), -ENOENT);
	eh.e_phnum = PN_XNUM;
	CHECK_EQ(pwrite(fd, &eh, sizeof(eh), 0), sizeof(eh));
	CHECK_EQ(unwind_table_read(fd, &t), -ENOEXEC);
	close(fd);
}

/* Sections' names of gigabytes, in a hole of the file, or compressed: libelf would read them as a whole. */
static void names_in_a_hole(void)
{
	Elf64_Ehdr eh = { .e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT },
			  .e_type = ET_DYN,
			  .e_machine = EM_X86_64,
			  .e_version = EV_CURRENT,
			  .e_phoff = sizeof(eh),
			  .e_phentsize = sizeof(Elf64_Phdr),
			  .e_phnum = 1,
			  .e_shoff = sizeof(eh) + sizeof(Elf64_Phdr),
			  .e_shentsize = sizeof(Elf64_Shdr),
			  .e_shnum = 2,
			  .e_shstrndx = 1 };
	Elf64_Phdr ph = { .p_type = PT_LOAD, .p_flags = PF_X, .p_filesz = 4096 };
	Elf64_Shdr sh[2] = { { .sh_link = 1 },
			     { .sh_type = SHT_STRTAB, .sh_offset = 4096, .sh_size = 1ULL << 26 } };
	int fd = memfd_create("names", MFD_CLOEXEC);
	struct unwind_table t;

	for (int i = 0; i < 4; i++) {
		static const int wanted[] = { -ENOEXEC, -ENOEXEC, -ENOENT, -ENOEXEC };

		eh.e_shstrndx = i == 1 ? SHN_XINDEX : 1;
		sh[1].sh_size = i < 2 ? 1ULL << 26 : 4096;
		sh[1].sh_flags = i == 3 ? SHF_COMPRESSED : 0;
		CHECK_EQ(ftruncate(fd, (1 << 26) + 4096), 0);
		CHECK_EQ(pwrite(fd, &eh, sizeof(eh), 0), sizeof(eh));
		CHECK_EQ(pwrite(fd, &ph, sizeof(ph), sizeof(eh)), sizeof(ph));
		CHECK_EQ(pwrite(fd, sh, sizeof(sh), (off_t)eh.e_shoff), sizeof(sh));
		CHECK_EQ(unwind_table_read(fd, &t), wanted[i]);
	}
	close(fd);
}

/* Code that is further from the first than a row can say. */
static void far_code(void)
{
	const uint64_t base = 0x400000, last = base + UINT32_MAX;
	struct section s = {};
	struct unwind_table t;

	add_cie(&s, "", 0);
	add_fde(&s, base, 16, "", 0);
	add_fde(&s, last - 16, 0x1000, "", 0); /* reaches beyond it */
	add_fde(&s, last, 16, "", 0);
	add_fde(&s, last + 0x10000, 16, "", 0);
	parse(&s, base, &t);
	CHECK_EQ(t.row_cnt, 4);
	CHECK_ROW(t, 0, 0, true);
	CHECK_ROW(t, 1, 16, false);
	CHECK_ROW(t, 2, UINT32_MAX - 16, true);
	CHECK_ROW(t, 3, UINT32_MAX, false);
	unwind_table_release(&t);
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		TEST(agrees_with_libdw),
		TEST(ends_where_the_function_ends),
		TEST(dropped_function),
		TEST(hostile_cie),
		TEST(far_code),
		TEST(huge_offset),
		TEST(too_much_work),
		TEST(names_in_a_hole),
		TEST(more_headers_than_a_file_has),
		{},
	};

	return test_main(tests, argc, argv);
}
