/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* pprof_impl.h - between the two halves of the reader: pprof_inflate.c gives bytes, pprof_read.c a model. */
#ifndef BSTACK_PROFILE_PPROF_IMPL_H
#define BSTACK_PROFILE_PPROF_IMPL_H

#include "base/base.h"

/*
 * The message in data (len bytes), decompressed, at most max. *ret_is_cut: the data ends in the middle of a gzip
 * member, or something else follows a whole one; what came before is in out. name: for the story.
 */
int pprof_inflate(const char *name, const void *data, size_t len, size_t max, struct buf *out,
		  bool *ret_is_cut, struct error *e);

#endif
