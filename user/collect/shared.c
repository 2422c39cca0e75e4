/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* shared.c - see shared.h. */
#include "collect/shared.h"

#include <bpf/bpf.h>
#include <sys/mman.h>
#include <unistd.h>

#define RULES_PER_ROWS 64 /* rows share their rules: a file has some hundred */
#define MODULES_MAX    8192
#define MAPPINGS_CNT   (1 << 18)

static int put(const struct bpf_map *map, const void *key, const void *value)
{
	return bpf_map_update_elem(bpf_map__fd(map), key, value, BPF_ANY) ? -errno : 0;
}

static int process_set(void *ctx, uint32_t pid, const struct bstack_process *p)
{
	struct shared *s = ctx;

	return put(s->skel->maps.processes, &pid, p);
}

static int process_drop(void *ctx, uint32_t pid)
{
	struct shared *s = ctx;

	return bpf_map_delete_elem(bpf_map__fd(s->skel->maps.processes), &pid) ? -errno : 0;
}

static int inode_set(void *ctx, const struct bstack_inode *i, const struct bstack_inode_module *m)
{
	struct shared *s = ctx;

	return put(s->skel->maps.inodes, i, m);
}

static int known_put(void *ctx, const struct bstack_key *key, uint32_t slot)
{
	struct shared *s = ctx;

	return put(s->skel->maps.known, key, &slot);
}

static void known_drop(void *ctx, const struct bstack_key *key)
{
	struct shared *s = ctx;

	bpf_map_delete_elem(bpf_map__fd(s->skel->maps.known), key); /* absent: as wanted */
}

static void known_size(struct shared *s, size_t cnt)
{
	s->known = (struct known_maps){
		.slot_cnt = cnt,
		.vma_cnt = cnt,
		.put = known_put,
		.drop = known_drop,
		.ctx = s,
	};
}

static void unwind_size(struct shared *s, size_t sz)
{
	/* A row and its part of the index; rules are few */
	size_t rows =
		sz / (BSTACK_ROWS_A_PAGE * sizeof(struct bstack_row) + sizeof(struct bstack_page)) *
		BSTACK_ROWS_A_PAGE;

	s->unwind = (struct unwind_maps){
		.row_cnt = rows,
		.page_cnt = rows / BSTACK_ROWS_A_PAGE,
		.rule_cnt = rows / RULES_PER_ROWS,
		.module_cnt = MODULES_MAX,
		.mapping_cnt = MAPPINGS_CNT,
		.process_set = process_set,
		.process_drop = process_drop,
		.inode_set = inode_set,
		.ctx = s,
	};
}

/* cnt 0: not wanted */
struct array {
	struct bpf_map *map;
	size_t cnt, elem_sz;
	void *data_p;
};

static void arrays_of(struct shared *s, struct array ret[SHARED_ARRAYS])
{
	struct unwind_maps *u = &s->unwind;
	struct known_maps *k = &s->known;
	const struct array all[SHARED_ARRAYS] = {
		{ s->skel->maps.rows, u->row_cnt, sizeof(*u->rows), &u->rows },
		{ s->skel->maps.pages, u->page_cnt, sizeof(*u->pages), &u->pages },
		{ s->skel->maps.rules, u->rule_cnt, sizeof(*u->rules), &u->rules },
		{ s->skel->maps.modules, u->module_cnt, sizeof(*u->modules), &u->modules },
		{ s->skel->maps.mappings, u->mapping_cnt, sizeof(*u->mappings), &u->mappings },
		{ s->skel->maps.known_slots, k->slot_cnt, sizeof(*k->slots), &k->slots },
		{ s->skel->maps.known_vmas, k->vma_cnt, sizeof(*k->vmas), &k->vmas },
		{ s->skel->maps.look, 1, sizeof(*s->look), &s->look },
	};

	memcpy(ret, all, sizeof(all));
}

static int entries_set(struct bpf_map *map, size_t cnt, struct error *e)
{
	int err = cnt ? bpf_map__set_max_entries(map, (uint32_t)cnt) : 0;

	return err ? error_errno(e, -err, "cannot make the BPF map \"%s\" %zu entries large",
				 bpf_map__name(map), cnt)
		   : 0;
}

int shared_size(struct shared *s, struct profile_bpf *skel, const struct session_opts *o,
		struct error *e)
{
	struct array all[SHARED_ARRAYS];
	int err;

	s->skel = skel;
	if (o->has_rows)
		unwind_size(s, o->rows_sz ? o->rows_sz : SESSION_ROWS_DEFAULT);
	if (o->known_cnt)
		known_size(s, o->known_cnt);
	err = entries_set(skel->maps.known, o->known_cnt, e);
	arrays_of(s, all);
	for (size_t i = 0; i < SHARED_ARRAYS && !err; i++)
		err = entries_set(all[i].map, all[i].cnt, e);
	return err;
}

int shared_map(struct shared *s, struct error *e)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	struct array all[SHARED_ARRAYS];

	arrays_of(s, all);
	for (size_t i = 0; i < SHARED_ARRAYS; i++) {
		size_t sz = (all[i].cnt * all[i].elem_sz + page - 1) / page * page;
		void *data;

		if (!sz)
			continue;
		data = mmap(NULL, sz, PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(all[i].map),
			    0);
		if (data == MAP_FAILED)
			return error_errno(e, errno, "cannot map the BPF map \"%s\", %zu bytes",
					   bpf_map__name(all[i].map), sz);
		s->arrays[i].data = data;
		s->arrays[i].sz = sz;
		*(void **)all[i].data_p = data;
	}
	return 0;
}

void shared_unmap(struct shared *s)
{
	for (size_t i = 0; i < SHARED_ARRAYS; i++)
		if (s->arrays[i].data)
			munmap(s->arrays[i].data, s->arrays[i].sz);
}
