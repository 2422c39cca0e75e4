/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * ranges.c - address ranges that may overlap and nest, turned into pieces that do not, so that a
 * look-up is one binary search and a gap is a gap.
 */
#include <string.h>

#include "symbol/elf_impl.h"

#define RADIX_BITS 11
#define RADIX_CNT  (1U << RADIX_BITS)

uint32_t range_len(uint64_t start, uint64_t size)
{
	if (size > UINT64_MAX - start)
		size = UINT64_MAX - start;
	return size > UINT32_MAX ? UINT32_MAX : (uint32_t)size;
}

/* One pass of a radix sort by RADIX_BITS of start - low. */
static void radix_pass(const struct range_in *src, struct range_in *dst, size_t cnt, uint64_t low,
		       unsigned int shift)
{
	size_t at[RADIX_CNT] = {}, sum = 0;

	for (size_t i = 0; i < cnt; i++)
		at[(src[i].start - low) >> shift & (RADIX_CNT - 1)]++;
	for (size_t i = 0; i < RADIX_CNT; i++) {
		size_t n = at[i];

		at[i] = sum;
		sum += n;
	}
	for (size_t i = 0; i < cnt; i++)
		dst[at[(src[i].start - low) >> shift & (RADIX_CNT - 1)]++] = src[i];
}

int ranges_sort(struct range_in *in, size_t cnt)
{
	struct range_in *from = in, *to, *scratch;
	uint64_t low = UINT64_MAX, high = 0;
	bool is_sorted = true;

	for (size_t i = 0; i < cnt; i++) {
		low = in[i].start < low ? in[i].start : low;
		is_sorted &= in[i].start >= high;
		high = in[i].start > high ? in[i].start : high;
	}
	if (is_sorted)
		return 0;
	scratch = malloc(cnt * sizeof(*scratch));
	if (!scratch)
		return -ENOMEM;
	to = scratch;
	for (unsigned int shift = 0; shift < 64 && (high - low) >> shift; shift += RADIX_BITS) {
		struct range_in *t = from;

		radix_pass(from, to, cnt, low, shift);
		from = to;
		to = t;
	}
	if (from != in)
		memcpy(in, from, cnt * sizeof(*in));
	free(scratch);
	return 0;
}

/* A heap of indices into in[], the highest prio on top. */
struct heap {
	const struct range_in *in;
	uint32_t *idx;
	size_t cnt, cap;
};

static int heap_push(struct heap *h, uint32_t idx)
{
	size_t at = h->cnt;
	int err;

	err = array_reserve(&h->idx, &h->cap, h->cnt + 1, sizeof(*h->idx), RANGE_MAX_CNT);
	if (err)
		return err;
	for (h->cnt++; at && h->in[h->idx[(at - 1) / 2]].prio < h->in[idx].prio; at = (at - 1) / 2)
		h->idx[at] = h->idx[(at - 1) / 2];
	h->idx[at] = idx;
	return 0;
}

static void heap_pop(struct heap *h)
{
	uint32_t last = h->idx[--h->cnt];
	size_t at = 0;

	for (;;) {
		size_t kid = 2 * at + 1;

		if (kid >= h->cnt)
			break;
		if (kid + 1 < h->cnt && h->in[h->idx[kid + 1]].prio > h->in[h->idx[kid]].prio)
			kid++;
		if (h->in[h->idx[kid]].prio <= h->in[last].prio)
			break;
		h->idx[at] = h->idx[kid];
		at = kid;
	}
	h->idx[at] = last;
}

static void heap_expire(struct heap *h, uint64_t pos)
{
	while (h->cnt && h->in[h->idx[0]].start + h->in[h->idx[0]].len <= pos)
		heap_pop(h);
}

static int piece_add(struct ranges *r, uint64_t start, uint64_t end, const struct range_in *in)
{
	uint32_t delta = (uint32_t)(start - in->start), len = (uint32_t)(end - start);
	struct range_piece *last = r->cnt ? &r->pieces[r->cnt - 1] : NULL;
	int err;

	/* a range of lower prio began inside this one: go on with the same piece */
	if (last && last->val == in->val && r->starts[r->cnt - 1] + last->len == start &&
	    last->delta + (uint64_t)last->len == delta) {
		last->len += len;
		return 0;
	}
	err = array_reserve(&r->starts, &r->starts_cap, r->cnt + 1, sizeof(*r->starts),
			    2 * RANGE_MAX_CNT);
	if (!err)
		err = array_reserve(&r->pieces, &r->pieces_cap, r->cnt + 1, sizeof(*r->pieces),
				    2 * RANGE_MAX_CNT);
	if (err)
		return err;
	r->starts[r->cnt] = start;
	r->pieces[r->cnt++] = (struct range_piece){ .len = len, .val = in->val, .delta = delta };
	return 0;
}

/* Walk over the addresses from one start or end to the next; the top of the heap owns what lies
 * between. */
static int sweep(const struct range_in *in, size_t cnt, struct heap *h, struct ranges *r)
{
	uint64_t pos = 0, end;
	size_t next = 0;
	int err = 0;

	while (!err && (next < cnt || h->cnt)) {
		if (!h->cnt)
			pos = in[next].start;
		heap_expire(h, pos);
		while (!err && next < cnt && in[next].start <= pos)
			err = heap_push(h, (uint32_t)next++);
		heap_expire(h, pos);
		if (err || !h->cnt)
			continue;
		end = in[h->idx[0]].start + in[h->idx[0]].len;
		if (next < cnt && in[next].start < end)
			end = in[next].start;
		err = piece_add(r, pos, end, &in[h->idx[0]]);
		pos = end;
	}
	return err;
}

int ranges_build(struct range_in *in, size_t cnt, struct ranges *ret)
{
	struct heap h = { .in = in };
	struct ranges r = {};
	int err;

	if (cnt > RANGE_MAX_CNT)
		return -E2BIG;
	err = ranges_sort(in, cnt);
	if (!err)
		err = sweep(in, cnt, &h, &r);
	free(h.idx);
	if (err) {
		ranges_release(&r);
		return err;
	}
	*ret = r;
	return 0;
}

void ranges_release(struct ranges *r)
{
	free(r->starts);
	free(r->pieces);
	*r = (struct ranges){};
}

const struct range_piece *ranges_find(const struct ranges *r, uint64_t addr, uint64_t *ret_off)
{
	size_t lo = 0, hi = r->cnt;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (r->starts[mid] <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (!lo || addr - r->starts[lo - 1] >= r->pieces[lo - 1].len)
		return NULL;
	*ret_off = addr - r->starts[lo - 1] + r->pieces[lo - 1].delta;
	return &r->pieces[lo - 1];
}
