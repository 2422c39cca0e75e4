/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* builder.c - each frame gets its mapping and location, each stack its outcome, each sample its labels. */
#include "cmd/builder.h"
#include "bpf/abi.h"
#include "cmd/locations.h"

#include <string.h>

#define JIT_MAX 64 /* processes whose perf maps are kept; the oldest makes room */
#define JIT_AGAIN_NS \
	NSEC_PER_SEC /* an address not found: look at the file again, so often at most */

/* The perf map of one process; none (NULL) is remembered, too. */
struct jit {
	uint32_t pid;
	uint64_t start_ns;
	struct perf_map *map;
	uint64_t opened_ns;
};

/* A frame of a file, and its location. */
struct recent {
	uint64_t off;
	uint32_t module, location;
	uint8_t id_sz, is_caller, is_segs_known, is_used; /* what else makes the location */
	uint32_t unused;
};

#define RECENT_CNT 4096

struct builder {
	struct recent recent[RECENT_CNT];
	struct model *model;
	struct symbols *syms;
	struct locations locations;
	const struct resolver *resolver;
	struct unwinder *unwinder;
	struct session *session;
	struct known *known;
	bool has_times;
	uint64_t epoch_ns, mono_ns; /* one moment by both clocks, with has_times */
	struct jit jits[JIT_MAX];
	size_t jit_next;
};

int builder_new(struct model *m, struct symbols *syms, struct builder **ret)
{
	struct builder *b = calloc(1, sizeof(*b));

	if (!b)
		return -ENOMEM;
	b->model = m;
	b->syms = syms;
	locations_init(&b->locations, m, syms);
	*ret = b;
	return 0;
}

void builder_free(struct builder *b)
{
	if (!b)
		return;
	for (size_t i = 0; i < JIT_MAX; i++)
		perf_map_free(b->jits[i].map);
	locations_release(&b->locations);
	free(b);
}

void builder_set_resolver(struct builder *b, const struct resolver *r)
{
	b->resolver = r;
}

void builder_set_session(struct builder *b, struct session *s)
{
	b->session = s;
}

void builder_set_known(struct builder *b, struct known *k)
{
	b->known = k;
}

void builder_set_unwinder(struct builder *b, struct unwinder *u)
{
	b->unwinder = u;
}

void builder_keep_times(struct builder *b, uint64_t epoch_ns, uint64_t mono_ns)
{
	b->has_times = true;
	b->epoch_ns = epoch_ns;
	b->mono_ns = mono_ns;
}

static struct jit *jit_get(struct builder *b, const struct raw_sample *s)
{
	struct jit *j;

	for (size_t i = 0; i < JIT_MAX; i++)
		if (b->jits[i].pid == s->pid && b->jits[i].start_ns == s->mm.start_ns)
			return &b->jits[i];
	j = &b->jits[b->jit_next++ % JIT_MAX];
	perf_map_free(j->map);
	*j = (struct jit){ .pid = s->pid, .start_ns = s->mm.start_ns };
	return j;
}

/* Name of JIT code, looking once more into a file that may have grown; NULL: unknown. */
static const char *jit_name(struct builder *b, const struct raw_sample *s, uint64_t addr)
{
	struct jit *j = jit_get(b, s);
	const char *name = j->map ? perf_map_find(j->map, addr) : NULL;
	uint64_t now_ns = clock_mono_ns();
	struct perf_map *map;

	if (name || (j->opened_ns && now_ns - j->opened_ns < JIT_AGAIN_NS))
		return name;
	j->opened_ns = now_ns;
	if (perf_map_open((pid_t)s->pid, &map, NULL))
		return NULL;
	perf_map_free(j->map);
	j->map = map;
	return perf_map_find(map, addr);
}

