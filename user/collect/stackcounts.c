/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* stackcounts.c - see stackcounts.h. */
#include "collect/stackcounts.h"
#include "collect/bpfmap.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <string.h>

#define COUNTS_MAX  ((size_t)1 << 26)
#define BATCH_FIRST 1024
#define BATCH_MAX   (1U << 20)
#define ID_SZ       ((uint32_t)sizeof(uint32_t))

static const struct {
	uint32_t type;
	bool is_per_cpu;
} types[] = {
	{ BPF_MAP_TYPE_HASH, false },        { BPF_MAP_TYPE_LRU_HASH, false },
	{ BPF_MAP_TYPE_ARRAY, false },       { BPF_MAP_TYPE_PERCPU_HASH, true },
	{ BPF_MAP_TYPE_PERCPU_ARRAY, true }, { BPF_MAP_TYPE_LRU_PERCPU_HASH, true },
};

static const char *const id_names[] = { "stack_id", "stackid", "stack" };

/* One run of reading. */
struct counting {
	struct bpfmap map;
	const struct stackcounts_opts *o;
	uint64_t offsets[STACKCOUNTS_IDS_MAX];
	size_t cpu_cnt, value_sz; /* values of one key, and the bytes between them */
	struct stackcounts *c;
};

static bool is_id_name(const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < ARRAY_SIZE(id_names); i++) {
		size_t end = strlen(id_names[i]);

		if (len >= end && !strcmp(name + len - end, id_names[i]))
			return true;
	}
	return false;
}

static const struct btf_type *plain_type(const struct btf *btf, uint32_t id)
{
	const struct btf_type *t = btf__type_by_id(btf, id);

	while (t && (btf_is_mod(t) || btf_is_typedef(t)))
		t = btf__type_by_id(btf, t->type);
	return t;
}

/* Members of a struct that are ids by type and name; how many there are. */
static size_t members_find(const struct btf *btf, const struct btf_type *t,
			   uint64_t offsets[STACKCOUNTS_IDS_MAX])
{
	size_t cnt = 0;

	for (uint32_t i = 0; i < btf_vlen(t); i++) {
		const struct btf_member *m = btf_members(t) + i;
		const struct btf_type *type = plain_type(btf, m->type);
		uint32_t bits = btf_member_bit_offset(t, i);

		if (!type || !btf_is_int(type) || type->size != ID_SZ || bits % 8 ||
		    btf_member_bitfield_size(t, i) ||
		    !is_id_name(btf__name_by_offset(btf, m->name_off)))
			continue;
		if (cnt < STACKCOUNTS_IDS_MAX)
			offsets[cnt] = bits / 8;
		cnt++;
	}
	return cnt;
}

static int offsets_unknown(const struct counting *c, const char *why, struct error *e)
{
	error_set(e, EINVAL, "cannot tell where the stack id is in the key of %s, %u bytes: %s",
		  c->map.label, c->map.info.key_size, why);
	error_advise(e, "--key-offset N gives its offset in bytes, N,M those of two");
	return -EINVAL;
}

/* By BTF, or by the size of the key. */
static int offsets_find(struct counting *c, struct error *e)
{
	const struct bpf_map_info *info = &c->map.info;
	struct btf *btf = info->btf_id ? btf__load_from_kernel_by_id(info->btf_id) : NULL;
	const struct btf_type *t = btf ? plain_type(btf, info->btf_key_type_id) : NULL;
	bool is_struct = t && btf_is_struct(t);
	size_t cnt = is_struct ? members_find(btf, t, c->offsets) : 0;

	btf__free(btf);
	if (!is_struct && info->key_size == ID_SZ) {
		c->offsets[0] = 0;
		cnt = 1;
	}
	if (!is_struct && !cnt)
		return offsets_unknown(c, "no BTF of a struct says so", e);
	if (!cnt)
		return offsets_unknown(c, "no member's name ends in stack_id, stackid or stack", e);
	if (cnt > STACKCOUNTS_IDS_MAX)
		return offsets_unknown(c, "more than two members look like one", e);
	c->c->id_cnt = cnt;
	return 0;
}

static int check_offset(const struct counting *c, const char *option, uint64_t off, struct error *e)
{
	uint32_t sz = c->map.info.key_size;

	if (sz >= ID_SZ && off <= sz - ID_SZ)
		return 0;
	return error_set(e, EINVAL, "%s %llu: the key of %s ends after %u bytes", option,
			 (unsigned long long)off, c->map.label, sz);
}

static int key_understand(struct counting *c, struct error *e)
{
	int err = 0;

	if (c->o->pid_offset)
		err = check_offset(c, "--pid-offset", *c->o->pid_offset, e);
	if (err || !c->o->id_offset_cnt)
		return err ? err : offsets_find(c, e);
	for (size_t i = 0; i < c->o->id_offset_cnt && !err; i++) {
		err = check_offset(c, "--key-offset", c->o->id_offsets[i], e);
		c->offsets[i] = c->o->id_offsets[i];
	}
	c->c->id_cnt = c->o->id_offset_cnt;
	return err;
}

