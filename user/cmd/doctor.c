/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* doctor.c - bstack doctor: what this kernel, these privileges and these binaries allow, and what to do. */
#include "cmd/cmd.h"
#include "collect/features.h"
#include "render/text.h"
#include "resolve/elfseg.h"
#include "symbol/symbol.h"

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
	  "Look at the program that this process runs.", "pid" },
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

		*x = (struct finding){ .f = f };
		x->state = f->probe(x->detail, sizeof(x->detail));
	}
	return cnt;
}

/* What can be said of one file. */
struct binary {
	const char *path;
	char hex[BUILD_ID_HEX_SZ];
	int err;
	bool has_build_id;
	enum symbols_state symbols;
};

static const struct {
	const char *key, *text, *advice;
} symbol_states[] = {
	[SYMBOLS_FOUND] = { "yes", "symbols", NULL },
	[SYMBOLS_EXPORTED] = { "exported", "only the functions it exports",
			       "install its -dbgsym package (dpkg -S FILE names the package)" },
	[SYMBOLS_STRIPPED] = { "no", "no symbols",
			       "install its -dbgsym package (dpkg -S FILE names the package)" },
	[SYMBOLS_NO_FILE] = { "no", "cannot be read", NULL },
};

static void binary_check(struct symbols *syms, const char *path, struct binary *ret)
{
	struct binary b = { .path = path };
	int fd CLEANUP(cleanup_close) = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct elfsegs segs;
	struct stat st;

	if (fd < 0)
		b.err = -errno;
	else if (fstat(fd, &st) || !S_ISREG(st.st_mode))
		b.err = -EINVAL;
	else
		b.err = elfsegs_read(fd, &segs);
	if (!b.err) {
		b.has_build_id = segs.build_id.sz > 0;
		build_id_hex(&segs.build_id, b.hex);
	}
	if (b.has_build_id)
		b.symbols = symbols_state(syms, &segs.build_id, path);
	*ret = b;
}

static void print_finding(const struct finding *x)
{
	printf("  %-7s  %s", feature_state_keys[x->state], x->f->text);
	if (x->detail[0])
		printf(": %s", x->detail);
	printf("\n");
	if (x->state == FEATURE_YES)
		return;
	if (x->f->effect[0])
		printf("           without it: %s%s%s%s\n", x->f->effect,
		       x->f->since[0] ? " [" : "", x->f->since, x->f->since[0] ? "]" : "");
	if (x->f->advice)
		printf("           try: %s\n", x->f->advice);
}

static void print_binary(const struct binary *b)
{
	struct buf name CLEANUP(buf_release) = {};

	text_add(&name, b->path, PATH_MAX);
	printf("  %s\n", name.data ? name.data : "");
	if (b->err) {
		printf("           cannot be read as an ELF file: %s\n", strerror(-b->err));
		return;
	}
	if (!b->has_build_id) {
		printf("           no build-id: its frames stay unresolved\n"
		       "           try: link it with -Wl,--build-id\n");
		return;
	}
	printf("           build-id %s, %s\n", b->hex, symbol_states[b->symbols].text);
	if (symbol_states[b->symbols].advice)
		printf("           try: %s\n", symbol_states[b->symbols].advice);
}

