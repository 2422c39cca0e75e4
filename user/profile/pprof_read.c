/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * pprof_read.c - a profile into a model. The message stays in memory; its top-level fields are walked
 * once for each of PASS_CNT passes, because others write samples before what they name: strings; then types, mappings,
 * functions and comments; then locations; then samples. Sub-messages are unpacked by protobuf-c into an
 * arena that is emptied after each. Everything in the file is hostile: an index that is out of range
 * refuses it.
 */
#include "profile/pprof.h"
#include "profile/pprof_impl.h"

#include <inttypes.h>
#include <string.h>

#include "profile.pb-c.h"

typedef Perftools__Profiles__Sample Sample;
typedef Perftools__Profiles__Label Label;
typedef Perftools__Profiles__Mapping Mapping;
typedef Perftools__Profiles__Location Location;
typedef Perftools__Profiles__Function Function;
typedef Perftools__Profiles__ValueType ValueType;

struct reader {
	const char *name;
	struct model *m;
	struct error *e;
	struct arena arena;
	ProtobufCAllocator alloc;
	struct piece *strings;
	size_t string_cnt, string_cap;
	struct id_map mappings, functions, locations;
	size_t type_cnt;
	size_t count_idx; /* which value counts samples */
	bool has_count;
	uint64_t count_sum, weight_sum; /* of all samples: no sum made of them later overflows */
	bool is_foreign;
};

static int refuse(struct reader *r, const char *what)
{
	error_set(r->e, EINVAL, "cannot read %s: not a valid profile: %s", r->name, what);
	error_advise(r->e, "record again, or see whether it was copied whole");
	return -EINVAL;
}

static int no_memory(struct reader *r, int err)
{
	return error_errno(r->e, -err, "cannot read %s", r->name);
}

static int id_add(struct reader *r, struct id_map *map, uint64_t id, uint32_t idx)
{
	int err = id_map_add(map, id, idx);

	if (err == -EINVAL)
		return refuse(r, "an id is zero or given twice");
	return err ? no_memory(r, err) : 0;
}

/* A string by its index in the file, as bytes: up to its first NUL. */
static int string_get(struct reader *r, int64_t idx, struct piece *ret)
{
	if (idx < 0 || (uint64_t)idx >= r->string_cnt) {
		if (!idx) { /* a profile without any string */
			*ret = (struct piece){ (const uint8_t *)"", 0 };
			return 0;
		}
		return refuse(r, "a string's index is out of range");
	}
	*ret = r->strings[idx];
	ret->len = strnlen((const char *)ret->data, ret->len);
	return 0;
}

static int string_intern(struct reader *r, int64_t idx, uint32_t *ret)
{
	struct piece s;
	int err = string_get(r, idx, &s);

	if (err)
		return err;
	err = strtab_addn(&r->m->strings, (const char *)s.data, s.len, ret);
	return err ? no_memory(r, err) : 0;
}

static bool piece_is(const struct piece *p, const char *s)
{
	return p->len == strlen(s) && !memcmp(p->data, s, p->len);
}

static enum module_kind kind_of(const char *path, const struct build_id *id)
{
	for (int k = 0; k < MODULE_KIND_CNT; k++)
		if (module_kind_name((enum module_kind)k)[0] &&
		    !strcmp(path, module_kind_name((enum module_kind)k)))
			return (enum module_kind)k;
	if (!strncmp(path, "[kernel.", 8)) /* "[kernel.kallsyms]", as perf's converters say */
		return MODULE_KERNEL;
	return id->sz ? MODULE_ELF : path[0] ? MODULE_NO_ID : MODULE_OTHER;
}

static int read_mapping(struct reader *r, const Mapping *in)
{
	char hex[BUILD_ID_HEX_SZ] = "";
	struct mapping map = {};
	struct piece id;
	uint32_t idx;
	int err = string_intern(r, in->filename, &map.path);

	if (!err)
		err = string_get(r, in->build_id, &id);
	if (err)
		return err;
	if (id.len < sizeof(hex)) {
		memcpy(hex, id.data, id.len);
		hex[id.len] = '\0';
		build_id_parse(hex,
			       &map.build_id); /* others store other things: then there is none */
	}
	map.kind = kind_of(strtab_get(&r->m->strings, map.path), &map.build_id);
	map.is_segment_known = in->memory_limit != 0;
	map.start = in->memory_start;
	map.limit = in->memory_limit;
	map.file_off = in->file_offset;
	map.has_symbols = in->has_functions;
	map.is_searched = in->has_functions;
	err = model_mapping(r->m, &map, &idx);
	return err ? no_memory(r, err) : id_add(r, &r->mappings, in->id, idx);
}

