/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* stackmap.c - bstack stackmap: what is in a map of stacks that another tool made. */
#include <inttypes.h>
#include <string.h>

#include "cmd/cmd.h"
#include "cmd/names.h"
#include "cmd/output.h"
#include "cmd/stack_entries.h"
#include "profile/folded.h"

struct stackmap_args {
	const char *counts, *output;
	struct opt_u64s key_offsets;
	uint64_t pid_offset, pid; /* NOT_GIVEN, 0 */
	struct opt_strs files, debug_dirs;
	bool is_folded;
};
#define NOT_GIVEN UINT64_MAX
#define KEY_MAX   4096

#define FIELD(f)  offsetof(struct stackmap_args, f)
static const struct opt stackmap_table[] = {
	{ 0, "counts", "MAP", OPT_STR, FIELD(counts), 0, 0, "Counts",
	  "How often each stack was met: the id or pinned path of a map whose key is or holds the "
	  "id of a stack and whose value is a count of 4 or 8 bytes; a hash or an array, also "
	  "per-CPU (its values are summed) or LRU. Without it each stack counts once.",
	  "file" },
	{ 0, "key-offset", "N[,N]", OPT_U64_LIST, FIELD(key_offsets), 0, KEY_MAX, "Counts",
	  "Where the id of the stack is in that key, in bytes; two when a key holds the ids of a "
	  "kernel and a user stack, which are joined. By default: members of 4 bytes whose names "
	  "end in stack_id, stackid or stack, by the map's BTF; without BTF a key of 4 bytes.",
	  "none" },
	{ 0, "pid-offset", "N", OPT_U64, FIELD(pid_offset), 0, KEY_MAX, "Counts",
	  "Where the id of the process is in that key, in bytes: each stack is resolved as with "
	  "-p of its process, if it still lives.",
	  "none" },
	{ 'p', "pid", "PID", OPT_U64, FIELD(pid), 1, INT32_MAX, "Resolving",
	  "All stacks are of process PID, and its mappings have not changed since: addresses are "
	  "resolved by its mappings of now, and what the kernel said is held against them. The "
	  "map has no times, so nothing can check this.",
	  "pid" },
	{ 0, "file", "FILE", OPT_STRS, FIELD(files), 0, 0, "Resolving",
	  "An executable or library that frames may be in; may be given again. Otherwise files "
	  "are those that processes of this machine have mapped, and those in a --debug-dir.",
	  "file" },
	{ 0, "debug-dir", "DIR", OPT_STRS, FIELD(debug_dirs), 0, 0, "Resolving",
	  "Look for files in DIR first, under .build-id and by name; may be given again.", "dir" },
	{ 0, "folded", NULL, OPT_FLAG, FIELD(is_folded), 0, 0, "Output",
	  "Print folded stacks, as bstack fold does.", NULL },
	{ 'o', "output", "FILE", OPT_STR, FIELD(output), 0, 0, "Output",
	  "Write a profile to FILE instead, - for standard output, for the other commands and for "
	  "pprof.",
	  "file" },
	{},
};

/* --- list --- */

static void list_write(const struct stackmap_info *infos, size_t cnt, FILE *out)
{
	fprintf(out, "%8s  %-15s  %-8s  %5s  %7s  %7s  %s\n", "ID", "NAME", "FRAMES", "DEPTH",
		"STACKS", "ROOM", "PROGRAMS");
	for (size_t i = 0; i < cnt; i++) {
		const struct stackmap_info *s = &infos[i];
		struct buf name CLEANUP(buf_release) = {}, programs CLEANUP(buf_release) = {};

		name_clean(&name, s->name);
		name_clean(&programs, s->programs[0] ? s->programs : "-");
		fprintf(out, "%8u  %-15s  %-8s  %5u  %7zu  %7u  %s\n", s->id,
			name.len ? name.data : "-", s->has_build_ids ? "build-id" : "address",
			s->depth, s->used_cnt, s->max_entries, programs.len ? programs.data : "");
	}
}

static int list(const struct command *self)
{
	struct stackmap_info *infos = NULL;
	struct error e = {};
	size_t cnt;

	if (stackmap_list(&infos, &cnt, &e))
		return cmd_fail(self, &e);
	if (cnt)
		list_write(infos, cnt, stdout);
	else
		cmd_say(self, "no map of stacks is loaded");
	free(infos);
	return cmd_flush(self);
}

/* --- resolving --- */

