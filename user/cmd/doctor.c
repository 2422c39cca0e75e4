/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* doctor.c - bstack doctor: what this kernel, these privileges and these binaries allow, and what to do. */
#include "cmd/cmd.h"
#include "collect/features.h"
#include "render/text.h"
#include "resolve/elfseg.h"
#include "resolve/procmap.h"
#include "symbol/symbol.h"
#include "unwind/table.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct doctor_args {
	bool is_json;
	uint64_t pid;
	struct opt_strs debug_dirs;
};

#define FIELD(f) offsetof(struct doctor_args, f)
static const struct opt doctor_table[] = {
	{ 0, "json", NULL, OPT_FLAG, FIELD(is_json), 0, 0, "Output", "Print JSON.", NULL },
	{ 'p', "pid", "PID", OPT_U64, FIELD(pid), 1, 4194304, "Binaries",
	  "Look at the program that this process runs, and at its libraries.", "pid" },
	{ 0, "debug-dir", "DIR", OPT_STRS, FIELD(debug_dirs), 0, 0, "Binaries",
	  "Look for debug files in DIR, too; may be given again.", "dir" },
	{},
};

/* A feature and what its probe found. */
struct finding {
	const struct feature *f;
	enum feature_state state;
	char detail[128];
};
#define FINDINGS_MAX 64

static size_t probe_all(struct finding *ret)
{
	size_t cnt = 0;

	for (const struct feature *f = features; f->key && cnt < FINDINGS_MAX; f++) {
		struct finding *x = &ret[cnt++];

		x->f = f;
		x->state = feature_probe(f, x->detail, sizeof(x->detail));
	}
	return cnt;
}

/* What can be said of one file. */
struct binary {
	char *path;
	char error[128]; /* why nothing can */
	char hex[BUILD_ID_HEX_SZ];
	bool has_build_id;
	enum symbols_state symbols;
	int unwind_err; /* of reading its unwind information */
	size_t row_cnt, unsupported_cnt;
};

struct binaries {
	struct binary *v;
	size_t cnt, cap;
	size_t left_out_cnt;
	struct symbols *syms;
};
#define BINARIES_MAX 512

static void binaries_release(struct binaries *b)
{
	for (size_t i = 0; i < b->cnt; i++)
		free(b->v[i].path);
	free(b->v);
	symbols_free(b->syms);
}

static const struct {
	const char *key, *text, *advice;
} symbol_states[] = {
	[SYMBOLS_FOUND] = { "yes", "symbols", NULL },
	[SYMBOLS_EXPORTED] = { "exported", "only the functions it exports",
			       "install its -dbgsym package (dpkg -S FILE names the package)" },
	[SYMBOLS_STRIPPED] = { "no", "no symbols",
			       "install its -dbgsym package (dpkg -S FILE names the package)" },
	[SYMBOLS_NO_FILE] = { "no", "symbols cannot be read", NULL },
};

/* A FILE may be given relative to here; symbols are looked for beside absolute ones. */
static enum symbols_state file_symbols(struct symbols *syms, const struct build_id *id,
				       const char *path, bool is_mapped)
{
	char *full CLEANUP(cleanup_free) = is_mapped ? NULL : realpath(path, NULL);

	return symbols_state(syms, id, full ? full : path);
}

/* Reads fd, which it closes; a negative one is the errno of opening it. vma: of process pid, or NULL. */
static void binary_read(struct symbols *syms, struct binary *b, int fd_or_err, pid_t pid,
			const struct vma *vma)
{
	int fd CLEANUP(cleanup_close) = fd_or_err;
	struct unwind_table table;
	struct elfsegs segs;
	struct stat st;
	int err = fd < 0 ? fd : fstat(fd, &st) ? -errno : 0;

	if (!err && !S_ISREG(st.st_mode)) {
		snprintf(b->error, sizeof(b->error), "not a regular file");
		return;
	}
	err = err ? err : elfsegs_read(fd, &segs);
	if (err) {
		snprintf(b->error, sizeof(b->error), "%s",
			 err == -ENOEXEC ? "not an ELF file of this machine, or damaged"
					 : strerror(-err));
		return;
	}
	b->has_build_id = segs.build_id.sz > 0;
	build_id_hex(&segs.build_id, b->hex);
	if (b->has_build_id && vma)
		symbols_hint(syms, &segs.build_id, b->path, pid, vma->start, vma->end);
	if (b->has_build_id)
		b->symbols = file_symbols(syms, &segs.build_id, b->path, vma != NULL);
	b->unwind_err = unwind_table_read(fd, &table);
	if (b->unwind_err)
		return;
	b->row_cnt = table.row_cnt;
	b->unsupported_cnt = table.unsupported_cnt;
	unwind_table_release(&table);
}

/* One more with this path, each path once. NULL: it is there, there are too many, or no memory. */
static struct binary *binary_add(struct binaries *b, const char *path)
{
	char *copy;

