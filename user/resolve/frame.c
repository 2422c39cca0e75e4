/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * frame.c - the decision about one frame: what the kernel said of it, held against what is known of
 * its process's mapping. Nothing here asks or remembers.
 */
#include "resolve/resolver_impl.h"

#define USER_END (1ULL << 56) /* above every user address of x86-64 (5 levels) and arm64 */
#define PAGE_SZ  4096ULL

static void unresolved(struct resolved_frame *f, enum reason reason)
{
	f->evidence = EVID_NONE;
	f->reason = reason;
	f->module = UINT32_MAX;
}

static void resolved(struct resolved_frame *f, enum evidence evidence, uint32_t module,
		     uint64_t off)
{
	f->evidence = evidence;
	f->reason = REASON_NO;
	f->kind = VMA_FILE;
	f->module = module;
	f->off = off;
}

/* In which way a mapping makes a frame fall back, when the stack as a whole did not. */
static int8_t fallback_of(const struct resolver *r, const struct span *s)
{
	switch (s->kind) {
	case VMA_HOLE:
		return FFB_NO_VMA;
	case VMA_ANON:
	case VMA_SHARED_ANON:
	case VMA_DATA: /* of a file or not: the kernel looks for no note where nothing can run */
		return FFB_ANON;
	case VMA_VDSO:
	case VMA_SPECIAL:
		return FFB_NO_FILE;
	case VMA_FILE:
		break;
	}
	return r->modules[s->module].build_id.sz ? FFB_NOT_RESIDENT : FFB_NO_NOTE;
}

/* A frame in an executable mapping of a file, without the kernel's word for it. */
static void decide_file(struct resolver *r, const struct span *s, struct resolved_frame *f)
{
	const struct module *m = &r->modules[s->module];
	uint64_t off = s->off + (f->ip - s->start);

	f->kind = VMA_FILE;
	if (!m->build_id.sz) {
		unresolved(f, REASON_NO_BUILD_ID);
		f->module = s->module;
		f->off = off;
	} else if (m->is_segs_known && !elfsegs_find(&m->segs, off)) {
		unresolved(f, REASON_BAD_OFFSET);
	} else {
		resolved(f, s->evidence, s->module, off);
	}
}

/* A frame that came as an address, in a mapping that is known. */
static void decide_ip(struct resolver *r, const struct span *s, struct resolved_frame *f)
{
	static const enum reason reasons[] = {
		[VMA_HOLE] = REASON_GARBAGE,    [VMA_DATA] = REASON_GARBAGE,
		[VMA_ANON] = REASON_ANON,       [VMA_SHARED_ANON] = REASON_FORGED,
		[VMA_SPECIAL] = REASON_SPECIAL,
	};

	f->kind = s->kind;
	f->off = s->off + (f->ip - s->start); /* not from its start: it may have been cut */
	if (s->kind == VMA_FILE) {
		decide_file(r, s, f);
	} else if (s->kind == VMA_VDSO) {
		f->evidence = EVID_VDSO;
		f->reason = REASON_NO;
	} else {
		unresolved(f, reasons[s->kind]);
	}
}

/* The kernel says VALID, and the mapping is known: they must agree. True when decided. */
static bool decide_valid(struct resolver *r, const struct span *s, const struct raw_id *id,
			 struct resolved_frame *f)
{
	const struct module *m;

	if (s->kind != VMA_FILE) {
		decide_ip(r, s, f); /* a hole, a forgery: the build-id is of something else */
		if (f->fallback < 0)
			f->fallback = FFB_BAD_OFFSET;
		return true;
	}
	m = &r->modules[s->module];
	if (s->off + (f->ip - s->start) != id->off)
		return false;
	if (!m->build_id.sz) /* its note was not readable when the mapping was made: now it is */
		return false;
	if (!build_id_same_bytes(&m->build_id, &id->build_id))
		return false;
	if (m->is_segs_known && !elfsegs_find(&m->segs, id->off)) {
		unresolved(f, REASON_BAD_OFFSET);
		f->fallback = FFB_BAD_OFFSET;
	} else {
		resolved(f, m->is_segs_known ? EVID_KERNEL : s->evidence, s->module, id->off);
	}
	return true;
}

/* Nothing executable is there: the snapshot was of all that is. */
static const struct span nothing = { .kind = VMA_HOLE, .module = UINT32_MAX };

/* What is known of an address: by the sample's own mappings, by all of its process's, by the stream. */
static const struct span *span_find(struct resolver *r, const struct process *p,
				    const struct raw_sample *raw, const struct raw_id *id,
				    uint64_t addr, struct span *made)
{
	const struct span *s;

	if (files_prove(r, raw, addr, made))
		return made;
	if (!process_is_checked(p, raw))
		return mapset_find(&p->maps, addr);
	s = mapset_find(&p->checked.maps, addr);
	if (s)
		return s;
	/* The kernel's frames want to know more: what is there instead. */
	return id ? mapset_find(&p->maps, addr) : &nothing;
}

/*
 * Can the mapping of this address be this one? The stream does not show mremap(), so it may be wrong; the sample's own
 * mappings are of its moment, and so is a build-id.
 */
