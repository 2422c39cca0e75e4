/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* files.h - inside unwind/: tables of files in the arrays that BPF reads, one a build-id. */
#ifndef BSTACK_UNWIND_FILES_H
#define BSTACK_UNWIND_FILES_H

#include "unwind/unwinder.h"

struct files;
int files_new(const struct unwind_maps *maps, struct unwinder_counters *counters,
	      struct files **ret);
void files_free(struct files *f); /* accepts NULL */
/*
 * The module of a mapping's file: an index, or BSTACK_MODULE_*. A new file is opened, and its table made by a
 * thread: until files_collect() has it, the module has none.
 */
uint32_t files_get(struct files *f, uint32_t pid, const struct vma *v);
uint32_t files_vdso(struct files *f);
/* Take the tables that are ready into the arrays. */
void files_collect(struct files *f);
void files_hurry(struct files *f);
/* Wait until they are all ready, or until_ns of clock_mono_ns(). */
void files_wait(struct files *f, uint64_t until_ns);
int files_wake_fd(const struct files *f); /* readable when there may be some */
/* For a mapping that starts at file offset off. */
uint64_t files_pc_off(const struct files *f, uint32_t module, uint64_t off);
/* Likewise for a file without build-id, by the path it was last mapped from: its module, and the pc of an offset in it.
 * None when several files had that path. */
uint32_t files_ready_path(struct files *f, const char *path, uint64_t off, uint64_t *ret_pc);
bool files_step(struct files *f, const struct bstack_step *step, struct step_place *ret);
/* The module of a build-id, NULL: the vdso; its table is waited for. Its pc of a link-time address is that less *ret_base.
 * BSTACK_MODULE_NONE: not known. */
uint32_t files_ready(struct files *f, const struct build_id *id, uint64_t *ret_base);
bool files_is_path(const struct step_place *place, const char *path);

#endif
