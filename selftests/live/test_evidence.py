#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
test_evidence.py - what the frames of stacks unwound by rows claim, and what becomes of stacks whose tables are not
ready: proven where the mappings cannot have changed, finished by the loader where BPF could not.
"""
import os
import platform
import shutil
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import truth  # noqa: E402
from truth import check_frames, ktap, record, temp_dir  # noqa: E402


def needs_sequence():
    """mm_lock_seq (6.4); where it is an int (before 6.13) a writer is seen only in a lock that is not PREEMPT_RT's."""
    with open("/sys/kernel/btf/vmlinux", "rb") as f:
        if b"mm_lock_seq" not in f.read():
            raise ktap.Skip("this kernel has no mm_lock_seq")
    version = tuple(map(int, platform.release().split("-")[0].split(".")[:2]))
    if version < (6, 13) and truth.IS_RT:
        raise ktap.Skip("before 6.13 a writer may not be seen on PREEMPT_RT")


def user_frames(led):
    return sum(n for k, n in led["frames"].items() if k != "kernel_text")


def checked(rec, allowed=lambda name: True):
    rec.exact()
    count, wrong = check_frames(rec.folded, allowed)
    assert count > 0 and not wrong, wrong[:5]
    return count


def record_running(d, name, *args, hz=997, seconds=1, opts=()):
    proc = truth.start(name, 60, *args)
    try:
        rec, _ = record(d, *opts, "-F", truth.rate(hz), "-p", proc.pid, "-d", seconds)
    finally:
        proc.kill()
        proc.wait()
    return rec


def test_steady_process_is_proven():
    needs_sequence()
    with temp_dir() as d:
        rec = record_running(d, "chain", 2)
    checked(rec)
    led = rec.ledger
    assert led["frames"]["proven"] > truth.share(0.9) * user_frames(led), led["frames"]
    ktap.eq(led["unwind_sent"], 0, "stacks sent: the tables of what runs are there before the first sample")
    ktap.eq(led["vma_asked"], 0, "mappings asked of the kernel")


def test_no_sequence_while_mappings_change():
    """Threads that map and unmap all the time: a look at the sequence finds it moved, and the frames are not called proven
    on the strength of it, but known from the events all the same."""
    with temp_dir() as d:
        rec = record_running(d, "storm", hz=3999, opts=("--known-stacks", 0))
    checked(rec)
    led = rec.ledger
    assert led["frames"]["timeline"] + led["frames"]["query"] > led["frames"]["proven"], led["frames"]


def test_mappings_prove_while_others_change():
    """The same threads; the mappings that their stacks are in do not change, and go with the samples."""
    needs_sequence()
    with temp_dir() as d:
        rec = record_running(d, "storm", hz=3999)
    checked(rec)
    led = rec.ledger
    assert led["frames"]["proven"] + led["frames"]["vdso"] > truth.share(0.9) * user_frames(led), led["frames"]
    assert led["known_files"] > 0, led


def test_mappings_that_change_under_the_same_address():
    """dlclose and dlopen of two libraries at one address, proven or not: none of the frames is the other library's."""
    with temp_dir() as d:
        proc = truth.start("dlswap", 60, ktap.fixture("swap_a.so"), ktap.fixture("swap_b.so"))
        try:
            rec, _ = record(d, "-F", truth.rate(9997), "-p", proc.pid, "-d", 2)
        finally:
            proc.kill()
            proc.wait()
    checked(rec)


def test_a_new_file_has_whole_stacks_from_the_start():
    """Programs that exec each other and live for milliseconds: most of their samples come before BPF knows their
    mappings. It asks the kernel, or the stack's memory comes along: they reach the root all the same."""
    with temp_dir() as d:
        for which in "ab":
            shutil.copy(ktap.fixture(f"execer_{which}"), d)
        rec, _ = record(d, "-F", 997, "--", os.path.join(d, "execer_a"))
    checked(rec)
    led = rec.ledger
    assert led["unwind_sent"] + led["vma_asked"] > 0, led
    assert led["vma_failed"] <= led["vma_asked"], led
    assert led["rooted"] > truth.share(0.9) * led["user_samples"], led["stops"]
    ktap.eq(led["stops"]["no-mapping"], 0, "addresses that are said to be no code")


def test_without_room_stacks_are_not_sent():
    """A ring buffer too small for stacks: what lacks a table ends there, and says so; nothing is lost for it."""
    with temp_dir() as d:
        for which in "ab":
            shutil.copy(ktap.fixture(f"execer_{which}"), d)
        rec, _ = record(d, "-F", truth.rate(4999), "--ring", 1, "--unwind-memory", 1, "--", os.path.join(d, "execer_a"))
    checked(rec)


if __name__ == "__main__":
    ktap.main(globals())
