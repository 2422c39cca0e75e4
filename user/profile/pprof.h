/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * pprof.h - profiles to and from profile.proto.
 *
 * A file is a sequence of gzip members; the concatenation of what they hold is
 * one protobuf message, so each member may continue the one before. Strings,
 * mappings, locations and functions are written once, in the first member that
 * needs them; samples are written as many times as they were counted anew.
 *
 * How bstack's own facts are stored, all as pprof's standard fields:
 *   Sample.label   pid, tid, fp_steps (num), thread, fallback, lock_owner, unwind, stop,
 *                  evidence ("kernel:5,timeline:2,none/garbage:1", leaf first),
 *                  timestamp (num, unit nanoseconds: since the epoch, as time_nanos) where times were kept
 *   comment        "bstack: KEY VALUE", a line each; last one wins. KEY is a
 *                  row of ledger_rows, or event, command, host
 *   Mapping        build_id (hex), filename, memory_start/limit, file_offset of the segment;
 *                  0/0/0 when the segment is unknown (addresses are file offsets)
 *   sample_type    samples/count, then the event and its unit
 */
#ifndef BSTACK_PROFILE_PPROF_H
#define BSTACK_PROFILE_PPROF_H

#include "profile/model.h"

/*
 * pprof_writer - appends a model to an open file, as members.
 * Remembers what it has written of the model, which must outlive it and only grow. fd stays the
 * caller's. After an error the writer must not be used again; the file holds every member up to
 * the failed one, whose partial bytes have been cut off again where the file is seekable.
 */
struct pprof_writer;
int pprof_writer_new(const struct model *m, int fd, struct pprof_writer **ret);
void pprof_writer_free(struct pprof_writer *w);
/* Append one member with all that is new since the last call; no member when nothing is. */
int pprof_writer_flush(struct pprof_writer *w, struct error *e);
uint64_t pprof_writer_bytes(const struct pprof_writer *w); /* written so far */

/* Write all of m as one member at the fd's position. Locations' lines included. */
int pprof_write(const struct model *m, int fd, struct error *e);

/*
 * Read a whole profile (fd need not be seekable) into an initialised, empty m.
 * Hostile input is refused with -EINVAL and a reason: bad indices, lengths, cycles cannot occur
 * in m afterwards. A file cut in the middle of a member gives what came before and m->is_cut; one
 * without any whole member is an error. name is for messages. Also reads profiles of others
 * (uncompressed or gzip, with or without labels), which then have !m->has_ledger.
 */
#define PPROF_MAX_SZ ((size_t)2 << 30) /* uncompressed */
int pprof_read(int fd, const char *name, struct model *m, struct error *e);

#endif
