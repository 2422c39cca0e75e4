// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * test_stackmap_frames - what bstack stackmap believes of the frames in a map: build-ids that lie, addresses with
 * and without their process, and the stacks of a program that runs a known chain.
 */
#include <linux/perf_event.h>
#include <signal.h>
#include <sys/mman.h>

#include "stackmap_kit.h"

#define TIMER_SAMPLES 20

/* --- addresses --- */

/* A map of addresses, with the stacks of the kernel in it, too; keys with two ids are joined. */
static void plain(void)
{
	const char *line;

	START();
	if (take(chain, 2)) {
		uint32_t ids = id_of(skel->maps.sm_plain), cnts = id_of(skel->maps.sm_plain_counts);

		CHECK_EQ(sh("$B stackmap %u --counts %u --folded --key-offset 4", ids, cnts), 0);
		CHECK_STR(out, "[unknown];[unknown];[unknown] 2\n");
		check_has(err,
			  "bstack stackmap: 3 of 3 frames are unresolved: an address of a process "
			  "that "
			  "is not known; -p PID resolves them by the mappings of that process\n");
		CHECK_EQ(sh("$B stackmap %u --counts %u --folded --key-offset 4 -p %d", ids, cnts,
			    getpid()),
			 0);
		CHECK_STR(out, "sm_outer;sm_inner;forge_syscall 2\n");
		CHECK_EQ(sh("BSTACK_NO_PROCMAP_QUERY=1 $B stackmap %u --counts %u --folded "
			    "--key-offset 4 -p %d",
			    ids, cnts, getpid()),
			 0);
		CHECK_STR(out, "sm_outer;sm_inner;forge_syscall 2\n");
		/* by BTF: both ids; by the process in the key */
		CHECK_EQ(sh("$B stackmap %u --counts %u --folded --pid-offset 0", ids, cnts), 0);
		line = "sm_outer;sm_inner;forge_syscall;";
		CHECK(!strncmp(out, line, strlen(line)));
		check_has(out, "_[k] 2\n");
		CHECK(times(out, "_[k]") > 1);
		lines_are(1);
		CHECK_STR(err, "");
		/* the kernel's side comes first whatever the order in the key */
		CHECK_EQ(sh("$B stackmap %u --counts %u --key-offset 8,4 -p %d", ids, cnts,
			    getpid()),
			 0);
		check_has(out, "\n  kernel_text       ");
		CHECK_EQ(times(out, "\n  query             "), 3);
		CHECK(strstr(out, "kernel_text") < strstr(out, "query"));
	}
	close_skel();
}

/* Without the right to see the kernel's addresses its frames have no names, and that is said. */
static void kernel_hidden(void)
{
	const char *less = "setpriv --bounding-set=-syslog --inh-caps=-syslog";

	START();
	if (take(chain, 1)) {
		CHECK_EQ(sh("%s grep -q '^0*[1-9a-f]' /proc/kallsyms && echo seen", less) & ~1, 0);
		if (out[0]) {
			close_skel();
			SKIP("this kernel shows its addresses to everybody");
		}
		CHECK_EQ(sh("%s $B stackmap %u --counts %u --key-offset 8 --folded", less,
			    id_of(skel->maps.sm_plain), id_of(skel->maps.sm_plain_counts)),
			 0);
		check_has(out, "[kernel]+0xffff");
		check_has(err,
			  "bstack stackmap: kernel frames have no names: /proc/kallsyms hides its "
			  "addresses; run as root, or with CAP_SYSLOG and kernel.kptr_restrict "
			  "below 2\n");
	}
	close_skel();
}

