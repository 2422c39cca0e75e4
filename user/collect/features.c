/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * features.c - the table of features, and the verdict over it. A probe tries the thing itself: a tiny BPF
 * program, an event, an ioctl, a look into the kernel's BTF; a version number proves nothing. The probes live in
 * features_kernel.c, features_files.c and features_privileges.c.
 */
#include "collect/features_impl.h"

#include <bpf/libbpf.h>
#include <string.h>

const char *const feature_state_keys[] = {
	[FEATURE_YES] = "yes",         [FEATURE_NO] = "no",           [FEATURE_DENIED] = "denied",
	[FEATURE_PARTIAL] = "partial", [FEATURE_UNKNOWN] = "unknown",
};

#define KERNEL     "kernel"
#define PRIVILEGES "privileges"
#define PRIVILEGED "run as root, or with CAP_BPF and CAP_PERFMON"
#define NEWER      "use a newer kernel"
#define GIVE                                                                     \
	"run as root (in a container: the host's), or give the capabilities to " \
	"bstack: setcap cap_bpf,cap_perfmon+ep \"$(command -v bstack)\""

const struct feature features[] = {
	{ "btf", KERNEL, "types of the running kernel (BTF)", "Linux 5.4",
	  "BPF programs cannot be fitted to this kernel",
	  "use a kernel with CONFIG_DEBUG_INFO_BTF, as Debian's are", true, probe_btf, NULL },
	{ "perf_program", KERNEL, "BPF programs on perf events", "Linux 4.9",
	  "nothing can be sampled", NEWER, true, probe_perf_program, PRIVILEGED },
	{ "build_id_stack", KERNEL, "build-id stacks (bpf_get_stack)", "Linux 4.18",
	  "nothing can be sampled", NEWER, true, probe_build_id_stack, PRIVILEGED },
	{ "ringbuf", KERNEL, "BPF ring buffer", "Linux 5.8", "nothing can be sampled", NEWER, true,
	  probe_ringbuf, PRIVILEGED },
	{ "bpf_loop", KERNEL, "loops in BPF programs (bpf_loop)", "Linux 5.17",
	  "stacks cannot be walked and looked through", NEWER, true, probe_bpf_loop, PRIVILEGED },
	{ "tp_btf", KERNEL, "BPF programs on raw tracepoints with types", "Linux 5.5",
	  "targets cannot be followed over fork, exec and exit", NEWER, true, probe_tp_btf,
	  PRIVILEGED },
	{ "system_wide", KERNEL, "system-wide clock events (cpu-clock)", "Linux 2.6.31",
	  "nothing can be sampled", NEWER, true, probe_system_wide, PRIVILEGED },
	{ "mmap2_build_id", KERNEL, "mapping events with build-ids", "Linux 5.12",
	  "stacks that fell back cannot be healed when the process is gone", NEWER, true,
	  probe_mmap2_build_id, PRIVILEGED },
	{ "build_id_stackmap", KERNEL, "stack maps with build-ids", "Linux 4.17",
	  "only of interest to other tools", NULL, false, probe_stackmap, PRIVILEGED },
	{ "procmap_query", KERNEL, "asking for one mapping (PROCMAP_QUERY)", "Linux 6.11",
	  "the text of /proc/PID/maps is read instead, which is slower", NULL, false,
	  probe_procmap_query, NULL },
	{ "map_files", KERNEL, "files behind mappings (/proc/PID/map_files)", "Linux 3.3",
	  "deleted and replaced files, and those of other mount namespaces, may stay without names",
	  NULL, false, probe_map_files, "add CAP_CHECKPOINT_RESTORE" },
	{ "mm_lock_seq", KERNEL, "count of mapping changes (mm_lock_seq)", "Linux 6.4",
	  "no stack is counted in BPF: every sample is a record; and a writer that came and went "
	  "is not "
	  "told from a busy slot",
	  NULL, false, probe_mm_lock_seq, NULL },
	{ "per_vma_lock", KERNEL, "locks of single mappings", "Linux 6.4",
	  "page faults take mmap_lock, so that stacks fall back more often", NULL, false,
	  probe_vma_lock, NULL },
	{ "vma_files", KERNEL, "mappings and their files, read without a lock", "Linux 6.8",
	  "where mappings change all the time no stack is counted in BPF: every sample is a record",
	  NULL, false, probe_vma_files, NULL },
	{ "no_preempt_rt", KERNEL, "not a PREEMPT_RT kernel", "", "stacks are resolved afterwards",
	  NULL, false, probe_not_rt, NULL },
	{ "cve_2026_90247_fix", KERNEL, "fix of CVE-2026-90247", "Linux 6.12.114 and 6.18.52",
	  "a build-id stack that interrupts another one can leave a process's mmap_lock held for "
	  "ever, and the process unkillable; bstack alone never nests",
	  "update the kernel before running several BPF profilers at once", false, probe_cve_fix,
	  NULL },
	{ "mmap_lock_tracepoints", KERNEL, "mmap_lock tracepoints", "Linux 5.11",
	  "mmap_lock cannot be audited", NULL, false, probe_mmap_lock_tp, NULL },
	{ "pmu_cycles", KERNEL, "hardware cycles (PMU)", "",
	  "cpu-clock is sampled instead, which cannot see code that runs with interrupts off", NULL,
	  false, probe_cycles, NULL },
	{ "tracefs", KERNEL, "tracefs", "Linux 4.1", "tracepoints cannot be named",
	  "mount -t tracefs tracefs /sys/kernel/tracing, as root; add CAP_DAC_READ_SEARCH", false,
	  probe_tracefs, NULL },
	{ "uprobe", KERNEL, "uprobes (PMU uprobe)", "Linux 4.17", "functions cannot be probed",
	  "use a kernel with CONFIG_UPROBE_EVENTS, as Debian's are", false, probe_uprobe,
	  PRIVILEGED },
	{ "kallsyms", KERNEL, "addresses of kernel functions", "",
	  "kernel frames stay without names", "add CAP_SYSLOG, or set kernel.kptr_restrict=0",
	  false, probe_kallsyms, NULL },
	{ "kallsyms_all", KERNEL, "names of kernel data (CONFIG_KALLSYMS_ALL)", "",
	  "that the slot for deferred unlocks was busy is concluded, not read", NULL, false,
	  probe_kallsyms_all, NULL },
	{ "fentry", KERNEL, "BPF programs on functions (fentry)", "Linux 5.5",
	  "nothing; recording does not use it", NULL, false, probe_fentry, NULL },
	{ "euid", PRIVILEGES, "root", "", "the capabilities below decide", NULL, false, probe_euid,
	  NULL },
	{ "cap_bpf", PRIVILEGES, "CAP_BPF", "Linux 5.8", "BPF programs cannot be loaded", GIVE,
	  true, probe_cap_bpf, NULL },
	{ "cap_perfmon", PRIVILEGES, "CAP_PERFMON", "Linux 5.8",
	  "events and stacks of others cannot be read", GIVE, true, probe_cap_perfmon, NULL },
	{ "cap_sys_admin", PRIVILEGES, "CAP_SYS_ADMIN", "",
	  "nothing, where the others are held; tracefs cannot be mounted", NULL, false,
	  probe_cap_admin, NULL },
	{ "cap_sys_ptrace", PRIVILEGES, "CAP_SYS_PTRACE", "",
	  "mappings of other users' processes cannot be asked for", "add cap_sys_ptrace", false,
	  probe_cap_ptrace, NULL },
	{ "cap_dac_read_search", PRIVILEGES, "CAP_DAC_READ_SEARCH", "",
	  "files of other users, and tracefs, may be unreadable", "add cap_dac_read_search", false,
	  probe_cap_read, NULL },
	{ "cap_checkpoint_restore", PRIVILEGES, "CAP_CHECKPOINT_RESTORE", "Linux 5.9",
	  "/proc/PID/map_files cannot be opened", "add cap_checkpoint_restore", false,
	  probe_cap_restore, NULL },
	{ "cap_syslog", PRIVILEGES, "CAP_SYSLOG", "", "kernel addresses may be hidden",
	  "add cap_syslog", false, probe_cap_syslog, NULL },
	{ "perf_event_paranoid", PRIVILEGES, "kernel.perf_event_paranoid", "",
	  "system-wide events need CAP_PERFMON, above 2 (Debian) CAP_SYS_ADMIN",
	  "add cap_perfmon; where it is above 2: sysctl kernel.perf_event_paranoid=2", false,
	  probe_paranoid, NULL },
	{ "kptr_restrict", PRIVILEGES, "kernel.kptr_restrict", "",
	  "kernel addresses read as zero: kernel frames stay without names",
	  "sysctl kernel.kptr_restrict=1 and add cap_syslog", false, probe_kptr_restrict, NULL },
	{ "unprivileged_bpf_disabled", PRIVILEGES, "kernel.unprivileged_bpf_disabled", "",
	  "whatever its value, programs on perf events need CAP_BPF", "add cap_bpf", false,
	  probe_unprivileged, NULL },
	{ "memlock", PRIVILEGES, "limit of locked memory (RLIMIT_MEMLOCK)", "",
	  "buffers may be refused", "ulimit -l unlimited", false, probe_memlock, NULL },
	{},
};

