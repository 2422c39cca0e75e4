/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* test_opt.c - the option parser, and that help, man page and completion take any table. */
#include "test.h"

#include "cli/opt.h"

struct values {
	bool json, kernel;
	const char *output, *event;
	uint64_t freq, any;
	double pct;
	struct opt_strs dirs;
	struct opt_u64s pids;
};

#define FIELD(f) offsetof(struct values, f)
static const struct opt table[] = {
	{ .name = "json", .offset = FIELD(json), .help = "Write JSON." },
	{ 'k', "kernel", NULL, OPT_FLAG, FIELD(kernel), 0, 0, "Event", "Kernel too.", NULL },
	{ 'o', "output", "FILE", OPT_STR, FIELD(output), 0, 0, "Output", "To FILE.", "file" },
	{ 'e', "event", "EVENT", OPT_STR, FIELD(event), 0, 0, "Event", "Which.",
	  "cycles cpu-clock" },
	{ 'F', "freq", "HZ", OPT_U64, FIELD(freq), 1, 100000, "Event", "How often.", "none" },
	{ 0, "any", "N", OPT_U64, FIELD(any), 0, 18446744073709551615.0, "Event", "Any.", NULL },
	{ 0, "percent", "P", OPT_DOUBLE, FIELD(pct), 0, 100, "Output", "At least.", NULL },
	{ 'D', "debug-dir", "DIR", OPT_STRS, FIELD(dirs), 0, 0, "Output", "Where.", "dir" },
	{ 'p', "pid", "PID[,PID]", OPT_U64_LIST, FIELD(pids), 1, 4194304, "Target", "Who.", "pid" },
	{},
};
static const struct command one = {
	.name = "try", .args = "[FILE]", .summary = "try things", .opts = table, .max_args = 1
};
static const struct command pair = { .name = "pair",
				     .args = "A B",
				     .summary = "take two",
				     .opts = table,
				     .min_args = 2,
				     .max_args = 2 };
static const struct command many = { .name = "run",
				     .args = "[-- COMMAND ARGS]",
				     .summary = "run things",
				     .opts = table,
				     .complete = "command",
				     .max_args = SIZE_MAX };

#define ARGV_MAX 128
struct run {
	char *argv[ARGV_MAX + 1];
	int argc, first, err;
	struct values v;
	struct error e;
};

/* Parse a NULL-terminated list of words, each in memory of its own so that an overrun is seen. */
static void parse_v(struct run *r, const struct command *c, const char *const *words)
{
	*r = (struct run){ .first = -1 };
	r->argv[r->argc++] = strdup(c->name);
	for (; *words && r->argc < ARGV_MAX; words++)
		r->argv[r->argc++] = strdup(*words);
	r->err = opt_parse(c, r->argc, r->argv, &r->v, &r->first, &r->e);
}

static void run_release(struct run *r)
{
	for (int i = 0; i < r->argc; i++)
		free(r->argv[i]);
	opt_u64s_release(&r->v.pids);
}

#define PARSE(r, c, ...) parse_v(r, c, (const char *const[]){ __VA_ARGS__, NULL })

/* The parse is refused with exactly this text. */
#define CHECK_REFUSED(c, text_, ...)         \
	do {                                 \
		struct run r_;               \
		PARSE(&r_, c, __VA_ARGS__);  \
		CHECK_EQ(r_.err, -EINVAL);   \
		CHECK_STR(r_.e.text, text_); \
		CHECK_EQ(r_.first, -1);      \
		run_release(&r_);            \
	} while (0)

static void every_kind(void)
{
	struct run r;

	PARSE(&r, &one, "--json", "--output=a", "-e", "cycles", "--freq", "99", "--percent=0.5",
	      "--debug-dir", "x", "-Dy", "-p1,2", "--pid=3", "--any", "18446744073709551615");
	CHECK_EQ(r.err, 0);
	CHECK_EQ(r.first, r.argc);
	CHECK(r.v.json);
	CHECK(!r.v.kernel);
	CHECK_STR(r.v.output, "a");
	CHECK_STR(r.v.event, "cycles");
	CHECK_EQ(r.v.freq, 99);
	CHECK(r.v.any == UINT64_MAX);
	CHECK(r.v.pct == 0.5);
	CHECK_EQ(r.v.dirs.cnt, 2);
	CHECK_STR(r.v.dirs.v[0], "x");
	CHECK_STR(r.v.dirs.v[1], "y");
	CHECK(!r.v.dirs.v[2]);
	CHECK_EQ(r.v.pids.cnt, 3);
	CHECK(r.v.pids.is_given);
	for (size_t i = 0; i < r.v.pids.cnt; i++)
		CHECK_EQ(r.v.pids.v[i], i + 1);
	run_release(&r);
}

