/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * output.h - where a command's product goes: stdout, or a file that is either whole or not there.
 *
 * A regular file is written under a name of its own in the same folder, made durable, and renamed
 * over the old one at the end; so a full disk or a killed program leaves what was there before. What
 * exists and is no regular file (a FIFO, a device) is written as it is. A symbolic link stays one.
 */
#ifndef BSTACK_OUTPUT_H
#define BSTACK_OUTPUT_H

#include "base/base.h"

struct output {
	FILE *file;       /* write here; fileno() may be written instead, not as well */
	const char *name; /* for messages */
	char *target;     /* what tmp becomes; NULL: written in place */
	char *tmp;
};

/* path "-": stdout, as is "/dev/stdout". path must outlive the output. From here on SIGPIPE and SIGXFSZ are
 * ignored: a reader that goes away, or a file that may not grow, is an error of a write. */
int output_open(const char *path, struct output *ret, struct error *e);
/*
 * The end. err is the result of what wrote (0 or -errno): when it or anything before failed, the
 * file is taken away and the failure told, but for EPIPE: that has no text.
 */
int output_finish(struct output *o, int err, struct error *e);
/* All of it for a profile: path as of output_open. */
struct model;
int output_profile(const struct model *m, const char *path, struct error *e);
/* Take it back without a word; accepts a zeroed and a finished one. */
void output_release(struct output *o);

#endif
