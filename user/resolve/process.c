/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * process.c - what is known of each process: its mapset as the event stream has told it so far,
 * and the answers of /proc that the stream has not passed yet. Modules, too.
 */
#include "resolve/resolver_impl.h"

#include <string.h>
#include <unistd.h>

#define PROCESSES_MAX      ((size_t)1 << 22)
#define MODULES_MAX        ((size_t)1 << 20)
#define ANSWERS_MAX        ((size_t)1 << 20)
#define OPEN_TRIES         64
#define EXITED_MAX         1024 /* look whether the exited are gone when there are more */
#define EXITED_KEEP_NS     (5 * NSEC_PER_SEC)
#define CHECK_PAUSE_NS     (20 * 1000000ULL)
#define CHECK_PAUSE_MAX_NS (10 * NSEC_PER_SEC)
#define CHECK_SHARE        20

/*
 * The kernel's walk gives 20 bytes, zero-filled, and no length: a build-id of 8 or 16 bytes comes with
 * zeros behind it. So modules are compared by all 20 bytes, and keep the shortest length told.
 */
int module_intern(struct resolver *r, const struct build_id *id, const char *path, uint32_t *ret)
{
	uint64_t hash =
		id->sz ? hash_bytes(id->bytes, BUILD_ID_MAX, 1) : hash_bytes(path, strlen(path), 2);
	struct hmap_iter it;
	struct module *m;
	int err;

	for (uint32_t i = hmap_first(&r->module_map, hash, &it); i != HMAP_NONE;
	     i = hmap_next(&r->module_map, &it)) {
		m = &r->modules[i];
		if (!m->build_id.sz != !id->sz ||
		    (id->sz ? !build_id_same_bytes(&m->build_id, id) : strcmp(m->path, path) != 0))
			continue;
		if (id->sz < m->build_id.sz)
			m->build_id.sz = id->sz;
		if (!m->path[0] && path[0]) {
			char *copy = strdup(path);

			if (!copy)
				return -ENOMEM;
			free(m->path);
			m->path = copy;
		}
		*ret = i;
		return 0;
	}
	err = array_reserve(&r->modules, &r->module_cap, r->module_cnt + 1, sizeof(*m),
			    MODULES_MAX);
	if (err)
		return err;
	m = &r->modules[r->module_cnt];
	*m = (struct module){ .build_id = *id, .path = strdup(path) };
	if (!m->path)
		return -ENOMEM;
	err = hmap_add(&r->module_map, hash, (uint32_t)r->module_cnt);
	if (err) {
		free(m->path);
		return err;
	}
	*ret = (uint32_t)r->module_cnt++;
	return 0;
}

void module_open(struct resolver *r, uint32_t module, pid_t pid, uint64_t start, uint64_t end,
		 const char *path)
{
	struct module *m = &r->modules[module];
	int fd CLEANUP(cleanup_close) = -1;
	struct elfsegs segs;
	bool is_by_path;

	if (m->is_segs_known || !m->build_id.sz || m->open_tries >= OPEN_TRIES)
		return;
	m->open_tries++;
	fd = elfsegs_open(pid, start, end, path, &m->build_id, &segs, &is_by_path);
	if (fd < 0)
		return;
	if (is_by_path)
		pid = 0;
	m->build_id = segs.build_id;
	m->segs = segs;
	m->is_segs_known = true;
	r->ops->on_module(r->ctx, m, pid, start, end);
}

struct process *process_find(struct resolver *r, uint32_t pid)
{
	uint32_t slot = pid_table_find(&r->pids, pid);

	return slot == HMAP_NONE ? NULL : &r->processes[slot];
}

int process_get(struct resolver *r, uint32_t pid, struct process **ret)
{
	struct process *p = process_find(r, pid);
	uint32_t slot;
	int err = 0;

	if (!p) {
		err = array_reserve(&r->processes, &r->process_cap, r->pids.cnt + 1, sizeof(*p),
				    PROCESSES_MAX);
		if (!err)
			err = pid_table_add(&r->pids, pid, PROCESSES_MAX, &slot);
		if (err)
			return err;
		p = &r->processes[slot];
		*p = (struct process){ .pid = pid };
	}
	*ret = p;
	return 0;
}

void answer_put(struct answer *a)
{
	if (!--a->ref_cnt)
		free(a);
}

static void answers_drop(struct process *p)
{
	for (size_t i = 0; i < p->answer_cnt; i++) {
		p->answers[i]->is_entered = true; /* never */
		answer_put(p->answers[i]);
	}
	p->answer_cnt = 0;
}

