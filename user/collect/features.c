/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * features.c - the table of features, each with its probe. A probe tries the thing itself: a tiny BPF program,
 * an event, an ioctl, a look into the kernel's BTF; a version number proves nothing.
 */
#include "collect/features.h"
#include "collect/event.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

const char *const feature_state_keys[] = {
	[FEATURE_YES] = "yes",         [FEATURE_NO] = "no",           [FEATURE_DENIED] = "denied",
	[FEATURE_PARTIAL] = "partial", [FEATURE_UNKNOWN] = "unknown",
};

static enum feature_state say(char *detail, size_t sz, enum feature_state state, const char *text)
{
	snprintf(detail, sz, "%s", text);
	return state;
}

/* What an errno of a probe means. */
static enum feature_state failed(char *detail, size_t sz, int code)
{
	say(detail, sz, FEATURE_NO, strerror(code));
	return code == EPERM || code == EACCES ? FEATURE_DENIED : FEATURE_NO;
}

/* The running kernel's types, read once; NULL: there are none, errno says why. */
static const struct btf *kernel_btf(void)
{
	static struct btf *btf;
	static int err;

	if (!btf && !err) {
		btf = btf__load_vmlinux_btf();
		err = btf ? 0 : errno;
	}
	errno = err;
	return btf;
}

static const struct btf_type *struct_find(const char *name)
{
	const struct btf *btf = kernel_btf();
	int id = btf ? btf__find_by_name_kind(btf, name, BTF_KIND_STRUCT) : -1;

	return id > 0 ? btf__type_by_id(btf, (uint32_t)id) : NULL;
}

/* Id of a member's type; 0: no such member. Looks into unnamed members, too. */
static uint32_t member_type(const struct btf_type *t, const char *name)
{
	const struct btf *btf = kernel_btf();
	const struct btf_member *m = btf_members(t);

	for (uint32_t i = 0; i < btf_vlen(t); i++) {
		const char *n = btf__name_by_offset(btf, m[i].name_off);
		const struct btf_type *inner;
		uint32_t found;

		if (n && !strcmp(n, name))
			return m[i].type;
		inner = n && !n[0] ? btf__type_by_id(btf, m[i].type) : NULL;
		found = inner && btf_is_composite(inner) ? member_type(inner, name) : 0;
		if (found)
			return found;
	}
	return 0;
}

static bool struct_has(const char *type, const char *member)
{
	const struct btf_type *t = struct_find(type);

	return t && member_type(t, member);
}

static enum feature_state no_btf(char *detail, size_t sz)
{
	return say(detail, sz, FEATURE_UNKNOWN, "without BTF the kernel's types are not known");
}

static enum feature_state probe_btf(char *detail, size_t sz)
{
	if (kernel_btf())
		return FEATURE_YES;
	return say(detail, sz, FEATURE_NO, "/sys/kernel/btf/vmlinux cannot be read");
}

static int insns_load(enum bpf_prog_type type, const struct bpf_insn *insns, size_t cnt)
{
	int fd = bpf_prog_load(type, NULL, "Dual BSD/GPL", insns, cnt, NULL);

	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

static enum feature_state probe_insns(enum bpf_prog_type type, const struct bpf_insn *insns,
				      size_t cnt, char *detail, size_t sz)
{
	int err = insns_load(type, insns, cnt);

	return err ? failed(detail, sz, -err) : FEATURE_YES;
}

#define MOV_IMM(reg, value)                                                           \
	{                                                                             \
		.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = (reg), .imm = (value) \
	}
#define MOV_REG(to, from)                                                               \
	{                                                                               \
		.code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = (to), .src_reg = (from) \
	}
#define ADD_IMM(reg, value)                                                           \
	{                                                                             \
		.code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = (reg), .imm = (value) \
	}
#define CALL(helper)                                        \
	{                                                   \
		.code = BPF_JMP | BPF_CALL, .imm = (helper) \
	}
#define EXIT()                             \
	{                                  \
		.code = BPF_JMP | BPF_EXIT \
	}

static enum feature_state probe_perf_program(char *detail, size_t sz)
{
	const struct bpf_insn insns[] = { MOV_IMM(BPF_REG_0, 0), EXIT() };

	return probe_insns(BPF_PROG_TYPE_PERF_EVENT, insns, ARRAY_SIZE(insns), detail, sz);
}

/* bpf_get_stack(ctx, fp - 32, 32, USER_STACK | USER_BUILD_ID): loads where the helper and its flags are known. */
static enum feature_state probe_build_id_stack(char *detail, size_t sz)
{
	const struct bpf_insn insns[] = {
		MOV_REG(BPF_REG_2, BPF_REG_10),
		ADD_IMM(BPF_REG_2, -32),
		MOV_IMM(BPF_REG_3, 32),
		MOV_IMM(BPF_REG_4, BPF_F_USER_STACK | BPF_F_USER_BUILD_ID),
		CALL(BPF_FUNC_get_stack),
		MOV_IMM(BPF_REG_0, 0),
		EXIT(),
	};

	return probe_insns(BPF_PROG_TYPE_PERF_EVENT, insns, ARRAY_SIZE(insns), detail, sz);
}

static enum feature_state probe_map(enum bpf_map_type type, uint32_t key_sz, uint32_t value_sz,
				    uint32_t cnt, uint32_t flags, char *detail, size_t sz)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = flags);
	int fd = bpf_map_create(type, "bstack_probe", key_sz, value_sz, cnt, &opts);

	if (fd < 0)
		return failed(detail, sz, -fd);
	close(fd);
	return FEATURE_YES;
}

