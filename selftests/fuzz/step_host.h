/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * step_host.h - bpf/unwind.h on the host, its arrays filled with whatever the input holds. A row of `arrays` each;
 * an index outside what the step was told to use is a finding.
 */
#ifndef BSTACK_FUZZ_STEP_HOST_H
#define BSTACK_FUZZ_STEP_HOST_H

#include "bpf/abi.h"
#include "fuzz.h"

static struct {
	struct bstack_row *rows;
	struct bstack_page *pages;
	struct bstack_rule *rules;
	struct bstack_module *modules;
	struct bstack_mapping *mappings;
	size_t row_cnt, page_cnt, rule_cnt, module_cnt, mapping_cnt;
	struct bstack_process process;
	const struct bstack_module *module; /* that the step looked up last */
	const uint8_t *stack;
	size_t stack_sz;
	uint64_t stack_addr;
	size_t look_ups, reads;
} host;

static const struct {
	void **data;
	size_t *cnt;
	size_t elem_sz, max;
} arrays[] = {
	{ (void **)&host.mappings, &host.mapping_cnt, sizeof(*host.mappings), 15 },
	{ (void **)&host.modules, &host.module_cnt, sizeof(*host.modules), 3 },
	{ (void **)&host.rules, &host.rule_cnt, sizeof(*host.rules), 31 },
	{ (void **)&host.rows, &host.row_cnt, sizeof(*host.rows), 63 },
	{ (void **)&host.pages, &host.page_cnt, sizeof(*host.pages), 15 },
};

static void host_fill(struct fuzz_in *in)
{
	for (size_t i = 0; i < ARRAY_SIZE(arrays); i++) {
		size_t cnt = fuzz_uint(in, 1) & arrays[i].max;
		void *data = malloc(cnt ? cnt * arrays[i].elem_sz : 1);

		FUZZ_CHECK(data);
		fuzz_bytes(in, data, cnt * arrays[i].elem_sz);
		*arrays[i].data = data;
		*arrays[i].cnt = cnt;
	}
}

static void host_release(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(arrays); i++)
		free(*arrays[i].data);
	memset(&host, 0, sizeof(host));
}

/* Is i one of cnt from first on? A map of BPF's holds all tables: an index may wrap, and is none then. */
static bool is_of(uint32_t i, uint32_t first, uint32_t cnt)
{
	return i - first < cnt;
}

static const struct bstack_row *host_row(uint32_t i)
{
	host.look_ups++;
	FUZZ_CHECK(is_of(i, host.module->first_row, host.module->row_cnt));
	return i < host.row_cnt ? &host.rows[i] : NULL;
}

static const struct bstack_page *host_page(uint32_t i)
{
	host.look_ups++;
	FUZZ_CHECK(is_of(i, host.module->first_row / BSTACK_ROWS_A_PAGE, host.module->page_cnt));
	return i < host.page_cnt ? &host.pages[i] : NULL;
}

static const struct bstack_rule *host_rule(uint32_t i)
{
	host.look_ups++;
	FUZZ_CHECK(is_of(i, host.module->first_rule, host.module->rule_cnt));
	return i < host.rule_cnt ? &host.rules[i] : NULL;
}

static const struct bstack_module *host_module(uint32_t i)
{
	host.look_ups++;
	return host.module = i < host.module_cnt ? &host.modules[i] : NULL;
}

static const struct bstack_mapping *host_mapping(uint32_t i)
{
	host.look_ups++;
	FUZZ_CHECK(is_of(i, host.process.first, host.process.cnt));
	return i < host.mapping_cnt ? &host.mappings[i] : NULL;
}

static int host_read(uint64_t addr, void *ret)
{
	host.reads++;
	if (addr < host.stack_addr || host.stack_sz < sizeof(uint64_t) ||
	    addr - host.stack_addr > host.stack_sz - sizeof(uint64_t))
		return -1;
	memcpy(ret, host.stack + (addr - host.stack_addr), sizeof(uint64_t));
	return 0;
}

#define UNWIND_ROW(i)               host_row(i)
#define UNWIND_PAGE(i)              host_page(i)
#define UNWIND_RULE(i)              host_rule(i)
#define UNWIND_MODULE(i)            host_module(i)
#define UNWIND_MAPPING(i)           host_mapping(i)
#define UNWIND_READ(addr, ret)      host_read(addr, ret)
#define UNWIND_READ_PAIR(addr, ret) (host_read(addr, ret) || host_read((addr) + 8, (ret) + 1))

#include "bpf/unwind.h"

/* Most look-ups of one step: two searches, the entry that each finds, the two mappings found last, the module, the page and
 * the rule. */
#define LOOK_UPS_MAX (UNWIND_MAPPING_MAX + UNWIND_SEARCH_MAX + 7)

#endif
