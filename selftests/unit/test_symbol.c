/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_symbol.c - names for addresses, against files made here with the compiler and binutils, so
 * that nm tells what is right; and files, tables and maps that lie.
 */
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "symbol/symbol.h"
#include "test.h"

static char dir[] = "/tmp/bstack-symbol-XXXXXX";
static struct build_id lib_id, pie_id, other_id;
static struct symbols *syms;

#define CMD_MAX_SZ 4096

/* What to tell the shell, to be done in the test's folder. */
static void in_dir(char cmd[CMD_MAX_SZ], const char *fmt, va_list ap)
{
	int len = snprintf(cmd, CMD_MAX_SZ, "cd %s || exit 1\n", dir);

	vsnprintf(cmd + len, CMD_MAX_SZ - (size_t)len, fmt, ap);
}

PRINTF(1, 2) static int sh(const char *fmt, ...)
{
	char cmd[CMD_MAX_SZ];
	va_list ap;

	va_start(ap, fmt);
	in_dir(cmd, fmt, ap);
	va_end(ap);
	return system(cmd);
}

/* The first line that a shell command prints, without its newline; "" when there is none. */
PRINTF(1, 2) static const char *ask(const char *fmt, ...)
{
	static char line[256];
	char cmd[CMD_MAX_SZ];
	va_list ap;
	FILE *f;

	va_start(ap, fmt);
	in_dir(cmd, fmt, ap);
	va_end(ap);
	line[0] = '\0';
	f = popen(cmd, "r");
	if (f && fgets(line, sizeof(line), f))
		line[strcspn(line, "\n")] = '\0';
	if (f)
		pclose(f);
	return line;
}

/* A field of nm's line for a symbol, in hex. */
static uint64_t nm_field(const char *file, const char *name, int field)
{
	return strtoull(ask("nm -f posix %s | awk '$1 == \"%s\" { print $%d }'", file, name, field),
			NULL, 16);
}

static uint64_t addr_of(const char *file, const char *name)
{
	return nm_field(file, name, 3);
}

static uint64_t size_of(const char *file, const char *name)
{
	return nm_field(file, name, 4);
}

/* A word of what readelf prints, in hex: the entry point, for one. */
static uint64_t elf_field(const char *opts, const char *file, const char *match, int field)
{
	return strtoull(ask("readelf %s %s | awk '%s { print $%d }'", opts, file, match, field),
			NULL, 16);
}

static struct build_id id_of(const char *file)
{
	struct build_id id = {};

	build_id_parse(ask("readelf -n %s | awk '/Build ID/ { print $3 }'", file), &id);
	return id;
}

static const char *path_of(const char *name)
{
	static char path[4][256];
	static unsigned int turn;
	char *p = path[turn++ % 4];

	snprintf(p, sizeof(path[0]), "%s/%s", dir, name);
	return p;
}

static void write_file(const char *name, const char *text)
{
	FILE *f = fopen(path_of(name), "w");

	if (!CHECK(f))
		return;
	fputs(text, f);
	fclose(f);
}

static const char lib_c[] =
	"#define FN __attribute__((noinline, aligned(64)))\n"
	"FN int one(int x) { __asm__ volatile(\"\"); return x + 1; }\n"
	"FN static int hidden(int x) { __asm__ volatile(\"\"); return x * 3; }\n"
	"FN int two(int x) { return hidden(x) + WHICH; }\n"
	"int __two(int) __attribute__((alias(\"two\")));\n"
	"int weak_two(int) __attribute__((weak, alias(\"two\")));\n"
	"__asm__(\".text\\n.balign 64\\n.type outer,@function\\nouter: nop\\nnop\\n\"\n"
	"	\".type inner,@function\\ninner: nop\\nnop\\n.size inner,2\\n\"\n"
	"	\"label: nop\\nnop\\n.size outer,6\\n.balign 64\\n\"\n"
	"	\"sizeless: nop\\nnop\\nnop\\n.balign 64\\n\"\n"
	"	\".globl last\\n.type last,@function\\nlast: nop\\n.size last,1\\n.skip "
	"16\\n\");\n";

static const char pie_c[] = "int main(void) { return 0; }\n";

