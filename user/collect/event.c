/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* event.c - the table of events, tracepoints by name, and uprobes by place. */
#include "collect/event.h"

#include <ctype.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#define DEFAULT_HZ 99

struct named_event {
	const char *name;
	uint32_t type;
	uint64_t config;
	const char *unit;
	uint64_t default_period; /* 0: sampled by frequency */
};
static const struct named_event named_events[] = {
	{ "cycles", PERF_TYPE_HARDWARE, PERF_COUNT_HW_CPU_CYCLES, "count", 0 },
	{ "cpu-clock", PERF_TYPE_SOFTWARE, PERF_COUNT_SW_CPU_CLOCK, "nanoseconds", 0 },
	{ "task-clock", PERF_TYPE_SOFTWARE, PERF_COUNT_SW_TASK_CLOCK, "nanoseconds", 0 },
	{ "page-faults", PERF_TYPE_SOFTWARE, PERF_COUNT_SW_PAGE_FAULTS, "count", 1 },
};
const char *const event_names = "cycles cpu-clock task-clock page-faults";

const char *tracefs_path(void)
{
	static const char *const paths[] = { "/sys/kernel/tracing", "/sys/kernel/debug/tracing" };
	char events[64];

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		snprintf(events, sizeof(events), "%s/events", paths[i]);
		if (!faccessat(AT_FDCWD, events, F_OK,
			       AT_EACCESS)) /* with ambient capabilities, too */
			return paths[i];
	}
	if (!mount("tracefs", paths[0], "tracefs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) &&
	    !faccessat(AT_FDCWD, "/sys/kernel/tracing/events", F_OK, AT_EACCESS))
		return paths[0];
	return NULL;
}

static bool has_cycles(void)
{
	struct perf_event_attr attr = {
		.size = sizeof(attr),
		.type = PERF_TYPE_HARDWARE,
		.config = PERF_COUNT_HW_CPU_CYCLES,
		.freq = 1,
		.sample_freq = 1,
		.disabled = 1,
	};
	int fd = (int)syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);

	if (fd < 0)
		return false;
	close(fd);
	return true;
}

/* CATEGORY:NAME goes into a path: letters, digits, '_' and '-' only. */
static bool is_plain(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)s[i]) && s[i] != '_' && s[i] != '-')
			return false;
	return len > 0;
}

static int tracepoint_init(const char *name, const char *colon, struct event *ev, struct error *e)
{
	char path[512], text[32] = "";
	int fd CLEANUP(cleanup_close) = -1;
	const char *dir;
	uint64_t id;

	if (!is_plain(name, (size_t)(colon - name)) || !is_plain(colon + 1, strlen(colon + 1)))
		return error_set(e, EINVAL, "-e %s: not a tracepoint name (CATEGORY:NAME)", name);
	dir = tracefs_path();
	if (!dir) {
		error_set(e, ENOENT, "-e %s: tracefs is not mounted", name);
		error_advise(e, "mount -t tracefs tracefs /sys/kernel/tracing");
		return -ENOENT;
	}
	snprintf(path, sizeof(path), "%s/events/%.*s/%s/id", dir, (int)(colon - name), name,
		 colon + 1);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read_some(fd, text, sizeof(text) - 1) <= 0) {
		int err = errno;

		error_errno(e, err, "-e %s: cannot read %s", name, path);
		error_advise(e, "ls %s/events/*/ shows this kernel's tracepoints", dir);
		return -err;
	}
	text[strcspn(text, "\n")] = '\0';
	if (parse_u64(text, 1, UINT32_MAX, &id))
		return error_set(e, EINVAL, "-e %s: %s does not hold a number", name, path);
	ev->kind = EVENT_TRACEPOINT;
	ev->type = PERF_TYPE_TRACEPOINT;
	ev->config = id;
	ev->unit = "count";
	ev->period = 1;
	return 0;
}

int uprobe_pmu(uint32_t *ret_type)
{
	int fd CLEANUP(cleanup_close) =
		open("/sys/bus/event_source/devices/uprobe/type", O_RDONLY | O_CLOEXEC);
	char text[32] = "";
	uint64_t type;

	if (fd < 0 || read(fd, text, sizeof(text) - 1) < 0)
		return -errno;
	text[strcspn(text, "\n")] = '\0';
	if (parse_u64(text, 0, UINT32_MAX, &type))
		return -EINVAL;
	*ret_type = (uint32_t)type;
	return 0;
}

int event_init_uprobe(const char *name, const char *path, uint64_t off, struct event *ret,
		      struct error *e)
{
	struct event ev = { .kind = EVENT_UPROBE, .off = off, .unit = "count", .period = 1 };
	int err = uprobe_pmu(&ev.type);

	if (err) {
		error_errno(e, -err, "-e %s: this kernel has no uprobes for perf events", name);
		error_advise(
			e,
			"it takes Linux 4.17 and CONFIG_UPROBE_EVENTS; bstack doctor tells more");
		return err == -EINVAL ? -EIO : err;
	}
	if (strlen(name) >= sizeof(ev.name) || strlen(path) >= sizeof(ev.path))
		return error_set(e, EINVAL, "-e: the name of the event is too long");
	snprintf(ev.name, sizeof(ev.name), "%s", name);
	snprintf(ev.path, sizeof(ev.path), "%s", path);
	*ret = ev;
	return 0;
}

int event_init(const char *name, uint64_t freq_hz, uint64_t period, struct event *ret,
	       bool *ret_is_fallback, struct error *e)
{
	struct event ev = {};
	const char *colon;

	*ret_is_fallback = !name && !has_cycles();
	if (!name)
		name = *ret_is_fallback ? "cpu-clock" : "cycles";
	if (strlen(name) >= sizeof(ev.name))
		return error_set(e, EINVAL, "-e: the name of the event is too long");
	strcpy(ev.name, name);
	colon = strchr(name, ':');
	if (colon) {
		int err = tracepoint_init(name, colon, &ev, e);

		if (!err && (freq_hz || period > 1))
			err = error_set(e, EINVAL,
					"-e %s: each hit of a tracepoint is a sample: "
					"-F and -c do not apply",
					name);
		if (!err)
			*ret = ev;
		return err;
	}
	for (size_t i = 0; i < ARRAY_SIZE(named_events); i++) {
		const struct named_event *n = &named_events[i];

		if (strcmp(n->name, name))
			continue;
		ev.type = n->type;
		ev.config = n->config;
		ev.unit = n->unit;
		if (freq_hz)
			ev.freq_hz = freq_hz;
		else
			ev.period = period ? period : n->default_period;
		if (!ev.freq_hz && !ev.period)
			ev.freq_hz = DEFAULT_HZ;
		*ret = ev;
		return 0;
	}
	error_set(e, EINVAL, "-e %s: no such event", name);
	error_advise(e, "one of %s, a tracepoint as CATEGORY:NAME, or uprobe:PATH:SYMBOL",
		     event_names);
	return -EINVAL;
}
