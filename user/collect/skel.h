/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* skel.h - the BPF programs as an object to be loaded: those that this kernel and these privileges allow. */
#ifndef BSTACK_COLLECT_SKEL_H
#define BSTACK_COLLECT_SKEL_H

#include "bpf/abi.h"
#include "profile.skel.h"

/* Opened, not loaded; to be ended by profile_bpf__destroy(). NULL, and errno, on failure. */
struct profile_bpf *skel_open(void);

#endif
