/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * process_now.h - the executable memory of a living process as it is now, read once: for addresses that nobody
 * can date. Whether it was the same when they were taken is for whoever names the process to say.
 */
#ifndef BSTACK_PROCESS_NOW_H
#define BSTACK_PROCESS_NOW_H

#include "base/evidence.h"
#include "cmd/wanted.h"
#include "resolve/procmap.h"
#include "symbol/symbol.h"

struct now_mapping {
	uint64_t start, end, off;
	enum vma_kind kind; /* never VMA_HOLE or VMA_DATA */
	struct build_id build_id;
	char *path;
};
struct process_now {
	pid_t pid;
	struct now_mapping *mappings; /* by address */
	size_t cnt, cap;
	struct perf_map *jit; /* NULL: it has none */
};
#define PROCESS_NOW_MAX ((size_t)1 << 20)

/*
 * Its files are told to w, or to w's symbols where nobody asked for their build-id. -ESRCH: there is no such
 * process, or it has no executable memory (a zombie, a kernel thread); -EACCES; -ENOMEM; -E2BIG.
 */
int process_now_read(pid_t pid, struct wanted *w, struct process_now *ret);
void process_now_release(struct process_now *p);

/* The mapping at addr; NULL: nothing can be executed there. */
const struct now_mapping *process_now_find(const struct process_now *p, uint64_t addr);
/* What the process has to say to a build-id and an offset that the kernel gave: REASON_NO: such a file
 * is mapped there; REASON_FORGED: shared anonymous memory has this build-id; REASON_CONFLICT: neither. */
enum reason process_now_check(const struct process_now *p, const struct build_id *id, uint64_t off);

#endif
