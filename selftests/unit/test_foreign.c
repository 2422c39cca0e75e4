/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_foreign.c - profiles as others write them, and such as nobody should: encoded by hand, field by field, with
 * samples before what they name, numbers unpacked, fields across gzip members, labels that lie.
 */
#include <zlib.h>

#include "profile_made.h"

/* The top-level fields that the tests write. */
enum {
	TYPE = 1,
	SAMPLE = 2,
	MAPPING = 3,
	LOCATION = 4,
	FUNCTION = 5,
	STRING = 6,
	COMMENT = 13,
};

static void varint(struct buf *b, uint64_t v)
{
	for (; v > 0x7f; v >>= 7)
		buf_char(b, (char)(v | 0x80));
	buf_char(b, (char)v);
}

static void num(struct buf *b, uint32_t field, uint64_t v)
{
	varint(b, (uint64_t)field << 3);
	varint(b, v);
}

static void bytes(struct buf *b, uint32_t field, const void *data, size_t len)
{
	varint(b, (uint64_t)field << 3 | 2);
	varint(b, len);
	buf_add(b, data, len);
}

static void string(struct buf *b, const char *s)
{
	bytes(b, STRING, s, strlen(s));
}

/* A sub-message of numbers: field, value, field, value, ..., 0. */
static void numbers(struct buf *b, uint32_t field, const uint64_t *pairs)
{
	struct buf sub = {};

	for (; pairs[0]; pairs += 2)
		num(&sub, (uint32_t)pairs[0], pairs[1]);
	bytes(b, field, sub.data, sub.len);
	buf_release(&sub);
}
#define NUMBERS(b, field, ...) numbers(b, field, (const uint64_t[]){ __VA_ARGS__, 0, 0 })

/* A location of one line for each of cnt pairs of function and line. */
static void lines(struct buf *b, uint64_t id, uint64_t mapping_id, uint64_t addr,
		  const uint64_t (*pairs)[2], size_t cnt)
{
	struct buf sub = {};

	num(&sub, 1, id);
	num(&sub, 2, mapping_id);
	num(&sub, 3, addr);
	for (size_t i = 0; i < cnt; i++)
		NUMBERS(&sub, 4, 1, pairs[i][0], 2, pairs[i][1]);
	bytes(b, LOCATION, sub.data, sub.len);
	buf_release(&sub);
}

/* A sample with one label of a string. */
static void labelled(struct buf *b, const uint64_t *locations, size_t cnt, uint64_t key,
		     uint64_t value)
{
	struct buf sub = {};

	for (size_t i = 0; i < cnt; i++)
		num(&sub, 1, locations[i]);
	num(&sub, 2, 1);
	NUMBERS(&sub, 3, 1, key, 2, value);
	bytes(b, SAMPLE, sub.data, sub.len);
	buf_release(&sub);
}

static int read_back(const struct buf *b, struct model *m, struct error *e)
{
	CHECK_EQ(b->err, 0);
	return read_bytes((const uint8_t *)b->data, b->len, m, e);
}

/* What the file of the tests below names; strings 1.. are the ones given after "". */
static void strings(struct buf *b, const char *const *s)
{
	string(b, "");
	for (; *s; s++)
		string(b, *s);
}

static const char *const words[] = { "samples",     "count",    "cpu",
				     "nanoseconds", "main",     "work",
				     "/src/a.c",    "/bin/app", "[kernel.kallsyms]",
				     "thread",      "pid",      NULL };

/* Without a stack, of a process that is known. */
static void labelled_with_pid(struct buf *b)
{
	struct buf sub = {};

	num(&sub, 2, 1);
	num(&sub, 2, 1000);
	NUMBERS(&sub, 3, 1, 11, 3, 4321);
	bytes(b, SAMPLE, sub.data, sub.len);
	buf_release(&sub);
}

