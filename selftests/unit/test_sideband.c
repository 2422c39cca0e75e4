/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* test_sideband.c - the decoder of the kernel's mapping events: each type, cut, and made of nonsense. */
#include <linux/perf_event.h>
#include <sys/mman.h>

#include "collect/sideband.h"
#include "test.h"

/* A record under construction, in memory of exactly its size, so that a step beyond it is seen. */
struct record {
	uint8_t bytes[512];
	size_t len;
};

static void put(struct record *r, const void *data, size_t len)
{
	memcpy(r->bytes + r->len, data, len);
	r->len += len;
}

static void put_u32(struct record *r, uint32_t v)
{
	put(r, &v, sizeof(v));
}

static void put_u64(struct record *r, uint64_t v)
{
	put(r, &v, sizeof(v));
}

static void begin(struct record *r, uint32_t type, uint16_t misc)
{
	struct perf_event_header h = { .type = type, .misc = misc };

	r->len = 0;
	put(r, &h, sizeof(h));
}

static void end(struct record *r, uint64_t time_ns)
{
	while (r->len % 8)
		put(r, "", 1);
	put_u64(r, time_ns);
	((struct perf_event_header *)r->bytes)->size = (uint16_t)r->len;
}

static int decode(const struct record *r, size_t len, struct side_event *e)
{
	void *copy = malloc(len ? len : 1);
	int err;

	memcpy(copy, r->bytes, len);
	*e = (struct side_event){};
	err = side_decode(copy, len, e);
	if (!err && e->path)
		e->path = strlen(e->path) < 100 ? strdup(e->path) : NULL;
	free(copy);
	return err;
}

static const uint8_t some_id[20] = { 1,  2,  3,  4,  5,  6,  7,  8,  9,  10,
				     11, 12, 13, 14, 15, 16, 17, 18, 19, 20 };

static void mmap2(struct record *r, uint16_t misc, uint8_t id_sz, uint32_t prot, const char *path)
{
	uint8_t id[24] = { id_sz };

	memcpy(id + 4, some_id, 20);
	begin(r, PERF_RECORD_MMAP2, misc);
	put_u32(r, 100);
	put_u32(r, 101);
	put_u64(r, 0x7f0000001000);
	put_u64(r, 0x2000);
	put_u64(r, 0x3000);
	put(r, id, sizeof(id));
	put_u32(r, prot);
	put_u32(r, MAP_PRIVATE);
	put(r, path, strlen(path) + 1);
	end(r, 777);
}

static void mmap2_with_build_id(void)
{
	struct side_event e;
	struct record r;

	mmap2(&r, 1 << 14, 20, PROT_READ | PROT_EXEC, "/usr/lib/libx.so");
	CHECK_EQ(decode(&r, r.len, &e), 0);
	CHECK_EQ(e.kind, SIDE_MMAP);
	CHECK_EQ(e.time_ns, 777);
	CHECK_EQ(e.pid, 100);
	CHECK_EQ(e.tid, 101);
	CHECK_EQ(e.start, 0x7f0000001000);
	CHECK_EQ(e.end, 0x7f0000003000);
	CHECK_EQ(e.off, 0x3000);
	CHECK(e.is_exec);
	CHECK_EQ(e.build_id.sz, 20);
	CHECK(!memcmp(e.build_id.bytes, some_id, 20));
	CHECK_STR(e.path, "/usr/lib/libx.so");
	free((char *)e.path);
}

static void mmap2_without_build_id(void)
{
	struct side_event e;
	struct record r;

	mmap2(&r, 0, 20, PROT_READ, "//anon"); /* then the bytes are device and inode */
	CHECK_EQ(decode(&r, r.len, &e), 0);
	CHECK_EQ(e.build_id.sz, 0);
	CHECK(!e.is_exec);
	free((char *)e.path);
	mmap2(&r, 1 << 14, 200, PROT_EXEC, "/x"); /* longer than a build-id can be */
	CHECK_EQ(decode(&r, r.len, &e), 0);
	CHECK_EQ(e.build_id.sz, 0);
	free((char *)e.path);
	mmap2(&r, 1 << 14, 8, PROT_EXEC, "/x");
	CHECK_EQ(decode(&r, r.len, &e), 0);
	CHECK_EQ(e.build_id.sz, 8);
	CHECK(!memcmp(e.build_id.bytes, some_id, 8) && !e.build_id.bytes[8]);
	free((char *)e.path);
}