/* As distributions do it: what .dynsym has not, compressed, in a section. */
static const char mini_sh[] =
	"nm -D full.so -f posix --defined-only | awk '{ print $1 }' | sort > dyn && "
	"nm full.so -f posix --defined-only | awk '$2 ~ /[Tt]/ { print $1 }' | sort > fun && "
	"comm -13 dyn fun > keep && objcopy --only-keep-debug full.so mini && "
	"objcopy -S --remove-section .comment --keep-symbols=keep mini mini2 && "
	"xz -c mini2 > mini.xz && objcopy --add-section .gnu_debugdata=mini.xz stripped.so mini.so";

static bool make_fixtures(void)
{
	static bool is_tried, is_made;
	char hex[BUILD_ID_HEX_SZ];

	if (is_tried)
		return is_made;
	is_tried = true;
	if (!CHECK(mkdtemp(dir)))
		return false;
	write_file("lib.c", lib_c);
	write_file("pie.c", pie_c);
	if (!CHECK(!sh("for n in 1 2; do gcc -O1 -g -shared -fPIC -Wl,--build-id=sha1 -DWHICH=$n "
		       "-o so$n lib.c || exit 1; done; mv so1 full.so; mv so2 other.so; "
		       "gcc -O1 -g -pie -fPIE -Wl,--build-id=sha1 -o pie pie.c")) ||
	    !CHECK(!sh("strip -o stripped.so full.so && strip -o pie.stripped pie && "
		       "objcopy --only-keep-debug full.so full.debug && "
		       "objcopy --only-keep-debug other.so other.debug")) ||
	    !CHECK(!sh("%s", mini_sh)))
		return false;
	lib_id = id_of("full.so");
	other_id = id_of("other.so");
	pie_id = id_of("pie");
	build_id_hex(&lib_id, hex);
	is_made = CHECK_EQ(lib_id.sz, 20) && CHECK_EQ(pie_id.sz, 20) &&
		  CHECK(!build_id_eq(&lib_id, &other_id)) &&
		  CHECK(!sh("mkdir -p dd/.build-id/%.2s named wrong/.build-id/%.2s link/.debug "
			    "link2 sys/usr/lib/debug/.build-id/%.2s sys2/usr/lib/debug%s/link2 && "
			    "cp full.debug dd/.build-id/%.2s/%s.debug && "
			    "cp full.debug sys/usr/lib/debug/.build-id/%.2s/%s.debug && "
			    "cp other.debug wrong/.build-id/%.2s/%s.debug && "
			    "cp full.so named/stripped.so",
			    hex, hex, hex, dir, hex, hex + 2, hex, hex + 2, hex, hex + 2)) &&
		  CHECK(!sh("objcopy --add-gnu-debuglink=full.debug stripped.so link/l.so && "
			    "cp link/l.so link2/l.so && cp full.debug link/.debug/ && "
			    "cp full.debug sys2/usr/lib/debug%s/link2/",
			    dir));
	return is_made;
}

/* A store with one debug dir (NULL: none) and this sysroot, both in the test's folder. */
static bool open_store(const char *debug_dir, const char *sysroot)
{
	const char *dirs[2] = { debug_dir ? path_of(debug_dir) : NULL, NULL };
	struct symbols_opts o = { .debug_dirs = dirs, .sysroot = path_of(sysroot) };

	symbols_free(syms);
	syms = NULL;
	return CHECK(make_fixtures()) && CHECK_EQ(symbols_new(&o, &syms), 0);
}

static void close_store(void)
{
	symbols_free(syms);
	syms = NULL;
}

/* The name that the store gives addr of file; "-" and the error when there is none. */
static const char *name_at(const struct build_id *id, const char *file, uint64_t addr)
{
	static char err_text[32];
	struct sym_name n;
	int err = symbols_find(syms, id, *file ? path_of(file) : "", addr, &n);

	snprintf(err_text, sizeof(err_text), "%d", err);
	return err ? err_text : n.name;
}

/* All functions of the library by nm, with and without those that are not exported. */
static void check_names(const char *file, bool has_hidden)
{
	static const char *const names[] = { "one", "two", "last", "hidden", "outer", "inner" };
	struct sym_name n;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		uint64_t addr = addr_of("full.so", names[i]), size = size_of("full.so", names[i]);
		const char *want = i < 3 || has_hidden ? names[i] : "-2";

		if (!CHECK(addr) || !CHECK(size))
			continue;
		CHECK_STR(name_at(&lib_id, file, addr), want);
		if (strcmp(names[i], "outer"))
			CHECK_STR(name_at(&lib_id, file, addr + size - 1), want);
		if (want == names[i] &&
		    CHECK_EQ(symbols_find(syms, &lib_id, path_of(file), addr + size - 1, &n), 0)) {
			CHECK_STR(n.system_name, want);
			CHECK_EQ(n.offset, size - 1);
		}
	}
}

