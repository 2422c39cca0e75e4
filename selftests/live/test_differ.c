// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * test_differ.c - live stacks of ordinary programs, unwound by our BPF code, against libdwfl over a copy of the same
 * stack: frame by frame, and every difference explained (differ_judge.h).
 *
 *	test_differ --record DIR	writes some of the stacks to files, for selftests/unit/test_unwind_golden.c
 */
#include <inttypes.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "differ_golden.h"

#define BUSY_TICKS      30 /* of the CPU: then a program is set up */
#define PROGRAM_SAMPLES 250
#define FIXTURE_SAMPLES 40

/* A program that keeps a CPU busy for as long as it is sampled. */
struct target {
	const char *name;
	const char *argv[8];  /* argv[0]: path; a fixture's name without slash */
	void (*feed)(int fd); /* writes its standard input until nobody reads it */
	bool is_frozen;       /* see struct memory */
};

/* Text in which something repeats, without end. */
static void feed_text(int fd)
{
	uint32_t seed = 1;
	char line[64];

	for (;;) {
		int len;

		seed = seed * 1664525 + 1013904223;
		len = snprintf(line, sizeof(line), "line %u of %x\n", seed >> 20, seed);
		if (write(fd, line, (size_t)len) != len)
			return;
	}
}

/* C that takes the compiler long. */
static void feed_c(int fd)
{
	dprintf(fd, "extern int f0(int, int *);\n");
	for (int i = 1; i < 20000; i++)
		if (dprintf(fd,
			    "int f%d(int n, int *v) { int s = %d; for (int i = 0; i < n; i++) { "
			    "switch (v[i] %% %d) {\n"
			    "case 0: s += v[i] * %d; break; case 1: s ^= f%d(i, v + 1); break; "
			    "default: v[i] = s / (i + %d);\n"
			    "} if (s > %d) s -= v[n - i]; } return s; }\n",
			    i, i, i % 7 + 3, i, i - 1, i % 5 + 1, i * 3) < 0)
			return;
}

#define PERL                                                                                  \
	"sub deep { my ($n) = @_; return $n ? 1 + deep($n - 1) : 0 } open(my $r, '<', "       \
	"'/dev/urandom');"                                                                    \
	"while (1) { my %h; $h{$_ % 997} .= sprintf('%05d', $_) for 1 .. 3000;"               \
	"my @s = sort { $h{$a} cmp $h{$b} || $a <=> $b } keys %h; my $t = join(',', @h{@s});" \
	"$t =~ s/(\\d)(\\d)/$2$1/g; my @m = $t =~ /((?:1\\d+,)+?)2/g; deep(40);"              \
	"sysread($r, my $b, 100000); my $u = unpack('%32C*', $b); my @l = map { lc uc } @s }"
#define PYTHON                                                                                   \
	"import json, re, hashlib, zlib, os\n"                                                   \
	"def deep(n): return 1 + deep(n - 1) if n else sum(map(lambda x: x * x, range(200)))\n"  \
	"while True:\n"                                                                          \
	"    d = {str(i): [i, i * 1.5, 'x' * (i % 9)] for i in range(300)}\n"                    \
	"    t = json.dumps(d, sort_keys=True); json.loads(t)\n"                                 \
	"    re.sub(r'(\\d+)\\.5', lambda m: m.group(1), t); sorted(d, key=lambda k: d[k][2])\n" \
	"    zlib.compress(t.encode()); hashlib.sha256(t.encode()).hexdigest(); deep(60)\n"      \
	"    os.urandom(50000); os.stat('/proc/self/status'); open('/proc/self/maps').read()\n"
#define SQL                                                                                      \
	"WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) "                       \
	"SELECT sum(length(printf('%d-%x', x, x * 7)) + abs(random()) % 3) FROM c WHERE x LIKE " \
	"'%7%';"
#define CC1 "/usr/lib/gcc/x86_64-linux-gnu/12/cc1"

