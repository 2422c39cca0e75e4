/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* test_base.c - the ground under everything: numbers, build-ids, buffers, tables, errors, files. */
#include <fcntl.h>
#include <math.h>
#include <unistd.h>

#include "base/base.h"
#include "base/evidence.h"
#include "test.h"

/* result of parse_u64 as text: the value, or the name of the error; ret must stay untouched then */
static const char *u64_text(const char *s, uint64_t min, uint64_t max)
{
	static char text[32];
	uint64_t v = 0x5a5a;
	int err = parse_u64(s, min, max, &v);

	if (!err)
		snprintf(text, sizeof(text), "%llu", (unsigned long long)v);
	else
		snprintf(text, sizeof(text), "%s%s",
			 err == -EINVAL   ? "EINVAL"
			 : err == -ERANGE ? "ERANGE"
					  : "?",
			 v == 0x5a5a ? "" : " and written");
	return text;
}

static void parse_u64_edges(void)
{
	static const struct {
		const char *text;
		uint64_t min, max;
		const char *expected;
	} rows[] = {
		{ "0", 0, UINT64_MAX, "0" },
		{ "007", 0, 7, "7" },
		{ "010", 0, 100, "10" },
		{ "0x10", 0, 100, "16" },
		{ "0XfF", 0, 255, "255" },
		{ "18446744073709551615", 0, UINT64_MAX, "18446744073709551615" },
		{ "0xffffffffffffffff", 0, UINT64_MAX, "18446744073709551615" },
		{ "18446744073709551616", 0, UINT64_MAX, "ERANGE" },
		{ "0x10000000000000000", 0, UINT64_MAX, "ERANGE" },
		{ "99999999999999999999999999", 0, UINT64_MAX, "ERANGE" },
		{ "5", 6, 9, "ERANGE" },
		{ "10", 6, 9, "ERANGE" },
		{ "6", 6, 9, "6" },
		{ "9", 6, 9, "9" },
		{ "", 0, 9, "EINVAL" },
		{ " 1", 0, 9, "EINVAL" },
		{ "1 ", 0, 9, "EINVAL" },
		{ "\t1", 0, 9, "EINVAL" },
		{ "+1", 0, 9, "EINVAL" },
		{ "-1", 0, UINT64_MAX, "EINVAL" },
		{ "-0", 0, 9, "EINVAL" },
		{ "0x", 0, 9, "EINVAL" },
		{ "0x-1", 0, UINT64_MAX, "EINVAL" },
		{ "0x 1", 0, 9, "EINVAL" },
		{ "0xg", 0, 9, "EINVAL" },
		{ "x10", 0, 99, "EINVAL" },
		{ "1a", 0, 99, "EINVAL" },
		{ "1.0", 0, 99, "EINVAL" },
		{ "1e3", 0, 9999, "EINVAL" },
		{ "1\n", 0, 9, "EINVAL" },
		{ "99999999999999999999999999z", 0, 9, "EINVAL" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (!CHECK_STR(u64_text(rows[i].text, rows[i].min, rows[i].max), rows[i].expected))
			printf("# of \"%s\"\n", rows[i].text);
}

static void parse_double_edges(void)
{
	static const struct {
		const char *text;
		int err;
		double v;
	} rows[] = {
		{ "0", 0, 0 },
		{ "0.5", 0, 0.5 },
		{ ".5", 0, 0.5 },
		{ "5.", 0, 5 },
		{ "1000", 0, 1000 },
		{ "1000.1", -ERANGE, 0 },
		{ "00.25", 0, 0.25 },
		{ "", -EINVAL, 0 },
		{ ".", -EINVAL, 0 },
		{ "1.2.3", -EINVAL, 0 },
		{ "-1", -EINVAL, 0 },
		{ "+1", -EINVAL, 0 },
		{ " 1", -EINVAL, 0 },
		{ "1 ", -EINVAL, 0 },
		{ "1e2", -EINVAL, 0 },
		{ "0x10", -EINVAL, 0 },
		{ "inf", -EINVAL, 0 },
		{ "nan", -EINVAL, 0 },
		{ "infinity", -EINVAL, 0 },
		{ "1,5", -EINVAL, 0 },
		{ "..", -EINVAL, 0 },
	};
	char nines[500];
	double v;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		v = 77;
		if (!CHECK_EQ(parse_double(rows[i].text, 0, 1000, &v), rows[i].err) ||
		    !CHECK(v == (rows[i].err ? 77 : rows[i].v)))
			printf("# of \"%s\"\n", rows[i].text);
	}
	memset(nines, '9', sizeof(nines)); /* beyond every double */
	nines[sizeof(nines) - 1] = '\0';
	CHECK_EQ(parse_double(nines, 0, 1e300, &v), -ERANGE);
	CHECK_EQ(parse_double("0.4", 0.5, 1, &v), -ERANGE);
	CHECK_EQ(parse_double("0.5", 0.5, 1, &v), 0);
}

static void build_id_round_trip(void)
{
	for (size_t sz = 1; sz <= BUILD_ID_MAX; sz++) {
		struct build_id id = { .sz = (uint8_t)sz }, back = {};
		char hex[BUILD_ID_HEX_SZ], upper[BUILD_ID_HEX_SZ];

		for (size_t i = 0; i < sz; i++)
			id.bytes[i] = (uint8_t)(0xf1 * (i + sz));
		CHECK(build_id_hex(&id, hex) == hex);
		CHECK_EQ(strlen(hex), 2 * sz);
		for (size_t i = 0; i <= 2 * sz; i++)
			upper[i] = hex[i] >= 'a' && hex[i] <= 'f' ? (char)(hex[i] - 32) : hex[i];
		CHECK_EQ(build_id_parse(hex, &back), 0);
		CHECK(!memcmp(&id, &back, sizeof(id)));
		CHECK(build_id_eq(&id, &back));
		CHECK_EQ(build_id_hash(&id), build_id_hash(&back));
		memset(&back, 0xee, sizeof(back));
		CHECK_EQ(build_id_parse(upper, &back), 0);
		CHECK(!memcmp(&id, &back, sizeof(id))); /* zero beyond sz, too */
		back.bytes[sz - 1] ^= 1;
		CHECK(!build_id_eq(&id, &back));
		CHECK(!build_id_same_bytes(&id, &back));
	}
}

static void build_id_bad(void)
{
	static const char *const bad[] = { "",
					   "0",
					   "abc",
					   "gg",
					   "0x12",
					   " 12",
					   "12 ",
					   "-1",
					   "1\xff",
					   "0000000000000000000000000000000000000000"
					   "00",
					   "0000000000000000000000000000000000000000"
					   "0" };
	struct build_id id = { .sz = 3 }, none = {}, a, b;
	char hex[BUILD_ID_HEX_SZ] = "x";

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (!CHECK_EQ(build_id_parse(bad[i], &id), -EINVAL) || !CHECK_EQ(id.sz, 3))
			printf("# of \"%s\"\n", bad[i]);
	CHECK_STR(build_id_hex(&none, hex), "");
	CHECK_EQ(build_id_parse("ab00", &a), 0);
	CHECK_EQ(build_id_parse("ab", &b), 0);
	CHECK(!build_id_eq(&a, &b));
	CHECK(build_id_same_bytes(&a, &b));
	CHECK_EQ(build_id_parse("00ab", &b), 0);
	CHECK(!build_id_same_bytes(&a, &b));
	a.sz = 255; /* never made, but never a reason to run over */
	build_id_hex(&a, hex);
	CHECK_EQ(strlen(hex), 40);
}

static void buf_grows_and_stops(void)
{
	struct buf b = { .max = 100 };

	CHECK(!b.data);
	buf_add(&b, NULL, 0);
	CHECK_EQ(b.len, 0);
	buf_str(&b, "abc");
	buf_char(&b, '-');
	buf_printf(&b, "%d/%s", 42, "x");
	CHECK_STR(b.data, "abc-42/x");
	CHECK_EQ(b.len, 8);
	for (int i = 0; i < 92; i++)
		buf_char(&b, 'z');
	CHECK_EQ(b.err, 0);
	CHECK_EQ(b.len, 100); /* max is the length, the NUL comes on top */
	CHECK_EQ(b.data[100], '\0');
	buf_char(&b, 'z');
	CHECK_EQ(b.err, -E2BIG);
	buf_str(&b, "");
	buf_printf(&b, "%s", "more");
	CHECK_EQ(b.len, 100);
	CHECK_EQ(b.err, -E2BIG);
	buf_reset(&b);
	CHECK_EQ(b.err, 0);
	CHECK_EQ(b.len, 0);
	CHECK_STR(b.data, "");
	buf_printf(&b, "%0100d", 7);
	CHECK_EQ(b.len, 100);
	buf_reset(&b);
	buf_printf(&b, "%0101d", 7);
	CHECK_EQ(b.err, -E2BIG);
	CHECK_EQ(b.len, 0);
	buf_release(&b);
	CHECK(!b.data && !b.len && !b.cap && b.max == 100);
	buf_add(&b, "a\0b", 3); /* any byte */
	CHECK_EQ(b.len, 3);
	CHECK(!memcmp(b.data, "a\0b", 4));
	buf_release(&b);
	buf_release(&b);
	buf_add(&b, "x", SIZE_MAX); /* refused before it is read */
	CHECK_EQ(b.err, -E2BIG);
	CHECK(!b.data);
}

static void array_reserve_limits(void)
{
	uint32_t *a = NULL, *old;
	size_t cap = 0, grown;

	CHECK_EQ(array_reserve(&a, &cap, 0, sizeof(*a), 0), 0);
	CHECK(!a && !cap);
	CHECK_EQ(array_reserve(&a, &cap, 1, sizeof(*a), 1000), 0);
	CHECK_EQ(cap, 16);
	memset(a, 1, cap * sizeof(*a));
	CHECK_EQ(array_reserve(&a, &cap, 17, sizeof(*a), 1000), 0);
	CHECK_EQ(cap, 24);
	CHECK_EQ(a[15], 0x01010101);
	CHECK_EQ(array_reserve(&a, &cap, 900, sizeof(*a), 1000), 0);
	CHECK_EQ(cap, 900);
	CHECK_EQ(array_reserve(&a, &cap, 901, sizeof(*a), 1000), 0);
	CHECK_EQ(cap, 1000); /* by half would be beyond the maximum */
	a[999] = 9;
	old = a;
	grown = cap;
	CHECK_EQ(array_reserve(&a, &cap, 1001, sizeof(*a), 1000), -E2BIG);
	CHECK_EQ(array_reserve(&a, &cap, SIZE_MAX, sizeof(*a), SIZE_MAX), -E2BIG);
	CHECK_EQ(array_reserve(&a, &cap, SIZE_MAX / 4 + 1, sizeof(*a), SIZE_MAX), -E2BIG);
	CHECK(a == old && cap == grown && a[999] == 9);
	CHECK_EQ(array_reserve(&a, &cap, 1000, sizeof(*a), 10), 0); /* there is room already */
	free(a);
}

static size_t count_of(const struct hmap *h, uint64_t hash, uint32_t *sum)
{
	struct hmap_iter it;
	size_t cnt = 0;

	*sum = 0;
	for (uint32_t v = hmap_first(h, hash, &it); v != HMAP_NONE; v = hmap_next(h, &it)) {
		cnt++;
		*sum += v;
	}
	return cnt;
}

static void hmap_collisions(void)
{
	struct hmap h = {};
	uint32_t sum;

	CHECK_EQ(count_of(&h, 0, &sum), 0);
	/* One hash a thousand times, and neighbours that fall into the same slots. */
	for (uint32_t i = 0; i < 1000; i++) {
		CHECK_EQ(hmap_add(&h, 7, i), 0);
		CHECK_EQ(hmap_add(&h, 7 + ((uint64_t)i << 40), 100000 + i), 0);
	}
	CHECK_EQ(h.cnt, 2000);
	CHECK(4 * h.cnt <= 3 * h.cap && !(h.cap & (h.cap - 1)));
	CHECK_EQ(count_of(&h, 7, &sum), 1001);
	CHECK_EQ(sum, 999 * 500 + 100000);
	for (uint64_t i = 1; i < 1000; i++)
		if (!CHECK_EQ(count_of(&h, 7 + (i << 40), &sum), 1) || !CHECK_EQ(sum, 100000 + i))
			break;
	CHECK_EQ(count_of(&h, 7 + (1000ULL << 40), &sum), 0);
	CHECK_EQ(count_of(&h, UINT64_MAX, &sum), 0);
	CHECK_EQ(hmap_add(&h, UINT64_MAX, 5), 0); /* probes around the end */
	CHECK_EQ(hmap_add(&h, UINT64_MAX, 6), 0);
	CHECK_EQ(count_of(&h, UINT64_MAX, &sum), 2);
	CHECK_EQ(sum, 11);
	hmap_release(&h);
	CHECK(!h.cap && !h.cnt);
	hmap_release(&h);
}

static void strtab_interns(void)
{
	struct strtab t;
	uint32_t id, again;
	char text[32];
	const char *first;

	CHECK_EQ(strtab_init(&t), 0);
	CHECK_EQ(t.cnt, 1);
	CHECK_STR(strtab_get(&t, 0), "");
	CHECK_EQ(strtab_add(&t, "", &id), 0);
	CHECK_EQ(id, 0);
	CHECK_EQ(strtab_add(&t, "one", &id), 0);
	CHECK_EQ(id, 1);
	first = strtab_get(&t, 1);
	CHECK_EQ(strtab_addn(&t, "one more", 3, &again), 0);
	CHECK_EQ(again, 1);
	CHECK_EQ(strtab_addn(&t, "one more", 4, &again), 0);
	CHECK_EQ(again, 2);
	CHECK_STR(strtab_get(&t, 2), "one ");
	CHECK_EQ(strtab_addn(&t, "on", 2, &again), 0); /* a prefix is another string */
	CHECK_EQ(again, 3);
	CHECK_EQ(strtab_addn(&t, "zzz", 0, &again), 0);
	CHECK_EQ(again, 0);
	for (int i = 0; i < 20000; i++) {
		snprintf(text, sizeof(text), "string \xff\n; %d", i);
		CHECK_EQ(strtab_add(&t, text, &id), 0);
		CHECK_EQ(id, 4 + i);
	}
	for (int i = 0; i < 20000; i++) {
		snprintf(text, sizeof(text), "string \xff\n; %d", i);
		if (!CHECK_EQ(strtab_add(&t, text, &id), 0) || !CHECK_EQ(id, 4 + i) ||
		    !CHECK_STR(strtab_get(&t, id), text))
			break;
	}
	CHECK_EQ(t.cnt, 20004);
	CHECK(strtab_get(&t, 1) == first); /* pointers stay */
	CHECK_STR(strtab_get(&t, 20004), "");
	CHECK_STR(strtab_get(&t, UINT32_MAX), "");
	strtab_release(&t);
	strtab_release(&t);
}

static void errors_tell_their_story(void)
{
	struct error e = { .advice = "old" };
	char longer[2000];

	CHECK_EQ(error_set(&e, EINVAL, "cannot %s %d", "do", 7), -EINVAL);
	CHECK_STR(e.text, "cannot do 7");
	CHECK_STR(e.advice, "");
	error_advise(&e, "try %s", "again");
	CHECK_STR(e.advice, "try again");
	CHECK_EQ(error_errno(&e, ENOENT, "cannot open %s", "x"), -ENOENT);
	CHECK_STR(e.text, "cannot open x: No such file or directory");
	CHECK_STR(e.advice, "");
	CHECK_EQ(error_set(NULL, EIO, "x"), -EIO);
	CHECK_EQ(error_errno(NULL, EIO, "x"), -EIO);
	error_advise(NULL, "x");
	memset(longer, 'y', sizeof(longer));
	longer[sizeof(longer) - 1] = '\0';
	CHECK_EQ(error_errno(&e, ENOENT, "%s", longer), -ENOENT);
	CHECK_EQ(strlen(e.text), sizeof(e.text) - 1);
	error_advise(&e, "%s", longer);
	CHECK_EQ(strlen(e.advice), sizeof(e.advice) - 1);
}

/* A file of len bytes, at its beginning. */
static int file_of(size_t len)
{
	char path[] = "/tmp/bstack-test-base-XXXXXX";
	int fd = mkstemp(path);
	char *data = malloc(len + 1);

	if (fd < 0 || !data)
		abort();
	unlink(path);
	for (size_t i = 0; i < len; i++)
		data[i] = (char)(i * 31);
	CHECK_EQ(write_all(fd, data, len), 0);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), len);
	lseek(fd, 0, SEEK_SET);
	free(data);
	return fd;
}

