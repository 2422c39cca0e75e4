/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * procmap.h - asking a living process about its mappings: PROCMAP_QUERY (Linux 6.11), or the text of
 * /proc/PID/maps where the ioctl is missing. An answer is true at some moment between asked_ns and
 * answered_ns of the caller's; what it was before and after is the resolver's business.
 */
#ifndef BSTACK_RESOLVE_PROCMAP_H
#define BSTACK_RESOLVE_PROCMAP_H

#include "base/base.h"
#include <limits.h>

enum vma_kind {
	VMA_HOLE, /* nothing mapped there */
	VMA_DATA, /* mapped, not executable */
	VMA_FILE, /* executable, of a file; build_id.sz 0: it has none, or it could not be read */
	VMA_ANON, /* executable anonymous memory: JIT code */
	VMA_SHARED_ANON, /* executable shared anonymous memory: may hold any bytes, a build-id too */
	VMA_VDSO,
	VMA_SPECIAL, /* other mappings of the kernel's: [vsyscall], [uprobes], ... */
};

/* A mapping; for VMA_HOLE the page of the address asked for. path is only meaningful for VMA_FILE. */
struct vma {
	uint64_t start, end;
	uint64_t off; /* in the file, of start */
	uint64_t ino;
	uint32_t dev; /* major << 20 | minor */
	enum vma_kind kind;
	struct build_id build_id;
	bool is_id_of_inode; /* the build-id was read from this very inode */
	uint64_t ctime_ns;   /* of the file that it was read from; 0: the kernel gave it */
	char path[PATH_MAX];
};

struct procmap;
/*
 * Open a process, whose leader must have started at start_ns (boot time; 0: not checked), so that a
 * reused number is not taken for it. -ESRCH: gone, or another one; -EACCES: not allowed.
 */
int procmap_open(pid_t pid, uint64_t start_ns, struct procmap **ret);
void procmap_close(struct procmap *p);
/* The mapping at addr. 0 (also for VMA_HOLE), -ESRCH when the process is gone meanwhile. */
int procmap_find(struct procmap *p, uint64_t addr, struct vma *ret);
/* The first executable mapping that ends above addr. -ENOENT: there is no more. From one to the next it may be an
 * answer of the time of the first, with addr 0. */
int procmap_next_exec(struct procmap *p, uint64_t addr, struct vma *ret);
/* Use the text even where the ioctl works: for tests. */
void procmap_force_text(struct procmap *p);

/* Open the file behind a mapping: through map_files, which works for deleted files and other mount
 * namespaces; else root/PATH. -errno; only regular files are opened. */
int procmap_open_file(pid_t pid, uint64_t start, uint64_t end, const char *path);

/* One line of maps text (without newline). 0 or -EINVAL. Fills all but build_id; path is "" when it is longer
 * than PATH_MAX. */
int maps_line_parse(const char *line, size_t len, struct vma *ret);
/* What a mapping is, by its name as maps and MMAP2 give it. */
enum vma_kind vma_kind_of(const char *name, bool is_exec);

#endif
