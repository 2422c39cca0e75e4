/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* files.c - see files.h. Rows and rules lie in extents of the shared arrays, found by next fit. */
#include "unwind/files.h"
#include "resolve/elfseg.h"
#include "unwind/host_step.h"
#include "unwind/maker.h"

#include <elf.h>
#include <poll.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define OPEN_TRIES   64
#define READY_MAX_NS (5 * NSEC_PER_SEC) /* samples are not read meanwhile */
#define VDSO_MAX_SZ  ((size_t)1 << 20)

struct extent {
	uint32_t first, cnt;
};

enum file_state {
	FILE_CLOSED, /* not opened yet, in vain, or its table made room for another's */
	FILE_MAKING,
	FILE_READY,  /* the table is in the arrays */
	FILE_NO_CFI, /* it has none: by frame pointer */
	FILE_FAILED, /* it will never have one */
};

struct file {
	struct build_id id;
	struct elfsegs segs; /* cnt 0: not opened yet */
	uint64_t base;       /* link-time address that pc 0 stands for */
	uint64_t used;       /* f->uses when it was used last */
	struct extent rows, rules;
	uint32_t tries;
	enum file_state state;
	bool is_late; /* its table was waited for in vain */
	bool is_vdso;
	bool is_by_inode;   /* id is an inode_id() */
	uint64_t path_hash; /* then: of the path it was last mapped from; else 0 */
};

struct files {
	const struct unwind_maps *maps;
	struct unwinder_counters *counters;
	struct maker *maker;
	struct file *v; /* index: module */
	size_t cnt;
	struct hmap map;
	uint32_t rows_at, rules_at; /* behind the extents that were given out last */
	uint32_t vdso;              /* module, or BSTACK_MODULE_NONE */
	uint64_t uses; /* steps asked about and tables made: the order of use, without a clock */
};

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

static bool extent_find_from(const struct files *f, bool is_rows, uint32_t at, size_t cnt,
			     struct extent *ret)
{
	size_t cap = is_rows ? f->maps->row_cnt : f->maps->rule_cnt;

	while (at + cnt <= cap) { /* a multiple of BSTACK_ROWS_A_PAGE, as all sizes of rows are */
		if (is_free(f, is_rows, at, (uint32_t)cnt, &at)) {
			*ret = (struct extent){ at, (uint32_t)cnt };
			return true;
		}
	}
	return false;
}

/* Next fit: until the arrays have been filled once, the first look finds room, however many files there are. */
static bool extent_find(const struct files *f, bool is_rows, size_t cnt, struct extent *ret)
{
	return extent_find_from(f, is_rows, is_rows ? f->rows_at : f->rules_at, cnt, ret) ||
	       extent_find_from(f, is_rows, 0, cnt, ret);
}

/* Let the table go that was not used for longest; not the vdso's, which nobody would make again. False: there is
 * none left. */
static bool evict_one(struct files *f)
{
	struct file *oldest = NULL;

	for (size_t i = 0; i < f->cnt; i++)
		if (f->v[i].state == FILE_READY && !f->v[i].is_vdso &&
		    (!oldest || f->v[i].used < oldest->used))
			oldest = &f->v[i];
	if (!oldest)
		return false;
	f->maps->modules[oldest - f->v] = (struct bstack_module){};
	grace_period();
	oldest->state = FILE_CLOSED;
	oldest->tries = 0;
	oldest->rows.cnt = oldest->rules.cnt = 0;
	f->counters->evicted++;
	return true;
}

static bool table_place(struct files *f, struct file *file, const struct unwind_table *t)
{
	uint32_t room = unwind_table_room(t);
	struct extent rows, rules;
	struct bstack_module m;

	if (room > f->maps->row_cnt || t->rule_cnt > f->maps->rule_cnt)
		return false;
	while (!extent_find(f, true, room, &rows) || !extent_find(f, false, t->rule_cnt, &rules))
		if (!evict_one(f))
			return false;
	m = unwind_table_place(t, f->maps->rows, f->maps->pages, f->maps->rules, rows.first,
			       rules.first);
	file->rows = rows;
	file->rules = rules;
	f->rows_at = rows.first + rows.cnt;
	f->rules_at = rules.first + rules.cnt;
	file->used = ++f->uses;
	__atomic_thread_fence(__ATOMIC_RELEASE);
	f->maps->modules[file - f->v] = m;
	return true;
}

