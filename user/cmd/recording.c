/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* recording.c - see recording.h. */
#include "cmd/recording.h"
#include "cmd/builder.h"
#include "cmd/known.h"
#include "cmd/names.h"
#include "cmd/output.h"
#include "collect/features.h"
#include "profile/pprof.h"
#include "unwind/maker.h"

#include <dirent.h>
#include <sched.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#define FED_MAX       65536
#define STEP_MS       100
#define TABLES_MAX_NS (2 * NSEC_PER_SEC) /* for unwind tables, at the start */
#define FINISH_MAX_NS (5 * NSEC_PER_SEC) /* for samples on their way, at the end */

struct recording {
	struct session *session;
	struct resolver *resolver;
	struct builder *builder;
	struct unwinder *unwinder; /* NULL: by frame pointer only */
	struct known *known;       /* NULL: every sample is a record */
	struct pid_table fed;      /* processes whose mappings it is told */
	struct symbols *syms;
	struct model model;
	struct pprof_writer *writer; /* NULL: everything at the end */
	const char *path;
	int fd;
	bool is_created; /* the file is new */
	bool is_begun;   /* and has something of this recording */
	uint64_t start_ns, flushed_ns, stopped_ns;
	bool has_priority; /* read promptly: see priority_set() */
	bool is_burst;     /* in real-time priority now */
	int nice;          /* as it was before */
	bool has_times;    /* each sample keeps its time */
};

/* The kernel gives 20 bytes, zero-filled: a shorter build-id shows as trailing zeros. */
static void ids_decode(const struct bstack_id_frame *frames, size_t cnt, struct raw_id *ret)
{
	for (size_t i = 0; i < cnt; i++) {
		ret[i] = (struct raw_id){ .is_valid = frames[i].status == 1,
					  .off = frames[i].offset_or_ip };
		if (!ret[i].is_valid)
			continue;
		ret[i].build_id.sz = BUILD_ID_MAX;
		memcpy(ret[i].build_id.bytes, frames[i].build_id, BUILD_ID_MAX);
	}
}

static int on_sample(void *ctx, const struct bstack_sample *s, size_t sz)
{
	struct raw_id ids[BSTACK_FRAMES];
	const uint64_t *ips = (const uint64_t *)(s + 1);
	const struct bstack_id_frame *frames = (const void *)(ips + s->kernel_cnt + s->user_cnt);
	const struct bstack_step *steps = (const void *)(frames + s->id_cnt);
	const struct unwind_state *state = (const void *)(steps + s->step_cnt);
	const struct bstack_vma *vmas =
		(const void *)((const char *)state +
			       (s->stack_sz ? sizeof(*state) + s->stack_sz : 0));
	struct recording *r = ctx;
	struct stack_rest rest;
	struct raw_sample raw = {
		.time_ns = s->time_ns,
		.mm = s->mm,
		.is_steady = s->flags & BSTACK_SAMPLE_STEADY,
		.key = s->key,
		.has_key = s->flags & BSTACK_SAMPLE_KEY,
		.weight = s->weight,
		.pid = s->pid,
		.tid = s->tid,
		.cause = (enum cause)s->cause,
		.is_truncated = s->flags & BSTACK_SAMPLE_TRUNCATED,
		.owner_tid = s->owner_tid,
		.kernel_cnt = s->kernel_cnt,
		.user_cnt = s->user_cnt,
		.kernel_ips = ips,
		.user_ips = ips + s->kernel_cnt,
		.ids = s->id_cnt ? ids : NULL,
		.steps = s->step_cnt ? steps : NULL,
		.step_cnt = s->step_cnt,
		.end = s->end,
		.rest = s->stack_sz ? &rest : NULL,
		.vmas = s->vma_cnt ? vmas : NULL,
		.vma_cnt = s->vma_cnt,
		.has_all_vmas = s->flags & BSTACK_SAMPLE_VMAS,
	};

	(void)sz; /* checked by the session */
	memcpy(raw.comm, s->comm, sizeof(raw.comm));
	memcpy(raw.owner_comm, s->owner_comm, sizeof(raw.owner_comm));
	ids_decode(frames, s->id_cnt, ids);
	if (s->stack_sz) {
		rest.state = *state;
		rest.base = state->sp & ~(uint64_t)(BSTACK_STACK_PAGE - 1);
		rest.bytes = (const uint8_t *)(state + 1);
		rest.sz = s->stack_sz;
		r->model.ledger.unwind_sent++;
		r->model.ledger.unwind_sent_bytes += s->stack_sz;
	}
	if (r->unwinder && (s->end == BSTACK_END_NO_TABLE || s->end == BSTACK_END_NO_MAPPING)) {
		int err = unwinder_miss(r->unwinder, s->pid);

		if (err)
			return err;
	}
	return resolver_sample(r->resolver, &raw);
}

