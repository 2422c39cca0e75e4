/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* evidence.c - the tables behind evidence.h. */
#include "base/evidence.h"

#include <string.h>

#define X(sym, k, t) [sym] = { .key = (k), .text = (t) },
const struct term evidence_terms[EVID_CNT] = { EVIDENCE_LIST(X) };
const struct term reason_terms[REASON_CNT] = { REASON_LIST(X) };
const struct term cause_terms[CAUSE_CNT] = { CAUSE_LIST(X) };
const struct term frame_fallback_terms[FFB_CNT] = { FRAME_FALLBACK_LIST(X) };
const struct term outcome_terms[OUTCOME_CNT] = { OUTCOME_LIST(X) };
const struct term stop_terms[STOP_CNT] = { STOP_LIST(X) };
#undef X

int term_find(const struct term *terms, size_t cnt, const char *key, size_t len)
{
	for (size_t i = 0; i < cnt; i++)
		if (strlen(terms[i].key) == len && !memcmp(terms[i].key, key, len))
			return (int)i;
	return -1;
}