static void read_all_limits(void)
{
	static const size_t sizes[] = { 0, 1, 65535, 65536, 65537, 200000 };

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct buf b = {};
		size_t sz = sizes[i], wrong = 0;
		int fd = file_of(sz);

		CHECK_EQ(read_all(fd, &b, sz), 0); /* exactly the maximum */
		CHECK_EQ(b.len, sz);
		CHECK(b.data && !b.data[b.len]);
		for (size_t k = 0; k < b.len; k++)
			wrong += b.data[k] != (char)(k * 31);
		CHECK_EQ(wrong, 0);
		CHECK_EQ(read_all(fd, &b, sz), 0); /* at the end: nothing more */
		CHECK_EQ(b.len, sz);
		buf_reset(&b);
		lseek(fd, 0, SEEK_SET);
		if (sz)
			CHECK_EQ(read_all(fd, &b, sz - 1), -EFBIG);
		buf_release(&b);
		close(fd);
	}
}

static void read_all_small_buffer(void)
{
	struct buf b = { .max = 70000 };
	int fd = file_of(100);

	/* The buffer holds far more than the file and the limit: no reason to refuse. */
	buf_str(&b, "head:");
	CHECK_EQ(read_all(fd, &b, 1000), 0);
	CHECK_EQ(b.len, 105);
	CHECK(!memcmp(b.data, "head:\0\x1f", 7));
	buf_release(&b);
	close(fd);
}

