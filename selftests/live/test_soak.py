#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""test_soak.py - a short run of make soak: its counters are exact. Memory is judged in long runs only."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import soak  # noqa: E402
from truth import ktap  # noqa: E402


def test_twenty_seconds():
    soak.soak(20)


def looks(**growth):
    """As a run of flat memory gives, but for what grows by so much each look."""
    base = {"anon": 100 << 20, "rss": 200 << 20, "pss": 190 << 20, "maps": 100 << 20, "files": 100, "fds": 30, "samples": 0}
    return [{k: v + i * growth.get(k, 0) for k, v in base.items()} for i in range(300)]


def is_flat(what, held=0):
    try:
        soak.check_flat(what, held)
    except AssertionError:
        return False
    return True


def test_growth_is_seen():
    """From median to median are 100 looks; of 100 MiB, 9 MiB are no growth."""
    assert is_flat(looks()), "flat"
    assert is_flat(looks(anon=80 << 10)), "less than is allowed"
    assert not is_flat(looks(anon=120 << 10)), "memory of its own"
    assert not is_flat(looks(rss=160 << 10)), "all of its memory"
    assert not is_flat(looks(pss=160 << 10)), "its share"
    assert not is_flat(looks(fds=1)), "descriptors"
    assert is_flat(looks(files=3)) and not is_flat(looks(files=4)), "files"
    assert not is_flat(looks(maps=4096)), "BPF maps"
    assert is_flat(looks(anon=200 << 10, samples=10), held=40 << 20), "a third of all samples came from median to median"
    assert not is_flat(looks(anon=200 << 10, samples=10), held=20 << 20), "more than these samples take"


if __name__ == "__main__":
    ktap.main(globals())
