/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * fuzz_folded.c - folded text into a model (user/profile/folded_read.c), and back into text: read again, that gives
 * the same text.
 */
#include "fuzz.h"
#include "profile/folded.h"

/* Folded text of what text says: malloc'd, NULL: refused. */
static char *refold(const char *text, size_t len, size_t *ret_len)
{
	FILE *in = fmemopen((void *)text, len, "r"), *out;
	struct error e = {};
	char *back = NULL;
	struct model m;

	FUZZ_CHECK(in && !model_init(&m));
	if (!folded_read(in, "input", &m, &e)) {
		out = open_memstream(&back, ret_len);
		FUZZ_CHECK(out && !folded_write(&m, &(struct folded_opts){}, out) && !fclose(out));
	} else {
		FUZZ_CHECK(e.text[0]);
	}
	model_release(&m);
	fclose(in);
	return back;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *once, *twice;
	size_t len, again;

	if (!size)
		return 0;
	once = refold((const char *)data, size, &len);
	if (once && len) {
		twice = refold(once, len, &again);
		FUZZ_CHECK(twice && again == len && !memcmp(once, twice, len));
		free(twice);
	}
	free(once);
	return 0;
}