static void read_and_write_errors(void)
{
	struct buf b = {};
	int fds[2], dir = open("/", O_RDONLY);

	CHECK_EQ(read_all(-1, &b, 10), -EBADF);
	CHECK_EQ(read_all(dir, &b, 10), -EISDIR);
	CHECK_EQ(b.len, 0);
	CHECK_EQ(write_all(dir, "x", 1), -EBADF);
	CHECK_EQ(write_all(dir, "x", 0), 0);
	close(dir);
	CHECK_EQ(pipe(fds), 0);
	CHECK_EQ(write_all(fds[1], "hello", 5), 0);
	close(fds[1]);
	CHECK_EQ(read_all(fds[0], &b, 5), 0); /* a pipe, to its end */
	CHECK_STR(b.data, "hello");
	close(fds[0]);
	buf_release(&b);
	fds[0] = open("/dev/full", O_WRONLY);
	CHECK_EQ(write_all(fds[0], "x", 1), -ENOSPC);
	close(fds[0]);
}

static void hashes_are_the_same_everywhere(void)
{
	char text[64] = "The same bytes, at any address, give the same hash: 0123456789";
	char moved[80];
	uint64_t seen[64];

	for (size_t len = 0; len < 64; len++) {
		seen[len] = hash_bytes(text, len, 0);
		for (size_t at = 0; at < 8; at++) {
			memcpy(moved + at, text, len);
			CHECK_EQ(hash_bytes(moved + at, len, 0), seen[len]);
		}
		for (size_t k = 0; k < len; k++)
			CHECK(seen[k] != seen[len]);
		CHECK(hash_bytes(text, len, 1) != seen[len]);
	}
	for (size_t bit = 0; bit < 8 * 20; bit++) { /* each bit counts */
		memcpy(moved, text, 20);
		moved[bit / 8] ^= (char)(1 << bit % 8);
		CHECK(hash_bytes(moved, 20, 0) != seen[20]);
	}
	/* Tables are kept within one run, so these may change; a change should be meant. */
	CHECK_EQ(hash_u64(0), 0);
	CHECK(hash_u64(1) != hash_u64(2));
	CHECK_EQ(hash_bytes("", 0, 0), hash_u64(0));
	CHECK(hash_bytes("\0", 1, 0) != hash_bytes("", 0, 0));
	CHECK(hash_bytes("\0\0", 2, 0) != hash_bytes("\0", 1, 0));
}