static enum feature_state probe_stackmap(char *detail, size_t sz)
{
	return probe_map(BPF_MAP_TYPE_STACK_TRACE, 4, sizeof(struct bpf_stack_build_id) * 8, 1,
			 BPF_F_STACK_BUILD_ID, detail, sz);
}

static enum feature_state probe_ringbuf(char *detail, size_t sz)
{
	return probe_map(BPF_MAP_TYPE_RINGBUF, 0, 0, (uint32_t)sysconf(_SC_PAGESIZE), 0, detail,
			 sz);
}

/* Is a BPF program of tracing type allowed, attached to this function or tracepoint? */
static enum feature_state probe_tracing(const char *name, enum bpf_attach_type attach, char *detail,
					size_t sz)
{
	const struct bpf_insn insns[] = { MOV_IMM(BPF_REG_0, 0), EXIT() };
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = attach);
	int id, fd;

	if (!kernel_btf())
		return no_btf(detail, sz);
	id = libbpf_find_vmlinux_btf_id(name, attach);
	if (id <= 0)
		return say(detail, sz, FEATURE_NO, "not in the kernel's BTF");
	opts.attach_btf_id = (uint32_t)id;
	fd = bpf_prog_load(BPF_PROG_TYPE_TRACING, NULL, "Dual BSD/GPL", insns, ARRAY_SIZE(insns),
			   &opts);
	if (fd < 0)
		return failed(detail, sz, -fd);
	close(fd);
	return FEATURE_YES;
}

static enum feature_state probe_tp_btf(char *detail, size_t sz)
{
	return probe_tracing("sched_process_fork", BPF_TRACE_RAW_TP, detail, sz);
}

static enum feature_state probe_fentry(char *detail, size_t sz)
{
	return probe_tracing("do_nanosleep", BPF_TRACE_FENTRY, detail, sz);
}

static int event_try(struct perf_event_attr *attr, pid_t pid, int cpu)
{
	int fd;

	attr->size = sizeof(*attr);
	attr->disabled = 1;
	fd = (int)syscall(SYS_perf_event_open, attr, pid, cpu, -1, PERF_FLAG_FD_CLOEXEC);
	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

static enum feature_state probe_mmap2_build_id(char *detail, size_t sz)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.config = PERF_COUNT_SW_DUMMY,
		.mmap = 1,
		.mmap2 = 1,
		.build_id = 1,
	};
	int err = event_try(&attr, 0, -1);

	return err ? failed(detail, sz, -err) : FEATURE_YES;
}

static enum feature_state probe_cycles(char *detail, size_t sz)
{
	struct perf_event_attr attr = { .type = PERF_TYPE_HARDWARE,
					.config = PERF_COUNT_HW_CPU_CYCLES };
	int err = event_try(&attr, 0, -1);

	return err ? failed(detail, sz, -err) : FEATURE_YES;
}

static enum feature_state probe_system_wide(char *detail, size_t sz)
{
	struct perf_event_attr attr = { .type = PERF_TYPE_SOFTWARE,
					.config = PERF_COUNT_SW_CPU_CLOCK };
	int err = event_try(&attr, -1, 0);

	return err ? failed(detail, sz, -err) : FEATURE_YES;
}

/* PROCMAP_QUERY of ourselves: 0x68 bytes, see resolve/procmap.c. */
static enum feature_state probe_procmap_query(char *detail, size_t sz)
{
	uint64_t query[13] = { sizeof(query), 0, (uintptr_t)probe_procmap_query };
	int fd CLEANUP(cleanup_close) = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return failed(detail, sz, errno);
	if (!ioctl(fd, _IOWR('f', 17, uint64_t[13]), query))
		return FEATURE_YES;
	return failed(detail, sz, errno);
}

