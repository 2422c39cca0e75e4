/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * resolver.c - replays samples and mapping events in the order of time, and keeps the samples that wait
 * for an answer of /proc until the stream has passed it.
 */
#include "resolve/resolver_impl.h"

#include <string.h>

#define ITEMS_MAX ((size_t)1 << 26)

int resolver_new(const struct resolver_ops *ops, void *ctx, struct resolver **ret)
{
	struct resolver *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	r->ops = ops;
	r->ctx = ctx;
	r->wait_tail = &r->wait_head;
	*ret = r;
	return 0;
}

static void event_free(struct map_event *e)
{
	if (e)
		free((char *)e->path);
	free(e);
}

static void pending_free(struct resolver *r, struct pending *s)
{
	for (size_t i = 0; i < s->raw.user_cnt; i++)
		if (s->waits[i])
			answer_put(s->waits[i]);
	r->pending_sz -= s->sz;
	free(s);
}

void resolver_free(struct resolver *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->item_cnt; i++) {
		event_free(r->items[i].event);
		if (r->items[i].sample)
			pending_free(r, r->items[i].sample);
	}
	while (r->wait_head) {
		struct pending *s = r->wait_head;

		r->wait_head = s->next;
		pending_free(r, s);
	}
	for (size_t i = 0; i < r->pids.cnt; i++)
		if (r->pids.slots[i].is_used)
			process_release(&r->processes[i]);
	for (size_t i = 0; i < r->module_cnt; i++)
		free(r->modules[i].path);
	free(r->modules);
	free(r->files);
	hmap_release(&r->file_map);
	free(r->processes);
	free(r->items);
	hmap_release(&r->module_map);
	pid_table_release(&r->pids);
	free(r);
}

static int item_add(struct resolver *r, struct item item)
{
	int err = array_reserve(&r->items, &r->item_cap, r->item_cnt + 1, sizeof(item), ITEMS_MAX);

	if (err)
		return err;
	item.seq = r->seq++;
	r->items[r->item_cnt++] = item;
	return 0;
}

/* A part of a pending sample's memory, its size rounded up to keep the next one aligned. */
static void *part(char **at, size_t sz, const void *from)
{
	void *p = *at;

	if (from && sz)
		memcpy(p, from, sz);
	*at += (sz + 7) & ~(size_t)7;
	return p;
}

/* One allocation: the struct and its arrays. Where the walk goes on there is room for all its frames. */
static struct pending *pending_new(const struct raw_sample *s)
{
	bool is_going_on = s->rest && s->user_cnt && s->user_cnt <= BSTACK_FRAMES;
	size_t frame_max = is_going_on ? BSTACK_FRAMES : s->user_cnt;
	size_t id_sz = s->ids ? s->user_cnt * sizeof(struct raw_id) : 0;
	size_t step_sz = s->step_cnt * sizeof(*s->steps);
	size_t stack_sz = s->rest ? s->rest->sz : 0;
	size_t vma_sz = s->vma_cnt * sizeof(*s->vmas);
	size_t sz = sizeof(struct pending) + (s->kernel_cnt + frame_max) * sizeof(uint64_t) +
		    frame_max * (sizeof(struct answer *) + sizeof(struct resolved_frame)) + id_sz +
		    step_sz + vma_sz + stack_sz + 32; /* rounding */
	struct pending *p = calloc(1, sz);
	char *at;

	if (!p)
		return NULL;
	at = (char *)(p + 1);
	p->raw = *s;
	p->sz = sz;
	p->raw.kernel_ips = part(&at, s->kernel_cnt * sizeof(uint64_t), s->kernel_ips);
	p->ips = part(&at, frame_max * sizeof(uint64_t), NULL);
	if (s->user_cnt)
		memcpy(p->ips, s->user_ips, s->user_cnt * sizeof(uint64_t));
	p->raw.user_ips = p->ips;
	p->waits = part(&at, frame_max * sizeof(struct answer *), NULL);
	p->frames = part(&at, frame_max * sizeof(struct resolved_frame), NULL);
	p->ids = id_sz ? part(&at, id_sz, s->ids) : NULL;
	p->id_cnt = id_sz ? s->user_cnt : 0;
	p->raw.ids = p->ids;
	p->raw.steps = step_sz ? part(&at, step_sz, s->steps) : NULL;
	p->raw.vmas = vma_sz ? part(&at, vma_sz, s->vmas) : NULL;
	if (s->rest) {
		p->rest = *s->rest;
		p->rest.bytes = part(&at, stack_sz, s->rest->bytes);
		p->has_rest = is_going_on;
	}
	p->raw.rest = s->rest ? &p->rest : NULL;
	return p;
}

