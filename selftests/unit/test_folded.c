/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* test_folded.c - folded text out and in, exactly, and the names that hostile symbols and threads have. */
#include "profile_made.h"

static void names(void)
{
	struct buf b = {};
	struct model m;

	CHECK_EQ(model_init(&m), 0);
	model_name(&m, location(&m, mapping(&m, MODULE_ELF, "/usr/lib/libx.so.1", 1), 0x1f, NULL),
		   0, &b);
	CHECK_STR(b.data, "libx.so.1+0x1f");
	buf_reset(&b);
	model_name(&m, location(&m, mapping(&m, MODULE_OTHER, "[unknown]", 0), 0x7f00, NULL), 0,
		   &b);
	CHECK_STR(b.data, "[unknown]");
	buf_reset(&b);
	name_clean(&b, "a;b\nc\x1b[1m\xff\xc3\xa9\xed\xa0\x80 z\x7f");
	CHECK_STR(b.data, "a:b?c?[1m?\xc3\xa9??? z?");
	buf_reset(&b);
	for (int i = 0; i < 28 * 1024; i++)
		buf_char(&b, i % 2 ? '\xa9' : '\xc3');
	{
		struct buf c = {};

		name_clean(&c, b.data);
		CHECK(c.len <= FOLDED_NAME_MAX && c.len >= FOLDED_NAME_MAX - 1);
		CHECK_STR(c.data + c.len - 5, "\xc3\xa9...");
		buf_release(&c);
	}
	buf_release(&b);
	model_release(&m);
}

static void folded_exact(void)
{
	struct model m;
	char *text;

	CHECK_EQ(model_init(&m), 0);
	fill(&m);
	text = folded(&m, &(struct folded_opts){});
	CHECK_STR(text,
		  "app;app+0x2345;outer;inlined 4\n"
		  "kthreadd 1\n"
		  "worker;[unknown];js::f_[j];plain+0x55;app+0x2346;app+0x2345;outer;inlined;vfs_"
		  "read_[k] 3\n");
	free(text);
	text = folded(&m, &(struct folded_opts){ .with_tid = true, .by_weight = true });
	CHECK_STR(text, "app-10/10;app+0x2345;outer;inlined 40\n"
			"kthreadd-2/2 10\n"
			"worker-10/"
			"11;[unknown];js::f_[j];plain+0x55;app+0x2346;app+0x2345;outer;inlined;vfs_"
			"read_[k] 30\n");
	free(text);
	text = folded(&m, &(struct folded_opts){ .no_thread = true, .with_addr = true });
	CHECK_STR(text,
		  "? "
		  "1\n[unknown]+0xdead;[jit]+0x7f0000000000_[j];plain+0x55;app+0x2346;app+0x2345;"
		  "app+0x1234;"
		  "[kernel]+0xffffffff81000010_[k] 3\napp+0x2345;app+0x1234 4\n");
	free(text);
	model_release(&m);
}

/* Thread and functions with everything that could end a field, a line, or a terminal's patience. */
static void folded_hostile(void)
{
	static const char evil[] = "a;b\n\x1b[31m\t\xff 7";
	struct frame f[2] = {};
	struct buf want = {};
	char huge[28 * 1024 + 1];
	struct model m;
	char *text;

	memset(huge, 'h', sizeof(huge) - 1);
	huge[sizeof(huge) - 1] = '\0';
	CHECK_EQ(model_init(&m), 0);
	m.has_ledger = true;
	f[0].location = location(&m, mapping(&m, MODULE_KERNEL, "[kernel]", 0), 1, evil);
	f[1].location = location(&m, mapping(&m, MODULE_ELF, "/x/e;v\nil.so", 1), 0x10, NULL);
	sample(&m, f, 2, (struct sample){ .comm = str(&m, evil), .count = 1 });
	f[0].location = location(&m, 0, 2, huge);
	sample(&m, f, 1, (struct sample){ .count = 2 }); /* a thread without a name */
	sample(&m, NULL, 0, (struct sample){ .comm = str(&m, "gone"), .count = 3 });
	buf_str(&want, "?;");
	for (int i = 0; i < FOLDED_NAME_MAX - 3; i++)
		buf_char(&want, 'h');
	buf_str(&want, "..._[k] 2\n"
		       "a:b??[31m?? 7;e:v?il.so+0x10;a:b??[31m?? 7_[k] 1\n"
		       "gone 3\n");
	text = folded(&m, &(struct folded_opts){});
	CHECK_STR(text, want.data);
	free(text);
	text = folded(&m, &(struct folded_opts){ .with_module = true, .with_pid = true });
	CHECK(strstr(text, "a:b??[31m?? 7-0;e:v?il.so+0x10 [e:v?il.so];"
			   "a:b??[31m?? 7 [kernel]_[k] 1\n"));
	free(text);
	buf_release(&want);
	model_release(&m);
}

static void folded_of_nothing(void)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);
	struct model m;

	CHECK_EQ(model_init(&m), 0);
	CHECK_EQ(folded_write(&m, &(struct folded_opts){}, f), 0);
	fclose(f);
	CHECK_EQ(len, 0);
	free(text);
	model_release(&m);
}

static void folded_disk_full(void)
{
	struct model m;
	FILE *f = fopen("/dev/full", "w");

	CHECK_EQ(model_init(&m), 0);
	fill(&m);
	CHECK_EQ(folded_write(&m, &(struct folded_opts){}, f), -ENOSPC);
	fclose(f);
	model_release(&m);
}