void process_release(struct process *p)
{
	answers_drop(p);
	free(p->answers);
	mapset_release(&p->maps);
	mapset_release(&p->checked.maps);
	*p = (struct process){};
}

void process_forget(struct resolver *r, struct process *p)
{
	process_release(p);
	pid_table_remove(&r->pids, (uint32_t)(p - r->processes));
}

/*
 * An event at time_ns touched [start, end): answers of before it no longer speak for samples of before it,
 * and one that was being given meanwhile (give or take the slack of the event's stamp) says nothing.
 */
static void answers_touch(struct process *p, uint64_t time_ns, uint64_t start, uint64_t end)
{
	for (size_t i = 0; i < p->answer_cnt; i++) {
		struct answer *a = p->answers[i];

		if (start >= a->span.end || end <= a->span.start || time_ns > a->ready_ns)
			continue;
		if (time_ns >= a->asked_ns)
			a->is_void = true;
		else if (time_ns > a->from_ns)
			a->from_ns = time_ns;
	}
}

void process_renew(struct process *p, uint64_t time_ns)
{
	uint32_t pid = p->pid;

	if (time_ns < p->since_ns)
		time_ns = p->since_ns;
	answers_touch(p, time_ns, 0, UINT64_MAX);
	process_release(p);
	*p = (struct process){ .pid = pid, .since_ns = time_ns };
}

int process_settle(struct process *p, uint64_t now_ns)
{
	size_t kept = 0;
	int err = 0;

	for (size_t i = 0; i < p->answer_cnt; i++) {
		struct answer *a = p->answers[i];

		if (now_ns <= a->ready_ns) {
			p->answers[kept++] = a;
			continue;
		}
		a->span.since_ns = a->from_ns;
		if (!a->is_void && !err)
			err = mapset_put(&p->maps, &a->span);
		a->is_entered = true;
		answer_put(a);
	}
	p->answer_cnt = kept;
	return err;
}

static int event_mmap(struct resolver *r, const struct map_event *e)
{
	struct span s = {
		.start = e->start,
		.end = e->end,
		.off = e->off,
		.kind = e->vma_kind,
		.evidence = EVID_TIMELINE,
		.module = UINT32_MAX,
		.since_ns = e->time_ns,
	};
	struct process *p;
	int err = process_get(r, e->pid, &p);

	if (!err)
		err = process_settle(p, e->time_ns);
	if (err)
		return err;
	answers_touch(p, e->time_ns, e->start, e->end);
	if (e->vma_kind == VMA_FILE) {
		err = module_intern(r, &e->build_id, e->path, &s.module);
		if (err)
			return err;
		module_open(r, s.module, (pid_t)e->pid, e->start, e->end, e->path);
	}
	if (e->time_ns <= r->lost_until_ns) /* the next mapping there may be among the missing */
		return 0;
	return mapset_put(&p->maps, &s);
}

static int event_fork(struct resolver *r, const struct map_event *e)
{
	struct process *child, *parent;
	int err = process_get(r, e->pid, &child);

	if (err)
		return err;
	process_renew(child, e->time_ns); /* a number used before */
	parent = process_find(r, e->ppid);
	if (!parent)
		return 0;
	child->is_followed = parent->is_followed;
	return mapset_copy(&child->maps, &parent->maps);
}

static int event_exec(struct resolver *r, const struct map_event *e)
{
	struct process *p;
	int err = process_get(r, e->pid, &p);

	if (err)
		return err;
	err = process_settle(p, e->time_ns);
	answers_touch(p, e->time_ns, 0, UINT64_MAX);
	mapset_clear(&p->maps);
	p->is_followed = e->time_ns > r->lost_until_ns;
	p->since_ns = e->time_ns;
	p->start_ns = 0;
	p->exec_id = 0;
	p->is_denied = false; /* what may be asked is another program's now */
	p->is_gone = false;
	return err;
}

/* The leader has left; its process may live on in other threads, so what is known of it stays. */
static void event_exit(struct resolver *r, const struct map_event *e)
{
	struct process *p = process_find(r, e->pid);

	if (!p || p->exited_ns)
		return;
	p->exited_ns = e->time_ns;
	r->exited_cnt++;
}

void process_collect(struct resolver *r, uint64_t now_ns)
{
	char path[32];

	if (r->exited_cnt < EXITED_MAX)
		return;
	r->exited_cnt = 0;
	for (size_t i = 0; i < r->pids.cnt; i++) {
		struct process *p = &r->processes[i];

		if (!r->pids.slots[i].is_used || !p->exited_ns)
			continue;
		snprintf(path, sizeof(path), "/proc/%u", p->pid);
		if (p->exited_ns + EXITED_KEEP_NS < now_ns && access(path, F_OK))
			process_forget(r, p);
	}
}