static void symtab(void)
{
	uint64_t outer, last, one;

	if (!open_store(NULL, "none"))
		return;
	CHECK_EQ(symbols_state(syms, &lib_id, path_of("full.so")), SYMBOLS_FOUND);
	check_names("full.so", true);
	outer = addr_of("full.so", "outer");
	CHECK_STR(name_at(&lib_id, "full.so", outer + 1), "outer");
	CHECK_STR(name_at(&lib_id, "full.so", outer + 2), "inner");
	CHECK_STR(name_at(&lib_id, "full.so", outer + 4), "outer"); /* "label" has no size */
	CHECK_STR(name_at(&lib_id, "full.so", outer + 5), "outer");
	CHECK_STR(name_at(&lib_id, "full.so", outer + 6), "-2");
	CHECK_STR(name_at(&lib_id, "full.so", addr_of("full.so", "sizeless") + 9), "sizeless");
	last = addr_of("full.so", "last");
	CHECK_STR(name_at(&lib_id, "full.so", last), "last");
	CHECK_STR(name_at(&lib_id, "full.so", last + 1), "-2");
	CHECK_STR(name_at(&lib_id, "full.so", last + 16), "-2");
	one = addr_of("full.so", "one");
	CHECK_STR(name_at(&lib_id, "full.so", one + size_of("full.so", "one")), "-2");
	CHECK_STR(name_at(&lib_id, "full.so", 0), "-2");
	CHECK_STR(name_at(&lib_id, "full.so", UINT64_MAX), "-2");
	close_store();
}

static void file_offsets(void)
{
	uint64_t vaddr, off, one;
	struct sym_name n;

	if (!open_store(NULL, "none"))
		return;
	off = elf_field("-lW", "full.so", "$1 == \"LOAD\" && /R E/", 2);
	vaddr = elf_field("-lW", "full.so", "$1 == \"LOAD\" && /R E/", 3);
	one = addr_of("full.so", "one");
	if (CHECK_EQ(symbols_find_off(syms, &lib_id, path_of("full.so"), one - vaddr + off, &n), 0))
		CHECK_STR(n.name, "one");
	CHECK_EQ(symbols_find_off(syms, &lib_id, "", 0, &n), -ENOENT);
	CHECK_EQ(symbols_find_off(syms, &lib_id, "", UINT64_MAX, &n), -ENOENT);
	close_store();
}

/* Which executable segment an offset is in; only the file itself tells, not a debug file. */
static void segments(void)
{
	uint64_t off, vaddr, sz;
	struct sym_segment seg;

	if (!open_store(NULL, "none"))
		return;
	off = elf_field("-lW", "full.so", "$1 == \"LOAD\" && /R E/", 2);
	vaddr = elf_field("-lW", "full.so", "$1 == \"LOAD\" && /R E/", 3);
	sz = elf_field("-lW", "full.so", "$1 == \"LOAD\" && /R E/", 5);
	CHECK_EQ(symbols_segment(syms, &lib_id, "", off, &seg), -ENODATA);
	if (CHECK_EQ(symbols_segment(syms, &lib_id, path_of("full.so"), off, &seg), 0)) {
		CHECK_EQ(seg.off, off);
		CHECK_EQ(seg.vaddr, vaddr);
		CHECK_EQ(seg.sz, sz);
	}
	CHECK_EQ(symbols_segment(syms, &lib_id, "", off + sz - 1, &seg), 0);
	CHECK_EQ(symbols_segment(syms, &lib_id, "", off + sz, &seg), -ENOENT);
	CHECK_EQ(symbols_segment(syms, &lib_id, "", off - 1, &seg), -ENOENT);
	CHECK_EQ(symbols_segment(syms, &lib_id, "", UINT64_MAX, &seg), -ENOENT);
	close_store();
}

