/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* test_render.c - summary, tree, report, JSON and flame graph of small profiles, exactly. */
#include "test.h"

#include "render/flame.h"
#include "render/render.h"
#include "render/text.h"

/* A profile that is built by hand: one mapping of each kind that matters. */
struct made {
	struct model m;
	uint32_t app, lib, vdso, kernel, anon;
};

static uint32_t str(struct made *p, const char *s)
{
	uint32_t id = 0;

	CHECK_EQ(strtab_add(&p->m.strings, s, &id), 0);
	return id;
}

static uint32_t mapping(struct made *p, enum module_kind kind, const char *path, const char *id,
			bool has_symbols)
{
	struct mapping map = { .kind = kind, .path = str(p, path), .has_symbols = has_symbols };
	uint32_t ret = 0;

	if (id)
		CHECK_EQ(build_id_parse(id, &map.build_id), 0);
	CHECK_EQ(model_mapping(&p->m, &map, &ret), 0);
	return ret;
}

/* A location with the named functions, innermost first, separated by '|'; "" has none. */
static uint32_t loc(struct made *p, uint32_t map, uint64_t addr, const char *names)
{
	struct line lines[8] = {};
	char *copy = strdup(names), *save = NULL;
	uint32_t ret = 0;
	size_t cnt = 0;

	for (char *s = strtok_r(copy, "|", &save); s && cnt < 8; s = strtok_r(NULL, "|", &save))
		CHECK_EQ(model_function(&p->m, s, s, &lines[cnt++].function), 0);
	CHECK_EQ(model_location(&p->m, map, addr, MODEL_NONE, &ret), 0);
	CHECK_EQ(model_set_lines(&p->m, ret, lines, cnt), 0);
	free(copy);
	return ret;
}

#define FR(l, e)     ((struct frame){ .location = (l), .evidence = (e) })
#define FR_NO(l, r)  ((struct frame){ .location = (l), .evidence = EVID_NONE, .reason = (r) })
#define STACK(p, ...)                                                                              \
	stack(p, (struct frame[]){ __VA_ARGS__ },                                                  \
	      sizeof((struct frame[]){ __VA_ARGS__ }) / sizeof(struct frame))

static uint32_t stack(struct made *p, const struct frame *frames, size_t cnt)
{
	uint32_t ret = 0;

	CHECK_EQ(model_stack(&p->m, frames, cnt, &ret), 0);
	return ret;
}

static void sample(struct made *p, struct sample s, const char *comm)
{
	s.comm = str(p, comm);
	s.weight = s.weight ? s.weight : s.count * 1000;
	CHECK_EQ(model_sample(&p->m, &s), 0);
}

static void made_init(struct made *p)
{
	*p = (struct made){};
	CHECK_EQ(model_init(&p->m), 0);
	p->app = mapping(p, MODULE_ELF, "/opt/app", "aabb", true);
	p->lib = mapping(p, MODULE_ELF, "/usr/lib/libwork.so.1", "0123456789", false);
	p->vdso = mapping(p, MODULE_VDSO, "[vdso]", NULL, true);
	p->kernel = mapping(p, MODULE_KERNEL, "[kernel]", NULL, true);
	p->anon = mapping(p, MODULE_ANON, "[anon]", NULL, false);
}

/*
 * Ten samples: 4 work <- main, 2 clock <- run <- main where run holds the inlined loop, 1 main called
 * by itself that fell back and healed, 1 broken in the library, 1 that fell back and was not healed, 1
 * kernel thread.
 */