/* Something happened that nobody saw, from since_ns on: nothing known from before holds any more, nor will
 * what is seen up to time_ns. */
static void event_lost(struct resolver *r, const struct map_event *e)
{
	if (e->time_ns > r->lost_until_ns)
		r->lost_until_ns = e->time_ns;
	for (size_t i = 0; i < r->pids.cnt; i++) {
		struct process *p = &r->processes[i];

		if (!r->pids.slots[i].is_used)
			continue;
		for (size_t k = 0; k < p->answer_cnt; k++)
			p->answers[k]->is_void |= p->answers[k]->ready_ns >= e->since_ns;
		answers_drop(p);
		p->is_followed = false;
		mapset_clear(&p->maps);
	}
}

int process_event(struct resolver *r, const struct map_event *e)
{
	switch (e->kind) {
	case MAP_EVENT_MMAP:
		return event_mmap(r, e);
	case MAP_EVENT_FORK:
		return event_fork(r, e);
	case MAP_EVENT_EXEC:
		return event_exec(r, e);
	case MAP_EVENT_EXIT:
		event_exit(r, e);
		return 0;
	case MAP_EVENT_LOST:
		event_lost(r, e);
		return 0;
	}
	return -EINVAL;
}

static int answer_add(struct process *p, const struct answer *from, struct answer **ret)
{
	struct answer *a;
	int err = array_reserve(&p->answers, &p->answer_cap, p->answer_cnt + 1, sizeof(a),
				ANSWERS_MAX);

	if (err)
		return err;
	a = malloc(sizeof(*a));
	if (!a)
		return -ENOMEM;
	*a = *from;
	a->ref_cnt = 1;
	p->answers[p->answer_cnt++] = a;
	*ret = a;
	return 0;
}

/* The last change in [start, end) that the stream has shown already: for a sample that comes late, an
 * answer is no better than it is for one in order. */
static uint64_t changed_ns(const struct resolver *r, const struct process *p, uint64_t start,
			   uint64_t end)
{
	uint64_t ns = p->since_ns > r->lost_until_ns ? p->since_ns : r->lost_until_ns;

	for (size_t i = 0; i < p->maps.cnt && p->maps.spans[i].start < end; i++)
		if (p->maps.spans[i].end > start && p->maps.spans[i].since_ns > ns)
			ns = p->maps.spans[i].since_ns;
	return ns;
}

/* What /proc said as a span. */
static int span_make(struct resolver *r, const struct process *p, const struct vma *v,
		     enum evidence evidence, struct span *ret)
{
	int err = 0;

	*ret = (struct span){ .start = v->start,
			      .end = v->end,
			      .off = v->off,
			      .ino = v->ino,
			      .dev = v->dev,
			      .kind = v->kind,
			      .module = UINT32_MAX,
			      .evidence = evidence };
	if (v->kind == VMA_FILE) {
		err = module_intern(r, &v->build_id, v->path, &ret->module);
		if (!err)
			module_open(r, ret->module, (pid_t)p->pid, v->start, v->end, v->path);
	}
	return err;
}

/* Turn what /proc said into an answer of p's. */
static int answer_take(struct resolver *r, struct process *p, const struct vma *v,
		       uint64_t asked_ns, struct answer **ret)
{
	struct answer a = {
		.asked_ns = asked_ns,
		.answered_ns = clock_mono_ns(),
		.from_ns = changed_ns(r, p, v->start, v->end),
	};
	int err = span_make(r, p, v, EVID_QUERY, &a.span);

	a.ready_ns = a.answered_ns + RESOLVER_SLACK_NS;
	return err ? err : answer_add(p, &a, ret);
}

/* Mark why a process cannot be asked; 0: a reason of the process's, else an error of ours. */
static int ask_failed(struct process *p, int err)
{
	if (err == -ENOMEM || err == -EMFILE || err == -ENFILE)
		return err;
	if (err == -EACCES || err == -EPERM)
		p->is_denied = true;
	else
		p->is_gone = true;
	return 0;
}

int process_ask(struct resolver *r, struct process *p, uint64_t addr, uint64_t time_ns,
		struct answer **ret)
{
	uint64_t asked_ns;
	struct procmap *map;
	struct vma vma;
	int err;

