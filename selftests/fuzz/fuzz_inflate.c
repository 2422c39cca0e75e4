/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* fuzz_inflate.c - gzip members (user/profile/pprof_inflate.c), and fields of the message as far as they are whole. */
#include "fuzz.h"
#include "profile/pprof_impl.h"

#define MESSAGE_MAX ((size_t)1 << 20)

/* Over a copy of the message: behind the buffer's own bytes there is room that nobody watches. */
static void walk(const void *message, size_t len)
{
	uint8_t *copy = fuzz_copy(message, len);
	struct piece p = { copy, len }, bytes;
	size_t whole = fields_len(p);
	uint32_t field;
	uint64_t value;

	FUZZ_CHECK(whole <= len);
	p.len = whole;
	while (p.len) {
		FUZZ_CHECK(field_get(&p, &field, &value, &bytes) && field);
		FUZZ_CHECK(!bytes.data || (bytes.data >= copy && bytes.len <= whole &&
					   bytes.data + bytes.len <= copy + whole));
	}
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf file = {};
	struct error e = {};
	bool is_cut = false;
	int err;

	buf_add(&file, data, size);
	FUZZ_CHECK(!file.err);
	err = pprof_inflate("input", &file, MESSAGE_MAX, &is_cut, &e);
	FUZZ_CHECK(!err || (e.text[0] && (err == -EINVAL || err == -EFBIG)));
	if (!err) {
		FUZZ_CHECK(file.len <= MESSAGE_MAX);
		walk(file.data, file.len);
	}
	buf_release(&file);
	return 0;
}
