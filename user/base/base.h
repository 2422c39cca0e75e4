/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * base.h - what every module stands on: errors with their story, growing
 * buffers, interned strings, hashing, numbers, time, build-ids.
 *
 * Nothing here prints, exits or keeps global state. Not thread-safe unless
 * said; every object belongs to the thread that uses it.
 */
#ifndef BSTACK_BASE_H
#define BSTACK_BASE_H

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>
#include <time.h>

#define ARRAY_SIZE(a)      (sizeof(a) / sizeof((a)[0]))
#define PRINTF(fmt, first) __attribute__((format(printf, fmt, first)))

/* cleanup attributes: free or close a local variable when it leaves scope */
#define CLEANUP(fn) __attribute__((cleanup(fn)))
void cleanup_free(void *pp);    /* char *p CLEANUP(cleanup_free) = NULL; */
void cleanup_close(int *fd);    /* closes when >= 0 */
void cleanup_fclose(FILE **fp); /* closes when not NULL, result ignored: for readers */

/*
 * struct error - the story of a failure, told by whoever met it, printed only
 * by cmd/. text is one line without newline: what was tried, on what, why it
 * failed. advice, may be empty, says what the person can do.
 */
struct error {
	char text[512];
	char advice[256];
};

/* Fill e (NULL: ignored) and return -code. code is a positive errno. */
int error_set(struct error *e, int code, const char *fmt, ...) PRINTF(3, 4);
/* The same with ": strerror(code)" appended. */
int error_errno(struct error *e, int code, const char *fmt, ...) PRINTF(3, 4);
void error_advise(struct error *e, const char *fmt, ...) PRINTF(2, 3);

/*
 * array_reserve - room for need elements of elem_sz bytes in *arr, growing by
 * half, at most max_cnt elements. 0, -ENOMEM, or -E2BIG beyond max_cnt; *arr is
 * untouched on failure.
 */
int array_reserve(void *arr_p, size_t *cap, size_t need, size_t elem_sz, size_t max_cnt);

/* buf - growing bytes; data is NULL when empty. err is sticky: appends after a
 * failure do nothing, so check it once at the end. NUL is kept after data[len]. */
struct buf {
	char *data;
	size_t len, cap;
	size_t max; /* 0: BUF_MAX_DEFAULT */
	int err;
};
#define BUF_MAX_DEFAULT ((size_t)1 << 31)
void buf_release(struct buf *b);
void buf_reset(struct buf *b); /* len = 0, err = 0, memory kept */
void buf_add(struct buf *b, const void *data, size_t len);
void buf_str(struct buf *b, const char *s);
void buf_char(struct buf *b, char c);
void buf_printf(struct buf *b, const char *fmt, ...) PRINTF(2, 3);

/* As read(), but not to be interrupted by a signal. */
ssize_t read_some(int fd, void *data, size_t len);
/* Read all of fd into b (appending), at most max bytes. 0, -errno, -EFBIG. */
int read_all(int fd, struct buf *b, size_t max);
/* Write all of it: partial writes and EINTR handled. 0 or -errno (-EPIPE too). */
int write_all(int fd, const void *data, size_t len);

/*
 * Open path for reading, never waiting and never touching devices: the file is looked at before it is opened. An
 * fd, or -errno: -EISDIR, -ELOOP (a symlink where none is followed), -EINVAL (FIFO, device, socket), -EFBIG.
 */
int file_open_regular(const char *path, uint64_t max_sz);
/* The same for what an O_PATH descriptor names; path_fd stays the caller's. */
int file_reopen_regular(int path_fd, uint64_t max_sz);

/* 64-bit hash, not keyed; good enough for tables of our own, not for hostile floods. */
uint64_t hash_bytes(const void *data, size_t len, uint64_t seed);
static inline uint64_t hash_u64(uint64_t x)
{
	x ^= x >> 32;
	x *= 0xd6e8feb86659fd93ULL;
	x ^= x >> 32;
	x *= 0xd6e8feb86659fd93ULL;
	x ^= x >> 32;
	return x;
}

