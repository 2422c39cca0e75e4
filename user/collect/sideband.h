/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * sideband.h - the kernel's stream of mapping events: MMAP2 with build-ids (Linux 5.12), COMM at exec,
 * FORK, EXIT and LOST, from a dummy event on every CPU, stamped with CLOCK_MONOTONIC. The decoder knows
 * nothing of perf_event_open, so that hostile records can be tried on it.
 */
#ifndef BSTACK_COLLECT_SIDEBAND_H
#define BSTACK_COLLECT_SIDEBAND_H

#include "base/base.h"

enum side_kind {
	SIDE_MMAP,
	SIDE_EXEC,
	SIDE_FORK,
	SIDE_EXIT,
	SIDE_LOST
};

struct side_event {
	enum side_kind kind;
	uint64_t time_ns;
	uint64_t since_ns; /* LOST: what was lost came after this moment */
	uint64_t lost_cnt; /* LOST */
	uint32_t pid, tid, ppid;
	uint64_t start, end, off;
	struct build_id build_id; /* sz 0: the record had none */
	bool is_exec;
	const char *path; /* in the record: valid during the call */
};

/*
 * Decode one record (its header included, len bytes, aligned to 8). 0; 1: of no interest; -EINVAL: it
 * does not hold what its type promises. Pointers in ret go into the record.
 */
int side_decode(const void *record, size_t len, struct side_event *ret);

struct sideband;
#define SIDEBAND_RING_SZ ((size_t)512 << 10) /* a CPU */
/* is_urgent: readable with the first record, not when half full. */
int sideband_open(bool is_urgent, struct sideband **ret, struct error *e);
void sideband_close(struct sideband *s);
/* Take in CPUs that came online. */
int sideband_add_cpus(struct sideband *s, struct error *e);
/* Hand every record in, each CPU's in order. */
int sideband_read(struct sideband *s, int (*on_event)(void *ctx, const struct side_event *e),
		  void *ctx);
int sideband_poll_fd(const struct sideband *s); /* an epoll fd: readable when half full */
/* Events that found no room. Before Linux 6.0 those of after the last event that found some are not among them. */
uint64_t sideband_lost(const struct sideband *s);

/* CPUs online now: malloc'd list. Shared with session.c. */
int cpus_online(uint32_t **ret, size_t *ret_cnt);

#endif