static int map_understand(struct counting *c, struct error *e)
{
	const struct bpf_map_info *info = &c->map.info;
	int cpus = libbpf_num_possible_cpus();

	if (cpus < 0)
		return error_errno(e, -cpus, "cannot tell how many CPUs there can be");
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		if (types[i].type != info->type)
			continue;
		c->cpu_cnt = types[i].is_per_cpu ? (size_t)cpus : 1;
		c->value_sz = types[i].is_per_cpu ? sizeof(uint64_t) : info->value_size;
	}
	if (!c->cpu_cnt) {
		error_set(e, EINVAL, "cannot read counts of %s: it is of type %s", c->map.label,
			  bpfmap_type_name(&c->map));
		error_advise(e, "counts are read of hash and array maps, also per-CPU and LRU");
		return -EINVAL;
	}
	if (info->value_size != sizeof(uint32_t) && info->value_size != sizeof(uint64_t))
		return error_set(
			e, EINVAL,
			"cannot read counts of %s: its values have %u bytes, a count 4 or 8",
			c->map.label, info->value_size);
	return key_understand(c, e);
}

static uint64_t count_of(const struct counting *c, const char *value)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < c->cpu_cnt; i++) {
		const char *at = value + i * c->value_sz;
		uint64_t v64;
		uint32_t v32;

		if (c->map.info.value_size == sizeof(v32)) {
			memcpy(&v32, at, sizeof(v32));
			sum += v32;
		} else {
			memcpy(&v64, at, sizeof(v64));
			sum += v64;
		}
	}
	return sum;
}

static int count_take(struct counting *c, const char *key, const char *value)
{
	struct stackcount n = { .count = count_of(c, value) };
	int err;

	if (!n.count) /* an array has all of its keys */
		return 0;
	for (size_t i = 0; i < c->c->id_cnt; i++)
		memcpy(&n.ids[i], key + c->offsets[i], ID_SZ);
	if (c->o->pid_offset)
		memcpy(&n.pid, key + *c->o->pid_offset, sizeof(n.pid));
	err = array_reserve(&c->c->v, &c->c->cap, c->c->cnt + 1, sizeof(n), COUNTS_MAX);
	if (!err)
		c->c->v[c->c->cnt++] = n;
	return err;
}

/*
 * In batches, not key by key: a key that is removed meanwhile would make the walk begin anew, and counts
 * be met twice.
 */
static int batches_read(struct counting *c, char *keys, char *values, uint32_t batch_cnt)
{
	size_t key_sz = c->map.info.key_size, values_sz = c->cpu_cnt * c->value_sz;
	uint64_t at = 0, next = 0; /* the kernel's place in the map */
	bool is_first = true;

	for (;;) {
		uint32_t cnt = batch_cnt;
		int err = bpf_map_lookup_batch(c->map.fd, is_first ? NULL : &at, &next, keys,
					       values, &cnt, NULL),
		    took = 0;

		if (err && err != -ENOENT)
			return err;
		for (uint32_t i = 0; i < cnt && !took; i++)
			took = count_take(c, keys + i * key_sz, values + i * values_sz);
		if (took || err)
			return took;
		at = next;
		is_first = false;
	}
}

/* With batches large enough for the fullest bucket. */
static int counts_read(struct counting *c)
{
	int err = -ENOSPC;

	for (uint32_t cnt = BATCH_FIRST; err == -ENOSPC && cnt <= BATCH_MAX; cnt *= 4) {
		char *keys CLEANUP(cleanup_free) = calloc(cnt, c->map.info.key_size);
		char *values CLEANUP(cleanup_free) = calloc(cnt, c->cpu_cnt * c->value_sz);

		c->c->cnt = 0;
		err = keys && values ? batches_read(c, keys, values, cnt) : -ENOMEM;
	}
	return err;
}

int stackcounts_read(const struct stackcounts_opts *o, struct stackcounts *ret, struct error *e)
{
	struct stackcounts counts = {};
	struct counting c = { .o = o, .c = &counts };
	int err = bpfmap_open(o->map, &c.map, e);

	if (err)
		return err;
	err = map_understand(&c, e);
	if (!err) {
		err = counts_read(&c);
		if (err)
			error_errno(e, -err, "cannot read the counts of %s", c.map.label);
	}
	bpfmap_close(&c.map);
	if (err) {
		stackcounts_release(&counts);
		return err;
	}
	*ret = counts;
	return 0;
}

void stackcounts_release(struct stackcounts *c)
{
	free(c->v);
	*c = (struct stackcounts){};
}
