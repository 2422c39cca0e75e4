/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * differ_sample.h - takes samples of one process on one CPU: what our BPF walk found, and beside it the registers
 * and the copy of the stack that the kernel wrote in the same interrupt. Both stand in order: the n-th record of one
 * ring belongs to the n-th of the other, less those that the kernel says it lost.
 */
#ifndef BSTACK_DIFFER_SAMPLE_H
#define BSTACK_DIFFER_SAMPLE_H

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/perf_event.h>
#include <asm/perf_regs.h>
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/base.h"
#include "differ.h"
#include "differ.skel.h"
#include "test.h"
#include "unwind/unwinder.h"

#define ROWS_CNT     ((size_t)6 << 20)
#define PAGES_CNT    (ROWS_CNT / BSTACK_ROWS_A_PAGE)
#define RULES_CNT    ((size_t)1 << 17)
#define MODULES_CNT  1024
#define MAPPINGS_CNT ((size_t)1 << 16)
#define STACK_SZ     ((size_t)60 << 10) /* copied of each stack: a record is below 64 KiB */
#define RING_SZ      ((size_t)64 << 20)
#define SAMPLES_MAX  960 /* what the ring holds */
#define PERIOD_NS    1000000
#define WAIT_NS      (120 * NSEC_PER_SEC) /* the longest wait for anything */

/* One sample, both sides. */
struct pair {
	struct differ_record ours;
	uint32_t pid, tid;
	uint64_t regs_abi;
	uint64_t regs[PERF_REG_X86_64_MAX]; /* by PERF_REG_X86_* */
	uint8_t *stack;                     /* [sp, sp + stack_sz) */
	size_t stack_sz;
};

struct sampler {
	struct differ_bpf *skel;
	struct ring_buffer *ring;
	struct unwind_maps maps;
	struct unwinder *unwinder;
	int perf_fd;
	uint32_t cpu;
	struct perf_event_mmap_page *page;
	struct differ_record *records;
	size_t record_cnt;
	struct pair *pairs;
	size_t pair_cnt;
	uint64_t lost; /* samples that the kernel could not write */
};

#define REGS_MASK                                                                         \
	(0xffULL << PERF_REG_X86_R8 | 1ULL << PERF_REG_X86_AX | 1ULL << PERF_REG_X86_BX | \
	 1ULL << PERF_REG_X86_CX | 1ULL << PERF_REG_X86_DX | 1ULL << PERF_REG_X86_SI |    \
	 1ULL << PERF_REG_X86_DI | 1ULL << PERF_REG_X86_BP | 1ULL << PERF_REG_X86_SP |    \
	 1ULL << PERF_REG_X86_IP)

static int process_set(void *ctx, uint32_t pid, const struct bstack_process *p)
{
	struct sampler *s = ctx;

	return bpf_map_update_elem(bpf_map__fd(s->skel->maps.processes), &pid, p, BPF_ANY) ? -errno
											   : 0;
}

static int process_drop(void *ctx, uint32_t pid)
{
	struct sampler *s = ctx;

	return bpf_map_delete_elem(bpf_map__fd(s->skel->maps.processes), &pid) ? -errno : 0;
}

/* What the walk could ask the kernel for is not used: see differ.bpf.c. */
static int inode_ignore(void *ctx, const struct bstack_inode *i,
			const struct bstack_inode_module *m)
{
	(void)ctx, (void)i, (void)m;
	return 0;
}

static int quiet(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	return level == LIBBPF_WARN && getenv("BSTACK_DEBUG") ? vfprintf(stderr, fmt, ap) : 0;
}

/* An array's memory, shared with BPF. */
static void *array_map(struct bpf_map *map, size_t sz)
{
	void *data = mmap(NULL, sz, PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(map), 0);

	return CHECK(data != MAP_FAILED) ? data : NULL;
}

