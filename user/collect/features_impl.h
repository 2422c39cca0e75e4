/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* features_impl.h - inside collect/: the probes that the table of features.c names. */
#ifndef BSTACK_COLLECT_FEATURES_IMPL_H
#define BSTACK_COLLECT_FEATURES_IMPL_H

#include "collect/features.h"

/* Each is struct feature's probe: tries the thing, fills detail (empty before) when there is something to say. */
#define PROBE(name) enum feature_state probe_##name(char *detail, size_t sz)
PROBE(btf);
PROBE(perf_program);
PROBE(build_id_stack);
PROBE(ringbuf);
PROBE(bpf_loop);
PROBE(tp_btf);
PROBE(stackmap);
PROBE(fentry);
PROBE(system_wide);
PROBE(mmap2_build_id);
PROBE(cycles);
PROBE(procmap_query);
PROBE(map_files);
PROBE(tracefs);
PROBE(uprobe);
PROBE(kallsyms);
PROBE(kallsyms_all);
PROBE(mm_lock_seq);
PROBE(vma_lock);
PROBE(vma_files);
PROBE(not_rt);
PROBE(cve_fix);
PROBE(mmap_lock_tp);
PROBE(euid);
PROBE(cap_bpf);
PROBE(cap_perfmon);
PROBE(cap_admin);
PROBE(cap_ptrace);
PROBE(cap_read);
PROBE(cap_restore);
PROBE(cap_syslog);
PROBE(paranoid);
PROBE(kptr_restrict);
PROBE(unprivileged);
PROBE(memlock);
#undef PROBE

/* State with words about it. */
enum feature_state probe_say(char *detail, size_t sz, enum feature_state state, const char *fmt,
			     ...) PRINTF(4, 5);
/* What a positive errno of a probe means: EPERM and EACCES are FEATURE_DENIED, all else FEATURE_NO. */
enum feature_state probe_failed(char *detail, size_t sz, int code);

/* Effective capability, by number (linux/capability.h). */
bool has_capability(unsigned int cap);
/* A number in a file of /proc/sys: 0 or -errno. */
int sysctl_read(const char *path, long *ret);
/* Does the kernel know this BPF helper? enum bpf_func_id; for programs on sockets or on perf events. */
enum feature_state probe_helper(bool is_perf, int helper, char *detail, size_t sz);

#endif
