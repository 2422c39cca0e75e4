/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* differ_dwfl.h - the same stack by libdwfl, and what libdw knows of one address. */
#ifndef BSTACK_DIFFER_DWFL_H
#define BSTACK_DIFFER_DWFL_H

#include <dwarf.h>
#include <elfutils/libdwfl.h>

#include "differ_memory.h"

#define CHAIN_MAX  (BSTACK_FRAMES + 1) /* one more tells that there is one more */
#define CHAIN_REGS (BSTACK_REGS + 1)   /* those that survive calls, and sp */

/* DWARF's numbers of enum bstack_reg, then of sp */
static const uint8_t chain_dw[CHAIN_REGS] = {
	[BSTACK_BP] = 6,   [BSTACK_BX] = 3,   [BSTACK_R12] = 12, [BSTACK_R13] = 13,
	[BSTACK_R14] = 14, [BSTACK_R15] = 15, [BSTACK_REGS] = 7,
};

/* A stack as libdwfl finds it. */
struct chain {
	uint64_t pcs[CHAIN_MAX];
	bool is_activation
		[CHAIN_MAX]; /* the pc was not called from: it is the instruction itself */
	uint64_t regs[CHAIN_MAX][CHAIN_REGS];
	uint8_t known[CHAIN_MAX]; /* bit of each of them that libdwfl knows */
	size_t cnt;
	bool is_rooted;    /* it ended at an undefined return address */
	const char *error; /* why it ended otherwise; NULL: it goes on */
};

struct oracle {
	Dwfl *dwfl;
	pid_t pid;
	struct memory memory;
	struct chain chain;
};

static pid_t thread_next(Dwfl *dwfl, void *ctx, void **thread)
{
	struct oracle *o = ctx;

	(void)dwfl;
	if (*thread)
		return 0;
	*thread = o;
	return o->pid;
}

static bool thread_get(Dwfl *dwfl, pid_t tid, void *ctx, void **thread)
{
	(void)dwfl;
	(void)tid;
	*thread = ctx;
	return true;
}

static bool thread_memory(Dwfl *dwfl, Dwarf_Addr addr, Dwarf_Word *ret, void *ctx)
{
	struct oracle *o = ctx;

	(void)dwfl;
	return memory_read(&o->memory, addr, ret);
}

static bool thread_registers(Dwfl_Thread *thread, void *ctx)
{
	static const uint8_t perf_of[17] = {
		PERF_REG_X86_AX,  PERF_REG_X86_DX,  PERF_REG_X86_CX,  PERF_REG_X86_BX,
		PERF_REG_X86_SI,  PERF_REG_X86_DI,  PERF_REG_X86_BP,  PERF_REG_X86_SP,
		PERF_REG_X86_R8,  PERF_REG_X86_R9,  PERF_REG_X86_R10, PERF_REG_X86_R11,
		PERF_REG_X86_R12, PERF_REG_X86_R13, PERF_REG_X86_R14, PERF_REG_X86_R15,
		PERF_REG_X86_IP,
	};
	struct oracle *o = ctx;
	Dwarf_Word regs[17];

	for (int i = 0; i < 17; i++)
		regs[i] = o->memory.pair->regs[perf_of[i]];
	return dwfl_thread_state_registers(thread, 0, 17, regs);
}

/* No separate debug information, and no server asked for it: .eh_frame is in the files themselves. */
static int no_debuginfo(Dwfl_Module *mod, void **data, const char *name, Dwarf_Addr base,
			const char *file, const char *link, GElf_Word crc, char **ret)
{
	(void)mod, (void)data, (void)name, (void)base, (void)file, (void)link, (void)crc, (void)ret;
	return -1;
}

static void oracle_close(struct oracle *o)
{
	dwfl_end(o->dwfl);
	memory_close(&o->memory);
}

static bool oracle_open(struct oracle *o, pid_t pid, bool is_frozen)
{
	static const Dwfl_Callbacks files = {
		.find_elf = dwfl_linux_proc_find_elf,
		.find_debuginfo = no_debuginfo,
	};
	static const Dwfl_Thread_Callbacks threads = {
		.next_thread = thread_next,
		.get_thread = thread_get,
		.memory_read = thread_memory,
		.set_initial_registers = thread_registers,
	};

	*o = (struct oracle){ .pid = pid, .memory = { .fd = -1, .is_frozen = is_frozen } };
	if (!memory_open(&o->memory, pid))
		return false;
	o->dwfl = dwfl_begin(&files);
	if (o->dwfl && !dwfl_linux_proc_report(o->dwfl, pid) &&
	    !dwfl_report_end(o->dwfl, NULL, NULL) &&
	    dwfl_attach_state(o->dwfl, NULL, pid, &threads, o))
		return true;
	test_fail(__FILE__, __LINE__, "libdwfl: %s", dwfl_errmsg(-1));
	oracle_close(o);
	return false;
}

static int frame_take(Dwfl_Frame *frame, void *ctx)
{
	struct chain *c = &((struct oracle *)ctx)->chain;
	Dwarf_Addr pc;
	bool is_activation;

	if (!dwfl_frame_pc(frame, &pc, &is_activation))
		return DWARF_CB_ABORT;
	c->pcs[c->cnt] = pc;
	c->is_activation[c->cnt] = is_activation;
	for (unsigned int i = 0; i < CHAIN_REGS; i++) {
		Dwarf_Word v;

		if (dwfl_frame_reg(frame, chain_dw[i], &v))
			continue;
		c->regs[c->cnt][i] = v;
		c->known[c->cnt] |= (uint8_t)(1 << i);
	}
	return ++c->cnt == CHAIN_MAX ? DWARF_CB_ABORT : DWARF_CB_OK;
}

/* o->chain: the stack of a sample. o->memory.has_missed: memory was asked for that nobody kept. */
static void oracle_walk(struct oracle *o, const struct pair *p)
{
	int ret;

	o->memory.pair = p;
	o->memory.has_missed = false;
	o->chain = (struct chain){};
	dwfl_errno();
	ret = dwfl_getthread_frames(o->dwfl, (pid_t)p->tid, frame_take, o);
	o->chain.is_rooted = !ret;
	if (ret)
		o->chain.error = o->chain.cnt == CHAIN_MAX ? NULL : dwfl_errmsg(-1);
}

/* libdw's rule at an address (to be freed); NULL: there is none. */
static Dwarf_Frame *oracle_frame_at(const struct oracle *o, uint64_t addr)
{
	Dwfl_Module *mod = dwfl_addrmodule(o->dwfl, addr);
	Dwarf_Addr bias;
	Dwarf_CFI *cfi = mod ? dwfl_module_eh_cfi(mod, &bias) : NULL;
	Dwarf_Frame *f = NULL;

	return cfi && !dwarf_cfi_addrframe(cfi, addr - bias, &f) ? f : NULL;
}

static bool oracle_has_rule(const struct oracle *o, uint64_t addr)
{
	Dwarf_Frame *f = oracle_frame_at(o, addr);

	free(f);
	return f;
}

static bool oracle_is_signal(const struct oracle *o, uint64_t addr)
{
	Dwarf_Frame *f = oracle_frame_at(o, addr);
	bool is_signal = false;

	if (f)
		dwarf_frame_info(f, NULL, NULL, &is_signal);
	free(f);
	return is_signal;
}

#endif
