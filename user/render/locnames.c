/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* locnames.c - see locnames.h. */
#include "render/locnames.h"

#include "profile/folded.h"
#include "render/render.h"

const char *const module_kind_keys[MODULE_KIND_CNT] = {
	[MODULE_ELF] = "elf",       [MODULE_NO_ID] = "no-build-id", [MODULE_JIT] = "jit",
	[MODULE_ANON] = "anon",     [MODULE_VDSO] = "vdso",         [MODULE_KERNEL] = "kernel",
	[MODULE_OTHER] = "unknown",
};

/* Where each location's names begin; the total is in the last. */
static int count_names(const struct model *m, struct loc_names *l)
{
	size_t cnt = 0;

	for (size_t i = 0; i < m->location_cnt; i++) {
		l->first[i] = (uint32_t)cnt;
		cnt += model_name_cnt(m, (uint32_t)i);
		if (cnt >= UINT32_MAX)
			return -E2BIG;
	}
	l->first[m->location_cnt] = (uint32_t)cnt;
	return 0;
}

static int intern_names(const struct model *m, struct strtab *names, struct loc_names *l)
{
	struct buf raw = {}, clean = {};
	int err = 0;

	for (size_t i = 0; !err && i < m->location_cnt; i++) {
		l->kinds[i] = (uint8_t)model_kind(m, (uint32_t)i);
		for (uint32_t k = l->first[i]; !err && k < l->first[i + 1]; k++) {
			buf_reset(&raw);
			buf_reset(&clean);
			model_name(m, (uint32_t)i, k - l->first[i], &raw);
			name_clean(&clean, raw.data ? raw.data : "");
			err = raw.err ? raw.err : clean.err;
			if (!err)
				err = strtab_add(names, clean.data ? clean.data : "", &l->ids[k]);
		}
	}
	buf_release(&raw);
	buf_release(&clean);
	return err;
}

int loc_names_init(const struct model *m, struct strtab *names, struct loc_names *ret)
{
	struct loc_names l = {
		.first = calloc(m->location_cnt + 1, sizeof(*l.first)),
		.kinds = calloc(m->location_cnt + 1, sizeof(*l.kinds)),
	};
	int err = l.first && l.kinds ? count_names(m, &l) : -ENOMEM;

	if (!err) {
		l.ids = calloc((size_t)l.first[m->location_cnt] + 1, sizeof(*l.ids));
		err = l.ids ? intern_names(m, names, &l) : -ENOMEM;
	}
	if (err) {
		loc_names_release(&l);
		return err;
	}
	*ret = l;
	return 0;
}

void loc_names_release(struct loc_names *l)
{
	free(l->first);
	free(l->ids);
	free(l->kinds);
	*l = (struct loc_names){};
}
