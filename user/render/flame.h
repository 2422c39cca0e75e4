/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * flame.h - the two halves of a flame graph: which frames are in the file and where they lie, and
 * how the picture is written. Internal.
 */
#ifndef BSTACK_RENDER_FLAME_H
#define BSTACK_RENDER_FLAME_H

#include "render/render.h"
#include "render/text.h"

/* Pixels. */
#define FLAME_WIDTH  1200
#define FLAME_PAD    10
#define FLAME_HEAD   76 /* title, and the line of details */
#define FLAME_FOOT   52 /* legend and notes */
#define FLAME_ROW    17
#define FLAME_CHAR   7.25 /* width of a character of the 12 pixel monospace font */
#define FLAME_SHADES 6

/* More kinds than modules have: what has a name but no module. To the script a kind is a digit. */
#define KIND_NAMED     (KIND_GROUP + 1)
#define FLAME_KIND_CNT (KIND_NAMED + 1)

struct flame_frame {
	uint32_t node; /* of the tree */
	uint32_t depth;
	uint64_t start; /* in the unit of totals, from the left edge */
};
struct flame_layout {
	struct flame_frame *frames; /* parents before children, siblings from left to right */
	size_t cnt, cap;
	uint32_t depth_max;
	uint64_t dropped;               /* frames beyond FLAME_NODE_MAX */
	uint64_t static_cut, title_cut; /* totals: frames as wide are drawn; have a tooltip */
};
int flame_layout_init(const struct tree *t, double min_px, struct flame_layout *ret);
void flame_layout_release(struct flame_layout *l);

/* Which shade of its kind's colour a name has: the same in every picture. */
unsigned flame_shade(const char *name);
extern const char *const flame_colors[FLAME_KIND_CNT][FLAME_SHADES];

#endif
