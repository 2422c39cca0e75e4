# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""locks.py - is every mmap_lock that a sample took given back? Asked of lock_watch, which knows nothing of bstack.

lock_watch counts, on the kernel's tracepoints, what is taken in the timer's interrupt, whoever's program it is, and pairs
it with the unlock in irq_work on the same CPU. Of a lock that is taken elsewhere with interrupts off, as by a sample in an
NMI, only the deferred unlock is counted. lock_watch is started once, and watches until the test program ends.
"""
import contextlib
import json
import os
import subprocess

import ktap


class Watch:
    def __init__(self):
        path = os.path.join(ktap.build_dir(), "live", "lock_watch")
        self.proc = subprocess.Popen([path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.reason = self.answer().get("reason")

    def answer(self):
        line = self.proc.stdout.readline()
        assert line, f"lock_watch ended: {self.proc.wait()}"
        return json.loads(line)

    def ask(self, command):
        self.proc.stdin.write(f"{command}\n".encode())
        self.proc.stdin.flush()
        return self.answer()


_watch = None


def watch():
    global _watch
    if not _watch:
        _watch = Watch()
    return _watch


def faults(c):
    """What is wrong with the counts."""
    found = []
    if c["held_now"]:
        found.append(f"{c['held_now']} locks are held")
    if c["unreleased"]:
        found.append(f"{c['unreleased']} locks were not given back before the next was taken")
    if c["unmatched"]:
        found.append(f"{c['unmatched']} locks were given back that were not held")
    if c["acquired"] != c["released"]:
        found.append(f"{c['acquired']} taken, {c['released']} given back")
    return found


def given_back():
    """All counts since the start; fails when a lock is held, or is given back twice."""
    if not _watch or _watch.reason:
        return None
    for _ in range(100):
        c = _watch.ask("check")
        # another process may be sampling: its lock of this moment is between the two counts
        if c["acquired"] == c["released"] or c["held_now"]:
            break
    found = faults(c)
    assert not found, f"mmap_lock: {'; '.join(found)}: {c}"
    return c


def percentile(held, part):
    """The bound, in nanoseconds, that so large a part of the holds is below."""
    total, seen = sum(held), 0
    for i, count in enumerate(held):
        seen += count
        if seen >= part * total:
            return 2 << i
    return 0


@contextlib.contextmanager
def watched():
    """Around each test."""
    watch()
    yield
    given_back()


def summary():
    if not _watch:
        return []
    if _watch.reason:
        return [f"mmap_lock was not watched: {_watch.reason}"]
    c = _watch.ask("check")
    if not c["acquired"]:
        return ["mmap_lock: no sample took it"]
    return [f"mmap_lock: {c['acquired']} read locks taken by samples, {c['released']} given back ({c['in_irq_work']} in irq_work), "
            f"{c['failed']} tries failed, {c['elsewhere']} deferred unlocks of others; held for less than "
            f"{percentile(c['held'], .5) / 1000:.0f} us (half of them), {percentile(c['held'], .99) / 1000:.0f} us (99 %), "
            f"{c['held_max_ns'] / 1000:.0f} us (all)"]


ktap.AROUND.append(watched)
ktap.SUMMARIES.append(summary)
