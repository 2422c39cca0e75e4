/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* stackmap.c - see stackmap.h. */
#include "collect/stackmap.h"
#include "collect/bpfmap.h"

#include <bpf/bpf.h>
#include <string.h>
#include <unistd.h>

#define LIST_MAX      ((size_t)1 << 16)
#define PROG_MAPS_MAX 1024 /* maps of one program that are looked at */
#define VALUE_MAX     ((size_t)64 << 20)

static size_t frame_sz(bool has_build_ids)
{
	return has_build_ids ? sizeof(struct bpf_stack_build_id) : sizeof(uint64_t);
}

static struct stackmap_info info_of(const struct bpf_map_info *i)
{
	struct stackmap_info info = {
		.id = i->id,
		.has_build_ids = i->map_flags & BPF_F_STACK_BUILD_ID,
		.max_entries = i->max_entries,
	};

	info.depth = (uint32_t)(i->value_size / frame_sz(info.has_build_ids));
	snprintf(info.name, sizeof(info.name), "%.*s", (int)sizeof(i->name), i->name);
	return info;
}

/*
 * The ids in a stack map, ascending. The kernel begins anew when the one to go on from was removed; those
 * that were told before are passed over then, and a map that never holds still is given up.
 */
struct id_walk {
	int fd;
	uint32_t at, last; /* where the kernel is; the highest told */
	bool is_begun;
	uint64_t step_max;
};
#define WALK_ROUNDS_MAX 64

static struct id_walk id_walk_of(int fd, uint32_t max_entries)
{
	/* the kernel has buckets for the next power of two */
	return (struct id_walk){ .fd = fd, .step_max = 2ULL * max_entries * WALK_ROUNDS_MAX };
}

/* 0; -ENOENT: no more; -EAGAIN; -errno. */
static int id_walk_next(struct id_walk *w, uint32_t *ret)
{
	bool is_first = !w->is_begun;

	while (w->step_max--) {
		uint32_t next;
		int err = bpf_map_get_next_key(w->fd, w->is_begun ? &w->at : NULL, &next);

		if (err)
			return err;
		w->is_begun = true;
		w->at = next;
		if (is_first || next > w->last) {
			*ret = w->last = next;
			return 0;
		}
	}
	return -EAGAIN;
}

static size_t used_count(int fd, uint32_t max_entries)
{
	struct id_walk w = id_walk_of(fd, max_entries);
	size_t cnt = 0;
	uint32_t id;

	while (!id_walk_next(&w, &id))
		cnt++;
	return cnt;
}

static void program_add(struct stackmap_info *info, const char *name)
{
	size_t len = strlen(info->programs), room = sizeof(info->programs) - len;

	if (len + strlen(name) + sizeof(", ...") < sizeof(info->programs))
		snprintf(info->programs + len, room, "%s%s", len ? ", " : "", name);
	else if (!strstr(info->programs, ", ..."))
		snprintf(info->programs + len, room, ", ...");
}

/* Which programs use the maps; one that cannot be asked is left out. */
static void programs_find(struct stackmap_info *infos, size_t cnt)
{
	uint32_t maps[PROG_MAPS_MAX], id = 0;

	while (!bpf_prog_get_next_id(id, &id)) {
		struct bpf_prog_info p = {
			.map_ids = (uintptr_t)maps,
			.nr_map_ids = PROG_MAPS_MAX,
		};
		uint32_t len = sizeof(p);
		int fd CLEANUP(cleanup_close) = bpf_prog_get_fd_by_id(id);

		if (fd < 0 || bpf_obj_get_info_by_fd(fd, &p, &len))
			continue;
		for (uint32_t i = 0; i < p.nr_map_ids && i < PROG_MAPS_MAX; i++)
			for (size_t k = 0; k < cnt; k++)
				if (infos[k].id == maps[i])
					program_add(&infos[k], p.name);
	}
}

int stackmap_list(struct stackmap_info **ret, size_t *ret_cnt, struct error *e)
{
	struct stackmap_info *infos = NULL;
	size_t cnt = 0, cap = 0;
	uint32_t id = 0;
	int err = 0;

	while (!err && !bpf_map_get_next_id(id, &id)) {
		struct bpfmap m;

		err = bpfmap_open_id(id, &m, e);
		if (err == -ENOENT) { /* gone since */
			err = 0;
			continue;
		}
		if (err)
			break;
		if (m.info.type == BPF_MAP_TYPE_STACK_TRACE) {
			err = array_reserve(&infos, &cap, cnt + 1, sizeof(*infos), LIST_MAX);
			if (!err) {
				infos[cnt] = info_of(&m.info);
				infos[cnt++].used_cnt = used_count(m.fd, m.info.max_entries);
			} else {
				error_errno(e, -err, "cannot list the stack maps");
			}
		}
		bpfmap_close(&m);
	}
	if (!err && errno != ENOENT) {
		err = error_errno(e, errno, "cannot list the BPF maps");
		error_advise(e, "run as root, or with CAP_SYS_ADMIN: the kernel asks for it");
	}
	if (err) {
		free(infos);
		return err;
	}
	programs_find(infos, cnt);
	*ret = infos;
	*ret_cnt = cnt;
	return 0;
}

