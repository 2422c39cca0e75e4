/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* procmap.c - /proc/PID/maps, by ioctl and by text. */
#include "resolve/procmap.h"
#include "resolve/elfseg.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* include/uapi/linux/fs.h of 6.11, written out: Debian 12's headers are of 6.1. */
struct procmap_query {
	uint64_t size;
	uint64_t query_flags;
	uint64_t query_addr;
	uint64_t vma_start, vma_end, vma_flags, vma_page_size, vma_offset;
	uint64_t inode;
	uint32_t dev_major, dev_minor;
	uint32_t vma_name_size, build_id_size;
	uint64_t vma_name_addr, build_id_addr;
};
#define PROCMAP_QUERY_IOCTL    _IOWR('f', 17, struct procmap_query)
#define QUERY_VMA_EXECUTABLE   0x04
#define QUERY_COVERING_OR_NEXT 0x10
#define VMA_FLAG_EXECUTABLE    0x04

#define MAPS_MAX_SZ            ((size_t)64 << 20)
#define PAGE_SZ                4096ULL
#define DEV(major, minor)      ((major) << 20 | (minor)) /* as inside the kernel */

struct procmap {
	pid_t pid;
	int fd; /* /proc/PID/maps */
	bool is_text;
	/* Of procmap_next_exec(): the text as read at the first step, and how far it has come. */
	struct buf text;
	size_t text_at;
	uint64_t next_addr;
};

/* Boot time of the leader's start, in clock ticks, is field 22 of stat; the name in field 2 may hold
 * anything, so count from its last parenthesis. */
