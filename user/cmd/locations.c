/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* locations.c - see locations.h. */
#include "cmd/locations.h"

#include <string.h>

enum root_state {
	ROOT_UNKNOWN,
	ROOT_NO,
	ROOT_YES
};

void locations_init(struct locations *l, struct model *m, struct symbols *syms)
{
	*l = (struct locations){ .model = m, .syms = syms };
	l->has_vdso = !symbols_vdso(syms, &l->vdso_id);
}

void locations_release(struct locations *l)
{
	free(l->roots);
	*l = (struct locations){};
}

int location_plain(struct locations *l, enum module_kind kind, uint64_t addr, uint32_t function,
		   uint32_t *ret)
{
	struct mapping map = { .kind = kind };
	uint32_t mapping;
	int err;

	if (kind == MODULE_VDSO && l->has_vdso)
		map.build_id = l->vdso_id;
	err = strtab_add(&l->model->strings, module_kind_name(kind), &map.path);
	if (!err)
		err = model_mapping(l->model, &map, &mapping);
	return err ? err : model_location(l->model, mapping, addr, function, ret);
}

int location_file(struct locations *l, const struct build_id *id, const char *path,
		  const struct elfseg *seg, uint64_t off, bool is_caller, uint32_t *ret)
{
	struct mapping map = {
		.kind = id->sz ? MODULE_ELF : MODULE_NO_ID,
		.build_id = *id,
	};
	uint64_t addr = off;
	uint32_t mapping;
	int err;

	if (seg) {
		map.is_segment_known = true;
		map.start = seg->vaddr;
		map.limit = seg->vaddr + seg->sz;
		map.file_off = seg->off;
		addr = seg->vaddr + (off - seg->off);
	}
	err = strtab_add(&l->model->strings, path, &map.path);
	if (!err)
		err = model_mapping(l->model, &map, &mapping);
	return err ? err : model_location(l->model, mapping, addr - is_caller, MODEL_NONE, ret);
}

int location_jit(struct locations *l, const char *name, uint64_t addr, struct frame *f)
{
	uint32_t function;
	int err;

	if (!name)
		return location_plain(l, MODULE_ANON, addr, MODEL_NONE, &f->location);
	err = model_function(l->model, name, name, &function);
	if (err)
		return err;
	f->evidence = EVID_JIT;
	f->reason = REASON_NO;
	return location_plain(l, MODULE_JIT, addr, function, &f->location);
}

int location_kernel(struct locations *l, uint64_t ip, bool is_caller, struct frame *f)
{
	struct sym_name name;
	uint32_t function = MODEL_NONE;
	int err = 0;

	*f = (struct frame){ .evidence = EVID_KERNEL_TEXT };
	ip -= is_caller;
	if (!symbols_find_kernel(l->syms, ip, &name))
		err = model_function(l->model, name.name, name.system_name, &function);
	return err ? err : location_plain(l, MODULE_KERNEL, ip, function, &f->location);
}

bool location_is_root(struct locations *l, uint32_t location)
{
	const struct location *loc = &l->model->locations[location];
	const struct mapping *map = &l->model->mappings[loc->mapping];

	if (map->kind != MODULE_ELF || !map->is_segment_known)
		return false;
	if (location >= l->root_cnt) {
		if (array_reserve(&l->roots, &l->root_cap, location + 1, 1, UINT32_MAX))
			return false;
		memset(l->roots + l->root_cnt, ROOT_UNKNOWN, l->root_cap - l->root_cnt);
		l->root_cnt = l->root_cap;
	}
	if (l->roots[location] == ROOT_UNKNOWN)
		l->roots[location] =
			symbols_is_root(l->syms, &map->build_id,
					strtab_get(&l->model->strings, map->path), loc->addr)
				? ROOT_YES
				: ROOT_NO;
	return l->roots[location] == ROOT_YES;
}
