/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * skel.c - see skel.h. There are two objects made of the same source, alike in maps and programs: the lean one calls no
 * kfuncs, and reads no structs that are younger than the oldest kernel.
 */
#include "collect/skel.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <errno.h>
#include <stdlib.h>

#include "profile_lean.skel.h"

/* For what the kernel's own BTF lacks libbpf looks through that of the modules, which only CAP_SYS_ADMIN may list. */
static bool can_have_kfuncs(void)
{
	struct btf *btf;
	uint32_t id = 0;
	int found;

	if (bpf_btf_get_next_id(0, &id) != -EPERM)
		return true;
	btf = btf__load_vmlinux_btf();
	found = btf ? btf__find_by_name_kind(btf, "bpf_preempt_disable", BTF_KIND_FUNC) : -1;
	btf__free(btf);
	return found > 0;
}

struct profile_bpf *skel_open(void)
{
	struct profile_bpf *skel;
	int err;

	if (can_have_kfuncs())
		return profile_bpf__open();
	skel = calloc(1, sizeof(*skel));
	if (!skel)
		return NULL;
	err = profile_bpf__create_skeleton(skel);
	if (!err) {
		skel->skeleton->data =
			(void *)profile_lean_bpf__elf_bytes(&skel->skeleton->data_sz);
		err = bpf_object__open_skeleton(skel->skeleton, NULL);
	}
	if (!err)
		return skel;
	profile_bpf__destroy(skel);
	errno = -err;
	return NULL;
}
