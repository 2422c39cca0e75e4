/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* process_now.c - see process_now.h. */
#include "cmd/process_now.h"

#include <string.h>
#include <unistd.h>

#include "resolve/elfseg.h"

void process_now_release(struct process_now *p)
{
	for (size_t i = 0; i < p->cnt; i++)
		free(p->mappings[i].path);
	free(p->mappings);
	perf_map_free(p->jit);
	*p = (struct process_now){};
}

/* Without the ioctl nobody says which build-id is in memory that is no file's: look there. */
static struct build_id forged_id(const struct vma *v, pid_t pid)
{
	int fd CLEANUP(cleanup_close) = -1;
	struct elfsegs segs;

	if (v->kind != VMA_SHARED_ANON || v->build_id.sz)
		return v->build_id;
	fd = procmap_open_file(pid, v->start, v->end, "");
	if (fd < 0 || elfsegs_read(fd, &segs))
		return v->build_id;
	return segs.build_id;
}

static int mapping_add(struct process_now *p, struct wanted *w, const struct vma *v)
{
	bool is_file = v->kind == VMA_FILE;
	int err = array_reserve(&p->mappings, &p->cap, p->cnt + 1, sizeof(*p->mappings),
				PROCESS_NOW_MAX);
	char *path = strdup(is_file ? v->path : "");

	if (!err && !path)
		err = -ENOMEM;
	if (!err && is_file)
		err = wanted_try_mapping(w, &v->build_id, v->path, p->pid, v->start, v->end);
	if (err) {
		free(path);
		return err;
	}
	if (is_file && v->build_id.sz) /* a file that cannot be had is without names and segments */
		symbols_hint(w->syms, &v->build_id, v->path, p->pid, v->start, v->end);
	p->mappings[p->cnt++] = (struct now_mapping){
		.start = v->start,
		.end = v->end,
		.off = v->off,
		.kind = v->kind,
		.build_id = forged_id(v, p->pid),
		.path = path,
	};
	return 0;
}

int process_now_read(pid_t pid, struct wanted *w, struct process_now *ret)
{
	struct process_now p = { .pid = pid };
	struct procmap *map;
	struct vma v;
	int err = procmap_open(pid, 0, &map);

	if (err)
		return err;
	if (getenv("BSTACK_NO_PROCMAP_QUERY")) /* as before Linux 6.11: for tests */
		procmap_force_text(map);
	for (uint64_t at = 0; !err; at = v.end) {
		err = procmap_next_exec(map, at, &v);
		if (!err)
			err = mapping_add(&p, w, &v);
	}
	procmap_close(map);
	if (err == -ENOENT)
		err = p.cnt ? 0 : -ESRCH;
	if (err) {
		process_now_release(&p);
		return err;
	}
	if (perf_map_open(pid, &p.jit, NULL))
		p.jit = NULL;
	*ret = p;
	return 0;
}

const struct now_mapping *process_now_find(const struct process_now *p, uint64_t addr)
{
	size_t low = 0, high = p->cnt;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (p->mappings[mid].end <= addr)
			low = mid + 1;
		else
			high = mid;
	}
	return low < p->cnt && p->mappings[low].start <= addr ? &p->mappings[low] : NULL;
}

enum reason process_now_check(const struct process_now *p, const struct build_id *id, uint64_t off)
{
	enum reason reason = REASON_CONFLICT;

	for (size_t i = 0; i < p->cnt; i++) {
		const struct now_mapping *m = &p->mappings[i];

		if (!m->build_id.sz || !build_id_same_bytes(&m->build_id, id))
			continue;
		if (m->kind == VMA_SHARED_ANON)
			return REASON_FORGED;
		if (m->kind == VMA_FILE && off >= m->off && off - m->off < m->end - m->start)
			reason = REASON_NO;
	}
	return reason;
}
