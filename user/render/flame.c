/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * flame.c - a profile as an interactive SVG. The file holds the picture drawn, for viewers without
 * script, and all its frames as numbers, from which the script (flame.js) draws it anew at each
 * zoom: a table of names and for each frame {depth, gap, total, name}, where gap is how far its
 * left edge is from the end of what is drawn left of it. Everything is ASCII; names are escaped
 * where they stand.
 */
#include "render/flame.h"

#include <string.h>

#define TITLE_MAX   54  /* characters between the details at the left and the search box */
#define TITLE_CHARS 160 /* of a tooltip without script; the script shows all */

static const char flame_js[] = {
#include "flame_js.h"
};

/* Code of files is warm; what is not a plain file stands out. */
const char *const flame_colors[FLAME_KIND_CNT][FLAME_SHADES] = {
	[MODULE_ELF] = { "#f4743b", "#f79a3e", "#fbb84a", "#ee5f3c", "#f9cb5c", "#f28a4d" },
	[MODULE_NO_ID] = { "#c9a27e", "#d3b08f", "#bf9570", "#d9bb9e", "#cba987", "#b98d66" },
	[MODULE_JIT] = { "#6cc070", "#7fcb7a", "#8fd48a", "#5fb668", "#9bdb95", "#75c57a" },
	[MODULE_ANON] = { "#b79ad6", "#c3a9de", "#ab8ccd", "#cdb7e4", "#b193d2", "#bfa4db" },
	[MODULE_VDSO] = { "#58c4c4", "#6bcdcb", "#7dd5d2", "#4bbab9", "#8fdcd8", "#62c9c8" },
	[MODULE_KERNEL] = { "#6fa3e0", "#80afe5", "#91bbe9", "#6199db", "#a0c4ed", "#78a9e2" },
	[MODULE_OTHER] = { "#b4b4b4", "#bebebe", "#aaaaaa", "#c6c6c6", "#b0b0b0", "#bababa" },
	[KIND_GROUP] = { "#e3d5c0", "#e3d5c0", "#e3d5c0", "#e3d5c0", "#e3d5c0", "#e3d5c0" },
	[KIND_NAMED] = { "#f4743b", "#f79a3e", "#fbb84a", "#ee5f3c", "#f9cb5c", "#f28a4d" },
};

static const char *const kind_texts[FLAME_KIND_CNT] = {
	[MODULE_ELF] = "file with build-id",
	[MODULE_NO_ID] = "file without build-id",
	[MODULE_JIT] = "JIT",
	[MODULE_ANON] = "anonymous memory",
	[MODULE_VDSO] = "vdso",
	[MODULE_KERNEL] = "kernel",
	[MODULE_OTHER] = "unknown",
	[KIND_GROUP] = "",
	[KIND_NAMED] = "module not recorded",
};

struct flame {
	const struct flame_opts *o;
	const struct tree *t;
	const char *unit;
	bool is_foreign; /* nothing says what the modules are */
	struct flame_layout l;
	double height;
	struct sink sink;
};

static const char *frame_name(const struct flame *f, const struct flame_frame *fr)
{
	return strtab_get(&f->t->names, f->t->nodes[fr->node].name);
}

/* Frames of others' profiles and of folded text are of a module that was not recorded: no reason to
 * draw them grey like an address that nobody knows. */
static unsigned frame_kind(const struct flame *f, const struct flame_frame *fr)
{
	unsigned kind = f->t->nodes[fr->node].kind;

	if (kind == MODULE_OTHER && f->is_foreign && strcmp(frame_name(f, fr), "[unknown]") != 0)
		return KIND_NAMED;
	return kind;
}

static double frame_y(const struct flame *f, uint32_t depth)
{
	uint32_t row = f->o->is_inverted ? depth : f->l.depth_max - depth;

	return FLAME_HEAD + (double)row * FLAME_ROW;
}

static double to_px(const struct flame *f, uint64_t n)
{
	return (double)n / (double)f->t->nodes[0].total * (FLAME_WIDTH - 2 * FLAME_PAD);
}

/* A number of pixels without needless digits. */
static void px(struct buf *b, const char *name, double v)
{
	long tenths = (long)(v * 10 + 0.5);

	if (tenths % 10)
		buf_printf(b, " %s=\"%ld.%ld\"", name, tenths / 10, tenths % 10);
	else
		buf_printf(b, " %s=\"%ld\"", name, tenths / 10);
}

