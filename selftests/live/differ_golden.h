/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * differ_golden.h - writes a stack on which both walks agree to a file that says everything a host needs to walk it
 * again: registers, the words read, the call frame information of each frame. selftests/golden/stacks/README.md has the
 * format. One file for each set of features (enum feature)
 * that was not there before, and one at least of each target.
 */
#ifndef BSTACK_DIFFER_GOLDEN_H
#define BSTACK_DIFFER_GOLDEN_H

#include "differ_judge.h"
#include "unwind/cfi.h"

#define GOLDENS_MAX    64
#define GOLDEN_MODULES 16
#define GOLDEN_CFI     (2 * BSTACK_FRAMES)
#define GOLDEN_CFI_SZ  1024 /* of one FDE: larger ones are not for reading */
#define GOLDEN_FRAMES  18   /* of a stack that is not there for its depth */

/* What makes a stack worth keeping. */
enum feature {
	F_REG = 1 << 0,       /* CFA by a register that is not sp */
	F_REALIGNED = 1 << 1, /* CFA stored in the frame */
	F_BY_BP = 1 << 2,     /* registers saved beside bp, not beside the CFA */
	F_PLT = 1 << 3,
	F_SIGNAL = 1 << 4,
	F_VDSO = 1 << 5,
	F_KERNEL = 1 << 6, /* taken inside the kernel */
	F_DEEP = 1 << 7,
};
static const char *const feature_names[] = { "rbp",    "realigned", "by_bp",  "plt",
					     "signal", "vdso",      "kernel", "deep" };

struct goldens {
	const char *dir; /* NULL: none are written */
	unsigned int seen[GOLDENS_MAX];
	size_t cnt;
	const char *last; /* target of the last one: each has one at least */
};

/* One piece of a golden's CFI: entries are named by their place in the file's section. */
struct golden_cfi {
	uint32_t module;
	uint64_t cie, fde;
};

struct golden {
	FILE *f;
	struct sampler *s;
	const struct oracle *o;
	uint32_t modules[GOLDEN_MODULES];
	size_t module_cnt;
	struct golden_cfi cfi[GOLDEN_CFI];
	size_t cfi_cnt;
	bool is_bad; /* something cannot be said in a golden */
};

static unsigned int features_of(struct sampler *s)
{
	static const unsigned int of_cfa[] = {
		[BSTACK_CFA_REG] = F_REG,          [BSTACK_CFA_SP_AT] = F_REALIGNED,
		[BSTACK_CFA_REG_AT] = F_REALIGNED, [BSTACK_CFA_PLT] = F_PLT,
		[BSTACK_CFA_SIGNAL] = F_SIGNAL,    [BSTACK_CFA_UNSUPPORTED] = 0,
	};
	unsigned int f = replay.has_bp_saved ? F_BY_BP : 0;

	for (size_t i = 0; i < replay.cnt; i++) {
		struct step_place place;

		f |= of_cfa[replay.rule_cfa[i]];
		if (unwinder_step_place(s->unwinder, &replay.steps[i], &place) && place.is_vdso)
			f |= F_VDSO;
	}
	if (replay.memory->pair->ours.is_in_kernel)
		f |= F_KERNEL;
	if (replay.end == BSTACK_END_TRUNCATED)
		f |= F_DEEP;
	return f;
}

/* The .eh_frame of the file at addr, and where it is loaded by its own words. */
static Elf_Data *eh_frame_of(const struct oracle *o, uint64_t addr, const unsigned char **ret_ident,
			     uint64_t *ret_vaddr)
{
	Dwfl_Module *mod = dwfl_addrmodule(o->dwfl, addr);
	GElf_Addr bias;
	Elf *elf = mod ? dwfl_module_getelf(mod, &bias) : NULL;
	Elf_Scn *scn = NULL;
	size_t strings;
	GElf_Shdr sh;

	if (!elf || elf_getshdrstrndx(elf, &strings))
		return NULL;
	*ret_ident = (const unsigned char *)elf_getident(elf, NULL);
	while ((scn = elf_nextscn(elf, scn))) {
		const char *name =
			gelf_getshdr(scn, &sh) ? elf_strptr(elf, strings, sh.sh_name) : NULL;

		if (name && !strcmp(name, ".eh_frame")) {
			*ret_vaddr = sh.sh_addr;
			return elf_rawdata(scn, NULL);
		}
	}
	return NULL;
}