static int read_folded_n(const char *text, size_t len, struct model *m, struct error *e)
{
	FILE *f = fmemopen((void *)text, len, "r");
	int err;

	CHECK_EQ(model_init(m), 0);
	*e = (struct error){};
	err = folded_read(f, "x.folded", m, e);
	fclose(f);
	return err;
}

static int read_folded(const char *text, struct model *m, struct error *e)
{
	return read_folded_n(text, strlen(text), m, e);
}

/* A line at the limit, one behind it, one with a NUL, and one of more frames than there can be. */
static void folded_limits(void)
{
	static char line[FOLDED_LINE_MAX + 4];
	struct error e;
	struct model m;

	memset(line, 'x', FOLDED_LINE_MAX - 2);
	memcpy(line + FOLDED_LINE_MAX - 2, " 1\n", 4);
	CHECK_EQ(read_folded(line, &m, &e), 0);
	CHECK_EQ(m.sample_cnt, 1);
	model_release(&m);
	memcpy(line + FOLDED_LINE_MAX - 2, "x 1\n", 5);
	CHECK_EQ(read_folded(line, &m, &e), -EINVAL);
	CHECK_STR(e.text, "cannot read x.folded: line 1: longer than a line can be");
	CHECK_STR(e.advice, "a line is FRAME;FRAME;...;FRAME COUNT");
	model_release(&m);
	CHECK_EQ(read_folded_n("a 1\nb\0c 2\nd 3\n", 14, &m, &e), -EINVAL);
	CHECK_STR(e.text, "cannot read x.folded: line 2: a NUL byte: this is no text");
	model_release(&m);
	for (size_t i = 0; i < MODEL_FRAME_MAX; i++)
		memcpy(line + 2 * i, "f;", 2);
	memcpy(line + 2 * MODEL_FRAME_MAX - 1, " 1\n", 4);
	CHECK_EQ(read_folded(line, &m, &e), 0);
	CHECK_EQ(m.stacks[0].frame_cnt, MODEL_FRAME_MAX);
	model_release(&m);
	memcpy(line + 2 * MODEL_FRAME_MAX - 1, ";f 1\n", 6);
	CHECK_EQ(read_folded(line, &m, &e), -EINVAL);
	CHECK_STR(e.text, "cannot read x.folded: line 1: more frames than a stack can have");
	model_release(&m);
}

/* What the suffixes say, and a last line without its newline. */
static void folded_kinds(void)
{
	const struct frame *f;
	struct error e;
	struct model m;

	CHECK_EQ(read_folded("sh;user;jitted_[j];sys_read_[k] 7", &m, &e), 0);
	CHECK_EQ(m.sample_cnt, 1);
	CHECK_EQ(m.samples[0].count, 7);
	CHECK_EQ(m.samples[0].weight, 7);
	if (!CHECK_EQ(m.frame_cnt, 4))
		return;
	f = m.frames;
	CHECK_EQ(m.mappings[m.locations[f[0].location].mapping].kind, MODULE_KERNEL);
	CHECK_EQ(m.mappings[m.locations[f[1].location].mapping].kind, MODULE_JIT);
	CHECK_EQ(m.mappings[m.locations[f[2].location].mapping].kind, MODULE_OTHER);
	CHECK_EQ(f[0].evidence, EVID_NONE);
	CHECK_EQ(f[0].reason, REASON_UNKNOWN);
	model_release(&m);
}

static void folded_back(void)
{
	static const struct {
		const char *text, *why;
	} bad[] = {
		{ "a;b 1\nno count\n", "cannot read x.folded: line 2: no count at its end" },
		{ "a;b -1\n", "cannot read x.folded: line 1: no count at its end" },
		{ "a 1x\n", "cannot read x.folded: line 1: no count at its end" },
		{ "a 99999999999999999999999\n",
		  "cannot read x.folded: line 1: no count at its end" },
		{ "a 9223372036854775807\nb 1\n",
		  "cannot read x.folded: line 2: more samples than can be counted" },
		{ " 5\n", "cannot read x.folded: line 1: no count at its end" },
	};
	struct error e;
	struct model m;
	char *text;

	CHECK_EQ(read_folded("# made by hand\n\nmain;f x;vfs_read_[k] 3\r\nmain;f x;vfs_read_[k] "
			     "2.9\na;;b 1\n",
			     &m, &e),
		 0);
	text = folded(&m, &(struct folded_opts){});
	CHECK_STR(text, "a;?;b 1\nmain;f x;vfs_read_[k] 5\n");
	CHECK(!m.has_ledger);
	free(text);
	model_release(&m);
	/* The kind stays, and only one suffix is the kind's. */
	CHECK_EQ(read_folded("main;f_[j]_[j] 2\nmain;g_[j] 1\nmain;h_[j]_[k] 1\nmain;i_[k]_[j] 1\n",
			     &m, &e),
		 0);
	text = folded(&m, &(struct folded_opts){});
	CHECK_STR(text, "main;f_[j]_[j] 2\nmain;g_[j] 1\nmain;h_[j]_[k] 1\nmain;i_[k]_[j] 1\n");
	free(text);
	model_release(&m);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		CHECK_EQ(read_folded(bad[i].text, &m, &e), -EINVAL);
		CHECK_STR(e.text, bad[i].why);
		model_release(&m);
	}
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		TEST(names),
		TEST(folded_exact),
		TEST(folded_hostile),
		TEST(folded_disk_full),
		TEST(folded_back),
		TEST(folded_limits),
		TEST(folded_kinds),
		TEST(folded_of_nothing),
		{},
	};

	return test_main(tests, argc, argv);
}
