/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * kernel_kit.h - loads chosen programs of kernel_facts.bpf.c, takes stacks with them, and compares
 * every frame with what it has to be.
 */
#ifndef BSTACK_KERNEL_KIT_H
#define BSTACK_KERNEL_KIT_H

#include <errno.h>
#include <inttypes.h>
#include <linux/perf_event.h>
#include <sched.h>
#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "forge.h"
#include "kernel_facts.h"
#include "kernel_facts.skel.h"
#include "test.h"

#define KIT_WAIT_NS   60000000000ULL /* the longest wait for anything, on a busy host's guest too */
#define KIT_PROGS_MAX 2
#define CAN(status)   (1U << (status))
#define CAN_BE_VALID  CAN(BPF_STACK_BUILD_ID_VALID)
#define CAN_BE_IP     CAN(BPF_STACK_BUILD_ID_IP)

struct kit {
	struct kernel_facts_bpf *skel;
	struct bpf_link *links[KIT_PROGS_MAX];
	int perf_fd;
};

/* What a frame has to be. */
struct expect {
	const char *what;
	uint64_t ip;
	uint64_t offset; /* when VALID */
	uint8_t id[FORGE_ID_SZ];
	unsigned int can_be; /* CAN_BE_* */
};

static char
	kit_log[65536]; /* libbpf's words; their end is shown when a load fails that should not */

static const char *kit_log_tail(void)
{
	size_t len = strlen(kit_log);

	return kit_log + (len > 1500 ? len - 1500 : 0);
}

__attribute__((format(printf, 2, 0))) static int kit_print(enum libbpf_print_level level,
							   const char *fmt, va_list ap)
{
	size_t used = strlen(kit_log);

	if (level <= LIBBPF_INFO)
		vsnprintf(kit_log + used, sizeof(kit_log) - used, fmt, ap);
	return 0;
}

__attribute__((unused)) static uint64_t kit_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* Waits, spinning, until *flag is value; false after KIT_WAIT_NS. */
__attribute__((unused)) static bool kit_wait(const uint32_t *flag, uint32_t value)
{
	uint64_t deadline_ns = kit_now_ns() + KIT_WAIT_NS;

	while (__atomic_load_n(flag, __ATOMIC_ACQUIRE) != value) {
		if (kit_now_ns() > deadline_ns)
			return false;
	}
	return true;
}

__attribute__((unused)) static bool kit_is_rt(void)
{
	struct utsname u;

	return !uname(&u) && strstr(u.version, "PREEMPT_RT");
}

/* NULL: the tests can run here; otherwise why not. */
__attribute__((unused)) static const char *kit_obstacle(void)
{
	if (!FORGE_HAS_STACKS)
		return "hand-made stacks are written for x86-64";
	if (geteuid())
		return "needs root";
	return NULL;
}

#define KIT_NEEDS()                                 \
	do {                                        \
		if (kit_obstacle())                 \
			SKIP("%s", kit_obstacle()); \
	} while (0)

static void kit_close(struct kit *k)
{
	for (int i = 0; i < KIT_PROGS_MAX; i++)
		bpf_link__destroy(k->links[i]);
	if (k->perf_fd >= 0)
		close(k->perf_fd);
	kernel_facts_bpf__destroy(k->skel);
	*k = (struct kit){ .perf_fd = -1 };
}

/* cpu-clock, 1 kHz, of the calling thread: an hrtimer, so its programs run in hardirq. */
static int kit_perf_open(void)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.size = sizeof(attr),
		.config = PERF_COUNT_SW_CPU_CLOCK,
		.sample_period = 1000000,
		.exclude_kernel = 1,
	};

	return (int)syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
}

static struct bpf_program *kit_prog(struct kit *k, const char *name)
{
	return bpf_object__find_program_by_name(k->skel->obj, name);
}

