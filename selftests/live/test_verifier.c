/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_verifier - what bstack's programs cost the kernel's verifier, for settings that leave it different code.
 * Held against selftests/golden/verifier.txt where kernel and compiler are those that the file names in its first
 * line ("# kernel 6.18 clang 14"); against the kernel's own limit everywhere.
 *
 *	test_verifier [NAME]		KTAP
 *	test_verifier --list		SETTINGS PROGRAM INSNS XLATED_BYTES JITED_BYTES USEC, a line each
 *	test_verifier --baseline	the golden file
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <sys/utsname.h>

#include "bpf/abi.h"
#include "profile.skel.h"
#include "test.h"

#define GOLDEN          "selftests/golden/verifier.txt"
#define RENEW           "if it is worth its price, renew the baseline: make verifier-baseline"
#define TOLERANCE_PCT   25      /* above the baseline */
#define LIMIT_INSNS     1000000 /* BPF_COMPLEXITY_LIMIT_INSNS, Linux 5.2 */
#define LIMIT_SHARE_PCT 30      /* of it, on any kernel: the next one may count more */
#define LOG_STATS       4       /* BPF_LOG_STATS: only the totals */
#define LINES_MAX       64

/* The verifier drops what the settings make unreachable. */
static const struct variant {
	const char *name;
	struct bstack_settings settings;
} variants[] = {
	{ "rows", { .has_rows = 1 } },
	{ "fp", {} },
	{ "rows-known", { .has_rows = 1, .has_known = 1 } },
	{ "fp-known", { .has_known = 1 } },
	{ "everything",
	  { .target = BSTACK_TARGET_CGROUP,
	    .self_tgid = 1,
	    .pidns_inum = 1,
	    .is_inherited = 1,
	    .has_kernel = 1,
	    .has_cpu_filter = 1,
	    .has_rows = 1,
	    .has_known = 1,
	    .wakeup_sz = 1 } },
};

struct cost {
	char variant[32], program[32];
	unsigned int insns, xlated_sz, jited_sz, usec;
};
struct costs {
	struct cost v[LINES_MAX];
	unsigned int cnt;
};

static int quiet(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	(void)level;
	(void)fmt;
	(void)ap;
	return 0;
}

static int cost_read(const struct variant *variant, struct bpf_program *prog, const char *log,
		     struct costs *ret)
{
	const char *time = strstr(log, "verification time ");
	struct bpf_prog_info info = {};
	uint32_t len = sizeof(info);
	struct cost *c = &ret->v[ret->cnt];

	if (ret->cnt == LINES_MAX)
		return -E2BIG;
	if (bpf_obj_get_info_by_fd(bpf_program__fd(prog), &info, &len))
		return -errno;
	snprintf(c->variant, sizeof(c->variant), "%s", variant->name);
	snprintf(c->program, sizeof(c->program), "%s", bpf_program__name(prog));
	c->insns = info.verified_insns;
	c->xlated_sz = info.xlated_prog_len;
	c->jited_sz = info.jited_prog_len;
	if (!time || sscanf(time, "verification time %u usec", &c->usec) != 1)
		return -EBADMSG;
	ret->cnt++;
	return 0;
}

/* Load the programs with one set of settings. -errno; on failure the kernel's last words are in log. */
static int variant_measure(const struct variant *v, struct costs *ret, char *log, size_t log_sz)
{
	static char logs[16][4096];
	struct profile_bpf *skel = profile_bpf__open();
	struct bpf_program *prog;
	unsigned int i = 0;
	int err;

	if (!skel)
		return -errno;
	*(struct bstack_settings *)&skel->rodata->settings = v->settings;
	bpf_object__for_each_program(prog, skel->obj) {
		if (i == 16 || bpf_program__set_log_buf(prog, logs[i], sizeof(logs[i])) ||
		    bpf_program__set_log_level(prog, LOG_STATS)) {
			profile_bpf__destroy(skel);
			return -E2BIG;
		}
		logs[i++][0] = '\0';
	}
	err = profile_bpf__load(skel);
	i = 0;
	bpf_object__for_each_program(prog, skel->obj) {
		if (!err)
			err = cost_read(v, prog, logs[i], ret);
		else if (logs[i][0])
			snprintf(log, log_sz, "%s: %s", bpf_program__name(prog), logs[i]);
		i++;
	}
	profile_bpf__destroy(skel);
	return err;
}

static int measure(struct costs *ret)
{
	char log[4200] = "";
	int err = 0;

	libbpf_set_print(quiet);
	ret->cnt = 0;
	for (size_t i = 0; i < sizeof(variants) / sizeof(*variants) && !err; i++) {
		err = variant_measure(&variants[i], ret, log, sizeof(log));
		if (err)
			fprintf(stderr, "# cannot load the programs (%s): %s\n%s\n",
				variants[i].name, strerror(-err), log);
	}
	return err;
}