/* To the unwinder at once, and to the resolver, who puts it in its place in time. */
static int unwinder_side(struct unwinder *u, const struct map_event *e)
{
	struct vma v = { .start = e->start, .end = e->end, .off = e->off, .kind = e->vma_kind };

	switch (e->kind) {
	case MAP_EVENT_MMAP:
		v.build_id = e->build_id;
		snprintf(v.path, sizeof(v.path), "%s", e->path);
		return unwinder_mmap(u, e->pid, &v);
	case MAP_EVENT_FORK:
		return unwinder_fork(u, e->pid, e->ppid);
	case MAP_EVENT_EXEC:
		return unwinder_exec(u, e->pid);
	case MAP_EVENT_EXIT:
		unwinder_exit(u, e->pid);
		return 0;
	case MAP_EVENT_LOST:
		unwinder_lost(u);
		return 0;
	}
	return 0;
}

/*
 * The side band is the whole host's: tables of strangers' files would come before those of the targets. A process that
 * has left by now is no longer in BPF's list, but its parent may have been fed.
 */
static bool is_fed(struct recording *r, const struct map_event *e)
{
	uint32_t slot = pid_table_find(&r->fed, e->pid);

	if (e->kind == MAP_EVENT_EXIT && slot != HMAP_NONE)
		pid_table_remove(&r->fed, slot);
	if (e->kind == MAP_EVENT_LOST || e->kind == MAP_EVENT_EXIT || slot != HMAP_NONE)
		return true;
	if (!session_may_sample(r->session, e->pid) &&
	    (e->kind != MAP_EVENT_FORK || pid_table_find(&r->fed, e->ppid) == HMAP_NONE))
		return false;
	/* Without memory for it, BPF is asked again each time. */
	pid_table_add(&r->fed, e->pid, FED_MAX, &slot);
	return true;
}

static int on_side(void *ctx, const struct side_event *e)
{
	static const enum map_event_kind kinds[] = {
		[SIDE_MMAP] = MAP_EVENT_MMAP, [SIDE_EXEC] = MAP_EVENT_EXEC,
		[SIDE_FORK] = MAP_EVENT_FORK, [SIDE_EXIT] = MAP_EVENT_EXIT,
		[SIDE_LOST] = MAP_EVENT_LOST,
	};
	struct recording *r = ctx;
	int err;
	struct map_event ev = {
		.kind = kinds[e->kind],
		.time_ns = e->time_ns,
		.since_ns = e->since_ns,
		.pid = e->pid,
		.ppid = e->ppid,
		.start = e->start,
		.end = e->end,
		.off = e->off,
		.build_id = e->build_id,
		.path = e->path,
	};

	if (e->kind == SIDE_MMAP) {
		if (!e->is_exec)
			return 0;
		ev.vma_kind = vma_kind_of(e->path, true);
	}
	if (r->unwinder && is_fed(r, &ev)) {
		err = unwinder_side(r->unwinder, &ev);
		if (err)
			return err;
	}
	err = resolver_event(r->resolver, &ev);
	if (!err && e->kind == SIDE_MMAP && session_may_sample(r->session, e->pid))
		err = resolver_learn(r->resolver, &ev);
	return err;
}

static const struct session_ops session_ops = { .on_sample = on_sample, .on_side = on_side };

/* Files of sampled modules stay open until their symbols are read. */
static void raise_file_limit(void)
{
	struct rlimit lim;

	if (!getrlimit(RLIMIT_NOFILE, &lim) && lim.rlim_cur < lim.rlim_max) {
		lim.rlim_cur = lim.rlim_max;
		setrlimit(RLIMIT_NOFILE, &lim);
	}
}