int resolver_event(struct resolver *r, const struct map_event *e)
{
	struct map_event *copy = malloc(sizeof(*copy));
	int err;

	if (!copy)
		return -ENOMEM;
	*copy = *e;
	copy->path = strdup(e->path ? e->path : "");
	err = copy->path ? 0 : -ENOMEM;
	if (!err)
		err = item_add(r, (struct item){ .time_ns = e->kind == MAP_EVENT_LOST ? e->since_ns
										      : e->time_ns,
						 .event = copy });
	if (err)
		event_free(copy);
	return err;
}

/* A process under this number that is not the one we know: a change the stream did not show. */
static void identity_check(struct process *p, const struct raw_sample *s)
{
	if (p->start_ns && (p->start_ns != s->mm.start_ns || p->exec_id != s->mm.exec_id))
		process_renew(p, s->time_ns);
	p->start_ns = s->mm.start_ns;
	p->exec_id = s->mm.exec_id;
}

/* The kernel walked the stack twice: an address it could not resolve must be the raw walk's. */
static bool is_consistent(const struct pending *s)
{
	for (size_t i = 0; i < s->id_cnt; i++)
		if (!s->ids[i].is_valid && s->ids[i].off != s->raw.user_ips[i])
			return false;
	return true;
}

/*
 * "slot-busy" is what is left when nothing was seen at the lock. A stack of JIT code or of the
 * vdso alone looks the same: none of its frames could have had a build-id, so it did not fall back.
 */
static bool could_have_id(const struct resolver *r, const struct resolved_frame *f)
{
	if (f->kind == VMA_FILE)
		return f->module == UINT32_MAX || r->modules[f->module].build_id.sz;
	return f->kind == VMA_SHARED_ANON || f->reason == REASON_GONE ||
	       f->reason == REASON_CONFLICT || f->reason == REASON_DENIED;
}

static enum cause cause_settle(const struct resolver *r, const struct pending *s)
{
	if (s->raw.cause != CAUSE_SLOT_BUSY)
		return s->raw.cause;
	for (size_t i = 0; i < s->raw.user_cnt; i++)
		if (could_have_id(r, &s->frames[i]))
			return CAUSE_SLOT_BUSY;
	return CAUSE_NONE;
}

static int deliver(struct resolver *r, struct pending *s)
{
	struct resolved_sample out = {
		.raw = &s->raw,
		.cause = cause_settle(r, s),
		.frames = s->frames,
		.is_inconsistent = s->is_inconsistent,
	};
	int err = r->ops->on_sample(r->ctx, &out);

	pending_free(r, s);
	return err;
}

static const struct raw_id *id_of(const struct pending *s, size_t i)
{
	return i < s->id_cnt ? &s->ids[i] : NULL;
}

static void frame_init(struct pending *s, size_t i, bool is_caller)
{
	s->frames[i] = (struct resolved_frame){ .ip = s->raw.user_ips[i],
						.module = UINT32_MAX,
						.evidence = EVID_NONE,
						.reason = REASON_UNKNOWN,
						.fallback = -1,
						.is_caller = is_caller };
}

/* Do the sample's own mappings prove all of its frames? Then they are decided, and it waits for nothing. */
static bool is_proven_alone(struct resolver *r, struct pending *s)
{
	struct span unused;

	if (!s->raw.vma_cnt || !s->raw.user_cnt || s->raw.rest || !is_consistent(s))
		return false;
	for (size_t i = 0; i < s->raw.user_cnt; i++) {
		frame_init(s, i, i > 0);
		if (!files_prove(r, &s->raw, s->raw.user_ips[i], &unused) ||
		    !frame_decide(r, NULL, id_of(s, i), &s->raw, &s->frames[i]))
			return false;
	}
	return true;
}

