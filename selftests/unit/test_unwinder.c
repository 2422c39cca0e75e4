/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_unwinder.c - what BPF is told: processes, mappings and tables, in arrays of the test's own; files of this
 * program, and small ones made to order where room is short.
 */
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>

#include "unwinder_made.h"

static const struct unwind_maps *host;

#define AT(array, i)              ((size_t)(i) < host->array##_cnt ? &host->array##s[i] : NULL)
#define UNWIND_ROW(i)             AT(row, i)
#define UNWIND_PAGE(i)            AT(page, i)
#define UNWIND_RULE(i)            AT(rule, i)
#define UNWIND_MODULE(i)          AT(module, i)
#define UNWIND_MAPPING(i)         AT(mapping, i)
#define UNWIND_READ(addr, p)      ((void)(addr), (void)(p), -1)
#define UNWIND_READ_PAIR(addr, p) UNWIND_READ(addr, p)

#include "bpf/unwind.h"

#define P   1000000U /* a pid that only the unwinder hears of: above what we may find running */
#define Q   1000001U

#define MID MADE_MID

static uint32_t me;

/* The rule at ip of a process as BPF would find it; NULL: none. */
static const struct bstack_rule *rule_at(struct uw *w, uint32_t pid, uint64_t ip)
{
	struct unwind_state s = {};
	const struct told *t = told_of(w, pid);
	const struct bstack_mapping *m;
	const struct bstack_module *mod;

	host = &w->maps;
	m = t->is_there ? unwind_mapping(&t->entry, &s, ip) : NULL;
	mod = m ? UNWIND_MODULE(m->module) : NULL;
	return mod && mod->row_cnt ? unwind_rule(mod, (uint32_t)(ip - m->start + m->pc_off)) : NULL;
}

static int cfa_at(struct uw *w, uint32_t pid, uint64_t ip)
{
	const struct bstack_rule *r = rule_at(w, pid, ip);

	return r ? r->cfa_off : -1;
}

/* Made file id is there as a whole, for this process. */
static bool has_made(struct uw *w, uint32_t pid, uint8_t id, size_t function_cnt)
{
	for (size_t i = 0; i < function_cnt; i++) {
		uint64_t ip = made_start(id) + i * MADE_FUNCTION;

		if (cfa_at(w, pid, ip) != 8 || cfa_at(w, pid, ip + MADE_PUSH) != 16 ||
		    cfa_at(w, pid, ip + MADE_COVERED) != -1)
			return false;
	}
	return true;
}

static void map_made(struct uw *w, uint32_t pid, uint8_t id, size_t function_cnt)
{
	struct vma v = made_vma(id, function_cnt);

	CHECK_EQ(unwinder_mmap(w->u, pid, &v), 0);
}

/* Anonymous code: needs no table. */
static void map_anon(struct uw *w, uint32_t pid, uint64_t start, uint64_t end)
{
	struct vma v = { .start = start, .end = end, .kind = VMA_ANON };

	CHECK_EQ(unwinder_mmap(w->u, pid, &v), 0);
}

/* Each loaded file of ours: at random places of its code BPF finds the rule that its own table, read here, has. */
static int object_check(struct dl_phdr_info *info, size_t sz, void *ctx)
{
	const struct bstack_rule *got, *wanted;
	struct uw *w = ctx;
	struct loaded l = {};
	struct unwind_table t;
	FILE *f;

	(void)sz;
	loaded_one(info, sizeof(*info), &l);
	f = l.build_id.sz ? fopen(l.path, "r") : NULL;
	if (!f)
		return 0; /* the vdso: see below */
	if (CHECK_EQ(unwind_table_read(fileno(f), &t), 0)) {
		for (uint64_t i = 0; i < 2000; i++) {
			uint64_t vaddr = l.seg_vaddr + i * 7919 * 13 % l.seg_sz, pc;
			size_t lo = 0, hi = t.row_cnt;

			pc = vaddr - t.base;
			while (lo < hi) {
				size_t mid = (lo + hi) / 2;

				if (t.rows[mid].pc <= pc)
					lo = mid + 1;
				else
					hi = mid;
			}
			wanted = lo && t.rows[lo - 1].rule != BSTACK_RULE_NONE
					 ? &t.rules[t.rows[lo - 1].rule]
					 : NULL;
			got = rule_at(w, me, l.base + vaddr);
			if (!got != !wanted || (got && memcmp(got, wanted, sizeof(*got)) != 0)) {
				test_fail(__FILE__, __LINE__, "%s: another rule at %#llx", l.path,
					  (long long)vaddr);
				break;
			}
		}
		unwind_table_release(&t);
	}
	fclose(f);
	return 0;
}

