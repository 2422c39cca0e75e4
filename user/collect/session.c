/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* session.c - loads, attaches, reads, counts. See session.h. */
#include "collect/session.h"
#include "collect/features.h"
#include "collect/shared.h"
#include "collect/skel.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/perf_event.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * A record is stamped before it is visible; a CPU (or a virtual one that is not scheduled) may take a moment
 * in between. What is older than this has arrived.
 */
#define ARRIVAL_NS (100 * 1000000ULL)
#define TIDS_MAX   65536
#define BATCH_CNT  1024 /* records a poll: the side band and the tables must not wait for more */

struct cpu_event {
	uint32_t cpu;
	int fd;
	bool is_online;
};

struct session {
	const struct session_ops *ops;
	void *ctx;
	struct profile_bpf *skel;
	struct ring_buffer *ring;
	size_t batch_cnt;  /* records of this poll */
	uint64_t batch_ns; /* the last one's time */
	struct sideband *side;
	int epoll_fd;
	struct event event;
	struct cpu_event *cpus;
	size_t cpu_cnt, cpu_cap;
	struct bpf_link *links[3];
	struct shared shared;
	bool is_started;
	bool has_hotplug; /* the set of CPUs must be followed */
	char online[256]; /* as last read */
};

static int libbpf_quiet(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	if (level != LIBBPF_WARN || !getenv("BSTACK_DEBUG"))
		return 0;
	return vfprintf(stderr, fmt, ap);
}

/* Our pid namespace's inode number; 0 for the initial one, whose number is fixed (PROC_PID_INIT_INO). */
static int pid_namespace(uint32_t *ret_inum)
{
	struct stat st;

	if (stat("/proc/self/ns/pid", &st))
		return -errno;
	*ret_inum = st.st_ino == 0xeffffffcU ? 0 : (uint32_t)st.st_ino;
	return 0;
}

/* Numbers of CPUs go up to here. There may be fewer CPUs: not all numbers need be taken. */
static uint32_t cpu_numbers(void)
{
	int fd CLEANUP(cleanup_close) =
		open("/sys/devices/system/cpu/possible", O_RDONLY | O_CLOEXEC);
	char text[4096], *p;
	ssize_t n = fd < 0 ? -1 : read_some(fd, text, sizeof(text) - 1);

	if (n <= 0)
		return BSTACK_CPUS_MAX;
	text[n] = '\0';
	p = text + strcspn(text, "\n");
	while (p > text && p[-1] >= '0' && p[-1] <= '9')
		p--;
	return (uint32_t)strtoul(p, NULL, 10) + 1;
}

static int settings_fill(struct session *s, const struct session_opts *o, struct error *e)
{
	struct bstack_settings *set = (struct bstack_settings *)&s->skel->rodata->settings;
	size_t ring_sz = o->ring_sz ? o->ring_sz : SESSION_RING_DEFAULT;
	int err;

	set->target = o->target;
	set->self_tgid = o->is_self_wanted ? 0 : (uint32_t)getpid();
	set->is_inherited = o->is_inherited;
	set->has_kernel = o->has_kernel;
	set->has_cpu_filter = o->cpu_cnt > 0;
	set->is_rt = feature_is_rt();
	set->has_rows = o->has_rows;
	set->wakeup_sz = (uint32_t)(ring_sz / 8);
	set->stack_room = (uint32_t)(ring_sz / 2);
	set->has_known = o->known_cnt > 0 && feature_has_sequence();
	if (getrandom(set->key_seed, sizeof(set->key_seed), 0) != sizeof(set->key_seed))
		return error_errno(e, errno, "cannot get random bytes");
	err = pid_namespace(&set->pidns_inum);
	if (err)
		return error_errno(e, -err, "cannot find out our pid namespace");
	err = bpf_map__set_max_entries(s->skel->maps.samples, (uint32_t)ring_sz);
	if (!err)
		err = bpf_map__set_max_entries(s->skel->maps.scratches, cpu_numbers());
	return err ? error_errno(e, -err, "cannot set the sizes of the buffers") : 0;
}

int session_wake_on(struct session *s, int fd)
{
	struct epoll_event ev = { .events = EPOLLIN };

	return epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, fd, &ev) ? -errno : 0;
}

const struct known_maps *session_known_maps(struct session *s)
{
	return &s->shared.known;
}

const struct unwind_maps *session_unwind_maps(struct session *s)
{
	return &s->shared.unwind;
}

