/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_procmap.c - asking /proc about mappings: lines of maps text, good and hostile, and a child with a
 * mapping of every kind that holds still while both ways of asking are compared.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "resolve_made.h"

#define PAGE 4096UL

static char folder[] = "/tmp/bstack-test-procmap-XXXXXX";

/* Parse a copy in memory of exactly its size, so that a step beyond it is seen. */
static int line_parse(const char *line, size_t len, struct vma *ret)
{
	char *copy = malloc(len ? len : 1);
	int err;

	memcpy(copy, line, len);
	err = maps_line_parse(copy, len, ret);
	free(copy);
	return err;
}

static void good_lines(void)
{
	static const struct {
		const char *line;
		uint64_t start, end, off;
		enum vma_kind kind;
		const char *path;
	} rows[] = {
		{ "55d0c0000000-55d0c0001000 r-xp 00002000 fe:00 1234567                    "
		  "/usr/bin/true",
		  0x55d0c0000000, 0x55d0c0001000, 0x2000, VMA_FILE, "/usr/bin/true" },
		{ "1000-2000 r--p 00000000 fe:00 12 /usr/bin/true", 0x1000, 0x2000, 0, VMA_DATA,
		  "/usr/bin/true" },
		{ "1000-2000 rwxp 00000000 00:00 0 ", 0x1000, 0x2000, 0, VMA_ANON, "" },
		{ "1000-2000 rwxp 00000000 00:00 0", 0x1000, 0x2000, 0, VMA_ANON, "" },
		{ "1000-2000 --xp 00000000 00:00 0   [heap]", 0x1000, 0x2000, 0, VMA_ANON,
		  "[heap]" },
		{ "7ffc1000-7ffc3000 r-xp 00000000 00:00 0                          [vdso]",
		  0x7ffc1000, 0x7ffc3000, 0, VMA_VDSO, "[vdso]" },
		{ "7ffc1000-7ffc3000 r--p 00000000 00:00 0                          [vvar]",
		  0x7ffc1000, 0x7ffc3000, 0, VMA_DATA, "[vvar]" },
		{ "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  "
		  "[vsyscall]",
		  0xffffffffff600000, 0xffffffffff601000, 0, VMA_SPECIAL, "[vsyscall]" },
		{ "1000-2000 r-xs 00000000 00:01 1 /dev/zero (deleted)", 0x1000, 0x2000, 0,
		  VMA_SHARED_ANON, "/dev/zero (deleted)" },
		{ "1000-2000 r-xs 00000000 00:01 1 /SYSV00000000 (deleted)", 0x1000, 0x2000, 0,
		  VMA_SHARED_ANON, "/SYSV00000000 (deleted)" },
		{ "1000-2000 r-xs 00001000 00:01 77 /memfd:a name (deleted)", 0x1000, 0x2000,
		  0x1000, VMA_FILE, "/memfd:a name (deleted)" },
		{ "1000-2000 r-xp fffffffff000 fe:00 77 /a file  with   blanks (deleted)", 0x1000,
		  0x2000, 0xfffffffff000, VMA_FILE, "/a file  with   blanks (deleted)" },
		{ "1000-2000 r-xp 00000000 fe:00 7 /1000-2000 r-xp 0 0:0 0 /x", 0x1000, 0x2000, 0,
		  VMA_FILE, "/1000-2000 r-xp 0 0:0 0 /x" },
		{ "1000-2000 r-xp 00000000 fe:00 7 /with\\012newline\t\x1b[31m\xff", 0x1000, 0x2000,
		  0, VMA_FILE, "/with\\012newline\t\x1b[31m\xff" },
		{ "1000-2000 r-xp 0 ffff:fffff 18446744073709551615 /big", 0x1000, 0x2000, 0,
		  VMA_FILE, "/big" },
		{ "1000-2000 r-xp 0 0:0 0 [uprobes]", 0x1000, 0x2000, 0, VMA_SPECIAL, "[uprobes]" },
		{ "1000-2000 rwxp 0 0:0 0 [stack]", 0x1000, 0x2000, 0, VMA_ANON, "[stack]" },
		{ "1000-2000 rwxp 0 0:0 0 [anon:jit]", 0x1000, 0x2000, 0, VMA_ANON, "[anon:jit]" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct vma v;

		memset(&v, 0x77, sizeof(v));
		if (!CHECK_EQ(line_parse(rows[i].line, strlen(rows[i].line), &v), 0) ||
		    !CHECK_EQ(v.start, rows[i].start) || !CHECK_EQ(v.end, rows[i].end) ||
		    !CHECK_EQ(v.off, rows[i].off) || !CHECK_EQ(v.kind, rows[i].kind) ||
		    !CHECK_STR(v.path, rows[i].path) || !CHECK_EQ(v.build_id.sz, 0))
			printf("# of \"%s\"\n", rows[i].line);
	}
}

static void bad_lines(void)
{
	static const char *const rows[] = {
		"",
		" ",
		"x",
		"1000",
		"1000-",
		"1000-2000",
		"1000-2000 ",
		"1000-2000 r-xp",
		"1000-2000 r-xp 0",
		"1000-2000 r-xp 0 0:0",
		"1000-2000 r-x 0 0:0 0 /x",
		"1000-2000 r-xpp 0 0:0 0 /x",
		"2000-1000 r-xp 0 0:0 0 /x",
		"1000-1000 r-xp 0 0:0 0 /x",
		"1000 2000 r-xp 0 0:0 0 /x",
		"1000-2000 r-xp zz 0:0 0 /x",
		"1000-2000 r-xp 0 00 0 /x",
		"g000-2000 r-xp 0 0:0 0 /x",
		"Size:                  4 kB",
	};
	struct vma v = { .start = 7 };

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (!CHECK_EQ(line_parse(rows[i], strlen(rows[i]), &v), -EINVAL) ||
		    !CHECK_EQ(v.start, 7))
			printf("# of \"%s\"\n", rows[i]);
	CHECK_EQ(line_parse("1000-2000 r-xp 0 0:0 0 /x\0y", 27, &v), -EINVAL);
}

static void line_cut_and_flipped(void)
{
	static const char line[] =
		"7f0000001000-7f0000002000 r-xp 00002000 fe:00 1234     /lib/x y.so";
	size_t at_inode = (size_t)(strstr(line, "1234") - line), len = sizeof(line) - 1;
	size_t at_path = (size_t)(strchr(line, '/') - line);
	struct vma v;

	for (size_t cut = 0; cut <= len; cut++) {
		int err = line_parse(line, cut, &v);

		if (!CHECK_EQ(err, cut > at_inode ? 0 : -EINVAL))
			printf("# cut at %zu\n", cut);
		if (!err && cut > at_path)
			CHECK(strlen(v.path) == cut - at_path &&
			      !memcmp(v.path, line + at_path, cut - at_path));
		else if (!err)
			CHECK_STR(v.path, "");
	}
	for (size_t i = 0; i < len; i++) {
		for (int c = 0; c < 256; c++) {
			char copy[sizeof(line)];

			memcpy(copy, line, sizeof(line));
			copy[i] = (char)c;
			v.start = v.end = 0;
			if (!line_parse(copy, len, &v))
				CHECK(c && v.start < v.end && memchr(v.path, 0, sizeof(v.path)));
			else
				CHECK(!v.start && !v.end);
		}
	}
}

static void long_names(void)
{
	size_t max = 70000;
	char *line = malloc(max);
	int head = sprintf(line, "1000-2000 r-xp 00000000 fe:00 7 ");
	struct vma v;

	memset(line + head, 'n', max - (size_t)head);
	line[head] = '/';
	CHECK_EQ(line_parse(line, (size_t)head + PATH_MAX - 1, &v), 0);
	CHECK_EQ(strlen(v.path), PATH_MAX - 1);
	/* A path that no one can open: the mapping is told, the path is not. */
	for (size_t len = PATH_MAX; len < PATH_MAX + 200; len++) {
		memset(&v, 0x77, sizeof(v));
		if (!CHECK_EQ(line_parse(line, (size_t)head + len, &v), 0) ||
		    !CHECK_STR(v.path, "") || !CHECK_EQ(v.kind, VMA_FILE) ||
		    !CHECK(v.start == 0x1000 && v.end == 0x2000))
			break;
	}
	CHECK_EQ(line_parse(line, max, &v), 0);
	CHECK_EQ(v.kind, VMA_FILE);
	memset(line, '1', max); /* a number without an end */
	CHECK_EQ(line_parse(line, max, &v), -EINVAL);
	memset(line, ' ', max);
	CHECK_EQ(line_parse(line, max, &v), -EINVAL);
	free(line);
}

static void kinds(void)
{
	static const struct {
		const char *name;
		enum vma_kind kind;
	} rows[] = {
		{ "", VMA_ANON },
		{ "//anon", VMA_ANON },
		{ "[heap]", VMA_ANON },
		{ "[stack]", VMA_ANON },
		{ "[stack:123]", VMA_ANON },
		{ "[anon:dalvik]", VMA_ANON },
		{ "[vdso]", VMA_VDSO },
		{ "[vsyscall]", VMA_SPECIAL },
		{ "[uprobes]", VMA_SPECIAL },
		{ "[sigpage]", VMA_SPECIAL },
		{ "[vvar]", VMA_SPECIAL },
		{ "anon_inode:[perf_event]", VMA_SPECIAL },
		{ "/dev/zero", VMA_SHARED_ANON },
		{ "/dev/zero (deleted)", VMA_SHARED_ANON },
		{ "/SYSV0000002a (deleted)", VMA_SHARED_ANON },
		{ "[anon_shmem:name]", VMA_SHARED_ANON },
		{ "/anon_hugepage (deleted)", VMA_SHARED_ANON },
		{ "/memfd:x (deleted)", VMA_FILE },
		{ "/usr/lib/x.so", VMA_FILE },
		{ "/x (deleted)", VMA_FILE },
		{ "/", VMA_FILE },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (!CHECK_EQ(vma_kind_of(rows[i].name, true), rows[i].kind))
			printf("# of \"%s\"\n", rows[i].name);
		CHECK_EQ(vma_kind_of(rows[i].name, false), VMA_DATA);
	}
}

/*
 * The child: maps things, tells the parent where, and waits for a byte. Its mappings hold still.
 */
enum place {
	AT_ANON,
	AT_SHARED,
	AT_MEMFD,
	AT_DELETED,
	AT_BLANKS,
	AT_NO_ID,
	AT_HOLE,
	AT_DATA,
	AT_CNT
};
struct child {
	pid_t pid;
	int go;
	uint64_t at[AT_CNT];
};

static void *map_file(const char *path, bool is_deleted)
{
	int fd = open(path, O_RDONLY);
	void *p = mmap(NULL, 4 * PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, PAGE);

	close(fd);
	if (is_deleted)
		unlink(path);
	return p;
}

static void *map_memfd(const char *path)
{
	int fd = memfd_create("a name", MFD_CLOEXEC), from = open(path, O_RDONLY);
	struct buf b = {};
	void *p;

	if (read_all(from, &b, 1 << 24) || write_all(fd, b.data, b.len))
		_exit(1);
	buf_release(&b);
	p = mmap(NULL, 4 * PAGE, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
	close(fd);
	close(from);
	return p;
}

static void child_main(int tell, int go)
{
	int anon = MAP_PRIVATE | MAP_ANONYMOUS;
	uint64_t at[AT_CNT];
	char path[256], c, *p;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_NAME, ") 1 2 (x) Z");
	at[AT_ANON] = (uint64_t)mmap(NULL, 2 * PAGE, PROT_READ | PROT_EXEC, anon, -1, 0);
	at[AT_SHARED] = (uint64_t)mmap(NULL, 2 * PAGE, PROT_READ | PROT_EXEC,
				       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	snprintf(path, sizeof(path), "%s/gone.so", folder);
	at[AT_MEMFD] = (uint64_t)map_memfd(path);
	at[AT_DELETED] = (uint64_t)map_file(path, true);
	snprintf(path, sizeof(path), "%s/a file  with (deleted) blanks.so", folder);
	at[AT_BLANKS] = (uint64_t)map_file(path, false);
	snprintf(path, sizeof(path), "%s/none.so", folder);
	at[AT_NO_ID] = (uint64_t)map_file(path, false);
	p = mmap(NULL, 5 * PAGE, PROT_NONE, anon, -1, 0);
	munmap(p + 2 * PAGE, PAGE);
	at[AT_HOLE] = (uint64_t)p + 2 * PAGE;
	at[AT_DATA] = (uint64_t)p + 3 * PAGE;
	if (write_all(tell, at, sizeof(at)))
		_exit(1);
	while (read(go, &c, 1) < 0)
		;
	_exit(0);
}

static void child_start(struct child *c)
{
	int tell[2], go[2];

	if (pipe(tell) || pipe(go))
		abort();
	fflush(stdout);
	c->pid = fork();
	if (!c->pid) {
		close(go[1]);
		close(tell[0]);
		child_main(tell[1], go[0]);
	}
	close(tell[1]);
	close(go[0]);
	c->go = go[1];
	if (!CHECK_EQ(read(tell[0], c->at, sizeof(c->at)), sizeof(c->at)))
		abort();
	close(tell[0]);
}

static void child_end(struct child *c)
{
	close(c->go);
	CHECK_EQ(waitpid(c->pid, NULL, 0), c->pid);
}

/* Three copies of a library: two with a build-id, one without. */
static bool files_make(void)
{
	char cmd[1024];

	snprintf(cmd, sizeof(cmd),
		 "cd %s && echo 'char f[40000] = {1}; int g(int x) { return x + 1; }' >f.c && "
		 "gcc -O1 -fPIC -shared -nostdlib -Wl,--build-id=0x0123456789abcdef -o gone.so f.c "
		 "&& "
		 "cp gone.so 'a file  with (deleted) blanks.so' && "
		 "gcc -O1 -fPIC -shared -nostdlib -Wl,--build-id=none -o none.so f.c",
		 folder);
	return CHECK_EQ(system(cmd), 0);
}

/* A build-id is promised for executable mappings of files only. */
static bool is_same_vma(const struct vma *a, const struct vma *b)
{
	return a->start == b->start && a->end == b->end && a->off == b->off && a->kind == b->kind &&
	       (a->kind != VMA_FILE || !memcmp(&a->build_id, &b->build_id, sizeof(a->build_id))) &&
	       !strcmp(a->path, b->path);
}

static void check_place(struct procmap *map, uint64_t at, enum vma_kind kind, const char *path,
			const char *id, uint64_t off)
{
	char hex[BUILD_ID_HEX_SZ];
	struct vma v;

	memset(&v, 0x77, sizeof(v));
	if (!CHECK_EQ(procmap_find(map, at, &v), 0))
		return;
	CHECK_EQ(v.kind, kind);
	CHECK_EQ(v.start, at);
	CHECK(v.end > at && v.end % PAGE == 0);
	CHECK_STR(build_id_hex(&v.build_id, hex), id);
	if (kind == VMA_FILE) {
		const char *tail = v.path + strlen(v.path) - strlen(path);

		CHECK_EQ(v.off, off);
		if (strlen(v.path) < strlen(path) || !CHECK_STR(tail, path))
			CHECK_STR(v.path, path);
	}
}

static void check_places(const struct child *c, bool is_text)
{
	struct procmap *map;
	struct vma v;

	if (!CHECK_EQ(procmap_open(c->pid, 0, &map), 0))
		return;
	if (is_text)
		procmap_force_text(map);
	check_place(map, c->at[AT_ANON], VMA_ANON, "", "", 0);
	check_place(map, c->at[AT_SHARED], VMA_SHARED_ANON, "", "", 0);
	check_place(map, c->at[AT_MEMFD], VMA_FILE, "/memfd:a name (deleted)", "0123456789abcdef",
		    0);
	check_place(map, c->at[AT_DELETED], VMA_FILE, "/gone.so (deleted)", "0123456789abcdef",
		    PAGE);
	check_place(map, c->at[AT_BLANKS], VMA_FILE, "/a file  with (deleted) blanks.so",
		    "0123456789abcdef", PAGE);
	check_place(map, c->at[AT_NO_ID], VMA_FILE, "/none.so", "", PAGE);
	check_place(map, c->at[AT_HOLE], VMA_HOLE, "", "", 0);
	check_place(map, c->at[AT_DATA], VMA_DATA, "", "", 0);
	CHECK_EQ(procmap_find(map, c->at[AT_HOLE] + 123, &v), 0); /* a hole is told by the page */
	CHECK(v.start == c->at[AT_HOLE] && v.end == c->at[AT_HOLE] + PAGE);
	CHECK_EQ(procmap_find(map, 0x10, &v), 0);
	CHECK(v.kind == VMA_HOLE && v.start == 0 && v.end == PAGE);
	CHECK_EQ(procmap_find(map, 1ULL << 60, &v), 0);
	CHECK_EQ(v.kind, VMA_HOLE);
	procmap_close(map);
}

static void every_place(void)
{
	struct child c;

	if (geteuid())
		SKIP("not root: /proc/PID/map_files cannot be opened");
	if (!files_make())
		return;
	child_start(&c);
	check_places(&c, false);
	check_places(&c, true);
	child_end(&c);
}

/* Each line of the child's maps, at its first, a middle and its last byte, asked in both ways. */
static void both_ways_agree(void)
{
	struct procmap *by_ioctl, *by_text;
	char path[64], line[8192];
	size_t lines = 0, vdsos = 0;
	struct child c;
	FILE *f;

	if (geteuid())
		SKIP("not root: /proc/PID/map_files cannot be opened");
	if (!files_make())
		return;
	child_start(&c);
	CHECK_EQ(procmap_open(c.pid, 0, &by_ioctl), 0);
	CHECK_EQ(procmap_open(c.pid, 0, &by_text), 0);
	procmap_force_text(by_text);
	snprintf(path, sizeof(path), "/proc/%d/maps", c.pid);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f)) {
		unsigned long start, end;
		struct vma a, b;

		CHECK_EQ(sscanf(line, "%lx-%lx", &start, &end), 2);
		if (strstr(line, "[vsyscall]")) { /* the ioctl does not know it */
			CHECK_EQ(procmap_find(by_text, start, &b), 0);
			CHECK_EQ(b.kind, VMA_SPECIAL);
			continue;
		}
		lines++;
		vdsos += strstr(line, "[vdso]") != NULL;
		for (int i = 0; i < 3; i++) {
			uint64_t addr = i == 0 ? start : i == 1 ? (start + end) / 2 : end - 1;

			CHECK_EQ(procmap_find(by_ioctl, addr, &a), 0);
			CHECK_EQ(procmap_find(by_text, addr, &b), 0);
			if (!CHECK(is_same_vma(&a, &b)) || !CHECK(a.start == start && a.end == end))
				printf("# %s", line);
			CHECK(!strstr(line, "[vdso]") == (a.kind != VMA_VDSO));
		}
	}
	if (f)
		fclose(f);
	CHECK(lines > 10);
	CHECK_EQ(vdsos, 1);
	procmap_close(by_ioctl);
	procmap_close(by_text);
	child_end(&c);
}