static void dynsym_only(void)
{
	if (!open_store(NULL, "none"))
		return;
	CHECK_EQ(symbols_state(syms, &lib_id, path_of("stripped.so")), SYMBOLS_EXPORTED);
	check_names("stripped.so", false);
	CHECK_EQ(symbols_state(syms, &pie_id, path_of("pie.stripped")), SYMBOLS_STRIPPED);
	CHECK_STR(name_at(&pie_id, "pie.stripped", addr_of("pie", "main")), "-2");
	close_store();
}

/* Each place from which the names of the stripped library must come. */
static void places(void)
{
	static const struct {
		const char *debug_dir, *sysroot, *path;
	} rows[] = {
		{ "dd", "none", "stripped.so" },    { "dd", "none", "" },
		{ "named", "none", "stripped.so" }, { NULL, "sys", "stripped.so" },
		{ NULL, "none", "link/l.so" },      { NULL, "sys2", "link2/l.so" },
		{ NULL, "none", "mini.so" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const char *path = rows[i].path[0] ? rows[i].path : "";

		if (!open_store(rows[i].debug_dir, rows[i].sysroot))
			return;
		if (!CHECK_EQ(symbols_state(syms, &lib_id, *path ? path_of(path) : ""),
			      SYMBOLS_FOUND)) {
			test_fail(__FILE__, __LINE__, "place %zu: %s", i, path);
			continue;
		}
		check_names(path, true);
	}
	close_store();
}

static void wrong_build_id(void)
{
	struct build_id none = {}, short_id = { .sz = 1, .bytes = { 1 } };

	if (!open_store("wrong", "none"))
		return;
	CHECK_EQ(symbols_state(syms, &lib_id, path_of("stripped.so")), SYMBOLS_EXPORTED);
	CHECK_EQ(symbols_state(syms, &other_id, path_of("full.so")), SYMBOLS_NO_FILE);
	CHECK_EQ(symbols_hint(syms, &other_id, path_of("full.so"), 0, 0, 0), -ESTALE);
	CHECK_EQ(symbols_state(syms, &other_id, path_of("full.so")), SYMBOLS_NO_FILE);
	/* another path, later, is looked at */
	CHECK_EQ(symbols_state(syms, &other_id, path_of("other.so")), SYMBOLS_FOUND);
	CHECK_EQ(symbols_state(syms, &none, path_of("full.so")), SYMBOLS_NO_FILE);
	CHECK_EQ(symbols_state(syms, &short_id, path_of("full.so")), SYMBOLS_NO_FILE);
	close_store();
}

/* A file that was hinted keeps its names after it is deleted and replaced. */
static void kept_file(void)
{
	if (!open_store(NULL, "none"))
		return;
	CHECK(!sh("cp full.so kept.so"));
	CHECK_EQ(symbols_hint(syms, &lib_id, path_of("kept.so"), 0, 0, 0), 0);
	CHECK(!sh("rm kept.so; cp other.so kept.so"));
	CHECK_EQ(symbols_state(syms, &lib_id, path_of("kept.so")), SYMBOLS_FOUND);
	CHECK_STR(name_at(&lib_id, "kept.so", addr_of("full.so", "hidden")), "hidden");
	/* through the root of a process: ours */
	CHECK_EQ(symbols_hint(syms, &other_id, path_of("kept.so"), getpid(), 0, 0), 0);
	CHECK_EQ(symbols_state(syms, &other_id, ""), SYMBOLS_FOUND);
	close_store();
}

/* The executable mapping of our own libc, by map_files where that is allowed. */
static void kept_mapping(void)
{
	char line[512], perms[8], path[256] = "";
	unsigned long long start = 0, end = 0;
	FILE *f = fopen("/proc/self/maps", "r");
	bool is_found = false;
	struct build_id id;
	int err;

	if (!open_store(NULL, "none") || !CHECK(f))
		return;
	while (!is_found && fgets(line, sizeof(line), f))
		is_found = sscanf(line, "%llx-%llx %7s %*s %*s %*s %255s", &start, &end, perms,
				  path) == 4 &&
			   strstr(path, "/libc.so") && perms[2] == 'x';
	fclose(f);
	if (!is_found)
		SKIP("this program has no libc.so mapped");
	id = id_of(path);
	CHECK_EQ(symbols_hint(syms, &id, path, getpid(), start, end), 0);
	CHECK(symbols_state(syms, &id, path) != SYMBOLS_NO_FILE);
	/* another build-id, or no right to open map_files */
	err = symbols_hint(syms, &lib_id, "", getpid(), start, end);
	CHECK(err == -ESTALE || err == -EPERM);
	close_store();
}

static size_t open_fd_cnt(void)
{
	size_t cnt = 0;

	for (int fd = 0; fd < 1024; fd++)
		cnt += fcntl(fd, F_GETFD) >= 0;
	return cnt;
}

/* More files than may stay open: all keep their names, after they are gone. */
static void many_files(void)
{
	struct rlimit old, few = { .rlim_cur = 64 };
	struct build_id id = { .sz = 20, .bytes = { 0xab } };
	size_t before = open_fd_cnt();
	uint64_t one;

	CHECK(!getrlimit(RLIMIT_NOFILE, &old));
	few.rlim_max = old.rlim_max;
	if (!CHECK(make_fixtures()) ||
	    !CHECK(!sh("gcc -O1 -fPIC -DWHICH=1 -c lib.c && for i in $(seq 10 40); do "
		       "gcc -shared -Wl,--build-id=0xab$(printf '%%036d' 0)$i -o many$i lib.o "
		       "|| exit 1; done")))
		return;
	CHECK(!setrlimit(RLIMIT_NOFILE, &few));
	if (open_store(NULL, "none")) {
		for (int i = 10; i <= 40; i++) {
			char name[16];

			snprintf(name, sizeof(name), "many%d", i);
			id.bytes[19] = (uint8_t)(i / 10 << 4 | i % 10);
			CHECK_EQ(symbols_hint(syms, &id, path_of(name), 0, 0, 0), 0);
		}
		CHECK(open_fd_cnt() <= before + 16);
		one = addr_of("many10", "hidden");
		sh("rm many*");
		for (int i = 10; i <= 40; i++) {
			id.bytes[19] = (uint8_t)(i / 10 << 4 | i % 10);
			CHECK_STR(name_at(&id, "", one), "hidden");
		}
	}
	close_store();
	CHECK_EQ(open_fd_cnt(), before);
	CHECK(!setrlimit(RLIMIT_NOFILE, &old));
}

static void not_files(void)
{
	static const char *const names[] = { "fifo", "folder", "loop", "empty", "text", "missing" };

	if (!open_store(NULL, "none"))
		return;
	CHECK(!sh("rm -rf fifo folder loop; mkfifo fifo && mkdir folder && ln -s loop loop && "
		  ": > empty && echo hello > text"));
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		CHECK(symbols_hint(syms, &lib_id, path_of(names[i]), 0, 0, 0) < 0);
		CHECK(symbols_hint(syms, &lib_id, path_of(names[i]), getpid(), 0, 0) < 0);
		CHECK_EQ(symbols_state(syms, &lib_id, path_of(names[i])), SYMBOLS_NO_FILE);
	}
	CHECK(symbols_hint(syms, &lib_id, "/dev/zero", 0, 0, 0) < 0);
	CHECK(symbols_hint(syms, &lib_id, "/dev/tty", 0, 0, 0) < 0);
	CHECK(symbols_hint(syms, &lib_id, "relative", 0, 0, 0) < 0);
	CHECK(symbols_hint(syms, &lib_id, "[vdso]", getpid(), 1, 0) < 0);
	close_store();
}

