/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* report.c - bstack report: how much to believe, then what was hot; thresholds for tests. */
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "cmd/input.h"
#include "cmd/output.h"
#include "render/render.h"

struct report_args {
	bool is_json, no_tree;
	uint64_t top_cnt;
	double min_pct;
	double min_resolved_pct, min_rooted_pct; /* 0: not asked for */
};

#define FIELD(f) offsetof(struct report_args, f)
static const struct opt report_table[] = {
	{ .name = "json",
	  .offset = FIELD(is_json),
	  .group = "Output",
	  .help = "Write JSON, with everything that the text says." },
	{ .short_name = 'n',
	  .name = "top",
	  .arg = "N",
	  .kind = OPT_U64,
	  .offset = FIELD(top_cnt),
	  .min = 0,
	  .max = 1000000,
	  .group = "Output",
	  .help = "List the N hottest functions; 20 by default." },
	{ .name = "min-percent",
	  .arg = "P",
	  .kind = OPT_DOUBLE,
	  .offset = FIELD(min_pct),
	  .min = 0,
	  .max = 100,
	  .group = "Output",
	  .help = "Leave out branches of the call tree below P percent of the samples; 1 by "
		  "default." },
	{ .name = "no-tree",
	  .offset = FIELD(no_tree),
	  .group = "Output",
	  .help = "Leave out the call tree." },
	{ .name = "min-resolved",
	  .arg = "PCT",
	  .kind = OPT_DOUBLE,
	  .offset = FIELD(min_resolved_pct),
	  .min = 0,
	  .max = 100,
	  .group = "Thresholds",
	  .help = "Exit with 3 when less than PCT percent of the user frames are known by file and "
		  "offset (or as vdso or JIT code)." },
	{ .name = "min-rooted",
	  .arg = "PCT",
	  .kind = OPT_DOUBLE,
	  .offset = FIELD(min_rooted_pct),
	  .min = 0,
	  .max = 100,
	  .group = "Thresholds",
	  .help = "Exit with 3 when less than PCT percent of the user stacks reach the entry point "
		  "of "
		  "their thread." },
	{},
};

static bool wants_color(const struct report_args *a)
{
	const char *term = getenv("TERM"), *no_color = getenv("NO_COLOR");

	return !a->is_json && isatty(STDOUT_FILENO) && !(no_color && *no_color) && term &&
	       strcmp(term, "dumb") != 0;
}

static int write_report(const struct model *m, const struct summary *s, const struct report_args *a,
			struct error *e)
{
	struct report_opts o = {
		.top_cnt = a->top_cnt,
		.min_pct = a->min_pct,
		.no_tree = a->no_tree,
		.with_color = wants_color(a),
	};
	struct output out;
	int err = output_open("-", &out, e);

	if (err)
		return err;
	err = a->is_json ? report_json(m, s, &o, out.file) : report_text(m, s, &o, out.file);
	return output_finish(&out, err, e);
}

/* False, with a line on stderr, when measured is below what was asked for. */
static bool is_reached(const struct command *self, const struct summary *s, double measured,
		       double asked, const char *what, const char *option)
{
	if (!(asked > 0))
		return true;
	if (!s->user_samples) {
		cmd_say(self, "below the threshold: there are no user stacks, so no %s (%s %g)",
			what, option, asked);
		return false;
	}
	if (measured >= asked)
		return true;
	/* rounded down, so that it never looks like what was asked for */
	cmd_say(self, "below the threshold: %.2f %% %s, %g %% asked for (%s)",
		floor(measured * 100) / 100, what, asked, option);
	return false;
}

static int check_thresholds(const struct command *self, const struct summary *s,
			    const struct report_args *a)
{
	bool is_ok = is_reached(self, s, summary_resolved_pct(s), a->min_resolved_pct,
				"of the user frames are resolved", "--min-resolved");

	is_ok &= is_reached(self, s, summary_rooted_pct(s), a->min_rooted_pct,
			    "of the user stacks are rooted", "--min-rooted");
	return is_ok ? EXIT_DONE : EXIT_BELOW;
}

static int report(const struct command *self, const char *path, const struct report_args *a,
		  struct model *m)
{
	struct summary s = {};
	struct error e = {};
	struct input in;
	int code = EXIT_DONE;

	if (input_read(path, m, &in, &e))
		return cmd_fail(self, &e);
	if (a->is_json) /* the text says so itself */
		cmd_warn_cut(self, m, in.name);
	if (summary_init(m, &s)) {
		error_errno(&e, ENOMEM, "cannot sum up %s", in.name);
		return cmd_fail(self, &e);
	}
	if (write_report(m, &s, a, &e))
		code = cmd_fail(self, &e);
	if (code == EXIT_DONE)
		code = check_thresholds(self, &s, a);
	summary_release(&s);
	return code;
}

static int report_run(const struct command *self, int argc, char **argv)
{
	struct report_args a = { .top_cnt = 20, .min_pct = 1 };
	struct model m = {};
	int first, code;

	if (!cmd_parse(self, argc, argv, &a, &first, &code))
		return code;
	if (model_init(&m))
		return cmd_no_memory(self);
	code = report(self, first < argc ? argv[first] : NULL, &a, &m);
	model_release(&m);
	return code;
}

static const struct example report_examples[] = {
	{ "bstack report", "Reads bstack.pb.gz." },
	{ "bstack report --no-tree -n 5 web.pb.gz",
	  "Only the ledger and the five hottest functions." },
	{ "bstack report --min-resolved 99 --min-rooted 95 test.pb.gz",
	  "In a test: fails with 3 when the profile is not to be trusted." },
	{ "bstack report --json web.pb.gz | jq .ledger.fallback", "Why stacks fell back." },
	{},
};

const struct command cmd_report = {
	.name = "report",
	.args = "[FILE] [OPTIONS]",
	.summary = "say how much of a profile to believe, and what was hot",
	.description =
		"Reads FILE (bstack.pb.gz by default, - for standard input) and prints first the "
		"ledger: samples and losses, how many stacks reach the entry point of their "
		"thread, "
		"how each frame is known, why stacks fell back to raw addresses, and the modules "
		"without symbols. Then the hottest functions and a call tree.\n\n"
		"FILE may be a profile of bstack, any other pprof profile, or folded stacks; the "
		"last two do not say how their frames are known.",
	.opts = report_table,
	.examples = report_examples,
	.complete = "file",
	.run = report_run,
	.max_args = 1,
};