static void print_text(const struct finding *x, size_t cnt, const struct binary *bins,
		       size_t bin_cnt, int cannot, const struct error *why)
{
	const char *group = "";

	for (size_t i = 0; i < cnt; i++) {
		if (strcmp(group, x[i].f->group) != 0)
			printf("%s%s\n", group[0] ? "\n" : "", x[i].f->group);
		group = x[i].f->group;
		print_finding(&x[i]);
	}
	printf("\nbinaries (whether they keep frame pointers cannot be told from the file)\n");
	for (size_t i = 0; i < bin_cnt; i++)
		print_binary(&bins[i]);
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

static void print_json(const struct finding *x, size_t cnt, const struct binary *bins,
		       size_t bin_cnt, int cannot, const struct error *why)
{
	printf("{\"can_record\":%s,", cannot ? "false" : "true");
	json_string("reason", cannot ? why->text : "", ",");
	json_string("advice", cannot ? why->advice : "", ",\n\"features\":[\n");
	for (size_t i = 0; i < cnt; i++) {
		printf("{");
		json_string("key", x[i].f->key, ",");
		json_string("group", x[i].f->group, ",");
		json_string("state", feature_state_keys[x[i].state], ",");
		json_string("text", x[i].f->text, ",");
		json_string("since", x[i].f->since, ",");
		json_string("detail", x[i].detail, ",");
		json_string("effect", x[i].f->effect, ",");
		json_string("advice", x[i].f->advice, i + 1 < cnt ? "},\n" : "}],\n");
	}
	printf("\"binaries\":[\n");
	for (size_t i = 0; i < bin_cnt; i++) {
		printf("{");
		json_string("path", bins[i].path, ",");
		json_string("error", bins[i].err ? strerror(-bins[i].err) : "", ",");
		json_string("build_id", bins[i].hex, ",");
		json_string("symbols",
			    bins[i].has_build_id ? symbol_states[bins[i].symbols].key : "no",
			    i + 1 < bin_cnt ? "},\n" : "}");
	}
	printf("]}\n");
}

#define BINARIES_MAX 64

/* The files that were named, the program of -p, or else what every program here has: the C library. */
static size_t binaries_find(const struct doctor_args *a, char **files, size_t file_cnt, char *exe,
			    const char **ret)
{
	static const char *const usual[] = { "/proc/self/exe", "/lib/x86_64-linux-gnu/libc.so.6",
					     "/lib/aarch64-linux-gnu/libc.so.6" };
	size_t cnt = 0;

	for (size_t i = 0; i < file_cnt && cnt < BINARIES_MAX; i++)
		ret[cnt++] = files[i];
	if (a->pid) {
		snprintf(exe, 64, "/proc/%u/exe", (unsigned int)a->pid);
		ret[cnt++] = exe;
	}
	for (size_t i = 0; i < ARRAY_SIZE(usual) && !file_cnt && !a->pid; i++)
		if (!access(usual[i], R_OK))
			ret[cnt++] = usual[i];
	return cnt;
}

static int doctor_run(const struct command *self, int argc, char **argv)
{
	struct finding findings[FINDINGS_MAX];
	struct binary bins[BINARIES_MAX + 1];
	const char *paths[BINARIES_MAX + 1];
	struct doctor_args a = {};
	struct symbols *syms;
	struct error why = {};
	size_t cnt, bin_cnt;
	char exe[64];
	int first, code, cannot;

	if (!cmd_parse(self, argc, argv, &a, &first, &code))
		return code;
	if (symbols_new(&(struct symbols_opts){ .debug_dirs = a.debug_dirs.v }, &syms))
		return cmd_no_memory(self);
	cannot = features_can_record(&why); /* first: from here on libbpf is quiet */
	cnt = probe_all(findings);
	bin_cnt = binaries_find(&a, argv + first, (size_t)(argc - first), exe, paths);
	for (size_t i = 0; i < bin_cnt; i++)
		binary_check(syms, paths[i], &bins[i]);
	(a.is_json ? print_json : print_text)(findings, cnt, bins, bin_cnt, cannot, &why);
	symbols_free(syms);
	code = cmd_flush(self);
	return code ? code : cannot ? EXIT_FAILED : EXIT_DONE;
}

const struct command cmd_doctor = {
	.name = "doctor",
	.args = "[--json] [-p PID] [FILE...]",
	.summary = "Tell what this kernel, these privileges and these binaries allow",
	.description = "Tries each feature of the kernel that recording uses, each privilege, and "
		       "looks at binaries: FILEs, the "
		       "program of a process, or the C library. What is missing is told with what "
		       "lacks without it "
		       "and what to do.\n\n"
		       "Whether a file's code keeps frame pointers cannot be told from the file; a "
		       "recording tells, by its "
		       "broken stacks.",
	.opts = doctor_table,
	.exit_status = "0: recording works here.\n\n1: it does not; the last lines say why.\n\n2: "
		       "wrong usage.",
	.complete = "file",
	.run = doctor_run,
	.max_args = BINARIES_MAX,
};
