/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* sideband.c - the rings of mapping events, one a CPU. The records are decoded in side_decode.c. */
#include "collect/sideband.h"

#include <linux/perf_event.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define RECORD_MAX 65536 /* perf_event_header.size is 16 bits wide */
#define EVENT_MAX  8192  /* the longest event has a path of PATH_MAX bytes */

struct side_ring {
	uint32_t cpu;
	int fd;
	struct perf_event_mmap_page *page;
	uint64_t last_ns; /* of the last record read, or of the opening */
	uint64_t lost;    /* events without room, as LOST records told */
	bool has_lost;    /* the kernel counts them itself */
	bool is_online;   /* else it is to be read once more, and released */
};

struct sideband {
	struct side_ring *rings;
	size_t cnt, cap;
	int epoll_fd;
	uint64_t lost; /* of rings that are gone */
	bool is_urgent;
	size_t page_sz;
	uint64_t checked_ns;             /* when the list of CPUs was last looked at */
	bool is_gap;                     /* a CPU came online since: its first events were missed */
	uint64_t record[RECORD_MAX / 8]; /* one that wraps around, in one piece */
};

static void ring_release(struct side_ring *r, size_t page_sz)
{
	if (r->page)
		munmap(r->page, page_sz + SIDEBAND_RING_SZ);
	if (r->fd >= 0)
		close(r->fd);
}

void sideband_close(struct sideband *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->cnt; i++)
		ring_release(&s->rings[i], s->page_sz);
	free(s->rings);
	if (s->epoll_fd >= 0)
		close(s->epoll_fd);
	free(s);
}

static int event_open(struct perf_event_attr *attr, uint32_t cpu)
{
	return (int)syscall(SYS_perf_event_open, attr, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC);
}

static uint64_t ring_lost(const struct side_ring *r)
{
	struct {
		uint64_t value, lost;
	} now;

	return r->has_lost && read(r->fd, &now, sizeof(now)) == sizeof(now) ? now.lost : r->lost;
}

static int ring_open(struct sideband *s, uint32_t cpu, struct side_ring *ret, struct error *e)
{
	struct perf_event_attr attr = {
		.size = sizeof(attr),
		.type = PERF_TYPE_SOFTWARE,
		.config = PERF_COUNT_SW_DUMMY,
		.sample_type = PERF_SAMPLE_TIME,
		.sample_id_all = 1,
		.read_format = PERF_FORMAT_LOST, /* Linux 6.0 */
		.mmap = 1,
		.mmap2 = 1,
		.build_id = 1, /* Linux 5.12 */
		.comm = 1,
		.comm_exec = 1,
		.task = 1,
		.use_clockid = 1,
		.clockid = CLOCK_MONOTONIC,
		.watermark = 1,
		.wakeup_watermark = s->is_urgent ? 1 : SIDEBAND_RING_SZ / 2,
	};
	struct side_ring r = { .cpu = cpu, .last_ns = clock_mono_ns(), .is_online = true };
	struct epoll_event ev = { .events = EPOLLIN };
	int err;

	r.fd = event_open(&attr, cpu);
	if (r.fd < 0 && errno == EINVAL) {
		attr.read_format = 0;
		r.fd = event_open(&attr, cpu);
	}
	r.has_lost = attr.read_format;
	if (r.fd < 0)
		return error_errno(e, errno,
				   "cannot open the side band of mapping events on CPU %u", cpu);
	r.page = mmap(NULL, s->page_sz + SIDEBAND_RING_SZ, PROT_READ | PROT_WRITE, MAP_SHARED, r.fd,
		      0);
	if (r.page == MAP_FAILED) {
		r.page = NULL;
		err = error_errno(e, errno, "cannot map the side band's ring of CPU %u", cpu);
		error_advise(e, "raise kernel.perf_event_mlock_kb, or run with CAP_IPC_LOCK");
	} else if (epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, r.fd, &ev)) {
		err = error_errno(e, errno, "cannot wait for the side band of CPU %u", cpu);
	} else {
		*ret = r;
		return 0;
	}
	ring_release(&r, s->page_sz);
	return err;
}

static bool has_ring(const struct sideband *s, uint32_t cpu)
{
	for (size_t i = 0; i < s->cnt; i++)
		if (s->rings[i].cpu == cpu && s->rings[i].is_online)
			return true;
	return false;
}

static bool is_listed(const uint32_t *cpus, size_t cnt, uint32_t cpu)
{
	for (size_t i = 0; i < cnt; i++)
		if (cpus[i] == cpu)
			return true;
	return false;
}

/* Rings of CPUs that went offline: the kernel has stopped their events, and what was in them has been read. */
static void rings_prune(struct sideband *s)
{
	size_t kept = 0;

	for (size_t i = 0; i < s->cnt; i++) {
		if (s->rings[i].is_online) {
			s->rings[kept++] = s->rings[i];
			continue;
		}
		s->lost += ring_lost(&s->rings[i]);
		ring_release(&s->rings[i], s->page_sz);
	}
	s->cnt = kept;
}

