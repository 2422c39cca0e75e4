/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* test_symbol_limits.c - files made to use up memory. */
#include <elf.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "symbol/symbol.h"
#include "test.h"

/*
 * Sixteen thousand notes that overlap, a megabyte each: what is read of them is kept while the file is open. The
 * build-id in the last one is not found.
 */
static void overlapping_notes(void)
{
	enum {
		CNT = 16384,
		NOTE_SZ = 1 << 20
	};
	static const char last[] = "\4\0\0\0\4\0\0\0\3\0\0\0GNU\0abcd";
	const struct build_id id = { .sz = 4, .bytes = "abcd" };
	Elf64_Ehdr eh = { .e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT },
			  .e_type = ET_DYN,
			  .e_machine = EM_X86_64,
			  .e_version = EV_CURRENT,
			  .e_phoff = sizeof(eh),
			  .e_phentsize = sizeof(Elf64_Phdr),
			  .e_phnum = CNT,
			  .e_ehsize = sizeof(eh) };
	const uint64_t notes_off = sizeof(eh) + CNT * sizeof(Elf64_Phdr);
	Elf64_Phdr *ph = calloc(CNT, sizeof(*ph));
	int fd = memfd_create("notes", MFD_CLOEXEC);
	struct rusage before, after;
	struct symbols *syms;
	char path[64];

	if (!CHECK(fd >= 0 && ph && !symbols_new(NULL, &syms)))
		return;
	for (size_t i = 0; i < CNT; i++)
		ph[i] = (Elf64_Phdr){ .p_type = PT_NOTE,
				      .p_offset = notes_off + 4 * i,
				      .p_filesz = NOTE_SZ,
				      .p_align = 4 };
	ph[CNT - 1].p_offset += NOTE_SZ; /* behind all others */
	ph[CNT - 1].p_filesz = sizeof(last) - 1;
	CHECK_EQ(write_all(fd, &eh, sizeof(eh)), 0);
	CHECK_EQ(write_all(fd, ph, CNT * sizeof(*ph)), 0);
	CHECK_EQ(pwrite(fd, last, sizeof(last) - 1, (off_t)ph[CNT - 1].p_offset), sizeof(last) - 1);
	free(ph);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	getrusage(RUSAGE_SELF, &before);
	CHECK_EQ(symbols_hint(syms, &id, path, 0, 0, 0), -ESTALE);
	getrusage(RUSAGE_SELF, &after);
	if (after.ru_maxrss - before.ru_maxrss > 64 << 10) /* KiB */
		test_fail(__FILE__, __LINE__, "%ld KiB more memory in use",
			  after.ru_maxrss - before.ru_maxrss);
	symbols_free(syms);
	close(fd);
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		TEST(overlapping_notes),
		{},
	};

	return test_main(tests, argc, argv);
}
