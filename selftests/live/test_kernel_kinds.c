// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * test_kernel_kinds - what this kernel makes of each kind of address in a build-id stack: which
 * frames are VALID, with which build-id and offset, which stay IPs. Nothing holds the lock here.
 */
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/vfs.h>

#include "kernel_kit.h"

#define TRIES_MAX   50
#define FILE_PAGES  8
#define FILE_SZ     (FILE_PAGES * (size_t)FORGE_PAGE)
#define VSYSCALL    0xffffffffff600000UL
#define KERNEL_TEXT 0xffffffff81000000UL
#define LOW_ADDR    0x10000UL
#define MAPPED(p)   CHECK((p) != MAP_FAILED)

/* The chain under construction. */
static struct expect want[KF_FRAMES];
static struct forge_frame chain[KF_FRAMES];
static size_t want_cnt;
static char scratch_dir[512];

static struct expect *add(const char *what, uint64_t ip)
{
	struct expect *e = &want[want_cnt < KF_FRAMES - 1 ? want_cnt++ : want_cnt];

	CHECK(want_cnt < KF_FRAMES - 1);
	*e = (struct expect){ .what = what, .ip = ip, .can_be = CAN_BE_IP };
	return e;
}

static void add_own(const char *what, uint64_t ip)
{
	struct expect *e = add(what, ip);

	*e = expect_own(what, ip);
}

static struct expect *add_valid(const char *what, uint64_t ip, const uint8_t *id, uint64_t offset)
{
	struct expect *e = add(what, ip);

	e->can_be = CAN_BE_VALID;
	e->offset = offset;
	memcpy(e->id, id, sizeof(e->id));
	return e;
}

/* want[0] is the leaf; the rest hangs on the chain. */
static void chain_link(void)
{
	for (size_t i = 1; i < want_cnt; i++) {
		chain[i].ret = want[i].ip;
		chain[i].next = i + 1 < want_cnt ? &chain[i + 1] : NULL;
	}
}

/* A build-id that no other file has. */
static void id_make(uint8_t id[FORGE_ID_SZ], uint8_t seed)
{
	for (int i = 0; i < FORGE_ID_SZ; i++)
		id[i] = (uint8_t)(seed + 7 * i);
}

/* --- files --- */

static bool write_all(int fd, const void *buf, size_t sz)
{
	return CHECK_EQ(pwrite(fd, buf, sz, 0), sz);
}

/* A file of FILE_PAGES pages that begins with these; all of it in the page cache. */
static bool file_fill(int fd, const uint8_t page[FORGE_PAGE])
{
	static uint8_t data[FILE_SZ];

	memset(data, 0xcc, sizeof(data));
	memcpy(data, page, FORGE_PAGE);
	return write_all(fd, data, sizeof(data));
}

static void *map(int fd, void *at, size_t sz, off_t offset)
{
	int flags = MAP_PRIVATE | (at ? MAP_FIXED_NOREPLACE : 0);
	void *p = mmap(at, sz, PROT_READ | PROT_EXEC, flags, fd, offset);

	MAPPED(p);
	return p;
}

static int scratch_open(char path[600], const char *name)
{
	int fd;

	if (!scratch_dir[0]) {
		ssize_t n = readlink("/proc/self/exe", scratch_dir, sizeof(scratch_dir) - 1);

		CHECK(n > 0);
		scratch_dir[n > 0 ? n : 0] = '\0';
		if (strrchr(scratch_dir, '/'))
			*strrchr(scratch_dir, '/') = '\0';
	}
	snprintf(path, 600, "%s/%s.XXXXXX", scratch_dir, name);
	fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0)
		test_fail(__FILE__, __LINE__, "cannot create %s: %s", path, strerror(errno));
	return fd;
}

/* A memfd that begins with an ELF file of this type with this note. */
static int elf_memfd(uint16_t type, bool has_note, const uint8_t id[FORGE_ID_SZ], uint32_t id_sz)
{
	int fd = memfd_create("forged", MFD_CLOEXEC);
	uint8_t page[FORGE_PAGE];

	forge_elf(page, type, has_note, id, id_sz);
	if (CHECK(fd >= 0))
		file_fill(fd, page);
	return fd;
}

/* --- the kinds --- */