/* A table that was made goes into the arrays; where there is none, what to do instead. */
static void table_take(struct files *f, struct file *file, struct made_table *made)
{
	static const uint32_t instead[] = {
		[FILE_NO_CFI] = BSTACK_MODULE_FP,
		[FILE_FAILED] = BSTACK_MODULE_NONE,
	};

	file->state = made->err == -ENOENT ? FILE_NO_CFI : FILE_FAILED;
	if (!made->err) {
		/* Mappings were told by the segments: the table must mean the same addresses. */
		if (made->table.base == file->base && table_place(f, file, &made->table)) {
			file->state = FILE_READY;
			f->counters->tables++;
			f->counters->rows += made->table.row_cnt;
			for (size_t i = 0; i < file->segs.cnt; i++)
				f->counters->text_bytes += file->segs.seg[i].sz;
		} else {
			f->counters->no_room++;
		}
		f->counters->table_ns += made->cpu_ns;
		unwind_table_release(&made->table);
	} else if (made->err == -ENOMEM) {
		f->counters->no_room++;
	}
	if (file->state != FILE_READY)
		f->maps->modules[file - f->v] =
			(struct bstack_module){ .instead = instead[file->state] };
}

void files_collect(struct files *f)
{
	struct made_table made;

	while (maker_take(f->maker, false, &made))
		table_take(f, &f->v[made.module], &made);
}

void files_hurry(struct files *f)
{
	maker_hurry(f->maker);
}

/* Wait for the next table, until_ns at most, and take what there is. False: that moment has come. */
static bool collect_next(struct files *f, uint64_t until_ns)
{
	struct pollfd p = { .fd = maker_fd(f->maker), .events = POLLIN };
	uint64_t now_ns = clock_mono_ns();

	if (now_ns >= until_ns)
		return false;
	poll(&p, 1, (int)((until_ns - now_ns) / 1000000) + 1);
	files_collect(f);
	return true;
}

void files_wait(struct files *f, uint64_t until_ns)
{
	while (!maker_is_idle(f->maker) && collect_next(f, until_ns))
		;
	files_collect(f);
}

int files_wake_fd(const struct files *f)
{
	return maker_fd(f->maker);
}

/* So that BPF finds the file in a mapping that it was not told of. When that fails the loader makes the rest of such a
 * walk. */
static void inode_tell(struct files *f, const struct file *file, int fd)
{
	const struct elfseg *seg = file->segs.seg;
	struct bstack_inode_module m = { .module = (uint32_t)(file - f->v) };
	struct bstack_inode i = {};
	struct stat st;

	/* Without a build-id nobody could see that the number is another file's by now. */
	if (file->segs.cnt != 1 || file->is_by_inode || fstat(fd, &st))
		return;
	i.ino = st.st_ino;
	i.dev = major(st.st_dev) << 20 | minor(st.st_dev); /* MKDEV() of the kernel */
	m.pc_off = seg->vaddr - seg->off - file->base;
	f->maps->inode_set(f->maps->ctx, &i, &m);
}

/* Have the table of an opened file made. */
static void table_order(struct files *f, struct file *file, const struct elfsegs *segs, int fd)
{
	file->segs = *segs;
	file->base = segs->seg[0].vaddr;
	for (size_t i = 1; i < segs->cnt; i++)
		if (segs->seg[i].vaddr < file->base)
			file->base = segs->seg[i].vaddr;
	inode_tell(f, file, fd);
	if (maker_add(f->maker, (uint32_t)(file - f->v), fd))
		return;
	file->state = FILE_MAKING;
	file->is_late = false;
}

/* Open the file of a mapping, and have its table made. */
static void file_open_for(struct files *f, struct file *file, uint32_t pid, const struct vma *v)
{
	struct elfsegs segs;
	bool is_by_path;
	int fd = elfsegs_open((pid_t)pid, v->start, v->end, v->path, &file->id, &segs, &is_by_path);

	if (fd < 0)
		return;
	if (!segs.cnt) { /* nothing in it can run */
		close(fd);
		return;
	}
	table_order(f, file, &segs, fd);
}

static struct file *file_new(struct files *f, const struct build_id *id, bool is_by_inode)
{
	struct file *file;

