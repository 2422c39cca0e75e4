/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* names.c - see names.h: glue between the profile and the symbol tables. */
#include "cmd/names.h"

#include <string.h>

void names_stats_release(struct names_stats *s)
{
	free(s->missing);
	*s = (struct names_stats){};
}

/* A run of names_fill(): what is known of each mapping. */
struct names_run {
	struct model *m;
	struct symbols *syms;
	struct build_id vdso_id;    /* of the running kernel; none: cannot be read */
	enum symbols_state *states; /* one a mapping */
	size_t *missing_cnts;       /* locations without a name, one a mapping */
};

static bool is_nameable(const struct names_run *r, const struct mapping *map)
{
	if (map->kind == MODULE_ELF)
		return true;
	return map->kind == MODULE_VDSO && r->vdso_id.sz &&
	       build_id_eq(&map->build_id, &r->vdso_id);
}

static void search_mappings(struct names_run *r)
{
	for (size_t i = 0; i < r->m->mapping_cnt; i++) {
		struct mapping *map = &r->m->mappings[i];

		if (!is_nameable(r, map))
			continue;
		r->states[i] = SYMBOLS_FOUND;
		if (map->kind == MODULE_ELF)
			r->states[i] = symbols_state(r->syms, &map->build_id,
						     strtab_get(&r->m->strings, map->path));
		map->is_searched = true;
		/* what an earlier search elsewhere gave its names is not unsaid by this one */
		map->has_symbols |=
			r->states[i] == SYMBOLS_FOUND || r->states[i] == SYMBOLS_EXPORTED;
	}
}

static int look_up(const struct names_run *r, const struct location *loc, struct sym_name *ret)
{
	const struct mapping *map = &r->m->mappings[loc->mapping];
	const char *path = strtab_get(&r->m->strings, map->path);

	if (map->kind == MODULE_VDSO)
		return symbols_find_vdso(r->syms, loc->addr, ret);
	if (map->is_segment_known)
		return symbols_find(r->syms, &map->build_id, path, loc->addr, ret);
	return symbols_find_off(r->syms, &map->build_id, path, loc->addr, ret);
}

static int set_name(struct model *m, uint32_t location, const struct sym_name *name)
{
	struct line line = {};
	int err = model_function(m, name->name, name->system_name ? name->system_name : "",
				 &line.function);

	return err ? err : model_set_lines(m, location, &line, 1);
}

static int fill_location(struct names_run *r, uint32_t idx, bool is_forced, struct names_stats *s)
{
	struct location *loc = &r->m->locations[idx];
	bool is_named = loc->line_cnt > 0;
	struct sym_name name;
	int err;

	if (loc->mapping >= r->m->mapping_cnt || !is_nameable(r, &r->m->mappings[loc->mapping]))
		return 0;
	s->location_cnt++;
	if (!is_named || is_forced) {
		err = look_up(r, loc, &name);
		if (!err)
			err = set_name(r->m, idx, &name);
		if (err == -ENOMEM || err == -E2BIG)
			return err;
		s->new_cnt += !err;
		is_named |= !err;
	}
	s->named_cnt += is_named;
	if (!is_named)
		r->missing_cnts[r->m->locations[idx].mapping]++;
	return 0;
}

static int missing_cmp(const void *a, const void *b)
{
	const struct names_missing *x = a, *y = b;

	if (x->location_cnt != y->location_cnt)
		return x->location_cnt < y->location_cnt ? 1 : -1;
	return x->mapping < y->mapping ? -1 : x->mapping > y->mapping;
}

static int list_missing(const struct names_run *r, struct names_stats *s)
{
	s->missing = calloc(r->m->mapping_cnt + 1, sizeof(*s->missing));
	if (!s->missing)
		return -ENOMEM;
	for (size_t i = 0; i < r->m->mapping_cnt; i++)
		if (r->missing_cnts[i])
			s->missing[s->missing_cnt++] = (struct names_missing){
				.mapping = (uint32_t)i,
				.state = r->states[i],
				.location_cnt = r->missing_cnts[i],
			};
	qsort(s->missing, s->missing_cnt, sizeof(*s->missing), missing_cmp);
	return 0;
}

static int fill_all(struct names_run *r, bool is_forced, struct names_stats *s)
{
	int err = 0;

	search_mappings(r);
	for (size_t i = 0; i < r->m->location_cnt && !err; i++)
		err = fill_location(r, (uint32_t)i, is_forced, s);
	if (!err)
		err = symbols_error(r->syms);
	return err ? err : list_missing(r, s);
}

int names_fill(struct model *m, struct symbols *syms, bool is_forced, struct names_stats *ret,
	       struct error *e)
{
	struct names_run r = { .m = m, .syms = syms };
	struct names_stats s = {};
	int err = symbols_vdso(syms, &r.vdso_id);
	bool has_memory = err != -ENOMEM;

	if (err)
		r.vdso_id = (struct build_id){};
	r.states = calloc(m->mapping_cnt + 1, sizeof(*r.states));
	r.missing_cnts = calloc(m->mapping_cnt + 1, sizeof(*r.missing_cnts));
	err = -ENOMEM;
	if (has_memory && r.states && r.missing_cnts)
		err = fill_all(&r, is_forced, &s);
	free(r.states);
	free(r.missing_cnts);
	if (err) {
		names_stats_release(&s);
		return error_errno(e, -err, "cannot name the functions of the profile");
	}
	*ret = s;
	return 0;
}

int names_fill_kernel(struct model *m, struct symbols *syms, bool *ret_denied, struct error *e)
{
	bool is_denied = false;

	for (size_t i = 0; i < m->location_cnt && !is_denied; i++) {
		const struct location *loc = &m->locations[i];
		struct sym_name name;
		int err;

		if (loc->line_cnt || loc->mapping >= m->mapping_cnt ||
		    m->mappings[loc->mapping].kind != MODULE_KERNEL)
			continue;
		err = symbols_find_kernel(syms, loc->addr, &name);
		is_denied = err == -EACCES;
		if (!err)
			err = set_name(m, (uint32_t)i, &name);
		if (err == -ENOMEM || err == -E2BIG)
			return error_errno(e, -err, "cannot name the kernel's functions");
	}
	if (ret_denied)
		*ret_denied = is_denied;
	return 0;
}