/* Walk all executable mappings; ends[] are theirs. */
static size_t walk(pid_t pid, bool is_text, uint64_t *ends, size_t max)
{
	struct procmap *map;
	struct vma v = {};
	size_t cnt = 0;

	if (!CHECK_EQ(procmap_open(pid, 0, &map), 0))
		return 0;
	if (is_text)
		procmap_force_text(map);
	for (;;) {
		int err = procmap_next_exec(map, v.end, &v);

		if (err) {
			CHECK_EQ(err, -ENOENT);
			break;
		}
		if (v.kind == VMA_SPECIAL) /* vsyscall, in the text only */
			continue;
		CHECK(v.kind != VMA_DATA && v.kind != VMA_HOLE);
		if (!CHECK(cnt < max))
			break;
		ends[cnt++] = v.end;
	}
	procmap_close(map);
	return cnt;
}

static void executable_walk(void)
{
	uint64_t by_ioctl[256], by_text[256], from_maps[256];
	size_t cnt = 0, n;
	char path[64], line[8192];
	struct child c;
	FILE *f;

	if (!files_make())
		return;
	child_start(&c);
	snprintf(path, sizeof(path), "/proc/%d/maps", c.pid);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f)) {
		unsigned long start, end;
		char perms[8];

		if (sscanf(line, "%lx-%lx %4s", &start, &end, perms) == 3 && perms[2] == 'x' &&
		    !strstr(line, "[vsyscall]") && cnt < 256)
			from_maps[cnt++] = end;
	}
	if (f)
		fclose(f);
	n = walk(c.pid, false, by_ioctl, 256);
	CHECK(cnt >= 8 && n == cnt && !memcmp(by_ioctl, from_maps, cnt * sizeof(*from_maps)));
	n = walk(c.pid, true, by_text, 256);
	CHECK(n == cnt && !memcmp(by_text, from_maps, cnt * sizeof(*from_maps)));
	child_end(&c);
}

