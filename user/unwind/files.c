/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* files.c - see files.h. Rows and rules lie in extents of the shared arrays, found by first fit. */
#include "unwind/files.h"
#include "resolve/elfseg.h"
#include "unwind/table.h"

#include <elf.h>
#include <linux/membarrier.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <unistd.h>

#define OPEN_TRIES  64
#define VDSO_MAX_SZ ((size_t)1 << 20)

struct extent {
	uint32_t first, cnt;
};

struct file {
	struct build_id id;
	struct elfsegs segs;
	uint64_t base;
	uint64_t used;             /* f->uses when it was used last */
	struct extent rows, rules; /* cnt 0: evicted, or never made */
	uint32_t tries;
	bool is_ready;   /* the table is in the arrays */
	bool has_no_cfi; /* it will never have one: by frame pointer */
	bool is_vdso;
};

struct files {
	const struct unwind_maps *maps;
	struct unwinder_counters *counters;
	struct file *v; /* index: module */
	size_t cnt;
	struct hmap map;
	uint32_t vdso; /* module, or BSTACK_MODULE_FP */
	uint64_t uses; /* steps asked about and tables made: the order of use, without a clock */
};

void grace_period(void)
{
	/* An RCU grace period (kernel/sched/membarrier.c): BPF programs run inside RCU read sections. */
	if (syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0))
		usleep(100000);
}

static bool is_free(const struct files *f, bool is_rows, uint32_t first, uint32_t cnt,
		    uint32_t *ret_next)
{
	for (size_t i = 0; i < f->cnt; i++) {
		const struct extent *e = is_rows ? &f->v[i].rows : &f->v[i].rules;

		if (e->cnt && first < e->first + e->cnt && e->first < first + cnt) {
			*ret_next = e->first + e->cnt;
			return false;
		}
	}
	return true;
}

/* First fit. There are some hundred files at most, and tables are made once. */
static bool extent_find(const struct files *f, bool is_rows, size_t cnt, struct extent *ret)
{
	size_t cap = is_rows ? f->maps->row_cnt : f->maps->rule_cnt;
	uint32_t at = 0;

	while (at + cnt <= cap) {
		if (is_free(f, is_rows, at, (uint32_t)cnt, &at)) {
			*ret = (struct extent){ at, (uint32_t)cnt };
			return true;
		}
	}
	return false;
}

/* Let the table go that was not used for longest. False: there is none left. */
static bool evict_one(struct files *f)
{
	struct file *oldest = NULL;

	for (size_t i = 0; i < f->cnt; i++)
		if (f->v[i].is_ready && (!oldest || f->v[i].used < oldest->used))
			oldest = &f->v[i];
	if (!oldest)
		return false;
	f->maps->modules[oldest - f->v] = (struct bstack_module){};
	grace_period();
	oldest->is_ready = false;
	oldest->rows.cnt = oldest->rules.cnt = 0;
	f->counters->evicted++;
	return true;
}

static bool table_place(struct files *f, struct file *file, const struct unwind_table *t)
{
	struct extent rows, rules;

	if (t->row_cnt > f->maps->row_cnt || t->rule_cnt > f->maps->rule_cnt)
		return false;
	while (!extent_find(f, true, t->row_cnt, &rows) ||
	       !extent_find(f, false, t->rule_cnt, &rules))
		if (!evict_one(f))
			return false;
	memcpy(&f->maps->rows[rows.first], t->rows, t->row_cnt * sizeof(*t->rows));
	memcpy(&f->maps->rules[rules.first], t->rules, t->rule_cnt * sizeof(*t->rules));
	file->rows = rows;
	file->rules = rules;
	file->base = t->base;
	file->is_ready = true;
	file->used = ++f->uses;
	__atomic_thread_fence(__ATOMIC_RELEASE);
	f->maps->modules[file - f->v] = (struct bstack_module){
		.first_row = rows.first,
		.row_cnt = rows.cnt,
		.first_rule = rules.first,
		.rule_cnt = rules.cnt,
	};
	return true;
}

/* A table that was read goes into the arrays; what it cost is counted. */
static void table_take(struct files *f, struct file *file, int err, struct unwind_table *t,
		       uint64_t start_ns)
{
	file->has_no_cfi = err == -ENOENT || err == -ENOEXEC;
	if (err)
		return;
	if (table_place(f, file, t)) {
		f->counters->tables++;
		f->counters->rows += t->row_cnt;
		for (size_t i = 0; i < file->segs.cnt; i++)
			f->counters->text_bytes += file->segs.seg[i].sz;
	} else {
		f->counters->no_room++;
	}
	f->counters->table_ns += clock_mono_ns() - start_ns;
	unwind_table_release(t);
}

