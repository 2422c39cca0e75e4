/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_maker.c - the thread that makes tables: every job has its result, in order, whatever the descriptor is, and
 * nothing is left open or allocated (the sanitizer sees that) whenever it is freed.
 */
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "test.h"
#include "unwind/maker.h"

static int exe_open(void)
{
	return open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
}

static int pipe_open(void)
{
	int fds[2];

	if (pipe(fds))
		return -1;
	close(fds[1]); /* reading finds the end */
	return fds[0];
}

static int folder_open(void)
{
	return open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static int null_open(void)
{
	return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static int path_open(void)
{
	return open("/proc/self/exe", O_PATH | O_CLOEXEC); /* cannot be read */
}

static int text_open(void)
{
	return open("/proc/self/status", O_RDONLY | O_CLOEXEC);
}

static const struct {
	int (*open)(void);
	int err;
} kinds[] = {
	{ pipe_open, -ENOEXEC }, { folder_open, -ENOEXEC }, { exe_open, 0 },
	{ null_open, -ENOEXEC }, { path_open, -ENOEXEC },   { text_open, -ENOEXEC },
};

static size_t fd_cnt(void)
{
	DIR *d = opendir("/proc/self/fd");
	size_t cnt = 0;

	while (d && readdir(d))
		cnt++;
	closedir(d);
	return cnt;
}

static bool is_readable(const struct maker *m, int timeout_ms)
{
	struct pollfd p = { .fd = maker_fd(m), .events = POLLIN };

	return poll(&p, 1, timeout_ms) == 1 && p.revents & POLLIN;
}

/* job n, whose module is its number from 100 on */
static void job_add(struct maker *m, uint32_t n)
{
	int fd = kinds[n % ARRAY_SIZE(kinds)].open();

	if (CHECK(fd >= 0))
		CHECK_EQ(maker_add(m, 100 + n, fd), 0);
}

static void check_made(struct made_table *made, uint32_t n)
{
	CHECK_EQ(made->module, 100 + n);
	CHECK_EQ(made->err, kinds[n % ARRAY_SIZE(kinds)].err);
	if (!made->err) {
		CHECK(made->table.row_cnt > 1000 && made->table.page_cnt && made->cpu_ns);
		unwind_table_release(&made->table);
	}
}

static void results_in_order(void)
{
	size_t before = fd_cnt();
	struct made_table made;
	struct maker *m;

	if (!CHECK_EQ(maker_new(&m), 0))
		return;
	CHECK(maker_is_idle(m));
	CHECK(!maker_take(m, true, &made)); /* there is nothing to wait for */
	for (uint32_t i = 0; i < 20; i++)
		job_add(m, i);
	for (uint32_t i = 0; i < 10; i++)
		if (CHECK(maker_take(m, true, &made)))
			check_made(&made, i);
	for (uint32_t i = 20; i < 30; i++)
		job_add(m, i);
	for (uint32_t i = 10; i < 30; i++)
		if (CHECK(maker_take(m, true, &made)))
			check_made(&made, i);
	CHECK(maker_is_idle(m));
	CHECK(!maker_take(m, true, &made));
	CHECK(!maker_take(m, false, &made));
	maker_free(m);
	CHECK_EQ(fd_cnt(), before);
}

/* Its descriptor says when to look, and no longer than that. */
static void descriptor_tells(void)
{
	struct made_table made;
	struct maker *m;

	if (!CHECK_EQ(maker_new(&m), 0))
		return;
	CHECK(!is_readable(m, 0));
	for (uint32_t i = 0; i < 12; i++) {
		job_add(m, i);
		CHECK(is_readable(m, -1));
		if (CHECK(maker_take(m, false, &made)))
			check_made(&made, i);
		CHECK(!maker_take(m, false, &made));
		CHECK(!is_readable(m, 0));
		CHECK(maker_is_idle(m));
	}
	maker_free(m);
}

/* Polled as the loader does it: all are seen. */
static void nothing_is_missed(void)
{
	struct made_table made;
	uint32_t cnt = 0;
	struct maker *m;

	if (!CHECK_EQ(maker_new(&m), 0))
		return;
	for (uint32_t i = 0; i < 200; i++)
		CHECK_EQ(maker_add(m, 100 + 6 * i, pipe_open()), 0);
	while (cnt < 200 && CHECK(is_readable(m, -1)))
		while (maker_take(m, false, &made))
			check_made(&made, 6 * cnt++);
	CHECK_EQ(cnt, 200);
	maker_free(m);
}

static void same_as_without_a_thread(void)
{
	struct made_table made;
	struct unwind_table t;
	struct maker *m;
	int fd = exe_open();

	if (!CHECK_EQ(maker_new(&m), 0))
		return;
	CHECK_EQ(maker_add(m, 1, exe_open()), 0);
	if (CHECK_EQ(unwind_table_read(fd, &t), 0) && CHECK(maker_take(m, true, &made)) &&
	    CHECK_EQ(made.err, 0)) {
		CHECK_EQ(made.table.base, t.base);
		CHECK_EQ(made.table.rule_cnt, t.rule_cnt);
		if (CHECK_EQ(made.table.row_cnt, t.row_cnt))
			CHECK(!memcmp(made.table.rows, t.rows, t.row_cnt * sizeof(*t.rows)));
		unwind_table_release(&made.table);
		unwind_table_release(&t);
	}
	close(fd);
	maker_free(m);
}

/* With n results taken, and so many jobs and results left as there are then. */
static void freed_at_any_moment(void)
{
	size_t before = fd_cnt();

	maker_free(NULL);
	for (uint32_t n = 0; n < 14; n++) {
		struct made_table made;
		struct maker *m;

		if (!CHECK_EQ(maker_new(&m), 0))
			return;
		for (uint32_t i = 0; i < 14; i++)
			job_add(m, i);
		for (uint32_t i = 0; i < n; i++)
			if (CHECK(maker_take(m, true, &made)))
				check_made(&made, i);
		maker_free(m);
		CHECK_EQ(fd_cnt(), before);
	}
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		TEST(results_in_order),         TEST(descriptor_tells),    TEST(nothing_is_missed),
		TEST(same_as_without_a_thread), TEST(freed_at_any_moment), {},
	};

	return test_main(tests, argc, argv);
}
