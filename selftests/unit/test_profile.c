/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_profile.c - profiles written, appended, read back, cut and damaged; folded text out and in. Exact: a
 * profile is compared by its folded form with addresses, its labels and its ledger.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>

#include "profile/folded.h"
#include "profile/pprof.h"
#include "profile/pprof_impl.h"
#include "test.h"

static struct build_id id_of(uint8_t first)
{
	struct build_id id = { .sz = 20 };

	for (size_t i = 0; i < 20; i++)
		id.bytes[i] = (uint8_t)(first + i);
	return id;
}

static uint32_t str(struct model *m, const char *s)
{
	uint32_t id = 0;

	CHECK_EQ(strtab_add(&m->strings, s, &id), 0);
	return id;
}

static uint32_t mapping(struct model *m, enum module_kind kind, const char *path, uint8_t id)
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

static uint32_t location(struct model *m, uint32_t map, uint64_t addr, const char *name)
{
	uint32_t function = MODEL_NONE, ret = 0;

	if (name)
		CHECK_EQ(model_function(m, name, name, &function), 0);
	CHECK_EQ(model_location(m, map, addr, function, &ret), 0);
	return ret;
}

static void sample(struct model *m, const struct frame *frames, size_t cnt, struct sample s)
{
	CHECK_EQ(model_stack(m, frames, cnt, &s.stack), 0);
	CHECK_EQ(model_sample(m, &s), 0);
}

/* Every kind of module, evidence and label that there is. */
static void fill(struct model *m)
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
	struct line lines[2];

	m->has_ledger = true;
	m->event = str(m, "cpu-clock");
	m->event_unit = str(m, "nanoseconds");
	m->command = str(m, "bstack record -- x");
	m->host = str(m, "Linux 6.18");
	m->ledger = (struct ledger){
		.fired = 9, .recorded = 7, .lost_ring = 2, .freq_hz = 99, .is_complete = 1
	};
	CHECK_EQ(model_function(m, "inlined", "_Z7inlinedv", &two[0]), 0);
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
				.outcome = OUTCOME_BROKEN });
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

static char *folded(const struct model *m, const struct folded_opts *o)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	CHECK_EQ(folded_write(m, o, f), 0);
	fclose(f);
	return text;
}

/* All of a model in words: labels, evidence, mappings, ledger. */
static char *describe(const struct model *m)
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

		buf_printf(&b, "%u %u %s %s %u %u %llu %llu:", s->pid, s->tid,
			   strtab_get(&m->strings, s->comm), strtab_get(&m->strings, s->lock_owner),
			   s->cause, s->outcome, (unsigned long long)s->count,
			   (unsigned long long)s->weight);
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
	for (size_t i = 0; i < ledger_row_cnt; i++)
		buf_printf(&b, "%s=%llu ", ledger_rows[i].key,
			   *(const unsigned long long *)((const char *)&m->ledger +
							 ledger_rows[i].offset));
	buf_printf(&b, "\n%s %s %s %s\n", strtab_get(&m->strings, m->event),
		   strtab_get(&m->strings, m->event_unit), strtab_get(&m->strings, m->command),
		   strtab_get(&m->strings, m->host));
	return b.data;
}

static int temp_file(void)
{
	return memfd_create("profile", MFD_CLOEXEC);
}

static size_t file_bytes(int fd, uint8_t **ret)
{
	off_t len = lseek(fd, 0, SEEK_END);

	*ret = malloc((size_t)len + 1);
	CHECK_EQ(pread(fd, *ret, (size_t)len, 0), len);
	return (size_t)len;
}

static int read_bytes(const uint8_t *data, size_t len, struct model *m, struct error *e)
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

