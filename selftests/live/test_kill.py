#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""test_kill.py - bstack record is killed at random moments while its target maps and unmaps all the time. Each time the
target has to go on mapping, nothing of bstack's may stay in the kernel, and what is in the profile has to be readable and true.

test_lock.c audits each lock operation of the same; this has every way to unwind, kernel stacks and the whole host. The moments
lie between the start and half as long again as bstack takes to its first samples. SEED repeats a run.
"""
import contextlib
import glob
import os
import random
import re
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import truth  # noqa: E402
from truth import check_frames, ktap, run, start, start_record, temp_dir, wait_until  # noqa: E402

ROUNDS = 4 if truth.IS_SLOW else 12
WAYS = [["--unwind=fp", "-p"], ["--unwind=rows", "-p"], ["--unwind=fp", "-k", "-p"], ["-k", "--known-stacks", "0", "-a"]]
FAULTS_OF_A_ROUND = 64  # storm touches so many pages between its mmap and its munmap


def faults(pid):
    """Page faults of the process so far: storm's grow only while its mmap_lock can be had for writing."""
    with open(f"/proc/{pid}/stat") as f:
        return int(f.read().rsplit(")", 1)[1].split()[7])


def programs_of(pid):
    """Ids of the BPF programs that the process holds now; none once it has ended."""
    ids = set()
    for path in glob.glob(f"/proc/{pid}/fdinfo/*"):
        try:
            with open(path) as f:
                ids.update(re.findall(r"^prog_id:\s+(\d+)", f.read(), flags=re.M))
        except OSError:
            continue  # closed meanwhile
    return ids


def is_loaded(program):
    return subprocess.run(["bpftool", "prog", "show", "id", program], stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL).returncode == 0


def judge_profile(path):
    """What is left of a profile: 'none', 'empty', or 'cut', and then all that is in it is as it should be."""
    if not os.path.exists(path):
        return "none"
    if not os.path.getsize(path):
        return "empty"
    rec = truth.Recording(path)
    ktap.eq((rec.ledger["is_cut"], rec.ledger["is_complete"]), (True, 0), "is_cut, is_complete")
    ktap.eq(rec.folded.samples(), rec.ledger["samples"], "samples folded")
    _, wrong = check_frames(rec.folded)
    assert not wrong, f"{len(wrong)} wrong stacks, e.g. {wrong[:3]}"
    return "cut"


def kill_once(directory, target, way, after):
    """Record, kill, and look at what is left; (programs it had loaded, state of its profile)."""
    path = os.path.join(directory, "x.pb.gz")
    if os.path.exists(path):
        os.unlink(path)
    whom = [] if "-a" in way else [str(target.pid)]
    with open(os.path.join(directory, "log"), "w+") as log:  # a pipe would be read until the last process that has it ends
        proc = subprocess.Popen([ktap.bstack(), "record", "-q", "-F", "997", "-o", path, *way, *whom], stderr=log)
        with contextlib.suppress(subprocess.TimeoutExpired):
            proc.wait(timeout=after)
        loaded = programs_of(proc.pid)
        proc.kill()
        proc.wait(timeout=60)
        log.seek(0)
        ktap.eq((proc.returncode, log.read()), (-signal.SIGKILL, ""), "exit status and stderr")
    wait_until(lambda: not any(is_loaded(p) for p in loaded), "the programs of a killed bstack to go")
    before = faults(target.pid)
    wait_until(lambda: faults(target.pid) >= before + 2 * FAULTS_OF_A_ROUND, "the target to map again")
    return len(loaded), judge_profile(path)


def first_samples(directory, target):
    """Seconds that bstack takes here until its profile has samples."""
    begin = time.monotonic()
    proc, _ = start_record(directory, "-q", "-F", 997, "-p", target.pid)
    took = time.monotonic() - begin
    proc.kill()
    proc.communicate(timeout=60)
    return took


def test_at_random_moments():
    seed = int(os.environ.get("SEED", random.randrange(1 << 32)))
    print(f"# SEED={seed}")
    moments = random.Random(seed)
    target = start("storm", 3600, 1)
    try:
        with temp_dir() as d:
            longest = 1.5 * first_samples(d, target)
            for i in range(ROUNDS):
                way, after = WAYS[i % len(WAYS)], moments.uniform(0, longest)
                print(f"# round {i}: {' '.join(way)}, after {after:.3f} s: ", end="")
                print("{} programs, profile {}".format(*kill_once(d, target, way, after)), flush=True)
            ktap.eq(target.poll(), None, "exit status of the target")
    finally:
        target.kill()
        target.wait(timeout=60)  # with its lock held for ever it could not end


if __name__ == "__main__":
    ktap.main(globals())
