/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* test_report.c - the report of a small profile, as text and as JSON, exactly. */
#include "render/text.h"
#include "unit/render_made.h"

static void report_exact(void)
{
	static const char expected[] =
		"command   app --fast \"x\"\n"
		"host      Linux 6.1 x86_64\n"
		"event     cpu-clock, 99 a second, for 1.5 s\n"
		"\n"
		"HOW MUCH TO BELIEVE\n"
		"samples                     10\n"
		"  lost                       3   23.08 %  of the events that fired\n"
		"    ring                     2   15.38 %  the ring buffer was full\n"
		"    memory                   1    7.69 %  no memory in the profiler\n"
		"  no user stack              1   10.00 %  kernel threads, and processes in the "
		"middle of exec\n"
		"\n"
		"user stacks                  9\n"
		"  rooted                     7   77.78 %  reaches the thread's entry point\n"
		"  truncated                  1   11.11 %  cut at the frame limit, leaf side kept\n"
		"  broken                     1   11.11 %  ends before the thread's entry point\n"
		"    frame-pointer            1   11.11 %  walked by frame pointers, which led no "
		"further\n"
		"    in                       1   11.11 %  libwork.so.1\n"
		"\n"
		"frames                      20\n"
		"  named                     14   70.00 %  have a function's name\n"
		"  kernel                    13   65.00 %  the kernel's build-id helper, checked "
		"against the file\n"
		"  timeline                   1    5.00 %  recorded executable mappings and "
		"learned frames\n"
		"  query                      2   10.00 %  asked of /proc while the process lived\n"
		"  vdso                       2   10.00 %  the kernel's vdso\n"
		"  kernel_text                1    5.00 %  kernel code\n"
		"  unresolved                 1    5.00 %\n"
		"    anonymous                1    5.00 %  anonymous executable memory\n"
		"\n"
		"fell back                    2   20.00 %  samples whose stack came as raw "
		"addresses\n"
		"  healed                     1   50.00 %  of these: every user frame resolved "
		"after all\n"
		"  slot-busy                  1   10.00 %  this CPU's irq_work unlock slot was "
		"taken\n"
		"  writer                     1   10.00 %  a thread held mmap_lock for writing\n"
		"    held by                  1   10.00 %  app/102\n"
		"frames fell back             1    5.00 %  single frames of other stacks\n"
		"  anon                       1    5.00 %  anonymous memory\n"
		"\n"
		"MODULES THAT LACK SYMBOLS\n"
		"      samples     share   unnamed  module\n"
		"            5   50.00 %  100.00 %  /usr/lib/libwork.so.1\n"
		"                                   build-id 0123456789\n"
		"Debug symbols are found by build-id: install the -dbgsym package of the file's "
		"package\n"
		"(dpkg -S PATH names it), or say where they are with --debug-dir; then bstack "
		"symbolize.\n"
		"\n"
		"HOTTEST FUNCTIONS\n"
		"         self      self     total  module                function\n"
		"            5   50.00 %   50.00 %  libwork.so.1          libwork.so.1+0x678\n"
		"            2   20.00 %   20.00 %  [vdso]                clock_gettime\n"
		"            1   10.00 %   80.00 %  app                   main\n"
		"            1   10.00 %   10.00 %  [anon]                [anon]\n"
		"            1   10.00 %   10.00 %  [kernel]              kthread\n"
		"            0    0.00 %   20.00 %  app                   loop<a>\n"
		"            0    0.00 %   20.00 %  app                   run\n"
		"\n"
		"CALL TREE, branches of at least 1 % of the samples\n"
		"     total      self  function\n"
		"  100.00 %            all\n"
		"   70.00 %            ├ app [thread]\n"
		"   70.00 %            │ main\n"
		"   40.00 %   40.00 %  │ ├ libwork.so.1+0x678\n"
		"   20.00 %            │ ├ run\n"
		"   20.00 %            │ │ loop<a>\n"
		"   20.00 %   20.00 %  │ │ clock_gettime\n"
		"   10.00 %   10.00 %  │ └ main\n"
		"   20.00 %            ├ worker [thread]\n"
		"   10.00 %   10.00 %  │ ├ libwork.so.1+0x678\n"
		"   10.00 %            │ └ main\n"
		"   10.00 %   10.00 %  │   [anon]\n"
		"   10.00 %            └ kthreadd [thread]\n"
		"   10.00 %   10.00 %    kthread [kernel]\n";
	struct made p;
	char *text;

	example(&p);
	text = rendered(&p.m, "text", &report_all);
	CHECK_STR(text, expected);
	free(text);
	model_release(&p.m);
}