	if (f->cnt == f->maps->module_cnt ||
	    hmap_add(&f->map, hash_bytes(id->bytes, BUILD_ID_MAX, 7), (uint32_t)f->cnt))
		return NULL;
	file = &f->v[f->cnt++];
	*file = (struct file){ .id = *id, .is_by_inode = is_by_inode };
	return file;
}

/* A build-id may hold any bytes, those of another kind of id too. */
static struct file *file_find(struct files *f, const struct build_id *id, bool is_by_inode)
{
	uint64_t hash = hash_bytes(id->bytes, BUILD_ID_MAX, 7);
	struct hmap_iter it;

	for (uint32_t i = hmap_first(&f->map, hash, &it); i != HMAP_NONE;
	     i = hmap_next(&f->map, &it))
		if (f->v[i].is_by_inode == is_by_inode && !f->v[i].is_vdso &&
		    build_id_same_bytes(&f->v[i].id, id))
			return &f->v[i];
	return NULL;
}

static struct file *file_get(struct files *f, const struct build_id *id, bool is_by_inode)
{
	struct file *file = file_find(f, id, is_by_inode);

	if (!file)
		file = file_new(f, id, is_by_inode);
	if (!file)
		f->counters->no_room++;
	return file;
}

/*
 * What stands for the build-id of a file that has none: its inode, and when that changed last. A program that is built
 * anew often gets the number of the one that was deleted, or is written over it.
 */
static struct build_id inode_id(const struct stat *st)
{
	const uint64_t key[] = { st->st_dev, st->st_ino, (uint64_t)st->st_ctim.tv_sec,
				 (uint64_t)st->st_ctim.tv_nsec, (uint64_t)st->st_size };
	const uint64_t hashes[] = { hash_bytes(key, sizeof(key), 1),
				    hash_bytes(key, sizeof(key), 2) };
	struct build_id id = { .sz = BUILD_ID_MAX };

	memcpy(id.bytes, hashes, sizeof(hashes));
	return id;
}

static uint64_t path_hash(const char *path)
{
	uint64_t hash = hash_bytes(path, strlen(path), 11);

	return hash ? hash : 1;
}

/* A mapping whose build-id nobody told: the file may have one all the same, or be no ELF file at all. */
static uint32_t get_without_id(struct files *f, uint32_t pid, const struct vma *v)
{
	int fd = procmap_open_file((pid_t)pid, v->start, v->end, v->path), err;
	struct elfsegs segs = {};
	struct file *file;
	struct build_id id;
	bool is_by_inode;
	struct stat st;

	if (fd < 0)
		return BSTACK_MODULE_PENDING;
	err = fstat(fd, &st) ? -errno : elfsegs_read(fd, &segs);
	if (err && err != -ENOEXEC) {
		close(fd);
		return BSTACK_MODULE_NONE;
	}
	is_by_inode = !segs.build_id.sz;
	id = is_by_inode ? inode_id(&st) : segs.build_id;
	file = file_get(f, &id, is_by_inode);
	if (file && is_by_inode)
		file->path_hash = path_hash(v->path);
	if (file && file->state == FILE_CLOSED && segs.cnt) {
		table_order(f, file, &segs, fd);
		return (uint32_t)(file - f->v);
	}
	close(fd);
	if (!file)
		return BSTACK_MODULE_NONE;
	if (file->segs.cnt)
		return (uint32_t)(file - f->v);
	file->state = FILE_NO_CFI;
	f->maps->modules[file - f->v] = (struct bstack_module){ .instead = BSTACK_MODULE_FP };
	return BSTACK_MODULE_FP;
}

uint32_t files_get(struct files *f, uint32_t pid, const struct vma *v)
{
	struct file *file;

	if (!v->build_id.sz)
		return get_without_id(f, pid, v);
	file = file_get(f, &v->build_id, false);
	if (!file)
		return BSTACK_MODULE_NONE;
	if (file->state == FILE_CLOSED && file->tries < OPEN_TRIES) {
		file->tries++;
		file_open_for(f, file, pid, v);
	}
	/* Opened once, the module is the file's for good, with a table or without. */
	if (file->segs.cnt)
		return (uint32_t)(file - f->v);
	return file->tries < OPEN_TRIES ? BSTACK_MODULE_PENDING : BSTACK_MODULE_NONE;
}