/* A process that is gone heals nothing. */
static void process_gone(void)
{
	char text[256];
	pid_t pid;

	START();
	if (take(chain, 1)) {
		uint32_t id = only_stack(skel->maps.sm_ids);
		struct sm_key key = { .kern_stack_id = -14, .user_stack_id = (int32_t)id };
		uint64_t n = 1;

		pid = fork();
		if (!pid)
			_exit(0);
		CHECK_EQ(waitpid(pid, NULL, 0), pid);
		snprintf(text, sizeof(text),
			 "cannot resolve by process %d: there is none, or it has no "
			 "executable memory",
			 pid);
		refused(sh("$B stackmap %u -p %d", id_of(skel->maps.sm_plain), pid), 1, text);
		/* a count of it leaves its addresses unresolved, and does not stop the others */
		CHECK_EQ(bpf_map_get_next_key(bpf_map__fd(skel->maps.sm_plain_counts), NULL, &key),
			 0);
		key.pid = (uint32_t)pid;
		bpf_map_update_elem(bpf_map__fd(skel->maps.sm_plain_counts), &key, &n, BPF_ANY);
		CHECK_EQ(sh("$B stackmap %u --counts %u --key-offset 4 --pid-offset 0 --folded",
			    id_of(skel->maps.sm_plain), id_of(skel->maps.sm_plain_counts)),
			 0);
		CHECK_STR(out,
			  "[unknown];[unknown];[unknown] 1\nsm_outer;sm_inner;forge_syscall 1\n");
		check_has(err,
			  "3 of 6 frames are unresolved: the process was gone before it could be "
			  "asked\n");
	}
	close_skel();
}

/* --- how a stack ends --- */

extern const char _start[];

/* Two functions side by side: a return address that is the beginning of the second one is a call's at the end of the
 * first. */
__asm__(".pushsection .text\n"
	".type sm_first, @function\n"
	"sm_first: nop\n"
	".size sm_first, . - sm_first\n"
	".type sm_second, @function\n"
	".globl sm_second\n"
	".hidden sm_second\n"
	"sm_second: nop\n"
	".size sm_second, . - sm_second\n"
	".popsection\n");
extern const char sm_second[] __attribute__((visibility("hidden")));

static void ends(void)
{
	const struct forge_frame start = { NULL, (uint64_t)_start + 1 };
	const struct forge_frame rooted[] = { { &start, (uint64_t)sm_second } };
	struct forge_frame deep[SM_FRAMES + 8];

	START();
	for (int i = 0; i < SM_FRAMES + 8; i++)
		deep[i] = (struct forge_frame){ i + 1 < SM_FRAMES + 8 ? &deep[i + 1] : NULL,
						(uint64_t)&sm_inner + 1 };
	if (take(rooted, 1)) {
		CHECK_EQ(sh("$B stackmap %u", id_of(skel->maps.sm_ids)), 0);
		check_has(out, ": count 1, rooted\n");
		check_has(out, "\n  kernel            sm_first [test_stackmap_frames]\n"
			       "  kernel            _start [test_stackmap_frames]\n");
	}
	if (take(deep, 1)) {
		CHECK_EQ(sh("$B stackmap %u", id_of(skel->maps.sm_ids)), 0);
		check_has(out, ": count 1, truncated\n");
		CHECK_EQ(times(out, "\n  kernel            sm_inner "), SM_FRAMES - 1);
	}
	close_skel();
}

/* --- frames that lie --- */

/* 0x10 is in no mapping: some kernels call it VALID, with the next mapping's build-id and an offset that wrapped. */
static void garbage(void)
{
	const struct forge_frame bad[] = { { &chain_outer, 0x10 } };
	bool is_valid;

	START();
	if (take(bad, 1)) {
		uint32_t map = id_of(skel->maps.sm_ids);

		is_valid = raw_frame(skel->maps.sm_ids, only_stack(skel->maps.sm_ids), 1).status ==
			   BPF_STACK_BUILD_ID_VALID;
		CHECK_EQ(sh("$B stackmap %u", map), 0);
		check_has(out, is_valid ? "\n  none/bad-offset   [unknown] 0x"
					: "\n  none/no-process   [unknown] 0x10\n");
		check_has(out, "\n  kernel            sm_outer [test_stackmap_frames]\n");
		CHECK_EQ(sh("$B stackmap %u -p %d", map, getpid()), 0);
		check_has(out, is_valid ? "\n  none/bad-offset   [unknown] 0x"
					: "\n  none/garbage      [unknown] 0x10\n");
		CHECK_EQ(times(out, "\n  kernel   "), 2);
	}
	close_skel();
}

