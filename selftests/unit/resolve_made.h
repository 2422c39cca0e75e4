/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * resolve_made.h - made samples and mapping events for a resolver, a sink that keeps what it delivers, and
 * the test's own mappings as the dynamic linker knows them: a second opinion that owes /proc nothing.
 */
#ifndef BSTACK_RESOLVE_MADE_H
#define BSTACK_RESOLVE_MADE_H

#include <link.h>
#include <sys/wait.h>
#include <unistd.h>

#include "resolve/resolver_impl.h"
#include "test.h"

#define NOBODY     0x7ffffff0U /* above every pid_max: no such process */
#define GOT_FRAMES 6
#define MS         1000000ULL

/* What the sink was given, copied. */
struct got {
	uint64_t time_ns, weight;
	uint32_t pid;
	enum cause cause;
	bool is_inconsistent;
	size_t cnt;
	struct resolved_frame f[GOT_FRAMES];
};

struct made {
	struct resolver *r;
	struct got *got;
	size_t cnt, cap;
	size_t module_calls, sink_calls;
	pid_t module_pid;
	int sink_err; /* given back by the sink, from call sink_err_at on */
	size_t sink_err_at;
};

__attribute__((unused)) static int made_sample(void *ctx, const struct resolved_sample *s)
{
	struct made *m = ctx;
	struct got *g;

	if (m->sink_calls++ >= m->sink_err_at && m->sink_err)
		return m->sink_err;
	if (array_reserve(&m->got, &m->cap, m->cnt + 1, sizeof(*m->got), SIZE_MAX / 2))
		abort();
	g = &m->got[m->cnt++];
	*g = (struct got){ .time_ns = s->raw->time_ns,
			   .weight = s->raw->weight,
			   .pid = s->raw->pid,
			   .cause = s->cause,
			   .is_inconsistent = s->is_inconsistent,
			   .cnt = s->raw->user_cnt };
	for (size_t i = 0; i < g->cnt && i < GOT_FRAMES; i++)
		g->f[i] = s->frames[i];
	return 0;
}

__attribute__((unused)) static void made_module(void *ctx, const struct module *mod, pid_t pid,
						uint64_t start, uint64_t end)
{
	struct made *m = ctx;

	if (!mod->is_segs_known || !mod->build_id.sz || start >= end)
		test_fail(__FILE__, __LINE__, "on_module without a file");
	m->module_calls++;
	m->module_pid = pid;
}

static const struct resolver_ops made_ops = { .on_sample = made_sample, .on_module = made_module };

__attribute__((unused)) static void made_open(struct made *m)
{
	*m = (struct made){};
	if (resolver_new(&made_ops, m, &m->r))
		abort();
}

__attribute__((unused)) static void made_close(struct made *m)
{
	resolver_free(m->r);
	free(m->got);
	*m = (struct made){};
}

__attribute__((unused)) static struct build_id made_id(uint8_t n)
{
	struct build_id id = { .sz = BUILD_ID_MAX };

	memset(id.bytes, n, sizeof(id.bytes));
	return id;
}

/* Field 22 of stat, counted from behind the name: here from the end, so that it is another way. */
__attribute__((unused)) static uint64_t start_ticks(pid_t pid)
{
	char path[64], text[2048];
	unsigned long long ticks = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "r");
	if (!f)
		return 0;
	text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
	fclose(f);
	sscanf(strrchr(text, ')') + 1,
	       " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
	       &ticks);
	return ticks;
}

/* When this program started: the identity of its samples. */
__attribute__((unused)) static uint64_t self_start_ns(void)
{
	return start_ticks(getpid()) * (NSEC_PER_SEC / (uint64_t)sysconf(_SC_CLK_TCK));
}

/* A sample of pid with exec_id 1, started at 1 or, of this program, when it did. ids NULL: it fell back. */
__attribute__((unused)) static struct raw_sample made_raw(uint32_t pid, uint64_t time_ns,
							  const uint64_t *ips, size_t cnt,
							  const struct raw_id *ids)
{
	return (struct raw_sample){
		.time_ns = time_ns,
		.mm = { .start_ns = pid == (uint32_t)getpid() ? self_start_ns() : 1, .exec_id = 1 },
		.weight = time_ns,
		.pid = pid,
		.tid = pid,
		.cause = ids ? CAUSE_NONE : CAUSE_SLOT_BUSY,
		.user_cnt = cnt,
		.user_ips = ips,
		.ids = ids,
		.comm = "made",
	};
}

/* One frame of pid, without an id. */
__attribute__((unused)) static void sample_ip(struct made *m, uint32_t pid, uint64_t time_ns,
					      uint64_t ip)
{
	struct raw_sample s = made_raw(pid, time_ns, &ip, 1, NULL);

	CHECK_EQ(resolver_sample(m->r, &s), 0);
}

/* One VALID frame of pid. */
__attribute__((unused)) static void sample_valid(struct made *m, uint32_t pid, uint64_t time_ns,
						 uint64_t ip, const struct build_id *id,
						 uint64_t off)
{
	struct raw_id raw = { .is_valid = true, .build_id = *id, .off = off };
	struct raw_sample s = made_raw(pid, time_ns, &ip, 1, &raw);

	CHECK_EQ(resolver_sample(m->r, &s), 0);
}

