/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * vmafile.c - which build-id an inode has: what a sample's own mappings need to prove its frames.
 *
 * An inode number is given to another file once its inode is gone; but one of the same mount, generation and time of change is
 * the one it was, unchanged, and has been there all the time in between. So an answer of /proc about a mapping of inode
 * N holds for a sample of before when that mapping, of this very inode, is still there after the answer.
 * The clock of the time of change goes in ticks: what was changed within the last ones may change again and keep it, so
 * nothing is learned of it yet.
 */
#include "resolve/resolver_impl.h"

#define FILES_MAX  \
	((size_t)1 \
	 << 18)         /* with more, all are forgotten: a file that changes is another each time */
#define LEARN_TRIES  16 /* of a module that is mapped; its samples may teach it yet */
#define TICKS_NS     (20 * 1000000ULL) /* a tick is 10 ms at most (HZ=100) */
#define ASK_SHARE    20 /* all questions together take one part in so many of the time */
#define PAUSE_NS     (20 * 1000000ULL)
#define PAUSE_MAX_NS (10 * NSEC_PER_SEC)

static uint64_t hash_of(const struct bstack_file *id)
{
	return hash_bytes(id, sizeof(*id), 3);
}

static struct known_file *file_find(struct resolver *r, const struct bstack_file *id)
{
	uint32_t *recent = &r->recent_files[id->ino % ARRAY_SIZE(r->recent_files)];
	struct hmap_iter it;

	/* each frame of each sample asks, mostly for one of a few */
	if (*recent < r->file_cnt && bstack_file_same(&r->files[*recent].id, id))
		return &r->files[*recent];
	for (uint32_t i = hmap_first(&r->file_map, hash_of(id), &it); i != HMAP_NONE;
	     i = hmap_next(&r->file_map, &it)) {
		if (bstack_file_same(&r->files[i].id, id)) {
			*recent = i;
			return &r->files[i];
		}
	}
	return NULL;
}

/* Found or made. */
static int file_get(struct resolver *r, const struct bstack_file *id, struct known_file **ret)
{
	int err;

	*ret = file_find(r, id);
	if (*ret)
		return 0;
	if (r->file_cnt == FILES_MAX) {
		hmap_release(&r->file_map);
		r->file_cnt = 0;
	}
	err = array_reserve(&r->files, &r->file_cap, r->file_cnt + 1, sizeof(*r->files), FILES_MAX);
	if (!err)
		err = hmap_add(&r->file_map, hash_of(id), (uint32_t)r->file_cnt);
	if (err)
		return err;
	*ret = &r->files[r->file_cnt++];
	**ret = (struct known_file){ .id = *id, .module = UINT32_MAX };
	return 0;
}

static void file_learn(struct resolver *r, struct known_file *f, uint32_t module)
{
	if (f->module != UINT32_MAX || !r->modules[module].build_id.sz)
		return;
	f->module = module;
	r->modules[module].is_learned = true;
	r->counters.files++;
	if (r->ops->on_file)
		r->ops->on_file(r->ctx, &f->id);
}

/* Mappings of one process whose files are not known, and what /proc says of each. */
struct question {
	pid_t pid;
	uint64_t start_ns;
	uint64_t begin_ns, begin_real_ns;
	size_t cnt;
	struct bstack_vma vmas[BSTACK_VMAS_MAX];
	uint64_t addrs[BSTACK_VMAS_MAX];
	uint32_t modules[BSTACK_VMAS_MAX]; /* UINT32_MAX: no answer of this inode */
};

static bool is_answer(const struct vma *a, const struct bstack_vma *v)
{
	return a->kind == VMA_FILE && a->start == v->start && a->end == v->end &&
	       a->off == v->off && a->ino == v->file.ino && a->dev == v->file.dev &&
	       a->is_id_of_inode && a->build_id.sz &&
	       (!a->ctime_ns || a->ctime_ns == v->file.ctime_ns);
}

static void question_begin(struct question *q)
{
	q->begin_ns = clock_mono_ns();
	q->begin_real_ns = clock_real_ns();
}

/* Whatever came of it, its time counts. */
static void question_end(struct resolver *r, const struct question *q)
{
	uint64_t end_ns = clock_mono_ns();

	r->files_again_ns = end_ns + (end_ns - q->begin_ns) * (ASK_SHARE - 1);
}

/* To be asked: unless it is known, was asked for in vain just now, or has just been changed. */
static void question_add(struct question *q, struct known_file *f, const struct bstack_vma *v)
{
	if (f->module != UINT32_MAX || f->again_ns > q->begin_ns)
		return;
	if (v->file.ctime_ns + TICKS_NS >= q->begin_real_ns &&
	    v->file.ctime_ns <= q->begin_real_ns + TICKS_NS) {
		f->again_ns = q->begin_ns + TICKS_NS;
		return;
	}
	q->vmas[q->cnt] = *v;
	q->addrs[q->cnt] = v->start;
	q->modules[q->cnt++] = UINT32_MAX;
}

static int proc_ask(struct resolver *r, struct question *q)
{
	struct procmap *map;
	struct vma a;
	int err = procmap_open(q->pid, q->start_ns, &map);

	if (err)
		return err;
	if (r->is_text)
		procmap_force_text(map);
	for (size_t i = 0; i < q->cnt && !err; i++) {
		r->counters.queries++;
		err = procmap_find(map, q->vmas[i].start, &a);
		if (err || !is_answer(&a, &q->vmas[i]))
			continue;
		err = module_intern(r, &a.build_id, a.path, &q->modules[i]);
		if (!err)
			module_open(r, q->modules[i], q->pid, a.start, a.end, a.path);
	}
	procmap_close(map);
	return err;
}