/* "6.18" and "14": what a baseline is true for. */
static void platform(char *ret, size_t sz)
{
	struct utsname u;
	int major = 0, minor = 0;

	if (!uname(&u))
		sscanf(u.release, "%d.%d", &major, &minor);
	snprintf(ret, sz, "kernel %d.%d clang %s", major, minor, CLANG_MAJOR);
}

static const struct cost *cost_find(const struct costs *c, const struct cost *like)
{
	for (unsigned int i = 0; i < c->cnt; i++)
		if (!strcmp(c->v[i].program, like->program) &&
		    !strcmp(c->v[i].variant, like->variant))
			return &c->v[i];
	return NULL;
}

/* The golden file; *ret_platform is what its first line names. False: it says something else. */
static bool baseline_read(struct costs *ret, char *ret_platform, size_t sz)
{
	FILE *f = fopen(GOLDEN, "r");
	char line[256];
	bool is_good = true;

	ret->cnt = 0;
	ret_platform[0] = '\0';
	if (!f)
		return false;
	while (fgets(line, sizeof(line), f)) {
		struct cost c = {};

		line[strcspn(line, "\n")] = '\0';
		if (!strncmp(line, "# kernel ", 9))
			snprintf(ret_platform, sz, "%.63s", line + 2);
		if (line[0] == '#')
			continue;
		if (sscanf(line, "%31s %31s %u %u", c.variant, c.program, &c.insns, &c.xlated_sz) !=
			    4 ||
		    ret->cnt == LINES_MAX) {
			is_good = false;
			break;
		}
		ret->v[ret->cnt++] = c;
	}
	fclose(f);
	return is_good && ret->cnt && ret_platform[0];
}

static void within(const struct cost *c, const char *what, unsigned int is, unsigned int was)
{
	if ((uint64_t)is * 100 > (uint64_t)was * (100 + TOLERANCE_PCT))
		test_fail(__FILE__, __LINE__,
			  "%s %s: %u %s, the baseline is %u and %d %% more are allowed; " RENEW,
			  c->variant, c->program, is, what, was, TOLERANCE_PCT);
}

static struct costs now;

static void within_the_kernels_limit(void)
{
	for (unsigned int i = 0; i < now.cnt; i++) {
		const struct cost *c = &now.v[i];

		if (!c->insns)
			SKIP("this kernel does not tell verified_insns (Linux 5.16)");
		if ((uint64_t)c->insns * 100 >= (uint64_t)LIMIT_INSNS * LIMIT_SHARE_PCT)
			test_fail(__FILE__, __LINE__,
				  "%s %s: the verifier processed %u instructions, %d %% of its %d "
				  "are allowed",
				  c->variant, c->program, c->insns, LIMIT_SHARE_PCT, LIMIT_INSNS);
	}
}

static void within_the_baseline(void)
{
	char here[64], there[64];
	struct costs base;

	platform(here, sizeof(here));
	if (!baseline_read(&base, there, sizeof(there))) {
		test_fail(__FILE__, __LINE__, "%s is missing or malformed: make verifier-baseline",
			  GOLDEN);
		return;
	}
	if (strcmp(here, there) != 0)
		SKIP("the baseline is for %s, this is %s", there, here);
	for (unsigned int i = 0; i < now.cnt; i++) {
		const struct cost *c = &now.v[i], *was = cost_find(&base, c);

		if (!was) {
			test_fail(__FILE__, __LINE__, "%s %s is not in the baseline; " RENEW,
				  c->variant, c->program);
			continue;
		}
		within(c, "instructions processed", c->insns, was->insns);
		within(c, "bytes after the verifier", c->xlated_sz, was->xlated_sz);
	}
	for (unsigned int i = 0; i < base.cnt; i++)
		if (!cost_find(&now, &base.v[i]))
			test_fail(__FILE__, __LINE__, "%s %s is gone; " RENEW, base.v[i].variant,
				  base.v[i].program);
}

static void print(bool is_baseline)
{
	char here[64];

	platform(here, sizeof(here));
	if (is_baseline)
		printf("# %s\n# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause\n"
		       "# settings, program, instructions the verifier processed, bytes after it\n",
		       here);
	for (unsigned int i = 0; i < now.cnt; i++) {
		const struct cost *c = &now.v[i];

		printf("%s %s %u %u", c->variant, c->program, c->insns, c->xlated_sz);
		if (!is_baseline)
			printf(" %u %u", c->jited_sz, c->usec);
		printf("\n");
	}
}

int main(int argc, char **argv)
{
	static const struct test tests[] = { TEST(within_the_kernels_limit),
					     TEST(within_the_baseline),
					     {} };

	if (measure(&now))
		return 1;
	if (argc > 1 && argv[1][0] == '-') {
		print(!strcmp(argv[1], "--baseline"));
		return 0;
	}
	return test_main(tests, argc, argv);
}