static void roots(void)
{
	uint64_t entry, main_addr;

	if (!open_store(NULL, "none"))
		return;
	entry = elf_field("-h", "pie", "/Entry point/", 4);
	main_addr = addr_of("pie", "main");
	CHECK(entry && main_addr);
	for (int i = 0; i < 3; i++) {
		CHECK(symbols_is_root(syms, &pie_id, path_of("pie"), entry));
		CHECK(symbols_is_root(syms, &pie_id, path_of("pie"), entry + 8));
		CHECK(!symbols_is_root(syms, &pie_id, path_of("pie"), main_addr));
		CHECK(!symbols_is_root(syms, &pie_id, path_of("pie"), 0));
		CHECK(!symbols_is_root(syms, &pie_id, path_of("pie"), UINT64_MAX));
	}
	CHECK_STR(name_at(&pie_id, "pie", main_addr), "main");
	CHECK(!symbols_is_root(syms, &lib_id, path_of("full.debug"), entry));
	close_store();
	/* stripped: the runtime file has the call frames, a debug file the names */
	if (!open_store(NULL, "none"))
		return;
	CHECK(symbols_is_root(syms, &pie_id, path_of("pie.stripped"), entry));
	CHECK(!symbols_is_root(syms, &pie_id, path_of("pie.stripped"), main_addr));
	close_store();
}