/* Ask, then look: what is still the same, and its file unchanged, was so when it was asked for. */
static int question_ask(struct resolver *r, struct question *q)
{
	struct bstack_vma now[BSTACK_VMAS_MAX];
	uint64_t end_ns;
	int err = proc_ask(r, q);

	if (!err)
		err = r->ops->on_vmas(r->ctx, q->pid, q->addrs, q->cnt, now);
	end_ns = clock_mono_ns();
	for (size_t i = 0; i < q->cnt; i++) {
		struct known_file *f = file_find(r, &q->vmas[i].file);

		if (!f)
			continue; /* forgotten with all the others */
		if (!err && q->modules[i] != UINT32_MAX && bstack_vma_same(&now[i], &q->vmas[i])) {
			file_learn(r, f, q->modules[i]);
			continue;
		}
		f->pause_ns = f->pause_ns ? 2 * f->pause_ns : PAUSE_NS;
		if (f->pause_ns > PAUSE_MAX_NS)
			f->pause_ns = PAUSE_MAX_NS;
		f->again_ns = end_ns + f->pause_ns;
	}
	return err == -ENOMEM ? err : 0;
}

int files_learn(struct resolver *r, const struct raw_sample *s)
{
	struct question q = { .pid = (pid_t)s->pid, .start_ns = s->mm.start_ns };
	int err;

	for (size_t i = 0; i < s->vma_cnt; i++) {
		const struct bstack_vma *v = &s->vmas[i];
		struct known_file *f;

		if (v->kind != BSTACK_VMA_FILE || v->is_in_flux)
			continue;
		err = file_get(r, &v->file, &f);
		if (err)
			return err;
		if (f->module != UINT32_MAX)
			continue;
		if (!q.begin_ns)
			question_begin(&q);
		if (r->files_again_ns <= q.begin_ns || r->is_finishing)
			question_add(&q, f, v);
	}
	if (!q.cnt || !r->ops->on_vmas)
		return 0;
	err = question_ask(r, &q);
	question_end(r, &q);
	return err;
}

/* Look where files are mapped at q's addresses, ask for those that are not known, and look again. */
static int looked_learn(struct resolver *r, struct question *q)
{
	struct bstack_vma found[BSTACK_VMAS_MAX];
	size_t cnt = q->cnt;
	int err = r->ops->on_vmas(r->ctx, q->pid, q->addrs, cnt, found);

	if (err)
		return err == -ENOMEM ? err : 0;
	q->cnt = 0;
	for (size_t i = 0; i < cnt; i++) {
		struct known_file *f;

		if (!found[i].end || found[i].kind != BSTACK_VMA_FILE)
			continue;
		err = file_get(r, &found[i].file, &f);
		if (err)
			return err;
		question_add(q, f, &found[i]);
	}
	return q->cnt ? question_ask(r, q) : 0;
}

static int addrs_learn(struct resolver *r, struct question *q)
{
	int err;

	question_begin(q);
	err = looked_learn(r, q);
	question_end(r, q);
	return err;
}

int resolver_learn(struct resolver *r, const struct map_event *e)
{
	struct question q = { .pid = (pid_t)e->pid, .cnt = 1, .addrs = { e->start } };
	uint32_t module;
	int err;

	if (!r->ops->on_vmas || e->kind != MAP_EVENT_MMAP || e->vma_kind != VMA_FILE ||
	    !e->build_id.sz)
		return 0;
	err = module_intern(r, &e->build_id, e->path ? e->path : "", &module);
	if (err || r->modules[module].is_learned || r->modules[module].learn_tries == LEARN_TRIES ||
	    clock_mono_ns() < r->files_again_ns)
		return err;
	r->modules[module].learn_tries++;
	return addrs_learn(r, &q);
}

int files_learn_all(struct resolver *r, const struct process *p)
{
	struct question q = { .pid = (pid_t)p->pid };
	int err = 0;

	if (!r->ops->on_vmas)
		return 0;
	for (size_t i = 0; i < p->answer_cnt && !err; i++) {
		const struct span *s = &p->answers[i]->span;

		if (s->kind == VMA_FILE && r->modules[s->module].build_id.sz)
			q.addrs[q.cnt++] = s->start;
		if (q.cnt == BSTACK_VMAS_MAX || (q.cnt && i + 1 == p->answer_cnt)) {
			err = addrs_learn(r, &q);
			q.cnt = 0;
		}
	}
	return err;
}

const struct bstack_vma *sample_vma(const struct raw_sample *s, uint64_t addr)
{
	for (size_t i = 0; i < s->vma_cnt; i++)
		if (addr >= s->vmas[i].start && addr < s->vmas[i].end)
			return &s->vmas[i];
	return NULL;
}

uint32_t files_module(struct resolver *r, const struct bstack_vma *v)
{
	const struct known_file *f = v->kind == BSTACK_VMA_FILE ? file_find(r, &v->file) : NULL;

	return f ? f->module : UINT32_MAX;
}

bool files_prove(struct resolver *r, const struct raw_sample *s, uint64_t addr, struct span *ret)
{
	const struct bstack_vma *v = sample_vma(s, addr);

	if (!v || v->is_in_flux || v->kind == BSTACK_VMA_OTHER)
		return false;
	*ret = (struct span){ .start = v->start,
			      .end = v->end,
			      .off = v->off,
			      .kind = VMA_VDSO,
			      .module = UINT32_MAX,
			      .evidence = EVID_PROVEN };
	if (v->kind == BSTACK_VMA_VDSO)
		return true;
	ret->kind = VMA_FILE;
	ret->module = files_module(r, v);
	return ret->module != UINT32_MAX;
}
