/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_elfseg.c - build-id and executable segments of ELF files: one that gcc made here and now, and all that
 * can be wrong with it. What is right is read from the file a second time, by the test.
 */
#include <elf.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "resolve/elfseg.h"
#include "test.h"

static char folder[] = "/tmp/bstack-test-elfseg-XXXXXX";

/* A file image in memory. */
struct image {
	uint8_t *data;
	size_t sz;
};

static int fd_of(const void *data, size_t sz)
{
	int fd = memfd_create("image", MFD_CLOEXEC);

	if (fd < 0 || write_all(fd, data, sz))
		abort();
	return fd;
}

static int segs_of(const void *data, size_t sz, struct elfsegs *ret)
{
	int fd = fd_of(data, sz), err;

	memset(ret, 0x77, sizeof(*ret));
	err = elfsegs_read(fd, ret);
	close(fd);
	return err;
}

static bool is_untouched(const struct elfsegs *s)
{
	const uint8_t *p = (const uint8_t *)s;

	for (size_t i = 0; i < sizeof(*s); i++)
		if (p[i] != 0x77)
			return false;
	return true;
}

/* A shared library of gcc's, with these flags; false: gcc cannot make it. */
static bool build(const char *flags, struct image *ret)
{
	struct buf b = {};
	char cmd[512];
	int fd;

	snprintf(cmd, sizeof(cmd),
		 "cd %s && echo 'int f(int x) { return x + 1; }' >f.c && "
		 "gcc -O1 -fPIC -shared -nostdlib %s -o f.so f.c 2>err",
		 folder, flags);
	if (system(cmd))
		return false;
	snprintf(cmd, sizeof(cmd), "%s/f.so", folder);
	fd = open(cmd, O_RDONLY);
	if (fd < 0 || read_all(fd, &b, 1 << 22))
		abort();
	close(fd);
	*ret = (struct image){ .data = (uint8_t *)b.data, .sz = b.len };
	return true;
}

#define ID_HEX "00112233445566778899aabbccddeeff01234567"

static bool build_usual(struct image *ret)
{
	return CHECK(build("-Wl,--build-id=0x" ID_HEX, ret));
}

static Elf64_Ehdr *ehdr(struct image *im)
{
	return (Elf64_Ehdr *)im->data;
}

static Elf64_Phdr *phdr(struct image *im, size_t i)
{
	return (Elf64_Phdr *)(im->data + ehdr(im)->e_phoff) + i;
}

/* First program header of this type; flags must be a subset of its flags. */
static Elf64_Phdr *phdr_of(struct image *im, uint32_t type, uint32_t flags)
{
	for (size_t i = 0; i < ehdr(im)->e_phnum; i++)
		if (phdr(im, i)->p_type == type && (phdr(im, i)->p_flags & flags) == flags)
			return phdr(im, i);
	abort();
}

/* The note that holds the build-id: wherever its bytes are. */
static Elf64_Nhdr *note_of(struct image *im)
{
	struct build_id id;

	build_id_parse(ID_HEX, &id);
	return (Elf64_Nhdr *)((uint8_t *)memmem(im->data, im->sz, id.bytes, id.sz) - 16);
}

static void usual_file(void)
{
	struct image im;
	struct elfsegs s;
	char hex[BUILD_ID_HEX_SZ];
	const Elf64_Phdr *x;

	if (!build_usual(&im))
		return;
	x = phdr_of(&im, PT_LOAD, PF_X);
	CHECK_EQ(segs_of(im.data, im.sz, &s), 0);
	CHECK_STR(build_id_hex(&s.build_id, hex), ID_HEX);
	CHECK_EQ(s.cnt, 1);
	CHECK_EQ(s.seg[0].off, x->p_offset);
	CHECK_EQ(s.seg[0].sz, x->p_filesz);
	CHECK_EQ(s.seg[0].vaddr, x->p_vaddr);
	CHECK(elfsegs_find(&s, x->p_offset) == &s.seg[0]);
	CHECK(elfsegs_find(&s, x->p_offset + x->p_filesz - 1) == &s.seg[0]);
	CHECK(!elfsegs_find(&s, x->p_offset + x->p_filesz));
	CHECK(!elfsegs_find(&s, x->p_offset - 1));
	CHECK(!elfsegs_find(&s, UINT64_MAX));
	CHECK(!elfsegs_find(&s, 0));
	free(im.data);
}