static void report_without_tree_and_names(void)
{
	static const struct report_opts o = { .no_tree = true };
	struct made p;
	char *text;

	example(&p);
	text = rendered(&p.m, "text", &o);
	CHECK(!strstr(text, "HOTTEST"));
	CHECK(!strstr(text, "CALL TREE"));
	CHECK(strstr(text, "build-id 0123456789\n") != NULL);
	free(text);
	model_release(&p.m);
}

static void report_hides_light_branches(void)
{
	static const struct report_opts o = { .top_cnt = 1, .min_pct = 25 };
	struct made p;
	char *text;

	example(&p);
	text = rendered(&p.m, "text", &o);
	CHECK(strstr(text, "self      self     total  module                function\n"
			   "            5   50.00 %   50.00 %  libwork.so.1          "
			   "libwork.so.1+0x678\n"
			   "\n"
			   "CALL TREE, branches of at least 25 % of the samples\n"
			   "     total      self  function\n"
			   "  100.00 %            all\n"
			   "   70.00 %            app [thread]\n"
			   "   70.00 %            main\n"
			   "   40.00 %   40.00 %  libwork.so.1+0x678\n") != NULL);
	free(text);
	model_release(&p.m);
}

static void report_says_cut_and_foreign(void)
{
	struct made p;
	char *text;

	example(&p);
	p.m.is_cut = true;
	text = rendered(&p.m, "text", &report_all);
	CHECK_EQ(times(text, "This profile is cut"), 1);
	CHECK_EQ(times(text, "Not recorded by bstack"), 0);
	free(text);
	p.m.is_cut = false;
	p.m.has_ledger = false;
	text = rendered(&p.m, "text", &report_all);
	CHECK_EQ(times(text, "This profile is cut"), 0);
	CHECK_EQ(times(text, "Not recorded by bstack"), 1);
	CHECK_EQ(times(text, "rooted"), 0);
	free(text);
	model_release(&p.m);
}

static size_t longest_line(const char *text)
{
	size_t longest = 0;

	while (*text) {
		const char *end = strchr(text, '\n');
		size_t columns = 0;

		for (end = end ? end : text + strlen(text); text < end;)
			columns += utf8_next(&text) != 0;
		longest = columns > longest ? columns : longest;
		text += *text == '\n';
	}
	return longest;
}

static void report_is_100_columns(void)
{
	static const char name[] =
		"a_function_with_a_name_that_is_much_longer_than_any_line_can_be_";
	char wide[300] = "";
	struct made p;
	char *text;
	uint32_t l;

	while (strlen(wide) + sizeof(name) < sizeof(wide))
		strcat(wide, name);
	example(&p);
	l = loc(&p, mapping(&p, MODULE_ELF, wide, NULL, false), 1, wide);
	sample(&p,
	       (struct sample){ .stack = STACK(&p, FR(l, EVID_KERNEL)),
				.count = 1234567890,
				.cause = CAUSE_WRITER,
				.lock_owner = str(&p, wide) },
	       wide);
	p.m.command = str(&p, wide);
	p.m.ledger.ffb_unknown = 1;
	for (int i = REASON_NO + 1; i < REASON_CNT; i++) {
		l = loc(&p, p.anon, 0x9000 + (uint64_t)i, "");
		sample(&p, (struct sample){ .stack = STACK(&p, FR_NO(l, (uint8_t)i)), .count = 1 },
		       "");
	}
	text = rendered(&p.m, "text", &report_all);
	CHECK(longest_line(text) <= 100);
	CHECK(strstr(text, "..\n") != NULL);
	free(text);
	model_release(&p.m);
}