/* A new file, or one that is there, as it is. */
static int open_either(struct recording *r, const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

	r->is_created = fd >= 0;
	if (fd < 0 && errno == EEXIST)
		fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	return fd;
}

/*
 * The file is opened before anything is collected: a wrong path must not cost a recording. What is in it stays until there is
 * something to write: a mistyped command must not cost the last recording.
 */
static int file_open(struct recording *r, const char *path, struct error *e)
{
	struct stat st;
	int err;

	r->path = path;
	if (!strcmp(path, "-")) {
		r->fd = STDOUT_FILENO;
	} else {
		r->fd = open_either(r, path);
		if (r->fd < 0)
			return error_errno(e, errno, "cannot write %s", path);
	}
	if (fstat(r->fd, &st))
		return error_errno(e, errno, "cannot write %s", path);
	if (!S_ISREG(st.st_mode) || r->fd == STDOUT_FILENO)
		return 0;
	err = pprof_writer_new(&r->model, r->fd, &r->writer);
	return err ? error_errno(e, -err, "cannot write %s", path) : 0;
}

static int ledger_init(struct recording *r, const struct session_opts *o, const char *command)
{
	struct model *m = &r->model;
	struct utsname un;
	char host[256];
	int err;

	uname(&un);
	snprintf(host, sizeof(host), "%.32s %.96s %.64s", un.sysname, un.release, un.machine);
	m->has_ledger = true;
	m->ledger.freq_hz = o->event.freq_hz;
	m->ledger.period = o->event.freq_hz ? 0 : o->event.period;
	err = strtab_add(&m->strings, o->event.name, &m->event);
	if (!err)
		err = strtab_add(&m->strings, o->event.unit, &m->event_unit);
	if (!err)
		err = strtab_add(&m->strings, command, &m->command);
	return err ? err : strtab_add(&m->strings, host, &m->host);
}

int recording_open(const struct session_opts *o, const char *path, const char *command,
		   const char *const *debug_dirs, struct recording **ret, struct error *e)
{
	struct symbols_opts so = { .debug_dirs = debug_dirs };
	struct recording *r = calloc(1, sizeof(*r));
	int err;

	if (!r)
		return error_errno(e, ENOMEM, "cannot record");
	r->fd = -1;
	r->has_priority = o->has_rows && o->has_priority;
	r->has_times = o->has_times;
	raise_file_limit();
	err = model_init(&r->model);
	if (!err)
		err = ledger_init(r, o, command);
	if (!err)
		err = symbols_new(&so, &r->syms);
	if (!err)
		err = builder_new(&r->model, r->syms, &r->builder);
	if (!err)
		err = resolver_new(&builder_ops, r->builder, &r->resolver);
	if (err) {
		error_errno(e, -err, "cannot record");
	} else {
		builder_set_resolver(r->builder, r->resolver);
		if (getenv("BSTACK_NO_PROCMAP_QUERY")) /* as before Linux 6.11: for tests */
			resolver_force_text(r->resolver);
		err = session_open(o, &session_ops, r, &r->session, e);
	}
	if (!err)
		builder_set_session(r->builder, r->session);
	if (!err && o->known_cnt) {
		err = known_new(session_known_maps(r->session), &r->model, &r->known);
		if (err)
			error_errno(e, -err, "cannot record");
		builder_set_known(r->builder, r->known);
	}
	if (!err && o->has_rows) {
		err = unwinder_new(session_unwind_maps(r->session), &r->unwinder);
		if (!err)
			err = session_wake_on(r->session, unwinder_wake_fd(r->unwinder));
		if (err)
			error_errno(e, -err, "cannot record");
		builder_set_unwinder(r->builder, r->unwinder);
		if (!err && r->has_priority)
			unwinder_hurry(r->unwinder);
	}
	if (!err)
		err = file_open(r, path, e);
	if (err) {
		recording_close(r);
		return err;
	}
	*ret = r;
	return 0;
}

void recording_close(struct recording *r)
{
	if (!r)
		return;
	unwinder_free(r->unwinder);
	known_free(r->known);
	pid_table_release(&r->fed);
	session_close(r->session);
	resolver_free(r->resolver);
	builder_free(r->builder);
	pprof_writer_free(r->writer);
	symbols_free(r->syms);
	model_release(&r->model);
	if (r->fd > STDOUT_FILENO)
		close(r->fd);
	if (r->is_created && !r->is_begun)
		unlink(r->path);
	free(r);
}