static void table_make(struct files *f, struct file *file, uint32_t pid, const struct vma *v)
{
	int fd CLEANUP(cleanup_close) = procmap_open_file((pid_t)pid, v->start, v->end, v->path);
	uint64_t start_ns = clock_mono_ns();
	struct unwind_table t;
	struct elfsegs segs;

	if (fd < 0 || elfsegs_read(fd, &segs) || !build_id_same_bytes(&segs.build_id, &file->id))
		return;
	file->segs = segs;
	table_take(f, file, unwind_table_read(fd, &t), &t, start_ns);
}

static struct file *file_new(struct files *f, const struct build_id *id)
{
	struct file *file;

	if (f->cnt == f->maps->module_cnt ||
	    hmap_add(&f->map, hash_bytes(id->bytes, BUILD_ID_MAX, 7), (uint32_t)f->cnt))
		return NULL;
	file = &f->v[f->cnt++];
	*file = (struct file){ .id = *id };
	return file;
}

static struct file *file_find(struct files *f, const struct build_id *id)
{
	uint64_t hash = hash_bytes(id->bytes, BUILD_ID_MAX, 7);
	struct hmap_iter it;

	for (uint32_t i = hmap_first(&f->map, hash, &it); i != HMAP_NONE;
	     i = hmap_next(&f->map, &it))
		if (build_id_same_bytes(&f->v[i].id, id))
			return &f->v[i];
	return NULL;
}

uint32_t files_get(struct files *f, uint32_t pid, const struct vma *v)
{
	struct file *file = file_find(f, &v->build_id);

	if (!file)
		file = file_new(f, &v->build_id);
	if (!file) {
		f->counters->no_room++;
		return BSTACK_MODULE_FP;
	}
	if (!file->is_ready && !file->has_no_cfi && file->tries++ < OPEN_TRIES)
		table_make(f, file, pid, v);
	if (file->has_no_cfi)
		return BSTACK_MODULE_FP;
	/* Also without a table: the module is the file's for good, its table may come at the next try. */
	return file->segs.cnt ? (uint32_t)(file - f->v) : BSTACK_MODULE_PENDING;
}

/* The vdso's image is in our own memory, the same as in every process. */
static void vdso_make(struct files *f)
{
	const Elf64_Ehdr *eh = (const void *)getauxval(AT_SYSINFO_EHDR);
	uint64_t start_ns = clock_mono_ns();
	struct build_id id = { .sz = 1,
			       .bytes = { 0xff } }; /* no file's: ours are of 8 bytes at least */
	struct unwind_table t;
	struct file *file;
	size_t sz;

	f->vdso = BSTACK_MODULE_FP;
	if (!eh || eh->e_ident[EI_CLASS] != ELFCLASS64)
		return;
	sz = eh->e_shoff + (size_t)eh->e_shnum * eh->e_shentsize;
	file = sz <= VDSO_MAX_SZ ? file_new(f, &id) : NULL;
	if (!file)
		return;
	file->is_vdso = true;
	table_take(f, file, unwind_table_read_image(eh, sz, &t), &t, start_ns);
	if (file->is_ready)
		f->vdso = (uint32_t)(file - f->v);
}

uint32_t files_vdso(struct files *f)
{
	return f->vdso;
}

uint64_t files_pc_off(const struct files *f, uint32_t module, uint64_t off)
{
	const struct file *file = module < f->cnt ? &f->v[module] : NULL;

	if (!file)
		return 0;
	if (file->is_vdso)
		return off - file->base;
	/* The mapping begins at a page, its segment maybe behind it; both lie in one another. */
	for (size_t i = 0; i < file->segs.cnt; i++) {
		const struct elfseg *s = &file->segs.seg[i];

		if (off < s->off + s->sz && off + 4096 > s->off)
			return s->vaddr - s->off + off - file->base;
	}
	return UINT64_MAX / 2; /* code in no executable segment: no row will be found */
}

const struct build_id *files_step(struct files *f, const struct bstack_step *step,
				  uint64_t *ret_vaddr, bool *ret_is_vdso)
{
	struct file *file = step->module < f->cnt ? &f->v[step->module] : NULL;

	if (!file)
		return NULL;
	file->used = ++f->uses;
	*ret_vaddr = file->base + step->pc;
	*ret_is_vdso = file->is_vdso;
	return &file->id;
}

int files_new(const struct unwind_maps *maps, struct unwinder_counters *counters,
	      struct files **ret)
{
	struct files *f = calloc(1, sizeof(*f));

	if (!f)
		return -ENOMEM;
	f->maps = maps;
	f->counters = counters;
	f->v = calloc(maps->module_cnt, sizeof(*f->v));
	if (!f->v) {
		free(f);
		return -ENOMEM;
	}
	vdso_make(f);
	*ret = f;
	return 0;
}

void files_free(struct files *f)
{
	if (!f)
		return;
	free(f->v);
	hmap_release(&f->map);
	free(f);
}