static int read_function(struct reader *r, const Function *in)
{
	struct function f = { .start_line = in->start_line };
	uint32_t idx;
	int err = string_intern(r, in->name, &f.name);

	if (!err)
		err = string_intern(r, in->system_name, &f.system_name);
	if (!err)
		err = string_intern(r, in->filename, &f.filename);
	if (err)
		return err;
	err = model_function_at(r->m, &f, &idx);
	return err ? no_memory(r, err) : id_add(r, &r->functions, in->id, idx);
}

#define LINES_MAX 256

static int read_lines(struct reader *r, const Location *in, struct line *ret)
{
	if (in->n_line > LINES_MAX)
		return refuse(r, "a location with too many functions");
	for (size_t i = 0; i < in->n_line; i++) {
		ret[i].line = in->line[i]->line;
		if (!id_map_find(&r->functions, in->line[i]->function_id, &ret[i].function))
			return refuse(r, "a location names a function that is not there");
	}
	return 0;
}

static bool has_lines(const struct model *m, const struct location *l, const struct line *lines,
		      size_t cnt)
{
	if (l->line_cnt != cnt)
		return false;
	for (size_t i = 0; i < cnt; i++) {
		const struct line *has = &m->lines[l->first_line + i];

		if (has->function != lines[i].function || has->line != lines[i].line)
			return false;
	}
	return true;
}

/*
 * Profiles of others may have many locations at one address, or none at all: 0. Such that differ in
 * their lines must not become one, or stacks would get each other's names.
 */
static int location_add(struct reader *r, const struct location *l, uint32_t function,
			const struct line *lines, size_t cnt, uint32_t *ret)
{
	size_t seen = r->m->location_cnt;
	uint32_t idx;
	int err = model_location(r->m, l->mapping, l->addr, function, &idx);

	if (err)
		return err;
	if (idx < seen && !has_lines(r->m, &r->m->locations[idx], lines, cnt))
		err = model_location_apart(r->m, l->mapping, l->addr, &idx);
	if (!err)
		err = model_set_lines(r->m, idx, lines, cnt);
	if (!err)
		*ret = idx;
	return err;
}

static int read_location(struct reader *r, const Location *in)
{
	struct line lines[LINES_MAX];
	uint32_t mapping = MODEL_NONE, idx, function = MODEL_NONE;
	int err = read_lines(r, in, lines);

	if (err)
		return err;
	if (in->mapping_id && !id_map_find(&r->mappings, in->mapping_id, &mapping))
		return refuse(r, "a location names a mapping that is not there");
	/* With a name of its own from the start: code that is not in a file, and all of foreign profiles. */
	if (in->n_line &&
	    (mapping == MODEL_NONE || r->is_foreign || r->m->mappings[mapping].kind != MODULE_ELF))
		function = lines[0].function;
	err = location_add(r, &(struct location){ .mapping = mapping, .addr = in->address },
			   function, lines, in->n_line, &idx);
	return err ? no_memory(r, err) : id_add(r, &r->locations, in->id, idx);
}