struct session *recording_session(struct recording *r)
{
	return r->session;
}

const struct model *recording_model(const struct recording *r)
{
	return &r->model;
}

/*
 * A new process's tables are worth the less, the later they come: on a busy host an ordinary reader waits
 * milliseconds for a CPU, which is the life of a small process. So short bursts in the lowest real-time priority; but a
 * flood of samples, which would keep a CPU from all others, the maker of the tables among them, as an ordinary thread
 * with a good nice value. What is forked inherits neither. Without the privilege things go on as they are.
 */
static void priority_set(struct recording *r, bool is_burst)
{
	struct sched_param param = { .sched_priority = is_burst ? 1 : 0 };

	if (!r->has_priority || is_burst == r->is_burst)
		return;
	sched_setscheduler(0, (is_burst ? SCHED_RR : SCHED_OTHER) | SCHED_RESET_ON_FORK, &param);
	r->is_burst = is_burst;
}

int recording_start(struct recording *r, struct error *e)
{
	if (r->unwinder) /* what is there already shall have its tables with the first sample */
		unwinder_wait(r->unwinder, clock_mono_ns() + TABLES_MAX_NS);
	r->nice = getpriority(PRIO_PROCESS, 0);
	if (r->has_priority && r->nice > HURRY_NICE)
		setpriority(PRIO_PROCESS, 0, HURRY_NICE);
	priority_set(r, true);
	r->start_ns = r->flushed_ns = clock_mono_ns();
	r->model.ledger.start_ns = clock_real_ns();
	if (r->has_times)
		builder_keep_times(r->builder, r->model.ledger.start_ns, r->start_ns);
	return session_start(r->session, e);
}

int recording_snapshot(struct recording *r, pid_t pid)
{
	int err = resolver_snapshot(r->resolver, pid);

	if (!err && r->unwinder)
		err = unwinder_snapshot(r->unwinder, (uint32_t)pid);
	if (!err && r->unwinder)
		err = unwinder_commit(r->unwinder);
	return err;
}

int recording_snapshot_all(struct recording *r)
{
	DIR *dir = opendir("/proc");
	struct dirent *d;
	uint64_t pid;
	int err = 0;

	if (!dir)
		return -errno;
	while (!err && (d = readdir(dir)))
		if (!parse_u64(d->d_name, 1, INT32_MAX, &pid))
			err = recording_snapshot(r, (pid_t)pid);
	closedir(dir);
	return err;
}

/* Take in what there is; the tables of unwinding are up to date behind it. */
static int poll_once(struct recording *r, int timeout_ms, uint64_t *ret_until_ns, struct error *e)
{
	int err = session_poll(r->session, timeout_ms, ret_until_ns, e);

	if (!err && r->unwinder) {
		err = unwinder_commit(r->unwinder);
		if (err)
			error_errno(e, -err, "cannot keep the unwind tables");
	}
	return err;
}

static int ledger_update(struct recording *r)
{
	struct ledger *l = &r->model.ledger;
	struct session_counters c;
	int err = session_counters(r->session, &c);

	if (err)
		return err;
	l->lost_ring = c.bpf.lost_ring;
	l->lost_nested = c.nested;
	l->fired = c.bpf.fired + c.nested;
	l->sideband_lost = c.side_lost;
	l->targets_missed = c.bpf.target_lost;
	l->vma_asked = c.bpf.vma_asked;
	l->vma_failed = c.bpf.vma_failed;
	l->counted_vma = c.bpf.counted_vma;
	l->no_sequence = r->known && !feature_has_sequence();
	l->known_files = resolver_counters(r->resolver)->files;
	session_cost(r->session, &l->bpf_runs, &l->bpf_ns);
	if (r->unwinder) {
		const struct unwinder_counters *u = unwinder_counters(r->unwinder);

		l->unwind_tables = u->tables;
		l->unwind_rows = u->rows;
		l->unwind_table_ns = u->table_ns;
		l->unwind_text_bytes = u->text_bytes;
		l->unwind_evicted = u->evicted;
		l->unwind_no_room = u->no_room;
	}
	l->duration_ns = (r->stopped_ns ? r->stopped_ns : clock_mono_ns()) - r->start_ns;
	return 0;
}