	*ret = NULL;
	for (size_t i = 0; i < p->answer_cnt; i++) {
		struct answer *a = p->answers[i];

		if (addr >= a->span.start && addr < a->span.end && !a->is_void &&
		    a->from_ns <= time_ns) {
			*ret = a;
			return 0;
		}
	}
	if (p->is_gone || p->is_denied || r->is_finishing)
		return 0;
	r->counters.queries++;
	asked_ns = clock_mono_ns();
	err = procmap_open((pid_t)p->pid, p->start_ns, &map);
	if (err)
		return ask_failed(p, err);
	if (r->is_text)
		procmap_force_text(map);
	err = procmap_find(map, addr, &vma);
	procmap_close(map);
	return err ? ask_failed(p, err) : answer_take(r, p, &vma, asked_ns, ret);
}

int resolver_snapshot(struct resolver *r, pid_t pid)
{
	struct process *p;
	struct procmap *map;
	struct answer *a;
	struct vma vma = {};
	uint64_t asked_ns;
	int err = process_get(r, (uint32_t)pid, &p);

	if (err)
		return err;
	err = procmap_open(pid, 0, &map);
	if (err)
		return ask_failed(p, err);
	if (r->is_text)
		procmap_force_text(map);
	asked_ns = clock_mono_ns(); /* an answer may be of the first one's time */
	for (;;) {
		err = procmap_next_exec(map, vma.end, &vma);
		if (err)
			break;
		r->counters.queries++;
		err = answer_take(r, p, &vma, asked_ns, &a);
		if (err)
			break;
	}
	procmap_close(map);
	return err == -ENOENT ? files_learn_all(r, p) : ask_failed(p, err);
}

static bool mm_same(const struct bstack_mm *a, const struct bstack_mm *b)
{
	return a->start_ns == b->start_ns && a->exec_id == b->exec_id && a->seq == b->seq;
}

bool process_is_checked(const struct process *p, const struct raw_sample *s)
{
	return s->is_steady && p->checked.is_valid && mm_same(&p->checked.mm, &s->mm);
}

static int check_read(struct resolver *r, struct process *p, struct mapset *ret)
{
	struct procmap *map;
	struct vma vma = {};
	int err = procmap_open((pid_t)p->pid, 0, &map); /* who it is, the two looks say */

	if (err)
		return err;
	if (r->is_text)
		procmap_force_text(map);
	for (;;) {
		struct span s;

		err = procmap_next_exec(map, vma.end, &vma);
		if (err)
			break;
		err = span_make(r, p, &vma, EVID_PROVEN, &s);
		if (!err)
			err = mapset_put(ret, &s);
		if (err)
			break;
	}
	procmap_close(map);
	return err == -ENOENT ? 0 : err;
}

/* One look, the mappings, another look: 0 when all of it is of the sample's address space. */
static int check_once(struct resolver *r, struct process *p, const struct raw_sample *s,
		      struct mapset *ret)
{
	struct bstack_mm now;
	int err = r->ops->on_mm(r->ctx, (pid_t)p->pid, &now);

	if (!err && !mm_same(&now, &s->mm))
		err = -EAGAIN;
	if (!err)
		err = check_read(r, p, ret);
	if (!err)
		err = r->ops->on_mm(r->ctx, (pid_t)p->pid, &now);
	return !err && !mm_same(&now, &s->mm) ? -EAGAIN : err;
}

/*
 * A process whose sequence moves with each allocation is looked at more and more seldom, and all looks together
 * take no more than one part in CHECK_SHARE of the time.
 */
int process_check(struct resolver *r, struct process *p, const struct raw_sample *s)
{
	struct checked *c = &p->checked;
	struct mapset maps = {};
	uint64_t now_ns = clock_mono_ns(), end_ns;
	int err;

	if (!r->ops->on_mm || !s->is_steady || !s->user_cnt || process_is_checked(p, s) ||
	    now_ns < c->again_ns || (now_ns < r->check_again_ns && !r->is_finishing))
		return 0;
	r->counters.checks++;
	err = check_once(r, p, s, &maps);
	end_ns = clock_mono_ns();
	r->check_again_ns = end_ns + (end_ns - now_ns) * (CHECK_SHARE - 1);
	if (err) {
		mapset_release(&maps);
		c->pause_ns = c->pause_ns ? 2 * c->pause_ns : CHECK_PAUSE_NS;
		if (c->pause_ns > CHECK_PAUSE_MAX_NS)
			c->pause_ns = CHECK_PAUSE_MAX_NS;
		c->again_ns = end_ns + c->pause_ns;
		return err == -ENOMEM ? err : 0;
	}
	mapset_release(&c->maps);
	*c = (struct checked){
		.is_valid = true,
		.mm = s->mm,
		.maps = maps,
		.again_ns = end_ns + CHECK_PAUSE_NS,
	};
	return 0;
}
