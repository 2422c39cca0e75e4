/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * side_decode.c - one record of the side band, and the list of CPUs. Layouts: perf_event_open(2),
 * include/uapi/linux/perf_event.h. Each record ends in the sample id, here the time alone.
 */
#include "collect/sideband.h"

#include <fcntl.h>
#include <linux/perf_event.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MISC_MMAP_BUILD_ID (1 << 14) /* PERF_RECORD_MISC_MMAP_BUILD_ID, Linux 5.12 */
#define MISC_COMM_EXEC     (1 << 13)

struct record_mmap2 {
	uint32_t pid, tid;
	uint64_t addr, len, pgoff;
	uint8_t build_id_sz, reserved[3];
	uint8_t build_id[BUILD_ID_MAX];
	uint32_t prot, flags;
	char filename[];
};
struct record_task { /* FORK and EXIT */
	uint32_t pid, ppid, tid, ptid;
	uint64_t time_ns;
};
struct record_comm {
	uint32_t pid, tid;
};
struct record_lost {
	uint64_t id, lost;
};

static int decode_mmap2(const struct record_mmap2 *r, size_t len, bool has_build_id,
			struct side_event *e)
{
	if (len <= sizeof(*r) || !memchr(r->filename, '\0', len - sizeof(*r)))
		return -EINVAL;
	if (r->addr > UINT64_MAX - r->len || !r->len)
		return -EINVAL;
	e->kind = SIDE_MMAP;
	e->pid = r->pid;
	e->tid = r->tid;
	e->start = r->addr;
	e->end = r->addr + r->len;
	e->off = r->pgoff;
	e->path = r->filename;
	e->is_exec = r->prot & PROT_EXEC;
	if (has_build_id && r->build_id_sz <= BUILD_ID_MAX) {
		e->build_id.sz = r->build_id_sz;
		memcpy(e->build_id.bytes, r->build_id, r->build_id_sz);
	}
	return 0;
}

/* Threads are of no interest: only processes are born and die here. */
static int decode_task(const struct record_task *r, size_t len, bool is_fork, struct side_event *e)
{
	if (len < sizeof(*r))
		return -EINVAL;
	if (is_fork ? r->pid == r->ppid : r->pid != r->tid)
		return 1;
	e->kind = is_fork ? SIDE_FORK : SIDE_EXIT;
	e->pid = r->pid;
	e->tid = r->tid;
	e->ppid = r->ppid;
	return 0;
}

int side_decode(const void *record, size_t len, struct side_event *ret)
{
	const struct perf_event_header *h = record;
	const void *body = h + 1;
	struct side_event e = {};
	size_t body_len;
	int err;

	if (len < sizeof(*h) + sizeof(uint64_t) || len % 8)
		return -EINVAL;
	body_len = len - sizeof(*h) - sizeof(uint64_t);
	memcpy(&e.time_ns, (const uint8_t *)record + len - sizeof(uint64_t), sizeof(uint64_t));
	switch (h->type) {
	case PERF_RECORD_MMAP2:
		err = decode_mmap2(body, body_len, h->misc & MISC_MMAP_BUILD_ID, &e);
		break;
	case PERF_RECORD_FORK:
	case PERF_RECORD_EXIT:
		err = decode_task(body, body_len, h->type == PERF_RECORD_FORK, &e);
		break;
	case PERF_RECORD_COMM:
		if (body_len < sizeof(struct record_comm))
			return -EINVAL;
		e.kind = SIDE_EXEC;
		e.pid = ((const struct record_comm *)body)->pid;
		e.tid = ((const struct record_comm *)body)->tid;
		err = h->misc & MISC_COMM_EXEC ? 0 : 1;
		break;
	case PERF_RECORD_LOST:
		if (body_len < sizeof(struct record_lost))
			return -EINVAL;
		e.kind = SIDE_LOST;
		e.lost_cnt = ((const struct record_lost *)body)->lost;
		err = 0;
		break;
	default:
		return 1;
	}
	if (!err)
		*ret = e;
	return err;
}

/* "0-3,5": the kernel's list format. */
int cpus_online(uint32_t **ret, size_t *ret_cnt)
{
	int fd CLEANUP(cleanup_close) =
		open("/sys/devices/system/cpu/online", O_RDONLY | O_CLOEXEC);
	uint32_t *cpus = NULL;
	size_t cnt = 0, cap = 0;
	char text[4096], *p = text;
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read_some(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return n ? -errno : -EIO;
	text[n] = '\0';
	while (*p >= '0' && *p <= '9') {
		unsigned long first = strtoul(p, &p, 10), last = first;

		if (*p == '-')
			last = strtoul(p + 1, &p, 10);
		for (unsigned long cpu = first; cpu <= last && cpu < 65536; cpu++) {
			if (array_reserve(&cpus, &cap, cnt + 1, sizeof(*cpus), 65536)) {
				free(cpus);
				return -ENOMEM;
			}
			cpus[cnt++] = (uint32_t)cpu;
		}
		if (*p == ',')
			p++;
	}
	*ret = cpus;
	*ret_cnt = cnt;
	return 0;
}
