/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * fuzz_render.c - a hostile profile as people and programs read it: report, JSON, flame graph. Names are cleaned on
 * the way, so no control character and no byte that is not UTF-8 comes out, and in the picture no element
 * but those that a picture has.
 */
#include "fuzz.h"
#include "profile/pprof.h"
#include "render/render.h"

/* The byte sequences of UTF-8, RFC 3629: length of the one at p, 0: it is none. */
static size_t utf8_len(const uint8_t *p, size_t left)
{
	static const struct {
		uint8_t first, last, low, high, len; /* low, high: of the second byte */
	} forms[] = {
		{ 0x00, 0x7f, 0, 0, 1 },       { 0xc2, 0xdf, 0x80, 0xbf, 2 },
		{ 0xe0, 0xe0, 0xa0, 0xbf, 3 }, { 0xe1, 0xec, 0x80, 0xbf, 3 },
		{ 0xed, 0xed, 0x80, 0x9f, 3 }, { 0xee, 0xef, 0x80, 0xbf, 3 },
		{ 0xf0, 0xf0, 0x90, 0xbf, 4 }, { 0xf1, 0xf3, 0x80, 0xbf, 4 },
		{ 0xf4, 0xf4, 0x80, 0x8f, 4 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
		if (*p < forms[i].first || *p > forms[i].last)
			continue;
		if (forms[i].len > left ||
		    (forms[i].len > 1 && (p[1] < forms[i].low || p[1] > forms[i].high)))
			return 0;
		for (size_t k = 2; k < forms[i].len; k++)
			if ((p[k] & 0xc0) != 0x80)
				return 0;
		return forms[i].len;
	}
	return 0;
}

static void text_check(const char *text, size_t len)
{
	for (size_t i = 0, n; i < len; i += n) {
		uint8_t c = (uint8_t)text[i];

		n = utf8_len((const uint8_t *)text + i, len - i);
		FUZZ_CHECK(n && (c >= ' ' || c == '\n' || c == '\t') && c != 0x7f);
	}
}

/* Braces and strings of JSON match. */
static void json_check(const char *text, size_t len)
{
	bool is_string = false;
	long depth = 0;

	for (size_t i = 0; i < len; i++) {
		if (is_string && text[i] == '\\')
			i++;
		else if (text[i] == '"')
			is_string = !is_string;
		else if (!is_string && strchr("{[", text[i]))
			depth++;
		else if (!is_string && strchr("}]", text[i]))
			FUZZ_CHECK(--depth >= 0);
		FUZZ_CHECK(!is_string || text[i] != '\n');
	}
	FUZZ_CHECK(!is_string && !depth);
}

static void svg_check(const char *text, size_t len)
{
	size_t scripts = 0;

	for (const char *p = text; (p = memmem(p, (size_t)(text + len - p), "<script", 7)); p++)
		scripts++;
	FUZZ_CHECK(scripts <= 1);
}

enum kind {
	TEXT,
	JSON,
	FLAME,
	KIND_CNT
};

static void render(const struct model *m, const struct summary *s, enum kind kind, bool is_inverted)
{
	const struct report_opts o = { .top_cnt = 20, .min_pct = is_inverted ? 0 : 1 };
	const struct flame_opts f = { .is_inverted = is_inverted, .with_thread = !is_inverted };
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	FUZZ_CHECK(out);
	FUZZ_CHECK(!(kind == TEXT   ? report_text(m, s, &o, out)
		     : kind == JSON ? report_json(m, s, &o, out)
				    : flame_write(m, &f, out)));
	FUZZ_CHECK(!fclose(out));
	text_check(text, len);
	if (kind == JSON)
		json_check(text, len);
	if (kind == FLAME)
		svg_check(text, len);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	bool is_inverted = size && data[size - 1] & 1;
	int fd = fuzz_fd(data, size);
	struct summary s;
	struct model m;

	FUZZ_CHECK(!model_init(&m));
	if (!pprof_read(fd, "input", &m, NULL) && !summary_init(&m, &s)) {
		for (int k = 0; k < KIND_CNT; k++)
			render(&m, &s, (enum kind)k, is_inverted);
		summary_release(&s);
	}
	model_release(&m);
	close(fd);
	return 0;
}
