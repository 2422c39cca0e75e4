/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* profile_made.h - a profile made by hand that has everything, and models in words, for the tests of profile/. */
#ifndef BSTACK_PROFILE_MADE_H
#define BSTACK_PROFILE_MADE_H

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "profile/folded.h"
#include "profile/pprof.h"
#include "test.h"

__attribute__((unused)) static struct build_id id_of(uint8_t first)
{
	struct build_id id = { .sz = 20 };

	for (size_t i = 0; i < 20; i++)
		id.bytes[i] = (uint8_t)(first + i);
	return id;
}

__attribute__((unused)) static uint32_t str(struct model *m, const char *s)
{
	uint32_t id = 0;

	CHECK_EQ(strtab_add(&m->strings, s, &id), 0);
	return id;
}

__attribute__((unused)) static uint32_t mapping(struct model *m, enum module_kind kind,
						const char *path, uint8_t id)
{
	struct mapping map = { .kind = kind, .path = str(m, path) };
	uint32_t ret = 0;

	if (id) {
		map.build_id = id_of(id);
		map.is_segment_known = true;
		map.start = 0x1000;
		map.limit = 0x9000;
		map.file_off = 0x800;
	}
	CHECK_EQ(model_mapping(m, &map, &ret), 0);
	return ret;
}

__attribute__((unused)) static uint32_t location(struct model *m, uint32_t map, uint64_t addr,
						 const char *name)
{
	uint32_t function = MODEL_NONE, ret = 0;

	if (name)
		CHECK_EQ(model_function(m, name, name, &function), 0);
	CHECK_EQ(model_location(m, map, addr, function, &ret), 0);
	return ret;
}

__attribute__((unused)) static void sample(struct model *m, const struct frame *frames, size_t cnt,
					   struct sample s)
{
	CHECK_EQ(model_stack(m, frames, cnt, &s.stack), 0);
	CHECK_EQ(model_sample(m, &s), 0);
}

/* Every kind of module, evidence and label that there is. */
__attribute__((unused)) static void fill(struct model *m)
{
	uint32_t app = mapping(m, MODULE_ELF, "/opt/app", 1);
	uint32_t noid = mapping(m, MODULE_NO_ID, "/opt/plain", 0);
	uint32_t jit = mapping(m, MODULE_JIT, "[jit]", 0);
	uint32_t kernel = mapping(m, MODULE_KERNEL, "[kernel]", 0);
	uint32_t other = mapping(m, MODULE_OTHER, "[unknown]", 0);
	struct frame frames[] = {
		{ location(m, kernel, 0xffffffff81000010, "vfs_read"), EVID_KERNEL_TEXT, 0 },
		{ location(m, app, 0x1234, NULL), EVID_KERNEL, 0 },
		{ location(m, app, 0x2345, NULL), EVID_KERNEL, 0 },
		{ location(m, app, 0x2346, NULL), EVID_TIMELINE, 0 },
		{ location(m, noid, 0x55, NULL), EVID_NONE, REASON_NO_BUILD_ID },
		{ location(m, jit, 0x7f0000000000, "js::f"), EVID_JIT, 0 },
		{ location(m, other, 0xdead, NULL), EVID_NONE, REASON_GARBAGE },
	};
	uint32_t two[2] = { 0, 0 };
	struct function inlined;
	struct line lines[2];

	m->has_ledger = true;
	m->event = str(m, "cpu-clock");
	m->event_unit = str(m, "nanoseconds");
	m->command = str(m, "bstack record -- x");
	m->host = str(m, "Linux 6.18");
	m->ledger = (struct ledger){
		.fired = 9, .recorded = 7, .lost_ring = 2, .freq_hz = 99, .is_complete = 1
	};
	inlined = (struct function){ .name = str(m, "inlined"),
				     .system_name = str(m, "_Z7inlinedv"),
				     .filename = str(m, "/src/inlined.cc"),
				     .start_line = 10 };
	CHECK_EQ(model_function_at(m, &inlined, &two[0]), 0);
	CHECK_EQ(model_function(m, "outer", "outer", &two[1]), 0);
	lines[0] = (struct line){ .function = two[0], .line = 12 };
	lines[1] = (struct line){ .function = two[1], .line = 34 };
	CHECK_EQ(model_set_lines(m, frames[1].location, lines, 2), 0);
	sample(m, frames, 7,
	       (struct sample){ .pid = 10,
				.tid = 11,
				.comm = str(m, "worker"),
				.count = 3,
				.weight = 30,
				.cause = CAUSE_WRITER,
				.lock_owner = str(m, "mapper/12"),
				.time_ns = 1700000000123456789,
				.outcome = OUTCOME_BROKEN,
				.stop = STOP_NO_MAPPING });
	sample(m, frames + 1, 2,
	       (struct sample){ .pid = 10,
				.tid = 10,
				.comm = str(m, "app"),
				.count = 4,
				.weight = 40,
				.outcome = OUTCOME_ROOTED });
	sample(m, NULL, 0,
	       (struct sample){
		       .pid = 2, .tid = 2, .comm = str(m, "kthreadd"), .count = 1, .weight = 10 });
}