static void round_trip(void)
{
	struct model m, back;
	struct error e = {};
	int fd = temp_file();
	char *before, *after;
	uint8_t *data;
	size_t len;

	CHECK_EQ(model_init(&m), 0);
	fill(&m);
	CHECK_EQ(pprof_write(&m, fd, &e), 0);
	len = file_bytes(fd, &data);
	CHECK_EQ(read_bytes(data, len, &back, &e), 0);
	before = describe(&m);
	after = describe(&back);
	CHECK_STR(after, before);
	CHECK(back.has_ledger && !back.is_cut);
	CHECK_EQ(back.lines[back.locations[back.mapping_cnt ? 1 : 0].first_line].line, 12);
	free(before);
	free(after);
	free(data);
	close(fd);
	model_release(&m);
	model_release(&back);
}

static void appended_equals_written_at_once(void)
{
	struct pprof_writer *w;
	struct model m, back;
	struct error e = {};
	int fd = temp_file();
	char *before, *after;
	uint8_t *data;
	size_t len, members;

	CHECK_EQ(model_init(&m), 0);
	CHECK_EQ(pprof_writer_new(&m, fd, &w), 0);
	fill(&m);
	m.ledger.is_complete = 0;
	CHECK_EQ(pprof_writer_flush(w, &e), 0);
	members = (size_t)lseek(fd, 0, SEEK_CUR);
	CHECK_EQ(pprof_writer_flush(w, &e), 0); /* nothing new: nothing written */
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), members);
	m.samples[0].count += 5;
	m.samples[0].weight += 50;
	sample(&m, (struct frame[]){ { location(&m, 0, 0x3333, NULL), EVID_QUERY, 0 } }, 1,
	       (struct sample){
		       .pid = 1, .tid = 1, .comm = str(&m, "late"), .count = 1, .weight = 1 });
	CHECK_EQ(pprof_writer_flush(w, &e), 0);
	m.ledger.is_complete = 1;
	CHECK_EQ(pprof_writer_flush(w, &e), 0);
	CHECK_EQ(pprof_writer_bytes(w), lseek(fd, 0, SEEK_CUR));
	len = file_bytes(fd, &data);
	CHECK_EQ(read_bytes(data, len, &back, &e), 0);
	before = describe(&m);
	after = describe(&back);
	CHECK_STR(after, before);
	free(before);
	free(after);
	model_release(&back);
	/* Without its last members it says that it was cut, and has what was in the first. */
	CHECK_EQ(read_bytes(data, members, &back, &e), 0);
	CHECK(back.is_cut);
	CHECK_EQ(back.samples[0].count, 3);
	free(data);
	close(fd);
	pprof_writer_free(w);
	model_release(&m);
	model_release(&back);
}

/* Every index of a model that was read must be one. */
static void check_indices(const struct model *m)
{
	for (size_t i = 0; i < m->sample_cnt; i++)
		CHECK(m->samples[i].stack < m->stack_cnt && m->samples[i].comm < m->strings.cnt &&
		      m->samples[i].cause < CAUSE_CNT && m->samples[i].outcome < OUTCOME_CNT);
	for (size_t i = 0; i < m->stack_cnt; i++)
		CHECK(m->stacks[i].first_frame + m->stacks[i].frame_cnt <= m->frame_cnt);
	for (size_t i = 0; i < m->frame_cnt; i++)
		CHECK(m->frames[i].location < m->location_cnt && m->frames[i].evidence < EVID_CNT &&
		      m->frames[i].reason < REASON_CNT);
	for (size_t i = 0; i < m->location_cnt; i++)
		CHECK((m->locations[i].mapping == MODEL_NONE ||
		       m->locations[i].mapping < m->mapping_cnt) &&
		      (!m->locations[i].line_cnt ||
		       m->locations[i].first_line + m->locations[i].line_cnt <= m->line_cnt));
	for (size_t i = 0; i < m->line_cnt; i++)
		CHECK(m->lines[i].function < m->function_cnt);
	for (size_t i = 0; i < m->mapping_cnt; i++)
		CHECK(m->mappings[i].kind < MODULE_KIND_CNT &&
		      m->mappings[i].build_id.sz <= BUILD_ID_MAX);
	free(describe(m));
}