static bool tables_open(struct sampler *s)
{
	struct unwind_maps *u = &s->maps;

	u->rows = array_map(s->skel->maps.rows, u->row_cnt * sizeof(*u->rows));
	u->pages = array_map(s->skel->maps.pages, u->page_cnt * sizeof(*u->pages));
	u->rules = array_map(s->skel->maps.rules, u->rule_cnt * sizeof(*u->rules));
	u->modules = array_map(s->skel->maps.modules, u->module_cnt * sizeof(*u->modules));
	u->mappings = array_map(s->skel->maps.mappings, u->mapping_cnt * sizeof(*u->mappings));
	return u->rows && u->pages && u->rules && u->modules && u->mappings &&
	       CHECK_EQ(unwinder_new(u, &s->unwinder), 0);
}

/* Each mapping's table is there, or will never be. */
static bool tables_are_ready(const struct sampler *s, const struct bstack_process *p)
{
	for (uint32_t i = 0; i < p->cnt; i++) {
		uint32_t module = s->maps.mappings[p->first + i].module;

		if (module == BSTACK_MODULE_PENDING ||
		    (module < MODULES_CNT && !s->maps.modules[module].row_cnt &&
		     !s->maps.modules[module].instead))
			return false;
	}
	return true;
}

/* Tables of all that a process has mapped now; *ret is what BPF knows of it then. */
static bool tables_make(struct sampler *s, pid_t pid, struct bstack_process *ret)
{
	uint32_t id = (uint32_t)pid;

	if (!CHECK_EQ(unwinder_snapshot(s->unwinder, id), 0))
		return false;
	unwinder_wait(s->unwinder, clock_mono_ns() + WAIT_NS);
	return CHECK_EQ(unwinder_commit(s->unwinder), 0) &&
	       CHECK_EQ(unwinder_counters(s->unwinder)->no_room, 0) &&
	       CHECK_EQ(unwinder_counters(s->unwinder)->evicted, 0) &&
	       CHECK_EQ(bpf_map_lookup_elem(bpf_map__fd(s->skel->maps.processes), &id, ret), 0) &&
	       CHECK(tables_are_ready(s, ret));
}

static bool programs_load(struct sampler *s)
{
	struct differ_bpf *skel = s->skel;
	struct stat st;

	s->maps = (struct unwind_maps){
		.row_cnt = ROWS_CNT,
		.page_cnt = PAGES_CNT,
		.rule_cnt = RULES_CNT,
		.module_cnt = MODULES_CNT,
		.mapping_cnt = MAPPINGS_CNT,
		.process_set = process_set,
		.process_drop = process_drop,
		.inode_set = inode_ignore,
		.ctx = s,
	};
	if (!CHECK_EQ(stat("/proc/self/ns/pid", &st), 0))
		return false;
	/* PROC_PID_INIT_INO: the initial namespace */
	skel->rodata->settings.pidns_inum = st.st_ino == 0xeffffffcU ? 0 : (uint32_t)st.st_ino;
	if (bpf_map__set_max_entries(skel->maps.scratches, (uint32_t)libbpf_num_possible_cpus()) ||
	    bpf_map__set_max_entries(skel->maps.rows, ROWS_CNT) ||
	    bpf_map__set_max_entries(skel->maps.pages, PAGES_CNT) ||
	    bpf_map__set_max_entries(skel->maps.rules, RULES_CNT) ||
	    bpf_map__set_max_entries(skel->maps.modules, MODULES_CNT) ||
	    bpf_map__set_max_entries(skel->maps.mappings, MAPPINGS_CNT))
		return CHECK(!"the sizes of the arrays can be set");
	return CHECK_EQ(differ_bpf__load(skel), 0) && tables_open(s);
}

static int record_take(void *ctx, void *data, size_t sz)
{
	struct sampler *s = ctx;

	if (sz < sizeof(*s->records) || s->record_cnt == SAMPLES_MAX)
		return -EINVAL;
	memcpy(&s->records[s->record_cnt++], data, sizeof(*s->records));
	return 0;
}