	for (size_t i = 0; i < b->cnt; i++)
		if (!strcmp(b->v[i].path, path))
			return NULL;
	copy = strdup(path);
	if (!copy || array_reserve(&b->v, &b->cap, b->cnt + 1, sizeof(*b->v), BINARIES_MAX)) {
		free(copy);
		b->left_out_cnt++;
		return NULL;
	}
	b->v[b->cnt] = (struct binary){ .path = copy };
	return &b->v[b->cnt++];
}

static void file_add(struct binaries *b, const char *path)
{
	struct binary *x = binary_add(b, path);
	int fd;

	if (!x)
		return;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	binary_read(b->syms, x, fd < 0 ? -errno : fd, 0, NULL);
}

static bool is_libc(const char *path)
{
	const char *name = strrchr(path, '/');

	name = name ? name + 1 : path;
	return !strncmp(name, "libc.so", 7) || !strncmp(name, "libc-", 5) ||
	       !strncmp(name, "ld-musl", 7);
}

/* Why the mappings of a process cannot be read. One without a program is there, too. */
static int process_failed(pid_t pid, int code, struct error *e)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d", pid);
	if ((code == ESRCH || code == ENOENT) && !access(path, F_OK))
		return error_set(e, code,
				 "cannot look at process %d: it runs no program (a kernel thread, "
				 "or a zombie)",
				 pid);
	error_errno(e, code, "cannot look at process %d", pid);
	if (code == EACCES || code == EPERM)
		error_advise(e, "run as root, or with CAP_SYS_PTRACE");
	return -code;
}

/* The files whose code a process has mapped; is_few: only its program (the first one) and the C library. */
static int process_add(struct binaries *b, pid_t pid, bool is_few, struct error *e)
{
	struct procmap *map;
	struct vma vma;
	uint64_t addr = 0;
	bool is_empty = true;
	int err = procmap_open(pid, 0, &map);

	if (err)
		return process_failed(pid, -err, e);
	while (!(err = procmap_next_exec(map, addr, &vma)) && vma.end > addr) {
		struct binary *x;

		addr = vma.end;
		if (vma.kind != VMA_FILE || (is_few && !is_empty && !is_libc(vma.path)))
			continue;
		is_empty = false;
		x = binary_add(b, vma.path);
		if (x)
			binary_read(b->syms, x,
				    procmap_open_file(pid, vma.start, vma.end, vma.path), pid,
				    &vma);
	}
	procmap_close(map);
	if ((err && err != -ENOENT) || is_empty)
		return process_failed(pid, err ? -err : ENOENT, e);
	return 0;
}

static void print_finding(const struct finding *x)
{
	const char *advice = feature_advice(x->f, x->state);

	printf("  %-7s  %s", feature_state_keys[x->state], x->f->text);
	if (x->detail[0])
		printf(": %s", x->detail);
	printf("\n");
	if (x->state == FEATURE_YES)
		return;
	if (x->f->effect[0])
		printf("           means: %s%s%s%s\n", x->f->effect, x->f->since[0] ? " [" : "",
		       x->f->since, x->f->since[0] ? "]" : "");
	if (advice)
		printf("           try: %s\n", advice);
}

static void print_unwind(const struct binary *b)
{
	if (b->unwind_err == -ENOENT)
		printf("           no unwind information (.eh_frame): only frame pointers, if it "
		       "keeps "
		       "them, give its stacks\n"
		       "           try: compile it with -fasynchronous-unwind-tables, or "
		       "-fno-omit-frame-pointer\n");
	else if (b->unwind_err)
		printf("           unwind information cannot be read: %s\n",
		       strerror(-b->unwind_err));
	else if (b->unsupported_cnt)
		printf("           unwind information: %zu rows, %zu of them not understood\n",
		       b->row_cnt, b->unsupported_cnt);
	else
		printf("           unwind information: %zu rows\n", b->row_cnt);
}

static void print_binary(const struct binary *b)
{
	struct buf name CLEANUP(buf_release) = {};

	text_add(&name, b->path, PATH_MAX);
	printf("  %s\n", name.data ? name.data : "");
	if (b->error[0]) {
		printf("           cannot be looked at: %s\n", b->error);
		return;
	}
	if (!b->has_build_id) {
		printf("           no build-id: its frames stay unresolved\n"
		       "           try: link it with -Wl,--build-id\n");
	} else {
		printf("           build-id %s, %s\n", b->hex, symbol_states[b->symbols].text);
		if (symbol_states[b->symbols].advice)
			printf("           try: %s\n", symbol_states[b->symbols].advice);
	}
	print_unwind(b);
}

static void print_text(const struct finding *x, size_t cnt, const struct binaries *bins, int cannot,
		       const struct error *why)
{
	const char *group = "";

	for (size_t i = 0; i < cnt; i++) {
		if (strcmp(group, x[i].f->group) != 0)
			printf("%s%s\n", group[0] ? "\n" : "", x[i].f->group);
		group = x[i].f->group;
		print_finding(&x[i]);
	}
	printf("\nbinaries (whether they keep frame pointers cannot be told from the file)\n");
	for (size_t i = 0; i < bins->cnt; i++)
		print_binary(&bins->v[i]);
	if (bins->left_out_cnt)
		printf("  and %zu more, not looked at\n", bins->left_out_cnt);
	if (cannot)
		printf("\n%s\ntry: %s\n", why->text, why->advice);
	else
		printf("\nrecording works here\n");
}

