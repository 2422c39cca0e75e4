/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* test_functions.c - a file's functions by name: those of this program, and files that have none. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "symbol/symbol.h"
#include "test.h"

__attribute__((noinline, used)) int here_it_is(int x);
int here_it_is(int x)
{
	return x + 1;
}

static int data_symbol = 1;

static struct function_at find(const struct functions *f, const char *name)
{
	struct function_at at;

	for (size_t i = 0; i < functions_cnt(f); i++) {
		at = functions_get(f, i);
		if (!strcmp(at.name, name))
			return at;
	}
	return (struct function_at){};
}

/* At the offset stand the bytes that are run. */
static void code_is_at_its_offset(void)
{
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	struct function_at at;
	struct functions *f;
	uint8_t code[8];
	uint64_t off;

	CHECK_EQ(functions_open("/proc/self/exe", &f), 0);
	at = find(f, "here_it_is");
	CHECK_STR(at.name, "here_it_is");
	CHECK(at.sz > 0 && !at.is_ifunc);
	CHECK_EQ(functions_off(f, at.vaddr, &off), 0);
	CHECK_EQ(pread(fd, code, sizeof(code), (off_t)off), sizeof(code));
	CHECK(!memcmp(code, (const void *)(uintptr_t)here_it_is, sizeof(code)));
	functions_free(f);
	close(fd);
}

static void what_is_no_code(void)
{
	struct functions *f;
	uint64_t off;

	CHECK_EQ(functions_open("/proc/self/exe", &f), 0);
	CHECK(!find(f, "data_symbol").name);
	CHECK_EQ(functions_off(f, UINT64_MAX, &off), -ENOENT);
	CHECK_EQ(functions_off(f, 0, &off), -ENOENT);
	functions_free(f);
	functions_free(NULL);
	CHECK_EQ(data_symbol, 1);
}

static void files_that_have_none(void)
{
	struct functions *f = NULL;

	CHECK_EQ(functions_open("/nowhere/at/all", &f), -ENOENT);
	CHECK_EQ(functions_open("/", &f), -EISDIR);
	CHECK_EQ(functions_open("/dev/null", &f), -EINVAL);
	CHECK_EQ(functions_open("/proc/self/maps", &f), -ENOEXEC);
	CHECK(!f);
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		TEST(code_is_at_its_offset), TEST(what_is_no_code), TEST(files_that_have_none), {}
	};

	return test_main(tests, argc, argv);
}