static void own_program(void)
{
	int fd = open("/proc/self/exe", O_RDONLY);
	struct elfsegs s;
	uint64_t at;

	CHECK_EQ(elfsegs_read(fd, &s), 0);
	CHECK_EQ(s.build_id.sz, 20);
	CHECK_EQ(s.cnt, 1);
	lseek(fd, 100, SEEK_SET); /* the position is neither used nor moved */
	CHECK_EQ(elfsegs_read(fd, &s), 0);
	at = (uint64_t)lseek(fd, 0, SEEK_CUR);
	CHECK_EQ(at, 100);
	close(fd);
}

static void other_build_ids(void)
{
	struct image im;
	struct elfsegs s;
	char hex[BUILD_ID_HEX_SZ];

	if (CHECK(build("-Wl,--build-id=none", &im))) {
		CHECK_EQ(segs_of(im.data, im.sz, &s), 0);
		CHECK_EQ(s.build_id.sz, 0);
		CHECK_EQ(s.cnt, 1);
		free(im.data);
	}
	if (CHECK(build("-Wl,--build-id=md5", &im))) {
		CHECK_EQ(segs_of(im.data, im.sz, &s), 0);
		CHECK_EQ(s.build_id.sz, 16);
		free(im.data);
	}
	if (CHECK(build("-Wl,--build-id=0xabcd0100", &im))) {
		struct build_id id;

		build_id_parse("abcd0100", &id);
		CHECK_EQ(segs_of(im.data, im.sz, &s), 0);
		CHECK_STR(build_id_hex(&s.build_id, hex), "abcd0100");
		CHECK(!memcmp(&s.build_id, &id, sizeof(id))); /* zero behind its four bytes */
		free(im.data);
	}
	/* Without room for the padding the kernel sees no note, so there is none for us. */
	if (CHECK(build("-Wl,--build-id=0xab", &im))) {
		CHECK_EQ(segs_of(im.data, im.sz, &s), 0);
		CHECK_EQ(s.build_id.sz, 0);
		free(im.data);
	}
	/* 21 bytes, and 24 that need no padding: not one of ours */
	for (int i = 0; i < 2; i++) {
		if (!CHECK(build(i ? "-Wl,--build-id=0x" ID_HEX "ffeeddcc"
				   : "-Wl,--build-id=0x" ID_HEX "ff",
				 &im)))
			break;
		CHECK_EQ(segs_of(im.data, im.sz, &s), 0);
		CHECK_EQ(s.build_id.sz, 0);
		free(im.data);
	}
	/* Code and data in one segment, and every section in segments of its own */
	if (CHECK(build("-Wl,--build-id=0x" ID_HEX " -Wl,-z,noseparate-code", &im))) {
		CHECK_EQ(segs_of(im.data, im.sz, &s), 0);
		CHECK_EQ(s.cnt, 1);
		CHECK_EQ(s.seg[0].off, 0);
		CHECK_EQ(s.build_id.sz, 20);
		free(im.data);
	}
}

/* Elf32: made by hand, gcc may not have the libraries. */
struct elf32 {
	Elf32_Ehdr e;
	Elf32_Phdr p[2];
	Elf32_Nhdr n;
	char name[4];
	uint8_t id[8];
};

static struct elf32 elf32_make(void)
{
	struct elf32 f = {
		.e = { .e_type = ET_DYN,
		       .e_machine = EM_386,
		       .e_version = 1,
		       .e_phoff = offsetof(struct elf32, p),
		       .e_ehsize = sizeof(Elf32_Ehdr),
		       .e_phentsize = sizeof(Elf32_Phdr),
		       .e_phnum = 2 },
		.p = { { .p_type = PT_LOAD,
			 .p_offset = 0x1000,
			 .p_vaddr = 0x8049000,
			 .p_filesz = 0x234,
			 .p_flags = PF_R | PF_X },
		       { .p_type = PT_NOTE,
			 .p_offset = offsetof(struct elf32, n),
			 .p_filesz = sizeof(Elf32_Nhdr) + 4 + 8 } },
		.n = { 4, 8, NT_GNU_BUILD_ID },
		.name = "GNU",
		.id = { 1, 2, 3, 4, 5, 6, 7, 8 },
	};