static void snapshot_of_this_program(void)
{
	struct bstack_mapping before = {};
	struct uw w;
	size_t cnt;

	uw_open(&w, large);
	CHECK_EQ(unwinder_snapshot(w.u, me), 0);
	CHECK(!told_of(&w, me)->is_there); /* not before the commit */
	uw_settle(&w);
	CHECK_EQ(told_of(&w, me)->set_cnt, 1);
	CHECK_EQ(told_of(&w, me)->drop_cnt, 0);
	cnt = told_of(&w, me)->entry.cnt;
	CHECK(cnt >= 5); /* program, libc, ld.so, sanitizers, vdso */
	for (size_t i = 0; i < cnt; i++) {
		struct bstack_mapping m = told_mapping(&w, me, i);

		CHECK(m.start < m.end && m.start >= before.end);
		before = m;
	}
	CHECK(rule_at(&w, me, (uint64_t)qsort) && rule_at(&w, me, (uint64_t)elf_made));
	dl_iterate_phdr(object_check, &w);
	CHECK(unwinder_counters(w.u)->tables >= 5 && unwinder_counters(w.u)->rows > 10000);
	CHECK(unwinder_counters(w.u)->text_bytes > 100000 && unwinder_counters(w.u)->table_ns);
	CHECK_EQ(unwinder_counters(w.u)->no_room, 0);
	CHECK_EQ(unwinder_commit(w.u), 0); /* nothing has changed */
	CHECK_EQ(told_of(&w, me)->set_cnt, 1);
	uw_close(&w);
}

