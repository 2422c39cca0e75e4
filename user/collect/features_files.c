/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* features_files.c - what /proc and /sys give: of mappings, of tracepoints, of the kernel's symbols. */
#include "collect/features_impl.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

/* PROCMAP_QUERY of ourselves: 0x68 bytes, see resolve/procmap.c. */
enum feature_state probe_procmap_query(char *detail, size_t sz)
{
	uint64_t query[13] = { sizeof(query), 0, (uintptr_t)probe_procmap_query };
	int fd CLEANUP(cleanup_close) = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return probe_failed(detail, sz, errno);
	if (!ioctl(fd, _IOWR('f', 17, uint64_t[13]), query))
		return FEATURE_YES;
	return probe_failed(detail, sz, errno);
}

enum feature_state probe_map_files(char *detail, size_t sz)
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
			return probe_failed(detail, sz, errno);
		close(fd);
		return FEATURE_YES;
	}
	return probe_say(detail, sz, FEATURE_UNKNOWN, "/proc/self/maps cannot be read");
}

/* Could it be mounted? A mount that is attached nowhere (Linux 5.2) tells, and changes nothing. */
static enum feature_state tracefs_mountable(char *detail, size_t sz)
{
	int mnt CLEANUP(cleanup_close) = -1;
	int fs CLEANUP(cleanup_close) = fsopen("tracefs", FSOPEN_CLOEXEC);

	if (fs >= 0 && !fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0))
		mnt = fsmount(fs, FSMOUNT_CLOEXEC, 0);
	if (mnt >= 0)
		return probe_say(detail, sz, FEATURE_YES, "not mounted; bstack mounts it");
	return probe_say(detail, sz,
			 errno == EPERM || errno == EACCES ? FEATURE_DENIED : FEATURE_NO,
			 "not mounted, and cannot be: %s", strerror(errno));
}

/* stat(), not access(), which forgets the capabilities of who is not root. */
enum feature_state probe_tracefs(char *detail, size_t sz)
{
	static const char *const paths[] = { "/sys/kernel/tracing/events",
					     "/sys/kernel/debug/tracing/events" };
	enum feature_state state;
	bool is_hidden = false;
	struct stat st;

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		if (!stat(paths[i], &st))
			return FEATURE_YES;
		is_hidden |= errno == EACCES;
	}
	state = tracefs_mountable(detail, sz);
	if (state != FEATURE_YES && is_hidden)
		return probe_say(detail, sz, FEATURE_DENIED, "only root may look into it");
	return state;
}

/* Are addresses shown? They are all zero when not. */
enum feature_state probe_kallsyms(char *detail, size_t sz)
{
	FILE *f CLEANUP(cleanup_fclose) = fopen("/proc/kallsyms", "re");
	long restrict_ = -1, paranoid = -1;
	unsigned long long addr;

	if (!f)
		return probe_failed(detail, sz, errno);
	if (fscanf(f, "%llx", &addr) != 1)
		return probe_say(detail, sz, FEATURE_NO, "/proc/kallsyms is empty");
	/* The first symbols may be per-CPU ones at 0: look at one further on. */
	for (int i = 0; i < 1000 && !addr; i++)
		if (fscanf(f, "%*[^\n] %llx", &addr) != 1)
			break;
	if (addr)
		return FEATURE_YES;
	sysctl_read("/proc/sys/kernel/kptr_restrict", &restrict_);
	sysctl_read("/proc/sys/kernel/perf_event_paranoid", &paranoid);
	return probe_say(detail, sz, FEATURE_DENIED,
			 "all zero: kernel.kptr_restrict is %ld, kernel.perf_event_paranoid %ld, "
			 "CAP_SYSLOG %s",
			 restrict_, paranoid, has_capability(CAP_SYSLOG) ? "held" : "not held");
}

/* With CONFIG_KALLSYMS_ALL data has names, too: among them the one that BPF could read (a per-CPU symbol). */
enum feature_state probe_kallsyms_all(char *detail, size_t sz)
{
	FILE *f CLEANUP(cleanup_fclose) = fopen("/proc/kallsyms", "re");
	char *line CLEANUP(cleanup_free) = NULL;
	size_t cap = 0;

	if (!f)
		return probe_failed(detail, sz, errno);
	while (getline(&line, &cap, f) > 0) {
		const char *name = strrchr(line, ' ');

		if (name && !strcmp(name, " mmap_unlock_work\n"))
			return FEATURE_YES;
	}
	return probe_say(detail, sz, FEATURE_NO, "mmap_unlock_work is not in /proc/kallsyms");
}
