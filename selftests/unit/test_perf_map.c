/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* test_perf_map.c - names of JIT code from text, and from files in /tmp that must not be believed. */
#include <sys/stat.h>
#include <unistd.h>

#include "symbol/symbol.h"
#include "test.h"

static const char *jit_at(const struct perf_map *p, uint64_t addr)
{
	const char *s = perf_map_find(p, addr);

	return s ? s : "-";
}

static void perf_map_text(void)
{
	static const char text[] = "1000 100 first\n"
				   "1080 40 later wins here\n"
				   "0x2000 0x10 with prefix\n"
				   "\n"
				   "zz 10 bad\n1000 zz bad\n5000\n5000 10\n5000 10 \n5000 0 empty\n"
				   "fffffffffffffff0 10 wraps\n"
				   "ffffffffffffff00 80 high\n"
				   "12345678123456781 10 too long\n"
				   "6000 ffffffffffffffff too large\n"
				   "3000 100 old\n2f00 300 new\n"
				   "4000 10 dos\r\n"
				   "7000 10 cut of";
	struct perf_map *p = NULL;

	if (!CHECK_EQ(perf_map_parse(text, sizeof(text) - 1, &p), 0))
		return;
	CHECK_STR(jit_at(p, 0xfff), "-");
	CHECK_STR(jit_at(p, 0x1000), "first");
	CHECK_STR(jit_at(p, 0x107f), "first");
	CHECK_STR(jit_at(p, 0x1080), "later wins here");
	CHECK_STR(jit_at(p, 0x10bf), "later wins here");
	CHECK_STR(jit_at(p, 0x10c0), "first");
	CHECK_STR(jit_at(p, 0x10ff), "first");
	CHECK_STR(jit_at(p, 0x1100), "-");
	CHECK_STR(jit_at(p, 0x200f), "with prefix");
	CHECK_STR(jit_at(p, 0x2010), "-");
	CHECK_STR(jit_at(p, 0x3050), "new");
	CHECK_STR(jit_at(p, 0x31ff), "new");
	CHECK_STR(jit_at(p, 0x3200), "-");
	CHECK_STR(jit_at(p, 0x4000), "dos");
	CHECK_STR(jit_at(p, 0x5000), "-");
	CHECK_STR(jit_at(p, 0x6000), "-");
	CHECK_STR(jit_at(p, 0x7000), "-"); /* half a line is half a name */
	CHECK_STR(jit_at(p, 0xffffffffffffff7f), "high");
	CHECK_STR(jit_at(p, 0xfffffffffffffff8), "-");
	perf_map_free(p);
	p = NULL;
	if (CHECK_EQ(perf_map_parse("", 0, &p), 0))
		CHECK_STR(jit_at(p, 0), "-");
	perf_map_free(p);
	perf_map_free(NULL);
}

/* Overlaps in every order, against a plain array that each line paints over. */
static void perf_map_overlaps(void)
{
	static uint16_t owner[4096];
	struct buf b = {};
	struct perf_map *p;
	uint32_t seed = 12345;

	memset(owner, 0, sizeof(owner));
	for (uint16_t i = 1; i <= 600; i++) {
		uint32_t start, len;

		seed = seed * 1664525 + 1013904223;
		start = seed >> 20;
		seed = seed * 1664525 + 1013904223;
		len = 1 + (seed >> 24) % 200;
		for (uint32_t a = start; a < start + len && a < ARRAY_SIZE(owner); a++)
			owner[a] = i;
		buf_printf(&b, "%x %x n%u\n", start, len, i);
	}
	if (CHECK_EQ(perf_map_parse(b.data, b.len, &p), 0)) {
		for (uint32_t a = 0; a < ARRAY_SIZE(owner); a++) {
			char want[16] = "-";

			if (owner[a])
				snprintf(want, sizeof(want), "n%u", owner[a]);
			if (!CHECK_STR(jit_at(p, a), want))
				break;
		}
		perf_map_free(p);
	}
	buf_release(&b);
}

static void perf_map_files(void)
{
	struct perf_map *p = NULL;
	struct error e = {};
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/tmp/perf-%d.map", (int)getpid());
	unlink(path);
	CHECK_EQ(perf_map_open(getpid(), &p, &e), -ENOENT);
	f = fopen(path, "w");
	if (!CHECK(f))
		return;
	fputs("1000 10 jitted\n", f);
	fclose(f);
	if (CHECK_EQ(perf_map_open(getpid(), &p, &e), 0)) {
		CHECK_STR(jit_at(p, 0x1008), "jitted");
		perf_map_free(p);
	}
	if (!geteuid()) {
		CHECK(!chown(path, 12345, 12345));
		CHECK_EQ(perf_map_open(getpid(), &p, &e), -EPERM);
		CHECK(strstr(e.text, path));
	}
	unlink(path);
	CHECK(!symlink("/etc/passwd", path));
	CHECK_EQ(perf_map_open(getpid(), &p, &e), -ELOOP);
	unlink(path);
	CHECK(!mkfifo(path, 0600));
	CHECK_EQ(perf_map_open(getpid(), &p, &e), -EINVAL);
	unlink(path);
	CHECK(!mkdir(path, 0700));
	CHECK_EQ(perf_map_open(getpid(), &p, &e), -EISDIR);
	rmdir(path);
	CHECK(perf_map_open(0x7ffffffe, &p, &e) < 0);
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		TEST(perf_map_text), TEST(perf_map_overlaps), TEST(perf_map_files), {}
	};

	return test_main(tests, argc, argv);
}
