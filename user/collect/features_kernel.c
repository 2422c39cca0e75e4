/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * features_kernel.c - what the kernel can do, found out by doing it: a tiny BPF program loaded and closed, a map
 * made, an event opened, a look into the kernel's BTF. Nothing is attached, and nothing stays behind.
 */
#include "collect/event.h"
#include "collect/features_impl.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <sched.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

/* The running kernel's types, read once; NULL: there are none, errno says why. */
static const struct btf *kernel_btf(void)
{
	static struct btf *btf;
	static int err;

	if (!btf && !err) {
		btf = btf__load_vmlinux_btf();
		err = btf ? 0 : errno;
	}
	errno = err;
	return btf;
}

static const struct btf_type *struct_find(const char *name)
{
	const struct btf *btf = kernel_btf();
	int id = btf ? btf__find_by_name_kind(btf, name, BTF_KIND_STRUCT) : -1;

	return id > 0 ? btf__type_by_id(btf, (uint32_t)id) : NULL;
}

/* Id of a member's type; 0: no such member. Looks into unnamed members, too. */
static uint32_t member_type(const struct btf_type *t, const char *name)
{
	const struct btf *btf = kernel_btf();
	const struct btf_member *m = btf_members(t);

	for (uint32_t i = 0; i < btf_vlen(t); i++) {
		const char *n = btf__name_by_offset(btf, m[i].name_off);
		const struct btf_type *inner;
		uint32_t found;

		if (n && !strcmp(n, name))
			return m[i].type;
		inner = n && !n[0] ? btf__type_by_id(btf, m[i].type) : NULL;
		found = inner && btf_is_composite(inner) ? member_type(inner, name) : 0;
		if (found)
			return found;
	}
	return 0;
}

static bool struct_has(const char *type, const char *member)
{
	const struct btf_type *t = struct_find(type);

	return t && member_type(t, member);
}

static enum feature_state no_btf(char *detail, size_t sz)
{
	return probe_say(detail, sz, FEATURE_UNKNOWN,
			 "without BTF the kernel's types are not known");
}

/* libbpf looks in several places, and its errno is of the last one: the first is what people know. */
enum feature_state probe_btf(char *detail, size_t sz)
{
	static const char path[] = "/sys/kernel/btf/vmlinux";
	int fd CLEANUP(cleanup_close) = -1;

	if (kernel_btf())
		return FEATURE_YES;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return probe_say(detail, sz, FEATURE_NO, "cannot read %s: %s", path,
				 strerror(errno));
	kernel_btf();
	return probe_say(detail, sz, FEATURE_NO, "cannot make sense of %s: %s", path,
			 strerror(errno));
}

static enum feature_state probe_insns(enum bpf_prog_type type, const struct bpf_insn *insns,
				      size_t cnt, char *detail, size_t sz)
{
	int fd = bpf_prog_load(type, NULL, "Dual BSD/GPL", insns, cnt, NULL);

	if (fd < 0)
		return probe_failed(detail, sz, -fd);
	close(fd);
	return FEATURE_YES;
}

#define MOV_IMM(reg, value)                                                           \
	{                                                                             \
		.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = (reg), .imm = (value) \
	}
#define MOV_REG(to, from)                                                               \
	{                                                                               \
		.code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = (to), .src_reg = (from) \
	}
#define ADD_IMM(reg, value)                                                           \
	{                                                                             \
		.code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = (reg), .imm = (value) \
	}
#define CALL(helper)                                        \
	{                                                   \
		.code = BPF_JMP | BPF_CALL, .imm = (helper) \
	}
#define EXIT()                             \
	{                                  \
		.code = BPF_JMP | BPF_EXIT \
	}
static const struct bpf_insn return_0[] = { MOV_IMM(BPF_REG_0, 0), EXIT() };

enum feature_state probe_perf_program(char *detail, size_t sz)
{
	return probe_insns(BPF_PROG_TYPE_PERF_EVENT, return_0, ARRAY_SIZE(return_0), detail, sz);
}

/* bpf_get_stack(ctx, fp - 32, 32, USER_STACK | USER_BUILD_ID): loads where the helper and its flags are known. */
enum feature_state probe_build_id_stack(char *detail, size_t sz)
{
	const struct bpf_insn insns[] = {
		MOV_REG(BPF_REG_2, BPF_REG_10),
		ADD_IMM(BPF_REG_2, -32),
		MOV_IMM(BPF_REG_3, 32),
		MOV_IMM(BPF_REG_4, BPF_F_USER_STACK | BPF_F_USER_BUILD_ID),
		CALL(BPF_FUNC_get_stack),
		MOV_IMM(BPF_REG_0, 0),
		EXIT(),
	};

