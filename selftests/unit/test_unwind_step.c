/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_unwind_step.c - the stepping that BPF does (bpf/unwind.h), on the host: our own stack against the one that
 * libgcc finds, and tables and stacks of nonsense.
 */
#include <alloca.h>
#include <execinfo.h>
#include <fcntl.h>
#include <link.h>
#include <ucontext.h>
#include <unistd.h>

#include "test.h"
#include "unwind/table.h"

/* What the steps look things up in: every index is checked, so that one outside is seen. */
static struct {
	const struct bstack_row *rows;
	const struct bstack_page *pages;
	const struct bstack_rule *rules;
	const struct bstack_module *modules;
	const struct bstack_mapping *mappings;
	size_t row_cnt, page_cnt, rule_cnt, module_cnt, mapping_cnt;
	int (*read)(uint64_t addr, uint64_t *ret);
	size_t look_ups;
} host;

#define LOOKUP(what, i)           (host.look_ups++, (size_t)(i) < host.what##_cnt ? &host.what##s[i] : NULL)
#define UNWIND_ROW(i)             LOOKUP(row, i)
#define UNWIND_PAGE(i)            LOOKUP(page, i)
#define UNWIND_RULE(i)            LOOKUP(rule, i)
#define UNWIND_MODULE(i)          LOOKUP(module, i)
#define UNWIND_MAPPING(i)         LOOKUP(mapping, i)
#define UNWIND_READ(addr, p)      host_read(addr, p)
#define UNWIND_READ_PAIR(addr, p) (host_read(addr, p) || host_read((addr) + 8, (p) + 1))

static int host_read(uint64_t addr, __u64 *ret)
{
	uint64_t v;

	if (host.read(addr, &v))
		return -1;
	*ret = v;
	return 0;
}

#include "bpf/unwind.h"

static uint64_t seed = 2463534242;
static uint64_t rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	return seed ^= seed << 17;
}

static int read_nonsense(uint64_t addr, uint64_t *ret)
{
	*ret = rnd() % 3 ? rnd() % 0x20000 : rnd();
	return addr % 11 == 0 ? -1 : 0;
}

/* Whatever stands in the arrays: each step ends within the bounds of its searches. */
static void nonsense(void)
{
	static struct bstack_row rows[64];
	static struct bstack_page pages[32];
	static struct bstack_rule rules[16];
	static struct bstack_module modules[4];
	static struct bstack_mapping mappings[8];
	size_t made = 0;

	for (int round = 0; round < 200000; round++) {
		struct bstack_process p = { .first = (uint32_t)(rnd() % 10),
					    .cnt = (uint32_t)(rnd() % 12) };
		struct unwind_state s = { .ip = rnd() % 0x20000, .sp = rnd() % 0x20000 };
		struct bstack_step step;

		if (round % 50 == 0) {
			for (size_t i = 0; i < sizeof(rows); i++)
				((uint8_t *)rows)[i] = (uint8_t)rnd();
			for (size_t i = 0; i < sizeof(rules); i++)
				((uint8_t *)rules)[i] = (uint8_t)rnd();
			for (size_t i = 0; i < 16; i++)
				rules[i].cfa %= 10;
			for (size_t i = 0; i < 64; i++)
				rows[i] = (struct bstack_row){ (uint32_t)(rnd() % 0x20000),
							       (uint16_t)(rnd() % 20), 0 };
			for (size_t i = 0; i < 4; i++)
				modules[i] = (struct bstack_module){
					.first_row = (uint32_t)(rnd() % 70),
					.row_cnt = (uint32_t)(rnd() % 80),
					.first_rule = (uint32_t)(rnd() % 20),
					.rule_cnt = (uint32_t)(rnd() % 20),
					.page_cnt = (uint32_t)(rnd() % 40),
					.page_shift = (uint32_t)(rnd() % 40),
					.instead = (uint32_t)(0 - rnd() % 4),
				};
			for (size_t i = 0; i < 32; i++)
				pages[i] = (struct bstack_page){ (uint32_t)(rnd() % 80),
								 (uint32_t)(rnd() % 80) };
			for (size_t i = 0; i < 8; i++)
				mappings[i] =
					(struct bstack_mapping){ rnd() % 0x10000, rnd() % 0x20000,
								 rnd() % 0x1000,
								 (uint32_t)(rnd() % 6) - 1, 0 };
		}
		host.rows = rows;
		host.pages = pages;
		host.page_cnt = 32;
		host.rules = rules;
		host.modules = modules;
		host.mappings = mappings;
		host.row_cnt = 64;
		host.rule_cnt = 16;
		host.module_cnt = 4;
		host.mapping_cnt = 8;
		host.read = read_nonsense;
		for (int i = 0; i < BSTACK_FRAMES; i++) {
			int end;

			host.look_ups = 0;
			end = unwind_step(&p, &s, &step);
			if (host.look_ups > UNWIND_MAPPING_MAX + UNWIND_SEARCH_MAX + 7)
				test_fail(__FILE__, __LINE__, "%zu look-ups in one step",
					  host.look_ups);
			made++;
			if (end) {
				CHECK(end >= BSTACK_END_ROOT && end <= BSTACK_END_FP_LOST);
				break;
			}
		}
	}
	CHECK(made > 200000);
}

