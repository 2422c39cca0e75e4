/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* suggest.c - "did you mean": the name nearest to what was typed. */
#include "cli/opt.h"

#include <string.h>

#define SUGGEST_MAX 40 /* longer words are no slips of ours */

static size_t min3(size_t a, size_t b, size_t c)
{
	size_t m = a < b ? a : b;

	return m < c ? m : c;
}

/* Edits from a to b: insert, delete, replace, swap neighbours. Both at most SUGGEST_MAX long. */
static size_t edit_distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
	size_t rows[3][SUGGEST_MAX + 1];
	size_t *before = rows[0], *prev = rows[1], *cur = rows[2];

	for (size_t j = 0; j <= b_len; j++)
		prev[j] = j;
	for (size_t i = 1; i <= a_len; i++) {
		size_t *oldest = before;

		cur[0] = i;
		for (size_t j = 1; j <= b_len; j++) {
			size_t differs = a[i - 1] != b[j - 1];

			cur[j] = min3(prev[j] + 1, cur[j - 1] + 1, prev[j - 1] + differs);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				cur[j] = min3(cur[j], before[j - 2] + 1, SIZE_MAX);
		}
		before = prev;
		prev = cur;
		cur = oldest;
	}
	return prev[b_len];
}

void suggestion_offer(struct suggestion *s, const char *name)
{
	size_t typed_len = strlen(s->typed), len = strlen(name), distance, limit;

	if (typed_len < 2 || typed_len > SUGGEST_MAX || len > SUGGEST_MAX)
		return;
	distance = edit_distance(s->typed, typed_len, name, len);
	limit = (typed_len > len ? typed_len : len) / 3;
	if (!strncmp(s->typed, name, typed_len))
		distance = 1; /* a prefix: not accepted, but surely meant */
	else if (distance > (limit ? limit : 1))
		return;
	if (!s->best || distance < s->best_distance) {
		s->best = name;
		s->best_distance = distance;
	}
}
