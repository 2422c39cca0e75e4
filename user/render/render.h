/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * render.h - a profile as people and programs read it. Each function writes to out and returns 0 or
 * -errno of the write; nothing is fetched, printed elsewhere or kept. Names from a profile are
 * hostile: cleaned (profile/folded.h name_clean), and escaped for the format.
 */
#ifndef BSTACK_RENDER_H
#define BSTACK_RENDER_H

#include "profile/model.h"

/* What report and JSON both print, computed once: the ledger of belief. */
struct module_row {
	uint32_t mapping;
	uint64_t samples; /* samples with a frame in it */
	uint64_t leaf_samples;
	uint64_t broken;          /* stacks that ended in it before their root */
	uint64_t frames, unnamed; /* frames in it; of these without a name: weighted by samples */
	bool has_symbols;         /* of any of its segments */
};
struct owner_row {
	uint32_t owner; /* string: "comm/tid" */
	uint64_t samples;
};
struct summary {
	uint64_t samples, weight, lost, user_samples;
	uint64_t outcomes[OUTCOME_CNT];
	uint64_t stops[STOP_CNT]; /* of broken stacks */
	uint64_t fp_stacks;       /* with a step by frame pointer, for want of unwind information */
	uint64_t frames[EVID_CNT]; /* frames, weighted by samples */
	uint64_t reasons[REASON_CNT];
	uint64_t causes[CAUSE_CNT]; /* samples */
	uint64_t frame_fallback[FFB_CNT];
	uint64_t fell_back; /* samples with a cause */
	uint64_t healed;    /* of these: every user frame resolved */
	uint64_t named_frames, frame_total;
	/* By samples, most first. A file with several segments is one row: the first one's mapping. */
	struct module_row *modules;
	size_t module_cnt;
	struct owner_row *owners; /* by samples, most first */
	size_t owner_cnt;
};
int summary_init(const struct model *m, struct summary *ret);
void summary_release(struct summary *s);
double summary_resolved_pct(const struct summary *s); /* user frames not `none`, of user frames */
double summary_rooted_pct(const struct summary *s);   /* rooted, of user_samples */
/* Both are 0 where there is nothing to be a share of. */

/*
 * Call tree of a profile; node 0 is the root "all". Shared by the report and the flame graph. A
 * parent stands before its children: a walk from the last node to the first meets children first.
 */
#define TREE_MAX   ((size_t)1 << 28)
#define TREE_NONE  UINT32_MAX
#define KIND_GROUP MODULE_KIND_CNT /* of the root and of threads: no code */
struct tree_node {
	uint32_t name; /* string id in tree.names: cleaned, merged by name */
	uint8_t kind;  /* enum module_kind or KIND_GROUP: equal names of two kinds stay apart */
	uint32_t parent, first_child, next_sibling; /* UINT32_MAX: none; siblings sorted by name */
	uint64_t self, total;                       /* samples (or weight) */
};
struct tree {
	struct strtab names;
	struct tree_node *nodes;
	size_t cnt, cap;
	struct hmap map;
};
struct tree_opts {
	bool by_weight;
	bool with_thread; /* first level: thread name, where there is one */
	bool is_inverted; /* leaf at the root */
};
int tree_init(const struct model *m, const struct tree_opts *o, struct tree *ret);
void tree_release(struct tree *t);

/* What functions cost, hottest first: by self, then total, then name. */
struct func_row {
	uint32_t name, module; /* string ids in func_table.names, cleaned */
	uint8_t kind;          /* enum module_kind */
	uint64_t self, total;  /* samples; recursion counts once in total */
};
struct func_table {
	struct strtab names;
	struct func_row *rows;
	size_t cnt, cap;
	struct hmap map;
};
int func_table_init(const struct model *m, struct func_table *ret);
void func_table_release(struct func_table *t);

/* "elf", "no-build-id", "jit", "anon", "vdso", "kernel", "unknown": keys in JSON. */
extern const char *const module_kind_keys[MODULE_KIND_CNT];

struct report_opts {
	size_t top_cnt; /* functions, default 20 */
	double min_pct; /* of the tree: hide below, default 1 */
	bool no_tree;
	bool with_color; /* terminal */
};
int report_text(const struct model *m, const struct summary *s, const struct report_opts *o,
		FILE *out);
/*
 * The same data as one JSON object, ASCII and UTF-8 only. "tree" is nested ("children"), pruned by
 * min_pct like the text; below JSON_DEPTH_MAX levels, where common readers of JSON give up, a node
 * has "omitted", the number of nodes below it, instead.
 */
#define JSON_DEPTH_MAX 120
int report_json(const struct model *m, const struct summary *s, const struct report_opts *o,
		FILE *out);

struct flame_opts {
	const char *title; /* NULL: "Flame Graph" */
	double min_px;     /* frames narrower than this are not drawn, but counted, and seen when
			       * zoomed; 0: all */
	bool is_inverted;  /* icicle from the leaf */
	bool by_weight;
	bool with_thread;
};
/*
 * One self-contained SVG: no script but its own, no external fetches; zoom, reset, search. Viewers
 * without script see the whole graph, drawn. Beyond FLAME_NODE_MAX frames the narrowest are left
 * out of the file; the picture says how many.
 */
#define FLAME_NODE_MAX 200000
int flame_write(const struct model *m, const struct flame_opts *o, FILE *out);

#endif