struct stackmap_run {
	const struct command *self;
	const struct stackmap_args *a;
	struct stackmap map;
	struct stackcounts counts;
	struct stack_entries entries;
	struct model model;
	struct symbols *syms;
	struct wanted wanted;
	struct locations locations;
	struct stack_frames frames;
	bool is_kernel_hidden; /* there are kernel addresses, and nobody tells us their names */
};

/* Files that were named, then those of processes, until every build-id has one. */
static int files_find(struct stackmap_run *r, struct error *e)
{
	int err = 0;

	for (size_t i = 0; i < r->map.frame_cnt && !err; i++)
		if (r->map.frames[i].is_valid)
			err = wanted_add(&r->wanted, &r->map.frames[i].build_id);
	for (size_t i = 0; i < r->a->files.cnt && !err; i++) {
		err = wanted_try_file(&r->wanted, r->a->files.v[i]);
		if (err == -ENODATA) {
			cmd_say(r->self, "%s: no frame is in it", r->a->files.v[i]);
			err = 0;
		} else if (err == -ENOEXEC) {
			return error_set(e, ENOEXEC, "cannot use %s: it is no ELF file",
					 r->a->files.v[i]);
		} else if (err && err != -ENOMEM) {
			return error_errno(e, -err, "cannot read %s", r->a->files.v[i]);
		}
	}
	if (!err && !r->a->pid)
		err = wanted_try_processes(&r->wanted);
	return err ? error_errno(e, -err, "cannot look for the files of the frames") : 0;
}

static enum reason reason_of(int err)
{
	return err == -EACCES || err == -EPERM ? REASON_DENIED : REASON_GONE;
}

static int entries_add(struct stackmap_run *r, struct process_now *p, struct error *e)
{
	struct stack_frames *f = &r->frames;
	uint32_t pid = (uint32_t)r->a->pid;
	int err = 0;

	if (r->a->pid_offset != NOT_GIVEN)
		stack_entries_sort_by_pid(&r->entries);
	for (size_t i = 0; i < r->entries.cnt && !err; i++) {
		if (r->entries.v[i].pid != pid) {
			pid = r->entries.v[i].pid;
			process_now_release(p);
			err = process_now_read((pid_t)pid, &r->wanted, p);
			f->process = err ? NULL : p;
			f->process_reason = reason_of(err);
			if (err == -ENOMEM || err == -E2BIG)
				break;
		}
		err = stack_frames_add(f, &r->entries.v[i]);
	}
	return err ? error_errno(e, -err, "cannot hold the stacks of the map") : 0;
}

static int resolve(struct stackmap_run *r, struct error *e)
{
	struct names_stats stats = {};
	struct process_now p = {};
	int err = files_find(r, e);

	if (!err && r->a->pid) {
		err = process_now_read((pid_t)r->a->pid, &r->wanted, &p);
		if (err == -ESRCH)
			error_set(e, ESRCH,
				  "cannot resolve by process %" PRIu64
				  ": there is none, or it has no "
				  "executable memory",
				  r->a->pid);
		else if (err)
			error_errno(e, -err, "cannot read the mappings of process %" PRIu64,
				    r->a->pid);
	}
	if (!err) {
		r->frames.process = r->a->pid ? &p : NULL;
		err = entries_add(r, &p, e);
	}
	if (!err)
		err = names_fill(&r->model, r->syms, false, &stats, e);
	if (!err)
		err = names_fill_kernel(&r->model, r->syms, &r->is_kernel_hidden, e);
	names_stats_release(&stats);
	process_now_release(&p);
	return err;
}

static int ledger_fill(struct stackmap_run *r, const char *line)
{
	struct model *m = &r->model;
	struct ledger *l = &m->ledger;
	int err;

	m->has_ledger = true;
	for (size_t i = 0; i < r->entries.cnt; i++)
		l->recorded += r->entries.v[i].count;
	l->lost_stackmap = r->entries.lost;
	l->fired = l->recorded + r->entries.lost;
	l->start_ns = clock_real_ns();
	l->is_complete = 1;
	err = strtab_add(&m->strings, line, &m->command);
	if (!err)
		err = strtab_add(&m->strings, "stackmap", &m->event);
	return err ? err : strtab_add(&m->strings, "count", &m->event_unit);
}

/* --- output --- */

static int write_product(struct stackmap_run *r, struct error *e)
{
	const struct folded_opts folded = { .no_thread = true };
	struct output out;
	int err;

	if (r->a->output)
		return output_profile(&r->model, r->a->output, e);
	err = output_open("-", &out, e);
	if (err)
		return err;
	if (r->a->is_folded)
		err = folded_write(&r->model, &folded, out.file);
	else
		stack_entries_write(&r->entries, &r->model, out.file);
	return output_finish(&out, err, e);
}