/* As a Go or C++ program profiles itself: everything before what it refers to. */
static void whole(struct buf *b)
{
	NUMBERS(b, SAMPLE, 1, 70, 1, 80, 1, 90, 2, 3, 2, 3000);
	NUMBERS(b, SAMPLE, 1, 80, 2, 2, 2, 2000);
	labelled_with_pid(b);
	NUMBERS(b, TYPE, 1, 1, 2, 2);
	NUMBERS(b, TYPE, 1, 3, 2, 4);
	lines(b, 70, 8, 0xffffffff81000000, NULL, 0);
	lines(b, 80, 7, 0x401010, (const uint64_t[][2]){ { 9, 12 }, { 5, 34 } }, 2);
	lines(b, 90, 0, 0x99, NULL, 0);
	NUMBERS(b, MAPPING, 1, 7, 2, 0x400000, 3, 0x500000, 5, 8);
	NUMBERS(b, MAPPING, 1, 8, 5, 9);
	NUMBERS(b, FUNCTION, 1, 5, 2, 5, 3, 5, 4, 7, 5, 30);
	NUMBERS(b, FUNCTION, 1, 9, 2, 6, 3, 6, 4, 7, 5, 10);
	num(b, COMMENT, 3);
	strings(b, words);
}

static const char whole_folded[] =
	"? 1\n"
	"[unknown];main;work;[kernel.kallsyms]+0xffffffff81000000_[k] 3\n"
	"main;work 2\n";

static void check_whole(const struct model *m)
{
	char *text = folded(m, &(struct folded_opts){});

	CHECK_STR(text, whole_folded);
	free(text);
	text = folded(m, &(struct folded_opts){ .by_weight = true });
	CHECK(strstr(text, "main;work 2000\n"));
	free(text);
	CHECK(!m->has_ledger);
	CHECK_STR(strtab_get(&m->strings, m->event), "cpu");
	CHECK_STR(strtab_get(&m->strings, m->event_unit), "nanoseconds");
	CHECK_EQ(m->samples[0].outcome, OUTCOME_BROKEN);
	CHECK_EQ(m->samples[2].outcome, OUTCOME_NO_USER);
	CHECK_EQ(m->samples[2].pid, 4321);
	for (size_t i = 0; i < m->frame_cnt; i++)
		CHECK(m->frames[i].evidence == EVID_NONE && m->frames[i].reason == REASON_UNKNOWN);
}

static void out_of_order(void)
{
	struct buf b = {};
	struct error e;
	struct model m;
	char *before, *after;
	struct buf again = {};
	uint8_t *data;
	int fd = temp_file();
	size_t len;

	whole(&b);
	CHECK_EQ(read_back(&b, &m, &e), 0);
	check_whole(&m);
	CHECK(!m.is_cut);
	/* Written again by us, it stays one of theirs, with all that it had. */
	CHECK_EQ(pprof_write(&m, fd, &e), 0);
	before = describe(&m);
	model_release(&m);
	len = file_bytes(fd, &data);
	buf_add(&again, data, len);
	CHECK_EQ(read_back(&again, &m, &e), 0);
	after = describe(&m);
	CHECK_STR(after, before);
	check_whole(&m);
	model_release(&m);
	free(before);
	free(after);
	free(data);
	close(fd);
	buf_release(&b);
	buf_release(&again);
}

