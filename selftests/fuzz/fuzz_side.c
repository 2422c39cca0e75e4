/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* fuzz_side.c - records of the side band (user/collect/side_decode.c), one after the other by their sizes. */
#include <linux/perf_event.h>

#include "collect/sideband.h"
#include "fuzz.h"

static void decode(const uint8_t *data, size_t len)
{
	uint8_t *record = fuzz_copy(data, len);
	struct side_event e = {};
	int err = side_decode(record, len, &e);

	FUZZ_CHECK(!err || err == 1 || err == -EINVAL);
	if (!err) {
		FUZZ_CHECK(e.build_id.sz <= BUILD_ID_MAX && e.kind <= SIDE_LOST);
		FUZZ_CHECK(e.kind != SIDE_MMAP || (e.start < e.end && e.path));
		/* the path ends before the time does */
		FUZZ_CHECK(!e.path || (const uint8_t *)e.path + strlen(e.path) < record + len - 8);
	}
	free(record);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct perf_event_header h;

	while (size >= sizeof(h)) {
		size_t len;

		memcpy(&h, data, sizeof(h));
		len = h.size >= sizeof(h) && h.size <= size ? h.size : size;
		decode(data, len);
		data += len;
		size -= len;
	}
	return 0;
}