static int file_location(struct builder *b, const struct resolved_frame *f, uint32_t *ret)
{
	const struct module *mod = resolver_module(b->resolver, f->module);
	const struct elfseg *seg;
	struct recent key = {
		.off = f->off,
		.module = f->module,
		.id_sz = (uint8_t)mod->build_id.sz,
		.is_caller = f->is_caller,
		.is_segs_known = mod->is_segs_known,
		.is_used = true,
	};
	struct recent *r = &b->recent[hash_u64(f->off ^ (uint64_t)f->module << 40) % RECENT_CNT];
	int err;

	key.location = r->location;
	if (!memcmp(&key, r, sizeof(key))) {
		*ret = r->location;
		return 0;
	}
	seg = mod->is_segs_known ? elfsegs_find(&mod->segs, f->off) : NULL;
	err = location_file(&b->locations, &mod->build_id, mod->path, seg, f->off, f->is_caller,
			    ret);
	if (err)
		return err;
	key.location = *ret;
	*r = key;
	return 0;
}

static int user_frame(struct builder *b, const struct raw_sample *s,
		      const struct resolved_frame *rf, struct frame *f)
{
	*f = (struct frame){ .evidence = (uint8_t)rf->evidence, .reason = (uint8_t)rf->reason };
	if (rf->evidence == EVID_VDSO)
		return location_plain(&b->locations, MODULE_VDSO, rf->off - rf->is_caller,
				      MODEL_NONE, &f->location);
	if (rf->kind == VMA_ANON)
		return location_jit(&b->locations, jit_name(b, s, rf->ip - rf->is_caller),
				    rf->ip - rf->is_caller, f);
	if (rf->module != UINT32_MAX)
		return file_location(b, rf, &f->location);
	return location_plain(&b->locations, MODULE_OTHER, rf->ip, MODEL_NONE, &f->location);
}

/* How a walk ended, in the profile's words. */
static const struct {
	enum outcome outcome;
	enum stop stop;
} ends[] = {
	[BSTACK_END_FP] = { OUTCOME_BROKEN, STOP_FP },
	[BSTACK_END_ROOT] = { OUTCOME_ROOTED, STOP_NO },
	[BSTACK_END_TRUNCATED] = { OUTCOME_TRUNCATED, STOP_NO },
	[BSTACK_END_NO_TABLE] = { OUTCOME_BROKEN, STOP_NO_TABLE },
	[BSTACK_END_NO_MAPPING] = { OUTCOME_BROKEN, STOP_NO_MAPPING },
	[BSTACK_END_NO_ROW] = { OUTCOME_BROKEN, STOP_NO_ROW },
	[BSTACK_END_UNSUPPORTED] = { OUTCOME_BROKEN, STOP_UNSUPPORTED },
	[BSTACK_END_UNREADABLE] = { OUTCOME_BROKEN, STOP_UNREADABLE },
	[BSTACK_END_STUCK] = { OUTCOME_BROKEN, STOP_STUCK },
	[BSTACK_END_NEVER] = { OUTCOME_BROKEN, STOP_NO_TABLE },
	[BSTACK_END_FP_LOST] = { OUTCOME_BROKEN, STOP_FP },
};

static void outcome_set(struct builder *b, const struct raw_sample *s, enum stop cut,
			const struct frame *frames, size_t cnt, struct sample *out)
{
	uint8_t end = s->end < ARRAY_SIZE(ends) ? s->end : BSTACK_END_FP;

	if (!s->user_cnt) {
		out->outcome = OUTCOME_NO_USER;
	} else if (cut) {
		out->outcome = OUTCOME_BROKEN;
		out->stop = (uint8_t)cut;
	} else if (s->is_truncated) {
		out->outcome = OUTCOME_TRUNCATED;
	} else if (end == BSTACK_END_FP &&
		   location_is_root(&b->locations, frames[cnt - 1].location)) {
		out->outcome = OUTCOME_ROOTED;
	} else {
		out->outcome = (uint8_t)ends[end].outcome;
		out->stop = (uint8_t)ends[end].stop;
	}
}

