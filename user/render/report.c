/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * report.c - the report for people: its first half, the ledger. One shape for every number: what it
 * counts, the count, the share, what it means.
 */
#include "render/report.h"

#include <string.h>

#define LABEL_SZ    17
#define TEXT_SZ     (REPORT_COLUMNS - LABEL_SZ - 25)
#define MODULE_ROWS 10 /* of modules without names */
#define BROKEN_ROWS 5
#define OWNER_ROWS  5

void report_heading(struct report *r, const char *fmt, ...)
{
	char line[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	buf_printf(&r->sink.b, "\n%s%s%s\n", r->o->with_color ? "\033[1m" : "", line,
		   r->o->with_color ? "\033[0m" : "");
}

/* "  label   1,234   12.34 %  meaning"; whole 0: no share. */
static void row(struct report *r, unsigned indent, const char *label, uint64_t n, uint64_t whole,
		const char *meaning)
{
	struct buf *b = &r->sink.b;
	char num[NUM_SZ], pct[NUM_SZ];
	size_t used;

	buf_printf(b, "%*s", (int)indent, "");
	used = indent + text_add(b, label, LABEL_SZ - indent);
	buf_printf(b, "%*s%13s  %8s  ", (int)(LABEL_SZ - used), "", num_group(n, num),
		   num_pct(n, whole, pct));
	text_add(b, meaning, TEXT_SZ);
	while (b->len && b->data[b->len - 1] == ' ')
		b->data[--b->len] = '\0';
	buf_char(b, '\n');
	sink_tick(&r->sink);
}

static void fact(struct report *r, const char *label, uint32_t str)
{
	const char *text = strtab_get(&r->m->strings, str);

	if (!text[0])
		return;
	buf_printf(&r->sink.b, "%-10s", label);
	text_add(&r->sink.b, text, REPORT_COLUMNS - 10);
	buf_char(&r->sink.b, '\n');
}

static void notice(struct report *r, const char *text)
{
	buf_printf(&r->sink.b, "%s%s%s\n", r->o->with_color ? "\033[33m" : "", text,
		   r->o->with_color ? "\033[0m" : "");
}

#define EVENT_SZ 40

/* Of a long name the end: there stands what is probed. */
static void event_add(struct buf *b, const char *event)
{
	size_t len = strlen(event);

	if (len > EVENT_SZ) {
		event += len - (EVENT_SZ - 2);
		while ((*event & 0xc0) == 0x80) /* not from the middle of a character on */
			event++;
		buf_str(b, "..");
	}
	text_add(b, event, EVENT_SZ);
}

static void head(struct report *r)
{
	const struct ledger *l = &r->m->ledger;
	struct buf *b = &r->sink.b;
	const char *event = strtab_get(&r->m->strings, r->m->event);

	fact(r, "command", r->m->command);
	fact(r, "host", r->m->host);
	if (event[0]) {
		buf_str(b, "event     ");
		event_add(b, event);
		if (l->freq_hz)
			buf_printf(b, ", %llu a second", (unsigned long long)l->freq_hz);
		else if (l->period)
			buf_printf(b, ", one sample each %llu", (unsigned long long)l->period);
		if (l->duration_ns)
			buf_printf(b, ", for %.1f s", (double)l->duration_ns / NSEC_PER_SEC);
		buf_char(b, '\n');
	}
	if (r->m->is_cut)
		notice(r, "This profile is cut: its recording did not end in order. What was "
			  "written before is all here.");
	if (!r->m->has_ledger)
		notice(r, "Not recorded by bstack: nothing says how its frames are known or what "
			  "was lost.");
}

static void samples(struct report *r)
{
	const struct summary *s = r->s;
	const struct ledger *l = &r->m->ledger;

	row(r, 0, "samples", s->samples, 0, "");
	if (!r->m->has_ledger)
		return;
	row(r, 2, "lost", s->lost, l->fired, "of the events that fired");
	for (size_t i = 0; i < ledger_row_cnt; i++) {
		uint64_t n = *(const uint64_t *)((const char *)l + ledger_rows[i].offset);
		const char *text = ledger_rows[i].text;

		if (n && !strncmp(ledger_rows[i].key, "lost_", 5))
			row(r, 4, ledger_rows[i].key + 5, n, l->fired,
			    strncmp(text, "lost: ", 6) ? text : text + 6);
	}
	if (l->counted)
		row(r, 2, "counted", l->counted, s->samples,
		    "of known stacks: in BPF, without a record");
	else if (l->no_sequence)
		row(r, 2, "counted", 0, s->samples,
		    "this kernel has no mm_lock_seq: each sample is a record");
	if (l->targets_missed)
		row(r, 2, "targets missed", l->targets_missed, 0,
		    "children not followed: too many targets");
	if (l->sideband_lost)
		row(r, 2, "sideband lost", l->sideband_lost, 0,
		    "mapping events that the kernel dropped");
	if (l->inconsistent)
		row(r, 2, "inconsistent", l->inconsistent, s->samples,
		    "two readings disagreed: healed by address");
	if (s->outcomes[OUTCOME_NO_USER])
		row(r, 2, "no user stack", s->outcomes[OUTCOME_NO_USER], s->samples,
		    "kernel threads, and processes in the middle of exec");
}

/* Why stacks ended before their root. */
static void broken_why(struct report *r)
{
	const struct summary *s = r->s;

	for (int i = STOP_NO + 1; i < STOP_CNT; i++)
		if (s->stops[i])
			row(r, 4, stop_terms[i].key, s->stops[i], s->user_samples,
			    stop_terms[i].text);
}

/* Modules in which stacks ended before their root. */
static void broken_in(struct report *r)
{
	const struct summary *s = r->s;
	size_t shown = 0;

	for (size_t i = 0; i < s->module_cnt && shown < BROKEN_ROWS; i++) {
		const struct mapping *map = &r->m->mappings[s->modules[i].mapping];
		const char *path = strtab_get(&r->m->strings, map->path);
		const char *base = strrchr(path, '/');

		if (!s->modules[i].broken)
			continue;
		row(r, 4, "in", s->modules[i].broken, s->user_samples,
		    base && base[1] ? base + 1 : path);
		shown++;
	}
}

static void stacks(struct report *r)
{
	const struct summary *s = r->s;

	if (!r->m->has_ledger)
		return;
	buf_char(&r->sink.b, '\n');
	row(r, 0, "user stacks", s->user_samples, 0, "");
	for (int i = OUTCOME_ROOTED; i < OUTCOME_CNT; i++) {
		row(r, 2, outcome_terms[i].key, s->outcomes[i], s->user_samples,
		    outcome_terms[i].text);
		if (i == OUTCOME_BROKEN) {
			broken_why(r);
			broken_in(r);
		}
	}
	if (r->m->ledger.unwind_no_room)
		row(r, 2, "no room", r->m->ledger.unwind_no_room, 0,
		    "unwind tables and processes for which there was none");
	if (s->fp_stacks)
		row(r, 2, "frame pointer", s->fp_stacks, s->user_samples,
		    "in part, through code without unwind information");
}

static void frames(struct report *r)
{
	const struct summary *s = r->s;

	buf_char(&r->sink.b, '\n');
	row(r, 0, "frames", s->frame_total, 0, "");
	row(r, 2, "named", s->named_frames, s->frame_total, "have a function's name");
	if (!r->m->has_ledger)
		return;
	for (int i = 0; i < EVID_CNT; i++)
		if (s->frames[i])
			row(r, 2, i == EVID_NONE ? "unresolved" : evidence_terms[i].key,
			    s->frames[i], s->frame_total,
			    i == EVID_NONE ? "" : evidence_terms[i].text);
	for (int i = REASON_NO + 1; i < REASON_CNT; i++)
		if (s->reasons[i])
			row(r, 4, reason_terms[i].key, s->reasons[i], s->frame_total,
			    reason_terms[i].text);
}

static void lock_owners(struct report *r)
{
	const struct summary *s = r->s;

	for (size_t i = 0; i < s->owner_cnt && i < OWNER_ROWS; i++)
		row(r, 4, "held by", s->owners[i].samples, s->samples,
		    strtab_get(&r->m->strings, s->owners[i].owner));
	if (s->owner_cnt > OWNER_ROWS)
		buf_printf(&r->sink.b, "    and %zu more threads\n", s->owner_cnt - OWNER_ROWS);
}

static void fallback(struct report *r)
{
	const struct summary *s = r->s;
	uint64_t frame_cnt = 0;

	if (!r->m->has_ledger)
		return;
	buf_char(&r->sink.b, '\n');
	row(r, 0, "fell back", s->fell_back, s->samples,
	    "samples whose stack came as raw addresses");
	if (s->fell_back)
		row(r, 2, "healed", s->healed, s->fell_back,
		    "of these: every user frame resolved after all");
	for (int i = CAUSE_NONE + 1; i < CAUSE_CNT; i++) {
		if (s->causes[i])
			row(r, 2, cause_terms[i].key, s->causes[i], s->samples,
			    cause_terms[i].text);
		if (i == CAUSE_WRITER)
			lock_owners(r);
	}
	for (int i = 0; i < FFB_CNT; i++)
		frame_cnt += s->frame_fallback[i];
	if (!frame_cnt)
		return;
	row(r, 0, "frames fell back", frame_cnt, s->frame_total, "single frames of other stacks");
	for (int i = 0; i < FFB_CNT; i++)
		if (s->frame_fallback[i])
			row(r, 2, frame_fallback_terms[i].key, s->frame_fallback[i], s->frame_total,
			    frame_fallback_terms[i].text);
}

static void module_line(struct report *r, const struct module_row *mod)
{
	const struct mapping *map = &r->m->mappings[mod->mapping];
	char num[NUM_SZ], pct[NUM_SZ], hex[BUILD_ID_HEX_SZ];
	const char *path = strtab_get(&r->m->strings, map->path);
	struct buf *b = &r->sink.b;

	buf_printf(b, "%13s  %8s  ", num_group(mod->samples, num),
		   num_pct(mod->samples, r->s->samples, pct));
	buf_printf(b, "%8s  ", num_pct(mod->unnamed, mod->frames, pct));
	text_add(b, path[0] ? path : "(no path)", REPORT_COLUMNS - 35);
	if (map->build_id.sz)
		buf_printf(b, "\n%35sbuild-id %s\n", "", build_id_hex(&map->build_id, hex));
	else if (map->kind == MODULE_NO_ID)
		buf_printf(b, "\n%35sno build-id: only its own file, unchanged, can name it\n", "");
	else
		buf_char(b, '\n');
	sink_tick(&r->sink);
}

static bool lacks_names(const struct report *r, const struct module_row *mod)
{
	enum module_kind kind = r->m->mappings[mod->mapping].kind;

	return mod->unnamed &&
	       (kind == MODULE_ELF || kind == MODULE_NO_ID || kind == MODULE_KERNEL);
}

/* Modules with frames that have no name, by weight, and what would give them one. */
static void modules(struct report *r)
{
	const struct summary *s = r->s;
	bool has_file = false, has_kernel = false;
	size_t cnt = 0;

	for (size_t i = 0; i < s->module_cnt; i++) {
		enum module_kind kind = r->m->mappings[s->modules[i].mapping].kind;

		if (!lacks_names(r, &s->modules[i]))
			continue;
		if (!cnt++) {
			report_heading(r, "MODULES THAT LACK SYMBOLS");
			buf_str(&r->sink.b, "      samples     share   unnamed  module\n");
		}
		if (cnt <= MODULE_ROWS)
			module_line(r, &s->modules[i]);
		has_kernel |= kind == MODULE_KERNEL;
		has_file |= kind == MODULE_ELF;
	}
	if (cnt > MODULE_ROWS)
		buf_printf(&r->sink.b, "and %zu more\n", cnt - MODULE_ROWS);
	if (has_file)
		buf_str(&r->sink.b,
			"Debug symbols are found by build-id: install the -dbgsym package of the "
			"file's package\n(dpkg -S PATH names it), or say where they are with "
			"--debug-dir; then bstack symbolize.\n");
	if (has_kernel)
		buf_str(&r->sink.b,
			"Kernel names need readable addresses in /proc/kallsyms: record "
			"as root,\nor with kernel.kptr_restrict=0.\n");
}

void report_ledger(struct report *r)
{
	head(r);
	report_heading(r, "HOW MUCH TO BELIEVE");
	samples(r);
	stacks(r);
	frames(r);
	fallback(r);
	modules(r);
}

int report_text(const struct model *m, const struct summary *s, const struct report_opts *o,
		FILE *out)
{
	struct report r = { .m = m, .s = s, .o = o };
	int err, end;

	sink_init(&r.sink, out);
	report_ledger(&r);
	err = report_hot(&r);
	end = sink_end(&r.sink);
	return end ? end : err;
}