static void deep_stacks(void)
{
	struct made p;
	char *text;

	deep(&p, 127);
	text = rendered(&p.m, "text", &report_all);
	CHECK_EQ(times(text, "\n  100.00 %            "),
		 65); /* all, thread, 63 of the common half */
	CHECK(strstr(text, "\n   75.00 %   75.00 %  f127\n") != NULL);
	CHECK(longest_line(text) <= 100);
	free(text);
	text = rendered(&p.m, "json", &report_all);
	CHECK_EQ(times(text, "\"children\""), JSON_DEPTH_MAX - 1);
	CHECK_EQ(times(text, "\"omitted\":9}"), 1); /* 129 nodes, of which 120 are there */
	free(text);
	model_release(&p.m);
}

static void deeper_than_any_stack(void)
{
	struct made p;
	char *text;

	deep(&p, MODEL_FRAME_MAX);
	text = rendered(&p.m, "json", &report_all);
	CHECK_EQ(times(text, "\"omitted\":906}"), 1);
	free(text);
	model_release(&p.m);
}

static void json_exact(void)
{
	static const char expected[] =
		"{\"tool\":\"bstack\",\"version\":\"" BSTACK_VERSION
		"\",\"event\":\"cpu-clock\",\"unit\":\"nanose"
		"conds\",\"command\":\"app --fast \\\"x\\\"\",\"host\":\"Linux 6.1 x86_64\",\n"
		"\"ledger\":{\n"
		"\"samples\":10,\"weight\":10000,\"lost\":3,\"user_samples\":9,\"rooted\":7,\"trunc"
		"ated\":1,\"broken\":1,\"no_user\":1,\"fp_stacks\":0,\"frame_total\":20,\"named_"
		"frames\":14,\"fell_"
		"back\":2,\"healed\":1,\n"
		"\"resolved_pct\":94.7368,\"rooted_pct\":77.7778,\n"
		"\"frames\":{\"kernel\":13,\"proven\":0,\"timeline\":1,\"query\":2,\"jit\":0,\"vdso"
		"\":2,\"kernel_text\":1,\"none\":1},\n"
		"\"stops\":{\"frame-pointer\":1,\"no-table\":0,\"no-mapping\":0,\"no-row\":0,"
		"\"unsupported\":0,"
		"\"unreadable\":0,\"stuck\":0,\"stale\":0},\n"
		"\"unresolved\":{\"anonymous\":1,\"no-build-id\":0,\"process-gone\":0,\"garbage\":0"
		",\"conflict\":0,\"bad-offset\":0,\"forged\":0,\"special\":0,\"denied\":0,"
		"\"unchecked\":0,\"no-process\":0,\"unknown"
		"\":0},\n"
		"\"fallback\":{\"slot-busy\":1,\"writer\":1,\"waiter\":0,\"rt\":0,\"no-mm\":0,\"unk"
		"nown\":0},\n"
		"\"lock_owners\":[{\"owner\":\"app/102\",\"samples\":1}],\n"
		"\"frame_fallback\":{\"no-vma\":0,\"anon\":1,\"no-file\":0,\"no-note\":0,\"not-resi"
		"dent\":0,\"bad-offset\":0,\"unknown\":0},\n"
		"\"modules\":[\n"
		"{\"build_id\":\"aabb\",\"path\":\"/opt/app\",\"kind\":\"elf\",\"samples\":8,\"leaf"
		"_samples\":1,\"broken\":0,\"frames\":11,\"unnamed\":0,\"has_symbols\":true},\n"
		"{\"build_id\":\"0123456789\",\"path\":\"/usr/lib/libwork.so.1\",\"kind\":\"elf\","
		"\"samples\":5,\"leaf_samples\":5,\"broken\":1,\"frames\":5,\"unnamed\":5,\"has_sym"
		"bols\":false},\n"
		"{\"build_id\":\"\",\"path\":\"[vdso]\",\"kind\":\"vdso\",\"samples\":2,\"leaf_samp"
		"les\":2,\"broken\":0,\"frames\":2,\"unnamed\":0,\"has_symbols\":true},\n"
		"{\"build_id\":\"\",\"path\":\"[kernel]\",\"kind\":\"kernel\",\"samples\":1,\"leaf_"
		"samples\":1,\"broken\":0,\"frames\":1,\"unnamed\":0,\"has_symbols\":true},\n"
		"{\"build_id\":\"\",\"path\":\"[anon]\",\"kind\":\"anon\",\"samples\":1,\"leaf_samp"
		"les\":1,\"broken\":0,\"frames\":1,\"unnamed\":1,\"has_symbols\":false}],\n"
		"\"fired\":13,\"recorded\":10,\"lost_ring\":2,\"lost_nested\":0,\"lost_memory\":1,"
		"\"lost_stackmap\":0,"
		"\"sideband_lost\":0,\"inconsistent\":0,\"cut_frames\":0,\"ffb_no_vma\":0,\"ffb_"
		"anon\":1,\"ffb_no_fi"
		"le\":0,\"ffb_no_note\":0,\"ffb_not_resident\":0,\"ffb_bad_offset\":0,\"ffb_unknown"
		"\":0,\"duration_ns\":1500000000,\"start_ns\":0,\"period\":0,\"freq_hz\":99,\"bpf_"
		"runs\":0,\"bpf_ns\":0,\"unwind_tables\":0,\"unwind_rows\":0,\"unwind_table_ns\":0,"
		"\"unwind_text_bytes\":0,\"unwind_evicted\":0,\"unwind_no_room\":0,\"unwind_sent\":"
		"0,"
		"\"unwind_sent_bytes\":0,\"counted\":0,\"no_sequence\":0,\"counted_vma\":0,"
		"\"known_files\":0,\"known_evicted\":0,\"targets_missed\":0,"
		"\"vma_asked\":0,"
		"\"vma_failed\":0,\"is_complete\":"
		"1,\n"
		"\"has_ledger\":true,\"is_cut\":false},\n"
		"\"functions\":[\n"
		"{\"name\":\"libwork.so.1+0x678\",\"module\":\"libwork.so.1\",\"self\":5,\"total\":"
		"5},\n"
		"{\"name\":\"clock_gettime\",\"module\":\"[vdso]\",\"self\":2,\"total\":2},\n"
		"{\"name\":\"main\",\"module\":\"app\",\"self\":1,\"total\":8},\n"
		"{\"name\":\"[anon]\",\"module\":\"[anon]\",\"self\":1,\"total\":1},\n"
		"{\"name\":\"kthread\",\"module\":\"[kernel]\",\"self\":1,\"total\":1},\n"
		"{\"name\":\"loop<a>\",\"module\":\"app\",\"self\":0,\"total\":2},\n"
		"{\"name\":\"run\",\"module\":\"app\",\"self\":0,\"total\":2}],\n"
		"\"tree\":{\"name\":\"all\",\"kind\":\"all\",\"self\":0,\"total\":10,\"children\":["
		"\n"
		"{\"name\":\"app\",\"kind\":\"thread\",\"self\":0,\"total\":7,\"children\":[\n"
		"{\"name\":\"main\",\"kind\":\"elf\",\"self\":0,\"total\":7,\"children\":[\n"
		"{\"name\":\"libwork.so.1+0x678\",\"kind\":\"elf\",\"self\":4,\"total\":4},\n"
		"{\"name\":\"main\",\"kind\":\"elf\",\"self\":1,\"total\":1},\n"
		"{\"name\":\"run\",\"kind\":\"elf\",\"self\":0,\"total\":2,\"children\":[\n"
		"{\"name\":\"loop<a>\",\"kind\":\"elf\",\"self\":0,\"total\":2,\"children\":[\n"
		"{\"name\":\"clock_gettime\",\"kind\":\"vdso\",\"self\":2,\"total\":2}]}]}]}]},\n"
		"{\"name\":\"kthreadd\",\"kind\":\"thread\",\"self\":0,\"total\":1,\"children\":[\n"
		"{\"name\":\"kthread\",\"kind\":\"kernel\",\"self\":1,\"total\":1}]},\n"
		"{\"name\":\"worker\",\"kind\":\"thread\",\"self\":0,\"total\":2,\"children\":[\n"
		"{\"name\":\"libwork.so.1+0x678\",\"kind\":\"elf\",\"self\":1,\"total\":1},\n"
		"{\"name\":\"main\",\"kind\":\"elf\",\"self\":0,\"total\":1,\"children\":[\n"
		"{\"name\":\"[anon]\",\"kind\":\"anon\",\"self\":1,\"total\":1}]}]}]}}\n";
	struct made p;
	char *text;

	example(&p);
	text = rendered(&p.m, "json", &report_all);
	CHECK_STR(text, expected);
	free(text);
	model_release(&p.m);
}

