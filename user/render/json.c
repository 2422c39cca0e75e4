/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* json.c - the report for programs: one JSON object, keys in a fixed order. */
#include <string.h>

#include "render/render.h"
#include "render/text.h"

struct json {
	const struct model *m;
	const struct summary *s;
	const struct report_opts *o;
	struct sink sink;
};

static void key(struct json *j, const char *name)
{
	json_add(&j->sink.b, name);
	buf_char(&j->sink.b, ':');
}

static void number(struct json *j, const char *name, uint64_t n)
{
	key(j, name);
	buf_printf(&j->sink.b, "%llu", (unsigned long long)n);
}

static void string(struct json *j, const char *name, const char *text)
{
	key(j, name);
	json_add(&j->sink.b, text);
}

static void boolean(struct json *j, const char *name, bool is_true)
{
	key(j, name);
	buf_str(&j->sink.b, is_true ? "true" : "false");
}

static void comma(struct json *j)
{
	buf_char(&j->sink.b, ',');
}

/* "name":{"key":count,...} of terms[from..cnt) */
static void counts(struct json *j, const char *name, const struct term *terms, const uint64_t *n,
		   size_t from, size_t cnt)
{
	key(j, name);
	buf_char(&j->sink.b, '{');
	for (size_t i = from; i < cnt; i++) {
		if (i > from)
			comma(j);
		number(j, terms[i].key, n[i]);
	}
	buf_str(&j->sink.b, "},\n");
}

static void owners(struct json *j)
{
	key(j, "lock_owners");
	buf_char(&j->sink.b, '[');
	for (size_t i = 0; i < j->s->owner_cnt; i++) {
		buf_str(&j->sink.b, i ? ",{" : "{");
		string(j, "owner", strtab_get(&j->m->strings, j->s->owners[i].owner));
		comma(j);
		number(j, "samples", j->s->owners[i].samples);
		buf_char(&j->sink.b, '}');
		sink_tick(&j->sink);
	}
	buf_str(&j->sink.b, "],\n");
}

static void module(struct json *j, const struct module_row *row)
{
	const struct mapping *map = &j->m->mappings[row->mapping];
	const struct {
		const char *name;
		uint64_t n;
	} numbers[] = {
		{ "samples", row->samples }, { "leaf_samples", row->leaf_samples },
		{ "broken", row->broken },   { "frames", row->frames },
		{ "unnamed", row->unnamed },
	};
	char hex[BUILD_ID_HEX_SZ];

	string(j, "build_id", build_id_hex(&map->build_id, hex));
	comma(j);
	string(j, "path", strtab_get(&j->m->strings, map->path));
	comma(j);
	string(j, "kind", module_kind_keys[map->kind < MODULE_KIND_CNT ? map->kind : MODULE_OTHER]);
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		comma(j);
		number(j, numbers[i].name, numbers[i].n);
	}
	comma(j);
	boolean(j, "has_symbols", row->has_symbols);
	sink_tick(&j->sink);
}

static void modules(struct json *j)
{
	key(j, "modules");
	buf_char(&j->sink.b, '[');
	for (size_t i = 0; i < j->s->module_cnt; i++) {
		buf_str(&j->sink.b, i ? ",\n{" : "\n{");
		module(j, &j->s->modules[i]);
		buf_char(&j->sink.b, '}');
	}
	buf_str(&j->sink.b, "],\n");
}

static void ledger(struct json *j)
{
	const struct summary *s = j->s;
	const struct {
		const char *name;
		uint64_t n;
	} numbers[] = {
		{ "samples", s->samples },
		{ "weight", s->weight },
		{ "lost", s->lost },
		{ "user_samples", s->user_samples },
		{ "rooted", s->outcomes[OUTCOME_ROOTED] },
		{ "truncated", s->outcomes[OUTCOME_TRUNCATED] },
		{ "broken", s->outcomes[OUTCOME_BROKEN] },
		{ "no_user", s->outcomes[OUTCOME_NO_USER] },
		{ "fp_stacks", s->fp_stacks },
		{ "frame_total", s->frame_total },
		{ "named_frames", s->named_frames },
		{ "fell_back", s->fell_back },
		{ "healed", s->healed },
	};

	key(j, "ledger");
	buf_str(&j->sink.b, "{\n");
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		number(j, numbers[i].name, numbers[i].n);
		comma(j);
	}
	buf_printf(&j->sink.b, "\n\"resolved_pct\":%.4f,\"rooted_pct\":%.4f,\n",
		   summary_resolved_pct(s), summary_rooted_pct(s));
	counts(j, "frames", evidence_terms, s->frames, 0, EVID_CNT);
	counts(j, "stops", stop_terms, s->stops, STOP_NO + 1, STOP_CNT);
	counts(j, "unresolved", reason_terms, s->reasons, REASON_NO + 1, REASON_CNT);
	counts(j, "fallback", cause_terms, s->causes, CAUSE_NONE + 1, CAUSE_CNT);
	owners(j);
	counts(j, "frame_fallback", frame_fallback_terms, s->frame_fallback, 0, FFB_CNT);
	modules(j);
	for (size_t i = 0; i < ledger_row_cnt; i++) {
		number(j, ledger_rows[i].key,
		       *(const uint64_t *)((const char *)&j->m->ledger + ledger_rows[i].offset));
		comma(j);
	}
	buf_char(&j->sink.b, '\n');
	boolean(j, "has_ledger", j->m->has_ledger);
	comma(j);
	boolean(j, "is_cut", j->m->is_cut);
	buf_str(&j->sink.b, "},\n");
}