static bool is_agreed(struct resolver *r, const struct span *s, const struct raw_sample *raw,
		      const struct raw_id *id, uint64_t ip)
{
	const struct bstack_vma *v = sample_vma(raw, ip);
	bool is_file = s->kind == VMA_FILE || s->kind == VMA_SHARED_ANON;
	uint32_t module;

	if (!v)
		return !is_file || !raw->has_all_vmas || (id && id->is_valid);
	if (is_file != (v->kind == BSTACK_VMA_FILE))
		return false;
	if (!is_file)
		return true;
	if (s->off + (ip - s->start) != v->off + (ip - v->start) ||
	    (s->ino && (s->dev != v->file.dev || s->ino != v->file.ino)))
		return false;
	module = files_module(r, v);
	return module == UINT32_MAX || s->kind != VMA_FILE || s->module == module ||
	       !r->modules[s->module].build_id.sz;
}

bool frame_decide(struct resolver *r, struct process *p, const struct raw_id *id,
		  const struct raw_sample *raw, struct resolved_frame *f)
{
	struct span made;
	const struct span *s = span_find(r, p, raw, id, f->ip, &made);
	const struct bstack_vma *v;

	if (f->ip < PAGE_SZ || f->ip >= USER_END) {
		unresolved(f, REASON_GARBAGE);
		f->kind = VMA_HOLE;
		if (id)
			f->fallback = id->is_valid ? FFB_BAD_OFFSET : FFB_NO_VMA;
		return true;
	}
	if (!s ||
	    s->since_ns > raw->time_ns) /* a sample that came late meets a newer mapping: ask */
		return false;
	if (s != &made && !is_agreed(r, s, raw, id, f->ip)) /* it agrees with itself */
		return false;
	if (id && id->is_valid) {
		bool is_decided = decide_valid(r, s, id, f);

		f->is_proven = is_decided && s->evidence == EVID_PROVEN;
		return is_decided;
	}
	/* A file whose build-id the kernel could not read then may tell it now. */
	if (s->kind == VMA_FILE && !r->modules[s->module].build_id.sz &&
	    s->evidence == EVID_TIMELINE)
		return false;
	if (id)
		f->fallback = fallback_of(r, s);
	decide_ip(r, s, f);
	/* The stream tells no inode: another file may have been moved there. */
	v = sample_vma(raw, f->ip);
	f->is_decided = v && s->kind == VMA_FILE && s->evidence == EVID_TIMELINE &&
			files_module(r, v) == UINT32_MAX;
	return !f->is_decided;
}

/* The process could not be asked: what the kernel said, and what is known of that file, remain. */
static void settle_alone(struct resolver *r, const struct process *p, const struct raw_id *id,
			 const struct raw_sample *raw, struct resolved_frame *f)
{
	const struct span *s = p ? mapset_find(&p->maps, f->ip) : NULL;
	uint64_t time_ns = raw->time_ns;
	uint32_t module;

	if (s && s->kind == VMA_FILE && s->since_ns <= time_ns && !(id && id->is_valid) &&
	    is_agreed(r, s, raw, id, f->ip)) {
		decide_file(r, s, f);
		f->fallback = id ? FFB_UNKNOWN : f->fallback;
		return;
	}
	if (id && id->is_valid && !s && !module_intern(r, &id->build_id, "", &module) &&
	    r->modules[module].is_segs_known) {
		if (elfsegs_find(&r->modules[module].segs, id->off)) {
			resolved(f, EVID_KERNEL, module, id->off);
		} else {
			unresolved(f, REASON_BAD_OFFSET);
			f->fallback = FFB_BAD_OFFSET;
		}
		return;
	}
	f->kind = VMA_HOLE;
	if (!s && p && p->is_followed && p->since_ns <= time_ns && p->is_gone &&
	    !sample_vma(raw, f->ip)) { /* nothing executable was ever mapped there */
		unresolved(f, REASON_GARBAGE);
		f->fallback = !id ? f->fallback : id->is_valid ? FFB_BAD_OFFSET : FFB_NO_VMA;
		return;
	}
	unresolved(f, s ? REASON_CONFLICT : p && p->is_denied ? REASON_DENIED : REASON_GONE);
	if (id)
		f->fallback = FFB_UNKNOWN;
}

void frame_settle(struct resolver *r, const struct process *p, const struct raw_id *id,
		  const struct raw_sample *raw, const struct answer *a, struct resolved_frame *f)
{
	bool is_of_then = a && !a->is_void && a->from_ns <= raw->time_ns;

	if (f->is_decided && (!is_of_then || (is_agreed(r, &a->span, raw, id, f->ip) &&
					      a->span.module == f->module)))
		return;
	if (!a) {
		settle_alone(r, p, id, raw, f);
		return;
	}
	if (!is_of_then || !is_agreed(r, &a->span, raw, id, f->ip)) {
		f->kind = VMA_HOLE;
		unresolved(f, REASON_CONFLICT);
		if (id)
			f->fallback = FFB_UNKNOWN;
		return;
	}
	if (id && id->is_valid) {
		if (!decide_valid(r, &a->span, id, f)) {
			f->kind = VMA_HOLE;
			unresolved(f, REASON_CONFLICT);
			f->fallback = FFB_UNKNOWN;
		}
		return;
	}
	if (id)
		f->fallback = fallback_of(r, &a->span);
	decide_ip(r, &a->span, f);
}