	memcpy(f.e.e_ident, ELFMAG "\1\1\1", 7);
	return f;
}

static void elf32(void)
{
	struct elf32 f = elf32_make();
	struct elfsegs s;
	char hex[BUILD_ID_HEX_SZ];

	CHECK_EQ(segs_of(&f, sizeof(f), &s), 0);
	CHECK_STR(build_id_hex(&s.build_id, hex), "0102030405060708");
	CHECK_EQ(s.cnt, 1);
	CHECK_EQ(s.seg[0].off, 0x1000);
	CHECK_EQ(s.seg[0].sz, 0x234);
	CHECK_EQ(s.seg[0].vaddr, 0x8049000);
	f.e.e_phentsize = sizeof(Elf64_Phdr);
	CHECK_EQ(segs_of(&f, sizeof(f), &s), -ENOEXEC);
	for (size_t len = 0; len < sizeof(f); len++) {
		f = elf32_make();
		if (!CHECK_EQ(segs_of(&f, len, &s), -ENOEXEC) || !CHECK(is_untouched(&s)))
			break;
	}
	f = elf32_make();
	f.p[0].p_offset = f.p[0].p_filesz = f.p[0].p_vaddr = UINT32_MAX;
	CHECK_EQ(segs_of(&f, sizeof(f), &s), 0); /* no overflow: it is widened first */
	CHECK(elfsegs_find(&s, 2ULL * UINT32_MAX - 1) && !elfsegs_find(&s, 2ULL * UINT32_MAX));
}

static void cut_at_every_length(void)
{
	struct image im;
	struct elfsegs s;
	size_t need, note_end;

	if (!build_usual(&im))
		return;
	note_end = (size_t)((uint8_t *)note_of(&im) + 36 - im.data);
	need = 0; /* all program headers and all notes */
	for (size_t i = 0; i < ehdr(&im)->e_phnum; i++) {
		const Elf64_Phdr *p = phdr(&im, i);

		if (p->p_type == PT_NOTE && p->p_offset + p->p_filesz > need)
			need = p->p_offset + p->p_filesz;
	}
	CHECK(need >= note_end);
	for (size_t len = 0; len < 4096; len++) {
		int err = segs_of(im.data, len, &s);

		if (!CHECK_EQ(err, len < need ? -ENOEXEC : 0) ||
		    (err && !CHECK(is_untouched(&s)))) {
			printf("# at %zu of %zu\n", len, need);
			break;
		}
	}
	free(im.data);
}

/* What the flipped file says is unknown; that the answer is whole, is not. */
static void every_bit_flipped(void)
{
	struct image im;
	struct elfsegs s;
	size_t headers, refused = 0, accepted = 0;
	int fd;

	if (!build_usual(&im))
		return;
	headers = ehdr(&im)->e_phoff + ehdr(&im)->e_phnum * sizeof(Elf64_Phdr) + 256;
	fd = fd_of(im.data, im.sz);
	for (size_t bit = 0; bit < 8 * headers; bit++) {
		uint8_t c = im.data[bit / 8] ^ (uint8_t)(1 << bit % 8);
		int err;

		if (pwrite(fd, &c, 1, (off_t)(bit / 8)) != 1)
			abort();
		memset(&s, 0x77, sizeof(s));
		err = elfsegs_read(fd, &s);
		if (err) {
			CHECK_EQ(err, -ENOEXEC);
			CHECK(is_untouched(&s));
			refused++;
		} else {
			CHECK(s.cnt <= ELFSEG_MAX && s.build_id.sz <= BUILD_ID_MAX);
			for (size_t i = 0; i < s.cnt; i++)
				CHECK(s.seg[i].sz && s.seg[i].off <= UINT64_MAX - s.seg[i].sz &&
				      s.seg[i].vaddr <= UINT64_MAX - s.seg[i].sz);
			for (size_t i = s.build_id.sz; i < BUILD_ID_MAX; i++)
				CHECK_EQ(s.build_id.bytes[i], 0);
			accepted++;
		}
		pwrite(fd, &im.data[bit / 8], 1, (off_t)(bit / 8));
	}
	/* Of the first 16 bytes the magic and the byte order are held: (4 + 1) * 8 bits at least. */
	CHECK(refused >= 40 && accepted >= 40);
	CHECK_EQ(elfsegs_read(fd, &s), 0); /* and it is whole again */
	close(fd);
	free(im.data);
}

