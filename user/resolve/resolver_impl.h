/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* resolver_impl.h - inside the resolver: processes, answers, queued items. For resolver.c, process.c and
 * frame.c, and for their unit test. */
#ifndef BSTACK_RESOLVE_RESOLVER_IMPL_H
#define BSTACK_RESOLVE_RESOLVER_IMPL_H

#include "resolve/mapset.h"
#include "resolve/resolver.h"

/*
 * An answer of /proc. Until the stream has passed ready_ns it may still turn out void; then it
 * enters its process's mapset. Frames that wait for it hold a reference.
 */
struct answer {
	uint64_t asked_ns, answered_ns, ready_ns;
	uint64_t from_ns; /* true for samples from here on: the last event that touched it */
	bool is_void;     /* an event came while it was being given */
	bool is_entered;  /* is in the mapset, or will never be */
	struct span span;
	size_t ref_cnt;
};

/* All executable mappings, as they were whenever the address space was this one. */
struct checked {
	bool is_valid;
	struct bstack_mm mm;
	struct mapset maps;
	uint64_t again_ns; /* not before this moment */
	uint64_t pause_ns; /* grows while the sequence moves too fast to be caught */
};

struct process {
	uint32_t pid;
	uint64_t start_ns, exec_id; /* 0/0 until a sample tells */
	struct checked checked;
	bool is_gone; /* a query found it gone, or it exited */
	bool is_denied;
	bool is_followed;  /* every executable mapping since its exec came as an event */
	uint64_t since_ns; /* of its exec, or of the sample that showed another identity */
	struct mapset maps;
	struct answer **answers; /* not yet entered */
	size_t answer_cnt, answer_cap;
	uint64_t exited_ns; /* when its leader left; 0: it has not */
};

/* A sample or an event, in the order of time. */
struct item {
	uint64_t time_ns;
	uint64_t seq; /* of arrival: keeps the order of equals; events before samples */
	struct map_event *event;
	struct pending *sample;
};

/* A sample on its way: a copy of the raw one, its arrays behind it. */
struct pending {
	struct raw_sample raw;
	struct resolved_frame *frames;
	struct answer **waits; /* per frame: the answer it waits for, or NULL */
	struct raw_id *ids;    /* of the first id_cnt frames */
	size_t id_cnt;
	uint64_t *ips; /* raw.user_ips */
	struct stack_rest rest;
	bool has_rest; /* the walk goes on from rest.state */
	uint64_t ready_ns;
	size_t wait_cnt;  /* frames that wait */
	size_t block_cnt; /* of those, whose caller cannot be looked for meanwhile */
	size_t sz;
	bool is_inconsistent;
	struct pending *next;
};

/* A file by its inode, unchanged. */
struct known_file {
	struct bstack_file id;
	uint32_t module;             /* UINT32_MAX: not known yet */
	uint64_t again_ns, pause_ns; /* when to ask again, and how long to wait then */
};

struct resolver {
	const struct resolver_ops *ops;
	void *ctx;
	struct module *modules;
	size_t module_cnt, module_cap;
	struct hmap module_map;
	struct known_file *files;
	size_t file_cnt, file_cap;
	struct hmap file_map;
	uint32_t recent_files[64]; /* in files, by their inodes' numbers */
	uint64_t files_again_ns;   /* no question about files before this moment */
	struct process *processes;
	size_t process_cap;
	struct pid_table pids; /* slots in processes */
	struct item *items;
	size_t item_cnt, item_cap;
	size_t sorted_cnt; /* of them, in the order of time */
	uint64_t seq;
	size_t exited_cnt;      /* since the last process_collect */
	uint64_t lost_until_ns; /* events are missing up to here: nothing of before is known */
	struct pending *wait_head, **wait_tail;
	size_t pending_sz;
	struct resolver_counters counters;
	uint64_t check_again_ns; /* no process_check before this moment */
	bool is_text, is_finishing;
};

/* process.c: what is known of processes */
int process_get(struct resolver *r, uint32_t pid, struct process **ret); /* found or made */
struct process *process_find(struct resolver *r, uint32_t pid);          /* NULL: absent */
void process_forget(struct resolver *r, struct process *p);              /* gives its slot back */
void process_collect(struct resolver *r, uint64_t now_ns); /* forget who is gone for long */
void process_release(struct process *p);
/* p is another process or program than before time_ns, under the same number. */
void process_renew(struct process *p, uint64_t time_ns);
int process_event(struct resolver *r, const struct map_event *e);
/* Read all of its mappings, should they be those of the sample: then p->checked holds for it. */
int process_check(struct resolver *r, struct process *p, const struct raw_sample *s);
bool process_is_checked(const struct process *p, const struct raw_sample *s);
/* Enter the answers that the stream has passed. */
int process_settle(struct process *p, uint64_t now_ns);
/* The answer of /proc for addr: one still waiting, or asked for now. NULL in *ret with 0: the
 * process cannot be asked, see is_gone and is_denied. */
int process_ask(struct resolver *r, struct process *p, uint64_t addr, uint64_t time_ns,
		struct answer **ret);
void answer_put(struct answer *a);
int module_intern(struct resolver *r, const struct build_id *id, const char *path, uint32_t *ret);
/* Get the segments of a module from a mapping of this process, if still unknown. */
void module_open(struct resolver *r, uint32_t module, pid_t pid, uint64_t start, uint64_t end,
		 const char *path);

/* vmafile.c: files by their inodes */
/* Of the sample's mappings, learn what can be asked of its process now. */
int files_learn(struct resolver *r, const struct raw_sample *s);
/* The files of all mappings that /proc has just told of. */
int files_learn_all(struct resolver *r, const struct process *p);
/* The sample's own mapping of addr, or NULL. */
const struct bstack_vma *sample_vma(const struct raw_sample *s, uint64_t addr);
/* What file a mapping is of: a module, or UINT32_MAX where that is not known. */
uint32_t files_module(struct resolver *r, const struct bstack_vma *v);
/* What the sample's own mappings prove about addr. False: nothing. */
bool files_prove(struct resolver *r, const struct raw_sample *s, uint64_t addr, struct span *ret);

/* frame.c: the decision about one frame */
/* With what the mapset knows: true when decided; false: /proc must be asked. p may be NULL where files_prove(). */
bool frame_decide(struct resolver *r, struct process *p, const struct raw_id *id,
		  const struct raw_sample *raw, struct resolved_frame *f);
/* With the answer it waited for, NULL when there is none. */
void frame_settle(struct resolver *r, const struct process *p, const struct raw_id *id,
		  const struct raw_sample *raw, const struct answer *a, struct resolved_frame *f);

#endif
