/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * wanted.h - the files behind a set of build-ids: a build-id says which file it is, so any process of this
 * machine that has it mapped, or any file that is named, will do.
 */
#ifndef BSTACK_WANTED_H
#define BSTACK_WANTED_H

#include "base/base.h"
#include "symbol/symbol.h"

struct wanted_file {
	struct build_id build_id; /* as it was asked for: maybe padded */
	struct build_id own_id;   /* as the file has it, once found */
	char *path;               /* as a process names it; NULL: not found */
};
struct wanted {
	struct symbols *syms; /* keeps what is found */
	struct wanted_file *files;
	size_t cnt, cap;
	size_t open_cnt; /* not found so far */
	struct hmap map;
};
#define WANTED_MAX ((size_t)1 << 20)

void wanted_init(struct wanted *w, struct symbols *syms);
void wanted_release(struct wanted *w);
int wanted_add(struct wanted *w, const struct build_id *id); /* 0, -ENOMEM, -E2BIG */
/* NULL: nobody asked for it. */
struct wanted_file *wanted_find(const struct wanted *w, const struct build_id *id);

/* A file of ours. -ENOEXEC: no ELF file; -ENODATA: it has no build-id that is wanted; -errno. */
int wanted_try_file(struct wanted *w, const char *path);
/* Take note of a mapping of a process, if it is of a wanted file that was not found so far. */
int wanted_try_mapping(struct wanted *w, const struct build_id *id, const char *path, pid_t pid,
		       uint64_t start, uint64_t end);
/* Look into every process of this machine that may be asked, until all are found. */
int wanted_try_processes(struct wanted *w);

#endif
