#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
test_hurt.py - workloads that are hard on a profiler. Each runs alone and under bstack, by rows and by frame pointer: the same
output and the same exit status, no wrong frame, and every sample counted.

What other tests have: one thread that maps (test_record storm), one process that forks (forkbomb) or execs (execer), libraries
that follow each other at one address (dlswap), a mount and a pid namespace, CPU 1 offline. What the kernel says of forged
memory: test_kernel_kinds.
"""
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import truth  # noqa: E402
from truth import check_frames, ktap, locks, start_record, temp_dir  # noqa: E402

CHAIN = ["fx_hurt", *[f"fx_{i}" for i in range(1, 9)], "fx_spin"]
DONE, CANNOT = 7, 77
# By frame pointer each sample goes through the kernel's build-id helper, which takes mmap_lock
WAYS = {"rows": ("--unwind=rows",), "fp": ("--unwind=fp", "--known-stacks=0")}


def result(done):
    """(standard output but for the line with the pid, exit status)"""
    return re.sub(r"^ready \d+\n", "", done.stdout.decode(), flags=re.M), done.returncode


def alone(command):
    out, status = result(subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=300))
    if status == CANNOT:
        raise ktap.Skip(out.strip())
    return out, status


def recorded(command, way, directory):
    """(what the command gave, its recording), all samples of it counted and every frame in its place."""
    path = os.path.join(directory, f"{way}.pb.gz")
    done = subprocess.run([ktap.bstack(), "record", "-q", *WAYS[way], "-F", str(truth.rate(2999)), "-o", path, "--", *command],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=300)
    assert os.path.exists(path), done.stderr.decode()
    rec = truth.Recording(path)
    rec.exact()
    locks.given_back()
    return result(done), rec


def right_frames(rec, is_known=lambda name: True):
    checked, wrong = check_frames(rec.folded, is_known)
    assert not wrong, f"{len(wrong)} wrong stacks of {checked} frames, e.g. {wrong[:3]}"
    return checked


def unharmed(command, status=DONE, reset=lambda: None):
    """Alone, then recorded in each way; the recordings."""
    command = list(map(str, command))
    reset()
    expected = alone(command)
    ktap.eq(expected[1], status, f"exit status of {command} alone: {expected[0]}")
    recs = {}
    with temp_dir() as d:
        for way in WAYS:
            reset()
            got, recs[way] = recorded(command, way, d)
            ktap.eq(got, expected, f"output and exit status of {command} under bstack ({way})")
            checked = right_frames(recs[way])
            led = recs[way].ledger
            print(f"# {way}: {led['samples']} samples, {checked} frames checked, rooted {led['rooted_pct']:.1f} %, "
                  f"fell back {led['fell_back']}, lost {led['lost']}")
            assert checked > truth.share(500), recs[way].folded.stacks[:5]
    return recs


def whole_chain(recs, least=0.9, chain=CHAIN):
    """Of the samples whose leaf is the chain's end, so many have all of it."""
    for way, rec in recs.items():
        spins = rec.folded.with_leaf(chain[-1])
        assert rec.folded.chain(chain) > truth.share(least) * spins, (way, rec.folded.chain(chain), spins, rec.ledger)


def hurt(name, *args):
    return [ktap.fixture("hurt"), name, *args]


def test_faults_handled_in_user_space():
    recs = unharmed(hurt("userfault"))
    whole_chain(recs)
    for way, rec in recs.items():
        pager = sum(c for _, f, c in rec.folded.stacks if "pager_run" in f and "fx_spin" in f)
        assert pager > truth.share(100), (way, "samples in the thread that handles the faults", pager)


def test_eight_threads_map_and_protect():
    whole_chain(unharmed(hurt("protect", truth.rounds(2000))))


def test_heap_that_grows_and_shrinks():
    whole_chain(unharmed(hurt("heap")))


def test_forks_and_execs():
    whole_chain(unharmed([ktap.fixture("hurt_process"), "forks"]))


def test_memory_made_huge_pages():
    whole_chain(unharmed(hurt("huge")))


