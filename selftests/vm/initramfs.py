# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""initramfs.py - the guest's whole file system as one cpio archive: the build, the tests, and of the host the few
programs that they use, each with its libraries. No module is needed to read it, so one archive serves every kernel."""
import os
import re
import shutil
import stat
import subprocess

SELFTESTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
HOME = "/bstack"  # where the guest has selftests/ and build/

TOOLS = ("sh dash mount umount mkdir cat cp rm sleep timeout seq true env uname grep mktemp setpriv unshare taskset script "
         "head ps touch python3 perl xz openssl bpftool gcc as ld readelf").split()
# What gcc needs beside its compiler proper to make a shared object of a file without headers
COMPILER = ("cc1", "collect2", "lto-wrapper", "liblto_plugin.so")
# Of the build folder, and of the source
BUILT = ["fixtures", "live"]
# Large parts of Python's library that no test imports
NOT_IMPORTED = {"test", "idlelib", "lib2to3", "ensurepip", "tkinter", "turtledemo", "pydoc_data", "distutils", "unittest"}


class Archive:
    """cpio in the kernel's "newc" format. A file's parents come before it, a path once."""

    def __init__(self, out):
        self.out = out
        self.paths = set()

    def entry(self, path, mode, data=b"", mtime=0, device=(0, 0)):
        path = path.strip("/")
        if path in self.paths:
            return
        parent = os.path.dirname(path)
        if parent:
            self.entry(parent, stat.S_IFDIR | 0o755)
        self.paths.add(path)
        name = path.encode() + b"\0"
        fields = [len(self.paths), mode, 0, 0, 1, mtime, len(data), 0, 0, *device, len(name), 0]
        head = b"070701" + b"".join(b"%08X" % f for f in fields) + name
        self.out.write(head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4))

    def file(self, path, source):
        with open(source, "rb") as f:
            info = os.fstat(f.fileno())
            self.entry(path, stat.S_IFREG | stat.S_IMODE(info.st_mode), f.read(), int(info.st_mtime))

    def tree(self, path, source, leave_out=()):
        for name in sorted(os.listdir(source)):
            inner = os.path.join(source, name)
            if name in leave_out:
                continue
            if os.path.isdir(inner):
                self.tree(os.path.join(path, name), inner, leave_out)
            elif os.path.isfile(inner):
                self.file(os.path.join(path, name), inner)

    def close(self):
        self.entry("TRAILER!!!", 0)


def real_place(path):
    """The path without links among its folders: a library is looked up by the name of the link that leads to it."""
    return os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))


def libraries(path):
    """What the dynamic linker loads for it; nothing for what is not a dynamic program."""
    done = subprocess.run(["ldd", path], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return re.findall(r"(?:^|=>)\s+(/\S+) \(0x", done.stdout, flags=re.M)


def host_program_at(archive, place, path):
    archive.file(place, path)
    for library in libraries(path):
        archive.file(real_place(library), library)


def host_program(archive, path):
    host_program_at(archive, real_place(path), path)


def host_compiler(archive):
    archive.entry("usr/include", stat.S_IFDIR | 0o755)  # it refuses to work when there is no such folder
    proper = subprocess.run(["gcc", "-print-prog-name=cc1"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    for name in COMPILER:
        host_program(archive, os.path.join(os.path.dirname(proper), name))


def host_python(archive):
    """Python's own library, with its compiled files: they save the slow guest much time."""
    there = subprocess.run(["/usr/bin/python3", "-c", "import sysconfig; print(sysconfig.get_path('stdlib'))"],
                           stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    leave_out = NOT_IMPORTED | {n for n in os.listdir(there) if n.startswith("config-")}
    archive.tree(there, there, leave_out)
    for name in os.listdir(os.path.join(there, "lib-dynload")):
        for library in libraries(os.path.join(there, "lib-dynload", name)):
            archive.file(real_place(library), library)


def build_and_tests(archive, build):
    host_program_at(archive, f"{HOME}/build/bstack", os.path.join(build, "bstack"))
    for name in BUILT:
        for each in sorted(os.listdir(os.path.join(build, name))):
            host_program_at(archive, f"{HOME}/build/{name}/{each}", os.path.join(build, name, each))
    archive.file(f"{HOME}/selftests/ktap.py", os.path.join(SELFTESTS, "ktap.py"))
    archive.tree(f"{HOME}/selftests/live", os.path.join(SELFTESTS, "live"), {"__pycache__"})


def lines(words):
    return "".join(f"{word}\n" for word in words).encode()


def make(path, build, programs, left_out):
    """Write the archive. programs are the command lines that init runs, left_out the tests that they leave out."""
    with open(path, "wb") as out:
        archive = Archive(out)
        for name in ("bin", "sbin", "lib", "lib64"):
            if os.path.islink(f"/{name}"):
                archive.entry(name, stat.S_IFLNK | 0o777, os.readlink(f"/{name}").encode())
        for name in ("dev", "proc", "sys", "tmp", "run", "mnt", "root"):
            archive.entry(name, stat.S_IFDIR | 0o755)
        archive.entry("dev/console", stat.S_IFCHR | 0o600, device=(5, 1))
        archive.file("init", os.path.join(SELFTESTS, "vm", "init.sh"))
        archive.entry("programs", stat.S_IFREG | 0o644, lines(programs))
        archive.entry("left-out", stat.S_IFREG | 0o644, lines(left_out))
        for tool in TOOLS:
            found = shutil.which(tool, path="/usr/bin:/bin:/usr/sbin:/sbin")
            if found:
                host_program(archive, found)
        host_compiler(archive)
        host_python(archive)
        build_and_tests(archive, build)
        archive.close()