static size_t written(uint8_t **ret, bool is_plain)
{
	struct buf msg = {};
	struct error e = {};
	struct model m;
	int fd = temp_file();
	bool is_cut;
	size_t len;

	CHECK_EQ(model_init(&m), 0);
	fill(&m);
	CHECK_EQ(pprof_write(&m, fd, &e), 0);
	len = file_bytes(fd, ret);
	if (is_plain) {
		CHECK_EQ(pprof_inflate("x", *ret, len, 1 << 20, &msg, &is_cut, &e), 0);
		free(*ret);
		*ret = (uint8_t *)msg.data;
		len = msg.len;
	}
	close(fd);
	model_release(&m);
	return len;
}

static void cut_at_every_byte(void)
{
	struct error e;
	struct model m;
	uint8_t *data;
	size_t len = written(&data, false);

	for (size_t cut = 0; cut < len; cut++) { /* one member: without its end there is nothing */
		CHECK_EQ(read_bytes(data, cut, &m, &e), -EINVAL);
		CHECK(e.text[0]);
		model_release(&m);
	}
	data = realloc(data, 2 * len);
	memcpy(data + len, data, len);
	for (size_t cut = 1; cut < len;
	     cut++) { /* a second one in the middle: the first is there */
		CHECK_EQ(read_bytes(data, len + cut, &m, &e), 0);
		CHECK(m.is_cut);
		CHECK_EQ(m.sample_cnt, 3);
		model_release(&m);
	}
	free(data);
}