static struct stackmap_frame frame_of(const struct stackmap *s, const void *value, size_t idx)
{
	struct stackmap_frame f = {};
	struct bpf_stack_build_id b;

	if (!s->info.has_build_ids) {
		memcpy(&f.addr, (const uint64_t *)value + idx, sizeof(f.addr));
		return f;
	}
	memcpy(&b, (const struct bpf_stack_build_id *)value + idx, sizeof(b));
	f.is_valid = b.status == BPF_STACK_BUILD_ID_VALID;
	f.addr = f.is_valid ? b.offset : b.ip;
	if (f.is_valid) {
		f.build_id.sz = BUILD_ID_MAX;
		memcpy(f.build_id.bytes, b.build_id, BUILD_ID_MAX);
	}
	return f;
}

/* The kernel pads with zeros; a frame in the middle may be an address of zero all the same. */
static size_t frame_count(const struct stackmap *s, const char *value)
{
	size_t sz = frame_sz(s->info.has_build_ids), cnt = s->info.depth;

	for (; cnt; cnt--)
		for (size_t i = 0; i < sz; i++)
			if (value[(cnt - 1) * sz + i])
				return cnt;
	return 0;
}

struct reading {
	struct stackmap *s;
	size_t stack_cap, frame_cap;
	char *value;
};

static int stack_take(struct reading *r, uint32_t id)
{
	struct stackmap *s = r->s;
	size_t cnt = frame_count(s, r->value);
	int err = array_reserve(&s->stacks, &r->stack_cap, s->stack_cnt + 1, sizeof(*s->stacks),
				UINT32_MAX);

	if (!err)
		err = array_reserve(&s->frames, &r->frame_cap, s->frame_cnt + cnt,
				    sizeof(*s->frames), STACKMAP_FRAME_MAX);
	if (err)
		return err;
	s->stacks[s->stack_cnt++] = (struct stackmap_stack){ .id = id,
							     .frame_cnt = (uint32_t)cnt,
							     .first_frame = s->frame_cnt };
	for (size_t i = 0; i < cnt; i++)
		s->frames[s->frame_cnt++] = frame_of(s, r->value, i);
	return 0;
}

static int stacks_read(struct reading *r, int fd)
{
	struct id_walk w = id_walk_of(fd, r->s->info.max_entries);
	uint32_t id;
	int err;

	while (!(err = id_walk_next(&w, &id))) {
		err = bpf_map_lookup_elem(fd, &id, r->value);
		if (err == -ENOENT)
			r->s->vanished_cnt++;
		else if (!err)
			err = stack_take(r, id);
		if (err && err != -ENOENT)
			return err;
	}
	return err == -ENOENT ? 0 : err;
}

static int open_checked(const char *what, struct bpfmap *m, struct error *e)
{
	int err = bpfmap_open(what, m, e);

	if (err)
		return err;
	if (m->info.type == BPF_MAP_TYPE_STACK_TRACE && m->info.value_size <= VALUE_MAX)
		return 0;
	error_set(e, EINVAL, "%s is not a stack map but of type %s", m->label, bpfmap_type_name(m));
	error_advise(e, "bstack stackmap list shows the stack maps");
	bpfmap_close(m);
	return -EINVAL;
}

int stackmap_read(const char *what, struct stackmap *ret, struct error *e)
{
	struct stackmap s = {};
	struct reading r = { .s = &s };
	struct bpfmap m;
	int err = open_checked(what, &m, e);

	if (err)
		return err;
	s.info = info_of(&m.info);
	r.value = malloc(m.info.value_size);
	err = r.value ? stacks_read(&r, m.fd) : -ENOMEM;
	free(r.value);
	bpfmap_close(&m);
	if (err) {
		stackmap_release(&s);
		if (err == -EAGAIN)
			return error_set(e, EAGAIN,
					 "cannot read the stacks of %s: it changes too quickly",
					 m.label);
		return error_errno(e, -err, "cannot read the stacks of %s", m.label);
	}
	*ret = s;
	return 0;
}

void stackmap_release(struct stackmap *s)
{
	free(s->stacks);
	free(s->frames);
	*s = (struct stackmap){};
}

static int stack_cmp(const void *a, const void *b)
{
	const uint32_t *id = a;
	const struct stackmap_stack *s = b;

	return *id < s->id ? -1 : *id > s->id;
}

const struct stackmap_stack *stackmap_find(const struct stackmap *s, uint32_t id)
{
	return s->stack_cnt ? bsearch(&id, s->stacks, s->stack_cnt, sizeof(*s->stacks), stack_cmp)
			    : NULL;
}
