/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* test_svg.c - the flame graph of small profiles: what is drawn and what the script is given. */
#include "render/render.h"
#include "unit/render_made.h"

static void flame_exact(void)
{
	static const char drawn[] =
		"<g class=\"bs-frames\">\n"
		"<rect x=\"10\" y=\"144\" width=\"1179.5\" height=\"16\" "
		"fill=\"#e3d5c0\"><title>all (10 samples, 100.00 %)</title></rect>\n"
		"<text x=\"13\" y=\"156\">all</text>\n"
		"<rect x=\"10\" y=\"127\" width=\"117.5\" height=\"16\" "
		"fill=\"#a0c4ed\"><title>kthread (1 sample, 10.00 %)</title></rect>\n"
		"<text x=\"13\" y=\"139\">kthread</text>\n"
		"<rect x=\"128\" y=\"127\" width=\"117.5\" height=\"16\" "
		"fill=\"#fbb84a\"><title>libwork.so.1+0x678 (1 sample, 10.00 %)</title></rect>\n"
		"<text x=\"131\" y=\"139\">libwork.so.1+..</text>\n"
		"<rect x=\"246\" y=\"127\" width=\"943.5\" height=\"16\" "
		"fill=\"#f79a3e\"><title>main (8 samples, 80.00 %)</title></rect>\n"
		"<text x=\"249\" y=\"139\">main</text>\n"
		"<rect x=\"246\" y=\"110\" width=\"117.5\" height=\"16\" "
		"fill=\"#c3a9de\"><title>[anon] (1 sample, 10.00 %)</title></rect>\n"
		"<text x=\"249\" y=\"122\">[anon]</text>\n"
		"<rect x=\"364\" y=\"110\" width=\"471.5\" height=\"16\" "
		"fill=\"#fbb84a\"><title>libwork.so.1+0x678 (4 samples, 40.00 %)</title></rect>\n"
		"<text x=\"367\" y=\"122\">libwork.so.1+0x678</text>\n"
		"<rect x=\"836\" y=\"110\" width=\"117.5\" height=\"16\" "
		"fill=\"#f79a3e\"><title>main (1 sample, 10.00 %)</title></rect>\n"
		"<text x=\"839\" y=\"122\">main</text>\n"
		"<rect x=\"954\" y=\"110\" width=\"235.5\" height=\"16\" "
		"fill=\"#f79a3e\"><title>run (2 samples, 20.00 %)</title></rect>\n"
		"<text x=\"957\" y=\"122\">run</text>\n"
		"<rect x=\"954\" y=\"93\" width=\"235.5\" height=\"16\" "
		"fill=\"#f28a4d\"><title>loop&lt;a&gt; (2 samples, 20.00 %)</title></rect>\n"
		"<text x=\"957\" y=\"105\">loop&lt;a&gt;</text>\n"
		"<rect x=\"954\" y=\"76\" width=\"235.5\" height=\"16\" "
		"fill=\"#6bcdcb\"><title>clock_gettime (2 samples, 20.00 %)</title></rect>\n"
		"<text x=\"957\" y=\"88\">clock_gettime</text>\n"
		"</g>\n"
		"<text class=\"bs-notes\" x=\"10\" y=\"203\" fill=\"#777\"></text>\n"
		"<g class=\"bs-legend\" fill=\"#555\">\n"
		"<rect x=\"10\" y=\"173\" width=\"12\" height=\"12\" fill=\"#f4743b\"/><text "
		"x=\"27\" y=\"183\">file with build-id</text>\n"
		"<rect x=\"172\" y=\"173\" width=\"12\" height=\"12\" fill=\"#b79ad6\"/><text "
		"x=\"189\" y=\"183\">anonymous memory</text>\n"
		"<rect x=\"319.5\" y=\"173\" width=\"12\" height=\"12\" fill=\"#58c4c4\"/><text "
		"x=\"336.5\" y=\"183\">vdso</text>\n"
		"<rect x=\"380\" y=\"173\" width=\"12\" height=\"12\" fill=\"#6fa3e0\"/><text "
		"x=\"397\" y=\"183\">kernel</text>\n"
		"</g>\n"
		"<g class=\"bs-bar\"><rect width=\"1200\" height=\"68\" fill=\"#fdfcf8\"/>\n"
		"<text class=\"bs-title\" x=\"600\" y=\"28\" text-anchor=\"middle\" "
		"font-size=\"18\" fill=\"#333\">ten</text>\n"
		"<text class=\"bs-details\" x=\"10\" y=\"58\" fill=\"#333\">10 "
		"samples</text></g>\n";
	static const char data[] =
		"names: [\"all\",\n"
		"\"kthread\",\n"
		"\"libwork.so.1+0x678\",\n"
		"\"main\",\n"
		"\"[anon]\",\n"
		"\"run\",\n"
		"\"loop\\x3ca\\x3e\",\n"
		"\"clock_gettime\"],\n"
		"kinds: \"7154020131010541\",\n"
		"frames: [0,0,10,0,1,0,1,1,1,0,1,2,1,0,8,3,2,0,1,4,2,0,4,2,2,0,1,3,2,0,2,5,\n"
		"3,0,2,6,4,0,2,7]\n"
		"});\n"
		"})();\n"
		"]]></script>\n"
		"</svg>\n";
	struct made p;
	char *text, *script, *numbers;

	example(&p);
	text = rendered(&p.m, "flame", &(struct flame_opts){ .min_px = 0.5, .title = "ten" });
	script = strstr(text, "<script>");
	numbers = strstr(text, "names: [\"all\"");
	if (CHECK(script && numbers)) {
		CHECK_STR(numbers, data);
		*script = '\0';
		CHECK_STR(strstr(text, "<g class=\"bs-frames\">"), drawn);
	}
	free(text);
	model_release(&p.m);
}

