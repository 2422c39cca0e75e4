/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * pprof_write.c - a model, or what is new of it, as one gzip member of protobuf. Sub-messages are packed one
 * by one through protobuf-c and appended as top-level fields, so that a member needs no tree in memory.
 */
#include "profile/pprof.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "profile.pb-c.h"

#define LABELS_MAX  10
#define GZIP_WINDOW (15 + 16) /* zlib: gzip header and trailer */

typedef Perftools__Profiles__Profile Profile;
typedef Perftools__Profiles__Sample Sample;
typedef Perftools__Profiles__Label Label;

/* Top-level fields of Profile, as in profile.proto. */
enum field {
	FIELD_SAMPLE_TYPE = 1,
	FIELD_SAMPLE = 2,
	FIELD_MAPPING = 3,
	FIELD_LOCATION = 4,
	FIELD_FUNCTION = 5,
	FIELD_STRING = 6,
	FIELD_TIME = 9,
	FIELD_DURATION = 10,
	FIELD_PERIOD_TYPE = 11,
	FIELD_PERIOD = 12,
	FIELD_COMMENT = 13,
};

struct pprof_writer {
	const struct model *m;
	int fd;
	struct buf out;  /* protobuf of the member in the making */
	struct buf text; /* of an evidence label or a comment */
	/* The file's string table: model strings are written when first used. */
	struct strtab strings;
	size_t strings_done;
	size_t mappings_done, functions_done, locations_done;
	uint64_t *counts, *weights; /* of each sample, as written */
	size_t sample_cap, weight_cap, samples_seen;
	struct ledger ledger; /* as written */
	bool is_begun;
	uint64_t bytes;
	uint64_t loc_ids[MODEL_FRAME_MAX];
};

int pprof_writer_new(const struct model *m, int fd, struct pprof_writer **ret)
{
	struct pprof_writer *w = calloc(1, sizeof(*w));
	int err;

	if (!w)
		return -ENOMEM;
	w->m = m;
	w->fd = fd;
	err = strtab_init(&w->strings);
	if (err) {
		free(w);
		return err;
	}
	*ret = w;
	return 0;
}

void pprof_writer_free(struct pprof_writer *w)
{
	if (!w)
		return;
	buf_release(&w->out);
	buf_release(&w->text);
	strtab_release(&w->strings);
	free(w->counts);
	free(w->weights);
	free(w);
}

uint64_t pprof_writer_bytes(const struct pprof_writer *w)
{
	return w->bytes;
}

static void put_varint(struct buf *b, uint64_t v)
{
	uint8_t bytes[10];
	size_t len = 0;

	do {
		bytes[len] = (uint8_t)(v & 0x7f) | (v > 0x7f ? 0x80 : 0);
		v >>= 7;
		len++;
	} while (v);
	buf_add(b, bytes, len);
}

static void put_int(struct pprof_writer *w, enum field field, uint64_t v)
{
	put_varint(&w->out, (uint64_t)field << 3);
	put_varint(&w->out, v);
}

static void put_bytes(struct pprof_writer *w, enum field field, const void *data, size_t len)
{
	put_varint(&w->out, (uint64_t)field << 3 | 2);
	put_varint(&w->out, len);
	buf_add(&w->out, data, len);
}

static void put_message(struct pprof_writer *w, enum field field, const ProtobufCMessage *msg)
{
	size_t len = protobuf_c_message_get_packed_size(msg);
	uint8_t small[4096], *data = len <= sizeof(small) ? small : malloc(len);

	if (!data) {
		w->out.err = -ENOMEM;
		return;
	}
	protobuf_c_message_pack(msg, data);
	put_bytes(w, field, data, len);
	if (data != small)
		free(data);
}

/* Index of a string in the file's table; what is new is written at the end of the member. */
static int64_t string_id(struct pprof_writer *w, const char *s)
{
	uint32_t id = 0;
	int err = strtab_add(&w->strings, s, &id);

	if (err)
		w->out.err = err;
	return id;
}

static int64_t model_string(struct pprof_writer *w, uint32_t id)
{
	return string_id(w, strtab_get(&w->m->strings, id));
}

static void put_value_type(struct pprof_writer *w, enum field field, const char *type,
			   const char *unit)
{
	Perftools__Profiles__ValueType v = PERFTOOLS__PROFILES__VALUE_TYPE__INIT;

	v.type = string_id(w, type);
	v.unit = string_id(w, unit);
	put_message(w, field, &v.base);
}

static void put_comment(struct pprof_writer *w, const char *text)
{
	put_int(w, FIELD_COMMENT, (uint64_t)string_id(w, text));
}

