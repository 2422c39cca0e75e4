/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* symbolize.c - bstack symbolize: fill in the names of a profile, later or on another machine. */
#include "cmd/cmd.h"
#include "cmd/input.h"
#include "cmd/names.h"
#include "cmd/output.h"

#define MISSING_SHOWN 10

struct symbolize_args {
	const char *output; /* NULL: where the profile came from */
	struct opt_strs debug_dirs;
	bool is_forced;
};

#define FIELD(f) offsetof(struct symbolize_args, f)
static const struct opt symbolize_table[] = {
	{ .name = "debug-dir",
	  .arg = "DIR",
	  .kind = OPT_STRS,
	  .offset = FIELD(debug_dirs),
	  .group = "Symbols",
	  .help = "Look for files in DIR first, under .build-id and by name; may be given again.",
	  .complete = "dir" },
	{ .name = "force",
	  .offset = FIELD(is_forced),
	  .group = "Symbols",
	  .help = "Also look up addresses that have a name; they keep it when none is found." },
	{ .short_name = 'o',
	  .name = "output",
	  .arg = "FILE",
	  .kind = OPT_STR,
	  .offset = FIELD(output),
	  .group = "Output",
	  .help = "Write to FILE, - for standard output; by default the profile is replaced, and "
		  "one "
		  "from standard input goes to standard output.",
	  .complete = "file" },
	{},
};

static const char *state_text(enum symbols_state state)
{
	switch (state) {
	case SYMBOLS_FOUND:
		return "outside every symbol";
	case SYMBOLS_EXPORTED:
		return "its file has exported symbols only";
	case SYMBOLS_STRIPPED:
		return "its file has no symbols";
	case SYMBOLS_NO_FILE:
		return "no file with this build-id was found";
	}
	return "";
}

static void say_result(const struct command *self, const struct model *m,
		       const struct names_stats *s)
{
	cmd_say(self, "%zu of %zu addresses have a name, %zu of them from this run", s->named_cnt,
		s->location_cnt, s->new_cnt);
	for (size_t i = 0; i < s->missing_cnt && i < MISSING_SHOWN; i++) {
		const struct mapping *map = &m->mappings[s->missing[i].mapping];
		char hex[BUILD_ID_HEX_SZ];

		cmd_say(self, "%s, build-id %s: %zu addresses without a name: %s",
			strtab_get(&m->strings, map->path), build_id_hex(&map->build_id, hex),
			s->missing[i].location_cnt, state_text(s->missing[i].state));
	}
	if (s->missing_cnt > MISSING_SHOWN)
		cmd_say(self, "%zu more modules have addresses without a name",
			s->missing_cnt - MISSING_SHOWN);
}

/* What cannot be done with this input, before any work is. */
static int check_input(const struct model *m, const struct input *in,
		       const struct symbolize_args *a, struct error *e)
{
	if (in->is_folded) {
		error_set(e, EINVAL, "cannot look up names for %s: folded stacks have no addresses",
			  in->name);
		error_advise(e, "give the profile that they were made from");
		return -EINVAL;
	}
	if (!m->has_ledger && !a->output && !in->is_stdin) {
		error_set(e, EINVAL,
			  "will not replace %s: it was not written by bstack and would lose "
			  "what bstack does not read",
			  in->name);
		error_advise(e, "name another file with -o");
		return -EINVAL;
	}
	return 0;
}

static int symbolize(const struct command *self, const char *path, const struct symbolize_args *a,
		     struct model *m, struct symbols *syms)
{
	struct names_stats stats = {};
	struct error e = {};
	struct input in;
	int code = EXIT_DONE;

	if (input_read(path, m, &in, &e) || check_input(m, &in, a, &e) ||
	    names_fill(m, syms, a->is_forced, &stats, &e))
		return cmd_fail(self, &e);
	cmd_warn_cut(self, m, in.name);
	if (output_profile(m, a->output ? a->output : path, &e))
		code = cmd_fail(self, &e);
	else
		say_result(self, m, &stats);
	names_stats_release(&stats);
	return code;
}

static int symbolize_run(const struct command *self, int argc, char **argv)
{
	struct symbolize_args a = {};
	struct symbols_opts o = { .debug_dirs = a.debug_dirs.v };
	struct symbols *syms = NULL;
	struct model m = {};
	int first, code;

	if (!cmd_parse(self, argc, argv, &a, &first, &code))
		return code;
	if (model_init(&m) || symbols_new(&o, &syms))
		code = cmd_no_memory(self);
	else
		code = symbolize(self, argv[first], &a, &m, syms);
	symbols_free(syms);
	model_release(&m);
	return code;
}

static const struct example symbolize_examples[] = {
	{ "bstack symbolize web.pb.gz", "Again, say after installing debug symbols." },
	{ "bstack symbolize --debug-dir ./symbols -o named.pb.gz web.pb.gz",
	  "A profile from another host, with its symbol files." },
	{},
};

const struct command cmd_symbolize = {
	.name = "symbolize",
	.args = "FILE [OPTIONS]",
	.summary = "fill in the names of a profile, now or again",
	.description =
		"Reads the profile FILE (- for standard input), finds for each build-id in it a "
		"file on "
		"this machine that has the same build-id and symbols, and writes the profile with "
		"the "
		"names in it. Files are looked for in each --debug-dir, in "
		"/usr/lib/debug/.build-id, "
		"through the debug link, and where the profiled process had them. A file with "
		"another "
		"build-id is never used.\n\n"
		"Says on standard error how many addresses have a name and what the others lack. "
		"Addresses in the kernel are named while recording only: they mean nothing on "
		"another "
		"machine or after the next boot.",
	.opts = symbolize_table,
	.examples = symbolize_examples,
	.complete = "file",
	.run = symbolize_run,
	.min_args = 1,
	.max_args = 1,
};
