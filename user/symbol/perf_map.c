/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * perf_map.c - names of JIT code: lines of "START SIZE NAME", numbers in hex.
 *
 * Anyone may put a file in /tmp, so it is opened without following a link and believed only when
 * the process's user or root owns it. A last line without its newline is still being written, and
 * half a name is a wrong name: it is left out.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "symbol/elf_impl.h"

#define PERF_MAP_MAX_CNT ((size_t)1 << 23)
#define STATUS_MAX_SZ    65536

struct perf_map {
	struct buf text; /* names end in NUL; range vals are offsets in it */
	struct ranges ranges;
};

void perf_map_free(struct perf_map *p)
{
	if (!p)
		return;
	buf_release(&p->text);
	ranges_release(&p->ranges);
	free(p);
}

/* A hex number, with or without 0x, and the blank behind it. */
static bool take_hex(char **pp, const char *end, uint64_t *ret)
{
	char *p = *pp;
	uint64_t v = 0;
	size_t digits = 0;

	if (end - p > 2 && p[0] == '0' && (p[1] == 'x' || p[1] == 'X'))
		p += 2;
	for (; p < end; p++, digits++) {
		int d = *p >= '0' && *p <= '9'   ? *p - '0'
			: *p >= 'a' && *p <= 'f' ? *p - 'a' + 10
			: *p >= 'A' && *p <= 'F' ? *p - 'A' + 10
						 : -1;

		if (d < 0)
			break;
		if (v >> 60)
			return false;
		v = v << 4 | (uint64_t)d;
	}
	if (!digits || p >= end || (*p != ' ' && *p != '\t'))
		return false;
	while (p < end && (*p == ' ' || *p == '\t'))
		p++;
	*pp = p;
	*ret = v;
	return true;
}

/* The line [p, end), end pointing at its newline, which becomes NUL. */
static bool parse_line(const struct buf *text, char *p, char *end, struct range_in *ret)
{
	uint64_t start, size;

	if (end > p && end[-1] == '\r')
		end--;
	if (!take_hex(&p, end, &start) || !take_hex(&p, end, &size) || p >= end || !*p)
		return false;
	if (!size || size > UINT32_MAX || size > UINT64_MAX - start)
		return false;
	if (end - p > SYM_NAME_MAX)
		end = p + SYM_NAME_MAX;
	*end = '\0';
	*ret = (struct range_in){
		.start = start,
		.len = (uint32_t)size,
		.val = (uint32_t)(p - text->data),
	};
	return true;
}

static int parse_text(struct perf_map *m)
{
	char *p = m->text.data, *end = p + m->text.len, *nl;
	struct range_in *in = NULL;
	size_t cnt = 0, cap = 0;
	int err = 0;

	for (; !err && p && p < end && (nl = memchr(p, '\n', (size_t)(end - p))); p = nl + 1) {
		struct range_in r;

		if (!parse_line(&m->text, p, nl, &r))
			continue;
		r.prio = (uint32_t)cnt;
		err = array_reserve(&in, &cap, cnt + 1, sizeof(*in), PERF_MAP_MAX_CNT);
		if (!err)
			in[cnt++] = r;
	}
	if (!err)
		err = ranges_build(in, cnt, &m->ranges);
	free(in);
	return err;
}

/* Takes what is in text; on failure too. */
static int perf_map_make(struct buf *text, struct perf_map **ret)
{
	struct perf_map *m = calloc(1, sizeof(*m));
	int err = text->err;

	if (!m || err) {
		buf_release(text);
		free(m);
		return m ? err : -ENOMEM;
	}
	m->text = *text;
	*text = (struct buf){};
	err = parse_text(m);
	if (err) {
		perf_map_free(m);
		return err;
	}
	*ret = m;
	return 0;
}

int perf_map_parse(const char *text, size_t len, struct perf_map **ret)
{
	struct buf copy = {};

	if (len > PERF_MAP_MAX_SZ)
		return -EFBIG;
	buf_add(&copy, text, len);
	return perf_map_make(&copy, ret);
}

const char *perf_map_find(const struct perf_map *p, uint64_t addr)
{
	const struct range_piece *piece;
	uint64_t off;

	piece = ranges_find(&p->ranges, addr, &off);
	return piece ? p->text.data + piece->val : NULL;
}

/* Effective user id, and the process's id in the innermost pid namespace it is in. */
static int read_status(pid_t pid, uid_t *ret_uid, long *ret_nspid)
{
	int fd CLEANUP(cleanup_close) = -1;
	char *text CLEANUP(cleanup_free) = NULL;
	const char *uids, *pids;
	struct buf b = {};
	unsigned int uid;
	char path[32];
	int err;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	err = read_all(fd, &b, STATUS_MAX_SZ);
	text = b.data;
	if (err)
		return err;
	/* the thread name, which comes first, cannot hold a newline */
	uids = text ? strstr(text, "\nUid:") : NULL;
	if (!uids || sscanf(uids, "\nUid: %*u %u", &uid) != 1)
		return -EINVAL;
	*ret_nspid = pid;
	pids = strstr(text, "\nNSpid:");
	if (pids) {
		size_t len = strcspn(pids + 1, "\n") + 1;

		while (len && pids[len - 1] >= '0' && pids[len - 1] <= '9')
			len--;
		*ret_nspid = strtol(pids + len, NULL, 10);
	}
	*ret_uid = uid;
	return 0;
}

static int check_owner(int fd, uid_t uid)
{
	struct stat st;

	if (fstat(fd, &st))
		return -errno;
	return st.st_uid && st.st_uid != uid ? -EPERM : 0;
}

static int perf_map_failed(struct error *e, int err, pid_t pid, const char *path)
{
	static const struct {
		int err;
		const char *why;
	} reasons[] = {
		{ -ELOOP, "it is a symbolic link" },
		{ -EISDIR, "it is a folder" },
		{ -EINVAL, "it is not a regular file" },
		{ -EPERM, "it belongs neither to the process's user nor to root" },
		{ -EFBIG, "it is too large" },
		{ -E2BIG, "it has too many lines" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(reasons); i++)
		if (reasons[i].err == err)
			return error_set(e, -err, "cannot use %s of process %d: %s", path, (int)pid,
					 reasons[i].why);
	return error_errno(e, -err, "cannot read %s of process %d", path, (int)pid);
}

int perf_map_open(pid_t pid, struct perf_map **ret, struct error *e)
{
	int fd CLEANUP(cleanup_close) = -1;
	struct buf text = { .max = PERF_MAP_MAX_SZ + STATUS_MAX_SZ * 2 };
	char path[64] = "the perf map";
	long nspid = pid;
	uid_t uid = 0;
	int err;

	err = read_status(pid, &uid, &nspid);
	if (err)
		return perf_map_failed(e, err, pid, path);
	snprintf(path, sizeof(path), "/tmp/perf-%ld.map", nspid);
	fd = file_open_in_root(pid, path, true, PERF_MAP_MAX_SZ);
	err = fd < 0 ? fd : check_owner(fd, uid);
	if (!err)
		err = read_all(fd, &text, PERF_MAP_MAX_SZ);
	if (err) {
		buf_release(&text);
		return perf_map_failed(e, err, pid, path);
	}
	err = perf_map_make(&text, ret);
	return err ? perf_map_failed(e, err, pid, path) : 0;
}
