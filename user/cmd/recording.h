/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * recording.h - one recording from its session to its file: samples through the resolver into the
 * profile, the profile to disk each second, the names at the end. record.c makes the decisions.
 */
#ifndef BSTACK_RECORDING_H
#define BSTACK_RECORDING_H

#include "collect/session.h"
#include "profile/model.h"
#include "resolve/resolver.h"
#include "symbol/symbol.h"

struct recording;
/* path "-" or no regular file: written in one piece at the end. command: for the ledger. */
int recording_open(const struct session_opts *o, const char *path, const char *command,
		   const char *const *debug_dirs, struct recording **ret, struct error *e);
void recording_close(struct recording *r); /* accepts NULL */
struct session *recording_session(struct recording *r);
int recording_start(struct recording *r, struct error *e);
/* Ask about the mappings of a process that is already there. */
int recording_snapshot(struct recording *r, pid_t pid);
int recording_snapshot_all(struct recording *r);
/* Wait a moment for samples and take them in; each second append to the file. */
int recording_step(struct recording *r, struct error *e);
/*
 * Stop sampling, resolve what is on its way, finish the file; with_names also symbolizes it. On failure
 * the file holds what was appended before.
 */
int recording_finish(struct recording *r, bool with_names, struct error *e);

struct recording_state {
	uint64_t samples, lost, fell_back, bytes, elapsed_ns;
	bool is_in_order; /* fired = recorded + lost, exactly */
	uint64_t fired;
};
void recording_state(struct recording *r, struct recording_state *ret);
const struct model *recording_model(const struct recording *r);

#endif