int sideband_add_cpus(struct sideband *s, struct error *e)
{
	uint32_t *cpus CLEANUP(cleanup_free) = NULL;
	uint64_t now_ns = clock_mono_ns();
	size_t cnt;
	int err = cpus_online(&cpus, &cnt);

	if (err)
		return error_errno(e, -err, "cannot read which CPUs are online");
	err = array_reserve(&s->rings, &s->cap, s->cnt + cnt, sizeof(*s->rings), 2 * 65536);
	if (err)
		return error_errno(e, -err, "cannot open the side band");
	for (size_t i = 0; i < s->cnt; i++)
		s->rings[i].is_online &= is_listed(cpus, cnt, s->rings[i].cpu);
	for (size_t i = 0; i < cnt && !err; i++) {
		if (has_ring(s, cpus[i]))
			continue;
		err = ring_open(s, cpus[i], &s->rings[s->cnt], e);
		if (err == -ENODEV)
			err = 0; /* offline again already */
		else if (!err)
			s->cnt++, s->is_gap = s->checked_ns != 0;
	}
	if (!s->is_gap)
		s->checked_ns = now_ns;
	return err;
}

int sideband_open(bool is_urgent, struct sideband **ret, struct error *e)
{
	struct sideband *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return error_errno(e, ENOMEM, "cannot open the side band");
	s->is_urgent = is_urgent;
	s->page_sz = (size_t)sysconf(_SC_PAGESIZE);
	s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	err = s->epoll_fd >= 0 ? 0 : error_errno(e, errno, "cannot open the side band");
	if (!err)
		err = sideband_add_cpus(s, e);
	if (err) {
		sideband_close(s);
		return err;
	}
	*ret = s;
	return 0;
}

/* The record at tail, in one piece: in the ring, or copied where it wraps. */
static const void *record_at(struct sideband *s, const uint8_t *data, uint64_t tail, size_t sz)
{
	size_t at = tail & (SIDEBAND_RING_SZ - 1), first = SIDEBAND_RING_SZ - at;

	if (sz <= first)
		return data + at;
	memcpy(s->record, data + at, first);
	memcpy((uint8_t *)s->record + first, data, sz - first);
	return s->record;
}

/* An event may have found no room since the last one. The kernel tells with the next that finds some: too late. */
static int full_tell(struct side_ring *r, int (*on_event)(void *ctx, const struct side_event *e),
		     void *ctx)
{
	struct side_event e = {
		.kind = SIDE_LOST,
		.since_ns = r->last_ns,
		.time_ns = clock_mono_ns(),
	};

	r->last_ns = e.time_ns;
	return on_event(ctx, &e);
}

static int ring_read(struct sideband *s, struct side_ring *r,
		     int (*on_event)(void *ctx, const struct side_event *e), void *ctx)
{
	const uint8_t *data = (uint8_t *)r->page + s->page_sz;
	uint64_t head = __atomic_load_n(&r->page->data_head, __ATOMIC_ACQUIRE);
	uint64_t tail = r->page->data_tail, old_tail = tail;
	int err = 0;

	while (tail < head && !err) {
		const struct perf_event_header *h =
			(void *)(data + (tail & (SIDEBAND_RING_SZ - 1)));
		size_t sz = h->size;
		struct side_event e;

		if (sz < sizeof(*h) || sz > head - tail)
			return -EINVAL; /* the kernel never does this */
		if (!side_decode(record_at(s, data, tail, sz), sz, &e)) {
			if (e.kind == SIDE_LOST) {
				r->lost += e.lost_cnt;
				e.since_ns = r->last_ns;
			}
			r->last_ns = e.time_ns;
			err = on_event(ctx, &e);
		}
		tail += sz;
	}
	__atomic_store_n(&r->page->data_tail, tail, __ATOMIC_RELEASE);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	/* How full it got while the kernel took it to begin at old_tail */
	head = __atomic_load_n(&r->page->data_head, __ATOMIC_ACQUIRE);
	return !err && head - old_tail > SIDEBAND_RING_SZ - EVENT_MAX ? full_tell(r, on_event, ctx)
								      : err;
}

int sideband_read(struct sideband *s, int (*on_event)(void *ctx, const struct side_event *e),
		  void *ctx)
{
	int err = 0;

	if (s->is_gap) { /* what the new CPU did before it was heard is unknown */
		struct side_event e = {
			.kind = SIDE_LOST,
			.since_ns = s->checked_ns,
			.time_ns = clock_mono_ns(),
		};

		s->is_gap = false;
		s->checked_ns = e.time_ns;
		err = on_event(ctx, &e);
	}
	for (size_t i = 0; i < s->cnt && !err; i++)
		err = ring_read(s, &s->rings[i], on_event, ctx);
	if (!err)
		rings_prune(s);
	return err;
}

int sideband_poll_fd(const struct sideband *s)
{
	return s->epoll_fd;
}

uint64_t sideband_lost(const struct sideband *s)
{
	uint64_t lost = s->lost;

	for (size_t i = 0; i < s->cnt; i++)
		lost += ring_lost(&s->rings[i]);
	return lost;
}
