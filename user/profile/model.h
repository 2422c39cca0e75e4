/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * model.h - a profile in memory: what pprof stores, with bstack's evidence.
 *
 * Everything is an index into one of the model's arrays; strings are ids of
 * model.strings (0 is ""). Objects are interned: adding the same twice gives
 * the same index. Nothing is ever removed. Every function returns 0 or
 * -ENOMEM / -E2BIG and leaves the model usable on failure. One thread.
 *
 * Addresses: for a mapping whose segment is known (is_segment_known) a link-time
 * address of the file; else the offset in the file (ELF kinds) or the raw
 * address. The address of a caller is its return address minus one, as pprof
 * wants it: "in the middle of the call instruction"; so a look-up never needs
 * to know whether the frame was a leaf.
 */
#ifndef BSTACK_PROFILE_MODEL_H
#define BSTACK_PROFILE_MODEL_H

#include "base/base.h"
#include "base/evidence.h"

#define MODEL_NONE UINT32_MAX

/* What kind of code a mapping holds; key is what the profile says. */
enum module_kind {
	MODULE_ELF,    /* a file with a build-id */
	MODULE_NO_ID,  /* a file without a build-id: named, never symbolized later */
	MODULE_JIT,    /* [jit]: named through a perf map */
	MODULE_ANON,   /* [anon]: anonymous executable memory */
	MODULE_VDSO,   /* [vdso] */
	MODULE_KERNEL, /* [kernel] */
	MODULE_OTHER,  /* [unknown]: nothing known of the address */
	MODULE_KIND_CNT,
};

struct mapping {
	enum module_kind kind;
	struct build_id build_id;
	uint32_t path; /* of the file as the process saw it; "[vdso]" and so on for the others */
	bool is_segment_known;
	uint64_t start, limit; /* link-time addresses of the segment, when known */
	uint64_t file_off;     /* offset in the file of start, when known */
	bool has_symbols;      /* pprof's has_functions: a symbol table was found */
	bool is_searched;      /* a search for symbols was made */
};

struct function {
	uint32_t name;        /* demangled */
	uint32_t system_name; /* as in the symbol table */
	uint32_t filename;    /* 0 until lines are known */
	int64_t start_line;
};

/* One function at a location; a location has several when functions were inlined. */
struct line {
	uint32_t function;
	int64_t line; /* 0: not known */
};

struct location {
	uint32_t mapping; /* MODEL_NONE allowed only in foreign profiles */
	uint64_t addr;
	uint32_t first_line, line_cnt; /* in model.lines, innermost first; 0: no name */
};

struct frame {
	uint32_t location;
	uint8_t evidence; /* enum evidence */
	uint8_t reason;   /* enum reason, REASON_NO unless EVID_NONE */
};

/* Leaf first; kernel frames, when collected, come before user frames. */
struct stack {
	uint32_t first_frame, frame_cnt; /* in model.frames */
};

struct sample {
	uint32_t stack;
	uint32_t pid, tid;
	uint32_t comm;       /* thread name */
	uint32_t lock_owner; /* with CAUSE_WRITER: "comm/tid" of who held mmap_lock, or 0 */
	uint8_t cause;       /* enum cause */
	uint8_t outcome;     /* enum outcome */
	uint8_t stop;        /* enum stop, of a broken stack */
	uint8_t fp_steps; /* frames whose caller was found by frame pointer, for want of unwind information */
	uint64_t time_ns; /* when it was taken, nanoseconds since the epoch; 0: not kept */
	uint64_t count;   /* samples */
	uint64_t weight;  /* in the event's unit */
};

/*
 * What a recording counted beside its samples. key stands in the file and in
 * JSON. Values of later members replace earlier ones. fired = recorded + the
 * lost_*, exactly.
 */
#define LEDGER_LIST(X)                                                                      \
	X(fired, "events that passed the filter")                                           \
	X(recorded, "samples in the profile")                                               \
	X(lost_ring, "lost: the ring buffer was full")                                      \
	X(lost_nested, "lost: nested in another sample on the same CPU")                    \
	X(lost_memory, "lost: no memory in the profiler")                                   \
	X(lost_stackmap, "lost: the stack map has not the stack")                           \
	X(sideband_lost, "mapping events the kernel dropped")                               \
	X(inconsistent,                                                                     \
	  "stacks whose two readings disagreed: build-ids dropped, healed by address")      \
	X(cut_frames, "frames left out: the walk that led to them is not believed")         \
	X(ffb_no_vma, "frame fallback: no mapping")                                         \
	X(ffb_anon, "frame fallback: anonymous memory")                                     \
	X(ffb_no_file, "frame fallback: no file")                                           \
	X(ffb_no_note, "frame fallback: no build-id note")                                  \
	X(ffb_not_resident, "frame fallback: note not in the page cache")                   \
	X(ffb_bad_offset, "frame fallback: VALID but outside the executable segments")      \
	X(ffb_unknown, "frame fallback: not classified")                                    \
	X(duration_ns, "time recorded")                                                     \
	X(start_ns, "start, nanoseconds since the epoch")                                   \
	X(period, "one sample each so many of the event's unit (0: frequency mode)")        \
	X(freq_hz, "samples a second asked for (0: fixed period)")                          \
	X(bpf_runs,                                                                         \
	  "runs of the sampling program, where the kernel counts them (bpf_stats_enabled)") \
	X(bpf_ns, "nanoseconds they took")                                                  \
	X(unwind_tables, "unwind tables made, one a file")                                  \
	X(unwind_rows, "rows in them")                                                      \
	X(unwind_table_ns, "nanoseconds that making them took")                             \
	X(unwind_text_bytes, "bytes of code they cover")                                    \
	X(unwind_evicted, "unwind tables that made room for others")                        \
	X(unwind_no_room, "unwind tables and processes for which there was no room")        \
	X(unwind_sent, "stacks whose memory came along for want of a table")                \
	X(unwind_sent_bytes, "bytes of it")                                                 \
	X(counted, "of the samples: of known stacks, counted in BPF")                       \
	X(no_sequence, "1: known stacks were wanted, and the kernel has no mm_lock_seq")    \
	X(counted_vma, "of those: in a changed address space, by their mappings")           \
	X(known_files, "files whose inode is known")                                        \
	X(known_evicted, "known stacks that made room for others")                          \
	X(targets_missed, "children not followed: there were too many targets")             \
	X(vma_asked, "mappings asked of the kernel while sampling")                         \
	X(vma_failed, "in vain: mmap_lock was held, or the unlock slot taken")              \
	X(is_complete, "1: the recording ended in order")
