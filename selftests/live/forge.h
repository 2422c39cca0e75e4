/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * forge.h - user stacks and ELF files made by hand, so that a test knows every frame of a stack.
 *
 * A stack is a list {next, return address}: the frame-pointer register is pointed at it while a raw
 * system call or a spin loop runs, and the kernel's walker follows it without looking at what the
 * return addresses are. The leaf is the address after the system call, or one inside the loop.
 */
#ifndef BSTACK_FORGE_H
#define BSTACK_FORGE_H

#include <elf.h>
#include <link.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define FORGE_ID_SZ 20
#define FORGE_PAGE  4096

struct forge_frame {
	const struct forge_frame *next;
	uint64_t ret;
};

#ifdef __x86_64__
#define FORGE_HAS_STACKS 1

extern const char forge_after_syscall[] __attribute__((visibility("hidden")));
extern const char forge_spin_begin[] __attribute__((visibility("hidden")));
extern const char forge_spin_end[] __attribute__((visibility("hidden")));

/* System call nr with the stack "forge_after_syscall, chain"; returns what the kernel returns. */
__attribute__((noipa, unused)) static long forge_syscall(long nr, const uint64_t args[6],
							 const struct forge_frame *chain)
{
	register uint64_t r10 __asm__("r10") = args[3];
	register uint64_t r8 __asm__("r8") = args[4];
	register uint64_t r9 __asm__("r9") = args[5];
	long ret;

	__asm__ volatile("mov %%rbp, %%r12\n\t"
			 "mov %[chain], %%rbp\n\t"
			 "syscall\n"
			 ".hidden forge_after_syscall\n"
			 ".globl forge_after_syscall\n"
			 "forge_after_syscall:\n\t"
			 "mov %%r12, %%rbp\n\t"
			 : "=a"(ret)
			 : "a"(nr), "D"(args[0]), "S"(args[1]), "d"(args[2]), "r"(r10), "r"(r8),
			   "r"(r9), [chain] "r"(chain)
			 : "rcx", "r11", "r12", "memory", "cc");
	return ret;
}

/* Spins with the stack "[forge_spin_begin, forge_spin_end), chain" until *flag is set or cnt runs
 * out; returns *flag. */
__attribute__((noipa, unused)) static uint32_t forge_spin(const volatile uint32_t *flag,
							  uint64_t cnt,
							  const struct forge_frame *chain)
{
	__asm__ volatile("mov %%rbp, %%r12\n\t"
			 "mov %[chain], %%rbp\n"
			 ".hidden forge_spin_begin\n"
			 ".globl forge_spin_begin\n"
			 "forge_spin_begin:\n\t"
			 "cmpl $0, (%[flag])\n\t"
			 "jne forge_spin_end\n\t"
			 "dec %[cnt]\n\t"
			 "jnz forge_spin_begin\n"
			 ".hidden forge_spin_end\n"
			 ".globl forge_spin_end\n"
			 "forge_spin_end:\n\t"
			 "mov %%r12, %%rbp\n\t"
			 : [cnt] "+r"(cnt)
			 : [flag] "r"(flag), [chain] "r"(chain)
			 : "r12", "memory", "cc");
	return *flag;
}
#else
#define FORGE_HAS_STACKS 0
__attribute__((unused)) static const char forge_after_syscall[1], forge_spin_begin[1],
	forge_spin_end[1];
__attribute__((unused)) static long forge_syscall(long nr, const uint64_t args[6],
						  const struct forge_frame *chain)
{
	(void)nr, (void)args, (void)chain;
	return -1;
}
__attribute__((unused)) static uint32_t forge_spin(const volatile uint32_t *flag, uint64_t cnt,
						   const struct forge_frame *chain)
{
	(void)cnt, (void)chain;
	return *flag;
}
#endif

/* The smallest ELF file with a build-id that the kernel accepts, in one page: header, one executable
 * PT_LOAD, one PT_NOTE. id_sz is what the note claims; has_note false leaves it out. */