static void json_string(const char *key, const char *value, const char *end)
{
	struct buf b CLEANUP(buf_release) = {};

	json_add(&b, value ? value : "");
	printf("\"%s\":%s%s", key, b.data ? b.data : "\"\"", end);
}

/* The rows of one group, as an array. */
static void json_group(const char *name, const char *group, const struct finding *x, size_t cnt)
{
	bool is_first = true;

	printf("\"%s\":[", name);
	for (size_t i = 0; i < cnt; i++) {
		if (strcmp(x[i].f->group, group) != 0)
			continue;
		printf("%s\n{", is_first ? "" : ",");
		is_first = false;
		json_string("key", x[i].f->key, ",");
		json_string("state", feature_state_keys[x[i].state], ",");
		json_string("text", x[i].f->text, ",");
		json_string("since", x[i].f->since, ",");
		json_string("detail", x[i].detail, ",");
		json_string("effect", x[i].f->effect, ",");
		json_string("advice", feature_advice(x[i].f, x[i].state), ",");
		printf("\"is_required\":%s}", x[i].f->is_required ? "true" : "false");
	}
	printf("],\n");
}

static void print_json(const struct finding *x, size_t cnt, const struct binaries *bins, int cannot,
		       const struct error *why)
{
	printf("{\"can_record\":%s,", cannot ? "false" : "true");
	json_string("reason", cannot ? why->text : "", ",");
	json_string("advice", cannot ? why->advice : "", ",\n");
	json_group("features", "kernel", x, cnt);
	json_group("privileges", "privileges", x, cnt);
	printf("\"binaries\":[");
	for (size_t i = 0; i < bins->cnt; i++) {
		const struct binary *b = &bins->v[i];

		printf("%s\n{", i ? "," : "");
		json_string("path", b->path, ",");
		json_string("error", b->error, ",");
		json_string("build_id", b->hex, ",");
		json_string("symbols", b->has_build_id ? symbol_states[b->symbols].key : "no", ",");
		printf("\"unwind_rows\":%zu,\"unwind_rows_unsupported\":%zu}", b->row_cnt,
		       b->unsupported_cnt);
	}
	printf("],\"binaries_left_out\":%zu}\n", bins->left_out_cnt);
}

/* The files that were named and those of -p; else our own program and the C library. */
static int binaries_find(const struct doctor_args *a, char **files, size_t file_cnt,
			 struct binaries *b, struct error *e)
{
	struct error ignored;
	int err = 0;

	for (size_t i = 0; i < file_cnt; i++)
		file_add(b, files[i]);
	if (a->pid)
		err = process_add(b, (pid_t)a->pid, false, e);
	if (!file_cnt && !a->pid && process_add(b, getpid(), true, &ignored))
		file_add(b, "/proc/self/exe");
	return err;
}

static int doctor_run(const struct command *self, int argc, char **argv)
{
	struct binaries bins CLEANUP(binaries_release) = {};
	struct finding findings[FINDINGS_MAX];
	struct doctor_args a = {};
	struct error why = {};
	int first, code, cannot;
	size_t cnt;

	if (!cmd_parse(self, argc, argv, &a, &first, &code))
		return code;
	if (symbols_new(&(struct symbols_opts){ .debug_dirs = a.debug_dirs.v }, &bins.syms))
		return cmd_no_memory(self);
	if (binaries_find(&a, argv + first, (size_t)(argc - first), &bins, &why))
		return cmd_fail(self, &why);
	cannot = features_verdict(&why);
	cnt = probe_all(findings);
	(a.is_json ? print_json : print_text)(findings, cnt, &bins, cannot, &why);
	code = cmd_flush(self);
	return code ? code : cannot ? EXIT_FAILED : EXIT_DONE;
}

const struct command cmd_doctor = {
	.name = "doctor",
	.args = "[--json] [-p PID] [FILE...]",
	.summary = "Tell what this kernel, these privileges and these binaries allow",
	.description = "Tries each feature of the kernel that recording uses, each privilege, and "
		       "looks at binaries: FILEs, those whose code a process has mapped, or bstack "
		       "itself and the C library. What is missing is told with what lacks without "
		       "it and what to do.\n\n"
		       "Of a binary it tells the build-id, whether symbols are found (in it, or in "
		       "a debug file), and how many rows of unwind information it has. Whether its "
		       "code keeps frame pointers cannot be told from the file; a recording tells, "
		       "by its broken stacks.",
	.opts = doctor_table,
	.exit_status = "0: recording works here.\n\n1: it does not, and the last lines say why; or "
		       "the process of -p cannot be looked at.\n\n2: wrong usage.",
	.complete = "file",
	.run = doctor_run,
	.max_args = BINARIES_MAX,
};