static enum feature_state probe_map_files(char *detail, size_t sz)
{
	FILE *maps CLEANUP(cleanup_fclose) = fopen("/proc/self/maps", "re");
	char line[512], path[128];
	unsigned long start, end;
	int fd;

	while (maps && fgets(line, sizeof(line), maps)) {
		if (!strchr(line, '/') || sscanf(line, "%lx-%lx", &start, &end) != 2)
			continue;
		snprintf(path, sizeof(path), "/proc/self/map_files/%lx-%lx", start, end);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			return failed(detail, sz, errno);
		close(fd);
		return FEATURE_YES;
	}
	return say(detail, sz, FEATURE_UNKNOWN, "/proc/self/maps cannot be read");
}

static enum feature_state probe_mm_lock_seq(char *detail, size_t sz)
{
	if (!kernel_btf())
		return no_btf(detail, sz);
	if (!struct_has("mm_struct", "mm_lock_seq"))
		return say(detail, sz, FEATURE_NO, "struct mm_struct has no mm_lock_seq");
	return FEATURE_YES;
}

static enum feature_state probe_vma_lock(char *detail, size_t sz)
{
	if (!kernel_btf())
		return no_btf(detail, sz);
	return struct_has("vm_area_struct", "vm_lock_seq")
		       ? FEATURE_YES
		       : say(detail, sz, FEATURE_NO, "struct vm_area_struct has no vm_lock_seq");
}

bool feature_is_rt(void)
{
	return struct_find("rw_semaphore") && !struct_has("rw_semaphore", "count");
}

static enum feature_state probe_not_rt(char *detail, size_t sz)
{
	if (!kernel_btf())
		return no_btf(detail, sz);
	if (!feature_is_rt())
		return FEATURE_YES;
	return say(detail, sz, FEATURE_PARTIAL,
		   "PREEMPT_RT: every stack taken with interrupts off falls back, and is healed");
}

static enum feature_state probe_cve_fix(char *detail, size_t sz)
{
	if (!struct_find("mmap_unlock_irq_work"))
		return say(detail, sz, FEATURE_UNKNOWN, "BTF does not tell");
	if (struct_has("mmap_unlock_irq_work", "active"))
		return FEATURE_YES;
	return say(detail, sz, FEATURE_NO, "struct mmap_unlock_irq_work has no member active");
}

static enum feature_state probe_mmap_lock_tp(char *detail, size_t sz)
{
	return probe_tracing("mmap_lock_start_locking", BPF_TRACE_RAW_TP, detail, sz);
}

static enum feature_state probe_tracefs(char *detail, size_t sz)
{
	return tracefs_path() ? FEATURE_YES : say(detail, sz, FEATURE_NO, "not mounted");
}

static enum feature_state probe_kallsyms(char *detail, size_t sz)
{
	FILE *f CLEANUP(cleanup_fclose) = fopen("/proc/kallsyms", "re");
	unsigned long long addr;

	if (!f || fscanf(f, "%llx", &addr) != 1)
		return failed(detail, sz, ENOENT);
	/* The first symbols may be per-CPU ones at 0: look at one further on. */
	for (int i = 0; i < 1000 && !addr; i++)
		if (fscanf(f, "%*[^\n] %llx", &addr) != 1)
			break;
	return addr ? FEATURE_YES
		    : say(detail, sz, FEATURE_DENIED, "kernel.kptr_restrict hides the addresses");
}

/* Effective capabilities, by number. */
static bool has_capability(unsigned int cap)
{
	FILE *f CLEANUP(cleanup_fclose) = fopen("/proc/self/status", "re");
	unsigned long long caps = 0;
	char line[256];

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "CapEff: %llx", &caps) == 1)
			break;
	return caps >> cap & 1;
}

#define CAP_DAC_READ_SEARCH_NR    2
#define CAP_SYS_PTRACE_NR         19
#define CAP_SYS_ADMIN_NR          21
#define CAP_SYSLOG_NR             34
#define CAP_PERFMON_NR            38
#define CAP_BPF_NR                39
#define CAP_CHECKPOINT_RESTORE_NR 40

static enum feature_state cap(unsigned int nr, unsigned int instead, char *detail, size_t sz)
{
	if (has_capability(nr))
		return FEATURE_YES;
	if (instead && has_capability(instead))
		return say(detail, sz, FEATURE_YES, "through CAP_SYS_ADMIN");
	return say(detail, sz, FEATURE_NO, "not held");
}

