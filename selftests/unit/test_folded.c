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
	CHECK_STR(text, "app;app+0x2345;outer;inlined 4\n"
			"kthreadd 1\n"
			"worker;[unknown];js::f;plain+0x55;app+0x2346;app+0x2345;outer;inlined;vfs_"
			"read_[k] 3\n");
	free(text);
	text = folded(&m, &(struct folded_opts){ .with_tid = true, .by_weight = true });
	CHECK_STR(text, "app-10/10;app+0x2345;outer;inlined 40\n"
			"kthreadd-2/2 10\n"
			"worker-10/"
			"11;[unknown];js::f;plain+0x55;app+0x2346;app+0x2345;outer;inlined;vfs_"
			"read_[k] 30\n");
	free(text);
	text = folded(&m, &(struct folded_opts){ .no_thread = true, .with_addr = true });
	CHECK_STR(text, "? "
			"1\n[unknown]+0xdead;[jit]+0x7f0000000000;plain+0x55;app+0x2346;app+0x2345;"
			"app+0x1234;"
			"[kernel]+0xffffffff81000010_[k] 3\napp+0x2345;app+0x1234 4\n");
	free(text);
	model_release(&m);
}

static int read_folded(const char *text, struct model *m, struct error *e)
{
	FILE *f = fmemopen((void *)text, strlen(text), "r");
	int err;

	CHECK_EQ(model_init(m), 0);
	*e = (struct error){};
	err = folded_read(f, "x.folded", m, e);
	fclose(f);
	return err;
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
		TEST(folded_back),
		{},
	};

	return test_main(tests, argc, argv);
}