static void header(struct flame *f)
{
	struct buf *b = &f->sink.b;

	buf_printf(
		b,
		"<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"bstack-flame\" width=\"%d\" "
		"height=\"%.0f\" viewBox=\"0 0 %d %.0f\" font-family=\"ui-monospace, 'DejaVu Sans "
		"Mono', Menlo, Consolas, monospace\" font-size=\"12\">\n",
		FLAME_WIDTH, f->height, FLAME_WIDTH, f->height);
	buf_str(b, "<style>.bstack-flame .bs-frames rect{rx:2px}"
		   ".bstack-flame .bs-live rect{cursor:pointer}"
		   ".bstack-flame .bs-live rect:hover{stroke:#222;stroke-width:.8}"
		   ".bstack-flame text{white-space:pre}"
		   ".bstack-flame .bs-button{cursor:pointer}"
		   ".bstack-flame .bs-button:hover{text-decoration:underline}</style>\n"
		   "<defs><linearGradient id=\"bstack-sky\" x1=\"0\" y1=\"0\" x2=\"0\" y2=\"1\">"
		   "<stop offset=\"0\" stop-color=\"#fdfcf8\"/><stop offset=\"1\" "
		   "stop-color=\"#f6ecd2\"/></linearGradient></defs>\n");
	buf_printf(b,
		   "<rect class=\"bs-back\" width=\"%d\" height=\"%.0f\" "
		   "fill=\"url(#bstack-sky)\"/>\n",
		   FLAME_WIDTH, f->height);
}

/* "1 sample", "1,234 samples" */
static void amount(struct flame *f, uint64_t n)
{
	char num[NUM_SZ];

	buf_printf(&f->sink.b, "%s ", num_group(n, num));
	xml_add(&f->sink.b, n == 1 && !f->o->by_weight ? "sample" : f->unit, 40);
}

/* The bar on top: the script adds its buttons to it. */
static void bar(struct flame *f)
{
	const char *title = f->o->title ? f->o->title : "Flame Graph";
	struct buf *b = &f->sink.b;

	buf_printf(b, "<g class=\"bs-bar\"><rect width=\"%d\" height=\"%d\" fill=\"#fdfcf8\"/>\n",
		   FLAME_WIDTH, FLAME_HEAD - 8);
	buf_printf(b,
		   "<text class=\"bs-title\" x=\"%d\" y=\"28\" text-anchor=\"middle\" "
		   "font-size=\"18\" fill=\"#333\">",
		   FLAME_WIDTH / 2);
	xml_add(b, title, TITLE_MAX);
	buf_printf(b, "</text>\n<text class=\"bs-details\" x=\"%d\" y=\"58\" fill=\"#333\">",
		   FLAME_PAD);
	amount(f, f->t->nodes[0].total);
	buf_str(b, "</text></g>\n");
}

static void frame_title(struct flame *f, const struct flame_frame *fr)
{
	uint64_t total = f->t->nodes[fr->node].total;
	struct buf *b = &f->sink.b;
	char pct[NUM_SZ];

	buf_str(b, "<title>");
	xml_add(b, frame_name(f, fr), TITLE_CHARS);
	buf_str(b, " (");
	amount(f, total);
	buf_printf(b, ", %s)</title>", num_pct(total, f->t->nodes[0].total, pct));
}

static void frame_rect(struct flame *f, const struct flame_frame *fr)
{
	const struct tree_node *n = &f->t->nodes[fr->node];
	double width = to_px(f, n->total);
	struct buf *b = &f->sink.b;

	buf_str(b, "<rect");
	px(b, "x", FLAME_PAD + to_px(f, fr->start));
	px(b, "y", frame_y(f, fr->depth));
	px(b, "width", width > 2 ? width - 0.5 : width > 0.1 ? width : 0.1);
	buf_printf(b, " height=\"%d\" fill=\"%s\"", FLAME_ROW - 1,
		   flame_colors[frame_kind(f, fr)][flame_shade(frame_name(f, fr))]);
	if (n->total >= f->l.title_cut) {
		buf_char(b, '>');
		frame_title(f, fr);
		buf_str(b, "</rect>\n");
	} else {
		buf_str(b, "/>\n");
	}
}

