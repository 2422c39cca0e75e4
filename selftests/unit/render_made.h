/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* render_made.h - profiles made by hand for the tests of the renderers, and what renders them. */
#ifndef BSTACK_RENDER_MADE_H
#define BSTACK_RENDER_MADE_H

#include "test.h"

#include "render/render.h"

/* A profile that is built by hand: one mapping of each kind that matters. */
struct made {
	struct model m;
	uint32_t app, lib, vdso, kernel, anon;
};

__attribute__((unused)) static uint32_t str(struct made *p, const char *s)
{
	uint32_t id = 0;

	CHECK_EQ(strtab_add(&p->m.strings, s, &id), 0);
	return id;
}

__attribute__((unused)) static uint32_t mapping(struct made *p, enum module_kind kind,
						const char *path, const char *id, bool has_symbols)
{
	struct mapping map = { .kind = kind, .path = str(p, path), .has_symbols = has_symbols };
	uint32_t ret = 0;

	if (id)
		CHECK_EQ(build_id_parse(id, &map.build_id), 0);
	CHECK_EQ(model_mapping(&p->m, &map, &ret), 0);
	return ret;
}

/* A location with the named functions, innermost first, separated by '|'; "" has none. */
__attribute__((unused)) static uint32_t loc(struct made *p, uint32_t map, uint64_t addr,
					    const char *names)
{
	struct line lines[8] = {};
	char *copy = strdup(names), *save = NULL;
	uint32_t ret = 0;
	size_t cnt = 0;

	for (char *s = strtok_r(copy, "|", &save); s && cnt < 8; s = strtok_r(NULL, "|", &save))
		CHECK_EQ(model_function(&p->m, s, s, &lines[cnt++].function), 0);
	CHECK_EQ(model_location(&p->m, map, addr, MODEL_NONE, &ret), 0);
	CHECK_EQ(model_set_lines(&p->m, ret, lines, cnt), 0);
	free(copy);
	return ret;
}

#define FR(l, e)    ((struct frame){ .location = (l), .evidence = (e) })
#define FR_NO(l, r) ((struct frame){ .location = (l), .evidence = EVID_NONE, .reason = (r) })
#define STACK(p, ...)                             \
	stack(p, (struct frame[]){ __VA_ARGS__ }, \
	      sizeof((struct frame[]){ __VA_ARGS__ }) / sizeof(struct frame))

__attribute__((unused)) static uint32_t stack(struct made *p, const struct frame *frames,
					      size_t cnt)
{
	uint32_t ret = 0;

	CHECK_EQ(model_stack(&p->m, frames, cnt, &ret), 0);
	return ret;
}

__attribute__((unused)) static void sample(struct made *p, struct sample s, const char *comm)
{
	s.comm = str(p, comm);
	s.weight = s.weight ? s.weight : s.count * 1000;
	CHECK_EQ(model_sample(&p->m, &s), 0);
}

__attribute__((unused)) static void made_init(struct made *p)
{
	*p = (struct made){};
	CHECK_EQ(model_init(&p->m), 0);
	p->app = mapping(p, MODULE_ELF, "/opt/app", "aabb", true);
	p->lib = mapping(p, MODULE_ELF, "/usr/lib/libwork.so.1", "0123456789", false);
	p->vdso = mapping(p, MODULE_VDSO, "[vdso]", NULL, true);
	p->kernel = mapping(p, MODULE_KERNEL, "[kernel]", NULL, true);
	p->anon = mapping(p, MODULE_ANON, "[anon]", NULL, false);
}

/*
 * Ten samples: 4 work <- main, 2 clock <- run <- main where run holds the inlined loop, 1 main
 * called by itself that fell back and healed, 1 broken in the library, 1 that fell back and was
 * not healed, 1 kernel thread.
 */
