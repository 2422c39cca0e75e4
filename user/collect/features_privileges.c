/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * features_privileges.c - what this process may: its user, its capabilities, its limits, and the settings of
 * the kernel that they are held against.
 */
#include "collect/features_impl.h"
#include "collect/sideband.h"

#include <linux/bpf.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

bool has_capability(unsigned int cap)
{
	FILE *f CLEANUP(cleanup_fclose) = fopen("/proc/self/status", "re");
	unsigned long long caps = 0;
	char line[256];

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "CapEff: %llx", &caps) == 1)
			break;
	return caps >> cap & 1;
}

int sysctl_read(const char *path, long *ret)
{
	FILE *f CLEANUP(cleanup_fclose) = fopen(path, "re");
	long value;

	if (!f)
		return -errno;
	if (fscanf(f, "%ld", &value) != 1)
		return -EIO;
	*ret = value;
	return 0;
}

enum feature_state probe_euid(char *detail, size_t sz)
{
	return probe_say(detail, sz, geteuid() ? FEATURE_NO : FEATURE_YES, "effective uid %u",
			 (unsigned int)geteuid());
}

/* In a container with a user namespace of its own, root has all capabilities, and none that counts for BPF. The
 * initial namespace's inode number is fixed: PROC_USER_INIT_INO. */
static bool is_in_user_namespace(void)
{
	struct stat st;

	return !stat("/proc/self/ns/user", &st) && st.st_ino != 0xeffffffdU;
}

#define CAP_NONE UINT32_MAX
/* instead: another that does as well. */
static enum feature_state cap(unsigned int nr, unsigned int instead, bool is_for_host, char *detail,
			      size_t sz)
{
	bool is_held = has_capability(nr);
	bool is_replaced = !is_held && instead != CAP_NONE && has_capability(instead);

	if (!is_held && !is_replaced)
		return probe_say(detail, sz, FEATURE_NO, "not held");
	if (is_for_host && is_in_user_namespace())
		return probe_say(detail, sz, FEATURE_DENIED, "held only within a user namespace");
	if (is_replaced)
		return probe_say(detail, sz, FEATURE_YES, "through CAP_SYS_ADMIN");
	return FEATURE_YES;
}

enum feature_state probe_cap_bpf(char *detail, size_t sz)
{
	return cap(CAP_BPF, CAP_SYS_ADMIN, true, detail, sz);
}

enum feature_state probe_cap_perfmon(char *detail, size_t sz)
{
	return cap(CAP_PERFMON, CAP_SYS_ADMIN, true, detail, sz);
}

enum feature_state probe_cap_admin(char *detail, size_t sz)
{
	return cap(CAP_SYS_ADMIN, CAP_NONE, true, detail, sz);
}

enum feature_state probe_cap_ptrace(char *detail, size_t sz)
{
	return cap(CAP_SYS_PTRACE, CAP_NONE, false, detail, sz);
}

enum feature_state probe_cap_read(char *detail, size_t sz)
{
	return cap(CAP_DAC_READ_SEARCH, CAP_DAC_OVERRIDE, false, detail, sz);
}

enum feature_state probe_cap_restore(char *detail, size_t sz)
{
	return cap(CAP_CHECKPOINT_RESTORE, CAP_SYS_ADMIN, true, detail, sz);
}

enum feature_state probe_cap_syslog(char *detail, size_t sz)
{
	return cap(CAP_SYSLOG, CAP_NONE, true, detail, sz);
}

/* A setting's value, and whether it stands in our way. */
static enum feature_state setting(const char *path, long max, bool is_exempt, char *detail,
				  size_t sz)
{
	long value;
	int err = sysctl_read(path, &value);

	if (err == -ENOENT)
		return probe_say(detail, sz, FEATURE_UNKNOWN, "this kernel has no such setting");
	if (err)
		return probe_say(detail, sz, FEATURE_UNKNOWN, "%s", strerror(-err));
	return probe_say(detail, sz, value <= max || is_exempt ? FEATURE_YES : FEATURE_DENIED,
			 "%ld", value);
}

/* Above 2 is a value of Debian's kernels alone, which CAP_PERFMON does not lift (6.1, 6.12). */
enum feature_state probe_paranoid(char *detail, size_t sz)
{
	return setting("/proc/sys/kernel/perf_event_paranoid", has_capability(CAP_PERFMON) ? 2 : 0,
		       has_capability(CAP_SYS_ADMIN), detail, sz);
}

/* 0: shown, 1: with CAP_SYSLOG, 2: to nobody */
enum feature_state probe_kptr_restrict(char *detail, size_t sz)
{
	return setting("/proc/sys/kernel/kptr_restrict", has_capability(CAP_SYSLOG) ? 1 : 0, false,
		       detail, sz);
}

/* Programs on perf events need CAP_BPF even where others may be loaded without. */
enum feature_state probe_unprivileged(char *detail, size_t sz)
{
	return setting("/proc/sys/kernel/unprivileged_bpf_disabled", -1,
		       has_capability(CAP_BPF) || has_capability(CAP_SYS_ADMIN), detail, sz);
}

/* Room for the rings of mapping events, one a CPU: perf_event_mlock_kb for each CPU and user, beyond that
 * RLIMIT_MEMLOCK (kernel/events/core.c, perf_mmap). */
static bool has_room_for_rings(rlim_t limit)
{
	long per_cpu_kb = 516, paranoid = 2;
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE),
		 cpus = (uint64_t)sysconf(_SC_NPROCESSORS_ONLN);
	uint64_t need = cpus * (SIDEBAND_RING_SZ + page);

	sysctl_read("/proc/sys/kernel/perf_event_mlock_kb", &per_cpu_kb);
	sysctl_read("/proc/sys/kernel/perf_event_paranoid", &paranoid);
	return has_capability(CAP_IPC_LOCK) || paranoid < 0 || limit == RLIM_INFINITY ||
	       need <= limit + cpus * (uint64_t)per_cpu_kb * 1024;
}

/* BPF memory counts against the limit before Linux 5.11, which came with the helper asked for here. */
enum feature_state probe_memlock(char *detail, size_t sz)
{
	enum feature_state state;
	struct rlimit limit;

	if (getrlimit(RLIMIT_MEMLOCK, &limit))
		return probe_failed(detail, sz, errno);
	if (limit.rlim_cur == RLIM_INFINITY || has_capability(CAP_SYS_RESOURCE))
		return FEATURE_YES;
	if (!has_room_for_rings(limit.rlim_cur))
		return probe_say(detail, sz, FEATURE_NO, "%llu KiB: too little for rings of events",
				 (unsigned long long)limit.rlim_cur >> 10);
	state = probe_helper(false, BPF_FUNC_ktime_get_coarse_ns, detail, sz);
	if (state == FEATURE_DENIED)
		return probe_say(detail, sz, FEATURE_UNKNOWN,
				 "needs CAP_BPF to find out whether it matters");
	return probe_say(detail, sz, state == FEATURE_YES ? FEATURE_YES : FEATURE_PARTIAL,
			 "%llu KiB%s", (unsigned long long)limit.rlim_cur >> 10,
			 state == FEATURE_YES ? "; does not bind BPF on this kernel" : "");
}
