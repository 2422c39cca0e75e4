/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * evidence.h - the vocabulary of what bstack believes, and why: how a frame is
 * known, why it is not, why a stack fell back, how a stack ended. Each list is
 * a table of {enumerator, key, text}: the key stands in profiles and in JSON and
 * never changes; the text is for people.
 */
#ifndef BSTACK_EVIDENCE_H
#define BSTACK_EVIDENCE_H

#include <stddef.h>

/* How a frame is known, strongest first. */
#define EVIDENCE_LIST(X)                                                                   \
	X(EVID_KERNEL, "kernel", "the kernel's build-id helper, checked against the file") \
	X(EVID_PROVEN, "proven", "mapping table, proven unchanged by mm_lock_seq")         \
	X(EVID_TIMELINE, "timeline", "recorded executable mappings and learned frames")    \
	X(EVID_QUERY, "query", "asked of /proc while the process lived")                   \
	X(EVID_JIT, "jit", "the process's perf map")                                       \
	X(EVID_VDSO, "vdso", "the kernel's vdso")                                          \
	X(EVID_KERNEL_TEXT, "kernel_text", "kernel code")                                  \
	X(EVID_NONE, "none", "unresolved")

/* Why a frame stayed unresolved (only with EVID_NONE). */
#define REASON_LIST(X)                                                                          \
	X(REASON_NO, "", "resolved")                                                            \
	X(REASON_ANON, "anonymous", "anonymous executable memory")                              \
	X(REASON_NO_BUILD_ID, "no-build-id", "the file has no build-id")                        \
	X(REASON_GONE, "process-gone", "the process was gone before it could be asked")         \
	X(REASON_GARBAGE, "garbage", "no executable mapping at this address")                   \
	X(REASON_CONFLICT, "conflict", "the mapping changed between the sample and the answer") \
	X(REASON_BAD_OFFSET, "bad-offset", "outside the file's executable segments")            \
	X(REASON_FORGED, "forged", "a build-id in shared anonymous memory")                     \
	X(REASON_SPECIAL, "special", "a mapping of the kernel's own (vsyscall, uprobes)")       \
	X(REASON_DENIED, "denied", "no permission to ask about the process")                    \
	X(REASON_UNCHECKED, "unchecked", "no file with this build-id was found to check it")    \
	X(REASON_NO_PROCESS, "no-process", "an address of a process that is not known")         \
	X(REASON_UNKNOWN, "unknown", "not recorded")

/* Why a whole stack fell back to raw addresses. Same numbers as bpf/abi.h. */
#define CAUSE_LIST(X)                                                                \
	X(CAUSE_NONE, "none", "did not fall back")                                   \
	X(CAUSE_SLOT_BUSY, "slot-busy", "this CPU's irq_work unlock slot was taken") \
	X(CAUSE_WRITER, "writer", "a thread held mmap_lock for writing")             \
	X(CAUSE_WAITER, "waiter", "a thread waited to write-lock mmap_lock")         \
	X(CAUSE_RT, "rt", "PREEMPT_RT with interrupts off")                          \
	X(CAUSE_NO_MM, "no-mm", "the task had no address space any more")            \
	X(CAUSE_UNKNOWN, "unknown", "nothing readable says why")

/* Why a single frame of a stack that did not fall back came as a raw address. */
#define FRAME_FALLBACK_LIST(X)                                                           \
	X(FFB_NO_VMA, "no-vma", "no mapping at this address")                            \
	X(FFB_ANON, "anon", "anonymous memory")                                          \
	X(FFB_NO_FILE, "no-file", "a mapping without a file (vdso, stack)")              \
	X(FFB_NO_NOTE, "no-note", "the file has no build-id note")                       \
	X(FFB_NOT_RESIDENT, "not-resident", "the note's page was not in the page cache") \
	X(FFB_BAD_OFFSET, "bad-offset", "VALID, but outside the executable segments")    \
	X(FFB_UNKNOWN, "unknown", "the process was gone before the frame could be classified")

/* How the walk of a user stack ended. */
#define OUTCOME_LIST(X)                                                                           \
	X(OUTCOME_NO_USER, "no-user", "no user stack: a kernel thread, or in the middle of exec") \
	X(OUTCOME_ROOTED, "rooted", "reaches the thread's entry point")                           \
	X(OUTCOME_TRUNCATED, "truncated", "cut at the frame limit, leaf side kept")               \
	X(OUTCOME_BROKEN, "broken", "ends before the thread's entry point")

/* Why the walk of a broken stack ended where it did. */
#define STOP_LIST(X)                                                                   \
	X(STOP_NO, "", "it is not broken")                                             \
	X(STOP_FP, "frame-pointer", "walked by frame pointers, which led no further")  \
	X(STOP_NO_TABLE, "no-table", "no unwind table for this code (yet)")            \
	X(STOP_NO_MAPPING, "no-mapping", "a return address outside executable memory") \
	X(STOP_NO_ROW, "no-row", "code that its unwind table does not cover")          \
	X(STOP_UNSUPPORTED, "unsupported", "an unwind rule that is not supported")     \
	X(STOP_UNREADABLE, "unreadable", "a stack page that could not be read")        \
	X(STOP_STUCK, "stuck", "a caller whose frame is not above")                    \
	X(STOP_STALE, "stale", "the mapping had changed: what lay behind was not believed")

#define X(sym, key, text) sym,
enum evidence {
	EVIDENCE_LIST(X) EVID_CNT
};
enum reason {
	REASON_LIST(X) REASON_CNT
};
enum cause {
	CAUSE_LIST(X) CAUSE_CNT
};
enum frame_fallback {
	FRAME_FALLBACK_LIST(X) FFB_CNT
};
enum outcome {
	OUTCOME_LIST(X) OUTCOME_CNT
};
enum stop {
	STOP_LIST(X) STOP_CNT
};
#undef X

/* One row of a vocabulary. */
struct term {
	const char *key;
	const char *text;
};
extern const struct term evidence_terms[EVID_CNT];
extern const struct term reason_terms[REASON_CNT];
extern const struct term cause_terms[CAUSE_CNT];
extern const struct term frame_fallback_terms[FFB_CNT];
extern const struct term outcome_terms[OUTCOME_CNT];
extern const struct term stop_terms[STOP_CNT];

/* Index of key (len bytes) among cnt terms, or -1. */
int term_find(const struct term *terms, size_t cnt, const char *key, size_t len);

#endif