/* The program that takes the samples. */
static struct bpf_program *event_prog(const struct session *s)
{
	switch (s->event.kind) {
	case EVENT_COUNTER:
		break;
	case EVENT_TRACEPOINT:
		return s->skel->progs.on_tracepoint;
	case EVENT_UPROBE:
		return s->skel->progs.on_uprobe;
	}
	return s->skel->progs.on_perf_event;
}

static int load(struct session *s, const struct session_opts *o, struct error *e)
{
	int err;

	libbpf_set_print(libbpf_quiet);
	s->skel = skel_open();
	if (!s->skel)
		return error_errno(e, errno, "cannot open the BPF programs");
	err = settings_fill(s, o, e);
	if (!err)
		err = shared_size(&s->shared, s->skel, o, e);
	if (err)
		return err;
	bpf_program__set_autoload(s->skel->progs.on_perf_event, false);
	bpf_program__set_autoload(s->skel->progs.on_tracepoint, false);
	bpf_program__set_autoload(s->skel->progs.on_uprobe, false);
	bpf_program__set_autoload(event_prog(s), true);
	err = profile_bpf__load(s->skel);
	if (err) {
		if (features_can_record(e))
			return err;
		error_errno(e, -err, "cannot load the BPF programs");
		error_advise(e,
			     "BSTACK_DEBUG=1 shows the kernel's log; bstack doctor shows what it "
			     "allows");
		return err;
	}
	return shared_map(&s->shared, e);
}

static int targets_fill(struct session *s, const struct session_opts *o, struct error *e)
{
	int map = bpf_map__fd(s->skel->maps.targets);
	uint32_t on = BSTACK_TARGET_ON, zero = 0;

	for (size_t i = 0; i < o->id_cnt; i++) {
		uint32_t id = (uint32_t)o->ids[i];

		if (bpf_map_update_elem(map, &id, &on, BPF_ANY))
			return error_errno(e, errno, "cannot make %u a target", id);
	}
	map = bpf_map__fd(s->skel->maps.cpus);
	for (size_t i = 0; i < o->cpu_cnt; i++) {
		uint32_t cpu = (uint32_t)o->cpus[i];

		if (bpf_map_update_elem(map, &cpu, &on, BPF_ANY))
			return error_errno(e, errno, "cannot choose CPU %u", cpu);
	}
	if (o->target == BSTACK_TARGET_CGROUP) {
		int fd CLEANUP(cleanup_close) = open(o->cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		if (fd < 0)
			return error_errno(e, errno, "cannot open cgroup %s", o->cgroup);
		if (bpf_map_update_elem(bpf_map__fd(s->skel->maps.cgroup), &zero, &fd, BPF_ANY)) {
			int err = errno;

			error_errno(e, err, "cannot follow cgroup %s", o->cgroup);
			error_advise(e, "it must be a directory of a cgroup v2 file system");
			return -err;
		}
	}
	return 0;
}

static int sample_check(void *ctx, void *data, size_t sz)
{
	const struct bstack_sample *r = data;
	struct session *s = ctx;
	int err;

	if (sz < sizeof(*r) || r->kernel_cnt > BSTACK_FRAMES || r->user_cnt > BSTACK_FRAMES ||
	    (r->id_cnt && r->id_cnt != r->user_cnt) || r->step_cnt > r->user_cnt ||
	    (r->stack_sz && !r->step_cnt) || r->vma_cnt > BSTACK_VMAS_MAX ||
	    sz < sizeof(*r) + 8UL * (r->kernel_cnt + r->user_cnt) +
			    r->id_cnt * sizeof(struct bstack_id_frame) +
			    r->step_cnt * sizeof(struct bstack_step) +
			    r->vma_cnt * sizeof(struct bstack_vma) +
			    (r->stack_sz ? sizeof(struct unwind_state) + r->stack_sz : 0))
		return -EINVAL; /* our own programs wrote it: cannot be */
	err = s->ops->on_sample(s->ctx, r, sz);
	s->batch_ns = r->time_ns;
	return !err && ++s->batch_cnt == BATCH_CNT ? -EAGAIN : err;
}

static int rings_open(struct session *s, bool has_rows, struct error *e)
{
	struct epoll_event ev = { .events = EPOLLIN };
	int err;

	s->ring = ring_buffer__new(bpf_map__fd(s->skel->maps.samples), sample_check, s, NULL);
	if (!s->ring)
		return error_errno(e, errno, "cannot read the ring buffer");
	err = sideband_open(has_rows, &s->side, e);
	if (err)
		return err;
	s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (s->epoll_fd < 0 ||
	    epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, ring_buffer__epoll_fd(s->ring), &ev) ||
	    epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, sideband_poll_fd(s->side), &ev))
		return error_errno(e, errno, "cannot wait for samples");
	return 0;
}