/* Debian's programs, in their places. */
static const struct target programs[] = {
	{ .name = "xz", .argv = { "/usr/bin/xz", "-6", "-T1", "-c" }, .feed = feed_text },
	{ .name = "perl", .argv = { "/usr/bin/perl", "-e", PERL } },
	{ .name = "openssl_rsa",
	  .argv = { "/usr/bin/openssl", "speed", "-seconds", "60", "rsa2048" } },
	{ .name = "openssl_ecdh",
	  .argv = { "/usr/bin/openssl", "speed", "-seconds", "60", "ecdhx25519" } },
	{ .name = "openssl_aes",
	  .argv = { "/usr/bin/openssl", "speed", "-seconds", "60", "-evp", "aes-256-gcm" } },
	{ .name = "python3", .argv = { "/usr/bin/python3", "-c", PYTHON } },
	{ .name = "cc1", .argv = { CC1, "-quiet", "-O2", "-", "-o", "/dev/null" }, .feed = feed_c },
	{ .name = "sqlite3", .argv = { "/usr/bin/sqlite3", ":memory:", SQL } },
	{ .name = "bash",
	  .argv = { "/bin/bash", "-c",
		    "f() { local i; for i in {1..50}; do [[ $i =~ ^[0-9]+5$ ]]; read x < "
		    "/proc/self/stat; done; }; while :; do f; done" } },
	{ .name = "python3_clock",
	  .argv = { "/usr/bin/python3", "-c", "import time\nwhile True: time.monotonic()" } },
	{ .name = "dd", .argv = { "/bin/dd", "if=/dev/zero", "of=/dev/null", "bs=64k" } },
};

/* Of each fixture the chains that differ from one another. */
#define FIXTURE(file, chain)                                               \
	{                                                                  \
		.name = #file "_" #chain, .argv = { #file, #chain, "600" } \
	}
#define FROZEN(file, chain)                                                                   \
	{                                                                                     \
		.name = #file "_" #chain, .argv = { #file, #chain, "600" }, .is_frozen = true \
	}
static const struct target fixtures[] = {
	FIXTURE(unwound_pie, plain),
	FIXTURE(unwound_pie, qsort),
	FIXTURE(unwound_pie, bsearch),
	FIXTURE(unwound_pie, signal),
	FIXTURE(unwound_pie, trap),
	FROZEN(unwound_pie, altstack),
	FIXTURE(unwound_pie, alloca),
	FIXTURE(unwound_pie, vla),
	FIXTURE(unwound_pie, aligned),
	FIXTURE(unwound_pie, realigned),
	FIXTURE(unwound_pie, deep),
	FIXTURE(unwound_pie, plt),
	FIXTURE(unwound_pie, tail),
	FIXTURE(unwound_pie, noreturn),
	FROZEN(unwound_pie, context),
	FIXTURE(unwound_pie, threads),
	FIXTURE(unwound_nopie, plt),
	FIXTURE(unwound_nopie, signal),
	FIXTURE(unwound_static, signal),
	FIXTURE(unwound_static, aligned),
	FIXTURE(unwound_static, threads),
	FIXTURE(unwound_cet, plt),
	FIXTURE(unwound_cet, qsort),
	FIXTURE(unwound_cet, signal),
	FIXTURE(unwound_noplt, qsort),
	FIXTURE(unwound_musl, plain),
	FIXTURE(unwound_musl, qsort),
	FIXTURE(unwound_musl, signal),
	{ .name = "thrown", .argv = { "thrown", "600" } },
};

static struct sampler sampler;
static struct report total;
static struct goldens goldens;

static char *fixture_path(const char *file)
{
	const char *o = getenv("O") ? getenv("O") : "build";
	char *path;

	return asprintf(&path, "%s/fixtures/%s", o, file) < 0 ? NULL : path;
}

struct running {
	pid_t pid, feeder; /* 0: none */
};

