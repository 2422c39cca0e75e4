/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * locnames.h - the names of all locations of a profile, cleaned and interned once: samples are
 * many, locations few. For the renderers only.
 */
#ifndef BSTACK_RENDER_LOCNAMES_H
#define BSTACK_RENDER_LOCNAMES_H

#include "profile/model.h"

struct loc_names {
	uint32_t *first; /* by location, and one more: where its names begin in ids */
	uint32_t *ids;   /* string ids, a location's innermost function first */
	uint8_t *kinds;  /* by location: enum module_kind */
};
/* Names go into names, an initialised table. 0, -ENOMEM or -E2BIG. */
int loc_names_init(const struct model *m, struct strtab *names, struct loc_names *ret);
void loc_names_release(struct loc_names *l);

#endif
