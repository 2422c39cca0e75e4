/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* wanted.c - see wanted.h. */
#include "cmd/wanted.h"

#include <dirent.h>
#include <string.h>

#include "resolve/elfseg.h"
#include "resolve/procmap.h"

void wanted_init(struct wanted *w, struct symbols *syms)
{
	*w = (struct wanted){ .syms = syms };
}

void wanted_release(struct wanted *w)
{
	for (size_t i = 0; i < w->cnt; i++)
		free(w->files[i].path);
	free(w->files);
	hmap_release(&w->map);
	*w = (struct wanted){};
}

/* Without the length: the kernel pads. */
static uint64_t id_hash(const struct build_id *id)
{
	return hash_bytes(id->bytes, BUILD_ID_MAX, 0);
}

struct wanted_file *wanted_find(const struct wanted *w, const struct build_id *id)
{
	struct hmap_iter it;

	for (uint32_t i = hmap_first(&w->map, id_hash(id), &it); i != HMAP_NONE;
	     i = hmap_next(&w->map, &it))
		if (build_id_same_bytes(&w->files[i].build_id, id))
			return &w->files[i];
	return NULL;
}

int wanted_add(struct wanted *w, const struct build_id *id)
{
	int err;

	if (wanted_find(w, id))
		return 0;
	err = array_reserve(&w->files, &w->cap, w->cnt + 1, sizeof(*w->files), WANTED_MAX);
	if (!err)
		err = hmap_add(&w->map, id_hash(id), (uint32_t)w->cnt);
	if (err)
		return err;
	w->files[w->cnt++] = (struct wanted_file){ .build_id = *id, .own_id = *id };
	w->open_cnt++;
	return 0;
}

int wanted_try_mapping(struct wanted *w, const struct build_id *id, const char *path, pid_t pid,
		       uint64_t start, uint64_t end)
{
	struct wanted_file *f = id->sz ? wanted_find(w, id) : NULL;

	if (!f || f->path)
		return 0;
	if (symbols_hint(w->syms, id, path, pid, start, end))
		return 0; /* its file cannot be had here; another process may tell */
	f->path = strdup(path);
	if (!f->path)
		return -ENOMEM;
	f->own_id = *id;
	w->open_cnt--;
	return 0;
}

int wanted_try_file(struct wanted *w, const char *path)
{
	int fd CLEANUP(cleanup_close) = file_open_regular(path, UINT64_MAX);
	char *real CLEANUP(cleanup_free) = NULL;
	struct elfsegs segs;
	int err;

	if (fd < 0)
		return fd;
	err = elfsegs_read(fd, &segs);
	if (err)
		return err;
	if (!segs.build_id.sz || !wanted_find(w, &segs.build_id))
		return -ENODATA;
	real = realpath(path, NULL);
	return real ? wanted_try_mapping(w, &segs.build_id, real, 0, 0, 0) : -errno;
}

static int try_process(struct wanted *w, pid_t pid)
{
	struct procmap *p;
	struct vma v;
	int err = 0;

	if (procmap_open(pid, 0, &p)) /* gone, or not ours to ask */
		return 0;
	if (getenv("BSTACK_NO_PROCMAP_QUERY")) /* as before Linux 6.11: for tests */
		procmap_force_text(p);
	for (uint64_t at = 0; !err && w->open_cnt && !procmap_next_exec(p, at, &v); at = v.end)
		if (v.kind == VMA_FILE)
			err = wanted_try_mapping(w, &v.build_id, v.path, pid, v.start, v.end);
	procmap_close(p);
	return err;
}

int wanted_try_processes(struct wanted *w)
{
	DIR *dir = w->open_cnt ? opendir("/proc") : NULL;
	struct dirent *d;
	uint64_t pid;
	int err = 0;

	while (!err && dir && w->open_cnt && (d = readdir(dir)))
		if (!parse_u64(d->d_name, 1, INT32_MAX, &pid))
			err = try_process(w, (pid_t)pid);
	if (dir)
		closedir(dir);
	return err;
}
