/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * fuzz.h - what the fuzz targets share. A target is a file fuzz_NAME.c with LLVMFuzzerTestOneInput: it feeds one
 * input to a reader and checks what the reader promises of its result. Whatever the input, it returns 0:
 * a finding is a crash, a report of a sanitizer, or FUZZ_CHECK.
 */
#ifndef BSTACK_FUZZ_H
#define BSTACK_FUZZ_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/base.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_CHECK(cond)                                                                     \
	do {                                                                                 \
		if (!(cond)) {                                                               \
			fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #cond); \
			abort();                                                             \
		}                                                                            \
	} while (0)

/* The input, taken from its front; behind its end come zeros. */
struct fuzz_in {
	const uint8_t *p;
	size_t len;
};

__attribute__((unused)) static void fuzz_bytes(struct fuzz_in *in, void *ret, size_t sz)
{
	size_t have = sz < in->len ? sz : in->len;

	memset(ret, 0, sz);
	if (have)
		memcpy(ret, in->p, have);
	in->p += have;
	in->len -= have;
}

__attribute__((unused)) static uint64_t fuzz_uint(struct fuzz_in *in, size_t sz)
{
	uint64_t v = 0;

	fuzz_bytes(in, &v, sz);
	return v;
}

/* A copy in memory of exactly its size, aligned as malloc aligns: a step beyond it is seen. */
__attribute__((unused)) static void *fuzz_copy(const void *data, size_t size)
{
	void *copy = malloc(size ? size : 1);

	FUZZ_CHECK(copy);
	if (size)
		memcpy(copy, data, size);
	return copy;
}

/* A file with these bytes, at its start. */
__attribute__((unused)) static int fuzz_fd(const void *data, size_t size)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	FUZZ_CHECK(fd >= 0 && !write_all(fd, data, size) && !lseek(fd, 0, SEEK_SET));
	return fd;
}

#endif