/* The FDE of a link-time address: its place, and its CIE's. Pointers as x86-64's compilers write them. */
static bool fde_find(Elf_Data *d, const unsigned char *ident, uint64_t section, uint64_t vaddr,
		     uint64_t *ret_cie, uint64_t *ret_fde)
{
	Dwarf_Off at = 0, next;
	Dwarf_CFI_Entry e;

	for (; !dwarf_next_cfi(ident, d, true, at, &next, &e); at = next) {
		struct bytes b;
		uint64_t start, size;

		if (dwarf_cfi_cie_p(&e))
			continue;
		b = (struct bytes){ .p = e.fde.start, .end = e.fde.end };
		if (eh_pointer(&b, DW_EH_PE_pcrel | DW_EH_PE_sdata4,
			       section + (uint64_t)(e.fde.start - (uint8_t *)d->d_buf), &start) &&
		    eh_pointer(&b, DW_EH_PE_udata4, 0, &size) && vaddr >= start &&
		    vaddr - start < size) {
			*ret_cie = e.fde.CIE_pointer;
			*ret_fde = at;
			return true;
		}
	}
	return false;
}

/* An entry with its length, as it stands in the section. */
static void entry_print(struct golden *g, Elf_Data *d, uint64_t at)
{
	const uint8_t *p = (uint8_t *)d->d_buf + at;
	uint32_t len;

	memcpy(&len, p, sizeof(len));
	if (len > GOLDEN_CFI_SZ) {
		g->is_bad = true;
		return;
	}
	for (uint32_t i = 0; i < len + 4; i++)
		fprintf(g->f, "%02x", p[i]);
	fprintf(g->f, "\n");
}

static void cfi_print(struct golden *g, const struct bstack_step *step, uint64_t addr)
{
	struct golden_cfi c = { .module = step->module };
	const unsigned char *ident = NULL;
	uint64_t section = 0;
	bool has_cie = false;
	Elf_Data *d = eh_frame_of(g->o, addr, &ident, &section);
	struct step_place place;

	if (!d || !unwinder_step_place(g->s->unwinder, step, &place) ||
	    !fde_find(d, ident, section, place.vaddr, &c.cie, &c.fde)) {
		g->is_bad = true;
		return;
	}
	for (size_t i = 0; i < g->cfi_cnt; i++) {
		bool is_module = g->cfi[i].module == c.module;

		if (is_module && g->cfi[i].fde == c.fde)
			return;
		has_cie |= is_module && g->cfi[i].cie == c.cie;
	}
	if (!has_cie) {
		fprintf(g->f, "cie %u %" PRIx64 " ", c.module, c.cie);
		entry_print(g, d, c.cie);
	}
	fprintf(g->f, "fde %u %" PRIx64 " %" PRIx64 " ", c.module, c.cie, section + c.fde);
	entry_print(g, d, c.fde);
	g->cfi[g->cfi_cnt++] = c;
}

static const struct bstack_mapping *mapping_at(const struct bstack_process *process, uint64_t addr)
{
	struct unwind_state s = {};

	return unwind_mapping(process, &s, addr);
}

