/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * uncovered.h - rows for code that every file has and no .eh_frame covers: the entry point of the dynamic
 * loader, and .init and .fini, which are put together of crti.o and crtn.o. Nothing is guessed: bytes that
 * are not known exactly get no row.
 */
#ifndef BSTACK_UNWIND_UNCOVERED_H
#define BSTACK_UNWIND_UNCOVERED_H

#include "unwind/table.h"
#include <gelf.h>

/* To a finished table, which is finished again. 0 or -ENOMEM, -E2BIG. */
int uncovered_add(Elf *elf, struct unwind_table *t);

#endif
