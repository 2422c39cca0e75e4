/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * cfi.c - asks .eh_frame one question: is the return address undefined here?
 *
 * libdw reads call frame information from an ELF handle, and from a big file it would read far
 * more than that. So it gets a small file of ours in memory: a header, one PT_GNU_EH_FRAME, and
 * the bytes of .eh_frame_hdr and .eh_frame, at unchanged distances. Nothing else of the hostile
 * file reaches it, and the descriptor can be closed.
 */
#include <elfutils/libdw.h>
#include <string.h>
#include <sys/stat.h>

#include "symbol/elf_impl.h"

#define CFI_MAX_SZ       ((uint64_t)512 << 20)
#define PTR_PCREL_SDATA4 0x1b /* DW_EH_PE_pcrel | DW_EH_PE_sdata4, what every linker writes */

struct cfi {
	char *image;
	Elf *elf;
	Dwarf_CFI *cfi;
};

/* Where the bytes are: hdr_off is that of .eh_frame_hdr, [off, end) what is to be read. */
struct cfi_place {
	uint64_t hdr_off, hdr_vaddr, hdr_sz;
	uint64_t off, end;
};

void cfi_free(struct cfi *c)
{
	if (!c)
		return;
	if (c->cfi)
		dwarf_cfi_end(c->cfi);
	if (c->elf)
		elf_end(c->elf);
	free(c->image);
	free(c);
}

/*
 * Narrow [off, end), a whole segment, to what holds .eh_frame: new linkers put it behind its
 * header, older ones in front. With an encoding nobody uses the segment stays whole.
 */
static void narrow(const struct elf_file *f, struct cfi_place *p)
{
	unsigned char h[8];
	uint64_t frame_off;
	int32_t rel;

	if (read_at(f->fd, h, sizeof(h), p->hdr_off) || h[0] != 1 || h[1] != PTR_PCREL_SDATA4)
		return;
	memcpy(&rel, h + 4, sizeof(rel));
	frame_off = p->hdr_off + 4 + (uint64_t)(int64_t)rel;
	if (frame_off >= p->hdr_off && frame_off < p->end) {
		p->off = p->hdr_off;
	} else if (frame_off >= p->off && frame_off < p->hdr_off) {
		p->off = frame_off;
		p->end = p->hdr_off + p->hdr_sz;
	}
}

static int find_place(const struct elf_file *f, Elf *elf, struct cfi_place *ret)
{
	struct cfi_place p = {};
	struct stat st;
	size_t cnt;
	GElf_Phdr ph;

	if (elf_getphdrnum(elf, &cnt))
		return -ENOEXEC;
	for (size_t i = 0; i < cnt; i++) {
		if (!gelf_getphdr(elf, (int)i, &ph) || ph.p_type != PT_GNU_EH_FRAME)
			continue;
		p.hdr_off = ph.p_offset;
		p.hdr_vaddr = ph.p_vaddr;
		p.hdr_sz = ph.p_filesz;
	}
	if (p.hdr_sz < 8)
		return -ENOENT;
	for (size_t i = 0; i < cnt; i++) {
		if (!gelf_getphdr(elf, (int)i, &ph) || ph.p_type != PT_LOAD ||
		    ph.p_offset > p.hdr_off || p.hdr_off - ph.p_offset >= ph.p_filesz ||
		    ph.p_filesz > ELF_FILE_MAX_SZ || ph.p_offset > ELF_FILE_MAX_SZ)
			continue;
		p.off = ph.p_offset;
		p.end = ph.p_offset + ph.p_filesz;
		if (p.hdr_sz > p.end - p.hdr_off)
			return -ENOEXEC;
		narrow(f, &p);
		if (p.end - p.off > CFI_MAX_SZ)
			return -EFBIG;
		if (fstat(f->fd, &st) || p.end > (uint64_t)st.st_size)
			return -ENOEXEC; /* before so much memory is asked for */
		*ret = p;
		return 0;
	}
	return -ENOENT;
}

/* The header of the file in memory. Its size is the same for both kinds of phdr user: the larger. */
#define IMAGE_HEAD_SZ (sizeof(Elf64_Ehdr) + sizeof(Elf64_Phdr))