/* The event, switched off, on a CPU that we, and so our children, may use. */
static bool event_open(struct sampler *s)
{
	struct perf_event_attr attr = {
		.size = sizeof(attr),
		.type = PERF_TYPE_SOFTWARE,
		.config = PERF_COUNT_SW_CPU_CLOCK,
		.sample_period = PERIOD_NS,
		.sample_type = PERF_SAMPLE_TID | PERF_SAMPLE_REGS_USER | PERF_SAMPLE_STACK_USER,
		.sample_regs_user = REGS_MASK,
		.sample_stack_user = STACK_SZ,
		.disabled = 1,
		.exclude_idle = 1,
	};
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	s->perf_fd = (int)syscall(SYS_perf_event_open, &attr, -1, s->cpu, -1, PERF_FLAG_FD_CLOEXEC);
	if (!CHECK(s->perf_fd >= 0))
		return false;
	s->page = mmap(NULL, page + RING_SZ, PROT_READ | PROT_WRITE, MAP_SHARED, s->perf_fd, 0);
	if (s->page == MAP_FAILED)
		s->page = NULL;
	return CHECK(s->page) && CHECK_EQ(ioctl(s->perf_fd, PERF_EVENT_IOC_SET_BPF,
						bpf_program__fd(s->skel->progs.on_sample)),
					  0);
}

static bool sampler_open(struct sampler *s)
{
	cpu_set_t cpus;

	*s = (struct sampler){ .perf_fd = -1 };
	libbpf_set_print(quiet);
	if (!CHECK_EQ(sched_getaffinity(0, sizeof(cpus), &cpus), 0))
		return false;
	while (!CPU_ISSET(s->cpu, &cpus))
		s->cpu++;
	s->records = calloc(SAMPLES_MAX, sizeof(*s->records));
	s->pairs = calloc(SAMPLES_MAX, sizeof(*s->pairs));
	s->skel = differ_bpf__open();
	if (!CHECK(s->records && s->pairs && s->skel) || !programs_load(s))
		return false;
	s->ring = ring_buffer__new(bpf_map__fd(s->skel->maps.samples), record_take, s, NULL);
	return CHECK(s->ring) && event_open(s);
}

static void pairs_release(struct sampler *s)
{
	for (size_t i = 0; i < s->pair_cnt; i++)
		free(s->pairs[i].stack);
	memset(s->pairs, 0, SAMPLES_MAX * sizeof(*s->pairs));
	s->pair_cnt = s->record_cnt = 0;
}

static void sampler_close(struct sampler *s)
{
	if (s->pairs)
		pairs_release(s);
	if (s->page)
		munmap(s->page, (size_t)sysconf(_SC_PAGESIZE) + RING_SZ);
	if (s->perf_fd >= 0)
		close(s->perf_fd);
	ring_buffer__free(s->ring);
	unwinder_free(s->unwinder);
	differ_bpf__destroy(s->skel);
	free(s->records);
	free(s->pairs);
}

/* A perf record's next 8 bytes. */
static uint64_t take_u64(const uint8_t **p)
{
	uint64_t v;

	memcpy(&v, *p, sizeof(v));
	*p += sizeof(v);
	return v;
}

/* PERF_RECORD_SAMPLE as event_open asked for it. */
static bool sample_decode(const uint8_t *p, size_t sz, struct pair *ret)
{
	const uint8_t *end = p + sz;
	uint64_t ids, len, copied = 0;

	p += sizeof(struct perf_event_header);
	ids = take_u64(&p);
	ret->pid = (uint32_t)ids;
	ret->tid = (uint32_t)(ids >> 32);
	ret->regs_abi = take_u64(&p);
	for (int i = 0; i < PERF_REG_X86_64_MAX && ret->regs_abi; i++)
		if (REGS_MASK >> i & 1)
			ret->regs[i] = take_u64(&p);
	len = take_u64(&p);
	if (len > (size_t)(end - p))
		return CHECK(!"the stack lies inside the record");
	if (len)
		memcpy(&copied, p + len, sizeof(copied));
	if (!CHECK(copied <= len))
		return false;
	ret->stack = malloc(copied + 1);
	ret->stack_sz = copied;
	if (!CHECK(ret->stack))
		return false;
	memcpy(ret->stack, p, copied);
	return true;
}

