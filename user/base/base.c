/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* base.c - errors, arrays, buffers, files, numbers, time, build-ids. */
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include "base/base.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#ifdef __SANITIZE_ADDRESS__ /* gcc's name; fuzz.mk defines it for clang */
#include <sanitizer/asan_interface.h>
#endif

void cleanup_free(void *pp)
{
	free(*(void **)pp);
}

void cleanup_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

void cleanup_fclose(FILE **fp)
{
	if (*fp)
		fclose(*fp);
}

static void error_vset(struct error *e, const char *fmt, va_list ap)
{
	vsnprintf(e->text, sizeof(e->text), fmt, ap);
	e->advice[0] = '\0';
}

int error_set(struct error *e, int code, const char *fmt, ...)
{
	va_list ap;

	if (e) {
		va_start(ap, fmt);
		error_vset(e, fmt, ap);
		va_end(ap);
	}
	return -code;
}

int error_errno(struct error *e, int code, const char *fmt, ...)
{
	va_list ap;
	size_t len;

	if (!e)
		return -code;
	va_start(ap, fmt);
	error_vset(e, fmt, ap);
	va_end(ap);
	len = strlen(e->text);
	snprintf(e->text + len, sizeof(e->text) - len, ": %s", strerror(code));
	return -code;
}

void error_advise(struct error *e, const char *fmt, ...)
{
	va_list ap;

	if (!e)
		return;
	va_start(ap, fmt);
	vsnprintf(e->advice, sizeof(e->advice), fmt, ap);
	va_end(ap);
}

int array_reserve(void *arr_p, size_t *cap, size_t need, size_t elem_sz, size_t max_cnt)
{
	void **arr = arr_p, *grown;
	size_t cnt = *cap + *cap / 2;

	if (need <= *cap)
		return 0;
	if (need > max_cnt)
		return -E2BIG;
	if (cnt < need)
		cnt = need;
	if (cnt < 16)
		cnt = 16;
	if (cnt > max_cnt)
		cnt = max_cnt;
	if (cnt > SIZE_MAX / elem_sz)
		return -E2BIG;
	grown = realloc(*arr, cnt * elem_sz);
	if (!grown)
		return -ENOMEM;
	*arr = grown;
	*cap = cnt;
	return 0;
}

void buf_release(struct buf *b)
{
	free(b->data);
	*b = (struct buf){ .max = b->max };
}

void buf_reset(struct buf *b)
{
	b->len = 0;
	b->err = 0;
	if (b->data)
		b->data[0] = '\0';
}

/*
 * With AddressSanitizer: what lies behind the NUL is room for more and nobody's to read, so that a reader that goes
 * beyond the bytes is seen though the memory is there.
 */
#ifdef __SANITIZE_ADDRESS__
#define room_open(p, len)  ASAN_UNPOISON_MEMORY_REGION(p, len)
#define room_close(p, len) ASAN_POISON_MEMORY_REGION(p, len)
#else
#define room_open(p, len)  ((void)0)
#define room_close(p, len) ((void)0)
#endif

/* Room for len more bytes and the NUL; false (and err set) when there is none. */
static bool buf_room(struct buf *b, size_t len)
{
	size_t max = b->max ? b->max : BUF_MAX_DEFAULT, cap = b->cap;

	if (b->err)
		return false;
	if (len > max || b->len > max - len) {
		b->err = -E2BIG;
		return false;
	}
	b->err = array_reserve(&b->data, &b->cap, b->len + len + 1, 1, max + 1);
	if (b->err)
		return false;
	if (b->cap > cap)
		room_close(b->data + b->len + 1, b->cap - b->len - 1);
	room_open(b->data + b->len, len + 1);
	return true;
}

void buf_add(struct buf *b, const void *data, size_t len)
{
	if (!buf_room(b, len))
		return;
	if (len)
		memcpy(b->data + b->len, data, len);
	b->len += len;
	b->data[b->len] = '\0';
}

void buf_str(struct buf *b, const char *s)
{
	buf_add(b, s, strlen(s));
}

void buf_char(struct buf *b, char c)
{
	buf_add(b, &c, 1);
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	int len;

	va_start(ap, fmt);
	len = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (len < 0) {
		b->err = b->err ? b->err : -EINVAL;
		return;
	}
	if (!buf_room(b, (size_t)len))
		return;
	va_start(ap, fmt);
	vsnprintf(b->data + b->len, (size_t)len + 1, fmt, ap);
	va_end(ap);
	b->len += (size_t)len;
}