static void frame_text(struct flame *f, const struct flame_frame *fr)
{
	double width = to_px(f, f->t->nodes[fr->node].total);
	double chars = (width - 6) / FLAME_CHAR;
	struct buf *b = &f->sink.b;

	if (chars < 3)
		return;
	buf_str(b, "<text");
	px(b, "x", FLAME_PAD + to_px(f, fr->start) + 3);
	px(b, "y", frame_y(f, fr->depth) + 12);
	buf_char(b, '>');
	xml_add(b, frame_name(f, fr), (size_t)chars);
	buf_str(b, "</text>\n");
}

/* What a viewer without script sees. Returns how many frames were too narrow for it. */
static uint64_t static_frames(struct flame *f)
{
	uint64_t hidden = 0;

	buf_str(&f->sink.b, "<g class=\"bs-frames\">\n");
	for (size_t i = 0; i < f->l.cnt; i++) {
		const struct flame_frame *fr = &f->l.frames[i];

		if (f->t->nodes[fr->node].total < f->l.static_cut) {
			hidden++;
			continue;
		}
		frame_rect(f, fr);
		frame_text(f, fr);
		sink_tick(&f->sink);
	}
	buf_str(&f->sink.b, "</g>\n");
	return hidden;
}

static void legend(struct flame *f)
{
	bool is_there[FLAME_KIND_CNT] = {};
	struct buf *b = &f->sink.b;
	double x = FLAME_PAD;

	for (size_t i = 0; i < f->l.cnt; i++)
		is_there[frame_kind(f, &f->l.frames[i])] = true;
	buf_str(b, "<g class=\"bs-legend\" fill=\"#555\">\n");
	for (unsigned kind = 0; kind < FLAME_KIND_CNT; kind++) {
		if (!is_there[kind] || kind == KIND_GROUP)
			continue;
		buf_str(b, "<rect");
		px(b, "x", x);
		px(b, "y", f->height - 40);
		buf_printf(b, " width=\"12\" height=\"12\" fill=\"%s\"/><text",
			   flame_colors[kind][0]);
		px(b, "x", x + 17);
		px(b, "y", f->height - 30);
		buf_printf(b, ">%s</text>\n", kind_texts[kind]);
		x += 17 + (double)(strlen(kind_texts[kind]) + 2) * FLAME_CHAR;
	}
	buf_str(b, "</g>\n");
}

/* What is not in the picture. */
static void notes(struct flame *f, uint64_t hidden)
{
	char num[NUM_SZ];
	struct buf *b = &f->sink.b;

	buf_printf(b, "<text class=\"bs-notes\" x=\"%d\"", FLAME_PAD);
	px(b, "y", f->height - 10);
	buf_str(b, " fill=\"#777\">");
	if (hidden)
		buf_printf(b, "%s frames too narrow to draw. ", num_group(hidden, num));
	if (f->l.dropped)
		buf_printf(b, "%s frames, the narrowest, are not in this file.",
			   num_group(f->l.dropped, num));
	buf_str(b, "</text>\n");
}

/* Names with their kinds, each once, in the order of their first frame; *ret_ids by tree node. */
static int script_names(struct flame *f, uint32_t **ret_ids)
{
	uint32_t *ids = calloc(f->t->cnt, sizeof(*ids)), cnt = 0;
	uint32_t *id_of = calloc(f->t->names.cnt * (KIND_GROUP + 1), sizeof(*id_of));
	struct buf *b = &f->sink.b, kinds = {};
	int err = ids && id_of ? 0 : -ENOMEM;

	buf_str(b, "names: [");
	for (size_t i = 0; !err && i < f->l.cnt; i++) {
		const struct tree_node *n = &f->t->nodes[f->l.frames[i].node];
		uint32_t *id = &id_of[(size_t)n->name * (KIND_GROUP + 1) + n->kind];

		if (!*id) {
			const char *name = strtab_get(&f->t->names, n->name);

			buf_str(b, cnt ? ",\n" : "");
			script_add(b, name);
			buf_printf(&kinds, "%u%u", frame_kind(f, &f->l.frames[i]),
				   flame_shade(name));
			*id = ++cnt;
			sink_tick(&f->sink);
		}
		ids[f->l.frames[i].node] = *id - 1;
	}
	buf_str(b, "],\n");
	buf_printf(b, "kinds: \"%s\",\n", kinds.data ? kinds.data : "");
	err = err ? err : kinds.err;
	buf_release(&kinds);
	free(id_of);
	if (err)
		free(ids);
	else
		*ret_ids = ids;
	return err;
}

