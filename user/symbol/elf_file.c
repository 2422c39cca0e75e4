/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * elf_file.c - one ELF file, opened without trusting it: its build-id and its executable segments.
 *
 * Files are read with pread, never mapped: a file that is cut while we look at it gives an error,
 * not a SIGBUS. What libelf would believe without asking (a section count of millions) is checked
 * before it sees the file. Only files of this machine's byte order are read.
 */
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "symbol/elf_impl.h"

#define SECTION_MAX_CNT (1U << 20)
#define NOTES_MAX_SZ    ((size_t)1 << 20) /* of a file, segments and sections */

int read_at(int fd, void *data, size_t len, uint64_t off)
{
	char *p = data;

	while (len) {
		ssize_t n = pread(fd, p, len, (off_t)off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			return -EIO;
		p += n;
		len -= (size_t)n;
		off += (size_t)n;
	}
	return 0;
}

int file_open_in_root(pid_t pid, const char *path, bool no_follow, uint64_t max_sz)
{
	struct open_how how = {
		.flags = O_PATH | O_CLOEXEC | (no_follow ? O_NOFOLLOW : 0),
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
	};
	int root_fd CLEANUP(cleanup_close) = -1;
	int path_fd CLEANUP(cleanup_close) = -1;
	char root[32];

	snprintf(root, sizeof(root), "/proc/%d/root", (int)pid);
	root_fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root_fd < 0)
		return -errno;
	path_fd = (int)syscall(SYS_openat2, root_fd, path, &how, sizeof(how));
	if (path_fd < 0)
		return -errno;
	return file_reopen_regular(path_fd, max_sz);
}

void cleanup_elf(Elf **elf)
{
	if (*elf)
		elf_end(*elf);
}

Elf_Scn *elf_find_section(Elf *elf, const char *name)
{
	Elf_Scn *scn = NULL;
	size_t names;

	if (elf_getshdrstrndx(elf, &names))
		return NULL;
	while ((scn = elf_nextscn(elf, scn))) {
		GElf_Shdr sh;
		const char *s;

		if (!gelf_getshdr(scn, &sh))
			continue;
		s = elf_strptr(elf, names, sh.sh_name);
		if (s && !strcmp(s, name))
			return scn;
	}
	return NULL;
}

int elf_failed(int other)
{
	return errno == ENOMEM ? -ENOMEM : other;
}

Elf_Data *elf_section_data(Elf_Scn *scn, uint64_t max)
{
	GElf_Shdr sh;
	Elf_Data *d;

	if (!gelf_getshdr(scn, &sh) || sh.sh_type == SHT_NOBITS || sh.sh_size > max)
		return NULL;
	d = elf_getdata(scn, NULL);
	return d && d->d_buf && d->d_size ? d : NULL;
}

Elf *elf_file_begin(const struct elf_file *f)
{
	if (f->mem)
		return elf_memory(f->mem, f->mem_sz);
	return f->fd >= 0 ? elf_begin(f->fd, ELF_C_READ, NULL) : NULL;
}

static int read_image(const struct elf_file *f, void *data, size_t len, uint64_t off)
{
	if (!f->mem)
		return read_at(f->fd, data, len, off);
	if (off > f->mem_sz || len > f->mem_sz - off)
		return -EIO;
	memcpy(data, f->mem + off, len);
	return 0;
}

/* How many sections the file says it has; libelf allocates for each before it reads any. */
static int check_sections(const struct elf_file *f, const unsigned char *ident, uint64_t shoff,
			  uint64_t shnum)
{
	union {
		Elf32_Shdr e32;
		Elf64_Shdr e64;
	} sh;
	bool is_64 = ident[EI_CLASS] == ELFCLASS64;

	if (!shoff || shnum)
		return 0;
	if (read_image(f, &sh, is_64 ? sizeof(sh.e64) : sizeof(sh.e32), shoff))
		return 0;
	return (is_64 ? sh.e64.sh_size : sh.e32.sh_size) > SECTION_MAX_CNT ? -ENOEXEC : 0;
}

static int check_header(const struct elf_file *f)
{
	static const int native =
		__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? ELFDATA2LSB : ELFDATA2MSB;
	union {
		unsigned char ident[EI_NIDENT];
		Elf32_Ehdr e32;
		Elf64_Ehdr e64;
	} h = {};
	bool is_64;

	if (read_image(f, &h, sizeof(h.e32), 0) || memcmp(h.ident, ELFMAG, SELFMAG))
		return -ENOEXEC;
	is_64 = h.ident[EI_CLASS] == ELFCLASS64;
	if ((!is_64 && h.ident[EI_CLASS] != ELFCLASS32) || h.ident[EI_DATA] != native)
		return -ENOEXEC;
	if (is_64 && read_image(f, &h, sizeof(h.e64), 0))
		return -ENOEXEC;
	if (h.e32.e_type != ET_EXEC && h.e32.e_type != ET_DYN)
		return -ENOEXEC;
	if ((is_64 ? h.e64.e_phnum : h.e32.e_phnum) == PN_XNUM)
		return -ENOEXEC;
	return is_64 ? check_sections(f, h.ident, h.e64.e_shoff, h.e64.e_shnum)
		     : check_sections(f, h.ident, h.e32.e_shoff, h.e32.e_shnum);
}

static bool note_build_id(Elf_Data *d, struct build_id *ret)
{
	size_t off = 0, name, desc;
	GElf_Nhdr n;

	while (d && (off = gelf_getnote(d, off, &n, &name, &desc)) > 0) {
		const char *base = d->d_buf;

		if (n.n_type != NT_GNU_BUILD_ID || n.n_namesz != sizeof(ELF_NOTE_GNU) ||
		    memcmp(base + name, ELF_NOTE_GNU, sizeof(ELF_NOTE_GNU)))
			continue;
		if (!n.n_descsz || n.n_descsz > BUILD_ID_MAX)
			continue;
		*ret = (struct build_id){ .sz = (uint8_t)n.n_descsz };
		memcpy(ret->bytes, base + desc, n.n_descsz);
		return true;
	}
	return false;
}

