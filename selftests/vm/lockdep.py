#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""lockdep.py - a kernel that checks itself, made of Debian's source and lockdep.config: make kernel-lockdep.

It is kept in VM_CACHE beside the kernels that are downloaded, under its source's version and a key of what else goes into it:
the configuration, the compiler, the tool that makes its BTF, and MAKE below. One that is there is not made again.

    lockdep.py       makes it, or says that it is there already; goes on where an earlier try was interrupted

Settings, from the environment: O build folder, VM_CACHE where kernel images are kept, VM_JOBS, VM_KEEP=1 keeps what it is made
in, for who changes the configuration.
"""
import contextlib
import fcntl
import glob
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import kernels  # noqa: E402

SOURCE = "linux-source-6.12"
CONFIG = os.path.join(HERE, "lockdep.config")
JOBS = int(os.environ.get("VM_JOBS", os.cpu_count()))
TOOLS = (("gcc", "--version"), ("ld", "--version"), ("pahole", "--version"))
# The same text in each kernel of the same inputs
MAKE = ("make", "-s", "KBUILD_BUILD_USER=bstack", "KBUILD_BUILD_HOST=lockdep", "LOCALVERSION=-lockdep")


def key():
    """Of everything but the source: another one is another kernel."""
    text = [open(CONFIG).read(), *MAKE]
    for tool in TOOLS:
        if not shutil.which(tool[0]):
            raise kernels.Missing(f"not built: make kernel-lockdep ({tool[0]} is not installed)")
        text.append(kernels.run(*tool).stdout.splitlines()[0])
    return hashlib.sha256("\n".join(text).encode()).hexdigest()[:12]


def folder_of(cache, version):
    return os.path.join(cache, f"{SOURCE}:{version}_{key()}")


def newest_source():
    version = re.search(r"Candidate: (\d\S*)", kernels.run("apt-cache", "policy", SOURCE).stdout)
    return version[1] if version else None


def kept(cache):
    """(image, description) of the kernel that was made of these inputs; an older source's will do, and the text says which."""
    images = sorted(glob.glob(os.path.join(glob.escape(folder_of(cache, "@")).replace("@", "*"), "vmlinuz")),
                    key=os.path.getmtime)
    version = newest_source()
    exact = os.path.join(folder_of(cache, version), "vmlinuz") if version else None
    if exact in images:
        return exact, f"{SOURCE} {version}"
    if not images:
        raise kernels.Missing("not built: make kernel-lockdep")
    found = os.path.basename(os.path.dirname(images[-1])).split(":", 1)[1].rsplit("_", 1)[0]
    return images[-1], f"{SOURCE} {found}" + (f", while {version} is there: make kernel-lockdep" if version else "")


def checked(command, what, **kwargs):
    """Its output; ends the program, with the last lines, when it fails."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", **kwargs)
    if done.returncode:
        sys.exit("\n".join([*done.stdout.splitlines()[-30:], f"kernel-lockdep: {what} failed with status {done.returncode}"]))
    return done.stdout


def unpack(version, work):
    """The source tree, in work: whole, or not there."""
    source = os.path.join(work, SOURCE)
    if os.path.isdir(source):
        return source
    with tempfile.TemporaryDirectory(dir=work) as raw:
        checked(["apt-get", "download", "-q", f"{SOURCE}={version}"], f"download of {SOURCE}={version}", cwd=raw)
        (package,) = glob.glob(os.path.join(raw, "*.deb"))
        checked(["dpkg-deb", "-x", package, raw], f"unpacking {os.path.basename(package)}")
        checked(["tar", "xf", os.path.join(raw, "usr", "src", f"{SOURCE}.tar.xz"), "-C", raw], f"unpacking {SOURCE}.tar.xz")
        os.rename(os.path.join(raw, SOURCE), source)
    return source


def unmet(config):
    """What lockdep.config asks for and the configuration made of it has not: an option that depends on another."""
    have = set(config.splitlines())
    return [line for line in open(CONFIG).read().splitlines() if line.startswith("CONFIG_") and line not in have]


def compile_in(work, source):
    """Configure and make the image; the folder that it is made in. What an earlier try has made is not made again."""
    objects = os.path.join(work, "objects")
    make = [*MAKE, f"O={objects}"]
    checked([*make, f"KCONFIG_ALLCONFIG={CONFIG}", "allnoconfig"], "make allnoconfig", cwd=source)
    missing = unmet(open(os.path.join(objects, ".config")).read())
    if missing:
        sys.exit(f"kernel-lockdep: {SOURCE} does not take from lockdep.config: {', '.join(missing)}")
    checked(["nice", "-n", "19", *make, f"-j{JOBS}", "bzImage"], "make bzImage", cwd=source)
    return objects


@contextlib.contextmanager
def locked(path):
    """One at a time; another waits."""
    with open(path, "w") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        yield


def build(cache):
    version = newest_source()
    if not version:
        sys.exit(f"kernel-lockdep: apt knows no package {SOURCE}: apt-get update")
    folder = folder_of(cache, version)
    image = os.path.join(folder, "vmlinuz")
    if os.path.exists(image):
        print(f"kernel-lockdep: already built of {SOURCE} {version}: {image}")
        return
    start = time.monotonic()
    work = os.path.join(cache, f"{SOURCE}.work", version)
    os.makedirs(work, exist_ok=True)
    print(f"kernel-lockdep: building of {SOURCE} {version} in {work}: it takes 3 GB, and {JOBS} CPUs a quarter of an hour",
          flush=True)
    objects = compile_in(work, unpack(version, work))
    os.makedirs(folder, exist_ok=True)
    shutil.copy(os.path.join(objects, ".config"), os.path.join(folder, "config"))
    shutil.copy(os.path.join(objects, "arch", "x86", "boot", "bzImage"), image + ".tmp")
    os.rename(image + ".tmp", image)
    if not os.environ.get("VM_KEEP"):
        shutil.rmtree(os.path.dirname(work))
    print(f"kernel-lockdep: {image}, {os.path.getsize(image) >> 20} MB, {time.monotonic() - start:.0f} s")


def main():
    cache = kernels.cache()
    os.makedirs(cache, exist_ok=True)
    try:
        with locked(os.path.join(cache, f"{SOURCE}.lock")):
            build(cache)
    except kernels.Missing as err:
        sys.exit(f"kernel-lockdep: {err}")


if __name__ == "__main__":
    main()
