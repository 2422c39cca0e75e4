#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
test_locks.py - the watch over mmap_lock itself; how often samples take the lock; and every way to end or to disturb a recording
that takes it with each sample: it is given back.
"""
import os
import shutil
import signal
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import truth  # noqa: E402
from truth import check_frames, ktap, locks, record, start, start_record, stop, temp_dir  # noqa: E402

# The clock's samples are taken in the timer's interrupt, which is what the watch tells them by
CLOCK = ("-e", "cpu-clock")
# Each stack through the kernel's build-id helper, which takes the lock: none is known
TAKING = (*CLOCK, "--unwind=fp", "--known-stacks", 0, "-F", truth.rate(4999))


def needs_watch():
    if locks.watch().reason:
        raise ktap.Skip(locks.watch().reason)


def test_wrong_counts_are_seen():
    right = {"acquired": 10, "released": 10, "unreleased": 0, "unmatched": 0, "held_now": 0}
    ktap.eq(locks.faults(right), [], "faults")
    for change in ({"acquired": 11}, {"released": 11}, {"acquired": 11, "unreleased": 1}, {"unmatched": 1}, {"held_now": 1}):
        assert locks.faults({**right, **change}), change


def lock_cost(way, name, *args, fired=1):
    """What a recording with at least so many samples does to a process's mmap_lock."""
    for seconds in (2, 4, 8, 16):
        rec, c = truth.lock_cost(lambda d, proc: record(d, *CLOCK, f"--unwind={way}", "-F", truth.rate(1999),
                                                        "-p", proc.pid, "-d", seconds)[0], name, *args)
        rec.exact()
        if rec.ledger["fired"] >= fired:
            break
    checked, wrong = check_frames(rec.folded)
    assert checked and not wrong, wrong[:3]
    print(f"# {way}: {c['samples']} of {rec.ledger['fired']} samples took mmap_lock, the loader {c['loader']} times: "
          f"{c['per_1000']:.2f} for 1,000 samples")
    assert c["tries"] >= rec.ledger["vma_asked"], (c, rec.ledger)
    return c


def test_steady_process():
    """A process whose mappings stay: fewer than 10 acquisitions for 1,000 samples, those of the loader's start among them."""
    needs_watch()
    for way in ("rows", "fp"):
        c = lock_cost(way, "chain", 600, 1, fired=5000)
        assert c["per_1000"] < 10 or truth.IS_SLOW or (way == "fp" and not truth.has_vma_files()), (way, c)


def test_heap_churn():
    """malloc and free that map and unmap: no sequence holds for long, and no sample takes a lock for that."""
    needs_watch()
    for way in ("rows", "fp"):
        c = lock_cost(way, "hurt", "heap", 100000000, fired=2000)
        assert c["tries"] < 0.01 * c["fired"] or (way == "fp" and not truth.has_vma_files()), (way, c)


def test_program_that_is_started():
    """By frame pointer the kernel is asked for the build-ids of a new program's samples until it is learned, not for longer."""
    needs_watch()
    truth.needs_vma_files()
    before = locks.watch().ask("check")["acquired"]
    with temp_dir() as d:
        program = os.path.join(d, "work")
        shutil.copy(ktap.fixture("work"), program)  # an inode that nobody has seen
        rec, _ = record(d, *CLOCK, "--unwind=fp", "-F", truth.rate(1999), "--", program, 800)
    rec.exact()
    taken, fired = locks.given_back()["acquired"] - before, rec.ledger["fired"]
    print(f"# {taken} of {fired} samples took mmap_lock")
    assert taken < 0.02 * fired or truth.IS_SLOW, (taken, fired)


def taken_and_given_back(disturb, *fixture):
    """disturb(recorder, target) while each sample takes the lock. The target works on: it ends with its own status."""
    needs_watch()
    before = locks.watch().ask("check")
    with temp_dir() as d:
        target = start(*fixture)
        try:
            proc, path = start_record(d, *TAKING, "-p", target.pid)
            disturb(proc, target)
            if proc.poll() is None:
                status, _, err = stop(proc)
                ktap.eq(status, 0, err)
        finally:
            target.kill()
            target.wait()  # a lock that is held makes a process that cannot end
        rec = truth.Recording(path)
        if rec.ledger["is_complete"]:
            rec.exact()
        checked, wrong = check_frames(rec.folded)
    assert not wrong, wrong[:3]
    after = locks.given_back()
    taken = after["acquired"] - before["acquired"]
    print(f"# {taken} locks taken and given back, {checked} frames checked")
    assert taken > 0, "no sample took the lock"


def mapping_goes_on(target):
    """The target maps, touches and unmaps all the time: whoever waits for a lock has no page faults."""
    def faults():
        return int(truth.process_stat(target.pid)[7])
    before = faults()
    truth.wait_until(lambda: faults() > before + 1000, "the target's mappings")


def test_recorder_killed():
    for _ in range(3):
        def disturb(proc, target):
            stop(proc, signal.SIGKILL)
            mapping_goes_on(target)
        taken_and_given_back(disturb, "storm", 600, 2)


def test_programs_unloaded():
    def disturb(proc, target):
        stop(proc)
        mapping_goes_on(target)
    taken_and_given_back(disturb, "storm", 600, 2)


def test_target_killed():
    def disturb(proc, target):
        target.kill()
        target.wait()
        _, err = proc.communicate(timeout=60)
        ktap.eq(proc.returncode, 0, err.decode())
    taken_and_given_back(disturb, "storm", 600, 2)


def test_cpu_offline():
    path = "/sys/devices/system/cpu/cpu1/online"
    if not os.path.exists(path) or not os.access(path, os.W_OK):
        raise ktap.Skip("CPU 1 cannot be taken offline here")

    def disturb(_, target):
        try:
            with open(path, "w") as f:
                f.write("0")
        except OSError as err:
            raise ktap.Skip(f"CPU 1 cannot be taken offline here: {err}")
        try:
            mapping_goes_on(target)
        finally:
            with open(path, "w") as f:
                f.write("1")
        mapping_goes_on(target)
    taken_and_given_back(disturb, "storm", 600, 2)


def command_takes(*command, check=0):
    needs_watch()
    before = locks.watch().ask("check")
    with temp_dir() as d:
        rec, _ = record(d, *TAKING, "--", *command, check=check)
    rec.exact()
    checked, wrong = check_frames(rec.folded)
    assert not wrong, wrong[:3]
    taken = locks.given_back()["acquired"] - before["acquired"]
    print(f"# {taken} locks taken and given back, {checked} frames checked")
    assert taken > 0, "no sample took the lock"


def test_target_exits():
    """Threads that are sampled while the process exits, over and over."""
    command_takes("sh", "-c", f"for i in $(seq 20); do {ktap.fixture('chain')} 0.02 4; done", check=7)


def test_fork():
    command_takes(ktap.fixture("forkbomb"), 2)


def test_exec():
    command_takes(ktap.fixture("execer_a"))


if __name__ == "__main__":
    ktap.main(globals())