static void write_head32(char *image, const struct cfi_place *p, uint64_t hdr_off)
{
	Elf32_Ehdr *eh = (Elf32_Ehdr *)image;

	eh->e_phoff = sizeof(*eh);
	eh->e_ehsize = sizeof(*eh);
	eh->e_phentsize = sizeof(Elf32_Phdr);
	eh->e_phnum = 1;
	*(Elf32_Phdr *)(image + sizeof(*eh)) = (Elf32_Phdr){
		.p_type = PT_GNU_EH_FRAME,
		.p_offset = (Elf32_Off)hdr_off,
		.p_vaddr = (Elf32_Addr)p->hdr_vaddr,
		.p_filesz = (Elf32_Word)p->hdr_sz,
		.p_memsz = (Elf32_Word)p->hdr_sz,
	};
}

static void write_head64(char *image, const struct cfi_place *p, uint64_t hdr_off)
{
	Elf64_Ehdr *eh = (Elf64_Ehdr *)image;

	eh->e_phoff = sizeof(*eh);
	eh->e_ehsize = sizeof(*eh);
	eh->e_phentsize = sizeof(Elf64_Phdr);
	eh->e_phnum = 1;
	*(Elf64_Phdr *)(image + sizeof(*eh)) = (Elf64_Phdr){
		.p_type = PT_GNU_EH_FRAME,
		.p_offset = hdr_off,
		.p_vaddr = p->hdr_vaddr,
		.p_filesz = p->hdr_sz,
		.p_memsz = p->hdr_sz,
	};
}

static void write_head(char *image, const GElf_Ehdr *file, const struct cfi_place *p)
{
	uint64_t hdr_off = IMAGE_HEAD_SZ + (p->hdr_off - p->off);
	Elf64_Ehdr *eh = (Elf64_Ehdr *)image;

	/* e_ident, e_type, e_machine and e_version stand at the same place in both classes */
	memcpy(eh->e_ident, file->e_ident, EI_NIDENT);
	eh->e_type = file->e_type;
	eh->e_machine = file->e_machine;
	eh->e_version = EV_CURRENT;
	if (file->e_ident[EI_CLASS] == ELFCLASS32)
		write_head32(image, p, hdr_off);
	else
		write_head64(image, p, hdr_off);
}

static int cfi_open(const struct elf_file *f, struct cfi **ret)
{
	Elf *elf CLEANUP(cleanup_elf) = elf_file_begin(f);
	struct cfi_place p;
	struct cfi *c;
	GElf_Ehdr eh;
	size_t sz;
	int err;

	if (f->fd < 0 || !elf || !gelf_getehdr(elf, &eh))
		return -ENOENT;
	err = find_place(f, elf, &p);
	if (err)
		return err;
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	sz = IMAGE_HEAD_SZ + (size_t)(p.end - p.off);
	c->image = calloc(1, sz);
	err = c->image ? read_at(f->fd, c->image + IMAGE_HEAD_SZ, sz - IMAGE_HEAD_SZ, p.off)
		       : -ENOMEM;
	if (!err) {
		write_head(c->image, &eh, &p);
		c->elf = elf_memory(c->image, sz);
		c->cfi = c->elf ? dwarf_getcfi_elf(c->elf) : NULL;
		err = c->cfi ? 0 : -ENOENT;
	}
	if (err) {
		cfi_free(c);
		return err;
	}
	*ret = c;
	return 0;
}

struct cfi *elf_file_cfi(struct elf_file *f)
{
	if (!f->is_cfi_tried && !f->is_debug && cfi_open(f, &f->cfi))
		f->cfi = NULL;
	f->is_cfi_tried = true;
	return f->cfi;
}

bool cfi_is_root(struct cfi *c, uint64_t vaddr)
{
	Dwarf_Frame *frame = NULL;
	Dwarf_Op mem[3], *ops = NULL;
	size_t cnt = 0;
	bool is_root;
	int reg;

	if (dwarf_cfi_addrframe(c->cfi, vaddr, &frame))
		return false;
	reg = dwarf_frame_info(frame, NULL, NULL, NULL);
	is_root = reg >= 0 && !dwarf_frame_register(frame, reg, mem, &ops, &cnt) && !cnt &&
		  ops == mem;
	free(frame);
	return is_root;
}