enum feature_state probe_say(char *detail, size_t sz, enum feature_state state, const char *fmt,
			     ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(detail, sz, fmt, ap);
	va_end(ap);
	return state;
}

enum feature_state probe_failed(char *detail, size_t sz, int code)
{
	return probe_say(detail, sz, code == EPERM || code == EACCES ? FEATURE_DENIED : FEATURE_NO,
			 "%s", strerror(code));
}

static int quiet(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	(void)level;
	(void)fmt;
	(void)ap;
	return 0;
}

enum feature_state feature_probe(const struct feature *f, char *detail, size_t detail_sz)
{
	libbpf_print_fn_t old = libbpf_set_print(quiet);
	enum feature_state state;

	detail[0] = '\0';
	state = f->probe(detail, detail_sz);
	libbpf_set_print(old);
	return state;
}

const char *feature_advice(const struct feature *f, enum feature_state state)
{
	return state == FEATURE_DENIED && f->advice_denied ? f->advice_denied : f->advice;
}

/* What stands against recording: names, and the first one with its own words. */
struct obstacles {
	char names[256];
	char detail[128]; /* of the first */
	const struct feature *first;
	enum feature_state first_state;
	bool is_denied;
};

static void obstacles_add(struct obstacles *o, const char *group, bool has_denied)
{
	for (const struct feature *f = features; f->key; f++) {
		size_t len = strlen(o->names);
		enum feature_state state;
		char detail[sizeof(o->detail)];

		if (!f->is_required || strcmp(f->group, group) != 0)
			continue;
		state = feature_probe(f, detail, sizeof(detail));
		/* What is unknown is so because of another row, which tells it. */
		if (state != FEATURE_NO && !(state == FEATURE_DENIED && has_denied))
			continue;
		snprintf(o->names + len, sizeof(o->names) - len, "%s%s", len ? ", " : "", f->text);
		o->is_denied |= state == FEATURE_DENIED || !strcmp(group, PRIVILEGES);
		if (!o->first) {
			o->first = f;
			o->first_state = state;
			memcpy(o->detail, detail, sizeof(o->detail));
		}
	}
}

int features_verdict(struct error *e)
{
	struct obstacles o = {};
	const char *advice;
	int code;

	obstacles_add(&o, PRIVILEGES, true);
	/* When a capability lacks, what is denied is denied for that reason. */
	obstacles_add(&o, KERNEL, !o.first);
	if (!o.first)
		return 0;
	code = o.is_denied ? EPERM : EOPNOTSUPP;
	advice = feature_advice(o.first, o.first_state);
	error_set(e, code, "cannot record here: missing: %s%s%s", o.names, o.detail[0] ? ": " : "",
		  o.detail);
	error_advise(e, "%s", advice ? advice : NEWER);
	return -code;
}

int features_can_record(struct error *e)
{
	struct error why;
	int err = features_verdict(&why);

	if (!err)
		return 0;
	error_set(e, -err, "%s", why.text);
	error_advise(e, "%s; bstack doctor tells more", why.advice);
	return err;
}