/* A child that waits to be killed: with our files, where they are here. */
static void tables_are_shared(void)
{
	uint64_t tables, rows;
	pid_t child;
	struct uw w;
	int status;

	fflush(stdout);
	child = fork();
	if (!child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	uw_open(&w, large);
	CHECK_EQ(unwinder_snapshot(w.u, me), 0);
	uw_settle(&w);
	tables = unwinder_counters(w.u)->tables;
	rows = unwinder_counters(w.u)->rows;
	CHECK_EQ(unwinder_snapshot(w.u, (uint32_t)child), 0);
	uw_settle(&w);
	CHECK_EQ(unwinder_counters(w.u)->tables, tables);
	CHECK_EQ(unwinder_counters(w.u)->rows, rows);
	CHECK(told_of(&w, (uint32_t)child)->entry.first != told_of(&w, me)->entry.first);
	CHECK(rule_at(&w, (uint32_t)child, (uint64_t)qsort));
	CHECK(rule_at(&w, (uint32_t)child, (uint64_t)qsort) == rule_at(&w, me, (uint64_t)qsort));
	CHECK_EQ(kill(child, SIGKILL), 0);
	CHECK_EQ(waitpid(child, &status, 0), child);
	CHECK_EQ(unwinder_snapshot(w.u, (uint32_t)child), 0); /* gone is no error */
	uw_close(&w);
}

static void fork_exec_exit_lost(void)
{
	struct uw w;

	uw_open(&w, large);
	map_made(&w, P, 1, MID);
	map_anon(&w, P, 0x9000, 0xa000);
	CHECK_EQ(unwinder_fork(w.u, Q, P), 0);
	map_made(&w, Q, 2, MID); /* the child's own */
	uw_settle(&w);
	CHECK_EQ(told_of(&w, P)->entry.cnt, 2);
	CHECK_EQ(told_of(&w, Q)->entry.cnt, 3);
	CHECK_EQ(told_mapping(&w, Q, 0).start, 0x9000);
	CHECK_EQ(told_mapping(&w, Q, 0).module, BSTACK_MODULE_FP);
	CHECK(has_made(&w, P, 1, MID) && has_made(&w, Q, 1, MID) && has_made(&w, Q, 2, MID));
	CHECK(!has_made(&w, P, 2, MID));
	CHECK_EQ(unwinder_exec(w.u, Q), 0);
	CHECK_EQ(told_of(&w, Q)->entry.cnt, 3); /* until the commit */
	CHECK_EQ(unwinder_commit(w.u), 0);
	CHECK(told_of(&w, Q)->is_there);
	CHECK_EQ(told_of(&w, Q)->entry.cnt, 0);
	CHECK(has_made(&w, P, 1, MID));
	unwinder_exit(w.u, P);
	unwinder_exit(w.u, P);
	CHECK(!told_of(&w, P)->is_there);
	CHECK_EQ(told_of(&w, P)->drop_cnt, 1);
	map_made(&w, P, 2, MID);                       /* the number, used again */
	CHECK_EQ(unwinder_fork(w.u, P + 5, P + 6), 0); /* of a parent never heard of */
	CHECK_EQ(unwinder_commit(w.u), 0);
	CHECK_EQ(told_of(&w, P)->entry.cnt, 1);
	CHECK(has_made(&w, P, 2, MID) && !has_made(&w, P, 1, MID));
	unwinder_lost(w.u);
	CHECK(!told_of(&w, P)->is_there && !told_of(&w, Q)->is_there);
	CHECK_EQ(unwinder_commit(w.u), 0);
	CHECK(!told_of(&w, P)->is_there && !told_of(&w, Q)->is_there);
	CHECK_EQ(unwinder_counters(w.u)->tables, 2 + (w.maps.modules[0].row_cnt > 0));
	uw_close(&w);
}

/* What is laid over a mapping replaces what it covers; the rest keeps its place in the file. */
static void mapping_is_cut(void)
{
	struct uw w;

	uw_open(&w, large);
	map_made(&w, P, 4, MADE_LARGE); /* three pages */
	map_anon(&w, P, made_start(4) + 0x1000, made_start(4) + 0x2000);
	uw_settle(&w);
	CHECK_EQ(told_of(&w, P)->entry.cnt, 3);
	CHECK_EQ(told_mapping(&w, P, 1).module, BSTACK_MODULE_FP);
	CHECK_EQ(cfa_at(&w, P, made_start(4) + 0x55 * MADE_FUNCTION + MADE_PUSH), 16);
	CHECK(!rule_at(&w, P, made_start(4) + 0x1000));
	CHECK_EQ(cfa_at(&w, P, made_start(4) + 0xab * MADE_FUNCTION), 8);
	CHECK_EQ(cfa_at(&w, P, made_start(4) + 0xab * MADE_FUNCTION + MADE_PUSH), 16);
	uw_close(&w);
}

/* Rows that the vdso's table takes, the first there is. */
static size_t vdso_rows(void)
{
	struct uw w;
	size_t rows;

	uw_open(&w, large);
	rows = (w.maps.modules[0].row_cnt + 7) & ~7U;
	uw_close(&w);
	return rows;
}

/* Room for two tables of three. */
static void evicted_and_back(void)
{
	struct room r = large;
	struct bstack_step step = {};
	struct vma vdso = { .start = 0x5000, .end = 0x7000, .kind = VMA_VDSO };
	struct step_place place;
	uint64_t tables;
	uint32_t modules[4];
	struct uw w;

	r.rows = vdso_rows() + 2 * MADE_ROWS * MID;
	uw_open(&w, r);
	tables = unwinder_counters(w.u)->tables;
	CHECK_EQ(unwinder_mmap(w.u, P, &vdso), 0);
	for (uint8_t id = 1; id <= 3; id++)
		map_made(&w, P, id, MID);
	uw_settle(&w);
	for (uint32_t i = 1; i <= 3; i++)
		modules[i] = told_mapping(&w, P, i).module;
	CHECK_EQ(unwinder_counters(w.u)->evicted, 1);
	CHECK_EQ(unwinder_counters(w.u)->no_room, 0);
	CHECK_EQ(w.maps.modules[modules[1]].row_cnt, 0);
	CHECK_EQ(w.maps.modules[modules[1]].instead, 0);
	CHECK(has_made(&w, P, 2, MID) && has_made(&w, P, 3, MID) && !has_made(&w, P, 1, MID));
	/* 2 is used: then it is 3 that makes room. */
	step.module = modules[2];
	CHECK(unwinder_step_place(w.u, &step, &place) && !place.is_vdso && !place.is_fp_step);
	CHECK_EQ(place.vaddr, MADE_VADDR);
	map_made(&w, P, 1, MID);
	uw_settle(&w);
	CHECK_EQ(unwinder_counters(w.u)->evicted, 2);
	CHECK_EQ(told_mapping(&w, P, 1).module, modules[1]);
	CHECK_EQ(w.maps.modules[modules[3]].row_cnt, 0);
	CHECK(has_made(&w, P, 1, MID) && has_made(&w, P, 2, MID) && !has_made(&w, P, 3, MID));
	CHECK_EQ(unwinder_counters(w.u)->tables, tables + 4);
	/* A table that is new counts as used: 2 is the oldest now. */
	map_made(&w, P, 3, MID);
	uw_settle(&w);
	CHECK(has_made(&w, P, 1, MID) && !has_made(&w, P, 2, MID) && has_made(&w, P, 3, MID));
	/* The vdso stays: nobody would make its table again. */
	if (told_mapping(&w, P, 0).module < BSTACK_MODULE_NONE)
		CHECK(w.maps.modules[told_mapping(&w, P, 0).module].row_cnt > 0);
	uw_close(&w);
}

/* For a table that no room would do for, none makes room. */
static void too_large(void)
{
	struct room r = large;
	struct uw w;

	for (int is_rules = 0; is_rules < 2; is_rules++) {
		r.rows = is_rules ? large.rows : vdso_rows() + MADE_ROWS * MID;
		r.rules = is_rules ? 1 : large.rules;
		uw_open(&w, r);
		if (!is_rules)
			map_made(&w, P, 1, MID);
		map_made(&w, P, 4, MADE_LARGE);
		uw_settle(&w);
		CHECK_EQ(unwinder_counters(w.u)->evicted, 0);
		CHECK_EQ(w.maps.modules[told_mapping(&w, P, !is_rules).module].row_cnt, 0);
		CHECK_EQ(w.maps.modules[told_mapping(&w, P, !is_rules).module].instead,
			 BSTACK_MODULE_NONE);
		if (!is_rules) {
			CHECK_EQ(unwinder_counters(w.u)->no_room, 1);
			CHECK(has_made(&w, P, 1, MID));
		}
		uw_close(&w);
	}
}

static void no_more_modules(void)
{
	struct room r = large;
	struct uw w;

	r.modules = 1 + (vdso_rows() > 0);
	uw_open(&w, r);
	map_made(&w, P, 1, MID);
	map_made(&w, P, 2, MID);
	uw_settle(&w);
	CHECK(has_made(&w, P, 1, MID));
	CHECK_EQ(told_mapping(&w, P, 1).module, BSTACK_MODULE_NONE);
	CHECK_EQ(unwinder_counters(w.u)->no_room, 1);
	uw_close(&w);
}

/* What one process of many mappings leaves is room for many of few, and the other way round. */
static void mappings_room_is_cut_and_joined(void)
{
	struct room r = large;
	struct uw w;

	r.mappings = 8;
	uw_open(&w, r);
	for (int round = 0; round < 3; round++) {
		for (uint64_t i = 0; i < 8; i++)
			map_anon(&w, P, 0x1000 + (i << 16), 0x2000 + (i << 16));
		CHECK_EQ(unwinder_commit(w.u), 0);
		CHECK(told_of(&w, P)->is_there);
		unwinder_exit(w.u, P);
		for (uint32_t pid = Q; pid < Q + 4; pid++)
			for (uint64_t i = 0; i < 2; i++)
				map_anon(&w, pid, 0x1000 + (i << 16), 0x2000 + (i << 16));
		CHECK_EQ(unwinder_commit(w.u), 0);
		for (uint32_t pid = Q; pid < Q + 4; pid++) {
			CHECK(told_of(&w, pid)->is_there);
			unwinder_exit(w.u, pid);
		}
	}
	CHECK_EQ(unwinder_counters(w.u)->no_room, 0);
	uw_close(&w);
}

/* Blocks of the mappings array are used again; a process too many is not told, and counted. */
static void mappings_room(void)
{
	struct room r = large;
	struct uw w;

	r.mappings = 8;
	uw_open(&w, r);
	for (uint64_t i = 0; i < 10; i++) {
		map_anon(&w, P, 0x1000, 0x2000 + (i << 12));
		map_anon(&w, P, 0x100000, 0x101000);
		CHECK_EQ(unwinder_commit(w.u), 0);
		CHECK_EQ(told_of(&w, P)->set_cnt, i + 1);
		CHECK_EQ(told_of(&w, P)->entry.cnt, 2);
		CHECK_EQ(told_mapping(&w, P, 0).end, 0x2000 + (i << 12));
	}
	CHECK_EQ(unwinder_counters(w.u)->no_room, 0);
	for (uint64_t i = 0; i < 9; i++)
		map_anon(&w, Q, 0x1000 + (i << 16), 0x2000 + (i << 16));
	CHECK_EQ(unwinder_commit(w.u), 0);
	CHECK_EQ(unwinder_counters(w.u)->no_room, 1);
	CHECK(!told_of(&w, Q)->is_there && told_of(&w, P)->is_there);
	uw_close(&w);
	uw_open(&w, large);
	for (uint64_t i = 0; i <= BSTACK_MAPPINGS_MAX; i++) {
		map_anon(&w, P, 0x100000 + (i << 16), 0x101000 + (i << 16));
		if (i + 1 < BSTACK_MAPPINGS_MAX)
			continue;
		CHECK_EQ(unwinder_commit(w.u), 0);
		CHECK_EQ(told_of(&w, P)->is_there, i < BSTACK_MAPPINGS_MAX);
	}
	CHECK_EQ(unwinder_counters(w.u)->no_room, 1);
	uw_close(&w);
}

/* Code without rows, or of a file that cannot be had. */
static void without_a_table(void)
{
	struct vma no_id = made_vma(1, MID), gone = made_vma(99, MID), other = made_vma(1, MID);
	struct stack_rest rest = {};
	struct build_id id = made_id(5);
	struct uw w;

	uw_open(&w, large);
	no_id.build_id = (struct build_id){};
	other.build_id = made_id(98); /* another file stands under this path */
	map_made(&w, P, 5, MID);
	uw_settle(&w);
	CHECK_EQ(w.maps.modules[told_mapping(&w, P, 0).module].instead, BSTACK_MODULE_FP);
	CHECK_EQ(w.maps.modules[told_mapping(&w, P, 0).module].row_cnt, 0);
	CHECK_EQ(unwinder_step(w.u, &rest, &id, MADE_VADDR), BSTACK_END_UNREADABLE); /* by fp */
	CHECK_EQ(unwinder_mmap(w.u, Q, &no_id), 0);
	uw_settle(&w);
	CHECK_EQ(told_mapping(&w, Q, 0).module, BSTACK_MODULE_PENDING);
	gone.start = other.start;
	gone.end = other.end;
	for (int i = 0; i < 64; i++) { /* it may come yet, but not for ever */
		CHECK_EQ(unwinder_mmap(w.u, Q, i % 2 ? &other : &gone), 0);
		CHECK_EQ(unwinder_mmap(w.u, Q, i % 2 ? &gone : &other), 0);
		CHECK_EQ(unwinder_commit(w.u), 0);
		CHECK_EQ(told_mapping(&w, Q, 0).module,
			 i < 63 ? BSTACK_MODULE_PENDING : BSTACK_MODULE_NONE);
	}
	id = made_id(99);
	CHECK_EQ(unwinder_step(w.u, &rest, &id, MADE_VADDR), BSTACK_END_NO_TABLE);
	id = made_id(97); /* never heard of */
	CHECK_EQ(unwinder_step(w.u, &rest, &id, MADE_VADDR), BSTACK_END_NEVER);
	id = made_id(5);
	CHECK_EQ(unwinder_step(w.u, &rest, &id, MADE_VADDR - 1), BSTACK_END_NEVER);
	CHECK_EQ(unwinder_step(w.u, &rest, &id, MADE_VADDR + (1ULL << 32)), BSTACK_END_NEVER);
	uw_close(&w);
}

static uint32_t no_id_map(struct uw *w, struct vma v)
{
	v.build_id = (struct build_id){};
	CHECK_EQ(unwinder_mmap(w->u, me, &v), 0);
	uw_settle(w);
	return told_mapping(w, me, 0).module;
}

/*
 * A file without build-id that is written over is another file; a step by path is made when only one had it. Nor is one
 * whose build-id is that of our own making for such a file taken for it.
 */
static void written_over_without_id(void)
{
	struct vma v = made_vma(6, MID);
	struct stack_rest rest = {};
	struct stat before, after;
	struct step_place first, second;
	uint32_t module, other;
	struct uw w;

	uw_open(&w, large);
	made_file(&(struct made_elf){ .function_cnt = MID }); /* id 0: no build-id */
	made_path(0, v.path);
	CHECK_EQ(stat(v.path, &before), 0);
	module = no_id_map(&w, v);
	CHECK_EQ(w.maps.modules[module].row_cnt, MID * MADE_ROWS);
	CHECK_EQ(no_id_map(&w, v), module);
	/* the frame's stack cannot be read: a table was found */
	CHECK_EQ(unwinder_step_path(w.u, &rest, v.path, MADE_OFF), BSTACK_END_UNREADABLE);
	do { /* polls a condition: the clock of inodes ticks */
		made_file(&(struct made_elf){ .function_cnt = MID, .is_without_rows = true });
		CHECK_EQ(stat(v.path, &after), 0);
	} while (!memcmp(&before.st_ctim, &after.st_ctim, sizeof(after.st_ctim)));
	CHECK_EQ(before.st_ino, after.st_ino);
	other = no_id_map(&w, v);
	CHECK(other != module);
	CHECK_EQ(w.maps.modules[other].row_cnt, 0);
	rest = (struct stack_rest){};
	CHECK_EQ(unwinder_step_path(w.u, &rest, v.path, MADE_OFF), BSTACK_END_NEVER);
	CHECK(unwinder_step_place(w.u, &(struct bstack_step){ .module = module }, &first));
	CHECK(unwinder_step_place(w.u, &(struct bstack_step){ .module = other }, &second));
	CHECK(unwinder_place_is_path(&first, v.path) && unwinder_place_is_path(&second, v.path));
	CHECK_EQ(unwinder_step(w.u, &rest, first.id, MADE_VADDR), BSTACK_END_NEVER);
	unlink(v.path);
	uw_close(&w);
}

/* Whoever waits for the descriptor has the table at the next commit. */
static void wakes_up(void)
{
	struct pollfd p = { .events = POLLIN };
	struct uw w;

	uw_open(&w, large);
	p.fd = unwinder_wake_fd(w.u);
	CHECK_EQ(unwinder_commit(w.u), 0);
	CHECK_EQ(poll(&p, 1, 0), 0);
	map_made(&w, P, 1, MID);
	CHECK_EQ(poll(&p, 1, -1), 1);
	CHECK(!has_made(&w, P, 1, MID));
	CHECK_EQ(unwinder_commit(w.u), 0);
	CHECK(has_made(&w, P, 1, MID));
	CHECK_EQ(poll(&p, 1, 0), 0);
	uw_close(&w);
}

/* Told while its table is being made: no rows yet, nor any word of what to do instead. */
static void told_before_the_table(void)
{
	struct uw w;

	uw_open(&w, large);
	CHECK_EQ(unwinder_miss(w.u, me), 0);
	CHECK_EQ(unwinder_commit(w.u), 0);
	CHECK(told_of(&w, me)->entry.cnt >= 5);
	for (size_t i = 0; i < told_of(&w, me)->entry.cnt; i++)
		CHECK(told_mapping(&w, me, i).module < w.maps.module_cnt ||
		      told_mapping(&w, me, i).module == BSTACK_MODULE_FP);
	uw_settle(&w);
	CHECK_EQ(told_of(&w, me)->set_cnt, 1); /* the same mappings will do */
	CHECK(rule_at(&w, me, (uint64_t)qsort));
	uw_close(&w);
	uw_open(&w, large);
	CHECK_EQ(unwinder_snapshot(w.u, me), 0);
	uw_close(&w); /* with all tables still to make */
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		TEST(snapshot_of_this_program),
		TEST(tables_are_shared),
		TEST(fork_exec_exit_lost),
		TEST(mapping_is_cut),
		TEST(evicted_and_back),
		TEST(too_large),
		TEST(no_more_modules),
		TEST(mappings_room),
		TEST(mappings_room_is_cut_and_joined),
		TEST(without_a_table),
		TEST(wakes_up),
		TEST(told_before_the_table),
		TEST(written_over_without_id),
		{},
	};
	int err;

	me = (uint32_t)getpid();
	made_files_make();
	err = test_main(tests, argc, argv);
	made_files_remove();
	return err;
}