/* A step's file and mapping, once each. */
static void module_print(struct golden *g, const struct bstack_process *process,
			 const struct bstack_step *step, uint64_t addr)
{
	const struct bstack_mapping *m = mapping_at(process, addr);
	Dwfl_Module *mod = dwfl_addrmodule(g->o->dwfl, addr);
	struct step_place place;
	const char *name;

	for (size_t i = 0; i < g->module_cnt; i++)
		if (g->modules[i] == step->module)
			return;
	if (!m || !mod || g->module_cnt == GOLDEN_MODULES ||
	    !unwinder_step_place(g->s->unwinder, step, &place)) {
		g->is_bad = true;
		return;
	}
	g->modules[g->module_cnt++] = step->module;
	name = dwfl_module_info(mod, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
	name = place.is_vdso ? "vdso" : strrchr(name, '/') ? strrchr(name, '/') + 1 : name;
	fprintf(g->f, "module %u %" PRIx64 " %s\n", step->module, place.vaddr - step->pc, name);
	fprintf(g->f, "mapping %" PRIx64 " %" PRIx64 " %" PRIx64 " %u\n", (uint64_t)m->start,
		(uint64_t)m->end, (uint64_t)m->pc_off, step->module);
}

static const char *const register_names[BSTACK_REGS_ALL] = {
	[BSTACK_BP] = "bp",   [BSTACK_BX] = "bx",   [BSTACK_R12] = "r12", [BSTACK_R13] = "r13",
	[BSTACK_R14] = "r14", [BSTACK_R15] = "r15", [BSTACK_AX] = "ax",   [BSTACK_CX] = "cx",
	[BSTACK_DX] = "dx",   [BSTACK_SI] = "si",   [BSTACK_DI] = "di",   [BSTACK_R8] = "r8",
	[BSTACK_R9] = "r9",   [BSTACK_R10] = "r10", [BSTACK_R11] = "r11",
};

static void registers_print(FILE *f, const struct unwind_state *s)
{
	fprintf(f, "ip %" PRIx64 "\nsp %" PRIx64 "\n", (uint64_t)s->ip, (uint64_t)s->sp);
	for (int i = 0; i < BSTACK_REGS_ALL; i++)
		fprintf(f, "%s %" PRIx64 "\n", register_names[i], (uint64_t)s->regs[i]);
}

/* The registers that libdwfl has for frame i, where they are not those of the frame before. */
static void changes_print(FILE *f, const struct chain *c, size_t i)
{
	for (int r = 0; r < CHAIN_REGS; r++) {
		uint64_t v = c->regs[i][r];

		if (!(c->known[i] >> r & 1))
			continue; /* undefined: nobody relies on it */
		if (i && (!(c->known[i - 1] >> r & 1) || c->regs[i - 1][r] != v))
			fprintf(f, "reg %s %" PRIx64 "\n",
				r == BSTACK_REGS ? "sp" : register_names[r], v);
	}
}

static void golden_print(struct golden *g, const struct bstack_process *process, const char *name,
			 unsigned int features)
{
	const struct chain *c = &g->o->chain;

	fprintf(g->f, "# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause\n# %s:", name);
	for (size_t i = 0; i < ARRAY_SIZE(feature_names); i++)
		if (features >> i & 1)
			fprintf(g->f, " %s", feature_names[i]);
	fprintf(g->f, "\n");
	registers_print(g->f, &g->o->memory.pair->ours.at);
	for (size_t i = 0; i < replay.cnt; i++) {
		bool is_caller = i && !c->is_activation[i];
		uint64_t addr = replay.ips[i] - is_caller;

		if (!mapping_at(process, addr))
			g->is_bad = true;
		/* The trampoline of a signal is looked up like a caller. */
		if (replay.rule_cfa[i] == BSTACK_CFA_SIGNAL)
			addr = replay.ips[i] - (i > 0);
		module_print(g, process, &replay.steps[i], addr);
		cfi_print(g, &replay.steps[i], addr);
	}
	for (size_t i = 0, w = 0; i < c->cnt && i < replay.cnt; i++) {
		fprintf(g->f, "frame %" PRIx64 " %u+%x\n", c->pcs[i], replay.steps[i].module,
			replay.steps[i].pc);
		changes_print(g->f, c, i);
		for (; w < replay.word_cnt && replay.words[w].step == i; w++)
			fprintf(g->f, "word %" PRIx64 " %" PRIx64 "\n", replay.words[w].addr,
				replay.words[w].value);
	}
	fprintf(g->f, "end %s\n", replay.end == BSTACK_END_ROOT ? "root" : "truncated");
}

/* The stack that was walked last, on which all agree. */
static void golden_offer(struct goldens *gs, struct sampler *s, const struct oracle *o,
			 const struct bstack_process *process, const char *name)
{
	static struct golden g;
	unsigned int features = features_of(s);
	char *text CLEANUP(cleanup_free) = NULL;
	char path[PATH_MAX];
	size_t sz, len;
	FILE *f;

	for (size_t i = 0; i < gs->cnt; i++)
		if (gs->seen[i] == features && gs->last && !strcmp(gs->last, name))
			return;
	if (gs->cnt == GOLDENS_MAX || (replay.cnt > GOLDEN_FRAMES && !(features & F_DEEP)))
		return;
	g = (struct golden){ .s = s, .o = o, .f = open_memstream(&text, &sz) };
	if (!CHECK(g.f))
		return;
	replay_walk(&s->maps, process, replay.memory, replay.memory->pair, true);
	golden_print(&g, process, name, features);
	fclose(g.f);
	if (g.is_bad)
		return;
	len = (size_t)snprintf(path, sizeof(path), "%s/%s", gs->dir, name);
	for (size_t i = 0; i < ARRAY_SIZE(feature_names) && len < sizeof(path); i++)
		if (features >> i & 1)
			len += (size_t)snprintf(path + len, sizeof(path) - len, "-%s",
						feature_names[i]);
	if (len + 5 > sizeof(path))
		return;
	strcpy(path + len, ".txt");
	f = fopen(path, "we");
	if (!CHECK(f))
		return;
	CHECK_EQ(fwrite(text, 1, sz, f), sz);
	CHECK_EQ(fclose(f), 0);
	gs->seen[gs->cnt++] = features;
	gs->last = name;
	printf("# %s: %u frames, %zu bytes\n", path, replay.cnt, sz);
}

#endif
