/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* unwinder.c - processes and their mappings; files.c holds the tables of files. */
#include "unwind/blocks.h"
#include "unwind/files.h"
#include "unwind/host_step.h"
#include "resolve/mapset.h"

#include <string.h>

#define PROCESSES_MAX 65536 /* as many as the BPF map holds */
#define MISS_AGAIN_NS (NSEC_PER_SEC / 2)

struct uprocess {
	uint32_t pid;
	bool is_dirty; /* its slot is in dirty; stays when the slot changes hands */
	bool has_block;
	struct mapset maps;
	struct block block; /* of the mappings array */
	uint64_t missed_ns;
};

struct unwinder {
	struct unwind_maps maps;
	struct files *files;
	struct uprocess *processes;
	size_t process_cnt, process_cap; /* slots made */
	struct pid_table pids;           /* slots in processes */
	uint32_t *dirty;                 /* slots to commit, each once */
	size_t dirty_cnt, dirty_cap;
	struct blocks blocks;  /* of the mappings array */
	struct block *waiting; /* given back since the last grace period: BPF may still read them */
	size_t waiting_cnt, waiting_cap;
	struct unwinder_counters counters;
};

int unwinder_new(const struct unwind_maps *maps, struct unwinder **ret)
{
	struct unwinder *u = calloc(1, sizeof(*u));
	int err;

	if (!u)
		return -ENOMEM;
	u->maps = *maps;
	err = blocks_init(&u->blocks, (uint32_t)maps->mapping_cnt);
	if (!err)
		err = files_new(&u->maps, &u->counters, &u->files);
	if (err) {
		unwinder_free(u);
		return err;
	}
	*ret = u;
	return 0;
}

void unwinder_free(struct unwinder *u)
{
	if (!u)
		return;
	for (size_t i = 0; i < u->process_cnt; i++)
		mapset_release(&u->processes[i].maps);
	blocks_release(&u->blocks);
	free(u->waiting);
	free(u->processes);
	free(u->dirty);
	pid_table_release(&u->pids);
	files_free(u->files);
	free(u);
}

const struct unwinder_counters *unwinder_counters(const struct unwinder *u)
{
	return &u->counters;
}

static struct uprocess *process_find(struct unwinder *u, uint32_t pid)
{
	uint32_t slot = pid_table_find(&u->pids, pid);

	return slot == HMAP_NONE ? NULL : &u->processes[slot];
}

/* Found or made; NULL in *ret with 0 when there are too many. */
static int process_get(struct unwinder *u, uint32_t pid, struct uprocess **ret)
{
	uint32_t slot;
	int err;

	*ret = process_find(u, pid);
	if (*ret)
		return 0;
	err = array_reserve(&u->processes, &u->process_cap, u->pids.cnt + 1, sizeof(**ret),
			    PROCESSES_MAX + 1);
	if (!err)
		err = array_reserve(&u->dirty, &u->dirty_cap, u->pids.cnt + 1, sizeof(slot),
				    PROCESSES_MAX + 1);
	if (!err)
		err = pid_table_add(&u->pids, pid, PROCESSES_MAX, &slot);
	if (err == -E2BIG) {
		u->counters.no_room++;
		return 0;
	}
	if (err)
		return err;
	*ret = &u->processes[slot];
	**ret = (struct uprocess){ .pid = pid,
				   .is_dirty = slot < u->process_cnt && (*ret)->is_dirty };
	u->process_cnt = u->pids.cnt;
	return 0;
}

static void mark_dirty(struct unwinder *u, struct uprocess *p)
{
	if (!p->is_dirty)
		u->dirty[u->dirty_cnt++] = (uint32_t)(p - u->processes);
	p->is_dirty = true;
}

/* Blocks that BPF may still be reading wait; after a grace period they are free. */
static void blocks_recycle(struct unwinder *u)
{
	if (!u->waiting_cnt)
		return;
	grace_period();
	while (u->waiting_cnt)
		blocks_give(&u->blocks, u->waiting[--u->waiting_cnt]);
}