/* To be killed with us, on the sampler's CPU, its words nowhere. */
static void become(const struct target *t, const char *path, int in)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	cpu_set_t cpus;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	CPU_ZERO(&cpus);
	CPU_SET(sampler.cpu, &cpus);
	if (sched_setaffinity(0, sizeof(cpus), &cpus) || dup2(in >= 0 ? in : null, 0) < 0 ||
	    dup2(null, 1) < 0 || dup2(null, 2) < 0)
		_exit(126);
	execv(path, (char **)t->argv);
	_exit(127);
}

static pid_t feeder_start(const struct target *t, const int pipe_fds[2])
{
	pid_t pid = fork();

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGPIPE, SIG_IGN);
	close(pipe_fds[0]);
	t->feed(pipe_fds[1]);
	_exit(0);
}

static bool target_start(const struct target *t, const char *path, struct running *ret)
{
	int fds[2] = { -1, -1 };

	*ret = (struct running){};
	if (t->feed && !CHECK_EQ(pipe2(fds, O_CLOEXEC), 0))
		return false;
	if (t->feed)
		ret->feeder = feeder_start(t, fds);
	ret->pid = fork();
	if (!ret->pid)
		become(t, path, fds[0]);
	for (int i = 0; i < 2; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	return CHECK(ret->pid > 0) && CHECK(ret->feeder >= 0);
}

static void target_stop(const struct running *r)
{
	pid_t pids[] = { r->pid, r->feeder };

	for (size_t i = 0; i < ARRAY_SIZE(pids); i++) {
		if (pids[i] <= 0)
			continue;
		kill(pids[i], SIGKILL);
		waitpid(pids[i], NULL, 0);
	}
}

/* Ticks that a process had the CPU; -1: it is gone. */
static long cpu_ticks(pid_t pid)
{
	unsigned long user, kernel;
	char path[64], line[1024], state;
	size_t len;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "re");
	if (!f)
		return -1;
	len = fread(line, 1, sizeof(line) - 1, f);
	fclose(f);
	line[len] = '\0';
	if (!strrchr(line, ')') ||
	    sscanf(strrchr(line, ')') + 2, "%c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
		   &state, &user, &kernel) != 3 ||
	    state == 'Z')
		return -1;
	return (long)(user + kernel);
}

static bool target_is_busy(const struct target *t, pid_t pid)
{
	uint64_t deadline_ns = clock_mono_ns() + WAIT_NS;
	long ticks;

	do {
		ticks = cpu_ticks(pid);
		if (ticks >= BUSY_TICKS)
			return true;
		poll(NULL, 0, 20); /* polls a condition: the CPU time of the process */
	} while (ticks >= 0 && clock_mono_ns() < deadline_ns);
	test_fail(__FILE__, __LINE__, "%s: %s", t->name,
		  ticks < 0 ? "has ended" : "does not get on");
	return false;
}

/* Samples of one that runs: taken, judged, counted. */
static void target_sample(pid_t pid, const struct target *t, uint32_t cnt, struct report *r)
{
	struct bstack_process process;
	static struct oracle o;

	if (!oracle_open(&o, pid, t->is_frozen))
		return;
	if (tables_make(&sampler, pid, &process)) {
		sampler.lost = 0;
		samples_take(&sampler, pid, cnt);
		r->lost = sampler.lost;
		if (!CHECK(memory_is_steady(&o.memory, pid)))
			printf("# %s mapped other code meanwhile\n", t->name);
		for (size_t i = 0; i < sampler.pair_cnt && test_failures < 20; i++)
			if (judge(&sampler, &o, &process, &sampler.pairs[i], r) && goldens.dir)
				golden_offer(&goldens, &sampler, &o, &process, t->name);
	}
	oracle_close(&o);
	unwinder_exit(sampler.unwinder, (uint32_t)pid);
}

static struct report target_run(const struct target *t, const char *path, uint32_t cnt)
{
	struct running running;
	struct report r = {};

	if (target_start(t, path, &running) && target_is_busy(t, running.pid))
		target_sample(running.pid, t, cnt, &r);
	target_stop(&running);
	report_print(t->name, &r);
	CHECK((r.stacks + r.lost) * 10 >= (uint64_t)cnt * 9);
	report_add(&total, &r);
	return r;
}

