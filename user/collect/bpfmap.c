/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* bpfmap.c - see bpfmap.h. */
#include "collect/bpfmap.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <string.h>
#include <unistd.h>

#define BY_ID "run as root, or with CAP_SYS_ADMIN: the kernel asks for it to open a map by its id"

/* A pin may also be of a program or a link, whose information would be misread. */
static bool is_map(int fd)
{
	char link[64], target[64];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, target, sizeof(target) - 1);
	if (n < 0)
		return false;
	target[n] = '\0';
	return !strcmp(target, "anon_inode:bpf-map");
}

/* Takes fd, also on failure. */
static int take_fd(int fd, const char *what, struct bpfmap *ret, struct error *e)
{
	struct bpfmap m = { .fd = fd };
	uint32_t len = sizeof(m.info);

	if (!is_map(fd)) {
		close(fd);
		error_set(e, EINVAL, "%s is not a map but another BPF object", what);
		error_advise(e, "bstack stackmap list shows the stack maps");
		return -EINVAL;
	}
	if (bpf_obj_get_info_by_fd(fd, &m.info, &len)) {
		int err = errno;

		close(fd);
		return error_errno(e, err, "cannot read what %s is", what);
	}
	snprintf(m.label, sizeof(m.label), "map %u (%.*s)", m.info.id, (int)sizeof(m.info.name),
		 m.info.name);
	*ret = m;
	return 0;
}

int bpfmap_open_id(uint32_t id, struct bpfmap *ret, struct error *e)
{
	LIBBPF_OPTS(bpf_get_fd_by_id_opts, opts, .open_flags = BPF_F_RDONLY);
	char what[32];
	int fd;

	snprintf(what, sizeof(what), "map %u", id);
	libbpf_set_print(NULL);
	fd = bpf_map_get_fd_by_id_opts(id, &opts);
	if (fd >= 0)
		return take_fd(fd, what, ret, e);
	if (fd == -ENOENT) {
		error_set(e, ENOENT, "there is no %s", what);
		error_advise(e, "bstack stackmap list shows the stack maps");
		return -ENOENT;
	}
	error_errno(e, -fd, "cannot open %s", what);
	if (fd == -EPERM)
		error_advise(e, BY_ID);
	return fd;
}

int bpfmap_open(const char *what, struct bpfmap *ret, struct error *e)
{
	LIBBPF_OPTS(bpf_obj_get_opts, opts, .file_flags = BPF_F_RDONLY);
	uint64_t id;
	int fd;

	if (what[0] && !what[strspn(what, "0123456789")]) {
		if (parse_u64(what, 1, UINT32_MAX, &id))
			return error_set(e, ENOENT, "there is no map %s", what);
		return bpfmap_open_id((uint32_t)id, ret, e);
	}
	libbpf_set_print(NULL);
	fd = bpf_obj_get_opts(what, &opts);
	if (fd >= 0)
		return take_fd(fd, what, ret, e);
	if (access(what, F_OK))
		return error_errno(e, errno, "cannot open %s", what);
	error_errno(e, -fd, "cannot open %s", what);
	if (fd == -EPERM || fd == -EACCES)
		error_advise(e, "run as root, or as who may read what is pinned there");
	if (fd == -EACCES && !access(what, R_OK)) { /* of a file system that is no bpffs */
		error_set(e, EINVAL, "cannot open %s: it is not on a BPF file system", what);
		error_advise(e, "give the path of a pinned map, or its id");
	}
	return fd;
}

void bpfmap_close(struct bpfmap *m)
{
	if (m->fd >= 0)
		close(m->fd);
	m->fd = -1;
}

const char *bpfmap_type_name(const struct bpfmap *m)
{
	const char *name = libbpf_bpf_map_type_str(m->info.type);

	return name ? name : "unknown";
}