__attribute__((unused)) static void forge_elf(uint8_t page[FORGE_PAGE], uint16_t type,
					      bool has_note, const uint8_t id[FORGE_ID_SZ],
					      uint32_t id_sz)
{
	Elf64_Ehdr *eh = (void *)page;
	Elf64_Phdr *ph = (void *)(page + sizeof(*eh));
	Elf64_Nhdr *nh = (void *)(page + 0x200);

	memset(page, 0, FORGE_PAGE);
	memcpy(eh->e_ident, ELFMAG, SELFMAG);
	eh->e_ident[EI_CLASS] = ELFCLASS64;
	eh->e_ident[EI_DATA] = ELFDATA2LSB;
	eh->e_ident[EI_VERSION] = EV_CURRENT;
	eh->e_type = type;
	eh->e_machine = EM_X86_64;
	eh->e_version = EV_CURRENT;
	eh->e_phoff = sizeof(*eh);
	eh->e_ehsize = sizeof(*eh);
	eh->e_phentsize = sizeof(*ph);
	eh->e_phnum = has_note ? 2 : 1;
	ph[0].p_type = PT_LOAD;
	ph[0].p_flags = PF_R | PF_X;
	ph[0].p_filesz = ph[0].p_memsz = 8 * FORGE_PAGE;
	ph[0].p_align = FORGE_PAGE;
	if (!has_note)
		return;
	ph[1].p_type = PT_NOTE;
	ph[1].p_flags = PF_R;
	ph[1].p_offset = ph[1].p_vaddr = 0x200;
	ph[1].p_filesz = ph[1].p_memsz = sizeof(*nh) + 4 + ((id_sz + 3) & ~3U);
	ph[1].p_align = 4;
	nh->n_namesz = 4;
	nh->n_descsz = id_sz;
	nh->n_type = NT_GNU_BUILD_ID;
	memcpy(nh + 1, "GNU", 4);
	memcpy((uint8_t *)(nh + 1) + 4, id, FORGE_ID_SZ);
}

/* Where an address of this process lies, told without the code under test: the build-id from the
 * loaded object's notes, the file offset from /proc/self/maps. */
struct forge_truth {
	uint64_t addr;
	uint64_t offset;
	uint8_t id[FORGE_ID_SZ];
	bool has_id, has_offset;
};

__attribute__((unused)) static void forge_note_find(struct forge_truth *t, const uint8_t *p,
						    size_t sz)
{
	while (sz >= sizeof(Elf64_Nhdr)) {
		const Elf64_Nhdr *nh = (const void *)p;
		size_t name_sz = (nh->n_namesz + 3) & ~3UL, desc_sz = (nh->n_descsz + 3) & ~3UL;

		if (sizeof(*nh) + name_sz + desc_sz > sz)
			return;
		if (nh->n_type == NT_GNU_BUILD_ID && nh->n_namesz == 4 &&
		    !memcmp(nh + 1, "GNU", 4) && nh->n_descsz <= FORGE_ID_SZ) {
			memcpy(t->id, (const uint8_t *)(nh + 1) + name_sz, nh->n_descsz);
			t->has_id = true;
			return;
		}
		p += sizeof(*nh) + name_sz + desc_sz;
		sz -= sizeof(*nh) + name_sz + desc_sz;
	}
}

__attribute__((unused)) static int forge_object_look(struct dl_phdr_info *info, size_t sz,
						     void *data)
{
	struct forge_truth *t = data;
	bool is_here = false;

	(void)sz;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
		uint64_t begin = info->dlpi_addr + ph->p_vaddr;

		if (ph->p_type == PT_LOAD && t->addr >= begin && t->addr < begin + ph->p_memsz)
			is_here = true;
	}
	for (int i = 0; is_here && i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *ph = &info->dlpi_phdr[i];

		if (ph->p_type == PT_NOTE && !t->has_id)
			forge_note_find(t, (const void *)(info->dlpi_addr + ph->p_vaddr),
					ph->p_filesz);
	}
	return is_here;
}

__attribute__((unused)) static struct forge_truth forge_truth_of(uint64_t addr)
{
	struct forge_truth t = { .addr = addr };
	unsigned long begin, end, pgoff;
	FILE *f = fopen("/proc/self/maps", "re");
	char line[4400];

	dl_iterate_phdr(forge_object_look, &t);
	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx %*s %lx", &begin, &end, &pgoff) == 3 && addr >= begin &&
		    addr < end) {
			t.offset = pgoff + addr - begin;
			t.has_offset = true;
		}
	}
	if (f)
		fclose(f);
	return t;
}

#endif