int resolver_sample(struct resolver *r, const struct raw_sample *s)
{
	struct pending *p = r->pending_sz < RESOLVER_PENDING_MAX ? pending_new(s) : NULL;
	int err;

	if (!p) {
		r->counters.lost_memory++;
		return 0;
	}
	r->pending_sz += p->sz;
	/* Now: by the time that the stream has caught up, a short-lived process is gone. */
	err = files_learn(r, s);
	if (err) {
		pending_free(r, p);
		r->counters.lost_memory++;
		return 0;
	}
	if (is_proven_alone(r, p))
		return deliver(r, p);
	if (item_add(r, (struct item){ .time_ns = s->time_ns, .sample = p })) {
		pending_free(r, p);
		r->counters.lost_memory++;
	}
	return 0;
}

/* Decide what can be decided now of the frames from first on; what needs /proc waits. */
static int frames_decide(struct resolver *r, struct process *p, struct pending *s, size_t first)
{
	int err = 0;

	for (size_t i = first; i < s->raw.user_cnt && !err; i++) {
		struct resolved_frame *f = &s->frames[i];
		struct answer *a;

		if (frame_decide(r, p, id_of(s, i), &s->raw, f))
			continue;
		err = process_ask(r, p, f->ip, s->raw.time_ns, &a);
		if (!a) {
			frame_settle(r, p, id_of(s, i), &s->raw, NULL, f);
			continue;
		}
		a->ref_cnt++;
		s->waits[i] = a;
		s->wait_cnt++;
		s->block_cnt += !f->is_decided;
		if (a->ready_ns > s->ready_ns)
			s->ready_ns = a->ready_ns;
	}
	return err;
}

/* The last frame is resolved: to its caller, in the stack that came along. False: the walk has ended. */
static bool rest_step(struct resolver *r, struct pending *s)
{
	size_t cnt = s->raw.user_cnt;
	int end;

	s->rest.is_fp_step = false;
	end = r->ops->on_step(r->ctx, &s->rest, &s->frames[cnt - 1]);
	s->frames[cnt - 1].is_fp_step = !end && s->rest.is_fp_step;
	if (!end && cnt == BSTACK_FRAMES) {
		s->raw.is_truncated = true;
		end = BSTACK_END_TRUNCATED;
	}
	if (end) {
		s->raw.end = (uint8_t)end;
		s->has_rest = false;
		return false;
	}
	s->ips[cnt] = s->rest.state.ip;
	s->raw.user_cnt++;
	s->raw.has_all_vmas = false;
	frame_init(s, cnt, s->rest.state.is_caller);
	return true;
}

/* The frames from first on, and those that the walk still adds, until one has to wait. */
static int sample_decide(struct resolver *r, struct process *p, struct pending *s, size_t first)
{
	int err = frames_decide(r, p, s, first);

	while (!err && !s->block_cnt && s->has_rest && rest_step(r, s))
		err = frames_decide(r, p, s, s->raw.user_cnt - 1);
	return err;
}

static int sample_replay(struct resolver *r, struct pending *s)
{
	struct process *p;
	int err = process_get(r, s->raw.pid, &p);

	if (err) {
		r->counters.lost_memory++;
		pending_free(r, s);
		return 0;
	}
	if (s->raw.user_cnt) /* in the middle of exec the count comes later than the event */
		identity_check(p, &s->raw);
	err = process_settle(p, s->raw.time_ns);
	if (!is_consistent(s)) {
		s->is_inconsistent = true;
		s->id_cnt = 0;
	}
	for (size_t i = 0; i < s->raw.user_cnt; i++) /* all: an error leaves some undecided */
		frame_init(s, i, i > 0);
	if (s->has_rest)
		s->frames[s->raw.user_cnt - 1].is_caller = s->rest.state.is_caller;
	if (!err)
		err = process_check(r, p, &s->raw);
	if (!err)
		err = files_learn(r, &s->raw);
	if (!err)
		err = sample_decide(r, p, s, 0);
	if (!s->wait_cnt) {
		int sink_err = deliver(r, s);

		return err ? err : sink_err;
	}
	r->counters.waits++;
	s->next = NULL;
	*r->wait_tail = s;
	r->wait_tail = &s->next;
	return err;
}

/* Frame i was decided, its callers looked for by the file that was thought to be there, and it is another. */
static void walk_cut(struct pending *s, size_t i)
{
	for (size_t k = i + 1; k < s->raw.user_cnt; k++) {
		if (s->waits[k])
			answer_put(s->waits[k]);
		s->waits[k] = NULL;
	}
	s->raw.user_cnt = i + 1;
	s->raw.is_truncated = false;
	s->raw.end = BSTACK_END_NO_TABLE;
	s->has_rest = false;
}

