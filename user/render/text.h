/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * text.h - writing hostile names and numbers, for the renderers only: a sink that remembers the
 * first error, escapes for terminal, XML, JavaScript and JSON, numbers and shares as people read
 * them.
 */
#ifndef BSTACK_RENDER_TEXT_H
#define BSTACK_RENDER_TEXT_H

#include "base/base.h"

/* Collects in b, which the buf_ functions append to, and passes on to out in large pieces. A failed
 * write becomes b.err, after which appends do nothing. */
struct sink {
	FILE *out;
	struct buf b;
};
void sink_init(struct sink *s, FILE *out);
void sink_tick(struct sink *s); /* call once an item: writes when enough has come together */
int sink_end(struct sink *s);   /* writes the rest and releases: 0 or -errno */

/* Next code point of *s, which moves on; U+FFFD for bytes that are not UTF-8; 0 at the end. */
uint32_t utf8_next(const char **s);
size_t utf8_len(const char *s); /* in code points */
/* Code points that move, hide or end things: controls, bidirectional overrides, non-characters. */
bool is_unprintable(uint32_t cp);

/* Append at most max_cnt code points, ".." at the end when there are more; what is unprintable
 * becomes '?'. Return the number of columns. */
size_t text_add(struct buf *b, const char *s, size_t max_cnt); /* UTF-8 */
size_t xml_add(struct buf *b, const char *s, size_t max_cnt);  /* ASCII, markup escaped */
/* Append a string with its quotes. For a script in a document: ASCII, and without < > & '. */
void json_add(struct buf *b, const char *s);
void script_add(struct buf *b, const char *s);

#define NUM_SZ 32
const char *num_group(uint64_t n, char s[NUM_SZ]); /* "1,234,567" */
/* "12.34 %"; 100.00 and 0.00 only when it is all and nothing; "" when whole is 0. */
const char *num_pct(uint64_t part, uint64_t whole, char s[NUM_SZ]);

#endif