static void short_forms(void)
{
	struct run r;

	PARSE(&r, &one, "-kF99", "-o-");
	CHECK_EQ(r.err, 0);
	CHECK(r.v.kernel);
	CHECK_EQ(r.v.freq, 99);
	CHECK_STR(r.v.output, "-");
	run_release(&r);

	PARSE(&r, &one, "-o", "--json", "-F", "0x10");
	CHECK_EQ(r.err, 0);
	CHECK_STR(r.v.output, "--json");
	CHECK(!r.v.json);
	CHECK_EQ(r.v.freq, 16);
	run_release(&r);

	PARSE(&r, &one, "--output=", "--event=a=b");
	CHECK_EQ(r.err, 0);
	CHECK_STR(r.v.output, "");
	CHECK_STR(r.v.event, "a=b");
	run_release(&r);
}

static void defaults_stay(void)
{
	char name[] = "try", flag[] = "-k", *argv[] = { name, flag, NULL };
	struct values v = { .freq = 7, .output = "kept" };
	int first;

	CHECK_EQ(opt_parse(&one, 2, argv, &v, &first, NULL), 0);
	CHECK_EQ(v.freq, 7);
	CHECK_STR(v.output, "kept");
	CHECK(v.kernel);
	CHECK_EQ(first, 2);
	CHECK_EQ(opt_parse(&one, 0, argv + 2, &v, &first, NULL), 0);
}

static void ranges(void)
{
	CHECK_REFUSED(&one, "-F: 0 is not between 1 and 100000", "-F", "0");
	CHECK_REFUSED(&one, "-F: 100001 is not between 1 and 100000", "-F100001");
	CHECK_REFUSED(&one, "--freq: -1 is not between 1 and 100000", "--freq=-1");
	CHECK_REFUSED(&one, "--freq: 99999999999999999999 is not between 1 and 100000",
		      "--freq=99999999999999999999");
	CHECK_REFUSED(&one, "--freq: \"9x\" is not a whole number", "--freq", "9x");
	CHECK_REFUSED(&one, "--freq: \" 9\" is not a whole number", "--freq", " 9");
	CHECK_REFUSED(&one, "--freq: \"\" is not a whole number", "--freq=");
	CHECK_REFUSED(&one, "--freq: \"1.5\" is not a whole number", "--freq=1.5");
	CHECK_REFUSED(&one, "--percent: 100.1 is not between 0 and 100", "--percent=100.1");
	CHECK_REFUSED(&one, "--percent: -2 is not between 0 and 100", "--percent", "-2");
	CHECK_REFUSED(&one, "--percent: \"nan\" is not a number", "--percent=nan");
	CHECK_REFUSED(&one, "--percent: \"1e9\" is not a number", "--percent=1e9");
	CHECK_REFUSED(&one, "--percent: \".\" is not a number", "--percent=.");
}

static void lists(void)
{
	CHECK_REFUSED(&one, "-p: 0 is not between 1 and 4194304", "-p", "1,0");
	CHECK_REFUSED(&one, "-p: \"1,,2\" has an empty item", "-p", "1,,2");
	CHECK_REFUSED(&one, "-p: \"1,\" has an empty item", "-p", "1,");
	CHECK_REFUSED(&one, "-p: \"\" has an empty item", "-p", "");
	CHECK_REFUSED(&one, "--pid: \"x\" is not a whole number", "--pid=1,x");
	CHECK_REFUSED(&one,
		      "--pid: \"0x00000000000000000000000000000001\" has an item too long for "
		      "a number",
		      "--pid=0x00000000000000000000000000000001");
}

