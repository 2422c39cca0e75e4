/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * elfseg.c - program headers and the GNU build-id note, read by hand: libelf belongs to symbol/, and the
 * few fields needed here are read with pread so that a file that changes underneath cannot fault us.
 */
#include "resolve/elfseg.h"
#include "resolve/procmap.h"

#include <elf.h>
#include <string.h>
#include <unistd.h>

#define PHDRS_MAX 256
#define NOTES_MAX 65536

/* What differs between the two classes of ELF file, brought to one shape. */
struct phdr {
	uint32_t type, flags;
	uint64_t off, vaddr, filesz;
};

static int pread_all(int fd, void *data, size_t len, uint64_t off)
{
	char *p = data;

	if (off > INT64_MAX - len)
		return -ENOEXEC;
	while (len) {
		ssize_t n = pread(fd, p, len, (off_t)off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			return -ENOEXEC; /* shorter than it says */
		p += n;
		off += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

static struct phdr phdr_get(const uint8_t *data, bool is_64)
{
	if (is_64) {
		Elf64_Phdr p;

		memcpy(&p, data, sizeof(p));
		return (struct phdr){ p.p_type, p.p_flags, p.p_offset, p.p_vaddr, p.p_filesz };
	} else {
		Elf32_Phdr p;

		memcpy(&p, data, sizeof(p));
		return (struct phdr){ p.p_type, p.p_flags, p.p_offset, p.p_vaddr, p.p_filesz };
	}
}

/* Notes are a sequence of {namesz, descsz, type}, name, desc, each padded to 4 bytes. */
static void notes_search(const uint8_t *data, size_t len, struct build_id *ret)
{
	size_t at = 0;

	while (len - at >= sizeof(Elf64_Nhdr)) {
		Elf64_Nhdr n;
		size_t name_sz, desc_sz;

		memcpy(&n, data + at, sizeof(n));
		at += sizeof(n);
		name_sz = ((size_t)n.n_namesz + 3) & ~(size_t)3;
		desc_sz = ((size_t)n.n_descsz + 3) & ~(size_t)3;
		if (name_sz > len - at || desc_sz > len - at - name_sz)
			return;
		if (n.n_type == NT_GNU_BUILD_ID && n.n_namesz == 4 &&
		    !memcmp(data + at, "GNU", 4) && n.n_descsz >= 1 && n.n_descsz <= BUILD_ID_MAX) {
			*ret = (struct build_id){ .sz = (uint8_t)n.n_descsz };
			memcpy(ret->bytes, data + at + name_sz, n.n_descsz);
			return;
		}
		at += name_sz + desc_sz;
	}
}

static int note_read(int fd, const struct phdr *p, struct build_id *ret)
{
	uint8_t *data CLEANUP(cleanup_free) = NULL;
	int err;

	if (ret->sz || !p->filesz || p->filesz > NOTES_MAX)
		return 0;
	data = malloc(p->filesz);
	if (!data)
		return -ENOMEM;
	err = pread_all(fd, data, p->filesz, p->off);
	if (!err)
		notes_search(data, p->filesz, ret);
	return err;
}

static int phdr_take(int fd, const struct phdr *p, struct elfsegs *s)
{
	if (p->type == PT_NOTE)
		return note_read(fd, p, &s->build_id);
	if (p->type != PT_LOAD || !(p->flags & PF_X) || !p->filesz)
		return 0;
	if (p->off > UINT64_MAX - p->filesz || p->vaddr > UINT64_MAX - p->filesz)
		return -ENOEXEC;
	if (s->cnt == ELFSEG_MAX)
		return -ENOEXEC;
	s->seg[s->cnt++] = (struct elfseg){ .off = p->off, .sz = p->filesz, .vaddr = p->vaddr };
	return 0;
}

/* Where the program headers are, by class. */
static int header_read(int fd, bool *ret_is_64, uint64_t *ret_off, size_t *ret_cnt)
{
	union {
		unsigned char ident[EI_NIDENT];
		Elf64_Ehdr e64;
		Elf32_Ehdr e32;
	} h = {};
	bool is_64;
	size_t cnt, entry_sz;
	int err = pread_all(fd, &h, sizeof(h.e32), 0);

	if (err)
		return err;
	if (memcmp(h.ident, ELFMAG, SELFMAG) ||
	    h.ident[EI_DATA] != (__BYTE_ORDER == __LITTLE_ENDIAN ? ELFDATA2LSB : ELFDATA2MSB))
		return -ENOEXEC;
	is_64 = h.ident[EI_CLASS] == ELFCLASS64;
	if (is_64) {
		err = pread_all(fd, &h, sizeof(h.e64), 0);
		if (err)
			return err;
	}
	cnt = is_64 ? h.e64.e_phnum : h.e32.e_phnum;
	entry_sz = is_64 ? h.e64.e_phentsize : h.e32.e_phentsize;
	if (cnt > PHDRS_MAX || entry_sz != (is_64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr)))
		return -ENOEXEC;
	*ret_is_64 = is_64;
	*ret_off = is_64 ? h.e64.e_phoff : h.e32.e_phoff;
	*ret_cnt = cnt;
	return 0;
}

int elfsegs_read(int fd, struct elfsegs *ret)
{
	uint8_t data[PHDRS_MAX * sizeof(Elf64_Phdr)];
	struct elfsegs s = {};
	uint64_t off;
	size_t cnt, entry_sz;
	bool is_64;
	int err = header_read(fd, &is_64, &off, &cnt);

	if (err)
		return err;
	entry_sz = is_64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);
	err = pread_all(fd, data, cnt * entry_sz, off);
	for (size_t i = 0; i < cnt && !err; i++) {
		struct phdr p = phdr_get(data + i * entry_sz, is_64);

		err = phdr_take(fd, &p, &s);
	}
	if (!err)
		*ret = s;
	return err;
}

const struct elfseg *elfsegs_find(const struct elfsegs *s, uint64_t off)
{
	for (size_t i = 0; i < s->cnt; i++)
		if (off >= s->seg[i].off && off - s->seg[i].off < s->seg[i].sz)
			return &s->seg[i];
	return NULL;
}

bool elfsegs_vaddr(const struct elfsegs *s, uint64_t off, uint64_t *ret)
{
	const struct elfseg *seg = elfsegs_find(s, off);

	if (seg)
		*ret = seg->vaddr + (off - seg->off);
	return seg;
}

int elfsegs_open(pid_t pid, uint64_t start, uint64_t end, const char *path,
		 const struct build_id *id, struct elfsegs *ret, bool *ret_is_by_path)
{
	int fd = procmap_open_file(pid, start, end, path), err;

	*ret_is_by_path = fd < 0 && path[0] == '/';
	if (*ret_is_by_path)
		fd = file_open_regular(path, UINT64_MAX);
	if (fd < 0)
		return fd;
	err = elfsegs_read(fd, ret);
	if (!err && !build_id_same_bytes(&ret->build_id, id))
		err = -ENOENT;
	if (err) {
		close(fd);
		return err;
	}
	return fd;
}
