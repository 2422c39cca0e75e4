/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* flame.c - bstack flame: a profile as an interactive SVG. */
#include <string.h>

#include "cmd/cmd.h"
#include "cmd/input.h"
#include "cmd/output.h"
#include "render/render.h"

struct flame_args {
	const char *output;
	struct flame_opts flame;
};

#define FIELD(f) offsetof(struct flame_args, f)
static const struct opt flame_table[] = {
	{ .short_name = 'o',
	  .name = "output",
	  .arg = "FILE",
	  .kind = OPT_STR,
	  .offset = FIELD(output),
	  .group = "Output",
	  .help = "Write to FILE, - for standard output; flame.svg by default.",
	  .complete = "file" },
	{ .name = "title",
	  .arg = "TEXT",
	  .kind = OPT_STR,
	  .offset = FIELD(flame.title),
	  .group = "Picture",
	  .help = "Put TEXT above the graph; \"Flame Graph\" by default." },
	{ .name = "min-width",
	  .arg = "PX",
	  .kind = OPT_DOUBLE,
	  .offset = FIELD(flame.min_px),
	  .min = 0,
	  .max = 1000,
	  .group = "Picture",
	  .help = "Leave out frames narrower than PX pixels; 0.5 by default. The graph says how "
		  "many." },
	{ .name = "inverted",
	  .offset = FIELD(flame.is_inverted),
	  .group = "Picture",
	  .help = "Start at the leaf and hang the callers below it." },
	{ .name = "threads",
	  .offset = FIELD(flame.with_thread),
	  .group = "Picture",
	  .help = "Make the thread name the first level; by default threads fall together." },
	{ .name = "weight",
	  .offset = FIELD(flame.by_weight),
	  .group = "Picture",
	  .help = "Make frames as wide as their share of the event, say nanoseconds, instead of "
		  "samples." },
	{},
};

static int flame(const char *path, const struct command *self, const struct flame_args *a,
		 struct model *m)
{
	struct output out;
	struct error e = {};
	struct input in;
	int err;

	if (input_read(path, m, &in, &e))
		return cmd_fail(self, &e);
	cmd_warn_cut(self, m, in.name);
	if (output_open(a->output, &out, &e))
		return cmd_fail(self, &e);
	err = flame_write(m, &a->flame, out.file);
	if (output_finish(&out, err, &e))
		return cmd_fail(self, &e);
	if (strcmp(a->output, "-") != 0)
		cmd_say(self, "wrote %s: open it in a web browser", a->output);
	return EXIT_DONE;
}

static int flame_run(const struct command *self, int argc, char **argv)
{
	struct flame_args a = { .output = "flame.svg", .flame = { .min_px = 0.5 } };
	struct model m = {};
	int first, code;

	if (!cmd_parse(self, argc, argv, &a, &first, &code))
		return code;
	if (model_init(&m))
		return cmd_no_memory(self);
	code = flame(first < argc ? argv[first] : NULL, self, &a, &m);
	model_release(&m);
	return code;
}

static const struct example flame_examples[] = {
	{ "bstack flame", "Reads bstack.pb.gz, writes flame.svg." },
	{ "bstack flame -o web.svg --title \"web, Monday\" web.pb.gz", "With names of your own." },
	{ "perf script | stackcollapse-perf.pl | bstack flame -o perf.svg -",
	  "Folded stacks of another tool." },
	{},
};

const struct command cmd_flame = {
	.name = "flame",
	.args = "[FILE] [OPTIONS]",
	.summary = "draw a profile as an interactive flame graph",
	.description =
		"Reads FILE (bstack.pb.gz by default, - for standard input), a pprof profile or "
		"folded "
		"stacks, and writes one SVG file that needs nothing else: open it in a web "
		"browser, "
		"click a frame to zoom, search for names. Colours tell kinds of modules apart.",
	.opts = flame_table,
	.examples = flame_examples,
	.complete = "file",
	.run = flame_run,
	.max_args = 1,
};
