/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * cfi.h - executes the call frame instructions of one function (DWARF 5, 6.4) and hands out each row that
 * they make. x86-64's register numbers.
 */
#ifndef BSTACK_UNWIND_CFI_H
#define BSTACK_UNWIND_CFI_H

#include "unwind/table.h"

/* A reader over bytes that never goes beyond their end: is_bad is set instead, and zeros come out. */
struct bytes {
	const uint8_t *p, *end;
	bool is_bad;
};
uint64_t bytes_uint(struct bytes *b, size_t sz);
uint64_t bytes_uleb(struct bytes *b);
int64_t bytes_sleb(struct bytes *b);
/* The next len bytes as a reader of their own. */
struct bytes bytes_take(struct bytes *b, uint64_t len);

/* What a CIE tells of its FDEs. */
struct cie {
	uint64_t code_align;
	int64_t data_align;
	uint64_t ra_reg;
	uint8_t encoding; /* DW_EH_PE_* of addresses in FDEs */
	bool has_augmentation_data, is_signal;
	struct bytes program;
};

/* Rows of the function [start, end): CIE's program, then its own. 0, -EINVAL for a program that lies (rows
 * before that point stay), -ENOMEM, -E2BIG. */
int cfi_execute(const struct cie *cie, struct bytes program, uint64_t start, uint64_t end,
		struct unwind_table *t);
/* An encoded pointer (DW_EH_PE_*); addr is its own link-time address. False: not supported. */
bool eh_pointer(struct bytes *b, uint8_t encoding, uint64_t addr, uint64_t *ret);

#endif