/* What was put together in w->text; when that failed, so does the member. */
static const char *text_get(struct pprof_writer *w)
{
	if (w->text.err)
		w->out.err = w->text.err;
	return w->text.len && !w->text.err ? w->text.data : "";
}

static void put_text_comment(struct pprof_writer *w, const char *key, uint32_t value)
{
	if (!value)
		return;
	buf_reset(&w->text);
	buf_printf(&w->text, "bstack: %s %s", key, strtab_get(&w->m->strings, value));
	put_comment(w, text_get(w));
}

static void put_head(struct pprof_writer *w)
{
	const struct model *m = w->m;
	const char *event = m->event ? strtab_get(&m->strings, m->event) : "samples";
	const char *unit = m->event_unit ? strtab_get(&m->strings, m->event_unit) : "count";
	uint64_t period = m->ledger.period;

	if (!period && m->ledger.freq_hz)
		period = NSEC_PER_SEC / m->ledger.freq_hz;
	put_value_type(w, FIELD_SAMPLE_TYPE, "samples", "count");
	put_value_type(w, FIELD_SAMPLE_TYPE, event, unit);
	put_value_type(w, FIELD_PERIOD_TYPE, event, unit);
	put_int(w, FIELD_PERIOD, period);
	put_int(w, FIELD_TIME, m->ledger.start_ns);
	if (!m->has_ledger) /* a comment of ours would say that bstack recorded it, and cut it short */
		return;
	put_text_comment(w, "event", m->event);
	put_text_comment(w, "event_unit", m->event_unit);
	put_text_comment(w, "command", m->command);
	put_text_comment(w, "host", m->host);
	put_comment(w, "bstack: version " BSTACK_VERSION);
}

/* Counters that changed; the reader keeps the last value of each. */
static void put_ledger(struct pprof_writer *w)
{
	for (size_t i = 0; i < ledger_row_cnt && w->m->has_ledger; i++) {
		const struct ledger_row *row = &ledger_rows[i];
		uint64_t now = *(const uint64_t *)((const char *)&w->m->ledger + row->offset);
		uint64_t was = *(const uint64_t *)((const char *)&w->ledger + row->offset);

		if (now == was && w->is_begun)
			continue;
		buf_reset(&w->text);
		buf_printf(&w->text, "bstack: %s %" PRIu64, row->key, now);
		put_comment(w, text_get(w));
	}
	put_int(w, FIELD_DURATION, w->m->ledger.duration_ns);
}

static void put_mapping(struct pprof_writer *w, size_t idx)
{
	const struct mapping *map = &w->m->mappings[idx];
	Perftools__Profiles__Mapping out = PERFTOOLS__PROFILES__MAPPING__INIT;
	char hex[BUILD_ID_HEX_SZ];

	out.id = idx + 1;
	if (map->is_segment_known) {
		out.memory_start = map->start;
		out.memory_limit = map->limit;
		out.file_offset = map->file_off;
	}
	out.filename = model_string(w, map->path);
	out.build_id = map->build_id.sz ? string_id(w, build_id_hex(&map->build_id, hex)) : 0;
	out.has_functions = map->has_symbols;
	put_message(w, FIELD_MAPPING, &out.base);
}

static void put_function(struct pprof_writer *w, size_t idx)
{
	const struct function *f = &w->m->functions[idx];
	Perftools__Profiles__Function out = PERFTOOLS__PROFILES__FUNCTION__INIT;

	out.id = idx + 1;
	out.name = model_string(w, f->name);
	out.system_name = model_string(w, f->system_name);
	out.filename = model_string(w, f->filename);
	out.start_line = f->start_line;
	put_message(w, FIELD_FUNCTION, &out.base);
}

#define LINES_MAX 256 /* functions inlined into one another at one address */

static void put_location(struct pprof_writer *w, size_t idx)
{
	const struct location *l = &w->m->locations[idx];
	Perftools__Profiles__Location out = PERFTOOLS__PROFILES__LOCATION__INIT;
	Perftools__Profiles__Line lines[LINES_MAX], *ptrs[LINES_MAX];
	size_t cnt = l->line_cnt < LINES_MAX ? l->line_cnt : LINES_MAX;

	for (size_t i = 0; i < cnt; i++) {
		perftools__profiles__line__init(&lines[i]);
		lines[i].function_id = w->m->lines[l->first_line + i].function + 1;
		lines[i].line = w->m->lines[l->first_line + i].line;
		ptrs[i] = &lines[i];
	}
	out.id = idx + 1;
	out.mapping_id = l->mapping == MODEL_NONE ? 0 : l->mapping + 1;
	out.address = l->addr;
	out.n_line = cnt;
	out.line = ptrs;
	put_message(w, FIELD_LOCATION, &out.base);
}

