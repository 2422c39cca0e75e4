/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * folded.h - folded stacks, the line format of flame graph tools:
 * "thread;root;...;leaf COUNT". Names are cleaned: ';' becomes ':', control characters,
 * bytes that are not UTF-8 and newlines become '?', length is cut at FOLDED_NAME_MAX with "...".
 */
#ifndef BSTACK_PROFILE_FOLDED_H
#define BSTACK_PROFILE_FOLDED_H

#include "profile/model.h"

#define FOLDED_NAME_MAX 1024

struct folded_opts {
	bool with_pid;    /* "thread-PID" as first field */
	bool with_tid;    /* "thread-PID/TID" */
	bool with_addr;   /* names as name+0x..: every frame as module+0xaddr */
	bool with_module; /* name [module] */
	bool no_thread;   /* leave the thread name out */
	bool by_weight;   /* weights instead of sample counts */
};

/* Equal lines are merged, lines sorted by their frames; a sample without any frame gives the thread
 * name alone: nothing is dropped. Frames end in folded_suffix(). 0 or -errno of the write. */
int folded_write(const struct model *m, const struct folded_opts *o, FILE *out);

/* What other tools write, too, behind names of kernel code, _[k], and of code made at run time,
 * _[j]; NULL: nothing. */
const char *folded_suffix(enum module_kind kind);

/* Append a cleaned name to out; shared with the renderers. */
void name_clean(struct buf *out, const char *name);

/*
 * Read folded text into an initialised, empty m: names become functions of MODULE_OTHER, or of the
 * kind whose folded_suffix() they end in. The first field is a frame like every other. Blank lines
 * and lines starting with '#' are skipped. A line without a count, or a count that is not a number,
 * is -EINVAL with the line number; fractions are rounded down.
 */
#define FOLDED_LINE_MAX (1 << 20)
int folded_read(FILE *in, const char *name, struct model *m, struct error *e);

#endif
