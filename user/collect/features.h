/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * features.h - what this kernel and these privileges allow: one row a feature, probed by trying it, never
 * by version number. For doctor, and for the story when a recording cannot start.
 */
#ifndef BSTACK_COLLECT_FEATURES_H
#define BSTACK_COLLECT_FEATURES_H

#include "base/base.h"

enum feature_state {
	FEATURE_YES,
	FEATURE_NO,      /* this kernel has it not */
	FEATURE_DENIED,  /* there may be one, but we may not */
	FEATURE_PARTIAL, /* works, with a limit that detail tells */
	FEATURE_UNKNOWN, /* could not be found out; detail says why */
};
extern const char *const feature_state_keys[];

struct feature {
	const char *key;    /* "procmap_query" */
	const char *group;  /* "kernel" or "privileges" */
	const char *text;   /* what it is */
	const char *since;  /* "Linux 6.11", for people */
	const char *effect; /* what lacks without it */
	const char *advice; /* what to do; may be NULL */
	bool is_required;   /* recording cannot work without it */
	enum feature_state (*probe)(char *detail, size_t detail_sz);
	const char *advice_denied; /* what to do when it is denied; NULL: as advice says */
};
extern const struct feature features[]; /* key NULL ends; in groups: kernel, privileges */

/* Run a feature's probe, libbpf kept quiet meanwhile: detail becomes "" or words about the state. */
enum feature_state feature_probe(const struct feature *f, char *detail, size_t detail_sz);
/* What to do about a feature in this state; may be NULL. */
const char *feature_advice(const struct feature *f, enum feature_state state);

/* The first required feature that is missing, as an error's story with its advice; 0 when recording can
 * work. All missing ones are named. Which capability lacks is said where that is the reason. */
int features_can_record(struct error *e);
/* The same for doctor: without the hint at doctor. */
int features_verdict(struct error *e);
/* Shared with session.c: is PREEMPT_RT, by BTF, or where that does not tell by what the kernel says of itself. */
bool feature_is_rt(void);
/* Does the kernel count the changes of an address space (mm_lock_seq, Linux 6.4)? */
bool feature_has_sequence(void);

#endif
