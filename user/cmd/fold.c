/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* fold.c - bstack fold: folded stacks, a line each, for flame graph tools and for grep. */
#include "cmd/cmd.h"
#include "cmd/input.h"
#include "cmd/output.h"
#include "profile/folded.h"

struct fold_args {
	const char *output;
	struct folded_opts folded;
};

#define FIELD(f) offsetof(struct fold_args, f)
static const struct opt fold_table[] = {
	{ .short_name = 'o',
	  .name = "output",
	  .arg = "FILE",
	  .kind = OPT_STR,
	  .offset = FIELD(output),
	  .group = "Output",
	  .help = "Write to FILE; standard output by default.",
	  .complete = "file" },
	{ .name = "pid",
	  .offset = FIELD(folded.with_pid),
	  .group = "Lines",
	  .help = "Put the process id behind the thread name." },
	{ .name = "tid",
	  .offset = FIELD(folded.with_tid),
	  .group = "Lines",
	  .help = "Put the process id and the thread id behind the thread name." },
	{ .name = "no-thread",
	  .offset = FIELD(folded.no_thread),
	  .group = "Lines",
	  .help = "Leave out the thread name that each line starts with." },
	{ .name = "addr",
	  .offset = FIELD(folded.with_addr),
	  .group = "Frames",
	  .help = "Write each frame as module+0xaddress instead of its name." },
	{ .name = "module",
	  .offset = FIELD(folded.with_module),
	  .group = "Frames",
	  .help = "Put the module in brackets behind each name." },
	{ .name = "weight",
	  .offset = FIELD(folded.by_weight),
	  .group = "Lines",
	  .help = "Count in the unit of the event, say nanoseconds, instead of samples." },
	{},
};

static int fold(const char *path, const struct command *self, const struct fold_args *a,
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
	err = folded_write(m, &a->folded, out.file);
	return output_finish(&out, err, &e) ? cmd_fail(self, &e) : EXIT_DONE;
}

static int fold_run(const struct command *self, int argc, char **argv)
{
	struct fold_args a = { .output = "-" };
	struct model m = {};
	int first, code;

	if (!cmd_parse(self, argc, argv, &a, &first, &code))
		return code;
	if (model_init(&m))
		return cmd_no_memory(self);
	code = fold(first < argc ? argv[first] : NULL, self, &a, &m);
	model_release(&m);
	return code;
}

static const struct example fold_examples[] = {
	{ "bstack fold web.pb.gz | flamegraph.pl > web.svg", "Another tool's flame graph." },
	{ "bstack fold --tid web.pb.gz | grep ^worker", "The stacks of some threads." },
	{ "bstack fold --no-thread --addr web.pb.gz",
	  "Lines that compare across hosts and restarts." },
	{},
};

const struct command cmd_fold = {
	.name = "fold",
	.args = "[FILE] [OPTIONS]",
	.summary = "print a profile as folded stacks",
	.description =
		"Reads FILE (bstack.pb.gz by default, - for standard input) and prints one line "
		"for "
		"each different stack: the thread's name and the frames, root first, separated by "
		"semicolons, then a blank and the number of samples. Frames in the kernel end in "
		"_[k], in code made at run time in _[j]. "
		"An address outside every symbol is module+0xoffset. No stack is ever left out.\n\n"
		"FILE may also be folded text already: it is merged and sorted.",
	.opts = fold_table,
	.examples = fold_examples,
	.complete = "file",
	.run = fold_run,
	.max_args = 1,
};
