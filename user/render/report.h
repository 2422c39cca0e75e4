/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* report.h - the two halves of report_text: how much to believe, and what was hot. Internal. */
#ifndef BSTACK_RENDER_REPORT_H
#define BSTACK_RENDER_REPORT_H

#include "render/render.h"
#include "render/text.h"

#define REPORT_COLUMNS 100

struct report {
	const struct model *m;
	const struct summary *s;
	const struct report_opts *o;
	struct sink sink;
};
void report_ledger(struct report *r);
int report_hot(struct report *r); /* functions and call tree: 0, -ENOMEM, -E2BIG */
void report_heading(struct report *r, const char *fmt, ...) PRINTF(2, 3);

#endif
