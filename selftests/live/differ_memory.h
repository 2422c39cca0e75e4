/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * differ_memory.h - a process's memory as it was at a sample: the copied stack and the red zone below it; what the
 * process cannot write; and, of a process that rests in all frames but its newest, the rest.
 */
#ifndef BSTACK_DIFFER_MEMORY_H
#define BSTACK_DIFFER_MEMORY_H

#include <fcntl.h>

#include "differ_sample.h"

#define RANGES_MAX 1024

struct range {
	uint64_t start, end;
	bool is_exec;
};

struct memory {
	const struct pair *pair;
	struct range ranges[RANGES_MAX]; /* mapped, and not writable */
	size_t range_cnt;
	bool is_frozen; /* what is neither copied nor constant did not change since */
	int fd;         /* /proc/PID/mem */
	bool has_missed;
	uint64_t missed; /* the address that could not be told last */
};

/* What cannot be written, from /proc/PID/maps. */
static bool ranges_read(pid_t pid, struct range *ranges, size_t *ret_cnt)
{
	char path[64], line[512], perms[8];
	unsigned long long start, end;
	size_t cnt = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	f = fopen(path, "re");
	if (!CHECK(f))
		return false;
	while (fgets(line, sizeof(line), f) && CHECK(cnt < RANGES_MAX))
		if (sscanf(line, "%llx-%llx %7s", &start, &end, perms) == 3 && perms[1] == '-')
			ranges[cnt++] = (struct range){ start, end, perms[2] == 'x' };
	fclose(f);
	*ret_cnt = cnt;
	return true;
}

static bool memory_open(struct memory *m, pid_t pid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	m->fd = open(path, O_RDONLY | O_CLOEXEC);
	return CHECK(m->fd >= 0) && ranges_read(pid, m->ranges, &m->range_cnt);
}

static void memory_close(struct memory *m)
{
	if (m->fd >= 0)
		close(m->fd);
	m->fd = -1;
}

/* Has the process mapped other code since memory_open? */
static bool memory_is_steady(const struct memory *m, pid_t pid)
{
	static struct range now[RANGES_MAX];
	size_t cnt, i = 0, j = 0;

	if (!ranges_read(pid, now, &cnt))
		return false;
	for (;; i++, j++) {
		while (i < m->range_cnt && !m->ranges[i].is_exec)
			i++;
		while (j < cnt && !now[j].is_exec)
			j++;
		if (i == m->range_cnt || j == cnt)
			return i == m->range_cnt && j == cnt;
		if (m->ranges[i].start != now[j].start || m->ranges[i].end != now[j].end)
			return false;
	}
}

static bool is_constant(const struct memory *m, uint64_t addr)
{
	for (size_t i = 0; i < m->range_cnt; i++)
		if (addr >= m->ranges[i].start && addr + 8 <= m->ranges[i].end)
			return true;
	return m->is_frozen;
}

static bool is_code(const struct memory *m, uint64_t addr)
{
	for (size_t i = 0; i < m->range_cnt; i++)
		if (m->ranges[i].is_exec && addr >= m->ranges[i].start && addr < m->ranges[i].end)
			return true;
	return false;
}

static bool memory_read(struct memory *m, uint64_t addr, uint64_t *ret)
{
	const struct pair *p = m->pair;
	uint64_t sp = p->ours.at.sp, red = sp - DIFFER_RED_ZONE;

	if (addr >= sp && addr - sp + 8 <= p->stack_sz) {
		memcpy(ret, p->stack + (addr - sp), 8);
		return true;
	}
	if (p->ours.has_red_zone && addr >= red && addr - red + 8 <= DIFFER_RED_ZONE) {
		memcpy(ret, p->ours.red_zone + (addr - red), 8);
		return true;
	}
	if (is_constant(m, addr) && pread(m->fd, ret, 8, (off_t)addr) == 8)
		return true;
	m->has_missed = true;
	m->missed = addr;
	return false;
}

#endif