static enum feature_state probe_cap_bpf(char *detail, size_t sz)
{
	return cap(CAP_BPF_NR, CAP_SYS_ADMIN_NR, detail, sz);
}

static enum feature_state probe_cap_perfmon(char *detail, size_t sz)
{
	return cap(CAP_PERFMON_NR, CAP_SYS_ADMIN_NR, detail, sz);
}

static enum feature_state probe_cap_ptrace(char *detail, size_t sz)
{
	return cap(CAP_SYS_PTRACE_NR, 0, detail, sz);
}

static enum feature_state probe_cap_read(char *detail, size_t sz)
{
	return cap(CAP_DAC_READ_SEARCH_NR, 0, detail, sz);
}

static enum feature_state probe_cap_restore(char *detail, size_t sz)
{
	return cap(CAP_CHECKPOINT_RESTORE_NR, CAP_SYS_ADMIN_NR, detail, sz);
}

static enum feature_state probe_cap_syslog(char *detail, size_t sz)
{
	return cap(CAP_SYSLOG_NR, 0, detail, sz);
}

static enum feature_state sysctl(const char *path, char *detail, size_t sz)
{
	FILE *f CLEANUP(cleanup_fclose) = fopen(path, "re");
	int value;

	if (!f || fscanf(f, "%d", &value) != 1)
		return say(detail, sz, FEATURE_UNKNOWN, "this kernel has no such setting");
	snprintf(detail, sz, "%d", value);
	return FEATURE_YES;
}

static enum feature_state probe_paranoid(char *detail, size_t sz)
{
	return sysctl("/proc/sys/kernel/perf_event_paranoid", detail, sz);
}

static enum feature_state probe_unprivileged(char *detail, size_t sz)
{
	return sysctl("/proc/sys/kernel/unprivileged_bpf_disabled", detail, sz);
}

#define KERNEL     "kernel"
#define PRIVILEGES "privileges"

