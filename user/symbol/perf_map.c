/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* perf_map.c - names of JIT code, from a file that the profiled process wrote. */
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "symbol/symbol.h"

#define ENTRIES_MAX ((size_t)1 << 24)

struct entry {
	uint64_t start, end;
	uint32_t line; /* later ones win */
	const char *name;
};
struct perf_map {
	char *text;            /* names point into it */
	struct entry *entries; /* by start, without overlap */
	size_t cnt, cap;
};

void perf_map_free(struct perf_map *p)
{
	if (!p)
		return;
	free(p->text);
	free(p->entries);
	free(p);
}

/* "START SIZE name", hexadecimal; the name may hold blanks. */
static bool line_parse(char *line, struct entry *ret)
{
	char *end;
	uint64_t sz;

	errno = 0;
	ret->start = strtoull(line, &end, 16);
	if (end == line || *end != ' ' || line[0] == '-' || line[0] == '+')
		return false;
	line = end + 1;
	sz = strtoull(line, &end, 16);
	if (end == line || *end != ' ' || line[0] == '-' || !end[1] || errno || !sz ||
	    ret->start > UINT64_MAX - sz)
		return false;
	ret->end = ret->start + sz;
	ret->name = end + 1;
	return true;
}

static int entry_cmp(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	return x->line < y->line ? -1 : x->line > y->line;
}

static int lines_add(struct perf_map *p)
{
	char *line, *rest = p->text;
	uint32_t number = 0;

	while ((line = strsep(&rest, "\n"))) {
		struct entry e = { .line = number++ };
		size_t len = strlen(line);

		if (len && line[len - 1] == '\r')
			line[len - 1] = '\0';
		if (!line_parse(line, &e))
			continue;
		if (array_reserve(&p->entries, &p->cap, p->cnt + 1, sizeof(e), ENTRIES_MAX))
			return -ENOMEM;
		p->entries[p->cnt++] = e;
	}
	return 0;
}

/*
 * Code is freed and its place used again: of two that overlap the later one tells the truth. Looked up by
 * the nearest start at or below an address; what an older entry held beyond is given up.
 */
static void overlaps_settle(struct perf_map *p)
{
	size_t kept = 0;

	for (size_t i = 0; i < p->cnt; i++) {
		struct entry e = p->entries[i];
		bool is_dead = false;

		while (kept && p->entries[kept - 1].end > e.start) {
			struct entry *last = &p->entries[kept - 1];

			if (last->line >
			    e.line) { /* the later one stands: keep what reaches beyond it */
				is_dead = e.end <= last->end;
				e.start = last->end;
				break;
			}
			last->end = e.start;
			if (last->end > last->start)
				break;
			kept--;
		}
		if (!is_dead)
			p->entries[kept++] = e;
	}
	p->cnt = kept;
}

int perf_map_parse(const char *text, size_t len, struct perf_map **ret)
{
	struct perf_map *p = calloc(1, sizeof(*p));
	int err;

	if (!p)
		return -ENOMEM;
	p->text = strndup(text, len);
	err = p->text ? lines_add(p) : -ENOMEM;
	if (err) {
		perf_map_free(p);
		return err;
	}
	if (p->cnt)
		qsort(p->entries, p->cnt, sizeof(*p->entries), entry_cmp);
	overlaps_settle(p);
	*ret = p;
	return 0;
}

const char *perf_map_find(const struct perf_map *p, uint64_t addr)
{
	size_t lo = 0, hi = p->cnt;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (p->entries[mid].start <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo && p->entries[lo - 1].end > addr ? p->entries[lo - 1].name : NULL;
}

/* The number of a process in its own pid namespace, and its effective uid, where they can be read. */
static int status_read(pid_t pid, int *ret_ns_pid, uid_t *ret_uid)
{
	FILE *f CLEANUP(cleanup_fclose) = NULL;
	char path[64], line[256], *tab;
	unsigned int uid;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	f = fopen(path, "re");
	if (!f)
		return -errno;
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "Uid: %*u %u", &uid) == 1)
			*ret_uid = uid;
		tab = strrchr(line, '\t');
		if (!strncmp(line, "NSpid:", 6) && tab)
			*ret_ns_pid = atoi(tab + 1); /* the last one is the innermost */
	}
	return 0;
}

int perf_map_open(pid_t pid, struct perf_map **ret, struct error *e)
{
	int fd CLEANUP(cleanup_close) = -1;
	struct buf text CLEANUP(buf_release) = {};
	char path[96];
	struct stat st;
	uid_t uid = 0;
	int ns_pid = pid, err = status_read(pid, &ns_pid, &uid);

	if (err)
		return error_errno(e, -err, "cannot read /proc/%d/status", pid);
	snprintf(path, sizeof(path), "/proc/%d/root/tmp/perf-%d.map", pid, ns_pid);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW | O_NOCTTY);
	if (fd < 0)
		return error_errno(e, errno, "cannot open %s", path);
	if (fstat(fd, &st))
		return error_errno(e, errno, "cannot read %s", path);
	if (!S_ISREG(st.st_mode) || (st.st_uid != uid && st.st_uid != 0))
		return error_set(e, EPERM, "%s: not a regular file of the process's own user",
				 path);
	if ((uint64_t)st.st_size > PERF_MAP_MAX_SZ)
		return error_set(e, EFBIG, "%s: larger than %zu MiB", path, PERF_MAP_MAX_SZ >> 20);
	err = read_all(fd, &text, PERF_MAP_MAX_SZ);
	if (!err)
		err = perf_map_parse(text.data ? text.data : "", text.len, ret);
	return err ? error_errno(e, -err, "cannot read %s", path) : 0;
}