static int event_open(const struct event *ev, uint32_t cpu)
{
	struct perf_event_attr attr = {
		.size = sizeof(attr),
		.type = ev->type,
		.config = ev->config,
		.disabled = 1,
		.exclude_idle = 1,
		.freq = ev->freq_hz > 0,
	};

	if (ev->freq_hz)
		attr.sample_freq = ev->freq_hz;
	else
		attr.sample_period = ev->period;
	if (ev->kind == EVENT_UPROBE) {
		attr.uprobe_path = (uintptr_t)ev->path;
		attr.probe_offset = ev->off;
	}
	return (int)syscall(SYS_perf_event_open, &attr, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC);
}

static int event_fail(const struct event *ev, uint32_t cpu, int code, struct error *e)
{
	if (ev->kind == EVENT_UPROBE)
		error_errno(e, code, "cannot probe %s at offset 0x%" PRIx64, ev->path, ev->off);
	else
		error_errno(e, code, "cannot count %s on CPU %u", ev->name, cpu);
	if (code == EINVAL && ev->freq_hz)
		error_advise(e, "kernel.perf_event_max_sample_rate bounds -F");
	else if (code == ENOENT || code == EOPNOTSUPP)
		error_advise(e, "this machine has no such counter; try -e cpu-clock");
	else if (code == EACCES || code == EPERM)
		error_advise(e, "run as root or with CAP_PERFMON; bstack doctor tells more");
	return -code;
}

/* Open, give the program, switch on when the session is on. -ENODEV: the CPU is offline. */
static int cpu_event_add(struct session *s, uint32_t cpu, struct error *e)
{
	int prog = bpf_program__fd(event_prog(s));
	int fd = event_open(&s->event, cpu), err;

	if (fd < 0)
		return errno == ENODEV ? -ENODEV : event_fail(&s->event, cpu, errno, e);
	err = array_reserve(&s->cpus, &s->cpu_cap, s->cpu_cnt + 1, sizeof(*s->cpus),
			    BSTACK_CPUS_MAX);
	if (err)
		error_errno(e, -err, "cannot sample CPU %u", cpu);
	else if (ioctl(fd, PERF_EVENT_IOC_SET_BPF, prog) ||
		 (s->is_started && ioctl(fd, PERF_EVENT_IOC_ENABLE, 0)))
		err = error_errno(e, errno, "cannot attach to %s on CPU %u", s->event.name, cpu);
	if (err) {
		close(fd);
		return err;
	}
	s->cpus[s->cpu_cnt++] = (struct cpu_event){ .cpu = cpu, .fd = fd, .is_online = true };
	return 0;
}

static bool cpu_event_has(struct session *s, uint32_t cpu)
{
	for (size_t i = 0; i < s->cpu_cnt; i++)
		if (s->cpus[i].cpu == cpu)
			return s->cpus[i].is_online = true;
	return false;
}

static void cpu_events_prune(struct session *s)
{
	size_t kept = 0;

	for (size_t i = 0; i < s->cpu_cnt; i++) {
		if (s->cpus[i].is_online)
			s->cpus[kept++] = s->cpus[i];
		else
			close(s->cpus[i].fd);
	}
	s->cpu_cnt = kept;
}

/* One event on every online CPU; a tracepoint's or probe's program runs on all CPUs from one event. */
static int cpus_sync(struct session *s, struct error *e)
{
	uint32_t *cpus CLEANUP(cleanup_free) = NULL;
	size_t cnt;
	int err = cpus_online(&cpus, &cnt);

	if (err)
		return error_errno(e, -err, "cannot read which CPUs are online");
	for (size_t i = 0; i < s->cpu_cnt; i++)
		s->cpus[i].is_online = false;
	for (size_t i = 0; i < (s->event.kind == EVENT_COUNTER ? cnt : 1) && !err; i++) {
		if (cpu_event_has(s, cpus[i]))
			continue;
		err = cpu_event_add(s, cpus[i], e);
		if (err == -ENODEV)
			err = 0;
	}
	cpu_events_prune(s);
	return err;
}