/* One field changed: what must come of it. */
static void lying_headers(void)
{
	struct image im;
	struct elfsegs s;
	Elf64_Ehdr whole;
	Elf64_Phdr x;

	if (!build_usual(&im))
		return;
	whole = *ehdr(&im);
	x = *phdr_of(&im, PT_LOAD, PF_X);
#define WITH(stmt, expected)                                     \
	({                                                       \
		stmt;                                            \
		CHECK_EQ(segs_of(im.data, im.sz, &s), expected); \
		*ehdr(&im) = whole;                              \
	})
	WITH(ehdr(&im)->e_phnum = 0xffff, -ENOEXEC);
	WITH(ehdr(&im)->e_phnum = 257, -ENOEXEC);
	WITH(ehdr(&im)->e_phoff = UINT64_MAX, -ENOEXEC);
	WITH(ehdr(&im)->e_phoff = INT64_MAX, -ENOEXEC);
	WITH(ehdr(&im)->e_phoff = im.sz - 8, -ENOEXEC);
	WITH(ehdr(&im)->e_phentsize = 0, -ENOEXEC);
	WITH(ehdr(&im)->e_phentsize = 57, -ENOEXEC);
	WITH(ehdr(&im)->e_ident[EI_DATA] = ELFDATA2MSB, -ENOEXEC);
	WITH(ehdr(&im)->e_ident[EI_DATA] = 0, -ENOEXEC);
	WITH(ehdr(&im)->e_ident[0] = 'E', -ENOEXEC);
	WITH(ehdr(&im)->e_phnum = 0, 0);
	CHECK_EQ(s.cnt, 0);
	CHECK_EQ(s.build_id.sz, 0);
#undef WITH
#define WITH(field, value, expected)                             \
	({                                                       \
		Elf64_Phdr *p_ = phdr_of(&im, PT_LOAD, PF_X);    \
		p_->field = value;                               \
		CHECK_EQ(segs_of(im.data, im.sz, &s), expected); \
		*p_ = x;                                         \
	})
	WITH(p_offset, UINT64_MAX, -ENOEXEC);
	WITH(p_filesz, UINT64_MAX, -ENOEXEC);
	WITH(p_vaddr, UINT64_MAX, -ENOEXEC);
	WITH(p_filesz, 0, 0);
	CHECK_EQ(s.cnt, 0);
	WITH(p_flags, PF_R, 0);
	CHECK_EQ(s.cnt, 0);
#undef WITH
	free(im.data);
}

static void lying_notes(void)
{
	struct image im;
	struct elfsegs s;
	Elf64_Nhdr whole;
	static const struct {
		uint32_t name_sz, desc_sz, type;
		size_t id_sz;
	} rows[] = {
		{ 4, 20, NT_GNU_BUILD_ID, 20 },
		{ 4, 19, NT_GNU_BUILD_ID, 19 },
		{ 4, 1, NT_GNU_BUILD_ID, 1 },
		{ 4, 0, NT_GNU_BUILD_ID, 0 },
		{ 4, 21, NT_GNU_BUILD_ID, 0 },
		{ 4, UINT32_MAX, NT_GNU_BUILD_ID, 0 },
		{ 4, UINT32_MAX - 3, NT_GNU_BUILD_ID, 0 },
		{ UINT32_MAX, 20, NT_GNU_BUILD_ID, 0 },
		{ UINT32_MAX - 3, UINT32_MAX - 3, NT_GNU_BUILD_ID, 0 },
		{ 3, 20, NT_GNU_BUILD_ID, 0 },
		{ 5, 20, NT_GNU_BUILD_ID, 0 },
		{ 0, 20, NT_GNU_BUILD_ID, 0 },
		{ 4, 20, NT_GNU_ABI_TAG, 0 },
	};

	if (!build_usual(&im))
		return;
	whole = *note_of(&im);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		Elf64_Nhdr *n = note_of(&im);

		*n = (Elf64_Nhdr){ rows[i].name_sz, rows[i].desc_sz, rows[i].type };
		if (!CHECK_EQ(segs_of(im.data, im.sz, &s), 0) ||
		    !CHECK_EQ(s.build_id.sz, rows[i].id_sz))
			printf("# row %zu\n", i);
		CHECK_EQ(s.cnt, 1); /* no build-id is no reason to refuse the file */
		*note_of(&im) = whole;
	}
	((char *)(note_of(&im) + 1))[2] = 'X';
	CHECK_EQ(segs_of(im.data, im.sz, &s), 0);
	CHECK_EQ(s.build_id.sz, 0);
	free(im.data);
}