#if defined(__x86_64__)
/* Our own process: the executable and the C library, as they are mapped. */
#define OBJECTS_MAX 32

struct own {
	struct unwind_table tables[OBJECTS_MAX];
	struct bstack_module modules[OBJECTS_MAX];
	struct bstack_mapping mappings[OBJECTS_MAX];
	struct bstack_row *rows;
	struct bstack_page *pages;
	struct bstack_rule *rules;
	size_t cnt, row_cnt, rule_cnt;
};

static int object_add(struct dl_phdr_info *info, size_t sz, void *ctx)
{
	const char *path = info->dlpi_name[0] ? info->dlpi_name : "/proc/self/exe";
	struct own *o = ctx;
	int fd = open(path, O_RDONLY);

	(void)sz;
	for (int i = 0; i < info->dlpi_phnum && fd >= 0 && o->cnt < OBJECTS_MAX; i++) {
		const ElfW(Phdr) *ph = &info->dlpi_phdr[i];

		if (ph->p_type != PT_LOAD || !(ph->p_flags & PF_X) ||
		    unwind_table_read(fd, &o->tables[o->cnt]))
			continue;
		o->mappings[o->cnt] = (struct bstack_mapping){
			.start = info->dlpi_addr + ph->p_vaddr,
			.end = info->dlpi_addr + ph->p_vaddr + ph->p_memsz,
			.pc_off = ph->p_vaddr - o->tables[o->cnt].base,
			.module = (uint32_t)o->cnt,
		};
		o->cnt++;
		break;
	}
	if (fd >= 0)
		close(fd);
	return 0;
}