const struct feature features[] = {
	{ "btf", KERNEL, "types of the running kernel (BTF)", "Linux 5.4",
	  "BPF programs cannot be fitted to this kernel",
	  "use a kernel with CONFIG_DEBUG_INFO_BTF, as Debian's are", true, probe_btf },
	{ "perf_program", KERNEL, "BPF programs on perf events", "Linux 4.9",
	  "nothing can be sampled", "run as root, or with CAP_BPF and CAP_PERFMON", true,
	  probe_perf_program },
	{ "build_id_stack", KERNEL, "build-id stacks (bpf_get_stack)", "Linux 4.18",
	  "nothing can be sampled", "run as root, or with CAP_BPF and CAP_PERFMON", true,
	  probe_build_id_stack },
	{ "ringbuf", KERNEL, "BPF ring buffer", "Linux 5.8", "nothing can be sampled",
	  "run as root, or with CAP_BPF", true, probe_ringbuf },
	{ "tp_btf", KERNEL, "BPF programs on raw tracepoints with types", "Linux 5.5",
	  "targets cannot be followed over fork, exec and exit",
	  "run as root, or with CAP_BPF and CAP_PERFMON", true, probe_tp_btf },
	{ "system_wide", KERNEL, "system-wide clock events", "Linux 2.6.31",
	  "nothing can be sampled", "run as root, or with CAP_PERFMON", true, probe_system_wide },
	{ "mmap2_build_id", KERNEL, "mapping events with build-ids", "Linux 5.12",
	  "stacks that fell back cannot be healed when the process is gone", NULL, true,
	  probe_mmap2_build_id },
	{ "build_id_stackmap", KERNEL, "stack maps with build-ids", "Linux 4.17",
	  "only of interest to other tools", NULL, false, probe_stackmap },
	{ "procmap_query", KERNEL, "asking for one mapping (PROCMAP_QUERY)", "Linux 6.11",
	  "the text of /proc/PID/maps is read instead, which is slower", NULL, false,
	  probe_procmap_query },
	{ "map_files", KERNEL, "files behind mappings (/proc/PID/map_files)", "Linux 3.3",
	  "deleted and replaced files, and those of other mount namespaces, may stay without names",
	  "add CAP_CHECKPOINT_RESTORE", false, probe_map_files },
	{ "mm_lock_seq", KERNEL, "count of mapping changes (mm_lock_seq)", "Linux 6.4",
	  "a writer that came and went is not told from a busy slot", NULL, false,
	  probe_mm_lock_seq },
	{ "per_vma_lock", KERNEL, "locks of single mappings", "Linux 6.4",
	  "page faults take mmap_lock, so that stacks fall back more often", NULL, false,
	  probe_vma_lock },
	{ "no_preempt_rt", KERNEL, "not a PREEMPT_RT kernel", "", "stacks are resolved afterwards",
	  NULL, false, probe_not_rt },
	{ "cve_2026_90247_fix", KERNEL, "fix of CVE-2026-90247", "Linux 6.12.114 and 6.18.52",
	  "two BPF programs that nest can leave mmap_lock locked for ever; bstack alone never "
	  "nests",
	  "update the kernel before running several BPF profilers at once", false, probe_cve_fix },
	{ "mmap_lock_tracepoints", KERNEL, "mmap_lock tracepoints", "Linux 5.11",
	  "mmap_lock cannot be audited", NULL, false, probe_mmap_lock_tp },
	{ "pmu_cycles", KERNEL, "hardware cycles (PMU)", "",
	  "cpu-clock is sampled instead, which cannot see code that "
	  "runs with interrupts off",
	  NULL, false, probe_cycles },
	{ "tracefs", KERNEL, "tracefs", "Linux 4.1", "tracepoints cannot be named",
	  "mount -t tracefs tracefs /sys/kernel/tracing", false, probe_tracefs },
	{ "kallsyms", KERNEL, "addresses of kernel functions", "",
	  "kernel frames stay without names", "add CAP_SYSLOG, or set kernel.kptr_restrict=0",
	  false, probe_kallsyms },
	{ "fentry", KERNEL, "BPF programs on functions (fentry)", "Linux 5.5",
	  "of no use to recording", NULL, false, probe_fentry },
	{ "cap_bpf", PRIVILEGES, "CAP_BPF", "Linux 5.8", "BPF programs cannot be loaded",
	  "run as root, or setcap cap_bpf,cap_perfmon+ep bstack", true, probe_cap_bpf },
	{ "cap_perfmon", PRIVILEGES, "CAP_PERFMON", "Linux 5.8",
	  "events and stacks of others cannot be read",
	  "run as root, or setcap cap_bpf,cap_perfmon+ep bstack", true, probe_cap_perfmon },
	{ "cap_sys_ptrace", PRIVILEGES, "CAP_SYS_PTRACE", "",
	  "mappings of other users' processes cannot be asked for", "add cap_sys_ptrace", false,
	  probe_cap_ptrace },
	{ "cap_dac_read_search", PRIVILEGES, "CAP_DAC_READ_SEARCH", "",
	  "files of other users, and tracefs, may be unreadable", "add cap_dac_read_search", false,
	  probe_cap_read },
	{ "cap_checkpoint_restore", PRIVILEGES, "CAP_CHECKPOINT_RESTORE", "Linux 5.9",
	  "/proc/PID/map_files cannot be opened", "add cap_checkpoint_restore", false,
	  probe_cap_restore },
	{ "cap_syslog", PRIVILEGES, "CAP_SYSLOG", "", "kernel addresses may be hidden",
	  "add cap_syslog", false, probe_cap_syslog },
	{ "perf_event_paranoid", PRIVILEGES, "kernel.perf_event_paranoid", "", "", NULL, false,
	  probe_paranoid },
	{ "unprivileged_bpf_disabled", PRIVILEGES, "kernel.unprivileged_bpf_disabled", "", "", NULL,
	  false, probe_unprivileged },
	{},
};

static int quiet(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	(void)level;
	(void)fmt;
	(void)ap;
	return 0;
}

int features_can_record(struct error *e)
{
	libbpf_print_fn_t old = libbpf_set_print(quiet);
	const struct feature *first = NULL;
	char missing[384] = "", detail[128];
	int code = 0;

	for (const struct feature *f = features; f->key; f++) {
		size_t len = strlen(missing);
		enum feature_state state;

		if (!f->is_required)
			continue;
		state = f->probe(detail, sizeof(detail));
		if (state == FEATURE_YES || state == FEATURE_PARTIAL ||
		    (state == FEATURE_UNKNOWN && first))
			continue;
		snprintf(missing + len, sizeof(missing) - len, "%s%s", len ? ", " : "", f->text);
		/* A capability that lacks is the reason of what else is denied: tell what to do about that. */
		if (!first || !strcmp(f->group, PRIVILEGES))
			first = f;
		code = state == FEATURE_DENIED || !strcmp(f->group, PRIVILEGES) ? EPERM
		       : code                                                   ? code
										: EOPNOTSUPP;
	}
	libbpf_set_print(old);
	if (!first)
		return 0;
	error_set(e, code, "cannot record here: missing: %s", missing);
	error_advise(e, "%s; bstack doctor tells more",
		     first->advice ? first->advice : "use a newer kernel");
	return -code;
}