static void example(struct made *p)
{
	uint32_t main_fn, run, work, clock, idle, jit;

	made_init(p);
	main_fn = loc(p, p->app, 0x1234, "main");
	run = loc(p, p->app, 0x2345, "loop<a>|run");
	work = loc(p, p->lib, 0x678, "");
	clock = loc(p, p->vdso, 0x10, "clock_gettime");
	idle = loc(p, p->kernel, 0xffff1000, "kthread");
	jit = loc(p, p->anon, 0x7000, "");
	sample(p,
	       (struct sample){ .stack = STACK(p, FR(work, EVID_KERNEL), FR(main_fn, EVID_KERNEL)),
				.pid = 100, .tid = 100, .outcome = OUTCOME_ROOTED, .count = 4 },
	       "app");
	sample(p,
	       (struct sample){ .stack = STACK(p, FR(clock, EVID_VDSO), FR(run, EVID_KERNEL),
					       FR(main_fn, EVID_KERNEL)),
				.pid = 100, .tid = 101, .outcome = OUTCOME_ROOTED, .count = 2 },
	       "app");
	sample(p,
	       (struct sample){ .stack = STACK(p, FR(main_fn, EVID_TIMELINE),
					       FR(main_fn, EVID_QUERY)),
				.pid = 100, .tid = 101, .outcome = OUTCOME_ROOTED, .count = 1,
				.cause = CAUSE_WRITER, .lock_owner = str(p, "app/102") },
	       "app");
	sample(p,
	       (struct sample){ .stack = STACK(p, FR(work, EVID_KERNEL)), .pid = 100, .tid = 102,
				.outcome = OUTCOME_BROKEN, .count = 1 },
	       "worker");
	sample(p,
	       (struct sample){ .stack = STACK(p, FR_NO(jit, REASON_ANON), FR(main_fn, EVID_QUERY)),
				.pid = 100, .tid = 102, .outcome = OUTCOME_TRUNCATED, .count = 1,
				.cause = CAUSE_SLOT_BUSY },
	       "worker");
	sample(p,
	       (struct sample){ .stack = STACK(p, FR(idle, EVID_KERNEL_TEXT)), .pid = 2, .tid = 2,
				.outcome = OUTCOME_NO_USER, .count = 1 },
	       "kthreadd");
	p->m.has_ledger = true;
	p->m.ledger = (struct ledger){ .fired = 13, .recorded = 10, .lost_ring = 2,
				       .lost_memory = 1, .ffb_anon = 1, .duration_ns = 1500000000,
				       .freq_hz = 99, .is_complete = 1 };
	p->m.event = str(p, "cpu-clock");
	p->m.event_unit = str(p, "nanoseconds");
	p->m.command = str(p, "app --fast \"x\"");
	p->m.host = str(p, "Linux 6.1 x86_64");
}

/* What a renderer writes; the caller frees it. */
static char *rendered(const struct model *m, const char *how, const void *opts)
{
	char *text = NULL;
	struct summary s = {};
	size_t sz = 0;
	FILE *f = open_memstream(&text, &sz);

	CHECK_EQ(summary_init(m, &s), 0);
	if (!strcmp(how, "text"))
		CHECK_EQ(report_text(m, &s, opts, f), 0);
	else if (!strcmp(how, "json"))
		CHECK_EQ(report_json(m, &s, opts, f), 0);
	else
		CHECK_EQ(flame_write(m, opts, f), 0);
	summary_release(&s);
	fclose(f);
	return text;
}

/* The number of times that part occurs. */
static int times(const char *text, const char *part)
{
	int cnt = 0;

	for (; (text = strstr(text, part)); text += strlen(part))
		cnt++;
	return cnt;
}

static const struct report_opts report_all = { .top_cnt = 20, .min_pct = 1 };