/* Opens the skeleton with only the named programs; 0 or -errno. */
static int kit_open(struct kit *k, const char *const names[KIT_PROGS_MAX])
{
	struct bpf_program *p;
	struct stat st;

	kit_log[0] = '\0';
	libbpf_set_print(kit_print);
	*k = (struct kit){ .perf_fd = -1 };
	/* khugepaged would now and then hold our lock for writing */
	prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
	if (stat("/proc/self/ns/pid", &st))
		return -errno;
	k->skel = kernel_facts_bpf__open();
	if (!k->skel)
		return -errno;
	bpf_object__for_each_program(p, k->skel->obj)
		bpf_program__set_autoload(p, false);
	for (int i = 0; i < KIT_PROGS_MAX && names[i]; i++)
		bpf_program__set_autoload(kit_prog(k, names[i]), true);
	k->skel->rodata->pidns_dev = st.st_dev;
	k->skel->rodata->pidns_ino = st.st_ino;
	return 0;
}

/* Loads and attaches what kit_open chose; 0 or -errno. */
static int kit_start(struct kit *k, const char *const names[KIT_PROGS_MAX])
{
	int err = kernel_facts_bpf__load(k->skel);

	for (int i = 0; i < KIT_PROGS_MAX && names[i] && !err; i++) {
		struct bpf_program *p = kit_prog(k, names[i]);

		if (bpf_program__type(p) == BPF_PROG_TYPE_PERF_EVENT) {
			k->perf_fd = kit_perf_open();
			if (k->perf_fd < 0)
				return -errno;
			k->links[i] = bpf_program__attach_perf_event(p, k->perf_fd);
		} else {
			k->links[i] = bpf_program__attach(p);
		}
		if (!k->links[i])
			err = -errno;
	}
	if (!err)
		k->skel->bss->wish.tid = (uint32_t)gettid();
	return err;
}

/* Opens and starts; a failure fails the test. */
__attribute__((unused)) static bool kit_run(struct kit *k, const char *name, const char *name2)
{
	const char *const names[KIT_PROGS_MAX] = { name, name2 };
	int err = kit_open(k, names);

	if (!err)
		err = kit_start(k, names);
	if (!err)
		return true;
	test_fail(__FILE__, __LINE__, "cannot load and attach %s: %s\n%s", name, strerror(-err),
		  kit_log_tail());
	kit_close(k);
	return false;
}

__attribute__((unused)) static void kit_arm(struct kit *k, enum kf_place place)
{
	struct kf_wish *w = &k->skel->bss->wish;

	memset(&k->skel->bss->result, 0, sizeof(k->skel->bss->result));
	w->place = place;
	__atomic_store_n(&w->is_done, 0, __ATOMIC_RELEASE);
	__atomic_store_n(&w->is_armed, 1, __ATOMIC_RELEASE);
}

__attribute__((unused)) static bool kit_is_done(struct kit *k)
{
	return __atomic_load_n(&k->skel->bss->wish.is_done, __ATOMIC_ACQUIRE);
}

/* Takes the stacks in a system call of ours. */
__attribute__((unused)) static bool kit_syscall(struct kit *k, enum kf_place place,
						const struct forge_frame *chain)
{
	const uint64_t none[6] = { 0 };

	kit_arm(k, place);
	forge_syscall(SYS_getppid, none, chain);
	return CHECK(kit_is_done(k));
}

/* --- frames --- */

/* A frame of this process's own files: VALID, with what the loader and the maps say. */
__attribute__((unused)) static struct expect expect_own(const char *what, uint64_t ip)
{
	struct forge_truth t = forge_truth_of(ip);
	struct expect e = { .what = what, .ip = ip, .offset = t.offset, .can_be = CAN_BE_VALID };

	CHECK(t.has_id);
	CHECK(t.has_offset);
	memcpy(e.id, t.id, sizeof(e.id));
	return e;
}

static void id_text(char text[2 * FORGE_ID_SZ + 1], const uint8_t *id)
{
	for (int i = 0; i < FORGE_ID_SZ; i++)
		sprintf(text + 2 * i, "%02x", id[i]);
}