static void mmap2_that_lies(void)
{
	struct side_event e;
	struct record r;
	uint64_t big = UINT64_MAX - 0xfff, zero = 0;

	mmap2(&r, 0, 0, PROT_EXEC, "/x");
	memcpy(r.bytes + 8 + 8, &big, 8); /* addr + len wraps around */
	CHECK_EQ(decode(&r, r.len, &e), -EINVAL);
	mmap2(&r, 0, 0, PROT_EXEC, "/x");
	memcpy(r.bytes + 8 + 16, &zero, 8); /* nothing mapped */
	CHECK_EQ(decode(&r, r.len, &e), -EINVAL);
	mmap2(&r, 0, 0, PROT_EXEC, "/1234567");
	memset(r.bytes + 8 + 64, 'x', r.len - 8 - 8 - 64); /* a name without its NUL */
	CHECK_EQ(decode(&r, r.len, &e), -EINVAL);
}

static void task(struct record *r, uint32_t type, uint32_t pid, uint32_t ppid, uint32_t tid)
{
	begin(r, type, 0);
	put_u32(r, pid);
	put_u32(r, ppid);
	put_u32(r, tid);
	put_u32(r, ppid);
	put_u64(r, 1);
	end(r, 888);
}

static void fork_and_exit(void)
{
	struct side_event e;
	struct record r;

	task(&r, PERF_RECORD_FORK, 200, 100, 200);
	CHECK_EQ(decode(&r, r.len, &e), 0);
	CHECK_EQ(e.kind, SIDE_FORK);
	CHECK_EQ(e.pid, 200);
	CHECK_EQ(e.ppid, 100);
	CHECK_EQ(e.time_ns, 888);
	task(&r, PERF_RECORD_FORK, 200, 200, 201); /* a thread */
	CHECK_EQ(decode(&r, r.len, &e), 1);
	task(&r, PERF_RECORD_EXIT, 200, 100, 200);
	CHECK_EQ(decode(&r, r.len, &e), 0);
	CHECK_EQ(e.kind, SIDE_EXIT);
	task(&r, PERF_RECORD_EXIT, 200, 100, 201); /* not the leader */
	CHECK_EQ(decode(&r, r.len, &e), 1);
}

static void comm(struct record *r, uint16_t misc)
{
	begin(r, PERF_RECORD_COMM, misc);
	put_u32(r, 300);
	put_u32(r, 301);
	put(r, "name", 5);
	end(r, 999);
}

static void exec_is_a_comm_of_exec(void)
{
	struct side_event e;
	struct record r;

	comm(&r, 1 << 13);
	CHECK_EQ(decode(&r, r.len, &e), 0);
	CHECK_EQ(e.kind, SIDE_EXEC);
	CHECK_EQ(e.pid, 300);
	comm(&r, 0); /* prctl(PR_SET_NAME) */
	CHECK_EQ(decode(&r, r.len, &e), 1);
}

static void lost(void)
{
	struct side_event e;
	struct record r;

	begin(&r, PERF_RECORD_LOST, 0);
	put_u64(&r, 5);
	put_u64(&r, 42);
	end(&r, 1000);
	CHECK_EQ(decode(&r, r.len, &e), 0);
	CHECK_EQ(e.kind, SIDE_LOST);
	CHECK_EQ(e.lost_cnt, 42);
	begin(&r, 77, 0); /* of a later kernel */
	put_u64(&r, 5);
	end(&r, 1000);
	CHECK_EQ(decode(&r, r.len, &e), 1);
}

/* Cut everywhere, and every bit flipped: an error, or something within the record. */
static void cut_and_flipped(void)
{
	struct side_event e;
	struct record r;

	for (int kind = 0; kind < 4; kind++) {
		kind == 0   ? mmap2(&r, 1 << 14, 20, PROT_EXEC, "/usr/lib/libx.so")
		: kind == 1 ? task(&r, PERF_RECORD_FORK, 2, 1, 2)
		: kind == 2 ? comm(&r, 1 << 13)
			    : task(&r, PERF_RECORD_EXIT, 2, 1, 2);
		for (size_t len = 0; len < r.len; len++) {
			int err = decode(&r, len, &e);

			CHECK(err == -EINVAL || (len % 8 == 0 && len >= 24));
			if (!err)
				free((char *)e.path);
		}
		for (size_t bit = 0; bit < r.len * 8; bit++) {
			r.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
			if (!decode(&r, r.len, &e)) {
				CHECK(e.kind != SIDE_MMAP || e.end > e.start);
				free((char *)e.path);
			}
			r.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
	}
}

static void cpus(void)
{
	uint32_t *list;
	size_t cnt;

	if (!CHECK_EQ(cpus_online(&list, &cnt), 0))
		return;
	CHECK(cnt >= 1);
	for (size_t i = 1; i < cnt; i++)
		CHECK(list[i] > list[i - 1]);
	free(list);
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		TEST(mmap2_with_build_id),
		TEST(mmap2_without_build_id),
		TEST(mmap2_that_lies),
		TEST(fork_and_exit),
		TEST(exec_is_a_comm_of_exec),
		TEST(lost),
		TEST(cut_and_flipped),
		TEST(cpus),
		{},
	};

	return test_main(tests, argc, argv);
}