static void flame_inverted(void)
{
	struct made p;
	char *text;

	example(&p);
	text = rendered(&p.m, "flame", &(struct flame_opts){ .min_px = 0.5, .is_inverted = true });
	/* the root on top, below it the leaves */
	CHECK(strstr(text,
		     "<rect x=\"10\" y=\"76\" width=\"1179.5\" height=\"16\" fill=\"#e3d5c0\">"
		     "<title>all (10 samples, 100.00 %)</title></rect>") != NULL);
	CHECK(strstr(text,
		     "y=\"93\" width=\"235.5\" height=\"16\" fill=\"#6bcdcb\"><title>clock_gettime"
		     " (2 samples, 20.00 %)</title>") != NULL);
	CHECK(strstr(text, "isInverted: true") != NULL);
	free(text);
	model_release(&p.m);
}

static void flame_by_weight_and_thread(void)
{
	struct made p;
	char *text;

	example(&p);
	text = rendered(&p.m, "flame",
			&(struct flame_opts){ .by_weight = true, .with_thread = true });
	CHECK(strstr(text, "<title>all (10,000 nanoseconds, 100.00 %)</title>") != NULL);
	CHECK(strstr(text, "fill=\"#e3d5c0\"><title>worker (2,000 nanoseconds, 20.00 %)</title>"));
	free(text);
	model_release(&p.m);
}

static void flame_of_nothing(void)
{
	struct made p;
	char *text;

	made_init(&p);
	text = rendered(&p.m, "flame", &(struct flame_opts){ .min_px = 0.5 });
	CHECK_EQ(times(text, "The profile holds no samples."), 1);
	CHECK_EQ(times(text, "<script"), 0);
	CHECK_EQ(times(text, "</svg>"), 1);
	free(text);
	model_release(&p.m);
}

static void flame_hostile(void)
{
	static const char *const names[] = {
		"</title><script>alert(1)</script>",
		"]]><script>alert(1)</script>",
		"\"});alert(1);({\"",
		"' onload='x",
		"&lt;script&gt;",
		"\xff\xc2\x9b\x1b\x01\xe2\x80\xa8",
		"</svg><img src=x onerror=alert(1)>",
		"\\",
		"\xf0\x9f\x94\xa5 fire",
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		struct made p;
		char *text;

		hostile(&p, names[i]);
		text = rendered(&p.m, "flame",
				&(struct flame_opts){ .title = names[i],
						      .by_weight = true,
						      .with_thread = true });
		CHECK_EQ(times(text, "<script"), 1);
		CHECK_EQ(times(text, "]]>"), 1);
		CHECK_EQ(times(text, "</svg>"), 1);
		CHECK_EQ(times(text, "<img"), 0);
		CHECK_EQ(times(text, "\"});alert"), times(text, "\\\"});alert"));
		for (const char *s = text; *s; s++)
			if (!CHECK((*s >= ' ' && *s <= '~') || *s == '\n' || *s == '\t'))
				break;
		free(text);
		model_release(&p.m);
	}
}

static void flame_of_too_many(void)
{
	const size_t leaf_cnt = FLAME_NODE_MAX + 1000;
	struct frame frames[2];
	struct made p;
	char *text, name[32];

	made_init(&p);
	frames[1] = FR(loc(&p, p.app, 1, "main"), EVID_KERNEL);
	for (size_t i = 0; i < leaf_cnt; i++) {
		snprintf(name, sizeof(name), "f%zu", i);
		frames[0] = FR(loc(&p, p.app, i + 2, name), EVID_KERNEL);
		sample(&p, (struct sample){ .stack = stack(&p, frames, 2), .count = i ? 1 : 9 },
		       "");
	}
	text = rendered(&p.m, "flame", &(struct flame_opts){ .min_px = 0.5 });
	/* the root, main and f0 are in the file, and as many of the narrowest as fit */
	CHECK(strstr(text, "dropped: 1002,") != NULL);
	CHECK(strstr(text, ">199,998 frames too narrow") != NULL);
	CHECK(strstr(text, "1,002 frames, the narrowest, are not in this file.") != NULL);
	free(text);
	model_release(&p.m);
}

static void flame_of_deep_stacks(void)
{
	struct made p;
	char *text;

	deep(&p, 127);
	text = rendered(&p.m, "flame", &(struct flame_opts){ .min_px = 0.5 });
	CHECK_EQ(times(text, "<title>"), 128);
	CHECK(strstr(text, "depthMax: 127,") != NULL);
	free(text);
	model_release(&p.m);
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		TEST(flame_exact),
		TEST(flame_inverted),
		TEST(flame_by_weight_and_thread),
		TEST(flame_of_nothing),
		TEST(flame_hostile),
		TEST(flame_of_too_many),
		TEST(flame_of_deep_stacks),
		{},
	};

	return test_main(tests, argc, argv);
}
