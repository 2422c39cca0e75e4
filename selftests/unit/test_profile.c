/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_profile.c - profiles written, appended, read back, cut and damaged. Exact: a profile is compared by its
 * folded form, its labels, evidence, mappings, functions and ledger.
 */
#include <signal.h>
#include <sys/resource.h>
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
	free(before);
	free(after);
	free(data);
	close(fd);
	model_release(&m);
	model_release(&back);
}

/* Equal samples of two moments stay two, in memory and in the file; of one moment they are one. */
static void times_are_kept_apart(void)
{
	struct sample s = { .pid = 1, .tid = 1, .count = 1, .weight = 5 };
	struct model m, back;
	struct error e = {};
	int fd = temp_file();
	uint8_t *data;
	size_t len;

	CHECK_EQ(model_init(&m), 0);
	fill(&m);
	m.sample_cnt = 0;
	for (uint64_t i = 0; i < 4; i++) {
		s.time_ns = 1700000000000000000 + i / 2;
		sample(&m, NULL, 0, s);
	}
	CHECK_EQ(m.sample_cnt, 2);
	CHECK_EQ(pprof_write(&m, fd, &e), 0);
	len = file_bytes(fd, &data);
	CHECK_EQ(read_bytes(data, len, &back, &e), 0);
	CHECK_EQ(back.sample_cnt, 2);
	for (size_t i = 0; i < back.sample_cnt; i++) {
		CHECK_EQ(back.samples[i].time_ns, 1700000000000000000 + i);
		CHECK_EQ(back.samples[i].count, 2);
	}
	free(data);
	close(fd);
	model_release(&m);
	model_release(&back);
}

/* What comes back of m when it is written as one member. */
static char *written_at_once(const struct model *m)
{
	struct error e = {};
	struct model back;
	int fd = temp_file();
	uint8_t *data;
	size_t len;
	char *text;

	CHECK_EQ(pprof_write(m, fd, &e), 0);
	len = file_bytes(fd, &data);
	CHECK_EQ(read_bytes(data, len, &back, &e), 0);
	text = describe(&back);
	model_release(&back);
	free(data);
	close(fd);
	return text;
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
	CHECK(!back.is_cut);
	free(after);
	model_release(&back);
	after = written_at_once(&m);
	CHECK_STR(after, before);
	free(before);
	free(after);
	/* Without its last members it says that it was cut, and has what was in the first. */
	CHECK_EQ(read_bytes(data, members, &back, &e), 0);
	CHECK(back.is_cut);
	CHECK_EQ(back.ledger.is_complete, 0);
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
		      m->samples[i].lock_owner < m->strings.cnt && m->samples[i].stop < STOP_CNT &&
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
	for (size_t i = 0; i < m->function_cnt; i++)
		CHECK(m->functions[i].name < m->strings.cnt &&
		      m->functions[i].system_name < m->strings.cnt &&
		      m->functions[i].filename < m->strings.cnt);
	CHECK(m->event < m->strings.cnt && m->event_unit < m->strings.cnt &&
	      m->command < m->strings.cnt && m->host < m->strings.cnt);
	for (size_t i = 0; i < m->line_cnt; i++)
		CHECK(m->lines[i].function < m->function_cnt);
	for (size_t i = 0; i < m->mapping_cnt; i++)
		CHECK(m->mappings[i].kind < MODULE_KIND_CNT &&
		      m->mappings[i].path < m->strings.cnt &&
		      m->mappings[i].build_id.sz <= BUILD_ID_MAX);
	free(describe(m));
}