/* Its answers hold; a walk that goes on may have to wait for more. */
static int waiting_settle(struct resolver *r, struct pending *s, uint64_t now_ns)
{
	struct process *p;
	int err;

	for (size_t i = 0; i < s->raw.user_cnt; i++) {
		struct resolved_frame *f = &s->frames[i];
		bool was_decided = f->is_decided;
		uint32_t module = f->module;

		if (!s->waits[i])
			continue;
		frame_settle(r, NULL, id_of(s, i), &s->raw, s->waits[i], f);
		answer_put(s->waits[i]);
		s->waits[i] = NULL;
		if (s->raw.rest && was_decided && f->module != module && i + 1 >= s->raw.step_cnt)
			walk_cut(s, i);
	}
	s->wait_cnt = 0;
	s->block_cnt = 0;
	if (!s->has_rest)
		return 0;
	err = process_get(r, s->raw.pid, &p);
	if (!err) /* all that the stream has passed: no frame waits for what is known already */
		err = process_settle(p, now_ns);
	return err ? err : sample_decide(r, p, s, s->raw.user_cnt);
}

/* Samples whose answers the stream has passed. */
static int waiting_advance(struct resolver *r, uint64_t now_ns)
{
	struct pending **at = &r->wait_head;
	int err = 0;

	while (*at && !err) {
		struct pending *s = *at;

		if (s->ready_ns < now_ns)
			err = waiting_settle(r, s, now_ns);
		if (s->wait_cnt) {
			at = &s->next;
			continue;
		}
		*at = s->next;
		err = deliver(r, s) ?: err;
	}
	while (*at)
		at = &(*at)->next;
	r->wait_tail = at;
	return err;
}

static int item_cmp(const void *a, const void *b)
{
	const struct item *x = a, *y = b;

	if (x->time_ns != y->time_ns)
		return x->time_ns < y->time_ns ? -1 : 1;
	if (!x->event != !y->event)
		return x->event ? -1 : 1;
	return x->seq < y->seq ? -1 : x->seq > y->seq;
}

/* What came since the last time, among what is in order already: most of it belongs at the end. */
static void items_sort(struct resolver *r)
{
	size_t head = r->sorted_cnt, cnt = r->item_cnt - head, to = r->item_cnt;
	struct item *all = r->items, *fresh CLEANUP(cleanup_free) = NULL;

	if (!cnt)
		return;
	r->sorted_cnt = r->item_cnt;
	qsort(all + head, cnt, sizeof(*all), item_cmp);
	if (!head || item_cmp(&all[head - 1], &all[head]) < 0)
		return;
	fresh = malloc(cnt * sizeof(*fresh));
	if (!fresh) {
		qsort(all, r->item_cnt, sizeof(*all), item_cmp);
		return;
	}
	memcpy(fresh, all + head, cnt * sizeof(*fresh));
	while (cnt) /* from the end */
		all[--to] = head && item_cmp(&all[head - 1], &fresh[cnt - 1]) > 0 ? all[--head]
										  : fresh[--cnt];
}

int resolver_advance(struct resolver *r, uint64_t until_ns)
{
	size_t done = 0;
	int err = 0;

	items_sort(r);
	while (done < r->item_cnt && r->items[done].time_ns <= until_ns && !err) {
		struct item it = r->items[done++];

		err = it.event ? process_event(r, it.event) : sample_replay(r, it.sample);
		event_free(it.event);
	}
	if (done)
		memmove(r->items, r->items + done, (r->item_cnt - done) * sizeof(*r->items));
	r->item_cnt -= done;
	r->sorted_cnt = r->item_cnt;
	process_collect(r, until_ns);
	if (!err)
		err = waiting_advance(r, until_ns);
	return err;
}

int resolver_finish(struct resolver *r)
{
	int err;

	r->is_finishing =
		true; /* the stream has ended: an answer asked for now could not be checked */
	err = resolver_advance(r, UINT64_MAX - 1);
	return err ? err : waiting_advance(r, UINT64_MAX);
}

bool resolver_is_idle(const struct resolver *r)
{
	return !r->pending_sz;
}

const struct module *resolver_module(const struct resolver *r, uint32_t module)
{
	return module < r->module_cnt ? &r->modules[module] : NULL;
}

const struct resolver_counters *resolver_counters(const struct resolver *r)
{
	return &r->counters;
}

void resolver_force_text(struct resolver *r)
{
	r->is_text = true;
}