/* A table that is being made, waited for; then neither it nor what stands behind it is waited for again. */
static void making_wait(struct files *f, struct file *file)
{
	uint64_t until_ns = clock_mono_ns() + READY_MAX_NS;

	files_collect(f);
	while (file->state == FILE_MAKING && collect_next(f, until_ns))
		;
	if (file->state != FILE_MAKING)
		return;
	for (size_t i = 0; i < f->cnt; i++)
		f->v[i].is_late = f->v[i].state == FILE_MAKING;
}

static uint32_t file_ready(struct files *f, struct file *file)
{
	if (file->state == FILE_MAKING && !file->is_late)
		making_wait(f, file);
	file->used = ++f->uses;
	return (uint32_t)(file - f->v);
}

uint32_t files_ready(struct files *f, const struct build_id *id, uint64_t *ret_base)
{
	struct file *file = id                              ? file_find(f, id, false)
			    : f->vdso == BSTACK_MODULE_NONE ? NULL
							    : &f->v[f->vdso];

	if (!file)
		return BSTACK_MODULE_NONE;
	*ret_base = file->base;
	return file_ready(f, file);
}

uint32_t files_ready_path(struct files *f, const char *path, uint64_t off, uint64_t *ret_pc)
{
	uint64_t hash = path_hash(path);
	struct file *file = NULL;

	for (size_t i = 0; i < f->cnt; i++) {
		if (f->v[i].path_hash != hash)
			continue;
		if (file) /* of another container, or from before: which of them it was nobody knows */
			return BSTACK_MODULE_NONE;
		file = &f->v[i];
	}
	if (!file)
		return BSTACK_MODULE_NONE;
	*ret_pc = file->base; /* of no ELF file: it has no table to look an address up in */
	if (file->segs.cnt && !elfsegs_vaddr(&file->segs, off, ret_pc))
		return BSTACK_MODULE_NONE;
	*ret_pc -= file->base;
	return file_ready(f, file);
}

/* The vdso's image is in our own memory, the same as in every process. */
static void vdso_make(struct files *f)
{
	const Elf64_Ehdr *eh = (const void *)getauxval(AT_SYSINFO_EHDR);
	struct build_id id = { .sz = 1, .bytes = { 0xff } }; /* nobody looks it up */
	struct made_table made = {};
	struct file *file;
	size_t sz;

	f->vdso = BSTACK_MODULE_NONE;
	if (!eh || eh->e_ident[EI_CLASS] != ELFCLASS64)
		return;
	sz = eh->e_shoff + (size_t)eh->e_shnum * eh->e_shentsize;
	file = sz <= VDSO_MAX_SZ ? file_new(f, &id, false) : NULL;
	if (!file)
		return;
	file->is_vdso = true;
	made.err = unwind_table_read_image(eh, sz, &made.table);
	file->base = made.err ? 0 : made.table.base;
	table_take(f, file, &made);
	if (file->state == FILE_READY)
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

bool files_step(struct files *f, const struct bstack_step *step, struct step_place *ret)
{
	struct file *file = step->module < f->cnt ? &f->v[step->module] : NULL;

	if (!file)
		return false;
	file->used = ++f->uses;
	*ret = (struct step_place){
		.id = &file->id,
		.vaddr = file->base + step->pc,
		.is_vdso = file->is_vdso,
		.segs = file->path_hash ? &file->segs : NULL,
		.path_hash = file->path_hash,
		.is_fp_step = host_is_fp_step(f->maps, step->module, step->pc),
	};
	return true;
}

int files_new(const struct unwind_maps *maps, struct unwinder_counters *counters,
	      struct files **ret)
{
	struct files *f = calloc(1, sizeof(*f));
	int err;

	if (!f)
		return -ENOMEM;
	f->maps = maps;
	f->counters = counters;
	f->v = calloc(maps->module_cnt, sizeof(*f->v));
	err = f->v ? maker_new(&f->maker) : -ENOMEM;
	if (err) {
		files_free(f);
		return err;
	}
	vdso_make(f);
	*ret = f;
	return 0;
}

void files_free(struct files *f)
{
	if (!f)
		return;
	maker_free(f->maker);
	free(f->v);
	hmap_release(&f->map);
	free(f);
}

bool files_is_path(const struct step_place *place, const char *path)
{
	return place->path_hash && place->path_hash == path_hash(path);
}
