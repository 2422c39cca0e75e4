/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * table.h - the unwind table of one file: rows of {pc, rule}, the rules they share, and an index of the
 * code's pages. Made from .eh_frame, or .debug_frame where only that is there. The file is hostile: what it says is checked,
 * what is not understood becomes a rule that says so, and nothing in it leads outside its bytes.
 */
#ifndef BSTACK_UNWIND_TABLE_H
#define BSTACK_UNWIND_TABLE_H

#include "base/base.h"
#include "bpf/abi.h"

/* Call frame instructions of one section, each function counted as 32 more. Counted on libLLVM 14: 6 a row, and so
 * even a file of UNWIND_ROWS_MAX rows stays below. */
#define UNWIND_WORK_MAX  ((size_t)1 << 27)
#define UNWIND_ROWS_MAX  ((size_t)1 << 24) /* of one file: what bpf/unwind.h can search */
#define UNWIND_RULES_MAX ((size_t)BSTACK_RULE_NONE)

struct unwind_table {
	uint64_t base;           /* link-time address that pc 0 stands for */
	struct bstack_row *rows; /* by pc; the last one has no rule */
	size_t row_cnt, row_cap;
	struct bstack_rule *rules;
	size_t rule_cnt, rule_cap;
	struct hmap rule_map;
	uint16_t recent[4]; /* rules found last */
	size_t recent_next;
	size_t unsupported_cnt; /* rows whose rule is not supported */
	size_t work;            /* call frame instructions executed, see UNWIND_WORK_MAX */
	struct bstack_page *pages;
	uint32_t page_cnt, page_shift;
	bool has_fp_gaps; /* where no row is, step by frame pointer: Go, and files compiled without unwind tables */
};

/* From the ELF file in fd. -ENOEXEC: no ELF of this machine; -ENOENT: it has no unwind information; -E2BIG,
 * -ENOMEM. */
int unwind_table_read(int fd, struct unwind_table *ret);
/* From an image in memory (the vdso). */
int unwind_table_read_image(const void *image, size_t sz, struct unwind_table *ret);
void unwind_table_release(struct unwind_table *t);

/* One section's bytes, loaded at vaddr; is_debug: .debug_frame. For unwind_table_read, and for tests. */
int unwind_frames_parse(const uint8_t *data, size_t len, uint64_t vaddr, bool is_debug,
			uint64_t base, struct unwind_table *t);
/* Sort rows, drop what repeats. After it the rows can be searched. */
void unwind_table_finish(struct unwind_table *t);
/* Make the index of pages. After it the table can be placed. 0 or -ENOMEM. */
int unwind_table_index(struct unwind_table *t);
/* How many rows to reserve for it: a multiple of BSTACK_ROWS_A_PAGE. */
uint32_t unwind_table_room(const struct unwind_table *t);
/* Copy it to places reserved for it; what stands for it then. first_row is a multiple of BSTACK_ROWS_A_PAGE. */
struct bstack_module unwind_table_place(const struct unwind_table *t, struct bstack_row *rows,
					struct bstack_page *pages, struct bstack_rule *rules,
					uint32_t first_row, uint32_t first_rule);
int unwind_table_add(struct unwind_table *t, uint64_t vaddr,
		     const struct bstack_rule *rule); /* NULL: none */

#endif