/*
 * hmap - open hash from a 64-bit hash to a uint32_t index in an array of the
 * caller's. The caller compares: walk with hmap_first/hmap_next until the entry
 * is the one. No removal. Zero-initialised is empty.
 */
struct hmap {
	uint64_t *hashes;
	uint32_t *vals; /* HMAP_NONE: free slot */
	size_t cap, cnt;
};
#define HMAP_NONE UINT32_MAX
struct hmap_iter {
	size_t slot;
	uint64_t hash;
};
void hmap_release(struct hmap *h);
uint32_t hmap_first(const struct hmap *h, uint64_t hash, struct hmap_iter *it); /* HMAP_NONE */
uint32_t hmap_next(const struct hmap *h, struct hmap_iter *it);
int hmap_add(struct hmap *h, uint64_t hash, uint32_t val); /* 0 or -ENOMEM */

/*
 * strtab - interned strings; id 0 is always "". Pointers stay valid until
 * release. Strings may hold any byte but NUL.
 */
struct strtab {
	char **strs;
	size_t cnt, cap;
	struct hmap map;
};
#define STRTAB_MAX ((size_t)1 << 28)
int strtab_init(struct strtab *t);
void strtab_release(struct strtab *t);
int strtab_add(struct strtab *t, const char *s, uint32_t *ret_id);
int strtab_addn(struct strtab *t, const char *s, size_t len, uint32_t *ret_id);
static inline const char *strtab_get(const struct strtab *t, uint32_t id)
{
	return id < t->cnt ? t->strs[id] : "";
}

/*
 * pid_table - which slot of the caller's arrays belongs to a process. Slots of those removed are given out again, so
 * they stay below the largest number of processes there were at once. Zero-initialised is empty.
 */
struct pid_slot {
	uint32_t pid;
	bool is_used;
};
struct pid_table {
	struct pid_slot *slots;
	size_t cnt, cap; /* slots ever given out */
	uint32_t *free_slots;
	size_t free_cnt, free_cap;
	struct hmap map; /* pid -> slot; holds the removed, too, until it is made again */
};
void pid_table_release(struct pid_table *t);
uint32_t pid_table_find(const struct pid_table *t, uint32_t pid); /* HMAP_NONE: absent */
/* For a pid that is absent. 0, -ENOMEM, or -E2BIG beyond max processes at once. */
int pid_table_add(struct pid_table *t, uint32_t pid, size_t max, uint32_t *ret_slot);
void pid_table_remove(struct pid_table *t, uint32_t slot);

/* Whole-string unsigned decimal (or 0x hex): 0, -EINVAL, -ERANGE. No sign, no blanks. */
int parse_u64(const char *s, uint64_t min, uint64_t max, uint64_t *ret);
/* Non-negative decimal with fraction, whole string, e.g. "0.5". */
int parse_double(const char *s, double min, double max, double *ret);

#define NSEC_PER_SEC 1000000000ULL
uint64_t clock_mono_ns(void); /* CLOCK_MONOTONIC: what bpf_ktime_get_ns() and our perf events use */
uint64_t clock_real_ns(void);
uint64_t timespec_ns(const struct timespec *t);

/* GNU build-ids: 1 to 20 bytes, sz 0 is "none". Bytes beyond sz are zero, so memcmp works. */
#define BUILD_ID_MAX 20
struct build_id {
	uint8_t sz;
	uint8_t bytes[BUILD_ID_MAX];
};
#define BUILD_ID_HEX_SZ (2 * BUILD_ID_MAX + 1)
bool build_id_eq(const struct build_id *a, const struct build_id *b);
/* The same but for the length: trailing zeros may have been cut off, or added, on the way. */
bool build_id_same_bytes(const struct build_id *a, const struct build_id *b);
const char *build_id_hex(const struct build_id *id, char hex[BUILD_ID_HEX_SZ]); /* returns hex */
int build_id_parse(const char *hex, struct build_id *ret);                      /* 0 or -EINVAL */
static inline uint64_t build_id_hash(const struct build_id *id)
{
	return hash_bytes(id, sizeof(*id), 1);
}

/* Wait until no BPF program that ran when this was called still runs. */
void grace_period(void);

#endif