static int block_get(struct unwinder *u, size_t cnt, struct block *ret)
{
	uint8_t size_class = 0;

	while (((size_t)1 << size_class) < cnt)
		size_class++;
	if (blocks_take(&u->blocks, size_class, ret))
		return 0;
	blocks_recycle(u);
	return blocks_take(&u->blocks, size_class, ret) ? 0 : -ENOSPC;
}

static int block_put(struct unwinder *u, struct uprocess *p)
{
	int err;

	if (!p->has_block)
		return 0;
	err = array_reserve(&u->waiting, &u->waiting_cap, u->waiting_cnt + 1, sizeof(p->block),
			    UINT32_MAX);
	if (err)
		return err;
	u->waiting[u->waiting_cnt++] = p->block;
	p->has_block = false;
	return 0;
}

static void process_forget(struct unwinder *u, struct uprocess *p)
{
	u->maps.process_drop(u->maps.ctx, p->pid);
	if (block_put(u, p))
		u->counters.no_room++; /* the block is lost: no memory to remember it */
	mapset_release(&p->maps);
	pid_table_remove(&u->pids, (uint32_t)(p - u->processes));
}

/* What BPF shall do at an address of this mapping. */
static struct span span_of(struct unwinder *u, uint32_t pid, const struct vma *v)
{
	struct span s = { .start = v->start,
			  .end = v->end,
			  .off = v->off,
			  .kind = v->kind,
			  .module = BSTACK_MODULE_FP };

	if (v->kind == VMA_FILE)
		s.module = files_get(u->files, pid, v);
	else if (v->kind == VMA_VDSO)
		s.module = files_vdso(u->files);
	return s;
}

int unwinder_mmap(struct unwinder *u, uint32_t pid, const struct vma *v)
{
	struct uprocess *p;
	struct span s;
	int err = process_get(u, pid, &p);

	if (err || !p)
		return err;
	s = span_of(u, pid, v);
	mark_dirty(u, p);
	return mapset_put(&p->maps, &s);
}

int unwinder_fork(struct unwinder *u, uint32_t pid, uint32_t parent)
{
	struct uprocess *child, *from = process_find(u, parent);
	int err;

	if (!from)
		return 0;
	err = process_get(u, pid, &child);
	if (err || !child)
		return err;
	from = process_find(u, parent); /* the array may have moved */
	mark_dirty(u, child);
	return mapset_copy(&child->maps, &from->maps);
}

int unwinder_exec(struct unwinder *u, uint32_t pid)
{
	struct uprocess *p;
	int err = process_get(u, pid, &p);

	if (err || !p)
		return err;
	mapset_clear(&p->maps);
	mark_dirty(u, p);
	return 0;
}

void unwinder_exit(struct unwinder *u, uint32_t pid)
{
	struct uprocess *p = process_find(u, pid);

	if (p)
		process_forget(u, p);
}

void unwinder_lost(struct unwinder *u)
{
	for (size_t i = 0; i < u->process_cnt; i++)
		if (u->pids.slots[i].is_used)
			process_forget(u, &u->processes[i]);
}

int unwinder_snapshot(struct unwinder *u, uint32_t pid)
{
	struct procmap *map;
	struct vma vma = {};
	int err = procmap_open((pid_t)pid, 0, &map);

	if (err)
		return err == -ENOMEM ? err : 0;
	while (!err) {
		err = procmap_next_exec(map, vma.end, &vma);
		if (!err)
			err = unwinder_mmap(u, pid, &vma);
	}
	procmap_close(map);
	return err == -ENOMEM ? err : 0;
}

int unwinder_miss(struct unwinder *u, uint32_t pid)
{
	struct uprocess *p;
	uint64_t now_ns = clock_mono_ns();
	int err = process_get(u, pid, &p);

	if (err || !p || (p->missed_ns && now_ns - p->missed_ns < MISS_AGAIN_NS))
		return err;
	p->missed_ns = now_ns;
	return unwinder_snapshot(u, pid);
}