static void identity(void)
{
	uint64_t tick_ns, start_ns;
	struct procmap *map = NULL;
	struct child c;

	if (!files_make())
		return;
	child_start(&c); /* whose name is ") 1 2 (x) Z" */
	tick_ns = NSEC_PER_SEC / (uint64_t)sysconf(_SC_CLK_TCK);
	start_ns = start_ticks(c.pid) * tick_ns;
	CHECK(start_ns > 0);
	CHECK_EQ(procmap_open(c.pid, start_ns, &map), 0);
	procmap_close(map);
	CHECK_EQ(procmap_open(c.pid, start_ns + tick_ns - 1, &map), 0); /* of the same tick */
	procmap_close(map);
	CHECK_EQ(procmap_open(c.pid, start_ns + tick_ns, &map), -ESRCH);
	CHECK_EQ(procmap_open(c.pid, start_ns - 1, &map), -ESRCH);
	CHECK_EQ(procmap_open(c.pid, 1, &map), -ESRCH);
	child_end(&c);
	CHECK_EQ(procmap_open(c.pid, 0, &map), -ESRCH);
	CHECK_EQ(procmap_open((pid_t)NOBODY, 0, &map), -ESRCH);
	procmap_close(NULL);
}

/* Opened while it lives, asked when it is dead: as a zombie, and when it is reaped. */
static void death(void)
{
	struct procmap *maps[2];
	struct child c;
	struct vma v;
	siginfo_t info;

	if (!files_make())
		return;
	child_start(&c);
	CHECK_EQ(procmap_open(c.pid, 0, &maps[0]), 0);
	CHECK_EQ(procmap_open(c.pid, 0, &maps[1]), 0);
	procmap_force_text(maps[1]);
	CHECK_EQ(procmap_find(maps[0], c.at[AT_ANON], &v), 0);
	CHECK_EQ(procmap_find(maps[1], c.at[AT_ANON], &v), 0);
	kill(c.pid, SIGKILL);
	CHECK_EQ(waitid(P_PID, (id_t)c.pid, &info, WEXITED | WNOWAIT), 0);
	for (int i = 0; i < 2; i++) {
		CHECK_EQ(procmap_find(maps[i], c.at[AT_ANON], &v), -ESRCH);
		CHECK_EQ(procmap_next_exec(maps[i], 0, &v), -ESRCH);
	}
	child_end(&c);
	for (int i = 0; i < 2; i++) {
		CHECK_EQ(procmap_find(maps[i], c.at[AT_ANON], &v), -ESRCH);
		CHECK_EQ(procmap_next_exec(maps[i], 0, &v), -ESRCH);
		procmap_close(maps[i]);
	}
}

