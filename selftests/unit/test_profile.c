/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_profile.c - profiles written, appended, read back, cut and damaged. Exact: a profile is compared by its
 * folded form, its labels, evidence, mappings, functions and ledger.
 */
#include <sys/wait.h>
#include <zlib.h>

#include "profile/pprof_impl.h"
#include "profile_made.h"

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
		TEST(go_reads_it),
		{},
	};

	return test_main(tests, argc, argv);
}