static void list_limits(void)
{
	char text[2 * (OPT_LIST_MAX + 2)];
	const char *words[2 * 65 + 1] = {};
	struct run r;

	for (size_t i = 0; i <= OPT_LIST_MAX; i++)
		memcpy(text + 2 * i, "1,", 3);
	text[2 * OPT_LIST_MAX + 1] = '\0'; /* one too many */
	CHECK_REFUSED(&one, "-p: more than 1024 values", "-p", text);
	text[2 * OPT_LIST_MAX - 1] = '\0';
	PARSE(&r, &one, "-p", text);
	CHECK_EQ(r.err, 0);
	CHECK_EQ(r.v.pids.cnt, OPT_LIST_MAX);
	run_release(&r);

	for (size_t i = 0; i < 65; i++)
		words[i] = "-Dx";
	parse_v(&r, &one, words);
	CHECK_EQ(r.err, -EINVAL);
	CHECK_STR(r.e.text, "-D: given more than 64 times");
	run_release(&r);
	words[64] = NULL;
	parse_v(&r, &one, words);
	CHECK_EQ(r.err, 0);
	CHECK_EQ(r.v.dirs.cnt, 64);
	CHECK(!r.v.dirs.v[64]);
	run_release(&r);
}

static void unknown(void)
{
	struct run r;

	CHECK_REFUSED(&one, "unknown option --jsno (did you mean --json?)", "--jsno");
	CHECK_REFUSED(&one, "unknown option --jso (did you mean --json?)", "--jso=1");
	CHECK_REFUSED(&one, "unknown option --debugdir (did you mean --debug-dir?)",
		      "--debugdir=x");
	CHECK_REFUSED(&one, "unknown option --hlep (did you mean --help?)", "--hlep");
	CHECK_REFUSED(&one, "unknown option --wibble", "--wibble");
	CHECK_REFUSED(&one, "unknown option -x", "-x");
	CHECK_REFUSED(&one, "unknown option -5", "-5");
	CHECK_REFUSED(&one, "unknown option -=", "-k=1");
	CHECK_REFUSED(&one, "--json takes no value", "--json=1");
	CHECK_REFUSED(&one, "--freq needs a value: HZ", "--freq");
	CHECK_REFUSED(&one, "-p needs a value: PID[,PID]", "-kp");
	PARSE(&r, &one, "--wibble");
	CHECK_STR(r.e.advice, "see bstack try --help");
	run_release(&r);
}

static void prefixes_are_refused(void)
{
	CHECK_REFUSED(&one, "unknown option --out (did you mean --output?)", "--out=x");
	CHECK_REFUSED(&one, "unknown option --js (did you mean --json?)", "--js");
	CHECK_REFUSED(&one, "unknown option --o", "--o", "x");
	CHECK_REFUSED(&one, "unknown option --kernels (did you mean --kernel?)", "--kernels");
	CHECK_REFUSED(&one, "unknown option ---json (did you mean --json?)", "---json");
}

static void positional(void)
{
	struct run r;

	PARSE(&r, &one, "file", "-k", "--output", "x");
	CHECK_EQ(r.err, 0);
	CHECK_EQ(r.first, 4);
	CHECK_STR(r.argv[4], "file");
	CHECK(r.v.kernel);
	CHECK_STR(r.v.output, "x");
	run_release(&r);

	PARSE(&r, &pair, "b", "-k", "a");
	CHECK_EQ(r.err, 0);
	CHECK_EQ(r.first, 2);
	CHECK_STR(r.argv[2], "b");
	CHECK_STR(r.argv[3], "a");
	run_release(&r);

	PARSE(&r, &one, "-");
	CHECK_EQ(r.err, 0);
	CHECK_EQ(r.first, 1);
	CHECK_STR(r.argv[1], "-");
	run_release(&r);

	PARSE(&r, &one, "--", "--json");
	CHECK_EQ(r.err, 0);
	CHECK_EQ(r.first, 2);
	CHECK_STR(r.argv[2], "--json");
	CHECK(!r.v.json);
	run_release(&r);
}

