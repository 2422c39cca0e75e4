# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""truth.py - runs bstack on the fixtures and holds every frame against what is known of them.

Each fx_ function has one caller. A folded stack in which another frame stands above it is a wrong
frame, unless it is the leaf: a sample at a function's first or last instruction, where it has no frame of
its own, misses its caller, so the caller's caller may stand there.
"""
import json
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import ktap  # noqa: E402
import locks  # noqa: E402

CALLER = {
    "fx_spin": "fx_8", "fx_8": "fx_7", "fx_7": "fx_6", "fx_6": "fx_5", "fx_5": "fx_4", "fx_4": "fx_3",
    "fx_3": "fx_2", "fx_2": "fx_1",
    "fx_a_inner": "fx_a_outer", "fx_a_outer": "fx_call_a",
    "fx_b_inner": "fx_b_outer", "fx_b_outer": "fx_call_b",
    "fx_exec_a_spin": "fx_exec_a_run", "fx_exec_a_run": "main",
    "fx_exec_b_spin": "fx_exec_b_run", "fx_exec_b_run": "main",
    "fx_map": "fx_stormer", "fx_child": "main",
    "fx_call_named": "main", "fx_call_unnamed": "main", "fx_jitted_[j]": "fx_call_named",
}
# These have one caller in each program
CALLERS = {"fx_1": {"main", "fx_thread", "fx_spinner", "fx_child", "fx_hurt"},
           "fx_call_a": {"main", "library"}, "fx_call_b": {"main", "forge"}, "fx_call_forged": {"forge"}}


# An emulated machine: what depends on speed is not asserted there, and programs run longer.
IS_SLOW = bool(os.environ.get("BSTACK_SLOW"))
IS_RT = "PREEMPT_RT" in platform.version()


def share(part):
    """The part, or number, that must be exceeded where it depends on speed: on a slow machine one is enough."""
    return 0 if IS_SLOW else part


def seconds(count):
    """How long a program runs that has to get its unwind tables while it does."""
    return 5 * count if IS_SLOW else count


def rate(hz):
    """Samples a second: a slow machine at a high rate does nothing else."""
    return min(hz, 1999) if IS_SLOW else hz


def rounds(count):
    """How often a program does what costs the kernel most: a slow one that checks itself, too, has to come to an end."""
    return count // 8 if IS_SLOW else count


class Folded:
    """Folded stacks as [(thread, [frames root first], count)]."""

    def __init__(self, text):
        self.stacks = []
        for line in text.splitlines():
            stack, count = line.rsplit(" ", 1)
            thread, *frames = stack.split(";")
            self.stacks.append((thread, frames, int(count)))

    def samples(self, thread=None):
        return sum(c for t, _, c in self.stacks if thread in (None, t))

    def with_leaf(self, leaf):
        return sum(c for _, frames, c in self.stacks if frames and frames[-1] == leaf)

    def chain(self, suffix):
        """Samples whose stack ends in exactly these frames."""
        return sum(c for _, frames, c in self.stacks if frames[-len(suffix):] == suffix)


def callers(name):
    return CALLERS.get(name) or ({CALLER[name]} if name in CALLER else set())


def is_fitting(above, name, is_leaf):
    """May `above` be the frame that called `name`?"""
    known = callers(name)
    if above is None or not known or above in known:
        return True  # the stack's end, a thread's start function, the one caller
    if not is_leaf:
        return False
    skipped = {g for c in known for g in callers(c)}
    has_top = any(not callers(c) for c in known)  # above main or a thread's start: the C library
    return above in skipped or (has_top and not above.startswith("fx_"))


def check_frames(folded, allowed=lambda name: True):
    """(frames checked, [wrong stacks]); allowed says whether an fx_ function is of this program."""
    checked, wrong = 0, []
    for thread, frames, count in folded.stacks:
        for i, name in enumerate(frames):
            if not name.startswith("fx_"):
                continue
            checked += count
            above = frames[i - 1] if i else None
            if not allowed(name) or not is_fitting(above, name, i == len(frames) - 1):
                wrong.append((thread, frames, count))
    return checked, wrong


def run(*args, check=0, **kwargs):
    """Run bstack; (stdout, stderr) as text."""
    proc = subprocess.run([ktap.bstack(), *map(str, args)], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=300, **kwargs)
    out, err = proc.stdout.decode(errors="replace"), proc.stderr.decode(errors="replace")
    assert check is None or proc.returncode == check, \
        f"bstack {args}: exit {proc.returncode}, expected {check}\n{out}\n{err}"
    if args[0] == "record":
        locks.given_back()
    return out, err


class Recording:
    """A profile, its folded stacks and its ledger."""

    def __init__(self, path):
        self.path = path
        self.folded = Folded(run("fold", path)[0])
        self.json = json.loads(run("report", "--json", "--no-tree", path)[0])
        self.ledger = self.json["ledger"]

    def exact(self):
        """fired = recorded + lost, and every list of the ledger sums up."""
        led = self.ledger
        lost = led["lost_ring"] + led["lost_nested"] + led["lost_memory"]
        ktap.eq(led["fired"], led["recorded"] + lost, "fired = recorded + lost")
        ktap.eq(led["samples"], led["recorded"], "samples in the file")
        ktap.eq(self.folded.samples(), led["samples"], "samples folded")
        ktap.eq(led["rooted"] + led["broken"] + led["truncated"], led["user_samples"], "outcomes")
        ktap.eq(sum(led["unresolved"].values()), led["frames"]["none"], "reasons")
        ktap.eq(led["unresolved"].get("unknown", 0), 0, "unresolved without a stated reason")
        ktap.eq(led["inconsistent"], 0, "inconsistent stacks")
        ktap.eq(led["is_complete"], 1, "is_complete")


def temp_dir():
    return tempfile.TemporaryDirectory(prefix="bstack-test-")


def start(name, *args, **kwargs):
    """Start a fixture and wait until it is set up."""
    proc = subprocess.Popen([ktap.fixture(name), *map(str, args)], stdout=subprocess.PIPE, **kwargs)
    line = proc.stdout.readline()
    assert line.startswith(b"ready"), f"{name}: {line!r}"
    return proc


def has_vma_files():
    """Does BPF read a sample's mappings here, so that the kernel is not asked for its build-ids?"""
    features = json.loads(run("doctor", "--json", check=None)[0])["features"]
    return next(f["state"] for f in features if f["key"] == "vma_files") == "yes"