/* Has the list of online CPUs changed since the last look? */
static bool is_online_changed(struct session *s)
{
	int fd CLEANUP(cleanup_close) =
		open("/sys/devices/system/cpu/online", O_RDONLY | O_CLOEXEC);
	char text[sizeof(s->online)] = "";
	bool is_changed;

	if (fd < 0 || read_some(fd, text, sizeof(text) - 1) < 0)
		return false;
	is_changed = s->online[0] && strcmp(text, s->online);
	memcpy(s->online, text, sizeof(text));
	return is_changed;
}

static int tracing_attach(struct session *s, const struct session_opts *o, struct error *e)
{
	struct bpf_program *progs[] = { s->skel->progs.on_fork, s->skel->progs.on_exec,
					s->skel->progs.on_exit };

	bool is_listed = o->target == BSTACK_TARGET_PIDS || o->target == BSTACK_TARGET_TIDS;

	for (size_t i = 0; i < ARRAY_SIZE(progs); i++) {
		if (!is_listed && !o->has_rows)
			continue;
		s->links[i] = bpf_program__attach(progs[i]);
		if (!s->links[i])
			return error_errno(e, errno, "cannot attach %s",
					   bpf_program__name(progs[i]));
	}
	return 0;
}

int session_open(const struct session_opts *o, const struct session_ops *ops, void *ctx,
		 struct session **ret, struct error *e)
{
	struct session *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return error_errno(e, ENOMEM, "cannot start a session");
	s->ops = ops;
	s->ctx = ctx;
	s->event = o->event;
	s->epoll_fd = -1;
	err = load(s, o, e);
	if (!err)
		err = targets_fill(s, o, e);
	if (!err)
		err = rings_open(s, o->has_rows, e);
	if (!err)
		err = tracing_attach(s, o, e);
	if (!err)
		err = cpus_sync(s, e);
	if (err) {
		session_close(s);
		return err;
	}
	is_online_changed(s);
	*ret = s;
	return 0;
}

void session_close(struct session *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->cpu_cnt; i++)
		close(s->cpus[i].fd);
	free(s->cpus);
	for (size_t i = 0; i < ARRAY_SIZE(s->links); i++)
		bpf_link__destroy(s->links[i]);
	if (s->epoll_fd >= 0)
		close(s->epoll_fd);
	sideband_close(s->side);
	ring_buffer__free(s->ring);
	shared_unmap(&s->shared);
	profile_bpf__destroy(s->skel);
	free(s);
}

int session_add_at_exec(struct session *s, pid_t pid, struct error *e)
{
	uint32_t id = (uint32_t)pid, state = BSTACK_TARGET_AT_EXEC;

	if (bpf_map_update_elem(bpf_map__fd(s->skel->maps.targets), &id, &state, BPF_ANY))
		return error_errno(e, errno, "cannot make %d a target", pid);
	return 0;
}

int session_start(struct session *s, struct error *e)
{
	for (size_t i = 0; i < s->cpu_cnt; i++)
		if (ioctl(s->cpus[i].fd, PERF_EVENT_IOC_ENABLE, 0))
			return error_errno(e, errno, "cannot start %s on CPU %u", s->event.name,
					   s->cpus[i].cpu);
	s->is_started = true;
	return 0;
}

void session_stop(struct session *s)
{
	for (size_t i = 0; i < s->cpu_cnt; i++)
		close(s->cpus[i].fd); /* with it goes the program: nothing fires after this */
	s->cpu_cnt = 0;
	s->is_started = false;
}

static int side_forward(void *ctx, const struct side_event *e)
{
	struct session *s = ctx;

	return s->ops->on_side(s->ctx, e);
}

int session_poll(struct session *s, int timeout_ms, uint64_t *ret_until_ns, struct error *e)
{
	struct epoll_event ev;
	uint64_t now_ns;
	int err;

	if (epoll_wait(s->epoll_fd, &ev, 1, timeout_ms) < 0 && errno != EINTR)
		return error_errno(e, errno, "cannot wait for samples");
	if (is_online_changed(s)) {
		err = sideband_add_cpus(s->side, e);
		if (!err && s->is_started)
			err = cpus_sync(s, e);
		if (err)
			return err;
	}
	now_ns = clock_mono_ns();
	s->batch_cnt = 0;
	err = ring_buffer__consume(s->ring);
	if (err == -EAGAIN && s->batch_ns < now_ns)
		now_ns = s->batch_ns; /* there is more, of after this */
	else if (err < 0 && err != -EAGAIN)
		return error_errno(e, -err, "cannot read the ring buffer");
	err = sideband_read(s->side, side_forward, s);
	if (err)
		return error_errno(e, -err, "cannot read the side band");
	*ret_until_ns = now_ns - ARRIVAL_NS;
	return 0;
}