static int mapping_cmp(const void *a, const void *b)
{
	const struct bstack_mapping *x = a, *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

static void own_load(struct own *o)
{
	dl_iterate_phdr(object_add, o);
	for (size_t i = 0; i < o->cnt; i++) {
		const struct unwind_table *t = &o->tables[i];

		uint32_t room = unwind_table_room(t);
		size_t row_cnt = o->row_cnt + room;

		o->rows = realloc(o->rows, row_cnt * sizeof(*o->rows));
		o->pages = realloc(o->pages, row_cnt / BSTACK_ROWS_A_PAGE * sizeof(*o->pages));
		o->rules = realloc(o->rules, (o->rule_cnt + t->rule_cnt) * sizeof(*o->rules));
		o->modules[i] = unwind_table_place(t, o->rows, o->pages, o->rules,
						   (uint32_t)o->row_cnt, (uint32_t)o->rule_cnt);
		o->row_cnt = row_cnt;
		o->rule_cnt += t->rule_cnt;
	}
	qsort(o->mappings, o->cnt, sizeof(*o->mappings), mapping_cmp);
	host.rows = o->rows;
	host.pages = o->pages;
	host.page_cnt = o->row_cnt / BSTACK_ROWS_A_PAGE;
	host.rules = o->rules;
	host.modules = o->modules;
	host.mappings = o->mappings;
	host.row_cnt = o->row_cnt;
	host.rule_cnt = o->rule_cnt;
	host.module_cnt = host.mapping_cnt = o->cnt;
}

static int read_own(uint64_t addr, uint64_t *ret)
{
	memcpy(ret, (void *)addr, sizeof(*ret)); /* our own stack: it is there */
	return 0;
}

static struct own own;

/* Walk from here, and let libgcc walk from here: the same return addresses, to the root. */
__attribute__((noinline)) static void walk_and_compare(void)
{
	struct bstack_process p = { .cnt = (uint32_t)own.cnt };
	struct unwind_state s = {};
	struct bstack_step step;
	void *theirs[64];
	ucontext_t uc;
	volatile int cnt, end = 0, i; /* getcontext() may return twice, says the compiler */

	getcontext(&uc);
	cnt = backtrace(theirs, 64);
	s.ip = (uint64_t)uc.uc_mcontext.gregs[REG_RIP];
	s.sp = (uint64_t)uc.uc_mcontext.gregs[REG_RSP];
	s.regs[BSTACK_BP] = (uint64_t)uc.uc_mcontext.gregs[REG_RBP];
	s.regs[BSTACK_BX] = (uint64_t)uc.uc_mcontext.gregs[REG_RBX];
	s.regs[BSTACK_R12] = (uint64_t)uc.uc_mcontext.gregs[REG_R12];
	s.regs[BSTACK_R13] = (uint64_t)uc.uc_mcontext.gregs[REG_R13];
	s.regs[BSTACK_R14] = (uint64_t)uc.uc_mcontext.gregs[REG_R14];
	s.regs[BSTACK_R15] = (uint64_t)uc.uc_mcontext.gregs[REG_R15];
	end = unwind_step(&p, &s, &step);
	CHECK_EQ(end, 0);
	/* Theirs begins in backtrace() itself, or in what a sanitizer put in its place. */
	for (i = 0; i < 4 && (uint64_t)theirs[i] != s.ip; i++)
		;
	for (i++; i < cnt; i++) {
		end = unwind_step(&p, &s, &step);
		if (end || s.ip != (uint64_t)theirs[i])
			break;
	}
	if (!CHECK_EQ(i, cnt))
		printf("# frame %d of %d: end %d, ip %#llx, theirs %p\n", i, cnt, end,
		       (long long)s.ip, theirs[i]);
	CHECK_EQ(unwind_step(&p, &s, &step), BSTACK_END_ROOT);
	CHECK(cnt > 5);
}

/* Through the C library and back, with a frame of unknown size in between. */
static int compare_below(const void *a, const void *b)
{
	volatile char *room = alloca((size_t)(200 + *(const int *)a));

	(void)b;
	room[0] = 1;
	walk_and_compare();
	return room[0] - 1;
}

static void our_own_stack(void)
{
	int v[2] = { 1, 2 };

	host.read = read_own;
	own_load(&own);
	walk_and_compare();
	qsort(v, 2, sizeof(*v), compare_below);
	for (size_t i = 0; i < own.cnt; i++)
		unwind_table_release(&own.tables[i]);
	free(own.rows);
	free(own.pages);
	free(own.rules);
}
#else
static void our_own_stack(void)
{
	SKIP("rows are made for x86-64");
}
#endif

/* .eh_frame of nonsense, and a real one with its bits flipped. */
static void hostile_frames(void)
{
	uint8_t data[512];
	struct unwind_table t;

	for (int round = 0; round < 20000; round++) {
		size_t len = rnd() % sizeof(data);

		for (size_t i = 0; i < len; i++)
			data[i] = (uint8_t)rnd();
		/* Often with a length that fits, and a plausible head. */
		if (len > 64 && round % 2) {
			uint32_t sz = (uint32_t)(rnd() % 60);

			memcpy(data, &sz, 4);
			memset(data + 4, 0, 4);
			memcpy(data + 8, "\x01zR\0\x01\x78\x10\x01\x1b\x0c\x07\x08\x90\x01", 14);
		}
		t = (struct unwind_table){};
		unwind_frames_parse(data, len, 0x1000, round % 3 == 0, 0, &t);
		unwind_table_finish(&t);
		for (size_t i = 1; i < t.row_cnt; i++)
			if (t.rows[i].pc <= t.rows[i - 1].pc)
				test_fail(__FILE__, __LINE__, "rows are not in order");
		for (size_t i = 0; i < t.row_cnt; i++)
			CHECK(t.rows[i].rule == BSTACK_RULE_NONE || t.rows[i].rule < t.rule_cnt);
		unwind_table_release(&t);
	}
}

static void real_file_with_flipped_bits(void)
{
	int fd = open("/proc/self/exe", O_RDONLY), copy;
	off_t len = lseek(fd, 0, SEEK_END);
	char path[] = "/tmp/bstack-test-XXXXXX";
	uint8_t *data = malloc((size_t)len);
	struct unwind_table t;

	CHECK_EQ(pread(fd, data, (size_t)len, 0), len);
	copy = mkstemp(path);
	unlink(path);
	CHECK_EQ(pwrite(copy, data, (size_t)len, 0), len);
	for (int round = 0; round < 60; round++) {
		off_t at = round < 40 ? (off_t)(rnd() % 1024) : (off_t)(rnd() % (uint64_t)len);
		uint8_t bad = (uint8_t)(data[at] ^ (1 << rnd() % 8));

		CHECK_EQ(pwrite(copy, &bad, 1, at), 1);
		if (!unwind_table_read(copy, &t))
			unwind_table_release(&t);
		CHECK_EQ(pwrite(copy, &data[at], 1, at), 1);
	}
	CHECK_EQ(ftruncate(copy, len / 2), 0);
	if (!unwind_table_read(copy, &t))
		unwind_table_release(&t);
	close(copy);
	close(fd);
	free(data);
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		TEST(nonsense),
		TEST(our_own_stack),
		TEST(hostile_frames),
		TEST(real_file_with_flipped_bits),
		{},
	};

	return test_main(tests, argc, argv);
}