static void count(struct ledger *l, const struct resolved_sample *rs, size_t user_cnt)
{
	uint64_t *const fallback[FFB_CNT] = {
		[FFB_NO_VMA] = &l->ffb_no_vma,
		[FFB_ANON] = &l->ffb_anon,
		[FFB_NO_FILE] = &l->ffb_no_file,
		[FFB_NO_NOTE] = &l->ffb_no_note,
		[FFB_NOT_RESIDENT] = &l->ffb_not_resident,
		[FFB_BAD_OFFSET] = &l->ffb_bad_offset,
		[FFB_UNKNOWN] = &l->ffb_unknown,
	};

	l->recorded++;
	l->inconsistent += rs->is_inconsistent;
	l->cut_frames += rs->raw->user_cnt - user_cnt;
	for (size_t i = 0; i < user_cnt; i++)
		if (rs->frames[i].fallback >= 0)
			++*fallback[rs->frames[i].fallback];
}

static int owner_string(struct model *m, const struct raw_sample *s, uint32_t *ret)
{
	char owner[BSTACK_COMM_SZ + 16];

	if (s->cause != CAUSE_WRITER || !s->owner_tid)
		return 0;
	snprintf(owner, sizeof(owner), "%.16s/%u", s->owner_comm, s->owner_tid);
	return strtab_add(&m->strings, owner, ret);
}

/* Where a frame lies in its file: its segment's link-time address of it. False: not known. */
static bool file_vaddr(const struct builder *b, const struct resolved_frame *f,
		       const struct module **ret_mod, uint64_t *ret_vaddr)
{
	const struct module *mod = resolver_module(b->resolver, f->module);

	*ret_mod = mod;
	return mod && mod->is_segs_known && f->evidence != EVID_NONE &&
	       elfsegs_vaddr(&mod->segs, f->off, ret_vaddr);
}

/* Is there no .eh_frame to step by in such memory? What can be known of it is that it may run. */
static bool is_by_fp(const struct resolved_frame *f)
{
	return f->kind == VMA_ANON || f->kind == VMA_SHARED_ANON || f->kind == VMA_SPECIAL ||
	       f->reason == REASON_NO_BUILD_ID;
}

static int step_in_file(struct unwinder *u, struct stack_rest *rest, const struct module *mod,
			uint64_t vaddr)
{
	int end = unwinder_step(u, rest, &mod->build_id, vaddr);

	if ((end == BSTACK_END_NEVER || end == BSTACK_END_NO_TABLE) &&
	    unwinder_offer(u, &mod->build_id, mod->path))
		end = unwinder_step(u, rest, &mod->build_id, vaddr);
	return end;
}

/* The rest of a walk that lacked a table: each step by the mapping as of the sample's moment. */
static int on_step(void *ctx, struct stack_rest *rest, const struct resolved_frame *f)
{
	static const enum bstack_end unresolved[REASON_CNT] = {
		[REASON_GARBAGE] = BSTACK_END_NO_MAPPING,
		[REASON_BAD_OFFSET] = BSTACK_END_NO_MAPPING,
	};
	struct builder *b = ctx;
	const struct module *mod;
	uint64_t vaddr;

	if (!b->unwinder)
		return BSTACK_END_NEVER;
	if (f->evidence == EVID_VDSO)
		return unwinder_step(b->unwinder, rest, NULL, f->off - f->is_caller);
	if (file_vaddr(b, f, &mod, &vaddr))
		return step_in_file(b->unwinder, rest, mod, vaddr - f->is_caller);
	if (f->reason == REASON_NO_BUILD_ID)
		return unwinder_step_path(b->unwinder, rest,
					  resolver_module(b->resolver, f->module)->path,
					  f->off - f->is_caller);
	if (f->evidence == EVID_NONE && is_by_fp(f))
		return unwinder_step_fp(b->unwinder, rest);
	return unresolved[f->reason] ? (int)unresolved[f->reason] : BSTACK_END_NEVER;
}