static bool frame_check(const char *stack, const struct expect *e, unsigned int can_be,
			const struct bpf_stack_build_id *f)
{
	char is[2 * FORGE_ID_SZ + 1], should[2 * FORGE_ID_SZ + 1];

	if (f->status < 0 || f->status > 2 || !(can_be & CAN(f->status))) {
		test_fail(__FILE__, __LINE__,
			  "%s: %s: status is %d, allowed are 0x%x (1 << status)", stack, e->what,
			  f->status, can_be);
		return false;
	}
	if (f->status == BPF_STACK_BUILD_ID_IP) {
		if (f->ip == e->ip)
			return true;
		test_fail(__FILE__, __LINE__, "%s: %s: IP is 0x%llx, expected 0x%" PRIx64, stack,
			  e->what, f->ip, e->ip);
		return false;
	}
	if (f->offset == e->offset && !memcmp(f->build_id, e->id, FORGE_ID_SZ))
		return true;
	id_text(is, f->build_id);
	id_text(should, e->id);
	test_fail(__FILE__, __LINE__, "%s: %s: VALID is %s+0x%llx, expected %s+0x%" PRIx64, stack,
		  e->what, is, f->offset, should, e->offset);
	return false;
}

/* can_be 0: each frame as its own expectation; otherwise all of them this. */
__attribute__((unused)) static bool stack_check(const char *name,
						const struct bpf_stack_build_id *f, int64_t len,
						const struct expect *e, size_t cnt,
						unsigned int can_be)
{
	bool ok = true;

	if (len != (int64_t)(cnt * sizeof(*f))) {
		test_fail(__FILE__, __LINE__, "%s: %" PRId64 " bytes, expected %zu frames of %zu",
			  name, len, cnt, sizeof(*f));
		return false;
	}
	for (size_t i = 0; i < cnt; i++)
		ok &= frame_check(name, &e[i], can_be ? can_be : e[i].can_be, &f[i]);
	return ok;
}

__attribute__((unused)) static bool ips_check(const struct kf_result *r, const struct expect *e,
					      size_t cnt)
{
	bool ok = CHECK_EQ(r->ips_len, cnt * sizeof(r->ips[0]));

	for (size_t i = 0; ok && i < cnt; i++)
		ok &= CHECK_EQ(r->ips[i], e[i].ip);
	return ok;
}

/* The stack that bpf_get_stackid stored, padded with zeros; removed from the map. */
__attribute__((unused)) static bool stackmap_take(struct kit *k,
						  struct bpf_stack_build_id f[KF_FRAMES])
{
	int fd = bpf_map__fd(k->skel->maps.stacks);
	int64_t id = k->skel->bss->result.stackid;
	uint32_t key = (uint32_t)id;

	memset(f, 0, KF_FRAMES * sizeof(*f));
	if (!CHECK(id >= 0))
		return false;
	return CHECK_EQ(bpf_map_lookup_elem(fd, &key, f), 0) &&
	       CHECK_EQ(bpf_map_delete_elem(fd, &key), 0);
}

/* The stackmap holds exactly these frames and nothing after them. */
__attribute__((unused)) static bool stackmap_check(struct kit *k,
						   const struct bpf_stack_build_id *f, size_t cnt)
{
	static const struct bpf_stack_build_id empty;
	struct bpf_stack_build_id g[KF_FRAMES];
	bool ok = true;

	if (!stackmap_take(k, g))
		return false;
	for (size_t i = 0; i < KF_FRAMES; i++) {
		if (memcmp(&g[i], i < cnt ? &f[i] : &empty, sizeof(g[i]))) {
			test_fail(__FILE__, __LINE__,
				  "frame %zu of the stackmap differs: status %d, 0x%llx", i,
				  g[i].status, g[i].ip);
			ok = false;
		}
	}
	return ok;
}

#endif