@contextlib.contextmanager
def tmpfs():
    with temp_dir() as d:
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "huge=advise,mode=755", "none", d], stderr=subprocess.PIPE)
        if done.returncode:
            raise ktap.Skip(f"no tmpfs with huge pages: {done.stderr.decode().strip()}")
        try:
            yield d
        finally:
            subprocess.run(["umount", "-l", d], check=True)


def test_code_made_huge_pages():
    """The program's code is collapsed into a huge page while it runs there: of a file in tmpfs, which every kernel can."""
    with tmpfs() as d:
        whole_chain(unharmed([shutil.copy(ktap.fixture("hurt"), d), "text"]))


def test_sixty_five_thousand_mappings():
    whole_chain(unharmed(hurt("mappings")))


def test_traced_and_single_stepped():
    whole_chain(unharmed([ktap.fixture("hurt_process"), "traced"]))


def test_stopped_and_continued():
    """Stopped before the first sample and at every moment behind it, for as long as it takes to see it stopped."""
    with temp_dir() as d:
        expected = alone(hurt("steady"))
        for way in WAYS:
            target = truth.start("hurt", "steady")
            os.kill(target.pid, signal.SIGSTOP)  # on a slow machine it would end before it is recorded
            proc, path = start_record(d, *WAYS[way], "-F", truth.rate(2999), "-p", target.pid, name=f"{way}.pb.gz")
            for _ in range(50):  # os.kill(): send_signal() would reap a target that has ended
                os.kill(target.pid, signal.SIGSTOP)
                truth.wait_until(lambda: truth.process_stat(target.pid)[0] in "TZ", "a stopped target")
                os.kill(target.pid, signal.SIGCONT)
                truth.wait_until(lambda: truth.process_stat(target.pid)[0] not in "T", "a target that runs again")
            out, _ = target.communicate(timeout=60)
            ktap.eq((out.decode(), target.returncode), expected, "output and exit status")
            _, err = proc.communicate(timeout=60)
            ktap.eq(proc.returncode, 0, err.decode())
            rec = truth.Recording(path)
            rec.exact()
            right_frames(rec)
            whole_chain({way: rec})


def test_writes_its_own_pages():
    """Its build-id in memory is another one all the time, its code is a copy of its own: the file's frames are right."""
    recs = unharmed([ktap.fixture("hurt_code"), "rewrite"])
    whole_chain(recs)
    for way, rec in recs.items():
        ids = {m["build_id"] for m in rec.ledger["modules"] if m["path"].endswith("/hurt_code")}
        ktap.eq(ids, {build_id(ktap.fixture("hurt_code"))}, f"build-ids of the program ({way})")


def build_id(path):
    notes = subprocess.run(["readelf", "-n", path], stdout=subprocess.PIPE, check=True).stdout.decode()
    return re.search(r"Build ID: ([0-9a-f]+)", notes)[1]


def test_library_whose_note_is_written():
    """Another build-id in the file, back and forth: what is named is named right."""
    with temp_dir() as d:
        path = os.path.join(d, "written.so")
        recs = unharmed([ktap.fixture("hurt_code"), "library", path],
                        reset=lambda: shutil.copy(ktap.fixture("swap_a.so"), path))
        original = build_id(ktap.fixture("swap_a.so"))
    inverted = "".join(f"{255 - b:02x}" for b in bytes.fromhex(original))
    for way, rec in recs.items():
        ids = {m["build_id"] for m in rec.ledger["modules"] if m["path"].endswith("/written.so")}
        assert ids and ids <= {original, inverted}, (way, "build-ids that the library never had", ids)
        inside = rec.folded.with_leaf("fx_a_inner")
        if truth.IS_SLOW:  # there its symbols may be read when the file has the other one: it has no names then
            inside += sum(c for _, f, c in rec.folded.stacks if f and f[-1].startswith("written.so+0x"))
        assert inside > truth.share(500), (way, rec.folded.stacks[:5])


