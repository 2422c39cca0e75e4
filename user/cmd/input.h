/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * input.h - the profile that a command reads: a file, the default one, or stdin; a pprof profile or
 * folded text, told apart by what it begins with.
 */
#ifndef BSTACK_INPUT_H
#define BSTACK_INPUT_H

#include "profile/model.h"

#define INPUT_DEFAULT "bstack.pb.gz"
#define INPUT_MAX_SZ  ((uint64_t)2 << 30)

struct input {
	const char *name; /* for messages */
	bool is_folded;
	bool is_stdin;
};

/*
 * Read path (NULL: INPUT_DEFAULT, "-": stdin) into an initialised, empty m. A named directory, FIFO,
 * socket or device is refused, as is more than INPUT_MAX_SZ.
 */
int input_read(const char *path, struct model *m, struct input *ret, struct error *e);

#endif