ssize_t read_some(int fd, void *data, size_t len)
{
	ssize_t n;

	do
		n = read(fd, data, len);
	while (n < 0 && errno == EINTR);
	return n;
}

int read_all(int fd, struct buf *b, size_t max)
{
	for (;;) {
		size_t want = 65536;
		ssize_t n;

		if (!buf_room(b, want))
			return b->err;
		n = read_some(fd, b->data + b->len, want);
		if (n < 0)
			return -errno;
		b->len += (size_t)n;
		b->data[b->len] = '\0';
		room_close(b->data + b->len + 1, want - (size_t)n);
		if (!n)
			return 0;
		if (b->len > max)
			return -EFBIG;
	}
}

int write_all(int fd, const void *data, size_t len)
{
	const char *p = data;

	while (len) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

static int check_regular(int fd, uint64_t max_sz)
{
	struct stat st;

	if (fstat(fd, &st))
		return -errno;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	if (S_ISLNK(st.st_mode))
		return -ELOOP;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	return (uint64_t)st.st_size > max_sz ? -EFBIG : 0;
}

int file_reopen_regular(int path_fd, uint64_t max_sz)
{
	char link[32];
	int err, fd;

	err = check_regular(path_fd, max_sz);
	if (err)
		return err;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", path_fd);
	fd = open(link, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

int file_open_regular(const char *path, uint64_t max_sz)
{
	int path_fd CLEANUP(cleanup_close) = open(path, O_PATH | O_CLOEXEC);

	if (path_fd < 0)
		return -errno;
	return file_reopen_regular(path_fd, max_sz);
}

int parse_u64(const char *s, uint64_t min, uint64_t max, uint64_t *ret)
{
	bool is_hex = s[0] == '0' && (s[1] == 'x' || s[1] == 'X');
	unsigned long long v;
	char *end;

	if (s[0] < '0' || s[0] > '9')
		return -EINVAL;
	errno = 0;
	v = strtoull(s, &end, is_hex ? 16 : 10);
	if (*end)
		return -EINVAL;
	if (errno == ERANGE || v < min || v > max)
		return -ERANGE;
	*ret = v;
	return 0;
}

int parse_double(const char *s, double min, double max, double *ret)
{
	char *end;
	double v;

	if (!((s[0] >= '0' && s[0] <= '9') || s[0] == '.') || strspn(s, "0123456789.") != strlen(s))
		return -EINVAL;
	v = strtod(s, &end);
	if (*end)
		return -EINVAL;
	if (!(v >= min && v <= max))
		return -ERANGE;
	*ret = v;
	return 0;
}

uint64_t timespec_ns(const struct timespec *t)
{
	return (uint64_t)t->tv_sec * NSEC_PER_SEC + (uint64_t)t->tv_nsec;
}

static uint64_t clock_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return timespec_ns(&ts);
}

uint64_t clock_mono_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

uint64_t clock_real_ns(void)
{
	return clock_ns(CLOCK_REALTIME);
}

bool build_id_eq(const struct build_id *a, const struct build_id *b)
{
	return a->sz == b->sz && !memcmp(a->bytes, b->bytes, a->sz);
}

bool build_id_same_bytes(const struct build_id *a, const struct build_id *b)
{
	return !memcmp(a->bytes, b->bytes, BUILD_ID_MAX);
}

const char *build_id_hex(const struct build_id *id, char hex[BUILD_ID_HEX_SZ])
{
	static const char digits[] = "0123456789abcdef";
	size_t sz = id->sz <= BUILD_ID_MAX ? id->sz : BUILD_ID_MAX;

	for (size_t i = 0; i < sz; i++) {
		hex[2 * i] = digits[id->bytes[i] >> 4];
		hex[2 * i + 1] = digits[id->bytes[i] & 15];
	}
	hex[2 * sz] = '\0';
	return hex;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int build_id_parse(const char *hex, struct build_id *ret)
{
	size_t len = strlen(hex);
	struct build_id id = {};

	if (!len || len % 2 || len > 2 * BUILD_ID_MAX)
		return -EINVAL;
	id.sz = (uint8_t)(len / 2);
	for (size_t i = 0; i < id.sz; i++) {
		int hi = hex_digit(hex[2 * i]), lo = hex_digit(hex[2 * i + 1]);

		if (hi < 0 || lo < 0)
			return -EINVAL;
		id.bytes[i] = (uint8_t)(hi << 4 | lo);
	}
	*ret = id;
	return 0;
}

void grace_period(void)
{
	/* An RCU grace period (kernel/sched/membarrier.c): BPF programs run inside RCU read sections. */
	if (syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0))
		usleep(100000);
}