static void summary_counts(void)
{
	struct made p;
	struct summary s = {};

	example(&p);
	if (!CHECK_EQ(summary_init(&p.m, &s), 0))
		return;
	CHECK_EQ(s.samples, 10);
	CHECK_EQ(s.weight, 10000);
	CHECK_EQ(s.lost, 3);
	CHECK_EQ(s.user_samples, 9);
	CHECK_EQ(s.outcomes[OUTCOME_ROOTED], 7);
	CHECK_EQ(s.outcomes[OUTCOME_BROKEN], 1);
	CHECK_EQ(s.outcomes[OUTCOME_TRUNCATED], 1);
	CHECK_EQ(s.frames[EVID_KERNEL], 4 * 2 + 2 * 2 + 1);
	CHECK_EQ(s.frames[EVID_VDSO], 2);
	CHECK_EQ(s.frames[EVID_TIMELINE], 1);
	CHECK_EQ(s.frames[EVID_QUERY], 2);
	CHECK_EQ(s.frames[EVID_KERNEL_TEXT], 1);
	CHECK_EQ(s.frames[EVID_NONE], 1);
	CHECK_EQ(s.reasons[REASON_ANON], 1);
	CHECK_EQ(s.frame_total, 20);
	CHECK_EQ(s.named_frames, 14);
	CHECK_EQ(s.fell_back, 2);
	CHECK_EQ(s.healed, 1);
	CHECK_EQ(s.causes[CAUSE_WRITER], 1);
	CHECK_EQ(s.causes[CAUSE_SLOT_BUSY], 1);
	CHECK_EQ(s.causes[CAUSE_NONE], 8);
	CHECK_EQ(s.frame_fallback[FFB_ANON], 1);
	CHECK(summary_resolved_pct(&s) == 100.0 * 18 / 19);
	CHECK(summary_rooted_pct(&s) == 100.0 * 7 / 9);
	if (CHECK_EQ(s.owner_cnt, 1))
		CHECK_STR(strtab_get(&p.m.strings, s.owners[0].owner), "app/102");
	summary_release(&s);
	model_release(&p.m);
}

static void summary_modules(void)
{
	struct mapping second = { .kind = MODULE_ELF, .is_segment_known = true, .start = 0x9000,
				  .limit = 0xa000, .file_off = 0x9000, .has_symbols = true };
	struct made p;
	struct summary s = {};
	uint32_t map = 0;

	example(&p);
	/* another segment of the library, with names: still one module */
	second.build_id = p.m.mappings[p.lib].build_id;
	second.path = p.m.mappings[p.lib].path;
	CHECK_EQ(model_mapping(&p.m, &second, &map), 0);
	CHECK(map != p.lib);
	if (!CHECK_EQ(summary_init(&p.m, &s), 0) || !CHECK_EQ(s.module_cnt, 5))
		return;
	CHECK_EQ(s.modules[0].mapping, p.app);
	CHECK_EQ(s.modules[0].samples, 8);
	CHECK_EQ(s.modules[0].leaf_samples, 1);
	CHECK_EQ(s.modules[0].frames, 4 + 2 * 2 + 2 + 1);
	CHECK_EQ(s.modules[0].unnamed, 0);
	CHECK_EQ(s.modules[1].mapping, p.lib);
	CHECK_EQ(s.modules[1].samples, 5);
	CHECK_EQ(s.modules[1].leaf_samples, 5);
	CHECK_EQ(s.modules[1].broken, 1);
	CHECK_EQ(s.modules[1].unnamed, 5);
	CHECK(s.modules[1].has_symbols);
	summary_release(&s);
	model_release(&p.m);
}

static void summary_of_nothing(void)
{
	struct made p;
	struct summary s = {};

	made_init(&p);
	CHECK_EQ(summary_init(&p.m, &s), 0);
	CHECK_EQ(s.samples, 0);
	CHECK(summary_resolved_pct(&s) == 0);
	CHECK(summary_rooted_pct(&s) == 0);
	summary_release(&s);
	model_release(&p.m);
}