static const char *errno_name(int code)
{
	const char *name = strerrorname_np(code);

	return name ? name : "?";
}

/* What is not in the product, and what was not believed. */
static void say_losses(const struct stackmap_run *r)
{
	const struct stack_entries *s = &r->entries;

	for (int code = 1; code <= STACK_ERRNO_MAX; code++)
		if (s->losses[code])
			cmd_say(r->self,
				"%" PRIu64 " counts have an error instead of a stack: %s (%s)",
				s->losses[code], errno_name(code), strerror(code));
	if (s->losses[0])
		cmd_say(r->self, "%" PRIu64 " counts name stacks that the map has no longer",
			s->losses[0]);
	if (s->lost)
		cmd_say(r->self,
			"%" PRIu64 " of %" PRIu64 " counts have no stack at all and are left out",
			s->lost, r->model.ledger.fired);
	if (s->uncounted_cnt)
		cmd_say(r->self, "%zu of %zu stacks have no count and are left out",
			s->uncounted_cnt, r->map.stack_cnt);
	if (r->map.vanished_cnt)
		cmd_say(r->self, "%zu stacks were removed from the map while it was read",
			r->map.vanished_cnt);
}

static const struct {
	enum reason reason;
	const char *advice;
} advices[] = {
	{ REASON_NO_PROCESS, "-p PID resolves them by the mappings of that process" },
	{ REASON_UNCHECKED, "--file FILE or --debug-dir DIR names the file" },
};

static void say_frames(const struct stackmap_run *r)
{
	const struct stack_frames *f = &r->frames;

	if (!r->map.stack_cnt)
		cmd_say(r->self, "map %u (%s) has no stack", r->map.info.id, r->map.info.name);
	for (int i = REASON_NO + 1; i < REASON_CNT; i++) {
		const char *advice = NULL;

		for (size_t k = 0; k < ARRAY_SIZE(advices); k++)
			if ((int)advices[k].reason == i)
				advice = advices[k].advice;
		if (f->reasons[i])
			cmd_say(r->self, "%" PRIu64 " of %" PRIu64 " frames are unresolved: %s%s%s",
				f->reasons[i], f->frame_cnt, reason_terms[i].text,
				advice ? "; " : "", advice ? advice : "");
	}
	if (r->is_kernel_hidden)
		cmd_say(r->self, "kernel frames have no names: /proc/kallsyms hides its addresses; "
				 "run as root, "
				 "or with CAP_SYSLOG and kernel.kptr_restrict below 2");
}

/* --- the command --- */

static int maps_read(struct stackmap_run *r, const char *what, struct error *e)
{
	const struct stackmap_args *a = r->a;
	const struct stackcounts_opts o = {
		.map = a->counts,
		.id_offsets = a->key_offsets.v,
		.id_offset_cnt = a->key_offsets.cnt,
		.pid_offset = a->pid_offset == NOT_GIVEN ? NULL : &a->pid_offset,
	};
	/* counts first: a stack is there before its count is */
	int err = a->counts ? stackcounts_read(&o, &r->counts, e) : 0;

	if (!err)
		err = stackmap_read(what, &r->map, e);
	if (err)
		return err;
	err = stack_entries_init(&r->map, a->counts ? &r->counts : NULL, (uint32_t)a->pid,
				 &r->entries);
	return err ? error_errno(e, -err, "cannot hold the stacks of the map") : 0;
}

static int stackmap(struct stackmap_run *r, const char *what, const char *line)
{
	const struct symbols_opts so = { .debug_dirs = r->a->debug_dirs.v };
	struct error e = {};

	if (maps_read(r, what, &e))
		return cmd_fail(r->self, &e);
	if (model_init(&r->model) || symbols_new(&so, &r->syms))
		return cmd_no_memory(r->self);
	wanted_init(&r->wanted, r->syms);
	locations_init(&r->locations, &r->model, r->syms);
	r->frames = (struct stack_frames){
		.map = &r->map,
		.locations = &r->locations,
		.wanted = &r->wanted,
		.process_reason = REASON_NO_PROCESS,
	};
	if (resolve(r, &e))
		return cmd_fail(r->self, &e);
	if (ledger_fill(r, line))
		return cmd_no_memory(r->self);
	if (write_product(r, &e))
		return cmd_fail(r->self, &e);
	say_losses(r);
	say_frames(r);
	return EXIT_DONE;
}

static int wrong(const struct command *self, const char *text)
{
	struct error e = {};

	error_set(&e, EINVAL, "%s", text);
	error_advise(&e, "see bstack stackmap --help");
	return cmd_usage(self, &e);
}

