/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test.h - test programs in C, reporting in KTAP. A test is a function; CHECK*
 * prints actual and expected and goes on; SKIP states its reason and returns.
 *
 *	static void adds(void) { CHECK_EQ(1 + 1, 2); }
 *	int main(int argc, char **argv) { static const struct test t[] = { TEST(adds), {} };
 *					  return test_main(t, argc, argv); }
 * argv[1], when given, chooses the tests whose names contain it.
 */
#ifndef BSTACK_SELFTEST_H
#define BSTACK_SELFTEST_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct test {
	const char *name;
	void (*run)(void);
};
#define TEST(fn)                       \
	{                              \
		.name = #fn, .run = fn \
	}

static unsigned int test_failures;
static char test_skip_reason[256];

__attribute__((format(printf, 3, 4), unused)) static void test_fail(const char *file, int line,
								    const char *fmt, ...)
{
	va_list ap;

	test_failures++;
	printf("# %s:%d: ", file, line);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
	fflush(stdout);
}

#define CHECK(cond)                                                           \
	({                                                                    \
		bool ok_ = (cond);                                            \
		if (!ok_)                                                     \
			test_fail(__FILE__, __LINE__, "not true: %s", #cond); \
		ok_;                                                          \
	})
#define CHECK_EQ(actual, expected)                                                                \
	({                                                                                        \
		long long a_ = (long long)(actual), e_ = (long long)(expected);                   \
		if (a_ != e_)                                                                     \
			test_fail(__FILE__, __LINE__,                                             \
				  "%s is %lld (0x%llx), expected %lld (0x%llx)", #actual, a_, a_, \
				  e_, e_);                                                        \
		a_ == e_;                                                                         \
	})
#define CHECK_STR(actual, expected)                                                             \
	({                                                                                      \
		const char *a_ = (actual), *e_ = (expected);                                    \
		bool ok_ = a_ && e_ && !strcmp(a_, e_);                                         \
		if (!ok_)                                                                       \
			test_fail(__FILE__, __LINE__, "%s is \"%s\", expected \"%s\"", #actual, \
				  a_ ? a_ : "(null)", e_ ? e_ : "(null)");                      \
		ok_;                                                                            \
	})
#define SKIP(...)                                                                  \
	do {                                                                       \
		snprintf(test_skip_reason, sizeof(test_skip_reason), __VA_ARGS__); \
		return;                                                            \
	} while (0)

__attribute__((unused)) static int test_main(const struct test *tests, int argc, char **argv)
{
	unsigned int cnt = 0, failed = 0;

	for (const struct test *t = tests; t->name; t++) {
		if (argc > 1 && !strstr(t->name, argv[1]))
			continue;
		test_failures = 0;
		test_skip_reason[0] = '\0';
		t->run();
		cnt++;
		failed += test_failures > 0;
		if (test_failures)
			printf("not ok %u %s\n", cnt, t->name);
		else if (test_skip_reason[0])
			printf("ok %u %s # SKIP %s\n", cnt, t->name, test_skip_reason);
		else
			printf("ok %u %s\n", cnt, t->name);
		fflush(stdout);
	}
	printf("1..%u\n", cnt);
	return failed ? 1 : 0;
}

#endif