static void positional_limits(void)
{
	struct run r;

	CHECK_REFUSED(&one, "one argument too many: \"b\"", "a", "b");
	CHECK_REFUSED(&pair, "one argument too many: \"c\"", "a", "b", "c", "d");
	CHECK_REFUSED(&pair, "an argument is missing", "a");
	PARSE(&r, &pair, "a");
	CHECK_STR(r.e.advice, "usage: bstack pair A B");
	run_release(&r);
}

static void stops_at_the_command(void)
{
	struct run r;

	PARSE(&r, &many, "-k", "--", "ls", "-F", "zero");
	CHECK_EQ(r.err, 0);
	CHECK_EQ(r.first, 3);
	CHECK_STR(r.argv[3], "ls");
	CHECK_STR(r.argv[4], "-F");
	CHECK_EQ(r.v.freq, 0);
	run_release(&r);

	PARSE(&r, &many, "-k", "ls", "--json", "--", "--help");
	CHECK_EQ(r.err, 0);
	CHECK_EQ(r.first, 2);
	CHECK_EQ(r.argc - r.first, 4);
	CHECK_STR(r.argv[2], "ls");
	CHECK_STR(r.argv[4], "--");
	CHECK(!r.v.json);
	run_release(&r);

	PARSE(&r, &many, "--");
	CHECK_EQ(r.err, 0);
	CHECK_EQ(r.first, r.argc);
	run_release(&r);
}

static void asks_for_help(void)
{
	struct run r;

	PARSE(&r, &pair, "--help");
	CHECK_EQ(r.err, 1);
	run_release(&r);
	PARSE(&r, &pair, "-kh", "--wibble");
	CHECK_EQ(r.err, 1);
	run_release(&r);
	PARSE(&r, &pair, "-p1", "--help");
	CHECK_EQ(r.err, 1);
	run_release(&r);
	CHECK_REFUSED(&pair, "--help takes no value", "--help=x");
}

static void hostile_arguments(void)
{
	char *big = malloc(100001);
	struct run r;

	memset(big, 'a', 100000);
	big[100000] = '\0';
	big[0] = big[1] = '-';
	PARSE(&r, &one, big);
	CHECK_EQ(r.err, -EINVAL);
	CHECK_EQ(strlen(r.e.text), strlen("unknown option --") + 60 + 3);
	run_release(&r);
	memset(big, '9', 100000);
	PARSE(&r, &one, "-F", big);
	CHECK_EQ(r.err, -EINVAL);
	CHECK(strstr(r.e.text, "... is not between 1 and 100000"));
	run_release(&r);
	PARSE(&r, &one, "-p", big);
	CHECK_EQ(r.err, -EINVAL);
	run_release(&r);
	PARSE(&r, &one, "x", big);
	CHECK_EQ(r.err, -EINVAL);
	run_release(&r);
	free(big);

	CHECK_REFUSED(&one, "unknown option --?[31m?", "--\033[31m\n");
	CHECK_REFUSED(&one, "unknown option -?", "-\xff");
	CHECK_REFUSED(&one, "--freq: \"??\" is not a whole number", "--freq=\r\x80");
	CHECK_REFUSED(&one, "unknown option --%s%n", "--%s%n");
	CHECK_REFUSED(&one, "unknown option --", "--=");
	PARSE(&r, &one, "");
	CHECK_EQ(r.err, 0);
	CHECK_EQ(r.argc - r.first, 1);
	run_release(&r);
}

static void suggestions(void)
{
	static const struct {
		const char *typed, *best;
	} rows[] = {
		{ "reprot", "report" }, { "recrod", "record" }, { "rep", "report" },
		{ "fodl", "fold" },     { "flamegraph", NULL }, { "", NULL },
		{ "x", NULL },          { "xyzzy", NULL },      { "symbolise", "symbolize" },
	};
	static const char *const names[] = { "record", "report", "fold", "flame", "symbolize" };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct suggestion s = { .typed = rows[i].typed };

		for (size_t j = 0; j < ARRAY_SIZE(names); j++)
			suggestion_offer(&s, names[j]);
		CHECK_STR(s.best ? s.best : "-", rows[i].best ? rows[i].best : "-");
	}
}

