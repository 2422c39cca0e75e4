/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* pprof_inflate.c - a sequence of gzip members into one message, as far as they are whole. */
#include "profile/pprof_impl.h"

#include <string.h>
#include <zlib.h>

#define GZIP_WINDOW (15 + 16)

static int too_large(const char *name, size_t max, struct error *e)
{
	error_set(e, EFBIG, "cannot read %s: more than %zu MiB when decompressed", name, max >> 20);
	error_advise(e, "record for a shorter time, or fewer targets at once");
	return -EFBIG;
}

/* One member into out. 1: it ended; 0: the data ended before it, or it is damaged; -errno. */
static int member_inflate(z_stream *z, size_t max, struct buf *out)
{
	uint8_t chunk[65536];

	for (;;) {
		size_t got;
		int res;

		z->next_out = chunk;
		z->avail_out = sizeof(chunk);
		res = inflate(z, Z_NO_FLUSH);
		got = sizeof(chunk) - z->avail_out;
		if (got > max - out->len)
			return -EFBIG;
		buf_add(out, chunk, got);
		if (out->err)
			return out->err;
		if (res == Z_STREAM_END)
			return 1;
		if (res == Z_MEM_ERROR)
			return -ENOMEM;
		if (res != Z_OK || (!z->avail_in && z->avail_out))
			return 0;
	}
}

static int members_inflate(z_stream *z, size_t max, struct buf *out, size_t *ret_members)
{
	for (;;) {
		size_t whole = out->len;
		int res = member_inflate(z, max, out);

		if (res < 0)
			return res;
		if (!res) {
			out->len = whole; /* what came of it is not to be trusted */
			return 0;
		}
		++*ret_members;
		if (!z->avail_in)
			return 1;
		if (inflateReset(z) != Z_OK)
			return -EIO;
	}
}

static int no_member(const char *name, struct error *e)
{
	error_set(e, EINVAL, "cannot read %s: cut or damaged before its first part was whole",
		  name);
	error_advise(e, "the recording was killed within its first second, or this is no profile");
	return -EINVAL;
}

int pprof_inflate(const char *name, struct buf *file, size_t max, bool *ret_is_cut, struct error *e)
{
	struct buf out CLEANUP(buf_release) = { .max = max };
	z_stream z = { .next_in = (Bytef *)file->data };
	size_t members = 0;
	int res;

	if (file->len > max || file->len > UINT32_MAX)
		return too_large(name, max, e);
	if (file->len < 2 || memcmp(file->data, "\x1f\x8b", 2) != 0) {
		*ret_is_cut = false;
		return 0;
	}
	z.avail_in = (uInt)file->len;
	if (inflateInit2(&z, GZIP_WINDOW) != Z_OK)
		return error_errno(e, ENOMEM, "cannot read %s", name);
	res = members_inflate(&z, max, &out, &members);
	inflateEnd(&z);
	if (res == -EFBIG)
		return too_large(name, max, e);
	if (res < 0)
		return error_errno(e, -res, "cannot read %s", name);
	if (!members)
		return no_member(name, e);
	buf_release(file);
	*file = out;
	out = (struct buf){};
	*ret_is_cut = !res;
	return 0;
}
