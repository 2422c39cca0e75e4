/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * elf_file.c - opening ELF files that others made. Read into memory, never mapped: a file that
 * shrinks while it is looked at must not end us by a signal.
 */
#include <fcntl.h>
#include <lzma.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "symbol/elf_impl.h"

#define DEBUGDATA_MAX ((size_t)256 << 20) /* .gnu_debugdata, decompressed */

int elf_open_path(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	return fd < 0 ? -errno : fd;
}

void elf_file_free(struct elf_file *f)
{
	if (!f)
		return;
	elf_end(f->elf);
	if (f->fd >= 0)
		close(f->fd);
	free(f->image);
	free(f);
}

/* Common to files and memory: it must be ELF, and hold the build-id that is wanted. */
static int elf_file_check(struct elf_file *f, const struct build_id *want, struct elf_file **ret)
{
	struct build_id id;

	if (!f->elf || elf_kind(f->elf) != ELF_K_ELF) {
		elf_file_free(f);
		return -EINVAL;
	}
	if (want && (!elf_build_id(f->elf, &id) || !build_id_same_bytes(&id, want))) {
		elf_file_free(f);
		return -ESTALE;
	}
	*ret = f;
	return 0;
}

int elf_file_take(int fd, const struct build_id *want, struct elf_file **ret)
{
	struct elf_file *f = calloc(1, sizeof(*f));
	struct stat st;
	int err = 0;

	elf_version(EV_CURRENT);
	if (!f)
		err = -ENOMEM;
	else if (fstat(fd, &st) || !S_ISREG(st.st_mode))
		err = -EINVAL;
	else if ((uint64_t)st.st_size > ELF_FILE_MAX_SZ)
		err = -EFBIG;
	if (err) {
		close(fd);
		free(f);
		return err;
	}
	f->fd = fd;
	f->elf = elf_begin(fd, ELF_C_READ, NULL);
	return elf_file_check(f, want, ret);
}

int elf_file_memory(void *image, size_t sz, bool is_owned, struct elf_file **ret)
{
	struct elf_file *f = calloc(1, sizeof(*f));

	elf_version(EV_CURRENT);
	if (!f) {
		if (is_owned)
			free(image);
		return -ENOMEM;
	}
	f->fd = -1;
	f->image = is_owned ? image : NULL;
	f->elf = elf_memory(image, sz);
	return elf_file_check(f, NULL, ret);
}

static bool note_find(Elf_Data *data, struct build_id *ret)
{
	size_t at = 0, name_off, desc_off;
	GElf_Nhdr note;

	while (data && (at = gelf_getnote(data, at, &note, &name_off, &desc_off)) > 0) {
		if (note.n_type != NT_GNU_BUILD_ID || note.n_namesz != 4 || !note.n_descsz ||
		    note.n_descsz > BUILD_ID_MAX ||
		    memcmp((char *)data->d_buf + name_off, "GNU", 4) != 0)
			continue;
		*ret = (struct build_id){ .sz = (uint8_t)note.n_descsz };
		memcpy(ret->bytes, (char *)data->d_buf + desc_off, note.n_descsz);
		return true;
	}
	return false;
}

/* In program headers, or in sections where those are stripped of their bytes (debug files). */
bool elf_build_id(Elf *elf, struct build_id *ret)
{
	size_t cnt;
	Elf_Scn *scn = NULL;
	GElf_Phdr ph;
	GElf_Shdr sh;

	while ((scn = elf_nextscn(elf, scn)))
		if (gelf_getshdr(scn, &sh) && sh.sh_type == SHT_NOTE &&
		    note_find(elf_getdata(scn, NULL), ret))
			return true;
	if (elf_getphdrnum(elf, &cnt))
		return false;
	for (size_t i = 0; i < cnt; i++) {
		if (!gelf_getphdr(elf, (int)i, &ph) || ph.p_type != PT_NOTE)
			continue;
		if (note_find(elf_getdata_rawchunk(elf, (int64_t)ph.p_offset, ph.p_filesz,
						   ELF_T_NHDR),
			      ret))
			return true;
	}
	return false;
}

Elf_Scn *elf_section(Elf *elf, const char *name, GElf_Shdr *ret_shdr)
{
	Elf_Scn *scn = NULL;
	size_t strings;

	if (elf_getshdrstrndx(elf, &strings))
		return NULL;
	while ((scn = elf_nextscn(elf, scn))) {
		const char *n;

		if (!gelf_getshdr(scn, ret_shdr))
			continue;
		n = elf_strptr(elf, strings, ret_shdr->sh_name);
		if (n && !strcmp(n, name))
			return scn;
	}
	return NULL;
}

bool elf_off_to_vaddr(Elf *elf, uint64_t off, uint64_t *ret)
{
	size_t cnt;
	GElf_Phdr ph;

	if (elf_getphdrnum(elf, &cnt))
		return false;
	for (size_t i = 0; i < cnt; i++) {
		if (!gelf_getphdr(elf, (int)i, &ph) || ph.p_type != PT_LOAD || !(ph.p_flags & PF_X))
			continue;
		if (off >= ph.p_offset && off - ph.p_offset < ph.p_filesz) {
			*ret = ph.p_vaddr + (off - ph.p_offset);
			return true;
		}
	}
	return false;
}

/* xz, whose size is not told beforehand: into a buffer that doubles. */
static void *xz_decode(const void *data, size_t len, size_t *ret_sz)
{
	for (size_t cap = 4 * len + 65536; cap <= DEBUGDATA_MAX; cap *= 2) {
		uint64_t mem_limit = 1ULL << 28;
		size_t in_pos = 0, out_pos = 0;
		uint8_t *out = malloc(cap);
		lzma_ret res;

		if (!out)
			return NULL;
		res = lzma_stream_buffer_decode(&mem_limit, 0, NULL, data, &in_pos, len, out,
						&out_pos, cap);
		if (res == LZMA_OK) {
			*ret_sz = out_pos;
			return out;
		}
		free(out);
		if (res != LZMA_BUF_ERROR)
			return NULL;
	}
	return NULL;
}

struct elf_file *elf_mini_debuginfo(Elf *elf)
{
	struct elf_file *f = NULL;
	GElf_Shdr sh;
	Elf_Scn *scn = elf_section(elf, ".gnu_debugdata", &sh);
	Elf_Data *data = scn && sh.sh_type == SHT_PROGBITS ? elf_rawdata(scn, NULL) : NULL;
	void *image;
	size_t sz;

	if (!data || !data->d_buf || !data->d_size)
		return NULL;
	image = xz_decode(data->d_buf, data->d_size, &sz);
	if (!image || elf_file_memory(image, sz, true, &f))
		return NULL;
	return f;
}