static void every_bit_flipped(void)
{
	struct error e;
	struct model m;
	uint8_t *data;
	size_t len = written(&data, true);

	for (size_t bit = 0; bit < 8 * len; bit++) {
		data[bit / 8] ^= (uint8_t)(1 << bit % 8);
		if (!read_bytes(data, len, &m, &e))
			check_indices(&m);
		else
			CHECK(e.text[0]);
		model_release(&m);
		data[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (size_t cut = 0; cut < len; cut++) {
		if (!read_bytes(data, cut, &m, &e))
			check_indices(&m);
		model_release(&m);
	}
	free(data);
}

static void not_a_profile(void)
{
	static const struct {
		const char *data;
		size_t len;
		const char *why;
	} cases[] = {
		{ "", 0, "it is empty" },
		{ "hello, world\n", 13, "not a valid profile" },
		{ "\x1f\x8b\x08 nonsense", 12, "cut or damaged before its first part was whole" },
		{ "\x0a\x04\x08\x01\x10\x02\x12\x80\x80\x80\x80\x10", 12,
		  "a damaged part" }, /* a length of 4 GiB */
		{ "\x0a\x04\x08\x01\x10\x02\x32\x00", 8,
		  "a string's index is out of range" }, /* type 1 of one string */
		{ "\x32\x01x\x0a\x00", 5, "its first string is not empty" },
		{ "\x32\x00\x0a\x00\x12\x05\x0a\x01\x07\x12\x00", 11, "another number of values" },
		{ "\x32\x00\x0a\x00\x12\x06\x0a\x01\x07\x12\x01\x01", 12,
		  "a location that is not there" },
		{ "\x32\x00\x0a\x00\x22\x04\x08\x01\x10\x09", 10, "a mapping that is not there" },
		{ "\x32\x00\x0a\x00\x2a\x02\x08\x01\x2a\x02\x08\x01", 12, "given twice" },
		{ "\x32\x00\x0a\x00\x2a\x00", 6, "an id is zero" },
		{ "\x32\x00", 2, "what its samples are" },
	};
	struct error e;
	struct model m;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		CHECK_EQ(read_bytes((const uint8_t *)cases[i].data, cases[i].len, &m, &e), -EINVAL);
		if (!strstr(e.text, cases[i].why))
			test_fail(__FILE__, __LINE__, "case %zu: \"%s\" has no \"%s\"", i, e.text,
				  cases[i].why);
		CHECK(!strncmp(e.text, "cannot read x.pb.gz: ", 21));
		model_release(&m);
	}
}

/* 64 MiB of zeros are 64 KiB when compressed: the limit is that of what comes out. */
static void decompression_has_a_limit(void)
{
	uLong zeros_sz = 64 << 20, len = compressBound(zeros_sz);
	uint8_t *zeros = calloc(1, zeros_sz), *data = malloc(len + 64);
	z_stream z = { .next_in = zeros,
		       .avail_in = (uInt)zeros_sz,
		       .next_out = data,
		       .avail_out = (uInt)len };
	struct buf out = {};
	struct error e = {};
	bool is_cut;

	CHECK_EQ(deflateInit2(&z, 9, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
	CHECK_EQ(deflate(&z, Z_FINISH), Z_STREAM_END);
	CHECK_EQ(pprof_inflate("bomb", data, z.total_out, 1 << 20, &out, &is_cut, &e), -EFBIG);
	CHECK_STR(e.text, "cannot read bomb: more than 1 MiB when decompressed");
	CHECK(out.len < 2 << 20);
	deflateEnd(&z);
	buf_release(&out);
	free(zeros);
	free(data);
}

static void full_disk_and_closed_pipe(void)
{
	struct error e = {};
	struct model m;
	int fds[2], full = open("/dev/full", O_WRONLY);

	CHECK_EQ(model_init(&m), 0);
	fill(&m);
	CHECK_EQ(pprof_write(&m, full, &e), -ENOSPC);
	CHECK_STR(e.text, "cannot write the profile: No space left on device");
	close(full);
	CHECK_EQ(pipe(fds), 0);
	CHECK_EQ(pprof_write(&m, fds[1], &e), 0); /* fits the pipe */
	close(fds[1]);
	model_release(&m);
	CHECK_EQ(model_init(&m), 0);
	CHECK_EQ(pprof_read(fds[0], "pipe", &m, &e), 0);
	CHECK_EQ(m.sample_cnt, 3);
	close(fds[0]);
	model_release(&m);
}

static void names(void)
{
	struct buf b = {};
	struct model m;

	CHECK_EQ(model_init(&m), 0);
	model_name(&m, location(&m, mapping(&m, MODULE_ELF, "/usr/lib/libx.so.1", 1), 0x1f, NULL),
		   0, &b);
	CHECK_STR(b.data, "libx.so.1+0x1f");
	buf_reset(&b);
	model_name(&m, location(&m, mapping(&m, MODULE_OTHER, "[unknown]", 0), 0x7f00, NULL), 0,
		   &b);
	CHECK_STR(b.data, "[unknown]");
	buf_reset(&b);
	name_clean(&b, "a;b\nc\x1b[1m\xff\xc3\xa9\xed\xa0\x80 z\x7f");
	CHECK_STR(b.data, "a:b?c?[1m?\xc3\xa9??? z?");
	buf_reset(&b);
	for (int i = 0; i < 28 * 1024; i++)
		buf_char(&b, i % 2 ? '\xa9' : '\xc3');
	{
		struct buf c = {};

		name_clean(&c, b.data);
		CHECK(c.len <= FOLDED_NAME_MAX && c.len >= FOLDED_NAME_MAX - 1);
		CHECK_STR(c.data + c.len - 5, "\xc3\xa9...");
		buf_release(&c);
	}
	buf_release(&b);
	model_release(&m);
}

static void folded_exact(void)
{
	struct model m;
	char *text;

	CHECK_EQ(model_init(&m), 0);
	fill(&m);
	text = folded(&m, &(struct folded_opts){});
	CHECK_STR(text, "app;app+0x2345;outer;inlined 4\n"
			"kthreadd 1\n"
			"worker;[unknown];js::f;plain+0x55;app+0x2346;app+0x2345;outer;inlined;vfs_"
			"read_[k] 3\n");
	free(text);
	text = folded(&m, &(struct folded_opts){ .with_tid = true, .by_weight = true });
	CHECK_STR(text, "app-10/10;app+0x2345;outer;inlined 40\n"
			"kthreadd-2/2 10\n"
			"worker-10/"
			"11;[unknown];js::f;plain+0x55;app+0x2346;app+0x2345;outer;inlined;vfs_"
			"read_[k] 30\n");
	free(text);
	text = folded(&m, &(struct folded_opts){ .no_thread = true, .with_addr = true });
	CHECK_STR(text, "? "
			"1\n[unknown]+0xdead;[jit]+0x7f0000000000;plain+0x55;app+0x2346;app+0x2345;"
			"app+0x1234;"
			"[kernel]+0xffffffff81000010_[k] 3\napp+0x2345;app+0x1234 4\n");
	free(text);
	model_release(&m);
}

static int read_folded(const char *text, struct model *m, struct error *e)
{
	FILE *f = fmemopen((void *)text, strlen(text), "r");
	int err;

	CHECK_EQ(model_init(m), 0);
	*e = (struct error){};
	err = folded_read(f, "x.folded", m, e);
	fclose(f);
	return err;
}

static void folded_back(void)
{
	static const struct {
		const char *text, *why;
	} bad[] = {
		{ "a;b 1\nno count\n", "cannot read x.folded: line 2: no count at its end" },
		{ "a;b -1\n", "cannot read x.folded: line 1: no count at its end" },
		{ "a 1x\n", "cannot read x.folded: line 1: no count at its end" },
		{ "a 99999999999999999999999\n",
		  "cannot read x.folded: line 1: no count at its end" },
		{ " 5\n", "cannot read x.folded: line 1: no count at its end" },
	};
	struct error e;
	struct model m;
	char *text;

	CHECK_EQ(read_folded("# made by hand\n\nmain;f x;vfs_read_[k] 3\r\nmain;f x;vfs_read_[k] "
			     "2.9\na;;b 1\n",
			     &m, &e),
		 0);
	text = folded(&m, &(struct folded_opts){});
	CHECK_STR(text, "a;?;b 1\nmain;f x;vfs_read_[k] 5\n");
	CHECK(!m.has_ledger);
	free(text);
	model_release(&m);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		CHECK_EQ(read_folded(bad[i].text, &m, &e), -EINVAL);
		CHECK_STR(e.text, bad[i].why);
		model_release(&m);
	}
}

static void go_reads_it(void)
{
	char path[] = "/tmp/bstack-test-XXXXXX", command[512];
	struct error e = {};
	struct model m;
	int fd = mkstemp(path);

	if (system("command -v go >/dev/null 2>&1"))
		SKIP("go is not installed");
	CHECK_EQ(model_init(&m), 0);
	fill(&m);
	CHECK_EQ(pprof_write(&m, fd, &e), 0);
	close(fd);
	model_release(&m);
	snprintf(command, sizeof(command),
		 "HOME=/tmp PPROF_TMPDIR=/tmp go tool pprof -raw %s 2>/dev/null | grep -q "
		 "'evidence:\\[kernel:2\\]'",
		 path);
	CHECK_EQ(system(command), 0);
	snprintf(command, sizeof(command),
		 "HOME=/tmp PPROF_TMPDIR=/tmp go tool pprof -top -sample_index=samples %s "
		 "2>/dev/null | grep -q inlined",
		 path);
	CHECK_EQ(system(command), 0);
	unlink(path);
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		TEST(round_trip),
		TEST(appended_equals_written_at_once),
		TEST(cut_at_every_byte),
		TEST(every_bit_flipped),
		TEST(not_a_profile),
		TEST(decompression_has_a_limit),
		TEST(full_disk_and_closed_pipe),
		TEST(names),
		TEST(folded_exact),
		TEST(folded_back),
		TEST(go_reads_it),
		{},
	};

	return test_main(tests, argc, argv);
}