/* Frames as {depth, gap, total, name}; ends[depth] is where the frames so far end at that depth. */
static int script_frames(struct flame *f, const uint32_t *name_ids)
{
	uint64_t *ends = calloc((size_t)f->l.depth_max + 2, sizeof(*ends));
	struct buf *b = &f->sink.b;

	if (!ends)
		return -ENOMEM;
	buf_str(b, "frames: [");
	for (size_t i = 0; i < f->l.cnt; i++) {
		const struct flame_frame *fr = &f->l.frames[i];
		uint64_t total = f->t->nodes[fr->node].total;

		buf_printf(b, "%s%u,%llu,%llu,%u",
			   !i      ? ""
			   : i % 8 ? ","
				   : ",\n",
			   fr->depth, (unsigned long long)(fr->start - ends[fr->depth]),
			   (unsigned long long)total, name_ids[fr->node]);
		ends[fr->depth] = fr->start + total;
		ends[fr->depth + 1] = fr->start;
		sink_tick(&f->sink);
	}
	buf_str(b, "]\n");
	free(ends);
	return 0;
}

static void script_settings(struct flame *f)
{
	struct buf *b = &f->sink.b;

	buf_printf(b, "width: %d, pad: %d, head: %d, row: %d, charWidth: %g, minPx: %g,\n",
		   FLAME_WIDTH, FLAME_PAD, FLAME_HEAD, FLAME_ROW, FLAME_CHAR,
		   f->o->min_px > 0 ? f->o->min_px : 0);
	buf_printf(b, "depthMax: %u, dropped: %llu, isInverted: %s, unit: ", f->l.depth_max,
		   (unsigned long long)f->l.dropped, f->o->is_inverted ? "true" : "false");
	script_add(b, f->unit);
	buf_str(b, ",\nkindTexts: [");
	for (unsigned kind = 0; kind < FLAME_KIND_CNT; kind++)
		buf_printf(b, "%s\"%s\"", kind ? "," : "", kind_texts[kind]);
	buf_str(b, "],\ncolors: [");
	for (unsigned kind = 0; kind < FLAME_KIND_CNT; kind++)
		for (int i = 0; i < FLAME_SHADES; i++)
			buf_printf(b, "%s\"%s\"", kind || i ? "," : "", flame_colors[kind][i]);
	buf_printf(b, "], shades: %d,\n", FLAME_SHADES);
}

static int script(struct flame *f)
{
	uint32_t *name_ids;
	int err;

	buf_str(&f->sink.b, "<script><![CDATA[\n(function () {\n");
	buf_str(&f->sink.b, flame_js);
	buf_str(&f->sink.b, "flame({\n");
	script_settings(f);
	err = script_names(f, &name_ids);
	if (err)
		return err;
	err = script_frames(f, name_ids);
	free(name_ids);
	buf_str(&f->sink.b, "});\n})();\n]]></script>\n");
	return err;
}

static int picture(struct flame *f)
{
	int err = 0;

	f->height = FLAME_HEAD + (double)(f->l.depth_max + 1) * FLAME_ROW + FLAME_FOOT;
	header(f);
	if (f->l.cnt) {
		notes(f, static_frames(f));
		legend(f);
	} else {
		buf_printf(&f->sink.b,
			   "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\" "
			   "font-size=\"14\" fill=\"#a33\">The profile holds no samples.</text>\n",
			   FLAME_WIDTH / 2, FLAME_HEAD + 20);
	}
	bar(f);
	if (f->l.cnt)
		err = script(f);
	buf_str(&f->sink.b, "</svg>\n");
	return err;
}

int flame_write(const struct model *m, const struct flame_opts *o, FILE *out)
{
	struct tree_opts to = {
		.by_weight = o->by_weight,
		.with_thread = o->with_thread,
		.is_inverted = o->is_inverted,
	};
	struct flame f = { .o = o, .unit = "samples", .is_foreign = !m->has_ledger };
	struct tree t;
	int err, end;

	if (o->by_weight && m->event_unit)
		f.unit = strtab_get(&m->strings, m->event_unit);
	err = tree_init(m, &to, &t);
	if (err)
		return err;
	f.t = &t;
	err = flame_layout_init(&t, o->min_px, &f.l);
	if (!err) {
		sink_init(&f.sink, out);
		err = picture(&f);
		end = sink_end(&f.sink);
		err = end ? end : err;
		flame_layout_release(&f.l);
	}
	tree_release(&t);
	return err;
}
