/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * stackmap_kit.h - for the tests of bstack stackmap: maps that a BPF program fills with stacks made by hand, and
 * bstack run on them.
 */
#ifndef BSTACK_STACKMAP_KIT_H
#define BSTACK_STACKMAP_KIT_H

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/perf_event.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "forge.h"
#include "stackmap.h"
#include "stackmap.skel.h"
#include "test.h"

#define TEXT_SZ (1 << 20)

static char dir[] = "/tmp/bstack-stackmap-XXXXXX";
static const char *bstack;
static char out[TEXT_SZ], err[TEXT_SZ];
static bool has_bpffs;
static struct stackmap_bpf *skel;

static __attribute__((noinline)) void sm_outer(void)
{
	__asm__ volatile("nop; nop; nop; nop");
}

static __attribute__((noinline)) void sm_inner(void)
{
	__asm__ volatile("nop; nop; nop; nop");
}

/* --- running bstack --- */

static void file_read(const char *name, char *text)
{
	char path[128];
	size_t len = 0;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "re");
	if (CHECK(f)) {
		len = fread(text, 1, TEXT_SZ - 1, f);
		fclose(f);
	}
	text[len] = '\0';
}

/* A shell command; $B is bstack, $D the test's folder. What it prints goes to out and err. */
__attribute__((format(printf, 1, 2))) static int sh(const char *fmt, ...)
{
	char cmd[4096], all[8192];
	va_list ap;
	int status;

	va_start(ap, fmt);
	vsnprintf(cmd, sizeof(cmd), fmt, ap);
	va_end(ap);
	snprintf(all, sizeof(all), "B='%s' D='%s'; { %s; } >%s/out 2>%s/err </dev/null", bstack,
		 dir, cmd, dir, dir);
	status = system(all);
	file_read("out", out);
	file_read("err", err);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

__attribute__((unused)) static bool check_has(const char *text, const char *part)
{
	if (strstr(text, part))
		return true;
	test_fail(__FILE__, __LINE__, "\"%s\" is not in: %s", part, text);
	return false;
}

__attribute__((unused)) static size_t times(const char *text, const char *part)
{
	size_t cnt = 0;

	for (; (text = strstr(text, part)); text += strlen(part))
		cnt++;
	return cnt;
}

__attribute__((unused)) static bool lines_are(size_t expected)
{
	return CHECK_EQ(times(out, "\n"), expected);
}

/* A refusal: nothing on stdout, one line on stderr. */
__attribute__((unused)) static void refused(int code, int expected, const char *text)
{
	char line[2048];

	snprintf(line, sizeof(line), "bstack stackmap: %s\n", text);
	CHECK_EQ(code, expected);
	CHECK_STR(out, "");
	CHECK_STR(err, line);
}

/* --- maps --- */

static uint32_t id_of_fd(int fd)
{
	struct bpf_map_info info = {};
	uint32_t len = sizeof(info);

	CHECK_EQ(bpf_obj_get_info_by_fd(fd, &info, &len), 0);
	return info.id;
}

static uint32_t id_of(const struct bpf_map *map)
{
	return id_of_fd(bpf_map__fd(map));
}

static bool open_skel(void)
{
	if (geteuid())
		return false;
	skel = stackmap_bpf__open_and_load();
	return CHECK(skel);
}

/* A map of our own without BTF. */
__attribute__((unused)) static int make_map(enum bpf_map_type type, const char *name,
					    uint32_t key_sz, uint32_t value_sz)
{
	int fd = bpf_map_create(type, name, key_sz, value_sz, 16, NULL);

	CHECK(fd >= 0);
	return fd;
}

static void close_skel(void)
{
	stackmap_bpf__destroy(skel);
	skel = NULL;
}

#define START()                                                          \
	do {                                                             \
		if (geteuid())                                           \
			SKIP("needs root");                              \
		if (!FORGE_HAS_STACKS)                                   \
			SKIP("hand-made stacks are written for x86-64"); \
		if (!open_skel())                                        \
			return;                                          \
	} while (0)

/* n system calls with the stack "forge_syscall, chain", which the program takes. */
static bool take(const struct forge_frame *chain, int n)
{
	const uint64_t args[6] = { SM_MAGIC, (uint64_t)getpid() };
	struct bpf_link *link = bpf_program__attach(skel->progs.at_syscall);

	if (!CHECK(link))
		return false;
	while (n--)
		forge_syscall(SYS_getppid, args, chain);
	bpf_link__destroy(link);
	return true;
}

static const struct forge_frame chain_outer = { NULL, (uint64_t)&sm_outer + 1 };
static const struct forge_frame chain[] = { { &chain_outer, (uint64_t)&sm_inner + 1 } };

/* The only stack in a map. */
__attribute__((unused)) static uint32_t only_stack(const struct bpf_map *map)
{
	uint32_t id = 0, next;

	CHECK_EQ(bpf_map_get_next_key(bpf_map__fd(map), NULL, &id), 0);
	CHECK_EQ(bpf_map_get_next_key(bpf_map__fd(map), &id, &next), -ENOENT);
	return id;
}

/* What the kernel stored as frame idx of a stack with build-ids. */
__attribute__((unused)) static struct bpf_stack_build_id raw_frame(const struct bpf_map *map,
								   uint32_t id, int idx)
{
	struct bpf_stack_build_id f[SM_FRAMES] = {};

	CHECK_EQ(bpf_map_lookup_elem(bpf_map__fd(map), &id, f), 0);
	return f[idx];
}

/* A private mount namespace, so that no other program sees our BPF file system. */
static void bpffs_mount(void)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/bpf", dir);
	has_bpffs = !mkdir(path, 0700) && !unshare(CLONE_NEWNS) &&
		    !mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) &&
		    !mount("bpf", path, "bpf", 0, NULL);
}

/* The folder, then the tests. */
static int kit_main(const struct test *tests, int argc, char **argv)
{
	char cmd[128];
	int code;

	bstack = realpath(getenv("BSTACK") ? getenv("BSTACK") : "build/bstack", NULL);
	if (!bstack || !mkdtemp(dir))
		return 1;
	bpffs_mount();
	code = test_main(tests, argc, argv);
	snprintf(cmd, sizeof(cmd), "umount %s/bpf 2>/dev/null; rm -rf %s", dir, dir);
	return system(cmd) ? 1 : code;
}

#endif
