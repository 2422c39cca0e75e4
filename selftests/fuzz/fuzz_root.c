/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * fuzz_root.c - is the return address undefined here? (user/symbol/cfi.c): .eh_frame by libdw, from the image made
 * of a hostile file. The last 8 bytes of the input are an address to ask for.
 */
#include "fuzz.h"
#include "symbol/elf_impl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct elf_file *f;
	struct cfi *c;
	uint64_t addr;

	if (size < sizeof(addr))
		return 0;
	size -= sizeof(addr);
	memcpy(&addr, data + size, sizeof(addr));
	elf_version(EV_CURRENT);
	if (elf_file_open_fd(fuzz_fd(data, size), &f))
		return 0;
	c = elf_file_cfi(f);
	if (c) {
		cfi_is_root(c, addr);
		for (size_t i = 0; i < f->seg_cnt && i < 4; i++)
			for (uint64_t off = 0; off < 16; off++)
				cfi_is_root(c, f->segs[i].vaddr + off * f->segs[i].filesz / 16);
	}
	elf_file_free(f);
	return 0;
}