static void *page_map(void *at)
{
	return mmap(at, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
		    0);
}

/* A walk over the text reads it once: what is mapped meanwhile is seen by the next. */
static void text_is_read_once(void)
{
	char *area = mmap(NULL, 8 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct procmap *map;
	struct vma v = {};

	CHECK(page_map(area + PAGE) != MAP_FAILED && page_map(area + 5 * PAGE) != MAP_FAILED);
	CHECK_EQ(procmap_open(getpid(), 0, &map), 0);
	procmap_force_text(map);
	while (v.start != (uint64_t)area + PAGE && CHECK_EQ(procmap_next_exec(map, v.end, &v), 0))
		;
	CHECK(page_map(area + 3 * PAGE) != MAP_FAILED);
	CHECK_EQ(procmap_next_exec(map, v.end, &v), 0);
	CHECK_EQ(v.start, (uint64_t)area + 5 * PAGE);
	CHECK_EQ(procmap_next_exec(map, (uint64_t)area + 2 * PAGE, &v), 0);
	CHECK_EQ(v.start, (uint64_t)area + 3 * PAGE);
	procmap_close(map);
	munmap(area, 8 * PAGE);
}

static void files_that_are_none(void)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/fifo", folder);
	CHECK_EQ(mkfifo(path, 0600), 0);
	CHECK_EQ(procmap_open_file(getpid(), 1, 2, path), -EINVAL); /* at once */
	CHECK_EQ(procmap_open_file(getpid(), 1, 2, "/dev/null"), -EINVAL);
	CHECK_EQ(procmap_open_file(getpid(), 1, 2, folder), -EINVAL);
	CHECK_EQ(procmap_open_file(getpid(), 1, 2, "/no such file"), -ENOENT);
	CHECK(procmap_open_file(getpid(), 1, 2, "[vdso]") < 0);
	CHECK(procmap_open_file(getpid(), 1, 2, "") < 0);
	CHECK(procmap_open_file((pid_t)NOBODY, 1, 2, "/etc/passwd") < 0);
	fd = procmap_open_file(getpid(), 1, 2, "/proc/self/exe");
	CHECK(fd >= 0);
	close(fd);
}

