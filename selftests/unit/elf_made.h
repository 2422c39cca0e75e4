/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * elf_made.h - small ELF files made to order: functions of one shape, each MADE_FUNCTION bytes of which the first
 * MADE_COVERED have unwind rows, and one section of given bytes at the very end of the file.
 */
#ifndef BSTACK_ELF_MADE_H
#define BSTACK_ELF_MADE_H

#include <elf.h>

#include "base/base.h"
#include "test.h"

#define MADE_OFF      0x1000ULL /* of the code in the file */
#define MADE_VADDR    0x401000ULL
#define MADE_FUNCTION 0x30ULL
#define MADE_COVERED  0x20ULL
#define MADE_PUSH     4ULL /* in a function: the CFA is sp + 16 from here on, sp + 8 before */
#define MADE_ROWS     3ULL /* of a function */

struct made_elf {
	uint8_t id;           /* all bytes of the build-id; 0: none */
	size_t function_cnt;  /* with rows */
	size_t bare_sz;       /* bytes of code behind them, without rows */
	bool is_without_rows; /* no .eh_frame */
	uint64_t entry;       /* e_entry */
	const char *extra;    /* name of the last section, or NULL */
	uint32_t extra_type;  /* SHT_* */
	uint64_t extra_flags; /* SHF_* */
	const void *bytes;    /* its bytes, */
	size_t sz;            /* so many, */
	uint64_t extra_vaddr; /* loaded here */
};

/* The .eh_frame of cnt functions at place (link-time address). Its size; NULL: only that. */
static size_t made_frames(uint8_t *to, uint64_t place, size_t cnt)
{
	static const uint8_t cie[24] = "\x14\0\0\0\0\0\0\0\x01zR\0\x01\x78\x10\x01\x1b"
				       "\x0c\x07\x08\x90\x01"; /* CFA = rsp+8, rip at CFA-8 */

	if (to)
		memcpy(to, cie, sizeof(cie));
	for (size_t i = 0; i < cnt && to; i++) {
		uint8_t *fde = to + sizeof(cie) + 20 * i;
		uint64_t at = place + sizeof(cie) + 20 * i;
		uint32_t head[4] = { 16, (uint32_t)(sizeof(cie) + 20 * i + 4),
				     (uint32_t)(MADE_VADDR + MADE_FUNCTION * i - (at + 8)),
				     (uint32_t)MADE_COVERED };

		memcpy(fde, head, sizeof(head));
		memcpy(fde + 16, "\0\x44\x0e\x10", 4); /* 4 bytes on: CFA = rsp+16 */
	}
	return sizeof(cie) + 20 * cnt + 4; /* zero length: the end */
}

static void made_note(uint8_t *to, uint8_t id)
{
	const uint32_t head[3] = { 4, BUILD_ID_MAX, 3 };

	memcpy(to, head, sizeof(head));
	memcpy(to + 12, "GNU", 4);
	memset(to + 16, id, BUILD_ID_MAX);
}

/* The file's bytes, to be freed. */
static uint8_t *elf_made(const struct made_elf *e, size_t *ret_sz)
{
	static const char names[] = "\0.eh_frame\0.shstrtab"; /* at 1 and 11; extra's at 21 */
	size_t code_sz = MADE_FUNCTION * e->function_cnt + 16 + e->bare_sz;
	size_t frames = (MADE_OFF + code_sz + 7) & ~7ULL;
	size_t frames_sz = made_frames(NULL, 0, e->function_cnt);
	size_t names_sz = sizeof(names) + 32, strings = frames + frames_sz;
	size_t headers = (strings + names_sz + 7) & ~7ULL, extra = headers + 4 * sizeof(Elf64_Shdr);
	uint64_t frames_vaddr = MADE_VADDR + 0x1000000;
	uint8_t *p = calloc(1, extra + e->sz);
	Elf64_Ehdr eh = { .e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT },
			  .e_type = ET_DYN,
			  .e_machine = EM_X86_64,
			  .e_version = EV_CURRENT,
			  .e_entry = e->entry,
			  .e_phoff = sizeof(eh),
			  .e_shoff = headers,
			  .e_ehsize = sizeof(eh),
			  .e_phentsize = sizeof(Elf64_Phdr),
			  .e_phnum = e->id ? 2 : 1,
			  .e_shentsize = sizeof(Elf64_Shdr),
			  .e_shnum = e->extra ? 4 : 3,
			  .e_shstrndx = 2 };
	Elf64_Phdr ph[2] = { { .p_type = PT_LOAD,
			       .p_flags = PF_R | PF_X,
			       .p_offset = MADE_OFF,
			       .p_vaddr = MADE_VADDR,
			       .p_filesz = code_sz,
			       .p_memsz = code_sz },
			     { .p_type = PT_NOTE, .p_offset = 0x100, .p_filesz = 36 } };
	Elf64_Shdr sh[4] = {
		{},
		{ .sh_name = e->is_without_rows ? 0 : 1,
		  .sh_type = SHT_PROGBITS,
		  .sh_addr = frames_vaddr,
		  .sh_offset = frames,
		  .sh_size = frames_sz },
		{ .sh_name = 11, .sh_type = SHT_STRTAB, .sh_offset = strings, .sh_size = names_sz },
		{ .sh_name = 21,
		  .sh_type = e->extra_type,
		  .sh_flags = e->extra_flags,
		  .sh_addr = e->extra_vaddr,
		  .sh_offset = extra,
		  .sh_size = e->sz },
	};

	if (!p)
		abort();
	memcpy(p, &eh, sizeof(eh));
	memcpy(p + eh.e_phoff, ph, sizeof(ph));
	made_note(p + 0x100, e->id);
	made_frames(p + frames, frames_vaddr, e->function_cnt);
	memcpy(p + strings, names, sizeof(names));
	if (e->extra)
		snprintf((char *)p + strings + 21, names_sz - 21, "%s", e->extra);
	memcpy(p + headers, sh, sizeof(sh));
	if (e->sz)
		memcpy(p + extra, e->bytes, e->sz);
	*ret_sz = extra + e->sz;
	return p;
}

#endif
