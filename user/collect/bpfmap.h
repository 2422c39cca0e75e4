/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* bpfmap.h - a loaded BPF map of anybody's, opened for reading only, by its id or its pinned path. Inside collect/. */
#ifndef BSTACK_COLLECT_BPFMAP_H
#define BSTACK_COLLECT_BPFMAP_H

#include "base/base.h"

#include <linux/bpf.h>

struct bpfmap {
	int fd;
	struct bpf_map_info info;
	char label[96]; /* for messages: "map 12 (stacks)" */
};
/* what: decimal digits are an id, all else is a path. The story tells which privilege lacks. */
int bpfmap_open(const char *what, struct bpfmap *ret, struct error *e);
int bpfmap_open_id(uint32_t id, struct bpfmap *ret, struct error *e);
void bpfmap_close(struct bpfmap *m); /* accepts one that was closed, not a zeroed one */
const char *bpfmap_type_name(const struct bpfmap *m);

#endif