def test_forged_build_id():
    """Shared anonymous memory that says it is swap_b.so, with code at the place of its fx_b_inner: it has no such name."""
    recs = unharmed([ktap.fixture("hurt_code"), "forge", ktap.fixture("swap_b.so")])
    for way, rec in recs.items():
        below = {f[i + 1] for _, f, _ in rec.folded.stacks for i, name in enumerate(f[:-1]) if name == "fx_call_forged"}
        named = {name for name in below if name.startswith("fx_") or "swap_b" in name}
        ktap.eq(named, set(), f"names of forged code ({way})")
        assert below, (way, "no sample in the forged code")
        led = rec.ledger
        assert led["unresolved"]["forged"] + led["unresolved"]["anonymous"] + led["unresolved"]["no-build-id"] > 0, led


# --- memory cgroups ---

def control_files(megabytes):
    """(directory for groups, file with the limit, file with the limit of swap) of the memory controller, either version."""
    for line in open("/proc/mounts"):
        _, where, kind, options = line.split()[:4]
        if kind == "cgroup" and "memory" in options.split(","):
            return where, "memory.limit_in_bytes", ("memory.memsw.limit_in_bytes", megabytes << 20)
        if kind == "cgroup2" and "memory" in open(os.path.join(where, "cgroup.controllers")).read().split():
            with open(os.path.join(where, "cgroup.subtree_control"), "w") as f:
                f.write("+memory")
            return where, "memory.max", ("memory.swap.max", 0)
    raise ktap.Skip("no memory controller is mounted")


@contextlib.contextmanager
def memory_group(megabytes):
    """The command that starts another one inside a group with so much memory."""
    try:
        where, limit, (swap, swap_limit) = control_files(megabytes)
        group = os.path.join(where, f"bstack-hurt-{os.getpid()}")
        os.mkdir(group)
    except OSError as err:
        raise ktap.Skip(f"no memory cgroup can be made here: {err}")
    procs = os.path.join(group, "cgroup.procs")
    try:
        with open(os.path.join(group, limit), "w") as f:
            f.write(str(megabytes << 20))
        if os.path.exists(os.path.join(group, swap)):
            with open(os.path.join(group, swap), "w") as f:
                f.write(str(swap_limit))
        yield ["sh", "-c", f"echo $$ > {procs} && exec \"$@\"", "sh"]
    finally:
        truth.wait_until(lambda: not open(procs).read(), "the last process of the group to end")
        os.rmdir(group)


def test_memory_cgroup_at_its_limit():
    with temp_dir() as d, memory_group(24) as inside:
        whole_chain(unharmed([*inside, *hurt("cache", os.path.join(d, "file"))]))


def test_killed_for_want_of_memory():
    with memory_group(24) as inside:
        command = ["sh", "-c", '"$@"; exit $?', "sh", *inside, *hurt("oom")]
        whole_chain(unharmed(command, status=128 + 9))


# --- containers ---

CONTAINER = """
mount -t tmpfs none "$1" && mkdir "$1/lower" "$1/upper" "$1/work" "$1/merged" && cp "$2" "$1/lower/hurt" &&
mount -t overlay -o "lowerdir=$1/lower,upperdir=$1/upper,workdir=$1/work" none "$1/merged" || { echo "cannot mount"; exit 77; }
[ "$3" = lower ] || touch "$1/merged/hurt"
cd "$1/merged" && ./hurt steady
"""


def container(layer):
    with temp_dir() as d:
        command = ["unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork", "--mount-proc"]
        probe = subprocess.run([*command, "true"], stderr=subprocess.PIPE)
        if probe.returncode:
            raise ktap.Skip(probe.stderr.decode().strip())
        whole_chain(unharmed([*command, "sh", "-c", CONTAINER, "sh", d, ktap.fixture("hurt"), layer]))


def test_container_with_overlay():
    """Mount, pid and user namespaces; the program comes from the lower layer of an overlay."""
    container("lower")


def test_container_with_a_file_copied_up():
    container("upper")


if __name__ == "__main__":
    ktap.main(globals())