static int functions(struct json *j)
{
	struct func_table t;
	size_t shown = 0;
	int err = func_table_init(j->m, &t);

	if (err)
		return err;
	key(j, "functions");
	buf_char(&j->sink.b, '[');
	for (size_t i = 0; i < t.cnt && shown < j->o->top_cnt; i++) {
		const struct func_row *f = &t.rows[i];

		if (!f->total)
			continue;
		buf_str(&j->sink.b, shown++ ? ",\n{" : "\n{");
		string(j, "name", strtab_get(&t.names, f->name));
		comma(j);
		string(j, "module", strtab_get(&t.names, f->module));
		comma(j);
		number(j, "self", f->self);
		comma(j);
		number(j, "total", f->total);
		buf_char(&j->sink.b, '}');
		sink_tick(&j->sink);
	}
	buf_str(&j->sink.b, "],\n");
	func_table_release(&t);
	return 0;
}

static void node_open(struct json *j, const struct tree *t, uint32_t id)
{
	const struct tree_node *n = &t->nodes[id];

	buf_char(&j->sink.b, '{');
	string(j, "name", strtab_get(&t->names, n->name));
	comma(j);
	string(j, "kind",
	       n->kind < MODULE_KIND_CNT ? module_kind_keys[n->kind]
	       : id                      ? "thread"
					 : "all");
	comma(j);
	number(j, "self", n->self);
	comma(j);
	number(j, "total", n->total);
	sink_tick(&j->sink);
}

static uint32_t skip_light(const struct tree *t, uint32_t id, double min)
{
	while (id != TREE_NONE && (!t->nodes[id].total || (double)t->nodes[id].total < min))
		id = t->nodes[id].next_sibling;
	return id;
}

/* Nodes below id, counted without recursion. */
static uint64_t below(const struct tree *t, uint32_t id, double min)
{
	uint32_t at = id, next;
	uint64_t cnt = 0;

	for (;;) {
		next = skip_light(t, t->nodes[at].first_child, min);
		while (next == TREE_NONE && at != id) {
			next = skip_light(t, t->nodes[at].next_sibling, min);
			if (next == TREE_NONE)
				at = t->nodes[at].parent;
		}
		if (next == TREE_NONE)
			return cnt;
		at = next;
		cnt++;
	}
}

static void walk_tree(struct json *j, const struct tree *t)
{
	double min = j->o->min_pct / 100 * (double)t->nodes[0].total;
	uint32_t at = 0, next;
	size_t depth = 1;

	node_open(j, t, 0);
	for (;;) {
		next = skip_light(t, t->nodes[at].first_child, min);
		if (next != TREE_NONE && depth < JSON_DEPTH_MAX) {
			buf_str(&j->sink.b, ",\"children\":[\n");
			node_open(j, t, next);
			at = next;
			depth++;
			continue;
		}
		if (next != TREE_NONE) {
			comma(j);
			number(j, "omitted", below(t, at, min));
		}
		buf_char(&j->sink.b, '}');
		while (at && (next = skip_light(t, t->nodes[at].next_sibling, min)) == TREE_NONE) {
			buf_str(&j->sink.b, "]}");
			at = t->nodes[at].parent;
			depth--;
		}
		if (!at)
			return;
		buf_str(&j->sink.b, ",\n");
		node_open(j, t, next);
		at = next;
	}
}

static int call_tree(struct json *j)
{
	static const struct tree_opts o = { .with_thread = true };
	struct tree t;
	int err = tree_init(j->m, &o, &t);

	if (err)
		return err;
	key(j, "tree");
	walk_tree(j, &t);
	tree_release(&t);
	return 0;
}

static int object(struct json *j)
{
	const struct strtab *strings = &j->m->strings;
	int err;

	buf_char(&j->sink.b, '{');
	string(j, "tool", "bstack");
	comma(j);
	string(j, "version", BSTACK_VERSION);
	comma(j);
	string(j, "event", strtab_get(strings, j->m->event));
	comma(j);
	string(j, "unit", strtab_get(strings, j->m->event_unit));
	comma(j);
	string(j, "command", strtab_get(strings, j->m->command));
	comma(j);
	string(j, "host", strtab_get(strings, j->m->host));
	buf_str(&j->sink.b, ",\n");
	ledger(j);
	err = functions(j);
	if (err)
		return err;
	if (j->o->no_tree)
		buf_str(&j->sink.b, "\"tree\":null");
	else
		err = call_tree(j);
	buf_str(&j->sink.b, "}\n");
	return err;
}

int report_json(const struct model *m, const struct summary *s, const struct report_opts *o,
		FILE *out)
{
	struct json j = { .m = m, .s = s, .o = o };
	int err, end;

	sink_init(&j.sink, out);
	err = object(&j);
	end = sink_end(&j.sink);
	return end ? end : err;
}