static void evidence_one(struct buf *text, const struct frame *f, size_t cnt)
{
	buf_printf(text, "%s%s%s%s:%zu", text->len ? "," : "", evidence_terms[f->evidence].key,
		   f->reason ? "/" : "", reason_terms[f->reason].key, cnt);
}

/* "kernel:5,timeline:2": runs of frames that are known alike, leaf first. */
static const char *evidence_text(struct pprof_writer *w, const struct stack *st)
{
	const struct frame *f = &w->m->frames[st->first_frame];
	size_t run = 0;

	buf_reset(&w->text);
	for (size_t i = 0; i < st->frame_cnt; i++) {
		run++;
		if (i + 1 < st->frame_cnt && f[i + 1].evidence == f[i].evidence &&
		    f[i + 1].reason == f[i].reason)
			continue;
		evidence_one(&w->text, &f[i], run);
		run = 0;
	}
	return text_get(w);
}

static void label_str(struct pprof_writer *w, Label *l, const char *key, const char *value)
{
	perftools__profiles__label__init(l);
	l->key = string_id(w, key);
	l->str = string_id(w, value);
}

static void label_num(struct pprof_writer *w, Label *l, const char *key, uint64_t value)
{
	perftools__profiles__label__init(l);
	l->key = string_id(w, key);
	l->num = (int64_t)value;
}

static void label_time(struct pprof_writer *w, Label *l, uint64_t time_ns)
{
	label_num(w, l, "timestamp", time_ns);
	l->num_unit = string_id(w, "nanoseconds");
}

static size_t labels_fill(struct pprof_writer *w, const struct sample *s, Label *labels)
{
	const struct stack *st = &w->m->stacks[s->stack];
	size_t cnt = 0;

	if (s->time_ns)
		label_time(w, &labels[cnt++], s->time_ns);

	if (s->comm)
		label_str(w, &labels[cnt++], "thread", strtab_get(&w->m->strings, s->comm));
	if (w->m->has_ledger || s->pid || s->tid) {
		label_num(w, &labels[cnt++], "pid", s->pid);
		label_num(w, &labels[cnt++], "tid", s->tid);
	}
	if (!w->m->has_ledger)
		return cnt;
	label_str(w, &labels[cnt++], "unwind", outcome_terms[s->outcome].key);
	if (s->stop)
		label_str(w, &labels[cnt++], "stop", stop_terms[s->stop].key);
	if (s->fp_steps)
		label_num(w, &labels[cnt++], "fp_steps", s->fp_steps);
	if (s->cause != CAUSE_NONE)
		label_str(w, &labels[cnt++], "fallback", cause_terms[s->cause].key);
	if (s->lock_owner)
		label_str(w, &labels[cnt++], "lock_owner",
			  strtab_get(&w->m->strings, s->lock_owner));
	if (st->frame_cnt)
		label_str(w, &labels[cnt++], "evidence", evidence_text(w, st));
	return cnt;
}

static void put_sample(struct pprof_writer *w, const struct sample *s, uint64_t count,
		       uint64_t weight)
{
	const struct stack *st = &w->m->stacks[s->stack];
	Sample out = PERFTOOLS__PROFILES__SAMPLE__INIT;
	Label labels[LABELS_MAX], *ptrs[LABELS_MAX];
	int64_t values[2] = { (int64_t)count, (int64_t)weight };

	for (size_t i = 0; i < st->frame_cnt; i++)
		w->loc_ids[i] = w->m->frames[st->first_frame + i].location + 1;
	out.n_location_id = st->frame_cnt;
	out.location_id = w->loc_ids;
	out.n_value = 2;
	out.value = values;
	out.n_label = labels_fill(w, s, labels);
	for (size_t i = 0; i < out.n_label; i++)
		ptrs[i] = &labels[i];
	out.label = ptrs;
	put_message(w, FIELD_SAMPLE, &out.base);
}

static int put_samples(struct pprof_writer *w)
{
	const struct model *m = w->m;
	int err = array_reserve(&w->counts, &w->sample_cap, m->sample_cnt, sizeof(uint64_t),
				SIZE_MAX / 16);

	if (!err)
		err = array_reserve(&w->weights, &w->weight_cap, m->sample_cnt, sizeof(uint64_t),
				    SIZE_MAX / 16);
	if (err)
		return err;
	for (; w->samples_seen < m->sample_cnt; w->samples_seen++)
		w->counts[w->samples_seen] = w->weights[w->samples_seen] = 0;
	for (size_t i = 0; i < m->sample_cnt; i++) {
		const struct sample *s = &m->samples[i];

		if (s->count == w->counts[i] && s->weight == w->weights[i])
			continue;
		put_sample(w, s, s->count - w->counts[i], s->weight - w->weights[i]);
	}
	return w->out.err;
}

