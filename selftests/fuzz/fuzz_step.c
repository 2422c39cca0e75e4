/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * fuzz_step.c - the walk that BPF does (bpf/unwind.h), over tables, registers and a stack of nonsense: every step
 * does a bounded number of look-ups, all of them where it was told to look, and climbs, but for signal
 * frames, which may lead anywhere.
 */
#include "step_host.h"

#define READS_MAX 6 /* CFA's register, CFA, bp, the pair as two, the return address alone */

static void walk(struct unwind_state *s)
{
	struct bstack_step step;

	for (int i = 0; i < BSTACK_FRAMES; i++) {
		uint64_t sp = s->sp;
		bool was_caller = s->is_caller;
		int end;

		host.look_ups = host.reads = 0;
		end = unwind_step(&host.process, s, &step);
		FUZZ_CHECK(host.look_ups <= LOOK_UPS_MAX && host.reads <= READS_MAX);
		FUZZ_CHECK(!end || (end >= BSTACK_END_ROOT && end <= BSTACK_END_FP_LOST));
		if (end)
			return;
		FUZZ_CHECK(step.module != BSTACK_MODULE_PENDING);
		/* bp + 16 may wrap around at the end of memory; the stack of the input does not reach there */
		FUZZ_CHECK(!s->is_caller || s->sp > sp || (!was_caller && s->sp == sp));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = { data, size };
	struct unwind_state s;
	uint8_t *stack;

	fuzz_bytes(&in, &host.process.first, sizeof(uint16_t));
	fuzz_bytes(&in, &host.process.cnt, sizeof(uint16_t));
	fuzz_bytes(&in, &s, sizeof(s));
	s.is_caller &= 1;
	host.stack_addr = fuzz_uint(&in, 6);
	host_fill(&in);
	stack = fuzz_copy(in.p, in.len);
	host.stack = stack;
	host.stack_sz = in.len;
	walk(&s);
	free(stack);
	host_release();
	return 0;
}
