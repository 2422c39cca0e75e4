# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""seeds.py - where fuzzing begins: small files of this machine's tools, one list of bytes a target.

Made when they are needed and not kept in the repository; what fuzzing made of them is in corpus/.
"""
import gzip
import os
import struct
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "cli"))
import pprof_make  # noqa: E402

C_SOURCE = r"""
int a(int x) { __asm__ volatile(""); return x + 1; }
static int b(int x) { volatile char room[x]; room[0] = 1; return a(room[0]); }
int c(int x) { return b(x) + b(x + 1); }
__asm__(".globl _start\n.type _start, @function\n_start: .cfi_startproc\n.cfi_undefined rip\n"
        "xor %eax, %eax\n call c\n.cfi_endproc\n.size _start, . - _start");
"""
CC = ["gcc", "-O2", "-nostdlib", "-fcf-protection=none", "-Wl,-z,noseparate-code",
      "-Wl,--hash-style=gnu", "-Wl,--build-id=0x00112233445566778899aabbccddeeff01234567"]


def run(*command, cwd=None):
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=cwd)


def read(path):
    with open(path, "rb") as f:
        return f.read()


class Elves:
    """One program in several shapes, and its sections."""

    def __init__(self, folder):
        def path(name):
            return os.path.join(folder, name)

        def make(*command):
            run(*command, cwd=folder)  # by relative names, so that no path of ours is in the files

        with open(path("s.c"), "w", encoding="ascii") as f:
            f.write(C_SOURCE)
        make(*CC, "-fPIC", "-shared", "-o", "so", "s.c")
        make(*CC, "-static", "-no-pie", "-fno-asynchronous-unwind-tables", "-g", "-gdwarf-4",
             f"-ffile-prefix-map={folder}=.", "-o", "debug", "s.c")
        make(*CC, "-fPIE", "-pie", "-fomit-frame-pointer", "-o", "pie", "s.c")
        make("strip", "-o", "stripped", "so")
        make("objcopy", "--only-keep-debug", "so", "only-debug")
        make("objcopy", "--strip-all", "--keep-symbol=b", "--remove-section=.eh_frame*",
             "only-debug", "mini")
        make("xz", "-k", "-9e", "mini")
        make("objcopy", "--add-section=.gnu_debugdata=mini.xz", "--add-gnu-debuglink=only-debug",
             "stripped", "with-mini")
        self.files = [read(path(n)) for n in ("so", "debug", "pie", "stripped", "only-debug",
                                              "mini", "with-mini")]
        self.frames = []
        for name, section in (("so", ".eh_frame"), ("pie", ".eh_frame"),
                              ("debug", ".debug_frame")):
            make("objcopy", f"--dump-section={section}=section", name, "unused")
            kind = 1 if section == ".debug_frame" else 2
            self.frames.append(bytes([kind]) + read(path("section")))


def from_elves():
    with tempfile.TemporaryDirectory() as folder:
        return Elves(folder)


def big_frames():
    """The rules that compilers and hand-written code use, from libraries that are everywhere."""
    out = []
    with tempfile.TemporaryDirectory() as folder:
        section = os.path.join(folder, "section")
        for path in ("/lib/x86_64-linux-gnu/libc.so.6", "/lib/x86_64-linux-gnu/libm.so.6",
                     "/lib64/ld-linux-x86-64.so.2"):
            if os.path.exists(path):
                run("objcopy", f"--dump-section=.eh_frame={section}", path,
                    os.path.join(folder, "unused"))
                data = read(section)
                out += [b"\2" + data[:4096], b"\2" + data[:300]]
    return out


def step():
    """Two mappings, by rows and by frame pointer, and a stack that both can walk."""
    base, code = 0x7f0000001000, 0x1000
    regs = [base + 32] + [base + 8 * i for i in range(15)]
    head = struct.pack("<HH", 0, 2) + struct.pack("<QQ16QII", code + 8, base, *regs, 0, 0)
    mappings = [(code, code + 0x100, 0, 0, 0), (code + 0x100, code + 0x200, 0, 0xfffffffe, 0)]
    rules = [(0, 0, 1, 0, 16, -16, 0, 0, 0, 0, 0, -8, 0), (6, *[0] * 12), (5, *[0] * 12),
             (1, 0, 0, 1, 16, 0, 0, 0, 0, 0, 0, -8, 0), (2, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, -8, 0),
             (3, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, -8, 0), (4, *[0] * 11, 0)]
    rows = [(0, 0, 0), (0x10, 3, 0), (0x20, 1, 0), (0x30, 2, 0), (0x40, 4, 0), (0x50, 5, 0),
            (0x60, 6, 0), (0x70, 0xffff, 0)]
    stack = b"".join(struct.pack("<QQ", base + 16 * (i + 3), code + 0x10 * (i % 20) + 1)
                     for i in range(30))
    arrays = [(mappings, "<QQQII"), ([(0, len(rows), 0, len(rules))], "<IIII"),
              (rules, "<BBBBi6hhh"), (rows, "<IHH")]
    body = b"".join(bytes([len(rows_)]) + b"".join(struct.pack(fmt, *r) for r in rows_)
                    for rows_, fmt in arrays)
    return [head + struct.pack("<Q", base)[:6] + body + stack]


def side():
    def record(kind, misc, body):
        body += b"\0" * (-len(body) % 8) + struct.pack("<Q", 777)
        return struct.pack("<IHH", kind, misc, len(body) + 8) + body

    mmap2 = struct.pack("<IIQQQ", 100, 101, 0x7f0000001000, 0x2000, 0x3000)
    mmap2 += bytes([20, 0, 0, 0]) + bytes(range(20)) + struct.pack("<II", 5, 2)
    records = [record(10, 1 << 14, mmap2 + b"/usr/lib/libx.so\0"), record(10, 0, mmap2 + b"//anon\0"),
               record(7, 0, struct.pack("<IIIIQ", 2, 1, 2, 1, 5)),
               record(4, 0, struct.pack("<IIIIQ", 2, 1, 2, 1, 5)),
               record(3, 1 << 13, struct.pack("<II", 2, 2) + b"name\0"),
               record(2, 0, struct.pack("<QQ", 1, 42))]
    return records + [b"".join(records)]


def messages():
    foreign = pprof_make.Profile("cpu", "nanoseconds")
    foreign.sample([foreign.location(0, 0, "inlined", "f"), foreign.location(0, 0, "g")], 1, 10)
    cut = pprof_make.example(0)
    return [pprof_make.example().raw(), foreign.raw(), cut.raw()]


def gzips():
    raw = messages()[0]
    one = gzip.compress(raw, mtime=0)
    two = gzip.compress(raw[:80], mtime=0) + gzip.compress(raw[80:], 0, mtime=0)
    return [one, two, one[:-9], one + b"x", raw]


def folded():
    return [b"app;main;work 5\napp;main;read;vfs_read_[k] 2\njit;f_[j] 1.5\njit;f_[j]_[j] 1\n# comment\n\n",
            b"a;b;c 1\r\na;;c 18446744073709551615\n", b"a b c 3\n;\xff\n"]


def maps():
    return [b"55d0c0de0000-55d0c0de2000 r-xp 00001000 fd:01 1234                       /usr/bin/x y\n"
            b"7f0000000000-7f0000001000 rwxp 00000000 00:00 0 \n"
            b"7ffc00000000-7ffc00002000 r-xp 00000000 00:00 0                          [vdso]\n"
            b"ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]\n"
            b"7f1000000000-7f1000001000 rwxs 00000000 00:01 5      /dev/zero (deleted)\n"
            b"7f2000000000-7f2000001000 rwxs 00000000 00:01 5      /SYSV00000000 (deleted)\n"]


def perf_maps():
    return [b"1000 100 first\n1080 40 inside it\n0x2000 0x10 prefix\nffffffffffffff00 80 high\n"
            b"3000 100 old\n2f00 300 new\r\n7000 10 cut of"]


def kallsyms():
    return [b"ffffffff81000000 T _stext\nffffffff81000000 T start\nffffffff81000100 t f.cold\n"
            b"ffffffff81000200 D data\nffffffffc0000000 t g\t[module]\n0000000000000000 A abs\n"
            b"fffffffffffffff0 W last\n"]


def mangled():
    return [b"_ZN3foo3barIiEEvT_PKc", b"_ZNSt6vectorIiSaIiEE9push_backERKi@@V_1",
            b"_ZN4core3fmt9Formatter3pad17h0123456789abcdefE", b"_RNvMs_NtCs1234_7mycrate3fooNtB4_3bar3baz",
            b"_RINvNtC3std3mem8align_ofjdE", b"_ZZN1A1fEvENKUlT_E_clIiEEDaS0_", b"_ZTV1A",
            b"_Z1fIJiddEEvDpT_", b"_ZN1AcvT_IiEEv"]


def seeds(name):
    """A list of inputs for the target fuzz_NAME."""
    table = {
        "elfseg": lambda: from_elves().files,
        "symtab": lambda: from_elves().files,
        "root": lambda: [f + struct.pack("<Q", 0x1000) for f in from_elves().files],
        "table": lambda: from_elves().files,
        "frames": lambda: from_elves().frames + big_frames(),
        "step": step,
        "pprof": messages,
        "render": messages,
        "inflate": gzips,
        "folded": folded,
        "maps": maps,
        "perf_map": perf_maps,
        "kallsyms": kallsyms,
        "side": side,
        "demangle": mangled,
    }
    return table[name]()
