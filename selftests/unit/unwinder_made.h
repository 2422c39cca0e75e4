/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* unwinder_made.h - an unwinder over arrays on the heap, and what it told of processes; made files for it. */
#ifndef BSTACK_UNWINDER_MADE_H
#define BSTACK_UNWINDER_MADE_H

#include <sys/stat.h>
#include <unistd.h>

#include "elf_made.h"
#include "resolve_made.h"
#include "unwind/table.h"
#include "unwind/unwinder.h"

#define TOLD_MAX 16

struct told {
	uint32_t pid;
	bool is_there;
	struct bstack_process entry;
	size_t set_cnt, drop_cnt;
};

struct uw {
	struct unwind_maps maps;
	struct unwinder *u;
	struct told told[TOLD_MAX];
	size_t told_cnt;
};

static struct told *told_of(struct uw *w, uint32_t pid)
{
	for (size_t i = 0; i < w->told_cnt; i++)
		if (w->told[i].pid == pid)
			return &w->told[i];
	if (w->told_cnt == TOLD_MAX)
		abort();
	w->told[w->told_cnt] = (struct told){ .pid = pid };
	return &w->told[w->told_cnt++];
}

static int told_set(void *ctx, uint32_t pid, const struct bstack_process *p)
{
	struct uw *w = ctx;
	struct told *t = told_of(w, pid);

	t->entry = *p;
	t->is_there = true;
	t->set_cnt++;
	CHECK((size_t)p->first + p->cnt <= w->maps.mapping_cnt);
	return 0;
}

static int told_inode(void *ctx, const struct bstack_inode *i, const struct bstack_inode_module *m)
{
	(void)ctx;
	CHECK(i->ino && m->module != BSTACK_MODULE_NONE);
	return 0;
}

static int told_drop(void *ctx, uint32_t pid)
{
	struct told *t = told_of(ctx, pid);

	t->is_there = false;
	t->drop_cnt++;
	return 0;
}

struct room {
	size_t rows, rules, modules, mappings;
};
static const struct room large = { 1 << 21, 1 << 16, 256, 8192 };

static void uw_open(struct uw *w, struct room r)
{
	*w = (struct uw){ .maps = { .row_cnt = r.rows,
				    .page_cnt = r.rows / BSTACK_ROWS_A_PAGE,
				    .rule_cnt = r.rules,
				    .module_cnt = r.modules,
				    .mapping_cnt = r.mappings,
				    .process_set = told_set,
				    .process_drop = told_drop,
				    .inode_set = told_inode,
				    .ctx = w } };
	w->maps.rows = calloc(r.rows, sizeof(*w->maps.rows));
	w->maps.pages = calloc(w->maps.page_cnt, sizeof(*w->maps.pages));
	w->maps.rules = calloc(r.rules, sizeof(*w->maps.rules));
	w->maps.modules = calloc(r.modules, sizeof(*w->maps.modules));
	w->maps.mappings = calloc(r.mappings, sizeof(*w->maps.mappings));
	if (unwinder_new(&w->maps, &w->u))
		abort();
}

static void uw_close(struct uw *w)
{
	unwinder_free(w->u);
	free(w->maps.rows);
	free(w->maps.pages);
	free(w->maps.rules);
	free(w->maps.modules);
	free(w->maps.mappings);
}

/* All tables made, everything told. */
__attribute__((unused)) static void uw_settle(struct uw *w)
{
	unwinder_wait(w->u, UINT64_MAX / 2);
	CHECK_EQ(unwinder_commit(w->u), 0);
}

/* Mapping i as told of pid; all zero: there is none. */
__attribute__((unused)) static struct bstack_mapping told_mapping(struct uw *w, uint32_t pid,
								  size_t i)
{
	const struct told *t = told_of(w, pid);

	return t->is_there && i < t->entry.cnt ? w->maps.mappings[t->entry.first + i]
					       : (struct bstack_mapping){};
}

/* Made files in a folder of their own, which is removed with them. */
static char made_dir[] = "/tmp/bstack-unwinder-XXXXXX";

static void made_path(uint8_t id, char path[64])
{
	snprintf(path, 64, "%s/%u", made_dir, id);
}

static void made_file(const struct made_elf *e)
{
	char path[64];
	size_t sz;
	uint8_t *p = elf_made(e, &sz);
	FILE *f;

	made_path(e->id, path);
	f = fopen(path, "w");
	if (!f || fwrite(p, 1, sz, f) != sz || fclose(f))
		abort();
	free(p);
}

#define MADE_MID   32  /* functions of files 1 to 3, and 5, which has no rows: 96 rows */
#define MADE_LARGE 256 /* of file 4 */

__attribute__((unused)) static void made_files_make(void)
{
	if (!mkdtemp(made_dir) || chmod(made_dir, 0755))
		abort();
	for (uint8_t id = 1; id <= 5; id++)
		made_file(&(struct made_elf){ .id = id,
					      .function_cnt = id == 4 ? MADE_LARGE : MADE_MID,
					      .is_without_rows = id == 5 });
}

__attribute__((unused)) static void made_files_remove(void)
{
	char path[64];

	for (uint8_t id = 1; id <= 5; id++) {
		made_path(id, path);
		unlink(path);
	}
	rmdir(made_dir);
}

/* Where the code of made file id is mapped in a made process. */
static uint64_t made_start(uint8_t id)
{
	return 0x100000000000ULL + id * 0x1000000ULL;
}

__attribute__((unused)) static struct vma made_vma(uint8_t id, size_t function_cnt)
{
	struct vma v = { .start = made_start(id),
			 .end = made_start(id) + MADE_FUNCTION * function_cnt,
			 .off = MADE_OFF,
			 .kind = VMA_FILE,
			 .build_id = made_id(id) };

	v.end = (v.end + 4095) & ~4095ULL;
	made_path(id, v.path);
	return v;
}

#endif
