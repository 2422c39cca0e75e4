/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* text.c - see text.h. */
#include "render/text.h"

#include <string.h>

#define SINK_SZ 65536

void sink_init(struct sink *s, FILE *out)
{
	*s = (struct sink){ .out = out };
}

static void sink_flush(struct sink *s)
{
	errno = 0;
	if (s->b.err || !s->b.len)
		return;
	if (fwrite(s->b.data, 1, s->b.len, s->out) != s->b.len)
		s->b.err = errno ? -errno : -EIO;
	s->b.len = 0;
}

void sink_tick(struct sink *s)
{
	if (s->b.len >= SINK_SZ)
		sink_flush(s);
}

int sink_end(struct sink *s)
{
	int err;

	sink_flush(s);
	errno = 0;
	if (!s->b.err && fflush(s->out))
		s->b.err = errno ? -errno : -EIO;
	err = s->b.err;
	buf_release(&s->b);
	return err;
}

/* Length of the sequence that begins with c, and the smallest code point that needs it; 0: none. */
static size_t utf8_seq(unsigned char c, uint32_t *ret_cp, uint32_t *ret_min)
{
	if (c >= 0xc2 && c <= 0xdf) {
		*ret_cp = c & 0x1f;
		*ret_min = 0x80;
		return 2;
	}
	if (c >= 0xe0 && c <= 0xef) {
		*ret_cp = c & 0x0f;
		*ret_min = 0x800;
		return 3;
	}
	if (c >= 0xf0 && c <= 0xf4) {
		*ret_cp = c & 0x07;
		*ret_min = 0x10000;
		return 4;
	}
	return 0;
}

uint32_t utf8_next(const char **s)
{
	const unsigned char *p = (const unsigned char *)*s;
	uint32_t cp = 0, min = 0;
	size_t len;

	if (!*p)
		return 0;
	++*s;
	if (*p < 0x80)
		return *p;
	len = utf8_seq(*p, &cp, &min);
	if (!len)
		return 0xfffd;
	for (size_t i = 1; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0xfffd;
		cp = cp << 6 | (p[i] & 0x3f);
	}
	if (cp < min || cp > 0x10ffff || (cp >= 0xd800 && cp <= 0xdfff))
		return 0xfffd;
	*s += len - 1;
	return cp;
}

size_t utf8_len(const char *s)
{
	size_t cnt = 0;

	while (utf8_next(&s))
		cnt++;
	return cnt;
}

bool is_unprintable(uint32_t cp)
{
	return cp < 0x20 || (cp >= 0x7f && cp <= 0x9f) || (cp >= 0x2028 && cp <= 0x202e) ||
	       (cp >= 0x2066 && cp <= 0x2069) || cp == 0x200e || cp == 0x200f || cp == 0xfeff ||
	       (cp & 0xfffe) == 0xfffe || (cp >= 0xfdd0 && cp <= 0xfdef);
}

/* Append cp as it stands in its format. from..to are its bytes. */
typedef void emit_fn(struct buf *b, uint32_t cp, const char *from, const char *to);

static void emit_text(struct buf *b, uint32_t cp, const char *from, const char *to)
{
	if (cp == 0xfffd)
		buf_char(b, '?');
	else
		buf_add(b, from, (size_t)(to - from));
}

static void emit_xml(struct buf *b, uint32_t cp, const char *from, const char *to)
{
	(void)from;
	(void)to;
	if (cp == '&')
		buf_str(b, "&amp;");
	else if (cp == '<')
		buf_str(b, "&lt;");
	else if (cp == '>')
		buf_str(b, "&gt;");
	else if (cp == '"' || cp == '\'' || cp >= 0x80)
		buf_printf(b, "&#%u;", cp);
	else
		buf_char(b, (char)cp);
}

static size_t add_cut(struct buf *b, const char *s, size_t max_cnt, emit_fn *emit)
{
	size_t len = utf8_len(s), cnt = 0;
	size_t keep = len <= max_cnt ? len : max_cnt > 2 ? max_cnt - 2 : 0;

	for (; cnt < keep; cnt++) {
		const char *from = s;
		uint32_t cp = utf8_next(&s);

		if (is_unprintable(cp))
			buf_char(b, '?');
		else
			emit(b, cp, from, s);
	}
	for (; len > max_cnt && cnt < max_cnt; cnt++)
		buf_char(b, '.');
	return cnt;
}

size_t text_add(struct buf *b, const char *s, size_t max_cnt)
{
	return add_cut(b, s, max_cnt, emit_text);
}

size_t xml_add(struct buf *b, const char *s, size_t max_cnt)
{
	return add_cut(b, s, max_cnt, emit_xml);
}

static void add_unicode(struct buf *b, uint32_t cp)
{
	if (cp < 0x10000)
		buf_printf(b, "\\u%04x", cp);
	else
		buf_printf(b, "\\u%04x\\u%04x", 0xd7c0 + (cp >> 10), 0xdc00 + (cp & 0x3ff));
}

static void quote_add(struct buf *b, const char *s, bool is_script)
{
	buf_char(b, '"');
	while (*s) {
		const char *from = s;
		uint32_t cp = utf8_next(&s);

		if (cp == '"' || cp == '\\') {
			buf_char(b, '\\');
			buf_char(b, (char)cp);
		} else if (is_unprintable(cp) || cp == 0xfffd) {
			add_unicode(b, cp);
		} else if (is_script && cp < 0x80 && strchr("<>&'", (int)cp)) {
			buf_printf(b, "\\x%02x", cp);
		} else if (is_script && cp >= 0x80) {
			add_unicode(b, cp);
		} else {
			buf_add(b, from, (size_t)(s - from));
		}
	}
	buf_char(b, '"');
}

void json_add(struct buf *b, const char *s)
{
	quote_add(b, s, false);
}

void script_add(struct buf *b, const char *s)
{
	quote_add(b, s, true);
}

const char *num_group(uint64_t n, char s[NUM_SZ])
{
	char digits[NUM_SZ];
	int len = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)n);
	char *p = s;

	for (int i = 0; i < len; i++) {
		if (i && (len - i) % 3 == 0)
			*p++ = ',';
		*p++ = digits[i];
	}
	*p = '\0';
	return s;
}

const char *num_pct(uint64_t part, uint64_t whole, char s[NUM_SZ])
{
	double pct = whole ? 100.0 * (double)part / (double)whole : 0;

	if (part && pct < 0.01)
		pct = 0.01;
	if (part < whole && pct > 99.99)
		pct = 99.99;
	s[0] = '\0';
	if (whole)
		snprintf(s, NUM_SZ, "%.2f %%", pct);
	return s;
}