/* A file of program headers only, as many as asked for. */
static int many(size_t cnt, const Elf64_Phdr *p, struct elfsegs *ret)
{
	size_t sz = sizeof(Elf64_Ehdr) + cnt * sizeof(*p);
	Elf64_Ehdr *e = calloc(1, sz);
	int err;

	memcpy(e->e_ident, ELFMAG "\2\1\1", 7);
	e->e_phoff = sizeof(*e);
	e->e_phentsize = sizeof(*p);
	e->e_phnum = (uint16_t)cnt;
	for (size_t i = 0; i < cnt; i++) {
		memcpy((Elf64_Phdr *)(e + 1) + i, p, sizeof(*p));
		((Elf64_Phdr *)(e + 1) + i)->p_offset += i * 0x1000;
	}
	err = segs_of(e, sz, ret);
	free(e);
	return err;
}

static void many_headers(void)
{
	Elf64_Phdr load = { .p_type = PT_LOAD, .p_flags = PF_X, .p_filesz = 0x800 };
	Elf64_Phdr null = { .p_type = PT_NULL }, note = { .p_type = PT_NOTE, .p_filesz = 8 };
	struct elfsegs s;

	CHECK_EQ(many(ELFSEG_MAX, &load, &s), 0);
	CHECK_EQ(s.cnt, ELFSEG_MAX);
	CHECK(elfsegs_find(&s, 0x5000) == &s.seg[5]);
	CHECK(elfsegs_find(&s, 0x57ff) == &s.seg[5]);
	CHECK(!elfsegs_find(&s, 0x5800)); /* between two */
	CHECK_EQ(many(ELFSEG_MAX + 1, &load, &s), -ENOEXEC);
	CHECK_EQ(many(256, &null, &s), 0);
	CHECK_EQ(s.cnt, 0);
	CHECK_EQ(many(257, &null, &s), -ENOEXEC);
	CHECK_EQ(many(1, &note, &s), 0); /* too short for a note */
	note.p_filesz = UINT64_MAX;      /* far too long: not read at all */
	CHECK_EQ(many(1, &note, &s), 0);
	note.p_filesz = 65536; /* beyond the end of the file */
	CHECK_EQ(many(1, &note, &s), -ENOEXEC);
	note.p_filesz = 16;
	note.p_offset = UINT64_MAX - 4;
	CHECK_EQ(many(1, &note, &s), -ENOEXEC);
}

static void not_elf_at_all(void)
{
	struct elfsegs s;
	uint8_t junk[4096] = {};
	int fds[2], dir;

	CHECK_EQ(segs_of("", 0, &s), -ENOEXEC);
	CHECK_EQ(segs_of(junk, sizeof(junk), &s), -ENOEXEC);
	CHECK_EQ(segs_of("#!/bin/sh\n", 10, &s), -ENOEXEC);
	CHECK_EQ(elfsegs_read(-1, &s), -EBADF);
	dir = open("/", O_RDONLY);
	CHECK_EQ(elfsegs_read(dir, &s), -EISDIR);
	close(dir);
	CHECK_EQ(pipe(fds), 0);
	CHECK_EQ(elfsegs_read(fds[0], &s), -ESPIPE); /* and does not wait for it */
	close(fds[0]);
	close(fds[1]);
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		TEST(usual_file),
		TEST(own_program),
		TEST(other_build_ids),
		TEST(elf32),
		TEST(cut_at_every_length),
		TEST(every_bit_flipped),
		TEST(lying_headers),
		TEST(lying_notes),
		TEST(many_headers),
		TEST(not_elf_at_all),
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
