/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * elfseg.h - the little of an ELF file that healing needs: its build-id and its executable PT_LOAD
 * segments. Files are hostile: every length and offset is checked against the file's size before use.
 */
#ifndef BSTACK_RESOLVE_ELFSEG_H
#define BSTACK_RESOLVE_ELFSEG_H

#include "base/base.h"

#define ELFSEG_MAX 16 /* executable segments of one file; ordinary files have one */

struct elfseg {
	uint64_t off, sz; /* bytes in the file */
	uint64_t vaddr;   /* link-time address of the first */
};
struct elfsegs {
	struct build_id build_id; /* sz 0: the file has none */
	struct elfseg seg[ELFSEG_MAX];
	size_t cnt;
};

/* Read from fd with pread. 0; -ENOEXEC: not an ELF file of this machine's byte order, or one that lies;
 * -errno of a read. */
int elfsegs_read(int fd, struct elfsegs *ret);

/*
 * Open the file of a mapping and read its segments: through its process, or, when that is gone, by its path; it
 * must have this build-id. The fd, or -errno (-ENOENT: it is another file). *ret_is_by_path: so it was found.
 */
int elfsegs_open(pid_t pid, uint64_t start, uint64_t end, const char *path,
		 const struct build_id *id, struct elfsegs *ret, bool *ret_is_by_path);

/* The segment that holds file offset off, or NULL. */
const struct elfseg *elfsegs_find(const struct elfsegs *s, uint64_t off);
/* The link-time address of file offset off. False: it is in no segment. */
bool elfsegs_vaddr(const struct elfsegs *s, uint64_t off, uint64_t *ret);

#endif