/* Shared anonymous memory with the build-id of the C library in it, and return addresses to places in it: one that
 * is code in the library, one that is not. */
static void forged(void)
{
	struct forge_truth libc = forge_truth_of((uint64_t)&getpid);
	uint8_t *mem = mmap(NULL, 4 << 20, PROT_READ | PROT_WRITE | PROT_EXEC,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct forge_frame code = { &chain_outer, (uint64_t)mem + libc.offset + 1 };
	const struct forge_frame bad[] = { { &code, (uint64_t)mem + 64 } };
	struct bpf_stack_build_id f;

	START();
	CHECK(mem != MAP_FAILED && libc.has_id && libc.has_offset);
	forge_elf(mem, ET_DYN, true, libc.id, FORGE_ID_SZ);
	if (take(bad, 1)) {
		uint32_t map = id_of(skel->maps.sm_ids);

		f = raw_frame(skel->maps.sm_ids, only_stack(skel->maps.sm_ids), 2);
		if (f.status != BPF_STACK_BUILD_ID_VALID) {
			close_skel();
			SKIP("this kernel takes no build-id from shared anonymous memory");
		}
		CHECK_EQ(f.offset, libc.offset + 1);
		/* without the process: the one outside the library's code is refused */
		CHECK_EQ(sh("$B stackmap %u", map), 0);
		CHECK_EQ(times(out, "\n  none/bad-offset   [unknown] 0x40\n"), 1);
		CHECK_EQ(times(out, "\n  kernel   "), 3);
		check_has(err,
			  "1 of 4 frames are unresolved: outside the file's executable segments\n");
		/* with it, both are; also where the mappings are read as text */
		for (int is_text = 0; is_text < 2; is_text++) {
			CHECK_EQ(sh("%s $B stackmap %u -p %d",
				    is_text ? "BSTACK_NO_PROCMAP_QUERY=1" : "", map, getpid()),
				 0);
			CHECK_EQ(times(out, "\n  none/bad-offset   "), 1);
			CHECK_EQ(times(out, "\n  none/forged       "), 1);
			CHECK_EQ(times(out, "\n  kernel   "), 2);
		}
	}
	close_skel();
	munmap(mem, 4 << 20);
}

/* Anonymous executable memory is named by the process's perf map only. */
static void jit(void)
{
	uint8_t *mem = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	const struct forge_frame bad[] = { { &chain_outer, (uint64_t)mem + 0x101 } };
	char text[128];
	FILE *f;

	START();
	CHECK(mem != MAP_FAILED);
	if (take(bad, 1)) {
		uint32_t map = id_of(skel->maps.sm_ids);

		snprintf(text, sizeof(text), "\n  none/anonymous    [anon] 0x%lx\n",
			 (long)mem + 0x100);
		CHECK_EQ(sh("$B stackmap %u -p %d", map, getpid()), 0);
		check_has(out, text);
		snprintf(text, sizeof(text), "/tmp/perf-%d.map", getpid());
		f = fopen(text, "we");
		fprintf(f, "%lx 10 made_here\n", (long)mem + 0x100);
		fclose(f);
		CHECK_EQ(sh("$B stackmap %u -p %d", map, getpid()), 0);
		unlink(text);
		check_has(out, "\n  jit               made_here [[jit]]\n");
	}
	close_skel();
	munmap(mem, 4096);
}

/* --- a program with a chain of its own --- */

struct chain_run {
	pid_t pid;
	int perf_fd;
	struct bpf_link *link;
};

static bool chain_start(struct chain_run *c, const char *program)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.size = sizeof(attr),
		.config = PERF_COUNT_SW_CPU_CLOCK,
		.sample_period = 1000000,
		.exclude_kernel = 1,
	};
	char line[64] = "";
	int fds[2];

	*c = (struct chain_run){ .perf_fd = -1 };
	if (!CHECK_EQ(pipe2(fds, O_CLOEXEC), 0))
		return false;
	c->pid = fork();
	if (!c->pid) {
		dup2(fds[1], 1);
		execl(program, program, "600", NULL);
		_exit(127);
	}
	close(fds[1]);
	CHECK(read(fds[0], line, sizeof(line) - 1) > 0); /* "ready PID" */
	close(fds[0]);
	skel->bss->timer_pid = (uint32_t)c->pid;
	c->perf_fd = (int)syscall(SYS_perf_event_open, &attr, c->pid, -1, -1, PERF_FLAG_FD_CLOEXEC);
	c->link = bpf_program__attach_perf_event(skel->progs.in_timer, c->perf_fd);
	return CHECK(c->perf_fd >= 0 && c->link);
}