static void add_anonymous(void)
{
	int rx = PROT_READ | PROT_EXEC;
	void *p = mmap(NULL, FORGE_PAGE, rx, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int on_stack;

	if (MAPPED(p))
		add("anonymous executable memory", (uint64_t)p + 0x123);
	add("stack", (uint64_t)&on_stack);
	add("heap", (uint64_t)malloc(64)); /* kept: the address has to stay what it is */
	if (getauxval(AT_SYSINFO_EHDR))
		add("vdso", getauxval(AT_SYSINFO_EHDR) + 0x800);
	add("vsyscall", VSYSCALL);
	add("kernel address", KERNEL_TEXT + 0x1234);
	add("non-canonical address", 0x8000000000001234);
}

static void add_memfds(void)
{
	static const uint8_t plain[FORGE_PAGE] = "not an ELF file";
	int fd = memfd_create("plain", MFD_CLOEXEC);
	uint8_t id[FORGE_ID_SZ];
	void *p;

	if (CHECK(fd >= 0) && file_fill(fd, plain)) {
		p = map(fd, NULL, FILE_SZ, 0);
		add("memfd without ELF", (uint64_t)p + 0x1010);
	}
	close(fd);

	id_make(id, 1);
	fd = elf_memfd(ET_DYN, true, id, sizeof(id));
	p = map(fd, NULL, FILE_SZ, 0);
	add_valid("memfd with ELF", (uint64_t)p + 0x1020, id, 0x1020);
	/* the second page of the file first: the offset is the file's, not the mapping's */
	p = map(fd, NULL, FORGE_PAGE, FORGE_PAGE);
	add_valid("memfd with ELF, second page", (uint64_t)p + 0x20, id, 0x1020);
	close(fd);
}

/* Notes and types that the kernel's parser refuses, and one that it pads. */
static void add_odd_elfs(void)
{
	uint8_t id[FORGE_ID_SZ];
	int fd;

	id_make(id, 2);
	fd = elf_memfd(ET_DYN, false, id, 0);
	add("ELF without notes", (uint64_t)map(fd, NULL, FILE_SZ, 0) + 0x1030);
	close(fd);
	fd = elf_memfd(ET_REL, true, id, sizeof(id));
	add("relocatable ELF", (uint64_t)map(fd, NULL, FILE_SZ, 0) + 0x1040);
	close(fd);
	fd = elf_memfd(ET_DYN, true, id, 21);
	add("note of 21 bytes", (uint64_t)map(fd, NULL, FILE_SZ, 0) + 0x1050);
	close(fd);
	fd = elf_memfd(ET_EXEC, true, id, 16);
	memset(id + 16, 0, 4);
	add_valid("note of 16 bytes", (uint64_t)map(fd, NULL, FILE_SZ, 0) + 0x1060, id, 0x1060);
	close(fd);
}

/* Real files of the linker's, with a build-id that we chose and without one. */
static void add_linked(const char *what, const char *option, const uint8_t *id)
{
	char path[600], command[900];
	int fd = scratch_open(path, "linked");

	if (fd < 0)
		return;
	close(fd);
	snprintf(command, sizeof(command),
		 "echo 'int f(int i) { return i + 1; }' |"
		 " gcc -x c -shared -fPIC -nostdlib '-Wl,--build-id=%s' -o '%s' - >&2",
		 option, path);
	if (CHECK_EQ(system(command), 0)) {
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (CHECK(fd >= 0)) {
			uint64_t ip = (uint64_t)map(fd, NULL, FORGE_PAGE, 0) + 0x70;

			if (id)
				add_valid(what, ip, id, 0x70);
			else
				add(what, ip);
			close(fd);
		}
	}
	unlink(path);
}

static void add_deleted(void)
{
	uint8_t page[FORGE_PAGE], id[FORGE_ID_SZ];
	char path[600];
	int fd = scratch_open(path, "deleted");

	if (fd < 0)
		return;
	id_make(id, 3);
	forge_elf(page, ET_DYN, true, id, sizeof(id));
	if (file_fill(fd, page))
		add_valid("deleted ELF", (uint64_t)map(fd, NULL, FILE_SZ, 0) + 0x1070, id, 0x1070);
	unlink(path);
	close(fd);
}

/* A private mapping whose pages we have written, the header too: the note is still the file's. */
static void add_cowed(void)
{
	int rwx = PROT_READ | PROT_WRITE | PROT_EXEC, fd;
	uint8_t id[FORGE_ID_SZ], *p;

	id_make(id, 4);
	fd = elf_memfd(ET_DYN, true, id, sizeof(id));
	p = mmap(NULL, FILE_SZ, rwx, MAP_PRIVATE, fd, 0);
	if (MAPPED(p)) {
		memset(p, 0x90, 2 * FORGE_PAGE);
		add_valid("private mapping, written", (uint64_t)p + 0x1080, id, 0x1080);
	}
	close(fd);
}

/* A process can forge a build-id: shared anonymous memory is a file to the kernel. */
static void add_forgery(void)
{
	int rwx = PROT_READ | PROT_WRITE | PROT_EXEC;
	uint8_t *p = mmap(NULL, FILE_SZ, rwx, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	uint8_t id[FORGE_ID_SZ];

	if (!MAPPED(p))
		return;
	id_make(id, 5);
	forge_elf(p, ET_DYN, true, id, sizeof(id));
	add_valid("shared anonymous forgery", (uint64_t)p + 0x1090, id, 0x1090);
}

/*
 * A file of two pages with anonymous memory behind it: the first address behind it belongs to the
 * latter, but up to 6.18 the cached VMA of the frame before is taken for it (range check inclusive).
 */
static size_t add_vm_end(void)
{
	int rx = PROT_READ | PROT_EXEC, fd;
	uint8_t id[FORGE_ID_SZ], *p;

	id_make(id, 6);
	p = mmap(NULL, 3 * FORGE_PAGE, rx, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (!MAPPED(p))
		return 0;
	fd = elf_memfd(ET_DYN, true, id, sizeof(id));
	MAPPED(mmap(p, 2 * FORGE_PAGE, rx, MAP_PRIVATE | MAP_FIXED, fd, 0));
	close(fd);
	add_valid("last byte of a file", (uint64_t)p + 0x1fff, id, 0x1fff);
	add_valid("vm_end", (uint64_t)p + 0x2000, id, 0x2000)->can_be |= CAN_BE_IP;
	add("behind vm_end", (uint64_t)p + 0x2001);
	return want_cnt - 2;
}

/* An address in a hole gets the next VMA's build-id and a wrapped offset, unless the kernel checks. */
static size_t add_hole(uint8_t **ret_hole)
{
	uint8_t id[FORGE_ID_SZ], *p;
	uint64_t ip;
	int fd;

	id_make(id, 7);
	p = mmap(NULL, 4 * FORGE_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (!MAPPED(p))
		return 0;
	fd = elf_memfd(ET_DYN, true, id, sizeof(id));
	MAPPED(mmap(p + 3 * FORGE_PAGE, FORGE_PAGE, PROT_READ, MAP_PRIVATE | MAP_FIXED, fd,
		    FORGE_PAGE));
	close(fd);
	ip = (uint64_t)p + FORGE_PAGE + 0x11;
	add_valid("hole", ip, id, FORGE_PAGE + ip - ((uint64_t)p + 3 * FORGE_PAGE));
	want[want_cnt - 1].can_be |= CAN_BE_IP;
	*ret_hole = p;
	return want_cnt - 1;
}

/* Far below everything: the lowest VMA, which we make ourselves, is taken for it. */
static size_t add_low(uint8_t **ret_low)
{
	uint8_t id[FORGE_ID_SZ];
	int fd;

	id_make(id, 8);
	fd = elf_memfd(ET_DYN, true, id, sizeof(id));
	*ret_low = map(fd, (void *)LOW_ADDR, FORGE_PAGE, 0);
	close(fd);
	CHECK_EQ((uint64_t)*ret_low, LOW_ADDR);
	add_valid("0x10", 0x10, id, 0x10 - LOW_ADDR)->can_be |= CAN_BE_IP;
	return want_cnt - 1;
}

static const char *status_name(const struct bpf_stack_build_id *f)
{
	return f->status == BPF_STACK_BUILD_ID_VALID ? "VALID" : "IP";
}

/* Everything in one system call, by both helpers. */
static void every_address_kind(void)
{
	static const uint8_t linked_id[FORGE_ID_SZ] = {
		0xb5, 0x7a, 0xc4, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17
	};
	size_t vm_end_idx, hole_idx, low_idx;
	const struct kf_result *r;
	uint8_t *hole = NULL, *low = NULL;
	struct kit k;

	KIT_NEEDS();
	want_cnt = 0;
	add_own("leaf", (uint64_t)forge_after_syscall);
	add_own("this program", (uint64_t)&every_address_kind + 1);
	add_own("libc", (uint64_t)&getpid + 1);
	add_anonymous();
	add_memfds();
	add_odd_elfs();
	add_linked("linked without build-id", "none", NULL);
	add_linked("linked", "0xb57ac40102030405060708090a0b0c0d0e0f1011", linked_id);
	add_deleted();
	add_cowed();
	add_forgery();
	vm_end_idx = add_vm_end();
	hole_idx = add_hole(&hole);
	low_idx = add_low(&low);
	add_own("this program again", (uint64_t)&chain_link + 1);
	chain_link();
	if (test_failures || !hole || !low || !kit_run(&k, "at_syscall", NULL))
		return;
	CHECK_EQ(munmap(hole, 3 * FORGE_PAGE), 0);
	r = &k.skel->bss->result;
	if (kit_syscall(&k, KF_AT_SYSCALL, &chain[1])) {
		ips_check(r, want, want_cnt);
		stack_check("get_stack", r->first, r->first_len, want, want_cnt, 0);
		stack_check("second get_stack", r->second, r->second_len, want, want_cnt, 0);
		stackmap_check(&k, r->first, want_cnt);
		printf("# vm_end %s, hole %s, 0x10 %s\n", status_name(&r->first[vm_end_idx]),
		       status_name(&r->first[hole_idx]), status_name(&r->first[low_idx]));
		/* a kernel either looks at vm_start or does not */
		CHECK_EQ(r->first[hole_idx].status, r->first[low_idx].status);
	}
	munmap(low, FORGE_PAGE);
	kit_close(&k);
}

/* --- the page that holds the note is not in the page cache --- */

static bool is_resident(void *page)
{
	unsigned char v = 1;

	return !CHECK_EQ(mincore(page, FORGE_PAGE, &v), 0) || (v & 1);
}

static bool copy_self(int fd, size_t *ret_sz)
{
	static char buf[1 << 16];
	int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	ssize_t n = -1;

	*ret_sz = 0;
	while (from >= 0 && (n = read(from, buf, sizeof(buf))) > 0) {
		if (write(fd, buf, (size_t)n) != n)
			break;
		*ret_sz += (size_t)n;
	}
	close(from);
	return CHECK_EQ(n, 0) && CHECK(*ret_sz > 3 * FORGE_PAGE);
}

static bool drop_pages(int fd, void *page)
{
	for (int i = 0; i < TRIES_MAX; i++) {
		CHECK_EQ(fsync(fd), 0);
		posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
		if (!is_resident(page))
			return true;
	}
	return false;
}

/* The chain: a page of the copy that nobody touches, then a function of ours. */
static void cold_check(struct kit *k, int fd, uint8_t *p)
{
	const struct kf_result *r = &k->skel->bss->result;
	struct forge_truth self = forge_truth_of((uint64_t)&cold_check);
	char byte;

	want_cnt = 0;
	add_own("leaf", (uint64_t)forge_after_syscall);
	add("file whose note is not in memory", (uint64_t)p + 2 * FORGE_PAGE + 0x10);
	add_own("this program", (uint64_t)&cold_check + 1);
	chain_link();
	for (int i = 0; i < 3 && kit_syscall(k, KF_AT_SYSCALL, &chain[1]); i++) {
		ips_check(r, want, want_cnt);
		stack_check("cold", r->first, r->first_len, want, want_cnt, 0);
		stackmap_check(k, r->first, want_cnt);
		CHECK(!is_resident(p)); /* the walk read nothing */
	}
	CHECK_EQ(pread(fd, &byte, 1, 0), 1);
	CHECK(is_resident(p));
	want[1].can_be = CAN_BE_VALID;
	want[1].offset = 2 * FORGE_PAGE + 0x10;
	memcpy(want[1].id, self.id, sizeof(self.id));
	if (kit_syscall(k, KF_AT_SYSCALL, &chain[1])) {
		stack_check("warm", r->first, r->first_len, want, want_cnt, 0);
		stackmap_check(k, r->first, want_cnt);
	}
}

static bool is_memory_fs(int fd)
{
	struct statfs s;

	return !fstatfs(fd, &s) && (s.f_type == TMPFS_MAGIC || s.f_type == RAMFS_MAGIC ||
				    s.f_type == OVERLAYFS_SUPER_MAGIC);
}

static void note_not_in_page_cache(void)
{
	bool is_cold = false, is_memory;
	char path[600];
	struct kit k;
	void *p;
	size_t sz;
	int fd;

	KIT_NEEDS();
	fd = scratch_open(path, "cold");
	if (fd < 0)
		return;
	is_memory = is_memory_fs(fd);
	p = copy_self(fd, &sz) ? map(fd, NULL, sz, 0) : MAP_FAILED;
	if (MAPPED(p) && kit_run(&k, "at_syscall", NULL)) {
		is_cold = drop_pages(fd, p);
		if (is_cold)
			cold_check(&k, fd, p);
		else if (!is_memory)
			CHECK(!"fadvise(DONTNEED) never dropped the first page of a clean file");
		munmap(p, sz);
		kit_close(&k);
	}
	close(fd);
	unlink(path);
	if (!is_cold && is_memory)
		SKIP("%.150s is on a file system whose pages never leave memory", scratch_dir);
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		TEST(every_address_kind),
		TEST(note_not_in_page_cache),
		{},
	};

	return test_main(tests, argc, argv);
}