/* A table whose texts hold everything that roff, a shell or a terminal take for their own. */
static const struct opt hard_table[] = {
	{ .short_name = 'w',
	  .name = "words",
	  .arg = "A|B",
	  .kind = OPT_STR,
	  .group = "It's [hard]",
	  .help = ".start isn't a request: back\\slash, `tick`, ~tilde, \"quote\" [x]. More.",
	  .complete = "it's two" },
	{},
};
static const struct example hard_examples[] = { { "bstack hard -w 'a\\b'", "'tis hard." }, {} };
static const struct command hard = {
	.name = "hard",
	.args = "FILE",
	.summary = "don't break",
	.description = "'Tis one.\n\n.Two -- dashes.",
	.opts = hard_table,
	.examples = hard_examples,
	.max_args = 1,
};
static const struct command *const all[] = { &one, &many, &hard, NULL };

static char *written(void (*write)(FILE *))
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	if (f) {
		write(f);
		fclose(f);
	}
	return text;
}

static void write_help(FILE *f)
{
	help_write(&hard, f, 60);
}

static void write_man(FILE *f)
{
	man_write(&hard, f);
}

static void write_bash(FILE *f)
{
	completion_bash(all, f);
}

static void write_zsh(FILE *f)
{
	completion_zsh(all, f);
}

static void help_text(void)
{
	char *text = written(write_help);

	CHECK_STR(text, "Usage: bstack hard FILE\n"
			"\n"
			"Don't break.\n"
			"\n"
			"'Tis one.\n"
			"\n"
			".Two -- dashes.\n"
			"\n"
			"It's [hard]:\n"
			"  -w, --words A|B           .start isn't a request:\n"
			"                            back\\slash, `tick`, ~tilde,\n"
			"                            \"quote\" [x]. More.\n"
			"\n"
			"Help:\n"
			"  -h, --help                Print this text.\n"
			"\n"
			"Examples:\n"
			"  bstack hard -w 'a\\b'\n"
			"      'tis hard.\n"
			"\n"
			"Exit status:\n"
			"  0: complete.\n"
			"  1: failed; standard error says why.\n"
			"  2: wrong usage.\n"
			"  3: done, but below a threshold that was asked for.\n");
	free(text);
}

static void man_escapes(void)
{
	char *text = written(write_man);

	CHECK(strstr(text,
		     "\n\\&.start isn\\(aqt a request: back\\eslash, \\(gatick\\(ga, \\(titilde, "
		     "\\(dqquote\\(dq [x]. More.\n"));
	CHECK(strstr(text, "\n\\&\\(aqTis one.\n.PP\n\\&.Two \\-\\- dashes.\n"));
	CHECK(strstr(text, "\n.TP\n\\fB\\-w\\fR, \\fB\\-\\-words\\fR \\fIA\\fR|\\fIB\\fR\n"));
	CHECK(strstr(text, "\n\\fBbstack hard \\-w \\(aqa\\eb\\(aq\\fR\n\\&\\(aqtis hard.\n"));
	free(text);
}

static void completion_quotes(void)
{
	char *bash = written(write_bash), *zsh = written(write_zsh);

	CHECK(strstr(bash, "-w | --words) value='it'\\''s two' ;;\n"));
	CHECK(strstr(bash, "options='-w --words -h --help'\n"));
	CHECK(strstr(zsh,
		     "'(-w --words)'{-w+,--words=}'[.start isn'\\''t a request\\: back\\\\slash, "
		     "`tick`, ~tilde, \"quote\" \\[x\\]]:A|B:(it'\\''s two)'"));
	CHECK(strstr(zsh, "'hard:don'\\''t break'\n"));
	free(bash);
	free(zsh);
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		TEST(every_kind),
		TEST(short_forms),
		TEST(defaults_stay),
		TEST(ranges),
		TEST(lists),
		TEST(list_limits),
		TEST(unknown),
		TEST(prefixes_are_refused),
		TEST(positional),
		TEST(positional_limits),
		TEST(stops_at_the_command),
		TEST(asks_for_help),
		TEST(hostile_arguments),
		TEST(suggestions),
		TEST(help_text),
		TEST(man_escapes),
		TEST(completion_quotes),
		{},
	};

	return test_main(tests, argc, argv);
}