/* "kernel:5,none/garbage:1" into frames; false when it does not fit the stack. */
static bool evidence_parse(const struct piece *label, struct frame *frames, size_t cnt)
{
	const char *p = (const char *)label->data, *end = p ? p + label->len : p;
	size_t at = 0;

	while (p < end) {
		const char *colon = memchr(p, ':', (size_t)(end - p)), *slash, *word_end;
		int evidence, reason = REASON_NO;
		size_t run = 0;

		if (!colon)
			return false;
		slash = memchr(p, '/', (size_t)(colon - p));
		word_end = slash ? slash : colon;
		evidence = term_find(evidence_terms, EVID_CNT, p, (size_t)(word_end - p));
		if (slash)
			reason = term_find(reason_terms, REASON_CNT, slash + 1,
					   (size_t)(colon - slash - 1));
		if (evidence < 0 || reason < 0 || (evidence == EVID_NONE) != (reason != REASON_NO))
			return false;
		for (p = colon + 1; p < end && *p >= '0' && *p <= '9' && run <= MODEL_FRAME_MAX;
		     p++)
			run = run * 10 + (size_t)(*p - '0');
		if (p < end && *p++ != ',')
			return false;
		if (run > cnt - at)
			return false;
		for (; run; run--, at++) {
			frames[at].evidence = (uint8_t)evidence;
			frames[at].reason = (uint8_t)reason;
		}
	}
	return at == cnt;
}

static void evidence_unknown(struct frame *frames, size_t cnt)
{
	for (size_t i = 0; i < cnt; i++) {
		frames[i].evidence = EVID_NONE;
		frames[i].reason = REASON_UNKNOWN;
	}
}

static int term_of(const struct piece *value, const struct term *terms, size_t cnt, uint8_t *ret)
{
	int i = term_find(terms, cnt, (const char *)value->data, value->len);

	if (i >= 0)
		*ret = (uint8_t)i;
	return 0;
}

static int read_time(struct reader *r, const Label *in, struct sample *s)
{
	struct piece unit;
	int err = string_get(r, in->num_unit, &unit);

	if (!err && piece_is(&unit, "nanoseconds") && in->num > 0)
		s->time_ns = (uint64_t)in->num;
	return err;
}

/* One label of ours into s, or the evidence into *ret_evidence. Others' labels are left alone. */
static int read_label(struct reader *r, const Label *in, struct sample *s,
		      struct piece *ret_evidence)
{
	struct piece key, value;
	int err = string_get(r, in->key, &key);

	if (!err)
		err = string_get(r, in->str, &value);
	if (err)
		return err;
	if (piece_is(&key, "thread"))
		return string_intern(r, in->str, &s->comm);
	if (piece_is(&key, "lock_owner"))
		return string_intern(r, in->str, &s->lock_owner);
	if (piece_is(&key, "timestamp"))
		return read_time(r, in, s);
	if (piece_is(&key, "pid"))
		s->pid = (uint32_t)in->num;
	else if (piece_is(&key, "tid"))
		s->tid = (uint32_t)in->num;
	else if (piece_is(&key, "fp_steps"))
		s->fp_steps = in->num > 0 && in->num <= UINT8_MAX ? (uint8_t)in->num : 0;
	else if (piece_is(&key, "fallback"))
		return term_of(&value, cause_terms, CAUSE_CNT, &s->cause);
	else if (piece_is(&key, "unwind"))
		return term_of(&value, outcome_terms, OUTCOME_CNT, &s->outcome);
	else if (piece_is(&key, "stop"))
		return term_of(&value, stop_terms, STOP_CNT, &s->stop);
	else if (piece_is(&key, "evidence"))
		*ret_evidence = value;
	return 0;
}

static int read_values(struct reader *r, const Sample *in, struct sample *s)
{
	if (in->n_value != r->type_cnt)
		return refuse(r, "a sample with another number of values than there are types");
	for (size_t i = 0; i < in->n_value; i++)
		if (in->value[i] < 0)
			return refuse(r, "negative values: a difference of two profiles");
	s->count = (uint64_t)in->value[r->count_idx];
	s->weight = (uint64_t)in->value[in->n_value - 1];
	if (s->count > INT64_MAX - r->count_sum || s->weight > INT64_MAX - r->weight_sum)
		return refuse(r, "more samples than can be counted");
	r->count_sum += s->count;
	r->weight_sum += s->weight;
	return 0;
}