static int start_ticks_read(pid_t pid, uint64_t *ret)
{
	char path[64], text[1024], *p;
	int fd CLEANUP(cleanup_close) = -1;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	n = read_some(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return -ESRCH;
	text[n] = '\0';
	p = strrchr(text, ')');
	for (int field = 2; p && field < 22; field++) {
		p = strchr(p, ' ');
		p = p ? p + 1 : NULL;
	}
	if (!p)
		return -ESRCH;
	*ret = strtoull(p, NULL, 10);
	return 0;
}

static int identity_check(pid_t pid, uint64_t start_ns)
{
	uint64_t ticks, hz = (uint64_t)sysconf(_SC_CLK_TCK);
	int err;

	if (!start_ns)
		return 0;
	err = start_ticks_read(pid, &ticks);
	if (err)
		return err;
	return ticks == start_ns / (NSEC_PER_SEC / hz) ? 0 : -ESRCH;
}

int procmap_open(pid_t pid, uint64_t start_ns, struct procmap **ret)
{
	struct procmap *p;
	char path[64];
	int err;

	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->pid = pid;
	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	p->fd = open(path, O_RDONLY | O_CLOEXEC);
	err = p->fd >= 0 ? identity_check(pid, start_ns) : errno == ENOENT ? -ESRCH : -errno;
	if (err) {
		procmap_close(p);
		return err;
	}
	*ret = p;
	return 0;
}

void procmap_close(struct procmap *p)
{
	if (!p)
		return;
	if (p->fd >= 0)
		close(p->fd);
	buf_release(&p->text);
	free(p);
}

void procmap_force_text(struct procmap *p)
{
	p->is_text = true;
}

enum vma_kind vma_kind_of(const char *name, bool is_exec)
{
	if (!is_exec)
		return VMA_DATA;
	if (!strncmp(name, "/dev/zero", 9) || !strncmp(name, "/SYSV", 5) ||
	    !strncmp(name, "/anon_hugepage", 14) || !strncmp(name, "[anon_shmem", 11))
		return VMA_SHARED_ANON;
	if (name[0] == '/' && name[1] != '/')
		return VMA_FILE;
	if (!strcmp(name, "[vdso]"))
		return VMA_VDSO;
	if (!name[0] || !strcmp(name, "//anon") || !strcmp(name, "[heap]") ||
	    !strncmp(name, "[stack", 6) || !strncmp(name, "[anon", 5))
		return VMA_ANON;
	return VMA_SPECIAL;
}

int procmap_open_file(pid_t pid, uint64_t start, uint64_t end, const char *path)
{
	char link[PATH_MAX + 64];
	int fd;

	/* map_files names the file itself, whatever has become of its path. */
	snprintf(link, sizeof(link), "/proc/%d/map_files/%" PRIx64 "-%" PRIx64, pid, start, end);
	fd = file_open_regular(link, UINT64_MAX);
	if (fd < 0 && path[0] == '/') {
		snprintf(link, sizeof(link), "/proc/%d/root%s", pid, path);
		fd = file_open_regular(link, UINT64_MAX);
	}
	return fd == -EISDIR ? -EINVAL : fd;
}

/* The build-id that the ioctl did not give: from the file itself. */
static void build_id_read(struct procmap *p, struct vma *v)
{
	int fd CLEANUP(cleanup_close) = -1;
	struct elfsegs segs;
	struct stat st;

	if (v->kind != VMA_FILE || v->build_id.sz)
		return;
	fd = procmap_open_file(p->pid, v->start, v->end, v->path);
	if (fd < 0 || elfsegs_read(fd, &segs))
		return;
	v->build_id = segs.build_id;
	if (fstat(fd, &st))
		return;
	v->ctime_ns = timespec_ns(&st.st_ctim);
	v->is_id_of_inode =
		st.st_ino == v->ino && DEV(major(st.st_dev), minor(st.st_dev)) == v->dev;
}

static int query(struct procmap *p, uint64_t addr, uint64_t flags, struct vma *ret)
{
	struct procmap_query q = {
		.size = sizeof(q),
		.query_addr = addr,
		.query_flags = flags,
		.vma_name_addr = (uintptr_t)ret->path,
		.vma_name_size = sizeof(ret->path),
		.build_id_addr = (uintptr_t)ret->build_id.bytes,
		.build_id_size = BUILD_ID_MAX,
	};
	bool is_too_long = false;

	ret->path[0] = '\0';
	ret->build_id = (struct build_id){};
	if (ioctl(p->fd, PROCMAP_QUERY_IOCTL, &q)) {
		if (errno != ENAMETOOLONG) /* a path beyond PATH_MAX: ask without it */
			return -errno;
		q.vma_name_size = 0;
		q.vma_name_addr = 0;
		if (ioctl(p->fd, PROCMAP_QUERY_IOCTL, &q))
			return -errno;
		is_too_long = true;
	}
	ret->start = q.vma_start;
	ret->end = q.vma_end;
	ret->off = q.vma_offset;
	ret->ino = q.inode;
	ret->dev = DEV(q.dev_major, q.dev_minor);
	ret->build_id.sz = q.build_id_size <= BUILD_ID_MAX ? (uint8_t)q.build_id_size : 0;
	ret->is_id_of_inode = ret->build_id.sz > 0;
	ret->ctime_ns = 0;
	if (!q.vma_name_size)
		ret->path[0] = '\0';
	ret->kind = vma_kind_of(is_too_long ? "/" : ret->path, q.vma_flags & VMA_FLAG_EXECUTABLE);
	return 0;
}

int maps_line_parse(const char *line, size_t len, struct vma *ret)
{
	char text[PATH_MAX + 128], perms[5];
	uint64_t start, end, off, ino;
	uint32_t dev_major, dev_minor;
	int at = 0;

	if (memchr(line, '\0', len))
		return -EINVAL;
	if (len >= sizeof(text))
		len = sizeof(text) - 1; /* what is cut off is of a path too long anyway */
	memcpy(text, line, len);
	text[len] = '\0';
	if (sscanf(text, "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %x:%x %" SCNu64 "%n", &start,
		   &end, perms, &off, &dev_major, &dev_minor, &ino, &at) != 7 ||
	    !at || start >= end || strlen(perms) != 4)
		return -EINVAL;
	while (text[at] == ' ')
		at++;
	ret->start = start;
	ret->end = end;
	ret->off = off;
	ret->ino = ino;
	ret->dev = DEV(dev_major, dev_minor);
	ret->is_id_of_inode = false;
	ret->ctime_ns = 0;
	ret->kind = vma_kind_of(text + at, perms[2] == 'x');
	ret->path[0] = '\0';
	if (strlen(text + at) < sizeof(ret->path))
		strcpy(ret->path, text + at);
	ret->build_id = (struct build_id){};
	return 0;
}

static int text_read(struct procmap *p, struct buf *ret)
{
	int err;

	if (lseek(p->fd, 0, SEEK_SET))
		return -errno;
	err = read_all(p->fd, ret, MAPS_MAX_SZ);
	if (err)
		return err;
	return ret->len ? 0 : -ESRCH; /* a dead process has no mappings */
}

/* From *at on, which is then behind it: the first mapping that ends above addr and, if asked, is executable. */
static int text_search(const char *text, size_t *at, uint64_t addr, bool only_exec, struct vma *ret)
{
	const char *line, *end;

	for (line = text + *at; (end = strchr(line, '\n')); line = end + 1) {
		if (maps_line_parse(line, (size_t)(end - line), ret))
			continue;
		if (ret->end > addr && (!only_exec || ret->kind != VMA_DATA)) {
			*at = (size_t)(end + 1 - text);
			return 0;
		}
	}
	return -ENOENT;
}

static int text_find(struct procmap *p, uint64_t addr, struct vma *ret)
{
	struct buf text CLEANUP(buf_release) = {};
	size_t at = 0;
	int err = text_read(p, &text);

	return err ? err : text_search(text.data, &at, addr, false, ret);
}

/* All of them from one reading: else a process with many mappings would be read for minutes. */
static int text_next_exec(struct procmap *p, uint64_t addr, struct vma *ret)
{
	int err = 0;

	if (!addr || addr != p->next_addr) {
		buf_release(&p->text);
		p->text = (struct buf){};
		p->text_at = 0;
		err = text_read(p, &p->text);
	}
	p->next_addr = 0;
	if (!err)
		err = text_search(p->text.data, &p->text_at, addr, true, ret);
	if (!err)
		p->next_addr = ret->end;
	return err;
}

static int ask(struct procmap *p, uint64_t addr, bool only_exec, struct vma *ret)
{
	int err = -ENOTTY;

	if (!p->is_text)
		err = query(p, addr, only_exec ? QUERY_COVERING_OR_NEXT | QUERY_VMA_EXECUTABLE : 0,
			    ret);
	if (err == -ENOTTY || err == -EINVAL) {
		p->is_text = true;
		err = only_exec ? text_next_exec(p, addr, ret) : text_find(p, addr, ret);
	}
	if (!err)
		build_id_read(p, ret);
	return err;
}

int procmap_find(struct procmap *p, uint64_t addr, struct vma *ret)
{
	int err = ask(p, addr, false, ret);

	if (err && err != -ENOENT)
		return err;
	if (err || addr < ret->start) {
		*ret = (struct vma){ .start = addr & ~(PAGE_SZ - 1), .kind = VMA_HOLE };
		ret->end = ret->start + PAGE_SZ;
	}
	return 0;
}

int procmap_next_exec(struct procmap *p, uint64_t addr, struct vma *ret)
{
	return ask(p, addr, true, ret);
}