/* Room for one more note? What libelf reads of a file it keeps, and notes may overlap: all together are limited. */
static bool has_note_room(size_t *left, uint64_t sz)
{
	if (sz > *left)
		return false;
	*left -= (size_t)sz;
	return true;
}

static int read_segments(struct elf_file *f, Elf *elf, size_t *note_left)
{
	size_t cnt, cap = 0;
	GElf_Phdr ph;
	int err;

	if (elf_getphdrnum(elf, &cnt))
		return -ENOEXEC;
	for (size_t i = 0; i < cnt; i++) {
		if (!gelf_getphdr(elf, (int)i, &ph))
			return -ENOEXEC;
		if (ph.p_type == PT_NOTE && !f->id.sz && has_note_room(note_left, ph.p_filesz))
			note_build_id(
				elf_getdata_rawchunk(elf, (int64_t)ph.p_offset, ph.p_filesz,
						     ph.p_align == 8 ? ELF_T_NHDR8 : ELF_T_NHDR),
				&f->id);
		if (ph.p_type != PT_LOAD || !(ph.p_flags & PF_X) || !ph.p_filesz)
			continue;
		err = array_reserve(&f->segs, &cap, f->seg_cnt + 1, sizeof(*f->segs), PN_XNUM);
		if (err)
			return err;
		f->segs[f->seg_cnt++] = (struct elf_seg){
			.off = ph.p_offset,
			.vaddr = ph.p_vaddr,
			.filesz = ph.p_filesz,
		};
	}
	return 0;
}

/* The build-id where no PT_NOTE gave it, and whether code has contents. */
static void read_sections(struct elf_file *f, Elf *elf, size_t *note_left)
{
	bool has_code = false, has_nobits = false;
	Elf_Scn *scn = NULL;
	GElf_Shdr sh;

	while ((scn = elf_nextscn(elf, scn))) {
		if (!gelf_getshdr(scn, &sh))
			continue;
		if (sh.sh_type == SHT_NOTE && !f->id.sz && has_note_room(note_left, sh.sh_size))
			note_build_id(elf_section_data(scn, NOTES_MAX_SZ), &f->id);
		if (!(sh.sh_flags & SHF_ALLOC) || !(sh.sh_flags & SHF_EXECINSTR))
			continue;
		has_nobits |= sh.sh_type == SHT_NOBITS;
		has_code |= sh.sh_type != SHT_NOBITS;
	}
	f->is_debug = has_nobits && !has_code;
}

static int elf_file_read(struct elf_file *f)
{
	Elf *elf CLEANUP(cleanup_elf) = NULL;
	size_t note_left = NOTES_MAX_SZ;
	int err;

	err = check_header(f);
	if (err)
		return err;
	errno = 0;
	elf = elf_file_begin(f);
	if (!elf || elf_kind(elf) != ELF_K_ELF)
		return elf_failed(-ENOEXEC);
	err = read_segments(f, elf, &note_left);
	if (!err)
		read_sections(f, elf, &note_left);
	return err || f->id.sz ? err : elf_failed(0);
}

int elf_file_open_fd(int fd, struct elf_file **ret)
{
	struct elf_file *f = calloc(1, sizeof(*f));
	int err;

	if (!f) {
		close(fd);
		return -ENOMEM;
	}
	f->fd = fd;
	err = elf_file_read(f);
	if (err) {
		elf_file_free(f);
		return err;
	}
	*ret = f;
	return 0;
}

int elf_file_open(const char *path, struct elf_file **ret)
{
	int fd = file_open_regular(path, ELF_FILE_MAX_SZ);

	return fd < 0 ? fd : elf_file_open_fd(fd, ret);
}

int elf_file_open_mem(char *mem, size_t sz, struct elf_file **ret)
{
	struct elf_file *f = calloc(1, sizeof(*f));
	int err;

	if (!f)
		return -ENOMEM;
	f->fd = -1;
	f->mem = mem;
	f->mem_sz = sz;
	err = elf_file_read(f);
	if (err) {
		f->mem = NULL;
		elf_file_free(f);
		return err;
	}
	*ret = f;
	return 0;
}

void elf_file_close_fd(struct elf_file *f)
{
	if (f->fd >= 0)
		close(f->fd);
	f->fd = -1;
}

void elf_file_free(struct elf_file *f)
{
	if (!f)
		return;
	elf_file_close_fd(f);
	cfi_free(f->cfi);
	free(f->mem);
	free(f->segs);
	free(f);
}

int elf_file_off_to_vaddr(const struct elf_file *f, uint64_t off, uint64_t *ret)
{
	for (size_t i = 0; i < f->seg_cnt; i++) {
		const struct elf_seg *seg = &f->segs[i];

		if (off >= seg->off && off - seg->off < seg->filesz) {
			*ret = seg->vaddr + (off - seg->off);
			return 0;
		}
	}
	return -ENOENT;
}

int elf_file_vaddr_to_off(const struct elf_file *f, uint64_t vaddr, uint64_t *ret)
{
	for (size_t i = 0; i < f->seg_cnt; i++) {
		const struct elf_seg *seg = &f->segs[i];

		if (vaddr >= seg->vaddr && vaddr - seg->vaddr < seg->filesz) {
			*ret = seg->off + (vaddr - seg->vaddr);
			return 0;
		}
	}
	return -ENOENT;
}
