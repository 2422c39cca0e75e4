/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * resolver.h - from a raw sample to frames that say how they are known.
 *
 * Two streams come in, in any order: samples, and mapping events (MMAP2, fork, exec, exit) of the
 * kernel's side band. resolver_advance(until) says that every event up to that moment has been handed in;
 * the resolver then replays both in the order of time, so that a sample meets each process's mappings
 * as they were when it was taken.
 *
 * What the streams cannot tell is asked of /proc. Such an answer is true between asked_ns and
 * answered_ns only, and counts for a sample taken at t when no event touched the mapping between t
 * and answered_ns; so a sample that needed it waits until the stream has passed that moment. An
 * event is stamped a little after the mapping changed: one within RESOLVER_SLACK_NS of the
 * answer voids it.
 *
 * A process's mappings that were read between two looks at its mm_lock_seq, which found the same, hold for every
 * sample with that sequence, whatever the time: then its frames are proven, and wait for nothing.
 *
 * A sample may bring the mappings of its addresses along (struct bstack_vma): those of a file whose build-id is known prove
 * its frames as well, in whatever state the address space is. A file is known by its inode: from a process that was
 * looked at as above, or by asking /proc about such a mapping and then finding it still there. A sample all of whose frames are
 * proven so is handed on as it comes, out of the order of time.
 *
 * Frames are never attributed on a guess: what stays unknown says why (enum reason). One thread.
 */
#ifndef BSTACK_RESOLVE_RESOLVER_H
#define BSTACK_RESOLVE_RESOLVER_H

#include "base/base.h"
#include "base/evidence.h"
#include "bpf/abi.h"
#include "resolve/elfseg.h"
#include "resolve/procmap.h"

#define RESOLVER_SLACK_NS (20 * 1000000ULL)
#define RESOLVER_PENDING_MAX \
	((size_t)1 << 30) /* bytes of samples waiting; more are lost, counted */

/* One frame of the kernel's build-id walk. */
struct raw_id {
	bool is_valid;
	struct build_id build_id;
	uint64_t off; /* when valid */
};

/* The rest of a walk that BPF could not make for want of a table: see struct bstack_sample. */
struct stack_rest {
	struct unwind_state state; /* of the last of user_ips; then of each caller */
	uint64_t base;             /* address of bytes */
	const uint8_t *bytes;
	size_t sz;
	bool is_fp_step; /* set by on_step: the step was made by frame pointer */
};

/* A sample as collected. Arrays belong to the caller and are copied. */
struct raw_sample {
	uint64_t time_ns;
	struct bstack_mm mm; /* with pid, the process identity; seq holds when is_steady */
	bool is_steady;
	struct bstack_key key; /* with has_key */
	bool has_key;
	uint64_t weight;
	uint32_t pid, tid;
	enum cause cause;
	bool is_truncated;
	uint32_t owner_tid;
	char comm[16], owner_comm[16];
	size_t kernel_cnt, user_cnt;
	const uint64_t *kernel_ips, *user_ips; /* leaf first */
	const struct raw_id *ids;              /* user_cnt of them, or NULL: the stack fell back */
	/* step_cnt of them when BPF unwound by rows: by what each frame's caller was found. All of user_ips have one,
	 * but those that the resolver adds. */
	const struct bstack_step *steps;
	size_t step_cnt;
	uint8_t end;                   /* enum bstack_end */
	const struct stack_rest *rest; /* or NULL */
	const struct bstack_vma
		*vmas; /* mappings that user_ips are in, as far as they were found */
	size_t vma_cnt;
	bool has_all_vmas; /* where there is none in vmas, there was no executable one */
};

enum map_event_kind {
	MAP_EVENT_MMAP, /* a new executable mapping */
	MAP_EVENT_FORK, /* pid is a new process with the mappings of ppid */
	MAP_EVENT_EXEC, /* pid has lost all mappings */
	MAP_EVENT_EXIT, /* the leader of pid has left */
	MAP_EVENT_LOST, /* events are missing between since_ns and time_ns: forget everything */
};
struct map_event {
	enum map_event_kind kind;
	uint64_t time_ns;
	uint64_t since_ns; /* LOST */
	uint32_t pid, ppid;
	uint64_t start, end, off; /* MMAP */
	struct build_id build_id; /* MMAP; sz 0: the kernel gave none */
	enum vma_kind vma_kind;   /* MMAP */
	const char *path;         /* MMAP; copied */
};