__attribute__((unused)) static void example(struct made *p)
{
	uint32_t main_fn, run, work, clock, idle, jit;

	made_init(p);
	main_fn = loc(p, p->app, 0x1234, "main");
	run = loc(p, p->app, 0x2345, "loop<a>|run");
	work = loc(p, p->lib, 0x678, "");
	clock = loc(p, p->vdso, 0x10, "clock_gettime");
	idle = loc(p, p->kernel, 0xffff1000, "kthread");
	jit = loc(p, p->anon, 0x7000, "");
	sample(p,
	       (struct sample){ .stack = STACK(p, FR(work, EVID_KERNEL), FR(main_fn, EVID_KERNEL)),
				.pid = 100,
				.tid = 100,
				.outcome = OUTCOME_ROOTED,
				.count = 4 },
	       "app");
	sample(p,
	       (struct sample){ .stack = STACK(p, FR(clock, EVID_VDSO), FR(run, EVID_KERNEL),
					       FR(main_fn, EVID_KERNEL)),
				.pid = 100,
				.tid = 101,
				.outcome = OUTCOME_ROOTED,
				.count = 2 },
	       "app");
	sample(p,
	       (struct sample){
		       .stack = STACK(p, FR(main_fn, EVID_TIMELINE), FR(main_fn, EVID_QUERY)),
		       .pid = 100,
		       .tid = 101,
		       .outcome = OUTCOME_ROOTED,
		       .count = 1,
		       .cause = CAUSE_WRITER,
		       .lock_owner = str(p, "app/102") },
	       "app");
	sample(p,
	       (struct sample){ .stack = STACK(p, FR(work, EVID_KERNEL)),
				.pid = 100,
				.tid = 102,
				.outcome = OUTCOME_BROKEN,
				.stop = STOP_FP,
				.count = 1 },
	       "worker");
	sample(p,
	       (struct sample){ .stack = STACK(p, FR_NO(jit, REASON_ANON), FR(main_fn, EVID_QUERY)),
				.pid = 100,
				.tid = 102,
				.outcome = OUTCOME_TRUNCATED,
				.count = 1,
				.cause = CAUSE_SLOT_BUSY },
	       "worker");
	sample(p,
	       (struct sample){ .stack = STACK(p, FR(idle, EVID_KERNEL_TEXT)),
				.pid = 2,
				.tid = 2,
				.outcome = OUTCOME_NO_USER,
				.count = 1 },
	       "kthreadd");
	p->m.has_ledger = true;
	p->m.ledger = (struct ledger){ .fired = 13,
				       .recorded = 10,
				       .lost_ring = 2,
				       .lost_memory = 1,
				       .ffb_anon = 1,
				       .duration_ns = 1500000000,
				       .freq_hz = 99,
				       .is_complete = 1 };
	p->m.event = str(p, "cpu-clock");
	p->m.event_unit = str(p, "nanoseconds");
	p->m.command = str(p, "app --fast \"x\"");
	p->m.host = str(p, "Linux 6.1 x86_64");
}

/* What a renderer writes; the caller frees it. */
__attribute__((unused)) static char *rendered(const struct model *m, const char *how,
					      const void *opts)
{
	char *text = NULL;
	struct summary s = {};
	size_t sz = 0;
	FILE *f = open_memstream(&text, &sz);

	CHECK_EQ(summary_init(m, &s), 0);
	if (!strcmp(how, "text"))
		CHECK_EQ(report_text(m, &s, opts, f), 0);
	else if (!strcmp(how, "json"))
		CHECK_EQ(report_json(m, &s, opts, f), 0);
	else
		CHECK_EQ(flame_write(m, opts, f), 0);
	summary_release(&s);
	fclose(f);
	return text;
}

/* The number of times that part occurs. */
__attribute__((unused)) static int times(const char *text, const char *part)
{
	int cnt = 0;

	for (; (text = strstr(text, part)); text += strlen(part))
		cnt++;
	return cnt;
}

__attribute__((unused)) static const struct report_opts report_all = { .top_cnt = 20,
								       .min_pct = 1 };

/* A chain of cnt functions f1 <- f2 <- ..., and a branch in the middle. */
__attribute__((unused)) static void deep(struct made *p, size_t cnt)
{
	struct frame *frames = calloc(cnt, sizeof(*frames));
	char name[32];

	made_init(p);
	for (size_t i = 0; i < cnt; i++) {
		snprintf(name, sizeof(name), "f%zu", cnt - i);
		frames[i] = FR(loc(p, p->app, 0x1000 + i, name), EVID_KERNEL);
	}
	sample(p,
	       (struct sample){
		       .stack = stack(p, frames, cnt), .count = 3, .outcome = OUTCOME_TRUNCATED },
	       "deep");
	sample(p,
	       (struct sample){ .stack = stack(p, frames + cnt / 2, cnt - cnt / 2),
				.count = 1,
				.outcome = OUTCOME_ROOTED },
	       "deep");
	free(frames);
}

/* One sample of a function, a thread, a module and a command that are all called name. */
__attribute__((unused)) static void hostile(struct made *p, const char *name)
{
	uint32_t l;

	made_init(p);
	l = loc(p, mapping(p, MODULE_NO_ID, name, NULL, true), 0x10, name);
	sample(p, (struct sample){ .stack = STACK(p, FR(l, EVID_KERNEL)), .count = 1 }, name);
	p->m.command = p->m.event = p->m.host = p->m.event_unit = str(p, name);
	p->m.has_ledger = true;
}

#endif