def needs_vma_files():
    if not has_vma_files():
        raise ktap.Skip("this kernel does not tell files by their mappings (Linux 6.8)")


def record(directory, *args, name="x.pb.gz", **kwargs):
    path = os.path.join(directory, name)
    _, err = run("record", "-o", path, *args, **kwargs)
    return Recording(path), err


def start_record(directory, *args, name="x.pb.gz"):
    """bstack record in the background, sampling when this returns: its file has its first samples."""
    path = os.path.join(directory, name)
    proc = subprocess.Popen([ktap.bstack(), "record", "-o", path, *map(str, args)],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_until(lambda: os.path.exists(path) and os.path.getsize(path) > 0 or proc.poll() is not None,
               "the first second's samples")
    return proc, path


def lock_cost(do, name, *args):
    """do(directory, process), a recording, and what it did to the mmap_lock of the process, a fixture that is started for it:
    by samples (tries, and those of them that took it), and by the loader's reading of its mappings."""
    with temp_dir() as d:
        proc = start(name, *args)
        try:
            assert locks.watch().ask(f"target {proc.pid}")["is_found"], f"{name} does not run"
            rec = do(d, proc)
            c = locks.watch().ask("check")["target"]
        finally:
            proc.kill()
            proc.wait()
    ktap.eq(c["loader_released"], c["loader_acquired"], "locks given back by the loader")
    count = c["acquired"] + c["loader_acquired"]
    return rec, {"samples": c["acquired"], "tries": c["acquired"] + c["failed"], "loader": c["loader_acquired"],
                 "fired": rec.ledger["fired"], "per_1000": 1000 * count / rec.ledger["fired"]}


def wait_until(condition, what, seconds=60):
    import time
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds} s for {what}"
        time.sleep(0.01)  # polls a condition; the deadline above fails the test


def process_stat(pid):
    """The fields of /proc/PID/stat from the state on: that is field 3 of proc(5), here 0."""
    with open(f"/proc/{pid}/stat") as f:
        return f.read().rsplit(")", 1)[1].split()


def stop(proc, sig=signal.SIGINT):
    proc.send_signal(sig)
    out, err = proc.communicate(timeout=60)
    locks.given_back()
    return proc.returncode, out.decode(errors="replace"), err.decode(errors="replace")


def first_number(pattern, text):
    match = re.search(pattern, text)
    assert match, f"{pattern!r} not in {text!r}"
    return int(match[1])
