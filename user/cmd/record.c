/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* record.c - bstack record: whom, by which event, for how long, into which file. */
#include "cmd/cmd.h"
#include "cmd/probe.h"
#include "cmd/recording.h"
#include "cmd/target.h"
#include "render/render.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

struct record_args {
	struct opt_u64s pids, tids, cpus;
	struct opt_strs debug_dirs;
	const char *cgroup, *event, *output, *unwind;
	bool is_all, is_inherited, has_kernel, no_symbols, is_self_wanted, is_quiet, no_priority,
		has_times;
	uint64_t freq_hz, period, ring_mib, rows_mib, known_cnt;
	double duration_s;
};

#define KNOWN_DEFAULT 65536
#define KNOWN_UNSET   UINT64_MAX
#define FIELD(f)      offsetof(struct record_args, f)
static const struct opt record_table[] = {
	{ 'p', "pid", "PID[,PID]", OPT_U64_LIST, FIELD(pids), 1, 4194304, "Target",
	  "Record these processes: all of their threads, also those to come.", "pid" },
	{ 't', "tid", "TID[,TID]", OPT_U64_LIST, FIELD(tids), 1, 4194304, "Target",
	  "Record these threads only.", "none" },
	{ 'a', "all", NULL, OPT_FLAG, FIELD(is_all), 0, 0, "Target",
	  "Record every process of the host.", NULL },
	{ 0, "cgroup", "PATH", OPT_STR, FIELD(cgroup), 0, 0, "Target",
	  "Record the processes of a cgroup (v2) and of those below it; PATH is its directory.",
	  "dir" },
	{ 'C', "cpu", "CPU[,CPU]", OPT_U64_LIST, FIELD(cpus), 0, 4095, "Target",
	  "Of the target, record only what runs on these CPUs.", "none" },
	{ 0, "inherit", NULL, OPT_FLAG, FIELD(is_inherited), 0, 0, "Target",
	  "With -p or -t: record children, too, that are born while recording. A COMMAND's "
	  "children always "
	  "are.",
	  NULL },
	{ 0, "self", NULL, OPT_FLAG, FIELD(is_self_wanted), 0, 0, "Target",
	  "Do not leave bstack itself out.", NULL },
	{ 'F', "freq", "HZ", OPT_U64, FIELD(freq_hz), 1, 100000, "Event",
	  "Samples a second and CPU; 99 by default.", "none" },
	{ 'c', "period", "N", OPT_U64, FIELD(period), 1, 1e15, "Event",
	  "One sample for each N of the event's unit, instead of a frequency.", "none" },
	{ 'e', "event", "EVENT", OPT_STR, FIELD(event), 0, 0, "Event",
	  "cycles, cpu-clock, task-clock, page-faults; or, every hit a sample, a tracepoint as "
	  "CATEGORY:NAME, or the place in a file as uprobe:PATH:SYMBOL, with +OFFSET behind it "
	  "an instruction further on. By default cycles where there is a PMU, else cpu-clock.",
	  "cycles cpu-clock task-clock page-faults" },
	{ 'k', "kernel", NULL, OPT_FLAG, FIELD(has_kernel), 0, 0, "Event",
	  "Collect kernel stacks, too.", NULL },
	{ 0, "unwind", "HOW", OPT_STR, FIELD(unwind), 0, 0, "Event",
	  "rows: by tables made of the files' .eh_frame, which ordinary binaries have; frame "
	  "pointers where there "
	  "is none. fp: by frame pointers alone. By default rows.",
	  "rows fp" },
	{ 'd', "duration", "SECONDS", OPT_DOUBLE, FIELD(duration_s), 0.001, 1e9, "Event",
	  "Stop after so long; by default at Ctrl-C, or when the targets have exited. A "
	  "COMMAND runs on to its end.",
	  "none" },
	{ 'o', "output", "FILE", OPT_STR, FIELD(output), 0, 0, "Output",
	  "Write the profile to FILE, - for standard output; bstack.pb.gz by default.", "file" },
	{ 0, "timestamps", NULL, OPT_FLAG, FIELD(has_times), 0, 0, "Output",
	  "Keep the time of each sample: it is a sample of its own in the profile, with the label "
	  "timestamp, in nanoseconds since the epoch (the clock of the profile's start, to which "
	  "CLOCK_MONOTONIC is added). BPF then counts no known stacks, and memory and file grow "
	  "with each sample.",
	  NULL },
	{ 0, "no-symbols", NULL, OPT_FLAG, FIELD(no_symbols), 0, 0, "Output",
	  "Leave the names to bstack symbolize, later or elsewhere.", NULL },
	{ 0, "debug-dir", "DIR", OPT_STRS, FIELD(debug_dirs), 0, 0, "Output",
	  "Look for debug files in DIR, too; may be given again.", "dir" },
	{ 0, "ring", "MIB", OPT_U64, FIELD(ring_mib), 1, 1024, "Output",
	  "Size of the ring buffer from the kernel, a power of two; 8 by default. Raise it when "
	  "samples are "
	  "lost.",
	  "none" },
	{ 0, "known-stacks", "N", OPT_U64, FIELD(known_cnt), 0, 1 << 22, "Output",
	  "How many stacks BPF may count by itself, about 400 bytes each; 65536 by default. 0: "
	  "every "
	  "sample is handed over.",
	  "none" },
	{ 0, "unwind-memory", "MIB", OPT_U64, FIELD(rows_mib), 1, 4096, "Output",
	  "Memory for unwind tables, 9 bytes a row; 64 by default. The least recently used make "
	  "room.",
	  "none" },
	{ 0, "no-priority", NULL, OPT_FLAG, FIELD(no_priority), 0, 0, "Output",
	  "Do not read samples in the lowest real-time priority, nor, while they come faster than "
	  "they can be read, with a better nice value. On a busy host unwind tables then come too "
	  "late for short-lived processes.",
	  NULL },
	{ 'q', "quiet", NULL, OPT_FLAG, FIELD(is_quiet), 0, 0, "Output",
	  "No progress and no summary; errors are still told.", NULL },
	{},
};