static int read_sample(struct reader *r, const Sample *in)
{
	struct sample s = { .outcome = OUTCOME_NO_USER };
	struct frame frames[MODEL_FRAME_MAX];
	size_t cnt = in->n_location_id < MODEL_FRAME_MAX ? in->n_location_id : MODEL_FRAME_MAX;
	struct piece evidence = {};
	int err = read_values(r, in, &s);

	if (cnt)
		s.outcome = cnt < in->n_location_id ? OUTCOME_TRUNCATED : OUTCOME_BROKEN;
	for (size_t i = 0; i < cnt && !err; i++) {
		frames[i] = (struct frame){};
		if (!id_map_find(&r->locations, in->location_id[i], &frames[i].location))
			err = refuse(r, "a sample names a location that is not there");
	}
	for (size_t i = 0; i < in->n_label && !err; i++)
		err = read_label(r, in->label[i], &s, &evidence);
	if (err)
		return err;
	if (!evidence_parse(&evidence, frames, cnt))
		evidence_unknown(frames, cnt);
	err = model_stack(r->m, frames, cnt, &s.stack);
	if (!err)
		err = model_sample(r->m, &s);
	return err ? no_memory(r, err) : 0;
}

/* "bstack: KEY VALUE" */
static int read_comment(struct reader *r, int64_t idx)
{
	static const char prefix[] = "bstack: ";
	const struct {
		const char *key;
		size_t offset;
	} texts[] = {
		{ "event", offsetof(struct model, event) },
		{ "event_unit", offsetof(struct model, event_unit) },
		{ "command", offsetof(struct model, command) },
		{ "host", offsetof(struct model, host) },
	};
	const char *key, *value;
	struct piece text;
	uint32_t id;
	int err = string_get(r, idx, &text);

	if (!err)
		err = string_intern(r, idx, &id);
	if (err || text.len < sizeof(prefix) - 1 ||
	    memcmp(text.data, prefix, sizeof(prefix) - 1) != 0)
		return err;
	r->m->has_ledger = true;
	key = strtab_get(&r->m->strings, id) + sizeof(prefix) - 1;
	value = strchr(key, ' ');
	if (!value)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		if (strlen(texts[i].key) == (size_t)(value - key) &&
		    !strncmp(texts[i].key, key, (size_t)(value - key)))
			err = strtab_add(&r->m->strings, value + 1,
					 (uint32_t *)((char *)r->m + texts[i].offset));
	for (size_t i = 0; i < ledger_row_cnt; i++)
		if (strlen(ledger_rows[i].key) == (size_t)(value - key) &&
		    !strncmp(ledger_rows[i].key, key, (size_t)(value - key)))
			parse_u64(value + 1, 0, UINT64_MAX,
				  (uint64_t *)((char *)&r->m->ledger + ledger_rows[i].offset));
	return err ? no_memory(r, err) : 0;
}

static int read_type(struct reader *r, const ValueType *in)
{
	struct piece type, unit;
	int err = string_get(r, in->type, &type);

	if (!err)
		err = string_get(r, in->unit, &unit);
	if (err)
		return err;
	if (!r->has_count && piece_is(&type, "samples")) {
		r->count_idx = r->type_cnt;
		r->has_count = true;
	}
	r->type_cnt++;
	/* The last one is the default of pprof's: the weight. */
	err = string_intern(r, in->type, &r->m->event);
	return err ? err : string_intern(r, in->unit, &r->m->event_unit);
}

/* Unpack one sub-message and read it. */
static int unpack(struct reader *r, const ProtobufCMessageDescriptor *desc, const struct piece *p,
		  int (*read)(struct reader *r, const void *msg))
{
	ProtobufCMessage *msg = protobuf_c_message_unpack(desc, &r->alloc, p->len, p->data);
	int err = msg ? read(r, msg) : refuse(r, "a damaged part");

	arena_reset(&r->arena);
	return err;
}

#define READ(fn, type)                                         \
	static int fn##_any(struct reader *r, const void *msg) \
	{                                                      \
		return fn(r, (const type *)msg);               \
	}
READ(read_type, ValueType)
READ(read_mapping, Mapping)
READ(read_function, Function)
READ(read_location, Location)
READ(read_sample, Sample)