/* Adjacent pieces of one mapping (after mprotect of a part) are told one by one: each is right by itself. */
static void block_fill(struct unwinder *u, const struct uprocess *p, uint32_t first)
{
	for (size_t i = 0; i < p->maps.cnt; i++) {
		const struct span *s = &p->maps.spans[i];

		u->maps.mappings[first + i] = (struct bstack_mapping){
			.start = s->start,
			.end = s->end,
			.pc_off = files_pc_off(u->files, s->module, s->off),
			.module = s->module,
		};
	}
}

/* The new mappings where nobody reads yet, then the index, then the old ones are let go. */
static int process_commit(struct unwinder *u, struct uprocess *p)
{
	struct bstack_process entry = { .cnt = (uint32_t)p->maps.cnt };
	struct block fresh = {};
	int err;

	if (p->maps.cnt > BSTACK_MAPPINGS_MAX ||
	    (p->maps.cnt && block_get(u, p->maps.cnt, &fresh))) {
		u->counters.no_room++;
		u->maps.process_drop(u->maps.ctx, p->pid);
		return block_put(u, p);
	}
	block_fill(u, p, fresh.first);
	entry.first = fresh.first;
	__atomic_thread_fence(__ATOMIC_RELEASE);
	if (u->maps.process_set(u->maps.ctx, p->pid, &entry))
		u->counters.no_room++;
	err = block_put(u, p);
	p->block = fresh;
	p->has_block = p->maps.cnt > 0;
	return err;
}

int unwinder_commit(struct unwinder *u)
{
	int err = 0;

	files_collect(u->files);
	for (size_t i = 0; i < u->dirty_cnt; i++) {
		struct uprocess *p = &u->processes[u->dirty[i]];

		p->is_dirty = false;
		if (u->pids.slots[u->dirty[i]].is_used && !err)
			err = process_commit(u, p);
	}
	u->dirty_cnt = 0;
	return err;
}

void unwinder_hurry(struct unwinder *u)
{
	files_hurry(u->files);
}

void unwinder_wait(struct unwinder *u, uint64_t until_ns)
{
	files_wait(u->files, until_ns);
}

int unwinder_wake_fd(const struct unwinder *u)
{
	return files_wake_fd(u->files);
}

int unwinder_step(struct unwinder *u, struct stack_rest *s, const struct build_id *id,
		  uint64_t vaddr)
{
	uint64_t base;
	uint32_t module = files_ready(u->files, id, &base);

	if (module == BSTACK_MODULE_NONE || vaddr < base || vaddr - base > UINT32_MAX)
		return BSTACK_END_NEVER;
	return host_step(&u->maps, s, module, (uint32_t)(vaddr - base));
}

int unwinder_step_path(struct unwinder *u, struct stack_rest *s, const char *path, uint64_t off)
{
	uint64_t pc;
	uint32_t module = files_ready_path(u->files, path, off, &pc);

	if (module == BSTACK_MODULE_NONE || pc > UINT32_MAX)
		return BSTACK_END_NEVER;
	return host_step(&u->maps, s, module, (uint32_t)pc);
}

bool unwinder_offer(struct unwinder *u, const struct build_id *id, const char *path)
{
	struct vma v = { .kind = VMA_FILE, .build_id = *id };
	uint64_t base;
	uint32_t module = files_ready(u->files, id, &base);

	if (path[0] != '/' || strlen(path) >= sizeof(v.path) ||
	    (module != BSTACK_MODULE_NONE && u->maps.modules[module].row_cnt))
		return false;
	strcpy(v.path, path);
	return files_get(u->files, 0, &v) < BSTACK_MODULE_NONE;
}

bool unwinder_place_is_path(const struct step_place *place, const char *path)
{
	return files_is_path(place, path);
}

int unwinder_step_fp(struct unwinder *u, struct stack_rest *s)
{
	return host_step(&u->maps, s, BSTACK_MODULE_FP, 0);
}

bool unwinder_step_place(struct unwinder *u, const struct bstack_step *step, struct step_place *ret)
{
	return files_step(u->files, step, ret);
}