static const struct example record_examples[] = {
	{ "bstack record -p 1234 -d 10", "Ten seconds of a running service, all of its threads." },
	{ "bstack record -- make -j4", "A command and everything it starts." },
	{ "bstack record -a -k -F 49 -d 60 -o host.pb.gz",
	  "A whole host for a minute, with kernel stacks." },
	{ "bstack record -e sched:sched_switch -p 1234", "Where a process gives up its CPU." },
	{ "bstack record -e uprobe:/lib/x86_64-linux-gnu/libc.so.6:malloc -- ./app",
	  "Who allocates memory, each call." },
	{},
};

static volatile sig_atomic_t stop_signal;

static void on_signal(int sig)
{
	stop_signal = sig;
}

static void signals_catch(void)
{
	struct sigaction sa = { .sa_handler = on_signal };

	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGHUP, &sa, NULL);
	/* a broken pipe and a file that may not grow are errors of a write */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
}

static int wrong(const struct command *self, const char *text, const char *advice)
{
	struct error e = {};

	error_set(&e, EINVAL, "%s", text);
	error_advise(&e, "%s", advice);
	return cmd_usage(self, &e);
}

/* Exactly one target, and settings that go together; 0 or an exit code. */
static int args_check(const struct command *self, const struct record_args *a, bool has_command)
{
	int targets =
		a->pids.is_given + a->tids.is_given + a->is_all + (a->cgroup != NULL) + has_command;

	if (!targets)
		return wrong(self, "no target: whom to record?",
			     "-p PID, -t TID, -a, --cgroup PATH, or -- COMMAND");
	if (targets > 1)
		return wrong(self, "more than one target",
			     "choose one of -p, -t, -a, --cgroup and -- COMMAND");
	if (a->freq_hz && a->period)
		return wrong(self, "-F and -c exclude each other",
			     "a frequency, or a fixed period");
	if (a->ring_mib & (a->ring_mib - 1))
		return wrong(self, "--ring: not a power of two", "1, 2, 4, 8, ... 1024");
	if (a->unwind && strcmp(a->unwind, "rows") != 0 && strcmp(a->unwind, "fp") != 0)
		return wrong(self, "--unwind: not one of its ways", "rows or fp");
	if (a->has_times && a->known_cnt && a->known_cnt != KNOWN_UNSET)
		return wrong(
			self, "--timestamps and --known-stacks exclude each other",
			"a stack that BPF counts by itself keeps no times: leave one of them out");
	if (a->is_inherited && (a->is_all || a->cgroup))
		return wrong(self, "--inherit goes with -p or -t only",
			     "-a and --cgroup have every child already");
	return 0;
}

static int targets_check(const struct record_args *a, struct error *e)
{
	for (size_t i = 0; i < a->pids.cnt; i++)
		if (target_check((pid_t)a->pids.v[i], false, e))
			return -ESRCH;
	for (size_t i = 0; i < a->tids.cnt; i++)
		if (target_check((pid_t)a->tids.v[i], true, e))
			return -ESRCH;
	return 0;
}

/* A command that was not executed yet has our own mappings: of them it will have libc and its loader, too. */
static int snapshots(struct recording *r, const struct record_args *a, const struct child *child)
{
	int err = 0;

	if (a->is_all || a->cgroup)
		return recording_snapshot_all(r);
	if (child->pid)
		return recording_snapshot(r, child->pid);
	for (size_t i = 0; i < a->pids.cnt && !err; i++)
		err = recording_snapshot(r, (pid_t)a->pids.v[i]);
	for (size_t i = 0; i < a->tids.cnt && !err; i++)
		err = recording_snapshot(
			r, (pid_t)a->tids.v[i]); /* /proc shows threads by number, too */
	return err;
}