/* A file whose path is longer than PATH_MAX, mapped here; NULL: cannot be made. */
static void *deep_map(void)
{
	char name[251], lib[256];
	int home = open(".", O_RDONLY | O_DIRECTORY), fd;
	struct buf b = {};
	void *p = MAP_FAILED;

	snprintf(lib, sizeof(lib), "%s/none.so", folder);
	memset(name, 'd', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	fd = open(lib, O_RDONLY);
	if (fd < 0 || read_all(fd, &b, 1 << 20) || chdir(folder))
		abort();
	close(fd);
	for (int i = 0; i < 18; i++)
		if (mkdir(name, 0700) || chdir(name))
			abort();
	fd = open("deep.so", O_RDWR | O_CREAT, 0600);
	if (fd >= 0 && !write_all(fd, b.data, b.len))
		p = mmap(NULL, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
	close(fd);
	buf_release(&b);
	if (fchdir(home))
		abort();
	close(home);
	return p == MAP_FAILED ? NULL : p;
}

/* One path that no system call can take must not cost the process its other mappings. */
static void path_beyond_path_max(void)
{
	struct loaded self;
	struct procmap *map;
	struct made m;
	struct vma v;
	void *deep;

	if (!files_make() || !CHECK(loaded_get("", &self)))
		return;
	deep = deep_map();
	if (!CHECK(deep))
		return;
	for (int is_text = 0; is_text < 2; is_text++) {
		CHECK_EQ(procmap_open(getpid(), 0, &map), 0);
		if (is_text)
			procmap_force_text(map);
		CHECK_EQ(procmap_find(map, (uint64_t)deep, &v), 0);
		CHECK_EQ(v.kind, VMA_FILE);
		CHECK_EQ(v.start, (uint64_t)deep);
		procmap_close(map);
		made_open(&m);
		if (is_text)
			resolver_force_text(m.r);
		for (uint64_t t = 10; t < 12; t++) {
			uint64_t ip = t == 10 ? (uint64_t)deep : loaded_ip(&self, self.seg_off);
			struct raw_sample s = made_raw((uint32_t)getpid(), t, &ip, 1, NULL);

			s.mm.start_ns = 0;
			CHECK_EQ(resolver_sample(m.r, &s), 0);
		}
		CHECK_EQ(resolver_advance(m.r, 20), 0);
		CHECK_EQ(resolver_advance(m.r, UINT64_MAX / 2), 0);
		CHECK_EQ(m.cnt, 2);
		CHECK_FRAME(&m, 0, EVID_NONE, REASON_NO_BUILD_ID, 0);
		CHECK_FRAME(&m, 1, EVID_QUERY, REASON_NO, self.seg_off);
		made_close(&m);
	}
	munmap(deep, PAGE);
}

/* Told with zeros behind it, as by the kernel's walk: the file knows how long its build-id is. */
static void build_id_length_from_the_file(void)
{
	struct map_event e = { .kind = MAP_EVENT_MMAP,
			       .time_ns = 5,
			       .pid = NOBODY,
			       .start = 0x100000,
			       .end = 0x200000,
			       .vma_kind = VMA_FILE };
	struct build_id padded;
	char path[256];
	struct made m;

	if (!files_make())
		return;
	snprintf(path, sizeof(path), "%s/gone.so", folder);
	e.path = path;
	CHECK_EQ(build_id_parse("0123456789abcdef", &padded), 0);
	padded.sz = BUILD_ID_MAX;
	e.build_id = padded;
	made_open(&m);
	CHECK_EQ(resolver_event(m.r, &e), 0);
	CHECK_EQ(resolver_advance(m.r, 10), 0);
	CHECK_EQ(m.module_calls, 1);
	CHECK_EQ(resolver_module(m.r, 0)->build_id.sz, 8);
	CHECK(resolver_module(m.r, 0)->is_segs_known);
	made_close(&m);
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		TEST(good_lines),
		TEST(bad_lines),
		TEST(line_cut_and_flipped),
		TEST(long_names),
		TEST(kinds),
		TEST(every_place),
		TEST(both_ways_agree),
		TEST(executable_walk),
		TEST(identity),
		TEST(death),
		TEST(files_that_are_none),
		TEST(text_is_read_once),
		TEST(path_beyond_path_max),
		TEST(build_id_length_from_the_file),
		{},
	};
	char cmd[128];
	int code;

	if (!mkdtemp(folder))
		return 2;
	code = test_main(tests, argc, argv);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", folder);
	return system(cmd) ? 2 : code;
}