/*
 * A step is believed when the table that made it is that of the file which was mapped at this address when the
 * sample was taken, and the place in it is the same. Then f says whether it is a return address, and by what its
 * caller was found.
 */
static bool step_check(struct builder *b, const struct bstack_step *step, struct resolved_frame *f)
{
	const struct module *mod;
	struct step_place place;
	uint64_t is_at;

	if (step->module == BSTACK_MODULE_FP) {
		f->is_fp_step = true;
		return is_by_fp(f);
	}
	if (!unwinder_step_place(b->unwinder, step, &place))
		return false;
	if (place.is_vdso) {
		is_at = f->off;
		if (f->evidence != EVID_VDSO)
			return false;
	} else if (place.segs) {
		mod = resolver_module(b->resolver, f->module);
		if (f->reason != REASON_NO_BUILD_ID || !unwinder_place_is_path(&place, mod->path) ||
		    !elfsegs_vaddr(place.segs, f->off, &is_at))
			return false;
	} else if (!file_vaddr(b, f, &mod, &is_at) ||
		   !build_id_same_bytes(&mod->build_id, place.id)) {
		return false;
	}
	if (is_at != place.vaddr && is_at != place.vaddr + 1)
		return false;
	f->is_caller = is_at != place.vaddr;
	f->is_fp_step = place.is_fp_step;
	return true;
}

/*
 * How many of the frames to keep. A "return address" where nothing can be executed means that the walk went
 * astray: what lies behind is not known to be the stack; the address itself is kept. So does a step by a
 * table that was not that of the mapping: BPF made those of all frames but its last, whose caller it did not find.
 */
static size_t believable_cnt(struct builder *b, const struct resolved_sample *rs, enum stop *ret)
{
	const struct raw_sample *s = rs->raw;

	*ret = STOP_NO;
	for (size_t i = 0; i < s->user_cnt; i++) {
		if (rs->frames[i].reason == REASON_GARBAGE) {
			*ret = s->steps ? STOP_NO_MAPPING : STOP_FP;
			return i + 1;
		}
		if (i < s->step_cnt && s->steps[i].module != BSTACK_MODULE_PENDING &&
		    !step_check(b, &s->steps[i], &rs->frames[i]) && i + 1 < s->step_cnt) {
			*ret = STOP_STALE;
			return i + 1;
		}
	}
	return s->user_cnt;
}

/* Is this frame in one of the mappings that came with the sample, and will prove it again? */
static bool is_in_vmas(const struct raw_sample *s, const struct resolved_frame *f)
{
	for (size_t i = 0; i < s->vma_cnt; i++)
		if (f->ip >= s->vmas[i].start && f->ip < s->vmas[i].end)
			return !s->vmas[i].is_in_flux &&
			       s->vmas[i].kind == (f->evidence == EVID_VDSO ? BSTACK_VMA_VDSO
									    : BSTACK_VMA_FILE);
	return false;
}

/*
 * A stack all of whose frames are known for certain in this state of the address space: the next one like it is proven,
 * and BPF counts it; whether this one fell back is its own business. Code made at run time is no such frame: it changes
 * without a change of mappings.
 */
