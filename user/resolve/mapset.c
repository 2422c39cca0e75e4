/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* mapset.c - a sorted array of spans. */
#include "resolve/mapset.h"

#include <string.h>

void mapset_release(struct mapset *m)
{
	free(m->spans);
	*m = (struct mapset){};
}

void mapset_clear(struct mapset *m)
{
	m->cnt = 0;
}

int mapset_copy(struct mapset *to, const struct mapset *from)
{
	int err = array_reserve(&to->spans, &to->cap, from->cnt, sizeof(*to->spans), MAPSET_MAX);

	if (err)
		return err;
	if (from->cnt)
		memcpy(to->spans, from->spans, from->cnt * sizeof(*to->spans));
	to->cnt = from->cnt;
	return 0;
}

/* First span that ends above addr. */
static size_t lower(const struct mapset *m, uint64_t addr)
{
	size_t lo = 0, hi = m->cnt;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (m->spans[mid].end > addr)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

const struct span *mapset_find(const struct mapset *m, uint64_t addr)
{
	size_t i = lower(m, addr);

	return i < m->cnt && m->spans[i].start <= addr ? &m->spans[i] : NULL;
}

int mapset_put(struct mapset *m, const struct span *s)
{
	size_t first = lower(m, s->start), last = first, keep_cnt = 0;
	struct span keep[3];
	int err;

	if (s->start >= s->end)
		return 0;
	/* At most two more than now: a span cut in two by the new one in its middle. */
	err = array_reserve(&m->spans, &m->cap, m->cnt + 2, sizeof(*m->spans), MAPSET_MAX);
	if (err)
		return err;
	while (last < m->cnt && m->spans[last].start < s->end)
		last++;
	if (first < last && m->spans[first].start < s->start) {
		keep[keep_cnt] = m->spans[first];
		keep[keep_cnt++].end = s->start;
	}
	keep[keep_cnt++] = *s;
	if (first < last && m->spans[last - 1].end > s->end) {
		struct span tail = m->spans[last - 1];

		tail.off += s->end - tail.start;
		tail.start = s->end;
		keep[keep_cnt++] = tail;
	}
	memmove(&m->spans[first + keep_cnt], &m->spans[last], (m->cnt - last) * sizeof(*m->spans));
	memcpy(&m->spans[first], keep, keep_cnt * sizeof(*keep));
	m->cnt = m->cnt - (last - first) + keep_cnt;
	return 0;
}
