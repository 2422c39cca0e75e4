/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* test_blocks.c - pieces of an array, held against one mark for each element. */
#include "unwind/blocks.h"
#include "test.h"

#define CNT 300 /* no power of two */

static uint64_t seed = 88172645463325252ULL;

static uint64_t rnd(uint64_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed % below;
}

/* How many of a class there are to take; they are given back. */
static size_t room(struct blocks *b, uint8_t size_class)
{
	struct block taken[CNT];
	size_t cnt = 0;

	while (cnt < CNT && blocks_take(b, size_class, &taken[cnt]))
		cnt++;
	for (size_t i = 0; i < cnt; i++)
		blocks_give(b, taken[i]);
	return cnt;
}

static void all_of_it(void)
{
	static const size_t rooms[] = { 300, 150, 75, 37, 18, 9, 4, 2, 1, 0 };
	struct blocks b;

	CHECK_EQ(blocks_init(&b, CNT), 0);
	for (int round = 0; round < 2; round++)
		for (uint8_t c = 0; c < ARRAY_SIZE(rooms); c++)
			CHECK_EQ(room(&b, c), rooms[c]);
	blocks_release(&b);
	CHECK_EQ(blocks_init(&b, 0), 0);
	CHECK_EQ(room(&b, 0), 0);
	blocks_release(&b);
}

/* After a time of large ones there is room for small ones, and the other way round. */
static void cut_and_joined(void)
{
	struct block large, small[8];
	struct blocks b;

	CHECK_EQ(blocks_init(&b, 8), 0);
	CHECK(blocks_take(&b, 3, &large) && !blocks_take(&b, 0, &small[0]));
	blocks_give(&b, large);
	for (size_t i = 0; i < 8; i++)
		CHECK(blocks_take(&b, 0, &small[i]));
	for (size_t i = 0; i < 8; i += 2)
		blocks_give(&b, small[i]);
	CHECK(!blocks_take(&b, 1, &large));
	for (size_t i = 1; i < 8; i += 2)
		blocks_give(&b, small[i]);
	CHECK(blocks_take(&b, 3, &large));
	CHECK_EQ(large.first, 0);
	blocks_release(&b);
}

/* No two overlap, all are in the array and in their places, and in the end all is whole again. */
static void at_random(void)
{
	struct block held[CNT];
	bool is_taken[CNT] = {};
	size_t held_cnt = 0;
	struct blocks b;

	CHECK_EQ(blocks_init(&b, CNT), 0);
	for (int i = 0; i < 200000; i++) {
		struct block *h = &held[held_cnt];

		if (rnd(2) && blocks_take(&b, (uint8_t)rnd(9), h)) {
			CHECK(h->first + (1U << h->size_class) <= CNT &&
			      !(h->first & ((1U << h->size_class) - 1)));
			for (uint32_t k = 0; k < 1U << h->size_class; k++) {
				CHECK(!is_taken[h->first + k]);
				is_taken[h->first + k] = true;
			}
			held_cnt++;
		} else if (held_cnt) {
			size_t n = rnd(held_cnt);

			for (uint32_t k = 0; k < 1U << held[n].size_class; k++)
				is_taken[held[n].first + k] = false;
			blocks_give(&b, held[n]);
			held[n] = held[--held_cnt];
		}
	}
	while (held_cnt)
		blocks_give(&b, held[--held_cnt]);
	CHECK_EQ(room(&b, 8), 1);
	CHECK_EQ(room(&b, 0), CNT);
	blocks_release(&b);
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		TEST(all_of_it),
		TEST(cut_and_joined),
		TEST(at_random),
		{},
	};

	return test_main(tests, argc, argv);
}
