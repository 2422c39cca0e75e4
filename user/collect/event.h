/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* event.h - what makes a sample: a named event and its rate, as perf_event_attr wants it, or a probe. */
#ifndef BSTACK_COLLECT_EVENT_H
#define BSTACK_COLLECT_EVENT_H

#include "base/base.h"

/* Which of the BPF programs takes the sample. */
enum event_kind {
	EVENT_COUNTER,    /* a counter or clock: an event for each CPU */
	EVENT_TRACEPOINT, /* one event for all CPUs */
	EVENT_UPROBE,     /* likewise */
};

#define EVENT_NAME_SZ 384
struct event {
	char name[EVENT_NAME_SZ]; /* as asked for, or chosen: "cycles", "sched:sched_switch" */
	const char *unit;         /* of a weight: "nanoseconds" or "count" */
	enum event_kind kind;
	char path[EVENT_NAME_SZ]; /* of a uprobe: the file, */
	uint64_t off;             /* and the place in it */
	uint32_t type;            /* perf_event_attr.type, config */
	uint64_t config;
	uint64_t freq_hz; /* 0: period */
	uint64_t period;  /* 0: freq_hz */
};

/*
 * Choose an event. name NULL: cycles where there is a PMU that counts them, else cpu-clock, and
 * *ret_is_fallback is true. period 0: freq_hz (0: each event's default: 99 Hz; page faults and
 * tracepoints each one). A tracepoint is CATEGORY:NAME, looked up in tracefs, which is mounted when it
 * is not and we may.
 */
int event_init(const char *name, uint64_t freq_hz, uint64_t period, struct event *ret,
	       bool *ret_is_fallback, struct error *e);
/* A uprobe: each time that the code at off in the file is run, in whatever process. name: for the profile. */
int event_init_uprobe(const char *name, const char *path, uint64_t off, struct event *ret,
		      struct error *e);
/* perf_event_attr.type of uprobes: 0, or -errno of reading it. */
int uprobe_pmu(uint32_t *ret_type);
/* "cycles cpu-clock task-clock page-faults": for help and completion */
extern const char *const event_names;
/* Folder of tracefs, NULL when there is none. */
const char *tracefs_path(void);

#endif