static void demangles(void)
{
	static const struct {
		const char *mangled, *want; /* NULL: not mangled */
	} rows[] = {
		{ "_ZN3foo3barEi", "foo::bar(int)" },
		{ "_ZNSt6vectorIiSaIiEE9push_backERKi",
		  "std::vector<int, std::allocator<int> >::push_back(int const&)" },
		{ "_Z1fv.constprop.0", "f() [clone .constprop.0]" },
		{ "_RNvC6_123foo3bar", "123foo::bar" },
		{ "_RNvNtCs1234_7mycrate3foo3bar", "mycrate::foo::bar" },
		{ "_ZN4core3fmt9Formatter9write_str17h0123456789abcdefE",
		  "core::fmt::Formatter::write_str" },
		{ "_RNvC0_1a", "::a" }, /* a crate without a name */
		{ "main", NULL },
		{ "", NULL },
		{ "_", NULL },
		{ "_Z", NULL },
		{ "_R", NULL },
		{ "_ZN", NULL },
		{ "_ZZZZZZZZ", NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char *s = sym_demangle(rows[i].mangled);

		if (rows[i].want)
			CHECK_STR(s, rows[i].want);
		else if (s)
			test_fail(__FILE__, __LINE__, "%s became %s", rows[i].mangled, s);
		free(s);
	}
}

/* A well-formed name of len bytes and a bit. */
static void long_name(struct buf *b, size_t len)
{
	buf_str(b, "_ZN");
	while (b->len < len)
		buf_str(b, "14abcdefghijklmn");
	buf_str(b, "1fEv");
}

static void demangle_limits(void)
{
	struct buf b = {};
	char *s;

	/* arguments that each hold the one before twice: 2^40 bytes */
	buf_str(&b, "_Z1f1AIiiE");
	for (int i = 0; i < 34; i++) {
		char c = (char)(i < 10 ? '0' + i : 'A' + i - 10);

		buf_printf(&b, "S_IS%c_S%c_E", c, c);
	}
	CHECK(!sym_demangle(b.data));
	buf_reset(&b);
	for (size_t len = 1000; len <= 64000; len *= 2) {
		buf_reset(&b);
		long_name(&b, len);
		s = sym_demangle(b.data);
		CHECK(!s == (b.len > 4096));
		CHECK(!s || strlen(s) <= SYM_NAME_MAX);
		free(s);
	}
	buf_reset(&b);
	buf_str(&b, "_Z1f");
	while (b.len < 4000)
		buf_char(&b, 'P');
	buf_char(&b, 'i');
	free(sym_demangle(b.data));
	buf_release(&b);
}

static void mangled_in_files(void)
{
	static const char asm_fmt[] = "#include <stddef.h>\nint f(int) __asm__(\"%s\");\n"
				      "int f(int x) { return x; }\n";
	struct symbols_opts plain = { .no_demangle = true };
	struct buf name = {}, text = {};
	struct sym_name n, again;
	struct build_id id;
	uint64_t addr;

	if (!open_store(NULL, "none"))
		return;
	write_file("cxx.cc", "namespace foo { int bar(int x) { return x + 1; } }\n");
	CHECK(!sh("g++ -shared -fPIC -Wl,--build-id -o cxx.so cxx.cc"));
	id = id_of("cxx.so");
	if (CHECK_EQ(symbols_find(syms, &id, path_of("cxx.so"), addr_of("cxx.so", "_ZN3foo3barEi"),
				  &n),
		     0)) {
		CHECK_STR(n.name, "foo::bar(int)");
		CHECK_STR(n.system_name, "_ZN3foo3barEi");
		CHECK_EQ(symbols_find(syms, &id, "", addr_of("cxx.so", "_ZN3foo3barEi"), &again),
			 0);
		CHECK(again.name == n.name); /* made once */
	}
	long_name(&name, 28 << 10);
	buf_printf(&text, asm_fmt, name.data);
	write_file("long.c", text.data);
	CHECK(!sh("gcc -shared -fPIC -Wl,--build-id -o long.so long.c"));
	id = id_of("long.so");
	addr = strtoull(ask("nm -f posix long.so | awk '/^_ZN14/ { print $3 }'"), NULL, 16);
	if (CHECK_EQ(symbols_find(syms, &id, path_of("long.so"), addr, &n), 0))
		CHECK_STR(n.system_name, name.data);
	close_store();
	if (CHECK_EQ(symbols_new(&plain, &syms), 0)) {
		id = id_of("cxx.so");
		CHECK_STR(name_at(&id, "cxx.so", addr_of("cxx.so", "_ZN3foo3barEi")),
			  "_ZN3foo3barEi");
	}
	close_store();
	buf_release(&name);
	buf_release(&text);
}

/* One look at a file that may hold anything: it must come back. */
static void probe(const char *path, const struct build_id *id, uint64_t addr)
{
	struct sym_name n;
	struct symbols *s;

	if (symbols_new(NULL, &s))
		return;
	symbols_hint(s, id, path, 0, 0, 0);
	symbols_state(s, id, path);
	for (uint64_t off = 0; off < 256; off += 64) {
		symbols_find(s, id, path, addr + off, &n);
		symbols_find_off(s, id, path, addr + off, &n);
	}
	symbols_is_root(s, id, path, addr);
	symbols_free(s);
}

static char *slurp(const char *path, size_t *ret_len)
{
	struct buf b = {};
	int fd = open(path, O_RDONLY);

	if (fd < 0 || read_all(fd, &b, 1 << 20))
		return NULL;
	close(fd);
	*ret_len = b.len;
	return b.data;
}

/* Flip bits of the headers, and a byte at every seventh place of the rest, one at a time. */
static void lying_elf(const char *file, const struct build_id *id, uint64_t addr, unsigned int bits)
{
	const char *path = path_of("liar.so");
	size_t len = 0, heads;
	char *image = slurp(path_of(file), &len);
	const Elf64_Ehdr *eh = (const void *)image;
	int fd;

	if (!CHECK(image) || !CHECK(len > sizeof(*eh)))
		return;
	CHECK(!sh("cp %s liar.so", file));
	fd = open(path, O_RDWR);
	heads = sizeof(*eh) + eh->e_phnum * sizeof(Elf64_Phdr);
	for (size_t at = 0; at < len; at += at < heads || at >= eh->e_shoff ? 1 : 7) {
		bool is_head = at < heads || at >= eh->e_shoff;

		for (unsigned int bit = 0; bit < (is_head ? bits : 1); bit++) {
			char c = image[at] ^ (char)(is_head && bits > 1 ? 1 << bit : 0xa5);

			CHECK_EQ(pwrite(fd, &c, 1, (off_t)at), 1);
			probe(path, id, addr);
		}
		CHECK_EQ(pwrite(fd, image + at, 1, (off_t)at), 1);
	}
	for (size_t cut = len; cut > 0; cut -= cut > 97 ? 97 : cut) {
		CHECK(!ftruncate(fd, (off_t)cut));
		probe(path, id, addr);
	}
	close(fd);
	free(image);
}

static void lying_files(void)
{
	uint64_t entry;

	if (!open_store(NULL, "none"))
		return;
	entry = elf_field("-h", "pie", "/Entry point/", 4);
	lying_elf("full.so", &lib_id, addr_of("full.so", "one"), 8);
	lying_elf("pie.stripped", &pie_id, entry, 1);
	lying_elf("mini.so", &lib_id, addr_of("full.so", "hidden"), 1);
	close_store();
}

static bool open_kallsyms(const char *text)
{
	struct symbols_opts o = { .kallsyms_path = path_of("kallsyms") };

	symbols_free(syms);
	syms = NULL;
	if (!CHECK(make_fixtures()))
		return false;
	write_file("kallsyms", text);
	return CHECK_EQ(symbols_new(&o, &syms), 0);
}

static void check_kernel(uint64_t addr, const char *name, const char *system, uint64_t offset)
{
	struct sym_name n;

	if (!CHECK_EQ(symbols_find_kernel(syms, addr, &n), 0))
		return;
	CHECK_STR(n.name, name);
	CHECK_STR(n.system_name, system);
	CHECK_EQ(n.offset, offset);
}

static void kallsyms(void)
{
	struct sym_name n;

	if (!open_kallsyms("0000000000000000 A fixed_percpu_data\n"
			   "ffffffff81000000 T __long_alias\n"
			   "ffffffff81000000 T _stext\n"
			   "ffffffff81000000 t local\n"
			   "ffffffff81000100 t do_one\n"
			   "ffffffff81000200 T do_two\n"
			   "ffffffff81000280 D some_data\n"
			   "not a line\nffffffff81000300\nffffffff81000300 t\n\n"
			   "ffffffffc0000000 t mod_fn\t[xfs]\n"
			   "ffffffffc0000040 t _RNvC6_123foo3bar\t[rust_mod]\n"
			   "ffffffffc0000080 t bpf_prog_1_x\t[bpf]"))
		return;
	check_kernel(0xffffffff81000000, "_stext", "_stext", 0);
	check_kernel(0xffffffff810000ff, "_stext", "_stext", 0xff);
	check_kernel(0xffffffff81000100, "do_one", "do_one", 0);
	check_kernel(0xffffffff8100027f, "do_two", "do_two", 0x7f);
	check_kernel(0xffffffffc0000010, "mod_fn [xfs]", "mod_fn", 0x10);
	check_kernel(0xffffffffc0000041, "123foo::bar [rust_mod]", "_RNvC6_123foo3bar", 1);
	check_kernel(0xffffffffc0000080, "bpf_prog_1_x [bpf]", "bpf_prog_1_x", 0);
	CHECK_EQ(symbols_find_kernel(syms, 0xffffffff80ffffff, &n), -ENOENT);
	CHECK_EQ(symbols_find_kernel(syms, 0xffffffff81000280, &n), -ENOENT); /* data */
	CHECK_EQ(symbols_find_kernel(syms, 0xffffffffffffffff, &n), -ENOENT);
	CHECK_EQ(symbols_find_kernel(syms, 0, &n), -ENOENT);
	if (open_kallsyms("0000000000000000 T _stext\n0000000000000000 t do_one\n"))
		CHECK_EQ(symbols_find_kernel(syms, 0xffffffff81000000, &n), -EACCES);
	if (open_kallsyms(""))
		CHECK_EQ(symbols_find_kernel(syms, 0xffffffff81000000, &n), -ENOENT);
	if (open_kallsyms("") && CHECK(!sh("rm -f kallsyms && mkfifo kallsyms")))
		CHECK(symbols_find_kernel(syms, 0xffffffff81000000, &n) < 0);
	sh("rm -f kallsyms");
	close_store();
}

static void vdso(void)
{
	const char *base = (const char *)getauxval(AT_SYSINFO_EHDR);
	static const char *const fns[] = { "__vdso_clock_gettime", "__kernel_clock_gettime" };
	const ElfW(Ehdr) *eh = (const void *)base;
	struct build_id id;
	struct sym_name n;
	bool is_found = false;
	size_t end;

	if (!base)
		SKIP("this kernel gives no vdso");
	if (!open_store(NULL, "none") || !CHECK_EQ(symbols_vdso(syms, &id), 0))
		return;
	CHECK(id.sz > 0);
	end = eh->e_shoff;
	for (size_t off = 0; off < end && !is_found; off += 4)
		if (!symbols_find_vdso(syms, off, &n))
			for (size_t i = 0; i < ARRAY_SIZE(fns); i++)
				is_found |= !strcmp(n.name, fns[i]) && n.offset < 64;
	CHECK(is_found);
	CHECK_EQ(symbols_find_vdso(syms, 0, &n), -ENOENT);
	CHECK_EQ(symbols_find_vdso(syms, 1 << 30, &n), -ENOENT);
	CHECK(symbols_state(syms, &id, "[vdso]") != SYMBOLS_NO_FILE);
	close_store();
}

static void clean_up(void)
{
	close_store();
	if (strcmp(dir + strlen(dir) - 6, "XXXXXX"))
		sh("rm -rf '%s'", dir);
}

int main(int argc, char **argv)
{
	static const struct test tests[] = { TEST(symtab),          TEST(file_offsets),
					     TEST(segments),        TEST(dynsym_only),
					     TEST(places),          TEST(wrong_build_id),
					     TEST(kept_file),       TEST(kept_mapping),
					     TEST(many_files),      TEST(not_files),
					     TEST(roots),           TEST(demangles),
					     TEST(demangle_limits), TEST(mangled_in_files),
					     TEST(kallsyms),        TEST(vdso),

					     TEST(lying_files),     {} };
	int failed;

	signal(SIGPIPE, SIG_IGN);
	alarm(900); /* a hang ends here, not with the whole run */
	failed = test_main(tests, argc, argv);
	clean_up();
	return failed;
}