static int known_tell(struct builder *b, const struct resolved_sample *rs, struct frame *frames,
		      size_t cnt, struct sample out)
{
	const struct raw_sample *s = rs->raw;
	struct known_stack st = {
		.key = s->key,
		.mm = s->mm,
		.pid = s->pid,
		.is_steady = s->is_steady,
		.vmas = s->vmas,
		.vma_cnt = s->vma_cnt,
	};
	int err;

	if (!b->known || !s->has_key || s->rest || !s->user_cnt)
		return 0;
	for (size_t i = 0; i < cnt; i++) {
		const struct resolved_frame *f;

		if (i < s->kernel_cnt && frames[i].evidence == EVID_KERNEL_TEXT)
			continue;
		if (i < s->kernel_cnt)
			return 0;
		f = &rs->frames[i - s->kernel_cnt];
		if (!is_in_vmas(s, f))
			st.vma_cnt = 0;
		if (frames[i].evidence == EVID_KERNEL && (s->is_steady || f->is_proven))
			frames[i].evidence = EVID_PROVEN;
		if (frames[i].evidence != EVID_PROVEN && frames[i].evidence != EVID_VDSO)
			return 0;
	}
	out.count = out.weight = 0;
	out.cause = CAUSE_NONE;
	out.lock_owner = 0;
	err = model_stack(b->model, frames, cnt, &out.stack);
	if (!err)
		err = model_sample_at(b->model, &out, &st.sample);
	return err ? err : known_add(b->known, &st);
}

static int on_sample(void *ctx, const struct resolved_sample *rs)
{
	struct frame frames[2 * BSTACK_FRAMES];
	struct builder *b = ctx;
	const struct raw_sample *s = rs->raw;
	struct sample out = { .pid = s->pid,
			      .tid = s->tid,
			      .cause = (uint8_t)rs->cause,
			      .time_ns = b->has_times ? b->epoch_ns + (s->time_ns - b->mono_ns) : 0,
			      .count = 1,
			      .weight = s->weight };
	enum stop cut;
	size_t cnt = 0, user_cnt = believable_cnt(b, rs, &cut);
	int err = 0;

	/* What the walk went by is not what is mapped, and no event may tell. */
	if (cut == STOP_STALE && unwinder_miss(b->unwinder, s->pid)) {
		b->model->ledger.lost_memory++;
		return 0;
	}

	for (size_t i = 0; i < s->kernel_cnt && !err; i++)
		err = location_kernel(&b->locations, s->kernel_ips[i], i > 0, &frames[cnt++]);
	for (size_t i = 0; i < user_cnt && !err; i++) {
		out.fp_steps += rs->frames[i].is_fp_step;
		err = user_frame(b, s, &rs->frames[i], &frames[cnt++]);
	}
	if (!err)
		err = model_stack(b->model, frames, cnt, &out.stack);
	if (!err)
		err = strtab_addn(&b->model->strings, s->comm, strnlen(s->comm, sizeof(s->comm)),
				  &out.comm);
	if (!err)
		err = owner_string(b->model, s, &out.lock_owner);
	if (err) {
		b->model->ledger.lost_memory++;
		return 0;
	}
	outcome_set(b, s, cut, frames, cnt, &out);
	err = model_sample(b->model, &out);
	if (err)
		b->model->ledger.lost_memory++;
	else
		count(&b->model->ledger, rs, user_cnt);
	/* Without memory for it the next one is a record again. */
	if (!err && !cut)
		known_tell(b, rs, frames, cnt, out);
	return 0;
}

static int on_mm(void *ctx, pid_t pid, struct bstack_mm *ret)
{
	struct builder *b = ctx;

	return b->session ? session_mm(b->session, pid, ret) : -ENOTSUP;
}

static int on_vmas(void *ctx, pid_t pid, const uint64_t *addrs, size_t cnt, struct bstack_vma *ret)
{
	struct builder *b = ctx;

	return b->session ? session_vmas(b->session, pid, addrs, cnt, ret) : -ENOTSUP;
}

static void on_file(void *ctx, const struct bstack_file *f)
{
	struct builder *b = ctx;

	if (b->session)
		session_file_known(b->session, f);
}

static void on_module(void *ctx, const struct module *m, pid_t pid, uint64_t start, uint64_t end)
{
	struct builder *b = ctx;

	symbols_hint(b->syms, &m->build_id, m->path, pid, start, end);
}

const struct resolver_ops builder_ops = {
	.on_sample = on_sample,
	.on_step = on_step,
	.on_mm = on_mm,
	.on_vmas = on_vmas,
	.on_file = on_file,
	.on_module = on_module,
};