/* "name:self/total" of all nodes, each with as many dots before it as it is deep. */
static char *tree_text(const struct model *m, struct tree_opts o)
{
	struct tree t = {};
	struct buf b = {};
	uint32_t at = 0;
	int depth = 0;

	if (!CHECK_EQ(tree_init(m, &o, &t), 0))
		return strdup("");
	for (;;) {
		const struct tree_node *n = &t.nodes[at];

		for (int i = 0; i < depth; i++)
			buf_char(&b, '.');
		buf_printf(&b, "%s:%d/%d ", strtab_get(&t.names, n->name), (int)n->self,
			   (int)n->total);
		if (n->first_child != TREE_NONE) {
			at = n->first_child;
			depth++;
			continue;
		}
		for (; at && t.nodes[at].next_sibling == TREE_NONE; depth--)
			at = t.nodes[at].parent;
		if (!at)
			break;
		at = t.nodes[at].next_sibling;
	}
	tree_release(&t);
	return b.data;
}

static void check_tree(struct tree_opts o, const char *expected)
{
	struct made p;
	char *text;

	example(&p);
	text = tree_text(&p.m, o);
	CHECK_STR(text, expected);
	free(text);
	model_release(&p.m);
}

static void tree_of_callers(void)
{
	check_tree((struct tree_opts){},
		   "all:0/10 .kthread:1/1 .libwork.so.1+0x678:1/1 .main:0/8 ..[anon]:1/1 "
		   "..libwork.so.1+0x678:4/4 ..main:1/1 ..run:0/2 ...loop<a>:0/2 "
		   "....clock_gettime:2/2 ");
}

static void tree_of_callees(void)
{
	check_tree((struct tree_opts){ .is_inverted = true },
		   "all:0/10 .[anon]:0/1 ..main:1/1 .clock_gettime:0/2 ..loop<a>:0/2 ...run:0/2 "
		   "....main:2/2 .kthread:1/1 .libwork.so.1+0x678:1/5 ..main:4/4 .main:0/1 "
		   "..main:1/1 ");
}

static void tree_with_threads(void)
{
	check_tree((struct tree_opts){ .with_thread = true, .by_weight = true },
		   "all:0/10000 .app:0/7000 ..main:0/7000 ...libwork.so.1+0x678:4000/4000 "
		   "...main:1000/1000 ...run:0/2000 ....loop<a>:0/2000 .....clock_gettime:2000/2000 "
		   ".kthreadd:0/1000 ..kthread:1000/1000 .worker:0/2000 "
		   "..libwork.so.1+0x678:1000/1000 ..main:0/1000 ...[anon]:1000/1000 ");
}

static void tree_keeps_kinds_apart(void)
{
	struct made p;
	struct tree t = {};
	char *text;

	made_init(&p);
	for (int i = 0; i < 2; i++) {
		uint32_t l = loc(&p, i ? p.kernel : p.app, 0x10, "read");

		sample(&p, (struct sample){ .stack = STACK(&p, FR(l, EVID_KERNEL)), .count = 1 },
		       "");
	}
	text = tree_text(&p.m, (struct tree_opts){ .with_thread = true });
	CHECK_STR(text, "all:0/2 .read:1/1 .read:1/1 ");
	free(text);
	CHECK_EQ(tree_init(&p.m, &(struct tree_opts){}, &t), 0);
	CHECK_EQ(t.nodes[0].kind, KIND_GROUP);
	CHECK_EQ(t.nodes[t.nodes[0].first_child].kind, MODULE_ELF);
	tree_release(&t);
	model_release(&p.m);
}

static void functions_count_recursion_once(void)
{
	struct made p;
	struct func_table t = {};

	example(&p);
	if (!CHECK_EQ(func_table_init(&p.m, &t), 0) || !CHECK_EQ(t.cnt, 7))
		return;
	CHECK_STR(strtab_get(&t.names, t.rows[0].name), "libwork.so.1+0x678");
	CHECK_STR(strtab_get(&t.names, t.rows[0].module), "libwork.so.1");
	CHECK_EQ(t.rows[0].self, 5);
	CHECK_EQ(t.rows[0].total, 5);
	CHECK_STR(strtab_get(&t.names, t.rows[2].name), "main");
	CHECK_EQ(t.rows[2].self, 1);
	CHECK_EQ(t.rows[2].total, 8);
	func_table_release(&t);
	model_release(&p.m);
}
