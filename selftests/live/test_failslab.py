#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""test_failslab.py - the kernel has no memory for bstack record, at one moment of each run. It then either fails, which it says,
or its profile is exact. Others are left alone: the kernel fails only what it does for a task that asked to be failed.

The kernel must be made with fault injection (FAILSLAB). SEED repeats a run.
"""
import contextlib
import os
import random
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import truth  # noqa: E402
from truth import ktap, start, temp_dir  # noqa: E402

SETTINGS = "/sys/kernel/debug/failslab"
# Memory that may be waited for fails, too; nothing is logged; as often as asked for
ALWAYS = {"ignore-gfp-wait": "N", "verbose": "0", "times": "-1", "space": "0", "task-filter": "Y"}
OFF = {"probability": "0", "interval": "1", "task-filter": "N", "times": "1", "verbose": "2", "ignore-gfp-wait": "Y"}
NEVER = 1 << 30  # a number that no run gets to
ROUNDS = 8 if truth.IS_SLOW else 20


def write_settings(settings):
    for name, value in settings.items():
        with open(os.path.join(SETTINGS, name), "w") as f:
            f.write(value)


@contextlib.contextmanager
def failing(**settings):
    if not os.path.exists("/proc/self/fail-nth") or not os.path.isdir(SETTINGS):
        raise ktap.Skip("this kernel is made without fault injection")
    write_settings({**ALWAYS, **settings})
    try:
        yield
    finally:
        write_settings(OFF)


def left_of(pid):
    """What is left of FAIL_NTH of a process that has ended and was not waited for: 0 when it was used up."""
    with open(f"/proc/{pid}/fail-nth") as f:
        return int(f.read())


def record(directory, target, **env):
    """(what is left of FAIL_NTH, state): 'failed' as it says on stderr, or 'exact' by its profile. All else fails the test."""
    path, log = os.path.join(directory, "x.pb.gz"), os.path.join(directory, "log")
    if os.path.exists(path):
        os.unlink(path)
    with open(log, "w") as f:
        proc = subprocess.Popen([ktap.bstack(), "record", "-q", "-e", "cpu-clock", "-F", "499", "-d", "1", "-o", path, "-p",
                                 str(target.pid)], stderr=f, env={
                                     **os.environ, "LD_PRELOAD": ktap.fixture("fail_kernel.so"), **env})
    os.waitid(os.P_PID, proc.pid, os.WEXITED | os.WNOWAIT)
    left = left_of(proc.pid)
    proc.wait()
    with open(log) as f:
        said = f.read()
    print(f"# {env}: exit status {proc.returncode}: {said.strip().splitlines()}", flush=True)
    assert proc.returncode in (0, 1), f"{env}: exit status {proc.returncode}: {said}"
    if proc.returncode:
        assert said.startswith("bstack"), f"{env}: failed and said {said!r}"
        return left, "failed"
    rec = truth.Recording(path)
    rec.exact()
    assert rec.ledger["fired"] > 0, f"{env}: no sample, and said {said!r}"
    return left, "exact"


def seeded():
    seed = int(os.environ.get("SEED", random.randrange(1 << 32)))
    print(f"# SEED={seed}")
    return random.Random(seed)


def allocations(directory, target):
    """How many a run makes from which nothing is taken."""
    left, state = record(directory, target, FAIL_NTH=str(NEVER))
    ktap.eq(state, "exact", "a run without a fault")
    return NEVER - left


def rounds_of(choose):
    """Run `choose(number of allocations)`, the environment of one run, ROUNDS times; the outcomes."""
    outcomes = []
    target = start("chain", 3600)
    try:
        with temp_dir() as d:
            count = allocations(d, target)
            print(f"# {count} allocations")
            for _ in range(ROUNDS):
                outcomes.append(record(d, target, **choose(count)))
    finally:
        target.kill()
        target.wait()
    return outcomes


def test_one_allocation_fails():
    """Most do no harm: libbpf loads a program a second time, and a page fault is taken again."""
    numbers = seeded()
    with failing():
        # as many in each doubling: most of what may go wrong is where it starts
        outcomes = rounds_of(lambda count: {"FAIL_NTH": str(int(count ** numbers.random()))})
    assert sum(left == 0 for left, _ in outcomes) > ROUNDS / 2, f"hardly an allocation failed: {outcomes}"


def test_every_nth_of_any_thread_fails():
    numbers = seeded()

    def choose(count):
        every = int(count / numbers.uniform(1, 20))
        write_settings({"probability": "100", "interval": str(every)})
        print(f"# one of {every}")
        return {"MAKE_IT_FAIL": "1"}
    with failing():
        outcomes = rounds_of(choose)
    assert any(state == "failed" for _, state in outcomes), f"no run failed: {outcomes}"


if __name__ == "__main__":
    ktap.main(globals())