/* Compress a piece of the member and write what comes out. */
static int deflate_part(struct pprof_writer *w, z_stream *z, const void *data, size_t len,
			int flush)
{
	uint8_t out[65536];

	z->next_in = (Bytef *)data;
	z->avail_in = (uInt)len;
	do {
		int err;

		z->next_out = out;
		z->avail_out = sizeof(out);
		if (deflate(z, flush) == Z_STREAM_ERROR)
			return -EIO;
		err = write_all(w->fd, out, sizeof(out) - z->avail_out);
		if (err)
			return err;
		w->bytes += sizeof(out) - z->avail_out;
	} while (!z->avail_out);
	return 0;
}

static int member_write(struct pprof_writer *w)
{
	z_stream z = {};
	size_t done = 0;
	int err;

	if (deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, GZIP_WINDOW, 8,
			 Z_DEFAULT_STRATEGY) != Z_OK)
		return -ENOMEM;
	do {
		size_t len = w->out.len - done;

		if (len > 1 << 20)
			len = 1 << 20;
		err = deflate_part(w, &z, w->out.data + done, len,
				   done + len == w->out.len ? Z_FINISH : Z_NO_FLUSH);
		done += len;
	} while (!err && done < w->out.len);
	deflateEnd(&z);
	return err;
}

static bool has_news(const struct pprof_writer *w)
{
	const struct model *m = w->m;

	if (!w->is_begun || w->samples_seen < m->sample_cnt ||
	    w->locations_done < m->location_cnt || w->mappings_done < m->mapping_cnt ||
	    (m->has_ledger && memcmp(&w->ledger, &m->ledger, sizeof(w->ledger)) != 0))
		return true;
	for (size_t i = 0; i < m->sample_cnt; i++)
		if (m->samples[i].count != w->counts[i] || m->samples[i].weight != w->weights[i])
			return true;
	return false;
}

/* Nothing counts as written yet: the member may come to nothing. */
static int member_fill(struct pprof_writer *w)
{
	const struct model *m = w->m;
	int err;

	buf_reset(&w->out);
	if (!w->is_begun)
		put_head(w);
	for (size_t i = w->mappings_done; i < m->mapping_cnt; i++)
		put_mapping(w, i);
	for (size_t i = w->functions_done; i < m->function_cnt; i++)
		put_function(w, i);
	for (size_t i = w->locations_done; i < m->location_cnt; i++)
		put_location(w, i);
	err = put_samples(w);
	put_ledger(w);
	for (size_t i = w->strings_done; i < w->strings.cnt; i++) {
		const char *s = w->strings.strs[i];

		put_bytes(w, FIELD_STRING, s, strlen(s));
	}
	return err ? err : w->out.err;
}

/* The model as it is now stands in the file. */
static void member_commit(struct pprof_writer *w)
{
	const struct model *m = w->m;

	w->is_begun = true;
	w->mappings_done = m->mapping_cnt;
	w->functions_done = m->function_cnt;
	w->locations_done = m->location_cnt;
	w->strings_done = w->strings.cnt;
	w->ledger = m->ledger;
	for (size_t i = 0; i < m->sample_cnt; i++) {
		w->counts[i] = m->samples[i].count;
		w->weights[i] = m->samples[i].weight;
	}
}

/* Where the next byte will go: with O_APPEND that is the end, wherever the position is. */
static off_t write_pos(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return lseek(fd, 0, flags >= 0 && (flags & O_APPEND) ? SEEK_END : SEEK_CUR);
}

int pprof_writer_flush(struct pprof_writer *w, struct error *e)
{
	off_t start = write_pos(w->fd);
	uint64_t bytes = w->bytes;
	int err;

	if (!has_news(w))
		return 0;
	err = member_fill(w);
	if (!err)
		err = member_write(w);
	if (!err) {
		member_commit(w);
		return 0;
	}
	/* A member cut in the middle would hide those that another writer appends: take it back. */
	if (start >= 0 && !ftruncate(w->fd, start)) {
		lseek(w->fd, start, SEEK_SET);
		w->bytes = bytes;
	}
	error_errno(e, -err, "cannot write the profile");
	if (err == -ENOSPC)
		error_advise(e, "free some space; what was written before is kept");
	return err;
}

int pprof_write(const struct model *m, int fd, struct error *e)
{
	struct pprof_writer *w;
	int err = pprof_writer_new(m, fd, &w);

	if (err)
		return error_errno(e, -err, "cannot write the profile");
	err = pprof_writer_flush(w, e);
	pprof_writer_free(w);
	return err;
}