/* Pair what the perf ring holds with our records. */
static void perf_read(struct sampler *s)
{
	static uint8_t record[1 << 16];
	const uint8_t *data = (uint8_t *)s->page + sysconf(_SC_PAGESIZE);
	uint64_t head = __atomic_load_n(&s->page->data_head, __ATOMIC_ACQUIRE);
	uint64_t tail = s->page->data_tail;
	size_t n = 0; /* records of ours that were seen */

	while (tail < head) {
		struct perf_event_header h;

		memcpy(&h, data + (tail & (RING_SZ - 1)), sizeof(h)); /* 8 bytes never wrap */
		for (size_t i = 0; i < h.size; i += 8)
			memcpy(record + i, data + ((tail + i) & (RING_SZ - 1)), 8);
		tail += h.size;
		if (h.type == PERF_RECORD_LOST) {
			uint64_t cnt;

			memcpy(&cnt, record + sizeof(h) + 8, sizeof(cnt));
			s->lost += cnt;
			n += cnt;
		} else if (h.type == PERF_RECORD_SAMPLE && CHECK(n < s->record_cnt)) {
			struct pair *p = &s->pairs[s->pair_cnt];

			p->ours = s->records[n++];
			s->pair_cnt += sample_decode(record, h.size, p);
		}
	}
	__atomic_store_n(&s->page->data_tail, tail, __ATOMIC_RELEASE);
	CHECK_EQ(n, s->record_cnt);
}

/* The registers of both sides are the same, or they are not of the same sample. */
static void pair_check(const struct pair *p)
{
	static const uint8_t perf_of[BSTACK_REGS_ALL] = {
		[BSTACK_BP] = PERF_REG_X86_BP,   [BSTACK_BX] = PERF_REG_X86_BX,
		[BSTACK_R12] = PERF_REG_X86_R12, [BSTACK_R13] = PERF_REG_X86_R13,
		[BSTACK_R14] = PERF_REG_X86_R14, [BSTACK_R15] = PERF_REG_X86_R15,
		[BSTACK_AX] = PERF_REG_X86_AX,   [BSTACK_CX] = PERF_REG_X86_CX,
		[BSTACK_DX] = PERF_REG_X86_DX,   [BSTACK_SI] = PERF_REG_X86_SI,
		[BSTACK_DI] = PERF_REG_X86_DI,   [BSTACK_R8] = PERF_REG_X86_R8,
		[BSTACK_R9] = PERF_REG_X86_R9,   [BSTACK_R10] = PERF_REG_X86_R10,
		[BSTACK_R11] = PERF_REG_X86_R11,
	};

	CHECK_EQ(p->pid, p->ours.pid);
	CHECK_EQ(p->tid, p->ours.tid);
	CHECK_EQ(p->regs_abi, PERF_SAMPLE_REGS_ABI_64);
	CHECK_EQ(p->regs[PERF_REG_X86_IP], p->ours.at.ip);
	CHECK_EQ(p->regs[PERF_REG_X86_SP], p->ours.at.sp);
	for (int i = 0; i < BSTACK_REGS_ALL; i++)
		CHECK_EQ(p->regs[perf_of[i]], p->ours.at.regs[i]);
}

/* cnt samples of a process, into s->pairs; fewer when it ends. */
static void samples_take(struct sampler *s, pid_t pid, uint32_t cnt)
{
	uint32_t id = (uint32_t)pid, on = BSTACK_TARGET_ON;
	int targets = bpf_map__fd(s->skel->maps.targets);
	uint64_t deadline_ns = clock_mono_ns() + WAIT_NS;

	pairs_release(s);
	s->skel->bss->taken = 0;
	s->skel->bss->wanted = cnt;
	if (!CHECK_EQ(bpf_map_update_elem(targets, &id, &on, BPF_ANY), 0) ||
	    !CHECK_EQ(ioctl(s->perf_fd, PERF_EVENT_IOC_ENABLE, 0), 0))
		return;
	while (s->skel->bss->taken < cnt && clock_mono_ns() < deadline_ns) {
		char path[64];

		snprintf(path, sizeof(path), "/proc/%d/exe", pid);
		if (access(path, R_OK))
			break;
		poll(NULL, 0, 20); /* polls a condition: taken */
	}
	CHECK_EQ(ioctl(s->perf_fd, PERF_EVENT_IOC_DISABLE, 0), 0);
	CHECK_EQ(bpf_map_delete_elem(targets, &id), 0);
	CHECK(ring_buffer__consume(s->ring) >= 0);
	perf_read(s);
	for (size_t i = 0; i < s->pair_cnt && test_failures < 20; i++)
		pair_check(&s->pairs[i]);
}

#endif