/* Which fields are read in which pass: each needs what the passes before it have read. */
static const struct {
	int pass;
	uint32_t field;
	const ProtobufCMessageDescriptor *desc;
	int (*read)(struct reader *r, const void *msg);
} fields[] = {
	{ 1, 1, &perftools__profiles__value_type__descriptor, read_type_any },
	{ 1, 3, &perftools__profiles__mapping__descriptor, read_mapping_any },
	{ 1, 5, &perftools__profiles__function__descriptor, read_function_any },
	{ 2, 4, &perftools__profiles__location__descriptor, read_location_any },
	{ 3, 2, &perftools__profiles__sample__descriptor, read_sample_any },
};
#define PASS_CNT      4
#define FIELD_STRING  6
#define FIELD_COMMENT 13

static int string_add(struct reader *r, const struct piece *p)
{
	int err = array_reserve(&r->strings, &r->string_cap, r->string_cnt + 1, sizeof(*p),
				UINT32_MAX);

	if (err)
		return no_memory(r, err);
	if (!r->string_cnt && p->len)
		return refuse(r, "its first string is not empty");
	r->strings[r->string_cnt++] = *p;
	return 0;
}

/* Comments come as single numbers, or packed. */
static int comments_read(struct reader *r, uint64_t value, struct piece packed)
{
	int err = 0;

	if (!packed.data)
		return read_comment(r, (int64_t)value);
	while (packed.len && !err)
		err = varint_get(&packed, &value) ? read_comment(r, (int64_t)value)
						  : refuse(r, "a damaged part");
	return err;
}

static int pass(struct reader *r, int number, struct piece p)
{
	struct piece bytes;
	uint32_t field;
	uint64_t value;
	int err = 0;

	while (p.len && !err) {
		if (!field_get(&p, &field, &value, &bytes))
			return refuse(r, "a damaged part");
		if (number == 0 && field == FIELD_STRING && bytes.data)
			err = string_add(r, &bytes);
		if (number == 1 && field == FIELD_COMMENT)
			err = comments_read(r, value, bytes);
		for (size_t i = 0; i < ARRAY_SIZE(fields) && !err; i++)
			if (fields[i].pass == number && fields[i].field == field && bytes.data)
				err = unpack(r, fields[i].desc, &bytes, fields[i].read);
	}
	return err;
}

static int read_message(struct reader *r, struct piece p)
{
	int err = 0;

	r->alloc = (ProtobufCAllocator){ .alloc = arena_alloc,
					 .free = arena_free,
					 .allocator_data = &r->arena };
	for (int i = 0; i < PASS_CNT && !err; i++) {
		err = pass(r, i, p);
		if (i == 1)
			r->is_foreign = !r->m->has_ledger;
		if (!err && i == 1 && !r->type_cnt)
			return refuse(r, "it does not say what its samples are");
	}
	return err;
}

static void reader_release(struct reader *r)
{
	arena_release(&r->arena);
	free(r->strings);
	id_map_release(&r->mappings);
	id_map_release(&r->functions);
	id_map_release(&r->locations);
}

int pprof_read(int fd, const char *name, struct model *m, struct error *e)
{
	struct buf file CLEANUP(buf_release) = {};
	struct reader r = { .name = name, .m = m, .e = e };
	struct piece msg;
	bool is_cut;
	int err = read_all(fd, &file, PPROF_MAX_SZ);

	if (err == -EFBIG || err == -E2BIG) {
		error_set(e, EFBIG, "cannot read %s: larger than %zu MiB", name,
			  PPROF_MAX_SZ >> 20);
		error_advise(e, "record for a shorter time, or fewer targets at once");
		return -EFBIG;
	}
	if (err)
		return error_errno(e, -err, "cannot read %s", name);
	if (!file.len) {
		error_set(e, EINVAL, "cannot read %s: it is empty", name);
		error_advise(
			e,
			"the recording was killed within its first second, or this is no profile");
		return -EINVAL;
	}
	err = pprof_inflate(name, &file, PPROF_MAX_SZ, &is_cut, e);
	if (err)
		return err;
	msg = (struct piece){ (const uint8_t *)file.data, file.len };
	if (is_cut) /* others may begin a field in one member and end it in the next */
		msg.len = fields_len(msg);
	err = read_message(&r, msg);
	reader_release(&r);
	if (!err)
		m->is_cut = is_cut || (m->has_ledger && !m->ledger.is_complete);
	return err;
}