static void clocks(void)
{
	uint64_t a = clock_mono_ns(), b = clock_mono_ns();

	CHECK(a && b >= a);
	CHECK(clock_real_ns() > 1600000000ULL * NSEC_PER_SEC);
}

static void cleanup_attributes(void)
{
	int fds[2];

	CHECK_EQ(pipe(fds), 0);
	{
		char *p CLEANUP(cleanup_free) = strdup("freed, or the leak checker says so");
		char *none CLEANUP(cleanup_free) = NULL;
		int fd CLEANUP(cleanup_close) = fds[0];
		int never CLEANUP(cleanup_close) = -1;
		FILE *f CLEANUP(cleanup_fclose) = fdopen(fds[1], "w");
		FILE *no CLEANUP(cleanup_fclose) = NULL;

		CHECK(p && !none && fd >= 0 && never < 0 && f && !no);
	}
	CHECK_EQ(fcntl(fds[0], F_GETFD), -1);
	CHECK_EQ(fcntl(fds[1], F_GETFD), -1);
}

static void check_terms(const struct term *terms, size_t cnt)
{
	for (size_t i = 0; i < cnt; i++) {
		CHECK(terms[i].key && terms[i].text && terms[i].text[0]);
		CHECK_EQ(term_find(terms, cnt, terms[i].key, strlen(terms[i].key)), i); /* unique */
		CHECK_EQ(term_find(terms, cnt, terms[i].key, strlen(terms[i].key) + 1), -1);
	}
	CHECK_EQ(term_find(terms, cnt, "nothing such", 12), -1);
	CHECK_EQ(term_find(terms, 0, "kernel", 6), -1);
}