	return probe_insns(BPF_PROG_TYPE_PERF_EVENT, insns, ARRAY_SIZE(insns), detail, sz);
}

/* libbpf reads the verifier's words, and takes a program that may not be loaded at all for a helper that is
 * there: so try first whether one may. */
enum feature_state probe_helper(bool is_perf, int helper, char *detail, size_t sz)
{
	enum bpf_prog_type type = is_perf ? BPF_PROG_TYPE_PERF_EVENT : BPF_PROG_TYPE_SOCKET_FILTER;
	enum feature_state state = probe_insns(type, return_0, ARRAY_SIZE(return_0), detail, sz);
	int found;

	if (state != FEATURE_YES)
		return state;
	found = libbpf_probe_bpf_helper(type, (enum bpf_func_id)helper, NULL);
	if (found < 0)
		return probe_failed(detail, sz, -found);
	return found ? FEATURE_YES
		     : probe_say(detail, sz, FEATURE_NO, "the verifier does not know it");
}

enum feature_state probe_bpf_loop(char *detail, size_t sz)
{
	return probe_helper(true, BPF_FUNC_loop, detail, sz);
}

static enum feature_state probe_map(enum bpf_map_type type, uint32_t key_sz, uint32_t value_sz,
				    uint32_t cnt, uint32_t flags, char *detail, size_t sz)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = flags);
	int fd = bpf_map_create(type, "bstack_probe", key_sz, value_sz, cnt, &opts);

	if (fd < 0)
		return probe_failed(detail, sz, -fd);
	close(fd);
	return FEATURE_YES;
}

enum feature_state probe_stackmap(char *detail, size_t sz)
{
	return probe_map(BPF_MAP_TYPE_STACK_TRACE, 4, sizeof(struct bpf_stack_build_id) * 8, 1,
			 BPF_F_STACK_BUILD_ID, detail, sz);
}

enum feature_state probe_ringbuf(char *detail, size_t sz)
{
	return probe_map(BPF_MAP_TYPE_RINGBUF, 0, 0, (uint32_t)sysconf(_SC_PAGESIZE), 0, detail,
			 sz);
}

/* Is a BPF program of tracing type allowed, attached to this function or tracepoint? */
static enum feature_state probe_tracing(const char *name, enum bpf_attach_type attach, char *detail,
					size_t sz)
{
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = attach);
	int id, fd;

	if (!kernel_btf())
		return no_btf(detail, sz);
	id = libbpf_find_vmlinux_btf_id(name, attach);
	if (id <= 0)
		return probe_say(detail, sz, FEATURE_NO, "%s is not in the kernel's BTF", name);
	opts.attach_btf_id = (uint32_t)id;
	fd = bpf_prog_load(BPF_PROG_TYPE_TRACING, NULL, "Dual BSD/GPL", return_0,
			   ARRAY_SIZE(return_0), &opts);
	if (fd < 0)
		return probe_failed(detail, sz, -fd);
	close(fd);
	return FEATURE_YES;
}

enum feature_state probe_tp_btf(char *detail, size_t sz)
{
	return probe_tracing("sched_process_fork", BPF_TRACE_RAW_TP, detail, sz);
}

enum feature_state probe_mmap_lock_tp(char *detail, size_t sz)
{
	return probe_tracing("mmap_lock_start_locking", BPF_TRACE_RAW_TP, detail, sz);
}

enum feature_state probe_fentry(char *detail, size_t sz)
{
	return probe_tracing("do_nanosleep", BPF_TRACE_FENTRY, detail, sz);
}

/* 0 or -errno */
static int event_try(struct perf_event_attr *attr, pid_t pid, int cpu)
{
	int fd;

	attr->size = sizeof(*attr);
	attr->disabled = 1;
	fd = (int)syscall(SYS_perf_event_open, attr, pid, cpu, -1, PERF_FLAG_FD_CLOEXEC);
	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

enum feature_state probe_mmap2_build_id(char *detail, size_t sz)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.config = PERF_COUNT_SW_DUMMY,
		.mmap = 1,
		.mmap2 = 1,
		.build_id = 1,
	};
	int err = event_try(&attr, 0, -1);

	return err ? probe_failed(detail, sz, -err) : FEATURE_YES;
}

enum feature_state probe_cycles(char *detail, size_t sz)
{
	struct perf_event_attr attr = { .type = PERF_TYPE_HARDWARE,
					.config = PERF_COUNT_HW_CPU_CYCLES };
	int err = event_try(&attr, 0, -1);

	if (err == -ENOENT || err == -EOPNOTSUPP)
		return probe_say(detail, sz, FEATURE_NO, "%s: no PMU, or a hypervisor hides it",
				 strerror(-err));
	return err ? probe_failed(detail, sz, -err) : FEATURE_YES;
}

