/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* auditor_kit.h - loads and attaches auditor.bpf.c, for test_lock.c and lock_watch.c. */
#ifndef BSTACK_AUDITOR_KIT_H
#define BSTACK_AUDITOR_KIT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "auditor.h"
#include "auditor.skel.h"

static struct auditor_bpf *aud;
static struct bpf_program *prog_acquired; /* of the two, the one for this kernel */
static bool has_irq_events;

static int print_nothing(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	(void)level, (void)fmt, (void)ap;
	return 0;
}

static bool is_rt(void)
{
	struct utsname u;

	return !uname(&u) && strstr(u.version, "PREEMPT_RT");
}

/* Number of arguments of a tracepoint, -1 when the kernel has none of that name. */
static int tracepoint_args(const char *name)
{
	struct btf *btf = btf__load_vmlinux_btf();
	const struct btf_type *t;
	char type[64];
	int id, cnt = -1;

	snprintf(type, sizeof(type), "btf_trace_%s", name);
	id = btf ? btf__find_by_name_kind(btf, type, BTF_KIND_TYPEDEF) : -1;
	t = id > 0 ? btf__type_by_id(btf, (uint32_t)id) : NULL;
	while (t && (btf_is_typedef(t) || btf_is_ptr(t)))
		t = btf__type_by_id(btf, t->type);
	if (t && btf_is_func_proto(t))
		cnt = btf_vlen(t) - 1; /* the first is the tracepoint's own data */
	btf__free(btf);
	return cnt;
}

static bool auditor_load(void)
{
	struct bpf_program *other;
	struct stat st;

	libbpf_set_print(print_nothing);
	aud = auditor_bpf__open();
	if (!aud || stat("/proc/self/ns/pid", &st))
		return false;
	aud->rodata->pidns_dev = st.st_dev;
	aud->rodata->pidns_ino = st.st_ino;
	prog_acquired = aud->progs.acquire_returned;
	other = aud->progs.acquire_returned_memcg;
	if (tracepoint_args("mmap_lock_acquire_returned") == 4) {
		prog_acquired = aud->progs.acquire_returned_memcg;
		other = aud->progs.acquire_returned;
		aud->rodata->has_memcg = true;
	}
	bpf_program__set_autoload(other, false);
	return !auditor_bpf__load(aud);
}

/* The programs on interrupts are for x86 kernels that have these events: others do without. */
/* The exits first: an interrupt that is seen to begin alone would last until the CPU's next one, which an idle CPU's tasks
 * may be long before. */
static void auditor_attach_irq(void)
{
	aud->links.timer_exit = bpf_program__attach(aud->progs.timer_exit);
	aud->links.timer_entry = bpf_program__attach(aud->progs.timer_entry);
	aud->links.irq_work_exit = bpf_program__attach(aud->progs.irq_work_exit);
	aud->links.irq_work_entry = bpf_program__attach(aud->progs.irq_work_entry);
	has_irq_events = aud->links.timer_entry && aud->links.timer_exit &&
			 aud->links.irq_work_entry && aud->links.irq_work_exit && !is_rt();
}

static bool auditor_attach_lock(void)
{
	aud->links.acquire_returned = bpf_program__attach(prog_acquired);
	aud->links.released = bpf_program__attach(aud->progs.released);
	return aud->links.acquire_returned && aud->links.released;
}

#endif