/* Samples that the resolver dropped are the ledger's, too; those the builder dropped already are. */
static uint64_t lost_memory_total(const struct recording *r)
{
	return r->model.ledger.lost_memory + resolver_counters(r->resolver)->lost_memory;
}

static int begin_file(struct recording *r, struct error *e)
{
	if (r->is_begun)
		return 0;
	r->is_begun = true;
	return ftruncate(r->fd, 0) ? error_errno(e, errno, "cannot write %s", r->path) : 0;
}

static int flush(struct recording *r, struct error *e)
{
	int err;

	if (r->known) {
		known_drain(r->known);
		r->model.ledger.known_evicted = known_evicted(r->known);
	}
	err = ledger_update(r);

	if (err)
		return error_errno(e, -err, "cannot read the counters");
	r->flushed_ns = clock_mono_ns();
	if (!r->writer)
		return 0;
	err = begin_file(r, e);
	return err ? err : pprof_writer_flush(r->writer, e);
}

int recording_step(struct recording *r, struct error *e)
{
	uint64_t until_ns;
	int err = poll_once(r, STEP_MS, &until_ns, e);

	if (err)
		return err;
	priority_set(r, !session_has_more(r->session));
	err = resolver_advance(r->resolver, until_ns);
	if (err)
		return error_errno(e, -err, "cannot resolve the samples");
	if (clock_mono_ns() - r->flushed_ns >= NSEC_PER_SEC)
		err = flush(r, e);
	return err;
}

/* Everything that fired has been handed in; now wait until the side band has passed it. */
static int drain(struct recording *r, struct error *e)
{
	uint64_t until_ns;
	int err;

	do {
		err = poll_once(r, STEP_MS / 4, &until_ns, e);
		if (err)
			return err;
		err = resolver_advance(r->resolver, until_ns);
		if (err)
			return error_errno(e, -err, "cannot resolve the samples");
	} while (session_has_more(r->session) || (!resolver_is_idle(r->resolver) &&
						  clock_mono_ns() < r->stopped_ns + FINISH_MAX_NS));
	err = resolver_finish(r->resolver);
	return err ? error_errno(e, -err, "cannot resolve the samples") : 0;
}

static int name_all(struct recording *r, struct error *e)
{
	struct names_stats stats = {};
	int err = names_fill(&r->model, r->syms, false, &stats, e);

	names_stats_release(&stats);
	return err;
}

/* Write the whole of it once more, with names, over the file that was appended to. */
static int rewrite(struct recording *r, struct error *e)
{
	struct output out;
	int err = output_open(r->path, &out, e);

	if (err)
		return err;
	err = pprof_write(&r->model, fileno(out.file), e);
	return output_finish(&out, err, err ? NULL : e) ? (err ? err : -EIO) : 0;
}

int recording_finish(struct recording *r, bool with_names, struct error *e)
{
	int err;

	session_stop(r->session);
	r->stopped_ns = clock_mono_ns();
	priority_set(r, false);
	if (r->has_priority)
		setpriority(PRIO_PROCESS, 0, r->nice);
	err = drain(r, e);
	if (err)
		return err;
	r->model.ledger.lost_memory = lost_memory_total(r);
	r->model.ledger.is_complete = 1;
	err = flush(r, e);
	if (err)
		return err;
	if (with_names)
		err = name_all(r, e);
	if (err)
		return err;
	if (!r->writer)
		return pprof_write(&r->model, r->fd, e);
	return with_names ? rewrite(r, e) : 0;
}

void recording_state(struct recording *r, struct recording_state *ret)
{
	const struct ledger *l = &r->model.ledger;
	struct recording_state s = { .samples = l->recorded, .fired = l->fired };
	struct stat st;

	ledger_update(r);
	s.fired = l->fired;
	s.lost = l->lost_ring + l->lost_nested + l->lost_memory;
	s.is_in_order = l->fired == l->recorded + s.lost;
	s.elapsed_ns = l->duration_ns;
	for (size_t i = 0; i < r->model.sample_cnt; i++) {
		const struct sample *sm = &r->model.samples[i];

		if (sm->cause != CAUSE_NONE)
			s.fell_back += sm->count;
	}
	if (r->is_begun && !stat(r->path, &st))
		s.bytes = (uint64_t)st.st_size;
	*ret = s;
}