static void progress(struct recording *r)
{
	struct recording_state s;

	recording_state(r, &s);
	fprintf(stderr, "\r%5.0f s  %llu samples  %llu lost  %.1f %% fell back  %llu KiB ",
		(double)s.elapsed_ns / NSEC_PER_SEC, (unsigned long long)s.samples,
		(unsigned long long)s.lost,
		s.samples ? 100.0 * (double)s.fell_back / (double)s.samples : 0,
		(unsigned long long)s.bytes >> 10);
}

/* Until a signal, the end of the time, of the command or of the last target; or an error. */
static int loop(struct recording *r, const struct record_args *a, struct child *child,
		struct error *e)
{
	bool has_progress = !a->is_quiet && isatty(STDERR_FILENO),
	     is_listed = a->pids.cnt || a->tids.cnt;
	uint64_t start_ns = clock_mono_ns(), shown_ns = start_ns, now_ns;
	int err = 0;

	while (!stop_signal && !err) {
		err = recording_step(r, e);
		now_ns = clock_mono_ns();
		if (has_progress && now_ns - shown_ns >= NSEC_PER_SEC) {
			progress(r);
			shown_ns = now_ns;
		}
		if (a->duration_s > 0 &&
		    (double)(now_ns - start_ns) >= a->duration_s * NSEC_PER_SEC)
			break;
		if (child->pid && child_has_exited(child))
			break;
		if (is_listed && !session_has_targets(recording_session(r)))
			break;
	}
	if (has_progress && shown_ns != start_ns)
		fprintf(stderr, "\n");
	return err;
}

static void summarize(const struct command *self, struct recording *r, const char *path)
{
	struct recording_state s;
	struct summary sum;

	recording_state(r, &s);
	if (summary_init(recording_model(r), &sum))
		return;
	cmd_say(self,
		"%llu samples, %llu lost, of %llu that fired in %.1f s; %llu fell back, %llu of "
		"them healed",
		(unsigned long long)s.samples, (unsigned long long)s.lost,
		(unsigned long long)s.fired, (double)s.elapsed_ns / NSEC_PER_SEC,
		(unsigned long long)sum.fell_back, (unsigned long long)sum.healed);
	if (!s.is_in_order)
		cmd_say(self,
			"the counters disagree: fired is not recorded + lost; please report this");
	if (s.bytes)
		cmd_say(self, "wrote %s (%llu bytes); next: bstack report %s", path,
			(unsigned long long)s.bytes, path);
	summary_release(&sum);
}

/* From the open recording to the finished file. */
static int record_all(const struct command *self, const struct record_args *a, struct recording *r,
		      struct child *child, char **argv, struct error *e)
{
	int err, end_err;

	/* One that was gone before the programs were attached is never seen to exit. */
	if (targets_check(a, e))
		return cmd_fail(self, e);
	err = snapshots(r, a, child);
	if (err)
		error_errno(e, -err, "cannot read the targets' mappings");
	else
		err = recording_start(r, e);
	if (!err && child->pid)
		err = child_go(child, argv[0], e);
	if (err)
		return cmd_fail(self, e);
	err = loop(r, a, child, e);
	if (err) /* say it now; what was collected is still saved, as far as that goes */
		cmd_fail(self, e);
	end_err = recording_finish(r, !a->no_symbols, e);
	if (end_err && end_err != err) /* a full disk is told once */
		cmd_fail(self, e);
	if (!a->is_quiet)
		summarize(self, r, a->output);
	return err || end_err ? EXIT_FAILED : EXIT_DONE;
}

/* Rows are made for x86-64. */
static bool has_rows(const struct record_args *a)
{
#if defined(__x86_64__)
	return !a->unwind || !strcmp(a->unwind, "rows");
#else
	(void)a;
	return false;
#endif
}

static int event_find(const struct record_args *a, struct event *ret, bool *ret_is_fallback,
		      struct error *e)
{
	if (!is_probe(a->event))
		return event_init(a->event, a->freq_hz, a->period, ret, ret_is_fallback, e);
	if (a->freq_hz || a->period > 1)
		return error_set(e, EINVAL,
				 "-e %s: each hit of a uprobe is a sample: -F and -c do not apply",
				 a->event);
	return probe_init(a->event, ret, e);
}