enum feature_state probe_system_wide(char *detail, size_t sz)
{
	struct perf_event_attr attr = { .type = PERF_TYPE_SOFTWARE,
					.config = PERF_COUNT_SW_CPU_CLOCK };
	int cpu = sched_getcpu();
	int err = event_try(&attr, -1, cpu < 0 ? 0 : cpu);

	return err ? probe_failed(detail, sz, -err) : FEATURE_YES;
}

/* A probe of our own file, where no code is: nothing is written anywhere. */
enum feature_state probe_uprobe(char *detail, size_t sz)
{
	struct perf_event_attr attr = { .uprobe_path = (uintptr_t) "/proc/self/exe" };
	int cpu = sched_getcpu();
	int err = uprobe_pmu(&attr.type);

	if (err == -ENOENT)
		return probe_say(detail, sz, FEATURE_NO, "there is no PMU of this name");
	if (!err)
		err = event_try(&attr, -1, cpu < 0 ? 0 : cpu);
	return err ? probe_failed(detail, sz, -err) : FEATURE_YES;
}

/* Which variant: an int from Linux 6.4 on, a seqcount_t from 6.13 on; bpf/compat.bpf.h reads both. */
enum feature_state probe_mm_lock_seq(char *detail, size_t sz)
{
	const struct btf_type *mm = struct_find("mm_struct"), *t;
	uint32_t id = mm ? member_type(mm, "mm_lock_seq") : 0;
	int plain;

	if (!mm)
		return no_btf(detail, sz);
	if (!id)
		return probe_say(detail, sz, FEATURE_NO, "struct mm_struct has no mm_lock_seq");
	plain = btf__resolve_type(kernel_btf(), id);
	t = plain > 0 ? btf__type_by_id(kernel_btf(), (uint32_t)plain) : NULL;
	if (t && btf_is_int(t))
		return probe_say(detail, sz, FEATURE_YES, "an int, as in Linux 6.4 to 6.12");
	if (t && btf_is_struct(t) && member_type(t, "sequence"))
		return probe_say(detail, sz, FEATURE_YES, "a seqcount_t, as from Linux 6.13 on");
	return probe_say(detail, sz, FEATURE_UNKNOWN, "mm_lock_seq has a type never seen before");
}

enum feature_state probe_vma_lock(char *detail, size_t sz)
{
	if (!kernel_btf())
		return no_btf(detail, sz);
	return struct_has("vm_area_struct", "vm_lock_seq") ||
			       struct_has("vm_area_struct", "vm_refcnt")
		       ? FEATURE_YES
		       : probe_say(detail, sz, FEATURE_NO,
				   "struct vm_area_struct has no vm_lock_seq");
}

/* What tells besides BTF: a file of the -rt patches, and the word in the kernel's build string. */
static bool is_rt_by_name(void)
{
	struct utsname name;
	long is_rt;

	if (!sysctl_read("/sys/kernel/realtime", &is_rt) && is_rt == 1)
		return true;
	return !uname(&name) && strstr(name.version, " PREEMPT_RT");
}

bool feature_is_rt(void)
{
	return (struct_find("rw_semaphore") && !struct_has("rw_semaphore", "count")) ||
	       is_rt_by_name();
}

enum feature_state probe_vma_files(char *detail, size_t sz)
{
	if (!struct_find("mm_struct"))
		return no_btf(detail, sz);
	if (!struct_has("vm_area_struct", "vm_lock_seq"))
		return probe_say(detail, sz, FEATURE_NO,
				 "struct vm_area_struct has no vm_lock_seq");
	if (!struct_has("mount", "mnt_id_unique"))
		return probe_say(detail, sz, FEATURE_NO, "struct mount has no mnt_id_unique");
	return FEATURE_YES;
}

bool feature_has_sequence(void)
{
	return struct_has("mm_struct", "mm_lock_seq");
}

enum feature_state probe_not_rt(char *detail, size_t sz)
{
	if (!feature_is_rt())
		return FEATURE_YES;
	return probe_say(
		detail, sz, FEATURE_PARTIAL,
		"PREEMPT_RT: every stack taken with interrupts off falls back, and is healed");
}

enum feature_state probe_cve_fix(char *detail, size_t sz)
{
	if (!kernel_btf())
		return no_btf(detail, sz);
	if (!struct_find("mmap_unlock_irq_work"))
		return probe_say(detail, sz, FEATURE_UNKNOWN,
				 "BTF has no struct mmap_unlock_irq_work");
	if (struct_has("mmap_unlock_irq_work", "active"))
		return FEATURE_YES;
	return probe_say(detail, sz, FEATURE_NO,
			 "struct mmap_unlock_irq_work has no member active");
}