struct ledger {
#define X(key, text) uint64_t key;
	LEDGER_LIST(X)
#undef X
};
/* The same as a table: offsetof(struct ledger, key). */
struct ledger_row {
	const char *key, *text;
	size_t offset;
};
extern const struct ledger_row ledger_rows[];
extern const size_t ledger_row_cnt;

struct model {
	struct strtab strings;
	struct mapping *mappings;
	struct function *functions;
	struct line *lines;
	struct location *locations;
	struct frame *frames;
	struct stack *stacks;
	struct sample *samples;
	size_t mapping_cnt, function_cnt, line_cnt, location_cnt, frame_cnt, stack_cnt, sample_cnt;

	struct ledger ledger;
	bool has_ledger; /* the file was written by bstack */
	bool is_cut; /* read from a file that ends in the middle of a member, or was never ended */
	uint32_t event;      /* "cpu-clock", "cycles", ...: name of the weight */
	uint32_t event_unit; /* "nanoseconds" or "count" */
	uint32_t command;    /* the command line that recorded it */
	uint32_t host;       /* "Linux 6.18.44 x86_64" */

	/* private to model.c */
	size_t mapping_cap, function_cap, line_cap, location_cap, frame_cap, stack_cap, sample_cap;
	struct hmap mapping_map, function_map, location_map, stack_map, sample_map;
};

/* The frames of a stack, leaf first; NULL when it has none. */
static inline const struct frame *model_frames(const struct model *m, const struct stack *s)
{
	return s->frame_cnt ? &m->frames[s->first_frame] : NULL;
}

int model_init(struct model *m);
void model_release(struct model *m); /* accepts a zeroed one */

/* path "[jit]" etc. for kinds without a file: MODULE_NAME(kind). Identity of a mapping: kind,
 * build-id, path where there is no build-id, and the segment. */
const char *module_kind_name(enum module_kind kind); /* "[jit]"; "" for files */
int model_mapping(struct model *m, const struct mapping *map, uint32_t *ret);
int model_function(struct model *m, const char *name, const char *system_name, uint32_t *ret);
/* The same with all that can be known of one; identity is all of *f, whose strings
 * are the model's: nothing of a function may be changed later. */
int model_function_at(struct model *m, const struct function *f, uint32_t *ret);
/* Identity: mapping, addr and name: function is MODEL_NONE, or the name known when it was
 * recorded (JIT, kernel): two processes may have different JIT code at one address. */
int model_location(struct model *m, uint32_t mapping, uint64_t addr, uint32_t function,
		   uint32_t *ret);
/* A location that no other is equal to, and that is never found again: for what differs from one
 * at the same place in its lines only. */
int model_location_apart(struct model *m, uint32_t mapping, uint64_t addr, uint32_t *ret);
/* Give a location its functions, innermost first, replacing what it had. */
int model_set_lines(struct model *m, uint32_t location, const struct line *lines, size_t cnt);
#define MODEL_FRAME_MAX 1024 /* in one stack: bstack records 254; foreign profiles may have more */
int model_stack(struct model *m, const struct frame *frames, size_t cnt, uint32_t *ret);
/* Add s to the equal sample (all but count and weight), or as a new one. */
int model_sample(struct model *m, const struct sample *s);
/* The same, and which one it is now. */
int model_sample_at(struct model *m, const struct sample *s, uint32_t *ret);

/*
 * What to call a frame: its innermost function, or "module+0xoff", or "[jit]"
 * and so on. Written to out (appended). line_idx 0 is the innermost function; a location with n
 * functions gives n names, a location without any gives one.
 */
size_t model_name_cnt(const struct model *m, uint32_t location);
void model_name(const struct model *m, uint32_t location, size_t line_idx, struct buf *out);
/* "libc.so.6": last component of the mapping's path, or its bracketed name. */
const char *model_module(const struct model *m, uint32_t location);
/* MODULE_OTHER where there is no mapping. */
enum module_kind model_kind(const struct model *m, uint32_t location);

#endif