static void chain_end(struct chain_run *c)
{
	bpf_link__destroy(c->link);
	c->link = NULL;
	if (c->pid > 0) {
		kill(c->pid, SIGKILL);
		waitpid(c->pid, NULL, 0);
	}
	c->pid = 0;
}

/* A process that has not the files in which the kernel saw the frames: not theirs, or not any more. */
static void unmapped(void)
{
	char program[512];
	struct chain_run c;

	START();
	snprintf(program, sizeof(program), "%s/fixtures/chain",
		 getenv("O") ? getenv("O") : "build");
	if (chain_start(&c, program) && take(chain, 1)) {
		CHECK_EQ(sh("$B stackmap %u -p %d", id_of(skel->maps.sm_ids), c.pid), 0);
		/* those of the program itself are among them */
		CHECK(!strstr(out, "forge_syscall"));
		CHECK_EQ(times(out, "\n  none/conflict     [unknown] 0x"), 3);
	}
	chain_end(&c);
	close_skel();
}

/* Runs until enough stacks were taken, then takes no more; false when it takes too long. */
static bool chain_sample(struct chain_run *c)
{
	for (int i = 0; i < 60000; i++) {
		if (__atomic_load_n(&skel->bss->timer_cnt, __ATOMIC_ACQUIRE) >= TIMER_SAMPLES) {
			bpf_link__destroy(c->link);
			c->link = NULL;
			return true;
		}
		usleep(1000); /* polls a condition */
	}
	return CHECK(!"no timer samples within a minute");
}

/* Sum of the counts in folded lines; the chain is whole in one at least, and never has a hole but before a leaf that
 * is at its first or last instruction. Some are of the clock's reading, outside of the chain. */
static uint64_t chain_check(void)
{
	uint64_t sum = 0;
	size_t whole = 0;

	for (char *line = strtok(out, "\n"); line; line = strtok(NULL, "\n")) {
		sum += strtoull(strrchr(line, ' '), NULL, 10);
		if (strstr(line, ";fx_4") && !strstr(line, ";main;fx_1;fx_2;"))
			test_fail(__FILE__, __LINE__, "a hole in: %s", line);
		whole += strstr(line, ";main;fx_1;fx_2;fx_3;fx_4;fx_5;fx_6;fx_7;fx_8;fx_spin ") !=
			 NULL;
	}
	CHECK(whole > 0);
	return sum;
}

/* Counts of a summary line like "N of M counts have no stack at all", or 0. */
static uint64_t left_out(void)
{
	const char *at = strstr(err, " counts have no stack at all");

	if (!at)
		return 0;
	while (at > err && at[-1] != '\n')
		at--;
	return strtoull(at + strlen("bstack stackmap: "), NULL, 10);
}