/* A file that frames were found in; modules are interned by build-id, or by path without one. */
struct module {
	struct build_id build_id;
	char *path;
	struct elfsegs segs; /* cnt 0: the file could not be read */
	bool is_segs_known;
	uint32_t open_tries; /* looked for the file so often, in vain */
	bool is_learned;     /* an inode with this build-id is known */
	uint32_t learn_tries;
};

struct resolved_frame {
	uint64_t ip;  /* raw */
	uint64_t off; /* in the module's file */
	uint32_t module;
	enum vma_kind kind; /* VMA_FILE: module and off hold; VMA_VDSO: off is in the image */
	enum evidence evidence;
	enum reason reason;
	int8_t fallback; /* enum frame_fallback when only this frame fell back; -1: not */
	bool is_caller;  /* ip is a return address */
	bool is_fp_step; /* its caller was found by frame pointer, for want of unwind information */
	bool is_decided; /* by the stream, unless /proc contradicts: inside the resolver */
	bool is_proven;  /* by its mapping, too, where the evidence is the kernel's own build-id */
};

/* What comes out: raw for its plain fields (its ids are not kept), frames for its user_ips. */
struct resolved_sample {
	const struct raw_sample *raw;
	enum cause cause; /* slot-busy taken back where no frame could have had a build-id */
	struct resolved_frame *frames; /* the sink may note in them */
	bool is_inconsistent; /* the kernel's two walks disagreed: its build-ids were not used */
};

struct resolver_ops {
	/* A resolved sample. An error stops the resolver's call and is returned by it. */
	int (*on_sample)(void *ctx, const struct resolved_sample *s);
	/*
	 * From f, the frame in rest->state, to its caller: 0, and rest->state is the caller; else enum bstack_end. Called for
	 * a sample with a rest, whose frames up to f are resolved.
	 */
	int (*on_step)(void *ctx, struct stack_rest *rest, const struct resolved_frame *f);
	/* The process's address space now. 0 and it is steady; else -EAGAIN (a writer is active), -errno. NULL: cannot be
	 * asked. */
	int (*on_mm)(void *ctx, pid_t pid, struct bstack_mm *ret);
	/* The process's executable mappings at cnt addresses now; end 0: it cannot be told. 0, -errno. NULL: cannot be
	 * asked. */
	int (*on_vmas)(void *ctx, pid_t pid, const uint64_t *addrs, size_t cnt,
		       struct bstack_vma *ret);
	/* From now on this mapping's file proves frames. May be NULL. */
	void (*on_file)(void *ctx, const struct bstack_file *f);
	/* A module was met, in this process's mapping, maybe for the last time: keep what you need
	 * of its file. pid 0: only the path is known. */
	void (*on_module)(void *ctx, const struct module *m, pid_t pid, uint64_t start,
			  uint64_t end);
};

struct resolver_counters {
	uint64_t lost_memory; /* samples dropped: too many waited, or no memory */
	uint64_t queries;     /* of /proc */
	uint64_t waits;       /* samples that waited for an answer */
	uint64_t checks;      /* mappings read as a whole, between two looks */
	uint64_t files;       /* inodes whose build-id is known */
};

struct resolver;
int resolver_new(const struct resolver_ops *ops, void *ctx, struct resolver **ret);
void resolver_free(struct resolver *r);
/* May hand the sample on at once: then an error is the sink's. */
int resolver_sample(struct resolver *r, const struct raw_sample *s);
int resolver_event(struct resolver *r, const struct map_event *e);
/* Learn the file of a mapping that was just made, when none with its build-id is known: who made it may soon be gone. */
int resolver_learn(struct resolver *r, const struct map_event *e);
/* Ask about every executable mapping of a living process now, so that it can exit. */
int resolver_snapshot(struct resolver *r, pid_t pid);
int resolver_advance(struct resolver *r, uint64_t until_ns);
/* Everything has been handed in: resolve what is left, waiting for nobody. */
int resolver_finish(struct resolver *r);
bool resolver_is_idle(const struct resolver *r); /* no sample is on its way */
const struct module *resolver_module(const struct resolver *r, uint32_t module);
const struct resolver_counters *resolver_counters(const struct resolver *r);
/* /proc is read as text, also where the ioctl works: for tests. */
void resolver_force_text(struct resolver *r);

#endif