/* Options that go together; 0 or an exit code. */
static int args_check(const struct command *self, const struct stackmap_args *a, bool is_list,
		      int argc)
{
	if (is_list)
		return argc > 2 ? wrong(self, "list takes no options") : 0;
	if (a->is_folded && a->output)
		return wrong(self, "--folded prints, -o writes a profile: one of them");
	if (!a->counts && a->key_offsets.is_given)
		return wrong(self, "--key-offset is of the map that --counts names");
	if (!a->counts && a->pid_offset != NOT_GIVEN)
		return wrong(self, "--pid-offset is of the map that --counts names");
	if (a->key_offsets.cnt > STACKCOUNTS_IDS_MAX)
		return wrong(self, "--key-offset: one or two ids are in a key");
	if (a->pid && a->pid_offset != NOT_GIVEN)
		return wrong(self,
			     "-p says that all stacks are of one process, --pid-offset that each "
			     "has its own: one of them");
	return 0;
}

static int stackmap_run(const struct command *self, int argc, char **argv)
{
	struct stackmap_args a = { .pid_offset = NOT_GIVEN };
	struct stackmap_run r = { .self = self, .a = &a };
	struct buf line CLEANUP(buf_release) = {};
	bool is_list;
	int first, code;

	cmd_line(argc, argv, &line);
	if (!cmd_parse(self, argc, argv, &a, &first, &code)) {
		opt_u64s_release(&a.key_offsets);
		return code;
	}
	is_list = !strcmp(argv[first], "list");
	code = args_check(self, &a, is_list, argc);
	if (!code && is_list)
		code = list(self);
	else if (!code)
		code = line.err ? cmd_no_memory(self) : stackmap(&r, argv[first], line.data);
	locations_release(&r.locations);
	wanted_release(&r.wanted);
	symbols_free(r.syms);
	model_release(&r.model);
	stack_entries_release(&r.entries);
	stackcounts_release(&r.counts);
	stackmap_release(&r.map);
	opt_u64s_release(&a.key_offsets);
	return code;
}

static const struct example stackmap_examples[] = {
	{ "bstack stackmap list", "Which maps of stacks are loaded, and by whom they are used." },
	{ "bstack stackmap 42 --counts 43 --folded | flamegraph.pl > tool.svg",
	  "The stacks of a tool that counts them, as a flame graph." },
	{ "bstack stackmap /sys/fs/bpf/stacks -p 1234",
	  "Stacks of one process, addresses resolved by its mappings." },
	{ "bstack stackmap 42 --counts 43 --key-offset 4,8 --pid-offset 0 -o tool.pb.gz",
	  "Keys without BTF: pid, kernel stack, user stack. Then bstack report tool.pb.gz." },
	{ "bstack stackmap 42 --counts 43 --key-offset 0 --pid-offset 4",
	  "A running bpftrace (0.17), of whose @[ustack] = count() 42 is the map stack, 43 the map "
	  "AT_." },
	{},
};

const struct command cmd_stackmap = {
	.name = "stackmap",
	.args = "ID|PATH|list [OPTIONS]",
	.summary = "resolve the stacks in another tool's BPF stack map",
	.description =
		"Reads a map of type BPF_MAP_TYPE_STACK_TRACE, whoever made it, by its id or the "
		"path "
		"where it is pinned (a path of digits only: ./42), and prints each stack, leaf "
		"first, "
		"with how each frame is known. list shows the maps that are loaded. The map is "
		"only "
		"read.\n\n"
		"Of a map with BPF_F_STACK_BUILD_ID each frame is a build-id and an offset, or an "
		"address where the kernel could not tell. A build-id is believed when its offset "
		"lies "
		"in an executable segment of that file; without the file it stays unresolved "
		"(unchecked), but keeps its place for bstack symbolize. A process can put another "
		"file's build-id into memory of its own: with -p that is seen, without it an "
		"offset "
		"within the segment is taken for true. Addresses, and all frames of a map without "
		"build-ids, need -p PID or --pid-offset. Their evidence is query: asked of /proc "
		"now. "
		"Kernel addresses are named by /proc/kallsyms.\n\n"
		"Counts whose stack is not in the map (removed, or never stored: then the id is an "
		"error), and stacks without a count, are left out and counted on standard error. "
		"Reading takes CAP_SYS_ADMIN for an id, for a pinned map the right to read its "
		"file.",
	.opts = stackmap_table,
	.examples = stackmap_examples,
	.complete = "file",
	.run = stackmap_run,
	.min_args = 1,
	.max_args = 1,
};