static size_t written(uint8_t **ret, bool is_plain)
{
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
		struct buf msg = { .data = (char *)*ret, .len = len, .cap = len };

		CHECK_EQ(pprof_inflate("x", &msg, 1 << 20, &is_cut, &e), 0);
		CHECK(!is_cut);
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

static void zeros_are_no_profile(void)
{
	uint8_t zeros[65536] = {};
	struct error e;
	struct model m;

	CHECK_EQ(read_bytes(zeros, sizeof(zeros), &m, &e), -EINVAL);
	CHECK_STR(e.text, "cannot read x.pb.gz: not a valid profile: a damaged part");
	CHECK_STR(e.advice, "record again, or see whether it was copied whole");
	model_release(&m);
}

/* data, compressed as one gzip member. */
static void gzip(const void *data, size_t len, struct buf *out)
{
	z_stream z = { .next_in = (Bytef *)data, .avail_in = (uInt)len };
	uLong room;

	CHECK_EQ(deflateInit2(&z, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
	room = deflateBound(&z, len);
	z.next_out = malloc(room);
	z.avail_out = (uInt)room;
	CHECK_EQ(deflate(&z, Z_FINISH), Z_STREAM_END);
	buf_add(out, z.next_out - z.total_out, z.total_out);
	free(z.next_out - z.total_out);
	deflateEnd(&z);
}

/* 64 MiB of zeros are 64 KiB when compressed: the limit is that of what comes out. */
static void decompression_has_a_limit(void)
{
	size_t zeros_sz = 64 << 20;
	uint8_t *zeros = calloc(1, zeros_sz);
	struct buf file = {};
	struct error e = {};
	bool is_cut;
	size_t len;

	gzip(zeros, zeros_sz, &file);
	len = file.len;
	CHECK(len < 1 << 17);
	CHECK_EQ(pprof_inflate("bomb", &file, 1 << 20, &is_cut, &e), -EFBIG);
	CHECK_STR(e.text, "cannot read bomb: more than 1 MiB when decompressed");
	CHECK(e.advice[0]);
	CHECK_EQ(file.len, len);
	CHECK_EQ(pprof_inflate("bomb", &file, zeros_sz - 1, &is_cut, &e), -EFBIG);
	CHECK_EQ(pprof_inflate("bomb", &file, zeros_sz, &is_cut, &e), 0);
	CHECK_EQ(file.len, zeros_sz);
	buf_release(&file);
	free(zeros);
}

static void full_disk(void)
{
	struct error e = {};
	struct model m;
	int full = open("/dev/full", O_WRONLY);

	CHECK_EQ(model_init(&m), 0);
	fill(&m);
	CHECK_EQ(pprof_write(&m, full, &e), -ENOSPC);
	CHECK_STR(e.text, "cannot write the profile: No space left on device");
	CHECK_STR(e.advice, "free some space; what was written before is kept");
	close(full);
	model_release(&m);
}

/*
 * A file that may grow no more loses the member that did not fit, and nothing else; when it may grow again, what was
 * in that member comes with the next.
 */
static void failed_member_is_taken_back(int append)
{
	char path[] = "/tmp/bstack-test-XXXXXX", *before, *after;
	struct rlimit was, limit;
	struct pprof_writer *w;
	struct error e = {};
	struct model m, back;
	int fd = mkstemp(path);
	uint8_t *data;
	off_t whole;
	size_t len;

	fcntl(fd, F_SETFL, append);
	CHECK_EQ(model_init(&m), 0);
	fill(&m);
	CHECK_EQ(pprof_writer_new(&m, fd, &w), 0);
	CHECK_EQ(pprof_writer_flush(w, &e), 0);
	whole = lseek(fd, 0, SEEK_END);
	if (append)
		lseek(fd, 0, SEEK_SET); /* as a file looks that was just opened to append */
	m.samples[0].count++;
	sample(&m, (struct frame[]){ { location(&m, 0, 0x3333, NULL), EVID_QUERY, 0 } }, 1,
	       (struct sample){
		       .pid = 1, .tid = 1, .comm = str(&m, "late"), .count = 1, .weight = 1 });
	m.ledger.fired++;
	CHECK_EQ(getrlimit(RLIMIT_FSIZE, &was), 0);
	limit = (struct rlimit){ (rlim_t)whole + 20, was.rlim_max };
	signal(SIGXFSZ, SIG_IGN);
	CHECK_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
	CHECK_EQ(pprof_writer_flush(w, &e), -EFBIG);
	CHECK_EQ(setrlimit(RLIMIT_FSIZE, &was), 0);
	CHECK_STR(e.text, "cannot write the profile: File too large");
	CHECK_EQ(lseek(fd, 0, SEEK_END), whole);
	CHECK_EQ(pprof_writer_bytes(w), whole);
	CHECK_EQ(pprof_writer_flush(w, &e), 0);
	len = file_bytes(fd, &data);
	CHECK_EQ(read_bytes(data, len, &back, &e), 0);
	before = describe(&m);
	after = describe(&back);
	CHECK_STR(after, before);
	free(before);
	free(after);
	free(data);
	pprof_writer_free(w);
	model_release(&m);
	model_release(&back);
	close(fd);
	unlink(path);
}

static void failed_member(void)
{
	failed_member_is_taken_back(0);
	failed_member_is_taken_back(O_APPEND);
}

/* cnt samples of stacks that all differ. */
static void fill_many(struct model *m, uint32_t cnt)
{
	uint32_t app = mapping(m, MODULE_ELF, "/opt/app", 1);

	m->has_ledger = true;
	m->ledger.is_complete = 1;
	for (uint32_t i = 0; i < cnt; i++) {
		struct frame frames[] = {
			{ location(m, app, hash_u64(i) >> 20, NULL), EVID_KERNEL, 0 },
			{ location(m, app, 0x2000 + i % 100, NULL), EVID_KERNEL, 0 },
		};

		sample(m, frames, 2, (struct sample){ .pid = 1, .tid = i, .count = 1 });
	}
}

/* More than fits a pipe: the writer waits for the reader, who gets all of it. */
static void through_a_pipe(void)
{
	struct error e = {};
	struct model m;
	int fds[2], status;
	pid_t child;

	CHECK_EQ(pipe(fds), 0);
	CHECK_EQ(model_init(&m), 0);
	fflush(stdout);
	child = fork();
	if (!child) {
		close(fds[1]);
		_exit(pprof_read(fds[0], "pipe", &m, &e) || m.sample_cnt != 20000 || m.is_cut);
	}
	close(fds[0]);
	fill_many(&m, 20000);
	CHECK_EQ(pprof_write(&m, fds[1], &e), 0);
	close(fds[1]);
	CHECK_EQ(waitpid(child, &status, 0), child);
	CHECK_EQ(status, 0);
	/* One whose reader has gone says so. */
	signal(SIGPIPE, SIG_IGN);
	CHECK_EQ(pipe(fds), 0);
	close(fds[0]);
	CHECK_EQ(pprof_write(&m, fds[1], &e), -EPIPE);
	CHECK_STR(e.text, "cannot write the profile: Broken pipe");
	close(fds[1]);
	model_release(&m);
}

static void interned(void)
{
	struct frame frames[MODEL_FRAME_MAX + 1] = {};
	struct mapping map = {};
	uint32_t a = 0, b = 0;
	struct model m;

	CHECK_EQ(model_init(&m), 0);
	a = mapping(&m, MODULE_ELF, "/opt/app", 1);
	CHECK_EQ(mapping(&m, MODULE_ELF, "/other/path", 1), a); /* the build-id says it */
	CHECK(mapping(&m, MODULE_ELF, "/opt/app", 2) != a);
	map = m.mappings[a];
	map.limit++;
	CHECK_EQ(model_mapping(&m, &map, &b), 0);
	CHECK(b != a);
	CHECK(mapping(&m, MODULE_NO_ID, "/a", 0) != mapping(&m, MODULE_NO_ID, "/b", 0));
	CHECK_EQ(location(&m, a, 5, NULL), location(&m, a, 5, NULL));
	CHECK(location(&m, a, 5, NULL) != location(&m, a, 6, NULL));
	CHECK(location(&m, a, 5, "f") != location(&m, a, 5, "g"));
	CHECK_EQ(location(&m, a, 5, "f"), location(&m, a, 5, "f"));
	CHECK_EQ(model_stack(&m, frames, 3, &a), 0);
	CHECK_EQ(model_stack(&m, frames, 3, &b), 0);
	CHECK_EQ(a, b);
	frames[2].evidence = EVID_QUERY;
	CHECK_EQ(model_stack(&m, frames, 3, &b), 0);
	CHECK(a != b);
	CHECK_EQ(model_stack(&m, frames, 2, &b), 0);
	CHECK(a != b);
	CHECK_EQ(model_stack(&m, frames, MODEL_FRAME_MAX, &b), 0);
	CHECK_EQ(model_stack(&m, frames, MODEL_FRAME_MAX + 1, &b), -E2BIG);
	sample(&m, frames, 3, (struct sample){ .tid = 1, .count = 2, .weight = 20 });
	sample(&m, frames, 3, (struct sample){ .tid = 1, .count = 3, .weight = 30 });
	sample(&m, frames, 3, (struct sample){ .tid = 2, .count = 1, .weight = 10 });
	CHECK_EQ(m.sample_cnt, 2);
	CHECK_EQ(m.samples[0].count, 5);
	CHECK_EQ(m.samples[0].weight, 50);
	model_release(&m);
	model_release(&m); /* of a zeroed one */
}

/* What go tool pprof says of a file, with a home of its own and no network to ask. */
static char *go_pprof(const char *dir, const char *args)
{
	char command[512];
	struct buf out = {};
	FILE *f;

	snprintf(command, sizeof(command),
		 "cd %s && HOME=%s GOFLAGS=-mod=mod GOPROXY=off GOTOOLCHAIN=local PPROF_TMPDIR=%s "
		 "go tool pprof -symbolize=none %s p.pb.gz 2>&1",
		 dir, dir, dir, args);
	f = popen(command, "r");
	CHECK_EQ(read_all(fileno(f), &out, 1 << 20), 0);
	CHECK_EQ(pclose(f), 0);
	return out.data;
}

static void has_line(const char *text, const char *line)
{
	if (!strstr(text, line))
		test_fail(__FILE__, __LINE__, "no \"%s\" in:\n%s", line, text);
}

/* Two members, so that what the second adds to the first is read as one profile. */
static void go_reads_it(void)
{
	char dir[] = "/tmp/bstack-test-XXXXXX", path[64], *text;
	struct pprof_writer *w;
	struct error e = {};
	struct model m;
	int fd;

	if (system("go version >/dev/null 2>&1"))
		SKIP("go is not installed");
	CHECK(mkdtemp(dir) != NULL);
	snprintf(path, sizeof(path), "%s/p.pb.gz", dir);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	CHECK_EQ(model_init(&m), 0);
	fill(&m);
	CHECK_EQ(pprof_writer_new(&m, fd, &w), 0);
	CHECK_EQ(pprof_writer_flush(w, &e), 0);
	m.samples[1].count += 5;
	m.samples[1].weight += 50;
	CHECK_EQ(pprof_writer_flush(w, &e), 0);
	text = go_pprof(dir, "-raw");
	has_line(text, "samples/count cpu-clock/nanoseconds");
	has_line(text, "          3         30: 1 2 3 4 5 6 7");
	has_line(text, "evidence:[kernel_text:1,kernel:2,timeline:1,none/no-build-id:1,jit:1,none/"
		       "garbage:1]");
	has_line(text, "fallback:[writer]");
	has_line(text, "lock_owner:[mapper/12]");
	has_line(text, "tid:[11]");
	has_line(text, "timestamp:[1700000000123456789 nanoseconds]");
	has_line(text, "inlined /src/inlined.cc:12");
	has_line(text, "1: 0x1000/0x9000/0x800 /opt/app 0102030405060708090a0b0c0d0e0f1011121314");
	free(text);
	text = go_pprof(dir, "-top -sample_index=samples");
	has_line(text, "Showing nodes accounting for 12, 92.31% of 13 total");
	has_line(text, "         9 69.23% 69.23%         12 92.31%  inlined");
	free(text);
	pprof_writer_free(w);
	model_release(&m);
	close(fd);
	unlink(path);
	CHECK_EQ(rmdir(dir), 0);
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		TEST(interned),
		TEST(round_trip),
		TEST(times_are_kept_apart),
		TEST(appended_equals_written_at_once),
		TEST(cut_at_every_byte),
		TEST(every_bit_flipped),
		TEST(not_a_profile),
		TEST(decompression_has_a_limit),
		TEST(zeros_are_no_profile),
		TEST(full_disk),
		TEST(failed_member),
		TEST(through_a_pipe),
		TEST(go_reads_it),
		{},
	};

	return test_main(tests, argc, argv);
}
