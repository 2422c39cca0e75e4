/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* event.h - what makes a sample: a named event and its rate, as perf_event_attr wants it. */
#ifndef BSTACK_COLLECT_EVENT_H
#define BSTACK_COLLECT_EVENT_H

#include "base/base.h"

struct event {
	char name[128];   /* as asked for, or chosen: "cycles", "cpu-clock", "sched:sched_switch" */
	const char *unit; /* of a weight: "nanoseconds" or "count" */
	bool is_tracepoint;
	uint32_t type; /* perf_event_attr.type, config */
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
/* "cycles cpu-clock task-clock page-faults": for help and completion */
extern const char *const event_names;
/* Folder of tracefs, NULL when there is none. */
const char *tracefs_path(void);

#endif