/* Write goldens (selftests/golden/stacks) of what agrees. */
static int record_all(const char *dir)
{
	goldens.dir = dir;
	if (!sampler_open(&sampler))
		return 1;
	for (size_t i = 0; i < ARRAY_SIZE(programs); i++)
		if (!access(programs[i].argv[0], X_OK))
			target_run(&programs[i], programs[i].argv[0], SAMPLES_MAX);
	for (size_t i = 0; i < ARRAY_SIZE(fixtures); i++) {
		char *path CLEANUP(cleanup_free) = fixture_path(fixtures[i].argv[0]);

		if (path)
			target_run(&fixtures[i], path, SAMPLES_MAX / 4);
	}
	sampler_close(&sampler);
	return test_failures > 0;
}

/* NULL: samples can be taken; otherwise why not. */
static const char *obstacle(void)
{
	static bool is_tried;

	if (geteuid())
		return "needs root";
	if (!is_tried && !sampler_open(&sampler))
		test_fail(__FILE__, __LINE__, "cannot take samples");
	is_tried = true;
	return NULL;
}

static void program(const char *name)
{
	const struct target *t = programs;
	struct report r;

	if (obstacle())
		SKIP("%s", obstacle());
	while (strcmp(t->name, name))
		t++;
	if (access(t->argv[0], X_OK))
		SKIP("%s is not installed", t->argv[0]);
	if (test_failures)
		return;
	r = target_run(t, t->argv[0], PROGRAM_SAMPLES);
	/* Reasons must not explain everything away. */
	CHECK(r.same * 10 >= r.stacks * 8);
}

static void fixtures_of(const char *file)
{
	char *path CLEANUP(cleanup_free) = fixture_path(file);

	if (obstacle())
		SKIP("%s", obstacle());
	if (!CHECK(path && !access(path, X_OK)))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(fixtures) && !test_failures; i++)
		if (!strcmp(fixtures[i].argv[0], file))
			target_run(&fixtures[i], path, FIXTURE_SAMPLES);
}

#define PROGRAM(name)           \
	static void name(void)  \
	{                       \
		program(#name); \
	}
#define FIXTURES(file)              \
	static void file(void)      \
	{                           \
		fixtures_of(#file); \
	}
PROGRAM(xz)
PROGRAM(perl)
PROGRAM(openssl_rsa)
PROGRAM(openssl_ecdh)
PROGRAM(openssl_aes)
PROGRAM(python3)
PROGRAM(python3_clock)
PROGRAM(cc1)
PROGRAM(sqlite3)
PROGRAM(bash)
PROGRAM(dd)
FIXTURES(unwound_pie)
FIXTURES(unwound_nopie)
FIXTURES(unwound_static)
FIXTURES(unwound_cet)
FIXTURES(unwound_noplt)
FIXTURES(unwound_musl)
FIXTURES(thrown)

/* Of all that ran: what every kind of sample was there, and how many agreed. */
static void all_together(void)
{
	if (!total.stacks)
		SKIP("nothing was sampled");
	report_print("all", &total);
	CHECK_EQ(total.unexplained, 0);
	CHECK(total.in_kernel > 0);
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		TEST(xz),
		TEST(perl),
		TEST(openssl_rsa),
		TEST(openssl_ecdh),
		TEST(openssl_aes),
		TEST(python3),
		TEST(python3_clock),
		TEST(cc1),
		TEST(sqlite3),
		TEST(bash),
		TEST(dd),
		TEST(unwound_pie),
		TEST(unwound_nopie),
		TEST(unwound_static),
		TEST(unwound_cet),
		TEST(unwound_noplt),
		TEST(unwound_musl),
		TEST(thrown),
		TEST(all_together),
		{},
	};
	int ret;

	if (argc > 2 && !strcmp(argv[1], "--record"))
		return record_all(argv[2]);
	ret = test_main(tests, argc, argv);
	if (sampler.skel)
		sampler_close(&sampler);
	return ret;
}