static void gzip(const void *data, size_t len, struct buf *out)
{
	uint8_t room[4096];
	z_stream z = { .next_in = (Bytef *)data,
		       .avail_in = (uInt)len,
		       .next_out = room,
		       .avail_out = sizeof(room) };

	CHECK_EQ(deflateInit2(&z, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
	CHECK_EQ(deflate(&z, Z_FINISH), Z_STREAM_END);
	buf_add(out, room, z.total_out);
	deflateEnd(&z);
}

/* Members that end anywhere, also in the middle of a field; and the second of them cut. */
static void fields_across_members(void)
{
	struct buf b = {}, file = {};
	struct error e;
	struct model m;

	whole(&b);
	for (size_t at = 1; at < b.len; at++) {
		buf_reset(&file);
		gzip(b.data, at, &file);
		gzip(b.data + at, b.len - at, &file);
		CHECK_EQ(read_back(&file, &m, &e), 0);
		check_whole(&m);
		CHECK(!m.is_cut);
		model_release(&m);
		file.len -= 3;
		if (!read_back(&file, &m, &e))
			CHECK(m.is_cut); /* all that it names was in the first */
		else
			CHECK(!strncmp(e.text, "cannot read x.pb.gz: not a valid profile: ", 42));
		model_release(&m);
	}
	/* Strings first, then the tail with the last sample is gone, in the middle of it. */
	buf_reset(&b);
	strings(&b, words);
	NUMBERS(&b, TYPE, 1, 1, 2, 2);
	NUMBERS(&b, SAMPLE, 2, 5);
	NUMBERS(&b, SAMPLE, 2, 6);
	buf_reset(&file);
	gzip(b.data, b.len - 1, &file);
	gzip(b.data + b.len - 1, 1, &file);
	file.len--;
	CHECK_EQ(read_back(&file, &m, &e), 0);
	CHECK(m.is_cut);
	CHECK_EQ(m.sample_cnt, 1);
	CHECK_EQ(m.samples[0].count, 5);
	model_release(&m);
	buf_release(&b);
	buf_release(&file);
}

/* Interpreters have no addresses: what differs in its lines only must not become one. */
static void without_addresses(void)
{
	struct buf b = {};
	struct error e;
	struct model m;
	char *text;

	strings(&b, (const char *const[]){ "samples", "count", "f", "g", "h", NULL });
	NUMBERS(&b, TYPE, 1, 1, 2, 2);
	for (uint64_t i = 1; i <= 3; i++)
		NUMBERS(&b, FUNCTION, 1, i, 2, 2 + i);
	lines(&b, 1, 0, 0, (const uint64_t[][2]){ { 1, 10 }, { 2, 1 } }, 2);
	lines(&b, 2, 0, 0, (const uint64_t[][2]){ { 1, 10 }, { 3, 1 } }, 2);
	lines(&b, 3, 0, 0, (const uint64_t[][2]){ { 1, 11 } }, 1);
	lines(&b, 4, 0, 0, (const uint64_t[][2]){ { 1, 10 }, { 2, 1 } }, 2);
	for (uint64_t i = 1; i <= 4; i++)
		NUMBERS(&b, SAMPLE, 1, i, 2, i);
	CHECK_EQ(read_back(&b, &m, &e), 0);
	text = folded(&m, &(struct folded_opts){});
	CHECK_STR(text, "f 3\ng;f 5\nh;f 2\n");
	free(text);
	CHECK_EQ(m.location_cnt, 3); /* the fourth is the first */
	CHECK_EQ(m.lines[m.locations[2].first_line].line, 11);
	model_release(&m);
	buf_release(&b);
}

/* More than a first guess has room for: labels, functions at one address, frames. */
static void large_sub_messages(void)
{
	struct buf b = {}, sub = {};
	uint64_t chain[256][2];
	struct error e;
	struct model m;

	strings(&b, (const char *const[]){ "samples", "count", "f", "key", "value", NULL });
	NUMBERS(&b, TYPE, 1, 1, 2, 2);
	NUMBERS(&b, FUNCTION, 1, 1, 2, 3);
	for (size_t i = 0; i < 256; i++) {
		chain[i][0] = 1;
		chain[i][1] = i;
	}
	lines(&b, 1, 0, 0x10, chain, 256);
	for (int i = 0; i < 1500; i++)
		num(&sub, 1, 1);
	num(&sub, 2, 1);
	for (int i = 0; i < 2000; i++)
		NUMBERS(&sub, 3, 1, 4, 2, 5);
	bytes(&b, SAMPLE, sub.data, sub.len);
	CHECK_EQ(read_back(&b, &m, &e), 0);
	CHECK_STR(e.text, "");
	CHECK_EQ(m.locations[0].line_cnt, 256);
	CHECK_EQ(m.stacks[0].frame_cnt, MODEL_FRAME_MAX);
	CHECK_EQ(m.samples[0].outcome, OUTCOME_TRUNCATED);
	model_release(&m);
	buf_release(&b);
	buf_release(&sub);
}

/* The evidence of a stack of three frames: as it says, or unknown, but never refused. */
static void evidence_labels(void)
{
	static const struct {
		const char *label;
		bool is_good;
	} cases[] = {
		{ "kernel:1,timeline:1,none/garbage:1", true },
		{ "kernel:2,none/garbage:1", false },
		{ "", false },
		{ "kernel:3", false },
		{ "kernel:2", false },
		{ "kernel:4", false },
		{ "kernel:1,timeline:1,none/garbage:2", false },
		{ "kernel:1,timeline:1,none/garbage:99999999999999999999999", false },
		{ "kernel:1,timeline:1,none/garbage:18446744073709551617", false },
		{ "kernel:1,timeline:1,none/garbage:", false },
		{ "kernel:1,timeline:1,none/garbage:1x", false },
		{ "kernel:1,timeline:1,none/nothing:1", false },
		{ "kernel:1,timeline:1,none:1", false },
		{ "kernel/garbage:1,timeline:1,none/garbage:1", false },
		{ "kernel:1;timeline:1;none/garbage:1", false },
		{ "kernel:-1", false },
		{ ":3", false },
		{ "///", false },
		{ "kernel", false },
	};
	static const struct frame want[3] = { { 0, EVID_KERNEL, 0 },
					      { 0, EVID_TIMELINE, 0 },
					      { 0, EVID_NONE, REASON_GARBAGE } };

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct buf b = {};
		struct error e;
		struct model m;
		bool is_same = true;

		strings(&b, (const char *const[]){ "samples", "count", "evidence", cases[i].label,
						   "bstack: is_complete 1", NULL });
		NUMBERS(&b, TYPE, 1, 1, 2, 2);
		lines(&b, 1, 0, 0x10, NULL, 0);
		labelled(&b, (const uint64_t[]){ 1, 1, 1 }, 3, 3, 4);
		num(&b, COMMENT, 5);
		if (CHECK_EQ(read_back(&b, &m, &e), 0)) {
			CHECK(m.has_ledger && !m.is_cut && m.frame_cnt == 3);
			for (size_t k = 0; k < m.frame_cnt; k++) {
				CHECK((m.frames[k].evidence == EVID_NONE) ==
				      (m.frames[k].reason != REASON_NO));
				is_same &= m.frames[k].evidence == want[k].evidence &&
					   m.frames[k].reason == want[k].reason;
			}
			if (is_same != cases[i].is_good && strcmp(cases[i].label, "kernel:3") != 0)
				test_fail(__FILE__, __LINE__, "case %zu: \"%s\"", i,
					  cases[i].label);
		}
		model_release(&m);
		buf_release(&b);
	}
}

/* Counts whose sum, here or in a report, would wrap; and less than nothing. */
static void counts_that_overflow(void)
{
	static const struct {
		uint64_t first, second;
		const char *why; /* NULL: it is read */
	} cases[] = {
		{ INT64_MAX - 1, 1, NULL },
		{ INT64_MAX, 1, "more samples than can be counted" },
		{ 1, (uint64_t)-1, "negative values: a difference of two profiles" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct buf b = {};
		struct error e;
		struct model m;

		strings(&b, (const char *const[]){ "samples", "count", NULL });
		NUMBERS(&b, TYPE, 1, 1, 2, 2);
		NUMBERS(&b, SAMPLE, 2, cases[i].first);
		NUMBERS(&b, SAMPLE, 2, cases[i].second);
		CHECK_EQ(read_back(&b, &m, &e), cases[i].why ? -EINVAL : 0);
		if (cases[i].why)
			CHECK(strstr(e.text, cases[i].why));
		else
			CHECK_EQ(m.samples[0].count, INT64_MAX);
		model_release(&m);
		buf_release(&b);
	}
}

/* Which value is the count, whichever place it has. */
static void sample_types(void)
{
	struct buf b = {};
	struct error e;
	struct model m;

	strings(&b, words);
	NUMBERS(&b, TYPE, 1, 3, 2, 4);
	NUMBERS(&b, TYPE, 1, 1, 2, 2);
	NUMBERS(&b, TYPE, 1, 3, 2, 4);
	NUMBERS(&b, SAMPLE, 2, 100, 2, 2, 2, 300);
	CHECK_EQ(read_back(&b, &m, &e), 0);
	CHECK_EQ(m.samples[0].count, 2);
	CHECK_EQ(m.samples[0].weight, 300);
	model_release(&m);
	buf_release(&b);
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		TEST(out_of_order),      TEST(fields_across_members),
		TEST(without_addresses), TEST(large_sub_messages),
		TEST(evidence_labels),   TEST(counts_that_overflow),
		TEST(sample_types),      {},
	};

	return test_main(tests, argc, argv);
}
