/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * unwinder.h - feeds the BPF side of unwinding: a table for each file, once a build-id, and for each
 * process its executable mappings. Events are taken as they come, before their order is known: a table
 * that is out of date makes a wrong walk, never a wrong frame, because each step is checked afterwards
 * against the mappings as of the sample's moment (unwinder_step_file).
 *
 * Tables are made by a thread of the unwinder's own (maker.h). Until one is there, BPF sends the stack's memory
 * along with a sample, and the rest of the walk is made here (unwinder_step).
 *
 * Memory is bounded by the arrays that it is given: files least recently used make room (counted); a
 * process for which there is no room is walked here, like one whose tables are not ready (counted). One thread.
 */
#ifndef BSTACK_UNWIND_UNWINDER_H
#define BSTACK_UNWIND_UNWINDER_H

#include "base/base.h"
#include "bpf/abi.h"
#include "resolve/procmap.h"

struct stack_rest;
struct elfsegs;

/* Arrays shared with BPF, and how to set what is in a hash map. All outlive the unwinder. */
struct unwind_maps {
	struct bstack_row *rows;
	struct bstack_page *pages;
	struct bstack_rule *rules;
	struct bstack_module *modules;
	struct bstack_mapping *mappings;
	size_t row_cnt, page_cnt, rule_cnt, module_cnt, mapping_cnt;
	int (*process_set)(void *ctx, uint32_t pid, const struct bstack_process *p);
	int (*process_drop)(void *ctx, uint32_t pid);
	int (*inode_set)(void *ctx, const struct bstack_inode *i,
			 const struct bstack_inode_module *m);
	void *ctx;
};

struct unwinder_counters {
	uint64_t tables, rows; /* made */
	uint64_t table_ns;     /* CPU time that took */
	uint64_t text_bytes;   /* of the code they cover */
	uint64_t evicted;      /* tables that made room for others */
	uint64_t no_room;      /* tables and processes for which there was none */
};

struct unwinder;
int unwinder_new(const struct unwind_maps *maps, struct unwinder **ret);
void unwinder_free(struct unwinder *u); /* accepts NULL */

/* Mapping events. They take effect at the next commit. 0 or -ENOMEM. */
int unwinder_mmap(struct unwinder *u, uint32_t pid, const struct vma *v);
int unwinder_fork(struct unwinder *u, uint32_t pid, uint32_t parent);
int unwinder_exec(struct unwinder *u, uint32_t pid);
void unwinder_exit(struct unwinder *u, uint32_t pid);
void unwinder_lost(struct unwinder *u); /* events are missing: forget every process */
/* Read a living process's mappings. 0 also when it is gone. */
int unwinder_snapshot(struct unwinder *u, uint32_t pid);
/* A sample found no table or no mapping for this process: read it, but not again and again. */
int unwinder_miss(struct unwinder *u, uint32_t pid);
/* Let BPF know: tables that were made, processes that changed. */
int unwinder_commit(struct unwinder *u);
/* Make tables at a higher priority than an ordinary process's, where that is allowed. */
void unwinder_hurry(struct unwinder *u);
/* Wait for the tables that are being made, until_ns of clock_mono_ns() at most. */
void unwinder_wait(struct unwinder *u, uint64_t until_ns);
int unwinder_wake_fd(
	const struct unwinder *u); /* readable when a table is ready for unwinder_commit() */

/*
 * From the frame in s to its caller, in the file with this build-id, at a link-time address in it; id NULL: in the
 * vdso, at an offset in it. Waits for the file's table if it is being made, some seconds at most. 0, else enum bstack_end.
 */
int unwinder_step(struct unwinder *u, struct stack_rest *s, const struct build_id *id,
		  uint64_t vaddr);
/* Likewise, in a file without build-id, by its path and an offset in it. */
int unwinder_step_path(struct unwinder *u, struct stack_rest *s, const char *path, uint64_t off);
/* A file that no mapping has shown yet (events were lost, or it was not a target's): have its table made, should it
 * still be at its path. False: it is not, or its table was there, or is being made. */
bool unwinder_offer(struct unwinder *u, const struct build_id *id, const char *path);
/* Likewise, in code that has no table, by frame pointer. */
int unwinder_step_fp(struct unwinder *u, struct stack_rest *s);

/* Where a step was made: the file, and the link-time address that its pc stands for. */
struct step_place {
	const struct build_id *id;
	uint64_t vaddr;
	bool is_vdso;    /* then vaddr is an offset in it */
	bool is_fp_step; /* made by frame pointer, for want of unwind information */
	/* Of a file without build-id, whose id is none that others know; else NULL and 0. */
	const struct elfsegs *segs;
	uint64_t path_hash;
};
/* Was it in a file without build-id that was mapped from this path? */
bool unwinder_place_is_path(const struct step_place *place, const char *path);
/* False: in no file. Marks the file's table as used. */
bool unwinder_step_place(struct unwinder *u, const struct bstack_step *step,
			 struct step_place *ret);
const struct unwinder_counters *unwinder_counters(const struct unwinder *u);

#endif
