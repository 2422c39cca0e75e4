/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * minidebug.c - MiniDebugInfo: an xz-compressed ELF file in .gnu_debugdata that holds the
 * symbols which .dynsym lacks. Unpacked in memory, with limits, for a bomb may be inside.
 */
#include <lzma.h>
#include <string.h>

#include "symbol/elf_impl.h"

#define MINI_PACKED_MAX_SZ   ((uint64_t)64 << 20)
#define MINI_UNPACKED_MAX_SZ ((size_t)256 << 20)
#define MINI_DECODER_MAX_SZ  ((uint64_t)256 << 20)
#define MINI_STEP_SZ         ((size_t)1 << 20)

static int unpack(lzma_stream *xz, struct buf *out)
{
	char *step CLEANUP(cleanup_free) = malloc(MINI_STEP_SZ);
	lzma_ret r = LZMA_OK;

	if (!step)
		return -ENOMEM;
	while (r == LZMA_OK) {
		xz->next_out = (uint8_t *)step;
		xz->avail_out = MINI_STEP_SZ;
		r = lzma_code(xz, LZMA_FINISH);
		buf_add(out, step, MINI_STEP_SZ - xz->avail_out);
		if (out->err)
			return out->err;
	}
	return r == LZMA_STREAM_END ? 0 : r == LZMA_MEM_ERROR ? -ENOMEM : -EINVAL;
}

int minidebug_open(const struct elf_file *f, struct elf_file **ret)
{
	Elf *elf CLEANUP(cleanup_elf) = NULL;
	struct buf out = { .max = MINI_UNPACKED_MAX_SZ };
	lzma_stream xz = LZMA_STREAM_INIT;
	Elf_Scn *scn;
	Elf_Data *d;
	int err;

	errno = 0;
	elf = elf_file_begin(f);
	scn = elf ? elf_find_section(elf, ".gnu_debugdata") : NULL;
	d = scn ? elf_section_data(scn, MINI_PACKED_MAX_SZ) : NULL;
	if (!d)
		return elf_failed(-ENOENT);
	if (lzma_stream_decoder(&xz, MINI_DECODER_MAX_SZ, 0) != LZMA_OK)
		return -ENOMEM;
	xz.next_in = d->d_buf;
	xz.avail_in = d->d_size;
	err = unpack(&xz, &out);
	lzma_end(&xz);
	if (!err && !out.len)
		err = -EINVAL;
	if (!err)
		err = elf_file_open_mem(out.data, out.len, ret);
	if (err)
		buf_release(&out);
	return err;
}