static int record(const struct command *self, struct record_args *a, const char *line, char **argv)
{
	struct session_opts o = {
		.target = a->tids.is_given ? BSTACK_TARGET_TIDS
			  : a->is_all      ? BSTACK_TARGET_ALL
			  : a->cgroup      ? BSTACK_TARGET_CGROUP
					   : BSTACK_TARGET_PIDS,
		.ids = a->tids.is_given ? a->tids.v : a->pids.v,
		.id_cnt = a->tids.is_given ? a->tids.cnt : a->pids.cnt,
		.cgroup = a->cgroup,
		.cpus = a->cpus.v,
		.cpu_cnt = a->cpus.cnt,
		.is_inherited = a->is_inherited || argv[0],
		.is_self_wanted = a->is_self_wanted,
		.has_kernel = a->has_kernel,
		.ring_sz = (size_t)a->ring_mib << 20,
		.has_rows = has_rows(a),
		.has_priority = !a->no_priority,
		.rows_sz = (size_t)a->rows_mib << 20,
		.known_cnt = a->has_times                  ? 0
			     : a->known_cnt == KNOWN_UNSET ? KNOWN_DEFAULT
							   : a->known_cnt,
		.has_times = a->has_times,
	};
	struct recording *r = NULL;
	struct child child = {};
	struct error e = {};
	bool is_fallback = false;
	int code, status;

	if (event_find(a, &o.event, &is_fallback, &e) == -EINVAL)
		return cmd_usage(self, &e);
	if (e.text[0] || targets_check(a, &e))
		return cmd_fail(self, &e);
	if (is_fallback && !a->is_quiet)
		cmd_say(self, "no hardware cycles on this machine: sampling cpu-clock");
	signals_catch();
	if (argv[0] && child_start(argv, &child, &e))
		return cmd_fail(self, &e);
	code = recording_open(&o, a->output, line, a->debug_dirs.v, &r, &e) ? cmd_fail(self, &e)
									    : EXIT_DONE;
	if (!code && child.pid && session_add_at_exec(recording_session(r), child.pid, &e))
		code = cmd_fail(self, &e);
	if (!code)
		code = record_all(self, a, r, &child, argv, &e);
	recording_close(r);
	if (!child.pid)
		return code;
	status = child_finish(&child, stop_signal);
	return code ? code : status;
}

static int record_run(const struct command *self, int argc, char **argv)
{
	struct record_args a = { .output = "bstack.pb.gz", .known_cnt = KNOWN_UNSET };
	struct buf line CLEANUP(buf_release) = {};
	int first, code;

	cmd_line(argc, argv, &line);
	if (line.err)
		return cmd_no_memory(self);
	if (cmd_parse(self, argc, argv, &a, &first, &code)) {
		code = args_check(self, &a, first < argc);
		if (!code)
			code = record(self, &a, line.data, argv + first);
	}
	opt_u64s_release(&a.pids);
	opt_u64s_release(&a.tids);
	opt_u64s_release(&a.cpus);
	return code;
}

const struct command cmd_record = {
	.name = "record",
	.args = "[TARGET] [EVENT] [-o FILE] [-- COMMAND ARGS]",
	.summary = "Collect user stacks as build-id frames into a profile",
	.description =
		"Samples the target by the event, unwinds its user stacks and stores them as "
		"build-id frames: the build-id of the file and the place in it, which mean the "
		"same on every host and long after the process is gone. Stacks are unwound in BPF "
		"by the files' .eh_frame, so that binaries without frame pointers give complete "
		"ones. What cannot be known stays unresolved and says why.\n\n"
		"The profile is a pprof file, appended to each second: a recording that is "
		"killed loses the last "
		"second at most. At the end the addresses are given names, from the files "
		"the processes ran, "
		"unless --no-symbols is given.\n\n"
		"Memory: unwind tables take what --unwind-memory says, known stacks and the "
		"ring buffer what their options say, mapping events half a MiB each CPU, the "
		"mappings of processes 11 MiB, all of it from the start. Tables are kept for "
		"8,192 files and 65,536 processes at once, and files of 1,024 modules stay "
		"open until they are named. Beside that only what the profile holds grows: "
		"about 150 bytes for a thread with a stack that it did not have before, and "
		"12 bytes a frame, of 254 at most, for a stack that no thread had. So a CPU "
		"at 99 Hz adds 15 KiB a second when each sample is another thread's, and 320 "
		"KiB at the very worst. Samples that wait for an answer of /proc take up to "
		"1 GiB; more are lost, and counted.\n\n"
		"Needs root, or CAP_BPF and CAP_PERFMON and, for other users' processes, "
		"what bstack doctor "
		"names.",
	.opts = record_table,
	.examples = record_examples,
	.exit_status = "0: complete; with COMMAND its own exit status, 128 + N when a signal N "
		       "ended it.\n\n"
		       "1: failed; standard error says why.\n\n"
		       "2: wrong usage.",
	.complete = "command",
	.run = record_run,
	.max_args = SIZE_MAX,
};