__attribute__((unused)) static void event(struct made *m, enum map_event_kind kind,
					  uint64_t time_ns, uint32_t pid, uint32_t ppid)
{
	struct map_event e = { .kind = kind, .time_ns = time_ns, .pid = pid, .ppid = ppid };

	CHECK_EQ(resolver_event(m->r, &e), 0);
}

__attribute__((unused)) static void event_lost(struct made *m, uint64_t since_ns, uint64_t time_ns)
{
	struct map_event e = { .kind = MAP_EVENT_LOST, .time_ns = time_ns, .since_ns = since_ns };

	CHECK_EQ(resolver_event(m->r, &e), 0);
}

/* An executable mapping of a file that is nowhere, or of none. id n, 0: no build-id. */
__attribute__((unused)) static void event_mmap(struct made *m, uint64_t time_ns, uint32_t pid,
					       uint64_t start, uint64_t end, uint64_t off,
					       uint8_t n, enum vma_kind kind)
{
	struct map_event e = {
		.kind = MAP_EVENT_MMAP,
		.time_ns = time_ns,
		.pid = pid,
		.start = start,
		.end = end,
		.off = off,
		.vma_kind = kind,
		.path = kind == VMA_FILE ? "/nowhere/made.so" : "",
	};

	if (n)
		e.build_id = made_id(n);
	CHECK_EQ(resolver_event(m->r, &e), 0);
}

/* A loaded file of this process, from dl_iterate_phdr. */
struct loaded {
	uint64_t base;
	uint64_t seg_off, seg_vaddr, seg_sz; /* its executable PT_LOAD */
	struct build_id build_id;
	char path[4096];
	size_t skip;
};

static void loaded_note(struct loaded *l, const uint8_t *note, size_t len)
{
	while (len >= 12) {
		uint32_t h[3];
		size_t name_sz, sz;

		memcpy(h, note, sizeof(h));
		name_sz = (h[0] + 3) & ~3U;
		sz = 12 + name_sz + ((h[1] + 3) & ~3U);
		if (h[2] == 3 && h[0] == 4 && !memcmp(note + 12, "GNU", 4) &&
		    h[1] <= BUILD_ID_MAX) {
			l->build_id.sz = (uint8_t)h[1];
			memcpy(l->build_id.bytes, note + 12 + name_sz, h[1]);
		}
		note += sz;
		len -= sz < len ? sz : len;
	}
}

static int loaded_one(struct dl_phdr_info *info, size_t sz, void *ctx)
{
	struct loaded *l = ctx;

	(void)sz;
	if (l->skip && l->skip--)
		return 0;
	if (l->path[0] && !strstr(info->dlpi_name, l->path))
		return 0;
	snprintf(l->path, sizeof(l->path), "%s",
		 info->dlpi_name[0] ? info->dlpi_name : "/proc/self/exe");
	l->base = info->dlpi_addr;
	for (size_t i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];

		if (p->p_type == PT_LOAD && p->p_flags & PF_X) {
			l->seg_off = p->p_offset;
			l->seg_vaddr = p->p_vaddr;
			l->seg_sz = p->p_filesz;
		} else if (p->p_type == PT_NOTE) {
			loaded_note(l, (const uint8_t *)(l->base + p->p_vaddr), p->p_memsz);
		}
	}
	return 1;
}

/* The program itself ("") or the library whose path contains name. False: not found. */
__attribute__((unused)) static bool loaded_get(const char *name, struct loaded *ret)
{
	*ret = (struct loaded){};
	snprintf(ret->path, sizeof(ret->path), "%s", name);
	return dl_iterate_phdr(loaded_one, ret) == 1 && ret->seg_sz && ret->build_id.sz;
}

/* Where code at offset off (in the file) of l runs, and the other way round. */
__attribute__((unused)) static uint64_t loaded_ip(const struct loaded *l, uint64_t off)
{
	return l->base + l->seg_vaddr + (off - l->seg_off);
}

__attribute__((unused)) static uint64_t loaded_off(const struct loaded *l, const void *code)
{
	return (uint64_t)code - l->base - l->seg_vaddr + l->seg_off;
}

/* The one frame of delivery i must be this. reason only for EVID_NONE, off only without. */
#define CHECK_FRAME(m, i, evid, why, offset)                             \
	({                                                               \
		if (CHECK((m)->cnt > (i)) && CHECK((m)->got[i].cnt)) {   \
			const struct resolved_frame *f_ = (m)->got[i].f; \
			CHECK_EQ(f_->evidence, evid);                    \
			CHECK_EQ(f_->reason, why);                       \
			if ((evid) != EVID_NONE)                         \
				CHECK_EQ(f_->off, offset);               \
			else if ((why) != REASON_NO_BUILD_ID)            \
				CHECK_EQ(f_->module, UINT32_MAX);        \
		}                                                        \
	})

#endif
