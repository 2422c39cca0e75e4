/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* probe.c - see probe.h. Where the name does not fit the file, the story says what the file has instead. */
#include "cmd/probe.h"
#include "cli/opt.h"
#include "symbol/symbol.h"

#include <inttypes.h>
#include <string.h>

#define UPROBE    "uprobe:"
#define URETPROBE "uretprobe:"

/* The parts of a name. */
struct probe {
	const char *name;
	char path[EVENT_NAME_SZ], symbol[EVENT_NAME_SZ];
	uint64_t add; /* +OFFSET */
};

static bool begins(const char *name, const char *with)
{
	return !strncmp(name, with, strlen(with));
}

bool is_probe(const char *name)
{
	return name && (begins(name, UPROBE) || begins(name, URETPROBE));
}

static int parse(const char *name, struct probe *ret, struct error *e)
{
	const char *path = name + strlen(UPROBE), *colon = strrchr(path, ':');
	char *plus;

	if (begins(name, URETPROBE)) {
		error_set(e, EINVAL, "-e %s: probes of returns are not supported", name);
		error_advise(e, "they replace the return addresses by which stacks are unwound; "
				"uprobe:PATH:SYMBOL+OFFSET probes any instruction");
		return -EINVAL;
	}
	if (strlen(name) >= EVENT_NAME_SZ)
		return error_set(e, EINVAL, "-e: the name of the event is too long");
	if (!colon || colon == path || !colon[1])
		return error_set(e, EINVAL, "-e %s: not of the form uprobe:PATH:SYMBOL[+OFFSET]",
				 name);
	*ret = (struct probe){ .name = name };
	snprintf(ret->path, sizeof(ret->path), "%.*s", (int)(colon - path), path);
	snprintf(ret->symbol, sizeof(ret->symbol), "%s", colon + 1);
	plus = strrchr(ret->symbol, '+');
	if (plus && parse_u64(plus + 1, 0, UINT32_MAX, &ret->add))
		return error_set(e, EINVAL, "-e %s: %s is not an offset in bytes", name, plus);
	if (plus)
		*plus = '\0';
	return 0;
}

static int open_fail(const struct probe *p, int err, struct error *e)
{
	switch (err) {
	case -ENOEXEC:
		return error_set(e, ENOEXEC, "-e %s: %s is not an ELF file", p->name, p->path);
	case -ENODATA:
		error_set(e, ENODATA, "-e %s: %s holds debug information only, no code", p->name,
			  p->path);
		error_advise(e, "name the file that is run");
		return err;
	case -EISDIR:
	case -EINVAL:
		return error_set(e, EISDIR, "-e %s: %s is not a regular file", p->name, p->path);
	default:
		return error_errno(e, -err, "-e %s: cannot read %s", p->name, p->path);
	}
}

static int absent(const struct probe *p, const struct functions *f, struct error *e)
{
	struct suggestion s = { .typed = p->symbol };

	if (!functions_cnt(f)) {
		error_set(e, ESRCH, "-e %s: %s is stripped: it names no function", p->name,
			  p->path);
		error_advise(e, "give the address as its debug file has it: uprobe:PATH:0xADDR");
		return -ESRCH;
	}
	for (size_t i = 0; i < functions_cnt(f); i++)
		suggestion_offer(&s, functions_get(f, i).name);
	error_set(e, ESRCH, "-e %s: %s names no function %s", p->name, p->path, p->symbol);
	if (s.best)
		error_advise(e, "did you mean %.100s?", s.best);
	else
		error_advise(e,
			     "nm and nm -D show what it names; C++ and Rust as they are mangled");
	return -ESRCH;
}

static int ambiguous(const struct probe *p, uint64_t one, uint64_t other, struct error *e)
{
	error_set(e, EEXIST, "-e %s: %s has several functions %s, at 0x%" PRIx64 " and 0x%" PRIx64,
		  p->name, p->path, p->symbol, one, other);
	error_advise(e, "give the address of one: uprobe:PATH:0xADDR");
	return -EEXIST;
}

static int function_find(const struct probe *p, const struct functions *f, struct function_at *ret,
			 struct error *e)
{
	struct function_at at, found = {};

	for (size_t i = 0; i < functions_cnt(f); i++) {
		at = functions_get(f, i);
		if (strcmp(at.name, p->symbol) != 0)
			continue;
		if (found.name && at.vaddr != found.vaddr)
			return ambiguous(p, found.vaddr, at.vaddr, e);
		found = at;
	}
	if (!found.name)
		return absent(p, f, e);
	if (found.is_ifunc) {
		error_set(e, EOPNOTSUPP, "-e %s: %s is chosen when a program starts (IFUNC)",
			  p->name, p->symbol);
		error_advise(e, "name the variant that is chosen here, or its address: "
				"uprobe:PATH:0xADDR");
		return -EOPNOTSUPP;
	}
	if (p->add && found.sz && p->add >= found.sz)
		return error_set(e, ERANGE, "-e %s: %s has only %" PRIu64 " bytes", p->name,
				 p->symbol, found.sz);
	*ret = found;
	return 0;
}

static int place_find(const struct probe *p, const struct functions *f, uint64_t *ret_off,
		      struct error *e)
{
	struct function_at at = {};
	int err = 0;

	if (!begins(p->symbol, "0x"))
		err = function_find(p, f, &at, e);
	else if (parse_u64(p->symbol, 0, UINT64_MAX, &at.vaddr))
		err = error_set(e, EINVAL, "-e %s: %s is not an address", p->name, p->symbol);
	if (err)
		return err;
	if (functions_off(f, at.vaddr + p->add, ret_off))
		return error_set(e, EFAULT,
				 "-e %s: 0x%" PRIx64 " is in no executable segment of %s", p->name,
				 at.vaddr + p->add, p->path);
	return 0;
}

int probe_init(const char *name, struct event *ret, struct error *e)
{
	struct functions *f;
	struct probe p = {};
	uint64_t off;
	int err = parse(name, &p, e);

	if (err)
		return err;
	err = functions_open(p.path, &f);
	if (err)
		return open_fail(&p, err, e);
	err = place_find(&p, f, &off, e);
	functions_free(f);
	return err ? err : event_init_uprobe(name, p.path, off, ret, e);
}