static void json_hostile(void)
{
	struct made p;
	char *text;

	hostile(&p, "a\"b\\c\x01\n\x1b[31m\xff\xc2\x9b\xe2\x80\xae\xc3\xa9");
	text = rendered(&p.m, "json", &report_all);
	CHECK(strstr(text, "\"command\":\"a\\\"b\\\\c\\u0001\\u000a\\u001b[31m\\ufffd\\u009b\\u202e"
			   "\xc3\xa9\"") != NULL);
	for (const char *s = text; *s;) {
		uint32_t cp = utf8_next(&s);

		CHECK(cp != 0xfffd && (cp == '\n' || !is_unprintable(cp)));
	}
	free(text);
	model_release(&p.m);
}

static void text_hostile(void)
{
	struct made p;
	char *text;

	hostile(&p, "a\x1b[31m\r\n\x07\xff\xc2\x9b\xe2\x80\xae;b");
	text = rendered(&p.m, "text", &report_all);
	for (const char *s = text; *s;) {
		uint32_t cp = utf8_next(&s);

		CHECK(cp != 0xfffd && (cp == '\n' || !is_unprintable(cp)));
	}
	CHECK(strstr(text, "command   a?[31m??????;b\n") != NULL);
	free(text);
	model_release(&p.m);
}

/* A disk that is full is an error of each renderer, not a short file. */
static void full_disk(void)
{
	struct made p;
	struct summary s = {};
	FILE *f = fopen("/dev/full", "w");

	example(&p);
	if (!CHECK(f != NULL) || !CHECK_EQ(summary_init(&p.m, &s), 0))
		return;
	CHECK_EQ(report_text(&p.m, &s, &report_all, f), -ENOSPC);
	CHECK_EQ(report_json(&p.m, &s, &report_all, f), -ENOSPC);
	CHECK_EQ(flame_write(&p.m, &(struct flame_opts){}, f), -ENOSPC);
	fclose(f);
	summary_release(&s);
	model_release(&p.m);
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		TEST(report_exact),
		TEST(report_without_tree_and_names),
		TEST(report_hides_light_branches),
		TEST(report_says_cut_and_foreign),
		TEST(report_is_100_columns),
		TEST(deep_stacks),
		TEST(deeper_than_any_stack),
		TEST(json_exact),
		TEST(json_hostile),
		TEST(text_hostile),
		TEST(full_disk),
		{},
	};

	return test_main(tests, argc, argv);
}
