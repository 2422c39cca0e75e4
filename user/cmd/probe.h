/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* probe.h - an event of the form uprobe:PATH:SYMBOL[+OFFSET]: from the name to the place in the file. */
#ifndef BSTACK_PROBE_H
#define BSTACK_PROBE_H

#include "collect/event.h"

/* Is this the name of a probe? NULL is none. */
bool is_probe(const char *name);
/*
 * SYMBOL is a function in the file's own symbol tables, as it stands there (mangled), or a link-time address as 0xADDR.
 * 0; -EINVAL: the name is no such event; -errno: it is one that cannot be had.
 */
int probe_init(const char *name, struct event *ret, struct error *e);

#endif