__attribute__((unused)) static char *folded(const struct model *m, const struct folded_opts *o)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	CHECK_EQ(folded_write(m, o, f), 0);
	fclose(f);
	return text;
}

__attribute__((unused)) static void describe_locations(const struct model *m, struct buf *b)
{
	for (size_t i = 0; i < m->location_cnt; i++) {
		const struct location *l = &m->locations[i];

		buf_printf(b, "%d %llx", (int)l->mapping, (unsigned long long)l->addr);
		for (size_t k = 0; k < l->line_cnt; k++) {
			const struct line *line = &m->lines[l->first_line + k];
			const struct function *f = &m->functions[line->function];

			buf_printf(b, " %s/%s/%s:%lld:%lld", strtab_get(&m->strings, f->name),
				   strtab_get(&m->strings, f->system_name),
				   strtab_get(&m->strings, f->filename), (long long)f->start_line,
				   (long long)line->line);
		}
		buf_char(b, '\n');
	}
}

/* All of a model in words: labels, evidence, mappings, ledger. */
__attribute__((unused)) static char *describe(const struct model *m)
{
	static const struct folded_opts by_addr = { .with_tid = true, .with_addr = true };
	struct buf b = {};
	char *text = folded(m, &by_addr), hex[BUILD_ID_HEX_SZ];

	buf_str(&b, text);
	free(text);
	text = folded(m, &(struct folded_opts){});
	buf_str(&b, text);
	free(text);
	for (size_t i = 0; i < m->sample_cnt; i++) {
		const struct sample *s = &m->samples[i];
		const struct stack *st = &m->stacks[s->stack];

		buf_printf(&b, "%u %u %s %s %u %u %u %llu %llu %llu:", s->pid, s->tid,
			   strtab_get(&m->strings, s->comm), strtab_get(&m->strings, s->lock_owner),
			   s->cause, s->outcome, s->stop, (unsigned long long)s->time_ns,
			   (unsigned long long)s->count, (unsigned long long)s->weight);
		for (size_t k = 0; k < st->frame_cnt; k++)
			buf_printf(&b, " %u/%u", m->frames[st->first_frame + k].evidence,
				   m->frames[st->first_frame + k].reason);
		buf_char(&b, '\n');
	}
	for (size_t i = 0; i < m->mapping_cnt; i++) {
		const struct mapping *p = &m->mappings[i];

		buf_printf(&b, "%u %s %s %d %llx %llx %llx\n", p->kind,
			   build_id_hex(&p->build_id, hex), strtab_get(&m->strings, p->path),
			   p->is_segment_known, (unsigned long long)p->start,
			   (unsigned long long)p->limit, (unsigned long long)p->file_off);
	}
	describe_locations(m, &b);
	for (size_t i = 0; i < ledger_row_cnt; i++)
		buf_printf(&b, "%s=%llu ", ledger_rows[i].key,
			   *(const unsigned long long *)((const char *)&m->ledger +
							 ledger_rows[i].offset));
	buf_printf(&b, "\n%s %s %s %s\n", strtab_get(&m->strings, m->event),
		   strtab_get(&m->strings, m->event_unit), strtab_get(&m->strings, m->command),
		   strtab_get(&m->strings, m->host));
	return b.data;
}

__attribute__((unused)) static int temp_file(void)
{
	return memfd_create("profile", MFD_CLOEXEC);
}

__attribute__((unused)) static size_t file_bytes(int fd, uint8_t **ret)
{
	off_t len = lseek(fd, 0, SEEK_END);

	*ret = malloc((size_t)len + 1);
	CHECK_EQ(pread(fd, *ret, (size_t)len, 0), len);
	return (size_t)len;
}

__attribute__((unused)) static int read_bytes(const uint8_t *data, size_t len, struct model *m,
					      struct error *e)
{
	int fd = temp_file(), err;

	CHECK_EQ(write(fd, data, len), (ssize_t)len);
	lseek(fd, 0, SEEK_SET);
	CHECK_EQ(model_init(m), 0);
	*e = (struct error){};
	err = pprof_read(fd, "x.pb.gz", m, e);
	close(fd);
	return err;
}

#endif