static void chain_of_a_program(void)
{
	char program[512];
	struct chain_run c;

	START();
	snprintf(program, sizeof(program), "%s/fixtures/chain",
		 getenv("O") ? getenv("O") : "build");
	if (chain_start(&c, program) && chain_sample(&c)) {
		uint32_t ids = id_of(skel->maps.sm_ids), fallen = id_of(skel->maps.sm_fallen);

		CHECK_EQ(sh("$B stackmap %u --counts %u --key-offset 4 -p %d --folded", ids,
			    id_of(skel->maps.sm_counts), c.pid),
			 0);
		CHECK_EQ(chain_check() + left_out(), skel->bss->timer_cnt);
		/* as a whole without build-ids: nothing without the process, everything with it */
		CHECK_EQ(sh("$B stackmap %u", fallen), 0);
		CHECK_EQ(times(out, "\n  "), times(out, "\n  none/no-process   [unknown] 0x"));
		CHECK_EQ(sh("$B stackmap %u -p %d", fallen, c.pid), 0);
		CHECK(!strstr(out, "none/no-process") && !strstr(out, "\n  kernel "));
		check_has(out,
			  "\n  query             fx_8 [chain]\n  query             fx_7 [chain]\n");
		CHECK_EQ(sh("$B stackmap %u -p %d --folded", fallen, c.pid), 0);
		CHECK(chain_check() > 0);
	}
	chain_end(&c);
	close_skel();
}

/* The program has exited and its file is gone: unchecked, until somebody names a file with that build-id. */
static void file_gone(void)
{
	char program[512];
	struct chain_run c;

	START();
	snprintf(program, sizeof(program), "%s/gone", dir);
	/* a build-id of its own, so that no other test's chain can be taken for it */
	CHECK_EQ(
		sh("gcc -O0 -g -fno-omit-frame-pointer -D_GNU_SOURCE -pthread -Iselftests/fixtures "
		   "-Wl,--build-id=0x$(od -An -N20 -tx1 /dev/urandom | tr -d ' \\n') "
		   "-o $D/gone selftests/fixtures/chain.c && cp $D/gone $D/kept"),
		0);
	if (chain_start(&c, program) && chain_sample(&c)) {
		uint32_t ids = id_of(skel->maps.sm_ids);

		chain_end(&c);
		unlink(program);
		CHECK_EQ(sh("$B stackmap %u", ids), 0);
		check_has(out, "\n  none/unchecked    ");
		CHECK(!strstr(out, "fx_8"));
		check_has(err, "no file with this build-id was found to check it; --file FILE or "
			       "--debug-dir "
			       "DIR names the file\n");
		CHECK_EQ(sh("$B stackmap %u --file $D/kept", ids), 0);
		check_has(out,
			  "\n  kernel            fx_8 [kept]\n  kernel            fx_7 [kept]\n");
		CHECK(!strstr(out, "none/unchecked"));
		CHECK_EQ(sh("$B stackmap %u --file $D/kept --file /bin/sh --folded", ids), 0);
		check_has(err, "bstack stackmap: /bin/sh: no frame is in it\n");
		/* names can be had later, from the place that was kept */
		CHECK_EQ(sh("$B stackmap %u -o $D/g.pb.gz && mv $D/kept $D/gone && mkdir $D/debug "
			    "&& "
			    "id=$(readelf -n $D/gone | sed -n 's/.*Build ID: //p') && "
			    "mkdir -p $D/debug/.build-id/$(echo $id | cut -c1-2) && "
			    "mv $D/gone $D/debug/.build-id/$(echo $id | cut -c1-2)/$(echo $id | "
			    "cut -c3-) && "
			    "$B symbolize --debug-dir $D/debug $D/g.pb.gz && $B fold --no-thread "
			    "$D/g.pb.gz",
			    ids),
			 0);
		chain_check();
		CHECK_EQ(sh("$B stackmap %u --debug-dir $D/debug", ids), 0);
		check_has(out, "\n  kernel            fx_8 [");
		CHECK(!strstr(out, "none/unchecked"));
	}
	chain_end(&c);
	close_skel();
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		TEST(plain),
		TEST(process_gone),
		TEST(kernel_hidden),
		TEST(ends),
		TEST(garbage),
		TEST(forged),
		TEST(jit),
		TEST(unmapped),
		TEST(chain_of_a_program),
		TEST(file_gone),
		{},
	};

	return kit_main(tests, argc, argv);
}