static void vocabulary(void)
{
	check_terms(evidence_terms, EVID_CNT);
	check_terms(reason_terms, REASON_CNT);
	check_terms(cause_terms, CAUSE_CNT);
	check_terms(frame_fallback_terms, FFB_CNT);
	check_terms(outcome_terms, OUTCOME_CNT);
	/* Keys stand in files: these never change. */
	CHECK_EQ(term_find(evidence_terms, EVID_CNT, "timeline and more", 8), EVID_TIMELINE);
	CHECK_STR(evidence_terms[EVID_KERNEL].key, "kernel");
	CHECK_STR(evidence_terms[EVID_QUERY].key, "query");
	CHECK_STR(reason_terms[REASON_GONE].key, "process-gone");
	CHECK_STR(cause_terms[CAUSE_SLOT_BUSY].key, "slot-busy");
	CHECK_STR(frame_fallback_terms[FFB_BAD_OFFSET].key, "bad-offset");
	CHECK_STR(outcome_terms[OUTCOME_ROOTED].key, "rooted");
}

/* Slots are given out again, a removed pid is not found, and churn does not make the table grow. */
static void pid_tables(void)
{
	struct pid_table t = {};
	uint32_t slot, other;

	CHECK_EQ(pid_table_find(&t, 7), HMAP_NONE);
	CHECK_EQ(pid_table_add(&t, 7, 2, &slot), 0);
	CHECK_EQ(pid_table_add(&t, 8, 2, &other), 0);
	CHECK(slot != other);
	CHECK_EQ(pid_table_find(&t, 7), slot);
	CHECK_EQ(pid_table_add(&t, 9, 2, &other), -E2BIG);
	pid_table_remove(&t, slot);
	CHECK_EQ(pid_table_find(&t, 7), HMAP_NONE);
	CHECK_EQ(pid_table_add(&t, 9, 2, &other), 0);
	CHECK_EQ(other, slot);
	CHECK_EQ(pid_table_find(&t, 9), slot);
	for (uint32_t pid = 10; pid < 100000; pid++) {
		pid_table_remove(&t, pid_table_find(&t, pid - 1));
		CHECK_EQ(pid_table_add(&t, pid, 2, &other), 0);
		CHECK_EQ(pid_table_find(&t, pid), other);
	}
	CHECK_EQ(t.cnt, 2);
	CHECK(t.map.cap <= 4096);
	CHECK(pid_table_find(&t, 8) != HMAP_NONE);
	pid_table_release(&t);
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		TEST(parse_u64_edges),
		TEST(parse_double_edges),
		TEST(build_id_round_trip),
		TEST(build_id_bad),
		TEST(buf_grows_and_stops),
		TEST(array_reserve_limits),
		TEST(hmap_collisions),
		TEST(strtab_interns),
		TEST(errors_tell_their_story),
		TEST(read_all_limits),
		TEST(read_all_small_buffer),
		TEST(read_and_write_errors),
		TEST(hashes_are_the_same_everywhere),
		TEST(clocks),
		TEST(cleanup_attributes),
		TEST(vocabulary),
		TEST(pid_tables),
		{},
	};

	return test_main(tests, argc, argv);
}