bool session_may_sample(struct session *s, uint32_t pid)
{
	uint32_t state;

	return s->skel->rodata->settings.target != BSTACK_TARGET_PIDS ||
	       !bpf_map_lookup_elem(bpf_map__fd(s->skel->maps.targets), &pid, &state);
}

bool session_has_targets(struct session *s)
{
	uint32_t key;

	return !bpf_map_get_next_key(bpf_map__fd(s->skel->maps.targets), NULL, &key);
}

bool session_has_more(const struct session *s)
{
	return s->batch_cnt == BATCH_CNT;
}

static int prog_info(struct session *s, struct bpf_prog_info *ret)
{
	uint32_t len = sizeof(*ret);

	memset(ret, 0, sizeof(*ret));
	return bpf_obj_get_info_by_fd(bpf_program__fd(event_prog(s)), ret, &len);
}

int session_counters(struct session *s, struct session_counters *ret)
{
	int cnt = libbpf_num_possible_cpus(), err;
	struct bstack_counters *per_cpu CLEANUP(cleanup_free) = NULL;
	struct session_counters c = {};
	struct bpf_prog_info info;
	uint32_t zero = 0;

	if (cnt < 0)
		return cnt;
	per_cpu = calloc((size_t)cnt, sizeof(*per_cpu));
	if (!per_cpu)
		return -ENOMEM;
	if (bpf_map_lookup_elem(bpf_map__fd(s->skel->maps.counters), &zero, per_cpu))
		return -errno;
	for (int i = 0; i < cnt; i++)
		for (size_t k = 0; k < sizeof(c.bpf) / sizeof(__u64); k++)
			((__u64 *)&c.bpf)[k] += ((const __u64 *)&per_cpu[i])[k];
	err = prog_info(s, &info);
	if (err)
		return err;
	c.nested = info.recursion_misses + c.bpf.nested;
	c.side_lost = sideband_lost(s->side);
	*ret = c;
	return 0;
}

int session_cost(struct session *s, uint64_t *ret_runs, uint64_t *ret_ns)
{
	struct bpf_prog_info info;
	int err = prog_info(s, &info);

	if (err)
		return err;
	*ret_runs = info.run_cnt;
	*ret_ns = info.run_time_ns;
	return 0;
}

/* An iterator over one task (Linux 6.1): what it writes is there with the first read. */
static int mm_now(struct session *s, pid_t pid, struct bstack_mm_now *ret)
{
	union bpf_iter_link_info info = { .task.tid = (uint32_t)pid };
	LIBBPF_OPTS(bpf_link_create_opts, opts, .iter_info = &info, .iter_info_len = sizeof(info));
	int prog = bpf_program__fd(s->skel->progs.on_mm_now), fd CLEANUP(cleanup_close) = -1;
	int link CLEANUP(cleanup_close) = bpf_link_create(prog, 0, BPF_TRACE_ITER, &opts);
	ssize_t len;

	if (link < 0)
		return -errno;
	fd = bpf_iter_create(link);
	if (fd < 0)
		return -errno;
	len = read_some(fd, ret, sizeof(*ret));
	if (len < 0)
		return -errno;
	return len == sizeof(*ret) ? 0 : -ESRCH;
}

int session_mm(struct session *s, pid_t pid, struct bstack_mm *ret)
{
	struct bstack_mm_now now = {};
	int err;

	s->shared.look->cnt = 0;
	err = mm_now(s, pid, &now);
	if (err)
		return err;
	*ret = now.mm;
	return now.is_steady ? 0 : -EAGAIN;
}

void session_file_known(struct session *s, const struct bstack_file *f)
{
	uint32_t one = 1;

	if (bpf_map_update_elem(bpf_map__fd(s->skel->maps.files), f, &one, BPF_ANY))
		return; /* no room: the kernel is asked each time */
}

int session_vmas(struct session *s, pid_t pid, const uint64_t *addrs, size_t cnt,
		 struct bstack_vma *ret)
{
	struct bstack_mm_now now;
	int err;

	if (cnt > BSTACK_VMAS_MAX)
		return -E2BIG;
	memset(s->shared.look, 0, sizeof(*s->shared.look));
	s->shared.look->cnt = (uint32_t)cnt;
	memcpy(s->shared.look->addrs, addrs, cnt * sizeof(*addrs));
	err = mm_now(s, pid, &now);
	if (!err)
		memcpy(ret, s->shared.look->found, cnt * sizeof(*ret));
	return err;
}
