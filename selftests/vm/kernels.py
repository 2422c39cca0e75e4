# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""kernels.py - Debian's kernels, by the names of their packages: downloaded, and the image taken out of them.

Nothing is installed. An image is kept in VM_CACHE, or the build folder, under its package's name and version; one that is
there serves when apt knows of none, as on a machine without a network.
"""
import glob
import os
import re
import shutil
import subprocess
import tarfile
import tempfile

# What it is called here: the package that depends on the newest of its kind, and what is special about it
KERNELS = {
    "6.1": "linux-image-cloud-amd64",            # no PROCMAP_QUERY, no mm_lock_seq: Debian 12's own
    "6.12": "linux-image-6.12-cloud-amd64",      # mm_lock_seq is an int
    "6.12-rt": "linux-image-6.12-rt-amd64",      # PREEMPT_RT: with interrupts off every build-id stack falls back
}


BUILD = os.path.abspath(os.environ.get("O", os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "build")))


def cache():
    """The folder in which kernels are kept."""
    return os.environ.get("VM_CACHE", os.path.join(BUILD, "vm", "kernels"))


class Missing(Exception):
    """The kernel cannot be had here; the text says why."""


def run(*command, **kwargs):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **kwargs)


def newest(meta):
    """(package, version) that apt would take now, or None."""
    depends = re.search(r"Depends: (linux-image-\S+)", run("apt-cache", "depends", meta).stdout)
    if not depends:
        return None
    version = re.search(r"Candidate: (\d\S*)", run("apt-cache", "policy", depends[1]).stdout)
    return (depends[1], version[1]) if version else None


def extract(package, image):
    """The kernel image of a package file, as the file named image."""
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE) as unpack:
        with tarfile.open(fileobj=unpack.stdout, mode="r|") as tar:
            for member in tar:
                if re.match(r"(\./)?boot/vmlinuz-", member.name):
                    with open(image + ".tmp", "wb") as out:
                        shutil.copyfileobj(tar.extractfile(member), out)
                    os.rename(image + ".tmp", image)
                    break
        while unpack.stdout.read(1 << 20):
            pass
    if not os.path.exists(image):
        raise Missing(f"no kernel image in {os.path.basename(package)}")


def fetch(package, version, folder):
    with tempfile.TemporaryDirectory(dir=folder) as work:
        got = run("apt-get", "download", "-q", f"{package}={version}", cwd=work)
        files = glob.glob(os.path.join(work, "*.deb"))
        if got.returncode or len(files) != 1:
            lines = got.stderr.strip().splitlines() or ["no reason given"]
            raise Missing(f"cannot download {package}: {lines[-1]}")
        extract(files[0], os.path.join(folder, "vmlinuz"))


def kept(name, cache):
    """As kernel(), of the last one that was fetched."""
    images = sorted(glob.glob(os.path.join(glob.escape(cache), f"{KERNELS[name]}:*", "vmlinuz")), key=os.path.getmtime)
    if not images:
        raise Missing("not at hand: make check-vm fetches its package")
    return images[-1], os.path.basename(os.path.dirname(images[-1])).split(":", 1)[1].replace("_", " ")


def kernel(name, cache):
    """(path of the image, package and version): the newest that apt knows, fetched if need be."""
    meta = KERNELS[name]
    if not shutil.which("apt-cache") or not shutil.which("dpkg-deb"):
        raise Missing("apt and dpkg are not here: kernels come as Debian packages")
    found = newest(meta)
    if found:
        folder = os.path.join(cache, f"{meta}:{found[0]}_{found[1]}")
        image = os.path.join(folder, "vmlinuz")
        if os.path.exists(image):
            return image, " ".join(found)
        os.makedirs(folder, exist_ok=True)
        try:
            fetch(*found, folder)
            return image, " ".join(found)
        except Missing as err:
            missing = err
    else:
        missing = Missing(f"apt knows no package {meta}")
    try:
        return kept(name, cache)
    except Missing:
        raise missing from None
