/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* test_render.c - ledger, call tree and functions of small profiles, counted exactly. */
#include "render/text.h"
#include "unit/render_made.h"

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
	struct mapping second = { .kind = MODULE_ELF,
				  .is_segment_known = true,
				  .start = 0x9000,
				  .limit = 0xa000,
				  .file_off = 0x9000,
				  .has_symbols = true };
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
	check_tree(
		(struct tree_opts){ .with_thread = true, .by_weight = true },
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

static void numbers_for_people(void)
{
	char s[NUM_SZ];

	CHECK_STR(num_group(0, s), "0");
	CHECK_STR(num_group(999, s), "999");
	CHECK_STR(num_group(1000, s), "1,000");
	CHECK_STR(num_group(UINT64_MAX, s), "18,446,744,073,709,551,615");
	CHECK_STR(num_pct(1, 3, s), "33.33 %");
	CHECK_STR(num_pct(0, 3, s), "0.00 %");
	CHECK_STR(num_pct(1, 1000000, s), "0.01 %");
	CHECK_STR(num_pct(999999, 1000000, s), "99.99 %");
	CHECK_STR(num_pct(7, 7, s), "100.00 %");
	CHECK_STR(num_pct(0, 0, s), "");
}

static void text_is_cut_between_characters(void)
{
	struct buf b = {};

	CHECK_EQ(text_add(&b, "\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9", 4), 4);
	CHECK_STR(b.data, "\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9");
	buf_reset(&b);
	CHECK_EQ(text_add(&b, "\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9", 4), 4);
	CHECK_STR(b.data, "\xc3\xa9\xc3\xa9..");
	buf_reset(&b);
	/* cut short, too long, surrogate, beyond the last */
	CHECK_EQ(text_add(&b, "\xe2\x82|\xc0\x80|\xed\xa0\x80|\xf4\x90\x80\x80", 99), 14);
	CHECK_STR(b.data, "??|??|???|????");
	buf_release(&b);
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		TEST(summary_counts),
		TEST(summary_modules),
		TEST(summary_of_nothing),
		TEST(tree_of_callers),
		TEST(tree_of_callees),
		TEST(tree_with_threads),
		TEST(tree_keeps_kinds_apart),
		TEST(functions_count_recursion_once),
		TEST(numbers_for_people),
		TEST(text_is_cut_between_characters),
		{},
	};

	return test_main(tests, argc, argv);
}
