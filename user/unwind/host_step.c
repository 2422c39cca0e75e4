/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* host_step.c - see host_step.h. Memory outside what came with the sample cannot be read. */
#include "unwind/host_step.h"

#include <string.h>

/* What the steps of bpf/unwind.h look things up in: set by host_step() for as long as it runs. */
static _Thread_local const struct unwind_maps *arrays;
static _Thread_local const struct stack_rest *stack;

#define AT(array, cnt, i)         ((size_t)(i) < arrays->cnt ? &arrays->array[i] : NULL)
#define UNWIND_ROW(i)             AT(rows, row_cnt, i)
#define UNWIND_PAGE(i)            AT(pages, page_cnt, i)
#define UNWIND_RULE(i)            AT(rules, rule_cnt, i)
#define UNWIND_MODULE(i)          AT(modules, module_cnt, i)
#define UNWIND_MAPPING(i)         AT(mappings, mapping_cnt, i)
#define UNWIND_READ(addr, p)      stack_read(addr, p)
#define UNWIND_READ_PAIR(addr, p) (stack_read(addr, p) || stack_read((addr) + 8, (p) + 1))

static int stack_read(uint64_t addr, __u64 *ret)
{
	if (addr < stack->base || stack->sz < sizeof(*ret) ||
	    addr - stack->base > stack->sz - sizeof(*ret))
		return -1;
	memcpy(ret, stack->bytes + (addr - stack->base), sizeof(*ret));
	return 0;
}

#include "bpf/unwind.h"

bool host_is_fp_step(const struct unwind_maps *maps, uint32_t module, uint32_t pc)
{
	const struct bstack_module *m = module < maps->module_cnt ? &maps->modules[module] : NULL;

	arrays = maps;
	if (!m)
		return module == BSTACK_MODULE_FP;
	return m->instead == BSTACK_MODULE_FP && (!m->row_cnt || !unwind_rule(m, pc));
}

int host_step(const struct unwind_maps *maps, struct stack_rest *s, uint32_t module, uint32_t pc)
{
	arrays = maps;
	stack = s;
	s->is_fp_step = host_is_fp_step(maps, module, pc);
	return unwind_in_module(&s->state, module, pc);
}
